//! Clients whose application's server mints access tokens with a widely used helper library, for node and for Python, on the real daemon: they
//! hear of a call and answer it. `npm ci` and `pip install --target python -r requirements.txt` in `tests/access_tokens` bring the libraries.
//! Not here: what each member of such a token means (`policy::access`).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod common;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use common::story::{assert_hear_each_other, bridge};
use common::{Daemon, Setup, Subscriber, program};
use serde_json::json;
use std::path::PathBuf;
use std::process::Command;
use tokio_tungstenite::tungstenite::Error;

/// Of the key `SK1` and of the account `AC1`: long enough for HS512.
const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
/// Of nobody's.
const OTHER_SECRET: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";

/// What a library is asked for.
#[derive(Clone)]
struct Order {
    form: &'static str,
    key: &'static str,
    account: &'static str,
    secret: &'static str,
    algorithm: &'static str,
    identity: &'static str,
    /// Seconds; negative when it is over.
    ttl: i64,
    /// Whether it may be called.
    called: bool,
}

const ACCESS: Order = Order {
    form: "access",
    key: "SK1",
    account: "AC1",
    secret: SECRET,
    algorithm: "HS256",
    identity: "demo",
    ttl: 600,
    called: true,
};
const CAPABILITY: Order = Order { form: "capability", ..ACCESS };

impl Order {
    /// The token that a library makes of it.
    fn mint(&self, library: &Library) -> String {
        let order = json!({
            "form": self.form, "key": self.key, "account": self.account, "secret": self.secret, "identity": self.identity,
            "algorithm": self.algorithm, "ttl": self.ttl, "called": self.called,
            "application": "AP1", "parameters": { "room": "a b&c" },
        });
        let minted = library.command().arg(order.to_string()).output().unwrap();
        let (token, complaint) = (String::from_utf8(minted.stdout).unwrap(), String::from_utf8(minted.stderr).unwrap());
        assert!(minted.status.success() && !token.is_empty(), "{}: {complaint}", library.name);
        token
    }
}

/// A helper library, as its authors publish it.
struct Library {
    name: &'static str,
    script: &'static str,
}

const LIBRARIES: [Library; 2] =
    [Library { name: "node", script: "mint.js" }, Library { name: "python3", script: "mint.py" }];

fn sources() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/access_tokens")
}

impl Library {
    fn command(&self) -> Command {
        let mut command = Command::new(self.name);
        command.arg(self.script).current_dir(sources()).env("PYTHONPATH", "python");
        command
    }

    fn is_there(&self) -> bool {
        let installed = match self.name {
            "node" => program::is_there(&sources().join("node_modules/twilio")),
            _ => program::is_there(&sources().join("python/twilio")),
        };
        installed && program::is_installed(self.name, self.name)
    }
}

/// Those that are installed.
fn libraries() -> impl Iterator<Item = Library> {
    LIBRARIES.into_iter().filter(Library::is_there)
}

fn setup() -> Setup {
    let usual = Setup::default();
    let key = |kid, rest| format!("[[policy.key]]\nkid = \"{kid}\"\nsecret = \"{SECRET}\"\n{rest}\n\n");
    let access = |kid, kind| key(kid, format!("type = \"{kind}\"\nform = \"access\"\naccount = \"AC1\""));
    let capability = key("AC1", "type = \"hs256\"\nform = \"capability\"".to_owned());
    let keys = [access("SK1", "hs256"), access("SK384", "hs384"), access("SK512", "hs512"), capability].concat();
    Setup { tables: keys + &usual.tables, ..usual }
}

#[test]
fn a_client_with_a_librarys_token_hears_of_a_call_and_answers_it() {
    for library in libraries() {
        for order in [
            ACCESS,
            Order { key: "SK384", algorithm: "HS384", ..ACCESS },
            Order { key: "SK512", algorithm: "HS512", ..ACCESS },
            CAPABILITY,
        ] {
            let daemon = Daemon::start_as(&setup());
            let mut client = Subscriber::connect(&daemon, "demo", &order.mint(&library)).unwrap();
            client.expect("hello");
            client.expect("synced");
            let (mut caller, mut other) = bridge(&daemon, &mut client);
            assert_hear_each_other(&caller, &other);
            caller.phone.hang_up();
            other.phone.be_hung_up_on();
            daemon.finish(1);
        }
    }
}

/// The status of the handshake that is refused, and the last part of its problem's type.
fn refusal(daemon: &Daemon, jwt: &str) -> (u16, String) {
    match Subscriber::connect(daemon, "demo", jwt).map_err(|error| *error) {
        Err(Error::Http(response)) => {
            let body = response.body().as_deref().unwrap_or_default();
            let problem: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
            let kind = problem["type"].as_str().unwrap_or_default();
            (response.status().as_u16(), kind.rsplit(['/', ':', '#']).next().unwrap_or_default().to_owned())
        }
        Err(other) => panic!("{other}"),
        Ok(_) => (101, String::new()),
    }
}

#[test]
fn what_a_library_mints_for_others_or_did_long_ago_is_refused() {
    let daemon = Daemon::start_as(&setup());
    for library in libraries() {
        for (order, expected, rule) in [
            (ACCESS, (101, ""), "as it should be"),
            (Order { secret: OTHER_SECRET, ..ACCESS }, (401, "token-bad-signature"), "forged"),
            (Order { secret: OTHER_SECRET, ..CAPABILITY }, (401, "token-bad-signature"), "forged"),
            (Order { ttl: -120, ..ACCESS }, (401, "token-expired"), "expired"),
            (Order { ttl: -120, ..CAPABILITY }, (401, "token-expired"), "expired"),
            (Order { account: "AC2", ..ACCESS }, (401, "token-wrong-audience"), "another account's"),
            (Order { key: "SK384", ..ACCESS }, (401, "token-algorithm"), "not its key's algorithm"),
            (Order { identity: "de mo", ..ACCESS }, (401, "token-identity"), "an identity that is no name"),
            (Order { identity: "other", ..ACCESS }, (403, "name-not-granted"), "somebody else's name"),
            (Order { called: false, ..ACCESS }, (403, "name-not-granted"), "not to be called"),
            (Order { called: false, ..CAPABILITY }, (403, "name-not-granted"), "not to be called"),
        ] {
            let (status, kind) = refusal(&daemon, &order.mint(&library));
            assert_eq!((status, &*kind), expected, "{} {}: {rule}", library.name, order.form);
        }
        let good = ACCESS.mint(&library);
        let (_, rest) = good.split_once('.').unwrap();
        for algorithm in ["none", "RS256"] {
            let header = json!({ "alg": algorithm, "typ": "JWT", "cty": "twilio-fpa;v=1" }).to_string();
            let confused = format!("{}.{rest}", BASE64_URL_SAFE_NO_PAD.encode(header));
            assert_eq!(refusal(&daemon, &confused), (401, "token-algorithm".to_owned()), "{algorithm}");
        }
    }
    daemon.finish(0);
}

#[test]
fn explain_says_which_application_a_librarys_token_names() {
    for library in libraries() {
        let daemon = Daemon::start_as(&setup());
        let explained = Command::new(env!("CARGO_BIN_EXE_parkway"))
            .args(["--config", &daemon.dir().join("parkway.toml").to_string_lossy(), "policy", "explain"])
            .args(["--action", "bridge", "--name", "demo", "--token", &CAPABILITY.mint(&library)])
            .output()
            .unwrap();
        let text = String::from_utf8(explained.stdout).unwrap();
        assert!(text.contains("its own calls are for AP1 room=a b&c"), "{text}");
        daemon.finish(0);
    }
}
