//! Why a policy is refused: [`PolicyError`].

use crate::token::InvalidPrefix;

/// Why a policy was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The prefix is none.
    #[error(transparent)]
    Prefix(#[from] InvalidPrefix),
    /// The realm is none.
    #[error("a realm has 1 to 128 printable ASCII characters, without \" and \\")]
    Realm,
    /// Something is zero that can't be.
    #[error("the {0} must not be zero")]
    Zero(&'static str),
    /// A default is longer than the longest.
    #[error("the {0} is longer than the maximum")]
    PastMaximum(&'static str),
    /// There is a longest life, so nothing can live for ever.
    #[error("tokens can't be never-expiring where there is a maximum life")]
    NeverWithMaximum,
    /// A scope includes another, but not all that this includes.
    #[error(
        "the scope {including} includes one that includes {scope}, so it must include {scope}, too"
    )]
    ScopeLeftOut {
        /// What is left out.
        scope: &'static str,
        /// Where it is.
        including: &'static str,
    },
    /// Under a day, weekends and flush intervals would end tokens that are in use.
    #[error("an idle time-out is a day or more")]
    IdleTooShort,
}
