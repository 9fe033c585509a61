//! A question to the engines that nobody has asked yet, and what is expected of it: an operator's table of cases.
//! Not here: where the table is (`config`). Claims are supposed here, not verified; no permit leaves this module.

use super::{Action, Claims, Engines, Grant, MediaKinds, Opinion, Query, Restrictions, Spent, Subject};
use crate::name::Name;
use crate::time::{Instant, Now, Wall};
use crate::token::SubjectHash;
use jiff::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use std::net::IpAddr;

/// One case, as a table in TOML: `who = "alice"`, `action = "bridge"`, `name = "foo/web"`, `expect = "allow"`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it proves, for whoever reads that it does not hold.
    #[serde(default)]
    pub says: String,
    /// The subject of the JWT or the name of the user; left out: nobody.
    #[serde(default)]
    pub who: Option<String>,
    /// What the credential grants, as in a JWT: nothing unless said.
    #[serde(default)]
    pub grant: Grant,
    /// Whether a URI is dialled that was issued to him, instead of showing his credential.
    #[serde(default)]
    pub dialled: bool,
    /// What he wants to do.
    #[serde(deserialize_with = "action")]
    pub action: Action,
    /// With which name.
    #[serde(deserialize_with = "name")]
    pub name: Name,
    /// With which kinds of media: audio unless said.
    #[serde(default = "audio", deserialize_with = "super::written::media")]
    pub media: MediaKinds,
    /// From where, if over a network.
    #[serde(default)]
    pub source: Option<IpAddr>,
    /// How many bridges he has.
    #[serde(default)]
    pub bridges: u32,
    /// How many calls he has answered, in all, in the hour that runs, and on this day.
    #[serde(default)]
    pub calls: u32,
    /// See `calls`.
    #[serde(default)]
    pub calls_this_hour: u32,
    /// See `calls`.
    #[serde(default)]
    pub calls_today: u32,
    /// The number that was called, if it is about a call.
    #[serde(default)]
    pub called: Option<String>,
    /// When (RFC 3339). Where rules have hours it must be said, so that no case depends on when it is tried.
    #[serde(default, deserialize_with = "super::written::instant")]
    pub at: Option<Wall>,
    /// `allow`, `deny`, `ask` (the policy server decides), or the id of the rule that allows or of the reason that denies.
    pub expect: String,
    /// The rule that decides, if that is to be proven too.
    #[serde(default)]
    pub rule: Option<String>,
}

/// `allow`, `deny` and `ask`: what a case may expect besides an id, so no rule may be called so.
pub const OUTCOMES: [&str; 3] = ["allow", "deny", "ask"];

impl Case {
    /// Whether the engines decide as expected; if not, what they say instead.
    pub fn judge(&self, engines: &Engines) -> Result<(), String> {
        let has_times = self.grant.only().is_some_and(Restrictions::have_times);
        if self.at.is_none() && (has_times || engines.have_hours()) {
            return Err(
                "there are rules or grants with times; say `at`, for example at = \"2026-11-23T12:00:00Z\" (a policy in Rego may look at it)"
                    .into()
            );
        }
        let opinions = self.with_query(|now, query| engines.explain(now, query));
        let decisive = opinions.last().ok_or("no engine is asked about this name")?;
        let outcome = decisive.outcome();
        let rule_is_right = self.rule.as_deref().is_none_or(|rule| decisive.rule == Some(rule));
        if rule_is_right && (self.expect == outcome || self.expect == decisive.id) {
            return Ok(());
        }
        let said: Vec<String> = opinions.iter().map(ToString::to_string).collect();
        let rule = self.rule.as_ref().map(|rule| format!(" by {rule}")).unwrap_or_default();
        Err(format!("expected {}{rule}, but {outcome}: {}", self.expect, said.join(", ")))
    }

    fn with_query<'e>(&self, ask: impl FnOnce(Now, &Query<'_>) -> Vec<Opinion<'e>>) -> Vec<Opinion<'e>> {
        let claims = self.who.as_ref().map(|who| Claims {
            subject: who.clone(),
            expires: Wall(u64::MAX),
            not_before: None,
            grant: self.grant.clone(),
            application: None,
        });
        let subject = match &claims {
            None => Subject::Nobody,
            Some(claims) if self.dialled => Subject::Dial(SubjectHash::of(claims.subject())),
            Some(claims) => Subject::Claims(claims),
        };
        let now = Now { at: Instant(0), wall: self.at.unwrap_or(Wall(0)) };
        let (action, name, media, source) = (self.action, &self.name, self.media, self.source);
        let spent = Spent { in_all: self.calls, this_hour: self.calls_this_hour, today: self.calls_today };
        let (usage, called) = (self.bridges, self.called.as_deref());
        ask(now, &Query { action, subject, name, media, source, usage, spent, call: None, called })
    }
}

/// An instant as RFC 3339 writes it, not before 1970.
pub fn parse_instant(text: &str) -> Result<Wall, String> {
    let bad = |_| format!("`{text}` is no time; write for example 2026-11-23T12:00:00Z");
    let instant: Timestamp = text.parse().map_err(|_| bad(()))?;
    u64::try_from(instant.as_millisecond()).map(Wall).map_err(|_| bad(()))
}

fn audio() -> MediaKinds {
    MediaKinds::AUDIO
}

fn action<'de, D: Deserializer<'de>>(from: D) -> Result<Action, D::Error> {
    let word = String::deserialize(from)?;
    Action::from_word(&word).ok_or_else(|| D::Error::custom(no_action(&word)))
}

/// What is wrong with a word that is no action.
pub fn no_action(word: &str) -> String {
    format!("`{word}` is no action; write {}", Action::ALL.map(Action::as_str).join(", "))
}

fn name<'de, D: Deserializer<'de>>(from: D) -> Result<Name, D::Error> {
    Name::parse(&String::deserialize(from)?).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::super::{Effect, Engine, Grants, Hours, Limits, Rule, Rules};
    use super::*;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    fn engines(hours: Option<Hours>) -> Engines {
        let effect = Effect::Allow(Limits::default());
        let (actions, who, names, from, called) = (vec![], vec![], vec![], vec![], vec![]);
        let open = Rule { id: "open".into(), effect, actions, who, names, from, called, hours };
        let chain = vec![Engine::Grants(Grants::default()), Engine::Rules(Arc::new(Rules(vec![open])))];
        Engines::new(chain, BTreeMap::new())
    }

    fn case(json: &str) -> Case {
        serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"))
    }

    #[test]
    fn a_case_holds_or_says_what_is_decided_instead() {
        const ALICE: &str = r#"{"who":"alice","grant":{"bridge":["foo"]},"action":"bridge","name":"foo/web","#;
        for (rest, expected) in [
            (r#""expect":"allow"}"#, Ok(())),
            (r#""expect":"open"}"#, Ok(())),
            (r#""expect":"open","rule":"open"}"#, Ok(())),
            (r#""expect":"deny"}"#, Err("expected deny, but allow: grants: granted, rules[open]: open")),
            (
                r#""expect":"allow","rule":"shut"}"#,
                Err("expected allow by shut, but allow: grants: granted, rules[open]: open"),
            ),
            (r#""expect":"concurrency_exceeded","bridges":1}"#, Ok(())),
            (r#""expect":"deny","media":["audio","video"]}"#, Ok(())),
            (r#""expect":"allow","dialled":true}"#, Ok(())),
            (r#""expect":"media_not_granted","dialled":true,"media":["video"]}"#, Ok(())),
        ] {
            let expected = expected.map_err(str::to_owned);
            assert_eq!(case(&format!("{ALICE}{rest}")).judge(&engines(None)), expected, "{rest}");
        }
        let nobody = case(r#"{"action":"receive","name":"foo","expect":"no_credential"}"#);
        assert_eq!(nobody.judge(&engines(None)), Ok(()));
    }

    #[test]
    fn where_rules_have_hours_a_case_says_when() {
        let open = engines(Some(Hours::parse("mon-fri 08:00-18:00", "UTC").unwrap()));
        let with = |at: &str| {
            let text = format!(
                r#"{{"who":"a","grant":{{"receive":["foo"]}},"action":"receive","name":"foo","expect":"allow"{at}}}"#
            );
            case(&text).judge(&open)
        };
        assert_eq!(with(r#","at":"2026-11-23T09:00:00+01:00""#), Ok(()));
        assert!(with(r#","at":"2026-11-22T09:00:00+01:00""#).unwrap_err().contains("no_rule"));
        assert!(with("").unwrap_err().starts_with("there are rules or grants with times; say `at`"));
    }

    #[test]
    fn what_is_no_case_is_refused() {
        for (json, what) in [
            (r#"{"action":"fly","name":"foo","expect":"allow"}"#, "`fly` is no action; write subscribe, register"),
            (r#"{"action":"bridge","name":"foo"}"#, "missing field `expect`"),
            (r#"{"action":"bridge","name":"a//b","expect":"allow"}"#, "segment"),
            (r#"{"action":"bridge","name":"a","expect":"allow","at":"noon"}"#, "`noon` is no time"),
            (r#"{"action":"bridge","name":"a","expect":"allow","at":"1960-01-01T00:00:00Z"}"#, "is no time"),
            (r#"{"action":"bridge","name":"a","expect":"allow","when":1}"#, "unknown field `when`"),
        ] {
            let error = serde_json::from_str::<Case>(json).unwrap_err().to_string();
            assert!(error.contains(what), "{json}: {error}");
        }
    }
}
