//! When a token ends: [`Expires`].

use std::fmt;

use crate::timestamp::Timestamp;

/// When a token ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Expires {
    /// It is valid before this instant, and no longer valid at it.
    At(Timestamp),
    /// It never expires.
    Never,
}

impl Expires {
    /// Returns whether the end has come at `now`: a token is valid while `now < expires`.
    pub fn has_come(self, now: Timestamp) -> bool {
        match self {
            Expires::At(at) => now >= at,
            Expires::Never => false,
        }
    }

    /// Returns whether this is later than the other; [`Expires::Never`] is later than any instant.
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
