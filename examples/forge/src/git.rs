//! git over HTTP: who may clone, fetch and push. git's own program does the rest.

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{Method, Request, Response, StatusCode};
use axum::routing::get;
use forge_services::git::{Asked, serve};
use forge_services::repos::Repo;

use crate::Forge;
use crate::allow::{Refused, allow};
use crate::enter::Visitor;
use crate::problem::Problem;

pub fn routes() -> Router<Forge> {
    let three = ["info/refs", "git-upload-pack", "git-receive-pack"];
    three.into_iter().fold(Router::new(), |router, path| {
        let answer = async move |state, names, method, query, visitor, request| {
            let answered = answer(state, names, path, method, query, visitor, request).await;
            answered.unwrap_or_else(Problem::into_text)
        };
        router.route(&format!("/{{owner}}/{{repo}}/{path}"), get(answer).post(answer))
    })
}

async fn answer(
    State(forge): State<Forge>,
    Path((owner, name)): Path<(String, String)>,
    path: &str,
    method: Method,
    RawQuery(query): RawQuery,
    visitor: Result<Visitor, Problem>,
    request: Request<Body>,
) -> Result<Response<Body>, Problem> {
    let asked = Asked::read(&method, path, query.as_deref()).ok_or_else(|| {
        let message = "only git's smart protocol is spoken here; use git 1.6.6 or later";
        Problem::new(StatusCode::FORBIDDEN, message)
    })?;
    let visitor = visitor?;
    let repo = allowed(&forge, &owner, &name, asked, &visitor).await?;
    // Each is a process of some megabytes, so there is a limit.
    let place = forge.git_at_once.clone().try_acquire_owned();
    let place = place.map_err(|_| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too many clients at once; try again")
            .with("retry-after", "5")
    })?;
    let user = visitor.caller.map(|caller| caller.owner().to_string());
    let served = serve(&repo.folder, asked, user.as_deref(), request, place).await;
    served.map_err(|error| Problem::failed("git http-backend", &error))
}

/// Finds the repository, if the client may do this with it.
///
/// 401 asks for a token, also where there is no such repository: a client without one learns
/// nothing. With a token it is 404 for what the token doesn't see and 403 for what it may not do.
/// git then keeps its credential, which it would erase after 401.
async fn allowed(
    forge: &Forge,
    owner: &str,
    name: &str,
    asked: Asked,
    visitor: &Visitor,
) -> Result<Repo, Problem> {
    let hidden = || match visitor.caller {
        Some(_) => Problem::not_found("repository, or the access token is not for it"),
        None => forge.sign_in_needed(),
    };
    let name = name.strip_suffix(".git").unwrap_or(name);
    let repo = forge.repo(owner, name).await?.ok_or_else(hidden)?;
    match allow(&repo, visitor.caller.as_ref(), asked.is_push) {
        Ok(()) => Ok(repo),
        Err(Refused::Hidden) => Err(hidden()),
        Err(refused) => Err(forge.refused_here(refused)),
    }
}
