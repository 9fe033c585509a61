//! A policy in Rego on the real daemon: who gets a call by it, what a bad one says at HUP, and the same text in an OPA server, where there is one.
//! Built with the feature `rego` alone.
//! Not here: how an answer is read (`policy::document`).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod common;

use common::credentials::Rights;
use common::story::{call_back, park};
use common::{Daemon, Setup, Subscriber, Wire, until};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const POLICY: &str = r#"package parkway
import rego.v1

default decision := {"allow": false}
decision := {"allow": true, "reason": "staff", "limits": {"concurrent": 1}} if {
    input.action == "bridge"
    input.subject in {"alice", "bob"}
    startswith(input.called, "4930")
    net.cidr_contains("127.0.0.0/8", input.source)
}
decision := true if input.action in {"subscribe", "receive"}
"#;

fn daemon(policy: &Path) -> Daemon {
    let file = format!("policy.rego_file={}", policy.display());
    Daemon::start_as(&Setup::with(&["policy.engines=rego", &file]))
}

/// A call that somebody tries to have: the status that he gets.
fn answered(daemon: &Daemon, who: &str) -> u16 {
    let name = format!("demo/{who}");
    let mut client = Subscriber::open(daemon, &name, &Rights::listen_only(&name).of(who));
    client.expect("synced");
    let mut caller = park(daemon);
    let told = client.incoming();
    let mut other = call_back(daemon, &client, &told, Wire::Plain);
    let response = other.phone.final_response();
    if response.status() == Some(200) {
        caller.phone.expect(200);
        other.phone.hang_up();
        caller.phone.be_hung_up_on();
        client.gone(&told.call, "answered_elsewhere");
    } else {
        assert!(response.header("warning").contains("policy_denied"), "{response:?}");
        caller.phone.cancel();
        client.gone(&told.call, "caller_cancelled");
    }
    response.status().unwrap()
}

#[test]
fn who_the_policy_allows_has_the_call_and_a_broken_one_changes_nothing() {
    let dir = tempfile::TempDir::new().unwrap();
    let policy = dir.path().join("policy.rego");
    fs::write(&policy, POLICY).unwrap();
    let daemon = daemon(&policy);
    for (who, expected) in [("alice", 200), ("mallory", 403)] {
        assert_eq!(answered(&daemon, who), expected);
    }
    let is_theirs = |record: &serde_json::Value| record["permit"] == "staff";
    until("its record", Duration::from_secs(5), || daemon.records().into_iter().find(is_theirs));

    fs::write(&policy, POLICY.replace("startswith(input.called, \"4930\")", "startswith(input.called")).unwrap();
    let said = daemon.reload();
    assert!(said.contains("policy.rego_file") && said.contains("policy.rego:9:"), "{said}");
    assert_eq!(answered(&daemon, "alice"), 200);
    fs::write(&policy, POLICY.replace("\"alice\"", "\"mallory\"")).unwrap();
    assert!(daemon.reload().contains("are read again"));
    for (who, expected) in [("alice", 403), ("mallory", 200)] {
        assert_eq!(answered(&daemon, who), expected);
    }
    daemon.finish(5);
}

#[test]
fn the_command_line_says_what_it_decides_as_opa_does() {
    let dir = tempfile::TempDir::new().unwrap();
    let file = |name: &str| dir.path().join(name);
    let (policy, configuration) = (file("policy.rego"), file("parkway.toml"));
    fs::write(&policy, POLICY).unwrap();
    let key = "[[policy.key]]\nkid = \"k\"\ntype = \"hs256\"\nsecret = \"0123456789abcdef0123456789abcdef\"\n";
    fs::write(&configuration, format!("[policy]\nengines = [\"rego\"]\nrego_file = {policy:?}\n{key}")).unwrap();
    let parkway = |arguments: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_parkway")).arg("--config").arg(&configuration).args(arguments).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    let opa = Command::new("opa").arg("version").output().is_ok();
    if !opa {
        eprintln!("SKIPPED: beside OPA: there is no program `opa` here");
    }
    for (who, called, expected) in [("alice", "493012", true), ("alice", "4989", false), ("eve", "493012", false)] {
        let token = parkway(&["token", "mint", "--name", "demo", "--subject", who]);
        let more = ["--source", "127.0.0.1", "--called", called];
        let said = parkway(
            &[&["policy", "explain", "--token", token.trim(), "--action", "bridge", "--name", "demo"], &more[..]]
                .concat(),
        );
        let verdict = if expected { "allow" } else { "deny" };
        let opinion = if expected { "rego: staff" } else { "rego: policy_denied" };
        assert!(said.starts_with(&format!("{verdict}\n")) && said.contains(opinion), "{said}");
        if opa {
            let input =
                serde_json::json!({"action": "bridge", "subject": who, "called": called, "source": "127.0.0.1"});
            let asked = file("input.json");
            fs::write(&asked, input.to_string()).unwrap();
            let output = Command::new("opa")
                .args(["eval", "--format", "raw", "-d", policy.to_str().unwrap(), "-i", asked.to_str().unwrap()])
                .arg("data.parkway.decision.allow")
                .output()
                .unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), expected.to_string());
        }
    }
}
