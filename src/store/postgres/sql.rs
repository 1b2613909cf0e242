//! The tables and statements of `PostgresStore`, for a store of your own over another PostgreSQL
//! driver.
//!
//! They are written over the table `app_tokens`; [`TableName::in_sql`](super::TableName::in_sql)
//! writes them over another. Each statement is complete. Bind its parameters in their order, each
//! of the type given, NULL for a missing one. [`RowColumns`](super::RowColumns) are a row's columns,
//! in order and by name. The constants are in the order of the contract on
//! [`TokenStore`](super::TokenStore).
//!
//! `examples/sqlx_store` is a whole store made of them, over `sqlx::PgPool`.
//!
#![doc = include_str!("sql.md")] // How a call is made of them: transactions, errors, plans.

/// The four tables and their indexes. Run it once, in your own migrations, in one transaction.
pub const SCHEMA: &str = include_str!("schema.sql");

// -- insert

macro_rules! select_row {
    () => {
        "
    SELECT id, digest, owner, label, scopes, resources, networks, attributes, issued_by,
        created_at, expires_at, family, successor, derived_from, key_id, seal, revision,
        revoked_at, revoked_reason, revoked_by, last_used_at, last_used_address, last_used_client
    FROM app_tokens"
    };
}

/// Waits for this owner's lock, and holds it until the transaction ends.
///
/// `DO NOTHING` would not wait for the lock, and `SELECT … FOR UPDATE` finds no row to lock for a
/// new owner.
///
/// Parameter `$1` (text): the owner.
pub const LOCK_OWNER: &str = "
    INSERT INTO app_tokens_owners (owner) VALUES ($1)
    ON CONFLICT (owner) DO UPDATE SET owner = EXCLUDED.owner";

/// Locks rows, in order of id so that two calls don't deadlock, and selects them as they are once
/// locked, with the columns of [`FIND`].
///
/// Ask [`rules`](super::rules) about these rows: in Rust a damaged one is told apart.
///
/// Parameter `$1` (bigint\[\]): the ids.
pub const LOCK_ROWS: &str = concat!(
    select_row!(),
    "
    WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE"
);

/// Selects what stands in the way of an insert: one row.
///
/// | parameter | type | |
/// |---|---|---|
/// | `$1` | bigint | the new row's id |
/// | `$2` | text | its owner |
/// | `$3` | bigint | its family |
/// | `$4` | bigint | `live.now` |
/// | `$5` | text | its label |
/// | `$6` | bigint | `live.used_after` |
/// | `$7` | bigint | `live.now` and [`CLOCK_TOLERANCE`](super::CLOCK_TOLERANCE): a later stored use is not believed |
///
/// | column | type | |
/// |---|---|---|
/// | 0 | boolean | whether the id is taken |
/// | 1 | bigint | how many live rows of other families the owner has |
/// | 2 | boolean | whether one of them has the label |
pub const INSERT_CONFLICTS: &str = "
    SELECT EXISTS (SELECT FROM app_tokens WHERE id = $1),
        count(*),
        coalesce(bool_or(label = $5), FALSE)
    FROM app_tokens
    WHERE owner = $2 AND family <> $3 AND revoked_at IS NULL AND successor IS NULL
        AND (expires_at IS NULL OR expires_at > $4)
        AND ($6::bigint IS NULL OR created_at > $6 OR last_used_at > $6 AND last_used_at <= $7)";

/// Inserts a row, and names its key in `app_tokens_keys`. If its id is taken, it selects no row.
///
/// The lock on the key is shared and in memory. It keeps [`DELETE_UNUSED_KEYS`] away until this
/// transaction ends: a walk doesn't see the row before that. The key is looked up after the lock is
/// there, so one that was deleted meanwhile is inserted again.
///
/// The parameters are all 23 [`RowColumns`](super::RowColumns), in their order.
///
/// Column 0 (boolean): whether the row is what was written. If not, a trigger has changed it: fail.
pub const INSERT: &str = "
    WITH locked AS MATERIALIZED (
        SELECT pg_advisory_xact_lock_shared(hashtextextended('app_tokens_keys', $15))
    ), known AS (
        INSERT INTO app_tokens_keys (key_id) SELECT $15 FROM locked
        ON CONFLICT (key_id) DO NOTHING
    )
    INSERT INTO app_tokens (
        id, digest, owner, label, scopes, resources, networks, attributes, issued_by,
        created_at, expires_at, family, successor, derived_from, key_id, seal, revision,
        revoked_at, revoked_reason, revoked_by, last_used_at, last_used_address, last_used_client
    ) VALUES (
        $1, $2, $3, $4, $5, $6, $7, $8, $9,
        $10, $11, $12, $13, $14, $15, $16, $17,
        $18, $19, $20, $21, $22, $23
    )
    ON CONFLICT (id) DO NOTHING
    RETURNING (
        id, digest, owner, label, scopes, resources, networks, attributes, issued_by,
        created_at, expires_at, family, successor, derived_from, key_id, seal, revision,
        revoked_at, revoked_reason, revoked_by, last_used_at, last_used_address, last_used_client
    ) IS NOT DISTINCT FROM (
        $1, $2, $3, $4, $5, $6, $7, $8, $9,
        $10, $11, $12, $13, $14, $15, $16, $17,
        $18, $19, $20, $21, $22, $23
    )";

// -- supersede, replace

/// Writes the new forms of rows that are locked and current, each id once, and names their keys as
/// [`INSERT`] does. Last use and revocation stay.
///
/// | parameter | type | |
/// |---|---|---|
/// | `$1` to `$17` | | for each of the first 17 [`RowColumns`](super::RowColumns), the forms' values: bigint\[\], text\[\], and bytea\[\] for `$2` and `$16` |
///
/// `$17` are the revisions that are expected.
///
/// It selects a row for each that it changed. Column 0 (boolean): whether the row is what was
/// written. If not, or if a row is missing, a trigger or a rule has interfered: fail.
pub const REPLACE: &str = "
    WITH locked AS MATERIALIZED (
        SELECT key_id, pg_advisory_xact_lock_shared(hashtextextended('app_tokens_keys', key_id))
        FROM (SELECT DISTINCT key_id FROM unnest($15::bigint[]) AS one (key_id)) AS each
    ), known AS (
        INSERT INTO app_tokens_keys (key_id) SELECT key_id FROM locked
        ON CONFLICT (key_id) DO NOTHING
    )
    UPDATE app_tokens AS stored
    SET digest = form.digest, owner = form.owner, label = form.label, scopes = form.scopes,
        resources = form.resources, networks = form.networks, attributes = form.attributes,
        issued_by = form.issued_by, created_at = form.created_at, expires_at = form.expires_at,
        family = form.family, successor = form.successor, derived_from = form.derived_from,
        key_id = form.key_id, seal = form.seal, revision = stored.revision + 1
    FROM unnest(
        $1::bigint[], $2::bytea[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
        $8::text[], $9::text[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[],
        $14::bigint[], $15::bigint[], $16::bytea[], $17::bigint[]
    ) AS form (
        id, digest, owner, label, scopes, resources, networks, attributes, issued_by,
        created_at, expires_at, family, successor, derived_from, key_id, seal, revision
    )
    WHERE stored.id = form.id AND stored.revision = form.revision
        AND stored.revision < 9223372036854775807 AND stored.revoked_at IS NULL
    RETURNING (
        stored.digest, stored.owner, stored.label, stored.scopes, stored.resources,
        stored.networks, stored.attributes, stored.issued_by, stored.created_at,
        stored.expires_at, stored.family, stored.successor, stored.derived_from, stored.key_id,
        stored.seal, stored.revision
    ) IS NOT DISTINCT FROM (
        form.digest, form.owner, form.label, form.scopes, form.resources,
        form.networks, form.attributes, form.issued_by, form.created_at,
        form.expires_at, form.family, form.successor, form.derived_from, form.key_id,
        form.seal, form.revision + 1
    )";

/// The start of every revocation, with its parameters for when, why and by whom.
///
/// It decodes nothing. A damaged revision is brought back into range, so that it can't make the
/// UPDATE fail.
macro_rules! revoke {
    ($at:literal, $reason:literal, $by:literal) => {
        concat!(
            "UPDATE app_tokens
    SET seal = NULL, revoked_at = ",
            $at,
            ", revoked_reason = ",
            $reason,
            ", revoked_by = ",
            $by,
            ",
        revision = CASE revision
            WHEN 9223372036854775807 THEN revision
            ELSE greatest(revision + 1, 0)
        END
    "
        )
    };
}

/// Whether an updated row holds the revocation, or a trigger has kept it out.
macro_rules! is_revoked {
    ($at:literal, $reason:literal, $by:literal) => {
        concat!(
            "(revoked_at, revoked_reason, revoked_by, seal) IS NOT DISTINCT FROM (",
            $at,
            ", ",
            $reason,
            ", ",
            $by,
            ", NULL::bytea)"
        )
    };
}

/// Revokes one row, unless it is revoked already.
///
/// | parameter | type | |
/// |---|---|---|
/// | `$1` | bigint | when |
/// | `$2` | text | why |
/// | `$3` | text | by whom, as [`Actor`](crate::record::Actor) prints |
/// | `$4` | bigint | the row's id |
///
/// Column 0 (boolean): whether the row is revoked now. If not, or without a row, fail.
pub const REVOKE_ONE: &str = concat!(
    "
    ",
    revoke!("$1", "$2", "$3"),
    "WHERE revoked_at IS NULL AND id = $4
    RETURNING ",
    is_revoked!("$1", "$2", "$3")
);

/// Revokes what was issued under a family.
///
/// Repeat until column 1 is 0. A pass sees the rows that were committed before it began. If it
/// waited for a rotation, the repeat sees the rotation's new row.
///
/// | parameter | type | |
/// |---|---|---|
/// | `$1` to `$3` | | the revocation, as in [`REVOKE_ONE`] |
/// | `$4` | text | the owner |
/// | `$5` | bigint | the family |
/// | `$6` | bigint | the id of the new row, which is spared; -1 for none |
///
/// Columns: 0 (bigint) is how many it revoked; 1 (bigint) is how many it found without a
/// revocation; 2 (boolean) is whether they hold it. If not, a trigger has kept it out: fail.
pub const REVOKE_DERIVED: &str = concat!(
    "
    WITH revoked AS (
        ",
    revoke!("$1", "$2", "$3"),
    "    WHERE revoked_at IS NULL AND owner = $4 AND derived_from = $5 AND id <> $6
        RETURNING ",
    is_revoked!("$1", "$2", "$3"),
    " AS holds
    )
    SELECT (SELECT count(*) FROM revoked), count(*),
        (SELECT coalesce(bool_and(holds), TRUE) FROM revoked)
    FROM app_tokens
    WHERE revoked_at IS NULL AND owner = $4 AND derived_from = $5 AND id <> $6"
);

// -- find, list

/// Selects one row, or none. Its columns are all 23 [`RowColumns`](super::RowColumns), in their
/// order.
///
/// Parameter `$1` (bigint): the id.
pub const FIND: &str = concat!(select_row!(), " WHERE id = $1");

/// All facts of a filter but `revoked`, which a revocation itself changes.
macro_rules! lasting_facts {
    () => {
        "($1::bigint IS NULL OR id = $1)
        AND ($2::text IS NULL OR owner = $2)
        AND ($3::bigint IS NULL OR family = $3)
        AND ($4::bigint IS NULL OR family <> $4 AND derived_from IS DISTINCT FROM $4)
        AND ($5::bigint IS NULL OR key_id = $5)
        AND (key_id = ANY ($6::bigint[])) IS NOT TRUE
        AND ($8::boolean IS NULL OR (successor IS NOT NULL) = $8)
        AND ($9::bigint IS NULL OR expires_at < $9)
        AND ($10::bigint IS NULL OR expires_at >= $10)
        AND ($11::bigint IS NULL OR created_at BETWEEN 0 AND $11 - 1)
        AND ($12::bigint IS NULL OR greatest(created_at, last_used_at) < $12)"
    };
}

macro_rules! filter {
    () => {
        concat!(
            lasting_facts!(),
            "
        AND ($7::boolean IS NULL OR (revoked_at IS NOT NULL) = $7)"
        )
    };
}

/// A condition on a row of `app_tokens` that holds if [`Filter::matches`](super::Filter::matches)
/// does.
///
/// A fact that is not asked for is NULL. [`LIST`], [`REVOKE`] and [`PURGE_MATCHING`] begin with
/// these parameters.
///
/// | parameter | type | of the [`Filter`](super::Filter) |
/// |---|---|---|
/// | `$1` | bigint | `id` |
/// | `$2` | text | `owner` |
/// | `$3` | bigint | `family` |
/// | `$4` | bigint | `except_family` |
/// | `$5` | bigint | `key_id` |
/// | `$6` | bigint\[\] | `except_key_ids`; never NULL |
/// | `$7` | boolean | `revoked` |
/// | `$8` | boolean | `superseded` |
/// | `$9` | bigint | `expires_before` |
/// | `$10` | bigint | `expires_from` |
/// | `$11` | bigint | `created_before` |
/// | `$12` | bigint | `last_used_before` |
pub const FILTER: &str = filter!();

/// Selects the rows that a filter matches, in order of id, with the columns of [`FIND`].
///
/// It leaves out rows whose id was changed to a number that is no id: no token leads to them.
///
/// | parameter | type | |
/// |---|---|---|
/// | `$1` to `$12` | | the filter, as in [`FILTER`] |
/// | `$13` | bigint | `page.after`; -1 for none |
/// | `$14` | bigint | `page.limit` |
pub const LIST: &str = concat!(
    select_row!(),
    "
    WHERE id > $13 AND id <= 1125899906842623
        AND ",
    filter!(),
    "
    ORDER BY id
    LIMIT $14"
);

// -- revoke

/// Revokes the rows that a filter matches, and what was issued under their families.
///
/// Repeat until column 1 is 0. A pass sees the rows that were committed before it began. It waits
/// for a row that another transaction is changing, and reads that row again. The repeat sees what
/// was committed meanwhile. Nothing can come after, as the revoked rows are locked.
///
/// If the filter asks for `revoked = FALSE`, the rows that a pass has revoked no longer match in
/// the next. Their families must still be looked at, so a row also counts if it has just this
/// revocation: instant, reason and actor. That includes the rows of an equal revocation within the
/// same second.
///
/// A million rows take half a minute or more. In a transaction of your own,
/// `SET LOCAL statement_timeout = 0` with a `lock_timeout` keeps the host's time-out from ending
/// it.
///
/// | parameter | type | |
/// |---|---|---|
/// | `$1` to `$12` | | the filter, as in [`FILTER`] |
/// | `$13` | bigint | when |
/// | `$14` | text | why |
/// | `$15` | text | by whom, as [`Actor`](crate::record::Actor) prints |
///
/// The columns are those of [`REVOKE_DERIVED`].
pub const REVOKE: &str = concat!(
    "
    WITH matching AS (
        SELECT id, owner, family FROM app_tokens WHERE ",
    filter!(),
    "
        ORDER BY id FOR NO KEY UPDATE
    ), families AS (
        SELECT owner, family FROM matching
        UNION
        SELECT owner, family FROM app_tokens
        WHERE NOT $7 AND revoked_at = $13 AND revoked_reason = $14 AND revoked_by = $15 AND ",
    lasting_facts!(),
    "
    ), meant AS (
        SELECT id FROM matching
        UNION
        SELECT child.id FROM app_tokens AS child
        JOIN families ON child.owner = families.owner AND child.derived_from = families.family
        WHERE $4 IS NULL OR child.family <> $4 AND child.derived_from IS DISTINCT FROM $4
    ), revoked AS (
        ",
    revoke!("$13", "$14", "$15"),
    "    FROM meant
        WHERE app_tokens.id = meant.id AND revoked_at IS NULL
        RETURNING ",
    is_revoked!("$13", "$14", "$15"),
    " AS holds
    )
    SELECT (SELECT count(*) FROM revoked),
        (SELECT count(*) FROM app_tokens
            JOIN meant ON app_tokens.id = meant.id WHERE revoked_at IS NULL)
            + (SELECT count(*) FROM app_tokens WHERE revoked_at IS NULL AND ",
    filter!(),
    "),
        (SELECT coalesce(bool_and(holds), TRUE) FROM revoked)"
);

// -- touch

/// Stores uses, each id at most once. It locks the rows in order of id, so that two batches don't
/// deadlock.
///
/// | parameter | type | |
/// |---|---|---|
/// | `$1` | bigint\[\] | the ids |
/// | `$2` | bigint\[\] | when each was used |
/// | `$3` | text\[\] | from which address, or NULL |
/// | `$4` | text\[\] | by which program, or NULL |
/// | `$5` | bigint | `now` + [`CLOCK_TOLERANCE`](super::CLOCK_TOLERANCE): replaces later uses |
///
/// Columns (bigint): 0 is how many rows hold their use now; 1 is how many should. If they differ, a
/// trigger or a rule has interfered: fail.
pub const TOUCH: &str = "
    WITH uses AS (
        SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[])
            AS use (id, at, address, client)
    ), locked AS (
        SELECT stored.id FROM app_tokens AS stored JOIN uses ON stored.id = uses.id
        WHERE last_used_at IS NULL OR last_used_at < uses.at OR last_used_at > $5
        ORDER BY stored.id FOR NO KEY UPDATE OF stored
    ), touched AS (
        UPDATE app_tokens
        SET last_used_at = uses.at, last_used_address = uses.address, last_used_client = uses.client
        FROM locked JOIN uses ON uses.id = locked.id
        WHERE app_tokens.id = locked.id
        RETURNING last_used_at IS NOT DISTINCT FROM uses.at AS holds
    )
    SELECT (SELECT count(*) FROM touched WHERE holds), (SELECT count(*) FROM locked)";

// -- purge, keys_in_use

// After the macros, which it needs.
#[path = "sql/purge.rs"]
mod purge;

pub use purge::*;
