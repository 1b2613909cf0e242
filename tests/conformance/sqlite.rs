//! The contract on `SqliteStore`: in memory, and on a file in the default tables and in others.
//! Also through a `DynStore`.

use std::sync::Arc;

use app_tokens::TokenId;
use app_tokens::store::conformance::{self, Kept};
use app_tokens::store::{DynStore, SqliteOptions, SqliteStore};
use rusqlite::Connection;
use tempfile::TempDir;

mod in_memory {
    use super::*;

    conformance::tests!(make = || async { SqliteStore::in_memory().unwrap() });
}

type OnFile = Kept<SqliteStore, TempDir>;

/// Makes a store in a file that has no other table: a statement on one would fail.
async fn empty_store(table: &str) -> OnFile {
    let directory = tempfile::tempdir().unwrap();
    let options = SqliteOptions::new().with_table(table.parse().unwrap());
    let store = SqliteStore::open_with(directory.path().join("app.db"), &options).unwrap();
    Kept { store, with: directory }
}

/// Writes junk, except an end and a last use, which are possible and long past.
async fn damage<S>(store: Arc<Kept<S, TempDir>>, id: TokenId, table: &str) {
    let file = Connection::open(store.with.path().join("app.db")).unwrap();
    let junk = format!(
        "UPDATE {table} SET digest = x'00', label = '', scopes = '*', resources = 'junk',
            networks = '0', attributes = 'x', issued_by = '', expires_at = 7, successor = -1,
            last_used_at = 7, last_used_address = 'here', last_used_client = char(27),
            revision = 9223372036854775807, key_id = -1, seal = x'', revoked_reason =
            iif(revoked_at IS NULL, NULL, ''), revoked_by = iif(revoked_at IS NULL, NULL, 'x')
        WHERE id = ?1"
    );
    assert_eq!(file.execute(&junk, [id.as_u64() as i64]).unwrap(), 1);
}

/// Writes such junk, and an owner with a line end, which none may have.
async fn damage_owner<S>(store: Arc<Kept<S, TempDir>>, id: TokenId, table: &str) {
    damage(store.clone(), id, table).await;
    let file = Connection::open(store.with.path().join("app.db")).unwrap();
    let junk = format!("UPDATE {table} SET owner = char(10) || id WHERE id = ?1");
    assert_eq!(file.execute(&junk, [id.as_u64() as i64]).unwrap(), 1);
}

mod on_a_file {
    use super::*;

    conformance::tests!(
        make = || empty_store("app_tokens"),
        damage = |store, id| damage(store, id, "app_tokens"),
        damage_owner = |store, id| damage_owner(store, id, "app_tokens"),
    );
}

mod through_dyn_store {
    use super::*;

    async fn empty_dyn_store() -> Kept<DynStore, TempDir> {
        let Kept { store, with } = empty_store("app_tokens").await;
        Kept { store: DynStore::new(store), with }
    }

    conformance::tests!(
        make = empty_dyn_store,
        damage = |store, id| damage(store, id, "app_tokens"),
        damage_owner = |store, id| damage_owner(store, id, "app_tokens"),
    );
}

mod in_other_tables {
    use super::*;

    conformance::tests!(
        make = || empty_store("my_app_tokens_1"),
        damage = |store, id| damage(store, id, "my_app_tokens_1"),
        damage_owner = |store, id| damage_owner(store, id, "my_app_tokens_1"),
    );
}
