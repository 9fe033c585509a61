//! `parkway bench media`, as an operator runs it: the real program measures itself, briefly, and says what it measured and what it could not.
//! Not here: figures; a run this short has none.

use std::process::{Command, Output};

fn bench(arguments: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_parkway"));
    program.args(["bench", "media"]).args(arguments).output().expect("the program runs")
}

/// Runs it; what it printed.
fn measured(arguments: &[&str]) -> String {
    let output = bench(arguments);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    out.into_owned()
}

#[test]
fn each_forwarder_has_its_row_and_who_is_not_there_is_named() {
    let out = measured(&["--test"]);
    let rows = |name: &str| out.lines().filter(|line| line.starts_with(&format!("| {name} |"))).count();
    for (name, excuse) in [
        ("Parkway, at once", None),
        ("Parkway, gathered", None),
        ("rtpengine, user space", Some("rtpengine is not installed")),
        ("nftables NAT", Some("not measured: the kernel's own way and its NAT")),
        ("Parkway, media.offload", Some("not measured: the kernel's own way")),
    ] {
        let excused = excuse.is_some_and(|excuse| out.contains(excuse));
        assert_eq!(rows(name), usize::from(!excused), "{name}:\n{out}");
    }
    assert!(out.contains("loss-free packets a second on one core, Parkway, at once"), "{out}");
}

#[test]
fn one_thing_of_parkway_alone_is_measured_where_that_is_asked() {
    let out = measured(&["--test", "--alone", "--only", "cost", "--sessions", "10,20"]);
    for (text, given) in [
        ("10 sessions on loopback, medians of 1", true),
        ("20 sessions on loopback, medians of 1", true),
        ("| rtpengine, user space |", false),
        ("| nftables NAT |", false),
        ("loss-free packets a second", false),
    ] {
        assert_eq!(out.contains(text), given, "{text}:\n{out}");
    }
}

#[test]
fn what_recording_costs_is_measured_beside_calls_that_are_not_recorded() {
    let out = measured(&["--test", "--alone", "--only", "cost", "--record"]);
    assert!(
        out.contains("| Parkway, recorded |") && out.contains("calls recorded, beside calls that are not"),
        "{out}"
    );
}

#[test]
fn packets_cross_wires_and_nothing_that_is_measured_is_subtracted() {
    let output = bench(&["--test", "--wire", "--alone", "--only", "cost"]);
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if error.contains("--wire takes root") {
        eprintln!("SKIPPED: {error}");
        return;
    }
    assert!(output.status.success(), "{out}\n{error}");
    for (text, given) in [
        ("10 sessions over wires, in bursts", true),
        ("| Parkway, at once |", true),
        ("| Parkway, media.offload |", true),
        ("| nobody between |", false),
    ] {
        assert_eq!(out.contains(text), given, "{text}:\n{out}");
    }
}

/// Another's SRTP takes all that ours writes, and the other way round; who knows no keys is not measured.
#[test]
fn clients_with_srtp_are_heard_and_hear() {
    for suite in ["cm", "gcm"] {
        let out = measured(&["--test", "--only", "cost", "--srtp", suite]);
        for (text, given) in
            [("| Parkway, at once |", true), ("| Parkway, media.offload |", false), ("| nftables NAT |", false)]
        {
            assert_eq!(out.contains(text), given, "{suite}, {text}:\n{out}");
        }
        let runs: Vec<&str> = out.lines().filter(|line| line.contains(" packets a second: ")).collect();
        let all_heard = runs.iter().filter(|line| line.contains(": 0 of "));
        assert!(runs.len() >= 2 && all_heard.count() == runs.len(), "{suite}:\n{out}");
    }
}

#[test]
fn a_plot_has_a_line_for_each_forwarder() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let file = directory.path().join("cost.svg");
    let path = file.to_str().expect("the path is text");
    measured(&["--test", "--alone", "--only", "cost", "--sessions", "10,30", "--plot", path]);
    let svg = std::fs::read_to_string(&file).expect("it is written");
    for text in ["<svg ", "</svg>", ">CPU ns a packet<", ">10<", ">30<", ">Parkway, at once<", ">Parkway, gathered<"] {
        assert!(svg.contains(text), "no {text} in {svg}");
    }
}

#[test]
fn what_cannot_be_done_is_said_before_anything_is_measured() {
    for (arguments, code, texts) in [
        (&["--sessions", "9"][..], 2, &["--sessions", "9 is not in 10..=10000"][..]),
        (&["--sessions", "many"], 2, &["--sessions", "invalid digit"]),
        (&["--repeats", "0"], 2, &["--repeats", "0 is not in 1..=100"]),
        (&["--only", "speed"], 2, &["--only", "cost", "rate"]),
        (&["--plot", "/nowhere/cost.svg"], 78, &["--plot", "/nowhere/cost.svg", "a directory that is there"]),
        (&["--plot", "cost.svg", "--only", "rate"], 78, &["--plot", "leave out --only rate"]),
        (&["--srtp", "rot13"], 2, &["--srtp", "cm", "gcm"]),
        (&["--quick"], 2, &["--quick"]),
    ] {
        let output = bench(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(code), 0), "{arguments:?}: {error}");
        texts.iter().for_each(|text| assert!(error.contains(text), "{arguments:?}: no {text:?} in {error}"));
    }
}
