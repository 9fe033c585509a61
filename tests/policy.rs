//! The operator's policy on the real daemon: rules beside grants, rules replaced while it runs, and what the command line says of them.
//! Not here: what each rule means (`policy::rules`), and mistakes in writing them down (`config`).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod common;

use common::credentials::Rights;
use common::story::{assert_hear_each_other, call_back, park};
use common::{Daemon, Setup, Subscriber, Wire};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

const RULES: &str = r#"
[[trunk]]
name = "gateway"
allow = ["127.0.0.0/8"]

[[route]]
number = "*"
name = "demo"

[[policy.rule]]
id = "not-from-far"
effect = "deny"
actions = ["bridge"]
who = ["mallory"]

[[policy.rule]]
id = "house"
effect = "allow"
names = ["demo"]
from = ["127.0.0.0/8"]
"#;

fn daemon(rules: &str, set: &[&str]) -> Daemon {
    Daemon::start_as(&Setup { tables: rules.into(), ..Setup::with(set) })
}

fn ready(daemon: &Daemon, name: &str, rights: &Rights) -> Subscriber {
    let mut subscriber = Subscriber::open(daemon, name, rights);
    subscriber.expect("synced");
    subscriber
}

fn rewrite(daemon: &Daemon, change: impl Fn(&str) -> String) {
    let file = daemon.dir().join("parkway.toml");
    let text = fs::read_to_string(&file).unwrap();
    let changed = change(&text);
    assert_ne!(changed, text);
    fs::write(&file, changed).unwrap();
}

#[test]
fn who_is_granted_something_may_do_it_if_the_rules_allow_it_too() {
    let daemon = daemon(RULES, &["policy.engines=grants,rules"]);
    let mut mallory = ready(&daemon, "demo/m", &Rights::full("demo/m").of("mallory"));
    let mut alice = ready(&daemon, "demo/a", &Rights::full("demo/a").of("alice"));
    let mut caller = park(&daemon);
    let incoming = alice.incoming();
    let told = mallory.incoming();
    let mut refused = call_back(&daemon, &mallory, &told, Wire::Plain);
    let refusal = refused.phone.expect(403);
    assert!(refusal.header("warning").contains("The policy does not allow it"), "{refusal:?}");
    let mut other = call_back(&daemon, &alice, &incoming, Wire::Plain);
    let to_client = other.phone.expect(200);
    let to_caller = caller.phone.expect(200);
    caller.voice.talk(to_caller.audio().unwrap(), 440);
    other.voice.talk(to_client.audio().unwrap(), 350);
    assert_hear_each_other(&caller, &other);
    caller.phone.hang_up();
    other.phone.be_hung_up_on();
    let record = daemon.record();
    assert_eq!(record["permit"], "house", "{record}");
    daemon.finish(1);
}

#[test]
fn rules_alone_need_no_grants() {
    let daemon = daemon(RULES, &["policy.engines=rules"]);
    let rights = Rights::listen_only("elsewhere").of("bob");
    let mut bob = ready(&daemon, "demo/b", &rights);
    let mut caller = park(&daemon);
    let incoming = bob.incoming();
    let mut other = call_back(&daemon, &bob, &incoming, Wire::Plain);
    other.phone.expect(200);
    caller.phone.expect(200);
    other.phone.hang_up();
    caller.phone.be_hung_up_on();
    daemon.finish(1);
}

#[test]
fn a_policy_that_fails_its_cases_is_refused_and_the_old_one_stays() {
    let cases = TempDir::new().unwrap();
    let cases = cases.path().join("cases.toml");
    fs::write(
        &cases,
        "[[case]]\nwho = \"a\"\naction = \"bridge\"\nname = \"demo\"\nsource = \"127.0.0.1\"\nexpect = \"house\"\n",
    )
    .unwrap();
    let file = format!("policy.cases_file={}", cases.display());
    let daemon = daemon(RULES, &["policy.engines=rules", &file]);
    // Bob subscribes by a rule that is about to go.
    let rights = Rights::full("demo/b").of("bob");
    let mut bob = ready(&daemon, "demo/b", &rights);
    rewrite(&daemon, |text| text.replace("from = [\"127.0.0.0/8\"]", "from = [\"192.0.2.0/24\"]"));
    let said = daemon.reload();
    assert!(said.contains("the old policy, keys and certificates stay in force"), "{said}");
    assert!(said.contains("expected house, but deny: rules: no_rule"), "{said}");
    let mut caller = park(&daemon);
    bob.incoming();
    caller.phone.cancel();
    caller.phone.expect(200);
    caller.phone.expect(487);

    fs::write(&cases, fs::read_to_string(&cases).unwrap().replace("\"house\"", "\"no_rule\"")).unwrap();
    assert!(daemon.reload().contains("policy, keys and certificates are read again"));
    assert!(Subscriber::connect(&daemon, "demo/b", &daemon.mint(&rights)).is_err(), "the new rule is in force");
    daemon.finish(1);
}

fn parkway(file: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_parkway")).arg("--config").arg(file).args(arguments).output().unwrap()
}

#[test]
fn the_command_line_says_who_decides_and_why() {
    let dir = TempDir::new().unwrap();
    let (file, cases) = (dir.path().join("parkway.toml"), dir.path().join("cases.toml"));
    let policy = "[policy]\nengines = [\"grants\", \"rules\"]\n[[policy.key]]\nkid = \"k\"\ntype = \"hs256\"\nsecret = \"0123456789abcdef0123456789abcdef\"\n";
    fs::write(&file, format!("{policy}{RULES}")).unwrap();
    let minted = parkway(&file, &["token", "mint", "--name", "demo", "--subject", "alice"]);
    let token = String::from_utf8(minted.stdout).unwrap();
    let explain = |name: &str, more: &[&str]| {
        let arguments =
            [&["policy", "explain", "--token", token.trim(), "--action", "bridge", "--name", name], more].concat();
        let output = parkway(&file, &arguments);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let (near, far) = (&["--source", "127.0.0.1"][..], &["--source", "192.0.2.1"][..]);
    for (name, more, expected) in [
        ("demo/web", near, "allow\n  alice wants to bridge demo/web\n  grants: granted\n  rules[house]: house\n"),
        (
            "demo/web",
            far,
            "deny\n  alice wants to bridge demo/web\n  grants: granted\n  rules: no_rule\n  No rule allows it\n",
        ),
        (
            "other",
            near,
            "deny\n  alice wants to bridge other\n  grants: bridge_not_granted\n  Answering calls for this name is not granted\n",
        ),
    ] {
        assert_eq!(explain(name, more), expected);
    }
    let forged = parkway(&file, &["policy", "explain", "--token", "x.y.z", "--action", "bridge", "--name", "demo"]);
    assert!(String::from_utf8_lossy(&forged.stdout).starts_with("deny\n  credential: token_malformed\n"), "{forged:?}");

    let case = "[[case]]\nsays = \"the house may\"\nwho = \"a\"\ngrant = { bridge = [\"demo\"] }\naction = \"bridge\"\nname = \"demo\"\nsource = \"127.0.0.1\"\n";
    for (text, code, expected) in [
        (format!("{case}expect = \"house\"\n"), 0, "1 of 1 cases hold\n".to_owned()),
        (
            format!("{case}expect = \"deny\"\n"),
            1,
            format!(
                "{}:1: the house may: expected deny, but allow: grants: granted, rules[house]: house\n0 of 1 cases hold\n",
                cases.display()
            ),
        ),
    ] {
        fs::write(&cases, text).unwrap();
        let tried = parkway(&file, &["policy", "test", cases.to_str().unwrap()]);
        assert_eq!(
            (tried.status.code(), String::from_utf8_lossy(&tried.stdout).as_ref()),
            (Some(code), expected.as_str())
        );
    }
    for (text, place) in [
        ("", ": has no [[case]]"),
        ("[[case]]\nwho = \"a\"\naction = \"fly\"\nname = \"demo\"\nexpect = \"allow\"\n", ":3: `fly` is no action"),
        ("[[case]\n", ":1: not TOML"),
        ("other = 1\n", ": `other` is no part"),
    ] {
        fs::write(&cases, text).unwrap();
        let tried = parkway(&file, &["policy", "test", cases.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&tried.stderr).into_owned();
        assert_eq!(tried.status.code(), Some(78), "{said}");
        assert!(said.contains(&format!("{}{place}", cases.display())), "{said}");
    }
}
