//! Codeberg's document "Generating an Access Token", in its own order: each of its sentences is a
//! comment here, and what follows keeps it.

mod common;

use common::browser::{Browser, id_of, shown};
use common::{ALICE, Forge, basic, bearer, git, git_well, said};
use serde_json::{Value, json};
use support::program::has;

#[test]
fn codebergs_document_holds_step_by_step() {
    if !has("git") {
        return;
    }
    let (data, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let forge = Forge::start_with(data.path(), &["--wording", "codeberg"]);
    forge.repo(ALICE, "dotfiles", true);
    let home = home.path();

    // "Access Tokens are special tokens that are used to authenticate to Codeberg through the API.
    // They can be used to give applications access to your Codeberg account without sharing your
    // password."
    let main_password = forge.api(&basic(ALICE), "GET", "/user", &Value::Null);
    assert_eq!(main_password.status, 401, "an application has no use for it");

    // "You can also generate access tokens from the API."
    let wish = json!({ "name": "by the API", "scopes": ["read:user"] });
    let by_api = forge.create(ALICE, &wish);
    let user = forge.api(&bearer(&common::text(&by_api)), "GET", "/user", &Value::Null);
    assert_eq!(user.json()["login"], "alice");

    // "In a web browser, go to Codeberg and click on the Profiles and Settings button on the top
    // right." Here the page asks who you are.
    let browser = Browser::new(&forge);
    assert!(browser.get("/").body.contains("type=\"password\""));
    assert_eq!(browser.sign_in(ALICE).status, 303);

    // "Click on Settings in the dropdown." "Navigate to the Applications settings tab."
    for address in ["/user/settings", "/user/settings/applications"] {
        let answer = browser.get(address);
        assert_eq!((answer.status, answer.header("location")), (303, Some("/")));
    }
    let page = browser.get("/");
    assert!(page.body.contains("<title>Manage access tokens – Codeberg</title>"));

    // "Under Manage Access Tokens | Generate New Token, enter a name to identify your token in the
    // Token Name field."
    assert!(page.body.contains("Generate new token") && page.body.contains("Token name</label>"));
    for category in ["repository", "issue", "package", "user"] {
        assert!(page.body.contains(&format!("<label for=\"p-{category}\">{category}</label>")));
    }
    let unnamed =
        browser.ask_for(&[("label", ""), ("resources", "all"), ("scope", "write:repository")]);
    assert!(unnamed.status == 422 && unnamed.body.contains("Write a name."), "{}", unnamed.body);
    assert!(unnamed.body.contains("value=\"write:repository\" selected"), "what was chosen stays");

    // "Click the generate token button." "Your access token has now been generated! Copy your token
    // and store it securely."
    assert!(page.body.contains("<button class=\"primary\">Generate token</button>"));
    let fields = [("label", "tea"), ("resources", "all"), ("scope", "write:repository")];
    let made = browser.ask_for(&[&fields[..], &[("scope", "read:user")]].concat());
    let token = shown(&made);
    assert!(made.body.contains("git clone") && made.body.contains("alice"), "lines to use it");
    assert!(!browser.get("/").body.contains(&token), "it is shown once");
    let url = |token: &str| forge.url_as("alice", token, "/alice/dotfiles.git");
    git_well(home, &["clone", "-q", &url(&token), "work"]);
    assert_eq!(forge.api(&bearer(&token), "GET", "/user", &Value::Null).status, 200);
    let list = browser.get("/").body;
    assert!(list.contains("write:repository, read:user") || list.contains("read:user"), "{list}");

    // "Access tokens grant full access to your account. You must handle them securely." One with
    // all scopes does; but it makes no other token.
    let all = forge.token(ALICE, &["all"]);
    let path = "/users/alice/tokens";
    assert_eq!(forge.api(&bearer(&all), "POST", path, &wish).status, 403);

    // "Be sure to generate new access tokens for each app you use": a name is there once.
    let again = browser.ask_for(&fields);
    assert!(again.status == 422 && again.body.contains("There is already a “tea”"));
    let fields = [("label", "backup"), ("resources", "some"), ("repos", "alice/dotfiles")];
    let other = shown(&browser.ask_for(&[&fields[..], &[("scope", "read:repository")]].concat()));
    assert!(browser.get("/").body.contains("read:repository, only in alice/dotfiles"));

    // "Deleting an access token revokes access to your account for apps using the token." "Click
    // the red Delete button next to the access token you want to delete, then click Yes in the
    // popup. Your access token is now deleted."
    let path = format!("/tokens/{}/revoke", id_of(&token));
    let (list, popup) = (browser.get("/").body, format!("end-{}", id_of(&token)));
    let button =
        format!("<button class=\"danger\" type=\"button\" popovertarget=\"{popup}\">Delete");
    assert!(list.contains(&button), "{list}");
    let popup = list.split_once(&format!("<div id=\"{popup}\" popover ")).expect("a popup").1;
    let popup = popup.split("</form></div>").next().unwrap();
    assert!(popup.contains("Delete “<bdi>tea</bdi>”?"), "{popup}");
    assert!(popup.contains(&format!("<form class=\"buttons\" method=\"post\" action=\"{path}\">")));
    assert!(popup.contains("<button class=\"primary danger\">Yes<"), "{popup}");
    let no = popup.split("<button type=\"button\" autofocus ").nth(1).unwrap();
    assert!(no.contains("popovertargetaction=\"hide\">No<"), "Enter alone deletes nothing");
    // A browser that knows no popups leads to a page that asks.
    assert!(list.contains(&format!("<a class=\"button danger else\" href=\"{path}\">Delete")));
    assert!(browser.get(&path).body.contains("Delete"), "a page asks, without any script");
    git_well(home, &["ls-remote", &url(&token)]);
    let deleted = browser.post(&path, &[]);
    assert_eq!(deleted.status, 303);
    let notice = browser.get(deleted.header("location").unwrap());
    assert!(notice.body.contains("role=\"status\"") && notice.body.contains("was deleted"));
    assert!(said(&git(home, &["ls-remote", &url(&token)])).contains("Authentication failed"));
    assert_eq!(forge.api(&bearer(&token), "GET", "/user", &Value::Null).status, 401);
    git_well(home, &["ls-remote", &url(&other)]);
}

#[test]
fn a_form_limits_a_token_to_repositories_that_the_person_can_see_and_tells_of_no_other() {
    if !has("git") {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let forge = Forge::start(data.path());
    forge.repo(ALICE, "site", true);
    forge.repo(common::BOB, "secret", true);
    forge.repo(common::BOB, "open", false);
    let browser = Browser::signed_in(&forge, ALICE);
    let ask = |repos: &str| {
        let fields = [("label", "limited"), ("resources", "some"), ("repos", repos)];
        browser.ask_for(&[&fields[..], &[("scope", "write:repository")]].concat())
    };
    let (there, not_there) = (ask("bob/secret"), ask("bob/nothing"));
    assert_eq!((there.status, not_there.status), (422, 422));
    let words = |page: &common::Answer, name: &str| {
        assert!(page.body.contains(&format!("There is no “{name}” that you can see.")));
        page.body.split("name=\"once\"").next().unwrap().replace(name, "")
    };
    assert_eq!(words(&there, "bob/secret"), words(&not_there, "bob/nothing"));
    for bad in ["", "alice", "alice/../alice/site", "alice/site.git", "/site"] {
        assert_eq!(ask(bad).status, 422, "{bad}");
    }
    shown(&ask("alice/site\nbob/open"));

    // A form without an answer is refused; it never falls back to everything.
    for fields in [
        &[("label", "x"), ("scope", "write:repository")][..],
        &[("label", "x"), ("resources", "all")],
        &[("label", "x"), ("resources", "all"), ("scope", "")],
        &[("label", "x"), ("resources", "all"), ("scope", "everything")],
        &[("label", "x"), ("resources", "each"), ("scope", "read:user")],
        &[("label", "x"), ("resources", "some"), ("scope", "read:user")],
    ] {
        assert_eq!(browser.ask_for(fields).status, 422, "{fields:?}");
    }
}
