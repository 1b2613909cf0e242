//! The operator's tool from outside: every command, every exit status.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use app_tokens::access::Resource;
use app_tokens::clock::{Clock as _, ManualClock, SystemClock};
use app_tokens::record::{Expires, Status};
use app_tokens::report::LeakReport;
use app_tokens::store::{SqliteStore, postgres_sql};
use app_tokens::{
    Access, KeyRing, NewToken, Operator, Policy, Rotation, Timestamp, TokenAuthority, TokenId,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::Host;
use serde_json::Value;
use support::program::has;
use support::text::same_id_other_secret;

const DAY: Duration = Duration::from_secs(86_400);

fn phone() -> NewToken {
    NewToken::new("alice", "My phone", Access::full())
}

fn phone_that(scopes: &[&str]) -> NewToken {
    NewToken::new("alice", "My phone", Access::scopes(scopes.iter().copied()).unwrap())
}

/// Returns a clock that stands this many days back.
fn days_ago(days: u32) -> ManualClock {
    ManualClock::at(SystemClock.now().saturating_sub(days * DAY))
}

#[track_caller]
fn ids(listed: &Value) -> Vec<&str> {
    let mut ids: Vec<_> =
        listed.as_array().unwrap().iter().map(|token| token["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids
}

#[track_caller]
fn sorted<const N: usize>(ids: [TokenId; N]) -> Vec<String> {
    let mut ids = ids.map(|id| id.to_string()).to_vec();
    ids.sort_unstable();
    ids
}

// -- issue

#[test]
fn an_issued_token_is_alone_on_standard_output_and_as_asked() {
    let host = Host::new();
    let wish = ["issue", "--owner", "alice", "--label", " My phone ", "--expires", "90 days"];
    let access =
        ["--scope", "files:read", "--resource", "under:docs", "--resource", "exact:photos"];
    let ran = host.admin(&[&wish[..], &access].concat());
    let (id, text) = host.new_token(&ran);
    assert!(ran.err.starts_with(&format!("issued {id} for alice: ends at ")), "{ran:?}");
    assert!(host.is_good(&text));
    let token = host.view(id);
    assert_eq!((token.owner().as_str(), token.label().as_str()), ("alice", "My phone"));
    assert_eq!(token.issued_by().unwrap().as_str(), "olga");
    let Expires::At(end) = token.expires() else { panic!("it ends") };
    assert_eq!(end.since(token.created_at()), 90 * DAY);
    let show = host.admin(&["show", &id.to_string(), "--json"]).json();
    assert_eq!(show["scopes"], serde_json::json!(["files:read"]));
    assert_eq!(show["resources"], serde_json::json!(["exact:photos", "under:docs"]));
}

#[test]
fn a_token_issued_without_options_has_the_policys_defaults() {
    let host = Host::with_policy("default_life = '30 days'\nidle_timeout = '7 days'");
    let (id, _) = host.new_token(&host.admin(&["issue", "--owner", "alice", "--label", "x"]));
    let token = host.view(id);
    assert_eq!(token.expires(), Expires::At(token.created_at().saturating_add(30 * DAY)));
    assert_eq!(token.access(), &Access::full());
}

#[test]
fn a_token_may_end_at_an_instant_a_day_or_never() {
    let host = Host::with_policy("never_expiring = true");
    for (end, expected) in [
        ("2999-12-31T12:00:00Z", "2999-12-31T12:00:00Z"),
        ("2999-12-31", "2999-12-31T00:00:00Z"),
        ("never", "never"),
    ] {
        let wish = ["issue", "--owner", "alice", "--label", "x", "--expires", end];
        let (id, _) = host.new_token(&host.admin(&wish));
        assert_eq!(host.view(id).expires().to_string(), expected);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_new_token_that_cannot_be_written_is_revoked() {
    let host = Host::new();
    let full = || Stdio::from(fs::File::options().write(true).open("/dev/full").unwrap());
    let store = host.store();
    let setting = ["--store", &store, "--policy", "policy.toml", "--key-file", "keys"];
    let mut command = host.command(&setting);
    command.args(["issue", "--owner", "alice", "--label", "lost"]).stdout(full());
    host.run(command, b"").exited(1, "could not be written");
    let listed = host.admin(&["list", "--json"]).json();
    assert_eq!((&listed[0]["label"], &listed[0]["status"]), (&"lost".into(), &"revoked".into()));

    // Doing what the message says must replace the token, and must not end or keep alive another.
    let lose = |old: TokenId, more: &[&str]| {
        let mut command = host.command(&setting);
        command.args([&["rotate", &old.to_string()], more].concat()).stdout(full());
        let ran = host.run(command, b"");
        (ran.code, ran.err, host.view(old).successor().unwrap())
    };
    let overlap = ["--overlap", "1h"];
    let (old, text) = host.issue(phone());
    let script = host.issue_under(&text, "Script");
    let (code, said, unseen) = lose(old, &overlap);
    let next = format!("Until the overlap of {old} ends, run the same command again");
    assert!(code == Some(1) && said.contains(&next), "{said}");
    let again = ["rotate", &old.to_string(), "--overlap", "1h"];
    let (_, again) = host.new_token(&host.admin(&again));
    assert!(host.is_good(&again) && host.is_good(&text));
    assert_eq!(host.view(unseen).status(), Some(Status::Revoked));
    assert_eq!(host.view(script).status(), Some(Status::Active));

    let (old, text) = host.issue(phone_that(&["files:read"]));
    let (code, said, unseen) = lose(old, &[]);
    let next = format!("{old} is no longer valid. `admin rotate {unseen} --overlap 0s`");
    assert!(code == Some(1) && said.contains(&next) && !host.is_good(&text), "{said}");
    let again = ["rotate", &unseen.to_string(), "--overlap", "0s"];
    let (new, again) = host.new_token(&host.admin(&again));
    assert!(host.is_good(&again));
    assert_eq!(host.view(unseen).status(), Some(Status::Superseded));
    let (new, old) = (host.view(new), host.view(old));
    assert_eq!((new.label(), new.access()), (old.label(), old.access()));
}

#[cfg(target_os = "linux")]
#[test]
fn no_token_is_made_if_nobody_could_see_it() {
    let host = Host::new();
    let (id, text) = host.issue(phone());
    let before = host.rows();
    let store = host.store();
    let program = host.command(&[]).get_program().to_str().unwrap().to_owned();
    let rotate = ["rotate", &id.to_string()];
    for act in [&["issue", "--owner", "alice", "--label", "lost"][..], &rotate] {
        let setting = ["--store", &store, "--policy", "policy.toml", "--key-file", "keys"];
        let all = [&setting, act].concat();
        let mut discarded = host.command(&all);
        discarded.stdout(Stdio::null());
        let mut closed = Command::new("sh");
        closed.args(["-c", r#"exec "$0" "$@" >&-"#, &program, "--as", "olga"]).args(&all);
        closed.current_dir(host.folder.path()).stdin(Stdio::piped()).stderr(Stdio::piped());
        for command in [discarded, closed] {
            host.run(command, b"").exited(2, "standard output is closed or /dev/null");
            assert_eq!(host.rows(), before, "{act:?}");
        }
    }
    assert!(host.is_good(&text));
}

#[test]
fn what_the_policy_forbids_is_exit_4() {
    let host = Host::with_policy("max_life = '90 days'\nmax_per_owner = 2\nunique_labels = true");
    let issue = |label: &str, more: &[&str]| {
        host.admin(&[&["issue", "--owner", "alice", "--label", label], more].concat())
    };
    issue("long", &["--expires", "91 days"]).exited(4, "may live for at most 90 days");
    issue("for ever", &["--expires", "never"]).exited(4, "does not allow tokens that never expire");
    issue("past", &["--expires", "2020-01-01"]).exited(4, "would expire as soon as it is made");
    issue("far", &["--expires", "9000 years"]).exited(4, "after the year 9999");
    issue("typo", &["--scope", "files:raed"]).exited(4, "name some of files:read, files:write");
    let (id, _) = host.new_token(&issue("My phone", &["--scope", "files:read"]));
    issue("My phone", &[]).exited(4, "another token has that label");
    let (other, _) = host.new_token(&issue("Backup", &[]));
    issue("Third", &[]).exited(4, "the limit of 2 tokens is reached");

    let id = id.to_string();
    host.admin(&["rename", &id, "Backup"]).exited(4, "another token has that label");
    host.admin(&["narrow", &id, "--scope", "files:write"]).exited(4, "would do more");
    host.admin(&["narrow", &id, "--scope", "files:raed"]).exited(4, "name some of files:read");
    host.admin(&["extend", &id, "--expires", "91 days"]).exited(4, "at most");
    host.admin(&["extend", &id, "--expires", "never"])
        .exited(4, "does not allow tokens that never expire");
    host.admin(&["rotate", &id, "--expires", "91 days"]).exited(4, "at most");
    host.admin(&["rotate", &id, "--expires", "9000 years"]).exited(4, "after the year 9999");
    host.admin(&["revoke", &other.to_string()]).done();
    for act in [&["rename"][..], &["narrow", "--scope", "files:read"], &["rotate"]] {
        let more: &[&str] = if act[0] == "rename" { &["New"] } else { &[] };
        host.admin(&[act, &[&other.to_string()], more].concat()).exited(4, "is revoked");
    }
}

// -- look

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

// -- change

#[test]
fn a_token_is_renamed_narrowed_and_given_another_end() {
    let host = Host::new();
    let resources = [Resource::under("docs").unwrap(), Resource::exact("photos").unwrap()];
    let access = Access::scopes(["files:write"]).unwrap().on(resources).unwrap();
    let wish = NewToken::new("alice", "My phone", access);
    let (id, text) = host.issue(wish);
    let name = id.to_string();
    let ran = host.admin(&["rename", &name, "Old phone"]);
    assert_eq!(ran.err, format!("{id} of alice is called \"Old phone\"\n"));
    assert_eq!(host.view(id).label().as_str(), "Old phone");

    // By the policy file, writing includes reading. What isn't named stays as it is.
    host.admin(&["narrow", &name, "--scope", "files:read"]).done();
    host.admin(&["narrow", &name, "--resource", "exact:docs/taxes"]).done();
    let shown = host.admin(&["show", &name, "--json"]).json();
    assert_eq!(shown["scopes"], serde_json::json!(["files:read"]));
    assert_eq!(shown["resources"], serde_json::json!(["exact:docs/taxes"]));
    host.admin(&["narrow", &name]).exited(2, "name what the token keeps");

    let ran = host.admin(&["extend", &name, "--expires", "2999-01-01"]);
    assert_eq!(ran.err, format!("{id} of alice ends at 2999-01-01T00:00:00Z\n"));
    host.admin(&["extend", &name, "--expires", "1 day"]).done();
    assert!(host.view(id).expires().has_come(SystemClock.now().saturating_add(2 * DAY)));
    assert!(host.is_good(&text));
}

#[test]
fn a_rotated_token_ends_at_once_or_after_the_overlap() {
    let host = Host::new();
    let (first, first_text) = host.issue(phone());
    let ran = host.admin(&["rotate", &first.to_string(), "--overlap", "1h"]);
    let (second, second_text) = host.new_token(&ran);
    assert!(host.is_good(&first_text) && host.is_good(&second_text));
    assert_eq!(host.view(first).successor(), Some(second));
    let again = host.admin(&["rotate", &second.to_string(), "--expires", "2999-01-01"]);
    let (third, third_text) = host.new_token(&again);
    assert!(!host.is_good(&second_text) && host.is_good(&third_text));
    assert_eq!(host.view(third).expires().to_string(), "2999-01-01T00:00:00Z");
    host.admin(&["rotate", &second.to_string()]).exited(4, "the token is superseded");
}

// -- end

#[test]
fn a_dry_run_lists_exactly_what_would_be_revoked_and_changes_nothing() {
    let host = Host::new();
    let (parent, parent_text) = host.issue(phone());
    let child = host.issue_under(&parent_text, "Script");
    let (other, other_text) = host.issue(NewToken::new("bob", "My phone", Access::full()));
    let (gone, _) = host.issue(phone());
    host.admin(&["revoke", &gone.to_string()]).done();
    let before = host.rows();
    for (which, expected) in [
        (vec![parent.to_string()], sorted([parent, child])),
        (vec!["--owner".into(), "alice".into()], sorted([parent, child])),
        (vec!["--owner".into(), "bob".into()], sorted([other])),
        (vec!["--all".into()], sorted([parent, child, other])),
    ] {
        let which: Vec<&str> = which.iter().map(String::as_str).collect();
        let would = host.admin(&[&["revoke", "--dry-run", "--json"], &which[..]].concat());
        assert!(would.err.contains("nothing was done"), "{would:?}");
        assert_eq!(ids(&would.json()), expected, "{which:?}");
    }
    host.admin(&["revoke", "--dry-run", &gone.to_string()]).exited(3, "nothing to revoke");
    assert_eq!(host.rows(), before);

    assert_eq!(host.admin(&["revoke", "--owner", "alice", "--yes"]).done(), "revoked 2\n");
    assert!(!host.is_good(&parent_text) && host.is_good(&other_text));
    assert_eq!(host.view(child).status(), Some(Status::Revoked));
}

#[test]
fn a_dry_run_lists_each_derived_token_once_however_many_there_are() {
    let host = Host::new();
    let old = host.tokens_at(days_ago(200));
    let (parent, parent_text) = host.issue_by(&old, phone());
    let (twin, twin_text) = host.issue_by(&old, phone());
    let child = host.issue_under(&parent_text, "Script");
    let grown = host.issue_under_by(&host.tokens_at(days_ago(190)), &twin_text, "Old script");
    let (used, used_text) = host.issue_by(&old, NewToken::new("bob", "Desktop", Access::full()));
    let his = host.issue_under(&used_text, "Script");
    host.use_now(&used_text);
    host.copy_row(used, 1200);
    let dry = |which: &[&str]| {
        let ran = host.admin(&[&["revoke", "--dry-run", "--json"], which].concat());
        (ran.err.clone(), ids(&ran.json()).into_iter().map(str::to_owned).collect::<Vec<_>>())
    };
    let unused = ["--unused-since", "180 days"];
    let (said, named) = dry(&unused);
    assert!(said.contains("would revoke 4;"), "{said}");
    assert_eq!(named, sorted([parent, twin, child, grown]), "not {his}, whose parent is in use");
    let (said, named) = dry(&[&unused[..], &["--owner", "alice"]].concat());
    assert!(said.contains("would revoke 4;") && named.len() == 4, "{said}");
    let (said, named) = dry(&["--all"]);
    assert!(said.contains("would revoke 1206;") && named.len() == 1206, "{said}");
    let (said, named) = dry(&["--owner", "bob"]);
    assert!(said.contains("would revoke 1202;") && named.len() == 1202, "{said}");
    let ran = host.admin(&[&["revoke", "--yes"], &unused[..]].concat());
    assert_eq!(ran.done(), "revoked 4\n", "as it was said");
}

#[test]
fn a_dry_run_spares_what_was_issued_under_a_line_in_use() {
    let host = Host::new();
    let old = host.tokens_at(days_ago(200));
    let (first, _) = host.issue_by(&old, phone());
    let (olga, rotation) = (Operator::new("olga").unwrap(), Rotation::new().overlap(DAY));
    let current = old.block_on(old.rotate(&olga, first, rotation)).unwrap();
    host.keep_secret(current.expose_secret());
    let child = host.issue_under_by(&host.tokens_at(days_ago(190)), current.expose_secret(), "Old");
    host.use_now(current.expose_secret());
    let unused = ["--unused-since", "180 days"];
    // The child itself was never used. It matches by its own age.
    let would = host.admin(&[&["revoke", "--dry-run", "--json"], &unused[..]].concat());
    assert_eq!(ids(&would.json()), sorted([first, child]));
    let young = host.issue_under(current.expose_secret(), "Script");
    let would = host.admin(&[&["revoke", "--dry-run", "--json"], &unused[..]].concat());
    assert_eq!(ids(&would.json()), sorted([first, child]), "not {young}, whose line is in use");
    let ran = host.admin(&[&["revoke", "--yes"], &unused[..]].concat());
    assert_eq!(ran.done(), "revoked 2\n", "as it was said");
    assert_eq!(host.view(young).status(), Some(Status::Active));
}

#[test]
fn the_first_revocation_stays_and_a_repeat_is_no_error() {
    let host = Host::new();
    let (id, text) = host.issue(phone());
    let revoke = ["revoke", &id.to_string(), "--reason"];
    assert_eq!(host.admin(&[&revoke[..], &["stolen"]].concat()).done(), "revoked 1\n");
    let again = host.admin(&[&revoke[..], &["left", "--as", "paul"]].concat());
    assert_eq!(again.done(), "the token was already revoked\n");
    let view = host.view(id);
    let revocation = view.revocation().unwrap();
    assert_eq!(revocation.reason.as_str(), "stolen");
    assert_eq!(revocation.by.to_string(), "operator olga");
    assert!(!host.is_good(&text));
}

#[test]
fn a_bulk_act_without_yes_changes_nothing() {
    let host = Host::new();
    let (_, text) = host.issue(phone());
    let before = host.rows();
    for act in [["revoke", "--owner", "alice"], ["forget", "--owner", "alice"]] {
        host.admin(&act).exited(2, "confirm it with --yes");
    }
    host.admin(&["revoke", "--all"]).exited(2, "confirm it with --yes");
    assert_eq!(host.rows(), before);
    assert!(host.is_good(&text));
}

#[cfg(target_os = "linux")]
#[test]
fn at_a_terminal_a_bulk_act_asks_and_only_yes_goes_on() {
    if !has("script") {
        return;
    }
    let host = Host::new();
    let (id, _) = host.issue(phone());
    let at_terminal = |act: &str, answer: &str| {
        let line = format!("--store {} {act} --owner alice", host.store());
        host.admin_at_terminal(&line, answer)
    };
    for answer in ["n\n", "\n", "what?\n"] {
        let ran = at_terminal("revoke", answer);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.out.contains("Revoke 1 tokens? [y/N]"), "{ran:?}");
        assert!(ran.out.contains("nothing was done"), "{ran:?}");
    }
    assert!(host.view(id).revocation().is_none());
    assert_eq!(at_terminal("revoke", "y\n").code, Some(0));
    assert!(host.view(id).revocation().is_some());
    assert_eq!(at_terminal("revoke", "y\n").code, Some(3));
    let ran = at_terminal("forget", "yes\n");
    assert!(ran.code == Some(0) && ran.out.contains("Forget 1 tokens of alice?"), "{ran:?}");
    assert!(host.rows().is_empty());
}

#[test]
fn tokens_unused_for_long_are_revoked_and_those_that_may_be_in_use_are_not() {
    let host = Host::new();
    let old = host.tokens_at(days_ago(200));
    let (unused, _) = host.issue_by(&old, NewToken::new("bob", "Old laptop", Access::full()));
    let (used, used_text) = host.issue_by(&old, NewToken::new("bob", "Desktop", Access::full()));
    host.use_now(&used_text);
    let (new, _) = host.issue(phone());
    for too_late in ["59 minutes", "2999-01-01", "0s"] {
        let ran = host.admin(&["revoke", "--unused-since", too_late, "--yes"]);
        ran.exited(2, "within the last hour");
    }
    let ran = host.admin(&["revoke", "--unused-since", "180 days", "--yes", "--reason", "unused"]);
    assert_eq!(ran.done(), "revoked 1\n");
    assert_eq!(host.view(unused).revocation().unwrap().reason.as_str(), "unused");
    assert!([used, new].iter().all(|id| host.view(*id).revocation().is_none()));
}

#[test]
fn a_forgotten_token_is_deleted_with_what_was_issued_under_it() {
    let host = Host::new();
    let (parent, text) = host.issue(phone());
    let child = host.issue_under(&text, "Script");
    let (_, his) = host.issue(NewToken::new("bob", "My phone", Access::full()));
    assert_eq!(host.admin(&["forget", &parent.to_string()]).done(), "forgot 1\n");
    host.admin(&["show", &parent.to_string()]).exited(3, "no such token");
    assert_eq!(host.view(child).status(), Some(Status::Revoked));
    assert_eq!(host.admin(&["forget", "--owner", "alice", "--yes"]).done(), "forgot 1\n");
    host.admin(&["forget", "--owner", "alice", "--yes"]).exited(3, "nothing to forget");
    assert!(host.is_good(&his));
    assert_eq!(host.rows().len(), 1);
}

#[test]
fn a_purge_deletes_by_the_policys_retention() {
    let host = Host::with_policy("retention = '30 days'");
    let (dead, _) = host.issue_by(&host.tokens_at(days_ago(40)), phone().expires_in(DAY));
    let (ended, _) = host.issue_by(&host.tokens_at(days_ago(20)), phone().expires_in(DAY));
    assert_eq!(host.admin(&["purge"]).done(), "purged 1\n");
    host.admin(&["show", &dead.to_string()]).exited(3, "no such token");
    assert_eq!(host.view(ended).status(), Some(Status::Expired));
    assert_eq!(host.admin(&["purge"]).done(), "purged 0\n");
}

#[test]
fn an_unknown_token_is_exit_3_for_every_command() {
    let host = Host::new();
    for act in [
        &["show", "0000000000"][..],
        &["revoke", "0000000000"],
        &["rename", "0000000000", "x"],
        &["narrow", "0000000000", "--scope", "files:read"],
        &["extend", "0000000000", "--expires", "1 day"],
        &["rotate", "0000000000"],
        &["forget", "0000000000"],
    ] {
        host.admin(act).exited(3, "there is no such token");
    }
    host.admin(&["revoke", "--owner", "nobody", "--yes"]).exited(3, "nothing to revoke");
    host.admin(&["list"]).exited(3, "no token matches");
    assert_eq!(host.admin(&["list", "--json"]).json(), serde_json::json!([]));
}

// -- leaked

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
        host.admin_reading(text, &["leaked"]).exited(3, "the text holds no token of this host");
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
        serde_json::json!({ "at": at, "id": id.to_string(), "outcome": "revoked" })
    };
    let found = [(early, &early_text), (across, &across_text), (last, &last_text)].map(said);
    assert_eq!(report, serde_json::json!(found));
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
    let report = report.as_array().unwrap();
    assert_eq!(report.len(), 2 * LeakReport::MAX_LEAKS + 2);
    let found = &report[report.len() - 1];
    assert_eq!((&found["id"], &found["at"]), (&last.to_string().into(), &text.len().into()));
    assert_eq!(found["outcome"], "revoked");
}

// -- keys

#[test]
fn a_new_key_is_a_ring_of_its_own_and_overwrites_no_file() {
    let host = Host::new();
    let new = || host.run(host.command(&["keys", "new"]), b"").done();
    let (one, other) = (new(), new());
    assert_ne!(one, other);
    assert_eq!(KeyRing::parse(&one).unwrap().ids().count(), 1);
    let both = format!("{},{}", one.trim(), other.trim());
    assert_eq!(KeyRing::parse(&both).unwrap().ids().count(), 2, "their numbers differ");

    let to_file = || host.run(host.command(&["keys", "new", "--out", "more"]), b"");
    let said = to_file().done();
    let ring = KeyRing::load(host.path("more")).unwrap();
    assert_eq!(said, format!("made more with key {}\n", ring.active_id()));
    let text = fs::read_to_string(host.path("more")).unwrap();
    assert!(!said.contains(text.split_once(':').unwrap().1.trim()));
    to_file().exited(1, "more exists already");
    assert_eq!(fs::read_to_string(host.path("more")).unwrap(), text);
}

#[test]
fn a_new_key_is_rolled_out_as_the_help_says() {
    let host = Host::new();
    let (kept, text) = host.issue(phone());
    let (revoked, _) = host.issue(phone());
    host.admin(&["revoke", &revoked.to_string()]).done();
    let old = fs::read_to_string(host.path("keys")).unwrap().trim().to_owned();
    let old_id = old.split_once(':').unwrap().0.to_owned();
    let new = host.run(host.command(&["keys", "new"]), b"").done().trim().to_owned();
    let new_id = new.split_once(':').unwrap().0.to_owned();
    host.admin(&["keys", "may-retire", &old_id]).exited(4, "make another one active first");
    host.admin(&["keys", "may-retire", "7"]).exited(3, "no key 7, in the key ring or on a row");

    fs::write(host.path("keys"), format!("{new},{old}\n")).unwrap();
    let in_use = host.admin(&["keys", "in-use"]).done();
    assert!(in_use.contains(&format!("key {old_id}: 1 rows, retired\n")), "{in_use}");
    assert!(in_use.contains(&format!("key {new_id}: 0 rows, active\n")), "{in_use}");
    host.admin(&["keys", "may-retire", &old_id]).exited(4, "still seals 1 rows");
    let ran = host.admin(&["reseal"]);
    assert_eq!((&*ran.out, &*ran.err), ("moved 1\n", ""), "no bar in a log");
    assert_eq!(host.admin(&["reseal", "--json"]).json()["moved"], 0);
    assert!(host.admin(&["keys", "may-retire", &old_id]).done().contains("may be taken out"));

    fs::write(host.path("keys"), format!("{new}\n")).unwrap();
    assert!(host.is_good(&text));
    assert_eq!(
        host.admin(&["list", "--under-key", &new_id, "--json"]).json()[0]["id"],
        kept.to_string()
    );
}

#[test]
fn a_reseal_lists_tampered_rows_and_fails_while_rows_are_left() {
    let host = Host::new();
    let (tampered, _) = host.issue(phone());
    let (good, text) = host.issue(phone());
    let database = rusqlite::Connection::open(host.path("tokens.db")).unwrap();
    let sql = "UPDATE app_tokens SET owner = 'root' WHERE id = ?1";
    assert_eq!(database.execute(sql, [tampered.as_u64() as i64]).unwrap(), 1);
    let old = fs::read_to_string(host.path("keys")).unwrap();
    let new = host.run(host.command(&["keys", "new"]), b"").done();
    fs::write(host.path("keys"), format!("{},{old}", new.trim())).unwrap();
    let ran = host.admin(&["reseal", "--json"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("1 rows are not under the active key"), "{ran:?}");
    let report = ran.json();
    assert_eq!(
        (&report["moved"], &report["tampered"]),
        (&1.into(), &[tampered.to_string()][..].into())
    );
    let said = host.admin(&["reseal"]);
    assert!(said.out.contains(&format!("tampered with, so not moved: {tampered}\n")), "{said:?}");
    host.admin(&["revoke", &tampered.to_string()]).done();
    assert_eq!(host.admin(&["reseal"]).done(), "moved 0\n");
    assert!(host.is_good(&text) && host.view(good).status() == Some(Status::Active));
}

#[cfg(target_os = "linux")]
#[test]
fn a_reseal_shows_its_progress_on_a_terminal() {
    if !has("script") {
        return;
    }
    let host = Host::new();
    host.issue(phone());
    host.issue(phone());
    let old = fs::read_to_string(host.path("keys")).unwrap();
    fs::write(host.path("keys"), format!("{},{old}", KeyRing::new_text().unwrap())).unwrap();
    let setting = "--store sqlite:tokens.db --policy policy.toml --key-file keys";
    let ran = host.admin_at_terminal(&format!("{setting} reseal"), "");
    assert!(ran.code == Some(0), "{ran:?}");
    let bar = format!("\r[{}] 2 of 2 rows, 100%, ", "#".repeat(30));
    assert!(ran.out.contains(&bar) && ran.out.ends_with("\r\nmoved 2\r\n"), "{ran:?}");
    let again = host.admin_at_terminal(&format!("{setting} reseal"), "");
    assert_eq!(again.out, "moved 0\r\n", "nothing to wait for");
}

#[test]
fn keys_come_from_the_environment_too_and_bad_ones_are_not_repeated() {
    let host = Host::new();
    let (_, text) = host.issue(phone());
    let ring = fs::read_to_string(host.path("keys")).unwrap();
    let store = host.store();
    let verify = |keys: &str| {
        let mut command = host.command(&["--store", &store, "--policy", "policy.toml", "verify"]);
        command.env("APP_TOKENS_KEYS", keys);
        host.run(command, text.as_bytes())
    };
    assert!(verify(ring.trim()).done().starts_with("valid\n"));
    verify("").exited(1, "the key ring has no key");
    let cut = &ring.trim()[..40];
    host.keep_secret(&ring.trim()[..40]);
    verify(cut).exited(1, "key");
    // With another key ring, nothing can be said about the token.
    let other = KeyRing::new_text().unwrap();
    verify(&other).exited(1, "which the key ring lacks");
    fs::write(host.path("keys"), format!("{other}\n")).unwrap();
    let issue = ["issue", "--owner", "alice", "--label", "x"];
    host.admin(&issue).exited(1, "bring that key back");
    host.admin(&["rename", "0000000000", "x"]).exited(3, "no such token");
    let listed = host.admin(&["list", "--json"]).json();
    assert_eq!(listed[0]["status"], "unknown");
    let in_use = host.admin(&["keys", "in-use"]).done();
    assert!(in_use.contains("1 rows, missing from the key ring"), "{in_use}");
}

#[cfg(unix)]
#[test]
fn a_key_file_that_others_may_read_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let host = Host::new();
    fs::set_permissions(host.path("keys"), fs::Permissions::from_mode(0o644)).unwrap();
    host.admin(&["list"]).exited(1, "keys is open to other users (mode 644)");
    host.admin(&["list", "--key-file", "none"]).exited(1, "none can't be used: No such file");
}

// -- what can't be meant, and what fails

#[test]
fn bad_usage_is_exit_2() {
    let host = Host::new();
    for act in [
        &[][..],
        &["frobnicate"],
        &["issue"],
        &["issue", "--owner", "alice"],
        &["issue", "--owner", "", "--label", "x"],
        &["issue", "--owner", "alice", "--label", " "],
        &["issue", "--owner", "alice", "--label", "a\u{202e}b"],
        &["issue", "--owner", "alice", "--label", "x", "--scope", "two words"],
        &["issue", "--owner", "alice", "--label", "x", "--resource", "a*b"],
        &["issue", "--owner", "alice", "--label", "x", "--expires", "tomorrow"],
        &["issue", "--owner", "alice", "--label", "x", "--as", ""],
        &["show", "alice"],
        &["show", "000000000"],
        &["revoke"],
        &["revoke", "0000000000", "--owner", "alice"],
        &["revoke", "0000000000", "--all"],
        &["revoke", "--all", "--owner", "alice"],
        &["revoke", "0000000000", "--reason", ""],
        &["revoke", "--under-key", "0", "--yes"],
        &["forget"],
        &["forget", "0000000000", "--owner", "alice"],
        &["forget", "0000000000", "--as", " "],
        &["list", "--revoked", "--not-revoked"],
        &["list", "--expiring-within", "-1 day"],
        &["keys"],
        &["keys", "may-retire", "first"],
        &["schema", "mysql"],
        &["rotate", "0000000000", "--overlap", "1 month"],
    ] {
        let ran = host.admin(act);
        assert_eq!(ran.code, Some(2), "{act:?}: {ran:?}");
        assert!(ran.out.is_empty() && !ran.err.is_empty(), "{act:?}: {ran:?}");
    }
}

#[test]
fn an_operator_is_required_and_recorded() {
    let host = Host::new();
    let (id, _) = host.issue(phone());
    let store = host.store();
    let revoke = |user: Option<&str>, logname: Option<&str>| {
        let mut command = host.command(&["--store", &store, "revoke", &id.to_string()]);
        command.env_remove("USER").env_remove("LOGNAME");
        user.map(|user| command.env("USER", user));
        logname.map(|logname| command.env("LOGNAME", logname));
        host.run(command, b"")
    };
    revoke(None, None).exited(2, "USER and LOGNAME are not set; name who acts with --as NAME");
    revoke(Some(""), Some(" ")).exited(2, "name who acts with --as NAME");
    assert!(host.view(id).revocation().is_none());
    revoke(Some(""), Some("lena")).done();
    assert_eq!(host.view(id).revocation().unwrap().by.to_string(), "operator lena");
    // Looking needs no operator.
    let (other, _) = host.issue(phone());
    for look in [&["show"][..], &["revoke", "--dry-run"]] {
        let other = other.to_string();
        let mut look = host.command(&[&["--store", &store], look, &[&other]].concat());
        look.env_remove("USER");
        assert!(host.run(look, b"").done().contains(&other));
    }
    assert!(host.view(other).revocation().is_none());
}

#[test]
fn a_secret_among_the_arguments_is_refused_and_not_repeated() {
    let host = Host::new();
    let (id, text) = host.issue(phone());
    let cut = text[..text.len() - 3].to_owned();
    let mistyped = format!("{}{}", &cut, "000");
    let key = fs::read_to_string(host.path("keys")).unwrap().trim().to_owned();
    let with_owner = format!("--owner={text}");
    host.keep_secret(&cut);
    for act in [
        &["verify", &text][..],
        &["show", &text],
        &["show", &cut],
        &["show", &mistyped],
        &["revoke", &with_owner],
        &["rename", &id.to_string(), &text],
        &["list", "--unheard-of", &text.to_uppercase()],
        &["list", "--unheard-of", &key],
    ] {
        let ran = host.admin(act);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.err.contains("an argument is a token or a key"), "{ran:?}");
        assert!(!ran.err.to_lowercase().contains(&text[20..36]), "{ran:?}");
    }
    // An owner's id may look a little like a token.
    let owner = "user_0123456789abcdef0123456789abcdef01234567";
    host.new_token(&host.admin(&["issue", "--owner", owner, "--label", "x"]));
    for url in ["postgres://app:hunter2@db/app", "postgres:host=db password=hunter2"] {
        let ran = host.run(host.command(&["--store", url, "list"]), b"");
        assert!(!ran.err.contains("hunter2"), "{ran:?}");
        ran.exited(2, "other users can read a password in an argument");
    }
}

#[test]
fn a_missing_store_is_exit_1_and_is_not_made() {
    let host = Host::new();
    let run = |arguments: &[&str]| host.run(host.command(arguments), b"");
    run(&["--store", "sqlite:typo.db", "list"]).exited(1, "there is no file typo.db");
    assert!(!host.path("typo.db").exists());
    fs::write(host.path("text"), "x".repeat(5000)).unwrap();
    run(&["--store", "sqlite:text", "list"]).exited(1, "is not an SQLite database");
    run(&["--store", "postgres://app@127.0.0.1:1/app", "list"])
        .exited(1, "error connecting to server: Connection refused");
    for bad in ["tokens.db", "sqlite:", "mysql://db", ""] {
        run(&["--store", bad, "list"]).exited(2, "not a store; write sqlite:PATH or postgres:URL");
    }
    run(&["list"]).exited(2, "--store is missing; name sqlite:PATH or postgres:URL");
    let mut command = host.command(&["list"]);
    command.env("APP_TOKENS_STORE", host.store());
    host.run(command, b"").exited(3, "no token matches");
    let mut command = host.command(&["list"]);
    command.env("APP_TOKENS_STORE", "postgres://app:hunter2@127.0.0.1:1/app");
    let ran = host.run(command, b"");
    assert!(!ran.err.contains("hunter2"), "{ran:?}");
    ran.exited(1, "error connecting to server: Connection refused");
}

#[test]
fn a_database_without_our_tables_is_left_as_it_was() {
    let host = Host::new();
    let notes = "CREATE TABLE notes (text TEXT); INSERT INTO notes VALUES ('milk');";
    let one_of_ours = "CREATE TABLE app_tokens (id INTEGER);";
    for (name, sql) in [
        ("journal.db", notes.to_owned()),
        ("wal.db", format!("PRAGMA journal_mode = WAL; {notes}")),
        ("half.db", one_of_ours.to_owned()),
        ("empty.db", String::new()),
    ] {
        let folder = host.path(name).with_extension("folder");
        fs::create_dir(&folder).unwrap();
        rusqlite::Connection::open(folder.join(name)).unwrap().execute_batch(&sql).unwrap();
        let files = || {
            let names = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
            BTreeMap::from_iter(names.map(|path| (path.clone(), fs::read(path).unwrap())))
        };
        let (before, store) = (files(), format!("sqlite:{}", folder.join(name).display()));
        for act in [
            &["list"][..],
            &["issue", "--owner", "alice", "--label", "x"],
            &["revoke", "--all", "--yes"],
            &["purge"],
            &["keys", "in-use"],
        ] {
            let setting = ["--store", &store, "--policy", "policy.toml", "--key-file", "keys"];
            let ran = host.run(host.command(&[&setting, act].concat()), b"");
            ran.exited(
                1,
                if name == "half.db" { "not made by this library" } else { "are missing or older" },
            );
            assert_eq!(files(), before, "{name} {act:?}");
        }
    }
}

#[test]
fn the_tool_works_in_the_table_it_is_given() {
    let host = Host::new();
    let (_, text) = host.issue(phone());
    let table = ["--table", "api_tokens"];
    let admin = |act: &[&str]| host.admin(&[&table, act].concat());
    admin(&["list"]).exited(1, "`admin schema sqlite --table api_tokens | sqlite3 ");
    let schema = admin(&["schema"]).done();
    let database = rusqlite::Connection::open(host.path("tokens.db")).unwrap();
    database.execute_batch(&schema).unwrap();
    admin(&["list"]).exited(3, "no token matches");
    let (id, _) = host.new_token(&admin(&["issue", "--owner", "bob", "--label", "x"]));
    assert_eq!(ids(&admin(&["list", "--json"]).json()), [id.to_string()]);
    admin(&["revoke", "--all", "--yes"]).done();
    assert!(host.is_good(&text) && host.rows().len() == 1, "the other table is left alone");
    host.admin(&["list", "--table", "auth.x"]).exited(1, "SQLite needs a table name without one");
}

#[test]
fn looking_does_not_wait_for_a_locked_file() {
    let host = Host::new();
    let (id, _) = host.issue(phone());
    let writing = rusqlite::Connection::open(host.path("tokens.db")).unwrap();
    writing.execute_batch("BEGIN IMMEDIATE").unwrap();
    let shown = host.admin(&["show", &id.to_string(), "--json"]).json();
    assert_eq!(shown["status"], "active");
}

#[test]
fn a_mistake_in_the_policy_file_is_explained() {
    let host = Host::with_policy("max_lief = '90 days'");
    let ran = host.admin(&["list"]);
    assert_eq!(ran.code, Some(1));
    for said in ["the policy file policy.toml", "line 1", "unknown field `max_lief`"] {
        assert!(ran.err.contains(said), "{said}: {ran:?}");
    }
    let host = Host::with_policy("max_life = '90 days'\nnever_expiring = true");
    host.admin(&["list"]).exited(1, "can't allow tokens that never expire");
    fs::remove_file(host.path("policy.toml")).unwrap();
    host.admin(&["list"]).exited(1, "No such file");
}

#[test]
fn nothing_is_issued_or_purged_by_the_policy_of_another_realm() {
    let host = Host::with_policy("realm = 'staging'");
    host.new_token(&host.admin(&["issue", "--owner", "alice", "--label", "the first"]));
    let host = Host::with_policy("realm = 'staging'");
    host.issue(phone()); // by the host, whose realm is another
    let ran = host.admin(&["issue", "--owner", "alice", "--label", "x"]);
    ran.exited(1, "no seal in this store is right for the realm \"staging\"");
    host.admin(&["purge"]).exited(1, "name the host's own policy file");
    assert_eq!(host.rows().len(), 1);
}

#[test]
fn a_closed_standard_output_is_no_error_and_no_panic() {
    let host = Host::new();
    let tokens = host.tokens();
    for n in 0..100 {
        host.issue_by(
            &tokens,
            NewToken::new(format!("owner {n}"), "x".repeat(100), Access::full()),
        );
    }
    let store = host.store();
    for how in [&["list"][..], &["list", "--json"], &["schema"], &["--help"], &["keys", "in-use"]] {
        let mut command = host.command(&[&["--store", &store], how].concat());
        let mut process = command.spawn().unwrap();
        drop(process.stdout.take());
        let output = process.wait_with_output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{how:?}: {err}");
        assert!(!err.contains("panicked"), "{how:?}: {err}");
    }
    let verify = ["--store", &store, "--policy", "policy.toml", "--key-file", "keys", "verify"];
    let mut process = host.command(&verify).spawn().unwrap();
    drop((process.stdout.take(), process.stdin.take()));
    assert_eq!(process.wait().unwrap().code(), Some(5), "no good token by that");
    let mut command = host.command(&["--store", &store, "show", "0000000000"]);
    let mut process = command.spawn().unwrap();
    drop(process.stderr.take());
    assert_eq!(process.wait().unwrap().code(), Some(3), "and nobody who hears why");
}

#[test]
fn the_help_has_every_command_and_every_exit_status() {
    let host = Host::new();
    let help = host.run(host.command(&["--help"]), b"").done();
    for status in ["0  done", "1  failed", "2  usage", "3  there is no", "4  refused", "5  denied"]
    {
        assert!(help.contains(status), "{status}: {help}");
    }
    let commands = help.split("Commands:").nth(1).unwrap().split("Options:").next().unwrap();
    let names = commands.lines().filter_map(|line| line.split_whitespace().next());
    let names: Vec<_> = names.filter(|name| *name != "help").collect();
    assert_eq!(names.len(), 17, "{names:?}");
    for name in names {
        let help = host.run(host.command(&[name, "--help"]), b"").done();
        assert!(help.contains("--policy") && help.lines().all(|line| line.len() < 120), "{help}");
        let examples = help.split("Example").nth(1).unwrap_or_default();
        assert!(examples.contains(&format!("admin {name}")), "{help}");
    }
}

#[test]
fn the_printed_schema_is_the_stores_own() {
    let host = Host::new();
    let schema = |kind: &[&str]| host.run(host.command(&[&["schema"], kind].concat()), b"").done();
    assert_eq!(schema(&["postgres"]).trim_end(), postgres_sql::SCHEMA.trim_end());
    let elsewhere = schema(&["postgres", "--table", "auth.app_passwords"]);
    assert!(
        elsewhere.contains("CREATE TABLE auth.app_passwords_owners (")
            && !elsewhere.contains("app_tokens")
    );
    let bad = ["schema", "--table", "users; DROP TABLE users"];
    host.run(host.command(&bad), b"").exited(2, "not a table name");
    let with_schema = ["schema", "sqlite", "--table", "auth.x"];
    host.run(host.command(&with_schema), b"").exited(2, "a table name without a schema");
    let schema = schema(&[]);
    assert!(SqliteStore::MIGRATIONS.iter().all(|step| schema.contains(step.trim())));
    let path = host.path("made-by-hand.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch(&schema).unwrap();
    let ring = KeyRing::ephemeral().unwrap();
    let store = SqliteStore::open(&path).unwrap();
    let tokens = TokenAuthority::new(store, ring, Policy::new("acme").unwrap());
    assert!(tokens.block_on(tokens.issue(phone())).is_ok());
}
