//! What a forge serves that is not about tokens: [repositories](repos) and their
//! [releases], [`git`]'s own program behind HTTP, and the formats of four
//! [package registries](packages). Its answers to requests that fail are a [`Problem`](problem).
//!
//! Who may use them is the host's to decide, before.

#![allow(missing_debug_implementations, reason = "what a host holds is not for printing")]

pub mod drain;
pub mod git;
pub mod json;
pub mod packages;
pub mod problem;
pub mod releases;
pub mod repos;
