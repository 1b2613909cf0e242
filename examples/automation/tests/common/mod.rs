//! Starts the automation server as a process of its own, and talks to it.
#![allow(dead_code, unused_imports, reason = "each test file uses its own part of this")]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
pub use support::http::{basic, bearer};
use support::program::operators_tool;
use tempfile::TempDir;

/// The server's binary, built with these tests.
const PROGRAM: &str = env!("CARGO_BIN_EXE_automation");

/// The identities of the document, and a few more. Each password is `test`.
const USERS: &str = "\
jane        1  -  HASH  roles=Administrator
adam@ironmansoftware.onmicrosoft.com  2  -  HASH  roles=Operator
admin       3  -  HASH  roles=Administrator,Operator,Reader
reader      4  -  HASH  roles=Reader
nobody      5  -  HASH
release     6  -  HASH  roles=release-runner
gone        7  -  !HASH roles=Reader
";

/// The hash of `test`, with the least work that Argon2 allows, so that tests are quick.
const HASH: &str = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$ieVgG5ysTJFx4k/KvmC9aQ";

/// A folder for a server: users, policy, data, audit log.
pub struct Place(TempDir);

impl Place {
    pub fn new() -> Place {
        Place::with_policy("")
    }

    /// Makes a folder with more keys in the policy, before its scopes.
    pub fn with_policy(keys: &str) -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        place.set_users(USERS);
        let policy = "prefix = 'psu'\nrealm = 'automation'\nmax_life = '730 days'\n";
        let scopes = "[scopes]\nAdministrator = ['Operator', 'Reader']\nOperator = ['Reader']\n\
                      Reader = []\nrelease-runner = []\n";
        let policy = format!("{policy}{keys}\n{scopes}");
        fs::write(place.path("policy.toml"), policy).unwrap();
        place
    }

    /// Replaces a text in the users file. A running server reads it again.
    pub fn change_users(&self, from: &str, to: &str) {
        self.set_users(&USERS.replace(from, to));
    }

    fn set_users(&self, text: &str) {
        let new = self.path("users.new");
        fs::write(&new, text.replace("HASH", HASH)).unwrap();
        fs::rename(new, self.path("users")).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Returns the audit log's lines, each an object.
    pub fn audit(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path("audit.log")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Returns the audit log's lines with this message.
    pub fn audited(&self, message: &str) -> Vec<Value> {
        self.audit().into_iter().filter(|line| line["message"] == message).collect()
    }

    /// Runs the operator's tool over this server's tokens. Returns its standard output.
    #[track_caller]
    pub fn admin(&self, input: &str, arguments: &[&str]) -> String {
        let mut tool = Command::new(operators_tool());
        let store = format!("sqlite:{}", self.path("data/tokens.db").display());
        tool.args(["--store", &store, "--policy", "policy.toml", "--key-file", "data/tokens.key"]);
        tool.args(arguments).current_dir(self.0.path()).env("USER", "olga");
        tool.env_remove("APP_TOKENS_KEYS").env_remove("APP_TOKENS_STORE");
        tool.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut tool = tool.spawn().unwrap();
        tool.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = tool.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn start(&self) -> Server {
        self.start_with(&[])
    }

    /// Starts a server on a free port, and waits until it says where it is.
    pub fn start_with(&self, options: &[&str]) -> Server {
        let mut process = self.command(options).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let welcome = lines.next().expect("it ended").unwrap();
        let address = welcome.split("http://").nth(1).unwrap().to_owned();
        Server { process, address, _output: Box::new(lines) }
    }

    /// Starts a server that must end by itself, and returns what it said.
    pub fn refused(&self, options: &[&str]) -> String {
        let output = self.command(options).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    }

    fn command(&self, options: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(["--listen", "127.0.0.1:0"]).args(options).env_remove("APP_TOKENS_STORE");
        for (option, name) in [
            ("--data", "data"),
            ("--users", "users"),
            ("--policy", "policy.toml"),
            ("--audit", "audit.log"),
        ] {
            command.arg(option).arg(self.path(name));
        }
        command
    }
}

/// A running server; killed when dropped.
pub struct Server {
    process: Child,
    pub address: String,
    _output: Box<dyn Iterator<Item = std::io::Result<String>> + Send>,
}

impl Server {
    /// Tells it to end, as a service manager does.
    pub fn tell_to_end(&self) {
        let told = Command::new("kill").arg(self.process.id().to_string()).status().unwrap();
        assert!(told.success());
    }

    /// Waits until it has ended, which must be in order.
    pub fn wait(mut self) {
        assert!(self.process.wait().unwrap().success(), "it ends in order");
    }

    pub fn end(self) {
        self.tell_to_end();
        self.wait();
    }

    /// Sends one request over a connection of its own.
    pub fn request(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
        // Programs send a length with a POST that has no body, too.
        let none = if body.is_empty() { &["Content-Length: 0"][..] } else { &[] };
        let headers = [headers, none].concat();
        Answer(support::http::request(&self.address, method, path, &headers, body))
    }

    /// Signs in as the document does, and returns the cookie.
    #[track_caller]
    pub fn sign_in(&self, name: &str) -> String {
        let body = format!(r#"{{"username":"{name}","password":"test"}}"#);
        let answer = self.request("POST", "/api/v1/signin", &[JSON], &body);
        assert_eq!(answer.status, 200, "{}", answer.body);
        cookie(&answer)
    }

    /// Grants a person a token of their own, and returns its id and text.
    #[track_caller]
    pub fn grant(&self, name: &str) -> (String, String) {
        let cookie = self.sign_in(name);
        self.request("POST", "/api/v1/apptoken/grant", &[&cookie], "").granted()
    }

    /// Sends a request with a token, and returns the status.
    pub fn status(&self, method: &str, path: &str, token: &str) -> u16 {
        self.request(method, path, &[&bearer(token)], "value").status
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.process.kill(); // ignored: it may have ended
        _ = self.process.wait();
    }
}

pub const JSON: &str = "Content-Type: application/json";
pub const FORM: &str = "Content-Type: application/x-www-form-urlencoded";

/// An answer of the server.
#[derive(Debug)]
pub struct Answer(support::http::Answer);

impl Deref for Answer {
    type Target = support::http::Answer;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Answer {
    /// Returns the id and the text of the token in the answer.
    #[track_caller]
    pub fn granted(&self) -> (String, String) {
        assert_eq!(self.status, 200, "{}", self.body);
        let token = self.json();
        (token["id"].as_str().unwrap().to_owned(), token["token"].as_str().unwrap().to_owned())
    }

    /// Checks the status, and that the answer says this.
    #[track_caller]
    pub fn is(&self, status: u16, words: &str) {
        assert_eq!(self.status, status, "{}", self.body);
        assert!(self.body.contains(words), "{words} is not in {}", self.body);
    }
}

/// Returns the cookie that an answer sets, as a client sends it.
#[track_caller]
pub fn cookie(answer: &Answer) -> String {
    let line = answer.header("set-cookie").unwrap_or_else(|| panic!("{answer:?}"));
    format!("Cookie: {}", line.split(';').next().unwrap())
}

/// Copies a file to a place in another folder.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(from, to).unwrap();
}
