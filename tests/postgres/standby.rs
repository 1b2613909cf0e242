//! A COMMIT that waits for a synchronous standby. If that wait is cancelled, PostgreSQL answers
//! "committed" with a warning that no driver shows. So no time-out may cancel it.

use std::time::Duration;

use app_tokens::record::TokenRecord;
use app_tokens::store::{Certainty, Filter, PostgresStore, TokenStore};
use deadpool_postgres::{Manager, Pool, Runtime};
use tokio_postgres::{Client, NoTls};

use support::chance::*;
use support::postgres::{Database, RUNTIME, Server};

/// A server that lost its standby: each write waits until [`goes_on_alone`](Bereft::goes_on_alone).
struct Bereft<'s> {
    database: Database<'s>,
    admin: Client,
}

/// Counts the writes that wait longer than any call may take.
const WAITING: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE wait_event = 'SyncRep' AND clock_timestamp() - query_start > interval '300 ms'";
const END_WAITING: &str =
    "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";

impl Bereft<'_> {
    /// Makes one with a good row.
    async fn of(server: &Server) -> Bereft<'_> {
        let database = server.database().await;
        database.store().await.insert(&creation(parts(1))).await.unwrap();
        let (admin, probe) = (database.raw().await, database.raw().await);
        for statement in [
            "CREATE TABLE users (name text)",
            "ALTER SYSTEM SET synchronous_standby_names = 'nobody'",
            "SELECT pg_reload_conf()",
        ] {
            admin.batch_execute(statement).await.unwrap();
        }
        let bereft = Bereft { database, admin };
        // The server needs time to read its settings.
        loop {
            let write = probe.batch_execute("INSERT INTO users VALUES ('probe')");
            tokio::pin!(write);
            tokio::select! {
                done = &mut write => done.unwrap(),
                () = bereft.has_waited_long() => {
                    bereft.admin.batch_execute(END_WAITING).await.unwrap();
                    write.await.expect("PostgreSQL calls it committed");
                    return bereft;
                }
            }
        }
    }

    async fn has_waited_long(&self) {
        while self.admin.query_one(WAITING, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn goes_on_alone(&self) {
        let names = "ALTER SYSTEM RESET synchronous_standby_names";
        self.admin.batch_execute(names).await.unwrap();
        self.admin.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    }

    /// Makes a pool with short time-outs, for statements and for getting a connection.
    fn hasty_pool(&self, size: usize) -> Pool {
        let mut config = self.database.config();
        config.options(
            "-c statement_timeout=100ms -c lock_timeout=100ms \
             -c idle_in_transaction_session_timeout=100ms",
        );
        Pool::builder(Manager::new(config, NoTls))
            .max_size(size)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(Duration::from_millis(100)))
            .build()
            .unwrap()
    }
}

async fn is_revoked(store: &PostgresStore) -> bool {
    let found = store.find(id(1)).await.unwrap().unwrap();
    found.record().and_then(TokenRecord::revocation).is_some()
}

#[test]
fn no_time_out_confirms_a_change_that_no_standby_has() {
    RUNTIME.block_on(async {
        let Some(server) = Server::start() else { return };
        let bereft = Bereft::of(&server).await;
        let store = PostgresStore::new(bereft.hasty_pool(1));
        let (filter, revocation) = (Filter::of_id(id(1)), revocation());
        let revoke = store.revoke(&filter, &revocation);
        tokio::pin!(revoke);
        tokio::select! {
            answer = &mut revoke => panic!("answered, and on one server only: {answer:?}"),
            () = bereft.has_waited_long() => {}
        }
        bereft.goes_on_alone().await;
        assert_eq!(revoke.await.unwrap(), 1);
        assert!(is_revoked(&store).await);
    });
}

#[test]
fn a_change_dropped_while_it_waits_for_a_standby_blocks_no_other() {
    RUNTIME.block_on(async {
        let Some(server) = Server::start() else { return };
        let bereft = Bereft::of(&server).await;
        let store = PostgresStore::new(bereft.hasty_pool(1));
        let (filter, revocation) = (Filter::of_id(id(1)), revocation());
        tokio::select! {
            answer = store.revoke(&filter, &revocation) => panic!("{answer:?}"),
            () = bereft.has_waited_long() => {}
        }
        let look = tokio::time::timeout(Duration::from_secs(20), is_revoked(&store));
        assert!(!look.await.expect("the pool has another connection"), "nobody was told so yet");
        bereft.goes_on_alone().await;
        while !is_revoked(&store).await {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn changes_that_wait_for_a_standby_leave_connections_to_look_ups() {
    RUNTIME.block_on(async {
        let Some(server) = Server::start() else { return };
        let bereft = Bereft::of(&server).await;
        let store = PostgresStore::new(bereft.hasty_pool(4));
        let (filter, revocation) = (Filter::of_id(id(1)), revocation());
        let insert = creation(parts(2));
        let waiting =
            async { tokio::join!(store.revoke(&filter, &revocation), store.insert(&insert)) };
        let meanwhile = async {
            bereft.has_waited_long().await;
            // A third one is refused: it can't get a turn, and is not done.
            let error = loop {
                match store.revoke(&Filter::of_id(id(3)), &revocation).await {
                    Ok(count) => assert_eq!(count, 0),
                    Err(error) if error.to_string().contains("all connections of the pool") => {
                        break error;
                    }
                    // On a busy machine a statement may take longer than its time-out.
                    Err(_) => {}
                }
                tokio::task::yield_now().await;
            };
            assert_eq!(error.certainty(), Certainty::NotDone);
            for _ in 0..20 {
                assert!(!is_revoked(&store).await);
            }
            bereft.goes_on_alone().await;
        };
        let ((revoked, inserted), ()) = tokio::join!(waiting, meanwhile);
        assert_eq!(revoked.unwrap(), 1);
        inserted.unwrap();
    });
}
