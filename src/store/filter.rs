//! [`Filter`] and [`Page`]: which rows a call is about.

use std::num::NonZeroU32;

use crate::key::KeyId;
use crate::record::TokenRecord;
use crate::store::Row;
use crate::text::Owner;
use crate::timestamp::Timestamp;
use crate::token::TokenId;

/// Selects rows: every fact that is given must hold. No default means everything.
///
/// The fields are public for stores, which should destructure it without `..`: a store that
/// overlooks a fact revokes or deletes too much.
///
/// A fact that can't be read of a damaged row does not hold for it. An exception that can't be
/// read does not spare it.
///
/// ```
/// use app_tokens::{Owner, store::Filter};
/// let alice = Owner::new("alice")?;
/// let filter = Filter { revoked: Some(false), ..Filter::of_owner(&alice) };
/// # Ok::<(), app_tokens::InvalidText>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Selects the token with this id.
    pub id: Option<TokenId>,
    /// Selects tokens of this owner.
    pub owner: Option<Owner>,
    /// Selects tokens of this family. Name its owner, too: stores look up and lock by owner.
    pub family: Option<TokenId>,
    /// Spares the tokens of this family and those that were issued under it, even if they were
    /// issued under a token that matches.
    pub except_family: Option<TokenId>,
    /// Selects tokens that are sealed under this key.
    pub key_id: Option<KeyId>,
    /// Leaves out tokens that are sealed under one of these keys.
    pub except_key_ids: Vec<KeyId>,
    /// Selects tokens with, or without, a revocation.
    pub revoked: Option<bool>,
    /// Selects tokens with, or without, a successor.
    pub superseded: Option<bool>,
    /// Selects tokens that expire before this instant, and none that never do.
    pub expires_before: Option<Timestamp>,
    /// Selects tokens that expire at this instant or after it, and none that never do.
    pub expires_from: Option<Timestamp>,
    /// Selects tokens that were made before this instant.
    pub created_before: Option<Timestamp>,
    /// Selects tokens that were last used before this instant. A token counts as used when it was
    /// made.
    pub last_used_before: Option<Timestamp>,
}

impl Filter {
    /// Selects every token of every owner.
    pub const fn every_token() -> Filter {
        Filter {
            id: None,
            owner: None,
            family: None,
            except_family: None,
            key_id: None,
            except_key_ids: Vec::new(),
            revoked: None,
            superseded: None,
            expires_before: None,
            expires_from: None,
            created_before: None,
            last_used_before: None,
        }
    }

    /// Selects one token.
    pub fn of_id(id: TokenId) -> Filter {
        Filter { id: Some(id), ..Filter::every_token() }
    }

    /// Selects every token of an owner.
    pub fn of_owner(owner: &Owner) -> Filter {
        Filter { owner: Some(owner.clone()), ..Filter::every_token() }
    }

    /// Selects every token of a line of rotations.
    pub fn of_family(owner: &Owner, family: TokenId) -> Filter {
        Filter { family: Some(family), ..Filter::of_owner(owner) }
    }

    /// Whether a row matches; the reference for every store.
    pub fn matches(&self, row: &Row) -> bool {
        let Filter {
            id,
            owner,
            family,
            except_family: _,
            key_id,
            except_key_ids,
            revoked,
            superseded,
            expires_before,
            expires_from,
            created_before,
            last_used_before,
        } = self;
        let made_before = |limit| row.created_at().is_some_and(|at| at < limit);
        // Of a record. A damaged row has none, so that no such fact holds for it.
        let record = row.record();
        let is_under = |key_id| record.is_some_and(|record| record.key_id() == key_id);
        let is_superseded = |record: &TokenRecord| record.successor().is_some();
        let expires = || record.and_then(|record| record.expires().at());
        let seen_before = |limit| record.is_some_and(|record| last_used(record) < limit);
        id.is_none_or(|id| row.id() == id)
            && owner.as_ref().is_none_or(|owner| row.owner() == Some(owner))
            && family.is_none_or(|family| row.family() == Some(family))
            && !self.spares(row)
            && key_id.is_none_or(is_under)
            && !except_key_ids.iter().any(|key_id| is_under(*key_id))
            && revoked.is_none_or(|revoked| row.is_revoked() == revoked)
            && superseded.is_none_or(|asked| record.map(is_superseded) == Some(asked))
            && expires_before.is_none_or(|limit| expires().is_some_and(|at| at < limit))
            && expires_from.is_none_or(|limit| expires().is_some_and(|at| at >= limit))
            && created_before.is_none_or(made_before)
            && last_used_before.is_none_or(seen_before)
    }

    /// Whether `except_family` spares a row, even one that derives from a row that matches.
    pub fn spares(&self, row: &Row) -> bool {
        self.except_family.is_some_and(|family| {
            row.family() == Some(family) || row.derived_from() == Some(family)
        })
    }
}

/// The later of the stored use and `created_at`. A filter has no clock by which a use could be
/// disbelieved.
fn last_used(record: &TokenRecord) -> Timestamp {
    record.last_use().map_or(record.created_at(), |last_use| last_use.at.max(record.created_at()))
}

/// Where a page of a list begins, and how long it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// The last id of the page before; `None` for the first page.
    pub after: Option<TokenId>,
    /// The most rows that it holds. It is not 0, since an empty page reads as the end of the list.
    pub limit: NonZeroU32,
}

impl Page {
    /// The first page. A limit of 0 counts as 1.
    pub const fn first(limit: u32) -> Page {
        let limit = match NonZeroU32::new(limit) {
            Some(limit) => limit,
            None => NonZeroU32::MIN,
        };
        Page { after: None, limit }
    }

    /// The page of the same length that begins after this id.
    #[must_use]
    pub const fn after(self, id: TokenId) -> Page {
        Page { after: Some(id), ..self }
    }
}
