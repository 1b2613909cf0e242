//! When a token ends: [`Expires`].

use std::fmt;
use std::str::FromStr;

use crate::timestamp::{OutOfCalendar, Timestamp};

/// When a token ends. It prints as an instant by RFC 3339 or as `never`, and parses from that.
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

impl fmt::Display for Expires {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expires::At(at) => at.fmt(f),
            Expires::Never => f.write_str("never"),
        }
    }
}

impl FromStr for Expires {
    type Err = OutOfCalendar;

    fn from_str(text: &str) -> Result<Expires, OutOfCalendar> {
        if text == "never" { Ok(Expires::Never) } else { text.parse().map(Expires::At) }
    }
}
