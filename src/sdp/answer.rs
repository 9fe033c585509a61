//! Offer/answer (RFC 3264) of one stream between two legs: one set of codecs for both, under each leg's own numbers.
//! Not here: which streams there are (`agreement`), addresses and directions (`write`, `direction`), and transcoding: what the two do not
//! share is not agreed.

use super::media::{Encoding, Format, Kind, Media, Role};
use super::parameters::{Fit, Terms};
use super::write::Outline;
use crate::id::Side;
use crate::limits;
use arrayvec::ArrayVec;
use std::fmt;
use std::ops::RangeInclusive;

/// What both legs can send and receive in one stream, or, before the answer, what is proposed to one of them. Owned: it outlives the
/// messages.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Codecs {
    /// By preference (the offerer's, and after an answer the answerer's), then comfort noise and telephone-event. At most
    /// [`limits::CODECS_MAX`]; not an array of so many, because most calls agree on three.
    pub list: Box<[Agreed]>,
    /// What the caller would like to get; written to the client.
    pub caller: Wishes,
    /// The same of the client; written to the caller.
    pub client: Wishes,
}

/// What one leg would like to get, whatever the codec.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Wishes {
    /// Milliseconds of audio in a packet.
    pub ptime_ms: Option<u8>,
    /// Values of `b=`.
    pub bandwidth: Vec<Box<[u8]>>,
    /// Whether it has feedback by RTCP (RFC 4585): an offer that is made of it has, too.
    pub has_feedback: bool,
}

/// One codec of a stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Agreed {
    /// Encoding name, as its offerer wrote it.
    pub encoding: Box<str>,
    /// Channels.
    pub channels: u8,
    /// Whether it is telephone-event (RFC 4733).
    pub telephone_event: bool,
    /// Its numbers on the caller's leg.
    pub caller: LegFormat,
    /// Its numbers on the client's leg.
    pub client: LegFormat,
}

/// How one leg and we number a codec. The two differ only where an answerer chose a number of its own (RFC 3264 §5.1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LegFormat {
    /// The number that we wrote to the leg: packets from it carry this one.
    pub from_leg: u8,
    /// The number that the leg wrote to us: packets to it carry this one.
    pub to_leg: u8,
    /// RTP clock rate, Hz; never 0. The other leg's, except of telephone-event, which each leg may have at a clock of its own.
    pub clock_rate: u32,
    /// The leg's own `a=fmtp`: what it wants to get, so it is written to the other.
    pub fmtp: Option<Box<[u8]>>,
    /// The feedback by RTCP that the leg can do for it (RFC 4585 §4.2): the other is told of what both can.
    pub feedback: Vec<Box<[u8]>>,
}

/// One payload type in packets from one leg and as the other leg is to get it: what `media::Mapping` is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Renumbering {
    /// The number in packets from this leg.
    pub here: u8,
    /// The number in packets to the other leg.
    pub there: u8,
    /// RTP clock rate of packets from this leg, Hz.
    pub clock_rate: u32,
    /// The same of packets to the other leg: another one only of telephone-event.
    pub clock_rate_there: u32,
    /// Whether it is telephone-event.
    pub telephone_event: bool,
}

/// Why two legs cannot be bridged as they stand: 488 (RFC 3261 §13.3.1.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotAgreed {
    /// No RTP/AVP audio with a port, or an answer refused it.
    NoAudio,
    /// No audio codec that both have; telephone-event and comfort noise alone are not enough.
    NoCommonCodec,
}

impl fmt::Display for NotAgreed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NotAgreed::NoAudio => {
                "no audio over RTP/AVP, or over RTP/SAVP with a key of a kind that is known, and no fax by T.38 over UDPTL"
            }
            NotAgreed::NoCommonCodec => "no audio codec in common",
        })
    }
}

impl std::error::Error for NotAgreed {}

impl Codecs {
    /// Of a call that never had audio.
    pub(super) fn none() -> Codecs {
        Codecs { list: Box::default(), caller: Wishes::default(), client: Wishes::default() }
    }

    /// The same of G.711 and keys alone: what we can make words of.
    pub(super) fn telephony_only(&self) -> Result<Codecs, NotAgreed> {
        let is_ours = |agreed: &&Agreed| agreed.telephone_event || agreed.encoding(Side::Caller).is_g711();
        let list = self.list.iter().filter(is_ours).cloned().collect();
        Codecs::new(list, self.caller.clone(), self.client.clone())
    }

    /// The one that is preferred: for records.
    pub fn first(&self) -> Option<&Agreed> {
        self.list.first()
    }

    /// For packets from `side`: each number and what the other leg calls it.
    pub fn renumbering(&self, side: Side) -> impl Iterator<Item = Renumbering> + '_ {
        self.list.iter().map(move |agreed| Renumbering {
            here: agreed.leg(side).from_leg,
            there: agreed.leg(side.other()).to_leg,
            clock_rate: agreed.leg(side).clock_rate,
            clock_rate_there: agreed.leg(side.other()).clock_rate,
            telephone_event: agreed.telephone_event,
        })
    }

    /// What a leg would like to get.
    pub fn wishes(&self, side: Side) -> &Wishes {
        match side {
            Side::Caller => &self.caller,
            Side::Client => &self.client,
        }
    }

    pub(super) fn new(pairs: Vec<Agreed>, caller: Wishes, client: Wishes) -> Result<Codecs, NotAgreed> {
        Ok(Codecs { list: settled(pairs)?, caller, client })
    }

    /// Of a leg's wishes and the other's.
    fn of(side: Side, pairs: Vec<Agreed>, own: Wishes, others: Wishes) -> Result<Codecs, NotAgreed> {
        match side {
            Side::Caller => Codecs::new(pairs, own, others),
            Side::Client => Codecs::new(pairs, others, own),
        }
    }
}

impl Wishes {
    fn of(media: &Media<'_>) -> Wishes {
        let bandwidth = media.bandwidth.iter().map(|value| Box::from(*value)).collect();
        Wishes { ptime_ms: media.ptime_ms, bandwidth, has_feedback: media.protocol.has_feedback() }
    }
}

impl Agreed {
    /// The codec on one leg.
    pub fn leg(&self, side: Side) -> &LegFormat {
        match side {
            Side::Caller => &self.caller,
            Side::Client => &self.client,
        }
    }

    /// What a leg calls it.
    pub fn encoding(&self, side: Side) -> Encoding<'_> {
        Encoding { name: &self.encoding, clock_rate: self.leg(side).clock_rate, channels: self.channels }
    }

    pub(super) fn new(encoding: &Encoding<'_>, caller: LegFormat, client: LegFormat) -> Agreed {
        let telephone_event = encoding.role() == Role::TelephoneEvent;
        Agreed { encoding: encoding.name.into(), channels: encoding.channels, telephone_event, caller, client }
    }

    fn leg_mut(&mut self, side: Side) -> &mut LegFormat {
        match side {
            Side::Caller => &mut self.caller,
            Side::Client => &mut self.client,
        }
    }

    /// RFC 4585 §4.2: an answer names no feedback that was not offered.
    fn with_common_feedback(mut self) -> Agreed {
        let (caller, client) = (&mut self.caller.feedback, &mut self.client.feedback);
        caller.retain(|value| client.contains(value));
        client.retain(|value| caller.contains(value));
        self
    }

    /// Does to both legs' parameters what their fitting together asks for.
    fn fitted(mut self, fit: Fit) -> Agreed {
        match fit {
            Fit::AsWritten => {}
            Fit::Without(extension) => {
                self.caller.fmtp = Some(extension.as_bytes().into());
                self.client.fmtp = Some(extension.as_bytes().into());
            }
        }
        self
    }
}

impl LegFormat {
    pub(super) fn new(number: u8, encoding: &Encoding<'_>, fmtp: Option<&[u8]>) -> LegFormat {
        let (clock_rate, fmtp) = (encoding.clock_rate, fmtp.map(Box::from));
        LegFormat { from_leg: number, to_leg: number, clock_rate, fmtp, feedback: Vec::new() }
    }

    /// What a leg says of a format.
    fn of(media: &Media<'_>, (format, encoding): (&Format<'_>, Encoding<'_>)) -> LegFormat {
        let feedback = feedback(media, format);
        LegFormat { feedback, ..LegFormat::new(format.payload_type, &encoding, format.fmtp) }
    }
}

/// What a stream's author says of feedback for a format.
fn feedback(media: &Media<'_>, format: &Format<'_>) -> Vec<Box<[u8]>> {
    let own = |(of, _): &&(Option<u8>, &[u8])| of.is_none_or(|of| of == format.payload_type);
    media.feedback.iter().filter(own).map(|(_, value)| Box::from(*value)).collect()
}

/// Whether both describe streams of one kind that are relayed.
fn is_relayed(kind: Kind<'_>, media: &Media<'_>) -> bool {
    media.kind == kind && media.is_relayed()
}

/// Makes one codec set of both legs' offers, in the caller's order of preference.
pub(super) fn agree(caller: &Media<'_>, client: &Media<'_>) -> Result<Codecs, NotAgreed> {
    if !caller.is_relayed() || !is_relayed(caller.kind, client) {
        return Err(NotAgreed::NoAudio);
    }
    let audio = |format| read(format).filter(|(_, encoding, _)| encoding.role() != Role::TelephoneEvent);
    let mut free: Vec<Read<'_>> = client.formats.iter().filter_map(audio).collect();
    let mut codecs = Vec::new();
    for (here, encoding, terms) in caller.formats.iter().filter_map(audio) {
        let fits = |(_, other, others): &Read<'_>| if *other == encoding { terms.fit(others) } else { None };
        let pair = free.iter().enumerate().find_map(|(at, there)| fits(there).map(|fit| (at, fit)));
        let Some((at, fit)) = pair else { continue };
        let (there, ..) = free.remove(at);
        codecs.push(paired((caller, (here, encoding)), (client, (there, encoding))).fitted(fit));
    }
    let extras = pair_events(&clocks(&codecs), caller, client);
    codecs.extend(extras);
    Codecs::new(codecs, Wishes::of(caller), Wishes::of(client))
}

/// Telephone-event of both legs, once for each clock of the audio. RFC 4733 §2.1 has events on the clock of the audio that they are among, so
/// rather both legs have theirs at it; where one of them has not, the relay counts the durations anew for it (`media::rescale`). Where
/// neither has, nobody could say what a time among the audio's means.
fn pair_events(audio: &[u32], of_caller: &Media<'_>, of_client: &Media<'_>) -> Vec<Agreed> {
    let (mut caller, mut client) = (events(of_caller), events(of_client));
    let both = audio.iter().map(|&clock| (Some(clock), Some(clock)));
    let either = audio.iter().flat_map(|&clock| [(Some(clock), None), (None, Some(clock))]);
    let mut pairs = Vec::new();
    for (here, there) in both.chain(either) {
        let is_at =
            |clock: Option<u32>, (_, encoding): &Event<'_>| clock.is_none_or(|clock| encoding.clock_rate == clock);
        let [at_caller, at_client] = [(&caller, here), (&client, there)]
            .map(|(events, clock)| events.iter().position(|event| is_at(clock, event)));
        if let (Some(at_caller), Some(at_client)) = (at_caller, at_client) {
            pairs.push(paired((of_caller, caller.remove(at_caller)), (of_client, client.remove(at_client))));
        }
    }
    pairs
}

/// The clocks of audio, each once, in the audio's order.
fn clocks(codecs: &[Agreed]) -> ArrayVec<u32, AUDIO_MAX> {
    let mut clocks = ArrayVec::new();
    let audio = codecs.iter().filter(|agreed| agreed.encoding(Side::Caller).role() == Role::Codec).take(AUDIO_MAX);
    for clock in audio.map(|agreed| agreed.caller.clock_rate) {
        if !clocks.contains(&clock) {
            clocks.push(clock);
        }
    }
    clocks
}

fn paired((of_caller, caller): (&Media<'_>, Event<'_>), (of_client, client): (&Media<'_>, Event<'_>)) -> Agreed {
    let (here, there) = (LegFormat::of(of_caller, caller), LegFormat::of(of_client, client));
    Agreed::new(&caller.1, here, there).with_common_feedback()
}

/// A format with what is compared of it.
type Read<'a> = (&'a Format<'a>, Encoding<'a>, Terms<'a>);
/// A telephone-event, with its clock.
type Event<'a> = (&'a Format<'a>, Encoding<'a>);

/// A format, if anything explains its number.
fn read<'a>(format: &'a Format<'a>) -> Option<Read<'a>> {
    let encoding = format.encoding?;
    Some((format, encoding, Terms::of(encoding.name, format.fmtp)))
}

/// Telephone-event at clocks that may be.
fn events<'a>(media: &'a Media<'a>) -> Vec<Event<'a>> {
    let is_event = |encoding: &Encoding<'_>| {
        encoding.role() == Role::TelephoneEvent
            && encoding.channels == 1
            && limits::EVENT_CLOCK_RATES.contains(&encoding.clock_rate)
    };
    media.formats.iter().filter_map(|format| Some((format, format.encoding.filter(is_event)?))).collect()
}

/// Turns a stream of `from`'s offer into one for the other leg. A codec keeps the number by which the other leg knows it from `known`
/// (RFC 3264 §8.3.2), and telephone-event its clock; a new one gets `from`'s number if that was never used in the other leg's session (`outline`), else a free one.
pub(super) fn propose(
    from: Side,
    offer: &Media<'_>,
    known: Option<&Codecs>,
    outline: &Outline,
) -> Result<Codecs, NotAgreed> {
    if !offer.is_relayed() {
        return Err(NotAgreed::NoAudio);
    }
    let to = from.other();
    let mut numbers = Numbers::new(to, known, outline);
    let mut codecs = Vec::new();
    for format in &offer.formats {
        let Some(encoding) = format.encoding else { continue };
        let Some((number, clock_rate)) = numbers.choose(&encoding, format) else { continue };
        let here = LegFormat::of(offer, (format, encoding));
        let there = LegFormat::new(number, &Encoding { clock_rate, ..encoding }, None);
        codecs.push(match from {
            Side::Caller => Agreed::new(&encoding, here, there),
            Side::Client => Agreed::new(&encoding, there, here),
        });
    }
    let others = known.map(|known| known.wishes(to).clone()).unwrap_or_default();
    Codecs::of(from, codecs, Wishes::of(offer), others)
}

/// Reads a stream of `side`'s answer: what of the proposed codecs stands, in the answerer's order (RFC 3264 §6.1).
pub(super) fn accept(side: Side, proposed: &Codecs, media: &Media<'_>) -> Result<Codecs, NotAgreed> {
    let mut open: Vec<(&Agreed, Terms<'_>)> = with_terms(&proposed.list, side.other());
    let mut codecs = Vec::new();
    for format in &media.formats {
        let Some((at, fit)) = find(&open, side, format) else { continue };
        let mut agreed = open.remove(at).0.clone();
        let leg = agreed.leg_mut(side);
        (leg.to_leg, leg.fmtp) = (format.payload_type, format.fmtp.map(Box::from));
        leg.feedback = feedback(media, format);
        codecs.push(agreed.fitted(fit).with_common_feedback());
    }
    Codecs::of(side, codecs, Wishes::of(media), proposed.wishes(side.other()).clone())
}

/// Codecs with what is compared of one leg's parameters.
fn with_terms(codecs: &[Agreed], side: Side) -> Vec<(&Agreed, Terms<'_>)> {
    codecs.iter().map(|agreed| (agreed, Terms::of(&agreed.encoding, agreed.leg(side).fmtp.as_deref()))).collect()
}

/// Which of the proposed codecs an answered format stands for: rather the one under our number, but RFC 3264 §6.1 lets the
/// answerer take another.
fn find(open: &[(&Agreed, Terms<'_>)], side: Side, answered: &Format<'_>) -> Option<(usize, Fit)> {
    let is_ours = |agreed: &Agreed| agreed.leg(side).from_leg == answered.payload_type;
    let fits = |(at, (agreed, terms)): (usize, &(&Agreed, Terms<'_>))| {
        // some answer with our number alone and leave out what it means
        let same = answered.encoding.map_or(is_ours(agreed), |encoding| encoding == agreed.encoding(side));
        let fit = if same { terms.fit(&Terms::of(&agreed.encoding, answered.fmtp)) } else { None };
        fit.map(|fit| (at, fit))
    };
    let all = || open.iter().enumerate();
    all().filter(|(_, (agreed, _))| is_ours(agreed)).find_map(fits).or_else(|| all().find_map(fits))
}

/// How many of a stream's codecs may be audio: the rest is for keys and comfort noise.
const AUDIO_MAX: usize = limits::CODECS_MAX - 2;

/// What of the pairs is agreed on: the first few codecs, then what belongs to them. Telephone-event and comfort
/// noise share the audio's timestamps, so only those are of use that one of the legs has at an agreed audio clock rate (RFC 4733 §2.1,
/// RFC 3389 §4).
fn settled(pairs: Vec<Agreed>) -> Result<Box<[Agreed]>, NotAgreed> {
    let of = |role| pairs.iter().filter(move |agreed: &&Agreed| agreed.encoding(Side::Caller).role() == role);
    let audio: Vec<&Agreed> = of(Role::Codec).take(AUDIO_MAX).collect();
    if audio.is_empty() {
        return Err(NotAgreed::NoCommonCodec);
    }
    let belongs = |extra: &&Agreed| {
        audio
            .iter()
            .any(|agreed| [&extra.caller, &extra.client].iter().any(|leg| leg.clock_rate == agreed.caller.clock_rate))
    };
    let extras = of(Role::TelephoneEvent).chain(of(Role::ComfortNoise)).filter(belongs);
    Ok(audio.iter().copied().chain(extras).take(limits::CODECS_MAX).cloned().collect())
}

/// Gives out payload types for one offer to a leg.
struct Numbers<'a> {
    to: Side,
    /// Codecs that keep their number, until they have it.
    known: Vec<(&'a Agreed, Terms<'a>)>,
    /// In this offer: no other codec can have these.
    taken: u128,
    /// Earlier in the session: no other dynamic type should have these.
    used: u128,
}

impl<'a> Numbers<'a> {
    fn new(to: Side, known: Option<&'a Codecs>, outline: &Outline) -> Numbers<'a> {
        let codecs = known.map(|known| &*known.list).unwrap_or_default();
        let number = |agreed: &Agreed| bit(agreed.leg(to).from_leg) | bit(agreed.leg(to).to_leg);
        let taken = codecs.iter().map(number).fold(0, |taken, number| taken | number);
        let known = with_terms(codecs, to);
        Numbers { to, known, taken, used: outline.used() }
    }

    /// The number of a codec of the other side's, and the clock rate that it has under it.
    fn choose(&mut self, encoding: &Encoding<'_>, format: &Format<'_>) -> Option<(u8, u32)> {
        let new = |numbers: &Self| Some((numbers.new_number(encoding, format)?, encoding.clock_rate));
        let chosen = self.known_number(encoding, format.fmtp).or_else(|| new(self))?;
        self.taken |= bit(chosen.0);
        Some(chosen)
    }

    fn known_number(&mut self, encoding: &Encoding<'_>, fmtp: Option<&[u8]>) -> Option<(u8, u32)> {
        let terms = Terms::of(encoding.name, fmtp);
        let from = self.to.other();
        let same =
            |(agreed, others): &(&Agreed, Terms<'_>)| agreed.encoding(from) == *encoding && terms.fit(others).is_some();
        let at = self.known.iter().position(same)?;
        let known = self.known.remove(at).0.leg(self.to);
        Some((known.from_leg, known.clock_rate))
    }

    fn new_number(&self, encoding: &Encoding<'_>, format: &Format<'_>) -> Option<u8> {
        const DYNAMIC: RangeInclusive<u8> = 96..=127; // RFC 3551 §3
        let is_free = |number: &u8| (self.taken | self.used) & bit(*number) == 0;
        let own = format.payload_type;
        let is_static = Encoding::of_static(own).as_ref() == Some(encoding) && self.taken & bit(own) == 0;
        if is_static || (DYNAMIC.contains(&own) && is_free(&own)) {
            Some(own)
        } else {
            DYNAMIC.into_iter().find(is_free)
        }
    }
}

/// A payload type in a set of them.
pub(super) fn bit(payload_type: u8) -> u128 {
    1u128.checked_shl(u32::from(payload_type)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::Description;
    use super::*;

    const HEAD: &str = "v=0\no=- 1 1 IN IP4 192.0.2.1\nc=IN IP4 192.0.2.1\n";

    /// A description whose only stream is given as its formats and, separated by `|`, its attributes' values.
    fn body(formats: &str, attributes: &str) -> String {
        let attributes: String = attributes.split('|').filter(|a| !a.is_empty()).map(|a| format!("a={a}\n")).collect();
        format!("{HEAD}m=audio 4000 RTP/AVP {formats}\n{attributes}")
    }

    fn agreed(caller: (&str, &str), client: (&str, &str)) -> Result<Codecs, NotAgreed> {
        let [caller, client] = [caller, client].map(|(formats, attributes)| body(formats, attributes));
        let [caller, client] = [&caller, &client].map(|body| Description::parse(body.as_bytes()).unwrap());
        agree(&caller.media[0], &client.media[0])
    }

    /// What stands of a proposal to the client, by its answer.
    fn answered(proposed: &Codecs, answer: &Description<'_>) -> Result<Codecs, NotAgreed> {
        let (_, media) = answer.audio().ok_or(NotAgreed::NoAudio)?;
        accept(Side::Client, proposed, media)
    }

    /// `caller=client name/clock`, joined by `, `; `from>to` where a leg has two numbers.
    fn told(agreement: &Codecs) -> String {
        let number = |leg: &LegFormat| match (leg.from_leg, leg.to_leg) {
            (from, to) if from == to => from.to_string(),
            (from, to) => format!("{from}>{to}"),
        };
        let codec = |agreed: &Agreed| {
            let (caller, client) = (number(&agreed.caller), number(&agreed.client));
            let clock = |side: Side| agreed.leg(side).clock_rate;
            match (clock(Side::Caller), clock(Side::Client)) {
                (one, other) if one == other => format!("{caller}={client} {}/{one}", agreed.encoding),
                (one, other) => format!("{caller}={client} {}/{one}={other}", agreed.encoding),
            }
        };
        agreement.list.iter().map(codec).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn two_offers_make_one_codec_set_in_the_callers_order() {
        const EVENT_101: &str = "rtpmap:101 telephone-event/8000";
        const EVENT_96: &str = "rtpmap:96 telephone-event/8000";
        const OPUS_111: &str = "rtpmap:111 opus/48000/2";
        for (rule, caller, client, expected) in [
            ("the same", ("0 8", ""), ("0 8", ""), "0=0 PCMU/8000, 8=8 PCMA/8000"),
            ("the caller's order", ("0 8", ""), ("8 0", ""), "0=0 PCMU/8000, 8=8 PCMA/8000"),
            ("only what both have", ("0 3 8", ""), ("9 8", ""), "8=8 PCMA/8000"),
            ("static by name", ("0", ""), ("100", "rtpmap:100 pcmu/8000"), "0=100 PCMU/8000"),
            ("dynamic by name", ("111", OPUS_111), ("96", "rtpmap:96 OPUS/48000/2"), "111=96 opus/48000"),
            ("events", ("0 101", EVENT_101), ("0 96", EVENT_96), "0=0 PCMU/8000, 101=96 telephone-event/8000"),
            (
                "events stand last",
                ("101 0", EVENT_101),
                ("0 96", EVENT_96),
                "0=0 PCMU/8000, 101=96 telephone-event/8000",
            ),
            (
                "crossed numbers",
                ("96 97 98", "rtpmap:96 opus/48000/2|rtpmap:97 speex/16000|rtpmap:98 telephone-event/48000"),
                ("96 97 98", "rtpmap:96 telephone-event/48000|rtpmap:97 opus/48000/2|rtpmap:98 speex/16000"),
                "96=97 opus/48000, 97=98 speex/16000, 98=96 telephone-event/48000",
            ),
            ("comfort noise", ("0 13", ""), ("0 13", ""), "0=0 PCMU/8000, 13=13 CN/8000"),
            (
                "other parameters are another codec",
                ("97 98", "rtpmap:97 AMR/8000|fmtp:97 octet-align=1|rtpmap:98 AMR/8000"),
                ("100 101", "rtpmap:100 AMR/8000|rtpmap:101 AMR/8000|fmtp:101 octet-align=1"),
                "97=101 AMR/8000, 98=100 AMR/8000",
            ),
            (
                "one partner each",
                ("97 98", "rtpmap:97 L8/8000|rtpmap:98 L8/8000"),
                ("99", "rtpmap:99 L8/8000"),
                "97=99 L8/8000",
            ),
            (
                "redundancy hides payload types from the relay",
                ("100 0", "rtpmap:100 red/8000|fmtp:100 0/0"),
                ("100 0", "rtpmap:100 red/8000|fmtp:100 0/0"),
                "0=0 PCMU/8000",
            ),
            (
                "room for events beside many codecs",
                ("0 3 4 5 6 7 8 9 101", EVENT_101),
                ("0 3 4 5 6 7 8 9 101", EVENT_101),
                "0=0 PCMU/8000, 3=3 GSM/8000, 4=4 G723/8000, 5=5 DVI4/8000, 6=6 DVI4/16000, 7=7 LPC/8000, 101=101 telephone-event/8000",
            ),
        ] {
            assert_eq!(agreed(caller, client).map(|agreement| told(&agreement)).as_deref(), Ok(expected), "{rule}");
        }
    }

    #[test]
    fn events_are_agreed_on_for_the_clocks_of_the_audio() {
        const EVENT_101: &str = "rtpmap:101 telephone-event/8000";
        for (rule, caller, client, expected) in [
            (
                "events at another clock",
                ("0 101", EVENT_101),
                ("0 96", "rtpmap:96 telephone-event/48000"),
                "0=0 PCMU/8000, 101=96 telephone-event/8000=48000",
            ),
            (
                "events at another clock, the client's as the audio",
                ("111 101", "rtpmap:111 opus/48000/2|rtpmap:101 telephone-event/8000"),
                ("111 101", "rtpmap:111 opus/48000/2|rtpmap:101 telephone-event/48000"),
                "111=111 opus/48000, 101=101 telephone-event/8000=48000",
            ),
            (
                "events rather at the clock of the audio on both",
                ("0 110 101", "rtpmap:110 telephone-event/48000|rtpmap:101 telephone-event/8000"),
                ("0 110 101", "rtpmap:110 telephone-event/48000|rtpmap:101 telephone-event/8000"),
                "0=0 PCMU/8000, 101=101 telephone-event/8000",
            ),
            (
                "events for each clock of the audio",
                (
                    "111 0 110 101",
                    "rtpmap:111 opus/48000/2|rtpmap:110 telephone-event/48000|rtpmap:101 telephone-event/8000",
                ),
                (
                    "0 111 96 97",
                    "rtpmap:111 opus/48000/2|rtpmap:96 telephone-event/8000|rtpmap:97 telephone-event/48000",
                ),
                "111=111 opus/48000, 0=0 PCMU/8000, 110=97 telephone-event/48000, 101=96 telephone-event/8000",
            ),
            (
                "events for the clock that one has them at",
                ("0 110 101", "rtpmap:110 telephone-event/48000|rtpmap:101 telephone-event/8000"),
                ("0 96", "rtpmap:96 telephone-event/48000"),
                "0=0 PCMU/8000, 101=96 telephone-event/8000=48000",
            ),
            (
                "events with one partner each",
                (
                    "111 0 110 101",
                    "rtpmap:111 opus/48000/2|rtpmap:110 telephone-event/48000|rtpmap:101 telephone-event/8000",
                ),
                ("111 0 101", "rtpmap:111 opus/48000/2|rtpmap:101 telephone-event/8000"),
                "111=111 opus/48000, 0=0 PCMU/8000, 101=101 telephone-event/8000",
            ),
            (
                "events at a clock that cannot be",
                ("0 101", EVENT_101),
                ("0 96", "rtpmap:96 telephone-event/1"),
                "0=0 PCMU/8000",
            ),
            ("events in stereo", ("0 101", EVENT_101), ("0 96", "rtpmap:96 telephone-event/8000/2"), "0=0 PCMU/8000"),
            (
                "events at a clock that no agreed audio has",
                ("111 0 101", "rtpmap:111 opus/48000/2|rtpmap:101 telephone-event/8000"),
                ("111 101", "rtpmap:111 opus/48000/2|rtpmap:101 telephone-event/8000"),
                "111=111 opus/48000",
            ),
        ] {
            assert_eq!(agreed(caller, client).map(|agreement| told(&agreement)).as_deref(), Ok(expected), "{rule}");
        }
    }

    #[test]
    fn legs_without_an_audio_codec_in_common_are_not_agreed() {
        let event = "rtpmap:101 telephone-event/8000";
        for (rule, caller, client) in [
            ("nothing alike", ("0", ""), ("8", "")),
            ("telephone-event alone", ("0 101", event), ("8 101", event)),
            ("comfort noise alone", ("0 13", ""), ("8 13", "")),
            ("the clock", ("96", "rtpmap:96 speex/8000"), ("96", "rtpmap:96 speex/16000")),
            ("the channels", ("96", "rtpmap:96 L16/48000/2"), ("96", "rtpmap:96 L16/48000")),
            ("a number that nothing explains", ("96", ""), ("96", "")),
            ("the mode", ("96", "rtpmap:96 iLBC/8000|fmtp:96 mode=20"), ("96", "rtpmap:96 iLBC/8000")),
            ("redundancy alone", ("100", "rtpmap:100 red/8000"), ("100", "rtpmap:100 red/8000")),
        ] {
            assert_eq!(agreed(caller, client), Err(NotAgreed::NoCommonCodec), "{rule}");
        }
        let clash = body("72", "rtpmap:72 L16/8000");
        let muxed = body("72", "rtpmap:72 L16/8000|rtcp-mux");
        let [clash, muxed] = [&clash, &muxed].map(|body| Description::parse(body.as_bytes()).unwrap());
        assert!(agree(&clash.media[0], &clash.media[0]).is_ok());
        assert_eq!(agree(&clash.media[0], &muxed.media[0]), Err(NotAgreed::NoCommonCodec), "it looks like RTCP");
        let plain = body("0", "");
        for refused in ["m=audio 0 RTP/AVP 0", "m=audio 4000 RTP/SAVP 0", "m=video 4000 RTP/AVP 0"] {
            let refused = format!("{HEAD}{refused}");
            let [plain, refused] = [&plain, &refused].map(|body| Description::parse(body.as_bytes()).unwrap());
            assert_eq!(agree(&plain.media[0], &refused.media[0]), Err(NotAgreed::NoAudio));
            assert_eq!(agree(&refused.media[0], &plain.media[0]), Err(NotAgreed::NoAudio));
            let proposed = super::super::propose(Side::Caller, &refused, None, &Outline::default());
            assert_eq!(proposed, Err(NotAgreed::NoAudio));
        }
    }

    #[test]
    fn the_relay_renumbers_both_ways() {
        let caller = ("0 101", "rtpmap:101 telephone-event/8000");
        let client = ("96 0", "rtpmap:96 telephone-event/8000");
        let agreement = agreed(caller, client).unwrap();
        let plan = |side| agreement.renumbering(side).collect::<Vec<_>>();
        let row = |here, there, telephone_event| Renumbering {
            here,
            there,
            clock_rate: 8_000,
            clock_rate_there: 8_000,
            telephone_event,
        };
        assert_eq!(plan(Side::Caller), [row(0, 0, false), row(101, 96, true)]);
        assert_eq!(plan(Side::Client), [row(0, 0, false), row(96, 101, true)]);
        assert_eq!(agreement.first().map(|agreed| &*agreed.encoding), Some("PCMU"));
    }

    #[test]
    fn each_leg_keeps_its_clock_of_events() {
        let agreement =
            agreed(("0 101", "rtpmap:101 telephone-event/8000"), ("0 96", "rtpmap:96 telephone-event/48000")).unwrap();
        let clocks = |side| {
            let event = agreement.renumbering(side).find(|number| number.telephone_event).unwrap();
            (event.here, event.there, event.clock_rate, event.clock_rate_there)
        };
        assert_eq!(clocks(Side::Caller), (101, 96, 8_000, 48_000));
        assert_eq!(clocks(Side::Client), (96, 101, 48_000, 8_000));
        // Whoever offers anew, the other leg is offered what it has; its answer may not have it otherwise.
        for (from, offered, answered, expected) in [
            (
                Side::Caller,
                "101 telephone-event/8000",
                "96 telephone-event/48000",
                "0=0 PCMU/8000, 101=96 telephone-event/8000=48000",
            ),
            (
                Side::Client,
                "96 telephone-event/48000",
                "101 telephone-event/8000",
                "0=0 PCMU/8000, 101=96 telephone-event/8000=48000",
            ),
            (Side::Caller, "101 telephone-event/8000", "96 telephone-event/8000", "0=0 PCMU/8000"),
        ] {
            let text = |format: &str| body(&format!("0 {}", &format[..3]), &format!("rtpmap:{format}"));
            let [offer, answer] = [text(offered), text(answered)];
            let [offer, answer] = [&offer, &answer].map(|text| Description::parse(text.as_bytes()).unwrap());
            let proposed = propose(from, &offer.media[0], Some(&agreement), &Outline::default()).unwrap();
            let accepted = accept(from.other(), &proposed, &answer.media[0]).unwrap();
            assert_eq!(told(&accepted), expected, "{from:?} {offered} {answered}");
        }
    }

    #[test]
    fn an_extension_that_one_side_cannot_do_is_refused_to_both() {
        let agreement = agreed(("18", ""), ("18", "fmtp:18 annexb=no")).unwrap();
        let no: Option<Box<[u8]>> = Some(b"annexb=no".as_slice().into());
        assert_eq!((&agreement.list[0].caller.fmtp, &agreement.list[0].client.fmtp), (&no, &no));
    }

    #[test]
    fn a_carried_offer_keeps_established_numbers_and_finds_free_ones() {
        let established = agreed(
            ("111 0 101", "rtpmap:111 opus/48000/2|rtpmap:101 telephone-event/8000"),
            ("96 0 98", "rtpmap:96 opus/48000/2|rtpmap:98 telephone-event/8000"),
        );
        let established = established.unwrap();
        // the client once offered 99 too
        let client = body("96 0 98 99", "rtpmap:96 opus/48000/2|rtpmap:98 telephone-event/8000|rtpmap:99 G726-32/8000");
        let outline = Outline::of(&Description::parse(client.as_bytes()).unwrap());
        let opus = "rtpmap:111 opus/48000/2";
        for (rule, known, formats, attributes, expected) in [
            (
                "the same offer",
                true,
                "111 0 101",
                "rtpmap:111 opus/48000/2|rtpmap:101 telephone-event/8000",
                "111=96 opus/48000, 0=0 PCMU/8000, 101=98 telephone-event/8000",
            ),
            ("other numbers", true, "97 0", "rtpmap:97 opus/48000/2", "97=96 opus/48000, 0=0 PCMU/8000"),
            ("new and static", true, "8", "", "8=8 PCMA/8000"),
            ("new, number free", true, "105", "rtpmap:105 speex/8000", "105=105 speex/8000"),
            (
                "new, number an established codec's",
                true,
                "96 111",
                "rtpmap:96 speex/8000|rtpmap:111 opus/48000/2",
                "96=97 speex/8000, 111=96 opus/48000",
            ),
            ("new, number once used", true, "99", "rtpmap:99 speex/8000", "99=97 speex/8000"),
            ("new, number outside the dynamic range", true, "77", "rtpmap:77 speex/8000", "77=97 speex/8000"),
            (
                "twice the same codec",
                true,
                "111 112",
                "rtpmap:111 opus/48000/2|rtpmap:112 opus/48000/2",
                "111=96 opus/48000, 112=112 opus/48000",
            ),
            ("nothing established", false, "111", opus, "111=111 opus/48000"),
        ] {
            let offer = body(formats, attributes);
            let offer = Description::parse(offer.as_bytes()).unwrap();
            let known = known.then_some(&established);
            let proposed = propose(Side::Caller, &offer.media[0], known, &outline).unwrap();
            assert_eq!(told(&proposed), expected, "{rule}");
        }
    }

    #[test]
    fn an_offer_is_carried_to_the_caller_as_to_the_client() {
        let established = agreed(("111", "rtpmap:111 opus/48000/2"), ("96", "rtpmap:96 opus/48000/2")).unwrap();
        let offer = body("96 0", "rtpmap:96 opus/48000/2|ptime:30");
        let offer = Description::parse(offer.as_bytes()).unwrap();
        let proposed = propose(Side::Client, &offer.media[0], Some(&established), &Outline::default()).unwrap();
        assert_eq!(told(&proposed), "111=96 opus/48000, 0=0 PCMU/8000");
        assert_eq!((proposed.caller.ptime_ms, proposed.client.ptime_ms), (None, Some(30)));
    }

    #[test]
    fn of_a_proposal_stands_what_the_answer_takes() {
        let offer = body("0 8 111 101", "rtpmap:111 opus/48000/2|rtpmap:101 telephone-event/8000");
        let offer = Description::parse(offer.as_bytes()).unwrap();
        let proposed = propose(Side::Caller, &offer.media[0], None, &Outline::default()).unwrap();
        for (rule, formats, attributes, expected) in [
            (
                "all",
                "0 8 111 101",
                "rtpmap:111 opus/48000/2|rtpmap:101 telephone-event/8000",
                "0=0 PCMU/8000, 8=8 PCMA/8000, 111=111 opus/48000, 101=101 telephone-event/8000",
            ),
            ("one", "8", "", "8=8 PCMA/8000"),
            ("in the answerer's order", "8 0", "", "8=8 PCMA/8000, 0=0 PCMU/8000"),
            (
                "under a number of its own",
                "8 100",
                "rtpmap:100 telephone-event/8000",
                "8=8 PCMA/8000, 101=101>100 telephone-event/8000",
            ),
            ("with our number unexplained", "8 101", "", "8=8 PCMA/8000, 101=101 telephone-event/8000"),
            ("with our number for something else", "8 101", "rtpmap:101 speex/8000", "8=8 PCMA/8000"),
            ("not what was never offered", "9 8", "", "8=8 PCMA/8000"),
            (
                "no events without audio at their clock",
                "111 101",
                "rtpmap:111 opus/48000/2|rtpmap:101 telephone-event/8000",
                "111=111 opus/48000",
            ),
        ] {
            let answer = body(formats, attributes);
            let answer = Description::parse(answer.as_bytes()).unwrap();
            let accepted = answered(&proposed, &answer).unwrap();
            assert_eq!(told(&accepted), expected, "{rule}");
        }
        for (answer, expected) in [
            (body("9", ""), NotAgreed::NoCommonCodec),
            (body("101", ""), NotAgreed::NoCommonCodec),
            (format!("{HEAD}m=audio 0 RTP/AVP 0"), NotAgreed::NoAudio),
            (format!("{HEAD}m=audio 4000 RTP/SAVP 0"), NotAgreed::NoAudio),
            (HEAD.to_owned(), NotAgreed::NoAudio),
        ] {
            let answer = Description::parse(answer.as_bytes()).unwrap();
            assert_eq!(answered(&proposed, &answer), Err(expected));
        }
    }

    #[test]
    fn what_an_answerer_numbers_itself_is_sent_to_it_by_its_number_and_comes_by_ours() {
        // RFC 3264 §5.1: the numbers in a description are for packets to its author
        let offer = body("0 101", "rtpmap:101 telephone-event/8000");
        let offer = Description::parse(offer.as_bytes()).unwrap();
        let proposed = propose(Side::Caller, &offer.media[0], None, &Outline::default()).unwrap();
        let answer = body("0 97", "rtpmap:97 telephone-event/8000");
        let answer = Description::parse(answer.as_bytes()).unwrap();
        let agreement = answered(&proposed, &answer).unwrap();
        let numbers = |side| agreement.renumbering(side).map(|one| (one.here, one.there)).collect::<Vec<_>>();
        assert_eq!(numbers(Side::Caller), [(0, 0), (101, 97)]);
        assert_eq!(numbers(Side::Client), [(0, 0), (101, 101)]);
    }
}
