//! What is counted of a leg while its call goes on: as much as every call has to keep.
//! Not here: what is measured (`statistics`, `presence`, `feedback`). The report, which has all of it, is made when it is asked for.

use crate::media::command::Counters;
use std::net::SocketAddr;

/// One leg's counts; each is what [`Counters`] says of it.
#[derive(Debug, Default)]
pub(super) struct Counted {
    pub(super) packets_received: u64,
    pub(super) packets_forwarded: u64,
    pub(super) octets_received: u64,
    pub(super) dropped_source: u64,
    pub(super) dropped_malformed: u64,
    pub(super) dropped_unauthentic: u64,
    pub(super) dropped_replayed: u64,
    pub(super) dropped_unbridged: u64,
    pub(super) dropped_unsent: u64,
    pub(super) refused: u64,
    pub(super) unreachable: u64,
    pub(super) ssrc_changes: u32,
    pub(super) dtmf_digits: u32,
    pub(super) packets_played: u64,
    pub(super) packets_replaced: u64,
    pub(super) rtcp_forwarded: u64,
    pub(super) rtcp_dropped: u64,
    pub(super) named: Option<SocketAddr>,
    pub(super) heard_from: Option<SocketAddr>,
}

impl Counted {
    /// The same in a report that knows nothing else yet.
    pub(super) fn report(&self) -> Counters {
        Counters {
            packets_received: self.packets_received,
            packets_forwarded: self.packets_forwarded,
            octets_received: self.octets_received,
            dropped_source: self.dropped_source,
            dropped_malformed: self.dropped_malformed,
            dropped_unauthentic: self.dropped_unauthentic,
            dropped_replayed: self.dropped_replayed,
            dropped_unbridged: self.dropped_unbridged,
            dropped_unsent: self.dropped_unsent,
            refused: self.refused,
            unreachable: self.unreachable,
            ssrc_changes: self.ssrc_changes,
            dtmf_digits: self.dtmf_digits,
            packets_played: self.packets_played,
            packets_replaced: self.packets_replaced,
            rtcp_forwarded: self.rtcp_forwarded,
            rtcp_dropped: self.rtcp_dropped,
            named: self.named,
            heard_from: self.heard_from,
            ..Counters::default()
        }
    }
}
