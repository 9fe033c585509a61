//! What the two legs of a call agreed to send each other: the owner of every number in our session descriptions.
//! Not here: who is told when (`merging`, `bridged`).

use super::early::Spoken;
use super::joining::Joining;
use super::keying::{self, Keying, Protection};
use super::leg::Refusal;
use super::party::Party;
use super::{Encrypted, Settings, Turn};
use crate::id::{FlowId, Side};
use crate::limits;
use crate::media::tone::Law;
use crate::media::{Codec, Command, Mapping, Play, RtcpPort, SoundId, Stream, Trust};
use crate::rng::Rng;
use crate::sdp::{self, AddressRules, Agreement, Description, Direction, Local, Master, Outline, Remote};
use std::hash::{DefaultHasher, Hasher};
use std::net::SocketAddr;

/// A bridge's media: both ends and the codecs between them.
#[derive(Debug)]
pub(super) struct Session {
    /// The relay's name for it.
    pub flow: FlowId,
    /// The codecs, in both numberings.
    pub agreement: Agreement,
    caller: End,
    client: End,
}

/// One leg's end: what it said last, and what we say to it.
#[derive(Clone, Debug)]
pub(super) struct End {
    local: Local,
    outline: Outline,
    remote: Remote,
    direction: Direction,
    /// The direction that it chose itself: what it offered last, and not what it answered to somebody's hold.
    wish: Direction,
    /// A hash of what it said last: a re-INVITE that repeats it changes nothing.
    said: u64,
    party: Party,
    /// What it encrypts with.
    key: Option<Master>,
    /// The source of what it hears of us.
    voice: u32,
}

/// A leg's description as far as it concerns us.
#[derive(Clone, Debug)]
pub(super) struct Said {
    remote: Remote,
    direction: Direction,
    protection: Protection,
    rtcp_mux: bool,
    hash: u64,
}

/// Without a secret: who finds two descriptions with one hash can only make us keep a session that is his own.
fn hash(description: &Description<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(description.bytes);
    hasher.finish()
}

/// Why a description is refused: 488 with a warning that says what is wrong with it (RFC 3261 §13.3.1.3, §20.43).
pub(super) fn not_acceptable(what: &dyn std::fmt::Display) -> Refusal {
    Refusal::warned(488, "media_not_acceptable", &what.to_string())
}

impl Said {
    /// Reads where the author wants its audio and which way.
    pub(super) fn of(description: &Description<'_>, keying: Keying, settings: &Settings) -> Result<Said, Refusal> {
        let (_, audio) = description.audio().ok_or_else(|| keying.nothing_in(description))?;
        keying.check(audio)?;
        let rules = AddressRules { loopback: settings.loopback };
        let remote = audio.remote(rules).map_err(|error| not_acceptable(&error))?;
        let protection = Protection::of(audio);
        let (direction, rtcp_mux) = (audio.direction, audio.rtcp_mux);
        Ok(Said { remote, direction, protection, rtcp_mux, hash: hash(description) })
    }

    /// What it does.
    pub(super) fn direction(&self) -> Direction {
        self.direction
    }
}

impl End {
    /// An end that has not said anything yet.
    pub(super) fn new(address: SocketAddr, party: Party, turn: &mut Turn<'_>) -> End {
        let (session_id, carriage) = (turn.rng.u64() >> 1, party.keying(turn.settings).carriage(turn.rng));
        // As hard to guess as the session's number, of which it is a part.
        let voice = u32::try_from(session_id >> 31).unwrap_or(1);
        End {
            local: Local { address, rtcp_mux: false, session_id, version: 0, direction: Direction::SendRecv, carriage },
            outline: Outline::default(),
            remote: Remote::default(),
            direction: Direction::SendRecv,
            wish: Direction::SendRecv,
            said: 0,
            party,
            key: None,
            voice,
        }
    }

    /// An end that has heard of a session of ours before, once, and is told of the same one from now on.
    pub(super) fn after(mut self, spoken: Option<Spoken>) -> End {
        if let Some(Spoken { session_id }) = spoken {
            let direction = self.local.direction;
            self.local = Local { session_id, ..self.local }.changed(direction);
        }
        self
    }

    /// What it may have said, read.
    pub(super) fn read<'b>(&self, body: &'b [u8], settings: &Settings) -> Result<(Said, Description<'b>), Refusal> {
        let description = self.party.keying(settings).read(body)?;
        Ok((self.judge(&description, settings)?, description))
    }

    /// The same of a description that has been read.
    pub(super) fn judge(&self, description: &Description<'_>, settings: &Settings) -> Result<Said, Refusal> {
        Said::of(description, self.party.keying(settings), settings)
    }

    /// It has offered something new: the lines of its session are the offer's from now on.
    pub(super) fn hear(&mut self, said: Said, offer: &Description<'_>, rng: &mut Rng) {
        (self.remote, self.direction, self.said) = (said.remote, said.direction, said.hash);
        said.protection.take(&mut self.local.carriage, &mut self.key, rng);
        self.local.rtcp_mux = said.rtcp_mux;
        self.outline.follow(offer);
        self.wish = self.direction;
    }

    /// Whether a description is the one it sent last.
    pub(super) fn repeats(&self, description: &Description<'_>) -> bool {
        self.said == hash(description)
    }

    /// Our offer to it, made of `proposed`, speaking for the other leg's `direction`.
    pub(super) fn offer(&mut self, side: Side, proposed: &Agreement, direction: Direction) -> Vec<u8> {
        self.local = self.local.clone().changed(direction);
        let mut out = Vec::new();
        sdp::write_offer(&mut out, &self.outline, side, proposed, &self.local);
        out
    }

    /// Our answer to its offer, speaking for the other leg's `direction`.
    pub(super) fn answer(
        &mut self,
        side: Side,
        offer: &Description<'_>,
        agreement: &Agreement,
        direction: Direction,
    ) -> Vec<u8> {
        self.local = self.local.clone().changed(direction);
        let mut out = Vec::new();
        sdp::write_answer(&mut out, offer, side, agreement, &self.local);
        out
    }

    /// It has said nothing yet, and its first offer of ours is to speak for `other`, in this, too: who would have to offer RTCP on the RTP
    /// port without us does with us. Who is offered it may leave it.
    pub(super) fn speak_for(&mut self, other: &End) {
        self.local.rtcp_mux = other.local.rtcp_mux;
    }

    /// It has answered our offer: what of `proposed` stands.
    pub(super) fn hear_answer(
        &mut self,
        side: Side,
        proposed: &Agreement,
        body: &[u8],
        settings: &Settings,
    ) -> Result<Agreement, Refusal> {
        let (said, answer) = self.read(body, settings)?;
        let agreement =
            sdp::accept_answer(side, proposed, &self.outline, &answer).map_err(|error| not_acceptable(&error))?;
        said.protection.choose(&mut self.local.carriage, &mut self.key)?;
        // RFC 5761 §5.1.1: an answer cannot bring it up. Offers repeat it, so one that leaves it out ends it.
        self.local.rtcp_mux &= said.rtcp_mux;
        (self.remote, self.direction, self.said) = (said.remote, said.direction, said.hash);
        Ok(agreement)
    }

    /// The lines of its session, for a proposal.
    pub(super) fn outline(&self) -> &Outline {
        &self.outline
    }

    /// What it said it does.
    pub(super) fn direction(&self) -> Direction {
        self.direction
    }

    /// What it would do, if the other side lets it.
    pub(super) fn wish(&self) -> Direction {
        self.wish
    }

    /// What the relay is told of it, if it is neither to hear anything of us nor to send anything for now.
    pub(super) fn stream(&self, side: Side, agreement: &Agreement) -> Stream {
        let mapping = |(number, agreed): (sdp::Renumbering, &sdp::Agreed)| Mapping {
            here: number.here,
            there: number.there,
            clock_rate: number.clock_rate,
            clock_rate_there: number.clock_rate_there,
            telephone_event: number.telephone_event,
            codec: Codec::named(&agreed.encoding),
        };
        let numbers = agreement.renumbering(side).zip(&agreement.codecs);
        Stream {
            remote_rtp: self.remote.rtp,
            rtcp: if self.local.rtcp_mux { RtcpPort::Shared } else { RtcpPort::Own(self.remote.rtcp) },
            signalling: self.party.address,
            // Callers come from trunks that the operator has let in; a client may be anybody with a grant.
            trust: if self.party.is_trunk() { Trust::Burst } else { Trust::Nothing },
            plays: None,
            payload_types: numbers.map(mapping).take(limits::CODECS_MAX).collect(),
            sends: false,
            silence_max: None,
            keys: keying::keys(&self.local.carriage, self.key.as_ref()),
        }
    }

    /// The same of one that hears a sound of ours, if it can: not only for a moment, where its address is certainly its own.
    pub(super) fn hearing(&self, side: Side, agreement: &Agreement, sound: Option<SoundId>) -> Stream {
        let stream = self.stream(side, agreement);
        let plays = sound.and_then(|sound| playable(side, agreement, sound, self.voice));
        let is_its_own = self.remote.rtp.is_some_and(|named| self.party.owns(named.ip()));
        let trust = if plays.is_some() && is_its_own { Trust::Address } else { stream.trust };
        Stream { plays, trust, ..stream }
    }

    /// It was free to choose what it said.
    pub(super) fn has_chosen(&mut self) {
        self.wish = self.direction;
    }
}

impl Session {
    /// Both ends have spoken.
    pub(super) fn new(flow: FlowId, agreement: Agreement, caller: End, client: End) -> Session {
        Session { flow, agreement, caller, client }
    }

    /// One end.
    pub(super) fn end(&mut self, side: Side) -> &mut End {
        match side {
            Side::Caller => &mut self.caller,
            Side::Client => &mut self.client,
        }
    }

    /// The client's end, which has said nothing and is made an offer that speaks for the caller.
    pub(super) fn client_for_caller(&mut self) -> &mut End {
        self.client.speak_for(&self.caller);
        &mut self.client
    }

    /// The client is gone, and another will have its place: with the same ports, and nothing of what was said.
    pub(super) fn renew_client(&mut self, client: &Joining, turn: &mut Turn<'_>) {
        let address = turn.settings.reachable(self.client.local.address, client.peer());
        let party = Party::client(client.dialog(), client.peer(), turn);
        self.client = End::new(address, party, turn).after(client.spoken());
    }

    /// What the relay is told of a caller that waits for another client: that its address stays valid, and that nobody hears it.
    pub(super) fn hold_command(&self, settings: &Settings) -> Command {
        // How long it may be silent is how long it may wait, which is not the relay's to know.
        let stream = self.caller.hearing(Side::Caller, &self.agreement, settings.hold_sound);
        Command::Set { flow: self.flow, side: Side::Caller, stream }
    }

    /// What such a caller is offered: to hear, if there is something that it can hear.
    pub(super) fn hold_direction(&self, settings: &Settings) -> Direction {
        let sound = settings.hold_sound.and_then(|sound| playable(Side::Caller, &self.agreement, sound, 0));
        if sound.is_some() { Direction::SendOnly } else { Direction::Inactive }
    }

    /// What the relay is to be told of both legs.
    pub(super) fn commands(&self, settings: &Settings) -> [Command; 2] {
        [Side::Caller, Side::Client].map(|side| {
            let stream = self.stream(side, settings);
            Command::Set { flow: self.flow, side, stream }
        })
    }

    /// The codec for the record: `PCMA/8000`.
    pub(super) fn codec(&self) -> Option<String> {
        self.agreement.audio().map(|codec| format!("{}/{}", codec.encoding, codec.caller.clock_rate))
    }

    /// How both sides are encrypted, for the record.
    pub(super) fn srtp(&self) -> Encrypted {
        let suite = |end: &End| end.key.as_ref().map(|key| key.suite().as_str());
        Encrypted { caller: suite(&self.caller), client: suite(&self.client) }
    }

    fn stream(&self, side: Side, settings: &Settings) -> Stream {
        let end = match side {
            Side::Caller => &self.caller,
            Side::Client => &self.client,
        };
        let sends = sdp::sends(side, self.caller.direction, self.client.direction);
        let silence_max = Some(if sends { settings.silence } else { settings.hold_silence });
        Stream { sends, silence_max, ..end.stream(side, &self.agreement) }
    }
}

/// How a side can hear a sound of ours: in the G.711 that is agreed on. `None`: it cannot.
fn playable(side: Side, agreement: &Agreement, sound: SoundId, ssrc: u32) -> Option<Play> {
    let law = |name: &str| match name {
        name if name.eq_ignore_ascii_case("PCMU") => Some(Law::Mu),
        name if name.eq_ignore_ascii_case("PCMA") => Some(Law::A),
        _ => None,
    };
    let narrow = |agreed: &&sdp::Agreed| (agreed.caller.clock_rate, agreed.channels) == (8_000, 1);
    agreement.codecs.iter().filter(narrow).find_map(|agreed| {
        Some(Play { sound, law: law(&agreed.encoding)?, payload_type: agreed.leg(side).to_leg, ssrc })
    })
}
