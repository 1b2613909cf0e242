//! The audit log, the start and the end: what an operator of any host gets.

mod common;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use common::{JSON, Place, Server, basic, bearer};
use support::fail2ban::guesses;

#[test]
fn each_refused_login_is_one_line_and_fail2ban_takes_guesses_for_guesses() {
    let place = Place::new();
    let server = place.start();
    let (_, text) = server.grant("reader");
    let (id, revoked) = server.grant("reader");
    server.request("DELETE", &format!("/api/v1/apptoken/{id}"), &[&bearer(&revoked)], "");
    let get = |header: &str| server.request("GET", "/api/v1/variable", &[header], "").status;
    let wrong = r#"{"username":"admin","password":"wrong"}"#;

    // A guess each, with one line each.
    assert_eq!(server.request("POST", "/api/v1/signin", &[JSON], wrong).status, 401);
    assert_eq!(get(&basic("reader:test")), 401, "the main password");
    assert_eq!(get(&bearer("hunter2")), 401);
    assert_eq!(get(&bearer("psu_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92")), 401, "mistyped");
    assert_eq!(get(&basic(&format!("admin:{text}"))), 401, "another's name");
    // No guess: a device that still has a revoked token, a client that begins without one, success.
    assert_eq!(get(&bearer(&revoked)), 401);
    assert_eq!(get("X-Nothing: here"), 401);
    assert_eq!(get(&bearer(&text)), 200);
    server.end();

    let refused = place.audited("sign-in refused");
    let reasons: Vec<&str> = refused.iter().map(|line| line["reason"].as_str().unwrap()).collect();
    let expected =
        ["wrong name or password", "not a token of this service", "not a token of this service"];
    assert_eq!(reasons, expected);
    assert_eq!(refused[0]["account"], "admin");
    let denied = place.audited("token denied");
    let reasons: Vec<&str> = denied.iter().map(|line| line["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["mistyped", "other_owner", "revoked"]);
    assert_eq!(denied[2]["id"], id);
    assert!(refused.iter().chain(&denied).all(|line| line["address"] == "127.0.0.1"));
    if let Some(banned) = guesses(&place.path("audit.log")) {
        assert_eq!(banned, ["127.0.0.1"; 5]);
    }
}

#[test]
fn no_client_can_write_a_line_or_a_field_of_the_log_nor_a_secret_into_it() {
    let place = Place::new();
    let server = place.start();
    let (_, text) = server.grant("reader");
    let forged = r#"x\",\"address\":\"192.0.2.1\",\"y\":\"\n{\"address\":\"192.0.2.2\"}"#;
    let sign_in = |name: &str, password: &str| {
        let body = format!(r#"{{"username":"{name}","password":"{password}"}}"#);
        server.request("POST", "/api/v1/signin", &[JSON], &body)
    };
    sign_in(forged, "wrong").is(401, "");
    // People type into the wrong field.
    sign_in(&text, "wrong").is(401, "");
    sign_in("admin", &text).is(403, "");
    let agent = format!("User-Agent: \",\"address\":\"192.0.2.3\",\"token\":\"{text}");
    let unknown = bearer("psu_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92");
    server.request("GET", "/api/v1/variable", &[&agent, &unknown], "").is(401, "");
    server.request("GET", "/api/v1/variable", &[&basic(&format!("{text}:x"))], "").is(401, "");
    server.end();
    for line in place.audit() {
        assert!(line["address"].is_null() || line["address"] == "127.0.0.1", "{line}");
        assert!(!line.to_string().contains(&text[text.len() - 30..]), "{line}");
    }
    // fail2ban leaves out the machine's own addresses.
    let log = std::fs::read_to_string(place.path("audit.log")).unwrap();
    let plain = place.path("plain.log");
    std::fs::write(&plain, log.replace("127.0.0.1", "192.0.2.200")).unwrap();
    if let Some(banned) = guesses(&plain) {
        assert!(!banned.is_empty());
        assert!(banned.iter().all(|address| address == "192.0.2.200"), "{banned:?}");
    }
}

#[cfg(unix)]
#[test]
fn the_log_is_for_its_owner_only_and_is_appended_to() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new();
    place.start().end();
    place.start().end();
    let mode = std::fs::metadata(place.path("audit.log")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(place.audited("automation started").len(), 2);
    assert_eq!(place.audited("automation stopped").len(), 2);
}

#[test]
fn a_lost_key_and_another_realm_are_said_at_the_start_and_nothing_is_served() {
    let place = Place::new();
    let server = place.start();
    server.grant("reader");
    server.end();
    let key = place.path("data/tokens.key");
    std::fs::rename(&key, place.path("backup")).unwrap();
    let said = place.refused(&[]);
    assert!(said.contains("is missing, and the store has tokens"), "{said}");
    assert!(!key.exists(), "no new key is made");

    // The key of another server.
    let other = Place::new();
    other.start().end();
    common::copy(&other.path("data/tokens.key"), &key);
    let said = place.refused(&[]);
    assert!(said.contains("the keys don't fit the tokens"), "{said}");

    std::fs::remove_file(&key).unwrap();
    std::fs::rename(place.path("backup"), &key).unwrap();
    let policy = std::fs::read_to_string(place.path("policy.toml")).unwrap();
    let policy = policy.replace("realm = 'automation'", "realm = 'other'");
    std::fs::write(place.path("policy.toml"), policy).unwrap();
    let said = place.refused(&[]);
    assert!(said.contains("correct the realm"), "{said}");
}

/// Begins an upload, and tells the server to end. Returns when it takes no new connection.
fn upload_at_its_end(server: &Server, text: &str) -> TcpStream {
    let mut upload = TcpStream::connect(&server.address).unwrap();
    let head = format!(
        "PUT /api/v1/variable/x HTTP/1.1\r\nHost: {}\r\n{}\r\nExpect: 100-continue\r\n\
         Content-Length: 5\r\nConnection: close\r\n\r\n",
        server.address,
        bearer(text)
    );
    upload.write_all(head.as_bytes()).unwrap();
    // The server asks for the body: the handler has begun to read it.
    let mut asked = [0; 25];
    upload.read_exact(&mut asked).unwrap();
    assert!(asked.starts_with(b"HTTP/1.1 100 Continue"));
    server.tell_to_end();
    while TcpStream::connect(&server.address).is_ok() {
        std::thread::yield_now();
    }
    upload
}

#[test]
fn a_client_that_never_ends_its_request_does_not_hold_up_the_end() {
    let place = Place::new();
    let server = place.start();
    let (_, text) = server.grant("jane");
    let _upload = upload_at_its_end(&server, &text);
    // At once, in place of half a minute.
    server.tell_to_end();
    server.wait();
}

#[test]
fn a_request_that_runs_is_answered_before_the_end_and_last_uses_are_written() {
    let place = Place::new();
    let server = place.start();
    let (id, text) = server.grant("adam@ironmansoftware.onmicrosoft.com");
    let mut upload = upload_at_its_end(&server, &text);
    upload.write_all(b"value").unwrap();
    let mut answer = String::new();
    upload.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    server.wait();

    let store = app_tokens::store::SqliteStore::open(place.path("data/tokens.db")).unwrap();
    let ring = app_tokens::KeyRing::load(place.path("data/tokens.key")).unwrap();
    let policy = app_tokens::Policy::new("psu").unwrap().with_realm("automation").unwrap();
    let tokens = app_tokens::TokenAuthority::new(store, ring, policy);
    let by = app_tokens::Operator::new("test").unwrap();
    let token = tokens.block_on(tokens.find(&by, id.parse().unwrap())).unwrap();
    assert!(token.last_use().is_some(), "the last use was written");
}
