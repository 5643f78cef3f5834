use jiff::civil::DateTime;
use jiff::tz::Offset;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::time::{Duration, Instant};

/// A moment in UTC, in microseconds since 1970, for records. Timers use `Instant`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From microseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn from_unix_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn unix_micros(self) -> i64 {
        self.0
    }

    /// Milliseconds since 1970, zero before it.
    #[must_use]
    pub fn unix_millis(self) -> u64 {
        u64::try_from(self.0.div_euclid(1_000)).unwrap_or(0)
    }

    /// This moment plus a span; stops at the end of the range instead of wrapping.
    #[must_use]
    pub fn saturating_add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }

    /// This moment minus a span; stops at the beginning of the range instead of wrapping.
    #[must_use]
    pub fn saturating_sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }

    /// The span since an earlier moment; zero when that moment is not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// What is printed, digit by digit, as lists have thousands of moments; `None` before the year 0, which no record has.
    fn text(self) -> Option<[u8; 27]> {
        let moment = Offset::UTC.to_datetime(jiff::Timestamp::from_microsecond(self.0).ok()?);
        let fields: [(Range<usize>, i32); 7] = [
            (0..4, moment.year().into()),
            (5..7, moment.month().into()),
            (8..10, moment.day().into()),
            (11..13, moment.hour().into()),
            (14..16, moment.minute().into()),
            (17..19, moment.second().into()),
            (20..26, moment.subsec_nanosecond() / 1_000),
        ];
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        for (place, value) in fields {
            let mut rest = u32::try_from(value).ok()?;
            for digit in text.get_mut(place)?.iter_mut().rev() {
                *digit = b'0' + u8::try_from(rest % 10).ok()?;
                rest /= 10;
            }
        }
        Some(text)
    }
}

fn as_text(digits: &[u8]) -> &str {
    str::from_utf8(digits).unwrap_or_default()
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with microseconds, such as `2026-01-31T12:00:00.000250Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(text) = self.text() {
            return f.write_str(as_text(&text));
        }
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(moment) => write!(f, "{moment:.6}"),
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = ParseTimestampError;

    /// Reads RFC 3339 with `Z` or an offset, with or without a fraction. A time without offset is taken as UTC.
    fn from_str(text: &str) -> Result<Self, ParseTimestampError> {
        if let Ok(moment) = text.parse::<jiff::Timestamp>() {
            return Ok(Self(moment.as_microsecond()));
        }
        let naive: DateTime = text.parse().map_err(|_| ParseTimestampError)?;
        let moment = Offset::UTC.to_timestamp(naive).map_err(|_| ParseTimestampError)?;
        Ok(Self(moment.as_microsecond()))
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return serializer.serialize_i64(self.0);
        }
        match self.text() {
            Some(text) => serializer.serialize_str(as_text(&text)),
            None => serializer.collect_str(self),
        }
    }
}

impl<'de> serde::Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            let micros = i64::deserialize(deserializer)?;
            // What is taken in can be told.
            let moment = jiff::Timestamp::from_microsecond(micros).map_err(serde::de::Error::custom)?;
            return Ok(Self(moment.as_microsecond()));
        }
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The text is no date and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a date and time of RFC 3339, as 2026-01-31T12:00:00Z")]
pub struct ParseTimestampError;

/// The two clocks at one moment, read once by the shell and passed in: monotonic for timers, UTC for records.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For timers and durations.
    pub instant: Instant,
    /// For records.
    pub utc: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_added_and_taken_away_and_nothing_wraps() {
        let moment = Timestamp::from_unix_micros(1_000_000);
        assert_eq!(moment.saturating_sub(Duration::from_millis(1)), Timestamp::from_unix_micros(999_000));
        assert_eq!(moment.saturating_add(Duration::from_millis(1)).saturating_sub(Duration::from_millis(1)), moment);
        let first = Timestamp::from_unix_micros(i64::MIN);
        assert_eq!(first.saturating_sub(Duration::MAX), first);
    }

    #[test]
    fn reads_what_clients_send() {
        let whole: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
        assert_eq!("2026-01-31T13:00:00.000+01:00".parse::<Timestamp>().unwrap(), whole);
        assert_eq!("2026-01-31T12:00:00".parse::<Timestamp>().unwrap(), whole);
        assert_eq!("yesterday".parse::<Timestamp>(), Err(ParseTimestampError));
    }

    #[test]
    fn prints_microseconds_in_utc() {
        let moment: Timestamp = "2026-01-31T12:00:00.00025Z".parse().unwrap();
        assert_eq!(moment.to_string(), "2026-01-31T12:00:00.000250Z");
        assert_eq!(moment.to_string().parse::<Timestamp>().unwrap(), moment);
    }

    #[test]
    fn every_year_is_printed_as_its_library_prints_it() {
        let (first, last) = (jiff::Timestamp::MIN.as_microsecond(), jiff::Timestamp::MAX.as_microsecond());
        // A step of no whole number of days, so that all fields change.
        for micros in (first + 1..last).step_by(86_413_000_017 * 997).chain([-1, 0, 1]) {
            let moment = jiff::Timestamp::from_microsecond(micros).unwrap();
            assert_eq!(Timestamp(micros).to_string(), format!("{moment:.6}"));
        }
    }
}
