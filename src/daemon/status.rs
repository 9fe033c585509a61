//! What the switch thread shows of itself: whether it lives, whether it takes calls, and its counters as metrics.
//! Not here: how the numbers are written (`telemetry`).

use crate::call::{DigitCounts, Outcome, Record};
use crate::config::Certificate;
use crate::id::CallId;
use crate::media::{Counters, Finding, Warning};
use crate::net::{self, ConnectionCounts, Streams};
use crate::notify::Registry;
use crate::relay::Relay;
use crate::sip::Transport;
use crate::switch::Switch;
use crate::telemetry::Metrics;
use crate::time::{Duration, Now};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Seen by the switch thread and by those who ask about it.
pub(super) struct Status {
    metrics: Arc<Metrics>,
    /// How often the switch thread has shown itself: the watchdog wants it to rise.
    beats: AtomicU64,
    draining: AtomicBool,
}

impl Status {
    /// Everything is well and nothing has happened.
    pub(super) fn new(metrics: Arc<Metrics>) -> Status {
        Status { metrics, beats: AtomicU64::new(0), draining: AtomicBool::new(false) }
    }

    /// The switch thread shows itself.
    pub(super) fn show(&self, switch: &Switch, streams: &Streams, now: Now) {
        let metrics = &self.metrics;
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        switch.census().for_each(|(phase, calls)| metrics.calls.with(phase.as_str()).set(count(calls)));
        let (sip, tables, stats) = (switch.endpoint().stats(), switch.endpoint().counts(), switch.stats());
        metrics.sip_malformed_total.set(sip.malformed_total());
        metrics.sip_withheld_total.set(sip.withheld);
        metrics.sip_retransmissions_total.set(sip.repeats_sent);
        let traffic = switch.endpoint().traffic();
        traffic.requests().for_each(|(method, total)| metrics.sip_requests_total.with(method).set(total));
        traffic.responses().for_each(|(code, total)| metrics.sip_responses_total.with(&code.to_string()).set(total));
        metrics.sip_transactions.set(count(tables.server_transactions + tables.client_transactions));
        metrics.sip_dialogs.set(count(tables.dialogs));
        let (contacts, subscriptions) = switch.bindings();
        metrics.sip_bindings.set(count(contacts));
        metrics.subscriptions.with("sip").set(count(subscriptions));
        for (tally, family) in [
            (&stats.registrations, &metrics.sip_registrations_total),
            (&stats.told, &metrics.sip_events_total),
            (&stats.messages, &metrics.messages_total),
            (&stats.transfers, &metrics.transfers_total),
        ] {
            tally.0.iter().for_each(|(result, total)| family.with(result).set(*total));
        }
        for transport in [Transport::Tcp, Transport::Tls, Transport::Ws] {
            metrics.sip_connections.with(transport.as_str()).set(count(streams.count(transport)));
        }
        stats.refused.0.iter().for_each(|(reason, total)| metrics.rejects_total.with(reason).set(*total));
        stats.callbacks.0.iter().for_each(|(result, total)| metrics.claims_total.with(result).set(*total));
        for (reason, total) in &stats.verdicts.0 {
            let decision = if *reason == crate::policy::GRANTED { "allow" } else { "deny" };
            metrics.policy_decisions_total.with_all(&[decision, reason]).set(*total);
        }
        for (name, is_up, is_registered) in switch.trunks().standings(now) {
            metrics.show_trunk(name, is_up, is_registered);
        }
        metrics.panics_total.set(stats.panics);
        self.beats.fetch_add(1, Ordering::Relaxed);
    }

    /// Which certificates are shown to peers.
    pub(super) fn show_certificates(&self, certificates: &[Certificate]) {
        let first = certificates.iter().map(|certificate| certificate.expires.0 / 1000).min();
        self.metrics.tls_certificate_expiry.set(first.unwrap_or(0));
    }

    /// A call is over.
    pub(super) fn count(&self, record: &Record) {
        let metrics = &self.metrics;
        metrics.calls_total.with(record.outcome.as_str()).inc();
        let waited = Duration::from_millis(record.waited_ms);
        metrics.park_duration.observe(waited);
        if record.outcome == Outcome::Answered {
            metrics.notify_to_claim.observe(waited);
        }
        record.media.iter().flat_map(|media| [media.caller, media.client]).for_each(|leg| self.count_leg(&leg));
        for (means, count) in record.digits.iter().flat_map(DigitCounts::totals) {
            metrics.digits_total.with(means.as_str()).add(count);
        }
        for side in record.digits.iter().flat_map(|digits| [digits.caller, digits.client]) {
            metrics.digits_sent_total.with("sent").add(side.sent.into());
            metrics.digits_sent_total.with("unsent").add(side.unsent.into());
        }
        if let Some(fax) = &record.fax {
            metrics.fax_calls_total.inc();
            metrics.fax_datagrams_total.add(fax.caller.forwarded + fax.client.forwarded);
        }
        for finding in &record.findings {
            metrics.call_findings_total.with(finding.id).inc();
            let Finding { id, leg, text } = finding;
            tracing::info!(call = %record.call, finding = id, leg, "{text}");
        }
    }

    /// A side of a call that goes on is not heard, or is again.
    pub(super) fn warn(&self, call: CallId, warning: &Warning) {
        let Finding { id, leg, text } = &warning.finding;
        match warning.over_after {
            None => {
                self.metrics.call_warnings_total.with(id).inc();
                tracing::warn!(%call, warning = id, leg, "{text}");
            }
            Some(lasted) => {
                tracing::info!(%call, warning = id, leg, "over after {:.0} s: {text}", lasted.as_secs_f64())
            }
        }
    }

    fn count_leg(&self, leg: &Counters) {
        let metrics = &self.metrics;
        metrics.rtp_packets_total.add(leg.packets_forwarded);
        for (family, reason, count) in [
            (&metrics.rtp_dropped_total, "source", leg.dropped_source),
            (&metrics.rtp_dropped_total, "malformed", leg.dropped_malformed),
            (&metrics.rtp_dropped_total, "unauthentic", leg.dropped_unauthentic),
            (&metrics.rtp_dropped_total, "replayed", leg.dropped_replayed),
            (&metrics.rtp_dropped_total, "unbridged", leg.dropped_unbridged),
            (&metrics.rtp_dropped_total, "replaced", leg.packets_replaced),
            (&metrics.rtp_dropped_total, "unsent", leg.dropped_unsent),
            (&metrics.rtp_irregular_total, "lost", leg.packets_lost),
            (&metrics.rtp_irregular_total, "reordered", leg.packets_reordered),
            (&metrics.rtp_irregular_total, "duplicated", leg.packets_duplicated),
            (&metrics.rtp_icmp_total, "refused", leg.refused),
            (&metrics.rtp_icmp_total, "unreachable", leg.unreachable),
        ] {
            family.with(reason).add(count);
        }
        if let Some(mos) = leg.mos {
            metrics.rtp_mos.observe_value(mos);
        }
        if leg.packets_received > 0 {
            metrics.rtp_jitter.observe_value(f64::from(leg.jitter_ms) / 1_000.0);
        }
        if let Some(trip) = leg.reported.round_trip {
            metrics.rtp_round_trip.observe_value(f64::from(trip.mean_ms) / 1_000.0);
        }
    }

    /// A SIP datagram that the kernel did not take.
    pub(super) fn count_unsent(&self) {
        self.metrics.sip_unsent_total.inc();
    }

    /// Lines of the log that were lost since the start.
    pub(super) fn count_lost_lines(&self, total: u64) {
        self.metrics.log_lines_dropped_total.set(total);
    }

    /// How often the switch thread has shown itself.
    pub(super) fn beats(&self) -> u64 {
        self.beats.load(Ordering::Relaxed)
    }

    /// From now on new calls are refused. Said by the switch thread once it does refuse them: whoever has seen that we are not
    /// ready finds no call of his taken after that.
    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether new calls are taken.
    pub(super) fn is_ready(&self) -> bool {
        !self.draining.load(Ordering::Relaxed)
    }

    /// For `systemctl status`.
    pub(super) fn line(&self) -> String {
        let calls = |state| self.metrics.calls.with(state).get();
        let draining = if self.is_ready() { "" } else { ", draining" };
        format!("{} parked, {} bridged{draining}", calls("parked") + calls("merging"), calls("bridged"))
    }
}

/// Where the numbers of the metrics page come from that nobody pushes: they are looked up when the page is asked for.
pub(super) struct Sources {
    /// The UDP listeners.
    pub(super) sip: Vec<SocketAddr>,
    pub(super) connections: Arc<ConnectionCounts>,
    pub(super) registry: Arc<Registry>,
    pub(super) relay: Arc<Relay>,
    pub(super) metrics: Arc<Metrics>,
}

impl Sources {
    /// The page for Prometheus.
    pub(super) fn page(&self) -> String {
        let (metrics, stats, ports) = (&self.metrics, self.registry.stats(), self.relay.counts());
        metrics.subscriptions.with("websocket").set(stats.subscriptions);
        metrics.events_total.with("delivered").set(stats.delivered_total);
        metrics.events_total.with("withheld").set(stats.withheld_total);
        metrics.subscriptions_cut_total.with("slow").set(stats.slow_total);
        metrics.subscriptions_cut_total.with("resync").set(stats.resyncs_total);
        metrics.client_mistakes_total.set(stats.mistakes_total);
        metrics.sip_overflows_total.set(net::overflows(&self.sip));
        for (ended, total) in self.connections.totals() {
            metrics.sip_connections_ended_total.with(ended.as_str()).set(total);
        }
        let pairs = [("used", ports.pairs_taken), ("resting", ports.pairs_resting), ("free", ports.pairs_free)];
        for (state, count) in pairs {
            metrics.rtp_port_pairs.with(state).set(u64::try_from(count).unwrap_or(u64::MAX));
        }
        metrics.rtp_gathering.set(u64::try_from(ports.gathering).unwrap_or(u64::MAX));
        metrics.rtp_forwarding.copy(self.relay.delays());
        metrics.rtp_offloaded.set(u64::try_from(ports.offloaded).unwrap_or(u64::MAX));
        metrics.rtp_offloaded_packets_total.set(ports.carried);
        if let Some(recordings) = self.relay.recordings() {
            let count = |total: &AtomicU64| total.load(Ordering::Relaxed);
            metrics.recordings.set(count(&recordings.open));
            metrics.recordings_total.with("finished").set(count(&recordings.finished));
            metrics.recordings_total.with("failed").set(count(&recordings.failed));
            metrics.recording_dropped_total.set(count(&recordings.dropped));
        }
        metrics.render()
    }
}
