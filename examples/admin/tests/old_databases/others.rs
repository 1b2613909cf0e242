//! Sanctum, PowerShell Universal, OpenCloud, and systems of one's own.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::Host;
use common::old::Guide;
use database::{Database, Old};
use hmac::{Hmac, KeyInit as _, Mac as _};
use served::{ALL, READ_ONLY, REFUSED, Served, folder};
use support::program::has;

use super::{NAMES, common, database, expected_labels, follow, hex, labels, served};

fn sha256(text: &str) -> String {
    hex(<sha2::Sha256 as sha2::Digest>::digest(text))
}

#[test]
fn from_sanctum() {
    let guide = Guide::read("sanctum");
    for database in Database::all() {
        let host = folder("cloud");
        let old = Old::new(
            &host,
            database,
            "CREATE TABLE personal_access_tokens (id ID, tokenable_type STRING NOT NULL,
                tokenable_id BIG NOT NULL, name STRING NOT NULL,
                token varchar(64) NOT NULL UNIQUE, abilities text, last_used_at TIME,
                expires_at TIME, created_at TIME, updated_at TIME);",
        );
        let row = |model: &str, name: &str, token: &str, abilities: &str, expires: &str| {
            let text = |text| database.text(text);
            let (made, hash) = (format!("'{MADE}'"), sha256(token));
            let (model, expires) = (text(model), expires.to_owned());
            let abilities = if abilities.is_empty() { "NULL".into() } else { text(abilities) };
            [vec![model, "7".into(), text(name), text(&hash), abilities, expires, made]].concat()
        };
        // The prefix is this host's, by the setting `token_prefix`. Eight digits are a checksum.
        let prefixed = format!("cloud_{}abcd1234", &sha256("prefixed")[..40]);
        let (user, token) = ("App\\Models\\User", |of: &str| sha256(of)[..40].to_owned());
        let mut rows = NAMES.map(|(name, label)| row(user, name, &token(label), "[\"*\"]", "NULL"));
        rows[0][5] = "'2033-05-18 03:33:20'".into();
        let mut rows = rows.to_vec();
        // Rows 8 to 13. Laravel escapes a slash and whatever is not ASCII.
        rows.extend([
            row(user, "Reader", &token("reader"), "[\"files:read\"]", "NULL"),
            row(user, "Nothing", &token("nothing"), "", "NULL"),
            row("App\\Models\\Team", "Team", &token("team"), "[\"*\"]", "NULL"),
            row(user, "Expired", &token("expired"), "[\"*\"]", "'2023-11-14 22:13:20'"),
            row(user, "Odd", &token("odd"), "[\"a\\/b \\u00e9\\\"\"]", "NULL"),
            row(user, "Prefixed", &prefixed, "[\"*\"]", "NULL"),
        ]);
        let columns =
            "tokenable_type, tokenable_id, name, token, abilities, expires_at, created_at";
        old.insert("personal_access_tokens", columns, &rows);
        let report = follow(&old, &guide, " --owners owners.jsonl");
        let said = report.out.clone();
        report.exited(4, "1 rows were refused");
        assert!(said.starts_with("imported 9\nalready there 0\nskipped 3\n"), "{said}");
        assert!(said.contains("the policy file has no scope \"a/b é\\\"\": row 12"), "{said}");
        assert_eq!(labels(&host, "u-1001"), expected_labels(&["Prefixed", "Reader"]));
        assert_made(&host, 9);
        let listed = host.admin(&["list", "--json"]).done();
        assert!(listed.contains("2033-05-18T03:33:20Z"), "{listed}");

        let cloud = Served::start("cloud", &host, "sanctum");
        let numbered = |number: usize, of: &str| format!("{number}|{}", token(of));
        assert_eq!(cloud.files(None, &numbered(5, NAMES[4].1)), ALL[0]);
        assert_eq!(cloud.files(Some("alice"), &token(NAMES[6].1)), ALL[1], "without its number");
        assert_eq!(cloud.files(None, &numbered(8, "reader")), READ_ONLY);
        for (number, of) in [(9, "nothing"), (10, "team"), (11, "expired"), (12, "odd")] {
            assert_eq!(cloud.files(None, &numbered(number, of)), REFUSED, "{of}");
        }
        let (named, bare) = (format!("13|{prefixed}"), prefixed);
        assert_eq!([named, bare].map(|text| cloud.files(None, &text)), [REFUSED; 2], "as it says");
    }
}

/// The columns of a system of one's own, with what it keeps of a token in the middle.
fn tables(name: &str, kept: &str) -> String {
    format!(
        "CREATE TABLE {name} (id ID, user_id STRING, name STRING, {kept}, scopes STRING,
            created_at TIME, expires_at TIME, last_used_at TIME, revoked FLAG);"
    )
}

fn own_row(
    database: Database,
    name: &str,
    kept: String,
    scopes: &str,
    revoked: bool,
) -> Vec<String> {
    let text = |text| database.text(text);
    let made = format!("'{MADE}'");
    vec![text("alice"), text(name), kept, text(scopes), database.flag(revoked).into(), made]
}

/// When each of these tokens was made, in UTC.
const MADE: &str = "2026-01-02 03:04:05";

/// Checks that this many tokens were made then, whatever the zone of the database is.
#[track_caller]
fn assert_made(host: &Host, count: usize) {
    let listed = host.admin(&["list", "--json"]).done();
    assert_eq!(listed.matches("2026-01-02T03:04:05Z").count(), count, "{listed}");
}

#[test]
fn from_plaintext() {
    // What HTTP Basic can carry. The spaces are part of the text.
    let texts =
        [" a ' \" ` $HOME \\n \\ ", "pässword 🙂 日本", "{\"token\":\"x\"}", "%s\\u0041|,;--"];
    let guide = Guide::read("plaintext");
    for database in Database::all() {
        let host = folder("cloud");
        let old = Old::new(&host, database, &tables("api_tokens", "token LONG"));
        let mut rows: Vec<_> = texts
            .iter()
            .map(|text| own_row(database, text, database.text(text), "*", false))
            .collect();
        rows.extend([
            own_row(database, "Reader", database.text("reader-reader"), "files:read", false),
            own_row(database, "Revoked", database.text("revoked-there"), "*", true),
            own_row(database, "Control", database.text("a\nb"), "*", false),
        ]);
        old.insert("api_tokens", "user_id, name, token, scopes, revoked, created_at", &rows);
        // It is imported at once. The accounts are named as here.
        let users = fs::read_to_string(host.path("users")).unwrap().replace("u-1001", "alice");
        fs::write(host.path("users"), users).unwrap();
        let report = follow(&old, &guide, "");
        let said = report.out.clone();
        report.exited(4, "1 rows were refused");
        assert!(
            said.contains("imported 5\n") && said.contains("HTTP can't carry: row 7"),
            "{said}"
        );
        assert!(!host.path("rows.jsonl").exists());
        assert_made(&host, 5);

        let cloud = Served::start("cloud", &host, "plain");
        for text in texts {
            let done = cloud.files(Some("alice"), text);
            assert!(ALL.contains(&done), "{text}: {done:?}");
            assert_eq!(
                cloud.files(Some("alice"), text.trim_matches('|').trim())[0] == 207,
                text.trim() == text,
                "{text} is not trimmed"
            );
        }
        assert_eq!(cloud.files(Some("alice"), "reader-reader"), READ_ONLY);
        assert_eq!(cloud.files(Some("alice"), "revoked-there"), REFUSED);
        assert_eq!(cloud.files(Some("alice"), "pässword ? 日本"), REFUSED);
    }
}

#[test]
fn from_sha256() {
    let guide = Guide::read("sha256");
    for database in Database::all() {
        let host = folder("cloud");
        let old = Old::new(
            &host,
            database,
            &tables("api_tokens", "token BYTES").replace("expires_at", "expired_at"),
        );
        let texts = ["first-token", "zweites Tök 🙂"];
        let rows = texts.map(|text| {
            own_row(database, text, database.bytes(&sha256(text)), "*", text.starts_with('f'))
        });
        old.insert("api_tokens", "user_id, name, token, scopes, revoked, created_at", &rows);
        let report = follow(&old, &guide, " --owners owners.jsonl").done();
        assert!(report.starts_with("imported 1\n") && report.contains("skipped 1\n"), "{report}");
        assert_made(&host, 1);
        let cloud = Served::start("cloud", &host, "sha256");
        assert_eq!(cloud.files(Some("alice"), texts[0]), REFUSED);
        assert_eq!(cloud.files(Some("alice"), texts[1]), ALL[0]);
    }
}

#[test]
fn from_argon2() {
    let guide = Guide::read("argon2");
    for database in Database::all() {
        let host = folder("cloud");
        let old = Old::new(&host, database, &tables("app_passwords", "hash STRING"));
        let text = "correct horse 🙂 'staple' ";
        let hash = host.admin_reading(text, &["hash-password"]).done().trim().to_owned();
        // Of the same text, in the form of another family: bcrypt of "U*U".
        let bcrypt = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
        let rows = [
            own_row(database, "Rclone", database.text(&hash), "files:read", false),
            own_row(database, "bcrypt", database.text(bcrypt), "*", false),
            own_row(database, "Other", database.text("sha1:x"), "*", false),
        ];
        old.insert("app_passwords", "user_id, name, hash, scopes, revoked, created_at", &rows);
        let report = follow(&old, &guide, " --owners owners.jsonl");
        assert!(report.out.starts_with("imported 2\n"), "{report:?}");
        report.exited(4, "1 rows were refused");
        assert_made(&host, 2);
        let cloud = Served::start("cloud", &host, "phc");
        assert_eq!(cloud.files(Some("alice"), text), READ_ONLY);
        assert_eq!(cloud.files(Some("alice"), "U*U"), ALL[0]);
        assert_eq!(cloud.files(Some("alice"), text.trim()), REFUSED);
        assert_eq!(cloud.files(Some("zoë"), text), REFUSED);
    }
}

#[test]
fn from_opencloud() {
    if !has("jq") {
        return;
    }
    let host = folder("cloud");
    let old = Old::new(&host, Database::Sqlite, "");
    let hash = |text: &str| host.admin_reading(text, &["hash-password"]).done().trim().to_owned();
    let owner = serde_json::json!({ "resource": { "decoder": "json", "value": "eyJwYXRoIjoiLyJ9" },
        "role": 1 });
    let password = |hash: &str, label: &str, expires: u64, scope: &serde_json::Value| {
        serde_json::json!({ "password": hash, "token_scope": scope, "label": label,
            "user": { "idp": "https://cloud.example", "opaque_id": "alice", "type": 1 },
            "expiration": { "seconds": expires, "nanos": 796_888_022 },
            "ctime": { "seconds": 1_700_000_000 }, "utime": { "seconds": 1_700_000_600 } })
    };
    let all = serde_json::json!({ "user": owner });
    let one = hash("sleep unwary Tök 🙂 stride");
    let limited = serde_json::json!({ "publicshare:1": { "resource": {}, "role": 3 } });
    // As version 1 keeps them: in one file, by the user and the hash.
    let first = serde_json::json!({ "idp:\"https://cloud.example\" opaque_id:\"alice\"": {
        &*one: password(&one, "tab\there 'q' \"x\" \\ 🙂", 2_000_000_000, &all) } });
    fs::write(host.path("appauth.json"), first.to_string()).unwrap();
    // As later versions do: a file for each user, by a number.
    let two = hash("second");
    let later = serde_json::json!({
        "f7ac2d8e-0000-4000-8000-000000000001": password(&two, "Rclone\n", 2_000_000_000, &all),
        "f7ac2d8e-0000-4000-8000-000000000002": password(&two, "Old", 1_700_000_000, &all),
        "f7ac2d8e-0000-4000-8000-000000000003": password(&two, "Share", 2_000_000_000, &limited),
    });
    fs::write(host.path("alice.json"), format!("{later:#}")).unwrap();
    fs::write(host.path("nobody.json"), "{}").unwrap();
    old.shell("admin keys add-import").done();
    let help = old.shell("admin import phc --help").done();
    let line = &help[help.find("jq -c").unwrap()..];
    old.shell(&line[..line.find("rows.jsonl").unwrap() + "rows.jsonl".len()]).done();
    let report = old.shell("admin import phc rows.jsonl --owners owners.jsonl");
    let said = report.out.clone();
    report.exited(4, "1 rows were refused");
    assert!(said.starts_with("imported 2\n") && said.contains("it has expired"), "{said}");
    assert_eq!(labels(&host, "u-1001"), ["Rclone", "tab here 'q' \"x\" \\ 🙂"]);
    let cloud = Served::start("cloud", &host, "phc");
    assert_eq!(cloud.files(Some("alice"), "sleep unwary Tök 🙂 stride"), ALL[0]);
    assert_eq!(cloud.files(Some("alice"), "second"), ALL[1]);
}

#[test]
fn from_powershell_universal() {
    let guide = Guide::read("jwt");
    let key = "0sBQFSdlLs6vjKj8TZ0WQ8CwTjGm1hYx";
    let signed = |roles: &str| {
        let claims = format!(
            "{{\"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name\":\"adam\",\
             \"http://schemas.microsoft.com/ws/2008/06/identity/claims/role\":{roles},\
             \"nbf\":1593192265,\"exp\":1850000000}}"
        );
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
        let text = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
        let mac = Hmac::<sha2::Sha256>::new_from_slice(key.as_bytes()).unwrap();
        let mac = mac.chain_update(&text).finalize().into_bytes();
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(mac))
    };
    for database in Database::all() {
        if let Database::MariaDb(_) = database {
            continue; // The product does not run on it.
        }
        let host = folder("automation");
        fs::write(host.path("signing.key"), format!("{key}\r\n")).unwrap();
        let old = Old::new(
            &host,
            database,
            "CREATE TABLE \"Identity\" (\"Id\" ID, \"Name\" LONG, \"Source\" BIG);
            CREATE TABLE \"AppToken\" (\"Id\" ID, \"Token\" LONG, \"IdentityId\" BIG, \"Role\" LONG,
                \"Created\" LONG, \"Expiration\" LONG, \"Revoked\" FLAG);
            INSERT INTO \"Identity\" (\"Name\", \"Source\") VALUES ('adam', 0);",
        );
        let row = |token: &str, role: &str, revoked: bool| {
            let texts = [token, role, "2026-01-02 03:04:05.1234567", "2028-05-18 03:33:20"];
            let [token, role, created, expires] = texts.map(|text| database.text(text));
            vec![token, "1".into(), role, created, expires, database.flag(revoked).into()]
        };
        let reader = signed(r#""Reader""#);
        let both = signed(r#"["Operator","Reader"]"#);
        let revoked = signed(r#"["Reader","Operator"]"#);
        // The row says less or more than the token: the token counted.
        let rows = [
            row(&reader, "Administrator", false),
            row(&both, "Reader", false),
            row(&revoked, "", true),
        ];
        let columns =
            "\"Token\", \"IdentityId\", \"Role\", \"Created\", \"Expiration\", \"Revoked\"";
        old.insert("\"AppToken\"", columns, &rows);
        // The guide's bullet: an identity's name is no account id here.
        let owners = Guide {
            clients: guide
                .clients
                .iter()
                .map(|line| format!("{line} --owners owners.jsonl"))
                .collect(),
            ..Guide::read("jwt")
        };
        let report = follow(&old, &owners, "").done();
        assert!(report.starts_with("imported 2\n"), "{report}");
        assert!(report.contains("it was revoked: row 3"), "{report}");
        assert_eq!(labels(&host, "2"), ["App token 1", "App token 2"]);
        let server = Served::start("automation", &host, "powershell-universal:signing.key");
        let done = |token: &str| {
            [("GET", "/api/v1/variable"), ("PUT", "/api/v1/variable/x")]
                .map(|(method, path)| server.status(method, path, None, token))
        };
        assert_eq!(done(&reader), [200, 403]);
        assert_eq!(done(&both), [200, 204]);
        assert_eq!([done(&revoked), done(&signed(r#""Administrator""#))], [[401; 2]; 2]);
    }
}
