//! What the two legs of a call agreed to send each other: the owner of every number in our session descriptions.
//! Not here: who is told when (`merging`, `bridged`).

use super::early::Spoken;
use super::ends::offers;
use super::joining::Joining;
use super::keying::{self, Keying, Protection};
use super::leg::Refusal;
use super::party::Party;
use super::pressed::{DigitTerms, Pressed};
use super::record::{Fax, Video};
use super::taping::{self, Taping};
use super::{Encrypted, Facts, Record, Settings, Turn};
use crate::id::{FlowId, Side};
use crate::limits;
use crate::media::tone::Law;
use crate::media::{Codec, Command, Dialled, Digits, Line, Mapping, Play, Reporting, RtcpPort, SoundId, Stream, Trust};
use crate::policy::MediaKinds;
use crate::rng::Rng;
use crate::sdp::{
    self, AddressRules, Agreement, BadAddress, Carriage, Codecs, Description, Direction, Directions, Local,
    LocalStream, Master, Media, Outline, Remote,
};
use crate::time::Duration;
use crate::time::Wall;
use arrayvec::ArrayVec;
use std::hash::{DefaultHasher, Hasher};
use std::net::SocketAddr;

/// A bridge's media: both ends and the codecs between them.
#[derive(Debug)]
pub(super) struct Session {
    /// The relay's name for it.
    pub flow: FlowId,
    /// The codecs, in both numberings.
    pub agreement: Agreement,
    /// Whether it is recorded.
    pub taping: Taping,
    /// The keys that came by INFO.
    pub pressed: Pressed,
    /// When it became a fax first.
    faxed: Option<Wall>,
    caller: End,
    client: End,
}

/// One leg's end: what it said last, and what we say to it.
#[derive(Clone, Debug)]
pub(super) struct End {
    local: Local,
    outline: Outline,
    audio: Peer,
    /// While it has any.
    video: Option<Peer>,
    /// The same of a fax: where it is sent.
    fax: Option<Remote>,
    directions: Directions,
    /// The directions that it chose itself: what it offered last, and not what it answered to somebody's hold.
    wish: Directions,
    /// A hash of what it said last: a re-INVITE that repeats it changes nothing.
    said: u64,
    party: Party,
    /// The source of what it hears of us.
    voice: u32,
}

/// The other end of one of its streams.
#[derive(Clone, Default, Debug)]
struct Peer {
    remote: Remote,
    /// What it encrypts with.
    key: Option<Master>,
}

/// A leg's description as far as it concerns us.
#[derive(Clone, Debug)]
pub(super) struct Said {
    audio: Option<SaidStream>,
    video: Option<SaidStream>,
    fax: Option<Remote>,
    directions: Directions,
    hash: u64,
}

/// The same of one stream.
#[derive(Clone, Debug)]
struct SaidStream {
    remote: Remote,
    protection: Protection,
    rtcp_mux: bool,
}

/// What the relay is told of a session: each stream, both legs.
pub(super) type Commands = ArrayVec<Command, { 2 * Line::ALL.len() }>;

/// Lines besides audio.
pub(super) type Lines = ArrayVec<Line, { Line::FURTHER.len() }>;

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
    /// Reads where the author wants its audio, its video and its fax, and which way. There has to be audio, or a fax.
    pub(super) fn of(description: &Description<'_>, keying: Keying, settings: &Settings) -> Result<Said, Refusal> {
        let said = Said::of_any(description, keying, settings)?;
        if said.audio.is_none() && said.fax.is_none() {
            return Err(keying.nothing_in(description));
        }
        Ok(said)
    }

    /// The same of an answer, which may leave nothing of what was offered.
    fn of_any(description: &Description<'_>, keying: Keying, settings: &Settings) -> Result<Said, Refusal> {
        let rules = AddressRules { loopback: settings.loopback };
        let mut audio = None;
        if let Some((_, media)) = description.audio() {
            keying.check(media)?;
            audio = Some(SaidStream::of(media, rules).map_err(|error| not_acceptable(&error))?);
        }
        let video = description.video().and_then(|(_, video)| SaidStream::of(video, rules).ok());
        let fax = description.fax().and_then(|(_, fax)| fax.remote(rules).ok());
        Ok(Said { audio, video, fax, directions: description.directions(), hash: hash(description) })
    }

    /// What it does.
    pub(super) fn directions(&self) -> Directions {
        self.directions
    }
}

impl SaidStream {
    fn of(media: &Media<'_>, rules: AddressRules) -> Result<SaidStream, BadAddress> {
        let (protection, rtcp_mux) = (Protection::of(media), media.rtcp_mux);
        Ok(SaidStream { remote: media.remote(rules)?, protection, rtcp_mux })
    }

    /// Of an offer.
    fn take(self, ours: &mut LocalStream, before: Option<Peer>, rng: &mut Rng) -> Peer {
        let mut key = before.and_then(|peer| peer.key);
        self.protection.take(&mut ours.carriage, &mut key, rng);
        ours.rtcp_mux = self.rtcp_mux;
        Peer { remote: self.remote, key }
    }

    /// Of an answer.
    fn choose(self, ours: &mut LocalStream, before: Option<Peer>) -> Result<Peer, Refusal> {
        let mut key = before.and_then(|peer| peer.key);
        self.protection.choose(&mut ours.carriage, &mut key)?;
        // RFC 5761 §5.1.1: an answer cannot bring it up. Offers repeat it, so one that leaves it out ends it.
        ours.rtcp_mux &= self.rtcp_mux;
        Ok(Peer { remote: self.remote, key })
    }
}

impl End {
    /// An end that has not said anything yet.
    pub(super) fn new(address: SocketAddr, party: Party, turn: &mut Turn<'_>) -> End {
        let (session_id, carriage) = (turn.rng.u64() >> 1, party.keying(turn.settings).carriage(turn.rng));
        // As hard to guess as the session's number, of which it is a part.
        let voice = u32::try_from(session_id >> 31).unwrap_or(1);
        let audio = LocalStream { address, rtcp_mux: false, direction: Direction::SendRecv, carriage };
        End {
            local: Local { session_id, version: 0, audio, video: None, fax: None },
            outline: Outline::default(),
            audio: Peer::default(),
            video: None,
            fax: None,
            directions: Directions::all(Direction::SendRecv),
            wish: Directions::all(Direction::SendRecv),
            said: 0,
            party,
            voice,
        }
    }

    /// An end that has a port for a further line, too, if it may have that.
    pub(super) fn with_line(mut self, line: Line, address: Option<SocketAddr>, settings: &Settings) -> End {
        if let Some(address) = address.filter(|_| self.party.keying(settings).may_have(line)) {
            let (direction, carriage) = (Direction::Inactive, Carriage::default());
            let stream = Some(LocalStream { address, rtcp_mux: false, direction, carriage });
            match line {
                Line::Audio => {}
                Line::Video => self.local.video = stream,
                Line::Fax => self.local.fax = stream,
            }
        }
        self
    }

    fn has_port(&self, line: Line) -> bool {
        match line {
            Line::Audio => true,
            Line::Video => self.local.video.is_some(),
            Line::Fax => self.local.fax.is_some(),
        }
    }

    /// An end that has heard of a session of ours before, once, and is told of the same one from now on.
    pub(super) fn after(mut self, spoken: Option<Spoken>) -> End {
        if let Some(Spoken { session_id }) = spoken {
            self.local.session_id = session_id;
            self.local.version += 1;
        }
        self
    }

    /// What goes for its media: a further line is read where there are ports for it.
    fn keying(&self, settings: &Settings) -> Keying {
        let keying = self.party.keying(settings);
        Line::FURTHER.into_iter().fold(keying, |keying, line| keying.with(line, self.has_port(line)))
    }

    /// The lines of an offer of its that it may have, were there ports for them.
    pub(super) fn would_have(&self, offer: &[u8], settings: &Settings) -> Lines {
        let offer = self.party.keying(settings).read(offer).ok().filter(|offer| !self.repeats(offer));
        let has = |line: &Line| offer.as_ref().is_some_and(|offer| offers(offer, *line));
        Line::FURTHER.into_iter().filter(has).collect()
    }

    /// What it may have said, read.
    pub(super) fn read<'b>(&self, body: &'b [u8], settings: &Settings) -> Result<(Said, Description<'b>), Refusal> {
        let description = self.keying(settings).read(body)?;
        Ok((self.judge(&description, settings)?, description))
    }

    /// The same of a description that has been read.
    pub(super) fn judge(&self, description: &Description<'_>, settings: &Settings) -> Result<Said, Refusal> {
        Said::of(description, self.keying(settings), settings)
    }

    /// It has offered something new: the lines of its session are the offer's from now on.
    pub(super) fn hear(&mut self, said: Said, offer: &Description<'_>, rng: &mut Rng) {
        (self.directions, self.wish, self.said) = (said.directions, said.directions, said.hash);
        match said.audio {
            Some(audio) => {
                let before = Some(std::mem::take(&mut self.audio));
                self.audio = audio.take(&mut self.local.audio, before, rng);
            }
            None => self.without_audio(),
        }
        self.fax = said.fax.filter(|_| self.local.fax.is_some());
        let before = self.video.take();
        self.video = said.video.zip(self.local.video.as_mut()).map(|(said, ours)| said.take(ours, before, rng));
        self.outline.follow(offer);
    }

    /// Whether a description is the one it sent last.
    pub(super) fn repeats(&self, description: &Description<'_>) -> bool {
        self.said == hash(description)
    }

    /// Our offer to it, made of `proposed`, speaking for the other leg's `directions`.
    pub(super) fn offer(
        &mut self,
        side: Side,
        proposed: &Agreement,
        directions: Directions,
        turn: &mut Turn<'_>,
    ) -> Vec<u8> {
        if let (Some(video), None, Some(ours)) = (&proposed.video, &self.video, &mut self.local.video) {
            // New to it, and a key of before is never used again: its packets would be numbered as those of before.
            let carriage = self.party.keying(turn.settings).carriage(turn.rng);
            ours.carriage = Carriage { has_feedback: video.wishes(side.other()).has_feedback, ..carriage };
        }
        self.outline.fit(proposed);
        self.local = self.local.clone().changed(directions);
        let mut out = Vec::new();
        sdp::write_offer(&mut out, &self.outline, side, proposed, &self.local);
        out
    }

    /// Our answer to its offer, speaking for the other leg's `directions`.
    pub(super) fn answer(
        &mut self,
        side: Side,
        offer: &Description<'_>,
        agreement: &Agreement,
        directions: Directions,
    ) -> Vec<u8> {
        self.local = self.local.clone().changed(directions);
        let mut out = Vec::new();
        sdp::write_answer(&mut out, offer, side, agreement, &self.local);
        self.keep_to(agreement);
        out
    }

    /// What is not between the two it has not, whatever it would like.
    fn keep_to(&mut self, agreement: &Agreement) {
        if agreement.video.is_none() {
            (self.video, self.directions.video) = (None, Direction::Inactive);
        }
        if agreement.fax.is_none() {
            (self.fax, self.directions.fax) = (None, Direction::Inactive);
        }
        if !agreement.speaks {
            self.without_audio();
        }
    }

    /// It has no audio for now. Its keys stay: what it may say later is numbered as what was said before.
    fn without_audio(&mut self) {
        (self.audio.remote, self.directions.audio) = (Remote::default(), Direction::Inactive);
    }

    /// It has said nothing yet, and its first offer of ours is to speak for `other`, in this, too: who would have to offer RTCP on the RTP
    /// port without us does with us. Who is offered it may leave it.
    pub(super) fn speak_for(&mut self, other: &End) {
        self.local.audio.rtcp_mux = other.local.audio.rtcp_mux;
        if let Some((ours, others)) = self.local.video.as_mut().zip(other.local.video.as_ref()) {
            ours.rtcp_mux = others.rtcp_mux;
        }
    }

    /// It has answered our offer: what of `proposed` stands.
    pub(super) fn hear_answer(
        &mut self,
        side: Side,
        proposed: &Agreement,
        body: &[u8],
        settings: &Settings,
    ) -> Result<Agreement, Refusal> {
        let keying = self.keying(settings);
        let answer = keying.read(body)?;
        let said = Said::of_any(&answer, keying, settings)?;
        let mut agreement =
            sdp::accept_answer(side, proposed, &self.outline, &answer).map_err(|error| not_acceptable(&error))?;
        let video = said.video.filter(|_| agreement.video.is_some()).zip(self.local.video.as_mut());
        // An answer without the key that it needs refuses the video.
        let video = video.and_then(|(said, ours)| said.choose(ours, self.video.clone()).ok());
        if let Some(audio) = said.audio.filter(|_| agreement.speaks) {
            self.audio = audio.choose(&mut self.local.audio, Some(self.audio.clone()))?;
        }
        self.fax = said.fax.filter(|_| self.local.fax.is_some());
        (self.video, self.directions, self.said) = (video, said.directions, said.hash);
        agreement.video.take_if(|_| self.video.is_none());
        agreement.fax.take_if(|_| self.fax.is_none());
        self.keep_to(&agreement);
        Ok(agreement)
    }

    /// The lines of its session, for a proposal.
    pub(super) fn outline(&self) -> &Outline {
        &self.outline
    }

    /// What it said it does.
    pub(super) fn directions(&self) -> Directions {
        self.directions
    }

    /// What it would do, if the other side lets it.
    pub(super) fn wish(&self) -> Directions {
        self.wish
    }

    /// What the relay is told of its audio, if it is neither to hear anything of us nor to send anything for now.
    pub(super) fn stream(&self, side: Side, agreement: &Agreement) -> Stream {
        self.describe((Line::Audio, side), Some(&agreement.audio), (&self.local.audio, &self.audio))
    }

    /// The same of its video, if there are ports for it.
    fn video(&self, side: Side, agreement: &Agreement) -> Option<Stream> {
        let (ours, nobody) = (self.local.video.as_ref()?, Peer::default());
        let peer = self.video.as_ref().unwrap_or(&nobody);
        Some(self.describe((Line::Video, side), agreement.video.as_deref(), (ours, peer)))
    }

    /// The same of its fax: what is sent there is neither RTP nor encrypted.
    fn fax(&self, side: Side) -> Option<Stream> {
        let peer = Peer { remote: Remote { rtcp: None, ..self.fax.unwrap_or_default() }, key: None };
        Some(self.describe((Line::Fax, side), None, (self.local.fax.as_ref()?, &peer)))
    }

    fn describe(
        &self,
        (line, side): (Line, Side),
        codecs: Option<&Codecs>,
        (ours, peer): (&LocalStream, &Peer),
    ) -> Stream {
        let mapping = |(number, agreed): (sdp::Renumbering, &sdp::Agreed)| Mapping {
            here: number.here,
            there: number.there,
            clock_rate: number.clock_rate,
            clock_rate_there: number.clock_rate_there,
            telephone_event: number.telephone_event,
            codec: Codec::named(&agreed.encoding),
        };
        let numbers = codecs.into_iter().flat_map(|codecs| codecs.renumbering(side).zip(&codecs.list));
        Stream {
            line,
            remote_rtp: peer.remote.rtp,
            rtcp: if ours.rtcp_mux { RtcpPort::Shared } else { RtcpPort::Own(peer.remote.rtcp) },
            signalling: self.party.address,
            // Callers come from trunks that the operator has let in; a client may be anybody with a grant.
            trust: if self.party.is_trunk() { Trust::Burst } else { Trust::Nothing },
            plays: None,
            payload_types: numbers.map(mapping).take(limits::CODECS_MAX).collect(),
            sends: false,
            silence_max: None,
            keys: keying::keys(&ours.carriage, peer.key.as_ref()),
            recording: None,
            digits: Digits { reporting: Reporting::Off, ..Digits::default() },
        }
    }

    /// The same of one that hears a sound of ours, if it can: not only for a moment, where its address is certainly its own.
    pub(super) fn hearing(&self, side: Side, agreement: &Agreement, sound: Option<SoundId>) -> Stream {
        let stream = self.stream(side, agreement);
        let plays = sound.and_then(|sound| playable(side, agreement, sound, self.voice));
        let is_its_own = self.audio.remote.rtp.is_some_and(|named| self.party.owns(named.ip()));
        let trust = if plays.is_some() && is_its_own { Trust::Address } else { stream.trust };
        Stream { plays, trust, ..stream }
    }

    /// It was free to choose what it said.
    pub(super) fn has_chosen(&mut self) {
        self.wish = self.directions;
    }
}

impl Session {
    /// Both ends have spoken.
    pub(super) fn new(flow: FlowId, agreement: Agreement, taping: Taping, [caller, client]: [End; 2]) -> Session {
        Session { flow, agreement, taping, pressed: Pressed::default(), faxed: None, caller, client }
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
    pub(super) fn renew_client(&mut self, client: &Joining, may: MediaKinds, turn: &mut Turn<'_>) {
        let reachable = |local: &LocalStream| turn.settings.reachable(local.address, client.peer());
        let (audio, video) = (reachable(&self.client.local.audio), self.client.local.video.as_ref().map(reachable));
        let party = Party::client(client.dialog(), client.peer(), may, turn);
        let end = End::new(audio, party, turn).with_line(Line::Video, video, turn.settings);
        self.client = end.after(client.spoken());
        self.agreement.video.take_if(|_| self.client.local.video.is_none());
    }

    /// Whether there may be a line, and there are no ports for it. A call that is recorded is no fax.
    pub(super) fn lacks(&self, line: Line, settings: &Settings) -> bool {
        let ends = [&self.caller, &self.client];
        let may = ends.iter().all(|end| end.party.keying(settings).may_have(line));
        let is_barred = line == Line::Fax && self.taping.sides().is_some();
        may && !is_barred && ends.iter().any(|end| !end.has_port(line))
    }

    /// There are ports for a line: the caller's and the client's.
    pub(super) fn open_line(&mut self, line: Line, ports: (SocketAddr, SocketAddr), settings: &Settings) {
        for (end, port) in [(&mut self.caller, ports.0), (&mut self.client, ports.1)] {
            let address = settings.reachable(port, end.party.address);
            if !end.has_port(line) {
                *end = end.clone().with_line(line, Some(address), settings);
            }
        }
    }

    /// Both sides have agreed on something: whether it is a fax.
    pub(super) fn note_fax(&mut self, now: Wall) {
        if self.agreement.fax.is_some() {
            self.faxed.get_or_insert(now);
        }
    }

    /// It waits for another client, and whoever comes may have no fax.
    pub(super) fn forget_fax(&mut self) {
        (self.caller.local.fax, self.client.local.fax, self.agreement.fax) = (None, None, None);
    }

    /// What the relay is told of a caller that waits for another client: that its address stays valid, and that nobody hears it.
    pub(super) fn hold_command(&self, settings: &Settings) -> Command {
        // How long it may be silent is how long it may wait, which is not the relay's to know.
        let stream = self.caller.hearing(Side::Caller, &self.agreement, settings.hold_sound);
        Command::Set { flow: self.flow, side: Side::Caller, stream }
    }

    /// What such a caller is offered: to hear, if there is something that it can hear.
    pub(super) fn hold_directions(&self, settings: &Settings) -> Directions {
        let sound = settings.hold_sound.and_then(|sound| playable(Side::Caller, &self.agreement, sound, 0));
        let audio = if sound.is_some() { Direction::SendOnly } else { Direction::Inactive };
        Directions { audio, ..Directions::all(Direction::Inactive) }
    }

    /// What the relay is to be told of both legs.
    pub(super) fn commands(&self, settings: &Settings) -> Commands {
        let sides = [Side::Caller, Side::Client];
        let audio = sides.map(|side| Some((side, self.stream(side, settings))));
        let video = sides.map(|side| Some((side, self.video(side)?)));
        let fax = sides.map(|side| Some((side, self.fax(side, settings)?)));
        let told = audio.into_iter().chain(video).chain(fax).flatten();
        told.map(|(side, stream)| Command::Set { flow: self.flow, side, stream }).collect()
    }

    /// What begins its recording.
    pub(super) fn record_command(&self, facts: &Facts) -> Option<Command> {
        Some(Command::Record { flow: self.flow, file: taping::file(facts), sides: self.taping.sides()? })
    }

    /// Writes its codecs, how both sides are encrypted, and what it counts, into the record of the call.
    pub(super) fn write(&self, record: &mut Record, settings: &Settings) {
        record.digits = self.pressed.counts(settings.digits.reporting);
        let codec =
            |codecs: &Codecs| codecs.first().map(|codec| format!("{}/{}", codec.encoding, codec.caller.clock_rate));
        let srtp = |stream: fn(&End) -> Option<&Peer>| {
            let suite = |end: &End| Some(stream(end)?.key.as_ref()?.suite().as_str());
            Encrypted { caller: suite(&self.caller), client: suite(&self.client) }
        };
        (record.codec, record.srtp) = (codec(&self.agreement.audio), srtp(|end| Some(&end.audio)));
        let video = self.agreement.video.as_deref();
        record.fax = self.faxed.map(Fax::begun);
        record.video =
            video.map(|video| Video { codec: codec(video), srtp: srtp(|end| end.video.as_ref()), media: None });
    }

    fn stream(&self, side: Side, settings: &Settings) -> Stream {
        let sends = sdp::sends(side, self.caller.directions.audio, self.client.directions.audio);
        let silence_max = match (self.agreement.speaks, self.agreement.fax.is_some()) {
            (true, false) if sends => Some(settings.silence),
            // Of audio beside a fax nobody knows which of the two is used.
            (true, _) | (false, false) => Some(settings.hold_silence),
            (false, true) => None,
        };
        let end = self.end_of(side);
        let play = |sound| playable(side, &self.agreement, sound, end.voice);
        let recording = self.taping.stream(side, &self.agreement, settings, play);
        let digits = self.digits(side, settings);
        Stream { sends, silence_max, recording, digits, ..end.stream(side, &self.agreement) }
    }

    /// What presses keys for a side to hear, if it has telephone-event and is to hear the other one.
    pub(super) fn press_command(&self, side: Side, dialled: Dialled, duration: Option<Duration>) -> Option<Command> {
        let hears = sdp::sends(side.other(), self.caller.directions.audio, self.client.directions.audio);
        let has_events = self.agreement.audio.list.iter().any(|agreed| agreed.telephone_event);
        (hears && has_events).then_some(Command::Press { flow: self.flow, side, dialled, duration })
    }

    /// What is made of the keys of a side.
    fn digits(&self, side: Side, settings: &Settings) -> Digits {
        let DigitTerms { reporting, in_band, .. } = settings.digits;
        let list = || self.agreement.audio.list.iter();
        // Who has agreed on telephone-event presses keys in it (RFC 4733 §2.5.1.1).
        let has_events = || list().any(|agreed| agreed.telephone_event);
        let is_heard = || list().any(|agreed| agreed.encoding(side).is_g711());
        let in_band = in_band && reporting != Reporting::Off && is_heard() && !has_events();
        Digits { reporting, in_band }
    }

    /// A camera may be switched off, so nobody waits for it.
    fn video(&self, side: Side) -> Option<Stream> {
        let sends = sdp::sends(side, self.caller.directions.video, self.client.directions.video);
        Some(Stream { sends, ..self.end_of(side).video(side, &self.agreement)? })
    }

    /// A fax that is alone ends with its datagrams; beside audio, or on hold, it may be silent.
    fn fax(&self, side: Side, settings: &Settings) -> Option<Stream> {
        let sends = sdp::sends(side, self.caller.directions.fax, self.client.directions.fax);
        let stream = self.end_of(side).fax(side)?;
        let alone = !self.agreement.speaks && self.agreement.fax.is_some();
        let silence_max = alone.then_some(if sends { limits::FAX_SILENCE_MAX } else { settings.hold_silence });
        Some(Stream { sends, silence_max, ..stream })
    }

    fn end_of(&self, side: Side) -> &End {
        match side {
            Side::Caller => &self.caller,
            Side::Client => &self.client,
        }
    }
}

/// How a side can hear a sound of ours: in the G.711 that is agreed on. `None`: it cannot.
fn playable(side: Side, agreement: &Agreement, sound: SoundId, ssrc: u32) -> Option<Play> {
    agreement.audio.list.iter().filter(|agreed| agreed.encoding(side).is_g711()).find_map(|agreed| {
        Some(Play { sound, law: Law::named(&agreed.encoding)?, payload_type: agreed.leg(side).to_leg, ssrc })
    })
}
