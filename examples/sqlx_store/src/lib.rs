//! A whole store over the host's own `sqlx::PgPool`, written from the documentation of [`TokenStore`] and of
//! [`postgres_sql`](sql): copy it, or write one over another driver in its likeness. `main.rs` has it in use.

use std::collections::HashSet;
use std::sync::Arc;

use app_tokens::record::{LastUse, Revocation};
use app_tokens::store::{
    CLOCK_TOLERANCE, Filter, FilterColumns, Insert, Inserted, LiveAt, Page, Purge, PurgeCutoff,
    Replace, Replaced, Row, RowColumns, StoreError, Supersede, Superseded, TokenStore,
    postgres_sql as sql,
};
use app_tokens::{Timestamp, TokenId};
use sqlx::postgres::{PgArguments, PgConnection, PgDatabaseError, PgRow, PgSeverity};
use sqlx::{Error, FromRow as _, PgPool, Postgres, Row as _, Transaction};
use tokio::sync::Mutex;

/// Tokens in the tables of [`sql::SCHEMA`], which the host's migrations make.
#[derive(Clone, Debug)]
pub enum SqlxStore<'t> {
    /// The pool is one to the primary: on a replica that lags, a revoked token lives.
    Pool(PgPool),
    /// From [`SqlxStore::within`].
    Within(Arc<Mutex<&'t mut PgConnection>>),
}

impl<'t> SqlxStore<'t> {
    /// The same tables within a transaction of the host's, for `TokenAuthority::in_transaction`: roll it back if a call fails or is
    /// given up. Any level but READ COMMITTED is an error: its statements would see the past.
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

/// Does a call, in a transaction of its own or in the host's, and answers it. After a deadlock its own is tried again.
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
            // On a task of its own: sqlx 0.8 loses sight of a BEGIN that is given up, and goes on in its transaction.
            let (pool, begin) = (pool.clone(), "BEGIN ISOLATION LEVEL READ COMMITTED");
            let begun = tokio::spawn(async move { pool.begin_with(begin).await }).await;
            // Rolls back when it is dropped.
            let mut own = begun.map_err(StoreError::not_done)?.map_err(StoreError::not_done)?;
            let $on = &mut *own;
            let answer: sqlx::Result<_> = $work.await;
            tries -= 1;
            match answer {
                Ok(answer) => match own.commit().await {
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
        let Insert { row, live, limit, unique_label, under } = insert;
        change!(self, |on| async {
            let new = columns(row)?;
            if limit.is_some() || *unique_label {
                sqlx::query(sql::LOCK_OWNER).bind(new.owner.as_deref()).execute(&mut *on).await?;
            }
            let is_stale = match under {
                Some(parent) => {
                    let parent = lock(&columns(parent)?, on).await?;
                    parent.is_none_or(|(owner, _)| new.owner.as_deref() != Some(&owner))
                }
                None => false,
            };
            let (is_taken, live, has_label) = standing(&new, *live, on).await?;
            if is_taken {
                return Ok(Inserted::IdTaken);
            } else if is_stale {
                return Ok(Inserted::Stale);
            } else if limit.is_some_and(|limit| live >= i64::from(limit)) {
                return Ok(Inserted::LimitReached);
            } else if *unique_label && has_label {
                return Ok(Inserted::LabelTaken);
            }
            let query = bind!(form(sql::INSERT, &new) => new.revoked_at, new.revoked_reason.as_deref(),
                new.revoked_by.as_deref(), new.last_used_at, new.last_used_address.as_deref(),
                new.last_used_client.as_deref());
            let is_done = query.execute(&mut *on).await?.rows_affected() == 1;
            Ok(if is_done { Inserted::Done } else { Inserted::IdTaken })
        })
    }

    async fn supersede(&self, supersede: &Supersede) -> Result<Superseded, StoreError> {
        let Supersede { row, superseded, replaces, revokes_derived, revocation } = supersede;
        change!(self, |on| async {
            let new = columns(row)?;
            let mut needed =
                Vec::from_iter([Some(superseded), replaces.as_ref()].into_iter().flatten());
            needed.sort_by_key(|row| row.id());
            let mut is_stale = false;
            for needed in needed {
                let must_be_unused = needed.id() != superseded.id();
                let locked = lock(&columns(needed)?, on).await?;
                is_stale |= locked.is_none_or(|(_, is_unused)| must_be_unused && !is_unused);
            }
            if standing(&new, LiveAt::now(Timestamp::MIN), on).await?.0 {
                return Ok(Superseded::IdTaken);
            } else if is_stale {
                return Ok(Superseded::Stale);
            }
            let query = bind!(form(sql::INSERT, &new) => new.revoked_at, new.revoked_reason.as_deref(),
                new.revoked_by.as_deref(), new.last_used_at, new.last_used_address.as_deref(),
                new.last_used_client.as_deref());
            if query.execute(&mut *on).await?.rows_affected() == 0 {
                return Ok(Superseded::IdTaken);
            }
            one(form(sql::REPLACE, &columns(superseded)?), on).await?;
            if let Some(replaced) = replaces {
                let query = ending(sqlx::query(sql::REVOKE_ONE), revocation);
                one(query.bind(i64::from(replaced.id())), on).await?;
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
        change!(self, |on| async {
            let mut answers = Vec::new();
            for Replace { row, live, unique_label, revokes_derived } in replaces {
                let new = columns(row)?;
                if *unique_label {
                    sqlx::query(sql::LOCK_OWNER)
                        .bind(new.owner.as_deref())
                        .execute(&mut *on)
                        .await?;
                }
                if lock(&new, on).await?.is_none() {
                    answers.push(Replaced::Stale);
                    continue;
                } else if *unique_label && standing(&new, *live, on).await?.2 {
                    answers.push(Replaced::LabelTaken);
                    continue;
                }
                one(form(sql::REPLACE, &new), on).await?;
                if let Some(revocation) = revokes_derived {
                    repeat(on, None, |_| derived(&new, -1, revocation)).await?;
                }
                answers.push(Replaced::Done);
            }
            Ok(answers)
        })
    }

    async fn revoke(&self, filter: &Filter, revocation: &Revocation) -> Result<u64, StoreError> {
        change!(self, |on| repeat(on, None, |_| ending(filtered(sql::REVOKE, filter), revocation)))
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
                query.execute(&mut *on).await?;
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
            let planned = |sql| sqlx::query(sql).persistent(false);
            let dead = |sql| bind!(planned(sql) => ended_by.as_unix(), unused_since, now.as_unix());
            let (mut deleted, mut idle) = (0, 0);
            while idle < 100 {
                let found = dead(sql::LOCK_DEAD).bind(limit - deleted).fetch_all(&mut *on).await?;
                let ids: sqlx::Result<Vec<i64>> = found.iter().map(|row| row.try_get(0)).collect();
                let ended = dead(sql::PURGE_DEAD).bind(ids?).execute(&mut *on).await?;
                let ended = ended.rows_affected();
                deleted += ended.cast_signed();
                if ended == found.len() as u64 {
                    if deleted < limit {
                        sqlx::query(sql::PURGE_OWNERS).bind(10_000_i64).execute(&mut *on).await?;
                    }
                    return Ok(deleted.unsigned_abs());
                }
                idle = if ended == 0 { idle + 1 } else { 0 };
            }
            Err(Error::Protocol(OBSTRUCTED.into()))
        })
    }
}

/// Locks a row if it is current: whose it is, and whether it is unused.
async fn lock(row: &RowColumns<'_>, on: &mut PgConnection) -> sqlx::Result<Option<(String, bool)>> {
    sqlx::query_as(sql::LOCK_CURRENT).bind(row.id).bind(row.revision).fetch_optional(on).await
}

/// Whether the id is taken, how many live rows the owner has, and whether one has the label.
type Standing = (bool, i64, bool);

async fn standing(
    new: &RowColumns<'_>,
    live: LiveAt,
    on: &mut PgConnection,
) -> sqlx::Result<Standing> {
    let LiveAt { now, used_after } = live;
    let believed_until = now.saturating_add(CLOCK_TOLERANCE).as_unix();
    let (owner, label) = (new.owner.as_deref(), new.label.as_deref());
    let query = bind!(sqlx::query_as(sql::INSERT_CONFLICTS) => new.id, owner, new.family, now.as_unix(), label,
        used_after.map(Timestamp::as_unix), believed_until);
    query.fetch_one(on).await
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
    Err(Error::Protocol(OBSTRUCTED.into()))
}

/// Changes one row, which is locked.
async fn one(query: Query<'_>, on: &mut PgConnection) -> sqlx::Result<()> {
    let changed = query.execute(on).await?.rows_affected();
    if changed == 1 { Ok(()) } else { Err(Error::Protocol(OBSTRUCTED.into())) }
}

const OBSTRUCTED: &str = "a trigger, a rule or row-level security is in the way";

/// The first parameters are the filter's facts: where there is one more, this doesn't compile. Not prepared, so that it is planned for them.
fn filtered<'q>(sql: &'q str, filter: &'q Filter) -> Query<'q> {
    bind!(sqlx::query(sql).persistent(false) => let FilterColumns { id, owner, family, except_family, key_id, except_key_ids,
        revoked, superseded, expires_before, expires_from, created_before, last_used_before } = FilterColumns::of(filter))
}

fn ending<'q>(query: Query<'q>, Revocation { at, reason, by }: &'q Revocation) -> Query<'q> {
    bind!(query => at.as_unix(), reason.as_str(), by.to_string())
}

fn derived<'q>(from: &'q RowColumns<'_>, spared: i64, revocation: &'q Revocation) -> Query<'q> {
    let query = ending(sqlx::query(sql::REVOKE_DERIVED), revocation);
    bind!(query => from.owner.as_deref(), from.family, spared)
}

/// The first 17 parameters are a row's form.
fn form<'q>(sql: &'q str, c: &'q RowColumns<'_>) -> Query<'q> {
    bind!(sqlx::query(sql) => c.id, c.digest.as_deref(), c.owner.as_deref(), c.label.as_deref(),
        c.scopes.as_deref(), c.resources.as_deref(), c.networks.as_deref(), c.attributes.as_deref(),
        c.issued_by.as_deref(), c.created_at, c.expires_at, c.family, c.successor, c.derived_from, c.key_id, c.seal.as_deref(), c.revision)
}

fn row(row: &PgRow) -> sqlx::Result<Option<Row>> {
    let columns =
        RowColumns::read(|at| row.try_get(at), |at| row.try_get(at), |at| row.try_get(at));
    Ok(columns?.into_row())
}

fn columns(row: &Row) -> sqlx::Result<RowColumns<'_>> {
    row.record().map(RowColumns::of).ok_or_else(|| Error::Encode("a damaged row".into()))
}

/// The SQLSTATE where the server itself says that it is not done.
fn refusal(error: &Error) -> Option<&str> {
    let error: &PgDatabaseError = error.as_database_error()?.try_downcast_ref()?;
    (error.severity() == PgSeverity::Error).then(|| error.code())
}
