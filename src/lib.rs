//! App passwords (app tokens, personal access tokens) for the users of your application.
//!
//! A user asks for one in the account settings and sees it once. A WebDAV, Git, calendar, package
//! or command-line client then uses it in place of the main password. A token can do less than the
//! password, and each can be revoked alone.
//!
//! ```text
//! acme_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92
//! ├──┘ ├────────┘├──────────────────────────┘├─────┘
//! prefix   id          secret (140 bits)      checksum
//! ```
//!
//! Only the id and the SHA-256 of this text are kept, in a row that is sealed. Anyone who can only
//! write rows can't make a token, and can't give one more than an earlier sealed version of it had.
//!
//! Rows live in memory ([`MemoryStore`](store::MemoryStore)), in SQLite ([`SqliteStore`]), in
//! PostgreSQL ([`PostgresStore`]), or in a store of your own.
//!
//! ```
//! use app_tokens::{Access, NewToken, TokenAuthority};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # struct Block; impl Block { fn on<F: Future>(f: F) -> F::Output {
//! #     let mut context = std::task::Context::from_waker(std::task::Waker::noop());
//! #     match std::pin::pin!(f).poll(&mut context) {
//! #         std::task::Poll::Ready(r) => r, _ => unreachable!() } } }
//! # Block::on(async {
//! let tokens = TokenAuthority::in_memory("acme")?;
//! let new = NewToken::new("alice", "My phone", Access::scopes(["files:read"])?);
//! let issued = tokens.issue(new).await?;
//! println!("shown once: {}", issued.expose_secret());
//!
//! let caller = tokens
//!     .authenticate(issued.expose_secret()).await?         // 401 or 503, by type
//!     .require("files:read")?;                             // 403
//! assert_eq!(caller.owner().as_str(), "alice");
//! # Ok(()) }) }
//! ```
//!
//! A few words are enough for the first hour. A *store* keeps rows, a *key ring* seals them, and a
//! *policy* says what is allowed. You call `issue`, and then `authenticate … require`.
//!
//! # Set up
//!
//! A [`TokenAuthority`] has a store, a [`KeyRing`] and a [`Policy`]. Make it once and clone it.
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
//! Without an async runtime, [`block_on`](TokenAuthority::block_on) waits for a call: over SQLite,
//! memory, or another store that needs no runtime. [`PostgresStore`] needs one.
//!
//! # A token's life
//!
//! **Issue.** [`issue`](TokenAuthority::issue) takes a [`NewToken`]: owner, label and [`Access`].
//! An end and [`Attributes`] are optional. Call it only after the user has authenticated with more
//! than a token. The [`IssuedToken`] shows the text once, and is wiped when dropped. With a token
//! in hand, call [`issue_under`](TokenAuthority::issue_under). Its token may do no more than the
//! first and ends no later. It is revoked if the first is revoked, narrowed, shortened, or rotated
//! without an overlap, which is the default.
//!
//! **Present.** [`web::Login`] reads the token from the headers of a request, by Basic or Bearer.
//! It turns each outcome into a status, with or without a web framework.
//!
//! **Authenticate.** [`authenticate`](TokenAuthority::authenticate) yields [`Authenticated`], or an
//! [`AuthError`](error::AuthError). *Not ours* may be a password. *Denied* is 401, and looks the
//! same whatever the reason. *Failed* is 503, so that clients keep their token.
//!
//! **Require.** [`Authenticated`] reveals only its public id until you call
//! [`require`](Authenticated::require), with a scope or with [`Requirement::ANY_VALID_TOKEN`]. That
//! yields a [`Caller`] with the owner. Scopes are an enum of yours
//! ([`ScopeName`](access::ScopeName)), or texts. Of those in [`Requirement::one_of`], any one is
//! enough. A handler that needs no owner must call `require`, too. With the feature `tower`, put
//! `web::require` on every route.
//!
//! **List.** [`all_of`](TokenAuthority::all_of) is the list for a settings page, at most 1,000
//! tokens. [`list`](TokenAuthority::list) goes page by page. Both hold [`TokenView`]s: label,
//! created, expires, last use and status, but never a digest.
//!
//! **Change.** [`rename`](TokenAuthority::rename), [`narrow`](TokenAuthority::narrow) and
//! [`extend`](TokenAuthority::extend) change label, access and end.
//! [`rotate`](TokenAuthority::rotate) replaces a token by a new one, with an overlap if you or the
//! policy ask for one. [`expiring`](TokenAuthority::expiring) lists what to remind owners of.
//!
//! **Revoke.** [`revoke`](TokenAuthority::revoke) revokes a token with its whole line of rotations,
//! and what was issued under it. [`revoke_matching`](TokenAuthority::revoke_matching) revokes all
//! that a [`Filter`](store::Filter) matches, and [`revoke_others`](TokenAuthority::revoke_others)
//! all of an owner but one line. [`revoke_leaked`](TokenAuthority::revoke_leaked) revokes the
//! tokens that it finds in a leaked text. If its report has a `rest`, call it again with the text
//! from there. [`ScannerRules`](token::ScannerRules) makes secret scanners find
//! tokens in public code. Once `revoke` has returned `Ok`, every process over the same store
//! denies the token.
//!
//! **Look after.** [`upkeep`](TokenAuthority::upkeep) writes last uses and purges what has been
//! dead for long. [`check`](TokenAuthority::check) looks at keys and rows when you start.
//! [`reseal`](TokenAuthority::reseal) moves rows to a new key. [`forget`](TokenAuthority::forget)
//! revokes, and deletes the rows at once.
//!
//! **Audit.** An [`Observer`](event::Observer) receives an event for each change, each denied token
//! and more. A token that lacks a scope or a resource is no event: that is the answer of
//! [`require`](Authenticated::require), whose docs show how to log it.
//!
//! **Move.** The feature `import` takes over [tokens that another system issued], while their
//! holders use them. The feature `transfer` [moves tokens] of ours to another store or host, by
//! `move_out` and `move_in`.
//!
//! # Guides
//!
//! - [From passwords to app tokens in an existing server](guide::from_passwords): step by step,
//!   with what the server must refuse.
//! - [Scopes, resources, networks](guide::access): what a token may do, on what, and from where.
//! - [Rotation](guide::rotation): overlap, a lost answer, reuse.
//! - [Keys and backups](guide::keys_and_backups): a new key, a lost key, a restored backup.
//! - Move from [Nextcloud](guide::move_from_nextcloud), [Forgejo](guide::move_from_forgejo),
//!   [Sanctum](guide::move_from_sanctum), [SHA-256](guide::move_from_sha256),
//!   [plaintext](guide::move_from_plaintext), [Argon2id](guide::move_from_argon2) or
//!   [JWTs](guide::move_from_jwt) while clients keep their tokens.
//! - [Write a store](guide::write_a_store): from the rules or in SQL, with the conformance suite.
//! - [Sizing](guide::sizing): what a million and ten million tokens cost, and what comes after one
//!   database.
//!
//! # Your own store
//!
//! Implement the eight required methods of [`TokenStore`](store::TokenStore), which states the
//! contract in numbered clauses. [`store::rules`] holds what each change does, as pure functions. A
//! macro of the [conformance suite] makes a test of each clause.
//!
//! # Features
//!
//! None is on by default. Features add, and never alter.
//!
//! | feature | adds |
//! |---|---|
//! | `sqlite` | `store::SqliteStore`, with the SQLite library of the system |
//! | `sqlite-bundled` | the same, with SQLite compiled in (needs a C compiler) |
//! | `postgres` | `store::PostgresStore`, over a pool of `deadpool-postgres` |
//! | `postgres-sql` | `store::postgres_sql`: its tables and statements alone, for another driver |
//! | `tower` | `web::TokenLayer` and `web::require`, for axum, tonic and other tower services |
//! | `axum` | the extractors for `Caller` and `Authenticated`, and answers as responses |
//! | `tokio` | `Upkeep::spawn` |
//! | `import` | [tokens that another system issued], taken over in use |
//! | `import-argon2`, `import-bcrypt`, `import-blake3`, `import-pbkdf2` | the same, with one more hash of other systems each |
//! | `transfer` | [moves tokens] to another store or host, by a sealed file |
//! | `tracing` | `TracingObserver`, which emits each event |
//! | `serde` | [`Serialize`](https://docs.rs/serde) and `Deserialize` for views, reports, access and policies; see `shapes` |
//! | `time` | conversions between `Timestamp` and `time::OffsetDateTime` |
//! | `conformance` | `store::conformance`, the tests for stores |
//!
// A link to what a feature adds leads to the table of features if that is off.
#![cfg_attr(feature = "sqlite", doc = "[`SqliteStore`]: store::SqliteStore")]
#![cfg_attr(not(feature = "sqlite"), doc = "[`SqliteStore`]: #features")]
#![cfg_attr(feature = "postgres", doc = "[`PostgresStore`]: store::PostgresStore")]
#![cfg_attr(not(feature = "postgres"), doc = "[`PostgresStore`]: #features")]
#![cfg_attr(feature = "conformance", doc = "[conformance suite]: store::conformance")]
#![cfg_attr(not(feature = "conformance"), doc = "[conformance suite]: #features")]
#![cfg_attr(feature = "import", doc = "[tokens that another system issued]: mod@import")]
#![cfg_attr(not(feature = "import"), doc = "[tokens that another system issued]: #features")]
#![cfg_attr(feature = "transfer", doc = "[moves tokens]: mod@transfer")]
#![cfg_attr(not(feature = "transfer"), doc = "[moves tokens]: #features")]
#![forbid(unsafe_code)]
#![warn(unreachable_pub)]
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable)]
#![cfg_attr(docsrs, feature(doc_cfg))]

// -- what a token is: pure, no clock, no input or output, no async
mod random;
pub mod token;
mod constant_time;
mod digest;
mod text;
mod timestamp;
pub mod access;
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
#[cfg(feature = "import")]
pub mod import;
#[cfg(feature = "transfer")]
#[cfg_attr(docsrs, doc(cfg(feature = "transfer")))]
pub mod transfer;
mod authority;
pub mod upkeep;
#[cfg(feature = "tracing")]
mod tracing_observer;
pub mod transaction;
mod block_on;
pub mod error;
// -- how it arrives
pub mod web;
// -- prose, and its examples
#[cfg(any(doc, doctest))]
pub mod guide;
#[cfg(test)]
mod messages;

pub use authority::{TokenAuthority, TokenAuthorityBuilder};
pub use key_ring::KeyRing;
pub use policy::{Policy, Reuse};

pub use issue::{IssuedToken, NewToken, Rotation};
pub use present::{Authenticated, Caller, Origin};
pub use view::TokenView;

pub use access::{Access, Requirement};
pub use attributes::Attributes;
pub use rand_core;
pub use text::{Label, Operator, Owner, Reason};
pub use timestamp::Timestamp;
pub use token::TokenId;

/// Reports that the engine returns besides tokens: pages, checks, reseals, leaks, conflicts.
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
