//! [`PostgresTransaction`]: the store within a transaction of the host.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use tokio::sync::Mutex;
use tokio_postgres::Transaction;

use super::calls::{Diagnose, KeysInUse, PurgeAtMost, ReplaceAll, Revoke, Touch};
use super::catalogue::Known;
use super::error::Problem;
use super::statements::Statements;
use super::{PostgresStore, TransactionCall};
use crate::key::KeyId;
use crate::record::{LastUse, Revocation};
use crate::store::{
    Filter, Insert, Inserted, Page, Purge, Replace, Replaced, Row, StoreError, Supersede,
    Superseded, TableName, TokenStore,
};
use crate::timestamp::Timestamp;
use crate::token::TokenId;

/// Issues and revokes tokens within a transaction of the host. Made by [`PostgresStore::within`].
///
/// Changes take effect when the host commits, together with the host's own writes. **Don't show an
/// issued token before that.**
///
/// ```no_run
/// # async fn example(pool: deadpool_postgres::Pool) -> Result<(), Box<dyn std::error::Error>> {
/// # use app_tokens::{Access, KeyRing, NewToken, Policy, TokenAuthority};
/// # use app_tokens::store::PostgresStore;
/// # let (ring, policy) = (KeyRing::ephemeral()?, Policy::new("acme")?);
/// let store = PostgresStore::new(pool.clone());
/// let tokens = TokenAuthority::new(store.clone(), ring, policy);
///
/// let mut client = pool.get().await?;
/// let transaction = client.transaction().await?;
/// transaction.execute("INSERT INTO users VALUES ('alice')", &[]).await?;
/// let inside = store.within(&transaction).await?;
/// let within = tokens.in_transaction(&inside);
/// let issued = within.issue(NewToken::new("alice", "My phone", Access::full())).await?;
/// let events = within.into_events();
/// transaction.commit().await?;
/// events.send();
/// println!("shown once: {}", issued.expose_secret());
/// # Ok(())
/// # }
/// ```
///
/// It commits nothing and retries nothing. A refusal, for instance because a limit is reached,
/// leaves the transaction usable.
///
/// Two things end the transaction: an error that the server reports, and a call with a future that
/// is dropped midway. **The host must then roll it back.** Its COMMIT would report no error, and
/// commit nothing.
///
/// Until the host commits, other calls for the same owner may wait. The outcome of a COMMIT is
/// unknown if its answer is lost, or if it is cancelled while it waits for a synchronous standby.
///
/// The host's time-outs apply unchanged. To revoke very many rows, set a longer
/// `SET LOCAL statement_timeout` in the transaction, and a `lock_timeout` with it.
pub struct PostgresTransaction<'t> {
    transaction: &'t Transaction<'t>,
    table: TableName,
    known: Known,
    /// Held during each call. If the host makes several calls at once, their statements must not
    /// mix on the one connection.
    one_call: Mutex<()>,
}

impl PostgresStore {
    /// Makes a store over a transaction of the host.
    ///
    /// The transaction must be at READ COMMITTED, PostgreSQL's default. At a stricter level, a
    /// revocation would miss rows that were committed after the transaction began.
    ///
    /// # Errors
    /// [`StoreError::not_done`] if the transaction is broken or at another level. Also if the
    /// tables have a trigger, a rule or a policy that
    /// [`with_known_objects`](PostgresStore::with_known_objects) does not name.
    pub async fn within<'t>(
        &self,
        transaction: &'t Transaction<'t>,
    ) -> Result<PostgresTransaction<'t>, StoreError> {
        let level = transaction.query_typed_one(ISOLATION, &[]).await;
        let level = level.and_then(|row| row.try_get::<_, String>(0));
        let level = level.map_err(|error| Problem::from(error).not_done(&self.table))?;
        if level != "read committed" {
            let wrong = format!("the transaction is at {level}; begin it at read committed");
            return Err(StoreError::not_done(wrong));
        }
        let statements = Statements { client: transaction.client(), table: &self.table };
        let checked = self.check_once(&statements).await;
        checked.map_err(|problem| problem.not_done(&self.table))?;
        let (table, known) = (self.table.clone(), Arc::clone(&self.known));
        Ok(PostgresTransaction { transaction, table, known, one_call: Mutex::new(()) })
    }
}

const ISOLATION: &str = "SELECT current_setting('transaction_isolation')";
/// A statement that always fails, so that the transaction can't be committed after it.
const ABANDONED: &str = concat!(
    "SELECT '",
    "a call of app-tokens was dropped midway in this transaction; roll it back",
    "'::boolean",
);

impl PostgresTransaction<'_> {
    /// Makes a call within the host's transaction.
    async fn change<C: TransactionCall>(&self, change: &C) -> Result<C::Output, StoreError> {
        let _alone = self.one_call.lock().await;
        let mut unfinished = Unfinished(Some(self.transaction));
        let answer = change.run(&self.statements()).await;
        // An error that the server reports has already ended the transaction. An error of this
        // library has not, and the call may be half done: then the guard ends it.
        if answer.as_ref().err().is_none_or(Problem::is_from_server) {
            unfinished.0 = None;
        }
        answer.map_err(|problem| problem.not_done(&self.table))
    }

    fn statements(&self) -> Statements<'_> {
        Statements { client: self.transaction.client(), table: &self.table }
    }
}

/// Ends the transaction when it is dropped, unless the call was completed: it may be half done.
struct Unfinished<'t>(Option<&'t Transaction<'t>>);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(transaction) = self.0 {
            // One poll is enough: the driver sends the statement then, before anything that the
            // host sends later. `drop` can't wait for the answer, and needs none.
            let sending = pin!(transaction.batch_execute(ABANDONED));
            _ = sending.poll(&mut Context::from_waker(Waker::noop())); // ignored: nobody waits
        }
    }
}

impl TokenStore for PostgresTransaction<'_> {
    async fn insert(&self, insert: &Insert) -> Result<Inserted, StoreError> {
        self.change(insert).await
    }

    async fn supersede(&self, supersede: &Supersede) -> Result<Superseded, StoreError> {
        self.change(supersede).await
    }

    async fn find(&self, id: TokenId) -> Result<Option<Row>, StoreError> {
        let _alone = self.one_call.lock().await;
        self.statements().find(id).await.map_err(|problem| problem.not_done(&self.table))
    }

    async fn list(&self, filter: &Filter, page: Page) -> Result<Vec<Row>, StoreError> {
        let _alone = self.one_call.lock().await;
        self.statements().list(filter, page).await.map_err(|problem| problem.not_done(&self.table))
    }

    async fn replace(&self, replaces: &[Replace]) -> Result<Vec<Replaced>, StoreError> {
        self.change(&ReplaceAll(replaces)).await
    }

    async fn revoke(&self, filter: &Filter, revocation: &Revocation) -> Result<u64, StoreError> {
        self.change(&Revoke(filter, revocation)).await
    }

    async fn touch(&self, uses: &[(TokenId, LastUse)], now: Timestamp) -> Result<(), StoreError> {
        self.change(&Touch(uses, now)).await
    }

    async fn purge(&self, purge: &Purge, limit: u32) -> Result<u64, StoreError> {
        self.change(&PurgeAtMost(purge, limit)).await
    }

    async fn keys_in_use(&self) -> Result<Vec<KeyId>, StoreError> {
        self.change(&KeysInUse).await
    }

    async fn diagnose(&self) -> Result<Vec<String>, StoreError> {
        self.change(&Diagnose(&self.known)).await
    }
}

impl fmt::Debug for PostgresTransaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PostgresTransaction").field(&self.table).finish()
    }
}
