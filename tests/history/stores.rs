//! A store that makes calls meet, and stores that break the contract in a way that only a race
//! shows.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread;

use app_tokens::record::{LastUse, RecordParts, Revocation, TokenRecord};
use app_tokens::store::{
    Filter, Insert, Inserted, LiveAt, MemoryStore, Page, Purge, Replace, Replaced, Row,
    RuntimeFree, StoreError, Supersede, Superseded, TokenStore,
};
use app_tokens::{Timestamp, TokenId};

use support::chance::Chance;
use support::rows::parts_of;

use super::common::ready;

/// Any store. Before and after some calls, the thread lets others go first, so that calls of other
/// threads come between two calls of the engine.
#[derive(Clone)]
pub(crate) struct Shaken<S> {
    inner: S,
    draws: Arc<AtomicU64>,
}

impl<S> Shaken<S> {
    pub(crate) fn new(inner: S, seed: u64) -> Shaken<S> {
        Shaken { inner, draws: Arc::new(AtomicU64::new(seed)) }
    }

    fn shake(&self) {
        let number = Chance(self.draws.fetch_add(1, Relaxed)).number();
        (0..(number % 8).saturating_sub(4)).for_each(|_| thread::yield_now());
    }

    async fn shaken<T>(&self, call: impl Future<Output = T>) -> T {
        self.shake();
        let answer = call.await;
        self.shake();
        answer
    }
}

impl<S: RuntimeFree> RuntimeFree for Shaken<S> {}

impl<S: TokenStore> TokenStore for Shaken<S> {
    async fn insert(&self, insert: &Insert) -> Result<Inserted, StoreError> {
        self.shaken(self.inner.insert(insert)).await
    }
    async fn find(&self, id: TokenId) -> Result<Option<Row>, StoreError> {
        self.shaken(self.inner.find(id)).await
    }
    async fn list(&self, filter: &Filter, page: Page) -> Result<Vec<Row>, StoreError> {
        self.shaken(self.inner.list(filter, page)).await
    }
    async fn supersede(&self, supersede: &Supersede) -> Result<Superseded, StoreError> {
        self.shaken(self.inner.supersede(supersede)).await
    }
    async fn replace(&self, replaces: &[Replace]) -> Result<Vec<Replaced>, StoreError> {
        self.shaken(self.inner.replace(replaces)).await
    }
    async fn revoke(&self, filter: &Filter, revocation: &Revocation) -> Result<u64, StoreError> {
        self.shaken(self.inner.revoke(filter, revocation)).await
    }
    async fn touch(&self, uses: &[(TokenId, LastUse)], now: Timestamp) -> Result<(), StoreError> {
        self.shaken(self.inner.touch(uses, now)).await
    }
    async fn purge(&self, purge: &Purge, limit: u32) -> Result<u64, StoreError> {
        self.shaken(self.inner.purge(purge, limit)).await
    }
}

/// How a store is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// As a queue in front of the database would.
    AnswersARevokeBeforeItIsDone,
    ForgetsTheDerivedOnRevoke,
    /// As a cache in front of the database would.
    FindsAnOldCopy,
    SupersedesAnyRevision,
    ReplacesAnyRevision,
    ForgetsToEndTheReplaced,
    InsertsUnderAnEndedToken,
    CountsThenInserts,
    CountsEveryOwner,
    LooksAtLabelsThenRenames,
    TouchesBackwards,
    TouchesNothing,
    ForgetsTheDerivedOnRotate,
    ForgetsTheDerivedOnReplace,
    RevokesTheExceptedToo,
    RevokesWhoeverOwnsIt,
    ListsWhoeverOwnsIt,
    ListsAllButTheLast,
    AnswersStaleAtTimes,
    /// As a cache in front of the database would that is told of revocations and rotations only.
    IsToldOfEndsOnly,
    /// Answers the change of a superseded row, and doesn't write it.
    EndsNoOverlap,
    /// Reads the rows that are meant, and then revokes each of them.
    RevokesWhatItSawFirst,
    /// Inserts the successor of a token that was revoked meanwhile.
    SupersedesARevokedToken,
}

use Wrong::*;

/// A `MemoryStore` with one fault.
#[derive(Clone)]
pub(crate) struct WrongStore(Arc<Inner>);

struct Inner {
    right: MemoryStore,
    wrong: Wrong,
    /// Locked during each call, so that only the planted fault is wrong.
    gate: Mutex<Gate>,
}

#[derive(Default)]
struct Gate {
    calls: u64,
    waiting: VecDeque<(u64, Filter, Revocation)>,
    copies: BTreeMap<TokenId, (u64, Option<Row>)>,
}

impl WrongStore {
    pub(crate) fn new(wrong: Wrong) -> WrongStore {
        let right = MemoryStore::new();
        WrongStore(Arc::new(Inner { right, wrong, gate: Mutex::default() }))
    }
}

impl Inner {
    /// Begins a call. Queued calls that have waited long enough are made first.
    fn call(&self, gate: &mut Gate) {
        gate.calls += 1;
        while gate.waiting.front().is_some_and(|(due, ..)| *due <= gate.calls) {
            if let Some((_, filter, revocation)) = gate.waiting.pop_front() {
                ready(self.right.revoke(&filter, &revocation)).unwrap();
            }
        }
    }

    fn find(&self, id: TokenId) -> Option<Row> {
        ready(self.right.find(id)).unwrap()
    }

    /// Writes a row over whatever is there.
    fn force(&self, parts: RecordParts) {
        let this = Purge::Matching(Filter::of_id(parts.id));
        ready(self.right.purge(&this, 1)).unwrap();
        let row = Row::new(TokenRecord::from_parts(parts));
        let live = LiveAt::now(Timestamp::MIN);
        let bare = Insert { row, live, limit: None, unique_label: false, under: None };
        ready(self.right.insert(&bare)).unwrap();
    }

    /// Returns a form with the revision that is stored.
    fn with_the_stored_revision(&self, form: &Row) -> Row {
        let stored = self.find(form.id());
        let revision = stored.as_ref().and_then(Row::record).map(TokenRecord::revision);
        let parts = parts(form);
        let revision = revision.unwrap_or(parts.revision);
        Row::new(TokenRecord::from_parts(RecordParts { revision, ..parts }))
    }

    fn is_revoked(&self, id: TokenId) -> bool {
        self.find(id).is_some_and(|row| row.is_revoked())
    }

    fn live(&self, row: &Row, of: &Filter, live: LiveAt) -> Vec<RecordParts> {
        let new = parts(row);
        let rows = ready(self.right.list(of, Page::first(1000)));
        let is_live = |row: &Row| row.record().is_some_and(|record| record.is_live(live));
        let others = rows.unwrap().into_iter().filter(is_live).map(|row| parts(&row));
        others.filter(|other| other.family != new.family).collect()
    }
}

impl TokenStore for WrongStore {
    async fn insert(&self, insert: &Insert) -> Result<Inserted, StoreError> {
        let mut insert = insert.clone();
        let counted = match self.0.wrong {
            CountsThenInserts => Some(Filter::of_owner(&parts(&insert.row).owner)),
            CountsEveryOwner => Some(Filter::every_token()),
            _ => None,
        };
        if let Some(counted) = counted {
            let live = self.0.live(&insert.row, &counted, insert.live).len();
            if insert.limit.take().is_some_and(|limit| live >= limit as usize) {
                return Ok(Inserted::LimitReached);
            }
            dawdle();
        }
        let mut gate = self.0.gate.lock().unwrap();
        self.0.call(&mut gate);
        if self.0.wrong == InsertsUnderAnEndedToken {
            insert.under = None;
        }
        ready(self.0.right.insert(&insert))
    }

    async fn supersede(&self, supersede: &Supersede) -> Result<Superseded, StoreError> {
        let mut supersede = supersede.clone();
        let mut gate = self.0.gate.lock().unwrap();
        self.0.call(&mut gate);
        match self.0.wrong {
            SupersedesAnyRevision => {
                supersede.superseded = self.0.with_the_stored_revision(&supersede.superseded);
            }
            ForgetsToEndTheReplaced => supersede.replaces = None,
            ForgetsTheDerivedOnRotate => supersede.revokes_derived = false,
            SupersedesARevokedToken if self.0.is_revoked(supersede.superseded.id()) => {
                self.0.force(parts(&supersede.row));
                return Ok(Superseded::Done);
            }
            AnswersStaleAtTimes if gate.calls.is_multiple_of(2) => return Ok(Superseded::Stale),
            _ => {}
        }
        ready(self.0.right.supersede(&supersede))
    }

    async fn find(&self, id: TokenId) -> Result<Option<Row>, StoreError> {
        let mut gate = self.0.gate.lock().unwrap();
        self.0.call(&mut gate);
        let found = self.0.find(id);
        let has_ended =
            |row: &Row| row.is_revoked() || row.record().is_none_or(|r| r.successor().is_some());
        match self.0.wrong {
            FindsAnOldCopy => {}
            IsToldOfEndsOnly if !found.as_ref().is_none_or(has_ended) => {}
            _ => return Ok(found),
        }
        let calls = gate.calls;
        let copy = gate.copies.entry(id).or_insert((calls, found.clone()));
        if copy.0 + 4 < calls {
            *copy = (calls, found);
        }
        Ok(copy.1.clone())
    }

    async fn list(&self, filter: &Filter, page: Page) -> Result<Vec<Row>, StoreError> {
        self.0.call(&mut self.0.gate.lock().unwrap());
        let whoever = Filter { owner: None, ..filter.clone() };
        let filter = if self.0.wrong == ListsWhoeverOwnsIt { &whoever } else { filter };
        let mut rows = ready(self.0.right.list(filter, page))?;
        if self.0.wrong == ListsAllButTheLast && rows.len() > 3 {
            rows.pop();
        }
        Ok(rows)
    }

    async fn replace(&self, replaces: &[Replace]) -> Result<Vec<Replaced>, StoreError> {
        replaces.iter().map(|replace| self.replace_one(replace.clone())).collect()
    }

    async fn revoke(&self, filter: &Filter, revocation: &Revocation) -> Result<u64, StoreError> {
        if self.0.wrong == RevokesWhatItSawFirst {
            let seen = ready(self.0.right.list(filter, Page::first(1000))).unwrap();
            dawdle();
            let revoke =
                |row: &Row| ready(self.0.right.revoke(&Filter::of_id(row.id()), revocation));
            return seen.iter().map(revoke).sum();
        }
        let mut gate = self.0.gate.lock().unwrap();
        self.0.call(&mut gate);
        let rows = ready(self.0.right.list(&Filter::every_token(), Page::first(1000))).unwrap();
        let means = |row: &&Row| filter.matches(row);
        match self.0.wrong {
            AnswersARevokeBeforeItIsDone => {
                let due = gate.calls + 4;
                gate.waiting.push_back((due, filter.clone(), revocation.clone()));
                Ok(rows.iter().filter(means).count() as u64)
            }
            ForgetsTheDerivedOnRevoke => {
                let count = ready(self.0.right.revoke(filter, revocation));
                rows.iter().filter(|row| !means(row)).for_each(|row| self.0.force(parts(row)));
                count
            }
            RevokesTheExceptedToo => {
                let all = Filter { except_family: None, ..filter.clone() };
                ready(self.0.right.revoke(&all, revocation))
            }
            RevokesWhoeverOwnsIt => {
                let whoever = Filter { owner: None, ..filter.clone() };
                ready(self.0.right.revoke(&whoever, revocation))
            }
            _ => ready(self.0.right.revoke(filter, revocation)),
        }
    }

    async fn touch(&self, uses: &[(TokenId, LastUse)], now: Timestamp) -> Result<(), StoreError> {
        let mut gate = self.0.gate.lock().unwrap();
        self.0.call(&mut gate);
        match self.0.wrong {
            TouchesBackwards => {}
            TouchesNothing => return Ok(()),
            _ => return ready(self.0.right.touch(uses, now)),
        }
        for (id, last_use) in uses {
            if let Some(row) = self.0.find(*id) {
                self.0.force(RecordParts { last_use: Some(last_use.clone()), ..parts(&row) });
            }
        }
        Ok(())
    }

    async fn purge(&self, purge: &Purge, limit: u32) -> Result<u64, StoreError> {
        self.0.call(&mut self.0.gate.lock().unwrap());
        ready(self.0.right.purge(purge, limit))
    }
}

impl WrongStore {
    fn replace_one(&self, mut replace: Replace) -> Result<Replaced, StoreError> {
        if self.0.wrong == LooksAtLabelsThenRenames && replace.unique_label {
            let RecordParts { label, owner, .. } = parts(&replace.row);
            let his = self.0.live(&replace.row, &Filter::of_owner(&owner), replace.live);
            if his.iter().any(|other| other.label == label) {
                return Ok(Replaced::LabelTaken);
            }
            replace.unique_label = false;
            dawdle();
        }
        let mut gate = self.0.gate.lock().unwrap();
        self.0.call(&mut gate);
        match self.0.wrong {
            EndsNoOverlap if parts(&replace.row).successor.is_some() => return Ok(Replaced::Done),
            ReplacesAnyRevision => replace.row = self.0.with_the_stored_revision(&replace.row),
            ForgetsTheDerivedOnReplace => replace.revokes_derived = None,
            _ => {}
        }
        Ok(ready(self.0.right.replace(&[replace]))?[0])
    }
}

impl RuntimeFree for WrongStore {}

fn parts(row: &Row) -> RecordParts {
    parts_of(row).unwrap()
}

/// Yields long enough for another thread to do the same.
fn dawdle() {
    (0..10).for_each(|_| thread::yield_now());
}
