//! The audit log: one line for each refused login at each door, in the form that fail2ban reads.

mod common;

use std::path::Path;

use common::browser::Browser;
use common::{Cloud, basic, bearer};
use serde_json::Value;
use support::fail2ban::guesses;
use tempfile::TempDir;

const ALICE: &str = "alice:her secret";
const MISTYPED: &str = "cloud_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92";

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn start(data: &Path, more: &[&str]) -> Cloud {
    let log = data.join("audit.log");
    let options = ["--user", ALICE, "--user", "bob:his secret", "--audit", log.to_str().unwrap()];
    Cloud::start(data, &[&options, more].concat())
}

/// Returns the lines about refused logins.
fn refused(data: &Path) -> Vec<Value> {
    let log = std::fs::read_to_string(data.join("audit.log")).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines
        .filter(|line| {
            ["sign-in refused", "token denied"].contains(&line["message"].as_str().unwrap())
        })
        .collect()
}

/// Each door that takes a token, with a method that it answers.
const DOORS: [(&str, &str); 8] = [
    ("PROPFIND", "/dav/"),
    ("GET", "/dav/file"),
    ("REPORT", "/calendars/personal/"),
    ("PROPFIND", "/contacts/"),
    ("PROPFIND", "/remote.php/webdav/"),
    ("PROPFIND", "/remote.php/dav/files/alice/"),
    ("GET", "/ocs/v1.php/cloud/user"),
    ("DELETE", "/ocs/v2.php/core/apppassword"),
];

/// Checks that these requests were one line each, and that fail2ban takes so many for guesses.
#[track_caller]
fn assert_lines(data: &Path, reasons: &[&str], guessed: usize) {
    let lines = refused(data);
    let found: Vec<&str> = lines.iter().map(|line| line["reason"].as_str().unwrap()).collect();
    assert_eq!(found, reasons);
    assert!(lines.iter().all(|line| line["address"] == "127.0.0.1"), "{lines:?}");
    if let Some(banned) = guesses(&data.join("audit.log")) {
        assert_eq!(banned, vec!["127.0.0.1"; guessed]);
    }
}

#[test]
fn at_every_door_for_tokens_a_guess_is_a_line_that_fail2ban_counts() {
    let (data, elsewhere) = (folder(), folder());
    let cloud = start(data.path(), &[]);
    let (_, foreign) = Cloud::with_alice_and_bob(elsewhere.path())
        .create(ALICE, r#"{"label": "of another cloud"}"#);
    let mut expected = Vec::new();
    for (method, path) in DOORS {
        for (header, reason) in [
            (bearer(MISTYPED), "mistyped"),
            (basic(&format!("alice:{foreign}")), "unknown"),
            (basic("alice:hunter2"), "not a token of this service"),
            (basic(ALICE), "not a token of this service"),
        ] {
            let answer = cloud.request(method, path, &[&header], "");
            assert_eq!(answer.status, 401, "{method} {path}: {reason}");
            expected.push(reason);
        }
    }
    assert_lines(data.path(), &expected, expected.len());
}

#[test]
fn another_users_name_is_a_guess_and_what_a_forgotten_device_sends_is_none() {
    let data = folder();
    let cloud = start(data.path(), &[]);
    let (id, revoked) = cloud.create(ALICE, r#"{"label": "x"}"#);
    assert_eq!(cloud.dav("PROPFIND", "/dav/", &basic(&format!("bob:{revoked}"))), 401);
    assert_eq!(cloud.api(ALICE, "DELETE", &format!("/api/tokens/{id}"), "").status, 204);
    assert_eq!(cloud.dav("PROPFIND", "/dav/", &bearer(&revoked)), 401);
    assert_eq!(cloud.dav("PROPFIND", "/dav/", "X-Nothing: here"), 401);
    assert_lines(data.path(), &["other_owner", "revoked"], 1);
}

#[test]
fn at_every_door_for_main_passwords_a_guess_is_a_line_that_fail2ban_counts() {
    let data = folder();
    let cloud = start(data.path(), &["--accept-passwords", "--ask-again-after", "0s"]);
    let (wrong, token) = ("wrong name or password", "an app token instead of the main password");
    let (_, text) = cloud.create(ALICE, r#"{"label": "x"}"#);

    assert_eq!(cloud.dav("PROPFIND", "/dav/", &basic("alice:wrong")), 401);
    for header in [basic("alice:wrong"), bearer("wrong")] {
        assert_eq!(cloud.request("GET", "/api/tokens", &[&header], "").status, 401);
    }
    let browser = Browser::new(&cloud);
    assert_eq!(browser.sign_in("alice:wrong").status, 401);
    assert_eq!(browser.sign_in(ALICE).status, 303);
    assert_eq!(browser.post("/again", &[("password", "wrong")]).status, 401);
    let begun = cloud.request("POST", "/index.php/login/v2", &[], "").json();
    let page = begun["login"].as_str().unwrap().split_once("/login/").unwrap().1;
    let fields = [("answer", "grant"), ("access", "files:read"), ("password", "wrong")];
    assert_eq!(browser.post(&format!("/login/{page}"), &fields).status, 401);
    // A token in the wrong place is a mistake of its owner.
    for header in [basic(&format!("alice:{text}")), bearer(&text)] {
        assert_eq!(cloud.request("GET", "/api/tokens", &[&header], "").status, 401);
    }
    assert_eq!(browser.sign_in(&format!("alice:{text}")).status, 401);
    let unreadable = "Authorization: Basic ???";
    assert_eq!(cloud.request("GET", "/api/tokens", &[unreadable], "").status, 401);

    let lines = refused(data.path());
    let last = lines.last().unwrap()["reason"].as_str().unwrap();
    assert_lines(data.path(), &[&[wrong; 6][..], &[token; 3], &[last]].concat(), 7);
}
