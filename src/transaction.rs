//! Issuing and revoking inside a transaction of the host: [`InTransaction`].

use std::fmt;
use std::sync::Arc;

use crate::authority::TokenAuthority;
use crate::error::{IssueError, ManageError};
use crate::event::{self, BufferedEvent, EventBuffer, Observer};
use crate::issue::{IssuedToken, NewToken};
use crate::record::Actor;
use crate::store::{Filter, TokenStore};
use crate::text::Reason;
use crate::token::TokenId;

/// The engine inside an open transaction of the host.
///
/// For example, an account and its first token are created together, or both are not. Made by
/// [`TokenAuthority::in_transaction`].
///
/// What is done here takes effect when the host commits. Only then does a new token authenticate,
/// and a revoked one is denied everywhere. If a call fails, or its future is dropped, roll back.
///
/// Events wait until the host sends them: see [`into_events`](InTransaction::into_events).
/// `store::SqliteTransaction` and `store::PostgresTransaction` have complete examples.
///
/// ```
/// # use app_tokens::store::MemoryStore;
/// # use app_tokens::{Access, NewToken, TokenAuthority};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let tokens = TokenAuthority::in_memory("acme")?;
/// # let transaction = MemoryStore::new();
/// // let transaction = … the host's own, with its other statements
/// let within = tokens.in_transaction(&transaction);
/// let issued = within.block_on(within.issue(NewToken::new("alice", "First", Access::full())))?;
/// let events = within.into_events();
/// // transaction.commit()?;
/// events.send();
/// println!("shown once: {}", issued.expose_secret());
/// # Ok(())
/// # }
/// ```
#[must_use = "send its events after the commit, or the observer misses what was done"]
pub struct InTransaction<T> {
    tokens: TokenAuthority<T>,
    events: Arc<EventBuffer>,
}

impl<S: TokenStore> TokenAuthority<S> {
    /// Opens the engine inside a transaction of the host, on the same tables.
    ///
    /// `transaction` is a store over it, such as `store::SqliteTransaction` or
    /// `store::PostgresTransaction`. The policy, the keys, the clock and the log of uses stay those
    /// of this authority.
    pub fn in_transaction<T: TokenStore>(&self, transaction: T) -> InTransaction<T> {
        let events = Arc::new(EventBuffer::default());
        InTransaction { tokens: self.buffered(transaction, events.clone()), events }
    }
}

impl<T: TokenStore> InTransaction<T> {
    /// Issues a token, like [`TokenAuthority::issue`]. Show it only after the commit.
    ///
    /// # Errors
    /// [`IssueError`], as for [`TokenAuthority::issue`]. Roll back then.
    pub async fn issue(&self, new: NewToken) -> Result<IssuedToken, IssueError> {
        self.tokens.issue(new).await
    }

    /// Revokes a token and its whole line, like [`TokenAuthority::revoke`].
    ///
    /// # Errors
    /// [`ManageError`], as for [`TokenAuthority::revoke`]. Roll back then.
    pub async fn revoke(
        &self,
        by: impl Into<Actor>,
        id: TokenId,
        reason: Reason,
    ) -> Result<u64, ManageError> {
        self.tokens.revoke(by, id, reason).await
    }

    /// Revokes all tokens that match, like [`TokenAuthority::revoke_matching`].
    ///
    /// # Errors
    /// [`ManageError`], as for [`TokenAuthority::revoke_matching`]. Roll back then.
    pub async fn revoke_matching(
        &self,
        by: impl Into<Actor>,
        filter: &Filter,
        reason: Reason,
    ) -> Result<u64, ManageError> {
        self.tokens.revoke_matching(by, filter, reason).await
    }

    /// Takes the events, to be sent once the host has committed.
    pub fn into_events(self) -> UnsentEvents {
        UnsentEvents { events: self.events.take(), observer: self.tokens.observer() }
    }
}

impl<T> fmt::Debug for InTransaction<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InTransaction")
    }
}

/// The events of a transaction that are not sent yet.
///
/// Send them after the commit. After a rollback drop them: what they report did not happen.
#[must_use = "send them after the commit; drop them after a rollback"]
pub struct UnsentEvents {
    events: Vec<BufferedEvent>,
    observer: Option<Arc<dyn Observer>>,
}

impl UnsentEvents {
    /// Sends the events to the observer, in their order. Call it after the commit.
    pub fn send(self) {
        for event in &self.events {
            event::emit(self.observer.as_deref(), &event.as_event());
        }
    }
}

impl fmt::Debug for UnsentEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.events.iter().map(BufferedEvent::as_event)).finish()
    }
}
