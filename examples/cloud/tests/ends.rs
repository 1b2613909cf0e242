//! When an app password ends, as the JSON API takes it.

mod common;

use common::{Answer, Cloud};

const ALICE: &str = "alice:her secret";

#[track_caller]
fn id_of(answer: &Answer) -> String {
    assert_eq!(answer.status, 201, "{}", answer.body);
    answer.json()["id"].as_str().unwrap().to_owned()
}

#[track_caller]
fn assert_refused(answer: &Answer, reason: &str) {
    assert_eq!(answer.status, 400, "{}", answer.body);
    let said = answer.json()["reason"].as_str().unwrap().to_owned();
    assert!(said.contains(reason), "{said}");
}

#[test]
fn create_change_and_rotate_take_days_an_instant_or_a_day_and_never_two_ends() {
    let data = tempfile::tempdir().unwrap();
    let cloud = Cloud::with_alice_and_bob(data.path());
    let create = |body: &str| cloud.api(ALICE, "POST", "/api/tokens", body);
    let rotate =
        |id: &str, body: &str| cloud.api(ALICE, "POST", &format!("/api/tokens/{id}/rotate"), body);
    let made = create(r#"{"label": "x", "expires_at": "2099-12-31"}"#);
    assert_eq!(made.json()["expires_at"], "2099-12-31T23:59:59Z");
    let id = id_of(&made);
    let next = rotate(&id, r#"{"expires_at": "2100-02-28"}"#);
    assert_eq!(next.json()["expires_at"], "2100-02-28T23:59:59Z");
    let id = id_of(&next);
    let sooner = rotate(&id, r#"{"expires_in_days": 30}"#).json();
    assert!(sooner["expires_at"].as_str() < Some("2099"), "{sooner}");
    let id = sooner["id"].as_str().unwrap();

    let both = r#""expires_in_days": 3, "expires_at": "2099-12-31""#;
    let two = "name only one end";
    assert_refused(&create(&format!(r#"{{"label": "x", {both}}}"#)), two);
    assert_refused(&rotate(id, &format!("{{{both}}}")), two);
    for no_day in ["2099-13-01", "2099-12-31T", "31.12.2099", "2099-2-1", " 2099-12-31"] {
        let wish = format!(r#"{{"label": "x", "expires_at": "{no_day}"}}"#);
        assert_refused(&create(&wish), "or a day such as 2026-12-31, which means its end");
    }
}
