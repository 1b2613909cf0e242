//! The store within the host's own transaction.

use std::task::{Context, Poll, Waker};

use app_tokens::record::RecordParts;
use app_tokens::store::{
    Filter, Insert, Inserted, LiveAt, Page, PostgresStore, Purge, Replace, Replaced, Row,
    TokenStore,
};
use tokio_postgres::IsolationLevel;

use support::chance::*;
use support::postgres::{Database, RUNTIME, Server};

async fn begun() -> (Database<'static>, PostgresStore, deadpool_postgres::Client) {
    let database = Server::needed().database().await;
    let store = database.store().await;
    database.raw().await.batch_execute("CREATE TABLE users (name text)").await.unwrap();
    let client = database.pool().get().await.unwrap();
    (database, store, client)
}

async fn ids(store: &impl TokenStore) -> Vec<u64> {
    let rows = store.list(&Filter::every_token(), Page::first(99)).await.unwrap();
    rows.iter().map(|row| row.id().as_u64()).collect()
}

#[test]
fn changes_are_there_if_the_host_commits_and_not_if_it_rolls_back() {
    RUNTIME.block_on(async {
        let (_database, store, mut client) = begun().await;
        for commits in [false, true] {
            let transaction = client.transaction().await.unwrap();
            transaction.batch_execute("INSERT INTO users VALUES ('alice')").await.unwrap();
            let within = store.within(&transaction).await.unwrap();
            let insert = Insert { limit: Some(1), ..creation(parts(1)) };
            assert_eq!(within.insert(&insert).await.unwrap(), Inserted::Done);
            assert!(within.find(id(1)).await.unwrap().is_some());
            assert_eq!(ids(&within).await, [1]);
            assert!(store.find(id(1)).await.unwrap().is_none());
            if commits {
                transaction.commit().await.unwrap();
            } else {
                transaction.rollback().await.unwrap();
            }
            let users = client.query_one("SELECT count(*) FROM users", &[]).await.unwrap();
            assert_eq!(users.get::<_, i64>(0), i64::from(commits));
            assert_eq!(store.find(id(1)).await.unwrap().is_some(), commits);
        }
    });
}

#[test]
fn a_refusal_does_not_end_the_transaction() {
    RUNTIME.block_on(async {
        let (_database, store, mut client) = begun().await;
        store.insert(&creation(parts(1))).await.unwrap();
        let transaction = client.transaction().await.unwrap();
        let within = store.within(&transaction).await.unwrap();
        let insert = async |number, change: fn(&mut Insert)| {
            let mut insert = creation(parts(number));
            change(&mut insert);
            within.insert(&insert).await.unwrap()
        };
        assert_eq!(insert(1, |_| ()).await, Inserted::IdTaken);
        let stale = |insert: &mut Insert| {
            insert.under = Some(row(RecordParts { revision: 7, ..parts(1) }));
        };
        assert_eq!(insert(2, stale).await, Inserted::Stale);
        assert_eq!(insert(2, |insert| insert.limit = Some(1)).await, Inserted::LimitReached);
        assert_eq!(insert(2, |insert| insert.unique_label = true).await, Inserted::LabelTaken);
        let (row, live) = (row(RecordParts { revision: 7, ..parts(1) }), LiveAt::now(at(0)));
        let replace = Replace { row, live, unique_label: true, revokes_derived: None };
        assert_eq!(within.replace(&[replace]).await.unwrap(), [Replaced::Stale]);
        assert_eq!(insert(3, |_| ()).await, Inserted::Done);
        within.touch(&[], at(0)).await.unwrap();
        assert_eq!(within.revoke(&Filter::of_id(id(3)), &revocation()).await.unwrap(), 1);
        assert_eq!(within.purge(&Purge::Matching(Filter::of_id(id(1))), 9).await.unwrap(), 1);
        transaction.commit().await.unwrap();
        assert_eq!(ids(&store).await, [3]);
    });
}

#[test]
fn any_changes_in_one_transaction_end_as_in_the_reference() {
    RUNTIME.block_on(async {
        let (_database, store, mut client) = begun().await;
        let memory = app_tokens::store::MemoryStore::new();
        let transaction = client.transaction().await.unwrap();
        let within = store.within(&transaction).await.unwrap();
        let mut chance = Chance(9);
        for _ in 0..400 {
            let id = chance.id();
            let mut insert = creation(chance.parts(id));
            insert.limit = chance.maybe(3, |c| c.below(9) as u32);
            insert.unique_label = chance.one_in(2);
            assert_eq!(
                within.insert(&insert).await.unwrap(),
                memory.insert(&insert).await.unwrap()
            );
            let (filter, revocation) = (chance.filter(), chance.revocation());
            if chance.one_in(3) {
                let count = within.revoke(&filter, &revocation).await.unwrap();
                assert_eq!(count, memory.revoke(&filter, &revocation).await.unwrap());
            }
            if chance.one_in(9) {
                let purge = Purge::Matching(chance.filter());
                let count = within.purge(&purge, 99).await.unwrap();
                assert_eq!(count, memory.purge(&purge, 99).await.unwrap());
            }
        }
        transaction.commit().await.unwrap();
        let all = Filter::every_token();
        let ours = store.list(&all, Page::first(99)).await.unwrap();
        let theirs = memory.list(&all, Page::first(99)).await.unwrap();
        let parts = |rows: &[Row]| -> Vec<RecordParts> {
            rows.iter().map(|row| row.record().unwrap().clone().into_parts()).collect()
        };
        assert_eq!(parts(&ours), parts(&theirs));
    });
}

#[test]
fn calls_made_at_once_run_one_after_the_other() {
    RUNTIME.block_on(async {
        let (_database, store, mut client) = begun().await;
        let transaction = client.transaction().await.unwrap();
        let within = store.within(&transaction).await.unwrap();
        let insert = async |number| {
            within.insert(&Insert { limit: Some(2), ..creation(parts(number)) }).await.unwrap()
        };
        let (a, b, c, d) = tokio::join!(insert(1), insert(2), insert(3), insert(4));
        let done = [a, b, c, d].iter().filter(|one| **one == Inserted::Done).count();
        assert_eq!(done, 2);
        transaction.commit().await.unwrap();
        assert_eq!(ids(&store).await.len(), 2);
    });
}

#[test]
fn a_stricter_isolation_level_is_refused() {
    RUNTIME.block_on(async {
        let (_database, store, mut client) = begun().await;
        for level in [IsolationLevel::RepeatableRead, IsolationLevel::Serializable] {
            let transaction = client.build_transaction().isolation_level(level).start().await;
            let transaction = transaction.unwrap();
            let error = store.within(&transaction).await.unwrap_err().to_string();
            assert!(error.contains("begin it at read committed"), "{error}");
        }
    });
}

#[test]
fn an_error_of_the_server_ends_the_transaction_and_is_not_done() {
    RUNTIME.block_on(async {
        let (_database, store, mut client) = begun().await;
        let transaction = client.transaction().await.unwrap();
        let within = store.within(&transaction).await.unwrap();
        within.insert(&creation(parts(1))).await.unwrap();
        transaction.batch_execute("SELECT 1 / 0").await.unwrap_err();
        let error = within.insert(&creation(parts(2))).await.unwrap_err();
        assert_eq!(error.certainty(), app_tokens::store::Certainty::NotDone);
        assert!(error.to_string().contains("current transaction is aborted"), "{error}");
        let _rolled_back = transaction.commit().await;
        assert_eq!(ids(&store).await, [] as [u64; 0]);
    });
}

/// The host drops one call and commits nevertheless. Then nothing is committed, rather than half a
/// call.
#[test]
fn a_dropped_call_ends_the_hosts_transaction() {
    RUNTIME.block_on(async {
        let (_database, store, mut client) = begun().await;
        let transaction = client.transaction().await.unwrap();
        let within = store.within(&transaction).await.unwrap();
        within.insert(&creation(parts(1))).await.unwrap();
        let second = creation(parts(2));
        let mut call = Box::pin(within.insert(&second));
        let polled = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(polled, Poll::Pending));
        drop(call);
        let error = within.insert(&creation(parts(3))).await.unwrap_err();
        assert!(error.to_string().contains("aborted"), "{error}");
        let _rolled_back = transaction.commit().await;
        assert_eq!(ids(&store).await, [] as [u64; 0]);
        // The connection can still be used.
        assert_eq!(client.query_one("SELECT 1", &[]).await.unwrap().get::<_, i32>(0), 1);
    });
}
