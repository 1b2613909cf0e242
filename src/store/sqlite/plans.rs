//! Tests how SQLite plans each statement that the engine sends.
//!
//! No statement may scan the whole table if an index can serve it. This must hold in a new
//! database, after the host has run `ANALYZE` on many rows, and in a table of another name.

use rusqlite::fallible_streaming_iterator::FallibleStreamingIterator as _;
use rusqlite::{Connection, StatementStatus, params_from_iter};

use super::open::open_memory;
use super::options::SqliteOptions;
use super::query::*;
use super::sql::*;
use crate::key::KeyId;
use crate::record::{Actor, Revocation};
use crate::store::{Filter, Page, Purge, PurgeCutoff, TableName};
use crate::text::{Owner, Reason};
use crate::timestamp::Timestamp;
use crate::token::TokenId;

/// Inserts 20,000 rows under one key, ten for each owner. Every fourth is revoked, and every
/// fiftieth is derived.
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
        let options = SqliteOptions::new().with_table(table.clone());
        let connection = open_memory(&options).unwrap();
        connection.execute_batch(&table.in_sql(fill)).unwrap();
        Database { state, connection, table }
    }

    /// Returns the lines of a plan that read rows of the table, with its name as `app_tokens`.
    fn looks_at_rows(&self, sql: &str) -> Vec<String> {
        let plan = format!("EXPLAIN QUERY PLAN {}", self.table.in_sql(sql));
        let mut statement = self.connection.prepare(&plan).unwrap();
        let lines = statement.raw_query().mapped(|row| row.get::<_, String>(3));
        let lines = lines.map(|line| line.unwrap().replace(self.table.as_str(), "app_tokens"));
        let is_look = |line: &String| {
            let name = line.split_whitespace().nth(1).unwrap_or_default();
            let looks = line.starts_with("SCAN") || line.starts_with("SEARCH");
            looks && ["app_tokens", "dead", "other"].contains(&name)
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

    /// Fails unless rows are only read by a search in one of these indexes, or by id. Each index
    /// must be used.
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

/// Returns the filters that the engine lists, revokes and deletes by, each with its index.
fn filters() -> Vec<(&'static str, Filter, &'static [&'static str])> {
    let (alice, id) = (Owner::new("alice").unwrap(), TokenId::MAX);
    let of_alice = || Filter::of_owner(&alice);
    let owner: &[&str] = &["app_tokens_of_owner (owner=?"];
    let family: &[&str] = &["app_tokens_of_family (family=?"];
    let expiry: &[&str] = &["app_tokens_by_expiry (expires_at>? AND expires_at<?)"];
    vec![
        ("one token", Filter::of_id(id), &[]),
        ("one token of an owner", Filter { id: Some(id), ..of_alice() }, &[]),
        ("an owner", of_alice(), owner),
        ("an owner's unrevoked", Filter { revoked: Some(false), ..of_alice() }, owner),
        ("an owner's others", Filter { except_family: Some(id), ..of_alice() }, owner),
        (
            "an owner's current",
            Filter {
                revoked: Some(false),
                superseded: Some(false),
                expires_from: Some(at(1)),
                ..of_alice()
            },
            owner,
        ),
        (
            "a family's overlapping",
            Filter {
                revoked: Some(false),
                superseded: Some(true),
                expires_from: Some(at(1)),
                ..Filter::of_family(&alice, id)
            },
            family,
        ),
        ("an owner's unused", Filter { last_used_before: Some(at(9)), ..of_alice() }, owner),
        ("a family", Filter { revoked: Some(false), ..Filter::of_family(&alice, id) }, family),
        ("a family of anyone's", Filter { family: Some(id), ..Filter::every_token() }, family),
        (
            "expiring",
            Filter {
                superseded: Some(false),
                expires_from: Some(at(1)),
                expires_before: Some(at(9)),
                ..unrevoked()
            },
            expiry,
        ),
    ]
}

/// Returns filters that no index serves.
fn walked() -> Vec<Filter> {
    vec![
        Filter::every_token(),
        unrevoked(),
        Filter { created_before: Some(at(9)), ..Filter::every_token() },
        Filter { last_used_before: Some(at(9)), ..unrevoked() },
        Filter { key_id: Some(key(1)), ..unrevoked() },
        Filter { except_key_ids: vec![key(1), key(7)], ..unrevoked() },
    ]
}

/// A step in the middle of a walk.
const STEP: Step = Step { after: 7, until: Some(70) };

#[test]
fn a_list_is_searched_by_an_index() {
    let databases = Databases::new();
    let page = Page::first(500);
    for (what, filter, indexes) in filters() {
        let list = match candidates(&filter) {
            Some(candidates) => {
                databases.assert_searches(what, &candidates.count(), indexes);
                list_among(&filter, page, candidates)
            }
            None => list_query(&filter, page, Step::WHOLE),
        };
        databases.assert_searches(what, &list.sql, indexes);
    }
}

/// Such filters match nearly every row, or are used only by a host or a daily purge.
#[test]
fn what_no_index_serves_is_walked_in_steps() {
    let page = Page::first(500);
    let lists = walked().into_iter().map(|filter| list_query(&filter, page, STEP).sql);
    let purges = walked().into_iter().map(|filter| purge_query(&Purge::Matching(filter), STEP).sql);
    for sql in lists.chain(purges).chain([keys_of_rows_query(STEP).sql]) {
        for database in &Databases::new().0 {
            let walk = "SEARCH app_tokens USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)";
            assert_eq!(database.looks_at_rows(&sql), [walk], "{}: {sql}", database.state);
        }
    }
}

/// The plan of a step is the same whichever of two upper limits of the id it ends at. If it ends at
/// the wrong one, each step reads the rest of the table, and a walk reads it thousands of times.
#[test]
fn a_step_reads_no_row_beyond_its_end() {
    let page = Page::first(500);
    let nothing_matches = Filter { created_before: Some(at(0)), ..Filter::every_token() };
    let dead = PurgeCutoff { ended_by: at(0), unused_since: None, now: at(2) };
    for query in [
        list_query(&nothing_matches, page, STEP),
        purge_query(&Purge::Matching(nothing_matches), STEP),
        purge_query(&Purge::Dead(dead), STEP),
        keys_of_rows_query(STEP),
    ] {
        for database in &Databases::new().0 {
            let sql = database.table.in_sql(&query.sql);
            let mut statement = database.connection.prepare(&sql).unwrap();
            let rows = statement.query(params_from_iter(&query.values)).unwrap().count().unwrap();
            let steps = statement.get_status(StatementStatus::VmStep);
            assert!(rows <= 1 && steps < 1000, "{}: {steps} for nine rows: {sql}", database.state);
        }
    }
}

#[test]
fn a_revocation_is_searched_by_an_index() {
    let databases = Databases::new();
    let revocation = Revocation { at: at(1), reason: Reason::LEAKED, by: Actor::Engine };
    for (what, filter, indexes) in filters() {
        let matching = revoke_query(&filter, &revocation);
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
        databases.assert_searches(what, &purge_matching_query(&filter, 9).sql, indexes);
    }
    for unused_since in [None, Some(at(1))] {
        let dead = PurgeCutoff { ended_by: at(1), unused_since, now: at(2) };
        let sql = purge_query(&Purge::Dead(dead), STEP).sql;
        let indexes = ["app_tokens_of_family (family=?", "app_tokens_derived (derived_from=?"];
        let step = "(rowid>? AND rowid<?)";
        for database in &databases.0 {
            let looks = database.looks_at_rows(&sql);
            let is_right = |look: &String| {
                look.contains("PRIMARY KEY (rowid=?)")
                    || look.contains(step)
                    || indexes.iter().any(|index| look.contains(index))
            };
            assert!(looks.len() == 4 && looks.iter().all(is_right), "{looks:?}");
        }
    }
}

#[test]
fn every_other_statement_is_searched_by_id_or_by_owner() {
    let databases = Databases::new();
    let by_id = [ID_TAKEN, REPLACE, REPLACE_WITH_EXPIRY, FIND, REVOKE_ONE, TOUCH, DELETE];
    for sql in by_id {
        databases.assert_searches("by id", sql, &[]);
    }
    for (sql, index) in [
        (LIVE_OF_OTHER_FAMILIES, "app_tokens_of_owner (owner=?"),
        (LABEL_TAKEN, "app_tokens_of_owner (owner=?"),
        (REVOKE_DERIVED, "app_tokens_derived (derived_from=?"),
    ] {
        databases.assert_searches("by owner", sql, &[index]);
    }
}

#[test]
fn a_table_has_at_most_four_indexes() {
    let count = "SELECT count(*) FROM sqlite_master WHERE type = 'index'";
    for database in &Databases::new().0 {
        let count: i64 = database.connection.query_row(count, [], |row| row.get(0)).unwrap();
        assert_eq!(count, 4);
    }
}
