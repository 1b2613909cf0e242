//! The settings page from outside, by plain HTTP: each act, and what each page says.

mod common;

use std::fs;
use std::path::Path;

use common::browser::{Browser, hidden, id_of, shown};
use common::{Cloud, bearer};
use tempfile::TempDir;

const ALICE: &str = "alice:her secret";

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Counts the rows of the list of tokens in use.
fn rows(page: &str) -> usize {
    let list = page.split("No longer valid <span").next().unwrap();
    let list = list.split("Browser sessions <span").next().unwrap();
    list.matches("<th scope=\"row\"").count()
}

#[test]
fn an_app_password_is_made_shown_once_used_revoked_and_refused() {
    let data = folder();
    let cloud = Cloud::with_alice_and_bob(data.path());
    let browser = Browser::new(&cloud);
    let start = browser.get("/");
    assert!(start.status == 200 && start.body.contains("type=\"password\""));
    assert_eq!(browser.sign_in("alice:wrong").status, 401);
    assert_eq!(browser.sign_in(ALICE).status, 303);
    assert!(browser.get("/").body.contains("No app passwords yet"));

    let text = browser.create("<b>Phone", "files:read");
    assert!(text.starts_with("cloud_"), "{text}");
    assert_eq!(cloud.dav("PROPFIND", "/dav/", &bearer(&text)), 207);
    assert_eq!(cloud.request("PUT", "/dav/file", &[&bearer(&text)], "x").status, 403);
    let list = browser.get("/");
    assert_eq!(rows(&list.body), 1);
    assert!(list.body.contains("&lt;b&gt;Phone") && list.body.contains("Only read files"));
    assert!(list.body.contains("just now") && !list.body.contains("Never used"));
    let secret = &text[16..];
    assert!(list.body.contains(id_of(&text)) && !list.body.contains(secret), "the id stays");

    let path = format!("/tokens/{}/revoke", id_of(&text));
    let asked = browser.get(&path);
    assert!(asked.body.contains("It was used") && asked.body.contains("Keep it"));
    assert_eq!(cloud.dav("PROPFIND", "/dav/", &bearer(&text)), 207, "asking revokes nothing");
    let revoked = browser.post(&path, &[("reason", "lost or stolen")]);
    assert_eq!(revoked.status, 303);
    assert_eq!(cloud.dav("PROPFIND", "/dav/", &bearer(&text)), 401);
    let list = browser.get(revoked.header("location").unwrap());
    assert!(list.body.contains("role=\"status\"") && list.body.contains("was revoked"));
    assert!(list.body.contains("by you: <bdi>lost or stolen</bdi>"), "the reason is kept");
}

#[test]
fn the_page_that_shows_it_has_it_in_three_places_and_no_link_holds_it() {
    let data = folder();
    let cloud = Cloud::with_alice_and_bob(data.path());
    let browser = Browser::signed_in(&cloud, ALICE);
    let once = browser.once("/new");
    let fields = [("label", "x"), ("access", "everything"), ("end", "90"), ("once", &once)];
    let page = browser.post("/tokens", &fields);
    let text = shown(&page);
    assert_eq!(page.body.matches(&text).count(), 1, "the field; the groups and the code apart");
    assert!(page.body.contains("<svg class=\"qr\"") && page.body.contains("class=\"groups\""));
    assert!(page.body.contains("value=\"alice\""), "the user name beside it");
    assert!(page.body.contains(&cloud.url("/dav/")), "the server's address");
    for program in ["rclone config create", "curl --user alice"] {
        assert!(page.body.contains(program), "{program}");
    }
    assert!(!page.head.contains(id_of(&text)), "no header has any of it");
}

#[test]
fn errors_keep_the_form_and_make_nothing() {
    let data = folder();
    let policy = unique_labels(data.path());
    let cloud = Cloud::start(data.path(), &["--user", ALICE, "--policy", &policy]);
    let browser = Browser::signed_in(&cloud, ALICE);
    browser.create("Laptop", "files:write");

    let once = browser.once("/new");
    let wrong = [
        ("label", "Laptop"),
        ("access", "files:read"),
        ("end", "date"),
        ("date", "2999-01-01"),
        ("once", &once),
    ];
    let page = browser.post("/tokens", &wrong);
    assert_eq!(page.status, 422);
    assert!(page.body.contains("<title>Error: New app password"));
    assert!(page.body.contains("is the longest here"), "the end");
    assert!(page.body.contains("value=\"files:read\" checked"), "the access stays narrow");
    assert!(page.body.contains("value=\"Laptop\"") && page.body.contains("value=\"2999-01-01\""));
    assert!(page.body.contains("href=\"#date\"") && page.body.contains("aria-invalid=\"true\""));

    let taken = [("label", "Laptop"), ("access", "files:read"), ("end", "30"), ("once", &once)];
    let page = browser.post("/tokens", &taken);
    assert!(page.status == 422 && page.body.contains("There is already a “Laptop”"));
    let once = hidden(&page, "once");
    let good = [("label", "Laptop 2"), ("access", "files:read"), ("end", "30"), ("once", &once)];
    shown(&browser.post("/tokens", &good));

    for missing in ["label", "access", "end"] {
        let once = browser.once("/new");
        let all =
            [("label", "x"), ("access", "everything"), ("end", "30"), ("once", once.as_str())];
        let fields: Vec<_> = all.into_iter().filter(|(name, _)| *name != missing).collect();
        assert_eq!(browser.post("/tokens", &fields).status, 422, "without {missing}");
    }
    assert_eq!(rows(&browser.get("/").body), 2);
}

fn unique_labels(folder: &Path) -> String {
    policy(folder, "unique_labels = true\nmax_life = '365 days'")
}

fn policy(folder: &Path, more: &str) -> String {
    let built_in = include_str!("../policy.toml");
    let scopes = &built_in[built_in.find("\n[scopes]").unwrap()..];
    let path = folder.join("policy.toml");
    let text = format!("prefix = 'cloud'\nmax_overlap = '7 days'\n{more}\n{scopes}");
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_day_is_the_last_one_and_none_is_offered_only_where_the_policy_allows_it() {
    let data = folder();
    let cloud = Cloud::with_alice_and_bob(data.path());
    let browser = Browser::signed_in(&cloud, ALICE);
    let form = browser.get("/new");
    assert!(!form.body.contains("value=\"never\"") && form.body.contains("by the clock of UTC"));
    let fields =
        |end| [("label", "x"), ("access", "files:read"), ("end", end), ("date", "2099-12-31")];
    let once = hidden(&form, "once");
    let refused = browser.post("/tokens", &[&fields("never")[..], &[("once", &once)]].concat());
    assert_eq!(refused.status, 422);
    shown(&browser.post("/tokens", &[&fields("date")[..], &[("once", &once)]].concat()));
    let listed = cloud.tokens(ALICE);
    assert_eq!(listed[0]["expires_at"], "2099-12-31T23:59:59Z");

    let other = folder();
    let policy = policy(other.path(), "never_expiring = true");
    let cloud = Cloud::start(other.path(), &["--user", ALICE, "--policy", &policy]);
    let browser = Browser::signed_in(&cloud, ALICE);
    let once = browser.once("/new");
    shown(&browser.post("/tokens", &[&fields("never")[..], &[("once", &once)]].concat()));
    assert!(browser.get("/").body.contains("<td role=\"cell\" data-label=\"Ends\">Never"));
}

#[test]
fn a_token_is_renamed_narrowed_replaced_and_the_old_text_ended() {
    let data = folder();
    let cloud = Cloud::with_alice_and_bob(data.path());
    let browser = Browser::signed_in(&cloud, ALICE);
    let old = browser.create("Tablet", "files:write");
    let path = |act: &str| format!("/tokens/{}{act}", id_of(&old));

    let renamed = browser.post(&path("/rename"), &[("label", "Kitchen tablet")]);
    let list = browser.get(renamed.header("location").unwrap());
    assert!(list.body.contains("“<bdi>Kitchen tablet</bdi>” is the name now"));
    let refused = browser.post(&path("/rename"), &[("label", " ")]);
    assert!(refused.status == 422 && refused.body.contains("Write a name."));
    let more = browser.post(&path("/narrow"), &[("access", "everything")]);
    assert!(more.status == 403 && more.body.contains("can't get more access"));
    assert_eq!(browser.post(&path("/narrow"), &[("access", "files:read")]).status, 303);
    assert_eq!(cloud.request("PUT", "/dav/f", &[&bearer(&old)], "x").status, 403);
    assert!(!browser.get(&path("")).body.contains("/narrow"), "there is no less");

    let form = browser.get(&path("/replace"));
    let (once, id) = (hidden(&form, "once"), hidden(&form, "id"));
    let fields = [("once", &*once), ("id", &*id), ("overlap", "3600"), ("end", "keep")];
    let new = shown(&browser.post(&path("/replace"), &fields));
    assert_eq!(cloud.dav("PROPFIND", "/dav/", &bearer(&old)), 207, "for an hour");
    let list = browser.get("/");
    assert!(rows(&list.body) == 1 && list.body.contains("Being replaced"), "one row a line");
    assert!(list.body.contains("with the old one"), "its use still counts");

    let end = format!("/tokens/{}/end-old", id_of(&new));
    assert!(browser.get(&end).body.contains("End the old text"));
    let ended = browser.post(&end, &[]);
    assert!(browser.get(ended.header("location").unwrap()).body.contains("Only the new one works"));
    assert_eq!(cloud.dav("PROPFIND", "/dav/", &bearer(&old)), 401);
    assert_eq!(cloud.dav("PROPFIND", "/dav/", &bearer(&new)), 207);
    assert_eq!(browser.post(&path("/rename"), &[("label", "x")]).status, 409, "it was replaced");
}

#[test]
fn a_selection_and_all_others_are_revoked_after_a_question_and_ended_ones_erased() {
    let data = folder();
    let cloud = Cloud::with_alice_and_bob(data.path());
    let browser = Browser::signed_in(&cloud, ALICE);
    let texts: Vec<String> =
        (0..5).map(|n| browser.create(&format!("device {n}"), "files:read")).collect();
    let works = |n: usize| cloud.dav("PROPFIND", "/dav/", &bearer(&texts[n])) == 207;
    let ids = [("id", id_of(&texts[0])), ("id", id_of(&texts[1])), ("id", "zzzzzzzzzz")];
    let asked = browser.post("/tokens/revoke", &ids);
    assert!(asked.body.contains("these 2 app passwords") && asked.body.contains("device 1"));
    assert!(works(0), "nothing ends by one click");
    let sure = [&ids[..], &[("sure", "yes"), ("reason", "no longer needed")]].concat();
    assert_eq!(browser.post("/tokens/revoke", &sure).status, 303);
    assert!(!works(0) && !works(1) && works(2));
    assert_eq!(browser.post("/tokens/revoke", &[]).status, 422, "nothing was selected");

    let others = format!("/tokens/{}/others", id_of(&texts[2]));
    assert!(browser.get(&others).body.contains("but “<bdi>device 2</bdi>”"));
    assert_eq!(browser.post(&others, &[]).status, 303);
    assert!(works(2) && !works(3) && !works(4));

    let list = browser.get("/").body;
    assert!(rows(&list) == 1 && list.contains("No longer valid <span class=\"soft\">(4)"));
    assert!(browser.get("/tokens/erase").body.contains("Erase them"));
    assert_eq!(browser.post("/tokens/erase", &[]).status, 303);
    let list = browser.get("/").body;
    assert!(rows(&list) == 1 && !list.contains("No longer valid"));
    assert!(works(2));
}

#[test]
fn browser_sessions_are_listed_and_signed_out_one_by_one_or_all_others() {
    let data = folder();
    let cloud = Cloud::with_alice_and_bob(data.path());
    let here = Browser::signed_in(&cloud, ALICE);
    let agent = "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) Version/19.0 Safari/605";
    let phone = Browser::called(&cloud, agent);
    phone.sign_in(ALICE);
    let others = Browser::signed_in(&cloud, "bob:his secret");
    let list = here.get("/").body;
    assert!(list.contains("Browser sessions <span class=\"soft\">(2)") && list.contains("Now"));
    assert!(list.contains("Firefox on Linux") && list.contains("Safari on iPhone"));
    let id = list.split_once("href=\"/sessions/").unwrap().1.split('"').next().unwrap();
    let path = format!("/sessions/{id}");
    assert!(here.get(&path).body.contains("Sign out “<bdi>Safari on iPhone</bdi>”?"));
    assert_eq!(others.post(&path, &[]).status, 303);
    assert!(phone.get("/").body.contains("Browser sessions"), "bob can't end a session of alice");
    assert_eq!(here.post(&path, &[]).status, 303);
    assert!(phone.get("/").body.contains("type=\"password\""), "it is over");

    phone.sign_in(ALICE);
    assert_eq!(here.post("/sessions/others", &[]).status, 303);
    assert!(phone.get("/").body.contains("type=\"password\""));
    assert!(here.get("/").body.contains("Browser sessions <span class=\"soft\">(1)"));
}

#[test]
fn the_password_is_asked_again_before_anything_is_made_and_the_session_gets_another_cookie() {
    let data = folder();
    let cloud = Cloud::start(data.path(), &["--user", ALICE, "--ask-again-after", "0s"]);
    let browser = Browser::signed_in(&cloud, ALICE);
    let once = browser.once("/new");
    let fields = [("label", "Tablet"), ("access", "files:read"), ("end", "30"), ("once", &*once)];
    let nameless = [("label", ""), ("access", "files:read"), ("end", "30"), ("once", &*once)];
    assert_eq!(browser.post("/tokens", &nameless).status, 422, "errors come first");
    let asked = browser.post("/tokens", &fields);
    assert!(asked.status == 200 && asked.body.contains("Confirm it's you"), "{}", asked.body);
    assert!(asked.body.contains("<bdi>Tablet</bdi>") && asked.body.contains("Only read files"));
    assert_eq!(rows(&browser.get("/").body), 0, "nothing was made");

    let again = |password| [&[("act", "create"), ("password", password)], &fields[..]].concat();
    let wrong = browser.post("/again", &again("wrong"));
    assert!(wrong.status == 401 && wrong.body.contains("That isn't it."));
    assert!(wrong.body.contains("name=\"label\" value=\"Tablet\""), "the form is kept");
    let before = Browser::with_cookie_of(&browser);
    let text = shown(&browser.post("/again", &again("her secret")));
    assert!(before.get("/").body.contains("type=\"password\""), "the old cookie is over");
    assert_eq!(rows(&browser.get("/").body), 1);

    let path = format!("/tokens/{}/replace", id_of(&text));
    let form = browser.get(&path);
    let (once, id) = (hidden(&form, "once"), hidden(&form, "id"));
    let fields = [("once", &*once), ("id", &*id), ("overlap", "0"), ("end", "keep")];
    assert!(browser.post(&path, &fields).body.contains("Confirm it's you"));
    let again = [&[("act", "replace"), ("password", "her secret")], &fields[..]].concat();
    shown(&browser.post("/again", &again));
    assert_eq!(cloud.dav("PROPFIND", "/dav/", &bearer(&text)), 401, "the old text has ended");
}
