//! Binds a record to a statement, and reads a row from one.

use std::error::Error;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Statement, ToSql};

use crate::store::columns::{as_id, number};
use crate::store::{ColumnValue, DamagedRow, Row, RowColumns};
use crate::text::Owner;
use crate::timestamp::Timestamp;
use crate::token::TokenId;

/// Returns the parameters of [`INSERT`](super::sql::INSERT), in its order.
pub(super) fn row_params<'c>(columns: &'c RowColumns<'_>) -> [ToSqlOutput<'c>; 23] {
    columns.values().map(|value| {
        let value = match value {
            ColumnValue::Number(number) => number.map(ValueRef::Integer),
            ColumnValue::Text(text) => text.map(|text| ValueRef::Text(text.as_bytes())),
            ColumnValue::Bytes(bytes) => bytes.map(ValueRef::Blob),
        };
        ToSqlOutput::Borrowed(value.unwrap_or(ValueRef::Null))
    })
}

/// Returns the parameters of [`REPLACE_WITH_EXPIRY`](super::sql::REPLACE_WITH_EXPIRY), in its
/// order. The first 12 are those of [`REPLACE`](super::sql::REPLACE).
pub(super) fn form_params<'c>(columns: &'c RowColumns<'_>) -> [&'c dyn ToSql; 13] {
    [
        &columns.id,
        &columns.revision,
        &columns.digest,
        &columns.label,
        &columns.scopes,
        &columns.resources,
        &columns.networks,
        &columns.attributes,
        &columns.issued_by,
        &columns.successor,
        &columns.key_id,
        &columns.seal,
        &columns.expires_at,
    ]
}

/// Runs a prepared [`FIND`](super::sql::FIND) for one id.
pub(super) fn find_row(
    statement: &mut Statement<'_>,
    id: TokenId,
) -> rusqlite::Result<Option<Row>> {
    let mut rows = statement.query([number(id)])?;
    rows.next()?.map(read_row).transpose()
}

/// Reads a row of [`FIND`](super::sql::FIND) or [`LIST`](super::sql::LIST).
///
/// A row that can't be decoded is damaged, not an error.
pub(super) fn read_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let id = row.get(0)?;
    let columns = RowColumns::read::<Box<dyn Error>>(
        |at| Ok(row.get_ref(at)?.as_i64_or_null()?),
        |at| Ok(row.get_ref(at)?.as_str_or_null()?),
        |at| Ok(row.get_ref(at)?.as_blob_or_null()?),
    );
    // A damaged file may hold a text that is not UTF-8, or a value of another type than its column
    // has. Then `read` fails at the first such column, and the others are read one by one.
    let read = columns.map_or_else(|_| as_id(id).map(|id| damaged(row, id)), RowColumns::into_row);
    read.ok_or(rusqlite::Error::IntegralValueOutOfRange(0, id))
}

/// Returns what can be read of a row with columns of the wrong type, as a damaged row.
///
/// The columns are those of [`FIND`](super::sql::FIND).
fn damaged(row: &rusqlite::Row<'_>, id: TokenId) -> Row {
    let number = |name| row.get_ref(name).ok().and_then(|value| value.as_i64().ok());
    let owner = row.get_ref("owner").ok().and_then(|value| value.as_str().ok());
    // Any value but NULL revokes, even one that is no instant: damage must not undo a revocation.
    let revoked_at = row.get_ref("revoked_at").ok().filter(|value| *value != ValueRef::Null);
    Row::damaged(DamagedRow {
        owner: owner.and_then(|owner| Owner::new(owner).ok()),
        family: number("family").and_then(as_id),
        derived_from: number("derived_from").and_then(as_id),
        created_at: number("created_at").and_then(|at| Timestamp::from_unix(at).ok()),
        is_revoked: revoked_at.is_some(),
        revoked_at: number("revoked_at").and_then(|at| Timestamp::from_unix(at).ok()),
        ..DamagedRow::of_id(id)
    })
}
