//! [`Row::to_bytes`] and [`Row::from_bytes`]: a row as one value of a key-value store.
//!
//! The value is a version, a head and a body. The head holds the facts that stand apart. All but
//! the owner are at fixed offsets, so that a damaged byte spoils only one of them. The body holds
//! every fact, and repeats those of the head.
//!
//! **Version and head have this layout in every version.** So an older build finds, revokes and
//! purges a row of a newer form by its head.
//!
//! | bytes | |
//! |---|---|
//! | 1 | the version of the encoding: 1 |
//! | 1 | the complement of the version: a damaged version is not taken for a newer one |
//! | 1 | flags: which facts of the head are present, and [`REVOKED`] |
//! | 8 | when it was issued, in seconds since 1970 |
//! | 8 | the family |
//! | 8 | the family that it derives from |
//! | 8 | when it was revoked, in seconds since 1970 |
//! | 2 | the length of the owner in bytes; then the owner |
//! | | the body: the columns of [`RowColumns`] in their order; empty for a damaged row |
//!
//! A column is one tag byte and its value:
//!
//! - 0 is NULL, without a value.
//! - 1 is a number of 8 bytes.
//! - 2 is a text or bytes: the length in 4 bytes, then the content.
//!
//! Every number is big-endian.

use std::error::Error;
use std::fmt;

use crate::row::{DamagedRow, Row};
use crate::store::{ColumnValue, RowColumns, StoreError};
use crate::text::Owner;
use crate::timestamp::Timestamp;
use crate::token::TokenId;

const VERSION: u8 = 1;

const REVOKED: u8 = 1;
const HAS_REVOKED_AT: u8 = 1 << 1;
const HAS_CREATED_AT: u8 = 1 << 2;
const HAS_FAMILY: u8 = 1 << 3;
const HAS_DERIVED_FROM: u8 = 1 << 4;
const HAS_OWNER: u8 = 1 << 5;

const NULL: u8 = 0;
const NUMBER: u8 = 1;
const BYTES: u8 = 2;

impl Row {
    /// Encodes the row as one value, for a key-value store.
    ///
    /// The id is not part of the head: use it as the store's key, or as a part of the key. The
    /// value begins with the version of the encoding. A damaged row keeps the facts that stand
    /// apart.
    ///
    /// ```
    /// use app_tokens::store::{NewerForm, Row};
    /// # fn round_trip(row: Row) -> Result<(), NewerForm> {
    /// let read = Row::from_bytes(row.id(), &row.to_bytes())?;
    /// assert_eq!(read.standing_facts(), row.standing_facts());
    /// # Ok(())
    /// # }
    /// ```
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION, !VERSION];
        write_head(&self.standing_facts(), &mut bytes);
        if let Some(record) = self.record() {
            let columns = RowColumns::of(record);
            cells(&columns).into_iter().for_each(|cell| cell.write(&mut bytes));
        }
        bytes
    }

    /// Decodes what [`Row::to_bytes`] wrote. A value that can't be decoded is a damaged row.
    ///
    /// If head and body disagree about a fact that stands apart, the row is damaged. If either says
    /// that it was revoked, it was.
    ///
    /// # Errors
    /// [`NewerForm`] if a newer version of this library wrote the value, and the row is not
    /// revoked. Return it from [`find`](crate::store::TokenStore::find): such a token may be good.
    /// Return it also from a list by `key_id`: the row may be sealed under that key, which must
    /// not be retired. In all else go on with [`NewerForm::into_row`], so that it blocks no other
    /// row.
    pub fn from_bytes(id: TokenId, bytes: &[u8]) -> Result<Row, NewerForm> {
        let mut rest = Bytes(bytes);
        let (version, complement) = (rest.byte().unwrap_or(0), rest.byte().unwrap_or(0));
        let is_sound = complement == !version;
        let head = read_head(id, &mut rest);
        if is_sound && version > VERSION {
            // The newer version always writes these facts. If one is missing, the head is damaged.
            let is_whole =
                head.owner.is_some() && head.family.is_some() && head.created_at.is_some();
            // What is revoked is denied, whatever else a newer version knows about it.
            let may_be_good = is_whole && !head.is_revoked;
            let row = Row::damaged(head);
            return if may_be_good { Err(NewerForm { row, version }) } else { Ok(row) };
        }
        let body = read_body(rest).unwrap_or_else(|| Row::damaged(DamagedRow::of_id(id)));
        let facts = body.standing_facts();
        // One damaged byte must not undo a revocation, so either place is enough for it.
        let is_revoked = head.is_revoked || facts.is_revoked;
        let revoked_at = head.revoked_at.or(facts.revoked_at);
        let agreed = DamagedRow { is_revoked, revoked_at, ..head };
        let is_whole = body.record().is_some() && facts == agreed;
        let is_ours = is_sound && version == VERSION;
        Ok(if is_ours && is_whole { body } else { Row::damaged(agreed) })
    }
}

/// Reports that a newer version of this library wrote a row.
///
/// Only [`find`](crate::store::TokenStore::find) and a list by `key_id` fail because of it. A
/// client that presents the token then gets 503, and keeps it.
#[derive(Clone, Debug)]
pub struct NewerForm {
    row: Row,
    version: u8,
}

impl NewerForm {
    /// Returns the row as a damaged one, with the facts of its head.
    ///
    /// By these it is listed, revoked and purged. Once you have revoked it, `to_bytes` writes the
    /// head alone.
    pub fn into_row(self) -> Row {
        self.row
    }
}

impl fmt::Display for NewerForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the row of token {} has form {}, and this version of app-tokens reads at most form \
             {VERSION}; update it",
            self.row.id(),
            self.version
        )
    }
}

impl Error for NewerForm {}

impl From<NewerForm> for StoreError {
    fn from(newer: NewerForm) -> StoreError {
        StoreError::not_done(newer)
    }
}

/// Writes the facts that stand apart. A missing number is written as 0, so that the offsets stay.
fn write_head(facts: &DamagedRow, bytes: &mut Vec<u8>) {
    let DamagedRow { id: _, owner, family, derived_from, created_at, is_revoked, revoked_at } =
        facts;
    let owner = owner.as_ref();
    let flags = [
        (REVOKED, *is_revoked),
        (HAS_REVOKED_AT, revoked_at.is_some()),
        (HAS_CREATED_AT, created_at.is_some()),
        (HAS_FAMILY, family.is_some()),
        (HAS_DERIVED_FROM, derived_from.is_some()),
        (HAS_OWNER, owner.is_some()),
    ];
    let flags = flags.iter().fold(0, |all, (flag, is_set)| if *is_set { all | flag } else { all });
    bytes.push(flags);
    bytes.extend(created_at.map_or(0, Timestamp::as_unix).to_be_bytes());
    bytes.extend(family.map_or(0, TokenId::as_u64).to_be_bytes());
    bytes.extend(derived_from.map_or(0, TokenId::as_u64).to_be_bytes());
    bytes.extend(revoked_at.map_or(0, Timestamp::as_unix).to_be_bytes());
    let owner = owner.map_or("", Owner::as_str);
    #[expect(clippy::expect_used, reason = "an owner has at most 255 characters")]
    let length = u16::try_from(owner.len()).expect("an owner is short");
    bytes.extend(length.to_be_bytes());
    bytes.extend(owner.as_bytes());
}

/// Reads each fact of the head that can be read. The others are missing.
fn read_head(id: TokenId, rest: &mut Bytes<'_>) -> DamagedRow {
    let flags = rest.byte().unwrap_or(0);
    let has = |flag| flags & flag != 0;
    // Each number is read before its flag is asked: a missing one takes its 8 bytes, too.
    let created_at = rest.number().filter(|_| has(HAS_CREATED_AT));
    let family = rest.number().filter(|_| has(HAS_FAMILY));
    let derived_from = rest.number().filter(|_| has(HAS_DERIVED_FROM));
    let revoked_at = rest.number().filter(|_| has(HAS_REVOKED_AT));
    let owner = rest.short().filter(|_| has(HAS_OWNER));
    let instant = |at: Option<i64>| at.and_then(|at| Timestamp::from_unix(at).ok());
    let as_id = |id: Option<i64>| id.and_then(|id| TokenId::from_u64(id.cast_unsigned()).ok());
    let as_owner = |bytes| {
        let text = std::str::from_utf8(bytes).ok()?;
        Owner::new(text).ok().filter(|owner| owner.as_str() == text)
    };
    DamagedRow {
        id,
        owner: owner.and_then(as_owner),
        family: as_id(family),
        derived_from: as_id(derived_from),
        created_at: instant(created_at),
        is_revoked: has(REVOKED),
        revoked_at: instant(revoked_at).filter(|_| has(REVOKED)),
    }
}

/// Reads the body; `None` if it does not consist of the right columns. The row that it returns may
/// still be damaged.
fn read_body(mut rest: Bytes<'_>) -> Option<Row> {
    let mut cells = Vec::new();
    while !rest.0.is_empty() {
        cells.push(rest.cell()?);
    }
    let columns = RowColumns::read(
        |at| match cells.get(at) {
            Some(Cell::Null) => Ok(None),
            Some(Cell::Number(number)) => Ok(Some(*number)),
            _ => Err(NoSuchColumn),
        },
        |at| match cells.get(at) {
            Some(Cell::Null) => Ok(None),
            Some(Cell::Bytes(bytes)) => {
                std::str::from_utf8(bytes).map(Some).map_err(|_| NoSuchColumn)
            }
            _ => Err(NoSuchColumn),
        },
        |at| match cells.get(at) {
            Some(Cell::Null) => Ok(None),
            Some(Cell::Bytes(bytes)) => Ok(Some(*bytes)),
            _ => Err(NoSuchColumn),
        },
    );
    // This version has exactly these columns. A body with more is junk that happens to parse.
    let columns = columns.ok().filter(|columns| self::cells(columns).len() == cells.len())?;
    columns.into_row()
}

/// A column is missing, or has another type than it must have.
struct NoSuchColumn;

/// Returns the columns in their order.
fn cells<'c>(columns: &'c RowColumns<'_>) -> [Cell<'c>; 23] {
    columns.values().map(|value| match value {
        ColumnValue::Number(number) => number.map_or(Cell::Null, Cell::Number),
        ColumnValue::Text(text) => text.map_or(Cell::Null, |text| Cell::Bytes(text.as_bytes())),
        ColumnValue::Bytes(bytes) => bytes.map_or(Cell::Null, Cell::Bytes),
    })
}

/// One column of the body.
enum Cell<'c> {
    Null,
    Number(i64),
    Bytes(&'c [u8]),
}

impl Cell<'_> {
    fn write(&self, bytes: &mut Vec<u8>) {
        match self {
            Cell::Null => bytes.push(NULL),
            Cell::Number(number) => {
                bytes.push(NUMBER);
                bytes.extend(number.to_be_bytes());
            }
            Cell::Bytes(value) => {
                #[expect(clippy::expect_used, reason = "the texts of a row have their limits")]
                let length = u32::try_from(value.len()).expect("a column is below 4 GiB");
                bytes.push(BYTES);
                bytes.extend(length.to_be_bytes());
                bytes.extend(*value);
            }
        }
    }
}

/// The bytes that are left to read. A read that finds too few takes none.
struct Bytes<'b>(&'b [u8]);

impl<'b> Bytes<'b> {
    fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn byte(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    fn number(&mut self) -> Option<i64> {
        self.array().map(i64::from_be_bytes)
    }

    fn short(&mut self) -> Option<&'b [u8]> {
        let length = self.array().map(u16::from_be_bytes)?;
        self.take(length.into())
    }

    fn cell(&mut self) -> Option<Cell<'b>> {
        Some(match self.byte()? {
            NULL => Cell::Null,
            NUMBER => Cell::Number(self.number()?),
            BYTES => {
                let length = self.array().map(u32::from_be_bytes)?;
                Cell::Bytes(self.take(length.try_into().ok()?)?)
            }
            _ => return None,
        })
    }
}
