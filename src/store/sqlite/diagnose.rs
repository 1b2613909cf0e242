//! [`diagnose`]: what is wrong with the tables.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::migrate::{MIGRATIONS, unknown_code};
use super::options::SqliteOptions;

const DEFINITIONS: &str = "
    SELECT lower(name), sql FROM sqlite_master
    WHERE lower(tbl_name) IN ('app_tokens', 'app_tokens_schema', 'app_tokens_keys')
        AND type IN ('table', 'index') AND sql IS NOT NULL";

/// A key that is missing in the set would look unused, and the host could retire it.
const MISSING_KEYS: &str = "
    SELECT DISTINCT key_id FROM app_tokens
    WHERE revoked_at IS NULL AND key_id NOT IN (SELECT key_id FROM app_tokens_keys)
    ORDER BY key_id";

/// Describes what differs from the tables that the migrations make: one finding an entry.
///
/// It only reports, and refuses nothing: the host may have reasons for an index or a column of its
/// own.
pub(super) fn diagnose(
    connection: &Connection,
    options: &SqliteOptions,
) -> rusqlite::Result<Vec<String>> {
    let unknown = unknown_code(connection, options)?;
    let mut findings: Vec<String> = unknown
        .into_iter()
        .map(|(kind, name)| format!("there is the {kind} {name:?}, which the host did not name"))
        .collect();
    // The right definitions come from the migrations themselves, run on a scratch database. A list
    // written down here would have to be kept equal to them.
    let pristine = Connection::open_in_memory()?;
    for migration in MIGRATIONS {
        pristine.execute_batch(&options.table.in_sql(migration))?;
    }
    let (found, right) = (definitions(connection, options)?, definitions(&pristine, options)?);
    for (name, sql) in &right {
        match found.get(name) {
            None => findings
                .push(format!("{name} is missing; make it as `SqliteStore::MIGRATIONS` does")),
            Some(found) if found != sql => findings
                .push(format!("{name} was altered; compare it with `SqliteStore::MIGRATIONS`")),
            Some(_) => {}
        }
    }
    let unknown = found.keys().filter(|name| !right.contains_key(*name));
    findings.extend(unknown.map(|name| format!("{name} was not made by this library")));
    let has = |table: String| found.contains_key(&table);
    if has(options.table.to_string()) && has(format!("{}_keys", options.table)) {
        let mut statement = connection.prepare(&options.table.in_sql(MISSING_KEYS))?;
        for key in statement.query_map([], |row| row.get::<_, i64>(0))? {
            let (key, table) = (key?, &options.table);
            findings.push(format!("{table}_keys lacks the key {key}, which seals rows; insert it"));
        }
    }
    Ok(findings)
}

/// Reads the SQL of each table and index, by its name in lower case.
fn definitions(
    connection: &Connection,
    options: &SqliteOptions,
) -> rusqlite::Result<BTreeMap<String, String>> {
    let mut statement = connection.prepare(&options.table.in_sql(DEFINITIONS))?;
    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}
