//! [`StoreError`]: why a store failed, and whether it changed anything.

use std::error::Error;
use std::fmt;

/// Reports that a store failed, and whether it changed anything.
///
/// A failure is never a denial. The host answers 503, so clients keep their tokens.
///
/// `Display` shows the text of the source: for a log, not for a client.
///
/// ```
/// use app_tokens::store::{Certainty, StoreError};
/// let refused = StoreError::not_done("the disk is full");
/// assert_eq!(refused.certainty(), Certainty::NotDone);
/// let lost = StoreError::unknown("the connection was lost during COMMIT");
/// assert_eq!(lost.certainty(), Certainty::Unknown);
/// ```
#[derive(Debug)]
pub struct StoreError {
    certainty: Certainty,
    source: Box<dyn Error + Send + Sync>,
}

/// Says whether a failed call changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// Nothing was changed, and nothing will be. The call may be made again.
    NotDone,
    /// The answer was lost. The change was made, was not made, or may still be made.
    Unknown,
}

impl StoreError {
    /// Makes the error of a call that changed nothing.
    ///
    /// *Dangerous if that is not certain:* the engine reports the change as not made. Then a token
    /// may be in force that nobody knows of. If in doubt, use [`StoreError::unknown`].
    pub fn not_done(source: impl Into<Box<dyn Error + Send + Sync>>) -> StoreError {
        StoreError { certainty: Certainty::NotDone, source: source.into() }
    }

    /// Makes the error of a call that may have changed something, now or later.
    ///
    /// The engine then looks up what happened, if a look-up can tell.
    pub fn unknown(source: impl Into<Box<dyn Error + Send + Sync>>) -> StoreError {
        StoreError { certainty: Certainty::Unknown, source: source.into() }
    }

    /// Makes the error of a call in parts. What an earlier part changed stays changed. So after
    /// that, an error can't say that nothing was done.
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(crate) fn after_part(self, is_partly_done: bool) -> StoreError {
        if is_partly_done { StoreError::unknown(self) } else { self }
    }

    /// Returns whether it is certain that nothing was changed.
    pub fn certainty(&self) -> Certainty {
        self.certainty
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.certainty {
            Certainty::NotDone => write!(f, "the token store failed: {}", self.source),
            Certainty::Unknown => {
                write!(
                    f,
                    "the token store can't say whether the change was made; \
                     look before you try again: {}",
                    self.source
                )
            }
        }
    }
}

impl Error for StoreError {
    // The source itself is part of `Display`. A log that prints the chain shows it once this way.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.source()
    }
}
