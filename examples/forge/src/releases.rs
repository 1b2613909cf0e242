//! Releases by the API: a tag, a name and a text.

use std::io::ErrorKind;
use std::path::PathBuf;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use forge_services::git;
use forge_services::repos::Repo;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::fs;
use tokio::io::AsyncWriteExt as _;

use crate::Forge;
use crate::api::JsonBody;
use crate::enter::Visitor;
use crate::problem::Problem;

pub fn routes() -> Router<Forge> {
    Router::new()
        .route("/api/v1/repos/{owner}/{repo}/releases", post(release))
        .route("/api/v1/repos/{owner}/{repo}/releases/tags/{tag}", get(show_release))
}

#[derive(Deserialize)]
struct NewRelease {
    tag_name: String,
    target_commitish: Option<String>,
    name: Option<String>,
    #[serde(default)]
    body: String,
}

/// Makes a release, and its tag if it is not there yet.
async fn release(
    State(forge): State<Forge>,
    visitor: Visitor,
    Path((owner, name)): Path<(String, String)>,
    JsonBody(new): JsonBody<NewRelease>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let repo = forge.allowed_repo(&owner, &name, &visitor, true).await?;
    let tag = format!("refs/tags/{}", new.tag_name);
    let is_tag = git::run(None, &["check-ref-format", &tag], None).await.is_ok();
    if !is_tag || new.tag_name.starts_with('-') || new.tag_name.len() > 100 {
        let message = "git can't have such a tag; choose another";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, message));
    }
    let commit_of = async |name: &str| {
        let commit = format!("{name}^{{commit}}");
        let arguments = ["rev-parse", "--verify", "--quiet", "--end-of-options", &commit];
        git::run(Some(&repo.folder), &arguments, None).await
    };
    if commit_of(&tag).await.is_err() {
        let target = new.target_commitish.as_deref().unwrap_or("HEAD");
        let commit = commit_of(target).await.map_err(|_| Problem::not_found("target commit"))?;
        let made = git::run(Some(&repo.folder), &["update-ref", &tag, &commit, ""], None).await;
        // Another request may have made it meanwhile.
        if let Err(error) = made
            && commit_of(&tag).await.is_err()
        {
            return Err(Problem::failed("a tag", &error));
        }
    }
    let failed = |error| Problem::failed("a release", &error);
    let described = json!({
        "id": forge.repos.number(&tag).await.map_err(failed)?,
        "tag_name": new.tag_name,
        "target_commitish": commit_of(&tag).await.map_err(failed)?,
        "name": new.name.unwrap_or(new.tag_name.clone()),
        "body": new.body,
    });
    // Of two who make the same one at once, the second is refused.
    let file = fs::File::create_new(release_file(&repo, &new.tag_name)).await;
    let mut file = file.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Problem::new(
            StatusCode::CONFLICT,
            "there is a release of this tag already; choose another tag",
        ),
        _ => failed(error),
    })?;
    file.write_all(described.to_string().as_bytes()).await.map_err(failed)?;
    file.flush().await.map_err(failed)?;
    Ok((StatusCode::CREATED, Json(described)))
}

async fn show_release(
    State(forge): State<Forge>,
    visitor: Visitor,
    Path((owner, name, tag)): Path<(String, String, String)>,
) -> Result<Json<Value>, Problem> {
    let repo = forge.allowed_repo(&owner, &name, &visitor, false).await?;
    let file = fs::read(release_file(&repo, &tag)).await;
    let file = file.map_err(|_| Problem::not_found("release"))?;
    serde_json::from_slice(&file).map(Json).map_err(|error| Problem::failed("a release", &error))
}

/// Returns the file of a release. In hexadecimal, a tag is a file's name, whatever it holds.
fn release_file(repo: &Repo, tag: &str) -> PathBuf {
    let name: String = tag.bytes().map(|byte| format!("{byte:02x}")).collect();
    repo.folder.join(format!("release-{name}.json"))
}
