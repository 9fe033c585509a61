//! `parkway demo`, as a newcomer runs it: the real program with no file and no server but its own, judged by its exit code and its table.
//! Not here: anything inside the program; the demo's own parts are tested beside them.

use std::process::{Command, Output};

/// Runs `parkway demo` with these arguments in an empty directory, which must be empty afterwards too.
fn demo(arguments: &[&str]) -> Output {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let mut program = Command::new(env!("CARGO_BIN_EXE_parkway"));
    let output = program.arg("demo").args(arguments).current_dir(directory.path()).output().expect("the program runs");
    let left = directory.path().read_dir().expect("the directory is still there").count();
    assert_eq!(left, 0, "something was left behind");
    output
}

/// Succeeds if the program did, and printed each of these texts.
fn check(arguments: &[&str], expected: &[&str]) {
    let output = demo(arguments);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    for text in expected {
        assert!(out.contains(text), "no {text:?} in\n{out}");
    }
    assert!(!out.contains('✗'), "{out}");
}

#[test]

fn one_call_is_drawn_and_every_line_of_it_holds() {
    let ladder = ["├─ INVITE ─", "─ 180 Ringing ─┤", "├┄ incoming, token ┄", "├═ RTP, 440 Hz ═", "├─ BYE ─"];
    // The keys leave with one end's number for telephone-event and arrive with the other's.
    let table = ["440 Hz (440 Hz sent)", "620 Hz (620 Hz sent)", "42# as type 101 (42# sent as type 96)"];
    check(
        &[],
        &[&ladder[..], &table, &["call detail record                  exactly one", "✓ every line holds"]].concat(),
    );
}

#[test]

fn many_calls_at_once_hold_every_line_too() {
    check(&["--calls", "20"], &["20 calls, up to 20 at once", "20 of 20", "✓ every line holds"]);
}
