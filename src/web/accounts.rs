//! What the host is asked about its accounts: [`Accounts`].

use std::error::Error;
use std::sync::Arc;

use crate::text::Owner;

/// The host's accounts.
///
/// Both questions are asked only after a token has proved itself. So the answers tell nobody
/// without a token which accounts exist.
///
/// ```
/// use app_tokens::Owner;
/// use app_tokens::web::{Accounts, AccountsError};
/// # struct Database;
/// # struct Account { id: String, disabled: bool }
/// # impl Database {
/// #     async fn account_by_name(&self, _: &str) -> Result<Option<Account>, std::io::Error> {
/// #         Ok(None)
/// #     }
/// #     async fn account(&self, _: &str) -> Result<Option<Account>, std::io::Error> { Ok(None) }
/// # }
///
/// impl Accounts for Database {
///     async fn owner_of(&self, name: &str) -> Result<Option<Owner>, AccountsError> {
///         let account = self.account_by_name(name).await?;
///         Ok(account.map(|account| Owner::new(account.id)).transpose()?)
///     }
///     async fn is_active(&self, owner: &Owner) -> Result<bool, AccountsError> {
///         let account = self.account(owner.as_str()).await?;
///         Ok(account.is_some_and(|account| !account.disabled))
///     }
/// }
/// ```
pub trait Accounts: Send + Sync {
    /// Returns the account with this login name; `None` if there is no such account.
    ///
    /// Asked if a user name was sent beside the token, to compare the two owners. The name is as
    /// the client sent it. It is never a token and never resembles one.
    ///
    /// *Dangerous: the owner of another account, or of a former user whose name has a new holder.*
    ///
    /// # Errors
    /// Any error becomes HTTP 503. Return one if the accounts can't be read.
    fn owner_of(
        &self,
        name: &str,
    ) -> impl Future<Output = Result<Option<Owner>, AccountsError>> + Send;

    /// Returns whether this account may enter: `false` if it is disabled or gone.
    ///
    /// Asked on every way in. If `false`, the account's tokens are denied like revoked ones, with
    /// 401, and clients forget them (OWASP ASVS 5.0, 7.4.2).
    ///
    /// *Dangerous: `true` from a stale copy.*
    ///
    /// # Errors
    /// Any error becomes HTTP 503, and clients keep their tokens. Return one if the accounts can't
    /// be read, or if no account may enter for a while.
    fn is_active(&self, owner: &Owner) -> impl Future<Output = Result<bool, AccountsError>> + Send;
}

/// Why the host's accounts could not be read: any error. It is for the host's log; no client sees
/// it.
pub type AccountsError = Box<dyn Error + Send + Sync>;

/// The accounts of a host whose login names are the owners that it issues tokens for.
///
/// Every account counts as active. Such a host revokes all tokens of an account that it disables or
/// deletes, and never gives a name to another person.
#[derive(Clone, Copy, Debug, Default)]
pub struct NamesAreOwners;

impl Accounts for NamesAreOwners {
    async fn owner_of(&self, name: &str) -> Result<Option<Owner>, AccountsError> {
        Ok(Owner::new(name).ok())
    }

    async fn is_active(&self, _: &Owner) -> Result<bool, AccountsError> {
        Ok(true)
    }
}

impl<A: Accounts + ?Sized> Accounts for Arc<A> {
    fn owner_of(
        &self,
        name: &str,
    ) -> impl Future<Output = Result<Option<Owner>, AccountsError>> + Send {
        (**self).owner_of(name)
    }

    fn is_active(&self, owner: &Owner) -> impl Future<Output = Result<bool, AccountsError>> + Send {
        (**self).is_active(owner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_that_can_not_be_an_owner_has_no_account() {
        assert_eq!(NamesAreOwners.owner_of("a\u{202e}b").await.unwrap(), None);
        assert_eq!(NamesAreOwners.owner_of(" ").await.unwrap(), None);
        let alice = NamesAreOwners.owner_of("alice").await.unwrap().unwrap();
        assert!(Arc::new(NamesAreOwners).is_active(&alice).await.unwrap());
    }
}
