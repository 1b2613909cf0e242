//! Releases by the API: who may make and see them.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use forge_services::json::JsonBody;
use forge_services::problem::Problem;
use forge_services::releases::{NewRelease, find, make};
use serde_json::Value;

use crate::Forge;
use crate::enter::Visitor;

pub fn routes() -> Router<Forge> {
    Router::new()
        .route("/api/v1/repos/{owner}/{repo}/releases", post(release))
        .route("/api/v1/repos/{owner}/{repo}/releases/tags/{tag}", get(show_release))
}

async fn release(
    State(forge): State<Forge>,
    visitor: Visitor,
    Path((owner, name)): Path<(String, String)>,
    JsonBody(new): JsonBody<NewRelease>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let repo = forge.allowed_repo(&owner, &name, &visitor, true).await?;
    Ok((StatusCode::CREATED, Json(make(&forge.repos, &repo, new).await?)))
}

async fn show_release(
    State(forge): State<Forge>,
    visitor: Visitor,
    Path((owner, name, tag)): Path<(String, String, String)>,
) -> Result<Json<Value>, Problem> {
    let repo = forge.allowed_repo(&owner, &name, &visitor, false).await?;
    Ok(Json(find(&repo, &tag).await?))
}
