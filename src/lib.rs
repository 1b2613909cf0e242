//! App passwords for your users.
#![forbid(unsafe_code)]
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod text;
mod timestamp;
// -- what a token is: pure, no clock, no input or output, no async
mod access;
mod digest;
pub mod record;
mod seal;
mod secret;
pub mod token;
// -- where it lives
mod key_ring;
pub mod store;
// -- what happens to it
mod authority;
mod blocking;
mod clock;
pub mod error;
pub mod event;
mod issue;
mod policy;
mod present;
pub mod usage;
mod view;
// -- how it arrives
pub mod web;

pub use access::{Access, AsScope, Grant, Requirement, ResourcePattern, Scope, ScopeName};
pub use authority::{By, SetupError, TokenAuthority, TokenAuthorityBuilder};
pub use blocking::Blocking;
pub use clock::{Clock, ManualClock, SystemClock};
pub use digest::{Digest, InvalidDigest};
pub use error::{AuthError, Forbidden, IssueError, ManageError};
pub use issue::{IssuedToken, NewToken};
pub use key_ring::{KeyRing, KeyRingError};
pub use policy::{Policy, PolicyError, Reuse};
pub use present::{Authenticated, Caller, Presented};
pub use rand_core;
pub use seal::{KeyId, Seal};
pub use secret::RandomSourceFailed;
pub use store::{MemoryStore, TokenStore};
pub use text::{InvalidText, Label, Operator, Owner, Reason, TextProblem};
pub use timestamp::{OutOfCalendar, Timestamp};
pub use token::TokenId;
pub use view::{TokenPage, TokenView};
