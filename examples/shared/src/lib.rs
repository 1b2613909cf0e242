//! What the hosts and their operator's tool share: reading the policy file, and choosing the store.
//!
//! With the feature `host`, also what every host needs around its tokens:
//! - `options`: the command line.
//! - `accounts`: who there is, and the main passwords.
//! - `session`, `site`: the sessions of browsers, and the check of other sites.
//! - `front`, `proxy`: what stands in front, such as a login proxy.
//! - `import_choice`: which other systems' tokens are let in.
//! - `gate`: lets tokens in, and says who was refused.
//! - `around`, `drain`: what stands around all routes.
//! - `audit`: the audit log, also with the feature `audit` alone.
//! - `trigger`: what happens when a revoked token is used.
//! - `serve`: the start with its checks, and an orderly end.
//! - `page`: the settings page, which stands on all of these.
//! - `token_api`: tokens by JSON, for programs.
//! - `login_flow`: requests of devices that wait for a person's answer.

#![allow(missing_debug_implementations, reason = "what a host holds is not for printing")]

#[cfg(feature = "host")]
pub mod accounts;
#[cfg(feature = "host")]
pub mod around;
#[cfg(feature = "audit")]
pub mod audit;
#[cfg(feature = "host")]
pub mod drain;
#[cfg(feature = "host")]
pub mod front;
#[cfg(feature = "host")]
pub mod gate;
#[cfg(feature = "host")]
pub mod import_choice;
#[cfg(feature = "host")]
pub mod log;
#[cfg(feature = "host")]
pub mod login_flow;
#[cfg(feature = "host")]
pub mod options;
#[cfg(feature = "host")]
pub mod page;
pub mod policy_file;
#[cfg(feature = "host")]
pub mod proxy;
#[cfg(feature = "host")]
pub mod serve;
#[cfg(feature = "host")]
pub mod session;
#[cfg(feature = "host")]
pub mod site;
pub mod store_choice;
#[cfg(feature = "host")]
pub mod token_api;
#[cfg(feature = "host")]
pub mod trigger;
