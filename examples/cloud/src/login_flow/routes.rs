//! The routes of the login flow: what devices call, and the page on which a person grants.

use app_tokens::error::{Failed, IssueError};
use app_tokens::store::Certainty;
use app_tokens::web::Accounts as _;
use app_tokens::{Access, Label, NewToken};
use axum::Router;
use axum::extract::rejection::FormRejection;
use axum::extract::{DefaultBodyLimit, Form, Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::json;

use super::page;
use super::{Begun, Grant};
use crate::Cloud;
use crate::api::answer;
use crate::door::{address, program};
use crate::html::html;
use crate::problem::Problem;
use crate::scope::Scope;
use crate::session::is_from_another_site;

#[derive(Clone)]
struct Routes {
    cloud: Cloud,
    /// Configured, and never a request's `Host`: with that, an attacker could have a device send
    /// its secret to another server.
    public_url: String,
}

pub fn routes(cloud: &Cloud, public_url: &str) -> Router {
    let state = Routes { cloud: cloud.clone(), public_url: public_url.into() };
    let mut router = Router::new().route("/login/v2/flow/{link}", get(ask).post(decide));
    for begin_at in ["/index.php/login/v2", "/login/v2"] {
        router = router.route(begin_at, post(begin)).route(&format!("{begin_at}/poll"), post(poll));
    }
    router.layer(DefaultBodyLimit::max(16 * 1024)).with_state(state)
}

async fn begin(State(routes): State<Routes>, request: Request) -> Response {
    let flow = &routes.cloud.login_flow;
    let Some(Begun { poll, link }) = flow.begin(program(request.headers()), address(&request))
    else {
        let reason = "too many devices wait; try again in a few minutes";
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, reason).into_response();
    };
    let url = &routes.public_url;
    let body = json!({
        "poll": { "token": poll, "endpoint": format!("{url}/index.php/login/v2/poll") },
        "login": format!("{url}/login/v2/flow/{link}"),
    });
    answer(StatusCode::OK, body)
}

#[derive(Deserialize)]
struct Poll {
    token: String,
}

async fn poll(
    State(routes): State<Routes>,
    poll: Result<Form<Poll>, FormRejection>,
) -> Result<Response, Problem> {
    let not_yet = || Problem::new(StatusCode::NOT_FOUND, "nobody has granted this; poll again");
    let Ok(Form(poll)) = poll else { return Err(not_yet()) };
    let taken = routes.cloud.login_flow.take(&poll.token).ok_or_else(not_yet)?;
    let Grant { owner, label, access } = taken.grant.clone();
    // The account may have been disabled since.
    match routes.cloud.accounts.is_active(&owner).await {
        Ok(true) => {}
        Ok(false) => return Err(not_yet()),
        Err(_) => {
            routes.cloud.login_flow.give_back(taken);
            return Err(Problem::unclear());
        }
    }
    let issued = routes.cloud.tokens.issue(NewToken::new(&owner, label, access)).await;
    let issued = match issued {
        Ok(issued) => issued,
        Err(error) => {
            match &error {
                // If a token may have been made, another try could make a second one.
                IssueError::Failed(Failed::Store(error))
                    if error.certainty() == Certainty::Unknown => {}
                IssueError::Failed(_) => routes.cloud.login_flow.give_back(taken),
                // The owner sees no page here. The device asks anew.
                refused => eprintln!("cloud: a login flow of {owner} ended: {refused}"),
            }
            return Err(error.into());
        }
    };
    let body = json!({
        "server": routes.public_url,
        "loginName": owner.as_str(),
        "appPassword": issued.expose_secret(),
    });
    Ok(answer(StatusCode::OK, body))
}

async fn ask(State(routes): State<Routes>, Path(link): Path<String>) -> Response {
    match routes.cloud.login_flow.asks(&link) {
        Some(asks) => html(StatusCode::OK, &page::question(&asks, "")),
        None => html(StatusCode::NOT_FOUND, page::GONE),
    }
}

/// What a person decides. The main password is part of it, so no older session is enough.
#[derive(Deserialize)]
struct Decision {
    answer: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    access: String,
}

async fn decide(
    State(routes): State<Routes>,
    Path(link): Path<String>,
    headers: HeaderMap,
    decision: Result<Form<Decision>, FormRejection>,
) -> Response {
    let flow = &routes.cloud.login_flow;
    let Some(asks) = flow.asks(&link) else {
        return html(StatusCode::NOT_FOUND, page::GONE);
    };
    let again = |status, problem| html(status, &page::question(&asks, problem));
    if is_from_another_site(&headers) {
        return again(StatusCode::FORBIDDEN, "another site sent this form; send it from this page");
    }
    let Ok(Form(decision)) = decision else {
        return again(StatusCode::BAD_REQUEST, "the form can't be read; send it again");
    };
    if decision.answer != "grant" {
        flow.deny(&link);
        return html(StatusCode::OK, page::DENIED);
    }
    let Some(owner) = routes.cloud.accounts.sign_in(&decision.name, &decision.password) else {
        return again(StatusCode::UNAUTHORIZED, "the name or the password is wrong; try again");
    };
    let Some(access) = access(&decision.access) else {
        return again(StatusCode::BAD_REQUEST, "choose what the device may do");
    };
    // A name that can't be shown in a list is replaced.
    let label = Label::new(&asks.program).or_else(|_| Label::new("Connected device"));
    match label.is_ok_and(|label| flow.grant(&link, Grant { owner, label, access })) {
        true => html(StatusCode::OK, page::GRANTED),
        false => html(StatusCode::NOT_FOUND, page::GONE),
    }
}

fn access(choice: &str) -> Option<Access> {
    let scopes: &[Scope] = match choice {
        "files" => &[Scope::FilesWrite],
        "calendar-and-contacts" => &[Scope::CalendarWrite, Scope::ContactsWrite],
        "everything" => return Some(Access::full()),
        _ => return None,
    };
    Access::scopes(scopes.iter().copied()).ok()
}
