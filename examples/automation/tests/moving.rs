//! Tokens move from one instance to another, which has a key of its own.

mod common;

use std::fs;

use common::Place;
use serde_json::Value;

const ENDPOINT: [&str; 2] = ["--endpoint", "/release=release-runner"];

/// Moves all tokens, and returns what the tool said.
#[track_caller]
fn moved(from: &Place, to: &Place) -> String {
    let key = from.admin("", &["export", "tokens.transfer"]);
    fs::rename(from.path("tokens.transfer"), to.path("tokens.transfer")).unwrap();
    to.admin(&key, &["import", "app-tokens", "tokens.transfer"])
}

/// Returns what the tool shows of a token.
#[track_caller]
fn shown(place: &Place, id: &str) -> Value {
    serde_json::from_str(&place.admin("", &["show", id, "--json"])).unwrap()
}

#[test]
fn tokens_of_one_instance_work_on_the_other_as_they_did() {
    let (old, new) = (Place::new(), Place::new());
    new.start().end();
    let server = old.start_with(&ENDPOINT);
    let [(_, runner), (jane_id, jane), (_, reader), (revoked_id, revoked)] =
        ["release", "jane", "reader", "adam@ironmansoftware.onmicrosoft.com"]
            .map(|name| server.grant(name));
    assert_eq!(server.status("GET", "/api/v1/variable", &jane), 200);
    let path = format!("/api/v1/apptoken/{revoked_id}");
    let session = server.sign_in("admin");
    assert_eq!(server.request("DELETE", &path, &[&session], "").status, 200);
    server.end();

    assert_eq!(moved(&old, &new), "took in 3 tokens and 1 revoked ones; 0 were here already\n");
    let (before, after) = (shown(&old, &jane_id), shown(&new, &jane_id));
    assert!(before["last_used_at"].is_string() && before == after, "{before} {after}");
    let server = new.start_with(&ENDPOINT);
    for (token, statuses) in
        [(&runner, [200, 403, 403]), (&reader, [403, 200, 403]), (&jane, [403, 200, 200])]
    {
        let calls =
            [("POST", "/release"), ("GET", "/api/v1/variable"), ("GET", "/api/v1/identity")];
        assert_eq!(calls.map(|(method, path)| server.status(method, path, token)), statuses);
    }
    assert_eq!(server.status("GET", "/api/v1/variable", &revoked), 401);
    let session = server.sign_in("admin");
    let listed = server.request("GET", &path, &[&session], "").json();
    assert!(listed["revoked"] == true && listed["role"] == "", "{listed}");
    server.end();
}

#[test]
fn what_happened_on_the_old_instance_since_is_carried_over_by_a_second_move() {
    let (old, new) = (Place::new(), Place::new());
    new.start().end();
    let server = old.start();
    let [(lost_id, lost), (_, kept)] = ["reader", "jane"].map(|name| server.grant(name));
    moved(&old, &new);
    let session = server.sign_in("admin");
    let path = format!("/api/v1/apptoken/{lost_id}");
    assert_eq!(server.request("DELETE", &path, &[&session], "").status, 200);
    let (_, later) = server.grant("jane");
    server.end();
    let said = moved(&old, &new);
    assert!(said.contains(&format!("{lost_id} was here already, and is revoked now")), "{said}");
    let server = new.start();
    assert_eq!(server.status("GET", "/api/v1/variable", &lost), 401);
    for good in [&kept, &later] {
        assert_eq!(server.status("GET", "/api/v1/variable", good), 200);
    }
    server.end();
}
