//! Which flows play which race of PRODUCT.md ("Races that must come out right, every time") and which fault of RELIABILITY.md §3.
//! Not here: faults that no SIP message can tell of (disks, processes, packets of media), and the panic of one call, which needs
//! a hook in the switch and is planted in its own tests.

/// A race or a fault, as its document calls it, and the flows that play it.
pub(crate) type Row = (&'static str, &'static [&'static str]);

/// PRODUCT.md, in its order.
pub(crate) const RACES: &[Row] = &[
    (
        "CANCEL × callback",
        &[
            "cancel-crosses-callback",
            "cancel-before-callback",
            "bye-early-crosses-callback",
            "merging-client-cancels",
            "late-ports",
        ],
    ),
    ("CANCEL × our 200", &["cancel-crosses-200", "cancel-crosses-200-without-ack", "cancel-crosses-200-of-the-client"]),
    (
        "two callbacks with one token",
        &["two-callbacks-one-token", "two-callbacks-two-clients", "loser-retries", "token-replayed"],
    ),
    ("two callbacks while policy is asked", &["policy-allows-both", "policy-allows-both-while-merging"]),
    (
        "callback while policy is pending and the caller hangs up",
        &["policy-pending-caller-hangs-up", "policy-pending-caller-hangs-up-by-bye", "policy-pending-time-is-up"],
    ),
    (
        "BYE × re-INVITE",
        &[
            "bye-crosses-reinvite",
            "bye-after-own-reinvite",
            "reinvite-after-bye",
            "reinvite-answered-after-bye",
            "reinvite-crosses-our-bye",
            "reinvite-crossing-bye-of-its-receiver",
        ],
    ),
    ("both BYE", &["both-bye", "both-bye-before-ack", "both-bye-lost-answers", "both-bye-same-side-again"]),
    (
        "re-INVITE glare",
        &[
            "reinvite-glare",
            "reinvite-glare-unacknowledged",
            "reinvite-twice",
            "reinvite-too-early",
            "update-glare",
            "update-crosses-offer",
            "session-refresh-glare",
            "session-refresh-waits",
        ],
    ),
    (
        "retransmissions anywhere",
        &[
            "repeated-messages",
            "repeated-refusals",
            "refused-again",
            "loser-repeats",
            "policy-pending-repeated",
            "ack-repeated",
            "cancel-more-than-once",
            "reinvite-lost-messages",
            "reinvite-second-answer",
            "stray-answers",
        ],
    ),
    (
        "lost ACK",
        &[
            "lost-200",
            "lost-ack-caller",
            "lost-ack-client",
            "lost-ack-both",
            "late-ack",
            "reinvite-never-acknowledged",
            "reinvite-overtakes-ack",
            "reinvite-instead-of-ack",
            "bye-while-other-side-has-not-acknowledged",
        ],
    ),
    ("forked and merged requests", &["merged-request", "merged-callback", "merged-after-200"]),
    ("client that never calls back", &["nobody-calls-back", "callback-crosses-deadline", "late-truth-ends"]),
    ("client that vanishes without BYE", &["client-vanishes", "client-vanishes-on-hold", "bye-unanswered"]),
];

/// RELIABILITY.md §3, where it is not one of the races.
pub(crate) const FAULTS: &[Row] = &[
    ("overload", &["overload"]),
    ("SIGTERM drain", &["drain", "drain-ends", "drain-deadline", "stop", "stop-while-policy-is-asked", "abandon"]),
    ("clock jump", &["clock-jumps-forward", "clock-jumps-back"]),
    ("policy server hangs or dies", &["policy-times-out", "policy-never-answers", "policy-fails"]),
    ("a relay worker dies", &["media-closes-while-bridged", "media-closes-while-merging", "media-never-opens"]),
    (
        "30 s total partition",
        &[
            "partition-while-parked",
            "partition-while-refused",
            "partition-after-200",
            "partition-while-bridged",
            "partition-during-reinvite",
            "partition-during-bye",
        ],
    ),
    (
        "partition for good",
        &[
            "caller-vanishes-while-parked",
            "lost-ack-both",
            "reinvite-unanswered",
            "bye-unanswered",
            "caller-without-offer-never-acknowledges",
        ],
    ),
    ("peer address change mid-call", &["reinvite-address"]),
    (
        "leg dies without BYE",
        &["caller-vanishes", "client-vanishes", "client-vanishes-on-hold", "silent-before-ack", "silence-crosses-bye"],
    ),
    ("hold for more than 3 min before the answer", &["long-park-answered", "nobody-calls-back"]),
];

/// What is wrong with `rows`, given the names of the flows that there are.
pub(crate) fn gaps(rows: &[Row], there: &[String]) -> Vec<String> {
    let empty = rows.iter().filter(|(_, flows)| flows.is_empty()).map(|(race, _)| format!("{race}: no flow plays it"));
    let named = rows.iter().flat_map(|(race, flows)| flows.iter().map(move |flow| (race, *flow)));
    let lost = named.filter(|(_, flow)| !there.iter().any(|name| name == flow));
    empty.chain(lost.map(|(race, flow)| format!("{race}: there is no {flow}.flow"))).collect()
}
