//! The shipped schemes of `import`: each published token on each store, alone and with many threads
//! at once; hostile rows; arbitrary bytes.

#[path = "import_schemes/bytes.rs"]
mod bytes;
#[path = "import_schemes/cases.rs"]
mod cases;
#[path = "import_schemes/forms.rs"]
mod forms;
#[path = "import_schemes/hostile.rs"]
mod hostile;
#[path = "import_schemes/life.rs"]
mod life;

use std::sync::Barrier;

use app_tokens::import::Imported;
use app_tokens::store::{MemoryStore, SqliteStore, TokenStore};
use support::postgres::{RUNTIME, Server};

use cases::{Case, Expected};
use life::Host;

/// Runs one check of each case on a store of its own.
fn on_each<S: TokenStore>(
    cases: &[Case],
    mut store: impl FnMut() -> S,
    check: &impl AsyncFn(S, &Case),
) {
    for case in cases {
        RUNTIME.block_on(check(store(), case));
    }
}

#[test]
fn each_published_token_runs_its_course_in_memory() {
    on_each(&cases::all(), MemoryStore::new, &life::runs_its_course);
}

#[test]
fn each_published_token_runs_its_course_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    on_each(&cases::all(), sqlite(&folder), &life::runs_its_course);
}

#[test]
fn each_published_token_runs_its_course_on_postgres() {
    let Some(server) = Server::shared() else { return };
    let database = RUNTIME.block_on(server.database());
    let store = || RUNTIME.block_on(database.store_in_new_tables());
    on_each(&cases::all(), store, &life::runs_its_course);
}

#[test]
fn a_token_that_was_revoked_before_its_first_use_stays_revoked() {
    let folder = tempfile::tempdir().unwrap();
    on_each(&cases::one_of_each_scheme(), MemoryStore::new, &life::stays_revoked);
    on_each(&cases::one_of_each_scheme(), sqlite(&folder), &life::stays_revoked);
    let Some(server) = Server::shared() else { return };
    let database = RUNTIME.block_on(server.database());
    let store = || RUNTIME.block_on(database.store_in_new_tables());
    on_each(&cases::one_of_each_scheme(), store, &life::stays_revoked);
}

#[test]
fn all_threads_are_let_in_at_the_first_use_and_one_takes_over_in_memory() {
    on_each(&cases::one_of_each_scheme(), MemoryStore::new, &lets_all_in);
}

#[test]
fn all_threads_are_let_in_at_the_first_use_and_one_takes_over_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    on_each(&cases::one_of_each_scheme(), sqlite(&folder), &lets_all_in);
}

#[test]
fn all_threads_are_let_in_at_the_first_use_and_one_takes_over_on_postgres() {
    let Some(server) = Server::shared() else { return };
    let database = RUNTIME.block_on(server.database());
    let store = || RUNTIME.block_on(database.store_in_new_tables());
    on_each(&cases::one_of_each_scheme(), store, &lets_all_in);
}

/// As many threads as may run and wait by default.
const THREADS: usize = 16;

async fn lets_all_in<S: TokenStore>(store: S, case: &Case) {
    assert!(case.expected == Expected::LetIn);
    let host = Host::over(store);
    let Ok(Imported::Done(id)) = host.import(case).await else { panic!("{}", case.name) };
    let takes_over = usize::from(host.digest_scheme(id).await == 3);
    let start = Barrier::new(THREADS);
    std::thread::scope(|scope| {
        let present = || {
            start.wait();
            RUNTIME.block_on(host.present(case, &case.text))
        };
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(present)).collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap().expect(&case.name), id);
        }
    });
    assert_eq!(host.count("TakenOver"), takes_over, "{}", case.name);
    assert!(matches!(host.digest_scheme(id).await, 1 | 2), "{}", case.name);
}

fn sqlite(folder: &tempfile::TempDir) -> impl FnMut() -> SqliteStore {
    let mut number = 0;
    move || {
        number += 1;
        SqliteStore::open(folder.path().join(format!("{number}.db"))).unwrap()
    }
}

#[test]
fn one_import_takes_the_tokens_of_all_systems() {
    let cases = cases::one_of_each_scheme();
    let host = Host::over(MemoryStore::new());
    let import = cases::together(&cases);
    RUNTIME.block_on(async {
        let mut ids = Vec::new();
        for case in &cases {
            let Ok(Imported::Done(id)) = host.import(case).await else { panic!("{}", case.name) };
            ids.push(id);
        }
        for _ in 0..2 {
            for (case, id) in cases.iter().zip(&ids) {
                let presented = host.present_to(&import, Some(&case.owner), &case.text).await;
                assert_eq!(presented.unwrap(), *id, "{}", case.name);
            }
        }
        let status = host.tokens.import_status().await.unwrap();
        assert!(status.iter().all(|scheme| (scheme.waiting, scheme.taken_over) == (0, 1)));
        assert_eq!(status.len(), cases.len(), "{status:?}");
    });
}
