//! Faults of `replace` and `touch`.

use app_tokens::record::{LastUse, RecordParts, TokenRecord};
use app_tokens::store::{Replace, Replaced, StoreError};
use app_tokens::{Timestamp, TokenId};
use support::reference::Rows;
use support::rows::row;

use super::How::*;
use super::{Force, WrongStore, parts};

impl WrongStore {
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

    pub(super) async fn replace_wrongly(
        &self,
        replaces: &[Replace],
    ) -> Result<Vec<Replaced>, StoreError> {
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

    pub(super) async fn touch_wrongly(
        &self,
        uses: &[(TokenId, LastUse)],
        now: Timestamp,
    ) -> Result<(), StoreError> {
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
}
