//! Nextcloud's Login Flow v2 over HTTP, from the first request to the app password.

mod common;

use app_tokens::store::{Filter, SqliteStore};
use app_tokens::{KeyRing, Operator, Owner, Policy, Reason, TokenAuthority};
use common::browser::Browser;
use common::{Answer, Cloud, basic};
use serde_json::Value;

const ALICE: &str = "alice:her secret";
const FORM: &str = "Content-Type: application/x-www-form-urlencoded";
const PUBLIC: &str = "https://cloud.example";

/// A device that asks.
struct Device<'c> {
    cloud: &'c Cloud,
    begun: Value,
}

impl Device<'_> {
    fn begin<'c>(cloud: &'c Cloud, headers: &[&str]) -> Device<'c> {
        let begun = cloud.request("POST", "/index.php/login/v2", headers, "");
        assert_eq!(begun.status, 200, "{}", begun.body);
        assert_eq!(begun.header("cache-control"), Some("no-store"));
        Device { cloud, begun: begun.json() }
    }

    /// Returns the path of the page that a person opens.
    fn page(&self) -> &str {
        self.begun["login"].as_str().unwrap().strip_prefix(PUBLIC).unwrap()
    }

    fn poll(&self) -> Answer {
        let poll = &self.begun["poll"];
        let path = poll["endpoint"].as_str().unwrap().strip_prefix(PUBLIC).unwrap();
        let body = format!("token={}", poll["token"].as_str().unwrap());
        self.cloud.request("POST", path, &[FORM], &body)
    }

    /// Sends the form of the page, as the browser of a signed-in person does.
    fn decide(&self, browser: &Browser<'_>, fields: &[(&str, &str)]) -> Answer {
        let origin = format!("Origin: {PUBLIC}");
        browser.post_with(self.page(), fields, &[&origin, "Sec-Fetch-Site: same-origin"])
    }

    fn grant(&self) -> Answer {
        self.decide(&Browser::signed_in_at(self.cloud, ALICE, PUBLIC), GRANT)
    }
}

const GRANT: &[(&str, &str)] = &[("answer", "grant"), ("access", "files:write")];

fn start(data: &tempfile::TempDir) -> Cloud {
    Cloud::start(data.path(), &["--user", ALICE, "--public-url", PUBLIC])
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn labels(cloud: &Cloud) -> Vec<String> {
    let tokens = cloud.tokens(ALICE);
    tokens.iter().map(|token| token["label"].as_str().unwrap().to_owned()).collect()
}

fn active(cloud: &Cloud) -> usize {
    let tokens = cloud.tokens(ALICE);
    tokens.iter().filter(|token| token["status"] == "active").count()
}

#[test]
fn a_device_gets_its_app_password_once_after_a_person_has_granted_it() {
    let data = folder();
    let cloud = start(&data);
    let device = Device::begin(&cloud, &["User-Agent: Phone of Alice"]);
    assert_eq!(device.poll().status, 404, "nobody has granted it yet");
    let page = Browser::signed_in_at(&cloud, ALICE, PUBLIC).get(device.page());
    assert!(page.status == 200 && page.body.contains("Phone of Alice"), "{}", page.body);
    assert!(page.body.contains("Calls itself") && page.body.contains("127.0.0.1"), "{}", page.body);

    assert_eq!(device.grant().status, 200);
    assert_eq!(labels(&cloud), ["Phone of Alice"], "its person sees it at once");
    let got = device.poll();
    assert_eq!((got.status, got.header("cache-control")), (200, Some("no-store")));
    let got = got.json();
    assert_eq!((&got["server"], &got["loginName"]), (&PUBLIC.into(), &"alice".into()));
    let password = got["appPassword"].as_str().unwrap();
    assert_eq!(cloud.dav("PROPFIND", "/dav/", &basic(&format!("alice:{password}"))), 207);
    assert_eq!(cloud.dav("PROPFIND", "/calendars/", &basic(&format!("alice:{password}"))), 403);
    let listed = cloud.tokens(ALICE);
    let statuses: Vec<_> = listed.iter().map(|one| &one["status"]).collect();
    assert!(statuses == ["active", "superseded"] || statuses == ["superseded", "active"]);

    assert_eq!(device.poll().status, 404, "once");
    let used = Browser::signed_in_at(&cloud, ALICE, PUBLIC).get(device.page());
    assert_eq!(used.status, 404, "the link is used");
    assert_eq!(device.grant().status, 404);
    assert_eq!(labels(&cloud).len(), 2);
}

#[test]
fn what_its_device_has_not_fetched_is_shown_as_waiting_and_not_as_ending() {
    let data = folder();
    let cloud = start(&data);
    let device = Device::begin(&cloud, &["User-Agent: Phone of Alice"]);
    let granted = device.grant();
    assert!(granted.body.contains("within 20 minutes, begin there again"), "{}", granted.body);
    let list = || Browser::signed_in_at(&cloud, ALICE, PUBLIC).get("/").body;
    let page = list();
    for words in ["Waits for its device", "unless its device fetches it"] {
        assert!(page.contains(words), "{words}: {page}");
    }
    for false_words in ["Ends soon", "Replace", "Never used"] {
        assert!(!page.contains(false_words), "{false_words}: {page}");
    }
    let own = page.split("href=\"/tokens/").nth(1).unwrap().split(['"', '/']).next().unwrap();
    let own = Browser::signed_in_at(&cloud, ALICE, PUBLIC).get(&format!("/tokens/{own}")).body;
    assert!(own.contains("unless its device fetches it") && !own.contains("/replace"), "{own}");
    assert_eq!(device.poll().status, 200);
    let page = list();
    assert!(page.contains("Never used") && !page.contains("its device"), "{page}");
}

#[test]
fn of_many_polls_at_once_one_gets_a_token_and_one_is_made() {
    let data = folder();
    let cloud = start(&data);
    let device = Device::begin(&cloud, &[]);
    assert_eq!(device.grant().status, 200);
    let got: Vec<u16> = std::thread::scope(|scope| {
        let polls: Vec<_> = (0..8).map(|_| scope.spawn(|| device.poll().status)).collect();
        polls.into_iter().map(|poll| poll.join().unwrap()).collect()
    });
    assert_eq!(got.iter().filter(|status| **status == 200).count(), 1, "{got:?}");
    assert_eq!(active(&cloud), 1);
}

#[test]
fn addresses_come_from_the_configuration_and_never_from_the_request() {
    let data = folder();
    let cloud = start(&data);
    for header in ["X-Forwarded-Host: evil.example", "Forwarded: host=evil.example"] {
        let begun = Device::begin(&cloud, &[header]).begun.to_string();
        assert!(!begun.contains("evil") && begun.contains(PUBLIC), "{begun}");
    }
    // A second `Host` would be a bad request, so this one is alone.
    let begun =
        send_as_it_is(&cloud, "POST /index.php/login/v2 HTTP/1.1\r\nHost: evil.example\r\n");
    assert!(!begun.contains("evil") && begun.contains(PUBLIC), "{begun}");
}

fn send_as_it_is(cloud: &Cloud, head: &str) -> String {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(&cloud.address).unwrap();
    let end = "Content-Length: 0\r\nConnection: close\r\n\r\n";
    stream.write_all(format!("{head}{end}").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn nobody_grants_who_is_not_signed_in_and_the_sign_in_leads_back() {
    let data = folder();
    let cloud = start(&data);
    let device = Device::begin(&cloud, &[]);
    let (_, token) = cloud.create(ALICE, r#"{"label": "x"}"#);
    let nobody = Browser::new(&cloud);
    let page = nobody.get(device.page());
    let leads_back = format!("name=\"to\" value=\"{}\"", device.page());
    assert!(page.body.contains(&leads_back) && !page.body.contains("Grant"), "{}", page.body);
    assert_eq!(device.decide(&nobody, GRANT).status, 303);
    // An app password is no sign-in.
    let origin = format!("Origin: {PUBLIC}");
    for account in [ALICE, &format!("alice:{token}")] {
        let headers = [&*basic(account), &*origin];
        assert_eq!(nobody.post_with(device.page(), GRANT, &headers).status, 303);
    }
    assert_eq!(device.poll().status, 404);
    assert_eq!(device.grant().status, 200, "a mistake ends nothing");
}

#[test]
fn an_older_sign_in_grants_only_with_the_main_password() {
    let data = folder();
    let options = ["--user", ALICE, "--public-url", PUBLIC, "--ask-again-after", "0s"];
    let cloud = Cloud::start(data.path(), &options);
    let device = Device::begin(&cloud, &[]);
    let browser = Browser::signed_in_at(&cloud, ALICE, PUBLIC);
    assert!(browser.get(device.page()).body.contains("type=\"password\""));
    let with = |password: &str| {
        let fields = [GRANT, &[("password", password)]].concat();
        device.decide(&browser, &fields)
    };
    let (_, token) = cloud.create(ALICE, r#"{"label": "x"}"#);
    assert_eq!(device.decide(&browser, GRANT).status, 401);
    for wrong in ["", "wrong", &token] {
        let refused = with(wrong);
        assert_eq!(refused.status, 401, "{wrong}");
        assert!(refused.body.contains("That isn't it") && !refused.body.contains(&token));
        assert!(refused.body.contains("checked"), "the choice is kept: {}", refused.body);
    }
    assert_eq!(device.poll().status, 404);
    assert_eq!(with("her secret").status, 200);
    assert_eq!(device.poll().status, 200);
}

#[test]
fn a_form_from_another_site_or_without_a_choice_grants_nothing() {
    let data = folder();
    let cloud = start(&data);
    let device = Device::begin(&cloud, &[]);
    let browser = Browser::signed_in_at(&cloud, ALICE, PUBLIC);
    for header in ["Origin: https://evil.example", "Sec-Fetch-Site: cross-site"] {
        assert_eq!(browser.post_with(device.page(), GRANT, &[header]).status, 403, "{header}");
    }
    for choice in [&[][..], &[("access", "")], &[("access", "all")]] {
        let fields = [&[("answer", "grant")], choice].concat();
        assert_eq!(device.decide(&browser, &fields).status, 422, "{choice:?}");
    }
    assert_eq!(device.poll().status, 404);
}

#[test]
fn what_is_denied_gets_nothing() {
    let data = folder();
    let cloud = start(&data);
    let denied = Device::begin(&cloud, &[]);
    let browser = Browser::signed_in_at(&cloud, ALICE, PUBLIC);
    assert_eq!(denied.decide(&browser, &[("answer", "deny")]).status, 200);
    assert_eq!(denied.grant().status, 404);
    assert_eq!((denied.poll().status, active(&cloud)), (404, 0));
}

#[test]
fn whatever_revokes_the_owners_tokens_also_ends_what_no_device_has_fetched() {
    let data = folder();
    let cloud = start(&data);
    let (stays, _) = cloud.create(ALICE, r#"{"label": "stays"}"#);
    let browser = Browser::signed_in_at(&cloud, ALICE, PUBLIC);
    let sent = |path: &str, fields: &[(&str, &str)]| {
        browser.post_with(path, fields, &[&format!("Origin: {PUBLIC}")]).status
    };
    let by_the_operator = || {
        let store = SqliteStore::open(data.path().join("tokens.db")).unwrap();
        let ring = KeyRing::load_or_create(data.path().join("tokens.key")).unwrap();
        let tokens = TokenAuthority::new(store, ring, Policy::new("cloud").unwrap());
        let (operator, owner) = (Operator::new("olga").unwrap(), Owner::new("alice").unwrap());
        let all = Filter::of_owner(&owner);
        let revoked = tokens.revoke_matching(operator, &all, Reason::REQUESTED);
        assert!(tokens.block_on(revoked).unwrap() > 0);
    };
    let acts: [(&str, &dyn Fn()); 4] = [
        ("all others by the API", &|| {
            let all_others = format!("/api/tokens?except={stays}");
            assert_eq!(cloud.api(ALICE, "DELETE", &all_others, "").status, 200);
        }),
        ("all others on the page", &|| {
            assert_eq!(sent(&format!("/tokens/{stays}/others"), &[]), 303);
        }),
        ("a selection on the page", &|| {
            let listed = cloud.tokens(ALICE);
            let waiting =
                listed.iter().find(|one| one["status"] == "active" && one["label"] != "stays");
            let id = waiting.unwrap()["id"].as_str().unwrap();
            assert_eq!(sent("/tokens/revoke", &[("id", id), ("sure", "yes")]), 303);
        }),
        ("the operator", &by_the_operator),
    ];
    for (what, revoke) in acts {
        let device = Device::begin(&cloud, &[]);
        assert_eq!(device.grant().status, 200);
        revoke();
        assert_eq!(device.poll().status, 404, "{what}");
        assert!(active(&cloud) <= 1, "{what}");
    }
}

#[test]
fn a_person_with_too_many_learns_it_at_once_and_the_device_can_still_be_connected() {
    let data = folder();
    let options = ["--user", ALICE, "--public-url", PUBLIC, "--max-per-owner", "1"];
    let cloud = Cloud::start(data.path(), &options);
    let (id, _) = cloud.create(ALICE, r#"{"label": "x"}"#);
    let device = Device::begin(&cloud, &[]);
    let refused = device.grant();
    assert!(refused.status == 409 && refused.body.contains("no more are allowed"), "{refused:?}");
    assert_eq!(cloud.api(ALICE, "DELETE", &format!("/api/tokens/{id}"), "").status, 204);
    assert_eq!((device.grant().status, device.poll().status), (200, 200));
}

#[test]
fn a_program_can_not_write_into_the_page() {
    let data = folder();
    let cloud = start(&data);
    let evil = "User-Agent: <script>alert(1)</script>\"'&";
    let device = Device::begin(&cloud, &[evil]);
    let page = Browser::signed_in_at(&cloud, ALICE, PUBLIC).get(device.page());
    assert!(page.body.contains("&lt;script&gt;alert"), "{}", page.body);
    assert!(!page.body.contains("<script>"), "{}", page.body);
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
    assert_eq!(page.header("referrer-policy"), Some("same-origin"), "the link is a secret");

    let long = format!("User-Agent: {}", "x".repeat(5_000));
    let device = Device::begin(&cloud, &[&long]);
    assert_eq!(device.grant().status, 200);
    assert_eq!(device.poll().status, 200);
    assert!(labels(&cloud).contains(&"x".repeat(100)));
}

#[test]
fn a_poll_without_a_secret_or_with_a_wrong_one_gets_nothing() {
    let data = folder();
    let cloud = start(&data);
    let device = Device::begin(&cloud, &[]);
    assert_eq!(device.grant().status, 200);
    let link = device.page().rsplit('/').next().unwrap();
    for body in ["", "token=", "token=x", &format!("token={link}"), "{}", "token=%ff"] {
        for path in ["/index.php/login/v2/poll", "/login/v2/poll"] {
            assert_eq!(cloud.request("POST", path, &[FORM], body).status, 404, "{body:?}");
        }
    }
    assert_eq!(device.poll().status, 200);
}
