//! Starts the forge as a process of its own, and talks to it.
#![allow(dead_code, unused_imports, reason = "each test file uses its own part of this")]

pub mod browser;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, mpsc};

use serde_json::{Value, json};
pub use support::http::{Answer, basic, bearer};

/// The accounts of [`Forge::start`], with the main passwords. Root is a site administrator.
pub const ALICE: &str = "alice:her secret";
pub const BOB: &str = "bob:his secret";
pub const ROOT: &str = "root:their secret";

/// A running forge; killed when dropped.
pub struct Forge {
    process: Child,
    pub address: String,
    pub welcome: String,
    log: Mutex<mpsc::Receiver<String>>,
}

impl Forge {
    /// Starts a forge with three accounts on a free port, and waits until it says where it is.
    pub fn start(data: &Path) -> Forge {
        Forge::start_with(data, &[])
    }

    pub fn start_with(data: &Path, options: &[&str]) -> Forge {
        let users = data.join("users");
        if !users.exists() {
            // Cheap hashes of the passwords above, so that tests are not slow.
            fs::write(&users, include_str!("users")).unwrap();
        }
        let users = users.to_str().unwrap();
        Forge::demo(data, &[&["--users", users], options].concat())
    }

    /// Starts a forge as it is told.
    pub fn demo(data: &Path, options: &[&str]) -> Forge {
        let mut process = Command::new(env!("CARGO_BIN_EXE_forge"))
            .args(["--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .args(options)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, log) = mpsc::channel();
        let errors = BufReader::new(process.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                eprintln!("forge says: {line}");
                // The test may be over.
                _ = sender.send(line);
            }
        });
        let mut welcome = String::new();
        let mut lines = BufReader::new(process.stdout.take().unwrap());
        while !welcome.contains("Ctrl-C stops it.\n") {
            assert!(lines.read_line(&mut welcome).unwrap() > 0, "it ended: {welcome}");
        }
        let address =
            welcome.split("http://").nth(1).unwrap().split('/').next().unwrap().to_owned();
        Forge { process, address, welcome, log: Mutex::new(log) }
    }

    /// Returns the lines that it has logged since the last call, up to one with this text.
    #[track_caller]
    pub fn log_until(&self, text: &str) -> String {
        let log = self.log.lock().unwrap();
        let mut lines = String::new();
        while !lines.contains(text) {
            let line = log.recv_timeout(std::time::Duration::from_secs(60));
            lines += &line.unwrap_or_else(|_| panic!("no {text:?} in the log:\n{lines}"));
            lines.push('\n');
        }
        lines
    }

    /// Tells it to stop, as a service manager does.
    pub fn tell_to_stop(&self) {
        let told = Command::new("kill").arg(self.process.id().to_string()).status().unwrap();
        assert!(told.success());
    }

    /// Stops it, and waits.
    pub fn terminate(mut self) {
        self.tell_to_stop();
        assert!(self.process.wait().unwrap().success(), "it ends in order");
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Returns the URL with a user name and a password in it.
    pub fn url_as(&self, user: &str, password: &str, path: &str) -> String {
        format!("http://{user}:{password}@{}{path}", self.address)
    }

    /// Sends one request over a connection of its own.
    pub fn request(&self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Answer {
        support::http::request(&self.address, method, path, headers, body)
    }

    /// Calls the API with JSON.
    pub fn api(&self, header: &str, method: &str, path: &str, body: &Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let headers = ["Content-Type: application/json", header];
        self.request(method, &format!("/api/v1{path}"), &headers, body.as_bytes())
    }

    /// Makes a token by the API, and returns its description.
    #[track_caller]
    pub fn create(&self, account: &str, wish: &Value) -> Value {
        let user = account.split(':').next().unwrap();
        let made = self.api(&basic(account), "POST", &format!("/users/{user}/tokens"), wish);
        assert_eq!(made.status, 201, "{}", made.body);
        made.json()
    }

    /// Makes a token with these scopes, and returns its text.
    #[track_caller]
    pub fn token(&self, account: &str, scopes: &[&str]) -> String {
        let name = format!("for {}", scopes.join(" "));
        text(&self.create(account, &json!({ "name": name, "scopes": scopes })))
    }

    /// Makes a token that is limited to these repositories of the account, and returns its text.
    #[track_caller]
    pub fn token_for(&self, account: &str, scopes: &[&str], repositories: &[&str]) -> String {
        let user = account.split(':').next().unwrap();
        let targets: Vec<Value> =
            repositories.iter().map(|name| json!({ "owner": user, "name": name })).collect();
        let name = format!("for {scopes:?} on {repositories:?}");
        let wish = json!({ "name": name, "scopes": scopes, "repositories": targets });
        text(&self.create(account, &wish))
    }

    /// Makes a repository with one commit, by the API and a push.
    #[track_caller]
    pub fn repo(&self, account: &str, name: &str, private: bool) {
        let user = account.split(':').next().unwrap();
        let wish = json!({ "name": format!("repository {name}"), "scopes": ["write:repository"] });
        let made = self.create(account, &wish);
        let header = bearer(&text(&made));
        let wish = json!({ "name": name, "private": private });
        let answer = self.api(&header, "POST", "/user/repos", &wish);
        assert_eq!(answer.status, 201, "{}", answer.body);
        let home = tempfile::tempdir().unwrap();
        git_well(home.path(), &["init", "-q", "-b", "main", "work"]);
        let work = home.path().join("work");
        fs::write(work.join("README.md"), format!("# {name}\n")).unwrap();
        git_well(&work, &["add", "."]);
        git_well(&work, &["commit", "-q", "-m", "first"]);
        let url = self.url_as(user, &text(&made), &format!("/{user}/{name}.git"));
        git_well(&work, &["push", "-q", &url, "main"]);
        let path = format!("/users/{user}/tokens/{}", made["id"]);
        assert_eq!(self.api(&basic(account), "DELETE", &path, &Value::Null).status, 204);
    }
}

impl Drop for Forge {
    fn drop(&mut self) {
        let _it_may_have_ended = self.process.kill();
        let _nothing_is_left = self.process.wait();
    }
}

pub fn text(token: &Value) -> String {
    token["sha1"].as_str().unwrap().to_owned()
}

/// Runs git with a home folder of its own, which is also where it works. It never asks a person.
pub fn git(home: &Path, arguments: &[&str]) -> Output {
    git_with(home, arguments, &[])
}

pub fn git_with(home: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new("git")
        .args(["-c", "user.name=T", "-c", "user.email=t@localhost"])
        .args(arguments)
        .current_dir(home)
        .env("HOME", home)
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env_remove("GIT_ASKPASS")
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

#[track_caller]
pub fn git_well(home: &Path, arguments: &[&str]) -> String {
    let output = git(home, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Returns all that a program said.
pub fn said(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    String::from_utf8_lossy(out).into_owned() + &String::from_utf8_lossy(err)
}
