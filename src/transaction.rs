//! [`InTransaction`]: to issue and revoke as a part of what the host's own transaction does.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::authority::{By, TokenAuthority};
use crate::blocking::BlockingInTransaction;
use crate::error::{IssueError, ManageError};
use crate::event::{self, Event, Observer};
use crate::issue::{IssuedToken, NewToken};
use crate::record::Actor;
use crate::store::{Filter, RuntimeFree, TokenStore};
use crate::text::Reason;
use crate::token::TokenId;
use crate::view::TokenView;

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
}

impl<T: TokenStore> InTransaction<T> {
    pub(crate) fn new(tokens: TokenAuthority<T>) -> InTransaction<T> {
        InTransaction { tokens }
    }

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
        let events = self.tokens.held_back().map_or_else(Vec::new, HeldBack::take);
        UnsentEvents { events, observer: self.tokens.observer() }
    }
}

impl<T: RuntimeFree> InTransaction<T> {
    /// The same for hosts without a runtime.
    pub fn blocking(&self) -> BlockingInTransaction<'_, T> {
        BlockingInTransaction::new(self)
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
    events: Vec<Unsent>,
    observer: Option<Arc<dyn Observer>>,
}

impl UnsentEvents {
    /// Tells the observer, after the commit.
    pub fn send(self) {
        for event in &self.events {
            event::tell(self.observer.as_deref(), &event.lend());
        }
    }
}

impl fmt::Debug for UnsentEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.events.iter().map(Unsent::lend)).finish()
    }
}

/// Where the events of a transaction wait.
#[derive(Default)]
pub(crate) struct HeldBack(Mutex<Vec<Unsent>>);

impl HeldBack {
    pub(crate) fn push(&self, event: &Event<'_>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(Unsent::of(event));
    }

    /// Whether the transaction has revoked nothing yet, by what this object was asked.
    pub(crate) fn has_no_revocation(&self) -> bool {
        let events = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        !events.iter().any(|event| matches!(event, Unsent::Revoked { .. }))
    }

    fn take(&self) -> Vec<Unsent> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What can happen in a transaction.
enum Unsent {
    Issued { token: TokenView, by: Actor, is_certain: bool },
    Revoked { filter: Filter, count: u64, is_certain: bool, reason: Reason, by: Actor },
}

impl Unsent {
    fn of(event: &Event<'_>) -> Option<Unsent> {
        match *event {
            Event::Issued { token, by, is_certain } => {
                Some(Unsent::Issued { token: token.clone(), by: by.clone(), is_certain })
            }
            Event::Revoked { filter, count, is_certain, reason, by } => Some(Unsent::Revoked {
                filter: filter.clone(),
                count,
                is_certain,
                reason: reason.clone(),
                by: by.clone(),
            }),
            _ => None,
        }
    }

    fn lend(&self) -> Event<'_> {
        match self {
            Unsent::Issued { token, by, is_certain } => {
                Event::Issued { token, by, is_certain: *is_certain }
            }
            Unsent::Revoked { filter, count, is_certain, reason, by } => {
                let (count, is_certain) = (*count, *is_certain);
                Event::Revoked { filter, count, is_certain, reason, by }
            }
        }
    }
}
