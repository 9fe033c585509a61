//! The table at the end: of one call each line with what was seen, of many the spread of times, the sums and what went wrong how often.
//! Not here: what is good and what is not (`check`).

use super::check::{self, Check, Topic};
use super::record::Records;
use super::{Failure, Outcome, Story};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use tokio::time::Duration;

/// Prints the table and says what came of it.
pub(super) fn print(stories: &[Story], records: &Records, concurrency: u32, took: Duration) -> Outcome {
    let all: Vec<Vec<Check>> = stories.iter().map(|story| check::checks(story, records)).collect();
    let table = match (stories, all.as_slice()) {
        ([story], [checks]) => one(story, checks, records),
        _ => many(stories, &all, concurrency, took),
    };
    let outcome = outcome(stories, &all);
    let verdict = match outcome.holds() {
        true => "✓ every line holds".to_owned(),
        false => format!("✗ {} of {} calls kept every promise", outcome.good, outcome.calls),
    };
    put(&format!("{table}\n{verdict}\n"));
    outcome
}

/// When not even the first call could be made.
pub(super) fn not_begun(failure: &Failure) -> Outcome {
    put(&format!("✗ {failure}\n"));
    Outcome { calls: 0, good: 0, failures: vec![failure.to_string()] }
}

fn outcome(stories: &[Story], all: &[Vec<Check>]) -> Outcome {
    let good = all.iter().filter(|checks| checks.iter().all(|check| check.holds)).count();
    let number = |n: usize| u32::try_from(n).expect("a run has at most CALLS_MAX calls");
    Outcome {
        calls: number(stories.len()),
        good: number(good),
        failures: failures(stories, all).into_iter().map(|(kind, count)| format!("{count} × {kind}")).collect(),
    }
}

/// What went wrong, by kind: why a story broke off, else the name of the promise.
fn failures(stories: &[Story], all: &[Vec<Check>]) -> BTreeMap<String, u32> {
    let broke = stories.iter().flat_map(Story::failures).map(ToString::to_string);
    let not_kept = all.iter().flatten().filter(|check| !check.holds && check.topic != Topic::Call);
    let mut kinds = BTreeMap::new();
    for kind in broke.chain(not_kept.map(|check| check.name.to_owned())) {
        *kinds.entry(kind).or_default() += 1;
    }
    kinds
}

/// One call: every check with what was seen, then the record itself.
fn one(story: &Story, checks: &[Check], records: &Records) -> String {
    let mut text = String::new();
    let mut topic = None;
    for check in checks {
        if topic.replace(check.topic) != Some(check.topic) {
            text += "\n";
        }
        line(&mut text, check.holds, check.name, &check.found);
    }
    let call = story.client.as_ref().map(|client| client.call.as_str()).unwrap_or_default();
    for record in records.of(call) {
        let pretty = serde_json::to_string_pretty(record).expect("what was read as JSON can be written as JSON");
        for row in pretty.lines() {
            line_of(&mut text, format_args!("    {row}"));
        }
    }
    text
}

/// Many calls: the spread of each step, the sum of each way, each promise with how often it was kept, each failure with how often it happened.
fn many(stories: &[Story], all: &[Vec<Check>], concurrency: u32, took: Duration) -> String {
    let mut text = String::new();
    let count = stories.len();
    line_of(&mut text, format_args!("{count} calls, up to {concurrency} at once, in {:.1} s\n", took.as_secs_f64()));
    spread(&mut text, stories);
    sums(&mut text, stories);
    for (name, kept) in tally(all) {
        line(&mut text, kept == count, name, &format!("{kept} of {count}"));
    }
    for (kind, times) in failures(stories, all) {
        line_of(&mut text, format_args!("    {times} × {kind}"));
    }
    text
}

fn spread(text: &mut String, stories: &[Story]) {
    line_of(text, format_args!("  {:36}{:>9}{:>9}{:>9}{:>9}", "milliseconds", "min", "p50", "p99", "max"));
    let through = stories.iter().filter_map(legs);
    let mut steps: Vec<(&str, Vec<Duration>)> = Vec::new();
    for step in through.flat_map(|(caller, client)| check::steps(caller, client)) {
        match steps.iter_mut().find(|(name, _)| *name == step.name) {
            Some((_, times)) => times.extend(step.took),
            None => steps.push((step.name, step.took.into_iter().collect())),
        }
    }
    for (name, mut times) in steps {
        times.sort_unstable();
        let at = |percent| rank(&times, percent).map_or("-".to_owned(), |t| format!("{:.1}", t.as_secs_f64() * 1000.0));
        line_of(text, format_args!("  {name:36}{:>9}{:>9}{:>9}{:>9}", at(0), at(50), at(99), at(100)));
    }
}

fn sums(text: &mut String, stories: &[Story]) {
    line_of(text, format_args!("\n  {:36}{:>9}{:>9}{:>9}", "packets", "sent", "received", "lost"));
    let through: Vec<_> = stories.iter().filter_map(legs).collect();
    let ways = [
        ("trunk → client", through.iter().map(|(a, b)| (&a.hearing, &b.hearing)).collect::<Vec<_>>()),
        ("client → trunk", through.iter().map(|(a, b)| (&b.hearing, &a.hearing)).collect()),
    ];
    for (name, way) in ways {
        let sent: u64 = way.iter().map(|(from, _)| from.sent).sum();
        let received: u64 = way.iter().map(|(_, to)| to.received).sum();
        let lost: u64 = way.iter().map(|(_, to)| to.lost).sum();
        line_of(text, format_args!("  {name:36}{sent:>9}{received:>9}{lost:>9}"));
    }
    *text += "\n";
}

fn legs(story: &Story) -> Option<(&super::trunk::CallerLeg, &super::client::ClientLeg)> {
    Some((story.caller.as_ref().ok()?, story.client.as_ref().ok()?))
}

/// How often each promise was kept, in the order of the promises.
fn tally(all: &[Vec<Check>]) -> Vec<(&'static str, usize)> {
    let mut kept: Vec<(&'static str, usize)> = Vec::new();
    for check in all.iter().flatten() {
        let one = usize::from(check.holds);
        match kept.iter_mut().find(|(name, _)| *name == check.name) {
            Some((_, count)) => *count += one,
            None => kept.push((check.name, one)),
        }
    }
    kept
}

/// The value at a percentile by nearest rank, of a sorted list.
fn rank(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied()
}

fn line(text: &mut String, holds: bool, name: &str, found: &str) {
    let mark = if holds { '✓' } else { '✗' };
    line_of(text, format_args!("{mark} {name:36}{found}"));
}

fn line_of(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("writing to a string does not fail");
}

/// To standard output, marks in colour if that is a terminal. A reader that went away changes nothing about the outcome.
fn put(text: &str) {
    let mut out = std::io::stdout().lock();
    let text = match out.is_terminal() {
        true => text.replace('✓', "\x1b[32m✓\x1b[0m").replace('✗', "\x1b[31m✗\x1b[0m"),
        false => text.to_owned(),
    };
    let _ = out.write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::super::check::tests::good;
    use super::super::ladder::Lane;
    use super::*;

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let times: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        for (percent, expected) in [(0, 1), (50, 100), (99, 198), (100, 200)] {
            assert_eq!(rank(&times, percent), Some(Duration::from_millis(expected)), "{percent}");
        }
        assert_eq!(rank(&[], 50), None);
    }

    #[test]
    fn failures_are_counted_by_kind_and_one_bad_call_is_enough() {
        let mut stories: Vec<Story> = (0..4).map(good).collect();
        for index in [1, 2] {
            stories[index].caller = Err(Failure::new(Lane::Trunk, "no 180 Ringing within 2 s"));
        }
        let all: Vec<Vec<Check>> = stories.iter().map(|story| check::checks(story, &Records::default())).collect();
        let outcome = outcome(&stories, &all);
        assert!(!outcome.holds());
        assert_eq!((outcome.calls, outcome.good), (4, 0));
        assert_eq!(outcome.failures, ["2 × call detail record", "2 × trunk: no 180 Ringing within 2 s"]);
        let table = many(&stories, &all, 4, Duration::from_secs(2));
        assert!(table.contains("✗ call                                2 of 4\n"), "{table}");
    }

    #[test]
    fn no_calls_is_no_success() {
        assert!(!not_begun(&Failure::new(Lane::Client, "refused")).holds());
        assert!(!outcome(&[], &[]).holds());
    }
}
