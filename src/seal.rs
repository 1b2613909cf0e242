//! The seal over a row: what whoever can write the database, but holds no key, can't forge.
//!
//! A [`Row`] is a record on its way to or from a store. It carries a private mark once its seal was made
//! or found right by this engine, so that a row which never left the process isn't checked twice.
//!
//! # The bytes
//!
//! The seal is HMAC-SHA-256 under the key that the row names, over these bytes. Numbers are big-endian. A *text* is
//! its length in bytes as a `u32`, then its UTF-8 bytes. An *option* is `00`, or `01` and the value. A *grant* is
//! `00` for everything, or `01`, the number of items as a `u32`, and the items as texts, sorted by their bytes.
//!
//! | | |
//! |---|---|
//! | version | the four bytes `ats1` |
//! | realm | text; the policy's, not stored |
//! | key id | `u32` |
//! | id | `u64` |
//! | digest | `u32` length (33), then the scheme's tag and the 32 bytes |
//! | owner, label | text, text |
//! | scopes, resources | grant, grant |
//! | issued by | option of text |
//! | created at | `i64`, seconds since 1970 |
//! | expires | option of `i64`; `00` is never |
//! | family | `u64` |
//! | successor, derived from | option of `u64`, option of `u64` |
//!
//! Last use, revocation and revision are not sealed: they change without a key.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::access::Grant;
use crate::digest::constant_time_eq;
use crate::key_ring::KeyRing;
use crate::record::{LastUse, RecordParts, Revocation, SealCheck, TokenRecord};
use crate::timestamp::Timestamp;
use crate::token::TokenId;

/// HMAC-SHA-256 over a row. Compared in constant time.
#[derive(Clone, Copy)]
pub struct Seal([u8; 32]);

impl Seal {
    /// The stored form.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0
    }

    /// Reads the stored form. Any 32 bytes are a seal, if hardly a right one.
    pub fn from_bytes(bytes: [u8; 32]) -> Seal {
        Seal(bytes)
    }
}

impl PartialEq for Seal {
    fn eq(&self, other: &Seal) -> bool {
        constant_time_eq(&self.0, &other.0)
    }
}

impl Eq for Seal {}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(…)")
    }
}

/// The number of a key in the ring, from 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(u32);

impl KeyId {
    pub(crate) const FIRST: KeyId = KeyId(1);

    /// From a number that isn't zero.
    pub const fn new(number: u32) -> Option<KeyId> {
        if number == 0 { None } else { Some(KeyId(number)) }
    }

    /// The number.
    pub const fn as_u32(self) -> u32 {
        self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({})", self.0)
    }
}

/// One key, its schedule done.
#[derive(Clone)]
pub(crate) struct SealingKey {
    id: KeyId,
    keyed: Hmac<Sha256>,
}

impl SealingKey {
    /// HMAC takes keys of any length, so there is always one.
    pub(crate) fn new(id: KeyId, key: &[u8]) -> Option<SealingKey> {
        Some(SealingKey { id, keyed: Hmac::new_from_slice(key).ok()? })
    }

    pub(crate) fn id(&self) -> KeyId {
        self.id
    }

    fn seal(&self, realm: &str, record: &TokenRecord) -> Seal {
        let mut mac = self.keyed.clone();
        mac.update(&encoding(realm, record));
        Seal(mac.finalize().into_bytes().into())
    }
}

/// Makes and checks the seals of one realm.
#[derive(Debug)]
pub(crate) struct Sealer {
    ring: KeyRing,
    realm: Box<str>,
    mark: Mark,
}

impl Sealer {
    pub(crate) fn new(ring: KeyRing, realm: &str) -> Sealer {
        Sealer { ring, realm: realm.into(), mark: Mark::new() }
    }

    pub(crate) fn ring(&self) -> &KeyRing {
        &self.ring
    }

    /// Seals the row of a token that was drawn just now.
    pub(crate) fn seal_new(&self, fresh: RecordParts) -> WholeRow {
        let key = self.ring.active();
        let mut record = TokenRecord::from_parts(RecordParts { key_id: key.id(), ..fresh });
        let seal = key.seal(&self.realm, &record);
        record.parts_mut().seal = Some(seal);
        WholeRow::new(record, Some(self.mark))
    }

    /// Whether the row is as this engine wrote it, for this realm. A revoked row has no seal any more.
    pub(crate) fn check(&self, row: &WholeRow) -> SealCheck {
        if row.mark == Some(self.mark) {
            return SealCheck::Right;
        }
        let record = row.record();
        let Some(seal) = record.seal() else {
            return SealCheck::Wrong;
        };
        let Some(key) = self.ring.key(record.key_id()) else {
            return SealCheck::KeyMissing;
        };
        if *seal == key.seal(&self.realm, record) { SealCheck::Right } else { SealCheck::Wrong }
    }
}

/// Names the [`Sealer`] that made or checked a row's seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark(NonZeroU64);

impl Mark {
    fn new() -> Mark {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        // 2^64 sealers are more than a process makes; were it otherwise, 0 becomes 1.
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Mark(NonZeroU64::new(number).unwrap_or(NonZeroU64::MIN))
    }
}

/// A record on its way to or from a store; cheap to clone.
///
/// A store that loads from outside the process makes rows with [`Row::new`]; their seals are checked
/// whenever it matters. A store that keeps the rows it was given, as
/// [`MemoryStore`](crate::store::MemoryStore) does, hands them out again as they are.
#[derive(Clone)]
pub struct Row(Content);

#[derive(Clone)]
enum Content {
    Whole(WholeRow),
    Damaged(TokenId),
}

impl Row {
    /// A row that came from outside the process.
    pub fn new(record: TokenRecord) -> Row {
        WholeRow::new(record, None).into()
    }

    /// A row that is there and can't be read. It never authenticates, and it blocks no other row.
    pub fn damaged(id: TokenId) -> Row {
        Row(Content::Damaged(id))
    }

    /// The token's id.
    pub fn id(&self) -> TokenId {
        match &self.0 {
            Content::Whole(row) => row.record().id(),
            Content::Damaged(id) => *id,
        }
    }

    /// The record, unless the row is damaged.
    pub fn record(&self) -> Option<&TokenRecord> {
        self.whole().map(WholeRow::record)
    }

    pub(crate) fn whole(&self) -> Option<&WholeRow> {
        match &self.0 {
            Content::Whole(row) => Some(row),
            Content::Damaged(_) => None,
        }
    }

    pub(crate) fn into_whole(self) -> Option<WholeRow> {
        match self.0 {
            Content::Whole(row) => Some(row),
            Content::Damaged(_) => None,
        }
    }

    /// The row with the next revision.
    #[must_use]
    pub fn with_next_revision(&self) -> Row {
        self.changed(|parts| parts.revision = next_revision(parts.revision))
    }

    /// The row as it lies in the store after it replaced `old`: its revision is one higher, its last use and revocation are those
    /// of `old`.
    #[must_use]
    pub fn replacing(&self, old: &Row) -> Row {
        self.changed(|parts| {
            parts.last_use = old.record().and_then(TokenRecord::last_use).cloned();
            parts.revocation = old.record().and_then(TokenRecord::revocation).cloned();
            parts.revision = next_revision(parts.revision);
        })
    }

    /// The row with another last use. Its revision stays.
    #[must_use]
    pub fn with_last_use(&self, last_use: LastUse) -> Row {
        self.changed(|parts| parts.last_use = Some(last_use))
    }

    /// The row after its revocation: without a seal, its revision one higher.
    #[must_use]
    pub fn with_revocation(&self, revocation: Revocation) -> Row {
        self.changed(|parts| {
            parts.revocation = Some(revocation);
            parts.seal = None;
            parts.revision = next_revision(parts.revision);
        })
    }

    /// Keeps the mark: only what no seal covers is changed here.
    fn changed(&self, change: impl FnOnce(&mut RecordParts)) -> Row {
        let Some(row) = self.whole() else {
            return self.clone();
        };
        let mut record = row.record().clone();
        change(record.parts_mut());
        WholeRow::new(record, row.mark).into()
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Content::Whole(row) => fmt::Debug::fmt(row.record(), f),
            Content::Damaged(id) => write!(f, "Damaged({id})"),
        }
    }
}

/// A row that can be read.
#[derive(Clone)]
pub(crate) struct WholeRow {
    shared: Arc<Shared>,
    mark: Option<Mark>,
}

struct Shared {
    record: TokenRecord,
    /// The last use that this process saw, in seconds since 1970: spares a row that stays in memory
    /// the look-up among the uses not yet written.
    seen: AtomicI64,
}

impl WholeRow {
    fn new(record: TokenRecord, mark: Option<Mark>) -> WholeRow {
        WholeRow { shared: Arc::new(Shared { record, seen: AtomicI64::new(i64::MIN) }), mark }
    }

    pub(crate) fn record(&self) -> &TokenRecord {
        &self.shared.record
    }

    /// Notes a use; says whether this row object had seen none after `since`.
    pub(crate) fn note_seen(&self, now: Timestamp, since: Timestamp) -> bool {
        if self.shared.seen.load(Ordering::Relaxed) > since.as_unix() {
            return false;
        }
        self.shared.seen.store(now.as_unix(), Ordering::Relaxed);
        true
    }
}

impl From<WholeRow> for Row {
    fn from(row: WholeRow) -> Row {
        Row(Content::Whole(row))
    }
}

fn next_revision(revision: u64) -> u64 {
    revision.saturating_add(1).min(TokenRecord::MAX_REVISION)
}

/// The bytes that are sealed; the table at the head of this file. No two different records, realms or keys have the same.
fn encoding(realm: &str, record: &TokenRecord) -> Vec<u8> {
    let mut bytes = Encoding(Vec::with_capacity(256));
    bytes.0.extend(b"ats1");
    bytes.text(realm);
    bytes.0.extend(record.key_id().as_u32().to_be_bytes());
    bytes.number(record.id().as_u64());
    bytes.slice(&record.digest().to_bytes());
    bytes.text(record.owner().as_str());
    bytes.text(record.label().as_str());
    bytes.grant(record.access().granted_scopes(), |scope| scope.as_str());
    bytes.grant(record.access().granted_resources(), |pattern| pattern.as_str());
    bytes.option(record.issued_by(), |bytes, operator| bytes.text(operator.as_str()));
    bytes.instant(record.created_at());
    bytes.option(record.expires().at(), Encoding::instant);
    bytes.number(record.family().as_u64());
    bytes.option(record.successor(), |bytes, id| bytes.number(id.as_u64()));
    bytes.option(record.derived_from(), |bytes, id| bytes.number(id.as_u64()));
    bytes.0
}

struct Encoding(Vec<u8>);

impl Encoding {
    fn number(&mut self, number: u64) {
        self.0.extend(number.to_be_bytes());
    }

    fn instant(&mut self, instant: Timestamp) {
        self.0.extend(instant.as_unix().to_be_bytes());
    }

    fn length(&mut self, length: usize) {
        // The longest text of a record has 1,020 bytes and the longest list 256 items.
        self.0.extend((length as u32).to_be_bytes());
    }

    fn slice(&mut self, slice: &[u8]) {
        self.length(slice.len());
        self.0.extend(slice);
    }

    fn text(&mut self, text: &str) {
        self.slice(text.as_bytes());
    }

    fn option<T>(&mut self, option: Option<T>, write: impl FnOnce(&mut Encoding, T)) {
        self.0.push(u8::from(option.is_some()));
        if let Some(value) = option {
            write(self, value);
        }
    }

    fn grant<T>(&mut self, grant: &Grant<T>, text: impl Fn(&T) -> &str) {
        let listed = match grant {
            Grant::All => None,
            Grant::Only(items) => Some(items),
        };
        self.option(listed, |bytes, items| {
            bytes.length(items.len());
            items.iter().for_each(|item| bytes.text(text(item)));
        });
    }
}
