//! `admin import` after something went wrong: another import key, a token that was forgotten here.

mod common;

use std::fs;
use std::io::Write as _;

use app_tokens::KeyRing;
use app_tokens::import::{Blake3, Foreign as _, Import};
use common::old::assert_not_ours;
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
fn a_run_with_fewer_candidates_than_the_rows_need_is_refused_and_the_status_says_how_many() {
    let host = Host::with_import(&[]);
    host.admin(&["keys", "add-import"]).done();
    let row = |number: u8| {
        let letter = char::from(b'A' + number);
        let hash = format!("$2a$11${letter}j0hlp6qR32G9exGEXktB.yW2rgt2maRBbPgi3EyxcDwKrD14x/WO");
        let row = ROW.replace('\n', " ").replace("token", "hash");
        row.replace("hunter2hunter2", &hash) + "\n"
    };
    let (first, all): (String, String) = ((0..20).map(row).collect(), (0..21).map(row).collect());
    let run = |rows: &str, most: &[&str]| {
        host.admin_reading(rows, &[&["import", "phc", "-"], most].concat())
    };
    assert!(run(&first, &[]).done().starts_with("imported 20\n"));
    assert!(!host.admin(&["import", "status"]).done().contains("--max-candidates"));
    let enough = ["--max-candidates", "21"];
    assert!(run(&all, &enough).done().starts_with("imported 1\nalready there 20\n"));
    host.admin(&["revoke", "--all", "--yes"]).done();
    let refused = run(&all, &[]);
    assert_eq!(refused.out, "", "{refused:?}");
    refused.exited(4, "give --max-candidates 21 or more");
    assert!(run(&all, &enough).done().starts_with("imported 0\nalready there 21\n"));
    let said = host.admin(&["import", "status"]).done();
    assert!(said.contains("give --max-candidates 21 or more to the hosts"), "{said}");
    let said = host.admin(&["import", "status", "--json"]).json();
    assert!(said["schemes"].as_array().unwrap().iter().any(|scheme| scheme["candidates"] == 21));
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
fn hashes_of_blake3_are_found_with_the_key_or_without() {
    let host = Host::with_import(&[]);
    host.admin(&["keys", "add-import"]).done();
    let key = b"whats the Elvish word for friend";
    let without = Blake3::of_unknown_strength();
    for (flags, hash, scheme, text) in [
        (
            &[][..],
            "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85",
            without.clone(),
            "abc",
        ),
        (
            &["--keyed"],
            "04f9ce493c512718b53c4b2f451e3ea3cb1480602dd67213656f1873f133c457",
            without.keyed(key),
            "keyed abc",
        ),
    ] {
        let row =
            ROW.replace('\n', " ").replace("\"token\": \"hunter2hunter2\"", "\"hash\": \"HASH\"");
        let row = row.replace("HASH", hash);
        let said = host.admin_reading(&row, &[&["import", "blake3", "-"], flags].concat()).done();
        assert!(said.starts_with("imported 1\n"), "{said}");
        host.assert_status(&format!("{} 1 0 0", scheme.name()));
        let import = Import::new().scheme(scheme);
        assert_eq!(host.enter(&import, None, text).unwrap().owner().as_str(), "alice");
        let other = if text == "abc" { "abd" } else { "abc" };
        assert_not_ours(&host.enter(&import, None, other));
    }
    let ran = host.admin_reading(ROW.replace('\n', " "), &["import", "blake3", "-"]);
    ran.exited(2, "`admin import blake3 --help` shows the query");
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
