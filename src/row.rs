//! A record on its way to or from a store: [`Row`].

use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::access::Access;
use crate::record::{LastUse, RecordParts, Revocation, TokenRecord};
use crate::text::Owner;
use crate::timestamp::Timestamp;
use crate::token::TokenId;

/// A record on its way to or from a store. Cheap to clone.
///
/// A store that loads from outside the process makes rows with [`Row::new`]. The engine checks
/// their seals before it relies on them. A store that keeps the rows it was given, such as
/// [`MemoryStore`](crate::store::MemoryStore), hands them out unchanged, and they aren't checked
/// again.
#[derive(Clone)]
pub struct Row(Content);

#[derive(Clone)]
enum Content {
    Readable(ReadableRow),
    Damaged(TokenId),
}

impl Row {
    /// Makes a row from a record that came from outside the process.
    pub fn new(record: TokenRecord) -> Row {
        ReadableRow::unmarked(record).into()
    }

    /// Makes a row that exists but can't be read. It never authenticates and blocks no other row.
    pub fn damaged(id: TokenId) -> Row {
        Row(Content::Damaged(id))
    }

    /// Returns the token's id.
    pub fn id(&self) -> TokenId {
        match &self.0 {
            Content::Readable(row) => row.record().id(),
            Content::Damaged(id) => *id,
        }
    }

    /// Returns the record, unless the row is damaged.
    pub fn record(&self) -> Option<&TokenRecord> {
        self.readable().map(ReadableRow::record)
    }

    pub(crate) fn readable(&self) -> Option<&ReadableRow> {
        match &self.0 {
            Content::Readable(row) => Some(row),
            Content::Damaged(_) => None,
        }
    }

    pub(crate) fn into_readable(self) -> Option<ReadableRow> {
        match self.0 {
            Content::Readable(row) => Some(row),
            Content::Damaged(_) => None,
        }
    }

    /// Returns the row with the next revision.
    #[must_use]
    pub fn with_next_revision(&self) -> Row {
        self.changed(|parts| parts.revision = next_revision(parts.revision))
    }

    /// Returns the row as stored after it replaced `old`: its revision is one higher, and it keeps
    /// the last use and the revocation of `old`.
    #[must_use]
    pub fn replacing(&self, old: &Row) -> Row {
        self.changed(|parts| {
            parts.last_use = old.record().and_then(TokenRecord::last_use).cloned();
            parts.revocation = old.record().and_then(TokenRecord::revocation).cloned();
            parts.revision = next_revision(parts.revision);
        })
    }

    /// Returns the row with another last use. Its revision stays.
    #[must_use]
    pub fn with_last_use(&self, last_use: LastUse) -> Row {
        self.changed(|parts| parts.last_use = Some(last_use))
    }

    /// Returns the row after its revocation: without a seal, its revision one higher.
    #[must_use]
    pub fn with_revocation(&self, revocation: Revocation) -> Row {
        let revoked = self.changed(|parts| {
            parts.revocation = Some(revocation);
            parts.seal = None;
            parts.revision = next_revision(parts.revision);
        });
        match revoked.0 {
            Content::Readable(row) => ReadableRow { mark: None, ..row }.into(),
            Content::Damaged(_) => revoked,
        }
    }

    /// Returns the row with an equal owner and access that other rows share, to save memory.
    pub(crate) fn sharing(&self, owner: Owner, access: Access) -> Row {
        self.changed(|parts| (parts.owner, parts.access) = (owner, access))
    }

    /// Changes what the seal does not cover, and therefore keeps the mark.
    fn changed(&self, change: impl FnOnce(&mut RecordParts)) -> Row {
        let Some(row) = self.readable() else {
            return self.clone();
        };
        ReadableRow::new(row.record().clone().changed(change), row.mark).into()
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Content::Readable(row) => fmt::Debug::fmt(row.record(), f),
            Content::Damaged(id) => write!(f, "Damaged({id})"),
        }
    }
}

/// A row that can be read, with the mark of the sealer that made or checked it.
#[derive(Clone)]
pub(crate) struct ReadableRow {
    shared: Arc<RowMemory>,
    mark: Option<Mark>,
}

/// What the clones of a row have in common.
#[repr(C)] // In this order: `seen` shares a cache line with what every authentication reads.
struct RowMemory {
    /// The last use that this process saw, in seconds since 1970. A row that stays in memory is
    /// answered by it, without the lock on the pending uses.
    seen: AtomicI64,
    record: TokenRecord,
}

impl ReadableRow {
    /// Wraps a record that was not checked.
    pub(crate) fn unmarked(record: TokenRecord) -> ReadableRow {
        ReadableRow::new(record, None)
    }

    /// Wraps a record whose seal the owner of `mark` has just made or found correct.
    pub(crate) fn marked(record: TokenRecord, mark: Mark) -> ReadableRow {
        ReadableRow::new(record, Some(mark))
    }

    fn new(record: TokenRecord, mark: Option<Mark>) -> ReadableRow {
        let seen = AtomicI64::new(i64::MIN);
        ReadableRow { shared: Arc::new(RowMemory { seen, record }), mark }
    }

    pub(crate) fn record(&self) -> &TokenRecord {
        &self.shared.record
    }

    pub(crate) fn is_marked_by(&self, mark: Mark) -> bool {
        self.mark == Some(mark)
    }

    /// Returns when this process saw it used last, in seconds since 1970; `i64::MIN` if never.
    pub(crate) fn seen(&self) -> i64 {
        self.shared.seen.load(Ordering::Relaxed)
    }

    pub(crate) fn set_seen(&self, now: Timestamp) {
        self.shared.seen.store(now.as_unix(), Ordering::Relaxed);
    }
}

impl From<ReadableRow> for Row {
    fn from(row: ReadableRow) -> Row {
        Row(Content::Readable(row))
    }
}

fn next_revision(revision: u64) -> u64 {
    revision.saturating_add(1).min(TokenRecord::MAX_REVISION)
}

/// Names the sealer that made or checked a row's seal.
///
/// A row never gives its mark away, so only a sealer can mark rows with its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark(NonZeroU64);

impl Mark {
    /// Makes a mark that no other sealer of this process has.
    pub(crate) fn new() -> Mark {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        #[expect(clippy::expect_used, reason = "no process makes 2^64 sealers")]
        let number = NonZeroU64::new(NEXT.fetch_add(1, Ordering::Relaxed)).expect("2^64 sealers");
        Mark(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::example;

    #[test]
    fn a_revision_saturates() {
        let greatest = RecordParts { revision: TokenRecord::MAX_REVISION, ..example() };
        let row = Row::new(TokenRecord::from_parts(greatest)).with_next_revision();
        assert_eq!(row.record().unwrap().revision(), TokenRecord::MAX_REVISION);
    }

    #[test]
    fn a_damaged_row_stays_damaged() {
        let damaged = Row::damaged(TokenId::MAX).with_next_revision();
        assert!(damaged.record().is_none());
        assert_eq!(damaged.id(), TokenId::MAX);
    }
}
