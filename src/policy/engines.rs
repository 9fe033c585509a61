//! Which engines are asked about which name, one after the other: each must allow, the first no is the answer.
//! Not here: what an engine decides.

use super::{Decision, Grants, PolicyEngine, Query, Reason, Rule, Rules, Verdict};
use crate::name::Name;
use crate::time::Now;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The engine of a running node: the house's engines as the operator has put them together.
#[derive(Clone, Debug)]
pub struct Engines {
    usual: Chain,
    by_name: BTreeMap<Name, Chain>,
}

/// Engines, in the order in which they are asked. Without any, nothing is allowed.
pub type Chain = Vec<Engine>;

/// One engine of the house.
#[derive(Clone, Debug)]
pub enum Engine {
    /// What the client's credential grants.
    Grants(Grants),
    /// The operator's rules; all names that ask them ask the same.
    Rules(Arc<Rules>),
}

/// What one engine made of a query: `rules[office]: office`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Opinion<'a> {
    /// `grants` or `rules`.
    pub engine: &'static str,
    /// The rule that applied, if the engine has rules and one did.
    pub rule: Option<&'a str>,
    /// Whether it allows.
    pub allows: bool,
    /// What allowed it, or the reason why not.
    pub id: String,
}

impl fmt::Display for Opinion<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rule {
            Some(rule) => write!(f, "{}[{rule}]: {}", self.engine, self.id),
            None => write!(f, "{}: {}", self.engine, self.id),
        }
    }
}

impl Engine {
    /// `grants`, `rules`, as the configuration writes it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Engine::Grants(_) => "grants",
            Engine::Rules(_) => "rules",
        }
    }

    fn decide(&self, now: Now, query: &Query<'_>) -> Decision {
        match self {
            Engine::Grants(grants) => grants.decide(now, query),
            Engine::Rules(rules) => rules.decide(now, query),
        }
    }

    fn rule(&self, now: Now, query: &Query<'_>) -> Option<&Rule> {
        match self {
            Engine::Grants(_) => None,
            Engine::Rules(rules) => rules.find(now, query),
        }
    }
}

impl Engines {
    /// `usual` for all names but those of `by_name` and the names below them; the nearest name above counts.
    pub fn new(usual: Chain, by_name: BTreeMap<Name, Chain>) -> Engines {
        Engines { usual, by_name }
    }

    /// What each engine that is asked makes of a query, up to the first that does not allow it.
    pub fn explain(&self, now: Now, query: &Query<'_>) -> Vec<Opinion<'_>> {
        let mut opinions = Vec::new();
        for engine in self.chain(query.name) {
            let Decision::Verdict(verdict) = engine.decide(now, query) else { break };
            let allows = matches!(verdict, Verdict::Allow(_));
            let rule = engine.rule(now, query).map(|rule| &*rule.id);
            opinions.push(Opinion { engine: engine.as_str(), rule, allows, id: verdict.id().to_owned() });
            if !allows {
                break;
            }
        }
        opinions
    }

    /// Whether what is decided may depend on the hour.
    pub fn have_hours(&self) -> bool {
        let chains = self.by_name.values().chain([&self.usual]);
        chains.flatten().any(|engine| match engine {
            Engine::Grants(_) => false,
            Engine::Rules(rules) => rules.0.iter().any(|rule| rule.hours.is_some()),
        })
    }

    fn chain(&self, name: &Name) -> &[Engine] {
        name.ancestry().find_map(|above| self.by_name.get(above)).unwrap_or(&self.usual)
    }
}

impl Default for Engines {
    fn default() -> Engines {
        Engines::new(vec![Engine::Grants(Grants::default())], BTreeMap::new())
    }
}

impl PolicyEngine for Engines {
    fn decide(&self, now: Now, query: &Query<'_>) -> Decision {
        let mut all: Option<Verdict> = None;
        for engine in self.chain(query.name) {
            match (engine.decide(now, query), all.take()) {
                (Decision::Verdict(Verdict::Allow(permit)), None) => all = Some(Verdict::Allow(permit)),
                (Decision::Verdict(Verdict::Allow(permit)), Some(before)) => {
                    all = Some(before.and(Verdict::Allow(permit)));
                }
                (no @ (Decision::Verdict(Verdict::Deny(_)) | Decision::Ask(_)), _) => return no,
            }
        }
        Decision::Verdict(all.unwrap_or(Verdict::Deny(Reason::PolicyUnavailable)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{claims, name, query, verdict};
    use super::super::{Effect, Grant, Limits, Subject};
    use super::*;
    use crate::policy::Action;
    use crate::time::{Instant, Wall};

    const NOW: Now = Now { at: Instant(0), wall: Wall(0) };

    /// Grants for all names; for `foo` rules as well, for `foo/web` rules alone.
    fn engines() -> Engines {
        let allow = Effect::Allow(Limits::default());
        let rule = |id: &str, text: &str, effect| Rule {
            id: id.into(),
            effect,
            actions: Vec::new(),
            who: Vec::new(),
            names: vec![name(text)],
            from: Vec::new(),
            called: Vec::new(),
            hours: None,
        };
        let rules = Rules(vec![rule("shut", "foo/shut", Effect::Deny), rule("open", "foo", allow)]);
        let (grants, rules) = (Engine::Grants(Grants::default()), Engine::Rules(Arc::new(rules)));
        let by_name = [(name("foo"), vec![grants.clone(), rules.clone()]), (name("foo/web"), vec![rules])];
        Engines::new(vec![grants], by_name.into())
    }

    #[test]
    fn each_engine_of_a_name_must_allow() {
        let engines = engines();
        let granted = claims("alice", Grant { bridge: vec![name("foo"), name("bar")], ..Grant::default() });
        let bare = claims("bob", Grant::default());
        for (who, text, expected, asked) in [
            (&granted, "bar", "granted", "grants: granted"),
            (&bare, "bar", "bridge_not_granted", "grants: bridge_not_granted"),
            (&granted, "foo", "open", "grants: granted, rules[open]: open"),
            (&bare, "foo", "bridge_not_granted", "grants: bridge_not_granted"),
            (&granted, "foo/shut", "policy_denied", "grants: granted, rules[shut]: policy_denied"),
            (&bare, "foo/web/one", "open", "rules[open]: open"),
            (&bare, "foobar", "bridge_not_granted", "grants: bridge_not_granted"),
        ] {
            let name = name(text);
            let query = query(Action::Bridge, Subject::Claims(who), &name);
            assert_eq!(verdict(&engines, NOW, &query), expected, "{text}");
            let opinions: Vec<String> = engines.explain(NOW, &query).iter().map(ToString::to_string).collect();
            assert_eq!(opinions.join(", "), asked, "{text}");
        }
    }

    #[test]
    fn without_an_engine_nothing_is_allowed() {
        let engines = Engines::new(Vec::new(), BTreeMap::new());
        let (granted, foo) = (claims("alice", Grant { bridge: vec![name("foo")], ..Grant::default() }), name("foo"));
        let query = query(Action::Bridge, Subject::Claims(&granted), &foo);
        assert_eq!(verdict(&engines, NOW, &query), "policy_unavailable");
        assert!(engines.explain(NOW, &query).is_empty());
    }
}
