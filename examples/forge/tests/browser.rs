//! The forge's page in a real Chromium, as Forgejo's users and as Nuxeo's see it.
//!
//! It needs `chromium`, `node`, and in the folder `browser` of the target folder:
//! `npm i playwright-core axe-core`.

mod common;

use common::Forge;
use support::program::{browser_tools, has, run_well};

#[test]
fn a_real_browser_makes_uses_regenerates_and_deletes_a_token_and_no_page_breaks_a_rule_of_access() {
    if !has("git") {
        return;
    }
    let Some(tools) = browser_tools() else { return };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser.mjs");
    for wording in ["forge", "nuxeo"] {
        let data = tempfile::tempdir().unwrap();
        let forge = Forge::demo(data.path(), &["--wording", wording]);
        let shots = tools.join("shots");
        let (folder, url) = (tools.to_str().unwrap(), forge.url(""));
        let arguments = [script, folder, &url, shots.to_str().unwrap(), wording];
        let said = run_well(&tools, "node", &arguments);
        assert!(said.contains("each at two widths and in two colour schemes"), "{said}");
    }
}
