//! Looks without letting in: what became of a token, and all tokens of an owner.

use std::cmp::Reverse;
use std::collections::HashSet;

use super::TokenAuthority;
use crate::error::{AuthError, Failed};
use crate::event::Event;
use crate::issue::next_second;
use crate::present::Origin;
use crate::record::Status;
use crate::store::{Filter, Page, TokenStore};
use crate::text::Owner;
use crate::view::{Examined, OwnerTokens, TokenView};

/// How many rows one call to the store reads for a list of all tokens.
const PAGE: u32 = 250;

impl<S: TokenStore> TokenAuthority<S> {
    /// Returns what became of a token, also if it has ended, to a holder of its whole text.
    ///
    /// For "why was I refused?", for an operator who was shown a token, and for token introspection
    /// (RFC 7662). To let a client in, call [`authenticate`](Self::authenticate): only that looks
    /// at networks and notes the use.
    ///
    /// It does not count as a use. [`Event::Examined`] is sent once per usage interval.
    ///
    /// ```
    /// # use app_tokens::{Access, NewToken, Reason, TokenAuthority, record::Status};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let tokens = TokenAuthority::in_memory("acme")?;
    /// let issued = tokens.issue(NewToken::new("alice", "My phone", Access::full())).await?;
    /// let owner = issued.view().owner();
    /// tokens.revoke(owner, issued.id(), Reason::REQUESTED).await?;
    /// let examined = tokens.examine(issued.expose_secret()).await?;
    /// assert_eq!(examined.status(), Status::Revoked);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// - [`AuthError::NotOurs`] if the text does not have the form of our tokens.
    /// - [`AuthError::Denied`] if there is no such token, or if its secret is another. The two look
    ///   the same and take the same time, as in [`authenticate`](Self::authenticate).
    /// - [`AuthError::Failed`] if the engine can't tell.
    #[doc(alias = "introspect")]
    pub async fn examine(&self, text: &str) -> Result<Examined, AuthError> {
        self.refuse_without_upkeep()?;
        let presented = self
            .read_presented(text)
            .map_err(|error| self.refuse_unread(error, &Origin::unknown()))?;
        // Before the row: a flush in between moves a use from the log to the store.
        let own_use = self.engine.usage.pending(presented.id());
        let found = self.store.find(presented.id()).await?;
        let row = self.match_secret(found, &presented, &Origin::unknown())?;
        let now = self.now();
        let status = self.status(&row, now, own_use.as_ref().map(|own_use| own_use.at))?;
        let view = TokenView::new(row.record(), Some(status), own_use);
        let interval = self.engine.policy.usage_interval();
        if self.engine.usage.examinations().note(view.id(), now, interval) {
            self.emit(&Event::Examined { token: &view });
        }
        Ok(Examined::new(status, view))
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
}

/// The most rows that are read for a list of all tokens. Some are read up to three times.
const MAX_READ: usize = 4 * OwnerTokens::MAX_TOKENS;
