//! `applicability.tsv`: what is said there of each scenario, read strictly. A word that is not in the closed sets below is an error.
//! Not here: how a scenario is run (`play`).

use std::fs;
use std::path::{Path, PathBuf};

/// The columns, as the table's first line has them.
pub(crate) const COLUMNS: &str = "file\trole\tapplicable\tway\texpect\tneeds\targuments\treason";
/// What a file is: who sends first, or that there is nothing to play.
const ROLES: [&str; 4] = ["uac", "uas", "3pcc", "none"];
/// What Parkway may have to learn before a scenario can come out right.
const FEATURES: [&str; 14] = [
    "register",
    "digest",
    "subscribe",
    "message",
    "tcp",
    "tls",
    "update",
    "prack",
    "timer",
    "info",
    "refer",
    "video",
    "trunk",
    "multipart",
];

/// A line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Below `data/sipp`.
    pub(crate) file: String,
    /// Whether somebody could send this to Parkway, or be sent it.
    pub(crate) applicable: bool,
    /// How it is played, each way on its own; empty when it is not applicable.
    pub(crate) ways: Vec<Way>,
    /// What must come of it.
    pub(crate) expect: Expect,
    /// What Parkway has to learn first.
    pub(crate) needs: Vec<String>,
    /// For SIPp, with `{own}` for the table's directory and `{sip}` for the daemon's address; `set:KEY=VALUE`, `user:NAME:PASSWORD`,
    /// `trunk:NAME:PASSWORD` and `realm:NAME` are for the daemon.
    pub(crate) arguments: Vec<String>,
    /// Why it is not applicable, why its outcome is right, or why it is known to fail.
    pub(crate) reason: String,
}

/// Who is at the other side, and what they do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    /// SIPp is a trunk's caller; a client calls back at once and says yes to what comes.
    Answered,
    /// The same, and the client hangs up a second later.
    HungUpOn,
    /// The same, and the client sends a re-INVITE half a second later.
    Reinvited,
    /// The same, and the client holds, resumes and hangs up, a second after each other.
    Held,
    /// The same, and the client refuses an INVITE in the call with 488.
    ReinviteRefused,
    /// A trunk's caller whom a client declines.
    Declined,
    /// A trunk's caller, or a trunk's request, and nobody at the other side: the call waits for long.
    Alone,
    /// The same with a wait of one second.
    NobodyAnswers,
    /// From an address that is no trunk's.
    Stranger,
    /// SIPp is the client: it dials the URI of a call that waits.
    Callback,
    /// The same, and the caller hangs up a second later.
    CallbackHungUpOn,
    /// As `Answered`; a second later the daemon is told to stop.
    Drained,
    /// SIPp is a registered telephone that is rung; the caller says yes to what comes.
    Rung,
    /// The same, and the caller hangs up a second later.
    RungHungUpOn,
    /// The same, and the caller gives up while it rings.
    RungInVain,
    /// The same, and the caller sends a re-INVITE.
    RungReinvited,
    /// The same, and the caller holds, resumes and hangs up.
    RungHeld,
    /// The same, and SIPp may hand the call to `charlie`, who answers.
    RungHandsOver,
    /// SIPp is a target of a trunk that is asked for its health.
    Target,
    /// SIPp is the registrar of a trunk that wants a registration.
    Registrar,
}

/// What must come of a scenario.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Expect {
    /// Not applicable.
    Nothing,
    /// SIPp says that everything went as the scenario has it.
    Pass,
    /// Each of SIPp's requests but ACK, in order, with its final response (`none` without one): "INVITE 480", "BYE 200"; and, where
    /// they are listed, the first of Parkway's with SIPp's: "<INVITE 200".
    Answers(Vec<String>),
}

impl Row {
    /// Whether a request of it finds its answer nowhere.
    pub(crate) fn expects_silence(&self) -> bool {
        let is_silent = |answer: &String| answer.ends_with(" none");
        matches!(&self.expect, Expect::Answers(answers) if answers.iter().any(is_silent))
    }
}

impl Way {
    /// Whether SIPp is a telephone that is rung.
    pub(crate) fn is_rung(self) -> bool {
        match self {
            Way::Rung | Way::RungHungUpOn | Way::RungInVain | Way::RungReinvited | Way::RungHeld => true,
            Way::RungHandsOver => true,
            Way::Answered | Way::HungUpOn | Way::Reinvited | Way::Held | Way::ReinviteRefused | Way::Declined => false,
            Way::Alone | Way::NobodyAnswers | Way::Stranger | Way::Drained | Way::Target | Way::Registrar => false,
            Way::Callback | Way::CallbackHungUpOn => false,
        }
    }

    fn parse(word: &str) -> Option<Way> {
        Some(match word {
            "answered" => Way::Answered,
            "hung-up-on" => Way::HungUpOn,
            "reinvited" => Way::Reinvited,
            "held" => Way::Held,
            "reinvite-refused" => Way::ReinviteRefused,
            "declined" => Way::Declined,
            "alone" => Way::Alone,
            "nobody-answers" => Way::NobodyAnswers,
            "stranger" => Way::Stranger,
            "callback" => Way::Callback,
            "callback-hung-up-on" => Way::CallbackHungUpOn,
            "drained" => Way::Drained,
            "rung" => Way::Rung,
            "rung-hung-up-on" => Way::RungHungUpOn,
            "rung-in-vain" => Way::RungInVain,
            "rung-reinvited" => Way::RungReinvited,
            "rung-held" => Way::RungHeld,
            "rung-hands-over" => Way::RungHandsOver,
            "target" => Way::Target,
            "registrar" => Way::Registrar,
            _ => return None,
        })
    }
}

/// Where the table is.
pub(crate) fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/applicability.tsv")
}

/// Reads the table; what is wrong with it is the error.
pub(crate) fn read() -> Result<Vec<Row>, String> {
    let text = fs::read_to_string(path()).map_err(|error| error.to_string())?;
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.starts_with('#'));
    if lines.next().map(|(_, line)| line) != Some(COLUMNS) {
        return Err(format!("the first line is not {COLUMNS:?}"));
    }
    lines.map(|(at, line)| row(line).map_err(|what| format!("line {}: {what}: {line}", at + 1))).collect()
}

/// Reads a line.
pub(crate) fn row(line: &str) -> Result<Row, String> {
    let fields: Vec<&str> = line.split('\t').collect();
    let [file, role, applicable, ways, expect, needs, arguments, reason] = fields[..] else {
        return Err(format!("{} columns instead of 8", fields.len()));
    };
    let applicable = match applicable {
        "yes" => true,
        "no" => false,
        other => return Err(format!("{other:?} is neither yes nor no")),
    };
    if !ROLES.contains(&role) {
        return Err(format!("no such role: {role}"));
    }
    let way = |word: String| Way::parse(&word).ok_or(format!("no such way: {word}"));
    let ways: Vec<Way> = words(ways, '+').into_iter().map(way).collect::<Result<_, _>>()?;
    let needs = words(needs, ',');
    if let Some(unknown) = needs.iter().find(|word| !FEATURES.contains(&word.as_str())) {
        return Err(format!("no such feature: {unknown}"));
    }
    let expect = expectation(expect)?;
    if applicable == ways.is_empty() || applicable == (expect == Expect::Nothing) {
        return Err("an applicable scenario, and no other, has a way and an expectation".to_owned());
    }
    let says_why = !applicable || expect != Expect::Pass || !needs.is_empty();
    if says_why && reason.len() < 5 {
        return Err("no reason".to_owned());
    }
    let (file, reason) = (file.to_owned(), reason.to_owned());
    Ok(Row { file, applicable, ways, expect, needs, arguments: words(arguments, ' '), reason })
}

/// `-` stands for none.
fn words(field: &str, between: char) -> Vec<String> {
    field.split(between).map(str::trim).filter(|word| !["", "-"].contains(word)).map(str::to_owned).collect()
}

fn expectation(field: &str) -> Result<Expect, String> {
    match field {
        "-" => Ok(Expect::Nothing),
        "pass" => Ok(Expect::Pass),
        list => {
            let answers = words(list, ',');
            let is_answer = |answer: &String| {
                let parts: Vec<&str> = answer.split(' ').collect();
                matches!(parts[..], [_, status] if status == "none" || status.parse::<u16>().is_ok_and(|status| status >= 200))
            };
            if answers.iter().all(is_answer) {
                Ok(Expect::Answers(answers))
            } else {
                Err(format!("not an expectation: {list}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Expect, Way, row};

    #[test]
    fn a_line_that_says_all_is_read() {
        let read =
            row("a/b.xml\tuac\tyes\tanswered+callback\tINVITE 200, BYE none\tinfo,tcp\t-key a b\twhy not").unwrap();
        assert_eq!(read.ways, [Way::Answered, Way::Callback]);
        assert_eq!(read.expect, Expect::Answers(vec!["INVITE 200".into(), "BYE none".into()]));
        assert_eq!((read.needs.len(), read.arguments.len()), (2, 3));
        assert!(row("a/b.xml\tuas\tno\t-\t-\t-\t-\tis a UAS").is_ok_and(|row| !row.applicable));
        assert!(row("a/b.xml\tuac\tyes\tdeclined\tpass\t-\t-\t-").is_ok_and(|row| row.expect == Expect::Pass));
    }

    #[test]
    fn a_line_that_says_too_little_or_something_unknown_is_refused() {
        for (line, why) in [
            ("a/b.xml\tuac\tyes\tanswered\tpass\t-\t-", "columns"),
            ("a/b.xml\tuac\tmaybe\tanswered\tpass\t-\t-\t-", "neither"),
            ("a/b.xml\tproxy\tyes\tanswered\tpass\t-\t-\t-", "role"),
            ("a/b.xml\tuac\tyes\tshouted\tpass\t-\t-\t-", "way"),
            ("a/b.xml\tuac\tyes\tanswered\tpass\tmagic\t-\twhy not", "feature"),
            ("a/b.xml\tuac\tyes\tanswered\tINVITE 99\t-\t-\twhy not", "expectation"),
            ("a/b.xml\tuac\tyes\tanswered\tINVITE 200\t-\t-\t-", "reason"),
            ("a/b.xml\tuas\tno\t-\t-\t-\t-\t-", "reason"),
            ("a/b.xml\tuac\tyes\t-\tpass\t-\t-\t-", "no other"),
            ("a/b.xml\tuac\tno\tanswered\t-\t-\t-\twhy not", "no other"),
        ] {
            assert!(row(line).is_err_and(|error| error.contains(why)), "{why}: {line}");
        }
    }
}
