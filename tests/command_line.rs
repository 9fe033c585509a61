//! What an operator sees of the program itself: exit codes, one line for each mistake, and what goes to which stream.
//! Not here: calls (the other tests make them) and what each mistake says (`config`).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

const SECRET: &str = "a-secret-of-more-than-thirty-two-bytes";

fn parkway(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_parkway")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// A file with this in it; it goes with the directory.
fn file(text: &str) -> (TempDir, String) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("parkway.toml");
    fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (dir, path)
}

fn with_a_key() -> (TempDir, String) {
    file(&format!("[[policy.key]]\nkid = \"k\"\ntype = \"hs256\"\nsecret = \"{SECRET}\"\n"))
}

#[test]
fn a_good_configuration_is_0() {
    let (_dir, path) = file(include_str!("../conf/parkway.toml"));
    let output = parkway(&["--config", &path, "--check-config"]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), "the configuration is good\n"));
}

#[test]
fn a_bad_configuration_is_78_with_file_line_and_key() {
    let (_dir, path) = file("[sip]\nlisten = [\"x\"]\n[park]\nresponse = 1\n");
    for arguments in
        [&["--config", &path, "--check-config"][..], &["--config", &path], &["--print-config", "-c", &path]]
    {
        let output = parkway(arguments);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(78), ""), "{arguments:?}");
        let lines: Vec<&str> = text(&output.stderr).lines().collect();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].starts_with(&format!("parkway: {path}:2: sip.listen[0]: ")), "{lines:?}");
        assert!(lines[1].starts_with(&format!("parkway: {path}:4: park.response: ")), "{lines:?}");
    }
}

#[test]
fn what_cannot_be_used_is_named_with_its_place_and_what_to_do() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    for (text, code, place, remedy) in [
        (format!("[http]\nlisten = \"{taken}\"\n"), 69, ":2: http.listen: ", "choose another port"),
        ("[records]\npath = \"/nonexistent/cdr\"\n".into(), 78, ":2: records.path: ", "make its directory"),
    ] {
        let (_dir, path) = file(&text);
        let output = parkway(&["-c", &path, "--set", "sip.listen=127.0.0.1:0", "--set", "admin.listen=127.0.0.1:0"]);
        let last = text_of_last_line(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{last}");
        assert!(last.starts_with(&format!("parkway: {path}{place}")) && last.contains(remedy), "{last}");
    }
}

fn text_of_last_line(bytes: &[u8]) -> &str {
    text(bytes).lines().last().unwrap_or_default()
}

#[test]
fn what_is_printed_is_the_effective_configuration_without_its_secrets() {
    let (_dir, path) = with_a_key();
    let output = parkway(&["-c", &path, "--print-config", "--set", "park.calls_max=7"]);
    let printed = text(&output.stdout);
    assert!(output.status.success() && printed.contains("calls_max = 7\n") && !printed.contains(SECRET), "{printed}");
}

#[test]
fn a_warning_leaves_the_exit_code_at_0() {
    let output = parkway(&["--check-config", "--set", "sip.advertised=192.0.2.1"]);
    let warnings = text(&output.stderr);
    assert!(
        output.status.success() && warnings.contains("parkway: warning: --set sip.advertised=192.0.2.1: "),
        "{warnings}"
    );
}

#[test]
fn a_minted_token_is_the_only_thing_on_standard_output() {
    let (_dir, path) = with_a_key();
    let output = parkway(&["token", "mint", "--name", "demo", "--expires", "5m", "-c", &path]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout).trim_end().split('.').count(), 3);
    assert_eq!(text(&output.stdout).lines().count(), 1);
}

#[test]
fn without_a_secret_to_sign_with_no_token_is_minted() {
    let output = parkway(&["token", "mint", "--name", "demo"]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(78), ""));
    assert!(text(&output.stderr).contains("set node.state_dir"), "{}", text(&output.stderr));
}

#[test]
fn the_daemon_says_what_is_unwise_and_ends_with_0_when_it_is_told_to() {
    let set =
        ["sip.listen=127.0.0.1:0", "http.listen=127.0.0.1:0", "admin.listen=127.0.0.1:0", "sip.advertised=192.0.2.1"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_parkway"));
    command.args(set.iter().flat_map(|set| ["--set", set])).env_remove("RUST_LOG").env_remove("NOTIFY_SOCKET");
    let mut daemon = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(daemon.stderr.take().unwrap()).lines().map(Result::unwrap);
    let began: Vec<String> = log.by_ref().take_while(|line| !line.contains("ready")).collect();
    for warning in ["sip.advertised=192.0.2.1: ", "keys are made for this run only"] {
        assert!(began.iter().any(|line| line.contains("WARN") && line.contains(warning)), "{warning}: {began:?}");
    }
    assert!(Command::new("kill").args(["-TERM", &daemon.id().to_string()]).status().unwrap().success());
    assert_eq!(daemon.wait().unwrap().code(), Some(0));
    assert!(log.any(|line| line.contains("draining")));
}

#[test]
fn a_route_test_prints_a_line_a_trunk_and_makes_no_call() {
    let (_dir, path) = file(
        "[[trunk]]\nname = \"a\"\nallow = [\"192.0.2.0/24\"]\nrewrite_called = [\"0* -> +49*\"]\n\
         [[route]]\nnumber = \"+49*\"\nname = \"demo\"\n",
    );
    for (uri, code, expected) in [
        ("sip:030@host", 0, "trunk a: number +4930: route +49* to name demo, 180, waits 60 s, then 480\n"),
        ("sip:130@host", 0, "trunk a: number 130: no route, 404\n"),
        ("030", 78, ""),
    ] {
        let output = parkway(&["--config", &path, "--route-test", uri]);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(code), expected), "{uri}");
    }
}

#[test]
fn a_target_that_nobody_can_reach_is_warned_of_when_the_configuration_is_checked() {
    let (_dir, path) = file(
        "[sip]\nlisten = [\"127.0.0.1:5060\"]\n[dns]\nservers = [\"127.0.0.1:1\"]\n\
         [[trunk]]\nname = \"a\"\nallow = [\"192.0.2.0/24\"]\n\
         targets = [\"192.0.2.7\", \"sips:192.0.2.7\", \"gw.invalid:5060\"]\n",
    );
    let output = parkway(&["--config", &path, "--check-config"]);
    assert_eq!(output.status.code(), Some(0));
    let warnings: Vec<&str> = text(&output.stderr).lines().filter(|line| line.contains("targets")).collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("trunk[0].targets[1]: sips:192.0.2.7 cannot be reached: no listener"), "{warnings:?}");
    assert!(warnings[1].contains("trunk[0].targets[2]: sip:gw.invalid:5060 cannot be reached: no "), "{warnings:?}");
}

#[test]
fn the_version_is_one_line() {
    let output = parkway(&["--version"]);
    assert_eq!(text(&output.stdout), concat!("parkway ", env!("CARGO_PKG_VERSION"), "\n"));
}
