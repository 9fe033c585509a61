//! rtpengine as what Parkway's relay is compared with: user space, one thread, its offers and answers over the NG protocol.
//! Not here: load. PERF "How to measure" says how it must run for a fair comparison.

use super::daemon::free_udp;
use super::{cpu, kernel, leg};
use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// How long it may take until it answers.
const START_MAX: Duration = Duration::from_secs(20);

/// A running rtpengine; it ends with this value.
pub(crate) struct Rtpengine {
    child: Child,
    control: UdpSocket,
    asked: u64,
}

impl Rtpengine {
    /// Whether it is installed; says so if it is not.
    pub(crate) fn is_installed() -> bool {
        super::is_installed("rtpengine", "--version")
    }

    /// Starts it, and waits until it answers.
    pub(crate) fn start(of_server: Option<usize>) -> Rtpengine {
        let ng = free_udp();
        let mut command = cpu::command_on(of_server, "rtpengine");
        command.args(["--foreground", "--config-file=none", "--table=-1", "--num-threads=1", "--delete-delay=0"]);
        command.args(["--interface=127.0.0.3", "--port-min=10000", "--port-max=65000", "--timeout=3600"]);
        command.args(["--log-level=2", "--log-stderr"]).arg(format!("--listen-ng={ng}"));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let control = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
        control.connect(ng).expect("loopback is reachable");
        control.set_read_timeout(Some(Duration::from_millis(200))).expect("the time is not zero");
        let mut rtpengine = Rtpengine { child: child.expect("rtpengine can be started"), control, asked: 0 };
        rtpengine.wait_until_ready();
        rtpengine
    }

    fn wait_until_ready(&mut self) {
        let until = Instant::now() + START_MAX;
        while self.ask("d7:command4:pinge").is_none() {
            let ended = self.child.try_wait().expect("a child can be waited for");
            assert!(ended.is_none(), "rtpengine ended at once: {ended:?}");
            assert!(Instant::now() < until, "rtpengine did not get ready within {START_MAX:?}");
        }
    }

    /// Makes a session between two addresses; says where it takes what each of them sends.
    pub(crate) fn bridge(&mut self, session: usize, [caller, client]: [SocketAddrV4; 2]) -> [SocketAddrV4; 2] {
        let call = ("call-id", format!("session-{session}"));
        let from = ("from-tag", "caller".to_owned());
        let offer = [("command", "offer".to_owned()), call.clone(), from.clone(), ("sdp", sdp(caller))];
        let answer =
            [("command", "answer".to_owned()), call, from, ("to-tag", "client".to_owned()), ("sdp", sdp(client))];
        // Each description in an answer is for the other side: that is where the other side's packets are to go.
        let for_client = self.describe(&offer);
        let for_caller = self.describe(&answer);
        [for_caller, for_client]
    }

    fn describe(&mut self, words: &[(&str, String)]) -> SocketAddrV4 {
        let text: String = words.iter().map(|(key, value)| string(key) + &string(value)).collect();
        let answer = self.ask(&format!("d3:ICE6:remove{text}e")).expect("rtpengine answers");
        leg::media_address(&answer).unwrap_or_else(|| panic!("rtpengine makes no session: {answer}"))
    }

    /// A dictionary as bencode, and the answer to it.
    fn ask(&mut self, dictionary: &str) -> Option<String> {
        self.asked += 1;
        let cookie = self.asked.to_string();
        self.control.send(format!("{cookie} {dictionary}").as_bytes()).ok()?;
        let mut buffer = [0; 4096];
        let length = self.control.recv(&mut buffer).ok()?;
        let answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
        answer.strip_prefix(&format!("{cookie} ")).map(str::to_owned)
    }

    /// Its processes.
    pub(crate) fn ids(&self) -> Vec<u32> {
        kernel::family(self.child.id())
    }
}

impl Drop for Rtpengine {
    fn drop(&mut self) {
        // If it has ended by itself already, there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A string as bencode has it.
fn string(text: &str) -> String {
    format!("{}:{text}", text.len())
}

fn sdp(address: SocketAddrV4) -> String {
    leg::description(SocketAddr::V4(address))
}
