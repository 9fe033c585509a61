//! UDPTL (ITU-T T.38 §9.1, annex A): the datagrams of a fax, read by borrowing and never changed.
//! Not here: what the fax in them says, and whether their sender may send them (`latch`).
//!
//! ```text
//!  | sequence number, 16 bits | primary: length, octets | repair: 0 | count, then a length and octets each (earlier primaries) |
//!                                                       |         1 | span: length, octets | count, then a length and octets each |
//! ```
//!
//! Lengths are those of aligned PER (X.691 §11.9): one octet up to 127, two up to 16,383. What has to be cut into pieces beyond that is longer
//! than a datagram. Nothing may stand behind the last field: else stray RTP could be read as a fax.

use crate::limits;
use crate::media::header::Malformed;

/// The bit of the octet between primary and repair that says that parity follows, and not what was sent before.
const PARITY: u8 = 0x80;
/// The bits of a length's first octet: that there is a second one, and that it is only of a piece.
const LONG: u8 = 0x80;
const PIECE: u8 = 0x40;

/// Checks a whole datagram, and reads its number.
pub fn parse(datagram: &[u8]) -> Result<u16, Malformed> {
    if datagram.len() > limits::RTP_BYTES_MAX {
        return Err(Malformed::TooLong);
    }
    let (&number, rest) = datagram.split_first_chunk().ok_or(Malformed::TooShort)?;
    check(rest).ok_or(Malformed::Truncated)?;
    Ok(u16::from_be_bytes(number))
}

/// Primary and repair.
fn check(rest: &[u8]) -> Option<()> {
    let rest = octets(rest)?;
    let (&kind, mut rest) = rest.split_first()?;
    if kind & PARITY != 0 {
        rest = octets(rest)?;
    }
    let (count, mut rest) = length(rest)?;
    // Each takes an octet at least, so the datagram's end bounds the loop.
    for _ in 0..count {
        rest = octets(rest)?;
    }
    rest.is_empty().then_some(())
}

/// A length and so many octets; what is behind them.
fn octets(rest: &[u8]) -> Option<&[u8]> {
    let (length, rest) = length(rest)?;
    rest.get(length..)
}

fn length(rest: &[u8]) -> Option<(usize, &[u8])> {
    let (&first, rest) = rest.split_first()?;
    if first & LONG == 0 {
        return Some((first.into(), rest));
    }
    let (&second, rest) = rest.split_first()?;
    let length = u16::from_be_bytes([first & !LONG, second]);
    (first & PIECE == 0).then_some((length.into(), rest))
}

/// Writes a datagram without repair, for tests and what plays a fax machine; its length, or `None` if `out` is too small.
pub fn write(number: u16, primary: &[u8], out: &mut [u8]) -> Option<usize> {
    let count = u16::try_from(primary.len()).ok().filter(|count| *count < 0x4000)?;
    let [long, low] = count.to_be_bytes();
    let [high, second] = number.to_be_bytes();
    let short = [high, second, low];
    let head: &[u8] = if count < 128 { &short } else { &[high, second, LONG | long, low] };
    let whole = head.iter().chain(primary).chain(&[0, 0]);
    let length = head.len() + primary.len() + 2;
    out.get_mut(..length)?.iter_mut().zip(whole).for_each(|(to, from)| *to = *from);
    Some(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_a_datagram_of_a_fax_and_what_is_not() {
        let filled = |head: &[u8], count: usize, tail: &[u8]| [head, &vec![7; count], tail].concat();
        for (rule, datagram, expected) in [
            ("an_indicator_without_repair", vec![0, 1, 1, 0xC0, 0, 0], Ok(1)),
            ("no_octets_at_all", vec![0xFF, 0xFF, 0, 0, 0], Ok(65_535)),
            ("two_that_were_sent_before", vec![0, 2, 1, 6, 0, 2, 1, 4, 2, 1, 2], Ok(2)),
            ("parity", vec![0, 3, 1, 6, 0x80, 1, 3, 2, 1, 9, 1, 9], Ok(3)),
            ("a_long_length", filled(&[0, 4, 0x81, 0x2C], 300, &[0, 0]), Ok(4)),
            ("as_long_as_may_be", filled(&[0, 6, 0x85, 0xD6], 1_494, &[0, 0]), Ok(6)),
            ("something_behind_it", vec![0, 5, 1, 6, 0, 0, 99], Err(Malformed::Truncated)),
            ("silence_as_rtp", filled(&[0x80, 0, 0, 1, 0, 0, 0, 160, 0, 0, 0, 9], 160, &[]), Err(Malformed::Truncated)),
            ("nothing", vec![], Err(Malformed::TooShort)),
            ("half_a_number", vec![0], Err(Malformed::TooShort)),
            ("a_number_alone", vec![0, 1], Err(Malformed::Truncated)),
            ("a_primary_that_is_cut_off", vec![0, 1, 5, 1, 2], Err(Malformed::Truncated)),
            ("no_word_of_repair", vec![0, 1, 1, 6], Err(Malformed::Truncated)),
            ("fewer_than_it_counts", vec![0, 2, 1, 6, 0, 2, 1, 4], Err(Malformed::Truncated)),
            ("parity_without_a_span", vec![0, 3, 1, 6, 0x80], Err(Malformed::Truncated)),
            ("half_a_long_length", vec![0, 3, 0x81], Err(Malformed::Truncated)),
            ("a_piece", filled(&[0, 3, 0xC1], 300, &[0, 0]), Err(Malformed::Truncated)),
            ("more_than_any_has_room_for", vec![0, 3, 0, 0, 0xBF, 0xFF], Err(Malformed::Truncated)),
            ("longer_than_may_be", filled(&[0, 6, 0x85, 0xD7], 1_495, &[0, 0]), Err(Malformed::TooLong)),
        ] {
            assert_eq!(parse(&datagram), expected, "{rule}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(number: u16, primary in proptest::collection::vec(any::<u8>(), 0..1_400)) {
            let mut out = [0; limits::RTP_BYTES_MAX];
            let length = write(number, &primary, &mut out).unwrap();
            prop_assert_eq!(parse(&out[..length]), Ok(number));
            prop_assert_eq!(&out[length - 2 - primary.len()..length - 2], &primary[..]);
            // Nothing that is cut off is whole.
            for short in 0..length {
                prop_assert!(parse(&out[..short]).is_err(), "{short} of {length}");
            }
        }
    }
}
