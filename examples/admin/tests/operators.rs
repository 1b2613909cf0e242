//! Whose tokens there are, slips in a name, and the audit log.

mod common;

use app_tokens::{Access, NewToken, Reason};
use common::Host;
use serde_json::{Value, json};

fn token(owner: &str) -> NewToken {
    NewToken::new(owner, "My phone", Access::full())
}

#[test]
fn owners_are_listed_with_what_they_have() {
    let host = Host::new();
    host.admin(&["owners"]).exited(3, "there is no token");
    assert_eq!(host.admin(&["owners", "--json"]).json(), json!([]));
    let (_, used) = host.issue(token("bob"));
    host.use_now(&used);
    let (ended, _) = host.issue(token("alice"));
    host.issue(token("alice"));
    host.admin(&["revoke", &ended.to_string()]).done();
    let listed = host.admin(&["owners", "--json"]).json();
    let alice = json!({"owner": "alice", "live": 1, "all": 2, "last_used_at": null});
    assert_eq!(listed[0], alice);
    assert_eq!((&listed[1]["owner"], &listed[1]["live"]), (&"bob".into(), &1.into()));
    assert!(listed[1]["last_used_at"].is_string());
    let table = host.admin(&["owners"]).done();
    let lines: Vec<Vec<&str>> =
        table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[1], ["1", "2", "never", "alice"]);
    // Without keys, what isn't revoked may be live.
    let unchecked = host.bare_admin(&["owners", "--json"]);
    assert!(unchecked.err.contains("seals are not checked"), "{unchecked:?}");
    assert_eq!(unchecked.json()[0]["live"], 1);
}

#[test]
fn an_owner_without_tokens_is_pointed_out_and_another_is_not() {
    let host = Host::new();
    let issue = |owner: &str| host.admin(&["issue", "--owner", owner, "--label", "x"]);
    let first = issue("dmeo");
    let (id, _) = host.new_token(&first);
    let words = format!("dmeo had no token before; if the name is a slip: admin revoke {id}");
    assert!(first.err.contains(&words), "{first:?}");
    let second = issue("dmeo");
    host.new_token(&second);
    assert!(!second.err.contains("had no token"), "{second:?}");
}

#[test]
fn what_is_done_stands_in_the_audit_log_with_who_did_it() {
    let host = Host::new();
    let log = host.path("audit.log");
    let audit = ["--audit", log.to_str().unwrap()];
    let run = |arguments: &[&str]| host.admin(&[&audit, arguments].concat());
    let (id, text) = host.new_token(&run(&["issue", "--owner", "alice", "--label", "x"]));
    run(&["rename", &id.to_string(), "y"]).done();
    run(&["list"]).done();
    run(&["revoke", &id.to_string(), "--reason", "laptop stolen"]).done();
    let written = std::fs::read_to_string(&log).unwrap();
    assert!(!written.contains(&text[text.len() - 30..]));
    let lines: Vec<Value> =
        written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let messages: Vec<_> = lines.iter().map(|line| line["message"].as_str().unwrap()).collect();
    assert_eq!(messages, ["token issued", "token changed", "tokens revoked"]);
    assert!(lines.iter().all(|line| line["by"] == "operator olga"), "{written}");
    assert_eq!(lines[2]["reason"], Reason::new("laptop stolen").unwrap().as_str());
    let nowhere = host.path("missing/audit.log");
    host.admin(&["--audit", nowhere.to_str().unwrap(), "list"]).exited(1, "can't be opened");
}
