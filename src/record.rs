//! The stored row, [`TokenRecord`], and its [`Status`] at a given instant: the only rule of validity.

use std::fmt;
use std::net::IpAddr;

use crate::access::Access;
use crate::digest::Digest;
use crate::key::{KeyId, Seal};
use crate::text::{Label, Operator, Owner, Reason};
use crate::timestamp::Timestamp;
use crate::token::TokenId;

mod actor;
mod expires;
mod status;

pub use actor::Actor;
pub use expires::Expires;
pub(crate) use status::SealCheck;
pub use status::{CLOCK_TOLERANCE, Status, StatusUnclear};

/// Everything that is kept of one token. It never holds the secret.
///
/// Made from [`RecordParts`] and taken apart into them; what lies between is free to change.
#[derive(Clone, PartialEq, Eq)]
#[repr(C)] // In this order: what every authentication reads comes first, and so fewer lines of memory are waited for.
pub struct TokenRecord {
    digest: Digest,
    created_at: Timestamp,
    expires: Expires,
    rare: Option<Box<Rare>>,
    last_use: Option<Box<LastUse>>,
    access: Access,
    id: TokenId,
    owner: Owner,
    label: Label,
    revision: u64,
    key_id: KeyId,
    seal: Option<Seal>,
}

/// What few records have: apart, so that the others need no room for it.
#[derive(Clone, Default, PartialEq, Eq)]
struct Rare {
    issued_by: Option<Operator>,
    /// `None` where it is the record's own id.
    family: Option<TokenId>,
    successor: Option<TokenId>,
    derived_from: Option<TokenId>,
    revocation: Option<Revocation>,
}

/// A [`TokenRecord`] taken apart, for stores.
///
/// A field that is added here breaks every store that builds or takes apart a record, and that is meant: a
/// store that forgot a field would lose it. Destructure without `..` to hear of it from the compiler.
#[derive(Clone, PartialEq, Eq)]
pub struct RecordParts {
    /// The public half of the token's text; the key of the row.
    pub id: TokenId,
    /// What is kept instead of the secret.
    pub digest: Digest,
    /// Whose token it is.
    pub owner: Owner,
    /// What its owner calls it.
    pub label: Label,
    /// What it may do.
    pub access: Access,
    /// The operator who issued it for its owner; `None` where that was himself.
    pub issued_by: Option<Operator>,
    /// When it was issued.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires: Expires,
    /// The id of the first token of its line of rotations; its own if it is that.
    pub family: TokenId,
    /// The token that superseded it.
    pub successor: Option<TokenId>,
    /// The family of the token under which it was issued.
    pub derived_from: Option<TokenId>,
    /// When, why and by whom it was revoked.
    pub revocation: Option<Revocation>,
    /// When, and where policy says so from where, it was last used, so far as that has been written.
    pub last_use: Option<LastUse>,
    /// Counts the changes; at most [`TokenRecord::MAX_REVISION`].
    pub revision: u64,
    /// The key of the ring under which it is sealed.
    pub key_id: KeyId,
    /// The seal; wiped by a revocation.
    pub seal: Option<Seal>,
}

impl TokenRecord {
    /// The greatest revision: 2^63 - 1. A row that has reached it can only be revoked.
    pub const MAX_REVISION: u64 = i64::MAX as u64;

    /// Puts a record together.
    pub fn from_parts(parts: RecordParts) -> TokenRecord {
        let rare = Rare {
            issued_by: parts.issued_by,
            family: (parts.family != parts.id).then_some(parts.family),
            successor: parts.successor,
            derived_from: parts.derived_from,
            revocation: parts.revocation,
        };
        TokenRecord {
            id: parts.id,
            digest: parts.digest,
            owner: parts.owner,
            label: parts.label,
            access: parts.access,
            created_at: parts.created_at,
            expires: parts.expires,
            revision: parts.revision,
            key_id: parts.key_id,
            seal: parts.seal,
            last_use: parts.last_use.map(Box::new),
            rare: (rare != Rare::default()).then(|| Box::new(rare)),
        }
    }

    /// Takes it apart.
    pub fn into_parts(self) -> RecordParts {
        let rare = self.rare.map(|rare| *rare).unwrap_or_default();
        RecordParts {
            id: self.id,
            digest: self.digest,
            owner: self.owner,
            label: self.label,
            access: self.access,
            issued_by: rare.issued_by,
            created_at: self.created_at,
            expires: self.expires,
            family: rare.family.unwrap_or(self.id),
            successor: rare.successor,
            derived_from: rare.derived_from,
            revocation: rare.revocation,
            last_use: self.last_use.map(|last_use| *last_use),
            revision: self.revision,
            key_id: self.key_id,
            seal: self.seal,
        }
    }

    /// The record with some parts changed.
    pub(crate) fn changed(self, change: impl FnOnce(&mut RecordParts)) -> TokenRecord {
        let mut parts = self.into_parts();
        change(&mut parts);
        TokenRecord::from_parts(parts)
    }

    /// The public half of the token's text.
    pub fn id(&self) -> TokenId {
        self.id
    }

    /// What is kept instead of the secret.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Whose token it is.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// What its owner calls it.
    pub fn label(&self) -> &Label {
        &self.label
    }

    /// What it may do.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// The operator who issued it for its owner.
    pub fn issued_by(&self) -> Option<&Operator> {
        self.rare()?.issued_by.as_ref()
    }

    /// When it was issued.
    pub fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// When it ends.
    pub fn expires(&self) -> Expires {
        self.expires
    }

    /// The id of the first token of its line of rotations.
    pub fn family(&self) -> TokenId {
        self.rare().and_then(|rare| rare.family).unwrap_or(self.id)
    }

    /// The token that superseded it.
    pub fn successor(&self) -> Option<TokenId> {
        self.rare()?.successor
    }

    /// The family of the token under which it was issued.
    pub fn derived_from(&self) -> Option<TokenId> {
        self.rare()?.derived_from
    }

    /// When, why and by whom it was revoked.
    pub fn revocation(&self) -> Option<&Revocation> {
        self.rare()?.revocation.as_ref()
    }

    /// When it was last used, so far as that has been written.
    pub fn last_use(&self) -> Option<&LastUse> {
        self.last_use.as_deref()
    }

    /// Counts the changes.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The key of the ring under which it is sealed.
    pub fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// The seal.
    pub fn seal(&self) -> Option<&Seal> {
        self.seal.as_ref()
    }

    fn rare(&self) -> Option<&Rare> {
        self.rare.as_deref()
    }
}

/// Without the digest and the seal: nothing that a log should not have.
impl fmt::Debug for TokenRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.clone().into_parts(), f)
    }
}

impl fmt::Debug for RecordParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenRecord")
            .field("id", &self.id)
            .field("owner", &self.owner)
            .field("label", &self.label)
            .field("access", &self.access)
            .field("issued_by", &self.issued_by)
            .field("created_at", &self.created_at)
            .field("expires", &self.expires)
            .field("family", &self.family)
            .field("successor", &self.successor)
            .field("derived_from", &self.derived_from)
            .field("revocation", &self.revocation)
            .field("last_use", &self.last_use)
            .field("revision", &self.revision)
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

/// When, why and by whom a token was revoked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Revocation {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: Reason,
    /// By whom.
    pub by: Actor,
}

/// A use of a token.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LastUse {
    /// When.
    pub at: Timestamp,
    /// From which address, where policy says that it is kept.
    pub address: Option<IpAddr>,
    /// By which program, as it named itself, where policy says that it is kept.
    pub client: Option<Box<str>>,
}

#[cfg(test)]
pub(crate) mod tests;
