//! Nextcloud's own sync client, and what it and its like ask for beside WebDAV.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Output;

use common::{Cloud, basic, bearer};
use support::program::{has, run};

const ALICE: &str = "alice:her secret";

/// Returns every file below a folder with its text, and every folder. The client's own database is
/// left out.
fn tree(folder: &Path) -> BTreeMap<String, String> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                folders.push(path);
                found.insert(name, "a folder".into());
            } else if !name.starts_with(".sync_") {
                found.insert(name, fs::read_to_string(path).unwrap());
            }
        }
    }
    found
}

fn sync(home: &Path, cloud: &Cloud, token: &str) -> Output {
    let folder = home.join("here");
    fs::create_dir_all(&folder).unwrap();
    let arguments =
        ["--non-interactive", "-u", "alice", "-p", token, folder.to_str().unwrap(), &cloud.url("")];
    run(home, "nextcloudcmd", &arguments)
}

#[track_caller]
fn sync_well(home: &Path, cloud: &Cloud, token: &str) -> String {
    let output = sync(home, cloud, token);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    said
}

#[test]
fn nextclouds_own_client_syncs_both_ways_also_after_a_restart() {
    if !has("nextcloudcmd") {
        return;
    }
    let (data, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (home, start) = (home.path(), || Cloud::start(data.path(), &["--user", ALICE]));
    let cloud = start();
    let (id, token) = cloud.create(ALICE, r#"{"label": "sync", "scopes": ["files:write"]}"#);
    let (here, there) = (home.join("here"), data.path().join("files/alice/files"));
    let call = |cloud: &Cloud, method: &str, path: &str, headers: &[&str], body: &str| {
        let token = bearer(&token);
        let status = cloud.request(method, path, &[&[&*token], headers].concat(), body).status;
        assert!((200..300).contains(&status), "{method} {path}: {status}");
    };

    // Up: folders, a name that needs escapes, an empty file.
    fs::create_dir_all(here.join("deep/er")).unwrap();
    fs::write(here.join("deep/er/Ünï & more.txt"), "text").unwrap();
    fs::write(here.join("empty"), "").unwrap();
    fs::write(here.join("note"), "mine").unwrap();
    sync_well(home, &cloud, &token);
    assert_eq!(tree(&there), tree(&here));
    assert_eq!(tree(&there).len(), 5);

    // Down, from far below: the client asks for the topmost ETag first.
    call(&cloud, "PUT", "/dav/deep/er/new", &[], "theirs");
    call(&cloud, "PUT", "/dav/note", &[], "changed there");
    call(&cloud, "DELETE", "/dav/empty", &[], "");
    sync_well(home, &cloud, &token);
    assert_eq!(tree(&here)["deep/er/new"], "theirs");
    assert_eq!(tree(&here)["note"], "changed there");
    assert_eq!(tree(&there), tree(&here));

    // Both at once, and a file that moves.
    fs::rename(here.join("note"), here.join("deep/moved")).unwrap();
    fs::write(here.join("deep/er/new"), "changed here").unwrap();
    call(&cloud, "MKCOL", "/dav/made-there", &[], "");
    sync_well(home, &cloud, &token);
    assert_eq!(tree(&there), tree(&here));
    assert_eq!(tree(&there)["deep/er/new"], "changed here");
    assert!(tree(&here).contains_key("made-there"));

    // After a restart, nothing is sent anew.
    let before = tree(&here);
    cloud.kill();
    let cloud = start();
    let said = sync_well(home, &cloud, &token);
    assert!(!said.contains("INSTRUCTION_CONFLICT") && !said.contains("\"PUT\""), "{said}");
    assert_eq!((tree(&here), tree(&there)), (before.clone(), before));

    // A lost device: the app password is revoked.
    assert_eq!(cloud.api(ALICE, "DELETE", &format!("/api/tokens/{id}"), "").status, 204);
    fs::write(here.join("late"), "late").unwrap();
    sync(home, &cloud, &token);
    assert!(!there.join("late").exists());
}

#[test]
fn a_token_that_only_reads_fetches_and_changes_nothing() {
    if !has("nextcloudcmd") {
        return;
    }
    let (data, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let cloud = Cloud::start(data.path(), &["--user", ALICE]);
    let (_, all) = cloud.create(ALICE, r#"{"label": "all"}"#);
    assert_eq!(cloud.request("PUT", "/dav/a", &[&bearer(&all)], "text").status, 201);
    let (_, read) = cloud.create(ALICE, r#"{"label": "read", "scopes": ["files:read"]}"#);
    sync_well(home.path(), &cloud, &read);
    let here = home.path().join("here");
    assert_eq!(tree(&here)["a"], "text");
    fs::write(here.join("b"), "more").unwrap();
    sync(home.path(), &cloud, &read);
    assert!(!data.path().join("files/alice/files/b").exists());
}

#[test]
fn the_main_password_does_not_sync() {
    if !has("nextcloudcmd") {
        return;
    }
    let (data, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let cloud = Cloud::start(data.path(), &["--user", ALICE]);
    let output = sync(home.path(), &cloud, "her secret");
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

// -- what its clients ask for

fn start() -> (tempfile::TempDir, Cloud, String) {
    let data = tempfile::tempdir().unwrap();
    let cloud = Cloud::start(data.path(), &["--user", ALICE]);
    let (_, token) = cloud.create(ALICE, r#"{"label": "x"}"#);
    (data, cloud, token)
}

#[test]
fn a_client_without_credentials_learns_what_this_is_and_a_wrong_password_is_refused() {
    let (_data, cloud, token) = start();
    let status = cloud.request("GET", "/status.php", &[], "");
    assert_eq!((status.status, &status.json()["installed"]), (200, &true.into()));
    for path in ["/ocs/v1.php/cloud/capabilities", "/ocs/v2.php/cloud/capabilities?format=json"] {
        let with = |headers: &[&str]| cloud.request("GET", path, headers, "").status;
        assert_eq!(with(&[]), 200);
        assert_eq!(with(&[&bearer(&token)]), 200);
        assert_eq!(with(&[&basic(ALICE)]), 401, "clients show \"wrong password\" then");
    }
    assert_ne!(cloud.request("GET", "/", &[], "").status, 401);
}

#[test]
fn any_token_tells_who_it_is_and_ends_itself() {
    let (_data, cloud, _) = start();
    let (id, token) = cloud.create(ALICE, r#"{"label": "c", "scopes": ["contacts:read"]}"#);
    let user = cloud.request("GET", "/ocs/v1.php/cloud/user?format=json", &[&bearer(&token)], "");
    assert_eq!(user.json()["ocs"]["data"]["id"], "alice");
    assert_eq!(cloud.request("GET", "/ocs/v1.php/cloud/user", &[], "").status, 401);

    let path = "/ocs/v2.php/core/apppassword";
    assert_eq!(cloud.request("DELETE", path, &[], "").status, 401);
    assert_eq!(cloud.request("DELETE", path, &[&bearer(&token)], "").status, 200);
    assert_eq!(cloud.request("DELETE", path, &[&bearer(&token)], "").status, 401);
    let list = cloud.tokens(ALICE);
    let revoked: Vec<_> = list
        .iter()
        .filter(|token| token["status"] == "revoked")
        .map(|token| token["id"].as_str().unwrap())
        .collect();
    assert_eq!(revoked, [&*id], "itself and no other");
}

#[test]
fn an_upload_says_id_and_etag_and_takes_the_clients_time() {
    let (_data, cloud, token) = start();
    let path = "/remote.php/dav/files/alice/a%20b";
    let put = |body: &str, time: &str| {
        let put = cloud.request("PUT", path, &[&bearer(&token), time], body);
        assert!(matches!(put.status, 201 | 204), "{}", put.status);
        let header = |name: &str| put.header(name).unwrap_or_default().to_owned();
        (header("etag"), header("oc-etag"), header("oc-fileid"), header("x-oc-mtime"))
    };
    let time = "X-OC-Mtime: 1700000000";
    let (etag, oc_etag, id, accepted) = put("one", time);
    assert_eq!((&*etag, &*accepted), (&*oc_etag, "accepted"));
    let find = |path: &str| {
        let ask = "<d:propfind xmlns:d='DAV:' xmlns:oc='http://owncloud.org/ns'><d:prop>\
                   <d:getetag/><d:getlastmodified/><oc:id/><oc:permissions/></d:prop></d:propfind>";
        cloud.request("PROPFIND", path, &[&bearer(&token), "Depth: 0"], ask).body
    };
    let found = find(path);
    for expected in [&*etag.replace('"', "&quot;"), &id, "RGDNVW", "14 Nov 2023 22:13:20 GMT"] {
        assert!(found.contains(expected), "{expected} is not in {found}");
    }
    let read = cloud.request("GET", path, &[&bearer(&token)], "");
    assert_eq!(read.header("etag"), Some(&*etag));
    assert!(find("/remote.php/dav/files/alice/").contains("RGDNVCK"));

    // Of the same length and time, and yet another version of the same file.
    let (second, _, same_id, _) = put("two", time);
    assert_ne!(second, etag);
    assert_eq!(same_id, id);
    let moved = [&*bearer(&token), "Destination: /remote.php/dav/files/alice/c"];
    assert_eq!(cloud.request("MOVE", path, &moved, "").status, 201);
    assert!(find("/remote.php/dav/files/alice/c").contains(&id), "the id moves with the file");
}

#[test]
fn the_version_that_a_client_names_is_the_one_it_replaces() {
    let (_data, cloud, token) = start();
    let path = "/remote.php/dav/files/alice/a";
    let put = |headers: &[&str], body: &str| {
        let token = bearer(&token);
        cloud.request("PUT", path, &[&[&*token], headers].concat(), body)
    };
    let first = put(&[], "1").header("etag").unwrap().to_owned();
    let matching = format!("If-Match: {first}");
    assert_eq!(put(&[&matching], "2").status, 204);
    assert_eq!(put(&[&matching], "3").status, 412, "another device was quicker");
    assert_eq!(cloud.request("GET", path, &[&bearer(&token)], "").body, "2");
}

#[test]
fn a_path_with_another_users_name_leads_nowhere() {
    let data = tempfile::tempdir().unwrap();
    let cloud = Cloud::with_alice_and_bob(data.path());
    let (_, token) = cloud.create(ALICE, r#"{"label": "x"}"#);
    for user in ["bob", "nobody", "Alice", "%2e%2e", "alice%2f..%2fbob"] {
        let path = format!("/remote.php/dav/files/{user}/");
        assert_eq!(cloud.dav("PROPFIND", &path, &bearer(&token)), 404, "{user}");
        assert_eq!(cloud.request("PUT", &format!("{path}a"), &[&bearer(&token)], "x").status, 404);
    }
    assert!(!data.path().join("files/bob").exists());
}
