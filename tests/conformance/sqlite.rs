//! The contract on `SqliteStore`, in memory and on a file.

mod in_memory {
    use app_tokens::store::{SqliteStore, conformance};

    conformance::tests!(make = || async { SqliteStore::in_memory().unwrap() });
}

mod on_a_file {
    use std::sync::Arc;

    use app_tokens::TokenId;
    use app_tokens::store::SqliteStore;
    use app_tokens::store::conformance::{self, Kept};
    use rusqlite::Connection;
    use tempfile::TempDir;

    type OnFile = Kept<SqliteStore, TempDir>;

    async fn empty_store() -> OnFile {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(directory.path().join("app.db")).unwrap();
        Kept { store, with: directory }
    }

    async fn damage(store: Arc<OnFile>, id: TokenId) {
        let file = Connection::open(store.with.path().join("app.db")).unwrap();
        let junk = "UPDATE app_tokens SET digest = x'00' WHERE id = ?1";
        assert_eq!(file.execute(junk, [id.as_u64() as i64]).unwrap(), 1);
    }

    conformance::tests!(make = empty_store, damage = damage);
}
