//! A whole store over the host's own `sqlx::PgPool`, written from the documentation of [`TokenStore`] and of
//! [`postgres_sql`](sql): copy it, or write one over another driver in its likeness. `main.rs` has it in use.

use std::collections::HashSet;
use std::sync::Arc;

use app_tokens::record::{LastUse, Revocation};
use app_tokens::store::{
    CLOCK_TOLERANCE, Columns, Dead, Filter, Insert, Inserted, Page, Purge, Replace, Replaced, Row,
    StoreError, Supersede, TableName, TokenStore, postgres_sql as sql,
};
use app_tokens::{KeyId, Owner, Timestamp, TokenId};
use sqlx::postgres::{PgArguments, PgConnection, PgDatabaseError, PgRow, PgSeverity};
use sqlx::{Error, FromRow as _, PgPool, Postgres, Row as _, Transaction};
use tokio::sync::Mutex;

/// Tokens in the tables of [`sql::SCHEMA`], which the host's migrations make.
#[derive(Clone, Debug)]
pub struct SqlxStore<'t> {
    place: Place<'t>,
    table: TableName,
}

#[derive(Clone, Debug)]
enum Place<'t> {
    Pool(PgPool),
    Within(Arc<Mutex<&'t mut PgConnection>>),
}

impl SqlxStore<'_> {
    /// The pool is one to the primary: on a replica that lags, a revoked token lives.
    pub fn new(pool: PgPool, table: TableName) -> SqlxStore<'static> {
        SqlxStore { place: Place::Pool(pool), table }
    }

    /// The same tables within a transaction of the host's, for `TokenAuthority::in_transaction`: roll it back if a call fails or is
    /// given up. Any level but READ COMMITTED is an error: its statements would see the past.
    pub async fn within<'t>(
        &self,
        transaction: &'t mut Transaction<'_, Postgres>,
    ) -> sqlx::Result<SqlxStore<'t>> {
        let level = sqlx::query_scalar::<_, String>("SHOW transaction_isolation");
        let level = level.fetch_one(&mut **transaction).await?;
        if level != "read committed" {
            return Err(Error::Configuration(format!("the transaction is {level}").into()));
        }
        let place = Place::Within(Arc::new(Mutex::new(transaction)));
        Ok(SqlxStore { place, table: self.table.clone() })
    }

    async fn rows(&self, query: Query<'_>) -> Result<Vec<Row>, StoreError> {
        let rows = match &self.place {
            Place::Pool(pool) => query.fetch_all(pool).await,
            Place::Within(one) => query.fetch_all(&mut **one.lock().await).await,
        };
        let rows = rows.and_then(|rows| rows.iter().map(row).collect::<sqlx::Result<Vec<_>>>());
        Ok(rows.map_err(StoreError::not_done)?.into_iter().flatten().collect())
    }
}

type Query<'q> = sqlx::query::Query<'q, Postgres, PgArguments>;

/// A statement with its parameters.
macro_rules! bind {
    ($store:ident.$query:ident($sql:ident) => $($parameter:expr),+) => {
        bind!(sqlx::$query(&$store.table.in_sql(sql::$sql)) => $($parameter),+)
    };
    ($query:expr => $($parameter:expr),+) => { $query$(.bind($parameter))+ };
}

/// Does a call, in a transaction of its own or in the host's, and answers it. After a deadlock its own is tried again.
macro_rules! change {
    ($store:ident, |$on:ident| $work:expr) => {{
        let pool = match &$store.place {
            Place::Pool(pool) => pool,
            Place::Within(one) => {
                let $on = &mut **one.lock().await;
                let answer: sqlx::Result<_> = $work.await;
                return answer.map_err(StoreError::not_done);
            }
        };
        let mut tries = 20;
        loop {
            // On a task of its own: sqlx 0.8 loses sight of a BEGIN that is given up, and goes on in its transaction.
            let (pool, begin) = (pool.clone(), "BEGIN ISOLATION LEVEL READ COMMITTED");
            let begun = tokio::spawn(async move { pool.begin_with(begin).await }).await;
            let begun = begun.map_err(StoreError::not_done)?;
            // Rolls back when it is dropped.
            let mut transaction = begun.map_err(StoreError::not_done)?;
            let $on = &mut *transaction;
            let answer: sqlx::Result<_> = $work.await;
            tries -= 1;
            match answer {
                Ok(answer) => match transaction.commit().await {
                    Ok(()) => return Ok(answer),
                    Err(error) if refusal(&error).is_some() => return Err(StoreError::not_done(error)),
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
        let Insert { row, now, limit, unique_label, under, supersede } = insert;
        let old = supersede.as_ref().map(|supersede| &supersede.row);
        let replaces = supersede.as_ref().and_then(|supersede| supersede.replaces.as_ref());
        // With whether it must have the new row's owner, and be unused.
        let rests_on =
            [(under.as_ref(), true, false), (old, false, false), (replaces, false, true)];
        let rests_on =
            rests_on.into_iter().filter_map(|(row, same, unused)| Some((row?, same, unused)));
        let mut rests_on = Vec::from_iter(rests_on);
        rests_on.sort_unstable_by_key(|(row, ..)| row.id());
        change!(self, |on| async {
            let c = written(row)?;
            if limit.is_some() || *unique_label {
                bind!(self.query(LOCK_OWNER) => c.owner.as_deref()).execute(&mut *on).await?;
            }
            let mut is_stale = false;
            for (row, same, unused) in &rests_on {
                let r = written(row)?;
                let locked: Option<(Option<String>, bool)> =
                    bind!(self.query_as(LOCK_CURRENT) => r.id, r.revision)
                        .fetch_optional(&mut *on)
                        .await?;
                is_stale |= locked.is_none_or(|(owner, is_unused)| {
                    *same && c.owner.as_deref() != owner.as_deref() || *unused && !is_unused
                });
            }
            let (is_taken, live, has_label): (bool, i64, bool) =
                bind!(self.query_as(STANDING) => c.id, c.owner.as_deref(), c.family, now.as_unix(),
                    c.label.as_deref())
                .fetch_one(&mut *on)
                .await?;
            if is_taken {
                return Ok(Inserted::IdTaken);
            } else if is_stale {
                return Ok(Inserted::Stale);
            } else if limit.is_some_and(|limit| live >= i64::from(limit)) {
                return Ok(Inserted::LimitReached);
            } else if *unique_label && has_label {
                return Ok(Inserted::LabelTaken);
            }
            let sql = self.table.in_sql(sql::CREATE);
            let query = bind!(form(&sql, &c) => c.revoked_at, c.revoked_reason.as_deref(),
                c.revoked_by.as_deref(), c.last_used_at, c.last_used_address.as_deref(),
                c.last_used_client.as_deref());
            if query.execute(&mut *on).await?.rows_affected() == 0 {
                return Ok(Inserted::IdTaken);
            }
            if let Some(Supersede { row, replaces, ends_derived, revocation }) = supersede {
                one(form(&self.table.in_sql(sql::SWAP), &written(row)?), on).await?;
                if let Some(replaced) = replaces {
                    let sql = self.table.in_sql(sql::REVOKE_ONE);
                    let query = ending(sqlx::query(&sql), revocation).bind(number(replaced.id()));
                    one(query, on).await?;
                }
                if *ends_derived {
                    let sql = self.table.in_sql(sql::REVOKE_DERIVED);
                    repeat(on, None, |_| derived(&sql, &c, c.id, revocation)).await?;
                }
            }
            Ok(Inserted::Done)
        })
    }

    async fn find(&self, id: TokenId) -> Result<Option<Row>, StoreError> {
        Ok(self.rows(bind!(self.query(FIND) => number(id))).await?.pop())
    }

    async fn list(&self, filter: &Filter, page: Page) -> Result<Vec<Row>, StoreError> {
        let (sql, after) = (self.table.in_sql(sql::LIST), page.after.map_or(-1, number));
        self.rows(bind!(filtered(&sql, filter) => after, i64::from(page.limit))).await
    }

    async fn replace(&self, replace: &Replace) -> Result<Replaced, StoreError> {
        let Replace { row, now, unique_label, ends_derived } = replace;
        change!(self, |on| async {
            let c = written(row)?;
            if *unique_label {
                bind!(self.query(LOCK_OWNER) => c.owner.as_deref()).execute(&mut *on).await?;
            }
            let locked: Option<(Option<String>, bool)> =
                bind!(self.query_as(LOCK_CURRENT) => c.id, c.revision)
                    .fetch_optional(&mut *on)
                    .await?;
            if locked.is_none() {
                return Ok(Replaced::Stale);
            }
            if *unique_label {
                let (.., has_label): (bool, i64, bool) =
                    bind!(self.query_as(STANDING) => c.id, c.owner.as_deref(), c.family, now.as_unix(),
                        c.label.as_deref()).fetch_one(&mut *on).await?;
                if has_label {
                    return Ok(Replaced::LabelTaken);
                }
            }
            one(form(&self.table.in_sql(sql::SWAP), &c), on).await?;
            if let Some(revocation) = ends_derived {
                let sql = self.table.in_sql(sql::REVOKE_DERIVED);
                repeat(on, None, |_| derived(&sql, &c, -1, revocation)).await?;
            }
            Ok(Replaced::Done)
        })
    }

    async fn revoke(&self, filter: &Filter, revocation: &Revocation) -> Result<u64, StoreError> {
        let sql = self.table.in_sql(sql::REVOKE);
        change!(self, |on| repeat(on, None, |_| ending(filtered(&sql, filter), revocation)))
    }

    async fn touch(&self, uses: &[(TokenId, LastUse)], now: Timestamp) -> Result<(), StoreError> {
        let believed = now.saturating_add(CLOCK_TOLERANCE).as_unix();
        change!(self, |on| async {
            let mut rest = Vec::from_iter(uses);
            while !rest.is_empty() {
                let mut seen = HashSet::new();
                let (now, next): (Vec<_>, _) = rest.drain(..).partition(|(id, _)| seen.insert(*id));
                let ids = now.iter().map(|(id, _)| number(*id));
                let times = now.iter().map(|(_, used)| used.at.as_unix());
                let addresses = now.iter().map(|(_, used)| Some(used.address?.to_string()));
                let clients = now.iter().map(|(_, used)| used.client.as_deref());
                bind!(self.query(TOUCH) => Vec::from_iter(ids), Vec::from_iter(times), Vec::from_iter(addresses),
                    Vec::from_iter(clients), believed).execute(&mut *on).await?;
                rest = next;
            }
            Ok(())
        })
    }

    async fn purge(&self, purge: &Purge, limit: u32) -> Result<u64, StoreError> {
        let limit = i64::from(limit);
        change!(self, |on| async {
            let Dead { ended_by, unused_since, now } = match purge {
                Purge::Matching(filter) => {
                    let sql = self.table.in_sql(sql::PURGE_MATCHING);
                    let query = |left| filtered(&sql, filter).bind(left);
                    return repeat(on, Some(limit), query).await;
                }
                Purge::Dead(dead) => dead,
            };
            let [lock, end] = [sql::LOCK_DEAD, sql::PURGE_DEAD].map(|sql| self.table.in_sql(sql));
            let (mut deleted, mut idle) = (0, 0);
            while idle < 100 {
                let dead = |sql| {
                    bind!(sqlx::query(sql).persistent(false) =>
                        ended_by.as_unix(), unused_since.map(Timestamp::as_unix), now.as_unix())
                };
                let found = dead(&lock).bind(limit - deleted).fetch_all(&mut *on).await?;
                let found: Vec<i64> =
                    found.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
                let ended = dead(&end).bind(&found).execute(&mut *on).await?.rows_affected();
                deleted += ended.cast_signed();
                if deleted == limit {
                    return Ok(deleted.unsigned_abs());
                } else if ended == found.len() as u64 {
                    bind!(self.query(PURGE_OWNERS) => limit).execute(&mut *on).await?;
                    return Ok(deleted.unsigned_abs());
                }
                idle = if ended == 0 { idle + 1 } else { 0 };
            }
            Err(obstructed())
        })
    }
}

/// Runs what answers how many rows it changed and how many it found, again as long as another transaction was in between.
async fn repeat<'q>(
    on: &mut PgConnection,
    limit: Option<i64>,
    query: impl Fn(i64) -> Query<'q>,
) -> sqlx::Result<u64> {
    let (mut all, mut idle) = (0, 0);
    while idle < 100 {
        let row = query(limit.unwrap_or(0) - all).fetch_one(&mut *on).await?;
        let (changed, found) = <(i64, i64)>::from_row(&row)?;
        all += changed;
        if limit.map_or(found == 0, |limit| changed == found || all == limit) {
            return Ok(all.unsigned_abs());
        }
        idle = if changed == 0 { idle + 1 } else { 0 };
    }
    Err(obstructed())
}

/// Changes one row, which is locked.
async fn one(query: Query<'_>, on: &mut PgConnection) -> sqlx::Result<()> {
    let changed = query.execute(on).await?.rows_affected();
    if changed == 1 { Ok(()) } else { Err(obstructed()) }
}

fn obstructed() -> Error {
    Error::Protocol("a trigger, a rule or row-level security is in the way".into())
}

/// The first parameters are the filter's. Not prepared, so that it is planned for them.
#[rustfmt::skip]
fn filtered<'q>(sql: &'q str, filter: &'q Filter) -> Query<'q> {
    let Filter { id, owner, family, except_id, key_id, except_key_ids, revoked, superseded,
        expires_before, expires_from, created_before, last_used_before } = filter;
    let (key, seconds) = (|id: KeyId| i64::from(id.as_u32()), Timestamp::as_unix);
    bind!(sqlx::query(sql).persistent(false) => id.map(number), owner.as_ref().map(Owner::as_str),
        family.map(number), except_id.map(number), key_id.map(key),
        except_key_ids.iter().copied().map(key).collect::<Vec<_>>(), revoked, superseded,
        expires_before.map(seconds), expires_from.map(seconds), created_before.map(seconds),
        last_used_before.map(seconds))
}

fn ending<'q>(query: Query<'q>, Revocation { at, reason, by }: &'q Revocation) -> Query<'q> {
    bind!(query => at.as_unix(), reason.as_str(), by.to_string())
}

#[rustfmt::skip]
fn derived<'q>(sql: &'q str, c: &'q Columns<'_>, spared: i64, revocation: &'q Revocation) -> Query<'q> {
    bind!(ending(sqlx::query(sql), revocation) => c.owner.as_deref(), c.family, spared)
}

/// The first 15 parameters are a row's form.
fn form<'q>(sql: &'q str, c: &'q Columns<'_>) -> Query<'q> {
    bind!(sqlx::query(sql) => c.id, c.digest.as_deref(), c.owner.as_deref(), c.label.as_deref(),
        c.scopes.as_deref(), c.resources.as_deref(), c.issued_by.as_deref(), c.created_at, c.expires_at,
        c.family, c.successor, c.derived_from, c.key_id, c.seal.as_deref(), c.revision)
}

#[rustfmt::skip]
fn row(row: &PgRow) -> sqlx::Result<Option<Row>> {
    let bytes = |at| row.try_get::<Option<&[u8]>, _>(at).map(|bytes| bytes.map(Into::into));
    let columns = Columns {
        id: row.try_get(0)?, digest: bytes(1)?, owner: row.try_get(2)?, label: row.try_get(3)?,
        scopes: row.try_get(4)?, resources: row.try_get(5)?, issued_by: row.try_get(6)?,
        created_at: row.try_get(7)?, expires_at: row.try_get(8)?, family: row.try_get(9)?,
        successor: row.try_get(10)?, derived_from: row.try_get(11)?, key_id: row.try_get(12)?,
        seal: bytes(13)?, revision: row.try_get(14)?, revoked_at: row.try_get(15)?,
        revoked_reason: row.try_get(16)?, revoked_by: row.try_get(17)?, last_used_at: row.try_get(18)?,
        last_used_address: row.try_get(19)?, last_used_client: row.try_get(20)?,
    };
    Ok(columns.into_row())
}

fn number(id: TokenId) -> i64 {
    id.as_u64().cast_signed()
}

fn written(row: &Row) -> sqlx::Result<Columns<'_>> {
    row.record().map(Columns::of).ok_or_else(|| Error::Encode("a damaged row".into()))
}

/// The SQLSTATE where the server itself says that it is not done.
fn refusal(error: &Error) -> Option<&str> {
    let error: &PgDatabaseError = error.as_database_error()?.try_downcast_ref()?;
    (error.severity() == PgSeverity::Error).then(|| error.code())
}
