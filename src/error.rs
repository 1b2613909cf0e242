//! What can go wrong: a token is *not ours*, *denied* (one face, the reason inside) or the engine *failed*.

use std::time::Duration;

use crate::key::KeyId;
use crate::random::RandomSourceFailed;
use crate::record::{Status, StatusUnclear};
use crate::store::{Certainty, StoreError};
use crate::text::InvalidText;
use crate::token::{ParseError, TokenId};

/// Why a presented text did not authenticate.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The text has not the form of our tokens: it may be a password, and the host may try it as one.
    #[error("not a token of this service: {0}")]
    NotOurs(ParseError),
    /// It has our form and is no good: HTTP 401. It must not be tried as anything else.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// It can't be told: HTTP 503. Clients keep the token.
    #[error(transparent)]
    Failed(#[from] Failed),
}

/// A text with our form that is no good. It looks the same whatever the reason; the reason is for the host's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token is not valid")]
pub struct Denied {
    reason: DenialReason,
    id: Option<TokenId>,
}

impl Denied {
    pub(crate) fn new(reason: DenialReason, id: Option<TokenId>) -> Denied {
        Denied { reason, id }
    }

    /// Why: for logs, never for the client.
    pub fn reason(&self) -> DenialReason {
        self.reason
    }

    /// The id in the text, unless that was mistyped.
    pub fn id(&self) -> Option<TokenId> {
        self.id
    }
}

/// Why a token was denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DenialReason {
    /// The form is right and the checksum is not.
    Mistyped,
    /// There is no token with this id.
    Unknown,
    /// There is one, with another secret.
    WrongSecret,
    /// It was revoked.
    Revoked,
    /// Its row is not as the engine wrote it: somebody changed the database.
    Tampered,
    /// A rotation replaced it, and the overlap is over.
    Superseded,
    /// Its time is over.
    Expired,
    /// It was not used for longer than the idle time-out.
    Idle,
    /// It is good, and somebody else's than the host said.
    OtherOwner,
    /// It is good, and the host lets its owner in no more.
    OwnerTurnedAway,
}

impl DenialReason {
    /// `None` for the one status that is no reason.
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

/// The engine can't do its work: HTTP 503, never 401.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failed {
    /// The store failed, or can't say whether it did what it was told.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The random source failed.
    #[error(transparent)]
    Random(#[from] RandomSourceFailed),
    /// A key is missing, or the clock is wrong.
    #[error(transparent)]
    Unclear(#[from] StatusUnclear),
    /// The store has a living row under a key that the ring lacks, so nothing is issued beside it: is the key file the right one?
    /// Bring the key back, or revoke what is sealed under it.
    #[error(
        "token {id} is sealed under key {key_id}, which the key ring lacks: bring that key back, or revoke the tokens under it"
    )]
    OrphanRow {
        /// One such token.
        id: TokenId,
        /// The key.
        key_id: KeyId,
    },
    /// The policy has an idle time-out and nobody writes the last use: tokens in use would be denied.
    #[error("the policy has an idle time-out, but no usage flusher is attached")]
    NoFlusher,
    /// A row that was good a moment ago is not as the engine wrote it.
    #[error("a token's row is not as it was written")]
    NotIntact,
    /// The ids that were drawn were all taken: the random source repeats itself.
    #[error("no free token id was drawn: the random source repeats itself")]
    NoFreeId,
}

impl Failed {
    /// Whether what failed may be done all the same.
    pub(crate) fn may_be_done(&self) -> bool {
        matches!(self, Failed::Store(error) if error.certainty() == Certainty::Unknown)
    }
}

/// A token is good and may not do this: HTTP 403. Clients keep the token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token's access is not enough for this{}", wanted_scope.as_deref().map(|scope| format!(": it needs {scope}")).unwrap_or_default())]
pub struct Forbidden {
    wanted_scope: Option<Box<str>>,
}

impl Forbidden {
    pub(crate) fn new(wanted_scope: Option<&str>) -> Forbidden {
        Forbidden { wanted_scope: wanted_scope.map(Into::into) }
    }

    /// The scope to ask for, as RFC 6750 3.1 has it in the challenge.
    pub fn wanted_scope(&self) -> Option<&str> {
        self.wanted_scope.as_deref()
    }
}

/// Why no token was issued.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// The owner, label, operator or access is no good.
    #[error(transparent)]
    Invalid(#[from] InvalidText),
    /// The life is no good.
    #[error(transparent)]
    Life(#[from] LifeError),
    /// It would be issued under a token that may not do so much.
    #[error("the token may not do more than the one under which it is issued")]
    MoreAccess,
    /// It would be issued under a token that was itself issued under another.
    #[error("a token that was issued under another can't have any under itself")]
    NotUnderThis,
    /// It would belong to somebody else than the token under which it is issued.
    #[error("the token would belong to somebody else than the one under which it is issued")]
    OtherOwner,
    /// The token under which it would be issued has ended, or was rotated or changed, since it authenticated.
    #[error("the token under which this one would be issued has changed")]
    ParentChanged,
    /// The owner has as many live tokens as he may.
    #[error("there are {limit} tokens already, which is the limit: revoke one first")]
    LimitReached {
        /// How many.
        limit: u32,
    },
    /// The owner has a live token with that label.
    #[error("there is another token with that label")]
    LabelTaken,
    /// The engine can't do its work. If the failure is [`Certainty::Unknown`](crate::store::Certainty), a token that nobody holds may be
    /// in the list.
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

/// Why a token can't end when it was asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LifeError {
    /// A life of less than a second, or an end that has passed.
    #[error("the token would end as soon as it is made")]
    NoLife,
    /// A life past the policy's maximum, or past the end of the token under which it is issued.
    #[error("the token may live for {} seconds at most", max.as_secs())]
    TooLong {
        /// The longest life.
        max: Duration,
    },
    /// An end after the year 9999.
    #[error("the token would end after the year 9999")]
    PastCalendar,
    /// The policy doesn't allow tokens that never expire.
    #[error("the token must have an end")]
    NeverNotAllowed,
}

/// Why a token was not changed or rotated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// There is no such token, or it isn't this owner's: the two look the same.
    #[error("there is no such token")]
    Unknown,
    /// It doesn't authenticate any more, so there is nothing to change.
    #[error("the token is {0}")]
    NotActive(Status),
    /// The label, access or operator is no good.
    #[error(transparent)]
    Invalid(#[from] InvalidText),
    /// It would do more than now. Issue another instead.
    #[error("the token would do more than it does now")]
    MoreAccess,
    /// The token and its unused successor were narrowed, neither to a part of the other: say what the new one may do, within both.
    #[error("the token and its unused successor were narrowed apart: say what the new one may do")]
    NarrowedApart,
    /// The life is no good.
    #[error(transparent)]
    Life(#[from] LifeError),
    /// The old token would live on for longer than the policy allows.
    #[error("the old token may live on for {} seconds at most", max.as_secs())]
    OverlapTooLong {
        /// The longest overlap.
        max: Duration,
    },
    /// It was issued under another token, and would outlive that. Issue another instead.
    #[error("a token that was issued under another can't be given a later end")]
    Derived,
    /// The owner has another live token with that label.
    #[error("there is another token with that label")]
    LabelTaken,
    /// It was rotated already, and its successor is in use or has changed.
    #[error("the token was rotated already")]
    Rotated,
    /// Somebody else changed it at the same time.
    #[error("the token was changed by somebody else meanwhile: look again")]
    Conflict,
    /// The engine can't do its work.
    #[error(transparent)]
    Failed(#[from] Failed),
}

impl From<StoreError> for ChangeError {
    fn from(error: StoreError) -> ChangeError {
        ChangeError::Failed(error.into())
    }
}

/// Why an act on a token was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManageError {
    /// There is no such token, or it isn't this owner's: the two look the same.
    #[error("there is no such token")]
    Unknown,
    /// The operator's name is no good.
    #[error(transparent)]
    Invalid(#[from] InvalidText),
    /// The key that was called lost is in the ring: its rows can be checked, so nothing needs to be trusted.
    #[error("key {0} is in the ring and not lost: reseal as usual")]
    KeyNotLost(KeyId),
    /// The engine can't do its work.
    #[error(transparent)]
    Failed(#[from] Failed),
}

/// Why a key can't be taken out of the ring.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RetireError {
    /// It is the one that seals.
    #[error("the key is the active one: make another active first")]
    Active,
    /// It seals rows that aren't revoked: they would all fail.
    #[error(
        "the key still seals {rows} rows: reseal first, and revoke those that its report calls tampered"
    )]
    InUse {
        /// How many.
        rows: u64,
    },
    /// The engine can't do its work.
    #[error(transparent)]
    Failed(#[from] Failed),
}

impl From<StoreError> for ManageError {
    fn from(error: StoreError) -> ManageError {
        ManageError::Failed(error.into())
    }
}
