//! [`TableName`]: the name of an SQL store's tables.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The name of an SQL store's table, in PostgreSQL also `schema.name`. The store's other tables and
/// its indexes have the same name with a suffix.
///
/// It has lower-case ASCII letters, digits and `_`, and no digit first, so it is the same name with
/// quotes and without. It has at most 48 bytes, and the schema 63, so that PostgreSQL cuts no name.
/// It must not be a reserved word of SQL, such as `user`.
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

/// The error for a text that is no [`TableName`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a table's name: it must be [schema.]name, of lower-case letters, digits and _, \
     no digit first, the name at most 48 bytes long"
)]
pub struct InvalidTableName;

/// The name over which statements are written.
const WRITTEN: &str = "app_tokens";
const MAX_BYTES: usize = 48;
/// PostgreSQL's `NAMEDATALEN - 1`.
const MAX_SCHEMA_BYTES: usize = 63;

impl TableName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`InvalidTableName`] for anything but `[schema.]name`.
    pub fn new(name: &str) -> Result<TableName, InvalidTableName> {
        let (schema, table) = match name.split_once('.') {
            Some((schema, table)) => (Some(schema), table),
            None => (None, name),
        };
        let is_good = is_identifier(table, MAX_BYTES)
            && schema.is_none_or(|schema| is_identifier(schema, MAX_SCHEMA_BYTES));
        if is_good { Ok(TableName(name.into())) } else { Err(InvalidTableName) }
    }

    /// The name, with its schema if one was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Rewrites a statement over the table `app_tokens` as one over this table.
    ///
    /// An index keeps its name without a schema, as SQL demands.
    pub fn in_sql<'s>(&self, sql: &'s str) -> Cow<'s, str> {
        if self.as_str() == WRITTEN {
            return sql.into();
        }
        let without_schema = match self.0.split_once('.') {
            Some((_, table)) => table,
            None => &self.0,
        };
        // Plain text replacement is enough: the statements are constants of this crate, and what a
        // host or a user wrote is bound. The name itself has no character that could end an
        // identifier.
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

/// `app_tokens`.
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
