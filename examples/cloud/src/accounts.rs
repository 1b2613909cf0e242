//! The users, and the two questions that a token's login asks about them.

use std::collections::HashMap;
use std::sync::Arc;

use app_tokens::Owner;
use app_tokens::web::{self, AccountsError};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// The accounts of the command line. A real host keeps slow password hashes (Argon2id); these
/// passwords stand in a process's arguments anyway.
#[derive(Clone)]
pub struct Accounts(Arc<HashMap<Owner, [u8; 32]>>);

impl Accounts {
    pub fn new(users: &[(String, String)]) -> Accounts {
        let account = |(name, password): &(String, String)| {
            Some((Owner::new(name).ok()?, Sha256::digest(password).into()))
        };
        Accounts(Arc::new(users.iter().filter_map(account).collect()))
    }

    /// Returns the owner if this is their main password.
    pub fn sign_in(&self, name: &str, password: &str) -> Option<Owner> {
        let owner = Owner::new(name).ok()?;
        let presented: [u8; 32] = Sha256::digest(password).into();
        let stored = self.0.get(&owner);
        let is_right = stored.unwrap_or(&[0; 32]).ct_eq(&presented);
        (stored.is_some() && is_right.into()).then_some(owner)
    }
}

/// Here a login name is the account's id, as there is no renaming.
impl web::Accounts for Accounts {
    async fn owner_of(&self, name: &str) -> Result<Option<Owner>, AccountsError> {
        Ok(Owner::new(name).ok().filter(|owner| self.0.contains_key(owner)))
    }

    async fn is_active(&self, owner: &Owner) -> Result<bool, AccountsError> {
        Ok(self.0.contains_key(owner))
    }
}
