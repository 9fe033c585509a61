//! The sources that one stream has under one key, each with its window.
//! Not here: what is proven of a packet before its source counts (`inbound`). RFC 3711 §3.2.3: an SSRC is a context of its own.

use super::Fault;
use super::window::Window;
use crate::limits;

/// Where the indices of RTP end: 32 bits of roll-over counter, 16 of sequence number.
const RTP_INDEX_END: u64 = 1 << 48;

/// At most [`limits::SRTP_SOURCES_MAX`]. None is ever forgotten, because what it sent could be sent again. The list grows with a source, not
/// with a packet: most keys see one.
#[derive(Debug, Default)]
pub(super) struct Sources(Vec<Source>);

#[derive(Debug)]
struct Source {
    ssrc: u32,
    window: Window,
}

/// An index that was not used. Only [`Sources`] makes one; whoever uses it gives it back to [`Sources::insert`].
pub(super) struct Fresh {
    pub(super) ssrc: u32,
    pub(super) index: u64,
    /// Of the source, or the end of the list for a new one.
    position: usize,
}

impl Sources {
    /// The index of an RTP packet, by its sequence number (RFC 3711 §3.3.1).
    #[inline]
    pub(super) fn find(&self, ssrc: u32, sequence: u16) -> Result<Fresh, Fault> {
        let position = self.position(ssrc);
        let index = match self.0.get(position) {
            Some(source) => source.window.estimate(sequence).ok_or(Fault::Replayed)?,
            None => sequence.into(),
        };
        if index >= RTP_INDEX_END {
            return Err(Fault::Exhausted);
        }
        self.fresh(Fresh { ssrc, index, position })
    }

    /// An index that the packet itself says: SRTCP's.
    pub(super) fn check(&self, ssrc: u32, index: u64) -> Result<Fresh, Fault> {
        self.fresh(Fresh { ssrc, index, position: self.position(ssrc) })
    }

    /// The index is used from now on.
    #[inline]
    pub(super) fn insert(&mut self, fresh: Fresh) {
        match self.0.get_mut(fresh.position) {
            Some(source) => source.window.insert(fresh.index),
            None => self.0.push(Source { ssrc: fresh.ssrc, window: Window::beginning_with(fresh.index) }),
        }
    }

    fn fresh(&self, candidate: Fresh) -> Result<Fresh, Fault> {
        match self.0.get(candidate.position) {
            Some(source) if source.window.is_fresh(candidate.index) => Ok(candidate),
            Some(_) => Err(Fault::Replayed),
            None if self.0.len() < limits::SRTP_SOURCES_MAX => Ok(candidate),
            None => Err(Fault::TooManySources),
        }
    }

    #[inline]
    fn position(&self, ssrc: u32) -> usize {
        self.0.iter().position(|source| source.ssrc == ssrc).unwrap_or(self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(used: &[(u32, u64)]) -> Sources {
        let mut sources = Sources::default();
        for &(ssrc, index) in used {
            sources.insert(sources.check(ssrc, index).ok().unwrap());
        }
        sources
    }

    #[test]
    fn an_index_comes_from_the_sources_own_round() {
        let used = sources(&[(1, 0x1_FFFF), (2, 0)]);
        for (rule, ssrc, sequence, expect) in [
            ("its_next_round", 1, 0, Ok(0x2_0000)),
            ("used", 1, 0xFFFF, Err(Fault::Replayed)),
            ("within_the_window", 1, 0xFF00, Ok(0x1_FF00)),
            ("before_the_window", 1, 0xFEFF, Err(Fault::Replayed)),
            ("the_others_round", 2, 1, Ok(1)),
            ("before_the_first_round", 2, 0xFFFF, Err(Fault::Replayed)),
            ("a_new_source_begins_in_the_first_round", 3, 0xFFFF, Ok(0xFFFF)),
        ] {
            assert_eq!(used.find(ssrc, sequence).map(|fresh| fresh.index), expect, "{rule}");
        }
    }

    #[test]
    fn the_last_index_is_used_and_none_after_it() {
        let last = sources(&[(1, RTP_INDEX_END - 2)]);
        assert_eq!(last.find(1, 0xFFFF).map(|fresh| fresh.index), Ok(RTP_INDEX_END - 1));
        let used = sources(&[(1, RTP_INDEX_END - 1)]);
        assert_eq!(used.find(1, 0).err(), Some(Fault::Exhausted));
        assert_eq!(used.find(2, 0).map(|fresh| fresh.index), Ok(0), "another source has its own");
    }

    #[test]
    fn no_source_gives_way_to_another() {
        let most = u32::try_from(limits::SRTP_SOURCES_MAX).unwrap();
        let full: Vec<_> = (0..most).map(|ssrc| (ssrc, 7)).collect();
        let full = sources(&full);
        assert_eq!(full.find(most, 7).err(), Some(Fault::TooManySources));
        for ssrc in 0..most {
            assert_eq!(full.find(ssrc, 7).err(), Some(Fault::Replayed));
            assert_eq!(full.find(ssrc, 8).map(|fresh| fresh.index), Ok(8));
        }
    }
}
