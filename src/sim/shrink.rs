//! Leaves out of a failing plan what it can fail without: calls, clients, deeds, faults, operators' words. What is left out is named, so that
//! one line says how to see the failure again.
//! Not here: running plans.

use super::plan::{Faults, Plan, Word};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// Something that is left out of a plan.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Omission {
    /// `c3`: a call.
    Call(usize),
    /// `c3.1`: a client of a call, counted from 1.
    Client(usize, usize),
    /// `c3.1.0`: something that one of a call's agents does; agent 0 is the caller.
    Deed(usize, usize, usize),
    /// `loss`: a kind of fault.
    Fault(&'static str),
    /// `w0`: what an operator does.
    Word(usize),
}

impl Omission {
    /// Takes it out of a plan; whatever is not there is left out already.
    pub(super) fn apply(&self, plan: &mut Plan) {
        match *self {
            Omission::Call(call) => {
                if let Some(call) = plan.calls.get_mut(call) {
                    call.caller.is_absent = true;
                    call.clients.iter_mut().for_each(|client| client.conduct.is_absent = true);
                }
            }
            Omission::Client(call, part) => {
                if let Some(client) = plan.calls.get_mut(call).and_then(|call| call.clients.get_mut(part - 1)) {
                    client.conduct.is_absent = true;
                }
            }
            Omission::Deed(call, part, deed) => {
                let call = plan.calls.get_mut(call);
                let conduct = call.and_then(|call| match part {
                    0 => Some(&mut call.caller),
                    _ => call.clients.get_mut(part - 1).map(|client| &mut client.conduct),
                });
                if let Some(deed) = conduct.and_then(|conduct| conduct.deeds.get_mut(deed)) {
                    *deed = None;
                }
            }
            Omission::Fault(word) => {
                let fault = Faults::ALL.iter().find(|(known, _)| *known == word);
                plan.faults = fault.map_or(plan.faults, |(_, fault)| plan.faults.without(*fault));
            }
            Omission::Word(word) => {
                if let Some((_, word)) = plan.words.get_mut(word) {
                    *word = Word::Nothing;
                }
            }
        }
    }
}

/// Omissions as a failure names them, runs of calls as `c3-7`.
pub(super) fn write(omissions: &BTreeSet<Omission>) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut run: Option<(usize, usize)> = None;
    let word =
        |(first, last): (usize, usize)| if first == last { format!("c{first}") } else { format!("c{first}-{last}") };
    for omission in omissions {
        match (omission, run) {
            (Omission::Call(call), Some((first, last))) if *call == last + 1 => run = Some((first, *call)),
            (Omission::Call(call), _) => words.extend(run.replace((*call, *call)).map(word)),
            (_, _) => {
                words.extend(run.take().map(word));
                words.push(omission.to_string());
            }
        }
    }
    words.extend(run.map(word));
    words.join(",")
}

/// Reads what [`write`] writes.
pub fn read(text: &str) -> Result<BTreeSet<Omission>, String> {
    let mut out = BTreeSet::new();
    for word in text.split(',').filter(|word| !word.is_empty()) {
        let run = word.strip_prefix('c').and_then(|run| run.split_once('-'));
        match run.and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?))) {
            Some((first, last)) => out.extend((first..=last).map(Omission::Call)),
            None => _ = out.insert(word.parse()?),
        }
    }
    Ok(out)
}

/// All that could be left out of a plan, the larger parts first.
fn all(plan: &Plan) -> [Vec<Omission>; 4] {
    let calls = (0..plan.calls.len()).map(Omission::Call).collect();
    let (mut clients, mut deeds) = (Vec::new(), Vec::new());
    for (number, call) in plan.calls.iter().enumerate() {
        clients.extend((1..=call.clients.len()).map(|part| Omission::Client(number, part)));
        let conducts = std::iter::once(&call.caller).chain(call.clients.iter().map(|client| &client.conduct));
        for (part, conduct) in conducts.enumerate() {
            deeds.extend((0..conduct.deeds.len()).map(|deed| Omission::Deed(number, part, deed)));
        }
    }
    let faults = Faults::ALL.iter().filter(|(_, fault)| plan.faults.has(*fault));
    let rest = faults.map(|(word, _)| Omission::Fault(word)).chain((0..plan.words.len()).map(Omission::Word));
    [calls, rest.collect(), clients, deeds]
}

/// Leaves out as much as `fails` still fails without. Bounded: at most `tries` runs.
pub(super) fn shrink(
    plan: &Plan,
    mut tries: u32,
    mut fails: impl FnMut(&BTreeSet<Omission>) -> bool,
) -> BTreeSet<Omission> {
    let mut out = BTreeSet::new();
    for kind in all(plan) {
        let mut left = kind;
        let mut size = left.len().div_ceil(2).max(1);
        while !left.is_empty() && tries > 0 {
            let mut kept = Vec::new();
            for part in left.chunks(size) {
                // A client or deed of a call that is out is out already.
                let part: Vec<Omission> = part.iter().filter(|one| !is_moot(one, &out)).cloned().collect();
                let tried: BTreeSet<Omission> = out.iter().cloned().chain(part.iter().cloned()).collect();
                tries = tries.saturating_sub(1);
                if !part.is_empty() && fails(&tried) {
                    out = tried;
                } else {
                    kept.extend(part);
                }
            }
            if size == 1 {
                break;
            }
            (left, size) = (kept, size.div_ceil(2));
        }
    }
    let all = out.clone();
    out.retain(|one| !is_moot(one, &all));
    out
}

fn is_moot(one: &Omission, out: &BTreeSet<Omission>) -> bool {
    match *one {
        Omission::Client(call, _) => out.contains(&Omission::Call(call)),
        Omission::Deed(call, part, _) => {
            out.contains(&Omission::Call(call)) || part > 0 && out.contains(&Omission::Client(call, part))
        }
        Omission::Call(_) | Omission::Fault(_) | Omission::Word(_) => false,
    }
}

impl fmt::Display for Omission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Omission::Call(call) => write!(f, "c{call}"),
            Omission::Client(call, part) => write!(f, "c{call}.{part}"),
            Omission::Deed(call, part, deed) => write!(f, "c{call}.{part}.{deed}"),
            Omission::Fault(word) => f.write_str(word),
            Omission::Word(word) => write!(f, "w{word}"),
        }
    }
}

impl FromStr for Omission {
    type Err = String;

    fn from_str(text: &str) -> Result<Omission, String> {
        if let Some((word, _)) = Faults::ALL.iter().find(|(word, _)| *word == text) {
            return Ok(Omission::Fault(word));
        }
        let numbers = |text: &str| text.split('.').map(|number| number.parse().ok()).collect::<Option<Vec<usize>>>();
        let found = match (text.strip_prefix('c').and_then(numbers), text.strip_prefix('w').and_then(numbers)) {
            (Some(numbers), _) => match *numbers.as_slice() {
                [call] => Some(Omission::Call(call)),
                [call, part] if part > 0 => Some(Omission::Client(call, part)),
                [call, part, deed] => Some(Omission::Deed(call, part, deed)),
                _ => None,
            },
            (None, Some(numbers)) => numbers.first().map(|word| Omission::Word(*word)),
            (None, None) => None,
        };
        found.ok_or_else(|| {
            let words: Vec<&str> = Faults::ALL.iter().map(|(word, _)| *word).collect();
            format!("`{text}` is no part of a plan: c3, c3.1, c3.1.0, w0, or one of {}", words.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::chance::Chance;
    use super::super::draw::draw;
    use super::*;

    #[test]
    fn an_omission_is_read_as_it_is_written() {
        for text in ["c3", "c3.1", "c3.0.2", "c12.2.0", "w1", "loss", "slow-policy"] {
            assert_eq!(text.parse::<Omission>().unwrap().to_string(), text);
        }
        for text in ["", "c", "c3.0", "c1.2.3.4", "x", "w", "losses"] {
            assert!(text.parse::<Omission>().is_err(), "{text}");
        }
        let list = "c0-3,c5,c7-8,c9.1,loss";
        assert_eq!(write(&read(list).unwrap()), list);
        assert_eq!(read(list).unwrap().len(), 9);
    }

    #[test]
    fn what_a_failure_does_not_need_is_left_out() {
        let plan = draw(7, &mut Chance::Seeded(7));
        // It fails as long as call 3 is there with its first deed.
        let needed = [Omission::Call(3), Omission::Deed(3, 0, 0)];
        let out = shrink(&plan, 10_000, |out| !needed.iter().any(|needed| out.contains(needed)));
        assert_eq!(out.iter().filter(|one| matches!(one, Omission::Call(_))).count(), plan.calls.len() - 1);
        assert!(
            !out.contains(&needed[1]) && out.contains(&Omission::Deed(3, 0, 1))
                || plan.calls[3].caller.deeds.len() == 1
        );
    }
}
