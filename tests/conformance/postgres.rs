//! The contract on `PostgresStore`, in the default tables, and in tables of another schema.

use std::sync::Arc;

use app_tokens::TokenId;
use app_tokens::store::conformance::{Kept, Task};
use app_tokens::store::{PostgresStore, TableName};

use support::postgres::{RUNTIME, Server};

/// A store with the database that it is in.
type InDatabase = Kept<PostgresStore, tokio_postgres::Client>;

fn on_runtime(task: Task) {
    RUNTIME.block_on(task);
}

async fn empty_store(table: &str) -> InDatabase {
    let database = Server::needed().database().await;
    let raw = database.raw().await;
    let table: TableName = table.parse().unwrap();
    if let Some((schema, _)) = table.as_str().split_once('.') {
        raw.batch_execute(&format!("CREATE SCHEMA {schema}")).await.unwrap();
    }
    let store = PostgresStore::new(database.pool()).with_table(table);
    store.migrate().await.unwrap();
    Kept { store, with: raw }
}

/// Writes junk into every column, except the facts that stand apart. End and last use are possible,
/// and long past. The revision stays: a damaged row is never current, whatever it says.
async fn damage(store: Arc<InDatabase>, id: TokenId, table: &str) {
    let junk = format!(
        "UPDATE {table} SET digest = '\\x00', label = '', scopes = E'\n', resources = 'x',
            networks = 'x', attributes = 'x', issued_by = '', expires_at = 7, successor = -1,
            key_id = -1, seal = '\\x', last_used_at = 7, last_used_address = 'x',
            last_used_client = 'x', revoked_reason = left(revoked_reason, 0),
            revoked_by = left(revoked_by, 0)
        WHERE id = $1"
    );
    assert_eq!(store.with.execute(&junk, &[&id.as_u64().cast_signed()]).await.unwrap(), 1);
}

/// Writes such junk, and an owner with a line end, which none may have.
async fn damage_owner(store: Arc<InDatabase>, id: TokenId, table: &str) {
    damage(store.clone(), id, table).await;
    let junk = format!("UPDATE {table} SET owner = chr(10) || id WHERE id = $1");
    assert_eq!(store.with.execute(&junk, &[&id.as_u64().cast_signed()]).await.unwrap(), 1);
}

mod in_its_own_tables {
    use super::*;

    app_tokens::store::conformance::tests!(
        make = || empty_store("app_tokens"),
        runner = on_runtime,
        damage = |store, id| damage(store, id, "app_tokens"),
        damage_owner = |store, id| damage_owner(store, id, "app_tokens"),
    );
}

mod in_other_tables {
    use super::*;

    app_tokens::store::conformance::tests!(
        make = || empty_store("auth.my_app_tokens_1"),
        runner = on_runtime,
        damage = |store, id| damage(store, id, "auth.my_app_tokens_1"),
        damage_owner = |store, id| damage_owner(store, id, "auth.my_app_tokens_1"),
    );
}
