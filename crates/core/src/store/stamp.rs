//! Points in time as a person reads them: `2026-01-31T23:59:59.250Z`.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Milliseconds since the Unix epoch, up to the end of the year 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stamp(u64);

/// 9999-12-31T23:59:59.999Z.
const LAST: u64 = 253_402_300_799_999;

impl Stamp {
    /// The last millisecond that had begun at `unix`.
    pub(crate) fn new(unix: Duration) -> Self {
        Self(u64::try_from(unix.as_millis()).map_or(LAST, |millis| millis.min(LAST)))
    }

    pub(crate) fn unix(self) -> Duration {
        Duration::from_millis(self.0)
    }

    pub(crate) fn plus(self, duration: Duration) -> Self {
        Self::new(self.unix().saturating_add(duration))
    }

    /// `text` in exactly the form that [`fmt::Display`] writes.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let form = b"0000-00-00T00:00:00.000Z";
        let bytes = text.as_bytes();
        let fits = bytes.len() == form.len()
            && bytes.iter().zip(form).all(|(byte, form)| match form {
                b'0' => byte.is_ascii_digit(),
                form => byte == form,
            });
        if !fits {
            return None;
        }
        let number = |from: usize, to: usize| {
            bytes[from..to]
                .iter()
                .fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
        };
        let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
        let (hour, minute, second) = (number(11, 13), number(14, 16), number(17, 19));
        let days = days_of_civil(year, month, day)?;
        let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
        let stamp = Self(seconds * 1_000 + number(20, 23));
        // A 31st of February, a 25th hour.
        (stamp.to_string() == text).then_some(stamp)
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = (self.0 / 1_000, self.0 % 1_000);
        let (days, second) = (seconds / 86_400, seconds % 86_400);
        let (year, month, day) = civil_of_days(days);
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z"
        )
    }
}

// Howard Hinnant's calendar: eras of 400 years that begin on 1 March of year 0.

/// Days from 0000-03-01 to 1970-01-01.
const TO_UNIX: u64 = 719_468;
const ERA: u64 = 146_097;

fn days_of_civil(year: u64, month: u64, day: u64) -> Option<u64> {
    let year = if month <= 2 {
        year.checked_sub(1)?
    } else {
        year
    };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day.checked_sub(1)?;
    let of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    (era * ERA + of_era).checked_sub(TO_UNIX)
}

fn civil_of_days(days: u64) -> (u64, u64, u64) {
    let days = days + TO_UNIX;
    let (era, of_era) = (days / ERA, days % ERA);
    let years = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * years + years / 4 - years / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + years + u64::from(month <= 2), month, day)
}

impl Serialize for Stamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Stamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a point in time"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_as_the_calendar_has_it() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_767_225_599_999, "2025-12-31T23:59:59.999Z"),
            (1_767_225_600_000, "2026-01-01T00:00:00.000Z"),
            (LAST, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Stamp(millis).to_string(), text);
            assert_eq!(Stamp::parse(text), Some(Stamp(millis)));
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "2026-02-31T00:00:00.000Z",
            "2026-00-01T00:00:00.000Z",
            "2026-13-01T00:00:00.000Z",
            "2026-01-00T00:00:00.000Z",
            "2026-01-01T24:00:00.000Z",
            "1969-12-31T23:59:59.999Z",
            "0000-01-01T00:00:00.000Z",
            "2026-01-01T00:00:00Z",
            "2026-01-01T00:00:00.000z",
            "2026-01-01T00:00:00.00éZ",
        ] {
            assert_eq!(Stamp::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn both_ways_are_one(millis in 0..=LAST) {
            prop_assert_eq!(Stamp::parse(&Stamp(millis).to_string()), Some(Stamp(millis)));
        }

        #[test]
        fn parsing_is_total(text in "\\PC*|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}.[0-9]{3}Z") {
            let _ = Stamp::parse(&text);
        }
    }
}
