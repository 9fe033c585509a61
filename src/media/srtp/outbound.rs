//! What we send under a key of ours.
//! Not here: what we are sent (`inbound`). RELIABILITY M5: the index of a sending context never goes back.

use super::sources::Sources;
use super::transform::{Place, Transform};
use super::{Fault, Master, OVERHEAD_MAX, Stream};
use crate::media::header::{Rtp, rtcp_sender};

/// Where the indices of SRTCP end: 31 bits (RFC 3711 §3.4).
const RTCP_INDEX_END: u32 = 1 << 31;

/// A key with which we send. One master makes one of these and never a second: that would begin with the same indices again.
#[derive(Debug)]
pub struct Outbound {
    rtp: Transform,
    rtcp: Transform,
    /// Which indices of RTP were used. A peer whose packets we pass on chose their numbers, and may have chosen one twice.
    used: Sources,
    /// Counted for all sources together, so no source's goes back and none is told apart from loss.
    next_rtcp_index: u32,
}

impl Outbound {
    /// With nothing sent yet.
    pub fn new(master: &Master) -> Outbound {
        Outbound {
            rtp: Transform::new(master, Stream::Rtp),
            rtcp: Transform::new(master, Stream::Rtcp),
            used: Sources::default(),
            next_rtcp_index: 0,
        }
    }

    /// Protects the RTP packet in the first `length` bytes of `buffer` in place; the new length. There must be [`OVERHEAD_MAX`] bytes behind
    /// it. Padding is encrypted as it is: whoever received the packet has looked at it. A packet that fails is not to be sent.
    #[inline]
    pub fn protect_rtp(&mut self, buffer: &mut [u8], length: usize) -> Result<usize, Fault> {
        let packet = with_room(buffer, length)?;
        let (header, clear) = Rtp::parse_encrypted(packet).map_err(|_| Fault::Malformed)?;
        let fresh = self.used.find(header.ssrc, header.sequence)?;
        let place = Place::rtp(clear, fresh.ssrc, fresh.index);
        // Before anything is encrypted: whatever comes of that, its index was used.
        self.used.insert(fresh);
        self.rtp.seal(buffer, length, place).ok_or(Fault::Malformed)
    }

    /// The same for a compound RTCP packet. It is always encrypted.
    pub fn protect_rtcp(&mut self, buffer: &mut [u8], length: usize) -> Result<usize, Fault> {
        let packet = with_room(buffer, length)?;
        let ssrc = rtcp_sender(packet).map_err(|_| Fault::Malformed)?;
        let index = self.next_rtcp_index;
        if index >= RTCP_INDEX_END {
            return Err(Fault::Exhausted);
        }
        self.next_rtcp_index += 1;
        self.rtcp.seal(buffer, length, Place::rtcp(ssrc, index)).ok_or(Fault::Malformed)
    }
}

/// The packet, if there is room behind it.
fn with_room(buffer: &mut [u8], length: usize) -> Result<&mut [u8], Fault> {
    let (packet, behind) = buffer.split_at_mut_checked(length).ok_or(Fault::Malformed)?;
    if behind.len() < OVERHEAD_MAX { Err(Fault::Malformed) } else { Ok(packet) }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{SSRC, pair, protect, rng, rtcp, unprotect};
    use super::*;
    use crate::media::srtp::Suite;

    #[test]
    fn the_last_index_of_srtcp_is_used_and_none_after_it() {
        for suite in Suite::ALL {
            let (mut outbound, mut inbound) = pair(suite);
            outbound.next_rtcp_index = RTCP_INDEX_END - 1;
            let plain = rtcp(&mut rng(1), SSRC);
            let last = protect(&mut outbound, Stream::Rtcp, &plain).unwrap();
            assert_eq!(unprotect(&mut inbound, Stream::Rtcp, &last).as_ref(), Ok(&plain), "{suite:?}");
            for _ in 0..3 {
                assert_eq!(protect(&mut outbound, Stream::Rtcp, &plain), Err(Fault::Exhausted), "{suite:?}");
            }
        }
    }

    #[test]
    fn reports_of_all_sources_share_the_indices() {
        let (mut outbound, mut inbound) = pair(Suite::AesCm128HmacSha1_80);
        let mut words = Vec::new();
        for ssrc in 0..40 {
            let plain = rtcp(&mut rng(1), ssrc % 2);
            let protected = protect(&mut outbound, Stream::Rtcp, &plain).unwrap();
            words.push(protected[plain.len()..][..4].to_vec());
            assert_eq!(unprotect(&mut inbound, Stream::Rtcp, &protected), Ok(plain));
        }
        let expect: Vec<Vec<u8>> = (0..40).map(|index: u32| (1 << 31 | index).to_be_bytes().to_vec()).collect();
        assert_eq!(words, expect);
    }
}
