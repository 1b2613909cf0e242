//! What a later file changes of a token that is here: a revocation or a use. For rotations, see
//! `supersede.rs`.

use super::line::was_replaced;
use super::row::{at_most, insert_request};
use super::{OtherRows, Outcome};
use crate::authority::TokenAuthority;
use crate::error::Failed;
use crate::event::{ChangeEvent, Event};
use crate::record::{Actor, Revocation, TokenRecord};
use crate::store::{Filter, Inserted, Page, Purge, Row, TokenStore};
use crate::timestamp::Timestamp;
use crate::transfer::KeptAsIs;

impl<S: TokenStore> TokenAuthority<S> {
    /// Carries over to a row that is here what can't be undone: a revocation, a rotation, a use.
    ///
    /// `None` if the row changed meanwhile.
    pub(super) async fn carry_over(
        &self,
        record: &TokenRecord,
        there: Row,
        others: OtherRows<'_>,
        by: &Actor,
        now: Timestamp,
    ) -> Result<Option<Outcome>, Failed> {
        let is_revoked = there.is_revoked();
        let Some(there) = there.into_readable() else {
            let outcome =
                if is_revoked { Outcome::AlreadyThere } else { Outcome::Kept(KeptAsIs::Damaged) };
            return Ok(Some(outcome));
        };
        let here = there.record();
        // By the digest, too: an id is public, and nobody may revoke a token by it alone.
        if here.digest() != record.digest() || here.owner() != record.owner() {
            return Ok(Some(Outcome::Kept(KeptAsIs::OtherToken)));
        }
        if let Some(revocation) = here.revocation() {
            return self.stay_revoked(record, here, revocation, others, by, now).await.map(Some);
        }
        if let Some(revocation) = record.revocation() {
            if record.successor().is_some() || was_replaced(record) {
                if record.successor().or(here.successor()).is_none() {
                    return self.replace_as_there(record, Some(false), by, now).await;
                }
                return self
                    .revoke_alone_as_there(record, &there, revocation, others, by, now)
                    .await;
            }
            let line = Filter::of_family(here.owner(), here.family());
            self.revoke_as_there(&line, revocation, by, now).await?;
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
                if !others.is_last {
                    return Ok(Some(Outcome::Later));
                }
                if self.was_replaced_here(other).await? {
                    return self.supersede_as_there(record, &there, one, others, by, now).await;
                }
                if !self.was_replaced_here(one).await? {
                    return Ok(Some(Outcome::Kept(KeptAsIs::RotatedOnBoth)));
                }
            }
            (Some(one), other) => {
                let is_sooner = here.expires().is_later_than(record.expires());
                if other.is_none() || is_sooner {
                    return self.supersede_as_there(record, &there, one, others, by, now).await;
                }
            }
            (None, _) => {}
        }
        let may_do_more = match (record.successor(), here.successor()) {
            (_, None) => self.may_do_more(here, record),
            // Rotated here alone: its current token may still do what the source took away.
            (None, Some(successor)) => {
                let current = self.store.find(self.current_of(here, successor).await?).await?;
                let current = current.as_ref().and_then(Row::record);
                current.is_some_and(|current| self.may_do_more(current, record))
            }
            // The source ended its overlap. Here it has another one.
            (Some(_), Some(_)) => {
                here.expires().is_later_than(record.expires()) && !here.expires().has_come(now)
            }
        };
        let outcome =
            if may_do_more { Outcome::Kept(KeptAsIs::MayDoMore) } else { Outcome::AlreadyThere };
        Ok(Some(outcome))
    }

    /// Says what becomes of a row that is revoked here, which it stays.
    async fn stay_revoked(
        &self,
        record: &TokenRecord,
        here: &TokenRecord,
        revocation: &Revocation,
        others: OtherRows<'_>,
        by: &Actor,
        now: Timestamp,
    ) -> Result<Outcome, Failed> {
        let is_as_there =
            record.revocation().is_some_and(|there| at_most(there.clone(), now) == *revocation);
        if is_as_there {
            return Ok(Outcome::RevokedThere);
        }
        if record.revocation().is_none() && was_replaced(here) {
            return self.stay_replaced(record, others, by, now).await;
        }
        if record.revocation().is_none() && here.successor().is_none() {
            let line = (here.owner().clone(), here.family(), revocation.reason.clone());
            return Ok(Outcome::RevokedHere(line));
        }
        // It was revoked alone here, and what it was rotated to here may live.
        if let Some(successor) = record.successor()
            && !self.rotated_here_alone(record, here).await?.is_empty()
        {
            if !others.is_last {
                return Ok(Outcome::Later);
            }
            if !self.was_replaced_here(successor).await? {
                return Ok(Outcome::Kept(KeptAsIs::RotatedOnBoth));
            }
        }
        Ok(Outcome::AlreadyThere)
    }

    /// Says what becomes of a token that a second rotation replaced here, and that is good there.
    ///
    /// That is reported if the token was used there, or if nothing of its line lives here any more
    /// although nobody revoked the line.
    async fn stay_replaced(
        &self,
        record: &TokenRecord,
        others: OtherRows<'_>,
        by: &Actor,
        now: Timestamp,
    ) -> Result<Outcome, Failed> {
        if !record.is_unused() {
            return Ok(Outcome::Kept(KeptAsIs::RotatedOnBoth));
        }
        if !others.is_last {
            return Ok(Outcome::Later);
        }
        let line = self.line_here(record, others.revoked, by, now).await?;
        if line.living.is_some() || line.revocation.is_some() {
            return Ok(Outcome::AlreadyThere);
        }
        Ok(Outcome::Kept(KeptAsIs::RotatedOnBoth))
    }

    /// Returns whether a token may do more than the file says, or ends later.
    fn may_do_more(&self, here: &TokenRecord, record: &TokenRecord) -> bool {
        !self.engine.policy.includes(record.access(), here.access())
            || here.expires().is_later_than(record.expires())
    }

    /// Revokes what is here of a line whose current token the source has revoked. That token is new
    /// here, and the line may have been rotated here, too.
    ///
    /// Called before that token comes in: the next run would no longer see that it is new.
    pub(super) async fn end_line_as_there(
        &self,
        record: &TokenRecord,
        revocation: &Revocation,
        by: &Actor,
        now: Timestamp,
    ) -> Result<(), Failed> {
        let line = Filter::of_family(record.owner(), record.family());
        let living = Filter { revoked: Some(false), ..line.clone() };
        if self.store.list(&living, Page::first(1)).await?.is_empty() {
            return Ok(());
        }
        self.revoke_as_there(&line, revocation, by, now).await
    }

    /// Revokes the line of a current token that the source has revoked, with the source's instant
    /// and reason.
    ///
    /// The whole line was revoked there, and it may have been rotated here since. The seal of the
    /// row here is not checked: the worst that a forged family does is to revoke more of this
    /// owner's tokens.
    pub(super) async fn revoke_as_there(
        &self,
        filter: &Filter,
        revocation: &Revocation,
        by: &Actor,
        now: Timestamp,
    ) -> Result<(), Failed> {
        let revocation = at_most(revocation.clone(), now);
        let mut change_event = ChangeEvent::new(|count, is_certain| {
            let reason = &revocation.reason;
            self.emit(&Event::Revoked { filter, count, is_certain, reason, by });
        });
        let revoked = async { Ok(self.store.revoke(filter, &revocation).await?) };
        change_event.await_store(revoked, |count| *count).await?;
        Ok(())
    }

    /// Replaces a token by its row at the source, which is revoked: an unused one that a second
    /// rotation replaced there, or a superseded one.
    ///
    /// `superseded` says whether it is superseded here. If another call changed that, it is left as
    /// it is: a token that was rotated meanwhile is in use.
    ///
    /// The store's `revoke` would reach what was issued under the line, and the source spared it.
    /// If this stops in between, the token is unknown. If the source has its row, the next run
    /// brings it.
    pub(super) async fn replace_as_there(
        &self,
        record: &TokenRecord,
        superseded: Option<bool>,
        by: &Actor,
        now: Timestamp,
    ) -> Result<Option<Outcome>, Failed> {
        let filter = Filter::of_id(record.id());
        let here = Filter {
            revoked: Some(false),
            superseded,
            id: Some(record.id()),
            ..Filter::of_owner(record.owner())
        };
        let row = self.row_for_here(record, now);
        let reason = record.revocation().map(|revocation| &revocation.reason);
        let mut change_event = ChangeEvent::new(|count, is_certain| {
            if let Some(reason) = reason {
                self.emit(&Event::Revoked { filter: &filter, count, is_certain, reason, by });
            }
        });
        let deleted = async { Ok(self.store.purge(&Purge::Matching(here), 1).await?) };
        if change_event.await_store(deleted, |count| *count).await? == 0 {
            return Ok(None);
        }
        let inserted = self.put(&insert_request(row.into(), None, self.live_at(now))).await?;
        // The id is taken if a run with an older file has brought the good token back meanwhile.
        Ok((inserted == Inserted::Done).then_some(Outcome::RevokedNow))
    }
}
