//! The settings page: sign in, create, see once, list, revoke. Plain HTML forms, no JavaScript.

use app_tokens::access::Selection;
use app_tokens::{Owner, Reason, TokenView};
use axum::Router;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, Path, Request, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use serde::Deserialize;

use crate::html::{escape, html, problem};
use crate::problem::Problem;
use crate::session::{Sessions, is_from_another_site};
use crate::{Cloud, Error, api};

/// A form as a browser sent it, if it can be read.
type Sent<T> = Result<Form<T>, FormRejection>;

#[derive(Clone)]
struct Page {
    cloud: Cloud,
    sessions: Sessions,
}

pub fn routes(cloud: &Cloud) -> Result<Router, Error> {
    let page = Page { cloud: cloud.clone(), sessions: Sessions::new()? };
    Ok(Router::new()
        .route("/", get(show))
        .route("/sign-in", post(sign_in))
        .route("/sign-out", post(sign_out))
        .route("/tokens", post(create))
        .route("/tokens/{id}/revoke", post(revoke))
        .layer(middleware::from_fn(refuse_other_sites))
        .fallback(async || html(StatusCode::NOT_FOUND, &problem("this page does not exist")))
        .with_state(page))
}

async fn refuse_other_sites(request: Request, next: Next) -> Response {
    if request.method() == Method::POST && is_from_another_site(request.headers()) {
        return html(StatusCode::FORBIDDEN, &problem(OTHER_SITE));
    }
    next.run(request).await
}

async fn show(State(page): State<Page>, headers: HeaderMap) -> Response {
    match page.sessions.owner(&headers).await {
        Some(owner) => page.settings(StatusCode::OK, &owner, "").await,
        None => html(StatusCode::OK, SIGN_IN),
    }
}

#[derive(Deserialize)]
struct Login {
    name: String,
    password: String,
}

async fn sign_in(State(page): State<Page>, login: Sent<Login>) -> Response {
    let Ok(Form(login)) = login else {
        return html(StatusCode::BAD_REQUEST, &problem(UNREAD));
    };
    let Some(owner) = page.cloud.accounts.sign_in(&login.name, &login.password) else {
        let refused =
            "<p class=problem role=alert>The name or the password is wrong. Try again.</p>";
        return html(StatusCode::UNAUTHORIZED, &format!("{refused}{SIGN_IN}"));
    };
    match page.sessions.begin(&owner).await {
        Ok(cookie) => ([(SET_COOKIE, cookie)], Redirect::to("/")).into_response(),
        Err(error) => refused_page(&error.into()),
    }
}

async fn sign_out(State(page): State<Page>, headers: HeaderMap) -> Response {
    ([(SET_COOKIE, page.sessions.end(&headers).await)], Redirect::to("/")).into_response()
}

#[derive(Deserialize)]
struct Wish {
    label: String,
    days: Option<u64>,
    access: String,
}

async fn create(State(page): State<Page>, headers: HeaderMap, wish: Sent<Wish>) -> Response {
    let Some(owner) = page.sessions.owner(&headers).await else {
        return Redirect::to("/").into_response();
    };
    let Ok(Form(wish)) = wish else {
        return page.settings(StatusCode::BAD_REQUEST, &owner, &problem(UNREAD)).await;
    };
    let scopes = match wish.access.as_str() {
        "everything" => None,
        scope => Some(vec![scope.to_owned()]),
    };
    let issued = match api::new_token(&owner, &wish.label, wish.days, scopes) {
        Ok(new) => page.cloud.tokens.issue(new).await.map_err(Problem::from),
        Err(problem) => Err(problem),
    };
    match issued {
        Ok(issued) => {
            let shown = format!(
                "<section class=new role=status><h2>{}: your new app password</h2>\
                 <p><input readonly size=54 aria-label='app password' value='{}'></p>\
                 <p>It is shown this once. Paste it into the app in place of your password, \
                 with <b>{}</b> as user name. \
                 If you lose it, revoke it and create another.</p></section>",
                escape(issued.view().label().as_str()),
                escape(issued.expose_secret()),
                escape(owner.as_str()),
            );
            page.settings(StatusCode::OK, &owner, &shown).await
        }
        Err(refused) => page.settings(refused.status, &owner, &problem(&refused.reason)).await,
    }
}

async fn revoke(State(page): State<Page>, headers: HeaderMap, Path(id): Path<String>) -> Response {
    let Some(owner) = page.sessions.owner(&headers).await else {
        return Redirect::to("/").into_response();
    };
    if let Ok(id) = id.parse() {
        let revoked = page.cloud.tokens.revoke(&owner, id, Reason::REQUESTED).await;
        if let Err(refused) = revoked.map_err(Problem::from) {
            return page.settings(refused.status, &owner, &problem(&refused.reason)).await;
        }
    }
    Redirect::to("/").into_response()
}

impl Page {
    async fn settings(&self, status: StatusCode, owner: &Owner, above: &str) -> Response {
        let tokens = match api::all_of(&self.cloud, owner).await {
            Ok(tokens) => tokens,
            Err(error) => return refused_page(&error.into()),
        };
        let lines: String = tokens.iter().map(line).collect();
        let list = if lines.is_empty() {
            EMPTY.into()
        } else {
            format!("<div class=list>{TABLE}{lines}</table></div>")
        };
        let name = escape(owner.as_str());
        let who = format!(
            "<form method=post action=/sign-out class=who>{name} <button>Sign out</button></form>"
        );
        html(status, &format!("{who}{above}{CREATE}<h2>Your app passwords</h2>{list}"))
    }
}

/// Makes a page that says what is wrong, and no more: a failure's own text is for the log.
fn refused_page(refused: &Problem) -> Response {
    html(refused.status, &problem(&refused.reason))
}

fn line(token: &TokenView) -> String {
    let access = match token.access().granted_scopes() {
        Selection::All => "everything".into(),
        Selection::Only(scopes) => {
            scopes.iter().map(app_tokens::access::Scope::as_str).collect::<Vec<_>>().join(", ")
        }
    };
    let minute = |text: String| text.get(..16).unwrap_or(&text).replace('T', " ");
    let last_use = token.last_use().map_or("never".into(), |last| minute(last.at.to_string()));
    let status = token.status().map_or("unknown", |status| status.as_str());
    let button = match token.revocation() {
        None => format!(
            "<form method=post action='/tokens/{}/revoke'><button>Revoke</button></form>",
            token.id()
        ),
        Some(_) => String::new(),
    };
    format!(
        "<tr class={status}><td>{}<br><small>{}</small>\
         <td>{}<td>{}<td>{last_use}<td>{}<td>{status}<td>{button}",
        escape(token.label().as_str()),
        token.id(),
        escape(&access),
        minute(token.created_at().to_string()),
        minute(token.expires().to_string()),
    )
}

const OTHER_SITE: &str = "another site sent this form; send it from this page";
const UNREAD: &str = "the form can't be read; send it from this page again";
const SIGN_IN: &str = include_str!("page/sign-in.html");
const CREATE: &str = include_str!("page/create.html");
const TABLE: &str = "<table><tr><th>Name<th>May do<th>Created (UTC)<th>Last used (UTC)\
                     <th>Expires (UTC)<th>Status<th>";
const EMPTY: &str =
    "<p>None yet. Create one for each app or device, so that you can revoke it alone.</p>";
