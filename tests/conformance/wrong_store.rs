//! Stores that break the contract, each in one way. The suite must catch each of them.
//!
//! Each applies the contract's rules, with a fault planted in a request, in the rows or in what is
//! written.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use app_tokens::record::{KeyId, LastUse, RecordParts, Revocation, TokenRecord};
use app_tokens::store::{
    DamagedRow, Filter, Insert, Inserted, LiveAt, Page, Purge, Replace, Replaced, Row, StoreError,
    Supersede, Superseded, TokenStore,
};
use app_tokens::{Timestamp, TokenId};
use support::reference::{Reference, Rows};
use support::rows::{parts_of, row};

#[path = "wrong_store/insert.rs"]
mod insert;
#[path = "wrong_store/replace.rs"]
mod replace;
#[path = "wrong_store/revoke.rs"]
mod revoke;

macro_rules! ways {
    ($($how:ident)*) => {
        /// How a store is wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum How {
            /// It isn't.
            Right,
            $($how,)*
        }

        pub(crate) const WAYS: &[How] = &[$(How::$how),*];
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
    RevokesThroughAnEndedRow
    RevokesThroughNoSupersededRow
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
    PurgesTheDamagedAsUnused
    RevokesTheOwnerlessTogether
    PurgesTheOwnerlessTogether
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

    /// Damages a row, its owner included.
    pub(crate) fn damage_owner(&self, id: TokenId) {
        self.damage(id);
        let mut rows = self.right.lock();
        let facts = rows.0[&id].standing_facts();
        rows.0.insert(id, Row::damaged(DamagedRow { owner: None, ..facts }));
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

impl TokenStore for WrongStore {
    async fn insert(&self, insert: &Insert) -> Result<Inserted, StoreError> {
        self.insert_wrongly(insert).await
    }

    async fn supersede(&self, supersede: &Supersede) -> Result<Superseded, StoreError> {
        self.supersede_wrongly(supersede).await
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
        self.replace_wrongly(replaces).await
    }

    async fn revoke(&self, filter: &Filter, revocation: &Revocation) -> Result<u64, StoreError> {
        self.revoke_wrongly(filter, revocation).await
    }

    async fn touch(&self, uses: &[(TokenId, LastUse)], now: Timestamp) -> Result<(), StoreError> {
        self.touch_wrongly(uses, now).await
    }

    async fn purge(&self, purge: &Purge, limit: u32) -> Result<u64, StoreError> {
        self.purge_wrongly(purge, limit).await
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
