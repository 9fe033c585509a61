//! What the endpoint counts, for metrics and for tests that look for leaks.
//! Not here: names and labels of metrics (`telemetry`).

use crate::sip::wire::Error;

/// What there is at this moment; all zero when nothing leaked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Requests from peers whose transactions have not run out.
    pub server_transactions: usize,
    /// Requests of ours whose transactions have not run out.
    pub client_transactions: usize,
    /// Dialogs, early ones too.
    pub dialogs: usize,
    /// Armed timers.
    pub timers: usize,
    /// Events that wait for [`poll_event`](super::Endpoint::poll_event).
    pub events: usize,
    /// Datagrams that wait for [`poll_transmit`](super::Endpoint::poll_transmit).
    pub transmits: usize,
}

/// What the endpoint counts; all only grow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Datagrams.
    pub datagrams: u64,
    /// Of these, the ones of CR and LF alone.
    pub keep_alives: u64,
    /// Datagrams that are no acceptable message, by what is wrong; [`Stats::MALFORMED`] has the names.
    pub malformed: [u64; Stats::MALFORMED.len()],
    /// Requests answered without a transaction by the endpoint itself: not served, not supported, no such dialog.
    pub refused: u64,
    /// Requests and final answers that came again.
    pub repeats_received: u64,
    /// Requests, answers and ACKs that were sent again, asked or by timer.
    pub repeats_sent: u64,
    /// Responses to nothing that we sent; dropped.
    pub responses_unmatched: u64,
    /// ACKs for nothing that we answered; dropped.
    pub acks_unmatched: u64,
    /// Requests that reached us twice by different ways: 482.
    pub merged: u64,
    /// Requests in a dialog that is not there: 481.
    pub dialogs_unknown: u64,
    /// Requests in a dialog with a CSeq that is not higher than the last: 500.
    pub out_of_order: u64,
    /// Answers that would have been larger than a request from who knows where: not sent (RELIABILITY A19).
    pub withheld: u64,
    /// Requests turned away because a table was full: 503.
    pub full: u64,
    /// Answers that the call gave to a transaction that is gone or has its final answer; not sent.
    pub answers_refused: u64,
    /// 2xx of ours that nobody acknowledged.
    pub unacknowledged: u64,
    /// Requests of ours that nobody answered.
    pub failed: u64,
}

impl Stats {
    /// What can be wrong with a datagram, in the order of [`Stats::malformed`].
    pub const MALFORMED: [&'static str; 14] = [
        "too_long",
        "line_ending",
        "no_blank_line",
        "too_many_headers",
        "fold",
        "header_name",
        "start_line",
        "version",
        "request_uri",
        "missing",
        "repeated",
        "malformed",
        "body_short",
        "cseq_method",
    ];

    /// Datagrams that are no acceptable message, whatever is wrong with them.
    pub fn malformed_total(&self) -> u64 {
        self.malformed.iter().sum()
    }

    pub(super) fn count_malformed(&mut self, error: Error) {
        let kind = match error {
            Error::TooLong => 0,
            Error::LineEnding => 1,
            Error::NoBlankLine => 2,
            Error::TooManyHeaders => 3,
            Error::Fold => 4,
            Error::HeaderName => 5,
            Error::StartLine => 6,
            Error::Version => 7,
            Error::RequestUri => 8,
            Error::Missing(_) => 9,
            Error::Repeated(_) => 10,
            Error::Malformed(_) | Error::Uri | Error::NameAddr | Error::ViaParm | Error::Number => 11,
            Error::BodyShort => 12,
            Error::CSeqMethod => 13,
        };
        if let Some(count) = self.malformed.get_mut(kind) {
            *count += 1;
        }
    }
}
