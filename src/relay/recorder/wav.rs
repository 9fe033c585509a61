//! A WAV file that is valid at every moment: what is written of it is at its end first, and in the lengths of its header then.
//! Not here: what is in it (`media::timeline`), and when it is written (`recorder`).
//!
//! ```text
//!  0  "RIFF"  length − 8   "WAVE"                                                 (little-endian)
//!  12 "fmt "  16   1 = PCM, channels   8000   bytes a second   bytes a frame   16 bits
//!  36 "data"  length − 44   samples …
//! ```

use crate::media::tone::SAMPLE_RATE;
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The header's length, bytes.
const HEADER_BYTES: usize = 44;
/// Where the header has the number of channels.
const CHANNELS_AT: usize = 22;
/// A sample's.
const SAMPLE_BYTES: u8 = 2;
/// Whoever may read recordings may list their directory; the operator's umask takes away more.
const DIRECTORY_MODE: u32 = 0o750;
/// The same of a file.
const FILE_MODE: u32 = 0o640;

/// How the name of a file ends that is not whole.
pub(super) const PART: &str = "part";

/// A file that is written. Until it is whole, its name ends in `.part`, and it is locked: whoever finds one without a lock knows that nobody
/// writes it any more.
pub(super) struct Wav {
    file: File,
    path: PathBuf,
    channels: u8,
    /// Bytes of samples in it.
    data: u32,
}

impl Wav {
    /// A new file, and the directories that it lies in.
    pub(super) fn create(path: &Path, channels: u8) -> io::Result<Wav> {
        if let Some(directory) = path.parent() {
            fs::DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(directory)?;
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(part(path))?;
        // Where the file system knows of no locks nobody finds what is left, which harms nobody.
        let _ = flock(&file, FlockOperation::NonBlockingLockExclusive);
        file.write_all(&header(channels, 0))?;
        Ok(Wav { file, path: path.to_owned(), channels, data: 0 })
    }

    /// Adds samples: little-endian, of all channels in turn.
    pub(super) fn append(&mut self, samples: &[u8]) -> io::Result<()> {
        self.file.write_all(samples)?;
        self.data = self.data.saturating_add(u32::try_from(samples.len()).unwrap_or(u32::MAX));
        self.file.write_all_at(&header(self.channels, self.data), 0)
    }

    /// It is whole: its name says so from now on.
    pub(super) fn finish(self) -> io::Result<()> {
        fs::rename(part(&self.path), &self.path)
    }
}

/// Finishes a file that whoever wrote it has left, as far as it came: its last samples may be there without being in the lengths. `false` if
/// somebody writes it, or what it would be called is there already. An error if that is none of ours.
pub(super) fn finish_left(part: &Path) -> io::Result<bool> {
    let file = OpenOptions::new().read(true).write(true).open(part)?;
    let whole = part.with_extension("");
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() || whole.exists() {
        return Ok(false);
    }
    let mut begin = [0; HEADER_BYTES];
    file.read_exact_at(&mut begin, 0)?;
    let channels = begin.get(CHANNELS_AT).copied().unwrap_or_default();
    let in_it = begin.last_chunk().map_or(0, |data: &[u8; 4]| u32::from_le_bytes(*data));
    if !(1..=2).contains(&channels) || begin != header(channels, in_it) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no recording of this program's"));
    }
    let samples = file.metadata()?.len().saturating_sub(u64::try_from(HEADER_BYTES).unwrap_or_default());
    // No half of a sample, nor one side's alone.
    let data = u32::try_from(samples - samples % u64::from(channels * SAMPLE_BYTES)).unwrap_or(u32::MAX);
    file.write_all_at(&header(channels, data), 0)?;
    fs::rename(part, whole)?;
    Ok(true)
}

fn part(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(PART);
    PathBuf::from(name)
}

fn header(channels: u8, data: u32) -> [u8; HEADER_BYTES] {
    let frame = u16::from(channels) * u16::from(SAMPLE_BYTES);
    let mut out = [0; HEADER_BYTES];
    let mut rest = out.as_mut_slice();
    let length = data.saturating_add(36);
    for field in [
        &b"RIFF"[..],
        &length.to_le_bytes(),
        b"WAVEfmt ",
        &16u32.to_le_bytes(),
        &1u16.to_le_bytes(),
        &u16::from(channels).to_le_bytes(),
        &SAMPLE_RATE.to_le_bytes(),
        &(SAMPLE_RATE * u32::from(frame)).to_le_bytes(),
        &frame.to_le_bytes(),
        &(u16::from(SAMPLE_BYTES) * 8).to_le_bytes(),
        b"data",
        &data.to_le_bytes(),
    ] {
        // As many bytes as there is room for, which is as many as there are.
        let _ = rest.write_all(field);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_whole_after_each_step() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("2026-11-26/one.wav");
        let mut wav = Wav::create(&path, 2).unwrap();
        for length in [0u32, 640, 1_280] {
            let bytes = fs::read(part(&path)).unwrap();
            assert_eq!(bytes.len(), HEADER_BYTES + usize::try_from(length).unwrap());
            assert_eq!(&bytes[4..8], (length + 36).to_le_bytes());
            assert_eq!(&bytes[40..44], length.to_le_bytes());
            wav.append(&[7; 640]).unwrap();
        }
        wav.finish().unwrap();
        assert!(path.exists() && !part(&path).exists());
    }

    /// The last samples may be there, and a part of one, before the lengths say so.
    #[test]
    fn what_was_left_is_finished_as_far_as_it_came() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("one.wav");
        let mut wav = Wav::create(&path, 2).unwrap();
        wav.append(&[1; 8]).unwrap();
        assert!(!finish_left(&part(&path)).unwrap(), "it is written");
        wav.file.write_all(&[2; 7]).unwrap();
        drop(wav);
        assert!(finish_left(&part(&path)).unwrap());
        let bytes = fs::read(&path).unwrap();
        assert_eq!(bytes[..HEADER_BYTES], header(2, 12));
        assert_eq!(bytes[HEADER_BYTES..HEADER_BYTES + 12], [1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2]);
        // Nothing is written over, and nothing of another's is touched.
        fs::write(part(&path), header(2, 0)).unwrap();
        assert!(!finish_left(&part(&path)).unwrap());
        let other = directory.path().join("other.wav.part");
        for bytes in [&b"RIFF"[..], &[0; 100], &header(3, 0)] {
            fs::write(&other, bytes).unwrap();
            assert!(finish_left(&other).is_err() && fs::read(&other).unwrap() == bytes);
        }
    }

    #[test]
    fn what_is_there_is_not_written_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("one.wav");
        let _first = Wav::create(&path, 1).unwrap();
        assert_eq!(Wav::create(&path, 1).err().unwrap().kind(), io::ErrorKind::AlreadyExists);
        assert!(Wav::create(Path::new("/proc/nowhere/one.wav"), 1).is_err());
    }

    #[test]
    fn the_header_says_what_players_need() {
        assert_eq!(header(1, 0)[20..36], *b"\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0");
        assert_eq!(header(2, 0)[20..36], *b"\x01\0\x02\0\x40\x1f\0\0\0\x7d\0\0\x04\0\x10\0");
    }
}
