//! What a telephone says and hears: G.711 tones over RTP (RFC 3550), one packet each 20 ms, and the SDP that offers them.
//! Not here: the call (`phone`).

use parkway::media::tone::{FRAME_SAMPLES, Law, Sine, dominant_hz};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// A session description with G.711 in both laws and key presses, as a phone at that address writes it.
pub(crate) fn sdp(local: SocketAddr, direction: &str, version: u32) -> String {
    describe(local, direction, version, &[(0, "PCMU/8000"), (8, "PCMA/8000"), (101, "telephone-event/8000")])
}

/// The same with other formats.
pub(crate) fn describe(local: SocketAddr, direction: &str, version: u32, formats: &[(u8, &str)]) -> String {
    let (ip, port, kind) = (local.ip(), local.port(), if local.is_ipv4() { "IP4" } else { "IP6" });
    let numbers: String = formats.iter().map(|(number, _)| format!(" {number}")).collect();
    let maps: String = formats.iter().map(|(number, name)| format!("a=rtpmap:{number} {name}\r\n")).collect();
    format!(
        "v=0\r\no=phone {port} {version} IN {kind} {ip}\r\ns=-\r\nc=IN {kind} {ip}\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP{numbers}\r\n{maps}a=ptime:20\r\na={direction}\r\n"
    )
}

/// What was heard.
#[derive(Clone, Default)]
pub(crate) struct Heard {
    /// Packets.
    pub(crate) packets: u32,
    /// Gaps in the sequence of those.
    pub(crate) lost: u32,
    next: Option<u16>,
    /// Packets that were not PCMU in RTP version 2, or came from elsewhere.
    pub(crate) strange: u32,
    samples: Vec<i16>,
}

impl Heard {
    /// The tone in the last tenth of a second.
    pub(crate) fn hz(&self) -> Option<u16> {
        dominant_hz(self.samples.rchunks(800).next().unwrap_or_default())
    }
}

/// A telephone's audio. Dropping it ends it.
pub(crate) struct Voice {
    socket: UdpSocket,
    heard: Arc<Mutex<Heard>>,
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Voice {
    /// Takes a port; nothing is said or heard yet.
    pub(crate) fn bind() -> Voice {
        Voice::bind_at(Ipv4Addr::LOCALHOST.into())
    }

    /// The same on another address.
    pub(crate) fn bind_at(ip: IpAddr) -> Voice {
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        Voice { socket, heard: Arc::default(), over: Arc::default(), threads: Vec::new() }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// Its offer or answer.
    pub(crate) fn sdp(&self) -> String {
        sdp(self.address(), "sendrecv", 1)
    }

    /// Says a tone to the other side and listens to what it says.
    pub(crate) fn talk(&mut self, remote: SocketAddr, hz: u16) {
        let (socket, over) = (self.socket.try_clone().unwrap(), Arc::clone(&self.over));
        self.threads.push(std::thread::spawn(move || say(&socket, remote, hz, &over)));
        let (socket, over) = (self.socket.try_clone().unwrap(), Arc::clone(&self.over));
        let heard = Arc::clone(&self.heard);
        self.threads.push(std::thread::spawn(move || listen(&socket, remote, &heard, &over)));
    }

    /// What was heard until now.
    pub(crate) fn heard(&self) -> Heard {
        self.heard.lock().unwrap().clone()
    }

    /// Waits until so many packets were heard.
    pub(crate) fn wait_for(&self, packets: u32) -> Heard {
        super::until("RTP", Duration::from_secs(15), || {
            let heard = self.heard();
            (heard.packets >= packets).then_some(heard)
        })
    }
}

impl Drop for Voice {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| _ = thread.join());
    }
}

fn say(socket: &UdpSocket, remote: SocketAddr, hz: u16, over: &AtomicBool) {
    let mut tone = Sine::new(hz);
    let mut packet = [0; 12 + FRAME_SAMPLES];
    packet[0] = 0x80;
    packet[8..12].copy_from_slice(&u32::from(hz).to_be_bytes());
    for sequence in 0u16.. {
        if over.load(Ordering::Relaxed) {
            return;
        }
        let timestamp = u32::from(sequence) * u32::try_from(FRAME_SAMPLES).unwrap();
        packet[2..4].copy_from_slice(&sequence.to_be_bytes());
        packet[4..8].copy_from_slice(&timestamp.to_be_bytes());
        tone.fill(Law::Mu, &mut packet[12..]);
        // A port that is closed already is no mistake of the speaker.
        let _ = socket.send_to(&packet, remote);
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn listen(socket: &UdpSocket, remote: SocketAddr, heard: &Mutex<Heard>, over: &AtomicBool) {
    let mut packet = [0; 2048];
    while !over.load(Ordering::Relaxed) {
        let Ok((length, source)) = socket.recv_from(&mut packet) else { continue };
        let mut heard = heard.lock().unwrap();
        let is_pcmu = length > 12 && packet[0] >> 6 == 2 && packet[1] & 0x7F == 0;
        if source != remote || !is_pcmu {
            heard.strange += 1;
            continue;
        }
        heard.packets += 1;
        let sequence = u16::from_be_bytes([packet[2], packet[3]]);
        heard.lost += heard.next.map_or(0, |next| u32::from(sequence.wrapping_sub(next)));
        heard.next = Some(sequence.wrapping_add(1));
        heard.samples.extend(packet[12..length].iter().map(|octet| Law::Mu.decode(*octet)));
    }
}
