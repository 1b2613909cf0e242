//! Who sent a request: a token, nobody, or a person with the main password.
//!
//! Unlike in Forgejo, a user name beside a token must be its owner's, or stand for none.
//!
//! Two ways in, by type. [`Visitor`] takes tokens only: git, the API, packages. [`Doer`] takes the
//! main password only: the API that makes and deletes tokens.

use std::net::IpAddr;

use app_tokens::error::Forbidden;
use app_tokens::web::{Accept, Entry, Refusal};
use app_tokens::{Caller, Requirement};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use forge_services::problem::Problem;
use shared::accounts::Account;
use shared::front;
use shared::gate;

use crate::Forge;

/// A token that was let in, or nobody. What it may do is still to be asked.
pub struct Visitor {
    pub caller: Option<Caller>,
    pub address: Option<IpAddr>,
}

/// The person who showed their main password.
pub struct Doer(pub Account);

impl FromRequestParts<Forge> for Visitor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, forge: &Forge) -> Result<Visitor, Problem> {
        if !matches!(parts.method, Method::GET | Method::HEAD) {
            forge.refuse_other_sites(&parts.headers)?;
        }
        let from = forge.sender(parts);
        let address = from.address;
        match forge.try_enter(&parts.headers, &from).await? {
            Entry::Token(token) => {
                // Only the networks are checked here. Each handler requires its scope.
                let caller = token.require(Requirement::ANY_VALID_TOKEN);
                let caller = caller.map_err(|forbidden| forge.forbidden(forbidden))?;
                Ok(Visitor { caller: Some(caller), address })
            }
            Entry::Nothing => Ok(Visitor { caller: None, address }),
            // It may be a main password: those are for the browser, and are not even compared.
            Entry::NotOurs(_) | Entry::OtherScheme => Err(forge.refused(&Refusal::NotOurs, &from)),
        }
    }
}

impl Visitor {
    /// Returns the token's caller, or asks for a token.
    pub fn caller(self, forge: &Forge) -> Result<Caller, Problem> {
        self.caller.ok_or_else(|| forge.sign_in_needed())
    }
}

impl FromRequestParts<Forge> for Doer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, forge: &Forge) -> Result<Doer, Problem> {
        forge.refuse_other_sites(&parts.headers)?;
        let from = forge.sender(parts);
        let wrong = || {
            Problem::new(StatusCode::UNAUTHORIZED, "sign in with your user name and main password")
                .with("www-authenticate", "Basic realm=\"forge account\", charset=\"UTF-8\"")
        };
        match forge.try_enter(&parts.headers, &from).await? {
            // A stolen token must not turn into a second one that outlives it.
            Entry::Token(_) => {
                let message = "access tokens are made and deleted with the main password only; \
                               send it instead of a token";
                Err(Problem::new(StatusCode::FORBIDDEN, message))
            }
            Entry::NotOurs(sent) => {
                let name = sent.user().unwrap_or_default();
                let signed_in =
                    forge.accounts.sign_in(name, sent.expose_secret(), from.address).await;
                signed_in.map(Doer).map_err(|refused| match refused.unchecked() {
                    Some((status, reason, wait)) => {
                        let problem = Problem::new(status, reason);
                        match wait.map(|wait| wait.as_secs().max(1).to_string()) {
                            Some(seconds) => problem.with("retry-after", &seconds),
                            None => problem,
                        }
                    }
                    None => wrong(),
                })
            }
            Entry::OtherScheme | Entry::Nothing => Err(wrong()),
        }
    }
}

/// Sets which ways of sending a token are read: all that git and the package clients have.
pub fn accepted(accept: Accept) -> Accept {
    accept
        // cargo sends the token alone, without a scheme.
        .bare_token()
        // `https://TOKEN:x-oauth-basic@host/`, a habit from GitHub.
        .token_as_user_name()
        // Names that stand for none: twine's and pip's, and those of CI systems.
        .placeholder("__token__")
        .placeholder("x-access-token")
        .placeholder("oauth2")
}

impl Forge {
    /// Refuses what another site's page made a browser send: a browser remembers what was typed
    /// into its own dialog, and sends it along.
    fn refuse_other_sites(&self, headers: &HeaderMap) -> Result<(), Problem> {
        if self.front.is_from_another_site(headers) {
            let message = "another site sent this request; send it from this site";
            return Err(Problem::new(StatusCode::FORBIDDEN, message));
        }
        Ok(())
    }

    fn sender(&self, parts: &Parts) -> front::Visitor {
        self.front.visitor(&parts.headers, gate::peer(&parts.extensions))
    }

    async fn try_enter<'h>(
        &self,
        headers: &'h HeaderMap,
        from: &front::Visitor,
    ) -> Result<Entry<'h>, Problem> {
        let pairs = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let entry = self.login.try_enter(pairs, from.origin()).await;
        entry.map_err(|refusal| self.refused(&refusal, from))
    }

    /// Logs a refusal, and says what to do. git shows it as `remote: …`.
    fn refused(&self, refusal: &Refusal, from: &front::Visitor) -> Problem {
        gate::note_refusal(from.address, refusal);
        let mut problem = Problem::from(self.login.answer(refusal));
        if problem.status == StatusCode::UNAUTHORIZED {
            let url = &self.url;
            problem.message = match refusal {
                Refusal::NotOurs => format!(
                    "Passwords are not accepted here. Make an access token at {url}/ and send it \
                     in place of the password, with your user name."
                ),
                _ => format!(
                    "The access token is not valid. It may have been deleted, or the user name is \
                     not its owner's. Make another at {url}/"
                ),
            };
        }
        problem
    }

    /// Asks for a token. Most clients send none before they are asked, so this is not logged.
    pub fn sign_in_needed(&self) -> Problem {
        let message = format!(
            "Sign in with your user name, and an access token in place of the password. Make one \
             at {}/",
            self.url
        );
        Problem::new(StatusCode::UNAUTHORIZED, message)
    }

    /// Answers a token that is valid, but not for this. Clients keep it.
    pub fn forbidden(&self, forbidden: Forbidden) -> Problem {
        let needed = forbidden.wanted_scope().map(str::to_owned);
        let mut problem = Problem::from(self.login.answer(&Refusal::Forbidden(forbidden)));
        if let Some(scope) = needed {
            problem.message += &format!(" It needs {scope}.");
        }
        problem
    }
}

#[cfg(test)]
mod tests {
    use app_tokens::{Policy, web};

    use super::*;

    #[test]
    fn what_real_clients_send_is_read_as_they_mean_it() {
        let accept = accepted(Accept::new(&Policy::new("forge").unwrap()));
        let vectors = include_str!("../tests/authorization.json");
        let vectors: Vec<serde_json::Value> = serde_json::from_str(vectors).unwrap();
        assert_eq!(vectors.len(), 13);
        for vector in vectors {
            let value = vector["authorization"].as_str().unwrap();
            let read = web::credentials([value.as_bytes()], &accept).unwrap().unwrap();
            assert_eq!(read.user(), vector["user"].as_str(), "{vector}");
            assert_eq!(read.expose_secret(), vector["secret"].as_str().unwrap(), "{vector}");
        }
    }
}
