//! Carries over that the source rotated a token, or revoked one that it had rotated. What was
//! issued under its line may end with it.

use std::collections::HashSet;

use super::outcome::{OtherRows, Outcome};
use crate::authority::{TokenAuthority, WALK_PAGE};
use crate::error::Failed;
use crate::event::{ChangeEvent, ChangeKind, Event};
use crate::issue;
use crate::record::{Actor, Expires, Revocation, TokenRecord};
use crate::row::ReadableRow;
use crate::seal::SealChange;
use crate::store::{Filter, Page, Replace, Replaced, Row, TokenStore};
use crate::text::Reason;
use crate::timestamp::Timestamp;
use crate::token::TokenId;
use crate::transfer::KeptAsIs;

impl<S: TokenStore> TokenAuthority<S> {
    /// Revokes a token that the source has revoked alone: a superseded one, or one that a second
    /// rotation replaced there and that was rotated here.
    ///
    /// What was issued under its line stays if it is good there. What only this host knows of ends:
    /// what was issued under the line here, and what the token was rotated to here.
    pub(super) async fn revoke_alone_as_there(
        &self,
        record: &TokenRecord,
        row: &ReadableRow,
        revocation: &Revocation,
        others: OtherRows<'_>,
        by: &Actor,
        now: Timestamp,
    ) -> Result<Option<Outcome>, Failed> {
        // Rows beside this one may be of tokens that the source issued under the line. If one came
        // in between the steps below, the revocation would reach it.
        if !others.whole_file_was_read {
            return Ok(Some(Outcome::Later));
        }
        let here = row.record();
        // The revocation comes last, so that a run which stopped before does all of this again.
        if !self.end_rotated_here_alone(record, here, by, now).await?
            || !self.end_as_there(record, row, by, now).await?
        {
            return Ok(None);
        }
        self.end_issued_here_alone(here, revocation, others, by, now).await?;
        if self.issued_under(here).await?.is_empty() {
            self.revoke_as_there(&Filter::of_id(here.id()), revocation, by, now).await?;
            return Ok(Some(Outcome::RevokedNow));
        }
        self.replace_as_there(record, None, by, now).await
    }

    /// Ends a token, so that nobody can rotate it or issue another under it from now on.
    ///
    /// `false` if another call changed it meanwhile, for example rotated it.
    async fn end_as_there(
        &self,
        record: &TokenRecord,
        row: &ReadableRow,
        by: &Actor,
        now: Timestamp,
    ) -> Result<bool, Failed> {
        let (here, end) = (row.record(), issue::ended_everywhere(now));
        // Nobody can change a row that is tampered with or unclear, or of the highest revision.
        let can_change = self.is_intact(row).unwrap_or(false) && here.is_current_for(here);
        if !can_change || here.expires().has_come(end) {
            return Ok(true);
        }
        let change = SealChange {
            expires: Some(Expires::At(end)),
            successor: record.successor(),
            ..SealChange::default()
        };
        Ok(self.write_superseded(row, change, by, now).await? == Replaced::Done)
    }

    /// Supersedes a token of ours that the source has rotated. It ends when it does there, or
    /// sooner, and may do no more than there.
    ///
    /// What was issued under its line stays if it is good there. What only this host knows of ends,
    /// unless the rotation would have spared it there.
    pub(super) async fn supersede_as_there(
        &self,
        record: &TokenRecord,
        row: &ReadableRow,
        successor: TokenId,
        others: OtherRows<'_>,
        by: &Actor,
        now: Timestamp,
    ) -> Result<Option<Outcome>, Failed> {
        if !self.is_intact(row)? {
            return Ok(Some(Outcome::Kept(KeptAsIs::Tampered)));
        }
        let here = row.record();
        let revocation = Revocation { at: now, reason: Reason::ROTATED, by: by.clone() };
        let mut ends_issued = false;
        if here.successor() != Some(successor) {
            let alone = self.issued_here_alone(here, others).await?;
            // The rest of the file may say that they are good there, and brings the successor.
            if !alone.is_empty() && !others.whole_file_was_read {
                return Ok(Some(Outcome::Later));
            }
            ends_issued = !self.spares_issued(record, here, successor, others).await?;
            if ends_issued {
                self.end_issued_here_alone(here, &revocation, others, by, now).await?;
            }
        }
        let is_sooner = here.expires().is_later_than(record.expires());
        // Narrowed there before it was rotated. Nobody can narrow it here from now on.
        let is_less = self.engine.policy.includes(here.access(), record.access());
        let change = SealChange {
            access: is_less.then(|| record.access().clone()),
            expires: is_sooner.then_some(record.expires()),
            successor: Some(successor),
            ..SealChange::default()
        };
        let replaced = self.write_superseded(row, change, by, now).await?;
        if ends_issued && replaced == Replaced::Done {
            // Another call may have issued one until then. A superseded token issues none.
            self.end_issued_here_alone(here, &revocation, others, by, now).await?;
        }
        Ok((replaced == Replaced::Done).then_some(Outcome::SupersededNow))
    }

    /// Changes a superseded token, or supersedes it. What was issued under its line stays.
    async fn write_superseded(
        &self,
        row: &ReadableRow,
        change: SealChange,
        by: &Actor,
        now: Timestamp,
    ) -> Result<Replaced, Failed> {
        let form = self.engine.sealer.reseal(self.intact(row)?, change);
        let is_new = form.record().successor() != row.record().successor();
        let change = if is_new { ChangeKind::Superseded } else { ChangeKind::OverlapEnded };
        let view = self.view(&form, now);
        let replace = Replace {
            row: form.into(),
            live: self.live_at(now),
            unique_label: false,
            // It would reach what is good at the source, too.
            revokes_derived: None,
        };
        let mut change_event = ChangeEvent::new(|_, is_certain| {
            let (token, revoked_derived) = (&view, false);
            self.emit(&Event::Changed { token, change, revoked_derived, by, is_certain });
        });
        let is_done = |answer: &Replaced| u64::from(*answer == Replaced::Done);
        change_event.await_store(self.replace(&replace), is_done).await
    }

    /// Returns whether the source's rotation spared what was issued under the line: it had an
    /// overlap, and took nothing away. Nor was the new token revoked since.
    ///
    /// If the file can't show that, it counts as not spared.
    async fn spares_issued(
        &self,
        record: &TokenRecord,
        here: &TokenRecord,
        successor: TokenId,
        others: OtherRows<'_>,
    ) -> Result<bool, Failed> {
        // It is in the file, and here by now, unless the source could not write it.
        let Some(created_there) = others.created_there.get(&successor) else { return Ok(false) };
        let row = self.store.find(successor).await?;
        let Some(new) = row.as_ref().and_then(Row::record) else { return Ok(false) };
        // Without an overlap, the old token ended before the new one was made. Both are instants of
        // the source's clock: by the row here, the new one may have been made earlier. If the end
        // was moved for this host, it only became sooner.
        let had_overlap = !record.expires().has_come(*created_there);
        // Also if it was taken away before the rotation, or after it. A second rotation gave the
        // new token a sooner end, unless it had an overlap until that token's own end.
        let policy = &self.engine.policy;
        let took_away = issue::is_less(new.access(), new.expires(), &[here], policy);
        // Nothing proves what a revoked one may do. Its revocation would have reached what was
        // issued.
        let is_good = new.revocation().is_none();
        Ok(had_overlap && is_good && !took_away)
    }

    /// Revokes what a token was rotated to here, if the source rotated it to another.
    ///
    /// `false` if another call changed it meanwhile.
    async fn end_rotated_here_alone(
        &self,
        record: &TokenRecord,
        here: &TokenRecord,
        by: &Actor,
        now: Timestamp,
    ) -> Result<bool, Failed> {
        // The newest first: if this stops midway, the older ones still name it.
        for rotated in self.rotated_here_alone(record, here).await?.into_iter().rev() {
            let superseded = Some(rotated.successor().is_some());
            // Superseded by the one of the source. Otherwise it would count as the line's current
            // token, and its revocation as the line's, if the line was issued under a token.
            let revocation = Revocation { at: now, reason: Reason::ROTATED, by: by.clone() };
            let revoked = rotated.changed(|parts| {
                parts.successor = parts.successor.or(record.successor());
                parts.revocation = Some(revocation);
            });
            if self.replace_as_there(&revoked, superseded, by, now).await?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Lists the unrevoked tokens that a token was rotated to here, if the source rotated it to
    /// another. The oldest comes first.
    pub(super) async fn rotated_here_alone(
        &self,
        record: &TokenRecord,
        here: &TokenRecord,
    ) -> Result<Vec<TokenRecord>, Failed> {
        let (mut living, mut seen) = (Vec::new(), HashSet::new());
        let mut next = here.successor();
        while let Some(id) = next.filter(|id| Some(*id) != record.successor() && seen.insert(*id)) {
            let row = self.store.find(id).await?;
            let Some(rotated) = row.as_ref().and_then(Row::record) else { break };
            // Nothing proves the row that names it.
            if rotated.owner() != here.owner() || rotated.family() != here.family() {
                break;
            }
            next = rotated.successor();
            living.extend(rotated.revocation().is_none().then(|| rotated.clone()));
        }
        Ok(living)
    }

    /// Revokes what was issued under a token's line, except what the file says is good there.
    ///
    /// One by one: by their line, the revocation would reach what is good, too.
    async fn end_issued_here_alone(
        &self,
        parent: &TokenRecord,
        revocation: &Revocation,
        others: OtherRows<'_>,
        by: &Actor,
        now: Timestamp,
    ) -> Result<(), Failed> {
        for id in self.issued_here_alone(parent, others).await? {
            self.revoke_as_there(&Filter::of_id(id), revocation, by, now).await?;
        }
        Ok(())
    }

    /// Lists what was issued under a token's line, except what the file says is good there.
    async fn issued_here_alone(
        &self,
        parent: &TokenRecord,
        others: OtherRows<'_>,
    ) -> Result<Vec<TokenId>, Failed> {
        let mut issued = self.issued_under(parent).await?;
        issued.retain(|id| !others.good.contains(id));
        Ok(issued)
    }

    /// Lists the unrevoked tokens here that were issued under a token's line.
    async fn issued_under(&self, parent: &TokenRecord) -> Result<Vec<TokenId>, Failed> {
        let unrevoked = Filter { revoked: Some(false), ..Filter::of_owner(parent.owner()) };
        let (mut ids, mut page) = (Vec::new(), Some(Page::first(WALK_PAGE)));
        while let Some(rows) = self.next_page(&unrevoked, &mut page).await? {
            let derived = rows.iter().filter(|row| row.derived_from() == Some(parent.family()));
            ids.extend(derived.map(Row::id));
        }
        Ok(ids)
    }
}
