//! Finds and lists tokens for people: one, a page, those that end soon, all of an owner.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::time::Duration;

use super::{MAX_TRIES, TokenAuthority};
use crate::error::{Failed, ManageError};
use crate::issue::next_second;
use crate::record::{Actor, Status};
use crate::store::{Filter, Page, Row, TokenStore};
use crate::text::Owner;
use crate::token::TokenId;
use crate::view::{OwnerTokens, TokenPage, TokenView};

/// How many rows one call to the store reads for a list of all tokens.
const PAGE: u32 = 250;
/// The most rows that are read for a list of all tokens. Some are read up to three times.
const MAX_READ: usize = 4 * OwnerTokens::MAX_TOKENS;

impl<S: TokenStore> TokenAuthority<S> {
    /// Finds one token by its id.
    ///
    /// The id is public and proves nothing: don't let anyone in by what this returns.
    ///
    /// # Errors
    /// - [`ManageError::Unknown`] if there is no such token, it is another owner's, or its row is
    ///   damaged.
    /// - [`ManageError::Failed`] if the store fails.
    pub async fn find(&self, by: impl Into<Actor>, id: TokenId) -> Result<TokenView, ManageError> {
        let by = by.into();
        // Read before the row. A flush in between moves a use from the log to the store, and in
        // this order it is seen at least once.
        let own_use = self.engine.usage.pending(id);
        let row = self.store.find(id).await?.ok_or(ManageError::Unknown)?;
        let row = row.into_readable().ok_or(ManageError::Unknown)?;
        let view = self.view_with(&row, own_use, self.now());
        if by.may_see(Some(view.owner())) { Ok(view) } else { Err(ManageError::Unknown) }
    }

    /// Lists a page of the tokens that match, in order of id, dead ones included.
    ///
    /// Uses that this process has not written yet are included. Damaged rows come apart, by id. To
    /// go on, pass [`TokenPage::next`] as the page's `after`.
    ///
    /// # Errors
    /// [`Failed`] if the store fails.
    pub async fn list(&self, filter: &Filter, page: Page) -> Result<TokenPage, Failed> {
        self.flush_if_it_matters(filter).await?;
        let (mut rows, mut tokens);
        let mut tries = 0;
        loop {
            let flushes = self.engine.usage.flushes();
            rows = self.store.list(filter, page).await?;
            // Read after the rows, so that no row seems to be made in the future.
            let now = self.now();
            let readable = rows.iter().filter_map(Row::readable);
            tokens = readable.map(|row| self.view(&row, now)).collect();
            // A flush in between moves a use from the log to the store. The rows were then read too
            // early, and the log too late, to see it: so read both again. Counted before the rows
            // and after the log, because either alone would miss a flush that lies between them.
            tries += 1;
            if flushes == self.engine.usage.flushes() || tries == MAX_TRIES {
                break;
            }
        }
        let is_full = rows.len() >= page.limit.get() as usize;
        let next = rows.last().filter(|_| is_full).map(Row::id);
        let damaged = rows.iter().filter(|row| row.record().is_none()).map(Row::id).collect();
        Ok(TokenPage { tokens, damaged, next })
    }

    /// Lists a page of the active tokens that expire within a period from now, for reminders.
    ///
    /// A token that never expires is not listed. Pages work as in [`TokenAuthority::list`]. A page
    /// that is shorter than its limit need not be the last: tokens that are not active are left out
    /// after reading.
    ///
    /// # Errors
    /// [`Failed`] if the store fails.
    pub async fn expiring(&self, within: Duration, page: Page) -> Result<TokenPage, Failed> {
        let now = self.now();
        let filter = Filter {
            revoked: Some(false),
            superseded: Some(false),
            // A token is valid while `now < expires`, so one that ends at `now` has expired.
            expires_from: Some(next_second(now)),
            expires_before: Some(next_second(now.saturating_add(within))),
            ..Filter::every_token()
        };
        let mut listed = self.list(&filter, page).await?;
        listed.tokens.retain(|token| token.status() == Some(Status::Active));
        Ok(listed)
    }

    /// Lists the tokens of an owner for a settings page, newest first, ended ones included.
    ///
    /// It lists at most [`OwnerTokens::MAX_TOKENS`], and leaves out ended tokens before active
    /// ones. It reads at most 4,000 rows, active ones first. So for an owner with more rows it may
    /// also miss active tokens that never expire or are in an overlap. [`OwnerTokens::is_cut`] says
    /// if something was left out.
    ///
    /// Uses that this process has not written yet are included. It reads in pages, so that it does
    /// not hold up other calls.
    ///
    /// A device that was rotated is several tokens, all but one of them superseded. A page that
    /// shows what can be used now leaves out what has ended:
    ///
    /// ```
    /// # use app_tokens::record::Status;
    /// # use app_tokens::{Access, NewToken, Owner, Rotation, TokenAuthority};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let tokens = TokenAuthority::in_memory("acme")?;
    /// # let owner = Owner::new("alice")?;
    /// # let phone = tokens.issue(NewToken::new(&owner, "My phone", Access::full())).await?;
    /// # let _new = tokens.rotate(&owner, phone.id(), Rotation::new()).await?;
    /// let mut all = tokens.all_of(&owner).await?;
    /// all.tokens.retain(|token| token.status() == Some(Status::Active));
    /// # assert_eq!(all.tokens.len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// During an overlap the superseded token is active, too. It has a
    /// [`successor`](TokenView::successor), and its [`expires`](TokenView::expires) is the end of
    /// the overlap.
    ///
    /// # Errors
    /// [`Failed`] if the store fails.
    #[doc(alias("export", "GDPR"))]
    pub async fn all_of(&self, owner: &Owner) -> Result<OwnerTokens, Failed> {
        let current = Filter {
            revoked: Some(false),
            superseded: Some(false),
            expires_from: Some(next_second(self.now())),
            ..Filter::of_owner(owner)
        };
        // Tokens that never expire match no filter by end, so they come with the second.
        let of_any_end = Filter { expires_from: None, ..current.clone() };
        let overlapping = Filter { superseded: Some(true), ..current.clone() };
        let (mut all, mut seen, mut read) = (OwnerTokens::default(), HashSet::new(), 0);
        // Live tokens are read first, so that a great number of ended ones can't push them out. A
        // token that matches several filters counts once.
        'reading: for filter in [current, of_any_end, overlapping, Filter::of_owner(owner)] {
            let mut page = Some(Page::first(PAGE));
            while let Some(this) = page {
                if read >= MAX_READ {
                    all.is_cut = true;
                    break 'reading;
                }
                let listed = self.list(&filter, this).await?;
                read += listed.tokens.len() + listed.damaged.len();
                page = listed.next.map(|id| this.after(id));
                let tokens = listed.tokens.into_iter().filter(|token| seen.insert(token.id()));
                all.tokens.extend(tokens);
                all.damaged.extend(listed.damaged.into_iter().filter(|id| seen.insert(*id)));
            }
        }
        let newest_first = |token: &TokenView| (Reverse(token.created_at()), token.id());
        if all.tokens.len() > OwnerTokens::MAX_TOKENS {
            // Cut by status first and by age second, and then sorted by age alone.
            let has_ended = |token: &TokenView| token.status() != Some(Status::Active);
            all.tokens.sort_by_key(|token| (has_ended(token), newest_first(token)));
            all.tokens.truncate(OwnerTokens::MAX_TOKENS);
            all.is_cut = true;
        }
        all.tokens.sort_by_key(newest_first);
        Ok(all)
    }

    /// Writes pending uses if the filter depends on them.
    ///
    /// # Errors
    /// [`Failed`] if the store fails.
    pub(super) async fn flush_if_it_matters(&self, filter: &Filter) -> Result<(), Failed> {
        match self.buffer {
            _ if filter.last_used_before.is_none() => Ok(()),
            None => self.flush_usage().await,
            // The host may roll the transaction back, so they also stay in the log.
            Some(_) => Ok(self.engine.usage.write(&self.store, self.now()).await?),
        }
    }
}
