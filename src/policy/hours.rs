//! Hours of the week in a place's own time: `mon-fri 08:00-18:00, sat 09:00-12:00`.
//! Not here: single dates and holidays. Which offset a place has when is the business of the time zone database (jiff).

use crate::time::Wall;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::fmt;

const MINUTES_A_DAY: u16 = 24 * 60;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Parts of the week. None: no instant is within them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hours {
    zone: TimeZone,
    spans: Vec<Span>,
    written: (Box<str>, Box<str>),
}

/// Some days, and from when until when on each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Span {
    /// Bit 0 is Monday.
    days: u8,
    /// Minutes of the day, the first within.
    from: u16,
    /// Minutes of the day, the first not within; before `from`, the span ends on the day after.
    until: u16,
}

/// Why a text is no hours.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BadHours {
    /// This part is not `DAYS FROM-UNTIL`.
    Part(String),
    /// The time zone database knows no such zone, or there is none on this machine.
    Zone(String),
}

impl fmt::Display for BadHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadHours::Part(part) => {
                write!(f, "`{part}` are no hours; write for example mon-fri 08:00-18:00, sat 09:00-12:00")
            }
            BadHours::Zone(zone) => {
                write!(
                    f,
                    "`{zone}` is no time zone that this machine knows; write for example Europe/Berlin or UTC (package tzdata)"
                )
            }
        }
    }
}

impl std::error::Error for BadHours {}

impl Hours {
    /// Parts with commas between: days (`mon`, `mon-fri`, `sat+sun`, `daily`), a blank, and two times of day. A part whose second
    /// time is not after its first ends on the day after: `fri 22:00-06:00`. 24:00 is the end of a day.
    /// `zone` is a name of the time zone database, such as `Europe/Berlin`.
    pub fn parse(text: &str, zone: &str) -> Result<Hours, BadHours> {
        let spans = text.split(',').map(|part| Span::parse(part).ok_or_else(|| BadHours::Part(part.trim().to_owned())));
        let spans = spans.collect::<Result<_, _>>()?;
        Ok(Hours { spans, zone: zone_of(zone)?, written: (text.into(), zone.into()) })
    }

    /// The text and the zone that they were read from.
    pub fn written(&self) -> (&str, &str) {
        (&self.written.0, &self.written.1)
    }

    /// Whether `now` is within one of the parts.
    pub fn contain(&self, now: Wall) -> bool {
        let Some((day, minute)) = self.local(now) else { return false };
        self.spans.iter().any(|span| span.contains(day, minute))
    }

    /// The day of the week, Monday is 0, and the minute of the day. `None`: so far off that no calendar has it.
    fn local(&self, now: Wall) -> Option<(u8, u16)> {
        let instant = Timestamp::from_millisecond(i64::try_from(now.0).ok()?).ok()?;
        let local = self.zone.to_datetime(instant);
        let day = u8::try_from(local.weekday().to_monday_zero_offset()).ok()?;
        let minute = u16::try_from(i32::from(local.hour()) * 60 + i32::from(local.minute())).ok()?;
        Some((day, minute))
    }
}

fn zone_of(name: &str) -> Result<TimeZone, BadHours> {
    if name == "UTC" {
        return Ok(TimeZone::UTC);
    }
    TimeZone::get(name).map_err(|_| BadHours::Zone(name.to_owned()))
}

impl Span {
    fn parse(text: &str) -> Option<Span> {
        let (days, times) = text.trim().split_once(' ')?;
        let (from, until) = times.trim().split_once('-')?;
        let (from, until) = (minutes(from)?, minutes(until)?);
        let days = days.split('+').try_fold(0, |all, part| Some(all | days_of(part)?))?;
        (from < MINUTES_A_DAY).then_some(Span { days, from, until })
    }

    fn contains(self, day: u8, minute: u16) -> bool {
        let begins_on = |day: u8| self.days & (1 << day) != 0;
        if self.from < self.until {
            return begins_on(day) && (self.from..self.until).contains(&minute);
        }
        // The evening of its own day, and the morning of the next.
        (begins_on(day) && minute >= self.from) || (begins_on((day + 6) % 7) && minute < self.until)
    }
}

/// `mon`, `mon-fri`, `sat-mon`, `daily`, as bits.
fn days_of(text: &str) -> Option<u8> {
    if text == "daily" {
        return Some(0x7F);
    }
    let day = |word: &str| DAYS.iter().position(|known| *known == word);
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (day(first)?, day(last)?);
    let length = (last + DAYS.len() - first) % DAYS.len();
    Some((0..=length).fold(0, |bits, step| bits | 1 << ((first + step) % DAYS.len())))
}

/// `08:00`, `24:00`: two digits each.
fn minutes(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let two = |digits: &str| -> Option<u16> {
        (digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
    };
    let (hour, minute) = (two(hour)?, two(minute)?);
    let sum = hour * 60 + minute;
    (minute < 60 && sum <= MINUTES_A_DAY).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Milliseconds since 1970 of a time of day in UTC in the week that begins on Monday, 2026-11-23.
    fn at(day: u64, hour: u64, minute: u64) -> Wall {
        let monday = 20_780 * 24 * 3_600;
        Wall((monday + ((day * 24 + hour) * 60 + minute) * 60) * 1_000)
    }

    #[test]
    fn an_instant_is_within_the_hours_of_its_day() {
        let (office, night) = ("mon-fri 08:00-18:00, sat 09:00-12:00", "fri 22:00-06:00");
        for (text, now, expected) in [
            (office, at(0, 8, 0), true),
            (office, at(0, 7, 59), false),
            (office, at(4, 17, 59), true),
            (office, at(4, 18, 0), false),
            (office, at(5, 9, 30), true),
            (office, at(5, 13, 0), false),
            (office, at(6, 9, 30), false),
            (night, at(4, 22, 0), true),
            (night, at(4, 21, 59), false),
            (night, at(5, 5, 59), true),
            (night, at(5, 6, 0), false),
            (night, at(4, 5, 0), false),
            ("sun 22:00-06:00", at(0, 5, 0), true),
            ("daily 00:00-24:00", at(3, 23, 59), true),
            ("sat+sun 00:00-24:00", at(6, 0, 0), true),
            ("sat+sun 00:00-24:00", at(0, 0, 0), false),
            ("sat-mon 00:00-24:00", at(0, 12, 0), true),
            ("sat-mon 00:00-24:00", at(1, 12, 0), false),
            ("mon 12:00-12:00", at(0, 13, 0), true),
            ("mon 12:00-12:00", at(1, 11, 0), true),
            ("daily 00:00-24:00", Wall(u64::MAX), false),
        ] {
            assert_eq!(Hours::parse(text, "UTC").unwrap().contain(now), expected, "{text}, {now}");
        }
    }

    #[test]
    fn hours_are_those_of_the_place_in_summer_and_winter() {
        let berlin = Hours::parse("daily 08:00-18:00", "Europe/Berlin").unwrap();
        let july = Wall(1_783_058_400_000); // 2026-07-03 06:00 UTC
        assert!(berlin.contain(july) && !berlin.contain(Wall(july.0 - 60_000)));
        assert!(berlin.contain(at(0, 7, 0)) && !berlin.contain(at(0, 6, 59)));
    }

    #[test]
    fn what_is_no_hours_is_refused_with_its_part() {
        for bad in [
            "",
            "mon",
            "mon 8:00-18:00",
            "mon 08:00",
            "mo 08:00-18:00",
            "mon 08:00-24:01",
            "mon 24:00-01:00",
            "mon 08:60-09:00",
            "mon- 08:00-09:00",
            "mon +8:00-09:00",
            "Mon 08:00-18:00",
        ] {
            assert_eq!(Hours::parse(bad, "UTC"), Err(BadHours::Part(bad.to_owned())), "{bad}");
        }
        assert_eq!(Hours::parse("mon 08:00-09:00, x", "UTC"), Err(BadHours::Part("x".into())));
        for zone in ["Europe/Nowhere", "", "../etc/passwd"] {
            assert_eq!(Hours::parse("mon 08:00-09:00", zone), Err(BadHours::Zone(zone.into())));
        }
    }

    proptest! {
        /// A week has as many minutes within as the spans say, wherever they begin.
        #[test]
        fn a_span_has_its_length(day in 0_usize..7, from in 0_u16..1440, length in 1_u16..=1440) {
            let until = (from + length) % 1440;
            let text = format!("{} {:02}:{:02}-{:02}:{:02}", DAYS[day], from / 60, from % 60, until / 60, until % 60);
            let hours = Hours::parse(&text, "UTC").unwrap();
            let within = (0..7 * 1440).filter(|minute| hours.contain(at(0, 0, *minute))).count();
            prop_assert_eq!(within, usize::from(length));
        }

        #[test]
        fn any_text_is_hours_or_refused(text in "[a-z0-9:+, -]{0,40}") {
            let _ = Hours::parse(&text, "UTC");
        }
    }
}
