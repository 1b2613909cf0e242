//! Tokens by JSON, with the main password only (HTTP Basic). A token never makes, lists, changes or
//! revokes tokens.
//!
//! A host brings the document that describes it. `examples/cloud/openapi.json` is one, and the
//! cloud's tests check that it and this agree.
//!
//! - `change`, `revoke`: what can be done with one.
//! - `request`, `problem`: who asks, for which token, and what is wrong.

mod change;
mod problem;
mod request;
mod revoke;

use std::num::NonZeroU32;
use std::time::Duration;

use app_tokens::access::Selection;
use app_tokens::error::IssueError;
use app_tokens::record::Lifetime;
use app_tokens::store::{DynStore, Filter, Page};
use app_tokens::{Access, IssuedToken, NewToken, Policy, TokenAuthority, TokenId, TokenView};
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get, patch, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::accounts::Accounts;
use crate::front::Front;
use change::asked_end;
pub use problem::Problem;
use request::{ByPassword, parse, read};

/// What a host brings. Cheap to clone.
#[derive(Clone)]
pub struct TokenApi {
    /// The tokens.
    pub tokens: TokenAuthority<DynStore>,
    /// Who has which main password.
    pub accounts: Accounts,
    /// What stands in front.
    pub front: Front,
    /// The OpenAPI document.
    pub document: &'static str,
}

/// How many tokens a page has if the client doesn't say.
const USUAL_LIMIT: NonZeroU32 = NonZeroU32::new(100).expect("not zero");
/// How many it has at most.
const MOST: u32 = 1000;

impl TokenApi {
    /// Returns its routes, all below `/api`.
    pub fn routes(self) -> Router {
        Router::new()
            .route("/api/openapi.json", get(describe_routes))
            .route("/api/tokens", get(list).post(create).delete(revoke::revoke_others))
            .route("/api/tokens/{id}", patch(change::change).delete(revoke::revoke))
            .route("/api/tokens/{id}/rotate", post(change::rotate))
            .route("/api", any(nothing))
            .route("/api/", any(nothing))
            .route("/api/{*path}", any(nothing))
            .method_not_allowed_fallback(async || {
                Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this method is not allowed here")
            })
            .layer(DefaultBodyLimit::max(64 * 1024))
            .with_state(self)
    }
}

async fn nothing() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "this path does not exist")
}

async fn describe_routes(State(api): State<TokenApi>) -> Response {
    ([(CONTENT_TYPE, "application/json")], api.document).into_response()
}

/// What a client asks for. Unknown fields are refused: a mistyped `expires_in_days` must not make a
/// token that lives for a year.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    label: String,
    expires_in_days: Option<u64>,
    expires_at: Option<String>,
    scopes: Option<Vec<String>>,
}

async fn create(
    State(api): State<TokenApi>,
    ByPassword(owner): ByPassword,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let wish: Wish = parse(&read(body)?)?;
    // No list of scopes means full access; an empty list is an error.
    let access = match wish.scopes {
        Some(scopes) => {
            Access::scopes(known(scopes, api.tokens.policy())?).map_err(IssueError::from)?
        }
        None => Access::full(),
    };
    let new = NewToken::new(&owner, &wish.label, access);
    let new = match asked_end(wish.expires_in_days, wish.expires_at.as_deref())? {
        Some(Lifetime::For(life)) => new.expires_in(life),
        Some(Lifetime::Until(end)) => new.expires_at(end),
        _ => new,
    };
    Ok(show_once(&api.tokens.issue(new).await?))
}

fn days_long(days: u64) -> Duration {
    Duration::from_secs(days.saturating_mul(86_400))
}

/// Checks that there is a scope, and that the policy knows each.
fn known(scopes: Vec<String>, policy: &Policy) -> Result<Vec<String>, Problem> {
    let is_known = |scope: &String| policy.scopes().any(|known| known == scope);
    if scopes.is_empty() || !scopes.iter().all(is_known) {
        let known = policy.scopes().collect::<Vec<_>>().join(", ");
        let reason = format!("scopes must name some of {known}; leave it out for full access");
        return Err(Problem::new(StatusCode::BAD_REQUEST, &reason));
    }
    Ok(scopes)
}

/// Which part of the list is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    limit: Option<NonZeroU32>,
    /// What `next` was in the answer before.
    cursor: Option<TokenId>,
}

/// In the order of the ids, as the store has them: so a token that comes or goes in between moves
/// no other to another page.
async fn list(
    State(api): State<TokenApi>,
    ByPassword(owner): ByPassword,
    part: Result<Query<Part>, QueryRejection>,
) -> Result<Response, Problem> {
    let part = part.ok().map(|Query(part)| (part.limit.unwrap_or(USUAL_LIMIT), part.cursor));
    let Some((limit, after)) = part.filter(|(limit, _)| limit.get() <= MOST) else {
        let reason = "limit is a number from 1 to 1000, and cursor is what next was; there is no \
                      other parameter";
        return Err(Problem::new(StatusCode::BAD_REQUEST, reason));
    };
    let listed = api.tokens.list(&Filter::of_owner(&owner), Page { after, limit }).await?;
    let tokens: Vec<Value> = listed.tokens.iter().map(describe).collect();
    let next = listed.next.map(|next| next.to_string());
    Ok(answer(StatusCode::OK, json!({ "tokens": tokens, "next": next })))
}

/// Makes an answer about tokens, which no cache may keep.
pub fn answer(status: StatusCode, body: Value) -> Response {
    (status, [(CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

/// Makes the only answer that holds a token's text.
fn show_once(issued: &IssuedToken) -> Response {
    let mut shown = describe(issued.view());
    shown["token"] = issued.expose_secret().into();
    answer(StatusCode::CREATED, shown)
}

fn describe(token: &TokenView) -> Value {
    let scopes = match token.access().granted_scopes() {
        Selection::All => Value::Null,
        Selection::Only(scopes) => scopes.iter().map(app_tokens::access::Scope::as_str).collect(),
    };
    json!({
        "id": token.id().to_string(),
        "label": token.label().as_str(),
        "scopes": scopes,
        "created_at": token.created_at().to_string(),
        "expires_at": token.expires().at().map(|at| at.to_string()),
        "last_used_at": token.last_use().map(|last_use| last_use.at.to_string()),
        "successor": token.successor().map(|id| id.to_string()),
        "revoked_at": token.revocation().map(|revocation| revocation.at.to_string()),
        "status": token.status().map_or("unknown", |status| status.as_str()),
    })
}
