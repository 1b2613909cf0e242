//! Moves tokens in: takes them from a transfer file.

mod all;
mod line;
mod row;

use std::collections::HashSet;
use std::io::{BufRead, Seek};
use std::time::Duration;

use self::all::all;
use self::line::{is_of_a_line, was_replaced};
use self::row::{at_most, insert_request};
use super::{MAX_TRIES, TokenAuthority};
use crate::error::Failed;
use crate::event::{ChangeEvent, ChangeKind, Event};
use crate::record::{Actor, Revocation, TokenRecord};
use crate::row::ReadableRow;
use crate::seal::SealChange;
use crate::store::{Filter, Inserted, Purge, Replace, Replaced, Row, StoreError, TokenStore};
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

/// What the file says of other rows.
#[derive(Clone, Copy)]
struct Known<'k> {
    /// What the source revoked of the rows that are written at the same time. At last, what is
    /// revoked here as it is there.
    revoked: &'k HashSet<TokenId>,
    /// Whether the whole file was read.
    is_last: bool,
}

/// What became of one row of the file.
enum Outcome {
    New,
    NewRevoked,
    AlreadyThere,
    /// It is there already, revoked as the source revoked it.
    RevokedThere,
    RevokedHere(RevokedLine),
    RevokedNow,
    SupersededNow,
    Kept(Kept),
    /// Other rows of the file decide.
    Later,
}

impl<S: TokenStore> TokenAuthority<S> {
    /// Takes in the tokens of a transfer file, sealed anew for this realm under this ring.
    ///
    /// A token that is here already is never overwritten or revived: see
    /// [`transfer`](crate::transfer) for what a later file may still change. So the call may be
    /// stopped and made again. `progress` is told after some rows each.
    ///
    /// Rows are written one by one, some at the same time, and one line of the file for each is in
    /// memory. Where a line of rotations was revoked or rotated here, too, its new rows wait in
    /// memory for the end of the file. The file is read between calls to the store, so don't hand
    /// in a reader that waits long.
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
        let mut revoked_there = HashSet::new();
        let mut later = Vec::new();
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
            let revoked = rows.iter().filter(|record| record.revocation().is_some());
            let known = Known { revoked: &revoked.map(TokenRecord::id).collect(), is_last: false };
            let taking_in = rows.iter().map(|record| self.take_in(record, known, &by)).collect();
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
        for record in later {
            let known = Known { revoked: &revoked_there, is_last: true };
            let outcome = self.take_in(&record, known, &by).await?;
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
        known: Known<'_>,
        by: &Actor,
    ) -> Result<Outcome, Failed> {
        let now = self.now();
        for _ in 0..MAX_TRIES {
            let mut there = None;
            if record.revocation().is_none() && is_of_a_line(record) {
                there = self.store.find(record.id()).await?;
            }
            if there.is_none() {
                if let Some(outcome) = self.insert_new(record, known, by, now).await? {
                    return Ok(outcome);
                }
                there = self.store.find(record.id()).await?;
            }
            // Gone if it was purged or forgotten in between.
            let Some(there) = there else { continue };
            let carried = self.carry_over(record, there, known.is_last, by, now).await?;
            if let Some(outcome) = carried {
                return Ok(outcome);
            }
        }
        Ok(Outcome::Kept(Kept::Changing))
    }

    /// Inserts a row; `None` if its id is taken.
    ///
    /// A new token of a line that was revoked here comes in revoked. It never is good in between:
    /// a run that stops would leave it so.
    async fn insert_new(
        &self,
        record: &TokenRecord,
        known: Known<'_>,
        by: &Actor,
        now: Timestamp,
    ) -> Result<Option<Outcome>, Failed> {
        let none = HashSet::new();
        let revoked_there = if known.is_last { known.revoked } else { &none };
        let fallen = self.revocation_here(record, revoked_there, by, now).await?;
        if fallen.is_some() && !known.is_last {
            return Ok(Some(Outcome::Later));
        }
        let revoked = fallen
            .map(|revocation| record.clone().changed(|parts| parts.revocation = Some(revocation)));
        let new = revoked.as_ref().unwrap_or(record);
        let row = self.row_for_here(new, now);
        let is_revoked = new.revocation().is_some();
        let inserted = if is_revoked {
            self.put(&insert_request(row.into(), self.live_at(now))).await?
        } else {
            self.insert_moved(row, by, now).await?
        };
        match inserted {
            Inserted::Done if is_revoked => Ok(Some(Outcome::NewRevoked)),
            Inserted::Done => {
                // Again, since the line may have been revoked since the look above. What this run
                // itself revokes beside this row does not count.
                let fallen = self.revocation_here(record, known.revoked, by, now).await?;
                if let Some(fallen) = fallen {
                    self.revoke_by(by.clone(), &Filter::of_id(record.id()), fallen.reason).await?;
                }
                Ok(Some(Outcome::New))
            }
            Inserted::IdTaken => Ok(None),
            refusal => {
                let broken = format!(
                    "the store answered {refusal:?}, which this insert did not ask for; \
                     run the conformance suite on it"
                );
                Err(StoreError::unknown(broken).into())
            }
        }
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

    /// Carries over to a row that is here what can't be undone: a revocation, a rotation, a use.
    ///
    /// `None` if the row changed meanwhile.
    async fn carry_over(
        &self,
        record: &TokenRecord,
        there: Row,
        is_last: bool,
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
            let is_of_line = here.successor().is_none() && !was_replaced(here);
            let line = (here.owner().clone(), here.family(), revocation.reason.clone());
            let outcome = match record.revocation() {
                None if is_of_line => Outcome::RevokedHere(line),
                Some(known) if at_most(known.clone(), now) == *revocation => Outcome::RevokedThere,
                _ => Outcome::AlreadyThere,
            };
            return Ok(Some(outcome));
        }
        if let Some(revocation) = record.revocation() {
            if was_replaced(record) && here.successor().is_none() {
                return self.replace_as_there(record, by, now).await;
            }
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
                if !is_last {
                    return Ok(Some(Outcome::Later));
                }
                if self.was_replaced_here(other).await? {
                    return self.supersede_as_there(record, &there, one, by, now).await;
                }
                if !self.was_replaced_here(one).await? {
                    return Ok(Some(Outcome::Kept(Kept::RotatedOnBoth)));
                }
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
        // If the current token of a line was revoked, the whole line was. It may have been rotated
        // here since. The seal of the row here is not checked: the worst that a forged family does
        // is to revoke more of this owner's tokens.
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

    /// Replaces an unused token by its revoked row, as a second rotation at the source did.
    ///
    /// The store's `revoke` would reach what was issued under the line, and the source spared it.
    /// If this stops in between, the token is unknown, and the next run brings its row.
    async fn replace_as_there(
        &self,
        record: &TokenRecord,
        by: &Actor,
        now: Timestamp,
    ) -> Result<Option<Outcome>, Failed> {
        let filter = Filter::of_id(record.id());
        let here = Filter {
            revoked: Some(false),
            superseded: Some(false),
            id: Some(record.id()),
            ..Filter::of_owner(record.owner())
        };
        let mut change_event = ChangeEvent::new(|count, is_certain| {
            let (filter, reason) = (&filter, &Reason::ROTATED);
            self.emit(&Event::Revoked { filter, count, is_certain, reason, by });
        });
        let deleted = async { Ok(self.store.purge(&Purge::Matching(here), 1).await?) };
        if change_event.await_store(deleted, |count| *count).await? == 0 {
            return Ok(None);
        }
        let row = self.row_for_here(record, now);
        self.put(&insert_request(row.into(), self.live_at(now))).await?;
        Ok(Some(Outcome::RevokedNow))
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
        let is_new = here.successor() != Some(successor);
        let change = if is_new { ChangeKind::Superseded } else { ChangeKind::OverlapEnded };
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

/// Returns whether the revocation of a token of a line, as it is here, is the source's.
///
/// Only for rotated lines, so that few ids are kept in memory.
fn is_revoked_there(record: &TokenRecord, outcome: &Outcome) -> bool {
    let is_theirs =
        matches!(outcome, Outcome::NewRevoked | Outcome::RevokedNow | Outcome::RevokedThere);
    is_theirs && (record.family() != record.id() || record.successor().is_some())
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
        Outcome::AlreadyThere | Outcome::RevokedThere | Outcome::Later => report.already_there += 1,
        Outcome::RevokedHere(line) => {
            report.already_there += 1;
            revoked_here.insert(line);
        }
        Outcome::RevokedNow => report.revoked_now.push(id),
        Outcome::SupersededNow => report.superseded_now.push(id),
        Outcome::Kept(why) => report.kept.push((id, why)),
    }
}
