//! The names of header fields, long and compact (RFC 3261 §7.3.3, §20).
//! Not here: their values.

use std::fmt;

/// Expands to the enum, its long names, and the table of compact names.
macro_rules! headers {
    ($($variant:ident $long:literal $($compact:literal)?),+ $(,)?) => {
        /// A header field that something here reads or must not overlook; every other is `Other`.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum Header {
            $(#[doc = concat!("`", $long, "`")] $variant,)+
            /// A name that is not in this list; see [`Head::other`](super::Head::other).
            Other,
        }

        const ALL: &[(Header, &str, Option<u8>)] = &[$((Header::$variant, $long, headers!(@compact $($compact)?)),)+];
    };
    (@compact) => { None };
    (@compact $compact:literal) => { Some($compact) };
}

headers! {
    Via "Via" b'v', From "From" b'f', To "To" b't', CallId "Call-ID" b'i', CSeq "CSeq", MaxForwards "Max-Forwards",
    Contact "Contact" b'm', Route "Route", RecordRoute "Record-Route",
    ContentType "Content-Type" b'c', ContentLength "Content-Length" b'l', ContentEncoding "Content-Encoding" b'e',
    ContentDisposition "Content-Disposition", MimeVersion "MIME-Version",
    Require "Require", Supported "Supported" b'k', ProxyRequire "Proxy-Require", Unsupported "Unsupported",
    Allow "Allow", Accept "Accept", AcceptEncoding "Accept-Encoding", AcceptLanguage "Accept-Language",
    Expires "Expires", MinExpires "Min-Expires", Date "Date", Timestamp "Timestamp", RetryAfter "Retry-After",
    Authorization "Authorization", ProxyAuthorization "Proxy-Authorization",
    WwwAuthenticate "WWW-Authenticate", ProxyAuthenticate "Proxy-Authenticate", AuthenticationInfo "Authentication-Info",
    Subject "Subject" b's', Organization "Organization", Priority "Priority", UserAgent "User-Agent", Server "Server",
    Warning "Warning", ErrorInfo "Error-Info", Reason "Reason", AlertInfo "Alert-Info", CallInfo "Call-Info",
    InReplyTo "In-Reply-To", ReplyTo "Reply-To",
    Event "Event" b'o', AllowEvents "Allow-Events" b'u', SubscriptionState "Subscription-State",
    ReferTo "Refer-To" b'r', ReferredBy "Referred-By" b'b', Replaces "Replaces", TargetDialog "Target-Dialog",
    SessionExpires "Session-Expires" b'x', MinSe "Min-SE", RSeq "RSeq", RAck "RAck",
    PAssertedIdentity "P-Asserted-Identity", PPreferredIdentity "P-Preferred-Identity", Privacy "Privacy",
    Identity "Identity" b'y', Path "Path", HistoryInfo "History-Info", Diversion "Diversion",
}

/// A slot for each name, so that one hash and one comparison tell which header a name is.
static BY_HASH: [Header; SLOTS] = by_hash();

const SLOTS: usize = 512;
const LENGTH_BY: usize = 123;
const FIRST_BY: usize = 56;
const MIDDLE_BY: usize = 80;

/// Length, first and middle letter tell all names apart, and with these multipliers each has a slot of its own;
/// `by_hash` does not compile when a new name has not.
const fn hash(length: usize, first: u8, middle: u8) -> usize {
    (length * LENGTH_BY + (first | 0x20) as usize * FIRST_BY + (middle | 0x20) as usize * MIDDLE_BY) % SLOTS
}

#[expect(clippy::indexing_slicing, reason = "runs in the compiler")]
const fn by_hash() -> [Header; SLOTS] {
    let mut table = [Header::Other; SLOTS];
    let mut at = 0;
    while at < ALL.len() {
        let (header, long, compact) = ALL[at];
        let name = long.as_bytes();
        let slot = hash(name.len(), name[0], name[name.len() / 2]);
        assert!(matches!(table[slot], Header::Other), "two names in a slot: change the multipliers");
        table[slot] = header;
        if let Some(letter) = compact {
            let slot = hash(1, letter, letter);
            assert!(matches!(table[slot], Header::Other), "two names in a slot: change the multipliers");
            table[slot] = header;
        }
        at += 1;
    }
    table
}

/// How many bytes of a line are looked at as one number: most names and their colon.
const PACKED_BYTES: usize = 16;

/// Each long name as a little-endian number, to be compared in one step; [`NO_NAME`] for a name that is too long for that.
static PACKED: [u128; ALL.len()] = packed();

/// What no bytes before a colon make: the colon would be a 17th.
const NO_NAME: u128 = u128::MAX;

#[expect(clippy::indexing_slicing, reason = "runs in the compiler")]
const fn packed() -> [u128; ALL.len()] {
    let mut table = [NO_NAME; ALL.len()];
    let mut at = 0;
    while at < ALL.len() {
        let name = ALL[at].1.as_bytes();
        if name.len() < PACKED_BYTES {
            let mut padded = [0; PACKED_BYTES];
            let mut letter = 0;
            while letter < name.len() {
                padded[letter] = name[letter];
                letter += 1;
            }
            table[at] = u128::from_le_bytes(padded);
        }
        at += 1;
    }
    table
}

/// For each length of a name, the bits of as many first bytes.
static FIRST_BYTES: [u128; PACKED_BYTES] = first_bytes();

#[expect(clippy::indexing_slicing, reason = "runs in the compiler")]
const fn first_bytes() -> [u128; PACKED_BYTES] {
    let mut table = [0; PACKED_BYTES];
    let mut length = 1;
    while length < PACKED_BYTES {
        table[length] = table[length - 1] << 8 | 0xff;
        length += 1;
    }
    table
}

/// The highest bit of the first byte that is a colon, and perhaps bits above it; 0 if none is. Taking 1 from a byte that is 0
/// borrows into its highest bit, which is the classic way to find it without a loop.
fn colon_bit(packed: u128) -> u128 {
    const ONES: u128 = u128::MAX / 0xff;
    let zero_at_colon = packed ^ (ONES * b':' as u128);
    zero_at_colon.wrapping_sub(ONES) & !zero_at_colon & (ONES << 7)
}

impl Header {
    /// RFC 3261 §8.1.1, but for Max-Forwards, which RFC 2543 did not have.
    pub(super) const MANDATORY: u64 =
        Header::set(&[Header::Via, Header::From, Header::To, Header::CallId, Header::CSeq]);

    /// Headers that are no lists, and that something is decided by: two of them would let two readers decide differently.
    pub(super) const SINGLE: u64 = Header::set(&[
        Header::From,
        Header::To,
        Header::CallId,
        Header::CSeq,
        Header::MaxForwards,
        Header::ContentLength,
        Header::ContentType,
        Header::ContentDisposition,
        Header::Expires,
        Header::MinExpires,
        Header::Date,
        Header::RetryAfter,
        Header::Event,
        Header::SubscriptionState,
        Header::ReferTo,
        Header::ReferredBy,
        Header::Replaces,
        Header::TargetDialog,
        Header::SessionExpires,
        Header::MinSe,
        Header::RSeq,
        Header::RAck,
    ]);

    /// The header of a name as it is on the wire.
    pub fn of(name: &[u8]) -> Header {
        let (Some(first), Some(middle)) = (name.first(), name.get(name.len() / 2)) else { return Header::Other };
        let candidate = BY_HASH.get(hash(name.len(), *first, *middle)).copied().unwrap_or(Header::Other);
        let Some((_, long, compact)) = ALL.get(usize::from(candidate as u8)) else { return Header::Other };
        let is_it = name == long.as_bytes()
            || name.eq_ignore_ascii_case(long.as_bytes())
            || name.len() == 1 && compact.is_some_and(|letter| first.eq_ignore_ascii_case(&letter));
        if is_it { candidate } else { Header::Other }
    }

    /// The header that a line begins with, and what follows its colon, if the name is written the usual way: long, in its usual
    /// case, the colon right behind it. `None` says only that it takes a closer look.
    pub(super) fn of_usual_line(line: &[u8]) -> Option<(Header, &[u8])> {
        let bytes = line.first_chunk::<PACKED_BYTES>()?;
        let packed = u128::from_le_bytes(*bytes);
        let length = usize::try_from(colon_bit(packed).trailing_zeros() / u8::BITS).ok()?;
        let value = line.get(length + 1..)?;
        let slot = hash(length, *bytes.first()?, *bytes.get(length / 2)?);
        let candidate = BY_HASH.get(slot).copied()?;
        let name = packed & FIRST_BYTES.get(length)?;
        (PACKED.get(candidate.index()) == Some(&name)).then_some((candidate, value))
    }

    /// How many there are, `Other` included.
    pub(super) const COUNT: usize = ALL.len() + 1;

    /// A bit of its own for each header.
    pub(super) const fn bit(self) -> u64 {
        1 << self as u8
    }

    /// A place of its own for each header, below [`COUNT`](Header::COUNT).
    pub(super) const fn index(self) -> usize {
        self as usize
    }

    #[expect(clippy::indexing_slicing, reason = "runs in the compiler")]
    const fn set(headers: &[Header]) -> u64 {
        let (mut bits, mut at) = (0, 0);
        while at < headers.len() {
            bits |= headers[at].bit();
            at += 1;
        }
        bits
    }

    /// The first header of a set of bits.
    pub(super) fn first_of(bits: u64) -> Option<Header> {
        let at = usize::try_from(bits.trailing_zeros()).ok()?;
        ALL.get(at).map(|(header, ..)| *header)
    }

    /// The long name, as we write it; `other` for [`Header::Other`].
    pub fn as_str(self) -> &'static str {
        ALL.iter().find(|(header, ..)| *header == self).map_or("other", |(_, long, _)| long)
    }
}

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_recognised_in_any_case_and_in_its_compact_form() {
        for (header, long, compact) in ALL {
            assert_eq!(Header::of(long.as_bytes()), *header);
            assert_eq!(Header::of(long.to_ascii_uppercase().as_bytes()), *header);
            assert_eq!(Header::of(long.to_ascii_lowercase().as_bytes()), *header);
            assert_eq!(header.as_str(), *long);
            if let Some(letter) = compact {
                assert_eq!(Header::of(&[*letter]), *header);
                assert_eq!(Header::of(&[letter.to_ascii_uppercase()]), *header);
            }
        }
    }

    #[test]
    fn a_usual_line_is_seen_at_once_and_no_other_is() {
        for (header, long, _) in ALL {
            let line = format!("{long}: value and more");
            let seen = Header::of_usual_line(line.as_bytes());
            let expected = (long.len() < PACKED_BYTES).then_some((*header, &b" value and more"[..]));
            assert_eq!(seen, expected, "{long}");
        }
        for line in [
            "",
            "To:",
            "to: <sip:a@b.example>",
            "To : <sip:a@b.example>",
            "Tp: <sip:a@b.example>",
            ": <sip:a@b.example>x",
            "Call\rID: 0123456789",
            "0123456789abcdef:",
        ] {
            assert_eq!(Header::of_usual_line(line.as_bytes()), None, "{line:?}");
        }
    }

    #[test]
    fn another_name_is_other() {
        for name in ["", "q", "Vi", "Viaa", "Tb", "T-", "From-", "X-Bridge-Token", "Call_ID", "Content-Lengtx"] {
            assert_eq!(Header::of(name.as_bytes()), Header::Other, "{name}");
        }
    }
}
