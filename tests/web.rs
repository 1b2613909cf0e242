//! Tokens over HTTP: the tower layers and the axum extractors on a router, without a socket.

#[path = "web/accounts.rs"]
mod accounts;
#[path = "web/decisions.rs"]
mod decisions;
#[path = "web/failures.rs"]
mod failures;
#[path = "web/layer.rs"]
mod layer;
#[path = "web/origins.rs"]
mod origins;
#[path = "web/own_answers.rs"]
mod own_answers;
#[path = "web/passwords.rs"]
mod passwords;
#[path = "web/require.rs"]
mod require;

use std::convert::Infallible;
use std::future::poll_fn;

use app_tokens::error::Forbidden;
use app_tokens::store::MemoryStore;
use app_tokens::web::{Login, NamesAreOwners, Refusal, TokenLayer};
use app_tokens::{Access, Authenticated, IssuedToken, NewToken, Requirement, TokenAuthority};
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use support::rows::operator;
use support::scopes::Files;
use tower_service::Service;

#[derive(Clone)]
struct SignedIn(&'static str);

async fn download(token: Authenticated) -> Result<String, Refusal> {
    let caller = token.require(Files::Read)?;
    Ok(format!("{} reads", caller.owner()))
}

async fn upload(token: Authenticated) -> Result<String, Forbidden> {
    let caller = token.require(Files::Write)?;
    Ok(format!("{} writes", caller.owner()))
}

async fn browse(token: Option<Authenticated>) -> Result<String, Refusal> {
    match token {
        Some(token) => Ok(token.require(Requirement::ANY_VALID_TOKEN)?.owner().to_string()),
        None => Ok(String::from("nobody")),
    }
}

async fn what_came_in(request: Request<Body>) -> String {
    let signed_in = request.extensions().get::<SignedIn>().map(|who| who.0);
    let token = request.extensions().get::<Authenticated>().is_some();
    let header = request.headers().contains_key("authorization");
    format!("signed in: {signed_in:?}, token: {token}, header: {header}")
}

/// All routes, without a layer.
fn routes() -> Router {
    Router::new()
        .route("/", get(download).put(upload))
        .route("/browse", get(browse))
        .route("/in", get(what_came_in))
}

type Tokens = TokenAuthority<MemoryStore>;

fn tokens() -> Tokens {
    TokenAuthority::in_memory("acme").unwrap()
}

fn new_token(owner: &str) -> NewToken {
    NewToken::new(owner, "My phone", Access::scopes([Files::Read]).unwrap())
}

fn issue(tokens: &Tokens) -> IssuedToken {
    tokens.block_on(tokens.issue(new_token("alice"))).unwrap()
}

type Everybody = NamesAreOwners<fn(&str) -> bool>;

fn everybody() -> Everybody {
    NamesAreOwners(|_| true)
}

fn login(tokens: &Tokens) -> Login<MemoryStore, Everybody> {
    Login::new(tokens.clone(), everybody())
}

fn app(tokens: &Tokens) -> Router {
    routes().layer(TokenLayer::new(login(tokens)))
}

struct Reply {
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl Reply {
    fn challenges(&self) -> Vec<&str> {
        let lines = self.headers.get_all("www-authenticate").iter();
        lines.map(|line| line.to_str().unwrap()).collect()
    }
}

async fn call<S>(service: &S, request: Request<Body>) -> Reply
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone,
{
    let mut service = service.clone();
    poll_fn(|context| service.poll_ready(context)).await.unwrap();
    let response = service.call(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, 1_000_000).await.unwrap();
    let body = String::from_utf8(body.to_vec()).unwrap();
    Reply { status: parts.status.as_u16(), headers: parts.headers, body }
}

fn request(method: &str, path: &str, authorization: Option<&str>) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(value) = authorization {
        request = request.header("Authorization", value);
    }
    request.body(Body::empty()).unwrap()
}

async fn get_with(app: &Router, path: &str, authorization: &str) -> Reply {
    call(app, request("GET", path, Some(authorization))).await
}

fn basic(user: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{secret}")))
}

fn bearer(secret: &str) -> String {
    format!("Bearer {secret}")
}

#[track_caller]
fn is(reply: &Reply, status: u16, body: &str) {
    assert_eq!((reply.status, reply.body.as_str()), (status, body));
}

#[track_caller]
fn is_refused(reply: &Reply) {
    is(reply, 401, "The app token is not valid. Check it, or create a new one.\n");
    let expected =
        [r#"Basic realm="acme", charset="UTF-8""#, r#"Bearer realm="acme", error="invalid_token""#];
    assert_eq!(reply.challenges(), expected);
}
