//! What is registered, for how long, and who is reached. Requests come as text, as they do from the wire.

use super::*;
use crate::call::{Gone, GoneReason};
use crate::id::CallId;
use crate::sip::Transport;
use crate::sip::wire::Message;
use crate::time::Wall;
use std::sync::Arc;

const HOUR: Duration = Duration::from_secs(3600);

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn path(peer: &str) -> Path {
    Path { transport: Transport::Udp, local: "192.0.2.9:5060".parse().unwrap(), peer: peer.parse().unwrap() }
}

fn read(headers: &str) -> Option<Contacts> {
    let text = format!(
        "REGISTER sip:x SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKx\r\nFrom: <sip:a@x>;tag=1\r\nTo: <sip:a@x>\r\nCall-ID: 1\r\n\
         CSeq: 1 REGISTER\r\n{headers}Content-Length: 0\r\n\r\n"
    );
    Contacts::read(&Message::parse(text.as_bytes()).unwrap())
}

fn contacts(headers: &str) -> Vec<Wanted> {
    match read(headers) {
        Some(Contacts::Some(wanted)) => wanted,
        other => panic!("{headers}: {other:?}"),
    }
}

/// A registrar and who registers with it.
struct Bench {
    registrar: Registrar,
    now: Instant,
    name: Name,
    path: Path,
    vector: Vector,
    cseq: u32,
    call_id: &'static str,
}

impl Bench {
    fn new() -> Bench {
        let registrar = Registrar::new(Lifetimes::default());
        let (path, vector) = (path("192.0.2.1:5060"), Vector::default());
        Bench { registrar, now: Instant(0), name: name("foo"), path, vector, cseq: 0, call_id: "1" }
    }

    fn order<R>(&mut self, body: impl FnOnce(&mut Registrar, Instant, &Order<'_>) -> R) -> R {
        let who = Who::User("anna".into());
        let Bench { registrar, now, name, path, vector, cseq, call_id } = self;
        body(registrar, *now, &Order { name, who: &who, path: *path, vector, call_id, cseq: *cseq, longest: HOUR })
    }

    fn register(&mut self, headers: &str) -> Result<Vec<BindingId>, Unfit> {
        self.cseq += 1;
        self.again(headers)
    }

    /// With the same CSeq.
    fn again(&mut self, headers: &str) -> Result<Vec<BindingId>, Unfit> {
        self.order(|registrar, now, order| registrar.register(now, order, &contacts(headers)))
    }

    fn there(&self) -> Vec<(String, u64)> {
        let contacts = self.registrar.contacts_of(&self.name);
        contacts.map(|(binding, contact)| (contact.uri.clone(), (binding.expires - self.now).as_secs())).collect()
    }
}

#[test]
fn contacts_are_read_with_their_parameters() {
    let read = contacts(
        "Contact: <sip:a@192.0.2.1;ob>;q=0.25;expires=600;reg-id=2;+sip.instance=\"<urn:uuid:1>\", sip:b@192.0.2.2\r\nExpires: 90\r\n",
    );
    let [first, second] = read.as_slice() else { panic!("{read:?}") };
    assert_eq!(
        (first.uri.as_str(), first.expires, first.q, first.reg_id),
        ("sip:a@192.0.2.1;ob", Some(600), 250, Some(2))
    );
    assert_eq!(first.instance.as_deref(), Some("\"<urn:uuid:1>\""));
    let plain =
        Wanted { uri: "sip:b@192.0.2.2".into(), expires: Some(90), q: 1000, instance: None, reg_id: None, push: None };
    assert_eq!(*second, plain);
}

#[test]
fn what_cannot_be_read_is_refused_or_as_though_absent() {
    let many = |count| format!("Contact: {}\r\n", vec!["<sip:a@x>"; count].join(", "));
    for (headers, expected) in [
        ("", Some(Contacts::None)),
        ("Contact: *\r\nExpires: 0\r\n", Some(Contacts::All)),
        ("Contact: *\r\n", None),
        ("Contact: *\r\nExpires: 1\r\n", None),
        ("Contact: *, <sip:a@x>\r\nExpires: 0\r\n", None),
        ("Contact: <tel:+49>\r\n", None),
        ("Contact: <mailto:a@x>\r\n", None),
        ("Contact: <sip:a@\r\n", None),
        (&*many(limits::BINDINGS_PER_NAME_MAX + 1), None),
        (&format!("Contact: <sip:{}@x>\r\n", "a".repeat(limits::SIP_CONTACT_BYTES_MAX)), None),
    ] {
        assert_eq!(read(headers), expected, "{headers:.60}");
    }
    assert_eq!(contacts(&many(limits::BINDINGS_PER_NAME_MAX)).len(), limits::BINDINGS_PER_NAME_MAX);
    for (params, expires, q) in [
        ("expires=abc", None, 1000),
        ("expires=99999999999999", Some(u32::MAX), 1000),
        ("q=1.5", None, 1000),
        ("q=0.1234", None, 1000),
        ("q=1.000", None, 1000),
        ("q=0", None, 0),
        ("q=0.5;expires=0", Some(0), 500),
    ] {
        let read = contacts(&format!("Contact: <sip:a@x>;{params}\r\n"));
        assert_eq!((read[0].expires, read[0].q), (expires, q), "{params}");
    }
}

#[test]
fn a_registration_lasts_as_long_as_it_says_within_bounds_and_no_longer_than_its_credential() {
    for (expires, expected) in [
        ("", Ok(3600)),
        ("Expires: 600\r\n", Ok(600)),
        ("Expires: 60\r\n", Ok(60)),
        ("Expires: 86400\r\n", Ok(3600)),
        ("Expires: 59\r\n", Err(Unfit::TooBrief)),
        ("Expires: 1\r\n", Err(Unfit::TooBrief)),
    ] {
        let mut bench = Bench::new();
        let fresh = bench.register(&format!("Contact: <sip:a@x>\r\n{expires}"));
        assert_eq!(fresh.map(|_| bench.there()[0].1), expected, "{expires}");
    }
    let mut bench = Bench::new();
    bench.order(|registrar, now, order| {
        let order = Order { longest: Duration::from_secs(30), ..*order };
        registrar.register(now, &order, &contacts("Contact: <sip:a@x>\r\n")).unwrap();
    });
    assert_eq!(bench.there(), [("sip:a@x".into(), 30)]);
}

#[test]
fn a_contact_is_renewed_moved_and_removed_and_its_end_comes() {
    let mut bench = Bench::new();
    let first = bench.register("Contact: <sip:a@192.0.2.1>\r\nExpires: 100\r\n").unwrap();
    assert_eq!(first.len(), 1);
    bench.now = bench.now + Duration::from_secs(50);
    assert_eq!(
        bench.register("Contact: <SIP:a@192.0.2.1>\r\nExpires: 100\r\n"),
        Ok(vec![]),
        "no news: the same way to it"
    );
    assert_eq!(bench.there(), [("sip:a@192.0.2.1".replace("sip", "SIP"), 100)]);
    bench.path = path("192.0.2.1:7000");
    assert_eq!(bench.register("Contact: <sip:a@192.0.2.1>\r\nExpires: 100\r\n"), Ok(first.clone()), "another way");
    assert_eq!(bench.registrar.over(path("192.0.2.1:5060")), []);
    assert_eq!(bench.registrar.over(path("192.0.2.1:7000")), first);
    assert_eq!(bench.register("Contact: <sip:b@192.0.2.1>, <sip:a@192.0.2.1>;expires=0\r\n").unwrap().len(), 1);
    assert_eq!(bench.there(), [("sip:b@192.0.2.1".into(), 3600)]);
    let end = bench.registrar.poll_timeout().unwrap();
    assert_eq!(bench.registrar.overdue(Instant(end.0 - 1)), None);
    let over = bench.registrar.overdue(end).unwrap();
    bench.registrar.remove(over);
    assert_eq!((bench.registrar.counts(), bench.registrar.poll_timeout()), ((0, 0), None));
    assert!(
        bench.registrar.by_name.is_empty() && bench.registrar.by_path.is_empty() && bench.registrar.sources.is_empty()
    );
}

#[test]
fn a_device_has_one_contact_for_each_of_its_flows() {
    let mut bench = Bench::new();
    let flow =
        |host: u8, id: u8| format!("Contact: <sip:a@192.0.2.{host}>;reg-id={id};+sip.instance=\"<urn:uuid:1>\"\r\n");
    bench.register(&flow(1, 1)).unwrap();
    bench.register(&flow(2, 2)).unwrap();
    bench.register(&flow(3, 1)).unwrap();
    let uris: Vec<_> = bench.there().into_iter().map(|(uri, _)| uri).collect();
    assert_eq!(uris, ["sip:a@192.0.2.3", "sip:a@192.0.2.2"]);
    bench.register("Contact: <sip:a@192.0.2.3>;+sip.instance=\"<urn:uuid:1>\"\r\nExpires: 0\r\n").unwrap();
    assert_eq!(bench.there().len(), 1, "without reg-id it is the URI that counts");
}

#[test]
fn an_older_request_changes_nothing() {
    let mut bench = Bench::new();
    bench.register("Contact: <sip:a@x>\r\n").unwrap();
    let before = bench.there();
    assert_eq!(bench.again("Contact: <sip:new@x>, <sip:a@x>;expires=0\r\n"), Err(Unfit::OutOfOrder));
    assert_eq!(bench.order(|registrar, _, order| registrar.clear(order)), Err(Unfit::OutOfOrder));
    assert_eq!(bench.there(), before);
    bench.call_id = "another";
    bench.cseq = 0;
    assert_eq!(bench.again("Contact: <sip:a@x>\r\n"), Ok(vec![]), "another client of the same name counts for itself");
    bench.cseq = 1;
    assert_eq!(bench.order(|registrar, _, order| registrar.clear(order)), Ok(()));
    assert_eq!(bench.there(), []);
}

#[test]
fn there_is_room_for_so_many_and_renewing_needs_none() {
    let mut bench = Bench::new();
    for at in 0..limits::BINDINGS_PER_NAME_MAX {
        bench.register(&format!("Contact: <sip:{at}@x>\r\n")).unwrap();
    }
    assert_eq!(bench.register("Contact: <sip:more@x>\r\n"), Err(Unfit::Full("cap_name")));
    assert_eq!(bench.register("Contact: <sip:1@x>\r\n"), Ok(vec![]));
    assert_eq!(bench.there().len(), limits::BINDINGS_PER_NAME_MAX);
    let mut bench = Bench::new();
    for at in 0..limits::BINDINGS_PER_SOURCE_MAX {
        bench.name = name(&format!("foo/{at}"));
        bench.register("Contact: <sip:a@x>\r\n").unwrap();
    }
    bench.name = name("foo/more");
    assert_eq!(bench.register("Contact: <sip:a@x>\r\n"), Err(Unfit::Full("cap_source")));
    assert_eq!(bench.registrar.has_room(&bench.name, bench.path), Err(Unfit::Full("cap_source")));
    bench.path = path("[::ffff:192.0.2.1]:5060");
    assert_eq!(
        bench.register("Contact: <sip:a@x>\r\n"),
        Err(Unfit::Full("cap_source")),
        "the same address, written otherwise"
    );
    bench.path = path("192.0.2.2:5060");
    assert_eq!(bench.register("Contact: <sip:a@x>\r\n").map(|fresh| fresh.len()), Ok(1));
}

#[test]
fn a_call_reaches_its_name_and_what_is_below_it() {
    let mut bench = Bench::new();
    for text in ["foo", "foo/web", "foo/web/2", "foo-bar", "foobar", "foo0", "fo", "bar/foo"] {
        bench.name = name(text);
        bench.register("Contact: <sip:a@x>\r\n").unwrap();
    }
    for (called, expected) in [
        ("foo", &["foo", "foo/web", "foo/web/2"][..]),
        ("foo/web", &["foo/web", "foo/web/2"]),
        ("foo/mobile", &[]),
        ("bar", &["bar/foo"]),
        ("f", &[]),
    ] {
        let reached = bench.registrar.reached(&name(called));
        let names: Vec<_> = reached.iter().map(|id| bench.registrar.get(*id).unwrap().name.as_str()).collect();
        assert_eq!(names, expected, "{called}");
    }
}

#[test]
fn a_client_is_told_one_thing_at_a_time_and_not_of_what_is_over() {
    let mut bench = Bench::new();
    let id = bench.register("Contact: <sip:a@x>\r\n").unwrap()[0];
    let binding = bench.registrar.get_mut(id).unwrap();
    let incoming = |call| Parcel::Incoming { call: CallId(call), sequence: 1 };
    let gone = |call| {
        let (name, reason) = (name("foo"), GoneReason::Timeout);
        Parcel::Gone {
            gone: Arc::new(Gone {
                call: CallId(call),
                name,
                called: "1".into(),
                reason,
                winner: None,
                at: Wall(0),
                rings: false,
            }),
            sequence: 2,
        }
    };
    for parcel in [incoming(1), incoming(2), gone(1), gone(3)] {
        assert!(binding.push(parcel));
    }
    assert!(
        matches!(binding.pop(), Some(Parcel::Incoming { call: CallId(2), .. })),
        "the first is over before it was told"
    );
    assert!(
        matches!(binding.pop(), Some(Parcel::Gone { gone, .. }) if gone.call == CallId(3)),
        "told before, so its end is news"
    );
    assert!(binding.pop().is_none());
    for call in 0..limits::SUBSCRIBER_NOTICES_MAX {
        assert!(binding.push(incoming(call as u128)));
    }
    assert!(
        !binding.push(incoming(u128::MAX)) && binding.push(Parcel::Terminated("timeout")) && binding.is_terminated()
    );
    binding.forget_parcels();
    assert!(binding.pop().is_none() && !binding.is_terminated());
}

/// RFC 3327 §5.4, RFC 5626 §5.3.
#[test]
fn whoever_came_by_a_proxy_outlives_the_proxys_connection_if_that_listens_somewhere() {
    let listens: std::net::SocketAddr = "192.0.2.1:5070".parse().unwrap();
    let proxy = Path { transport: Transport::Tcp, ..path("192.0.2.1:40001") };
    for (vector, stays) in [
        (Vector::default(), false),
        (Vector { route: "<sip:p.example;lr>".into(), ..Vector::default() }, false),
        (Vector { route: "<sip:192.0.2.1:5070;lr>".into(), listens: Some(listens), keeps_flow: false }, true),
    ] {
        let mut bench = Bench { path: proxy, vector: vector.clone(), ..Bench::new() };
        let id = bench.register("Contact: <sip:a@10.0.0.1>;expires=600\r\n").unwrap()[0];
        assert!(bench.registrar.get(id).is_some_and(|binding| !binding.opens()), "it is there already");
        bench.registrar.lose(proxy);
        let there = bench.registrar.get(id).map(|binding| (binding.path.peer, binding.opens()));
        assert_eq!(there, stays.then_some((listens, true)), "{vector:?}");
        assert_eq!((bench.registrar.over(proxy), bench.registrar.counts().0), (vec![], usize::from(stays)));
        // Nor does it come and go with what is opened in its place.
        bench.registrar.lose(Path { peer: listens, ..proxy });
        assert_eq!(bench.registrar.get(id).is_some(), stays);
        // The proxy has another connection by now: it is told anew, and goes back on that.
        bench.path = Path { transport: Transport::Tcp, ..path("192.0.2.1:40002") };
        let fresh = bench.register("Contact: <sip:a@10.0.0.1>;expires=600\r\n").unwrap();
        assert_eq!(fresh.len(), 1);
        assert_eq!(bench.registrar.over(bench.path), fresh);
    }
}
