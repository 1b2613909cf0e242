//! [`Refusal`]: why a request is refused.

use super::accounts::AccountsError;
use super::credentials::CredentialsError;
use crate::error::{AuthError, Denied, Failed, Forbidden};

/// Says why a request is refused. One type has all reasons, so that a host's code can use `?`.
///
/// [`Login::answer`](super::Login::answer) turns it into the response. Its `Display` may hold
/// details for the log, so don't send it to the client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// No credentials were sent. 401. Most clients begin so: it is not a failed attempt.
    #[error("no credentials were sent")]
    NoCredentials,
    /// The credentials can't be read. 401, or 400 if a program made the mistake.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The secret does not look like one of our tokens, and no other check of the host accepted
    /// it. 401.
    #[error("not a token of this service")]
    NotOurs,
    /// The token is denied: for instance it was revoked, it belongs to another owner than the user
    /// name says, or its owner is not active. 401.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The token is valid, but its access is not enough. 403.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// The engine can't check the token, for instance because the store failed. 503.
    #[error(transparent)]
    Failed(#[from] Failed),
    /// The host's accounts can't be read, or its password check failed. 503.
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
