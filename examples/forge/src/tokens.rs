//! The API for access tokens, in the shape that Forgejo documents. With the main password only.
//!
//! `GET`, `POST` and `DELETE /api/v1/users/{user}/tokens`. What differs from Forgejo:
//!
//! - `token_last_eight` has the last eight characters of the token's public id. They are in the
//!   token's text behind the prefix, at places 3 to 10. The text's own end is kept nowhere.
//! - `id` stays when a person regenerates a token on the page, as in Forgejo: it is the number of
//!   the first token of its line.
//! - A list of all nine write scopes stays a list. `all` would also mean scopes that come later.

use std::fmt::Display;

use app_tokens::access::{Resource, Selection};
use app_tokens::error::IssueError;
use app_tokens::record::{Actor, Status};
use app_tokens::web::Answer;
use app_tokens::{NewToken, Operator, Reason, TokenView};
use axum::extract::{Path, Query, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get};
use axum::{Json, Router};
use forge_services::json::{JsonBody, Paging};
use forge_services::problem::Problem;
use forge_services::repos::Repo;
use serde::Deserialize;
use serde_json::{Value, json};
use shared::accounts::Account;
use shared::log;

use crate::Forge;
use crate::allow::{limit_to, limited_to};
use crate::enter::Doer;
use crate::scopes;

pub fn routes() -> Router<Forge> {
    Router::new()
        .route("/api/v1/users/{user}/tokens", get(list).post(create))
        .route("/api/v1/users/{user}/tokens/{token}", delete(remove))
}

/// The role of those who act for other users.
pub const SITE_ADMIN: &str = "admin";

/// Returns the account in the path, if the doer may act for it.
fn account(forge: &Forge, doer: &Account, name: &str) -> Result<Account, Problem> {
    if doer.name == name {
        return Ok(doer.clone());
    }
    // The same answer whether or not there is such a user.
    if !doer.has_role(SITE_ADMIN) {
        let message = "only a site administrator may act for another user; use your own name";
        return Err(Problem::new(StatusCode::FORBIDDEN, message));
    }
    forge.accounts.by_name(name).ok_or_else(|| Problem::not_found("user"))
}

/// Returns who is noted for a change: the owner, or the administrator who acts for them.
fn actor(doer: &Account, account: &Account) -> Result<Actor, Problem> {
    if doer.owner == account.owner {
        return Ok(Actor::from(&account.owner));
    }
    Ok(operator(doer)?.into())
}

fn operator(doer: &Account) -> Result<Operator, Problem> {
    Operator::new(&doer.name).map_err(|error| Problem::failed("the administrator's name", &error))
}

/// Returns the tokens of an account that are in use, newest first.
async fn in_use(forge: &Forge, account: &Account) -> Result<Vec<TokenView>, Problem> {
    let mut tokens = forge.tokens.all_of(&account.owner).await.map_err(refused)?.tokens;
    // A token that was regenerated may live on for a while; its successor stands for the line.
    tokens.retain(|token| token.status() == Some(Status::Active) && token.successor().is_none());
    Ok(tokens)
}

async fn list(
    State(forge): State<Forge>,
    Doer(doer): Doer,
    Path(user): Path<String>,
    Query(paging): Query<Paging>,
) -> Result<Response, Problem> {
    let account = account(&forge, &doer, &user)?;
    let tokens = in_use(&forge, &account).await?;
    let page = paging.part_of(&tokens).iter().map(|token| describe(&forge, token, ""));
    let mut response = answer(StatusCode::OK, page.collect());
    response.headers_mut().insert("x-total-count", HeaderValue::from(tokens.len()));
    Ok(response)
}

/// What a client asks for. `repositories` limits the token to these.
#[derive(Deserialize)]
struct Wish {
    name: String,
    #[serde(default)]
    scopes: Vec<String>,
    repositories: Option<Vec<Target>>,
}

#[derive(Deserialize)]
struct Target {
    owner: String,
    name: String,
}

async fn create(
    State(forge): State<Forge>,
    Doer(doer): Doer,
    Path(user): Path<String>,
    JsonBody(wish): JsonBody<Wish>,
) -> Result<Response, Problem> {
    let account = account(&forge, &doer, &user)?;
    let repositories = match wish.repositories {
        // Forgejo takes an empty list for no limit. Here it is refused, as it may be a mistake.
        Some(targets) => Some(limits(&forge, &account, &targets).await?),
        None => None,
    };
    let access = scopes::parse(&wish.scopes, repositories)
        .map_err(|why| Problem::new(StatusCode::BAD_REQUEST, why))?;
    let mut new = NewToken::new(&account.owner, &wish.name, access).never_expires();
    if doer.owner != account.owner {
        new = new.issued_by(&operator(&doer)?);
    }
    let issued = forge.tokens.issue(new).await.map_err(|error| match error {
        // Forgejo's status and words.
        IssueError::LabelTaken => Problem::new(
            StatusCode::BAD_REQUEST,
            "access token name has been used already; choose another",
        ),
        error => refused(error),
    })?;
    Ok(answer(StatusCode::CREATED, describe(&forge, issued.view(), issued.expose_secret())))
}

/// Returns what limits a token to these repositories, which its owner must see.
async fn limits(
    forge: &Forge,
    account: &Account,
    targets: &[Target],
) -> Result<Vec<Resource>, Problem> {
    if targets.is_empty() {
        let message = "the list of repositories is empty; name some, or leave it out for all";
        return Err(Problem::new(StatusCode::BAD_REQUEST, message));
    }
    let mut limits = Vec::new();
    for target in targets {
        let found = forge.repo(&target.owner, &target.name).await?;
        let seen = found.filter(|repo| repo.owner == account.owner || !repo.facts.private);
        let repo = seen.ok_or_else(|| Problem::not_found("repository"))?;
        limits.push(limit_to(&repo).map_err(|error| Problem::failed("a limit", &error))?);
    }
    Ok(limits)
}

/// Deletes by number or, if it is none, by name.
async fn remove(
    State(forge): State<Forge>,
    Doer(doer): Doer,
    Path((user, token)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let account = account(&forge, &doer, &user)?;
    let tokens = in_use(&forge, &account).await?;
    let number = token.parse::<u64>().ok().filter(|number| *number != 0);
    let is_meant = |found: &&TokenView| match number {
        Some(number) => found.family().as_u64() == number,
        None => found.label().as_str() == token,
    };
    let mut meant = tokens.iter().filter(is_meant);
    match (meant.next(), meant.next()) {
        (None, _) => Err(Problem::not_found("access token")),
        (Some(token), None) => {
            let actor = actor(&doer, &account)?;
            let revoked = forge.tokens.revoke(actor, token.id(), Reason::REQUESTED).await;
            revoked.map_err(refused)?;
            Ok(StatusCode::NO_CONTENT)
        }
        (Some(_), Some(_)) => Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "several access tokens have this name; delete by id",
        )),
    }
}

/// Says why tokens can't be listed, made or deleted. If the store failed, it says so to the log.
fn refused<E: Display>(error: E) -> Problem
where
    for<'e> Answer: From<&'e E>,
{
    let answer = Answer::from(&error);
    if answer.status >= 500 {
        log::say(format_args!("access tokens failed: {error}"));
    }
    answer.into()
}

/// Makes an answer about tokens, which no cache may keep.
fn answer(status: StatusCode, body: Value) -> Response {
    (status, [(CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

/// Describes a token. `sha1` holds its text once, and later nothing.
fn describe(forge: &Forge, token: &TokenView, text: &str) -> Value {
    let id = token.id().to_string();
    let repositories = match token.access().granted_resources() {
        Selection::Only(list) if !scopes::is_public_only(token.access()) => {
            // A repository that was deleted has no name any more.
            let named = |repo: Repo| {
                let owner = forge.name_of(&repo.owner);
                let full_name = format!("{owner}/{}", repo.name);
                let (id, name) = (repo.facts.id, repo.name);
                json!({ "id": id, "name": name, "owner": owner, "full_name": full_name })
            };
            list.iter().filter_map(|limit| limited_to(&forge.repos, limit).map(named)).collect()
        }
        _ => Value::Null,
    };
    json!({
        "id": token.family().as_u64(),
        "name": token.label().as_str(),
        "sha1": text,
        "token_last_eight": id[id.len().saturating_sub(8)..],
        "scopes": scopes::words(token.access()),
        "created_at": token.created_at().to_string(),
        "repositories": repositories,
    })
}
