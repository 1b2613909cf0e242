//! Lengths of time as people write them, and points in time that may be written so, too.

use std::str::FromStr;
use std::time::Duration;

use app_tokens::record::Expires;
use app_tokens::{OutOfCalendar, Timestamp};
use serde::Deserialize;

/// A length of time: `90 days`, `12h`, `30 s`. A month is none, since no two are alike; a year has 365 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Period(pub Duration);

/// The text is no length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAPeriod;

impl std::fmt::Display for NotAPeriod {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(
            "not a length of time: a number and seconds, minutes, hours, days, weeks or years, as in \"90 days\" or \"12h\"",
        )
    }
}

impl std::error::Error for NotAPeriod {}

impl FromStr for Period {
    type Err = NotAPeriod;
    fn from_str(text: &str) -> Result<Period, NotAPeriod> {
        let text = text.trim();
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let seconds: u64 = match unit.trim_start() {
            "s" | "second" | "seconds" => 1,
            "m" | "min" | "minute" | "minutes" => 60,
            "h" | "hour" | "hours" => 60 * 60,
            "d" | "day" | "days" => 24 * 60 * 60,
            "w" | "week" | "weeks" => 7 * 24 * 60 * 60,
            "y" | "year" | "years" => 365 * 24 * 60 * 60,
            _ => return Err(NotAPeriod),
        };
        let number: u64 = number.parse().map_err(|_| NotAPeriod)?;
        number.checked_mul(seconds).map(Duration::from_secs).map(Period).ok_or(NotAPeriod)
    }
}

impl TryFrom<String> for Period {
    type Error = NotAPeriod;
    fn try_from(text: String) -> Result<Period, NotAPeriod> {
        text.parse()
    }
}

/// A point in time: an instant (RFC 3339), the beginning of a day in UTC (`2026-12-31`), or so far from now.
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
