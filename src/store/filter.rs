//! [`Filter`] and [`Page`]: which rows a call applies to.

use std::num::NonZeroU32;

use crate::key::KeyId;
use crate::record::TokenRecord;
use crate::store::Row;
use crate::text::Owner;
use crate::timestamp::Timestamp;
use crate::token::TokenId;

/// Selects rows: a row matches if every fact that is given holds for it.
///
/// There is no `Default`, so that "every token of every owner" must be written as
/// [`Filter::every_token`].
///
/// The fields are public for stores. Destructure it without `..`: a store that overlooks a fact
/// revokes or deletes too much.
///
/// A fact that can't be read in a damaged row does not hold, so the row does not match. An
/// exception that can't be read does not spare the row.
///
/// ```
/// use app_tokens::{Owner, store::Filter};
/// let alice = Owner::new("alice")?;
/// let filter = Filter { revoked: Some(false), ..Filter::of_owner(&alice) };
/// # Ok::<(), app_tokens::error::InvalidText>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Selects the token with this id.
    pub id: Option<TokenId>,
    /// Selects tokens of this owner.
    pub owner: Option<Owner>,
    /// Selects tokens of this family: a line of rotations, named by the id of its first token.
    ///
    /// Give the owner, too: stores look up and lock by owner.
    pub family: Option<TokenId>,
    /// Spares the tokens of this family, and the tokens that were issued under it.
    ///
    /// A revocation also spares them if it would reach them through a matching token.
    pub except_family: Option<TokenId>,
    /// Selects tokens that are sealed under this key.
    pub key_id: Option<KeyId>,
    /// Leaves out tokens that are sealed under one of these keys. If empty, leaves out none.
    pub except_key_ids: Vec<KeyId>,
    /// Selects tokens with a revocation if `true`, and those without one if `false`.
    pub revoked: Option<bool>,
    /// Selects tokens with a successor if `true`, and those without one if `false`.
    pub superseded: Option<bool>,
    /// Selects tokens that expire before this instant. A token that never expires does not match.
    pub expires_before: Option<Timestamp>,
    /// Selects tokens that expire at this instant or later. A token that never expires does not
    /// match.
    pub expires_from: Option<Timestamp>,
    /// Selects tokens that were issued before this instant.
    pub created_before: Option<Timestamp>,
    /// Selects tokens that were last used before this instant.
    ///
    /// The instant at which a token was issued counts as a use. A superseded token whose end has
    /// come still matches. Unless its id or family is named, a revocation then spares what was
    /// issued under its line.
    pub last_used_before: Option<Timestamp>,
}

impl Filter {
    /// Selects every token of every owner. Add facts by struct update to select fewer.
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

    /// Selects the token with this id, of any owner.
    pub fn of_id(id: TokenId) -> Filter {
        Filter { id: Some(id), ..Filter::every_token() }
    }

    /// Selects every token of an owner, in every state.
    pub fn of_owner(owner: &Owner) -> Filter {
        Filter { owner: Some(owner.clone()), ..Filter::every_token() }
    }

    /// Selects every token of a line of rotations: the current one and those it superseded.
    pub fn of_family(owner: &Owner, family: TokenId) -> Filter {
        Filter { family: Some(family), ..Filter::of_owner(owner) }
    }

    /// Returns whether a row matches. Every store must select the same rows.
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
        // A damaged row has no record, so no fact below holds for it. `except_key_ids` is an
        // exception: what can't be read there leaves no row out.
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

    /// Returns whether `except_family` spares a row.
    ///
    /// A store that revokes what derives from matching rows must ask this for each such row.
    pub fn spares(&self, row: &Row) -> bool {
        self.except_family.is_some_and(|family| {
            row.family() == Some(family) || row.derived_from() == Some(family)
        })
    }
}

/// Returns the later of the stored use and `created_at`.
///
/// Unlike [`TokenRecord::last_seen`], it believes a use in the future: a filter has no clock.
fn last_used(record: &TokenRecord) -> Timestamp {
    record.last_use().map_or(record.created_at(), |last_use| last_use.at.max(record.created_at()))
}

/// Says where a page of a list begins, and how many rows it may hold.
///
/// ```
/// use app_tokens::store::{Filter, MemoryStore, Page, StoreError};
/// # use app_tokens::store::TokenStore;
/// # async fn walk(store: MemoryStore) -> Result<(), StoreError> {
/// let mut page = Page::first(100);
/// loop {
///     let rows = store.list(&Filter::every_token(), page).await?;
///     let Some(last) = rows.last() else { break };
///     page = page.after(last.id());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// The last id of the page before; `None` for the first page. It is not part of this page.
    pub after: Option<TokenId>,
    /// The most rows that the page holds. It can't be 0: an empty page means the end of the list.
    pub limit: NonZeroU32,
}

impl Page {
    /// Returns the first page, with at most `limit` rows. A limit of 0 counts as 1.
    pub const fn first(limit: u32) -> Page {
        let limit = match NonZeroU32::new(limit) {
            Some(limit) => limit,
            None => NonZeroU32::MIN,
        };
        Page { after: None, limit }
    }

    /// Returns the page that begins after this id, with the same limit.
    #[must_use]
    pub const fn after(self, id: TokenId) -> Page {
        Page { after: Some(id), ..self }
    }
}
