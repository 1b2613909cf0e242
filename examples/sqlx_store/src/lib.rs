//! A complete store over the host's own `sqlx::PgPool`, written from the documentation of
//! [`TokenStore`] and [`postgres_sql`](sql). Copy it, or write one like it over another driver.
//! `main.rs` uses it.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use app_tokens::record::{KeyId, LastUse, Revocation};
use app_tokens::store::{
    CLOCK_TOLERANCE, ColumnValue, Filter, FilterColumns, Insert, Inserted, LiveAt, Page, Purge,
    PurgeCutoff, Replace, Replaced, Row, RowColumns, StoreError, Supersede, Superseded, TokenStore,
    postgres_sql as sql, rules,
};
use app_tokens::{Timestamp, TokenId};
use sqlx::postgres::{PgArguments, PgConnection, PgDatabaseError, PgRow, PgSeverity};
use sqlx::{Error, FromRow as _, PgPool, Postgres, Row as _, Transaction};
use tokio::sync::Mutex;

/// Tokens in the tables of [`sql::SCHEMA`], which the host's migrations make.
#[derive(Clone, Debug)]
pub enum SqlxStore<'t> {
    /// The host's pool, which must lead to the primary: on a replica that lags, a revoked token
    /// lives on.
    Pool(PgPool),
    /// A transaction of the host's, from [`SqlxStore::within`].
    Within(Arc<Mutex<&'t mut PgConnection>>),
}

impl<'t> SqlxStore<'t> {
    /// Takes a transaction of the host's, for `TokenAuthority::in_transaction`. Roll it back if a
    /// call fails or its future is dropped.
    ///
    /// Any isolation level but READ COMMITTED is an error: under the others, a statement would not
    /// see what was committed after the transaction began.
    pub async fn within(transaction: &'t mut Transaction<'_, Postgres>) -> sqlx::Result<Self> {
        let level = sqlx::query_scalar::<_, String>("SHOW transaction_isolation");
        let level = level.fetch_one(&mut **transaction).await?;
        if level != "read committed" {
            return Err(Error::Configuration(format!("the transaction is {level}").into()));
        }
        Ok(SqlxStore::Within(Arc::new(Mutex::new(transaction))))
    }

    async fn rows(&self, query: Query<'_>) -> Result<Vec<Row>, StoreError> {
        let rows = match self {
            SqlxStore::Pool(pool) => query.fetch_all(pool).await,
            SqlxStore::Within(one) => query.fetch_all(&mut **one.lock().await).await,
        };
        let rows = rows.and_then(|rows| rows.iter().map(row).collect::<sqlx::Result<Vec<_>>>());
        Ok(rows.map_err(StoreError::not_done)?.into_iter().flatten().collect())
    }
}

type Query<'q> = sqlx::query::Query<'q, Postgres, PgArguments>;

macro_rules! bind {
    ($query:expr => let $all:ident { $($field:ident),+ } = $value:expr) => {{
        let $all { $($field),+ } = $value;
        bind!($query => $($field),+)
    }};
    ($query:expr => $($value:expr),+) => { $query$(.bind($value))+ };
}

/// Makes a call in a transaction of its own, or in the host's. After a deadlock, its own is tried
/// again; the host's is not, as it may hold work of the host's.
macro_rules! change {
    ($store:ident, |$on:ident| $work:expr) => {{
        let pool = match $store {
            SqlxStore::Pool(pool) => pool,
            SqlxStore::Within(one) => {
                let $on = &mut **one.lock().await;
                let answer: sqlx::Result<_> = $work.await;
                return answer.map_err(StoreError::not_done);
            }
        };
        let mut tries = 20;
        loop {
            // On a task of its own, which nobody drops half-way: if a BEGIN is dropped, sqlx 0.8
            // forgets it, and the connection's next user works inside that transaction.
            let (pool, begin) = (pool.clone(), "BEGIN ISOLATION LEVEL READ COMMITTED");
            let begun = tokio::spawn(async move { pool.begin_with(begin).await }).await;
            // Dropping it rolls back.
            let mut own = begun.map_err(StoreError::not_done)?.map_err(StoreError::not_done)?;
            let $on = &mut *own;
            let answer: sqlx::Result<_> = $work.await;
            tries -= 1;
            match answer {
                Ok(answer) => match own.commit().await {
                    Ok(()) => return Ok(answer),
                    Err(error) if refusal(&error).is_some() => {
                        return Err(StoreError::not_done(error));
                    }
                    Err(error) => return Err(StoreError::unknown(error)),
                },
                Err(error) if tries > 0 && matches!(refusal(&error), Some("40P01" | "40001")) => {}
                Err(error) => return Err(StoreError::not_done(error)),
            }
        }
    }};
}

impl TokenStore for SqlxStore<'_> {
    async fn insert(&self, insert: &Insert) -> Result<Inserted, StoreError> {
        let Insert { row, live, limit, unique_label, under } = insert;
        change!(self, |on| async {
            let new = columns(row)?;
            if limit.is_some() || *unique_label {
                sqlx::query(sql::LOCK_OWNER).bind(new.owner.as_deref()).execute(&mut *on).await?;
            }
            let parents = lock(under.iter().map(Row::id), row, on).await?;
            let (id_taken, count, has_label) = conflicts(&new, *live, on).await?;
            // The rules see the parent alone. That is enough for their first two refusals; SQL
            // counts the rest.
            let answer = rules::insert(insert, id_taken, &parents).answer;
            if let Inserted::IdTaken | Inserted::Stale = answer {
                return Ok(answer);
            } else if limit.is_some_and(|limit| count >= i64::from(limit)) {
                return Ok(Inserted::LimitReached);
            } else if *unique_label && has_label {
                return Ok(Inserted::LabelTaken);
            }
            Ok(if insert_row(&new, on).await? { Inserted::Done } else { Inserted::IdTaken })
        })
    }

    async fn supersede(&self, supersede: &Supersede) -> Result<Superseded, StoreError> {
        let Supersede { row, superseded, replaces, revokes_derived, revocation } = supersede;
        change!(self, |on| async {
            let new = columns(row)?;
            let needed = [superseded].into_iter().chain(replaces).map(Row::id);
            let rows = lock(needed, row, on).await?;
            let id_taken = conflicts(&new, LiveAt::now(Timestamp::MIN), on).await?.0;
            let answer = rules::supersede(supersede, id_taken, &rows).answer;
            if answer != Superseded::Done {
                return Ok(answer);
            } else if !insert_row(&new, on).await? {
                return Ok(Superseded::IdTaken);
            }
            write(&columns(superseded)?, on).await?;
            if let Some(replaced) = replaces {
                let query = revoking(sqlx::query(sql::REVOKE_ONE), revocation);
                changes(query.bind(i64::from(replaced.id())), on).await?;
            }
            if *revokes_derived {
                repeat(on, None, |_| derived(&new, new.id, revocation)).await?;
            }
            Ok(Superseded::Done)
        })
    }

    async fn find(&self, id: TokenId) -> Result<Option<Row>, StoreError> {
        Ok(self.rows(sqlx::query(sql::FIND).bind(i64::from(id))).await?.pop())
    }

    async fn list(&self, filter: &Filter, page: Page) -> Result<Vec<Row>, StoreError> {
        let (after, limit) = (page.after.map_or(-1, i64::from), i64::from(page.limit.get()));
        self.rows(bind!(filtered(sql::LIST, filter) => after, limit)).await
    }

    async fn replace(&self, replaces: &[Replace]) -> Result<Vec<Replaced>, StoreError> {
        let labelled = replaces.iter().filter(|one| one.unique_label);
        let owners = BTreeSet::from_iter(labelled.filter_map(|one| one.row.owner()));
        change!(self, |on| async {
            for owner in &owners {
                sqlx::query(sql::LOCK_OWNER).bind(owner.as_str()).execute(&mut *on).await?;
            }
            // Locks all rows first, in one order: two batches may hold the same rows in different
            // orders.
            lock_all(replaces.iter().map(|one| one.row.id()), on).await?;
            let mut answers = Vec::new();
            for replace in replaces {
                let Replace { row, live, unique_label, revokes_derived } = replace;
                let mut answer = rules::replace(replace, &lock([row.id()], row, on).await?).answer;
                if answer == Replaced::Done {
                    let form = columns(row)?;
                    if *unique_label && conflicts(&form, *live, on).await?.2 {
                        answer = Replaced::LabelTaken;
                    } else {
                        write(&form, on).await?;
                        if let Some(revocation) = revokes_derived {
                            repeat(on, None, |_| derived(&form, -1, revocation)).await?;
                        }
                    }
                }
                answers.push(answer);
            }
            Ok(answers)
        })
    }

    async fn revoke(&self, filter: &Filter, revocation: &Revocation) -> Result<u64, StoreError> {
        let query = |_| revoking(filtered(sql::REVOKE, filter), revocation);
        change!(self, |on| repeat(on, None, query))
    }

    async fn touch(&self, uses: &[(TokenId, LastUse)], now: Timestamp) -> Result<(), StoreError> {
        let until = now.saturating_add(CLOCK_TOLERANCE).as_unix();
        change!(self, |on| async {
            let mut rest = Vec::from_iter(uses);
            while !rest.is_empty() {
                let mut seen = HashSet::new();
                let (batch, next): (Vec<_>, _) =
                    rest.drain(..).partition(|used| seen.insert(used.0));
                let ids = Vec::from_iter(batch.iter().map(|(id, _)| i64::from(*id)));
                let times = Vec::from_iter(batch.iter().map(|(_, used)| used.at.as_unix()));
                let addresses = batch.iter().map(|(_, used)| Some(used.address?.to_string()));
                let addresses = Vec::from_iter(addresses);
                let clients = Vec::from_iter(batch.iter().map(|(_, used)| used.client.as_deref()));
                let query = bind!(sqlx::query(sql::TOUCH) => ids, times, addresses, clients, until);
                let (held, meant) = <(i64, i64)>::from_row(&query.fetch_one(&mut *on).await?)?;
                if held != meant {
                    return Err(obstructed());
                }
                rest = next;
            }
            Ok(())
        })
    }

    async fn purge(&self, purge: &Purge, limit: u32) -> Result<u64, StoreError> {
        let limit = i64::from(limit);
        change!(self, |on| async {
            let PurgeCutoff { ended_by, unused_since, now } = match purge {
                Purge::Matching(filter) => {
                    let query = |left| filtered(sql::PURGE_MATCHING, filter).bind(left);
                    return repeat(on, Some(limit), query).await;
                }
                Purge::Dead(dead) => dead,
            };
            let unused_since = unused_since.map(Timestamp::as_unix);
            let until = now.saturating_add(CLOCK_TOLERANCE).as_unix();
            let dead = |sql| {
                let query = sqlx::query(sql).persistent(false);
                bind!(query => ended_by.as_unix(), unused_since, now.as_unix(), until)
            };
            // The walk over the table in one part, over as many pages as a table can have.
            let (mut deleted, mut kept, mut passes) = (0, Vec::new(), 0);
            loop {
                let left = limit - deleted;
                // More with each pass, so that thousands of damaged rows take few passes.
                let asked = left + kept.len() as i64;
                let (first, last) = (0_i64, i64::from(u32::MAX));
                let query = bind!(dead(sql::LOCK_DEAD) => asked, first, last, kept.clone());
                let found = query.fetch_all(&mut *on).await?;
                let (mut ids, mut others) = (Vec::new(), Vec::new());
                for row in found.iter().map(row).collect::<sqlx::Result<Vec<_>>>()? {
                    let Some(row) = row else { continue };
                    // Alone, as the rules know damaged rows; the statements look at other rows.
                    let decision = rules::purge(purge, 1, std::slice::from_ref(&row));
                    let those = if decision.answer == 1 { &mut ids } else { &mut others };
                    those.push(i64::from(row.id()));
                }
                ids.truncate(left as usize);
                let meant = ids.len() as u64;
                let gone = dead(sql::PURGE_DEAD).bind(ids).execute(&mut *on).await?;
                deleted += gone.rows_affected().cast_signed();
                passes += 1;
                let is_whole = others.is_empty() || (found.len() as i64) < asked;
                kept.extend(others);
                if deleted == limit || gone.rows_affected() == meant && is_whole {
                    break;
                } else if passes == PASSES {
                    return Err(obstructed());
                }
            }
            if deleted < limit {
                sqlx::query(sql::PURGE_OWNERS).bind(10_000_i64).execute(&mut *on).await?;
                let keys = sqlx::query_scalar::<_, i64>(sql::LOCK_UNUSED_KEYS);
                let keys = keys.fetch_all(&mut *on).await?;
                sqlx::query(sql::DELETE_UNUSED_KEYS).bind(keys).execute(&mut *on).await?;
            }
            Ok(deleted.unsigned_abs())
        })
    }

    async fn keys_in_use(&self) -> Result<Vec<KeyId>, StoreError> {
        change!(self, |on| async {
            let keys = sqlx::query_scalar::<_, i64>(sql::KEYS_IN_USE).fetch_all(&mut *on).await?;
            let key = |key: i64| KeyId::new(key.try_into().ok()?);
            let keys: Option<_> = keys.into_iter().map(key).collect();
            keys.ok_or_else(|| Error::Decode("what is no key".into()))
        })
    }
}

/// Locks rows, and returns those of the owner of `of`.
async fn lock(
    ids: impl IntoIterator<Item = TokenId>,
    of: &Row,
    on: &mut PgConnection,
) -> sqlx::Result<Vec<Row>> {
    let rows = lock_all(ids, on).await?;
    Ok(rows.into_iter().filter(|row| row.owner() == of.owner()).collect())
}

async fn lock_all(
    ids: impl IntoIterator<Item = TokenId>,
    on: &mut PgConnection,
) -> sqlx::Result<Vec<Row>> {
    let ids = Vec::from_iter(ids.into_iter().map(i64::from));
    let rows = sqlx::query(sql::LOCK_ROWS).persistent(false).bind(ids).fetch_all(on).await?;
    Ok(rows.iter().map(row).collect::<sqlx::Result<Vec<_>>>()?.into_iter().flatten().collect())
}

/// Whether the id is taken, how many live rows the owner has, and whether one has the label.
type Conflicts = (bool, i64, bool);

async fn conflicts(
    new: &RowColumns<'_>,
    live: LiveAt,
    on: &mut PgConnection,
) -> sqlx::Result<Conflicts> {
    let LiveAt { now, used_after } = live;
    let believed_until = now.saturating_add(CLOCK_TOLERANCE).as_unix();
    let (owner, label) = (new.owner.as_deref(), new.label.as_deref());
    let query = bind!(sqlx::query_as(sql::INSERT_CONFLICTS) => new.id, owner, new.family,
        now.as_unix(), label, used_after.map(Timestamp::as_unix), believed_until);
    query.fetch_one(on).await
}

/// Repeats a statement until no other transaction came in between. The statement returns how many
/// rows it changed, how many it found, and for some statements whether they now hold what was
/// written.
async fn repeat<'q>(
    on: &mut PgConnection,
    limit: Option<i64>,
    query: impl Fn(i64) -> Query<'q>,
) -> sqlx::Result<u64> {
    let mut all = 0;
    for _ in 0..PASSES {
        let row = query(limit.unwrap_or(0) - all).fetch_one(&mut *on).await?;
        let (changed, found) = (row.try_get::<i64, _>(0)?, row.try_get::<i64, _>(1)?);
        if limit.is_none() && !row.try_get::<bool, _>(2)? {
            break;
        }
        all += changed;
        if limit.map_or(found == 0, |limit| changed == found || all == limit) {
            return Ok(all.unsigned_abs());
        }
    }
    Err(obstructed())
}

/// Changes one row, which is locked, and checks that it holds what was written.
async fn changes(query: Query<'_>, on: &mut PgConnection) -> sqlx::Result<()> {
    let row = query.fetch_optional(on).await?;
    let holds = row.map(|row| row.try_get(0)).transpose()?;
    if holds == Some(true) { Ok(()) } else { Err(obstructed()) }
}

/// More repeats than other transactions can cause.
const PASSES: u32 = 1000;

fn obstructed() -> Error {
    Error::Protocol("a trigger, a rule or row-level security is in the way".into())
}

/// Inserts a row. Returns whether its id was free. If the row isn't there afterwards and the id is
/// free, a trigger kept it out, which is an error.
async fn insert_row(c: &RowColumns<'_>, on: &mut PgConnection) -> sqlx::Result<bool> {
    let query = c.values().into_iter().fold(sqlx::query(sql::INSERT), |query, value| match value {
        ColumnValue::Number(number) => query.bind(number),
        ColumnValue::Text(text) => query.bind(text),
        ColumnValue::Bytes(bytes) => query.bind(bytes),
    });
    let holds = query.fetch_optional(&mut *on).await?.map(|row| row.try_get(0)).transpose()?;
    let is_taken = sqlx::query(sql::FIND).bind(c.id).fetch_optional(on).await?.is_some();
    if holds.unwrap_or(is_taken) { Ok(holds.is_some()) } else { Err(obstructed()) }
}

/// Writes the new form of a row that is locked and current.
async fn write(form: &RowColumns<'_>, on: &mut PgConnection) -> sqlx::Result<()> {
    macro_rules! arrays {
        ($($field:ident $(. $deref:ident())?),+) => {
            bind!(sqlx::query(sql::REPLACE) => vec![form.id], $(vec![form.$field $(.$deref())?]),+)
        };
    }
    let query = arrays!(
        digest.as_deref(),
        owner.as_deref(),
        label.as_deref(),
        scopes.as_deref(),
        resources.as_deref(),
        networks.as_deref(),
        attributes.as_deref(),
        issued_by.as_deref(),
        created_at,
        expires_at,
        family,
        successor,
        derived_from,
        key_id,
        seal.as_deref(),
        revision
    );
    changes(query, on).await
}

/// Binds the filter's facts as the first parameters. If a version adds a fact, the pattern no
/// longer compiles. The statement is not prepared, so that it is planned for these facts.
fn filtered<'q>(sql: &'q str, filter: &'q Filter) -> Query<'q> {
    bind!(sqlx::query(sql).persistent(false) => let FilterColumns {
        id, owner, family, except_family, key_id, except_key_ids, revoked, superseded,
        expires_before, expires_from, created_before, last_used_before
    } = FilterColumns::of(filter))
}

fn revoking<'q>(query: Query<'q>, Revocation { at, reason, by }: &'q Revocation) -> Query<'q> {
    bind!(query => at.as_unix(), reason.as_str(), by.to_string())
}

fn derived<'q>(from: &'q RowColumns<'_>, spared: i64, revocation: &'q Revocation) -> Query<'q> {
    let query = revoking(sqlx::query(sql::REVOKE_DERIVED), revocation);
    bind!(query => from.owner.as_deref(), from.family, spared)
}

fn row(row: &PgRow) -> sqlx::Result<Option<Row>> {
    let columns =
        RowColumns::read(|at| row.try_get(at), |at| row.try_get(at), |at| row.try_get(at));
    Ok(columns?.into_row())
}

fn columns(row: &Row) -> sqlx::Result<RowColumns<'_>> {
    row.record().map(RowColumns::of).ok_or_else(|| Error::Encode("a damaged row".into()))
}

/// Returns the SQLSTATE if the server itself says that nothing was done.
fn refusal(error: &Error) -> Option<&str> {
    let error: &PgDatabaseError = error.as_database_error()?.try_downcast_ref()?;
    (error.severity() == PgSeverity::Error).then(|| error.code())
}
