//! The keys that seal rows: the set of keys in use never lacks one, and a filter excludes each.

use std::time::Duration;

use app_tokens::record::{KeyId, RecordParts, TokenRecord};
use app_tokens::store::{
    Filter, Inserted, LiveAt, Page, PostgresStore, Purge, PurgeCutoff, Replace, Replaced, Row,
    TokenStore,
};

use support::chance::*;
use support::postgres::{RUNTIME, Server};

fn under(key: u32, number: u64) -> RecordParts {
    RecordParts { key_id: KeyId::new(key).unwrap(), ..parts(number) }
}

async fn keys(store: &PostgresStore) -> Vec<u32> {
    store.keys_in_use().await.unwrap().into_iter().map(KeyId::as_u32).collect()
}

#[test]
fn a_purge_deletes_a_key_that_seals_nothing_any_more() {
    RUNTIME.block_on(async {
        let store = Server::needed().database().await.store().await;
        store.insert(&creation(under(1, 1))).await.unwrap();
        store.insert(&creation(under(2, 2))).await.unwrap();
        store.insert(&creation(under(3, 3))).await.unwrap();
        assert_eq!(keys(&store).await, [1, 2, 3]);
        store.revoke(&Filter::of_id(id(3)), &revocation()).await.unwrap();
        let (row, live) = (row(under(4, 1)), LiveAt::now(at(0)));
        let reseal = Replace { row, live, unique_label: false, revokes_derived: None };
        store.replace(&[reseal]).await.unwrap();
        assert_eq!(keys(&store).await, [1, 2, 3, 4]);
        let nothing = Purge::Dead(PurgeCutoff { ended_by: at(0), unused_since: None, now: at(0) });
        assert_eq!(store.purge(&nothing, 9).await.unwrap(), 0);
        assert_eq!(keys(&store).await, [2, 4]);
        store.purge(&expired(), 9).await.unwrap();
        assert!(keys(&store).await.is_empty());
        assert!(store.diagnose().await.unwrap().iter().all(|finding| finding.contains("fsync")));
    });
}

/// The purge doesn't see the new row, which isn't committed, and the key was there already.
#[test]
fn a_key_stays_while_a_row_under_it_is_being_written() {
    RUNTIME.block_on(async {
        let database = Server::needed().database().await;
        let (store, mut other) = (database.store().await, database.pool().get().await.unwrap());
        store.insert(&creation(under(1, 1))).await.unwrap();
        let transaction = other.transaction().await.unwrap();
        let within = store.within(&transaction).await.unwrap();
        assert_eq!(within.insert(&creation(under(1, 2))).await.unwrap(), Inserted::Done);
        // The purge deletes the only row that it sees under the key, and waits for nobody.
        let one = Purge::Matching(Filter::of_id(id(1)));
        assert_eq!(store.purge(&one, 1).await.unwrap(), 1);
        assert_eq!(store.purge(&expired(), 9).await.unwrap(), 0);
        transaction.commit().await.unwrap();
        assert_eq!(keys(&store).await, [1]);
    });
}

/// The same for a row that is there already and gets another key.
#[test]
fn a_key_stays_while_a_row_is_being_resealed_under_it() {
    RUNTIME.block_on(async {
        let database = Server::needed().database().await;
        let (store, mut other) = (database.store().await, database.pool().get().await.unwrap());
        store.insert(&creation(under(1, 1))).await.unwrap();
        store.insert(&creation(under(2, 2))).await.unwrap();
        let transaction = other.transaction().await.unwrap();
        let within = store.within(&transaction).await.unwrap();
        let (row, live) = (row(under(2, 1)), LiveAt::now(at(0)));
        let reseal = Replace { row, live, unique_label: false, revokes_derived: None };
        assert_eq!(within.replace(&[reseal]).await.unwrap(), [Replaced::Done]);
        let other_row = Purge::Matching(Filter::of_id(id(2)));
        assert_eq!(store.purge(&other_row, 1).await.unwrap(), 1);
        let nothing = Purge::Dead(PurgeCutoff { ended_by: at(0), unused_since: None, now: at(0) });
        assert_eq!(store.purge(&nothing, 9).await.unwrap(), 0);
        transaction.commit().await.unwrap();
        assert_eq!(keys(&store).await, [1, 2]);
    });
}

/// Rows come and go under a few keys while purges run.
#[test]
fn no_key_of_a_row_is_ever_missing() {
    RUNTIME.block_on(async {
        let database = Server::needed().database().await;
        let store = database.store().await;
        let work = async |seed: u64| {
            let mut chance = Chance(seed);
            for step in 0..150 {
                if chance.one_in(3) {
                    store.purge(&expired(), 2 + chance.below(9) as u32).await.unwrap();
                } else {
                    let key = 1 + chance.below(3) as u32;
                    store.insert(&creation(under(key, 1000 * seed + step))).await.unwrap();
                }
            }
        };
        let all = async { tokio::join!(work(1), work(2), work(3), work(4)) };
        tokio::time::timeout(Duration::from_secs(60), all).await.expect("nobody waits for ever");
        let rows = store.list(&Filter::every_token(), Page::first(1000)).await.unwrap();
        let named = keys(&store).await;
        for record in rows.iter().filter_map(Row::record).map(TokenRecord::key_id) {
            assert!(named.contains(&record.as_u32()), "{record} {named:?}");
        }
        assert_eq!(database.log_from("deadlock detected"), "");
    });
}

#[test]
fn a_key_deleted_by_hand_is_diagnosed() {
    RUNTIME.block_on(async {
        let database = Server::needed().database().await;
        let store = database.store().await;
        store.insert(&creation(under(7, 1))).await.unwrap();
        let raw = database.raw().await;
        raw.batch_execute("DELETE FROM app_tokens_keys; DROP INDEX app_tokens_of_family")
            .await
            .unwrap();
        let findings = store.diagnose().await.unwrap();
        let is_said = |text: &str| findings.iter().any(|finding| finding == text);
        assert!(
            is_said("app_tokens_keys lacks the key 7, which seals rows; insert it"),
            "{findings:?}"
        );
        let index = "the index app_tokens_of_family is missing or can't be used; create it again";
        assert!(is_said(index), "{findings:?}");
    });
}

#[test]
fn a_list_of_rows_under_other_keys_excludes_each_named_key() {
    RUNTIME.block_on(async {
        let database = Server::needed().database().await;
        let store = database.store().await;
        for number in 1..=3 {
            let key_id = KeyId::new(3 * number as u32).unwrap();
            store.insert(&creation(RecordParts { key_id, ..parts(number) })).await.unwrap();
        }
        let under = async |except: &[u32], revoked| {
            let except_key_ids = except.iter().filter_map(|key| KeyId::new(*key)).collect();
            let filter = Filter { revoked, except_key_ids, ..Filter::every_token() };
            let rows = store.list(&filter, Page::first(9)).await.unwrap();
            rows.iter().map(|row| row.id().as_u64()).collect::<Vec<_>>()
        };
        assert!(under(&[3, 6, 9], Some(false)).await.is_empty());
        assert!(under(&[9, 3, 6, 3, 1, u32::MAX], Some(false)).await.is_empty());
        assert_eq!(under(&[3, 9], Some(false)).await, [2]);
        assert_eq!(under(&[6, 9], Some(false)).await, [1]);
        assert_eq!(under(&[3, 6], Some(false)).await, [3]);
        assert_eq!(under(&[5], Some(false)).await, [1, 2, 3]);
        store.revoke(&Filter::of_id(id(2)), &revocation()).await.unwrap();
        assert!(under(&[3, 9], Some(false)).await.is_empty());
        assert_eq!(under(&[3, 9], None).await, [2]);
    });
}
