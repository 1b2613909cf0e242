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

/// The three tables and their indexes. Run it once, in your own migrations, in one transaction.
pub const SCHEMA: &str = include_str!("schema.sql");

// -- insert

/// Waits for this owner's lock, and holds it until the transaction ends.
///
/// `DO NOTHING` would not wait for the lock, and `SELECT … FOR UPDATE` finds no row to lock for a
/// new owner.
///
/// Parameter `$1` (text): the owner.
pub const LOCK_OWNER: &str = "
    INSERT INTO app_tokens_owners (owner) VALUES ($1)
    ON CONFLICT (owner) DO UPDATE SET owner = EXCLUDED.owner";

/// Locks a row if it is current; selects no row otherwise.
///
/// | parameter | type | |
/// |---|---|---|
/// | `$1` | bigint | the row's id |
/// | `$2` | bigint | the revision that is expected |
///
/// | column | type | |
/// |---|---|---|
/// | 0 | text | its owner, which must be the new row's in `insert.under` |
/// | 1 | boolean | whether it is unused and has no successor, as `supersede.replaces` must be |
pub const LOCK_CURRENT: &str = "
    SELECT owner, last_used_at IS NULL AND successor IS NULL
    FROM app_tokens
    WHERE id = $1 AND revision = $2 AND revision < 9223372036854775807 AND revoked_at IS NULL
    FOR NO KEY UPDATE";

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

/// Inserts a row. If its id is taken, it inserts 0 rows.
///
/// The parameters are all 23 [`RowColumns`](super::RowColumns), in their order.
pub const INSERT: &str = "
    INSERT INTO app_tokens (
        id, digest, owner, label, scopes, resources, networks, attributes, issued_by,
        created_at, expires_at, family, successor, derived_from, key_id, seal, revision,
        revoked_at, revoked_reason, revoked_by, last_used_at, last_used_address, last_used_client
    ) VALUES (
        $1, $2, $3, $4, $5, $6, $7, $8, $9,
        $10, $11, $12, $13, $14, $15, $16, $17,
        $18, $19, $20, $21, $22, $23
    )
    ON CONFLICT (id) DO NOTHING";

/// Writes a row's new form if the stored one is current; changes 0 rows otherwise. Last use and
/// revocation stay.
///
/// The parameters are the first 17 of the new form's [`RowColumns`](super::RowColumns). The last of
/// them is the revision that is expected.
pub const REPLACE: &str = "
    UPDATE app_tokens
    SET digest = $2, owner = $3, label = $4, scopes = $5, resources = $6, networks = $7,
        attributes = $8, issued_by = $9, created_at = $10, expires_at = $11, family = $12,
        successor = $13, derived_from = $14, key_id = $15, seal = $16,
        revision = revision + 1
    WHERE id = $1 AND revision = $17 AND revision < 9223372036854775807 AND revoked_at IS NULL";

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

/// Revokes one row, unless it is revoked already.
///
/// | parameter | type | |
/// |---|---|---|
/// | `$1` | bigint | when |
/// | `$2` | text | why |
/// | `$3` | text | by whom, as [`Actor`](crate::record::Actor) prints |
/// | `$4` | bigint | the row's id |
pub const REVOKE_ONE: &str = concat!(
    "
    ",
    revoke!("$1", "$2", "$3"),
    "WHERE revoked_at IS NULL AND id = $4"
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
/// Columns (bigint): 0 is how many it revoked; 1 is how many it found without a revocation.
pub const REVOKE_DERIVED: &str = concat!(
    "
    WITH revoked AS (
        ",
    revoke!("$1", "$2", "$3"),
    "    WHERE revoked_at IS NULL AND owner = $4 AND derived_from = $5 AND id <> $6
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM revoked), count(*) FROM app_tokens
    WHERE revoked_at IS NULL AND owner = $4 AND derived_from = $5 AND id <> $6"
);

// -- find, list

macro_rules! select_row {
    () => {
        "
    SELECT id, digest, owner, label, scopes, resources, networks, attributes, issued_by,
        created_at, expires_at, family, successor, derived_from, key_id, seal, revision,
        revoked_at, revoked_reason, revoked_by, last_used_at, last_used_address, last_used_client
    FROM app_tokens"
    };
}

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
        AND ($11::bigint IS NULL OR created_at < $11)
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

/// Selects whether there are unrevoked rows under any key but some, by the index.
///
/// [`LIST`] with `revoked` and `except_key_ids` alone reads the whole table to find none, and the
/// first `issue` of each process asks for that.
///
/// | parameter | type | |
/// |---|---|---|
/// | `$1` | bigint\[\] | the keys in order, after one that is smaller than any |
/// | `$2` | bigint\[\] | the keys in order, before one that is greater than any |
///
/// Column 0 (boolean): whether there is such a row.
pub const UNDER_OTHER_KEYS: &str = "
    SELECT EXISTS (
        SELECT FROM unnest($1::bigint[], $2::bigint[]) AS gap (above, below)
        CROSS JOIN LATERAL (
            SELECT FROM app_tokens
            WHERE revoked_at IS NULL AND key_id > gap.above AND key_id < gap.below
            LIMIT 1
        ) AS one
    )";

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
/// Columns (bigint): 0 is how many rows it revoked; 1 is how many it found without a revocation.
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
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM revoked),
        (SELECT count(*) FROM app_tokens
            JOIN meant ON app_tokens.id = meant.id WHERE revoked_at IS NULL)
            + (SELECT count(*) FROM app_tokens WHERE revoked_at IS NULL AND ",
    filter!(),
    ")"
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
pub const TOUCH: &str = "
    WITH uses AS (
        SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[])
            AS use (id, at, address, client)
    ), locked AS (
        SELECT id FROM app_tokens WHERE id IN (SELECT id FROM uses) ORDER BY id FOR NO KEY UPDATE
    )
    UPDATE app_tokens
    SET last_used_at = uses.at, last_used_address = uses.address, last_used_client = uses.client
    FROM locked JOIN uses ON uses.id = locked.id
    WHERE app_tokens.id = locked.id
        AND (last_used_at IS NULL OR last_used_at < uses.at OR last_used_at > $5)";

// -- purge

/// Deletes rows that a filter matches, and checks each again once it is locked.
///
/// If the two numbers differ, run it again for the rest of the limit.
///
/// | parameter | type | |
/// |---|---|---|
/// | `$1` to `$12` | | the filter, as in [`FILTER`] |
/// | `$13` | bigint | how many at most |
///
/// Columns (bigint): 0 is how many it deleted; 1 is how many it found.
pub const PURGE_MATCHING: &str = concat!(
    "
    WITH found AS (
        SELECT id FROM app_tokens WHERE ",
    filter!(),
    "
        ORDER BY id LIMIT $13 FOR UPDATE
    ), deleted AS (
        DELETE FROM app_tokens USING found WHERE app_tokens.id = found.id RETURNING 1
    )
    SELECT (SELECT count(*) FROM deleted), (SELECT count(*) FROM found)"
);

/// The condition on dead rows. Without an idle time-out `$2` is NULL, and no comparison with NULL
/// holds.
macro_rules! dead {
    () => {
        "(revoked_at <= $1 OR expires_at <= $1 OR greatest(created_at, last_used_at) <= $2)
        AND NOT (successor IS NOT NULL AND EXISTS (
            SELECT FROM app_tokens AS other
            WHERE other.owner = app_tokens.owner AND other.family = app_tokens.family
                AND other.id <> app_tokens.id AND other.revoked_at IS NULL
                AND (other.expires_at IS NULL OR other.expires_at > $3)))
        AND NOT EXISTS (
            SELECT FROM app_tokens AS other
            WHERE other.owner = app_tokens.owner AND other.derived_from = app_tokens.family
                AND other.id <> app_tokens.id AND other.revoked_at IS NULL
                AND (other.expires_at IS NULL OR other.expires_at > $3))"
    };
}

/// Locks rows that have been dead for long enough, for [`PURGE_DEAD`], and selects their ids.
///
/// From then on nothing is issued under them.
///
/// | parameter | type | |
/// |---|---|---|
/// | `$1` | bigint | `cutoff.ended_by` |
/// | `$2` | bigint | `cutoff.unused_since` |
/// | `$3` | bigint | `cutoff.now` |
/// | `$4` | bigint | how many at most |
///
/// Column 0 (bigint): an id.
pub const LOCK_DEAD: &str = concat!(
    "
    SELECT id FROM app_tokens WHERE ",
    dead!(),
    "
    ORDER BY id LIMIT $4 FOR UPDATE"
);

/// Deletes the rows that [`LOCK_DEAD`] locked, unless they are needed by now.
///
/// A row that was issued under one before it was locked spares it, and only a statement that begins
/// later sees that row.
///
/// | parameter | type | |
/// |---|---|---|
/// | `$1` to `$3` | | as in [`LOCK_DEAD`] |
/// | `$4` | bigint\[\] | the ids |
pub const PURGE_DEAD: &str = concat!(
    "
    DELETE FROM app_tokens WHERE id = ANY ($4) AND ",
    dead!()
);

/// Deletes lock rows of owners without tokens. It skips those that are held; an insert makes one
/// again.
///
/// Parameter `$1` (bigint): how many at most.
pub const PURGE_OWNERS: &str = "
    WITH idle AS (
        SELECT owner FROM app_tokens_owners
        WHERE NOT EXISTS (
            SELECT FROM app_tokens WHERE app_tokens.owner = app_tokens_owners.owner)
        ORDER BY owner LIMIT $1 FOR UPDATE SKIP LOCKED
    )
    DELETE FROM app_tokens_owners USING idle WHERE app_tokens_owners.owner = idle.owner";
