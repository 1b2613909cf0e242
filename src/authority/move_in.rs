//! Moves tokens in: takes them from a transfer file.

use std::collections::HashSet;
use std::io::{BufRead, Seek};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use super::{MAX_TRIES, TokenAuthority};
use crate::authority::issue::New;
use crate::error::Failed;
use crate::event::{ChangeEvent, ChangeKind, Event};
use crate::record::{Actor, LastUse, RecordParts, Revocation, TokenRecord};
use crate::row::ReadableRow;
use crate::seal::SealChange;
use crate::store::{
    Filter, Insert, Inserted, LiveAt, Replace, Replaced, Row, StoreError, TokenStore,
};
use crate::text::{Operator, Owner, Reason};
use crate::timestamp::Timestamp;
use crate::token::TokenId;
use crate::transfer::{
    Kept, Line, MoveInReport, MoveProgress, Source, TransferError, TransferFile,
};

/// How many rows are written at the same time. A store that commits in groups needs several.
const AT_ONCE: usize = 32;

/// How long a revoked row is kept at least, for the check of a file's age.
const SHORTEST_RETENTION: Duration = Duration::from_secs(24 * 60 * 60);

/// A line of rotations that was revoked here and not where the file comes from.
type RevokedLine = (Owner, TokenId, Reason);

/// What became of one row of the file.
enum Outcome {
    New,
    NewRevoked,
    AlreadyThere,
    RevokedHere(RevokedLine),
    RevokedNow,
    SupersededNow,
    Kept(Kept),
}

impl<S: TokenStore> TokenAuthority<S> {
    /// Takes in the tokens of a transfer file, sealed anew for this realm under this ring.
    ///
    /// A token that is here already is never overwritten or revived: see
    /// [`transfer`](crate::transfer) for what a later file may still change. So the call may be
    /// stopped and made again. `progress` is told after some rows each.
    ///
    /// Rows are written one by one, some at the same time, and one line of the file for each is in
    /// memory. The file is read between calls to the store, so don't hand in a reader that waits
    /// long.
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
        let mut lines = file.lines()?;
        loop {
            let mut rows = Vec::new();
            while rows.len() < AT_ONCE
                && let Some(line) = lines.next_line()?
            {
                match line {
                    Line::Row(record) => rows.push(*record),
                    Line::Left(id, why) => report.left.push((id, why)),
                }
            }
            if rows.is_empty() {
                break;
            }
            let taking_in = rows.iter().map(|record| self.take_in(record, &by)).collect();
            for (record, outcome) in rows.iter().zip(all(taking_in).await) {
                at.done += 1;
                count(&mut report, record.id(), outcome?, &mut revoked_here);
            }
            progress(at);
        }
        // Last, since the file may bring new tokens of such a line: a successor, or one that was
        // issued under it. Whoever revoked the line here meant these, too.
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
        let is_too_old = source.written_at.saturating_add(kept_for) < self.now();
        if is_too_old && !policy.has_open_import() {
            return Err(TransferError::TooOld { written_at: source.written_at });
        }
        Ok(())
    }

    /// Takes in one row, unless its id is taken.
    async fn take_in(&self, record: &TokenRecord, by: &Actor) -> Result<Outcome, Failed> {
        let now = self.now();
        for _ in 0..MAX_TRIES {
            let row = self.row_for_here(record, now);
            let is_new = match record.revocation() {
                None => self.insert_moved(row, by, now).await?,
                Some(_) => self.put(&insert_request(row.into(), self.live_at(now))).await?,
            };
            match is_new {
                Inserted::Done if record.revocation().is_some() => return Ok(Outcome::NewRevoked),
                Inserted::Done => return Ok(Outcome::New),
                Inserted::IdTaken => {}
                refusal => {
                    let broken = format!(
                        "the store answered {refusal:?}, which this insert did not ask for; \
                         run the conformance suite on it"
                    );
                    return Err(StoreError::unknown(broken).into());
                }
            }
            // Gone if it was purged or forgotten in between.
            let Some(there) = self.store.find(record.id()).await? else { continue };
            if let Some(outcome) = self.carry_over(record, there, by, now).await? {
                return Ok(outcome);
            }
        }
        Ok(Outcome::Kept(Kept::Changing))
    }

    async fn insert_moved(
        &self,
        row: ReadableRow,
        by: &Actor,
        now: Timestamp,
    ) -> Result<Inserted, Failed> {
        let view = self.view(&row, now);
        let insert = insert_request(row.into(), self.live_at(now));
        let mut change_event = ChangeEvent::new(|_, is_certain| {
            self.emit(&Event::MovedIn { token: &view, by, is_certain });
        });
        let is_done = |answer: &Inserted| u64::from(*answer == Inserted::Done);
        change_event.await_store(self.put(&insert), is_done).await
    }

    /// Returns the row that a record of the file becomes here.
    fn row_for_here(&self, record: &TokenRecord, now: Timestamp) -> ReadableRow {
        let parts = record.clone().into_parts();
        let revocation = parts.revocation.map(|revocation| at_most(revocation, now));
        let parts = RecordParts {
            // An instant in the future comes from a clock that is ahead of ours. Here it would make
            // the token fail, or keep a dead row for ever.
            created_at: parts.created_at.min(now),
            last_use: parts.last_use.map(|last_use| self.use_for_here(last_use, now)),
            key_id: self.engine.sealer.ring().active_id(),
            revision: 0,
            revocation: None,
            seal: None,
            ..parts
        };
        match revocation {
            None => self.engine.sealer.seal_new(parts),
            // Without a seal, as every revoked row.
            Some(_) => {
                ReadableRow::unmarked(TokenRecord::from_parts(RecordParts { revocation, ..parts }))
            }
        }
    }

    /// Returns a use as this host may keep it.
    fn use_for_here(&self, last_use: LastUse, now: Timestamp) -> LastUse {
        let records = self.engine.policy.records_origin();
        let LastUse { at, address, client } = last_use;
        let (address, client) = if records { (address, client) } else { (None, None) };
        LastUse { at: at.min(now), address, client }
    }

    /// Carries over to a row that is here what can't be undone: a revocation, a rotation, a use.
    ///
    /// `None` if the row changed meanwhile.
    async fn carry_over(
        &self,
        record: &TokenRecord,
        there: Row,
        by: &Actor,
        now: Timestamp,
    ) -> Result<Option<Outcome>, Failed> {
        let is_revoked = there.is_revoked();
        let Some(there) = there.into_readable() else {
            let outcome =
                if is_revoked { Outcome::AlreadyThere } else { Outcome::Kept(Kept::Damaged) };
            return Ok(Some(outcome));
        };
        let here = there.record();
        // By the digest, too: an id is public, and nobody may revoke a token by it alone.
        if here.digest() != record.digest() || here.owner() != record.owner() {
            return Ok(Some(Outcome::Kept(Kept::OtherToken)));
        }
        if let Some(revocation) = here.revocation() {
            let is_of_line = record.revocation().is_none() && here.successor().is_none();
            let line = (here.owner().clone(), here.family(), revocation.reason.clone());
            let outcome =
                if is_of_line { Outcome::RevokedHere(line) } else { Outcome::AlreadyThere };
            return Ok(Some(outcome));
        }
        if let Some(revocation) = record.revocation() {
            self.revoke_as_there(record, here, revocation, by, now).await?;
            return Ok(Some(Outcome::RevokedNow));
        }
        if let Some(last_use) = record.last_use()
            && here.last_use().is_none_or(|known| known.at < last_use.at)
        {
            let last_use = self.use_for_here(last_use.clone(), now);
            self.store.touch(&[(record.id(), last_use)], now).await?;
        }
        match (record.successor(), here.successor()) {
            (Some(one), Some(other)) if one != other => {
                return Ok(Some(Outcome::Kept(Kept::RotatedOnBoth)));
            }
            (Some(successor), known) => {
                let is_sooner = here.expires().is_later_than(record.expires());
                if known.is_none() || is_sooner {
                    return self.supersede_as_there(record, &there, successor, by, now).await;
                }
            }
            (None, _) => {}
        }
        let may_do_more = here.successor().is_none()
            && (!self.engine.policy.includes(record.access(), here.access())
                || here.expires().is_later_than(record.expires()));
        let outcome =
            if may_do_more { Outcome::Kept(Kept::MayDoMore) } else { Outcome::AlreadyThere };
        Ok(Some(outcome))
    }

    /// Revokes a token of ours that the source has revoked, with the source's instant and reason.
    async fn revoke_as_there(
        &self,
        record: &TokenRecord,
        here: &TokenRecord,
        revocation: &Revocation,
        by: &Actor,
        now: Timestamp,
    ) -> Result<(), Failed> {
        // Where the current token of a line was revoked, the whole line was. It may have been
        // rotated here since. Owner and family are those of the row here, which is proven.
        let filter = match record.successor() {
            None => Filter::of_family(here.owner(), here.family()),
            Some(_) => Filter::of_id(here.id()),
        };
        let revocation = at_most(revocation.clone(), now);
        let mut change_event = ChangeEvent::new(|count, is_certain| {
            let (filter, reason) = (&filter, &revocation.reason);
            self.emit(&Event::Revoked { filter, count, is_certain, reason, by });
        });
        let revoked = async { Ok(self.store.revoke(&filter, &revocation).await?) };
        change_event.await_store(revoked, |count| *count).await?;
        Ok(())
    }

    /// Supersedes a token of ours that the source has rotated. It ends when it does there, or
    /// sooner.
    async fn supersede_as_there(
        &self,
        record: &TokenRecord,
        there: &ReadableRow,
        successor: TokenId,
        by: &Actor,
        now: Timestamp,
    ) -> Result<Option<Outcome>, Failed> {
        if !self.is_intact(there)? {
            return Ok(Some(Outcome::Kept(Kept::Tampered)));
        }
        let (here, intact) = (there.record(), self.intact(there)?);
        let is_sooner = here.expires().is_later_than(record.expires());
        let change = SealChange {
            expires: is_sooner.then_some(record.expires()),
            successor: Some(successor),
            ..SealChange::default()
        };
        let form = self.engine.sealer.reseal(intact, change);
        let view = self.view(&form, now);
        let was_current = here.successor().is_none();
        let change = if was_current { ChangeKind::Superseded } else { ChangeKind::OverlapEnded };
        let replace = Replace {
            row: form.into(),
            live: self.live_at(now),
            unique_label: false,
            revokes_derived: None,
        };
        let mut change_event = ChangeEvent::new(|_, is_certain| {
            let (token, revoked_derived) = (&view, false);
            self.emit(&Event::Changed { token, change, revoked_derived, by, is_certain });
        });
        let is_done = |answer: &Replaced| u64::from(*answer == Replaced::Done);
        let replaced = change_event.await_store(self.replace(&replace), is_done).await?;
        Ok((replaced == Replaced::Done).then_some(Outcome::SupersededNow))
    }
}

/// Adds an outcome to the report.
fn count(
    report: &mut MoveInReport,
    id: TokenId,
    outcome: Outcome,
    revoked_here: &mut HashSet<RevokedLine>,
) {
    match outcome {
        Outcome::New => report.tokens += 1,
        Outcome::NewRevoked => report.revoked += 1,
        Outcome::AlreadyThere => report.already_there += 1,
        Outcome::RevokedHere(line) => {
            report.already_there += 1;
            revoked_here.insert(line);
        }
        Outcome::RevokedNow => report.revoked_now.push(id),
        Outcome::SupersededNow => report.superseded_now.push(id),
        Outcome::Kept(why) => report.kept.push((id, why)),
    }
}

/// Returns the request for a moved row. Limits and unique labels are for new tokens.
fn insert_request(row: Row, live: LiveAt) -> New {
    New::Insert(Insert { row, live, limit: None, unique_label: false, under: None })
}

/// Returns a revocation that is not in the future, so that its row is purged some day.
fn at_most(revocation: Revocation, now: Timestamp) -> Revocation {
    Revocation { at: revocation.at.min(now), ..revocation }
}

/// Awaits all futures at once, and returns their outputs in order.
async fn all<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut running: Vec<_> =
        futures.into_iter().map(|future| Running::Pending(Box::pin(future))).collect();
    std::future::poll_fn(|context| {
        let mut is_done = true;
        for one in &mut running {
            if let Running::Pending(future) = one {
                match future.as_mut().poll(context) {
                    Poll::Ready(output) => *one = Running::Done(output),
                    Poll::Pending => is_done = false,
                }
            }
        }
        if is_done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    let outputs = running.into_iter().filter_map(|one| match one {
        Running::Done(output) => Some(output),
        Running::Pending(_) => None,
    });
    outputs.collect()
}

enum Running<F: Future> {
    Pending(Pin<Box<F>>),
    Done(F::Output),
}
