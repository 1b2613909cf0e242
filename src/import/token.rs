//! A token of another system that is to be imported: [`ForeignToken`].

use super::ForeignSecret;
use crate::access::Access;
use crate::attributes::Attributes;
use crate::record::{Expires, LastUse};
use crate::text::{InvalidText, Label, Owner};
use crate::timestamp::Timestamp;
use crate::token::TokenId;

/// Describes a live token of another system. Import no other: not a session, not a token that was
/// revoked or has expired there.
///
/// What is wrong with the owner or the label is reported by
/// [`import`](crate::TokenAuthority::import).
#[derive(Debug)]
#[must_use = "no token exists until it is imported"]
pub struct ForeignToken {
    pub(crate) secret: ForeignSecret,
    pub(crate) owner: Result<Owner, InvalidText>,
    pub(crate) label: Result<Label, InvalidText>,
    pub(crate) access: Access,
    pub(crate) attributes: Attributes,
    pub(crate) created_at: Option<Timestamp>,
    pub(crate) expires: Expires,
    pub(crate) last_use: Option<Timestamp>,
}

impl ForeignToken {
    /// Describes a token of `owner`, this host's account id. The access is all that it may do here:
    /// never more than it could do there.
    pub fn new(
        secret: ForeignSecret,
        owner: impl TryInto<Owner, Error: Into<InvalidText>>,
        label: impl AsRef<str>,
        access: Access,
    ) -> ForeignToken {
        ForeignToken {
            secret,
            owner: owner.try_into().map_err(Into::into),
            label: Label::new(label),
            access,
            attributes: Attributes::new(),
            created_at: None,
            expires: Expires::Never,
            last_use: None,
        }
    }

    /// Sets the host's own facts about the token. One more is added: `imported`.
    pub fn attributes(self, attributes: Attributes) -> ForeignToken {
        ForeignToken { attributes, ..self }
    }

    /// Sets when the old system issued it. Unless it is set, or if it is in the future, it is now.
    pub fn created_at(self, created_at: Timestamp) -> ForeignToken {
        ForeignToken { created_at: Some(created_at), ..self }
    }

    /// Sets when it ends; unless it is set, never. An end that today's policy would not allow
    /// becomes the latest one that it allows.
    pub fn expires(self, expires: Expires) -> ForeignToken {
        ForeignToken { expires, ..self }
    }

    /// Sets when it was last used in the old system. Unless it is set, it counts as used at the
    /// import if the policy has an idle time-out, and as never used otherwise.
    pub fn last_used_at(self, at: Timestamp) -> ForeignToken {
        ForeignToken { last_use: Some(at), ..self }
    }

    pub(crate) fn last_use(&self, now: Timestamp) -> Option<LastUse> {
        self.last_use.map(|at| LastUse { at: at.min(now), address: None, client: None })
    }
}

/// What became of a token that was to be imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Imported {
    /// It is there now.
    Done(TokenId),
    /// It was there, live or ended. Nothing was changed.
    AlreadyThere(TokenId),
    /// Not imported: it was here, and was forgotten.
    Forgotten,
    /// Not imported: its look-up has no place left. See
    /// [`Import::max_candidates`](super::Import::max_candidates).
    TooManyCandidates,
    /// Not imported: this row can't be read, and may be this token, revoked. Repair it.
    DamagedRow(TokenId),
}

/// How far an import has come, for each scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportStatus {
    /// The scheme's name.
    pub scheme: Box<str>,
    /// How many live tokens still have what the old system kept: they were not used since.
    pub waiting: u64,
    /// How many live tokens have a digest of ours.
    pub taken_over: u64,
    /// How many have ended: revoked, superseded, expired, idle, tampered with, forgotten. Damaged
    /// rows are not counted.
    pub ended: u64,
    /// How many live tokens were imported under an import key or for a realm that this host lacks.
    /// No text finds them. Bring that key back.
    pub lost: u64,
    /// How many this host can't tell: it lacks a key of their rows, or a newer version wrote them.
    pub unclear: u64,
    /// How many candidates of a look-up find all of these rows, the ended ones too. With fewer, a
    /// text is not found, and a run may bring back a revoked token: see
    /// [`Import::reaches`](super::Import::reaches).
    pub candidates: u32,
}
