//! Errors. A text is *not ours* or *denied*, a caller is *forbidden*, or the engine *failed*.
//!
//! | | HTTP | meaning |
//! |---|---|---|
//! | [`AuthError::NotOurs`] | the host decides | the text does not have the form of our tokens |
//! | [`AuthError::Denied`] | 401 | it has our form, but is not a valid token |
//! | [`Forbidden`] | 403 | the token is valid, but may not do this |
//! | [`Failed`] | 503 | the engine can't tell; clients keep the token |

mod failed;

use std::fmt;
use std::time::Duration;

pub use self::failed::{Failed, OrphanRow};
pub use crate::access::Missing;
pub use crate::authority::SetupError;
pub use crate::digest::InvalidDigest;
use crate::key::KeyId;
pub use crate::key_ring::KeyRingError;
pub use crate::policy::PolicyError;
pub use crate::random::RandomSourceFailed;
use crate::record::Status;
use crate::store::StoreError;
pub use crate::text::{InvalidText, TextProblem};
pub use crate::timestamp::OutOfCalendar;
use crate::timestamp::Timestamp;
use crate::token::{ParseError, TokenId};

/// Why a presented text did not authenticate.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The text does not have the form of our tokens. The host may try it as a password.
    #[error("not a token of this service: {0}")]
    NotOurs(ParseError),
    /// The text has our form but is not a valid token: HTTP 401. Don't try it as anything else.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The engine can't tell whether the token is valid: HTTP 503. Clients keep the token.
    #[error(transparent)]
    Failed(#[from] Failed),
}

/// A denial: a text with our form that is not a valid token.
///
/// It prints the same whatever the reason, so that a client learns nothing from it. The reason is
/// for the host's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token is not valid")]
pub struct Denied {
    reason: DenialReason,
    id: Option<TokenId>,
}

impl Denied {
    /// Makes a denial. `id` is the id in the text; `None` if that was mistyped, since the id may be
    /// wrong.
    pub(crate) fn new(reason: DenialReason, id: Option<TokenId>) -> Denied {
        Denied { reason, id }
    }

    /// Returns the reason, for logs. Never send it to the client.
    pub fn reason(&self) -> DenialReason {
        self.reason
    }

    /// Returns the id in the text; `None` if the text was mistyped.
    pub fn id(&self) -> Option<TokenId> {
        self.id
    }
}

/// Why a token was denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DenialReason {
    /// The checksum is wrong, so the text was mistyped or made up.
    Mistyped,
    /// No token has this id.
    Unknown,
    /// A token has this id, but another secret.
    WrongSecret,
    /// The token was revoked.
    Revoked,
    /// The token's row is not as the engine wrote it, or can't be read. The database was changed by
    /// other means.
    Tampered,
    /// A rotation superseded the token, and the overlap is over.
    Superseded,
    /// The token has expired.
    Expired,
    /// The token was not used for longer than the idle time-out.
    Idle,
    /// The token is active, but belongs to another owner than the host named.
    OtherOwner,
    /// The token is active, but the host no longer admits its owner.
    OwnerTurnedAway,
}

impl DenialReason {
    /// Returns the reason in lower case with underscores: `mistyped`, `unknown`, `wrong_secret` and
    /// so on.
    pub fn as_str(self) -> &'static str {
        match self {
            DenialReason::Mistyped => "mistyped",
            DenialReason::Unknown => "unknown",
            DenialReason::WrongSecret => "wrong_secret",
            DenialReason::Revoked => "revoked",
            DenialReason::Tampered => "tampered",
            DenialReason::Superseded => "superseded",
            DenialReason::Expired => "expired",
            DenialReason::Idle => "idle",
            DenialReason::OtherOwner => "other_owner",
            DenialReason::OwnerTurnedAway => "owner_turned_away",
        }
    }

    /// Returns why a token with this status is denied; `None` for an active one.
    pub(crate) fn from_status(status: Status) -> Option<DenialReason> {
        match status {
            Status::Active => None,
            Status::Idle => Some(DenialReason::Idle),
            Status::Expired => Some(DenialReason::Expired),
            Status::Superseded => Some(DenialReason::Superseded),
            Status::Tampered => Some(DenialReason::Tampered),
            Status::Revoked => Some(DenialReason::Revoked),
        }
    }
}

/// An active token's access is not enough: HTTP 403. Clients keep the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forbidden {
    missing: Missing,
    wanted_scope: Option<Box<str>>,
}

impl Forbidden {
    /// Makes a refusal. The wanted scope is kept only if a scope is what is missing.
    pub(crate) fn new(missing: Missing, wanted_scope: Option<&str>) -> Forbidden {
        let wanted_scope = wanted_scope.filter(|_| missing == Missing::Scope).map(Into::into);
        Forbidden { missing, wanted_scope }
    }

    /// Returns what is missing: the first of network, scope and resource.
    pub fn missing(&self) -> Missing {
        self.missing
    }

    /// Returns the scope that is missing, for the challenge of RFC 6750, section 3.1.
    ///
    /// `None` if no scope is missing, or if only a token with all scopes would be enough.
    pub fn wanted_scope(&self) -> Option<&str> {
        self.wanted_scope.as_deref()
    }
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.missing, &self.wanted_scope) {
            (Missing::Network, _) => f.write_str("the token may not be used from this address"),
            (Missing::Scope, Some(scope)) => write!(f, "the token lacks the scope {scope}"),
            (Missing::Scope, None) => f.write_str("only a token with all scopes may do this"),
            (Missing::Resource, _) => f.write_str("the token may not be used for this resource"),
        }
    }
}

impl std::error::Error for Forbidden {}

/// Why no token was issued.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// The owner or the label is not valid.
    #[error(transparent)]
    Invalid(#[from] InvalidText),
    /// The life or the end is not allowed.
    #[error(transparent)]
    Life(#[from] LifeError),
    /// The token would do more than the one under which it is issued.
    #[error("the token would do more than the one under which it is issued; name less access")]
    MoreAccess,
    /// The token under which it would be issued was itself issued under another.
    #[error(
        "a token that was issued under another can't issue any itself; \
         issue it under that other token"
    )]
    NotUnderThis,
    /// It names attributes, but takes over those of the token under which it is issued.
    #[error("a token that is issued under another takes over its attributes; name none")]
    AttributesUnderToken,
    /// It would belong to another owner than the token under which it is issued.
    #[error(
        "the token would belong to another owner than the one under which it is issued; \
         name the same owner"
    )]
    OtherOwner,
    /// The token under which it would be issued has ended, or was rotated or changed meanwhile.
    #[error("the token under which this one would be issued has changed; authenticate it again")]
    ParentChanged,
    /// The owner has as many live tokens as the policy allows.
    #[error("the limit of {limit} tokens is reached; revoke one first")]
    LimitReached {
        /// The policy's limit.
        limit: u32,
    },
    /// The owner has a live token with that label, and the policy wants labels to be unique.
    #[error("another token has that label; choose a different one")]
    LabelTaken,
    /// The engine failed.
    ///
    /// If the store failed with [`Certainty::Unknown`](crate::store::Certainty::Unknown), there may
    /// be a token whose text nobody saw.
    #[error(transparent)]
    Failed(#[from] Failed),
}

impl From<StoreError> for IssueError {
    fn from(error: StoreError) -> IssueError {
        IssueError::Failed(error.into())
    }
}

impl From<StoreError> for AuthError {
    fn from(error: StoreError) -> AuthError {
        AuthError::Failed(error.into())
    }
}

/// Why a life or an end is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LifeError {
    /// The life is less than a second, or the end has passed.
    #[error("the token would expire as soon as it is made; choose a later end")]
    NoLife,
    /// The life is past the policy's maximum, or the end is past the parent token's.
    #[error("the token may live for at most {}; choose an earlier end", in_words(*max))]
    TooLong {
        /// The longest life.
        max: Duration,
    },
    /// The end is after the year 9999.
    #[error("the token would expire after the year 9999; choose an earlier end")]
    PastCalendar,
    /// The policy doesn't allow tokens that never expire.
    #[error("the policy does not allow tokens that never expire; choose an end")]
    NeverNotAllowed,
}

/// Why a token was not changed or rotated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// There is no such token, or it is another owner's. The two look the same.
    #[error("there is no such token")]
    Unknown,
    /// The token is not active, so nothing was changed.
    #[error("the token is {0}; only an active one can be changed")]
    NotActive(Status),
    /// The label is not valid.
    #[error(transparent)]
    Invalid(#[from] InvalidText),
    /// The token would do more than it does now. Issue another token instead.
    #[error("the token would do more than it does now; issue another token instead")]
    MoreAccess,
    /// The token and its unused successor were narrowed apart: each has access that the other
    /// lacks.
    ///
    /// Name an access that both include.
    #[error(
        "the token and its unused successor were narrowed, and each has access that the other \
         lacks; name an access that both include"
    )]
    NarrowedApart,
    /// The life or the end is not allowed.
    #[error(transparent)]
    Life(#[from] LifeError),
    /// The old token would live on for longer than the policy allows.
    #[error(
        "the old token may stay valid for at most {}; choose a shorter overlap",
        in_words(*max)
    )]
    OverlapTooLong {
        /// The longest overlap.
        max: Duration,
    },
    /// The token was issued under another, so it can't get a later end. Issue another token
    /// instead.
    #[error("a token that was issued under another can't get a later end; issue another instead")]
    Derived,
    /// The owner has another live token with that label, and the policy wants labels to be unique.
    #[error("another token has that label; choose a different one")]
    LabelTaken,
    /// An overlap was asked for in a rotation to less access, which has none.
    #[error("a rotation to less access can't have an overlap; ask for none")]
    OverlapWithLess,
    /// A superseded token of the line still lives, with the access and end that would be taken
    /// away.
    ///
    /// Call [`end_overlap`](crate::TokenAuthority::end_overlap) first, or wait until five minutes
    /// after its end. Until then a process whose clock is behind still accepts it.
    #[error(
        "a superseded token of the line is valid until {until}; call `end_overlap` first, or wait"
    )]
    Overlapping {
        /// When the last of them ends.
        until: Timestamp,
    },
    /// Another row of the line is damaged, and a repair could bring back what this takes away.
    ///
    /// Repair it, or revoke it by `revoke_matching`, which also ends the children of the line.
    #[error("the row of {0}, in the same line, is damaged; repair it, or revoke it by a filter")]
    DamagedRow(TokenId),
    /// The token was rotated already. Change its line's current token instead.
    ///
    /// If it was to be rotated again: its overlap is over, or its successor was used, has ended or
    /// has changed.
    #[error("the token was already rotated; use {current}, which replaced it")]
    Rotated {
        /// The current token of the line. If the line no longer has one, the token's successor.
        current: TokenId,
    },
    /// Another call changed the token at the same time. Read it again, and decide anew.
    #[error("another call changed the token at the same time; read it again, and decide anew")]
    Conflict,
    /// The engine failed.
    #[error(transparent)]
    Failed(#[from] Failed),
}

impl From<StoreError> for ChangeError {
    fn from(error: StoreError) -> ChangeError {
        ChangeError::Failed(error.into())
    }
}

/// Why tokens were not found, revoked, forgotten or resealed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManageError {
    /// There is no such token, or it is another owner's. The two look the same.
    #[error("there is no such token")]
    Unknown,
    /// The actor is the engine, or an owner whose filter names another. Nothing was revoked.
    #[error("this actor may not revoke by this filter; name an operator, or the filter's owner")]
    NotAllowed,
    /// The key that was named as lost is in the ring, so its rows can be checked. Reseal as usual.
    #[error("key {0} is in the key ring, so it is not lost; reseal as usual")]
    KeyNotLost(KeyId),
    /// The engine failed.
    #[error(transparent)]
    Failed(#[from] Failed),
}

/// Why a key can't be taken out of the ring.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RetireError {
    /// The key is the active one. Make another one active first.
    #[error("the key is the active one; make another one active first")]
    Active,
    /// The key seals unrevoked rows. Without it their tokens would all fail.
    ///
    /// Reseal first, and revoke what the report calls tampered.
    #[error(
        "the key still seals {rows} rows; \
         reseal first, and revoke the rows that the report calls tampered"
    )]
    InUse {
        /// How many rows it seals.
        rows: u64,
    },
    /// The engine failed.
    #[error(transparent)]
    Failed(#[from] Failed),
}

impl From<StoreError> for ManageError {
    fn from(error: StoreError) -> ManageError {
        ManageError::Failed(error.into())
    }
}

/// Writes a duration in its greatest unit. It rounds down, so that what it says is allowed.
pub(crate) fn in_words(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (count, unit) = match seconds {
        86_400.. => (seconds / 86_400, "day"),
        3600.. => (seconds / 3600, "hour"),
        60.. => (seconds / 60, "minute"),
        _ => (seconds, "second"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}
