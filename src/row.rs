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
pub struct Row(Arc<RowMemory>);

/// What the clones of a row have in common.
#[repr(C)] // In this order: what every authentication reads lies together.
struct RowMemory {
    /// The last use that this process saw, in seconds since 1970.
    ///
    /// For a row that stays in memory, it answers whether a use is new without the lock on the
    /// pending uses. `Relaxed` is enough: a thread that reads an old value asks the log.
    seen: AtomicI64,
    /// The mark of the sealer that made the seal. Without it the seal has to be checked.
    mark: Option<Mark>,
    content: Content,
}

/// Tells readable rows from damaged ones.
enum Content {
    Readable(TokenRecord),
    Damaged(DamagedRow),
}

/// What is left of a row that can't be read: the facts that stand apart from the rest.
///
/// By these it is found, listed, revoked and deleted like any other row. It never authenticates.
///
/// Destructure it without `..`: a store that overlooks a fact would lose it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedRow {
    /// The token's id.
    pub id: TokenId,
    /// Whose token it is; `None` if that can't be read.
    pub owner: Option<Owner>,
    /// The id of the first token of its line of rotations; `None` if that can't be read.
    pub family: Option<TokenId>,
    /// The family of the token under which it was issued. `None` if there is none, or if that can't
    /// be read.
    pub derived_from: Option<TokenId>,
    /// When it was issued; `None` if that can't be read.
    pub created_at: Option<Timestamp>,
    /// Whether it has a revocation.
    pub is_revoked: bool,
    /// When it was revoked. `None` if it was not, or if that can't be read.
    pub revoked_at: Option<Timestamp>,
}

impl DamagedRow {
    /// Makes a damaged row that has nothing but its id.
    pub fn of_id(id: TokenId) -> DamagedRow {
        DamagedRow {
            id,
            owner: None,
            family: None,
            derived_from: None,
            created_at: None,
            is_revoked: false,
            revoked_at: None,
        }
    }
}

impl Row {
    /// Makes a row from a record that came from outside the process. The engine will check its
    /// seal.
    pub fn new(record: TokenRecord) -> Row {
        Row::with_content(Content::Readable(record), None)
    }

    /// Makes a row that exists but can't be read. It never authenticates and blocks no other row.
    pub fn damaged(damaged: DamagedRow) -> Row {
        Row::with_content(Content::Damaged(damaged), None)
    }

    fn with_content(content: Content, mark: Option<Mark>) -> Row {
        Row(Arc::new(RowMemory { seen: AtomicI64::new(i64::MIN), mark, content }))
    }

    /// Returns the token's id.
    pub fn id(&self) -> TokenId {
        match &self.0.content {
            Content::Readable(record) => record.id(),
            Content::Damaged(row) => row.id,
        }
    }

    /// Returns whose token it is; `None` if that can't be read.
    pub fn owner(&self) -> Option<&Owner> {
        match &self.0.content {
            Content::Readable(record) => Some(record.owner()),
            Content::Damaged(row) => row.owner.as_ref(),
        }
    }

    /// Returns the id of the first token of its line; `None` if that can't be read.
    pub fn family(&self) -> Option<TokenId> {
        match &self.0.content {
            Content::Readable(record) => Some(record.family()),
            Content::Damaged(row) => row.family,
        }
    }

    /// Returns the family of the token under which it was issued.
    ///
    /// `None` if there is none, or if that can't be read.
    pub fn derived_from(&self) -> Option<TokenId> {
        match &self.0.content {
            Content::Readable(record) => record.derived_from(),
            Content::Damaged(row) => row.derived_from,
        }
    }

    /// Returns when it was issued; `None` if that can't be read.
    pub fn created_at(&self) -> Option<Timestamp> {
        match &self.0.content {
            Content::Readable(record) => Some(record.created_at()),
            Content::Damaged(row) => row.created_at,
        }
    }

    /// Returns whether it has a revocation.
    pub fn is_revoked(&self) -> bool {
        match &self.0.content {
            Content::Readable(record) => record.revocation().is_some(),
            Content::Damaged(row) => row.is_revoked,
        }
    }

    /// Returns when it was revoked. `None` if it was not, or if that can't be read.
    pub fn revoked_at(&self) -> Option<Timestamp> {
        match &self.0.content {
            Content::Readable(record) => record.revocation().map(|revocation| revocation.at),
            Content::Damaged(row) => row.revoked_at,
        }
    }

    /// Returns the record; `None` if the row is damaged.
    pub fn record(&self) -> Option<&TokenRecord> {
        match &self.0.content {
            Content::Readable(record) => Some(record),
            Content::Damaged(_) => None,
        }
    }

    /// Returns the facts that stand apart from the rest. A readable row has them, too.
    pub fn standing_facts(&self) -> DamagedRow {
        DamagedRow {
            id: self.id(),
            owner: self.owner().cloned(),
            family: self.family(),
            derived_from: self.derived_from(),
            created_at: self.created_at(),
            is_revoked: self.is_revoked(),
            revoked_at: self.revoked_at(),
        }
    }

    /// Returns a clone that is known to be readable; `None` if the row is damaged.
    pub(crate) fn readable(&self) -> Option<ReadableRow> {
        self.clone().into_readable()
    }

    /// Takes the row as a readable one; `None` if it is damaged.
    pub(crate) fn into_readable(self) -> Option<ReadableRow> {
        matches!(self.0.content, Content::Readable(_)).then_some(ReadableRow(self))
    }

    /// Returns the row as it is stored after it replaced `old`.
    ///
    /// Its revision is one higher. It keeps the last use and the revocation of `old`.
    pub(crate) fn replacing(&self, old: &Row) -> Row {
        self.changed(|parts| {
            parts.last_use = old.record().and_then(TokenRecord::last_use).cloned();
            parts.revocation = old.record().and_then(TokenRecord::revocation).cloned();
            parts.revision = next_revision(parts.revision);
        })
    }

    /// Returns the row with another last use. Its revision stays.
    pub(crate) fn with_last_use(&self, last_use: LastUse) -> Row {
        self.changed(|parts| parts.last_use = Some(last_use))
    }

    /// Returns the row after its revocation: without a seal, its revision one higher.
    ///
    /// A damaged row keeps only that it was revoked, and when.
    pub(crate) fn with_revocation(&self, revocation: &Revocation) -> Row {
        match &self.0.content {
            // Without the mark: it stands for a seal that is found right, and this row has none.
            Content::Readable(record) => Row::new(record.clone().changed(|parts| {
                parts.revocation = Some(revocation.clone());
                parts.seal = None;
                parts.revision = next_revision(parts.revision);
            })),
            Content::Damaged(row) => Row::damaged(DamagedRow {
                is_revoked: true,
                revoked_at: Some(revocation.at),
                ..row.clone()
            }),
        }
    }

    /// Returns the row with an equal owner and access that other rows share, to save memory.
    pub(crate) fn sharing(&self, owner: Owner, access: Access) -> Row {
        self.changed(|parts| (parts.owner, parts.access) = (owner, access))
    }

    /// Changes what the seal does not cover, and therefore keeps the mark.
    ///
    /// The callers must change no sealed fact. A damaged row stays as it is.
    fn changed(&self, change: impl FnOnce(&mut RecordParts)) -> Row {
        match self.record() {
            Some(record) => {
                let changed = record.clone().changed(change);
                Row::with_content(Content::Readable(changed), self.0.mark)
            }
            None => self.clone(),
        }
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.content {
            Content::Readable(record) => fmt::Debug::fmt(record, f),
            Content::Damaged(row) => fmt::Debug::fmt(row, f),
        }
    }
}

/// A row that can be read.
#[derive(Clone)]
pub(crate) struct ReadableRow(Row);

impl ReadableRow {
    /// Wraps a record that was not checked.
    #[cfg(any(feature = "transfer", test))]
    pub(crate) fn unmarked(record: TokenRecord) -> ReadableRow {
        ReadableRow(Row::new(record))
    }

    /// Wraps a record that the owner of `mark` has just sealed.
    pub(crate) fn marked(record: TokenRecord, mark: Mark) -> ReadableRow {
        ReadableRow(Row::with_content(Content::Readable(record), Some(mark)))
    }

    /// Returns the record.
    #[expect(clippy::expect_used, reason = "a damaged row is not wrapped")]
    pub(crate) fn record(&self) -> &TokenRecord {
        self.0.record().expect("a readable row")
    }

    /// Returns whether the sealer with this mark made the row's seal.
    pub(crate) fn is_marked_by(&self, mark: Mark) -> bool {
        self.memory().mark == Some(mark)
    }

    /// Returns when this process saw it used last, in seconds since 1970; `i64::MIN` if never.
    pub(crate) fn seen(&self) -> i64 {
        self.memory().seen.load(Ordering::Relaxed)
    }

    /// Notes that this process saw it used at `now`.
    pub(crate) fn set_seen(&self, now: Timestamp) {
        self.memory().seen.store(now.as_unix(), Ordering::Relaxed);
    }

    fn memory(&self) -> &RowMemory {
        &self.0.0
    }
}

impl From<ReadableRow> for Row {
    fn from(row: ReadableRow) -> Row {
        row.0
    }
}

/// Returns the next revision. It stays at the greatest, since databases keep it as a signed number.
fn next_revision(revision: u64) -> u64 {
    revision.saturating_add(1).min(TokenRecord::MAX_REVISION)
}

/// Names the sealer that made a row's seal.
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
    use crate::record::Actor;
    use crate::record::tests::example;
    use crate::text::Reason;

    fn revocation() -> Revocation {
        Revocation { at: Timestamp::MAX, reason: Reason::LEAKED, by: Actor::Engine }
    }

    #[test]
    fn a_revision_saturates() {
        let greatest = RecordParts { revision: TokenRecord::MAX_REVISION, ..example() };
        let row = Row::new(TokenRecord::from_parts(greatest)).with_revocation(&revocation());
        assert_eq!(row.record().unwrap().revision(), TokenRecord::MAX_REVISION);
    }

    #[test]
    fn a_damaged_row_is_revoked_and_keeps_its_other_facts() {
        let row = Row::new(TokenRecord::from_parts(example()));
        let damaged = Row::damaged(row.standing_facts());
        let revoked = damaged.with_revocation(&revocation());
        assert!(!damaged.is_revoked());
        assert!(revoked.record().is_none());
        let expected = DamagedRow {
            is_revoked: true,
            revoked_at: Some(Timestamp::MAX),
            ..row.standing_facts()
        };
        assert_eq!(revoked.standing_facts(), expected);
    }

    #[test]
    fn a_row_is_one_word_and_a_damaged_one_makes_none_larger() {
        assert_eq!(size_of::<Row>(), size_of::<usize>());
        assert_eq!(size_of::<RowMemory>(), 16 + size_of::<TokenRecord>());
    }
}
