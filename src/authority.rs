//! The engine, [`TokenAuthority`]: its parts, and what its acts share.
//!
//! Each act stands in a file of its own: issue, authenticate, examine, list, change, revoke,
//! reseal, check, import, move out, move in. `line` is about a token's line of rotations. `replace`
//! writes one row for several of them.

mod builder;
mod issue;
mod authenticate;
mod examine;
mod list;
mod change;
mod replace;
mod check;
mod line;
mod revoke;
mod tombstone;
mod reseal;
#[cfg(feature = "import")]
mod foreign;
#[cfg(feature = "import")]
mod import;
#[cfg(feature = "import")]
mod imported;
#[cfg(feature = "transfer")]
mod move_in;
#[cfg(feature = "transfer")]
mod move_out;

pub(crate) use authenticate::Verified;
pub use builder::TokenAuthorityBuilder;

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::clock::Clock;
use crate::error::Failed;
use crate::event::{self, Event, EventBuffer, Observer};
use crate::key_ring::KeyRing;
use crate::policy::{Policy, PolicyError};
use crate::random::{RandomSource, RandomSourceFailed};
use crate::record::{Actor, LastUse, LiveAt, SealCheck, Status, StatusUnclear};
use crate::row::ReadableRow;
use crate::seal::{Intact, Sealer};
use crate::store::{Filter, MemoryStore, Page, Row, TokenStore};
use crate::text::Owner;
use crate::timestamp::Timestamp;
use crate::token::TokenId;
use crate::usage_log::UsageLog;
use crate::view::TokenView;

/// Issues, authenticates, lists and revokes the tokens of one realm, in one store.
///
/// Make it once and clone it. Clones share the log of uses that are not written yet. A second
/// authority over the same store has a log of its own.
///
/// ```
/// use app_tokens::store::MemoryStore;
/// use app_tokens::{Access, KeyRing, NewToken, Policy, Requirement, TokenAuthority};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (store, ring) = (MemoryStore::new(), KeyRing::ephemeral()?);
/// let tokens = TokenAuthority::new(store, ring, Policy::new("acme")?);
/// # let tokens = &tokens;
/// let access = Access::scopes(["files:read"])?;
/// let issued = tokens.block_on(tokens.issue(NewToken::new("alice", "My phone", access)))?;
/// let authenticated = tokens.block_on(tokens.authenticate(issued.expose_secret()))?;
/// let caller = authenticated.require(Requirement::one_of(&["files:read"]))?;
/// assert_eq!(caller.owner().as_str(), "alice");
/// # Ok(())
/// # }
/// ```
#[doc(alias("app password", "personal access token", "PAT", "API key"))]
#[derive(Clone)]
pub struct TokenAuthority<S> {
    store: S,
    engine: Arc<Engine>,
    /// Collects the events while a transaction of the host is open; `None` outside of one.
    buffer: Option<Arc<EventBuffer>>,
}

/// Holds what all clones of an authority share, also those inside transactions.
struct Engine {
    policy: Policy,
    sealer: Sealer,
    clock: Box<dyn Clock>,
    random: Mutex<Box<dyn RandomSource>>,
    observer: Option<Arc<dyn Observer>>,
    usage: UsageLog,
    /// Set once a check has found that the ring holds the keys of all live rows.
    ///
    /// Only a cache, so `Relaxed` is enough: a thread that misses it checks once more.
    ring_is_complete: AtomicBool,
    /// Set once a walk has found that the ring's import key is the one of all imported rows. A
    /// cache like the one above.
    #[cfg(feature = "import")]
    import_key_fits: AtomicBool,
}

/// How often an act is tried if other calls keep changing the row first.
const MAX_TRIES: usize = 8;
/// A host writes its pending uses within this time. An idle time-out is at least as long.
const LONGEST_FLUSH: Duration = Duration::from_secs(24 * 60 * 60);
/// How many rows a walk through the whole store holds in memory at once.
const WALK_PAGE: u32 = 500;

impl TokenAuthority<MemoryStore> {
    /// Makes an authority whose tokens live in this process only, for a first try and for tests.
    ///
    /// Its key ring is new each time. When the process ends, all tokens are lost.
    ///
    /// # Errors
    /// [`SetupError`] if the prefix is not valid, or if the system has no randomness.
    pub fn in_memory(prefix: impl AsRef<str>) -> Result<TokenAuthority<MemoryStore>, SetupError> {
        Ok(TokenAuthority::new(MemoryStore::new(), KeyRing::ephemeral()?, Policy::new(prefix)?))
    }
}

/// Why [`TokenAuthority::in_memory`] failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// The prefix is not valid.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The system has no randomness.
    #[error(transparent)]
    Random(#[from] RandomSourceFailed),
}

impl<S: TokenStore> TokenAuthority<S> {
    /// Makes an authority with the system's clock and random source, and without an observer.
    ///
    /// Does no input or output. Call [`check`](Self::check) afterwards to learn whether ring, realm
    /// and rows fit each other.
    pub fn new(store: S, ring: KeyRing, policy: Policy) -> TokenAuthority<S> {
        TokenAuthority::builder(store, ring, policy).build()
    }

    /// Returns the policy: what the host allows.
    pub fn policy(&self) -> &Policy {
        &self.engine.policy
    }

    /// Returns the store that holds the tokens.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// Makes an authority of this engine over another store, which collects its events in a buffer.
    pub(crate) fn buffered<T>(&self, store: T, events: Arc<EventBuffer>) -> TokenAuthority<T> {
        TokenAuthority { store, engine: self.engine.clone(), buffer: Some(events) }
    }

    pub(crate) fn observer(&self) -> Option<Arc<dyn Observer>> {
        self.engine.observer.clone()
    }

    pub(crate) fn usage(&self) -> &UsageLog {
        &self.engine.usage
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.engine.clock.now()
    }

    /// Proves that the row of an active token may be sealed again.
    ///
    /// # Errors
    /// [`Failed::NotIntact`] if the row is not as the engine wrote it.
    fn intact<'r>(&self, row: &'r ReadableRow) -> Result<Intact<'r>, Failed> {
        self.engine.sealer.intact(row).map_err(|_| Failed::NotIntact)
    }

    /// Returns whether a row is as the engine wrote it.
    ///
    /// # Errors
    /// [`Failed::Unclear`] if its key is unknown, or a newer build wrote it.
    fn is_intact(&self, row: &ReadableRow) -> Result<bool, Failed> {
        match self.engine.sealer.check(row) {
            SealCheck::Right => Ok(true),
            SealCheck::Wrong => Ok(false),
            SealCheck::KeyMissing => Err(StatusUnclear::KeyMissing(row.record().key_id()).into()),
            SealCheck::UnknownVersion(newer) => Err(StatusUnclear::from(newer).into()),
        }
    }

    /// Returns what decides which rows are live at `now`.
    ///
    /// Another host may hold a use that it has not written yet. So under an idle time-out a row
    /// counts as used for as long as that may take.
    fn live_at(&self, now: Timestamp) -> LiveAt {
        let idle_timeout = self.engine.policy.idle_timeout();
        let used_after = |timeout| now.saturating_sub(timeout).saturating_sub(LONGEST_FLUSH);
        LiveAt { now, used_after: idle_timeout.map(used_after) }
    }

    /// Returns the last use that this process has not written yet, if the policy has an idle
    /// time-out.
    ///
    /// Call it before the row is read: a flush in between moves a use from the log to the store.
    fn own_use(&self, id: TokenId) -> Option<Timestamp> {
        self.engine.policy.idle_timeout()?;
        self.engine.usage.pending(id).map(|own_use| own_use.at)
    }

    /// Returns the token's status, by the record's rule and by what this process knows of seal and
    /// use.
    ///
    /// # Errors
    /// [`Failed::Unclear`] if the status can't be decided.
    fn status(
        &self,
        row: &ReadableRow,
        now: Timestamp,
        own_use: Option<Timestamp>,
    ) -> Result<Status, Failed> {
        let seal = self.engine.sealer.check(row);
        Ok(row.record().status(seal, now, own_use, self.engine.policy.idle_timeout())?)
    }

    fn view(&self, row: &ReadableRow, now: Timestamp) -> TokenView {
        self.view_with(row, self.engine.usage.pending(row.record().id()), now)
    }

    fn view_with(&self, row: &ReadableRow, own_use: Option<LastUse>, now: Timestamp) -> TokenView {
        let own_use_at = own_use.as_ref().map(|own_use| own_use.at);
        TokenView::new(row.record(), self.status(row, now, own_use_at).ok(), own_use)
    }

    /// Reads the next page of a walk through all matching rows; `None` after the last.
    ///
    /// `page` is the walk's cursor. Begin with `Page::first`, then pass it on unchanged. The cursor
    /// is an id and not an offset, so rows that stop matching meanwhile make the walk skip none.
    async fn next_page(
        &self,
        filter: &Filter,
        page: &mut Option<Page>,
    ) -> Result<Option<Vec<Row>>, Failed> {
        let Some(current) = page.take() else {
            return Ok(None);
        };
        let rows = self.store.list(filter, current).await?;
        // A full page may be the last: then the next one is empty, and the walk ends there.
        if rows.len() >= current.limit.get() as usize {
            *page = rows.last().map(|row| current.after(row.id()));
        }
        Ok(Some(rows))
    }

    /// Refuses to go on if the policy has an idle time-out and no upkeep writes last uses.
    fn refuse_without_upkeep(&self) -> Result<(), Failed> {
        let is_needed = self.engine.policy.idle_timeout().is_some();
        if is_needed && !self.engine.usage.has_upkeep() { Err(Failed::NoUpkeep) } else { Ok(()) }
    }

    /// Hands an event to the observer, or to the buffer while a transaction of the host is open.
    pub(crate) fn emit(&self, event: &Event<'_>) {
        match &self.buffer {
            Some(buffer) => buffer.push(event),
            None => event::emit(self.engine.observer.as_deref(), event),
        }
    }
}

impl Actor {
    /// Returns whether the actor may see tokens of this owner; `None` if it can't be read.
    fn may_see(&self, owner: Option<&Owner>) -> bool {
        match self {
            // No owner can prove that a row without a readable owner is theirs.
            Actor::Owner(acting) => owner == Some(acting),
            Actor::Operator(_) => true,
            // A host can read one from a stored text, but not act by it.
            Actor::Engine => false,
        }
    }

    /// Limits a filter to what the actor may act on; `None` if it may not act, or if an owner named
    /// another owner.
    fn limit(&self, filter: Filter) -> Option<Filter> {
        let acting = match self {
            Actor::Owner(acting) => acting,
            Actor::Operator(_) => return Some(filter),
            Actor::Engine => return None,
        };
        let is_theirs = filter.owner.as_ref().is_none_or(|owner| owner == acting);
        is_theirs.then(|| Filter { owner: Some(acting.clone()), ..filter })
    }
}

impl<S> fmt::Debug for TokenAuthority<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenAuthority")
            .field("policy", &self.engine.policy)
            .field("sealer", &self.engine.sealer)
            .finish_non_exhaustive()
    }
}
