//! What has been said so far in a call that may be bridged more than once: when it was answered first, for how long it was talked, and to
//! whom last. The record tells.
//! Not here: the record itself (`record`).

use super::{Facts, Record, record};
use crate::policy::Parameters;
use crate::time::{Duration, Now};

/// All bridges of a call up to now, at least one.
#[derive(Clone, Debug)]
pub(super) struct Talk {
    /// When both sides of the first had their 200.
    pub(super) first: Now,
    /// How long all of them lasted together.
    pub(super) talked: Duration,
    /// Of the last: who answered, what allowed it, what its credential wants to be passed on, and the Call-ID of the client's leg.
    pub(super) winner: String,
    pub(super) permit: String,
    pub(super) parameters: Option<Parameters>,
    pub(super) client_sip_call_id: Option<String>,
}

impl Talk {
    /// Writes it into the record of the call.
    pub(super) fn write(self, record: &mut Record, facts: &Facts) {
        record.status = 200;
        record.answered = Some(self.first.wall);
        record.waited_ms = record::millis(self.first.at - facts.started.at);
        record.talked_ms = record::millis(self.talked);
        record.winner = Some(self.winner);
        record.permit = Some(self.permit);
        record.parameters = self.parameters;
        record.client_sip_call_id = self.client_sip_call_id;
    }
}
