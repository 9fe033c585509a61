//! What narrows a grant beyond names and media: from where, when, for which called number, how many calls, and for how long.
//! Pure: what was used up so far is handed in.
//! Not here: counting (`switch::usage`), and ending a call that has lasted long enough (`call::bridged`).
//!
//! | what is wanted | source | time | called number | calls |
//! |---|---|---|---|---|
//! | to subscribe, to register | ✓ | | | |
//! | to be told, to hand a call on | ✓ | ✓ | ✓ | |
//! | to answer | ✓ | ✓ | ✓ | ✓ |
//!
//! A channel may be opened before its time: nothing is told on it until then.

use super::{Action, Hours, Query, Reason};
use crate::number::Pattern;
use crate::time::{Duration, Now, Wall};
use ipnet::IpNet;
use std::net::IpAddr;

/// The restrictions of one grant. The default restricts nothing; an empty list is no condition.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Restrictions {
    /// The networks that its bearer may be in; a request that comes over none comes from outside of them.
    pub from: Vec<IpNet>,
    /// Nothing is told and answered before.
    pub not_before: Option<Wall>,
    /// Nor from then on.
    pub not_after: Option<Wall>,
    /// Nor outside of these hours.
    pub hours: Option<Hours>,
    /// The numbers whose callers it may hear of and talk to.
    pub called: Vec<Pattern>,
    /// How many calls it may answer.
    pub calls: Allowance,
    /// How long a call may be, seconds.
    pub call_seconds_max: Option<u32>,
}

/// How many calls somebody may answer; `None`: as many as come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Allowance {
    /// In all.
    pub in_all: Option<u32>,
    /// In an hour, which begins with the first call in it.
    pub per_hour: Option<u32>,
    /// The same of a day.
    pub per_day: Option<u32>,
}

/// How many calls a subject has answered, those that it is about to answer included, and not the one that is asked about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Spent {
    /// As long as it has been counted.
    pub in_all: u32,
    /// In the hour that runs.
    pub this_hour: u32,
    /// In the day that runs.
    pub today: u32,
}

impl Restrictions {
    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        *self == Restrictions::default()
    }

    /// What speaks against a query.
    pub(super) fn refuse(&self, now: Now, query: &Query<'_>) -> Option<Reason> {
        let source = || refuse_source(&self.from, query.source);
        let call = || self.refuse_time(now.wall).or_else(|| refuse_called(&self.called, query.called));
        match query.action {
            Action::Subscribe | Action::Register | Action::Presence => source(),
            Action::Message => source().or_else(|| self.refuse_time(now.wall)),
            // A message is about no call.
            Action::Receive if query.call.is_none() && query.called.is_none() => {
                source().or_else(|| self.refuse_time(now.wall))
            }
            Action::Receive | Action::Transfer => source().or_else(call),
            // Whoever dials the URI brings no grant, so nothing that it says would hold for him.
            Action::Dial => (!self.is_none()).then_some(Reason::DialNotGranted),
            Action::Bridge => source().or_else(call).or_else(|| self.calls.refuse(query.spent)),
        }
    }

    /// Whether what is decided may depend on when it is asked.
    pub(super) fn have_times(&self) -> bool {
        self.not_before.is_some() || self.not_after.is_some() || self.hours.is_some()
    }

    fn refuse_time(&self, now: Wall) -> Option<Reason> {
        let is_early = self.not_before.is_some_and(|from| now < from);
        let is_late = self.not_after.is_some_and(|until| now >= until);
        let is_out = self.hours.as_ref().is_some_and(|hours| !hours.contain(now));
        (is_early || is_late || is_out).then_some(Reason::TimeNotGranted)
    }

    /// How long a call may be.
    pub(super) fn lasts(&self) -> Option<Duration> {
        self.call_seconds_max.map(|seconds| Duration::from_secs(seconds.into()))
    }
}

impl Allowance {
    /// Whether the calls have to be counted for it.
    pub fn counts(self) -> bool {
        self != Allowance::default()
    }

    pub(super) fn refuse(self, spent: Spent) -> Option<Reason> {
        let is_used_up = |most: Option<u32>, spent: u32| most.is_some_and(|most| spent >= most);
        if is_used_up(self.in_all, spent.in_all) {
            return Some(Reason::CallsExceeded);
        }
        let now = is_used_up(self.per_hour, spent.this_hour) || is_used_up(self.per_day, spent.today);
        now.then_some(Reason::RateExceeded)
    }
}

/// An IPv4 address written as IPv6 counts as what it is (RELIABILITY A18).
fn refuse_source(granted: &[IpNet], source: Option<IpAddr>) -> Option<Reason> {
    let is_in = |ip: IpAddr| granted.iter().any(|net| net.contains(&ip.to_canonical()));
    (!granted.is_empty() && !source.is_some_and(is_in)).then_some(Reason::SourceNotGranted)
}

pub(super) fn refuse_called(granted: &[Pattern], called: Option<&str>) -> Option<Reason> {
    let is_one = |number: &str| granted.iter().any(|pattern| pattern.matches(number));
    (!granted.is_empty() && !called.is_some_and(is_one)).then_some(Reason::CalledNotGranted)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{claims, name, query, verdict};
    use super::super::{Decision, Grant, Grants, PolicyEngine, Subject, Verdict};
    use super::*;
    use crate::id::CallId;
    use crate::time::Instant;

    /// Monday, 2026-11-23, at an hour.
    fn monday(hour: u64) -> Now {
        Now { at: Instant(0), wall: Wall(1_795_392_000_000 + hour * 3_600_000) }
    }

    fn grant(only: Restrictions) -> Grant {
        let foo = || vec![name("foo")];
        Grant {
            receive: foo(),
            bridge: foo(),
            transfer: foo(),
            dial: true,
            only: Some(Box::new(only)),
            ..Grant::default()
        }
    }

    fn asked(now: Now, only: &Restrictions, action: Action, change: impl Fn(Query<'_>) -> Query<'_>) -> String {
        let (claims, foo) = (claims("anna", grant(only.clone())), name("foo"));
        verdict(&Grants::default(), now, &change(query(action, Subject::Claims(&claims), &foo)))
    }

    #[test]
    fn a_grant_holds_in_its_networks() {
        let only = Restrictions { from: vec!["192.0.2.0/24".parse().unwrap()], ..Restrictions::default() };
        for (source, expected) in [
            (Some("192.0.2.7"), "granted"),
            (Some("::ffff:192.0.2.7"), "granted"),
            (Some("198.51.100.1"), "source_not_granted"),
            (None, "source_not_granted"),
        ] {
            let source = source.map(|text| text.parse().unwrap());
            for action in [Action::Subscribe, Action::Register, Action::Receive, Action::Bridge, Action::Transfer] {
                let got = asked(monday(0), &only, action, |query| Query { source, ..query });
                assert_eq!(got, expected, "{action:?} {source:?}");
            }
        }
    }

    #[test]
    fn a_grant_holds_in_its_time_and_a_channel_may_be_opened_before() {
        let hours = Some(Hours::parse("mon-fri 08:00-18:00", "UTC").unwrap());
        let (not_before, not_after) = (Some(monday(9).wall), Some(monday(17).wall));
        let only = Restrictions { hours, not_before, not_after, ..Restrictions::default() };
        for (hour, expected) in [
            (7, "time_not_granted"),
            (8, "time_not_granted"),
            (9, "granted"),
            (16, "granted"),
            (17, "time_not_granted"),
        ] {
            for action in [Action::Receive, Action::Bridge, Action::Transfer] {
                assert_eq!(asked(monday(hour), &only, action, |query| query), expected, "{action:?} {hour}");
            }
            for action in [Action::Subscribe, Action::Register] {
                assert_eq!(asked(monday(hour), &only, action, |query| query), "granted", "{action:?} {hour}");
            }
        }
        let only = Restrictions { not_before: None, not_after: None, ..only };
        assert_eq!(asked(monday(18), &only, Action::Bridge, |query| query), "time_not_granted");
    }

    #[test]
    fn a_grant_holds_for_calls_to_its_numbers() {
        let called = ["+4930*", "+4940"].map(|text| Pattern::parse(text).unwrap()).into();
        let only = Restrictions { called, ..Restrictions::default() };
        for (called, expected) in [
            (Some("+493012"), "granted"),
            (Some("+4940"), "granted"),
            (Some("+49401"), "called_not_granted"),
            (None, "called_not_granted"),
        ] {
            for action in [Action::Receive, Action::Bridge, Action::Transfer] {
                let got = asked(monday(0), &only, action, |query| Query { called, call: Some(CallId(1)), ..query });
                assert_eq!(got, expected, "{action:?} {called:?}");
            }
            assert_eq!(asked(monday(0), &only, Action::Subscribe, |query| Query { called, ..query }), "granted");
        }
        assert_eq!(asked(monday(0), &only, Action::Receive, |query| query), "granted", "a message is about no call");
    }

    #[test]
    fn a_grant_holds_for_its_number_of_calls() {
        let calls = Allowance { in_all: Some(10), per_hour: Some(3), per_day: Some(5) };
        let only = Restrictions { calls, ..Restrictions::default() };
        for ((in_all, this_hour, today), expected) in [
            ((9, 2, 4), "granted"),
            ((10, 0, 0), "calls_exceeded"),
            ((9, 3, 4), "rate_exceeded"),
            ((9, 2, 5), "rate_exceeded"),
            ((u32::MAX, 0, 0), "calls_exceeded"),
        ] {
            let spent = Spent { in_all, this_hour, today };
            assert_eq!(
                asked(monday(0), &only, Action::Bridge, |query| Query { spent, ..query }),
                expected,
                "{spent:?}"
            );
            assert_eq!(asked(monday(0), &only, Action::Receive, |query| Query { spent, ..query }), "granted");
        }
        let none = Restrictions { calls: Allowance { in_all: Some(0), ..calls }, ..Restrictions::default() };
        assert_eq!(asked(monday(0), &none, Action::Bridge, |query| query), "calls_exceeded");
    }

    #[test]
    fn a_restriction_is_not_got_rid_of_by_dialling() {
        assert_eq!(asked(monday(0), &Restrictions::default(), Action::Dial, |query| query), "granted");
        for only in [
            Restrictions { call_seconds_max: Some(600), ..Restrictions::default() },
            Restrictions { not_before: Some(Wall(0)), ..Restrictions::default() },
            Restrictions { called: vec![Pattern::parse("*").unwrap()], ..Restrictions::default() },
        ] {
            assert_eq!(asked(monday(0), &only, Action::Dial, |query| query), "dial_not_granted", "{only:?}");
        }
    }

    #[test]
    fn the_permit_says_how_long_the_call_may_be_and_whether_it_counts() {
        let seconds = Restrictions { call_seconds_max: Some(600), ..Restrictions::default() };
        let calls = Allowance { per_day: Some(9), ..Allowance::default() };
        for (only, expected) in [
            (Restrictions::default(), (None, false)),
            (seconds.clone(), (Some(Duration::from_secs(600)), false)),
            (Restrictions { calls, ..seconds }, (Some(Duration::from_secs(600)), true)),
        ] {
            let (claims, foo) = (claims("anna", grant(only)), name("foo"));
            match Grants::default().decide(monday(0), &query(Action::Bridge, Subject::Claims(&claims), &foo)) {
                Decision::Verdict(Verdict::Allow(permit)) => assert_eq!((permit.lasts(), permit.counts()), expected),
                Decision::Verdict(Verdict::Deny(_)) | Decision::Ask(_) => panic!("allowed"),
            }
        }
    }
}
