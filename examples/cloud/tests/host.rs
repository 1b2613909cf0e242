//! The cloud from outside: its API, its page, its WebDAV, before and after a restart.

mod common;

use std::fs;
use std::process::Command;

use common::{Cloud, basic, bearer};
use tempfile::TempDir;

const ALICE: &str = "alice:her secret";
const BOB: &str = "bob:his secret";

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn the_welcome_says_the_address_and_the_next_commands() {
    let data = folder();
    let cloud = Cloud::start(data.path(), &[]);
    assert!(cloud.welcome.contains("demo account: user demo, password demo"), "{}", cloud.welcome);
    for line in
        ["cloud is at http://127.0.0.1:", "/api/openapi.json", "curl -u demo:demo", "rclone lsf"]
    {
        assert!(cloud.welcome.contains(line), "{line} is not in\n{}", cloud.welcome);
    }
    assert_eq!(cloud.api("demo:demo", "GET", "/api/tokens", "").status, 200);
}

#[test]
fn bad_options_are_explained() {
    let refused = |options: &[&str]| {
        let data = folder();
        let cloud = Cloud::start(data.path(), &[]); // builds it
        let mut binary = Command::new(format!("/proc/{}/exe", cloud.id()));
        let output = binary.args(options).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap().lines().next().unwrap().to_owned()
    };
    assert_eq!(
        refused(&[]),
        "--data DIR is missing; name a folder for the tokens and the key file"
    );
    assert_eq!(refused(&["--data"]), "--data needs a value");
    assert_eq!(refused(&["--data", "x", "--user", "alice"]), "--user needs NAME:PASSWORD");
    assert_eq!(
        refused(&["--data", "x", "--user", "../up:x"]),
        "--user: use letters, digits and - _ . @ in the name; it can't begin with a dot"
    );
    assert_eq!(
        refused(&["--data", "x", "--max-per-owner", "0"]),
        "--max-per-owner needs a number of 1 or more"
    );
    assert_eq!(
        refused(&["--data", "x", "--listen", "8080"]),
        "--listen needs ADDR:PORT, such as 127.0.0.1:8080"
    );
    assert_eq!(
        refused(&["--data", "x", "--listen", "0.0.0.0:0"]),
        "other machines can reach this address; name the accounts: --users FILE, or for a demo \
         --user NAME:PASSWORD"
    );
    assert_eq!(refused(&["--frobnicate"]), "there is no option --frobnicate");
    let with = |options: &[&str]| refused(&[&["--data", "x"], options].concat());
    assert_eq!(
        with(&["--policy", "p.toml", "--max-per-owner", "3"]),
        "--max-per-owner can't be given with --policy; set it in that file"
    );
    assert_eq!(with(&["--store", "mysql:x"]), "not a store; write sqlite:PATH or postgres:URL");
    assert_eq!(
        with(&["--store", "postgres://app:hunter2@db/app"]),
        "other users can read a password in an argument; put the URL into APP_TOKENS_STORE"
    );
    let store = |url| with(&["--store", url]);
    assert!(store("postgres:nothing").starts_with("not a URL that PostgreSQL's driver knows; "));
    assert!(store("postgres://app@db/app").starts_with("the server is another machine, "));
    assert_eq!(
        with(&["--files", "f", "--store", "sqlite:f/alice/tokens.db"]),
        "--files and --store overlap, so the rows would be served; separate them"
    );
}

#[test]
fn the_policy_file_and_the_store_that_are_named_are_used() {
    let data = folder();
    let policy = data.path().join("policy.toml");
    let built_in = include_str!("../policy.toml");
    let scopes = &built_in[built_in.find("\n[scopes]").unwrap()..];
    fs::write(
        &policy,
        format!("prefix = 'acme'\nmax_life = '9 days'\nmax_per_owner = 2\n{scopes}"),
    )
    .unwrap();
    let store = format!("sqlite:{}", data.path().join("elsewhere.db").display());
    let options = ["--user", ALICE, "--policy", policy.to_str().unwrap(), "--store", &store];
    let cloud = Cloud::start(data.path(), &options);
    assert!(cloud.welcome.contains("TOKEN=acme_..."), "{}", cloud.welcome);
    let create = |wish: &str| cloud.api(ALICE, "POST", "/api/tokens", wish).status;
    assert_eq!(create(r#"{"label": "x", "expires_in_days": 10}"#), 400);
    let (_, token) = cloud.create(ALICE, r#"{"label": "x", "expires_in_days": 9}"#);
    assert!(token.starts_with("acme_"));
    assert_eq!(create(r#"{"label": "x"}"#), 201);
    assert_eq!(create(r#"{"label": "x"}"#), 409);
    assert!(data.path().join("elsewhere.db").exists() && !data.path().join("tokens.db").exists());
}

#[test]
fn an_unusable_policy_or_store_is_explained() {
    let data = folder();
    let policy = data.path().join("policy.toml");
    let start = |options: &[&str]| {
        let mut binary = Command::new(common::PROGRAM);
        binary.args(["--listen", "127.0.0.1:0", "--data"]).arg(data.path()).args(options);
        let output = binary.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let policy_option = ["--policy", policy.to_str().unwrap()];
    assert!(start(&policy_option).contains("policy.toml: No such file"));
    fs::write(&policy, "prefix = 'cloud'\nmax_lief = '9 days'").unwrap();
    let error = start(&policy_option);
    assert!(error.contains("line 2") && error.contains("unknown field `max_lief`"), "{error}");
    for scopes in ["", "[scopes]\n'files:read' = []\n'files:write' = []"] {
        fs::write(&policy, format!("prefix = 'cloud'\n{scopes}")).unwrap();
        assert!(start(&policy_option).contains("must have the [scopes] of"));
    }
    let error = start(&["--store", "postgres://app@127.0.0.1:1/app"]);
    assert!(error.starts_with("cloud: PostgreSQL: can't connect: "), "{error}");
}

// -- the JSON API

#[test]
fn a_token_is_created_shown_once_listed_without_its_secret_and_revoked() {
    let data = folder();
    let cloud = Cloud::with_alice_and_bob(data.path());
    let created =
        cloud.api(ALICE, "POST", "/api/tokens", r#"{"label": "My phone", "expires_in_days": 30}"#);
    assert_eq!(created.status, 201);
    assert_eq!(created.header("cache-control"), Some("no-store"));
    let token = created.json();
    let text = token["token"].as_str().unwrap();
    assert!(text.starts_with("cloud_") && text.len() == 51, "{text}");
    assert_eq!(token["label"], "My phone");
    assert!(token["expires_at"].as_str().unwrap().ends_with('Z'));

    let listed = cloud.api(ALICE, "GET", "/api/tokens", "");
    assert_eq!(listed.status, 200);
    assert!(
        !listed.body.contains(&text[20..30])
            && !listed.body.contains("digest")
            && !listed.body.contains("seal")
    );
    let line = &listed.json()["tokens"][0];
    assert_eq!((&line["id"], &line["label"]), (&token["id"], &token["label"]));
    assert_eq!((line["status"].as_str(), line["last_used_at"].is_null()), (Some("active"), true));

    assert_eq!(cloud.dav("PROPFIND", "/dav/", &bearer(text)), 207);
    assert!(cloud.tokens(ALICE)[0]["last_used_at"].is_string());

    let path = format!("/api/tokens/{}", token["id"].as_str().unwrap());
    assert_eq!(cloud.api(BOB, "DELETE", &path, "").status, 404, "another owner's");
    assert_eq!(cloud.tokens(BOB).len(), 0);
    assert_eq!(cloud.api(ALICE, "DELETE", &path, "").status, 204);
    assert_eq!(cloud.api(ALICE, "DELETE", &path, "").status, 204, "again");
    assert_eq!(cloud.dav("PROPFIND", "/dav/", &bearer(text)), 401);
    assert_eq!(cloud.tokens(ALICE)[0]["status"], "revoked");
}

#[test]
fn bad_requests_are_refused_as_json_with_a_reason() {
    let data = folder();
    let cloud = Cloud::with_alice_and_bob(data.path());
    let long = format!(r#"{{"label": "{}"}}"#, "x".repeat(129));
    for (wish, reason) in [
        ("", "EOF while parsing"),
        ("{", "EOF while parsing"),
        ("[]", ""),
        ("{}", "missing field `label`"),
        (r#"{"label": 7}"#, "invalid type"),
        (r#"{"label": ""}"#, "the label is empty"),
        (r#"{"label": " "}"#, "the label is empty"),
        (r#"{"label": "a\u0000b"}"#, "the label has a forbidden character, number 2"),
        (&long, "the label is longer than 128 characters"),
        (r#"{"label": "x", "scopes": []}"#, "scopes must name some of calendar:read"),
        (r#"{"label": "x", "scopes": ["files:all"]}"#, "scopes must name some of calendar:read"),
        (r#"{"label": "x", "scopes": "files:read"}"#, "invalid type"),
        (r#"{"label": "x", "expires_in_days": 0}"#, "the token would expire as soon as it is made"),
        (r#"{"label": "x", "expires_in_days": -1}"#, "invalid value"),
        (r#"{"label": "x", "expires_in_days": 1e300}"#, "invalid type"),
        (
            r#"{"label": "x", "expires_in_days": 18446744073709551615}"#,
            "the token would expire after the year 9999; choose an earlier end",
        ),
        (r#"{"label": "x", "expires_in": 5}"#, "unknown field `expires_in`"),
    ] {
        let answer = cloud.api(ALICE, "POST", "/api/tokens", wish);
        assert_eq!(answer.status, 400, "{wish}");
        let said = answer.json()["reason"].as_str().unwrap().to_owned();
        assert!(said.contains(reason), "{wish}: {said}");
    }
    assert_eq!(cloud.api(ALICE, "POST", "/api/tokens", &"x".repeat(70_000)).status, 413);
    assert_eq!(cloud.tokens(ALICE).len(), 0);
    for (method, path, status) in [
        ("GET", "/api/nothing", 404),
        ("PUT", "/api/tokens", 405),
        ("DELETE", "/api/tokens/zzzzzzzzzz", 404),
        ("DELETE", "/api/tokens/not-an-id", 404),
        ("DELETE", "/api/tokens/%ff", 404),
    ] {
        let answer = cloud.api(ALICE, method, path, "");
        assert_eq!(answer.status, status, "{method} {path}");
        assert!(answer.json()["reason"].is_string(), "{method} {path}");
    }
}

#[test]
fn the_api_takes_the_main_password_and_never_a_token() {
    let data = folder();
    let cloud = Cloud::with_alice_and_bob(data.path());
    let (_, token) = cloud.create(ALICE, r#"{"label": "x"}"#);
    let list = |headers: &[&str]| cloud.request("GET", "/api/tokens", headers, "");
    for header in [
        basic(&format!("alice:{token}")),
        bearer(&token),
        bearer("her-secret"),
        basic("alice:wrong"),
        basic("nobody:her secret"),
        basic(":her secret"),
        "X-Nothing: 1".to_owned(),
    ] {
        let answer = list(&[&header]);
        assert_eq!(answer.status, 401, "{header}");
        assert!(answer.header("www-authenticate").unwrap().starts_with("Basic realm="));
        assert!(answer.json()["reason"].is_string());
    }
    assert_eq!(list(&[&basic(ALICE), "Sec-Fetch-Site: cross-site"]).status, 403);
    assert_eq!(list(&[&basic(ALICE), "Sec-Fetch-Site: same-origin"]).status, 200);
}

#[test]
fn a_limit_per_owner_holds_if_one_is_set() {
    let data = folder();
    let cloud =
        Cloud::start(data.path(), &["--user", ALICE, "--user", BOB, "--max-per-owner", "2"]);
    let (first, _) = cloud.create(ALICE, r#"{"label": "1"}"#);
    cloud.create(ALICE, r#"{"label": "2"}"#);
    let refused = cloud.api(ALICE, "POST", "/api/tokens", r#"{"label": "3"}"#);
    assert_eq!(refused.status, 409);
    assert_eq!(refused.json()["reason"], "the limit of 2 tokens is reached; revoke one first");
    cloud.create(BOB, r#"{"label": "1"}"#);
    assert_eq!(cloud.api(ALICE, "DELETE", &format!("/api/tokens/{first}"), "").status, 204);
    cloud.create(ALICE, r#"{"label": "3"}"#);
}

// -- WebDAV

#[test]
fn files_take_tokens_and_never_the_main_password() {
    let data = folder();
    let cloud = Cloud::with_alice_and_bob(data.path());
    let (_, token) = cloud.create(ALICE, r#"{"label": "x"}"#);
    for good in
        [basic(&format!("alice:{token}")), bearer(&token), format!("Authorization: token {token}")]
    {
        assert_eq!(cloud.dav("PROPFIND", "/dav/", &good), 207, "{good}");
    }
    let unknown = "cloud_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92";
    for bad in [
        basic(ALICE),
        bearer("her-secret"),
        basic(&format!("bob:{token}")),
        basic(&format!("nobody:{token}")),
        basic(&format!("alice:{}", &token[..50])),
        basic(&format!("{token}:")),
        bearer(unknown),
        "X-Nothing: 1".to_owned(),
    ] {
        let answer = cloud.request("PROPFIND", "/dav/", &[&bad], "");
        assert_eq!(answer.status, 401, "{bad}");
        assert!(answer.head.contains("Basic realm=") && answer.head.contains("Bearer realm="));
        assert_eq!(answer.head.contains("invalid_token"), !bad.starts_with("X-"), "{bad}");
        assert!(!answer.body.contains(&token[10..20]));
    }
    assert_eq!(
        cloud.request("PROPFIND", &format!("/dav/?access_token={token}"), &[], "").status,
        401
    );
}

#[test]
fn a_method_needs_the_scopes_of_what_it_does() {
    let data = folder();
    let cloud = Cloud::with_alice_and_bob(data.path());
    let (_, all) = cloud.create(ALICE, r#"{"label": "all"}"#);
    let (_, read) = cloud.create(ALICE, r#"{"label": "read", "scopes": ["files:read"]}"#);
    let (_, write) = cloud.create(ALICE, r#"{"label": "write", "scopes": ["files:write"]}"#);
    let ask = |token: &str, method: &str, path: &str| {
        let to = format!("Destination: {}", cloud.url("/dav/copy"));
        let lock = "<?xml version='1.0'?><lockinfo xmlns='DAV:'><lockscope><exclusive/>\
                    </lockscope><locktype><write/></locktype></lockinfo>";
        let body = if method == "LOCK" {
            lock
        } else if method == "PUT" {
            "text"
        } else {
            ""
        };
        cloud.request(method, path, &[&bearer(token), &to, "Overwrite: T"], body).status
    };
    for (method, status) in [
        ("PUT", 201),
        ("GET", 200),
        ("HEAD", 200),
        ("PROPFIND", 207),
        ("OPTIONS", 200),
        ("COPY", 201),
        ("MOVE", 204),
    ] {
        assert_eq!(ask(&all, method, "/dav/file"), status, "{method} with full access");
    }
    assert_eq!(ask(&write, "PUT", "/dav/file"), 201);
    for (method, status) in [("GET", 200), ("HEAD", 200), ("PROPFIND", 207), ("OPTIONS", 200)] {
        assert_eq!(ask(&read, method, "/dav/file"), status, "{method} to read");
        assert_eq!(ask(&write, method, "/dav/file"), status, "{method}: to write implies to read");
    }
    for method in [
        "PUT",
        "DELETE",
        "MKCOL",
        "PROPPATCH",
        "LOCK",
        "UNLOCK",
        "COPY",
        "MOVE",
        "PATCH",
        "FROBNICATE",
    ] {
        assert_eq!(ask(&read, method, "/dav/file"), 403, "{method} with a token to read");
    }
    assert_eq!(ask(&read, "LOCK", "/dav/new"), 403, "a lock on nothing makes a file");
    let refused = cloud.request("PUT", "/dav/file", &[&bearer(&read)], "x");
    assert!(
        refused.head.contains(r#"error="insufficient_scope", scope="files:write""#),
        "{}",
        refused.head
    );
    assert_eq!(ask(&write, "COPY", "/dav/file"), 204);
    assert_eq!(ask(&write, "DELETE", "/dav/file"), 204);
}

#[test]
fn each_account_has_its_own_files() {
    let data = folder();
    let files = folder();
    let cloud = Cloud::start(
        data.path(),
        &["--user", ALICE, "--user", BOB, "--files", files.path().to_str().unwrap()],
    );
    let (_, hers) = cloud.create(ALICE, r#"{"label": "x"}"#);
    let (_, his) = cloud.create(BOB, r#"{"label": "x"}"#);
    assert_eq!(cloud.request("PUT", "/dav/note", &[&bearer(&hers)], "hers").status, 201);
    assert_eq!(cloud.dav("GET", "/dav/note", &bearer(&his)), 404);
    for path in [
        "/dav/../../alice/files/note",
        "/dav/%2e%2e/%2e%2e/alice/files/note",
        "/dav/..%2f..%2falice%2ffiles%2fnote",
        "/remote.php/dav/files/alice/note",
        "/remote.php/dav/files/..%2f..%2falice%2ffiles/note",
    ] {
        let answer = cloud.request("GET", path, &[&bearer(&his)], "");
        assert!(answer.status >= 400 && !answer.body.contains("hers"), "{path}: {}", answer.status);
    }
    assert_eq!(fs::read_to_string(files.path().join("alice/files/note")).unwrap(), "hers");
}

// -- restarts

#[test]
fn tokens_and_revocations_survive_a_kill_and_last_use_an_orderly_end() {
    let data = folder();
    let cloud = Cloud::with_alice_and_bob(data.path());
    let (_, kept) = cloud.create(ALICE, r#"{"label": "kept"}"#);
    let (id, revoked) = cloud.create(ALICE, r#"{"label": "revoked"}"#);
    assert_eq!(cloud.api(ALICE, "DELETE", &format!("/api/tokens/{id}"), "").status, 204);
    cloud.kill();

    let cloud = Cloud::with_alice_and_bob(data.path());
    assert_eq!(cloud.dav("PROPFIND", "/dav/", &basic(&format!("alice:{kept}"))), 207);
    assert_eq!(cloud.dav("PROPFIND", "/dav/", &bearer(&revoked)), 401);
    cloud.terminate();

    let cloud = Cloud::with_alice_and_bob(data.path());
    let listed = cloud.tokens(ALICE);
    let line = listed.iter().find(|line| line["label"] == "kept").unwrap();
    assert!(line["last_used_at"].is_string(), "{line}");
}

#[test]
fn an_account_that_is_gone_lets_nobody_in() {
    let data = folder();
    let cloud = Cloud::with_alice_and_bob(data.path());
    let (_, his) = cloud.create(BOB, r#"{"label": "x"}"#);
    drop(cloud);
    let cloud = Cloud::start(data.path(), &["--user", ALICE]);
    assert_eq!(cloud.dav("PROPFIND", "/dav/", &bearer(&his)), 401);
}

#[test]
fn with_a_lost_key_it_does_not_start_and_says_so_until_it_is_back() {
    let data = folder();
    let cloud = Cloud::with_alice_and_bob(data.path());
    let (_, token) = cloud.create(ALICE, r#"{"label": "x"}"#);
    drop(cloud);
    let key = data.path().join("tokens.key");
    fs::rename(&key, data.path().join("elsewhere")).unwrap();
    let refused = Command::new(common::PROGRAM)
        .args(["--listen", "127.0.0.1:0", "--data"])
        .arg(data.path())
        .output()
        .unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && said.contains("tokens.key is missing"), "{said}");
    assert!(!key.exists(), "no new key is made");
    fs::rename(data.path().join("elsewhere"), &key).unwrap();
    let cloud = Cloud::with_alice_and_bob(data.path());
    assert_eq!(cloud.dav("PROPFIND", "/dav/", &bearer(&token)), 207);
    cloud.create(ALICE, r#"{"label": "y"}"#);
}
