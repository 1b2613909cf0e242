//! How a record is bound to a statement, and how a row is read.

use std::error::Error;

use rusqlite::{Statement, ToSql};

use crate::store::columns::{as_id, number};
use crate::store::{Row, RowColumns};
use crate::token::TokenId;

pub(super) fn look_up(statement: &mut Statement<'_>, id: TokenId) -> rusqlite::Result<Option<Row>> {
    let mut rows = statement.query([number(id)])?;
    rows.next()?.map(row_of).transpose()
}

/// What [`INSERT`] binds.
pub(super) fn parameters<'c>(columns: &'c RowColumns<'_>) -> [&'c dyn ToSql; 21] {
    [
        &columns.id,
        &columns.digest,
        &columns.owner,
        &columns.label,
        &columns.scopes,
        &columns.resources,
        &columns.issued_by,
        &columns.created_at,
        &columns.expires_at,
        &columns.family,
        &columns.successor,
        &columns.derived_from,
        &columns.key_id,
        &columns.seal,
        &columns.revision,
        &columns.revoked_at,
        &columns.revoked_reason,
        &columns.revoked_by,
        &columns.last_used_at,
        &columns.last_used_address,
        &columns.last_used_client,
    ]
}

/// Reads a row of [`FIND`] or [`LIST`]. One that makes no sense is damaged, and no error.
pub(super) fn row_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let id = row.get(0)?;
    let columns = RowColumns::read::<Box<dyn Error>>(
        |at| Ok(row.get_ref(at)?.as_i64_or_null()?),
        |at| Ok(row.get_ref(at)?.as_str_or_null()?),
        |at| Ok(row.get_ref(at)?.as_blob_or_null()?),
    );
    // A text may be no UTF-8, and a column of another type: SQLite keeps both.
    let read = columns.map_or_else(|_| as_id(id).map(Row::damaged), RowColumns::into_row);
    read.ok_or(rusqlite::Error::IntegralValueOutOfRange(0, id))
}
