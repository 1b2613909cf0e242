//! [`StoreError`]: a failure, and whether anything was changed.

use std::error::Error;
use std::fmt;

/// A store could not do what it was told, or can't say whether it did.
///
/// Both are failures, never denials: the host answers 503 and nobody's client forgets a password.
#[derive(Debug)]
pub struct StoreError {
    certainty: Certainty,
    source: Box<dyn Error + Send + Sync>,
}

/// What a failing store knows of what it was told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// Nothing was changed.
    NotDone,
    /// It may have been done or not, or be done yet: the answer was lost.
    Unknown,
}

impl StoreError {
    /// Nothing was changed. Say so only where it is certain.
    pub fn not_done(source: impl Into<Box<dyn Error + Send + Sync>>) -> StoreError {
        StoreError { certainty: Certainty::NotDone, source: source.into() }
    }

    /// It may have been done or not.
    pub fn unknown(source: impl Into<Box<dyn Error + Send + Sync>>) -> StoreError {
        StoreError { certainty: Certainty::Unknown, source: source.into() }
    }

    /// Whether it is certain that nothing was changed.
    pub fn certainty(&self) -> Certainty {
        self.certainty
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.certainty {
            Certainty::NotDone => write!(f, "the token store failed: {}", self.source),
            Certainty::Unknown => {
                write!(f, "the token store can't say whether it is done: {}", self.source)
            }
        }
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.source()
    }
}
