//! What the configuration means for the core: texts become addresses, seconds become durations, and what the operator left open
//! is filled in from the listeners that were bound.
//! Not here: reading or checking it (`config`).

use super::Addresses;
use crate::call::{self, External};
use crate::config::{Advertised, Config};
use crate::net;
use crate::sip::endpoint::EndpointSettings;
use crate::switch::{Caps, Settings};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// The switch's settings.
pub(super) fn of_switch(config: &Config, listeners: &[SocketAddr]) -> Settings {
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Settings {
        node: config.node.id,
        trunks: config.trunks.clone(),
        routes: config.routes.clone(),
        call: Arc::new(of_calls(config, listeners)),
        push: config.push.services(),
        pass_headers: config.sip.pass_headers.clone(),
        caps: Caps {
            total: count(config.park.calls_max),
            per_name: count(config.park.per_name_max),
            per_source: count(config.park.per_source_max),
            retry_after: config.park.retry_after,
        },
    }
}

fn of_calls(config: &Config, listeners: &[SocketAddr]) -> call::Settings {
    let media_bind = media_address(config, listeners);
    let advertised = config.sip.advertised.as_ref().and_then(|advertised| advertised.ip);
    let advertised = advertised.filter(|ip| ip.is_ipv4() == media_bind.is_ipv4());
    let external = config.sip.external_address.as_ref().and_then(|external| external.ip);
    let external = external.filter(|ip| ip.is_ipv4() == media_bind.is_ipv4());
    let localhost = IpAddr::from(Ipv4Addr::LOCALHOST);
    let ours = listeners.iter().any(|listener| listener.ip().is_loopback());
    call::Settings {
        repeat: config.park.repeat_every,
        media_bind,
        media_advertised: advertised.unwrap_or(media_bind),
        media_external: external.map(|address| External { local_nets: config.sip.local_nets.clone(), address }),
        loopback: ours || config.trunks.iter().any(|trunk| trunk.sends_from(localhost)),
        srtp: config.media.srtp,
        t38: config.media.t38,
        hold_sound: config.media.hold_sound,
        recording: config.recording.as_ref().map(|recording| recording.terms),
        digits: config.media.digits,
        silence: config.media.silence,
        hold_silence: config.media.hold_silence,
        rings_reliably: config.park.rings_reliably,
        session_timer: config.sip.session_timer,
    }
}

/// The address whose ports the relay uses: a real one, because SDP has to name it.
pub(super) fn media_address(config: &Config, listeners: &[SocketAddr]) -> IpAddr {
    let first = listeners.first().map(SocketAddr::ip);
    net::outward_address(config.media.address.or(first).unwrap_or(IpAddr::from(Ipv4Addr::UNSPECIFIED)))
}

/// How the SIP endpoint presents itself.
pub(super) fn of_endpoint(config: &Config, addresses: &Addresses) -> EndpointSettings {
    let Addresses { sip, tcp, tls, http, .. } = addresses;
    let (inside, outside) = (&config.sip.advertised, &config.sip.external_address);
    let others: Vec<SocketAddr> =
        tcp.iter().filter(|address| !sip.contains(address)).chain(tls).chain([http]).copied().collect();
    let all = |advertised: &Option<Advertised>| {
        let sip = sip.iter().map(|listener| (*listener, at(advertised, *listener)));
        sip.chain(others.iter().map(|listener| (*listener, at_own_port(advertised, *listener)))).collect()
    };
    let both = tcp.iter().copied().filter(|address| sip.contains(address)).collect();
    let trusted = config.trunks.iter().flat_map(|trunk| trunk.allow.iter().copied()).collect();
    EndpointSettings {
        product: config.sip.user_agent.clone(),
        advertised: all(inside),
        external: if outside.is_some() { all(outside) } else { Vec::new() },
        local_nets: config.sip.local_nets.clone(),
        trusted,
        tcp: both,
    }
}

/// `host:port` under which clients reach a listener for UDP. Who they are is not known when this is told: it is the address for
/// outside, if there is one.
pub(super) fn reachable(config: &Config, listener: SocketAddr) -> String {
    let outside = config.sip.external_address.as_ref().or(config.sip.advertised.as_ref());
    at(&outside.cloned(), listener)
}

/// `host:port` of a listener for UDP.
fn at(advertised: &Option<Advertised>, listener: SocketAddr) -> String {
    match advertised {
        Some(Advertised { host, port: Some(port), .. }) => format!("{host}:{port}"),
        Some(_) | None => at_own_port(advertised, listener),
    }
}

/// The same of another listener, of whose port the operator says nothing.
fn at_own_port(advertised: &Option<Advertised>, listener: SocketAddr) -> String {
    match advertised {
        Some(Advertised { host, .. }) => format!("{host}:{}", listener.port()),
        None => SocketAddr::new(net::outward_address(listener.ip()), listener.port()).to_string(),
    }
}
