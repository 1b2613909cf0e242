//! Revokes here what the source revoked.

use super::outcome::Outcome;
use super::row::{at_most, insert_request};
use crate::authority::TokenAuthority;
use crate::error::Failed;
use crate::event::{ChangeEvent, Event};
use crate::record::{Actor, Revocation, TokenRecord};
use crate::store::{Filter, Inserted, Page, Purge, TokenStore};
use crate::timestamp::Timestamp;

impl<S: TokenStore> TokenAuthority<S> {
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
