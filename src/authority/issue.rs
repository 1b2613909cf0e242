//! Issuing: a token is drawn, sealed and inserted.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::{TokenAuthority, WALK_PAGE};
use crate::digest::Digest;
use crate::error::{Failed, IssueError};
use crate::event::{ChangeEvent, Event};
use crate::issue::{Granted, IssuedToken, NewToken};
use crate::present::Caller;
use crate::record::{Actor, RecordParts, Status, TokenRecord};
use crate::seal::WholeRow;
use crate::secret::Secret;
use crate::store::{Certainty, Filter, Insert, Inserted, Page, Row, TokenStore};
use crate::timestamp::Timestamp;
use crate::token::Token;
use crate::view::TokenView;

/// How many times an id is drawn before the random source is taken for broken. With a million tokens a draw is taken once in a
/// thousand million.
const MAX_DRAWS: usize = 4;

impl<S: TokenStore> TokenAuthority<S> {
    /// Issues a token. Its text is in the answer and nowhere else: show it once.
    ///
    /// Ask for it only after the owner has proved who he is with more than a token (OWASP ASVS 5.0, 7.5.1); with a
    /// token in hand there is only [`issue_under`](Self::issue_under).
    ///
    /// # Errors
    /// [`IssueError`] for a text, a life or an access outside what is allowed, a limit that is reached, or a failure.
    pub async fn issue(&self, new: NewToken) -> Result<IssuedToken, IssueError> {
        let now = self.now();
        let granted = new.grant(&self.engine.policy, now)?;
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
        let granted = new.grant_under(self.intact(&parent)?.record(), &self.engine.policy, now)?;
        self.issue_granted(&granted, Some(parent.into()), now).await
    }

    /// Issues nothing beside rows whose key is missing: a ring that was made anew must not hide that the old one is lost.
    async fn refuse_with_missing_keys(&self) -> Result<(), Failed> {
        if self.engine.ring_is_complete.load(Ordering::Relaxed) {
            return Ok(());
        }
        let orphans = Filter {
            revoked: Some(false),
            except_key_ids: self.engine.sealer.ring().ids().collect(),
            ..Filter::every_token()
        };
        let now = self.now();
        let mut page = Some(Page::first(WALK_PAGE));
        while let Some(rows) = self.next_page(&orphans, &mut page).await? {
            // One that has expired will not be missed.
            let missed = rows.iter().filter_map(Row::record).find(|record| record.is_live(now));
            if let Some(missed) = missed {
                return Err(Failed::OrphanRow { id: missed.id(), key_id: missed.key_id() });
            }
        }
        // Never inside a transaction: a revocation that it saw, by whichever hand, may be rolled back.
        if self.buffer.is_none() {
            self.engine.ring_is_complete.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn issue_granted(
        &self,
        granted: &Granted,
        under: Option<Row>,
        now: Timestamp,
    ) -> Result<IssuedToken, IssueError> {
        let limit = self.engine.policy.max_per_owner();
        let unique_label = self.engine.policy.has_unique_labels();
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
    pub(super) async fn draw_and_insert(
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
            let mut change_event = ChangeEvent::new(|_, is_certain| tell(&view, is_certain));
            let is_done = |answer: &Inserted| u64::from(*answer == Inserted::Done);
            let answer = change_event.await_store(self.insert(&insert), is_done).await?;
            drop(change_event);
            if answer != Inserted::IdTaken {
                return Ok((answer, IssuedToken::new(token, view)));
            }
        }
        Err(Failed::NoFreeId)
    }

    /// A new token and its sealed row.
    fn draw(&self, granted: &Granted, now: Timestamp) -> Result<(Token, WholeRow), Failed> {
        let (id, secret) = {
            let mut random = self.engine.random.lock().unwrap_or_else(PoisonError::into_inner);
            Secret::draw(&mut **random)?
        };
        let token = Token::compose(self.engine.policy.prefix(), id, &secret);
        let row = self.engine.sealer.seal_new(RecordParts {
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
            key_id: self.engine.sealer.ring().active_id(),
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
}
