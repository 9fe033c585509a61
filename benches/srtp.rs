//! What SRTP costs a packet of 20 ms of G.711 in each suite, beside webrtc-srtp in the same run: nanoseconds to protect and to unprotect, the
//! ratio, and allocations, of which ours must have none. Goals (PERF): 0.8 × webrtc-srtp in counter mode, 0.5 × with GCM.
//! Not here: the sockets' share, which `media` measures.
//!
//! `cargo bench --bench srtp`; with `-- --test` once, to see that both still make the same bytes. `--rounds N`.

mod support;

use parkway::media::header::Rtp;
use parkway::media::srtp::{Inbound, Master, OVERHEAD_MAX, Outbound, Suite};
use std::hint::black_box;
use std::time::Instant;
use support::Arguments;
use support::counting::{Counting, allocations};
use webrtc_srtp::context::Context;
use webrtc_srtp::option::{srtcp_replay_protection, srtp_replay_protection};
use webrtc_srtp::protection_profile::ProtectionProfile;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Header and 20 ms of G.711.
const PACKET_BYTES: usize = 172;
/// Packets of a round.
const PACKETS: u16 = 500;
/// A window for them as well, as far as theirs goes in one word.
const THEIR_WINDOW_PACKETS: usize = 64;

type Buffer = [u8; PACKET_BYTES + OVERHEAD_MAX];

fn main() {
    let rounds = Arguments::read().number("--rounds", 301, 2);
    let mut rows = Vec::new();
    for suite in Suite::ALL {
        let mut ends = Ends::new(suite);
        (0..rounds).for_each(|round| ends.round(round % 2 == 0));
        rows.extend(ends.rows());
    }
    support::print_rows(["172-byte packet", "parkway", "webrtc-srtp", "ratio", "goal"], &rows);
}

/// What one implementation took in each round.
#[derive(Default)]
struct Taken {
    protect_ns: Vec<f64>,
    unprotect_ns: Vec<f64>,
    allocations: Vec<f64>,
}

/// Both implementations of both ends of a stream, under one key.
struct Ends {
    suite: Suite,
    outbound: Outbound,
    inbound: Inbound,
    their_outbound: Context,
    their_inbound: Context,
    sequence: u16,
    /// Ours, theirs.
    taken: [Taken; 2],
}

impl Ends {
    fn new(suite: Suite) -> Ends {
        let bytes: Vec<u8> = (1..).take(suite.key_bytes() + suite.salt_bytes()).collect();
        let master = Master::new(suite, &bytes).expect("as many bytes as it has");
        Ends {
            suite,
            outbound: Outbound::new(&master),
            inbound: Inbound::new(&master),
            their_outbound: theirs(suite, &bytes),
            their_inbound: theirs(suite, &bytes),
            sequence: 0,
            taken: Default::default(),
        }
    }

    /// The same packets through both, either first.
    fn round(&mut self, ours_first: bool) {
        let mut plain = [0; PACKET_BYTES];
        let mut packets = Vec::new();
        for _ in 0..PACKETS {
            self.sequence = self.sequence.wrapping_add(1);
            let rtp = Rtp { sequence: self.sequence, ssrc: 7, ..Rtp::default() };
            rtp.write(&[0x55; 160], &mut plain).expect("it fits");
            packets.push(plain);
        }
        let sent = self.sender(&packets, ours_first);
        let their_sent = self.sender(&packets, !ours_first);
        assert!(sent == their_sent, "{:?}: both make the same bytes", self.suite);
        let received = self.receiver(&sent, ours_first);
        let their_received = self.receiver(&sent, !ours_first);
        let plain = || packets.iter().map(|packet| &packet[..]);
        assert!(received.iter().eq(plain()) && their_received.iter().eq(plain()), "and both understand them");
    }

    fn sender(&mut self, packets: &[[u8; PACKET_BYTES]], ours: bool) -> Vec<Vec<u8>> {
        if !ours {
            let mut sent = Vec::with_capacity(packets.len());
            let [_, taken] = &mut self.taken;
            let outbound = &mut self.their_outbound;
            taken.protect(|| packets.iter().for_each(|packet| sent.push(outbound.encrypt_rtp(black_box(packet)))));
            return sent.into_iter().map(|packet| packet.expect("theirs protects it").to_vec()).collect();
        }
        let mut buffers: Vec<(Buffer, usize)> = packets.iter().map(|packet| (buffer(packet), PACKET_BYTES)).collect();
        let [taken, _] = &mut self.taken;
        let outbound = &mut self.outbound;
        taken.protect(|| {
            for (buffer, length) in black_box(&mut buffers) {
                *length = outbound.protect_rtp(buffer, *length).expect("ours protects it");
            }
        });
        buffers.iter().map(|(buffer, length)| buffer[..*length].to_vec()).collect()
    }

    fn receiver(&mut self, packets: &[Vec<u8>], ours: bool) -> Vec<Vec<u8>> {
        if !ours {
            let mut received = Vec::with_capacity(packets.len());
            let [_, taken] = &mut self.taken;
            let inbound = &mut self.their_inbound;
            taken.unprotect(|| packets.iter().for_each(|packet| received.push(inbound.decrypt_rtp(black_box(packet)))));
            return received.into_iter().map(|packet| packet.expect("theirs unprotects it").to_vec()).collect();
        }
        let mut buffers: Vec<(Buffer, usize)> = packets.iter().map(|packet| (buffer(packet), packet.len())).collect();
        let [taken, _] = &mut self.taken;
        let inbound = &mut self.inbound;
        taken.unprotect(|| {
            for (buffer, length) in black_box(&mut buffers) {
                *length = inbound.unprotect_rtp(&mut buffer[..*length]).expect("ours unprotects it");
            }
        });
        buffers.iter().map(|(buffer, length)| buffer[..*length].to_vec()).collect()
    }

    fn rows(&self) -> [[String; 5]; 3] {
        let goal = if self.suite.salt_bytes() == 12 { "≤ 0.50" } else { "≤ 0.80" };
        let [ours, theirs] = &self.taken;
        let most = ours.allocations.iter().copied().fold(0.0, f64::max);
        assert!(most == 0.0, "{:?} allocates for a packet", self.suite);
        let name = self.suite.as_str();
        [
            support::compare(&format!("{name}, protect, ns"), &ours.protect_ns, &theirs.protect_ns, goal, 0),
            support::compare(&format!("{name}, unprotect, ns"), &ours.unprotect_ns, &theirs.unprotect_ns, goal, 0),
            support::compare(&format!("{name}, allocations"), &ours.allocations, &theirs.allocations, "0", 1),
        ]
    }
}

impl Taken {
    fn protect(&mut self, run: impl FnOnce()) {
        let (nanoseconds, allocated) = measure(run);
        self.protect_ns.push(nanoseconds);
        // The first packet of a source makes room for it.
        if self.protect_ns.len() > 1 {
            self.allocations.push(allocated);
        }
    }

    fn unprotect(&mut self, run: impl FnOnce()) {
        let (nanoseconds, allocated) = measure(run);
        self.unprotect_ns.push(nanoseconds);
        if self.unprotect_ns.len() > 1 {
            self.allocations.push(allocated);
        }
    }
}

/// Nanoseconds and allocations a packet.
fn measure(run: impl FnOnce()) -> (f64, f64) {
    let (allocated, start) = (allocations(), Instant::now());
    run();
    let (elapsed, allocated) = (start.elapsed(), allocations() - allocated);
    let allocated = u32::try_from(allocated).expect("a few a packet");
    (elapsed.as_secs_f64() * 1e9 / f64::from(PACKETS), f64::from(allocated) / f64::from(PACKETS))
}

fn buffer(packet: &[u8]) -> Buffer {
    let mut buffer = [0; PACKET_BYTES + OVERHEAD_MAX];
    buffer[..packet.len()].copy_from_slice(packet);
    buffer
}

fn theirs(suite: Suite, key_and_salt: &[u8]) -> Context {
    let profile = match suite {
        Suite::AeadAes256Gcm => ProtectionProfile::AeadAes256Gcm,
        Suite::AeadAes128Gcm => ProtectionProfile::AeadAes128Gcm,
        Suite::AesCm256HmacSha1_80 => ProtectionProfile::Aes256CmHmacSha1_80,
        Suite::AesCm256HmacSha1_32 => ProtectionProfile::Aes256CmHmacSha1_32,
        Suite::AesCm128HmacSha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
        Suite::AesCm128HmacSha1_32 => ProtectionProfile::Aes128CmHmacSha1_32,
    };
    let (key, salt) = key_and_salt.split_at(suite.key_bytes());
    let windows = (srtp_replay_protection(THEIR_WINDOW_PACKETS), srtcp_replay_protection(THEIR_WINDOW_PACKETS));
    Context::new(key, salt, profile, Some(windows.0), Some(windows.1)).expect("the key is as long as it must be")
}
