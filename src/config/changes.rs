//! What differs between two configurations, for the log line of a reload.
//! Not here: doing the change (`daemon`).

use super::{Config, PolicyKey};
use std::collections::BTreeMap;
use std::fmt;
use toml_edit::{Document, Item};

/// Sections whose sockets, threads and keys are made once, at start.
const NEEDS_RESTART: [&str; 6] = ["node", "sip", "http", "admin", "media", "records"];

/// One key that says something else now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// `park.calls_max`, `route[0].name`.
    pub key: String,
    /// What it said; empty if it was not there.
    pub old: String,
    /// What it says now; empty if it is gone.
    pub new: String,
    /// Whether it takes effect only at the next start.
    pub needs_restart: bool,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |text: &str| if text.is_empty() { "nothing".to_owned() } else { text.to_owned() };
        write!(f, "{}: {} -> {}", self.key, shown(&self.old), shown(&self.new))?;
        if self.needs_restart { f.write_str(" (at the next start)") } else { Ok(()) }
    }
}

pub(super) fn changes(old: &Config, new: &Config) -> Vec<Change> {
    let (before, after) = (flat(old), flat(new));
    let mut keys: Vec<&String> = before.keys().chain(after.keys()).collect();
    keys.sort();
    keys.dedup();
    let change = |key: &String| {
        let said = |side: &BTreeMap<String, String>| side.get(key).cloned().unwrap_or_default();
        let section = key.split(['.', '[']).next().unwrap_or_default();
        let needs_restart = NEEDS_RESTART.contains(&section);
        Change { key: key.clone(), old: said(&before), new: said(&after), needs_restart }
    };
    let mut changes: Vec<Change> = keys.into_iter().map(change).filter(|change| change.old != change.new).collect();
    changes.extend(secrets(old, new));
    changes
}

/// Files may be named as before and say something else.
fn secrets(old: &Config, new: &Config) -> Vec<Change> {
    let change = |key: &str| Change {
        key: key.to_owned(),
        old: "a secret".into(),
        new: "another secret".into(),
        needs_restart: false,
    };
    let master = |config: &Config| config.token.key.as_ref().map(|key| *key.expose());
    let same = |(a, b): (&PolicyKey, &PolicyKey)| a.material.expose() == b.material.expose();
    let policy = old.policy.keys.iter().zip(&new.policy.keys).all(same);
    let token = (master(old) != master(new)).then(|| change("token.key"));
    token.into_iter().chain((!policy).then(|| change("policy.key"))).collect()
}

fn flat(config: &Config) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let document = Document::parse(config.to_toml()).expect("what was written as TOML is TOML");
    flatten("", document.as_item(), &mut found);
    found
}

fn flatten(path: &str, item: &Item, found: &mut BTreeMap<String, String>) {
    if let Some(table) = item.as_table_like() {
        let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        table.iter().for_each(|(name, value)| flatten(&below(name), value, found));
    } else if let Some(tables) = item.as_array_of_tables() {
        for at in 0..tables.len() {
            item.get(at).into_iter().for_each(|table| flatten(&format!("{path}[{at}]"), table, found));
        }
    } else if let Some(value) = item.as_value() {
        found.insert(path.to_owned(), value.to_string().split_whitespace().collect::<Vec<_>>().join(" "));
    }
}
