//! Kamailio as what Parkway is compared with: a stateful, record-routing proxy that keeps dialogs, in front of one client.
//! Not here: load. PERF "Signalling" says how it must run for a fair comparison: the fast allocator, one child, a large buffer.

use super::{cpu, kernel};
use parkway::bench::parkway::free_udp;
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};
use tempfile::TempDir;

/// How long it may take until it answers.
const START_MAX: Duration = Duration::from_secs(20);

/// A running Kamailio; it ends with this value.
pub(crate) struct Kamailio {
    child: Child,
    /// Where it takes calls.
    pub(crate) sip: SocketAddr,
    _directory: TempDir,
}

impl Kamailio {
    /// Whether it is installed; says so if it is not.
    pub(crate) fn is_installed() -> bool {
        super::is_installed("kamailio", "-v")
    }

    /// Starts it with all calls going to that client, and waits until it answers.
    pub(crate) fn start(of_server: Option<usize>, client: SocketAddr) -> Kamailio {
        let (directory, sip) =
            (TempDir::new().expect("there is room for a file"), free_udp().expect("loopback has a free port"));
        let file = directory.path().join("kamailio.cfg");
        fs::write(&file, configuration(sip, client)).expect("there is room for a file");
        let mut command = cpu::command_on(of_server, "kamailio");
        command.args(["-DD", "-E", "-x", "fm", "-X", "fm", "-m", "1500", "-M", "16", "-f"]).arg(&file);
        command.arg("-Y").arg(directory.path());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut kamailio = Kamailio { child: child.expect("Kamailio can be started"), sip, _directory: directory };
        kamailio.wait_until_ready();
        kamailio
    }

    fn wait_until_ready(&mut self) {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
        let own = socket.local_addr().expect("it is bound");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("the time is not zero");
        let options = format!(
            "OPTIONS sip:{sip} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bKready\r\nMax-Forwards: 70\r\n\
             From: <sip:ready@{own}>;tag=1\r\nTo: <sip:{sip}>\r\nCall-ID: ready\r\nCSeq: 1 OPTIONS\r\n\
             Content-Length: 0\r\n\r\n",
            sip = self.sip
        );
        let until = Instant::now() + START_MAX;
        loop {
            let _ = socket.send_to(options.as_bytes(), self.sip);
            if socket.recv(&mut [0; 2048]).is_ok() {
                return;
            }
            let ended = self.child.try_wait().expect("a child can be waited for");
            assert!(ended.is_none(), "Kamailio ended at once: {ended:?}");
            assert!(Instant::now() < until, "Kamailio did not get ready within {START_MAX:?}");
        }
    }

    /// Its processes.
    pub(crate) fn ids(&self) -> Vec<u32> {
        kernel::family(self.child.id())
    }

    /// Its memory, bytes (PSS).
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.ids().into_iter().map(kernel::memory_bytes).sum()
    }
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        // By a signal, so that it ends its children too.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        for _ in 0..100 {
            if self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the tests' proxy does with each request, too.
const USUAL: &str = include_str!("../../tests/kamailio/usual.cfg");

/// What a proxy in front of a telephone does with a call, and nothing else.
fn configuration(sip: SocketAddr, client: SocketAddr) -> String {
    format!(
        r#"#!KAMAILIO
debug=-1
log_stderror=yes
children=1
maxbuffer=4194304
listen=udp:{sip}
disable_tcp=yes
auto_aliases=no
dns=no
rev_dns=no
loadmodule "tm.so"
loadmodule "tmx.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "siputils.so"
loadmodule "dialog.so"

{USUAL}
request_route {{
    route(USUAL);
    dlg_manage();
    $du = "sip:{client}";
    t_relay();
}}
"#
    )
}
