//! `admin import`: hostile rows, second runs, reports. The guides are acted out in `move_from.rs`.

mod common;

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use app_tokens::clock::{Clock as _, SystemClock};
use app_tokens::import::{Import, Plain, Sha512};
use app_tokens::record::Status;
use app_tokens::store::{Filter, Page};
use app_tokens::web::Refusal;
use app_tokens::{Access, KeyRing, NewToken};
use common::old::{assert_denied, assert_not_ours, printed};
use common::{Host, Ran};
use serde_json::{Value, json};
use support::program::has;

/// A row of the format `plain`, with some columns changed.
fn row(changes: &Value) -> String {
    let mut row = json!({
        "owner": "alice", "label": "Phone", "token": "hunter2hunter2", "scopes": "*",
        "created": 1700000000, "expires": null, "used": null, "revoked": 0
    });
    for (column, value) in changes.as_object().unwrap() {
        row[column] = value.clone();
    }
    format!("{row}\n")
}

/// Returns this many rows, each with a token of its own.
fn rows(count: usize) -> String {
    (0..count).map(|number| row(&json!({ "token": format!("token number {number}") }))).collect()
}

fn plain() -> Import {
    Import::new().scheme(Plain::of_unknown_strength())
}

fn ready() -> Host {
    let host = Host::with_import(&["files:read"]);
    host.admin(&["keys", "add-import"]).done();
    host
}

impl Host {
    #[track_caller]
    fn import(&self, rows: impl AsRef<[u8]>) -> Ran {
        self.admin_reading(rows, &["import", "plain", "-"])
    }

    fn count(&self) -> usize {
        self.rows().len()
    }
}

#[test]
fn a_hostile_name_survives_or_is_refused_and_says_nothing_else() {
    let host = ready();
    let database = rusqlite::Connection::open(host.path("old.db")).unwrap();
    database
        .execute_batch(
            "CREATE TABLE tokens (owner, label, token);
            INSERT INTO tokens VALUES
                ('a''b\"c\\d,e', 'x''\"\\,' || char(10) || '{\"owner\":\"root\"}', 'text one'),
                ('nul' || char(0) || 'nul', 'x', 'text two'),
                ('line' || char(10) || 'end', 'x', 'text three'),
                ('alice', 'nul' || char(0) || char(27) || '[2J', 'text four'),
                ('alice', char(8238) || 'x' || char(8232), 'text five'),
                ('alice', '', 'text six');",
        )
        .unwrap();
    let query = "SELECT json_object('owner', owner, 'label', label, 'token', token, 'scopes', '*',
        'created', NULL, 'expires', NULL, 'used', NULL, 'revoked', NULL) FROM tokens";
    let mut rows = printed(&database, query).into_bytes();
    assert_eq!(rows.iter().filter(|byte| **byte == b'\n').count(), 6, "a line each");
    rows.extend(row(&json!({"label": "bad", "token": "text seven"})).bytes());
    let bad = rows.windows(3).position(|bytes| bytes == b"bad").unwrap();
    rows[bad] = 0xff;
    let ran = host.import(&rows);
    let said = ran.out.clone();
    assert!(
        !said.contains("text ") && !said.chars().any(|c| c.is_control() && c != '\n'),
        "{said}"
    );
    ran.exited(4, "3 rows were refused");
    assert!(said.contains("owner has a forbidden character, number 4"), "{said}");
    assert!(said.contains("owner has a forbidden character, number 5"), "{said}");
    assert!(said.contains("it is not a JSON object in UTF-8: row 7"), "{said}");
    assert!(said.contains("labels cut, cleaned or made up: rows 1, 4-6"), "{said}");
    let one = host.enter(&plain(), None, "text one").unwrap();
    assert_eq!(one.owner().as_str(), "a'b\"c\\d,e");
    assert_eq!(one.label().as_str(), "x'\"\\, {\"owner\":\"root\"}");
    let label = |text: &str| host.enter(&plain(), None, text).unwrap().label().to_string();
    assert_eq!((&*label("text four"), &*label("text five")), ("nul  [2J", "x"));
    assert_eq!(label("text six"), "Imported");
    assert_not_ours(&host.enter(&plain(), None, "text two"));
}

#[test]
fn a_run_that_was_killed_is_finished_by_the_next_one() {
    let host = ready();
    let all = rows(60);
    let begin: String = all.split_inclusive('\n').take(25).collect();
    let arguments =
        ["--store", &host.store(), "--policy", "policy.toml", "--key-file", "keys", "import"];
    let mut command = host.command(&[&arguments[..], &["plain", "-"]].concat());
    let mut running = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut input = running.stdin.take().unwrap();
    input.write_all(begin.as_bytes()).unwrap();
    input.write_all(b"{\"owner\": \"al").unwrap();
    input.flush().unwrap();
    // It waits for the rest of that line then.
    while host.count() < 25 {
        assert_eq!(running.try_wait().unwrap(), None);
        std::thread::yield_now();
    }
    running.kill().unwrap();
    running.wait().unwrap();
    assert_eq!(host.import(&all).done().lines().next(), Some("imported 35"));
    assert_eq!(host.count(), 60);
    assert!(host.import(&all).done().starts_with("imported 0\nalready there 60\n"));
    for number in [0, 24, 25, 59] {
        host.enter(&plain(), None, &format!("token number {number}")).unwrap();
    }
}

#[test]
fn a_second_run_changes_nothing_also_if_the_old_row_says_more_now() {
    let host = ready();
    host.import(row(&json!({"scopes": "files:read"}))).done();
    let id = host.enter(&plain(), None, "hunter2hunter2").unwrap().id();
    host.admin(&["revoke", &id.to_string()]).done();
    let before = host.rows();
    let again = host.import(row(&json!({"owner": "root", "scopes": "*", "label": "x"})));
    assert!(again.done().starts_with("imported 0\nalready there 1\n"));
    assert_eq!(host.rows(), before);
    assert_denied(&host.enter(&plain(), None, "hunter2hunter2"));
    assert_eq!(host.view(id).status(), Some(Status::Revoked));
}

#[test]
fn two_rows_of_one_token_are_told_from_a_second_run() {
    let host = ready();
    let twice = row(&json!({})) + &row(&json!({"owner": "bob"}));
    for first in ["imported 1\nalready there 0\n", "imported 0\nalready there 1\n"] {
        let ran = host.import(&twice);
        assert!(ran.out.starts_with(first), "{ran:?}");
        assert!(ran.out.contains("a row before it has this token: row 2"), "{ran:?}");
        ran.exited(4, "1 rows were refused");
    }
    assert_eq!(host.enter(&plain(), None, "hunter2hunter2").unwrap().owner().as_str(), "alice");
}

#[test]
fn what_an_import_needs_is_said_before_anything_is_done() {
    let host = Host::new();
    let closed = host.import(rows(1));
    closed.exited(4, "write `open_import = true` into it, before [scopes]");
    let host = Host::with_import(&[]);
    host.import(rows(1)).exited(1, "make one with `admin keys add-import`");
    host.admin(&["keys", "add-import"]).done();
    host.admin(&["import", "plain", "none"]).exited(1, "none can't be read: No such file");
    assert_eq!(host.count(), 0);
    assert!(host.import("").done().starts_with("imported 0\n"));
    assert!(host.import(rows(1)).done().starts_with("imported 1\n"));
    // Another host's realm: what it imports would be good nowhere.
    fs::write(host.path("policy.toml"), "prefix = 'other'\nopen_import = true\n").unwrap();
    host.import(rows(2)).exited(1, "name the host's own policy file");
}

#[test]
fn a_file_of_another_form_is_refused_at_its_first_row() {
    let host = ready();
    let cut = row(&json!({})).replace("\"expires\":null,", "");
    for (file, why) in [
        ("owner,label,token\nalice,x,hunter2\n", "not a JSON object"),
        ("json_object('owner', owner)\n", "not a JSON object"),
        (&*cut, "the column expires is missing; if the old table has none, write 'expires', NULL"),
        (&row(&json!({"admin": true})), "there are columns besides owner"),
    ] {
        let ran = host.import(file);
        assert!(!ran.err.contains("hunter2"), "{ran:?}");
        ran.exited(2, why);
    }
    host.import("x").exited(2, "`admin import plain --help` shows the query");
    assert_eq!(host.count(), 0);
    let long = format!("{}{}\n{}", row(&json!({})), "x".repeat(100_000), rows(1));
    let ran = host.import(long);
    assert!(ran.out.starts_with("imported 2\n"), "{ran:?}");
    assert!(ran.out.contains("a line of over 64 KiB: row 2"), "{ran:?}");
}

#[test]
fn the_report_names_rows_and_reasons_and_no_secret() {
    let host = ready();
    let file: String = [
        json!({}),
        json!({"scopes": "files:write", "token": "two"}),
        json!({"revoked": "2026-01-02", "token": "three"}),
        json!({"expires": 1700000000, "token": "four"}),
        json!({"owner": null, "token": "five"}),
        json!({"token": ""}),
        json!({"scopes": null, "token": "seven"}),
        json!({"expires": "soon", "token": "eight"}),
        json!({"label": "y".repeat(200), "token": "nine"}),
    ]
    .iter()
    .map(row)
    .collect();
    let ran = host.admin_reading(&file, &["import", "plain", "-", "--json"]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    let report = ran.json();
    assert_eq!(report["imported"], 2);
    assert_eq!(report["labels_changed"], json!([9]));
    let rows = |kind: &str, why: &str| -> Value {
        let reasons = report[kind].as_array().unwrap();
        let of = reasons.iter().find(|one| one["reason"].as_str().unwrap().contains(why));
        of.unwrap_or_else(|| panic!("{why} is not in {report}"))["rows"].clone()
    };
    assert_eq!(rows("refused", "the policy file has no scope \"files:write\""), json!([2]));
    assert_eq!(rows("skipped", "revoked"), json!([3]));
    assert_eq!(rows("skipped", "expired"), json!([4]));
    assert_eq!(rows("skipped", "no owner"), json!([5]));
    assert_eq!(rows("refused", "check the query"), json!([6]));
    assert_eq!(rows("skipped", "could do nothing"), json!([7]));
    assert_eq!(rows("refused", "expires is not"), json!([8]));
    let events = host.admin(&["list", "--owner", "alice", "--json"]).json();
    assert_eq!(events.as_array().unwrap().len(), 2);
}

#[test]
fn owners_are_mapped_and_unknown_ones_are_skipped() {
    let host = ready();
    let file =
        rows(1) + &row(&json!({"owner": 7})) + &row(&json!({"owner": "Alice", "token": "x"}));
    let import = |owners: &str| {
        fs::write(host.path("owners"), owners).unwrap();
        host.admin_reading(&file, &["import", "plain", "-", "--owners", "owners"])
    };
    let alice = "{\"name\": \"alice\", \"owner\": \"u-1\"}\n";
    import(&format!("{alice}{alice}")).exited(2, "line 2: the name has a line before");
    import("alice u-1\n").exited(2, "line 1: it is not a JSON object");
    import("{\"name\": \"alice\", \"owner\": \"\"}\n").exited(2, "line 1: a name and an owner");
    assert_eq!(host.count(), 0);
    let ran = import(&format!("{alice}{{\"name\": 7, \"owner\": 1007}}\n"));
    assert!(ran.done().contains("skipped 1\n  the owner is not in --owners: row 3\n"));
    let owner = |text: &str| host.enter(&plain(), None, text).unwrap().owner().to_string();
    assert_eq!((&*owner("token number 0"), &*owner("hunter2hunter2")), ("u-1", "1007"));
}

#[test]
fn a_life_of_the_old_system_ends_its_tokens_here_too() {
    let host = ready();
    let now = SystemClock.now().as_unix();
    let file = row(&json!({"created": now - 86_400}))
        + &row(&json!({"created": now - 40 * 86_400, "token": "old"}))
        + &row(&json!({"created": null, "token": "unknown"}));
    let ran = host.admin_reading(file, &["import", "plain", "-", "--old-life", "30 days"]);
    assert!(ran.out.contains("it has expired: row 2"), "{ran:?}");
    ran.exited(4, "1 rows");
    let end = host.enter(&plain(), None, "hunter2hunter2").unwrap().expires().at().unwrap();
    assert_eq!(end.as_unix(), now + 29 * 86_400);
}

#[test]
fn a_policy_that_allows_no_endless_token_gives_it_an_end_and_says_so() {
    let host = ready();
    let policy = fs::read_to_string(host.path("policy.toml")).unwrap();
    fs::write(host.path("policy.toml"), policy.replace("never_expiring = true\n", "")).unwrap();
    let said = host.import(rows(2)).done();
    assert!(said.contains("2 had no end, which the policy does not allow"), "{said}");
    assert!(host.enter(&plain(), None, "token number 1").unwrap().expires().at().is_some());
}

#[test]
fn more_tokens_of_an_owner_than_are_tried_are_refused() {
    let host = ready();
    let hash = "j0hlp6qR32G9exGEXktB.yW2rgt2maRBbPgi3EyxcDwKrD14x/WO";
    let file: String = ["x", "y", "z"]
        .iter()
        .map(|first| {
            let mut row: Value = serde_json::from_str(&row(&json!({}))).unwrap();
            row.as_object_mut().unwrap().remove("token");
            row["hash"] = format!("$2a$11${first}{hash}").into();
            format!("{row}\n")
        })
        .collect();
    let ran = host.admin_reading(&file, &["import", "phc", "-", "--max-candidates", "2"]);
    let said = ran.out.clone();
    assert!(!said.contains("$2a$"), "{said}");
    ran.exited(4, "rows were refused");
    assert!(said.contains("--max-candidates allows: row"), "{said}");
}

#[test]
fn a_documented_signing_key_is_refused_and_not_repeated() {
    let host = ready();
    fs::write(host.path("key"), "PleaseUseYourOwnSigningKeyHere\n").unwrap();
    let ran = host
        .admin_reading("", &["import", "powershell-universal", "-", "--signing-key-file", "key"]);
    assert!(!ran.err.contains("PleaseUse"), "{ran:?}");
    ran.exited(2, "anybody can sign tokens with it");
}

#[test]
fn the_status_says_what_to_do_next() {
    let host = ready();
    let status = |line: &str| host.assert_status(line);
    status("no token was imported");
    let hash = "26aef16100f9b03e9952cf09aea96e5c2bfcfdbe9bf2dcbbf8cb06d125473446852a3866d1e1807c6027dca368e9bd2827f7de73f69ab5d5392f790561cb249a";
    let nextcloud = json!({
        "owner": "alice", "label": "x", "hash": hash, "type": 1, "version": 2, "invalid": null,
        "scope": null, "created": null, "expires": null, "used": null
    });
    let ran = host.admin_reading(nextcloud.to_string(), &["import", "nextcloud", "-"]);
    assert!(ran.done().starts_with("imported 1\n"));
    status("nextcloud 1 0 0");
    let import = Import::new().scheme(Sha512::of_nextcloud("1f4h9s").shortest(1));
    host.enter(&import, None, "token7").unwrap();
    status("nextcloud 0 1 0");
    status("hosts need the import and its key for as long as an imported token is live");
    let json = host.admin(&["import", "status", "--json"]).json();
    assert_eq!((&json["waiting"], &json["open_import"]), (&json!(0), &json!(true)));
    let policy = fs::read_to_string(host.path("policy.toml")).unwrap();
    fs::write(host.path("policy.toml"), policy.replace("open_import = true\n", "")).unwrap();
    status("the import is closed");
    host.admin(&["revoke", "--all", "--yes"]).done();
    status("no imported token is live: take the import out of the hosts");
    let tokens = host.tokens();
    let listed = tokens.block_on(tokens.list(&Filter::every_token(), Page::first(9))).unwrap();
    assert_eq!(listed.tokens.len(), 1);
}

#[test]
fn an_import_key_is_added_once_and_the_old_keys_stay() {
    let host = Host::with_import(&[]);
    let (_, text) = host.issue(NewToken::new("alice", "x", Access::full()));
    let before = fs::read_to_string(host.path("keys")).unwrap();
    let entry = host.run(host.command(&["keys", "new", "--import"]), b"").done();
    assert!(KeyRing::parse(&format!("{},{entry}", before.trim())).unwrap().has_import_key());
    host.run(host.command(&["keys", "add-import"]), b"").exited(2, "--key-file");
    fs::write(host.path("keys.import.new"), "").unwrap();
    host.admin(&["keys", "add-import"]).exited(1, "if none runs, delete it");
    assert_eq!(fs::read_to_string(host.path("keys")).unwrap(), before);
    fs::remove_file(host.path("keys.import.new")).unwrap();

    let said = host.admin(&["keys", "add-import"]).done();
    assert_eq!(said, "added the import key to keys; restart the hosts with it\n");
    let after = fs::read_to_string(host.path("keys")).unwrap();
    assert!(after.starts_with(before.trim()), "the active key stays the first");
    assert!(KeyRing::load(host.path("keys")).unwrap().has_import_key() && host.is_good(&text));
    host.admin(&["keys", "add-import"]).exited(4, "it never changes, so nothing was done");
    assert_eq!(fs::read_to_string(host.path("keys")).unwrap(), after);
    assert!(!host.path("keys.import.new").exists());
}

#[cfg(unix)]
#[test]
fn a_key_file_behind_a_link_keeps_link_and_mode() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let host = Host::new();
    fs::create_dir(host.path("secrets")).unwrap();
    fs::rename(host.path("keys"), host.path("secrets/ring")).unwrap();
    symlink("secrets/ring", host.path("keys")).unwrap();
    host.admin(&["keys", "add-import"]).done();
    assert!(fs::symlink_metadata(host.path("keys")).unwrap().is_symlink());
    assert!(KeyRing::load(host.path("secrets/ring")).unwrap().has_import_key());
    let mode = fs::metadata(host.path("secrets/ring")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[cfg(target_os = "linux")]
#[test]
fn an_import_shows_its_progress_on_a_terminal() {
    if !has("script") {
        return;
    }
    let host = ready();
    fs::write(host.path("rows.jsonl"), rows(3)).unwrap();
    let setting = "--store sqlite:tokens.db --policy policy.toml --key-file keys";
    let ran = host.admin_at_terminal(&format!("{setting} import plain rows.jsonl"), "");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("] 3 of 3 rows, 100%, "), "{ran:?}");
    assert!(ran.out.contains("\r\nimported 3\r\n"), "{ran:?}");
    // Nobody knows how many rows a pipe will have.
    let ran = host.admin_at_terminal(&format!("{setting} import plain - < rows.jsonl"), "");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("\r3 rows, ") && ran.out.contains(" a second"), "{ran:?}");
    assert!(!ran.out.contains('%') && ran.out.contains("already there 3"), "{ran:?}");
}

#[test]
fn a_text_that_was_not_imported_fails_like_any_other() {
    let host = ready();
    host.import(rows(1)).done();
    let entered = host.enter(&plain(), Some("alice"), "token number 1");
    assert!(matches!(entered, Err(Refusal::NotOurs)), "{entered:?}");
}
