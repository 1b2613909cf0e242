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
    /// A scope implies a second one, but not all that this implies.
    #[error(
        "the scope {implying} implies one that implies {scope}, so it must imply {scope}, too; \
         name it in `implied_by` of {scope}"
    )]
    ScopeLeftOut {
        /// The scope that is not implied.
        scope: &'static str,
        /// The scope that must imply it.
        implying: &'static str,
    },
    /// Under a day, weekends and flush intervals would end tokens that are in use.
    #[error("an idle time-out is a day or more")]
    IdleTooShort,
}
