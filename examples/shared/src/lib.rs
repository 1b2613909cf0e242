//! What the hosts and their operator's tool share: one reads the policy file, the other chooses the
//! store.

pub mod policy_file;
pub mod store_choice;
