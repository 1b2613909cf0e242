//! Token introspection (RFC 7662) and revocation (RFC 7009).

mod common;

use common::{Answer, FORM, Place, Server, bearer};
use serde_json::json;

fn introspect(server: &Server, by: &str, token: &str) -> Answer {
    let body = format!("token={token}&token_type_hint=access_token");
    server.request("POST", "/oauth/introspect", &[FORM, &bearer(by)], &body)
}

fn revoke(server: &Server, token: &str) -> Answer {
    server.request("POST", "/oauth/revoke", &[FORM], &format!("token={token}"))
}

#[test]
fn an_active_token_is_described_and_every_other_text_is_only_inactive() {
    let place = Place::new();
    let server = place.start();
    let (_, by) = server.grant("reader");
    let (_, text) = server.grant("admin");
    let answer = introspect(&server, &by, &text);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let told = answer.json();
    assert_eq!(told["active"], true);
    assert_eq!(told["scope"], "Administrator Operator Reader");
    assert_eq!((&told["username"], &told["sub"]), (&"admin".into(), &"3".into()));
    assert_eq!(told["token_type"], "Bearer");
    let life = told["exp"].as_i64().unwrap() - told["iat"].as_i64().unwrap();
    assert_eq!(life, 365 * 86_400);

    let inactive = json!({ "active": false });
    let (_, ended) = server.grant("admin");
    assert_eq!(revoke(&server, &ended).status, 200);
    for text in [&*ended, &text[..text.len() - 1], "", "hunter2", "psu_x"] {
        let answer = introspect(&server, &by, text);
        assert_eq!((answer.status, answer.json()), (200, inactive.clone()), "{text:?}");
    }
    // What the identity lost, its token has no more.
    place.change_users("roles=Administrator,Operator,Reader", "roles=Reader");
    assert_eq!(introspect(&server, &by, &text).json()["scope"], "Reader");
    place.change_users("admin       3  -  HASH", "admin       3  -  !HASH");
    assert_eq!(introspect(&server, &by, &text).json(), inactive);
}

#[test]
fn introspection_needs_a_token_with_a_role_and_counts_as_no_use() {
    let place = Place::new();
    let server = place.start();
    let (id, text) = server.grant("admin");
    let (_, by) = server.grant("reader");
    let body = format!("token={text}");
    let nobody = server.request("POST", "/oauth/introspect", &[FORM], &body);
    assert_eq!(nobody.status, 401);
    assert!(nobody.head.to_lowercase().contains("www-authenticate: bearer"));
    let (_, runner) = server.grant("release");
    assert_eq!(introspect(&server, &runner, &text).status, 403);
    assert_eq!(introspect(&server, &by, &text).status, 200);
    for body in ["", "tokens=x", "token=a&token=b"] {
        let answer = server.request("POST", "/oauth/introspect", &[FORM, &bearer(&by)], body);
        assert_eq!(answer.status, 400, "{body}");
        assert_eq!(answer.json()["error"], "invalid_request");
    }
    server.end();
    let used = place.audited("token used for the first time");
    assert!(used.iter().all(|line| line["id"] != id), "only the callers' own: {used:?}");
}

/// The asking server doesn't say where its client is. So it must not let it in.
#[test]
fn a_token_for_some_networks_is_inactive_to_other_servers_and_its_holder_may_revoke_it() {
    let place = Place::new();
    place.start().end();
    let wish = ["--owner", "3", "--label", "office", "--scope", "Reader"];
    let text = place.admin("", &[&["issue"], &wish[..], &["--network", "127.0.0.1/32"]].concat());
    let text = text.trim();
    let server = place.start();
    let (_, by) = server.grant("reader");
    assert_eq!(server.status("GET", "/api/v1/variable", text), 200);
    assert_eq!(introspect(&server, &by, text).json(), json!({ "active": false }));
    assert_eq!(revoke(&server, text).status, 200);
    assert_eq!(server.status("GET", "/api/v1/variable", text), 401);
}

#[test]
fn a_holder_revokes_exactly_the_token_that_it_shows() {
    let place = Place::new();
    let server = place.start();
    let (_, text) = server.grant("admin");
    let (_, other) = server.grant("admin");
    // RFC 7009, 2.2: an invalid token is no error.
    for nothing in [&text[..text.len() - 1], "hunter2", ""] {
        assert_eq!(revoke(&server, nothing).status, 200, "{nothing:?}");
    }
    assert_eq!(server.status("GET", "/api/v1/variable", &text), 200);
    assert_eq!(revoke(&server, &text).status, 200);
    assert_eq!(server.status("GET", "/api/v1/variable", &text), 401);
    assert_eq!(revoke(&server, &text).status, 200, "again");
    assert_eq!(server.status("GET", "/api/v1/variable", &other), 200);
    let answer = server.request("POST", "/oauth/revoke", &[FORM], "");
    assert_eq!(answer.json()["error"], "invalid_request");
}
