//! [`TokenAuthority`]: what happens to a token, in the order of its life.

mod authenticate;
mod change;
mod issue;
mod reseal;
mod revoke;

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand_core::TryCryptoRng;

use crate::clock::{Clock, SystemClock};
use crate::error::{Failed, ManageError};
use crate::event::{self, Event, EventBuffer, Observer};
use crate::key_ring::KeyRing;
use crate::policy::{Policy, PolicyError};
use crate::record::{Actor, LastUse, Status};
use crate::seal::{Intact, Sealer, WholeRow};
use crate::secret::{self, RandomSource, RandomSourceFailed};
use crate::store::{Filter, MemoryStore, Page, Row, TokenStore};
use crate::text::{InvalidText, Operator, Owner};
use crate::timestamp::Timestamp;
use crate::token::TokenId;
use crate::usage_log::UsageLog;
use crate::view::{TokenPage, TokenView};

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
    engine: Arc<Engine>,
    /// In a transaction of the host's: what is told after its commit.
    buffer: Option<Arc<EventBuffer>>,
}

struct Engine {
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

/// How many times a change is made again where somebody else was faster.
const MAX_TRIES: usize = 8;
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

    /// A page of the tokens that match, in order of id, dead ones too.
    ///
    /// # Errors
    /// [`Failed`] if the store is.
    pub async fn list(&self, filter: &Filter, page: Page) -> Result<TokenPage, Failed> {
        self.flush_if_it_matters(filter).await?;
        let (mut rows, mut tokens);
        let mut tries = 0;
        loop {
            let flushes = self.engine.usage.flushes();
            rows = self.store.list(filter, page).await?;
            // Read after the rows: one that was made meanwhile was not made in the future.
            let now = self.now();
            tokens = rows.iter().filter_map(Row::whole).map(|row| self.view(row, now)).collect();
            // A use that was written in between may be in neither.
            tries += 1;
            if flushes == self.engine.usage.flushes() || tries == MAX_TRIES {
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
        let own_use = self.engine.usage.pending(id);
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

    /// What the host allows.
    pub fn policy(&self) -> &Policy {
        &self.engine.policy
    }

    /// Where the tokens live.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// The same engine over another store, with its events kept in a buffer.
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

    /// What a good token's row may be sealed anew from.
    fn intact<'r>(&self, row: &'r WholeRow) -> Result<Intact<'r>, Failed> {
        self.engine.sealer.intact(row).map_err(|_| Failed::NotIntact)
    }

    /// The use of a token that this process has not written yet, where an idle time-out asks for it.
    fn own_use(&self, id: TokenId) -> Option<Timestamp> {
        self.engine.policy.idle_timeout()?;
        self.engine.usage.pending(id).map(|own_use| own_use.at)
    }

    /// The one rule of validity, with what this process knows of seal and use.
    fn status(
        &self,
        row: &WholeRow,
        now: Timestamp,
        own_use: Option<Timestamp>,
    ) -> Result<Status, Failed> {
        let seal = self.engine.sealer.check(row);
        Ok(row.record().status(seal, now, own_use, self.engine.policy.idle_timeout())?)
    }

    fn view(&self, row: &WholeRow, now: Timestamp) -> TokenView {
        self.view_with(row, self.engine.usage.pending(row.record().id()), now)
    }

    fn view_with(&self, row: &WholeRow, own_use: Option<LastUse>, now: Timestamp) -> TokenView {
        let own_use_at = own_use.as_ref().map(|own_use| own_use.at);
        TokenView::new(row.record(), self.status(row, now, own_use_at).ok(), own_use)
    }

    /// The next page of a walk through all rows that match, and none after the last.
    async fn next_page(
        &self,
        filter: &Filter,
        page: &mut Option<Page>,
    ) -> Result<Option<Vec<Row>>, Failed> {
        let Some(this) = page.take() else {
            return Ok(None);
        };
        let rows = self.store.list(filter, this).await?;
        if rows.len() >= this.limit as usize {
            *page = rows.last().map(|row| Page { after: Some(row.id()), ..this });
        }
        Ok(Some(rows))
    }

    /// A filter by last use must see the uses that this process has not written yet.
    async fn flush_if_it_matters(&self, filter: &Filter) -> Result<(), Failed> {
        match self.buffer {
            _ if filter.last_used_before.is_none() => Ok(()),
            None => self.flush_usage().await,
            // The host may roll it back: they stay to be written again.
            Some(_) => Ok(self.engine.usage.write(&self.store, self.now()).await?),
        }
    }

    fn refuse_without_flusher(&self) -> Result<(), Failed> {
        let needed = self.engine.policy.idle_timeout().is_some();
        if needed && !self.engine.usage.has_flusher() { Err(Failed::NoFlusher) } else { Ok(()) }
    }

    pub(crate) fn tell(&self, event: &Event<'_>) {
        match &self.buffer {
            Some(buffer) => buffer.push(event),
            None => event::tell(self.engine.observer.as_deref(), event),
        }
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

impl<S> fmt::Debug for TokenAuthority<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenAuthority")
            .field("policy", &self.engine.policy)
            .field("sealer", &self.engine.sealer)
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
            engine: Arc::new(Engine {
                policy: self.policy,
                sealer,
                clock: self.clock,
                random: Mutex::new(self.random),
                observer: self.observer,
                usage: UsageLog::new(),
                ring_is_complete: AtomicBool::new(false),
            }),
            buffer: None,
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
