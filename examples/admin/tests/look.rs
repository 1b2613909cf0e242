//! Listing, showing and verifying tokens.

mod common;

use std::fs;

use app_tokens::{Access, KeyRing, NewToken, Timestamp, TokenAuthority, TokenId};
use common::{DAY, Host, days_ago, ids, phone, phone_that, sorted};
use serde_json::Value;
use support::text::same_id_other_secret;

#[test]
fn a_list_shows_what_matches_as_a_table_and_as_json() {
    let host = Host::new();
    let old = host.tokens_at(days_ago(200));
    let (unused, _) = host.issue_by(&old, NewToken::new("bob", "Old laptop", Access::full()));
    let (phone, text) = host.issue(phone_that(&["files:read"]));
    let soon = NewToken::new("alice", "Guest", Access::full()).expires_in(2 * DAY);
    let (soon, _) = host.issue(soon);
    let (rotated, _) = host.issue(NewToken::new("carol", "Phone", Access::full()));
    let rotate = ["rotate", &rotated.to_string(), "--overlap", "1 day"];
    let (rotated_to, _) = host.new_token(&host.admin(&rotate));
    let (revoked, _) = host.issue(NewToken::new("alice", "Lost", Access::full()));
    host.admin(&["revoke", &revoked.to_string(), "--reason", "stolen"]).done();
    host.use_now(&text);

    let all = host.admin(&["list", "--json"]).json();
    assert_eq!(ids(&all), sorted([unused, phone, soon, rotated, rotated_to, revoked]));
    let find = |id: TokenId| {
        all.as_array().unwrap().iter().find(|token| token["id"] == id.to_string()).unwrap()
    };
    assert_eq!(find(phone)["status"], "active");
    assert!(find(phone)["last_used_at"].as_str().unwrap().parse::<Timestamp>().is_ok());
    assert!(find(unused)["last_used_at"].is_null());
    assert_eq!(find(phone)["scopes"], serde_json::json!(["files:read"]));
    assert!(find(soon)["scopes"].is_null(), "everything");
    assert_eq!(find(revoked)["status"], "revoked");
    assert_eq!(find(revoked)["revoked_for"], "stolen");
    assert_eq!(find(revoked)["revoked_by"], "operator olga");

    let list = |filter: &[&str]| {
        let listed = host.admin(&[&["list", "--json"], filter].concat()).json();
        ids(&listed).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(list(&["--owner", "alice"]), sorted([phone, soon, revoked]));
    assert_eq!(list(&["--unused-since", "180 days"]), sorted([unused]));
    assert_eq!(list(&["--expiring-within", "3 days"]), sorted([soon]));
    assert_eq!(list(&["--expiring-within", "170 days"]), sorted([unused, soon]));
    assert_eq!(list(&["--revoked"]), sorted([revoked]));
    assert_eq!(list(&["--owner", "alice", "--not-revoked"]), sorted([phone, soon]));
    assert_eq!(list(&["--owner", "dave"]), [""; 0]);
    let key = KeyRing::load(host.path("keys")).unwrap().active_id().to_string();
    assert_eq!(list(&["--under-key", &key, "--unused-since", "2 hours"]), sorted([unused]));

    let table = host.admin(&["list"]).done();
    assert_eq!(table.lines().count(), 7, "{table}");
    let line = table.lines().find(|line| line.starts_with(&phone.to_string())).unwrap();
    assert!(line.contains("  active ") && line.ends_with("alice             My phone"), "{line}");
    host.admin(&["list", "--owner", "dave"]).exited(3, "no token matches");
}

#[test]
fn without_policy_or_keys_no_status_is_shown_that_needs_the_seal() {
    let host = Host::new();
    let (id, text) = host.issue(phone());
    let (gone, _) = host.issue(phone());
    let ran = host.bare_admin(&["list", "--json"]);
    assert!(ran.err.contains("seals are not checked"), "{ran:?}");
    let listed = ran.json();
    assert!(listed.as_array().unwrap().iter().all(|token| token["status"] == "unchecked"));
    assert!(host.bare_admin(&["show", &id.to_string()]).done().contains("unchecked"));
    // Keys without the realm, and the realm without keys, tell as little as nothing.
    for half in [["--key-file", "keys"], ["--policy", "policy.toml"]] {
        let shown = host.bare_admin(&[&["show", &id.to_string(), "--json"][..], &half].concat());
        assert_eq!(shown.json()["status"], "unchecked", "{half:?}");
    }
    assert_eq!(host.bare_admin(&["revoke", &id.to_string()]).done(), "revoked 1\n");
    assert!(!host.is_good(&text));
    assert_eq!(host.bare_admin(&["show", &id.to_string(), "--json"]).json()["status"], "revoked");
    assert_eq!(host.bare_admin(&["forget", &gone.to_string()]).done(), "forgot 1\n");
    host.bare_admin(&["issue", "--owner", "a", "--label", "x"]).exited(2, "--policy FILE");
    for act in [
        &["rename", "0000000000", "x"][..],
        &["narrow", "0000000000", "--scope", "x"],
        &["extend", "0000000000", "--expires", "1 day"],
        &["rotate", "0000000000"],
        &["verify"],
        &["reseal"],
        &["purge"],
        &["leaked"],
        &["keys", "may-retire", "1"],
    ] {
        host.bare_admin(act).exited(2, "--policy FILE is missing");
        if act[0] != "leaked" {
            let with_policy = [act, &["--policy", "policy.toml"]].concat();
            host.bare_admin(&with_policy).exited(2, "the keys are missing");
        }
    }
}

#[test]
fn verify_shows_owner_and_access_and_counts_as_no_use() {
    let host = Host::with_policy("idle_timeout = '30 days'");
    let (id, text) = host.issue(phone_that(&["files:read"]));
    let before = host.rows();
    for ending in ["", "\n", "\r\n"] {
        let said = host.admin_reading(format!("{text}{ending}"), &["verify"]).done();
        for line in [
            "valid",
            &format!("id:             {id}"),
            "owner:          alice",
            "scopes:         files:read",
            "last used at:   never",
        ] {
            assert!(said.lines().any(|said| said == line), "{line}: {said}");
        }
    }
    let said = host.admin_reading(&text, &["verify", "--json"]).json();
    assert_eq!((&said["good"], &said["why"]), (&true.into(), &Value::Null));
    assert_eq!(said["token"]["owner"], "alice");
    assert_eq!(host.rows(), before);
}

#[test]
fn verify_says_why_a_token_is_denied_and_is_exit_5() {
    let host = Host::with_policy("idle_timeout = '30 days'");
    let (revoked, revoked_text) = host.issue(phone());
    host.admin(&["revoke", &revoked.to_string()]).done();
    let (rotated, rotated_text) = host.issue(phone());
    let (_, good) = host.new_token(&host.admin(&["rotate", &rotated.to_string()]));
    let (_, expired) = host.issue_by(&host.tokens_at(days_ago(2)), phone().expires_in(DAY));
    let (_, idle) = host.issue_by(&host.tokens_at(days_ago(31)), phone());
    let foreign = TokenAuthority::in_memory("other").unwrap();
    let foreign = foreign.block_on(foreign.issue(phone())).unwrap();
    let unknown = TokenAuthority::in_memory("acme").unwrap();
    let unknown = unknown.block_on(unknown.issue(phone())).unwrap();
    let mut mistyped = good.clone();
    mistyped.replace_range(20..21, if &good[20..21] == "0" { "1" } else { "0" });
    host.keep_secret(&mistyped);
    for (text, why) in [
        (revoked_text.as_str(), "it was revoked"),
        (&rotated_text, "it was rotated"),
        (&expired, "it has expired"),
        (&idle, "it was not used for longer"),
        (unknown.expose_secret(), "there is no such token"),
        (&same_id_other_secret(&good), "it has another secret"),
        (foreign.expose_secret(), "prefix that is not accepted"),
        (&mistyped, "its checksum is wrong"),
        ("", "the token is empty"),
        ("hunter2", "the token has no prefix"),
        (&"x".repeat(1_000_000), "longer than 128 bytes"),
    ] {
        host.admin_reading(text, &["verify"]).exited(5, why);
        let said = host.admin_reading(text, &["verify", "--json"]);
        assert_eq!(said.code, Some(5));
        let said = said.json();
        assert!(said["good"] == false && said["why"].as_str().unwrap().contains(why), "{said}");
    }
    host.admin_reading([0xff, 0xfe], &["verify"]).exited(5, "not UTF-8");
    let told = host.admin_reading(&revoked_text, &["verify", "--json"]).json();
    assert_eq!(told["token"]["revoked_by"], "operator olga");
    assert!(host.is_good(&good));
}

#[test]
fn a_token_of_another_prefix_is_not_confused_with_the_one_of_the_same_id() {
    let host = Host::new();
    let (_, text) = host.issue(phone());
    fs::write(host.path("policy.toml"), "prefix = 'other'\nrealm = 'acme'").unwrap();
    let said = host.admin_reading(&text, &["verify", "--json"]);
    assert_eq!(said.code, Some(5), "{said:?}");
    assert!(said.json()["token"].is_null());
}

#[test]
fn verifying_a_superseded_token_does_not_revoke_its_family() {
    let host = Host::with_policy("reuse = 'revoke family'");
    let (old, old_text) = host.issue(phone());
    let (_, new) = host.new_token(&host.admin(&["rotate", &old.to_string()]));
    host.admin_reading(&old_text, &["verify"]).exited(5, "it was rotated");
    assert!(host.is_good(&new));
}

#[test]
fn a_tampered_row_is_shown_and_denied_as_tampered() {
    let host = Host::new();
    let (id, text) = host.issue(phone_that(&["files:read"]));
    let (damaged, damaged_text) = host.issue(phone());
    let database = rusqlite::Connection::open(host.path("tokens.db")).unwrap();
    let change = |sql: &str, id: TokenId| database.execute(sql, [id.as_u64() as i64]).unwrap();
    assert_eq!(change("UPDATE app_tokens SET scopes = NULL WHERE id = ?1", id), 1);
    assert_eq!(change("UPDATE app_tokens SET owner = '' WHERE id = ?1", damaged), 1);
    host.admin_reading(&text, &["verify"]).exited(5, "not as the engine wrote it");
    host.admin_reading(&damaged_text, &["verify"]).exited(5, "can't be read");
    host.admin(&["show", &damaged.to_string()]).exited(1, "the row can't be read");
    let listed = host.admin(&["list", "--json"]).json();
    let status = |id: TokenId| {
        let mut tokens = listed.as_array().unwrap().iter();
        tokens.find(|token| token["id"] == id.to_string()).unwrap()["status"].clone()
    };
    assert_eq!((status(id), status(damaged)), ("tampered".into(), "damaged".into()));
    assert!(host.admin(&["list"]).done().contains("the row can't be read"));
    let would = host.admin(&["revoke", "--all", "--dry-run", "--json"]).json();
    assert_eq!(ids(&would), sorted([id, damaged]));
    assert_eq!(host.admin(&["revoke", &damaged.to_string()]).done(), "revoked 1\n");
    let would = host.admin(&["revoke", "--all", "--dry-run", "--json"]).json();
    assert_eq!(ids(&would), sorted([id]), "not what is revoked already");
    assert_eq!(host.admin(&["forget", &id.to_string()]).done(), "forgot 1\n");
}
