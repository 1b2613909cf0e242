//! The cloud's JSON API: what its OpenAPI file promises, and changes of an app password.

mod common;

use std::collections::BTreeSet;

use common::contract::{self, fits, operations, resolve};
use common::{Answer, Cloud, basic, bearer};
use serde_json::{Value, json};
use tempfile::TempDir;

const ALICE: &str = "alice:her secret";
const BOB: &str = "bob:his secret";
const NOBODYS: &str = "zzzzzzzzzz";

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Returns Alice's app passwords, the newest first.
fn list(cloud: &Cloud) -> Vec<Value> {
    cloud.api(ALICE, "GET", "/api/tokens", "").json().as_array().unwrap().clone()
}

fn line(cloud: &Cloud, id: &str) -> Value {
    list(cloud).into_iter().find(|line| line["id"] == id).unwrap()
}

fn change(cloud: &Cloud, id: &str, body: &str) -> Answer {
    cloud.api(ALICE, "PATCH", &format!("/api/tokens/{id}"), body)
}

fn rotate(cloud: &Cloud, id: &str, body: &str) -> Answer {
    cloud.api(ALICE, "POST", &format!("/api/tokens/{id}/rotate"), body)
}

fn revoke_others(cloud: &Cloud, except: &str) -> Answer {
    cloud.api(ALICE, "DELETE", &format!("/api/tokens?except={except}"), "")
}

#[track_caller]
fn id_and_token(answer: &Answer) -> (String, String) {
    assert_eq!(answer.status, 201, "{}", answer.body);
    let shown = answer.json();
    (shown["id"].as_str().unwrap().to_owned(), shown["token"].as_str().unwrap().to_owned())
}

#[track_caller]
fn assert_refused(answer: &Answer, status: u16, reason: &str) {
    assert_eq!(answer.status, status, "{}", answer.body);
    let said = answer.json()["reason"].as_str().unwrap().to_owned();
    assert!(said.contains(reason), "{said}");
}

// -- label, end, scopes

#[test]
fn a_token_gets_another_label_end_and_access_and_stays_the_same_token() {
    let data = folder();
    let cloud = Cloud::with_alice_and_bob(data.path());
    let (id, token) = cloud.create(ALICE, r#"{"label": "My phone"}"#);
    let made = line(&cloud, &id);

    let renamed = change(&cloud, &id, r#"{"label": " Old phone "}"#);
    assert_eq!((renamed.status, &renamed.json()["label"]), (200, &json!("Old phone")));
    assert_eq!(renamed.json()["expires_at"], made["expires_at"]);

    let sooner = change(&cloud, &id, r#"{"expires_in_days": 7}"#).json()["expires_at"].clone();
    assert!(sooner.as_str() < made["expires_at"].as_str(), "{sooner} {made}");
    let until = change(&cloud, &id, r#"{"expires_at": "2099-12-31T23:00:00-01:00"}"#);
    assert_eq!(until.json()["expires_at"], "2100-01-01T00:00:00Z");
    let day = change(&cloud, &id, r#"{"expires_at": "2099-12-31"}"#);
    assert_eq!(day.json()["expires_at"], "2099-12-31T23:59:59Z", "a day means its end in UTC");

    assert_eq!(cloud.request("PUT", "/dav/file", &[&bearer(&token)], "text").status, 201);
    let narrowed = change(&cloud, &id, r#"{"scopes": ["files:read"]}"#);
    assert_eq!(narrowed.json()["scopes"], json!(["files:read"]));
    assert_eq!(cloud.dav("GET", "/dav/file", &bearer(&token)), 200);
    assert_eq!(cloud.request("PUT", "/dav/file", &[&bearer(&token)], "text").status, 403);

    cloud.kill();
    let cloud = Cloud::with_alice_and_bob(data.path());
    let kept = line(&cloud, &id);
    assert_eq!(
        (&kept["label"], &kept["expires_at"], &kept["scopes"]),
        (&json!("Old phone"), &json!("2099-12-31T23:59:59Z"), &json!(["files:read"]))
    );
    assert_eq!(cloud.dav("PROPFIND", "/dav/", &bearer(&token)), 207);
}

#[test]
fn bad_changes_are_refused_with_a_reason_and_change_nothing() {
    let data = folder();
    let cloud = Cloud::with_alice_and_bob(data.path());
    let wish = r#"{"label": "x", "scopes": ["files:read"]}"#;
    let (id, _) = cloud.create(ALICE, wish);
    let before = list(&cloud);
    let one = "name exactly one change: label, expires_in_days, expires_at or scopes";
    for (body, reason) in [
        ("", one),
        ("{}", one),
        ("[]", one),
        (r#""label""#, one),
        (r#"{"label": "y", "expires_in_days": 5}"#, one),
        (r#"{"scopes": ["files:write"], "scopes": ["files:write"]}"#, one),
        (r#"{"label": "y"} {}"#, one),
        (r#"{"expires_in": 5}"#, "`expires_in`"),
        (r#"{"label": null}"#, "invalid type"),
        (r#"{"label": ""}"#, "the label is empty"),
        (r#"{"label": "a\u202eb"}"#, "the label has a forbidden character, number 2"),
        (r#"{"expires_in_days": 0}"#, "the token would expire as soon as it is made"),
        (r#"{"expires_in_days": -1}"#, "invalid value"),
        (r#"{"expires_in_days": 18446744073709551615}"#, "after the year 9999"),
        (
            r#"{"expires_at": "2001-01-01T00:00:00Z"}"#,
            "the token would expire as soon as it is made",
        ),
        (r#"{"expires_at": "tomorrow"}"#, "expires_at is not an instant between"),
        (r#"{"expires_at": null}"#, "invalid type"),
        (r#"{"scopes": []}"#, "scopes must name read or write of files, calendar or contacts"),
        (
            r#"{"scopes": ["files:all"]}"#,
            "scopes must name read or write of files, calendar or contacts",
        ),
        (r#"{"scopes": ["files:read", "files:write"]}"#, "would do more than it does now"),
        (r#"{"scopes": ["files:write"]}"#, "would do more than it does now"),
    ] {
        assert_refused(&change(&cloud, &id, body), 400, reason);
    }
    assert_eq!(list(&cloud), before);
}

// -- the secret

#[test]
fn a_rotated_token_is_replaced_at_once_by_one_that_is_shown_once() {
    let data = folder();
    let cloud = Cloud::with_alice_and_bob(data.path());
    let (old_id, old) = cloud.create(ALICE, r#"{"label": "x", "scopes": ["files:read"]}"#);
    assert_eq!(cloud.dav("PROPFIND", "/dav/", &bearer(&old)), 207);

    let rotated = rotate(&cloud, &old_id, "");
    assert_eq!(rotated.header("cache-control"), Some("no-store"));
    let (new_id, new) = id_and_token(&rotated);
    assert_ne!(new_id, old_id);
    assert_eq!(cloud.dav("PROPFIND", "/dav/", &bearer(&old)), 401);
    assert_eq!(cloud.dav("PROPFIND", "/dav/", &bearer(&new)), 207);

    let (old_line, new_line) = (line(&cloud, &old_id), line(&cloud, &new_id));
    assert_eq!(old_line["successor"], json!(new_id));
    assert_eq!(old_line["status"], "superseded");
    for same in ["label", "scopes"] {
        assert_eq!(new_line[same], old_line[same]);
    }
    assert!(!cloud.api(ALICE, "GET", "/api/tokens", "").body.contains(&new[20..30]));
    assert_refused(&rotate(&cloud, &old_id, ""), 409, "superseded");
}

#[test]
fn in_an_overlap_both_work_and_the_old_one_can_be_rotated_until_the_new_one_is_used() {
    let data = folder();
    let cloud = Cloud::with_alice_and_bob(data.path());
    let (id, old) = cloud.create(ALICE, r#"{"label": "x"}"#);
    let hour = r#"{"overlap_seconds": 3600}"#;
    let (_, lost) = id_and_token(&rotate(&cloud, &id, hour));
    let (_, new) = id_and_token(&rotate(&cloud, &id, hour));
    assert_eq!(cloud.dav("PROPFIND", "/dav/", &bearer(&lost)), 401, "another took its place");
    assert_eq!(cloud.dav("PROPFIND", "/dav/", &bearer(&old)), 207);
    assert_eq!(cloud.dav("PROPFIND", "/dav/", &bearer(&new)), 207);
    assert_refused(&rotate(&cloud, &id, hour), 409, "the token was already rotated");
    assert_refused(&change(&cloud, &id, r#"{"expires_in_days": 9}"#), 409, "was already rotated");
    assert_refused(&revoke_others(&cloud, &id), 409, "the token was already rotated");
    assert_eq!(cloud.dav("PROPFIND", "/dav/", &bearer(&new)), 207, "nothing was ended");
}

#[test]
fn a_bad_rotation_request_is_refused_and_changes_nothing() {
    let data = folder();
    let cloud = Cloud::with_alice_and_bob(data.path());
    let (id, token) = cloud.create(ALICE, r#"{"label": "x"}"#);
    for (body, reason) in [
        ("{", "EOF while parsing"),
        ("null", "invalid type"),
        (r#"{"overlap": 5}"#, "unknown field `overlap`"),
        (r#"{"overlap_seconds": -1}"#, "invalid value"),
        (r#"{"overlap_seconds": "5"}"#, "invalid type"),
    ] {
        assert_refused(&rotate(&cloud, &id, body), 400, reason);
    }
    assert_eq!(list(&cloud).len(), 1);
    assert_eq!(cloud.dav("PROPFIND", "/dav/", &bearer(&token)), 207);
    for seconds in ["604801", "18446744073709551615"] {
        let body = format!(r#"{{"overlap_seconds": {seconds}}}"#);
        assert_refused(&rotate(&cloud, &id, &body), 400, "stay valid for at most 7 days");
    }
    id_and_token(&rotate(&cloud, &id, r#"{"overlap_seconds": 604800}"#));
    assert_eq!(cloud.dav("PROPFIND", "/dav/", &bearer(&token)), 207);
}

#[test]
fn one_of_several_rotations_at_once_succeeds() {
    let data = folder();
    let cloud = Cloud::with_alice_and_bob(data.path());
    let (id, _) = cloud.create(ALICE, r#"{"label": "x"}"#);
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..8).map(|_| scope.spawn(|| rotate(&cloud, &id, ""))).collect();
        asked.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let (done, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|one| one.status == 201);
    assert_eq!((done.len(), refused.len()), (1, 7));
    assert!(refused.iter().all(|one| one.status == 409));
    assert_eq!(cloud.dav("PROPFIND", "/dav/", &bearer(&id_and_token(done[0]).1)), 207);
}

// -- the end

#[test]
fn revoking_all_others_keeps_one() {
    let data = folder();
    let cloud = Cloud::with_alice_and_bob(data.path());
    let tokens: Vec<_> =
        (0..4).map(|n| cloud.create(ALICE, &format!(r#"{{"label": "{n}"}}"#))).collect();
    let (_, bobs) = cloud.create(BOB, r#"{"label": "x"}"#);
    let answer = revoke_others(&cloud, &tokens[2].0);
    let said = json!({ "revoked": 3, "kept": tokens[2].0 });
    assert_eq!((answer.status, answer.json()), (200, said));
    for (n, (_, token)) in tokens.iter().enumerate() {
        assert_eq!(cloud.dav("PROPFIND", "/dav/", &bearer(token)), if n == 2 { 207 } else { 401 });
    }
    assert_eq!(cloud.dav("PROPFIND", "/dav/", &bearer(&bobs)), 207, "another account's");
    assert_eq!(revoke_others(&cloud, &tokens[2].0).json()["revoked"], 0, "again");
}

#[test]
fn revoking_others_needs_a_good_token_of_the_account_to_keep() {
    let data = folder();
    let cloud = Cloud::with_alice_and_bob(data.path());
    let (id, token) = cloud.create(ALICE, r#"{"label": "x"}"#);
    let (ended, _) = cloud.create(ALICE, r#"{"label": "y"}"#);
    assert_eq!(cloud.api(ALICE, "DELETE", &format!("/api/tokens/{ended}"), "").status, 204);
    let (bobs, _) = cloud.create(BOB, r#"{"label": "z"}"#);
    let say = "name the app password that stays";
    for (query, status, reason) in [
        ("", 400, say),
        ("?", 400, say),
        ("?except", 404, "no such token"),
        ("?except=", 404, "no such token"),
        ("?except=not-an-id", 404, "no such token"),
        ("?except=%ff", 404, "no such token"),
        (&format!("?except={NOBODYS}"), 404, "no such token"),
        (&format!("?except={bobs}"), 404, "no such token"),
        (&format!("?except={ended}"), 409, "the token is revoked"),
        (&format!("?except={id}&except={id}"), 400, say),
        (&format!("?except={id}&force=1"), 400, say),
        (&format!("?Except={id}"), 400, say),
    ] {
        let answer = cloud.api(ALICE, "DELETE", &format!("/api/tokens{query}"), "");
        assert_refused(&answer, status, reason);
    }
    assert_eq!(cloud.dav("PROPFIND", "/dav/", &bearer(&token)), 207);
}

#[test]
fn an_unknown_dead_or_foreign_token_is_not_changed() {
    let data = folder();
    let cloud = Cloud::with_alice_and_bob(data.path());
    let (ended, _) = cloud.create(ALICE, r#"{"label": "x"}"#);
    assert_eq!(cloud.api(ALICE, "DELETE", &format!("/api/tokens/{ended}"), "").status, 204);
    let (bobs, his) = cloud.create(BOB, r#"{"label": "his"}"#);
    for (id, status) in
        [(ended.as_str(), 409), (&bobs, 404), (NOBODYS, 404), ("not-an-id", 404), ("%ff", 404)]
    {
        for body in
            [r#"{"label": "y"}"#, r#"{"expires_in_days": 9}"#, r#"{"scopes": ["files:read"]}"#]
        {
            assert_eq!(change(&cloud, id, body).status, status, "{id}");
        }
        assert_eq!(rotate(&cloud, id, "").status, status, "{id}");
    }
    let his_line = cloud.api(BOB, "GET", "/api/tokens", "").json()[0].clone();
    assert_eq!((&his_line["label"], &his_line["scopes"]), (&json!("his"), &Value::Null));
    assert_eq!(cloud.dav("PROPFIND", "/dav/", &bearer(&his)), 207);
}

// -- the OpenAPI file

/// Puts an app password's id into a documented path.
fn about(path: &str, id: &str) -> String {
    path.replace("{id}", id)
}

fn examples(operation: &'static Value) -> Vec<&'static Value> {
    let content = &operation["requestBody"]["content"]["application/json"];
    content["examples"].as_object().into_iter().flatten().map(|(_, one)| &one["value"]).collect()
}

#[test]
fn the_openapi_file_is_shown_unchanged_to_everybody() {
    let data = folder();
    let cloud = Cloud::with_alice_and_bob(data.path());
    let shown = cloud.request("GET", "/api/openapi.json", &[], "");
    contract::hold("GET", "/api/openapi.json", "", &shown);
    assert_eq!((shown.status, shown.body.as_str()), (200, contract::FILE));
}

#[test]
fn every_documented_method_answers_and_every_other_is_405() {
    let data = folder();
    let cloud = Cloud::with_alice_and_bob(data.path());
    for (path, item) in contract::paths() {
        for method in
            ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get"]
        {
            let (id, _) = cloud.create(ALICE, r#"{"label": "x"}"#);
            let answer = cloud.request(method, &about(path, &id), &[&basic(ALICE)], "");
            let like = if method == "HEAD" { "GET" } else { method };
            let allowed = answer.header("allow").unwrap_or_default();
            if method != "get" && item.contains_key(&like.to_lowercase()) {
                assert!(![404, 405].contains(&answer.status), "{method} {path}: {}", answer.status);
                continue;
            }
            assert_eq!(answer.status, 405, "{method} {path}");
            for (documented, path, _) in operations().iter().filter(|(_, other, _)| *other == path)
            {
                assert!(allowed.split(',').any(|one| one == documented), "{path}: {allowed}");
            }
        }
    }
}

#[test]
fn every_operation_wants_the_main_password_and_takes_no_token() {
    let data = folder();
    let cloud = Cloud::with_alice_and_bob(data.path());
    let (id, token) = cloud.create(ALICE, r#"{"label": "x"}"#);
    let before = list(&cloud);
    for (method, path, operation) in operations() {
        let path = about(path, &id);
        let is_open = operation.get("security") == Some(&json!([]));
        for header in [
            "X-Nothing: 1",
            &bearer(&token),
            &basic(&format!("alice:{token}")),
            &basic("alice:wrong"),
            &basic("alice:"),
        ] {
            let body = examples(operation).first().map(ToString::to_string).unwrap_or_default();
            let answer = cloud.request(&method, &path, &[header], &body);
            contract::hold(&method, &path, &body, &answer);
            assert_eq!(answer.status, if is_open { 200 } else { 401 }, "{method} {path} {header}");
        }
    }
    assert_eq!(list(&cloud), before);
}

#[test]
fn every_example_fits_its_schema_and_every_example_of_a_request_works() {
    let data = folder();
    let cloud = Cloud::with_alice_and_bob(data.path());
    let mut sent = 0;
    for (method, path, operation) in operations() {
        for example in examples(operation) {
            let (id, _) = cloud.create(ALICE, r#"{"label": "x"}"#);
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            assert_eq!(fits(schema, example), Ok(()), "{method} {path}");
            let answer = cloud.api(ALICE, &method, &about(path, &id), &example.to_string());
            assert!(answer.status < 300, "{method} {path} {example}: {}", answer.body);
            sent += 1;
        }
        let responses = operation["responses"].as_object().unwrap();
        for response in responses.values().map(resolve) {
            let content = &response["content"]["application/json"];
            if let Some(example) = content.get("example") {
                assert_eq!(fits(&content["schema"], example), Ok(()), "{method} {path}");
            }
        }
        for parameter in operation["parameters"].as_array().into_iter().flatten().map(resolve) {
            assert_eq!(fits(&parameter["schema"], &parameter["example"]), Ok(()), "{parameter}");
        }
    }
    assert_eq!(sent, 10);
}

/// A schema that answers are checked against hides nothing: each field must be there, and no other
/// may be.
#[test]
fn every_field_of_an_answer_is_documented_as_always_there() {
    let schemas = &contract::document()["components"]["schemas"];
    for name in ["AppPassword", "ShownOnce", "Ended", "Problem"] {
        let schema = &schemas[name];
        let fields = schema["properties"].as_object().unwrap().keys().cloned();
        let required = schema["required"].as_array().unwrap().iter();
        let required: BTreeSet<_> = required.map(|one| one.as_str().unwrap().to_owned()).collect();
        assert_eq!(fields.collect::<BTreeSet<_>>(), required, "{name}");
        assert_eq!(schema["additionalProperties"], false, "{name}");
    }
    let mut shown = schemas["ShownOnce"]["properties"].clone();
    shown.as_object_mut().unwrap().remove("token").unwrap();
    assert_eq!(shown, schemas["AppPassword"]["properties"]);
}

/// Produces each documented status of each operation. Each call also checks that its answer is a
/// documented one.
#[test]
fn every_documented_status_can_be_produced() {
    let data = folder();
    let options = ["--user", ALICE, "--user", BOB, "--max-per-owner", "4"];
    let cloud = Cloud::start(data.path(), &options);
    let (good, token) = cloud.create(ALICE, r#"{"label": "good"}"#);
    let (ended, _) = cloud.create(ALICE, r#"{"label": "ended"}"#);
    assert_eq!(cloud.api(ALICE, "DELETE", &format!("/api/tokens/{ended}"), "").status, 204);
    assert_eq!(cloud.dav("PROPFIND", "/dav/", &bearer(&token)), 207);
    let database = rusqlite::Connection::open(data.path().join("tokens.db")).unwrap();
    let (sign_in, long) = (basic(ALICE), "x".repeat(70_000));

    let mut answered = BTreeSet::new();
    let mut ask = |method: &str, path: &str, headers: &[&str], body: &str| {
        let answer = cloud.request(method, path, headers, body);
        contract::hold(method, path, body, &answer);
        let operation = contract::operation(method, path).unwrap()["operationId"].clone();
        answered.insert((operation.to_string(), answer.status));
    };
    for (method, path, operation) in operations() {
        let body = examples(operation).first().map(ToString::to_string).unwrap_or_default();
        let to = |id: &str| match operation["parameters"].is_array() {
            true => format!("{path}?except={id}"),
            false => about(path, id),
        };
        ask(&method, &to(&good), &["X-Nothing: 1"], &body);
        ask(&method, &to(&good), &[&sign_in, "Sec-Fetch-Site: cross-site"], &body);
        ask(&method, path, &[&sign_in], "");
        for id in [NOBODYS, &ended] {
            if method != "DELETE" || path == "/api/tokens" {
                ask(&method, &to(id), &[&sign_in], &body);
            }
        }
        if !body.is_empty() {
            ask(&method, &to(&good), &[&sign_in], "{");
            ask(&method, &to(&good), &[&sign_in], &long);
        }
        database.execute_batch("ALTER TABLE app_tokens RENAME TO gone").unwrap();
        ask(&method, &to(&good), &[&sign_in], &body);
        database.execute_batch("ALTER TABLE gone RENAME TO app_tokens").unwrap();
    }
    for (method, path) in [
        ("PATCH", format!("/api/tokens/{good}")),
        ("DELETE", format!("/api/tokens?except={good}")),
        ("POST", format!("/api/tokens/{good}/rotate")),
        ("DELETE", format!("/api/tokens/{good}")),
        ("DELETE", format!("/api/tokens/{NOBODYS}")),
    ] {
        ask(method, &path, &[&sign_in], if method == "PATCH" { r#"{"label": "x"}"# } else { "" });
    }
    for _ in 0..5 {
        ask("POST", "/api/tokens", &[&sign_in], r#"{"label": "x"}"#);
    }
    // Wrong passwords until the brake stops the account.
    for _ in 0..11 {
        let wrong = cloud.request("GET", "/api/tokens", &[&basic("alice:wrong")], "");
        assert!([401, 429].contains(&wrong.status), "{}", wrong.status);
    }
    let stopped = basic("alice:not her secret");
    for (method, path, operation) in operations() {
        if operation.get("security").is_none() {
            ask(&method, &about(path, &good), &[&stopped], "");
        }
    }
    let statuses = |(_, _, operation): (String, &str, &'static Value)| {
        let id = operation["operationId"].to_string();
        let statuses = operation["responses"].as_object().unwrap().keys();
        statuses.map(move |status| (id.clone(), status.parse().unwrap())).collect::<Vec<_>>()
    };
    let documented: BTreeSet<(String, u16)> = operations().into_iter().flat_map(statuses).collect();
    assert_eq!(answered, documented);
}

#[test]
fn a_row_under_a_missing_key_is_503_and_revoking_it_still_works() {
    let data = folder();
    let cloud = Cloud::with_alice_and_bob(data.path());
    let (id, _) = cloud.create(ALICE, r#"{"label": "x"}"#);
    common::put_under_missing_key(data.path());
    assert_eq!(change(&cloud, &id, r#"{"label": "y"}"#).status, 503);
    assert_eq!(rotate(&cloud, &id, "").status, 503);
    assert_eq!(revoke_others(&cloud, &id).status, 503);
    assert_eq!(line(&cloud, &id)["status"], "unknown");
    assert_eq!(cloud.api(ALICE, "DELETE", &format!("/api/tokens/{id}"), "").status, 204);
    assert_eq!(line(&cloud, &id)["status"], "revoked");
}

#[test]
fn the_contract_check_refuses_undocumented_answers() {
    let schemas = &contract::document()["components"]["schemas"];
    let example = json!({
        "id": "askgagkera", "label": "x", "scopes": null, "created_at": "2026-03-01T12:00:00Z",
        "expires_at": "2027-03-01T12:00:00Z", "last_used_at": null, "successor": null,
        "revoked_at": null, "status": "active",
    });
    let schema = &schemas["AppPassword"];
    assert_eq!(fits(schema, &example), Ok(()));
    for (field, wrong) in [
        ("id", json!("short")),
        ("id", json!(7)),
        ("label", json!("")),
        ("label", json!("x".repeat(129))),
        ("scopes", json!([])),
        ("scopes", json!(["files:all"])),
        ("scopes", json!("files:read")),
        ("created_at", json!("yesterday")),
        ("expires_at", Value::Null),
        ("status", json!("Active")),
        ("digest", json!("x")),
    ] {
        let mut bad = example.clone();
        bad[field] = wrong;
        assert!(fits(schema, &bad).is_err(), "{bad}");
    }
    let mut bad = example;
    bad.as_object_mut().unwrap().remove("successor");
    assert!(fits(schema, &bad).is_err());
    assert!(fits(&schemas["Change"], &json!({ "label": "x", "expires_in_days": 1 })).is_err());
    assert!(fits(&schemas["Ended"], &json!({ "revoked": -1, "kept": null })).is_err());
}
