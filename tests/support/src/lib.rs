//! What the library's tests, its benchmarks and the hosts' tests share: servers to talk to, and rows drawn by chance.
#![allow(missing_docs, missing_debug_implementations, reason = "only tests use it")]

pub mod chance;
pub mod postgres;
pub mod program;
pub mod proxy;
pub mod rows;
pub mod text;
