//! Who a verified JWT says its bearer is, and what he may do.
//! Not here: signatures (`keyring`), the form of the JWT (`jwt`, `written`), and the decision (`grants`).

use super::{MediaKinds, RecordRule, Restrictions};
use crate::limits;
use crate::name::Name;
use crate::time::Wall;
use crate::token::SubjectHash;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

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

/// What a JWT grants: its member `parkway`. The default grants nothing; how it is written is `written`'s affair.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Grant {
    /// Names whose calls it may hear of. None unless said.
    pub receive: Vec<Name>,
    /// Names whose calls it may answer. None unless said: hearing is not answering.
    pub bridge: Vec<Name>,
    /// Names that it may hand its calls to. None unless said: answering is not handing on.
    pub transfer: Vec<Name>,
    /// Whom it may write to. Nobody unless said.
    pub message: Vec<Addressee>,
    /// Names under which it may know who is there. None unless said.
    pub presence: Vec<Name>,
    /// Whether its events may carry a URI that anybody can dial. No unless said.
    pub dial: bool,
    /// Kinds of media it may use. Audio unless said.
    pub media: MediaKinds,
    /// How many bridges it may have at a time. One unless said.
    pub concurrent: u32,
    /// Whether its telephone, once registered, is rung and not told. No unless said.
    pub ring: bool,
    /// Whether the calls that it answers are recorded. As their routes have it unless said.
    pub record: Option<RecordRule>,
    /// What narrows it further. Nothing unless said.
    pub only: Option<Box<Restrictions>>,
    /// What whoever signed it wants to find again in events, records and questions. Nothing unless said.
    pub parameters: Option<Box<Parameters>>,
}

/// Words of a grant that mean nothing to us and are passed on. Never empty.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Parameters(BTreeMap<String, String>);

impl Parameters {
    /// `None` of none. An error if it is too much to be passed on: [`limits::GRANT_PARAMETERS_BYTES_MAX`], names and values together.
    pub fn new(all: BTreeMap<String, String>) -> Result<Option<Box<Parameters>>, &'static str> {
        let bytes: usize = all.iter().map(|(name, value)| name.len() + value.len()).sum();
        if bytes > limits::GRANT_PARAMETERS_BYTES_MAX {
            return Err("the parameters have more than 512 bytes");
        }
        Ok((!all.is_empty()).then(|| Box::new(Parameters(all))))
    }

    /// Each by its name.
    pub fn all(&self) -> &BTreeMap<String, String> {
        &self.0
    }
}

impl Default for Grant {
    fn default() -> Grant {
        Grant {
            receive: Vec::new(),
            bridge: Vec::new(),
            transfer: Vec::new(),
            message: Vec::new(),
            presence: Vec::new(),
            dial: false,
            media: MediaKinds::AUDIO,
            concurrent: 1,
            ring: false,
            record: None,
            only: None,
            parameters: None,
        }
    }
}

impl Grant {
    /// What narrows it.
    pub fn only(&self) -> Option<&Restrictions> {
        self.only.as_deref()
    }
}

/// Whom somebody may write to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Addressee {
    /// A name and those below it; a number is one, too.
    Name(Name),
    /// The numbers that begin so, with their `+`.
    Numbers(Box<str>),
}

impl Addressee {
    /// Reads `support`, `+4930123`, or `+49*`: whatever number begins so. The error says what to write.
    pub fn parse(text: &str) -> Result<Addressee, String> {
        let digits = text.strip_suffix('*').and_then(|beginning| beginning.strip_prefix('+'));
        match digits {
            Some(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => {
                Ok(Addressee::Numbers(format!("+{digits}").into()))
            }
            Some(_) | None => Name::parse(text).map(Addressee::Name).map_err(|error| error.to_string()),
        }
    }

    /// Whether a message for that name or number is for this.
    pub(super) fn covers(&self, name: &Name) -> bool {
        match self {
            Addressee::Name(above) => above.reaches(name),
            Addressee::Numbers(beginning) => name.is_number() && name.as_str().starts_with(&**beginning),
        }
    }
}

impl fmt::Display for Addressee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Addressee::Name(name) => f.write_str(name.as_str()),
            Addressee::Numbers(beginning) => write!(f, "{beginning}*"),
        }
    }
}
