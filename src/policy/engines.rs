//! Which engines are asked about which name, one after the other: each must allow, the first no is the answer.
//! Not here: what an engine decides.

use super::{Answer, Decision, Grants, PolicyEngine, Query, Reason, Rego, Rule, Rules, Server, Verdict};
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
    /// The operator's policy in Rego; the same for all.
    Rego(Arc<Rego>),
    /// An authentication application, which is asked over HTTP.
    Http(Arc<Server>),
}

/// What one engine made of a query: `rules[office]: office`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Opinion<'a> {
    /// `grants`, `rules`, `rego` or `http`.
    pub engine: &'static str,
    /// The rule that applied, if the engine has rules and one did.
    pub rule: Option<&'a str>,
    /// Whether it allows. A server is not asked here.
    pub allows: Option<bool>,
    /// What allowed it, or the reason why not; of a server, the question that it would be asked.
    pub id: String,
}

impl Opinion<'_> {
    /// `allow`, `deny`, or `ask` of a server.
    pub fn outcome(&self) -> &'static str {
        match self.allows {
            Some(true) => "allow",
            Some(false) => "deny",
            None => "ask",
        }
    }
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
    /// `grants`, `rules`, `rego`, `http`, as the configuration writes it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Engine::Grants(_) => "grants",
            Engine::Rules(_) => "rules",
            Engine::Rego(_) => "rego",
            Engine::Http(_) => "http",
        }
    }

    /// What it says by itself; `None`: it has to ask, or has nothing to say.
    fn decide(&self, now: Now, query: &Query<'_>) -> Option<Verdict> {
        let decision = match self {
            Engine::Grants(grants) => grants.decide(now, query),
            Engine::Rules(rules) => rules.decide(now, query),
            Engine::Rego(rego) => Decision::Verdict(rego.judge(now, query)),
            Engine::Http(_) => return None,
        };
        match decision {
            Decision::Verdict(verdict) => Some(verdict),
            Decision::Ask(_) => Some(Verdict::Deny(Reason::PolicyUnavailable)),
        }
    }

    fn server(&self) -> Option<&Arc<Server>> {
        match self {
            Engine::Grants(_) | Engine::Rules(_) | Engine::Rego(_) => None,
            Engine::Http(server) => Some(server),
        }
    }

    fn rule(&self, now: Now, query: &Query<'_>) -> Option<&Rule> {
        match self {
            Engine::Grants(_) | Engine::Rego(_) | Engine::Http(_) => None,
            Engine::Rules(rules) => rules.find(now, query),
        }
    }
}

impl Engines {
    /// `usual` for all names but those of `by_name` and the names below them; the nearest name above counts.
    pub fn new(usual: Chain, by_name: BTreeMap<Name, Chain>) -> Engines {
        Engines { usual, by_name }
    }

    /// What each engine that is asked makes of a query, up to the first that does not allow it. A server comes last.
    pub fn explain(&self, now: Now, query: &Query<'_>) -> Vec<Opinion<'_>> {
        let mut opinions = Vec::new();
        for engine in self.chain(query.name) {
            let Some(verdict) = engine.decide(now, query) else { continue };
            let allows = matches!(verdict, Verdict::Allow(_));
            let rule = engine.rule(now, query).map(|rule| &*rule.id);
            opinions.push(Opinion { engine: engine.as_str(), rule, allows: Some(allows), id: verdict.id().to_owned() });
            if !allows {
                return opinions;
            }
        }
        if let Some(server) = self.server_for(query) {
            let id = server.question(now, query).document().to_owned();
            opinions.push(Opinion { engine: "http", rule: None, allows: None, id });
        }
        opinions
    }

    /// Whether what is decided may depend on the hour.
    pub fn have_hours(&self) -> bool {
        let chains = self.by_name.values().chain([&self.usual]);
        chains.flatten().any(|engine| match engine {
            Engine::Grants(_) | Engine::Http(_) => false,
            Engine::Rules(rules) => rules.0.iter().any(|rule| rule.hours.is_some()),
            // Nobody knows what it looks at.
            Engine::Rego(_) => true,
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
    /// What is known here is asked first, wherever the server stands in the chain: one who is denied anyhow costs it nothing.
    fn decide(&self, now: Now, query: &Query<'_>) -> Decision {
        match (self.decide_here(now, query), self.server_for(query)) {
            (Some(Verdict::Deny(reason)), _) => Decision::Verdict(Verdict::Deny(reason)),
            (_, Some(server)) => Decision::Ask(server.question(now, query)),
            (Some(allowed), None) => Decision::Verdict(allowed),
            (None, None) => Decision::Verdict(Verdict::Deny(Reason::PolicyUnavailable)),
        }
    }

    /// All are asked again: what was allowed when the question went out may not be any more.
    fn answered(&self, now: Now, query: &Query<'_>, answer: Answer) -> Verdict {
        match (self.decide_here(now, query), self.server_for(query)) {
            (_, None) => Verdict::Deny(Reason::PolicyUnavailable),
            (None, Some(_)) => Server::judge(query, &answer),
            (Some(here), Some(_)) => here.and(Server::judge(query, &answer)),
        }
    }
}

impl Engines {
    /// What those say that ask nobody; `None`: there is none.
    fn decide_here(&self, now: Now, query: &Query<'_>) -> Option<Verdict> {
        let mut all: Option<Verdict> = None;
        for engine in self.chain(query.name) {
            let Some(verdict) = engine.decide(now, query) else { continue };
            let so_far = match all {
                Some(before) => before.and(verdict),
                None => verdict,
            };
            if matches!(so_far, Verdict::Deny(_)) {
                return Some(so_far);
            }
            all = Some(so_far);
        }
        all
    }

    /// Whom to ask about it besides.
    fn server_for(&self, query: &Query<'_>) -> Option<&Arc<Server>> {
        self.chain(query.name).iter().filter(|_| Server::decides(query.action)).find_map(Engine::server)
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

    fn asking() -> (Engines, Arc<Server>) {
        let (host, path, timeout) = ("opa".into(), "/".into(), crate::time::Duration::from_secs(1));
        let server = Arc::new(Server { is_secure: false, host, port: 8181, path, timeout });
        let chain = vec![Engine::Http(Arc::clone(&server)), Engine::Grants(Grants::default())];
        (Engines::new(chain, BTreeMap::new()), server)
    }

    #[test]
    fn a_server_is_asked_about_callbacks_alone_and_only_if_all_others_allow() {
        let (engines, server) = asking();
        let foo = name("foo");
        let (granted, bare) = (
            claims("anna", Grant { receive: vec![foo.clone()], bridge: vec![foo.clone()], ..Grant::default() }),
            claims("bob", Grant::default()),
        );
        for (who, action, expected) in [
            (&granted, Action::Bridge, "asks"),
            (&granted, Action::Receive, "granted"),
            (&granted, Action::Subscribe, "granted"),
            (&bare, Action::Bridge, "bridge_not_granted"),
            (&bare, Action::Receive, "name_not_granted"),
        ] {
            assert_eq!(verdict(&engines, NOW, &query(action, Subject::Claims(who), &foo)), expected, "{action:?}");
        }
        let query = query(Action::Bridge, Subject::Claims(&granted), &foo);
        match engines.decide(NOW, &query) {
            Decision::Ask(question) => assert_eq!(question.server(), Some(&server)),
            Decision::Verdict(verdict) => panic!("{verdict:?}"),
        }
        let opinions: Vec<String> = engines.explain(NOW, &query).iter().map(ToString::to_string).collect();
        assert!(
            opinions[0] == "grants: granted" && opinions[1].starts_with("http: {\"input\":{\"v\":1,"),
            "{opinions:?}"
        );
    }

    #[test]
    fn an_answer_allows_what_all_others_allow_still() {
        let (engines, _) = asking();
        let foo = name("foo");
        let granted = claims("anna", Grant { bridge: vec![foo.clone()], ..Grant::default() });
        let yes =
            || Answer::Reply(br#"{"result":{"allow":true,"reason":"staff","limits":{"call_seconds_max":9}}}"#.into());
        let ask = |usage, now, answer| {
            let query = Query { usage, ..query(Action::Bridge, Subject::Claims(&granted), &foo) };
            engines.answered(now, &query, answer)
        };
        match ask(0, NOW, yes()) {
            Verdict::Allow(permit) => {
                assert_eq!((permit.rule(), permit.lasts()), ("staff", Some(crate::time::Duration::from_secs(9))));
            }
            Verdict::Deny(reason) => panic!("{reason}"),
        }
        let late = Now { wall: granted.expires(), ..NOW };
        for (usage, now, answer, expected) in [
            (1, NOW, yes(), "concurrency_exceeded"),
            (0, late, yes(), "token_expired"),
            (0, NOW, Answer::Reply(b"{}".into()), "policy_denied"),
            (0, NOW, Answer::TimedOut, "policy_unavailable"),
        ] {
            assert_eq!(ask(usage, now, answer).id(), expected);
        }
        let nobody = Engines::default();
        let query = query(Action::Bridge, Subject::Claims(&granted), &foo);
        assert_eq!(nobody.answered(NOW, &query, yes()).id(), "policy_unavailable", "nobody had been asked");
    }
}
