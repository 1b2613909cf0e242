//! Each guide "Move from …" over a real SQLite, PostgreSQL and MariaDB: tables as the old system
//! makes them, the guide's own lines run by the real clients, and a host that takes the old texts.
//!
//! Operators' settings, a locale without letters, and texts with everything that a line, a shell, a
//! database or JSON might trip over stand in the way.
#![cfg(unix)]

mod common;
#[path = "old_databases/database.rs"]
mod database;
#[path = "old_databases/forges.rs"]
mod forges;
#[path = "old_databases/others.rs"]
mod others;
#[path = "old_databases/served.rs"]
mod served;

use common::old::Guide;
use common::{Host, Ran};
use database::{Database, Old};
use served::{ALL, NO_FILES, REFUSED, Served, folder};
use sha2::Digest as _;

/// Names of tokens, and the labels that they become.
const NAMES: [(&str, &str); 7] = [
    ("tab\there", "tab here"),
    ("quotes ' \" ` $HOME %s", "quotes ' \" ` $HOME %s"),
    ("back\\slash \\n \\u0041 \\\\", "back\\slash \\n \\u0041 \\\\"),
    ("a\nb\r\nc", "a b  c"),
    ("Ünï 🙂 日本", "Ünï 🙂 日本"),
    ("\u{1b}[31m\u{7f}red", "[31m red"),
    ("", "Imported"),
];

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Follows a guide to the report: prepares, runs the line of this database, and imports.
#[track_caller]
fn follow(old: &Old<'_>, guide: &Guide, more: &str) -> Ran {
    old.shell(&guide.prepare).done();
    let ran = old.client(&guide.clients, &guide.query);
    if ran.out.is_empty() { old.shell(&format!("{}{more}", guide.import)) } else { ran }
}

/// Reads what the help of a format says: the query, and the command for each database.
fn help(old: &Old<'_>, format: &str) -> (String, Vec<String>) {
    let query = old.shell(&format!("admin import {format} --help")).done();
    let query = &query[query.find("SELECT").unwrap()..];
    let query = query[..=query.find(";\n").unwrap()].to_owned();
    let all = old.shell("admin import --help").done();
    let commands =
        all.split("print so:\n").nth(1).unwrap().split("MariaDB's client").next().unwrap();
    (query, commands.split("\n\n").map(str::to_owned).collect())
}

/// Returns the labels of all tokens of an owner, in the order of the alphabet.
fn labels(host: &Host, owner: &str) -> Vec<String> {
    let listed = host.admin(&["list", "--owner", owner, "--json"]).json();
    let listed = listed["tokens"].as_array().or(listed.as_array()).unwrap().clone();
    let mut labels: Vec<_> =
        listed.iter().map(|token| token["label"].as_str().unwrap().to_owned()).collect();
    labels.sort();
    labels
}

/// Returns the labels that [`NAMES`] become, and these, in the order of the alphabet.
fn expected_labels(more: &[&str]) -> Vec<String> {
    let mut labels: Vec<_> = NAMES.map(|(_, label)| label).to_vec();
    labels.extend(more);
    labels.sort();
    labels.into_iter().map(str::to_owned).collect()
}

#[test]
fn from_nextcloud() {
    // Nextcloud looks at no text of fewer than 22 characters.
    let spelt = |text: &str| format!("Xk2mP-9fTbq-ZsWcR-7yHnD-{text}");
    let guide = Guide::read("nextcloud");
    let secret = "1f4h9s";
    for database in Database::all() {
        let host = folder("cloud");
        let old = Old::new(
            &host,
            database,
            "CREATE TABLE oc_authtoken (id ID, uid varchar(64) NOT NULL DEFAULT '',
                login_name STRING NOT NULL DEFAULT '', password LONG, name LONG NOT NULL,
                token varchar(200) NOT NULL DEFAULT '' UNIQUE, type smallint DEFAULT 0,
                remember smallint DEFAULT 0, last_activity UNSIGNED DEFAULT 0,
                last_check UNSIGNED DEFAULT 0, scope LONG, expires UNSIGNED, private_key LONG,
                public_key LONG, version smallint NOT NULL DEFAULT 1, password_invalid FLAG,
                password_hash STRING);",
        );
        let row = |uid: &str, name: &str, text: &str, kind: u8, rest: [&str; 3]| {
            let token = hex(sha2::Sha512::digest(format!("{}{secret}", spelt(text))));
            let [scope, expires, invalid] = rest;
            let (uid, name) = (database.text(uid), database.text(name));
            let scope = if scope == "NULL" { scope.into() } else { database.text(scope) };
            let invalid = if invalid == "NULL" { invalid } else { database.flag(invalid == "1") };
            let (token, invalid) = (format!("'{token}'"), invalid.to_owned());
            let numbers = ["1700000000".into(), expires.to_owned(), "2".into()];
            [vec![uid, name, token, kind.to_string(), scope, invalid], numbers.to_vec()].concat()
        };
        let all = ["NULL", "NULL", "NULL"];
        let mut rows: Vec<_> = (0..)
            .zip(NAMES)
            .map(|(number, (name, _))| row("alice", name, &format!("text-{number}"), 1, all))
            .collect();
        // Rows 8 to 16.
        let long = "ü".repeat(9_000);
        rows.extend([
            row("zo\u{eb} 'q' \"x\" \\ 🙂", "of Zoë", "of-zoe", 1, ["", "0", "0"]),
            row("alice", &long, "long-name", 1, ["{\"filesystem\":true}", "NULL", "0"]),
            row("alice", "DAVx5", "no-files", 1, ["{\"filesystem\":false}", "2000000000", "0"]),
            row(
                "alice",
                "SSO",
                "by-sso",
                1,
                ["{\"password-unconfirmable\":true,\"filesystem\":true}", "NULL", "0"],
            ),
            row("alice", "Firefox", "a-session", 0, all),
            row("alice", "To wipe", "to-wipe", 2, all),
            row("alice", "Expired", "expired", 1, ["NULL", "1700000000", "0"]),
            row("alice", "Invalid", "invalid", 1, ["NULL", "NULL", "1"]),
            row("bob?", "No account", "of-bob", 1, all),
        ]);
        let columns = "uid, name, token, type, scope, password_invalid, last_activity, expires, \
                       version";
        old.insert("oc_authtoken", columns, &rows);
        let names = "{\"name\": \"zoë 'q' \\\"x\\\" \\\\ 🙂\", \"owner\": \"u-1002\"}\n";
        std::fs::write(host.path("owners.jsonl"), served::OWNERS.to_owned() + names).unwrap();
        let report = follow(&old, &guide, " --owners owners.jsonl").done();
        assert_eq!(
            report,
            "imported 11\nalready there 0\nskipped 5\n  it has expired: row 14\n  \
             it is a session: row 12\n  it is to be wiped: row 13\n  \
             its password is marked as invalid: row 15\n  the owner is not in --owners: row 16\n\
             refused 0\nlabels cut, cleaned or made up: rows 1, 4, 6-7, 9\n\
             10 had no end, which the policy does not allow; they end after its default life\n"
        );
        let cut = "ü".repeat(127) + "…";
        assert_eq!(labels(&host, "u-1001"), expected_labels(&["DAVx5", "SSO", &cut]));

        std::fs::write(host.path("secret"), format!("{secret}\n")).unwrap();
        let cloud = Served::start("cloud", &host, "nextcloud:secret");
        let files = |name, text: &str| cloud.files(name, &spelt(text));
        for text in ["text-0", "text-6", "long-name", "by-sso"] {
            let (named, bare) = (files(Some("alice"), text), files(None, text));
            assert!(ALL.contains(&named) && bare == ALL[1], "{text}: {named:?} {bare:?}");
        }
        assert_eq!(files(Some("zoë"), "of-zoe"), ALL[0]);
        assert_eq!(files(Some("alice"), "of-zoe"), REFUSED);
        assert_eq!(files(Some("alice"), "no-files"), NO_FILES);
        for text in ["a-session", "to-wipe", "expired", "invalid", "of-bob", "text-7"] {
            assert_eq!(files(Some("alice"), text), REFUSED, "{text}");
        }
    }
}
