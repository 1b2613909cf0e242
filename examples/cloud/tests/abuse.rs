//! The settings page against what an attacker, a bad network and an impatient person do.

mod common;

use std::fs;

use app_tokens::store::SqliteStore;
use app_tokens::{Access, KeyRing, NewToken, Policy, TokenAuthority};
use common::browser::{Browser, hidden, id_of, shown};
use common::{Cloud, basic, bearer};
use tempfile::TempDir;

const ALICE: &str = "alice:her secret";

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn count(cloud: &Cloud) -> usize {
    cloud.tokens(ALICE).len()
}

#[test]
fn a_form_that_is_sent_again_makes_nothing_however_often_and_at_once() {
    let data = folder();
    let cloud = Cloud::with_alice_and_bob(data.path());
    let browser = Browser::signed_in(&cloud, ALICE);
    let once = browser.once("/new");
    let fields = [("label", "x"), ("access", "files:read"), ("end", "30"), ("once", &*once)];
    let statuses = std::thread::scope(|threads| {
        let send = || {
            let browser = Browser::with_cookie_of(&browser);
            threads.spawn(move || browser.post("/tokens", &fields).status)
        };
        let sent: Vec<_> = (0..8).map(|_| send()).collect();
        sent.into_iter().map(|sent| sent.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 303).count(), 7, "{statuses:?}");
    assert_eq!(count(&cloud), 1);

    let f5 = browser.post("/tokens", &fields);
    let list = browser.get(f5.header("location").unwrap());
    assert!(list.body.contains("This form was sent before, so nothing was made now"));
    let bob = Browser::signed_in(&cloud, "bob:his secret");
    let once = browser.once("/new");
    let fields = [("label", "x"), ("access", "files:read"), ("end", "30"), ("once", &*once)];
    assert_eq!(bob.post("/tokens", &fields).status, 303, "another person's form");
    assert_eq!(count(&cloud), 1);
}

#[test]
fn a_form_from_another_site_does_nothing_even_without_fetch_metadata() {
    let data = folder();
    let cloud = Cloud::with_alice_and_bob(data.path());
    let browser = Browser::signed_in(&cloud, ALICE);
    let text = browser.create("x", "files:read");
    let once = browser.once("/new");
    let create = [("label", "y"), ("access", "everything"), ("end", "30"), ("once", &*once)];
    let revoke = format!("/tokens/{}/revoke", id_of(&text));
    let (port, same) = (cloud.address.clone(), format!("Origin: http://{}", cloud.address));
    let other_port = format!("Origin: http://{}", port.replace("127.0.0.1:", "127.0.0.1:1"));
    for foreign in [
        &["Origin: https://evil.example"][..],
        &["Origin: null"],
        &[&other_port],
        &["Sec-Fetch-Site: cross-site"],
        &[&same, "Sec-Fetch-Site: same-site"],
        &[&same, "Origin: https://evil.example"],
    ] {
        for path in ["/tokens", &revoke, "/tokens/erase", "/sign-in", "/sign-out", "/again"] {
            let answer = browser.post_with(path, &create, foreign);
            assert_eq!(answer.status, 403, "{path} {foreign:?}");
            assert!(answer.body.contains("Another site sent this form"));
        }
    }
    assert_eq!(count(&cloud), 1);
    assert_eq!(cloud.dav("PROPFIND", "/dav/", &bearer(&text)), 207, "nothing was revoked");
    let program = browser.post_with("/tokens", &create, &[]);
    assert_eq!(program.status, 200, "a program that is no browser says nothing about itself");
    shown(&program);
}

#[test]
fn a_stolen_session_is_over_once_its_owner_signs_out() {
    let data = folder();
    let cloud = Cloud::with_alice_and_bob(data.path());
    let browser = Browser::signed_in(&cloud, ALICE);
    let thief = Browser::with_cookie_of(&browser);
    let once = thief.once("/new");
    assert_eq!(browser.post("/sign-out", &[]).status, 303);
    assert!(thief.get("/").body.contains("type=\"password\""));
    let fields = [("label", "x"), ("access", "everything"), ("end", "30"), ("once", &*once)];
    let refused = thief.post("/tokens", &fields);
    assert_eq!((refused.status, refused.header("location")), (303, Some("/")));
    assert_eq!(count(&cloud), 0);
}

#[test]
fn names_and_programs_that_hold_markup_are_only_text_on_every_page() {
    let data = folder();
    let policy = data.path().join("policy.toml");
    let built_in = include_str!("../policy.toml");
    let scopes = &built_in[built_in.find("\n[scopes]").unwrap()..];
    fs::write(&policy, format!("prefix = 'cloud'\nrecord_origin = true\n{scopes}")).unwrap();
    let options = ["--user", ALICE, "--policy", policy.to_str().unwrap()];
    let cloud = Cloud::start(data.path(), &options);
    let evil = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>";
    let browser = Browser::called(&cloud, evil);
    assert_eq!(browser.sign_in(ALICE).status, 303);
    browser.create("plain", "files:read");
    let text = browser.create(evil, "files:write");
    let agent = format!("User-Agent: {evil}");
    let used = cloud.request("PROPFIND", "/dav/", &[&bearer(&text), &agent, "Depth: 0"], "");
    assert_eq!(used.status, 207);
    let id = id_of(&text);
    let refused = browser.post("/tokens", &[("label", evil), ("access", evil), ("once", evil)]);
    let wrong = Browser::new(&cloud).post("/sign-in", &[("name", evil), ("to", evil)]);
    let mut pages = vec![refused, wrong];
    for path in [
        "/".to_owned(),
        format!("/?done={evil}&id={evil}&page={evil}").replace(' ', "%20"),
        format!("/?done=renamed&id={id}"),
        format!("/tokens/{id}"),
        format!("/tokens/{id}/revoke"),
        format!("/tokens/{id}/replace"),
        format!("/tokens/{id}/others"),
    ] {
        pages.push(browser.get(&path));
    }
    pages.push(browser.post("/tokens/revoke", &[("id", id)]));
    for page in &pages {
        let body = page.body.replace("<script src=\"/copy.js\" defer></script>", "");
        assert!(!body.contains("<script") && !body.contains("<img"), "{body}");
        let quoted = body.contains("=\"\"'") || body.contains("\"'&gt;");
        assert!(!quoted, "an attribute was closed: {body}");
    }
    assert!(pages[2].body.contains("with <bdi>&quot;'&gt;&lt;script&gt;"), "the program is shown");
}

#[test]
fn every_page_is_kept_by_nobody_framed_by_nobody_and_loads_only_our_own() {
    let data = folder();
    let cloud = Cloud::with_alice_and_bob(data.path());
    let browser = Browser::signed_in(&cloud, ALICE);
    let text = browser.create("x", "files:read");
    let id = id_of(&text);
    for path in [
        "/".to_owned(),
        "/new".to_owned(),
        "/no/such/page".to_owned(),
        "/tokens/zzzzzzzzzz".to_owned(),
        format!("/tokens/{id}"),
        format!("/tokens/{id}/revoke"),
        format!("/tokens/{id}/replace"),
    ] {
        let page = browser.get(&path);
        assert_eq!(page.header("cache-control"), Some("no-store"), "{path}");
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(page.header("referrer-policy"), Some("same-origin"), "{path}");
        let policy = page.header("content-security-policy").unwrap();
        for part in ["default-src 'none'", "frame-ancestors 'none'", "form-action 'self'"] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe") && !page.body.contains("style="), "{path}");
        assert_eq!(page.body.matches("<main").count(), 1, "{path}");
    }
    for path in ["/tokens", "/sign-in", "/sign-out", "/again"] {
        let entered = browser.get(path);
        assert_eq!((entered.status, entered.header("location")), (303, Some("/")), "{path}");
    }
    assert_eq!(browser.get("/tokens/zzzzzzzzzz").status, 404);
    assert_eq!(browser.get("/tokens/%ff/revoke").status, 404);
}

#[test]
fn an_owner_with_3000_tokens_has_pages_and_others_still_enter() {
    let data = folder();
    // Made by the library itself: each by the form would need a request of its own.
    let store = SqliteStore::open(data.path().join("tokens.db")).unwrap();
    let ring = KeyRing::load_or_create(data.path().join("tokens.key")).unwrap();
    let tokens =
        TokenAuthority::new(store, ring, Policy::new("cloud").unwrap().with_no_limit_per_owner());
    for n in 0..3000 {
        let new = NewToken::new("alice", format!("device {n}"), Access::full());
        let _shown = tokens.block_on(tokens.issue(new)).unwrap();
    }
    drop(tokens);
    let cloud = Cloud::with_alice_and_bob(data.path());
    let browser = Browser::signed_in(&cloud, ALICE);
    let (_, his) = cloud.create("bob:his secret", r#"{"label": "x"}"#);
    let pages = std::thread::scope(|threads| {
        let bob =
            threads.spawn(|| (0..20).all(|_| cloud.dav("PROPFIND", "/dav/", &bearer(&his)) == 207));
        let pages = ["/", "/?page=2", "/?page=120", "/?page=9999", "/?page=x"]
            .map(|path| browser.get(path));
        assert!(bob.join().unwrap());
        pages
    });
    for page in &pages {
        assert!(page.status == 200 && page.body.len() < 100_000, "{}", page.body.len());
        assert_eq!(page.body.matches("class=\"check\"").count(), 25);
        assert!(page.body.contains("(3000)") && page.body.contains(" of 3000"));
    }
    assert!(pages[0].body.contains("1 to 25 of") && pages[1].body.contains("26 to 50 of"));
    assert!(pages[2].body.contains("2976 to 3000 of") && pages[3].body.contains("2976 to 3000"));
}

#[test]
fn an_attacker_elsewhere_holds_up_neither_the_owners_scripts_nor_any_token() {
    let data = folder();
    let cloud = Cloud::start(data.path(), &["--user", ALICE, "--proxy", "127.0.0.1"]);
    let list = |account: &str, from: &str| {
        let from = format!("X-Forwarded-For: {from}");
        cloud.request("GET", "/api/tokens", &[&basic(account), &from], "").status
    };
    let (_, token) = cloud.create(ALICE, r#"{"label": "x"}"#);
    assert_eq!(list(ALICE, "192.0.2.1"), 200, "a script of hers, at home");
    for n in 0..20 {
        list("alice:wrong", &format!("198.51.100.{n}"));
    }
    assert_eq!(list("alice:wrong", "198.51.100.99"), 429);
    assert_eq!(list(ALICE, "203.0.113.1"), 429, "a right one is not told from a wrong one");
    assert_eq!(list(ALICE, "192.0.2.1"), 200);
    let from = "X-Forwarded-For: 198.51.100.1";
    let headers = [&*basic(&format!("alice:{token}")), from, "Depth: 0"];
    assert_eq!(cloud.request("PROPFIND", "/dav/", &headers, "").status, 207);
}

#[test]
fn of_5000_guesses_ten_are_tried_and_other_accounts_still_sign_in() {
    let data = folder();
    let cloud = Cloud::with_alice_and_bob(data.path());
    let browser = Browser::new(&cloud);
    let statuses: Vec<u16> = (0..5000)
        .map(|n| {
            if n % 2 == 0 {
                browser.sign_in(&format!("alice:{n}")).status
            } else {
                let account = basic(&format!("alice:{n}"));
                cloud.request("GET", "/api/tokens", &[&account], "").status
            }
        })
        .collect();
    let of = |status| statuses.iter().filter(|found| **found == status).count();
    // More than ten only if the guesses took so long that the brake gave a try back.
    assert!((10..100).contains(&of(401)) && of(401) + of(429) == 5000, "{}", of(401));
    assert_eq!(browser.sign_in(ALICE).status, 429, "not even the right one is looked at");
    let refused = cloud.request("GET", "/api/tokens", &[&basic(ALICE)], "");
    assert!(refused.status == 429 && refused.header("retry-after").is_some());
    assert_eq!(Browser::new(&cloud).sign_in("bob:his secret").status, 303);
}

#[test]
fn an_app_password_at_the_sign_in_is_explained_and_counts_as_no_guess() {
    let data = folder();
    let cloud = Cloud::with_alice_and_bob(data.path());
    let text = Browser::signed_in(&cloud, ALICE).create("x", "files:read");
    let browser = Browser::new(&cloud);
    for _ in 0..30 {
        let refused = browser.sign_in(&format!("alice:{text}"));
        assert!(refused.status == 401 && refused.body.contains("Sign in with your main password"));
        assert_eq!(browser.sign_in("alice:").status, 401);
    }
    assert_eq!(browser.sign_in(ALICE).status, 303);
}

#[test]
fn a_store_or_a_key_that_is_gone_is_503_and_says_that_nothing_is_lost() {
    let data = folder();
    let cloud = Cloud::with_alice_and_bob(data.path());
    let browser = Browser::signed_in(&cloud, ALICE);
    browser.create("x", "files:read");
    common::put_under_missing_key(data.path());
    assert!(browser.get("/").body.contains("Can't be checked"));

    let once = browser.once("/new");
    let rows = rusqlite::Connection::open(data.path().join("tokens.db")).unwrap();
    rows.execute_batch("ALTER TABLE app_tokens RENAME TO gone").unwrap();
    let fields = [("label", "y"), ("access", "files:read"), ("end", "30"), ("once", &*once)];
    let refused = browser.post("/tokens", &fields);
    assert!(refused.status == 503 && refused.body.contains("Nothing is lost"), "{}", refused.body);
    let failed = browser.get("/");
    assert!(failed.status == 503 && failed.body.contains("can't be reached right now"));
    assert!(!failed.body.contains("no such table"), "not a driver's words");
}

#[test]
fn a_link_leads_on_after_the_sign_in_and_never_to_another_site() {
    let data = folder();
    let cloud = Cloud::with_alice_and_bob(data.path());
    let browser = Browser::new(&cloud);
    let page = browser.get("/new?x=1");
    assert_eq!(hidden(&page, "to"), "/new?x=1");
    for (to, leads) in [
        ("/new?x=1", "/new?x=1"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("", "/"),
    ] {
        let fields = [("name", "alice"), ("password", "her secret"), ("to", to)];
        let answer = Browser::new(&cloud).post("/sign-in", &fields);
        assert_eq!((answer.status, answer.header("location")), (303, Some(leads)), "{to}");
    }
}
