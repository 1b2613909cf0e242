//! What a route requires of a token.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use app_tokens::access::Resource;
use app_tokens::web::{AccountsError, Challenges, Credentials, TokenLayer, require};
use app_tokens::{Access, Caller, TokenAuthority};
use axum::extract::Path;
use axum::handler::Handler as _;
use axum::http::request::Parts;
use axum::routing::{delete, post};

use super::*;

async fn whose(caller: Caller) -> String {
    caller.owner().to_string()
}

async fn whose_if_any(caller: Option<Caller>) -> String {
    caller.map_or(String::from("nobody"), |caller| caller.owner().to_string())
}

/// Copies a file: the route requires reading, the handler requires writing, too.
async fn copy(caller: Caller, Path(to): Path<String>) -> Result<String, Refusal> {
    caller.require(Requirement::from(Files::Write).on(&to))?;
    Ok(format!("{} copies to {to}", caller.owner()))
}

fn guarded() -> Router {
    let resource = |request: &Parts| request.uri.path().strip_prefix("/on/").map(String::from);
    let twice =
        get(whose).layer::<_, Infallible>(require(Files::Read)).layer(require(Files::Write));
    Router::new()
        .route("/read", get(whose).layer(require(Files::Read)))
        .route("/write", get(whose).layer(require(Files::Write)))
        .route("/both", twice)
        .route("/any", get(whose).layer(require(Requirement::ANY_VALID_TOKEN)))
        .route("/on/{name}", get(whose).layer(require(Files::Read).on(resource)))
        .route("/copy/{to}", get(copy).layer(require(Files::Read)))
        .route("/forgotten", get(whose))
        .route("/forgotten-if-any", get(whose_if_any))
        .route(
            "/signed-in",
            get(whose_if_any).layer(require(Files::Read).or_signed_in::<SignedIn>()),
        )
}

async fn text_with(tokens: &Tokens, access: Access) -> String {
    let issued = tokens.issue(NewToken::new("alice", "My phone", access)).await.unwrap();
    issued.expose_secret().to_owned()
}

#[track_caller]
fn is_not_set_up(reply: &Reply, what: &str) {
    is(reply, 500, &format!("The server is not set up: {what}.\n"));
}

#[tokio::test]
async fn a_route_lets_in_only_what_it_requires_and_names_the_missing_scope() {
    let tokens = tokens();
    let app = guarded().layer(TokenLayer::new(login(&tokens)));
    let header = bearer(issue(&tokens).expose_secret());
    for path in ["/read", "/any", "/on/a"] {
        is(&get_with(&app, path, &header).await, 200, "alice");
    }
    for path in ["/write", "/both"] {
        let reply = get_with(&app, path, &header).await;
        is(&reply, 403, "The app token may not do this.\n");
        let expected = r#"Bearer realm="acme", error="insufficient_scope", scope="files:write""#;
        assert_eq!(reply.challenges(), [expected]);
    }
}

#[tokio::test]
async fn a_handler_with_a_caller_gets_no_request_on_a_route_that_requires_nothing() {
    let tokens = tokens();
    let app = guarded().layer(TokenLayer::new(login(&tokens)).optional());
    let header = bearer(issue(&tokens).expose_secret());
    for path in ["/forgotten", "/forgotten-if-any"] {
        let reply = get_with(&app, path, &header).await;
        is_not_set_up(&reply, "this route has no `require` layer");
        let reply = call(&app, request("GET", path, None)).await;
        is_not_set_up(&reply, "this route has no `require` layer");
    }
}

/// The limit of the layers: nothing tells them that the route inside requires nothing.
#[tokio::test]
async fn a_handler_that_takes_no_caller_is_guarded_by_require_on_its_route_alone() {
    let tokens = tokens();
    let ran = Arc::new(AtomicU32::new(0));
    let handler = || {
        let ran = ran.clone();
        delete(async move |Path(id): Path<u32>| {
            ran.fetch_add(1, Ordering::SeqCst);
            format!("{id} is gone")
        })
    };
    let app = Router::new()
        .route("/guarded/{id}", handler().layer(require(Files::Write)))
        .route("/forgotten/{id}", handler())
        .layer(TokenLayer::new(login(&tokens)));
    let nothing = Access::scopes([Files::Read; 0]).unwrap();
    let nothing = bearer(&text_with(&tokens, nothing).await);
    let reply = call(&app, request("DELETE", "/guarded/7", Some(&nothing))).await;
    is(&reply, 403, "The app token may not do this.\n");
    assert_eq!(ran.load(Ordering::SeqCst), 0);
    let reply = call(&app, request("DELETE", "/forgotten/7", Some(&nothing))).await;
    is(&reply, 200, "7 is gone");
}

#[tokio::test]
async fn two_methods_of_one_path_require_what_each_was_given() {
    let tokens = tokens();
    let read = require(Requirement::one_of(&["notes:read"]));
    let write = require(Requirement::one_of(&["notes:write"]));
    let app = Router::new()
        .route("/handlers", get(whose.layer(read.clone())).post(whose.layer(write.clone())))
        .route("/routes", get(whose).layer(read.clone()))
        .route("/routes", post(whose).layer(write.clone()))
        .route("/unguarded", get(whose).layer(read.clone()).post(async || "anyone"))
        .route("/alike", get(whose).post(whose).layer(read))
        .layer(TokenLayer::new(login(&tokens)));
    let reads = bearer(&text_with(&tokens, Access::scopes(["notes:read"]).unwrap()).await);
    let writes = bearer(&text_with(&tokens, Access::scopes(["notes:write"]).unwrap()).await);
    let status = async |method, path, header: &str| {
        call(&app, request(method, path, Some(header))).await.status
    };
    for path in ["/handlers", "/routes"] {
        assert_eq!(status("GET", path, &reads).await, 200, "{path}");
        assert_eq!(status("POST", path, &reads).await, 403, "{path}");
        assert_eq!(status("POST", path, &writes).await, 200, "{path}");
        assert_eq!(status("GET", path, &writes).await, 403, "{path}");
        assert_eq!(status("HEAD", path, &writes).await, 403, "{path}");
    }
    // The two forms that the docs of `require` warn of.
    assert_eq!(status("POST", "/unguarded", &reads).await, 200);
    assert_eq!(status("POST", "/alike", &reads).await, 200);
}

#[tokio::test]
async fn a_route_without_a_token_layer_lets_nobody_in() {
    let header = bearer(issue(&tokens()).expose_secret());
    for path in ["/read", "/signed-in", "/forgotten", "/forgotten-if-any"] {
        let reply = get_with(&guarded(), path, &header).await;
        is_not_set_up(&reply, "this route is not inside a `TokenLayer`");
    }
}

#[tokio::test]
async fn a_token_that_is_bound_to_resources_is_let_in_to_these_only() {
    let tokens = tokens();
    let app = guarded().layer(TokenLayer::new(login(&tokens)));
    let access = Access::scopes([Files::Read]).unwrap();
    let access = access.on([Resource::exact("a").unwrap()]).unwrap();
    let header = bearer(&text_with(&tokens, access).await);
    is(&get_with(&app, "/on/a", &header).await, 200, "alice");
    // `/read` names no resource, so no bound token may do it.
    for path in ["/on/b", "/on/%61", "/read"] {
        assert_eq!(get_with(&app, path, &header).await.status, 403, "{path}");
    }
}

#[tokio::test]
async fn the_resource_of_a_requirement_does_not_stand_in_for_a_request_that_has_none() {
    let tokens = tokens();
    let layer = require(Requirement::scope(&Files::Read).on("a")).on(|_| None);
    let app = Router::new().route("/", get(whose).layer(layer));
    let app = app.layer(TokenLayer::new(login(&tokens)));
    let access = Access::scopes([Files::Read]).unwrap();
    let bound = access.clone().on([Resource::exact("a").unwrap()]).unwrap();
    let bound = bearer(&text_with(&tokens, bound).await);
    assert_eq!(get_with(&app, "/", &bound).await.status, 403);
    let unbound = bearer(&text_with(&tokens, access).await);
    is(&get_with(&app, "/", &unbound).await, 200, "alice");
}

#[tokio::test]
async fn a_request_that_needs_two_scopes_asks_twice() {
    let tokens = tokens();
    let app = guarded().layer(TokenLayer::new(login(&tokens)));
    let reads = bearer(issue(&tokens).expose_secret());
    assert_eq!(get_with(&app, "/copy/b", &reads).await.status, 403);
    let both = Access::scopes([Files::Read, Files::Write]).unwrap();
    let both = bearer(&text_with(&tokens, both).await);
    is(&get_with(&app, "/copy/b", &both).await, 200, "alice copies to b");
    is(&get_with(&app, "/both", &both).await, 200, "alice");
}

#[tokio::test]
async fn a_request_without_a_token_is_asked_for_one() {
    let tokens = tokens();
    let app = guarded().layer(TokenLayer::new(login(&tokens)).optional());
    for path in ["/read", "/any", "/signed-in"] {
        let reply = call(&app, request("GET", path, None)).await;
        is(&reply, 401, "No app token was sent. Send one by Basic or Bearer.\n");
        assert_eq!(reply.challenges().len(), 2);
    }
}

#[tokio::test]
async fn users_signed_in_without_a_token_enter_only_if_the_route_allows_it() {
    let tokens = tokens();
    let layer =
        TokenLayer::new(login(&tokens)).or_else(|sent: Credentials<'static>, _| async move {
            let is_right = sent.expose_secret() == "hunter2";
            Ok::<_, AccountsError>(is_right.then_some(SignedIn("alice")))
        });
    let app = guarded().layer(layer);
    let password = basic("alice", "hunter2");
    is(&get_with(&app, "/signed-in", &password).await, 200, "nobody");
    for path in ["/read", "/any"] {
        let reply = get_with(&app, path, &password).await;
        is(&reply, 401, "No app token was sent. Send one by Basic or Bearer.\n");
    }
    // A token needs the scope there, too.
    let reads = bearer(issue(&tokens).expose_secret());
    is(&get_with(&app, "/signed-in", &reads).await, 200, "alice");
    let nothing = Access::scopes([Files::Read; 0]).unwrap();
    let nothing = bearer(&text_with(&tokens, nothing).await);
    assert_eq!(get_with(&app, "/signed-in", &nothing).await.status, 403);
}

#[tokio::test]
async fn a_requirement_of_an_outer_route_does_not_count_behind_an_inner_layer() {
    let (outer, inner) = (tokens(), tokens());
    let app = Router::new()
        .route("/", get(whose_if_any))
        .layer(TokenLayer::new(login(&inner)).optional())
        .layer(require(Files::Read))
        .layer(TokenLayer::new(login(&outer)));
    let header = bearer(issue(&outer).expose_secret());
    let reply = get_with(&app, "/", &header).await;
    is_not_set_up(&reply, "this route has no `require` layer");
}

#[tokio::test]
async fn every_answer_on_a_route_carries_the_challenges_of_the_login() {
    let tokens = TokenAuthority::in_memory("acme").unwrap();
    let login = login(&tokens).with_realm("Acme Cloud").unwrap().challenges(Challenges::Basic);
    let login = login.without_challenges_for_scripts();
    let app = guarded().merge(routes()).layer(TokenLayer::new(login).optional());
    let basic_only = [r#"Basic realm="Acme Cloud", charset="UTF-8""#];
    // Refused by the layer, by `require`, by an extractor.
    for (path, header) in [("/read", Some(bearer("acme_x"))), ("/read", None), ("/", None)] {
        let reply = call(&app, request("GET", path, header.as_deref())).await;
        assert_eq!((reply.status, reply.challenges()), (401, basic_only.to_vec()), "{path}");
        let mut script = request("GET", path, header.as_deref());
        script.headers_mut().insert("sec-fetch-mode", "cors".parse().unwrap());
        let reply = call(&app, script).await;
        assert_eq!((reply.status, reply.challenges()), (401, Vec::new()), "{path}");
    }
    // Refused by a handler.
    let header = bearer(issue(&tokens).expose_secret());
    let reply = call(&app, request("PUT", "/", Some(&header))).await;
    assert_eq!((reply.status, reply.challenges()), (403, Vec::new()));
}
