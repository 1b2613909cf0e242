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

use crate::access::{Access, Grant};
use crate::digest::constant_time_eq;
use crate::key_ring::KeyRing;
use crate::record::{Expires, LastUse, RecordParts, Revocation, SealCheck, TokenRecord};
use crate::text::{Label, Owner};
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

    /// Seals the row of a token that was drawn just now. A row that was read goes through [`Sealer::intact`].
    pub(crate) fn seal_new(&self, fresh: RecordParts) -> WholeRow {
        self.seal(fresh)
    }

    /// Whether the row is as this engine wrote it, for this realm. A revoked row has no seal any more.
    pub(crate) fn check(&self, row: &WholeRow) -> SealCheck {
        let record = row.record();
        let Some(seal) = record.seal() else {
            return SealCheck::Wrong;
        };
        if row.mark == Some(self.mark) {
            return SealCheck::Right;
        }
        let Some(key) = self.ring.key(record.key_id()) else {
            return SealCheck::KeyMissing;
        };
        if *seal == key.seal(&self.realm, record) { SealCheck::Right } else { SealCheck::Wrong }
    }

    /// Whether this sealer made or checked the row, and nobody else uses it.
    pub(crate) fn has_marked(&self, row: &WholeRow) -> bool {
        row.mark == Some(self.mark)
    }

    /// Proof that a row is as this engine wrote it, and not revoked.
    ///
    /// # Errors
    /// What the look at the seal said; a revoked row is [`SealCheck::Wrong`], whatever else it has.
    pub(crate) fn intact<'a>(&self, row: &'a WholeRow) -> Result<Intact<'a>, SealCheck> {
        if row.record().revocation().is_some() {
            return Err(SealCheck::Wrong);
        }
        match self.check(row) {
            SealCheck::Right => Ok(Intact(row.record())),
            wrong => Err(wrong),
        }
    }

    /// Seals a row anew, under the active key: exactly what was found intact, and the change.
    pub(crate) fn reseal(&self, intact: Intact<'_>, change: Change) -> WholeRow {
        let Change { label, access, expires, successor } = change;
        let old = intact.0.clone().into_parts();
        self.seal(RecordParts {
            label: label.unwrap_or(old.label),
            access: access.unwrap_or(old.access),
            expires: expires.unwrap_or(old.expires),
            successor: successor.or(old.successor),
            ..old
        })
    }

    /// Seals whatever a row says, unproven, under the active key: for a key that is lost, where the operator trusts the rows once.
    pub(crate) fn danger_seal_without_proof(&self, row: &WholeRow) -> WholeRow {
        self.seal(row.record().clone().into_parts())
    }

    fn seal(&self, parts: RecordParts) -> WholeRow {
        let key = self.ring.active();
        let record = TokenRecord::from_parts(RecordParts { key_id: key.id(), ..parts });
        let seal = key.seal(&self.realm, &record);
        WholeRow::new(record.changed(|parts| parts.seal = Some(seal)), Some(self.mark))
    }
}

/// A record whose row was found intact: the only thing that a new seal is made from. Else sealing again would bless what somebody
/// else wrote.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Intact<'a>(&'a TokenRecord);

impl<'a> Intact<'a> {
    pub(crate) fn record(self) -> &'a TokenRecord {
        self.0
    }
}

/// What a new seal may change of a row. Whose it is, its digest and its line never change.
#[derive(Debug, Default)]
pub(crate) struct Change {
    pub(crate) label: Option<Label>,
    pub(crate) access: Option<Access>,
    pub(crate) expires: Option<Expires>,
    pub(crate) successor: Option<TokenId>,
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
        let revoked = self.changed(|parts| {
            parts.revocation = Some(revocation);
            parts.seal = None;
            parts.revision = next_revision(parts.revision);
        });
        match revoked.0 {
            Content::Whole(row) => WholeRow { mark: None, ..row }.into(),
            Content::Damaged(_) => revoked,
        }
    }

    /// The same row, holding copies of its owner and access that others hold, too.
    pub(crate) fn sharing(&self, owner: Owner, access: Access) -> Row {
        self.changed(|parts| (parts.owner, parts.access) = (owner, access))
    }

    /// Keeps the mark: only what no seal covers is changed here.
    fn changed(&self, change: impl FnOnce(&mut RecordParts)) -> Row {
        let Some(row) = self.whole() else {
            return self.clone();
        };
        WholeRow::new(row.record().clone().changed(change), row.mark).into()
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

#[repr(C)] // In this order: `seen` lies beside what else every authentication reads.
struct Shared {
    /// The last use that this process saw, in seconds since 1970: spares a row that stays in memory
    /// the look-up among the uses not yet written.
    seen: AtomicI64,
    record: TokenRecord,
}

impl WholeRow {
    fn new(record: TokenRecord, mark: Option<Mark>) -> WholeRow {
        WholeRow { shared: Arc::new(Shared { record, seen: AtomicI64::new(i64::MIN) }), mark }
    }

    pub(crate) fn record(&self) -> &TokenRecord {
        &self.shared.record
    }

    /// When this process saw it used last, in seconds since 1970.
    pub(crate) fn seen(&self) -> i64 {
        self.shared.seen.load(Ordering::Relaxed)
    }

    pub(crate) fn set_seen(&self, now: Timestamp) {
        self.shared.seen.store(now.as_unix(), Ordering::Relaxed);
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

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::access::{ResourcePattern, Scope};
    use crate::digest::Digest;
    use crate::record::Actor;
    use crate::record::tests::{at, example};
    use crate::text::{Operator, Owner, Reason};
    use crate::token::Token;

    const ONE: &str = "1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const TWO: &str = "2:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

    fn sealer(keys: &str, realm: &str) -> Sealer {
        Sealer::new(KeyRing::parse(keys).unwrap(), realm)
    }

    /// The row as a store loads it from outside.
    fn loaded(row: &WholeRow) -> WholeRow {
        WholeRow::new(row.record().clone(), None)
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn from_hex(text: &str) -> Vec<u8> {
        let pairs = text.as_bytes().chunks(2);
        pairs.map(|p| u8::from_str_radix(std::str::from_utf8(p).unwrap(), 16).unwrap()).collect()
    }

    #[test]
    fn digest_and_seal_are_those_of_a_second_implementation() {
        let rows: Vec<Value> =
            serde_json::from_str(include_str!("../tests/vectors/seals.json")).unwrap();
        assert_eq!(rows.len(), 10);
        for row in rows {
            let text = |name: &str| row[name].as_str().unwrap();
            let list = |name: &str| {
                let items = row[name].as_array()?;
                Some(items.iter().map(|item| item.as_str().unwrap().to_owned()).collect::<Vec<_>>())
            };
            let id = |name: &str| row[name].as_u64().map(|n| TokenId::from_u64(n).unwrap());
            let instant = |name: &str| row[name].as_i64().map(|n| Timestamp::from_unix(n).unwrap());
            let scopes =
                list("scopes").map(|s| Grant::only(s.iter().map(|s| Scope::new(s).unwrap())));
            let resources = list("resources")
                .map(|r| Grant::only(r.iter().map(|r| ResourcePattern::new(r).unwrap())));

            let key = STANDARD.encode(from_hex(text("key")));
            let sealer = sealer(&format!("{}:{key}", row["key_id"]), text("realm"));
            let token = Token::parse_any_prefix(text("token")).unwrap();
            let sealed = sealer.seal_new(RecordParts {
                id: token.id(),
                digest: Digest::of(&token),
                owner: Owner::new(text("owner")).unwrap(),
                label: Label::new(text("label")).unwrap(),
                access: Access::from_grants(
                    scopes.unwrap_or(Grant::All),
                    resources.unwrap_or(Grant::All),
                )
                .unwrap(),
                issued_by: row["issued_by"].as_str().map(|name| Operator::new(name).unwrap()),
                created_at: instant("created_at").unwrap(),
                expires: instant("expires_at").map_or(Expires::Never, Expires::At),
                family: id("family").unwrap(),
                successor: id("successor"),
                derived_from: id("derived_from"),
                ..example()
            });
            assert_eq!(sealed.record().id(), id("id").unwrap());
            assert_eq!(hex(&sealed.record().digest().to_bytes()), text("digest"));
            assert_eq!(hex(&sealed.record().seal().unwrap().to_bytes()), text("seal"));
        }
    }

    #[test]
    fn a_row_is_right_under_its_own_key_and_realm_only() {
        let row = sealer(ONE, "acme").seal_new(example());
        let check = |keys: &str, realm: &str| sealer(keys, realm).check(&loaded(&row));
        assert_eq!(check(ONE, "acme"), SealCheck::Right);
        assert_eq!(
            check(&format!("{TWO},{ONE}"), "acme"),
            SealCheck::Right,
            "a retired key checks"
        );
        assert_eq!(check(ONE, "other"), SealCheck::Wrong, "a row of another realm");
        assert_eq!(check(TWO, "acme"), SealCheck::KeyMissing);
        let other_key = TWO.replace("2:", "1:");
        assert_eq!(check(&other_key, "acme"), SealCheck::Wrong);
    }

    #[test]
    fn a_revoked_row_is_never_intact_whatever_seal_and_mark_it_has() {
        let sealer = sealer(ONE, "acme");
        let row = sealer.seal_new(example());
        assert!(sealer.intact(&row).is_ok() && sealer.intact(&loaded(&row)).is_ok());
        let revocation = Revocation { at: at(5), reason: Reason::REQUESTED, by: Actor::Engine };
        let revoked = row.record().clone().changed(|parts| parts.revocation = Some(revocation));
        for mark in [None, row.mark] {
            let revoked = WholeRow::new(revoked.clone(), mark);
            assert_eq!(sealer.check(&revoked), SealCheck::Right, "a revocation is not sealed");
            assert_eq!(sealer.intact(&revoked).unwrap_err(), SealCheck::Wrong);
        }
    }

    #[test]
    fn a_mark_of_another_sealer_is_worth_nothing() {
        let foreign = sealer(TWO, "acme").seal_new(example());
        let forged = WholeRow::new(foreign.record().clone(), foreign.mark);
        assert_eq!(sealer(ONE, "acme").check(&forged), SealCheck::KeyMissing);
        let same_ring_other_realm = sealer(ONE, "other").seal_new(example());
        assert_eq!(sealer(ONE, "acme").check(&same_ring_other_realm), SealCheck::Wrong);
    }

    #[test]
    fn a_mark_does_not_survive_a_change_of_a_sealed_field() {
        let sealer = sealer(ONE, "acme");
        let row = sealer.seal_new(example());
        let rebuilt = Row::new(TokenRecord::from_parts(RecordParts {
            owner: Owner::new("mallory").unwrap(),
            ..row.record().clone().into_parts()
        }));
        assert_eq!(sealer.check(rebuilt.whole().unwrap()), SealCheck::Wrong);
    }

    #[test]
    fn what_is_not_sealed_changes_without_a_key_and_keeps_the_mark() {
        let sealer = sealer(ONE, "acme");
        let row = Row::from(sealer.seal_new(example()));
        let last_use = LastUse { at: at(5), address: None, client: Some("x".into()) };
        let changed = row.with_last_use(last_use.clone()).with_next_revision();
        assert_eq!(sealer.check(changed.whole().unwrap()), SealCheck::Right);
        assert_eq!(sealer.check(&loaded(changed.whole().unwrap())), SealCheck::Right);
        assert_eq!(changed.record().unwrap().revision(), 1);
        assert_eq!(changed.record().unwrap().last_use(), Some(&last_use));
    }

    #[test]
    fn a_revocation_wipes_the_seal_and_a_cleared_one_does_not_revive() {
        let sealer = sealer(ONE, "acme");
        let revocation = Revocation { at: at(1), reason: Reason::REQUESTED, by: Actor::Owner };
        let revoked = Row::from(sealer.seal_new(example())).with_revocation(revocation);
        let record = revoked.record().unwrap();
        assert_eq!((record.seal(), record.revision()), (None, 1));
        let cleared = RecordParts { revocation: None, ..record.clone().into_parts() };
        let cleared = WholeRow::new(TokenRecord::from_parts(cleared), None);
        assert_eq!(sealer.check(&cleared), SealCheck::Wrong);
    }

    #[test]
    fn a_revocation_can_not_be_replaced_away() {
        let sealer = sealer(ONE, "acme");
        let before = Row::from(sealer.seal_new(example()));
        let revocation = Revocation { at: at(1), reason: Reason::REQUESTED, by: Actor::Owner };
        let revived = before.with_revocation(revocation).replacing(&before);
        assert_eq!(sealer.check(revived.whole().unwrap()), SealCheck::Wrong);
        assert!(sealer.intact(revived.whole().unwrap()).is_err());
    }

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

    /// Records whose texts, lists and options are short and alike, so that an encoding without lengths or tags would soon meet itself.
    fn confusable() -> impl Strategy<Value = RecordParts> {
        let text = "[ab]{1,3}";
        let list = || prop::option::of(prop::collection::vec(text, 0..3));
        let id = || prop::option::of(0_u64..3);
        (
            text,
            text,
            list(),
            list(),
            prop::option::of(text),
            0_i64..3,
            prop::option::of(0_i64..3),
            (0_u64..3, id(), id()),
        )
            .prop_map(
                |(
                    owner,
                    label,
                    scopes,
                    resources,
                    issued_by,
                    created,
                    expires,
                    (family, successor, derived),
                )| {
                    let id = |number| TokenId::from_u64(number).unwrap();
                    let scopes = scopes.map_or(Grant::All, |s| {
                        Grant::only(s.iter().map(|s| Scope::new(s).unwrap()))
                    });
                    let resources = resources.map_or(Grant::All, |r| {
                        Grant::only(r.iter().map(|r| ResourcePattern::new(r).unwrap()))
                    });
                    RecordParts {
                        owner: Owner::new(owner).unwrap(),
                        label: Label::new(label).unwrap(),
                        access: Access::from_grants(scopes, resources).unwrap(),
                        issued_by: issued_by.map(|name| Operator::new(name).unwrap()),
                        created_at: Timestamp::from_unix(created).unwrap(),
                        expires: expires.map_or(Expires::Never, |e| {
                            Expires::At(Timestamp::from_unix(e).unwrap())
                        }),
                        family: id(family),
                        successor: successor.map(id),
                        derived_from: derived.map(id),
                        ..example()
                    }
                },
            )
    }

    /// Reads the encoding back. That it can be done shows that no two records have the same bytes.
    struct Decoding<'a>(&'a [u8]);

    impl<'a> Decoding<'a> {
        fn take(&mut self, length: usize) -> &'a [u8] {
            let (taken, rest) = self.0.split_at(length);
            self.0 = rest;
            taken
        }
        fn number(&mut self) -> u64 {
            u64::from_be_bytes(self.take(8).try_into().unwrap())
        }
        fn small(&mut self) -> u32 {
            u32::from_be_bytes(self.take(4).try_into().unwrap())
        }
        fn slice(&mut self) -> &'a [u8] {
            let length = self.small();
            self.take(length as usize)
        }
        fn text(&mut self) -> &'a str {
            std::str::from_utf8(self.slice()).unwrap()
        }
        fn id(&mut self) -> TokenId {
            TokenId::from_u64(self.number()).unwrap()
        }
        fn instant(&mut self) -> Timestamp {
            Timestamp::from_unix(self.number() as i64).unwrap()
        }
        fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> Option<T> {
            (self.take(1) == [1]).then(|| read(self))
        }
        fn grant<T: Ord>(&mut self, make: impl Fn(&str) -> T) -> Grant<T> {
            let listed = self.option(|bytes| {
                let length = bytes.small();
                (0..length).map(|_| make(bytes.text())).collect::<Vec<_>>()
            });
            listed.map_or(Grant::All, Grant::only)
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn the_encoding_is_injective(parts in confusable(), realm in "[ab]{1,3}") {
            let bytes = encoding(&realm, &TokenRecord::from_parts(parts.clone()));
            let mut bytes = Decoding(&bytes);
            prop_assert_eq!(bytes.take(4), b"ats1");
            prop_assert_eq!(bytes.text(), realm);
            let decoded = RecordParts {
                key_id: KeyId::new(bytes.small()).unwrap(),
                id: bytes.id(),
                digest: Digest::from_bytes(bytes.slice()).unwrap(),
                owner: Owner::new(bytes.text()).unwrap(),
                label: Label::new(bytes.text()).unwrap(),
                access: Access::from_grants(
                    bytes.grant(|name| Scope::new(name).unwrap()),
                    bytes.grant(|name| ResourcePattern::new(name).unwrap()),
                ).unwrap(),
                issued_by: bytes.option(|bytes| Operator::new(bytes.text()).unwrap()),
                created_at: bytes.instant(),
                expires: bytes.option(Decoding::instant).map_or(Expires::Never, Expires::At),
                family: bytes.id(),
                successor: bytes.option(Decoding::id),
                derived_from: bytes.option(Decoding::id),
                ..example()
            };
            prop_assert_eq!(decoded, parts);
            prop_assert!(bytes.0.is_empty());
        }
    }
}
