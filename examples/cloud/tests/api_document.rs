//! The cloud's JSON API: what its OpenAPI file promises.

mod common;

use std::collections::BTreeSet;

use common::contract::{self, fits, operations, resolve};
use common::json_api::{ALICE, BOB, NOBODYS, change, folder, line, list, revoke_others, rotate};
use common::{Cloud, basic, bearer};
use serde_json::{Value, json};

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
    for name in ["AppPassword", "ShownOnce", "Listed", "Ended", "Problem"] {
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
        let to = |id: &str| match operation["parameters"][0]["name"].as_str() {
            Some("except") => format!("{path}?except={id}"),
            _ => about(path, id),
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
        ("GET", "/api/tokens?limit=0".to_owned()),
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
