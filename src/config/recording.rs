//! `[recording]`: where recordings go and how they are announced; `record` in `[park]` and in a route: whose words.
//! Not here: the sounds themselves (`sound`), and what is recorded when (`call`).

use super::Sounds;
use super::raw::{self, Raw};
use super::typed::{Check, path};
use crate::call::RecordingTerms;
use crate::limits;
use crate::media::Sides;
use crate::time::Duration;
use std::path::PathBuf;

/// `[recording]`.
#[derive(Clone, Debug)]
pub struct Recording {
    /// The directory of all files.
    pub directory: PathBuf,
    /// How calls are recorded.
    pub terms: RecordingTerms,
    /// The longest that a recording may be.
    pub longest: Duration,
    /// Most at one time.
    pub files_max: u64,
    /// As long as the disk has less than so many bytes left, nothing is recorded.
    pub free_bytes_min: u64,
}

/// Most recordings at one time that can be configured: a file each.
const FILES_MAX: u64 = 100_000;
/// Longest pause between two beeps that can be configured: an hour.
const BEEP_SECONDS_MAX: u64 = 3_600;
/// The largest disk that anybody has, megabytes.
const FREE_MB_MAX: u64 = 1 << 40;
/// The sound of our own that is repeated.
const BEEP: &str = "beep";

impl Check {
    /// `Some(None)`: nothing can be recorded.
    pub(super) fn recording(&mut self, raw: &Raw, sounds: &Sounds) -> Option<Option<Recording>> {
        let given = &raw.recording;
        let announces = match given.announce.as_str() {
            "none" => Some(None),
            name => self.sound("recording.announce", name, sounds),
        };
        if given.announce.is_empty() {
            self.note("recording.announce", "empty; write the name of a sound, or none where nobody has to be told");
        }
        let beep = self.seconds("recording.beep_seconds", given.beep_seconds, 0..=BEEP_SECONDS_MAX);
        let longest = self.seconds("recording.seconds_max", given.seconds_max, 1..=limits::RECORDING_SECONDS_MAX);
        let files_max = self.number("recording.files_max", given.files_max, 1..=FILES_MAX);
        let free_mb: Option<u64> = self.number("recording.free_mb_min", given.free_mb_min, 0..=FREE_MB_MAX);
        let directory = path(&given.directory);
        if directory.is_none() {
            self.nowhere(raw);
        }
        let every = Some(beep?).filter(|every| !every.is_zero() && given.announce == BEEP);
        let terms = RecordingTerms { announces: announces?, every, is_required: given.required };
        let (longest, files_max, free_bytes_min) = (longest?, files_max?, free_mb? << 20);
        Some(directory.map(|directory| Recording { directory, terms, longest, files_max, free_bytes_min }))
    }

    /// Whoever is to be recorded cannot be.
    fn nowhere(&mut self, raw: &Raw) {
        let of_route = |(at, route): (usize, &raw::Route)| (format!("route[{at}].record"), route.record.clone());
        let routes = raw.route.iter().enumerate().map(of_route);
        let all = std::iter::once(("park.record".to_owned(), Some(raw.park.record.clone()))).chain(routes);
        let of_user = |(at, user): (usize, &raw::User)| (format!("user[{at}].record"), user.record.clone());
        let users = raw.user.iter().enumerate().map(of_user);
        let wants = |word: &Option<String>| {
            word.as_deref().is_some_and(|word| matches!(word, "caller" | "client" | "both" | "require"))
        };
        if let Some((key, _)) = all.chain(users).find(|(_, word)| wants(word)) {
            self.note(&key, "there is nowhere to record to; give recording.directory, or leave this out");
        }
    }

    /// Whose words are recorded; `Some(None)`: nobody's.
    pub(super) fn sides(&mut self, key: &str, word: &str) -> Option<Option<Sides>> {
        self.parsed(key, word, |word| match word {
            "off" => Ok(None),
            "caller" => Ok(Some(Sides::Caller)),
            "client" => Ok(Some(Sides::Client)),
            "both" => Ok(Some(Sides::Both)),
            _ => Err(format!("`{word}` is neither off nor caller nor client nor both")),
        })
    }
}
