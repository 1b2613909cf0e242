//! [`SqliteOptions`]: which tables a store has, and what it allows on them.

use crate::store::TableName;

/// Which tables a store has, and what it allows on them. For
/// [`SqliteStore::open_with`](super::SqliteStore::open_with).
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("app.db");
/// use app_tokens::store::{SqliteOptions, SqliteStore};
/// let options = SqliteOptions::new().with_table("web_tokens".parse()?);
/// let store = SqliteStore::open_with(&path, &options)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SqliteOptions {
    pub(super) table: TableName,
    pub(super) known_triggers: Vec<String>,
}

impl SqliteOptions {
    /// The table `app_tokens`, without triggers.
    pub fn new() -> SqliteOptions {
        SqliteOptions::default()
    }

    /// Sets the name of the tables: for several realms, tenants or applications in one file.
    ///
    /// The name has no schema.
    #[must_use]
    pub fn with_table(mut self, table: TableName) -> SqliteOptions {
        self.table = table;
        self
    }

    /// Names a trigger of the host's on one of the tables, which is refused otherwise.
    ///
    /// Upper and lower case are the same, as in SQLite. With a name here, the store's connections
    /// run triggers and views, also those that are made later. Without one they run none.
    #[must_use]
    pub fn with_known_trigger(mut self, name: impl Into<String>) -> SqliteOptions {
        self.known_triggers.push(name.into());
        self
    }
}
