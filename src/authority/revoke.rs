//! Revoking, forgetting and purging.

use std::time::Duration;

use super::{By, TokenAuthority};
use crate::digest::Digest;
use crate::error::{Failed, ManageError};
use crate::event::{ChangeEvent, Event};
use crate::leak::{self, Leak, LeakOutcome, LeakReport};
use crate::record::{Actor, Revocation, Status};
use crate::store::{Dead, Filter, Page, Purge, Row, TokenStore};
use crate::text::{Owner, Reason};
use crate::token::TokenId;

/// How many rows one step of a long deletion deletes.
const PURGE_BATCH: u32 = 1000;

impl<S: TokenStore> TokenAuthority<S> {
    /// Ends a token, and what was issued under it. Whoever presents it after this has returned is denied, on every host.
    ///
    /// Doing it again is no error, and the first instant and reason stay. Answers how many tokens it ended.
    ///
    /// # Errors
    /// [`ManageError::Unknown`] if there is no such token or it isn't this owner's; [`ManageError::Failed`] if the store is: then it
    /// must be asked again.
    pub async fn revoke(
        &self,
        by: By<'_>,
        id: TokenId,
        reason: Reason,
    ) -> Result<u64, ManageError> {
        let filter = by.limit(Filter::of_id(id)).ok_or(ManageError::Unknown)?;
        let count = self.end(by.actor()?, &filter, reason).await?;
        if count == 0 && self.store.list(&filter, Page::first(1)).await?.is_empty() {
            return Err(ManageError::Unknown);
        }
        Ok(count)
    }

    /// Ends every token that matches, and what was issued under them, but never the one that the filter's `except_id` names; an owner's
    /// act ends his own only. Answers how many.
    ///
    /// For "sign out everywhere", a changed password, a disabled account, tokens unused since a date.
    ///
    /// # Errors
    /// [`ManageError::Failed`] if the store is: then it must be asked again.
    pub async fn revoke_matching(
        &self,
        by: By<'_>,
        filter: &Filter,
        reason: Reason,
    ) -> Result<u64, ManageError> {
        let actor = by.actor()?;
        let Some(filter) = by.limit(filter.clone()) else {
            return Ok(0);
        };
        self.flush_if_it_matters(&filter).await?;
        Ok(self.end(actor, &filter, reason).await?)
    }

    /// Ends the tokens in a text that leaked: a log, a commit, a scanner's report. Finds them as they are written, in upper case,
    /// grouped, and inside HTTP Basic's base64. Each one's full secret is checked, so nobody can end a token by its id alone; last
    /// uses stay as they are.
    ///
    /// # Errors
    /// [`ManageError::Failed`] if the store is; ask again, what was ended stays so.
    pub async fn revoke_leaked(
        &self,
        text: &str,
        operator: &str,
    ) -> Result<LeakReport, ManageError> {
        let actor = By::Operator(operator).actor()?;
        let (tokens, is_cut) = leak::find_tokens(text, self.engine.policy.accepted_prefixes());
        // The secrets do not outlive this line.
        let digests: Vec<_> =
            tokens.into_iter().map(|(at, token)| (at, token.id(), Digest::of(&token))).collect();
        let mut leaks = Vec::new();
        for (position, id, digest) in digests {
            let outcome = self.end_leaked(id, digest, &actor).await?;
            leaks.push(Leak { position, id, outcome });
        }
        Ok(LeakReport { leaks, is_cut })
    }

    /// Erases a token: revokes it, and what was issued under it, and deletes its row now. Answers how many rows it deleted.
    ///
    /// # Errors
    /// [`ManageError::Unknown`] if there is no such token or it isn't this owner's; [`ManageError::Failed`] if the store is.
    pub async fn forget(&self, by: By<'_>, id: TokenId) -> Result<u64, ManageError> {
        let filter = by.limit(Filter::of_id(id)).ok_or(ManageError::Unknown)?;
        match self.erase(by.actor()?, filter).await? {
            0 => Err(ManageError::Unknown),
            count => Ok(count),
        }
    }

    /// Erases all tokens of an owner, in batches. If it fails in the middle, ask again: what is left is revoked already.
    ///
    /// # Errors
    /// [`ManageError::Failed`] if the store is.
    pub async fn forget_owner(&self, owner: &Owner, operator: &str) -> Result<u64, ManageError> {
        let actor = By::Operator(operator).actor()?;
        Ok(self.erase(actor, Filter::of_owner(owner)).await?)
    }

    /// Deletes the rows that have been dead for longer than the policy's retention, in batches. Answers how many. A line of rotations
    /// stays while a token that was issued under it lives, as that is revoked through it.
    ///
    /// Once a day is enough; a token's end never waits for it.
    ///
    /// # Errors
    /// [`Failed`] if the store is; what is deleted is deleted.
    pub async fn purge(&self) -> Result<u64, Failed> {
        if self.engine.policy.idle_timeout().is_some() {
            self.flush_usage().await?;
        }
        let now = self.now();
        let ended_by = now.saturating_sub(self.engine.policy.retention());
        let idle = self.engine.policy.idle_timeout();
        // Another host may have a use that it has not written yet.
        let longest_flush =
            Duration::from_secs(24 * 60 * 60).saturating_sub(self.engine.policy.retention());
        let unused_since =
            idle.map(|timeout| ended_by.saturating_sub(timeout).saturating_sub(longest_flush));
        let dead = Purge::Dead(Dead { ended_by, unused_since, now });
        self.delete(&dead, |count, is_certain| self.tell(&Event::Purged { count, is_certain }))
            .await
    }

    pub(super) async fn end(
        &self,
        by: Actor,
        filter: &Filter,
        reason: Reason,
    ) -> Result<u64, Failed> {
        let revocation = Revocation { at: self.now(), reason, by };
        let mut change_event = ChangeEvent::new(|count, is_certain| {
            let Revocation { reason, by, .. } = &revocation;
            self.tell(&Event::Revoked { filter, count, is_certain, reason, by });
        });
        let revoked = async { Ok(self.store.revoke(filter, &revocation).await?) };
        change_event.await_store(revoked, |count| *count).await
    }

    async fn end_leaked(
        &self,
        id: TokenId,
        digest: Digest,
        by: &Actor,
    ) -> Result<LeakOutcome, Failed> {
        let own_use = self.own_use(id);
        let found = self.store.find(id).await?.and_then(Row::into_whole);
        let stored = found.as_ref().map_or(&Digest::OF_NO_TOKEN, |row| row.record().digest());
        let secret_is_right = digest == *stored;
        let Some(row) = found.filter(|_| secret_is_right) else {
            return Ok(LeakOutcome::NoToken);
        };
        match self.status(&row, self.now(), own_use) {
            Ok(ended @ (Status::Revoked | Status::Expired | Status::Superseded)) => {
                Ok(LeakOutcome::Ended(ended))
            }
            // Also where its seal can't be checked now: its secret is out.
            Ok(Status::Active | Status::Idle | Status::Tampered) | Err(_) => {
                self.end(by.clone(), &Filter::of_id(id), Reason::LEAKED).await?;
                Ok(LeakOutcome::Revoked)
            }
        }
    }

    async fn erase(&self, by: Actor, filter: Filter) -> Result<u64, Failed> {
        self.end(by.clone(), &filter, Reason::FORGOTTEN).await?;
        let matching = Purge::Matching(filter.clone());
        self.delete(&matching, |count, is_certain| {
            self.tell(&Event::Forgotten { filter: &filter, count, is_certain, by: &by });
        })
        .await
    }

    async fn delete(&self, purge: &Purge, tell: impl Fn(u64, bool)) -> Result<u64, Failed> {
        let mut change_event = ChangeEvent::new(tell);
        let mut count = 0;
        loop {
            let batch = async { Ok(self.store.purge(purge, PURGE_BATCH).await?) };
            let deleted = change_event.await_store(batch, |deleted| *deleted).await?;
            count += deleted;
            if deleted < u64::from(PURGE_BATCH) {
                return Ok(count);
            }
        }
    }
}
