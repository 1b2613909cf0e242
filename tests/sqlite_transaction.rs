//! `SqliteTransaction`: tokens within a transaction of the host's.

use app_tokens::error::{AuthError, DenialReason};
use app_tokens::store::{
    Certainty, Filter, SqliteOptions, SqliteStore, SqliteStoreError, SqliteTransaction, TableName,
    TokenStore, conformance,
};
use app_tokens::{Access, NewToken, Policy, Reason, TokenAuthority};
use rusqlite::Connection;

#[path = "common/file.rs"]
mod file;

use file::File;
use support::keys::{other_ring, ring};
use support::rows::*;

/// Begins a transaction that is never committed, in a database that has only this table.
async fn transaction_in(table: &str) -> SqliteTransaction<'static> {
    let table: TableName = table.parse().unwrap();
    let connection = Connection::open_in_memory().unwrap();
    for step in SqliteStore::MIGRATIONS {
        connection.execute_batch(&table.in_sql(step)).unwrap();
    }
    let options = SqliteOptions::new().with_table(table);
    SqliteTransaction::begin_with(Box::leak(Box::new(connection)), &options).unwrap()
}

mod contract {
    use super::*;

    conformance::tests!(make = || transaction_in("app_tokens"));
}

mod contract_in_another_table {
    use super::*;

    conformance::tests!(make = || transaction_in("my_app_tokens_1"));
}

/// Makes a file with our tables and one of the host's.
fn file_of_a_host() -> (File, SqliteStore, Connection) {
    let file = File::new();
    let (store, host) = (file.open(), file.raw());
    host.execute_batch("CREATE TABLE users (name TEXT)").unwrap();
    (file, store, host)
}

fn add_user(connection: &Connection) -> rusqlite::Result<usize> {
    connection.execute("INSERT INTO users VALUES ('alice')", [])
}

fn users(connection: &Connection) -> i64 {
    connection.query_row("SELECT count(*) FROM users", [], |row| row.get(0)).unwrap()
}

fn authority<S: TokenStore>(store: S) -> TokenAuthority<S> {
    TokenAuthority::new(store, ring(), Policy::new("acme").unwrap())
}

#[test]
fn a_token_issued_in_a_transaction_is_good_when_it_is_committed_and_not_before() {
    let (_file, store, mut host) = file_of_a_host();
    let transaction = SqliteTransaction::begin(&mut host).unwrap();
    transaction.with(add_user).unwrap();
    let inside = authority(&transaction);
    let issued =
        inside.block_on(inside.issue(NewToken::new("alice", "My phone", Access::full()))).unwrap();
    assert!(inside.block_on(inside.authenticate(issued.expose_secret())).is_ok());
    let outside = authority(store);
    assert!(
        outside.block_on(outside.authenticate(issued.expose_secret())).is_err(),
        "nobody else sees it yet"
    );
    transaction.commit().unwrap();
    assert!(outside.block_on(outside.authenticate(issued.expose_secret())).is_ok());
    assert_eq!(users(&host), 1);
}

#[test]
fn changes_that_are_not_committed_leave_nothing() {
    let (_file, store, mut host) = file_of_a_host();
    insert(&store, parts(1));
    let transaction = SqliteTransaction::begin(&mut host).unwrap();
    transaction.with(add_user).unwrap();
    insert(&transaction, parts(2));
    assert_eq!(wait(transaction.revoke(&Filter::every_token(), &revocation())).unwrap(), 2);
    drop(transaction);
    assert!(host.is_autocommit());
    assert_eq!(users(&host), 0);
    assert_eq!(all(&store), [Some(parts(1))]);
    insert(&store, parts(3));
}

#[test]
fn a_revocation_in_a_transaction_ends_the_token_with_the_hosts_own_change() {
    let (_file, store, mut host) = file_of_a_host();
    add_user(&host).unwrap();
    let tokens = authority(store);
    let issued =
        tokens.block_on(tokens.issue(NewToken::new("alice", "My phone", Access::full()))).unwrap();
    let transaction = SqliteTransaction::begin(&mut host).unwrap();
    transaction.with(|connection| connection.execute("DELETE FROM users", [])).unwrap();
    let by = &operator("closing the account");
    let inside = authority(&transaction);
    inside.block_on(inside.revoke(by, issued.id(), Reason::REQUESTED)).unwrap();
    assert!(tokens.block_on(tokens.authenticate(issued.expose_secret())).is_ok());
    transaction.commit().unwrap();
    match tokens.block_on(tokens.authenticate(issued.expose_secret())) {
        Err(AuthError::Denied(denied)) => assert_eq!(denied.reason(), DenialReason::Revoked),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_hosts_outer_transaction_decides() {
    for (inner, outer, kept) in [(true, "COMMIT", 1), (false, "COMMIT", 0), (true, "ROLLBACK", 0)] {
        let (_file, store, mut host) = file_of_a_host();
        host.execute_batch("BEGIN IMMEDIATE").unwrap();
        add_user(&host).unwrap();
        let transaction = SqliteTransaction::begin(&mut host).unwrap();
        insert(&transaction, parts(1));
        if inner {
            transaction.commit().unwrap();
        } else {
            drop(transaction);
        }
        assert!(!host.is_autocommit(), "the host's own goes on");
        host.execute_batch(outer).unwrap();
        assert_eq!(all(&store).len(), kept);
        assert_eq!(users(&host), i64::from(outer == "COMMIT"));
    }
}

fn with_trigger(name: &str) -> SqliteOptions {
    SqliteOptions::new().with_known_trigger(name)
}

#[test]
fn a_call_that_fails_leaves_the_transaction_as_it_was_before() {
    let (_file, store, mut host) = file_of_a_host();
    insert(&store, parts(1));
    host.execute_batch(
        "CREATE TRIGGER no_third BEFORE INSERT ON app_tokens WHEN NEW.id = 3 \
         BEGIN SELECT RAISE(ABORT, 'not this one'); END",
    )
    .unwrap();
    let transaction = SqliteTransaction::begin_with(&mut host, &with_trigger("no_third")).unwrap();
    insert(&transaction, parts(2));
    // The superseded row is written first.
    let error = wait(transaction.supersede(&superseding(1, 3))).unwrap_err();
    assert_eq!(error.certainty(), Certainty::NotDone);
    assert!(error.to_string().contains("app.db: not this one"), "{error}");
    assert_eq!(found(&transaction, id(1)), Some(parts(1)), "nothing of it is left");
    transaction.commit().unwrap();
    assert_eq!(all(&store).len(), 2);
}

#[test]
fn after_sqlite_rolled_everything_back_every_later_call_fails() {
    let (_file, store, mut host) = file_of_a_host();
    host.execute_batch(
        "CREATE TRIGGER full BEFORE INSERT ON app_tokens WHEN NEW.id = 2 \
         BEGIN SELECT RAISE(ROLLBACK, 'the disk is full'); END",
    )
    .unwrap();
    let transaction = SqliteTransaction::begin_with(&mut host, &with_trigger("full")).unwrap();
    insert(&transaction, parts(1));
    let error = wait(transaction.insert(&creation(parts(2)))).unwrap_err();
    assert_eq!(error.certainty(), Certainty::NotDone);
    assert!(error.to_string().contains("the disk is full"), "{error}");
    for error in [
        wait(transaction.insert(&creation(parts(3)))).unwrap_err(),
        wait(transaction.find(id(1))).unwrap_err(),
        transaction.commit().unwrap_err(),
    ] {
        assert_eq!(error.certainty(), Certainty::NotDone);
        assert!(error.to_string().contains("the transaction is over"), "{error}");
    }
    assert_eq!(all(&store).len(), 0);
}

#[test]
fn a_commit_that_fails_is_rolled_back() {
    let (_file, store, mut host) = file_of_a_host();
    host.execute_batch(
        "PRAGMA foreign_keys = ON; CREATE TABLE teams (id INTEGER PRIMARY KEY);
         CREATE TABLE members (team INTEGER REFERENCES teams DEFERRABLE INITIALLY DEFERRED)",
    )
    .unwrap();
    let transaction = SqliteTransaction::begin(&mut host).unwrap();
    insert(&transaction, parts(1));
    transaction.with(|host| host.execute("INSERT INTO members VALUES (7)", [])).unwrap();
    let error = transaction.commit().unwrap_err();
    assert_eq!(error.certainty(), Certainty::NotDone);
    assert!(error.to_string().contains("FOREIGN KEY"), "{error}");
    assert!(host.is_autocommit());
    assert_eq!(all(&store).len(), 0);
}

#[test]
fn tables_that_are_missing_or_newer_are_refused_and_nothing_stays_open() {
    let mut host = Connection::open_in_memory().unwrap();
    let error = SqliteTransaction::begin(&mut host).unwrap_err();
    assert!(matches!(error, SqliteStoreError::NotMigrated { .. }), "{error}");
    assert!(error.to_string().contains("SqliteStore::MIGRATIONS"), "{error}");
    assert!(host.is_autocommit());
    SqliteStore::MIGRATIONS.iter().for_each(|step| host.execute_batch(step).unwrap());
    host.execute_batch("UPDATE app_tokens_schema SET version = 99").unwrap();
    let error = SqliteTransaction::begin(&mut host).unwrap_err();
    assert!(matches!(error, SqliteStoreError::NewerSchema { found: 99, .. }), "{error}");
    assert!(host.is_autocommit());
}

#[test]
fn tables_of_the_default_name_do_not_stand_in_for_another_name() {
    let (_file, _store, mut host) = file_of_a_host();
    let mut refusal = |table: &str| {
        let options = SqliteOptions::new().with_table(table.parse().unwrap());
        SqliteTransaction::begin_with(&mut host, &options).unwrap_err()
    };
    let error = refusal("tokens");
    assert!(matches!(error, SqliteStoreError::NotMigrated { .. }), "{error}");
    assert!(error.to_string().contains("the tables tokens in "), "{error}");
    assert!(matches!(refusal("main.app_tokens"), SqliteStoreError::HasSchema(_)));
    assert!(host.is_autocommit());
}

#[test]
fn a_file_locked_by_another_writer_is_refused_with_that_reason() {
    let (file, _store, mut host) = file_of_a_host();
    let other = file.raw();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    host.busy_timeout(std::time::Duration::ZERO).unwrap();
    let error = SqliteTransaction::begin(&mut host).unwrap_err();
    assert!(matches!(error, SqliteStoreError::Locked(_)), "{error}");
    drop(other);
    insert(&SqliteTransaction::begin(&mut host).unwrap(), parts(1));
}

#[test]
fn a_store_accepts_tables_made_by_the_hosts_own_migration() {
    let file = File::new();
    for table in ["app_tokens", "tokens"] {
        let table: TableName = table.parse().unwrap();
        for step in SqliteStore::MIGRATIONS {
            file.raw().execute_batch(&table.in_sql(step)).unwrap();
        }
        let options = SqliteOptions::new().with_table(table);
        insert(&SqliteStore::open_with(file.path(), &options).unwrap(), parts(1));
    }
}

/// A ring that lacks a living row's key issues nothing. A revocation of that row counts only once
/// it is committed.
#[test]
fn a_revocation_that_was_rolled_back_hides_no_missing_key() {
    let (_file, store, mut host) = file_of_a_host();
    let before = authority(store.clone());
    drop(before.block_on(before.issue(NewToken::new("alice", "Old", Access::full()))).unwrap());
    let ring = other_ring();
    let tokens = TokenAuthority::new(store, ring, Policy::new("acme").unwrap());
    let transaction = SqliteTransaction::begin(&mut host).unwrap();
    let inside = tokens.in_transaction(&transaction);
    let (by, all) = (&operator("x"), Filter::every_token());
    inside.block_on(inside.revoke_matching(by, &all, Reason::REQUESTED)).unwrap();
    drop(inside.block_on(inside.issue(NewToken::new("alice", "New", Access::full()))).unwrap());
    drop(inside.into_events());
    drop(transaction);
    tokens.block_on(tokens.issue(NewToken::new("alice", "New", Access::full()))).unwrap_err();
}

/// The second part doesn't know what the first one revoked in the same transaction.
#[test]
fn a_revocation_by_another_store_in_the_same_transaction_hides_no_missing_key() {
    let (_file, store, mut host) = file_of_a_host();
    let before = authority(store.clone());
    drop(before.block_on(before.issue(NewToken::new("alice", "Old", Access::full()))).unwrap());
    let ring = other_ring();
    let tokens = TokenAuthority::new(store, ring, Policy::new("acme").unwrap());
    let transaction = SqliteTransaction::begin(&mut host).unwrap();
    let first = tokens.in_transaction(&transaction);
    let (by, all) = (&operator("x"), Filter::every_token());
    first.block_on(first.revoke_matching(by, &all, Reason::REQUESTED)).unwrap();
    let second = tokens.in_transaction(&transaction);
    drop(second.block_on(second.issue(NewToken::new("alice", "New", Access::full()))).unwrap());
    drop((first, second));
    drop(transaction);
    tokens.block_on(tokens.issue(NewToken::new("alice", "New", Access::full()))).unwrap_err();
}
