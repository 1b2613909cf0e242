//! When a token ends ([`Expires`]), and when it is asked to end ([`Lifetime`]).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::timestamp::{OutOfCalendar, Timestamp};

/// When a token ends. It prints as an instant by RFC 3339 or as `never`, and parses from that.
///
/// ```
/// use app_tokens::record::Expires;
/// assert_eq!("never".parse(), Ok(Expires::Never));
/// let end: Expires = "2026-03-01T12:00:00Z".parse()?;
/// assert!("2026-03-01".parse::<Expires>().is_err(), "at which time of that day?");
/// # Ok::<(), app_tokens::record::InvalidExpires>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Expires {
    /// Valid before this instant, and no longer valid at it.
    At(Timestamp),
    /// Never expires.
    Never,
}

impl Expires {
    /// Returns whether the end has come at `now`. A token is valid while `now < expires`.
    pub fn has_come(self, now: Timestamp) -> bool {
        match self {
            Expires::At(at) => now >= at,
            Expires::Never => false,
        }
    }

    /// Returns whether this end is later than the other. [`Expires::Never`] is later than any
    /// instant.
    pub fn is_later_than(self, other: Expires) -> bool {
        match (self, other) {
            (Expires::At(this), Expires::At(other)) => this > other,
            (Expires::Never, other) => other != Expires::Never,
            (Expires::At(_), Expires::Never) => false,
        }
    }

    /// Returns the instant; `None` for [`Expires::Never`].
    pub fn at(self) -> Option<Timestamp> {
        match self {
            Expires::At(at) => Some(at),
            Expires::Never => None,
        }
    }
}

/// When a token is asked to end. A `Duration`, a [`Timestamp`] or an [`Expires`] converts into it.
///
/// ```
/// use std::time::Duration;
/// use app_tokens::Rotation;
/// use app_tokens::record::Expires;
/// let for_a_day = Rotation::new().expires(Duration::from_secs(86_400));
/// let for_ever = Rotation::new().expires(Expires::Never);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// It ends after this time, counted from the call by the authority's clock. Fractions of a
    /// second are cut.
    For(Duration),
    /// It ends at this instant.
    Until(Timestamp),
    /// It never ends.
    Forever,
}

impl Lifetime {
    /// Returns the end, counted from `now`. `None` if it is past the calendar's end. Pure.
    pub(crate) fn end(self, now: Timestamp) -> Option<Expires> {
        match self {
            Lifetime::For(life) => now.checked_add(life).map(Expires::At),
            Lifetime::Until(end) => Some(Expires::At(end)),
            Lifetime::Forever => Some(Expires::Never),
        }
    }
}

impl From<Duration> for Lifetime {
    fn from(life: Duration) -> Lifetime {
        Lifetime::For(life)
    }
}

impl From<Timestamp> for Lifetime {
    fn from(end: Timestamp) -> Lifetime {
        Lifetime::Until(end)
    }
}

impl From<Expires> for Lifetime {
    fn from(end: Expires) -> Lifetime {
        match end {
            Expires::At(end) => Lifetime::Until(end),
            Expires::Never => Lifetime::Forever,
        }
    }
}

impl fmt::Display for Expires {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expires::At(at) => at.fmt(f),
            Expires::Never => f.write_str("never"),
        }
    }
}

impl FromStr for Expires {
    type Err = InvalidExpires;

    fn from_str(text: &str) -> Result<Expires, InvalidExpires> {
        match text {
            "never" => Ok(Expires::Never),
            _ => text.parse().map(Expires::At).map_err(InvalidExpires),
        }
    }
}

/// The text is no end: an instant by RFC 3339, or `never`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}, or `never`")]
pub struct InvalidExpires(
    /// Why it is no instant.
    pub OutOfCalendar,
);
