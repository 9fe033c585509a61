//! What was measured of the forwarders with some number of sessions, as tables and as a plot.
//! Not here: measuring (`media`, `run`).

use super::place::Place;
use super::plot::{Line, Plot, Point};
use super::run::Run;
use super::server::Forwarder;
use super::table;
use std::collections::{BTreeMap, BTreeSet};

/// What so many sessions cost.
pub(super) struct Costs {
    pub(super) sessions: u16,
    pub(super) rounds: Vec<Round>,
}

/// All forwarders, one soon after the other.
pub(super) type Round = BTreeMap<Forwarder, Run>;

impl Costs {
    fn forwarders(&self) -> BTreeSet<Forwarder> {
        self.rounds.iter().flat_map(|round| round.keys().copied()).collect()
    }

    fn of(&self, forwarder: Forwarder, value: impl Fn(&Run) -> f64) -> Vec<f64> {
        self.rounds.iter().filter_map(|round| round.get(&forwarder)).map(value).collect()
    }

    /// CPU time a packet in all, nanoseconds; nothing if it cannot be known, because there was no direct packet in the same round.
    fn in_all(&self, forwarder: Forwarder, place: &Place) -> Vec<f64> {
        if place.is_wired() {
            return self.of(forwarder, Run::nanos);
        }
        let in_all = |round: &Round| {
            let (run, direct) = (round.get(&forwarder)?, round.get(&Forwarder::Nobody)?);
            Some(run.nanos() + run.sending_nanos() - direct.sending_nanos())
        };
        self.rounds.iter().filter_map(in_all).collect()
    }

    /// A row for each forwarder, then what we mean to reach.
    pub(super) fn print(&self, place: &Place) {
        let (theirs, nat) = (self.in_all(Forwarder::Rtpengine, place), self.in_all(Forwarder::Nat, place));
        let row = |forwarder: &Forwarder| {
            let (forwarder, all) = (*forwarder, self.in_all(*forwarder, place));
            let transit = |per_mille| table::spread(&self.of(forwarder, |run| run.transit_micros(per_mille)), 0);
            [
                forwarder.name().to_owned(),
                table::spread(&self.of(forwarder, Run::process_nanos), 0),
                table::spread(&all, 0),
                table::ratio(&all, &theirs),
                table::ratio(&all, &nat),
                transit(500),
                transit(990),
                table::spread(&self.of(forwarder, Run::lost_per_mille), 2),
            ]
        };
        let repeats = self.rounds.len();
        println!("\n{} sessions {}, medians of {repeats} (least–most):", self.sessions, where_of(place));
        let rows: Vec<_> = self.forwarders().iter().map(row).collect();
        let head = [
            "forwarder",
            "its process, ns a packet",
            "in all",
            "÷ rtpengine",
            "÷ NAT",
            "p50, µs",
            "p99, µs",
            "lost, ‰",
        ];
        table::print_rows(head, &rows);
        table::print_rows(["what", "Parkway", "other", "ratio", "goal"], &self.goals(place));
    }

    fn goals(&self, place: &Place) -> Vec<[String; 5]> {
        let mut goals = self.goals_of_all(place);
        let process = |forwarder| self.of(forwarder, Run::process_nanos);
        let recorded = process(Forwarder::Recorded);
        if !recorded.is_empty() {
            let what = "its process, at once, calls recorded, beside calls that are not";
            goals.push(table::compare(what, &recorded, &process(Forwarder::AtOnce), "–", 0));
        }
        goals
    }

    fn goals_of_all(&self, place: &Place) -> Vec<[String; 5]> {
        let process = |forwarder| self.of(forwarder, Run::process_nanos);
        let memory = |forwarder| self.of(forwarder, |run| run.memory);
        let all = |forwarder| self.in_all(forwarder, place);
        let row = |what: &str, ours: Vec<f64>, theirs: Vec<f64>, goal| table::compare(what, &ours, &theirs, goal, 0);
        let (sockets, kernel, rtpengine) = (Forwarder::AtOnce, Forwarder::Kernel, Forwarder::Rtpengine);
        let memory = row("memory, bytes a session, beside rtpengine", memory(sockets), memory(rtpengine), "≤ 0.5");
        let nat = all(Forwarder::Nat);
        if place.is_wired() {
            return vec![
                row("in all, by its sockets, beside rtpengine", all(sockets), all(rtpengine), "≤ 0.65"),
                row("in all, by the kernel, beside rtpengine", all(kernel), all(rtpengine), "≤ 0.25"),
                row("… beside the kernel's NAT", all(kernel), nat, "≤ 0.80"),
                memory,
            ];
        }
        let gathering = process(Forwarder::Gathering);
        vec![
            row("its process, at once, beside rtpengine's", process(sockets), process(rtpengine), "≤ 0.75"),
            row("… gathered", gathering, process(rtpengine), "≤ 0.55"),
            row("in all, by the kernel, beside the kernel's NAT", all(kernel), nat, "≤ 0.40"),
            memory,
        ]
    }
}

/// A line for each forwarder, over the numbers of sessions: all that a packet costs, or what it costs in the process where that is all we know.
pub(super) fn plot(all: &[Costs], place: &Place) -> Plot {
    let is_known = all.iter().all(|costs| costs.forwarders().iter().any(|who| !costs.in_all(*who, place).is_empty()));
    let value = |costs: &Costs, forwarder| {
        if is_known { costs.in_all(forwarder, place) } else { costs.of(forwarder, Run::process_nanos) }
    };
    let line = |forwarder: Forwarder| {
        let point = |costs: &Costs| {
            let values = value(costs, forwarder);
            let [least, most] = table::ends(&values);
            (!values.is_empty()).then(|| Point {
                at: costs.sessions.into(),
                median: table::median(&values),
                least,
                most,
            })
        };
        Line { name: forwarder.name(), colour: forwarder as usize, points: all.iter().filter_map(point).collect() }
    };
    let forwarders: BTreeSet<Forwarder> = all.iter().flat_map(Costs::forwarders).collect();
    let lines = forwarders.into_iter().filter(|forwarder| *forwarder != Forwarder::Nobody).map(line).collect();
    let part = if is_known { "all of its CPU time" } else { "CPU time of the process" };
    Plot {
        title: "What a packet costs, by the number of calls".to_owned(),
        note: format!(
            "{part}, {}; G.711, 100 packets a second a session; medians, bars from the least to the most",
            where_of(place)
        ),
        axes: ["sessions", "CPU ns a packet"],
        lines,
    }
}

fn where_of(place: &Place) -> &'static str {
    if place.is_wired() { "over wires, in bursts" } else { "on loopback" }
}
