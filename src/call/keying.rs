//! Whether a leg's audio may be, or has to be, encrypted with keys that stand in its session descriptions (SDES), and which keys they are.
//! RFC 4568 §7: only where the signalling is encrypted, too, unless the operator wants it otherwise. With that goes which kinds of media a leg
//! may have at all: a fax is plain, so it is none where all has to be encrypted.
//! Not here: the attribute (`sdp`), and packets (`media`).

use super::Settings;
use super::leg::Refusal;
use super::session::not_acceptable;
use crate::media::{Keys, Line};
use crate::policy::MediaKinds;
use crate::rng::Rng;
use crate::sdp::{AddressRules, Carriage, Crypto, Description, Kind, Master, Media, NotAgreed, Protocol, Suite};
use crate::sip::wire::Transport;

/// What the operator wants of SRTP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SrtpTerms {
    /// Where keys may stand in session descriptions.
    pub reach: KeyReach,
    /// Whether no leg may do without.
    pub is_required: bool,
}

/// Over which signalling keys may go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyReach {
    /// Over none.
    Nowhere,
    /// Over TLS.
    Encrypted,
    /// Over any, where whoever reads it has the keys, too.
    Anywhere,
}

/// What goes for one leg.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Keying {
    /// Whether keys may stand in its descriptions. Else they are passed over, and a stream that needs them is not relayed.
    is_allowed: bool,
    /// Whether its audio may not go without.
    is_required: bool,
    /// Which kinds it may have. Others are refused, and the call goes on without.
    may: MediaKinds,
    rules: AddressRules,
}

impl Keying {
    /// Of a leg whose messages come this way; `is_required` says that it has to be encrypted, whatever goes for others.
    pub fn of(settings: &Settings, transport: Transport, is_required: bool) -> Keying {
        let is_allowed = match settings.srtp.reach {
            KeyReach::Nowhere => false,
            KeyReach::Encrypted => transport == Transport::Tls,
            KeyReach::Anywhere => true,
        };
        let rules = AddressRules { loopback: settings.loopback };
        let is_required = settings.srtp.is_required || is_required;
        let keying = Keying { is_allowed, is_required, may: MediaKinds::ALL, rules };
        keying.with(Line::Fax, settings.t38 && !is_required)
    }

    /// The same where there may be no more than these for other reasons, too.
    pub(super) fn within(self, kinds: MediaKinds) -> Keying {
        Keying { may: self.may & kinds, ..self }
    }

    /// The same with a line only if something else holds, too.
    pub(super) fn with(self, line: Line, holds: bool) -> Keying {
        self.within(Line::ALL.into_iter().filter(|other| *other != line || holds).map(kind).collect())
    }

    /// Whether it may have a line.
    pub(super) fn may_have(self, line: Line) -> bool {
        self.may.covers(kind(line))
    }

    /// A description, as far as it goes for such a leg.
    pub(super) fn read(self, body: &[u8]) -> Result<Description<'_>, Refusal> {
        let description = Description::parse(body).map_err(|error| not_acceptable(&error))?;
        let description = if self.is_allowed { description } else { description.without_keys() };
        let is_usable =
            |video: &Media<'_>| (video.crypto.is_some() || !self.is_required) && video.remote(self.rules).is_ok();
        let sees = self.may_have(Line::Video) && description.video().is_none_or(|(_, video)| is_usable(video));
        let description = if sees { description } else { description.without(Kind::Video) };
        let is_usable = |fax: &Media<'_>| fax.remote(self.rules).is_ok();
        let faxes = self.may_have(Line::Fax) && description.fax().is_none_or(|(_, fax)| is_usable(fax));
        Ok(if faxes { description } else { description.without(Kind::Image) })
    }

    /// Whether the audio of a description is protected as it has to be.
    pub(super) fn check(self, audio: &Media<'_>) -> Result<(), Refusal> {
        if self.is_required && audio.crypto.is_none() {
            let needed =
                if self.is_allowed { "RTP/SAVP with a=crypto" } else { "SIP over TLS, and RTP/SAVP with a=crypto" };
            return Err(Refusal::warned(488, "srtp_required", &format!("SRTP is required: {needed}")));
        }
        Ok(())
    }

    /// Why nothing of a description can be relayed.
    pub(super) fn nothing_in(self, description: &Description<'_>) -> Refusal {
        let needs_keys = description.media.iter().any(|media| media.protocol.is_secure() && media.port != 0);
        if needs_keys && !self.is_allowed {
            return not_acceptable(&"the keys of RTP/SAVP are not taken over this signalling, which is not encrypted");
        }
        // Beside audio that cannot be relayed, that is what is wrong.
        let speaks = description.media.iter().any(|media| media.kind == Kind::Audio && media.port != 0);
        let image = description.media.iter().find(|media| media.kind == Kind::Image && !speaks);
        match image.map(|image| image.protocol) {
            Some(Protocol::Udptl) if self.is_required => {
                not_acceptable(&"SRTP is required, and T.38 over UDPTL is plain")
            }
            Some(Protocol::Udptl) => not_acceptable(
                &"no T.38 here: it takes media.t38, a grant of image, ports, and a call that is not recorded",
            ),
            // T.38 over TCP, or over DTLS (RFC 7345).
            Some(other) => not_acceptable(&format!("T.38 is relayed over udptl, and not over {}", other.as_str())),
            None => not_acceptable(&NotAgreed::NoAudio),
        }
    }

    /// What we offer a leg that has not offered anything.
    pub(super) fn carriage(self, rng: &mut Rng) -> Carriage {
        if !(self.is_allowed && self.is_required) {
            return Carriage::default();
        }
        let crypto = |(tag, suite)| Crypto { tag, master: Master::draw(suite, rng) };
        Carriage { is_secure: true, has_feedback: false, crypto: (1..).zip(Suite::ALL).map(crypto).collect() }
    }
}

/// What a description of a leg's says of its protection.
#[derive(Clone, Debug)]
pub(super) struct Protection {
    is_secure: bool,
    has_feedback: bool,
    crypto: Option<Box<Crypto>>,
}

impl Protection {
    pub(super) fn of(media: &Media<'_>) -> Protection {
        let (is_secure, has_feedback) = (media.protocol.is_secure(), media.protocol.has_feedback());
        Protection { is_secure, has_feedback, crypto: media.crypto.clone() }
    }

    /// It is an offer: ours is of the same kind, under the key that we had, or a new one if it is for something else (RFC 4568 §7.1.4).
    pub(super) fn take(self, ours: &mut Carriage, theirs: &mut Option<Master>, rng: &mut Rng) {
        let had = ours.crypto.pop();
        *ours = Carriage { is_secure: self.is_secure, has_feedback: self.has_feedback, crypto: Vec::new() };
        *theirs = self.crypto.map(|crypto| {
            let Crypto { tag, master } = *crypto;
            let had = had.filter(|had| had.master.suite() == master.suite() && theirs.is_some());
            let own = had.map_or_else(|| Master::draw(master.suite(), rng), |had| had.master);
            ours.crypto.push(Crypto { tag, master: own });
            master
        });
    }

    /// It is the answer to what `ours` offers: it has chosen one of our keys by its tag, or, where it may, none.
    pub(super) fn choose(self, ours: &mut Carriage, theirs: &mut Option<Master>) -> Result<(), Refusal> {
        let offered =
            |crypto: &Crypto, own: &Crypto| (crypto.tag, crypto.master.suite()) == (own.tag, own.master.suite());
        match self.crypto.filter(|_| !ours.crypto.is_empty()) {
            Some(crypto) => {
                ours.crypto.retain(|own| offered(&crypto, own));
                if ours.crypto.is_empty() {
                    return Err(not_acceptable(&"a=crypto answers none that was offered"));
                }
                *theirs = Some(crypto.master);
            }
            None if ours.is_secure => return Err(not_acceptable(&"RTP/SAVP was offered and answered without a key")),
            None => (ours.crypto, *theirs) = (Vec::new(), None),
        }
        Ok(())
    }
}

/// The keys of a leg's two directions, if it has any.
pub(super) fn keys(ours: &Carriage, theirs: Option<&Master>) -> Option<Box<Keys>> {
    let ours = ours.crypto.first()?.master.clone();
    Some(Box::new(Keys { ours, theirs: theirs?.clone() }))
}

/// What policy calls a line.
fn kind(line: Line) -> MediaKinds {
    match line {
        Line::Audio => MediaKinds::AUDIO,
        Line::Video => MediaKinds::VIDEO,
        Line::Fax => MediaKinds::IMAGE,
    }
}

#[cfg(test)]
impl Keying {
    /// Of a leg that may have keys.
    pub(super) fn allowed() -> Keying {
        Keying { is_allowed: true, is_required: false, may: MediaKinds::ALL, rules: AddressRules::default() }
    }
}
