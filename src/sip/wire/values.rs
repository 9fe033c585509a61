//! Comma-separated values of one header line (RFC 3261 §7.3.1).
//! Not here: what a value says.

use super::frame::trim;

/// The values of one line, trimmed. An empty line has none; an empty value between two commas is one, for its grammar to refuse.
pub(super) struct Values<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Values<'a> {
    /// Of a trimmed line.
    pub(super) fn of(line: &'a [u8]) -> Values<'a> {
        Values { rest: (!line.is_empty()).then_some(line) }
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (first, rest) = split_value(self.rest?);
        self.rest = rest;
        Some(trim(first))
    }
}

/// The bytes up to the first comma that separates, and what follows it if there is one.
fn split_value(line: &[u8]) -> (&[u8], Option<&[u8]>) {
    let mut at = 0;
    while let Some((skipped, rest)) = line.get(at..).and_then(to_next_mark) {
        at += skipped;
        match rest {
            [b',', after @ ..] => return (line.get(..at).unwrap_or_default(), Some(after)),
            [b'"', quoted @ ..] => at += 1 + quoted_length(quoted),
            [_, bracketed @ ..] => at += 1 + memchr::memchr(b'>', bracketed).map_or(bracketed.len(), |end| end + 1),
            [] => break,
        }
    }
    (line, None)
}

fn to_next_mark(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let at = memchr::memchr3(b',', b'"', b'<', bytes)?;
    Some((at, bytes.get(at..)?))
}

/// How long a quoted string is after its first quote, its last quote included; all there is if it has none.
fn quoted_length(bytes: &[u8]) -> usize {
    let mut escaped = false;
    let end = bytes.iter().position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    });
    end.map_or(bytes.len(), |end| end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_commas_outside_of_quotes_and_brackets_separate() {
        for (line, expected) in [
            ("", &[][..]),
            ("a", &["a"]),
            ("a,b", &["a", "b"]),
            (" a\r\n , b ", &["a", "b"]),
            ("a,,b", &["a", "", "b"]),
            ("a,", &["a", ""]),
            ("\"x, y\" <sip:a,b@c>;q=1, <sip:d>", &["\"x, y\" <sip:a,b@c>;q=1", "<sip:d>"]),
            (r#""x\", y" <sip:a>, <sip:b>"#, &[r#""x\", y" <sip:a>"#, "<sip:b>"]),
            (r#""x\\", y"#, &[r#""x\\""#, "y"]),
            ("\"open, a", &["\"open, a"]),
            ("<open, a", &["<open, a"]),
        ] {
            let values: Vec<_> = Values::of(trim(line.as_bytes())).collect();
            assert_eq!(values, expected.iter().map(|value| value.as_bytes()).collect::<Vec<_>>(), "{line:?}");
        }
    }
}
