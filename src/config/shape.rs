//! Which keys exist, of what kind each is, and where in the file each stands.
//! Not here: whether a value makes sense (`typed`). This comes before serde because serde stops at the first mistake, knows no
//! lines, and would take `30000.7` for a port.

use super::raw::Raw;
use std::collections::BTreeMap;
use toml_edit::{Document, Item, Key, TableLike, Value};

/// What a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Number,
    Boolean,
    Texts,
    /// `[name]`
    Section,
    /// `[[name]]`
    Sections,
}

impl Kind {
    fn of(item: &Item) -> Option<Kind> {
        match item {
            Item::None => None,
            Item::Table(_) => Some(Kind::Section),
            Item::ArrayOfTables(_) => Some(Kind::Sections),
            Item::Value(value) => Kind::of_value(value),
        }
    }

    fn of_value(value: &Value) -> Option<Kind> {
        match value {
            Value::String(_) => Some(Kind::Text),
            Value::Integer(number) if *number.value() >= 0 => Some(Kind::Number),
            Value::Boolean(_) => Some(Kind::Boolean),
            Value::Array(array) if array.is_empty() => Some(Kind::Texts),
            Value::Array(array) if array.iter().all(Value::is_str) => Some(Kind::Texts),
            Value::Array(array) if array.iter().all(Value::is_inline_table) => Some(Kind::Sections),
            Value::InlineTable(_) => Some(Kind::Section),
            Value::Integer(_) | Value::Float(_) | Value::Datetime(_) | Value::Array(_) => None,
        }
    }

    fn expected(self) -> &'static str {
        match self {
            Kind::Text => "a text in quotes",
            Kind::Number => "a whole number, 0 or more",
            Kind::Boolean => "true or false",
            Kind::Texts => "a list of texts, [\"…\", \"…\"]",
            Kind::Section => "a section, [name]",
            Kind::Sections => "a list of sections, [[name]]",
        }
    }
}

/// All keys there are.
pub(super) struct Shape(Document<String>);

/// Something wrong with a key's name or kind.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Misfit {
    pub(super) key: String,
    pub(super) what: String,
}

impl Shape {
    pub(super) fn new() -> Shape {
        Shape(Document::parse(Raw::template().to_toml()).expect("what was written as TOML is TOML"))
    }

    /// All keys of `file` that do not exist or are of another kind.
    pub(super) fn misfits(&self, file: &Document<String>) -> Vec<Misfit> {
        let mut found = Vec::new();
        compare("", file.as_table(), self.0.as_table(), &mut found);
        found
    }

    /// Checks a key and a value given as text: `section.key` and what a variable or `--set` says.
    pub(super) fn check_text(&self, key: &str, text: &str) -> Result<Kind, Misfit> {
        let misfit = |what| Misfit { key: key.to_owned(), what };
        let mut table: &dyn TableLike = self.0.as_table();
        let mut segments = key.split('.').peekable();
        while let Some(segment) = segments.next() {
            let item = table.get(segment).ok_or_else(|| misfit(unknown(segment, table)))?;
            if let (Some(inner), true) = (item.as_table_like(), segments.peek().is_some()) {
                table = inner;
                continue;
            }
            let Some(kind @ (Kind::Text | Kind::Number | Kind::Boolean | Kind::Texts)) = Kind::of(item) else {
                return Err(misfit(
                    "this is a section; name a key in it, and a list of sections only in a file".into(),
                ));
            };
            if segments.peek().is_some() {
                return Err(misfit(format!("`{segment}` has no keys below it")));
            }
            let fits = match kind {
                Kind::Number => text.parse::<i64>().is_ok_and(|number| number >= 0),
                Kind::Boolean => text.parse::<bool>().is_ok(),
                Kind::Text | Kind::Texts | Kind::Section | Kind::Sections => true,
            };
            if !fits {
                return Err(misfit(format!("`{text}` where {} is expected", kind.expected())));
            }
            return Ok(kind);
        }
        Err(misfit("no key".into()))
    }
}

fn compare(path: &str, file: &dyn TableLike, shape: &dyn TableLike, found: &mut Vec<Misfit>) {
    for (name, item) in file.iter() {
        let key = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        let Some(expected) = shape.get(name) else {
            found.push(Misfit { key, what: unknown(name, shape) });
            continue;
        };
        let kind = Kind::of(expected).expect("the template has values of our kinds only");
        // An empty list may be either sort of list.
        let fits =
            Kind::of(item) == Some(kind) || (kind == Kind::Sections && item.as_array().is_some_and(|a| a.is_empty()));
        if !fits {
            let what = format!("{} where {} is expected", describe(item), kind.expected());
            found.push(Misfit { key, what });
            continue;
        }
        let inner = tables(expected);
        let (Some(shape), true) = (inner.first(), matches!(kind, Kind::Section | Kind::Sections)) else { continue };
        for (at, table) in tables(item).into_iter().enumerate() {
            let key = if kind == Kind::Sections { format!("{key}[{at}]") } else { key.clone() };
            compare(&key, table, *shape, found);
        }
    }
}

/// The tables of a section or of a list of sections, however they are written.
fn tables(item: &Item) -> Vec<&dyn TableLike> {
    match item {
        Item::None => Vec::new(),
        Item::Table(table) => vec![table],
        Item::ArrayOfTables(tables) => tables.iter().map(|table| table as &dyn TableLike).collect(),
        Item::Value(Value::InlineTable(table)) => vec![table],
        Item::Value(Value::Array(array)) => {
            array.iter().filter_map(Value::as_inline_table).map(|table| table as &dyn TableLike).collect()
        }
        Item::Value(_) => Vec::new(),
    }
}

/// What was written. The value itself is left out: it may be a secret.
fn describe(item: &Item) -> &'static str {
    match item {
        Item::Value(Value::Integer(_)) => "a number below 0 or too large",
        Item::Value(Value::Array(_)) => "a list of something else",
        Item::Value(Value::String(_)) => "a text",
        Item::Value(Value::Float(_)) => "a number with a fraction",
        Item::Value(Value::Boolean(_)) => "true or false",
        Item::Value(Value::Datetime(_)) => "a date",
        Item::Value(Value::InlineTable(_)) | Item::Table(_) => "a section",
        Item::ArrayOfTables(_) => "a list of sections",
        Item::None => "nothing",
    }
}

/// `unknown key; did you mean …?`
fn unknown(name: &str, table: &dyn TableLike) -> String {
    let known: Vec<&str> = table.iter().map(|(key, _)| key).collect();
    let nearest = known.iter().map(|key| (distance(name, key), *key)).min();
    match nearest {
        Some((edits, key)) if edits <= 1 + name.chars().count() / 3 => {
            format!("unknown key; did you mean `{key}`?")
        }
        _ => format!("unknown key; there are {}", known.join(", ")),
    }
}

/// How many letters must be changed, added or taken away to make one word of the other (Levenshtein's distance).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], at + 1);
        for (column, candidate) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *candidate);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

/// Where each key begins: `sip.listen`, `sip.listen[0]`, `route[1].name`, with its byte in the file.
pub(super) fn offsets(file: &Document<String>) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    locate("", None, file.as_item(), &mut found);
    found
}

fn locate(path: &str, key: Option<&Key>, item: &Item, found: &mut BTreeMap<String, usize>) {
    if let Some(span) = key.and_then(Key::span).or_else(|| item.span()) {
        found.insert(path.to_owned(), span.start);
    }
    if let Some(table) = item.as_table_like() {
        for (name, value) in table.iter() {
            let below = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
            locate(&below, table.key(name), value, found);
        }
    }
    // Items of lists of either sort are found by number.
    for (at, value) in (0..).map_while(|at| Some((at, item.get(at)?))) {
        locate(&format!("{path}[{at}]"), None, value, found);
    }
}
