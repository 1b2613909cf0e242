//! The SQL that is sent to SQLite, in the order of the contract on `TokenStore`.
//!
//! Parameters with numbers (`?1`) belong to whole statements. Bare ones (`?`) belong to parts,
//! which `query.rs` joins. All are written over the table `app_tokens`; `TableName::in_sql` renames
//! it.

// -- insert

pub(super) const ID_TAKEN: &str = "SELECT 1 FROM app_tokens WHERE id = ?1";

pub(super) const CURRENT: &str = "
    SELECT 1 FROM app_tokens
    WHERE id = ?1 AND revision = ?2 AND revision < 9223372036854775807 AND revoked_at IS NULL";

pub(super) const CURRENT_OF_OWNER: &str = "
    SELECT 1 FROM app_tokens
    WHERE id = ?1 AND revision = ?2 AND revision < 9223372036854775807 AND revoked_at IS NULL
        AND owner = ?3";

pub(super) const CURRENT_AND_UNUSED: &str = "
    SELECT 1 FROM app_tokens
    WHERE id = ?1 AND revision = ?2 AND revision < 9223372036854775807 AND revoked_at IS NULL
        AND last_used_at IS NULL AND successor IS NULL";

pub(super) const LIVE_OF_OTHER_FAMILIES: &str = "
    SELECT count(*) FROM app_tokens
    WHERE owner = ?1 AND family <> ?2 AND revoked_at IS NULL AND successor IS NULL
        AND (expires_at IS NULL OR expires_at > ?3)
        AND (?4 IS NULL OR created_at > ?4 OR (last_used_at > ?4 AND last_used_at <= ?5))";

pub(super) const LABEL_TAKEN: &str = "
    SELECT 1 FROM app_tokens
    WHERE owner = ?1 AND family <> ?2 AND revoked_at IS NULL AND successor IS NULL
        AND (expires_at IS NULL OR expires_at > ?3)
        AND (?4 IS NULL OR created_at > ?4 OR (last_used_at > ?4 AND last_used_at <= ?5))
        AND label = ?6";

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

/// Writes a row's new form. The parameters are the first 17 of [`INSERT`]; `?17` is the revision
/// that the stored row must have.
pub(super) const REPLACE: &str = "
    UPDATE app_tokens
    SET digest = ?2, owner = ?3, label = ?4, scopes = ?5, resources = ?6, networks = ?7,
        attributes = ?8, issued_by = ?9, created_at = ?10, expires_at = ?11, family = ?12,
        successor = ?13, derived_from = ?14, key_id = ?15, seal = ?16,
        revision = revision + 1
    WHERE id = ?1 AND revision = ?17 AND revision < 9223372036854775807 AND revoked_at IS NULL";

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

pub(super) const FIND: &str = concat!(select_row!(), " WHERE id = ?1");

/// Leaves out rows whose id was changed to a number that is no id: no token leads to them.
pub(super) const LIST: &str = concat!(select_row!(), " WHERE id <= 1125899906842623");
pub(super) const AFTER_ID: &str = " AND id > ?";
pub(super) const IN_ORDER_OF_ID: &str = " ORDER BY id LIMIT ?";
pub(super) const AMONG: &str = " AND id IN (";
pub(super) const AMONG_END: &str = ")";

pub(super) const UNDER_ONE_KEY: &str =
    "SELECT id FROM app_tokens WHERE revoked_at IS NULL AND key_id = ?";
pub(super) const UNDER_SMALLER_KEYS: &str =
    "SELECT id FROM app_tokens WHERE revoked_at IS NULL AND key_id < ?";
pub(super) const OR_KEYS_BETWEEN: &str =
    " UNION ALL SELECT id FROM app_tokens WHERE revoked_at IS NULL AND key_id > ? AND key_id < ?";
pub(super) const OR_GREATER_KEYS: &str =
    " UNION ALL SELECT id FROM app_tokens WHERE revoked_at IS NULL AND key_id > ?";

/// [`COUNT_END`] closes the parenthesis.
pub(super) const COUNT: &str = "SELECT count(*) FROM (";
pub(super) const COUNT_END: &str = " LIMIT ?)";

// -- revoke

/// Decodes nothing. A damaged revision is brought back into range, so that it can't make the UPDATE
/// fail.
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

/// [`MATCHING_END`] closes the parenthesis.
pub(super) const REVOKE_DERIVED_FROM_MATCHING: &str = concat!(
    revoke!(),
    " AND derived_from IS NOT NULL
        AND (derived_from, owner) IN (SELECT family, owner FROM app_tokens WHERE TRUE"
);
pub(super) const MATCHING_END: &str = ")";

// -- touch

pub(super) const TOUCH: &str = "
    UPDATE app_tokens SET last_used_at = ?2, last_used_address = ?3, last_used_client = ?4
    WHERE id = ?1 AND (last_used_at IS NULL OR last_used_at < ?2 OR last_used_at > ?5)";

// -- purge

/// [`PURGE_END`] closes the parenthesis.
pub(super) const PURGE: &str = "DELETE FROM app_tokens WHERE id IN (";
pub(super) const MATCHING: &str = "SELECT id FROM app_tokens WHERE TRUE";

/// Selects dead rows. `?1` is `ended_by`, `?2` `unused_since`, `?3` `now`.
///
/// A row can be dead in three ways. One condition with OR would let the planner walk through the
/// table, so each way is a SELECT by an index of its own. The later ones leave out the rows of the
/// earlier ones, as the LIMIT counts each row once. Without an idle time-out `?2` is NULL, and no
/// comparison with NULL holds.
pub(super) const DEAD: &str = "
    SELECT id FROM (
        SELECT id, owner, family, successor FROM app_tokens WHERE revoked_at <= ?1
        UNION ALL
        SELECT id, owner, family, successor FROM app_tokens
        WHERE expires_at <= ?1 AND (revoked_at IS NULL OR revoked_at > ?1)
        UNION ALL
        SELECT id, owner, family, successor FROM app_tokens
        WHERE max(created_at, coalesce(last_used_at, created_at)) <= ?2
            AND (revoked_at IS NULL OR revoked_at > ?1) AND (expires_at IS NULL OR expires_at > ?1)
    ) AS dead
    WHERE NOT (successor IS NOT NULL AND EXISTS (
            SELECT 1 FROM app_tokens AS other
            WHERE other.owner = dead.owner AND other.family = dead.family
                AND other.id <> dead.id AND other.revoked_at IS NULL
                AND (other.expires_at IS NULL OR other.expires_at > ?3)))
        AND NOT EXISTS (
            SELECT 1 FROM app_tokens AS other
            WHERE other.owner = dead.owner AND other.derived_from = dead.family
                AND other.id <> dead.id AND other.revoked_at IS NULL
                AND (other.expires_at IS NULL OR other.expires_at > ?3))";
pub(super) const PURGE_END: &str = " LIMIT ?)";

// -- filter

pub(super) const WITH_ID: &str = " AND id = ?";
pub(super) const OF_OWNER: &str = " AND owner = ?";
pub(super) const OF_FAMILY: &str = " AND family = ?";
pub(super) const WITHOUT_FAMILY: &str = " AND family <> ? AND derived_from IS NOT ?";
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
pub(super) const CREATED_BEFORE: &str = " AND created_at < ?";
/// The expression is that of the index `app_tokens_by_last_use`, letter for letter.
pub(super) const LAST_USED_BEFORE: &str =
    " AND max(created_at, coalesce(last_used_at, created_at)) < ?";
