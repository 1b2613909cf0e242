//! The cloud's JSON API: changes of an app password.

mod common;

use common::json_api::{
    ALICE, BOB, NOBODYS, assert_refused, change, folder, id_and_token, line, list, revoke_others,
    rotate,
};
use common::{Answer, Cloud, bearer};
use serde_json::{Value, json};

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
        (r#"{"scopes": []}"#, "scopes must name some of calendar:read"),
        (r#"{"scopes": ["files:all"]}"#, "scopes must name some of calendar:read"),
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
    let named = format!("already rotated; use {new_id}");
    assert_refused(&rotate(&cloud, &old_id, ""), 409, &named);
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
    let say = "name the token that stays";
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
    let his_line = cloud.tokens(BOB)[0].clone();
    assert_eq!((&his_line["label"], &his_line["scopes"]), (&json!("his"), &Value::Null));
    assert_eq!(cloud.dav("PROPFIND", "/dav/", &bearer(&his)), 207);
}

// -- the list

#[test]
fn without_a_limit_there_may_be_many_and_all_are_listed_in_pages() {
    let data = folder();
    let cloud = Cloud::with_alice_and_bob(data.path());
    for n in 0..120 {
        cloud.create(ALICE, &format!(r#"{{"label": "{n}"}}"#));
    }
    let mut labels: Vec<u32> = cloud
        .tokens(ALICE)
        .iter()
        .map(|one| one["label"].as_str().unwrap().parse().unwrap())
        .collect();
    labels.sort_unstable();
    assert_eq!(labels, (0..120).collect::<Vec<_>>(), "each once");

    let usual = cloud.api(ALICE, "GET", "/api/tokens", "").json();
    assert_eq!(
        (usual["tokens"].as_array().unwrap().len(), &usual["next"]),
        (100, &id_of(&usual, 99))
    );
    let rest = format!("/api/tokens?cursor={}", usual["next"].as_str().unwrap());
    let rest = cloud.api(ALICE, "GET", &rest, "").json();
    assert_eq!((rest["tokens"].as_array().unwrap().len(), &rest["next"]), (20, &Value::Null));
    // A cursor is a place in the list. It opens nobody else's.
    let first = format!("/api/tokens?cursor={}", id_of(&usual, 0).as_str().unwrap());
    assert_eq!(cloud.api(BOB, "GET", &first, "").json()["tokens"], json!([]));
    for bad in
        ["limit=0", "limit=1001", "limit=x", "cursor=x", "cursor=", "page=2", "limit=1&limit=2"]
    {
        let refused = cloud.api(ALICE, "GET", &format!("/api/tokens?{bad}"), "");
        assert_eq!(refused.status, 400, "{bad}");
        assert!(refused.json()["reason"].as_str().unwrap().contains("from 1 to 1000"), "{bad}");
    }
}

fn id_of(page: &Value, at: usize) -> Value {
    page["tokens"][at]["id"].clone()
}
