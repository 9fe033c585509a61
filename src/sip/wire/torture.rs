//! The messages of RFC 4475 and RFC 5118, each against the outcome that `expected.tsv` beside them demands, as far as one
//! message's syntax decides it. Not here: the messages; where the shared data is absent, the tests say so and pass.

use super::{Header, Message, Method, Scheme, Start};
use std::path::PathBuf;

/// What the syntax decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcome {
    Accepted,
    /// Answered with this status, or dropped where nothing can be answered.
    Refused(u16),
    Dropped,
}
use Outcome::{Accepted, Dropped, Refused};

const RFC_4475: &[(&str, Outcome)] = &[
    ("wsinv.dat", Accepted),
    ("intmeth.dat", Accepted),
    ("esc01.dat", Accepted),
    ("escnull.dat", Accepted),
    ("esc02.dat", Accepted),
    ("lwsdisp.dat", Accepted),
    ("longreq.dat", Accepted),
    ("dblreq.dat", Accepted),
    ("semiuri.dat", Accepted),
    ("transports.dat", Accepted),
    ("mpart01.dat", Accepted),
    ("unreason.dat", Accepted),
    ("noreason.dat", Accepted),
    ("badinv01.dat", Refused(400)),
    ("clerr.dat", Refused(400)),
    ("ncl.dat", Refused(400)),
    ("scalar02.dat", Refused(400)),
    ("scalarlg.dat", Dropped),
    ("quotbal.dat", Refused(400)),
    ("ltgtruri.dat", Refused(400)),
    ("lwsruri.dat", Refused(400)),
    ("lwsstart.dat", Refused(400)),
    ("trws.dat", Refused(400)),
    ("escruri.dat", Refused(400)),
    // Nothing reads Date.
    ("baddate.dat", Accepted),
    // Its Contact is wrong, and only who asks for it finds out: below.
    ("regbadct.dat", Accepted),
    ("badaspec.dat", Refused(400)),
    ("baddn.dat", Refused(400)),
    ("badvers.dat", Refused(505)),
    ("mismatch01.dat", Refused(400)),
    ("mismatch02.dat", Refused(400)),
    ("bigcode.dat", Dropped),
    ("badbranch.dat", Refused(400)),
    ("insuf.dat", Dropped),
    // 416, 420, 415, 401, 406 and 501 are the endpoint's to give.
    ("unkscm.dat", Accepted),
    ("novelsc.dat", Accepted),
    ("unksm2.dat", Accepted),
    ("bext01.dat", Accepted),
    ("invut.dat", Accepted),
    ("regaut01.dat", Accepted),
    ("multi01.dat", Refused(400)),
    ("mcl01.dat", Refused(400)),
    ("bcast.dat", Accepted),
    ("zeromf.dat", Accepted),
    ("cparam01.dat", Accepted),
    ("cparam02.dat", Accepted),
    ("regescrt.dat", Accepted),
    ("sdp01.dat", Accepted),
    ("inv2543.dat", Accepted),
];

const RFC_5118: &[(&str, Outcome)] = &[
    ("ipv6-good", Accepted),
    ("ipv6-bad", Refused(400)),
    ("port-ambiguous", Accepted),
    ("port-unambiguous", Accepted),
    ("via-received-param-with-delim", Accepted),
    ("via-received-param-no-delim", Accepted),
    ("ipv6-in-sdp", Accepted),
    ("mult-ip-in-header", Accepted),
    ("mult-ip-in-sdp", Accepted),
    ("ipv4-mapped-ipv6", Accepted),
    ("ipv6-bug-abnf-3-colons", Refused(400)),
    ("ipv6-correct-abnf-2-colons", Accepted),
];

/// The directory of a collection; `None`, with a word to the reader, where it is not.
fn collection(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data/sip").join(name);
    let there = path.is_dir();
    if !there {
        eprintln!("not run: {} is not there", path.display());
    }
    there.then_some(path)
}

fn read(collection: &std::path::Path, file: &str) -> Vec<u8> {
    std::fs::read(collection.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn outcome(bytes: &[u8]) -> Outcome {
    match Message::parse(bytes) {
        Ok(_) => Accepted,
        Err(broken) => broken.reply_status().map_or(Dropped, Refused),
    }
}

fn check(name: &str, table: &[(&str, Outcome)]) {
    let Some(path) = collection(name) else { return };
    for (file, expected) in table {
        let bytes = read(&path, file);
        let error = Message::parse(&bytes).err().map(|broken| broken.error);
        assert_eq!(outcome(&bytes), *expected, "{file}: {error:?}");
    }
    let listed = std::fs::read_to_string(path.join("expected.tsv")).unwrap();
    for file in listed.lines().filter(|line| !line.starts_with('#')).skip(1).filter_map(|line| line.split('\t').next())
    {
        assert!(table.iter().any(|(name, _)| *name == file), "{file} is expected to have an outcome and has none here");
    }
}

#[test]
fn every_message_of_rfc_4475_has_its_outcome() {
    check("rfc4475", RFC_4475);
}

#[test]
fn every_message_of_rfc_5118_has_its_outcome() {
    check("rfc5118", RFC_5118);
}

/// Runs `look` over one message of RFC 4475, if it is there.
fn with(file: &str, look: impl FnOnce(&Message<'_>)) {
    let Some(path) = collection("rfc4475") else { return };
    let bytes = read(&path, file);
    look(&Message::parse(&bytes).unwrap_or_else(|broken| panic!("{file}: {}", broken.error)));
}

#[test]
fn a_torturous_invite_is_read_right() {
    with("wsinv.dat", |message| {
        assert_eq!((message.max_forwards(), message.cseq().number), (Some(68), 9));
        assert_eq!(message.to().tag(), Some(&b"1918181833n"[..]));
        assert_eq!(message.from().tag(), Some(&b"98asjd8"[..]));
        let mut buffer = [0; 32];
        assert_eq!(message.from().display_unquoted(&mut buffer), Some(&b"J Rosenberg \\\""[..]));
        let branches: Vec<_> = message.vias().map(|via| via.unwrap().branch().unwrap().to_vec()).collect();
        assert_eq!(branches, [&b"390skdjuw"[..], b"z9hG4bK9ikj8", b"z9hG4bK30239"]);
        assert_eq!(message.contact().unwrap().param("q"), Some(Some(&b"0.33"[..])));
        assert_eq!(message.header(Header::Subject), Some(&b""[..]));
        assert_eq!(message.other("UnknownHeaderWithUnusualValue"), Some(&b";;,,;;,;"[..]));
    });
}

#[test]
fn escapes_are_undone_only_to_compare() {
    with("esc01.dat", |message| {
        let mut buffer = [0; 64];
        assert_eq!(message.to().uri.user_unescaped(&mut buffer), Some(&b"user"[..]));
        assert_eq!(message.contact().unwrap().uri.param("lr"), Some(None));
    });
    with("escnull.dat", |message| {
        let mut buffer = [0; 64];
        assert_eq!(message.from().uri.user, Some(&b"null-%00-null"[..]));
        assert_eq!(message.from().uri.user_unescaped(&mut buffer), Some(&b"null-\0-null"[..]));
        assert_eq!(message.contacts().count(), 2);
    });
    with("esc02.dat", |message| {
        let Start::Request { method, .. } = message.start() else { panic!("a response") };
        assert_eq!(method, Method::Other(b"RE%47IST%45R"));
    });
}

#[test]
fn only_the_bytes_of_the_first_request_are_read() {
    with("dblreq.dat", |message| {
        assert!(message.body().is_empty() && message.bytes().ends_with(b"\r\n\r\n"));
        assert_eq!(message.cseq().method, Method::Register);
    });
}

#[test]
fn a_long_request_has_all_its_vias() {
    with("longreq.dat", |message| {
        assert_eq!(message.vias().filter(|via| via.is_ok()).count(), 34);
    });
}

#[test]
fn parameters_belong_to_the_header_or_to_the_uri() {
    with("semiuri.dat", |message| {
        let Start::Request { uri, .. } = message.start() else { panic!("a response") };
        assert_eq!(uri.user, Some(&b"user;par=u%40example.net"[..]));
    });
    with("cparam01.dat", |message| assert_eq!(message.contact().unwrap().param("unknownparam"), Some(None)));
    with("cparam02.dat", |message| assert_eq!(message.contact().unwrap().uri.param("unknownparam"), Some(None)));
    with("regescrt.dat", |message| assert!(!message.contact().unwrap().uri.headers.is_empty()));
    with("regbadct.dat", |message| assert!(message.contact().is_err()));
    with("unksm2.dat", |message| assert_eq!(message.to().uri.scheme, Scheme::Other(b"isbn")));
}

#[test]
fn addresses_are_seen_through_their_spelling() {
    let Some(path) = collection("rfc5118") else { return };
    for (file, host, port) in [
        ("port-ambiguous", "2001:db8::10:5070", None),
        ("port-unambiguous", "2001:db8::10", Some(5070)),
        ("ipv6-good", "2001:db8::10", None),
    ] {
        let bytes = read(&path, file);
        let Start::Request { uri, .. } = Message::parse(&bytes).unwrap().start() else { panic!("a response") };
        assert_eq!((uri.host.unwrap().ip(), uri.port), (Some(host.parse().unwrap()), port), "{file}");
    }
    let bytes = read(&path, "ipv4-mapped-ipv6");
    let mapped = Message::parse(&bytes).unwrap();
    assert_eq!(mapped.via().host.ip(), Some("192.0.2.10".parse().unwrap()));
    for file in ["via-received-param-with-delim", "via-received-param-no-delim"] {
        let bytes = read(&path, file);
        assert_eq!(
            Message::parse(&bytes).unwrap().via().received(),
            Some("2001:db8::9:255".parse().unwrap()),
            "{file}"
        );
    }
}

#[test]
fn what_a_fuzzer_found_elsewhere_is_refused() {
    let Some(path) = collection("sipgo-fuzz") else { return };
    for entry in std::fs::read_dir(path).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert_eq!(outcome(&bytes), Dropped);
    }
}
