//! [`Query`]: a statement that is joined from parts of `sql.rs`, for one filter.

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::binding::read_row;
use super::sql::*;
use super::statements::Statements;
use crate::key::KeyId;
use crate::record::Revocation;
use crate::store::columns::number;
use crate::store::{Filter, FilterColumns, Page, Purge, PurgeCutoff, Row, TableName};
use crate::timestamp::Timestamp;

/// A statement and the values that are bound to it.
///
/// Joined from constants only: what a host or a user wrote is always bound.
pub(super) struct Query {
    pub(super) sql: String,
    values: Vec<Value>,
}

/// Up to so many candidates a page of a list looks each one up and sorts them. If there are more,
/// they lie so close in the table that a walk in order of id soon fills the page.
const FEW: i64 = 2000;
/// SQLite allows 500 SELECTs in one compound.
const MAX_KEYS: usize = 400;

impl Query {
    fn new(sql: &'static str) -> Query {
        Query { sql: sql.into(), values: Vec::new() }
    }

    fn add(&mut self, sql: &'static str, values: impl IntoIterator<Item = Value>) {
        self.sql.push_str(sql);
        self.values.extend(values);
    }

    /// Adds the condition that [`Filter::matches`] states.
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
        self.add_condition(WITH_ID, id.map(Value::from));
        self.add_condition(OF_OWNER, owner.map(|owner| Value::Text(owner.into())));
        self.add_condition(OF_FAMILY, family.map(Value::from));
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

    fn add_condition(&mut self, sql: &'static str, value: Option<Value>) {
        if value.is_some() {
            self.add(sql, value);
        }
    }

    fn add_exception(&mut self, family: Option<i64>) {
        if let Some(family) = family {
            self.add(WITHOUT_FAMILY, [family, family].map(Value::from));
        }
    }

    fn append(&mut self, other: Query) {
        self.sql.push_str(&other.sql);
        self.values.extend(other.values);
    }

    /// Whether it selects at most [`FEW`] rows.
    fn are_few(&self, connection: &Connection, table: &TableName) -> rusqlite::Result<bool> {
        let one_more = Value::Integer(FEW + 1);
        let values = params_from_iter(self.values.iter().chain([&one_more]));
        let count = self.count();
        let count = table.in_sql(&count);
        connection.query_row(&count, values, |row| Ok(row.get::<_, i64>(0)? <= FEW))
    }

    /// The SQL that counts its rows, up to a limit that is bound last.
    pub(super) fn count(&self) -> String {
        format!("{COUNT}{}{COUNT_END}", self.sql)
    }

    pub(super) fn execute(&self, statements: &Statements<'_>) -> rusqlite::Result<u64> {
        let changed = statements.execute_once(&self.sql, params_from_iter(&self.values))?;
        Ok(changed as u64)
    }
}

/// Reads a page of the rows that a filter matches.
pub(super) fn list_rows(
    connection: &Connection,
    table: &TableName,
    filter: &Filter,
    page: Page,
) -> rusqlite::Result<Vec<Row>> {
    // Which way is quick depends on how many candidates there are, and only a count tells.
    let few = match candidates(filter) {
        Some(candidates) if candidates.are_few(connection, table)? => Some(candidates),
        _ => None,
    };
    let list = list_query(filter, page, few);
    let mut statement = connection.prepare(&table.in_sql(&list.sql))?;
    statement.query_and_then(params_from_iter(list.values), read_row)?.collect()
}

pub(super) fn list_query(filter: &Filter, page: Page, candidates: Option<Query>) -> Query {
    let mut list = Query::new(LIST);
    if let Some(candidates) = candidates {
        list.add(AMONG, []);
        list.append(candidates);
        list.add(AMONG_END, []);
    }
    list.add_filter(filter);
    list.add(AFTER_ID, [Value::Integer(page.after.map_or(-1, number))]);
    list.add(IN_ORDER_OF_ID, [Value::from(page.limit.get())]);
    list
}

/// Selects the ids of a set of rows that holds every match, by an index that is not in order of id.
///
/// `None` if no index serves, or if the rows come in order of id anyhow.
pub(super) fn candidates(filter: &Filter) -> Option<Query> {
    if filter.id.is_some() || filter.owner.is_some() || filter.family.is_some() {
        return None;
    }
    if filter.revoked == Some(false)
        && (filter.key_id.is_some() || !filter.except_key_ids.is_empty())
    {
        return under_keys(filter.key_id, &filter.except_key_ids);
    }
    let (expires_before, expires_from) = (filter.expires_before, filter.expires_from);
    let by_one_index = if expires_before.is_some() || expires_from.is_some() {
        Filter { expires_before, expires_from, ..Filter::every_token() }
    } else {
        Filter { last_used_before: Some(filter.last_used_before?), ..Filter::every_token() }
    };
    let mut ids = Query::new(MATCHING);
    ids.add_filter(&by_one_index);
    Some(ids)
}

/// Selects the ids of unrevoked rows under one key, or under any key but some.
///
/// `NOT IN` can't use an index, so the other keys are the ranges before, between and after those
/// excepted.
fn under_keys(key_id: Option<KeyId>, except: &[KeyId]) -> Option<Query> {
    if let Some(key_id) = key_id {
        let mut ids = Query::new(UNDER_ONE_KEY);
        ids.values.push(key_id.as_u32().into());
        return Some(ids);
    }
    let mut keys: Vec<u32> = except.iter().map(|key| key.as_u32()).collect();
    keys.sort_unstable();
    let (first, last) = (*keys.first()?, *keys.last()?);
    if keys.len() > MAX_KEYS {
        return None;
    }
    let mut ids = Query::new(UNDER_SMALLER_KEYS);
    ids.values.push(first.into());
    for two in keys.windows(2) {
        ids.add(OR_KEYS_BETWEEN, two.iter().map(|key| (*key).into()));
    }
    ids.add(OR_GREATER_KEYS, [last.into()]);
    Some(ids)
}

/// Revokes what derives from the matching rows.
pub(super) fn revoke_derived_query(filter: &Filter, revocation: &Revocation) -> Query {
    let mut query = revoke_query(REVOKE_DERIVED_FROM_MATCHING, filter, revocation);
    query.add(MATCHING_END, []);
    query.add_exception(filter.except_family.map(number));
    query
}

/// Begins with a statement that revokes, and adds the filter.
pub(super) fn revoke_query(sql: &'static str, filter: &Filter, revocation: &Revocation) -> Query {
    let Revocation { at, reason, by } = revocation;
    let mut query = Query::new(sql);
    query.values.extend([Value::Integer(at.as_unix()), text(reason), text(by)]);
    query.add_filter(filter);
    query
}

pub(super) fn purge_query(purge: &Purge, limit: u32) -> Query {
    let mut query = Query::new(PURGE);
    match purge {
        Purge::Matching(filter) => {
            query.add(MATCHING, []);
            query.add_filter(filter);
        }
        Purge::Dead(cutoff) => {
            let PurgeCutoff { ended_by, unused_since, now } = cutoff;
            let unused_since = unused_since.map(Timestamp::as_unix);
            let times = [Some(ended_by.as_unix()), unused_since, Some(now.as_unix())];
            query.add(DEAD, times.map(Value::from));
        }
    }
    query.add(PURGE_END, [Value::from(limit)]);
    query
}

fn text(text: &impl ToString) -> Value {
    Value::Text(text.to_string())
}
