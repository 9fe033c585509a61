//! The demonstration: a trunk's caller and a client's phone, on sockets of their own, make real calls through a running Parkway and
//! check each thing that they were promised. Exit 0 means that every line held.
//! Not here: any way into the daemon but its sockets, its record file and a key that signs. Nothing may be a shortcut inside the
//! process: what is exercised is what a trunk and a phone would. So these endpoints read SIP and SDP with code of their own
//! (`message`, `offer`) and share with the server only the arithmetic of RTP, tones and key presses (`media`).
//!
//! ```text
//! trunk ── INVITE ──▶ parkway ┄┄ incoming ┄┄▶ client      `subscription`: one WebSocket, as an application server has
//!       ◀── 180 ───           ◀┄┄ ringing ┄┄
//!       ◀── 200 ───           ◀── INVITE ───              `agent`: SIP; `trunk`, `client`: who does what when
//!       ◀═════════ RTP both ways ══════════▶              `audio`, `talk`
//!       ─── BYE ──▶           ─── BYE ─────▶              `check`, `report`: what was promised, what was seen
//! ```

mod agent;
mod audio;
mod check;
mod client;
mod dialog;
mod ladder;
mod message;
mod offer;
mod ready;
mod record;
mod report;
mod stage;
#[cfg(test)]
mod stand_in;
mod subscription;
mod talk;
mod trunk;

pub use stage::perform;

use indicatif::{ProgressBar, ProgressStyle};
use ladder::{Ladder, Lane};
use ring::rand::SystemRandom;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use subscription::Subscription;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant};

/// The number that is called; the built-in route knows every number.
const NUMBER: &str = "+4930123456";
/// The name that the client subscribes to and answers as: below `demo`, to which the built-in route leads.
const NAME: &str = "demo/web";
/// The client's subject in its JWT.
const SUBJECT: &str = "demo-client";
/// How long the client's JWT is good beyond the expected length of a run.
const JWT_SPARE: Duration = Duration::from_secs(120);
/// Most calls of one run: the callers' numbers and the patience of who watches.
const CALLS_MAX: u32 = 10_000;
/// Most calls at once: each holds six sockets here and four in the daemon, and 1024 files is the usual soft limit of the process
/// that both share.
const CONCURRENCY_MAX: u32 = 80;
/// How long one call takes when nothing goes wrong, rounded up: for the life of the JWT.
const CALL_SECONDS: u32 = 4;

/// A running daemon, as its surroundings know it.
pub struct Target {
    /// The UDP listener for SIP.
    pub sip: SocketAddr,
    /// The HTTP listener for subscriptions.
    pub http: SocketAddr,
    /// The listener for health and metrics.
    pub admin: SocketAddr,
    /// The file of call detail records, one JSON object a line.
    pub records: PathBuf,
    /// Signs a JWT that the daemon believes.
    pub mint: Box<dyn Fn(&MintRequest<'_>) -> String + Send + Sync>,
}

/// What the client's JWT is to say.
#[derive(Clone, Copy, Debug)]
pub struct MintRequest<'a> {
    /// `sub`.
    pub subject: &'a str,
    /// The name whose calls its bearer may hear of and answer.
    pub name: &'a str,
    /// How many bridges its bearer may have at a time.
    pub concurrent: u32,
    /// How long it is good from now.
    pub life: Duration,
}

/// How much is to be demonstrated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// How many calls; one is shown as a ladder, more as a progress bar.
    pub calls: u32,
    /// Most calls at once.
    pub concurrency: u32,
}

impl Default for Options {
    fn default() -> Options {
        Options { calls: 1, concurrency: 50 }
    }
}

/// What came of it; all of it is already printed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// Calls that were made.
    pub calls: u32,
    /// Calls of which every line held.
    pub good: u32,
    /// What kept the demonstration from starting or the others from being good, each kind once.
    pub failures: Vec<String>,
}

impl Outcome {
    /// Whether every line of every call held, and there was at least one.
    pub fn holds(&self) -> bool {
        self.calls > 0 && self.good == self.calls && self.failures.is_empty()
    }
}

/// Makes the calls against `target` and prints what happens, then what was seen.
pub async fn run(target: &Target, options: Options) -> Outcome {
    let calls = options.calls.clamp(1, CALLS_MAX);
    let concurrency = options.concurrency.clamp(1, CONCURRENCY_MAX).min(calls);
    let ladder = if calls == 1 { Ladder::drawn() } else { Ladder::silent() };
    let begun = Instant::now();
    let phone = match begin(target, calls, concurrency, ladder).await {
        Ok(phone) => phone,
        Err(failure) => return report::not_begun(&failure),
    };
    let stories = act(target.sip, phone, calls, concurrency, ladder).await;
    let took = begun.elapsed();
    let records = record::wait(&target.records, &stories).await;
    report::print(&stories, &records, concurrency, took)
}

/// Is the daemon ready, and does the client get its subscription?
async fn begin(target: &Target, calls: u32, concurrency: u32, ladder: Ladder) -> Result<Phone, Failure> {
    ready::ready(target.admin).await?;
    let rounds = calls.div_ceil(concurrency);
    let life = JWT_SPARE + Duration::from_secs(u64::from(rounds * CALL_SECONDS));
    // Twice as many as call at once: a call ends for us a moment before it ends for the server.
    let request = MintRequest { subject: SUBJECT, name: NAME, concurrent: concurrency * 2, life };
    let jwt: Arc<str> = (target.mint)(&request).into();
    ladder.head();
    let subscription = Subscription::open(target.http, NAME, &jwt, ladder).await?;
    Ok(Phone { subscription: Arc::new(subscription), jwt })
}

/// What the client has for all its calls.
#[derive(Clone)]
struct Phone {
    subscription: Arc<Subscription>,
    jwt: Arc<str>,
}

/// All calls, so many at once.
async fn act(sip: SocketAddr, phone: Phone, calls: u32, concurrency: u32, ladder: Ladder) -> Vec<Story> {
    let bar = if calls == 1 { ProgressBar::hidden() } else { progress_bar(calls) };
    let mut running = JoinSet::new();
    let mut stories = Vec::new();
    let mut finished = |story: Story| {
        bar.inc(1);
        for failure in story.failures() {
            bar.println(format!("✗ {}: {failure}", story.plan.from));
        }
        stories.push(story);
    };
    for index in 0..calls {
        if running.len() >= concurrency as usize {
            let story = running.join_next().await.expect("as many as may be are running");
            finished(story.expect("a story does not panic"));
        }
        running.spawn(play(Plan::new(index, sip), phone.clone(), ladder));
    }
    while let Some(story) = running.join_next().await {
        finished(story.expect("a story does not panic"));
    }
    bar.finish_and_clear();
    stories
}

fn progress_bar(calls: u32) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} calls, {elapsed}")
        .expect("the template is a constant that names known keys");
    ProgressBar::new(u64::from(calls)).with_style(style)
}

/// What one call is to be.
#[derive(Clone, Debug)]
struct Plan {
    /// The caller's number, which no other call of this run has.
    from: String,
    /// Where the trunk sends its INVITE.
    sip: SocketAddr,
    /// Who hangs up: by turns, so that both ways of ending are seen.
    hangs_up: Lane,
}

impl Plan {
    fn new(index: u32, sip: SocketAddr) -> Plan {
        // 030 23125 is set aside for film and theatre: nobody's number.
        let from = format!("+493023125{index:03}");
        Plan { from, sip, hangs_up: if index.is_multiple_of(2) { Lane::Trunk } else { Lane::Client } }
    }
}

/// One call as both ends saw it.
#[derive(Debug)]
struct Story {
    plan: Plan,
    caller: Result<trunk::CallerLeg, Failure>,
    client: Result<client::ClientLeg, Failure>,
}

impl Story {
    /// Why it broke off, for each end that did.
    fn failures(&self) -> impl Iterator<Item = &Failure> {
        self.caller.as_ref().err().into_iter().chain(self.client.as_ref().err())
    }
}

async fn play(plan: Plan, phone: Phone, ladder: Ladder) -> Story {
    let incoming = phone.subscription.expect(&plan.from).await;
    let (caller, client) = tokio::join!(trunk::call(&plan, ladder), client::answer(&plan, &phone, incoming, ladder));
    Story { plan, caller, client }
}

/// Why one end's story broke off: whose, and what was missing. The text holds nothing of the single call, so that equal failures count as one kind.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Failure {
    who: &'static str,
    what: String,
}

impl Failure {
    fn new(lane: Lane, what: impl Into<String>) -> Failure {
        Failure { who: lane.as_str(), what: what.into() }
    }

    fn io(lane: Lane, error: &io::Error) -> Failure {
        Failure::new(lane, format!("socket: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.who, self.what)
    }
}

/// A bounded wait and what it waits for: every wait has both.
struct Wait {
    what: &'static str,
    limit: Duration,
    until: Instant,
}

impl Wait {
    /// From now on.
    fn for_(what: &'static str, limit: Duration) -> Wait {
        Wait { what, limit, until: Instant::now() + limit }
    }

    fn what(&self) -> &'static str {
        self.what
    }

    fn until(&self) -> Instant {
        self.until
    }

    /// What is said when it was in vain.
    fn failure(&self, lane: Lane) -> Failure {
        Failure::new(lane, format!("no {} within {} s", self.what, self.limit.as_secs_f32()))
    }
}

/// Random bytes for what must be nobody else's: tags, branches, SSRCs.
fn chance<const N: usize>() -> [u8; N]
where
    [u8; N]: ring::rand::RandomlyConstructable,
{
    ring::rand::generate(&SystemRandom::new()).expect("the kernel gives random bytes").expose()
}
