//! An instant in whole UTC seconds: [`Timestamp`].

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// An instant in whole UTC seconds, from 1970-01-01T00:00:00Z to 9999-12-31T23:59:59Z.
///
/// It prints as RFC 3339 and parses from it. Other offsets are converted to UTC, and fractions of a
/// second are cut. A date alone doesn't parse: say at which time of that day.
///
/// ```
/// use app_tokens::Timestamp;
/// let t: Timestamp = "2026-03-01T12:00:00Z".parse()?;
/// assert_eq!(t.as_unix(), 1_772_366_400);
/// assert_eq!(t.to_string(), "2026-03-01T12:00:00Z");
/// # Ok::<(), app_tokens::error::OutOfCalendar>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(
    /// Seconds since 1970, plus one. With 0 left free, an `Option` or an `Expires` takes no more
    /// room.
    NonZeroU64,
);

/// An instant outside the years 1970 to 9999, or a text that is not an instant by RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not an instant between 1970-01-01T00:00:00Z and 9999-12-31T23:59:59Z; write it by RFC 3339, \
     such as 2026-03-01T12:00:00Z"
)]
pub struct OutOfCalendar;

impl Timestamp {
    /// The first instant, 1970-01-01T00:00:00Z.
    pub const MIN: Timestamp = Timestamp(NonZeroU64::MIN);
    /// The last instant that RFC 3339 can write, 9999-12-31T23:59:59Z.
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
        // The sum may pass the calendar without overflowing, so both are looked at.
        self.0.checked_add(by.as_secs()).map(Timestamp).filter(|sum| *sum <= Timestamp::MAX)
    }

    /// Returns `self + by`, at most [`Timestamp::MAX`]. Fractions of a second are cut.
    pub fn saturating_add(self, by: Duration) -> Timestamp {
        self.checked_add(by).unwrap_or(Timestamp::MAX)
    }

    /// Returns `self - by`, at least [`Timestamp::MIN`]. Fractions of a second are cut.
    pub fn saturating_sub(self, by: Duration) -> Timestamp {
        let left = NonZeroU64::new(self.0.get().saturating_sub(by.as_secs()));
        left.map_or(Timestamp::MIN, Timestamp)
    }

    /// Converts into the calendar of the crate `time`.
    fn to_offset_date_time(self) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH + self.since(Timestamp::MIN)
    }

    /// Returns the time since `earlier`; zero if that is later.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_secs(self.0.get().saturating_sub(earlier.0.get()))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.to_offset_date_time().format(&Rfc3339).map_err(|_| fmt::Error)?;
        f.write_str(&text)
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
        let time = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| OutOfCalendar)?;
        Timestamp::from_unix(time.unix_timestamp())
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

/// Converts from the crate `time`. Fractions of a second are cut.
#[cfg(feature = "time")]
#[cfg_attr(docsrs, doc(cfg(feature = "time")))]
impl TryFrom<OffsetDateTime> for Timestamp {
    type Error = OutOfCalendar;
    fn try_from(time: OffsetDateTime) -> Result<Timestamp, OutOfCalendar> {
        Timestamp::from_unix(time.unix_timestamp())
    }
}

/// Converts into the crate `time`.
#[cfg(feature = "time")]
#[cfg_attr(docsrs, doc(cfg(feature = "time")))]
impl From<Timestamp> for OffsetDateTime {
    fn from(timestamp: Timestamp) -> OffsetDateTime {
        timestamp.to_offset_date_time()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_of_the_calendar_print_and_parse_back() {
        for t in [Timestamp::MIN, Timestamp::MAX] {
            assert_eq!(t.to_string().parse(), Ok(t));
            assert_eq!(Timestamp::try_from(SystemTime::from(t)), Ok(t));
            #[cfg(feature = "time")]
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
        for no_instant in ["yesterday", "2027-03-01", "2027-03-01T12:00:00", "never"] {
            let refused = no_instant.parse::<Timestamp>().unwrap_err().to_string();
            assert!(refused.ends_with("write it by RFC 3339, such as 2026-03-01T12:00:00Z"));
        }
        assert!(Timestamp::try_from(UNIX_EPOCH - Duration::from_secs(1)).is_err());
    }

    #[test]
    fn an_offset_is_resolved_and_a_fraction_is_cut() {
        let t: Timestamp = "2026-03-01T13:00:00.999+01:00".parse().unwrap();
        assert_eq!(t.to_string(), "2026-03-01T12:00:00Z");
    }
}
