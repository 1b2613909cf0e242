//! Starts the cloud as a process of its own, and talks to it.
#![allow(dead_code, unused_imports, reason = "each test file uses its own part of this")]

pub mod browser;
pub mod contract;
pub mod json_api;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
pub use support::http::{Answer, basic, bearer};

/// The cloud's binary, built with these tests.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_cloud");

/// A running cloud; killed when dropped.
pub struct Cloud {
    process: Child,
    pub address: String,
    pub welcome: String,
}

impl Cloud {
    /// Starts a cloud on a free port, and waits until it says where it is.
    pub fn start(data: &Path, options: &[&str]) -> Cloud {
        let mut command = Command::new(PROGRAM);
        command.args(["--listen", "127.0.0.1:0", "--data"]).arg(data).args(options);
        Cloud::started(command.stdout(Stdio::piped()).spawn().unwrap())
    }

    /// Waits until a cloud that was started says where it is.
    pub fn started(mut process: Child) -> Cloud {
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut welcome = String::new();
        while !welcome.contains("rclone lsf") {
            let line = lines.next().unwrap_or_else(|| panic!("it ended: {welcome}")).unwrap();
            welcome += &(line + "\n");
        }
        // With a public URL, the cloud is not where it says it is.
        let listens = welcome.split("it listens at ").nth(1);
        let address = listens.or(welcome.split("http://").nth(1)).unwrap();
        let address = address.split(['/', '\n']).next().unwrap().to_owned();
        Cloud { process, address, welcome }
    }

    pub fn with_alice_and_bob(data: &Path) -> Cloud {
        Cloud::start(data, &["--user", "alice:her secret", "--user", "bob:his secret"])
    }

    /// Kills it in the middle of whatever it does.
    pub fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Stops it as a service manager does, and waits.
    #[cfg(unix)]
    pub fn terminate(mut self) {
        let told = Command::new("kill").arg(self.process.id().to_string()).status().unwrap();
        assert!(told.success());
        assert!(self.process.wait().unwrap().success(), "it ends in order");
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Sends one request over a connection of its own.
    pub fn request(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
        support::http::request(&self.address, method, path, headers, body)
    }

    /// Calls the JSON API with an account's main password, and checks the answer against the
    /// OpenAPI file.
    #[track_caller]
    pub fn api(&self, account: &str, method: &str, path: &str, body: &str) -> Answer {
        let answer = self.request(method, path, &[&basic(account)], body);
        contract::hold(method, path, body, &answer);
        answer
    }

    /// Creates a token, and returns its id and text.
    #[track_caller]
    pub fn create(&self, account: &str, wish: &str) -> (String, String) {
        let answer = self.api(account, "POST", "/api/tokens", wish);
        assert_eq!(answer.status, 201, "{}", answer.body);
        let token = answer.json();
        (token["id"].as_str().unwrap().to_owned(), token["token"].as_str().unwrap().to_owned())
    }

    /// Returns all app passwords of an account, the newest first.
    #[track_caller]
    pub fn tokens(&self, account: &str) -> Vec<Value> {
        let (mut all, mut path) = (Vec::new(), "/api/tokens?limit=50".to_owned());
        loop {
            let page = self.api(account, "GET", &path, "").json();
            all.extend_from_slice(page["tokens"].as_array().unwrap());
            let Some(next) = page["next"].as_str() else { break };
            path = format!("/api/tokens?limit=50&cursor={next}");
        }
        all.sort_by_key(|one| std::cmp::Reverse(one["created_at"].as_str().unwrap().to_owned()));
        all
    }

    /// Sends a WebDAV request and returns the status.
    pub fn dav(&self, method: &str, path: &str, header: &str) -> u16 {
        self.request(method, path, &[header, "Depth: 1"], "").status
    }
}

/// Puts all rows under a key that the running cloud lacks.
pub fn put_under_missing_key(data: &Path) {
    let rows = rusqlite::Connection::open(data.join("tokens.db")).unwrap();
    assert!(rows.execute("UPDATE app_tokens SET key_id = key_id + 1", ()).unwrap() > 0);
}

impl Drop for Cloud {
    fn drop(&mut self) {
        let _it_may_have_ended = self.process.kill();
        let _nothing_is_left = self.process.wait();
    }
}
