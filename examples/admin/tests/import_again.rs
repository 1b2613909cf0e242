//! `admin import` after something went wrong: another import key, a token that was forgotten here.

mod common;

use std::fs;
use std::io::Write as _;

use app_tokens::KeyRing;
use common::{Host, Ran};
use serde_json::json;

const ROW: &str = r#"{"owner": "alice", "label": "Phone", "token": "hunter2hunter2", "scopes": "*",
    "created": 1700000000, "expires": null, "used": null, "revoked": 0}"#;

/// A host that has imported one token, and the id of that.
fn imported() -> (Host, String) {
    let host = Host::with_import(&[]);
    host.admin(&["keys", "add-import"]).done();
    assert!(import(&host).done().starts_with("imported 1\n"));
    let id = host.admin(&["list", "--json"]).json()[0]["id"].as_str().unwrap().to_owned();
    (host, id)
}

fn import(host: &Host) -> Ran {
    host.admin_reading(ROW.replace('\n', " "), &["import", "plain", "-"])
}

#[test]
fn a_run_with_another_import_key_is_refused_and_the_status_says_what_is_lost() {
    let (host, id) = imported();
    let right = fs::read_to_string(host.path("keys")).unwrap();
    let (seals, _) = right.split_once(",import:").unwrap();
    let other = format!("{seals},{}\n", KeyRing::new_import_text().unwrap());
    fs::write(host.path("keys"), other).unwrap();
    let ran = import(&host);
    assert_eq!(ran.out, "", "{ran:?}");
    ran.exited(1, &format!("token {id} was imported under another import key"));
    let said = host.admin(&["import", "status"]).done();
    assert!(said.contains("1 more were imported under another import key"), "{said}");
    assert!(!said.contains("no old hash is left"), "{said}");
    let said = host.admin(&["import", "status", "--json"]).json();
    assert_eq!((&said["waiting"], &said["schemes"][0]["lost"]), (&json!(0), &json!(1)));
    fs::write(host.path("keys"), right).unwrap();
    assert!(import(&host).done().starts_with("imported 0\nalready there 1\n"));
}

#[test]
fn a_run_that_stops_midway_says_what_became_of_the_rows_before() {
    for json in [&[][..], &["--json"]] {
        let host = Host::with_import(&[]);
        host.admin(&["keys", "add-import"]).done();
        let setting = ["--store", &host.store(), "--policy", "policy.toml", "--key-file", "keys"];
        let command = [&setting[..], &["import", "plain", "-"], json].concat();
        let mut running = host.command(&command).spawn().unwrap();
        let mut input = running.stdin.take().unwrap();
        let row = ROW.replace('\n', " ");
        // Nobody knows the scope of the first.
        let rows = [row.replace('*', "files:none"), row.clone()].map(|row| row + "\n").concat();
        input.write_all(rows.as_bytes()).unwrap();
        input.flush().unwrap();
        while host.rows().is_empty() {
            assert_eq!(running.try_wait().unwrap(), None);
            std::thread::yield_now();
        }
        let database = rusqlite::Connection::open(host.path("tokens.db")).unwrap();
        database.execute_batch("PRAGMA foreign_keys = OFF; DROP TABLE app_tokens").unwrap();
        input.write_all(row.replace("hunter2", "hunter3").as_bytes()).unwrap();
        drop(input);
        let output = running.wait_with_output().unwrap();
        let [out, err] =
            [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        assert_eq!(output.status.code(), Some(1), "{out}{err}");
        assert!(err.contains("row 3: ") && err.contains("so run it again"), "{err}");
        let said = match json {
            [] => ["imported 1\n", "no scope \"files:none\": row 1\n"],
            _ => [r#""imported":1"#, r#""rows":[1]"#],
        };
        assert!(said.iter().all(|said| out.contains(said)), "{out}");
    }
}

#[test]
fn a_token_that_was_forgotten_here_is_skipped() {
    let (host, id) = imported();
    host.admin(&["forget", &id, "--yes"]).done();
    let said = import(&host).done();
    assert!(said.contains("skipped 1\n  it was forgotten here: row 1\n"), "{said}");
}

#[test]
fn a_token_that_was_forgotten_without_policy_and_keys_is_skipped() {
    let (host, _) = imported();
    host.bare_admin(&["forget", "--owner", "alice", "--yes"]).done();
    let said = import(&host).done();
    assert!(said.contains("skipped 1\n  it was forgotten here: row 1\n"), "{said}");
}
