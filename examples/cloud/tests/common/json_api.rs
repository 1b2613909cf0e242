//! Calls of the JSON API, as Alice.

use serde_json::Value;
use tempfile::TempDir;

use super::{Answer, Cloud};

pub const ALICE: &str = "alice:her secret";
pub const BOB: &str = "bob:his secret";
pub const NOBODYS: &str = "zzzzzzzzzz";

pub fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Returns Alice's app passwords, the newest first.
pub fn list(cloud: &Cloud) -> Vec<Value> {
    cloud.tokens(ALICE)
}

pub fn line(cloud: &Cloud, id: &str) -> Value {
    list(cloud).into_iter().find(|line| line["id"] == id).unwrap()
}

pub fn change(cloud: &Cloud, id: &str, body: &str) -> Answer {
    cloud.api(ALICE, "PATCH", &format!("/api/tokens/{id}"), body)
}

pub fn rotate(cloud: &Cloud, id: &str, body: &str) -> Answer {
    cloud.api(ALICE, "POST", &format!("/api/tokens/{id}/rotate"), body)
}

pub fn revoke_others(cloud: &Cloud, except: &str) -> Answer {
    cloud.api(ALICE, "DELETE", &format!("/api/tokens?except={except}"), "")
}

#[track_caller]
pub fn id_and_token(answer: &Answer) -> (String, String) {
    assert_eq!(answer.status, 201, "{}", answer.body);
    let shown = answer.json();
    (shown["id"].as_str().unwrap().to_owned(), shown["token"].as_str().unwrap().to_owned())
}

#[track_caller]
pub fn assert_refused(answer: &Answer, status: u16, reason: &str) {
    assert_eq!(answer.status, status, "{}", answer.body);
    let said = answer.json()["reason"].as_str().unwrap().to_owned();
    assert!(said.contains(reason), "{said}");
}

// -- label, end, scopes
