//! Points in time as people write them: an instant, a day, or a length of time from now.

use std::str::FromStr;
use std::time::Duration;

use app_tokens::Timestamp;
use app_tokens::error::OutOfCalendar;
use app_tokens::record::Expires;
pub use app_tokens::shapes::{NotAPeriod, Period};

/// A point in time: an instant (RFC 3339), the beginning of a day in UTC (`2026-12-31`), or a
/// length of time from now (`90 days`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// This instant.
    Instant(Timestamp),
    /// This far from now, or ago.
    Away(Duration),
}

impl When {
    /// Reads it as a time ahead. `None` if that is past the calendar's end.
    pub fn ahead_of(self, now: Timestamp) -> Option<Timestamp> {
        match self {
            When::Instant(at) => Some(at),
            When::Away(period) => now.checked_add(period),
        }
    }

    /// Reads it as a time behind.
    pub fn before(self, now: Timestamp) -> Timestamp {
        match self {
            When::Instant(at) => at,
            When::Away(period) => now.saturating_sub(period),
        }
    }
}

impl FromStr for When {
    type Err = String;
    fn from_str(text: &str) -> Result<When, String> {
        let instant = text.parse().or_else(|_: OutOfCalendar| format!("{text}T00:00:00Z").parse());
        if let Ok(at) = instant {
            return Ok(When::Instant(at));
        }
        let Period(period) = text.parse().map_err(|error: NotAPeriod| {
            format!("not an instant (RFC 3339) or a day (2026-12-31), and {error}")
        })?;
        Ok(When::Away(period))
    }
}

/// The end of a token: [`When`], or the word `never`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It ends at this time.
    At(When),
    /// It has no end.
    Never,
}

impl End {
    /// Returns the end as seen from `now`. `None` if it is past the calendar's end.
    pub fn seen_from(self, now: Timestamp) -> Option<Expires> {
        match self {
            End::At(when) => when.ahead_of(now).map(Expires::At),
            End::Never => Some(Expires::Never),
        }
    }
}

impl FromStr for End {
    type Err = String;
    fn from_str(text: &str) -> Result<End, String> {
        match text {
            "never" => Ok(End::Never),
            _ => text.parse().map(End::At),
        }
    }
}
