//! A login proxy in front: whom it names, and what a fresh sign-in there opens.

mod common;

use app_tokens::clock::{Clock as _, SystemClock};
use common::{Answer, Cloud, basic};
use support::fail2ban::guesses;
use tempfile::TempDir;

const PUBLIC: &str = "https://cloud.example";
const ALICE: &str = "Remote-User: alice";
const FORM: &str = "Content-Type: application/x-www-form-urlencoded";
const GRANT: &str = "answer=grant&access=files:write";

/// A cloud behind a proxy at this machine, and the browser of a person that it names.
struct Behind {
    cloud: Cloud,
    _data: TempDir,
}

impl Behind {
    fn start(more: &[&str]) -> Behind {
        let data = tempfile::tempdir().unwrap();
        let users = data.path().join("users");
        let hash = password_auth::generate_hash("his secret");
        std::fs::write(&users, format!("alice u-1 - -\nbob u-2 - {hash}\nzoë u-3 - -\n")).unwrap();
        let options = ["--public-url", PUBLIC, "--sso-header", "Remote-User"];
        let users = ["--users", users.to_str().unwrap()];
        let options = [&options[..], &users, more].concat();
        Behind { cloud: Cloud::start(data.path(), &options), _data: data }
    }

    fn here(more: &[&str]) -> Behind {
        Behind::start(&[&["--sso-from", "127.0.0.1"], more].concat())
    }

    fn get(&self, path: &str, headers: &[&str]) -> Answer {
        self.cloud.request("GET", path, headers, "")
    }

    fn post(&self, path: &str, headers: &[&str], body: &str) -> Answer {
        let origin = format!("Origin: {PUBLIC}");
        self.cloud.request("POST", path, &[&[FORM, &origin], headers].concat(), body)
    }

    /// Goes to the proxy from the page that asks for it, and comes back as a browser does: from the
    /// login page, and so without the cookie.
    #[track_caller]
    fn sign_in_again(&self, asking: &Answer, headers: &[&str]) -> Answer {
        self.get(&again(asking), &[&["Sec-Fetch-Site: cross-site"], headers].concat())
    }
}

/// Returns the cookie that an answer sets, as a browser sends it.
#[track_caller]
fn cookie(answer: &Answer) -> String {
    let line = answer.header("set-cookie").unwrap_or_else(|| panic!("{}", answer.body));
    format!("Cookie: {}", line.split(';').next().unwrap())
}

/// Returns where a page leads to for a fresh sign-in.
#[track_caller]
fn again(page: &Answer) -> String {
    let (_, rest) = page.body.split_once("href=\"/again?").unwrap_or_else(|| panic!("{page:?}"));
    format!("/again?{}", rest.split('"').next().unwrap().replace("&amp;", "&"))
}

fn asks(page: &Answer) -> bool {
    page.body.contains("href=\"/again?")
}

#[test]
fn it_names_the_user_and_is_believed_from_its_address_only() {
    let behind = Behind::here(&[]);
    let named = |name: &str| behind.get("/", &[&format!("Remote-User: {name}")]);
    let page = named("alice");
    assert!(page.status == 200 && page.body.contains("<bdi>alice</bdi>"), "{}", page.body);
    assert!(page.header("set-cookie").unwrap().contains("HttpOnly"));
    assert!(!page.body.contains("Sign out</button>"), "the proxy signs out");
    let alices = cookie(&page);
    let switched = behind.get("/", &[&alices, "Remote-User: bob"]);
    assert!(switched.body.contains("<bdi>bob</bdi>"), "the cookie of another is not enough");
    let without = behind.get("/", &[&alices]);
    assert!(without.status == 401 && !without.body.contains("type=\"password\""));
    for nobody in ["nobody", "", "alice\r\nRemote-User: bob"] {
        assert_eq!(named(nobody).status, 401, "{nobody:?}");
    }
    assert_eq!(Behind::start(&["--sso-from", "10.0.0.1"]).get("/", &[ALICE]).status, 401);
}

#[test]
fn it_may_name_a_user_in_utf_8() {
    let behind = Behind::here(&[]);
    let page = behind.get("/", &["Remote-User: zoë"]);
    assert!(page.status == 200 && page.body.contains("<bdi>zoë</bdi>"), "{}", page.body);
}

#[test]
fn there_is_no_main_password_then() {
    let folder = tempfile::tempdir().unwrap();
    let audit = folder.path().join("audit.log");
    let behind = Behind::here(&["--audit", audit.to_str().unwrap()]);
    assert!(!behind.cloud.welcome.contains("curl -u bob"), "{}", behind.cloud.welcome);
    assert!(!behind.cloud.welcome.contains("/api/tokens"), "{}", behind.cloud.welcome);
    let by_form = behind.post("/sign-in", &[], "name=bob&password=his+secret");
    assert_eq!((by_form.status, by_form.header("set-cookie")), (303, None));
    let by_api = behind.get("/api/tokens", &[&basic("bob:his secret")]);
    assert_eq!(by_api.status, 403, "not for programs, either");
    assert!(by_api.body.contains("nobody has a main password here"), "{}", by_api.body);
    let log = std::fs::read_to_string(&audit).unwrap();
    assert!(log.contains("no main passwords behind a login proxy"), "{log}");
    if let Some(banned) = guesses(&audit) {
        assert!(banned.is_empty(), "a script of the months before: {banned:?}");
    }
}

#[test]
fn a_session_that_began_by_the_header_makes_nothing_before_a_fresh_sign_in() {
    let behind = Behind::here(&[]);
    let old = cookie(&behind.get("/", &[ALICE]));
    let asking = behind.get("/new", &[ALICE, &old]);
    assert!(asks(&asking) && !asking.body.contains("name=\"label\""), "{}", asking.body);
    let wish = "label=x&access=files:read&end=30&once=x";
    assert!(asks(&behind.post("/tokens", &[ALICE, &old], wish)));

    let back = behind.sign_in_again(&asking, &[ALICE]);
    let led = (back.status, back.header("refresh"), back.header("location"));
    assert_eq!(led, (200, Some("0; url=/new"), None), "a redirect would come without the cookie");
    assert!(back.body.contains("href=\"/new\""), "{}", back.body);
    let fresh = cookie(&back);
    assert!(behind.get("/new", &[ALICE, &fresh]).body.contains("name=\"label\""));
    assert!(asks(&behind.get("/new", &[ALICE, &old])), "the thief of the old cookie gets nothing");
    assert!(asks(&behind.get("/new", &[ALICE])), "nor does a browser without one");
    assert!(asks(&behind.get("/new", &["Remote-User: bob", &fresh])), "nor another person");
}

#[test]
fn the_session_that_asked_ends_with_the_fresh_sign_in() {
    let behind = Behind::here(&[]);
    let old = cookie(&behind.get("/", &[ALICE]));
    let asking = behind.get("/new", &[ALICE, &old]);
    let back = behind.sign_in_again(&asking, &[ALICE]);
    let page = behind.get("/", &[ALICE, &cookie(&back)]);
    assert!(page.body.contains("Browser sessions <span class=\"soft\">(1)"), "{}", page.body);
    // What ends here, the header begins anew.
    assert!(page.body.contains("They end 8 hours after"), "{}", page.body);
    let _another = behind.get("/", &[ALICE]);
    let list = behind.get("/", &[ALICE, &cookie(&back)]);
    let other = list.body.split("href=\"/sessions/").nth(1).unwrap().split('"').next().unwrap();
    let asks = behind.get(&format!("/sessions/{other}"), &[ALICE, &cookie(&back)]);
    assert!(asks.body.contains("sign it out at the login page, too"), "{}", asks.body);
    assert!(!asks.body.contains("main password"), "{}", asks.body);
}

#[test]
fn only_a_link_of_its_own_page_leads_there_and_only_once() {
    let behind = Behind::here(&[]);
    let page = behind.get("/", &[ALICE]);
    let session = cookie(&page);
    let forged = behind.get("/again?to=/new", &[ALICE, &session, "Sec-Fetch-Site: cross-site"]);
    assert!(forged.status == 200 && asks(&forged), "{}", forged.body);
    assert!(asks(&behind.get("/new", &[ALICE, &session])), "nothing became fresh");
    let of_bob = behind.get("/new", &["Remote-User: bob"]);
    let not_hers = behind.get(&again(&of_bob), &[ALICE, &session]);
    assert!(asks(&not_hers) && not_hers.header("set-cookie").is_none());

    let asking = behind.get("/new", &[ALICE, &session]);
    assert!(!asks(&behind.sign_in_again(&asking, &[ALICE])));
    let twice = behind.sign_in_again(&asking, &[ALICE]);
    assert!(asks(&twice));
    assert!(asks(&behind.get("/new", &[ALICE, &cookie(&twice)])));

    let link = again(&behind.get("/new", &[ALICE])).replace("to=/new", "to=//evil.example");
    assert_eq!(behind.get(&link, &[ALICE]).header("refresh"), Some("0; url=/"));
}

#[test]
fn with_a_time_header_only_a_sign_in_of_this_moment_is_believed() {
    let behind = Behind::here(&["--sso-time-header", "X-Auth-Time"]);
    let now = SystemClock.now().as_unix();
    let hour_ago = format!("X-Auth-Time: {}", now - 3600);
    let just_now = format!("X-Auth-Time: {now}");
    for not_asked in [&[][..], &[&*hour_ago], &["X-Auth-Time: x"], &[&just_now, &hour_ago]] {
        let asking = behind.get("/new", &[ALICE]);
        let headers = [&[ALICE], not_asked].concat();
        let back = behind.sign_in_again(&asking, &headers);
        assert_eq!(back.status, 403, "{not_asked:?}");
        let session = cookie(&back);
        assert!(asks(&behind.get("/new", &[&[&*session], &*headers].concat())), "{not_asked:?}");
    }
    let asking = behind.get("/new", &[ALICE]);
    let back = behind.sign_in_again(&asking, &[ALICE, &just_now]);
    let form = behind.get("/new", &[ALICE, &cookie(&back), &hour_ago]);
    assert!(form.body.contains("name=\"label\""), "{}", form.body);
}

#[test]
fn a_device_is_connected_after_a_fresh_sign_in_only() {
    let behind = Behind::here(&[]);
    let begun = behind.cloud.request("POST", "/index.php/login/v2", &[], "").json();
    let path = begun["login"].as_str().unwrap().strip_prefix(PUBLIC).unwrap();
    let poll = || {
        let secret = format!("token={}", begun["poll"]["token"].as_str().unwrap());
        behind.post("/index.php/login/v2/poll", &[], &secret).status
    };
    let asking = behind.get(path, &[ALICE]);
    let session = cookie(&asking);
    assert!(asks(&asking) && asks(&behind.post(path, &[ALICE, &session], GRANT)));
    assert_eq!(poll(), 404);
    let back = behind.sign_in_again(&asking, &[ALICE]);
    assert_eq!(back.header("refresh"), Some(&*format!("0; url={path}")), "it leads back");
    let fresh = cookie(&back);
    assert!(behind.get(path, &[ALICE, &fresh]).body.contains("Grant access"));
    assert!(behind.post(path, &[ALICE, &fresh], GRANT).body.contains("Connected"));
    assert_eq!(poll(), 200);
}
