//! Kamailio as a carrier's proxy between its caller and us: stateful, record-routing, over UDP, TCP and TLS. Over TLS it shows a certificate,
//! which alone makes it a trunk. Requests in the dialog take its way in both directions.
//! Not here: what Kamailio costs (`benches/calls`).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod common;

use common::authority::Authority;
use common::sipp::is_installed;
use common::story::{NUMBER, Side, assert_hear_each_other, park};
use common::{Daemon, Phone, Rights, Setup, Sipp, Subscriber, Voice, Wire, program, until};
use std::fs;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

#[test]
fn calls_go_through_a_record_routing_proxy_over_udp() {
    calls("udp");
}

#[test]
fn calls_go_through_a_record_routing_proxy_over_tcp() {
    calls("tcp");
}

#[test]
fn calls_go_through_a_record_routing_proxy_over_tls_whose_certificate_makes_it_a_trunk() {
    calls("tls");
}

/// Who hangs up, and a hold in between.
const CALLS: [(&str, &str); 3] = [
    ("caller.xml", "client.xml"),
    ("caller_hangs_up.xml", "client_hung_up_on.xml"),
    ("caller_holds.xml", "client_held.xml"),
];

fn calls(transport: &str) {
    if !is_installed() || !program::is_installed("kamailio", "kamailio") {
        return;
    }
    let tls = Path::new("/usr/lib/x86_64-linux-gnu/kamailio/modules/tls.so");
    if transport == "tls" && !program::is_there(tls) {
        return;
    }
    let dir = tempfile::TempDir::new().unwrap();
    let (ours, carriers) = (Authority::new(), Authority::new());
    ours.put(dir.path(), "sip.parkway.example");
    carriers.put(dir.path(), "sbc.carrier.example");
    fs::write(dir.path().join("ours.pem"), ours.pem()).unwrap();
    fs::write(dir.path().join("carriers.pem"), carriers.pem()).unwrap();
    let daemon = Daemon::start_as(&setup(dir.path(), transport));
    let to = if transport == "tls" { daemon.tls.unwrap() } else { daemon.sip };
    let proxy = Kamailio::start(dir.path(), &format!("sip:{to};transport={transport}"), transport == "tls");
    let through = proxy.sip.to_string();
    for (caller, client) in CALLS {
        let mut subscriber = Subscriber::ready(&daemon, "demo");
        let trunk = Sipp::start_with(&daemon, caller, &[("number", NUMBER)], &["-m", "1", "-rsa", &through]);
        let incoming = subscriber.incoming();
        let keys = [("callback", incoming.sip.as_str()), ("token", &incoming.token), ("jwt", &subscriber.jwt)];
        // The client is no neighbour of the proxy's: it comes by itself.
        let phone = Sipp::start_with(&daemon, client, &keys, &["-m", "1"]);
        let heard = trunk.succeed();
        phone.succeed();
        assert!(heard.messages.contains(&format!("Record-Route: <sip:{through}")), "{caller}: {}", heard.messages);
    }
    let records = daemon.finish(CALLS.len());
    assert!(
        records.iter().all(|record| record["outcome"] == "answered" && record["trunk"] == "carrier"),
        "{records:#?}"
    );
}

/// An edge: telephones register through it with a Path (RFC 3327), and are rung through it. None of them knows where we are.
#[test]
fn a_telephone_behind_an_edge_registers_and_is_rung_through_it() {
    let path = Path::new("/usr/lib/x86_64-linux-gnu/kamailio/modules/path.so");
    if !program::is_installed("kamailio", "kamailio") || !program::is_there(path) {
        return;
    }
    for transport in ["udp", "tcp"] {
        let dir = tempfile::TempDir::new().unwrap();
        let tables = "[[trunk]]\nname = \"carrier\"\nallow = [\"127.0.0.1\"]\n\
                      [[route]]\nnumber = \"*\"\nname = \"demo\"\nring = \"invite\"\n";
        let daemon = Daemon::start_as(&Setup { tables: tables.into(), ..Setup::default() });
        let edge = Kamailio::start(dir.path(), &format!("sip:{};transport={transport}", daemon.sip), false);
        let jwt = daemon.mint(&Rights::full("demo"));
        let mut phone = Phone::new(edge.sip, Wire::Plain);
        let aor = format!("<sip:demo@{}>", daemon.sip);
        let contact = format!("Contact: <sip:anna@{}>\r\nExpires: 600\r\nSupported: path\r\n", phone.address());
        phone.ask_with(
            &format!("sip:{}", daemon.sip),
            &aor,
            "REGISTER",
            &format!("{contact}Authorization: Bearer {jwt}\r\n"),
        );
        let vector = phone.expect(200).header("path").to_owned();
        assert!(vector.contains(&format!("{}", edge.address(transport))) && vector.contains(";lr"), "{vector}");
        let mut caller = park(&daemon);
        let invite = phone.expect_request("INVITE");
        assert!(invite.start.starts_with(&format!("INVITE sip:anna@{} ", phone.address())), "{invite:#?}");
        assert_eq!((invite.all("via").count(), invite.header("route")), (2, ""), "the edge has taken itself out");
        let mut voice = Voice::bind();
        // The ringing has to be acknowledged, by the edge too.
        phone.answer_invite_with(&invite, "anna", 183, "Require: 100rel\r\nRSeq: 4\r\n", &voice.sdp());
        let prack = phone.expect_request("PRACK");
        assert_eq!((prack.header("rack"), prack.direction()), ("4 1 INVITE", "inactive"));
        phone.answer(&prack, 200, "");
        phone.answer_invite(&invite, "anna", 200, "");
        phone.poll_ack().expect("an ACK");
        let again = phone.expect_request("INVITE");
        phone.answer(&again, 200, &common::voice::sdp(voice.address(), "sendrecv", 2));
        let ack = phone.poll_ack().expect("an ACK with our answer");
        let answer = caller.phone.expect(200);
        caller.voice.talk(answer.audio().unwrap(), 440);
        voice.talk(ack.audio().unwrap(), 350);
        let mut desk = Side { phone, voice };
        assert_hear_each_other(&caller, &desk);
        caller.phone.hang_up();
        desk.phone.be_hung_up_on();
        assert_eq!(daemon.finish(1)[0]["outcome"], "answered");
    }
}

/// Over TLS nobody is a trunk by his address, only by what he shows.
fn setup(dir: &Path, transport: &str) -> Setup {
    let file = |name: &str| dir.join(name);
    let route = "[[route]]\nnumber = \"*\"\nname = \"demo\"\n";
    if transport != "tls" {
        return Setup {
            tables: format!("[[trunk]]\nname = \"carrier\"\nallow = [\"127.0.0.1\"]\n{route}"),
            ..Setup::default()
        };
    }
    let tables = format!(
        "[tls]\nclient_authorities_file = {:?}\n[[tls.certificate]]\nchain_file = {:?}\nkey_file = {:?}\n\
         [[trunk]]\nname = \"carrier\"\ntls_names = [\"sbc.carrier.example\"]\n{route}",
        file("carriers.pem"),
        file("sip.parkway.example.pem"),
        file("sip.parkway.example.key")
    );
    Setup { tables, set: vec!["sip.listen=127.0.0.1:0,tls:127.0.0.1:0".into()], ..Setup::default() }
}

/// A running Kamailio. Dropping it ends it, by its own id.
struct Kamailio {
    child: Child,
    /// Where it takes calls, over UDP.
    sip: SocketAddr,
    tcp: SocketAddr,
    log: PathBuf,
}

impl Kamailio {
    fn start(dir: &Path, next: &str, tls: bool) -> Kamailio {
        let free_udp = || UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let free_tcp = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (sip, tcp) = (free_udp(), free_tcp());
        let secure = tls.then(|| {
            let file = |name: &str| dir.join(name).display().to_string();
            let words = format!(
                "method = TLSv1.2+\nverify_certificate = yes\nrequire_certificate = no\nprivate_key = {}\n\
                 certificate = {}\nca_list = {}\n",
                file("sbc.carrier.example.key"),
                file("sbc.carrier.example.pem"),
                file("ours.pem")
            );
            fs::write(dir.join("tls.cfg"), format!("[server:default]\n{words}\n[client:default]\n{words}")).unwrap();
            format!(
                "enable_tls=yes\nlisten=tls:{}\nloadmodule \"tls.so\"\nmodparam(\"tls\", \"config\", \"{}\")\n",
                free_tcp(),
                file("tls.cfg")
            )
        });
        let text = configuration(sip, tcp, next, &secure.unwrap_or_default());
        fs::write(dir.join("kamailio.cfg"), text).unwrap();
        let log = fs::File::create(dir.join("kamailio.log")).unwrap();
        let mut command = Command::new("kamailio");
        command.args(["-DD", "-E", "-m", "64", "-M", "8", "-f"]).arg(dir.join("kamailio.cfg")).arg("-Y").arg(dir);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let mut kamailio = Kamailio { child: command.spawn().unwrap(), sip, tcp, log: dir.join("kamailio.log") };
        until("Kamailio answers", Duration::from_secs(20), || {
            let ended = kamailio.child.try_wait().unwrap();
            let log = || fs::read_to_string(dir.join("kamailio.log")).unwrap_or_default();
            assert!(ended.is_none(), "{ended:?}: {}", log());
            kamailio.answers().then_some(())
        });
        kamailio
    }

    fn address(&self, transport: &str) -> SocketAddr {
        if transport == "tcp" { self.tcp } else { self.sip }
    }

    fn answers(&self) -> bool {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let own = socket.local_addr().unwrap();
        let options = format!(
            "OPTIONS sip:{} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bKready\r\nMax-Forwards: 70\r\n\
             From: <sip:ready@{own}>;tag=1\r\nTo: <sip:{}>\r\nCall-ID: ready\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
            self.sip, self.sip
        );
        socket.send_to(options.as_bytes(), self.sip).unwrap();
        socket.recv(&mut [0; 2048]).is_ok()
    }
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        if !self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
            // By a signal, so that it ends its children too.
            program::signal(self.child.id(), "TERM");
        }
        let _ended = program::wait(&mut self.child, Duration::from_secs(10));
        if std::thread::panicking() {
            eprintln!("--- Kamailio's log ---\n{}", fs::read_to_string(&self.log).unwrap_or_default());
        }
    }
}

/// What the benches' proxy does with each request, too.
const USUAL: &str = include_str!("kamailio/usual.cfg");

/// All calls go on to `next`; what is in a dialog goes where its Route says.
fn configuration(sip: SocketAddr, tcp: SocketAddr, next: &str, tls: &str) -> String {
    format!(
        r#"#!KAMAILIO
debug=1
log_stderror=yes
children=1
tcp_children=2
listen=udp:{sip}
listen=tcp:{tcp}
auto_aliases=no
dns=no
rev_dns=no
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "siputils.so"
loadmodule "path.so"
{tls}
modparam("rr", "enable_double_rr", 1)

{USUAL}
request_route {{
    if (method == "REGISTER") {{
        add_path();
        $du = "{next}";
        t_relay();
        exit;
    }}
    route(USUAL);
    if ($hdr(Route) == $null) {{
        $du = "{next}";
    }} else {{
        loose_route();
    }}
    t_relay();
}}
"#
    )
}
