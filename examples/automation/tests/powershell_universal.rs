//! PowerShell Universal's document about App Tokens, acted out in its order. The comments are its
//! sentences.

mod common;

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::{JSON, Place, bearer};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};

/// Returns the names of a token's fields.
fn fields(token: &Value) -> Vec<&str> {
    token.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn the_document_holds_from_its_first_step_to_its_last() {
    let place = Place::new();
    let server = place.start_with(&[
        "--endpoint",
        "/release=release-runner",
        "--endpoint",
        "/report=Reader",
    ]);

    // "PowerShell Universal app tokens can be used with both custom API endpoints and the
    // management API."
    let (_, runner) = server.grant("release");
    assert_eq!(server.status("POST", "/release", &runner), 200);
    let (_, reader) = server.grant("reader");
    assert_eq!(server.status("GET", "/api/v1/variable", &reader), 200);

    // "The management API uses the standard Administrator, Operator and Reader roles."
    for (name, statuses) in [
        ("reader", [200, 403, 403]),
        ("adam@ironmansoftware.onmicrosoft.com", [200, 204, 403]),
        ("jane", [200, 204, 200]),
    ] {
        let (_, token) = server.grant(name);
        let calls = [
            ("GET", "/api/v1/variable"),
            ("PUT", "/api/v1/variable/a"),
            ("GET", "/api/v1/identity"),
        ];
        assert_eq!(calls.map(|(method, path)| server.status(method, path, &token)), statuses);
    }

    // "The custom API app tokens can utilize custom roles as well as the built in ones."
    assert_eq!(server.status("GET", "/report", &reader), 200);
    assert_eq!(server.status("GET", "/report", &runner), 403);
    assert_eq!(server.status("GET", "/release", &reader), 403);
    assert_eq!(server.status("GET", "/api/v1/variable", &runner), 403);

    // "To grant an App Token programmatically using the API, you can do the following."
    // Invoke-RestMethod …/api/v1/signin -Method POST … -SessionVariable Session
    let session = server.sign_in("admin");
    // Invoke-RestMethod …/api/v1/apptoken/grant -WebSession $Session
    let answer = server.request("GET", "/api/v1/apptoken/grant", &[&session], "");
    let (id, text) = answer.granted();
    let granted = answer.json();
    let expected =
        ["created", "expiration", "id", "identity", "revoked", "revokedDate", "role", "token"];
    assert_eq!(fields(&granted), expected);
    // identity    : @{id=3; name=admin; source=0; role=}
    assert_eq!(granted["identity"], json!({"id": 3, "name": "admin", "source": 0, "role": null}));
    // revoked     : False
    assert_eq!(granted["revoked"], false);
    // role        : Administrator, Operator, Reader
    assert_eq!(granted["role"], "Administrator, Operator, Reader");
    // created     : 26/06/2020 17:24:25, expiration  : 26/06/2021 17:24:25
    let instant = |field: &str| granted[field].as_str().unwrap().parse::<app_tokens::Timestamp>();
    let life = instant("expiration").unwrap().since(instant("created").unwrap());
    assert_eq!(life.as_secs(), 365 * 86_400, "a year, where nothing is asked for");
    // revokedDate : 01/01/0001 00:00:00
    assert_eq!(granted["revokedDate"], "0001-01-01T00:00:00Z");
    assert_eq!(server.status("GET", "/api/v1/identity", &text), 200);

    // "Administrators can grant app tokens to any user by specifying the user's identity ID."
    let answer = server.request("GET", "/api/v1/apptoken/grant/2", &[&session], "");
    let (_, operator) = answer.granted();
    let granted = answer.json();
    let name = "adam@ironmansoftware.onmicrosoft.com";
    assert_eq!(granted["identity"], json!({"id": 2, "name": name, "source": 0, "role": null}));
    let others = server.sign_in("reader");
    let answer = server.request("GET", "/api/v1/apptoken/grant/2", &[&others], "");
    answer.is(403, "needs the role Administrator");

    // "In order to grant an app token to an identity via the REST API, the user needs to have a
    // defined role."
    let answer = server.request("GET", "/api/v1/apptoken/grant/5", &[&session], "");
    answer.is(403, "has no role");

    // "The user is defined with the Operator role and thus their App Token will be granted access
    // based on that role."
    assert_eq!(granted["role"], "Operator");
    assert_eq!(server.status("PUT", "/api/v1/variable/a", &operator), 204);
    assert_eq!(server.status("GET", "/api/v1/identity", &operator), 403);

    // "You can migrate app tokens between systems by using the management API." Not by the text:
    // it would make every copy of a log a token of another system. The rows move, in a sealed file.
    let old = r#"{"Token":"eyJhbGciOiJIUzI1NiJ9.e30.x","Identity":{"Name":"Admin"}}"#;
    let answer = server.request("POST", "/api/v1/apptoken", &[JSON, &bearer(&text)], old);
    answer.is(501, "`admin export` there, and `admin import app-tokens` here");
    server.end();
    let other = Place::new();
    other.start().end();
    let key = place.admin("", &["export", "tokens.transfer"]);
    fs::copy(place.path("tokens.transfer"), other.path("tokens.transfer")).unwrap();
    // "You need a valid app token in the target system to create the migrated tokens." Here an
    // operator needs the target's own key, and the key of this one file.
    let said = other.admin(&key, &["import", "app-tokens", "tokens.transfer"]);
    assert!(said.starts_with("took in "), "{said}");

    // "Note that the signing key must be the same between the instances." It need not be.
    let keys = [&place, &other].map(|place| fs::read(place.path("data/tokens.key")).unwrap());
    assert_ne!(keys[0], keys[1]);
    let server = other.start();
    assert_eq!(server.status("GET", "/api/v1/identity", &text), 200);

    // "When enhanced app token security is enabled, token values are only accessible once they are
    // created."
    let answer = server.request("GET", "/api/v1/apptoken", &[&bearer(&text)], "");
    let listed = answer.json();
    assert_eq!(listed.as_array().unwrap().len(), 7);
    assert!(listed.as_array().unwrap().iter().all(|token| token["token"].is_null()));
    let path = format!("/api/v1/apptoken/{id}");
    assert!(server.request("GET", &path, &[&bearer(&text)], "").json()["token"].is_null());

    // "They are hashed and the hash value is stored in the database rather than the token."
    for name in ["data/tokens.db", "data/tokens.db-wal", "audit.log"] {
        let bytes = fs::read(other.path(name)).unwrap_or_default();
        let secret = &text.as_bytes()[text.len() - 32..];
        assert!(!bytes.windows(secret.len()).any(|part| part == secret), "{name}");
    }

    // "You will use the token the same way as any other token."
    assert_eq!(server.status("GET", "/api/v1/variable", &text), 200);
    server.end();
}

#[test]
fn a_revoked_token_stays_listed_with_its_date_and_its_use_fires_the_trigger_once() {
    let place = Place::with_policy("usage_interval = '1 day'");
    let told = place.path("told");
    let command = place.path("tell");
    let script = format!(
        "#!/bin/sh\necho \"$APP_TOKEN_ID $APP_TOKEN_IDENTITY $APP_TOKEN_ADDRESS\" >> {}\n",
        told.display()
    );
    fs::write(&command, script).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs::set_permissions(&command, mode).unwrap();
    let server = place.start_with(&["--on-revoked", command.to_str().unwrap()]);
    let (id, text) = server.grant("reader");
    let session = server.sign_in("admin");
    let path = format!("/api/v1/apptoken/{id}");
    let revoked = server.request("DELETE", &path, &[&session], "").json();
    assert_eq!(revoked["revoked"], true);
    assert!(revoked["revokedDate"].as_str().unwrap() > "2026");
    let listed = server.request("GET", "/api/v1/apptoken?identity=4", &[&session], "").json();
    assert_eq!(listed[0]["revokedDate"], revoked["revokedDate"]);
    for _ in 0..3 {
        assert_eq!(server.status("GET", "/api/v1/variable", &text), 401);
    }
    // Its id with another secret is a guess, and triggers nothing.
    let last = if text.ends_with('0') { '1' } else { '0' };
    let guess = format!("{}{last}", &text[..text.len() - 1]);
    assert_eq!(server.status("GET", "/api/v1/variable", &guess), 401);
    server.end();
    assert_eq!(fs::read_to_string(told).unwrap(), format!("{id} 4 127.0.0.1\n"));
    let lines = place.audited("a revoked token was used");
    assert_eq!(lines.len(), 1);
    assert_eq!((&lines[0]["id"], &lines[0]["address"]), (&id.into(), &"127.0.0.1".into()));
}

/// Signs claims as the product does.
fn signed(key: &str, claims: &Value) -> String {
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
    let text = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let mac = Hmac::<sha2::Sha256>::new_from_slice(key.as_bytes()).unwrap();
    let mac = mac.chain_update(&text).finalize().into_bytes();
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(mac))
}

#[test]
fn the_token_that_the_document_posts_is_taken_over_by_the_command_that_the_answer_names() {
    let place = Place::with_policy("open_import = true\n");
    let key = "0sBQFSdlLs6vjKj8TZ0WQ8CwTjGm1hYx";
    let of = |role: &str| {
        let claims = json!({
            "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name": "Admin",
            "http://schemas.microsoft.com/ws/2008/06/identity/claims/role": role,
            "nbf": 1_633_106_933, "exp": 4_000_000_000_u64, "iss": "IronmanSoftware",
        });
        signed(key, &claims)
    };
    let text = of("Administrator");
    let body = json!({
        "Token": text, "Identity": { "Name": "Admin" }, "Role": "Administrator",
        "Expiration": "2028-04-01T10:00:00.1234567+02:00",
    });
    let server = place.start();
    let (_, own) = server.grant("admin");
    let post =
        || server.request("POST", "/api/v1/apptoken", &[JSON, &bearer(&own)], &body.to_string());
    post().is(501, "an operator runs `admin import powershell-universal`");
    assert!(!post().body.contains(&text));
    let (_, reader) = server.grant("reader");
    let answer = server.request("POST", "/api/v1/apptoken", &[JSON, &bearer(&reader)], "{}");
    answer.is(403, "needs the role Administrator");
    assert_eq!(server.status("GET", "/api/v1/identity", &text), 401);
    server.end();

    // The same facts, as the old table has them.
    let row = json!({
        "owner": body["Identity"]["Name"], "label": "App token 1", "token": body["Token"],
        "created": null, "expires": body["Expiration"], "used": null, "revoked": false,
    });
    let revoked = json!({
        "owner": "Admin", "label": "App token 2", "token": of("Operator"),
        "created": null, "expires": null, "used": null, "revoked": true,
    });
    place.admin("", &["keys", "add-import"]);
    fs::write(place.path("signing.key"), key).unwrap();
    fs::write(place.path("owners.jsonl"), r#"{"name": "Admin", "owner": "3"}"#).unwrap();
    let command =
        "import powershell-universal --signing-key-file signing.key --owners owners.jsonl -";
    let said = place.admin(&format!("{row}\n{revoked}\n"), &command.split(' ').collect::<Vec<_>>());
    assert!(said.contains("imported 1\n") && said.contains("it was revoked: row 2"), "{said}");
    let option = format!("powershell-universal:{}", place.path("signing.key").display());
    let server = place.start_with(&["--import", &option]);
    assert_eq!(server.status("GET", "/api/v1/identity", &text), 200);
    assert_eq!(server.status("GET", "/api/v1/variable", &of("Operator")), 401);
    let listed = server.request("GET", "/api/v1/apptoken?identity=3", &[&bearer(&text)], "").json();
    let ends = listed.as_array().unwrap().iter().map(|token| token["expiration"].as_str().unwrap());
    assert!(ends.collect::<Vec<_>>().contains(&"2028-04-01T08:00:00Z"), "{listed}");
}
