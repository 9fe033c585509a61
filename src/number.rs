//! Called numbers, and patterns of them as operators and grants write them.
//! Not here: which number a call is for (`switch::admit`), and changing it (`call::rewrite`).

use std::fmt;

/// What a called number must be: itself, or begin like this.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// `+493012345`: this and no other.
    Exact(String),
    /// `+4930*`: whatever begins so; `*` alone is everything.
    Prefix(String),
}

impl Pattern {
    /// Whether a user part, already unescaped, is meant. Case counts (RFC 3261 §19.1.4).
    pub fn matches(&self, user: &str) -> bool {
        match self {
            Pattern::Exact(number) => user == number,
            Pattern::Prefix(prefix) => user.starts_with(prefix.as_str()),
        }
    }

    /// Whether all that `other` matches is matched by this too.
    pub fn covers(&self, other: &Pattern) -> bool {
        match (self, other) {
            (_, Pattern::Exact(number)) => self.matches(number),
            (Pattern::Prefix(prefix), Pattern::Prefix(longer)) => longer.starts_with(prefix.as_str()),
            (Pattern::Exact(_), Pattern::Prefix(_)) => false,
        }
    }

    /// Reads `+493012345`, `+4930*` or `*`; the error says what to write instead.
    pub fn parse(text: &str) -> Result<Pattern, String> {
        if text.is_empty() {
            return Err("empty; write a number, `+4930*` for all that begin so, or `*` for all".into());
        }
        if text.contains([':', '@']) || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(format!("`{text}` can match no number; write only the user part, without `sip:` and `@host`"));
        }
        Ok(match text.strip_suffix('*') {
            Some(prefix) => Pattern::Prefix(prefix.to_owned()),
            None => Pattern::Exact(text.to_owned()),
        })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pattern::Exact(number) => f.write_str(number),
            Pattern::Prefix(prefix) => write!(f, "{prefix}*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_at_the_end_makes_a_prefix() {
        for (pattern, user, expected) in [
            ("+4930123", "+4930123", true),
            ("+4930123", "+49301234", false),
            ("+4930*", "+4930", true),
            ("+4930*", "+4930123", true),
            ("+4930*", "+4931", false),
            ("*", "", true),
            ("*", "anything", true),
            ("*97", "*97", true),
            ("*97", "097", false),
            ("Alice", "alice", false),
        ] {
            assert_eq!(Pattern::parse(pattern).unwrap().matches(user), expected, "{pattern} {user}");
        }
        for bad in ["", "sip:100@host", "100@host", "1 00", "1\n"] {
            assert!(Pattern::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_pattern_covers_what_it_leaves_nothing_of() {
        for (first, second, expected) in [
            ("*", "+49*", true),
            ("+49*", "+4930*", true),
            ("+49*", "+4930", true),
            ("+4930", "+4930", true),
            ("+4930*", "+49*", false),
            ("+4930", "+4930*", false),
        ] {
            let [first, second] = [first, second].map(|text| Pattern::parse(text).unwrap());
            assert_eq!(first.covers(&second), expected, "{first} {second}");
        }
    }
}
