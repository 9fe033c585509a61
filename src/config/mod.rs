//! What the operator wrote, checked: defaults, then the file, then `PARKWAY_…` variables, then `--set`, become one typed [`Config`].
//! Not here: doing anything with it. Nothing outside this module sees TOML, the `config` crate, or a value that was not checked;
//! the one thing made here is a key at first start ([`Keys`]), because where keys lie is configuration.

mod address;
mod cases;
mod certificate;
mod explain;
mod keys;
mod load;
mod mistake;
mod outbound;
mod policy;
mod push;
mod raw;
mod recording;
mod route_test;
mod shape;
mod sound;
#[cfg(test)]
mod tests;
mod typed;
mod users;
mod warn;

pub use address::Advertised;
pub use cases::Tried;
pub use certificate::{Certificate, names_in, system_authorities};
pub use explain::{Asked, Asking, Explained};
pub use keys::{Keys, PolicyKey};
pub use mistake::{Mistake, Mistakes};
pub use push::{Kind as PushKind, Provider as PushProvider, Push, ServiceAccount};
pub use recording::Recording;
pub use route_test::Tested;
pub use sound::Sounds;
pub use warn::open_files_max;

use crate::call::{Route, Trunk};
use crate::policy::{Engines, Users};
use crate::registrar::Lifetimes;
use crate::secret::Secret;
use crate::sip::target::Target;
use crate::time::Duration;
use crate::trunk::Outbound;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

/// Where a configuration comes from, weakest first: built-in defaults, the file, the environment, `--set`. Kept in the
/// [`Config`] so that a reload reads the same places again.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file given with `--config`; without one the defaults stand.
    pub file: Option<PathBuf>,
    /// The process environment: `PARKWAY_SECTION__KEY`, and `CREDENTIALS_DIRECTORY` from systemd.
    pub environment: BTreeMap<String, String>,
    /// `section.key=value`, in the order of the command line.
    pub set: Vec<String>,
}

/// The whole configuration, checked. Replaced whole on reload; everybody keeps the `Arc` they started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[node]`
    pub node: Node,
    /// `[sip]`
    pub sip: Sip,
    /// `[tls]`
    pub tls: Tls,
    /// `[http]`
    pub http: Http,
    /// `[admin]`
    pub admin: Admin,
    /// `[media]`
    pub media: Media,
    /// `[park]`
    pub park: Park,
    /// `[[trunk]]`, in the order of the file. The built-in `loopback` if the file has none.
    pub trunks: Vec<Arc<Trunk>>,
    /// The trunks of `[[trunk]]` that we go to, in the same order.
    pub outbound: Vec<Arc<Outbound>>,
    /// `[[route]]`, in the order of the file: the first that matches is taken. The built-in `*` to `demo` if the file has none.
    pub routes: Vec<Arc<Route>>,
    /// `[dns]`
    pub dns: Dns,
    /// `[token]`
    pub token: Token,
    /// `[policy]`
    pub policy: Policy,
    /// `[digest]` and `[[user]]`
    pub users: Users,
    /// `[registrar]`
    pub lifetimes: Lifetimes,
    /// `[push]`
    pub push: Push,
    /// `[records]`
    pub records: Records,
    /// `[recording]`; `None`: nothing is recorded.
    pub recording: Option<Recording>,
    /// `[log]`
    pub log: Log,
    /// `[drain]`
    pub drain: Drain,
    /// Where all this was read; a reload reads there again.
    pub sources: Sources,
    /// The same as text for `--print-config`; secrets are already masked in it.
    effective: raw::Raw,
    /// Where each key was said, for what is found only after loading.
    places: load::Places,
}

/// `[node]`: who this process is.
#[derive(Clone, Debug)]
pub struct Node {
    /// This node's number in a cluster; named in clear in its tokens.
    pub id: u64,
    /// Where keys made at first start are kept; `None`: in memory only, new at each start.
    pub state_dir: Option<PathBuf>,
}

/// `[sip]`: how callers and clients reach us.
#[derive(Clone, Debug)]
pub struct Sip {
    /// UDP listeners, at least one.
    pub listen: Vec<SocketAddr>,
    /// TCP listeners: where an entry of the file names no transport, the same as for UDP (RFC 3261 §18.2.1).
    pub tcp: Vec<SocketAddr>,
    /// TLS listeners.
    pub tls: Vec<SocketAddr>,
    /// What Contact, Via and SDP say instead of a listener's address (behind a NAT, on a wildcard listener).
    pub advertised: Option<Advertised>,
    /// The same for peers outside of `local_nets`.
    pub external_address: Option<Advertised>,
    /// Networks of peers that reach us without a NAT in between.
    pub local_nets: Vec<ipnet::IpNet>,
    /// Headers of a caller's INVITE that telephones which are rung for it get too.
    pub pass_headers: Vec<String>,
    /// `User-Agent` and `Server`.
    pub user_agent: String,
    /// How often sessions are refreshed (RFC 4028).
    pub session_timer: crate::call::SessionTerms,
}

/// `[tls]`: who we are, and whose word is taken for who others are.
#[derive(Clone, Debug)]
pub struct Tls {
    /// `[[tls.certificate]]`: the first is shown to whoever asks for no name that one of them has.
    pub certificates: Vec<Certificate>,
    /// Authorities whose certificates trunks must show to us when we open the connection; empty: the system's.
    pub authorities: Vec<rustls_pki_types::CertificateDer<'static>>,
    /// Authorities whose certificates peers may show; empty: none is asked for.
    pub client_authorities: Vec<rustls_pki_types::CertificateDer<'static>>,
}

/// `[dns]`: how names of trunks' targets are found.
#[derive(Clone, Debug)]
pub struct Dns {
    /// Name servers; empty: those of `/etc/resolv.conf`.
    pub servers: Vec<SocketAddr>,
}

/// `[http]`: the listener for subscriptions.
#[derive(Clone, Debug)]
pub struct Http {
    /// Where it listens.
    pub listen: SocketAddr,
    /// How clients reach it from outside, without a trailing slash; `None`: `http://` and the listener.
    pub public_url: Option<String>,
    /// Browser origins that may subscribe (`https://app.example`); empty: none but requests without `Origin`. `*` is any.
    pub allowed_origins: Vec<String>,
}

/// `[admin]`: health and metrics.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Where `/healthz`, `/readyz` and `/metrics` are; keep it on loopback.
    pub listen: SocketAddr,
}

/// Whether the kernel is asked to forward audio by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Offload {
    /// If it lets us.
    Auto,
    /// Never.
    Off,
    /// Or there is no start.
    Required,
}

/// `[media]`: the relay.
#[derive(Clone, Debug)]
pub struct Media {
    /// The address whose ports are used; `None`: the SIP listener's.
    pub address: Option<IpAddr>,
    /// First RTP port, even (RFC 3550 §11).
    pub port_min: u16,
    /// Last port, odd: the RTCP port of the last pair.
    pub port_max: u16,
    /// Worker threads, at least 1: what the file says, or one a core.
    pub workers: usize,
    /// For how long a worker that has much to do lets packets gather; zero: never.
    pub coalesce: Duration,
    /// Whose audio is encrypted.
    pub srtp: crate::call::SrtpTerms,
    /// Whether calls may become faxes by T.38.
    pub t38: bool,
    /// What callers may hear.
    pub sounds: Sounds,
    /// What a caller hears that is on hold here.
    pub hold_sound: Option<crate::media::SoundId>,
    /// Whether the kernel forwards the audio that is certain by itself.
    pub offload: Offload,
    /// What becomes of keys.
    pub digits: crate::call::DigitTerms,
    /// When somebody is told that a side is not heard.
    pub warnings: crate::media::WarningTerms,
    /// A leg that should send and is silent this long is hung up.
    pub silence: Duration,
    /// The same for a call on hold.
    pub hold_silence: Duration,
}

/// `[park]`: what a waiting call gets, and how many may wait.
#[derive(Clone, Debug)]
pub struct Park {
    /// Longest wait; then the fallback.
    pub deadline: Duration,
    /// 180 or 183.
    pub response: u16,
    /// Whether callers that can acknowledge it have to (RFC 3262), and not only those that must.
    pub rings_reliably: bool,
    /// How often the provisional response is repeated (RFC 3261 §13.3.1.1).
    pub repeat_every: Duration,
    /// Final response at the deadline, 300–699.
    pub fallback_status: u16,
    /// Most parked calls.
    pub calls_max: usize,
    /// Most parked calls of one trunk that has no `calls_max` of its own.
    pub per_trunk_max: usize,
    /// Most parked calls for one name.
    pub per_name_max: usize,
    /// Most parked calls from one source address.
    pub per_source_max: usize,
    /// `Retry-After` of the 503 beyond these.
    pub retry_after: Duration,
}

/// `[token]`: the key that seals bridge tokens, if the operator gave one; [`Keys`] finds or makes it otherwise.
#[derive(Clone, Debug)]
pub struct Token {
    /// From `key_file` or systemd's credential `token-key`.
    pub key: Option<Secret<[u8; 32]>>,
}

/// `[policy]`: whose word is taken for what a client may do.
#[derive(Clone, Debug)]
pub struct Policy {
    /// What `aud` in a client's JWT must be.
    pub audience: String,
    /// How much clocks may differ.
    pub skew: Duration,
    /// `[[policy.key]]`; empty: one HS256 key made by [`Keys`].
    pub keys: Vec<PolicyKey>,
    /// Who is asked about which name, with the operator's rules; they passed the cases of `cases_file`.
    pub engines: Engines,
}

/// `[records]`: call detail records.
#[derive(Clone, Debug)]
pub struct Records {
    /// A file to which one JSON line a call is appended; `None`: only the log.
    pub path: Option<PathBuf>,
}

/// `[log]`
#[derive(Clone, Debug)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug`, `trace`, or `tracing-subscriber` directives; `RUST_LOG` overrides it.
    pub level: String,
    /// How a line looks.
    pub format: LogFormat,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people and journald.
    Text,
    /// One JSON object a line.
    Json,
}

/// `[drain]`: a stop that lets calls end.
#[derive(Clone, Debug)]
pub struct Drain {
    /// After this the rest gets BYE.
    pub deadline: Duration,
}

impl Sources {
    /// From this process: its command line and its environment.
    pub fn of_process(file: Option<PathBuf>, set: Vec<String>) -> Sources {
        let environment =
            std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect();
        Sources { file, environment, set }
    }
}

impl Config {
    /// Reads all sources and checks everything. Key files that the operator named are read too, so that a bad one is found here.
    pub fn load(sources: &Sources) -> Result<Config, Mistakes> {
        load::load(sources)
    }

    /// What is allowed but will probably hurt (`--check-config`); one line each.
    pub fn warnings(&self) -> Vec<Mistake> {
        warn::warnings(self)
    }

    /// Each trunk's targets, with the key that names them.
    pub fn targets(&self) -> impl Iterator<Item = (String, &Target)> {
        let at = |outbound: &Outbound| self.trunks.iter().position(|trunk| trunk.name == outbound.name).unwrap_or(0);
        self.outbound.iter().flat_map(move |outbound| {
            let key = format!("trunk[{}].targets", at(outbound));
            outbound.targets.iter().enumerate().map(move |(target_at, target)| (format!("{key}[{target_at}]"), target))
        })
    }

    /// What was found wrong with a key only when it was put to use.
    pub fn mistake(&self, key: &str, what: impl Into<String>) -> Mistake {
        self.places.mistake(key, what)
    }

    /// The effective configuration as TOML, secrets masked (`--print-config`).
    pub fn to_toml(&self) -> String {
        self.effective.to_toml()
    }
}
