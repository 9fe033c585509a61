//! What was wrong with a call's audio, in plain words, from what was counted when it is over. Each sentence has an id that stays.
//! So are warnings put of a call that goes on.
//! Not here: counting (`leg`), when somebody is warned (`watch`), and any state: the same counters give the same findings. A call that was heard has none.

use crate::id::Side;
use crate::limits;
use crate::media::command::{Closed, Counters};
use crate::media::statistics::float;
use crate::media::watch::Unheard;
use crate::time::Duration;
use serde::Serialize;
use std::net::SocketAddr;

/// Shorter calls say nothing of who was not heard: telephones take a moment.
const AWAITED_MS_MIN: u64 = 2_000;
/// A first packet that is later than this was missed.
const LATE_MS_MIN: u64 = 2_000;
/// A silence that people ask "are you there?" about. Telephones that send nothing while nobody speaks send comfort noise more often.
const SILENCE_MS_MIN: u64 = 5_000;
/// Fewer packets give no percentages.
const PACKETS_MIN: u64 = 100;
/// From this part on losses are heard, concealed or not.
const LOSS_MIN: f64 = 0.02;
/// The same of packets that come twice or are overtaken: they cost the other end some, or point to a network that is set up wrongly.
const DISORDER_MIN: f64 = 0.01;
/// What jitter buffers still even out, milliseconds.
const JITTER_MS_MAX: f32 = 50.0;
/// Twice what ITU-T G.114 wants of one way at most, less our own part: people begin to talk at the same time.
const ROUND_TRIP_MS_MAX: f32 = 300.0;
/// Answers by ICMP: fewer come at the end of a healthy call, from a telephone that has hung up.
const ICMP_MIN: u64 = 25;

/// What can be wrong. Ids are for machines and do not change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// One leg was heard and the other never was.
    OneWayAudio,
    /// Neither was heard.
    NoAudio,
    /// Nothing came from a leg.
    NeverHeard,
    /// Something came, but from addresses that may not speak for it.
    StrangeSource,
    /// What came is not of a codec that was agreed.
    NotAgreed,
    /// Its first packet was late.
    HeardLate,
    /// Silence in the middle.
    DeadAir,
    /// Silence up to the end.
    FellSilent,
    /// Packets were lost on the way to us.
    Lost,
    /// It says that packets were lost on the way to it.
    LostBeyond,
    /// Packets came unevenly.
    Uneven,
    /// Packets came twice.
    Duplicated,
    /// Packets were overtaken.
    Reordered,
    /// The way to it is long.
    LongWay,
    /// Its host says that nobody listens there.
    PortClosed,
    /// The network says that it cannot be reached.
    Unreachable,
    /// The kernel did not take what was to be sent on.
    Unsent,
}

impl Trouble {
    /// What is told while a call goes on.
    pub const WARNED: [Trouble; 6] = [
        Trouble::OneWayAudio,
        Trouble::NoAudio,
        Trouble::NeverHeard,
        Trouble::StrangeSource,
        Trouble::NotAgreed,
        Trouble::DeadAir,
    ];

    /// All of them: for metrics.
    pub const ALL: [Trouble; 17] = [
        Trouble::OneWayAudio,
        Trouble::NoAudio,
        Trouble::NeverHeard,
        Trouble::StrangeSource,
        Trouble::NotAgreed,
        Trouble::HeardLate,
        Trouble::DeadAir,
        Trouble::FellSilent,
        Trouble::Lost,
        Trouble::LostBeyond,
        Trouble::Uneven,
        Trouble::Duplicated,
        Trouble::Reordered,
        Trouble::LongWay,
        Trouble::PortClosed,
        Trouble::Unreachable,
        Trouble::Unsent,
    ];

    /// The id.
    pub fn as_str(self) -> &'static str {
        match self {
            Trouble::OneWayAudio => "one_way_audio",
            Trouble::NoAudio => "no_audio",
            Trouble::NeverHeard => "never_heard",
            Trouble::StrangeSource => "strange_source",
            Trouble::NotAgreed => "not_agreed",
            Trouble::HeardLate => "heard_late",
            Trouble::DeadAir => "dead_air",
            Trouble::FellSilent => "fell_silent",
            Trouble::Lost => "lost",
            Trouble::LostBeyond => "lost_beyond",
            Trouble::Uneven => "uneven",
            Trouble::Duplicated => "duplicated",
            Trouble::Reordered => "reordered",
            Trouble::LongWay => "long_way",
            Trouble::PortClosed => "port_closed",
            Trouble::Unreachable => "unreachable",
            Trouble::Unsent => "unsent",
        }
    }
}

/// Something that was wrong.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// What, for machines: [`Trouble::as_str`].
    pub id: &'static str,
    /// The leg that it is about; of both, the client.
    pub leg: &'static str,
    /// What, for people.
    pub text: String,
}

/// What was wrong with a call, the worst first.
pub fn findings(closed: &Closed) -> Vec<Finding> {
    find(closed, false)
}

/// As much of it as a client is told: where the caller is reached is the operator's affair.
pub fn findings_for_client(closed: &Closed) -> Vec<Finding> {
    let mut found = find(closed, true);
    found.truncate(limits::FINDINGS_TOLD_MAX);
    found
}

/// What is wrong with a call that goes on, in which somebody was silent for so long.
pub fn warning(closed: &Closed, unheard: Unheard, silence: Duration, hides_caller: bool) -> Finding {
    let leg = |side| Leg::new(side, closed, hides_caller && side == Side::Caller);
    let (caller, client) = (leg(Side::Caller), leg(Side::Client));
    let lasts = seconds(u64::try_from(silence.as_millis()).unwrap_or(u64::MAX));
    let is_new = |leg: Leg<'_>| leg.counters.packets_received == 0;
    match unheard {
        Unheard::Both if is_new(caller) && is_new(client) => {
            client.finding(Trouble::NoAudio, format!("there is no audio, either way: nothing has come in {lasts}"))
        }
        Unheard::Both => {
            client.finding(Trouble::DeadAir, format!("dead air: neither side has sent anything for {lasts}"))
        }
        Unheard::One(side) if is_new(leg(side)) => leg(side).silence(),
        Unheard::One(side) => {
            let (leg, name, other) = (leg(side), side.as_str(), side.other().as_str());
            let text = format!("one-way audio: the {name} has sent nothing for {lasts}, while the {other} is heard");
            leg.finding(Trouble::OneWayAudio, text)
        }
    }
}

fn find(closed: &Closed, hides_caller: bool) -> Vec<Finding> {
    let (caller, client) = (Leg::new(Side::Caller, closed, hides_caller), Leg::new(Side::Client, closed, false));
    let mut found = Vec::new();
    match (caller.never_heard(), client.never_heard()) {
        (true, true) => found.push(client.finding(Trouble::NoAudio, "there was no audio, either way".into())),
        (true, false) if client.counters.packets_received > 0 => found.push(caller.one_way()),
        (false, true) if caller.counters.packets_received > 0 => found.push(client.one_way()),
        (true | false, true | false) => {}
    }
    for leg in [caller, client] {
        leg.presence(&mut found);
        leg.network(&mut found);
        leg.sending(&mut found);
    }
    found
}

/// One leg, to be looked at.
#[derive(Clone, Copy)]
struct Leg<'a> {
    side: Side,
    counters: &'a Counters,
    other: &'a Counters,
    /// Whether no address of it is to be said.
    is_hidden: bool,
}

impl<'a> Leg<'a> {
    fn new(side: Side, closed: &'a Closed, is_hidden: bool) -> Leg<'a> {
        let (counters, other) = match side {
            Side::Caller => (&closed.caller, &closed.client),
            Side::Client => (&closed.client, &closed.caller),
        };
        Leg { side, counters, other, is_hidden }
    }

    /// Our address for it.
    fn here(self) -> String {
        if self.is_hidden { "our port".into() } else { address(self.counters.local) }
    }

    /// One of its own.
    fn there(self, own: Option<SocketAddr>) -> String {
        if self.is_hidden { "its address".into() } else { address(own) }
    }

    fn finding(self, trouble: Trouble, text: String) -> Finding {
        Finding { id: trouble.as_str(), leg: self.side.as_str(), text }
    }

    fn name(self) -> &'static str {
        self.side.as_str()
    }

    fn other_name(self) -> &'static str {
        self.side.other().as_str()
    }

    fn never_heard(self) -> bool {
        self.counters.packets_received == 0 && self.counters.timing.awaited_ms >= AWAITED_MS_MIN
    }

    fn one_way(self) -> Finding {
        let text = format!("one-way audio: the {} was heard, the {} never was", self.other_name(), self.name());
        self.finding(Trouble::OneWayAudio, text)
    }

    /// When it was heard and when not.
    fn presence(self, found: &mut Vec<Finding>) {
        let (name, other, timing) = (self.name(), self.other_name(), self.counters.timing);
        if self.never_heard() {
            return found.push(self.silence());
        }
        if timing.first_packet_ms.is_some_and(|first| first >= LATE_MS_MIN) {
            let late = seconds(timing.first_packet_ms.unwrap_or_default());
            found.push(
                self.finding(Trouble::HeardLate, format!("the {name}'s first audio came {late} after the answer")),
            );
        }
        if timing.silence_ms_max >= SILENCE_MS_MIN {
            let (length, at) = (seconds(timing.silence_ms_max), seconds(timing.silence_at_ms));
            let text = format!("dead air: the {name} sent nothing for {length}, from {at} on");
            found.push(self.finding(Trouble::DeadAir, text));
        }
        if let Some(last) = timing.last_packet_ms.filter(|_| timing.silent_at_end_ms >= SILENCE_MS_MIN) {
            let (last, before) = (seconds(last), seconds(timing.silent_at_end_ms));
            let text = format!(
                "the {other} heard nothing after {last}: the {name}'s last packet came {before} before the end"
            );
            found.push(self.finding(Trouble::FellSilent, text));
        }
    }

    /// Why nothing was heard of it.
    fn silence(self) -> Finding {
        let (name, counters) = (self.name(), self.counters);
        let (here, there) = (self.here(), self.there(counters.named));
        let awaited = seconds(counters.timing.awaited_ms);
        let never = format!("the {name}'s audio never arrived:");
        if counters.dropped_malformed > 0 {
            let text = format!(
                "{never} {} packets came to {here} that are no RTP of an agreed codec",
                counters.dropped_malformed
            );
            return self.finding(Trouble::NotAgreed, text);
        }
        if counters.dropped_source > 0 {
            let text = format!(
                "{never} {} packets came to {here} from elsewhere, none from {there}, which its SDP names",
                counters.dropped_source
            );
            return self.finding(Trouble::StrangeSource, text);
        }
        self.finding(Trouble::NeverHeard, format!("{never} nothing came to {here} from {there} in {awaited}"))
    }

    /// What the network did to its packets, and to those that went to it.
    fn network(self, found: &mut Vec<Finding>) {
        let (name, counters) = (self.name(), self.counters);
        let of_its = |part: u64| {
            let whole = (counters.packets_received + counters.packets_lost).saturating_sub(counters.packets_duplicated);
            share(part, whole)
        };
        let mut tell = |trouble, text| found.push(self.finding(trouble, text));
        if let Some(loss) = of_its(counters.packets_lost).filter(|loss| *loss >= LOSS_MIN) {
            tell(Trouble::Lost, format!("{} of the {name}'s packets were lost on their way to us", percent(loss)));
        }
        if let Some(loss) = self.lost_beyond().filter(|loss| *loss >= LOSS_MIN) {
            let text = format!("{} of what went to the {name} was lost on the way there, as it reports", percent(loss));
            tell(Trouble::LostBeyond, text);
        }
        if counters.jitter_ms >= JITTER_MS_MAX {
            let text = format!("the {name}'s packets came unevenly: {:.0} ms of jitter", counters.jitter_ms);
            tell(Trouble::Uneven, text);
        }
        if let Some(twice) = of_its(counters.packets_duplicated).filter(|part| *part >= DISORDER_MIN) {
            tell(Trouble::Duplicated, format!("{} of the {name}'s packets came twice", percent(twice)));
        }
        if let Some(late) = of_its(counters.packets_reordered).filter(|part| *part >= DISORDER_MIN) {
            tell(Trouble::Reordered, format!("{} of the {name}'s packets were overtaken by later ones", percent(late)));
        }
        if let Some(trip) = counters.reported.round_trip.filter(|trip| trip.mean_ms >= ROUND_TRIP_MS_MAX) {
            tell(Trouble::LongWay, format!("to the {name} and back it takes {:.0} ms", trip.mean_ms));
        }
        if let Some(wrong) = of_its(counters.dropped_malformed).filter(|part| *part >= LOSS_MIN) {
            let text = format!("{} of the {name}'s packets were of no agreed codec, or no RTP", percent(wrong));
            tell(Trouble::NotAgreed, text);
        }
    }

    /// What it misses of the other's packets, less what never came as far as us.
    fn lost_beyond(self) -> Option<f64> {
        let reported = self.counters.reported;
        let all = share(reported.packets_lost?, reported.packets_expected)?;
        let other = self.other;
        let before = share(other.packets_lost, other.packets_received + other.packets_lost).unwrap_or(0.0);
        Some(all - before)
    }

    /// What became of packets that were sent to it.
    fn sending(self, found: &mut Vec<Finding>) {
        let (name, counters) = (self.name(), self.counters);
        let there = self.there(counters.heard_from.or(counters.named));
        let mut tell = |trouble, text| found.push(self.finding(trouble, text));
        if counters.refused >= ICMP_MIN {
            let text = format!("the {name}'s host said {} times that nobody listens at {there}", counters.refused);
            tell(Trouble::PortClosed, text);
        }
        if counters.unreachable >= ICMP_MIN {
            let text =
                format!("the network said {} times that {there}, the {name}'s, is not reached", counters.unreachable);
            tell(Trouble::Unreachable, text);
        }
        let unsent = share(self.other.dropped_unsent, self.other.packets_received);
        if let Some(unsent) = unsent.filter(|part| *part >= DISORDER_MIN) {
            tell(Trouble::Unsent, format!("{} of what was to go to the {name} could not be sent", percent(unsent)));
        }
    }
}

/// Of how many what part; `None` of too few.
fn share(part: u64, whole: u64) -> Option<f64> {
    (whole >= PACKETS_MIN).then(|| float(part) / float(whole))
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// `4.2 s`, and from ten on `32 s`.
fn seconds(millis: u64) -> String {
    if millis < 10_000 {
        format!("{}.{} s", millis / 1_000, millis % 1_000 / 100)
    } else {
        format!("{} s", millis / 1_000)
    }
}

fn address(address: Option<SocketAddr>) -> String {
    address.map_or_else(|| "an address that nobody named".into(), |address| address.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::feedback::{Reported, RoundTrip};
    use crate::media::presence::Timing;

    /// Half a minute's talk without a fault.
    fn healthy(leg: u8) -> Counters {
        let port = |host: u8| Some(SocketAddr::from(([192, 0, 2, host], 20_000 + u16::from(leg))));
        Counters {
            packets_received: 1_500,
            packets_forwarded: 1_500,
            jitter_ms: 3.0,
            named: port(10 + leg),
            heard_from: port(10 + leg),
            local: port(1),
            timing: Timing {
                awaited_ms: 30_000,
                first_packet_ms: Some(80),
                last_packet_ms: Some(29_990),
                silence_ms_max: 400,
                silence_at_ms: 9_000,
                silent_at_end_ms: 10,
            },
            reported: Reported { packets_lost: Some(1), packets_expected: 1_490, ..Reported::default() },
            ..Counters::default()
        }
    }

    fn unheard(leg: u8) -> Counters {
        let Counters { named, local, .. } = healthy(leg);
        let timing = Timing { awaited_ms: 32_000, silent_at_end_ms: 32_000, ..Timing::default() };
        Counters { named, local, timing, ..Counters::default() }
    }

    /// What is said of a client like this beside a healthy caller: id and text.
    fn said(client: Counters) -> Vec<(&'static str, String)> {
        told(healthy(1), client)
    }

    fn told(caller: Counters, client: Counters) -> Vec<(&'static str, String)> {
        findings(&Closed { caller, client, ..Closed::default() })
            .into_iter()
            .map(|finding| (finding.id, finding.text))
            .collect()
    }

    #[test]
    fn a_healthy_call_has_no_findings() {
        assert_eq!(said(healthy(2)), []);
        assert_eq!(findings(&Closed::default()), []);
    }

    #[test]
    fn who_was_never_heard_is_said_and_why() {
        let one_way = ("one_way_audio", "one-way audio: the caller was heard, the client never was".to_owned());
        let never = |rest: &str| format!("the client's audio never arrived: {rest}");
        for (client, id, text) in [
            (unheard(2), "never_heard", "nothing came to 192.0.2.1:20002 from 192.0.2.12:20002 in 32 s"),
            (
                Counters { dropped_source: 512, ..unheard(2) },
                "strange_source",
                "512 packets came to 192.0.2.1:20002 from elsewhere, none from 192.0.2.12:20002, which its SDP names",
            ),
            (
                Counters { dropped_malformed: 512, ..unheard(2) },
                "not_agreed",
                "512 packets came to 192.0.2.1:20002 that are no RTP of an agreed codec",
            ),
        ] {
            assert_eq!(said(client), [one_way.clone(), (id, never(text))]);
        }
        let ids: Vec<&str> = told(unheard(1), unheard(2)).into_iter().map(|(id, _)| id).collect();
        assert_eq!(ids, ["no_audio", "never_heard", "never_heard"]);
    }

    #[test]
    fn who_is_not_heard_in_a_call_that_goes_on_is_said_and_why() {
        let silence = Duration::from_secs(12);
        let (caller, client, both) = (Unheard::One(Side::Caller), Unheard::One(Side::Client), Unheard::Both);
        let strange = Counters { dropped_source: 512, ..unheard(1) };
        for (counted, who, hides, id, leg, text) in [
            (
                [healthy(1), healthy(2)],
                caller,
                false,
                "one_way_audio",
                "caller",
                "one-way audio: the caller has sent nothing for 12 s, while the client is heard",
            ),
            (
                [healthy(1), unheard(2)],
                client,
                true,
                "never_heard",
                "client",
                "the client's audio never arrived: nothing came to 192.0.2.1:20002 from 192.0.2.12:20002 in 32 s",
            ),
            (
                [strange, healthy(2)],
                caller,
                false,
                "strange_source",
                "caller",
                "the caller's audio never arrived: 512 packets came to 192.0.2.1:20001 from elsewhere, none from 192.0.2.11:20001, which its SDP names",
            ),
            (
                [strange, healthy(2)],
                caller,
                true,
                "strange_source",
                "caller",
                "the caller's audio never arrived: 512 packets came to our port from elsewhere, none from its address, which its SDP names",
            ),
            (
                [healthy(1), unheard(2)],
                both,
                true,
                "dead_air",
                "client",
                "dead air: neither side has sent anything for 12 s",
            ),
            (
                [unheard(1), unheard(2)],
                both,
                true,
                "no_audio",
                "client",
                "there is no audio, either way: nothing has come in 12 s",
            ),
        ] {
            let [caller, client] = counted;
            let closed = Closed { caller, client, ..Closed::default() };
            let finding = warning(&closed, who, silence, hides);
            assert_eq!((finding.id, finding.leg, finding.text.as_str()), (id, leg, text));
            assert!(Trouble::WARNED.iter().any(|trouble| trouble.as_str() == id), "{id} is counted");
        }
    }

    #[test]
    fn a_client_is_told_no_address_of_the_callers_and_not_too_much() {
        let everything = |leg: u8| Counters {
            packets_lost: 500,
            packets_reordered: 500,
            packets_duplicated: 200,
            dropped_malformed: 500,
            jitter_ms: 80.0,
            refused: 100,
            unreachable: 100,
            ..healthy(leg)
        };
        for (caller, expect) in [
            (unheard(1), "the caller's audio never arrived: nothing came to our port from its address in 32 s"),
            (
                Counters { dropped_source: 5, ..unheard(1) },
                "the caller's audio never arrived: 5 packets came to our port from elsewhere, none from its address, which its SDP names",
            ),
            (
                Counters { refused: 30, ..healthy(1) },
                "the caller's host said 30 times that nobody listens at its address",
            ),
        ] {
            let found = findings_for_client(&Closed { caller, client: healthy(2), ..Closed::default() });
            assert!(found.iter().any(|finding| finding.text == expect), "{found:?}");
        }
        let found = findings_for_client(&Closed { caller: everything(1), client: everything(2), ..Closed::default() });
        assert_eq!(found.len(), limits::FINDINGS_TOLD_MAX);
        assert!(found.iter().all(|finding| !finding.text.contains("192.0.2.")), "the caller's come first: {found:?}");
        let found = findings_for_client(&Closed { caller: healthy(1), client: unheard(2), ..Closed::default() });
        assert!(
            found.iter().any(|finding| finding.text.contains("192.0.2.12:20002")),
            "its own it may know: {found:?}"
        );
        assert_eq!(findings_for_client(&Closed { caller: healthy(1), client: healthy(2), ..Closed::default() }), []);
    }

    #[test]
    fn a_short_call_and_a_leg_that_is_not_to_send_are_not_missed() {
        for awaited_ms in [0, AWAITED_MS_MIN - 1] {
            let timing = Timing { awaited_ms, ..Timing::default() };
            assert_eq!(said(Counters { timing, ..unheard(2) }), []);
        }
    }

    #[test]
    fn silences_are_told_apart() {
        let timing = healthy(2).timing;
        for (timing, expect) in [
            (Timing { first_packet_ms: Some(1_999), ..timing }, None),
            (
                Timing { first_packet_ms: Some(4_250), ..timing },
                Some(("heard_late", "the client's first audio came 4.2 s after the answer")),
            ),
            (Timing { silence_ms_max: 4_999, ..timing }, None),
            (
                Timing { silence_ms_max: 8_200, ..timing },
                Some(("dead_air", "dead air: the client sent nothing for 8.2 s, from 9.0 s on")),
            ),
            (Timing { silent_at_end_ms: 4_999, ..timing }, None),
            (
                Timing { last_packet_ms: Some(12_300), silent_at_end_ms: 20_000, ..timing },
                Some((
                    "fell_silent",
                    "the caller heard nothing after 12 s: the client's last packet came 20 s before the end",
                )),
            ),
        ] {
            let expect: Vec<(&str, String)> = expect.into_iter().map(|(id, text)| (id, text.to_owned())).collect();
            assert_eq!(said(Counters { timing, ..healthy(2) }), expect);
        }
    }

    /// For each sentence a row that has it and, before it, one that just has not.
    #[test]
    fn what_the_network_did_is_told_from_what_it_may_do() {
        let fine = healthy(2);
        let reported = |lost| Reported { packets_lost: Some(lost), ..fine.reported };
        let trip =
            |mean_ms| Reported { round_trip: Some(RoundTrip { mean_ms, ..RoundTrip::default() }), ..fine.reported };
        for (client, expect) in [
            (Counters { packets_lost: 30, ..fine }, None),
            (Counters { packets_lost: 2, packets_received: 97, ..fine }, None),
            (
                Counters { packets_lost: 130, ..fine },
                Some(("lost", "8 % of the client's packets were lost on their way to us")),
            ),
            (Counters { reported: reported(29), ..fine }, None),
            (
                Counters { reported: reported(149), ..fine },
                Some(("lost_beyond", "10 % of what went to the client was lost on the way there, as it reports")),
            ),
            (Counters { jitter_ms: 49.0, ..fine }, None),
            (
                Counters { jitter_ms: 61.4, ..fine },
                Some(("uneven", "the client's packets came unevenly: 61 ms of jitter")),
            ),
            (Counters { packets_duplicated: 14, ..fine }, None),
            (
                Counters { packets_duplicated: 300, ..fine },
                Some(("duplicated", "25 % of the client's packets came twice")),
            ),
            (Counters { packets_reordered: 14, ..fine }, None),
            (
                Counters { packets_reordered: 45, ..fine },
                Some(("reordered", "3 % of the client's packets were overtaken by later ones")),
            ),
            (Counters { reported: trip(299.0), ..fine }, None),
            (Counters { reported: trip(620.0), ..fine }, Some(("long_way", "to the client and back it takes 620 ms"))),
            (Counters { dropped_malformed: 29, ..fine }, None),
            (
                Counters { dropped_malformed: 60, ..fine },
                Some(("not_agreed", "4 % of the client's packets were of no agreed codec, or no RTP")),
            ),
            (Counters { refused: 24, ..fine }, None),
            (
                Counters { refused: 40, ..fine },
                Some(("port_closed", "the client's host said 40 times that nobody listens at 192.0.2.12:20002")),
            ),
            (Counters { unreachable: 24, ..fine }, None),
            (
                Counters { unreachable: 40, ..fine },
                Some(("unreachable", "the network said 40 times that 192.0.2.12:20002, the client's, is not reached")),
            ),
            (Counters { dropped_unsent: 14, ..fine }, None),
            (
                Counters { dropped_unsent: 90, ..fine },
                Some(("unsent", "6 % of what was to go to the caller could not be sent")),
            ),
        ] {
            let expect: Vec<(&str, String)> = expect.into_iter().map(|(id, text)| (id, text.to_owned())).collect();
            assert_eq!(said(client), expect);
        }
    }

    #[test]
    fn what_never_came_as_far_as_us_is_not_told_twice() {
        let reported = Reported { packets_lost: Some(120), packets_expected: 1_500, ..Reported::default() };
        let caller = Counters { packets_lost: 120, packets_received: 1_380, ..healthy(1) };
        let ids: Vec<&str> = told(caller, Counters { reported, ..healthy(2) }).into_iter().map(|(id, _)| id).collect();
        assert_eq!(ids, ["lost"]);
    }

    #[test]
    fn each_trouble_has_an_id_of_its_own() {
        let mut ids = Trouble::ALL.map(Trouble::as_str).to_vec();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), Trouble::ALL.len());
    }
}
