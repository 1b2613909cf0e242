//! Pairs of transactions that meet, each meeting arranged.

use std::time::Duration;

use app_tokens::record::RecordParts;
use app_tokens::store::{
    Filter, Insert, Inserted, LiveAt, Page, PostgresStore, Purge, Replace, Replaced, Row,
    Supersede, Superseded, TokenStore,
};
use tokio_postgres::Client;

use support::chance::*;
use support::postgres::{Database, RUNTIME, Server};

/// Waits until this many of the database's connections wait for a lock.
pub async fn until_waiting(raw: &Client, count: i64) {
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                   AND wait_event_type = 'Lock'";
    while raw.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) != count {}
}

pub(crate) fn derived(number: u64, family: u64) -> RecordParts {
    RecordParts { derived_from: Some(id(family)), ..parts(number) }
}

pub(crate) fn rotation(old: &RecordParts, number: u64, revokes_derived: bool) -> Supersede {
    let new = RecordParts { family: old.family, derived_from: old.derived_from, ..parts(number) };
    let form = RecordParts { successor: Some(new.id), ..old.clone() };
    Supersede {
        row: row(new),
        superseded: row(form),
        replaces: None,
        revokes_derived,
        revocation: revocation(),
    }
}

pub(crate) async fn living(store: &PostgresStore) -> Vec<u64> {
    let filter = Filter { revoked: Some(false), ..Filter::every_token() };
    let rows = store.list(&filter, Page::first(99)).await.unwrap();
    rows.iter().map(|row| row.id().as_u64()).collect()
}

pub(crate) async fn begun() -> (Database<'static>, PostgresStore, Client, deadpool_postgres::Client)
{
    let database = Server::needed().database().await;
    let store = database.store().await;
    let (raw, other) = (database.raw().await, database.pool().get().await.unwrap());
    (database, store, raw, other)
}

#[test]
fn a_token_issued_under_another_during_its_revocation_is_revoked() {
    RUNTIME.block_on(async {
        // With a filter for unrevoked rows, the parent itself no longer matches when the child is
        // there.
        for revoked in [None, Some(false)] {
            let (_database, store, raw, mut other) = begun().await;
            let parent = parts(1);
            store.insert(&creation(parent.clone())).await.unwrap();
            let transaction = other.transaction().await.unwrap();
            let within = store.within(&transaction).await.unwrap();
            let issue = Insert { under: Some(row(parent)), ..creation(derived(2, 1)) };
            assert_eq!(within.insert(&issue).await.unwrap(), Inserted::Done);
            let filter = Filter { revoked, ..Filter::of_id(id(1)) };
            let revoking = async { store.revoke(&filter, &revocation()).await.unwrap() };
            let issuing = async {
                until_waiting(&raw, 1).await;
                transaction.commit().await.unwrap();
            };
            let (count, ()) = tokio::join!(revoking, issuing);
            assert_eq!((count, living(&store).await), (2, vec![]), "{revoked:?}");
        }
    });
}

/// The row that was waited for no longer matches. Its successor was not there when the revocation
/// began.
#[test]
fn a_successor_made_while_the_revocation_waits_is_revoked() {
    RUNTIME.block_on(async {
        let (_database, store, raw, mut other) = begun().await;
        store.insert(&creation(parts(1))).await.unwrap();
        let transaction = other.transaction().await.unwrap();
        let within = store.within(&transaction).await.unwrap();
        let rotated = within.supersede(&rotation(&parts(1), 2, false)).await.unwrap();
        assert_eq!(rotated, Superseded::Done);
        let filter = Filter { superseded: Some(false), ..Filter::of_owner(&owner("alice")) };
        let revoking = async { store.revoke(&filter, &revocation()).await.unwrap() };
        let rotating = async {
            until_waiting(&raw, 1).await;
            transaction.commit().await.unwrap();
        };
        let (count, ()) = tokio::join!(revoking, rotating);
        assert_eq!((count, living(&store).await), (1, vec![1]));
    });
}

/// Found by the histories: the derived token was itself being rotated.
#[test]
fn a_derived_token_rotated_during_a_revocation_is_revoked_with_its_successor() {
    RUNTIME.block_on(async {
        for is_revoked_meanwhile in [false, true] {
            for by_replace in [false, true] {
                let (_database, store, raw, mut other) = begun().await;
                let (parent, child) = (parts(1), derived(2, 1));
                store.insert(&creation(parent.clone())).await.unwrap();
                store.insert(&creation(child.clone())).await.unwrap();
                let transaction = other.transaction().await.unwrap();
                let within = store.within(&transaction).await.unwrap();
                let rotated = within.supersede(&rotation(&child, 3, false)).await.unwrap();
                assert_eq!(rotated, Superseded::Done);
                if is_revoked_meanwhile {
                    within.revoke(&Filter::of_id(id(2)), &revocation()).await.unwrap();
                }
                let ending = async {
                    if by_replace {
                        let replace = Replace {
                            row: row(parent.clone()),
                            live: LiveAt::now(at(0)),
                            unique_label: false,
                            revokes_derived: Some(revocation()),
                        };
                        assert_eq!(store.replace(&[replace]).await.unwrap(), [Replaced::Done]);
                    } else {
                        let rotate = rotation(&parent, 4, true);
                        assert_eq!(store.supersede(&rotate).await.unwrap(), Superseded::Done);
                    }
                };
                let rotating = async {
                    until_waiting(&raw, 1).await;
                    transaction.commit().await.unwrap();
                };
                tokio::join!(ending, rotating);
                let left = if by_replace { vec![1] } else { vec![1, 4] };
                assert_eq!(living(&store).await, left, "{is_revoked_meanwhile} {by_replace}");
            }
        }
    });
}

/// The parent has been revoked already, and only what derives from it is left to revoke.
#[test]
fn a_derived_token_of_a_revoked_parent_is_revoked_even_if_rotated_meanwhile() {
    RUNTIME.block_on(async {
        let (_database, store, raw, mut other) = begun().await;
        let (parent, child) = (parts(1), derived(2, 1));
        let parent = RecordParts { revocation: Some(revocation()), seal: None, ..parent };
        store.insert(&creation(parent)).await.unwrap();
        store.insert(&creation(child.clone())).await.unwrap();
        let transaction = other.transaction().await.unwrap();
        let within = store.within(&transaction).await.unwrap();
        within.supersede(&rotation(&child, 3, false)).await.unwrap();
        within.revoke(&Filter::of_id(id(2)), &revocation()).await.unwrap();
        let filter = Filter::of_id(id(1));
        let revoking = async { store.revoke(&filter, &revocation()).await.unwrap() };
        let rotating = async {
            until_waiting(&raw, 1).await;
            transaction.commit().await.unwrap();
        };
        let (count, ()) = tokio::join!(revoking, rotating);
        assert_eq!((count, living(&store).await), (1, vec![]));
    });
}

#[test]
fn an_insert_that_waited_for_another_with_its_id_answers_taken() {
    RUNTIME.block_on(async {
        let (_database, store, raw, mut other) = begun().await;
        store.insert(&creation(parts(1))).await.unwrap();
        let transaction = other.transaction().await.unwrap();
        let within = store.within(&transaction).await.unwrap();
        within.insert(&creation(RecordParts { owner: owner("bob"), ..parts(2) })).await.unwrap();
        let rotate = rotation(&parts(1), 2, true);
        let rotating = async { store.supersede(&rotate).await.unwrap() };
        let committing = async {
            until_waiting(&raw, 1).await;
            transaction.commit().await.unwrap();
        };
        let (answer, ()) = tokio::join!(rotating, committing);
        assert_eq!(answer, Superseded::IdTaken);
        let old = store.find(id(1)).await.unwrap().unwrap();
        assert_eq!(old.record().unwrap().clone().into_parts(), parts(1));
    });
}

#[test]
fn a_call_that_a_deadlock_ended_is_tried_again() {
    RUNTIME.block_on(async {
        let (_database, store, raw, mut other) = begun().await;
        for number in [1, 2] {
            store.insert(&creation(parts(number))).await.unwrap();
        }
        // PostgreSQL must end our transaction and not the other.
        other.batch_execute("SET deadlock_timeout = '1min'").await.unwrap();
        let transaction = other.transaction().await.unwrap();
        let label = "UPDATE app_tokens SET label = 'x' WHERE id = ";
        transaction.batch_execute(&format!("{label} 2")).await.unwrap();
        let filter = Filter::of_owner(&owner("alice"));
        let revoking = async { store.revoke(&filter, &revocation()).await.unwrap() };
        let crossing = async {
            until_waiting(&raw, 1).await;
            transaction.batch_execute(&format!("{label} 1")).await.unwrap();
            transaction.commit().await.unwrap();
        };
        let (count, ()) = tokio::join!(revoking, crossing);
        assert_eq!((count, living(&store).await), (2, vec![]));
    });
}

/// Calls that change many rows, all at once on the same ones, don't deadlock.
///
/// A row that comes meanwhile, or ends with another, is locked after the others, whatever its id.
/// There a deadlock can come, and the call is tried again.
#[test]
fn calls_take_their_locks_in_one_order() {
    RUNTIME.block_on(async {
        let database = Server::needed().database().await;
        let store = database.store().await;
        for number in 0..60 {
            store.insert(&creation(parts(number))).await.unwrap();
        }
        let work = async |seed: u64| {
            let mut chance = Chance(seed);
            for _ in 0..60 {
                let old = parts(chance.below(60));
                match chance.below(8) {
                    0 | 1 => {
                        let few = Filter { except_family: Some(old.id), ..Filter::every_token() };
                        store.revoke(&few, &revocation()).await.map(drop)
                    }
                    2 => {
                        let all = Purge::Matching(Filter::every_token());
                        store.purge(&all, 1).await.map(drop)
                    }
                    3..6 => {
                        let uses = (0..60).rev().map(|number| (id(number), chance.last_use()));
                        store.touch(&uses.collect::<Vec<_>>(), at(9)).await
                    }
                    _ => {
                        let (row, live) = (row(old), LiveAt::now(at(0)));
                        let replace =
                            Replace { row, live, unique_label: true, revokes_derived: None };
                        store.replace(&[replace]).await.map(drop)
                    }
                }
                .unwrap();
            }
        };
        let all = async { tokio::join!(work(1), work(2), work(3), work(4), work(5), work(6)) };
        tokio::time::timeout(Duration::from_secs(60), all).await.expect("nobody waits for ever");
        assert_eq!(database.log_from("deadlock detected"), "");
    });
}

/// All calls at once, with rows that come meanwhile. A call that PostgreSQL ends because of a
/// deadlock is made again.
#[test]
fn no_call_fails_because_of_a_concurrent_one() {
    RUNTIME.block_on(async {
        let database = Server::needed().database().await;
        let store = database.store().await;
        let everything = Filter::every_token();
        let work = async |seed: u64| {
            let mut chance = Chance(seed);
            for step in 0..60 {
                let new = 1000 * seed + step;
                let rows = store.list(&everything, Page::first(40)).await.unwrap();
                let ids: Vec<_> = rows.iter().map(Row::id).collect();
                if ids.len() < 12 {
                    let derived_from = ids.first().copied();
                    let few = RecordParts { derived_from, ..parts(new) };
                    store.insert(&creation(few)).await.unwrap();
                    continue;
                }
                let old = rows[chance.below(ids.len() as u64) as usize].record().unwrap();
                let old = old.clone().into_parts();
                match chance.below(5) {
                    0 => store.revoke(&Filter::of_id(old.id), &revocation()).await.map(drop),
                    1 => store.purge(&Purge::Matching(everything.clone()), 5).await.map(drop),
                    2 => {
                        let uses = ids.iter().rev().map(|id| (*id, chance.last_use()));
                        store.touch(&uses.collect::<Vec<_>>(), at(9)).await
                    }
                    _ => {
                        let rotate = rotation(&old, new, true);
                        store.supersede(&rotate).await.map(drop)
                    }
                }
                .unwrap();
            }
        };
        let all = async { tokio::join!(work(1), work(2), work(3), work(4), work(5), work(6)) };
        tokio::time::timeout(Duration::from_secs(100), all).await.expect("nobody waits for ever");
    });
}

/// A trigger of the host's keeps a row as it is. That is a failure and no endless loop, also within
/// the host's transaction.
#[test]
fn a_trigger_that_keeps_rows_unchanged_is_a_failure() {
    RUNTIME.block_on(async {
        let (_database, store, raw, mut other) = begun().await;
        for number in [1, 2] {
            store.insert(&creation(parts(number))).await.unwrap();
        }
        let trigger = "
            CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
            CREATE TRIGGER keep BEFORE UPDATE OR DELETE ON app_tokens \
            FOR EACH ROW WHEN (OLD.id = 2) EXECUTE FUNCTION keep()";
        raw.batch_execute(trigger).await.unwrap();
        let mine = Filter::of_owner(&owner("alice"));
        let errors = [
            store.revoke(&mine, &revocation()).await.unwrap_err(),
            store.purge(&Purge::Matching(mine), 9).await.unwrap_err(),
            store.supersede(&rotation(&parts(2), 3, false)).await.unwrap_err(),
        ];
        for error in errors {
            assert!(error.to_string().contains("look for a trigger"), "{error}");
        }
        let transaction = other.transaction().await.unwrap();
        let within = store.within(&transaction).await.unwrap();
        within.supersede(&rotation(&parts(2), 3, false)).await.unwrap_err();
        let _rolled_back = transaction.commit().await;
        assert_eq!(living(&store).await, [1, 2]);
    });
}
