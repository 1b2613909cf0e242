//! A browser without JavaScript: it keeps its cookie, and says which site a form is from.

use std::cell::RefCell;

use super::{Answer, Forge};

/// A browser at the forge's page.
pub struct Browser<'f> {
    forge: &'f Forge,
    cookie: RefCell<String>,
}

impl<'f> Browser<'f> {
    pub fn new(forge: &'f Forge) -> Browser<'f> {
        Browser { forge, cookie: RefCell::default() }
    }

    /// Opens a browser that is signed in.
    #[track_caller]
    pub fn signed_in(forge: &'f Forge, account: &str) -> Browser<'f> {
        let browser = Browser::new(forge);
        let answer = browser.sign_in(account);
        assert_eq!(answer.status, 303, "{}", answer.body);
        browser
    }

    pub fn sign_in(&self, account: &str) -> Answer {
        let (name, password) = account.split_once(':').unwrap();
        self.post("/sign-in", &[("name", name), ("password", password), ("to", "/")])
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "")
    }

    /// Sends a form from the forge's own page.
    pub fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let form: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
            .collect();
        let origin = format!("Origin: http://{}", self.forge.address);
        let kind = "Content-Type: application/x-www-form-urlencoded";
        self.send("POST", path, &[kind, &origin, "Sec-Fetch-Site: same-origin"], &form.join("&"))
    }

    fn send(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
        let cookie = format!("Cookie: {}", self.cookie.borrow());
        let answer =
            self.forge.request(method, path, &[&[&*cookie], headers].concat(), body.as_bytes());
        if let Some(line) = answer.header("set-cookie") {
            *self.cookie.borrow_mut() = line.split(';').next().unwrap().to_owned();
        }
        answer
    }

    /// Opens a page with a form, and returns a hidden field of it.
    #[track_caller]
    pub fn hidden(&self, path: &str, name: &str) -> String {
        let page = self.get(path);
        let field = format!("name=\"{name}\" value=\"");
        let rest = page.body.split_once(&*field).unwrap_or_else(|| panic!("{}", page.body)).1;
        rest.split('"').next().unwrap().to_owned()
    }

    /// Sends the form for a new token.
    pub fn ask_for(&self, fields: &[(&str, &str)]) -> Answer {
        let once = self.hidden("/", "once");
        self.post("/tokens", &[fields, &[("once", &once)]].concat())
    }
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
