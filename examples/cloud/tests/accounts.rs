//! Accounts: the users file while the cloud runs, the name that clients send.

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
    let listed = cloud.tokens("alicia:her secret");
    assert_eq!(listed.len(), 0, "the new user owns none of the old tokens");
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
