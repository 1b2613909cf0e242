//! `/api/v1/apptoken`: lists, finds and revokes App Tokens. The fields are those of the document.

use app_tokens::access::{Scope, Selection};
use app_tokens::error::ManageError;
use app_tokens::record::Actor;
use app_tokens::store::{Filter, Page};
use app_tokens::{Owner, Reason, TokenId, TokenView};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::LINK;
use axum::response::Response;
use axum::routing::get;
use axum::{Extension, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use shared::accounts::Account;
use shared::token_api::{Problem, answer};

use crate::Server;
use crate::grant;
use crate::role::Role;
use crate::who::{By, Who, guard};

/// How many tokens a page has at most.
const PAGE: u32 = 500;

pub fn routes(server: &Server) -> Router {
    let administrator = Some(Role::Administrator);
    let grant = || get(grant::to_caller).post(grant::to_caller);
    let grant_to = || get(grant::to_identity).post(grant::to_identity);
    let all = || get(list).post(migrate);
    let mut routes = Router::new();
    // Clients write both: the product's paths know no case.
    for name in ["apptoken", "appToken"] {
        let path = format!("/api/v1/{name}");
        routes = routes
            .route(&format!("{path}/grant"), guard(server, None, grant()))
            .route(&format!("{path}/grant/{{identity}}"), guard(server, administrator, grant_to()))
            .route(&format!("{path}/{{id}}"), guard(server, None, get(find).delete(revoke)))
            .route(&path, guard(server, None, all()));
    }
    routes.with_state(server.clone())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    /// The id of an identity.
    identity: Option<String>,
    /// The last token of the page before.
    after: Option<String>,
}

/// Lists the tokens of all identities, for an administrator. For others, their own.
async fn list(
    State(server): State<Server>,
    Extension(who): Extension<Who>,
    wish: Result<Query<Wish>, QueryRejection>,
) -> Result<Response, Problem> {
    refuse_custom_roles(&who)?;
    let bad = || Problem::bad("the query may have identity=ID and after=TOKEN-ID, nothing else");
    let Query(wish) = wish.map_err(|_| bad())?;
    let asked = wish.identity.map(Owner::new).transpose().map_err(|_| bad())?;
    let owner = if who.is_administrator() {
        asked
    } else if asked.as_ref().is_none_or(|asked| asked == who.owner()) {
        Some(who.owner().clone())
    } else {
        return Err(Problem::forbidden("only an administrator lists another's tokens"));
    };
    let filter = Filter { owner, ..Filter::every_token() };
    let mut page = Page::first(PAGE);
    if let Some(after) = wish.after {
        page = page.after(after.parse().map_err(|_| bad())?);
    }
    let listed = server.tokens.list(&filter, page).await?;
    let tokens: Vec<Value> = listed.tokens.iter().map(|token| describe(&server, token)).collect();
    let mut response = answer(StatusCode::OK, tokens.into());
    if let Some(last) = listed.next {
        let identity = filter.owner.map(|owner| format!("identity={owner}&")).unwrap_or_default();
        // An owner that can't stand in a header gets no link; it can be asked for by hand.
        if let Ok(link) = format!("<?{identity}after={last}>; rel=\"next\"").parse() {
            response.headers_mut().insert(LINK, link);
        }
    }
    Ok(response)
}

async fn find(
    State(server): State<Server>,
    Extension(who): Extension<Who>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    refuse_custom_roles(&who)?;
    let found = server.tokens.find(actor(&who)?, parse_id(&id)?).await?;
    Ok(answer(StatusCode::OK, describe(&server, &found)))
}

/// Revokes a token. It stays in the list, with the date.
async fn revoke(
    State(server): State<Server>,
    Extension(who): Extension<Who>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let (by, id) = (actor(&who)?, parse_id(&id)?);
    // A token that leaked must not end the others of its identity, which may do more than it.
    if let By::Token(caller) = &who.by
        && !who.is_administrator()
        && caller.id() != id
    {
        // The token of another identity is unknown, and no more is said of it.
        server.tokens.find(by, id).await?;
        return Err(Problem::forbidden("a token can revoke itself only; sign in to revoke others"));
    }
    server.tokens.revoke(by.clone(), id, Reason::REQUESTED).await?;
    let revoked = server.tokens.find(by, id).await?;
    Ok(answer(StatusCode::OK, describe(&server, &revoked)))
}

/// Refuses to take over the text of a token.
///
/// A text does not say whether it was revoked: any that was ever signed would come back, and
/// outlive the token that sent it. The operator's tool reads the row, which says so.
async fn migrate(Extension(who): Extension<Who>) -> Problem {
    if !who.is_administrator() {
        return Problem::forbidden("this needs the role Administrator");
    }
    Problem::new(
        StatusCode::NOT_IMPLEMENTED,
        "nothing was taken over; an operator runs `admin import powershell-universal` for tokens \
         of PowerShell Universal. For those of another instance of this server it is \
         `admin export` there, and `admin import app-tokens` here",
    )
}

/// A token of a custom role is for custom endpoints. It still revokes itself.
fn refuse_custom_roles(who: &Who) -> Result<(), Problem> {
    match who.by {
        By::Token(_) if !who.has(Role::Reader) => {
            Err(Problem::forbidden("this needs a token with the role Reader"))
        }
        _ => Ok(()),
    }
}

/// An administrator acts on the tokens of all, anyone else on their own.
fn actor(who: &Who) -> Result<Actor, Problem> {
    Ok(if who.is_administrator() {
        Actor::from(who.operator()?)
    } else {
        Actor::from(who.owner().clone())
    })
}

fn parse_id(id: &str) -> Result<TokenId, ManageError> {
    id.parse().map_err(|_| ManageError::Unknown)
}

/// Returns a token with the fields of the document, and without its text.
pub fn describe(server: &Server, token: &TokenView) -> Value {
    let roles = match token.access().granted_scopes() {
        Selection::Only(roles) => roles.iter().map(Scope::as_str).collect(),
        // An operator's token may have every role.
        Selection::All => server.tokens.policy().scopes().collect::<Vec<_>>(),
    };
    let account = server.accounts.by_owner(token.owner());
    let revoked = token.revocation().map(|revocation| revocation.at.to_string());
    json!({
        "id": token.id().to_string(),
        "token": null,
        "identity": identity(account.as_ref(), token.owner()),
        "revoked": revoked.is_some(),
        "role": roles.join(", "),
        "created": token.created_at().to_string(),
        "expiration": token.expires().at().map(|at| at.to_string()),
        // .NET's first instant stands for never.
        "revokedDate": revoked.unwrap_or_else(|| "0001-01-01T00:00:00Z".into()),
    })
}

/// Returns an identity with the fields of the document. An account that is gone has no name.
pub fn identity(account: Option<&Account>, owner: &Owner) -> Value {
    let id = owner.as_str();
    json!({
        "id": id.parse::<u64>().map_or_else(|_| Value::from(id), Value::from),
        "name": account.map(|account| &account.name),
        "source": 0, // local
        "role": null, // the token's own role counts
    })
}
