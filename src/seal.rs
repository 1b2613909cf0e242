//! The seal over a row. Without a key nobody can forge it, not even those who can write the
//! database.
//!
//! A row carries a private mark once this engine has sealed it. So a row that never left the
//! process isn't checked.
//!
//! # What the seal prevents, and what not
//!
//! Those who can write the rows but hold no key can't make the engine accept a forged row. It
//! accepts only what it once sealed itself, for this realm. They can bring back an earlier sealed
//! version of a row, even of a token revoked since, while its key is in the ring. SECURITY.md lists
//! all that they can still do.
//!
//! # The bytes
//!
//! The stored seal is 33 bytes: the version, which is the byte `01`, and an HMAC-SHA-256. The HMAC
//! is computed over the bytes below, under the key that the row names. That key is the decoded
//! bytes of the ring's base64.
//!
//! - Numbers are big-endian.
//! - A *text* is its length in bytes as a `u32`, then its UTF-8 bytes.
//! - An *option* is `00`, or `01` and the value.
//! - A *selection* of everything is `00`.
//! - Any other selection is `01`, the number of its items as a `u32`, and the items. Each is a text
//!   in its stored form. They are sorted by their bytes.
//!
//! | | |
//! |---|---|
//! | domain | the four bytes `ats1` |
//! | realm | text; the policy's, not stored |
//! | key id | `u32` |
//! | id | `u64` |
//! | digest | `u32` length (33 in scheme 1, 37 in scheme 2), then the scheme's tag and its bytes |
//! | owner, label | text, text |
//! | scopes, resources, networks | selection, selection, selection |
//! | attributes | their number as a `u32`; of each, in the order of the keys, key and value: text, text |
//! | issued by | option of text |
//! | created at | `i64`, seconds since 1970 |
//! | expires | option of `i64`; `00` is never |
//! | family | `u64` |
//! | successor, derived from | option of `u64`, option of `u64` |
//!
//! Last use, revocation and revision are not sealed: they change without a key.

use crate::access::{Access, Selection};
use crate::constant_time::constant_time_eq;
use crate::digest::Digest;
use crate::key::Seal;
use crate::key_ring::KeyRing;
use crate::record::{Expires, Newer, RecordParts, SealCheck, TokenRecord};
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
    /// Makes a sealer with a mark of its own.
    pub(crate) fn new(ring: KeyRing, realm: &str) -> Sealer {
        Sealer { ring, realm: realm.into(), mark: Mark::new() }
    }

    /// Returns the key ring.
    pub(crate) fn ring(&self) -> &KeyRing {
        &self.ring
    }

    /// Returns the realm.
    #[cfg(feature = "import")]
    pub(crate) fn realm(&self) -> &str {
        &self.realm
    }

    /// Seals the row of a new token. A row that was read must go through [`Sealer::intact`]
    /// instead.
    pub(crate) fn seal_new(&self, fresh: RecordParts) -> ReadableRow {
        self.seal(fresh)
    }

    /// Checks whether the row is as this engine wrote it, for this realm. A revoked row has no
    /// seal.
    #[inline]
    pub(crate) fn check(&self, row: &ReadableRow) -> SealCheck {
        // The mark says that this sealer made the seal. Whatever may change afterwards is either
        // not sealed, or loses the mark.
        if row.is_marked_by(self.mark) { SealCheck::Right } else { self.check_bytes(row) }
    }

    fn check_bytes(&self, row: &ReadableRow) -> SealCheck {
        let record = row.record();
        // Before the key is looked up: an unknown version may name its key in another way.
        if let Some(newer) = record.digest_of_other_scheme().filter(|digest| digest.is_newer()) {
            return SealCheck::UnknownVersion(Newer::Digest(newer.scheme()));
        }
        let Some(stored) = record.seal_v1() else {
            let other = record.seal().map(|seal| Newer::Seal(seal.version()));
            return other.map_or(SealCheck::Wrong, SealCheck::UnknownVersion);
        };
        let Some(key) = self.ring.key(record.key_id()) else {
            return SealCheck::KeyMissing;
        };
        let expected = key.hmac(|sink| encode(&self.realm, record, sink));
        if constant_time_eq(stored, &expected) { SealCheck::Right } else { SealCheck::Wrong }
    }

    /// Returns whether this sealer has sealed the row.
    pub(crate) fn has_marked(&self, row: &ReadableRow) -> bool {
        row.is_marked_by(self.mark)
    }

    /// Proves that a row is as this engine wrote it, and not revoked.
    ///
    /// # Errors
    /// The result of the check. A revoked row is [`SealCheck::Wrong`], whatever its seal.
    pub(crate) fn intact<'a>(&self, row: &'a ReadableRow) -> Result<Intact<'a>, SealCheck> {
        // Looked at first: a seal that was put back beside a revocation must not bring the token
        // back.
        if row.record().revocation().is_some() {
            return Err(SealCheck::Wrong);
        }
        match self.check(row) {
            SealCheck::Right => Ok(Intact(row.record())),
            wrong => Err(wrong),
        }
    }

    /// Seals a row under the active key: exactly what was found intact, plus the change.
    ///
    /// A row whose digest needs a key stays under that key, so that one number says all that the
    /// row needs of the ring.
    pub(crate) fn reseal(&self, intact: Intact<'_>, change: SealChange) -> ReadableRow {
        let SealChange { digest, label, access, expires, successor } = change;
        let old = intact.0.clone().into_parts();
        self.seal(RecordParts {
            digest: digest.unwrap_or(old.digest),
            label: label.unwrap_or(old.label),
            access: access.unwrap_or(old.access),
            expires: expires.unwrap_or(old.expires),
            successor: successor.or(old.successor),
            ..old
        })
    }

    /// Seals a row under the active key without a check: for a lost key, if an operator trusts its
    /// rows.
    pub(crate) fn danger_seal_without_proof(&self, row: &ReadableRow) -> ReadableRow {
        self.seal(row.record().clone().into_parts())
    }

    /// Seals under the active key, or the one that the digest needs, and marks the row as made by
    /// this sealer.
    fn seal(&self, parts: RecordParts) -> ReadableRow {
        let needed = parts.digest.key_id().and_then(|id| self.ring.key(id));
        let key = needed.unwrap_or(self.ring.active());
        // The key's id is among the sealed bytes, so no row can be moved to another key.
        let record = TokenRecord::from_parts(RecordParts { key_id: key.id(), ..parts });
        let seal = Seal::of_v1(key.hmac(|sink| encode(&self.realm, &record, sink)));
        ReadableRow::marked(record.changed(|parts| parts.seal = Some(seal)), self.mark)
    }
}

/// A record whose row was found intact.
///
/// New seals are made from nothing else: sealing an unchecked row would make a forged one valid.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Intact<'a>(&'a TokenRecord);

impl<'a> Intact<'a> {
    /// Returns the record that was found intact.
    pub(crate) fn record(self) -> &'a TokenRecord {
        self.0
    }
}

/// What a new seal may change of a row; `None` keeps what it has. Owner and family never change.
#[derive(Debug, Default)]
pub(crate) struct SealChange {
    /// The same text's digest, of another scheme or under another key.
    pub(crate) digest: Option<Digest>,
    pub(crate) label: Option<Label>,
    pub(crate) access: Option<Access>,
    pub(crate) expires: Option<Expires>,
    pub(crate) successor: Option<TokenId>,
}

/// Hands the bytes that are sealed to a sink: see the table above.
///
/// Different records, realms or keys never have the same bytes, because every part has its length
/// or a fixed size.
fn encode(realm: &str, record: &TokenRecord, sink: &mut dyn FnMut(&[u8])) {
    let mut bytes = Encoding { gathered: [0; 256], length: 0, sink };
    bytes.bytes(b"ats1");
    bytes.text(realm);
    bytes.bytes(&record.key_id().as_u32().to_be_bytes());
    bytes.number(record.id().as_u64());
    match record.digest_of_other_scheme() {
        None => bytes.slice(&record.sha_256().to_bytes()),
        Some(digest) => bytes.slice(&digest.to_bytes()),
    }
    bytes.text(record.owner().as_str());
    bytes.text(record.label().as_str());
    bytes.selection(record.access().granted_scopes(), |bytes, scope| bytes.text(scope.as_str()));
    bytes.selection(record.access().granted_resources(), |bytes, resource| {
        bytes.text(resource.as_str());
    });
    bytes.selection(record.access().granted_networks(), |bytes, network| {
        bytes.text(&network.to_string());
    });
    bytes.length(record.attributes().len());
    // Most rows have none.
    if !record.attributes().is_empty() {
        for (key, value) in record.attributes().iter() {
            bytes.text(key);
            bytes.text(value);
        }
    }
    bytes.option(record.issued_by(), |bytes, operator| bytes.text(operator.as_str()));
    bytes.instant(record.created_at());
    bytes.option(record.expires().at(), Encoding::instant);
    bytes.number(record.family().as_u64());
    bytes.option(record.successor(), |bytes, id| bytes.number(id.as_u64()));
    bytes.option(record.derived_from(), |bytes, id| bytes.number(id.as_u64()));
    bytes.hand_over();
}

/// Gathers the parts of a record, and hands them over together: most records at once, without an
/// allocation.
struct Encoding<'s> {
    gathered: [u8; 256],
    length: usize,
    sink: &'s mut dyn FnMut(&[u8]),
}

impl Encoding<'_> {
    /// Adds bytes without their length.
    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        if let Some(place) = self.gathered[self.length..].get_mut(..bytes.len()) {
            place.copy_from_slice(bytes);
            self.length += bytes.len();
        } else {
            self.hand_over();
            (self.sink)(bytes);
        }
    }

    fn hand_over(&mut self) {
        (self.sink)(&self.gathered[..self.length]);
        self.length = 0;
    }

    fn number(&mut self, number: u64) {
        self.bytes(&number.to_be_bytes());
    }

    fn instant(&mut self, instant: Timestamp) {
        self.bytes(&instant.as_unix().to_be_bytes());
    }

    /// Adds a length or a number of items.
    fn length(&mut self, length: usize) {
        #[expect(
            clippy::expect_used,
            reason = "no text has over 1,030 bytes, no list over 256 items"
        )]
        let length = u32::try_from(length).expect("a length of a record's part");
        self.bytes(&length.to_be_bytes());
    }

    fn slice(&mut self, slice: &[u8]) {
        self.length(slice.len());
        self.bytes(slice);
    }

    fn text(&mut self, text: &str) {
        self.slice(text.as_bytes());
    }

    fn option<T>(&mut self, option: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.bytes(&[u8::from(option.is_some())]);
        if let Some(value) = option {
            write(self, value);
        }
    }

    fn selection<T>(&mut self, selection: &Selection<T>, write: impl Fn(&mut Self, &T)) {
        let listed = match selection {
            Selection::All => None,
            Selection::Only(items) => Some(items),
        };
        self.option(listed, |bytes, items| {
            bytes.length(items.len());
            items.iter().for_each(|item| write(bytes, item));
        });
    }
}

#[cfg(test)]
mod tests;
