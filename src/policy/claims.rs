//! Who a verified JWT says its bearer is, and what he may do.
//! Not here: signatures (`keyring`), the form of the JWT (`jwt`), and the decision (`grants`).

use super::MediaKinds;
use crate::name::Name;
use crate::time::Wall;
use crate::token::SubjectHash;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;

/// The claims of a verified JWT. Only [`verify`](super::verify) makes them: to have them is to know that they are true.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Claims {
    pub(super) subject: String,
    pub(super) expires: Wall,
    pub(super) not_before: Option<Wall>,
    pub(super) grant: Grant,
    pub(super) application: Option<Application>,
}

impl Claims {
    /// Who: the JWT's `sub` (RFC 7519 §4.1.2).
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Who, as a token and the counting of bridges have it.
    pub fn subject_hash(&self) -> SubjectHash {
        SubjectHash::of(&self.subject)
    }

    /// From this instant on nothing is allowed any more and the channel closes: the JWT's `exp` with the keyring's skew added,
    /// so that one boundary holds everywhere.
    pub fn expires(&self) -> Wall {
        self.expires
    }

    /// The JWT's `nbf`, if it has one.
    pub fn not_before(&self) -> Option<Wall> {
        self.not_before
    }

    /// What he may do.
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// The application that its own calls go to, if a helper library's token names one.
    pub fn application(&self) -> Option<&Application> {
        self.application.as_ref()
    }
}

/// What answers calls that a client begins, and what it is told of each.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Application {
    /// As its operator calls it.
    pub id: String,
    /// Handed on unread.
    pub parameters: BTreeMap<String, String>,
}

/// What a JWT grants: its member `parkway`. The default grants nothing.
///
/// ```json
/// {"receive":["foo","foo/web"], "bridge":["foo"], "transfer":["bar"], "dial":false, "media":["audio"], "concurrent":2, "record":"require"}
/// ```
/// A granted name covers itself and the names below it: `foo` covers `foo/web`, never `foobar`.
/// A member that is not one of these is refused: a misspelt restriction must not be taken for none.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Grant {
    /// Names whose calls it may hear of. None unless said.
    #[serde(serialize_with = "write_names", deserialize_with = "names")]
    pub receive: Vec<Name>,
    /// Names whose calls it may answer. None unless said: hearing is not answering.
    #[serde(serialize_with = "write_names", deserialize_with = "names")]
    pub bridge: Vec<Name>,
    /// Names that it may hand its calls to. None unless said: answering is not handing on.
    #[serde(serialize_with = "write_names", deserialize_with = "names")]
    pub transfer: Vec<Name>,
    /// Whether its events may carry a URI that anybody can dial. No unless said.
    pub dial: bool,
    /// Kinds of media it may use. Audio unless said.
    #[serde(serialize_with = "write_media", deserialize_with = "media")]
    pub media: MediaKinds,
    /// How many bridges it may have at a time. One unless said.
    pub concurrent: u32,
    /// Whether its telephone, once registered, is rung and not told. No unless said.
    pub ring: bool,
    /// Whether the calls that it answers are recorded. As their routes have it unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<RecordRule>,
}

/// What goes before the word of a call's route.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordRule {
    /// It is so.
    Require,
    /// It is not so.
    Forbid,
}

impl Default for Grant {
    fn default() -> Grant {
        Grant {
            receive: Vec::new(),
            bridge: Vec::new(),
            transfer: Vec::new(),
            dial: false,
            media: MediaKinds::AUDIO,
            concurrent: 1,
            ring: false,
            record: None,
        }
    }
}

fn names<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Name>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    texts.iter().map(|text| Name::parse(text).map_err(D::Error::custom)).collect()
}

pub(super) fn media<'de, D: Deserializer<'de>>(from: D) -> Result<MediaKinds, D::Error> {
    let words = Vec::<String>::deserialize(from)?;
    words.iter().try_fold(MediaKinds::NONE, |kinds, word| {
        let kind = MediaKinds::from_word(word).ok_or_else(|| D::Error::custom("no kind of media"))?;
        Ok(kinds | kind)
    })
}

fn write_names<S: Serializer>(names: &[Name], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(names.iter().map(Name::as_str))
}

fn write_media<S: Serializer>(kinds: &MediaKinds, to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(kinds.words())
}
