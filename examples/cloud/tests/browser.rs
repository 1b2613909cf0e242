//! The settings page in a real Chromium, with and without JavaScript, each page by axe-core.
//!
//! It needs `chromium`, `node`, and in the folder `browser` of the target folder:
//! `npm i playwright-core axe-core`.

mod common;

use std::path::Path;

use common::Cloud;
use support::program::{has, run_well};

#[test]
fn a_real_browser_goes_through_every_page_and_none_breaks_a_rule_of_access() {
    let test = std::env::current_exe().unwrap();
    let tools = test.ancestors().nth(3).unwrap().join("browser");
    if !has("chromium") || !has("node") {
        return;
    }
    if !tools.join("node_modules/axe-core").is_dir() {
        let why = format!("no playwright-core and axe-core in {}", tools.display());
        assert!(std::env::var_os("CI").is_none(), "{why}");
        eprintln!("SKIPPED: {why}");
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let policy = data.path().join("policy.toml");
    let text =
        include_str!("../policy.toml").replace("record_origin = false", "record_origin = true");
    std::fs::write(&policy, text).unwrap();
    let cloud = Cloud::start(data.path(), &["--policy", policy.to_str().unwrap()]);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/tests/browser.mjs");
    let shots = tools.join("shots");
    let (tools, url) = (tools.to_str().unwrap(), cloud.url(""));
    let arguments = [script, tools, &url, shots.to_str().unwrap()];
    let said = run_well(Path::new(tools), "node", &arguments);
    assert!(said.contains("each at two widths and in two colour schemes"), "{said}");
}
