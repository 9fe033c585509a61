//! What is sent to the relay to steal, disturb or redirect audio: sprayed ports, forged addresses, SRTP that is not authentic, SDP with
//! a victim's address (RELIABILITY A1, A2, A3, A20). Not a byte goes to the attacker, nothing of his to anybody else, and those who talk
//! lose nothing.
//!
//! `cargo test --test bleed` sprays 200,000 packets and sends 20,000 bad tags; `PARKWAY_SPRAY_PACKETS=10000000 PARKWAY_BAD_TAGS=1000000
//! cargo test --profile proof --test bleed` is the whole of it. Takes root; without it says that it is skipped.
//! Not here: attacks on signalling (`flood`, `bad_input`), and the order of a latch's states (`media::latch`).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod common;

use common::namespaces::Namespaces;
use common::sprayer::{Forger, Known, Leg, Sprayer, datagrams_received, overflows};
use common::talker::{MARK, Suite, rtp};
use common::{Choir, Daemon, Phone, Setup, Subscriber, Talker};
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const SPRAY_PACKETS: &str = "PARKWAY_SPRAY_PACKETS";
const BAD_TAGS: &str = "PARKWAY_BAD_TAGS";
const CALLS: usize = 50;
const RELAY: Ipv4Addr = Ipv4Addr::new(10, 77, 2, 2);
const CALLERS: Ipv4Addr = Ipv4Addr::new(10, 77, 2, 1);
const CLIENTS: Ipv4Addr = Ipv4Addr::new(10, 77, 2, 3);
const STRANGER: Ipv4Addr = Ipv4Addr::new(10, 77, 3, 1);
const SRTP: Option<Suite> = Some(Suite::Aes128CmHmacSha1_80);
/// What may go to an address of a trunk's caller that was never heard.
const BURST: u64 = 50;

/// One test at a time: they would take each other's processor.
static ALONE: Mutex<()> = Mutex::new(());

/// A test with namespaces of its own, told from within that of callers and clients; `None` where there are none.
fn told(test: impl FnOnce(&Namespaces) + Send) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(namespaces) = Namespaces::make() else { return };
    Namespaces::within(&namespaces.callers, || test(&namespaces));
}

fn daemon(namespaces: &Namespaces) -> (Daemon, Subscriber) {
    let set = [
        "sip.listen=10.77.2.2:5060",
        "http.listen=10.77.2.2:8080",
        "admin.listen=10.77.2.2:9091",
        "media.port_min=20000",
        "media.port_max=20999",
        "media.srtp=any",
        "media.silence_seconds=600",
        "log.level=info",
    ];
    let tables =
        "[[trunk]]\nname = \"gateway\"\nallow = [\"10.77.2.1/32\"]\n\n[[route]]\nnumber = \"*\"\nname = \"demo\"\n";
    let by = Namespaces::exec(&namespaces.daemon);
    let daemon = Daemon::start_as(&Setup { by, tables: tables.into(), ..Setup::with(&set) });
    let subscriber = Subscriber::ready(&daemon, "demo");
    (daemon, subscriber)
}

fn talkers(call: u16, suite: Option<Suite>) -> [Talker; 2] {
    let bind = |ip: Ipv4Addr, number, hz| Talker::bind(ip.into(), number, hz, suite);
    [bind(CALLERS, 2 * call, 400 + 4 * call), bind(CLIENTS, 2 * call + 1, 1_200 + 4 * call)]
}

fn hang_up([mut caller, mut client]: [Phone; 2]) {
    caller.hang_up();
    client.be_hung_up_on();
}

fn times(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).map_or(usual, |text| text.parse().unwrap())
}

/// One counter of all legs.
fn sum(records: &[Value], counter: &str) -> u64 {
    let legs = records.iter().flat_map(|record| [&record["media"]["caller"], &record["media"]["client"]]);
    legs.map(|leg| leg[counter].as_u64().unwrap()).sum()
}

fn is_heard_where_named(record: &Value) -> bool {
    ["caller", "client"].map(|side| &record["media"][side]).iter().all(|leg| leg["heard_from"] == leg["named"])
}

/// That nobody has heard anything but whom he talks to. How many packets of those are missing, which may be no more than the kernel had to
/// drop because the machine was too busy; with what it dropped, of the attacker's too.
fn missing(choir: &Choir, namespaces: &Namespaces) -> (u64, u64) {
    let missing = choir.pairs().map(|(hearer, speaker)| hearer.missing(speaker.sequence)).sum();
    let overflown = overflows(&namespaces.daemon) + overflows(&namespaces.callers);
    assert!(missing <= overflown, "{missing} packets are missing, the kernel had no room for {overflown}");
    (missing, overflown)
}

/// The legs as an attacker would like to know them.
fn legs(choir: &Choir) -> Vec<Leg> {
    let leg = |talker: &Talker| {
        let SocketAddr::V4(peer) = talker.address else { panic!("{} is not IPv4", talker.address) };
        Leg { port: talker.remote.unwrap().port(), peer, ssrc: talker.ssrc, srtp: talker.suite.is_some() }
    };
    choir.talkers.iter().map(leg).collect()
}

/// Half of the calls are plain, half SRTP. One third of the spray comes before anybody talks, one while one after the other begins, one
/// after.
#[test]
fn a_sprayer_hears_nothing_and_is_not_heard() {
    told(|namespaces| {
        let packets = times(SPRAY_PACKETS, 200_000);
        let (daemon, mut subscriber) = daemon(namespaces);
        let before = datagrams_received(&namespaces.stranger);
        let (sprayer, known) = Sprayer::start(namespaces, RELAY, 20_000..=20_999);
        let mut choir = Choir::default();
        let phones: Vec<_> = (0..CALLS)
            .map(|call| {
                let suite = SRTP.filter(|_| call % 2 == 1);
                let phones = choir.bridge(&daemon, &mut subscriber, talkers(u16::try_from(call).unwrap(), suite));
                *known.legs.lock().unwrap() = legs(&choir);
                phones
            })
            .collect();
        common::until("a third of the spray", Duration::from_secs(600), || (sent(&known) >= packets / 3).then_some(()));
        let begins = |at: usize| u32::try_from(at / 2).unwrap();
        // One numbering for all, for the attacker to know.
        for (at, talker) in choir.talkers.iter_mut().enumerate() {
            talker.sequence = u16::try_from(begins(at)).unwrap();
        }
        let all_talk = begins(choir.talkers.len()) + 10;
        let goes_on = |turn| {
            known.sequence.store(u16::try_from(turn % 65_536).unwrap(), Ordering::Relaxed);
            known.latched.store(turn > all_talk, Ordering::Relaxed);
            turn < 2 * all_talk || sent(&known) < packets
        };
        choir.talk(goes_on, |at, turn| turn >= begins(at));
        drop(sprayer);
        let heard = choir.talkers.iter().map(|talker| talker.heard.packets).sum::<u64>();
        let (missing, overflown) = missing(&choir, namespaces);
        phones.into_iter().for_each(hang_up);
        let stolen = datagrams_received(&namespaces.stranger) - before;
        let records = daemon.finish(CALLS);
        let dropped = ["dropped_source", "dropped_malformed", "dropped_unauthentic", "rtcp_dropped"]
            .map(|counter| (counter, sum(&records, counter)));
        println!("{} packets sprayed, {stolen} came back; {heard} heard of the calls, {missing} missing", sent(&known));
        println!("{dropped:?}; the kernel had no room for {overflown}");
        assert_eq!(stolen, 0, "datagrams to the attacker");
        assert_eq!((sum(&records, "ssrc_changes"), sum(&records, "rtcp_forwarded")), (0, 0));
        assert!(dropped.iter().all(|(_, count)| *count > 0), "{dropped:?}");
        assert!(sum(&records, "packets_lost") <= overflown && records.iter().all(is_heard_where_named), "{records:#?}");
    });
}

fn sent(known: &Known) -> u64 {
    known.sent.load(Ordering::Relaxed)
}

/// What plain RTP cannot do: an IP address can be forged, and before its owner speaks a new port of it is what a NAT does. Whoever forges
/// the whole address is heard, too, as a new source, which is counted. Neither gets a packet, the owner takes back what is his when he
/// speaks, and SRTP lets nobody in.
#[test]
fn a_forger_of_the_callers_address_is_heard_only_where_rtp_is_plain() {
    told(|namespaces| {
        for suite in [None, SRTP] {
            let (daemon, mut subscriber) = daemon(namespaces);
            let before = datagrams_received(&namespaces.stranger);
            let forger = Forger::bind(namespaces);
            let mut choir = Choir::default();
            let phones = choir.bridge(&daemon, &mut subscriber, talkers(0, suite));
            let target = legs(&choir)[0];
            let to = SocketAddrV4::new(RELAY, target.port);
            let other_port = SocketAddrV4::new(CALLERS, 5_555);
            let forge = |source, ssrc| {
                (0..10).for_each(|number| forger.send(source, to, &rtp(ssrc, 7_000 + number, &MARK.repeat(10))));
            };
            let mut marked = Vec::new();
            let mut talk = |choir: &mut Choir, both: bool| {
                choir.talk(|turn| turn < 5, |at, _| both || at == 1);
                marked.push(choir.talkers[1].heard.marked);
            };
            talk(&mut choir, false);
            forge(other_port, 0x6666_6666);
            talk(&mut choir, false);
            talk(&mut choir, true);
            forge(other_port, 0x6666_6666);
            forge(other_port, target.ssrc);
            talk(&mut choir, true);
            forge(target.peer, 0x6666_6666);
            talk(&mut choir, true);
            let expect = if suite.is_none() { [0, 9, 9, 9, 19] } else { [0; 5] };
            assert_eq!(marked, expect, "marked packets that the client has heard, {suite:?}");
            assert_eq!(choir.talkers[0].heard.marked, 0);
            assert_eq!(choir.talkers[1].heard.lost, 0, "what the caller said is heard beside it");
            hang_up(phones);
            let stolen = datagrams_received(&namespaces.stranger) - before;
            let records = daemon.finish(1);
            assert_eq!(stolen, 0, "{suite:?}: datagrams to the forger");
            let counted = ["ssrc_changes", "dropped_unauthentic"].map(|counter| sum(&records, counter) > 0);
            assert_eq!(counted, [suite.is_none(), suite.is_some()], "{records:#?}");
        }
    });
}

/// Both sides of two calls are attacked from the right addresses, and every way to spoil a packet comes before and after the good one of
/// the same number.
#[test]
fn a_call_loses_nothing_to_srtp_packets_that_are_not_authentic() {
    told(|namespaces| {
        let most = times(BAD_TAGS, 20_000);
        let (daemon, mut subscriber) = daemon(namespaces);
        let mut choir = Choir::default();
        let suites = [SRTP, Some(Suite::AeadAes256Gcm)];
        let phones: Vec<_> = (0..)
            .zip(suites)
            .map(|(call, suite)| choir.bridge(&daemon, &mut subscriber, talkers(call, suite)))
            .collect();
        choir.talk(|turn| turn < 5, |_, _| true);
        let bad = spoil(&mut choir, most);
        choir.talk(|turn| turn < 5, |_, _| true);
        let (missing, overflown) = missing(&choir, namespaces);
        phones.into_iter().for_each(hang_up);
        let records = daemon.finish(suites.len());
        let dropped = ["dropped_unauthentic", "dropped_replayed", "dropped_malformed"]
            .map(|counter| (counter, sum(&records, counter)));
        let (forwarded, received) = (sum(&records, "packets_forwarded"), sum(&records, "packets_received"));
        println!(
            "{bad} bad packets beside {received} good ones, {dropped:?}; {missing} missing, no room for {overflown}"
        );
        let counted: u64 = dropped.iter().map(|(_, count)| count).sum();
        assert!(dropped.iter().all(|(_, count)| *count > 0) && counted <= bad, "{dropped:?} of {bad}");
        let said: u64 = choir.talkers.iter().map(|talker| u64::from(talker.sequence)).sum();
        assert!(said <= received + overflown && received <= forwarded + 10, "{said} said, {received}, {forwarded}");
        assert_eq!(sum(&records, "ssrc_changes"), 0);
    });
}

/// Sends so many bad packets, a few each two milliseconds, so that no buffer of the kernel's is full of them; how many it was.
fn spoil(choir: &mut Choir, most: u64) -> u64 {
    const SLOT: Duration = Duration::from_millis(2);
    const SLOTS: u32 = 10;
    const AT_ONCE: u32 = 4;
    let start = Instant::now();
    let mut good: Vec<Vec<u8>> = choir.talkers.iter_mut().map(Talker::packet).collect();
    good.iter().zip(&choir.talkers).for_each(|(packet, talker)| talker.send(packet));
    let mut bad = 0;
    for slot in 0u32.. {
        for (talker, last) in choir.talkers.iter_mut().zip(&mut good) {
            let next = if slot % SLOTS == 0 { talker.packet() } else { last.clone() };
            for way in 0..AT_ONCE {
                talker.send(&spoilt(&next, last, slot * AT_ONCE + way));
                bad += 1;
                if slot % SLOTS == 0 && way == AT_ONCE / 2 {
                    talker.send(&next);
                }
            }
            *last = next;
            talker.listen();
        }
        if bad >= most {
            break;
        }
        std::thread::sleep((start + SLOT * (slot + 1)).saturating_duration_since(Instant::now()));
    }
    bad
}

/// A packet that must not be taken: made of the next one, or the last one again.
fn spoilt(next: &[u8], last: &[u8], way: u32) -> Vec<u8> {
    let mut packet = next.to_vec();
    let end = packet.len() - 1;
    let sequence = u16::from_be_bytes([packet[2], packet[3]]);
    let mut renumber = |ahead: u16| packet[2..4].copy_from_slice(&sequence.wrapping_add(ahead).to_be_bytes());
    match way % 9 {
        0 => packet[end] ^= 1,
        1 => packet[20] ^= 0x80,
        2 => renumber(1),
        3 => renumber(0x7000),
        4 => renumber(0x9000),
        5 => packet[8] ^= 0xFF,
        6 => packet.truncate(end),
        7 => packet.truncate(13),
        _ => packet = last.to_vec(),
    }
    packet
}

/// While the other side talks for five seconds: from a trunk's caller a short burst, from a client nothing.
#[test]
fn a_victim_that_an_sdp_names_gets_a_short_burst_at_most() {
    told(|namespaces| {
        let (daemon, mut subscriber) = daemon(namespaces);
        let victim = SocketAddr::from((STRANGER, 4_000));
        let received = || datagrams_received(&namespaces.stranger);
        for (names, most) in [(0, BURST), (1, 0)] {
            let before = received();
            let mut choir = Choir::default();
            let mut pair = talkers(0, None);
            pair[names].named = victim;
            let phones = choir.bridge(&daemon, &mut subscriber, pair);
            let mut after_a_second = 0;
            let goes_on = |turn| {
                after_a_second = if turn == 60 { received() } else { after_a_second };
                turn < 250
            };
            choir.talk(goes_on, |at, _| at != names);
            hang_up(phones);
            let got = received() - before;
            println!("the victim that the {} names got {got} datagrams", ["caller", "client"][names]);
            assert!(got <= most && (got > 0) == (most > 0), "{got} of {most}");
            assert_eq!(after_a_second, before + got, "none after a second");
        }
        daemon.finish(2);
    });
}

/// A caller who talks all the time, and between two re-INVITEs that say where he is sends one that names a victim's port, each time another.
#[test]
fn victims_that_one_caller_names_share_one_burst() {
    told(|namespaces| {
        let (daemon, mut subscriber) = daemon(namespaces);
        let before = datagrams_received(&namespaces.stranger);
        let mut choir = Choir::default();
        let mut phones = choir.bridge(&daemon, &mut subscriber, talkers(0, None));
        let own = choir.talkers[0].address;
        choir.talk(|turn| turn < 10, |_, _| true);
        for port in 4_000..4_004 {
            for named in [SocketAddr::from((STRANGER, port)), own] {
                choir.talkers[0].named = named;
                let [caller, client] = &mut phones;
                caller.request("INVITE", &choir.talkers[0].sdp());
                let offer = client.expect_request("INVITE");
                client.answer(&offer, 200, &choir.talkers[1].sdp());
                caller.expect(200);
                choir.talk(|turn| turn < 40, |_, _| true);
            }
        }
        hang_up(phones);
        let got = datagrams_received(&namespaces.stranger) - before;
        assert!(0 < got && got <= BURST, "{got} datagrams to four ports of a victim");
        daemon.finish(1);
    });
}
