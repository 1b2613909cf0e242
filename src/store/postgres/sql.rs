//! The tables and statements of `PostgresStore`, for your own store over another driver.
//!
//! Every statement names the table `app_tokens`. For another table, use
//! [`TableName::in_sql`](super::TableName::in_sql). Each statement is complete. Bind its parameters
//! in their order, each with the given type; `None` is NULL. [`RowColumns`](super::RowColumns) has
//! the columns of a row, in their order and by their names.
//!
//! The constants are in the order of the contract on [`TokenStore`](super::TokenStore).
//! `examples/sqlx_store` is a whole store made of them, over `sqlx::PgPool`.
//!
//! ```
//! use app_tokens::store::{TableName, postgres_sql::FIND};
//! let table: TableName = "auth.app_passwords".parse()?;
//! assert!(table.in_sql(FIND).contains("FROM auth.app_passwords WHERE id = $1"));
//! # Ok::<(), app_tokens::store::InvalidTableName>(())
//! ```
#![doc = include_str!("sql.md")] // How a call is made of them: transactions, errors, plans.

/// Makes the four tables and their indexes. Run it once, in one transaction, in your migrations.
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

/// Waits for the lock of an owner, and holds it until the transaction ends.
///
/// Take it before you count live rows or look for a label. At READ COMMITTED, a statement sees only
/// what was committed before it began. Without the lock, two inserts would each count the rows
/// without the other's, and both would pass the limit.
///
/// It must be this statement. `DO NOTHING` would not wait for the lock. `SELECT … FOR UPDATE` finds
/// no row to lock for a new owner.
///
/// Parameter `$1` (text): the owner.
pub const LOCK_OWNER: &str = "
    INSERT INTO app_tokens_owners (owner) VALUES ($1)
    ON CONFLICT (owner) DO UPDATE SET owner = EXCLUDED.owner";

/// Locks rows, and selects them as they are after that, with the columns of [`FIND`].
///
/// It locks in order of id, so that two calls can't deadlock. Ask [`rules`](super::rules) about
/// these rows: only there is a damaged row recognized.
///
/// Parameter `$1` (bigint\[\]): the ids.
pub const LOCK_ROWS: &str = concat!(
    select_row!(),
    "
    WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE"
);

/// Selects what forbids an insert: one row.
///
/// | parameter | type | |
/// |---|---|---|
/// | `$1` | bigint | the new row's id |
/// | `$2` | text | its owner |
/// | `$3` | bigint | its family |
/// | `$4` | bigint | `live.now` |
/// | `$5` | text | its label |
/// | `$6` | bigint | `live.used_after` |
/// | `$7` | bigint | `live.now` + [`CLOCK_TOLERANCE`](super::CLOCK_TOLERANCE): a later stored use is not believed |
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

/// Inserts a row, and adds its key to `app_tokens_keys`. If the id is taken, it selects no row.
///
/// It takes an advisory lock on the key, shared with other inserts. Until this transaction ends,
/// [`DELETE_UNUSED_KEYS`] can't delete the key: its look at the rows would not see this one. The
/// key is looked up after the lock was taken, so a key that was deleted meanwhile is added again.
///
/// The parameters are all 23 [`RowColumns`](super::RowColumns), in their order.
///
/// Column 0 (boolean): whether the row is as it was written. If not, a trigger has changed it:
/// fail.
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

/// Writes the new forms of rows that are locked and current, each id once.
///
/// It adds their keys as [`INSERT`] does. Last use and revocation stay as they are.
///
/// | parameter | type | |
/// |---|---|---|
/// | `$1` to `$17` | | for each of the first 17 [`RowColumns`](super::RowColumns), the forms' values: bigint\[\], text\[\], and bytea\[\] for `$2` and `$16` |
///
/// `$17` are the revisions that the stored rows must have.
///
/// It selects one row for each row that it changed. Column 0 (boolean): whether the row is as it
/// was written. If not, or if a row is missing, a trigger or a rule has interfered: fail.
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

/// Begins every revocation, with its parameters for when, why and by whom.
///
/// It decodes nothing, so damage can't stop it. A negative revision becomes 0, as the table's CHECK
/// would make the UPDATE fail; the greatest stays.
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

/// Selects whether an updated row holds the revocation. If not, a trigger has kept it out: the
/// server reports such a row as updated all the same.
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
/// Column 0 (boolean): whether the row is revoked now. Fail if it is not, or if there is no row.
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
/// Repeat until column 1 is 0. A pass sees only rows that were committed before it began. If it
/// waited for a rotation to commit, only the next pass sees the rotation's new row. Without the
/// repeat, that row would escape.
///
/// | parameter | type | |
/// |---|---|---|
/// | `$1` to `$3` | | the revocation, as in [`REVOKE_ONE`] |
/// | `$4` | text | the owner |
/// | `$5` | bigint | the family |
/// | `$6` | bigint | the id of the new row, which is spared; -1 for none |
///
/// | column | type | |
/// |---|---|---|
/// | 0 | bigint | how many rows it revoked |
/// | 1 | bigint | how many rows without a revocation it found when it began |
/// | 2 | boolean | whether the revoked rows hold the revocation. If not, a trigger has kept it out: fail |
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

/// All facts of a filter except `revoked`, which a revocation itself changes.
///
/// Every fact has its place in one fixed text, so that a store over another driver need not join
/// SQL. The server plans an unnamed statement for its values and drops what is NULL.
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

/// All facts of a filter.
macro_rules! filter {
    () => {
        concat!(
            lasting_facts!(),
            "
        AND ($7::boolean IS NULL OR (revoked_at IS NOT NULL) = $7)"
        )
    };
}

/// A condition on a row of `app_tokens`: it holds if [`Filter::matches`](super::Filter::matches)
/// does.
///
/// It is not a statement. Use it in a WHERE of your own. A fact that is not asked for is NULL.
/// [`LIST`], [`REVOKE`] and [`PURGE_MATCHING`] begin with these parameters.
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
/// It leaves out a row if its id was changed to a number that can't be an id: no token leads to it.
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

// After the macros: a module sees only the macros that were defined before it.
#[path = "sql/revoke.rs"]
mod revoke;

pub use revoke::*;

// -- touch

/// Stores uses, each id at most once.
///
/// It locks the rows in order of id, so that two batches can't deadlock. An UPDATE alone locks them
/// in the order of its plan.
///
/// | parameter | type | |
/// |---|---|---|
/// | `$1` | bigint\[\] | the ids |
/// | `$2` | bigint\[\] | when each was used |
/// | `$3` | text\[\] | from which address, or NULL |
/// | `$4` | text\[\] | by which program, or NULL |
/// | `$5` | bigint | `now` + [`CLOCK_TOLERANCE`](super::CLOCK_TOLERANCE): replaces later uses |
///
/// Columns (bigint): 0 is how many rows hold their use now, and 1 is how many should. If they
/// differ, a trigger or a rule has interfered: fail.
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

#[path = "sql/purge.rs"]
mod purge;

pub use purge::*;
