//! An access token of Gitea or Forgejo, taken over: `--import gitea`.

mod common;

use std::fs;
use std::path::Path;

use app_tokens::import::{ForeignToken, Forgejo, Import, Imported};
use app_tokens::store::SqliteStore;
use app_tokens::{Access, KeyRing, Operator, TokenAuthority};
use common::{ALICE, Forge, basic, git_well};
use serde_json::{Value, json};
use shared::policy_file::PolicyFile;
use support::program::has;
use tempfile::TempDir;

/// A token of Gitea's own tests, and what its table keeps of it.
const TOKEN: &str = "d2c6c1ba3890b309189a8e618c72a162e4efbf36";
const SALT: &str = "QuSiZr1byZ";
const HASH: &str = "2b3668e11cb82d3af8c6e4524fc7841297668f5008d1626f0ad3417e9fa39af84c26824\
                    8b78c481daa7e5dc437784003494f";
/// What clients send beside a token as user name. Forgejo accepts both.
const BESIDE: [&str; 2] = ["x-oauth-basic", ""];

/// Imports the token for alice, as `admin import` does.
fn import(data: &Path, policy: &str) {
    let keys = data.join("tokens.key");
    let ring = fs::read_to_string(&keys).unwrap();
    let ring = format!("{},{}\n", ring.trim(), KeyRing::new_import_text().unwrap());
    fs::write(&keys, &ring).unwrap();
    let store = SqliteStore::open(data.join("tokens.db")).unwrap();
    let policy = PolicyFile::parse(policy).unwrap().policy;
    let tokens = TokenAuthority::new(store, KeyRing::parse(&ring).unwrap(), policy);
    let secret = Forgejo::new().secret(HASH, SALT, &TOKEN[32..]).unwrap();
    let token = ForeignToken::new(secret, "u-1001", "Old CI", Access::full());
    let operator = Operator::new("olga").unwrap();
    let imported = tokens.block_on(tokens.import(&operator, &Import::new(), token)).unwrap();
    assert!(matches!(imported, Imported::Done(_)), "{imported:?}");
}

/// A forge that lets imported tokens in. `before` is done at its first start.
fn start(before: impl FnOnce(&Forge)) -> (Forge, TempDir) {
    let data = tempfile::tempdir().unwrap();
    let path = |name: &str| data.path().join(name).to_str().unwrap().to_owned();
    let policy = include_str!("../policy.toml").replace("[scopes]", "open_import = true\n[scopes]");
    fs::write(path("policy.toml"), &policy).unwrap();
    let (policy_file, log) = (path("policy.toml"), path("audit.log"));
    let options = ["--policy", &policy_file, "--audit", &log];
    let forge = Forge::start_with(data.path(), &options);
    before(&forge);
    forge.terminate();
    import(data.path(), &policy);
    let forge = Forge::start_with(data.path(), &[&options, &["--import", "gitea"][..]].concat());
    (forge, data)
}

#[test]
fn git_enters_by_each_way_that_forgejo_has_for_a_token() {
    if !has("git") {
        return;
    }
    let (forge, _data) = start(|forge| forge.repo(ALICE, "site", true));
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    // The first use is by the user name, so the old hash is compared there.
    let url = forge.url_as(TOKEN, "x-oauth-basic", "/alice/site.git");
    git_well(home, &["clone", "-q", &url, "work"]);
    let alone = format!("http://{TOKEN}@{}/alice/site.git", forge.address);
    git_well(home, &["-c", "core.askPass=true", "ls-remote", &alone]);
    for user in ["x-access-token", "oauth2", "alice"] {
        git_well(home, &["ls-remote", &forge.url_as(user, TOKEN, "/alice/site.git")]);
    }
    git_well(&home.join("work"), &["push", "-q", &url, "main:other"]);
}

#[test]
fn no_log_holds_an_imported_token_that_came_as_a_user_name() {
    let (forge, data) = start(|_| {});
    let wish = json!({ "name": "more", "scopes": ["all"] });
    let post = |user: &str, password: &str| {
        let header = basic(&format!("{user}:{password}"));
        forge.api(&header, "POST", "/users/alice/tokens", &wish)
    };
    let answers = BESIDE.map(|password| post(TOKEN, password));
    let log = || fs::read_to_string(data.path().join("audit.log")).unwrap();
    assert!(!log().contains(&TOKEN[..16]), "{}", log());
    for answer in answers {
        assert_eq!(answer.status, 403, "{}", answer.body);
        assert!(answer.body.contains("main password only"), "{}", answer.body);
    }
    let path = "/users/alice/tokens/Old%20CI";
    assert_eq!(forge.api(&basic(ALICE), "DELETE", path, &Value::Null).status, 204);
    for password in BESIDE {
        assert_eq!(post(TOKEN, password).status, 401, "{password:?}");
        assert_eq!(post("nobody", password).status, 401, "{password:?}");
    }
    let log = log();
    assert!(!log.contains(&TOKEN[..16]), "{log}");
    assert_eq!(log.matches("\"reason\":\"revoked\"").count(), 2, "{log}");
    assert_eq!(log.matches("\"account\":\"nobody\"").count(), 1, "{log}");
}
