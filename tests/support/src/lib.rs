//! What the tests of the library and of its hosts share: servers to talk to, rows drawn by chance.
#![allow(missing_docs, missing_debug_implementations, reason = "only tests use it")]

pub mod chance;
pub mod postgres;
pub mod program;
pub mod proxy;
pub mod reference;
pub mod rows;
pub mod text;
