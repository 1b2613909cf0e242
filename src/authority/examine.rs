//! Examines a presented text: says what became of the token, and lets nobody in.

use super::TokenAuthority;
use crate::error::AuthError;
use crate::event::Event;
use crate::present::Origin;
use crate::store::TokenStore;
use crate::view::{Examined, TokenView};

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
}
