//! Faults of `insert` and `supersede`.

use std::time::Duration;

use app_tokens::record::{Expires, RecordParts, TokenRecord};
use app_tokens::store::{
    Filter, Insert, Inserted, LiveAt, Replace, Replaced, Row, StoreError, Supersede, Superseded,
};
use app_tokens::{Label, Timestamp};
use support::rows::row;

use super::How::*;
use super::{Force, WrongStore, parts};

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

impl WrongStore {
    pub(super) async fn insert_wrongly(&self, insert: &Insert) -> Result<Inserted, StoreError> {
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

    pub(super) async fn supersede_wrongly(
        &self,
        supersede: &Supersede,
    ) -> Result<Superseded, StoreError> {
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
}
