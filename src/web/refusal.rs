//! Why a request is refused: [`Refusal`].

use super::accounts::AccountsError;
use super::credentials::CredentialsError;
use crate::error::{AuthError, Denied, Failed, Forbidden};

/// Why a request is refused. One type for all reasons, so that a host's code can use `?`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// No credentials were sent. Most clients begin so; it is no failed attempt.
    #[error("no credentials were sent")]
    NoCredentials,
    /// The credentials can't be read.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The secret doesn't have the form of our tokens, and the host's other way did not accept it.
    #[error("not a token of this service")]
    NotOurs,
    /// The token is denied, belongs to another owner than the user name says, or its owner isn't
    /// active.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The token is valid, but its access is not enough.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// The engine can't check the token.
    #[error(transparent)]
    Failed(#[from] Failed),
    /// The host's accounts, or its other way in, can't be asked.
    #[error("the host's accounts can't be read: {0}")]
    Accounts(AccountsError),
}

impl From<AuthError> for Refusal {
    fn from(error: AuthError) -> Refusal {
        match error {
            AuthError::NotOurs(_) => Refusal::NotOurs,
            AuthError::Denied(denied) => Refusal::Denied(denied),
            AuthError::Failed(failed) => Refusal::Failed(failed),
        }
    }
}
