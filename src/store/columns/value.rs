//! [`ColumnValue`]: what a driver binds for one column.

use std::fmt;

/// Holds the value of one column, of its type. `None` is NULL.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum ColumnValue<'c> {
    /// A whole number.
    Number(Option<i64>),
    /// A text.
    Text(Option<&'c str>),
    /// Bytes.
    Bytes(Option<&'c [u8]>),
}

/// Shows the type only: logs must not hold a digest or a seal.
impl fmt::Debug for ColumnValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ColumnValue::Number(_) => "Number(…)",
            ColumnValue::Text(_) => "Text(…)",
            ColumnValue::Bytes(_) => "Bytes(…)",
        })
    }
}
