//! The API for access tokens, in the shape that Forgejo documents.

mod common;

use common::{ALICE, Answer, BOB, Forge, ROOT, basic, bearer, text};
use serde_json::{Value, json};
use tempfile::TempDir;

const NONE: &Value = &Value::Null;

fn start() -> (Forge, TempDir) {
    let data = tempfile::tempdir().unwrap();
    (Forge::start(data.path()), data)
}

fn names(answer: &Answer) -> Vec<String> {
    let listed = answer.json();
    let name = |token: &Value| token["name"].as_str().unwrap().to_owned();
    listed.as_array().unwrap().iter().map(name).collect()
}

#[test]
fn a_token_has_forgejos_fields_and_its_text_once() {
    let (forge, _data) = start();
    let wish = json!({ "name": "tea", "scopes": ["write:issue", "read:user", "read:issue"] });
    let made = forge.create(ALICE, &wish);
    let token = text(&made);
    assert!(token.starts_with("forge_") && token.len() == 51, "{token}");
    assert_eq!(made["name"], "tea");
    assert_eq!(made["scopes"], json!(["write:issue", "read:user"]));
    assert_eq!(made["repositories"], Value::Null);
    let answer = forge.api(&basic(ALICE), "GET", "/users/alice/tokens", NONE);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let listed = answer.json()[0].clone();
    assert_eq!(listed["sha1"], "", "as Forgejo leaves it");
    for field in ["id", "name", "token_last_eight", "scopes", "created_at", "repositories"] {
        assert_eq!(listed[field], made[field], "{field}");
    }
    // They are in the text, at the end of its public part: a person can tell tokens apart by them.
    assert_eq!(listed["token_last_eight"], token["forge_".len()..][2..10]);
    assert!(!answer.body.contains(&token[16..]));
}

#[test]
fn a_list_has_pages_with_the_newest_first_and_says_how_many_there_are() {
    let (forge, _data) = start();
    for n in 0..7 {
        forge.create(ALICE, &json!({ "name": format!("t{n}"), "scopes": ["all"] }));
    }
    let page = |query: &str| {
        forge.api(&basic(ALICE), "GET", &format!("/users/alice/tokens?{query}"), NONE)
    };
    let all = names(&page(""));
    assert_eq!(all.len(), 7);
    assert_eq!(names(&page("page=1&limit=3")), all[..3]);
    assert_eq!(names(&page("page=3&limit=3")), all[6..]);
    assert_eq!(names(&page("page=0&limit=0")), all, "as Forgejo: the first page, its usual size");
    assert!(names(&page("page=4&limit=3")).is_empty());
    assert!(names(&page("page=18446744073709551615&limit=50")).is_empty());
    assert_eq!(page("limit=2").header("x-total-count"), Some("7"));
    assert_eq!(names(&page("limit=-1&page=x")), all);
}

#[test]
fn a_token_is_deleted_by_id_or_by_name() {
    let (forge, _data) = start();
    let delete = |what: &str| {
        forge.api(&basic(ALICE), "DELETE", &format!("/users/alice/tokens/{what}"), NONE).status
    };
    let works = |token: &Value| forge.api(&bearer(&text(token)), "GET", "/user", NONE).status;
    let one = forge.create(ALICE, &json!({ "name": "one", "scopes": ["all"] }));
    let two = forge.create(ALICE, &json!({ "name": "a name/with ÿ", "scopes": ["all"] }));
    assert_eq!((works(&one), works(&two)), (200, 200));
    assert_eq!(delete(&one["id"].to_string()), 204);
    assert_eq!((works(&one), works(&two)), (401, 200));
    assert_eq!(delete("a%20name%2Fwith%20%C3%BF"), 204);
    assert_eq!(works(&two), 401);
    // What is deleted can't be deleted again, and its name is free.
    let number = one["id"].to_string();
    for gone in [&*number, "one", "nothing", "1", "18446744073709551615", "0"] {
        assert_eq!(delete(gone), 404, "{gone}");
    }
    forge.create(ALICE, &json!({ "name": "one", "scopes": ["all"] }));
    assert_eq!(names(&forge.api(&basic(ALICE), "GET", "/users/alice/tokens", NONE)), ["one"]);
}

#[test]
fn a_name_that_several_tokens_have_deletes_none_of_them() {
    let data = tempfile::tempdir().unwrap();
    let policy = data.path().join("policy.toml");
    let text =
        include_str!("../policy.toml").replace("unique_labels = true", "unique_labels = false");
    std::fs::write(&policy, text).unwrap();
    let forge = Forge::start_with(data.path(), &["--policy", policy.to_str().unwrap()]);
    let two = [0, 1].map(|_| forge.create(ALICE, &json!({ "name": "twin", "scopes": ["all"] })));
    let delete = |what: &str| {
        forge.api(&basic(ALICE), "DELETE", &format!("/users/alice/tokens/{what}"), NONE)
    };
    let refused = delete("twin");
    assert_eq!(refused.status, 422);
    assert!(refused.json()["message"].as_str().unwrap().contains("delete by id"));
    assert_eq!(delete(&two[0]["id"].to_string()).status, 204);
    assert_eq!(delete("twin").status, 204, "now it is one");
}

#[test]
fn what_is_asked_for_wrongly_is_refused_and_makes_nothing() {
    let (forge, _data) = start();
    let path = "/users/alice/tokens";
    forge.create(ALICE, &json!({ "name": "taken", "scopes": ["all"] }));
    let missing = json!({ "owner": "alice", "name": "none" });
    for (wish, status) in [
        (json!({ "name": "taken", "scopes": ["all"] }), 400),
        (json!({ "name": "x" }), 400),
        (json!({ "name": "x", "scopes": [] }), 400),
        (json!({ "name": "x", "scopes": ["public-only"] }), 400),
        (json!({ "name": "x", "scopes": ["repo"] }), 400),
        (json!({ "name": "x", "scopes": ["all"], "repositories": [] }), 400),
        (json!({ "name": "x", "scopes": ["all"], "repositories": [missing] }), 404),
        (json!({ "name": "x", "scopes": ["all", "public-only"], "repositories": [] }), 400),
        (json!({ "name": "", "scopes": ["all"] }), 422),
        (json!({ "name": "\u{202e}x", "scopes": ["all"] }), 422),
        (json!({ "name": "x".repeat(300), "scopes": ["all"] }), 422),
        (json!({ "scopes": ["all"] }), 422),
        (json!([]), 422),
        (json!({ "name": "x", "scopes": "all" }), 422),
    ] {
        let answer = forge.api(&basic(ALICE), "POST", path, &wish);
        assert_eq!(answer.status, status, "{wish}: {}", answer.body);
        assert!(!answer.json()["message"].as_str().unwrap().contains("app token"));
    }
    let huge = json!({ "name": "x".repeat(100_000), "scopes": ["all"] });
    assert_eq!(forge.api(&basic(ALICE), "POST", path, &huge).status, 413);
    assert_eq!(names(&forge.api(&basic(ALICE), "GET", path, NONE)), ["taken"]);
}

#[test]
fn only_the_main_password_makes_lists_or_deletes_tokens() {
    let (forge, _data) = start();
    let made = forge.create(ALICE, &json!({ "name": "all", "scopes": ["all"] }));
    let (token, path) = (text(&made), "/users/alice/tokens");
    let wish = json!({ "name": "more", "scopes": ["all"] });
    for header in [
        bearer(&token),
        format!("Authorization: token {token}"),
        basic(&format!("alice:{token}")),
        basic(&format!("{token}:x-oauth-basic")),
        basic(&format!("{token}:")),
        format!("Authorization: {token}"),
    ] {
        for (method, body) in [("GET", NONE), ("POST", &wish)] {
            let answer = forge.api(&header, method, path, body);
            assert_eq!(answer.status, 403, "{header}");
            assert!(answer.body.contains("main password only"));
        }
        assert_eq!(forge.api(&header, "DELETE", &format!("{path}/all"), NONE).status, 403);
    }
    // Nor with a wrong password, or none; each with a challenge.
    for header in [basic("alice:wrong"), basic("nobody:x"), basic("alice:"), "X: y".into()] {
        let answer = forge.api(&header, "GET", path, NONE);
        assert_eq!(answer.status, 401, "{header}");
        assert!(answer.header("www-authenticate").unwrap().starts_with("Basic "));
    }
    assert_eq!(forge.api(&basic(ALICE), "GET", path, NONE).json().as_array().unwrap().len(), 1);
}

#[test]
fn a_token_in_the_passwords_place_never_reaches_the_password_check() {
    let (forge, _data) = start();
    let made = forge.create(ALICE, &json!({ "name": "laptop", "scopes": ["all"] }));
    let path = "/users/alice/tokens";
    assert_eq!(forge.api(&basic(ALICE), "DELETE", &format!("{path}/laptop"), NONE).status, 204);
    // More wrong passwords than the brake allows. A client that repeats its deleted or mistyped
    // token, or another's, locks nobody out.
    let deleted = text(&made);
    let mistyped = format!("{}0", &deleted[..deleted.len() - 1]);
    let of_bob = forge.token(BOB, &["all"]);
    for token in [&deleted, &mistyped, &of_bob] {
        for _ in 0..15 {
            let answer = forge.api(&basic(&format!("alice:{token}")), "GET", path, NONE);
            assert_eq!(answer.status, 401, "{}", answer.body);
        }
    }
    assert_eq!(forge.api(&basic(ALICE), "GET", path, NONE).status, 200);
    // Passwords are braked, and that is logged for fail2ban.
    let last = (0..15).map(|_| forge.api(&basic("alice:wrong"), "GET", path, NONE)).last().unwrap();
    assert_eq!(last.status, 429);
    assert!(last.header("retry-after").is_some());
    let log = forge.log_until("\"reason\":\"too many wrong passwords\"");
    assert!(!log.contains(&deleted[..30]), "{log}");
    assert_eq!(log.matches("\"reason\":\"wrong name or password\"").count(), 10, "{log}");
}

#[test]
fn only_a_site_administrator_acts_for_another_user() {
    let (forge, _data) = start();
    let wish = json!({ "name": "made by root", "scopes": ["read:user"] });
    let path = "/users/alice/tokens";
    for other in ["/users/alice/tokens", "/users/nobody/tokens"] {
        let answers = [
            forge.api(&basic(BOB), "GET", other, NONE),
            forge.api(&basic(BOB), "POST", other, &wish),
            forge.api(&basic(BOB), "DELETE", &format!("{other}/1"), NONE),
        ];
        for answer in answers {
            assert_eq!(answer.status, 403, "and not whether there is such a user");
            assert!(answer.body.contains("site administrator"));
        }
    }
    let made = forge.api(&basic(ROOT), "POST", path, &wish);
    assert_eq!(made.status, 201, "{}", made.body);
    let token = text(&made.json());
    let user = forge.api(&bearer(&token), "GET", "/user", NONE).json();
    assert_eq!((&user["login"], &user["is_admin"]), (&json!("alice"), &json!(false)));
    assert_eq!(names(&forge.api(&basic(ALICE), "GET", path, NONE)), ["made by root"]);
    assert_eq!(forge.api(&basic(ROOT), "GET", "/users/nobody/tokens", NONE).status, 404);
    // A token of the administrator is no password either.
    let of_root = forge.token(ROOT, &["all"]);
    assert_eq!(forge.api(&bearer(&of_root), "GET", path, NONE).status, 403);
    assert_eq!(
        forge.api(&basic(ROOT), "DELETE", &format!("{path}/made%20by%20root"), NONE).status,
        204
    );
    assert_eq!(forge.api(&bearer(&token), "GET", "/user", NONE).status, 401);
}

#[test]
fn of_many_who_ask_for_one_name_at_once_one_gets_it() {
    let (forge, _data) = start();
    let wish = json!({ "name": "one of a kind", "scopes": ["all"] });
    let ask = || forge.api(&basic(ALICE), "POST", "/users/alice/tokens", &wish).status;
    let answers: Vec<u16> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..12).map(|_| scope.spawn(ask)).collect();
        asking.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    assert_eq!(answers.iter().filter(|status| **status == 201).count(), 1, "{answers:?}");
    assert_eq!(answers.iter().filter(|status| **status == 400).count(), 11, "{answers:?}");
}

#[test]
fn each_scope_opens_its_own_routes_and_the_answer_names_what_is_missing() {
    let (forge, _data) = start();
    let status = |scopes: &[&str], method: &str, path: &str, body: &Value| {
        let token = forge.token(ALICE, scopes);
        let answer = forge.api(&bearer(&token), method, path, body);
        let delete = format!("/users/alice/tokens/for%20{}", scopes.join("%20"));
        assert_eq!(forge.api(&basic(ALICE), "DELETE", &delete, NONE).status, 204);
        answer
    };
    let repo = json!({ "name": "site", "private": true });
    assert_eq!(status(&["read:user"], "GET", "/user", NONE).status, 200);
    assert_eq!(status(&["write:user"], "GET", "/user", NONE).status, 200, "write includes read");
    let refused = status(&["write:repository"], "GET", "/user", NONE);
    assert_eq!(refused.status, 403);
    assert!(refused.body.contains("It needs read:user."), "{}", refused.body);
    assert!(refused.header("www-authenticate").unwrap().contains("insufficient_scope"));
    assert_eq!(status(&["read:repository"], "POST", "/user/repos", &repo).status, 403);
    assert_eq!(status(&["write:repository"], "POST", "/user/repos", &repo).status, 201);
    assert_eq!(status(&["write:repository"], "POST", "/user/repos", &repo).status, 409);
    let path = "/repos/alice/site";
    assert_eq!(status(&["read:repository"], "GET", path, NONE).status, 200);
    assert_eq!(status(&["write:issue"], "GET", path, NONE).status, 403);
    let release = json!({ "tag_name": "v1" });
    let path = "/repos/alice/site/releases";
    assert_eq!(status(&["read:repository"], "POST", path, &release).status, 403);
    let empty = status(&["write:repository"], "POST", path, &release);
    assert_eq!(empty.status, 404, "there is no commit to tag: {}", empty.body);
    for bad in ["", "-x", "a..b", "../../x", "a b", "\u{1}", "x.lock"] {
        let release = json!({ "tag_name": bad });
        assert_eq!(status(&["all"], "POST", path, &release).status, 422, "{bad:?}");
    }
}

#[test]
fn a_list_of_scopes_is_normalised_and_written_in_forgejos_order() {
    let (forge, _data) = start();
    for (sent, written) in [
        (&["all"][..], &["all"][..]),
        (&["write:user", "read:issue"], &["read:issue", "write:user"]),
        (&["read:misc", "write:misc", ""], &["write:misc"]),
        (&["read:package", "public-only"], &["public-only", "read:package"]),
        (&["public-only", "all"], &["public-only", "all"]),
    ] {
        let made = forge.create(ALICE, &json!({ "name": written.join(" "), "scopes": sent }));
        assert_eq!(made["scopes"], json!(written), "{sent:?}");
    }
    // A list that says nothing or is unknown is never "everything".
    for sent in [&[""][..], &["sudo"], &["ALL"], &["read:"], &["write"]] {
        let wish = json!({ "name": "x", "scopes": sent });
        assert_eq!(forge.api(&basic(ALICE), "POST", "/users/alice/tokens", &wish).status, 400);
    }
}
