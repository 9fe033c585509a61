//! Clients that subscribe and then read nothing, beside one that does: it is told of every call, each in its order, while they are cut off and
//! give back what was kept for them. `PARKWAY_SLOW_READERS=10000 cargo test --test slow_readers` is the long form; it takes 20,100 open files
//! for both sides together, and says how long a call took to reach the fast reader with the slow ones and without.
//! Not here: what one queue holds (`notify`).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod common;

use common::story::park;
use common::{Daemon, Rights, Subscriber};
use socket2::{Domain, Socket, Type};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Connections from one address: below what the daemon gives one.
const PER_ADDRESS: usize = 900;
/// Calls before it is looked who is still there.
const CALLS: u32 = 25;
/// After so many calls nobody's buffers can hold all that he was told.
const CALLS_MAX: u32 = 1_000;
/// A reader that is cut off is told so, and has a moment to hear it.
const GONE_WITHIN: Duration = Duration::from_secs(30);

/// A subscription that is read up to its answer's head, by a client with as little room as the kernel gives one.
fn open(daemon: &Daemon, number: usize, jwt: &str) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let address = u32::from(Ipv4Addr::new(127, 0, 1, 1)) + u32::try_from(number / PER_ADDRESS).unwrap();
    socket.set_recv_buffer_size(2_048).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::from(address), 0)).into()).unwrap();
    socket.connect(&daemon.http.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    write!(
        stream,
        "GET /v1/subscribe?name=demo HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {jwt}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
        daemon.http
    )
    .unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 101");
    stream
}

/// Calls that come and are given up: the reader is told of each and of its end, in that order. How long a call took to reach it.
fn call(daemon: &Daemon, reader: &mut Subscriber, last: &mut (u64, u64)) -> Vec<Duration> {
    let mut took = Vec::new();
    for _ in 0..CALLS {
        let begun = Instant::now();
        let mut caller = park(daemon);
        let incoming = reader.expect("incoming");
        took.push(begun.elapsed());
        caller.phone.cancel();
        let gone = reader.expect("gone");
        assert_eq!((&gone["call"], &gone["reason"]), (&incoming["call"], &"caller_cancelled".into()));
        for event in [&incoming, &gone] {
            let (epoch, sequence) = event["id"].as_str().unwrap().split_once('-').unwrap();
            let id = (epoch.parse().unwrap(), sequence.parse().unwrap());
            // One notice after the other: none is missing.
            assert!(*last == (0, 0) || id == (last.0, last.1 + 1), "{id:?} after {last:?}");
            *last = id;
        }
    }
    took.sort_unstable();
    took
}

#[test]
fn who_reads_nothing_is_cut_off_and_who_reads_misses_nothing() {
    let slow: usize = std::env::var("PARKWAY_SLOW_READERS").map_or(200, |text| text.parse().unwrap());
    let daemon = Daemon::start();
    let mut fast = Subscriber::ready(&daemon, "demo");
    let mut last = (0, 0);
    let alone = call(&daemon, &mut fast, &mut last);
    let jwt = daemon.mint(&Rights::listen_only("demo").of("somebody who sleeps"));
    let sleepers: Vec<TcpStream> = (0..slow).map(|number| open(&daemon, number, &jwt)).collect();
    let all = f64::from(u32::try_from(slow + 1).unwrap());
    let open = "parkway_subscriptions{transport=\"websocket\"}";
    daemon.wait_for_metric(open, Duration::from_secs(20), |now| now == all);
    let (mut beside, mut calls) = (Vec::new(), CALLS);
    let cut = || daemon.metrics().value("parkway_subscriptions_cut_total{reason=\"slow\"}");
    while cut() < all - 1.0 {
        assert!(calls < CALLS_MAX, "{} of {slow} are cut off after {calls} calls", cut());
        beside.extend(call(&daemon, &mut fast, &mut last));
        calls += CALLS;
    }
    daemon.wait_for_metric(open, GONE_WITHIN, |now| now == 1.0);
    let again = call(&daemon, &mut fast, &mut last);
    beside.sort_unstable();
    let middle = |took: &[Duration]| took[took.len() / 2];
    println!(
        "{slow} that read nothing, cut off within {calls} calls; from INVITE to event, median: {:?} without them, {:?} beside them, {:?} after them",
        middle(&alone),
        middle(&beside),
        middle(&again)
    );
    drop(sleepers);
    daemon.finish(usize::try_from(calls + CALLS).unwrap());
}
