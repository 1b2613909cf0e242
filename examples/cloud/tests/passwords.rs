//! The months of transition: `--accept-passwords`.

mod common;

use std::process::{Command, Stdio};

use common::{Cloud, basic, bearer};

const ALICE: &str = "alice:her secret";

#[test]
fn the_main_password_works_where_an_app_password_does_and_makes_no_tokens_there() {
    let data = tempfile::tempdir().unwrap();
    let cloud = Cloud::start(data.path(), &["--user", ALICE, "--accept-passwords"]);
    for path in ["/dav/", "/calendars/", "/contacts/", "/remote.php/dav/files/alice/"] {
        assert_eq!(cloud.dav("PROPFIND", path, &basic(ALICE)), 207, "{path}");
        for wrong in ["alice:wrong", "bob:her secret", "alice:", ":her secret"] {
            assert_eq!(cloud.dav("PROPFIND", path, &basic(wrong)), 401, "{path} {wrong}");
        }
    }
    let own = cloud.request("DELETE", "/ocs/v2.php/core/apppassword", &[&basic(ALICE)], "");
    assert_eq!(own.status, 403, "a password has nothing to revoke");
}

#[test]
fn a_token_that_is_denied_is_never_tried_as_a_password() {
    // The password looks like a token of this cloud. Were tokens tried as passwords, it would work.
    let password = "cloud_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92";
    let user = format!("alice:{password}");
    let data = tempfile::tempdir().unwrap();
    let cloud = Cloud::start(data.path(), &["--user", &user, "--accept-passwords"]);
    assert_eq!(cloud.dav("PROPFIND", "/dav/", &basic(&user)), 401);
}

#[test]
fn a_revoked_app_password_stays_out() {
    let data = tempfile::tempdir().unwrap();
    let cloud = Cloud::start(data.path(), &["--user", ALICE, "--accept-passwords"]);
    let (id, token) = cloud.create(ALICE, r#"{"label": "x"}"#);
    assert_eq!(cloud.dav("PROPFIND", "/dav/", &bearer(&token)), 207);
    assert_eq!(cloud.api(ALICE, "DELETE", &format!("/api/tokens/{id}"), "").status, 204);
    assert_eq!(cloud.dav("PROPFIND", "/dav/", &bearer(&token)), 401);
    assert_eq!(cloud.dav("PROPFIND", "/dav/", &basic(&format!("alice:{token}"))), 401);
}

#[test]
fn the_log_names_who_still_uses_it_once_for_each_program_and_never_the_password() {
    let data = tempfile::tempdir().unwrap();
    let mut process = Command::new(common::PROGRAM);
    process.args(["--listen", "127.0.0.1:0", "--user", ALICE, "--accept-passwords", "--data"]);
    let log = data.path().join("log");
    process.arg(data.path()).stdout(Stdio::piped());
    let process = process.stderr(std::fs::File::create(&log).unwrap()).spawn().unwrap();
    let cloud = Cloud::started(process);
    for program in ["OldSync/1", "OldSync/1", "Other/2", "OldSync/1"] {
        let headers = [&*basic(ALICE), &format!("User-Agent: {program}"), "Depth: 0"];
        cloud.request("PROPFIND", "/dav/", &headers, "");
    }
    let (_, token) = cloud.create(ALICE, r#"{"label": "x"}"#);
    assert_eq!(cloud.dav("PROPFIND", "/dav/", &bearer(&token)), 207);
    let text = std::fs::read_to_string(&log).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| line.contains("main password")).collect();
    assert_eq!(
        lines[0],
        "alice still uses the main password, with \"OldSync/1\" from 127.0.0.1; \
         give that device an app password"
    );
    assert!(lines.len() == 2 && lines[1].contains("\"Other/2\""), "{text}");
    assert!(!text.contains("her secret") && !text.contains(&token), "{text}");
}

#[test]
fn behind_a_login_proxy_there_is_no_main_password_to_accept() {
    let proxy = ["--sso-header", "Remote-User", "--sso-from", "127.0.0.1"];
    let mut process = Command::new(common::PROGRAM);
    process.args(["--data", "x", "--user", ALICE, "--accept-passwords"]).args(proxy);
    let output = process.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("leave out --accept-passwords or --sso-header"), "{said}");
}
