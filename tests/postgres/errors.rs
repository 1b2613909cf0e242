//! Faults on the server's side, with a clear error each.

use std::time::Duration;

use app_tokens::record::{LastUse, RecordParts};
use app_tokens::store::{
    Certainty, Filter, Insert, Inserted, Page, PostgresStore, StoreError, TokenStore,
};
use deadpool_postgres::{Manager, Pool, Runtime};
use tokio_postgres::{Config, NoTls};

use support::chance::*;
use support::postgres::{RUNTIME, Server, pool_to};

/// Checks that every call fails with this text, and that nothing was done.
#[track_caller]
fn assert_fails(errors: Vec<StoreError>, text: &str) {
    for error in errors {
        assert_eq!(error.certainty(), Certainty::NotDone, "{error}");
        assert!(error.to_string().contains(text), "{error}");
    }
}

/// Returns the errors of a look-up, a list and a change.
async fn errors(store: &PostgresStore) -> Vec<StoreError> {
    vec![
        store.find(id(1)).await.unwrap_err(),
        store.list(&Filter::every_token(), Page::first(1)).await.unwrap_err(),
        store.revoke(&Filter::of_id(id(1)), &revocation()).await.unwrap_err(),
    ]
}

#[test]
fn a_database_without_the_tables_says_what_to_do() {
    RUNTIME.block_on(async {
        let database = Server::needed().database().await;
        let store = PostgresStore::new(database.pool());
        let advice = "PostgreSQL: relation \"app_tokens\" does not exist (42P01); \
                      call `PostgresStore::migrate`, or run its schema, for app_tokens";
        assert_fails(errors(&store).await, advice);
    });
}

#[test]
fn a_read_only_server_fails_changes_and_serves_look_ups() {
    RUNTIME.block_on(async {
        let database = Server::needed().database().await;
        database.store().await.insert(&creation(parts(1))).await.unwrap();
        let mut config = database.config();
        config.options("-c default_transaction_read_only=on");
        let store = PostgresStore::new(pool_to(config));
        assert!(store.find(id(1)).await.unwrap().is_some());
        let error = store.insert(&creation(parts(2))).await.unwrap_err();
        assert_fails(vec![error], "(25006); connect the pool to the primary server");
    });
}

#[test]
fn a_standby_fails_changes() {
    RUNTIME.block_on(async {
        let database = Server::needed().database().await;
        database.store().await.insert(&creation(parts(1))).await.unwrap();
        let standby = Server::needed().standby();
        let store = PostgresStore::new(pool_to(standby.config(&database.name)));
        // A standby may lag, at the beginning, too. A look-up there is never an error.
        let _found_or_not_yet = store.find(id(2)).await.unwrap();
        let errors = vec![
            store.insert(&creation(parts(2))).await.unwrap_err(),
            store.revoke(&Filter::of_id(id(1)), &revocation()).await.unwrap_err(),
        ];
        assert_fails(errors, "(25006); connect the pool to the primary server");
    });
}

#[test]
fn an_error_says_what_the_server_said_and_never_quotes_a_row() {
    RUNTIME.block_on(async {
        let database = Server::needed().database().await;
        let (store, raw) = (database.store().await, database.raw().await);
        store.insert(&creation(parts(1))).await.unwrap();
        let host = "ALTER TABLE app_tokens ADD CONSTRAINT calm CHECK (revoked_at IS NULL)";
        raw.batch_execute(host).await.unwrap();
        let error = store.revoke(&Filter::of_id(id(1)), &revocation()).await.unwrap_err();
        let mut said = format!("{error} {error:?}");
        let mut source = std::error::Error::source(&error);
        while let Some(error) = source {
            said += &format!("{error} {error:?}");
            source = error.source();
        }
        assert!(said.contains("violates check constraint \"calm\" (23514)"), "{said}");
        assert!(!said.contains("My phone") && !said.contains("x01"), "{said}");
    });
}

#[test]
fn a_role_without_the_right_to_write_says_so() {
    RUNTIME.block_on(async {
        let database = Server::needed().database().await;
        let store = database.store().await;
        let name = format!("reader_{}", database.name);
        let grant = format!(
            "CREATE ROLE {name} LOGIN; GRANT SELECT ON app_tokens, app_tokens_schema TO {name}"
        );
        database.raw().await.batch_execute(&grant).await.unwrap();
        store.insert(&creation(parts(1))).await.unwrap();
        let mut config = database.config();
        config.user(&name);
        let reader = PostgresStore::new(pool_to(config));
        assert!(reader.find(id(1)).await.unwrap().is_some());
        let error = reader.insert(&creation(parts(2))).await.unwrap_err();
        assert_fails(
            vec![error],
            "(42501); grant the role SELECT, INSERT, UPDATE and DELETE on app_tokens",
        );
    });
}

#[test]
fn an_exhausted_pool_is_a_failure_and_not_an_endless_wait() {
    RUNTIME.block_on(async {
        let database = Server::needed().database().await;
        drop(database.store().await);
        let manager = Manager::new(database.config(), NoTls);
        let pool = Pool::builder(manager)
            .max_size(1)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(Duration::from_millis(50)))
            .build()
            .unwrap();
        let store = PostgresStore::new(pool.clone());
        let taken = pool.get().await.unwrap();
        assert_fails(errors(&store).await, "all connections of the pool are in use");
        drop(taken);
        assert!(store.find(id(1)).await.unwrap().is_none());
    });
}

#[test]
fn a_server_that_is_full_or_unreachable_says_so() {
    RUNTIME.block_on(async {
        let database = Server::needed().database().await;
        let limit = format!("CREATE ROLE {0} LOGIN CONNECTION LIMIT 0", database.name);
        database.raw().await.batch_execute(&limit).await.unwrap();
        let mut config = database.config();
        config.user(&database.name);
        let store = PostgresStore::new(pool_to(config));
        assert_fails(errors(&store).await, "can't connect: too many connections for role");
        let mut nobody = Config::new();
        nobody.host("127.0.0.1").port(1).user("postgres");
        let store = PostgresStore::new(pool_to(nobody));
        assert_fails(errors(&store).await, "can't connect: ");
        let error = store.migrate().await.unwrap_err();
        assert!(error.to_string().contains("can't connect: "), "{error}");
    });
}

/// The host's own time-outs end a call, and nothing is done.
#[test]
fn a_lock_time_out_of_the_hosts_is_a_failure() {
    RUNTIME.block_on(async {
        let database = Server::needed().database().await;
        database.store().await.insert(&creation(parts(1))).await.unwrap();
        let (one, all) = (Filter::of_id(id(1)), Filter::of_owner(&owner("alice")));
        for (settings, filter, code) in [
            ("-c lock_timeout=20ms", &one, "(55P03)"),
            ("-c statement_timeout=20ms", &one, "(57014)"),
            // A call that may change very many rows has time, but not for waiting on a lock.
            ("-c lock_timeout=20ms", &all, "(55P03)"),
            ("-c statement_timeout=20ms", &all, "(55P03)"),
            ("-c statement_timeout=1h -c lock_timeout=20ms", &all, "(55P03)"),
            ("-c statement_timeout=20ms -c lock_timeout=2d", &all, "(55P03)"),
        ] {
            let mut config = database.config();
            config.options(settings);
            let store = PostgresStore::new(pool_to(config));
            let raw = database.raw().await;
            raw.batch_execute("BEGIN; SELECT FROM app_tokens FOR UPDATE").await.unwrap();
            let revocation = revocation();
            let revoking = store.revoke(filter, &revocation);
            let answer = tokio::time::timeout(Duration::from_secs(60), revoking).await;
            assert_fails(vec![answer.expect(settings).unwrap_err()], code);
            raw.batch_execute("COMMIT").await.unwrap();
        }
    });
}

/// A million rows take half a minute or more. A revocation in an incident must not fail at a
/// time-out.
#[test]
fn a_revocation_of_many_rows_outlasts_the_hosts_time_out_and_restores_its_settings() {
    RUNTIME.block_on(async {
        let database = Server::needed().database().await;
        let store = database.store().await;
        for number in 1..=9 {
            store.insert(&creation(parts(number))).await.unwrap();
        }
        let slowly = "
            CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql \
            AS $$ BEGIN PERFORM pg_sleep(0.05); RETURN NEW; END $$;
            CREATE TRIGGER slowly BEFORE UPDATE ON app_tokens \
            FOR EACH ROW EXECUTE FUNCTION slowly()";
        database.raw().await.batch_execute(slowly).await.unwrap();
        let mut config = database.config();
        config.options("-c statement_timeout=200ms -c lock_timeout=7s");
        let one = Pool::builder(Manager::new(config, NoTls)).max_size(1).build().unwrap();
        let store = PostgresStore::new(one.clone()).with_known_objects(["slowly"]);
        let mine = Filter::of_owner(&owner("alice"));
        let mut client = one.get().await.unwrap();
        let transaction = client.transaction().await.unwrap();
        let within = store.within(&transaction).await.unwrap();
        let error = within.revoke(&mine, &revocation()).await.unwrap_err();
        let advice =
            "statement timeout (57014); raise `statement_timeout` if the call needs more time";
        assert_fails(vec![error], advice);
        transaction.rollback().await.unwrap();
        drop(client);
        let unrevoked = Filter { revoked: Some(false), ..mine.clone() };
        assert_eq!(store.list(&unrevoked, Page::first(99)).await.unwrap().len(), 9);

        assert_eq!(store.revoke(&mine, &revocation()).await.unwrap(), 9);
        let client = one.get().await.unwrap();
        let settings = "SELECT current_setting('statement_timeout'), \
                        current_setting('lock_timeout')";
        let settings = client.query_one(settings, &[]).await.unwrap();
        assert_eq!(settings.get::<_, &str>(0), "200ms");
        assert_eq!(settings.get::<_, &str>(1), "7s");
    });
}

/// PostgreSQL says "cached plan must not change result type" then.
#[test]
fn a_table_altered_under_a_prepared_statement_can_still_be_read() {
    RUNTIME.block_on(async {
        let database = Server::needed().database().await;
        let (store, raw) = (database.store().await, database.raw().await);
        store.insert(&creation(parts(1))).await.unwrap();
        assert!(store.find(id(1)).await.unwrap().is_some());
        for other in ["varchar", "text"] {
            let alter = format!("ALTER TABLE app_tokens ALTER issued_by TYPE {other}");
            raw.batch_execute(&alter).await.unwrap();
            let found = store.find(id(1)).await.unwrap().unwrap();
            assert_eq!(found.record().unwrap().clone().into_parts(), parts(1));
        }
        // As if a pooler had forgotten them.
        let one = Manager::new(database.config(), NoTls);
        let one = Pool::builder(one).max_size(1).build().unwrap();
        let store = PostgresStore::new(one.clone());
        for _ in 0..3 {
            assert!(store.find(id(1)).await.unwrap().is_some());
            one.get().await.unwrap().batch_execute("DEALLOCATE ALL").await.unwrap();
        }
    });
}

#[test]
fn the_hosts_stricter_isolation_level_is_not_inherited() {
    RUNTIME.block_on(async {
        let database = Server::needed().database().await;
        let mut config = database.config();
        config.options("-c default_transaction_isolation=serializable");
        drop(database.store().await);
        let store = PostgresStore::new(pool_to(config));
        let insert = async |number| {
            let insert = Insert { limit: Some(4), ..creation(parts(number)) };
            store.insert(&insert).await.unwrap()
        };
        let all = tokio::join!(insert(1), insert(2), insert(3), insert(4), insert(5), insert(6));
        let all = [all.0, all.1, all.2, all.3, all.4, all.5];
        let done = all.iter().filter(|one| **one == Inserted::Done).count();
        assert_eq!(done, 4);
    });
}

/// Only this text may hold a NUL.
#[test]
fn a_nul_in_the_name_of_a_program_is_left_out() {
    RUNTIME.block_on(async {
        let database = Server::needed().database().await;
        let store = database.store().await;
        let last_use = |text: &str| LastUse { at: at(5), address: None, client: Some(text.into()) };
        let given = RecordParts { last_use: Some(last_use("a\0b")), ..parts(1) };
        store.insert(&creation(given)).await.unwrap();
        store.insert(&creation(parts(2))).await.unwrap();
        store.touch(&[(id(2), last_use("a\0b"))], at(9)).await.unwrap();
        for number in [1, 2] {
            let found = store.find(id(number)).await.unwrap().unwrap();
            assert_eq!(found.record().unwrap().last_use(), Some(&last_use("ab")));
        }
    });
}
