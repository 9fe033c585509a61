//! What an earlier run that died left behind: its files are finished as far as they came, so that nobody has to know of `.part`.
//! Not here: what is in them (`wav`).
//!
//! Another daemon may write to the same directory, so a file is taken only if nobody holds its lock; who writes one has it until then.

use super::wav::{self, PART};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Finishes what is left below the directory, on a thread of its own: there may be many thousand files to look through.
pub(super) fn finish(directory: PathBuf) -> io::Result<()> {
    std::thread::Builder::new().name("recorder-left".into()).spawn(move || report(&directory)).map(drop)
}

fn report(directory: &Path) {
    let (mut finished, mut failed) = (0u64, 0u64);
    let mut example = None;
    for part in parts(directory) {
        match wav::finish_left(&part) {
            Ok(true) => finished += 1,
            Ok(false) => continue,
            Err(error) => {
                failed += 1;
                tracing::warn!("{} stays as an earlier run left it: {error}", part.display());
            }
        }
        example = example.or(Some(part));
    }
    if let Some(example) = example {
        let example = example.display();
        tracing::info!(finished, failed, %example, "recordings that an earlier run did not end were finished");
    }
}

/// The files below the directory, one folder a day, that were not whole.
fn parts(directory: &Path) -> impl Iterator<Item = PathBuf> {
    let below = |directory: PathBuf| fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    below(directory.to_owned())
        .flat_map(below)
        .filter(|path| path.extension().is_some_and(|extension| extension == PART))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::recorder::wav::Wav;

    #[test]
    fn what_nobody_writes_is_finished_and_what_somebody_writes_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join("2026-11-26").join(name);
        let mut dead = Wav::create(&at("dead.wav"), 2).unwrap();
        dead.append(&[1; 400]).unwrap();
        drop(dead);
        let mut alive = Wav::create(&at("alive.wav"), 1).unwrap();
        fs::write(at("foreign.wav.part"), [7; 100]).unwrap();
        report(directory.path());
        assert!(at("dead.wav").exists() && !at("dead.wav.part").exists());
        assert!(at("alive.wav.part").exists() && at("foreign.wav.part").exists() && !at("foreign.wav").exists());
        alive.append(&[1; 2]).unwrap();
        alive.finish().unwrap();
    }
}
