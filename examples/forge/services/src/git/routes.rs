//! The three paths of git over HTTP, below a repository's.

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;

use super::{Asked, Client, Full, Patience, Place, serve};
use crate::Host;
use crate::problem::Problem;

/// Returns the routes for clone, fetch and push.
pub fn routes<H: Host>() -> Router<H> {
    let three = ["info/refs", "git-upload-pack", "git-receive-pack"];
    three.into_iter().fold(Router::new(), |router, path| {
        let answer = async move |State(host): State<H>, Path(names), request| {
            let answered = answer(&host, names, path, request).await;
            answered.unwrap_or_else(Problem::into_text)
        };
        router.route(&format!("/{{owner}}/{{repo}}/{path}"), get(answer).post(answer))
    })
}

async fn answer<H: Host>(
    host: &H,
    (owner, name): (String, String),
    path: &str,
    request: Request,
) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let asked = Asked::read(&parts.method, path, parts.uri.query()).ok_or_else(|| {
        let message = "only git's smart protocol is spoken here; use git 1.6.6 or later";
        Problem::new(StatusCode::FORBIDDEN, message)
    })?;
    let name = name.strip_suffix(".git").unwrap_or(&name);
    let (repo, client) = host.repo(&mut parts, &owner, name, asked.is_push).await?;
    let user = match &client {
        Client::Owner(owner) => Some(owner.to_string()),
        Client::Address(_) => None,
    };
    let place = place(host, client)?;
    let request = Request::from_parts(parts, body);
    let patience = Patience::default();
    let served = serve(&repo.folder, asked, user.as_deref(), request, patience, place).await;
    served.map_err(|error| Problem::failed("git http-backend", &error))
}

/// Takes a place for a request that needs git.
///
/// # Errors
/// The answer if there is none. It asks to come back, and git keeps its credential.
pub fn place<H: Host>(host: &H, client: Client) -> Result<Place, Problem> {
    let has_token = matches!(client, Client::Owner(_));
    host.git_places().take(client).map_err(|why| full(host, why, has_token))
}

fn full<H: Host>(host: &H, why: Full, has_token: bool) -> Problem {
    let (status, message) = match why {
        // git sends its token only when it is asked. With one there is another place.
        _ if !has_token => {
            let mut problem = host.sign_in_needed();
            problem.message = "too many clients without an access token at once; send one, or try \
                               again"
                .into();
            return problem;
        }
        Full::ThisClient => {
            let message = "git works for too many of your requests at once; wait for one";
            (StatusCode::TOO_MANY_REQUESTS, message)
        }
        Full::Everyone => (StatusCode::SERVICE_UNAVAILABLE, "too many clients at once; try again"),
    };
    Problem::new(status, message).with("retry-after", "5")
}
