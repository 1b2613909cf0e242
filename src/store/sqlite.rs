//! [`SqliteStore`]: tokens in an SQLite file. The statements stand in the order of the contract on `TokenStore`.

use std::error::Error;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use rusqlite::types::Value;
use rusqlite::{Connection, Statement, ToSql, params, params_from_iter};

mod failure;
mod migrate;
mod open;
#[cfg(test)]
mod plans;
mod reader;
mod statements;
mod transaction;
mod watch;
mod worker;
mod writer;

pub use open::SqliteStoreError;
pub use transaction::SqliteTransaction;

use self::failure::Failure;
use self::open::{open_memory, open_writer, whole_path};
use self::reader::Readers;
use self::statements::Statements;
use self::writer::{Writer, write_file, write_memory};
use super::columns::{as_id, number, revision};
use super::{
    Columns, Facts, Filter, Insert, Inserted, Page, Purge, Replace, Replaced, Row, RuntimeFree,
    StoreError, Supersede, TableName, TokenStore,
};
use crate::key::KeyId;
use crate::record::{CLOCK_TOLERANCE, LastUse, Revocation, TokenRecord};
use crate::text::Owner;
use crate::timestamp::Timestamp;
use crate::token::TokenId;

/// Tokens in an SQLite file. Clones are one store; needs no runtime.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("app.db");
/// use app_tokens::store::SqliteStore;
/// let store = SqliteStore::open(path)?;
/// # Ok(())
/// # }
/// ```
///
/// # The file
/// It may be the host's own database: the tables are `app_tokens` and `app_tokens_schema`, or those of
/// [`open_with_table`](SqliteStore::open_with_table), and no other is looked at. They are made where they are missing and migrated
/// where they are older; newer ones are refused. [`SqliteStore::MIGRATIONS`] has the SQL for a host that would rather run it by
/// itself. The file is switched to a write-ahead log (WAL), which stays so; every other setting is one of this store's own
/// connections only. SQLite 3.37 or newer is needed, and a local file system. A new file is for its owner only (mode 0600).
///
/// Several processes may have it open. While one has, neither move, replace nor copy the file, its `-wal` or its `-shm`: `VACUUM INTO`
/// or `sqlite3 app.db ".backup copy.db"` makes a copy. On Unix a file that was nevertheless moved, deleted or replaced is noticed
/// before and after each change, and by look-ups within a second; every call fails until it is back, or the store is opened anew.
///
/// # Durability
/// A change is answered after it was committed and synced (`synchronous = FULL`; on macOS `fullfsync`, too). Changes that come
/// while another is being synced are committed together; one that fails, for instance because it alone is too big for the disk, fails
/// alone. A commit that fails in the middle of writing is [`Unknown`](super::Certainty::Unknown): a crash may yet bring it back.
/// What is deleted is overwritten (`secure_delete`), though not yet in the write-ahead log.
///
/// # Failures
/// A full disk, a lock that is held for longer than 5 seconds, a file that became read-only: each fails the calls that it concerns
/// and says so, and the store goes on by itself when the cause is gone. Behind a lock that is not let go in time, all changes that
/// wait by then fail together: none waits 5 seconds for each that came before it. A damaged file fails whatever reads the damaged
/// part, and denies nobody: [`SqliteStoreError`] says what a start is refused for.
///
/// # Threads
/// Looking up, and listing by id or owner, runs on the caller's thread and never waits for a writer. A look-up takes a few
/// microseconds, so an async host calls it as it is. A thread that looks up again and again gets a connection of its own, at most 32
/// threads do, and closes it when it ends. Other lists, which may walk through the whole table, run one after the other on a thread
/// of the store's that the first of them starts. Changes run on another one. Both end when the last clone is dropped.
///
/// # In the host's own transaction
/// [`SqliteTransaction`] issues and revokes on a connection of the host's, together with what else that writes.
#[derive(Clone)]
pub struct SqliteStore(Arc<Inner>);

struct Inner {
    readers: Readers,
    /// Dropped last: who closes a file last also cleans up its write-ahead log.
    writer: Writer,
    table: TableName,
    /// For error messages.
    name: Arc<str>,
}

impl SqliteStore {
    /// The SQL that makes each version of the tables of the one before, the first of nothing, for a host that runs its migrations
    /// itself. Each notes its version in `app_tokens_schema` and belongs in a transaction. [`SqliteStore::open`] runs what is missing.
    ///
    /// [`TableName::in_sql`] writes them over other tables.
    pub const MIGRATIONS: &'static [&'static str] = migrate::MIGRATIONS;

    /// Opens the file, or makes it, and its tables where they are missing.
    ///
    /// # Errors
    /// [`SqliteStoreError`] says what is wrong with the file.
    pub fn open(path: impl AsRef<Path>) -> Result<SqliteStore, SqliteStoreError> {
        SqliteStore::open_with_table(path, TableName::default())
    }

    /// The same, in other tables: several realms, tenants or applications in one file. Their name has no schema.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("app.db");
    /// use app_tokens::store::SqliteStore;
    /// let (web, api) = ("web_tokens".parse()?, "api_tokens".parse()?);
    /// let web = SqliteStore::open_with_table(&path, web)?;
    /// let api = SqliteStore::open_with_table(&path, api)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`open`](SqliteStore::open), and [`SqliteStoreError::HasSchema`].
    pub fn open_with_table(
        path: impl AsRef<Path>,
        table: TableName,
    ) -> Result<SqliteStore, SqliteStoreError> {
        let path = whole_path(path.as_ref())?;
        let (connection, watch) = open_writer(&path, &table)?;
        let readers = Readers::open(&path, &table, watch.clone())
            .map_err(|error| SqliteStoreError::new(&path, error))?;
        let name = Arc::<str>::from(path.to_string_lossy());
        let writes = table.clone();
        let write = move |jobs| write_file(&connection, &writes, &watch, &jobs);
        let writer = Writer::start(name.clone(), write)
            .map_err(|error| SqliteStoreError::Failed { path, source: error.into() })?;
        Ok(SqliteStore(Arc::new(Inner { readers, writer, table, name })))
    }

    /// A new database in memory, which ends with the store: for tests. One connection reads and writes.
    ///
    /// # Errors
    /// [`SqliteStoreError`] if SQLite is too old, or there is no memory or thread.
    pub fn in_memory() -> Result<SqliteStore, SqliteStoreError> {
        let (table, name) = (TableName::default(), Arc::<str>::from(":memory:"));
        let connection = Arc::new(Mutex::new(open_memory(&table)?));
        let readers = Readers::of_memory(connection.clone(), &table);
        let writes = table.clone();
        let write = move |jobs| write_memory(&connection, &writes, &jobs);
        let writer = Writer::start(name.clone(), write).map_err(|error| {
            SqliteStoreError::Failed { path: ":memory:".into(), source: error.into() }
        })?;
        Ok(SqliteStore(Arc::new(Inner { readers, writer, table, name })))
    }

    fn failure(&self, error: rusqlite::Error) -> StoreError {
        StoreError::not_done(Failure::new(self.0.name.clone(), error))
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SqliteStore").field(&self.0.name).finish()
    }
}

impl TokenStore for SqliteStore {
    async fn insert(&self, insert: &Insert) -> Result<Inserted, StoreError> {
        let insert = insert.clone();
        self.0.writer.write(move |statements| create(statements, &insert)).await
    }

    async fn find(&self, id: TokenId) -> Result<Option<Row>, StoreError> {
        self.0.readers.find(id).map_err(|error| self.failure(error))
    }

    async fn list(&self, filter: &Filter, page: Page) -> Result<Vec<Row>, StoreError> {
        let Inner { readers, table, .. } = &*self.0;
        let rows = if filter.id.is_some() || filter.owner.is_some() {
            readers.read(|connection| rows_of(connection, table, filter, page))
        } else {
            let (filter, table) = (filter.clone(), table.clone());
            readers.walk(move |connection| rows_of(connection, &table, &filter, page)).await
        };
        rows.map_err(|error| self.failure(error))
    }

    async fn replace(&self, replace: &Replace) -> Result<Replaced, StoreError> {
        let replace = replace.clone();
        self.0.writer.write(move |statements| exchange(statements, &replace)).await
    }

    async fn revoke(&self, filter: &Filter, revocation: &Revocation) -> Result<u64, StoreError> {
        let (filter, revocation) = (filter.clone(), revocation.clone());
        self.0.writer.write(move |statements| end_matching(statements, &filter, &revocation)).await
    }

    async fn touch(&self, uses: &[(TokenId, LastUse)], now: Timestamp) -> Result<(), StoreError> {
        let uses = uses.to_vec();
        self.0.writer.write(move |statements| note_uses(statements, &uses, now)).await
    }

    async fn purge(&self, purge: &Purge, limit: u32) -> Result<u64, StoreError> {
        let purge = purge.clone();
        self.0.writer.write(move |statements| deletion(&purge, limit).execute(statements)).await
    }
}

impl RuntimeFree for SqliteStore {}

// -- insert

const ID_TAKEN: &str = "SELECT 1 FROM app_tokens WHERE id = ?1";
const CURRENT: &str = "
    SELECT 1 FROM app_tokens
    WHERE id = ?1 AND revoked_at IS NULL AND revision = ?2 AND revision < 9223372036854775807";
const CURRENT_OF_OWNER: &str = "
    SELECT 1 FROM app_tokens
    WHERE id = ?1 AND revoked_at IS NULL AND revision = ?2 AND revision < 9223372036854775807 AND owner = ?3";
const CURRENT_AND_UNUSED: &str = "
    SELECT 1 FROM app_tokens
    WHERE id = ?1 AND revoked_at IS NULL AND revision = ?2 AND revision < 9223372036854775807
        AND last_used_at IS NULL AND successor IS NULL";
const LIVE_OF_OTHER_FAMILIES: &str = "
    SELECT count(*) FROM app_tokens
    WHERE owner = ?1 AND family <> ?2 AND revoked_at IS NULL AND successor IS NULL
        AND (expires_at IS NULL OR expires_at > ?3)";
const LABEL_TAKEN: &str = "
    SELECT 1 FROM app_tokens
    WHERE owner = ?1 AND family <> ?2 AND revoked_at IS NULL AND successor IS NULL
        AND (expires_at IS NULL OR expires_at > ?3) AND label = ?4";
const CREATE: &str = "
    INSERT INTO app_tokens (
        id, digest, owner, label, scopes, resources, issued_by, created_at, expires_at, family, successor, derived_from,
        key_id, seal, revision, revoked_at, revoked_reason, revoked_by, last_used_at, last_used_address, last_used_client
    ) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)";
/// The same numbers as in [`CREATE`], so far as a new form changes the columns.
const SWAP: &str = "
    UPDATE app_tokens
    SET digest = ?2, owner = ?3, label = ?4, scopes = ?5, resources = ?6, issued_by = ?7, created_at = ?8, expires_at = ?9,
        family = ?10, successor = ?11, derived_from = ?12, key_id = ?13, seal = ?14, revision = revision + 1
    WHERE id = ?1 AND revoked_at IS NULL AND revision = ?15 AND revision < 9223372036854775807";

fn create(statements: &mut Statements<'_>, insert: &Insert) -> rusqlite::Result<Inserted> {
    let Insert { row, now, limit, unique_label, under, supersede } = insert;
    let Some(new) = row.record() else {
        return Err(rusqlite::Error::ToSqlConversionFailure(
            "a damaged row can't be inserted".into(),
        ));
    };
    if statements.exists(ID_TAKEN, [number(new.id())])? {
        return Ok(Inserted::IdTaken);
    }
    if let Some(parent) = under
        && !is_current_of(statements, new.owner(), parent)?
    {
        return Ok(Inserted::Stale);
    }
    if let Some(supersede) = supersede
        && !may_supersede(statements, supersede)?
    {
        return Ok(Inserted::Stale);
    }
    if let Some(limit) = limit {
        let others = params![new.owner().as_str(), number(new.family()), now.as_unix()];
        if statements.count(LIVE_OF_OTHER_FAMILIES, others)? >= i64::from(*limit) {
            return Ok(Inserted::LimitReached);
        }
    }
    if *unique_label && label_is_taken(statements, new, *now)? {
        return Ok(Inserted::LabelTaken);
    }

    if let Some(Supersede { row, replaces, ends_derived, revocation }) = supersede {
        swap(statements, row)?;
        if let Some(replaced) = replaces {
            let Revocation { at, reason, by } = revocation;
            let values =
                params![at.as_unix(), reason.as_str(), by.to_string(), number(replaced.id())];
            statements.execute(REVOKE_ONE, values)?;
        }
        if *ends_derived {
            end_derived(statements, new, revocation)?;
        }
    }
    statements.execute(CREATE, parameters(&Columns::of(new)))?;
    Ok(Inserted::Done)
}

/// Revokes what was issued under a record's family.
fn end_derived(
    statements: &mut Statements<'_>,
    from: &TokenRecord,
    Revocation { at, reason, by }: &Revocation,
) -> rusqlite::Result<()> {
    let (owner, family) = (from.owner().as_str(), number(from.family()));
    let values = params![at.as_unix(), reason.as_str(), by.to_string(), owner, family];
    statements.execute(REVOKE_DERIVED, values).map(drop)
}

fn is_current_of(
    statements: &mut Statements<'_>,
    owner: &Owner,
    parent: &Row,
) -> rusqlite::Result<bool> {
    let Some(parent) = parent.record() else {
        return Ok(false);
    };
    let parent = params![number(parent.id()), revision(parent), owner.as_str()];
    statements.exists(CURRENT_OF_OWNER, parent)
}

fn may_supersede(statements: &mut Statements<'_>, supersede: &Supersede) -> rusqlite::Result<bool> {
    let Some(new_form) = supersede.row.record() else {
        return Ok(false);
    };
    if !statements.exists(CURRENT, [number(new_form.id()), revision(new_form)])? {
        return Ok(false);
    }
    let Some(replaced) = &supersede.replaces else {
        return Ok(true);
    };
    let Some(replaced) = replaced.record() else {
        return Ok(false);
    };
    statements.exists(CURRENT_AND_UNUSED, [number(replaced.id()), revision(replaced)])
}

fn label_is_taken(
    statements: &mut Statements<'_>,
    new: &TokenRecord,
    now: Timestamp,
) -> rusqlite::Result<bool> {
    let (owner, label) = (new.owner().as_str(), new.label().as_str());
    statements.exists(LABEL_TAKEN, params![owner, number(new.family()), now.as_unix(), label])
}

/// Writes a row's new form where the stored one has the expected revision. Last use and revocation stay.
fn swap(statements: &mut Statements<'_>, row: &Row) -> rusqlite::Result<bool> {
    let Some(new_form) = row.record() else {
        return Ok(false);
    };
    let columns = Columns::of(new_form);
    Ok(statements.execute(SWAP, &parameters(&columns)[..15])? == 1)
}

// -- find, list

macro_rules! select_row {
    () => {
        "
    SELECT id, digest, owner, label, scopes, resources, issued_by, created_at, expires_at, family, successor, derived_from,
        key_id, seal, revision, revoked_at, revoked_reason, revoked_by, last_used_at, last_used_address, last_used_client
    FROM app_tokens"
    };
}

const FIND: &str = concat!(select_row!(), " WHERE id = ?1");
/// A row whose id was changed to a number that is none can't be named, and no token leads to it.
const LIST: &str = concat!(select_row!(), " WHERE id <= 1125899906842623");
const AFTER_ID: &str = " AND id > ?";
const IN_ORDER_OF_ID: &str = " ORDER BY id LIMIT ?";
const AMONG: &str = " AND id IN (";
const AMONG_END: &str = ")";
const UNDER_ONE_KEY: &str = "SELECT id FROM app_tokens WHERE revoked_at IS NULL AND key_id = ?";
const UNDER_SMALLER_KEYS: &str =
    "SELECT id FROM app_tokens WHERE revoked_at IS NULL AND key_id < ?";
const OR_KEYS_BETWEEN: &str =
    " UNION ALL SELECT id FROM app_tokens WHERE revoked_at IS NULL AND key_id > ? AND key_id < ?";
const OR_GREATER_KEYS: &str =
    " UNION ALL SELECT id FROM app_tokens WHERE revoked_at IS NULL AND key_id > ?";
const COUNT: &str = "SELECT count(*) FROM (";
const COUNT_END: &str = " LIMIT ?)";
/// As many candidates as are looked up one by one and put in order for each page. Where there are more, they lie so close in the
/// table that a page is soon full on a walk in order of id.
const FEW: i64 = 2000;
/// SQLite puts 500 selects together at most.
const MOST_KEYS: usize = 400;

fn look_up(statement: &mut Statement<'_>, id: TokenId) -> rusqlite::Result<Option<Row>> {
    let mut rows = statement.query([number(id)])?;
    rows.next()?.map(row_of).transpose()
}

fn rows_of(
    connection: &Connection,
    table: &TableName,
    filter: &Filter,
    page: Page,
) -> rusqlite::Result<Vec<Row>> {
    let few = match candidates(filter) {
        Some(candidates) if candidates.are_few(connection, table)? => Some(candidates),
        _ => None,
    };
    let list = list_of(filter, page, few);
    let mut statement = connection.prepare(&table.in_sql(&list.sql))?;
    statement.query_and_then(params_from_iter(list.values), row_of)?.collect()
}

fn list_of(filter: &Filter, page: Page, candidates: Option<Query>) -> Query {
    let mut list = Query::new(LIST);
    if let Some(candidates) = candidates {
        list.add(AMONG, []);
        list.append(candidates);
        list.add(AMONG_END, []);
    }
    list.add_filter(filter);
    list.add(AFTER_ID, [Value::Integer(page.after.map_or(-1, number))]);
    list.add(IN_ORDER_OF_ID, [Value::from(page.limit)]);
    list
}

/// The ids of rows among which all that match are, by an index that is not in order of id. `None` where there is none, or where the
/// rows come out of an index, or the table, in order anyhow.
fn candidates(filter: &Filter) -> Option<Query> {
    if filter.id.is_some() || filter.owner.is_some() || filter.family.is_some() {
        return None;
    }
    if filter.revoked == Some(false)
        && (filter.key_id.is_some() || !filter.except_key_ids.is_empty())
    {
        return under_keys(filter.key_id, &filter.except_key_ids);
    }
    let (expires_before, expires_from) = (filter.expires_before, filter.expires_from);
    let by_one_index = if expires_before.is_some() || expires_from.is_some() {
        Filter { expires_before, expires_from, ..Filter::every_token() }
    } else {
        Filter { last_used_before: Some(filter.last_used_before?), ..Filter::every_token() }
    };
    let mut ids = Query::new(MATCHING);
    ids.add_filter(&by_one_index);
    Some(ids)
}

/// The ids of unrevoked rows under one key, or under any but some: before, between and after these.
fn under_keys(key_id: Option<KeyId>, except: &[KeyId]) -> Option<Query> {
    if let Some(key_id) = key_id {
        let mut ids = Query::new(UNDER_ONE_KEY);
        ids.add("", [key_id.as_u32().into()]);
        return Some(ids);
    }
    let mut keys: Vec<u32> = except.iter().map(|key| key.as_u32()).collect();
    keys.sort_unstable();
    let (first, last) = (*keys.first()?, *keys.last()?);
    if keys.len() > MOST_KEYS {
        return None;
    }
    let mut ids = Query::new(UNDER_SMALLER_KEYS);
    ids.add("", [first.into()]);
    for two in keys.windows(2) {
        ids.add(OR_KEYS_BETWEEN, two.iter().map(|key| (*key).into()));
    }
    ids.add(OR_GREATER_KEYS, [last.into()]);
    Some(ids)
}

// -- replace

fn exchange(statements: &mut Statements<'_>, replace: &Replace) -> rusqlite::Result<Replaced> {
    let Replace { row, now, unique_label, ends_derived } = replace;
    let Some(new_form) = row.record() else {
        return Ok(Replaced::Stale);
    };
    if !statements.exists(CURRENT, [number(new_form.id()), revision(new_form)])? {
        return Ok(Replaced::Stale);
    }
    if *unique_label && label_is_taken(statements, new_form, *now)? {
        return Ok(Replaced::LabelTaken);
    }
    if !swap(statements, row)? {
        return Ok(Replaced::Stale);
    }
    if let Some(revocation) = ends_derived {
        end_derived(statements, new_form, revocation)?;
    }
    Ok(Replaced::Done)
}

// -- revoke

/// Decodes nothing, and takes a revision that was damaged for what it can be.
macro_rules! revoke {
    () => {
        "
    UPDATE app_tokens
    SET revoked_at = ?, revoked_reason = ?, revoked_by = ?, seal = NULL,
        revision = CASE WHEN revision < 0 THEN 0 WHEN revision < 9223372036854775807 THEN revision + 1 ELSE revision END
    WHERE revoked_at IS NULL"
    };
}

const REVOKE: &str = revoke!();
const REVOKE_ONE: &str = concat!(revoke!(), " AND id = ?");
const REVOKE_DERIVED: &str = concat!(revoke!(), " AND owner = ? AND derived_from = ?");
/// Ends in an open parenthesis, which [`MATCHING_END`] closes.
const REVOKE_DERIVED_FROM_MATCHING: &str = concat!(
    revoke!(),
    " AND derived_from IS NOT NULL
        AND (derived_from, owner) IN (SELECT family, owner FROM app_tokens WHERE TRUE"
);
const MATCHING_END: &str = ")";

fn end_matching(
    statements: &Statements<'_>,
    filter: &Filter,
    revocation: &Revocation,
) -> rusqlite::Result<u64> {
    // The derived rows first: whose families match is asked before any row has changed.
    let derived = revocation_of_derived(filter, revocation).execute(statements)?;
    Ok(derived + revocation_of(REVOKE, filter, revocation).execute(statements)?)
}

fn revocation_of_derived(filter: &Filter, revocation: &Revocation) -> Query {
    let mut query = revocation_of(REVOKE_DERIVED_FROM_MATCHING, filter, revocation);
    query.add(MATCHING_END, []);
    query.add_fact(WITHOUT_ID, filter.except_id.map(|id| number(id).into()));
    query
}

fn revocation_of(sql: &'static str, filter: &Filter, revocation: &Revocation) -> Query {
    let Revocation { at, reason, by } = revocation;
    let mut query = Query::new(sql);
    query.add("", [Value::Integer(at.as_unix()), text(reason), text(by)]);
    query.add_filter(filter);
    query
}

// -- touch

const TOUCH: &str = "
    UPDATE app_tokens SET last_used_at = ?2, last_used_address = ?3, last_used_client = ?4
    WHERE id = ?1 AND (last_used_at IS NULL OR last_used_at < ?2 OR last_used_at > ?5)";

fn note_uses(
    statements: &mut Statements<'_>,
    uses: &[(TokenId, LastUse)],
    now: Timestamp,
) -> rusqlite::Result<()> {
    let believed_until = now.saturating_add(CLOCK_TOLERANCE).as_unix();
    for (id, LastUse { at, address, client }) in uses {
        let address = address.map(|address| address.to_string());
        statements.execute(
            TOUCH,
            params![number(*id), at.as_unix(), address, client.as_deref(), believed_until],
        )?;
    }
    Ok(())
}

// -- purge

/// Ends in an open parenthesis, which [`AT_MOST`] closes.
const DELETE: &str = "DELETE FROM app_tokens WHERE id IN (";
const MATCHING: &str = "SELECT id FROM app_tokens WHERE TRUE";
/// Three ways to be dead, each by its own index whatever ANALYZE has counted, and each row once. A comparison with NULL holds for no
/// row: without an idle time-out its time is NULL.
const DEAD: &str = "
    SELECT id FROM (
        SELECT id, owner, family, successor FROM app_tokens WHERE revoked_at <= ?1
        UNION ALL
        SELECT id, owner, family, successor FROM app_tokens
        WHERE expires_at <= ?1 AND (revoked_at IS NULL OR revoked_at > ?1)
        UNION ALL
        SELECT id, owner, family, successor FROM app_tokens
        WHERE max(created_at, coalesce(last_used_at, created_at)) <= ?2
            AND (revoked_at IS NULL OR revoked_at > ?1) AND (expires_at IS NULL OR expires_at > ?1)
    ) AS dead
    WHERE NOT (successor IS NOT NULL AND EXISTS (
            SELECT 1 FROM app_tokens AS other
            WHERE other.owner = dead.owner AND other.family = dead.family AND other.id <> dead.id
                AND other.revoked_at IS NULL AND (other.expires_at IS NULL OR other.expires_at > ?3)))
        AND NOT EXISTS (
            SELECT 1 FROM app_tokens AS other
            WHERE other.owner = dead.owner AND other.derived_from = dead.family AND other.id <> dead.id
                AND other.revoked_at IS NULL AND (other.expires_at IS NULL OR other.expires_at > ?3))";
const AT_MOST: &str = " LIMIT ?)";

fn deletion(purge: &Purge, limit: u32) -> Query {
    let mut delete = Query::new(DELETE);
    match purge {
        Purge::Matching(filter) => {
            delete.add(MATCHING, []);
            delete.add_filter(filter);
        }
        Purge::Dead(dead) => {
            let unused_since = dead.unused_since.map(Timestamp::as_unix);
            let times = [Some(dead.ended_by.as_unix()), unused_since, Some(dead.now.as_unix())];
            delete.add(DEAD, times.map(Value::from));
        }
    }
    delete.add(AT_MOST, [Value::from(limit)]);
    delete
}

// -- filter

const WITH_ID: &str = " AND id = ?";
const OF_OWNER: &str = " AND owner = ?";
const OF_FAMILY: &str = " AND family = ?";
const WITHOUT_ID: &str = " AND id <> ?";
const UNDER_KEY: &str = " AND key_id = ?";
const UNDER_OTHER_KEYS: &str = " AND key_id NOT IN (?";
const AND_OTHER: &str = ", ?";
const OTHERS_END: &str = ")";
const REVOKED: &str = " AND revoked_at IS NOT NULL";
const UNREVOKED: &str = " AND revoked_at IS NULL";
const SUPERSEDED: &str = " AND successor IS NOT NULL";
const UNSUPERSEDED: &str = " AND successor IS NULL";
const EXPIRES_BEFORE: &str = " AND expires_at < ?";
const EXPIRES_FROM: &str = " AND expires_at >= ?";
const CREATED_BEFORE: &str = " AND created_at < ?";
const LAST_USED_BEFORE: &str = " AND max(created_at, coalesce(last_used_at, created_at)) < ?";

/// A statement that is put together from the constants above, and what is bound to it.
struct Query {
    sql: String,
    values: Vec<Value>,
}

impl Query {
    fn new(sql: &'static str) -> Query {
        Query { sql: sql.into(), values: Vec::new() }
    }

    fn add(&mut self, sql: &'static str, values: impl IntoIterator<Item = Value>) {
        self.sql.push_str(sql);
        self.values.extend(values);
    }

    /// What [`Filter::matches`] says.
    fn add_filter(&mut self, filter: &Filter) {
        let Facts {
            id,
            owner,
            family,
            except_id,
            key_id,
            except_key_ids,
            revoked,
            superseded,
            expires_before,
            expires_from,
            created_before,
            last_used_before,
        } = Facts::of(filter);
        self.add_fact(WITH_ID, id.map(Value::from));
        self.add_fact(OF_OWNER, owner.map(|owner| Value::Text(owner.into())));
        self.add_fact(OF_FAMILY, family.map(Value::from));
        self.add_fact(WITHOUT_ID, except_id.map(Value::from));
        self.add_fact(UNDER_KEY, key_id.map(Value::from));
        if let [first, others @ ..] = &except_key_ids[..] {
            self.add(UNDER_OTHER_KEYS, [Value::from(*first)]);
            others.iter().for_each(|other| self.add(AND_OTHER, [Value::from(*other)]));
            self.add(OTHERS_END, []);
        }
        if let Some(revoked) = revoked {
            self.add(if revoked { REVOKED } else { UNREVOKED }, []);
        }
        if let Some(superseded) = superseded {
            self.add(if superseded { SUPERSEDED } else { UNSUPERSEDED }, []);
        }
        self.add_fact(EXPIRES_BEFORE, expires_before.map(Value::from));
        self.add_fact(EXPIRES_FROM, expires_from.map(Value::from));
        self.add_fact(CREATED_BEFORE, created_before.map(Value::from));
        self.add_fact(LAST_USED_BEFORE, last_used_before.map(Value::from));
    }

    fn add_fact(&mut self, sql: &'static str, value: Option<Value>) {
        if value.is_some() {
            self.add(sql, value);
        }
    }

    fn append(&mut self, other: Query) {
        self.sql.push_str(&other.sql);
        self.values.extend(other.values);
    }

    /// Whether the rows are [`FEW`].
    fn are_few(&self, connection: &Connection, table: &TableName) -> rusqlite::Result<bool> {
        let one_more = Value::Integer(FEW + 1);
        let values = params_from_iter(self.values.iter().chain([&one_more]));
        let count = self.count();
        let count = table.in_sql(&count);
        connection.query_row(&count, values, |row| Ok(row.get::<_, i64>(0)? <= FEW))
    }

    /// Counts the rows, but only so far.
    fn count(&self) -> String {
        format!("{COUNT}{}{COUNT_END}", self.sql)
    }

    fn execute(&self, statements: &Statements<'_>) -> rusqlite::Result<u64> {
        let changed = statements.execute_once(&self.sql, params_from_iter(&self.values))?;
        Ok(changed as u64)
    }
}

// -- a row and its columns

fn text(text: &impl ToString) -> Value {
    Value::Text(text.to_string())
}

/// What [`CREATE`] binds.
fn parameters<'c>(columns: &'c Columns<'_>) -> [&'c dyn ToSql; 21] {
    [
        &columns.id,
        &columns.digest,
        &columns.owner,
        &columns.label,
        &columns.scopes,
        &columns.resources,
        &columns.issued_by,
        &columns.created_at,
        &columns.expires_at,
        &columns.family,
        &columns.successor,
        &columns.derived_from,
        &columns.key_id,
        &columns.seal,
        &columns.revision,
        &columns.revoked_at,
        &columns.revoked_reason,
        &columns.revoked_by,
        &columns.last_used_at,
        &columns.last_used_address,
        &columns.last_used_client,
    ]
}

/// Reads a row of [`FIND`] or [`LIST`]. One that makes no sense is damaged, and no error.
fn row_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let id = row.get(0)?;
    let columns = Columns::read::<Box<dyn Error>>(
        |at| Ok(row.get_ref(at)?.as_i64_or_null()?),
        |at| Ok(row.get_ref(at)?.as_str_or_null()?),
        |at| Ok(row.get_ref(at)?.as_blob_or_null()?),
    );
    // A text may be no UTF-8, and a column of another type: SQLite keeps both.
    let read = columns.map_or_else(|_| as_id(id).map(Row::damaged), Columns::into_row);
    read.ok_or(rusqlite::Error::IntegralValueOutOfRange(0, id))
}
