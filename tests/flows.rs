//! Calls as ladders: the switch with everything around it played by a text, and a clock that stands still until the text says otherwise.
//! `tests/flows/*.flow` are the races and rules of PRODUCT.md and RELIABILITY.md, one a file; each is also checked against what must
//! hold in all of them (`flows/law.rs`). `FLOW=cancel cargo test --test flows` runs those with `cancel` in their name.
//!
//! ```text
//! # for people                      given park=30s policy=asks      how the switch is set up
//! trunk  -> INVITE offer=pcma       who tells the switch what       trunk, client, client2, telephone, stranger: user agents
//! trunk  <- 180                     who must hear what next         notify, media, policy, record: what else the switch does
//! time   +32s                       so much time passes             channel, operator: who else tells it things
//! clock  +60m                       somebody sets the wall clock
//! ```
//! A user agent says `INVITE`, `ACK`, `CANCEL`, `BYE`, `OPTIONS`, or a status as its response; `ACK cseq=1` acknowledges an earlier 2xx, `BYE cseq=2` has that number, `again` repeats its last message and `again BYE`
//! the last of that name; `forked` repeats its INVITE by another way, `INVITE late` is in the dialog that is over. An INVITE takes `offer=pcma,pcmu,te101` (`unversioned`: with the version of the last one), `to=number`, `token`, `bearer`
//! (twice for two of the header), `as=subject`, `call=2`. Any message takes headers, as `+Name:value`, and `multipart` puts the
//! description among other parts; `PRACK rack` acknowledges the last reliable response, a telephone says `REGISTER bearer` and is rung if the route `rings`, and
//! `body=text` is a body of another kind. What was heard can be looked into: `Warning:denied`, `sdp:a=sendonly`,
//! `formats=8,101`, `empty`, `x3` for three of them.
//! Order matters within what one of them hears. Whatever is heard and not mentioned is an error, and so is whatever is left at the end.

#[path = "flows/actor.rs"]
mod actor;
#[path = "flows/expect.rs"]
mod expect;
#[path = "flows/index.rs"]
mod index;
#[path = "flows/law.rs"]
mod law;
#[path = "flows/office.rs"]
mod office;
#[path = "flows/script.rs"]
mod script;
#[path = "flows/stage.rs"]
mod stage;
#[path = "flows/wire.rs"]
mod wire;

use office::Plan;
use script::Step;
use stage::Stage;
use std::path::{Path, PathBuf};

/// Plays a flow. An error says where the flow and the switch part, and how it came to that.
fn check(name: &str, flow: &str) -> Result<(), String> {
    let lines = script::parse(flow).map_err(|error| format!("{name}: {error}"))?;
    let mut plan = Plan::default();
    let mut lines = lines.iter().peekable();
    while let Some(line) = lines.next_if(|line| matches!(line.step, Step::Given(_))) {
        if let Step::Given(words) = &line.step {
            plan.change(words).map_err(|error| format!("{name}:{}: {error}", line.number))?;
        }
    }
    let mut stage = Stage::new(plan);
    for line in lines {
        let done = stage.step(line);
        done.map_err(|error| failure(&format!("{name}:{}", line.number), &line.text, &error, &stage))?;
    }
    let ended = stage.end();
    ended.map_err(|error| failure(name, "(the end)", &error, &stage))
}

fn failure(place: &str, line: &str, error: &str, stage: &Stage) -> String {
    format!("{place}: {line}\n    {error}\n{}\n", stage.ladder.join("\n"))
}

/// All flows, in order.
fn files() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/flows");
    let files = std::fs::read_dir(directory).expect("the flows are there").map(|entry| entry.expect("readable").path());
    let mut files: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|extension| extension == "flow")).collect();
    files.sort();
    files
}

#[test]
fn every_flow_goes_as_it_is_written() {
    let wanted = std::env::var("FLOW").unwrap_or_default();
    let (mut played, mut failures) = (0, Vec::new());
    for path in files() {
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        if name.contains(&wanted) {
            played += 1;
            let flow = std::fs::read_to_string(&path).expect("readable");
            failures.extend(check(&name, &flow).err());
        }
    }
    assert!(played > 0, "no flow is called {wanted}");
    assert!(failures.is_empty(), "{} of {played} flows went wrong\n\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn every_race_and_fault_has_its_flows() {
    let stem = |path: &PathBuf| Some(path.file_stem()?.to_string_lossy().into_owned());
    let there: Vec<_> = files().iter().filter_map(stem).collect();
    let found = [index::gaps(index::RACES, &there), index::gaps(index::FAULTS, &there)].concat();
    assert!(found.is_empty(), "{found:#?}");
    let planted: &[index::Row] = &[("both BYE", &["both-bye", "no-such-flow"]), ("lost ACK", &[])];
    assert_eq!(index::gaps(planted, &there), ["lost ACK: no flow plays it", "both BYE: there is no no-such-flow.flow"]);
}

/// The language itself: what it must not let pass.
#[test]
fn a_flow_that_does_not_say_what_happens_fails() {
    const CALL: &str = "trunk -> INVITE offer=pcma\ntrunk <- 180\nnotify <- incoming name=demo\n";
    const CANCEL: &str = "trunk -> CANCEL\ntrunk <- 200 CSeq:CANCEL\ntrunk <- 487\nnotify <- gone\n";
    for (flow, expected) in [
        (format!("{CALL}{CANCEL}record <- status=487"), ""),
        (format!("{CALL}{CANCEL}"), "record heard something that the flow does not mention"),
        (format!("{CALL}{CANCEL}record <- status=486"), "without status=486"),
        (CALL.into(), "does not mention"),
        ("trunk -> INVITE offer=pcma\ntrunk <- 200".into(), "trunk heard SIP/2.0 180"),
        ("trunk -> INVITE ofer=pcma".into(), "`ofer=pcma` means nothing here"),
        ("trunk - INVITE".into(), "a step is"),
        ("time 5".into(), "a time is"),
        ("clock 60m".into(), "a clock is"),
        ("nobody -> INVITE".into(), "nobody is called nobody"),
        ("given parking=5s".into(), "means nothing here"),
    ] {
        let error = check("inline", &flow).err().unwrap_or_default();
        assert!(error.contains(expected) && expected.is_empty() == error.is_empty(), "{flow}\n{error}");
    }
}
