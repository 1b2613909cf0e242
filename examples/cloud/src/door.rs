//! Who sends a request: a device with an app password, or, in the months of transition, one that
//! still has the main password.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use app_tokens::store::DynStore;
use app_tokens::web::{CredentialsError, Entry, Login, Refusal};
use app_tokens::{Authenticated, Origin, Owner, Requirement, TokenAuthority};
use axum::extract::{ConnectInfo, Request};
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, USER_AGENT};
use axum::response::Response;

use crate::accounts::Accounts;
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
    accounts: Accounts,
    accept_passwords: bool,
    /// Whose main password was reported, and for which program.
    reported: Mutex<HashSet<(Owner, String)>>,
}

impl Door {
    pub fn new(
        tokens: &TokenAuthority<DynStore>,
        accounts: &Accounts,
        accept_passwords: bool,
    ) -> Door {
        let (login, accounts) = (Login::new(tokens.clone(), accounts.clone()), accounts.clone());
        Door(Arc::new(Inner { login, accounts, accept_passwords, reported: Mutex::default() }))
    }

    pub fn tokens(&self) -> &TokenAuthority<DynStore> {
        self.0.login.tokens()
    }

    pub fn accounts(&self) -> &Accounts {
        &self.0.accounts
    }

    /// Says who sent a request, or refuses it.
    ///
    /// Takes the credentials out, so that nothing further in can pass them on.
    pub async fn enter(&self, request: &mut Request) -> Result<User, Refusal> {
        let user = self.user(request.headers(), address(request)).await;
        request.headers_mut().remove(AUTHORIZATION);
        user
    }

    async fn user(&self, headers: &HeaderMap, address: Option<IpAddr>) -> Result<User, Refusal> {
        let program = program(headers);
        let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let mut origin = Origin::unknown().client(program);
        if let Some(address) = address {
            origin = origin.address(address);
        }
        match self.0.login.try_enter(headers, origin).await? {
            Entry::Token(token) => Ok(User::Token(token)),
            // Only a secret that is no token, also no mistyped or revoked one, comes this far.
            Entry::NotOurs(sent) if self.0.accept_passwords => {
                let name = sent.user().unwrap_or_default();
                let owner = self.0.accounts.sign_in(name, sent.expose_secret());
                let owner = owner.ok_or(Refusal::NotOurs)?;
                self.report(&owner, program, address);
                Ok(User::Password(owner))
            }
            Entry::NotOurs(_) => Err(Refusal::NotOurs),
            Entry::OtherScheme => Err(CredentialsError::UnsupportedScheme.into()),
            Entry::Nothing => Err(Refusal::NoCredentials),
        }
    }

    /// Logs who still uses the main password, once for each program: a sync client would fill the
    /// log.
    fn report(&self, owner: &Owner, program: &str, address: Option<IpAddr>) {
        let mut reported = self.0.reported.lock().unwrap_or_else(PoisonError::into_inner);
        // Bounded, as a client can call itself anything.
        if reported.len() >= 1_000 {
            reported.clear();
        }
        if reported.insert((owner.clone(), program.to_owned())) {
            let from = address.map_or("an unknown address".into(), |address| address.to_string());
            eprintln!(
                "cloud: {owner} still uses the main password, with {program:?} from {from}; \
                 give that device an app password"
            );
        }
    }

    /// Makes the answer to a request that is refused.
    pub fn answer(&self, refusal: &Refusal) -> Response {
        if let Refusal::Failed(_) | Refusal::Accounts(_) = refusal {
            eprintln!("cloud: {refusal}");
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

/// Returns the other end of the connection. Behind a proxy that is the proxy: take
/// `app_tokens::web::client_address` there.
pub fn address(request: &Request) -> Option<IpAddr> {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    peer.map(|ConnectInfo(peer)| peer.ip().to_canonical())
}

/// Returns what the client calls itself.
pub fn program(headers: &HeaderMap) -> &str {
    let program = headers.get(USER_AGENT).and_then(|program| program.to_str().ok());
    program.unwrap_or("a program without a name")
}
