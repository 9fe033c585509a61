//! A bad network: a bridge in user space between two wires' ends that loses, doubles and holds back what it carries, by a seeded
//! generator. Each direction has a generator of its own, so that one does not change what becomes of the other.
//! Not here: the wires (`namespaces`).
#![allow(unsafe_code, reason = "neither std nor socket2 binds a packet socket to a device")]

use parkway::rng::Rng;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::FromRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What befalls UDP datagrams, in a hundred.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chances {
    /// Never arrive.
    pub(crate) lost: u32,
    /// Arrive twice.
    pub(crate) doubled: u32,
    /// Arrive up to [`HELD_MAX`] later, behind others.
    pub(crate) held: u32,
}

/// RFC 3261's T1 is 500 ms: held back for less, a message is late and not given up.
const HELD_MAX: Duration = Duration::from_millis(60);
/// How long the bridge rests when there was nothing.
const REST: Duration = Duration::from_micros(300);
/// From `linux/if_packet.h`: what we send ourselves is not to be heard again.
const PACKET_IGNORE_OUTGOING: libc::c_int = 23;

/// What befell them.
#[derive(Debug, Default)]
pub(crate) struct Fates {
    /// Carried as they were.
    pub(crate) carried: AtomicU64,
    /// Lost.
    pub(crate) lost: AtomicU64,
    /// Doubled.
    pub(crate) doubled: AtomicU64,
    /// Held back.
    pub(crate) held: AtomicU64,
}

/// A running bridge; it ends with this value.
pub(crate) struct Impairment {
    over: Arc<AtomicBool>,
    /// What befell the datagrams so far.
    pub(crate) fates: Arc<Fates>,
    thread: Option<JoinHandle<()>>,
}

impl Impairment {
    /// Joins two devices.
    pub(crate) fn join(ends: &[String; 2], chances: Chances, seed: u8) -> Impairment {
        let [first, second] = ends.each_ref().map(|device| open(device).unwrap());
        let (over, fates) = (Arc::new(AtomicBool::new(false)), Arc::new(Fates::default()));
        let way = |from: &File, to: &File, seed| Way {
            from: from.try_clone().unwrap(),
            to: to.try_clone().unwrap(),
            rng: Rng::from_seed([seed; 32]),
            chances,
            held: BTreeMap::new(),
            count: 0,
        };
        let mut ways = [way(&first, &second, seed), way(&second, &first, seed.wrapping_add(1))];
        let (stop, counts) = (Arc::clone(&over), Arc::clone(&fates));
        let carry = move || {
            while !stop.load(Ordering::Relaxed) {
                let moved = ways.each_mut().map(|way| way.carry(&counts));
                if moved == [0, 0] {
                    std::thread::sleep(REST);
                }
            }
        };
        Impairment { over, fates, thread: Some(std::thread::spawn(carry)) }
    }
}

impl Drop for Impairment {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.thread.take().into_iter().for_each(|thread| _ = thread.join());
    }
}

/// One direction.
struct Way {
    from: File,
    to: File,
    rng: Rng,
    chances: Chances,
    /// By the time at which they go on, and by number.
    held: BTreeMap<(Instant, u64), Vec<u8>>,
    count: u64,
}

impl Way {
    /// Carries what is there; how many frames that was.
    fn carry(&mut self, fates: &Fates) -> usize {
        let mut frame = [0; 2048];
        let mut moved = 0;
        while let Ok(length) = self.from.read(&mut frame) {
            moved += 1;
            match frame.get_mut(..length) {
                Some(frame) if is_udp(frame) => self.try_luck(frame, fates),
                Some(frame) => send(&mut self.to, frame),
                None => {}
            }
        }
        while let Some(first) = self.held.first_entry().filter(|first| first.key().0 <= Instant::now()) {
            send(&mut self.to, &first.remove());
            moved += 1;
        }
        moved
    }

    fn try_luck(&mut self, frame: &mut [u8], fates: &Fates) {
        without_checksum(frame);
        let Chances { lost, doubled, held } = self.chances;
        let luck = self.rng.below(100);
        let count = |fate: &AtomicU64| fate.fetch_add(1, Ordering::Relaxed);
        if luck < lost {
            count(&fates.lost);
        } else if luck < lost + doubled {
            count(&fates.doubled);
            send(&mut self.to, frame);
            send(&mut self.to, frame);
        } else if luck < lost + doubled + held {
            count(&fates.held);
            let longest = u32::try_from(HELD_MAX.as_micros()).unwrap();
            let until = Instant::now() + Duration::from_micros(self.rng.below(longest).into());
            self.count += 1;
            self.held.insert((until, self.count), frame.to_vec());
        } else {
            count(&fates.carried);
            send(&mut self.to, frame);
        }
    }
}

fn send(to: &mut File, frame: &[u8]) {
    // A full queue loses the frame, as in any bridge.
    let _ = to.write(frame);
}

/// IPv4 without options, UDP.
fn is_udp(frame: &[u8]) -> bool {
    frame.get(12..15) == Some(&[0x08, 0x00, 0x45]) && frame.get(23) == Some(&17)
}

/// The sender leaves the checksum to a network card that is not there. RFC 768: zero means that there is none.
fn without_checksum(frame: &mut [u8]) {
    if let Some(checksum) = frame.get_mut(40..42) {
        checksum.fill(0);
    }
}

/// A packet socket on a device, which does not wait.
fn open(device: &str) -> io::Result<File> {
    let index: i32 = fs::read_to_string(format!("/sys/class/net/{device}/ifindex"))?.trim().parse().unwrap();
    let protocol = u16::try_from(libc::ETH_P_ALL).unwrap().to_be();
    let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: plain numbers; the descriptor that comes back is nobody else's.
    let socket = unsafe { libc::socket(libc::AF_PACKET, kind, i32::from(protocol)) };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open and ours alone.
    let file = unsafe { File::from_raw_fd(socket) };
    // SAFETY: the structure is made of integers and arrays of them, for which zero is a value.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = u16::try_from(libc::AF_PACKET).unwrap();
    address.sll_protocol = protocol;
    address.sll_ifindex = index;
    let length = u32::try_from(size_of_val(&address)).unwrap();
    // SAFETY: the pointer is to a structure of that length, which lives until the call returns.
    let bound = unsafe { libc::bind(socket, (&raw const address).cast(), length) };
    let on: libc::c_int = 1;
    let length = u32::try_from(size_of_val(&on)).unwrap();
    // SAFETY: as above.
    let set =
        unsafe { libc::setsockopt(socket, libc::SOL_PACKET, PACKET_IGNORE_OUTGOING, (&raw const on).cast(), length) };
    if bound < 0 || set < 0 { Err(io::Error::last_os_error()) } else { Ok(file) }
}
