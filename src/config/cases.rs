//! A table of cases for the policy: a file of its own with a `[[case]]` for each.
//! Not here: what a case says (`policy::Case`).

use super::Config;
use super::load::line;
use crate::policy::{Case, Engines};
use std::fmt;
use std::ops::Range;
use std::path::Path;
use toml_edit::de::from_document;
use toml_edit::{ArrayOfTables, Document, DocumentMut, Item};

/// A case, and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    /// `FILE:LINE`.
    place: String,
    case: Case,
}

/// What came of a table of cases.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tried {
    /// How many there are.
    pub cases: usize,
    /// Those that do not hold, a line each: `FILE:LINE: what it says: what is decided instead`.
    pub failures: Vec<String>,
}

impl Config {
    /// Tries a table of cases on the configured policy. An error: it cannot be read, with the place.
    pub fn try_cases(&self, file: &Path) -> Result<Tried, String> {
        let cases = read(file)?;
        let failures = cases.iter().filter_map(|case| case.judge(&self.policy.engines).err()).collect();
        Ok(Tried { cases: cases.len(), failures })
    }
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} cases hold", self.cases - self.failures.len(), self.cases)
    }
}

impl Placed {
    pub(super) fn judge(&self, engines: &Engines) -> Result<(), String> {
        let Placed { place, case } = self;
        let says = if case.says.is_empty() { String::new() } else { format!("{}: ", case.says) };
        case.judge(engines).map_err(|what| format!("{place}: {says}{what}"))
    }
}

/// All cases of a file; at least one. An error has its place in front.
pub(super) fn read(file: &Path) -> Result<Vec<Placed>, String> {
    let name = file.display();
    let text = std::fs::read_to_string(file)
        .map_err(|error| format!("{name}: cannot be read ({error}); give a readable file"))?;
    let at = |span: Option<Range<usize>>| format!("{name}:{}", line(&text, span.map_or(0, |span| span.start)));
    let document = Document::parse(text.as_str())
        .map_err(|error| format!("{}: not TOML: {}", at(error.span()), error.message().trim().replace('\n', ", ")))?;
    let cases = document.get("case").and_then(Item::as_array_of_tables);
    if let Some((other, _)) = document.iter().find(|(key, _)| *key != "case") {
        return Err(format!("{name}: `{other}` is no part of a table of cases; write [[case]] alone"));
    }
    let Some(cases) = cases.filter(|cases: &&ArrayOfTables| !cases.is_empty()) else {
        return Err(format!("{name}: has no [[case]]; write at least one"));
    };
    let case = |table: &toml_edit::Table| {
        let place = at(table.span());
        let case = from_document(DocumentMut::from(table.clone())).map_err(|error| {
            format!("{}: {}", error.span().map_or(place.clone(), |span| at(Some(span))), error.message())
        })?;
        Ok(Placed { place, case })
    };
    cases.iter().map(case).collect()
}
