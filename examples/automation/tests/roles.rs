//! What a role may do, and who may grant what.

mod common;

use common::{JSON, Place, basic, bearer};

#[test]
fn a_role_includes_the_lower_ones_and_a_custom_role_stands_alone() {
    let place = Place::new();
    let server = place.start_with(&["--endpoint", "/release=release-runner"]);
    let calls = [
        (
            "GET",
            "/api/v1/variable",
            ["reader", "adam@ironmansoftware.onmicrosoft.com", "jane"].as_slice(),
        ),
        ("PUT", "/api/v1/variable/x", &["adam@ironmansoftware.onmicrosoft.com", "jane"]),
        ("GET", "/api/v1/identity", &["jane"]),
        ("GET", "/release", &["release"]),
    ];
    let people = ["reader", "adam@ironmansoftware.onmicrosoft.com", "jane", "release"];
    let tokens = people.map(|name| (name, server.grant(name).1));
    for (method, path, may) in calls {
        for (name, token) in &tokens {
            let status = server.status(method, path, token);
            let is_allowed = (200..300).contains(&status);
            assert_eq!(is_allowed, may.contains(name), "{name}: {method} {path}: {status}");
            assert!(is_allowed || status == 403, "{name}: {method} {path}: {status}");
        }
    }
}

#[test]
fn a_token_can_do_no_more_than_its_identity_today() {
    let place = Place::new();
    let server = place.start();
    let (_, token) = server.grant("jane");
    assert_eq!(server.status("PUT", "/api/v1/variable/x", &token), 204);
    place.change_users("roles=Administrator\nadam", "roles=Reader\nadam");
    assert_eq!(server.status("GET", "/api/v1/variable", &token), 200);
    let answer = server.request("PUT", "/api/v1/variable/x", &[&bearer(&token)], "value");
    answer.is(403, "needs the role Operator, which your identity does not have");
    place.change_users("jane        1  -  HASH", "jane        1  -  !HASH");
    assert_eq!(server.status("GET", "/api/v1/variable", &token), 401, "disabled");
}

#[test]
fn a_grant_may_ask_for_less_and_never_for_more() {
    let place = Place::new();
    let server = place.start();
    let admin = server.sign_in("admin");
    let grant = |id: &str, body: &str| {
        server.request("POST", &format!("/api/v1/apptoken/grant/{id}"), &[&admin, JSON], body)
    };
    let answer = grant("2", r#"{"role":"Reader","expiration":"2027-03-01"}"#);
    let token = answer.json();
    assert_eq!(
        (&token["role"], &token["expiration"]),
        (&"Reader".into(), &"2027-03-01T23:59:59Z".into())
    );
    assert_eq!(server.status("PUT", "/api/v1/variable/x", &answer.granted().1), 403);
    for (body, words) in [
        (r#"{"role":"Administrator"}"#, "one that the identity has"),
        (r#"{"role":""}"#, "one that the identity has"),
        (r#"{"role":"release-runner"}"#, "one that the identity has"),
        (r#"{"expiration":"soon"}"#, "must be a day"),
        (r#"{"expiration":"2027-03-01","lifespanDays":1}"#, "not both"),
        (r#"{"expires":"2027-03-01"}"#, "check its fields"),
        ("{", "check its fields"),
    ] {
        grant("2", body).is(400, words);
    }
    grant("2", r#"{"lifespanDays":731}"#).is(400, "730 days");
    grant("2", r#"{"lifespanDays":0}"#).is(400, "");
    grant("9", "").is(404, "no identity");
    grant("7", "").is(403, "disabled");
}

#[test]
fn an_identitys_tokens_are_limited_and_the_limit_is_said() {
    let place = Place::with_policy("max_per_owner = 1");
    let server = place.start();
    let cookie = server.sign_in("admin");
    let grant = || server.request("GET", "/api/v1/apptoken/grant", &[&cookie], "");
    grant().granted();
    grant().is(409, "revoke one first");
}

#[test]
fn only_an_administrator_sees_and_revokes_what_is_another_identitys() {
    let place = Place::new();
    let server = place.start();
    let (of_jane, _) = server.grant("jane");
    let (own, text) = server.grant("reader");
    let by_token = bearer(&text);
    let by_session = server.sign_in("reader");
    for header in [&by_token, &by_session] {
        let path = format!("/api/v1/apptoken/{of_jane}");
        server.request("GET", &path, &[header], "").is(404, "no such token");
        server.request("DELETE", &path, &[header], "").is(404, "no such token");
        let all = "/api/v1/apptoken?identity=1";
        server.request("GET", all, &[header], "").is(403, "only an administrator");
        let listed = server.request("GET", "/api/v1/apptoken", &[header], "").json();
        assert_eq!(listed.as_array().unwrap().len(), 1);
        assert_eq!(listed[0]["id"], own);
    }
    // An Administrator's token that was asked to be a Reader's doesn't see more, either.
    let admin = server.sign_in("admin");
    let wish = r#"{"role":"Reader"}"#;
    let less = server.request("POST", "/api/v1/apptoken/grant", &[&admin, JSON], wish).granted().1;
    let listed = server.request("GET", "/api/v1/apptoken", &[&bearer(&less)], "").json();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    let of_admin = server.request("POST", "/api/v1/apptoken/grant", &[&admin, JSON], "{}");
    let path = format!("/api/v1/apptoken/{}", of_admin.granted().0);
    server.request("DELETE", &path, &[&bearer(&less)], "").is(403, "a token can revoke itself");
    // Its own holder may revoke it.
    let path = format!("/api/v1/apptoken/{own}");
    assert_eq!(server.request("DELETE", &path, &[&by_token], "").json()["revoked"], true);
    assert_eq!(server.status("GET", "/api/v1/variable", &text), 401);
}

#[test]
fn a_token_also_enters_by_basic_with_the_right_name_only() {
    let place = Place::new();
    let server = place.start();
    let (_, text) = server.grant("reader");
    let by = |name: &str| {
        let header = basic(&format!("{name}:{text}"));
        server.request("GET", "/api/v1/variable", &[&header], "").status
    };
    assert_eq!([by("reader"), by("admin"), by("")], [200, 401, 200]);
    let password = basic("reader:test");
    assert_eq!(server.request("GET", "/api/v1/variable", &[&password], "").status, 401);
}

#[test]
fn a_policy_that_gives_roles_another_meaning_is_refused_at_the_start() {
    let place = Place::new();
    let policy = std::fs::read_to_string(place.path("policy.toml")).unwrap();
    let (head, _) = policy.split_once("[scopes]").unwrap();
    for scopes in [
        "Administrator = ['Reader']\nOperator = ['Reader']\nReader = []",
        "Administrator = ['Reader', 'x']\nOperator = []\nReader = []\nx = []",
        "Administrator = ['Reader']\nReader = []",
        concat!(
            "Administrator = ['Operator', 'Reader']\nOperator = ['Reader']\n",
            "Reader = []\nmine = ['Reader']"
        ),
        "",
    ] {
        std::fs::write(place.path("policy.toml"), format!("{head}[scopes]\n{scopes}\n")).unwrap();
        let said = place.refused(&[]);
        assert!(said.contains("must have the [scopes] of"), "{said}");
    }
    std::fs::write(place.path("policy.toml"), policy).unwrap();
}

#[test]
fn an_endpoint_without_a_role_or_with_a_path_that_is_taken_is_refused_at_the_start() {
    let place = Place::new();
    for (endpoints, words) in [
        (&["/x=deployer"][..], "there is no role \"deployer\""),
        (&["/x=Reader", "/x=Operator"], "given twice"),
        (&["/tokens=Reader"], "the server has paths there"),
        (&["/tokens/x=Reader"], "the server has paths there"),
        (&["/oauth/revoke=Reader"], "the server has paths there"),
        (&["/api=Reader"], "the server has paths there"),
        (&["//x=Reader"], "the server has paths there"),
        (&["/{x}=Reader"], "write a path"),
    ] {
        let options: Vec<&str> = endpoints.iter().flat_map(|path| ["--endpoint", path]).collect();
        let said = place.refused(&options);
        assert!(said.contains(words), "{endpoints:?}: {said}");
    }
}

#[test]
fn a_token_of_a_custom_role_sees_no_part_of_the_management_api_and_revokes_itself() {
    let place = Place::new();
    let server = place.start();
    let (id, text) = server.grant("release");
    let own = format!("/api/v1/apptoken/{id}");
    for path in ["/api/v1/apptoken", &own] {
        server.request("GET", path, &[&bearer(&text)], "").is(403, "with the role Reader");
        let session = server.sign_in("release");
        server.request("GET", path, &[&session], "").is(200, &id);
    }
    server.request("DELETE", &own, &[&bearer(&text)], "").is(200, "\"revoked\":true");
}
