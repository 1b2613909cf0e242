//! [`TokenStore`]: the one trait that a host's own database implements, its requests and its
//! answers.
//!
//! A store keeps rows. It never sees a token's text, never decides whether a token is valid, never
//! reads a clock, and returns dead rows too. Its promises are the numbered clauses on
//! [`TokenStore`]; the [conformance suite] has a test for each.
//!
//! [conformance suite]: https://docs.rs/app-tokens/latest/app_tokens/store/conformance/

use std::collections::BTreeSet;

use crate::key::KeyId;
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
// A module of its own: a store over another driver needs the statements without `PostgresStore`.
#[cfg(feature = "postgres-sql")]
#[cfg_attr(docsrs, doc(cfg(feature = "postgres-sql")))]
#[path = "store/postgres/sql.rs"]
pub mod postgres_sql;
mod request;
pub mod rules;
#[cfg(feature = "sqlite")]
mod sqlite;
mod table;

pub use crate::record::{CLOCK_TOLERANCE, LiveAt};
pub use crate::row::{DamagedRow, Row};
pub use columns::{FilterColumns, RowColumns};
pub use dyn_store::DynStore;
pub use error::{Certainty, StoreError};
pub use filter::{Filter, Page};
pub use memory::MemoryStore;
#[cfg(feature = "postgres")]
#[cfg_attr(docsrs, doc(cfg(feature = "postgres")))]
pub use postgres::{PostgresStore, PostgresStoreError, PostgresTransaction};
pub use request::{Insert, Inserted, Purge, PurgeCutoff, Replace, Replaced, Supersede, Superseded};
#[cfg(feature = "sqlite")]
#[cfg_attr(docsrs, doc(cfg(feature = "sqlite")))]
pub use sqlite::{SqliteStore, SqliteStoreError, SqliteTransaction};
pub use table::{InvalidTableName, TableName};

/// A place for tokens: a database, a file or memory.
///
/// # The contract
///
/// **Dangerous** marks a clause whose breach lets a wrong token in, locks an owner out or loses a
/// token. The breach of any other is merely wrong or slow.
///
/// - A row is *live* if it has no revocation and no successor and if its `expires` hasn't come at
///   the call's `now` ([`TokenRecord::is_live`](crate::record::TokenRecord::is_live)).
/// - A row is *current* if it has no revocation, if its revision is that of the form that is handed
///   in, and if that is below
///   [`TokenRecord::MAX_REVISION`](crate::record::TokenRecord::MAX_REVISION).
/// - To *revoke* a row: unless already revoked, record the revocation, clear the seal and increment
///   the revision, to `MAX_REVISION` at most. A row that has a revocation stays as it is.
///
/// No row or form that is handed in is damaged. A form has the id, owner, family and `created_at`
/// of its row.
///
/// **Every method**
///
/// 1. It happens wholly or not at all. What was answered `Ok` holds for every later call, on every
///    host, and after every crash that the store is meant to survive. *Dangerous: a revocation is
///    forgotten.*
/// 2. Every field of a row comes back exactly as it was given, and rows of every state come back.
///    *Dangerous: an `expires` turns into `Never`.*
/// 3. The error is [`StoreError::not_done`] only if it is certain that nothing was changed. In
///    doubt it is [`StoreError::unknown`]. *Dangerous: a change that was made is reported as not
///    done.*
///
/// **`insert`**
///
/// 4. It never overwrites. If the id is taken, it changes nothing and answers
///    [`Inserted::IdTaken`]. *Dangerous: a row is overwritten.*
/// 5. With `under`: if that row is not there, has another owner or is not current, it changes
///    nothing and answers [`Inserted::Stale`]. *Dangerous: a token outlives its parent, or may do
///    more.*
/// 6. With `supersede`: in the same step the superseded row takes its new form and its revision is
///    incremented, but its last use stays. If that row is not there or not current, nothing changes
///    and the answer is [`Inserted::Stale`]. *Dangerous: two successors, or none.*
/// 7. With `supersede.replaces`: in the same step that row is revoked. If it is not there, not
///    current, was used or has a successor, nothing changes and the answer is [`Inserted::Stale`].
///    *Dangerous: two valid tokens, or a client that is locked out.*
/// 8. With `supersede.revokes_derived`: in the same step every row of that owner that derives from
///    the new row's family is revoked. *Dangerous: a token outlives its parent.*
/// 9. With `limit`: if the owner has that many live rows of other families, it changes nothing and
///    answers [`Inserted::LimitReached`]. The limit holds under concurrent calls.
/// 10. With `unique_label`: if a live row of this owner and of another family has the same label,
///     byte for byte, it changes nothing and answers [`Inserted::LabelTaken`]. That holds under
///     concurrent calls.
///
/// If several of these refuse, the first in this order answers.
///
/// **`find`**
///
/// 11. It returns the row with this id, whatever its state, or `None`. *Dangerous: an old copy, for
///     instance from a cache or a lagging replica, in which a revoked token is still valid.*
/// 12. A row that can't be read is [`Row::damaged`] and not an error, here and in `list`. It blocks
///     no other row.
///
/// **`list`**
///
/// 13. It returns the rows that the filter matches and whose id is greater than `page.after`, in
///     order of id, at most `page.limit`.
///
/// **`replace`**
///
/// 14. It replaces the row only if that is current, and increments the revision. Otherwise it
///     changes nothing and answers [`Replaced::Stale`]. *Dangerous: a revoked token is revived, or
///     a change is lost.*
/// 15. It leaves last use and revocation as they are in the store. *Dangerous: a revoked token is
///     revived.*
/// 16. With `unique_label` it keeps clause 10 and answers [`Replaced::LabelTaken`]. With
///     `revokes_derived`, in the same step, every row of that owner that derives from the row's
///     family is revoked. *Dangerous: a token may do more than its parent.*
///
/// **`revoke`**
///
/// 17. It revokes every row that the filter matches. It also revokes every row of the same owner
///     that derives from the family of a matching row, even if the matching row was revoked
///     already. It never revokes the row `except_id`. The first revocation of a row stays. It
///     answers how many rows it revoked. *Dangerous: a row is left out.*
/// 18. A row that can't be read is revoked like any other: nothing is decoded. *Dangerous: a
///     damaged row keeps others from being revoked.*
/// 19. No row escapes by being inserted or superseded meanwhile. An `insert` is either before it,
///     and its row is revoked, or after it, and sees the revocation. *Dangerous: a successor stays
///     valid.*
///
/// **`touch`**
///
/// 20. It stores a use that is later than the stored one. It also replaces a stored use that is
///     more than five minutes ([`CLOCK_TOLERANCE`]) after `now`, which a broken clock wrote. Any
///     other use changes nothing, and an unknown id is skipped. Nothing else of the row changes,
///     not even its revision. *Dangerous: a revocation is overwritten.*
///
/// **`purge`**
///
/// 21. It deletes rows that [`Purge::selects`], at most `limit`, and answers how many. A row that
///     was changed meanwhile and is no longer selected stays. *Dangerous: a live row is deleted, or
///     one through which clause 17 reaches a live row.*
///
/// # Writing one
///
/// Derive the SQL from these clauses and from [`Filter`]'s public fields, and run the conformance
/// suite over it. `src/store/memory.rs` is a plain reference, written to be read.
pub trait TokenStore: Send + Sync {
    /// Inserts the row of a new token.
    fn insert(&self, insert: &Insert) -> impl Future<Output = Result<Inserted, StoreError>> + Send;

    /// Inserts the next token of a line, and supersedes the one before in the same step.
    fn supersede(
        &self,
        supersede: &Supersede,
    ) -> impl Future<Output = Result<Superseded, StoreError>> + Send;

    /// Returns the row with this id, whatever its state.
    fn find(&self, id: TokenId) -> impl Future<Output = Result<Option<Row>, StoreError>> + Send;

    /// Returns a page of the rows that match.
    fn list(
        &self,
        filter: &Filter,
        page: Page,
    ) -> impl Future<Output = Result<Vec<Row>, StoreError>> + Send;

    /// Replaces rows, each if it is current: a compare-and-swap. One answer for each, in order.
    fn replace(
        &self,
        replaces: &[Replace],
    ) -> impl Future<Output = Result<Vec<Replaced>, StoreError>> + Send;

    /// Revokes every row that matches, and what was issued under it. Returns how many.
    fn revoke(
        &self,
        filter: &Filter,
        revocation: &Revocation,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Stores a batch of uses, forwards only.
    fn touch(
        &self,
        uses: &[(TokenId, LastUse)],
        now: Timestamp,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Deletes a bounded batch of rows. Returns how many.
    fn purge(
        &self,
        purge: &Purge,
        limit: u32,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Returns the keys under which unrevoked rows are sealed, in order.
    ///
    /// Unless it is overridden, it walks through all unrevoked rows.
    fn keys_in_use(&self) -> impl Future<Output = Result<Vec<KeyId>, StoreError>> + Send {
        async {
            let unrevoked = Filter { revoked: Some(false), ..Filter::every_token() };
            let (mut keys, mut page) = (BTreeSet::new(), Page::first(WALK_PAGE));
            loop {
                let rows = self.list(&unrevoked, page).await?;
                keys.extend(rows.iter().filter_map(Row::record).map(TokenRecord::key_id));
                match rows.last() {
                    Some(last) if rows.len() >= WALK_PAGE as usize => page = page.after(last.id()),
                    _ => return Ok(keys.into_iter().collect()),
                }
            }
        }
    }

    /// Describes what is odd about the store's tables or files, one finding an entry, for a log.
    ///
    /// Unless it is overridden, it finds nothing.
    fn diagnose(&self) -> impl Future<Output = Result<Vec<String>, StoreError>> + Send {
        async { Ok(Vec::new()) }
    }
}

/// How many rows the walk of [`TokenStore::keys_in_use`] holds in memory.
const WALK_PAGE: u32 = 500;

/// A store whose futures need no runtime. They are done at the first poll, or a thread of the store's own
/// wakes them.
///
/// [`TokenAuthority::blocking`](crate::TokenAuthority::blocking) needs it.
pub trait RuntimeFree: TokenStore {}
