//! Bugs planted on purpose, so that a test can show that the simulation finds each of them. A rule of the core asks `planted`
//! where the bug would be; one bug at a time is planted, for the thread that plants it. Without the feature `sim` the answer is a
//! constant no, and the daemon carries nothing of it.
//! Not here: the simulation, the invariants (RELIABILITY §4), and which seed finds what.

#[cfg(feature = "sim")]
use std::cell::Cell;

/// One line a bug: the enum, [`Mutant::ALL`] and [`Mutant::as_str`] cannot fall out of step.
macro_rules! mutants {
    ($($(#[$what:meta])* $name:ident = $text:literal,)*) => {
        /// A bug. Each says what is broken, and which invariant has to notice.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Mutant {
            $($(#[$what])* $name,)*
        }

        impl Mutant {
            /// All of them.
            pub const ALL: &[Mutant] = &[$(Mutant::$name),*];

            /// Its name in reports.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Mutant::$name => $text,)*
                }
            }
        }
    };
}

mutants! {
    // Names, tokens, policy.
    /// An event for `foo` reaches `foobar`. I13.
    NameBoundary = "name_boundary",
    /// A token opens after its expiry. I5.
    TokenExpiry = "token_expiry",
    /// A token opens for whoever brings it. I5, I7.
    TokenAudience = "token_audience",
    /// A token of another generation of the parked leg is as good. I5.
    TokenGeneration = "token_generation",
    /// What policy denies because its server is not there is allowed. I7.
    UnavailableAllowed = "unavailable_allowed",
    /// What policy denies because its server said nothing in time is allowed. I7.
    TimeoutAllowed = "timeout_allowed",
    /// Policy's no is taken for a yes. I7.
    DenialAllowed = "denial_allowed",
    /// A permit for another call is as good. I7.
    PermitUnchecked = "permit_unchecked",
    // The switch: who is admitted, who calls back, what is counted.
    /// An INVITE from an address that is no trunk's is parked. Model: 403, and no notice.
    StrangerAdmitted = "stranger_admitted",
    /// New calls are parked during a drain. L7.
    DrainIgnored = "drain_ignored",
    /// New calls are parked while messages wait that came before. L7.
    BacklogIgnored = "backlog_ignored",
    /// One call more than allowed waits for a name. I11.
    CapOffByOne = "cap_off_by_one",
    /// A source address whose call waits no more is counted as waiting. I11, L2.
    SourceKept = "source_kept",
    /// A client whose callback was denied keeps the place that was reserved for it. I11, L2.
    PlaceKept = "place_kept",
    /// No place is reserved for a callback while policy is asked about it. I11: two take the last one.
    PlaceNotReserved = "place_not_reserved",
    /// A callback that policy allows when another has the call already gets no final answer. I1, L2.
    SecondCallbackLost = "second_callback_lost",
    /// A client's CANCEL while policy is asked ends the call instead of the callback. I16.
    CancelHitsCaller = "cancel_hits_caller",
    /// A flow that its call has let go of is remembered. L2.
    FlowKept = "flow_kept",
    /// What became of a call is not remembered for late callbacks. Model: 410 with the reason.
    FateForgotten = "fate_forgotten",
    /// A call that is parked again after a failed merge is not woken any more. L1.
    AlarmLost = "alarm_lost",
    // The call: what its legs, its clients and its record are told.
    /// The caller's provisional response is not repeated. Model: one each `repeat` (RFC 3261 §13.3.1.1).
    RingNotRepeated = "ring_not_repeated",
    /// A call waits an hour longer than its route says. L1.
    ParkDeadline = "park_deadline",
    /// The other clients are not told that a call was answered. L4: one end for each announcement.
    GoneNotTold = "gone_not_told",
    /// Clients are told that a call waits no more once again when its bridge ends. L4.
    GoneToldTwice = "gone_told_twice",
    /// A call that nobody answered leaves no record. L5.
    RecordNotWritten = "record_not_written",
    /// A call that had a callback leaves two records. L5.
    RecordTwice = "record_twice",
    /// A leg that still waits when a merge ends gets no final answer. I1, L2.
    LegNotRefused = "leg_not_refused",
    /// The relay is not told to close the flow of a merge that failed. M4, L2.
    PortsKept = "ports_kept",
    /// A client's CANCEL during the merge ends the caller's call too. I16.
    CancelEndsCall = "cancel_ends_call",
    /// When one leg hangs up, the other gets no BYE. L1.
    ByeNotSent = "bye_not_sent",
    /// A leg that hung up gets a BYE besides its 200. Model: no request in a dialog that its BYE ended (RFC 3261 §15).
    ByeForBye = "bye_for_bye",
    /// After a re-INVITE without an offer was settled, every other one gets 491. L1.
    ChangeKept = "change_kept",
    /// A re-INVITE that waits for the other side when the call ends gets no final answer. I1, L2.
    ChangeLeftOpen = "change_left_open",
    /// A second change of the session is taken while the first has no answer. Model: one offer at a time (RFC 3311 §5.2, RFC 3264 §4).
    ChangesCross = "changes_cross",
    /// A session interval below the least is granted. Model: 422 with Min-SE (RFC 4028 §9).
    ShortIntervalGranted = "short_interval_granted",
    /// A session that is ours to refresh is not. Model: a refresh at half the interval (RFC 4028 §7.4).
    SessionNotRefreshed = "session_not_refreshed",
    /// A call whose peer does not refresh its session goes on for an hour. L1: BYE before the interval is over (RFC 4028 §10).
    SessionNeverOver = "session_never_over",
    /// An INFO that waits for the other side when the call ends gets no final answer. I1.
    InfoLeftOpen = "info_left_open",
    /// Clients are told who calls although the caller wants to be nobody. Model: RFC 3323 §4.2.
    PrivacyIgnored = "privacy_ignored",
    /// A trunk that may not assert an identity is believed. Model: From counts (RFC 3325 §9.1).
    IdentityBelieved = "identity_believed",
    /// A call whose relay never says that it closed the flow is kept for an hour. L1.
    EndingForever = "ending_forever",
    /// A 2xx to our re-INVITE that crosses the end of the call gets no ACK. Model: each 2xx is acknowledged (RFC 3261 §13.2.2.4).
    LateAnswerNotAcked = "late_answer_not_acked",
    // SIP: transactions and dialogs.
    /// A repeated request is looked at as though it were new. I1, I15.
    RepeatTakenAsNew = "repeat_taken_as_new",
    /// An INVITE that forked on its way to us makes two calls. I15: RFC 3261 §8.2.2.2.
    MergedUndetected = "merged_undetected",
    /// ACK gets a response. I3.
    AckAnswered = "ack_answered",
    /// A 2xx is repeated although its ACK has come, and the call ends for want of it. I1, L3.
    AckIgnored = "ack_ignored",
    /// A CANCEL counts although its INVITE has a final answer. I16: a refused client ends the call that way.
    CancelAfterFinal = "cancel_after_final",
    /// What is repeated after the final answer is the provisional one. I2.
    ProvisionalAfterFinal = "provisional_after_final",
    /// A final answer to an INVITE is not repeated until its ACK. L3, where the first was lost.
    AnswerNotRepeated = "answer_not_repeated",
    /// Whoever knows our tag is in the dialog, whatever his Call-ID and tag. I4, I6.
    PeerUnchecked = "peer_unchecked",
    /// A request in a dialog counts although its CSeq is old. I4, I15.
    CSeqUnchecked = "cseq_unchecked",
    /// All our requests in a dialog have the same CSeq. I4.
    OwnCSeqStuck = "own_cseq_stuck",
    /// Our BYE does not wait for the ACK of our 2xx. Model: RFC 3261 §15.
    ByeBeforeAck = "bye_before_ack",
    /// A request of ours is never forgotten. L2.
    ClientTransactionKept = "client_transaction_kept",
    /// A reliable provisional response is not repeated until its PRACK. Model: RFC 3262 §3, where the first was lost.
    ReliableNotRepeated = "reliable_not_repeated",
    /// A PRACK for another response than the last is as good. Model: 481 (RFC 3262 §3).
    PrackUnmatched = "prack_unmatched",
    /// A peer that becomes another is not told to the other leg. Model: the same pair of UUIDs on both legs (RFC 7989 §7).
    SessionIdKept = "session_id_kept",
    // Telephones: rung, told, connected.
    /// The telephones of a call that waits no more ring on. Model: CANCEL (RFC 3261 §9.1).
    RingsOn = "rings_on",
    /// A telephone that answers when nobody wants it any more is not hung up on. Model: RFC 3261 §13.2.2.4.
    LateAnswerKept = "late_answer_kept",
    /// A CANCEL does not wait until its INVITE was heard. Model: RFC 3261 §9.1.
    CancelTooEarly = "cancel_too_early",
    /// A second branch of a fork that answers is taken for the first that answers again. Model: RFC 3261 §13.2.2.4.
    ForkTaken = "fork_taken",
    /// A 2xx of a telephone that comes again gets no ACK. Model: RFC 3261 §13.2.2.4.
    RepeatedAnswerNotAcked = "repeated_answer_not_acked",
    /// Policy is not asked about a telephone that answers. I7.
    TelephoneNotAsked = "telephone_not_asked",
    /// A telephone that is rung is told besides. Model: one or the other.
    RungAndTold = "rung_and_told",
    /// A telephone is told the next thing while the last is on its way. Model: RFC 3428 §8.
    ToldAtOnce = "told_at_once",
    /// A telephone that was not told of a call is told of its end. Model: the end of what was told.
    EndOfNothing = "end_of_nothing",
    /// A registration outlives its connection. Model: RFC 5626 §5.3.
    BindingKept = "binding_kept",
    /// A request is repeated over a connection. Model: RFC 3261 §17.1.
    RepeatedOverConnection = "repeated_over_connection",
    // Media: what the relay forwards, and where.
    /// A leg is heard although it, or the other, is on hold. I8.
    HoldIgnored = "hold_ignored",
    /// An address that signalling did not name is learned. I9.
    StrangerLearned = "stranger_learned",
    /// A leg that is no trunk's gets a burst before it was heard. I9, I10.
    BurstForUntrusted = "burst_for_untrusted",
    /// A packet that has nowhere to go is dropped and not counted. M1.
    DropUncounted = "drop_uncounted",
    /// Packets cross with the sender's payload type where the other leg has another number for it. Model: RFC 3264 §5.1.
    PayloadTypeKept = "payload_type_kept",
}

#[cfg(feature = "sim")]
thread_local! {
    static PLANTED: Cell<Option<Mutant>> = const { Cell::new(None) };
}

/// Plants a bug for this thread; `None` takes it out again.
#[cfg(feature = "sim")]
pub fn plant(mutant: Option<Mutant>) {
    PLANTED.set(mutant);
}

/// Whether this bug is planted.
#[cfg(feature = "sim")]
pub(crate) fn planted(mutant: Mutant) -> bool {
    PLANTED.get() == Some(mutant)
}

/// Whether this bug is planted: none ever is.
#[cfg(not(feature = "sim"))]
#[inline(always)]
pub(crate) const fn planted(_: Mutant) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bug_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<&str> = Mutant::ALL.iter().map(|mutant| mutant.as_str()).collect();
        assert_eq!(names.len(), Mutant::ALL.len());
    }

    #[cfg(not(feature = "sim"))]
    #[test]
    fn without_the_feature_none_is_planted() {
        assert!(Mutant::ALL.iter().all(|mutant| !planted(*mutant)));
    }

    #[cfg(feature = "sim")]
    #[test]
    fn one_is_planted_and_only_in_its_thread() {
        plant(Some(Mutant::NameBoundary));
        assert!(Mutant::ALL.iter().all(|mutant| planted(*mutant) == (*mutant == Mutant::NameBoundary)));
        assert!(std::thread::spawn(|| !planted(Mutant::NameBoundary)).join().unwrap_or(false));
        plant(None);
        assert!(Mutant::ALL.iter().all(|mutant| !planted(*mutant)));
    }
}
