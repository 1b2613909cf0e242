//! Why a policy was refused: [`PolicyError`].

use crate::token::{InvalidPrefix, Prefix};

/// Why a policy was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The prefix is malformed.
    #[error(transparent)]
    Prefix(#[from] InvalidPrefix),
    /// A former prefix is accepted, but the realm is not named.
    ///
    /// Unless it is named, the realm is the prefix. So it would change with the prefix, and every
    /// row that is sealed already would count as tampered with.
    #[error(
        "the policy needs a realm before it accepts a former prefix; \
         call `with_realm(\"{former}\")` if rows were sealed under the prefix {former} \
         without a named realm, or `with_realm(\"{prefix}\")` if they were sealed under {prefix}"
    )]
    RealmNotNamed {
        /// The prefix of new tokens.
        prefix: Prefix,
        /// The former prefix.
        former: Prefix,
    },
    /// The realm is malformed.
    #[error(
        "not a realm; use 1 to 128 printable ASCII characters, not only spaces, without \" and \\"
    )]
    Realm,
    /// A duration or a limit is zero, or under a second, but must not be.
    #[error("the {0} must not be zero; a length of time must be at least a second")]
    Zero(&'static str),
    /// A default is longer than its maximum.
    #[error("the {0} is longer than its maximum; shorten it, or set a longer maximum first")]
    PastMaximum(&'static str),
    /// There is a maximum life, so no token may live for ever.
    #[error(
        "a policy with a maximum life can't allow tokens that never expire; drop one of the two"
    )]
    NeverWithMaximum,
    /// A scope implies a second one, but not all that this implies.
    #[error(
        "the scope {implying} implies one that implies {scope}, so it must imply {scope}, too; \
         name {implying} among the scopes that imply {scope}"
    )]
    ScopeLeftOut {
        /// The scope that is not implied.
        scope: Box<str>,
        /// The scope that must imply it.
        implying: Box<str>,
    },
    /// The idle time-out is under a day. Tokens in daily use would go idle between two writes of
    /// their uses.
    #[error("the idle time-out is under a day; make it a day or more")]
    IdleTooShort,
}
