//! Stores that break the contract, each in one way. The suite must catch each of them.
//!
//! Each applies the contract's rules, with a fault planted in a request, in the rows or in what is
//! written.

use std::collections::{BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use app_tokens::record::{Expires, KeyId, LastUse, RecordParts, Revocation, TokenRecord};
use app_tokens::store::conformance::{self, Task};
use app_tokens::store::{
    DamagedRow, Filter, Insert, Inserted, LiveAt, Page, Purge, PurgeCutoff, Replace, Replaced, Row,
    StoreError, Supersede, Superseded, TokenStore,
};
use app_tokens::{Label, Timestamp, TokenId};
use support::reference::{Reference, Rows};
use support::rows::{parts_of, row};

macro_rules! ways {
    ($($how:ident)*) => {
        /// How a store is wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum How {
            /// It isn't.
            Right,
            $($how,)*
        }

        const WAYS: &[How] = &[$(How::$how),*];
    };
}

ways! {
    // any method
    TurnsExpiresZeroIntoNever
    LosesTheClient
    FoldsTheCaseOfOwners
    // insert
    OverwritesOnInsert
    CallsASecondInsertDone
    InsertsUnderARevokedToken
    InsertsUnderAnothersToken
    CountsTheExpiredAtTheInstant
    CountsTheOwnFamily
    CountsTheIdle
    CountsThenInserts
    BelievesAUseInTheFuture
    FoldsTheCaseOfLabels
    LooksAtLabelsThenInserts
    AnswersTheLimitBeforeTheStale
    // supersede
    SupersedesInTwoSteps
    OverwritesOnSupersede
    SupersedesAnyRevision
    SupersedesWithTheFormsLastUse
    SupersedesWithoutTheNewForm
    ReplacesAChangedSuccessor
    ReplacesAUsedSuccessor
    ReplacesAnyonesSuccessor
    ForgetsToRevokeTheReplaced
    ForgetsToRevokeTheDerived
    RevokesTheDerivedOfOthers
    LooksAtTheParentThenInserts
    // find and list
    FindsAnOldCopy
    FindsNoDeadRows
    ListsWithoutOrder
    ListsTheCursorAgain
    ListsWithoutOneFact
    ListsWithAnyEnd
    ListsTheExceptedFamily
    ListsWhatDerivesFromTheExcepted
    // replace
    ReplacesAnyRevision
    ReplacesThenLooks
    RevivesOnReplace
    ReplacesTheLastUse
    ReplacesALabelThatIsTaken
    InsertsAndReplacesWithTwoLocks
    ForgetsTheDerivedOnReplace
    ReplacesNothingIfOneIsStale
    DecidesABatchByTheFirstRows
    AnswersABatchInAnotherOrder
    AnswersABatchOnce
    // revoke
    RevokesWithoutTheDerived
    RevokesWithAnyEnd
    RevokesTheDerivedOfRevokedRowsNot
    RevokesWhatDerivesFromTheDerived
    RevokesTheDerivedOfTheRevokedNoLonger
    RevokesTheExceptedFamily
    RevokesWhatDerivesFromTheExcepted
    KeepsTheSealOfTheRevoked
    LetsTheRevisionOverflow
    RevokesAgain
    RevokesWhatItSawFirst
    // touch
    TouchesBackwards
    TouchesAndBumpsTheRevision
    TouchesNothingIfOneIsMissing
    TouchesByAnOldCopy
    KeepsAUseInTheFuture
    // purge
    PurgesPastTheLimit
    PurgesAFamilyThatLives
    PurgesWhatALivingRowDerivesFrom
    PurgesAnInstantEarly
    PurgesByAUseInTheFuture
    // keys_in_use
    NamesOneKeyTooFew
    NamesTheKeysOfLiveRows
    NamesTheKeysOfTheStart
    // damaged rows
    FailsOnADamagedRow
    HidesADamagedRow
    LosesTheOwnerOfTheDamaged
    LosesTheFamilyOfTheDamaged
    LosesWhatTheDamagedDerivesFrom
    LosesWhenTheDamagedWasMade
    LosesThatTheDamagedWasRevoked
    CallsTheDamagedCurrent
    ListsTheDamagedByAnyKey
    SparesTheDamagedByItsKey
    PassesOverADamagedRow
    RotatesPastADamagedRow
    NarrowsPastADamagedRow
    RevokesTheDamagedAgain
    RevokesTheDamagedOfTheExcepted
    KeepsTheDamagedOnPurge
    PurgesTheDamagedAtOnce
    PurgesTheDamagedByWhenItWasMade
}

use How::*;

/// A store by the rules, with one fault.
pub(crate) struct WrongStore {
    right: Reference,
    how: How,
    /// The rows that were damaged, as they were before.
    whole: Mutex<HashMap<TokenId, Row>>,
    copies: Mutex<HashMap<TokenId, Row>>,
    keys: Mutex<Option<Vec<KeyId>>>,
    callers: (Mutex<usize>, Condvar),
}

impl WrongStore {
    pub(crate) fn new(how: How) -> WrongStore {
        WrongStore {
            right: Reference::new(),
            how,
            whole: Mutex::default(),
            copies: Mutex::default(),
            keys: Mutex::default(),
            callers: (Mutex::default(), Condvar::new()),
        }
    }

    pub(crate) fn damage(&self, id: TokenId) {
        let row = self.right.lock().0[&id].clone();
        self.whole.lock().unwrap().insert(id, row);
        self.right.damage(id);
    }

    /// Returns a row as this store shows it.
    fn shown(&self, row: Row) -> Row {
        if row.record().is_some() {
            return row;
        }
        let facts = row.standing_facts();
        Row::damaged(match self.how {
            LosesTheOwnerOfTheDamaged => DamagedRow { owner: None, ..facts },
            LosesTheFamilyOfTheDamaged => DamagedRow { family: None, ..facts },
            LosesWhatTheDamagedDerivesFrom => DamagedRow { derived_from: None, ..facts },
            LosesWhenTheDamagedWasMade => DamagedRow { created_at: None, ..facts },
            LosesThatTheDamagedWasRevoked => {
                DamagedRow { is_revoked: false, revoked_at: None, ..facts }
            }
            _ => facts,
        })
    }

    /// Returns a row as it was before it was damaged.
    fn whole(&self, id: TokenId) -> Option<Row> {
        self.whole.lock().unwrap().get(&id).cloned()
    }

    /// Waits for the other callers of a race, but not for ever. So they all act on what each saw
    /// before.
    fn meet(&self, callers: usize) {
        let (count, more) = &self.callers;
        let mut count = count.lock().unwrap();
        *count += 1;
        more.notify_all();
        let waits = more.wait_timeout_while(count, Duration::from_millis(200), |n| *n < callers);
        drop(waits.unwrap());
    }

    fn replace_one(&self, rows: &mut Rows, replace: &Replace) -> Replaced {
        let mut replace = replace.clone();
        let form = parts(&replace.row);
        let stored = rows.0.get(&form.id).and_then(|row| row.record().map(|_| parts(row)));
        match (self.how, stored) {
            (ReplacesAnyRevision, Some(stored)) => {
                replace.row = row(RecordParts { revision: stored.revision, ..form });
            }
            (RevivesOnReplace, Some(stored)) if stored.revocation.is_some() => {
                let revision = stored.revision + 1;
                rows.force(RecordParts { revision, revocation: None, ..form });
                return Replaced::Done;
            }
            (ReplacesTheLastUse, Some(_)) => {
                let answer = rows.replace(&replace);
                if answer == Replaced::Done {
                    let stored = rows.parts(form.id).unwrap();
                    rows.force(RecordParts { last_use: form.last_use, ..stored });
                }
                return answer;
            }
            (ReplacesALabelThatIsTaken, _) => replace.unique_label = false,
            (ForgetsTheDerivedOnReplace, _) => replace.revokes_derived = None,
            (CallsTheDamagedCurrent, None) if self.whole(form.id).is_some() => {
                return Replaced::Done;
            }
            (NarrowsPastADamagedRow, _) => {
                let answer = rows.replace(&replace);
                rows.restore(self);
                return answer;
            }
            _ => {}
        }
        rows.replace(&replace)
    }
}

trait Force {
    fn parts(&self, id: TokenId) -> Option<RecordParts>;
    fn all(&self) -> Vec<RecordParts>;
    fn theirs(&self, new: &RecordParts) -> Vec<RecordParts>;
    fn force(&mut self, parts: RecordParts);
    fn restore(&mut self, store: &WrongStore);
}

impl Force for Rows {
    fn parts(&self, id: TokenId) -> Option<RecordParts> {
        self.0.get(&id).map(parts)
    }

    fn all(&self) -> Vec<RecordParts> {
        self.0.values().filter(|row| row.record().is_some()).map(parts).collect()
    }

    /// Returns the rows of the new row's owner.
    fn theirs(&self, new: &RecordParts) -> Vec<RecordParts> {
        self.all().into_iter().filter(|row| row.owner == new.owner).collect()
    }

    /// Writes a row over whatever is there.
    fn force(&mut self, parts: RecordParts) {
        self.0.insert(parts.id, row(parts));
    }

    /// Undoes what a call did to damaged rows.
    fn restore(&mut self, store: &WrongStore) {
        for whole in store.whole.lock().unwrap().values() {
            self.0.insert(whole.id(), Row::damaged(whole.standing_facts()));
        }
    }
}

fn parts(row: &Row) -> RecordParts {
    parts_of(row).unwrap()
}

/// Gives the other tasks of the thread a turn, so that a caller can drop the call here.
async fn pause() {
    let mut first = true;
    std::future::poll_fn(|context| {
        if std::mem::take(&mut first) {
            context.waker().wake_by_ref();
            return std::task::Poll::Pending;
        }
        std::task::Poll::Ready(())
    })
    .await;
}

impl TokenStore for WrongStore {
    async fn insert(&self, insert: &Insert) -> Result<Inserted, StoreError> {
        let mut insert = insert.clone();
        let mut new = parts(&insert.row);
        match self.how {
            CountsThenInserts => {
                if let Some(limit) = insert.limit.take() {
                    let count = self.right.lock().theirs(&new).len();
                    self.meet(8);
                    if count >= limit as usize {
                        return Ok(Inserted::LimitReached);
                    }
                }
            }
            LooksAtLabelsThenInserts | InsertsAndReplacesWithTwoLocks if insert.unique_label => {
                let theirs = self.right.lock().theirs(&new);
                self.meet(8);
                if theirs.iter().any(|row| row.label == new.label) {
                    return Ok(Inserted::LabelTaken);
                }
                insert.unique_label = false;
            }
            LooksAtTheParentThenInserts => {
                let parent = insert.under.as_ref().map(Row::id);
                let parent = parent.and_then(|parent| self.right.lock().parts(parent));
                if parent.is_some_and(|parent| parent.revision == 0) {
                    insert.under = None;
                    self.meet(4);
                    self.meet(8);
                }
            }
            _ => {}
        }
        let mut rows = self.right.lock();
        let theirs = rows.theirs(&new);
        let mut live = theirs.iter().cloned().map(TokenRecord::from_parts);
        match self.how {
            TurnsExpiresZeroIntoNever if new.expires == Expires::At(Timestamp::MIN) => {
                insert.row = row(RecordParts { expires: Expires::Never, ..new });
            }
            LosesTheClient => {
                if let Some(last_use) = &mut new.last_use {
                    last_use.client = None;
                }
                insert.row = row(new);
            }
            OverwritesOnInsert if rows.0.contains_key(&new.id) => {
                rows.force(new);
                return Ok(Inserted::Done);
            }
            CallsASecondInsertDone if rows.parts(new.id).as_ref() == Some(&new) => {
                return Ok(Inserted::Done);
            }
            InsertsUnderARevokedToken | InsertsUnderAnothersToken => {
                let parent = insert.under.as_ref().and_then(|parent| rows.parts(parent.id()));
                if parent.is_some_and(|parent| {
                    (parent.owner == new.owner) == (self.how == InsertsUnderARevokedToken)
                }) {
                    insert.under = None;
                }
            }
            CountsTheExpiredAtTheInstant => {
                insert.live.now = insert.live.now.saturating_sub(Duration::from_secs(1));
            }
            CountsTheOwnFamily => {
                let live = live.filter(|row| row.is_live(insert.live));
                if insert.limit.is_some_and(|limit| live.count() >= limit as usize) {
                    return Ok(Inserted::LimitReached);
                }
            }
            CountsTheIdle => insert.live.used_after = None,
            BelievesAUseInTheFuture => {
                let LiveAt { now, used_after } = insert.live;
                let is_live = |row: &TokenRecord| {
                    let last_use = row.last_use().map(|last_use| last_use.at);
                    row.is_live(LiveAt::now(now))
                        && last_use.max(Some(row.created_at())) > used_after
                };
                if insert.limit.is_some_and(|limit| live.filter(is_live).count() >= limit as usize)
                {
                    return Ok(Inserted::LimitReached);
                }
            }
            FoldsTheCaseOfLabels if insert.unique_label => {
                let folded = |label: &Label| label.as_str().to_lowercase();
                if live.any(|row| {
                    folded(row.label()) == folded(&new.label) && *row.label() != new.label
                }) {
                    return Ok(Inserted::LabelTaken);
                }
            }
            AnswersTheLimitBeforeTheStale
                if insert.limit == Some(0) && rows.parts(new.id).is_none() =>
            {
                return Ok(Inserted::LimitReached);
            }
            CallsTheDamagedCurrent => insert.under = None,
            _ => {}
        }
        Ok(rows.insert(&insert))
    }

    async fn supersede(&self, supersede: &Supersede) -> Result<Superseded, StoreError> {
        let mut supersede = supersede.clone();
        let new = parts(&supersede.row);
        let form = parts(&supersede.superseded);
        match self.how {
            SupersedesInTwoSteps => {
                let replace = Replace {
                    row: supersede.superseded,
                    live: LiveAt::now(Timestamp::MIN),
                    unique_label: false,
                    revokes_derived: None,
                };
                if self.right.lock().replace(&replace) == Replaced::Stale {
                    return Ok(Superseded::Stale);
                }
                pause().await;
                self.right.lock().force(new);
                return Ok(Superseded::Done);
            }
            LooksAtTheParentThenInserts => {
                self.meet(4);
                let answer = self.right.lock().supersede(&supersede);
                self.meet(8);
                return Ok(answer);
            }
            _ => {}
        }
        let mut rows = self.right.lock();
        let before = rows.clone();
        let replaced = supersede.replaces.as_ref().map(Row::id);
        let replaced = replaced.and_then(|id| rows.0.get(&id).cloned());
        match self.how {
            OverwritesOnSupersede => drop(rows.0.remove(&new.id)),
            SupersedesAnyRevision => {
                if let Some(stored) = rows.parts(form.id) {
                    supersede.superseded =
                        row(RecordParts { revision: stored.revision, ..form.clone() });
                }
            }
            ReplacesAUsedSuccessor
                if replaced.as_ref().is_some_and(|row| parts(row).last_use.is_some()) =>
            {
                supersede.replaces = None;
            }
            ReplacesAnyonesSuccessor
                if replaced.as_ref().is_some_and(|row| row.owner() != Some(&new.owner)) =>
            {
                supersede.replaces = None;
            }
            ForgetsToRevokeTheReplaced => supersede.replaces = None,
            ReplacesAChangedSuccessor if replaced.is_some() => supersede.replaces = replaced,
            ForgetsToRevokeTheDerived => supersede.revokes_derived = false,
            CallsTheDamagedCurrent if self.whole(form.id).is_some() => {
                return Ok(Superseded::Done);
            }
            _ => {}
        }
        let answer = rows.supersede(&supersede);
        match self.how {
            _ if answer != Superseded::Done => {}
            SupersedesWithTheFormsLastUse => {
                let stored = rows.parts(form.id).unwrap();
                rows.force(RecordParts { last_use: form.last_use, ..stored });
            }
            SupersedesWithoutTheNewForm => rows.force(before.parts(form.id).unwrap()),
            RevokesTheDerivedOfOthers if supersede.revokes_derived => {
                let derived = |row: &&RecordParts| row.derived_from == Some(new.family);
                for row in before.all().iter().filter(derived) {
                    let this = Filter::of_id(row.id);
                    rows.revoke(&this, &supersede.revocation);
                }
            }
            RotatesPastADamagedRow => rows.restore(self),
            _ => {}
        }
        Ok(answer)
    }

    async fn find(&self, id: TokenId) -> Result<Option<Row>, StoreError> {
        let found = self.right.lock().0.get(&id).cloned();
        if self.how == FindsAnOldCopy
            && let Some(found) = found
        {
            return Ok(Some(self.copies.lock().unwrap().entry(id).or_insert(found).clone()));
        }
        if self.how == FindsNoDeadRows && found.as_ref().is_some_and(Row::is_revoked) {
            return Ok(None);
        }
        if self.how == HidesADamagedRow && self.whole(id).is_some() {
            return Ok(None);
        }
        Ok(found.map(|row| self.shown(row)))
    }

    async fn list(&self, filter: &Filter, page: Page) -> Result<Vec<Row>, StoreError> {
        let (mut filter, mut page, rows) = (filter.clone(), page, self.right.lock());
        let is_damaged = |row: &Row| row.record().is_none();
        match self.how {
            ListsWithoutOneFact => filter.superseded = None,
            ListsWithAnyEnd => filter.expires_from = None,
            ListsTheExceptedFamily => {
                let any = Filter { except_family: None, ..filter.clone() };
                let excepted = |row: &Row| row.family() == filter.except_family;
                let mut listed = rows.list(&any, page);
                listed.retain(|row| filter.matches(row) || excepted(row));
                return Ok(listed);
            }
            ListsWhatDerivesFromTheExcepted => {
                let any = Filter { except_family: None, ..filter.clone() };
                let mut listed = rows.list(&any, page);
                listed.retain(|row| {
                    filter.except_family.is_none() || row.family() != filter.except_family
                });
                return Ok(listed);
            }
            ListsTheCursorAgain => {
                let before = page.after.map(|after| after.as_u64().saturating_sub(1));
                page.after = before.map(|number| TokenId::from_u64(number).unwrap());
            }
            FoldsTheCaseOfOwners => {
                if let Some(owner) = filter.owner.take() {
                    let mut all = rows.list(&filter, page);
                    all.retain(|row| {
                        parts(row).owner.as_str().eq_ignore_ascii_case(owner.as_str())
                    });
                    return Ok(all);
                }
            }
            ListsTheDamagedByAnyKey | SparesTheDamagedByItsKey => {
                let any = Filter { key_id: None, except_key_ids: Vec::new(), ..filter.clone() };
                let mut all = rows.list(&any, page);
                let by_key = self.how == ListsTheDamagedByAnyKey;
                all.retain(|row| match is_damaged(row) {
                    true if by_key => true,
                    true => filter.except_key_ids.is_empty() && filter.key_id.is_none(),
                    false => filter.matches(row),
                });
                return Ok(all);
            }
            _ => {}
        }
        let mut listed: Vec<Row> =
            rows.list(&filter, page).into_iter().map(|row| self.shown(row)).collect();
        match self.how {
            ListsWithoutOrder => listed.reverse(),
            HidesADamagedRow => listed.retain(|row| !is_damaged(row)),
            FailsOnADamagedRow if listed.iter().any(is_damaged) => {
                return Err(StoreError::not_done("a row can't be read"));
            }
            _ => {}
        }
        Ok(listed)
    }

    async fn replace(&self, replaces: &[Replace]) -> Result<Vec<Replaced>, StoreError> {
        let replaces = replaces.to_vec();
        match (self.how, &replaces[..]) {
            (ReplacesThenLooks, [replace]) => {
                let form = parts(&replace.row);
                let stored = self.right.lock().parts(form.id);
                self.meet(8);
                if stored.is_some_and(|stored| {
                    stored.revision == form.revision && stored.revocation.is_none()
                }) {
                    let revision = form.revision + 1;
                    self.right.lock().force(RecordParts { revision, ..form });
                    return Ok(vec![Replaced::Done]);
                }
                return Ok(vec![Replaced::Stale]);
            }
            (InsertsAndReplacesWithTwoLocks, [Replace { unique_label: true, .. }]) => self.meet(8),
            _ => {}
        }
        let mut rows = self.right.lock();
        let before = rows.clone();
        let mut answers = Vec::new();
        for replace in &replaces {
            let mut first = before.clone();
            let by = if self.how == DecidesABatchByTheFirstRows { &mut first } else { &mut *rows };
            answers.push(self.replace_one(by, replace));
            rows.0.extend(first.0.into_iter().filter(|_| self.how == DecidesABatchByTheFirstRows));
        }
        match self.how {
            ReplacesNothingIfOneIsStale if answers.contains(&Replaced::Stale) => {
                *rows = before;
                answers.fill(Replaced::Stale);
            }
            AnswersABatchInAnotherOrder => answers.reverse(),
            AnswersABatchOnce => answers.truncate(1),
            _ => {}
        }
        Ok(answers)
    }

    async fn revoke(&self, filter: &Filter, revocation: &Revocation) -> Result<u64, StoreError> {
        let seen = self.right.lock().clone();
        if self.how == RevokesWhatItSawFirst {
            // Waits long enough for the other thread to insert one more.
            self.meet(usize::MAX);
        }
        let mut rows = self.right.lock();
        let before = rows.clone();
        let any = Filter { except_family: None, ..filter.clone() };
        let one_by_one = |rows: &mut Rows, meant: &dyn Fn(&Row) -> bool| {
            let ids: Vec<TokenId> =
                before.0.values().filter(|row| meant(row)).map(Row::id).collect();
            ids.into_iter().map(|id| rows.revoke(&Filter::of_id(id), revocation)).sum::<u64>()
        };
        match self.how {
            RevokesWithoutTheDerived => {
                rows.revoke(filter, revocation);
                let matching = |row: &&Row| filter.matches(row);
                for row in before.0.values().filter(|row| !matching(row)) {
                    rows.0.insert(row.id(), row.clone());
                }
                let matching = before.0.values().filter(matching);
                Ok(matching.filter(|row| !row.is_revoked()).count() as u64)
            }
            RevokesWithAnyEnd => {
                let filter = Filter { expires_from: None, ..filter.clone() };
                Ok(rows.revoke(&filter, revocation))
            }
            RevokesTheDerivedOfRevokedRowsNot => {
                let filter = Filter { revoked: Some(false), ..filter.clone() };
                Ok(rows.revoke(&filter, revocation))
            }
            RevokesWhatDerivesFromTheDerived => {
                let (mut count, mut last) = (rows.revoke(filter, revocation), before.clone());
                loop {
                    let new: Vec<TokenId> = rows
                        .0
                        .values()
                        .filter(|row| row.is_revoked() && !last.0[&row.id()].is_revoked())
                        .map(Row::id)
                        .collect();
                    if new.is_empty() {
                        return Ok(count);
                    }
                    last = rows.clone();
                    count += new
                        .into_iter()
                        .map(|id| rows.revoke(&Filter::of_id(id), revocation))
                        .sum::<u64>();
                }
            }
            RevokesTheDerivedOfTheRevokedNoLonger => {
                // Revokes the matching rows first. Then only rows that still match say what derives
                // from them.
                let matching: BTreeSet<TokenId> =
                    before.0.values().filter(|row| filter.matches(row)).map(Row::id).collect();
                rows.revoke(filter, revocation);
                let still = rows.0.values().any(|row| filter.matches(row));
                for row in before.0.values() {
                    if !still && !matching.contains(&row.id()) {
                        rows.0.insert(row.id(), row.clone());
                    }
                }
                let is_new = |row: &&Row| row.is_revoked() && !before.0[&row.id()].is_revoked();
                Ok(rows.0.values().filter(is_new).count() as u64)
            }
            RevokesTheExceptedFamily => Ok(rows.revoke(&any, revocation)),
            RevokesWhatDerivesFromTheExcepted => {
                let excepted = |row: &Row| row.derived_from() == filter.except_family;
                let count = rows.revoke(filter, revocation);
                Ok(count
                    + one_by_one(&mut rows, &|row| {
                        filter.except_family.is_some() && excepted(row) && any.matches(row)
                    }))
            }
            KeepsTheSealOfTheRevoked | LetsTheRevisionOverflow => {
                let count = rows.revoke(filter, revocation);
                for row in before.all() {
                    let stored = rows.parts(row.id).unwrap();
                    if stored.revocation == row.revocation {
                        continue;
                    }
                    rows.force(match self.how {
                        KeepsTheSealOfTheRevoked => RecordParts { seal: row.seal, ..stored },
                        _ => RecordParts { revision: row.revision + 1, ..stored },
                    });
                }
                Ok(count)
            }
            RevokesAgain | RevokesTheDamagedAgain => {
                let again = self.how == RevokesAgain;
                for row in before.0.values().filter(|row| filter.matches(row)) {
                    let unrevoked = match row.record() {
                        Some(_) if again => {
                            self::row(RecordParts { revocation: None, ..parts(row) })
                        }
                        None if !again => Row::damaged(DamagedRow {
                            is_revoked: false,
                            revoked_at: None,
                            ..row.standing_facts()
                        }),
                        _ => continue,
                    };
                    rows.0.insert(row.id(), unrevoked);
                }
                Ok(rows.revoke(filter, revocation))
            }
            RevokesWhatItSawFirst => {
                let matching = seen.0.values().filter(|row| filter.matches(row));
                let revoke = |row: &Row| rows.revoke(&Filter::of_id(row.id()), revocation);
                Ok(matching.map(revoke).sum())
            }
            PassesOverADamagedRow => {
                let count = rows.revoke(filter, revocation);
                rows.restore(self);
                Ok(count)
            }
            RevokesTheDamagedOfTheExcepted => {
                let count = rows.revoke(filter, revocation);
                Ok(count + one_by_one(&mut rows, &|row| row.record().is_none() && any.matches(row)))
            }
            _ => Ok(rows.revoke(filter, revocation)),
        }
    }

    async fn touch(&self, uses: &[(TokenId, LastUse)], now: Timestamp) -> Result<(), StoreError> {
        let seen: Vec<_> = {
            let rows = self.right.lock();
            let stored = |(id, last_use): &(TokenId, LastUse)| {
                let row = rows.0.get(id).filter(|row| row.record().is_some())?;
                Some((parts(row), last_use.clone()))
            };
            uses.iter().filter_map(stored).collect()
        };
        let is_even = uses.first().is_some_and(|(_, last_use)| last_use.at.as_unix() % 2 == 0);
        if self.how == TouchesByAnOldCopy {
            self.meet(8);
            // The uses at even seconds are written last.
            if is_even {
                self.meet(16);
            }
        }
        let mut rows = self.right.lock();
        match self.how {
            TouchesNothingIfOneIsMissing if seen.len() < uses.len() => {}
            TouchesBackwards => {
                for (row, last_use) in seen {
                    rows.force(RecordParts { last_use: Some(last_use), ..row });
                }
            }
            TouchesAndBumpsTheRevision => {
                rows.touch(uses, now);
                for (row, _) in seen {
                    let stored = rows.parts(row.id).unwrap();
                    let revision = row.revision.saturating_add(1).min(TokenRecord::MAX_REVISION);
                    rows.force(RecordParts { revision, ..stored });
                }
            }
            TouchesByAnOldCopy => {
                for (row, last_use) in seen {
                    if row.last_use.as_ref().is_none_or(|stored| stored.at < last_use.at) {
                        rows.force(RecordParts { last_use: Some(last_use), ..row });
                    }
                }
            }
            KeepsAUseInTheFuture => rows.touch(uses, Timestamp::MAX),
            _ => rows.touch(uses, now),
        }
        drop(rows);
        if self.how == TouchesByAnOldCopy && !is_even {
            self.meet(16);
        }
        Ok(())
    }

    async fn purge(&self, purge: &Purge, limit: u32) -> Result<u64, StoreError> {
        let mut rows = self.right.lock();
        match (self.how, purge) {
            (PurgesPastTheLimit, _) => Ok(rows.purge(purge, limit.saturating_add(1))),
            (PurgesAFamilyThatLives | PurgesWhatALivingRowDerivesFrom, Purge::Dead(_)) => {
                // Ignores some of the rows that spare others.
                let derived = self.how == PurgesAFamilyThatLives;
                let mut seen = rows.clone();
                seen.0.retain(|_, row| row.derived_from().is_some() == derived);
                let mut others = rows.clone();
                others.0.retain(|_, row| row.derived_from().is_some() != derived);
                let mut count = 0;
                for row in rows.clone().0.values() {
                    let mut alone = seen.clone();
                    alone.0.insert(row.id(), row.clone());
                    alone.purge(purge, u32::MAX);
                    if !alone.0.contains_key(&row.id()) {
                        rows.0.remove(&row.id());
                        count += 1;
                    }
                }
                Ok(count)
            }
            (PurgesAnInstantEarly, Purge::Dead(dead)) => {
                let ended_by = dead.ended_by.saturating_add(Duration::from_secs(1));
                Ok(rows.purge(&Purge::Dead(PurgeCutoff { ended_by, ..*dead }), limit))
            }
            (PurgesByAUseInTheFuture, Purge::Dead(dead)) => {
                let future = |row: &&RecordParts| {
                    row.last_use.as_ref().is_some_and(|last_use| last_use.at > dead.now)
                };
                let kept: Vec<RecordParts> = rows.all().iter().filter(future).cloned().collect();
                let count = rows.purge(purge, limit);
                let missing = kept.iter().filter(|row| !rows.0.contains_key(&row.id)).count();
                kept.into_iter().for_each(|row| rows.force(row));
                Ok(count - missing as u64)
            }
            (KeepsTheDamagedOnPurge, Purge::Matching(_)) => {
                let before = rows.clone();
                let count = rows.purge(purge, limit);
                let kept: Vec<Row> =
                    before.0.into_values().filter(|row| row.record().is_none()).collect();
                let missing = kept.iter().filter(|row| !rows.0.contains_key(&row.id())).count();
                rows.0.extend(kept.into_iter().map(|row| (row.id(), row)));
                Ok(count - missing as u64)
            }
            (PurgesTheDamagedAtOnce | PurgesTheDamagedByWhenItWasMade, Purge::Dead(dead)) => {
                let ids: Vec<TokenId> = rows
                    .0
                    .values()
                    .filter(|row| row.record().is_none())
                    .filter(|row| row.is_revoked() || self.how == PurgesTheDamagedAtOnce)
                    .filter(|row| row.created_at().is_some_and(|at| at <= dead.ended_by))
                    .map(Row::id)
                    .collect();
                let count = ids.iter().filter_map(|id| rows.0.remove(id)).count() as u64;
                Ok(count + rows.purge(purge, limit))
            }
            _ => Ok(rows.purge(purge, limit)),
        }
    }

    async fn keys_in_use(&self) -> Result<Vec<KeyId>, StoreError> {
        let mut keys = BTreeSet::new();
        for row in self.right.lock().all() {
            let live = LiveAt::now(row.created_at);
            let is_live = TokenRecord::from_parts(row.clone()).is_live(live);
            if row.revocation.is_none() && (is_live || self.how != NamesTheKeysOfLiveRows) {
                keys.insert(row.key_id);
            }
        }
        if self.how == NamesOneKeyTooFew {
            keys.pop_last();
        }
        let keys: Vec<KeyId> = keys.into_iter().collect();
        if self.how == NamesTheKeysOfTheStart {
            return Ok(self.keys.lock().unwrap().get_or_insert(keys).clone());
        }
        Ok(keys)
    }
}

/// Runs one clause on a store that breaks it. The suite must name the clause.
#[track_caller]
fn assert_caught(clause: u8, how: How, make_task: impl FnOnce(Arc<WrongStore>) -> Task) {
    let task = make_task(Arc::new(WrongStore::new(how)));
    let panic = catch_unwind(AssertUnwindSafe(|| conformance::block_on(task)));
    let panic = panic.expect_err(&format!("the suite passes a store that {how:?}"));
    let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
    let expected = format!("clause {clause} of TokenStore is broken");
    assert!(text.starts_with(&expected), "of a store that {how:?} the suite says: {text}");
}

macro_rules! caught {
    ($list:ident: $($how:ident: $clause:literal $test:ident;)*) => {
        const $list: &[How] = &[$(How::$how),*];
        $(caught!(@one $how, $clause, $test, |store| conformance::$test(&*store));)*
    };
    (race $list:ident: $($how:ident: $clause:literal $test:ident;)*) => {
        const $list: &[How] = &[$(How::$how),*];
        $(caught!(@one $how, $clause, $test, |store| {
            conformance::$test(&store, conformance::block_on)
        });)*
    };
    (damage $list:ident: $($how:ident: $clause:literal $test:ident;)*) => {
        const $list: &[How] = &[$(How::$how),*];
        $(caught!(@one $how, $clause, $test, |store| {
            conformance::$test(&store, |store: Arc<WrongStore>, id| async move { store.damage(id) })
        });)*
    };
    (@one $how:ident, $clause:literal, $test:ident, |$store:ident| $call:expr) => {
        #[test]
        #[expect(non_snake_case, reason = "named after the wrong store")]
        fn $how() {
            assert_caught($clause, How::$how, |$store| Box::pin(async move { $call.await }));
        }
    };
}

mod caught {
    use super::{BTreeSet, How, WAYS, WrongStore, assert_caught, conformance};
    use std::sync::Arc;

    #[test]
    fn every_wrong_store_is_tested() {
        let tried: BTreeSet<How> = [ALONE, RACED, DAMAGED].concat().into_iter().collect();
        assert_eq!(tried, WAYS.iter().copied().collect());
    }

    caught! { ALONE:
        TurnsExpiresZeroIntoNever: 2 every_field_comes_back_as_it_was_given;
        LosesTheClient: 2 every_field_comes_back_as_it_was_given;
        FoldsTheCaseOfOwners: 2 every_field_comes_back_as_it_was_given;
        OverwritesOnInsert: 4 insert_never_overwrites;
        CallsASecondInsertDone: 4 insert_never_overwrites;
        InsertsUnderARevokedToken: 5 insert_under_a_token_needs_it_current_and_of_the_same_owner;
        InsertsUnderAnothersToken: 5 insert_under_a_token_needs_it_current_and_of_the_same_owner;
        CountsTheExpiredAtTheInstant: 6 limit_counts_the_owners_live_rows_of_other_families;
        CountsTheOwnFamily: 6 limit_counts_the_owners_live_rows_of_other_families;
        CountsTheIdle: 6 a_row_that_was_not_used_for_long_takes_no_place;
        BelievesAUseInTheFuture: 6 a_row_that_was_not_used_for_long_takes_no_place;
        FoldsTheCaseOfLabels: 7 unique_label_looks_at_the_owners_live_rows_of_other_families;
        AnswersTheLimitBeforeTheStale: 5 the_first_refusal_answers;
        SupersedesInTwoSteps: 1 a_call_that_is_abandoned_happens_wholly_or_not_at_all;
        OverwritesOnSupersede: 4 supersede_never_overwrites;
        SupersedesAnyRevision: 8 supersede_of_a_changed_row_changes_nothing;
        SupersedesWithTheFormsLastUse: 8 supersede_writes_both_rows_in_one_step;
        SupersedesWithoutTheNewForm: 8 supersede_writes_both_rows_in_one_step;
        ReplacesAUsedSuccessor: 9 supersede_of_a_used_successor_changes_nothing;
        ReplacesAChangedSuccessor: 9 supersede_of_a_used_successor_changes_nothing;
        ReplacesAnyonesSuccessor: 9 supersede_of_another_owners_row_changes_nothing;
        ForgetsToRevokeTheReplaced: 9 supersede_revokes_the_unused_successor_that_it_replaces;
        ForgetsToRevokeTheDerived: 10 supersede_revokes_what_was_issued_under_the_family;
        RevokesTheDerivedOfOthers: 10 supersede_revokes_what_was_issued_under_the_family;
        FindsNoDeadRows: 11 find_gives_the_row_with_this_id_or_none;
        ListsWithoutOrder: 12 list_gives_pages_in_order_of_id;
        ListsTheCursorAgain: 12 list_gives_pages_in_order_of_id;
        ListsWithoutOneFact: 12 list_gives_what_the_filter_matches;
        ListsWithAnyEnd: 12 list_gives_what_the_filter_matches;
        ListsTheExceptedFamily: 12 list_gives_what_the_filter_matches;
        ListsWhatDerivesFromTheExcepted: 12 list_gives_what_the_filter_matches;
        ReplacesAnyRevision: 13 replace_is_a_compare_and_swap;
        RevivesOnReplace: 13 replace_is_a_compare_and_swap;
        ReplacesNothingIfOneIsStale: 13 replace_answers_each_request_of_a_batch;
        DecidesABatchByTheFirstRows: 13 replace_answers_each_request_of_a_batch;
        AnswersABatchInAnotherOrder: 13 replace_answers_each_request_of_a_batch;
        AnswersABatchOnce: 13 replace_answers_each_request_of_a_batch;
        ReplacesTheLastUse: 14 replace_leaves_last_use_and_revocation;
        ReplacesALabelThatIsTaken: 15 replace_keeps_labels_unique;
        ForgetsTheDerivedOnReplace: 15 replace_revokes_what_was_issued_under_the_family;
        RevokesWithoutTheDerived: 16 revoke_covers_what_the_filter_matches_and_what_derives_from_it;
        RevokesWithAnyEnd: 16 revoke_covers_what_the_filter_matches_and_what_derives_from_it;
        RevokesTheDerivedOfRevokedRowsNot:
            16 revoke_covers_what_the_filter_matches_and_what_derives_from_it;
        RevokesWhatDerivesFromTheDerived: 16 revoke_decides_by_the_rows_as_they_stood_before;
        RevokesTheDerivedOfTheRevokedNoLonger: 16 revoke_decides_by_the_rows_as_they_stood_before;
        RevokesTheExceptedFamily: 16 revoke_spares_the_family_that_it_excepts;
        RevokesWhatDerivesFromTheExcepted: 16 revoke_spares_the_family_that_it_excepts;
        KeepsTheSealOfTheRevoked: 16 revoke_covers_what_the_filter_matches_and_what_derives_from_it;
        LetsTheRevisionOverflow: 16 revoke_saturates_the_revision;
        RevokesAgain: 16 the_first_revocation_stays;
        TouchesBackwards: 18 touch_goes_forwards_only;
        TouchesNothingIfOneIsMissing: 18 touch_goes_forwards_only;
        TouchesAndBumpsTheRevision: 18 touch_changes_nothing_else;
        KeepsAUseInTheFuture: 18 touch_overwrites_a_use_far_in_the_future;
        PurgesPastTheLimit: 19 purge_deletes_no_more_than_its_limit;
        PurgesAFamilyThatLives: 19 purge_deletes_what_it_selects;
        PurgesWhatALivingRowDerivesFrom: 19 purge_spares_a_family_from_which_a_living_row_derives;
        PurgesAnInstantEarly: 19 purge_deletes_what_it_selects;
        PurgesByAUseInTheFuture: 19 purge_does_not_believe_a_use_far_in_the_future;
        NamesOneKeyTooFew: 20 keys_in_use_names_every_key_of_an_unrevoked_row;
        NamesTheKeysOfLiveRows: 20 keys_in_use_names_every_key_of_an_unrevoked_row;
        NamesTheKeysOfTheStart: 20 keys_in_use_names_every_key_of_an_unrevoked_row;
    }

    caught! { race RACED:
        FindsAnOldCopy: 11 an_answer_is_seen_by_every_thread_at_once;
        CountsThenInserts: 6 a_limit_holds_against_many_inserts_at_once;
        LooksAtLabelsThenInserts: 7 a_label_is_taken_once_by_many_inserts_at_once;
        InsertsAndReplacesWithTwoLocks: 15 a_label_is_taken_once_by_inserts_and_replaces_at_once;
        LooksAtTheParentThenInserts: 10 no_derived_token_escapes_a_rotation_that_revokes_them;
        ReplacesThenLooks: 13 of_many_replaces_of_one_revision_one_is_done;
        RevokesWhatItSawFirst: 17 no_successor_escapes_a_revoke;
        TouchesByAnOldCopy: 18 of_many_touches_at_once_the_latest_use_stays;
    }

    caught! { damage DAMAGED:
        FailsOnADamagedRow: 21 a_damaged_row_keeps_the_facts_that_stand_apart;
        HidesADamagedRow: 21 a_damaged_row_blocks_no_other;
        LosesTheOwnerOfTheDamaged: 21 a_damaged_row_keeps_the_facts_that_stand_apart;
        LosesTheFamilyOfTheDamaged: 21 a_damaged_row_keeps_the_facts_that_stand_apart;
        LosesWhatTheDamagedDerivesFrom: 21 a_damaged_row_keeps_the_facts_that_stand_apart;
        LosesWhenTheDamagedWasMade: 21 a_damaged_row_keeps_the_facts_that_stand_apart;
        LosesThatTheDamagedWasRevoked: 21 a_damaged_row_keeps_the_facts_that_stand_apart;
        CallsTheDamagedCurrent: 21 a_damaged_row_is_never_current;
        ListsTheDamagedByAnyKey: 22 a_damaged_row_is_listed_by_the_facts_that_stand_apart;
        SparesTheDamagedByItsKey: 22 a_damaged_row_is_listed_by_the_facts_that_stand_apart;
        PassesOverADamagedRow: 22 a_damaged_row_is_revoked_like_any_other;
        RotatesPastADamagedRow: 10 a_damaged_row_is_revoked_by_a_rotation_like_any_other;
        NarrowsPastADamagedRow: 15 a_damaged_row_is_revoked_by_a_replace_like_any_other;
        RevokesTheDamagedAgain: 22 the_first_revocation_of_a_damaged_row_stays;
        RevokesTheDamagedOfTheExcepted: 22 a_damaged_row_is_spared_with_its_family;
        KeepsTheDamagedOnPurge: 22 a_damaged_row_is_purged_like_any_other;
        PurgesTheDamagedAtOnce: 22 a_damaged_row_is_purged_like_any_other;
        PurgesTheDamagedByWhenItWasMade: 22 a_damaged_row_is_purged_like_any_other;
    }
}
