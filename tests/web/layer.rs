//! The layer that lets tokens in.

use std::convert::Infallible;
use std::future::{poll_fn, ready};
use std::sync::{Arc, Mutex};

use app_tokens::web::TokenLayer;
use app_tokens::{Authenticated, Reason, TokenAuthority};
use axum::http::{HeaderName, Request, Response, StatusCode};
use tower_layer::Layer;
use tower_service::Service;

use super::*;

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
async fn a_request_without_credentials_is_challenged_both_ways_without_an_error_code() {
    let reply = call(&app(&tokens()), request("GET", "/", None)).await;
    is(&reply, 401, "No app token was sent. Send one by Basic or Bearer.\n");
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
async fn revoked_foreign_and_invented_tokens_look_the_same() {
    let tokens = tokens();
    let (app, issued) = (app(&tokens), issue(&tokens));
    let by = &operator("test");
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
async fn a_malformed_header_is_400_and_not_reported_as_a_bad_token() {
    let tokens = tokens();
    let (app, issued) = (app(&tokens), issue(&tokens));
    for header in ["Basic !!", "Basic YWxpY2U=", "Bearer", "Bearer a b", "Bearer ${TOKEN}"] {
        let reply = get_with(&app, "/", header).await;
        is(&reply, 400, "The credentials can't be read. Send your app token by Basic or Bearer.\n");
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
        is(&reply, 500, "The server is not set up: this route is not inside a `TokenLayer`.\n");
    }
}

#[tokio::test]
async fn an_inner_layer_does_not_trust_an_outer_one() {
    let (inner, outer) = (tokens(), tokens());
    let issued = issue(&outer);
    let app = routes()
        .layer(TokenLayer::new(login(&inner)).optional())
        .layer(TokenLayer::new(login(&outer)));
    let header = bearer(issued.expose_secret());
    is(&get_with(&app, "/browse", &header).await, 200, "nobody");
    assert_eq!(get_with(&app, "/", &header).await.status, 401);
}

#[tokio::test]
async fn an_optional_token_may_be_missing_but_not_bad() {
    let tokens = tokens();
    let app = routes().layer(TokenLayer::new(login(&tokens)).optional());
    let issued = issue(&tokens);
    is(&call(&app, request("GET", "/browse", None)).await, 200, "nobody");
    is(&get_with(&app, "/browse", &bearer(issued.expose_secret())).await, 200, "alice");
    let reply = call(&app, request("GET", "/", None)).await;
    is(&reply, 401, "No app token was sent. Send one by Basic or Bearer.\n");
    assert_eq!(reply.challenges().len(), 2);
    for bad in [bearer("acme_x"), basic("alice", "hunter2"), basic("bob", issued.expose_secret())] {
        is_refused(&get_with(&app, "/browse", &bad).await);
    }
    assert_eq!(get_with(&app, "/browse", "Bearer").await.status, 400);
    assert_eq!(get_with(&app, "/browse", "Digest x").await.status, 401);
}

#[tokio::test]
async fn each_refusal_is_reported_once_with_its_request_and_nothing_else_is() {
    let tokens = tokens();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let log = heard.clone();
    let layer = TokenLayer::new(login(&tokens)).on_refusal(move |request, _, refusal| {
        log.lock().unwrap().push(format!("{} {refusal:?} {request:?}", request.uri.path()));
    });
    let (app, issued) = (routes().layer(layer), issue(&tokens));
    let good = bearer(issued.expose_secret());
    assert_eq!(get_with(&app, "/", &good).await.status, 200);
    assert_eq!(call(&app, request("PUT", "/", Some(&good))).await.status, 403, "a route's refusal");
    assert!(heard.lock().unwrap().is_empty());

    let by = &operator("test");
    tokens.revoke(by, issued.id(), Reason::REQUESTED).await.unwrap();
    call(&app, request("GET", "/", None)).await;
    for header in [&good, &basic("alice", "hunter2"), "Bearer"] {
        get_with(&app, "/browse", header).await;
    }
    let heard = heard.lock().unwrap();
    let begins = ["/ NoCredentials", "/browse Denied(", "/browse NotOurs", "/browse Credentials("];
    assert_eq!(heard.len(), begins.len(), "{heard:?}");
    for (line, begin) in heard.iter().zip(begins) {
        assert!(line.starts_with(begin), "{line}");
    }
    // Nor can a log that prints the whole request hold what was sent.
    for sent in [issued.expose_secret(), &basic("alice", "hunter2")] {
        assert!(!heard.concat().contains(sent), "{heard:?}");
    }
}

#[tokio::test]
async fn a_report_of_a_refusal_has_no_header_with_a_secret() {
    let tokens = tokens();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let log = heard.clone();
    let login = login(&tokens).with_token_header("x-acme-token").unwrap();
    let layer = TokenLayer::new(login).on_refusal(move |request, _, _| {
        log.lock().unwrap().push(request.headers.clone());
    });
    let app = routes().layer(layer);
    let mut twice = request("GET", "/", Some("Basic one"));
    for header in ["authorization", "x-acme-token", "x-acme-token", "x-other"] {
        twice.headers_mut().append(header, "two".parse().unwrap());
    }
    assert_eq!(call(&app, twice).await.status, 400);
    let heard = heard.lock().unwrap();
    let names: Vec<_> = heard[0].keys().map(HeaderName::as_str).collect();
    assert_eq!(names, ["x-other"]);
}

/// A service without a framework, with text as body: the layer doesn't need axum. A clone of it is
/// not ready yet.
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
async fn any_service_works_behind_the_layer_and_is_called_when_ready() {
    let tokens = tokens();
    let issued = issue(&tokens);
    let mut service = TokenLayer::new(login(&tokens)).layer(Plain { polled: false });
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
    let layer = TokenLayer::new(login(&tokens));
    let service = layer.clone().layer(Plain { polled: false });
    for shown in [format!("{layer:?}"), format!("{service:?}")] {
        assert!(!shown.contains(&issued.expose_secret()[15..]), "{shown}");
    }
}

/// Fault 31: a proxy owns `Authorization`, the token comes in the host's own header.
#[tokio::test]
async fn a_token_comes_in_the_hosts_own_header_and_neither_header_goes_inward() {
    let tokens = tokens();
    let login = login(&tokens).with_token_header("X-Acme-Token").unwrap();
    let app = Router::new()
        .route("/", get(|request: Request<Body>| async move { format!("{:?}", request.headers()) }))
        .layer(TokenLayer::new(login));
    let issued = issue(&tokens);
    for authorization in [None, Some("Basic cHJveHk6cGFzc3dvcmQ="), Some("Negotiate YIIZ")] {
        let mut request = request("GET", "/", authorization);
        let text = issued.expose_secret().parse().unwrap();
        request.headers_mut().insert("x-acme-token", text);
        request.headers_mut().insert("x-other", "stays".parse().unwrap());
        is(&call(&app, request).await, 200, "{\"x-other\": \"stays\"}");
    }
    let by_standard = get_with(&app, "/", &bearer(issued.expose_secret())).await;
    is(&by_standard, 200, "{}");
}
