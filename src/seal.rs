//! The seal over a row: what whoever can write the database, but holds no key, can't forge.
//!
//! A [`Row`] is a record on its way to or from a store. It carries a private mark once its seal was made
//! or found right by this engine, so that a row which never left the process isn't checked twice.
//!
//! # The bytes
//!
//! The seal is HMAC-SHA-256 under the key that the row names, over these bytes. Numbers are big-endian. A *text* is
//! its length in bytes as a `u32`, then its UTF-8 bytes. An *option* is `00`, or `01` and the value. A *selection* is
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
//! | scopes, resources | selection, selection |
//! | issued by | option of text |
//! | created at | `i64`, seconds since 1970 |
//! | expires | option of `i64`; `00` is never |
//! | family | `u64` |
//! | successor, derived from | option of `u64`, option of `u64` |
//!
//! Last use, revocation and revision are not sealed: they change without a key.

use crate::access::{Access, Selection};
use crate::key_ring::KeyRing;
use crate::record::{Expires, RecordParts, SealCheck, TokenRecord};
use crate::row::{Mark, ReadableRow};
use crate::text::Label;
use crate::timestamp::Timestamp;
use crate::token::TokenId;

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
    pub(crate) fn seal_new(&self, fresh: RecordParts) -> ReadableRow {
        self.seal(fresh)
    }

    /// Whether the row is as this engine wrote it, for this realm. A revoked row has no seal any more.
    pub(crate) fn check(&self, row: &ReadableRow) -> SealCheck {
        let record = row.record();
        let Some(seal) = record.seal() else {
            return SealCheck::Wrong;
        };
        if row.is_marked_by(self.mark) {
            return SealCheck::Right;
        }
        let Some(key) = self.ring.key(record.key_id()) else {
            return SealCheck::KeyMissing;
        };
        let expected = key.seal(&encoding(&self.realm, record));
        if *seal == expected { SealCheck::Right } else { SealCheck::Wrong }
    }

    /// Whether this sealer made or checked the row, and nobody else uses it.
    pub(crate) fn has_marked(&self, row: &ReadableRow) -> bool {
        row.is_marked_by(self.mark)
    }

    /// Proof that a row is as this engine wrote it, and not revoked.
    ///
    /// # Errors
    /// What the look at the seal said; a revoked row is [`SealCheck::Wrong`], whatever else it has.
    pub(crate) fn intact<'a>(&self, row: &'a ReadableRow) -> Result<Intact<'a>, SealCheck> {
        if row.record().revocation().is_some() {
            return Err(SealCheck::Wrong);
        }
        match self.check(row) {
            SealCheck::Right => Ok(Intact(row.record())),
            wrong => Err(wrong),
        }
    }

    /// Seals a row anew, under the active key: exactly what was found intact, and the change.
    pub(crate) fn reseal(&self, intact: Intact<'_>, change: SealChange) -> ReadableRow {
        let SealChange { label, access, expires, successor } = change;
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
    pub(crate) fn danger_seal_without_proof(&self, row: &ReadableRow) -> ReadableRow {
        self.seal(row.record().clone().into_parts())
    }

    fn seal(&self, parts: RecordParts) -> ReadableRow {
        let key = self.ring.active();
        let record = TokenRecord::from_parts(RecordParts { key_id: key.id(), ..parts });
        let seal = key.seal(&encoding(&self.realm, &record));
        ReadableRow::marked(record.changed(|parts| parts.seal = Some(seal)), self.mark)
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
pub(crate) struct SealChange {
    pub(crate) label: Option<Label>,
    pub(crate) access: Option<Access>,
    pub(crate) expires: Option<Expires>,
    pub(crate) successor: Option<TokenId>,
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
    bytes.selection(record.access().granted_scopes(), |scope| scope.as_str());
    bytes.selection(record.access().granted_resources(), |pattern| pattern.as_str());
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

    fn selection<T>(&mut self, selection: &Selection<T>, text: impl Fn(&T) -> &str) {
        let listed = match selection {
            Selection::All => None,
            Selection::Only(items) => Some(items),
        };
        self.option(listed, |bytes, items| {
            bytes.length(items.len());
            items.iter().for_each(|item| bytes.text(text(item)));
        });
    }
}

#[cfg(test)]
mod tests;
