//! The one builder of rows, and calls of stores that need no runtime.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use app_tokens::record::{Digest, Expires, KeyId, RecordParts, Revocation, Seal, TokenRecord};
use app_tokens::store::{
    Filter, Insert, Inserted, LiveAt, Page, Purge, PurgeCutoff, Row, Supersede, TokenStore,
};
use app_tokens::token::Token;
use app_tokens::{Access, Attributes, Label, Operator, Owner, Reason, Timestamp, TokenId};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Unpark>) {
        self.0.unpark();
    }
}

/// Waits for a future, on this thread alone.
pub fn wait<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// 2026-03-01T12:00:00Z.
pub const NOW: i64 = 1_772_366_400;

pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix(NOW + seconds).unwrap()
}

pub fn id(number: u64) -> TokenId {
    TokenId::from_u64(number).unwrap()
}

pub fn owner(name: &str) -> Owner {
    Owner::new(name).unwrap()
}

pub fn operator(name: &str) -> Operator {
    Operator::new(name).unwrap()
}

/// The operator for tests in which it doesn't matter who acts.
pub fn ops() -> Operator {
    operator("ops")
}

pub fn digest() -> Digest {
    let text = "acme_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92";
    Digest::of(&Token::parse_any_prefix(text).unwrap())
}

/// Makes a row of Alice's, good for 1,000 seconds, with a seal that is wrong.
pub fn parts(number: u64) -> RecordParts {
    RecordParts {
        id: id(number),
        digest: digest(),
        owner: owner("alice"),
        label: Label::new("My phone").unwrap(),
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
        key_id: KeyId::new(1).unwrap(),
        seal: Seal::from_bytes(&[1; 33]),
    }
}

pub fn row(parts: RecordParts) -> Row {
    Row::new(TokenRecord::from_parts(parts))
}

/// Returns what a row is made of, or `None` if the row is damaged.
pub fn parts_of(row: &Row) -> Option<RecordParts> {
    row.record().cloned().map(TokenRecord::into_parts)
}

pub fn creation(parts: RecordParts) -> Insert {
    let (row, live) = (row(parts), LiveAt::now(at(0)));
    Insert { row, live, limit: None, unique_label: false, under: None }
}

/// Makes the rotation of a row that [`parts`] made.
pub fn superseding(old: u64, new: u64) -> Supersede {
    let form = RecordParts { successor: Some(id(new)), ..parts(old) };
    Supersede {
        row: row(RecordParts { family: id(old), ..parts(new) }),
        superseded: row(form),
        replaces: None,
        revokes_derived: false,
        revocation: revocation(),
    }
}

pub fn revocation() -> Revocation {
    Revocation { at: at(7), reason: Reason::LEAKED, by: "engine".parse().unwrap() }
}

/// Returns a purge for which every row of [`parts`] has expired.
pub fn expired() -> Purge {
    Purge::Dead(PurgeCutoff { ended_by: at(1000), unused_since: None, now: at(1000) })
}

#[track_caller]
pub fn insert(store: &impl TokenStore, parts: RecordParts) {
    assert_eq!(wait(store.insert(&creation(parts))).unwrap(), Inserted::Done);
}

/// Returns every row, in order of id. A damaged row is `None`.
#[track_caller]
pub fn all(store: &impl TokenStore) -> Vec<Option<RecordParts>> {
    listed(store, &Filter::every_token(), Page::first(u32::MAX))
}

#[track_caller]
pub fn listed(store: &impl TokenStore, filter: &Filter, page: Page) -> Vec<Option<RecordParts>> {
    let rows = wait(store.list(filter, page)).unwrap();
    rows.iter().map(parts_of).collect()
}

#[track_caller]
pub fn found(store: &impl TokenStore, id: TokenId) -> Option<RecordParts> {
    let row = wait(store.find(id)).unwrap()?;
    assert_eq!(row.id(), id);
    parts_of(&row)
}
