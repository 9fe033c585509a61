//! The fuzz targets without the fuzzer: in every `cargo test` each of them gets the seeds that it begins with, those of other projects where
//! they lie, and thousands of changes to them, which are the same in each run.
//! Not here: the search for bytes that lead elsewhere, which needs the fuzzer's counters (`fuzz/run`).

use crate::rng::Rng;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

/// A test for each target: how many changes it gets, so that each takes about a second.
macro_rules! targets {
    ($($(#[$when:meta])* $target:ident: $changes:literal,)*) => {
        const TARGETS: &[&str] = &[$(stringify!($target)),*];
        $(
            $(#[$when])*
            #[test]
            fn $target() {
                let tried = replay(super::$target, &seeds(stringify!($target)), $changes);
                assert!(tried.unwrap() > $changes);
            }
        )*
    };
}

targets! {
    message: 40_000,
    sdp: 40_000,
    endpoint: 10_000,
    #[cfg(feature = "sim")]
    sim: 500,
    uri: 50_000,
    stream: 20_000,
    digest: 5_000,
    websocket: 15_000,
    differential: 40_000,
    srtp: 500,
    rtp: 10_000,
}

/// Gives a target its seeds and changes to them. How many inputs there were, or the one that it failed on.
fn replay(target: fn(&[u8]), seeds: &[Vec<u8>], changes: usize) -> Result<usize, String> {
    let mut rng = Rng::from_seed([0; 32]);
    for bytes in seeds.iter().cloned().chain((0..changes).map(|_| changed(&mut rng, seeds))) {
        catch_unwind(|| target(&bytes)).map_err(|_| format!("fails on b\"{}\"", bytes.escape_ascii()))?;
    }
    Ok(seeds.len() + changes)
}

/// The files that a target begins with, in order. Empty bytes are always one of them.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let mut found = vec![Vec::new()];
    for folder in folders(target) {
        let Ok(entries) = fs::read_dir(&folder) else {
            println!("{target}: without the seeds of {}, which is not there", folder.display());
            continue;
        };
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        found.extend(paths.into_iter().map(|path| fs::read(path).unwrap()));
    }
    found
}

/// What `fuzz/corpora` says of a target.
fn folders(target: &str) -> Vec<PathBuf> {
    let lines = corpora();
    let (_, folders) = lines.iter().find(|(name, _)| name == target).expect("each target has a line");
    folders.iter().map(|folder| package().join("fuzz").join(folder)).collect()
}

fn corpora() -> Vec<(String, Vec<String>)> {
    let text = fs::read_to_string(package().join("fuzz/corpora")).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(' ').map(str::to_owned));
    lines.map(|mut words| (words.next().unwrap(), words.collect())).collect()
}

/// Cargo says at run time where the package is; the binary does not know where it was built.
fn package() -> PathBuf {
    PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").unwrap())
}

/// Bytes that separate, quote or end something somewhere.
const MARKS: &[u8] = b"\0\t\n\r \"#%&'()*,-./09:;<=>?@[\\]{}\x7f\x80\xff";

/// Numbers on both sides of what a type or a limit holds.
const NUMBERS: [&str; 10] = [
    "",
    "-1",
    "0",
    "255",
    "65536",
    "2147483648",
    "4294967295",
    "4294967296",
    "18446744073709551616",
    "00000000000000000000001",
];

/// The longest piece that is written at once.
const PIECE_MAX: usize = 64;

/// One of the seeds with one to four changes.
fn changed(rng: &mut Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seeds[below(rng, seeds.len())].clone();
    for _ in 0..=below(rng, 4) {
        change(rng, seeds, &mut bytes);
    }
    bytes
}

fn change(rng: &mut Rng, seeds: &[Vec<u8>], bytes: &mut Vec<u8>) {
    let from = below(rng, bytes.len() + 1);
    let to = from + below(rng, bytes.len() - from + 1).min(PIECE_MAX);
    match below(rng, 8) {
        0 => bytes.iter_mut().skip(from).take(1).for_each(|byte| *byte ^= 1 << below(rng, 8)),
        1 => bytes.iter_mut().skip(from).take(1).for_each(|byte| *byte = MARKS[below(rng, MARKS.len())]),
        2 => bytes.truncate(from),
        3 => _ = bytes.drain(from..to),
        // What stands once stands twice or, sooner or later, often.
        4 => {
            let piece = bytes[from..to].to_vec();
            bytes.splice(from..from, piece);
        }
        5 => {
            let mut noise = vec![0; below(rng, PIECE_MAX)];
            rng.fill(&mut noise);
            bytes.splice(from..to, noise);
        }
        6 => {
            let other = &seeds[below(rng, seeds.len())];
            let begin = below(rng, other.len() + 1);
            let piece = other[begin..].iter().take(PIECE_MAX).copied();
            bytes.splice(from..to, piece);
        }
        _ => {
            let begin = bytes.iter().skip(from).position(u8::is_ascii_digit).map_or(bytes.len(), |at| from + at);
            let length = bytes[begin..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            bytes.splice(begin..begin + length, NUMBERS[below(rng, NUMBERS.len())].bytes());
        }
    }
}

fn below(rng: &mut Rng, bound: usize) -> usize {
    rng.below(bound.try_into().unwrap()).try_into().unwrap()
}

/// A target without a test here would be replayed by nobody, and one without a line begins with nothing.
#[test]
fn each_target_has_its_test_its_line_and_its_file() {
    let mut tested: Vec<String> = TARGETS.iter().map(|target| (*target).to_owned()).collect();
    tested.sort();
    let mut listed: Vec<String> = corpora().into_iter().map(|(target, _)| target).collect();
    listed.sort();
    let files = fs::read_dir(package().join("fuzz/fuzz_targets")).unwrap();
    let mut built: Vec<String> =
        files.map(|file| Path::new(&file.unwrap().file_name()).file_stem().unwrap().to_str().unwrap().into()).collect();
    built.sort();
    assert_eq!((&tested, &tested), (&listed, &built));
    let mut used: Vec<String> = corpora().into_iter().flat_map(|(_, folders)| folders).collect();
    used.retain(|folder| folder.starts_with("seeds/"));
    used.sort();
    used.dedup();
    let there = fs::read_dir(package().join("fuzz/seeds")).unwrap();
    let mut there: Vec<String> = there.map(|entry| format!("seeds/{}", entry.unwrap().file_name().display())).collect();
    there.sort();
    assert_eq!(used, there);
}

#[test]
fn changes_are_the_same_each_time_and_hardly_ever_the_same_twice() {
    let seeds = [b"INVITE sip:a@b SIP/2.0\r\nCSeq: 17 INVITE\r\n\r\n".to_vec()];
    let made = |number: u8| {
        let mut rng = Rng::from_seed([number; 32]);
        (0..1_000).map(|_| changed(&mut rng, &seeds)).collect::<Vec<_>>()
    };
    assert_eq!(made(0), made(0));
    assert_ne!(made(0), made(1));
    let mut different = made(0);
    different.sort();
    different.dedup();
    assert!(different.len() > 800, "{}", different.len());
    let longest = different.iter().map(Vec::len).max().unwrap();
    assert!(longest <= seeds[0].len() + 4 * PIECE_MAX, "{longest}");
}

/// Tests that cannot fail prove nothing: a reader with a bug that one change leads to, and one with a bug on a seed.
#[test]
fn a_target_that_fails_is_found_with_what_it_failed_on() {
    let seeds = [b"Content-Length: 12\r\n".to_vec()];
    let overflows = |bytes: &[u8]| assert!(!bytes.windows(10).any(|at| at == b"4294967296"), "planted");
    let failed = replay(overflows, &seeds, 1_000).unwrap_err();
    assert!(failed.contains("Content-Length: 4294967296"), "{failed}");
    assert!(replay(|bytes| assert!(bytes.is_empty(), "planted"), &seeds, 0).unwrap_err().contains("Length: 12"));
    assert_eq!(replay(|_| (), &seeds, 1_000), Ok(1_001));
}
