//! rtpengine as what Parkway's relay is compared with: user space, one thread, its offers and answers over the NG protocol.
//! Not here: load. PERF "How to measure" says how it must run for a fair comparison.

use super::parkway::free_udp;
use super::rtp::Ends;
use super::secure::Master;
use super::{cpu, failed, kernel, leg, table};
use crate::daemon::Failure;
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV4, UdpSocket};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// How long it may take until it answers.
const START_MAX: Duration = Duration::from_secs(20);

/// A running rtpengine; it ends with this value.
pub(super) struct Rtpengine {
    child: Child,
    control: UdpSocket,
    asked: u64,
}

impl Rtpengine {
    /// Whether it is installed; says so if it is not.
    pub(super) fn is_installed() -> bool {
        table::is_installed("rtpengine", "--version")
    }

    /// Starts it with its ports on that address, and waits until it answers.
    pub(super) fn start(of_server: Option<usize>, address: IpAddr) -> Result<Rtpengine, Failure> {
        let ng = free_udp()?;
        let mut command = cpu::command_on(of_server, "rtpengine");
        command.args(["--foreground", "--config-file=none", "--table=-1", "--num-threads=1", "--delete-delay=0"]);
        command.args(["--port-min=10000", "--port-max=65000", "--timeout=3600", "--log-level=2", "--log-stderr"]);
        command.args([format!("--interface={address}"), format!("--listen-ng={ng}")]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.map_err(|error| failed(format!("rtpengine cannot be started: {error}")))?;
        let control = control(ng).map_err(|error| failed(format!("no socket to ask rtpengine with: {error}")));
        let mut rtpengine = Rtpengine { child, control: control?, asked: 0 };
        rtpengine.wait_until_ready()?;
        Ok(rtpengine)
    }

    fn wait_until_ready(&mut self) -> Result<(), Failure> {
        let until = Instant::now() + START_MAX;
        while self.ask("d7:command4:pinge").is_none() {
            if let Ok(Some(ended)) = self.child.try_wait() {
                return Err(failed(format!("rtpengine ended at once: {ended}; `--alone` leaves it out")));
            }
            if Instant::now() > until {
                return Err(failed(format!("rtpengine did not get ready within {START_MAX:?}")));
            }
        }
        Ok(())
    }

    /// Makes a session between two ends; says where it takes what each of them sends.
    pub(super) fn bridge(&mut self, session: u16, own: &Ends) -> Result<Ends, Failure> {
        let call = [("call-id", format!("session-{session}")), ("from-tag", "caller".to_owned())];
        let mut offer = vec![("command", "offer".to_owned()), ("sdp", sdp(own.at[0], ""))];
        if own.key.is_some() {
            offer.push(("transport-protocol", "RTP/SAVP".to_owned()));
        }
        // Each description in an answer is for the other side: that is where the other side's packets are to go.
        let for_client = self.describe(&[&call[..], &offer].concat())?;
        let keys = own.key.as_ref().map(|own| {
            let key = Master::read(own.suite(), &for_client);
            key.ok_or_else(|| failed(format!("rtpengine offers no {}", own.suite().name())))
                .map(|key| (own.answering(&key), key))
        });
        let (own_key, key) = keys.transpose()?.unzip();
        let crypto = own_key.as_ref().map(Master::attribute).unwrap_or_default();
        let answer =
            [("command", "answer".to_owned()), ("to-tag", "client".to_owned()), ("sdp", sdp(own.at[1], &crypto))];
        let for_caller = self.describe(&[&call[..], &answer].concat())?;
        let address = |answer: &str| {
            leg::media_address(answer).ok_or_else(|| failed(format!("rtpengine makes no session: {answer}")))
        };
        Ok(Ends { at: [address(&for_caller)?, address(&for_client)?], key })
    }

    fn describe(&mut self, words: &[(&str, String)]) -> Result<String, Failure> {
        let text: String = words.iter().map(|(key, value)| string(key) + &string(value)).collect();
        self.ask(&format!("d3:ICE6:remove{text}e")).ok_or_else(|| failed("rtpengine does not answer"))
    }

    /// A dictionary as bencode, and the answer to it.
    fn ask(&mut self, dictionary: &str) -> Option<String> {
        self.asked += 1;
        let cookie = self.asked.to_string();
        self.control.send(format!("{cookie} {dictionary}").as_bytes()).ok()?;
        let mut buffer = [0; 4096];
        let length = self.control.recv(&mut buffer).ok()?;
        let answer = String::from_utf8_lossy(buffer.get(..length)?).into_owned();
        answer.strip_prefix(&format!("{cookie} ")).map(str::to_owned)
    }

    /// Its processes.
    pub(super) fn ids(&self) -> Vec<u32> {
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

fn control(ng: SocketAddr) -> io::Result<UdpSocket> {
    let control = UdpSocket::bind("127.0.0.1:0")?;
    control.connect(ng)?;
    control.set_read_timeout(Some(Duration::from_millis(200)))?;
    Ok(control)
}

/// A string as bencode has it.
fn string(text: &str) -> String {
    format!("{}:{text}", text.len())
}

fn sdp(address: SocketAddrV4, crypto: &str) -> String {
    leg::description(SocketAddr::V4(address), crypto)
}
