//! The operator's own rules: who may do what with which name, from where and when, and within which limits. The first rule that
//! applies decides; what no rule allows is denied.
//! Not here: how rules are written (`config`), and which names they are asked about (`engines`).

use super::grants::{refuse_credential, refuse_media, refuse_usage};
use super::restrictions::refuse_called;
use super::{Action, Allowance, Decision, Grant, Hours, MediaKinds, PolicyEngine, Query, Reason, Subject, Verdict};
use crate::name::Name;
use crate::number::Pattern;
use crate::time::{Duration, Now};
use crate::token::SubjectHash;
use ipnet::IpNet;

/// Decides by rules. Pure: it remembers nothing and asks nobody.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rules(pub Vec<Rule>);

/// One rule. It applies if each of its conditions does; an empty list is no condition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    /// What the record, the log and `policy explain` call it.
    pub id: Box<str>,
    /// What becomes of what it applies to.
    pub effect: Effect,
    /// What is wanted is one of these.
    pub actions: Vec<Action>,
    /// Who wants it is one of these, by JWT, by password, or as the holder of a URI that was issued to him.
    pub who: Vec<Person>,
    /// The name is one of these, or below one.
    pub names: Vec<Name>,
    /// The request comes from one of these networks; one that comes over none does not.
    pub from: Vec<IpNet>,
    /// It is about a call to one of these numbers; what is about no call is not.
    pub called: Vec<Pattern>,
    /// It is within these hours.
    pub hours: Option<Hours>,
}

/// A subject to the letter. No patterns: the holder of a dialled URI is known by the hash of his subject alone, and a rule that could not see
/// that it means him would let him pass.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Person {
    subject: Box<str>,
    hash: SubjectHash,
}

/// What a rule says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Yes, within limits: what is beyond them is denied, and no later rule is asked.
    Allow(Limits),
    /// No.
    Deny,
}

/// Within which something is allowed. The default is what a credential grants that says nothing of limits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// The kinds of media that may be used.
    pub media: MediaKinds,
    /// How many bridges the subject may have at a time.
    pub concurrent: u32,
    /// How many calls it may answer.
    pub calls: Allowance,
    /// How long a call may be.
    pub lasts: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Limits {
        let Grant { media, concurrent, .. } = Grant::default();
        Limits { media, concurrent, calls: Allowance::default(), lasts: None }
    }
}

impl Limits {
    /// What is beyond them.
    pub(super) fn refuse(&self, query: &Query<'_>) -> Option<Reason> {
        match query.action {
            Action::Bridge => refuse_media(self.media, query.media)
                .or_else(|| refuse_usage(self.concurrent, query.usage))
                .or_else(|| self.calls.refuse(query.spent)),
            Action::Dial => refuse_media(self.media, query.media),
            Action::Subscribe | Action::Register | Action::Receive | Action::Transfer => None,
            Action::Message | Action::Presence => None,
        }
    }
}

impl Person {
    /// The bearer of a JWT with this `sub`, or the user of this name.
    pub fn new(subject: &str) -> Person {
        Person { subject: subject.into(), hash: SubjectHash::of(subject) }
    }

    fn is(&self, subject: Subject<'_>) -> bool {
        match subject {
            Subject::Claims(claims) => *self.subject == *claims.subject(),
            Subject::Dial(hash) => self.hash == hash,
            Subject::Nobody => false,
        }
    }
}

impl Rules {
    /// The rule that decides, if one applies.
    pub fn find(&self, now: Now, query: &Query<'_>) -> Option<&Rule> {
        self.0.iter().find(|rule| rule.applies(now, query))
    }
}

impl PolicyEngine for Rules {
    fn decide(&self, now: Now, query: &Query<'_>) -> Decision {
        let verdict = match (refuse_credential(now, query), self.find(now, query)) {
            (Some(reason), _) => Verdict::Deny(reason),
            (None, None) => Verdict::Deny(Reason::NoRule),
            (None, Some(rule)) => rule.judge(query),
        };
        Decision::Verdict(verdict)
    }
}

impl Rule {
    fn applies(&self, now: Now, query: &Query<'_>) -> bool {
        (self.actions.is_empty() || self.actions.contains(&query.action))
            && (self.who.is_empty() || self.who.iter().any(|person| person.is(query.subject)))
            && (self.names.is_empty() || self.names.iter().any(|above| above.reaches(query.name)))
            && (self.from.is_empty() || query.source.is_some_and(|ip| self.from.iter().any(|net| net.contains(&ip))))
            && refuse_called(&self.called, query.called).is_none()
            && self.hours.as_ref().is_none_or(|hours| hours.contain(now.wall))
    }

    fn judge(&self, query: &Query<'_>) -> Verdict {
        match self.effect {
            Effect::Deny => Verdict::Deny(Reason::PolicyDenied),
            Effect::Allow(limits) => match limits.refuse(query) {
                None => Verdict::allow(query, self.id.to_string()).within(limits.lasts, limits.calls),
                Some(reason) => Verdict::Deny(reason),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{claims, name, query, verdict};
    use super::super::{Claims, Grant};
    use super::*;
    use crate::time::{Instant, Wall};
    use proptest::prelude::*;
    use std::net::IpAddr;

    const ALLOW: Effect = Effect::Allow(Limits {
        media: MediaKinds::AUDIO,
        concurrent: 2,
        calls: Allowance { in_all: None, per_hour: Some(3), per_day: None },
        lasts: None,
    });

    fn rule(id: &str, effect: Effect) -> Rule {
        let (actions, who, names, from, called) = (vec![], vec![], vec![], vec![], vec![]);
        Rule { id: id.into(), effect, actions, who, names, from, called, hours: None }
    }

    fn at(wall: u64) -> Now {
        Now { at: Instant(0), wall: Wall(wall) }
    }

    fn alice() -> Claims {
        claims("alice", Grant::default())
    }

    #[test]
    fn the_first_rule_that_applies_decides() {
        let rules = Rules(vec![
            Rule { names: vec![name("closed")], ..rule("closed", Effect::Deny) },
            Rule { who: vec![Person::new("bob")], actions: vec![Action::Bridge], ..rule("bob", ALLOW) },
            Rule { from: vec!["10.0.0.0/8".parse().unwrap()], ..rule("house", ALLOW) },
            Rule { who: vec![Person::new("alice")], names: vec![name("foo")], ..rule("alice", ALLOW) },
        ]);
        let (alice, bob) = (alice(), claims("bob", Grant::default()));
        let (inside, outside): (IpAddr, IpAddr) = ([10, 1, 1, 1].into(), [192, 0, 2, 1].into());
        for (who, action, text, source, expected) in [
            (&alice, Action::Bridge, "foo", Some(outside), "alice"),
            (&alice, Action::Subscribe, "foo/web", None, "alice"),
            (&alice, Action::Bridge, "foobar", Some(outside), "no_rule"),
            (&alice, Action::Bridge, "foobar", Some(inside), "house"),
            (&alice, Action::Bridge, "closed/web", Some(inside), "policy_denied"),
            (&bob, Action::Bridge, "any", None, "bob"),
            (&bob, Action::Bridge, "closed", None, "policy_denied"),
            (&bob, Action::Subscribe, "any", None, "no_rule"),
            (&bob, Action::Transfer, "any", Some(inside), "house"),
        ] {
            let (name, subject) = (name(text), Subject::Claims(who));
            let query = Query { source, ..query(action, subject, &name) };
            assert_eq!(verdict(&rules, at(0), &query), expected, "{action:?} {text} {source:?}");
        }
    }

    #[test]
    fn limits_are_those_of_the_rule_that_applies() {
        let rules = Rules(vec![rule("all", ALLOW)]);
        let (alice, name) = (alice(), name("foo"));
        let both = MediaKinds::AUDIO | MediaKinds::VIDEO;
        for (action, media, usage, expected) in [
            (Action::Bridge, MediaKinds::AUDIO, 1, "all"),
            (Action::Bridge, MediaKinds::AUDIO, 2, "concurrency_exceeded"),
            (Action::Bridge, both, 0, "media_not_granted"),
            (Action::Bridge, MediaKinds::NONE, 0, "media_not_granted"),
            (Action::Dial, MediaKinds::AUDIO, 9, "all"),
            (Action::Dial, both, 0, "media_not_granted"),
            (Action::Receive, MediaKinds::NONE, 9, "all"),
        ] {
            let query = Query { media, usage, ..query(action, Subject::Claims(&alice), &name) };
            assert_eq!(verdict(&rules, at(0), &query), expected, "{action:?} {media:?} {usage}");
        }
    }

    #[test]
    fn a_rule_with_hours_applies_within_them() {
        let open = Some(Hours::parse("daily 08:00-18:00", "UTC").unwrap());
        let rules = Rules(vec![Rule { hours: open, ..rule("open", ALLOW) }, rule("shut", Effect::Deny)]);
        let (alice, name) = (alice(), name("foo"));
        for (hour, expected) in [(7, "policy_denied"), (8, "open"), (17, "open"), (18, "policy_denied")] {
            let query = query(Action::Bridge, Subject::Claims(&alice), &name);
            assert_eq!(verdict(&rules, at(hour * 3_600_000), &query), expected, "{hour}");
        }
    }

    #[test]
    fn no_rule_helps_who_is_nobody_or_expired_or_dials_for_something_else() {
        let rules = Rules(vec![rule("all", ALLOW)]);
        let late = Claims { expires: Wall(5), ..alice() };
        let (name, dialled) = (name("foo"), Subject::Dial(SubjectHash::of("alice")));
        for (subject, action, now, expected) in [
            (Subject::Nobody, Action::Bridge, 0, "no_credential"),
            (Subject::Claims(&late), Action::Bridge, 4, "all"),
            (Subject::Claims(&late), Action::Bridge, 5, "token_expired"),
            (dialled, Action::Bridge, 0, "all"),
            (dialled, Action::Receive, 0, "dial_not_granted"),
            (dialled, Action::Transfer, 0, "transfer_not_granted"),
        ] {
            assert_eq!(verdict(&rules, at(now), &query(action, subject, &name)), expected, "{action:?} {now}");
        }
    }

    #[test]
    fn a_rule_about_somebody_means_him_also_when_he_dials() {
        let banned = Rule { who: vec![Person::new("alice")], ..rule("banned", Effect::Deny) };
        let rules = Rules(vec![banned, rule("all", ALLOW)]);
        let name = name("foo");
        for (subject, expected) in [("alice", "policy_denied"), ("bob", "all")] {
            let dialled = Subject::Dial(SubjectHash::of(subject));
            assert_eq!(verdict(&rules, at(0), &query(Action::Bridge, dialled, &name)), expected, "{subject}");
        }
    }

    proptest! {
        /// Whatever comes after the rule that applies changes nothing, and without rules nothing is allowed.
        #[test]
        fn later_rules_do_not_matter(ids in prop::collection::vec((0_u8..4, any::<bool>()), 0..8), asked in 0_u8..4) {
            let of = |(number, allows): &(u8, bool)| Rule {
                names: vec![name(&format!("n{number}"))],
                ..rule(&format!("r{number}"), if *allows { ALLOW } else { Effect::Deny })
            };
            let rules = Rules(ids.iter().map(of).collect());
            let expected = match ids.iter().find(|(number, _)| *number == asked) {
                None => "no_rule".to_owned(),
                Some((_, false)) => "policy_denied".to_owned(),
                Some((number, true)) => format!("r{number}"),
            };
            let (alice, name) = (alice(), name(&format!("n{asked}/web")));
            prop_assert_eq!(verdict(&rules, at(0), &query(Action::Bridge, Subject::Claims(&alice), &name)), expected);
        }
    }
}
