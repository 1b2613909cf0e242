//! Binds records and filters to statements, and reads rows.

use tokio_postgres::types::{ToSql, Type};

use super::error::Problem;
use crate::record::{CLOCK_TOLERANCE, Revocation};
use crate::store::{ColumnValue, FilterColumns, PurgeCutoff, Row, RowColumns};
use crate::timestamp::Timestamp;

/// A value to bind, with its type.
///
/// With the types, a statement need not be prepared first: it takes one round trip, and the server
/// plans it for its values.
pub(super) type Parameter<'v> = (&'v (dyn ToSql + Sync), Type);

/// Returns the parameters of [`FILTER`](crate::store::postgres_sql::FILTER), in its order.
pub(super) fn filter_params<'f>(filter: &'f FilterColumns<'_>) -> [Parameter<'f>; 12] {
    let FilterColumns {
        id,
        owner,
        family,
        except_family,
        key_id,
        except_key_ids,
        revoked,
        superseded,
        expires_before,
        expires_from,
        created_before,
        last_used_before,
    } = filter;
    [
        (id, Type::INT8),
        (owner, Type::TEXT),
        (family, Type::INT8),
        (except_family, Type::INT8),
        (key_id, Type::INT8),
        (except_key_ids, Type::INT8_ARRAY),
        (revoked, Type::BOOL),
        (superseded, Type::BOOL),
        (expires_before, Type::INT8),
        (expires_from, Type::INT8),
        (created_before, Type::INT8),
        (last_used_before, Type::INT8),
    ]
}

/// The parameters of a revocation, in the order of every statement that revokes.
pub(super) struct RevocationParams<'r> {
    at: i64,
    reason: &'r str,
    by: String,
}

impl<'r> RevocationParams<'r> {
    /// Takes the values of a revocation.
    pub(super) fn of(Revocation { at, reason, by }: &'r Revocation) -> RevocationParams<'r> {
        RevocationParams { at: at.as_unix(), reason: reason.as_str(), by: by.to_string() }
    }

    /// Returns when, why and by whom.
    pub(super) fn params(&self) -> [Parameter<'_>; 3] {
        [(&self.at, Type::INT8), (&self.reason, Type::TEXT), (&self.by, Type::TEXT)]
    }
}

/// Returns [`RowColumns::values`] as the parameters of
/// [`INSERT`](crate::store::postgres_sql::INSERT).
pub(super) fn row_params<'v>(values: &'v [ColumnValue<'_>; 23]) -> [Parameter<'v>; 23] {
    values.each_ref().map(|value| -> Parameter<'v> {
        match value {
            ColumnValue::Number(number) => (number, Type::INT8),
            ColumnValue::Text(text) => (text, Type::TEXT),
            ColumnValue::Bytes(bytes) => (bytes, Type::BYTEA),
        }
    })
}

/// The parameters of [`REPLACE`](crate::store::postgres_sql::REPLACE): an array for each column of
/// the forms.
pub(super) struct FormArrays<'c> {
    digests: Vec<Option<&'c [u8]>>,
    seals: Vec<Option<&'c [u8]>>,
    texts: [Vec<Option<&'c str>>; 7],
    numbers: [Vec<Option<i64>>; 8],
}

impl<'c> FormArrays<'c> {
    /// Collects the columns of the forms.
    pub(super) fn of(forms: &'c [RowColumns<'_>]) -> FormArrays<'c> {
        let text = |column: fn(&'c RowColumns<'_>) -> Option<&'c str>| {
            forms.iter().map(column).collect::<Vec<_>>()
        };
        let number = |column: fn(&'c RowColumns<'_>) -> Option<i64>| {
            forms.iter().map(column).collect::<Vec<_>>()
        };
        FormArrays {
            digests: forms.iter().map(|form| form.digest.as_deref()).collect(),
            seals: forms.iter().map(|form| form.seal.as_deref()).collect(),
            texts: [
                text(|form| form.owner.as_deref()),
                text(|form| form.label.as_deref()),
                text(|form| form.scopes.as_deref()),
                text(|form| form.resources.as_deref()),
                text(|form| form.networks.as_deref()),
                text(|form| form.attributes.as_deref()),
                text(|form| form.issued_by.as_deref()),
            ],
            numbers: [
                number(|form| Some(form.id)),
                number(|form| form.created_at),
                number(|form| form.expires_at),
                number(|form| form.family),
                number(|form| form.successor),
                number(|form| form.derived_from),
                number(|form| form.key_id),
                number(|form| form.revision),
            ],
        }
    }

    /// Returns the arrays, in the order of the first 17 `RowColumns`.
    pub(super) fn params(&self) -> [Parameter<'_>; 17] {
        let [owners, labels, scopes, resources, networks, attributes, issued_by] =
            self.texts.each_ref().map(|texts| (texts as _, Type::TEXT_ARRAY));
        let [ids, created_at, expires_at, families, successors, derived_from, key_ids, revisions] =
            self.numbers.each_ref().map(|numbers| (numbers as _, Type::INT8_ARRAY));
        let digests = (&self.digests as _, Type::BYTEA_ARRAY);
        let seals = (&self.seals as _, Type::BYTEA_ARRAY);
        [
            ids,
            digests,
            owners,
            labels,
            scopes,
            resources,
            networks,
            attributes,
            issued_by,
            created_at,
            expires_at,
            families,
            successors,
            derived_from,
            key_ids,
            seals,
            revisions,
        ]
    }
}

/// Returns the instants of a cutoff, in the order of the statements that purge.
pub(super) fn params_of_cutoff(cutoff: &PurgeCutoff) -> [Option<i64>; 4] {
    let PurgeCutoff { ended_by, unused_since, now } = cutoff;
    let believed_until = now.saturating_add(CLOCK_TOLERANCE);
    [Some(*ended_by), *unused_since, Some(*now), Some(believed_until)]
        .map(|instant| instant.map(Timestamp::as_unix))
}

/// Reads a row of [`FIND`](crate::store::postgres_sql::FIND) or
/// [`LIST`](crate::store::postgres_sql::LIST).
///
/// A row that can't be decoded is damaged, not an error.
pub(super) fn read_row(row: &tokio_postgres::Row) -> Result<Row, Problem> {
    let columns =
        RowColumns::read(|at| row.try_get(at), |at| row.try_get(at), |at| row.try_get(at))?;
    // Both statements select only rows with a number that can be an id, so this is never reached
    // with a server that does what it was asked.
    columns.into_row().ok_or_else(|| {
        Problem::Local(
            "PostgreSQL returned a row with an impossible id; \
             look for a rule or a view in the table's place"
                .into(),
        )
    })
}
