//! What a forge serves that is not about tokens: [repositories](repos), [`git`]'s own program
//! behind HTTP, and the formats of four [package registries](packages).
//!
//! Who may use them is the host's to decide, before.

#![allow(missing_debug_implementations, reason = "what a host holds is not for printing")]

pub mod git;
pub mod packages;
pub mod repos;
