//! [`TokenStore`]: the one trait that a host's own database implements, with its requests and
//! answers.
//!
//! A store keeps rows. It never sees a token's text, never decides whether a token is valid and
//! never reads a clock. It also returns rows of dead tokens. Its promises are the numbered clauses
//! on [`TokenStore`]; the [conformance suite] has a test for each.
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
pub use columns::{ColumnValue, FilterColumns, RowColumns};
pub use dyn_store::DynStore;
pub use error::{Certainty, StoreError};
pub use filter::{Filter, Page};
pub use memory::MemoryStore;
#[cfg(feature = "postgres")]
#[cfg_attr(docsrs, doc(cfg(feature = "postgres")))]
pub use postgres::{PostgresStore, PostgresStoreError, PostgresTransaction};
pub use request::{Insert, Inserted, Purge, PurgeCutoff, Replace, Replaced, Supersede, Superseded};
pub use row_bytes::NewerForm;
#[cfg(feature = "sqlite")]
#[cfg_attr(docsrs, doc(cfg(feature = "sqlite")))]
pub use sqlite::{SqliteOptions, SqliteStore, SqliteStoreError, SqliteTransaction};
pub use table::{InvalidTableName, TableName};

/// Keeps tokens: in a database, a file or memory.
///
/// Implement it to keep tokens in a database of your own. [`SqliteStore`], [`PostgresStore`] and
/// [`MemoryStore`] come with this crate.
///
/// # The contract
///
/// **Every change touches the rows of one owner, plus the uniqueness of a new id.** So a key-value
/// store can partition by owner. Four calls may name rows of several owners: `replace` and `touch`
/// decide each row alone; `revoke` and `purge` may go owner by owner.
///
/// **Dangerous** marks the worst clauses to break: a wrong token gets in, an owner is locked out,
/// or a token is lost. If any other clause is broken, the store is merely wrong or slow.
///
/// The clauses use these words:
///
/// - A row is *live* if [`TokenRecord::is_live`] says so.
/// - A row is *current* if it can be read and has no revocation. Its revision must also equal the
///   revision of the row or form that the request holds, and be below
///   [`TokenRecord::MAX_REVISION`].
/// - To *revoke* a row: unless it is already revoked, record the revocation, clear the seal and
///   increment the revision, up to `MAX_REVISION`. A row that has a revocation stays as it is.
/// - A row *derives from* a family if it has the same owner and its `derived_from` is that family.
/// - A *form* is what a stored row is to become. It has the id, owner, family, `derived_from` and
///   `created_at` of that row.
///
/// The engine never hands in a damaged row or form.
///
/// **Every method**
///
/// 1. A call happens entirely or not at all. After it answered `Ok`, every later call sees its
///    effect, on every host, and after every crash that the store is meant to survive.
///    *Dangerous: a revocation is forgotten.*
///
///    `revoke` and `purge` may be atomic for each owner alone. `revoke` answers `Ok` only when no
///    row is left to revoke. If either fails after it changed something, the error is `unknown`.
/// 2. Every field of a row comes back exactly as it was given, and rows in every state come back.
///    *Dangerous: an `expires` turns into `Never`.*
/// 3. Return [`StoreError::not_done`] only if it is certain that nothing was changed. If in doubt,
///    return [`StoreError::unknown`]. *Dangerous: a change that was made is reported as not done.*
///
/// **`insert`**
///
/// 4. `insert` and `supersede` never overwrite a row. If any owner has a row with the new id,
///    nothing changes and the answer is [`Inserted::IdTaken`] or [`Superseded::IdTaken`].
///    *Dangerous: a row is overwritten.*
/// 5. With `under`: if that row is missing, has another owner or is not current, nothing changes
///    and the answer is [`Inserted::Stale`]. *Dangerous: a token outlives its parent, or may do
///    more.*
/// 6. With `limit`: if the owner already has `limit` or more live rows in other families, nothing
///    changes and the answer is [`Inserted::LimitReached`]. This holds under concurrent calls.
/// 7. With `unique_label`: if a live row of the owner in another family has the label, nothing
///    changes and the answer is [`Inserted::LabelTaken`]. Labels are compared byte for byte. This
///    holds under concurrent calls.
///
/// If several of these refuse, the first in this order decides the answer.
///
/// **`supersede`**
///
/// 8. In one step, the new row is inserted and the superseded row gets its new form. The superseded
///    row's revision is incremented, and its last use stays. If that row is missing, has another
///    owner or is not current, nothing changes and the answer is [`Superseded::Stale`]. *Dangerous:
///    two successors, or none.*
/// 9. With `replaces`: that row is revoked in the same step. If it is missing, has another owner,
///    is not current, was used or has a successor, nothing changes and the answer is
///    [`Superseded::Stale`]. *Dangerous: two valid tokens, or a client that is locked out.*
/// 10. With `revokes_derived`: every row that derives from the new row's family is revoked in the
///     same step. *Dangerous: a token outlives its parent.*
///
/// **`find`**
///
/// 11. It returns the row with this id in whatever state it is, or `None`. *Dangerous: an old copy,
///     for instance from a cache or a lagging replica, in which a revoked token is still valid.*
///
/// **`list`**
///
/// 12. It returns the rows that the filter matches and that have an id greater than `page.after`,
///     in order of id, at most `page.limit`.
///
/// **`replace`**
///
/// 13. Each row that is current gets its new form, and its revision is incremented. Any other row
///     stays as it is, and the answer is [`Replaced::Stale`]. There is one answer for each request,
///     in the same order. Each request is decided alone, on the rows as the requests before it left
///     them. All changes of a call become durable together. *Dangerous: a revoked token is revived,
///     or a change is lost.*
/// 14. Last use and revocation stay as they are in the store, whatever the form says. *Dangerous: a
///     revoked token is revived.*
/// 15. With `unique_label`: it keeps clause 7, and answers [`Replaced::LabelTaken`]. With
///     `revokes_derived`: every row that derives from the row's family is revoked in the same step.
///     *Dangerous: a token may do more than its parent.*
///
/// **`revoke`**
///
/// 16. It revokes every row that the filter matches, and every row that derives from the family of
///     a matching row. A matching row that is already revoked counts for this, too. What derives
///     only from such a derived row is not included. A matching row with a successor reaches
///     nothing through its family if its end had come by `revocation.at`. Its line may be in use.
///     It reaches all the same if the filter names its id or its family. It never revokes a row
///     that [`Filter::spares`]. It answers how many rows it revoked. *Dangerous: a row is left
///     out.*
/// 17. It decides **as the rows stood before the call**: what it revokes itself must not change
///     which rows match. No row escapes by being inserted or superseded meanwhile: a concurrent
///     `insert` or `supersede` takes effect either before or after `revoke`. If before, its row is
///     revoked; if after, it finds the rows revoked. *Dangerous: a successor, or a token that was
///     issued under a matching one, stays valid.*
///
/// **`touch`**
///
/// 18. It stores a use that is later than the stored one. It also replaces a stored use that is
///     more than five minutes ([`CLOCK_TOLERANCE`]) after `now`, since a broken clock wrote it. Any
///     other use changes nothing, and an unknown id is skipped. Nothing else in the row changes,
///     not even its revision. *Dangerous: a revocation is overwritten.*
///
/// **`purge`**
///
/// 19. It deletes rows that [`Purge`] selects, at most `limit`, and answers how many it deleted. If
///     a row was changed meanwhile and is no longer selected, it stays. *Dangerous: a live row is
///     deleted, or one through which clause 16 reaches a live row.*
///
/// **`keys_in_use`**
///
/// 20. It names every key under which an unrevoked row is sealed. A key too many is allowed.
///     *Dangerous: a key is left out, and the host then removes it from its ring.*
///
/// **Damaged rows**
///
/// Six facts must stand apart from the rest of a row, so that the rest can be damaged without them.
/// These are the id, the owner, the family, `derived_from`, `created_at`, and whether it is
/// revoked. Keep each in a column of its own, or use the head of [`Row::to_bytes`]. If the owner
/// can't be read, the row belongs to no owner: no other row derives from its family, and it derives
/// from none. A store may still relate rows whose owners are the same unreadable text.
///
/// 21. A row that can't be read is returned as a [`DamagedRow`] with these facts, not as an error.
///     It blocks no other row. `touch` may skip it. It is never current. Until it is revoked, a
///     store may count it as live or not. A row that a newer version of the library wrote is
///     treated alike. But while it is unrevoked, `find` fails, and so does a list by `key_id`.
///     *Dangerous: one damaged row keeps others from being revoked.*
/// 22. It is listed, revoked and deleted by these facts like any other row, as [`Filter`] and
///     [`PurgeCutoff`] say. Its first revocation stays, with its instant. If a filter asks for a
///     fact that can't be read, the row does not match. A store that can still read the fact, in a
///     column of its own, may match the row. By clause 16 a damaged row reaches what derives from
///     its family. A store that can still read its successor and its end may go by them.
///     *Dangerous: a row that is repaired later was left out.*
///
/// # Besides the methods
///
/// - `Send + Sync`: a host calls the store from many threads at once.
/// - `Clone`, if the host clones the [`TokenAuthority`](crate::TokenAuthority) or spawns
///   [`Upkeep`](crate::upkeep::Upkeep). Clones must be cheap and share the rows: take a struct
///   around an `Arc`.
/// - [`RuntimeFree`], only if no future needs an async runtime. `block_on` takes no other store.
///
/// A method may block its thread for a short time: [`MemoryStore`] waits for a lock, and
/// [`SqliteStore`] looks up on the caller's thread. It makes changes and long lists on threads of
/// its own. In an async runtime, a thread that waits for a disk or the network holds up other
/// tasks. So await the driver, or let a thread of the store do it. A store that takes a task of the
/// runtime for it, such as tokio's `spawn_blocking`, is not `RuntimeFree`. `examples/redb_store`
/// commits on the caller's thread, which suits a host without a runtime. Hold no `std` lock across
/// an await: the future would not be `Send`.
///
/// # Isolation
///
/// Wrap each method in one serializable transaction, or let a single writer make all changes:
/// either is enough. At a weaker level, lock the rows that a clause depends on before you read
/// them. For clauses 6 and 7, lock the owner before you count. A lock on rows is not enough there:
/// the row of a concurrent `insert` does not exist yet.
///
/// # Which filters are hot
///
/// These look-ups need an index:
///
/// - by id;
/// - the rows of an owner;
/// - the rows of one family of an owner, and those that derive from it;
/// - for reminders, `expires_from` with `expires_before`.
///
/// All other filters serve operators and daily work, and may scan all rows.
///
/// # Writing one
///
/// [`rules`] says what each change does, as pure functions of the request and the rows of one
/// owner. In a key-value store, one write transaction reads those rows, asks the rules and writes
/// the decision. [`Row::to_bytes`] makes one value of a row. `examples/redb_store` is such a store.
///
/// For a store in SQL, derive the statements from these clauses and from [`Filter`]'s public
/// fields. Then compare the store with the rules.
///
/// Run the [conformance suite] over any store: it has a test for each clause.
///
/// `Box<dyn TokenStore>` does not compile, since the methods are async: use [`DynStore`], which
/// holds any store.
///
/// The trait will grow by provided methods only. A new fact in a request, in [`Filter`] or in
/// [`RecordParts`](crate::record::RecordParts) is a new major version. So destructure them without
/// `..`, and the compiler shows you each new fact.
///
/// [conformance suite]: https://docs.rs/app-tokens/latest/app_tokens/store/conformance/
/// [`SqliteStore`]: https://docs.rs/app-tokens/latest/app_tokens/store/struct.SqliteStore.html
/// [`PostgresStore`]: https://docs.rs/app-tokens/latest/app_tokens/store/struct.PostgresStore.html
#[doc(alias = "dyn TokenStore")]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a store for tokens",
    note = "take `SqliteStore` (feature `sqlite`), `PostgresStore` (feature `postgres`) or \
            `MemoryStore`, or implement `app_tokens::store::TokenStore`",
    note = "for a store that is chosen at run time, take `store::DynStore`"
)]
pub trait TokenStore: Send + Sync {
    /// Inserts the row of a new token, unless a limit, a label or a changed parent forbids it.
    ///
    /// Clauses 4 to 7. A refusal is an answer, not an error.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails (clause 3). If the outcome is `unknown`, the engine looks
    /// the id up, and may hand in the same row once more.
    fn insert(&self, insert: &Insert) -> impl Future<Output = Result<Inserted, StoreError>> + Send;

    /// Inserts the next token of a line, and supersedes the one before in the same step.
    ///
    /// Clauses 4 and 8 to 10.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails (clause 3).
    fn supersede(
        &self,
        supersede: &Supersede,
    ) -> impl Future<Output = Result<Superseded, StoreError>> + Send;

    /// Returns the row with this id, in whatever state it is; `None` if there is no such row.
    ///
    /// Clause 11. Every authentication calls it once, so it should be one look-up by key.
    ///
    /// # Errors
    /// [`StoreError`] if the row can't be looked up, or if it is a [`NewerForm`]. The client gets
    /// 503, never 401. Any other row that is there but can't be read is no error: it is damaged
    /// (clause 21).
    fn find(&self, id: TokenId) -> impl Future<Output = Result<Option<Row>, StoreError>> + Send;

    /// Returns a page of the rows that a filter matches, in order of id.
    ///
    /// Clause 12.
    ///
    /// # Errors
    /// [`StoreError`] if the rows can't be read. Never return part of a page instead: it would look
    /// like the end of the list.
    fn list(
        &self,
        filter: &Filter,
        page: Page,
    ) -> impl Future<Output = Result<Vec<Row>, StoreError>> + Send;

    /// Replaces each row that is still current: a compare-and-swap by revision.
    ///
    /// Clauses 13 to 15. A batch may hold thousands of rows and one row several times.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails (clause 3). Then no row of the batch is replaced, or it is
    /// unknown.
    fn replace(
        &self,
        replaces: &[Replace],
    ) -> impl Future<Output = Result<Vec<Replaced>, StoreError>> + Send;

    /// Revokes every row that a filter matches, and what was issued under it. Returns how many.
    ///
    /// Clauses 16 and 17.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails (clauses 1 and 3). Some rows may be revoked then.
    fn revoke(
        &self,
        filter: &Filter,
        revocation: &Revocation,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Stores a batch of last uses. A use never replaces a later one, unless a broken clock wrote
    /// that.
    ///
    /// Clause 18. A batch may name one id several times.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails. The engine hands in the same uses again later.
    fn touch(
        &self,
        uses: &[(TokenId, LastUse)],
        now: Timestamp,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Deletes rows that a purge selects, at most `limit`. Returns how many.
    ///
    /// Clause 19.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails (clauses 1 and 3). Some rows may be deleted then.
    fn purge(
        &self,
        purge: &Purge,
        limit: u32,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Returns the keys under which unrevoked rows are sealed. A key too many is allowed.
    ///
    /// Clause 20. Unless it is overridden, it lists all unrevoked rows, 500 at a time. **A store
    /// that wraps another must pass this call on**, or the first issue of a process reads all rows.
    ///
    /// # Errors
    /// [`StoreError`] if the rows can't be read.
    fn keys_in_use(&self) -> impl Future<Output = Result<Vec<KeyId>, StoreError>> + Send {
        async {
            let unrevoked = Filter { revoked: Some(false), ..Filter::every_token() };
            // A damaged row is skipped: no key of it can be read, and it never authenticates.
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

    /// Describes what is wrong with the store's tables or files, for a log: one finding an entry.
    ///
    /// Unless it is overridden, it finds nothing. A store that wraps another must pass it on.
    ///
    /// # Errors
    /// [`StoreError`] if the store can't be examined.
    fn diagnose(&self) -> impl Future<Output = Result<Vec<String>, StoreError>> + Send {
        async { Ok(Vec::new()) }
    }
}

/// How many rows [`TokenStore::keys_in_use`] reads at a time, so that memory stays bounded.
const WALK_PAGE: u32 = 500;

/// Marks a store with futures that need no async runtime.
///
/// They are done at the first poll, or a thread of the store itself wakes them.
/// [`TokenAuthority::block_on`](crate::TokenAuthority::block_on) takes such a store only. On any
/// other, a future could wait forever for a runtime that does not run.
///
/// Implement it for your own store only if its futures use no timer, socket or task of a runtime.
#[diagnostic::on_unimplemented(
    message = "`{Self}` needs an async runtime, so it can't be used with `block_on`",
    note = "`SqliteStore` and `MemoryStore` need none; with another store, await the call",
    note = "if the futures of your own store need no runtime, implement `RuntimeFree` for it"
)]
pub trait RuntimeFree: TokenStore {}
