//! [`PostgresStore`]: tokens in a PostgreSQL database. The SQL that it sends is in
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

/// Keeps tokens in a PostgreSQL database, through the host's own pool of connections.
///
/// Clones share one store. It needs tokio.
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
/// // Gives up if the server or the network falls silent, or if a lock or statement takes too long.
/// config
///     .tcp_user_timeout(Duration::from_secs(5))
///     .options("-c lock_timeout=5s -c statement_timeout=10s");
/// // For each host in `host=one,two`. The `create_timeout` below is for all of them together.
/// config.connect_timeout(Duration::from_secs(2));
/// let fast = ManagerConfig { recycling_method: RecyclingMethod::Fast };
/// // Use `NoTls` on the same machine only: see below.
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
/// The database may be the host's own. The store uses these tables and no others:
///
/// - `app_tokens`: the tokens;
/// - `app_tokens_owners`: one row for each owner, to be locked;
/// - `app_tokens_keys`: the keys in use;
/// - `app_tokens_schema`: the version of the tables.
///
/// [`with_table`](PostgresStore::with_table) gives them another name. The database must be encoded
/// in UTF-8.
///
/// The store needs PostgreSQL 14 or newer; the tests run against 15. No other database with the
/// same protocol was tried, in particular no distributed one. Run the [conformance suite] over such
/// a database first.
///
/// [conformance suite]: https://docs.rs/app-tokens/latest/app_tokens/store/conformance/
///
/// # The pool
/// TLS, size and time-outs are the host's choice.
///
/// **With `NoTls`, rows go to another machine unencrypted, and nothing reports it.** The same may
/// happen with the driver's default `sslmode=prefer`. `examples/postgres_tls` has a pool with
/// rustls and `sslmode=require`.
///
/// **Without time-outs a call may wait forever.** It may wait for a connection if all are in use,
/// for a server that fell silent, or for a lock that is never released. With the time-outs above,
/// each of these becomes a failure (503). Nothing is done then, unless COMMIT was sent.
///
/// A revocation is one statement, however many rows it changes. A million rows take half a minute
/// or more. So that large jobs can finish, `statement_timeout` applies per lock there, as
/// `lock_timeout` does. This holds for bulk revocations, for dead-row purges and for `diagnose`.
/// `transaction_timeout` (PostgreSQL 17) still applies to the whole.
///
/// A purge of dead rows walks through the table. Each part that has dead rows, of 1,024 pages, is a
/// transaction of its own. A revocation of such a row waits for that part only.
///
/// If the process dies during such a statement, the server finishes it and rolls it back. With
/// `client_connection_check_interval` (PostgreSQL 14) the server notices sooner.
///
/// Changes and lists use at most half of the pool, so that look-ups don't wait for them. Clones of
/// a store share that half. Two stores that [`new`](PostgresStore::new) made over one pool don't. A
/// pool of one connection can't be halved.
///
/// [`RecyclingMethod::Fast`](deadpool_postgres::RecyclingMethod::Fast) is right if only the store
/// uses the pool. If a connection turns out to be dead, it is closed and the call is made again on
/// another, up to five times in all. The other methods cost one more round trip for each call.
///
/// If the host uses the pool, too, `Fast` hands the store whatever the host left on a connection.
/// That may be a `search_path`, a role, or an open transaction, in which **a look-up may see the
/// past**. Changes set their isolation level; nothing else is reset. So begin transactions only
/// with `client.transaction()`, which always ends them, and change settings only with `SET LOCAL`.
/// `RecyclingMethod::Clean` resets settings, but ends no transaction.
///
/// The pool must lead to the primary server (`target_session_attrs=read-write`). A standby lags:
/// **a revoked token would still be valid there**.
///
/// PgBouncer:
///
/// - *Session mode* works (tried with 1.18). But it refuses the options above, or drops them
///   silently with `ignore_startup_parameters = options`. Set the time-outs for the role instead:
///   `ALTER ROLE app SET lock_timeout = '5s'`.
/// - *Transaction mode* was not tried. It needs PgBouncer 1.21 or newer with
///   `max_prepared_statements`. **With an older one, a look-up may run what another program
///   prepared under the same name.**
/// - *Statement mode* has no transactions, so it can't be used.
///
/// # Durability
/// A change returns after COMMIT, so it is as durable as the server makes it. `synchronous_commit`
/// must be `on`, which is PostgreSQL's default, or stricter. **If it is `off`, a crash of the
/// server loses the last revocations.**
///
/// If it is `on` and there is a synchronous standby, a revocation survives the loss of the primary.
/// If no standby answers, the call waits, whatever the time-outs are, and no other call sees the
/// change. If its future is dropped, the outcome is unknown, and the server keeps the backend and
/// its locks until a standby answers. **Don't cancel a COMMIT that waits** (`pg_cancel_backend`):
/// PostgreSQL then reports "committed", although no standby has the change.
///
/// # Costs
///
/// | call | round trips |
/// |---|---|
/// | look-up | 1, with a statement that is prepared once on each connection |
/// | list | 1 |
/// | change | at least 3, as one transaction at READ COMMITTED, whatever the default level |
///
/// The first call of a store has one more, to look for unknown objects on the tables
/// ([`with_known_objects`](PostgresStore::with_known_objects)). Inserts for the same owner wait for
/// one another if there is a limit or a unique label.
///
/// # Lost connections
/// A call is made up to five times in all. It is made again if its connection was lost before
/// COMMIT was sent, or if PostgreSQL ended it to resolve a deadlock. If the connection is lost
/// during COMMIT, the error is [`StoreError::unknown`].
///
/// If the future of a change is dropped, its connection is closed: the server may still be busy
/// with it. The change is either rolled back or committed. The connection of a dropped look-up or
/// list goes back to the pool, or is closed if the server doesn't answer within a second. The
/// server notices a closed connection only when it no longer waits for a lock or a standby.
///
/// # In the host's own transaction
/// [`within`](PostgresStore::within) issues and revokes tokens in a transaction of the host.
#[derive(Clone)]
pub struct PostgresStore {
    pool: Pool,
    table: TableName,
    /// Permits for half of the pool, for changes and lists. A change may wait for a lock or a
    /// standby, and a list may be long. Without the limit, they could hold every connection, and
    /// logins would wait behind them.
    slow_calls: Arc<Semaphore>,
    known: Known,
    state: Arc<TablesState>,
}

/// What the clones of a store know about its tables, together.
#[derive(Default)]
struct TablesState {
    /// Whether the tables were checked and hold no object that the host did not name.
    is_checked: AtomicBool,
    /// The page at which the next walk for dead rows begins. So each batch of a clean-up continues
    /// where the one before ended.
    next_page: AtomicI64,
}

/// How often a call is made in all. It is made again if nothing was done, because its connection
/// was lost or because PostgreSQL ended it in favour of another transaction.
const ATTEMPTS: u32 = 5;

/// Begins a change. The level is named: a stricter default would show the past (see `sql.md`).
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";
/// Begins a change that may take longer than the host's time-outs allow, in one round trip.
///
/// Until the transaction ends, the shorter of `lock_timeout` and `statement_timeout` applies to
/// each lock, and the work itself has no time-out. Turning both off would be simpler, but then a
/// lock that is never released would block the change forever.
const BEGIN_SLOW: &str = "BEGIN ISOLATION LEVEL READ COMMITTED;
    SELECT set_config('lock_timeout', coalesce((1000 * extract(epoch FROM least(
        nullif(current_setting('lock_timeout')::interval, '0'),
        nullif(current_setting('statement_timeout')::interval, '0'))))::bigint, 0)::text, TRUE);
    SET LOCAL statement_timeout = 0";
const ROLLBACK: &str = "ROLLBACK";
const COMMIT: &str = "COMMIT";

impl PostgresStore {
    /// Makes a store over the host's pool. It does not connect yet.
    ///
    /// To reach another machine, the pool needs a TLS connector and `sslmode=require`, never
    /// `NoTls`. Run [`migrate`](PostgresStore::migrate) before the first call.
    pub fn new(pool: Pool) -> PostgresStore {
        let slow_calls = Arc::new(Semaphore::new((pool.status().max_size / 2).max(1)));
        let (table, known, state) = Default::default();
        PostgresStore { pool, table, slow_calls, known, state }
    }

    /// Uses tables of another name, for several realms, tenants or applications in one database.
    #[must_use]
    pub fn with_table(self, table: TableName) -> PostgresStore {
        // A new state: these tables were not checked yet, and their walk begins at the start.
        PostgresStore { table, state: Arc::default(), ..self }
    }

    /// Allows the host's own triggers, rules and policies on the tables, by their names.
    ///
    /// [`migrate`](PostgresStore::migrate) refuses any other, since they can keep a revocation out.
    /// Without `migrate`, the first call does. A view, a foreign table or an inheriting table is
    /// refused in the same way, unless it is named. Later changes of the schema are noticed by
    /// `diagnose` only.
    ///
    /// A trigger that is named must leave the store's rows as they are written. If a call finds
    /// that one does not, the call fails.
    #[must_use]
    pub fn with_known_objects<N: Into<String>>(
        self,
        names: impl IntoIterator<Item = N>,
    ) -> PostgresStore {
        let known = self.known.iter().cloned().chain(names.into_iter().map(N::into)).collect();
        PostgresStore { known: Arc::new(known), state: Arc::default(), ..self }
    }

    /// Returns the SQL that makes the tables, for the host's own migrations.
    ///
    /// Run it once, in one transaction. [`migrate`](PostgresStore::migrate) accepts its tables.
    pub fn schema(&self) -> String {
        self.table.in_sql(crate::store::postgres_sql::SCHEMA).into_owned()
    }

    /// Makes a change in a transaction of its own, up to [`ATTEMPTS`] times.
    ///
    /// # Errors
    /// [`StoreError::unknown`] only if COMMIT was sent and the server did not refuse it.
    async fn change<C: TransactionCall>(&self, change: &C) -> Result<C::Output, StoreError> {
        // Held for all attempts. It is taken before the connection, never the other way around:
        // calls that held connections while they waited for permits could use up the pool.
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
                // The server itself says that the transaction was rolled back, so it is certain
                // that nothing was done.
                Err(ChangeFailed::AtCommit(error)) if is_refused(&error) => error.into(),
                Err(ChangeFailed::AtCommit(error)) => {
                    return Err(StoreError::unknown(PostgresCallError::new(&self.table, &error)));
                }
            };
            // Without a ROLLBACK that the server confirmed, the connection is closed when it is
            // dropped here. In the pool, its open transaction would swallow the host's next writes.
            if !problem.is_lost() && connection.batch_execute(ROLLBACK).await.is_ok() {
                connection.give_back();
            }
            self.may_try_again(&mut attempt, problem)?;
        }
    }

    /// Makes a change once, on a connection.
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

    /// Refuses tables with objects that the host did not name. It asks only until it has found all
    /// in order: a look-up must stay one round trip.
    async fn check_once(&self, statements: &Statements<'_>) -> Result<(), Problem> {
        if self.state.is_checked.load(Ordering::Relaxed) {
            return Ok(());
        }
        let objects = statements.objects(&self.known).await?;
        objects.must_be_known(&self.table).map_err(|found| Problem::Local(found.into()))?;
        // If a table is missing, the check is repeated until all of them exist.
        self.state.is_checked.store(objects.are_complete, Ordering::Relaxed);
        Ok(())
    }

    /// Reads outside a transaction, up to [`ATTEMPTS`] times.
    async fn read(&self, what: Read<'_>) -> Result<Vec<Row>, StoreError> {
        let mut attempt = 1;
        loop {
            let connection = self.connection(OnAbandon::CloseIfBusy).await?;
            let rows = self.read_on(&connection, what).await;
            if rows.as_ref().is_err_and(Problem::is_lost) {
                // The pool would hand out this dead connection again, and each attempt would fail.
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

    /// Reads once, on a connection.
    async fn read_on(&self, client: &Client, what: Read<'_>) -> Result<Vec<Row>, Problem> {
        let statements = Statements { client, table: &self.table };
        self.check_once(&statements).await?;
        match what {
            Read::One(id) => find_row(client, &self.table.in_sql(FIND), id).await,
            Read::Page(filter, page) => statements.list(filter, page).await,
        }
    }

    /// Counts an attempt that did nothing.
    ///
    /// # Errors
    /// The error of the attempt if it was the last, or if another would fail in the same way.
    fn may_try_again(&self, attempt: &mut u32, problem: Problem) -> Result<(), StoreError> {
        if *attempt == ATTEMPTS || !problem.is_worth_another_try() {
            return Err(problem.not_done(&self.table));
        }
        *attempt += 1;
        Ok(())
    }

    /// Waits for a permit for a slow call, for at most the pool's own `wait` time-out.
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

    /// Takes a connection from the pool.
    async fn connection(&self, on_abandon: OnAbandon) -> Result<PooledConnection, StoreError> {
        let connection = PooledConnection::of(&self.pool, on_abandon).await;
        connection.map_err(|error| StoreError::not_done(PostgresCallError::of_pool(&error)))
    }
}

/// A call of the contract, as the statements of one transaction.
///
/// It may be run several times, so it holds its arguments by reference and changes nothing else.
trait TransactionCall: Sync {
    /// What the call answers.
    type Output: Send;

    /// Returns whether it may change or read very many rows.
    fn may_take_long(&self) -> bool {
        false
    }

    /// Runs the statements, without BEGIN and COMMIT.
    fn run(
        &self,
        statements: &Statements<'_>,
    ) -> impl Future<Output = Result<Self::Output, Problem>> + Send;
}

/// Says when a change failed. Until COMMIT was sent, it is certain that nothing was done.
enum ChangeFailed {
    BeforeCommit(Problem),
    AtCommit(tokio_postgres::Error),
}

impl From<Problem> for ChangeFailed {
    fn from(problem: Problem) -> ChangeFailed {
        ChangeFailed::BeforeCommit(problem)
    }
}

/// What to read: one row, or a page of the rows that a filter matches.
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

/// Looks up a row with the prepared statement. Returns at most one row.
async fn find_row(client: &Client, sql: &str, id: TokenId) -> Result<Vec<Row>, Problem> {
    let id = number(id);
    // The connection's cache holds a handle to the statement, too. The driver closes a statement on
    // the server with its last handle. If this frame held the only one, each look-up would prepare
    // again, and dropping its future would send a Close.
    let statement = client.prepare_cached(sql).await?;
    let found = match client.query_opt(&statement, &[&id]).await {
        Err(error) if is_outdated(&error) => {
            // Removed first, as the cache would return the outdated statement again. Tried only
            // once more: a second such error has another cause.
            client.statement_cache.remove(sql, &[]);
            let statement = client.prepare_cached(sql).await?;
            client.query_opt(&statement, &[&id]).await?
        }
        found => found?,
    };
    found.iter().map(read_row).collect()
}

/// Returns whether a prepared statement no longer works: the table was altered, or the server or a
/// pooler has dropped the statement.
fn is_outdated(error: &tokio_postgres::Error) -> bool {
    let outdated = [SqlState::FEATURE_NOT_SUPPORTED, SqlState::INVALID_SQL_STATEMENT_NAME];
    error.code().is_some_and(|code| outdated.contains(code))
}
