//! How SQLite runs each statement that the engine sends: nothing walks through the whole
//! table where an index can serve, neither in a new database nor after the host has run `ANALYZE`
//! on many rows, nor in a table of another name.

use rusqlite::Connection;

use super::open::open_memory;
use super::query::*;
use super::sql::*;
use crate::key::KeyId;
use crate::record::{Actor, Revocation};
use crate::store::{Filter, Page, Purge, PurgeCutoff, TableName};
use crate::text::{Owner, Reason};
use crate::timestamp::Timestamp;
use crate::token::TokenId;

/// 20,000 rows: one key seals them all, ten belong to each owner, every fourth is revoked, every
/// fiftieth derived.
const FILL: &str = "
    WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 20000)
    INSERT INTO app_tokens (
        id, digest, owner, label, created_at, expires_at, family, derived_from, revision, key_id,
        revoked_at, revoked_reason, revoked_by
    )
    SELECT n * 7, x'01', 'owner ' || (n / 10), 'label ' || n, n, n + 1000000, n * 7,
        iif(n % 50 = 0, n * 7 - 7, NULL), 0, 1,
        iif(n % 4 = 0, n, NULL), iif(n % 4 = 0, 'leaked', NULL), iif(n % 4 = 0, 'owner', NULL)
    FROM numbers;
    ANALYZE;";

struct Database {
    state: &'static str,
    connection: Connection,
    table: TableName,
}

impl Database {
    fn new(state: &'static str, table: &str, fill: &str) -> Database {
        let table = TableName::new(table).unwrap();
        let connection = open_memory(&table).unwrap();
        connection.execute_batch(&table.in_sql(fill)).unwrap();
        Database { state, connection, table }
    }

    /// The lines of a plan that look at rows of the table, which is called by its first name.
    fn looks_at_rows(&self, sql: &str) -> Vec<String> {
        let plan = format!("EXPLAIN QUERY PLAN {}", self.table.in_sql(sql));
        let mut statement = self.connection.prepare(&plan).unwrap();
        let lines = statement.raw_query().mapped(|row| row.get::<_, String>(3));
        let lines = lines.map(|line| line.unwrap().replace(self.table.as_str(), "app_tokens"));
        let is_look = |line: &String| {
            let name = line.split_whitespace().nth(1).unwrap_or_default();
            let looks = line.starts_with("SCAN") || line.starts_with("SEARCH");
            looks && (name == "app_tokens" || name == "other")
        };
        lines.filter(is_look).collect()
    }
}

struct Databases([Database; 3]);

impl Databases {
    fn new() -> Databases {
        Databases([
            Database::new("new", "app_tokens", ""),
            Database::new("analyzed", "app_tokens", FILL),
            Database::new("of another name", "my_tokens", FILL),
        ])
    }

    /// Each look at rows must be a search by one of these: the ids themselves are always allowed.
    #[track_caller]
    fn assert_searches(&self, what: &str, sql: &str, indexes: &[&str]) {
        for database in &self.0 {
            let (state, looks) = (database.state, database.looks_at_rows(sql));
            assert!(!looks.is_empty(), "{what} looks at no row: {sql}");
            for look in &looks {
                let by_id = look.contains("USING INTEGER PRIMARY KEY (rowid=?)");
                let by_index = indexes.iter().any(|index| look.contains(index));
                assert!(
                    look.starts_with("SEARCH") && (by_id || by_index),
                    "{what}, in a database that is {state}: {look}\n{sql}"
                );
            }
            for index in indexes {
                let is_used = looks.iter().any(|look| look.contains(index));
                assert!(
                    is_used,
                    "{what}, in a database that is {state}, without {index}: {looks:?}"
                );
            }
        }
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix(seconds).unwrap()
}

fn key(number: u32) -> KeyId {
    KeyId::new(number).unwrap()
}

fn unrevoked() -> Filter {
    Filter { revoked: Some(false), ..Filter::every_token() }
}

/// The filters that the engine lists, revokes and deletes by, and by which index.
fn filters() -> Vec<(&'static str, Filter, &'static [&'static str])> {
    let (alice, id) = (Owner::new("alice").unwrap(), TokenId::MAX);
    let of_alice = || Filter::of_owner(&alice);
    let owner: &[&str] = &["app_tokens_of_owner (owner=?"];
    let family: &[&str] = &["app_tokens_of_family (family=?"];
    vec![
        ("one token", Filter::of_id(id), &[]),
        ("one token of an owner", Filter { id: Some(id), ..of_alice() }, &[]),
        ("an owner", of_alice(), owner),
        ("an owner's unrevoked", Filter { revoked: Some(false), ..of_alice() }, owner),
        ("an owner's others", Filter { except_family: Some(id), ..of_alice() }, owner),
        ("an owner's unused", Filter { last_used_before: Some(at(9)), ..of_alice() }, owner),
        ("a family", Filter { revoked: Some(false), ..Filter::of_family(&alice, id) }, family),
        (
            "unused",
            Filter { last_used_before: Some(at(9)), ..unrevoked() },
            &["app_tokens_by_last_use (<expr><?)"],
        ),
        (
            "expiring",
            Filter {
                superseded: Some(false),
                expires_from: Some(at(1)),
                expires_before: Some(at(9)),
                ..unrevoked()
            },
            &["app_tokens_by_expiry (expires_at>? AND expires_at<?)"],
        ),
    ]
}

/// Of these lists there are few rows, or many. See [`FEW`].
fn lists_by_key() -> Vec<(&'static str, Filter, &'static [&'static str])> {
    let except = |except_key_ids| Filter { except_key_ids, ..unrevoked() };
    vec![
        (
            "under a key",
            Filter { key_id: Some(key(1)), ..unrevoked() },
            &["app_tokens_under_key (key_id=?"],
        ),
        (
            "under other keys than one",
            except(vec![key(1)]),
            &["app_tokens_under_key (key_id<?)", "app_tokens_under_key (key_id>?)"],
        ),
        (
            "under other keys than three",
            except(vec![key(7), key(1), key(7), key(3)]),
            &[
                "app_tokens_under_key (key_id<?)",
                "app_tokens_under_key (key_id>? AND key_id<?)",
                "app_tokens_under_key (key_id>?)",
            ],
        ),
    ]
}

#[test]
fn a_list_is_searched_by_an_index() {
    let databases = Databases::new();
    for (what, filter, indexes) in filters().into_iter().chain(lists_by_key()) {
        let list = list_query(&filter, Page::first(500), candidates(&filter));
        databases.assert_searches(what, &list.sql, indexes);
        if let Some(candidates) = candidates(&filter) {
            databases.assert_searches(what, &candidates.count(), indexes);
        }
    }
}

/// These list every row or nearly, or are asked by nobody but a host: each page walks on in order
/// of id from where the last one ended.
#[test]
fn what_no_index_serves_is_walked_once() {
    let many = |filter: Filter| list_query(&filter, Page::first(500), None).sql;
    for sql in [
        many(Filter::every_token()),
        many(unrevoked()),
        many(Filter { created_before: Some(at(9)), ..Filter::every_token() }),
        many(Filter { except_key_ids: vec![key(1)], ..unrevoked() }),
    ] {
        for database in &Databases::new().0 {
            let walk = "SEARCH app_tokens USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)";
            assert_eq!(database.looks_at_rows(&sql), [walk], "{}: {sql}", database.state);
        }
    }
}

#[test]
fn a_revocation_is_searched_by_an_index() {
    let databases = Databases::new();
    let revocation = Revocation { at: at(1), reason: Reason::LEAKED, by: Actor::Engine };
    for (what, filter, indexes) in filters() {
        let matching = revoke_query(REVOKE, &filter, &revocation);
        databases.assert_searches(what, &matching.sql, indexes);
        let derived = revoke_derived_query(&filter, &revocation);
        let with_derived: Vec<&str> =
            indexes.iter().copied().chain(["app_tokens_derived (derived_from=?"]).collect();
        databases.assert_searches(what, &derived.sql, &with_derived);
    }
}

#[test]
fn a_deletion_is_searched_by_an_index() {
    let databases = Databases::new();
    for (what, filter, indexes) in filters() {
        databases.assert_searches(what, &purge_query(&Purge::Matching(filter), 9).sql, indexes);
    }
    for unused_since in [None, Some(at(1))] {
        let dead = PurgeCutoff { ended_by: at(1), unused_since, now: at(2) };
        let indexes = [
            "app_tokens_by_revocation (revoked_at<?)",
            "app_tokens_by_expiry (expires_at<?)",
            "app_tokens_by_last_use (<expr><?)",
            "app_tokens_of_family (family=?",
            "app_tokens_derived (derived_from=? AND owner=?)",
        ];
        databases.assert_searches("the dead", &purge_query(&Purge::Dead(dead), 9).sql, &indexes);
    }
}

#[test]
fn every_other_statement_is_searched_by_id_or_by_owner() {
    let databases = Databases::new();
    for sql in
        [ID_TAKEN, CURRENT, CURRENT_OF_OWNER, CURRENT_AND_UNUSED, REPLACE, FIND, REVOKE_ONE, TOUCH]
    {
        databases.assert_searches("by id", sql, &[]);
    }
    for (sql, index) in [
        (LIVE_OF_OTHER_FAMILIES, "app_tokens_live (owner=?"),
        (LABEL_TAKEN, "app_tokens_live (owner=? AND label=?)"),
        (REVOKE_DERIVED, "app_tokens_derived (derived_from=?"),
    ] {
        databases.assert_searches("by owner", sql, &[index]);
    }
}
