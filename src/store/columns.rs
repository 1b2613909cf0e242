//! [`RowColumns`]: a record as the columns of an SQL table. [`FilterColumns`]: a filter as an SQL
//! statement binds it.

use std::borrow::Cow;
use std::str::FromStr;

use crate::access::{Access, Network, Resource, Scope, Selection};
use crate::attributes::Attributes;
use crate::digest::Digest;
use crate::key::{KeyId, Seal};
use crate::record::{Expires, LastUse, RecordParts, Revocation, TokenRecord};
use crate::row::{DamagedRow, Row};
use crate::store::Filter;
use crate::text::{InvalidText, Label, Operator, Owner, Reason};
use crate::timestamp::Timestamp;
use crate::token::TokenId;

mod value;

pub use self::value::ColumnValue;

/// Holds a record as the columns of an SQL table: whole numbers, texts and bytes.
///
/// It is for a store of your own over SQL. Write what [`RowColumns::of`] returns, and turn what was
/// read into a row with [`RowColumns::into_row`].
///
/// Times are whole seconds since 1970-01-01T00:00:00Z. `None` is NULL. Every column but the id may
/// be `None` when it is read. If a column that can't be NULL is, the row is [`Row::damaged`].
///
/// A damaged row has no columns to write. A call changes it only to revoke it: then set
/// `revoked_at`, `revoked_reason` and `revoked_by`, and make `seal` NULL. Leave every other column
/// as it is, for a repair. `revoked_at` alone is enough to keep it revoked, but then it stays
/// damaged.
///
/// ```
/// use app_tokens::store::{RowColumns, Row};
/// # fn round_trip(record: app_tokens::record::TokenRecord) {
/// let row = RowColumns::of(&record).into_row();
/// assert_eq!(row.as_ref().and_then(Row::record), Some(&record));
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct RowColumns<'r> {
    /// The token's id as a number, from 0 to 2^50 - 1: the primary key.
    pub id: i64,
    /// The digest: the scheme's tag in one byte, then its bytes. Tokens of ours have scheme 1,
    /// SHA-256. Imported tokens may have scheme 2 or 3, and a newer program may write another. All
    /// have at most [`Digest::MAX_BYTES`](crate::record::Digest::MAX_BYTES).
    pub digest: Option<Cow<'r, [u8]>>,
    /// The owner. Compare it byte for byte, never by a locale.
    pub owner: Option<Cow<'r, str>>,
    /// What the owner calls the token. Compare it byte for byte, never by a locale.
    pub label: Option<Cow<'r, str>>,
    /// NULL for every scope, otherwise one scope a line. **An empty text means no scope.**
    pub scopes: Option<Cow<'r, str>>,
    /// NULL for every resource, otherwise one resource a line. **An empty text means no resource.**
    pub resources: Option<Cow<'r, str>>,
    /// NULL for every network, otherwise one network a line. **An empty text means no network.**
    pub networks: Option<Cow<'r, str>>,
    /// NULL for no attributes, otherwise one `key value` a line.
    pub attributes: Option<Cow<'r, str>>,
    /// The operator who issued the token; NULL if the owner did.
    pub issued_by: Option<Cow<'r, str>>,
    /// When it was issued.
    pub created_at: Option<i64>,
    /// When it expires; NULL for never.
    pub expires_at: Option<i64>,
    /// The id of the first token of its line of rotations.
    pub family: Option<i64>,
    /// The id of the token that superseded it; NULL if none did.
    pub successor: Option<i64>,
    /// The family of the token under which it was issued; NULL if there is none.
    pub derived_from: Option<i64>,
    /// The number of the key under which the row is sealed.
    pub key_id: Option<i64>,
    /// The seal: one byte for its version, then 32 bytes of HMAC. NULL once the row is revoked.
    pub seal: Option<Cow<'r, [u8]>>,
    /// The number of changes, from 0 to 2^63 - 1. `replace` compares it.
    pub revision: Option<i64>,
    /// When it was revoked; NULL if it was not.
    pub revoked_at: Option<i64>,
    /// Why it was revoked; NULL if it was not.
    pub revoked_reason: Option<Cow<'r, str>>,
    /// Who revoked it: `owner NAME`, `operator NAME` or `engine`; NULL if it was not revoked.
    pub revoked_by: Option<Cow<'r, str>>,
    /// When it was last used; NULL if it was not.
    pub last_used_at: Option<i64>,
    /// The address of that use; NULL if it was not recorded.
    pub last_used_address: Option<Cow<'r, str>>,
    /// The client program of that use; NULL if it was not recorded.
    pub last_used_client: Option<Cow<'r, str>>,
}

impl<'r> RowColumns<'r> {
    /// Returns the columns of a record. [`RowColumns::into_row`] is the inverse.
    pub fn of(record: &'r TokenRecord) -> RowColumns<'r> {
        let (revocation, last_use) = (record.revocation(), record.last_use());
        RowColumns {
            id: number(record.id()),
            digest: Some(record.digest().to_bytes().into()),
            owner: Some(record.owner().as_str().into()),
            label: Some(record.label().as_str().into()),
            scopes: lines(record.access().granted_scopes()),
            resources: lines(record.access().granted_resources()),
            networks: lines(record.access().granted_networks()),
            attributes: record.attributes().stored().map(Cow::Borrowed),
            issued_by: record.issued_by().map(|operator| operator.as_str().into()),
            created_at: Some(record.created_at().as_unix()),
            expires_at: record.expires().at().map(Timestamp::as_unix),
            family: Some(number(record.family())),
            successor: record.successor().map(number),
            derived_from: record.derived_from().map(number),
            key_id: Some(record.key_id().as_u32().into()),
            seal: record.seal().map(|seal| seal.to_bytes().into()),
            revision: Some(revision(record)),
            revoked_at: revocation.map(|revocation| revocation.at.as_unix()),
            revoked_reason: revocation.map(|revocation| revocation.reason.as_str().into()),
            revoked_by: revocation.map(|revocation| revocation.by.to_string().into()),
            last_used_at: last_use.map(|last_use| last_use.at.as_unix()),
            last_used_address: last_use
                .and_then(|last_use| last_use.address)
                .map(|address| address.to_string().into()),
            last_used_client: last_use
                .and_then(|last_use| last_use.client.as_deref())
                .map(Cow::Borrowed),
        }
    }

    /// Returns the row of these columns.
    ///
    /// The row is damaged if a column holds anything that [`RowColumns::of`] never writes.
    ///
    /// Returns `None` if the number is not a token's id. Leave such a row out: no token has it.
    pub fn into_row(self) -> Option<Row> {
        let id = as_id(self.id)?;
        // A damaged row must stay a row. An error here would keep one damaged row from being
        // revoked, and with it every list that meets it.
        let row = self.decode(id).map(Row::new);
        Some(row.unwrap_or_else(|| Row::damaged(self.standing_facts(id))))
    }

    /// Returns the facts that stand apart. Each is read from its own column alone, or is missing.
    fn standing_facts(&self, id: TokenId) -> DamagedRow {
        DamagedRow {
            id,
            owner: self.owner.as_ref().and_then(|owner| exact(owner, Owner::new)),
            family: self.family.and_then(as_id),
            derived_from: self.derived_from.and_then(as_id),
            created_at: self.created_at.and_then(as_time),
            // Any number revokes, even one that is no instant: damage must not undo a revocation.
            is_revoked: self.revoked_at.is_some(),
            revoked_at: self.revoked_at.and_then(as_time),
        }
    }

    /// Returns the values of the columns, in the order of these fields, as a driver binds them.
    ///
    /// [`RowColumns::read`] reads them by the same places.
    pub fn values(&self) -> [ColumnValue<'_>; 23] {
        let RowColumns {
            id,
            digest,
            owner,
            label,
            scopes,
            resources,
            networks,
            attributes,
            issued_by,
            created_at,
            expires_at,
            family,
            successor,
            derived_from,
            key_id,
            seal,
            revision,
            revoked_at,
            revoked_reason,
            revoked_by,
            last_used_at,
            last_used_address,
            last_used_client,
        } = self;
        use ColumnValue::{Bytes, Number, Text};
        [
            Number(Some(*id)),
            Bytes(digest.as_deref()),
            Text(owner.as_deref()),
            Text(label.as_deref()),
            Text(scopes.as_deref()),
            Text(resources.as_deref()),
            Text(networks.as_deref()),
            Text(attributes.as_deref()),
            Text(issued_by.as_deref()),
            Number(*created_at),
            Number(*expires_at),
            Number(*family),
            Number(*successor),
            Number(*derived_from),
            Number(*key_id),
            Bytes(seal.as_deref()),
            Number(*revision),
            Number(*revoked_at),
            Text(revoked_reason.as_deref()),
            Text(revoked_by.as_deref()),
            Number(*last_used_at),
            Text(last_used_address.as_deref()),
            Text(last_used_client.as_deref()),
        ]
    }

    /// Reads the columns from a row of a driver. They must be in the order of these fields.
    ///
    /// Each function reads one column of its type by its place: 0 is the id, 22 is the client of
    /// the last use. The driver's types stay out of this crate.
    ///
    /// **A value of another type must be an error of the function, never `None`.** In `scopes`,
    /// `resources` and `networks`, `None` means everything. After such an error, read the columns
    /// of the facts that stand apart, each alone: 0, 2, 9, 11, 13 and 17. Make [`Row::damaged`] of
    /// what can be read. Any value but NULL in column 17 means that the row is revoked.
    ///
    /// # Errors
    /// The first error of a function.
    pub fn read<E>(
        number: impl Fn(usize) -> Result<Option<i64>, E>,
        text: impl Fn(usize) -> Result<Option<&'r str>, E>,
        bytes: impl Fn(usize) -> Result<Option<&'r [u8]>, E>,
    ) -> Result<RowColumns<'r>, E> {
        let text = |at| Ok(text(at)?.map(Cow::Borrowed));
        let bytes = |at| Ok(bytes(at)?.map(Cow::Borrowed));
        Ok(RowColumns {
            // A NULL id must not become the id of a token: `into_row` turns this one into `None`.
            id: number(0)?.unwrap_or(NO_ID),
            digest: bytes(1)?,
            owner: text(2)?,
            label: text(3)?,
            scopes: text(4)?,
            resources: text(5)?,
            networks: text(6)?,
            attributes: text(7)?,
            issued_by: text(8)?,
            created_at: number(9)?,
            expires_at: number(10)?,
            family: number(11)?,
            successor: number(12)?,
            derived_from: number(13)?,
            key_id: number(14)?,
            seal: bytes(15)?,
            revision: number(16)?,
            revoked_at: number(17)?,
            revoked_reason: text(18)?,
            revoked_by: text(19)?,
            last_used_at: number(20)?,
            last_used_address: text(21)?,
            last_used_client: text(22)?,
        })
    }

    /// Decodes every column; `None` if one of them can't be read.
    ///
    /// Strict on purpose: a value that could be written in two ways would let a damaged row pass
    /// for a readable one.
    fn decode(&self, id: TokenId) -> Option<TokenRecord> {
        // All three columns or none: a half revocation is damage.
        let revocation = match (self.revoked_at, &self.revoked_reason, &self.revoked_by) {
            (None, None, None) => None,
            (Some(at), Some(reason), Some(by)) => Some(Revocation {
                at: as_time(at)?,
                reason: exact(reason, Reason::new)?,
                by: by.parse().ok()?,
            }),
            _ => return None,
        };
        let last_use = match (self.last_used_at, &self.last_used_address, &self.last_used_client) {
            (None, None, None) => None,
            (Some(at), address, client) => Some(LastUse {
                at: as_time(at)?,
                address: optional(address.as_ref(), |address| address.parse().ok())?,
                client: client.as_deref().map(Box::from),
            }),
            _ => return None,
        };
        let access = Access::from_selections(
            as_selection(self.scopes.as_deref(), |scope| Scope::new(scope).ok())?,
            as_selection(self.resources.as_deref(), as_written::<Resource>)?,
            as_selection(self.networks.as_deref(), as_written::<Network>)?,
        );
        Some(TokenRecord::from_parts(RecordParts {
            id,
            digest: Digest::from_bytes(self.digest.as_ref()?).ok()?,
            owner: exact(self.owner.as_ref()?, Owner::new)?,
            label: exact(self.label.as_ref()?, Label::new)?,
            access: access.ok()?,
            attributes: optional(self.attributes.as_deref(), Attributes::from_stored)?
                .unwrap_or_default(),
            issued_by: optional(self.issued_by.as_ref(), |name| exact(name, Operator::new))?,
            created_at: as_time(self.created_at?)?,
            expires: optional(self.expires_at, as_time)?.map_or(Expires::Never, Expires::At),
            family: as_id(self.family?)?,
            successor: optional(self.successor, as_id)?,
            derived_from: optional(self.derived_from, as_id)?,
            revocation,
            last_use,
            revision: self.revision?.try_into().ok()?,
            key_id: KeyId::new(self.key_id?.try_into().ok()?)?,
            seal: optional(self.seal.as_deref(), Seal::from_bytes)?,
        }))
    }
}

/// Shows the id only: logs must not hold a digest or a seal.
impl std::fmt::Debug for RowColumns<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RowColumns").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Holds a filter as an SQL statement binds it: whole numbers, texts and booleans.
///
/// A fact that is not asked for is `None`, which is NULL in SQL. Times are seconds since 1970.
///
/// Its fields are those of [`Filter`], in their order. Destructure it without `..`: a store that
/// overlooks a fact revokes or deletes too much.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the filter's fact of the same name")]
pub struct FilterColumns<'f> {
    pub id: Option<i64>,
    pub owner: Option<&'f str>,
    pub family: Option<i64>,
    pub except_family: Option<i64>,
    pub key_id: Option<i64>,
    pub except_key_ids: Vec<i64>,
    pub revoked: Option<bool>,
    pub superseded: Option<bool>,
    pub expires_before: Option<i64>,
    pub expires_from: Option<i64>,
    pub created_before: Option<i64>,
    pub last_used_before: Option<i64>,
}

impl<'f> FilterColumns<'f> {
    /// Returns the values to bind for a filter.
    pub fn of(filter: &'f Filter) -> FilterColumns<'f> {
        let Filter {
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
        let key = |key_id: KeyId| i64::from(key_id.as_u32());
        FilterColumns {
            id: id.map(number),
            owner: owner.as_ref().map(Owner::as_str),
            family: family.map(number),
            except_family: except_family.map(number),
            key_id: key_id.map(key),
            except_key_ids: except_key_ids.iter().copied().map(key).collect(),
            revoked: *revoked,
            superseded: *superseded,
            expires_before: expires_before.map(Timestamp::as_unix),
            expires_from: expires_from.map(Timestamp::as_unix),
            created_before: created_before.map(Timestamp::as_unix),
            last_used_before: last_used_before.map(Timestamp::as_unix),
        }
    }
}

/// No row has this id.
const NO_ID: i64 = -1;

/// Returns an id as a column holds it.
pub(super) fn number(id: TokenId) -> i64 {
    id.into()
}

/// Returns a revision as a column holds it. A greater one becomes [`TokenRecord::MAX_REVISION`].
pub(super) fn revision(record: &TokenRecord) -> i64 {
    record.revision().min(TokenRecord::MAX_REVISION).cast_signed()
}

/// Reads what [`number`] writes; `None` if it is not an id.
pub(super) fn as_id(number: i64) -> Option<TokenId> {
    TokenId::from_u64(number.try_into().ok()?).ok()
}

/// Reads an instant; `None` if it is not between the years 1970 and 9999.
fn as_time(seconds: i64) -> Option<Timestamp> {
    Timestamp::from_unix(seconds).ok()
}

/// Reads a value that may be NULL. The outer `None` means a value that can't be read.
fn optional<T, U>(value: Option<T>, read: impl FnOnce(T) -> Option<U>) -> Option<Option<U>> {
    match value {
        Some(value) => read(value).map(Some),
        None => Some(None),
    }
}

/// Writes a selection: NULL for everything, otherwise the stored form of each item, one a line.
///
/// No item is empty or holds a line end. [`as_selection`] is the inverse.
fn lines<'r, T: ToString>(selection: &Selection<T>) -> Option<Cow<'r, str>> {
    match selection {
        Selection::All => None,
        Selection::Only(items) => {
            Some(items.iter().map(T::to_string).collect::<Vec<_>>().join("\n").into())
        }
    }
}

/// Reads what [`lines`] writes: sorted, each item once, in its stored form.
///
/// Anything else is damage, so it returns `None`. NULL and the empty text are opposites:
/// everything and nothing.
fn as_selection<T: Ord>(lines: Option<&str>, read: fn(&str) -> Option<T>) -> Option<Selection<T>> {
    let items: Vec<T> = match lines {
        None => return Some(Selection::All),
        Some("") => Vec::new(),
        Some(lines) => lines.split('\n').map(read).collect::<Option<_>>()?,
    };
    // One set has one text. Otherwise a row could be changed without its seal noticing.
    items.is_sorted_by(|one, next| one < next).then(|| Selection::Only(items.into()))
}

/// Reads an item that is written in its stored form.
fn as_written<T: FromStr + ToString>(line: &str) -> Option<T> {
    line.parse().ok().filter(|item: &T| item.to_string() == line)
}

/// Reads a text that is stored exactly as it would be made. A text that would be trimmed is damage.
fn exact<'t, T: AsRef<str>>(
    stored: &'t str,
    make: fn(&'t str) -> Result<T, InvalidText>,
) -> Option<T> {
    // Making a text only trims it, so equal lengths mean equal texts.
    make(stored).ok().filter(|made| made.as_ref().len() == stored.len())
}
