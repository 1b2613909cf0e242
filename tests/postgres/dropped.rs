//! Calls that their caller drops, and calls that wait for a busy pool: none blocks another.

use std::collections::HashSet;
use std::time::Duration;

use app_tokens::store::{Filter, Page, PostgresStore, TokenStore};
use deadpool_postgres::{Manager, Pool, Runtime};
use tokio_postgres::NoTls;

use crate::lost::{Call, Rows, rows_of, undone_and_done};
use crate::races::until_waiting;
use support::chance::*;
use support::postgres::{Database, RUNTIME, Server};

/// A host drops the future of a call when its client has gone.
#[test]
fn a_call_dropped_at_any_poll_is_done_or_not_and_blocks_no_other() {
    RUNTIME.block_on(async {
        let database = Server::needed().database().await;
        let direct = database.store().await;
        let one = Manager::new(database.config(), NoTls);
        let one = Pool::builder(one).max_size(1).build().unwrap();
        let store = PostgresStore::new(one);
        let mut number = 0;
        for call in [Call::Supersede, Call::Replace, Call::Revoke, Call::Touch, Call::Purge] {
            let mut given_up = 0;
            for polls in 0.. {
                number += 1;
                let [undone, done] = undone_and_done(&direct, call, number).await;
                let rows = Rows::of(number);
                if polled(polls, call.make(&store, &rows)).await.is_some() {
                    break;
                }
                given_up += 1;
                // Waits until the server has received what dropped calls had sent.
                database.is_quiet().await;
                let there = rows_of(&direct, &rows).await;
                assert!(there == done || there == undone, "{call:?} {polls}");
                assert_eq!(rows_of(&store, &rows).await, there, "{call:?} {polls}");
            }
            // Never polled, and polled once: no call is done before the server has answered. How
            // many more polls it takes depends on the machine.
            assert!(given_up >= 2, "{call:?}");
        }
    });
}

/// The read waits for a lock, as during a migration of the host's or on a slow server.
#[test]
fn a_read_that_is_dropped_blocks_no_other() {
    RUNTIME.block_on(async {
        let database = Server::needed().database().await;
        drop(database.store().await);
        let (locking, raw) = (database.raw().await, database.raw().await);
        locking.batch_execute("BEGIN; LOCK TABLE app_tokens").await.unwrap();
        let everything = Filter::every_token();
        for given_up in ["find", "list", "migrate"] {
            let pool = small_pool(&database, 1, Duration::from_secs(10));
            let store = PostgresStore::new(pool.clone());
            let reading = async {
                match given_up {
                    "find" => drop(store.find(id(1)).await),
                    "list" => drop(store.list(&everything, Page::first(9)).await),
                    _ => drop(store.migrate().await),
                }
            };
            tokio::select! {
                () = reading => panic!("{given_up} read a table that is locked"),
                () = until_waiting(&raw, 1) => {}
            }
            let other = async { pool.get().await.unwrap().query_one("SELECT 7", &[]).await };
            let other = tokio::time::timeout(Duration::from_secs(20), other).await;
            let other = other.expect("the next one waits for nobody").unwrap();
            assert_eq!(other.get::<_, i32>(0), 7, "{given_up}");
            // The dropped read still waits at the server.
            raw.batch_execute(END_WAITING).await.unwrap();
            until_waiting(&raw, 0).await;
        }
        locking.batch_execute("COMMIT").await.unwrap();
    });
}

/// Any client can hang up in the middle of a login, as often as it likes.
#[test]
fn a_dropped_look_up_costs_no_connection() {
    RUNTIME.block_on(async {
        let database = Server::needed().database().await;
        let pool = small_pool(&database, 1, Duration::from_secs(10));
        let store = PostgresStore::new(pool.clone());
        store.migrate().await.unwrap();
        let (mut backends, mut dropped) = (HashSet::new(), 0);
        while dropped < 20 {
            // On a busy machine the server may answer within the poll: then nothing is dropped.
            dropped += usize::from(polled(1, store.find(id(1))).await.is_none());
            let client = pool.get().await.unwrap();
            let backend = client.query_one("SELECT pg_backend_pid()", &[]).await.unwrap();
            backends.insert(backend.get::<_, i32>(0));
        }
        // Not all of them are closed, even if a busy machine takes longer than a moment.
        assert!(backends.len() < 10, "{backends:?}");
    });
}

const END_WAITING: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                           WHERE datname = current_database() AND wait_event_type = 'Lock'";

/// The other half is for look-ups, so that no login waits for an operator's long list.
#[test]
fn lists_take_half_of_the_pool_at_most() {
    RUNTIME.block_on(async {
        let database = Server::needed().database().await;
        let slow = PostgresStore::new(small_pool(&database, 4, Duration::from_millis(300)));
        slow.migrate().await.unwrap();
        let quick = slow.clone().with_table("quick".parse().unwrap());
        quick.migrate().await.unwrap();
        let (locking, raw) = (database.raw().await, database.raw().await);
        locking.batch_execute("BEGIN; LOCK TABLE app_tokens").await.unwrap();
        let everything = Filter::every_token();
        let list = async || slow.list(&everything, Page::first(9)).await;
        let meanwhile = async {
            until_waiting(&raw, 2).await;
            let third = tokio::time::timeout(Duration::from_secs(20), list()).await;
            let error = third.expect("a third one has no turn").unwrap_err();
            assert!(
                error.to_string().contains("all connections of the pool are in use"),
                "{error}"
            );
            let looks = async || assert!(quick.find(id(1)).await.unwrap().is_none());
            for _ in 0..9 {
                tokio::join!(looks(), looks());
            }
            locking.batch_execute("COMMIT").await.unwrap();
        };
        let (one, two, ()) = tokio::join!(list(), list(), meanwhile);
        assert!(one.unwrap().is_empty() && two.unwrap().is_empty());
    });
}

/// Makes a pool in which no call waits longer than this for a connection.
fn small_pool(database: &Database<'_>, size: usize, wait: Duration) -> Pool {
    Pool::builder(Manager::new(database.config(), NoTls))
        .max_size(size)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(wait))
        .build()
        .unwrap()
}

/// Polls a call this many times, then drops it.
async fn polled<T>(times: usize, call: impl Future<Output = T>) -> Option<T> {
    let mut call = Box::pin(call);
    let mut left = times;
    std::future::poll_fn(|context| {
        if left == 0 {
            return std::task::Poll::Ready(None);
        }
        left -= 1;
        match call.as_mut().poll(context) {
            std::task::Poll::Ready(done) => std::task::Poll::Ready(Some(done)),
            std::task::Poll::Pending if left == 0 => std::task::Poll::Ready(None),
            std::task::Poll::Pending => std::task::Poll::Pending,
        }
    })
    .await
}
