//! The command line: what is asked for, done by the library, and how the process ends.
//! Not here: anything that a test or another program could want. Results go to standard output; what is wrong goes to standard
//! error, one line each.
//!
//! Exit codes: 0 clean, 1 run time, 69 an address cannot be bound, 78 configuration (sysexits.h); 2 a command line that cannot be
//! understood.

use clap::{Args, Parser, Subcommand};
use parkway::bench;
use parkway::config::{Asked, Asking, Config, Keys, Sources};
use parkway::daemon::{self, Code, Failure};
use parkway::demo;
use parkway::name::Name;
use parkway::net::Clock;
use parkway::policy::{self, Grant, Order};
use parkway::time::{Duration, Now, Wall};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Parks calls, tells clients, bridges their callbacks, relays the media.
#[derive(Parser)]
#[command(name = "parkway", version)]
struct Arguments {
    #[command(flatten)]
    sources: SourceArguments,
    /// Check the configuration, tell what is wrong or unwise, and end: 0, or 78 if something is wrong.
    #[arg(long, conflicts_with = "print_config")]
    check_config: bool,
    /// Print the effective configuration, secrets masked, and end.
    #[arg(long)]
    print_config: bool,
    /// Print what would become of a call to this URI, for each trunk that it could come from, and end.
    #[arg(long, value_name = "URI", conflicts_with_all = ["check_config", "print_config"])]
    route_test: Option<String>,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Where the configuration comes from.
#[derive(Args)]
struct SourceArguments {
    /// Configuration file (TOML); without it the built-in defaults hold.
    #[arg(short, long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Say one key otherwise than the file: park.seconds_max=30. Lists with commas.
    #[arg(long, value_name = "KEY=VALUE", global = true)]
    set: Vec<String>,
}

#[derive(Subcommand)]
enum Command {
    /// Credentials of clients.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Who may do what, and why.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Make real calls through a Parkway of its own, on loopback, and tell what was seen.
    Demo(Demo),
    /// Measure what this machine does, beside what else does it.
    #[command(subcommand)]
    Bench(Bench),
}

#[derive(Subcommand)]
enum Bench {
    /// What a packet of a call costs: CPU time, delay, memory, and the highest rate without loss. Where they are installed, rtpengine and the
    /// kernel's NAT (nftables) forward the same packets in the same run; NAT and media.offload take root.
    Media(bench::Options),
}

#[derive(Subcommand)]
enum TokenCommand {
    /// Print a JWT for a client, signed with the configured secret or the node's own.
    Mint(Mint),
}

#[derive(Args)]
struct Mint {
    /// A name whose calls the client may hear of and answer: short for --receive and --bridge.
    #[arg(long, value_name = "NAME", value_parser = name, required_unless_present_any = ["receive", "bridge"])]
    name: Vec<Name>,
    /// A name whose calls it may hear of.
    #[arg(long, value_name = "NAME", value_parser = name)]
    receive: Vec<Name>,
    /// A name whose calls it may answer.
    #[arg(long, value_name = "NAME", value_parser = name)]
    bridge: Vec<Name>,
    /// A name to which it may hand its calls.
    #[arg(long, value_name = "NAME", value_parser = name)]
    transfer: Vec<Name>,
    /// A name or number that it may write to; `+49*` is all that begin so.
    #[arg(long, value_name = "NAME", value_parser = policy::Addressee::parse)]
    message: Vec<policy::Addressee>,
    /// A name under which it may know who is there.
    #[arg(long, value_name = "NAME", value_parser = name)]
    presence: Vec<Name>,
    /// Let its events carry a URI that any phone can dial.
    #[arg(long)]
    dial: bool,
    /// Who it is; its calls are counted under this.
    #[arg(long, default_value = "parkway-cli")]
    subject: String,
    /// How long it is good: 90s, 30m, 1h, 7d.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "1h")]
    expires: Duration,
    /// How many calls it may answer at one time.
    #[arg(long, default_value_t = 1)]
    concurrent: u32,
}

#[derive(Subcommand)]
enum PolicyCommand {
    /// Print whether somebody may do something, and which engine and rule say so. Ends with 0 whatever is decided.
    Explain(Explain),
    /// Try a table of cases ([[case]] in TOML) on the configured policy: 0 if all hold, else 1.
    Test {
        /// The table.
        file: PathBuf,
    },
}

#[derive(Args)]
struct Explain {
    /// The JWT of who wants it; without it and without --user: somebody who proves nothing.
    #[arg(long, value_name = "JWT", conflicts_with = "user")]
    token: Option<String>,
    /// The [[user]] who wants it, and has proved his password.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// What is wanted: subscribe, register, receive, dial, bridge, transfer, message or presence.
    #[arg(long, value_parser = action)]
    action: policy::Action,
    /// With which name.
    #[arg(long, value_parser = name)]
    name: Name,
    /// With which kinds of media.
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = media, default_value = "audio")]
    media: Vec<policy::MediaKinds>,
    /// From which address.
    #[arg(long, value_name = "IP")]
    source: Option<IpAddr>,
    /// How many calls he has.
    #[arg(long, default_value_t = 0)]
    bridges: u32,
    /// How many calls he has answered, in all, in this hour and on this day.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    calls: u32,
    /// The number that was called, if it is about a call.
    #[arg(long, value_name = "NUMBER")]
    called: Option<String>,
    /// When, as 2026-11-23T12:00:00Z; now, unless said.
    #[arg(long, value_name = "TIME", value_parser = policy::parse_instant)]
    at: Option<Wall>,
}

#[derive(Args)]
struct Demo {
    /// How many calls; one is drawn as a ladder.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    calls: u32,
    /// How many of them at one time.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    concurrency: u32,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match act(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("parkway: {failure}");
            ExitCode::from(failure.code.number())
        }
    }
}

fn act(arguments: Arguments) -> Result<(), Failure> {
    let sources = Sources::of_process(arguments.sources.config, arguments.sources.set);
    match arguments.command {
        Some(Command::Token(TokenCommand::Mint(mint))) => print_token(&load(&sources)?, mint),
        Some(Command::Policy(PolicyCommand::Explain(explain))) => explain_policy(&load(&sources)?, &explain),
        Some(Command::Policy(PolicyCommand::Test { file })) => test_policy(&load(&sources)?, &file),
        Some(Command::Demo(Demo { calls, concurrency })) => demo::perform(demo::Options { calls, concurrency }),
        Some(Command::Bench(Bench::Media(options))) => bench::perform(options),
        None if arguments.check_config => check_config(&sources),
        None if arguments.route_test.is_some() => {
            test_route(&load(&sources)?, &arguments.route_test.unwrap_or_default())
        }
        None if arguments.print_config => {
            print!("{}", load(&sources)?.to_toml());
            Ok(())
        }
        None => daemon::run(load(&sources)?),
    }
}

/// All mistakes but the last are told here, the last one as the failure: each is one line.
fn load(sources: &Sources) -> Result<Config, Failure> {
    Config::load(sources).map_err(|mistakes| {
        let mut lines: Vec<String> = mistakes.0.iter().map(ToString::to_string).collect();
        let last = lines.pop().unwrap_or_default();
        lines.iter().for_each(|line| eprintln!("parkway: {line}"));
        Failure { code: Code::Configuration, what: last }
    })
}

fn check_config(sources: &Sources) -> Result<(), Failure> {
    let config = load(sources)?;
    for warning in config.warnings() {
        eprintln!("parkway: warning: {warning}");
    }
    // Asks name servers, which the daemon does when it runs.
    for (key, target) in config.targets() {
        if let Err(why) = daemon::locate(&config, target) {
            eprintln!("parkway: warning: {}", config.mistake(&key, format!("{target} cannot be reached: {why}")));
        }
    }
    println!("the configuration is good");
    Ok(())
}

fn test_route(config: &Config, uri: &str) -> Result<(), Failure> {
    let tested = config.route_test(uri).map_err(|what| Failure { code: Code::Configuration, what })?;
    tested.iter().for_each(|line| println!("{line}"));
    Ok(())
}

fn print_token(config: &Config, mint: Mint) -> Result<(), Failure> {
    let wrong = |what: String| Failure { code: Code::Configuration, what };
    let key = Keys::signing(config).map_err(|mistake| wrong(mistake.to_string()))?;
    let [receive, bridge] = [mint.receive, mint.bridge].map(|names| [mint.name.clone(), names].concat());
    let Mint { transfer, message, presence, dial, concurrent, .. } = mint;
    let grant = Grant { receive, bridge, transfer, message, presence, dial, concurrent, ..Grant::default() };
    let issued = Clock::start().now().wall;
    let order = Order {
        subject: &mint.subject,
        audience: &config.policy.audience,
        issued,
        expires: issued + mint.expires,
        not_before: None,
        grant,
    };
    let token = policy::mint(&key, &order).map_err(|error| wrong(format!("no token: {error}")))?;
    println!("{token}");
    Ok(())
}

fn explain_policy(config: &Config, explain: &Explain) -> Result<(), Failure> {
    let who = match (&explain.token, &explain.user) {
        (Some(token), _) => Asking::Bearer(token),
        (None, Some(user)) => Asking::User(user),
        (None, None) => Asking::Nobody,
    };
    let media = explain.media.iter().copied().collect();
    let Explain { action, ref name, source, bridges, calls, ref called, at, .. } = *explain;
    let spent = policy::Spent { in_all: calls, this_hour: calls, today: calls };
    let now = Clock::start().now();
    let now = Now { wall: at.unwrap_or(now.wall), ..now };
    let explained = config
        .explain_policy(now, &Asked { who, action, name, media, source, bridges, spent, called: called.as_deref() })
        .map_err(|mistake| Failure { code: Code::Configuration, what: mistake.to_string() })?;
    println!("{}", explained.outcome);
    explained.lines.iter().for_each(|line| println!("  {line}"));
    Ok(())
}

fn test_policy(config: &Config, file: &Path) -> Result<(), Failure> {
    let tried = config.try_cases(file).map_err(|what| Failure { code: Code::Configuration, what })?;
    tried.failures.iter().for_each(|line| println!("{line}"));
    println!("{tried}");
    if tried.failures.is_empty() {
        return Ok(());
    }
    Err(Failure { code: Code::RunTime, what: "the policy does not decide as its cases say".into() })
}

fn action(text: &str) -> Result<policy::Action, String> {
    policy::Action::from_word(text).ok_or_else(|| policy::no_action(text))
}

fn media(text: &str) -> Result<policy::MediaKinds, String> {
    policy::MediaKinds::from_word(text)
        .ok_or_else(|| format!("`{text}` is no kind of media; write audio, video or message"))
}

fn name(text: &str) -> Result<Name, String> {
    Name::parse(text).map_err(|error| error.to_string())
}

/// `90s`, `30m`, `1h`, `7d`.
fn duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("`{text}` is no time; write for example 90s, 30m, 1h or 7d");
    let unit = text.chars().last().ok_or_else(bad)?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(bad()),
    };
    let count: u64 = text.strip_suffix(unit).and_then(|count| count.parse().ok()).ok_or_else(bad)?;
    count
        .checked_mul(seconds)
        .filter(|total| (1..=10 * 365 * 86_400).contains(total))
        .map(Duration::from_secs)
        .ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_time_has_a_unit() {
        for (text, expected) in [("90s", 90), ("30m", 1800), ("1h", 3600), ("7d", 604_800)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(expected)), "{text}");
        }
        for bad in ["", "h", "1", "-1h", "1w", "0s", "1é", "99999999999999999999d", "9999999999d"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_token_is_for_at_least_one_name() {
        for (arguments, good) in [
            ("parkway token mint", false),
            ("parkway token mint --name demo", true),
            ("parkway token mint --receive demo --dial", true),
            ("parkway token mint --name demo --config x --set a.b=c", true),
            ("parkway token mint --name a//b", false),
            ("parkway --check-config --print-config", false),
            ("parkway --check-config --route-test sip:1@h", false),
            ("parkway --config x --route-test sip:1@h", true),
            ("parkway --route-test", false),
            ("parkway --config x --check-config", true),
            ("parkway demo --calls 0", false),
            ("parkway bench media --sessions 100,2000 --repeats 1 --only cost", true),
            ("parkway bench media --sessions 0", false),
            ("parkway bench media --only speed", false),
            ("parkway bench", false),
        ] {
            assert_eq!(Arguments::try_parse_from(arguments.split(' ')).is_ok(), good, "{arguments}");
        }
    }
}
