//! Trunks with a real endpoint, under a virtual clock; what they send is read, and answered as each case wants.

use super::*;
use crate::limits;
use crate::secret::Secret;
use crate::sip::auth::Credentials;
use crate::sip::endpoint::{EndpointSettings, Event};

const LOCAL: &str = "192.0.2.9:5060";
const CHALLENGE: &str =
    "WWW-Authenticate: Digest realm=\"registrar.example\", nonce=\"n\", algorithm=MD5, qop=\"auth\"\r\n";

struct Bench {
    trunks: Trunks,
    endpoint: Endpoint,
    rng: Rng,
    now: Now,
}

fn registered(realm: Option<&str>) -> Arc<Registered> {
    let password = Secret::new("secret".to_owned());
    Arc::new(Registered {
        uri: "sip:us@registrar.example".into(),
        user: "us".into(),
        registrar: "sip:registrar.example".into(),
        credentials: Some(Credentials { username: "us".into(), realm: realm.map(str::to_owned), password }),
        life: Duration::from_secs(600),
    })
}

impl Bench {
    fn new(targets: &[&str], health: Option<u64>, register: Option<Arc<Registered>>) -> Bench {
        let targets = targets.iter().map(|target| Target::parse(target).unwrap()).collect();
        let health = health.map(Duration::from_secs);
        let outbound = Arc::new(Outbound { name: "carrier".into(), targets, health, register, messages: true });
        let local: SocketAddr = LOCAL.parse().unwrap();
        let mut rng = Rng::from_seed([4; 32]);
        let settings = EndpointSettings { product: "Parkway".into(), ..EndpointSettings::default() };
        let endpoint = Endpoint::new(Rng::from_seed([5; 32]), settings);
        let listeners = vec![(Carrier::Udp, local), (Carrier::Tcp, local)];
        let trunks = Trunks::new(&[outbound], listeners, &mut rng);
        let mut bench = Bench { trunks, endpoint, rng, now: Now::default() };
        bench.pass(0);
        bench
    }

    fn turn(&mut self, step: impl FnOnce(&mut Trunks, &mut Turn<'_>)) {
        step(&mut self.trunks, &mut Turn { now: self.now, endpoint: &mut self.endpoint, rng: &mut self.rng });
    }

    /// So many seconds pass, and all that is due in them happens.
    fn pass(&mut self, seconds: u64) {
        let end = self.now.at + Duration::from_secs(seconds);
        loop {
            let due = [self.endpoint.poll_timeout(), self.trunks.poll_timeout()].into_iter().flatten().min();
            self.now.at = due.filter(|due| *due <= end).map_or(end, |due| due.max(self.now.at));
            self.endpoint.handle_timeout(self.now);
            while let Some(event) = self.endpoint.poll_event() {
                self.heard(event);
            }
            self.turn(|trunks, turn| trunks.handle_timeout(turn));
            if due.is_none_or(|due| due > end) {
                return;
            }
        }
    }

    fn heard(&mut self, event: Event<'_>) {
        let Event::Outside { asker: Asker::Trunk(at), transaction, method, status, answer } = event else {
            panic!("of no trunk")
        };
        self.turn(|trunks, turn| trunks.handle_answer(turn, at, (transaction, method, status), answer.as_ref()));
    }

    /// What is sent, without what only repeats an earlier request: where to, and the text.
    fn sent(&mut self) -> Vec<(String, String)> {
        let mut all: Vec<(String, String)> = Vec::new();
        while let Some(sent) = self.endpoint.poll_transmit() {
            let to = format!("{}:{}", sent.path.transport.as_str(), sent.path.peer);
            let text = String::from_utf8(sent.bytes.to_vec()).unwrap();
            if !all.iter().any(|(_, there)| *there == text) {
                all.push((to, text));
            }
        }
        all
    }

    /// Where requests go, by their method.
    fn asked(&mut self) -> Vec<String> {
        let sent = self.sent().into_iter();
        sent.map(|(to, text)| format!("{} {to}", text.split(' ').next().unwrap())).collect()
    }

    fn answer(&mut self, request: &str, status: u16, extra: &str) {
        let line = |name: &str| request.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        let copied = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].map(|name| format!("{}\r\n", line(name)));
        let text = format!("SIP/2.0 {status} X\r\n{}{extra}Content-Length: 0\r\n\r\n", copied.concat());
        let address = LOCAL.parse().unwrap();
        let path = Path { transport: crate::sip::Transport::Udp, local: address, peer: address };
        let mut endpoint =
            std::mem::replace(&mut self.endpoint, Endpoint::new(Rng::from_seed([0; 32]), Default::default()));
        let event = endpoint.handle_datagram(self.now, path, text.as_bytes());
        self.endpoint = endpoint;
        if let Some(event) = event {
            self.heard(event);
        }
    }

    fn located(&mut self, target: u32, hops: Result<&[&str], Unlocated>) {
        let hop = |text: &&str| Hop { carrier: Carrier::Udp, address: text.parse().unwrap() };
        let found = hops.map(|hops| hops.iter().map(hop).collect());
        self.turn(|trunks, turn| trunks.handle_located(turn, TargetId { trunk: 0, target }, found));
    }

    fn is_up(&self) -> bool {
        self.trunks.standings(self.now).next().unwrap().1
    }

    fn is_registered(&self) -> bool {
        self.trunks.standings(self.now).next().unwrap().2.unwrap()
    }

    fn ways(&self) -> Vec<String> {
        self.trunks.ways(0).into_iter().map(|(_, hop)| hop.to_string()).collect()
    }
}

fn header<'t>(text: &'t str, name: &str) -> &'t str {
    let line = text.lines().find(|line| line.starts_with(&format!("{name}:")));
    line.map_or("", |line| line[name.len() + 1..].trim())
}

#[test]
fn a_target_is_up_by_any_answer_but_408_and_503() {
    for (status, expected) in
        [(200, true), (404, true), (405, true), (401, true), (500, true), (408, false), (503, false)]
    {
        let mut bench = Bench::new(&["192.0.2.7"], Some(30), None);
        for _ in 0..limits::TARGET_FAILURES_MAX {
            let (to, options) = bench.sent().pop().unwrap();
            assert_eq!(to, "udp:192.0.2.7:5060");
            assert!(options.starts_with("OPTIONS sip:192.0.2.7 SIP/2.0\r\n"), "{options}");
            bench.answer(&options, status, "");
            assert!(bench.is_up() || bench.trunks.ways(0).is_empty());
            bench.pass(30);
        }
        assert_eq!(bench.is_up(), expected, "{status}");
    }
}

#[test]
fn three_silent_rounds_take_a_target_down_and_one_answer_brings_it_back() {
    let mut bench = Bench::new(&["192.0.2.7"], Some(30), None);
    // Three times 5 s of silence, and pauses of 5 s at most between them: rounds that fail come sooner than every 30 s.
    bench.pass(20);
    assert!(bench.is_up());
    assert_eq!(bench.ways(), ["udp:192.0.2.7:5060"]);
    bench.pass(5);
    assert!(!bench.is_up());
    assert_eq!(bench.ways(), [""; 0]);
    // It is still asked, as often as one that is up. What else goes out only repeats what went before.
    let before = bench.sent();
    bench.pass(26);
    assert!(bench.sent().iter().all(|sent| before.contains(sent)));
    bench.pass(4);
    let (_, options) = bench.sent().into_iter().rfind(|sent| !before.contains(sent)).unwrap();
    bench.answer(&options, 200, "");
    assert!(bench.is_up());
    assert_eq!(bench.ways(), ["udp:192.0.2.7:5060"]);
}

#[test]
fn a_target_that_is_down_is_passed_over_and_the_trunk_is_down_when_all_are() {
    let mut bench = Bench::new(&["192.0.2.7", "192.0.2.8"], Some(10), None);
    for _ in 0..60 {
        for (to, options) in bench.sent() {
            if to.contains("192.0.2.8") {
                bench.answer(&options, 200, "");
            }
        }
        bench.pass(1);
    }
    assert_eq!((bench.is_up(), bench.ways()), (true, vec!["udp:192.0.2.8:5060".to_owned()]));
    bench.pass(60);
    assert!(!bench.is_up());
}

#[test]
fn the_ways_of_a_name_are_tried_in_turn_within_one_round_and_the_one_that_answers_is_kept() {
    let mut bench = Bench::new(&["gw.example"], Some(30), None);
    assert_eq!(bench.asked(), [""; 0], "it is looked for first");
    let locate = bench.trunks.poll_locate().unwrap();
    assert_eq!((locate.at, locate.target.to_string()), (TargetId { trunk: 0, target: 0 }, "sip:gw.example".into()));
    let hops = ["192.0.2.1:5060", "192.0.2.2:5070", "192.0.2.3:5060"];
    bench.located(0, Ok(&hops));
    assert_eq!(bench.asked(), ["OPTIONS udp:192.0.2.1:5060"]);
    bench.pass(5);
    let (to, options) = bench.sent().pop().unwrap();
    assert_eq!(to, "udp:192.0.2.2:5070");
    bench.answer(&options, 200, "");
    assert_eq!(bench.ways(), ["udp:192.0.2.2:5070", "udp:192.0.2.3:5060", "udp:192.0.2.1:5060"]);
    // DNS says another order; the way that works stays first.
    bench.pass(30);
    bench.sent();
    assert!(bench.trunks.poll_locate().is_some());
    bench.located(0, Ok(&["192.0.2.3:5060", "192.0.2.2:5070"]));
    assert_eq!(bench.asked(), ["OPTIONS udp:192.0.2.2:5070"]);
}

#[test]
fn a_name_that_is_not_found_is_down_in_time_and_one_that_was_stays_where_it_was() {
    for (first, expected) in [(None, false), (Some(&["192.0.2.1:5060"][..]), true)] {
        let mut bench = Bench::new(&["gw.example"], Some(10), None);
        if let Some(first) = first {
            bench.located(0, Ok(first));
        } else {
            bench.located(0, Err(Unlocated::Absent));
        }
        for _ in 0..limits::TARGET_FAILURES_MAX {
            if let Some((_, options)) = bench.sent().pop() {
                bench.answer(&options, 200, "");
            }
            bench.pass(10);
            bench.located(0, Err(Unlocated::Unanswered));
        }
        assert_eq!((bench.is_up(), bench.ways().len() == 1), (expected, expected));
    }
}

#[test]
fn without_pings_a_target_is_up_and_is_located_all_the_same() {
    let mut bench = Bench::new(&["gw.example", "192.0.2.7"], None, None);
    bench.located(0, Ok(&["192.0.2.1:5060"]));
    bench.pass(600);
    assert_eq!(bench.asked(), [""; 0]);
    assert_eq!(
        (bench.is_up(), bench.ways()),
        (true, vec!["udp:192.0.2.1:5060".into(), "udp:192.0.2.7:5060".to_owned()])
    );
    assert!(std::iter::from_fn(|| bench.trunks.poll_locate()).count() > 5);
}

#[test]
fn an_answer_of_an_earlier_round_and_one_that_nobody_waits_for_change_nothing() {
    let mut bench = Bench::new(&["192.0.2.7"], Some(10), None);
    let (_, first) = bench.sent().pop().unwrap();
    bench.pass(16);
    let second = bench.sent().into_iter().map(|(_, text)| text).rfind(|text| *text != first).unwrap();
    bench.answer(&first, 503, "");
    bench.answer(&second, 200, "");
    assert_eq!(bench.ways().len(), 1);
    bench.located(0, Ok(&["192.0.2.99:5060"]));
    assert_eq!(bench.ways(), ["udp:192.0.2.7:5060"], "nobody asked where it is");
    bench.turn(|trunks, turn| trunks.handle_located(turn, TargetId { trunk: 7, target: 7 }, Ok(Vec::new())));
}

fn register(bench: &mut Bench) -> String {
    let register = bench.sent().into_iter().map(|(_, text)| text).rfind(|text| text.starts_with("REGISTER"));
    register.expect("a REGISTER is out")
}

#[test]
fn a_registration_is_made_proven_and_refreshed_in_time() {
    let mut bench = Bench::new(&["192.0.2.7"], None, Some(registered(Some("registrar.example"))));
    let first = register(&mut bench);
    assert!(first.starts_with("REGISTER sip:registrar.example SIP/2.0\r\n"), "{first}");
    assert_eq!(header(&first, "Contact"), "<sip:us@192.0.2.9:5060>");
    assert_eq!((header(&first, "To"), header(&first, "Expires")), ("<sip:us@registrar.example>", "600"));
    assert_eq!((header(&first, "CSeq"), header(&first, "Authorization")), ("1 REGISTER", ""));
    bench.answer(&first, 401, CHALLENGE);
    let second = register(&mut bench);
    assert!(header(&second, "Authorization").starts_with("Digest username=\"us\", realm=\"registrar.example\""));
    for name in ["Call-ID", "From"] {
        assert_eq!(header(&second, name), header(&first, name), "§10.2");
    }
    assert_eq!(header(&second, "CSeq"), "2 REGISTER");
    assert!(!bench.is_registered());
    let contacts = "Contact: <sip:us@198.51.100.1>;expires=9, <sip:us@192.0.2.9:5060>;expires=100\r\nExpires: 7\r\n";
    bench.answer(&second, 200, contacts);
    assert!(bench.is_registered());
    bench.pass(80);
    assert_eq!(bench.asked(), [""; 0], "before four fifths of the time");
    bench.pass(11);
    let third = register(&mut bench);
    assert_eq!((header(&third, "CSeq"), header(&third, "Call-ID")), ("3 REGISTER", header(&first, "Call-ID")));
    bench.pass(9);
    assert!(!bench.is_registered(), "100 seconds are over");
    bench.pass(30);
    let fourth = register(&mut bench);
    bench.answer(&fourth, 200, "Expires: 3600\r\n");
    assert!(bench.is_registered());
}

#[test]
fn a_second_challenge_a_foreign_realm_and_missing_credentials_are_failures() {
    let foreign = CHALLENGE.replace("registrar.example", "evil.example");
    let nobody = Arc::new(Registered { credentials: None, ..(*registered(None)).clone() });
    for (wants, challenge, tries) in [
        (registered(Some("registrar.example")), CHALLENGE, 2),
        (registered(Some("registrar.example")), &foreign, 1),
        (nobody, CHALLENGE, 1),
    ] {
        let mut bench = Bench::new(&["192.0.2.7"], None, Some(wants));
        let mut sent = 0;
        while let Some((_, text)) = bench.sent().pop() {
            sent += 1;
            bench.answer(&text, 401, challenge);
        }
        assert_eq!((sent, bench.is_registered()), (tries, false));
        bench.pass(14);
        assert_eq!(bench.asked(), [""; 0], "not before half a minute's half");
        bench.pass(17);
        assert_eq!(bench.asked(), ["REGISTER udp:192.0.2.7:5060"], "but then");
    }
}

/// RFC 5626 §4.5.
#[test]
fn pauses_grow_up_to_half_an_hour_and_a_success_ends_them() {
    let mut bench = Bench::new(&["192.0.2.7"], None, Some(registered(None)));
    let mut last = Duration::ZERO;
    for try_ in 0..10_u32 {
        let text = register(&mut bench);
        bench.answer(&text, 500, "");
        let pause = bench.trunks.lines[0].registration.as_ref().unwrap().deadline().unwrap() - bench.now.at;
        let longest = (limits::REGISTER_PAUSE_MIN * (1 << try_)).min(limits::REGISTER_PAUSE_MAX);
        assert!(pause >= longest / 2 && pause <= longest, "{try_}: {pause:?}");
        assert!(pause >= last || longest == limits::REGISTER_PAUSE_MAX);
        last = pause;
        bench.pass(pause.as_secs() + 1);
    }
    let text = register(&mut bench);
    bench.answer(&text, 200, "");
    assert!(bench.is_registered());
}

#[test]
fn too_brief_is_asked_for_again_once_and_within_reason() {
    for (least, expected) in [("1800", Some("1800")), ("999999999", None), ("60", None), ("x", None)] {
        let mut bench = Bench::new(&["192.0.2.7"], None, Some(registered(None)));
        let text = register(&mut bench);
        bench.answer(&text, 423, &format!("Min-Expires: {least}\r\n"));
        let again = bench.sent().pop().map(|(_, text)| text);
        assert_eq!(again.as_deref().map(|text| header(text, "Expires")), expected, "{least}");
        if let Some(again) = again {
            bench.answer(&again, 423, "Min-Expires: 3600\r\n");
            assert_eq!(bench.asked(), [""; 0]);
        }
    }
}

#[test]
fn a_registrar_that_is_silent_or_busy_is_passed_over_for_the_next_target() {
    let mut bench = Bench::new(&["192.0.2.7", "sip:192.0.2.8;transport=tcp"], None, Some(registered(None)));
    let (to, first) = bench.sent().pop().unwrap();
    assert_eq!(to, "udp:192.0.2.7:5060");
    bench.answer(&first, 503, "");
    let (to, second) = bench.sent().pop().unwrap();
    assert_eq!(to, "tcp:192.0.2.8:5060");
    assert_eq!(header(&second, "Contact"), "<sip:us@192.0.2.9:5060;transport=tcp>");
    bench.answer(&second, 200, "");
    assert!(bench.is_registered());
    let mut bench = Bench::new(&["192.0.2.7", "192.0.2.8"], None, Some(registered(None)));
    bench.sent();
    bench.pass(limits::REGISTER_WAIT_MAX.as_secs());
    assert!(bench.asked().contains(&"REGISTER udp:192.0.2.8:5060".to_owned()));
}

/// One that is held, and nothing else under way.
fn held(targets: &[&str]) -> (Bench, String) {
    let mut bench = Bench::new(targets, None, Some(registered(Some("registrar.example"))));
    let first = register(&mut bench);
    bench.answer(&first, 200, "Expires: 3600\r\n");
    assert!(bench.is_registered());
    (bench, first)
}

fn leave(bench: &mut Bench) {
    bench.turn(|trunks, turn| trunks.leave(turn));
}

/// RFC 3261 §10.2.2.
#[test]
fn a_registration_is_taken_back_with_proof_and_never_made_again() {
    let (mut bench, first) = held(&["192.0.2.7"]);
    leave(&mut bench);
    let back = register(&mut bench);
    assert_eq!((header(&back, "Expires"), header(&back, "CSeq")), ("0", "2 REGISTER"));
    for name in ["Call-ID", "From", "To", "Contact"] {
        assert_eq!(header(&back, name), header(&first, name), "{name}");
    }
    assert!(bench.trunks.is_leaving() && !bench.is_registered());
    leave(&mut bench);
    assert_eq!(bench.asked(), [""; 0], "once is enough");
    bench.answer(&back, 401, CHALLENGE);
    let proven = register(&mut bench);
    assert_eq!((header(&proven, "Expires"), header(&proven, "CSeq")), ("0", "3 REGISTER"));
    assert!(header(&proven, "Authorization").starts_with("Digest username=\"us\""));
    assert!(bench.trunks.is_leaving());
    bench.answer(&proven, 200, "");
    assert!(!bench.trunks.is_leaving());
    bench.pass(10_000);
    assert_eq!(bench.asked(), [""; 0]);
}

#[test]
fn a_registrar_that_will_not_hear_of_it_is_not_waited_for() {
    for status in [Some(403), Some(423), Some(503), Some(408), None] {
        // There is another target, which never knew of us.
        let (mut bench, _) = held(&["192.0.2.7", "192.0.2.8"]);
        leave(&mut bench);
        let back = register(&mut bench);
        match status {
            Some(status) => bench.answer(&back, status, "Min-Expires: 60\r\n"),
            None => bench.pass(limits::UNREGISTER_WAIT_MAX.as_secs()),
        }
        assert!(!bench.trunks.is_leaving(), "{status:?}");
        bench.pass(10_000);
        assert!(bench.sent().iter().all(|(_, text)| *text == back), "{status:?}: it is repeated at most");
    }
}

#[test]
fn what_is_not_registered_is_not_taken_back_and_what_is_being_made_has_its_answer_first() {
    let mut bench = Bench::new(&["192.0.2.7"], None, Some(registered(None)));
    let first = register(&mut bench);
    bench.answer(&first, 500, "");
    leave(&mut bench);
    assert_eq!((bench.asked(), bench.trunks.is_leaving()), (vec![], false));
    bench.pass(10_000);
    assert_eq!(bench.asked(), [""; 0]);
    // §10.2: not before the final answer to the one before.
    for (status, taken_back) in [(Some(200), true), (Some(403), false), (Some(401), false), (None, false)] {
        let mut bench = Bench::new(&["192.0.2.7"], None, Some(registered(None)));
        let first = register(&mut bench);
        leave(&mut bench);
        assert_eq!((bench.asked(), bench.trunks.is_leaving()), (vec![], true), "{status:?}");
        match status {
            Some(status) => bench.answer(&first, status, CHALLENGE),
            None => bench.pass(limits::UNREGISTER_WAIT_MAX.as_secs()),
        }
        assert_eq!(bench.trunks.is_leaving(), taken_back, "{status:?}");
        let sent: Vec<String> = bench.sent().into_iter().map(|(_, text)| text).collect();
        let expires: Vec<&str> =
            sent.iter().filter(|text| **text != first).map(|text| header(text, "Expires")).collect();
        assert_eq!(expires, if taken_back { vec!["0"] } else { vec![] }, "{status:?}");
    }
    // It was to be renewed: what there was before is still there.
    let (mut bench, _) = held(&["192.0.2.7"]);
    bench.pass(3_300);
    let again = register(&mut bench);
    leave(&mut bench);
    bench.answer(&again, 403, "");
    assert_eq!(header(&register(&mut bench), "Expires"), "0");
    assert!(bench.trunks.is_leaving());
    bench.pass(limits::UNREGISTER_WAIT_MAX.as_secs());
    assert!(!bench.trunks.is_leaving());
}

#[test]
fn a_way_without_a_listener_of_ours_is_no_way() {
    let mut bench = Bench::new(&["[2001:db8::7]", "sips:192.0.2.7"], Some(10), None);
    bench.pass(60);
    assert_eq!((bench.asked(), bench.is_up()), (Vec::new(), false));
}

/// Whatever order answers, silences and DNS come in: one ping a target at a time, numbers only grow, nothing is left behind.
#[test]
fn any_order_of_events_keeps_to_the_rules() {
    let mut all = 0;
    for seed in 0..60 {
        let mut chance = Rng::from_seed([seed; 32]);
        let mut bench = Bench::new(&["gw.example", "192.0.2.7"], Some(7), Some(registered(None)));
        let (mut open, mut cseq, mut proofs): (Vec<String>, u32, u32) = (Vec::new(), 0, 0);
        let (leaves, mut left_at) = (chance.below(600), None);
        for step in 0..400 {
            if step == leaves {
                leave(&mut bench);
                left_at = Some((bench.now.at, cseq));
            }
            bench.pass(u64::from(chance.below(4)));
            let is_over = left_at.is_some_and(|(at, _)| bench.now.at >= at + limits::UNREGISTER_WAIT_MAX);
            assert!(!(is_over && bench.trunks.is_leaving()), "seed {seed}: it is not waited for longer");
            for (_, text) in bench.sent() {
                if open.contains(&text) {
                    continue;
                }
                if text.starts_with("REGISTER") {
                    let number: u32 = header(&text, "CSeq").split(' ').next().unwrap().parse().unwrap();
                    // A repetition of an earlier one has its number.
                    assert!(number <= cseq + 1, "{number} after {cseq}");
                    cseq = cseq.max(number);
                    let is_back = left_at.is_none_or(|(_, before)| number <= before || header(&text, "Expires") == "0");
                    assert!(is_back, "seed {seed}: nothing is registered any more: {text}");
                    proofs += u32::from(!header(&text, "Authorization").is_empty());
                }
                open.push(text);
            }
            let counts = bench.endpoint.counts();
            // Each ping is waited for 5 s and its transaction lives for 32 s: a handful, and a REGISTER or two.
            assert!(counts.client_transactions <= 2 * 12 + 6, "{counts:?}");
            if chance.below(3) == 0 && !open.is_empty() {
                let at = usize::try_from(chance.below(u32::try_from(open.len()).unwrap())).unwrap();
                let text = open.swap_remove(at);
                let status = [200, 200, 401, 403, 408, 423, 500, 503][usize::try_from(chance.below(8)).unwrap()];
                let extra = if status == 401 { CHALLENGE } else { "Min-Expires: 700\r\n" };
                bench.answer(&text, status, extra);
            }
            if bench.trunks.poll_locate().is_some() && chance.below(3) > 0 {
                let hops = ["192.0.2.1:5060", "192.0.2.2:5060"];
                bench.located(0, if chance.below(4) == 0 { Err(Unlocated::Unanswered) } else { Ok(&hops) });
            }
        }
        assert!(proofs <= cseq / 2 + 1, "seed {seed}: no challenge is answered twice: {proofs} of {cseq}");
        all += cseq;
    }
    assert!(all > 200, "{all} requests are too few to say anything");
}
