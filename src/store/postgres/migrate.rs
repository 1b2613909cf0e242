//! Making the tables, and looking at those that are there.

use std::error::Error;

use deadpool_postgres::PoolError;
use tokio_postgres::Transaction;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::failure::{Failure, is_worth_another_try};
use super::{ATTEMPTS, GivenUp, Lent, PostgresStore};
use crate::store::TableName;
use crate::store::postgres_sql::FIND;

/// The version that the schema makes.
const SCHEMA_VERSION: i64 = 1;

const ENCODING: &str = "SELECT current_setting('server_encoding')";
const OUR_TABLES: &str = "SELECT to_regclass('app_tokens') IS NOT NULL, to_regclass('app_tokens_owners') IS NOT NULL, to_regclass('app_tokens_schema') IS NOT NULL";
const FOUND_VERSION: &str = "SELECT max(version) FROM app_tokens_schema";

/// Why the tables can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostgresStoreError {
    /// The pool gave no connection.
    #[error("{0}")]
    NoConnection(Box<dyn Error + Send + Sync>),
    /// The database is encoded otherwise, and can't hold every name.
    #[error("the database is encoded in {0}: take one in UTF8")]
    NotUtf8(String),
    /// The schema of the table's name is not there.
    #[error("the schema of {0} is not there: create it first")]
    NoSchema(TableName),
    /// The role may not make tables.
    #[error(
        "the role may not make the table {0}: migrate with another, or run PostgresStore::schema in migrations of your own"
    )]
    NotAllowed(TableName),
    /// A newer version of this library made the tables.
    #[error(
        "the tables of {table} have version {found}, and this program knows version {known}: run a newer version of it"
    )]
    NewerSchema {
        /// The table.
        table: TableName,
        /// The version of its tables.
        found: i64,
        /// The newest version that this library knows.
        known: i64,
    },
    /// There is a table of that name that this library did not make, or not so.
    #[error(
        "there is a table {0}, or one beside it, that is not this library's: take another name"
    )]
    ForeignTable(TableName),
    /// Anything else.
    #[error("{0}")]
    Failed(Box<dyn Error + Send + Sync>),
}

impl PostgresStore {
    /// Makes the tables where they are missing, and looks at them where they are there. Several hosts may do so at once; a role that
    /// may only read and write them may, too, once they are there.
    ///
    /// # Errors
    /// [`PostgresStoreError`] says what is wrong; nothing was changed then.
    pub async fn migrate(&self) -> Result<(), PostgresStoreError> {
        let mut attempt = 1;
        loop {
            let error = match self.try_to_migrate().await {
                Err(NotMigrated::Postgres(error)) => error,
                Err(NotMigrated::Pool(error)) => {
                    return Err(PostgresStoreError::NoConnection(Failure::of_pool(&error).into()));
                }
                Err(NotMigrated::Because(error)) => return Err(error),
                Ok(()) => return Ok(()),
            };
            let is_done_by_another = error.code().is_some_and(|code| MADE_MEANWHILE.contains(code));
            if attempt == ATTEMPTS || !(is_done_by_another || is_worth_another_try(&error)) {
                return Err(self.explain(&error));
            }
            attempt += 1;
        }
    }

    async fn try_to_migrate(&self) -> Result<(), NotMigrated> {
        let client = Some(self.pool.get().await?);
        let mut lent = Lent { client, given_up: GivenUp::Closed };
        let transaction = lent.transaction().await?;
        self.make_or_check_tables(&transaction).await?;
        transaction.commit().await?;
        lent.give_back();
        Ok(())
    }

    async fn make_or_check_tables(&self, transaction: &Transaction<'_>) -> Result<(), NotMigrated> {
        let encoding: String = transaction.query_typed_one(ENCODING, &[]).await?.try_get(0)?;
        if encoding != "UTF8" {
            return Err(PostgresStoreError::NotUtf8(encoding).into());
        }
        let foreign = || PostgresStoreError::ForeignTable(self.table.clone());
        let there = transaction.query_typed_one(&self.table.in_sql(OUR_TABLES), &[]).await?;
        match (there.try_get(0)?, there.try_get(1)?, there.try_get(2)?) {
            (false, false, false) => return Ok(transaction.batch_execute(&self.schema()).await?),
            (true, true, true) => {}
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
                let probe =
                    transaction.prepare_typed(&self.table.in_sql(FIND), &[Type::INT8]).await;
                probe.map(drop).map_err(|error| self.foreign_if_written_otherwise(error))
            }
            _ => Err(foreign().into()),
        }
    }

    /// A statement on our tables that the server can't even read was written for other ones.
    fn foreign_if_written_otherwise(&self, error: tokio_postgres::Error) -> NotMigrated {
        let is_foreign = error.code().is_some_and(|code| {
            [SqlState::UNDEFINED_COLUMN, SqlState::UNDEFINED_FUNCTION, SqlState::WRONG_OBJECT_TYPE]
                .contains(code)
        });
        if is_foreign || error.as_db_error().is_none() && !is_worth_another_try(&error) {
            return PostgresStoreError::ForeignTable(self.table.clone()).into();
        }
        error.into()
    }

    fn explain(&self, error: &tokio_postgres::Error) -> PostgresStoreError {
        match error.code() {
            Some(code) if *code == SqlState::INVALID_SCHEMA_NAME => {
                PostgresStoreError::NoSchema(self.table.clone())
            }
            Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => {
                PostgresStoreError::NotAllowed(self.table.clone())
            }
            _ => PostgresStoreError::Failed(Failure::new(&self.table, error).into()),
        }
    }
}

/// Another host makes the same tables.
const MADE_MEANWHILE: [SqlState; 3] =
    [SqlState::UNIQUE_VIOLATION, SqlState::DUPLICATE_TABLE, SqlState::DUPLICATE_OBJECT];

enum NotMigrated {
    Pool(PoolError),
    Postgres(tokio_postgres::Error),
    Because(PostgresStoreError),
}

impl From<PoolError> for NotMigrated {
    fn from(error: PoolError) -> NotMigrated {
        NotMigrated::Pool(error)
    }
}

impl From<tokio_postgres::Error> for NotMigrated {
    fn from(error: tokio_postgres::Error) -> NotMigrated {
        NotMigrated::Postgres(error)
    }
}

impl From<PostgresStoreError> for NotMigrated {
    fn from(error: PostgresStoreError) -> NotMigrated {
        NotMigrated::Because(error)
    }
}
