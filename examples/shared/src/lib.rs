//! What the hosts and their operator's tool share: reading the policy file, and choosing the store.

pub mod policy_file;
pub mod store_choice;
