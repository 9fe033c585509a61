//! Lists of `;name=value` (RFC 3261 §25.1: generic-param, uri-parameter).
//! Not here: what a parameter means.

use super::abnf::{self, Param, VALUE, is_space, skip_space};

/// Checked parameters over the bytes that they were read from. Names are compared without regard to case.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Params<'a>(&'a [u8]);

impl<'a> Params<'a> {
    /// Of bytes that a grammar has found to be parameters: nothing is checked again.
    pub(super) fn of_checked(bytes: &'a [u8]) -> Params<'a> {
        Params(bytes)
    }

    /// Every parameter in order: its name, and its value if it has one. Quotes are still round a quoted value.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (param, after) = split_param(rest)?;
            rest = after;
            Some(param)
        })
    }

    /// The first parameter of this name: absent, there without a value, or with one.
    pub fn get(&self, name: &str) -> Option<Option<&'a [u8]>> {
        self.iter().find(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }

    /// Like [`get`](Params::get), with escapes in names undone first, as a URI's are (RFC 3261 §19.1.4).
    pub(super) fn get_escaped(&self, name: &[u8]) -> Option<Option<&'a [u8]>> {
        self.iter().find(|(n, _)| same_unescaped(n, name)).map(|(_, value)| value)
    }

    /// The bytes, from the first `;` on.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }
}

/// Whether two texts are the same without regard to case and to which bytes are escaped.
pub(super) fn same_unescaped(one: &[u8], other: &[u8]) -> bool {
    let lower = |bytes| abnf::unescaped(bytes).map(|byte: u8| byte.to_ascii_lowercase());
    one.eq_ignore_ascii_case(other) || lower(one).eq(lower(other))
}

/// One parameter and the rest, of checked bytes.
pub(super) fn split_param(bytes: &[u8]) -> Option<(Param<'_>, &[u8])> {
    let bytes = skip_space(bytes).strip_prefix(b";")?;
    let (name, after) = split_at(skip_space(bytes), |byte| matches!(byte, b'=' | b';') || is_space(byte));
    match skip_space(after).strip_prefix(b"=") {
        Some(value) => {
            let (value, after) = split_value(skip_space(value));
            Some(((name, Some(value)), after))
        }
        None => Some(((name, None), after)),
    }
}

fn split_value(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.first() {
        Some(b'"') => abnf::quoted_string(bytes).map_or((bytes, &[]), |(after, quoted)| (quoted, after)),
        // The value of a checked parameter, of a header or of a URI, has no byte that is not of this class.
        Some(_) | None => split_at(bytes, |byte| !abnf::is(VALUE, byte)),
    }
}

fn split_at(bytes: &[u8], ends: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    let at = bytes.iter().position(|byte| ends(*byte)).unwrap_or(bytes.len());
    bytes.split_at_checked(at).unwrap_or((bytes, &[]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_quotes_and_lose_their_space() {
        let params = Params::of_checked(b" ; a = \"x;y\\\"\" ;B;c=\r\n d");
        let all: Vec<_> = params.iter().collect();
        let expected: [(&[u8], Option<&[u8]>); 3] = [(b"a", Some(b"\"x;y\\\"\"")), (b"B", None), (b"c", Some(b"d"))];
        assert_eq!(all, expected);
        assert_eq!(params.get("b"), Some(None));
        assert_eq!(params.get("A"), Some(Some(&b"\"x;y\\\"\""[..])));
        assert_eq!(params.get("d"), None);
    }

    #[test]
    fn a_quoted_semicolon_begins_no_parameter() {
        let params = Params::of_checked(b";a=\";tag=evil\";tag=good");
        assert_eq!(params.get("tag"), Some(Some(&b"good"[..])));
    }

    #[test]
    fn an_escaped_name_is_the_name() {
        let params = Params::of_checked(b";%6C%72;n%61me=1");
        assert_eq!(params.get_escaped(b"lr"), Some(None));
        assert_eq!(params.get_escaped(b"name"), Some(Some(&b"1"[..])));
        assert_eq!(params.get("lr"), None);
    }
}
