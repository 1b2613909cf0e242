//! The SQL that is sent to SQLite, in the order of the contract on `TokenStore`.
//!
//! Numbered parameters (`?1`) belong to whole statements. Bare ones (`?`) belong to parts that
//! `query.rs` joins: their numbers depend on what comes before them.
//!
//! Every statement names the table `app_tokens`; `TableName::in_sql` replaces the name.

// -- insert

/// Selects a row if the id `?1` is taken.
pub(super) const ID_TAKEN: &str = "SELECT 1 FROM app_tokens WHERE id = ?1";

/// Counts the live rows of the owner `?1` outside the family `?2`, as `TokenRecord::is_live` does.
///
/// `?3` is `now`, `?4` is `used_after` or NULL, and `?5` is until when a stored use is believed.
pub(super) const LIVE_OF_OTHER_FAMILIES: &str = "
    SELECT count(*) FROM app_tokens
    WHERE owner = ?1 AND family <> ?2 AND revoked_at IS NULL AND successor IS NULL
        AND (expires_at IS NULL OR expires_at > ?3)
        AND (?4 IS NULL OR created_at > ?4 OR (last_used_at > ?4 AND last_used_at <= ?5))";

/// Selects a row if one of those that [`LIVE_OF_OTHER_FAMILIES`] counts has the label `?6`.
pub(super) const LABEL_TAKEN: &str = "
    SELECT 1 FROM app_tokens
    WHERE owner = ?1 AND family <> ?2 AND revoked_at IS NULL AND successor IS NULL
        AND (expires_at IS NULL OR expires_at > ?3)
        AND (?4 IS NULL OR created_at > ?4 OR (last_used_at > ?4 AND last_used_at <= ?5))
        AND label = ?6";

/// Inserts a row. The parameters are all `RowColumns`, in their order.
pub(super) const INSERT: &str = "
    INSERT INTO app_tokens (
        id, digest, owner, label, scopes, resources, networks, attributes, issued_by,
        created_at, expires_at, family, successor, derived_from, key_id, seal, revision,
        revoked_at, revoked_reason, revoked_by, last_used_at, last_used_address, last_used_client
    ) VALUES (
        ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9,
        ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17,
        ?18, ?19, ?20, ?21, ?22, ?23
    )";

/// Adds a key to the set of keys in use.
///
/// Every transaction that seals a row runs it, even for a key that this process has added before.
/// Another process may have removed the key since.
pub(super) const ADD_KEY: &str =
    "INSERT INTO app_tokens_keys (key_id) VALUES (?1) ON CONFLICT DO NOTHING";

/// Writes a row's new form. `?1` is the id, `?2` is the revision that the stored row must have.
///
/// It leaves out owner, family, `derived_from` and `created_at`: a form has those of its row. An
/// UPDATE that names an indexed column writes the index again, even if the value is the same.
macro_rules! replace {
    () => {
        "
    UPDATE app_tokens
    SET digest = ?3, label = ?4, scopes = ?5, resources = ?6, networks = ?7, attributes = ?8,
        issued_by = ?9, successor = ?10, key_id = ?11, seal = ?12, revision = revision + 1"
    };
}

/// The condition of clause 13. The greatest revision can't be incremented, so such a row is never
/// replaced.
macro_rules! if_current {
    () => {
        "
    WHERE id = ?1 AND revision = ?2 AND revision < 9223372036854775807 AND revoked_at IS NULL"
    };
}

/// Writes a form that expires when its row does.
pub(super) const REPLACE: &str = concat!(replace!(), if_current!());
/// Writes a form with another expiry. `?13` is the new `expires_at`.
pub(super) const REPLACE_WITH_EXPIRY: &str =
    concat!(replace!(), ", expires_at = ?13", if_current!());

// -- find, list

/// Selects all `RowColumns`, in their order.
macro_rules! select_row {
    () => {
        "
    SELECT id, digest, owner, label, scopes, resources, networks, attributes, issued_by,
        created_at, expires_at, family, successor, derived_from, key_id, seal, revision,
        revoked_at, revoked_reason, revoked_by, last_used_at, last_used_address, last_used_client
    FROM app_tokens"
    };
}

/// Selects the row with the id `?1`.
pub(super) const FIND: &str = concat!(select_row!(), " WHERE id = ?1");

/// Begins a list. It leaves out a row if its id was changed to a number that can't be an id: no
/// token leads to it.
///
/// The `+` keeps SQLite from taking this as the upper end of a search by id. A step has an end of
/// its own ([`UP_TO_ID`]), and SQLite searches by only one of the two. With this one, each step
/// would read the rest of the table.
pub(super) const LIST: &str = concat!(select_row!(), " WHERE +id <= 1125899906842623");
pub(super) const AFTER_ID: &str = " AND id > ?";
pub(super) const IN_ORDER_OF_ID: &str = " ORDER BY id LIMIT ?";
pub(super) const AMONG: &str = " AND id IN (";
pub(super) const AMONG_END: &str = ")";

/// Selects the last id of the next `?2` rows after `?1`; no row if fewer follow.
///
/// An OFFSET skips rows without decoding their columns, so this is cheap.
pub(super) const LAST_OF_STEP: &str =
    "SELECT id FROM app_tokens WHERE id > ?1 ORDER BY id LIMIT 1 OFFSET ?2 - 1";
pub(super) const UP_TO_ID: &str = " AND id <= ?";

/// Counts rows, up to a limit. [`COUNT_END`] closes the parenthesis.
pub(super) const COUNT: &str = "SELECT count(*) FROM (";
pub(super) const COUNT_END: &str = " LIMIT ?)";

// -- revoke

/// Begins every revocation. The parameters are when, why and by whom.
///
/// It decodes nothing, so damage can't stop it. A negative revision becomes 0, as the table's CHECK
/// would make the UPDATE fail; the greatest stays.
macro_rules! revoke {
    () => {
        "
    UPDATE app_tokens
    SET revoked_at = ?, revoked_reason = ?, revoked_by = ?, seal = NULL,
        revision = CASE
            WHEN revision < 0 THEN 0
            WHEN revision < 9223372036854775807 THEN revision + 1
            ELSE revision
        END
    WHERE revoked_at IS NULL"
    };
}

pub(super) const REVOKE: &str = revoke!();
pub(super) const REVOKE_ONE: &str = concat!(revoke!(), " AND id = ?");
pub(super) const REVOKE_DERIVED: &str = concat!(revoke!(), " AND owner = ? AND derived_from = ?");

/// Revokes what derives from the rows that a filter matches. [`MATCHING_END`] closes the
/// parenthesis.
///
/// The last parameter before the filter is when they are revoked. A row that is superseded and had
/// ended by then reaches nothing. In a damaged row both columns may be junk, so they must be
/// possible.
///
/// Run it before the matching rows are revoked: afterwards they may no longer match.
pub(super) const REVOKE_DERIVED_FROM_MATCHING: &str = concat!(
    revoke!(),
    " AND derived_from IS NOT NULL
        AND (derived_from, owner) IN (SELECT family, owner FROM app_tokens
            WHERE (successor BETWEEN 0 AND 1125899906842623
                AND expires_at BETWEEN 0 AND ?) IS NOT TRUE"
);
pub(super) const MATCHING_END: &str = ")";

// -- touch

/// Stores a use of the row `?1` if it is later than the stored one. Also replaces a stored use
/// after `?5`: later ones are not believed.
pub(super) const TOUCH: &str = "
    UPDATE app_tokens SET last_used_at = ?2, last_used_address = ?3, last_used_client = ?4
    WHERE id = ?1 AND (last_used_at IS NULL OR last_used_at < ?2 OR last_used_at > ?5)";

// -- purge

/// Deletes the rows that a query selects, up to a limit. [`PURGE_END`] closes the parenthesis.
pub(super) const PURGE: &str = "DELETE FROM app_tokens WHERE id IN (";
pub(super) const MATCHING: &str = "SELECT id FROM app_tokens WHERE TRUE";
pub(super) const PURGE_END: &str = " LIMIT ?)";
pub(super) const DELETE: &str = "DELETE FROM app_tokens WHERE id = ?1";

/// Selects dead rows. Conditions on the id are appended.
///
/// `?1` is `ended_by`, `?2` is `unused_since`, `?3` is `now`, and `?4` is until when a stored use
/// is believed. Without an idle time-out `?2` is NULL, and no comparison with NULL holds.
///
/// The `+` before `id` is there for the same reason as in [`LIST`].
///
/// The index of families leaves out the first row of a line, so that row is looked up by its id.
/// The `+` before `other.owner` keeps SQLite from using the index of owners there: an owner may
/// have many rows, a family has few.
pub(super) const DEAD: &str = concat!(
    select_row!(),
    " AS dead
    WHERE +id <= 1125899906842623
        AND (revoked_at IS NOT NULL
            AND iif(revoked_at BETWEEN 0 AND 253402300799, revoked_at, created_at) <= ?1
            OR expires_at <= ?1
            OR max(created_at, iif(last_used_at <= ?4, last_used_at, created_at)) <= ?2)
        AND NOT (successor IS NOT NULL AND (
            EXISTS (
                SELECT 1 FROM app_tokens AS other
                WHERE other.family = dead.family AND other.family <> other.id
                    AND +other.owner = dead.owner
                    AND other.id <> dead.id AND other.revoked_at IS NULL
                    AND (other.expires_at BETWEEN 0 AND ?3) IS NOT TRUE)
            OR EXISTS (
                SELECT 1 FROM app_tokens AS other
                WHERE other.id = dead.family AND other.family = dead.family
                    AND +other.owner = dead.owner
                    AND other.id <> dead.id AND other.revoked_at IS NULL
                    AND (other.expires_at BETWEEN 0 AND ?3) IS NOT TRUE)))
        AND NOT EXISTS (
            SELECT 1 FROM app_tokens AS other
            WHERE other.derived_from = dead.family AND +other.owner = dead.owner
                AND other.id <> dead.id AND other.revoked_at IS NULL
                AND (other.expires_at BETWEEN 0 AND ?3) IS NOT TRUE)"
);

// -- keys_in_use

/// Selects the set of keys in use. It may hold a key too many.
pub(super) const KEYS: &str = "SELECT key_id FROM app_tokens_keys ORDER BY key_id";
/// Selects the keys that seal unrevoked rows. Conditions on the id are appended.
pub(super) const KEYS_OF_ROWS: &str =
    "SELECT DISTINCT key_id FROM app_tokens WHERE revoked_at IS NULL";
/// Removes the key `?1` from the set if it seals no unrevoked row.
///
/// It scans the table while the file is locked. So it is sent only for a key that a walk without
/// the lock did not find.
pub(super) const FORGET_KEY: &str = "
    DELETE FROM app_tokens_keys
    WHERE key_id = ?1
        AND NOT EXISTS (SELECT 1 FROM app_tokens WHERE key_id = ?1 AND revoked_at IS NULL)";

// -- filter

pub(super) const WITH_ID: &str = " AND id = ?";
pub(super) const OF_OWNER: &str = " AND owner = ?";
/// Used with [`OF_FAMILY`]. The `+` keeps SQLite from using the index of owners: the index of
/// families leaves fewer rows.
pub(super) const AND_OF_OWNER: &str = " AND +owner = ?";
/// The `+` before `id` is there for the same reason as in [`LIST`].
///
/// The index of families leaves out the first row of a line, so that row is looked up by its id.
pub(super) const OF_FAMILY: &str = " AND id IN (
    SELECT id FROM app_tokens WHERE id = ? AND family = ?
    UNION ALL SELECT id FROM app_tokens WHERE family = ? AND family <> id)";
/// Leaves out a family that is spared, and what was issued under it.
///
/// `IS NOT` lets a row with NULL match, as most rows have no `derived_from`. With `<>` the
/// condition would be NULL, and such a row would be spared.
pub(super) const WITHOUT_FAMILY: &str = " AND family IS NOT ? AND derived_from IS NOT ?";
pub(super) const UNDER_KEY: &str = " AND key_id = ?";
pub(super) const UNDER_OTHER_KEYS: &str = " AND key_id NOT IN (?";
pub(super) const AND_OTHER: &str = ", ?";
pub(super) const OTHERS_END: &str = ")";
pub(super) const REVOKED: &str = " AND revoked_at IS NOT NULL";
pub(super) const UNREVOKED: &str = " AND revoked_at IS NULL";
pub(super) const SUPERSEDED: &str = " AND successor IS NOT NULL";
pub(super) const UNSUPERSEDED: &str = " AND successor IS NULL";
pub(super) const EXPIRES_BEFORE: &str = " AND expires_at < ?";
pub(super) const EXPIRES_FROM: &str = " AND expires_at >= ?";
pub(super) const CREATED_BEFORE: &str = " AND created_at >= 0 AND created_at < ?";
pub(super) const LAST_USED_BEFORE: &str =
    " AND max(created_at, coalesce(last_used_at, created_at)) < ?";
