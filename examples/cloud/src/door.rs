//! Who sends a request: a device with an app password, or, in the months of transition, one that
//! still has the main password.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use app_tokens::store::DynStore;
use app_tokens::web::{CredentialsError, Entry, Login, Refusal};
use app_tokens::{Authenticated, Owner, Requirement, TokenAuthority};
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::response::Response;
use shared::accounts::{Account, Accounts, SignInRefused};
use shared::front::Visitor;
use shared::gate;
use shared::log;

use crate::Cloud;
use crate::scope::Scope;

/// Who sent a request.
pub enum User {
    Token(Authenticated),
    /// The owner has shown the main password. Only with `--accept-passwords`.
    Password(Owner),
}

/// Lets requests in. Cheap to clone.
#[derive(Clone)]
pub struct Door(Arc<Inner>);

struct Inner {
    login: Login<DynStore, Accounts>,
    cloud: Cloud,
    accept_passwords: bool,
    /// Whose main password was reported, and for which program.
    reported: Mutex<HashSet<(Owner, String)>>,
}

impl Door {
    pub fn new(cloud: &Cloud, accept_passwords: bool) -> Door {
        let login = Login::new(cloud.tokens.clone(), cloud.accounts.clone());
        let (cloud, reported) = (cloud.clone(), Mutex::default());
        Door(Arc::new(Inner { login, cloud, accept_passwords, reported }))
    }

    pub fn tokens(&self) -> &TokenAuthority<DynStore> {
        self.0.login.tokens()
    }

    pub fn accounts(&self) -> &Accounts {
        &self.0.cloud.accounts
    }

    /// Says who sent a request, or refuses it.
    ///
    /// Takes the credentials out, so that nothing further in can pass them on.
    pub async fn enter(&self, request: &mut Request) -> Result<User, Refusal> {
        let visitor = visitor(&self.0.cloud, request);
        let user = self.user(request.headers(), &visitor).await;
        request.headers_mut().remove(AUTHORIZATION);
        user
    }

    async fn user(&self, headers: &HeaderMap, visitor: &Visitor) -> Result<User, Refusal> {
        let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let entry = self.0.login.try_enter(headers, visitor.origin()).await;
        match entry.inspect_err(|refusal| gate::note_refusal(visitor.address, refusal))? {
            Entry::Token(token) => Ok(User::Token(token)),
            // Only a secret that is no token, also no mistyped or revoked one, comes this far.
            Entry::NotOurs(sent) if self.0.accept_passwords => {
                let (name, password) = (sent.user().unwrap_or_default(), sent.expose_secret());
                match self.accounts().sign_in(name, password, visitor.address).await {
                    Ok(account) => {
                        self.report(&account, visitor);
                        Ok(User::Password(account.owner))
                    }
                    Err(SignInRefused::Wrong { .. } | SignInRefused::Token) => {
                        Err(Refusal::NotOurs)
                    }
                    // Nothing was checked, so the client keeps its password: 503.
                    Err(_) => Err(Refusal::Accounts("too many sign-ins; try again later".into())),
                }
            }
            Entry::NotOurs(_) => {
                gate::note_refusal(visitor.address, &Refusal::NotOurs);
                Err(Refusal::NotOurs)
            }
            Entry::OtherScheme => Err(CredentialsError::UnsupportedScheme.into()),
            Entry::Nothing => Err(Refusal::NoCredentials),
        }
    }

    /// Logs who still uses the main password, once for each program: a sync client would fill the
    /// log.
    fn report(&self, account: &Account, visitor: &Visitor) {
        let program = visitor.program.as_deref().unwrap_or("a program without a name");
        let mut reported = self.0.reported.lock().unwrap_or_else(PoisonError::into_inner);
        // Bounded, as a client can call itself anything.
        if reported.len() >= 1_000 {
            reported.clear();
        }
        if reported.insert((account.owner.clone(), program.to_owned())) {
            let from = visitor.address.map_or("an unknown address".into(), |from| from.to_string());
            log::say(format_args!(
                "{} still uses the main password, with {program:?} from {from}; \
                 give that device an app password",
                account.name
            ));
        }
    }

    /// Makes the answer to a request that is refused.
    pub fn answer(&self, refusal: &Refusal) -> Response {
        if let Refusal::Failed(_) | Refusal::Accounts(_) = refusal {
            log::say(refusal);
        }
        self.0.login.answer(refusal).into_response()
    }
}

impl User {
    /// Returns the owner if they may do this here. The main password may do everything.
    pub fn require(self, scopes: impl IntoIterator<Item = Scope>) -> Result<Owner, Refusal> {
        let token = match self {
            User::Password(owner) => return Ok(owner),
            User::Token(token) => token,
        };
        let caller = token.require(Requirement::ANY_VALID_TOKEN)?;
        for scope in scopes {
            caller.require(scope)?;
        }
        Ok(caller.owner().clone())
    }
}

/// Says where a request is from.
pub fn visitor(cloud: &Cloud, request: &Request) -> Visitor {
    cloud.front.visitor(request.headers(), gate::peer(request.extensions()))
}
