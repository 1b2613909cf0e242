use std::borrow::Cow;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::access::{Network, Resource, Scope};
use crate::attributes::Attributes;
use crate::digest::Digest;
use crate::key::{KeyId, Seal};
use crate::policy::Policy;
use crate::record::tests::{at, example};
use crate::record::{Actor, LastUse, Newer, Revocation};
use crate::row::Row;
use crate::store::RowColumns;
use crate::text::{Operator, Owner, Reason};
use crate::token::Token;

const ONE: &str = "1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const TWO: &str = "2:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

fn sealer(keys: &str, realm: &str) -> Sealer {
    Sealer::new(KeyRing::parse(keys).unwrap(), realm)
}

/// Returns the row as a store loads it from outside.
fn loaded(row: &ReadableRow) -> ReadableRow {
    ReadableRow::unmarked(row.record().clone())
}

fn from_hex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|p| u8::from_str_radix(std::str::from_utf8(p).unwrap(), 16).unwrap()).collect()
}

/// Reads the columns of a vector, which holds them as a dump shows them, and writes them again.
/// Checks the seal, too. Returns the record.
fn checked(row: &Value) -> TokenRecord {
    let text = |name: &str| row[name].as_str().map(Cow::Borrowed);
    let number = |name: &str| row[name].as_i64();
    let bytes = |name: &str| Some(from_hex(row[name].as_str().unwrap()).into());
    let policy = Policy::new(text("prefix").unwrap()).unwrap();
    let policy = match text("realm") {
        Some(realm) => policy.with_realm(&realm).unwrap(),
        None => policy,
    };
    let columns = RowColumns {
        id: number("id").unwrap(),
        digest: bytes("digest"),
        owner: text("owner"),
        label: text("label"),
        scopes: text("scopes"),
        resources: text("resources"),
        networks: text("networks"),
        attributes: text("attributes"),
        issued_by: text("issued_by"),
        created_at: number("created_at"),
        expires_at: number("expires_at"),
        family: number("family"),
        successor: number("successor"),
        derived_from: number("derived_from"),
        key_id: number("key_id"),
        seal: bytes("seal"),
        revision: Some(0),
        revoked_at: None,
        revoked_reason: None,
        revoked_by: None,
        last_used_at: None,
        last_used_address: None,
        last_used_client: None,
    };
    let read = columns.clone().into_row().unwrap().into_readable().unwrap();
    let sealer = sealer(&text("ring").unwrap(), policy.realm());
    assert_eq!(sealer.check(&read), SealCheck::Right, "{row}");
    assert!(RowColumns::of(read.record()) == columns, "{row}");
    read.record().clone()
}

#[test]
fn digest_and_seal_are_those_of_a_second_implementation() {
    let rows: Vec<Value> =
        serde_json::from_str(include_str!("../../tests/vectors/seals.json")).unwrap();
    assert_eq!(rows.len(), 16);
    for row in rows {
        let record = checked(&row);
        let token = Token::parse_any_prefix(row["token"].as_str().unwrap()).unwrap();
        assert_eq!((record.id(), record.digest()), (token.id(), Digest::of(&token)));
    }
}

#[test]
fn rows_of_other_systems_are_those_of_a_second_implementation() {
    let rows: Vec<Value> =
        serde_json::from_str(include_str!("../../tests/vectors/imported.json")).unwrap();
    let schemes: Vec<u8> = rows.iter().map(|row| checked(row).digest().scheme()).collect();
    assert_eq!(schemes, [2, 2, 3, 3]);
    #[cfg(feature = "import")]
    for row in &rows[..2] {
        let record = checked(row);
        let ring = KeyRing::parse(row["ring"].as_str().unwrap()).unwrap();
        let key = ring.key(record.key_id()).unwrap();
        assert_eq!(record.digest(), Digest::keyed(key, row["token"].as_str().unwrap()));
    }
}

#[test]
fn a_row_is_right_under_its_own_key_and_realm_only() {
    let row = sealer(ONE, "acme").seal_new(example());
    let check = |keys: &str, realm: &str| sealer(keys, realm).check(&loaded(&row));
    assert_eq!(check(ONE, "acme"), SealCheck::Right);
    assert_eq!(check(&format!("{TWO},{ONE}"), "acme"), SealCheck::Right, "a retired key checks");
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
    let unmarked = ReadableRow::unmarked(revoked.clone());
    for revoked in [unmarked, ReadableRow::marked(revoked, sealer.mark)] {
        assert_eq!(sealer.check(&revoked), SealCheck::Right, "a revocation is not sealed");
        assert_eq!(sealer.intact(&revoked).unwrap_err(), SealCheck::Wrong);
    }
}

#[test]
fn a_seal_of_an_unknown_version_is_neither_right_nor_wrong() {
    let sealer = sealer(ONE, "acme");
    let mut bytes = sealer.seal_new(example()).record().seal().unwrap().to_bytes();
    bytes[0] = 2;
    let newer = RecordParts { seal: Seal::from_bytes(&bytes), ..example() };
    let check = |parts| {
        let row = ReadableRow::unmarked(TokenRecord::from_parts(parts));
        (sealer.check(&row), sealer.intact(&row).is_ok())
    };
    assert_eq!(check(newer.clone()), (SealCheck::UnknownVersion(Newer::Seal(2)), false));
    let under_unknown_key = RecordParts { key_id: KeyId::new(9).unwrap(), ..newer };
    assert_eq!(check(under_unknown_key), (SealCheck::UnknownVersion(Newer::Seal(2)), false));
    let digest = Digest::from_bytes(&[4; 40]).unwrap();
    let unknown = (SealCheck::UnknownVersion(Newer::Digest(4)), false);
    for seal in [Seal::from_bytes(&bytes), None] {
        assert_eq!(check(RecordParts { digest: digest.clone(), seal, ..example() }), unknown);
    }
}

#[test]
fn a_mark_of_another_sealer_is_worth_nothing() {
    let foreign = sealer(TWO, "acme").seal_new(example());
    assert_eq!(sealer(ONE, "acme").check(&foreign), SealCheck::KeyMissing);
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
    assert_eq!(sealer.check(&rebuilt.readable().unwrap()), SealCheck::Wrong);
}

#[test]
fn what_is_not_sealed_changes_without_a_key_and_keeps_the_mark() {
    let sealer = sealer(ONE, "acme");
    let row = Row::from(sealer.seal_new(example()));
    let last_use = LastUse { at: at(5), address: None, client: Some("x".into()) };
    let changed = row.replacing(&row).with_last_use(last_use.clone());
    assert_eq!(sealer.check(&changed.readable().unwrap()), SealCheck::Right);
    assert_eq!(sealer.check(&loaded(&changed.readable().unwrap())), SealCheck::Right);
    assert_eq!(changed.record().unwrap().revision(), 1);
    assert_eq!(changed.record().unwrap().last_use(), Some(&last_use));
}

#[test]
fn a_revocation_wipes_the_seal_and_a_cleared_one_does_not_revive() {
    let sealer = sealer(ONE, "acme");
    let revocation =
        Revocation { at: at(1), reason: Reason::REQUESTED, by: Actor::from(example().owner) };
    let revoked = Row::from(sealer.seal_new(example())).with_revocation(&revocation);
    let record = revoked.record().unwrap();
    assert_eq!((record.seal(), record.revision()), (None, 1));
    let cleared = RecordParts { revocation: None, ..record.clone().into_parts() };
    let cleared = ReadableRow::unmarked(TokenRecord::from_parts(cleared));
    assert_eq!(sealer.check(&cleared), SealCheck::Wrong);
}

#[test]
fn a_revocation_can_not_be_replaced_away() {
    let sealer = sealer(ONE, "acme");
    let before = Row::from(sealer.seal_new(example()));
    let revocation =
        Revocation { at: at(1), reason: Reason::REQUESTED, by: Actor::from(example().owner) };
    let revived = before.with_revocation(&revocation).replacing(&before);
    assert_eq!(sealer.check(&revived.readable().unwrap()), SealCheck::Wrong);
    assert!(sealer.intact(&revived.readable().unwrap()).is_err());
}

/// Draws records with short texts, lists and options that are much alike. An encoding without
/// lengths or tags would soon give two of them the same bytes.
fn confusable() -> impl Strategy<Value = RecordParts> {
    let text = "[ab]{1,3}";
    let resource = "(exact|under|prefix):[ab]{1,2}";
    let network = prop_oneof![Just("1.0.0.0/8"), Just("1.0.0.0/9"), Just("1::/16")];
    let id = || prop::option::of(0_u64..3);
    (
        text,
        text,
        (
            prop::option::of(prop::collection::vec(text, 0..3)),
            prop::option::of(prop::collection::vec(resource, 0..3)),
            prop::option::of(prop::collection::vec(network, 0..3)),
        ),
        prop::collection::btree_map(text, text, 0..3),
        prop::option::of(text),
        0_i64..3,
        prop::option::of(0_i64..3),
        (0_u64..3, id(), id()),
    )
        .prop_map(
            |(
                owner,
                label,
                (scopes, resources, networks),
                attributes,
                issued_by,
                created,
                expires,
                (family, successor, derived),
            )| {
                let id = |number| TokenId::from_u64(number).unwrap();
                let scopes = scopes.map_or(Selection::All, |s| {
                    Selection::only(s.iter().map(|s| Scope::new(s).unwrap()))
                });
                let resources = resources.map_or(Selection::All, |r| {
                    Selection::only(r.iter().map(|r| r.parse::<Resource>().unwrap()))
                });
                let networks = networks.map_or(Selection::All, |n| {
                    Selection::only(n.iter().map(|n| n.parse::<Network>().unwrap()))
                });
                RecordParts {
                    owner: Owner::new(owner).unwrap(),
                    label: Label::new(label).unwrap(),
                    access: Access::from_selections(scopes, resources, networks).unwrap(),
                    attributes: attributes.iter().fold(Attributes::new(), |made, (key, value)| {
                        made.with(key, value).unwrap()
                    }),
                    issued_by: issued_by.map(|name| Operator::new(name).unwrap()),
                    created_at: Timestamp::from_unix(created).unwrap(),
                    expires: expires
                        .map_or(Expires::Never, |e| Expires::At(Timestamp::from_unix(e).unwrap())),
                    family: id(family),
                    successor: successor.map(id),
                    derived_from: derived.map(id),
                    ..example()
                }
            },
        )
}

fn encoded(realm: &str, parts: RecordParts) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(realm, &TokenRecord::from_parts(parts), &mut |part| bytes.extend(part));
    bytes
}

/// The bytes are gathered 256 at a time. Wherever one part of a row ends, the next one follows.
#[test]
fn nothing_is_lost_where_the_gathered_bytes_are_handed_over() {
    let of_owner = |owner: &str| {
        encoded("acme", RecordParts { owner: Owner::new(owner).unwrap(), ..example() })
    };
    let shortest = of_owner("o");
    let place = shortest.windows(5).position(|five| five == b"\0\0\0\x01o").unwrap();
    let (before, after) = (&shortest[..place], &shortest[place + 5..]);
    for length in 1..=Owner::MAX_CHARS {
        // The second is up to 1,020 bytes long, more than is gathered.
        for owner in ["o".repeat(length), "\u{1f600}".repeat(length)] {
            let text = [&(owner.len() as u32).to_be_bytes()[..], owner.as_bytes()].concat();
            assert_eq!(of_owner(&owner), [before, &text, after].concat(), "{length}");
        }
    }
}

/// Reads the encoding back. That it can be read shows that no two records have the same bytes.
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
    fn selection<T: Ord>(&mut self, make: impl Fn(&str) -> T) -> Selection<T> {
        let listed = self.option(|bytes| {
            let length = bytes.small();
            (0..length).map(|_| make(bytes.text())).collect::<Vec<_>>()
        });
        listed.map_or(Selection::All, Selection::only)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn the_encoding_is_injective(parts in confusable(), realm in "[ab]{1,3}") {
        let bytes = encoded(&realm, parts.clone());
        let mut bytes = Decoding(&bytes);
        prop_assert_eq!(bytes.take(4), b"ats1");
        prop_assert_eq!(bytes.text(), realm);
        let decoded = RecordParts {
            key_id: KeyId::new(bytes.small()).unwrap(),
            id: bytes.id(),
            digest: Digest::from_bytes(bytes.slice()).unwrap(),
            owner: Owner::new(bytes.text()).unwrap(),
            label: Label::new(bytes.text()).unwrap(),
            access: Access::from_selections(
                bytes.selection(|name| Scope::new(name).unwrap()),
                bytes.selection(|text| text.parse::<Resource>().unwrap()),
                bytes.selection(|text| text.parse::<Network>().unwrap()),
            ).unwrap(),
            attributes: (0..bytes.small()).fold(Attributes::new(), |made, _| {
                made.with(bytes.text(), bytes.text()).unwrap()
            }),
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
