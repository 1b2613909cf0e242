//! [`PostgresStore`]: tokens in a PostgreSQL database. What it sends to the server is in
//! `postgres/sql.rs`.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use deadpool_postgres::{Client, Pool, PoolError, TimeoutType};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;
use tokio_postgres::error::SqlState;

mod binding;
mod calls;
mod catalogue;
mod connection;
mod error;
mod migrate;
mod transaction;
mod statements;

pub use error::PostgresStoreError;
pub use transaction::PostgresTransaction;

use self::binding::read_row;
use self::catalogue::Known;
use self::connection::{OnAbandon, PooledConnection};
use self::error::{PostgresCallError, Problem, is_refused};
use self::statements::Statements;
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
/// let mut config: Config =
///     "host=/run/postgresql dbname=app user=app target_session_attrs=read-write".parse()?;
/// // Gives up a server or a network that fell silent, a lock and a statement that take too long.
/// config
///     .tcp_user_timeout(Duration::from_secs(5))
///     .options("-c lock_timeout=5s -c statement_timeout=10s");
/// // For each host of `host=one,two`. `create_timeout` below is for all of them.
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
/// The database may be the host's own. The tables are `app_tokens`, `app_tokens_schema`,
/// `app_tokens_owners` (one row for each owner, to be locked) and `app_tokens_keys` (the keys in
/// use), or those of [`with_table`](PostgresStore::with_table). No other table is read. The encoding
/// must be UTF-8.
///
/// It needs PostgreSQL 14 or newer; the tests run against 15. Other databases that speak its
/// protocol were not tried, distributed ones above all. Run the [conformance suite] over them.
///
/// [conformance suite]: https://docs.rs/app-tokens/latest/app_tokens/store/conformance/
///
/// # The pool
/// TLS, size and time-outs are the host's choice. **With `NoTls`, and with the driver's default
/// `sslmode=prefer`, rows go to another machine unencrypted, and nothing reports it.**
/// `examples/postgres_tls` has a pool with rustls and `sslmode=require`.
///
/// **Without time-outs a call may wait forever**: for a pool whose connections are all in use, a
/// server that fell silent, or a lock that is never released. With those above each is a failure
/// (503), with nothing done unless COMMIT was sent.
///
/// A revocation is one statement, however many rows it changes: half a minute or more for a
/// million. For bulk revocations and for dead-row purges, `statement_timeout` therefore applies per
/// lock, as `lock_timeout` does, so that large jobs can finish. `transaction_timeout` (PostgreSQL
/// 17) applies as it is. If the process dies meanwhile, the server finishes the statement and rolls
/// it back; it notices sooner with `client_connection_check_interval` (PostgreSQL 14).
///
/// Changes and lists use at most half of the pool, so that look-ups don't wait with them. Clones of
/// a store share that half; two stores made by [`new`](PostgresStore::new) over one pool don't. A
/// pool of one connection can't be halved.
///
/// [`RecyclingMethod::Fast`](deadpool_postgres::RecyclingMethod::Fast) is right for a pool that
/// only the store uses. A connection that turns out to be dead is closed and the call made again on
/// another, up to five times. The other methods cost each call a round trip.
///
/// In a pool that the host uses too, `Fast` hands the store what the host left on a connection: a
/// `search_path`, a role, or a BEGIN without its end, in which **a look-up may see the past**.
/// Changes name their isolation level; nothing else is reset. Begin with `client.transaction()`,
/// which always ends, and set with `SET LOCAL` only. Or take `RecyclingMethod::Clean`, which resets
/// settings but ends no transaction.
///
/// The pool must lead to the primary server (`target_session_attrs=read-write`). A standby lags:
/// **a revoked token would still be valid there**.
///
/// Behind PgBouncer in session mode nothing is different (tried with 1.18), except that it refuses
/// the options above, or drops them silently under `ignore_startup_parameters = options`. Give the
/// time-outs to the role there: `ALTER ROLE app SET lock_timeout = '5s'`. Transaction mode was not
/// tried. It needs PgBouncer 1.21 or newer with `max_prepared_statements`: **with an older one a
/// look-up may run what another program prepared under the same name**. Statement mode has no
/// transactions, so it can't hold a store.
///
/// # Durability
/// A change is answered after COMMIT, so it is as durable as the server makes it.
/// `synchronous_commit` must be `on`, PostgreSQL's default, or stricter: **at `off` a crash of the
/// server loses the last revocations**.
///
/// At `on` with a synchronous standby, a revocation survives the loss of the primary. If no standby
/// answers, the call waits, whatever the time-outs, and nobody sees the change until then. If its
/// future is dropped, the outcome is unknown; the server keeps the backend and its locks until a
/// standby answers. **Don't cancel a COMMIT that waits** (`pg_cancel_backend`): PostgreSQL then
/// reports "committed", while no standby has it.
///
/// # Costs
/// A look-up is one round trip, by a statement that is prepared once on each connection, and a list
/// is one. The first call of a store has one more: it looks for what is on the tables beside them
/// ([`with_known_objects`](PostgresStore::with_known_objects)). A change is a transaction of at least three, at READ COMMITTED
/// whatever the default. Inserts with a limit or a unique label wait for one another if they are
/// for the same owner.
///
/// # Lost connections
/// A call is made again, up to five times, if its connection was lost before COMMIT was sent, or if
/// PostgreSQL ended it to resolve a deadlock. If the connection is lost during COMMIT, the answer
/// is [`StoreError::unknown`], and the engine looks up the outcome.
///
/// If the future of a change is dropped, its connection is closed, as the server may still be busy
/// with it, and the change is rolled back or committed. The connection of a look-up or a list goes
/// back to the pool, or is closed if the server doesn't answer within a second. The server notices
/// a closed connection once it no longer waits for a lock or a standby.
///
/// # In the host's own transaction
/// [`within`](PostgresStore::within) issues and revokes in a transaction of the host's.
#[derive(Clone)]
pub struct PostgresStore {
    pool: Pool,
    table: TableName,
    /// Half of the pool, for changes and lists. A change may wait for a lock or a standby and a
    /// list may be long; logins must not wait with them.
    slow_calls: Arc<Semaphore>,
    known: Known,
    state: Arc<State>,
}

/// What the clones of a store know about its tables.
#[derive(Default)]
struct State {
    /// Whether nothing was found on the tables that the host did not name.
    is_checked: AtomicBool,
    /// The page at which the next walk for dead rows begins, so that each batch of a clean-up goes
    /// on where the one before ended.
    next_page: AtomicI64,
}

/// How often a call is tried, if its connection was lost or if it had to give way to another
/// transaction, before anything was done.
const ATTEMPTS: u32 = 5;

const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";
/// Begins a change that may take longer than any statement of the host's should, in one round trip.
/// Until the transaction ends, the shorter of the host's two time-outs applies to each lock, and no
/// time-out to the work.
const BEGIN_SLOW: &str = "BEGIN ISOLATION LEVEL READ COMMITTED;
    SELECT set_config('lock_timeout', coalesce((1000 * extract(epoch FROM least(
        nullif(current_setting('lock_timeout')::interval, '0'),
        nullif(current_setting('statement_timeout')::interval, '0'))))::bigint, 0)::text, TRUE);
    SET LOCAL statement_timeout = 0";
const ROLLBACK: &str = "ROLLBACK";
const COMMIT: &str = "COMMIT";

impl PostgresStore {
    /// Makes a store over the host's pool. It connects to nothing yet.
    ///
    /// To reach another machine, the pool needs a TLS connector and `sslmode=require`, never
    /// `NoTls`.
    pub fn new(pool: Pool) -> PostgresStore {
        let slow_calls = Arc::new(Semaphore::new((pool.status().max_size / 2).max(1)));
        let (table, known, state) = Default::default();
        PostgresStore { pool, table, slow_calls, known, state }
    }

    /// Takes tables of another name: for several realms, tenants or applications in one database.
    #[must_use]
    pub fn with_table(self, table: TableName) -> PostgresStore {
        PostgresStore { table, state: Arc::default(), ..self }
    }

    /// Names triggers, rules and policies on the tables that are the host's own.
    ///
    /// [`migrate`](PostgresStore::migrate), and else the first call, refuses any other: they can
    /// keep a revocation out. A view or a foreign table in a table's place is refused, too, unless
    /// it is named. Later changes of the schema are not noticed, except by `diagnose`.
    ///
    /// A trigger that is named must leave the store's rows as they are written. A call fails if it
    /// finds that one does not.
    #[must_use]
    pub fn with_known_objects<N: Into<String>>(
        self,
        names: impl IntoIterator<Item = N>,
    ) -> PostgresStore {
        let known = self.known.iter().cloned().chain(names.into_iter().map(N::into)).collect();
        PostgresStore { known: Arc::new(known), state: Arc::default(), ..self }
    }

    /// The SQL that makes the tables, for the host's own migrations.
    ///
    /// [`migrate`](PostgresStore::migrate) accepts tables that were made by it.
    pub fn schema(&self) -> String {
        self.table.in_sql(crate::store::postgres_sql::SCHEMA).into_owned()
    }

    /// Makes a change in a transaction of its own.
    async fn change<C: TransactionCall>(&self, change: &C) -> Result<C::Output, StoreError> {
        let _permit = self.slow_call_permit().await?;
        let mut attempt = 1;
        loop {
            let connection = self.connection(OnAbandon::Close).await?;
            let problem = match self.change_on(&connection, change).await {
                Ok(output) => {
                    connection.give_back();
                    return Ok(output);
                }
                Err(ChangeFailed::BeforeCommit(problem)) => problem,
                // The server itself says that the transaction was rolled back.
                Err(ChangeFailed::AtCommit(error)) if is_refused(&error) => error.into(),
                Err(ChangeFailed::AtCommit(error)) => {
                    return Err(StoreError::unknown(PostgresCallError::new(&self.table, &error)));
                }
            };
            if !problem.is_lost() && connection.batch_execute(ROLLBACK).await.is_ok() {
                connection.give_back();
            }
            self.may_try_again(&mut attempt, problem)?;
        }
    }

    async fn change_on<C: TransactionCall>(
        &self,
        client: &Client,
        change: &C,
    ) -> Result<C::Output, ChangeFailed> {
        let begin = if change.may_take_long() { BEGIN_SLOW } else { BEGIN };
        client.batch_execute(begin).await.map_err(Problem::from)?;
        let statements = Statements { client, table: &self.table };
        self.check_once(&statements).await?;
        let output = change.run(&statements).await?;
        client.batch_execute(COMMIT).await.map_err(ChangeFailed::AtCommit)?;
        Ok(output)
    }

    /// Refuses tables on which there is what the host did not name: once, as a look-up is one
    /// round trip.
    async fn check_once(&self, statements: &Statements<'_>) -> Result<(), Problem> {
        if self.state.is_checked.load(Ordering::Relaxed) {
            return Ok(());
        }
        let objects = statements.objects(&self.known).await?;
        objects.must_be_known(&self.table).map_err(|found| Problem::Local(found.into()))?;
        // Tables that are not there yet are to be checked once they are.
        self.state.is_checked.store(objects.are_complete, Ordering::Relaxed);
        Ok(())
    }

    async fn read(&self, what: Read<'_>) -> Result<Vec<Row>, StoreError> {
        let mut attempt = 1;
        loop {
            let connection = self.connection(OnAbandon::CloseIfBusy).await?;
            let rows = self.read_on(&connection, what).await;
            if rows.as_ref().is_err_and(Problem::is_lost) {
                // The pool would hand it out again until it notices that it is dead.
                connection.close();
            } else {
                connection.give_back();
            }
            match rows {
                Ok(rows) => return Ok(rows),
                Err(problem) => self.may_try_again(&mut attempt, problem)?,
            }
        }
    }

    async fn read_on(&self, client: &Client, what: Read<'_>) -> Result<Vec<Row>, Problem> {
        let statements = Statements { client, table: &self.table };
        self.check_once(&statements).await?;
        match what {
            Read::One(id) => find_row(client, &self.table.in_sql(FIND), id).await,
            Read::Page(filter, page) => statements.list(filter, page).await,
        }
    }

    /// Counts an attempt that did nothing, or returns its error if it was the last.
    fn may_try_again(&self, attempt: &mut u32, problem: Problem) -> Result<(), StoreError> {
        if *attempt == ATTEMPTS || !problem.is_worth_another_try() {
            return Err(problem.not_done(&self.table));
        }
        *attempt += 1;
        Ok(())
    }

    /// Waits for one of the connections for slow calls, as long as for one of the pool.
    async fn slow_call_permit(&self) -> Result<SemaphorePermit<'_>, StoreError> {
        let permit = self.slow_calls.acquire();
        let permit = match self.pool.timeouts().wait {
            Some(wait) => timeout(wait, permit).await.map_err(|_| {
                let none_came_back = PoolError::Timeout(TimeoutType::Wait);
                StoreError::not_done(PostgresCallError::of_pool(&none_came_back))
            })?,
            None => permit.await,
        };
        permit.map_err(StoreError::not_done)
    }

    async fn connection(&self, on_abandon: OnAbandon) -> Result<PooledConnection, StoreError> {
        let connection = PooledConnection::of(&self.pool, on_abandon).await;
        connection.map_err(|error| StoreError::not_done(PostgresCallError::of_pool(&error)))
    }
}

/// A call of the contract, as the statements of one transaction.
trait TransactionCall: Sync {
    type Output: Send;

    /// Whether it may change or read very many rows.
    fn may_take_long(&self) -> bool {
        false
    }

    fn run(
        &self,
        statements: &Statements<'_>,
    ) -> impl Future<Output = Result<Self::Output, Problem>> + Send;
}

/// When a change failed. Until COMMIT was sent, nothing is done.
enum ChangeFailed {
    BeforeCommit(Problem),
    AtCommit(tokio_postgres::Error),
}

impl From<Problem> for ChangeFailed {
    fn from(problem: Problem) -> ChangeFailed {
        ChangeFailed::BeforeCommit(problem)
    }
}

/// What to read: one row, or a page of those that a filter matches.
#[derive(Clone, Copy)]
enum Read<'r> {
    One(TokenId),
    Page(&'r Filter, Page),
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PostgresStore").field(&self.table).finish()
    }
}

/// Looks a row up by the prepared statement: at most one row.
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
    found.iter().map(read_row).collect()
}

/// Whether a prepared statement no longer works: the table was altered, or the server or a pooler
/// has dropped the statement.
fn is_outdated(error: &tokio_postgres::Error) -> bool {
    let outdated = [SqlState::FEATURE_NOT_SUPPORTED, SqlState::INVALID_SQL_STATEMENT_NAME];
    error.code().is_some_and(|code| outdated.contains(code))
}
