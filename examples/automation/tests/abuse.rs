//! What a thief, another site, or a mistaken program tries.

mod common;

use app_tokens::clock::{Clock as _, SystemClock};
use common::{FORM, JSON, Place, Server, basic, bearer, cookie};

const GRANT: &str = "/api/v1/apptoken/grant";

#[test]
fn a_token_grants_no_token_not_even_an_administrators() {
    let place = Place::new();
    let server = place.start();
    let (_, text) = server.grant("admin");
    for path in [GRANT, "/api/v1/apptoken/grant/2", "/api/v1/appToken/grant"] {
        for method in ["GET", "POST"] {
            let answer = server.request(method, path, &[&bearer(&text)], "");
            answer.is(403, "an App Token can't grant App Tokens");
        }
    }
    // With a session beside it, the token still decides.
    let cookie = server.sign_in("admin");
    server.request("POST", GRANT, &[&cookie, &bearer(&text)], "").is(403, "can't grant");
    // It opens no session, either.
    let body = format!(r#"{{"username":"admin","password":"{text}"}}"#);
    server.request("POST", "/api/v1/signin", &[JSON], &body).is(403, "opens no session");
}

#[test]
fn a_get_that_changes_something_is_for_programs_and_never_for_a_browser() {
    let place = Place::new();
    let server = place.start();
    let cookie = server.sign_in("admin");
    let ours = format!("Origin: http://{}", server.address);
    for sign in ["cross-site", "same-site", "same-origin", "none"] {
        let header = format!("Sec-Fetch-Site: {sign}");
        let why = if sign.starts_with("same-o") || sign == "none" { "grant by POST" } else { "" };
        server.request("GET", GRANT, &[&cookie, &header], "").is(403, why);
    }
    server.request("GET", GRANT, &[&cookie, &ours], "").is(403, "grant by POST");
    // Without TLS, an image of another port of this machine brings none of these.
    let image = "Accept-Language: en";
    server.request("GET", GRANT, &[&cookie, image], "").is(403, "grant by POST");
    // The same-origin POST beside it works.
    server.request("POST", GRANT, &[&cookie, &ours], "").granted();
    assert_eq!(server.request("HEAD", GRANT, &[&cookie], "").status, 403, "its text would be lost");
    let listed = server.request("GET", "/api/v1/apptoken", &[&cookie], "").json();
    assert_eq!(listed.as_array().unwrap().len(), 1, "one was granted");
}

#[test]
fn another_site_changes_nothing_with_a_session_that_a_browser_has() {
    let place = Place::new();
    let server = place.start_with(&["--endpoint", "/hook=Reader"]);
    let cookie = server.sign_in("admin");
    let foreign = "Origin: http://evil.example";
    for (method, path) in [
        ("POST", GRANT),
        ("GET", "/hook"),
        ("POST", "/api/v1/apptoken/grant/2"),
        ("PUT", "/api/v1/variable/x"),
        ("DELETE", "/api/v1/apptoken/askgagkera"),
    ] {
        let answer = server.request(method, path, &[&cookie, foreign], "");
        answer.is(403, "another site sent this request");
    }
    // A browser may have remembered a token that was sent by Basic.
    let token = basic(&format!("reader:{}", server.grant("reader").1));
    let answer = server.request("POST", "/hook", &[&token, foreign], "");
    answer.is(403, "another site sent this request");
    assert_eq!(server.request("POST", "/hook", &[&token], "").status, 200);
    let body = r#"{"username":"admin","password":"test"}"#;
    server.request("POST", "/api/v1/signin", &[JSON, foreign], body).is(403, "another site");
    // A form can't claim to be JSON.
    server.request("POST", "/api/v1/signin", &[FORM], body).is(415, "send JSON");
    server.request("POST", "/api/v1/signout", &[&cookie, foreign], "").is(403, "another site");
    assert_eq!(server.request("POST", "/api/v1/signout", &[&cookie], "").status, 204);
    let answer = server.request("POST", GRANT, &[&cookie], "");
    assert_eq!(answer.status, 401, "a stolen cookie is worth nothing after the sign-out");
}

#[test]
fn an_old_sign_in_grants_nothing_and_still_lists() {
    let place = Place::new();
    let server = place.start_with(&["--ask-again-after", "0s"]);
    let cookie = server.sign_in("admin");
    server.request("POST", GRANT, &[&cookie], "").is(403, "sign in again");
    assert_eq!(server.request("GET", "/api/v1/apptoken", &[&cookie], "").status, 200);
}

#[test]
fn a_login_proxy_names_the_person_and_nobody_else_can() {
    let place = Place::new();
    let name = "Remote-User: admin";
    let sign_in = |from: &str, headers: &[&str]| {
        let server = place.start_with(&["--sso-header", "Remote-User", "--sso-from", from]);
        let body = r#"{"username":"admin","password":"test"}"#;
        server.request("POST", "/api/v1/signin", &[&[JSON], headers].concat(), body)
    };
    assert_eq!(sign_in("127.0.0.1", &[name]).json()["name"], "admin");
    sign_in("127.0.0.1", &[]).is(401, "at the proxy");
    sign_in("127.0.0.1", &["Remote-User: gone"]).is(401, "at the proxy");
    sign_in("192.0.2.1", &[name]).is(401, "at the proxy");
}

#[test]
fn what_the_proxy_names_grants_only_after_a_sign_in_that_the_proxy_dates() {
    let place = Place::new();
    let proxy = ["--sso-header", "Remote-User", "--sso-from", "127.0.0.1"];
    let now = SystemClock.now().as_unix();
    let just_now = format!("X-Auth-Time: {now}");
    let hour_ago = format!("X-Auth-Time: {}", now - 3600);
    let grant = |server: &Server, headers: &[&str]| {
        let headers = [&[JSON, "Remote-User: admin"], headers].concat();
        let cookie = cookie(&server.request("POST", "/api/v1/signin", &headers, ""));
        let listed = server.request("GET", "/api/v1/apptoken", &[&cookie, headers[1]], "");
        assert_eq!(listed.status, 200, "it is a session in any case");
        server.request("POST", GRANT, &[&cookie, headers[1]], "")
    };
    let dated = place.start_with(&[&proxy[..], &["--sso-time-header", "X-Auth-Time"]].concat());
    for old in [&[][..], &[&*hour_ago], &[&*just_now, &hour_ago]] {
        grant(&dated, old).is(403, "must say that you signed in just now");
    }
    grant(&dated, &[&just_now]).granted();
    // Without that header, a client's own proves nothing.
    let undated = place.start_with(&proxy);
    for sent in [&[][..], &[&*just_now]] {
        grant(&undated, sent).is(403, "must say that you signed in just now");
    }
}

#[test]
fn a_session_is_its_persons_only_while_the_proxy_names_them() {
    let place = Place::new();
    let proxy = ["--sso-header", "Remote-User", "--sso-from", "127.0.0.1"];
    let server = place.start_with(&proxy);
    let admin = "Remote-User: admin";
    let cookie = cookie(&server.request("POST", "/api/v1/signin", &[JSON, admin], ""));
    let list = |headers: &[&str]| {
        let headers = [&[&*cookie], headers].concat();
        server.request("GET", "/api/v1/apptoken", &headers, "").status
    };
    assert_eq!(list(&[admin]), 200);
    assert_eq!(list(&["Remote-User: reader"]), 401, "another person at the same browser");
    assert_eq!(list(&[]), 401, "they signed out at the proxy");
    assert_eq!(list(&[admin, "Remote-User: reader"]), 401);
}

#[test]
fn requests_that_only_a_proxy_names_leave_few_sessions() {
    let place = Place::new();
    let proxy = ["--sso-header", "Remote-User", "--sso-from", "127.0.0.1"];
    let server = place.start_with(&proxy);
    let mut page = server.request("GET", "/", &["Remote-User: admin"], "");
    for _ in 0..30 {
        page = server.request("GET", "/", &["Remote-User: admin"], "");
    }
    page.is(200, "Browser sessions <span class=\"soft\">(10)");
    let page = server.request("GET", "/", &["Remote-User: jane"], "");
    page.is(200, "Browser sessions <span class=\"soft\">(1)");
}

#[test]
fn guesses_are_stopped_and_the_right_password_waits_too() {
    let place = Place::new();
    let server = place.start();
    let guess = |password: &str| {
        let body = format!(r#"{{"username":"admin","password":"{password}"}}"#);
        server.request("POST", "/api/v1/signin", &[JSON], &body)
    };
    for _ in 0..10 {
        guess("guess").is(401, "the name or the password is wrong");
    }
    let stopped = guess("test");
    stopped.is(429, "too many wrong passwords");
    assert!(stopped.header("retry-after").is_some());
    // Tokens are not guessed, so they go on.
    let (_, text) = server.grant("reader");
    assert_eq!(server.status("GET", "/api/v1/variable", &text), 200);
}

#[test]
fn an_operators_token_fills_no_memory_with_variables() {
    let place = Place::new();
    let server = place.start();
    let (_, text) = server.grant("jane");
    let put = |name: &str, value: &str| {
        let path = format!("/api/v1/variable/{name}");
        server.request("PUT", &path, &[&bearer(&text)], value)
    };
    put("x", &"x".repeat(64 * 1024 + 1)).is(400, "at most 4 KiB");
    put("x", &"x".repeat(4097)).is(400, "at most 4 KiB");
    put(&"x".repeat(101), "").is(400, "a name of 100 bytes");
    for name in 0..1000 {
        assert_eq!(put(&name.to_string(), "").status, 204);
    }
    put("one-more", "").is(409, "delete some");
    assert_eq!(put("0", "again").status, 204);
}

#[test]
fn no_answer_repeats_what_was_sent() {
    let place = Place::new();
    let server = place.start();
    let cookie = server.sign_in("admin");
    let secret = "hunter2hunter2";
    let json = format!(r#"{{"username":"admin","password":"{secret}","{secret}":1}}"#);
    let form = format!("{secret}={secret}");
    for (method, path, headers, body) in [
        ("POST", "/api/v1/signin", [JSON, ""].as_slice(), &*json),
        ("POST", GRANT, &[JSON, &cookie], &format!(r#"{{"role":"{secret}"}}"#)),
        ("GET", &format!("/api/v1/apptoken/{secret}"), &[&*cookie], ""),
        ("GET", &format!("/api/v1/apptoken?{form}"), &[&*cookie], ""),
        ("DELETE", &format!("/api/v1/variable/{secret}"), &[&*cookie], ""),
        ("GET", &format!("/api/{secret}"), &[], ""),
        ("POST", "/oauth/revoke", &[FORM], &form),
    ] {
        let headers: Vec<&str> = headers.iter().copied().filter(|line| !line.is_empty()).collect();
        let answer = server.request(method, path, &headers, body);
        assert!((400..500).contains(&answer.status), "{path}: {}", answer.body);
        assert!(!answer.body.contains(secret), "{path}: {}", answer.body);
        assert!(answer.body.contains("reason") || answer.body.contains("error"), "{path}");
    }
}
