//! Name-spaced identifiers: `foo` reaches `foo`, `foo/mobile` and `foo/web`, never `foobar`.
//! Not here: who may use a name (`policy`) and who listens on it (`notify`).

use crate::limits;
use crate::mutant::{Mutant, planted};
use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// A name: one or more segments joined by `/`. Segments are of `A-Z a-z 0-9 - _ . ~ + @`, compared byte by byte, case included.
/// ASCII alone, so that no two spellings look alike and none needs normalising. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

/// Why a text is no name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadName {
    /// Empty, or longer than [`limits::NAME_BYTES_MAX`].
    Length,
    /// More segments than [`limits::NAME_SEGMENTS_MAX`].
    Depth,
    /// An empty segment, `.` or `..`.
    Segment,
    /// A byte that no segment may have.
    Byte(u8),
}

impl fmt::Display for BadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadName::Length => write!(f, "a name has 1 to {} bytes", limits::NAME_BYTES_MAX),
            BadName::Depth => write!(f, "a name has at most {} segments", limits::NAME_SEGMENTS_MAX),
            BadName::Segment => f.write_str("a segment of a name is not empty, `.` or `..`"),
            BadName::Byte(byte) => {
                write!(
                    f,
                    "byte 0x{byte:02x} may not be in a name; use A-Z a-z 0-9 - _ . ~ + @ and `/` between segments"
                )
            }
        }
    }
}

impl std::error::Error for BadName {}

impl Name {
    /// Checks a text and makes a name of it.
    pub fn parse(text: &str) -> Result<Name, BadName> {
        if text.is_empty() || text.len() > limits::NAME_BYTES_MAX {
            return Err(BadName::Length);
        }
        if text.split('/').count() > limits::NAME_SEGMENTS_MAX {
            return Err(BadName::Depth);
        }
        for segment in text.split('/') {
            if let Some(byte) = segment.bytes().find(|b| !is_segment_byte(*b)) {
                return Err(BadName::Byte(byte));
            }
            if matches!(segment, "" | "." | "..") {
                return Err(BadName::Segment);
            }
        }
        Ok(Name(text.into()))
    }

    /// Whether an event for `self` reaches a subscriber of `other`: the same name, or one below it, whole segments only.
    pub fn reaches(&self, other: &Name) -> bool {
        match other.0.strip_prefix(&*self.0) {
            Some(rest) => rest.is_empty() || rest.starts_with('/') || planted(Mutant::NameBoundary),
            None => false,
        }
    }

    /// `self` and the names above it, nearest first: `a/b/c`, `a/b`, `a`. An event for any of them reaches `self`.
    pub fn ancestry(&self) -> impl Iterator<Item = &str> {
        let mut rest = Some(&*self.0);
        std::iter::from_fn(move || {
            let current = rest?;
            rest = current.rfind('/').and_then(|at| current.get(..at));
            Some(current)
        })
    }

    /// Whether it is a telephone number as ITU-T E.164 has them, with its `+`.
    pub fn is_number(&self) -> bool {
        let digits = self.0.strip_prefix('+').unwrap_or_default();
        !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// So that a map by name can be asked with one of [`Name::ancestry`]; hash, order and equality are the text's own.
impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

fn is_segment_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~+@".contains(&byte)
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    #[test]
    fn a_name_reaches_itself_and_what_is_below_it() {
        for (from, to, expected) in [
            ("foo", "foo", true),
            ("foo", "foo/mobile", true),
            ("foo", "foo/mobile/left", true),
            ("foo", "foobar", false),
            ("foo/web", "foo", false),
            ("foo/web", "foo/mobile", false),
            ("foo/we", "foo/web", false),
            ("Foo", "foo", false),
        ] {
            assert_eq!(name(from).reaches(&name(to)), expected, "{from} -> {to}");
            let by_ancestry = name(to).ancestry().any(|above| above == from);
            assert_eq!(by_ancestry, expected, "{from} in the ancestry of {to}");
        }
    }

    /// Segments that are easily taken for one another.
    const SEGMENTS: [&str; 8] = ["a", "A", "ab", "a~", "foo", "foobar", "0", "..."];

    /// One to four of them, with `/` between.
    fn draw(rng: &mut Rng) -> Vec<&'static str> {
        let depth = 1 + rng.below(4);
        (0..depth).map(|_| SEGMENTS[rng.below(8) as usize]).collect()
    }

    /// 200,000 pairs; `PARKWAY_NAME_PAIRS` says how many else.
    #[test]
    fn a_name_reaches_what_begins_with_its_segments_and_nothing_else() {
        let pairs = std::env::var("PARKWAY_NAME_PAIRS").map_or(200_000, |text| text.parse().unwrap());
        let (mut rng, mut reached) = (Rng::from_seed([6; 32]), 0);
        for _ in 0..pairs {
            let (from, mut to) = (draw(&mut rng), draw(&mut rng));
            // Every other time they have something in common.
            if rng.below(2) == 0 {
                let shared = rng.below(5) as usize;
                to = from.iter().take(shared).copied().chain(to).take(limits::NAME_SEGMENTS_MAX).collect();
            }
            let naive = to.len() >= from.len() && from.iter().zip(&to).all(|(one, other)| one == other);
            let (from, to) = (name(&from.join("/")), name(&to.join("/")));
            assert_eq!(from.reaches(&to), naive, "{from} -> {to}");
            assert_eq!(to.ancestry().any(|above| above == from.as_str()), naive, "{from} in the ancestry of {to}");
            reached += u64::from(naive);
        }
        assert!(reached > pairs / 20 && reached < pairs / 2, "{reached} of {pairs} reach: both are tried");
    }

    #[test]
    fn what_is_no_name_is_refused_with_its_reason() {
        for (text, expected) in [
            ("", BadName::Length),
            ("/foo", BadName::Segment),
            ("foo/", BadName::Segment),
            ("foo//bar", BadName::Segment),
            ("foo/../bar", BadName::Segment),
            ("foo%2Fbar", BadName::Byte(b'%')),
            ("foo\0", BadName::Byte(0)),
            ("f\u{f6}\u{f6}", BadName::Byte(0xc3)),
            ("a/b/c/d/e/f/g/h/i", BadName::Depth),
        ] {
            assert_eq!(Name::parse(text), Err(expected), "{text:?}");
        }
        assert_eq!(Name::parse(&"a".repeat(257)), Err(BadName::Length));
        assert!(Name::parse("+49.30_x~y@z-1/Web").is_ok());
    }
}
