//! A browser without JavaScript: it keeps its cookie, and says which site a form is from.

use std::cell::RefCell;

use super::{Answer, Cloud};

/// A browser at the cloud's page.
pub struct Browser<'c> {
    cloud: &'c Cloud,
    cookie: RefCell<String>,
    program: String,
}

impl<'c> Browser<'c> {
    pub fn new(cloud: &'c Cloud) -> Browser<'c> {
        let program = "Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0";
        Browser { cloud, cookie: RefCell::default(), program: program.into() }
    }

    /// Opens a browser that calls itself this.
    pub fn called(cloud: &'c Cloud, program: &str) -> Browser<'c> {
        Browser { program: program.into(), ..Browser::new(cloud) }
    }

    /// Opens a browser with another one's cookie, as a thief would.
    pub fn with_cookie_of(other: &Browser<'c>) -> Browser<'c> {
        Browser { cookie: other.cookie.clone(), ..Browser::new(other.cloud) }
    }

    /// Opens a browser that is signed in.
    #[track_caller]
    pub fn signed_in(cloud: &'c Cloud, account: &str) -> Browser<'c> {
        let browser = Browser::new(cloud);
        assert_eq!(browser.sign_in(account).status, 303);
        browser
    }

    /// Opens a browser that is signed in at the cloud's public URL.
    #[track_caller]
    pub fn signed_in_at(cloud: &'c Cloud, account: &str, public: &str) -> Browser<'c> {
        let browser = Browser::new(cloud);
        let (name, password) = account.split_once(':').unwrap();
        let fields = [("name", name), ("password", password), ("to", "/")];
        let signed_in = browser.post_with("/sign-in", &fields, &[&format!("Origin: {public}")]);
        assert_eq!(signed_in.status, 303);
        browser
    }

    pub fn sign_in(&self, account: &str) -> Answer {
        let (name, password) = account.split_once(':').unwrap();
        self.post("/sign-in", &[("name", name), ("password", password), ("to", "/")])
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "")
    }

    /// Sends a form from the cloud's own page.
    pub fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let origin = format!("Origin: http://{}", self.cloud.address);
        self.post_with(path, fields, &[&origin, "Sec-Fetch-Site: same-origin"])
    }

    /// Sends a form with these headers about where it is from.
    pub fn post_with(&self, path: &str, fields: &[(&str, &str)], headers: &[&str]) -> Answer {
        let form: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
            .collect();
        let kind = "Content-Type: application/x-www-form-urlencoded";
        self.send("POST", path, &[&[kind], headers].concat(), &form.join("&"))
    }

    fn send(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
        let cookie = format!("Cookie: {}", self.cookie.borrow());
        let program = format!("User-Agent: {}", self.program);
        let headers = [&[&*cookie, &*program], headers].concat();
        let answer = self.cloud.request(method, path, &headers, body);
        if let Some(line) = answer.header("set-cookie") {
            *self.cookie.borrow_mut() = line.split(';').next().unwrap().to_owned();
        }
        answer
    }

    /// Opens a form and returns its one-use text.
    #[track_caller]
    pub fn once(&self, path: &str) -> String {
        hidden(&self.get(path), "once")
    }

    /// Makes an app password by the form, and returns its text.
    #[track_caller]
    pub fn create(&self, label: &str, access: &str) -> String {
        let once = self.once("/new");
        let fields = [("label", label), ("access", access), ("end", "30"), ("once", &once)];
        shown(&self.post("/tokens", &fields))
    }
}

/// Returns the value of a hidden field.
#[track_caller]
pub fn hidden(page: &Answer, name: &str) -> String {
    let field = format!("name=\"{name}\" value=\"");
    let rest = page.body.split_once(&*field).unwrap_or_else(|| panic!("{}", page.body)).1;
    rest.split('"').next().unwrap().to_owned()
}

/// Returns the text that a page shows once.
#[track_caller]
pub fn shown(page: &Answer) -> String {
    assert_eq!(page.status, 200, "{}", page.body);
    let (_, rest) = page.body.split_once("<textarea id=\"secret\"").expect("it is shown");
    rest.split(['>', '<']).nth(1).unwrap().to_owned()
}

/// Returns the id in a token's text.
pub fn id_of(token: &str) -> &str {
    &token.split_once('_').unwrap().1[..10]
}

fn encode(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
