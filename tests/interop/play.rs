//! One scenario, one way, against a daemon of its own: who is at the other side, what came of it, and what it left behind.
//! Not here: what the other side does in its call (`other`), and what was to be expected (`table`).

use crate::common::{Daemon, Finished, Incoming, Phone, Rights, Setup, Sipp, Subscriber, Voice, Wire, until};
use crate::other::{self, Deed, Manner};
use crate::table::{Expect, Row, Way};
use crate::trace;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// SIPp's next port: not one of those that the kernel gives away, so that what is still sent to a scenario that is over reaches nobody.
static PORT: AtomicU16 = AtomicU16::new(10_000);
/// How arguments begin that are not SIPp's: a key of the configuration, a client's name and password, those that the trunk proves instead of
/// being known by its address, the realm of a registrar.
const FOR_THE_DAEMON: [&str; 4] = ["set:", "user:", "trunk:", "realm:"];
/// The number that is dialled where the scenario leaves it open.
pub(crate) const NUMBER: &str = "4930555000";
/// To whom calls are handed, and what the scenarios write for it.
const ANOTHER: &str = "charlie";
const NUMBERS_OF_ANOTHER: [&str; 3] = ["charlie", "4930777", "test"];
/// How long is waited before it is looked whether a scenario is over.
const GLANCE: Duration = Duration::from_millis(50);
/// How long SIPp may take to listen.
const BEGUN_AFTER: Duration = Duration::from_millis(700);
/// When the other side hangs up: the scenario may have changed its session before.
const HANGS_UP_AFTER_MS: u64 = 1500;
/// How long a scenario may run in all, and wait for each message; arguments of a row are stronger.
const LIMITS: [&str; 6] = ["-m", "1", "-timeout", "60s", "-recv_timeout", "12000"];
/// RFC 3261 §17: nothing that a call has left may live longer than 64*T1 after its last message, T4 later at most.
const TRANSACTIONS_END: Duration = Duration::from_secs(37);
/// A call whose caller has gone without a word ends only when its BYE stays unanswered, so its transactions live twice as long.
const LONGEST: Duration = Duration::from_secs(120);

/// Over what SIPp's messages go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Over {
    /// UDP and IPv4.
    Udp,
    /// TCP and IPv4.
    Tcp,
    /// UDP and IPv6, and so does the audio.
    Udp6,
}

/// A scenario that is to be played, one way.
#[derive(Clone, Copy)]
pub(crate) struct Run<'a> {
    pub(crate) row: &'a Row,
    pub(crate) way: Way,
    pub(crate) over: Over,
}

/// How it went.
pub(crate) struct Played<'a> {
    pub(crate) run: Run<'a>,
    /// SIPp's requests and their answers.
    pub(crate) answers: Vec<String>,
    /// How long it took.
    pub(crate) took: Duration,
    /// All that went over the wire, as SIPp tells it.
    pub(crate) account: String,
    /// What was wrong; empty when all was right.
    pub(crate) wrong: String,
    /// With its sockets at the start, to be looked into when transactions have had their time.
    daemon: Option<(Daemon, usize)>,
    over: Instant,
}

/// Plays a scenario. `slot` is a number that no other scenario has that plays now.
pub(crate) fn play<'a>(run: Run<'a>, scenarios: &Path, slot: u16) -> Played<'a> {
    let mut played = play_once(run, scenarios, slot);
    // Somebody else took the port that was free a moment before.
    while played.wrong.contains("Address already in use") {
        played = play_once(run, scenarios, slot);
    }
    played
}

fn play_once<'a>(run: Run<'a>, scenarios: &Path, slot: u16) -> Played<'a> {
    let began = Instant::now();
    let port = PORT.fetch_add(1, Ordering::Relaxed);
    let daemon = Daemon::start_as(&setup(run, slot, port));
    let sockets = daemon.sockets();
    let result = catch_unwind(AssertUnwindSafe(|| perform(run, scenarios, &daemon, port)));
    let (took, over) = (began.elapsed(), Instant::now());
    let (account, answers, wrong) = match result {
        Ok(finished) => {
            let answers = trace::answers(&finished.messages);
            let wrong = judge(&run.row.expect, &answers, &trace::heard(&finished.messages), &finished);
            (finished.messages, answers, wrong)
        }
        Err(panic) => (String::new(), Vec::new(), format!("the other side: {}", text(&*panic))),
    };
    Played { run, answers, took, account, wrong, daemon: Some((daemon, sockets)), over }
}

fn setup(run: Run<'_>, slot: u16, port: u16) -> Setup {
    let Run { row, way, over } = run;
    let low = 20_000 + slot * 40;
    let mut set = vec![format!("media.port_min={low}"), format!("media.port_max={}", low + 39)];
    if way == Way::NobodyAnswers {
        set.push("park.seconds_max=1".to_owned());
    }
    if way == Way::Drained {
        set.push("drain.seconds_max=1".to_owned());
    }
    set.extend(row.arguments.iter().filter_map(|argument| argument.strip_prefix("set:")).map(str::to_owned));
    let mut setup = Setup { set, ..Setup::default() };
    setup.tables = setup.tables.replace("allow =", &format!("{}allow =", ours_at(run, port)));
    let accounts = |what| row.arguments.iter().filter_map(move |argument| argument.strip_prefix(what)?.split_once(':'));
    for (name, secret) in accounts("user:") {
        setup.tables += &format!("[[user]]\nname = \"{name}\"\nsecret = \"{secret}\"\nreceive = [\"{name}\"]\n");
    }
    for (name, secret) in accounts("trunk:") {
        let by_password = format!("user = \"{name}\"");
        setup.tables = setup.tables.replace("allow = [\"127.0.0.0/8\"]", &by_password);
        setup.tables += &format!("[[user]]\nname = \"{name}\"\nsecret = \"{secret}\"\n");
    }
    if way == Way::RungHandsOver {
        let route = |number| format!("[[route]]\nnumber = \"{number}\"\nname = \"{ANOTHER}\"\n");
        let routes = NUMBERS_OF_ANOTHER.map(route).concat() + "[[route]]";
        setup.tables = setup.tables.replace("[[route]]", &routes);
    }
    if way.is_rung() {
        setup.tables = setup.tables.replace("name = \"demo\"", "name = \"demo\"\nring = \"invite\"");
    }
    if over == Over::Udp6 {
        setup.set.push("sip.listen=[::1]:0".to_owned());
        setup.tables = setup.tables.replace("127.0.0.0/8", "::1/128");
    }
    if way == Way::Stranger {
        setup.tables = setup.tables.replace("::1/128", "2001:db8::/32");
        setup.tables = setup.tables.replace("127.0.0.0/8", "192.0.2.0/24");
    }
    setup
}

/// What the trunk is wanted for at that port, if SIPp is no caller.
fn ours_at(Run { row, way, over }: Run<'_>, port: u16) -> String {
    let realm = row.arguments.iter().find_map(|argument| argument.strip_prefix("realm:")).unwrap_or("carrier.example");
    let target = match over {
        Over::Udp => format!("127.0.0.1:{port}"),
        Over::Tcp => format!("sip:127.0.0.1:{port};transport=tcp"),
        Over::Udp6 => format!("[::1]:{port}"),
    };
    let account = "uri = \"sip:us@carrier.example\", user = \"us\", password = \"a password\"";
    match way {
        Way::Target => format!("targets = [\"{target}\"]\nhealth_seconds = 2\n"),
        Way::Registrar => {
            format!("targets = [\"{target}\"]\nhealth_seconds = 0\nregister = {{ {account}, realm = \"{realm}\" }}\n")
        }
        Way::Answered | Way::HungUpOn | Way::Reinvited | Way::Held | Way::ReinviteRefused | Way::Declined => {
            String::new()
        }
        Way::Alone | Way::NobodyAnswers | Way::Stranger | Way::Drained => String::new(),
        Way::Callback | Way::CallbackHungUpOn => String::new(),
        Way::Rung | Way::RungHungUpOn | Way::RungInVain | Way::RungReinvited | Way::RungHeld => String::new(),
        Way::RungHandsOver => String::new(),
    }
}

fn judge(expect: &Expect, answers: &[String], heard: &[String], finished: &Finished) -> String {
    let is_right = match expect {
        Expect::Pass => finished.succeeded,
        Expect::Answers(expected) => {
            let (of_parkway, own): (Vec<String>, Vec<String>) =
                expected.iter().cloned().partition(|answer| answer.starts_with('<'));
            is_as(&own, answers, finished.succeeded) && (of_parkway.is_empty() || heard.starts_with(&of_parkway))
        }
        Expect::Nothing => false,
    };
    let complaint = finished.complaints.split("Resolving remote host").next().unwrap_or_default();
    if is_right { String::new() } else { format!("{expect:?}, but {answers:?}, {heard:?}; SIPp: {complaint}") }
}

/// A SIPp that is surprised by an answer says goodbye with a request that its scenario does not have.
fn is_as(expected: &[String], answers: &[String], succeeded: bool) -> bool {
    let Some((scenario, rest)) = answers.split_at_checked(expected.len()) else { return false };
    let is_goodbye = |answer: &String| answer.starts_with("BYE ") || answer.starts_with("CANCEL ");
    scenario == expected && if succeeded { rest.is_empty() } else { rest.iter().all(is_goodbye) }
}

fn perform(run: Run<'_>, scenarios: &Path, daemon: &Daemon, port: u16) -> Finished {
    let Run { row, way, over } = run;
    let file = scenarios.join(&row.file);
    let dir = lay_out_sounds(scenarios, daemon.dir());
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop").display().to_string();
    let own = row.arguments.iter().filter(|argument| !FOR_THE_DAEMON.iter().any(|word| argument.starts_with(word)));
    let fill_in = |argument: &String| argument.replace("{own}", &here).replace("{sip}", &daemon.sip.to_string());
    let own: Vec<String> = own.map(fill_in).collect();
    let port = port.to_string();
    let start = |number: &str| {
        let transport = if over == Over::Tcp { "t1" } else { "u1" };
        let general = LIMITS.into_iter().chain(["-s", number, "-t", transport, "-p", &port]);
        let arguments = general.chain(own.iter().map(String::as_str));
        Sipp::play(daemon, &file, &dir, &arguments.collect::<Vec<_>>())
    };
    let manner = manner(way);
    match way {
        Way::Alone | Way::NobodyAnswers | Way::Stranger | Way::Target | Way::Registrar => start(NUMBER).wait(),
        Way::Answered | Way::HungUpOn | Way::Reinvited | Way::Held | Way::ReinviteRefused => {
            answered(daemon, &start, manner, |_| true)
        }
        Way::Declined => declined(daemon, &start),
        Way::Drained => drained(daemon, &start, manner),
        Way::Callback | Way::CallbackHungUpOn => called_back(daemon, &start, manner),
        Way::Rung | Way::RungHungUpOn | Way::RungReinvited | Way::RungHeld => rung(daemon, &start, &port, Some(manner)),
        Way::RungInVain => rung(daemon, &start, &port, None),
        Way::RungHandsOver => with_another(daemon, || rung(daemon, &start, &port, Some(manner))),
    }
}

/// What the other side does of its own accord.
fn manner(way: Way) -> Manner {
    let deeds: &[(u64, Deed)] = match way {
        Way::HungUpOn | Way::CallbackHungUpOn | Way::RungHungUpOn => &[(HANGS_UP_AFTER_MS, Deed::HangsUp)],
        Way::Reinvited => &[(500, Deed::Reinvites("sendrecv"))],
        Way::RungReinvited => &[(500, Deed::Reinvites("sendrecv")), (3000, Deed::HangsUp)],
        Way::Held | Way::RungHeld => {
            &[(1000, Deed::Reinvites("sendonly")), (2000, Deed::Reinvites("sendrecv")), (3000, Deed::HangsUp)]
        }
        Way::Answered
        | Way::ReinviteRefused
        | Way::Declined
        | Way::Alone
        | Way::NobodyAnswers
        | Way::Stranger
        | Way::Callback
        | Way::Drained
        | Way::Registrar
        | Way::Rung
        | Way::RungHandsOver
        | Way::RungInVain
        | Way::Target => &[],
    };
    Manner { deeds, reinvite: if way == Way::ReinviteRefused { 488 } else { 200 } }
}

/// Where SIPp looks for what it is to play, and is run: any recording will do, nobody listens.
fn lay_out_sounds(scenarios: &Path, dir: &Path) -> PathBuf {
    let recording = scenarios.join("../rtp/sip-tester/g711a.pcap");
    let tests = "tests/channels/pjsip";
    let recordings = [
        "g711a.pcap",
        "g722.pcap",
        "pcap/g711a.pcap",
        "../pcap/g711a.pcap",
        "pcap/dtmf_2833_1.pcap",
        "__PCAP__",
        &format!("{tests}/dtmf_sdp/dtmf_sdp_recognition/sipp/opus-2013785496.pcap"),
        &format!("{tests}/dtmf_sdp/dtmf_sdp_recognition/sipp/opus-3125894607.pcap"),
        &format!("{tests}/dtmf_sdp/dtmf_sdp_recognition/sipp/ulaw-2013785496.pcap"),
        &format!("{tests}/dtmf_sdp/dtmf_sdp_recognition/sipp/ulaw-3125894607.pcap"),
        &format!("{tests}/non_negotiated_frame_SSRC_change/sipp/A_party_g711a.pcap"),
        &format!("{tests}/non_negotiated_frame_SSRC_change/sipp/g711a.pcap"),
        &format!("{tests}/non_negotiated_frame_SSRC_change/sipp/ssrc1.pcap"),
        &format!("{tests}/non_negotiated_frame_SSRC_change/sipp/ssrc2.pcap"),
        &format!("{tests}/rtp_ptime/non-transcode/sipp/40msalaw.pcap"),
    ];
    // What SIPp streams itself is a file of samples.
    let samples = [
        "lib/python/asterisk/audio.ulaw",
        "apattern",
        "sipp_scenarios/coco_jamboo_ulaw.wav",
        "beep_1sec_50x160b.alaw",
        "pauseapattern",
        "resumeapattern",
    ];
    let run = dir.join("sipp/run");
    let place = |name: &str| {
        let path = run.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    };
    recordings.iter().for_each(|name| symlink(&recording, place(name)).unwrap());
    samples.iter().for_each(|name| fs::write(place(name), [0xff; 8000]).unwrap());
    run
}

/// Begins the scenario for that number.
type Start<'a> = &'a dyn Fn(&str) -> Sipp;

/// SIPp is the caller: every call of its is called back for. `glance` is told again and again how many there were, and
/// says whether to listen for more.
fn answered(daemon: &Daemon, start: Start<'_>, manner: Manner, mut glance: impl FnMut(usize) -> bool) -> Finished {
    let mut client = subscriber(daemon);
    let mut sipp = start(NUMBER);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mut calls = 0;
        while sipp.is_running() {
            if !glance(calls) {
                std::thread::sleep(GLANCE);
                continue;
            }
            let Some(event) = client.poll(GLANCE).filter(|event| event["type"] == "incoming") else { continue };
            let (incoming, jwt) = (Incoming::of(event), client.jwt.clone());
            let is_over = &is_over;
            scope.spawn(move || call_back(daemon, &incoming, &jwt, manner, is_over));
            calls += 1;
        }
        is_over.store(true, Ordering::Relaxed);
    });
    sipp.wait()
}

/// Calls back and stays in the call.
fn call_back(daemon: &Daemon, incoming: &Incoming, jwt: &str, manner: Manner, is_over: &AtomicBool) {
    daemon.secrets.add(&incoming.token);
    let credentials = crate::common::story::credentials(&incoming.token, jwt);
    let (mut phone, voice) = phone(daemon.sip);
    phone.invite(&incoming.sip, &credentials, &other::offer(voice.address(), 1));
    other::attend(phone, &voice, manner, is_over);
}

/// Meanwhile somebody answers what is handed to the other name.
fn with_another(daemon: &Daemon, play: impl FnOnce() -> Finished) -> Finished {
    let mut another = Subscriber::ready(daemon, ANOTHER);
    let is_over = AtomicBool::new(false);
    let manner = Manner { deeds: &[], reinvite: 200 };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                if let Some(event) = another.poll(GLANCE).filter(|event| event["type"] == "incoming") {
                    call_back(daemon, &Incoming::of(event), &another.jwt, manner, &is_over);
                }
            }
        });
        let finished = catch_unwind(AssertUnwindSafe(play));
        is_over.store(true, Ordering::Relaxed);
        finished.unwrap_or_else(|panic| resume_unwind(panic))
    })
}

fn drained(daemon: &Daemon, start: Start<'_>, manner: Manner) -> Finished {
    let (mut stop_at, mut is_told) = (None, false);
    answered(daemon, start, manner, |calls| {
        if calls > 0 && !is_told {
            let at = *stop_at.get_or_insert_with(|| Instant::now() + Duration::from_secs(1));
            is_told = at <= Instant::now();
            if is_told {
                daemon.signal("TERM");
            }
        }
        !is_told
    })
}

fn declined(daemon: &Daemon, start: Start<'_>) -> Finished {
    let mut client = subscriber(daemon);
    let mut sipp = start(NUMBER);
    while sipp.is_running() {
        if let Some(event) = client.poll(GLANCE).filter(|event| event["type"] == "incoming") {
            client.say("decline", &Incoming::of(event).call);
        }
    }
    sipp.wait()
}

/// SIPp is the client: it dials the token of a call that a telephone of ours has made.
fn called_back(daemon: &Daemon, start: Start<'_>, manner: Manner) -> Finished {
    let mut client = subscriber(daemon);
    let (mut phone, voice) = phone(daemon.sip);
    phone.invite(&format!("sip:{NUMBER}@{}", daemon.sip), "", &other::offer(voice.address(), 1));
    phone.expect(180);
    let incoming = client.incoming();
    let dial = incoming.dial.expect("the client's grant says dial");
    let token = dial.strip_prefix("sip:").and_then(|rest| rest.split('@').next()).unwrap();
    let mut sipp = start(token);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| other::attend(phone, &voice, manner, &is_over));
        while sipp.is_running() {
            std::thread::sleep(GLANCE);
        }
        is_over.store(true, Ordering::Relaxed);
    });
    sipp.wait()
}

/// SIPp is a telephone that is rung at its port, where a telephone of ours has registered and made room for it. Without a manner the
/// caller gives up.
fn rung(daemon: &Daemon, start: Start<'_>, port: &str, manner: Option<Manner>) -> Finished {
    let here = SocketAddr::new(daemon.sip.ip(), port.parse().unwrap());
    let mut place = Phone::bound(here, daemon.sip, Wire::Plain);
    let jwt = daemon.mint(&Rights::full("demo").transfer(ANOTHER));
    let headers = format!("Contact: <sip:demo@{here}>\r\nExpires: 600\r\nAuthorization: Bearer {jwt}\r\n");
    place.ask_with(&format!("sip:{}", daemon.sip), &format!("<sip:demo@{}>", daemon.sip), "REGISTER", &headers);
    place.expect(200);
    drop(place);
    let mut sipp = start(NUMBER);
    std::thread::sleep(BEGUN_AFTER);
    let (mut phone, voice) = phone(daemon.sip);
    phone.invite(&format!("sip:{NUMBER}@{}", daemon.sip), "", &other::offer(voice.address(), 1));
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| match manner {
            Some(manner) => other::attend(phone, &voice, manner, &is_over),
            None => other::give_up(phone),
        });
        while sipp.is_running() {
            std::thread::sleep(GLANCE);
        }
        is_over.store(true, Ordering::Relaxed);
    });
    sipp.wait()
}

/// A telephone with its audio, on the daemon's own address.
fn phone(daemon: SocketAddr) -> (Phone, Voice) {
    let phone = Phone::bound(SocketAddr::new(daemon.ip(), 0), daemon, Wire::Plain);
    (phone, Voice::bind_at(daemon.ip()))
}

fn subscriber(daemon: &Daemon) -> Subscriber {
    let mut client = Subscriber::open(daemon, "demo", &Rights { dial: true, ..Rights::full("demo") });
    client.expect("synced");
    client
}

impl Played<'_> {
    /// When all transactions have had their time: nothing may be left, and the daemon ends as it should.
    pub(crate) fn look_for_leftovers(&mut self) {
        let Some((daemon, sockets)) = self.daemon.take() else { return };
        let result = catch_unwind(AssertUnwindSafe(|| leftovers(daemon, sockets, self.over, self.run.way)));
        if let Err(panic) = result {
            self.wrong += &format!(" left behind: {}", text(&*panic));
        }
    }
}

fn leftovers(mut daemon: Daemon, sockets: usize, over: Instant, way: Way) {
    // Who registers and asks for health goes on to do so.
    let goes_on = matches!(way, Way::Target | Way::Registrar);
    if goes_on {
        daemon.signal("TERM");
    } else if way != Way::Drained {
        std::thread::sleep((over + TRANSACTIONS_END).saturating_duration_since(Instant::now()));
        let left = || {
            let metrics = daemon.metrics();
            let families = ["parkway_calls", "parkway_sip_dialogs", "parkway_sip_transactions"];
            let used = metrics.value("parkway_rtp_port_pairs{state=\"used\"}");
            used + families.iter().map(|family| metrics.sum(family)).sum::<f64>()
        };
        let longest = (over + LONGEST).saturating_duration_since(Instant::now());
        let what = "no call, dialog, transaction or port";
        until(&format!("{what}; {}", daemon.metrics().left()), longest, || (left() == 0.0).then_some(()));
        until("no socket", Duration::from_secs(5), || (daemon.sockets() <= sockets).then_some(()));
        let ended = daemon.metrics().sum("parkway_calls_total");
        let records = u32::try_from(daemon.records().len()).unwrap();
        assert_eq!(f64::from(records), ended, "one record a call");
        daemon.signal("TERM");
    }
    let status = daemon.wait(Duration::from_secs(50));
    daemon.look_into_log();
    assert_eq!(status.code(), Some(0), "the daemon ends cleanly");
}

fn text(panic: &(dyn std::any::Any + Send)) -> String {
    let said = panic.downcast_ref::<String>().map(String::as_str);
    said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
}
