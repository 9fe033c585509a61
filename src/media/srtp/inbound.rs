//! What a peer sends under its key.
//! Not here: which address it may come from (`media::latch`), and whether what it says makes sense (`media::forward`).

use super::sources::Sources;
use super::transform::{Place, Transform};
use super::{Fault, Master, Stream};
use crate::media::header::{Rtp, rtcp_source};

/// A key with which a peer sends, to be kept as long as the peer keeps it: what it begins with is taken for the first round of sequence numbers
/// (FIELD P21). Nothing is remembered of a packet before it was authentic.
#[derive(Debug)]
pub struct Inbound {
    rtp: Transform,
    rtcp: Transform,
    seen_rtp: Sources,
    seen_rtcp: Sources,
}

impl Inbound {
    /// With nothing received yet.
    pub fn new(master: &Master) -> Inbound {
        Inbound {
            rtp: Transform::new(master, Stream::Rtp),
            rtcp: Transform::new(master, Stream::Rtcp),
            seen_rtp: Sources::default(),
            seen_rtcp: Sources::default(),
        }
    }

    /// Authenticates an SRTP packet, then decrypts it in place: the plain packet is the first bytes, as many as are returned. Whether its
    /// padding adds up is for [`Rtp::parse`] to say. A packet that fails is worth nothing, and its bytes may be spoilt.
    #[inline]
    pub fn unprotect_rtp(&mut self, packet: &mut [u8]) -> Result<usize, Fault> {
        let length = self.rtp.length(packet).ok_or(Fault::Malformed)?;
        let plain = packet.get_mut(..length).ok_or(Fault::Malformed)?;
        let (header, clear) = Rtp::parse_encrypted(plain).map_err(|_| Fault::Malformed)?;
        let fresh = self.seen_rtp.find(header.ssrc, header.sequence)?;
        let place = Place::rtp(clear, fresh.ssrc, fresh.index);
        self.rtp.open(packet, length, place).ok_or(Fault::Unauthentic)?;
        self.seen_rtp.insert(fresh);
        Ok(length)
    }

    /// The same for an SRTCP packet. One that its sender chose not to encrypt is authenticated and stays as it is.
    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, Fault> {
        let length = self.rtcp.length(packet).ok_or(Fault::Malformed)?;
        let plain = packet.get(..length).ok_or(Fault::Malformed)?;
        let ssrc = rtcp_source(plain).map_err(|_| Fault::Malformed)?;
        let word = self.rtcp.word(packet, length).ok_or(Fault::Malformed)?;
        let place = Place::rtcp_received(ssrc, word, length);
        let fresh = self.seen_rtcp.check(ssrc, place.index())?;
        self.rtcp.open(packet, length, place).ok_or(Fault::Unauthentic)?;
        self.seen_rtcp.insert(fresh);
        Ok(length)
    }
}
