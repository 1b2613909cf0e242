//! Revokes, forgets and purges tokens.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::task::Poll;

use super::{LONGEST_FLUSH, TokenAuthority, WALK_PAGE};
use crate::error::{ChangeError, Failed, ManageError};
use crate::event::{ChangeEvent, Event};
use crate::issue::next_second;
use crate::leak::{Found, Leak, LeakOutcome, LeakReport, LeakScan};
use crate::present::{Presented, Unmatched};
use crate::record::{Actor, CLOCK_TOLERANCE, Revocation, TokenRecord};
use crate::store::{Filter, Page, Purge, PurgeCutoff, Row, TokenStore};
use crate::text::{Operator, Owner, Reason};
use crate::token::TokenId;

/// How many rows one call to the store deletes at most, so that no call locks more. A call may
/// still take long: it may read the whole table.
const PURGE_BATCH: u32 = 1000;

impl<S: TokenStore> TokenAuthority<S> {
    /// Revokes a token and its whole line, with what was issued under it. Returns how many rows it
    /// revoked.
    ///
    /// That counts each token of the line and what was issued under it, also those that had ended.
    /// It is 2 for one device that was rotated once, so a page should not show it. It is 0 if all
    /// were revoked before.
    ///
    /// Superseded tokens in their overlap end, too, whichever token of the line is named. Once this
    /// has returned `Ok`, every process over the same store denies them. Revoking again is no
    /// error; the first instant and reason stay.
    ///
    /// A damaged row is revoked with its line if its family can be read, and alone if not. If its
    /// owner can't be read, only an operator can revoke it.
    ///
    /// ```
    /// # use app_tokens::{Access, NewToken, Owner, Reason, TokenAuthority};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let tokens = TokenAuthority::in_memory("acme")?;
    /// let owner = Owner::new("alice")?;
    /// let issued = tokens.issue(NewToken::new(&owner, "My phone", Access::full())).await?;
    /// assert_eq!(tokens.revoke(&owner, issued.id(), Reason::REQUESTED).await?, 1);
    /// assert!(tokens.authenticate(issued.expose_secret()).await.is_err());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// - [`ManageError::Unknown`] if there is no such token, or it is another owner's.
    /// - [`ManageError::Failed`] if the store fails: call it again.
    #[doc(alias("delete", "invalidate", "disable"))]
    pub async fn revoke(
        &self,
        by: impl Into<Actor>,
        id: TokenId,
        reason: Reason,
    ) -> Result<u64, ManageError> {
        let by = by.into();
        let line = self.line_of(&by, id).await?.ok_or(ManageError::Unknown)?;
        Ok(self.revoke_by(by, &line, reason).await?)
    }

    /// Revokes all tokens that match, and what was issued under them. Returns how many.
    ///
    /// Through a superseded token that has ended, nothing else is revoked, since its line may be in
    /// use. That is different if the filter names its id or its family.
    ///
    /// Exactly what matches is revoked, not the whole line of a token that matches. The family in
    /// the filter's `except_family` is spared in any case, with what was issued under it.
    ///
    /// An owner's call revokes only that owner's tokens.
    ///
    /// For a changed password, a disabled account, or tokens that were not used since a date. To
    /// keep one token, call [`revoke_others`](Self::revoke_others).
    ///
    /// ```
    /// # use app_tokens::{Access, NewToken, Owner, Reason, TokenAuthority, store::Filter};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let tokens = TokenAuthority::in_memory("acme")?;
    /// # let owner = Owner::new("alice")?;
    /// # let _lost = tokens.issue(NewToken::new(&owner, "Lost phone", Access::full())).await?;
    /// # let this = tokens.issue(NewToken::new(&owner, "This laptop", Access::full())).await?;
    /// let kept = this.view().family();
    /// let others = Filter { except_family: Some(kept), ..Filter::of_owner(&owner) };
    /// let reason = Reason::new("signed out everywhere")?;
    /// assert_eq!(tokens.revoke_matching(&owner, &others, reason).await?, 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// - [`ManageError::NotAllowed`] if the actor is an owner and the filter names another. Also if
    ///   it is [`Actor::Engine`]: to repeat a revocation of the engine's, name an operator.
    /// - [`ManageError::Failed`] if the store fails: call it again.
    #[doc(alias("revoke_all", "revoke_owner", "sign out everywhere"))]
    pub async fn revoke_matching(
        &self,
        by: impl Into<Actor>,
        filter: &Filter,
        reason: Reason,
    ) -> Result<u64, ManageError> {
        let by = by.into();
        let filter = by.limit(filter.clone()).ok_or(ManageError::NotAllowed)?;
        self.flush_if_it_matters(&filter).await?;
        Ok(self.revoke_by(by, &filter, reason).await?)
    }

    /// Revokes all tokens of an owner but one line, and what was issued under them. Returns how
    /// many.
    ///
    /// For "sign out everywhere else". `kept` is a token of that line. It must be active and not
    /// rotated. If it is not, nothing is revoked, so that a slip can't take all. What was issued
    /// under the line stays, too. If the token is rotated at the same moment, its successor stays.
    ///
    /// ```
    /// # use app_tokens::{Access, NewToken, Owner, Reason, TokenAuthority};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let tokens = TokenAuthority::in_memory("acme")?;
    /// # let owner = Owner::new("alice")?;
    /// # let _lost = tokens.issue(NewToken::new(&owner, "Lost phone", Access::full())).await?;
    /// # let this = tokens.issue(NewToken::new(&owner, "This laptop", Access::full())).await?;
    /// assert_eq!(tokens.revoke_others(&owner, this.id(), Reason::REQUESTED).await?, 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// - [`ChangeError::Unknown`] if there is no such token, or it is another owner's.
    /// - [`ChangeError::NotActive`] if it is not active.
    /// - [`ChangeError::Rotated`] if it was rotated.
    /// - [`ChangeError::Failed`] if the store fails: call it again.
    #[doc(alias = "revoke_all")]
    pub async fn revoke_others(
        &self,
        by: impl Into<Actor>,
        kept: TokenId,
        reason: Reason,
    ) -> Result<u64, ChangeError> {
        let by = by.into();
        let (row, own_use) = self.read(&by, kept).await?;
        let now = self.now();
        self.refuse_superseded(&row, own_use, now).await?;
        self.refuse_ended(&row, own_use, now)?;
        let (owner, family) = (row.record().owner(), row.record().family());
        let others = Filter { except_family: Some(family), ..Filter::of_owner(owner) };
        Ok(self.revoke_by(by, &others, reason).await?)
    }

    /// Revokes the tokens in a text that leaked: a log, a commit, a scanner's report.
    ///
    /// [`LeakReport`] lists the forms in which a token is found. The full secret of each is
    /// checked, so nobody can revoke a token by its id alone. Exactly the leaked tokens are
    /// revoked, with what was issued under them, and not their whole lines. One that has expired or
    /// was superseded is revoked, too. If one was revoked before, what was issued under its line
    /// until then is revoked. Counts as no use. Other tasks run between the pieces of a long text.
    ///
    /// If the secret of a token can't be checked, its outcome says so. Revoke it by its id.
    ///
    /// # Errors
    /// [`ManageError::Failed`] if the store fails. Call it again: what was revoked stays revoked.
    #[doc(alias = "secret scanning")]
    pub async fn revoke_leaked(
        &self,
        operator: &Operator,
        text: &(impl AsRef<[u8]> + ?Sized),
    ) -> Result<LeakReport, ManageError> {
        let actor = Actor::from(operator);
        let mut scan = LeakScan::new(text.as_ref(), self.engine.policy.accepted_prefixes());
        let mut leaks = Vec::new();
        while let Some(tokens) = scan.next_piece() {
            for Found { position, presented } in tokens {
                let outcome = self.revoke_leak(&presented, &actor).await?;
                leaks.push(Leak { position, id: presented.id(), outcome });
            }
            if !scan.is_done() {
                yield_now().await;
            }
        }
        Ok(LeakReport { leaks, rest: scan.rest() })
    }

    /// Forgets a token and its whole line: revokes it with what was issued under it, and deletes
    /// the line's rows now.
    ///
    /// Returns how many rows it deleted. Its line is found as in [`revoke`](Self::revoke). The rows
    /// of tokens that were issued under the line stay, revoked, until they are purged.
    ///
    /// A tombstone of an imported token stays until it is purged, so that no later run brings the
    /// token back. A damaged row leaves none. Tombstones belong to the owner `(forgotten)`: give no
    /// account this id, or forgetting its tokens deletes the tombstones.
    ///
    /// # Errors
    /// - [`ManageError::Unknown`] if there is no such token, or it is another owner's.
    /// - [`ManageError::Failed`] if the store fails: call it again.
    #[doc(alias("delete", "erase"))]
    pub async fn forget(&self, by: impl Into<Actor>, id: TokenId) -> Result<u64, ManageError> {
        let by = by.into();
        let line = self.line_of(&by, id).await?.ok_or(ManageError::Unknown)?;
        match self.forget_by(by, line).await? {
            0 => Err(ManageError::Unknown),
            count => Ok(count),
        }
    }

    /// Forgets all tokens of an owner: revokes them, and deletes their rows in batches. Returns how
    /// many rows it deleted. For the erasure of an account.
    ///
    /// Imported tokens leave tombstones, as in [`forget`](Self::forget).
    ///
    /// # Errors
    /// [`ManageError::Failed`] if the store fails. Call it again: what is left may be revoked
    /// already.
    #[doc(alias("delete_user", "GDPR"))]
    pub async fn forget_owner(
        &self,
        operator: &Operator,
        owner: &Owner,
    ) -> Result<u64, ManageError> {
        let actor = Actor::from(operator);
        Ok(self.forget_by(actor, Filter::of_owner(owner)).await?)
    }

    /// Purges rows that have been dead for longer than the policy's retention, in batches. Returns
    /// how many rows it deleted.
    ///
    /// A batch has 1,000 rows. Other calls run in between.
    ///
    /// [`Upkeep`](crate::upkeep::Upkeep) calls it daily, so a host need not. Once a day is enough:
    /// purging frees space and ends no token. A dead line of rotations stays
    /// while a token that was issued under it lives, since that token is revoked through the line.
    ///
    /// # Errors
    /// [`Failed`] if the store fails. What was deleted stays deleted.
    #[doc(alias("cleanup", "garbage"))]
    pub async fn purge(&self) -> Result<u64, Failed> {
        let policy = &self.engine.policy;
        if policy.has_open_import() {
            return Ok(0);
        }
        let idle = policy.idle_timeout();
        if idle.is_some() {
            self.flush_usage().await?;
        }
        let now = self.now();
        let ended_by = now.saturating_sub(policy.retention());
        // Another host may hold a use that it has not written yet. A retention as long as that
        // takes leaves time enough; a shorter one is lengthened here for idle rows.
        let unwritten = LONGEST_FLUSH.saturating_sub(policy.retention());
        let unused_since =
            idle.map(|timeout| ended_by.saturating_sub(timeout).saturating_sub(unwritten));
        let dead = Purge::Dead(PurgeCutoff { ended_by, unused_since, now });
        let emit = |count, is_certain| self.emit(&Event::Purged { count, is_certain });
        self.delete(&dead, emit).await
    }

    /// Revokes what matches, and emits one event for it.
    pub(super) async fn revoke_by(
        &self,
        by: Actor,
        filter: &Filter,
        reason: Reason,
    ) -> Result<u64, Failed> {
        let revocation = Revocation { at: self.now(), reason, by };
        let mut change_event = ChangeEvent::new(|count, is_certain| {
            let Revocation { reason, by, .. } = &revocation;
            self.emit(&Event::Revoked { filter, count, is_certain, reason, by });
        });
        let revoked = async { Ok(self.store.revoke(filter, &revocation).await?) };
        change_event.await_store(revoked, |count| *count).await
    }

    /// Revokes one token of a leak, if the secret is right.
    ///
    /// Revokes that row alone, with what was issued under it. Its successor has another secret.
    async fn revoke_leak(&self, presented: &Presented, by: &Actor) -> Result<LeakOutcome, Failed> {
        let id = presented.id();
        match presented.matched(self.store.find(id).await?) {
            Ok(row) if row.record().revocation().is_some() => {
                self.revoke_issued_by(row.record(), by).await?;
                Ok(LeakOutcome::AlreadyRevoked)
            }
            // Whatever else its status is. One that has expired here is active on a host whose
            // clock is behind, and can be extended there.
            Ok(_) => {
                self.revoke_by(by.clone(), &Filter::of_id(id), Reason::LEAKED).await?;
                Ok(LeakOutcome::Revoked)
            }
            Err(
                Unmatched::DamagedRow { is_revoked: true }
                | Unmatched::UnknownScheme { is_revoked: true, .. },
            ) => Ok(LeakOutcome::AlreadyRevoked),
            // Not revoked by the id alone: ids are public, and anyone can write a text with one.
            Err(Unmatched::DamagedRow { is_revoked: false }) => Ok(LeakOutcome::Damaged),
            Err(Unmatched::UnknownScheme { scheme, is_revoked: false }) => {
                Ok(LeakOutcome::UnknownScheme(scheme))
            }
            Err(Unmatched::NoRow | Unmatched::OtherSecret) => Ok(LeakOutcome::NoToken),
        }
    }

    /// Revokes what the holder of a leaked token may have issued under it before it was revoked.
    ///
    /// Its own revocation need not have reached that. A bulk revocation reaches nothing through a
    /// rotated token that has ended, and a second rotation nothing through the token that it
    /// replaces. What was issued later stays: a report that is repeated must not end it.
    async fn revoke_issued_by(&self, leaked: &TokenRecord, by: &Actor) -> Result<(), Failed> {
        let is_alone = leaked.successor().is_none() && leaked.family() == leaked.id();
        let Some(revocation) = leaked.revocation().filter(|_| !is_alone) else {
            return Ok(());
        };
        let until = next_second(revocation.at.saturating_add(CLOCK_TOLERANCE));
        // Not by `created_before`: an age that can't be read matches no filter.
        let is_earlier = |row: &Row| row.created_at().is_none_or(|created| created < until);
        // Whole lines, since what was issued may have been rotated after that. A row whose line
        // can't be read is revoked alone, so that a repair does not bring it back.
        let (mut lines, mut alone) = (BTreeSet::new(), Vec::new());
        let mut page = Some(Page::first(WALK_PAGE));
        while let Some(rows) = self.next_page(&Filter::of_owner(leaked.owner()), &mut page).await? {
            let is_issued = |row: &&Row| row.derived_from() == Some(leaked.family());
            for row in rows.iter().filter(is_issued).filter(|row| is_earlier(row)) {
                match row.family() {
                    Some(line) => _ = lines.insert(line),
                    None => alone.push(Filter::of_id(row.id())),
                }
            }
        }
        let lines = lines.into_iter().map(|line| Filter::of_family(leaked.owner(), line));
        for filter in lines.chain(alone) {
            self.revoke_by(by.clone(), &filter, Reason::LEAKED).await?;
        }
        Ok(())
    }

    /// Revokes what matches, and then deletes it.
    ///
    /// In this order, for two reasons. If the deletion fails midway, the rest is denied already.
    /// And what was issued under deleted rows could no longer be revoked through them.
    pub(super) async fn forget_by(&self, by: Actor, filter: Filter) -> Result<u64, Failed> {
        self.revoke_by(by.clone(), &filter, Reason::FORGOTTEN).await?;
        self.leave_tombstones(&filter).await?;
        let matching = Purge::Matching(filter.clone());
        let emit = |count, is_certain| {
            self.emit(&Event::Forgotten { filter: &filter, count, is_certain, by: &by });
        };
        self.delete(&matching, emit).await
    }

    /// Deletes in batches, and emits one event for all of them.
    ///
    /// It repeats until a batch is not full. Only then has the store found no more.
    async fn delete(&self, purge: &Purge, emit: impl Fn(u64, bool)) -> Result<u64, Failed> {
        let mut change_event = ChangeEvent::new(emit);
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

/// Lets other tasks of the same thread run, in any runtime.
async fn yield_now() {
    let mut has_yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
