//! Who sends a request: a device with an app password, or, in the months of transition, one that
//! still has the main password.

use std::borrow::Cow;
use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use app_tokens::store::DynStore;
use app_tokens::web::{Credentials, Login, Refusal, TokenLayer};
use app_tokens::{Authenticated, Origin, Owner, Requirement};
use axum::extract::Request;
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

/// Marks a request whose sender has shown the main password.
#[derive(Clone)]
struct ByPassword(Owner);

/// Makes the layer that lets requests in. Those without credentials come in, too: some routes
/// answer them.
pub fn layer(
    cloud: &Cloud,
    login: Login<DynStore, Accounts>,
    accept_passwords: bool,
) -> TokenLayer<DynStore, Accounts> {
    let layer = gate::token_layer(login, &cloud.front).optional();
    if !accept_passwords {
        return layer;
    }
    let (accounts, reported) = (cloud.accounts.clone(), Arc::new(Reported::default()));
    // Only a secret that is no token, also no mistyped or revoked one, comes this far.
    let by_password = move |sent: Credentials<'static>, origin: Origin<'_>| {
        let (accounts, reported) = (accounts.clone(), reported.clone());
        let from = origin.known_address();
        let program = origin.known_client().filter(|program| !program.is_empty());
        let program = program.map_or("a program without a name".into(), Cow::into_owned);
        async move {
            let (name, password) = (sent.user().unwrap_or_default(), sent.expose_secret());
            match accounts.sign_in(name, password, from).await {
                Ok(account) => {
                    reported.note(&account, &program, from);
                    Ok(Some(ByPassword(account.owner)))
                }
                Err(SignInRefused::Wrong { .. } | SignInRefused::Token) => Ok(None),
                // Nothing was checked, so the client keeps its password: 503.
                Err(_) => Err("too many sign-ins; try again later".into()),
            }
        }
    };
    layer.or_else(by_password).on_refusal(|_, origin, refusal| match refusal {
        // The accounts have written a line already.
        Refusal::NotOurs => {}
        refusal => gate::note_refusal(origin.known_address(), refusal),
    })
}

/// Whose main password was reported, and for which program.
#[derive(Default)]
struct Reported(Mutex<HashSet<(Owner, String)>>);

impl Reported {
    /// Logs who still uses the main password, once for each program: a sync client would fill the
    /// log.
    fn note(&self, account: &Account, program: &str, from: Option<IpAddr>) {
        let mut reported = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Bounded, as a client can call itself anything.
        if reported.len() >= 1_000 {
            reported.clear();
        }
        if reported.insert((account.owner.clone(), program.to_owned())) {
            let from = from.map_or("an unknown address".into(), |from| from.to_string());
            log::say(format_args!(
                "{} still uses the main password, with {program:?} from {from}; \
                 give that device an app password",
                account.name
            ));
        }
    }
}

impl User {
    /// Returns who sent a request that came through the [`layer`].
    pub fn of(request: &Request) -> Result<User, Refusal> {
        let extensions = request.extensions();
        if let Some(token) = extensions.get::<Authenticated>() {
            return Ok(User::Token(token.clone()));
        }
        let by_password = extensions.get::<ByPassword>().map(|by| User::Password(by.0.clone()));
        by_password.ok_or(Refusal::NoCredentials)
    }

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
