//! [`InTransaction`]: to issue and revoke as a part of what the host's own transaction does.

use std::fmt;
use std::sync::Arc;

use crate::authority::{By, TokenAuthority};
use crate::error::{IssueError, ManageError};
use crate::event::{self, BufferedEvent, EventBuffer, Observer};
use crate::issue::{IssuedToken, NewToken};
use crate::store::{Filter, TokenStore};
use crate::text::Reason;
use crate::token::TokenId;

/// The engine inside an open transaction of the host's: an account and its first token come into being together, or neither does.
/// From [`TokenAuthority::in_transaction`].
///
/// What is done here counts once the host has committed: only then is a token good, or denied everywhere. If a call fails or is given
/// up, roll back. Nobody hears of anything before the
/// [events](InTransaction::into_events) are sent. `store::SqliteTransaction` and `store::PostgresTransaction` show it whole:
///
/// ```
/// # use app_tokens::{MemoryStore, NewToken, TokenAuthority};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let tokens = TokenAuthority::in_memory("acme")?;
/// # let transaction = MemoryStore::new();
/// // let transaction = … of the host's, with whatever else is to be done in it
/// let within = tokens.in_transaction(&transaction);
/// let issued = within.blocking().issue(NewToken::new("alice", "First"))?;
/// let events = within.into_events();
/// // transaction.commit()?;
/// events.send();
/// println!("shown once: {}", issued.expose_secret());
/// # Ok(())
/// # }
/// ```
#[must_use = "its events must be sent after the commit, or nobody hears of what was done"]
pub struct InTransaction<T> {
    tokens: TokenAuthority<T>,
    events: Arc<EventBuffer>,
}

impl<S: TokenStore> TokenAuthority<S> {
    /// The same engine inside an open transaction of the host's, in the same tables: `transaction` is a store over it, as
    /// `store::SqliteTransaction` and `store::PostgresTransaction` are.
    pub fn in_transaction<T: TokenStore>(&self, transaction: T) -> InTransaction<T> {
        let events = Arc::new(EventBuffer::default());
        InTransaction { tokens: self.buffered(transaction, events.clone()), events }
    }
}

impl<T: TokenStore> InTransaction<T> {
    /// [`TokenAuthority::issue`]; show the token after the commit.
    ///
    /// # Errors
    /// As there.
    pub async fn issue(&self, new: NewToken) -> Result<IssuedToken, IssueError> {
        self.tokens.issue(new).await
    }

    /// [`TokenAuthority::revoke`].
    ///
    /// # Errors
    /// As there.
    pub async fn revoke(
        &self,
        by: By<'_>,
        id: TokenId,
        reason: Reason,
    ) -> Result<u64, ManageError> {
        self.tokens.revoke(by, id, reason).await
    }

    /// [`TokenAuthority::revoke_matching`].
    ///
    /// # Errors
    /// As there.
    pub async fn revoke_matching(
        &self,
        by: By<'_>,
        filter: &Filter,
        reason: Reason,
    ) -> Result<u64, ManageError> {
        self.tokens.revoke_matching(by, filter, reason).await
    }

    /// What the observer is to hear once the host has committed.
    pub fn into_events(self) -> UnsentEvents {
        UnsentEvents { events: self.events.take(), observer: self.tokens.observer() }
    }
}

impl<T> fmt::Debug for InTransaction<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InTransaction")
    }
}

/// What happened in a transaction, before anybody has heard of it.
#[must_use = "send them after the commit, or nobody hears of what was done; drop them after a rollback"]
pub struct UnsentEvents {
    events: Vec<BufferedEvent>,
    observer: Option<Arc<dyn Observer>>,
}

impl UnsentEvents {
    /// Tells the observer, after the commit.
    pub fn send(self) {
        for event in &self.events {
            event::emit(self.observer.as_deref(), &event.lend());
        }
    }
}

impl fmt::Debug for UnsentEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.events.iter().map(BufferedEvent::lend)).finish()
    }
}
