//! Values that can be written by hand into each column of a row, the same for each SQL store.
//!
//! What only one of them can hold stands beside its own tests.

use Value::{Bytes, Null, Number, Repeated, Text};

#[derive(Clone, Copy, Debug)]
pub enum Dialect {
    Sqlite,
    Postgres,
}

#[derive(Clone, Copy, Debug)]
enum Value {
    Null,
    Number(i64),
    Text(&'static str),
    /// This text, so many times.
    Repeated(&'static str, usize),
    /// These bytes, and then so many zeros.
    Bytes(&'static [u8], usize),
}

impl Value {
    fn literal(self, dialect: Dialect) -> String {
        match self {
            Null => "NULL".into(),
            Number(number) => number.to_string(),
            // A line break may stand in a literal of either.
            Text(text) => format!("'{text}'"),
            Repeated(text, times) => format!("'{}'", text.repeat(times)),
            Bytes(first, zeros) => {
                let bytes = first.iter().copied().chain(std::iter::repeat_n(0, zeros));
                let hex: String = bytes.map(|byte| format!("{byte:02x}")).collect();
                match dialect {
                    Dialect::Sqlite => format!("x'{hex}'"),
                    Dialect::Postgres => format!("'\\x{hex}'"),
                }
            }
        }
    }
}

/// Returns each damage as the assignments of an `UPDATE`, and whether the row can still be read.
pub fn damages(dialect: Dialect) -> Vec<(String, bool)> {
    let set = |(column, value): (&str, Value)| format!("{column} = {}", value.literal(dialect));
    let one = DAMAGE.iter().map(|(column, value, readable)| (set((column, *value)), *readable));
    let two = UNREADABLE_TOGETHER.iter().map(|pair| (pair.map(set).join(", "), false));
    one.chain(two).collect()
}

/// The last second of the calendar.
const LAST: i64 = 253_402_300_799;
/// The first number that is no id.
const NO_ID: i64 = 1 << 50;

/// A column, what is written into it, and whether the row can still be read.
const DAMAGE: &[(&str, Value, bool)] = &[
    ("digest", Bytes(&[], 0), false),
    ("digest", Bytes(&[1], 0), false),
    ("digest", Bytes(&[0], 32), true),
    ("digest", Bytes(&[1], 32), true),
    ("digest", Bytes(&[2], 32), false),
    ("digest", Bytes(&[4], 32), true),
    ("digest", Bytes(&[4], 512), false),
    ("owner", Text(""), false),
    ("owner", Text("mallory"), true),
    ("owner", Repeated("x", 256), false),
    ("label", Text(" My phone"), false),
    ("label", Text("a\nb"), false),
    ("scopes", Null, true),
    ("scopes", Text(""), true),
    ("scopes", Text("w\nr"), false),
    ("scopes", Text("\n"), false),
    ("scopes", Text("r\n"), false),
    ("scopes", Text("r\nr"), false),
    ("scopes", Text("r w"), false),
    ("resources", Text("a*b"), false),
    ("resources", Text("under:a/"), false),
    ("resources", Text("under:b\nexact:a"), false),
    ("resources", Null, true),
    ("networks", Text(""), true),
    ("networks", Text("10.0.0.0/8"), true),
    ("networks", Text("10.0.0.1/8"), false),
    ("networks", Text("192.0.2.7"), false),
    ("networks", Text("::ffff:10.0.0.0/104"), false),
    ("networks", Text("9.0.0.0/8\n10.0.0.0/8"), false),
    ("attributes", Text("a b"), true),
    ("attributes", Text(""), false),
    ("attributes", Text("a"), false),
    ("attributes", Text("a "), false),
    ("attributes", Text("a  b"), false),
    ("attributes", Text("b x\na x"), false),
    ("attributes", Text("a x\na x"), false),
    ("issued_by", Text(""), false),
    ("issued_by", Text("mallory"), true),
    ("created_at", Number(-1), false),
    ("created_at", Number(LAST + 1), false),
    ("created_at", Number(i64::MAX), false),
    ("expires_at", Null, true),
    ("expires_at", Number(LAST), true),
    ("expires_at", Number(i64::MIN), false),
    ("family", Number(-1), false),
    ("family", Number(NO_ID), false),
    ("successor", Number(-1), false),
    ("derived_from", Number(i64::MAX), false),
    ("revision", Number(i64::MIN), false),
    ("revoked_reason", Text("leaked"), false),
    ("revoked_by", Text("owner"), false),
    ("last_used_at", Number(-1), false),
    ("key_id", Number(0), false),
    ("key_id", Number(-1), false),
    ("key_id", Number(1 << 32), false),
    ("key_id", Number((1 << 32) - 1), true),
    ("seal", Null, true),
    ("seal", Bytes(&[], 0), false),
    ("seal", Bytes(&[], 65), false),
    ("seal", Bytes(&[1], 0), false),
    ("seal", Bytes(&[1], 31), false),
    ("seal", Bytes(&[1], 33), false),
    ("seal", Bytes(&[1], 32), true),
    ("seal", Bytes(&[2], 32), true),
];

const UNREADABLE_TOGETHER: &[[(&str, Value); 2]] = &[
    [("last_used_at", Null), ("last_used_client", Text("x"))],
    [("last_used_at", Number(9)), ("last_used_address", Text("localhost"))],
];
