//! What a login shows in answers that the host makes: challenges, and the host's noun.

use app_tokens::Caller;
use app_tokens::error::IssueError;
use app_tokens::web::{Answer, Challenges, TokenLayer, require};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, WWW_AUTHENTICATE};
use axum::middleware::map_response;
use axum::response::{IntoResponse as _, Response};

use super::*;

const BOTH: [&str; 2] = [r#"Basic realm="acme", charset="UTF-8""#, r#"Bearer realm="acme""#];

/// Answers of the host's own: a 401, one with a challenge for passwords, and a 403.
fn own() -> Router {
    let password = [(WWW_AUTHENTICATE, "Basic realm=\"account\"")];
    Router::new()
        .route("/401", get(async || (StatusCode::UNAUTHORIZED, "{}")))
        .route("/password", get(async move || (StatusCode::UNAUTHORIZED, password, "{}")))
        .route("/403", get(async || (StatusCode::FORBIDDEN, "{}")))
        .route("/refusal", get(async || Refusal::NoCredentials.into_response()))
}

async fn by_script(app: &Router, path: &str) -> Reply {
    let mut request = request("GET", path, None);
    request.headers_mut().insert("sec-fetch-mode", "cors".parse().unwrap());
    call(app, request).await
}

#[tokio::test]
async fn a_401_of_the_hosts_own_gets_the_logins_challenges_and_keeps_its_body() {
    let app = own().layer(login(&tokens()).challenge_layer());
    for path in ["/401", "/refusal"] {
        let reply = call(&app, request("GET", path, None)).await;
        assert_eq!((reply.status, reply.challenges()), (401, BOTH.to_vec()), "{path}");
        assert_eq!(by_script(&app, path).await.challenges(), BOTH, "{path}");
    }
    is(&call(&app, request("GET", "/401", None)).await, 401, "{}");
    let reply = call(&app, request("GET", "/password", None)).await;
    assert_eq!(reply.challenges(), ["Basic realm=\"account\""]);
    let reply = call(&app, request("GET", "/403", None)).await;
    assert!(reply.status == 403 && reply.challenges().is_empty());
    let app = own().layer(login(&tokens()).challenges(Challenges::Bearer).challenge_layer());
    assert_eq!(call(&app, request("GET", "/401", None)).await.challenges(), BOTH[1..]);
}

#[tokio::test]
async fn a_script_gets_no_challenge_if_the_login_says_so_whoever_wrote_it() {
    let tokens = tokens();
    let login = || login(&tokens).without_challenges_for_scripts();
    let app =
        own().merge(routes().layer(TokenLayer::new(login()))).layer(login().challenge_layer());
    for path in ["/401", "/password", "/refusal", "/"] {
        let reply = by_script(&app, path).await;
        assert!(reply.status == 401 && reply.challenges().is_empty(), "{path}");
        let reply = call(&app, request("GET", path, None)).await;
        assert!(!reply.challenges().is_empty(), "{path}");
    }
}

#[tokio::test]
async fn every_answer_has_the_hosts_noun_also_those_that_a_handler_returns() {
    let tokens = tokens();
    let full = async || Answer::from(IssueError::LimitReached { limit: 7 });
    let app = routes()
        .route("/require", get(async |_: Caller| "in").layer(require(Files::Write)))
        .route("/full", get(full))
        .layer(TokenLayer::new(login(&tokens).with_noun("personal access token")).optional());
    let issued = issue(&tokens);
    let good = bearer(issued.expose_secret());
    let missing = "The personal access token may not do this.\n";
    is(&get_with(&app, "/require", &good).await, 403, missing);
    let reply = call(&app, request("PUT", "/", Some(&good))).await;
    is(&reply, 403, missing);
    assert!(
        reply.challenges()[0]
            .ends_with(r#"realm="acme", error="insufficient_scope", scope="files:write""#)
    );
    let reply = call(&app, request("GET", "/", None)).await;
    is(&reply, 401, "No personal access token was sent. Send one by Basic or Bearer.\n");
    let denied = "The personal access token is not valid. Check it, or create a new one.\n";
    is(&get_with(&app, "/browse", "Bearer x").await, 401, denied);
    let full = "The limit is 7 personal access tokens. Revoke one first.\n";
    let reply = get_with(&app, "/full", &good).await;
    is(&reply, 409, full);
    let length = reply.headers.get("content-length").map(|length| length.to_str().unwrap());
    assert!(length.is_none_or(|length| length == full.len().to_string()));
}

/// Stands for a layer that compresses, and for one that writes an answer in another form.
#[tokio::test]
async fn a_body_that_another_layer_has_changed_is_left_alone() {
    for (name, value) in
        [(CONTENT_ENCODING, "gzip"), ("content-type".parse().unwrap(), "text/html")]
    {
        let changed = move |mut response: Response<Body>| {
            response.headers_mut().insert(name.clone(), value.parse().unwrap());
            *response.body_mut() = Body::from("changed");
            std::future::ready(response)
        };
        let login = login(&tokens()).with_noun("access token");
        let app = own().layer(map_response(changed)).layer(TokenLayer::new(login).optional());
        let reply = call(&app, request("GET", "/refusal", None)).await;
        is(&reply, 401, "changed");
        assert_eq!(reply.challenges(), BOTH);
    }
}

/// Sends the answer that a response holds in another form, with the text that the response has.
async fn as_json(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let Some(answer) = parts.extensions.remove::<Answer>() else {
        return Response::from_parts(parts, body);
    };
    let sent = axum::body::to_bytes(body, 1_000_000).await.unwrap();
    assert_eq!((parts.status.as_u16(), &sent[..]), (answer.status, answer.body.as_bytes()));
    let json = serde_json::json!({ "error": answer.code, "message": answer.body.trim_end() });
    Response::from_parts(parts, json.to_string().into())
}

#[tokio::test]
async fn every_response_of_a_refusal_holds_its_answer_for_a_layer_of_the_host() {
    let tokens = tokens();
    let app = routes()
        .merge(own())
        .route("/require", get(async || "in").layer(require(Files::Write)))
        .route("/forgotten", get(async |_: Caller| "in"))
        .layer(TokenLayer::new(login(&tokens).with_noun("access token")).optional())
        .layer(map_response(as_json));
    let good = bearer(issue(&tokens).expose_secret());
    let json = |code: &str, message: &str| {
        serde_json::json!({ "error": code, "message": message }).to_string()
    };
    let not_valid =
        json("token_not_valid", "The access token is not valid. Check it, or create a new one.");
    let needed = json("token_needed", "No access token was sent. Send one by Basic or Bearer.");
    let missing = json("scope_missing", "The access token may not do this.");
    // By the layer, by `require`, by an extractor, by a handler.
    let reply = get_with(&app, "/", "Bearer acme_x").await;
    is(&reply, 401, &not_valid);
    assert_eq!(reply.challenges().len(), 2);
    for path in ["/require", "/", "/refusal"] {
        let reply = call(&app, request("GET", path, None)).await;
        is(&reply, 401, &needed);
        assert_eq!(reply.challenges(), BOTH, "{path}");
    }
    is(&get_with(&app, "/require", &good).await, 403, &missing);
    is(&call(&app, request("PUT", "/", Some(&good))).await, 403, &missing);
    let forgotten = "The server is not set up: this route has no `require` layer.";
    is(&get_with(&app, "/forgotten", &good).await, 500, &json("not_set_up", forgotten));
    // The host's own answers are not the crate's.
    is(&get_with(&app, "/", &good).await, 200, "alice reads");
    is(&get_with(&app, "/403", &good).await, 403, "{}");
}

/// As in the docs of `Answer::into_response`. A nested service has set the length for the text.
#[tokio::test]
async fn a_text_that_is_replaced_around_a_nested_service_has_its_own_length() {
    let api = routes().layer(TokenLayer::new(login(&tokens())));
    let replace = async |mut response: Response| {
        let answer = response.extensions_mut().remove::<Answer>().unwrap();
        response.headers_mut().remove(CONTENT_LENGTH);
        *response.body_mut() = answer.code.into();
        response
    };
    let app = Router::new().nest_service("/api", api).layer(map_response(replace));
    let reply = call(&app, request("GET", "/api/", None)).await;
    assert_eq!((reply.status, &*reply.body), (401, "token_needed"));
    assert!(reply.headers.get(CONTENT_LENGTH).is_none_or(|length| length == "12"));
}
