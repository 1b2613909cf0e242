//! Keys in operation: a reseal beside hosts in use, and a key that not every host has yet.
//!
//! `TOKENS=1000000 cargo test --release --test keys in_sqlite` reseals a million rows, and prints
//! how long that took.

mod common;
#[path = "keys/half_rolled_out.rs"]
mod half_rolled_out;
#[path = "keys/reseal.rs"]
mod reseal;
