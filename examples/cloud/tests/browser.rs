//! The settings page in a real Chromium, with and without JavaScript, each page by axe-core.
//!
//! It needs `chromium`, `node`, and in the folder `browser` of the target folder:
//! `npm i playwright-core axe-core`.

mod common;

use std::process::Command;

use common::Cloud;
use support::program::browser_tools;

#[test]
fn a_real_browser_goes_through_every_page_and_none_breaks_a_rule_of_access() {
    let Some(tools) = browser_tools() else { return };
    let data = tempfile::tempdir().unwrap();
    let policy = data.path().join("policy.toml");
    let text =
        include_str!("../policy.toml").replace("record_origin = false", "record_origin = true");
    std::fs::write(&policy, text).unwrap();
    let cloud = Cloud::start(data.path(), &["--policy", policy.to_str().unwrap()]);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/tests/browser.mjs");
    let shots = tools.join("shots");
    let elsewhere = tempfile::tempdir().unwrap();
    let strict = Cloud::start(elsewhere.path(), &["--ask-again-after", "0s"]);
    let mut node = Command::new("node");
    node.arg(script).arg(&tools).arg(cloud.url("")).arg(shots).env("STRICT", strict.url(""));
    let output = node.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("each at two widths and in two colour schemes"), "{said}\n{why}");
}

#[test]
fn a_real_browser_gets_through_a_login_proxy_though_its_cookie_is_strict() {
    let Some(tools) = browser_tools() else { return };
    let data = tempfile::tempdir().unwrap();
    let options = ["--sso-header", "Remote-User", "--sso-from", "127.0.0.1"];
    let cloud = Cloud::start(data.path(), &options);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/tests/login_proxy.mjs");
    let output = Command::new("node").arg(script).arg(&tools).arg(cloud.url("")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("the way through the login proxy is whole"), "{said}\n{why}");
}
