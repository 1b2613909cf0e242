//! Moves tokens in: takes them from a transfer file.

mod all;
mod carry;
mod line;
mod outcome;
mod revoke;
mod row;
mod supersede;

use std::collections::HashSet;
use std::io::{BufRead, Seek};
use std::time::Duration;

use self::all::all;
use self::line::{is_of_a_line, was_current};
use self::outcome::{OtherRows, Outcome, count, is_revoked_there};
use self::row::{ended_as_there, insert_request};
use super::{MAX_TRIES, TokenAuthority};
use crate::authority::issue::unasked;
use crate::error::Failed;
use crate::event::{ChangeEvent, Event};
use crate::record::{Actor, Revocation, TokenRecord};
use crate::row::ReadableRow;
use crate::store::{Filter, Inserted, Row, TokenStore};
use crate::text::Operator;
use crate::timestamp::Timestamp;
use crate::transfer::{
    KeptAsIs, Line, MoveInReport, MoveProgress, Source, TransferError, TransferFile,
};

/// How many rows are written at the same time. A store that commits in groups needs several.
const AT_ONCE: usize = 32;

/// How long a revoked row is kept at least, for the check of a file's age.
const SHORTEST_RETENTION: Duration = Duration::from_secs(24 * 60 * 60);

impl<S: TokenStore> TokenAuthority<S> {
    /// Takes in the tokens of a transfer file, sealed anew for this realm under this ring.
    ///
    /// A token that is here already is never overwritten or revived: see
    /// [`transfer`](crate::transfer) for what a later file may still change. So the call may be
    /// stopped and made again. `progress` is told after some rows each.
    ///
    /// Rows are written one by one, some at the same time, and one line of the file for each is in
    /// memory. Where a line of rotations was revoked or rotated here, too, its new rows wait in
    /// memory for the end of the file. So do superseded tokens that only the source has revoked,
    /// and unused ones that were replaced here. Tokens that the source rotated wait, too, if others
    /// were issued under them here.
    ///
    /// The file is read between calls to the store, so don't hand in a reader that waits long.
    ///
    /// # Errors
    /// - [`TransferError::PrefixNotAccepted`] if the policy does not accept a prefix of the source.
    /// - [`TransferError::TooOld`] if the file is older than the policy's retention. Rows that were
    ///   revoked here since may be purged, and the file could bring them back.
    /// - [`TransferError::Failed`] if the store fails. What was taken in stays.
    /// - Any other if the file was changed since it was opened. What was taken in stays.
    pub async fn move_in<R: BufRead + Seek + Send>(
        &self,
        operator: &Operator,
        file: &mut TransferFile<R>,
        mut progress: impl FnMut(MoveProgress) + Send,
    ) -> Result<MoveInReport, TransferError> {
        self.refuse_without_upkeep()?;
        self.refuse_with_missing_keys().await?;
        self.refuse_source(file.source())?;
        let by = Actor::from(operator);
        let mut at = MoveProgress { done: 0, total: file.rows() };
        progress(at);
        let mut report = MoveInReport::default();
        let mut revoked_here = HashSet::new();
        let (mut revoked_there, mut good_there) = (HashSet::new(), HashSet::new());
        let (none, created_there) = (HashSet::new(), file.rotated());
        let written_at = file.source().written_at;
        let mut later = Vec::new();
        let mut lines = file.lines()?;
        loop {
            let mut rows = Vec::new();
            while rows.len() < AT_ONCE
                && let Some(line) = lines.next_line()?
            {
                match line {
                    Line::Row(record) => {
                        rows.push(ended_as_there(*record, written_at, self.now()));
                    }
                    Line::Left(id, why) => report.left.push((id, why)),
                }
            }
            if rows.is_empty() {
                break;
            }
            let (revoked, good): (Vec<_>, Vec<_>) =
                rows.iter().partition(|record| record.revocation().is_some());
            good_there.extend(good.into_iter().filter(is_derived).map(TokenRecord::id));
            let revoked = revoked.into_iter().map(TokenRecord::id).collect();
            let others = OtherRows {
                revoked_beside: &revoked,
                revoked_as_there: &none,
                good: &good_there,
                created_there: &created_there,
                whole_file_was_read: false,
            };
            let taking_in = rows.iter().map(|record| self.take_in(record, others, &by)).collect();
            let outcomes = all(taking_in).await;
            for (record, outcome) in rows.into_iter().zip(outcomes) {
                at.done += 1;
                match outcome? {
                    Outcome::Later => later.push(record),
                    outcome => {
                        if is_revoked_there(&record, &outcome) {
                            revoked_there.insert(record.id());
                        }
                        count(&mut report, record.id(), outcome, &mut revoked_here);
                    }
                }
            }
            progress(at);
        }
        // What the source revoked comes first: new rows ask whether their line was revoked there.
        later.sort_by_key(|record| record.revocation().is_none());
        for record in later {
            let others = OtherRows {
                revoked_beside: &none,
                revoked_as_there: &revoked_there,
                good: &good_there,
                created_there: &created_there,
                whole_file_was_read: true,
            };
            let outcome = self.take_in(&record, others, &by).await?;
            if is_revoked_there(&record, &outcome) {
                revoked_there.insert(record.id());
            }
            count(&mut report, record.id(), outcome, &mut revoked_here);
        }
        // New tokens of such a line came in revoked. This ends one that was good for a moment, if a
        // run stopped just before its second look at the line.
        for (owner, family, reason) in revoked_here {
            let line = Filter::of_family(&owner, family);
            self.revoke_by(by.clone(), &line, reason).await?;
        }
        Ok(report)
    }

    /// Refuses a file whose tokens this host would not accept, or that could undo a revocation.
    fn refuse_source(&self, source: &Source) -> Result<(), TransferError> {
        let policy = &self.engine.policy;
        let accepted = policy.accepted_prefixes();
        if let Some(prefix) = source.prefixes.iter().find(|prefix| !accepted.contains(prefix)) {
            return Err(TransferError::PrefixNotAccepted { prefix: *prefix });
        }
        let kept_for = policy.retention().max(SHORTEST_RETENTION);
        // Even if nothing is purged now, as during an import: rows may have been purged before.
        if source.written_at.saturating_add(kept_for) < self.now() {
            return Err(TransferError::TooOld { written_at: source.written_at });
        }
        Ok(())
    }

    /// Takes in one row, unless its id is taken.
    async fn take_in(
        &self,
        record: &TokenRecord,
        others: OtherRows<'_>,
        by: &Actor,
    ) -> Result<Outcome, Failed> {
        let now = self.now();
        let ended = self.ended_before_new(record, others).await?;
        let record = ended.as_ref().unwrap_or(record);
        for _ in 0..MAX_TRIES {
            let mut row = None;
            if record.revocation().is_none() && is_of_a_line(record) {
                row = self.store.find(record.id()).await?;
            }
            if row.is_none() {
                if let Some(outcome) = self.insert_new(record, others, by, now).await? {
                    return Ok(outcome);
                }
                row = self.store.find(record.id()).await?;
            }
            // Gone if it was purged or forgotten in between.
            let Some(row) = row else { continue };
            let carried = self.carry_over(record, row, others, by, now).await?;
            if let Some(outcome) = carried {
                return Ok(outcome);
            }
        }
        Ok(Outcome::Kept(KeptAsIs::Changing))
    }

    /// Inserts a row; `None` if its id is taken, or if its line changed meanwhile.
    ///
    /// A new token of a line that was revoked here comes in revoked. It never is good in between:
    /// a run that stops would leave it so. A revocation since the look at the line changes a living
    /// token of it, and the store then refuses the insert.
    async fn insert_new(
        &self,
        record: &TokenRecord,
        others: OtherRows<'_>,
        by: &Actor,
        now: Timestamp,
    ) -> Result<Option<Outcome>, Failed> {
        let line = self.line_here(record, others.revoked_as_there, by, now).await?;
        if line.revocation.is_some() && !others.whole_file_was_read {
            return Ok(Some(Outcome::Later));
        }
        let has_living = line.living.is_some();
        let revoked = line
            .revocation
            .map(|revocation| record.clone().changed(|parts| parts.revocation = Some(revocation)));
        let new = revoked.as_ref().unwrap_or(record);
        if let Some(revocation) = record.revocation().filter(|_| was_current(record)) {
            self.end_line_as_there(record, revocation, by, now).await?;
        }
        let row = self.row_for_here(new, now);
        let is_revoked = new.revocation().is_some();
        let inserted = if is_revoked {
            self.put(&insert_request(row.into(), None, self.live_at(now))).await?
        } else {
            self.insert_moved(row, line.living, by, now).await?
        };
        match inserted {
            Inserted::Done if is_revoked => Ok(Some(Outcome::NewRevoked)),
            Inserted::Done => {
                // The rest of the line may have come in since, and been revoked. What this run
                // itself revokes beside this row does not count.
                if !has_living {
                    let revoked_there = match others.whole_file_was_read {
                        true => others.revoked_as_there,
                        false => others.revoked_beside,
                    };
                    let line = self.line_here(record, revoked_there, by, now).await?;
                    if let Some(Revocation { reason, .. }) = line.revocation {
                        self.revoke_by(by.clone(), &Filter::of_id(record.id()), reason).await?;
                        return Ok(Some(Outcome::NewRevoked));
                    }
                }
                Ok(Some(Outcome::New))
            }
            Inserted::IdTaken | Inserted::Stale => Ok(None),
            refusal => Err(unasked(refusal).into()),
        }
    }

    async fn insert_moved(
        &self,
        row: ReadableRow,
        living: Option<Row>,
        by: &Actor,
        now: Timestamp,
    ) -> Result<Inserted, Failed> {
        let view = self.view(&row, now);
        let insert = insert_request(row.into(), living, self.live_at(now));
        let mut change_event = ChangeEvent::new(|_, is_certain| {
            self.emit(&Event::MovedIn { token: &view, by, is_certain });
        });
        let is_done = |answer: &Inserted| u64::from(*answer == Inserted::Done);
        change_event.await_store(self.put(&insert), is_done).await
    }
}

fn is_derived(record: &&TokenRecord) -> bool {
    record.derived_from().is_some()
}
