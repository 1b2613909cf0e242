//! Who calls: a person's program with a session, or anything with an App Token.

use app_tokens::access::ScopeName as _;
use app_tokens::web::Refusal;
use app_tokens::{Authenticated, Caller, Operator, Owner, Requirement};
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::MethodRouter;
use shared::accounts::Account;
use shared::gate::peer;
use shared::session::Session;
use shared::token_api::Problem;

use crate::Server;
use crate::role::Role;

/// Who calls, and by what. Handlers behind [`guard`] take it as an `Extension`.
#[derive(Clone)]
pub struct Who {
    /// The identity, as it is now.
    pub account: Account,
    pub by: By,
}

/// What the caller showed.
#[derive(Clone)]
pub enum By {
    Session(Session),
    Token(Caller),
}

impl Who {
    /// Returns whether the identity has this role today and, if a token calls, the token as well.
    pub fn has(&self, role: Role) -> bool {
        let by_token = match &self.by {
            By::Session(_) => true,
            By::Token(caller) => caller.require(role).is_ok(),
        };
        by_token && role.is_had_by(&self.account)
    }

    pub fn is_administrator(&self) -> bool {
        self.has(Role::Administrator)
    }

    pub fn owner(&self) -> &Owner {
        &self.account.owner
    }

    /// Returns the name under which an administrator acts for others.
    pub fn operator(&self) -> Result<Operator, Problem> {
        // An account's name has at most as many characters as an operator's.
        Operator::new(&self.account.name).map_err(|error| Problem::bad(&error.to_string()))
    }
}

/// Lets callers in that have this role, or any if it is `None`.
///
/// A token must have the role, and its identity must have it still: a token that was made before
/// the identity lost the role can do no more than the identity.
pub fn guard(
    server: &Server,
    role: Option<Role>,
    route: MethodRouter<Server>,
) -> MethodRouter<Server> {
    route.layer(middleware::from_fn_with_state((server.clone(), role), check))
}

async fn check(
    State((server, role)): State<(Server, Option<Role>)>,
    request: Request,
    next: Next,
) -> Response {
    let (mut request, body) = request.into_parts();
    // Also with a token: a browser may have remembered one. And also by GET: an endpoint may act.
    if server.front.is_from_another_site(&request.headers) {
        return Problem::another_site().into_response();
    }
    let by = match request.extensions.get::<Authenticated>().cloned() {
        Some(token) => {
            let needed =
                role.map_or(Requirement::ANY_VALID_TOKEN, |role| Requirement::scope(&role));
            match token.require(needed) {
                Ok(caller) => By::Token(caller),
                Err(forbidden) => return Refusal::from(forbidden).into_response(),
            }
        }
        None => {
            let visitor = server.front.visitor(&request.headers, peer(&request.extensions));
            match server.sessions.find(&request.headers, &visitor).await {
                Some(session) => By::Session(session),
                None => return Refusal::NoCredentials.into_response(),
            }
        }
    };
    let owner = match &by {
        By::Session(session) => &session.owner,
        By::Token(caller) => caller.owner(),
    };
    let account = server.accounts.by_owner(owner).filter(Account::is_active);
    // As on the page: who signed out at the login proxy, or is another there, has no session here.
    let is_named = |account: &Account| match (&by, &server.front.login_proxy) {
        (By::Session(_), Some(proxy)) => {
            proxy.user(&request.headers, peer(&request.extensions)) == Some(&*account.name)
        }
        _ => true,
    };
    let Some(account) = account.filter(is_named) else {
        // Or it was deleted or disabled a moment ago.
        return Refusal::NoCredentials.into_response();
    };
    if let Some(role) = role.filter(|role| !role.is_had_by(&account)) {
        let name = role.name();
        let reason = format!("this needs the role {name}, which your identity does not have");
        return Problem::forbidden(&reason).into_response();
    }
    request.extensions.insert(Who { account, by });
    next.run(Request::from_parts(request, body)).await
}
