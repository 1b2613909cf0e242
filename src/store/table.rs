//! [`TableName`]: the checked name of an SQL store's tables.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Names an SQL store's main table: `name`, or in PostgreSQL also `schema.name`.
///
/// The store's other tables and its indexes have the same name with a suffix.
///
/// A name has lower-case ASCII letters, digits and `_`, and does not begin with a digit. So it
/// means the same with and without quotes. It has at most 48 bytes, and the schema at most 63:
/// PostgreSQL cuts identifiers after 63, suffix included.
///
/// It must not be a reserved word of SQL, such as `user`. That is not checked here:
/// `SqliteStore::open_with` reports it, and in PostgreSQL the first statement fails.
///
/// ```
/// use app_tokens::store::TableName;
/// let table: TableName = "auth.app_passwords".parse()?;
/// assert_eq!(table.in_sql("SELECT id FROM app_tokens"), "SELECT id FROM auth.app_passwords");
/// assert!("app_tokens; DROP TABLE users".parse::<TableName>().is_err());
/// # Ok::<(), app_tokens::store::InvalidTableName>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TableName(Arc<str>);

/// Reports a text that is not a [`TableName`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a table name; use `[schema.]name` of lower-case letters, digits and `_`, not beginning \
     with a digit; at most 48 bytes for the name and 63 for the schema"
)]
pub struct InvalidTableName;

/// The table name in the text of every statement, which [`TableName::in_sql`] replaces.
const WRITTEN: &str = "app_tokens";
const MAX_BYTES: usize = 48;
/// PostgreSQL cuts longer identifiers: its `NAMEDATALEN` is 64, with a NUL at the end.
const MAX_SCHEMA_BYTES: usize = 63;

impl TableName {
    /// Makes a table name of a text: `name` or `schema.name`.
    ///
    /// # Errors
    /// [`InvalidTableName`] if a part is empty, too long or has any other character.
    pub fn new(name: &str) -> Result<TableName, InvalidTableName> {
        let (schema, table) = match name.split_once('.') {
            Some((schema, table)) => (Some(schema), table),
            None => (None, name),
        };
        let is_good = is_identifier(table, MAX_BYTES)
            && schema.is_none_or(|schema| is_identifier(schema, MAX_SCHEMA_BYTES));
        if is_good { Ok(TableName(name.into())) } else { Err(InvalidTableName) }
    }

    /// Returns the name, with its schema if one was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Rewrites a statement of this crate to use this table instead of `app_tokens`.
    ///
    /// It replaces every `app_tokens` in the text, so use it for statements of this crate only.
    /// After `INDEX` it writes the name without its schema: SQL creates an index in the schema of
    /// its table.
    pub fn in_sql<'s>(&self, sql: &'s str) -> Cow<'s, str> {
        if self.as_str() == WRITTEN {
            return sql.into();
        }
        let without_schema = match self.0.split_once('.') {
            Some((_, table)) => table,
            None => &self.0,
        };
        // A name can't be bound as a parameter, so it is written into the text. That is safe here:
        // the statements are constants of this crate, values from outside are always bound, and the
        // checked name has no character that could end an identifier.
        let mut written = String::with_capacity(sql.len());
        for (place, part) in sql.split(WRITTEN).enumerate() {
            if place > 0 {
                let is_index = written.ends_with("INDEX ");
                written += if is_index { without_schema } else { self.as_str() };
            }
            written += part;
        }
        written.into()
    }
}

/// Returns the name `app_tokens`.
impl Default for TableName {
    fn default() -> TableName {
        TableName(WRITTEN.into())
    }
}

impl FromStr for TableName {
    type Err = InvalidTableName;
    fn from_str(name: &str) -> Result<TableName, InvalidTableName> {
        TableName::new(name)
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// Returns whether a text is one part of a name, of at most `max` bytes.
fn is_identifier(name: &str, max: usize) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    name.len() <= max
        && name.bytes().next().is_some_and(is_letter)
        && name.bytes().all(|byte| is_letter(byte) || byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_be_anything_else_are_refused() {
        let (longest, longest_schema) = ("x".repeat(48), "s".repeat(63));
        let both = format!("{longest_schema}.{longest}");
        for good in ["t", "_", "app_tokens", "auth.tokens", "t1", "_1.a_b", &longest, &both] {
            assert_eq!(TableName::new(good).unwrap().as_str(), good);
        }
        let (long, long_schema) = ("x".repeat(49), format!("{}.t", "s".repeat(64)));
        for bad in [
            "",
            ".",
            "a.",
            ".a",
            "a.b.c",
            "1a",
            "a.1b",
            "A",
            "a b",
            "a-b",
            "a\"b",
            "a'b",
            "a;b",
            "é",
            "a\0",
            "a$b",
            " a",
            "a\n",
            &long,
            &long_schema,
        ] {
            assert_eq!(TableName::new(bad), Err(InvalidTableName), "{bad:?}");
        }
    }

    #[test]
    fn every_name_in_a_statement_is_replaced_once_and_an_index_has_no_schema() {
        let table = TableName::new("a.my_app_tokens").unwrap();
        let sql = "CREATE INDEX app_tokens_live ON app_tokens (id); DELETE FROM app_tokens_owners";
        let written = "CREATE INDEX my_app_tokens_live ON a.my_app_tokens (id); \
            DELETE FROM a.my_app_tokens_owners";
        assert_eq!(table.in_sql(sql), written);
        assert_eq!(TableName::default().in_sql(sql), sql);
    }
}
