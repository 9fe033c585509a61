//! The rules in memory that the program reads and counts in, one for each RTP port of the relay. `program.c` has the same layout.
//! Not here: when a rule is in force (`lane`).

use crate::limits;
use aya::maps::Map;
use rustix::mm::{MapFlags, ProtFlags};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};

/// How many addresses the program knows.
pub(super) const ADDRESSES_MAX: usize = 4;

/// One rule. What is a number of the wire is in its order. The program and one worker have it at once, so all of it is atomic.
#[repr(C)]
pub(super) struct Slot {
    pub(super) live: AtomicU32,
    pub(super) interface: AtomicU32,
    pub(super) peer: Address,
    pub(super) source: Address,
    pub(super) destination: Address,
    pub(super) peer_port: AtomicU16,
    pub(super) source_port: AtomicU16,
    pub(super) destination_port: AtomicU16,
    /// Of IP, as packets leave: 4 or 6.
    pub(super) version: AtomicU16,
    pub(super) types: [Type; limits::CODECS_MAX],
    // What the program measures, and what else it needs.
    pub(super) packets: AtomicU64,
    pub(super) octets: AtomicU64,
    _arrived: AtomicU64,
    pub(super) jitter: AtomicU64,
    _timestamp: AtomicU32,
    pub(super) clock_rate: AtomicU32,
    pub(super) sequence: AtomicU32,
    pub(super) ssrc: AtomicU32,
    pub(super) next_hop: Address,
}

/// An IP address as it lies in a packet; of IPv4 the first word.
#[repr(C)]
pub(super) struct Address([AtomicU32; 4]);

impl Address {
    pub(super) fn store(&self, address: IpAddr) {
        self.0.iter().zip(words(address)).for_each(|(place, word)| place.store(word, Ordering::Relaxed));
    }
}

/// The same outside of shared memory.
pub(super) fn words(address: IpAddr) -> [u32; 4] {
    let octets = match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        }
        IpAddr::V6(address) => address.octets(),
    };
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = octets;
    [[a, b, c, d], [e, f, g, h], [i, j, k, l], [m, n, o, p]].map(u32::from_ne_bytes)
}

/// One payload type; with a clock rate of 0 there is none from here on.
#[repr(C)]
pub(super) struct Type {
    pub(super) clock_rate: AtomicU32,
    /// `here` and `there`, in the order of memory.
    pub(super) numbers: AtomicU16,
    _unused: AtomicU16,
}

// Three lines of the cache: what is read, what may be said, what is counted.
const _: () = assert!(size_of::<Slot>() == 192);

/// All of them.
pub(super) struct Table {
    slots: NonNull<Slot>,
    count: usize,
    addresses: Vec<IpAddr>,
    port_first: u16,
    pairs: usize,
}

impl Table {
    pub(super) fn map(rules: &Map, addresses: Vec<IpAddr>, port_first: u16, pairs: u32) -> io::Result<Table> {
        let Map::Array(data) = rules else { return Err(io::ErrorKind::InvalidData.into()) };
        let pairs = usize::try_from(pairs).map_err(io::Error::other)?;
        let count = pairs * addresses.len();
        let (access, shared) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
        let length = count * size_of::<Slot>();
        #[expect(unsafe_code, reason = "memory that is shared with the kernel is had in no other way")]
        // SAFETY: the kernel chooses where, so nothing that is mapped already is replaced.
        let memory = unsafe { rustix::mm::mmap(std::ptr::null_mut(), length, access, shared, data.fd().as_fd(), 0) }?;
        let slots = NonNull::new(memory.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Table { slots, count, addresses, port_first, pairs })
    }

    /// Which slot the rule for a local address has.
    pub(super) fn index(&self, local: SocketAddr) -> Option<usize> {
        let address = local.ip().to_canonical();
        let at = self.addresses.iter().position(|known| *known == address)?;
        let offset = usize::from(local.port().checked_sub(self.port_first)?);
        (offset % 2 == 0 && offset / 2 < self.pairs).then_some(at * self.pairs + offset / 2)
    }

    pub(super) fn slot(&self, index: usize) -> Option<&Slot> {
        self.slots().get(index)
    }

    fn slots(&self) -> &[Slot] {
        #[expect(unsafe_code, reason = "memory that is shared with the kernel is had in no other way")]
        // SAFETY: so many slots are mapped there, at the begin of a page, until `self` is dropped. The kernel gave them zeroed, any value is
        // one for an atomic, and what others write meanwhile is written to atomics.
        unsafe {
            std::slice::from_raw_parts(self.slots.as_ptr(), self.count)
        }
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "what was mapped is unmapped in no other way")]
        // SAFETY: it was mapped with this length, and no borrow of it outlives `self`.
        let unmapped = unsafe { rustix::mm::munmap(self.slots.as_ptr().cast(), self.count * size_of::<Slot>()) };
        debug_assert!(unmapped.is_ok(), "it was mapped");
    }
}

#[expect(unsafe_code, reason = "a pointer says nothing of who may have it")]
// SAFETY: what it points to is atomics, which any thread may use, and is unmapped by the last owner.
unsafe impl Send for Table {}
#[expect(unsafe_code, reason = "a pointer says nothing of who may have it")]
// SAFETY: as above.
unsafe impl Sync for Table {}
