//! Points in time as people write them: an instant, a day, or a length of time from now.

use std::str::FromStr;
use std::time::Duration;

use app_tokens::record::Expires;
pub use app_tokens::shapes::{NotAPeriod, Period};
use app_tokens::{OutOfCalendar, Timestamp};

/// A point in time: an instant (RFC 3339), the beginning of a day in UTC (`2026-12-31`), or so far
/// from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// This instant.
    Instant(Timestamp),
    /// So far from now.
    Away(Duration),
}

impl When {
    /// Where it is looked at as lying ahead: nothing past the calendar's end.
    pub fn ahead_of(self, now: Timestamp) -> Option<Timestamp> {
        match self {
            When::Instant(at) => Some(at),
            When::Away(period) => now.checked_add(period),
        }
    }

    /// Where it is looked at as lying behind.
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
            format!("neither an instant (RFC 3339) nor a day (2026-12-31), and {error}")
        })?;
        Ok(When::Away(period))
    }
}

/// When a token is to end: [`When`], or `never` by that word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It ends then.
    At(When),
    /// It has no end.
    Never,
}

impl End {
    /// Nothing past the calendar's end.
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
