//! Faults of `revoke` and `purge`.

use std::collections::BTreeSet;
use std::time::Duration;

use app_tokens::TokenId;
use app_tokens::record::{RecordParts, Revocation};
use app_tokens::store::{DamagedRow, Filter, Purge, PurgeCutoff, Row, StoreError, rules};
use support::reference::Rows;
use support::rows::row as row_of;

use super::How::*;
use super::{Force, WrongStore, parts};

impl WrongStore {
    pub(super) async fn revoke_wrongly(
        &self,
        filter: &Filter,
        revocation: &Revocation,
    ) -> Result<u64, StoreError> {
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
            RevokesThroughAnEndedRow | RevokesThroughNoSupersededRow => {
                let all = before.all();
                let matches = |row: &RecordParts| filter.matches(&row_of(row.clone()));
                let through_all = self.how == RevokesThroughAnEndedRow;
                let through_all = through_all || filter.id.or(filter.family).is_some();
                let reaches =
                    |row: &&RecordParts| matches(row) && (through_all || row.successor.is_none());
                let families: Vec<_> =
                    all.iter().filter(reaches).map(|row| (&row.owner, Some(row.family))).collect();
                let mut count = 0;
                for row in &all {
                    let is_derived = families.contains(&(&row.owner, row.derived_from))
                        && !filter.spares(&row_of(row.clone()));
                    if row.revocation.is_none() && (matches(row) || is_derived) {
                        let (revision, revocation) = (row.revision + 1, Some(revocation.clone()));
                        rows.force(RecordParts { revision, revocation, seal: None, ..row.clone() });
                        count += 1;
                    }
                }
                Ok(count)
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
                        Some(_) if again => row_of(RecordParts { revocation: None, ..parts(row) }),
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
            RevokesTheOwnerlessTogether => Ok(together(&rows)
                .into_iter()
                .map(|theirs| rows.write(rules::revoke(filter, revocation, &theirs)))
                .sum()),
            _ => Ok(rows.revoke(filter, revocation)),
        }
    }

    pub(super) async fn purge_wrongly(&self, purge: &Purge, limit: u32) -> Result<u64, StoreError> {
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
            (PurgesTheDamagedAsUnused, Purge::Dead(dead)) => {
                let unused =
                    |row: &&Row| row.record().is_none() && row.created_at() <= dead.unused_since;
                let ids: Vec<TokenId> = rows.0.values().filter(unused).map(Row::id).collect();
                let count = ids.iter().filter_map(|id| rows.0.remove(id)).count() as u64;
                Ok(count + rows.purge(purge, limit))
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
            (PurgesTheOwnerlessTogether, _) => Ok(together(&rows)
                .into_iter()
                .map(|theirs| rows.write(rules::purge(purge, limit, &theirs)))
                .sum()),
            _ => Ok(rows.purge(purge, limit)),
        }
    }
}

/// Returns the rows of each owner. All that have none stand together, as if of one owner.
fn together(rows: &Rows) -> Vec<Vec<Row>> {
    let (of_none, mut all): (Vec<_>, Vec<_>) =
        rows.by_owner().into_iter().partition(|theirs| theirs[0].owner().is_none());
    all.push(of_none.concat());
    all
}
