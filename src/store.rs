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
mod row_bytes;
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
pub use sqlite::{SqliteOptions, SqliteStore, SqliteStoreError, SqliteTransaction};
pub use table::{InvalidTableName, TableName};

/// A place for tokens: a database, a file or memory.
///
/// # The contract
///
/// **Every change touches the rows of one owner, plus the uniqueness of a new id.** That gives a
/// key-value store its partition. Three calls may name rows of several owners: `replace` and
/// `touch` decide each row alone, and `revoke` and `purge` may go owner by owner.
///
/// **Dangerous** marks a clause whose breach lets a wrong token in, locks an owner out or loses a
/// token. The breach of any other is merely wrong or slow.
///
/// - A row is *live* by [`TokenRecord::is_live`].
/// - A row is *current* if it can be read, has no revocation, and has the revision of the form or
///   row that is handed in, which is below [`TokenRecord::MAX_REVISION`].
/// - To *revoke* a row: unless already revoked, record the revocation, clear the seal and increment
///   the revision, to `MAX_REVISION` at most. A row that has a revocation stays as it is.
/// - A row *derives from* a family if it is of the same owner and its `derived_from` is that family.
///
/// The engine hands in no damaged row or form. A form has the id, owner, family, `derived_from` and
/// `created_at` of its row.
///
/// **Every method**
///
/// 1. It happens wholly or not at all. What was answered `Ok` holds for every later call, on every
///    host, and after every crash that the store is meant to survive. *Dangerous: a revocation is
///    forgotten.*
///
///    Over several owners, `revoke` and `purge` may do this for each owner alone. They answer `Ok`
///    only when nothing is left. If one fails midway, the error is `unknown`.
/// 2. Every field of a row comes back exactly as it was given, and rows of every state come back.
///    *Dangerous: an `expires` turns into `Never`.*
/// 3. The error is [`StoreError::not_done`] only if it is certain that nothing was changed. In doubt
///    it is [`StoreError::unknown`]. *Dangerous: a change that was made is reported as not done.*
///
/// **`insert`**
///
/// 4. It never overwrites, and neither does `supersede`. If any owner has a row with the id, it
///    changes nothing and answers [`Inserted::IdTaken`]. *Dangerous: a row is overwritten.*
/// 5. With `under`: if that row is not there, has another owner or is not current, it changes
///    nothing and answers [`Inserted::Stale`]. *Dangerous: a token outlives its parent, or may do
///    more.*
/// 6. With `limit`: if the owner has that many live rows of other families, it changes nothing and
///    answers [`Inserted::LimitReached`]. The limit holds under concurrent calls.
/// 7. With `unique_label`: if a live row of this owner and of another family has the same label,
///    byte for byte, it changes nothing and answers [`Inserted::LabelTaken`]. That holds under
///    concurrent calls.
///
/// If several of these refuse, the first in this order answers.
///
/// **`supersede`**
///
/// 8. In one step the new row is inserted, and the superseded row takes its new form: its revision
///    is incremented, and its last use stays. If that row is not there or not current, nothing
///    changes and the answer is [`Superseded::Stale`]. *Dangerous: two successors, or none.*
/// 9. With `replaces`: in the same step that row is revoked. If it is not there, not current, was
///    used or has a successor, nothing changes and the answer is [`Superseded::Stale`]. *Dangerous:
///    two valid tokens, or a client that is locked out.*
/// 10. With `revokes_derived`: in the same step every row that derives from the new row's family is
///     revoked. *Dangerous: a token outlives its parent.*
///
/// **`find`**
///
/// 11. It returns the row with this id, whatever its state, or `None`. *Dangerous: an old copy, for
///     instance from a cache or a lagging replica, in which a revoked token is still valid.*
///
/// **`list`**
///
/// 12. It returns the rows that the filter matches and whose id is greater than `page.after`, in
///     order of id, at most `page.limit`.
///
/// **`replace`**
///
/// 13. It replaces each row only if that is current, and increments the revision. Otherwise it
///     leaves that row and answers [`Replaced::Stale`]. There is one answer for each request, in
///     their order. Each is decided alone, on the rows as those before it left them, and all that
///     are done are durable together. *Dangerous: a revoked token is revived, or a change is lost.*
/// 14. It leaves last use and revocation as they are in the store. *Dangerous: a revoked token is
///     revived.*
/// 15. With `unique_label` it keeps clause 7 and answers [`Replaced::LabelTaken`]. With
///     `revokes_derived`, in the same step, every row that derives from the row's family is revoked.
///     *Dangerous: a token may do more than its parent.*
///
/// **`revoke`**
///
/// 16. It revokes every row that the filter matches, and every row that derives from the family of a
///     matching row, even if the matching row was revoked already. It decides by the rows as they
///     stood before the call: what derives from a row that merely derives is not meant. It never
///     revokes a row that [`Filter::spares`]. It answers how many rows it revoked. *Dangerous: a row
///     is left out.*
/// 17. No row escapes by being inserted or superseded meanwhile. An `insert` or a `supersede` is
///     either before it, and its row is revoked, or after it, and sees the revocation. *Dangerous: a
///     successor stays valid.*
///
/// **`touch`**
///
/// 18. It stores a use that is later than the stored one. It also replaces a stored use that is more
///     than five minutes ([`CLOCK_TOLERANCE`]) after `now`, which a broken clock wrote. Any other
///     use changes nothing, and an unknown id is skipped. Nothing else of the row changes, not even
///     its revision. *Dangerous: a revocation is overwritten.*
///
/// **`purge`**
///
/// 19. It deletes rows that [`Purge`] selects, at most `limit`, and answers how many. A row that was
///     changed meanwhile and is no longer selected stays. *Dangerous: a live row is deleted, or one
///     through which clause 16 reaches a live row.*
///
/// **`keys_in_use`**
///
/// 20. It names every key under which an unrevoked row is sealed. It may name a key too many.
///     *Dangerous: it leaves out a key, which the host then takes out of its ring.*
///
/// **Damaged rows**
///
/// Six facts must stand apart from the rest of a row, so that the rest can be damaged without them:
/// id, owner, family, `derived_from`, `created_at`, and whether it is revoked. A column each does,
/// or the head of [`Row::to_bytes`]. A row whose owner can't be read belongs to no owner.
///
/// 21. A row that can't be read is a [`DamagedRow`] with these facts, and not an error. It blocks no
///     other row. `touch` skips it. It is never current, and never live; a store may count it as
///     live until it is revoked. *Dangerous: one damaged row keeps others from being revoked.*
/// 22. It is listed, revoked and deleted by these facts like any other row, as [`Filter`] and
///     [`PurgeCutoff`] say. Its first revocation stays, with its instant. A fact of a filter that
///     can't be read doesn't hold; a store that still reads it in a column of its own may let it
///     hold. *Dangerous: a row that is repaired later was left out.*
///
/// # Isolation
///
/// Serializable transactions suffice, and so does a single writer: wrap each method in one. At a
/// weaker level, lock what a clause rests on before you read it.
///
/// # Which filters are hot
///
/// Look-ups by id; an owner's rows; an owner's rows of one family, and those that derive from one;
/// and for reminders `expires_from` with `expires_before`. These want an index. The other filters
/// belong to operators and to daily work, and may walk through all rows.
///
/// # Writing one
///
/// [`rules`] holds what each change does, as pure functions of the request and the rows of one
/// owner. A key-value store reads those rows, asks the rules and writes the answer, in one write
/// transaction; [`Row::to_bytes`] makes a value of a row. `examples/redb_store` is such a store.
///
/// For a store in SQL, derive the statements from these clauses and from [`Filter`]'s public fields,
/// and compare it with the rules. Run the conformance suite over any store.
///
/// `Box<dyn TokenStore>` does not compile, since the methods are async:
/// [`DynStore`] holds any store.
///
/// The trait will grow by provided methods only. A new fact in a request, in [`Filter`] or in
/// [`RecordParts`](crate::record::RecordParts) is a new major version. So destructure them without
/// `..`.
#[doc(alias = "dyn TokenStore")]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a store for tokens",
    note = "take `SqliteStore` (feature `sqlite`), `PostgresStore` (feature `postgres`) or \
            `MemoryStore`, or implement `app_tokens::TokenStore`",
    note = "for a store that is chosen at run time, take `store::DynStore`"
)]
pub trait TokenStore: Send + Sync {
    /// Inserts the row of a new token. Clauses 4 to 7.
    fn insert(&self, insert: &Insert) -> impl Future<Output = Result<Inserted, StoreError>> + Send;

    /// Inserts the next token of a line, and supersedes the one before in the same step. Clauses 4
    /// and 8 to 10.
    fn supersede(
        &self,
        supersede: &Supersede,
    ) -> impl Future<Output = Result<Superseded, StoreError>> + Send;

    /// Returns the row with this id, whatever its state. Clause 11.
    fn find(&self, id: TokenId) -> impl Future<Output = Result<Option<Row>, StoreError>> + Send;

    /// Returns a page of the rows that match. Clause 12.
    fn list(
        &self,
        filter: &Filter,
        page: Page,
    ) -> impl Future<Output = Result<Vec<Row>, StoreError>> + Send;

    /// Replaces rows, each if it is current: a compare-and-swap. Clauses 13 to 15.
    fn replace(
        &self,
        replaces: &[Replace],
    ) -> impl Future<Output = Result<Vec<Replaced>, StoreError>> + Send;

    /// Revokes every row that matches, and what was issued under it. Clauses 16 and 17.
    fn revoke(
        &self,
        filter: &Filter,
        revocation: &Revocation,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Stores a batch of uses, forwards only. Clause 18.
    fn touch(
        &self,
        uses: &[(TokenId, LastUse)],
        now: Timestamp,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Deletes a bounded batch of rows. Clause 19.
    fn purge(
        &self,
        purge: &Purge,
        limit: u32,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Returns the keys under which unrevoked rows are sealed. Clause 20.
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
/// [`TokenAuthority::block_on`](crate::TokenAuthority::block_on) needs it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` needs an async runtime, so it can't be used with `block_on`",
    note = "`SqliteStore` and `MemoryStore` need none; with another store, await the call",
    note = "if the futures of your own store need no runtime, implement `RuntimeFree` for it"
)]
pub trait RuntimeFree: TokenStore {}
