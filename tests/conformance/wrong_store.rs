//! Stores that break the contract, each in one way, and that the suite says so.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use app_tokens::record::{Expires, LastUse, RecordParts, Revocation, TokenRecord};
use app_tokens::store::conformance::{self, Task};
use app_tokens::store::{
    Filter, Insert, Inserted, Page, Purge, Replace, Replaced, Row, StoreError,
};
use app_tokens::{Label, MemoryStore, Timestamp, TokenId, TokenStore};

/// In which way a store is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// In none.
    Right,
    TurnsExpiresZeroIntoNever,
    LosesTheClient,
    FoldsTheCaseOfOwners,
    InsertsInTwoSteps,
    OverwritesOnInsert,
    CallsASecondInsertDone,
    InsertsUnderARevokedToken,
    InsertsUnderAnothersToken,
    SupersedesAnyRevision,
    SupersedesWithTheFormsLastUse,
    ReplacesAChangedSuccessor,
    LooksAtTheParentThenInserts,
    InsertsAndReplacesWithTwoLocks,
    RotatesPastADamagedRow,
    ReplacesAUsedSuccessor,
    ForgetsToEndTheReplaced,
    ForgetsToEndTheDerived,
    CountsTheExpiredAtTheInstant,
    CountsTheOwnFamily,
    CountsThenInserts,
    FoldsTheCaseOfLabels,
    LooksAtLabelsThenInserts,
    AnswersTheLimitBeforeTheStale,
    FindsAnOldCopy,
    FindsNoDeadRows,
    ListsWithoutOrder,
    ListsTheCursorAgain,
    ListsWithoutOneFact,
    FailsOnADamagedRow,
    ReplacesAnyRevision,
    ReplacesThenLooks,
    RevivesOnReplace,
    ReplacesTheLastUse,
    ReplacesALabelThatIsTaken,
    RevokesWithoutTheDerived,
    RevokesTheDerivedOfRevokedRowsNot,
    KeepsTheSealOfTheRevoked,
    LetsTheRevisionOverflow,
    RevokesAgain,
    RevokesWhatItSawFirst,
    PassesOverADamagedRow,
    TouchesBackwards,
    TouchesAndBumpsTheRevision,
    TouchesNothingIfOneIsMissing,
    TouchesByAnOldCopy,
    PurgesPastTheLimit,
    PurgesAFamilyThatLives,
    PurgesWhatALivingRowDerivesFrom,
    PurgesAnInstantEarly,
}

use How::*;

/// A `MemoryStore` that goes wrong, or has damaged rows.
pub(crate) struct Wrapped {
    inner: MemoryStore,
    how: How,
    damaged: Mutex<HashSet<TokenId>>,
    copies: Mutex<HashMap<TokenId, Row>>,
    callers: (Mutex<usize>, Condvar),
}

impl Wrapped {
    pub(crate) fn new(how: How) -> Wrapped {
        Wrapped {
            inner: MemoryStore::new(),
            how,
            damaged: Mutex::default(),
            copies: Mutex::default(),
            callers: (Mutex::default(), Condvar::new()),
        }
    }

    pub(crate) fn damage(&self, id: TokenId) {
        self.damaged.lock().unwrap().insert(id);
    }

    fn shown(&self, row: Row) -> Row {
        let damaged = self.damaged.lock().unwrap().contains(&row.id());
        if damaged { Row::damaged(row.id()) } else { row }
    }

    async fn parts(&self, id: TokenId) -> Option<RecordParts> {
        self.inner.find(id).await.unwrap().map(|row| parts(&row))
    }

    async fn all(&self, filter: &Filter) -> Vec<RecordParts> {
        self.inner.list(filter, Page::first(u32::MAX)).await.unwrap().iter().map(parts).collect()
    }

    /// Writes a row as it is, over whatever is there.
    async fn force(&self, parts: RecordParts) {
        let insert = Insert {
            row: row(parts),
            now: Timestamp::MIN,
            limit: None,
            unique_label: false,
            under: None,
            supersede: None,
        };
        let this = Purge::Matching(Filter::of_id(insert.row.id()));
        while self.inner.insert(&insert).await.unwrap() == Inserted::IdTaken {
            self.inner.purge(&this, 1).await.unwrap();
        }
    }

    /// Waits for the other callers of a race, but not for ever: then nothing stands between what was seen and what is done.
    fn meet(&self, callers: usize) {
        let (count, more) = &self.callers;
        let mut count = count.lock().unwrap();
        *count += 1;
        more.notify_all();
        let waits = more.wait_timeout_while(count, Duration::from_millis(200), |n| *n < callers);
        drop(waits.unwrap());
    }
}

fn parts(row: &Row) -> RecordParts {
    row.record().unwrap().clone().into_parts()
}

fn row(parts: RecordParts) -> Row {
    Row::new(TokenRecord::from_parts(parts))
}

/// Gives the other tasks of the thread a turn, so that the call can be given up here.
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

impl TokenStore for Wrapped {
    async fn insert(&self, insert: &Insert) -> Result<Inserted, StoreError> {
        let mut insert = insert.clone();
        let mut new = parts(&insert.row);
        let id = new.id;
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
            InsertsInTwoSteps => {
                let Some(supersede) = insert.supersede.take() else {
                    return self.inner.insert(&insert).await;
                };
                let replace = Replace {
                    row: supersede.row,
                    now: insert.now,
                    unique_label: false,
                    revokes_derived: None,
                };
                match self.inner.replace(&replace).await? {
                    Replaced::Done => pause().await,
                    _ => return Ok(Inserted::Stale),
                }
            }
            OverwritesOnInsert if self.parts(id).await.is_some() => {
                self.force(new).await;
                return Ok(Inserted::Done);
            }
            CallsASecondInsertDone if self.parts(id).await.as_ref() == Some(&new) => {
                return Ok(Inserted::Done);
            }
            InsertsUnderARevokedToken | InsertsUnderAnothersToken => {
                if let Some(parent) = match &insert.under {
                    Some(parent) => self.parts(parent.id()).await,
                    None => None,
                } && (parent.owner == new.owner) == (self.how == InsertsUnderARevokedToken)
                {
                    insert.under = None;
                }
            }
            SupersedesAnyRevision => {
                if let Some(supersede) = &mut insert.supersede {
                    let form = parts(&supersede.row);
                    if let Some(there) = self.parts(form.id).await {
                        supersede.row = row(RecordParts { revision: there.revision, ..form });
                    }
                }
            }
            SupersedesWithTheFormsLastUse => {
                let answer = self.inner.insert(&insert).await?;
                if let (Inserted::Done, Some(supersede)) = (answer, &insert.supersede) {
                    let last_use = parts(&supersede.row).last_use;
                    let there = self.parts(supersede.row.id()).await.unwrap();
                    self.force(RecordParts { last_use, ..there }).await;
                }
                return Ok(answer);
            }
            ReplacesAUsedSuccessor | ForgetsToEndTheReplaced => {
                let replaces = insert.supersede.as_ref().and_then(|s| s.replaces.as_ref());
                let there = match replaces {
                    Some(replaced) => self.parts(replaced.id()).await,
                    None => None,
                };
                let used = there.as_ref().is_some_and(|row| row.last_use.is_some());
                if let Some(supersede) = &mut insert.supersede
                    && (used || self.how == ForgetsToEndTheReplaced)
                {
                    supersede.replaces = None;
                }
            }
            ReplacesAChangedSuccessor => {
                if let Some(supersede) = &mut insert.supersede
                    && let Some(replaced) = &supersede.replaces
                    && let Some(there) = self.parts(replaced.id()).await
                {
                    supersede.replaces = Some(row(there));
                }
            }
            ForgetsToEndTheDerived => {
                if let Some(supersede) = &mut insert.supersede {
                    supersede.revokes_derived = false;
                }
            }
            LooksAtTheParentThenInserts => {
                let parent = match &insert.under {
                    Some(parent) => self.parts(parent.id()).await,
                    None => None,
                };
                if parent.is_some_and(|parent| parent.revision == 0) {
                    insert.under = None;
                    self.meet(4);
                    self.meet(8);
                } else if insert.supersede.is_some() {
                    self.meet(4);
                    let answer = self.inner.insert(&insert).await;
                    self.meet(8);
                    return answer;
                }
            }
            RotatesPastADamagedRow if insert.supersede.is_some() => {
                let damaged = self.damaged.lock().unwrap().clone();
                let mine = self.all(&Filter::of_owner(&new.owner)).await;
                let answer = self.inner.insert(&insert).await;
                for row in mine.into_iter().filter(|row| damaged.contains(&row.id)) {
                    self.force(row).await;
                }
                return answer;
            }
            CountsTheExpiredAtTheInstant => {
                insert.now = insert.now.saturating_sub(Duration::from_secs(1));
            }
            CountsTheOwnFamily => {
                let mine = self.all(&Filter::of_owner(&new.owner)).await;
                let live = mine
                    .into_iter()
                    .filter(|row| TokenRecord::from_parts(row.clone()).is_live(insert.now));
                if insert.limit.is_some_and(|limit| live.count() >= limit as usize) {
                    return Ok(Inserted::LimitReached);
                }
            }
            CountsThenInserts => {
                if let Some(limit) = insert.limit.take() {
                    let count = self.all(&Filter::of_owner(&new.owner)).await.len();
                    self.meet(8);
                    if count >= limit as usize {
                        return Ok(Inserted::LimitReached);
                    }
                }
            }
            FoldsTheCaseOfLabels if insert.unique_label => {
                let mine = self.all(&Filter::of_owner(&new.owner)).await;
                let folded = |label: &Label| label.as_str().to_lowercase();
                if mine
                    .iter()
                    .any(|row| folded(&row.label) == folded(&new.label) && row.label != new.label)
                {
                    return Ok(Inserted::LabelTaken);
                }
            }
            LooksAtLabelsThenInserts | InsertsAndReplacesWithTwoLocks if insert.unique_label => {
                let mine = self.all(&Filter::of_owner(&new.owner)).await;
                self.meet(8);
                if mine.iter().any(|row| row.label == new.label) {
                    return Ok(Inserted::LabelTaken);
                }
                insert.unique_label = false;
            }
            AnswersTheLimitBeforeTheStale
                if insert.limit == Some(0) && self.parts(id).await.is_none() =>
            {
                return Ok(Inserted::LimitReached);
            }
            _ => {}
        }
        self.inner.insert(&insert).await
    }

    async fn find(&self, id: TokenId) -> Result<Option<Row>, StoreError> {
        let found = self.inner.find(id).await?;
        if self.how == FindsAnOldCopy
            && let Some(found) = found
        {
            return Ok(Some(self.copies.lock().unwrap().entry(id).or_insert(found).clone()));
        }
        if self.how == FindsNoDeadRows
            && found.as_ref().is_some_and(|row| parts(row).revocation.is_some())
        {
            return Ok(None);
        }
        Ok(found.map(|row| self.shown(row)))
    }

    async fn list(&self, filter: &Filter, page: Page) -> Result<Vec<Row>, StoreError> {
        let mut filter = filter.clone();
        let mut page = page;
        match self.how {
            ListsWithoutOneFact => filter.superseded = None,
            ListsTheCursorAgain => {
                let before = page.after.map(|after| after.as_u64().saturating_sub(1));
                page.after = before.map(|number| TokenId::from_u64(number).unwrap());
            }
            FoldsTheCaseOfOwners => {
                if let Some(owner) = filter.owner.take() {
                    let all = self.inner.list(&filter, page).await?;
                    let same =
                        |row: &Row| parts(row).owner.as_str().eq_ignore_ascii_case(owner.as_str());
                    return Ok(all.into_iter().filter(same).collect());
                }
            }
            _ => {}
        }
        let mut rows = self.inner.list(&filter, page).await?;
        if self.how == ListsWithoutOrder {
            rows.reverse();
        }
        let rows: Vec<Row> = rows.into_iter().map(|row| self.shown(row)).collect();
        if self.how == FailsOnADamagedRow && rows.iter().any(|row| row.record().is_none()) {
            return Err(StoreError::not_done("a row can't be read"));
        }
        Ok(rows)
    }

    async fn replace(&self, replace: &Replace) -> Result<Replaced, StoreError> {
        let mut replace = replace.clone();
        let form = parts(&replace.row);
        let there = self.parts(form.id).await;
        match (self.how, there) {
            (ReplacesAnyRevision, Some(there)) => {
                replace.row = row(RecordParts { revision: there.revision, ..form });
            }
            (ReplacesThenLooks, Some(there)) => {
                self.meet(8);
                if there.revision != form.revision || there.revocation.is_some() {
                    return Ok(Replaced::Stale);
                }
                self.force(RecordParts { revision: form.revision + 1, ..form }).await;
                return Ok(Replaced::Done);
            }
            (RevivesOnReplace, Some(there)) if there.revocation.is_some() => {
                self.force(RecordParts { revision: there.revision + 1, revocation: None, ..form })
                    .await;
                return Ok(Replaced::Done);
            }
            (ReplacesTheLastUse, Some(_)) => {
                let answer = self.inner.replace(&replace).await?;
                if answer == Replaced::Done {
                    let there = self.parts(form.id).await.unwrap();
                    self.force(RecordParts { last_use: form.last_use, ..there }).await;
                }
                return Ok(answer);
            }
            (ReplacesALabelThatIsTaken, _) => replace.unique_label = false,
            (InsertsAndReplacesWithTwoLocks, _) if replace.unique_label => self.meet(8),
            _ => {}
        }
        self.inner.replace(&replace).await
    }

    async fn revoke(&self, filter: &Filter, revocation: &Revocation) -> Result<u64, StoreError> {
        let before = self.all(&Filter::every_token()).await;
        let matches = |row: &RecordParts| filter.matches(&TokenRecord::from_parts(row.clone()));
        match self.how {
            RevokesWithoutTheDerived => {
                self.inner.revoke(filter, revocation).await?;
                for row in before.iter().filter(|row| !matches(row)) {
                    self.force(row.clone()).await;
                }
                let matching = before.iter().filter(|row| matches(row));
                Ok(matching.filter(|row| row.revocation.is_none()).count() as u64)
            }
            RevokesTheDerivedOfRevokedRowsNot => {
                let filter = Filter { revoked: Some(false), ..filter.clone() };
                self.inner.revoke(&filter, revocation).await
            }
            KeepsTheSealOfTheRevoked | LetsTheRevisionOverflow => {
                let count = self.inner.revoke(filter, revocation).await?;
                for row in before {
                    let there = self.parts(row.id).await.unwrap();
                    if there.revocation == row.revocation {
                        continue;
                    }
                    self.force(match self.how {
                        KeepsTheSealOfTheRevoked => RecordParts { seal: row.seal, ..there },
                        _ => RecordParts { revision: row.revision + 1, ..there },
                    })
                    .await;
                }
                Ok(count)
            }
            RevokesAgain => {
                for row in before.into_iter().filter(matches) {
                    self.force(RecordParts { revocation: None, ..row }).await;
                }
                self.inner.revoke(filter, revocation).await
            }
            RevokesWhatItSawFirst => {
                // Long enough for the other thread to insert one more.
                self.meet(usize::MAX);
                let mut count = 0;
                for row in before.into_iter().filter(matches) {
                    count += self.inner.revoke(&Filter::of_id(row.id), revocation).await?;
                }
                Ok(count)
            }
            PassesOverADamagedRow => {
                let damaged = self.damaged.lock().unwrap().clone();
                let count = self.inner.revoke(filter, revocation).await?;
                for row in before.into_iter().filter(|row| damaged.contains(&row.id)) {
                    self.force(row).await;
                }
                Ok(count)
            }
            _ => self.inner.revoke(filter, revocation).await,
        }
    }

    async fn touch(&self, uses: &[(TokenId, LastUse)], now: Timestamp) -> Result<(), StoreError> {
        let mut copies = Vec::new();
        for (id, last_use) in uses {
            copies.extend(self.parts(*id).await.map(|row| (row, last_use.clone())));
        }
        match self.how {
            TouchesNothingIfOneIsMissing if copies.len() < uses.len() => Ok(()),
            TouchesBackwards => {
                for (row, last_use) in copies {
                    self.force(RecordParts { last_use: Some(last_use), ..row }).await;
                }
                Ok(())
            }
            TouchesAndBumpsTheRevision => {
                self.inner.touch(uses, now).await?;
                for (row, _) in copies {
                    let there = self.parts(row.id).await.unwrap();
                    let revision = row.revision.saturating_add(1).min(TokenRecord::MAX_REVISION);
                    self.force(RecordParts { revision, ..there }).await;
                }
                Ok(())
            }
            TouchesByAnOldCopy => {
                self.meet(8);
                // Those at even seconds write last.
                let even = uses[0].1.at.as_unix() % 2 == 0;
                if even {
                    self.meet(16);
                }
                for (row, last_use) in copies {
                    if row.last_use.as_ref().is_none_or(|stored| stored.at < last_use.at) {
                        self.force(RecordParts { last_use: Some(last_use), ..row }).await;
                    }
                }
                if !even {
                    self.meet(16);
                }
                Ok(())
            }
            _ => self.inner.touch(uses, now).await,
        }
    }

    async fn purge(&self, purge: &Purge, limit: u32) -> Result<u64, StoreError> {
        match (self.how, purge) {
            (PurgesPastTheLimit, _) => self.inner.purge(purge, limit.saturating_add(1)).await,
            (PurgesAFamilyThatLives | PurgesWhatALivingRowDerivesFrom, Purge::Dead(_)) => {
                let all = self.all(&Filter::every_token()).await;
                let all: Vec<_> = all.into_iter().map(TokenRecord::from_parts).collect();
                let derived = self.how == PurgesAFamilyThatLives;
                let seen = all.iter().filter(|row| row.derived_from().is_some() == derived);
                let mut count = 0;
                for row in all.iter().filter(|row| purge.selects(row, seen.clone())) {
                    let this = Purge::Matching(Filter::of_id(row.id()));
                    count += self.inner.purge(&this, 1).await?;
                }
                Ok(count)
            }
            (PurgesAnInstantEarly, Purge::Dead(dead)) => {
                let mut dead = *dead;
                dead.ended_by = dead.ended_by.saturating_add(Duration::from_secs(1));
                self.inner.purge(&Purge::Dead(dead), limit).await
            }
            _ => self.inner.purge(purge, limit).await,
        }
    }
}

/// Runs one clause on a store that breaks it, and expects that the suite says so by the clause's number.
#[track_caller]
fn assert_caught(clause: u8, how: How, make_task: impl FnOnce(Arc<Wrapped>) -> Task) {
    let task = make_task(Arc::new(Wrapped::new(how)));
    let panic = catch_unwind(AssertUnwindSafe(|| conformance::block_on(task)));
    let panic = panic.expect_err(&format!("the suite passes a store that {how:?}"));
    let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
    let expected = format!("clause {clause} of TokenStore is broken");
    assert!(text.starts_with(&expected), "of a store that {how:?} the suite says: {text}");
}

macro_rules! caught {
    ($($how:ident: $clause:literal $test:ident;)*) => {
        $(caught!(@one $how, $clause, $test, |store| conformance::$test(&*store));)*
    };
    (race: $($how:ident: $clause:literal $test:ident;)*) => {
        $(caught!(@one $how, $clause, $test, |store| conformance::$test(&store, conformance::block_on));)*
    };
    (damage: $($how:ident: $clause:literal $test:ident;)*) => {
        $(caught!(@one $how, $clause, $test, |store| {
            conformance::$test(&store, |store: Arc<Wrapped>, id| async move { store.damage(id) })
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
    use super::{How, Wrapped, assert_caught, conformance};
    use std::sync::Arc;

    caught! {
        TurnsExpiresZeroIntoNever: 2 every_field_comes_back_as_it_was_given;
        LosesTheClient: 2 every_field_comes_back_as_it_was_given;
        FoldsTheCaseOfOwners: 2 every_field_comes_back_as_it_was_given;
        InsertsInTwoSteps: 1 a_call_that_is_abandoned_happens_wholly_or_not_at_all;
        OverwritesOnInsert: 4 insert_never_overwrites;
        CallsASecondInsertDone: 4 insert_never_overwrites;
        InsertsUnderARevokedToken: 5 insert_under_a_token_needs_it_current_and_of_the_same_owner;
        InsertsUnderAnothersToken: 5 insert_under_a_token_needs_it_current_and_of_the_same_owner;
        SupersedesAnyRevision: 6 supersede_of_a_changed_row_changes_nothing;
        SupersedesWithTheFormsLastUse: 6 supersede_writes_both_rows_in_one_step;
        ReplacesAUsedSuccessor: 7 supersede_of_a_used_successor_changes_nothing;
        ReplacesAChangedSuccessor: 7 supersede_of_a_used_successor_changes_nothing;
        ForgetsToEndTheReplaced: 7 supersede_revokes_the_unused_successor_that_it_replaces;
        ForgetsToEndTheDerived: 8 supersede_revokes_what_was_issued_under_the_family;
        CountsTheExpiredAtTheInstant: 9 limit_counts_the_owners_live_rows_of_other_families;
        CountsTheOwnFamily: 9 limit_counts_the_owners_live_rows_of_other_families;
        FoldsTheCaseOfLabels: 10 unique_label_looks_at_the_owners_live_rows_of_other_families;
        AnswersTheLimitBeforeTheStale: 5 the_first_refusal_answers;
        FindsNoDeadRows: 11 find_gives_the_row_with_this_id_or_none;
        ListsWithoutOrder: 13 list_gives_pages_in_order_of_id;
        ListsTheCursorAgain: 13 list_gives_pages_in_order_of_id;
        ListsWithoutOneFact: 13 list_gives_what_the_filter_matches;
        ReplacesAnyRevision: 14 replace_is_a_compare_and_swap;
        RevivesOnReplace: 14 replace_is_a_compare_and_swap;
        ReplacesTheLastUse: 15 replace_leaves_last_use_and_revocation;
        ReplacesALabelThatIsTaken: 16 replace_keeps_labels_unique;
        RevokesWithoutTheDerived: 17 revoke_covers_what_the_filter_matches_and_what_derives_from_it;
        RevokesTheDerivedOfRevokedRowsNot: 17 revoke_covers_what_the_filter_matches_and_what_derives_from_it;
        KeepsTheSealOfTheRevoked: 17 revoke_covers_what_the_filter_matches_and_what_derives_from_it;
        LetsTheRevisionOverflow: 17 revoke_saturates_the_revision;
        RevokesAgain: 17 the_first_revocation_stays;
        TouchesBackwards: 20 touch_goes_forwards_only;
        TouchesNothingIfOneIsMissing: 20 touch_goes_forwards_only;
        TouchesAndBumpsTheRevision: 20 touch_changes_nothing_else;
        PurgesPastTheLimit: 21 purge_deletes_no_more_than_its_limit;
        PurgesAFamilyThatLives: 21 purge_deletes_what_it_selects;
        PurgesWhatALivingRowDerivesFrom: 21 purge_spares_a_family_from_which_a_living_row_derives;
        PurgesAnInstantEarly: 21 purge_deletes_what_it_selects;
    }

    caught! { race:
        FindsAnOldCopy: 11 an_answer_is_seen_by_every_thread_at_once;
        CountsThenInserts: 9 a_limit_holds_against_many_inserts_at_once;
        LooksAtLabelsThenInserts: 10 a_label_is_taken_once_by_many_inserts_at_once;
        InsertsAndReplacesWithTwoLocks: 16 a_label_is_taken_once_by_inserts_and_replaces_at_once;
        LooksAtTheParentThenInserts: 8 no_derived_token_escapes_a_rotation_that_revokes_them;
        ReplacesThenLooks: 14 of_many_replaces_of_one_revision_one_is_done;
        RevokesWhatItSawFirst: 19 no_successor_escapes_a_revoke;
        TouchesByAnOldCopy: 20 of_many_touches_at_once_the_latest_use_stays;
    }

    caught! { damage:
        FailsOnADamagedRow: 12 a_damaged_row_is_shown_as_damaged_and_blocks_no_other;
        PassesOverADamagedRow: 18 a_damaged_row_is_revoked_like_any_other;
        RotatesPastADamagedRow: 8 a_damaged_row_is_revoked_by_a_rotation_like_any_other;
    }
}
