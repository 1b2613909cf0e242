//! Faults on the server's side, with a clear error each; and rows that were damaged by hand.

use std::time::Duration;

use app_tokens::record::{KeyId, LastUse, RecordParts};
use app_tokens::store::{
    Certainty, Filter, Insert, Inserted, Page, PostgresStore, Purge, StoreError, TokenStore,
    postgres_sql,
};
use app_tokens::{Access, KeyRing, NewToken, Policy, Timestamp, TokenAuthority, TokenId};
use deadpool_postgres::{Manager, Pool, Runtime};
use tokio_postgres::{Client, Config, NoTls};

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

// -- damaged rows

/// Values that can be written by hand into each column, and whether the row can still be read.
const DAMAGE: &[(&str, bool)] = &[
    ("digest = ''", false),
    ("digest = '\\x01'", false),
    ("digest = NULL", false),
    ("digest = decode('02' || repeat('00', 32), 'hex')", false),
    ("digest = decode('01' || repeat('00', 32), 'hex')", true),
    ("owner = ''", false),
    ("owner = NULL", false),
    ("owner = 'mallory'", true),
    ("owner = repeat('x', 256)", false),
    ("label = ' My phone'", false),
    ("label = NULL", false),
    ("label = E'a\\nb'", false),
    ("scopes = NULL", true),
    ("scopes = ''", true),
    ("scopes = E'w\\nr'", false),
    ("scopes = E'\\n'", false),
    ("scopes = E'r\\n'", false),
    ("scopes = E'r\\nr'", false),
    ("scopes = 'r w'", false),
    ("resources = 'a*b'", false),
    ("resources = 'under:a/'", false),
    ("resources = E'under:b\\nexact:a'", false),
    ("resources = NULL", true),
    ("networks = ''", true),
    ("networks = '10.0.0.0/8'", true),
    ("networks = '10.0.0.1/8'", false),
    ("networks = E'9.0.0.0/8\\n10.0.0.0/8'", false),
    ("attributes = 'a b'", true),
    ("attributes = ''", false),
    ("attributes = 'a'", false),
    ("attributes = E'b x\\na x'", false),
    ("issued_by = ''", false),
    ("issued_by = 'somebody'", true),
    ("created_at = NULL", false),
    ("created_at = -1", false),
    ("created_at = 253402300800", false),
    ("expires_at = NULL", true),
    ("expires_at = 253402300799", true),
    ("expires_at = -9223372036854775808", false),
    ("family = NULL", false),
    ("family = -1", false),
    ("family = 1125899906842624", false),
    ("successor = -1", false),
    ("derived_from = 9223372036854775807", false),
    ("revision = NULL", false),
    ("revision = -9223372036854775808", false),
    ("revoked_reason = 'leaked'", false),
    ("revoked_by = 'owner'", false),
    ("last_used_at = -1", false),
    ("last_used_at = NULL, last_used_client = 'x'", false),
    ("last_used_at = 9, last_used_address = 'localhost'", false),
    ("key_id = NULL", false),
    ("key_id = 0", false),
    ("key_id = -1", false),
    ("key_id = 4294967296", false),
    ("key_id = 4294967295", true),
    ("seal = NULL", true),
    ("seal = ''", false),
    ("seal = decode(repeat('00', 65), 'hex')", false),
    ("seal = decode('01' || repeat('00', 31), 'hex')", false),
    ("seal = decode('01' || repeat('00', 32), 'hex')", true),
    ("seal = decode('02' || repeat('00', 32), 'hex')", true),
];

/// Drops the checks that would refuse the damage.
const WITHOUT_CHECKS: &str = "
    DO $$ DECLARE name text; BEGIN
        FOR name IN SELECT conname FROM pg_constraint \
                WHERE conrelid = 'app_tokens'::regclass AND contype = 'c' LOOP
            EXECUTE format('ALTER TABLE app_tokens DROP CONSTRAINT %I', name);
        END LOOP;
        FOR name IN SELECT attname FROM pg_attribute \
                WHERE attrelid = 'app_tokens'::regclass AND attnotnull AND attnum > 0 \
                AND attname <> 'id' LOOP
            EXECUTE format('ALTER TABLE app_tokens ALTER %I DROP NOT NULL', name);
        END LOOP;
    END $$";

#[test]
fn a_row_damaged_in_any_column_does_not_authenticate_blocks_no_other_and_can_be_revoked() {
    RUNTIME.block_on(async {
        let database = Server::needed().database().await;
        let (store, raw) = (database.store().await, database.raw().await);
        raw.batch_execute(WITHOUT_CHECKS).await.unwrap();
        let policy = Policy::new("acme").unwrap().with_no_limit_per_owner();
        let tokens = TokenAuthority::new(store.clone(), KeyRing::ephemeral().unwrap(), policy);
        let issue = async || {
            let access = Access::scopes(["r", "w"])
                .unwrap()
                .on(["exact:a", "prefix:b"].map(|text| text.parse().unwrap()))
                .unwrap();
            tokens.issue(NewToken::new("alice", "My phone", access)).await.unwrap()
        };
        let sound = issue().await;
        for (damage, readable) in DAMAGE {
            let token = issue().await;
            let number = token.id().as_u64().cast_signed();
            assert!(tokens.authenticate(token.expose_secret()).await.is_ok());
            let write = format!("UPDATE app_tokens SET {damage} WHERE id = $1");
            raw.execute(&write, &[&number]).await.unwrap();

            let found = store.find(token.id()).await.unwrap().unwrap();
            assert_eq!(found.record().is_some(), *readable, "{damage}");
            assert!(tokens.authenticate(token.expose_secret()).await.is_err(), "{damage}");
            assert!(tokens.authenticate(sound.expose_secret()).await.is_ok(), "{damage}");
            let rows = store.list(&Filter::every_token(), Page::first(9)).await.unwrap();
            assert_eq!(rows.len(), 2, "{damage}");

            let count = store.revoke(&Filter::of_id(token.id()), &revocation()).await.unwrap();
            assert_eq!(count, 1, "{damage}");
            let ended = "SELECT revoked_at, seal, revision FROM app_tokens WHERE id = $1";
            let ended = raw.query_one(ended, &[&number]).await.unwrap();
            assert_eq!(ended.get::<_, i64>(0), at(7).as_unix(), "{damage}");
            assert_eq!(ended.get::<_, Option<Vec<u8>>>(1), None, "{damage}");
            let revision = i64::from(!damage.starts_with("revision"));
            assert_eq!(ended.get::<_, i64>(2), revision, "{damage}");
            assert!(tokens.authenticate(token.expose_secret()).await.is_err(), "{damage}");
            store.purge(&Purge::Matching(Filter::of_id(token.id())), 9).await.unwrap();
        }
    });
}

#[test]
fn a_row_with_an_invalid_id_hides_no_other_and_is_revoked() {
    RUNTIME.block_on(async {
        let database = Server::needed().database().await;
        let (store, raw) = (database.store().await, database.raw().await);
        raw.batch_execute(WITHOUT_CHECKS).await.unwrap();
        for number in 1..=4 {
            store.insert(&creation(parts(number))).await.unwrap();
        }
        let change = "UPDATE app_tokens SET id = -9 WHERE id = 1; \
                      UPDATE app_tokens SET id = 1125899906842624 WHERE id = 2";
        raw.batch_execute(change).await.unwrap();
        let rows = store.list(&Filter::every_token(), Page::first(2)).await.unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!(store.revoke(&Filter::every_token(), &revocation()).await.unwrap(), 4);
    });
}

/// In a table of 100,000 rows, no statement about some of them reads all.
#[test]
fn what_the_engine_asks_for_one_owner_or_token_is_found_by_an_index() {
    RUNTIME.block_on(async {
        let database = Server::needed().database().await;
        let (store, raw) = (database.store().await, database.raw().await);
        let fill = format!(
            "INSERT INTO app_tokens (id, digest, owner, label, created_at, expires_at, family, \
             derived_from, revision, key_id, seal, revoked_at, revoked_reason, revoked_by)
             SELECT n, '\\x01', 'owner ' || n / 20, 'label', {0}, {0} + n, n, \
                CASE WHEN n % 50 = 0 THEN n - 1 END, 0, 1 + (n < 100)::int, NULL,
                CASE WHEN n % 3 = 0 THEN {0} END, CASE WHEN n % 3 = 0 THEN 'x' END, \
                CASE WHEN n % 3 = 0 THEN 'owner' END
             FROM generate_series(0, 99999) AS n; ANALYZE app_tokens",
            at(0).as_unix()
        );
        raw.batch_execute(&fill).await.unwrap();
        let mine = Filter::of_owner(&owner("owner 7"));
        let revoked = store.revoke(&mine, &revocation()).await.unwrap();
        assert!(revoked > 10);
        let expiring = Filter {
            expires_from: Some(at(9)),
            expires_before: Some(at(50)),
            ..Filter::every_token()
        };
        for filter in
            [mine, Filter::of_id(id(77)), Filter::of_family(&owner("owner 7"), id(147)), expiring]
        {
            let values = literals(&filter);
            let page = ["-1", "100"].map(String::from);
            let revocation = ["7", "'x'", "'owner'"].map(String::from);
            for (sql, more) in [
                (postgres_sql::LIST, &page[..]),
                (postgres_sql::REVOKE, &revocation[..]),
                (postgres_sql::PURGE_MATCHING, &page[1..]),
            ] {
                assert_by_index(&raw, sql, &[&values[..], more].concat()).await;
            }
        }
        let standing =
            ["1", "'owner 7'", "1", "1", "'label'", "NULL::bigint", "9"].map(String::from);
        assert_by_index(&raw, postgres_sql::INSERT_CONFLICTS, &standing).await;
        assert_by_index(&raw, postgres_sql::FIND, &["1".into()]).await;
        assert_by_index(&raw, postgres_sql::LOCK_ROWS, &["'{1,2,3}'".into()]).await;
        let mut forms = vec!["'{1,2,3}'".to_owned(); 17];
        forms[1] = "'{a,b,c}'".into();
        forms[15] = "'{a,b,c}'".into();
        assert_by_index(&raw, postgres_sql::REPLACE, &forms).await;
        let derived = ["7", "'x'", "'owner'", "'owner 7'", "147", "-1"].map(String::from);
        assert_by_index(&raw, postgres_sql::REVOKE_DERIVED, &derived).await;
        // A part of the table at a time.
        let dead = ["9", "NULL::bigint", "9", "309", "100", "3", "5"].map(String::from);
        assert_by_index(&raw, postgres_sql::LOCK_DEAD, &dead).await;
        let these = ["9", "NULL::bigint", "9", "309", "'{1,2,3}'"].map(String::from);
        assert_by_index(&raw, postgres_sql::PURGE_DEAD, &these).await;
        let uses = ["'{1,2,3}'", "'{1,2,3}'", "'{a,b,c}'", "'{a,b,c}'", "9"].map(String::from);
        assert_by_index(&raw, postgres_sql::TOUCH, &uses).await;
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

/// Returns a filter's values as SQL literals.
fn literals(filter: &Filter) -> Vec<String> {
    let number = |number: Option<i64>| number.map_or("NULL".into(), |number| number.to_string());
    let instant = |at: Option<Timestamp>| number(at.map(Timestamp::as_unix));
    let is = |is: Option<bool>| is.map_or("NULL".into(), |is| is.to_string());
    let one = |id: Option<TokenId>| number(id.map(|id| id.as_u64().cast_signed()));
    vec![
        one(filter.id),
        filter.owner.as_ref().map_or("NULL".into(), |owner| format!("'{owner}'")),
        one(filter.family),
        one(filter.except_family),
        number(filter.key_id.map(|key| key.as_u32().into())),
        "'{}'".into(),
        is(filter.revoked),
        is(filter.superseded),
        instant(filter.expires_before),
        instant(filter.expires_from),
        instant(filter.created_before),
        instant(filter.last_used_before),
    ]
}

/// Checks that the plan for these values scans no whole table.
async fn assert_by_index(raw: &Client, sql: &str, values: &[String]) {
    let mut sql = format!("EXPLAIN {sql}");
    for (number, value) in values.iter().enumerate().rev() {
        sql = sql.replace(&format!("${}", number + 1), value);
    }
    let plan = raw.query(&sql, &[]).await.unwrap();
    let plan: Vec<String> = plan.iter().map(|line| line.get(0)).collect();
    let scans = plan.iter().any(|line| line.contains("Seq Scan on app_tokens"));
    assert!(!scans, "{sql}\n{}", plan.join("\n"));
}
