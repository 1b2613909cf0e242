//! [`Query`]: a statement for one filter, joined from the parts in `sql.rs`.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Params, params_from_iter};

use super::binding::read_row;
use super::error::no_key;
use super::sql::*;
use super::statements::Statements;
use crate::key::KeyId;
use crate::record::{CLOCK_TOLERANCE, Revocation};
use crate::store::columns::number;
use crate::store::{Filter, FilterColumns, Page, Purge, PurgeCutoff, Row, TableName};
use crate::timestamp::Timestamp;
use crate::token::TokenId;

/// A statement, and the values that are bound to it.
///
/// The text is joined from constants only: what a host or a user wrote is always bound. `add` takes
/// a `&'static str` so that nothing else compiles.
pub(super) struct Query {
    pub(super) sql: String,
    pub(super) values: Vec<Value>,
}

/// The most candidates that a page of a list looks up one by one and sorts. If there are more, they
/// are so frequent in the table that a walk in order of id soon fills the page.
const FEW: i64 = 2000;
/// How many rows one step of a walk reads: a few milliseconds, after which another call may run.
const STEP_ROWS: i64 = 4096;
/// Begins a walk: every id is greater.
const BEFORE_ALL: i64 = -1;

impl Query {
    fn new(sql: &'static str) -> Query {
        Query { sql: sql.into(), values: Vec::new() }
    }

    /// Adds a part, and the values of its parameters in their order.
    fn add(&mut self, sql: &'static str, values: impl IntoIterator<Item = Value>) {
        self.sql.push_str(sql);
        self.values.extend(values);
    }

    /// Adds a condition that selects what [`Filter::matches`] does.
    fn add_filter(&mut self, filter: &Filter) {
        let FilterColumns {
            id,
            owner,
            family,
            except_family,
            key_id,
            except_key_ids,
            revoked,
            superseded,
            expires_before,
            expires_from,
            created_before,
            last_used_before,
        } = FilterColumns::of(filter);
        // Only the facts that are given become conditions. One statement for all filters, with
        // `?1 IS NULL OR …`, would keep SQLite from choosing an index.
        self.add_condition(WITH_ID, id.map(Value::from));
        let of_owner = if family.is_some() { AND_OF_OWNER } else { OF_OWNER };
        self.add_condition(of_owner, owner.map(|owner| Value::Text(owner.into())));
        if let Some(family) = family {
            self.add(OF_FAMILY, [family; 3].map(Value::from));
        }
        self.add_exception(except_family);
        self.add_condition(UNDER_KEY, key_id.map(Value::from));
        if let [first, others @ ..] = &except_key_ids[..] {
            self.add(UNDER_OTHER_KEYS, [Value::from(*first)]);
            others.iter().for_each(|other| self.add(AND_OTHER, [Value::from(*other)]));
            self.add(OTHERS_END, []);
        }
        if let Some(revoked) = revoked {
            self.add(if revoked { REVOKED } else { UNREVOKED }, []);
        }
        if let Some(superseded) = superseded {
            self.add(if superseded { SUPERSEDED } else { UNSUPERSEDED }, []);
        }
        self.add_condition(EXPIRES_BEFORE, expires_before.map(Value::from));
        self.add_condition(EXPIRES_FROM, expires_from.map(Value::from));
        self.add_condition(CREATED_BEFORE, created_before.map(Value::from));
        self.add_condition(LAST_USED_BEFORE, last_used_before.map(Value::from));
    }

    /// Adds a condition if there is a value for it.
    fn add_condition(&mut self, sql: &'static str, value: Option<Value>) {
        if value.is_some() {
            self.add(sql, value);
        }
    }

    /// Leaves out a family, and what was issued under it.
    fn add_exception(&mut self, family: Option<i64>) {
        if let Some(family) = family {
            self.add(WITHOUT_FAMILY, [family, family].map(Value::from));
        }
    }

    /// Keeps to the rows of one step.
    fn add_step(&mut self, step: Step) {
        self.add(AFTER_ID, [Value::Integer(step.after)]);
        self.add_condition(UP_TO_ID, step.until.map(Value::from));
    }

    /// Appends a query as a part of this one.
    fn append(&mut self, other: Query) {
        self.sql.push_str(&other.sql);
        self.values.extend(other.values);
    }

    /// Returns whether it selects at most [`FEW`] rows. It counts no further than one more.
    fn are_few(&self, connection: &Connection, table: &TableName) -> rusqlite::Result<bool> {
        let one_more = Value::Integer(FEW + 1);
        let values = params_from_iter(self.values.iter().chain([&one_more]));
        let count = self.count();
        let count = table.in_sql(&count);
        connection.query_row(&count, values, |row| Ok(row.get::<_, i64>(0)? <= FEW))
    }

    /// Returns the SQL that counts its rows, up to a limit that is bound last.
    pub(super) fn count(&self) -> String {
        format!("{COUNT}{}{COUNT_END}", self.sql)
    }

    /// Runs a change, and returns how many rows it changed.
    pub(super) fn execute(&self, statements: &Statements<'_>) -> rusqlite::Result<u64> {
        let changed = statements.execute_once(&self.sql, params_from_iter(&self.values))?;
        Ok(changed as u64)
    }

    /// Runs a query, and hands its rows to a function one by one.
    fn read<T>(
        &self,
        connection: &Connection,
        table: &TableName,
        read: impl FnOnce(&mut dyn Iterator<Item = rusqlite::Result<Row>>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let mut statement = connection.prepare(&table.in_sql(&self.sql))?;
        read(&mut statement.query_and_then(params_from_iter(&self.values), read_row)?)
    }
}

/// A part of a walk through the table: the rows after one id, up to another one or to the end.
#[derive(Clone, Copy)]
pub(super) struct Step {
    pub(super) after: i64,
    pub(super) until: Option<i64>,
}

impl Step {
    /// The whole table in one step.
    pub(super) const WHOLE: Step = Step { after: BEFORE_ALL, until: None };

    /// Returns the step of the next [`STEP_ROWS`] rows after an id.
    pub(super) fn next(
        connection: &Connection,
        table: &TableName,
        after: i64,
    ) -> rusqlite::Result<Step> {
        let mut statement = connection.prepare(&table.in_sql(LAST_OF_STEP))?;
        let until = statement.query_row([after, STEP_ROWS], |row| row.get(0)).optional()?;
        Ok(Step { after, until })
    }
}

/// Returns whether an index serves a filter, so that no walk is needed.
pub(super) fn is_indexed(filter: &Filter) -> bool {
    filter.id.is_some() || filter.owner.is_some() || filter.family.is_some()
}

/// Reads a page of the rows that a filter matches, without steps.
pub(super) fn list_rows(
    connection: &Connection,
    table: &TableName,
    filter: &Filter,
    page: Page,
) -> rusqlite::Result<Vec<Row>> {
    let list = match few_candidates(connection, table, filter)? {
        Some(few) => list_among(filter, page, few),
        None => list_query(filter, page, Step { after: after(page), until: None }),
    };
    list.read(connection, table, |rows| rows.collect())
}

/// The result of one step of a list that walks through the table.
pub(super) struct Turn {
    pub(super) rows: Vec<Row>,
    /// The id after which the next step begins; `None` at the end of the list.
    pub(super) next: Option<i64>,
}

/// Reads the rows that a filter matches in one step of the walk.
pub(super) fn list_step(
    connection: &Connection,
    table: &TableName,
    filter: &Filter,
    page: Page,
) -> rusqlite::Result<Turn> {
    // Counted again in each step. A full page ends the list, so there is rarely a second step.
    if let Some(few) = few_candidates(connection, table, filter)? {
        let rows = list_among(filter, page, few).read(connection, table, |rows| rows.collect())?;
        return Ok(Turn { rows, next: None });
    }
    let step = Step::next(connection, table, after(page))?;
    let rows = list_query(filter, page, step).read(connection, table, |rows| rows.collect())?;
    Ok(Turn { rows, next: step.until })
}

/// Returns a query for the candidates of a filter, if an index finds them and they are few.
///
/// A few are best looked up and sorted, many are best met on a walk. SQLite's planner can't know
/// which: without ANALYZE it has no figures. So they are counted first.
fn few_candidates(
    connection: &Connection,
    table: &TableName,
    filter: &Filter,
) -> rusqlite::Result<Option<Query>> {
    match candidates(filter) {
        Some(candidates) if candidates.are_few(connection, table)? => Ok(Some(candidates)),
        _ => Ok(None),
    }
}

/// Returns the id after which a page begins.
fn after(page: Page) -> i64 {
    page.after.map_or(BEFORE_ALL, number)
}

/// Lists what a filter matches in one step, in order of id.
pub(super) fn list_query(filter: &Filter, page: Page, step: Step) -> Query {
    let mut list = Query::new(LIST);
    list.add_filter(filter);
    list.add_step(step);
    list.add(IN_ORDER_OF_ID, [Value::from(page.limit.get())]);
    list
}

/// Lists what a filter matches among candidates, in order of id.
pub(super) fn list_among(filter: &Filter, page: Page, candidates: Query) -> Query {
    let mut list = Query::new(LIST);
    list.add(AMONG, []);
    list.append(candidates);
    list.add(AMONG_END, []);
    // The whole filter: the candidates were selected by their expiry only.
    list.add_filter(filter);
    list.add(AFTER_ID, [Value::Integer(after(page))]);
    list.add(IN_ORDER_OF_ID, [Value::from(page.limit.get())]);
    list
}

/// Returns a query for the ids of a set of rows that holds every match, by the index of expiry.
///
/// `None` if that index can't serve, or if a better one can.
pub(super) fn candidates(filter: &Filter) -> Option<Query> {
    let (expires_before, expires_from) = (filter.expires_before, filter.expires_from);
    if is_indexed(filter) || expires_before.is_none() && expires_from.is_none() {
        return None;
    }
    let mut ids = Query::new(MATCHING);
    ids.add_filter(&Filter { expires_before, expires_from, ..Filter::every_token() });
    Some(ids)
}

/// Revokes what derives from the rows that a filter matches, except what it spares.
pub(super) fn revoke_derived_query(filter: &Filter, revocation: &Revocation) -> Query {
    let mut query = begin_revoke(REVOKE_DERIVED_FROM_MATCHING, revocation);
    // No row ended by -1, so a row that is named by its id or family reaches what derives from it.
    let over_by = filter.id.or(filter.family).map_or(revocation.at.as_unix(), |_| -1);
    query.values.push(Value::Integer(over_by));
    query.add_filter(filter);
    query.add(MATCHING_END, []);
    // Once more, outside the parenthesis. Inside, the filter spares matching rows; here it must
    // also spare what would be reached through them.
    query.add_exception(filter.except_family.map(number));
    query
}

/// Revokes the rows that a filter matches.
pub(super) fn revoke_query(filter: &Filter, revocation: &Revocation) -> Query {
    let mut query = begin_revoke(REVOKE, revocation);
    query.add_filter(filter);
    query
}

/// Begins with one of the statements that revoke. The filter follows.
fn begin_revoke(sql: &'static str, revocation: &Revocation) -> Query {
    let Revocation { at, reason, by } = revocation;
    let mut query = Query::new(sql);
    query.values.extend([Value::Integer(at.as_unix()), text(reason), text(by)]);
    query
}

/// Reads the set of keys in use. It may hold a key too many.
pub(super) fn keys_in_use(
    connection: &Connection,
    table: &TableName,
) -> rusqlite::Result<Vec<KeyId>> {
    let known = read_numbers(connection, &table.in_sql(KEYS), [])?;
    // Leaving a number out could hide a key that is needed.
    let key = |number| key_of(number).ok_or_else(|| no_key(number));
    known.into_iter().map(key).collect()
}

/// Reads the keys that seal unrevoked rows in one step of a walk.
pub(super) fn keys_of_rows(
    connection: &Connection,
    table: &TableName,
    step: Step,
) -> rusqlite::Result<Vec<KeyId>> {
    let query = keys_of_rows_query(step);
    let numbers =
        read_numbers(connection, &table.in_sql(&query.sql), params_from_iter(query.values))?;
    // Another number stands in a damaged row, which no key can open.
    Ok(numbers.into_iter().filter_map(key_of).collect())
}

/// Selects the keys that seal unrevoked rows in one step of a walk.
pub(super) fn keys_of_rows_query(step: Step) -> Query {
    let mut query = Query::new(KEYS_OF_ROWS);
    query.add_step(step);
    query
}

fn read_numbers(
    connection: &Connection,
    sql: &str,
    params: impl Params,
) -> rusqlite::Result<Vec<i64>> {
    connection.prepare(sql)?.query_map(params, |row| row.get(0))?.collect()
}

fn key_of(number: i64) -> Option<KeyId> {
    number.try_into().ok().and_then(KeyId::new)
}

/// Deletes rows that a filter matches, at most `limit`.
pub(super) fn purge_matching_query(filter: &Filter, limit: u32) -> Query {
    let mut query = Query::new(PURGE);
    query.add(MATCHING, []);
    query.add_filter(filter);
    query.add(PURGE_END, [Value::from(limit)]);
    query
}

/// Finds the rows that a purge deletes in one step of a walk, at most `limit`.
pub(super) fn purgeable(
    connection: &Connection,
    table: &TableName,
    purge: &Purge,
    step: Step,
    limit: u32,
) -> rusqlite::Result<Vec<TokenId>> {
    // For dead rows, SQL is only the first filter. It reads raw columns, and in a damaged row an
    // expiry or a last use may be junk; such a row must not be deleted because of it.
    let is_meant = |row: &Row| match purge {
        Purge::Matching(_) => true,
        Purge::Dead(cutoff) => is_known_to_be_dead(row, cutoff.ended_by),
    };
    purge_query(purge, step).read(connection, table, |rows| {
        let meant = rows.filter(|row| row.as_ref().map_or(true, is_meant));
        meant.take(limit as usize).map(|row| row.map(|row| row.id())).collect()
    })
}

/// Returns whether a row that [`DEAD`] selects is really dead. A damaged row is dead only by its
/// revocation.
fn is_known_to_be_dead(row: &Row, ended_by: Timestamp) -> bool {
    let revoked_at = || if row.is_revoked() { row.revoked_at().or(row.created_at()) } else { None };
    row.record().is_some() || revoked_at().is_some_and(|at| at <= ended_by)
}

/// Selects the rows that a purge may delete in one step of a walk.
pub(super) fn purge_query(purge: &Purge, step: Step) -> Query {
    let mut query = match purge {
        Purge::Matching(filter) => {
            let mut query = Query::new(LIST);
            query.add_filter(filter);
            query
        }
        Purge::Dead(PurgeCutoff { ended_by, unused_since, now }) => {
            let mut query = Query::new(DEAD);
            let believed_until = now.saturating_add(CLOCK_TOLERANCE);
            let times = [Some(*ended_by), *unused_since, Some(*now), Some(believed_until)];
            query.values.extend(times.map(|at| Value::from(at.map(Timestamp::as_unix))));
            query
        }
    };
    query.add_step(step);
    query
}

/// Makes a text value to bind.
fn text(text: &impl ToString) -> Value {
    Value::Text(text.to_string())
}
