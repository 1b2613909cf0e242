//! Where tokens live: the one trait that a host's own database implements, and what it is told.
//!
//! A store keeps rows. It never sees a token's text, never decides whether a token is valid, never reads a clock, and hands out
//! dead rows, too. What it must promise stands on [`TokenStore`] in numbered clauses; the
//! [conformance suite](https://docs.rs/app-tokens/latest/app_tokens/store/conformance/) has a test for each.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use crate::key::KeyId;
use crate::record::{LastUse, Revocation, TokenRecord};
use crate::text::Owner;
use crate::timestamp::Timestamp;
use crate::token::TokenId;

#[cfg(feature = "conformance")]
#[cfg_attr(docsrs, doc(cfg(feature = "conformance")))]
pub mod conformance;
mod columns;
mod memory;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "postgres-sql")]
#[cfg_attr(docsrs, doc(cfg(feature = "postgres-sql")))]
pub mod postgres_sql;
#[cfg(feature = "sqlite")]
mod sqlite;
mod table;

pub use crate::record::CLOCK_TOLERANCE;
pub use crate::row::Row;
pub use columns::{Columns, Facts};
pub use memory::MemoryStore;
#[cfg(feature = "postgres")]
#[cfg_attr(docsrs, doc(cfg(feature = "postgres")))]
pub use postgres::{PostgresStore, PostgresStoreError, PostgresTransaction};
#[cfg(feature = "sqlite")]
#[cfg_attr(docsrs, doc(cfg(feature = "sqlite")))]
pub use sqlite::{SqliteStore, SqliteStoreError, SqliteTransaction};
pub use table::{InvalidTableName, TableName};

/// Where tokens live.
///
/// # The contract
///
/// **Dangerous** marks a clause whose breach lets somebody in, keeps somebody in or loses a token; any other is merely wrong or
/// slow. *Live*, here, is a row without revocation and successor whose `expires` hasn't come at the call's `now`
/// ([`TokenRecord::is_live`]). *Current* is a row without revocation whose revision is that of the form given, and below
/// [`TokenRecord::MAX_REVISION`]. A row *is revoked* where, if it has no revocation, it gets one, loses its seal, and its revision
/// goes up by one, to [`TokenRecord::MAX_REVISION`] at most; a row that has a revocation keeps it as it is. No row or form that is
/// handed in is damaged, and a form has the id, owner, family and `created_at` of the row that it is one of.
///
/// **Every method**
///
/// 1. It happens wholly or not at all. What was answered `Ok` is there for every later call, on every host, after every crash that
///    the store is meant to survive. *Dangerous: a revocation that is forgotten.*
/// 2. Every field of a row comes back exactly as it was given; rows of every state come back. *Dangerous: an `expires` that
///    turns into `Never`.*
/// 3. [`StoreError::not_done`] is said only where it is certain that nothing was changed; in doubt it is [`StoreError::unknown`].
///    *Dangerous: a change that was said not to be done.*
///
/// **`insert`**
///
/// 4. It creates. Where the id is taken it changes nothing and answers [`Inserted::IdTaken`]. *Dangerous: a row overwritten.*
/// 5. With `under`: where that row is not there, has another owner or is not current, it changes nothing and answers
///    [`Inserted::Stale`]. *Dangerous: a token that outlives the one that made it, or may do more.*
/// 6. With `supersede`: in the same step the superseded row takes its new form and its revision goes up by one, but its last use
///    stays. Where that row is not there or not current, nothing changes and the answer is [`Inserted::Stale`]. *Dangerous: two
///    successors, or none.*
/// 7. With `supersede.replaces`: in the same step that row is revoked. Where it is not there, not current, was used or has a
///    successor, nothing changes and the answer is [`Inserted::Stale`]. *Dangerous: two ways in, or access that was taken away.*
/// 8. With `supersede.ends_derived`: in the same step every row of that owner that is derived from the new row's family is
///    revoked. *Dangerous: a token that outlives the one that made it.*
/// 9. With `limit`: where the owner has that many live rows of other families, it answers [`Inserted::LimitReached`]. It holds
///    however many calls run at once.
/// 10. With `unique_label`: where a live row of this owner and of another family has the same label, byte for byte, it answers
///     [`Inserted::LabelTaken`]. It holds however many calls run at once.
///
/// Where several of these refuse, the first in this order answers.
///
/// **`find`**
///
/// 11. It gives the row with this id, whatever its state, or none. *Dangerous: an old copy, for instance from a cache or a lagging
///     replica, in which a revoked token lives.*
/// 12. A row that can't be read is [`Row::damaged`] and not an error, here and in `list`; it blocks no other row.
///
/// **`list`**
///
/// 13. It gives the rows that the filter matches and whose id is greater than `page.after`, in order of id, at most `page.limit`.
///
/// **`replace`**
///
/// 14. It replaces the row only where that is current; the revision goes up by one. Else it changes nothing and answers
///     [`Replaced::Stale`]. *Dangerous: a revoked token revived, a change lost.*
/// 15. It leaves last use and revocation as they are in the store. *Dangerous: the same.*
/// 16. With `unique_label` it keeps clause 10 and answers [`Replaced::LabelTaken`]. With `ends_derived`, in the same step, every row
///     of that owner that is derived from the row's family is revoked. *Dangerous: a token that may do more than the one that made it.*
///
/// **`revoke`**
///
/// 17. Every row that the filter matches is revoked, and every row of the same owner that is derived from the family of a matching
///     row, revoked already or not; but never the one that is `except_id`. The first revocation of a row stays. It answers how many it
///     revoked. *Dangerous: a row left out.*
/// 18. A row that can't be read is revoked like any other: nothing is decoded. *Dangerous: a damaged row that stops the others.*
/// 19. No row escapes by being inserted or superseded meanwhile: an `insert` either was there before and is revoked, or comes after
///     and sees the revocation. *Dangerous: a successor that lives on.*
///
/// **`touch`**
///
/// 20. A use that is later than the stored one is stored, and so is any where the stored one is more than five minutes
///     ([`CLOCK_TOLERANCE`]) after `now`: a broken clock wrote it. Any other changes nothing; an id that isn't there is passed over.
///     Nothing else of the row changes, not its revision either. *Dangerous: a revocation written over.*
///
/// **`purge`**
///
/// 21. It deletes rows that [`Purge::selects`], at most `limit`, and answers how many. A row that was changed meanwhile and is not
///     selected any more stays. *Dangerous: a living row deleted, or one without which clause 17 no longer reaches a living row.*
///
/// # Writing one
///
/// Derive the SQL from these clauses and from [`Filter`]'s public fields, and run the conformance suite over it. A plain look at
/// how it is done: `src/store/memory.rs`, which is written to be read.
pub trait TokenStore: Send + Sync {
    /// Creates a row; may supersede one in the same step. Clauses 4 to 10.
    fn insert(&self, insert: &Insert) -> impl Future<Output = Result<Inserted, StoreError>> + Send;

    /// The row with this id, whatever its state. Clauses 11 and 12.
    fn find(&self, id: TokenId) -> impl Future<Output = Result<Option<Row>, StoreError>> + Send;

    /// A page of the rows that match. Clauses 12 and 13.
    fn list(
        &self,
        filter: &Filter,
        page: Page,
    ) -> impl Future<Output = Result<Vec<Row>, StoreError>> + Send;

    /// Compare-and-swap of one row. Clauses 14 to 16.
    fn replace(
        &self,
        replace: &Replace,
    ) -> impl Future<Output = Result<Replaced, StoreError>> + Send;

    /// Ends every row that matches, and what was issued under it. Clauses 17 to 19.
    fn revoke(
        &self,
        filter: &Filter,
        revocation: &Revocation,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Notes a batch of uses, forwards only. Clause 20.
    fn touch(
        &self,
        uses: &[(TokenId, LastUse)],
        now: Timestamp,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Deletes a bounded batch of rows. Clause 21.
    fn purge(
        &self,
        purge: &Purge,
        limit: u32,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send;
}

/// A store whose futures need no runtime: they are done at the first poll, or wake their waker from a thread of the store's own.
/// [`TokenAuthority::blocking`](crate::TokenAuthority::blocking) asks for it.
pub trait RuntimeFree: TokenStore {}

/// What [`TokenStore::insert`] is told.
#[derive(Clone, Debug)]
pub struct Insert {
    /// The new row.
    pub row: Row,
    /// The engine's present instant, for what is live.
    pub now: Timestamp,
    /// How many live rows the owner may have before this one.
    pub limit: Option<u32>,
    /// Whether the label must differ from the owner's live ones.
    pub unique_label: bool,
    /// The token under which this one is issued, as it was read: it must still be so.
    pub under: Option<Row>,
    /// The row that this one supersedes.
    pub supersede: Option<Supersede>,
}

impl Insert {
    /// The rows that must be current, in order of id: locked in this order, no two inserts wait for each other.
    pub fn rests_on(&self) -> Vec<RestsOn<'_>> {
        let supersede = self.supersede.as_ref();
        let superseded = supersede.map(|supersede| &supersede.row);
        let replaced = supersede.and_then(|supersede| supersede.replaces.as_ref());
        let needed = [
            (self.under.as_ref(), true, false),
            (superseded, false, false),
            (replaced, false, true),
        ];
        let needed = needed
            .into_iter()
            .filter_map(|(row, of_owner, unused)| Some(RestsOn { row: row?, of_owner, unused }));
        let mut needed = Vec::from_iter(needed);
        needed.sort_by_key(|needed| needed.row.id());
        needed
    }
}

/// A row that an insert rests on: clauses 5 to 7.
#[derive(Clone, Copy, Debug)]
pub struct RestsOn<'i> {
    /// As it was read, or its new form: it must be current.
    pub row: &'i Row,
    /// Whether it must be the new row's owner's, too.
    pub of_owner: bool,
    /// Whether it must be unused, and without a successor.
    pub unused: bool,
}

/// The row that a rotation supersedes, and what ends with it.
#[derive(Clone, Debug)]
pub struct Supersede {
    /// Its new form, sealed. Its revision is still the one that is expected in the store.
    pub row: Row,
    /// Its unused successor, as it was read, which the new row takes the place of: it must still be so.
    pub replaces: Option<Row>,
    /// Whether what was issued under its family ends, too.
    pub ends_derived: bool,
    /// What is written to the rows that end.
    pub revocation: Revocation,
}

/// What became of an insert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// It is there.
    Done,
    /// The id is taken.
    IdTaken,
    /// The row that it was to be issued under, to supersede or to replace, has changed.
    Stale,
    /// The owner has as many live rows as he may.
    LimitReached,
    /// The owner has a live row with that label.
    LabelTaken,
}

/// What [`TokenStore::replace`] is told.
#[derive(Clone, Debug)]
pub struct Replace {
    /// The new form, sealed. Its revision is still the one that is expected in the store.
    pub row: Row,
    /// The engine's present instant, for what is live.
    pub now: Timestamp,
    /// Whether the label must differ from the owner's other live ones.
    pub unique_label: bool,
    /// What is written to the rows that were issued under its family, if they end.
    pub ends_derived: Option<Revocation>,
}

/// What became of a replacement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replaced {
    /// It is done.
    Done,
    /// The row is gone, revoked or changed.
    Stale,
    /// The owner has another live row with that label.
    LabelTaken,
}

/// Which rows: every fact that is given must hold. It has no default that would mean everything.
///
/// Its fields are public for stores, which should destructure it without `..`: a fact that a store overlooked would revoke or
/// delete too much.
///
/// ```
/// use app_tokens::{Owner, store::Filter};
/// let alice = Owner::new("alice")?;
/// let filter = Filter { revoked: Some(false), ..Filter::of_owner(&alice) };
/// # Ok::<(), app_tokens::InvalidText>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The token with this id.
    pub id: Option<TokenId>,
    /// Tokens of this owner.
    pub owner: Option<Owner>,
    /// Tokens of this family. Name its owner, too: stores look up and lock by owner.
    pub family: Option<TokenId>,
    /// Any but this one: it is spared even if it was issued under a token that matches.
    pub except_id: Option<TokenId>,
    /// Tokens sealed under this key.
    pub key_id: Option<KeyId>,
    /// Tokens sealed under any key but these.
    pub except_key_ids: Vec<KeyId>,
    /// Tokens with, or without, a revocation.
    pub revoked: Option<bool>,
    /// Tokens with, or without, a successor.
    pub superseded: Option<bool>,
    /// Tokens that expire before this instant; not those that never do.
    pub expires_before: Option<Timestamp>,
    /// Tokens that expire at this instant or after it; not those that never do.
    pub expires_from: Option<Timestamp>,
    /// Tokens made before this instant.
    pub created_before: Option<Timestamp>,
    /// Tokens last used before this instant; each counts as used when it was made.
    pub last_used_before: Option<Timestamp>,
}

impl Filter {
    /// Every token of every owner.
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

    /// One token.
    pub fn of_id(id: TokenId) -> Filter {
        Filter { id: Some(id), ..Filter::every_token() }
    }

    /// Every token of an owner.
    pub fn of_owner(owner: &Owner) -> Filter {
        Filter { owner: Some(owner.clone()), ..Filter::every_token() }
    }

    /// Every token of a line of rotations.
    pub fn of_family(owner: &Owner, family: TokenId) -> Filter {
        Filter { family: Some(family), ..Filter::of_owner(owner) }
    }

    /// Whether a record is meant. The reference for every store.
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

/// Where a page of a list begins, and how long it is at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Rows with greater ids only; `None` begins at the beginning.
    pub after: Option<TokenId>,
    /// How many rows at most.
    pub limit: u32,
}

impl Page {
    /// The first rows.
    pub const fn first(limit: u32) -> Page {
        Page { after: None, limit }
    }
}

/// Which rows [`TokenStore::purge`] deletes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purge {
    /// Rows that nobody needs any more.
    Dead(Dead),
    /// Rows that match, whatever their state: erasure.
    Matching(Filter),
}

/// Rows that have been dead for long enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dead {
    /// Revoked or expired at this instant or before.
    pub ended_by: Timestamp,
    /// Or last used, and made, at this instant or before, where there is an idle time-out.
    pub unused_since: Option<Timestamp>,
    /// A row is spared while another one of its owner lives, unrevoked and not expired at this instant, that is derived from its
    /// family: a revocation reaches that one through it. With a successor it is spared for one of its own family, too: its reuse
    /// would still tell.
    pub now: Timestamp,
}

impl Purge {
    /// Whether a record is to be deleted, as long as there are `others`: all rows of its owner, and whatever else. The reference for
    /// every store.
    pub fn selects<'r>(
        &self,
        record: &TokenRecord,
        others: impl IntoIterator<Item = &'r TokenRecord>,
    ) -> bool {
        match self {
            Purge::Matching(filter) => filter.matches(record),
            Purge::Dead(dead) => {
                dead.has_ended(record)
                    && !others.into_iter().any(|other| dead.spares(record, other))
            }
        }
    }
}

impl Dead {
    /// Whether a row has been dead for long enough.
    fn has_ended(&self, record: &TokenRecord) -> bool {
        let revoked = record.revocation().is_some_and(|r| r.at <= self.ended_by);
        let expired = record.expires().has_come(self.ended_by);
        revoked || expired || self.unused_since.is_some_and(|since| record.last_seen() <= since)
    }

    /// Whether others may stay for a row's sake.
    fn lives(&self, record: &TokenRecord) -> bool {
        record.revocation().is_none() && !record.expires().has_come(self.now)
    }

    /// Whether a row stays for another one's sake.
    fn spares(&self, record: &TokenRecord, other: &TokenRecord) -> bool {
        let is_derived = other.derived_from() == Some(record.family());
        let is_of_its_line = record.successor().is_some() && other.family() == record.family();
        (is_derived || is_of_its_line)
            && other.id() != record.id()
            && other.owner() == record.owner()
            && self.lives(other)
    }
}

/// A store could not do what it was told, or can't say whether it did.
///
/// Both are failures, never denials: the host answers 503 and nobody's client forgets a password.
#[derive(Debug)]
pub struct StoreError {
    certainty: Certainty,
    source: Box<dyn Error + Send + Sync>,
}

/// What a failing store knows of what it was told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// Nothing was changed.
    NotDone,
    /// It may have been done or not, or be done yet: the answer was lost.
    Unknown,
}

impl StoreError {
    /// Nothing was changed. Say so only where it is certain.
    pub fn not_done(source: impl Into<Box<dyn Error + Send + Sync>>) -> StoreError {
        StoreError { certainty: Certainty::NotDone, source: source.into() }
    }

    /// It may have been done or not.
    pub fn unknown(source: impl Into<Box<dyn Error + Send + Sync>>) -> StoreError {
        StoreError { certainty: Certainty::Unknown, source: source.into() }
    }

    /// Whether it is certain that nothing was changed.
    pub fn certainty(&self) -> Certainty {
        self.certainty
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.certainty {
            Certainty::NotDone => write!(f, "the token store failed: {}", self.source),
            Certainty::Unknown => {
                write!(f, "the token store can't say whether it is done: {}", self.source)
            }
        }
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.source()
    }
}

macro_rules! also_behind {
    ($pointer:ty) => {
        impl<S: TokenStore> TokenStore for $pointer {
            async fn insert(&self, insert: &Insert) -> Result<Inserted, StoreError> {
                (**self).insert(insert).await
            }
            async fn find(&self, id: TokenId) -> Result<Option<Row>, StoreError> {
                (**self).find(id).await
            }
            async fn list(&self, filter: &Filter, page: Page) -> Result<Vec<Row>, StoreError> {
                (**self).list(filter, page).await
            }
            async fn replace(&self, replace: &Replace) -> Result<Replaced, StoreError> {
                (**self).replace(replace).await
            }
            async fn revoke(
                &self,
                filter: &Filter,
                revocation: &Revocation,
            ) -> Result<u64, StoreError> {
                (**self).revoke(filter, revocation).await
            }
            async fn touch(
                &self,
                uses: &[(TokenId, LastUse)],
                now: Timestamp,
            ) -> Result<(), StoreError> {
                (**self).touch(uses, now).await
            }
            async fn purge(&self, purge: &Purge, limit: u32) -> Result<u64, StoreError> {
                (**self).purge(purge, limit).await
            }
        }

        impl<S: RuntimeFree> RuntimeFree for $pointer {}
    };
}

also_behind!(Arc<S>);
also_behind!(&S);

/// Any store, chosen at run time: `TokenAuthority<DynStore>` where the host reads from its configuration which one it is.
///
/// Each call costs one allocation more than with the store itself.
///
/// ```
/// use app_tokens::store::{DynStore, MemoryStore};
/// let store: DynStore = DynStore::new(MemoryStore::new());
/// ```
#[derive(Clone)]
pub struct DynStore(Arc<dyn ErasedStore>);

impl DynStore {
    /// Hides which store it is.
    pub fn new(store: impl TokenStore + 'static) -> DynStore {
        DynStore(Arc::new(store))
    }
}

impl fmt::Debug for DynStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DynStore")
    }
}

impl TokenStore for DynStore {
    async fn insert(&self, insert: &Insert) -> Result<Inserted, StoreError> {
        self.0.insert(insert).await
    }
    async fn find(&self, id: TokenId) -> Result<Option<Row>, StoreError> {
        self.0.find(id).await
    }
    async fn list(&self, filter: &Filter, page: Page) -> Result<Vec<Row>, StoreError> {
        self.0.list(filter, page).await
    }
    async fn replace(&self, replace: &Replace) -> Result<Replaced, StoreError> {
        self.0.replace(replace).await
    }
    async fn revoke(&self, filter: &Filter, revocation: &Revocation) -> Result<u64, StoreError> {
        self.0.revoke(filter, revocation).await
    }
    async fn touch(&self, uses: &[(TokenId, LastUse)], now: Timestamp) -> Result<(), StoreError> {
        self.0.touch(uses, now).await
    }
    async fn purge(&self, purge: &Purge, limit: u32) -> Result<u64, StoreError> {
        self.0.purge(purge, limit).await
    }
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// [`TokenStore`] with boxed futures, so that it can be a `dyn`.
trait ErasedStore: Send + Sync {
    fn insert<'a>(&'a self, insert: &'a Insert) -> Boxed<'a, Inserted>;
    fn find(&self, id: TokenId) -> Boxed<'_, Option<Row>>;
    fn list<'a>(&'a self, filter: &'a Filter, page: Page) -> Boxed<'a, Vec<Row>>;
    fn replace<'a>(&'a self, replace: &'a Replace) -> Boxed<'a, Replaced>;
    fn revoke<'a>(&'a self, filter: &'a Filter, revocation: &'a Revocation) -> Boxed<'a, u64>;
    fn touch<'a>(&'a self, uses: &'a [(TokenId, LastUse)], now: Timestamp) -> Boxed<'a, ()>;
    fn purge<'a>(&'a self, purge: &'a Purge, limit: u32) -> Boxed<'a, u64>;
}

impl<S: TokenStore> ErasedStore for S {
    fn insert<'a>(&'a self, insert: &'a Insert) -> Boxed<'a, Inserted> {
        Box::pin(TokenStore::insert(self, insert))
    }
    fn find(&self, id: TokenId) -> Boxed<'_, Option<Row>> {
        Box::pin(TokenStore::find(self, id))
    }
    fn list<'a>(&'a self, filter: &'a Filter, page: Page) -> Boxed<'a, Vec<Row>> {
        Box::pin(TokenStore::list(self, filter, page))
    }
    fn replace<'a>(&'a self, replace: &'a Replace) -> Boxed<'a, Replaced> {
        Box::pin(TokenStore::replace(self, replace))
    }
    fn revoke<'a>(&'a self, filter: &'a Filter, revocation: &'a Revocation) -> Boxed<'a, u64> {
        Box::pin(TokenStore::revoke(self, filter, revocation))
    }
    fn touch<'a>(&'a self, uses: &'a [(TokenId, LastUse)], now: Timestamp) -> Boxed<'a, ()> {
        Box::pin(TokenStore::touch(self, uses, now))
    }
    fn purge<'a>(&'a self, purge: &'a Purge, limit: u32) -> Boxed<'a, u64> {
        Box::pin(TokenStore::purge(self, purge, limit))
    }
}
