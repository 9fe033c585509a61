//! The engine `rego`: the operator's policy in OPA's language, decided in process. It is told what a server would be told and its decision
//! is read as a server's answer is, so one text serves both: `data.parkway.decision`.
//! Only with the cargo feature `rego`; without it there is no such policy. Pure but for the clock that stops an evaluation which takes too long, and
//! for what a policy asks of the language's own clock and chance.
//! Not here: the document and the answer (`document`), and where the file is (`config`).

pub use present::Rego;

#[cfg(not(feature = "rego"))]
mod present {
    use crate::policy::{Query, Verdict};
    use crate::time::Now;

    /// A policy in Rego, of which this build can have none.
    #[derive(Debug)]
    pub enum Rego {}

    impl Rego {
        /// Says what would have to be otherwise.
        pub fn compile(_file: &str, _text: &str) -> Result<Rego, String> {
            Err("this build has no Rego; take one that was made with `--features rego`, or have an OPA server asked (http)".into())
        }

        pub(in crate::policy) fn judge(&self, _now: Now, _query: &Query<'_>) -> Verdict {
            match *self {}
        }
    }

    #[test]
    fn without_the_feature_there_is_no_policy_and_it_says_what_to_do() {
        let refused = Rego::compile("p.rego", "package parkway\ndecision := true").map(drop);
        assert!(refused.is_err_and(|why| why.contains("--features rego")));
    }
}

#[cfg(feature = "rego")]
mod present {
    use crate::limits;
    use crate::policy::grants::refuse_credential;
    use crate::policy::{Query, Reason, Verdict, document};
    use crate::time::Now;
    use regorus::utils::limits::{ExecutionTimerConfig, set_fallback_execution_timer_config};
    use regorus::{CompiledPolicy, Engine, Value};
    use std::fmt;
    use std::num::NonZeroU32;
    use std::sync::Arc;

    /// The rule whose value is the decision, as a server has it at `/v1/data/parkway/decision`.
    const RULE: &str = "data.parkway.decision";
    /// Steps of an evaluation between two looks at the clock.
    const STEPS: NonZeroU32 = NonZeroU32::new(64).expect("it is not zero");

    /// A policy that was read and understood.
    pub struct Rego(CompiledPolicy);

    impl fmt::Debug for Rego {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Rego")
        }
    }

    impl Rego {
        /// Reads a policy. What is wrong with it is said with file, line and column. It is evaluated once, about nothing: what a policy uses
        /// that there is not shows only then.
        pub fn compile(file: &str, text: &str) -> Result<Rego, String> {
            let mut engine = Engine::new();
            // As OPA has it: what a builtin function cannot do is undefined.
            engine.set_strict_builtin_errors(false);
            engine.add_policy(file.into(), text.into()).map_err(|error| on_one_line(&error.to_string()))?;
            let policy = engine.compile_with_entrypoint(&Arc::from(RULE)).map_err(|error| {
                let error = on_one_line(&error.to_string());
                if error.contains("not a valid rule") { format!("{file}: there is no rule {RULE}") } else { error }
            })?;
            // Of the whole process: what is compiled has no limit of its own.
            let limit = ExecutionTimerConfig { limit: limits::REGO_WAIT_MAX, check_interval: STEPS };
            set_fallback_execution_timer_config(Some(limit));
            let rego = Rego(policy);
            rego.evaluate("{}").map(|_| rego)
        }

        /// The text `{"result": …}` that a server would answer with.
        fn evaluate(&self, input: &str) -> Result<String, String> {
            let input: Value = serde_json::from_str(input).map_err(|error| error.to_string())?;
            let answer = self.0.eval_with_input(input).and_then(|value| match value == Value::Undefined {
                true => Ok("{}".into()),
                false => value.to_json_str().map(|text| format!("{{\"result\":{text}}}")),
            });
            answer.map_err(|error| on_one_line(&error.to_string()))
        }

        pub(in crate::policy) fn judge(&self, now: Now, query: &Query<'_>) -> Verdict {
            if let Some(reason) = refuse_credential(now, query) {
                return Verdict::Deny(reason);
            }
            match self.evaluate(&document::input(now, query)) {
                Ok(answer) => document::judge(query, answer.as_bytes(), "rego"),
                Err(error) => {
                    tracing::debug!(error, "the policy in Rego gave no decision, which denies");
                    Verdict::Deny(Reason::PolicyUnavailable)
                }
            }
        }
    }

    /// `--> FILE:4:1 | 4 | } | ^ error: expecting expression` becomes `FILE:4:1: expecting expression`.
    fn on_one_line(error: &str) -> String {
        let place = error.trim_start().strip_prefix("--> ").and_then(|rest| rest.lines().next());
        match (place, error.split_once("error: ")) {
            (Some(place), Some((_, what))) => format!("{}: {}", place.trim(), what.trim()),
            _ => error.split_whitespace().collect::<Vec<_>>().join(" "),
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use crate::policy::testing::{claims, name, query};
        use crate::policy::{Action, Claims, Grant, Subject};
        use crate::time::{Instant, Wall};

        const NOW: Now = Now { at: Instant(0), wall: Wall(1_795_000_000_000) };
        const POLICY: &str = r#"package parkway
import rego.v1
default decision := {"allow": false}
decision := {"allow": true, "reason": "staff", "limits": {"concurrent": 2, "call_seconds_max": 600}} if {
    input.action == "bridge"
    "support" in input.claims.bridge
    startswith(input.name, "support/")
}
decision := true if input.action in {"subscribe", "receive"}
decision := {"allow": false, "reason": "time_not_granted"} if input.action == "transfer"
decision := {"allow": "yes"} if input.action == "message"
decision := {"allow": true, "limits": {"unknown": 1}} if input.action == "presence"
"#;

        fn clerk() -> Claims {
            claims("anna", Grant { bridge: vec![name("support")], ..Grant::default() })
        }

        #[test]
        fn what_the_policy_says_is_read_as_a_servers_answer_is() {
            let (rego, clerk) = (Rego::compile("p.rego", POLICY).unwrap(), clerk());
            for (action, text, usage, expected) in [
                (Action::Bridge, "support/web", 1, "staff"),
                (Action::Bridge, "support/web", 2, "concurrency_exceeded"),
                (Action::Bridge, "sales/web", 0, "policy_denied"),
                (Action::Receive, "anything", 0, "rego"),
                (Action::Register, "support", 0, "policy_denied"),
                (Action::Transfer, "support", 0, "time_not_granted"),
                (Action::Message, "support", 0, "policy_unavailable"),
                (Action::Presence, "support", 0, "policy_unavailable"),
            ] {
                let name = name(text);
                let query = Query { usage, ..query(action, Subject::Claims(&clerk), &name) };
                assert_eq!(rego.judge(NOW, &query).id(), expected, "{action:?} {text}");
            }
        }

        #[test]
        fn who_proves_nothing_or_no_longer_is_denied_whatever_the_policy_says() {
            let rego = Rego::compile("p.rego", "package parkway\ndecision := true").unwrap();
            let (clerk, support) = (clerk(), name("support"));
            let late = Now { wall: clerk.expires(), ..NOW };
            for (now, subject, expected) in [
                (NOW, Subject::Claims(&clerk), "rego"),
                (late, Subject::Claims(&clerk), "token_expired"),
                (NOW, Subject::Nobody, "no_credential"),
            ] {
                assert_eq!(rego.judge(now, &query(Action::Bridge, subject, &support)).id(), expected);
            }
        }

        /// OPA's "undefined", and an evaluation that does not end in time.
        #[test]
        fn a_policy_that_says_nothing_denies() {
            let (clerk, support) = (clerk(), name("support"));
            let head = "package parkway\nimport rego.v1\n";
            let long = "decision if { input.action; some x in numbers.range(1, 9000); some y in numbers.range(1, 9000); x * y == -1 }";
            let fault = "decision := x if { x := 1 / (input.usage.bridges - 0) }";
            for (text, expected) in [
                ("decision if input.action == \"dial\"", "policy_denied"),
                (long, "policy_unavailable"),
                (fault, "policy_denied"),
            ] {
                let rego = Rego::compile("p.rego", &format!("{head}{text}")).unwrap();
                let query = query(Action::Bridge, Subject::Claims(&clerk), &support);
                assert_eq!(rego.judge(NOW, &query).id(), expected, "{text}");
            }
        }

        #[test]
        fn what_is_wrong_is_said_with_its_place() {
            for (text, expected) in [
                ("package parkway\nimport rego.v1\ndecision if { input.x ==\n}", "p.rego:4:1: expecting expression"),
                ("package other\ndecision := true", "p.rego: there is no rule data.parkway.decision"),
                ("package parkway\nallow := true", "p.rego: there is no rule data.parkway.decision"),
                (
                    "package parkway\nimport rego.v1\ndecision if nosuch(1)",
                    "p.rego:3:19: could not find function nosuch",
                ),
                (
                    "package parkway\nimport rego.v1\ndecision if http.send({})",
                    "p.rego:3:22: could not find function http.send",
                ),
            ] {
                assert_eq!(Rego::compile("p.rego", text).map(drop), Err(expected.to_owned()), "{text}");
            }
        }
    }
}
