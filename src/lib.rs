//! App passwords (app tokens, personal access tokens) for your users: a user creates one in account settings, sees it once, and a WebDAV, Git, calendar,
//! package or command-line client uses it in place of the main password.
//!
//! ```text
//! acme_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92
//! ├──┘ ├────────┘├──────────────────────────┘├─────┘
//! prefix   id          secret (140 bits)      checksum
//! ```
//!
//! Only SHA-256 of it is kept, in a row that is sealed against whoever can write your database. You bring the store; [`MemoryStore`]
#![cfg_attr(feature = "sqlite", doc = "and [`SqliteStore`](store::SqliteStore) are here.")]
#![cfg_attr(not(feature = "sqlite"), doc = "is here, `SqliteStore` behind the feature `sqlite`.")]
//!
//! ```
//! use app_tokens::{Access, NewToken, Requirement, TokenAuthority};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # struct Block; impl Block { fn on<F: Future>(f: F) -> F::Output {
//! #     match std::pin::pin!(f).poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
//! #         std::task::Poll::Ready(r) => r, _ => unreachable!() } } }
//! # Block::on(async {
//! let tokens = TokenAuthority::in_memory("acme")?;
//! let new = NewToken::new("alice", "My phone", Access::scopes(["files:read"])?);
//! let issued = tokens.issue(new).await?;
//! println!("shown once: {}", issued.expose_secret());
//!
//! let caller = tokens
//!     .authenticate(issued.expose_secret()).await?         // 401 or 503, by type
//!     .require(Requirement::one_of(&["files:read"]))?;     // 403
//! assert_eq!(caller.owner().as_str(), "alice");
//! # Ok(()) }) }
//! ```
//!
//! # A token's life
//!
//! **Set up.** A [`TokenAuthority`] has a store, a [`KeyRing`] and a [`Policy`]. That is all state there is; it is made once and cloned.
//!
//! ```no_run
//! # #[cfg(feature = "sqlite")] fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use app_tokens::{KeyRing, Policy, TokenAuthority, store::SqliteStore};
//! let tokens = TokenAuthority::new(
//!     SqliteStore::open("app.db")?,
//!     KeyRing::load_or_create("app.key")?,
//!     Policy::new("acme")?,
//! );
//! # Ok(()) }
//! # #[cfg(not(feature = "sqlite"))] fn main() {}
//! ```
//!
//! **Issue.** [`issue`](TokenAuthority::issue) takes a [`NewToken`]: owner, label, [`Access`], and if you wish an end and [`Attributes`]. Ask for it only where the user has
//! just proved who he is with more than a token. The [`IssuedToken`] shows the text once; it is wiped when dropped. With a token in
//! hand only [`issue_under`](TokenAuthority::issue_under) makes another: one that may do no more, and ends with it.
//!
//! **Present.** [`web`] reads the token from an `Authorization` header, by Basic or Bearer, and turns every outcome into a status.
//!
//! **Authenticate.** [`authenticate`](TokenAuthority::authenticate) answers [`Authenticated`], or an [`AuthError`]: *not ours* (it may be a password), *denied*
//! (401; it looks the same whatever the reason), or *failed* (503; clients keep their token).
//!
//! **Require.** [`Authenticated`] tells nothing before a scope was [required](Authenticated::require); then it is a [`Caller`] with an owner. Your scopes are an enum of
//! yours ([`ScopeName`]) or a table that you know at run time ([`Requirement::one_of`]).
//!
//! **List.** [`list`](TokenAuthority::list) and [`find`](TokenAuthority::find) give [`TokenView`]s: label, created, expires, last use, status; never a digest.
//!
//! **Change.** [`rename`](TokenAuthority::rename), [`narrow`](TokenAuthority::narrow) and [`extend`](TokenAuthority::extend) change a good
//! token's label, access and end. [`rotate`](TokenAuthority::rotate) replaces it by a new one, with an overlap if you wish.
//! [`expiring`](TokenAuthority::expiring) lists what to remind its owners of.
//!
//! **Revoke.** [`revoke`](TokenAuthority::revoke) ends one token, [`revoke_matching`](TokenAuthority::revoke_matching) all that a
//! [`Filter`](store::Filter) names. When it has returned, the token is denied on every host. [`revoke_leaked`](TokenAuthority::revoke_leaked) finds the tokens in a text
//! that got out, and ends them. A rotated token that is presented again is reported, or ends its family, by [`Reuse`].
//!
//! **Look after.** [`upkeep`](TokenAuthority::upkeep) writes the last uses and purges what has been dead for long,
//! [`reseal`](TokenAuthority::reseal) moves rows under a new key, [`forget`](TokenAuthority::forget) erases, and an [`Observer`](event::Observer) hears of everything that an audit log wants.
//!
//! Without a runtime, [`tokens.block_on(…)`](TokenAuthority::block_on) waits for any of these calls.
//!
//! # Your own store
//!
//! Implement the eight required methods of [`TokenStore`]. Its contract stands there in numbered
//! clauses. With the feature `conformance`, `store::conformance` makes a test of each clause.
//!
//! # Features
//!
//! None is on by default. Features add, never alter.
//!
//! | feature | adds |
//! |---|---|
//! | `postgres` | `store::PostgresStore`, over a pool of `deadpool-postgres` |
//! | `postgres-sql` | `store::postgres_sql`: its tables and statements alone, for another driver |
//! | `serde` | [`Serialize`](https://docs.rs/serde) and `Deserialize` for views, reports, access and policies; see `shapes` |
//! | `sqlite` | `store::SqliteStore`, with the SQLite library of the system |
//! | `sqlite-bundled` | the same, with SQLite compiled in (needs a C compiler) |
//! | `tower` | `web::TokenLayer` and `web::require`, for axum, tonic and other tower services |
//! | `tracing` | `TracingObserver`, which emits each event |
//! | `axum` | the extractors for `Caller` and `Authenticated`, and answers as responses |
//! | `time` | conversions between `Timestamp` and `time::OffsetDateTime` |
//! | `tokio` | `Upkeep::spawn` |
//! | `conformance` | `store::conformance`, the tests for stores |
#![forbid(unsafe_code)]
#![warn(unreachable_pub)]
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable)]
#![cfg_attr(docsrs, feature(doc_cfg))]

// -- what a token is: pure, no clock, no input or output, no async
mod random;
pub mod token;
mod digest;
mod text;
mod timestamp;
mod access;
mod attributes;
pub mod record;
mod key;
mod seal;
mod row;
#[cfg(feature = "serde")]
pub mod shapes;
// -- where it lives
mod key_ring;
pub mod store;
// -- what happens to it
mod policy;
mod policy_conflict;
pub mod clock;
pub mod event;
mod usage_log;
mod issue;
mod present;
mod disguise;
mod leak;
mod view;
mod authority;
pub mod upkeep;
#[cfg(feature = "tracing")]
mod tracing_observer;
pub mod transaction;
mod block_on;
pub mod error;
// -- how it arrives
pub mod web;

pub use authority::{SetupError, TokenAuthority, TokenAuthorityBuilder};
pub use key_ring::{KeyRing, KeyRingError};
pub use policy::{Policy, PolicyError, Reuse};
pub use store::{MemoryStore, TokenStore};

pub use error::{AuthError, ChangeError, Forbidden, IssueError, ManageError};
pub use issue::{IssuedToken, NewToken, Rotation};
pub use present::{Authenticated, Caller, Origin};
pub use view::TokenView;

pub use access::{
    Access, AsScope, Network, Requirement, Resource, ResourceKind, Scope, ScopeList, ScopeName,
    Selection,
};
pub use attributes::Attributes;
pub use digest::{Digest, InvalidDigest};
pub use key::{KeyId, Seal};
pub use rand_core;
pub use text::{InvalidText, Label, Operator, Owner, Reason};
pub use timestamp::{OutOfCalendar, Timestamp};
pub use token::TokenId;
#[cfg(feature = "tracing")]
pub use tracing_observer::TracingObserver;

/// What the engine answers beside tokens: pages, checks, reseals, leaks, conflicts.
pub mod report {
    pub use crate::leak::{Leak, LeakOutcome, LeakReport};
    pub use crate::policy_conflict::PolicyConflict;
    pub use crate::view::{
        CheckReport, Examined, OwnerTokens, ResealProgress, ResealReport, TokenPage,
    };
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("mistakes.md")]
struct Mistakes;
