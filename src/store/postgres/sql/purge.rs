//! The statements of `purge`, and of the set of keys.

/// Deletes rows that a filter matches. It checks each row again after it was locked.
///
/// If the two numbers differ, run it again with the rest of the limit. A row that no longer matches
/// took a place in the limit, and others are left.
///
/// | parameter | type | |
/// |---|---|---|
/// | `$1` to `$12` | | the filter, as in [`FILTER`](super::FILTER) |
/// | `$13` | bigint | how many at most |
///
/// Columns (bigint): 0 is how many rows it deleted, and 1 is how many it found.
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

/// The condition on dead rows.
///
/// Without an idle time-out `$2` is NULL, and no comparison with NULL holds. An instant that can't
/// be read doesn't count. If that is the instant of a revocation, `created_at` counts instead.
///
/// `IS NOT TRUE` makes PostgreSQL run the two look-ups for each row. It would plan `NOT EXISTS` as
/// a join with the whole table, again for each part of the walk.
macro_rules! dead {
    () => {
        "(CASE
            WHEN revoked_at BETWEEN 0 AND 253402300799 THEN revoked_at <= $1
            ELSE revoked_at IS NOT NULL AND created_at BETWEEN 0 AND $1
        END
        OR expires_at BETWEEN 0 AND $1
        OR created_at >= 0
            AND greatest(created_at, CASE WHEN last_used_at <= $4 THEN last_used_at END) <= $2)
        AND (successor IS NOT NULL AND EXISTS (
            SELECT FROM app_tokens AS other
            WHERE other.owner = app_tokens.owner AND other.family = app_tokens.family
                AND other.id <> app_tokens.id AND other.revoked_at IS NULL
                AND (other.expires_at BETWEEN 0 AND $3) IS NOT TRUE)
        ) IS NOT TRUE
        AND EXISTS (
            SELECT FROM app_tokens AS other
            WHERE other.owner = app_tokens.owner AND other.derived_from = app_tokens.family
                AND other.id <> app_tokens.id AND other.revoked_at IS NULL
                AND (other.expires_at BETWEEN 0 AND $3) IS NOT TRUE
        ) IS NOT TRUE"
    };
}

/// Selects the number of the table's pages (bigint), where the walk of [`LOCK_DEAD`] ends.
///
/// It is 0 for a partitioned table, so use plain tables only.
pub const PAGES: &str = "
    SELECT pg_relation_size('app_tokens') / current_setting('block_size')::bigint";

/// Locks rows that have been dead for long enough, on some of the table's pages. Selects them with
/// the columns of [`FIND`](super::FIND).
///
/// It goes by raw columns, and in a damaged row these may be junk. So ask
/// [`rules::purge`](crate::store::rules::purge) about each row alone, and hand in its id to
/// [`PURGE_DEAD`] only if the rule deletes it. Leave the others out in the next pass (`$8`), as
/// each takes a place in the limit.
///
/// While they are locked, nothing can be issued under them. No index finds dead rows, so a purge
/// walks through the table, a thousand pages for each statement. Each page is read once.
///
/// | parameter | type | |
/// |---|---|---|
/// | `$1` | bigint | `cutoff.ended_by` |
/// | `$2` | bigint | `cutoff.unused_since` |
/// | `$3` | bigint | `cutoff.now` |
/// | `$4` | bigint | `cutoff.now` + [`CLOCK_TOLERANCE`](crate::store::CLOCK_TOLERANCE): a later stored use is not believed |
/// | `$5` | bigint | how many at most |
/// | `$6` | bigint | the first page, from 0 |
/// | `$7` | bigint | the page at which it stops |
/// | `$8` | bigint\[\] | the ids of rows to leave out; never NULL |
pub const LOCK_DEAD: &str = concat!(
    "
    WITH found (found_id) AS MATERIALIZED (
        SELECT id FROM app_tokens
        WHERE id BETWEEN 0 AND 1125899906842623 AND id <> ALL ($8::bigint[])
        AND ctid >= format('(%s,0)', $6::bigint)::tid AND ctid < format('(%s,0)', $7::bigint)::tid
        AND ",
    dead!(),
    "
        LIMIT $5
    )",
    select_row!(),
    "
    JOIN found ON id = found_id ORDER BY id FOR UPDATE"
);

/// Deletes rows that [`LOCK_DEAD`] locked, unless another row needs them by now.
///
/// It must be a statement of its own. A token may have been issued under a dead row just before the
/// lock was taken. Only a statement that begins after the lock sees that token's row.
///
/// | parameter | type | |
/// |---|---|---|
/// | `$1` to `$4` | | as in [`LOCK_DEAD`] |
/// | `$5` | bigint\[\] | the ids |
pub const PURGE_DEAD: &str = concat!(
    "
    DELETE FROM app_tokens WHERE id = ANY ($5) AND ",
    dead!()
);

/// Deletes the lock rows of owners without tokens.
///
/// It skips locks that are held. If an owner gets a token again, the insert makes a new lock row.
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

/// Finds keys in `app_tokens_keys` under which no unrevoked row is sealed, and locks them for
/// [`DELETE_UNUSED_KEYS`].
///
/// It skips a key that a transaction is just using, and never waits. If it waited, every later
/// insert under that key would wait behind it.
///
/// Column 0 (bigint): a key.
pub const LOCK_UNUSED_KEYS: &str = "
    WITH unused AS MATERIALIZED (
        SELECT key_id FROM app_tokens_keys AS known
        WHERE (
            SELECT 1 FROM app_tokens
            WHERE app_tokens.key_id = known.key_id AND revoked_at IS NULL LIMIT 1
        ) IS NULL
    )
    SELECT key_id FROM unused
    WHERE pg_try_advisory_xact_lock(hashtextextended('app_tokens_keys', key_id))";

/// Deletes the keys that [`LOCK_UNUSED_KEYS`] locked, unless they are in use by now.
///
/// It must be a statement of its own. Only a statement that begins after the lock sees every row
/// that was written before it.
///
/// Parameter `$1` (bigint\[\]): the keys.
pub const DELETE_UNUSED_KEYS: &str = "
    DELETE FROM app_tokens_keys AS known
    WHERE key_id = ANY ($1) AND (
        SELECT 1 FROM app_tokens
        WHERE app_tokens.key_id = known.key_id AND revoked_at IS NULL LIMIT 1
    ) IS NULL";

// -- keys_in_use

/// Selects the keys under which unrevoked rows are sealed, in order. A key too many is possible.
///
/// Column 0 (bigint): a key.
pub const KEYS_IN_USE: &str = "SELECT key_id FROM app_tokens_keys ORDER BY key_id";
