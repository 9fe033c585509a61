//! What RTCP that crosses us says, read where it lies: sender reports, report blocks, and the two blocks of XR that measure a round trip.
//! Not here: whether a datagram is RTCP at all (`header`), and whether what it says is to be believed (`feedback`). Nothing is changed in it.
//! RFC 3550 §6.4 (reports), RFC 3611 §4.4, §4.5 (receivers' reference times).
//!
//! ```text
//! |V=2|P|   RC    |  PT=SR=200    |            length             |
//! |                         SSRC of sender                        |
//! |       NTP timestamp, 8 bytes: the middle 4 are its name       |   SR only, with RTP timestamp and two counts
//! |                 SSRC_1 … 24 bytes a report block              |   RC of them
//! ```

/// Packet types (RFC 3550 §12.1, RFC 3611 §2).
const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const EXTENDED_REPORT: u8 = 207;
/// Block types of XR (RFC 3611 §4.4, §4.5).
const REFERENCE_TIME: u8 = 4;
const DELAY_SINCE_REFERENCE: u8 = 5;
/// A part's header and the SSRC of who sent it.
const HEAD_BYTES: usize = 8;
/// What a sender report says of its sender.
const SENDER_BYTES: usize = 20;
/// One report block.
const BLOCK_BYTES: usize = 24;
/// An XR block's own header.
const XR_HEAD_BYTES: usize = 4;
/// What XR says of one reference time.
const DELAY_BYTES: usize = 12;

/// One thing that a compound packet says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Item {
    /// Somebody's clock stands at this time: a sender report, or a receiver's reference time.
    Clock {
        /// Whose.
        ssrc: u32,
        /// The middle 32 bits of its NTP time, by which answers name it.
        name: u32,
    },
    /// A clock's time was heard, and this is the answer.
    Echo(Echo),
    /// How a stream is received (RFC 3550 §6.4.1).
    Reception(Reception),
}

/// When a clock's time was heard: LSR and DLSR, or LRR and DLRR.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Echo {
    /// Whose clock.
    pub ssrc: u32,
    /// Which of its times.
    pub name: u32,
    /// How long ago it came, in 1/65,536 seconds.
    pub delay: u32,
}

/// How a stream is received, as the receiver says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reception {
    /// The stream.
    pub ssrc: u32,
    /// Packets lost since it began; negative if more came than were sent.
    pub lost: i32,
    /// Interarrival jitter in units of the stream's clock.
    pub jitter: u32,
}

/// All that a compound packet says, in order. Parts that are cut short or of other types say nothing.
pub fn items(packet: &[u8]) -> impl Iterator<Item = Item> {
    Parts(packet).flat_map(|part| {
        let (clock, blocks) = part.clock_and_blocks();
        let reports = blocks.chunks_exact(BLOCK_BYTES).take(part.count).flat_map(report);
        clock.into_iter().chain(reports).chain(Extended(part.extended()).flat_map(ExtendedBlock::items))
    })
}

/// The parts of a compound packet.
struct Parts<'a>(&'a [u8]);

struct Part<'a> {
    kind: u8,
    /// How many report blocks it says that it has.
    count: usize,
    ssrc: u32,
    /// What follows the SSRC.
    body: &'a [u8],
}

impl<'a> Iterator for Parts<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        loop {
            let &[flags, kind, l0, l1] = self.0.first_chunk()?;
            let (part, rest) = self.0.split_at_checked(words(l0, l1) + XR_HEAD_BYTES)?;
            self.0 = rest;
            let count = usize::from(flags & 0x1F);
            if let (Some(ssrc), Some(body)) = (number(part, 4), part.get(HEAD_BYTES..)) {
                return Some(Part { kind, count, ssrc, body });
            }
        }
    }
}

impl<'a> Part<'a> {
    fn clock_and_blocks(&self) -> (Option<Item>, &'a [u8]) {
        match self.kind {
            // The NTP timestamp's middle: the lower half of its seconds, the upper half of its fraction (RFC 3550 §6.4.1, LSR).
            SENDER_REPORT => {
                let clock = number(self.body, 2).map(|name| Item::Clock { ssrc: self.ssrc, name });
                (clock, self.body.get(SENDER_BYTES..).unwrap_or_default())
            }
            RECEIVER_REPORT => (None, self.body),
            _ => (None, &[]),
        }
    }

    fn extended(&self) -> (u32, &'a [u8]) {
        (self.ssrc, if self.kind == EXTENDED_REPORT { self.body } else { &[] })
    }
}

/// The blocks of an XR packet, and who sent it.
struct Extended<'a>((u32, &'a [u8]));

struct ExtendedBlock<'a> {
    kind: u8,
    sender: u32,
    body: &'a [u8],
}

impl<'a> Iterator for Extended<'a> {
    type Item = ExtendedBlock<'a>;

    fn next(&mut self) -> Option<ExtendedBlock<'a>> {
        let (sender, blocks) = self.0;
        let &[kind, _, l0, l1] = blocks.first_chunk()?;
        let (block, rest) = blocks.split_at_checked(words(l0, l1) + XR_HEAD_BYTES)?;
        self.0 = (sender, rest);
        Some(ExtendedBlock { kind, sender, body: block.get(XR_HEAD_BYTES..)? })
    }
}

impl<'a> ExtendedBlock<'a> {
    fn items(self) -> impl Iterator<Item = Item> + 'a {
        let clock = number(self.body, 2).filter(|_| self.kind == REFERENCE_TIME);
        let ssrc = self.sender;
        let delays = if self.kind == DELAY_SINCE_REFERENCE { self.body } else { &[] };
        let echo = |delay: &[u8]| {
            Some(Item::Echo(Echo { ssrc: number(delay, 0)?, name: number(delay, 4)?, delay: number(delay, 8)? }))
        };
        let echoes = delays.chunks_exact(DELAY_BYTES).filter_map(echo);
        clock.map(|name| Item::Clock { ssrc, name }).into_iter().chain(echoes)
    }
}

/// What one report block says: how the stream is received and, if a sender report of it was heard, when.
fn report(block: &[u8]) -> impl Iterator<Item = Item> {
    let read = || {
        let ssrc = number(block, 0)?;
        // The upper octet is the fraction lost; the lower three are a signed count.
        let lost = (number(block, 4)? << 8).cast_signed() >> 8;
        let echo = Echo { ssrc, name: number(block, 16)?, delay: number(block, 20)? };
        Some((Reception { ssrc, lost, jitter: number(block, 12)? }, echo))
    };
    let (reception, echo) = read().unzip();
    let echo = echo.filter(|echo| echo.name != 0);
    reception.map(Item::Reception).into_iter().chain(echo.map(Item::Echo))
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|four| u32::from_be_bytes(*four))
}

/// A length in 32-bit words, in bytes.
fn words(l0: u8, l1: u8) -> usize {
    4 * usize::from(u16::from_be_bytes([l0, l1]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: [u8; 24] = [
        0, 0, 0, 9, // SSRC
        0x40, 0xFF, 0xFF, 0xFE, // a quarter lost, -2 in all
        0, 1, 0, 7, // highest number
        0, 0, 1, 0x2C, // jitter
        1, 2, 3, 4, // LSR
        0, 0, 0x80, 0, // DLSR
    ];

    fn part(kind: u8, count: u8, body: &[&[u8]]) -> Vec<u8> {
        let body = body.concat();
        let length = u16::try_from(1 + body.len() / 4).unwrap().to_be_bytes();
        [&[0x80 | count, kind], &length[..], &[0, 0, 0, 7], &body].concat()
    }

    fn sender() -> Vec<u8> {
        [[0xEE, 0xEE, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xEE].as_slice(), &[0; 12]].concat()
    }

    #[test]
    fn what_a_compound_packet_says() {
        let clock = Item::Clock { ssrc: 7, name: 0xAABB_CCDD };
        let reception = |lost| Item::Reception(Reception { ssrc: 9, lost, jitter: 300 });
        let echo = Item::Echo(Echo { ssrc: 9, name: 0x0102_0304, delay: 0x8000 });
        let unheard = [&BLOCK[..16], &[0; 8]].concat();
        let many = [&BLOCK[..4], &[0, 0x7F, 0xFF, 0xFF], &BLOCK[8..]].concat();
        let reference = [4, 0, 0, 2, 0xEE, 0xEE, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xEE];
        let delays = [&[5, 0, 0, 3], &BLOCK[..4], &BLOCK[16..]].concat();
        let other = [7, 0, 0, 1, 0, 0, 0, 0];
        for (rule, packet, expect) in [
            ("empty", vec![], vec![]),
            ("a_receiver_of_nothing", part(201, 0, &[]), vec![]),
            ("a_receiver_report", part(201, 1, &[&BLOCK]), vec![reception(-2), echo]),
            ("no_sender_report_was_heard", part(201, 1, &[&unheard]), vec![reception(-2)]),
            ("the_most_that_can_be_lost", part(201, 1, &[&many]), vec![reception(0x7F_FFFF), echo]),
            ("a_sender_report", part(200, 0, &[&sender()]), vec![clock]),
            ("with_a_block", part(200, 1, &[&sender(), &BLOCK]), vec![clock, reception(-2), echo]),
            ("blocks_beyond_the_count_are_a_profile's", part(201, 1, &[&BLOCK, &BLOCK]), vec![reception(-2), echo]),
            ("a_count_beyond_the_blocks", part(201, 31, &[&BLOCK]), vec![reception(-2), echo]),
            ("a_block_cut_short", part(201, 1, &[&BLOCK[..20]]), vec![]),
            ("a_sender_report_cut_short", part(200, 0, &[&[0; 4]]), vec![]),
            ("a_reference_time", part(207, 0, &[&reference]), vec![clock]),
            ("its_answer", part(207, 0, &[&other, &delays]), vec![echo]),
            ("an_xr_block_beyond_the_end", part(207, 0, &[&[5, 0, 0, 9], &BLOCK[..8]]), vec![]),
            ("a_description_says_nothing", part(202, 1, &[&BLOCK]), vec![]),
            (
                "parts_in_order",
                [part(200, 0, &[&sender()]), part(202, 1, &[&[0; 4]]), part(201, 1, &[&BLOCK])].concat(),
                vec![clock, reception(-2), echo],
            ),
            (
                "a_part_without_ssrc_is_passed_over",
                [vec![0x80, 201, 0, 0], part(201, 1, &[&BLOCK])].concat(),
                vec![reception(-2), echo],
            ),
            ("a_length_beyond_the_end", vec![0x80, 201, 0xFF, 0xFF, 0, 0, 0, 7], vec![]),
        ] {
            assert_eq!(items(&packet).collect::<Vec<_>>(), expect, "{rule}");
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic_or_go_on_for_ever() {
        let mut rng = crate::rng::Rng::from_seed([7; 32]);
        let mut said = 0;
        for _ in 0..100_000 {
            let mut bytes = [0; 96];
            rng.fill(&mut bytes);
            bytes[0] = bytes[0] & 0x3F | 0x80;
            bytes[1] = [200, 201, 207][usize::try_from(rng.below(3)).unwrap()];
            bytes[2] = 0;
            bytes[3] &= 0x1F;
            let items = items(&bytes[..usize::try_from(rng.below(97)).unwrap()]).count();
            assert!(items <= 96 / 4);
            said += items;
        }
        assert!(said > 10_000);
    }
}
