//! Purges that meet other transactions, each meeting arranged.

use std::time::Duration;

use app_tokens::record::{LastUse, RecordParts};
use app_tokens::store::{
    Filter, Insert, Inserted, PostgresStore, Purge, PurgeCutoff, Supersede, Superseded, TokenStore,
};

use super::races::{begun, derived, living, rotation, until_waiting};
use support::chance::*;
use support::postgres::RUNTIME;

/// Makes a rotation, or else an insert, which must be done.
async fn insert(store: &impl TokenStore, rotate: Option<&Supersede>, issue: &Insert) {
    match rotate {
        Some(rotate) => {
            assert_eq!(store.supersede(rotate).await.unwrap(), Superseded::Done);
        }
        None => assert_eq!(store.insert(issue).await.unwrap(), Inserted::Done),
    }
}

#[test]
fn a_purge_that_waited_deletes_the_rest_and_nothing_that_lives_again() {
    RUNTIME.block_on(async {
        let (_database, store, raw, mut other) = begun().await;
        for number in 1..=6 {
            store.insert(&creation(parts(number))).await.unwrap();
        }
        let transaction = other.transaction().await.unwrap();
        let within = store.within(&transaction).await.unwrap();
        let mine = Purge::Matching(Filter {
            last_used_before: Some(at(1)),
            ..Filter::of_owner(&owner("alice"))
        });
        assert_eq!(within.purge(&mine, 3).await.unwrap(), 3);
        let last_use = LastUse { at: at(2), address: None, client: None };
        within.touch(&[(id(4), last_use)], at(9)).await.unwrap();
        let purging = async { store.purge(&mine, 3).await.unwrap() };
        let committing = async {
            until_waiting(&raw, 1).await;
            transaction.commit().await.unwrap();
        };
        let (count, ()) = tokio::join!(purging, committing);
        assert_eq!((count, living(&store).await), (2, vec![4]));
    });
}

/// Makes so many rows that never expire that the table has more pages than one part of a purge.
/// Then copies the row 1 to the last page, as the row 2.
const LAST_ON_ANOTHER_PART: &str = "
    INSERT INTO app_tokens (id, digest, owner, label, created_at, family, revision, key_id, seal)
    SELECT 1000 + number, digest, 'owner ' || number, repeat('long ', 40), created_at,
        1000 + number, revision, key_id, seal
    FROM app_tokens, generate_series(1, 30000) AS number WHERE id = 1;
    INSERT INTO app_tokens (
        id, digest, owner, label, created_at, expires_at, family, revision, key_id, seal
    )
    SELECT 2, digest, owner, label, created_at, expires_at, 2, revision, key_id, seal
    FROM app_tokens WHERE id = 1";

#[test]
fn a_purge_that_waits_for_a_row_keeps_no_other_part_of_the_table_locked() {
    RUNTIME.block_on(async {
        let (_database, store, raw, mut other) = begun().await;
        store.insert(&creation(parts(1))).await.unwrap();
        raw.batch_execute(LAST_ON_ANOTHER_PART).await.unwrap();
        let transaction = other.transaction().await.unwrap();
        let last = "SELECT FROM app_tokens WHERE id = 2 FOR UPDATE";
        transaction.batch_execute(last).await.unwrap();

        let purging = async { store.purge(&expired(), 9).await.unwrap() };
        let looking = async {
            until_waiting(&raw, 1).await;
            let first = store.find(id(1)).await.unwrap();
            transaction.commit().await.unwrap();
            first
        };
        let (count, first) = tokio::join!(purging, looking);
        assert!(first.is_none(), "its part was committed before the purge waited");
        assert_eq!(count, 2);
    });
}

#[test]
fn a_purge_beside_an_insert_spares_the_parent_of_the_new_row() {
    RUNTIME.block_on(async {
        for (is_rotation, purge_waits_for_it) in
            [(false, false), (false, true), (true, false), (true, true)]
        {
            let (database, store, raw, mut other) = begun().await;
            for number in [1, 2] {
                store.insert(&creation(parts(number))).await.unwrap();
            }
            let made_late = |new: RecordParts| row(RecordParts { created_at: at(600), ..new });
            let rotate = rotation(&parts(2), 3, false);
            let new = rotate.row.record().unwrap().clone().into_parts();
            let rotate = Supersede { row: made_late(new), ..rotate };
            let issue = Insert {
                row: made_late(derived(3, 2)),
                under: Some(row(parts(2))),
                ..creation(parts(3))
            };
            let (ended_by, unused_since, now) = (at(0), Some(at(500)), at(700));
            let idle = Purge::Dead(PurgeCutoff { ended_by, unused_since, now });
            let purging = async { store.purge(&idle, 9).await.unwrap() };

            let transaction = other.transaction().await.unwrap();
            let count = if purge_waits_for_it {
                let within = store.within(&transaction).await.unwrap();
                insert(&within, is_rotation.then_some(&rotate), &issue).await;
                let inserting = async {
                    until_waiting(&raw, 1).await;
                    transaction.commit().await.unwrap();
                };
                tokio::join!(purging, inserting).0
            } else {
                // The purge waits for a row before the parent's, and has chosen the parent's
                // already.
                let first = "SELECT FROM app_tokens WHERE id = 1 FOR UPDATE";
                transaction.batch_execute(first).await.unwrap();
                let inserting = async {
                    until_waiting(&raw, 1).await;
                    let store = PostgresStore::new(database.pool());
                    insert(&store, is_rotation.then_some(&rotate), &issue).await;
                    transaction.commit().await.unwrap();
                };
                tokio::join!(purging, inserting).0
            };
            let what = format!("rotation {is_rotation}, waits {purge_waits_for_it}");
            assert_eq!((count, living(&store).await), (1, vec![2, 3]), "{what}");
            assert_eq!(store.purge(&idle, 9).await.unwrap(), 0, "{what}");
            let parent = Filter::of_id(id(2));
            let ended = if is_rotation { 1 } else { 2 };
            assert_eq!(store.revoke(&parent, &revocation()).await.unwrap(), ended, "{what}");
        }
    });
}

#[test]
fn the_lock_rows_of_owners_without_tokens_are_purged() {
    RUNTIME.block_on(async {
        let (_database, store, raw, mut other) = begun().await;
        let count = async || -> i64 {
            raw.query_one("SELECT count(*) FROM app_tokens_owners", &[]).await.unwrap().get(0)
        };
        for number in 0..20 {
            let name = owner(&format!("owner {}", number / 2));
            let insert = creation(RecordParts { owner: name, ..parts(number) });
            store.insert(&Insert { limit: Some(9), ..insert }).await.unwrap();
        }
        assert_eq!(count().await, 10);
        // This owner is in the middle of an insert. Its lock holds, and no purge waits for it.
        let transaction = other.transaction().await.unwrap();
        let within = store.within(&transaction).await.unwrap();
        let insert = creation(RecordParts { owner: owner("owner 3"), ..parts(99) });
        let insert = Insert { limit: Some(9), ..insert };
        assert_eq!(within.insert(&insert).await.unwrap(), Inserted::Done);
        assert_eq!(store.purge(&expired(), 99).await.unwrap(), 20);
        assert_eq!(count().await, 1);
        transaction.commit().await.unwrap();
        // A purge that reaches its limit leaves them to the last purge of a run. That one can
        // delete as many as a day makes.
        let names = "INSERT INTO app_tokens_owners SELECT 'former ' || n \
                     FROM generate_series(1, 10010) AS n";
        raw.batch_execute(names).await.unwrap();
        for (deleted, left) in [(1, 10_011), (0, 11), (0, 0)] {
            let limit = if deleted == 1 { 1 } else { 3 };
            assert_eq!(store.purge(&expired(), limit).await.unwrap(), deleted);
            assert_eq!(count().await, left);
        }
    });
}

/// Each purge deletes the lock rows that the inserts need.
#[test]
fn purges_beside_inserts_break_no_limit_and_do_not_deadlock() {
    RUNTIME.block_on(async {
        let (database, store, raw, _) = begun().await;
        let most = "SELECT coalesce(max(count), 0) FROM (SELECT count(*) FROM app_tokens \
                    GROUP BY owner) AS each";
        let work = async |seed: u64| {
            let mut chance = Chance(seed);
            let mut done = 0;
            for step in 0..150 {
                if chance.one_in(3) {
                    store.purge(&expired(), 1 + chance.below(3) as u32).await.unwrap();
                    continue;
                }
                let owner = owner(&format!("owner {}", chance.below(4)));
                let new = RecordParts { owner, ..parts(1000 * seed + step) };
                let insert = Insert { limit: Some(2), ..creation(new) };
                done += u32::from(store.insert(&insert).await.unwrap() == Inserted::Done);
                let most: i64 = raw.query_one(most, &[]).await.unwrap().get(0);
                assert!(most <= 2, "{most}");
            }
            done
        };
        let all = async { tokio::join!(work(1), work(2), work(3), work(4), work(5), work(6)) };
        let all = tokio::time::timeout(Duration::from_secs(60), all).await;
        let done = all.expect("nobody waits for ever");
        assert!(done.0 > 20 && done.5 > 20, "{done:?}");
        assert_eq!(database.log_from("deadlock detected"), "");
    });
}
