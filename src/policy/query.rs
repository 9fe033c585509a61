//! What an engine is asked: who wants to do what with which name. Made of parsed values only, never of a message's text.
//! Not here: the answer (`verdict`).

use super::{Claims, Spent};
use crate::id::CallId;
use crate::name::Name;
use crate::token::SubjectHash;
use std::net::IpAddr;
use std::ops::{BitAnd, BitOr};

/// What somebody wants to do. Closed, and it will grow (media change, recording): match it by name,
/// so that the compiler shows each place that must decide about a new one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Action {
    /// To hear of calls for a name; asked once, when the channel opens.
    Subscribe,
    /// To be reached under a name over SIP; asked for each registration.
    Register,
    /// To be told of one call; asked for each event, since a grant may end while the channel is open.
    Receive,
    /// To be handed a URI that anybody can dial without a further credential; asked before a token for
    /// [`Audience::Dial`](crate::token::Audience::Dial) is sealed.
    Dial,
    /// To answer a parked call; asked for each callback.
    Bridge,
    /// To hand a call that it has to another name (RFC 3515); asked for each REFER, with the name that the call is to wait for then.
    Transfer,
    /// To write to a name, or to a number with its `+`; asked for each message.
    Message,
    /// To know who is there under a name; asked when a subscription names it, and for each change.
    Presence,
}

impl Action {
    /// All of them.
    pub const ALL: [Action; 8] = [
        Action::Subscribe,
        Action::Register,
        Action::Receive,
        Action::Dial,
        Action::Bridge,
        Action::Transfer,
        Action::Message,
        Action::Presence,
    ];

    /// The action of one of these words.
    pub fn from_word(word: &str) -> Option<Action> {
        Action::ALL.into_iter().find(|action| action.as_str() == word)
    }

    /// `subscribe`, `register`, `receive`, `dial`, `bridge`, `transfer`, `message`, `presence`, as logs and questions write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Subscribe => "subscribe",
            Action::Register => "register",
            Action::Receive => "receive",
            Action::Dial => "dial",
            Action::Bridge => "bridge",
            Action::Transfer => "transfer",
            Action::Message => "message",
            Action::Presence => "presence",
        }
    }
}

/// Who wants it.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// The bearer of a verified JWT.
    Claims(&'a Claims),
    /// The holder of a dial token, whose grant was checked ([`Action::Dial`]) when the token was issued.
    Dial(SubjectHash),
    /// Nobody who says who he is.
    Nobody,
}

/// A query. Its builder keeps what it borrows until the verdict: a question's answer is judged against the same query.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// What is wanted.
    pub action: Action,
    /// Who wants it.
    pub subject: Subject<'a>,
    /// With which name: the one subscribed to, and for a callback the one its token was issued for. A call for `foo` that was
    /// told to a subscriber of `foo/web` is asked about as `foo/web`. For a transfer it is the name that is to have the call.
    pub name: &'a Name,
    /// The kinds of media wanted: for a callback audio, and video and a fax where the credential grants them, whatever the INVITE offers: a
    /// later one may offer more. To answer a call is to want some: [`Grants`](super::Grants) refuses none, since who asks
    /// before he knows what he wants has not asked.
    pub media: MediaKinds,
    /// Where the request came from, if over a network.
    pub source: Option<IpAddr>,
    /// How many bridges this subject has now, this one not counted. Count by [`SubjectHash`], so that calls answered by
    /// JWT and by dialling are one sum.
    pub usage: u32,
    /// How many calls it has answered; counted only of subjects for whom that is limited.
    pub spent: Spent,
    /// Which call, if one.
    pub call: Option<CallId>,
    /// The number that was called, as routes know it, if it is about a call.
    pub called: Option<&'a str>,
}

/// A set of kinds of media.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct MediaKinds(u8);

impl MediaKinds {
    /// No kind.
    pub const NONE: MediaKinds = MediaKinds(0);
    /// Speech and music.
    pub const AUDIO: MediaKinds = MediaKinds(1);
    /// Pictures.
    pub const VIDEO: MediaKinds = MediaKinds(2);
    /// Text messages in the session (MSRP and the like).
    pub const MESSAGE: MediaKinds = MediaKinds(4);
    /// A fax (T.38).
    pub const IMAGE: MediaKinds = MediaKinds(8);
    /// All of them.
    pub const ALL: MediaKinds = MediaKinds(15);

    /// Each kind with the word that claims, questions and logs use: SDP's (RFC 8866 §5.14).
    pub const WORDS: [(&'static str, MediaKinds); 4] = [
        ("audio", MediaKinds::AUDIO),
        ("video", MediaKinds::VIDEO),
        ("message", MediaKinds::MESSAGE),
        ("image", MediaKinds::IMAGE),
    ];

    /// The kind of one of these words.
    pub fn from_word(word: &str) -> Option<MediaKinds> {
        MediaKinds::WORDS.iter().find(|(known, _)| *known == word).map(|(_, kind)| *kind)
    }

    /// The words of the kinds in the set.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        MediaKinds::WORDS.iter().filter(move |(_, kind)| self.covers(*kind)).map(|(word, _)| *word)
    }

    /// Whether every kind of `other` is in the set.
    pub fn covers(self, other: MediaKinds) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self == MediaKinds::NONE
    }
}

impl FromIterator<MediaKinds> for MediaKinds {
    fn from_iter<I: IntoIterator<Item = MediaKinds>>(kinds: I) -> MediaKinds {
        kinds.into_iter().fold(MediaKinds::NONE, |all, kind| all | kind)
    }
}

impl BitOr for MediaKinds {
    type Output = MediaKinds;
    fn bitor(self, other: MediaKinds) -> MediaKinds {
        MediaKinds(self.0 | other.0)
    }
}

impl BitAnd for MediaKinds {
    type Output = MediaKinds;
    fn bitand(self, other: MediaKinds) -> MediaKinds {
        MediaKinds(self.0 & other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_media_covers_its_parts_and_no_more() {
        let (audio, video) = (MediaKinds::AUDIO, MediaKinds::VIDEO);
        for (set, other, expected) in [
            (audio | video, audio, true),
            (audio | video, audio | video, true),
            (audio, audio | video, false),
            (audio, MediaKinds::MESSAGE, false),
            (audio, MediaKinds::NONE, true),
            (MediaKinds::NONE, audio, false),
        ] {
            assert_eq!(set.covers(other), expected, "{set:?} covers {other:?}");
        }
        assert_eq!((audio | MediaKinds::MESSAGE).words().collect::<Vec<_>>(), ["audio", "message"]);
    }

    #[test]
    fn a_kind_of_media_has_one_word() {
        for (word, kind) in MediaKinds::WORDS {
            assert_eq!(MediaKinds::from_word(word), Some(kind));
        }
        for word in ["", "Audio", "text", "audio,video"] {
            assert_eq!(MediaKinds::from_word(word), None, "{word}");
        }
    }
}
