//! The tables and statements of `PostgresStore`, for a store of your own over another PostgreSQL driver.
//!
//! All are written over the table `app_tokens`; [`TableName::in_sql`](super::TableName::in_sql) writes them over another. Each is
//! complete: it is run as it stands, with its parameters bound in the order of its table, each of the type given there, NULL where
//! it is none. [`RowColumns`](super::RowColumns) are a row's columns, in order and by name; an id is a bigint as it is in them. The
//! constants stand in the order of the contract on [`TokenStore`](super::TokenStore).
//!
//! `examples/sqlx_store` is a whole store made of them, over `sqlx::PgPool`.
//!
//! # Transactions
//! [`FIND`] and [`LIST`] run alone. Every other call is one transaction at **READ COMMITTED**, in which each statement sees what was
//! committed before it began; a stricter level breaks the contract, as it shows the past. In it the statements run one after the
//! other, in this order. A refusal ends the call early: nothing is written by then, so that the transaction may be committed or not.
//!
//! A call may be given up at each of its awaits, also in the midst of BEGIN and COMMIT. Its connection must not go back to a pool in a
//! transaction that is still open: what the host writes there next would be lost.
//!
//! - *insert*: [`LOCK_OWNER`] if there is a limit or the label is unique. [`LOCK_CURRENT`] for `under`. [`INSERT_CONFLICTS`]. Then the
//!   first of these that holds is the answer: `IdTaken`, `Stale`, `LimitReached`, `LabelTaken`. Else [`INSERT`]; if that created nothing,
//!   `IdTaken`.
//! - *supersede*: [`LOCK_CURRENT`] for `superseded` and `replaces`, the lower id first: against deadlocks. [`INSERT_CONFLICTS`]. Then
//!   `IdTaken` or `Stale`. Else [`INSERT`]; if that created nothing, `IdTaken`. [`REPLACE`], [`REVOKE_ONE`] for `replaces`, and
//!   [`REVOKE_DERIVED`] until it found 0 if `revokes_derived`.
//! - *replace*, for each request: [`LOCK_OWNER`] if the label is unique. [`LOCK_CURRENT`]; without a row `Stale`. If the label is unique [`INSERT_CONFLICTS`]
//!   with the form's id, owner, family and label, and perhaps `LabelTaken`. [`REPLACE`], and [`REVOKE_DERIVED`] until it found 0 if
//!   `revokes_derived`.
//! - *revoke*: [`REVOKE`] until it found 0.
//! - *touch*: [`TOUCH`], once for each time that the same id is in the batch.
//! - *purge*: [`PURGE_MATCHING`], or [`LOCK_DEAD`] and then [`PURGE_DEAD`], until as many were deleted as found or the limit is
//!   reached, each time with what is left of the limit; not until none was found, as what was deleted may be all that spared a
//!   superseded row. After dead rows that didn't reach the limit, [`PURGE_OWNERS`] with a limit that keeps up with a day of owners who lose their last token.
//!
//! What is repeated is repeated where another transaction was in between, so it ends soon. A hundred times in a row in which nothing
//! is changed are a trigger's, a rule's or row-level security's doing: an error. So are a
//! [`REPLACE`] and a [`REVOKE_ONE`] that changed none, as their rows are locked.
//!
//! Statements a transaction of the host's, for [`TokenAuthority::in_transaction`](crate::TokenAuthority::in_transaction), the same
//! statements run in the same order, without BEGIN and COMMIT; look first that `SHOW transaction_isolation` says `read committed`. A
//! deadlock is not tried again there, as an error has ended the transaction.
//!
//! # Errors
//! An error of any statement before COMMIT was sent is [`StoreError::not_done`](super::StoreError::not_done); one of COMMIT is
//! [`StoreError::unknown`](super::StoreError::unknown), unless the server itself says `ERROR`. SQLSTATE 40P01 (a deadlock) and 40001
//! are worth another try.
//!
//! # Plans
//! [`FIND`] is worth preparing. [`LIST`], [`REVOKE`] and [`PURGE_MATCHING`], [`LOCK_DEAD`] and [`PURGE_DEAD`] should be planned for the
//! values that they are given, as PostgreSQL does for an unnamed statement: a plan made for any values reads the whole table.

/// The schema as it is today: the three tables and their indexes. Run it once, in your own migrations, in one transaction.
pub const SCHEMA: &str = include_str!("schema.sql");

// -- insert

/// Waits until no other transaction holds this owner's lock, and holds it until the transaction ends.
///
/// | parameter | type | |
/// |---|---|---|
/// | `$1` | text | the owner |
pub const LOCK_OWNER: &str = "
    INSERT INTO app_tokens_owners (owner) VALUES ($1) ON CONFLICT (owner) DO UPDATE SET owner = EXCLUDED.owner";

/// Locks a row, if it is current. No row: it is not.
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

/// What stands in a new row's way. Answers one row.
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
    SELECT EXISTS (SELECT FROM app_tokens WHERE id = $1), count(*), coalesce(bool_or(label = $5), FALSE)
    FROM app_tokens
    WHERE owner = $2 AND family <> $3 AND revoked_at IS NULL AND successor IS NULL
        AND (expires_at IS NULL OR expires_at > $4)
        AND ($6::bigint IS NULL OR created_at > $6 OR last_used_at > $6 AND last_used_at <= $7)";

/// Creates a row. Where its id is taken it changes nothing: 0 rows.
///
/// The parameters are all 21 [`RowColumns`](super::RowColumns), in their order.
pub const INSERT: &str = "
    INSERT INTO app_tokens (
        id, digest, owner, label, scopes, resources, issued_by, created_at, expires_at, family, successor, derived_from,
        key_id, seal, revision, revoked_at, revoked_reason, revoked_by, last_used_at, last_used_address, last_used_client
    ) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)
    ON CONFLICT (id) DO NOTHING";

/// Writes a row's new form, if the stored one is current: else it changes 0 rows. Last use and revocation stay.
///
/// The parameters are the first 15 of the new form's [`RowColumns`](super::RowColumns), to the revision that is expected.
pub const REPLACE: &str = "
    UPDATE app_tokens
    SET digest = $2, owner = $3, label = $4, scopes = $5, resources = $6, issued_by = $7, created_at = $8, expires_at = $9,
        family = $10, successor = $11, derived_from = $12, key_id = $13, seal = $14, revision = revision + 1
    WHERE id = $1 AND revision = $15 AND revision < 9223372036854775807 AND revoked_at IS NULL";

/// Every revocation does this, with the parameters for when, why and by whom. It decodes nothing, and takes a revision that was
/// damaged for what it can be.
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
        revision = CASE revision WHEN 9223372036854775807 THEN revision ELSE greatest(revision + 1, 0) END
    "
        )
    };
}

/// Revokes one row, if it isn't yet.
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

/// Revokes what was issued under a family, so far as it was committed when this began. Run it again until it found 0: it may have
/// waited for a rotation, whose new row it doesn't see yet.
///
/// | parameter | type | |
/// |---|---|---|
/// | `$1` to `$3` | | the revocation, as in [`REVOKE_ONE`] |
/// | `$4` | text | the owner |
/// | `$5` | bigint | the family |
/// | `$6` | bigint | the id of a row that is spared: the new one; -1 for none |
///
/// | column | type | |
/// |---|---|---|
/// | 0 | bigint | how many it revoked |
/// | 1 | bigint | how many it found without a revocation |
pub const REVOKE_DERIVED: &str = concat!(
    "
    WITH ended AS (
        ",
    revoke!("$1", "$2", "$3"),
    "    WHERE revoked_at IS NULL AND owner = $4 AND derived_from = $5 AND id <> $6
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM ended), count(*) FROM app_tokens
    WHERE revoked_at IS NULL AND owner = $4 AND derived_from = $5 AND id <> $6"
);

// -- find, list

macro_rules! select_row {
    () => {
        "
    SELECT id, digest, owner, label, scopes, resources, issued_by, created_at, expires_at, family, successor, derived_from,
        key_id, seal, revision, revoked_at, revoked_reason, revoked_by, last_used_at, last_used_address, last_used_client
    FROM app_tokens"
    };
}

/// One row, if it is there. Its columns are all 21 [`RowColumns`](super::RowColumns), in their order.
///
/// | parameter | type | |
/// |---|---|---|
/// | `$1` | bigint | the id |
pub const FIND: &str = concat!(select_row!(), " WHERE id = $1");

/// All but the fact `revoked`.
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

/// What [`Filter::matches`](super::Filter::matches) says, of a row of `app_tokens`: a condition. A fact that is not asked for is
/// NULL. [`LIST`], [`REVOKE`] and [`PURGE_MATCHING`] begin with these parameters.
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

/// The rows that a filter matches, in order of id, with the columns of [`FIND`]. A row whose id was changed to a number that is
/// none can't be named, and no token leads to it.
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

/// Whether there are unrevoked rows under other keys than some, by the index: [`LIST`] with `revoked` and `except_key_ids` alone reads
/// the whole table to say that there are none, and the first issue of each process asks for that.
///
/// | parameter | type | |
/// |---|---|---|
/// | `$1` | bigint\[\] | the keys in order, and before them one that is smaller than any |
/// | `$2` | bigint\[\] | the keys in order, and after them one that is greater than any |
///
/// | column | type | |
/// |---|---|---|
/// | 0 | boolean | whether there are |
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

/// Revokes the rows that a filter matches, and what was issued under their families, so far as they were committed when it began.
/// A row that another transaction is changing is waited for and looked at again. Run it again until it found 0: what came while it
/// waited is seen then, and nothing can come after, as the rows that it revoked are locked. Where `revoked` is false, those no longer match
/// it; their families are looked at all the same, told by instant, reason and actor: with them those of an equal act in that second.
///
/// A million rows take half a minute or more. In a transaction of your own `SET LOCAL statement_timeout = 0`, with a `lock_timeout`, keeps a
/// host's time-out from ending it.
///
/// | parameter | type | |
/// |---|---|---|
/// | `$1` to `$12` | | the filter, as in [`FILTER`] |
/// | `$13` | bigint | when |
/// | `$14` | text | why |
/// | `$15` | text | by whom, as [`Actor`](crate::record::Actor) prints |
///
/// | column | type | |
/// |---|---|---|
/// | 0 | bigint | how many rows it revoked |
/// | 1 | bigint | how many it found: 0 only where none of them was without a revocation |
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
    ), ended AS (
        ",
    revoke!("$13", "$14", "$15"),
    "    FROM meant
        WHERE app_tokens.id = meant.id AND revoked_at IS NULL
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM ended),
        (SELECT count(*) FROM app_tokens JOIN meant ON app_tokens.id = meant.id WHERE revoked_at IS NULL)
            + (SELECT count(*) FROM app_tokens WHERE revoked_at IS NULL AND ",
    filter!(),
    ")"
);

// -- touch

/// Notes uses, each id once. In order of id, against deadlocks.
///
/// | parameter | type | |
/// |---|---|---|
/// | `$1` | bigint\[\] | the ids |
/// | `$2` | bigint\[\] | when each was used |
/// | `$3` | text\[\] | from which address, or NULL |
/// | `$4` | text\[\] | by which program, or NULL |
/// | `$5` | bigint | `now` and [`CLOCK_TOLERANCE`](super::CLOCK_TOLERANCE): a later one that is stored is not believed |
pub const TOUCH: &str = "
    WITH uses AS (
        SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[]) AS use (id, at, address, client)
    ), locked AS (
        SELECT id FROM app_tokens WHERE id IN (SELECT id FROM uses) ORDER BY id FOR NO KEY UPDATE
    )
    UPDATE app_tokens
    SET last_used_at = uses.at, last_used_address = uses.address, last_used_client = uses.client
    FROM locked JOIN uses ON uses.id = locked.id
    WHERE app_tokens.id = locked.id AND (last_used_at IS NULL OR last_used_at < uses.at OR last_used_at > $5)";

// -- purge

/// Deletes rows that a filter matches, looked at again once they are locked. Where the numbers differ run it again for the rest.
///
/// | parameter | type | |
/// |---|---|---|
/// | `$1` to `$12` | | the filter, as in [`FILTER`] |
/// | `$13` | bigint | how many at most |
///
/// | column | type | |
/// |---|---|---|
/// | 0 | bigint | how many it deleted |
/// | 1 | bigint | how many it found |
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

/// A comparison with NULL holds for no row: without an idle time-out its time is NULL.
macro_rules! dead {
    () => {
        "(revoked_at <= $1 OR expires_at <= $1 OR greatest(created_at, last_used_at) <= $2)
        AND NOT (successor IS NOT NULL AND EXISTS (
            SELECT FROM app_tokens AS other
            WHERE other.owner = app_tokens.owner AND other.family = app_tokens.family AND other.id <> app_tokens.id
                AND other.revoked_at IS NULL AND (other.expires_at IS NULL OR other.expires_at > $3)))
        AND NOT EXISTS (
            SELECT FROM app_tokens AS other
            WHERE other.owner = app_tokens.owner AND other.derived_from = app_tokens.family AND other.id <> app_tokens.id
                AND other.revoked_at IS NULL AND (other.expires_at IS NULL OR other.expires_at > $3))"
    };
}

/// Locks rows that have been dead for long enough, for [`PURGE_DEAD`], and answers their ids. From then on nothing is issued under
/// them.
///
/// | parameter | type | |
/// |---|---|---|
/// | `$1` | bigint | `dead.ended_by` |
/// | `$2` | bigint | `dead.unused_since` |
/// | `$3` | bigint | `dead.now` |
/// | `$4` | bigint | how many at most |
///
/// | column | type | |
/// |---|---|---|
/// | 0 | bigint | an id |
pub const LOCK_DEAD: &str = concat!(
    "
    SELECT id FROM app_tokens WHERE ",
    dead!(),
    "
    ORDER BY id LIMIT $4 FOR UPDATE"
);

/// Deletes those of the rows that [`LOCK_DEAD`] locked that are still to be deleted. What was issued under one until it was locked
/// spares it, and only a statement that begins later sees that.
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

/// Deletes lock rows of owners without tokens that nobody holds. One that an insert needs again it makes again.
///
/// | parameter | type | |
/// |---|---|---|
/// | `$1` | bigint | how many at most |
pub const PURGE_OWNERS: &str = "
    WITH idle AS (
        SELECT owner FROM app_tokens_owners
        WHERE NOT EXISTS (SELECT FROM app_tokens WHERE app_tokens.owner = app_tokens_owners.owner)
        ORDER BY owner LIMIT $1 FOR UPDATE SKIP LOCKED
    )
    DELETE FROM app_tokens_owners USING idle WHERE app_tokens_owners.owner = idle.owner";
