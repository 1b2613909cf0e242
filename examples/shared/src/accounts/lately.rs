//! Who has shown the right password a moment ago.
//!
//! A program that calls the JSON API sends the main password with each request. A slow hash for
//! each would make the host slow, and easy to stop. So the last right password of an account is
//! remembered for five minutes, as a digest under a key that the process draws at its start.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use app_tokens::Owner;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::Account;

const REMEMBERED: Duration = Duration::from_secs(5 * 60);

pub(super) struct Lately {
    key: String,
    right: Mutex<HashMap<Owner, ([u8; 32], Instant)>>,
}

impl Lately {
    /// `key` is random and stays in this process.
    pub(super) fn new(key: String) -> Lately {
        Lately { key, right: Mutex::default() }
    }

    pub(super) fn remember(&self, account: &Account, password: &str) {
        let shown = (self.digest(account, password), Instant::now());
        let mut right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
        right.insert(account.owner.clone(), shown);
    }

    pub(super) fn knows(&self, account: &Account, password: &str) -> bool {
        let right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((digest, at)) = right.get(&account.owner) else {
            return false;
        };
        at.elapsed() < REMEMBERED && digest.ct_eq(&self.digest(account, password)).into()
    }

    /// The stored hash is part of it, so a changed password is no longer known.
    fn digest(&self, account: &Account, password: &str) -> [u8; 32] {
        let stored = account.password.as_ref().map_or("", |password| password.as_hash());
        let mut digest = Sha256::new();
        for part in [&*self.key, account.owner.as_str(), stored, password] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        digest.finalize().into()
    }
}
