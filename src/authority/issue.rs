//! Issues tokens: draws, seals and inserts them.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::{TokenAuthority, WALK_PAGE};
use crate::digest::Digest;
use crate::error::{Failed, IssueError, OrphanRow};
use crate::event::{ChangeEvent, Event};
use crate::issue::{Granted, IssuedToken, NewToken};
use crate::present::Caller;
use crate::random::Secret;
use crate::record::{Actor, RecordParts, Status, TokenRecord};
use crate::row::ReadableRow;
use crate::store::{
    Certainty, Filter, Insert, Inserted, Page, Row, StoreError, Supersede, Superseded, TokenStore,
};
use crate::timestamp::Timestamp;
use crate::token::Token;
use crate::view::TokenView;

/// How many ids are drawn before the random source counts as broken.
///
/// Of 2^50 ids, a million tokens take one in a thousand million. So four draws in a row that all
/// hit a taken id are not chance.
const MAX_DRAWS: usize = 4;

/// Why the store did not insert a token.
pub(super) enum Refused {
    /// A row that the new token rests on has changed.
    Stale,
    LimitReached {
        limit: u32,
    },
    LabelTaken,
}

/// The request that puts a new token into the store: as the first of a line, or as a successor.
pub(super) enum New {
    Insert(Insert),
    Supersede(Supersede),
}

impl New {
    /// Returns the new token's row.
    fn row(&self) -> &Row {
        match self {
            New::Insert(insert) => &insert.row,
            New::Supersede(supersede) => &supersede.row,
        }
    }

    /// Sends the request to the store.
    async fn send(&self, store: &impl TokenStore) -> Result<Inserted, StoreError> {
        match self {
            New::Insert(insert) => store.insert(insert).await,
            New::Supersede(supersede) => Ok(match store.supersede(supersede).await? {
                Superseded::Done => Inserted::Done,
                Superseded::IdTaken => Inserted::IdTaken,
                Superseded::Stale => Inserted::Stale,
            }),
        }
    }

    /// Returns what an answer refuses. `None` if the request did not ask for that: the store is
    /// broken.
    fn refused(&self, answer: Inserted) -> Option<Refused> {
        match (self, answer) {
            (_, Inserted::Done | Inserted::IdTaken) => None,
            (New::Supersede(_), Inserted::Stale) => Some(Refused::Stale),
            (New::Supersede(_), Inserted::LimitReached | Inserted::LabelTaken) => None,
            (New::Insert(insert), Inserted::Stale) => insert.under.as_ref().map(|_| Refused::Stale),
            (New::Insert(insert), Inserted::LimitReached) => {
                insert.limit.map(|limit| Refused::LimitReached { limit })
            }
            (New::Insert(insert), Inserted::LabelTaken) => {
                insert.unique_label.then_some(Refused::LabelTaken)
            }
        }
    }
}

/// Returns the failure of a store that refuses what an insert did not ask for.
pub(super) fn unasked(refusal: Inserted) -> StoreError {
    StoreError::unknown(format!(
        "the store answered {refusal:?}, which this insert did not ask for; \
         run the conformance suite on it"
    ))
}

impl<S: TokenStore> TokenAuthority<S> {
    /// Issues a token. Its text is in the answer and nowhere else: show it once.
    ///
    /// Call it only after the owner has authenticated with more than a token (OWASP ASVS 5.0,
    /// 7.5.1). If the caller has only a token, use [`issue_under`](Self::issue_under).
    ///
    /// The policy limits the life and the number of tokens, but not the access. A scope that it
    /// doesn't know is issued, too, and so is access that allows nothing. If users choose scopes,
    /// check their choice first: see [`Policy::scopes`](crate::Policy::scopes).
    ///
    /// If the returned future is dropped, there may be a token whose text nobody saw. It counts
    /// towards the owner's limit until it is revoked or expires.
    ///
    /// ```
    /// # use app_tokens::{Access, NewToken, TokenAuthority};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let tokens = TokenAuthority::in_memory("acme")?;
    /// let new = NewToken::new("alice", "Backup", Access::scopes(["files:read"])?);
    /// let issued = tokens.issue(new).await?;
    /// println!("{}", issued.expose_secret()); // acme_…
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`IssueError`] in these cases:
    /// - A text or the life is not allowed.
    /// - The owner's limit is reached, or the label is taken.
    /// - The engine fails.
    #[doc(alias("create", "generate", "mint"))]
    pub async fn issue(&self, new: NewToken) -> Result<IssuedToken, IssueError> {
        let now = self.now();
        let granted = new.grant(&self.engine.policy, now)?;
        self.refuse_without_upkeep()?;
        self.refuse_with_missing_keys().await?;
        self.issue_granted(&granted, None, now).await
    }

    /// Issues a token under the caller's token. It may do no more and ends no later.
    ///
    /// The request is checked against the caller's token as stored now. That token must be active
    /// and not rotated, and must not itself be issued under another.
    ///
    /// The new token is tied to the caller's whole line of rotations. It is revoked:
    /// - If any token of the line is revoked.
    /// - If the line is narrowed or gets an earlier end, also by a rotation.
    /// - **If the line is rotated without an overlap, which is the default.** To keep the new
    ///   token, rotate with an overlap.
    ///
    /// It is not revoked:
    /// - By a rotation with an overlap that takes away no access and no time, also if that replaces
    ///   an unused successor.
    /// - By the end of an overlap.
    /// - By a revocation whose filter excepts the new token's family.
    /// - If the line goes idle. [`purge`](Self::purge) keeps such a line, so that the new token can
    ///   still be revoked through it.
    ///
    /// The new token takes over the attributes of the caller's token. If no end is given, it lives
    /// for the policy's default life, but never longer than the caller's token.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use app_tokens::{Access, NewToken, Requirement, TokenAuthority};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let tokens = TokenAuthority::in_memory("acme")?;
    /// # let issued = tokens.issue(NewToken::new("alice", "Laptop", Access::full())).await?;
    /// # let authenticated = tokens.authenticate(issued.expose_secret()).await?;
    /// let caller = authenticated.require(Requirement::ANY_VALID_TOKEN)?;
    /// let new = NewToken::new(caller.owner(), "Print job", Access::scopes(["files:read"])?)
    ///     .expires_in(Duration::from_secs(600));
    /// let job = tokens.issue_under(&caller, new).await?;
    /// assert_eq!(job.view().derived_from(), Some(caller.id()));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`IssueError`] as for [`TokenAuthority::issue`]. Also if the new token would exceed the
    /// caller's token, or if that has ended or changed.
    #[doc(alias("derive", "delegate"))]
    pub async fn issue_under(
        &self,
        caller: &Caller,
        new: NewToken,
    ) -> Result<IssuedToken, IssueError> {
        self.refuse_without_upkeep()?;
        self.refuse_with_missing_keys().await?;
        // Read again: the token may have been narrowed or revoked since the caller authenticated.
        let own_use = self.own_use(caller.id());
        let parent = self.store.find(caller.id()).await?.and_then(Row::into_readable);
        let parent = parent.ok_or(IssueError::ParentChanged)?;
        let now = self.now();
        let is_current = parent.record().successor().is_none();
        if self.status(&parent, now, own_use)? != Status::Active || !is_current {
            return Err(IssueError::ParentChanged);
        }
        let granted = new.grant_under(self.intact(&parent)?.record(), &self.engine.policy, now)?;
        self.issue_granted(&granted, Some(parent.into()), now).await
    }

    /// Refuses to issue while a live row is sealed under a key that the ring lacks.
    ///
    /// Otherwise a host with a new ring would issue new tokens, and nobody would notice that the
    /// old ring is lost.
    pub(super) async fn refuse_with_missing_keys(&self) -> Result<(), Failed> {
        if self.engine.ring_is_complete.load(Ordering::Relaxed) {
            return Ok(());
        }
        // Most stores know the keys in use without a walk through all rows. Only a missing key
        // needs one, because the rows under it may all have ended.
        if self.lacks_a_key().await? {
            self.refuse_live_under_missing_keys().await?;
        }
        // Not inside a transaction. What it sees may rest on a revocation that is rolled back
        // later, made by the host's own statements or through another view of the transaction.
        if self.buffer.is_none() {
            self.engine.ring_is_complete.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Returns whether the store names a key that the ring lacks.
    pub(super) async fn lacks_a_key(&self) -> Result<bool, Failed> {
        let ring = self.engine.sealer.ring();
        Ok(self.store.keys_in_use().await?.into_iter().any(|key_id| ring.key(key_id).is_none()))
    }

    /// Matches the unrevoked rows that no key of the ring seals, and damaged ones.
    pub(super) fn under_missing_keys(&self) -> Filter {
        let except_key_ids = self.engine.sealer.ring().ids().collect();
        Filter { revoked: Some(false), except_key_ids, ..Filter::every_token() }
    }

    /// Refuses if a live row is sealed under a key that the ring lacks.
    async fn refuse_live_under_missing_keys(&self) -> Result<(), Failed> {
        let (under, live) = (self.under_missing_keys(), self.live_at(self.now()));
        let mut page = Some(Page::first(WALK_PAGE));
        while let Some(rows) = self.next_page(&under, &mut page).await? {
            // A damaged row never authenticates, and an expired one is missed by nobody.
            let orphan = rows.iter().filter_map(Row::record).find(|record| record.is_live(live));
            if let Some(orphan) = orphan {
                return Err(OrphanRow { id: orphan.id(), key_id: orphan.key_id() }.into());
            }
        }
        Ok(())
    }

    /// Issues what the policy granted, under a parent's row if there is one.
    async fn issue_granted(
        &self,
        granted: &Granted,
        under: Option<Row>,
        now: Timestamp,
    ) -> Result<IssuedToken, IssueError> {
        let limit = self.engine.policy.max_per_owner();
        let unique_label = self.engine.policy.has_unique_labels();
        let live = self.live_at(now);
        let as_asked =
            |row| New::Insert(Insert { row, live, limit, unique_label, under: under.clone() });
        let by = match &granted.issued_by {
            Some(operator) => Actor::from(operator),
            None => Actor::from(&granted.owner),
        };
        let emit = |token: &TokenView, is_certain| {
            self.emit(&Event::Issued { token, by: &by, is_certain });
        };
        let inserted = self.draw_and_insert(granted, now, as_asked, emit).await?;
        inserted.map_err(|refused| match refused {
            Refused::Stale => IssueError::ParentChanged,
            Refused::LimitReached { limit } => IssueError::LimitReached { limit },
            Refused::LabelTaken => IssueError::LabelTaken,
        })
    }

    /// Draws a token and inserts it. Draws again if its id is taken.
    ///
    /// `emit` is called for a token that was inserted, and for one that may have been.
    pub(super) async fn draw_and_insert(
        &self,
        granted: &Granted,
        now: Timestamp,
        request: impl Fn(Row) -> New,
        emit: impl Fn(&TokenView, bool),
    ) -> Result<Result<IssuedToken, Refused>, Failed> {
        for _ in 0..MAX_DRAWS {
            let (token, row) = self.draw(granted, now)?;
            let view = TokenView::new(row.record(), Some(Status::Active), None);
            let new = request(row.into());
            let mut change_event = ChangeEvent::new(|_, is_certain| emit(&view, is_certain));
            let is_done = |answer: &Inserted| u64::from(*answer == Inserted::Done);
            let answer = change_event.await_store(self.put(&new), is_done).await?;
            // Emitted here, before the next draw and before `view` is handed out.
            drop(change_event);
            match answer {
                Inserted::Done => return Ok(Ok(IssuedToken::new(token, view))),
                Inserted::IdTaken => {}
                refusal => {
                    let refused = new.refused(refusal);
                    return Ok(Err(refused.ok_or_else(|| unasked(refusal))?));
                }
            }
        }
        Err(Failed::NoFreeId)
    }

    /// Draws a new token, and seals its row.
    fn draw(&self, granted: &Granted, now: Timestamp) -> Result<(Token, ReadableRow), Failed> {
        let secret = {
            // Locked for the draw alone. A panic of the source poisons nothing: the next draw
            // starts afresh.
            let mut random = self.engine.random.lock().unwrap_or_else(PoisonError::into_inner);
            Secret::draw(&mut **random)?
        };
        let token = Token::compose(self.engine.policy.prefix(), &secret);
        let id = token.id();
        let row = self.engine.sealer.seal_new(RecordParts {
            id,
            digest: Digest::of(&token),
            owner: granted.owner.clone(),
            label: granted.label.clone(),
            access: granted.access.clone(),
            attributes: granted.attributes.clone(),
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

    /// Inserts a row. If the store can't say whether it did, looks it up, and inserts it once more.
    ///
    /// The retry carries the same row, so that one call never leaves two tokens.
    pub(super) async fn put(&self, new: &New) -> Result<Inserted, Failed> {
        let lost = match new.send(&self.store).await {
            Err(error) if error.certainty() == Certainty::Unknown => error,
            answered => return Ok(answered?),
        };
        if self.is_there(new.row()).await == Some(true) {
            return Ok(Inserted::Done);
        }
        match new.send(&self.store).await {
            // Either the first attempt arrived late, or another token has this id.
            Ok(Inserted::IdTaken) => match self.is_there(new.row()).await {
                Some(true) => Ok(Inserted::Done),
                Some(false) => Ok(Inserted::IdTaken),
                None => Err(lost.into()),
            },
            Ok(answer) => Ok(answer),
            // The first attempt is still in doubt, whatever became of the second.
            Err(_) => Err(lost.into()),
        }
    }

    /// Returns whether the store has this very row; `None` if it can't say that either.
    ///
    /// Compared by digest: with the same id, another token has another secret.
    async fn is_there(&self, row: &Row) -> Option<bool> {
        let found = self.store.find(row.id()).await.ok()?;
        let found = found.as_ref().and_then(Row::record).map(TokenRecord::digest);
        Some(found.is_some() && found == row.record().map(TokenRecord::digest))
    }
}
