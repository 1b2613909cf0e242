//! [`PostgresTransaction`]: the store within the host's own transaction.

use std::fmt;
use std::pin::pin;
use std::task::{Context, Waker};

use tokio::sync::Mutex;
use tokio_postgres::Transaction;

use super::PostgresStore;
use super::calls::{PurgeAtMost, Revoke, Touch};
use super::error::Problem;
use super::within::{Within, WriteCall};
use crate::record::{LastUse, Revocation};
use crate::store::{
    Filter, Insert, Inserted, Page, Purge, Replace, Replaced, Row, StoreError, TableName,
    TokenStore,
};
use crate::timestamp::Timestamp;
use crate::token::TokenId;

/// The tokens of a [`PostgresStore`] within a transaction of the host's: what is done here is done when the host commits, and with
/// what else the host does in it. From [`PostgresStore::within`].
///
/// ```no_run
/// # async fn example(pool: deadpool_postgres::Pool) -> Result<(), Box<dyn std::error::Error>> {
/// # use app_tokens::{KeyRing, NewToken, Policy, TokenAuthority};
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
/// let issued = within.issue(NewToken::new("alice", "My phone")).await?;
/// let events = within.into_events();
/// transaction.commit().await?;
/// events.send();
/// println!("shown once: {}", issued.expose_secret());
/// # Ok(())
/// # }
/// ```
///
/// Nothing is committed and nothing is tried again. A refusal, a limit that is reached for instance, leaves the transaction as it is;
/// an error that the server reports ends it, and so does a call whose future is dropped in the middle. **The host rolls it back
/// then**: its COMMIT would be no error, and commit nothing. Until the host commits, other calls for the same owner wait. A COMMIT
/// without an answer, or cancelled while it waits for a synchronous standby, may or may not hold. The host's time-outs hold as they
/// are: to revoke very many rows give it `SET LOCAL statement_timeout`, and a `lock_timeout` with it.
pub struct PostgresTransaction<'t> {
    transaction: &'t Transaction<'t>,
    table: TableName,
    /// One call after the other, also where the host makes several at once.
    turn: Mutex<()>,
}

impl PostgresStore {
    /// The same tokens within the host's transaction, which must be at READ COMMITTED: PostgreSQL's default.
    ///
    /// # Errors
    /// [`StoreError`] if it is at another level, where a revocation would miss what was committed since it began, or if it is
    /// broken.
    pub async fn within<'t>(
        &self,
        transaction: &'t Transaction<'t>,
    ) -> Result<PostgresTransaction<'t>, StoreError> {
        let level = transaction.query_typed_one(ISOLATION, &[]).await;
        let level = level.and_then(|row| row.try_get::<_, String>(0));
        let level = level.map_err(|error| Problem::from(error).not_done(&self.table))?;
        if level != "read committed" {
            let wrong = format!("the transaction is at {level}, and must be at read committed");
            return Err(StoreError::not_done(wrong));
        }
        Ok(PostgresTransaction { transaction, table: self.table.clone(), turn: Mutex::new(()) })
    }
}

const ISOLATION: &str = "SELECT current_setting('transaction_isolation')";
/// Fails, so that nothing can be committed after it.
const GIVEN_UP: &str =
    "SELECT 'a call of app-tokens was given up in the middle of this transaction'::boolean";

impl PostgresTransaction<'_> {
    async fn change<C: WriteCall>(&self, change: &C) -> Result<C::Output, StoreError> {
        let _turn = self.turn.lock().await;
        let mut unfinished = Unfinished(Some(self.transaction));
        let answer = change.make(&self.as_within()).await;
        // An error of the server's has ended the transaction already; one of ours has not.
        if answer.as_ref().err().is_none_or(Problem::is_from_server) {
            unfinished.0 = None;
        }
        answer.map_err(|problem| problem.not_done(&self.table))
    }

    fn as_within(&self) -> Within<'_> {
        Within { client: self.transaction.client(), table: &self.table }
    }
}

/// A call that is dropped before its end takes the transaction with it: it might be done by half.
struct Unfinished<'t>(Option<&'t Transaction<'t>>);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(transaction) = self.0 {
            // The first poll sends it, before anything that the host sends afterwards.
            let _sent = pin!(transaction.batch_execute(GIVEN_UP))
                .poll(&mut Context::from_waker(Waker::noop()));
        }
    }
}

impl TokenStore for PostgresTransaction<'_> {
    async fn insert(&self, insert: &Insert) -> Result<Inserted, StoreError> {
        self.change(insert).await
    }

    async fn find(&self, id: TokenId) -> Result<Option<Row>, StoreError> {
        let _turn = self.turn.lock().await;
        self.as_within().find(id).await.map_err(|problem| problem.not_done(&self.table))
    }

    async fn list(&self, filter: &Filter, page: Page) -> Result<Vec<Row>, StoreError> {
        let _turn = self.turn.lock().await;
        self.as_within().list(filter, page).await.map_err(|problem| problem.not_done(&self.table))
    }

    async fn replace(&self, replace: &Replace) -> Result<Replaced, StoreError> {
        self.change(replace).await
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
}

impl fmt::Debug for PostgresTransaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PostgresTransaction").field(&self.table).finish()
    }
}
