//! The flow language: one step a line, read into [`Line`]s. `flows.rs` explains it.
//! Not here: what a step does (`stage`).

use parkway::time::Duration;
use std::cell::Cell;

/// One step, with where it stands for whoever has to find it again.
pub(crate) struct Line {
    pub(crate) number: usize,
    pub(crate) text: String,
    pub(crate) step: Step,
}

/// What a line asks for.
pub(crate) enum Step {
    /// `given …`: how the switch is set up.
    Given(Words),
    /// `time +32s`: that much time passes.
    Time(Duration),
    /// `clock +60m`, `clock -60m`: somebody sets the wall clock; no time passes.
    Clock { forward: bool, by: Duration },
    /// `who -> …`: somebody tells the switch something.
    Tell { who: String, words: Words },
    /// `who <- …`: somebody must have heard something from the switch.
    Hear { who: String, words: Words },
}

/// The words after the arrow. Each must be asked for by whoever carries out the step, so that no misspelt word is taken for nothing.
pub(crate) struct Words {
    words: Vec<(String, Cell<bool>)>,
}

/// Reads a flow. Blank lines and those that begin with `#` say something to people only.
pub(crate) fn parse(flow: &str) -> Result<Vec<Line>, String> {
    let lines = flow.lines().enumerate().map(|(index, text)| (index + 1, text.trim()));
    let steps = lines.filter(|(_, text)| !text.is_empty() && !text.starts_with('#'));
    steps.map(|(number, text)| parse_line(number, text)).collect()
}

fn parse_line(number: usize, text: &str) -> Result<Line, String> {
    let mut words = split(text);
    let bad = |why: &str| format!("line {number}: {why}: {text}");
    let first = words.remove(0);
    let step = match first.as_str() {
        "given" => Step::Given(Words::new(words)),
        "time" => {
            let by = words.first().and_then(|word| word.strip_prefix('+')).and_then(duration);
            Step::Time(by.ok_or_else(|| bad("a time is `+32s`, `+500ms` or `+5m`"))?)
        }
        "clock" => {
            let word = words.first().map_or("", String::as_str);
            let (forward, by) = (word.strip_prefix('+'), word.strip_prefix('-'));
            let is_forward = forward.is_some();
            let by = forward.or(by).and_then(duration).ok_or_else(|| bad("a clock is set by `+60m` or `-60m`"))?;
            Step::Clock { forward: is_forward, by }
        }
        _ if words.len() < 2 => return Err(bad("a step is `who -> what` or `who <- what`")),
        _ => match words.remove(0).as_str() {
            "->" => Step::Tell { who: first, words: Words::new(words) },
            "<-" => Step::Hear { who: first, words: Words::new(words) },
            _ => return Err(bad("a step is `who -> what` or `who <- what`")),
        },
    };
    Ok(Line { number, text: text.into(), step })
}

/// Words are separated by blanks, but not within double quotes.
fn split(text: &str) -> Vec<String> {
    let (mut words, mut quoted) = (vec![String::new()], false);
    for character in text.chars() {
        match character {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            _ => words.last_mut().expect("there is always one").push(character),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// `32s`, `500ms`, `5m`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|character: char| !character.is_ascii_digit())?;
    let number: u64 = text.get(..digits)?.parse().ok()?;
    match text.get(digits..)? {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number * 60)),
        _ => None,
    }
}

impl Words {
    fn new(words: Vec<String>) -> Words {
        Words { words: words.into_iter().map(|word| (word, Cell::new(false))).collect() }
    }

    /// The first word: what is done.
    pub(crate) fn verb(&self) -> &str {
        self.words.first().map_or("", |(word, used)| {
            used.set(true);
            word
        })
    }

    /// Whether this word is there.
    pub(crate) fn has(&self, wanted: &str) -> bool {
        self.find(|word| (word == wanted).then_some(word)).is_some()
    }

    /// The value of `key=value`.
    pub(crate) fn value(&self, key: &str) -> Option<&str> {
        self.find(|word| word.strip_prefix(key)?.strip_prefix('='))
    }

    /// The first `key` or `key=kind`, which is of no kind or of that.
    pub(crate) fn kind(&self, key: &str) -> Option<&str> {
        self.find(|word| match word.strip_prefix(key)? {
            "" => Some(""),
            kind => kind.strip_prefix('='),
        })
    }

    /// The number in `key=value`.
    pub(crate) fn number<N: std::str::FromStr>(&self, key: &str) -> Result<Option<N>, String> {
        let value = self.value(key);
        value.map(|value| value.parse().map_err(|_| format!("{key}={value} is no number"))).transpose()
    }

    /// What follows `prefix` in a word.
    pub(crate) fn next_prefixed(&self, prefix: &str) -> Option<&str> {
        self.find(|word| word.strip_prefix(prefix))
    }

    /// The word after the first that nobody has asked for yet.
    pub(crate) fn next(&self) -> Option<&str> {
        let (word, used) = self.words.iter().find(|(_, used)| !used.get())?;
        used.set(true);
        Some(word)
    }

    /// Fails if a word is left that means nothing here.
    pub(crate) fn finish(&self) -> Result<(), String> {
        match self.next() {
            Some(word) => Err(format!("`{word}` means nothing here")),
            None => Ok(()),
        }
    }

    fn find<'w>(&'w self, wanted: impl Fn(&'w str) -> Option<&'w str>) -> Option<&'w str> {
        let mut free = self.words.iter().filter(|(_, used)| !used.get());
        free.find_map(|(word, used)| {
            let found = wanted(word)?;
            used.set(true);
            Some(found)
        })
    }
}
