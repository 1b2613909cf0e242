//! The facts of a stored row, [`TokenRecord`], and its [`Status`] at a given instant.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use crate::access::Access;
use crate::attributes::Attributes;
pub use crate::digest::Digest;
use crate::digest::Sha256Digest;
pub use crate::key::{KeyId, Seal};
use crate::text::{Label, Operator, Owner, Reason, clean_client};
use crate::timestamp::Timestamp;
use crate::token::TokenId;

mod actor;
mod expires;
mod imported;
mod status;

pub use actor::{Actor, InvalidActor};
pub use expires::{Expires, InvalidExpires, Lifetime};
pub(crate) use imported::ImportMark;
pub use status::{CLOCK_TOLERANCE, InvalidStatus, LiveAt, Status, StatusUnclear};
pub(crate) use status::{Newer, SealCheck};

/// Holds everything that is stored about one token. It never holds the secret.
///
/// It is built from [`RecordParts`] and taken apart into them; its inner layout may change.
#[derive(Clone, PartialEq, Eq)]
#[repr(C)] // What every authentication reads comes first, so that it touches fewer cache lines.
pub struct TokenRecord {
    /// The digest of scheme 1; [`Sha256Digest::OF_NO_TOKEN`] if [`Rare`] has another.
    sha_256: Sha256Digest,
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
    /// Whether it has a seal of version 1, and its HMAC. Any other seal is in [`Rare`].
    ///
    /// No `Option`: its tag would also tell readable rows from damaged ones. Each login would then
    /// read the cache line with the tag, and needs nothing else there.
    seal: (u8, [u8; 32]),
}

/// What few records have. It lies apart, so that most records are smaller.
#[derive(Clone, Default, PartialEq, Eq)]
struct Rare {
    attributes: Attributes,
    issued_by: Option<Operator>,
    /// `None` if it is the record's own id.
    family: Option<TokenId>,
    successor: Option<TokenId>,
    derived_from: Option<TokenId>,
    revocation: Option<Revocation>,
    digest_of_other_scheme: Option<Box<Digest>>,
    seal_of_other_version: Option<Seal>,
}

/// A [`TokenRecord`] taken apart, for stores.
///
/// Destructure it without `..`: a store that overlooks a field would lose it. A new field is meant
/// to break every store at compile time.
#[derive(Clone, PartialEq, Eq)]
pub struct RecordParts {
    /// The public part of the token's text. It identifies the row.
    pub id: TokenId,
    /// What is stored instead of the secret.
    pub digest: Digest,
    /// Whose token it is: the host's account id.
    pub owner: Owner,
    /// What its owner calls it.
    pub label: Label,
    /// What it may do.
    pub access: Access,
    /// The host's own facts about it.
    pub attributes: Attributes,
    /// The operator who issued it for its owner; `None` if the owner did.
    pub issued_by: Option<Operator>,
    /// When it was issued.
    pub created_at: Timestamp,
    /// When it expires.
    pub expires: Expires,
    /// The id of the first token of its line of rotations, possibly its own.
    pub family: TokenId,
    /// The token that superseded it; `None` if it was not rotated.
    pub successor: Option<TokenId>,
    /// The family of the token under which it was issued; `None` if under none.
    pub derived_from: Option<TokenId>,
    /// When, why and by whom it was revoked; `None` if it was not. Not sealed.
    pub revocation: Option<Revocation>,
    /// Its last use that was written to the store; `None` if there is none. Not sealed.
    pub last_use: Option<LastUse>,
    /// How many changes the row has seen, at most [`TokenRecord::MAX_REVISION`]. Not sealed.
    ///
    /// A last use is not counted.
    pub revision: u64,
    /// The key of the ring under which it is sealed.
    pub key_id: KeyId,
    /// The seal. A revocation clears it.
    pub seal: Option<Seal>,
}

impl TokenRecord {
    /// The greatest revision, 2^63 - 1. A row that has reached it can only be revoked.
    pub const MAX_REVISION: u64 = i64::MAX as u64;

    /// Builds a record from its parts.
    ///
    /// The client's name in the last use is cut to 200 characters. Control characters, line
    /// separators and bidirectional overrides are left out of it. It is not sealed, and a row that
    /// others wrote must not act on the terminal that shows it.
    pub fn from_parts(parts: RecordParts) -> TokenRecord {
        let seal = parts.seal.as_ref().and_then(Seal::v1).copied();
        let sha_256 = parts.digest.sha_256();
        let rare = Rare {
            attributes: parts.attributes,
            issued_by: parts.issued_by,
            family: (parts.family != parts.id).then_some(parts.family),
            successor: parts.successor,
            derived_from: parts.derived_from,
            revocation: parts.revocation,
            digest_of_other_scheme: sha_256.is_none().then(|| Box::new(parts.digest)),
            seal_of_other_version: parts.seal.filter(|_| seal.is_none()),
        };
        TokenRecord {
            id: parts.id,
            sha_256: sha_256.unwrap_or(Sha256Digest::OF_NO_TOKEN),
            owner: parts.owner,
            label: parts.label,
            access: parts.access,
            created_at: parts.created_at,
            expires: parts.expires,
            revision: parts.revision,
            key_id: parts.key_id,
            seal: seal.map_or((0, [0; 32]), |mac| (1, mac)),
            last_use: parts.last_use.map(|last_use| Box::new(last_use.cleaned())),
            // Most records have none of it, and then nothing is allocated.
            rare: (rare != Rare::default()).then(|| Box::new(rare)),
        }
    }

    /// Takes the record apart.
    pub fn into_parts(self) -> RecordParts {
        let seal_v1 = self.seal_v1().copied();
        let rare = self.rare.map(|rare| *rare).unwrap_or_default();
        RecordParts {
            id: self.id,
            digest: rare
                .digest_of_other_scheme
                .map_or_else(|| Digest::of_sha_256(self.sha_256), |other| *other),
            owner: self.owner,
            label: self.label,
            access: self.access,
            attributes: rare.attributes,
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
            seal: seal_v1.map(Seal::of_v1).or(rare.seal_of_other_version),
        }
    }

    /// Returns the record with some parts changed.
    pub(crate) fn changed(self, change: impl FnOnce(&mut RecordParts)) -> TokenRecord {
        let mut parts = self.into_parts();
        change(&mut parts);
        TokenRecord::from_parts(parts)
    }

    /// Returns the public part of the token's text.
    pub fn id(&self) -> TokenId {
        self.id
    }

    /// Returns what is stored instead of the secret.
    pub fn digest(&self) -> Digest {
        let other = self.digest_of_other_scheme().cloned();
        other.unwrap_or_else(|| Digest::of_sha_256(self.sha_256))
    }

    /// Returns the digest of scheme 1, without a copy. If the digest has another scheme, returns
    /// one that no token has.
    pub(crate) fn sha_256(&self) -> &Sha256Digest {
        &self.sha_256
    }

    /// Returns the digest if it has another scheme than 1.
    pub(crate) fn digest_of_other_scheme(&self) -> Option<&Digest> {
        self.rare()?.digest_of_other_scheme.as_deref()
    }

    /// Returns whose token it is.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Returns what its owner calls it.
    pub fn label(&self) -> &Label {
        &self.label
    }

    /// Returns what it may do.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Returns the host's own facts about it.
    pub fn attributes(&self) -> &Attributes {
        self.rare().map_or(Attributes::NONE, |rare| &rare.attributes)
    }

    /// Returns the operator who issued it for its owner; `None` if the owner did.
    pub fn issued_by(&self) -> Option<&Operator> {
        self.rare()?.issued_by.as_ref()
    }

    /// Returns when it was issued.
    pub fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// Returns when it expires.
    pub fn expires(&self) -> Expires {
        self.expires
    }

    /// Returns the id of the first token of its line of rotations.
    pub fn family(&self) -> TokenId {
        self.rare().and_then(|rare| rare.family).unwrap_or(self.id)
    }

    /// Returns the token that superseded it; `None` if it was not rotated.
    pub fn successor(&self) -> Option<TokenId> {
        self.rare()?.successor
    }

    /// Returns the family of the token under which it was issued; `None` if under none.
    pub fn derived_from(&self) -> Option<TokenId> {
        self.rare()?.derived_from
    }

    /// Returns when, why and by whom it was revoked; `None` if it was not.
    pub fn revocation(&self) -> Option<&Revocation> {
        self.rare()?.revocation.as_ref()
    }

    /// Returns its last use that was written to the store; `None` if there is none.
    pub fn last_use(&self) -> Option<&LastUse> {
        self.last_use.as_deref()
    }

    /// Returns how many changes the row has seen. A last use is not counted.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Returns the key of the ring under which it is sealed.
    pub fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// Returns the seal; `None` after a revocation.
    pub fn seal(&self) -> Option<Seal> {
        let other = || self.rare()?.seal_of_other_version.clone();
        self.seal_v1().copied().map(Seal::of_v1).or_else(other)
    }

    /// Returns the HMAC of a seal of version 1, without a copy.
    pub(crate) fn seal_v1(&self) -> Option<&[u8; 32]> {
        let (is_there, mac) = &self.seal;
        (*is_there == 1).then_some(mac)
    }

    /// Returns the rare facts; `None` if the record has none of them.
    fn rare(&self) -> Option<&Rare> {
        self.rare.as_deref()
    }
}

/// Leaves out digest and seal, which don't belong in a log.
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
            .field("attributes", &self.attributes)
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
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Revocation {
    /// When it was revoked.
    pub at: Timestamp,
    /// Why it was revoked.
    pub reason: Reason,
    /// Who revoked it.
    pub by: Actor,
}

/// A use of a token.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct LastUse {
    /// When the token was used.
    pub at: Timestamp,
    /// The client's address; kept only if the policy records origins.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "serde::Deserialize::deserialize"))]
    pub address: Option<IpAddr>,
    /// The client's program, as it named itself; kept only if the policy records origins.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "read_client"))]
    pub client: Option<Box<str>>,
}

/// Cleans a name that was read. It comes from outside, like one in a row.
#[cfg(feature = "serde")]
fn read_client<'de, D: serde::Deserializer<'de>>(reader: D) -> Result<Option<Box<str>>, D::Error> {
    let client: Option<Box<str>> = serde::Deserialize::deserialize(reader)?;
    Ok(client.map(|client| clean_client(&client).into()))
}

impl LastUse {
    /// Returns the use with a client's name that is fit to be shown.
    fn cleaned(mut self) -> LastUse {
        if let Some(client) = &self.client
            && let Cow::Owned(clean) = clean_client(client)
        {
            self.client = Some(clean.into());
        }
        self
    }
}

#[cfg(test)]
pub(crate) mod tests;
