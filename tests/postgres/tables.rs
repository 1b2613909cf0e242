//! Making the tables, and refusing those that are not ours.

use app_tokens::store::{PostgresStore, PostgresStoreError, TableName, TokenStore, postgres_sql};

use support::chance::*;
use support::postgres::{Database, RUNTIME, Server, connect, pool_to};

async fn refusal(database: &Database<'_>) -> PostgresStoreError {
    PostgresStore::new(database.pool()).migrate().await.unwrap_err()
}

#[test]
fn many_hosts_make_the_tables_at_once_and_again() {
    RUNTIME.block_on(async {
        for _ in 0..5 {
            let database = Server::needed().database().await;
            let hosts: Vec<_> = (0..6)
                .map(|_| {
                    let store = PostgresStore::new(database.pool());
                    tokio::spawn(async move { store.migrate().await })
                })
                .collect();
            for host in hosts {
                host.await.unwrap().unwrap();
            }
            let store = database.store().await;
            store.insert(&creation(parts(1))).await.unwrap();
            store.migrate().await.unwrap();
            assert!(store.find(id(1)).await.unwrap().is_some());
        }
    });
}

#[test]
fn the_hosts_own_migration_makes_the_same_tables() {
    RUNTIME.block_on(async {
        let database = Server::needed().database().await;
        let store = PostgresStore::new(database.pool());
        assert_eq!(store.schema(), postgres_sql::SCHEMA);
        database.raw().await.batch_execute(&store.schema()).await.unwrap();
        // A role with no more rights than it needs accepts them.
        let name = format!("app_{}", database.name);
        let grant = format!(
            "CREATE ROLE {name} LOGIN; GRANT SELECT, INSERT, UPDATE, DELETE ON app_tokens, \
             app_tokens_owners, app_tokens_keys TO {name}; \
             GRANT SELECT ON app_tokens_schema TO {name}"
        );
        database.raw().await.batch_execute(&grant).await.unwrap();
        let mut config = database.config();
        config.user(&name);
        let store = PostgresStore::new(pool_to(config));
        store.migrate().await.unwrap();
        let limited = app_tokens::store::Insert { limit: Some(1), ..creation(parts(1)) };
        store.insert(&limited).await.unwrap();
        store.revoke(&app_tokens::store::Filter::of_id(id(1)), &revocation()).await.unwrap();
    });
}

#[test]
fn a_role_without_the_right_to_make_tables_says_so() {
    RUNTIME.block_on(async {
        let database = Server::needed().database().await;
        let name = format!("nobody_{}", database.name);
        database.raw().await.batch_execute(&format!("CREATE ROLE {name} LOGIN")).await.unwrap();
        let mut config = database.config();
        config.user(&name);
        let error = PostgresStore::new(pool_to(config)).migrate().await.unwrap_err();
        assert!(matches!(error, PostgresStoreError::NotAllowed(_)), "{error}");
    });
}

#[test]
fn stores_in_other_tables_and_schemas_do_not_see_each_other() {
    RUNTIME.block_on(async {
        let database = Server::needed().database().await;
        database.raw().await.batch_execute("CREATE SCHEMA auth").await.unwrap();
        let longest = "x".repeat(48);
        let names = ["app_tokens", "auth.app_tokens", "auth.tokens", "tokens", &longest];
        let mut stores = Vec::new();
        for name in names {
            let table: TableName = name.parse().unwrap();
            let store = PostgresStore::new(database.pool()).with_table(table);
            store.migrate().await.unwrap();
            store.migrate().await.unwrap();
            stores.push(store);
        }
        for (number, store) in (1..).zip(&stores) {
            store.insert(&creation(parts(number))).await.unwrap();
        }
        for (number, store) in (1..).zip(&stores) {
            for other in 1..=5 {
                let there = store.find(id(other)).await.unwrap().is_some();
                assert_eq!(there, number == other);
            }
        }
        // No name was cut off: each is the table's, with an ending.
        let names = "SELECT count(*), max(length(relname)) FROM pg_class \
                     WHERE relname LIKE 'xxxx%' AND relname NOT LIKE '%\\_pkey'";
        let names = database.raw().await.query_one(names, &[]).await.unwrap();
        assert_eq!((names.get::<_, i64>(0), names.get::<_, i32>(1)), (4 + 4, 48 + 10));
    });
}

#[test]
fn a_missing_schema_is_named() {
    RUNTIME.block_on(async {
        let database = Server::needed().database().await;
        let store = PostgresStore::new(database.pool()).with_table("auth.tokens".parse().unwrap());
        let error = store.migrate().await.unwrap_err();
        assert!(matches!(error, PostgresStoreError::NoSchema(_)), "{error}");
        assert_eq!(
            error.to_string(),
            "the schema of the table auth.tokens does not exist; create it first"
        );
    });
}

#[test]
fn a_newer_schema_is_refused_and_left_alone() {
    RUNTIME.block_on(async {
        let database = Server::needed().database().await;
        drop(database.store().await);
        let raw = database.raw().await;
        raw.batch_execute("UPDATE app_tokens_schema SET version = 2").await.unwrap();
        let error = refusal(&database).await;
        let newer = matches!(error, PostgresStoreError::NewerSchema { found: 2, known: 1, .. });
        assert!(newer, "{error}");
        raw.batch_execute("UPDATE app_tokens_schema SET version = 1").await.unwrap();
        PostgresStore::new(database.pool()).migrate().await.unwrap();
    });
}

#[test]
fn a_foreign_table_is_refused_and_left_alone() {
    RUNTIME.block_on(async {
        let make = "CREATE TABLE app_tokens (id bigint); \
                    CREATE TABLE app_tokens_owners (owner text); \
                    CREATE TABLE app_tokens_keys (key_id bigint);";
        for theirs in [
            "CREATE TABLE app_tokens (id bigint PRIMARY KEY, token text)".into(),
            "CREATE VIEW app_tokens AS SELECT 1 AS id".into(),
            "CREATE TABLE app_tokens_schema (version bigint)".into(),
            format!("{make} CREATE TABLE app_tokens_schema (version bigint)"),
            format!(
                "{make} CREATE TABLE app_tokens_schema (version text); \
                 INSERT INTO app_tokens_schema VALUES ('x')"
            ),
            format!("{make} CREATE TABLE app_tokens_schema (name text)"),
            format!(
                "{make} CREATE TABLE app_tokens_schema (version bigint); \
                 INSERT INTO app_tokens_schema VALUES (1)"
            ),
            format!(
                "{make} CREATE TABLE app_tokens_schema (version bigint); \
                 INSERT INTO app_tokens_schema VALUES (0)"
            ),
        ] {
            let database = Server::needed().database().await;
            let raw = database.raw().await;
            raw.batch_execute(&theirs).await.unwrap();
            let tables = "SELECT string_agg(relname::text || relkind::text, ' ' ORDER BY relname) \
                          FROM pg_class WHERE relnamespace = 'public'::regnamespace";
            let before: String = raw.query_one(tables, &[]).await.unwrap().get(0);
            let error = refusal(&database).await;
            assert!(matches!(error, PostgresStoreError::ForeignTable(_)), "{theirs}: {error}");
            let after: String = raw.query_one(tables, &[]).await.unwrap().get(0);
            assert_eq!(before, after);
        }
    });
}

#[test]
fn a_database_with_an_encoding_other_than_utf8_is_refused() {
    RUNTIME.block_on(async {
        let server = Server::needed();
        let admin = connect(&server.config("postgres")).await;
        for (name, encoding) in [("ascii", "SQL_ASCII"), ("latin1", "LATIN1")] {
            let create = format!(
                "CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"
            );
            admin.batch_execute(&create).await.unwrap();
            let database = Database { server, name: name.into() };
            let error = refusal(&database).await;
            assert!(
                matches!(&error, PostgresStoreError::NotUtf8(found) if found == encoding),
                "{error}"
            );
        }
    });
}
