//! [`Filter`] and [`Page`]: which rows a call is about.

use crate::key::KeyId;
use crate::record::TokenRecord;
use crate::text::Owner;
use crate::timestamp::Timestamp;
use crate::token::TokenId;

/// Selects rows: every fact that is given must hold. No default means everything.
///
/// The fields are public for stores, which should destructure it without `..`: a store that
/// overlooks a fact revokes or deletes too much.
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
    /// Spares the token with this id, even if it was issued under a token that matches.
    pub except_id: Option<TokenId>,
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
            except_id: None,
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

    /// Whether a record matches; the reference for every store.
    pub fn matches(&self, record: &TokenRecord) -> bool {
        let expires_before = |limit| record.expires().at().is_some_and(|at| at < limit);
        let expires_from = |limit| record.expires().at().is_some_and(|at| at >= limit);
        self.id.is_none_or(|id| record.id() == id)
            && self.owner.as_ref().is_none_or(|owner| record.owner() == owner)
            && self.family.is_none_or(|family| record.family() == family)
            && self.except_id.is_none_or(|id| record.id() != id)
            && self.key_id.is_none_or(|key_id| record.key_id() == key_id)
            && !self.except_key_ids.contains(&record.key_id())
            && self.revoked.is_none_or(|revoked| record.revocation().is_some() == revoked)
            && self.superseded.is_none_or(|superseded| record.successor().is_some() == superseded)
            && self.expires_before.is_none_or(expires_before)
            && self.expires_from.is_none_or(expires_from)
            && self.created_before.is_none_or(|limit| record.created_at() < limit)
            && self.last_used_before.is_none_or(|limit| record.last_seen() < limit)
    }
}

/// Where a page of a list begins, and how long it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// The last id of the page before; `None` for the first page.
    pub after: Option<TokenId>,
    /// The most rows that it holds.
    pub limit: u32,
}

impl Page {
    /// The first page.
    pub const fn first(limit: u32) -> Page {
        Page { after: None, limit }
    }
}
