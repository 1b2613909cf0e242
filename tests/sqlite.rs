//! What `SqliteStore` promises beyond the contract: files, damage, other processes, and SQL that means what the reference says.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use app_tokens::record::{Actor, Expires, LastUse, RecordParts, Revocation, TokenRecord};
use app_tokens::store::{
    Dead, Filter, Insert, Inserted, MemoryStore, Page, Purge, Replace, Row, SqliteStore,
    SqliteStoreError, Supersede, TokenStore,
};
use app_tokens::token::Token;
use app_tokens::{
    Access, Digest, KeyId, KeyRing, Label, NewToken, Operator, Owner, Policy, Reason, Seal,
    Timestamp, TokenAuthority, TokenId,
};
use rusqlite::Connection;
use tempfile::TempDir;

// -- rows and files

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Unpark>) {
        self.0.unpark();
    }
}

fn wait<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

struct File {
    directory: TempDir,
}

impl File {
    fn new() -> File {
        File { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("app.db")
    }

    #[track_caller]
    fn open(&self) -> SqliteStore {
        SqliteStore::open(self.path()).unwrap()
    }

    /// Past the store, as whoever can write the file.
    #[track_caller]
    fn raw(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }
}

const NOW: i64 = 1_772_366_400;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix(NOW + seconds).unwrap()
}

fn id(number: u64) -> TokenId {
    TokenId::from_u64(number).unwrap()
}

fn owner(name: &str) -> Owner {
    Owner::new(name).unwrap()
}

fn digest() -> Digest {
    let text = "acme_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92";
    Digest::of(&Token::parse_any_prefix(text).unwrap())
}

fn parts(number: u64) -> RecordParts {
    RecordParts {
        id: id(number),
        digest: digest(),
        owner: owner("alice"),
        label: Label::new("My phone").unwrap(),
        access: Access::full(),
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
        seal: Some(Seal::from_bytes([7; 32])),
    }
}

fn row(parts: RecordParts) -> Row {
    Row::new(TokenRecord::from_parts(parts))
}

fn creation(parts: RecordParts) -> Insert {
    let row = row(parts);
    Insert { row, now: at(0), limit: None, unique_label: false, under: None, supersede: None }
}

fn revocation() -> Revocation {
    Revocation { at: at(7), reason: Reason::LEAKED, by: Actor::Engine }
}

#[track_caller]
fn insert(store: &impl TokenStore, parts: RecordParts) {
    assert_eq!(wait(store.insert(&creation(parts))).unwrap(), Inserted::Done);
}

/// Every row, in order of id.
#[track_caller]
fn all(store: &impl TokenStore) -> Vec<Option<RecordParts>> {
    listed(store, &Filter::every_token(), Page::first(u32::MAX))
}

#[track_caller]
fn listed(store: &impl TokenStore, filter: &Filter, page: Page) -> Vec<Option<RecordParts>> {
    let rows = wait(store.list(filter, page)).unwrap();
    rows.iter().map(|row| row.record().cloned().map(TokenRecord::into_parts)).collect()
}

#[track_caller]
fn found(store: &impl TokenStore, id: TokenId) -> Option<RecordParts> {
    let row = wait(store.find(id)).unwrap()?;
    assert_eq!(row.id(), id);
    row.record().cloned().map(TokenRecord::into_parts)
}

// -- chance

/// The same numbers in every run (splitmix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut number = self.0;
        number = (number ^ number >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        number = (number ^ number >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        (number ^ number >> 31) % limit
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn maybe<T>(&mut self, n: u64, make: impl FnOnce(&mut Chance) -> T) -> Option<T> {
        self.one_in(n).then(|| make(self))
    }

    fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize].clone()
    }

    /// Few, so that rows have something in common; both ends of the range among them.
    fn id(&mut self) -> TokenId {
        let few = self.below(40);
        if few == 39 { TokenId::MAX } else { id(few) }
    }

    fn time(&mut self) -> Timestamp {
        match self.below(14) {
            0 => Timestamp::MIN,
            1 => Timestamp::MAX,
            seconds => at(seconds as i64),
        }
    }

    fn owner(&mut self) -> Owner {
        owner(self.of(&["alice", "Alice", " bob ", "zoë", "%", "a'b\"c"]))
    }

    fn key_id(&mut self) -> KeyId {
        KeyId::new(self.of(&[1, 2, u32::MAX])).unwrap()
    }

    fn access(&mut self) -> Access {
        let scopes: Option<&[&str]> =
            self.of(&[None, Some(&[]), Some(&["r"]), Some(&["r", "w;x"])]);
        let resources: Option<&[&str]> =
            self.of(&[None, Some(&[]), Some(&["*"]), Some(&["a b", "c\u{2028}d", "e,*"])]);
        let access =
            scopes.map_or(Access::full(), |scopes| Access::scopes(scopes.iter().copied()).unwrap());
        match resources {
            Some(resources) => access.on_resources(resources).unwrap(),
            None => access,
        }
    }

    fn revocation(&mut self) -> Revocation {
        let operator = Actor::Operator(Operator::new("owner").unwrap());
        let own = Reason::new("lost, “stolen”").unwrap();
        Revocation {
            at: self.time(),
            reason: self.of(&[Reason::REQUESTED, own]),
            by: self.of(&[Actor::Owner, Actor::Engine, operator]),
        }
    }

    fn last_use(&mut self) -> LastUse {
        let addresses = ["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"];
        LastUse {
            at: self.time(),
            address: self.maybe(2, |c| c.of(&addresses).parse().unwrap()),
            client: self.maybe(2, |c| c.of(&["", "rclone/1.70", "a\0b\nc"]).into()),
        }
    }

    fn parts(&mut self, id: TokenId) -> RecordParts {
        let revocation = self.maybe(3, Chance::revocation);
        RecordParts {
            id,
            digest: digest(),
            owner: self.owner(),
            label: Label::new(self.of(&["phone", "Phone", "péage", "x"])).unwrap(),
            access: self.access(),
            issued_by: self.maybe(3, |_| Operator::new("o'brien").unwrap()),
            created_at: self.time(),
            expires: if self.one_in(4) { Expires::Never } else { Expires::At(self.time()) },
            family: if self.one_in(2) { id } else { self.id() },
            successor: self.maybe(3, Chance::id),
            derived_from: self.maybe(3, Chance::id),
            seal: self.maybe(2, |c| Seal::from_bytes([c.below(256) as u8; 32])),
            revocation,
            last_use: self.maybe(2, Chance::last_use),
            revision: self.of(&[0, 1, TokenRecord::MAX_REVISION - 1, TokenRecord::MAX_REVISION]),
            key_id: self.key_id(),
        }
    }

    /// Each fact is asked for now and then.
    fn filter(&mut self) -> Filter {
        Filter {
            id: self.maybe(8, Chance::id),
            owner: self.maybe(3, Chance::owner),
            family: self.maybe(5, Chance::id),
            except_id: self.maybe(4, Chance::id),
            key_id: self.maybe(5, Chance::key_id),
            except_key_ids: (0..self.below(3)).map(|_| self.key_id()).collect(),
            revoked: self.maybe(3, |c| c.one_in(2)),
            superseded: self.maybe(3, |c| c.one_in(2)),
            expires_before: self.maybe(5, Chance::time),
            created_before: self.maybe(5, Chance::time),
            last_used_before: self.maybe(5, Chance::time),
        }
    }

    /// The same rows in both.
    fn fill(&mut self, one: &impl TokenStore, other: &impl TokenStore, rows: u64) {
        for _ in 0..rows {
            let id = self.id();
            let creation = creation(self.parts(id));
            let answers =
                [wait(one.insert(&creation)).unwrap(), wait(other.insert(&creation)).unwrap()];
            assert_eq!(answers[0], answers[1]);
        }
    }
}

// -- files

#[test]
fn every_field_of_every_kind_of_row_survives_a_reopen() {
    let (file, mut chance, mut given) = (File::new(), Chance(1), BTreeMap::new());
    let store = file.open();
    for number in 0..300 {
        let parts = chance.parts(id(number * 7));
        insert(&store, parts.clone());
        given.insert(parts.id, parts);
    }
    let longest = RecordParts {
        owner: owner(&"é".repeat(255)),
        label: Label::new("€".repeat(128)).unwrap(),
        access: Access::scopes((0..256).map(|n| format!("{n:0>128}"))).unwrap(),
        ..parts(TokenId::MAX.as_u64())
    };
    insert(&store, longest.clone());
    given.insert(longest.id, longest);
    drop(store);

    let store = file.open();
    for (id, parts) in &given {
        assert_eq!(found(&store, *id).as_ref(), Some(parts));
    }
    assert_eq!(
        all(&store).into_iter().flatten().collect::<Vec<_>>(),
        given.into_values().collect::<Vec<_>>()
    );
}

#[test]
fn a_revocation_by_one_handle_is_seen_by_another_at_once() {
    let file = File::new();
    let (here, there) = (file.open(), file.open());
    for number in 0..50 {
        insert(&here, parts(number));
        assert!(found(&there, id(number)).unwrap().revocation.is_none());
        assert_eq!(wait(here.revoke(&Filter::of_id(id(number)), &revocation())).unwrap(), 1);
        assert_eq!(found(&there, id(number)).unwrap().revocation, Some(revocation()));
    }
}
