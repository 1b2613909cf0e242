//! Accounts: the users file while the cloud runs, the name that clients send, a login proxy.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::browser::Browser;
use common::{Cloud, basic, bearer};
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// A users file, and a cloud that reads it.
struct Users {
    folder: TempDir,
    file: PathBuf,
    hash: String,
}

impl Users {
    fn new() -> Users {
        let folder = folder();
        let file = folder.path().join("users");
        Users { folder, file, hash: password_auth::generate_hash("her secret") }
    }

    /// Writes the file as an editor does, by renaming. `HASH` stands for the hash.
    fn write(&self, text: &str) {
        let new = self.folder.path().join("users.new");
        fs::write(&new, text.replace("HASH", &self.hash)).unwrap();
        fs::rename(new, &self.file).unwrap();
    }

    fn cloud(&self, data: &Path, more: &[&str]) -> Cloud {
        Cloud::start(data, &[&["--users", self.file.to_str().unwrap()], more].concat())
    }
}

fn create(cloud: &Cloud, account: &str) -> String {
    cloud.create(account, r#"{"label": "x"}"#).1
}

fn enters(cloud: &Cloud, header: &str) -> bool {
    match cloud.dav("PROPFIND", "/dav/", header) {
        207 => true,
        401 => false,
        status => panic!("{status}"),
    }
}

#[test]
fn tokens_follow_the_account_id_when_users_are_renamed_disabled_deleted_and_come_back() {
    let (users, data) = (Users::new(), folder());
    users.write("alice u-1 alice@example.org HASH\nbob u-2 - HASH\n");
    let cloud = users.cloud(data.path(), &[]);
    let token = create(&cloud, "alice:her secret");
    let as_user = |name: &str| basic(&format!("{name}:{token}"));
    assert!(enters(&cloud, &as_user("alice")));

    users.write("alicia u-1 - HASH\nbob u-2 - HASH\n");
    assert!(enters(&cloud, &as_user("alicia")) && !enters(&cloud, &as_user("alice")));
    assert_eq!(Browser::new(&cloud).sign_in("alice:her secret").status, 401);
    let browser = Browser::signed_in(&cloud, "alicia:her secret");
    assert!(browser.get("/").body.contains("<bdi>alicia</bdi>"));

    users.write("alicia u-1 - !HASH\nbob u-2 - HASH\n");
    assert!(!enters(&cloud, &as_user("alicia")) && !enters(&cloud, &bearer(&token)), "disabled");
    assert!(browser.get("/").body.contains("type=\"password\""), "signed out at once");
    assert_eq!(Browser::new(&cloud).sign_in("alicia:her secret").status, 401);

    users.write("alicia u-1 - HASH\nbob u-2 - HASH\n");
    assert!(enters(&cloud, &bearer(&token)), "enabled again");

    users.write("bob u-2 - HASH\nalicia u-3 - HASH\n");
    assert!(!enters(&cloud, &bearer(&token)), "deleted");
    assert!(!enters(&cloud, &as_user("alicia")), "a new user with an old name");
    let listed = cloud.api("alicia:her secret", "GET", "/api/tokens", "").json();
    assert_eq!(listed.as_array().unwrap().len(), 0, "the new user owns none of the old tokens");
}

#[test]
fn a_broken_users_file_keeps_the_last_good_accounts() {
    let (users, data) = (Users::new(), folder());
    users.write("alice u-1 - HASH\n");
    let cloud = users.cloud(data.path(), &[]);
    let token = create(&cloud, "alice:her secret");
    for broken in ["alice u-1", "alice u-1 - her-secret-in-clear", "alice u-1 - - x=y\n"] {
        users.write(broken);
        assert!(enters(&cloud, &bearer(&token)), "{broken}");
    }
    fs::remove_file(&users.file).unwrap();
    assert!(enters(&cloud, &bearer(&token)), "the file is gone");
    users.write("bob u-2 - HASH\n");
    assert!(!enters(&cloud, &bearer(&token)), "a good file counts again");

    users.write("bob u-2 - hunter2\n");
    let mut start = Command::new(common::PROGRAM);
    start.args(["--listen", "127.0.0.1:0", "--data"]).arg(data.path());
    let output = start.arg("--users").arg(&users.file).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("line 1: the hash is not in PHC form"));
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn clients_send_the_name_that_the_rule_says_and_no_other() {
    let users = Users::new();
    users.write("alice 4c510ada alice@example.org HASH\nbob u-2 - HASH\n");
    for (rule, name) in [("login", "alice"), ("uuid", "4c510ada"), ("email", "Alice@Example.org")] {
        let data = folder();
        let cloud = users.cloud(data.path(), &["--username-rule", rule]);
        let token = create(&cloud, "alice:her secret");
        for sent in ["alice", "4c510ada", "Alice@Example.org", "bob", "nobody"] {
            let header = basic(&format!("{sent}:{token}"));
            assert_eq!(enters(&cloud, &header), sent == name, "{rule}: {sent}");
        }
        assert!(enters(&cloud, &bearer(&token)), "{rule}: without a name");
        let browser = Browser::signed_in(&cloud, "alice:her secret");
        let once = browser.once("/new");
        let fields = [("label", "x"), ("access", "files:read"), ("end", "30"), ("once", &*once)];
        let page = browser.post("/tokens", &fields).body.to_lowercase();
        assert!(
            page.contains(&format!("value=\"{}\"", name.to_lowercase())),
            "{rule}: it is shown"
        );
    }
}

#[test]
fn a_login_proxy_names_the_user_and_is_believed_from_its_address_only() {
    let users = Users::new();
    users.write("alice u-1 - -\nbob u-2 - HASH\n");
    let (here, elsewhere, strict_data) = (folder(), folder(), folder());
    let options = |from| ["--sso-header", "Remote-User", "--sso-from", from];
    let cloud = users.cloud(here.path(), &options("127.0.0.1"));
    let get = |cloud: &Cloud, name: &str| {
        cloud.request("GET", "/", &[&format!("Remote-User: {name}")], "")
    };
    let page = get(&cloud, "alice");
    assert!(page.status == 200 && page.body.contains("<bdi>alice</bdi>"), "{}", page.body);
    assert!(page.header("set-cookie").unwrap().contains("HttpOnly"));
    assert!(!page.body.contains("Sign out</button>"), "the proxy signs out");
    let cookie = page.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let switched =
        cloud.request("GET", "/", &[&format!("Cookie: {cookie}"), "Remote-User: bob"], "");
    assert!(switched.body.contains("<bdi>bob</bdi>"), "the cookie of another is not enough");
    let without = cloud.request("GET", "/", &[&format!("Cookie: {cookie}")], "");
    assert!(without.status == 401 && !without.body.contains("type=\"password\""));
    for nobody in ["nobody", "", "alice\r\nRemote-User: bob"] {
        assert_eq!(get(&cloud, nobody).status, 401, "{nobody:?}");
    }
    assert_eq!(Browser::new(&cloud).sign_in("bob:her secret").status, 303);
    let form = "Content-Type: application/x-www-form-urlencoded";
    let by_form = cloud.request("POST", "/sign-in", &[form], "name=bob&password=her+secret");
    assert!(by_form.header("set-cookie").is_none(), "there is no main password");
    let by_api = cloud.request("GET", "/api/tokens", &[&basic("bob:her secret")], "");
    assert_eq!(by_api.status, 401, "not for programs, either");

    let cookie = |answer: &common::Answer| {
        let line = answer.header("set-cookie").unwrap().to_owned();
        format!("Cookie: {}", line.split(';').next().unwrap())
    };
    let alice = "Remote-User: alice";
    let session = cookie(&get(&cloud, "alice"));
    let form = cloud.request("GET", "/new", &[alice, &session], "");
    assert!(form.body.contains("name=\"once\""), "a sign-in of this moment");
    let strict = [&options("127.0.0.1")[..], &["--ask-again-after", "0s"]].concat();
    let cloud = users.cloud(strict_data.path(), &strict);
    let session = cookie(&get(&cloud, "alice"));
    let asked = cloud.request("GET", "/new", &[alice, &session], "");
    assert!(asked.body.contains("href=\"/again?to=/new\""), "{}", asked.body);
    let back = cloud.request("GET", "/again?to=/new", &[alice, &session], "");
    assert_eq!((back.status, back.header("location")), (303, Some("/new")));
    assert_ne!(cookie(&back), session, "another cookie");
    let away = cloud.request("GET", "/again?to=//evil.example", &[alice, &session], "");
    assert_eq!(away.header("location"), Some("/"));

    let cloud = users.cloud(elsewhere.path(), &options("10.0.0.1"));
    assert_eq!(get(&cloud, "alice").status, 401, "not from the proxy");
}

#[test]
fn the_key_file_is_never_served_however_the_paths_are_written() {
    let data = folder();
    let inside = data.path().join("demo");
    fs::create_dir(&inside).unwrap();
    for (kept, served) in [
        (inside.clone(), data.path().to_owned()),
        (inside.join("..").join("demo"), inside.clone()),
        (data.path().to_owned(), inside.join("files")),
    ] {
        let mut start = Command::new(common::PROGRAM);
        start.args(["--listen", "127.0.0.1:0", "--data"]).arg(kept).arg("--files").arg(served);
        let output = start.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.starts_with("--files and --data overlap"), "{said}");
    }
}
