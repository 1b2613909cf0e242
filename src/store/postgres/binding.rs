//! How a record and a filter are bound to a statement, and how a row is read.

use tokio_postgres::types::{ToSql, Type};

use super::error::Problem;
use crate::record::{Revocation, TokenRecord};
use crate::store::{FilterColumns, Row, RowColumns};

/// A value to bind, and its type: so the server plans each statement for its values, and nothing is prepared beforehand.
pub(super) type Parameter<'v> = (&'v (dyn ToSql + Sync), Type);

/// A filter's facts, as [`FILTER`] binds them.
pub(super) fn filter_params<'f>(facts: &'f FilterColumns<'_>) -> [Parameter<'f>; 12] {
    let FilterColumns {
        id,
        owner,
        family,
        except_id,
        key_id,
        except_key_ids,
        revoked,
        superseded,
        expires_before,
        expires_from,
        created_before,
        last_used_before,
    } = facts;
    [
        (id, Type::INT8),
        (owner, Type::TEXT),
        (family, Type::INT8),
        (except_id, Type::INT8),
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

/// A revocation, as every statement that revokes binds it.
pub(super) struct RevocationParams<'r> {
    at: i64,
    reason: &'r str,
    by: String,
}

impl<'r> RevocationParams<'r> {
    pub(super) fn of(Revocation { at, reason, by }: &'r Revocation) -> RevocationParams<'r> {
        RevocationParams { at: at.as_unix(), reason: reason.as_str(), by: by.to_string() }
    }

    pub(super) fn parameters(&self) -> [Parameter<'_>; 3] {
        [(&self.at, Type::INT8), (&self.reason, Type::TEXT), (&self.by, Type::TEXT)]
    }
}

/// A record's columns, as PostgreSQL can hold them.
pub(super) fn storable(record: &TokenRecord) -> RowColumns<'_> {
    let columns = RowColumns::of(record);
    let last_used_client = columns.last_used_client.map(|client| without_nul(&client).into());
    RowColumns { last_used_client, ..columns }
}

/// PostgreSQL's texts hold no NUL. What a program calls itself is the only text of ours that could; the engine hands in none.
pub(super) fn without_nul(client: &str) -> String {
    client.replace('\0', "\u{fffd}")
}

pub(super) fn row_params<'c>(columns: &'c RowColumns<'_>) -> [Parameter<'c>; 21] {
    [
        (&columns.id, Type::INT8),
        (&columns.digest, Type::BYTEA),
        (&columns.owner, Type::TEXT),
        (&columns.label, Type::TEXT),
        (&columns.scopes, Type::TEXT),
        (&columns.resources, Type::TEXT),
        (&columns.issued_by, Type::TEXT),
        (&columns.created_at, Type::INT8),
        (&columns.expires_at, Type::INT8),
        (&columns.family, Type::INT8),
        (&columns.successor, Type::INT8),
        (&columns.derived_from, Type::INT8),
        (&columns.key_id, Type::INT8),
        (&columns.seal, Type::BYTEA),
        (&columns.revision, Type::INT8),
        (&columns.revoked_at, Type::INT8),
        (&columns.revoked_reason, Type::TEXT),
        (&columns.revoked_by, Type::TEXT),
        (&columns.last_used_at, Type::INT8),
        (&columns.last_used_address, Type::TEXT),
        (&columns.last_used_client, Type::TEXT),
    ]
}

/// Reads a row of [`FIND`] or [`LIST`]. One that makes no sense is damaged, and no error.
pub(super) fn read_row(row: &tokio_postgres::Row) -> Result<Option<Row>, Problem> {
    let columns =
        RowColumns::read(|at| row.try_get(at), |at| row.try_get(at), |at| row.try_get(at))?;
    Ok(columns.into_row())
}
