//! The contract on [`SqlxStore`] over a real PostgreSQL server, and what the store promises beyond
//! it.

use std::sync::Arc;
use std::task::Poll;

use app_tokens::store::conformance::{self, Kept, Task};
use app_tokens::store::{
    Certainty, Filter, Insert, Inserted, Page, Purge, PurgeCutoff, Row, Superseded,
    TokenStore as _, postgres_sql,
};
use app_tokens::{Timestamp, TokenId};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx_store::SqlxStore;

use support::by_reference;
use support::chance::{creation, id, parts, revocation, superseding, wait};
use support::postgres::{Blocked, Database, RUNTIME, Server};
use support::proxy::{Cut, Proxy};

fn on_runtime(task: Task) {
    RUNTIME.block_on(task);
}

fn pool(port: u16, database: &Database<'_>) -> PgPool {
    let options = PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(port);
    let options = options.username("postgres").database(&database.name);
    PgPoolOptions::new().max_connections(16).connect_lazy_with(options)
}

/// A store with the database that it is in.
type InDatabase = Kept<SqlxStore<'static>, PgPool>;

async fn empty_store() -> InDatabase {
    let database = Server::needed().database().await;
    let pool = pool(database.server.port(), &database);
    sqlx::raw_sql(postgres_sql::SCHEMA).execute(&pool).await.unwrap();
    Kept { store: SqlxStore::Pool(pool.clone()), with: pool }
}

/// Writes junk into every column, except the facts that stand apart. End and last use are possible,
/// and long past.
async fn damage(store: Arc<InDatabase>, id: TokenId) {
    let junk = sqlx::query(
        "UPDATE app_tokens SET digest = '\\x00', label = '', scopes = E'\n', resources = 'x',
            networks = 'x', attributes = 'x', issued_by = '', expires_at = 7, successor = -1,
            key_id = -1, seal = '\\x', last_used_at = 7, last_used_address = 'x',
            revoked_reason = left(revoked_reason, 0), revoked_by = left(revoked_by, 0)
        WHERE id = $1",
    );
    let junk = junk.bind(i64::from(id));
    assert_eq!(junk.execute(&store.with).await.unwrap().rows_affected(), 1);
}

/// Writes such junk, and an owner with a line end, which none may have.
async fn damage_owner(store: Arc<InDatabase>, id: TokenId) {
    damage(store.clone(), id).await;
    let junk = sqlx::query("UPDATE app_tokens SET owner = chr(10) || id WHERE id = $1");
    let junk = junk.bind(i64::from(id));
    assert_eq!(junk.execute(&store.with).await.unwrap().rows_affected(), 1);
}

conformance::tests!(
    make = empty_store,
    runner = on_runtime,
    damage = damage,
    damage_owner = damage_owner,
);

by_reference::tests!(emptied(), 150);

/// Returns the same store each time, emptied.
fn emptied() -> impl Fn() -> Blocked<SqlxStore<'static>> {
    let store = Blocked(RUNTIME.block_on(empty_store()).store);
    move || {
        wait(store.purge(&Purge::Matching(Filter::every_token()), u32::MAX)).unwrap();
        store.clone()
    }
}

/// The clauses without races, each in one transaction of the host's.
mod within {
    use super::*;

    macro_rules! tests {
        ($($clause:ident)*) => {$(
            #[test]
            fn $clause() {
                RUNTIME.block_on(async {
                    let pool = empty_store().await.with;
                    let mut transaction = pool.begin().await.unwrap();
                    let within = SqlxStore::within(&mut transaction).await.unwrap();
                    conformance::$clause(&within).await;
                });
            }
        )*};
    }

    tests! {
        every_field_comes_back_as_it_was_given
        rows_of_every_state_come_back
        insert_never_overwrites
        insert_under_a_token_needs_it_current_and_of_the_same_owner
        supersede_writes_both_rows_in_one_step
        supersede_of_a_changed_row_changes_nothing
        supersede_revokes_what_was_issued_under_the_family
        limit_counts_the_owners_live_rows_of_other_families
        the_first_refusal_answers
        list_gives_what_the_filter_matches
        replace_is_a_compare_and_swap
        revoke_covers_what_the_filter_matches_and_what_derives_from_it
        touch_goes_forwards_only
        purge_deletes_what_it_selects
    }
}

async fn sql(pool: &PgPool, text: &str) {
    sqlx::raw_sql(text).execute(pool).await.unwrap();
}

/// Returns SQL for a trigger function that raises an error with this state if `when` holds.
fn stopping(when: &str, state: &str) -> String {
    format!(
        "CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF {when} THEN RAISE 'stopped' USING ERRCODE = '{state}'; END IF; RETURN NEW;
        END $$;"
    )
}

#[test]
fn a_purge_deletes_lock_rows_of_idle_owners_however_small_its_limit() {
    RUNTIME.block_on(async {
        let Kept { store, with: pool } = empty_store().await;
        let former = "INSERT INTO app_tokens_owners SELECT 'former ' || n \
                      FROM generate_series(1, 10010) AS n";
        sql(&pool, former).await;
        let now = Timestamp::MAX;
        let dead = Purge::Dead(PurgeCutoff { ended_by: now, unused_since: None, now });
        // The next purge takes what one leaves.
        for left in [10, 0] {
            assert_eq!(store.purge(&dead, 1).await.unwrap(), 0);
            let count = sqlx::query_scalar("SELECT count(*) FROM app_tokens_owners");
            let count: i64 = count.fetch_one(&pool).await.unwrap();
            assert_eq!(count, left);
        }
    });
}

#[test]
fn a_transaction_that_would_see_the_past_is_refused() {
    RUNTIME.block_on(async {
        let pool = empty_store().await.with;
        for level in ["REPEATABLE READ", "SERIALIZABLE"] {
            let begin = format!("BEGIN ISOLATION LEVEL {level}");
            let mut transaction = pool.begin_with(begin).await.unwrap();
            SqlxStore::within(&mut transaction).await.unwrap_err();
        }
    });
}

/// The store asks for it, whatever the host's default is.
#[test]
fn read_committed_is_set_whatever_the_default_is() {
    RUNTIME.block_on(async {
        let Kept { store, with: pool } = empty_store().await;
        sql(
            &pool,
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET \
             default_transaction_isolation = serializable', current_database()); END $$",
        )
        .await;
        pool.close().await;
        drop(store);
        let level = "current_setting('transaction_isolation') <> 'read committed'";
        let pool = PgPool::connect_with((*pool.connect_options()).clone()).await.unwrap();
        sql(&pool, &stopping(level, "P0001")).await;
        sql(
            &pool,
            "CREATE TRIGGER stop BEFORE INSERT ON app_tokens FOR EACH ROW EXECUTE FUNCTION stop()",
        )
        .await;
        let store = SqlxStore::Pool(pool.clone());
        assert_eq!(store.insert(&creation(parts(1))).await.unwrap(), Inserted::Done);
    });
}

#[test]
fn a_failed_call_is_not_half_done_if_the_host_commits_its_transaction() {
    RUNTIME.block_on(async {
        let Kept { store, with: pool } = empty_store().await;
        store.insert(&creation(parts(1))).await.unwrap();
        sql(&pool, &stopping("TRUE", "P0001")).await;
        sql(
            &pool,
            "CREATE TRIGGER stop BEFORE UPDATE ON app_tokens FOR EACH ROW EXECUTE FUNCTION stop()",
        )
        .await;
        let mut transaction = pool.begin().await.unwrap();
        let within = SqlxStore::within(&mut transaction).await.unwrap();
        let error = within.supersede(&superseding(1, 2)).await.unwrap_err();
        assert_eq!(error.certainty(), Certainty::NotDone, "{error}");
        within.insert(&creation(parts(3))).await.unwrap_err();
        drop(within);
        transaction.commit().await.unwrap();
        let rows = store.list(&Filter::every_token(), Page::first(9)).await.unwrap();
        assert_eq!(Vec::from_iter(rows.iter().map(Row::id)), [id(1)]);
    });
}

/// A connection that is still in the transaction of a dropped call would take the host's next
/// statement into it.
#[test]
fn a_dropped_call_leaves_no_transaction_open() {
    RUNTIME.block_on(async {
        let Kept { store, with: pool } = empty_store().await;
        store.insert(&creation(parts(1))).await.unwrap();
        for polls in 0..40 {
            let insert = Insert { limit: Some(9), ..creation(parts(2 + polls)) };
            let mut call = Box::pin(store.insert(&insert));
            for _ in 0..=polls {
                let once = std::future::poll_fn(|context| Poll::Ready(call.as_mut().poll(context)));
                if once.await.is_ready() {
                    break;
                }
                // Lets the other tasks and the server go one step further.
                pool.acquire().await.unwrap();
            }
        }
        // Two statements on one connection begin at the same time only if it is in a transaction.
        let mut connections = Vec::new();
        for _ in 0..16 {
            let mut connection = pool.acquire().await.unwrap();
            let began = "SELECT now()::text";
            let first: String =
                sqlx::query_scalar(began).fetch_one(&mut *connection).await.unwrap();
            let second: String =
                sqlx::query_scalar(began).fetch_one(&mut *connection).await.unwrap();
            assert_ne!(first, second, "a transaction is open");
            connections.push(connection);
        }
    });
}

/// The trigger keeps each row as it is, and the server reports no error.
#[test]
fn a_change_that_a_trigger_keeps_out_is_not_done() {
    RUNTIME.block_on(async {
        let Kept { store, with: pool } = empty_store().await;
        store.insert(&creation(parts(1))).await.unwrap();
        sql(
            &pool,
            "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        )
        .await;
        sql(
            &pool,
            "CREATE TRIGGER keep BEFORE UPDATE ON app_tokens FOR EACH ROW EXECUTE FUNCTION keep()",
        )
        .await;
        let rotated = store.supersede(&superseding(1, 2)).await.unwrap_err();
        let revoked = store.revoke(&Filter::of_id(id(1)), &revocation()).await.unwrap_err();
        for error in [rotated, revoked] {
            assert_eq!(error.certainty(), Certainty::NotDone, "{error}");
            assert!(error.to_string().contains("trigger"), "{error}");
        }
        let rows = store.list(&Filter::every_token(), Page::first(9)).await.unwrap();
        assert_eq!(Vec::from_iter(rows.iter().map(Row::id)), [id(1)]);
    });
}

#[test]
fn a_deadlock_is_tried_again_and_another_error_is_not() {
    RUNTIME.block_on(async {
        for (state, is_retried) in [("40P01", true), ("40001", true), ("23514", false)] {
            let Kept { store, with: pool } = empty_store().await;
            // A rollback doesn't reset a sequence, so it counts the tries.
            sql(&pool, "CREATE SEQUENCE tries").await;
            sql(&pool, &stopping("nextval('tries') < 4", state)).await;
            sql(
                &pool,
                "CREATE TRIGGER stop BEFORE INSERT ON app_tokens FOR EACH ROW \
                 EXECUTE FUNCTION stop()",
            )
            .await;
            let answer = store.insert(&creation(parts(1))).await;
            let tries = sqlx::query_scalar::<_, i64>("SELECT last_value FROM tries");
            let tries = tries.fetch_one(&pool).await.unwrap();
            if is_retried {
                assert_eq!((answer.unwrap(), tries), (Inserted::Done, 4));
            } else {
                assert_eq!((answer.unwrap_err().certainty(), tries), (Certainty::NotDone, 1));
            }
        }
    });
}

#[test]
fn a_commit_that_the_server_refuses_is_not_done() {
    RUNTIME.block_on(async {
        let Kept { store, with: pool } = empty_store().await;
        sql(&pool, &stopping("TRUE", "P0001")).await;
        sql(
            &pool,
            "CREATE CONSTRAINT TRIGGER stop AFTER INSERT ON app_tokens DEFERRABLE \
             INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION stop()",
        )
        .await;
        let error = store.insert(&creation(parts(1))).await.unwrap_err();
        assert_eq!(error.certainty(), Certainty::NotDone, "{error}");
        assert!(store.find(id(1)).await.unwrap().is_none());
        // Its connection can still be used.
        assert!(store.list(&Filter::every_token(), Page::first(9)).await.unwrap().is_empty());
    });
}

/// Cuts the connection at each round trip, from the first to COMMIT, before and after the server
/// received it.
#[test]
fn a_rotation_that_is_cut_anywhere_says_truly_whether_it_was_done() {
    RUNTIME.block_on(async {
        let database = Server::needed().database().await;
        let direct = pool(database.server.port(), &database);
        sql(&direct, postgres_sql::SCHEMA).await;
        let store = SqlxStore::Pool(direct.clone());
        let (proxy, mut unknown, mut after) = (Proxy::start(&database).await, Vec::new(), 0);
        let port = proxy.config(&database).get_ports()[0];
        let mut is_over = false;
        while !is_over {
            for heard in [false, true] {
                sql(&direct, "TRUNCATE app_tokens").await;
                store.insert(&creation(parts(1))).await.unwrap();
                let way = SqlxStore::Pool(pool(port, &database));
                proxy.cut(Cut { after, heard });
                let answer = way.supersede(&superseding(1, 2)).await;
                is_over = !proxy.was_cut();
                let rows = store.list(&Filter::every_token(), Page::first(9)).await.unwrap();
                let is_old_superseded = rows[0].record().unwrap().successor().is_some();
                assert_eq!(rows.len() == 2, is_old_superseded, "a half: {after} {heard} {rows:?}");
                let what = format!("cut after {after}, heard {heard}: {answer:?}");
                match answer.map_err(|error| error.certainty()) {
                    Ok(answer) => {
                        assert!(answer == Superseded::Done && is_old_superseded, "{what}");
                    }
                    Err(Certainty::NotDone) => assert!(!is_old_superseded, "{what}"),
                    Err(Certainty::Unknown) => {
                        assert_eq!(is_old_superseded, heard, "{what}");
                        unknown.push((after, heard));
                    }
                }
            }
            after += 1;
        }
        // Only COMMIT is unknown. The pool's later check of the connection is not.
        let [(commit, false), (same, true)] = unknown[..] else { panic!("{unknown:?}") };
        assert!(commit == same && commit > 5, "{unknown:?}");
    });
}

#[test]
fn the_program_prints_what_its_docs_say() {
    RUNTIME.block_on(async {
        let database = Server::needed().database().await;
        let (port, name) = (database.server.port(), &database.name);
        let directory = tempfile::tempdir().unwrap();
        let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_sqlx-store"));
        program.arg(directory.path().join("acme.key"));
        program.env("DATABASE_URL", format!("postgres://postgres@127.0.0.1:{port}/{name}"));
        let output = program.output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}{errors}");
        let lines: Vec<&str> = said.lines().collect();
        let [shown, calls, first, one, second, still_one] = lines[..] else { panic!("{said}") };
        assert!(shown.starts_with("shown once: acme_"), "{said}");
        assert_eq!(calls, "alice calls with \"My phone\"");
        assert_eq!(
            [first, one, still_one],
            ["first sign-up of bob: done", "bob has 1 token", "bob has 1 token"]
        );
        assert!(
            second.starts_with("second sign-up of bob: rolled back: ")
                && second.contains("users_pkey"),
            "{said}"
        );
        let pool = pool(port, &database);
        let users = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM users");
        assert_eq!(users.fetch_one(&pool).await.unwrap(), 1);
    });
}
