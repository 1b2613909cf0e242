//! Finds objects on the tables that this library did not make.
//!
//! Triggers, rules and row-level security can keep a change out while the server reports it as
//! done.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::error::Problem;
use super::statements::Statements;
use crate::store::TableName;

/// The names of triggers, rules, policies and relations that belong to the host.
pub(super) type Known = Arc<BTreeSet<String>>;

/// Selects the objects on the tables: kind, name and table (text). A table that does not exist has
/// the kind `missing`.
///
/// It leaves out what is disabled, and PostgreSQL's internal triggers for foreign keys.
const OBJECTS: &str = "
    WITH ours AS (
        SELECT name, to_regclass(name)::oid AS oid
        FROM unnest(ARRAY[
            'app_tokens', 'app_tokens_keys', 'app_tokens_owners', 'app_tokens_schema'
        ]) AS each (name)
    ), there AS (
        SELECT name, pg_class.* FROM ours JOIN pg_class USING (oid)
    )
    SELECT 'missing', name, name FROM ours WHERE oid IS NULL
    UNION ALL
    SELECT CASE relkind
            WHEN 'p' THEN 'partitioned'
            WHEN 'v' THEN 'view'
            WHEN 'm' THEN 'view'
            ELSE 'foreign table'
        END,
        relname::text, name
    FROM there WHERE relkind <> 'r'
    UNION ALL
    SELECT 'trigger', tgname::text, name FROM there JOIN pg_trigger ON tgrelid = there.oid
    WHERE NOT tgisinternal AND tgenabled <> 'D'
    UNION ALL
    SELECT 'rule', rulename::text, name FROM there JOIN pg_rewrite ON ev_class = there.oid
    WHERE relkind IN ('r', 'p') AND ev_enabled <> 'D'
    UNION ALL
    SELECT 'policy', polname::text, name FROM there JOIN pg_policy ON polrelid = there.oid
    WHERE relrowsecurity
    UNION ALL
    SELECT 'row-level security without a policy', '', name FROM there
    WHERE relrowsecurity AND NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = there.oid)
    UNION ALL
    SELECT 'inheriting table', inhrelid::regclass::text, name
    FROM there JOIN pg_inherits ON there.oid = inhparent
    WHERE relkind = 'r'
    ORDER BY 3, 1, 2";

/// Selects the indexes of `schema.sql` (text) that are missing or invalid.
const MISSING_INDEXES: &str = "
    SELECT name FROM unnest(ARRAY['of_owner', 'of_family', 'derived', 'by_expiry']) AS each (name)
    WHERE NOT EXISTS (
        SELECT FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
        WHERE indrelid = 'app_tokens'::regclass AND indisvalid
            AND relname LIKE '%\\_' || replace(name, '_', '\\_')
    )";

/// Selects keys (bigint) of unrevoked rows that the set of keys lacks, at most 20.
const MISSING_KEYS: &str = "
    SELECT DISTINCT key_id FROM app_tokens
    WHERE revoked_at IS NULL
        AND NOT EXISTS (
            SELECT FROM app_tokens_keys WHERE app_tokens_keys.key_id = app_tokens.key_id)
    ORDER BY key_id LIMIT 20";

/// Selects settings (text) by which the server may forget a change that it has reported as done.
const FORGETFUL: &str = "
    SELECT name FROM unnest(ARRAY['fsync', 'synchronous_commit', 'full_page_writes']) AS each (name)
    WHERE current_setting(name) = 'off'";

/// What [`OBJECTS`] found.
pub(super) struct Objects {
    /// Whether all tables are there.
    pub(super) are_complete: bool,
    /// The partitioned tables.
    partitioned: Vec<String>,
    /// The objects that the host did not name, each in words.
    unexpected: Vec<String>,
}

impl Objects {
    /// Fails if a table is partitioned, or if there is an object that the host did not name.
    pub(super) fn must_be_known(&self, table: &TableName) -> Result<(), String> {
        if let Some(partitioned) = self.partitioned.first() {
            return Err(partitioned.clone());
        }
        if self.unexpected.is_empty() {
            return Ok(());
        }
        Err(format!(
            "the tables of {table} have {}, which may block a change; \
             drop it, or name it with `PostgresStore::with_known_objects`",
            self.unexpected.join(", ")
        ))
    }
}

impl Statements<'_> {
    /// Finds the objects on the tables.
    pub(super) async fn objects(&self, known: &Known) -> Result<Objects, Problem> {
        let mut objects =
            Objects { are_complete: true, partitioned: Vec::new(), unexpected: Vec::new() };
        for row in self.query(OBJECTS, &[]).await? {
            let (kind, name, table): (String, String, String) =
                (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            match &*kind {
                // A missing table is no object of anyone: the first statement reports it better.
                "missing" => objects.are_complete = false,
                // Also if the host named it. A purge would find no row in it, and triggers on its
                // partitions would not be seen here.
                "partitioned" => objects.partitioned.push(format!(
                    "the table {table} is partitioned, so a purge would delete nothing; \
                     move its rows to a plain table, as `PostgresStore::migrate` makes it"
                )),
                _ if known.contains(&name) => {}
                // Row-level security has no name of its own.
                _ if name.is_empty() => objects.unexpected.push(format!("the {kind} on {table}")),
                _ => objects.unexpected.push(format!("the {kind} {name} on {table}")),
            }
        }
        Ok(objects)
    }

    /// Describes what is wrong with the tables: one finding an entry.
    pub(super) async fn diagnose(&self, known: &Known) -> Result<Vec<String>, Problem> {
        let objects = self.objects(known).await?;
        let mut findings = objects.partitioned;
        findings.extend(objects.unexpected.iter().map(|object| format!("there is {object}")));
        for row in self.query(MISSING_INDEXES, &[]).await? {
            let (name, table) = (row.try_get::<_, String>(0)?, self.table);
            findings.push(format!(
                "the index {table}_{name} is missing or can't be used; create it again"
            ));
        }
        for row in self.query(MISSING_KEYS, &[]).await? {
            let (key, table) = (row.try_get::<_, i64>(0)?, self.table);
            findings.push(format!("{table}_keys lacks the key {key}, which seals rows; insert it"));
        }
        for row in self.query(FORGETFUL, &[]).await? {
            let name: String = row.try_get(0)?;
            findings.push(format!(
                "{name} is off, so a crash of the server may lose revocations; turn it on"
            ));
        }
        Ok(findings)
    }
}
