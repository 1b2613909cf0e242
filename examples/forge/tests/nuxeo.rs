//! Nuxeo's document "Token Management", in its own order: each of its sentences is a comment here,
//! and what follows keeps it.

mod common;

use common::browser::{Browser, id_of, shown};
use common::{ALICE, Forge, basic, bearer, git_well};
use serde_json::{Value, json};
use support::program::has;

#[test]
fn nuxeos_document_holds_step_by_step() {
    if !has("git") {
        return;
    }
    let (data, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let forge = Forge::start_with(data.path(), &["--wording", "nuxeo"]);
    forge.repo(ALICE, "studio", true);
    let deploy = |header: &str, file: &str| {
        let path = format!("/api/packages/alice/maven/org/example/{file}");
        forge.request("PUT", &path, &[header], b"jar").status
    };
    let release = |header: &str, tag: &str| {
        let wish = json!({ "tag_name": tag, "name": "A Studio release" });
        forge.api(header, "POST", "/repos/alice/studio/releases", &wish).status
    };

    // "Whenever using commands in our clients and APIs that require authentication, your password
    // can't be used."
    assert_eq!(deploy(&basic(ALICE), "a/1/a-1.jar"), 401);
    assert_eq!(release(&basic(ALICE), "1.0.0"), 401);

    // "Login to Nuxeo Online Services." "Visit the My Tokens tab."
    let browser = Browser::signed_in(&forge, ALICE);
    let page = browser.get("/");
    assert!(page.body.contains("<h1>My Tokens</h1>"));

    // "Create your token using the corresponding button and provide a clear name for it." "The name
    // has no impact; it is only meant for you to remember where you plan to use it."
    assert!(page.body.contains("Create token</button>"));
    assert!(!page.body.contains("name=\"scope\"") && !page.body.contains("name=\"end\""));
    let ci = shown(&browser.ask_for(&[("label", "CI Chain")]));
    assert_eq!(browser.ask_for(&[("label", " ")]).status, 422, "it needs a name");

    // "Your token will only be shown once."
    let list = browser.get("/").body;
    assert!(list.contains("CI Chain") && !list.contains(&ci));

    // "We recommend using a different token for every tool or service you plan to use."
    let tools = ["nuxeoctl", "Nuxeo CLI", "Git on laptop"];
    let others = tools.map(|tool| shown(&browser.ask_for(&[("label", tool)])));

    // "In your continuous integration / continuous delivery chain, to have your software
    // authenticate against our Maven private repository."
    assert_eq!(deploy(&basic(&format!("alice:{ci}")), "a/1/a-1.jar"), 201);

    // "To trigger a Studio release through the REST API."
    assert_eq!(release(&basic(&format!("alice:{ci}")), "1.0.0"), 201);
    let path = "/repos/alice/studio/releases/tags/1.0.0";
    let found = forge.api(&bearer(&ci), "GET", path, &Value::Null).json();
    assert_eq!(found["name"], "A Studio release");

    // "When using our command line tools with options that require a password to be provided." "In
    // some cases, configuration can help you skip this prompt: Storing Git credentials."
    let url = forge.url_as("alice", &others[2], "/alice/studio.git");
    git_well(home.path(), &["clone", "-q", &url, "work"]);
    assert!(git_well(&home.path().join("work"), &["ls-remote", "--tags"]).contains("1.0.0"));

    // "Tokens are only used for command-line tools and APIs. You still need to use your password as
    // usual when you log in to Nuxeo Online Services in your browser."
    let stranger = Browser::new(&forge);
    let refused = stranger.sign_in(&format!("alice:{ci}"));
    assert_eq!(refused.status, 401);
    assert!(refused.body.contains("Sign in with your main password."), "{}", refused.body);
    let as_basic = forge.request("GET", "/", &[&basic(&format!("alice:{ci}"))], b"");
    assert!(!as_basic.body.contains("My Tokens</h1>"), "nor by a header");
    assert_eq!(Browser::new(&forge).sign_in(ALICE).status, 303, "and it stopped nobody");

    // "Tokens have no expiration date or policy."
    let listed = forge.api(&basic(ALICE), "GET", "/users/alice/tokens", &Value::Null).json();
    assert_eq!(listed.as_array().unwrap().len(), 4);
    assert!(!browser.get("/").body.contains("Expires"));

    // "Revoke the appropriate token(s)." A selection, after a question.
    let ids = [id_of(&others[0]), id_of(&others[1])];
    let selected = [("id", ids[0]), ("id", ids[1])];
    let asked = browser.post("/tokens/revoke", &selected);
    assert!(asked.body.contains("nuxeoctl") && asked.body.contains("Nuxeo CLI"), "{}", asked.body);
    let works = |token: &str| forge.api(&bearer(token), "GET", "/user", &Value::Null).status;
    assert_eq!(works(&others[0]), 200, "asking revokes nothing");
    let confirmed = browser.post("/tokens/revoke", &[&selected[..], &[("sure", "yes")]].concat());
    assert_eq!(confirmed.status, 303, "{}", confirmed.body);
    assert_eq!(
        [&others[0], &others[1], &others[2], &ci].map(|token| works(token)),
        [401, 401, 200, 200]
    );

    // "Generate new token(s) and update any impacted configuration." One that is regenerated keeps
    // its name, its number, and what it may do.
    let number = |name: &str| {
        let listed = forge.api(&basic(ALICE), "GET", "/users/alice/tokens", &Value::Null).json();
        let found = listed.as_array().unwrap().iter().find(|token| token["name"] == name).cloned();
        found.unwrap()["id"].clone()
    };
    let before = number("CI Chain");
    let path = format!("/tokens/{}/replace", id_of(&ci));
    let (once, id) = (browser.hidden(&path, "once"), browser.hidden(&path, "id"));
    let fields = [("once", &*once), ("id", &*id), ("overlap", "0")];
    let new = shown(&browser.post(&path, &fields));
    assert_eq!((works(&ci), works(&new)), (401, 200));
    assert_eq!(number("CI Chain"), before);
    assert_eq!(deploy(&basic(&format!("alice:{new}")), "a/2/a-2.jar"), 201);
}
