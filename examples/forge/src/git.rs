//! git over HTTP: who may clone, fetch and push. git's own program does the rest.

use app_tokens::Owner;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{Method, Request, Response, StatusCode};
use axum::routing::get;
use forge_services::git::{Asked, Client, Full, Patience, serve};
use forge_services::problem::Problem;

use crate::Forge;
use crate::enter::Visitor;

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
    let name = name.strip_suffix(".git").unwrap_or(&name);
    let repo = forge.allowed_repo(&owner, name, &visitor, asked.is_push).await?;
    let user = visitor.caller.map(|caller| caller.owner().clone());
    let client = user.clone().map_or(Client::Address(visitor.address), Client::Owner);
    let place = forge.git_places.take(client);
    let place = place.map_err(|why| forge.full(why, user.is_some()))?;
    let user = user.as_ref().map(Owner::as_str);
    let patience = Patience::default();
    let served = serve(&repo.folder, asked, user, request, patience, place).await;
    served.map_err(|error| Problem::failed("git http-backend", &error))
}

impl Forge {
    /// Asks to come back. git keeps its credential.
    fn full(&self, why: Full, has_token: bool) -> Problem {
        let (status, message) = match why {
            // git sends its token only when it is asked. With one there is another place.
            _ if !has_token => {
                let mut problem = self.sign_in_needed();
                problem.message = "too many clients without an access token at once; send one, or \
                                   try again"
                    .into();
                return problem;
            }
            Full::ThisClient => {
                let message = "too many clones, fetches and pushes of yours at once; wait for one";
                (StatusCode::TOO_MANY_REQUESTS, message)
            }
            Full::Everyone => {
                (StatusCode::SERVICE_UNAVAILABLE, "too many clients at once; try again")
            }
        };
        Problem::new(status, message).with("retry-after", "5")
    }
}
