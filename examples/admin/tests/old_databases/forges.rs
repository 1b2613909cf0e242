//! Forgejo, Gitea and Nuxeo.

use std::fs;
use std::process::Command;

use common::old::Guide;
use database::{Database, Old};
use served::{Served, folder};
use support::http::bearer;
use support::program::has;

use super::{NAMES, common, database, expected_labels, follow, help, hex, labels, served};

/// The tables as Gitea and Forgejo make them, with what Forgejo 15 has besides.
const TABLES: &str =
    "CREATE TABLE access_token (id ID, uid BIG, name STRING, token_hash STRING UNIQUE,
        token_salt STRING, token_last_eight STRING, scope STRING, created_unix BIG,
        updated_unix BIG, resource_all_repos FLAG NOT NULL);
    CREATE TABLE repository (id ID, owner_id BIG, owner_name STRING, lower_name STRING NOT NULL,
        name STRING NOT NULL);
    CREATE TABLE access_token_resource_repo (id ID, token_id BIG NOT NULL, repo_id BIG NOT NULL,
        created_unix BIG NOT NULL);";

/// Returns the text of a token: 40 hexadecimal digits.
fn text(of: &str) -> String {
    hex(<sha2::Sha256 as sha2::Digest>::digest(of))[..40].to_owned()
}

/// PBKDF2 with SHA-256, 10,000 rounds and 50 bytes, as these systems hash a token.
fn pbkdf2(text: &str, salt: &str) -> String {
    let (text, salt) = (format!("pass:{text}"), format!("salt:{salt}"));
    let mut openssl = Command::new("openssl");
    openssl.args(["kdf", "-keylen", "50", "-kdfopt", "digest:SHA2-256", "-kdfopt", "iter:10000"]);
    openssl.args(["-kdfopt", &text, "-kdfopt", &salt, "PBKDF2"]);
    let said = String::from_utf8(openssl.output().unwrap().stdout).unwrap();
    said.trim().replace(':', "").to_lowercase()
}

/// Returns a row of `access_token` for the user 7.
fn row(database: Database, name: &str, text: &str, scope: &str, all_repos: bool) -> Vec<String> {
    // Salts have no letter outside ASCII.
    let salt = &text[..10];
    let (hash, eight) = (pbkdf2(text, salt), &text[32..]);
    let quoted = |text: &str| format!("'{text}'");
    vec![
        "7".into(),
        database.text(name),
        quoted(&hash),
        quoted(salt),
        quoted(eight),
        quoted(scope),
        "1700000000".into(),
        "1700000600".into(),
        database.flag(all_repos).into(),
    ]
}

const COLUMNS: &str = "uid, name, token_hash, token_salt, token_last_eight, scope, created_unix, \
                       updated_unix, resource_all_repos";

#[test]
fn from_gitea() {
    if !has("openssl") {
        return;
    }
    let guide = Guide::read("forgejo");
    for database in Database::all() {
        let host = folder("forge");
        let old = Old::new(&host, database, TABLES);
        let mut rows: Vec<_> = NAMES
            .iter()
            .map(|(name, label)| row(database, name, &text(label), "all", true))
            .collect();
        let scopes = [("limited", "read:user,write:issue"), ("public", "public-only,read:user")];
        rows.extend(scopes.map(|(name, scope)| row(database, name, &text(name), scope, true)));
        rows.push(row(database, "sudo", &text("sudo"), "sudo,repo", true));
        old.insert("access_token", COLUMNS, &rows);
        let report = follow(&old, &guide, " --owners owners.jsonl");
        assert!(report.out.starts_with("imported 9\nalready there 0\nskipped 0\n"), "{report:?}");
        report.exited(4, "1 rows were refused");
        assert_eq!(labels(&host, "u-1001"), expected_labels(&["limited", "public"]));

        let forge = Served::start("forge", &host, "gitea");
        let user = |text: &str| forge.status("GET", "/api/v1/user", None, text);
        assert_eq!(user(&text(NAMES[4].1)), 200);
        assert_eq!([user(&text("limited")), user(&text("public"))], [200, 403]);
        assert_eq!([user(&text("sudo")), user(&text("unknown"))], [401, 401]);
        assert_eq!(forge.status("GET", "/api/v1/user", Some("alice"), &text("limited")), 200);
        assert_eq!(forge.status("GET", "/api/v1/user", Some("adam"), &text("limited")), 401);
    }
}

#[test]
fn from_forgejo_15() {
    if !has("openssl") {
        return;
    }
    for database in Database::all() {
        let host = folder("forge");
        let old = Old::new(&host, database, TABLES);
        let tokens = [("all", true), ("two", false), ("many", false), ("gone", false)];
        let rows = tokens.map(|(name, all)| row(database, name, &text(name), "all", all));
        old.insert("access_token", COLUMNS, &rows);
        // "zap", which a cut list could end in, is another's repository.
        let names = ["app", "lib", "zap-two"].map(str::to_owned).into_iter();
        let names: Vec<_> =
            names.chain((4..=80).map(|number| format!("repo-{number:02}"))).collect();
        let repos: Vec<_> = names
            .iter()
            .map(|name| {
                vec!["7".into(), "'alice'".into(), format!("'{name}'"), format!("'{name}'")]
            })
            .collect();
        old.insert("repository", "owner_id, owner_name, lower_name, name", &repos);
        let of = |token: u8, repo: usize| vec![token.to_string(), repo.to_string(), "1".into()];
        let links = [of(2, 1), of(2, 3), of(4, 999)].into_iter();
        let links: Vec<_> = links.chain((1..=80).map(|repo| of(3, repo))).collect();
        old.insert("access_token_resource_repo", "token_id, repo_id, created_unix", &links);
        old.shell("admin keys add-import").done();
        let (query, commands) = help(&old, "forgejo");
        old.client(&commands, &query).done();
        let rows = fs::read_to_string(host.path("rows.jsonl")).unwrap();
        let listed = r#"["alice/app;","alice/zap-two;"]"#;
        assert!(rows.replace([' ', '\\'], "").contains(listed), "{rows}");
        // This host names a repository by its number. It has the same one as in the old forge.
        let query = query.replace("r.owner_name || '/' || r.name", "'repository/' || r.id");
        if let Database::MariaDb(_) = database {
            // It is a megabyte by default. Many copy a setting for MySQL's old default.
            old.sql("SET GLOBAL group_concat_max_len = 1024");
            old.client(&commands, &query).done();
            let cut = old.shell("admin import forgejo rows.jsonl --owners owners.jsonl");
            assert!(cut.out.contains("raise group_concat_max_len there: row 3"), "{cut:?}");
            cut.exited(4, "1 rows were refused");
            old.sql("SET GLOBAL group_concat_max_len = DEFAULT");
        }
        old.client(&commands, &query).done();
        let report = old.shell("admin import forgejo rows.jsonl --owners owners.jsonl").done();
        let gone = "it is limited to repositories that are gone: row 4";
        assert!(report.contains("refused 0") && report.contains(gone), "{report}");

        let forge = Served::start("forge", &host, "forgejo");
        let [all, two, many, gone] = tokens.map(|(name, _)| text(name));
        for name in ["app", "lib", "zap-two"] {
            let body = format!(r#"{{"name": "{name}", "private": true}}"#);
            let made = forge.request("POST", "/api/v1/user/repos", &bearer(&all), &body);
            assert_eq!(made.status, 201, "{made:?}");
        }
        let shown = |token: &str| {
            ["app", "lib", "zap-two"].map(|name| {
                forge.status("GET", &format!("/api/v1/repos/alice/{name}"), None, token)
            })
        };
        assert_eq!([shown(&all), shown(&many)], [[200; 3]; 2]);
        let [app, lib, zap_two] = shown(&two);
        assert_eq!([app, zap_two], [200; 2]);
        assert!([403, 404].contains(&lib), "{lib}");
        assert_eq!(shown(&gone), [401; 3]);
    }
}

#[test]
fn from_nuxeo() {
    for database in Database::all() {
        let host = folder("forge");
        // MySQL knows no case in the names of columns.
        let tables = "CREATE TABLE auth_tokens (token varchar(250) NOT NULL PRIMARY KEY,
            \"userName\" STRING, \"applicationName\" STRING, \"deviceId\" STRING,
            \"deviceDescription\" STRING, permission STRING, \"creationDate\" TIME);";
        let is_maria = matches!(database, Database::MariaDb(_));
        let tables = if is_maria { tables.replace('"', "`") } else { tables.into() };
        let old = Old::new(&host, database, &tables);
        let uuid = |number: usize| format!("70c83dbd-48a6-4b17-8c4d-{number:012}");
        let rows: Vec<_> = (0..)
            .zip(NAMES)
            .map(|(number, (name, _))| {
                let text = |text| database.text(text);
                let time = "'2026-01-02 03:04:05'".into();
                vec![
                    text(&uuid(number)),
                    text("alice"),
                    text(name),
                    text("d"),
                    text(name),
                    text("rw"),
                    time,
                ]
            })
            .collect();
        let columns = "token, \"userName\", \"applicationName\", \"deviceId\", \
                       \"deviceDescription\", permission, \"creationDate\"";
        let columns = if is_maria { columns.replace('"', "`") } else { columns.into() };
        old.insert("auth_tokens", &columns, &rows);
        old.shell("admin keys add-import").done();
        let (query, commands) = help(&old, "nuxeo");
        old.client(&commands, &query).done();
        let report = old.shell("admin import nuxeo rows.jsonl --owners owners.jsonl").done();
        assert!(report.starts_with("imported 7\n"), "{report}");
        assert!(labels(&host, "u-1001").contains(&"Ünï 🙂 日本 (Ünï 🙂 日本)".to_owned()));
        let created = host.admin(&["list", "--json"]).done();
        assert_eq!(created.matches("2026-01-02T03:04:05Z").count(), 7, "{created}");

        let forge = Served::start("forge", &host, "nuxeo");
        let user = |token: &str| forge.status("GET", "/api/v1/user", Some("alice"), token);
        assert!((0..7).all(|number| user(&uuid(number)) == 200));
        assert_eq!(user(&uuid(7)), 401);
    }
}
