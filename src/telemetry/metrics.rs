//! All that is counted, and what Prometheus is told that it is.
//! Not here: a registry that grows. Every family and every label value is listed in [`Metrics::new`], so that no peer can make
//! the page longer; nothing is labelled by call, number or name. What is not listed counts as `other`. How a number is counted is
//! in `counts`, how it is written in `page`.

use super::counts::{Counter, Family, Gauge, Histogram};
use super::page::Page;
use super::process;
use crate::media::Trouble;
use crate::policy::Reason;
use crate::sip::wire::Method;
use std::sync::Arc;

/// What the HTTP answer says of [`Metrics::render`]'s text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Why INVITEs are not parked: `switch::admit`'s reason ids.
const REJECTS: [&str; 10] = [
    "stranger",
    "no_route",
    "media_not_acceptable",
    "draining",
    "overload",
    "cap_total",
    "cap_trunk",
    "cap_name",
    "cap_source",
    "rate_trunk",
];

/// Kinds of push services: `config::PushKind`.
const PUSH_SERVICES: [&str; 4] = ["webhook", "webpush", "apns", "fcm"];
/// What becomes of pushes: `push::office`.
const PUSH_OUTCOMES: [&str; 8] = ["delivered", "dead", "refused", "failed", "late", "over", "withheld", "dropped"];

/// Transports with connections.
const CONNECTIONS: [&str; 3] = ["tcp", "tls", "ws"];
/// Why connections ended: `net::Ended`.
const ENDS: [&str; 7] = ["left", "slow", "idle", "broken", "refused", "handshake", "unreachable"];

/// Why RTP is not sent on: `media::Reason`, and what the kernel did not take.
const RTP_DROPS: [&str; 7] = ["source", "malformed", "unauthentic", "replayed", "unbridged", "replaced", "unsent"];

/// Waiting times of calls, seconds.
const PARK_BUCKETS: [f64; 11] = [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 120.0, 300.0];
/// From event to callback, seconds: a machine's answer at one end, a person's at the other.
const CLAIM_BUCKETS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// How long packets stay with us, seconds.
pub const FORWARDING_BUCKETS: [f64; 13] =
    [0.00001, 0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1];
/// Opinion scores: where G.107 Annex B begins to call people dissatisfied, and satisfied, and between.
const MOS_BUCKETS: [f64; 9] = [1.5, 2.0, 2.58, 3.1, 3.6, 3.8, 4.03, 4.2, 4.34];
/// Jitter, seconds: a switched network at one end, what no buffer evens out at the other.
const JITTER_BUCKETS: [f64; 8] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2];
/// Round trips, seconds: next door at one end, two satellites at the other.
const ROUND_TRIP_BUCKETS: [f64; 9] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0];

const CODES: [&str; 37] = [
    "100", "180", "183", "200", "202", "302", "400", "401", "403", "404", "405", "407", "408", "410", "413", "415",
    "416", "420", "422", "480", "481", "482", "483", "486", "487", "488", "489", "491", "500", "501", "503", "504",
    "505", "513", "555", "600", "603",
];

/// All that is counted.
#[derive(Debug)]
pub struct Metrics {
    /// Calls there are: `arriving`, `parked`, `merging`, `bridged`, `ending`.
    pub calls: Family<Gauge>,
    /// Calls that ended: `answered`, `caller_cancelled`, `timeout`, `declined`, `failed`, `stopped`.
    pub calls_total: Family<Counter>,
    /// How long calls waited, however it ended.
    pub park_duration: Histogram,
    /// From the first event of a call to the callback that won it.
    pub notify_to_claim: Histogram,
    /// Callbacks: `won`, `lost` (another was first), `late` (the call was over), `denied` by policy, `invalid` (token or credential).
    pub claims_total: Family<Counter>,
    /// `allow` or `deny`, and the reason's id.
    pub policy_decisions_total: Family<Counter>,
    /// Open subscriptions: `websocket`, `sse`, `poll`, `sip`.
    pub subscriptions: Family<Gauge>,
    /// Events for subscribers: `delivered`, or `withheld` by policy.
    pub events_total: Family<Counter>,
    /// Subscribers that were cut off: `slow` readers, `resync` after an overrun of ours.
    pub subscriptions_cut_total: Family<Counter>,
    /// Clients' messages that could not be understood.
    pub client_mistakes_total: Counter,
    /// SIP requests received, by method.
    pub sip_requests_total: Family<Counter>,
    /// SIP responses sent, by status code.
    pub sip_responses_total: Family<Counter>,
    /// Datagrams on a SIP port that are no SIP.
    pub sip_malformed_total: Counter,
    /// Answers to strangers that would have been larger than the request.
    pub sip_withheld_total: Counter,
    /// SIP datagrams that the kernel did not take.
    pub sip_unsent_total: Counter,
    /// SIP datagrams that came faster than they were read.
    pub sip_overflows_total: Counter,
    /// SIP messages sent again because nobody answered.
    pub sip_retransmissions_total: Counter,
    /// SIP transactions there are.
    pub sip_transactions: Gauge,
    /// SIP dialogs there are, early ones too.
    pub sip_dialogs: Gauge,
    /// Connections that carry SIP, by transport.
    pub sip_connections: Family<Gauge>,
    /// Connections that ended, or never came about, by reason.
    pub sip_connections_ended_total: Family<Counter>,
    /// When the first of our TLS certificates is good no longer, Unix time; 0 without TLS.
    pub tls_certificate_expiry: Gauge,
    /// Contacts that are registered over SIP.
    pub sip_bindings: Gauge,
    /// Registrations and subscriptions over SIP: `accepted`, `unauthorized` (asked who it is), `refused`.
    pub sip_registrations_total: Family<Counter>,
    /// Events for clients over SIP: `delivered`, `withheld` by policy, `refused` or `unanswered` by the client, `dropped` for want of room.
    pub sip_events_total: Family<Counter>,
    /// Messages, by what became of them: `accepted`, `sent`, `delivered`, `read`, `failed`; and `refused` ones of SIP.
    pub messages_total: Family<Counter>,
    /// Devices that can be woken.
    pub push_devices: Gauge,
    /// Pushes by kind of service, and what became of each: `delivered`, `dead` (its device is not there any more), `refused`, `failed` (tried too
    /// often), `late`, `over` (the call was, before it went), `withheld` by policy, `dropped` for want of room. `other`: calls for which nobody could be woken, for want of room.
    pub push_total: Family<Counter>,
    /// Transfers that were asked for: `accepted`, `denied` (not granted, or too many of one call), `refused` (unclear, nobody there, not now).
    pub transfers_total: Family<Counter>,
    /// Keys that were pressed in bridges that are over, by how they were heard: `rfc4733`, `in_band`, `info`.
    pub digits_total: Family<Counter>,
    /// Keys that we were to press in bridges that are over: `sent`, or `unsent` because nobody could hear them.
    pub digits_sent_total: Family<Counter>,
    /// Pairs of RTP and RTCP ports: `used`, `resting` before they are used again, `free`.
    pub rtp_port_pairs: Family<Gauge>,
    /// Relay threads that let packets gather, because there are many.
    pub rtp_gathering: Gauge,
    /// Flows whose audio the kernel forwards by itself now.
    pub rtp_offloaded: Gauge,
    /// RTP packets that it has forwarded so, of calls that go on, too; they are among `rtp_packets_total` once their call has ended.
    pub rtp_offloaded_packets_total: Counter,
    /// Recordings that are made now.
    pub recordings: Gauge,
    /// Recordings that ended: `finished`, `failed` (the disk did not take them, or not all of them).
    pub recordings_total: Family<Counter>,
    /// Pieces of audio, 20 ms each, that are in no recording though they should be: too late, or the disk was behind.
    pub recording_dropped_total: Counter,
    /// RTP packets forwarded.
    pub rtp_packets_total: Counter,
    /// RTP and RTCP packets dropped: `source`, `malformed`, `unbridged`, `replaced` by the announcement of a recording, `unsent`.
    pub rtp_dropped_total: Family<Counter>,
    /// Calls that became a fax by T.38.
    pub fax_calls_total: Counter,
    /// Datagrams of theirs that were sent on.
    pub fax_datagrams_total: Counter,
    /// What was wrong with RTP packets that came: `lost`, `reordered`, `duplicated`.
    pub rtp_irregular_total: Family<Counter>,
    /// What was said by ICMP of addresses that RTP went to: `refused`, `unreachable`.
    pub rtp_icmp_total: Family<Counter>,
    /// How long packets stay with us, from the kernel's word that one came to when it was sent, of one flow in
    /// [`crate::limits::RELAY_TIMED_EVERY`].
    pub rtp_forwarding: Histogram,
    /// The opinion score of each leg's audio, as it came to us.
    pub rtp_mos: Histogram,
    /// Each leg's jitter at the end.
    pub rtp_jitter: Histogram,
    /// The mean round trip to each leg that told of one.
    pub rtp_round_trip: Histogram,
    /// What was wrong with calls' audio, by its id; a call may have several.
    pub call_findings_total: Family<Counter>,
    /// What was found wrong while calls went on, by the same ids.
    pub call_warnings_total: Family<Counter>,
    /// INVITEs that were not parked, by the reason id that their response carries.
    pub rejects_total: Family<Counter>,
    /// Calls that were lost to a panic of ours.
    pub panics_total: Counter,
    /// Call detail records: `written`, `lost`.
    pub records_total: Family<Counter>,
    /// Records that wait for a disk that takes them.
    pub records_waiting: Gauge,
    /// For each trunk that we go to, by its name: whether a target of it may be used, and whether it has our registration. As long as
    /// the list of trunks.
    trunks: Vec<(Arc<str>, Gauge, Option<Gauge>)>,
    /// Lines of the log that were lost.
    pub log_lines_dropped_total: Counter,
    started_seconds: f64,
}

impl Metrics {
    /// All at zero. `started` is the wall-clock time at which the process began; `trunks` those that we go to, and whether they want us
    /// registered.
    pub fn new(started: crate::time::Wall, trunks: &[(Arc<str>, bool)]) -> Metrics {
        let decisions = Reason::ALL.map(|reason| ["deny", reason.as_str()]);
        Metrics {
            calls: Family::one(&["state"], &["arriving", "parked", "merging", "bridged", "ending"]),
            calls_total: Family::one(
                &["result"],
                &["answered", "caller_cancelled", "timeout", "declined", "failed", "stopped"],
            ),
            park_duration: Histogram::new(&PARK_BUCKETS),
            notify_to_claim: Histogram::new(&CLAIM_BUCKETS),
            claims_total: Family::one(&["result"], &["won", "lost", "late", "denied", "invalid"]),
            policy_decisions_total: Family::many(
                &["decision", "reason"],
                [["allow", crate::policy::GRANTED]].into_iter().chain(decisions),
            ),
            subscriptions: Family::one(&["transport"], &["websocket", "sse", "poll", "sip"]),
            events_total: Family::one(&["result"], &["delivered", "withheld"]),
            subscriptions_cut_total: Family::one(&["reason"], &["slow", "resync"]),
            client_mistakes_total: Counter::default(),
            sip_requests_total: Family::one(&["method"], &Method::KNOWN.map(|(name, _)| name)),
            sip_responses_total: Family::one(&["code"], &CODES),
            sip_malformed_total: Counter::default(),
            sip_withheld_total: Counter::default(),
            sip_unsent_total: Counter::default(),
            sip_overflows_total: Counter::default(),
            sip_retransmissions_total: Counter::default(),
            sip_transactions: Gauge::default(),
            sip_dialogs: Gauge::default(),
            sip_connections: Family::one(&["transport"], &CONNECTIONS),
            sip_connections_ended_total: Family::one(&["reason"], &ENDS),
            tls_certificate_expiry: Gauge::default(),
            sip_bindings: Gauge::default(),
            sip_registrations_total: Family::one(&["result"], &["accepted", "unauthorized", "refused"]),
            sip_events_total: Family::one(&["result"], &["delivered", "withheld", "refused", "unanswered", "dropped"]),
            digits_sent_total: Family::one(&["result"], &["sent", "unsent"]),
            messages_total: Family::one(&["state"], &["accepted", "sent", "delivered", "read", "failed", "refused"]),
            digits_total: Family::one(&["heard"], &["rfc4733", "in_band", "info"]),
            push_devices: Gauge::default(),
            push_total: pushes(),
            transfers_total: Family::one(&["result"], &["accepted", "denied", "refused"]),
            rtp_port_pairs: Family::one(&["state"], &["used", "resting", "free"]),
            rtp_gathering: Gauge::default(),
            rtp_offloaded: Gauge::default(),
            rtp_offloaded_packets_total: Counter::default(),
            recordings: Gauge::default(),
            recordings_total: Family::one(&["result"], &["finished", "failed"]),
            recording_dropped_total: Counter::default(),
            rtp_packets_total: Counter::default(),
            rtp_dropped_total: Family::one(&["reason"], &RTP_DROPS),
            fax_calls_total: Counter::default(),
            fax_datagrams_total: Counter::default(),
            rtp_irregular_total: Family::one(&["kind"], &["lost", "reordered", "duplicated"]),
            rtp_icmp_total: Family::one(&["kind"], &["refused", "unreachable"]),
            rtp_forwarding: Histogram::new(&FORWARDING_BUCKETS),
            rtp_mos: Histogram::new(&MOS_BUCKETS),
            rtp_jitter: Histogram::new(&JITTER_BUCKETS),
            rtp_round_trip: Histogram::new(&ROUND_TRIP_BUCKETS),
            call_findings_total: Family::one(&["finding"], &Trouble::ALL.map(Trouble::as_str)),
            call_warnings_total: Family::one(&["warning"], &Trouble::WARNED.map(Trouble::as_str)),
            rejects_total: Family::one(&["reason"], &REJECTS),
            panics_total: Counter::default(),
            records_total: Family::one(&["result"], &["written", "lost"]),
            records_waiting: Gauge::default(),
            trunks: trunks
                .iter()
                .map(|(name, registers)| (Arc::clone(name), Gauge::default(), registers.then(Gauge::default)))
                .collect(),
            log_lines_dropped_total: Counter::default(),
            #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 have 41 bits")]
            started_seconds: started.0 as f64 / 1000.0,
        }
    }

    /// How a trunk stands.
    pub fn show_trunk(&self, name: &str, is_up: bool, is_registered: Option<bool>) {
        for (_, up, registered) in self.trunks.iter().filter(|(listed, _, _)| **listed == *name) {
            up.set(u64::from(is_up));
            registered.as_ref().zip(is_registered).into_iter().for_each(|(gauge, is)| gauge.set(u64::from(is)));
        }
    }

    /// The page for Prometheus: what is counted here, and what the kernel knows of this process.
    pub fn render(&self) -> String {
        let mut page = Page::default();
        let version = env!("CARGO_PKG_VERSION");
        page.head("parkway_build_info", "gauge", "Which version runs.");
        page.sample("parkway_build_info", &format!("{{version=\"{version}\"}}"), 1);
        self.render_calls(&mut page);
        self.render_wire(&mut page);
        self.render_quality(&mut page);
        self.render_trunks(&mut page);
        self.render_house(&mut page);
        page.head("process_start_time_seconds", "gauge", "When the process began, seconds since 1970.");
        page.sample("process_start_time_seconds", "", self.started_seconds);
        for (name, kind, help, value) in process::read() {
            page.head(name, kind, help);
            page.sample(name, "", value);
        }
        page.0
    }

    fn render_calls(&self, page: &mut Page) {
        page.gauges("parkway_calls", "Calls there are, by state.", &self.calls);
        page.counters("parkway_calls_total", "Calls that ended, by result.", &self.calls_total);
        page.histogram("parkway_park_duration_seconds", "How long calls waited.", &self.park_duration);
        page.histogram(
            "parkway_notify_to_claim_seconds",
            "From the event to the callback that won.",
            &self.notify_to_claim,
        );
        page.counters("parkway_claims_total", "Callbacks, by result.", &self.claims_total);
        page.counters(
            "parkway_policy_decisions_total",
            "Decisions of the policy engine.",
            &self.policy_decisions_total,
        );
        page.gauges("parkway_subscriptions", "Open subscriptions.", &self.subscriptions);
        page.counters("parkway_events_total", "Events for subscribers.", &self.events_total);
        page.counters("parkway_subscriptions_cut_total", "Subscribers cut off.", &self.subscriptions_cut_total);
        page.counter(
            "parkway_client_mistakes_total",
            "Clients' messages that could not be understood.",
            &self.client_mistakes_total,
        );
        page.counters("parkway_rejects_total", "INVITEs that were not parked, by reason.", &self.rejects_total);
        page.counter("parkway_panics_total", "Calls lost to a panic.", &self.panics_total);
    }

    fn render_wire(&self, page: &mut Page) {
        page.counters("parkway_sip_requests_total", "SIP requests received.", &self.sip_requests_total);
        page.counters("parkway_sip_responses_total", "SIP responses sent.", &self.sip_responses_total);
        page.counter(
            "parkway_sip_malformed_total",
            "Datagrams on a SIP port that are no SIP.",
            &self.sip_malformed_total,
        );
        page.counter(
            "parkway_sip_withheld_total",
            "Answers that were not sent because they would have been larger than the request of who knows whom.",
            &self.sip_withheld_total,
        );
        page.counter("parkway_sip_unsent_total", "SIP datagrams that the kernel did not take.", &self.sip_unsent_total);
        page.counter(
            "parkway_sip_overflows_total",
            "SIP datagrams that found the receive buffer full.",
            &self.sip_overflows_total,
        );
        page.counter(
            "parkway_sip_retransmissions_total",
            "SIP messages sent again for want of an answer.",
            &self.sip_retransmissions_total,
        );
        page.gauge("parkway_sip_transactions", "SIP transactions there are.", &self.sip_transactions);
        page.gauge("parkway_sip_dialogs", "SIP dialogs there are, early ones too.", &self.sip_dialogs);
        page.gauges("parkway_sip_connections", "Connections that carry SIP.", &self.sip_connections);
        page.counters(
            "parkway_sip_connections_ended_total",
            "Connections that ended or never came about.",
            &self.sip_connections_ended_total,
        );
        page.gauge(
            "parkway_tls_certificate_expiry_seconds",
            "When the first of our certificates is good no longer, Unix time; 0 without TLS.",
            &self.tls_certificate_expiry,
        );
        page.gauge("parkway_sip_bindings", "Contacts that are registered over SIP.", &self.sip_bindings);
        page.counters(
            "parkway_sip_registrations_total",
            "Registrations and subscriptions over SIP.",
            &self.sip_registrations_total,
        );
        page.counters("parkway_sip_events_total", "Events for clients over SIP.", &self.sip_events_total);
        page.counters("parkway_messages_total", "Messages by what became of them.", &self.messages_total);
        page.gauge("parkway_push_devices", "Devices that can be woken.", &self.push_devices);
        page.counters("parkway_push_total", "Pushes, by kind of service and outcome.", &self.push_total);
        page.counters("parkway_transfers_total", "Transfers that were asked for.", &self.transfers_total);
        page.counters("parkway_digits_sent_total", "Keys that we were to press.", &self.digits_sent_total);
        page.counters("parkway_digits_total", "Keys that were pressed in bridges that are over.", &self.digits_total);
        page.gauges("parkway_rtp_port_pairs", "Pairs of RTP and RTCP ports.", &self.rtp_port_pairs);
        page.gauge("parkway_rtp_gathering", "Relay threads that let packets gather.", &self.rtp_gathering);
        page.gauge("parkway_rtp_offloaded", "Flows whose audio the kernel forwards by itself.", &self.rtp_offloaded);
        page.counter(
            "parkway_rtp_offloaded_packets_total",
            "RTP packets that the kernel forwarded by itself.",
            &self.rtp_offloaded_packets_total,
        );
        page.counter("parkway_rtp_packets_total", "RTP packets forwarded.", &self.rtp_packets_total);
        page.counters("parkway_rtp_dropped_total", "RTP and RTCP packets dropped.", &self.rtp_dropped_total);
        page.counter("parkway_fax_calls_total", "Calls that became a fax.", &self.fax_calls_total);
        page.counter("parkway_fax_datagrams_total", "Datagrams of faxes forwarded.", &self.fax_datagrams_total);
        page.gauge("parkway_recordings", "Recordings that are made now.", &self.recordings);
        page.counters("parkway_recordings_total", "Recordings that ended.", &self.recordings_total);
        page.counter(
            "parkway_recording_dropped_total",
            "Pieces of audio that are in no recording though they should be.",
            &self.recording_dropped_total,
        );
    }

    fn render_quality(&self, page: &mut Page) {
        page.counters(
            "parkway_rtp_irregular_total",
            "RTP packets that did not come, came late or came twice.",
            &self.rtp_irregular_total,
        );
        page.counters("parkway_rtp_icmp_total", "What ICMP said of where RTP went.", &self.rtp_icmp_total);
        page.histogram(
            "parkway_rtp_forwarding_seconds",
            "How long RTP packets of some flows stay here.",
            &self.rtp_forwarding,
        );
        page.histogram("parkway_rtp_mos", "Opinion score of each leg's audio, 1 to 4.41.", &self.rtp_mos);
        page.histogram("parkway_rtp_jitter_seconds", "Each leg's jitter at the end.", &self.rtp_jitter);
        page.histogram("parkway_rtp_round_trip_seconds", "Round trip to each leg.", &self.rtp_round_trip);
        page.counters(
            "parkway_call_findings_total",
            "What was wrong with calls' audio; a call may have several.",
            &self.call_findings_total,
        );
        page.counters(
            "parkway_call_warnings_total",
            "What was found wrong while calls went on; a call may have several.",
            &self.call_warnings_total,
        );
    }

    fn render_trunks(&self, page: &mut Page) {
        let label = |name: &str| format!("{{trunk=\"{}\"}}", escaped(name));
        page.head("parkway_trunk_up", "gauge", "Whether a target of the trunk may be used.");
        self.trunks.iter().for_each(|(name, up, _)| page.sample("parkway_trunk_up", &label(name), up.get()));
        page.head("parkway_trunk_registered", "gauge", "Whether the trunk has our registration.");
        let registered = self.trunks.iter().filter_map(|(name, _, registered)| Some((name, registered.as_ref()?)));
        registered.for_each(|(name, gauge)| page.sample("parkway_trunk_registered", &label(name), gauge.get()));
    }

    fn render_house(&self, page: &mut Page) {
        page.counters("parkway_records_total", "Call detail records.", &self.records_total);
        page.gauge("parkway_records_waiting", "Call detail records that wait for the disk.", &self.records_waiting);
        page.counter(
            "parkway_log_lines_dropped_total",
            "Lines of the log that were lost.",
            &self.log_lines_dropped_total,
        );
    }
}

/// Pushes of each kind of service, with each outcome.
fn pushes() -> Family<Counter> {
    let of_service = |service| PUSH_OUTCOMES.map(|outcome| [service, outcome]);
    Family::many(&["provider", "outcome"], PUSH_SERVICES.into_iter().flat_map(of_service))
}

/// The operator's own word as a label's value.
fn escaped(name: &str) -> String {
    name.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{Duration, Wall};
    use std::collections::BTreeSet;

    fn metrics() -> Metrics {
        Metrics::new(Wall(1_795_449_810_125), &[("a \"b\"".into(), true), ("c".into(), false)])
    }

    fn value(page: &str, sample: &str) -> String {
        let found = page.lines().find_map(|line| line.strip_prefix(sample).and_then(|rest| rest.strip_prefix(' ')));
        found.unwrap_or_else(|| panic!("no {sample} in\n{page}")).to_owned()
    }

    #[test]
    fn what_is_counted_is_on_the_page() {
        let metrics = metrics();
        metrics.calls.with("parked").set(37);
        metrics.calls_total.with("answered").inc();
        metrics.sip_requests_total.with("INVITE").add(5);
        metrics.policy_decisions_total.with_all(&["deny", "token_expired"]).inc();
        metrics.rtp_packets_total.set(1_000_000);
        let page = metrics.render();
        for (sample, expected) in [
            ("parkway_calls{state=\"parked\"}", "37"),
            ("parkway_calls{state=\"bridged\"}", "0"),
            ("parkway_calls_total{result=\"answered\"}", "1"),
            ("parkway_sip_requests_total{method=\"INVITE\"}", "5"),
            ("parkway_policy_decisions_total{decision=\"deny\",reason=\"token_expired\"}", "1"),
            ("parkway_policy_decisions_total{decision=\"allow\",reason=\"granted\"}", "0"),
            ("parkway_rtp_packets_total", "1000000"),
            ("process_start_time_seconds", "1795449810.125"),
        ] {
            assert_eq!(value(&page, sample), expected, "{sample}");
        }
        assert!(page.contains("parkway_build_info{version=\""));
        assert!(value(&page, "process_open_fds").parse::<u64>().unwrap() > 2);
        assert!(value(&page, "process_resident_memory_bytes").parse::<u64>().unwrap() > 100_000);
    }

    #[test]
    fn a_label_value_that_is_not_listed_makes_the_page_no_longer() {
        let metrics = metrics();
        let before = metrics.render().lines().count();
        for value in ["MADEUP", "BREW\"} 1\nforged", ""] {
            metrics.sip_requests_total.with(value).inc();
        }
        metrics.policy_decisions_total.with_all(&["deny"]).inc();
        let page = metrics.render();
        assert_eq!(page.lines().count(), before);
        assert_eq!(value(&page, "parkway_sip_requests_total{method=\"other\"}"), "3");
        assert_eq!(value(&page, "parkway_policy_decisions_total{decision=\"other\",reason=\"other\"}"), "1");
    }

    #[test]
    fn buckets_are_cumulative_and_a_bound_belongs_to_its_bucket() {
        let metrics = metrics();
        for millis in [500, 501, 60_000, 1_000_000] {
            metrics.park_duration.observe(Duration::from_millis(millis));
        }
        let page = metrics.render();
        for (bound, expected) in [("0.5", "1"), ("1", "2"), ("45", "2"), ("60", "3"), ("300", "3"), ("+Inf", "4")] {
            assert_eq!(
                value(&page, &format!("parkway_park_duration_seconds_bucket{{le=\"{bound}\"}}")),
                expected,
                "{bound}"
            );
        }
        assert_eq!(value(&page, "parkway_park_duration_seconds_count"), "4");
        assert_eq!(value(&page, "parkway_park_duration_seconds_sum"), "1061.001");
    }

    #[test]
    fn a_trunk_is_told_by_its_name_however_that_is_written() {
        let metrics = metrics();
        metrics.show_trunk("a \"b\"", true, Some(true));
        metrics.show_trunk("c", false, Some(true));
        metrics.show_trunk("nobody's", true, None);
        let page = metrics.render();
        let samples: Vec<&str> = page.lines().filter(|line| line.starts_with("parkway_trunk_")).collect();
        let a = "{trunk=\"a \\\"b\\\"\"}";
        let expected = [
            format!("parkway_trunk_up{a} 1"),
            "parkway_trunk_up{trunk=\"c\"} 0".into(),
            format!("parkway_trunk_registered{a} 1"),
        ];
        assert_eq!(samples, expected);
    }

    #[test]
    fn a_gauge_never_falls_below_zero() {
        let gauge = Gauge::default();
        gauge.inc();
        gauge.dec();
        gauge.dec();
        assert_eq!(gauge.get(), 0);
    }

    /// <https://prometheus.io/docs/practices/naming/>, and the text format: each family once, HELP and TYPE before its samples.
    #[test]
    fn names_follow_the_conventions() {
        let page = metrics().render();
        let mut families = BTreeSet::new();
        for line in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            let (name, kind) = line.split_once(' ').unwrap();
            assert!(families.insert(name), "{name} twice");
            assert!(name.starts_with("parkway_") || name.starts_with("process_"), "{name}");
            assert_eq!(name.ends_with("_total"), kind == "counter", "{name} is a {kind}");
            assert!(page.contains(&format!("# HELP {name} ")), "{name}");
        }
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let name = line.split(['{', ' ']).next().unwrap();
            let family =
                ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
            assert!(families.contains(family), "{line}");
            assert!(line.rsplit(' ').next().unwrap().parse::<f64>().is_ok(), "{line}");
        }
    }
}
