//! Makes the tables, and checks those that exist.

use deadpool_postgres::PoolError;
use tokio_postgres::Transaction;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::connection::{OnAbandon, PooledConnection};
use super::error::{PostgresCallError, PostgresStoreError, Problem, is_worth_another_try};
use super::statements::Statements;
use super::{ATTEMPTS, PostgresStore};
use crate::store::postgres_sql::FIND;

/// The version that the schema makes.
const SCHEMA_VERSION: i64 = 1;

const ENCODING: &str = "SELECT current_setting('server_encoding')";
const OUR_TABLES: &str = "
    SELECT to_regclass('app_tokens') IS NOT NULL,
        to_regclass('app_tokens_keys') IS NOT NULL,
        to_regclass('app_tokens_owners') IS NOT NULL,
        to_regclass('app_tokens_schema') IS NOT NULL";
const FOUND_VERSION: &str = "SELECT max(version) FROM app_tokens_schema";

impl PostgresStore {
    /// Makes the tables if they are missing, and checks them if they exist.
    ///
    /// It also refuses triggers, rules and policies that
    /// [`with_known_objects`](PostgresStore::with_known_objects) does not name.
    ///
    /// Several hosts may run it at the same time. To make the tables, the role needs CREATE on the
    /// schema. Once they exist, it only needs to select, insert, update and delete in them.
    ///
    /// # Errors
    /// [`PostgresStoreError`] says what is wrong and what to do. Nothing was changed, unless the
    /// connection was lost during COMMIT: then the tables may have been made. It can be run again.
    pub async fn migrate(&self) -> Result<(), PostgresStoreError> {
        let mut attempt = 1;
        loop {
            let error = match self.try_to_migrate().await {
                Err(MigrateError::Postgres(error)) => error,
                Err(MigrateError::Pool(error)) => {
                    return Err(PostgresStoreError::NoConnection(
                        PostgresCallError::of_pool(&error).into(),
                    ));
                }
                Err(MigrateError::Because(error)) => return Err(error),
                Ok(()) => return Ok(()),
            };
            // CREATE TABLE has no lock to wait for: of two hosts that make the tables at once, one
            // fails. The next attempt finds the tables of the other.
            let is_done_by_another = error.code().is_some_and(|code| MADE_MEANWHILE.contains(code));
            if attempt == ATTEMPTS || !(is_done_by_another || is_worth_another_try(&error)) {
                return Err(self.explain(&error));
            }
            attempt += 1;
        }
    }

    /// Makes or checks the tables once, in one transaction.
    async fn try_to_migrate(&self) -> Result<(), MigrateError> {
        let mut connection = PooledConnection::of(&self.pool, OnAbandon::Close).await?;
        let transaction = connection.transaction().await?;
        self.make_or_check_tables(&transaction).await?;
        self.refuse_unknown_objects(&transaction).await?;
        transaction.commit().await?;
        connection.give_back();
        Ok(())
    }

    /// Refuses tables with objects that the host did not name.
    async fn refuse_unknown_objects(
        &self,
        transaction: &Transaction<'_>,
    ) -> Result<(), MigrateError> {
        let statements = Statements { client: transaction.client(), table: &self.table };
        self.check_once(&statements).await.map_err(|problem| match problem {
            Problem::Postgres(error) => MigrateError::Postgres(error),
            Problem::Local(found) => PostgresStoreError::Unexpected(found.into_owned()).into(),
        })
    }

    /// Makes the tables if none of them exists, or checks their version and columns.
    async fn make_or_check_tables(
        &self,
        transaction: &Transaction<'_>,
    ) -> Result<(), MigrateError> {
        let encoding: String = transaction.query_typed_one(ENCODING, &[]).await?.try_get(0)?;
        if encoding != "UTF8" {
            return Err(PostgresStoreError::NotUtf8(encoding).into());
        }
        let foreign = || PostgresStoreError::ForeignTable(self.table.clone());
        let there = transaction.query_typed_one(&self.table.in_sql(OUR_TABLES), &[]).await?;
        let is_there = |at| there.try_get::<_, bool>(at);
        // All or none. If only some exist, they are the host's own, and making the others would mix
        // the two.
        match [is_there(0)?, is_there(1)?, is_there(2)?, is_there(3)?] {
            [false, false, false, false] => {
                return Ok(transaction.batch_execute(&self.schema()).await?);
            }
            [true, true, true, true] => {}
            _ => return Err(foreign().into()),
        }
        let found = transaction.query_typed_one(&self.table.in_sql(FOUND_VERSION), &[]).await;
        let found = found.and_then(|row| row.try_get::<_, Option<i64>>(0));
        let found = found.map_err(|error| self.foreign_if_written_otherwise(error))?;
        let table = self.table.clone();
        match found {
            Some(found) if found > SCHEMA_VERSION => {
                let known = SCHEMA_VERSION;
                Err(PostgresStoreError::NewerSchema { table, found, known }.into())
            }
            Some(SCHEMA_VERSION) => {
                // To prepare the statement checks that all columns exist, and reads no row.
                let probe =
                    transaction.prepare_typed(&self.table.in_sql(FIND), &[Type::INT8]).await;
                probe.map(drop).map_err(|error| self.foreign_if_written_otherwise(error))
            }
            _ => Err(foreign().into()),
        }
    }

    /// Returns the error for a statement that the server refuses to parse: the tables have other
    /// columns than ours. Any other error is passed on.
    fn foreign_if_written_otherwise(&self, error: tokio_postgres::Error) -> MigrateError {
        let is_foreign = error.code().is_some_and(|code| {
            [SqlState::UNDEFINED_COLUMN, SqlState::UNDEFINED_FUNCTION, SqlState::WRONG_OBJECT_TYPE]
                .contains(code)
        });
        if is_foreign || error.as_db_error().is_none() && !is_worth_another_try(&error) {
            return PostgresStoreError::ForeignTable(self.table.clone()).into();
        }
        error.into()
    }

    /// Turns an error of the server into one that says what to do.
    fn explain(&self, error: &tokio_postgres::Error) -> PostgresStoreError {
        match error.code() {
            Some(code) if *code == SqlState::INVALID_SCHEMA_NAME => {
                PostgresStoreError::NoSchema(self.table.clone())
            }
            Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => {
                PostgresStoreError::NotAllowed(self.table.clone())
            }
            _ => PostgresStoreError::Failed(PostgresCallError::new(&self.table, error).into()),
        }
    }
}

/// The errors that say that another host has just made the same tables.
const MADE_MEANWHILE: [SqlState; 3] =
    [SqlState::UNIQUE_VIOLATION, SqlState::DUPLICATE_TABLE, SqlState::DUPLICATE_OBJECT];

/// Why an attempt to migrate failed.
enum MigrateError {
    Pool(PoolError),
    Postgres(tokio_postgres::Error),
    Because(PostgresStoreError),
}

impl From<PoolError> for MigrateError {
    fn from(error: PoolError) -> MigrateError {
        MigrateError::Pool(error)
    }
}

impl From<tokio_postgres::Error> for MigrateError {
    fn from(error: tokio_postgres::Error) -> MigrateError {
        MigrateError::Postgres(error)
    }
}

impl From<PostgresStoreError> for MigrateError {
    fn from(error: PostgresStoreError) -> MigrateError {
        MigrateError::Because(error)
    }
}
