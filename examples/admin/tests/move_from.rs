//! Each guide "Move from …", acted out: the guide's query over an old table, the guide's command,
//! and then the old text lets its holder in.

mod common;

use std::fs;

use app_tokens::access::Selection;
use app_tokens::import::{Argon2, Forgejo, Import, Jwt, Plain, Sha256, Sha512};
use app_tokens::record::Expires;
use app_tokens::{Caller, KeyRing, Reason};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::Host;
use common::old::{Guide, assert_denied, assert_not_ours};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Digest as _;

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn words<T: std::fmt::Display>(selection: &Selection<T>) -> String {
    match selection {
        Selection::All => "all".into(),
        Selection::Only(items) => {
            items.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        }
    }
}

fn scopes(caller: &Caller) -> String {
    words(caller.access().granted_scopes())
}

/// Revokes a token here, and follows the guide again: the token must not come back.
#[track_caller]
fn assert_stays_revoked(host: &Host, guide: &Guide, import: &Import, name: &str, text: &str) {
    let id = host.enter(import, Some(name), text).unwrap().id();
    host.admin(&["revoke", &id.to_string(), "--reason", Reason::LEAKED.as_str()]).done();
    let rows = fs::read_to_string(host.path("rows.jsonl")).unwrap();
    let again: Vec<_> = guide.import.split(' ').skip(1).collect();
    let report = host.admin_reading(rows, &again);
    assert!(report.out.starts_with("imported 0\nalready there "), "{report:?}");
    assert_denied(&host.enter(import, Some(name), text));
}

#[test]
fn from_nextcloud() {
    let guide = Guide::read("nextcloud");
    let host = Host::with_import(&[
        "files:read",
        "files:write",
        "calendar:read",
        "calendar:write",
        "contacts:read",
        "contacts:write",
    ]);
    let (app_password, secret) = ("Xk2mP-9fTbq-ZsWcR-7yHnD-LpQe4", "1f4h9s");
    let of = |text: &str, secret: &str| hex(sha2::Sha512::digest(format!("{text}{secret}")));
    let (limited, session) = ("Ab3dE-fGh2j-KmNpQ-rStUv-WxYz9", "session-session-session-x");
    let before_20 = "Zz9yX-wVu8t-SrQpN-mKj7h-GfEd2";
    let report = host.follow(
        &guide,
        &format!(
            "CREATE TABLE oc_authtoken (id INTEGER PRIMARY KEY, uid TEXT, login_name TEXT,
                password TEXT, name TEXT, token TEXT UNIQUE, type INTEGER, remember INTEGER,
                last_activity INTEGER, last_check INTEGER, scope TEXT, expires INTEGER,
                private_key TEXT, public_key TEXT, version INTEGER, password_invalid INTEGER);
            INSERT INTO oc_authtoken
                (uid, name, token, type, last_activity, scope, expires, version)
            VALUES
                ('alice', 'Phone \"of\" O''Neil' || char(10) || 'x', '{}', 1, 1700000000, NULL,
                    NULL, 2),
                ('alice', 'Firefox', '{}', 0, 1700000000, NULL, NULL, 2),
                ('alice', 'DAVx5', '{}', 1, 0, '{{\"filesystem\":false}}', 0, 2),
                ('bob', 'Old', '{}', 1, 1700000000, '', 1700000000, 2),
                ('bob', 'Older', '{}', 1, 1700000000, '', NULL, 2);",
            of(app_password, secret),
            of(session, secret),
            of(limited, secret),
            of("expired-expired-expired-x", secret),
            of(before_20, ""),
        ),
    );
    assert_eq!(
        report.done(),
        "imported 3\nalready there 0\nskipped 2\n  it has expired: row 4\n  \
         it is a session: row 2\nrefused 0\nlabels cut, cleaned or made up: row 1\n"
    );
    host.assert_status("nextcloud 3 0 0");
    let import = Import::new().scheme(Sha512::of_nextcloud(secret));
    let phone = host.enter(&import, Some("alice"), app_password).unwrap();
    assert_eq!((phone.label().as_str(), &*scopes(&phone)), ("Phone \"of\" O'Neil x", "all"));
    let limited = host.enter(&import, None, limited).unwrap();
    assert_eq!(scopes(&limited), "calendar:read calendar:write contacts:read contacts:write");
    assert_eq!(host.enter(&import, Some("bob"), before_20).unwrap().owner().as_str(), "bob");
    assert_not_ours(&host.enter(&import, Some("alice"), session));
    assert_denied(&host.enter(&import, Some("bob"), app_password));
    host.assert_status("nextcloud 0 3 0");
    host.assert_status(
        "no old hash is left: delete the old table and its exports, then take open_import out of \
         the policy file",
    );
    assert_stays_revoked(&host, &guide, &import, "alice", app_password);
}

#[test]
fn from_forgejo() {
    let guide = Guide::read("forgejo");
    let host = Host::with_import(&["read:repository", "write:repository", "read:issue"]);
    // Published in Gitea's fixtures.
    let token = "d2c6c1ba3890b309189a8e618c72a162e4efbf36";
    let ci = "2b3668e11cb82d3af8c6e4524fc7841297668f5008d1626f0ad3417e9fa39af84c268248b78c481daa7e5dc437784003494f";
    let old = "1a0e32a231ebbd582dc626c1543a42d3c63d4fa76c07c72862721467c55e8f81c923d60700f0528b5f5f443f055559d3a279";
    let report = host.follow(
        &guide,
        &format!(
            "CREATE TABLE access_token (id INTEGER PRIMARY KEY, uid INTEGER, name TEXT,
            token_hash TEXT UNIQUE, token_salt TEXT, token_last_eight TEXT, scope TEXT,
            created_unix INTEGER, updated_unix INTEGER);
        INSERT INTO access_token VALUES
            (1, 7, 'CI', '{ci}',
                'QuSiZr1byZ', 'e4efbf36', 'public-only,read:repository', 1700000000, 1700000000),
            (2, 7, 'Old', '{old}',
                'Lfwopukrq5', '9c5a146c', 'repo', 1600000000, 1600000000);"
        ),
    );
    let said = report.out.clone();
    report.exited(4, "1 rows were refused");
    assert!(said.starts_with("imported 1\n") && said.contains("before 1.20"), "{said}");
    let import = Import::new().scheme(Forgejo::new());
    // The owner is the account id, and the user name that git sends may be anything.
    let caller = host.enter(&import, None, token).unwrap();
    assert_eq!((caller.owner().as_str(), caller.label().as_str()), ("7", "CI"));
    assert_eq!(scopes(&caller), "read:repository");
    assert_eq!(words(caller.access().granted_resources()), "exact:public");
    assert_not_ours(&host.enter(&import, None, "4c6f36e6cf498e2a448662f915d932c09c5a146c"));
    host.assert_status("forgejo 0 1 0");
    assert_stays_revoked(&host, &guide, &import, "7", token);
}

#[test]
fn from_sanctum() {
    let guide = Guide::read("sanctum");
    let host = Host::with_import(&["orders:read"]);
    let token = "qpJOIVKjLh9Yd0gMbTnE4sXwZ1aRkUc2fWv8tNyD";
    let of_team = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    let report = host.follow(
        &guide,
        &format!(
            "CREATE TABLE personal_access_tokens (id INTEGER PRIMARY KEY, tokenable_type TEXT,
                tokenable_id INTEGER, name TEXT, token TEXT UNIQUE, abilities TEXT,
                last_used_at TEXT, expires_at TEXT, created_at TEXT, updated_at TEXT);
            INSERT INTO personal_access_tokens VALUES
                (17, 'App\\Models\\User', 7, 'Till', '{}', '[\"orders:read\"]',
                    '2026-02-03 04:05:06', '2126-01-01 00:00:00', '2026-01-02 03:04:05', NULL),
                (18, 'App\\Models\\Team', 7, 'Team', '{}', '[\"*\"]', NULL, NULL, NULL, NULL);",
            hex(sha2::Sha256::digest(token)),
            hex(sha2::Sha256::digest(of_team)),
        ),
    );
    assert!(
        report.done().contains("skipped 1\n  it is of another model than --model names: row 2")
    );
    let import = Import::new().scheme(Sha256::of_sanctum());
    let whole = format!("17|{token}");
    let caller = host.enter(&import, None, &whole).unwrap();
    assert_eq!((caller.owner().as_str(), &*scopes(&caller)), ("7", "orders:read"));
    assert_eq!(caller.expires().at().unwrap().to_string(), "2126-01-01T00:00:00Z");
    assert_not_ours(&host.enter(&import, None, &format!("18|{of_team}")));
    host.assert_status("sanctum 0 1 0");
    assert_stays_revoked(&host, &guide, &import, "7", &whole);
}

#[test]
fn from_sha256() {
    let guide = Guide::read("sha256");
    let host = Host::with_import(&["orders:read"]);
    let (token, revoked) = ("a-token-of-ours", "revoked-there");
    let report = host.follow(
        &guide,
        &format!(
            "CREATE TABLE api_tokens (id INTEGER PRIMARY KEY, user_id TEXT, name TEXT, token BLOB,
                created_at TEXT, expired_at TEXT, last_used_at TEXT, revoked INTEGER);
            INSERT INTO api_tokens VALUES
                (1, 'alice', 'CI', x'{}', '2026-01-02 03:04:05', NULL, NULL, 0),
                (2, 'alice', 'Gone', x'{}', NULL, NULL, NULL, 1);",
            hex(sha2::Sha256::digest(token)),
            hex(sha2::Sha256::digest(revoked)),
        ),
    );
    assert!(report.done().contains("imported 1\nalready there 0\nskipped 1\n"));
    let import = Import::new().scheme(Sha256::of_unknown_strength());
    host.assert_status("sha256 1 0 0");
    let caller = host.enter(&import, None, token).unwrap();
    assert_eq!((caller.owner().as_str(), &*scopes(&caller)), ("alice", "all"));
    assert_not_ours(&host.enter(&import, None, revoked));
    host.assert_status("sha256 0 1 0");
    assert_stays_revoked(&host, &guide, &import, "alice", token);

    // The guide's way without the column.
    let rows = fs::read_to_string(host.path("rows.jsonl")).unwrap();
    let without = rows.replace("\"used\":null,", "");
    assert_ne!(without, rows);
    fs::write(host.path("rows.jsonl"), &without).unwrap();
    let again: Vec<_> = guide.import.split(' ').skip(1).collect();
    let why = "the column used is missing; if the old table has none, write 'used', NULL";
    host.admin_reading(without, &again).exited(2, why);
}

#[test]
fn from_plaintext() {
    let guide = Guide::read("plaintext");
    let host = Host::with_import(&["orders:read"]);
    let report = host.follow(
        &guide,
        "CREATE TABLE api_tokens (id INTEGER PRIMARY KEY, user_id TEXT, name TEXT, token TEXT,
            scopes TEXT, created_at TEXT, expires_at TEXT, last_used_at TEXT, revoked INTEGER);
        INSERT INTO api_tokens VALUES
            (1, 'alice', 'Printer', ' hunter2 ''\"  hunter2', '*', NULL, NULL, NULL, 0),
            (2, 'alice', 'Gone', 'revoked-there', '*', NULL, NULL, NULL, 1),
            (3, 'bob', 'Ours', 'acme_0000', '*', NULL, NULL, NULL, 0);",
    );
    let said = report.out.clone();
    assert!(!said.contains("hunter2") && !said.contains("acme_0000"), "{said}");
    report.exited(4, "1 rows were refused");
    assert!(said.contains("own prefix, so it would never be tried: row 3"), "{said}");
    let import = Import::new().scheme(Plain::of_unknown_strength());
    let token = " hunter2 '\"  hunter2";
    assert_eq!(host.enter(&import, Some("alice"), token).unwrap().owner().as_str(), "alice");
    assert_not_ours(&host.enter(&import, None, token.trim()));
    assert_not_ours(&host.enter(&import, None, "revoked-there"));
    let kept = fs::read(host.path("tokens.db")).unwrap();
    assert!(!kept.windows(7).any(|bytes| bytes == b"hunter2"), "the text is not stored");
    host.assert_status("plain 0 1 0");
    assert_stays_revoked(&host, &guide, &import, "alice", token);
}

#[test]
fn from_argon2() {
    let guide = Guide::read("argon2");
    let host = Host::with_import(&["files:read"]);
    // Published in the tests of alexedwards/argon2id and of Nextcloud.
    let hash = "$argon2id$v=19$m=65536,t=1,p=2$UDk0zEuIzbt0x3bwkf8Bgw$ihSfHWUJpTgDvNWiojrgcN4E0pJdUVmqCEdRZesx9tE";
    let huge = hash.replace("65536", "4294967295");
    let report = host.follow(
        &guide,
        &format!(
            "CREATE TABLE app_passwords (id INTEGER PRIMARY KEY, user_id TEXT, name TEXT,
            hash TEXT, scopes TEXT, created_at INTEGER, expires_at INTEGER, last_used_at INTEGER,
            revoked INTEGER);
        INSERT INTO app_passwords VALUES
            (1, 'alice', 'Rclone', '{hash}',
                'files:read', 1700000000, 0, 1700000001, 0),
            (2, 'alice', 'Huge', '{huge}',
                'files:read', 1700000000, 0, 1700000001, 0);"
        ),
    );
    let said = report.out.clone();
    assert!(!said.contains("argon2id$"), "{said}");
    report.exited(4, "1 rows were refused");
    let import = Import::new().scheme(Argon2::by_owner());
    host.assert_status("argon2 1 0 0");
    host.assert_status(
        "some tokens were not used since the import: wait for their holders, or find them with \
         `admin list` and revoke them; until then keep open_import",
    );
    assert_not_ours(&host.enter(&import, Some("bob"), "bug"));
    assert_not_ours(&host.enter(&import, Some("alice"), "Bug"));
    let caller = host.enter(&import, Some("alice"), "bug").unwrap();
    assert_eq!((&*scopes(&caller), caller.expires()), ("files:read", Expires::Never));
    host.assert_status("argon2 0 1 0");
    assert_stays_revoked(&host, &guide, &import, "alice", "bug");
}

#[test]
fn from_jwts() {
    let guide = Guide::read("jwt");
    let host = Host::with_import(&["Administrator", "Operator", "Reader"]);
    let key = "0sBQFSdlLs6vjKj8TZ0WQ8CwTjGm1hYx";
    fs::write(host.path("signing.key"), format!("{key}\n")).unwrap();
    let claims = |name: &str, roles: &str| {
        format!(
            "{{\"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name\":\"{name}\",\
             \"http://schemas.microsoft.com/ws/2008/06/identity/claims/role\":{roles},\
             \"exp\":4000000000}}"
        )
    };
    let signed = |claims: String| {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
        let text = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
        let mac = Hmac::<sha2::Sha256>::new_from_slice(key.as_bytes()).unwrap();
        let mac = mac.chain_update(&text).finalize().into_bytes();
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(mac))
    };
    let token = signed(claims("adam", r#"["Operator","Reader"]"#));
    let of_policy = signed(claims("adam", r#""policy""#));
    let report = host.follow(
        &guide,
        &format!(
            "CREATE TABLE Identity (Id INTEGER PRIMARY KEY, Name TEXT);
            CREATE TABLE AppToken (Id INTEGER PRIMARY KEY, Token TEXT, IdentityId INTEGER,
                Role TEXT, Created TEXT, Expiration TEXT, Revoked INTEGER, RevokedDate TEXT);
            INSERT INTO Identity VALUES (1, 'adam');
            INSERT INTO AppToken VALUES
                (1, '{token}', 1, 'Administrator', '2026-01-02T03:04:05', '2099-01-01 00:00:00', 0,
                    '0001-01-01 00:00:00'),
                (2, '{of_policy}', 1, 'Reader', '2026-01-02T03:04:05', '2099-01-01 00:00:00', 0,
                    '0001-01-01 00:00:00');"
        ),
    );
    let said = report.out.clone();
    assert!(!said.contains("eyJ"), "{said}");
    report.exited(4, "1 rows were refused");
    assert!(said.contains("the policy file has no scope \"policy\": row 2"), "{said}");
    let import = Import::new().scheme(Jwt::of_powershell_universal(key).unwrap());
    let caller = host.enter(&import, None, &token).unwrap();
    assert_eq!(scopes(&caller), "Operator Reader");
    assert_eq!(caller.expires().at().unwrap().to_string(), "2096-10-02T07:06:40Z", "of its exp");
    assert_not_ours(&host.enter(&import, None, &of_policy));
    // A signature alone lets nobody in.
    assert_not_ours(&host.enter(&import, None, &signed(claims("adam", r#""Administrator""#))));
    host.assert_status("powershell-universal 0 1 0");
    assert_stays_revoked(&host, &guide, &import, "adam", &token);
}

#[test]
fn each_guides_query_is_the_one_that_the_help_shows_and_a_guide_is_short() {
    let host = Host::new();
    for (guide, format) in [
        ("nextcloud", "nextcloud"),
        ("forgejo", "gitea"),
        ("sanctum", "sanctum"),
        ("sha256", "sha256"),
        ("plaintext", "plain"),
        ("argon2", "phc"),
        ("jwt", "powershell-universal"),
    ] {
        let help = host.run(host.command(&["import", format, "--help"]), b"").done();
        let Guide { query, prepare, import, .. } = Guide::read(guide);
        assert!(help.contains(&query), "{guide}: {help}");
        assert_eq!(prepare, "admin keys add-import");
        assert!(import.starts_with(&format!("admin import {format} ")), "{import}");
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../src/guide");
        let text = fs::read_to_string(folder.join(format!("move_from_{guide}.md"))).unwrap();
        assert!(text.lines().count() < 60, "{guide}: {} lines", text.lines().count());
    }
    assert!(KeyRing::load(host.path("keys")).is_ok_and(|ring| !ring.has_import_key()));
}
