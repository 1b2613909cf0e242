//! Where tokens live: the one trait that a host's own database implements, and what it is told.
//!
//! A store keeps rows. It never sees a token's text, never decides whether a token is valid, never reads a clock, and hands out
//! dead rows, too. What it must promise stands on [`TokenStore`] in numbered clauses; the
//! [conformance suite](https://docs.rs/app-tokens/latest/app_tokens/store/conformance/) has a test for each.

use crate::record::{LastUse, Revocation, TokenRecord};
use crate::timestamp::Timestamp;
use crate::token::TokenId;

mod columns;
#[cfg(feature = "conformance")]
#[cfg_attr(docsrs, doc(cfg(feature = "conformance")))]
pub mod conformance;
mod dyn_store;
mod error;
mod filter;
mod memory;
#[cfg(feature = "postgres")]
mod postgres;
// Another driver needs the statements without the store.
#[cfg(feature = "postgres-sql")]
#[cfg_attr(docsrs, doc(cfg(feature = "postgres-sql")))]
#[path = "store/postgres/sql.rs"]
pub mod postgres_sql;
mod request;
#[cfg(feature = "sqlite")]
mod sqlite;
mod table;

pub use crate::record::CLOCK_TOLERANCE;
pub use crate::seal::Row;
pub use columns::{FilterColumns, RowColumns};
pub use dyn_store::DynStore;
pub use error::{Certainty, StoreError};
pub use filter::{Filter, Page};
pub use memory::MemoryStore;
#[cfg(feature = "postgres")]
#[cfg_attr(docsrs, doc(cfg(feature = "postgres")))]
pub use postgres::{PostgresStore, PostgresStoreError, PostgresTransaction};
pub use request::{Insert, Inserted, Purge, PurgeCutoff, Replace, Replaced, RestsOn, Supersede};
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
/// 8. With `supersede.revoke_derived`: in the same step every row of that owner that is derived from the new row's family is
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
/// 16. With `unique_label` it keeps clause 10 and answers [`Replaced::LabelTaken`]. With `revoke_derived`, in the same step, every row
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

impl TokenRecord {
    /// Whether the row counts for an owner's limit and unique labels: no revocation, no successor, and `expires` not come.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.revocation().is_none() && self.successor().is_none() && !self.expires().has_come(now)
    }

    /// When it was last used, so far as that is stored, and at least when it was made.
    pub fn last_seen(&self) -> Timestamp {
        self.last_use().map_or(self.created_at(), |last_use| last_use.at.max(self.created_at()))
    }
}
