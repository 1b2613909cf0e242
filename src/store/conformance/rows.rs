//! Makes the rows for the tests, and calls that fail the test on an error.
//!
//! It uses only public names of the crate. That proves that they are enough to write a store.

use std::fmt;

use crate::access::Access;
use crate::attributes::Attributes;
use crate::digest::Digest;
use crate::key::{KeyId, Seal};
use crate::record::{Actor, Expires, LastUse, LiveAt, RecordParts, Revocation, TokenRecord};
use crate::store::{
    Filter, Insert, Inserted, Page, Purge, Replace, Replaced, Row, StoreError, Supersede,
    Superseded, TokenStore,
};
use crate::text::{Label, Operator, Owner, Reason};
use crate::timestamp::Timestamp;
use crate::token::TokenId;

/// Returns an instant, in seconds after the one at which every row is issued.
pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix(1_772_366_400 + seconds).unwrap()
}

pub(super) fn id(number: u64) -> TokenId {
    TokenId::from_u64(number).unwrap()
}

pub(super) fn owner(text: &str) -> Owner {
    Owner::new(text).unwrap()
}

pub(super) fn label(text: &str) -> Label {
    Label::new(text).unwrap()
}

pub(super) fn key(number: u32) -> KeyId {
    KeyId::new(number).unwrap()
}

pub(super) fn digest(byte: u8) -> Digest {
    let mut stored = [byte; 33];
    stored[0] = 1;
    Digest::from_bytes(&stored).unwrap()
}

pub(super) fn seal(byte: u8) -> Option<Seal> {
    Seal::from_bytes(&[&[1], &[byte; 32][..]].concat())
}

pub(super) fn used(seconds: i64) -> LastUse {
    LastUse { at: at(seconds), address: None, client: None }
}

pub(super) fn revocation(seconds: i64, reason: &str) -> Revocation {
    let by = Actor::Operator(Operator::new("mallory").unwrap());
    Revocation { at: at(seconds), reason: Reason::new(reason).unwrap(), by }
}

/// Makes a live row, the first of its family, that expires at 1000 seconds.
pub(super) fn row(number: u64, of: &str) -> RecordParts {
    RecordParts {
        id: id(number),
        digest: digest(number as u8),
        owner: owner(of),
        label: label(&format!("token {number}")),
        access: Access::full(),
        attributes: Attributes::new(),
        issued_by: None,
        created_at: at(0),
        expires: Expires::At(at(1000)),
        family: id(number),
        successor: None,
        derived_from: None,
        revocation: None,
        last_use: None,
        revision: 0,
        key_id: key(1),
        seal: seal(number as u8),
    }
}

/// Makes a row that was issued under a family.
pub(super) fn derived(number: u64, of: &str, family: u64) -> RecordParts {
    RecordParts { derived_from: Some(id(family)), ..row(number, of) }
}

/// Returns a row as it is after its revocation.
pub(super) fn revoked_by(row: &RecordParts, revocation: &Revocation) -> RecordParts {
    let revision = row.revision.saturating_add(1).min(TokenRecord::MAX_REVISION);
    RecordParts { revocation: Some(revocation.clone()), seal: None, revision, ..row.clone() }
}

/// Returns a row as it is after its new form was written.
pub(super) fn written(form: &RecordParts) -> RecordParts {
    RecordParts { revision: form.revision + 1, ..form.clone() }
}

/// Makes the insert of a row without a limit, a unique label or a parent.
pub(super) fn insert_of(row: &RecordParts) -> Insert {
    Insert {
        row: loaded(row),
        live: LiveAt::now(at(0)),
        limit: None,
        unique_label: false,
        under: None,
    }
}

/// Makes the rotation of a row: its successor, its new form, and the request that writes both.
///
/// The old row expires at 500 seconds.
pub(super) fn rotation(old: &RecordParts, number: u64) -> (RecordParts, RecordParts, Supersede) {
    let new = RecordParts {
        family: old.family,
        derived_from: old.derived_from,
        label: old.label.clone(),
        ..row(number, old.owner.as_str())
    };
    let form = RecordParts {
        successor: Some(new.id),
        expires: Expires::At(at(500)),
        seal: seal(number as u8 ^ 0xff),
        ..old.clone()
    };
    let supersede = Supersede {
        row: loaded(&new),
        superseded: loaded(&form),
        replaces: None,
        revokes_derived: false,
        revocation: revocation(7, "rotated"),
    };
    (new, form, supersede)
}

pub(super) fn replace_of(form: &RecordParts) -> Replace {
    Replace {
        row: loaded(form),
        live: LiveAt::now(at(0)),
        unique_label: false,
        revokes_derived: None,
    }
}

pub(super) fn loaded(parts: &RecordParts) -> Row {
    Row::new(TokenRecord::from_parts(parts.clone()))
}

/// Fails the test if a clause doesn't hold.
#[track_caller]
pub(super) fn hold(clause: u8, held: bool, wrong: impl fmt::Display) {
    assert!(held, "clause {clause} of TokenStore is broken: {wrong}");
}

/// Fails the test if an answer isn't the one that a clause asks for.
#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "what is compared is read here and nowhere else")]
pub(super) fn answers<T: PartialEq + fmt::Debug>(clause: u8, what: &str, answer: T, right: T) {
    hold(clause, answer == right, format_args!("{what} was answered {answer:?}, not {right:?}"));
}

/// Returns the answer of the store. An error fails the test, as the store should be working.
#[track_caller]
pub(super) fn answered<T>(answer: Result<T, StoreError>) -> T {
    match answer {
        Ok(answer) => answer,
        Err(error) => panic!("the store under test could not do what it was asked: {error}"),
    }
}

pub(super) async fn insert<S: TokenStore>(store: &S, insert: &Insert) -> Inserted {
    answered(store.insert(insert).await)
}

pub(super) async fn supersede<S: TokenStore>(store: &S, supersede: &Supersede) -> Superseded {
    answered(store.supersede(supersede).await)
}

/// Puts a row into the store exactly as it is, in any state.
pub(super) async fn put<S: TokenStore>(store: &S, row: &RecordParts) {
    let answer = insert(store, &insert_of(row)).await;
    answers(4, "the plain insert of a new row", answer, Inserted::Done);
}

pub(super) async fn put_all<S: TokenStore>(store: &S, rows: &[RecordParts]) {
    for row in rows {
        put(store, row).await;
    }
}

pub(super) async fn replace<S: TokenStore>(store: &S, replace: &Replace) -> Replaced {
    let answers = answered(store.replace(std::slice::from_ref(replace)).await);
    match answers[..] {
        [answer] => answer,
        _ => panic!("clause 13 of TokenStore is broken: one replacement was answered {answers:?}"),
    }
}

pub(super) async fn revoke<S: TokenStore>(
    store: &S,
    filter: &Filter,
    revocation: &Revocation,
) -> u64 {
    answered(store.revoke(filter, revocation).await)
}

pub(super) async fn touch<S: TokenStore>(store: &S, uses: &[(TokenId, LastUse)]) {
    answered(store.touch(uses, at(100_000)).await);
}

pub(super) async fn purge<S: TokenStore>(store: &S, purge: &Purge, limit: u32) -> u64 {
    answered(store.purge(purge, limit).await)
}

pub(super) async fn list<S: TokenStore>(store: &S, filter: &Filter) -> Vec<Row> {
    answered(store.list(filter, Page::first(10_000)).await)
}

/// Returns the row with this id. It must exist and be readable.
pub(super) async fn stored<S: TokenStore>(store: &S, id: TokenId) -> RecordParts {
    match parts_of(answered(store.find(id).await).as_ref()) {
        Some(parts) => parts,
        None => panic!("clause 11 of TokenStore is broken: find does not give row {id}"),
    }
}

pub(super) fn parts_of(row: Option<&Row>) -> Option<RecordParts> {
    row.and_then(Row::record).cloned().map(TokenRecord::into_parts)
}

/// Fails the test unless the store has exactly these rows, by `find` and by `list`.
pub(super) async fn has<S: TokenStore>(clause: u8, store: &S, rows: &[RecordParts]) {
    let mut expected: Vec<&RecordParts> = rows.iter().collect();
    expected.sort_by_key(|row| row.id);
    let listed = list(store, &Filter::every_token()).await;
    let ids: Vec<TokenId> = listed.iter().map(Row::id).collect();
    let expected_ids: Vec<TokenId> = expected.iter().map(|row| row.id).collect();
    let wrong = format!("the store has the rows {ids:?}, and should have {expected_ids:?}");
    hold(clause, ids == expected_ids, wrong);
    for (right, listed) in expected.into_iter().zip(listed) {
        is_row(clause, "list", parts_of(Some(&listed)).as_ref(), right);
        is_row(clause, "find", Some(&stored(store, right.id).await), right);
    }
}

/// Fails the test unless a row is the expected one in every field.
#[track_caller]
pub(super) fn is_row(clause: u8, method: &str, row: Option<&RecordParts>, right: &RecordParts) {
    let id = right.id;
    let Some(row) = row else {
        panic!("clause {clause} of TokenStore is broken: {method} calls row {id} damaged");
    };
    if let Some(field) = first_difference(row, right) {
        panic!(
            "clause {clause} of TokenStore is broken: by {method}, row {id} has another {field} \
             than it should\n  it is     {row:?}\n  should be {right:?}"
        );
    }
}

/// Returns the name of the first field in which two rows differ.
///
/// It destructures the rows, so that it does not compile if a new field is not compared here.
fn first_difference(one: &RecordParts, other: &RecordParts) -> Option<&'static str> {
    let RecordParts {
        id,
        digest,
        owner,
        label,
        access,
        attributes,
        issued_by,
        created_at,
        expires,
        family,
        successor,
        derived_from,
        revocation,
        last_use,
        revision,
        key_id,
        seal,
    } = one;
    let same = [
        ("id", *id == other.id),
        ("digest", *digest == other.digest),
        ("owner", *owner == other.owner),
        ("label", *label == other.label),
        ("access", *access == other.access),
        ("attributes", *attributes == other.attributes),
        ("issued_by", *issued_by == other.issued_by),
        ("created_at", *created_at == other.created_at),
        ("expires", *expires == other.expires),
        ("family", *family == other.family),
        ("successor", *successor == other.successor),
        ("derived_from", *derived_from == other.derived_from),
        ("revocation", *revocation == other.revocation),
        ("last_use", *last_use == other.last_use),
        ("revision", *revision == other.revision),
        ("key_id", *key_id == other.key_id),
        ("seal", *seal == other.seal),
    ];
    same.into_iter().find(|(_, same)| !same).map(|(field, _)| field)
}

pub(super) async fn rows_of<S: TokenStore>(store: &S, who: &str) -> Vec<RecordParts> {
    let rows = list(store, &Filter::of_owner(&owner(who))).await;
    rows.iter().filter_map(|row| parts_of(Some(row))).collect()
}
