//! Statements that are put together for one filter.

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::binding::row_of;
use super::sql::*;
use super::statements::Statements;
use crate::record::Revocation;
use crate::seal::KeyId;
use crate::store::columns::number;
use crate::store::{Filter, FilterColumns, Page, Purge, Row, TableName};
use crate::timestamp::Timestamp;

/// A statement that is put together from the constants above, and what is bound to it.
pub(super) struct Query {
    pub(super) sql: String,
    values: Vec<Value>,
}

impl Query {
    fn new(sql: &'static str) -> Query {
        Query { sql: sql.into(), values: Vec::new() }
    }

    fn add(&mut self, sql: &'static str, values: impl IntoIterator<Item = Value>) {
        self.sql.push_str(sql);
        self.values.extend(values);
    }

    /// What [`Filter::matches`] says.
    fn add_filter(&mut self, filter: &Filter) {
        let FilterColumns {
            id,
            owner,
            family,
            except_id,
            key_id,
            except_key_ids,
            revoked,
            superseded,
            expires_before,
            expires_from,
            created_before,
            last_used_before,
        } = FilterColumns::of(filter);
        self.add_fact(WITH_ID, id.map(Value::from));
        self.add_fact(OF_OWNER, owner.map(|owner| Value::Text(owner.into())));
        self.add_fact(OF_FAMILY, family.map(Value::from));
        self.add_fact(WITHOUT_ID, except_id.map(Value::from));
        self.add_fact(UNDER_KEY, key_id.map(Value::from));
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
        self.add_fact(EXPIRES_BEFORE, expires_before.map(Value::from));
        self.add_fact(EXPIRES_FROM, expires_from.map(Value::from));
        self.add_fact(CREATED_BEFORE, created_before.map(Value::from));
        self.add_fact(LAST_USED_BEFORE, last_used_before.map(Value::from));
    }

    fn add_fact(&mut self, sql: &'static str, value: Option<Value>) {
        if value.is_some() {
            self.add(sql, value);
        }
    }

    fn append(&mut self, other: Query) {
        self.sql.push_str(&other.sql);
        self.values.extend(other.values);
    }

    /// Whether the rows are [`FEW`].
    fn are_few(&self, connection: &Connection, table: &TableName) -> rusqlite::Result<bool> {
        let one_more = Value::Integer(FEW + 1);
        let values = params_from_iter(self.values.iter().chain([&one_more]));
        let count = self.count();
        let count = table.in_sql(&count);
        connection.query_row(&count, values, |row| Ok(row.get::<_, i64>(0)? <= FEW))
    }

    /// Counts the rows, but only so far.
    pub(super) fn count(&self) -> String {
        format!("{COUNT}{}{COUNT_END}", self.sql)
    }

    pub(super) fn execute(&self, statements: &Statements<'_>) -> rusqlite::Result<u64> {
        let changed = statements.execute_once(&self.sql, params_from_iter(&self.values))?;
        Ok(changed as u64)
    }
}

/// As many candidates as are looked up one by one and put in order for each page. Where there are more, they lie so close in the
/// table that a page is soon full on a walk in order of id.
const FEW: i64 = 2000;
/// SQLite puts 500 selects together at most.
const MOST_KEYS: usize = 400;

pub(super) fn rows_of(
    connection: &Connection,
    table: &TableName,
    filter: &Filter,
    page: Page,
) -> rusqlite::Result<Vec<Row>> {
    let few = match candidates(filter) {
        Some(candidates) if candidates.are_few(connection, table)? => Some(candidates),
        _ => None,
    };
    let list = list_of(filter, page, few);
    let mut statement = connection.prepare(&table.in_sql(&list.sql))?;
    statement.query_and_then(params_from_iter(list.values), row_of)?.collect()
}

pub(super) fn list_of(filter: &Filter, page: Page, candidates: Option<Query>) -> Query {
    let mut list = Query::new(LIST);
    if let Some(candidates) = candidates {
        list.add(AMONG, []);
        list.append(candidates);
        list.add(AMONG_END, []);
    }
    list.add_filter(filter);
    list.add(AFTER_ID, [Value::Integer(page.after.map_or(-1, number))]);
    list.add(IN_ORDER_OF_ID, [Value::from(page.limit)]);
    list
}

/// The ids of rows among which all that match are, by an index that is not in order of id. `None` where there is none, or where the
/// rows come out of an index, or the table, in order anyhow.
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

/// The ids of unrevoked rows under one key, or under any but some: before, between and after these.
pub(super) fn under_keys(key_id: Option<KeyId>, except: &[KeyId]) -> Option<Query> {
    if let Some(key_id) = key_id {
        let mut ids = Query::new(UNDER_ONE_KEY);
        ids.add("", [key_id.as_u32().into()]);
        return Some(ids);
    }
    let mut keys: Vec<u32> = except.iter().map(|key| key.as_u32()).collect();
    keys.sort_unstable();
    let (first, last) = (*keys.first()?, *keys.last()?);
    if keys.len() > MOST_KEYS {
        return None;
    }
    let mut ids = Query::new(UNDER_SMALLER_KEYS);
    ids.add("", [first.into()]);
    for two in keys.windows(2) {
        ids.add(OR_KEYS_BETWEEN, two.iter().map(|key| (*key).into()));
    }
    ids.add(OR_GREATER_KEYS, [last.into()]);
    Some(ids)
}

pub(super) fn revocation_of_derived(filter: &Filter, revocation: &Revocation) -> Query {
    let mut query = revocation_of(REVOKE_DERIVED_FROM_MATCHING, filter, revocation);
    query.add(MATCHING_END, []);
    query.add_fact(WITHOUT_ID, filter.except_id.map(|id| number(id).into()));
    query
}

pub(super) fn revocation_of(sql: &'static str, filter: &Filter, revocation: &Revocation) -> Query {
    let Revocation { at, reason, by } = revocation;
    let mut query = Query::new(sql);
    query.add("", [Value::Integer(at.as_unix()), text(reason), text(by)]);
    query.add_filter(filter);
    query
}

pub(super) fn deletion(purge: &Purge, limit: u32) -> Query {
    let mut delete = Query::new(DELETE);
    match purge {
        Purge::Matching(filter) => {
            delete.add(MATCHING, []);
            delete.add_filter(filter);
        }
        Purge::Dead(dead) => {
            let unused_since = dead.unused_since.map(Timestamp::as_unix);
            let times = [Some(dead.ended_by.as_unix()), unused_since, Some(dead.now.as_unix())];
            delete.add(DEAD, times.map(Value::from));
        }
    }
    delete.add(AT_MOST, [Value::from(limit)]);
    delete
}

fn text(text: &impl ToString) -> Value {
    Value::Text(text.to_string())
}
