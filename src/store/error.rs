//! [`StoreError`]: a failure, and whether anything was changed.

use std::error::Error;
use std::fmt;

/// A failure of a store, and whether it changed anything.
///
/// It is never a denial: the host answers 503, and no client forgets its password.
#[derive(Debug)]
pub struct StoreError {
    certainty: Certainty,
    source: Box<dyn Error + Send + Sync>,
}

/// Whether a failed call changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// Nothing was changed.
    NotDone,
    /// The answer was lost: the change was made, was not, or may still be.
    Unknown,
}

impl StoreError {
    /// Makes the error of a call that changed nothing. Use it only if that is certain.
    pub fn not_done(source: impl Into<Box<dyn Error + Send + Sync>>) -> StoreError {
        StoreError { certainty: Certainty::NotDone, source: source.into() }
    }

    /// Makes the error of a call that may have changed something.
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
