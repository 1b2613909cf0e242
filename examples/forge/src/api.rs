//! The API beside tokens: who am I, and repositories. With a token only.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use forge_services::git;
use forge_services::json::{JsonBody, Paging};
use forge_services::problem::Problem;
use forge_services::repos::{Repo, not_made};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Forge;
use crate::allow::{Refused, allow};
use crate::enter::Visitor;
use crate::scopes::{REPOSITORY, USER};

pub fn routes() -> Router<Forge> {
    Router::new()
        .route("/api/v1/user", get(user))
        .route("/api/v1/user/repos", get(own_repos).post(create_repo))
        .route("/api/v1/repos/{owner}/{repo}", get(show_repo).delete(delete_repo))
}

async fn user(State(forge): State<Forge>, visitor: Visitor) -> Result<Json<Value>, Problem> {
    let caller = visitor.caller(&forge)?;
    // It names no resource, so a token for public things or for some repositories gets 403: an
    // account's mail address is not public.
    caller.require(USER.read).map_err(|forbidden| forge.forbidden(forbidden))?;
    let account = forge.accounts.by_owner(caller.owner());
    let account = account.ok_or_else(|| Problem::not_found("user"))?;
    Ok(Json(json!({
        "login": account.name,
        "email": account.mail,
        "is_admin": account.has_role(crate::tokens::SITE_ADMIN),
        "html_url": format!("{}/", forge.url),
    })))
}

async fn own_repos(
    State(forge): State<Forge>,
    visitor: Visitor,
    Query(paging): Query<Paging>,
) -> Result<Json<Value>, Problem> {
    let caller = visitor.caller(&forge)?;
    let repos = forge.repos.of(caller.owner()).await;
    let mut repos = repos.map_err(|error| Problem::failed("the repositories", &error))?;
    let name = forge.name_of(caller.owner());
    // What a token may not see is not in its lists either.
    repos.retain(|repo| allow(repo, Some(&caller), false).is_ok());
    let part = paging.part_of(&repos).iter();
    Ok(Json(part.map(|repo| repo.describe(&forge.url, &name, true)).collect()))
}

#[derive(Deserialize)]
struct NewRepo {
    name: String,
    #[serde(default)]
    private: bool,
}

async fn create_repo(
    State(forge): State<Forge>,
    visitor: Visitor,
    JsonBody(new): JsonBody<NewRepo>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let caller = visitor.caller(&forge)?;
    // No resource: a token for some repositories makes no others.
    caller.require(REPOSITORY.write).map_err(|forbidden| forge.forbidden(forbidden))?;
    let _place = git::place(&forge, git::Client::Owner(caller.owner().clone()))?;
    let repo = forge.repos.create(caller.owner(), &new.name, new.private).await;
    let repo = repo.map_err(|error| not_made(&error))?;
    let name = forge.name_of(caller.owner());
    Ok((StatusCode::CREATED, Json(repo.describe(&forge.url, &name, true))))
}

async fn show_repo(
    State(forge): State<Forge>,
    visitor: Visitor,
    Path((owner, name)): Path<(String, String)>,
) -> Result<Json<Value>, Problem> {
    let repo = forge.allowed_repo(&owner, &name, &visitor, false).await?;
    let may_push = allow(&repo, visitor.caller.as_ref(), true).is_ok();
    Ok(Json(repo.describe(&forge.url, &owner, may_push)))
}

async fn delete_repo(
    State(forge): State<Forge>,
    visitor: Visitor,
    Path((owner, name)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let repo = forge.allowed_repo(&owner, &name, &visitor, true).await?;
    let caller = visitor.caller(&forge)?;
    // As in Forgejo, a token for some repositories doesn't delete them.
    caller.require(REPOSITORY.write).map_err(|forbidden| forge.forbidden(forbidden))?;
    let deleted = forge.repos.delete(&repo).await;
    deleted.map_err(|error| Problem::failed("the repository", &error))?;
    Ok(StatusCode::NO_CONTENT)
}

impl Forge {
    /// Finds a repository that the visitor may read or write.
    ///
    /// 401 asks for a token, also where there is no such repository: a client without one learns
    /// nothing. With a token it is 404 for what the token doesn't see and 403 for what it may not
    /// do. git then keeps its credential, which it would erase after 401.
    pub async fn allowed_repo(
        &self,
        owner: &str,
        name: &str,
        visitor: &Visitor,
        writes: bool,
    ) -> Result<Repo, Problem> {
        let hidden = || match visitor.caller {
            Some(_) => Problem::not_found("repository, or the access token is not for it"),
            None => self.sign_in_needed(),
        };
        let account = self.accounts.by_name(owner).ok_or_else(hidden)?;
        let found = self.repos.find(&account.owner, name).await;
        let found = found.map_err(|error| Problem::failed("a repository", &error))?;
        let repo = found.ok_or_else(hidden)?;
        match allow(&repo, visitor.caller.as_ref(), writes) {
            Ok(()) => Ok(repo),
            Err(Refused::Hidden) => Err(hidden()),
            Err(Refused::Forbidden(forbidden)) => Err(self.forbidden(forbidden)),
            Err(Refused::NotTheirs) => Err(Problem::new(
                StatusCode::FORBIDDEN,
                "the repository is another user's; ask them to change it",
            )),
        }
    }

    /// Returns the login name of an owner; for one who was just deleted, the account id.
    pub fn name_of(&self, owner: &app_tokens::Owner) -> String {
        self.accounts.by_owner(owner).map_or(owner.to_string(), |account| account.name)
    }
}
