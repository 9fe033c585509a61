//! Keeps what the compiler does not: the direction of imports, the purity of the core, sizes, limits, documents.
//! Not here: taste. Each rule is a function from one file to what is wrong in it; below the rules, each is shown a planted
//! offence and must find it. Needles are written with a gap (`"to" "do"`) so that this file does not find itself.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use parkway::config::{Config, Sources};
use std::fs;
use std::path::Path;

/// Modules in import order: one may import those on lines above it, never its own line's or those below.
const ORDER: [&[&str]; 18] = [
    VOCABULARY,
    &["sip::wire", "sdp", "instructions"],
    &["sip", "media", "token"],
    &["policy", "trunk", "letter"],
    &["call", "presence"],
    &["event", "registrar"],
    &["switch"],
    &["config", "sim"],
    &["telemetry", "fuzz"],
    &["net", "resolve", "sync", "inquire"],
    &["relay", "notify"],
    &["push"],
    &["cluster"],
    &["http"],
    &["daemon"],
    &["demo"],
    &["bench"],
    &["main"],
];
/// The one line whose modules may use each other.
const VOCABULARY: &[&str] = &["id", "name", "number", "time", "rng", "secret", "limits", "mutant"];
/// The last module of the core.
const CORE_END: &str = "switch";

/// What the core may not say: sockets, tasks, clocks, locks, chance, files, output.
const BANNED: [&str; 19] = [
    "tokio::",
    "rustix::",
    "UdpSocket",
    "TcpStream",
    "TcpListener",
    "Instant::now",
    "SystemTime",
    "Mutex",
    "RwLock",
    "DashMap",
    "OnceLock",
    "std::thread",
    "std::fs",
    "std::env",
    "SystemRandom",
    "println!",
    "eprintln!",
    "print!",
    "static mut",
];

/// What is unfinished, in any file.
const UNFINISHED: [&str; 6] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("X", "XX:"),
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
    concat!("d", "bg!("),
];

/// Directories of one machine.
const MACHINE: [&str; 4] =
    [concat!("/wo", "rk/"), concat!("/tm", "p/wt"), concat!("/ro", "ot/"), concat!("/ho", "me/")];

const LINES_MAX: usize = 600;

/// One file: its path below `src/` (or below the package, for the others) and its text.
#[derive(Clone)]
struct Source {
    path: String,
    text: String,
    /// Whether another file declares it as a module of tests.
    only_tests: bool,
}

impl Source {
    fn new(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned(), only_tests: false }
    }

    /// The file without its tests: what follows `#[cfg(test)] mod … {`, and all of a file that is declared so.
    fn product(&self) -> &str {
        if self.only_tests {
            return "";
        }
        let opens = |line: &str| line.contains("mod ") && line.ends_with('{');
        let begins = |at: &usize| self.text.get(*at..).and_then(|rest| rest.lines().nth(1)).is_some_and(opens);
        let end = self.text.match_indices("#[cfg(test)]").map(|(at, _)| at).find(begins);
        self.text.get(..end.unwrap_or(self.text.len())).unwrap_or_default()
    }

    /// Paths of the files that this one declares as tests: `#[cfg(test)] mod …;`.
    fn declared_tests(&self) -> Vec<String> {
        let below = self.path.trim_end_matches("mod.rs").trim_end_matches(".rs").trim_end_matches('/').to_owned();
        let declared =
            self.text.split("#[cfg(test)]\n").skip(1).filter_map(|rest| rest.lines().next()?.strip_suffix(';'));
        let names = declared.filter_map(|line| line.split_once("mod ").map(|(_, name)| name));
        names.map(|name| format!("{below}/{name}.rs")).collect()
    }

    /// The product's lines with their numbers, comments cut off.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.product().lines().zip(1..);
        lines.map(|(line, number)| (number, line.split("//").next().unwrap_or_default()))
    }

    /// `sip::wire::via` for `sip/wire/via.rs`.
    fn module(&self) -> Vec<&str> {
        let path = self.path.trim_end_matches(".rs");
        path.trim_end_matches("/mod").split('/').collect()
    }
}

fn sources() -> Vec<Source> {
    let mut all = files("src", &["rs"]);
    all.iter_mut().for_each(|source| source.path = source.path.replacen("src/", "", 1));
    let tests: Vec<String> = all.iter().flat_map(Source::declared_tests).collect();
    all.iter_mut().for_each(|source| source.only_tests = tests.contains(&source.path));
    all
}

/// All files below a directory with one of these endings, in order.
fn files(directory: &str, endings: &[&str]) -> Vec<Source> {
    // Cargo says at run time where the package is; the binary does not know where it was built.
    let root = std::env::var("CARGO_MANIFEST_DIR").unwrap();
    let root = Path::new(&root);
    let mut found = Vec::new();
    let mut open = vec![root.join(directory)];
    while let Some(path) = open.pop() {
        if !path.exists() {
            continue;
        }
        if path.is_dir() {
            open.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if endings.iter().any(|ending| path.to_str().unwrap().ends_with(ending)) {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap();
            found.push(Source::new(name, &fs::read_to_string(&path).unwrap()));
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

/// Fails with all that a rule finds.
fn none(rule: impl Fn(&Source) -> Vec<String>, sources: &[Source]) {
    assert!(sources.len() > 3, "the sources were not found");
    let found: Vec<String> = sources
        .iter()
        .flat_map(|source| rule(source).into_iter().map(|what| format!("{}:{what}", source.path)).collect::<Vec<_>>())
        .collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

/// `sip::wire` for a path into it, else the first name.
fn unit(module: &[&str]) -> String {
    match module {
        ["sip", "wire", ..] => "sip::wire".to_owned(),
        [first, ..] => (*first).to_owned(),
        [] => String::new(),
    }
}

fn rank(unit: &str) -> Option<usize> {
    ORDER.iter().position(|line| line.contains(&unit))
}

fn is_core(unit: &str) -> bool {
    rank(unit).is_some_and(|at| Some(at) <= rank(CORE_END))
}

/// Modules that a line names: after `crate::` (also `crate::{a, b}`), and after as many `super::` as lead out of the module.
fn named(module: &[&str], line: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in line.match_indices("crate::") {
        let rest = line.get(at + "crate::".len()..).unwrap_or_default();
        match rest.strip_prefix('{') {
            Some(group) => found.extend(group.split([',', '}']).map(|path| unit(&segments(path)))),
            None => found.push(unit(&segments(rest))),
        }
    }
    for (at, _) in line.match_indices("super::") {
        if line.get(..at).is_some_and(|before| before.ends_with("super::")) {
            continue;
        }
        let mut rest = line.get(at..).unwrap_or_default();
        let mut base = module;
        while let (Some(inner), Some((_, above))) = (rest.strip_prefix("super::"), base.split_last()) {
            (rest, base) = (inner, above);
        }
        found.push(unit(&[base, &segments(rest)].concat()));
    }
    found.retain(|name| !name.is_empty());
    found
}

fn segments(path: &str) -> Vec<&str> {
    let path = path.trim();
    let end = path.find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':').unwrap_or(path.len());
    path.get(..end).unwrap_or(path).split("::").filter(|part| !part.is_empty()).collect()
}

fn imports_against_the_order(source: &Source) -> Vec<String> {
    let module = source.module();
    let own = unit(&module);
    if source.path == "lib.rs" {
        return Vec::new();
    }
    let Some(own_rank) = rank(&own) else { return vec![format!("1: `{own}` has no place in ORDER")] };
    let allowed = |target: &str| {
        let Some(target_rank) = rank(target) else { return false };
        target == own || target_rank < own_rank || (own_rank == 0 && target_rank == 0)
    };
    let wrong =
        source.code().flat_map(|(number, line)| named(&module, line).into_iter().map(move |target| (number, target)));
    wrong
        .filter(|(_, target)| !allowed(target))
        .map(|(number, target)| format!("{number}: `{own}` uses `{target}`"))
        .collect()
}

fn banned_words_in_the_core(source: &Source) -> Vec<String> {
    if !is_core(&unit(&source.module())) {
        return Vec::new();
    }
    let lines = source.code().flat_map(|line| BANNED.map(|word| (line, word)));
    lines
        .filter(|((_, line), word)| line.contains(word))
        .map(|((at, _), word)| format!("{at}: `{word}` in the core"))
        .collect()
}

/// The order of a `HashMap` is chance. Found by the names that are declared as one.
fn iteration_in_chance_order(source: &Source) -> Vec<String> {
    if !is_core(&unit(&source.module())) {
        return Vec::new();
    }
    let declared = |line: &str| {
        let at = ["HashMap", "HashSet"].iter().find_map(|kind| line.find(kind))?;
        let before = line.get(..at)?.trim_end_matches("std::collections::").trim_end_matches([':', '=', ' ', '&', '<']);
        let name = before.rsplit(|c: char| !c.is_alphanumeric() && c != '_').next()?;
        (!name.is_empty() && !line.trim_start().starts_with("use ")).then(|| name.to_owned())
    };
    let names: Vec<String> = source.code().filter_map(|(_, line)| declared(line)).collect();
    let iterates = |line: &str, name: &str| {
        let methods =
            [".iter()", ".iter_mut()", ".keys()", ".values()", ".values_mut()", ".drain()", ".retain(", ".into_iter()"];
        methods.iter().any(|method| line.contains(&format!("{name}{method}")))
            || ["in &", "in &mut ", "in &self.", "in &mut self.", "in self."]
                .iter()
                .any(|before| line.contains(&format!("{before}{name} {{")))
    };
    let hit = |(at, line): (usize, &str)| {
        let name = names.iter().find(|name| iterates(line, name))?;
        Some(format!("{at}: `{name}` is iterated in an order of chance"))
    };
    source.code().filter_map(hit).collect()
}

fn no_door_comment(source: &Source) -> Vec<String> {
    let has = source.text.starts_with("//! ") || source.text.starts_with("#![doc = include_str!");
    if has { Vec::new() } else { vec!["1: begins without a `//!` that says what it is for".to_owned()] }
}

fn too_long(source: &Source) -> Vec<String> {
    let lines = source.product().lines().count();
    if lines > LINES_MAX { vec![format!("{lines}: more than {LINES_MAX} lines before its tests")] } else { Vec::new() }
}

fn unfinished(source: &Source) -> Vec<String> {
    words(source, &UNFINISHED, "is unfinished")
}

fn paths_of_one_machine(source: &Source) -> Vec<String> {
    words(source, &MACHINE, "is a path of one machine")
}

/// Lines, comments included, with one of these words.
fn words(source: &Source, words: &[&str], what: &str) -> Vec<String> {
    let lines = source
        .text
        .lines()
        .zip(1..)
        .filter_map(|(line, at)| Some((at, words.iter().find(|word| line.contains(**word))?)));
    lines.map(|(at, word)| format!("{at}: `{word}` {what}")).collect()
}

/// Constants of `limits.rs` that no other file names.
fn unused_limits(limits: &Source, others: &[Source]) -> Vec<String> {
    let names = limits.text.lines().filter_map(|line| line.strip_prefix("pub const ")?.split(':').next());
    let used = |name: &&str| others.iter().any(|source| source.path != limits.path && source.product().contains(*name));
    names.filter(|name| !used(name)).map(|name| format!("{name} bounds nothing")).collect()
}

/// Lines of the printed defaults that the shipped file does not have, each in its section.
fn undocumented(defaults: &str, shipped: &str) -> Vec<String> {
    let in_sections = |text: &str| {
        let mut section = "";
        let mut found = Vec::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if line.starts_with('[') && line.ends_with(']') && !line.contains('=') {
                section = line;
            }
            found.push(format!("{section} {line}"));
        }
        found
    };
    // One form for a list, however it is broken into lines.
    let joined = |text: &str| text.replace("[\n    ", "[").replace(",\n    ", ", ").replace(",\n]", "]");
    let documented = in_sections(shipped);
    in_sections(&joined(defaults)).into_iter().filter(|line| !documented.contains(line)).collect()
}

#[test]
fn modules_import_in_one_direction() {
    none(imports_against_the_order, &sources());
}

#[test]
fn the_core_has_no_socket_clock_lock_or_output() {
    none(banned_words_in_the_core, &sources());
}

#[test]
fn the_core_iterates_only_what_is_ordered() {
    none(iteration_in_chance_order, &sources());
}

#[test]
fn every_file_begins_with_its_door_comment() {
    none(no_door_comment, &sources());
}

#[test]
fn no_file_is_longer_than_600_lines() {
    none(too_long, &sources());
}

#[test]
fn nothing_is_left_unfinished() {
    none(unfinished, &[sources(), files("tests", &["rs"]), files("benches", &["rs"])].concat());
}

#[test]
fn no_file_knows_the_machine_it_was_written_on() {
    let mut all = [sources(), files("tests", &["rs", "flow"]), files("benches", &["rs"])].concat();
    all.extend(
        ["conf", "systemd", ".ci", "README.md", "Cargo.toml"].iter().flat_map(|path| files(path, &["", "md", "toml"])),
    );
    none(paths_of_one_machine, &all);
}

#[test]
fn every_limit_bounds_something() {
    let all = sources();
    let limits = all.iter().find(|source| source.path == "limits.rs").unwrap();
    let found = unused_limits(limits, &all);
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn every_key_of_the_configuration_is_documented_with_its_default() {
    let defaults = Config::load(&Sources::default()).unwrap().to_toml();
    let found = undocumented(&defaults, include_str!("../conf/parkway.toml"));
    assert!(found.is_empty() && defaults.contains("[sip]"), "{found:#?}");
}

/// Rules that see nothing keep nothing: each is shown what it must find, and what it must let pass.
mod rules {
    use super::*;

    fn check(rule: impl Fn(&Source) -> Vec<String>, rows: &[(&str, &str, bool)]) {
        for (path, text, offends) in rows {
            let found = rule(&Source::new(path, text));
            assert_eq!(!found.is_empty(), *offends, "{path}: {text:?} gave {found:?}");
        }
    }

    #[test]
    fn imports() {
        check(
            imports_against_the_order,
            &[
                ("call/parked.rs", "use crate::token::Claim;", false),
                ("token/mod.rs", "use crate::call::Call;", true),
                ("token/mod.rs", "fn f() -> crate::daemon::Failure {}", true),
                ("token/mod.rs", "use crate::{id::CallId, switch::Input};", true),
                ("token/mod.rs", "use crate::{id::CallId, name::Name};", false),
                ("sip/mod.rs", "use crate::media::Stream;", true),
                ("sip/endpoint.rs", "use crate::sip::wire::Message; use super::wire::uri;", false),
                ("sip/wire/via.rs", "use crate::sip::Transport;", true),
                ("sip/wire/via.rs", "use super::super::Transport;", true),
                ("sip/wire/via.rs", "use super::params; use crate::sip::wire::uri;", false),
                ("policy/mod.rs", "use super::switch::Switch;", true),
                ("name.rs", "use crate::limits;", false),
                ("name.rs", "use crate::sdp::Sdp;", true),
                ("http/mod.rs", "use crate::madeup::X;", true),
                ("madeup/mod.rs", "use crate::id::CallId;", true),
                ("token/mod.rs", "/// See [`crate::switch`].", false),
                ("token/mod.rs", "#[cfg(test)]\nmod tests {\n    use crate::switch::Switch;\n}", false),
                ("token/mod.rs", "#[cfg(test)]\npub(super) mod tests {\n    use crate::switch::Switch;\n}", false),
                ("token/mod.rs", "#[cfg(test)]\nmod tests;\nuse crate::switch::Switch;", true),
            ],
        );
    }

    #[test]
    fn files_of_tests() {
        let text = "#[cfg(test)]\nmod tests;\n#[cfg(test)]\npub(super) mod torture;\n#[cfg(test)]\nmod inner {\n}";
        assert_eq!(Source::new("sip/wire/mod.rs", text).declared_tests(), ["sip/wire/tests.rs", "sip/wire/torture.rs"]);
        assert_eq!(Source::new("token.rs", text).declared_tests(), ["token/tests.rs", "token/torture.rs"]);
        assert!(sources().iter().any(|source| source.only_tests && source.path == "config/tests.rs"));
    }

    #[test]
    fn words_of_the_shell() {
        check(
            banned_words_in_the_core,
            &[
                ("call/mod.rs", "tokio::spawn(x)", true),
                ("sip/wire/mod.rs", "use std::net::UdpSocket;", true),
                ("switch/mod.rs", "let now = std::time::Instant::now();", true),
                ("rng.rs", "SystemTime::now()", true),
                ("policy/mod.rs", "lock: Mutex<u8>", true),
                ("media/mod.rs", "println!(\"{key}\")", true),
                ("media/mod.rs", "// never a Mutex", false),
                ("relay/mod.rs", "lock: Mutex<u8>", false),
                ("time.rs", "pub struct Instant(pub u64);", false),
            ],
        );
    }

    #[test]
    fn chance() {
        check(
            iteration_in_chance_order,
            &[
                ("call/mod.rs", "legs: HashMap<u8, u8>,\nself.legs.iter()", true),
                ("call/mod.rs", "let mut legs = HashMap::new();\nfor leg in &legs {", true),
                ("call/mod.rs", "legs: std::collections::HashMap<u8, u8>,\nfor leg in &self.legs {", true),
                ("call/mod.rs", "legs: HashMap<u8, u8>,\nself.legs.get(&1)", false),
                ("call/mod.rs", "legs: BTreeMap<u8, u8>,\nself.legs.iter()", false),
                ("relay/mod.rs", "legs: HashMap<u8, u8>,\nself.legs.iter()", false),
            ],
        );
    }

    #[test]
    fn door_comments() {
        check(
            no_door_comment,
            &[("a.rs", "//! What.\n", false), ("a.rs", "use b;\n", true), ("a.rs", "// What.\n", true)],
        );
    }

    #[test]
    fn sizes() {
        let lines = |count| "x\n".repeat(count);
        let tested = format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", lines(600), lines(100));
        check(too_long, &[("a.rs", &lines(600), false), ("a.rs", &lines(601), true), ("a.rs", &tested, false)]);
    }

    #[test]
    fn leftovers() {
        let planted = UNFINISHED.map(|word| ("a.rs", word, true));
        check(unfinished, &planted);
        check(unfinished, &[("a.rs", "let method = 1;", false)]);
        let planted = MACHINE.map(|path| format!("\"{path}x\""));
        check(paths_of_one_machine, &planted.each_ref().map(|text| ("a.rs", text.as_str(), true)));
        check(paths_of_one_machine, &[("a.rs", "\"/etc/parkway\"", false)]);
    }

    #[test]
    fn limits() {
        let limits = Source::new("limits.rs", "pub const USED: u8 = 1;\npub const IDLE: u8 = 2;\n");
        let other = |text| [Source::new("a.rs", text)];
        assert_eq!(unused_limits(&limits, &other("limits::USED")), ["IDLE bounds nothing"]);
        assert!(unused_limits(&limits, &other("limits::USED + limits::IDLE")).is_empty());
        assert_eq!(unused_limits(&limits, &other("limits::USED\n#[cfg(test)]\nmod tests {\nIDLE\n}")).len(), 1);
    }

    #[test]
    fn documents() {
        let defaults = "[a]\nx = 1\ny = [\n    \"p\",\n    \"q\",\n]\n\n[b]\nx = 2\n";
        assert!(undocumented(defaults, "# a\n[a]\nx = 1\ny = [\"p\", \"q\"]\n[b]\nx = 2").is_empty());
        assert_eq!(undocumented(defaults, "[a]\nx = 1\ny = [\"p\", \"q\"]\n[b]\nx = 1"), ["[b] x = 2"]);
        assert_eq!(undocumented(defaults, "[a]\nx = 1\n# y = [\"p\", \"q\"]\n[b]\nx = 2"), ["[a] y = [\"p\", \"q\"]"]);
    }
}
