//! The stage of `parkway demo`: the real daemon on loopback with its built-in defaults, free ports, and a directory of its own for
//! keys and records, which is gone afterwards.
//! Not here: what is played on it (`super::run`).

use super::{MintRequest, Options, Target, run};
use crate::config::{Config, Keys, Sources};
use crate::daemon::{Addresses, Code, Daemon, Failure};
use crate::name::Name;
use crate::net::Clock;
use crate::policy::{self, Grant, Order, SigningKey};
use crate::time::Duration;
use std::path::PathBuf;
use tempfile::TempDir;

/// How long calls of a demonstration that went wrong may take to run out.
const DRAIN: Duration = Duration::from_secs(2);

/// Starts a Parkway, makes the calls, stops it. An error if it did not start, or if a line did not hold.
pub fn perform(options: Options) -> Result<(), Failure> {
    let directory = TempDir::with_prefix("parkway-demo-").map_err(|error| failed(format!("no directory: {error}")))?;
    let config = configuration(&directory)?;
    let audience = config.policy.audience.clone();
    let records = config.records.path.clone().unwrap_or_default();
    let keys = config.clone();
    let daemon = Daemon::start(config)?;
    // The daemon made its keys at its start; like `parkway token mint`, we read them where it keeps them.
    let key = Keys::signing(&keys).map_err(|mistake| failed(mistake.to_string()))?;
    let target = target(daemon.addresses(), records, key, audience)?;
    let runtime = tokio::runtime::Runtime::new().map_err(|error| failed(format!("cannot start a runtime: {error}")))?;
    let outcome = runtime.block_on(run(&target, options));
    drop(runtime);
    daemon.drain(DRAIN);
    daemon.wait()?;
    if outcome.holds() { Ok(()) } else { Err(failed("not every line held".into())) }
}

/// The built-in defaults, on loopback.
fn configuration(directory: &TempDir) -> Result<Config, Failure> {
    let directory = directory.path().display();
    let set = vec![
        "sip.listen=127.0.0.1:0".into(),
        "http.listen=127.0.0.1:0".into(),
        "admin.listen=127.0.0.1:0".into(),
        format!("node.state_dir={directory}"),
        format!("records.path={directory}/cdr.jsonl"),
    ];
    let sources = Sources { file: None, set, ..Sources::default() };
    Config::load(&sources).map_err(|mistakes| failed(mistakes.to_string()))
}

fn target(addresses: &Addresses, records: PathBuf, key: SigningKey, audience: String) -> Result<Target, Failure> {
    let sip = addresses.sip.first().copied().ok_or_else(|| failed("no SIP listener".into()))?;
    let mint = move |request: &MintRequest<'_>| mint(&key, &audience, request);
    Ok(Target { sip, http: addresses.http, admin: addresses.admin, records, mint: Box::new(mint) })
}

fn mint(key: &SigningKey, audience: &str, request: &MintRequest<'_>) -> String {
    let name = Name::parse(request.name).expect("the demo's name is a constant");
    let names = vec![name];
    let grant = Grant { receive: names.clone(), bridge: names, concurrent: request.concurrent, ..Grant::default() };
    let issued = Clock::start().now().wall;
    let expires = issued + request.life;
    let order = Order { subject: request.subject, audience, issued, expires, not_before: None, grant };
    policy::mint(key, &order).expect("the demo asks for what can be granted")
}

fn failed(what: String) -> Failure {
    Failure { code: Code::RunTime, what }
}
