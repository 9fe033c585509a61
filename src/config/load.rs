//! Layers to one raw struct: defaults, file, environment, `--set`; names and kinds are checked on the way (`shape`).
//! Not here: what the values mean (`typed`).

use super::raw::Raw;
use super::shape::{self, Kind, Shape};
use super::{Config, Mistake, Mistakes, Sources, typed};
use config::builder::DefaultState;
use config::{ConfigBuilder, ConfigError, File, FileFormat};
use std::collections::BTreeMap;
use std::path::Path;
use toml_edit::Document;

/// What our variables begin with, and what stands for the dot: `PARKWAY_SIP__USER_AGENT`.
const PREFIX: &str = "PARKWAY_";
const SEPARATOR: &str = "__";

type Builder = ConfigBuilder<DefaultState>;

pub(super) fn load(sources: &Sources) -> Result<Config, Mistakes> {
    let mut places = Places::default();
    let shape = Shape::new();
    let mut builder = config::Config::builder()
        .add_source(config::Config::try_from(&Raw::builtin()).map_err(|error| places.internal(&error))?);
    let mut mistakes = Vec::new();
    if let Some(path) = &sources.file {
        let (text, misfits) = places.read(path, &shape).map_err(|mistake| Mistakes(vec![mistake]))?;
        mistakes.extend(misfits);
        builder = builder.add_source(File::from_str(&text, FileFormat::Toml));
    }
    for (place, key, value) in overrides(sources) {
        match add(builder.clone(), &shape, &key, &value) {
            Ok(with_it) => builder = with_it,
            Err(what) => mistakes.push(Mistake { place: place.clone(), key: key.clone(), what }),
        }
        places.overridden.insert(key, place);
    }
    if !mistakes.is_empty() {
        return Err(Mistakes(mistakes));
    }
    let raw = builder.build().and_then(config::Config::try_deserialize).map_err(|error| places.internal(&error))?;
    typed::check(raw, sources, places)
}

/// `(place, key, value)` of our variables, then of `--set`. A variable of ours has the separator in it: others that begin
/// like ours (Kubernetes makes `PARKWAY_PORT` for a service of our name) are not meant for us.
fn overrides(sources: &Sources) -> Vec<(String, String, String)> {
    let ours = sources.environment.iter().filter_map(|(variable, value)| {
        let key = variable.strip_prefix(PREFIX).filter(|key| key.contains(SEPARATOR))?;
        Some((format!("environment {variable}"), key.to_ascii_lowercase().replace(SEPARATOR, "."), value.clone()))
    });
    let set = sources.set.iter().map(|text| {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        (format!("--set {text}"), key.trim().to_owned(), value.trim().to_owned())
    });
    ours.chain(set).collect()
}

/// Adds one `key=value`. A list is written with commas; an empty text is an empty list.
fn add(builder: Builder, shape: &Shape, key: &str, value: &str) -> Result<Builder, String> {
    let with_it = match shape.check_text(key, value).map_err(|misfit| misfit.what)? {
        Kind::Texts => {
            let items = value.split(',').map(str::trim).filter(|item| !item.is_empty());
            builder.set_override(key, items.collect::<Vec<_>>())
        }
        Kind::Text | Kind::Number | Kind::Boolean | Kind::Section | Kind::Sections => builder.set_override(key, value),
    };
    with_it.map_err(|error| error.to_string())
}

/// Where each key was said, for mistakes and warnings. The file's text, which may have secrets in it, is not kept.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    file: Option<String>,
    /// Line of each key and of each item of a list in the file.
    lines: BTreeMap<String, usize>,
    /// Keys that a variable or `--set` said.
    overridden: BTreeMap<String, String>,
}

impl Places {
    /// Reads the file; its text, and what is wrong with its keys.
    fn read(&mut self, path: &Path, shape: &Shape) -> Result<(String, Vec<Mistake>), Mistake> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| Mistake {
            place: name.clone(),
            key: String::new(),
            what: format!("cannot be read ({error}); give a readable file with --config"),
        })?;
        let document = Document::parse(text.clone()).map_err(|error| Mistake {
            place: format!("{name}:{}", line(&text, error.span().map_or(0, |span| span.start))),
            key: String::new(),
            what: format!("not TOML: {}; see https://toml.io", error.message().trim().replace('\n', ", ")),
        })?;
        self.file = Some(name);
        self.lines = shape::offsets(&document).into_iter().map(|(key, offset)| (key, line(&text, offset))).collect();
        let misfits =
            shape.misfits(&document).into_iter().map(|misfit| self.mistake(&misfit.key, misfit.what)).collect();
        Ok((text, misfits))
    }

    /// A mistake about a key, with the place where it was said last.
    pub(super) fn mistake(&self, key: &str, what: impl Into<String>) -> Mistake {
        Mistake { place: self.of(key), key: key.to_owned(), what: what.into() }
    }

    /// The place of the key itself, else of what is nearest above it.
    fn of(&self, key: &str) -> String {
        if let Some(place) = self.overridden.get(key) {
            return place.clone();
        }
        match (&self.file, self.lines.get(key), key.rfind(['.', '[']).and_then(|end| key.get(..end))) {
            (Some(file), Some(line), _) => format!("{file}:{line}"),
            (_, _, Some(above)) => self.of(above),
            (Some(file), None, None) => file.clone(),
            (None, _, None) => "defaults".into(),
        }
    }

    /// What the `config` crate still finds after our own checks: nothing that we know of, but it must not be lost.
    fn internal(&self, error: &ConfigError) -> Mistakes {
        let key = if let ConfigError::Type { key: Some(key), .. } | ConfigError::At { key: Some(key), .. } = error {
            key
        } else {
            ""
        };
        Mistakes(vec![self.mistake(key, error.to_string().replace('\n', " "))])
    }
}

/// Which line of a text an offset is in, counted from 1.
pub(super) fn line(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}
