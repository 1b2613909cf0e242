//! Imported tokens that were forgotten while the import was open.

use app_tokens::store::{Filter, MemoryStore, Page, RuntimeFree, SqliteStore};

use super::*;

fn bench_over<S: TokenStore>(store: S, policy: Policy) -> Bench<S> {
    bench_with_ring(store, ring(), policy)
}

/// Returns all rows as text, and the ids in it.
fn rows<S: TokenStore>(bench: &Bench<S>) -> (String, Vec<TokenId>) {
    let rows = wait(bench.tokens.store().list(&Filter::every_token(), Page::first(100))).unwrap();
    let text = rows.iter().map(|row| format!("{:?}", row.record().unwrap())).collect();
    (text, rows.iter().map(app_tokens::store::Row::id).collect())
}

fn stays_forgotten<S: TokenStore + RuntimeFree>(store: S) {
    let bench = bench_over(store, policy().with_open_import());
    let again = || {
        [nextcloud_secret(), OfOwner.secret("alice", WORDS)]
            .map(|secret| bench.import(token(secret)))
    };
    let one = bench.imported(nextcloud_secret());
    let rotated = wait(bench.tokens.rotate(ops(), one, Rotation::new())).unwrap();
    bench.imported(OfOwner.secret("alice", WORDS));
    assert_eq!(wait(bench.tokens.forget(ops(), rotated.id())).unwrap(), 2);
    assert_eq!(again()[0], Imported::Forgotten);
    assert_eq!(wait(bench.tokens.forget_owner(&ops(), &owner("alice"))).unwrap(), 1);
    for _ in 0..2 {
        assert_eq!(again(), [Imported::Forgotten; 2]);
        assert_eq!(wait(bench.tokens.forget_owner(&ops(), &owner("alice"))).unwrap(), 0);
    }
    for text in [NEXTCLOUD.0, WORDS] {
        assert!(bench.enter("alice", text).is_err(), "{text}");
    }
    let status = wait(bench.tokens.import_status()).unwrap();
    assert!(status.iter().all(|of| (of.ended, of.waiting, of.taken_over) == (1, 0, 0)));
    // Nothing is left of the person.
    let (text, ids) = rows(&bench);
    assert!(!text.contains("alice") && !text.contains("Old phone"), "{text}");
    assert!(!text.contains("ops") && !text.contains("root"), "{text}");
    assert_eq!(ids.len(), 2);
    // Another token is not held back by it.
    bench.imported(OfOwner.secret("alice", "another text"));
}

#[test]
fn a_forgotten_token_does_not_come_back_by_a_second_run() {
    stays_forgotten(MemoryStore::new());
    stays_forgotten(SqliteStore::in_memory().unwrap());
}

#[test]
fn a_token_that_another_run_imported_and_that_was_forgotten_at_once_does_not_come_back() {
    let bench = bench();
    let same = bench.tokens.clone();
    bench.tokens.store().before_the_next_write(move || {
        let imported = ready(same.import(&ops(), &all_schemes(), token(nextcloud_secret())));
        let Ok(Imported::Done(id)) = imported else { panic!("{imported:?}") };
        assert_eq!(ready(same.forget(ops(), id)).unwrap(), 1);
    });
    assert_eq!(bench.import(token(nextcloud_secret())), Imported::Forgotten);
    assert!(bench.enter("alice", NEXTCLOUD.0).is_err());
    assert!(!rows(&bench).0.contains("alice"));
}

#[test]
fn an_owner_forgets_and_leaves_nothing_of_themselves() {
    let bench = bench_over(MemoryStore::new(), policy().with_open_import());
    let id = bench.imported(nextcloud_secret());
    wait(bench.tokens.forget(&owner("alice"), id)).unwrap();
    assert_eq!(bench.import(token(nextcloud_secret())), Imported::Forgotten);
    assert!(!rows(&bench).0.contains("alice"));
}

#[test]
fn what_was_forgotten_is_gone_once_the_import_is_closed_and_the_rows_were_kept_long_enough() {
    let store = MemoryStore::new();
    let open = bench_over(store.clone(), policy().with_open_import());
    let id = open.imported(nextcloud_secret());
    wait(open.tokens.forget(ops(), id)).unwrap();
    open.clock.advance(91 * DAY);
    assert_eq!(wait(open.tokens.purge()).unwrap(), 0);
    let closed = bench_over(store, policy());
    closed.clock.advance(91 * DAY);
    assert_eq!(wait(closed.tokens.purge()).unwrap(), 1);
    assert_eq!(rows(&closed).1, []);
}

#[test]
fn the_operator_can_delete_what_is_left_of_forgotten_tokens() {
    let bench = bench_over(MemoryStore::new(), policy().with_open_import());
    let id = bench.imported(nextcloud_secret());
    wait(bench.tokens.forget(ops(), id)).unwrap();
    assert_eq!(wait(bench.tokens.forget_owner(&ops(), &owner("(forgotten)"))).unwrap(), 1);
    assert_eq!(rows(&bench).1, []);
}

#[test]
fn a_forgotten_token_of_ours_leaves_nothing() {
    let bench = bench_over(MemoryStore::new(), policy().with_open_import());
    let id = bench.issue("alice").id();
    wait(bench.tokens.forget(ops(), id)).unwrap();
    assert_eq!(rows(&bench).1, []);
}
