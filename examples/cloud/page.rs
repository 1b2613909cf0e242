//! The settings page: sign in, create, see once, list, revoke. Plain HTML forms, no JavaScript.

use std::time::Duration;

use app_tokens::store::MemoryStore;
use app_tokens::{By, Grant, NewToken, Owner, Reason, Requirement, TokenAuthority, TokenView};
use axum::Router;
use axum::extract::{Form, Path, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, COOKIE, REFERRER_POLICY, SET_COOKIE,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use serde::Deserialize;

use crate::problem::Problem;
use crate::{Cloud, Error, api};

/// A signed-in browser is a token, too: of an authority of its own, in memory, in a cookie.
#[derive(Clone)]
struct Page {
    cloud: Cloud,
    sessions: TokenAuthority<MemoryStore>,
}

pub fn routes(cloud: &Cloud) -> Result<Router, Error> {
    let page = Page { cloud: cloud.clone(), sessions: TokenAuthority::in_memory("session")? };
    Ok(Router::new()
        .route("/", get(show))
        .route("/sign-in", post(sign_in))
        .route("/sign-out", post(sign_out))
        .route("/tokens", post(create))
        .route("/tokens/{id}/revoke", post(revoke))
        .with_state(page))
}

async fn show(State(page): State<Page>, headers: HeaderMap) -> Response {
    match page.signed_in(&headers).await {
        Some(owner) => page.settings(StatusCode::OK, &owner, "").await,
        None => html(StatusCode::OK, SIGN_IN),
    }
}

#[derive(Deserialize)]
struct Login {
    name: String,
    password: String,
}

async fn sign_in(State(page): State<Page>, Form(login): Form<Login>) -> Response {
    let Some(owner) = page.cloud.accounts.sign_in(&login.name, &login.password) else {
        let refused =
            "<p class=problem role=alert>That name and password don't belong together.</p>";
        return html(StatusCode::UNAUTHORIZED, &format!("{refused}{SIGN_IN}"));
    };
    let session = NewToken::new(&owner, "browser").expires_in(Duration::from_secs(8 * 60 * 60));
    match page.sessions.issue(session).await {
        // Over TLS the cookie wants `Secure`, too.
        Ok(session) => {
            let cookie =
                format!("session={}; HttpOnly; SameSite=Strict; Path=/", session.expose_secret());
            ([(SET_COOKIE, cookie)], Redirect::to("/")).into_response()
        }
        Err(error) => html(StatusCode::SERVICE_UNAVAILABLE, &problem(&error.to_string())),
    }
}

async fn sign_out(State(page): State<Page>, headers: HeaderMap) -> Response {
    if let Ok(good) = page.sessions.authenticate(session_of(&headers)).await
        && let Ok(session) = good.require(Requirement::ANY_VALID_TOKEN)
    {
        let _it_ends_by_itself_otherwise =
            page.sessions.revoke(By::Owner(session.owner()), session.id(), Reason::REQUESTED).await;
    }
    ([(SET_COOKIE, "session=; Max-Age=0; Path=/")], Redirect::to("/")).into_response()
}

#[derive(Deserialize)]
struct Wish {
    label: String,
    days: Option<u64>,
    access: String,
}

async fn create(State(page): State<Page>, headers: HeaderMap, Form(wish): Form<Wish>) -> Response {
    let Some(owner) = page.signed_in(&headers).await else {
        return Redirect::to("/").into_response();
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
                 <p>It is shown this once. Paste it into the app in place of your password, with <b>{}</b> as user name. \
                 If you lose it, revoke it and create another.</p></section>",
                escape(issued.view().label().as_str()),
                escape(issued.expose_secret()),
                escape(owner.as_str()),
            );
            page.settings(StatusCode::OK, &owner, &shown).await
        }
        Err(refused) => {
            page.settings(StatusCode::BAD_REQUEST, &owner, &problem(&refused.reason)).await
        }
    }
}

async fn revoke(State(page): State<Page>, headers: HeaderMap, Path(id): Path<String>) -> Response {
    let Some(owner) = page.signed_in(&headers).await else {
        return Redirect::to("/").into_response();
    };
    if let Ok(id) = id.parse() {
        let revoked = page.cloud.tokens.revoke(By::Owner(&owner), id, Reason::REQUESTED).await;
        if let Err(error) = revoked {
            return page
                .settings(StatusCode::BAD_REQUEST, &owner, &problem(&error.to_string()))
                .await;
        }
    }
    Redirect::to("/").into_response()
}

impl Page {
    async fn signed_in(&self, headers: &HeaderMap) -> Option<Owner> {
        let good = self.sessions.authenticate(session_of(headers)).await.ok()?;
        Some(good.require(Requirement::ANY_VALID_TOKEN).ok()?.owner().clone())
    }

    async fn settings(&self, status: StatusCode, owner: &Owner, above: &str) -> Response {
        let tokens = match api::all_of(&self.cloud, owner).await {
            Ok(tokens) => tokens,
            Err(error) => {
                return html(StatusCode::SERVICE_UNAVAILABLE, &problem(&error.to_string()));
            }
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

fn line(token: &TokenView) -> String {
    let access = match token.access().granted_scopes() {
        Grant::All => "everything".into(),
        Grant::Only(scopes) => {
            scopes.iter().map(app_tokens::Scope::as_str).collect::<Vec<_>>().join(", ")
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
        "<tr class={status}><td>{}<br><small>{}</small><td>{}<td>{}<td>{last_use}<td>{}<td>{status}<td>{button}",
        escape(token.label().as_str()),
        token.id(),
        escape(&access),
        minute(token.created_at().to_string()),
        minute(token.expires().to_string()),
    )
}

fn session_of(headers: &HeaderMap) -> &str {
    let cookies = headers.get(COOKIE).and_then(|cookies| cookies.to_str().ok()).unwrap_or_default();
    cookies.split("; ").find_map(|cookie| cookie.strip_prefix("session=")).unwrap_or_default()
}

fn problem(text: &str) -> String {
    format!("<p class=problem role=alert>That didn't work: {}.</p>", escape(text))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

fn html(status: StatusCode, body: &str) -> Response {
    let policy = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
    let headers = [
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, policy),
        (REFERRER_POLICY, "no-referrer"),
    ];
    (status, headers, Html(format!("{HEAD}{body}"))).into_response()
}

const HEAD: &str = include_str!("page/head.html");
const SIGN_IN: &str = include_str!("page/sign-in.html");
const CREATE: &str = include_str!("page/create.html");
const TABLE: &str = "<table><tr><th>Name<th>May do<th>Created (UTC)<th>Last used (UTC)<th>Expires (UTC)<th>Status<th>";
const EMPTY: &str =
    "<p>None yet. Create one for each app or device, so that you can revoke it alone.</p>";
