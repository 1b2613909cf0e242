//! [`PostgresStore`]: tokens in a PostgreSQL database. What it says to the server stands in `postgres_sql.rs`.

use std::fmt;
use std::sync::Arc;

use deadpool_postgres::{Client, Pool, PoolError, TimeoutType};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;
use tokio_postgres::error::SqlState;

mod binding;
mod calls;
mod connection;
mod error;
mod migrate;
mod transaction;
mod within;

pub use error::PostgresStoreError;
pub use transaction::PostgresTransaction;

use self::binding::read_row;
use self::connection::{OnAbandon, PooledConnection};
use self::error::{PostgresCallError, Problem, is_refused};
use self::within::{Within, WriteCall};
use crate::store::columns::number;
use crate::store::postgres_sql::FIND;
use crate::store::{Filter, Page, Row, StoreError, TableName};
use crate::token::TokenId;

/// Tokens in a PostgreSQL database, over the host's own pool of connections. Clones are one store.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use app_tokens::store::PostgresStore;
/// use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
/// use tokio_postgres::{Config, NoTls};
///
/// let mut config: Config = "host=/run/postgresql dbname=app user=app target_session_attrs=read-write".parse()?;
/// // A server or a way to it that fell silent is given up, and so are a lock and a statement that take too long.
/// config.tcp_user_timeout(Duration::from_secs(5)).options("-c lock_timeout=5s -c statement_timeout=10s");
/// // For each host of `host=one,two`; and for all of them, below.
/// config.connect_timeout(Duration::from_secs(2));
/// let fast = ManagerConfig { recycling_method: RecyclingMethod::Fast };
/// // `NoTls` is for the same machine only: see below.
/// let pool = Pool::builder(Manager::from_config(config, NoTls, fast))
///     .runtime(Runtime::Tokio1)
///     .wait_timeout(Some(Duration::from_secs(5)))
///     .create_timeout(Some(Duration::from_secs(5)))
///     .build()?;
/// let store = PostgresStore::new(pool);
/// store.migrate().await?;
/// # Ok(())
/// # }
/// ```
///
/// # The tables
/// The database may be the host's own: the tables are `app_tokens`, `app_tokens_owners` (one row for each owner, to be locked) and
/// `app_tokens_schema`, or those of [`with_table`](PostgresStore::with_table), and no other is looked at. It must be encoded in UTF-8.
/// PostgreSQL 12 or newer is needed; the tests run against 15. Databases that speak its protocol and are something else, distributed
/// ones above all, were not tried: run the [conformance suite](https://docs.rs/app-tokens/latest/app_tokens/store/conformance/).
///
/// # The pool
/// Its TLS, its size and its time-outs are the host's. **With `NoTls`, and `sslmode` at `prefer` (the driver's default), the rows go to
/// another machine in the clear, and nothing says so.** `examples/postgres_tls` is a pool with rustls and `sslmode=require`.
///
/// **Without time-outs nothing here ends by itself**: a pool whose connections are all in use, a server that fell silent, a lock that
/// somebody keeps. With those above each is a failure (503), with nothing done unless COMMIT was sent.
///
/// A revocation is one statement, however many rows it ends (half a minute or more for a million). So that none is too large for
/// `statement_timeout`, that is for a revocation of more than one id, and for a purge of dead rows, what `lock_timeout` is: a limit for
/// each lock, not for the work.
/// (`transaction_timeout`, of PostgreSQL 17, holds as it is.) If the process dies meanwhile, the server works on to the statement's end
/// and then undoes it; with `client_connection_check_interval` (PostgreSQL 14) it notices sooner.
///
/// Changes and lists use half of the pool at most, so that those that wait leave the rest to look-ups: half for each
/// [`new`](PostgresStore::new), which clones share, and two stores over one pool don't. A pool of one has no half.
///
/// [`RecyclingMethod::Fast`](deadpool_postgres::RecyclingMethod::Fast) is right for a pool of the store's own: a connection that slow_calls
/// out to be dead is given up and the call made again on another, up to five times; the other methods cost each call a round trip. In
/// a pool that the host uses, too, it hands the store whatever the host left on a connection: a `search_path` or role that was set, or
/// a BEGIN without its end, in which **a look-up may see the past**. A change names its isolation level; nothing else is set back here.
/// Begin with `client.transaction()`, which ends by itself, and set with `SET LOCAL` only; or take `RecyclingMethod::Clean`, which
/// resets settings, though it ends no transaction.
///
/// It must lead to the primary server (`target_session_attrs=read-write`). A standby lags: **a token that was revoked would still be
/// good there**.
///
/// Behind PgBouncer in session mode nothing is different (tried with 1.18), but it refuses the options above, or with
/// `ignore_startup_parameters = options` drops them in silence: time-outs belong to the role there (`ALTER ROLE app SET lock_timeout =
/// '5s'`). In transaction mode, which was not tried, it must know of prepared statements (1.21 or newer, with
/// `max_prepared_statements`): **an older one lets a look-up run what another program prepared under the same name**. In statement
/// mode there are no transactions, and no store.
///
/// # Durability
/// A change is answered after COMMIT, so it is as durable as the server makes it: with `synchronous_commit` at `on`, PostgreSQL's
/// default, or stricter. **At `off` a crash of the server forgets the last revocations.** At `on` with a synchronous standby a
/// revocation outlives the primary, too: where no standby answers, the call waits, whatever the time-outs, and until then nobody
/// sees the change. Whoever waits no longer, and drops the future, can't know what became of it; the server keeps the backend and its
/// locks until a standby answers, one for each change that was given up. **A COMMIT that waits must not be
/// cancelled by hand** (`pg_cancel_backend`): PostgreSQL then says "committed" to us, and to nobody that no standby has it.
///
/// # Costs
/// To look a token up is one round trip, by a statement that is prepared once on each connection. A list is one, by keys two.
/// A change is a transaction of at least three, always at READ COMMITTED whatever the host's default is; inserts with a limit, or with
/// unique labels, wait for one another if they are for the same owner. What a client calls itself is kept without NUL characters,
/// which PostgreSQL can't hold: U+FFFD stands for each.
///
/// # What is lost
/// A call whose connection is lost before COMMIT was sent, or that PostgreSQL ended for a deadlock's sake, is made again, up to five
/// times. One that is lost with COMMIT on its way is [`StoreError::unknown`], and the engine looks what became of it. A change
/// whose future is dropped has its connection closed, as the server may still be busy with it, and the pool makes another: it is
/// rolled back then, or committed. A look-up's or a list's connection goes back to the pool, but is closed if the server doesn't
/// answer within a second. The server itself notices when it is done waiting, for a lock or a standby.
///
/// # Transactions of the host's
/// [`within`](PostgresStore::within) does the same within the host's own transaction.
#[derive(Clone)]
pub struct PostgresStore {
    pool: Pool,
    table: TableName,
    /// Changes may wait, for a lock or a standby, and lists be long. Half of the pool is left for look-ups, so that logins don't wait
    /// with them.
    slow_calls: Arc<Semaphore>,
}

/// How often a call is tried whose connection was lost, or that the server gave up for another one's sake, before anything was done.
const ATTEMPTS: u32 = 5;

impl PostgresStore {
    /// A store over the host's pool, in the tables `app_tokens`, `app_tokens_owners` and `app_tokens_schema`. Nothing is connected
    /// yet. The pool's TLS is the host's: to another machine `sslmode=require` and a connector, never `NoTls`.
    pub fn new(pool: Pool) -> PostgresStore {
        let slow_calls = Arc::new(Semaphore::new((pool.status().max_size / 2).max(1)));
        PostgresStore { pool, table: TableName::default(), slow_calls }
    }

    /// The same, in other tables: several realms, tenants or applications in one database.
    #[must_use]
    pub fn with_table(self, table: TableName) -> PostgresStore {
        PostgresStore { table, ..self }
    }

    /// The statements that make the tables, for the host's own migrations. [`migrate`](PostgresStore::migrate) finds them then.
    pub fn schema(&self) -> String {
        self.table.in_sql(crate::store::postgres_sql::SCHEMA).into_owned()
    }

    /// Makes a change in a transaction of its own.
    async fn change<C: WriteCall>(&self, change: &C) -> Result<C::Output, StoreError> {
        let _permit = self.slow_call_permit().await?;
        let mut attempt = 1;
        loop {
            let connection = self.connection(OnAbandon::Close).await?;
            let problem = match self.change_by(&connection, change).await {
                Ok(answer) => {
                    connection.give_back();
                    return Ok(answer);
                }
                Err(WriteError::BeforeCommit(problem)) => problem,
                Err(WriteError::AtCommit(error)) if is_refused(&error) => error.into(),
                Err(WriteError::AtCommit(error)) => {
                    return Err(StoreError::unknown(PostgresCallError::new(&self.table, &error)));
                }
            };
            if !problem.is_lost() && connection.batch_execute(ROLLBACK).await.is_ok() {
                connection.give_back();
            }
            self.may_try_again(&mut attempt, problem)?;
        }
    }

    async fn change_by<C: WriteCall>(
        &self,
        client: &Client,
        change: &C,
    ) -> Result<C::Output, WriteError> {
        let begin = if change.may_take_long() { BEGIN_SLOW } else { BEGIN };
        client.batch_execute(begin).await.map_err(Problem::from)?;
        let answer = change.make(&Within { client, table: &self.table }).await?;
        client.batch_execute(COMMIT).await.map_err(WriteError::AtCommit)?;
        Ok(answer)
    }

    async fn read(&self, what: Read<'_>) -> Result<Vec<Row>, StoreError> {
        let mut attempt = 1;
        loop {
            let connection = self.connection(OnAbandon::CloseIfBusy).await?;
            let seen = match what {
                Read::One(id) => find_row(&connection, &self.table.in_sql(FIND), id).await,
                Read::Page(filter, page) => {
                    Within { client: &connection, table: &self.table }.list(filter, page).await
                }
            };
            if seen.as_ref().is_err_and(Problem::is_lost) {
                // The pool would hand it out again until it has heard of its end.
                connection.close();
            } else {
                connection.give_back();
            }
            match seen {
                Ok(rows) => return Ok(rows),
                Err(problem) => self.may_try_again(&mut attempt, problem)?,
            }
        }
    }

    /// After a call with which nothing was done.
    fn may_try_again(&self, attempt: &mut u32, problem: Problem) -> Result<(), StoreError> {
        if *attempt == ATTEMPTS || !problem.is_worth_another_try() {
            return Err(problem.not_done(&self.table));
        }
        *attempt += 1;
        Ok(())
    }

    async fn slow_call_permit(&self) -> Result<SemaphorePermit<'_>, StoreError> {
        let turn = self.slow_calls.acquire();
        let turn = match self.pool.timeouts().wait {
            Some(wait) => timeout(wait, turn).await.map_err(|_| {
                let none_came_back = PoolError::Timeout(TimeoutType::Wait);
                StoreError::not_done(PostgresCallError::of_pool(&none_came_back))
            })?,
            None => turn.await,
        };
        turn.map_err(StoreError::not_done)
    }

    async fn connection(&self, on_abandon: OnAbandon) -> Result<PooledConnection, StoreError> {
        let connection = PooledConnection::of(&self.pool, on_abandon).await;
        connection.map_err(|error| StoreError::not_done(PostgresCallError::of_pool(&error)))
    }
}

const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";
/// A change that may take longer than any statement of the host's should: the time-out for a statement is one for each lock then. All
/// in one round trip, and until the transaction ends.
const BEGIN_SLOW: &str = "BEGIN ISOLATION LEVEL READ COMMITTED;
    SELECT set_config('lock_timeout', coalesce((1000 * extract(epoch FROM least(
        nullif(current_setting('lock_timeout')::interval, '0'),
        nullif(current_setting('statement_timeout')::interval, '0'))))::bigint, 0)::text, TRUE);
    SET LOCAL statement_timeout = 0";
const ROLLBACK: &str = "ROLLBACK";
const COMMIT: &str = "COMMIT";

/// Where a problem arose. Until COMMIT was sent nothing is done.
enum WriteError {
    BeforeCommit(Problem),
    AtCommit(tokio_postgres::Error),
}

impl From<Problem> for WriteError {
    fn from(problem: Problem) -> WriteError {
        WriteError::BeforeCommit(problem)
    }
}

/// At one row, or through a page.
#[derive(Clone, Copy)]
enum Read<'l> {
    One(TokenId),
    Page(&'l Filter, Page),
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PostgresStore").field(&self.table).finish()
    }
}

async fn find_row(client: &Client, sql: &str, id: TokenId) -> Result<Vec<Row>, Problem> {
    let id = number(id);
    let statement = client.prepare_cached(sql).await?;
    let found = match client.query_opt(&statement, &[&id]).await {
        Err(error) if is_outdated(&error) => {
            client.statement_cache.remove(sql, &[]);
            let statement = client.prepare_cached(sql).await?;
            client.query_opt(&statement, &[&id]).await?
        }
        found => found?,
    };
    let row = found.as_ref().map(read_row).transpose()?;
    Ok(row.flatten().into_iter().collect())
}

/// The table was altered since the statement was prepared, or the server, or a pooler before it, has forgotten it.
fn is_outdated(error: &tokio_postgres::Error) -> bool {
    let outdated = [SqlState::FEATURE_NOT_SUPPORTED, SqlState::INVALID_SQL_STATEMENT_NAME];
    error.code().is_some_and(|code| outdated.contains(code))
}
