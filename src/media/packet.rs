//! A datagram in the buffer that it came in, which has room for what protecting it adds.
//! Not here: what is in it (`header`, `srtp`).

use crate::media::srtp::Fault;

/// The datagram: the first `length` bytes of its buffer.
#[derive(Debug)]
pub struct Packet<'b> {
    buffer: &'b mut [u8],
    length: usize,
}

impl<'b> Packet<'b> {
    /// The first `length` bytes of `buffer`, or all of it if it is shorter.
    pub fn new(buffer: &'b mut [u8], length: usize) -> Packet<'b> {
        let length = length.min(buffer.len());
        Packet { buffer, length }
    }

    /// What it says.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        self.buffer.get(..self.length).unwrap_or_default()
    }

    /// The same, to be changed in place.
    #[inline]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.buffer.get_mut(..self.length).unwrap_or_default()
    }

    /// Fills it anew, with as many bytes as `write` says. `None`: it had no room.
    #[inline]
    pub(super) fn write(&mut self, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> Option<()> {
        self.length = write(self.buffer)?.min(self.buffer.len());
        Some(())
    }

    /// Makes it longer, within its buffer: what `change` makes of buffer and length.
    #[inline]
    pub(super) fn grow(&mut self, change: impl FnOnce(&mut [u8], usize) -> Result<usize, Fault>) -> Result<(), Fault> {
        self.length = change(self.buffer, self.length)?;
        Ok(())
    }

    /// Makes it shorter: to how many of its bytes `change` says.
    #[inline]
    pub(super) fn shrink(&mut self, change: impl FnOnce(&mut [u8]) -> Result<usize, Fault>) -> Result<(), Fault> {
        self.length = change(self.bytes_mut())?.min(self.length);
        Ok(())
    }
}
