//! Threads, signals and the one match that does what the switch asks for.
//! Not here: anything that could be decided without a socket, a clock or a thread: that is the core.
//!
//! ```text
//!  switch thread:  Switchboard (switch, SIP sockets) ──Command──▶ relay workers (RTP sockets)
//!        ▲  └──Notice──▶ fan-out ─▶ WebSockets                       │
//!        └──────── bounded queues ◀──── Event, ClientMessage ────────┘
//!  http runtime:   public listener, admin listener, fan-out
//! ```

mod connections;
mod failure;
mod outbound;
mod pulse;
mod push;
mod security;
mod service;
mod settings;
mod signals;
mod status;
mod switchboard;
#[cfg(test)]
mod tests;

pub use failure::{Code, Failure};
pub use outbound::locate;

use crate::config::{self, Config, Keys};
use crate::http;
use crate::inquire::Inquirer;
use crate::limits;
use crate::media;
use crate::net::{Clock, Door, client_config};
use crate::notify;
use crate::push::{Desk, Store};
use crate::relay::{Offload, RecorderSettings, Relay, RelaySettings};
use crate::telemetry::{Log, Metrics, Records};
use crate::time::Duration;
use connections::{Carrying, Listening};
use outbound::Locator;
use ring::rand::{SecureRandom, SystemRandom};
use security::Security;
use status::{Sources, Status};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use switchboard::{Backlog, Closing, Ends, Switchboard, Word};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};

/// A running Parkway. Dropping it stops it at once.
pub struct Daemon {
    addresses: Addresses,
    words: mpsc::Sender<Word>,
    status: Arc<Status>,
    relay: Arc<Relay>,
    config: Config,
    security: Security,
    connections: connections::Held,
    registry: Arc<notify::Registry>,
    devices: Option<Store>,
    switchboard: Option<JoinHandle<()>>,
    http: Option<Http>,
    closed: watch::Sender<bool>,
}

/// The threads of HTTP, and the task that says goodbye to all subscribers once it is told to.
struct Http {
    runtime: Runtime,
    subscriptions: tokio::task::JoinHandle<std::io::Result<()>>,
}

/// Where a running Parkway listens: the configured addresses, with the ports that were taken where they said 0.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// SIP over UDP.
    pub sip: Vec<SocketAddr>,
    /// SIP over TCP.
    pub tcp: Vec<SocketAddr>,
    /// SIP over TLS.
    pub tls: Vec<SocketAddr>,
    /// Subscriptions.
    pub http: SocketAddr,
    /// Health and metrics.
    pub admin: SocketAddr,
}

impl Addresses {
    fn of(listening: &Listening, listeners: &Listeners) -> Addresses {
        Addresses {
            sip: listening.sockets.addresses(),
            tcp: listening.tcp(),
            tls: listening.tls(),
            http: listeners.http_address,
            admin: listeners.admin_address,
        }
    }
}

/// Runs until a signal ends it. `Ok` is a clean end.
pub fn run(config: Config) -> Result<(), Failure> {
    let log = Log::start(&config.log).map_err(|error| Failure::configuration(format!("log: {error}")))?;
    config.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
    let (drain, signals) = (config.drain.deadline, signals::Signals::catch()?);
    let daemon = Daemon::start(config)?;
    signals::attend(daemon, &log, signals, drain)
}

/// The keys of this run.
fn open_keys(config: &Config) -> Result<Keys, Failure> {
    let keys = Keys::open(config).map_err(|mistake| Failure::configuration(mistake.to_string()))?;
    if keys.ephemeral {
        tracing::warn!("keys are made for this run only, tokens and JWTs end with it; set node.state_dir to keep them");
    }
    Ok(keys)
}

/// The switch thread's runtime, and what listens in it.
fn bind_sip(config: &Config) -> Result<(Runtime, Listening), Failure> {
    let switch_runtime = runtime(&mut tokio::runtime::Builder::new_current_thread())?;
    let listening = {
        let _inside = switch_runtime.enter();
        Listening::bind(config)?
    };
    Ok((switch_runtime, listening))
}

/// What asks the operator's policy server.
fn start_inquirer(config: &Config, http_runtime: &Runtime) -> Result<Inquirer, Failure> {
    let tls = client_config(&config.tls).map_err(|what| Failure::configuration(format!("tls: {what}")))?;
    Ok(Inquirer::new(http_runtime.handle().clone(), tls))
}

impl Daemon {
    /// Binds everything and starts all threads. When it returns, everything is listening.
    pub fn start(config: Config) -> Result<Daemon, Failure> {
        let keys = open_keys(&config)?;
        let metrics = Arc::new(Metrics::new(Clock::start().now().wall, &outbound::names(&config)));
        let records = Records::start(config.records.path.as_deref(), Arc::clone(&metrics))
            .map_err(|error| Failure::records(&config, &error))?;
        let status = Arc::new(Status::new(Arc::clone(&metrics)));
        status.show_certificates(&config.tls.certificates);
        let http_runtime = runtime(tokio::runtime::Builder::new_multi_thread().worker_threads(1))?;
        let listeners = Listeners::bind(&config)?;
        let (switch_runtime, listening) = bind_sip(&config)?;
        let sip = listening.sockets.addresses();
        let (words, words_out) = mpsc::channel(limits::SWITCH_QUEUE_MAX);
        let (events, events_out) = mpsc::channel(limits::SWITCH_QUEUE_MAX);
        let relay = Arc::new(start_relay(&config, &sip, events)?);
        let security = Security::of(&config, &keys)?;
        let (messages, clients) = mpsc::channel(limits::SWITCH_QUEUE_MAX);
        let herald = Security::herald(&config, &sip, &keys);
        let (publisher, registry, fan_out) = notify::open(security.registry(Arc::clone(&herald), messages));
        let push::Woken { bell, desk, store } = push::start(&config, &registry, &metrics, &http_runtime)?;
        let (closed, closing) = watch::channel(false);
        let addresses = Addresses::of(&listening, &listeners);
        let locator = Locator::start(&config, &addresses, listening.connector(), &http_runtime)?;
        let inquirer = start_inquirer(&config, &http_runtime)?;
        http_runtime.spawn(fan_out.run());
        let (sockets, Carrying { streams, door, held }) = listening.serve(&http_runtime);
        let sources = Sources {
            sip: addresses.sip.clone(),
            connections: door.counts(),
            registry: Arc::clone(&registry),
            relay: Arc::clone(&relay),
            metrics,
        };
        let subscriptions =
            listeners.serve(&http_runtime, &config, sources, Arc::clone(&status), closing, (door, desk));
        let switchboard = Switchboard {
            switch: security.switch(&config, &addresses, herald),
            sockets,
            streams,
            locator,
            inquirer,
            relay: Arc::clone(&relay),
            publisher,
            bell,
            ends: Ends::default(),
            records,
            words: words_out,
            events: events_out,
            clients,
            clock: Clock::start(),
            status: Arc::clone(&status),
            closing: Closing::Open,
            backlog: Backlog::default(),
        };
        let switchboard = run_on_a_thread(switchboard, switch_runtime)?;
        let (switchboard, http) = (Some(switchboard), Some(Http { runtime: http_runtime, subscriptions }));
        Ok(Daemon {
            addresses,
            words,
            status,
            relay,
            config,
            security,
            connections: held,
            registry,
            devices: store,
            switchboard,
            http,
            closed,
        })
    }

    /// Where it listens.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }
}

impl Daemon {
    /// Takes no new calls, lets the others run out for at most `longest`, then ends them. The switch thread says when it is so.
    pub fn drain(&self, longest: Duration) {
        let _ = self.words.try_send(Word::Drain(longest));
    }

    /// Ends all calls now.
    pub fn stop(&self) {
        let _ = self.words.try_send(Word::Stop);
    }

    /// Opens the file of records anew, after somebody has moved it away, and reads policy and keys again. What cannot be read leaves all
    /// of the old in force. All else in the configuration takes a restart.
    fn reload(&mut self) {
        let _ = self.words.try_send(Word::ReopenRecords);
        match self.renew() {
            Ok(()) => {
                let _ = self.words.try_send(Word::Authority(self.security.authority()));
                self.registry.replace_authority(self.security.authority());
                tracing::info!("policy, keys and certificates are read again and the file of records is opened anew");
            }
            Err(failure) => tracing::error!("the old policy, keys and certificates stay in force: {failure}"),
        }
    }

    fn renew(&mut self) -> Result<(), Failure> {
        let newer =
            Config::load(&self.config.sources).map_err(|mistakes| Failure::configuration(mistakes.to_string()))?;
        // All of it or none: what can be wrong is looked at before anything is replaced.
        self.connections.check(&newer)?;
        self.security.renew(&newer)?;
        self.connections.renew(&newer)?;
        self.status.show_certificates(&newer.tls.certificates);
        Ok(())
    }

    /// Returns when the switch thread has come to its end, by itself or by a panic.
    async fn over(&self) {
        self.words.closed().await;
    }

    /// Waits for the end that [`Daemon::drain`] or [`Daemon::stop`] began, and closes what is left. An error if a thread panicked.
    pub fn wait(mut self) -> Result<(), Failure> {
        let ended = self.switchboard.take().map_or(Ok(()), JoinHandle::join);
        self.close();
        ended.map_err(|_| Failure::run_time("the switch thread panicked".into()))
    }

    fn close(&mut self) {
        let _ = self.closed.send(true);
        if let Some(Http { runtime, subscriptions }) = self.http.take() {
            // A runtime that is shut down drops its tasks where they stand, before they have said why a channel ends. Whatever comes
            // of them in time is their affair: all is closed after it.
            let _ended = runtime.block_on(async { tokio::time::timeout(limits::STOP_MAX, subscriptions).await });
            let _closed =
                runtime.block_on(async { tokio::time::timeout(limits::STOP_MAX, self.connections.closed()).await });
            runtime.shutdown_timeout(limits::STOP_MAX);
            self.devices.iter().for_each(Store::flush);
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.switchboard.take() {
            let _ = thread.join();
        }
        self.close();
    }
}

/// Both HTTP listeners, bound.
struct Listeners {
    http: TcpListener,
    admin: TcpListener,
    http_address: SocketAddr,
    admin_address: SocketAddr,
}

impl Listeners {
    fn bind(config: &Config) -> Result<Listeners, Failure> {
        let bind = |key, address| {
            let listener = TcpListener::bind(address).map_err(|error| Failure::bind(config, key, address, &error))?;
            let bound = listener.local_addr().map_err(|error| Failure::bind(config, key, address, &error))?;
            Ok((listener, bound))
        };
        let (http, http_address) = bind("http.listen", config.http.listen)?;
        let (admin, admin_address) = bind("admin.listen", config.admin.listen)?;
        Ok(Listeners { http, admin, http_address, admin_address })
    }

    fn serve(
        self,
        runtime: &Runtime,
        config: &Config,
        sources: Sources,
        status: Arc<Status>,
        closing: watch::Receiver<bool>,
        (door, desk): (Door, Option<Arc<Desk>>),
    ) -> tokio::task::JoinHandle<std::io::Result<()>> {
        let settings = http::Settings { allowed_origins: config.http.allowed_origins.clone(), ..Default::default() };
        let registry = Arc::clone(&sources.registry);
        let page = move || sources.page();
        let admin = http::Admin { ready: Arc::new(move || status.is_ready()), metrics: Arc::new(page) };
        runtime.spawn(http::serve_admin(self.admin, admin, closed(closing.clone())));
        runtime.spawn(http::serve(self.http, settings, (registry, desk), door, closed(closing)))
    }
}

fn run_on_a_thread(switchboard: Switchboard, runtime: tokio::runtime::Runtime) -> Result<JoinHandle<()>, Failure> {
    let thread = std::thread::Builder::new().name("switch".into());
    let spawned = thread.spawn(move || runtime.block_on(switchboard.run()));
    spawned.map_err(|error| Failure::run_time(format!("cannot start a thread: {error}")))
}

async fn closed(mut closing: watch::Receiver<bool>) {
    let _ = closing.wait_for(|closed| *closed).await;
}

fn start_relay(config: &Config, sip: &[SocketAddr], events: mpsc::Sender<media::Event>) -> Result<Relay, Failure> {
    let address = settings::media_address(config, sip);
    let mut settings = RelaySettings {
        workers: config.media.workers,
        port_min: config.media.port_min,
        port_max: config.media.port_max,
        addresses: vec![address],
        dscp: Some(limits::DSCP_EXPEDITED),
        coalesce: config.media.coalesce,
        sounds: config.media.sounds.all(),
        warnings: config.media.warnings,
        kept_max: kept_max(config.media.workers),
        offload: None,
        recorder: recorder(config)?,
        seed: entropy(),
    };
    settings.offload = start_offload(config, &settings)?;
    // A full queue loses the event: the call's own deadlines deal with a relay that says nothing.
    let tell = move |event| drop(events.try_send(event));
    Relay::start(settings, tell).map_err(|error| Failure::run_time(format!("cannot start the relay: {error}")))
}

/// Where recordings go, if that can be written to.
fn recorder(config: &Config) -> Result<Option<RecorderSettings>, Failure> {
    let Some(recording) = &config.recording else { return Ok(None) };
    let config::Recording { directory, longest, files_max, free_bytes_min, .. } = recording.clone();
    let settings = RecorderSettings { directory, longest, files_max, free_bytes_min };
    settings.check().map_err(|error| Failure::recording(config, &settings.directory, &error))?;
    Ok(Some(settings))
}

/// The kernel's own way for audio, where it is wanted and to be had.
fn start_offload(config: &Config, settings: &RelaySettings) -> Result<Option<Arc<Offload>>, Failure> {
    if config.media.offload == config::Offload::Off {
        return Ok(None);
    }
    match Offload::start(settings) {
        Ok(offload) => {
            tracing::info!(interfaces = ?offload.interfaces(), "the kernel forwards audio by itself where it is certain");
            Ok(Some(Arc::new(offload)))
        }
        Err(refused) if config.media.offload == config::Offload::Required => Err(Failure::offload(config, &refused)),
        Err(refused) => {
            tracing::info!("the kernel forwards no audio by itself: {refused}");
            Ok(None)
        }
    }
}

/// For how many flows each worker may keep sockets: half of the files that we may have open are for them at most.
fn kept_max(workers: usize) -> usize {
    let files = config::open_files_max().and_then(|files| usize::try_from(files).ok()).unwrap_or(0);
    files / 2 / 4 / workers.max(1)
}

fn runtime(builder: &mut tokio::runtime::Builder) -> Result<tokio::runtime::Runtime, Failure> {
    builder.enable_all().build().map_err(|error| Failure::run_time(format!("cannot start a runtime: {error}")))
}

/// 32 bytes from the kernel's generator.
fn entropy() -> [u8; 32] {
    let mut seed = [0; 32];
    SystemRandom::new().fill(&mut seed).expect("the kernel always has random bytes");
    seed
}
