//! Targets are looked up at a name server of the test's own, on loopback, which says what each case wants, or nothing.

use super::*;
use crate::sip::target::Unlocated;
use hickory_resolver::proto::op::{Message, MessageType, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME, NAPTR, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::UdpSocket;

/// How the name server behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mood {
    Answers,
    Fails,
    IsSilent,
    /// It adds an address that nobody asked for, and gives it to another name.
    Lies,
}

struct Server {
    zone: Vec<(String, RData)>,
    mood: Mutex<Mood>,
    /// Kinds of records that it fails to answer for, whatever its mood.
    deaf_to: Option<RecordType>,
    asked: AtomicUsize,
}

fn name(text: &str) -> Name {
    Name::from_ascii(format!("{text}.")).unwrap()
}

fn naptr(owner: &str, order: u16, service: &str, to: &str) -> (String, RData) {
    let data = NAPTR::new(order, 10, (*b"s").into(), service.as_bytes().into(), [].into(), name(to));
    (owner.into(), RData::NAPTR(data))
}

fn srv(owner: &str, priority: u16, port: u16, to: &str) -> (String, RData) {
    (owner.into(), RData::SRV(SRV::new(priority, 10, port, name(to))))
}

fn a(owner: &str, last: u8) -> (String, RData) {
    (owner.into(), RData::A(A::new(192, 0, 2, last)))
}

fn aaaa(owner: &str, last: u16) -> (String, RData) {
    (owner.into(), RData::AAAA(AAAA::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last)))
}

impl Server {
    fn new(zone: Vec<(String, RData)>) -> Arc<Server> {
        Server::deaf(zone, None)
    }

    fn deaf(zone: Vec<(String, RData)>, deaf_to: Option<RecordType>) -> Arc<Server> {
        Arc::new(Server { zone, mood: Mutex::new(Mood::Answers), deaf_to, asked: AtomicUsize::new(0) })
    }

    fn answer(&self, request: &Message) -> Option<Message> {
        let (mood, query) = (*self.mood.lock().unwrap(), &request.queries[0]);
        self.asked.fetch_add(1, Ordering::SeqCst);
        let asked = query.name().to_ascii().trim_end_matches('.').to_owned();
        let mut answer = request.clone();
        answer.metadata.message_type = MessageType::Response;
        answer.additionals.clear();
        answer.edns = None;
        let record = |name: &str, data: &RData| Record::from_rdata(self::name(name), 60, data.clone());
        if mood == Mood::IsSilent {
            return None;
        }
        if mood == Mood::Fails || self.deaf_to == Some(query.query_type()) {
            answer.metadata.response_code = ResponseCode::ServFail;
            return Some(answer);
        }
        if mood == Mood::Lies {
            answer.add_answer(record("other.example", &a("", 66).1));
            answer.add_additional(record(&asked, &a("", 67).1));
        }
        let is_meant = |data: &RData| data.record_type() == query.query_type() || matches!(data, RData::CNAME(_));
        for (owner, data) in self.zone.iter().filter(|(owner, data)| *owner == asked && is_meant(data)) {
            answer.add_answer(record(owner, data));
        }
        Some(answer)
    }

    async fn start(self: &Arc<Server>) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (address, server) = (socket.local_addr().unwrap(), Arc::clone(self));
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
                let Ok(request) = Message::from_vec(&buffer[..length]) else { continue };
                if let Some(answer) = server.answer(&request) {
                    let _ = socket.send_to(&answer.to_vec().unwrap(), peer).await;
                }
            }
        });
        address
    }

    async fn resolver(self: &Arc<Server>) -> Resolver {
        let servers = vec![self.start().await];
        Resolver::new(Settings { servers, carriers: Carrier::ALL.into(), v4: true, v6: true }).unwrap()
    }
}

async fn found(resolver: &Resolver, target: &str) -> Result<Vec<String>, Unlocated> {
    let hops = resolver.locate(&Target::parse(target).unwrap(), [3; 32]).await?;
    Ok(hops.iter().map(ToString::to_string).collect())
}

fn zone() -> Vec<(String, RData)> {
    vec![
        naptr("full.example", 20, "SIP+D2U", "_sip._udp.full.example"),
        naptr("full.example", 10, "SIPS+D2T", "_sips._tcp.full.example"),
        naptr("full.example", 5, "SIP+D2S", "_sip._sctp.full.example"),
        srv("_sips._tcp.full.example", 1, 5061, "a.example"),
        srv("_sip._udp.full.example", 20, 5070, "b.example"),
        srv("_sip._udp.full.example", 10, 5080, "a.example"),
        a("a.example", 1),
        a("b.example", 2),
        aaaa("b.example", 2),
        srv("_sip._tcp.srv.example", 1, 5090, "b.example"),
        srv("_sip._udp.srv.example", 1, 5060, "a.example"),
        srv("_sip._udp.gone.example", 1, 5060, ""),
        a("gone.example", 9),
        a("plain.example", 3),
        aaaa("plain.example", 3),
        ("alias.example".into(), RData::CNAME(CNAME(name("plain.example")))),
        a("bad.example", 4),
        ("bad.example".into(), RData::A(A::new(0, 0, 0, 0))),
        ("bad.example".into(), RData::A(A::new(224, 0, 1, 75))),
    ]
}

/// RFC 3263 §4.1 and §4.2, step by step.
#[tokio::test]
async fn a_target_is_found_by_as_many_questions_as_it_leaves_open() {
    let resolver = Server::new(zone()).resolver().await;
    for (target, expected) in [
        // NAPTR: its order, then SRV's priorities. What we do not speak is passed over.
        (
            "sip:full.example",
            &["tls:192.0.2.1:5061", "udp:192.0.2.1:5080", "udp:192.0.2.2:5070", "udp:[2001:db8::2]:5070"][..],
        ),
        ("sips:full.example", &["tls:192.0.2.1:5061"]),
        // A transport that is named: no NAPTR.
        ("sip:full.example;transport=udp", &["udp:192.0.2.1:5080", "udp:192.0.2.2:5070", "udp:[2001:db8::2]:5070"]),
        // A port that is named: no SRV.
        ("full.example:5099", &[]),
        ("a.example:5099", &["udp:192.0.2.1:5099"]),
        ("sip:a.example:5099;transport=tls", &["tls:192.0.2.1:5099"]),
        // No NAPTR: SRV of what we speak.
        ("srv.example", &["udp:192.0.2.1:5060", "tcp:192.0.2.2:5090", "tcp:[2001:db8::2]:5090"]),
        // Neither: the host itself, by default.
        ("plain.example", &["udp:192.0.2.3:5060", "udp:[2001:db8::3]:5060"]),
        ("sips:plain.example", &["tls:192.0.2.3:5061", "tls:[2001:db8::3]:5061"]),
        ("sip:plain.example;transport=tcp", &["tcp:192.0.2.3:5060", "tcp:[2001:db8::3]:5060"]),
        ("alias.example", &["udp:192.0.2.3:5060", "udp:[2001:db8::3]:5060"]),
        // A SRV target of `.` is none.
        ("gone.example", &["udp:192.0.2.9:5060"]),
        // Addresses that are no host's are dropped.
        ("bad.example", &["udp:192.0.2.4:5060"]),
        ("nowhere.example", &[]),
        ("192.0.2.77:5077", &["udp:192.0.2.77:5077"]),
    ] {
        let hops = found(&resolver, target).await;
        match expected {
            [] => assert_eq!(hops, Err(Unlocated::Absent), "{target}"),
            expected => assert_eq!(hops.unwrap(), expected, "{target}"),
        }
    }
}

#[tokio::test]
async fn what_we_do_not_speak_is_not_looked_for() {
    let server = Server::new(zone());
    let servers = vec![server.start().await];
    let resolver = Resolver::new(Settings { servers, carriers: vec![Carrier::Udp], v4: true, v6: false }).unwrap();
    assert_eq!(found(&resolver, "full.example").await.unwrap(), ["udp:192.0.2.1:5080", "udp:192.0.2.2:5070"]);
    for target in ["sips:full.example", "sip:a.example;transport=tcp", "[2001:db8::1]", "sip:192.0.2.1;transport=tls"] {
        assert_eq!(found(&resolver, target).await, Err(Unlocated::Unsupported), "{target}");
    }
}

#[tokio::test]
async fn a_name_server_that_knows_no_naptr_is_no_obstacle() {
    let resolver = Server::deaf(zone(), Some(RecordType::NAPTR)).resolver().await;
    assert_eq!(found(&resolver, "srv.example").await.unwrap()[0], "udp:192.0.2.1:5060");
    let resolver = Server::deaf(zone(), Some(RecordType::A)).resolver().await;
    assert_eq!(found(&resolver, "a.example:5060").await, Err(Unlocated::Unanswered));
    assert_eq!(found(&resolver, "plain.example").await.unwrap(), ["udp:[2001:db8::3]:5060"]);
}

#[tokio::test]
async fn what_was_not_asked_for_is_not_believed() {
    let server = Server::new(zone());
    *server.mood.lock().unwrap() = Mood::Lies;
    let resolver = server.resolver().await;
    assert_eq!(found(&resolver, "a.example:5060").await.unwrap(), ["udp:192.0.2.1:5060"]);
    // The lie about another name is not kept for when that is asked.
    *server.mood.lock().unwrap() = Mood::Answers;
    assert_eq!(found(&resolver, "other.example:5060").await, Err(Unlocated::Absent));
}

#[tokio::test]
async fn an_answer_is_kept_and_stands_in_when_the_name_server_is_gone() {
    let server = Server::new(zone());
    let resolver = server.resolver().await;
    let first = found(&resolver, "plain.example").await.unwrap();
    let asked = server.asked.load(Ordering::SeqCst);
    assert_eq!(found(&resolver, "plain.example").await.as_ref(), Ok(&first));
    assert_eq!(server.asked.load(Ordering::SeqCst), asked, "it is kept for its time");
    for mood in [Mood::Fails, Mood::IsSilent] {
        *server.mood.lock().unwrap() = mood;
        resolver.dns.expire();
        assert_eq!(found(&resolver, "plain.example").await.as_ref(), Ok(&first), "{mood:?}");
        assert_eq!(found(&resolver, "never.example:1").await, Err(Unlocated::Unanswered), "{mood:?}");
    }
    assert!(server.asked.load(Ordering::SeqCst) > asked);
}

#[tokio::test]
async fn questions_come_in_and_answers_go_out_each_under_its_key() {
    let resolver = Server::new(zone()).resolver().await;
    let (wanted, queue) = queue();
    let (answers, mut answered) = mpsc::unbounded_channel();
    let serving = tokio::spawn(resolver.serve(queue, move |key: u8, hops| {
        let _ = answers.send((key, hops.is_ok()));
    }));
    for (key, target) in [(1, "a.example:5060"), (2, "nowhere.example"), (3, "192.0.2.1")] {
        let target = Target::parse(target).unwrap();
        wanted.send(Wanted { key, target, chance: [0; 32] }).await.unwrap_or_else(|_| panic!("nobody serves"));
    }
    drop(wanted);
    let mut all = Vec::new();
    while let Some(answer) = answered.recv().await {
        all.push(answer);
    }
    all.sort_unstable();
    assert_eq!(all, [(1, true), (2, false), (3, true)]);
    serving.await.unwrap();
}
