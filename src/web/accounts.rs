//! [`Accounts`]: what the engine asks the host about its accounts.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::text::Owner;

/// Answers questions about the host's accounts.
///
/// Both methods are called only after a token was verified. So nothing tells a client without a
/// token which accounts exist.
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
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be asked about the host's accounts",
    label = "needs `app_tokens::web::Accounts`",
    note = "if login names are owners, take `NamesAreOwners(|name| …)`, which says who exists",
    note = "otherwise implement `owner_of` and `is_active` for the type that reads your accounts"
)]
pub trait Accounts: Send + Sync {
    /// Returns the owner with this login name; `None` if there is no such account.
    ///
    /// Called if a user name was sent beside the token: the token must belong to this owner. The
    /// name is as the client sent it, so compare it as your own login does. It is never a token of
    /// ours and never resembles one.
    ///
    /// *Dangerous: the owner of another account is returned. Also dangerous: the owner of a former
    /// user is returned after their name was given to another person.*
    ///
    /// # Errors
    /// Return an error if the accounts can't be read. The client gets 503, and keeps its token.
    fn owner_of(
        &self,
        name: &str,
    ) -> impl Future<Output = Result<Option<Owner>, AccountsError>> + Send;

    /// Returns whether this account may log in: `false` if it is disabled or deleted.
    ///
    /// Called for every request with a valid token. If `false`, the account's tokens are denied
    /// like revoked ones, with 401, and clients forget them (OWASP ASVS 5.0, 7.4.2).
    ///
    /// *Dangerous: `true` is returned from a stale copy.*
    ///
    /// # Errors
    /// Return an error if the accounts can't be read, or if no account may log in for a while. The
    /// client gets 503, and keeps its token.
    fn is_active(&self, owner: &Owner) -> impl Future<Output = Result<bool, AccountsError>> + Send;
}

/// Says why the host's accounts could not be read. Any error type converts into it.
///
/// It is for the host's log. No client sees it.
pub type AccountsError = Box<dyn Error + Send + Sync>;

/// Implements [`Accounts`] for a host with login names that are the owners of its tokens.
///
/// The function returns whether a name has an active account. It is called with the user name that
/// a client sent, and with the owner of each valid token.
///
/// **Use it only if a name is never given to another person.** A new user with the name of a former
/// one would own the former user's tokens.
///
/// If the function can fail or must wait, implement [`Accounts`] instead.
///
/// ```
/// use app_tokens::web::NamesAreOwners;
/// let accounts = NamesAreOwners(|name| ["alice", "bob"].contains(&name));
/// ```
#[derive(Clone, Copy)]
pub struct NamesAreOwners<F: Fn(&str) -> bool>(
    /// Returns whether the account with this name exists and is active.
    pub F,
);

impl<F: Fn(&str) -> bool + Send + Sync> Accounts for NamesAreOwners<F> {
    async fn owner_of(&self, name: &str) -> Result<Option<Owner>, AccountsError> {
        Ok(Owner::new(name).ok().filter(|owner| self.0(owner.as_str())))
    }

    async fn is_active(&self, owner: &Owner) -> Result<bool, AccountsError> {
        Ok(self.0(owner.as_str()))
    }
}

impl<F: Fn(&str) -> bool> fmt::Debug for NamesAreOwners<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NamesAreOwners").finish_non_exhaustive()
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
        let everybody = NamesAreOwners(|_| true);
        assert_eq!(everybody.owner_of("a\u{202e}b").await.unwrap(), None);
        assert_eq!(everybody.owner_of(" ").await.unwrap(), None);
        let alice = everybody.owner_of("alice").await.unwrap().unwrap();
        assert!(Arc::new(everybody).is_active(&alice).await.unwrap());
    }

    #[tokio::test]
    async fn a_name_that_the_host_does_not_know_has_no_account_and_does_not_enter() {
        let accounts = NamesAreOwners(|name| name == "alice");
        assert_eq!(accounts.owner_of("bob").await.unwrap(), None);
        assert!(!accounts.is_active(&Owner::new("bob").unwrap()).await.unwrap());
        assert!(accounts.is_active(&Owner::new("alice").unwrap()).await.unwrap());
    }
}
