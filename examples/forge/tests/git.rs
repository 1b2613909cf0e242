//! git itself against the forge: every way in which it presents a token, and what it does when it
//! is refused.

#![cfg(unix)]

mod common;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use common::{ALICE, BOB, Forge, bearer, git, git_well, git_with, said};
use serde_json::json;
use support::program::has;

/// A forge where alice has a private repository, and a folder for clones.
struct Start {
    forge: Forge,
    home: tempfile::TempDir,
    data: tempfile::TempDir,
}

fn start() -> Option<Start> {
    if !has("git") {
        return None;
    }
    let (data, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let forge = Forge::start(data.path());
    forge.repo(ALICE, "site", true);
    Some(Start { forge, home, data })
}

#[test]
fn git_enters_by_each_way_it_has_to_present_a_token() {
    let Some(Start { forge, home, data: _data }) = start() else { return };
    let home = home.path();
    let token = forge.token(ALICE, &["read:repository"]);
    let url = forge.url("/alice/site.git");
    let with_user = forge.url_as("alice", &token, "/alice/site.git");
    let placeholder = forge.url_as("x-access-token", &token, "/alice/site.git");
    let github = forge.url_as(&token, "x-oauth-basic", "/alice/site.git");
    let alone = format!("http://{token}@{}/alice/site.git", forge.address);
    let extra = |value: String| format!("http.extraHeader=Authorization: {value}");
    let (as_bearer, as_token) = (extra(format!("Bearer {token}")), extra(format!("token {token}")));
    let ways: [(&str, &[&str]); 6] = [
        ("url", &["ls-remote", &with_user]),
        ("placeholder", &["ls-remote", &placeholder]),
        ("token as user name", &["ls-remote", &github]),
        ("Bearer", &["-c", &as_bearer, "ls-remote", &url]),
        ("token", &["-c", &as_token, "ls-remote", &url]),
        // A password prompt would ask for the rest; an empty one is enough.
        ("token as user name alone", &["-c", "core.askPass=true", "ls-remote", &alone]),
    ];
    for (way, arguments) in ways {
        assert!(git_well(home, arguments).contains("refs/heads/main"), "{way}");
    }

    let askpass = home.join("askpass");
    let script = format!("#!/bin/sh\ncase $1 in User*) echo alice;; *) echo {token};; esac\n");
    fs::write(&askpass, script).unwrap();
    fs::set_permissions(&askpass, fs::Permissions::from_mode(0o700)).unwrap();
    let askpass = [("GIT_ASKPASS", askpass.to_str().unwrap())];
    let output = git_with(home, &["clone", "-q", &url, "by-askpass"], &askpass);
    assert!(output.status.success(), "{}", said(&output));

    let netrc = format!("machine 127.0.0.1 login alice password {token}\n");
    fs::write(home.join(".netrc"), netrc).unwrap();
    git_well(home, &["clone", "-q", &url, "by-netrc"]);
    fs::remove_file(home.join(".netrc")).unwrap();

    // A helper that answers with a Bearer token, as git 2.46 and later can use it.
    let helper = format!(
        "credential.helper=!f() {{ echo capability[]=authtype; echo authtype=Bearer; \
         echo credential={token}; }}; f"
    );
    let output = git(home, &["-c", &helper, "ls-remote", &url]);
    if said(&git(home, &["version"])).trim() >= "git version 2.46" {
        assert!(output.status.success(), "{}", said(&output));
    }
    assert!(!git(home, &["ls-remote", &url]).status.success(), "and without any it is refused");
}

/// Puts a credential into git's own store, and returns the option that uses it.
fn stored(home: &Path, forge: &Forge, token: &str) -> String {
    let file = home.join("credentials");
    fs::write(&file, format!("http://alice:{token}@{}\n", forge.address)).unwrap();
    format!("credential.helper=store --file={}", file.to_str().unwrap())
}

fn is_kept(home: &Path) -> bool {
    fs::read_to_string(home.join("credentials")).unwrap().contains("alice")
}

#[test]
fn a_read_token_clones_and_can_not_push_and_git_keeps_it() {
    let Some(Start { forge, home, data: _data }) = start() else { return };
    let home = home.path();
    let url = forge.url("/alice/site.git");
    let store = stored(home, &forge, &forge.token(ALICE, &["read:repository"]));
    git_well(home, &["-c", &store, "clone", "-q", &url, "work"]);
    let work = home.join("work");
    fs::write(work.join("new"), "new").unwrap();
    git_well(&work, &["add", "."]);
    git_well(&work, &["commit", "-q", "-m", "second"]);
    let refused = git(&work, &["-c", &store, "push", "-q", "origin", "main"]);
    assert!(!refused.status.success());
    assert!(said(&refused).contains("403"), "{}", said(&refused));
    assert!(is_kept(home), "403 erases no credential");

    let store = stored(home, &forge, &forge.token(ALICE, &["write:repository"]));
    git_well(&work, &["-c", &store, "push", "-q", "origin", "main"]);
    git_well(&work, &["-c", &store, "pull", "-q", "origin", "main"]);
    git_well(home, &["-c", &store, "clone", "-q", &url, "again"]);
    assert!(home.join("again/new").exists(), "the push has arrived");
}

#[test]
fn a_large_push_goes_through_as_it_comes() {
    let Some(Start { forge, home, data: _data }) = start() else { return };
    let home = home.path();
    let token = forge.token(ALICE, &["write:repository"]);
    let url = forge.url_as("alice", &token, "/alice/site.git");
    git_well(home, &["clone", "-q", &url, "work"]);
    let work = home.join("work");
    // Git compresses; bytes that look random stay large, and above git's buffer of 1 MB it sends
    // them in chunks.
    let mut state = 1u64;
    let bytes: Vec<u8> = (0..6_000_000)
        .map(|_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 56) as u8
        })
        .collect();
    fs::write(work.join("large"), &bytes).unwrap();
    git_well(&work, &["add", "."]);
    git_well(&work, &["commit", "-q", "-m", "large"]);
    git_well(&work, &["push", "-q", "origin", "main"]);
    git_well(home, &["clone", "-q", &url, "again"]);
    assert!(fs::read(home.join("again/large")).unwrap() == bytes);
}

#[test]
fn a_deleted_token_is_erased_by_git_and_the_answer_says_what_to_do() {
    let Some(Start { forge, home, data: _data }) = start() else { return };
    let home = home.path();
    let made = forge.create(ALICE, &json!({ "name": "laptop", "scopes": ["all"] }));
    let token = common::text(&made);
    let store = stored(home, &forge, &token);
    let url = forge.url("/alice/site.git");
    git_well(home, &["-c", &store, "ls-remote", &url]);
    let path = "/users/alice/tokens/laptop";
    let deleted = forge.api(&common::basic(ALICE), "DELETE", path, &serde_json::Value::Null);
    assert_eq!(deleted.status, 204);
    let refused = git(home, &["-c", &store, "ls-remote", &url]);
    assert!(!refused.status.success());
    let said = said(&refused);
    assert!(said.contains("remote: The access token is not valid."), "{said}");
    assert!(said.contains(&format!("Make another at {}", forge.url("/"))), "{said}");
    assert!(!is_kept(home), "git forgets what is no good");
    let log = forge.log_until("\"reason\":\"revoked\"");
    assert!(log.contains("\"address\":\"127.0.0.1\"") && !log.contains(&token), "{log}");
}

#[test]
fn a_main_password_is_refused_with_words_that_help_and_without_a_try() {
    let Some(Start { forge, home, data: _data }) = start() else { return };
    let url = forge.url_as("alice", "her%20secret", "/alice/site.git");
    let refused = git(home.path(), &["ls-remote", &url]);
    assert!(!refused.status.success());
    let said = said(&refused);
    assert!(said.contains("remote: Passwords are not accepted here."), "{said}");
    // Twenty wrong ones over git stop nobody from signing in: they are not even compared.
    for _ in 0..20 {
        let wrong = common::basic("alice:wrong");
        let path = "/alice/site.git/info/refs?service=git-upload-pack";
        assert_eq!(forge.request("GET", path, &[&wrong], b"").status, 401);
    }
    forge.token(ALICE, &["read:user"]);
}

#[test]
fn a_token_for_one_repository_sees_no_other_and_makes_and_deletes_none() {
    let Some(Start { forge, home, data: _data }) = start() else { return };
    let home = home.path();
    forge.repo(ALICE, "secret", true);
    forge.repo(ALICE, "open", false);
    let token = forge.token_for(ALICE, &["write:repository"], &["site"]);
    let url = |name: &str| forge.url_as("alice", &token, &format!("/alice/{name}.git"));
    git_well(home, &["clone", "-q", &url("site"), "work"]);
    let work = home.join("work");
    git_well(&work, &["push", "-q", "origin", "main:other"]);
    let refused = git(home, &["ls-remote", &url("secret")]);
    assert!(said(&refused).contains("not found"), "{}", said(&refused));
    // What is public, everybody reads. But this token doesn't write there.
    git_well(home, &["ls-remote", &url("open")]);
    let refused = git(&work, &["push", "-q", &url("open"), "main:other"]);
    assert!(said(&refused).contains("403"), "{}", said(&refused));

    let header = bearer(&token);
    let none = serde_json::Value::Null;
    assert_eq!(forge.api(&header, "GET", "/repos/alice/secret", &none).status, 404);
    assert_eq!(forge.api(&header, "DELETE", "/repos/alice/site", &none).status, 403);
    let made = forge.api(&header, "POST", "/user/repos", &json!({ "name": "more" }));
    assert_eq!(made.status, 403, "{}", made.body);
    let listed = forge.api(&header, "GET", "/user/repos", &none).json();
    let names: Vec<_> = listed.as_array().unwrap().iter().map(|repo| &repo["name"]).collect();
    assert_eq!(names, ["open", "site"], "a list shows what the token sees");
}

#[test]
fn a_token_for_what_is_public_sees_nothing_private_by_git_or_api() {
    let Some(Start { forge, home, data: _data }) = start() else { return };
    let home = home.path();
    forge.repo(ALICE, "open", false);
    let token = forge.token(ALICE, &["public-only", "all"]);
    let url = |name: &str| forge.url_as("alice", &token, &format!("/alice/{name}.git"));
    git_well(home, &["clone", "-q", &url("open"), "work"]);
    git_well(&home.join("work"), &["push", "-q", "origin", "main:other"]);
    assert!(said(&git(home, &["ls-remote", &url("site")])).contains("not found"));
    for scheme in ["Bearer", "token", "bearer"] {
        let header = format!("Authorization: {scheme} {token}");
        let none = serde_json::Value::Null;
        assert_eq!(forge.api(&header, "GET", "/repos/alice/site", &none).status, 404, "{scheme}");
        assert_eq!(forge.api(&header, "GET", "/user", &none).status, 403, "a mail is private");
        let made = forge.api(&header, "POST", "/user/repos", &json!({ "name": "more" }));
        assert_eq!(made.status, 403, "{}", made.body);
    }
}

#[test]
fn another_user_reads_what_is_public_and_does_not_learn_what_is_there() {
    let Some(Start { forge, home, data: _data }) = start() else { return };
    let home = home.path();
    forge.repo(ALICE, "open", false);
    // Without a token, and with one of another user.
    git_well(home, &["clone", "-q", &forge.url("/alice/open.git"), "work"]);
    let token = forge.token(BOB, &["all"]);
    let url = |name: &str| forge.url_as("bob", &token, &format!("/alice/{name}.git"));
    git_well(home, &["ls-remote", &url("open")]);
    let refused = git(&home.join("work"), &["push", "-q", &url("open"), "main:other"]);
    assert!(said(&refused).contains("403"), "{}", said(&refused));
    let (there, not_there) =
        (git(home, &["ls-remote", &url("site")]), git(home, &["ls-remote", &url("none")]));
    assert_eq!(said(&there).replace("site", "none"), said(&not_there));
    // The name beside the token must be its owner's.
    let refused = git(home, &["ls-remote", &forge.url_as("alice", &token, "/alice/site.git")]);
    assert!(said(&refused).contains("Authentication failed"), "{}", said(&refused));
}

#[test]
fn a_token_for_a_deleted_repository_opens_no_new_one_with_its_name() {
    let Some(Start { forge, home, data: _data }) = start() else { return };
    let home = home.path();
    let token = forge.token_for(ALICE, &["write:repository"], &["site"]);
    let url = forge.url_as("alice", &token, "/alice/site.git");
    git_well(home, &["ls-remote", &url]);
    let all = bearer(&forge.token(ALICE, &["write:repository"]));
    let none = serde_json::Value::Null;
    assert_eq!(forge.api(&all, "DELETE", "/repos/alice/site", &none).status, 204);
    assert!(said(&git(home, &["ls-remote", &url])).contains("not found"));
    forge.repo(ALICE, "site", true);
    assert!(said(&git(home, &["ls-remote", &url])).contains("not found"));
    let listed = forge.api(&common::basic(ALICE), "GET", "/users/alice/tokens", &none).json();
    let limited = listed.as_array().unwrap().iter().find(|token| !token["repositories"].is_null());
    assert_eq!(limited.unwrap()["repositories"], json!([]));
}

#[test]
fn idle_clients_without_a_token_keep_nobody_else_out() {
    if !has("git") {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let forge = Forge::start_with(data.path(), &["--proxy", "127.0.0.1"]);
    forge.repo(ALICE, "open", false);
    let path = "/alice/open.git/info/refs?service=git-upload-pack";
    let ask = |headers: &[&str]| forge.request("GET", path, headers, b"").status;
    // Each says what it sends, and sends nothing.
    let idle: Vec<TcpStream> = (0..36)
        .map(|n| {
            let mut stream = TcpStream::connect(&forge.address).unwrap();
            let from = if n < 10 { 1 } else { n };
            let head = format!(
                "POST /alice/open.git/git-upload-pack HTTP/1.1\r\nHost: x\r\n\
                 X-Forwarded-For: 192.0.2.{from}\r\nContent-Length: 1000\r\n\
                 Content-Type: application/x-git-upload-pack-request\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).unwrap();
            // The head of git's answer, or of a refusal: the place is taken, or there is none.
            let mut begun = [0; 12];
            stream.read_exact(&mut begun).unwrap();
            // git sends a token only if it is asked for one.
            let is_served = matches!(n, 0..8 | 10..34);
            let expected = if is_served { b"HTTP/1.1 200" } else { b"HTTP/1.1 401" };
            assert_eq!(&begun, expected, "{n}");
            stream
        })
        .collect();
    assert_eq!(ask(&["X-Forwarded-For: 192.0.2.200"]), 401, "without a token there is no place");
    assert_eq!(ask(&["X-Forwarded-For: 192.0.2.1"]), 401);
    let token = forge.token(ALICE, &["read:repository"]);
    git_well(data.path(), &["ls-remote", &forge.url_as("alice", &token, "/alice/open.git")]);
    drop(idle);
}
