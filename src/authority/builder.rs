//! Sets up an authority: [`TokenAuthorityBuilder`].

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use rand_core::TryCryptoRng;

use super::{Engine, TokenAuthority};
use crate::clock::{Clock, SystemClock};
use crate::event::Observer;
use crate::key_ring::KeyRing;
use crate::policy::Policy;
use crate::random::{self, RandomSource};
use crate::seal::Sealer;
use crate::store::TokenStore;
use crate::usage_log::UsageLog;

/// Builds a [`TokenAuthority`] with a clock, a random source or an observer of the host's choice.
///
/// Made by [`TokenAuthority::builder`].
#[must_use = "nothing is made before `build`"]
pub struct TokenAuthorityBuilder<S> {
    store: S,
    ring: KeyRing,
    policy: Policy,
    clock: Box<dyn Clock>,
    random: Box<dyn RandomSource>,
    observer: Option<Arc<dyn Observer>>,
}

impl<S: TokenStore> TokenAuthority<S> {
    /// Starts an authority with a clock, a random source or an observer of the host's choice.
    ///
    /// ```
    /// use app_tokens::event::Event;
    /// use app_tokens::store::MemoryStore;
    /// use app_tokens::{KeyRing, Policy, TokenAuthority};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (store, ring) = (MemoryStore::new(), KeyRing::ephemeral()?);
    /// let tokens = TokenAuthority::builder(store, ring, Policy::new("acme")?)
    ///     .observer(|event: &Event<'_>| println!("{event}"))
    ///     .build();
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder(store: S, ring: KeyRing, policy: Policy) -> TokenAuthorityBuilder<S> {
        TokenAuthorityBuilder {
            store,
            ring,
            policy,
            clock: Box::new(SystemClock),
            random: Box::new(random::system_source()),
            observer: None,
        }
    }
}

impl<S: TokenStore> TokenAuthorityBuilder<S> {
    /// Sets another clock than the system's, such as a [`ManualClock`](crate::clock::ManualClock)
    /// in tests.
    pub fn clock(self, clock: impl Clock + 'static) -> TokenAuthorityBuilder<S> {
        TokenAuthorityBuilder { clock: Box::new(clock), ..self }
    }

    /// Sets another random source than the system's. All clones share it.
    ///
    /// **It must be fit for cryptographic keys.** With a short or guessable seed, tokens can be
    /// guessed.
    pub fn random(self, source: impl TryCryptoRng + Send + 'static) -> TokenAuthorityBuilder<S> {
        TokenAuthorityBuilder { random: Box::new(source), ..self }
    }

    /// Sets the observer of events, for an audit log or mails to owners.
    ///
    /// There is one observer; a second call replaces it.
    pub fn observer(self, observer: impl Observer + 'static) -> TokenAuthorityBuilder<S> {
        TokenAuthorityBuilder { observer: Some(Arc::new(observer)), ..self }
    }

    /// Builds the authority.
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
                #[cfg(feature = "import")]
                import_key_fits: AtomicBool::new(false),
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
