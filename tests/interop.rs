//! Other projects' SIPp scenarios against the real daemon. `interop/applicability.tsv` says of each file in `../shared/data/sipp`
//! whether somebody could send it to Parkway, how it is played, and what must come of it; SIPp's own verdict counts only where the
//! scenario expects what the RFCs and Parkway's documents say.
//! Not here: scenarios of our own (`sipp`).
//!
//! `PARKWAY_INTEROP=cancel cargo test --test interop -- --nocapture` plays those with `cancel` in their path, and shows the messages of
//! what went wrong. `PARKWAY_INTEROP_OVER=tcp,udp6` plays them over TCP and over IPv6; else it is UDP over IPv4.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod common;
#[path = "interop/other.rs"]
mod other;
#[path = "interop/play.rs"]
mod play;
#[path = "interop/table.rs"]
mod table;
#[path = "interop/trace.rs"]
mod trace;

use common::program;
use common::sipp::is_installed;
use play::{Over, Played, Run};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, mpsc};
use std::{env, fs};
use table::Row;

/// How many scenarios play at one time: most of them wait most of the time.
const SLOTS: u16 = 24;

/// Where the scenarios are, if they are.
fn scenarios() -> Option<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/sipp");
    program::is_there(&dir).then(|| dir.canonicalize().unwrap())
}

fn files_below(dir: &Path, root: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            files_below(&entry.path(), root, found);
        } else {
            found.insert(entry.path().strip_prefix(root).unwrap().display().to_string());
        }
    }
}

#[test]
fn the_table_lists_each_file_once_and_in_order() {
    let rows = table::read().unwrap();
    let listed: Vec<&String> = rows.iter().map(|row| &row.file).collect();
    assert!(listed.is_sorted_by(|one, next| one < next), "in order, each once");
    let Some(dir) = scenarios() else { return };
    let mut there = BTreeSet::new();
    files_below(&dir, &dir, &mut there);
    let listed: BTreeSet<String> = listed.into_iter().cloned().collect();
    assert_eq!(there.difference(&listed).collect::<Vec<_>>(), Vec::<&String>::new(), "not in the table");
    assert_eq!(listed.difference(&there).collect::<Vec<_>>(), Vec::<&String>::new(), "no such file");
}

#[test]
fn scenarios_of_others_go_as_the_table_says_and_leave_nothing_behind() {
    let Some(dir) = scenarios().filter(|_| is_installed()) else { return };
    let rows = table::read().unwrap();
    let filter = env::var("PARKWAY_INTEROP").unwrap_or_default();
    let chosen = |row: &&Row| row.applicable && row.needs.is_empty() && row.file.contains(&filter);
    let rows_to_play = rows.iter().filter(chosen).filter(|row| can_play(&dir.join(&row.file)));
    let mut runs: Vec<Run<'_>> = rows_to_play.enumerate().flat_map(|(at, row)| runs(row, at, &dir)).collect();
    // Those that were given more time than others begin first.
    runs.sort_by_key(|run| !run.row.arguments.iter().any(|argument| argument.starts_with("-timeout")));
    let played = play_all(runs, &dir);
    report(&rows, &played);
    if !filter.is_empty() {
        played
            .iter()
            .filter(|played| !played.wrong.is_empty())
            .for_each(|played| println!("{}\n{}", played.run.row.file, played.account));
    }
    let failed = played.iter().filter(|played| !played.wrong.is_empty()).count();
    assert!(failed * 20 <= played.len(), "{failed} of {} went wrong: more than 5 %", played.len());
}

/// The ways of a row, over what `PARKWAY_INTEROP_OVER` says; else over UDP, and of every eighth row over TCP and over IPv6 too.
fn runs<'a>(row: &'a Row, at: usize, dir: &Path) -> Vec<Run<'a>> {
    let sample = if at.is_multiple_of(8) { "udp,tcp,udp6" } else { "udp" };
    let words = env::var("PARKWAY_INTEROP_OVER").unwrap_or(sample.to_owned());
    let over = words.split(',').map(|word| match word {
        "udp" => Over::Udp,
        "tcp" => Over::Tcp,
        "udp6" => Over::Udp6,
        other => panic!("PARKWAY_INTEROP_OVER: {other} is not udp, tcp or udp6"),
    });
    let text = fs::read_to_string(dir.join(&row.file)).unwrap_or_default();
    let connections = || text.lines().map(str::trim_start).filter(|line| line.starts_with("c="));
    let is_for = |over: &Over| match over {
        Over::Udp => true,
        // What is lost, or goes elsewhere by its Via, is neither on a connection (RFC 3261 §18.2.2).
        Over::Tcp => !row.expects_silence() && !text.contains("lost="),
        // An address in brackets, as SIPp's local_ip has it, is none in SDP.
        // Nor has it any in the URI that its proof is for.
        Over::Udp6 => {
            let is_bare = |line: &str| line.contains("IP4") || line.contains("[local_ip]");
            !connections().any(is_bare) && !text.contains("[authentication")
        }
    };
    let over: Vec<Over> = over.filter(is_for).collect();
    let runs = row.ways.iter().flat_map(|way| over.iter().map(|over| Run { row, way: *way, over: *over }));
    // Who is rung has registered over UDP.
    runs.filter(|run| run.over != Over::Tcp || !run.way.is_rung()).collect()
}

/// SIPp needs a raw socket to play a recording, and only root gets one.
fn can_play(scenario: &Path) -> bool {
    let plays_recording = fs::read(scenario).unwrap().windows(9).any(|word| word == b"play_pcap");
    let can = !plays_recording || fs::metadata("/proc/self").unwrap().uid() == 0;
    if !can {
        println!("SKIPPED: {} plays a recording, which takes root", scenario.display());
    }
    can
}

/// Plays them, some at a time, and looks for what each left behind when its transactions have had their time.
fn play_all<'a>(runs: Vec<Run<'a>>, dir: &Path) -> Vec<Played<'a>> {
    let waiting = Mutex::new(runs.into_iter());
    let (sender, ended) = mpsc::channel::<Played<'a>>();
    std::thread::scope(|scope| {
        for slot in 0..SLOTS {
            let (waiting, sender) = (&waiting, sender.clone());
            scope.spawn(move || {
                loop {
                    let next = waiting.lock().unwrap().next();
                    let Some(run) = next else { return };
                    sender.send(play::play(run, dir, slot)).unwrap();
                }
            });
        }
        drop(sender);
        let looked = ended.into_iter().map(|mut played| {
            played.look_for_leftovers();
            played
        });
        looked.collect()
    })
}

/// Prints what came of each, and the counts.
fn report(rows: &[Row], played: &[Played<'_>]) {
    for Played { run: Run { row, way, over }, answers, took, wrong, .. } in played {
        let verdict = if wrong.is_empty() { "passed" } else { "FAILED" };
        println!("{verdict}\t{}\t{way:?} {over:?}\t{}\t{:.1} s", row.file, answers.join(", "), took.as_secs_f64());
        if !wrong.is_empty() {
            println!("        the table says: {}", row.reason);
        }
        wrong.lines().for_each(|line| println!("        {line}"));
    }
    let failed = played.iter().filter(|played| !played.wrong.is_empty()).count();
    let applicable = rows.iter().filter(|row| row.applicable);
    let mut waiting: BTreeMap<String, usize> = BTreeMap::new();
    applicable
        .clone()
        .filter(|row| !row.needs.is_empty())
        .for_each(|row| *waiting.entry(row.needs.join(", ")).or_default() += 1);
    println!("{:>5} files", rows.len());
    println!("{:>5} not applicable", rows.iter().filter(|row| !row.applicable).count());
    println!("{:>5} applicable", applicable.count());
    waiting.iter().for_each(|(needs, count)| println!("{count:>5} of them wait for: {needs}"));
    println!("{:>5} played, {} passed, {failed} failed", played.len(), played.len() - failed);
}
