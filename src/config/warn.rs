//! What is allowed but will probably hurt: the checks of `--check-config` that look at this machine, and at entries that can
//! never be used. Each is one line; none stops the daemon.

use super::{Config, Mistake};
use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

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

fn trunks(config: &Config) -> Vec<Warning> {
    let mut found = Vec::new();
    let mut names = BTreeSet::new();
    for (at, trunk) in config.trunks.iter().enumerate() {
        if !names.insert(&trunk.name) {
            let what = format!("`{}` is the name of another trunk too; records will not tell them apart", trunk.name);
            found.push((format!("trunk[{at}].name"), what));
        }
        let earlier = || config.trunks.iter().take(at).flat_map(|trunk| &trunk.allow);
        if trunk.tls_names.is_empty() && trunk.allow.iter().all(|net| earlier().any(|listed| listed.contains(net))) {
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
    fn a_route_behind_one_that_takes_all_its_calls_is_warned_of() {
        let route = |number: &str| format!("[[route]]\nnumber = \"{number}\"\nname = \"demo\"\n");
        assert_eq!(routes(&file(&format!("{}{}", route("*"), route("1")))).len(), 1);
        assert_eq!(routes(&file(&format!("{}{}", route("1"), route("*")))).len(), 0);
    }
}
