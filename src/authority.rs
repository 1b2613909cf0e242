//! [`TokenAuthority`]: what happens to a token, in the order of its life.

use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use rand_core::TryCryptoRng;

use crate::access::Access;
use crate::blocking::Blocking;
use crate::clock::{Clock, SystemClock};
use crate::digest::Digest;
use crate::error::{
    AuthError, ChangeError, DenialReason, Denied, Failed, IssueError, ManageError, RetireError,
};
use crate::event::{self, Event, Observer, Telling};
use crate::issue::{self, Granted, IssuedToken, NewToken, Rotation};
use crate::key_ring::KeyRing;
use crate::leak::{Found, Leak, LeakOutcome, LeakReport, LeakScan};
use crate::policy::{Policy, PolicyError, Reuse};
use crate::present::{Authenticated, Caller, Presented};
use crate::record::{
    Actor, Expires, LastUse, RecordParts, Revocation, SealCheck, Status, TokenRecord,
};
use crate::seal::{self, Intact, KeyId, Sealer, WholeRow};
use crate::secret::{self, RandomSource, RandomSourceFailed, Secret};
use crate::store::{
    Certainty, Dead, Filter, Insert, Inserted, MemoryStore, Page, Purge, Replace, Replaced, Row,
    RuntimeFree, Supersede, TokenStore,
};
use crate::text::{InvalidText, Label, Operator, Owner, Reason, clean_client};
use crate::timestamp::Timestamp;
use crate::token::{ParseError, Token, TokenId};
use crate::transaction::{HeldBack, InTransaction};
use crate::usage::{Noted, UsageFlusher, UsageLog};
use crate::view::{ResealProgress, ResealReport, TokenPage, TokenView};

/// Issues, authenticates, lists and revokes the tokens of one realm, in one store.
///
/// Made once and cloned; clones share the record of last uses.
///
/// ```
/// use app_tokens::{KeyRing, MemoryStore, NewToken, Policy, Requirement, TokenAuthority};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let tokens = TokenAuthority::new(MemoryStore::new(), KeyRing::ephemeral()?, Policy::new("acme")?);
/// # let tokens = tokens.blocking();
/// let issued = tokens.issue(NewToken::new("alice", "My phone").scopes(["files:read"]))?;
/// let caller = tokens.authenticate(issued.expose_secret())?.require(Requirement::one_of(&["files:read"]))?;
/// assert_eq!(caller.owner().as_str(), "alice");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TokenAuthority<S> {
    store: S,
    shared: Arc<Shared>,
    /// In a transaction of the host's: what is told after its commit.
    held_back: Option<Arc<HeldBack>>,
}

struct Shared {
    policy: Policy,
    sealer: Sealer,
    clock: Box<dyn Clock>,
    random: Mutex<Box<dyn RandomSource>>,
    observer: Option<Arc<dyn Observer>>,
    usage: UsageLog,
    /// Whether it was seen that the ring has the keys of all rows.
    ring_is_complete: AtomicBool,
}

/// Whose act it is. Another owner's token is unknown to an owner.
#[derive(Clone, Copy, Debug)]
pub enum By<'a> {
    /// The token's owner, who has proved that he is: not by one of his tokens.
    Owner(&'a Owner),
    /// Somebody of the host's operators, by name.
    Operator(&'a str),
}

/// How many times an id is drawn before the random source is taken for broken. With a million tokens a draw is taken once in a
/// thousand million.
const MAX_DRAWS: usize = 4;
/// How many times a change is made again where somebody else was faster.
const MAX_TRIES: usize = 8;
/// How many rows one step of a long deletion deletes.
const PURGE_BATCH: u32 = 1000;
/// How many rows a walk through the whole store has in memory.
const WALK_PAGE: u32 = 500;

impl TokenAuthority<MemoryStore> {
    /// Tokens that live in this process only, for a first try and for tests.
    ///
    /// # Errors
    /// [`SetupError`] for a text that is no prefix, or if the system has no randomness.
    pub fn in_memory(prefix: impl AsRef<str>) -> Result<TokenAuthority<MemoryStore>, SetupError> {
        Ok(TokenAuthority::new(MemoryStore::new(), KeyRing::ephemeral()?, Policy::new(prefix)?))
    }
}

/// Why there is no authority for a first try.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// The prefix is none.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The system has no randomness.
    #[error(transparent)]
    Random(#[from] RandomSourceFailed),
}

impl<S: TokenStore> TokenAuthority<S> {
    /// Over a store, with the system's clock and random source and without an observer.
    pub fn new(store: S, ring: KeyRing, policy: Policy) -> TokenAuthority<S> {
        TokenAuthority::builder(store, ring, policy).build()
    }

    /// Over a store, with a clock, a random source or an observer of the host's.
    pub fn builder(store: S, ring: KeyRing, policy: Policy) -> TokenAuthorityBuilder<S> {
        TokenAuthorityBuilder {
            store,
            ring,
            policy,
            clock: Box::new(SystemClock),
            random: Box::new(secret::system_source()),
            observer: None,
        }
    }

    /// Issues a token. Its text is in the answer and nowhere else: show it once.
    ///
    /// Ask for it only after the owner has proved who he is with more than a token (OWASP ASVS 5.0, 7.5.1); with a
    /// token in hand there is only [`issue_under`](Self::issue_under).
    ///
    /// # Errors
    /// [`IssueError`] for a text, a life or an access outside what is allowed, a limit that is reached, or a failure.
    pub async fn issue(&self, new: NewToken) -> Result<IssuedToken, IssueError> {
        let now = self.now();
        let granted = new.grant(&self.shared.policy, now)?;
        self.refuse_without_flusher()?;
        self.refuse_with_missing_keys().await?;
        self.issue_granted(&granted, None, now).await
    }

    /// Issues a token under the caller's: it may do no more, ends no later, and is revoked with it. Only a token that was neither itself
    /// issued under another nor rotated already can have any under it.
    ///
    /// It is measured by the caller's token as that is now, and belongs to its whole line of rotations: it ends when any token of the
    /// line is revoked, narrowed or given a sooner end later on, though not with an unused successor whose place another takes, nor if
    /// the filter of a revocation spares it by name. It doesn't end when that merely goes idle, and can still be revoked through it: [`purge`](Self::purge) leaves the line there.
    ///
    /// Without words about access it may do what the caller's token may; without words about its end it ends with the policy's
    /// default life, or with the caller's token if that is sooner.
    ///
    /// # Errors
    /// [`IssueError`] as for [`TokenAuthority::issue`], and where it would do or be more than the caller's token, or that has ended.
    pub async fn issue_under(
        &self,
        caller: &Caller,
        new: NewToken,
    ) -> Result<IssuedToken, IssueError> {
        self.refuse_without_flusher()?;
        self.refuse_with_missing_keys().await?;
        // As it is now: what the caller was let in with may have been narrowed since.
        let own_use = self.own_use(caller.id());
        let parent = self.store.find(caller.id()).await?.and_then(Row::into_whole);
        let parent = parent.ok_or(IssueError::ParentChanged)?;
        let now = self.now();
        let is_current = parent.record().successor().is_none();
        if self.status(&parent, now, own_use)? != Status::Active || !is_current {
            return Err(IssueError::ParentChanged);
        }
        let granted = new.grant_under(self.intact(&parent)?.record(), &self.shared.policy, now)?;
        self.issue_granted(&granted, Some(parent.into()), now).await
    }

    /// Whether a presented text is a good token. Nothing is written.
    ///
    /// # Errors
    /// [`AuthError::NotOurs`] for a text without our form, which may be a password; [`AuthError::Denied`] for a token that is no
    /// good; [`AuthError::Failed`] where it can't be told.
    pub fn authenticate<'p>(
        &self,
        presented: impl Into<Presented<'p>>,
    ) -> impl Future<Output = Result<Authenticated, AuthError>> + Send {
        let presented = presented.into();
        async move {
            let proven = self.prove(&presented).await?;
            Ok(self.admit(proven, &presented))
        }
    }

    /// The same, and the token must be this owner's: for HTTP Basic, where a user name stands beside it.
    ///
    /// # Errors
    /// As for [`TokenAuthority::authenticate`]; another owner's token is denied.
    pub fn authenticate_as<'p>(
        &self,
        owner: &Owner,
        presented: impl Into<Presented<'p>>,
    ) -> impl Future<Output = Result<Authenticated, AuthError>> + Send {
        let presented = presented.into();
        async move {
            let proven = self.prove(&presented).await?;
            if proven.owner() != owner {
                return Err(self.turn_away(&proven, &presented, DenialReason::OtherOwner).into());
            }
            Ok(self.admit(proven, &presented))
        }
    }

    /// A page of the tokens that match, in order of id, dead ones too.
    ///
    /// # Errors
    /// [`Failed`] if the store is.
    pub async fn list(&self, filter: &Filter, page: Page) -> Result<TokenPage, Failed> {
        self.flush_if_it_matters(filter).await?;
        let (mut rows, mut tokens);
        let mut tries = 0;
        loop {
            let flushes = self.shared.usage.flushes();
            rows = self.store.list(filter, page).await?;
            // Read after the rows: one that was made meanwhile was not made in the future.
            let now = self.now();
            tokens = rows.iter().filter_map(Row::whole).map(|row| self.view(row, now)).collect();
            // A use that was written in between may be in neither.
            tries += 1;
            if flushes == self.shared.usage.flushes() || tries == MAX_TRIES {
                break;
            }
        }
        let full = page.limit > 0 && rows.len() >= page.limit as usize;
        let next = rows.last().filter(|_| full).map(Row::id);
        let damaged = rows.iter().filter(|row| row.record().is_none()).map(Row::id).collect();
        Ok(TokenPage { tokens, damaged, next })
    }

    /// One token.
    ///
    /// # Errors
    /// [`ManageError::Unknown`] if there is none, it can't be read, or it isn't this owner's; [`ManageError::Failed`] if the store is.
    pub async fn find(&self, by: By<'_>, id: TokenId) -> Result<TokenView, ManageError> {
        by.actor()?;
        // Before the row: a flush in between moves a use from here to there, and it must be seen in one of the two.
        let own_use = self.shared.usage.pending(id);
        let row = self.store.find(id).await?.ok_or(ManageError::Unknown)?;
        let view = self.view_with(row.whole().ok_or(ManageError::Unknown)?, own_use, self.now());
        if by.may_see(view.owner()) { Ok(view) } else { Err(ManageError::Unknown) }
    }

    /// The tokens that expire within a period: for reminders. Page by page, like [`TokenAuthority::list`]; a page may be shorter than
    /// asked for, as it leaves out what has ended already.
    ///
    /// # Errors
    /// [`Failed`] if the store is.
    pub async fn expiring(&self, within: Duration, page: Page) -> Result<TokenPage, Failed> {
        let now = self.now();
        let filter = Filter {
            revoked: Some(false),
            superseded: Some(false),
            expires_from: Some(now.saturating_add(Duration::from_secs(1))),
            expires_before: Some(now.saturating_add(within).saturating_add(Duration::from_secs(1))),
            ..Filter::every_token()
        };
        let mut listed = self.list(&filter, page).await?;
        listed.tokens.retain(|token| token.status() == Some(Status::Active));
        Ok(listed)
    }

    /// Calls a token by another label.
    ///
    /// # Errors
    /// [`ChangeError`] if the token is unknown or doesn't authenticate any more, or the label is no good or taken.
    pub async fn rename(
        &self,
        by: By<'_>,
        id: TokenId,
        label: impl AsRef<str> + Send,
    ) -> Result<TokenView, ChangeError> {
        let label = Label::new(label)?;
        let renamed = move |_: &TokenRecord, _| {
            Ok(seal::Change { label: Some(label.clone()), ..seal::Change::default() })
        };
        self.change(by, id, event::Change::Renamed, renamed).await
    }

    /// Takes access away from a token, and ends what was issued under its line, which may do more. It can only take away; to take
    /// nothing ends nothing.
    ///
    /// # Errors
    /// [`ChangeError`] if the token is unknown or doesn't authenticate any more, or it would do more than now.
    pub async fn narrow(
        &self,
        by: By<'_>,
        id: TokenId,
        access: Access,
    ) -> Result<TokenView, ChangeError> {
        let narrowed = move |record: &TokenRecord, _| {
            if !self.shared.policy.includes(record.access(), &access) {
                return Err(ChangeError::MoreAccess);
            }
            Ok(seal::Change { access: Some(access.clone()), ..seal::Change::default() })
        };
        self.change(by, id, event::Change::Narrowed, narrowed).await
    }

    /// Moves a token's end, so far as the policy's longest life allows, counted from when it was made. A sooner end also ends what was
    /// issued under it. Never let a token do this by itself.
    ///
    /// # Errors
    /// [`ChangeError`] if the token is unknown, doesn't authenticate any more or was rotated, or the policy doesn't allow the end.
    pub async fn extend(
        &self,
        by: By<'_>,
        id: TokenId,
        end: Expires,
    ) -> Result<TokenView, ChangeError> {
        let extended = move |record: &TokenRecord, now| {
            // Its end is the overlap's. A later one would leave two ways in.
            if record.successor().is_some() {
                return Err(ChangeError::Rotated);
            }
            if record.derived_from().is_some() && end.is_later_than(record.expires()) {
                return Err(ChangeError::Derived);
            }
            let end = issue::within(end, &self.shared.policy, record.created_at(), now)?;
            Ok(seal::Change { expires: Some(end), ..seal::Change::default() })
        };
        self.change(by, id, event::Change::Extended, extended).await
    }

    /// Replaces a token by a new one of the same owner and label, in one step of the store: no crash leaves neither or both. However
    /// many rotate it at once, one new token is good: without an overlap one call succeeds, with one each that succeeds takes the place
    /// of the one before.
    ///
    /// The old one lives on during the overlap, at most until the new one's end. Without an overlap its end is written as five minutes
    /// ago, so that it is over at once on hosts whose clocks are behind, too. As long as the new one is unused then, the old one may
    /// be rotated again, in case the answer was lost: that takes the unused one's place, with the smaller access of both, and its label.
    /// A use on another host counts once that host has written it. What was issued under the old one ends if there is no overlap, or if
    /// the new one has less access or a sooner end. Neither the limit nor a unique label stands in the way.
    ///
    /// # Errors
    /// [`ChangeError`] if the token is unknown, doesn't authenticate any more, was rotated already, or was changed at the same time; and
    /// if the new one would do more, end later or overlap longer than it may.
    pub async fn rotate(
        &self,
        by: By<'_>,
        id: TokenId,
        rotation: Rotation,
    ) -> Result<IssuedToken, ChangeError> {
        let actor = by.actor()?;
        self.refuse_without_flusher()?;
        let (old, replaced, now) = self.rotatable(by, id).await?;
        let last = self.intact(replaced.as_ref().unwrap_or(&old))?.record();
        let old = self.intact(&old)?;
        let (granted, old_ends) = rotation.grant(old.record(), last, &self.shared.policy, now)?;
        // They may do more than the line may from now on, or outlive it.
        let policy = &self.shared.policy;
        let is_less = [old.record(), last]
            .iter()
            .any(|than| issue::is_less(&granted.access, granted.expires, than, policy));
        let superseded = |successor| seal::Change {
            expires: Some(old_ends),
            successor: Some(successor),
            ..seal::Change::default()
        };
        let ended_derived = is_less || old_ends.has_come(now);
        let revocation = Revocation { at: now, reason: Reason::ROTATED, by: actor.clone() };
        let supersede = |successor| Supersede {
            row: self.shared.sealer.reseal(old, superseded(successor)).into(),
            replaces: replaced.clone().map(Row::from),
            ends_derived: ended_derived,
            revocation: revocation.clone(),
        };
        let unbound = |row: Row| Insert {
            supersede: Some(supersede(row.id())),
            row,
            now,
            limit: None,
            unique_label: false,
            under: None,
        };
        let tell = |token: &TokenView, is_certain| {
            let replaced = replaced.as_ref().map(|row| row.record().id());
            let by = &actor;
            self.tell(&Event::Rotated { old: id, replaced, ended_derived, token, by, is_certain });
        };
        let (answer, issued) = self.draw_and_insert(&granted, now, unbound, tell).await?;
        if answer == Inserted::Done { Ok(issued) } else { Err(ChangeError::Conflict) }
    }

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

    /// Revokes the tokens in a text that leaked: a log, a commit, a scanner's report.
    ///
    /// [`LeakReport`] says in which disguises a token is found. Each one's full secret is checked, so
    /// nobody can revoke a token by its id alone. Last uses stay as they are. Other tasks run between
    /// any two pieces of a long text.
    ///
    /// # Errors
    /// [`ManageError::Failed`] if the store failed. What was revoked stays so: call again.
    pub async fn revoke_leaked(
        &self,
        text: &(impl AsRef<[u8]> + ?Sized),
        operator: &str,
    ) -> Result<LeakReport, ManageError> {
        let actor = By::Operator(operator).actor()?;
        let mut scan = LeakScan::new(text.as_ref(), self.shared.policy.accepted_prefixes());
        let mut leaks = Vec::new();
        while let Some(tokens) = scan.next_piece() {
            for Found { position, id, digest } in tokens {
                let outcome = self.end_leaked(id, digest, &actor).await?;
                leaks.push(Leak { position, id, outcome });
            }
            if !scan.is_done() {
                yield_now().await;
            }
        }
        Ok(LeakReport { leaks, rest: scan.rest() })
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

    /// Writes the last uses noted so far. A [`UsageFlusher`] does it from time to time. A write that is held up between clock and store
    /// for more than five minutes, by a machine that was suspended for instance, may put newer uses back to what it knows.
    ///
    /// # Errors
    /// [`Failed`] if the store is; what it did not take waits for the next time.
    pub async fn flush_usage(&self) -> Result<(), Failed> {
        let flushed = self.shared.usage.flush(&self.store, self.now()).await.map_err(Failed::from);
        if let Err(error) = &flushed {
            self.tell(&Event::UsageNotWritten { error });
        }
        flushed.map(|_| ())
    }

    /// Attaches somebody who writes the last uses from time to time.
    pub fn usage_flusher(&self) -> UsageFlusher<S>
    where
        S: Clone,
    {
        UsageFlusher::attach(self.clone())
    }

    /// Deletes the rows that have been dead for longer than the policy's retention, in batches. Answers how many. A line of rotations
    /// stays while a token that was issued under it lives, as that is revoked through it.
    ///
    /// Once a day is enough; a token's end never waits for it.
    ///
    /// # Errors
    /// [`Failed`] if the store is; what is deleted is deleted.
    pub async fn purge(&self) -> Result<u64, Failed> {
        if self.shared.policy.idle_timeout().is_some() {
            self.flush_usage().await?;
        }
        let now = self.now();
        let ended_by = now.saturating_sub(self.shared.policy.retention());
        let idle = self.shared.policy.idle_timeout();
        // Another host may have a use that it has not written yet.
        let longest_flush =
            Duration::from_secs(24 * 60 * 60).saturating_sub(self.shared.policy.retention());
        let unused_since =
            idle.map(|timeout| ended_by.saturating_sub(timeout).saturating_sub(longest_flush));
        let dead = Purge::Dead(Dead { ended_by, unused_since, now });
        self.delete(&dead, |count, is_certain| self.tell(&Event::Purged { count, is_certain }))
            .await
    }

    /// Seals anew, under the ring's active key, every row that another key of the ring seals. Row by row, so it may be stopped and
    /// run again, while tokens are in use; a row that is changed at the same time is left for the next run.
    ///
    /// # Errors
    /// [`Failed`] if the store is; what is moved is moved.
    pub async fn reseal(&self) -> Result<ResealReport, Failed> {
        self.move_rows(None, || {}).await
    }

    /// The same, and tells how far it is: before the first row, and after each. It counts the rows first, on a walk of its own.
    ///
    /// # Errors
    /// As there.
    pub async fn reseal_with_progress(
        &self,
        mut tell: impl FnMut(ResealProgress) + Send,
    ) -> Result<ResealReport, Failed> {
        let rows = self.count_by_key(self.under_other_keys()).await?;
        let mut progress =
            ResealProgress { done: 0, total: rows.iter().map(|(_, rows)| rows).sum() };
        tell(progress);
        let looked_at_one = || {
            progress.done += 1;
            tell(progress);
        };
        self.move_rows(None, looked_at_one).await
    }

    /// The same for rows under a key that is lost: their seals can't be checked, so **whatever somebody wrote into them becomes
    /// good**. For once, after [`reseal`](Self::reseal) has said how many rows are left under that key, where the key file is gone for
    /// ever and nobody else could write the database.
    ///
    /// # Errors
    /// [`ManageError::Failed`] if the store is; [`Event::Resealed`] names the rows that were trusted before that, and the next run the
    /// rest; [`ManageError::KeyNotLost`] if the ring has the key.
    pub async fn danger_reseal_without_proof(
        &self,
        lost: KeyId,
        operator: &str,
    ) -> Result<ResealReport, ManageError> {
        let actor = By::Operator(operator).actor()?;
        if self.shared.sealer.ring().ids().any(|id| id == lost) {
            return Err(ManageError::KeyNotLost(lost));
        }
        Ok(self.move_rows(Some((lost, &actor)), || {}).await?)
    }

    /// How many unrevoked rows each key seals. A key that isn't here may be taken out of the ring.
    ///
    /// # Errors
    /// [`Failed`] if the store is.
    pub async fn keys_in_use(&self) -> Result<Vec<(KeyId, u64)>, Failed> {
        self.count_by_key(Filter { revoked: Some(false), ..Filter::every_token() }).await
    }

    /// Whether a key may be taken out of the ring: refused while it seals a row that isn't revoked.
    ///
    /// # Errors
    /// [`RetireError`] with how many there are.
    pub async fn may_retire(&self, key_id: KeyId) -> Result<(), RetireError> {
        if key_id == self.shared.sealer.ring().active_id() {
            return Err(RetireError::Active);
        }
        let filter = Filter { revoked: Some(false), key_id: Some(key_id), ..Filter::every_token() };
        match self.count_by_key(filter).await?.first() {
            Some((_, rows)) => Err(RetireError::InUse { rows: *rows }),
            None => Ok(()),
        }
    }

    /// The same engine inside an open transaction of the host's, in the same tables: `transaction` is a store over it, as
    /// `store::SqliteTransaction` and `store::PostgresTransaction` are.
    pub fn in_transaction<T: TokenStore>(&self, transaction: T) -> InTransaction<T> {
        let (shared, held_back) = (self.shared.clone(), Some(Arc::default()));
        InTransaction::new(TokenAuthority { store: transaction, shared, held_back })
    }

    /// The same engine for hosts without a runtime.
    pub fn blocking(&self) -> Blocking<'_, S>
    where
        S: RuntimeFree,
    {
        Blocking::new(self)
    }

    /// What the host allows.
    pub fn policy(&self) -> &Policy {
        &self.shared.policy
    }

    /// Where the tokens live.
    pub fn store(&self) -> &S {
        &self.store
    }

    pub(crate) fn held_back(&self) -> Option<&HeldBack> {
        self.held_back.as_deref()
    }

    pub(crate) fn observer(&self) -> Option<Arc<dyn Observer>> {
        self.shared.observer.clone()
    }

    pub(crate) fn usage(&self) -> &UsageLog {
        &self.shared.usage
    }

    fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// A token's row, and this process's own use of it, for somebody who may see it.
    async fn read(
        &self,
        by: By<'_>,
        id: TokenId,
    ) -> Result<(WholeRow, Option<Timestamp>), ChangeError> {
        let own_use = self.own_use(id);
        let row = self.store.find(id).await?.and_then(Row::into_whole);
        let row = row.filter(|row| by.may_see(row.record().owner())).ok_or(ChangeError::Unknown)?;
        Ok((row, own_use))
    }

    /// Nothing is changed of a token that doesn't authenticate any more.
    fn refuse_ended(
        &self,
        row: &WholeRow,
        own_use: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), ChangeError> {
        match self.status(row, now, own_use)? {
            Status::Active => Ok(()),
            ended => Err(ChangeError::NotActive(ended)),
        }
    }

    /// What a good token's row may be sealed anew from.
    fn intact<'r>(&self, row: &'r WholeRow) -> Result<Intact<'r>, Failed> {
        self.shared.sealer.intact(row).map_err(|_| Failed::NotIntact)
    }

    /// A token that can be rotated at the instant given with it, and its unused successor if it was rotated before.
    async fn rotatable(
        &self,
        by: By<'_>,
        id: TokenId,
    ) -> Result<(WholeRow, Option<WholeRow>, Timestamp), ChangeError> {
        let (old, own_use) = self.read(by, id).await?;
        let Some(successor) = old.record().successor() else {
            let now = self.now();
            self.refuse_ended(&old, own_use, now)?;
            return Ok((old, None, now));
        };
        // A use that this process has not written yet must reach the store before it can say that there was none.
        self.flush_usage().await?;
        let found = self.read(by, successor).await;
        let now = self.now();
        self.refuse_ended(&old, own_use, now)?;
        let unused = found.and_then(|(successor, own_use)| {
            self.refuse_ended(&successor, own_use, now)?;
            let record = successor.record();
            let is_unused = record.last_use().is_none() && record.successor().is_none();
            is_unused.then_some(successor).ok_or(ChangeError::Rotated)
        });
        match unused {
            Ok(successor) => Ok((old, Some(successor), now)),
            Err(ChangeError::Failed(failed)) => Err(ChangeError::Failed(failed)),
            Err(_) => Err(ChangeError::Rotated),
        }
    }

    /// Compare-and-swap of a good token's row: what was found intact, and the change.
    async fn change(
        &self,
        by: By<'_>,
        id: TokenId,
        kind: event::Change,
        decide: impl Fn(&TokenRecord, Timestamp) -> Result<seal::Change, ChangeError> + Send,
    ) -> Result<TokenView, ChangeError> {
        let actor = by.actor()?;
        for _ in 0..MAX_TRIES {
            let (old, own_use) = self.read(by, id).await?;
            let now = self.now();
            self.refuse_ended(&old, own_use, now)?;
            let intact = self.intact(&old)?;
            let new = self.shared.sealer.reseal(intact, decide(intact.record(), now)?);
            let (access, expires) = (new.record().access(), new.record().expires());
            let is_less = issue::is_less(access, expires, old.record(), &self.shared.policy);
            let replace = Replace {
                row: new.clone().into(),
                now,
                unique_label: kind == event::Change::Renamed
                    && self.shared.policy.has_unique_labels(),
                // They may do more than the token may now, or outlive it.
                ends_derived: is_less.then(|| Revocation {
                    at: now,
                    reason: Reason::NARROWED,
                    by: actor.clone(),
                }),
            };
            let view = self.view(&new, now);
            let mut telling = Telling::new(|_, is_certain| {
                let (token, change, ended_derived, by) = (&view, kind, is_less, &actor);
                self.tell(&Event::Changed { token, change, ended_derived, by, is_certain });
            });
            let is_done = |answer: &Replaced| u64::from(*answer == Replaced::Done);
            let answer = telling.hear(self.replace(&replace), is_done).await?;
            drop(telling);
            match answer {
                Replaced::Done => return Ok(view),
                Replaced::LabelTaken => return Err(ChangeError::LabelTaken),
                Replaced::Stale => {}
            }
        }
        Err(ChangeError::Conflict)
    }

    /// Replaces a row, and where the store can't say whether it did, looks.
    async fn replace(&self, replace: &Replace) -> Result<Replaced, Failed> {
        let lost = match self.store.replace(replace).await {
            Err(error) if error.certainty() == Certainty::Unknown => error,
            answered => return Ok(answered?),
        };
        let found = self.store.find(replace.row.id()).await.ok().flatten();
        let seal = |row: &Row| row.record().and_then(|record| record.seal().copied());
        let is_done = found.as_ref().and_then(seal) == seal(&replace.row);
        if is_done { Ok(Replaced::Done) } else { Err(lost.into()) }
    }

    async fn issue_granted(
        &self,
        granted: &Granted,
        under: Option<Row>,
        now: Timestamp,
    ) -> Result<IssuedToken, IssueError> {
        let limit = self.shared.policy.max_per_owner();
        let unique_label = self.shared.policy.has_unique_labels();
        let as_asked =
            |row| Insert { row, now, limit, unique_label, under: under.clone(), supersede: None };
        let by = granted.issued_by.clone().map_or(Actor::Owner, Actor::Operator);
        let tell = |token: &TokenView, is_certain| {
            self.tell(&Event::Issued { token, by: &by, is_certain });
        };
        let (answer, issued) = self.draw_and_insert(granted, now, as_asked, tell).await?;
        match answer {
            Inserted::Done => Ok(issued),
            Inserted::LabelTaken => Err(IssueError::LabelTaken),
            Inserted::LimitReached => Err(IssueError::LimitReached { limit: limit.unwrap_or(0) }),
            Inserted::Stale => Err(IssueError::ParentChanged),
            Inserted::IdTaken => Err(Failed::NoFreeId.into()),
        }
    }

    /// Draws a token, and draws again where its id is taken. Tells of the one that was inserted, or may be.
    async fn draw_and_insert(
        &self,
        granted: &Granted,
        now: Timestamp,
        insert: impl Fn(Row) -> Insert,
        tell: impl Fn(&TokenView, bool),
    ) -> Result<(Inserted, IssuedToken), Failed> {
        for _ in 0..MAX_DRAWS {
            let (token, row) = self.draw(granted, now)?;
            let view = TokenView::new(row.record(), Some(Status::Active), None);
            let insert = insert(row.into());
            let mut telling = Telling::new(|_, is_certain| tell(&view, is_certain));
            let is_done = |answer: &Inserted| u64::from(*answer == Inserted::Done);
            let answer = telling.hear(self.insert(&insert), is_done).await?;
            drop(telling);
            if answer != Inserted::IdTaken {
                return Ok((answer, IssuedToken::new(token, view)));
            }
        }
        Err(Failed::NoFreeId)
    }

    /// A new token and its sealed row.
    fn draw(&self, granted: &Granted, now: Timestamp) -> Result<(Token, WholeRow), Failed> {
        let (id, secret) = {
            let mut random = self.shared.random.lock().unwrap_or_else(PoisonError::into_inner);
            Secret::draw(&mut **random)?
        };
        let token = Token::compose(self.shared.policy.prefix(), id, &secret);
        let row = self.shared.sealer.seal_new(RecordParts {
            id,
            digest: Digest::of(&token),
            owner: granted.owner.clone(),
            label: granted.label.clone(),
            access: granted.access.clone(),
            issued_by: granted.issued_by.clone(),
            created_at: now,
            expires: granted.expires,
            family: granted.family.unwrap_or(id),
            successor: None,
            derived_from: granted.derived_from,
            revocation: None,
            last_use: None,
            revision: 0,
            key_id: self.shared.sealer.ring().active_id(),
            seal: None,
        });
        Ok((token, row))
    }

    /// Inserts a row, and where the store can't say whether it did, looks and asks once more: with the same row, so that there is
    /// never a second token.
    async fn insert(&self, insert: &Insert) -> Result<Inserted, Failed> {
        let lost = match self.store.insert(insert).await {
            Err(error) if error.certainty() == Certainty::Unknown => error,
            answered => return Ok(answered?),
        };
        if self.is_there(&insert.row).await == Some(true) {
            return Ok(Inserted::Done);
        }
        match self.store.insert(insert).await {
            // The first one came late, or the id that was drawn is taken.
            Ok(Inserted::IdTaken) => match self.is_there(&insert.row).await {
                Some(true) => Ok(Inserted::Done),
                Some(false) => Ok(Inserted::IdTaken),
                None => Err(lost.into()),
            },
            Ok(answer) => Ok(answer),
            Err(_) => Err(lost.into()),
        }
    }

    /// Whether the store has this very row; `None` if it can't say that either.
    async fn is_there(&self, row: &Row) -> Option<bool> {
        let found = self.store.find(row.id()).await.ok()?;
        let found = found.as_ref().and_then(Row::record).map(TokenRecord::digest);
        Some(found.is_some() && found == row.record().map(TokenRecord::digest))
    }

    /// The way of every presented text: parse, find, compare, revoked?, seal, the rest of the status. Whoever asks for it admits the
    /// token or turns it away, after a look at its owner.
    pub(crate) async fn prove(&self, presented: &Presented<'_>) -> Result<Proven, AuthError> {
        self.refuse_without_flusher()?;
        let deny = |reason, id, view: Option<&TokenView>| {
            AuthError::Denied(self.deny(presented, reason, id, view))
        };
        let prefixes = self.shared.policy.accepted_prefixes();
        let (id, digest) = match Digest::of_presented(presented.text, prefixes) {
            Ok(read) => read,
            Err(ParseError::Checksum) => return Err(deny(DenialReason::Mistyped, None, None)),
            Err(error) => return Err(AuthError::NotOurs(error)),
        };
        // Before the row: a flush in between moves a use from here to there, and it must be seen in one of the two.
        let own_use = self.own_use(id);
        let found = self.store.find(id).await?;
        let nothing = if found.is_none() { DenialReason::Unknown } else { DenialReason::Tampered };
        let row = found.and_then(Row::into_whole);
        let stored = row.as_ref().map_or(&Digest::OF_NO_TOKEN, |row| row.record().digest());
        let secret_is_right = digest == *stored;
        let Some(row) = row else {
            return Err(deny(nothing, Some(id), None));
        };
        if !secret_is_right {
            return Err(deny(DenialReason::WrongSecret, Some(id), None));
        }
        let now = self.now();
        let status = self.status(&row, now, own_use)?;
        if let Some(reason) = DenialReason::from_status(status) {
            let view = TokenView::new(row.record(), Some(status), None);
            if reason == DenialReason::Superseded {
                self.reused(&view, now).await;
            }
            return Err(deny(reason, Some(id), Some(&view)));
        }
        Ok(Proven { row, now })
    }

    /// A superseded token was presented with its right secret: two hold it, or a client missed the rotation. It is denied whatever
    /// comes of this; a revocation that failed is tried again when it is presented the next time.
    async fn reused(&self, token: &TokenView, now: Timestamp) {
        if self.shared.policy.reuse() == Reuse::RevokeFamily {
            let family =
                Filter { revoked: Some(false), ..Filter::of_family(token.owner(), token.family()) };
            let _failed_or_done_it_is_denied =
                self.end(Actor::Engine, &family, Reason::REUSED).await;
        }
        if self.shared.usage.note_reuse(token.id(), now, self.shared.policy.usage_interval()) {
            self.tell(&Event::Reused { token });
        }
    }

    /// Lets a good token in, and notes its use.
    pub(crate) fn admit(&self, proven: Proven, presented: &Presented<'_>) -> Authenticated {
        self.note_use(&proven.row, presented, proven.now);
        Authenticated::new(proven.row)
    }

    /// Denies a good token for its owner's sake.
    pub(crate) fn turn_away(
        &self,
        proven: &Proven,
        presented: &Presented<'_>,
        reason: DenialReason,
    ) -> Denied {
        let view = TokenView::new(proven.row.record(), Some(Status::Active), None);
        self.deny(presented, reason, Some(view.id()), Some(&view))
    }

    /// Every denial is told.
    pub(crate) fn deny(
        &self,
        presented: &Presented<'_>,
        reason: DenialReason,
        id: Option<TokenId>,
        token: Option<&TokenView>,
    ) -> Denied {
        let Presented { address, client, .. } = *presented;
        self.tell(&Event::Denied { id, reason, token, address, client });
        Denied::new(reason, id)
    }

    /// The use of a token that this process has not written yet, where an idle time-out asks for it.
    fn own_use(&self, id: TokenId) -> Option<Timestamp> {
        self.shared.policy.idle_timeout()?;
        self.shared.usage.pending(id).map(|own_use| own_use.at)
    }

    /// The one rule of validity, with what this process knows of seal and use.
    fn status(
        &self,
        row: &WholeRow,
        now: Timestamp,
        own_use: Option<Timestamp>,
    ) -> Result<Status, Failed> {
        let seal = self.shared.sealer.check(row);
        Ok(row.record().status(seal, now, own_use, self.shared.policy.idle_timeout())?)
    }

    fn view(&self, row: &WholeRow, now: Timestamp) -> TokenView {
        self.view_with(row, self.shared.usage.pending(row.record().id()), now)
    }

    fn view_with(&self, row: &WholeRow, own_use: Option<LastUse>, now: Timestamp) -> TokenView {
        let own_use_at = own_use.as_ref().map(|own_use| own_use.at);
        TokenView::new(row.record(), self.status(row, now, own_use_at).ok(), own_use)
    }

    fn note_use(&self, row: &WholeRow, presented: &Presented<'_>, now: Timestamp) {
        let policy = &self.shared.policy;
        let recorded = presented.client.filter(|_| policy.records_origin());
        let this = || LastUse {
            at: now,
            address: presented.address.filter(|_| policy.records_origin()),
            client: recorded.map(|client| clean_client(client).into()),
        };
        let is_own = self.shared.sealer.has_marked(row);
        let noted = self.shared.usage.note(row, is_own, now, policy.usage_interval(), this);
        if self.shared.observer.is_none() {
            return;
        }
        match noted {
            Noted::Again | Noted::InNewInterval => {}
            Noted::First => {
                let address = presented.address;
                self.tell(&Event::FirstUse { token: &self.view(row, now), address });
            }
            Noted::NewAddress(address) => {
                self.tell(&Event::NewAddress { token: &self.view(row, now), address });
            }
        }
    }

    async fn end(&self, by: Actor, filter: &Filter, reason: Reason) -> Result<u64, Failed> {
        let revocation = Revocation { at: self.now(), reason, by };
        let mut telling = Telling::new(|count, is_certain| {
            let Revocation { reason, by, .. } = &revocation;
            self.tell(&Event::Revoked { filter, count, is_certain, reason, by });
        });
        let revoked = async { Ok(self.store.revoke(filter, &revocation).await?) };
        telling.hear(revoked, |count| *count).await
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

    async fn move_rows(
        &self,
        lost: Option<(KeyId, &Actor)>,
        looked_at_one: impl FnMut() + Send,
    ) -> Result<ResealReport, Failed> {
        let trusted_by = lost.map(|(_, actor)| actor);
        let mut moving = Moving { tokens: self, report: ResealReport::default(), trusted_by };
        let lost = lost.map(|(lost, _)| lost);
        self.move_each_row(lost, &mut moving.report, looked_at_one).await?;
        Ok(moving.report.clone())
    }

    async fn move_each_row(
        &self,
        lost: Option<KeyId>,
        report: &mut ResealReport,
        mut looked_at_one: impl FnMut() + Send,
    ) -> Result<(), Failed> {
        let under_other_keys = self.under_other_keys();
        let mut page = Page::first(WALK_PAGE);
        loop {
            let rows = self.store.list(&under_other_keys, page).await?;
            for row in &rows {
                self.move_row(row, lost, report).await?;
                looked_at_one();
            }
            page.after = rows.last().map(Row::id);
            if rows.len() < WALK_PAGE as usize {
                break;
            }
        }
        report.left = self.count_by_key(under_other_keys).await?;
        Ok(())
    }

    /// The rows that a reseal moves, so far as it can.
    fn under_other_keys(&self) -> Filter {
        Filter {
            revoked: Some(false),
            except_key_ids: vec![self.shared.sealer.ring().active_id()],
            ..Filter::every_token()
        }
    }

    async fn move_row(
        &self,
        row: &Row,
        lost: Option<KeyId>,
        report: &mut ResealReport,
    ) -> Result<(), Failed> {
        let Some(whole) = row.whole() else {
            report.tampered.push(row.id());
            return Ok(());
        };
        let is_trusted = lost == Some(whole.record().key_id());
        let new = match self.shared.sealer.intact(whole) {
            Ok(intact) => self.shared.sealer.reseal(intact, seal::Change::default()),
            Err(SealCheck::KeyMissing) if is_trusted => {
                self.shared.sealer.danger_seal_without_proof(whole)
            }
            Err(SealCheck::KeyMissing) => return Ok(()),
            // Also one without any seal: its revocation was cleared, and no lost key is needed to see that.
            Err(_) => {
                report.tampered.push(row.id());
                return Ok(());
            }
        };
        // Its revision was changed by hand: nothing can replace it.
        if whole.record().revision() >= TokenRecord::MAX_REVISION {
            report.tampered.push(row.id());
            return Ok(());
        }
        let now = self.now();
        let replace = Replace { row: new.into(), now, unique_label: false, ends_derived: None };
        // Named before: the store may not say whether it took it, or the caller give up.
        report.trusted.extend(is_trusted.then_some(row.id()));
        let replaced = self.replace(&replace).await;
        if is_trusted && matches!(replaced, Ok(Replaced::Stale)) {
            report.trusted.pop();
        }
        report.moved += u64::from(replaced? == Replaced::Done);
        Ok(())
    }

    async fn count_by_key(&self, filter: Filter) -> Result<Vec<(KeyId, u64)>, Failed> {
        let mut counts = BTreeMap::new();
        let mut page = Page::first(WALK_PAGE);
        loop {
            let rows = self.store.list(&filter, page).await?;
            for record in rows.iter().filter_map(Row::record) {
                *counts.entry(record.key_id()).or_insert(0) += 1;
            }
            page.after = rows.last().map(Row::id);
            if rows.len() < WALK_PAGE as usize {
                return Ok(counts.into_iter().collect());
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
        let mut telling = Telling::new(tell);
        let mut count = 0;
        loop {
            let batch = async { Ok(self.store.purge(purge, PURGE_BATCH).await?) };
            let deleted = telling.hear(batch, |deleted| *deleted).await?;
            count += deleted;
            if deleted < u64::from(PURGE_BATCH) {
                return Ok(count);
            }
        }
    }

    /// A filter by last use must see the uses that this process has not written yet.
    async fn flush_if_it_matters(&self, filter: &Filter) -> Result<(), Failed> {
        match self.held_back {
            _ if filter.last_used_before.is_none() => Ok(()),
            None => self.flush_usage().await,
            // The host may roll it back: they stay to be written again.
            Some(_) => Ok(self.shared.usage.write(&self.store, self.now()).await?),
        }
    }

    fn refuse_without_flusher(&self) -> Result<(), Failed> {
        let needed = self.shared.policy.idle_timeout().is_some();
        if needed && !self.shared.usage.has_flusher() { Err(Failed::NoFlusher) } else { Ok(()) }
    }

    /// Issues nothing beside rows whose key is missing: a ring that was made anew must not hide that the old one is lost.
    async fn refuse_with_missing_keys(&self) -> Result<(), Failed> {
        if self.shared.ring_is_complete.load(Ordering::Relaxed) {
            return Ok(());
        }
        let orphans = Filter {
            revoked: Some(false),
            except_key_ids: self.shared.sealer.ring().ids().collect(),
            ..Filter::every_token()
        };
        let now = self.now();
        let mut page = Page::first(WALK_PAGE);
        loop {
            let rows = self.store.list(&orphans, page).await?;
            // One that has expired will not be missed.
            let missed = rows.iter().filter_map(Row::record).find(|record| record.is_live(now));
            if let Some(missed) = missed {
                return Err(Failed::OrphanRow { id: missed.id(), key_id: missed.key_id() });
            }
            page.after = rows.last().map(Row::id);
            if rows.len() < WALK_PAGE as usize {
                break;
            }
        }
        // What a transaction of the host's revoked may be rolled back.
        if self.held_back.as_ref().is_none_or(|held_back| held_back.has_no_revocation()) {
            self.shared.ring_is_complete.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    fn tell(&self, event: &Event<'_>) {
        match &self.held_back {
            Some(held_back) => held_back.push(event),
            None => event::tell(self.shared.observer.as_deref(), event),
        }
    }
}

/// Tells what was moved, however the walk ends: what is moved is moved.
struct Moving<'a, S: TokenStore> {
    tokens: &'a TokenAuthority<S>,
    report: ResealReport,
    trusted_by: Option<&'a Actor>,
}

impl<S: TokenStore> Drop for Moving<'_, S> {
    fn drop(&mut self) {
        let (trusted_by, ResealReport { moved: count, trusted, .. }) =
            (self.trusted_by, &self.report);
        if *count > 0 || !trusted.is_empty() {
            self.tokens.tell(&Event::Resealed { count: *count, trusted, trusted_by });
        }
    }
}

/// A token that is good, and not let in yet.
pub(crate) struct Proven {
    row: WholeRow,
    now: Timestamp,
}

impl Proven {
    pub(crate) fn owner(&self) -> &Owner {
        self.row.record().owner()
    }
}

impl By<'_> {
    fn actor(self) -> Result<Actor, InvalidText> {
        match self {
            By::Owner(_) => Ok(Actor::Owner),
            By::Operator(name) => Operator::new(name).map(Actor::Operator),
        }
    }

    fn may_see(self, owner: &Owner) -> bool {
        match self {
            By::Owner(acting) => acting == owner,
            By::Operator(_) => true,
        }
    }

    /// The part of a filter that he may act on; `None` if an owner named another.
    fn limit(self, filter: Filter) -> Option<Filter> {
        let By::Owner(acting) = self else {
            return Some(filter);
        };
        let his = filter.owner.as_ref().is_none_or(|owner| owner == acting);
        his.then(|| Filter { owner: Some(acting.clone()), ..filter })
    }
}

/// Lets other tasks of the same thread run, whatever runtime that has.
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

impl<S> fmt::Debug for TokenAuthority<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenAuthority")
            .field("policy", &self.shared.policy)
            .field("sealer", &self.shared.sealer)
            .finish_non_exhaustive()
    }
}

/// Makes a [`TokenAuthority`] with a clock, a random source or an observer of the host's.
#[must_use = "nothing is made before `build`"]
pub struct TokenAuthorityBuilder<S> {
    store: S,
    ring: KeyRing,
    policy: Policy,
    clock: Box<dyn Clock>,
    random: Box<dyn RandomSource>,
    observer: Option<Arc<dyn Observer>>,
}

impl<S: TokenStore> TokenAuthorityBuilder<S> {
    /// Another clock than the system's: for tests.
    pub fn clock(self, clock: impl Clock + 'static) -> TokenAuthorityBuilder<S> {
        TokenAuthorityBuilder { clock: Box::new(clock), ..self }
    }

    /// Another random source than the system's. All clones share it. It must be fit for keys; one that was seeded from little is not.
    pub fn random(self, source: impl TryCryptoRng + Send + 'static) -> TokenAuthorityBuilder<S> {
        TokenAuthorityBuilder { random: Box::new(source), ..self }
    }

    /// Whoever hears of what happens: an audit log, a mail to the owner.
    pub fn observer(self, observer: impl Observer + 'static) -> TokenAuthorityBuilder<S> {
        TokenAuthorityBuilder { observer: Some(Arc::new(observer)), ..self }
    }

    /// The authority.
    pub fn build(self) -> TokenAuthority<S> {
        let sealer = Sealer::new(self.ring, self.policy.realm());
        TokenAuthority {
            store: self.store,
            shared: Arc::new(Shared {
                policy: self.policy,
                sealer,
                clock: self.clock,
                random: Mutex::new(self.random),
                observer: self.observer,
                usage: UsageLog::new(),
                ring_is_complete: AtomicBool::new(false),
            }),
            held_back: None,
        }
    }
}

impl<S> fmt::Debug for TokenAuthorityBuilder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenAuthorityBuilder")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}
