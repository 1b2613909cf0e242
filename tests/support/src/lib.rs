//! What the tests of the library and of the examples share: rows, chance, servers to talk to.
#![allow(missing_docs, missing_debug_implementations, reason = "only tests use it")]

pub mod by_reference;
pub mod chance;
pub mod damage;
pub mod fail2ban;
#[cfg(feature = "http")]
pub mod http;
pub mod keys;
pub mod mariadb;
pub mod messages;
pub mod postgres;
pub mod program;
pub mod proxy;
pub mod reference;
pub mod rows;
pub mod scopes;
pub mod text;
