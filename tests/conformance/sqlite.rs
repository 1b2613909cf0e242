//! The contract on `SqliteStore`, in memory and on a file; there in its own tables, and in others.

use std::sync::Arc;

use app_tokens::TokenId;
use app_tokens::store::SqliteStore;
use app_tokens::store::conformance::{self, Kept};
use rusqlite::Connection;
use tempfile::TempDir;

mod in_memory {
    use super::*;

    conformance::tests!(make = || async { SqliteStore::in_memory().unwrap() });
}

type OnFile = Kept<SqliteStore, TempDir>;

/// In a file without any other table: a statement on one would fail.
async fn empty_store(table: &str) -> OnFile {
    let directory = tempfile::tempdir().unwrap();
    let (path, table) = (directory.path().join("app.db"), table.parse().unwrap());
    Kept { store: SqliteStore::open_with_table(path, table).unwrap(), with: directory }
}

async fn damage(store: Arc<OnFile>, id: TokenId, table: &str) {
    let file = Connection::open(store.with.path().join("app.db")).unwrap();
    let junk = format!("UPDATE {table} SET digest = x'00' WHERE id = ?1");
    assert_eq!(file.execute(&junk, [id.as_u64() as i64]).unwrap(), 1);
}

mod on_a_file {
    use super::*;

    conformance::tests!(
        make = || empty_store("app_tokens"),
        damage = |store, id| damage(store, id, "app_tokens"),
    );
}

mod in_other_tables {
    use super::*;

    conformance::tests!(
        make = || empty_store("my_app_tokens_1"),
        damage = |store, id| damage(store, id, "my_app_tokens_1"),
    );
}
