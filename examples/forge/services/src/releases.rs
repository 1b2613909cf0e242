//! Releases: a tag, a name and a text, each in a file of its repository.

use std::io::ErrorKind;
use std::path::PathBuf;

use axum::extract::{FromRequest as _, Path, Request, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::fs;
use tokio::io::AsyncWriteExt as _;

use crate::json::JsonBody;
use crate::problem::Problem;
use crate::repos::{Repo, Repos};
use crate::{Host, git};

/// Returns the routes to make and to see one.
pub fn routes<H: Host>() -> Router<H> {
    Router::new()
        .route("/api/v1/repos/{owner}/{repo}/releases", post(release::<H>))
        .route("/api/v1/repos/{owner}/{repo}/releases/tags/{tag}", get(show::<H>))
}

async fn release<H: Host>(
    State(host): State<H>,
    Path((owner, name)): Path<(String, String)>,
    request: Request,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let (mut parts, body) = request.into_parts();
    // Before the body is read.
    let (repo, client) = host.repo(&mut parts, &owner, &name, true).await?;
    let new = JsonBody::from_request(Request::from_parts(parts, body), &host).await?;
    let _place = git::place(&host, client)?;
    Ok((StatusCode::CREATED, Json(make(host.repos(), &repo, new.0).await?)))
}

async fn show<H: Host>(
    State(host): State<H>,
    Path((owner, name, tag)): Path<(String, String, String)>,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let (repo, _) = host.repo(&mut request.into_parts().0, &owner, &name, false).await?;
    let file = fs::read(file_of(&repo, &tag)).await;
    let file = file.map_err(|_| Problem::not_found("release"))?;
    serde_json::from_slice(&file).map(Json).map_err(|error| Problem::failed("a release", &error))
}

/// What a client sends to make one.
#[derive(Deserialize)]
struct NewRelease {
    tag_name: String,
    target_commitish: Option<String>,
    name: Option<String>,
    #[serde(default)]
    body: String,
}

/// Makes a release, and its tag if it is not there yet.
async fn make(repos: &Repos, repo: &Repo, new: NewRelease) -> Result<Value, Problem> {
    let tag = format!("refs/tags/{}", new.tag_name);
    let is_tag = git::run(None, &["check-ref-format", &tag], None).await.is_ok();
    if !is_tag || new.tag_name.starts_with('-') || new.tag_name.len() > 100 {
        let message = "git can't have such a tag; choose another";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, message));
    }
    if repo.commit(&tag).await.is_err() {
        let target = new.target_commitish.as_deref().unwrap_or("HEAD");
        let commit = repo.commit(target).await;
        let commit = commit.map_err(|_| Problem::not_found("target commit"))?;
        let made = git::run(Some(&repo.folder), &["update-ref", &tag, &commit, ""], None).await;
        // Another request may have made it meanwhile.
        if let Err(error) = made
            && repo.commit(&tag).await.is_err()
        {
            return Err(Problem::failed("a tag", &error));
        }
    }
    let failed = |error| Problem::failed("a release", &error);
    let described = json!({
        "id": repos.number(&tag).await.map_err(failed)?,
        "tag_name": new.tag_name,
        "target_commitish": repo.commit(&tag).await.map_err(failed)?,
        "name": new.name.unwrap_or(new.tag_name.clone()),
        "body": new.body,
    });
    // Of two who make the same one at once, the second is refused.
    let file = fs::File::create_new(file_of(repo, &new.tag_name)).await;
    let mut file = file.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Problem::new(
            StatusCode::CONFLICT,
            "there is a release of this tag already; choose another tag",
        ),
        _ => failed(error),
    })?;
    file.write_all(described.to_string().as_bytes()).await.map_err(failed)?;
    file.flush().await.map_err(failed)?;
    Ok(described)
}

/// Returns the file of a release. In hexadecimal, a tag is a file's name, whatever it holds.
fn file_of(repo: &Repo, tag: &str) -> PathBuf {
    let name: String = tag.bytes().map(|byte| format!("{byte:02x}")).collect();
    repo.folder.join(format!("release-{name}.json"))
}
