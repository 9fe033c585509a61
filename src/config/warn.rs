//! What is allowed but will probably hurt: the checks of `--check-config` that look at this machine, and at entries that can
//! never be used. Each is one line; none stops the daemon.

use super::{Config, Mistake};
use crate::call::Trunk;
use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

/// Descriptors besides those of RTP ports: listeners, subscribers, files.
const OTHER_DESCRIPTORS: u64 = 512;

/// What the warnings need to know of this machine.
struct Machine {
    /// `net.ipv4.ip_local_port_range`, if it can be read.
    ephemeral_ports: Option<(u16, u16)>,
    /// Open files this process may have.
    descriptors_max: Option<u64>,
}

impl Machine {
    fn this() -> Machine {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Machine {
            ephemeral_ports: ephemeral_ports(&read("/proc/sys/net/ipv4/ip_local_port_range")),
            descriptors_max: descriptors_max(&read("/proc/self/limits")),
        }
    }
}

/// How many files this process may have open; `None` where the kernel does not say.
pub fn open_files_max() -> Option<u64> {
    Machine::this().descriptors_max
}

/// `32768\t60999`
fn ephemeral_ports(text: &str) -> Option<(u16, u16)> {
    let mut numbers = text.split_whitespace().map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// `Max open files   1024   524288   files`: the first number is the one in force.
fn descriptors_max(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

pub(super) fn warnings(config: &Config) -> Vec<Mistake> {
    let machine = Machine::this();
    let mut found = Vec::new();
    found.extend(ports(config, &machine));
    found.extend(descriptors(config, &machine));
    found.extend(listener_inside_ports(config));
    found.extend(advertised(config, is_local));
    found.extend(trunks(config));
    found.extend(routes(config));
    found.extend(devices(config));
    found.extend(rewrites(config));
    found.extend(networks(config));
    found.extend(outbound(config));
    found.extend(readable_keys(config));
    found.into_iter().map(|(key, what)| config.places.mistake(&key, what)).collect()
}

type Warning = (String, String);

fn ports(config: &Config, machine: &Machine) -> Option<Warning> {
    let (low, high) = machine.ephemeral_ports?;
    let media = &config.media;
    let what = format!(
        "{}-{} overlaps the ports {low}-{high} that the kernel gives to outgoing connections; move it, or run \
         `sysctl net.ipv4.ip_local_reserved_ports={}-{}`",
        media.port_min, media.port_max, media.port_min, media.port_max
    );
    (media.port_min <= high && media.port_max >= low).then(|| ("media.port_min".into(), what))
}

fn descriptors(config: &Config, machine: &Machine) -> Option<Warning> {
    let ports = u64::from(config.media.port_max - config.media.port_min) + 1;
    let (needed, allowed) = (ports + OTHER_DESCRIPTORS, machine.descriptors_max?);
    let what =
        format!("{ports} ports need about {needed} open files, but the limit is {allowed}; raise it with LimitNOFILE=");
    (allowed < needed).then(|| ("media.port_max".into(), what))
}

fn listener_inside_ports(config: &Config) -> Option<Warning> {
    let media = &config.media;
    let inside = |port: u16| (media.port_min..=media.port_max).contains(&port);
    let sip = &config.sip;
    let mut listeners = sip.listen.iter().chain(&sip.tcp).chain(&sip.tls);
    let listen = listeners.find(|listen| inside(listen.port()))?;
    Some(("sip.listen".into(), format!("{listen} is inside the RTP range; move one of the two")))
}

fn advertised(config: &Config, is_local: impl Fn(IpAddr) -> bool) -> Option<Warning> {
    let ip = config.sip.advertised.as_ref()?.ip?;
    let what =
        format!("{ip} is not an address of this machine; fine behind a NAT that forwards SIP and the RTP range to it");
    (!is_local(ip)).then(|| ("sip.advertised".into(), what))
}

/// An address is ours if a socket can have it.
fn is_local(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

fn rewrites(config: &Config) -> Vec<Warning> {
    let of_trunk = |(at, trunk): (usize, &Arc<Trunk>)| {
        let rules = [("rewrite_called", &trunk.called), ("rewrite_calling", &trunk.calling)];
        let unused = rules.map(|(key, rewrite)| rewrite.unreachable().map(move |rule| (key, rule)).collect::<Vec<_>>());
        let what = "is never used: a rule before it takes all its numbers; put it before that";
        let one = move |(key, rule)| (format!("trunk[{at}].{key}[{rule}]"), what.to_owned());
        unused.concat().into_iter().map(one).collect::<Vec<_>>()
    };
    config.trunks.iter().enumerate().flat_map(of_trunk).collect()
}

fn networks(config: &Config) -> Vec<Warning> {
    let sip = &config.sip;
    let mut found = Vec::new();
    if sip.external_address.is_none() && !sip.local_nets.is_empty() {
        found.push(("sip.local_net".into(), "is of no use without sip.external_address; give that too".into()));
    }
    if sip.external_address.is_some() && sip.advertised.is_some() && sip.local_nets.is_empty() {
        let what = "is never told: without sip.local_net everybody is told sip.external_address";
        found.push(("sip.advertised".into(), what.into()));
    }
    found
}

/// Fewer seconds between two OPTIONS are a load on the trunk and no better knowledge.
const HEALTH_SECONDS_MIN: u64 = 5;

fn outbound(config: &Config) -> Vec<Warning> {
    let mut found = Vec::new();
    for outbound in &config.outbound {
        let at = config.trunks.iter().position(|trunk| trunk.name == outbound.name).unwrap_or(0);
        let mut seen = BTreeSet::new();
        for (target_at, target) in outbound.targets.iter().enumerate().filter(|(_, target)| !seen.insert(*target)) {
            let what = format!("{target} is listed already; another way of the same name is found by itself");
            found.push((format!("trunk[{at}].targets[{target_at}]"), what));
        }
        if outbound.health.is_some_and(|health| health.as_secs() < HEALTH_SECONDS_MIN) {
            let what = format!("fewer than {HEALTH_SECONDS_MIN} seconds: trunks may take it for an attack");
            found.push((format!("trunk[{at}].health_seconds"), what));
        }
        if outbound.register.as_ref().is_some_and(|register| register.credentials.is_none()) {
            let what = "no password: a registrar that asks for proof will not be answered";
            found.push((format!("trunk[{at}].register"), what.into()));
        }
    }
    found
}

fn trunks(config: &Config) -> Vec<Warning> {
    let mut found = Vec::new();
    let mut names = BTreeSet::new();
    for (at, trunk) in config.trunks.iter().enumerate() {
        if !names.insert(&trunk.name) {
            let what = format!("`{}` is the name of another trunk too; records will not tell them apart", trunk.name);
            found.push((format!("trunk[{at}].name"), what));
        }
        let earlier = || config.trunks.iter().take(at).flat_map(|trunk| &trunk.allow);
        let by_address = trunk.tls_names.is_empty() && trunk.user.is_none();
        if by_address && trunk.allow.iter().all(|net| earlier().any(|listed| listed.contains(net))) {
            let what =
                format!("`{}` can never match: earlier trunks list its addresses; put it before them", trunk.name);
            found.push((format!("trunk[{at}].allow"), what));
        }
        if let Some(net) = trunk.allow.iter().find(|net| net.prefix_len() == 0) {
            found.push((
                format!("trunk[{at}].allow"),
                format!("{net} lets anybody call; list the trunk's own addresses"),
            ));
        }
    }
    found
}

/// Devices that register once a month are forgotten at each restart.
fn devices(config: &Config) -> Option<(String, String)> {
    let forgets = !config.push.providers.is_empty() && config.node.state_dir.is_none();
    let what = "devices are forgotten at a restart; set node.state_dir to keep them";
    forgets.then(|| ("push.provider".to_owned(), what.to_owned()))
}

fn routes(config: &Config) -> Vec<Warning> {
    let mut found = Vec::new();
    for (at, route) in config.routes.iter().enumerate() {
        let earlier = config.routes.iter().take(at).find(|earlier| earlier.number.covers(&route.number));
        if let Some(earlier) = earlier {
            let what = format!("`{}` can never match: `{}` comes first; put it before", route.number, earlier.number);
            found.push((format!("route[{at}].number"), what));
        }
    }
    found
}

fn readable_keys(config: &Config) -> Vec<Warning> {
    let token = ("token.key_file".to_owned(), config.effective.token.key_file.clone());
    let policy = config.effective.policy.key.iter().enumerate();
    let policy =
        policy.filter_map(|(at, key)| Some((format!("policy.key[{at}].secret_file"), key.secret_file.clone()?)));
    let open = |(key, file): Warning| {
        let mode = fs::metadata(Path::new(&file)).ok()?.permissions().mode();
        (mode & 0o004 != 0).then(|| (key, format!("{file} can be read by everybody; run `chmod 600 {file}`")))
    };
    std::iter::once(token).chain(policy).filter_map(open).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Sources};

    fn config(set: &[&str]) -> Config {
        let set = set.iter().map(|text| (*text).to_owned()).collect();
        Config::load(&Sources { set, ..Sources::default() }).unwrap()
    }

    fn file(text: &str) -> Config {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("x.toml");
        fs::write(&path, text).unwrap();
        Config::load(&Sources { file: Some(path), ..Sources::default() }).unwrap()
    }

    #[test]
    fn ports_that_the_kernel_gives_away_are_warned_of() {
        let machine = Machine { ephemeral_ports: ephemeral_ports("32768\t60999\n"), descriptors_max: None };
        assert_eq!(ports(&config(&[]), &machine), None);
        let (key, what) = ports(&config(&["media.port_max=32769"]), &machine).unwrap();
        assert!(key == "media.port_min" && what.contains("32768-60999"), "{what}");
        assert_eq!(ports(&config(&["media.port_max=32767"]), &machine), None);
    }

    #[test]
    fn a_limit_of_open_files_below_the_ports_is_warned_of() {
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024       524288       files \n";
        assert_eq!(descriptors_max(limits), Some(1024));
        let machine = |descriptors_max| Machine { ephemeral_ports: None, descriptors_max };
        assert!(descriptors(&config(&[]), &machine(Some(1024))).is_some());
        assert_eq!(descriptors(&config(&[]), &machine(Some(2512))), None);
        assert_eq!(descriptors(&config(&[]), &machine(None)), None);
    }

    #[test]
    fn an_advertised_address_that_is_not_ours_is_warned_of() {
        let elsewhere = config(&["sip.advertised=192.0.2.1"]);
        assert!(advertised(&elsewhere, |_| false).is_some());
        assert_eq!(advertised(&elsewhere, |_| true), None);
        assert_eq!(advertised(&config(&["sip.advertised=sip.example"]), |_| false), None);
        assert!(is_local("127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn a_listener_among_the_rtp_ports_is_warned_of() {
        assert!(listener_inside_ports(&config(&["sip.listen=0.0.0.0:30000"])).is_some());
        assert_eq!(listener_inside_ports(&config(&[])), None);
    }

    #[test]
    fn trunks_that_cannot_match_or_let_everybody_in_are_warned_of() {
        let trunk = |name: &str, net: &str| format!("[[trunk]]\nname = \"{name}\"\nallow = [\"{net}\"]\n");
        for (first, second, expected) in [
            (trunk("a", "10.0.0.0/8"), trunk("b", "10.1.0.0/16"), vec!["trunk[1].allow"]),
            (trunk("a", "10.1.0.0/16"), trunk("b", "10.0.0.0/8"), vec![]),
            (trunk("a", "10.0.0.0/8"), trunk("a", "192.0.2.1"), vec!["trunk[1].name"]),
            (trunk("a", "10.0.0.0/8"), trunk("b", "0.0.0.0/0"), vec!["trunk[1].allow"]),
        ] {
            let keys: Vec<String> =
                trunks(&file(&format!("{first}{second}"))).into_iter().map(|(key, _)| key).collect();
            assert_eq!(keys, expected, "{first}{second}");
        }
    }

    #[test]
    fn what_of_a_trunk_we_go_to_is_of_no_use_is_warned_of() {
        let trunk = |keys: &str| file(&format!("[[trunk]]\nname = \"a\"\nallow = [\"192.0.2.1\"]\n{keys}\n"));
        let keys = |found: Vec<Warning>| -> Vec<String> { found.into_iter().map(|(key, _)| key).collect() };
        for (text, expected) in [
            ("targets = [\"gw\", \"sip:gw\"]", &["trunk[0].targets[1]"][..]),
            ("targets = [\"gw\"]\nhealth_seconds = 1", &["trunk[0].health_seconds"]),
            ("targets = [\"gw\"]\nhealth_seconds = 0", &[]),
            ("register = { uri = \"sip:a@r\" }", &["trunk[0].register"]),
            ("register = { uri = \"sip:a@r\", password = \"x\" }", &[]),
        ] {
            assert_eq!(keys(outbound(&trunk(text))), expected, "{text}");
        }
        let rules = "rewrite_called = [\"* -> +*\", \"0* -> 1*\"]\nrewrite_calling = [\"0* -> 1*\", \"* -> +*\"]";
        assert_eq!(keys(rewrites(&trunk(rules))), ["trunk[0].rewrite_called[1]"]);
    }

    #[test]
    fn an_address_that_nobody_is_told_is_warned_of() {
        for (set, expected) in [
            (&["sip.local_net=10.0.0.0/8"][..], Some("sip.local_net")),
            (&["sip.local_net=10.0.0.0/8", "sip.external_address=192.0.2.1"], None),
            (&["sip.external_address=192.0.2.1"], None),
            (&["sip.external_address=192.0.2.1", "sip.advertised=10.0.0.1"], Some("sip.advertised")),
        ] {
            let found = networks(&config(set)).into_iter().map(|(key, _)| key).next();
            assert_eq!(found.as_deref(), expected, "{set:?}");
        }
    }

    #[test]
    fn a_route_behind_one_that_takes_all_its_calls_is_warned_of() {
        let route = |number: &str| format!("[[route]]\nnumber = \"{number}\"\nname = \"demo\"\n");
        assert_eq!(routes(&file(&format!("{}{}", route("*"), route("1")))).len(), 1);
        assert_eq!(routes(&file(&format!("{}{}", route("1"), route("*")))).len(), 0);
    }
}
