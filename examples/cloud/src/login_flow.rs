//! Nextcloud's Login Flow v2: what devices call, and the page on which a person grants.
//!
//! `shared::login_flow` keeps what waits.

mod page;

use std::time::Duration;

use app_tokens::access::ScopeName as _;
use app_tokens::error::ChangeError;
use app_tokens::{Label, Reason, Rotation};
use axum::Router;
use axum::extract::rejection::FormRejection;
use axum::extract::{DefaultBodyLimit, Form, Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::json;
use shared::accounts::Account;
use shared::log;
use shared::login_flow::{Begun, Granted, token_to_grant};
use shared::page::form::{Fields, Problems};
use shared::page::{Page, SignedIn};
use shared::token_api::{Problem, answer};

use crate::Cloud;
use crate::door::visitor;
use crate::scope::Scope;
use page::Mistake;

#[derive(Clone)]
struct Routes {
    cloud: Cloud,
    page: Page,
    /// Configured, and never a request's `Host`: with that, an attacker could have a device send
    /// its secret to another server.
    public_url: String,
}

pub fn routes(cloud: &Cloud, page: &Page, public_url: &str) -> Router {
    let (cloud, public_url) = (cloud.clone(), public_url.into());
    let state = Routes { cloud, page: page.clone(), public_url };
    let asked = Router::new().route("/login/v2/flow/{link}", get(ask).post(decide));
    let asked = page.guard(asked.with_state(state.clone()));
    let mut router = Router::new();
    for begin_at in ["/index.php/login/v2", "/login/v2"] {
        router = router.route(begin_at, post(begin)).route(&format!("{begin_at}/poll"), post(poll));
    }
    router.with_state(state).merge(asked).layer(DefaultBodyLimit::max(16 * 1024))
}

async fn begin(State(routes): State<Routes>, request: Request) -> Response {
    let flow = &routes.cloud.login_flow;
    let visitor = visitor(&routes.cloud, &request);
    let program = visitor.program.as_deref().unwrap_or("A program without a name");
    let Some(Begun { poll, link }) = flow.begin(program, visitor.address) else {
        let reason = "too many devices wait; try again in a few minutes";
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, reason).into_response();
    };
    let url = &routes.public_url;
    let body = json!({
        "poll": { "token": poll, "endpoint": format!("{url}/index.php/login/v2/poll") },
        "login": format!("{url}{}", path_of(&link)),
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
    let (flow, tokens) = (&routes.cloud.login_flow, &routes.cloud.tokens);
    let Granted { owner, token } = flow.granted(&poll.token).ok_or_else(not_yet)?;
    // The account may have been disabled since.
    let account = routes.cloud.accounts.by_owner(&owner).filter(Account::is_active);
    let account = account.ok_or_else(not_yet)?;
    // It has none if clients send the mail address, and it has no mail address.
    let name = routes.cloud.accounts.user_name(&account).ok_or_else(not_yet)?;
    // Refused if the token was revoked since, or if another poll was first.
    let life = tokens.policy().default_life();
    let rotation = Rotation::new().overlap(Duration::ZERO).expires(life);
    let issued = match tokens.rotate(&owner, token, rotation).await {
        Ok(issued) => issued,
        // If it was done, the next poll is refused. So no second token is made.
        Err(ChangeError::Failed(failed)) => return Err(failed.into()),
        // Another change at the same moment, which may have been another poll's.
        Err(ChangeError::Conflict) => return Err(not_yet()),
        Err(refused) => {
            log::say(format_args!("a login flow of {owner} ended: {refused}"));
            flow.end(&poll.token);
            return Err(not_yet());
        }
    };
    flow.end(&poll.token);
    let body = json!({
        "server": routes.public_url,
        "loginName": name,
        "appPassword": issued.expose_secret(),
    });
    Ok(answer(StatusCode::OK, body))
}

fn path_of(link: &str) -> String {
    format!("/login/v2/flow/{link}")
}

async fn ask(State(routes): State<Routes>, who: SignedIn, Path(link): Path<String>) -> Response {
    let page = &routes.page;
    let Some(asks) = routes.cloud.login_flow.asks(&link) else {
        return page::gone(page, &who);
    };
    if let Some(response) = page.ask_proxy(&who, &path_of(&link)).await {
        return response;
    }
    // What asks by this flow is mostly a sync client.
    let first = Fields::default().with("access", Scope::FilesWrite.name());
    page::question(page, &who, &asks, &first, Mistake::None)
}

async fn decide(
    State(routes): State<Routes>,
    who: SignedIn,
    Path(link): Path<String>,
    fields: Fields,
) -> Response {
    let (flow, page) = (&routes.cloud.login_flow, &routes.page);
    let Some(asks) = flow.asks(&link) else {
        return page::gone(page, &who);
    };
    if fields.text("answer") != "grant" {
        flow.deny(&link);
        return page::denied(page, &who);
    }
    if let Some(response) = page.ask_proxy(&who, &path_of(&link)).await {
        return response;
    }
    // A stolen cookie must not be enough to get a password that outlives it.
    if !page.is_fresh(&who) {
        let (name, password) = (&who.account.name, fields.text("password"));
        let shown = routes.cloud.accounts.sign_in(name, password, who.visitor.address).await;
        if !shown.is_ok_and(|account| account.owner == who.account.owner) {
            return page::question(page, &who, &asks, &fields, Mistake::Password);
        }
    }
    let mut problems = Problems::default();
    let Some(access) = page.setup().access.read(&who.account, &fields, &mut problems) else {
        return page::question(page, &who, &asks, &fields, Mistake::Access(&problems));
    };
    // A name that can't be shown in a list is replaced.
    let label = Label::new(&asks.program).map_or("Connected device".into(), |l| l.to_string());
    let (owner, tokens) = (&who.account.owner, &routes.cloud.tokens);
    let token = match token_to_grant(owner, &label, access, tokens.policy()) {
        // Its text is thrown away: the device's poll makes another.
        Ok(new) => tokens.issue(new).await.map(|issued| issued.id()),
        Err(error) => Err(error),
    };
    let token = match token {
        Ok(token) => token,
        Err(error) => return page.not_made(&error, &label, &who),
    };
    if flow.grant(&link, Granted { owner: owner.clone(), token }) {
        return page::granted(page, &who);
    }
    // ignored: nobody has its text, and it ends soon.
    _ = tokens.revoke(owner, token, Reason::REQUESTED).await;
    page::gone(page, &who)
}
