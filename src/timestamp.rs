//! [`Timestamp`]: an instant in whole UTC seconds.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

mod calendar;

use calendar::Civil;

/// An instant in whole UTC seconds, from 1970-01-01T00:00:00Z to 9999-12-31T23:59:59Z.
///
/// It prints as RFC 3339 and parses from it. It has no time zone. Conversions cut fractions of a
/// second.
///
/// ```
/// use app_tokens::Timestamp;
/// let t: Timestamp = "2026-03-01T12:00:00Z".parse()?;
/// assert_eq!(t.as_unix(), 1_772_366_400);
/// assert_eq!(t.to_string(), "2026-03-01T12:00:00Z");
/// # Ok::<(), app_tokens::OutOfCalendar>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(
    /// Seconds since 1970, plus one: with 0 left free, an `Option` or an `Expires` takes no more
    /// room.
    NonZeroU64,
);

/// An instant outside the years 1970 to 9999, or a text that is not an instant by RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an instant between 1970-01-01T00:00:00Z and 9999-12-31T23:59:59Z")]
pub struct OutOfCalendar;

impl Timestamp {
    /// 1970-01-01T00:00:00Z, the first instant.
    pub const MIN: Timestamp = Timestamp(NonZeroU64::MIN);
    /// 9999-12-31T23:59:59Z, the last instant that RFC 3339 can write.
    pub const MAX: Timestamp = Timestamp(NonZeroU64::MIN.saturating_add(253_402_300_799));

    /// Makes an instant from seconds since 1970-01-01T00:00:00Z.
    ///
    /// # Errors
    /// [`OutOfCalendar`] if it is before 1970 or after the year 9999.
    pub const fn from_unix(seconds: i64) -> Result<Timestamp, OutOfCalendar> {
        if seconds < 0 || seconds > Timestamp::MAX.as_unix() {
            return Err(OutOfCalendar);
        }
        Ok(Timestamp(NonZeroU64::MIN.saturating_add(seconds as u64)))
    }

    /// Returns the seconds since 1970-01-01T00:00:00Z.
    pub const fn as_unix(self) -> i64 {
        (self.0.get() - 1) as i64
    }

    /// Returns `self + by`; `None` past [`Timestamp::MAX`]. Fractions of a second are cut.
    pub fn checked_add(self, by: Duration) -> Option<Timestamp> {
        self.0.checked_add(by.as_secs()).map(Timestamp).filter(|sum| *sum <= Timestamp::MAX)
    }

    /// Returns `self + by`, at most [`Timestamp::MAX`].
    pub fn saturating_add(self, by: Duration) -> Timestamp {
        self.checked_add(by).unwrap_or(Timestamp::MAX)
    }

    /// Returns `self - by`, at least [`Timestamp::MIN`].
    pub fn saturating_sub(self, by: Duration) -> Timestamp {
        let left = NonZeroU64::new(self.0.get().saturating_sub(by.as_secs()));
        left.map_or(Timestamp::MIN, Timestamp)
    }

    /// Returns the time since `earlier`; zero if that is later.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_secs(self.0.get().saturating_sub(earlier.0.get()))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Civil { year, month, day, hour, minute, second } =
            calendar::civil_from_unix(self.as_unix());
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = OutOfCalendar;
    fn from_str(text: &str) -> Result<Timestamp, OutOfCalendar> {
        Timestamp::from_unix(calendar::unix_from_rfc3339(text).ok_or(OutOfCalendar)?)
    }
}

impl TryFrom<SystemTime> for Timestamp {
    type Error = OutOfCalendar;
    fn try_from(time: SystemTime) -> Result<Timestamp, OutOfCalendar> {
        let since_epoch = time.duration_since(UNIX_EPOCH).map_err(|_| OutOfCalendar)?;
        Timestamp::from_unix(since_epoch.as_secs().try_into().map_err(|_| OutOfCalendar)?)
    }
}

impl From<Timestamp> for SystemTime {
    fn from(timestamp: Timestamp) -> SystemTime {
        UNIX_EPOCH + timestamp.since(Timestamp::MIN)
    }
}

/// With the feature `time`. Fractions of a second are cut.
#[cfg(feature = "time")]
impl TryFrom<time::OffsetDateTime> for Timestamp {
    type Error = OutOfCalendar;
    fn try_from(time: time::OffsetDateTime) -> Result<Timestamp, OutOfCalendar> {
        Timestamp::from_unix(time.unix_timestamp())
    }
}

/// With the feature `time`.
#[cfg(feature = "time")]
impl From<Timestamp> for time::OffsetDateTime {
    fn from(timestamp: Timestamp) -> time::OffsetDateTime {
        time::OffsetDateTime::UNIX_EPOCH + timestamp.since(Timestamp::MIN)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::OffsetDateTime;
    use time::format_description::well_known::Rfc3339;

    use super::*;

    /// What the crate `time` makes of a text.
    fn by_time(text: &str) -> Option<Timestamp> {
        Timestamp::try_from(OffsetDateTime::parse(text, &Rfc3339).ok()?).ok()
    }

    #[test]
    fn the_whole_calendar_is_as_the_crate_time_has_it() {
        // No divisor of a year, so that it comes by each day of a year, and each time of a day.
        let step = Duration::from_secs(37 * 86_400 + 3661);
        let mut next = Some(Timestamp::MIN);
        while let Some(instant) = next {
            let text = OffsetDateTime::from(instant).format(&Rfc3339).unwrap();
            assert_eq!((instant.to_string(), text.parse()), (text, Ok(instant)));
            next = instant.checked_add(step);
        }
    }

    proptest! {
        #[test]
        fn a_text_is_read_as_the_crate_time_reads_it(
            text in "(197[01]|20[0-9]{2}|[0-9]{4})-(0[0-9]|1[0-3])-[0-3][0-9][Tt]([01][0-9]|2[0-5])\
                     :[0-6][0-9]:([0-5][0-9]|6[01])(\\.[0-9]{0,12})?\
                     ([Zz]|[+-]([01][0-9]|2[0-4]):[0-6][0-9])"
        ) {
            // A fraction past nine digits is cut by `time`, too. A leap second is told apart below.
            prop_assume!(text.as_bytes()[17] != b'6');
            prop_assert_eq!(text.parse().ok(), by_time(&text), "{}", text);
        }

        #[test]
        fn no_text_panics(text in ".*", digits in "[-0-9TZ:.+é]{15,30}") {
            _ = text.parse::<Timestamp>();
            _ = digits.parse::<Timestamp>();
        }
    }

    #[test]
    fn a_leap_second_is_the_second_before_it() {
        for text in ["2016-12-31T23:59:60Z", "2017-01-01T00:59:60.5+01:00"] {
            assert_eq!(text.parse::<Timestamp>().unwrap().to_string(), "2016-12-31T23:59:59Z");
        }
        for text in ["2016-12-31T22:59:60Z", "2016-12-31T23:59:60+01:00", "2016-12-31T23:59:61Z"] {
            assert_eq!(text.parse::<Timestamp>(), Err(OutOfCalendar), "{text}");
        }
    }

    #[test]
    fn what_is_not_rfc_3339_is_refused() {
        for text in [
            "",
            "2026-03-01",
            "2026-03-01T12:00:00",
            "2026-03-01T12:00Z",
            "2026-03-01T12:00:00.Z",
            "2026-03-01T12:00:00+01",
            "2026-03-01T12:00:00+0100",
            "2026-03-01T12:00:00 Z",
            "2026-03-01T12:00:00ZZ",
            " 2026-03-01T12:00:00Z",
            "+2026-03-01T12:00:0Z",
            "2026-3-01T12:00:00.0Z",
            "2026-02-29T12:00:00Z",
            "2026-03-01T24:00:00Z",
            "9999-12-31T23:59:59-00:01",
            "1970-01-01T00:00:00+00:01",
            "２026-03-01T12:00:00Z",
        ] {
            assert_eq!(text.parse::<Timestamp>(), Err(OutOfCalendar), "{text}");
        }
        assert!("2024-02-29T12:00:00-00:00".parse::<Timestamp>().is_ok());
    }

    #[test]
    fn both_ends_of_the_calendar_print_and_parse_back() {
        for t in [Timestamp::MIN, Timestamp::MAX] {
            assert_eq!(t.to_string().parse(), Ok(t));
            assert_eq!(Timestamp::try_from(SystemTime::from(t)), Ok(t));
            assert_eq!(Timestamp::try_from(OffsetDateTime::from(t)), Ok(t));
        }
        assert_eq!(Timestamp::MAX.to_string(), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn nothing_outside_the_calendar_is_made() {
        assert_eq!(Timestamp::from_unix(-1), Err(OutOfCalendar));
        assert_eq!(Timestamp::from_unix(Timestamp::MAX.as_unix() + 1), Err(OutOfCalendar));
        assert_eq!(Timestamp::MAX.checked_add(Duration::from_secs(1)), None);
        assert_eq!(Timestamp::MIN.checked_add(Duration::MAX), None);
        assert_eq!(Timestamp::MAX.saturating_add(Duration::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::MIN.saturating_sub(Duration::MAX), Timestamp::MIN);
        assert_eq!("1969-12-31T23:59:59Z".parse::<Timestamp>(), Err(OutOfCalendar));
        assert_eq!("yesterday".parse::<Timestamp>(), Err(OutOfCalendar));
        assert!(Timestamp::try_from(UNIX_EPOCH - Duration::from_secs(1)).is_err());
    }

    #[test]
    fn an_offset_is_resolved_and_a_fraction_is_cut() {
        let t: Timestamp = "2026-03-01T13:00:00.999+01:00".parse().unwrap();
        assert_eq!(t.to_string(), "2026-03-01T12:00:00Z");
    }
}
