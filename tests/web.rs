//! Tokens over HTTP: the tower layer and the axum extractor on a router, without a socket.

use std::convert::Infallible;
use std::future::{poll_fn, ready};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use app_tokens::event::Event;
use app_tokens::record::{LastUse, Revocation};
use app_tokens::store::{
    Filter, Insert, Inserted, Page, Purge, Replace, Replaced, Row, StoreError,
};
use app_tokens::web::{
    Accounts, AccountsError, Credentials, Login, NamesAreOwners, Origin, Refusal, TokenLayer,
};
use app_tokens::{
    Authenticated, By, Forbidden, IssuedToken, KeyRing, ManualClock, MemoryStore, NewToken, Owner,
    Policy, Reason, Requirement, Timestamp, TokenAuthority, TokenId, TokenStore,
};
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, Response, StatusCode};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use tower_layer::Layer;
use tower_service::Service;

#[path = "common/scopes.rs"]
mod scopes;

use scopes::Files;

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
        None => Ok(String::from("somebody")),
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

fn issue(tokens: &Tokens) -> IssuedToken {
    tokens.blocking().issue(NewToken::new("alice", "My phone").scopes([Files::Read])).unwrap()
}

fn app(tokens: &Tokens) -> Router {
    routes().layer(TokenLayer::new(tokens.clone(), NamesAreOwners))
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
    is(reply, 401, "The app token is not valid.\n");
    let expected =
        [r#"Basic realm="acme", charset="UTF-8""#, r#"Bearer realm="acme", error="invalid_token""#];
    assert_eq!(reply.challenges(), expected);
}

#[tokio::test]
async fn a_good_token_gets_in_and_may_do_what_its_scope_says_and_no_more() {
    let tokens = tokens();
    let app = app(&tokens);
    let issued = issue(&tokens);
    for header in [basic("alice", issued.expose_secret()), bearer(issued.expose_secret())] {
        is(&get_with(&app, "/", &header).await, 200, "alice reads");
        let reply = call(&app, request("PUT", "/", Some(&header))).await;
        is(&reply, 403, "The app token may not do this.\n");
        assert!(reply.challenges()[0].ends_with(r#"scope="files:write""#));
    }
}

#[tokio::test]
async fn no_credentials_are_challenged_both_ways_without_an_error_code() {
    let reply = call(&app(&tokens()), request("GET", "/", None)).await;
    is(&reply, 401, "An app token is needed here.\n");
    let expected = [r#"Basic realm="acme", charset="UTF-8""#, r#"Bearer realm="acme""#];
    assert_eq!(reply.challenges(), expected);
    assert_eq!(reply.headers["cache-control"], "no-store");
}

#[tokio::test]
async fn a_token_in_the_query_is_not_read() {
    let tokens = tokens();
    let issued = issue(&tokens);
    for name in ["access_token", "token", "authorization"] {
        let path = format!("/?{name}={}", issued.expose_secret());
        assert_eq!(call(&app(&tokens), request("GET", &path, None)).await.status, 401);
    }
}

#[tokio::test]
async fn a_revoked_a_foreign_and_a_made_up_token_look_the_same() {
    let tokens = tokens();
    let (app, issued) = (app(&tokens), issue(&tokens));
    let by = By::Operator("test");
    tokens.revoke(by, issued.id(), Reason::REQUESTED).await.unwrap();
    let foreign = issue(&TokenAuthority::in_memory("acme").unwrap());
    for text in [issued.expose_secret(), foreign.expose_secret(), "acme_x", "hunter2"] {
        is_refused(&get_with(&app, "/", &bearer(text)).await);
        is_refused(&get_with(&app, "/", &basic("alice", text)).await);
    }
}

#[tokio::test]
async fn another_users_name_beside_a_good_token_is_refused() {
    let tokens = tokens();
    let (app, issued) = (app(&tokens), issue(&tokens));
    for name in ["bob", "Alice", "alice ", "alice\u{301}"] {
        is_refused(&get_with(&app, "/", &basic(name, issued.expose_secret())).await);
    }
}

#[tokio::test]
async fn a_malformed_header_is_400_and_is_not_told_as_a_bad_token() {
    let tokens = tokens();
    let (app, issued) = (app(&tokens), issue(&tokens));
    for header in ["Basic !!", "Basic YWxpY2U=", "Bearer", "Bearer a b", "Bearer ${TOKEN}"] {
        let reply = get_with(&app, "/", header).await;
        is(&reply, 400, "The Authorization header can't be read.\n");
        assert_eq!(reply.challenges(), [r#"Bearer realm="acme", error="invalid_request""#]);
    }
    let mut twice = request("GET", "/", Some(&bearer(issued.expose_secret())));
    let again = twice.headers()["authorization"].clone();
    twice.headers_mut().append("authorization", again);
    assert_eq!(call(&app, twice).await.status, 400);
}

#[tokio::test]
async fn what_goes_inward_has_no_authorization_header() {
    let tokens = tokens();
    let issued = issue(&tokens);
    let reply = get_with(&app(&tokens), "/in", &bearer(issued.expose_secret())).await;
    is(&reply, 200, "signed in: None, token: true, header: false");
}

#[tokio::test]
async fn without_a_layer_no_handler_is_reached_whatever_is_sent() {
    let issued = issue(&tokens());
    for path in ["/", "/browse"] {
        let reply = get_with(&routes(), path, &bearer(issued.expose_secret())).await;
        is(&reply, 500, "The server is not set up: there is no TokenLayer here.\n");
    }
}

#[tokio::test]
async fn an_inner_layer_does_not_believe_an_outer_one() {
    let (inner, outer) = (tokens(), tokens());
    let issued = issue(&outer);
    let app = routes()
        .layer(TokenLayer::new(inner.clone(), NamesAreOwners).optional())
        .layer(TokenLayer::new(outer, NamesAreOwners));
    let header = bearer(issued.expose_secret());
    is(&get_with(&app, "/browse", &header).await, 200, "somebody");
    assert_eq!(get_with(&app, "/", &header).await.status, 401);
}

#[tokio::test]
async fn where_tokens_are_optional_nothing_gets_in_as_nobody_and_a_bad_token_does_not() {
    let tokens = tokens();
    let app = routes().layer(TokenLayer::new(tokens.clone(), NamesAreOwners).optional());
    let issued = issue(&tokens);
    is(&call(&app, request("GET", "/browse", None)).await, 200, "somebody");
    is(&get_with(&app, "/browse", &bearer(issued.expose_secret())).await, 200, "alice");
    let reply = call(&app, request("GET", "/", None)).await;
    is(&reply, 401, "An app token is needed here.\n");
    assert_eq!(reply.challenges().len(), 2);
    for bad in [bearer("acme_x"), basic("alice", "hunter2"), basic("bob", issued.expose_secret())] {
        is_refused(&get_with(&app, "/browse", &bad).await);
    }
    assert_eq!(get_with(&app, "/browse", "Bearer").await.status, 400);
    assert_eq!(get_with(&app, "/browse", "Digest x").await.status, 401);
}

/// An app whose other way in takes Alice's password `hunter2`, fails for `fail`, and notes what it is asked.
fn app_with_passwords(tokens: &Tokens) -> (Router, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    let layer = TokenLayer::new(tokens.clone(), NamesAreOwners).or_else(
        move |login: Credentials<'static>| {
            log.lock().unwrap().push(format!("{:?} {}", login.user(), login.expose_secret()));
            async move {
                match (login.user(), login.expose_secret()) {
                    (_, "fail") => Err(AccountsError::from("no route to host")),
                    (Some("alice"), "hunter2") => Ok(Some(SignedIn("alice"))),
                    _ => Ok(None),
                }
            }
        },
    );
    (routes().layer(layer), asked)
}

#[tokio::test]
async fn a_password_gets_in_by_the_hosts_other_way_and_is_no_token() {
    let tokens = tokens();
    let (app, _) = app_with_passwords(&tokens);
    let header = basic("alice", "hunter2");
    let reply = get_with(&app, "/in", &header).await;
    is(&reply, 200, "signed in: Some(\"alice\"), token: false, header: false");
    is(&get_with(&app, "/", &header).await, 401, "An app token is needed here.\n");
    is_refused(&get_with(&app, "/in", &basic("alice", "hunter3")).await);
    is_refused(&get_with(&app, "/in", &basic("bob", "hunter2")).await);
}

#[tokio::test]
async fn the_other_way_that_fails_is_503() {
    let (app, _) = app_with_passwords(&tokens());
    let reply = get_with(&app, "/in", &basic("alice", "fail")).await;
    is(&reply, 503, "App tokens can't be checked right now. Try again.\n");
    assert!(reply.challenges().is_empty() && reply.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn a_token_that_is_denied_or_mistyped_never_falls_through_to_the_other_way() {
    let tokens = tokens();
    let (app, asked) = app_with_passwords(&tokens);
    let issued = issue(&tokens);
    let text = issued.expose_secret();
    is(&get_with(&app, "/", &basic("alice", text)).await, 200, "alice reads");
    is_refused(&get_with(&app, "/", &basic("bob", text)).await);
    for at in 5..text.len() {
        for wrong in ["", "0", "1", "u", "!", "__"] {
            let mistyped = format!("{}{wrong}{}", &text[..at], &text[at + 1..]);
            if mistyped != text {
                is_refused(&get_with(&app, "/", &basic("alice", &mistyped)).await);
            }
        }
    }
    tokens.revoke(By::Operator("test"), issued.id(), Reason::REQUESTED).await.unwrap();
    is_refused(&get_with(&app, "/", &basic("alice", text)).await);
    assert!(asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn bad_credentials_never_fall_through_to_the_other_way() {
    let (app, asked) = app_with_passwords(&tokens());
    for header in ["", "Basic !!", "Bearer a b", "Digest x", &basic("alice", "a\nb")] {
        assert!(matches!(get_with(&app, "/", header).await.status, 400 | 401));
    }
    assert_eq!(call(&app, request("GET", "/", None)).await.status, 401);
    assert!(asked.lock().unwrap().is_empty());
}

/// Lets everybody in but one, and fails for another.
struct Doorman;

impl Accounts for Doorman {
    async fn owner_of(&self, name: &str) -> Result<Option<Owner>, AccountsError> {
        match name {
            "down" => Err("no route to host".into()),
            name => Ok(Owner::new(name).ok()),
        }
    }

    async fn is_active(&self, owner: &Owner) -> Result<bool, AccountsError> {
        match owner.as_str() {
            "offline" => Err("no route to host".into()),
            owner => Ok(owner != "disabled"),
        }
    }
}

#[tokio::test]
async fn a_disabled_owner_is_refused_like_a_revoked_token() {
    let tokens = tokens();
    let app = routes().layer(TokenLayer::new(tokens.clone(), Doorman));
    let issued = tokens.issue(NewToken::new("disabled", "My phone")).await.unwrap();
    is_refused(&get_with(&app, "/", &basic("disabled", issued.expose_secret())).await);
    is_refused(&get_with(&app, "/", &bearer(issued.expose_secret())).await);
}

#[tokio::test]
async fn accounts_that_fail_is_503_and_clients_keep_the_token() {
    let tokens = tokens();
    let app = routes().layer(TokenLayer::new(tokens.clone(), Doorman));
    let alices = issue(&tokens);
    let offline = tokens.issue(NewToken::new("offline", "My phone")).await.unwrap();
    for header in [
        basic("down", alices.expose_secret()),
        basic("offline", offline.expose_secret()),
        basic("alice", offline.expose_secret()),
        bearer(offline.expose_secret()),
    ] {
        let reply = get_with(&app, "/", &header).await;
        is(&reply, 503, "App tokens can't be checked right now. Try again.\n");
        assert!(reply.challenges().is_empty());
    }
}

/// A store whose database is away.
struct Away;

fn away<T>() -> impl Future<Output = Result<T, StoreError>> + Send
where
    T: Send,
{
    ready(Err(StoreError::not_done("the database is away")))
}

impl TokenStore for Away {
    fn insert(&self, _: &Insert) -> impl Future<Output = Result<Inserted, StoreError>> + Send {
        away()
    }
    fn find(&self, _: TokenId) -> impl Future<Output = Result<Option<Row>, StoreError>> + Send {
        away()
    }
    fn list(
        &self,
        _: &Filter,
        _: Page,
    ) -> impl Future<Output = Result<Vec<Row>, StoreError>> + Send {
        away()
    }
    fn replace(&self, _: &Replace) -> impl Future<Output = Result<Replaced, StoreError>> + Send {
        away()
    }
    fn revoke(
        &self,
        _: &Filter,
        _: &Revocation,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send {
        away()
    }
    fn touch(
        &self,
        _: &[(TokenId, LastUse)],
        _: Timestamp,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        away()
    }
    fn purge(&self, _: &Purge, _: u32) -> impl Future<Output = Result<u64, StoreError>> + Send {
        away()
    }
}

#[tokio::test]
async fn a_store_that_fails_is_503_and_says_nothing_about_itself() {
    let policy = Policy::new("acme").unwrap();
    let broken = TokenAuthority::new(Away, KeyRing::ephemeral().unwrap(), policy);
    let app = routes().layer(TokenLayer::new(broken, NamesAreOwners).optional());
    let issued = issue(&tokens());
    for header in [basic("alice", issued.expose_secret()), bearer(issued.expose_secret())] {
        let reply = get_with(&app, "/", &header).await;
        is(&reply, 503, "App tokens can't be checked right now. Try again.\n");
        assert!(reply.challenges().is_empty() && reply.headers.contains_key("retry-after"));
    }
}

/// What the last use of a token was noted to come from.
async fn origin_noted(
    policy: Policy,
    layer: impl FnOnce(
        TokenLayer<MemoryStore, NamesAreOwners>,
    ) -> TokenLayer<MemoryStore, NamesAreOwners>,
) -> (Option<IpAddr>, Option<String>) {
    let ring = KeyRing::ephemeral().unwrap();
    let tokens = TokenAuthority::new(MemoryStore::new(), ring, policy);
    let issued = issue(&tokens);
    let app = routes().layer(layer(TokenLayer::new(tokens.clone(), NamesAreOwners)));
    let mut request = request("GET", "/", Some(&bearer(issued.expose_secret())));
    request.headers_mut().insert("user-agent", "rclone/1.60".parse().unwrap());
    request.headers_mut().insert("x-forwarded-for", "192.0.2.1".parse().unwrap());
    request.extensions_mut().insert(IpAddr::from([192, 0, 2, 7]));
    assert_eq!(call(&app, request).await.status, 200);
    let view = tokens.find(By::Operator("test"), issued.id()).await.unwrap();
    let last_use = view.last_use().unwrap();
    (last_use.address, last_use.client.as_deref().map(String::from))
}

#[tokio::test]
async fn origins_are_noted_only_where_the_policy_says_so_and_an_address_only_from_the_host() {
    let policy = || Policy::new("acme").unwrap();
    let from_extension = |layer: TokenLayer<_, _>| {
        layer.origin(|request| {
            let address = request.extensions.get::<IpAddr>().copied();
            Origin::default().from_address(address.unwrap()).from_client("known")
        })
    };
    assert_eq!(origin_noted(policy(), |layer| layer).await, (None, None));
    assert_eq!(origin_noted(policy(), from_extension).await, (None, None));
    let recorded = policy().with_recorded_origin();
    let user_agent = Some(String::from("rclone/1.60"));
    assert_eq!(origin_noted(recorded.clone(), |layer| layer).await, (None, user_agent));
    let known = (Some(IpAddr::from([192, 0, 2, 7])), Some(String::from("known")));
    assert_eq!(origin_noted(recorded, from_extension).await, known);
}

/// A service of no framework whose body is a text: that the layer needs nothing of axum. A clone of it is not ready yet.
struct Plain {
    polled: bool,
}

impl Clone for Plain {
    fn clone(&self) -> Plain {
        Plain { polled: false }
    }
}

impl Service<Request<()>> for Plain {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Response<String>, Infallible>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        self.polled = true;
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        assert!(self.polled, "called before it was ready");
        let token = request.extensions().get::<Authenticated>().is_some();
        ready(Ok(Response::new(format!("token: {token}"))))
    }
}

#[tokio::test]
async fn a_service_of_any_kind_goes_behind_the_layer_and_is_called_when_ready() {
    let tokens = tokens();
    let issued = issue(&tokens);
    let mut service = TokenLayer::new(tokens, NamesAreOwners).layer(Plain { polled: false });
    for (header, status) in [(bearer(issued.expose_secret()), 200), (bearer("x"), 401)] {
        poll_fn(|context| service.poll_ready(context)).await.unwrap();
        let request = Request::builder().header("authorization", header).body(()).unwrap();
        let response = service.call(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::from_u16(status).unwrap());
    }
}

#[tokio::test]
async fn debug_of_layer_and_service_shows_no_token() {
    let tokens = tokens();
    let issued = issue(&tokens);
    let layer = TokenLayer::from(Login::new(tokens, NamesAreOwners));
    let service = layer.clone().layer(Plain { polled: false });
    for shown in [format!("{layer:?}"), format!("{service:?}")] {
        assert!(!shown.contains(&issued.expose_secret()[15..]), "{shown}");
    }
}

/// Tokens of Alice's in every state, and the login that judges them.
struct EveryState {
    login: Login<MemoryStore, Doorman>,
    texts: Vec<String>,
    told: Arc<Mutex<Vec<String>>>,
}

fn every_state() -> EveryState {
    let told = Arc::new(Mutex::new(Vec::new()));
    let log = told.clone();
    let clock = ManualClock::at(Timestamp::from_unix(2_000_000_000).unwrap());
    let policy = Policy::new("acme").unwrap();
    let tokens = TokenAuthority::builder(MemoryStore::new(), KeyRing::ephemeral().unwrap(), policy)
        .clock(clock.clone())
        .observer(move |event: &Event<'_>| {
            if let Event::Denied { reason, .. } = event {
                log.lock().unwrap().push(format!("{reason:?}"));
            }
        })
        .build();
    let minute = Duration::from_secs(60);
    let of = |owner| NewToken::new(owner, "My phone").expires_in(minute * 2);
    let issued =
        [of("alice"), of("bob"), of("disabled"), of("alice"), of("alice").expires_in(minute)]
            .map(|new| tokens.blocking().issue(new).unwrap());
    let by = By::Operator("test");
    tokens.blocking().revoke(by, issued[3].id(), Reason::REQUESTED).unwrap();
    clock.advance(minute);
    let texts = issued.iter().map(|issued| issued.expose_secret().to_owned()).collect();
    EveryState { login: Login::new(tokens, Doorman), texts, told }
}

proptest! {
    /// Threat A: no way in is weaker than another.
    #[test]
    fn basic_and_bearer_give_the_same_decision(
        which in 0..5_usize, at in 0..50_usize, cut in 0..2_usize, insert in "[a-zA-Z0-9._~+/-]{0,2}",
        damaged: bool,
    ) {
        let EveryState { login, texts, told } = every_state();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut text = texts[which].clone();
        if damaged {
            text = format!("{}{insert}{}", &text[..at], &text[at + cut..]);
        }
        let decide = |header: String| {
            let outcome = runtime.block_on(login.authenticate([header.as_bytes()], Origin::default()));
            let decision = match &outcome {
                Ok(token) => Ok(format!("{token:?}")),
                Err(refusal) => Err((login.answer(refusal), refusal.to_string())),
            };
            (decision, std::mem::take(&mut *told.lock().unwrap()))
        };
        let by_bearer = decide(bearer(&text));
        prop_assert_eq!(&decide(format!("token {text}")), &by_bearer);
        prop_assert_eq!(&decide(basic("", &text)), &by_bearer);
        let owner = ["alice", "bob", "disabled", "alice", "alice"][which];
        prop_assert_eq!(&decide(basic(owner, &text)), &by_bearer);
        let (by_other, _) = decide(basic("mallory", &text));
        prop_assert!(by_other.is_err());
        if !damaged {
            prop_assert_eq!(by_bearer.0.is_ok(), which < 2);
        }
    }
}
