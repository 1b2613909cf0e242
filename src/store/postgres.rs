//! [`PostgresStore`]: tokens in a PostgreSQL database. What it says to the server stands in `postgres_sql.rs`.

use std::fmt;

use deadpool_postgres::{Client, Object, Pool};
use tokio_postgres::IsolationLevel;
use tokio_postgres::error::SqlState;

mod failure;
mod migrate;
mod transaction;
mod within;

pub use migrate::PostgresStoreError;
pub use transaction::PostgresTransaction;

use self::failure::{Failure, is_lost, is_refused, is_worth_another_try};
use self::within::{Change, PurgeAtMost, Revoke, Touch, Within, row_of};
use super::postgres_sql::FIND;
use super::{
    Filter, Insert, Inserted, Page, Purge, Replace, Replaced, Row, StoreError, TableName,
    TokenStore,
};
use crate::record::{LastUse, Revocation};
use crate::timestamp::Timestamp;
use crate::token::TokenId;

/// Tokens in a PostgreSQL database, over the host's own pool of connections. Clones are one store.
#[derive(Clone)]
pub struct PostgresStore {
    pool: Pool,
    table: TableName,
}

/// How often a call is tried whose connection was lost, or that the server gave up for another one's sake, before anything was done.
const ATTEMPTS: u32 = 5;

impl PostgresStore {
    /// A store over the host's pool, in the tables `app_tokens`, `app_tokens_owners` and `app_tokens_schema`. Nothing is connected
    /// yet.
    pub fn new(pool: Pool) -> PostgresStore {
        PostgresStore { pool, table: TableName::default() }
    }

    /// The same, in other tables: several realms, tenants or applications in one database.
    #[must_use]
    pub fn with_table(self, table: TableName) -> PostgresStore {
        PostgresStore { table, ..self }
    }

    /// The statements that make the tables, for the host's own migrations. [`migrate`](PostgresStore::migrate) finds them then.
    pub fn schema(&self) -> String {
        self.table.in_sql(super::postgres_sql::SCHEMA).into_owned()
    }

    /// Makes a change in a transaction of its own.
    async fn change<C: Change>(&self, change: &C) -> Result<C::Answer, StoreError> {
        let mut attempt = 1;
        loop {
            let mut client = self.client().await?;
            let error = match self.change_by(&mut client, change).await {
                Ok(answer) => return Ok(answer),
                Err(Unmade::BeforeCommit(error)) => error,
                Err(Unmade::ByCommit(error)) if is_refused(&error) => error,
                Err(Unmade::ByCommit(error)) => {
                    discard_if_lost(client, &error);
                    return Err(StoreError::unknown(Failure::new(&self.table, error)));
                }
            };
            discard_if_lost(client, &error);
            if attempt == ATTEMPTS || !is_worth_another_try(&error) {
                return Err(StoreError::not_done(Failure::new(&self.table, error)));
            }
            attempt += 1;
        }
    }

    async fn change_by<C: Change>(
        &self,
        client: &mut Client,
        change: &C,
    ) -> Result<C::Answer, Unmade> {
        let begin = client.build_transaction().isolation_level(IsolationLevel::ReadCommitted);
        let transaction = begin.start().await.map_err(Unmade::BeforeCommit)?;
        let within = Within { client: transaction.client(), table: &self.table };
        let answer = change.make(&within).await.map_err(Unmade::BeforeCommit)?;
        transaction.commit().await.map_err(Unmade::ByCommit)?;
        Ok(answer)
    }

    async fn read(&self, look: Look<'_>) -> Result<Vec<Row>, StoreError> {
        let mut attempt = 1;
        loop {
            let client = self.client().await?;
            let seen = match look {
                Look::At(id) => look_up(&client, &self.table.in_sql(FIND), id).await,
                Look::Through(filter, page) => {
                    Within { client: &client, table: &self.table }.list(filter, page).await
                }
            };
            let error = match seen {
                Ok(rows) => return Ok(rows),
                Err(error) => error,
            };
            discard_if_lost(client, &error);
            if attempt == ATTEMPTS || !is_worth_another_try(&error) {
                return Err(StoreError::not_done(Failure::new(&self.table, error)));
            }
            attempt += 1;
        }
    }

    async fn client(&self) -> Result<Client, StoreError> {
        self.pool.get().await.map_err(|error| StoreError::not_done(Failure::of_pool(error)))
    }
}

/// Where an error came from. Until COMMIT was sent nothing is done.
enum Unmade {
    BeforeCommit(tokio_postgres::Error),
    ByCommit(tokio_postgres::Error),
}

#[derive(Clone, Copy)]
enum Look<'l> {
    At(TokenId),
    Through(&'l Filter, Page),
}

/// The pool would hand it out again until it has heard of its end.
fn discard_if_lost(client: Client, error: &tokio_postgres::Error) {
    if is_lost(error) {
        drop(Object::take(client));
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PostgresStore").field(&self.table).finish()
    }
}

impl TokenStore for PostgresStore {
    async fn insert(&self, insert: &Insert) -> Result<Inserted, StoreError> {
        if insert.row.record().is_none() {
            return Err(StoreError::not_done("a damaged row can't be inserted"));
        }
        self.change(insert).await
    }

    /// One round trip, once the statement is prepared on the connection.
    async fn find(&self, id: TokenId) -> Result<Option<Row>, StoreError> {
        Ok(self.read(Look::At(id)).await?.pop())
    }

    async fn list(&self, filter: &Filter, page: Page) -> Result<Vec<Row>, StoreError> {
        self.read(Look::Through(filter, page)).await
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

async fn look_up(
    client: &Client,
    sql: &str,
    id: TokenId,
) -> Result<Vec<Row>, tokio_postgres::Error> {
    let id = super::columns::number(id);
    let statement = client.prepare_cached(sql).await?;
    let found = match client.query_opt(&statement, &[&id]).await {
        Err(error) if is_outdated(&error) => {
            client.statement_cache.remove(sql, &[]);
            let statement = client.prepare_cached(sql).await?;
            client.query_opt(&statement, &[&id]).await?
        }
        found => found?,
    };
    let row = found.as_ref().map(row_of).transpose()?;
    Ok(row.flatten().into_iter().collect())
}

/// The table was altered since the statement was prepared, or the server, or a pooler before it, has forgotten it.
fn is_outdated(error: &tokio_postgres::Error) -> bool {
    let outdated = [SqlState::FEATURE_NOT_SUPPORTED, SqlState::INVALID_SQL_STATEMENT_NAME];
    error.code().is_some_and(|code| outdated.contains(code))
}
