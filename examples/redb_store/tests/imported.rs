//! Tokens of other systems on `RedbStore`, by the library's own cases.

#[path = "../../../tests/import_schemes/cases.rs"]
#[expect(dead_code, reason = "the library's tests use more of it")]
mod cases;
#[path = "../../../tests/import_schemes/life.rs"]
#[expect(dead_code, reason = "the library's tests use more of it")]
mod life;

use std::sync::Arc;

use redb::Database;
use redb_store::RedbStore;
use tokio::runtime::Runtime;

fn empty_store() -> RedbStore {
    let backend = redb::backends::InMemoryBackend::new();
    RedbStore::new(Arc::new(Database::builder().create_with_backend(backend).unwrap())).unwrap()
}

#[test]
fn each_published_token_runs_its_course() {
    let runtime = Runtime::new().unwrap();
    for case in cases::all() {
        runtime.block_on(life::runs_its_course(empty_store(), &case));
    }
}

#[test]
fn a_token_that_was_revoked_before_its_first_use_stays_revoked() {
    let runtime = Runtime::new().unwrap();
    for case in cases::one_of_each_scheme() {
        runtime.block_on(life::stays_revoked(empty_store(), &case));
    }
}
