//! Tokens in a text that leaked.

mod common;

use app_tokens::report::LeakReport;
use app_tokens::{Access, NewToken, TokenAuthority, TokenId};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{Host, phone};

#[test]
fn leaked_tokens_are_revoked_wherever_they_stand_in_the_text() {
    let host = Host::new();
    let (clear, clear_text) = host.issue(phone());
    let (header, header_text) = host.issue(phone());
    let (gone, gone_text) = host.issue(phone());
    let (_, kept_text) = host.issue(phone());
    host.admin(&["revoke", &gone.to_string()]).done();
    let foreign = TokenAuthority::in_memory("acme").unwrap();
    let foreign = foreign.block_on(foreign.issue(phone())).unwrap();
    let mut log = b"caf\xe9 ".to_vec();
    let lines = [
        clear_text.to_uppercase(),
        format!("Authorization: Basic {}", STANDARD.encode(format!("alice:{header_text}"))),
        gone_text,
        foreign.expose_secret().to_owned(),
        clear_text.clone(),
    ];
    log.extend(lines.join("\n").bytes());
    let report = host.admin_reading(&log, &["leaked", "--json"]).json();
    assert_eq!(report["unread"], serde_json::json!([]));
    let report = &report["leaks"];
    let said: Vec<_> = report.as_array().unwrap().iter().map(|leak| &leak["outcome"]).collect();
    assert_eq!(
        said,
        ["revoked", "revoked", "was revoked before", "no such token, or another secret"]
    );
    assert_eq!((&report[0]["id"], &report[0]["at"]), (&clear.to_string().into(), &5.into()));
    assert!(!host.is_good(&clear_text) && !host.is_good(&header_text) && host.is_good(&kept_text));
    let view = host.view(header);
    let revocation = view.revocation().unwrap();
    assert_eq!((revocation.reason.as_str(), view.last_use()), ("leaked", None));
    let again = host.admin_reading(&clear_text, &["leaked"]).done();
    assert_eq!(again, format!("byte 0: {clear} was revoked before\n"));

    // No keys are needed in an emergency.
    let command = ["--store", &host.store(), "--policy", "policy.toml", "leaked"];
    host.run(host.command(&command), kept_text.as_bytes()).done();
    assert!(!host.is_good(&kept_text));
}

#[test]
fn a_leaked_token_with_a_damaged_row_is_left_to_a_person() {
    let host = Host::new();
    let ((good, good_text), (damaged, damaged_text)) = (host.issue(phone()), host.issue(phone()));
    let sql = "UPDATE app_tokens SET label = '' WHERE id = ?1";
    let database = rusqlite::Connection::open(host.path("tokens.db")).unwrap();
    assert_eq!(database.execute(sql, [damaged.as_u64() as i64]).unwrap(), 1);
    let text = format!("{good_text} {damaged_text}");
    let left = host.admin_reading(&text, &["leaked"]);
    let printed = left.out.clone();
    assert!(printed.contains(&format!("{good} revoked\n")), "{printed}");
    let advice = format!("`admin revoke {damaged} --reason leaked`");
    assert!(printed.contains(&advice), "{printed}");
    left.exited(1, "not all tokens could be revoked");
    host.admin(&["revoke", &damaged.to_string(), "--reason", "leaked"]).done();
    let again = host.admin_reading(&text, &["leaked"]).done();
    assert!(again.lines().all(|line| line.ends_with(" was revoked before")), "{again}");
}

#[test]
fn a_text_without_our_tokens_is_exit_3_however_long_it_is() {
    let host = Host::new();
    let foreign = TokenAuthority::in_memory("acme").unwrap();
    let foreign = foreign.block_on(foreign.issue(phone())).unwrap();
    let huge = "x_".repeat(2_000_000);
    for text in ["", "nothing", foreign.expose_secret(), &huge] {
        host.admin_reading(text, &["leaked"])
            .exited(3, "everything was read, and no token of this host was found");
    }
}

#[test]
fn while_a_token_of_another_system_may_be_valid_nothing_is_answered_with_none_found() {
    const NOT_LOOKED_FOR: &str = "tokens of another system are not looked for";
    let host = Host::with_import(&[]);
    host.admin(&["keys", "add-import"]).done();
    let row = serde_json::json!({
        "owner": "alice", "label": "Printer", "token": "hunter2hunter2", "scopes": "*",
        "created": null, "expires": null, "used": null, "revoked": 0
    });
    host.admin_reading(row.to_string(), &["import", "plain", "-"]).done();
    let id = host.admin(&["list", "--json"]).json()[0]["id"].as_str().unwrap().to_owned();
    let without_keys = ["--store", &host.store(), "--policy", "policy.toml", "leaked"];
    let look = |text: &str| {
        let bare = host.run(host.command(&without_keys), text.as_bytes());
        [host.admin_reading(text, &["leaked"]), bare]
    };
    for ran in look("password = hunter2hunter2") {
        let said = "1 tokens of another system may be valid";
        assert!(ran.out.contains(said) && ran.out.contains("`admin revoke ID"), "{ran:?}");
        ran.exited(6, NOT_LOOKED_FOR);
    }
    let (own, own_text) = host.issue(phone());
    let ran = host.admin_reading(&own_text, &["leaked", "--json"]);
    assert_eq!(ran.code, Some(6), "{ran:?}");
    let report = ran.json();
    assert_eq!(report["other_systems"], 1);
    assert_eq!(report["leaks"][0]["id"], own.to_string());
    assert!(!host.is_good(&own_text));
    host.admin(&["revoke", &id, "--reason", "leaked"]).done();
    for ran in look("password = hunter2hunter2") {
        ran.exited(3, "no token of this host was found");
    }
}

#[test]
fn every_token_in_a_huge_text_is_found_once_even_across_windows() {
    let host = Host::new();
    let (early, early_text) = host.issue(phone());
    let (across, across_text) = host.issue(phone());
    let (last, last_text) = host.issue(phone());
    // The second window begins with the end of the first one's megabyte.
    let mut text = ".".repeat((1 << 20) - 100);
    text += &format!("{early_text} and {across_text}");
    text += &".".repeat(2 << 20);
    text += &last_text;
    let report = host.admin_reading(&text, &["leaked", "--json"]).json();
    let said = |(id, secret): (TokenId, &String)| {
        let at = text.find(secret);
        let id = id.to_string();
        serde_json::json!({ "file": null, "at": at, "id": id, "outcome": "revoked" })
    };
    let found = [(early, &early_text), (across, &across_text), (last, &last_text)].map(said);
    let whole = serde_json::json!({ "leaks": found, "unread": [], "other_systems": 0 });
    assert_eq!(report, whole);
}

#[test]
fn more_tokens_than_one_call_takes_are_all_found() {
    let host = Host::new();
    let foreign = TokenAuthority::in_memory("acme").unwrap();
    let mut text = String::new();
    for n in 0..2 * LeakReport::MAX_LEAKS + 1 {
        let new = NewToken::new(format!("owner {n}"), "x", Access::full());
        text += foreign.block_on(foreign.issue(new)).unwrap().expose_secret();
        text += "\n";
    }
    let (last, last_text) = host.issue(phone());
    let report = host.admin_reading(text.clone() + &last_text, &["leaked", "--json"]).json();
    let report = report["leaks"].as_array().unwrap();
    assert_eq!(report.len(), 2 * LeakReport::MAX_LEAKS + 2);
    let found = &report[report.len() - 1];
    assert_eq!((&found["id"], &found["at"]), (&last.to_string().into(), &text.len().into()));
    assert_eq!(found["outcome"], "revoked");
}
