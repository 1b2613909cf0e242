//! The statement of `revoke`.

/// The condition on matching rows of [`REVOKE`] through whose families it reaches others.
macro_rules! reaches_derived {
    () => {
        "($1 IS NULL AND $3 IS NULL AND successor BETWEEN 0 AND 1125899906842623
            AND expires_at BETWEEN 0 AND $13) IS NOT TRUE"
    };
}

/// Revokes the rows that a filter matches, and what was issued under their families.
///
/// **Repeat until column 1 is 0.** A pass sees only rows that were committed before it began. If a
/// row is being changed by another transaction, the pass waits and reads that row again. It does
/// not see rows that were inserted meanwhile; the next pass does. After the last pass no successor
/// or derived token can escape: its insert needs a row that is now revoked and locked.
///
/// A row that is superseded and had ended by `$13` reaches nothing through its family, unless `$1`
/// or `$3` names it. In a damaged row both columns may be junk, so they must be possible.
///
/// If the filter asks for `revoked = FALSE`, the rows that one pass has revoked no longer match in
/// the next. But the contract decides by the rows as they stood before the call, so their families
/// must still be looked at. Therefore a row also counts if it has exactly this revocation: instant,
/// reason and actor. That includes the rows of an equal revocation within the same second.
///
/// A million rows take half a minute or more. If the host's `statement_timeout` is shorter, set
/// `SET LOCAL statement_timeout = 0` and a `lock_timeout` in your own transaction.
///
/// | parameter | type | |
/// |---|---|---|
/// | `$1` to `$12` | | the filter, as in [`FILTER`](super::FILTER) |
/// | `$13` | bigint | when |
/// | `$14` | text | why |
/// | `$15` | text | by whom, as [`Actor`](crate::record::Actor) prints |
///
/// It selects the same columns as [`REVOKE_DERIVED`](super::REVOKE_DERIVED).
pub const REVOKE: &str = concat!(
    "
    WITH matching AS (
        SELECT id, owner, family, successor, expires_at FROM app_tokens WHERE ",
    filter!(),
    "
        ORDER BY id FOR NO KEY UPDATE
    ), families AS (
        SELECT owner, family FROM matching WHERE ",
    reaches_derived!(),
    "
        UNION
        SELECT owner, family FROM app_tokens
        WHERE NOT $7 AND revoked_at = $13 AND revoked_reason = $14 AND revoked_by = $15 AND ",
    reaches_derived!(),
    " AND ",
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
