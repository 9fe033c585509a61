//! The torture messages of RFC 4475 and RFC 5118 over UDP and over TCP to the real daemon: each must come out as the tables beside them say
//! (`../shared/data/sip/*/expected.tsv`), and none may hurt a call that waits.
//! Not here: messages broken at random (`bad_input`).
//!
//! A response goes where the Via says (RFC 3261 §18.2.2): to the address that the message came from, but to the Via's own port.
//! So each message is sent from an address of its own in 127.0.0.0/8, on which that port is free.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod common;

use common::story::{NUMBER, assert_calls_work, assert_can_be_answered, park};
use common::{Daemon, Setup, Subscriber, program};
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long the daemon has to say something.
const PATIENCE: Duration = Duration::from_millis(400);

/// How long a connection may stand on which a message is not whole.
const CLOSED_WITHIN: Duration = Duration::from_secs(8);

/// What came of a message.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Outcome {
    /// Its call rings, or it got a 2xx.
    Accepted,
    /// It was refused with this status.
    Refused(u16),
    /// Nothing was said.
    Dropped,
}

/// A row of a table.
struct Row {
    file: PathBuf,
    /// `parkway_must` and `also_ok`, in English.
    words: String,
}

/// The tables' rows; none if the data is not there.
fn rows(rfc: &str) -> Vec<Row> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/sip").join(rfc);
    if !program::is_there(&dir) {
        return Vec::new();
    }
    let table = fs::read_to_string(dir.join("expected.tsv")).unwrap();
    let mut lines = table.lines().filter(|line| !line.starts_with('#')).map(|line| line.split('\t'));
    let head: Vec<&str> = lines.next().unwrap().collect();
    let wanted: Vec<usize> = (0..head.len()).filter(|at| ["parkway_must", "also_ok"].contains(&head[*at])).collect();
    let rows = lines.map(|fields| {
        let fields: Vec<&str> = fields.collect();
        let words: Vec<&str> = wanted.iter().map(|at| fields[*at]).collect();
        Row { file: dir.join(fields[0]), words: words.join("; ") }
    });
    rows.collect()
}

/// What the table's words allow for a message. Being "accepted" means here: a method that Parkway does not offer is refused as
/// such once the message has been read, before anybody looks at what only a registrar would read (RFC 3261 §8.2.1); a request
/// within a dialog that is not there, which a tag in To makes it, is a 481 (§12.2.2).
fn allowed(words: &str, message: &[u8]) -> BTreeSet<Outcome> {
    let method = method(message);
    let numbers = words.split(|c: char| !c.is_ascii_alphanumeric() && c != '.').filter(|word| word.len() == 3);
    let codes = numbers.filter_map(|word| word.parse().ok()).filter(|code| (400..700).contains(code));
    let mut allowed: BTreeSet<Outcome> = codes.map(Outcome::Refused).collect();
    let says = |options: &[&str]| options.iter().any(|word| words.contains(word));
    if says(&["accept", "parse ok", "answer as usual"]) {
        match method.as_str() {
            _ if is_in_dialog(message) => allowed.insert(Outcome::Refused(481)),
            "INVITE" | "OPTIONS" => allowed.insert(Outcome::Accepted),
            "BYE" => allowed.insert(Outcome::Refused(481)),
            "REGISTER" => allowed.insert(Outcome::Refused(401)),
            // What is there is of many parts, and what is taken is text.
            "MESSAGE" => allowed.insert(Outcome::Refused(415)),
            _ => allowed.insert(Outcome::Refused(501)),
        };
    }
    if says(&["discard", "drop"]) {
        allowed.insert(Outcome::Dropped);
    }
    allowed
}

/// The first line's first word.
fn method(message: &[u8]) -> String {
    let word = message.split(|byte| *byte == b' ').next().unwrap_or_default();
    String::from_utf8_lossy(word).into_owned()
}

/// Whether its To has a tag.
fn is_in_dialog(message: &[u8]) -> bool {
    header(message, &["to", "t"]).is_some_and(|to| to.split(';').skip(1).any(|part| part.trim().starts_with("tag")))
}

/// The first field of one of these names, its lines joined.
fn header(message: &[u8], names: &[&str]) -> Option<String> {
    let text = String::from_utf8_lossy(message).replace("\r\n ", " ").replace("\r\n\t", " ");
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    let mut found = fields.filter(|(name, _)| names.contains(&name.trim().to_ascii_lowercase().as_str()));
    found.next().map(|(_, value)| value.to_owned())
}

/// The port in the topmost Via, to which the response will go.
fn via_port(message: &[u8]) -> u16 {
    let via = header(message, &["via", "v"]).unwrap_or_default();
    let sent_by = via.split([';', ',']).next().and_then(|value| value.split_whitespace().last());
    let port = sent_by.and_then(|sent_by| sent_by.rsplit_once(':')).and_then(|(_, port)| port.parse().ok());
    port.unwrap_or(5060)
}

/// An address that no other test of this machine is likely to use at the same time.
fn own_address(number: usize) -> Ipv4Addr {
    let [_, _, high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 16 + u8::try_from(number).unwrap(), high, low.max(1))
}

/// Sends it and waits for what is said; all of it, in the order in which it came.
fn send(daemon: &Daemon, number: usize, message: &[u8]) -> Vec<String> {
    let socket = UdpSocket::bind(SocketAddr::new(own_address(number).into(), via_port(message))).unwrap();
    socket.send_to(message, daemon.sip).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut said = Vec::new();
    let mut buffer = [0; 65_535];
    while let Ok((length, _)) = socket.recv_from(&mut buffer) {
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let more = text.starts_with("SIP/2.0 100");
        said.push(text);
        if !more {
            // A second answer to one request would come now.
            socket.set_read_timeout(Some(Duration::from_millis(30))).unwrap();
        }
    }
    said
}

fn outcome(said: &[String]) -> Outcome {
    let status = |text: &String| text.get(8..11).and_then(|code| code.parse().ok()).unwrap_or(0u16);
    match said.iter().map(status).find(|status| *status > 100) {
        None => Outcome::Dropped,
        Some(101..=299) => Outcome::Accepted,
        Some(status) => Outcome::Refused(status),
    }
}

/// Headers that RFC 3261 wants in these refusals.
fn lacks(outcome: &Outcome, said: &[String]) -> Option<&'static str> {
    let needed = match outcome {
        Outcome::Refused(405 | 501) => "\r\nAllow:",
        Outcome::Refused(415) => "\r\nAccept:",
        Outcome::Refused(420) => "\r\nUnsupported:",
        Outcome::Refused(_) | Outcome::Accepted | Outcome::Dropped => return None,
    };
    (!said.iter().any(|text| text.contains(needed))).then_some(needed.trim())
}

/// The same over TCP, on a connection of its own; what cannot be framed closes it, so it is waited for as long as for a whole message.
fn send_by_tcp(daemon: &Daemon, message: &[u8]) -> Vec<String> {
    let mut stream = TcpStream::connect(daemon.sip).unwrap();
    stream.write_all(message).unwrap();
    let framed = header(message, &["content-length", "l"]).and_then(|length| length.trim().parse::<usize>().ok());
    let head = message.windows(4).position(|four| four == b"\r\n\r\n").map_or(message.len(), |at| at + 4);
    let is_whole = framed.unwrap_or(0) <= message.len() - head;
    stream.set_read_timeout(Some(if is_whole { PATIENCE } else { CLOSED_WITHIN })).unwrap();
    let (mut all, mut buffer) = (Vec::new(), [0; 65_535]);
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        all.extend_from_slice(&buffer[..length]);
    }
    let all = String::from_utf8_lossy(&all).into_owned();
    all.split_inclusive("\r\n\r\n").filter(|text| text.starts_with("SIP/2.0")).map(str::to_owned).collect()
}

/// Sends one row's message; the line for the table, and whether it is as it must be.
fn judge(daemon: &Daemon, number: usize, row: &Row, transport: &str) -> (Outcome, bool, String) {
    let message = fs::read(&row.file).unwrap();
    let mut said = if transport == "udp" { send(daemon, number, &message) } else { send_by_tcp(daemon, &message) };
    if transport == "tcp" && row.file.ends_with("dblreq.dat") {
        // Two requests on a stream: each has its answer.
        assert!(said.len() >= 2, "{said:?}");
        said.truncate(1);
    }
    let outcome = outcome(&said);
    let allowed = allowed(&row.words, &message);
    let finals = said.iter().filter(|text| !text.starts_with("SIP/2.0 1")).count();
    let lack = lacks(&outcome, &said).map(|header| format!(", without {header}")).unwrap_or_default();
    let good = allowed.contains(&outcome) && lack.is_empty() && finals <= 1;
    let verdict = if good { "as it must be" } else { "WRONG" };
    let file = row.file.file_name().unwrap().to_string_lossy();
    let line = format!("{transport} {file:30} {:16} {verdict}{lack}   [{}]", format!("{outcome:?}"), row.words);
    (outcome, good, line)
}

#[test]
fn over_tcp_every_torture_message_comes_out_so_too() {
    run("tcp");
}

#[test]
fn every_torture_message_comes_out_as_its_table_says_and_hurts_nobody() {
    run("udp");
}

fn run(transport: &str) {
    let rows: Vec<Row> = ["rfc4475", "rfc5118"].into_iter().flat_map(rows).collect();
    if rows.is_empty() {
        return;
    }
    let tables = format!(
        "[[trunk]]\nname = \"gateway\"\nallow = [\"127.0.0.0/8\"]\n\
         [[route]]\nnumber = \"{NUMBER}\"\nname = \"demo\"\n\
         [[route]]\nnumber = \"*\"\nname = \"torture\"\npark_seconds = 1\n"
    );
    let mut daemon = Daemon::start_as(&Setup { tables, ..Setup::default() });
    let client = &mut Subscriber::ready(&daemon, "demo");
    let mut caller = park(&daemon);
    let waiting = client.incoming();
    let judged: Vec<_> = rows.iter().enumerate().map(|(number, row)| judge(&daemon, number, row, transport)).collect();
    judged.iter().for_each(|(_, _, line)| println!("{line}"));
    let wrong: Vec<&str> = judged.iter().filter(|(_, good, _)| !good).map(|(_, _, line)| line.as_str()).collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), rows.len(), wrong.join("\n"));

    assert!(daemon.is_alive());
    assert_can_be_answered(&daemon, client, &waiting, &mut caller);
    assert_calls_work(&daemon);
    let parked = judged.iter().zip(&rows).filter(|((outcome, ..), row)| {
        *outcome == Outcome::Accepted && method(&fs::read(&row.file).unwrap()) == "INVITE"
    });
    daemon.finish(2 + parked.count());
}
