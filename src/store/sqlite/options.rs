//! [`SqliteOptions`]: which tables a store has, and what it allows on them.

use crate::store::TableName;

/// Says which tables a store uses, and which triggers it allows on them.
///
/// It is for [`SqliteStore::open_with`](super::SqliteStore::open_with) and
/// [`SqliteTransaction::begin_with`](super::SqliteTransaction::begin_with).
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
    /// Makes the default options: the table `app_tokens`, and no triggers.
    pub fn new() -> SqliteOptions {
        SqliteOptions::default()
    }

    /// Sets the name of the tables, for several realms, tenants or applications in one file.
    ///
    /// A name with a schema is refused later, by
    /// [`SqliteStoreError::HasSchema`](super::SqliteStoreError::HasSchema).
    #[must_use]
    pub fn with_table(mut self, table: TableName) -> SqliteOptions {
        self.table = table;
        self
    }

    /// Allows one of the host's own triggers on the tables. Any other trigger is refused.
    ///
    /// The name is compared without regard to ASCII case, as SQLite does. Call it once for each
    /// trigger.
    ///
    /// **If any trigger is named, the store's connections run all triggers and views**, including
    /// those that are created after the store was opened. If none is named, they run none.
    #[must_use]
    pub fn with_known_trigger(mut self, name: impl Into<String>) -> SqliteOptions {
        self.known_triggers.push(name.into());
        self
    }
}
