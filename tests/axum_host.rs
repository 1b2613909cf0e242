//! The example of an axum application does what its head and its comments promise.

use std::process::Command;
use std::sync::Arc;
use std::thread::JoinHandle;

use app_tokens::access::Network;
use app_tokens::store::SqliteStore;
use app_tokens::{KeyRing, Owner, Policy, TokenAuthority};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use support::http::{Answer, request};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

#[allow(dead_code, reason = "its main serves on a fixed port")]
#[path = "../examples/axum.rs"]
mod host;

const PASSWORD: &str = "alice:correct horse";

struct Server {
    address: String,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Server {
    /// Serves what is in a folder, behind proxies with these addresses.
    fn start(folder: &TempDir, proxies: &[&str]) -> Server {
        let proxies: Arc<[Network]> = proxies.iter().map(|proxy| proxy.parse().unwrap()).collect();
        let folder = folder.path().to_owned();
        let (stop, stopped) = oneshot::channel();
        let (started, address) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                started.send(listener.local_addr().unwrap().to_string()).unwrap();
                let stop = async { stopped.await.unwrap() };
                host::serve(listener, &folder, proxies, stop).await.unwrap();
            });
        });
        Server { address: address.recv().unwrap(), stop, thread }
    }

    fn send(&self, method: &str, path: &str, login: &str, more: &[&str], body: &str) -> Answer {
        let login = format!("Authorization: Basic {}", STANDARD.encode(login));
        let headers: Vec<&str> = [&*login].into_iter().chain(more.iter().copied()).collect();
        request(&self.address, method, path, &headers, body)
    }

    #[track_caller]
    fn is(&self, status: u16, method: &str, path: &str, login: &str) -> String {
        let answer = self.send(method, path, login, &[], "x");
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        answer.body
    }

    /// Makes a token, and returns what its holder logs in by.
    fn token(&self, may: &str) -> String {
        let made = self.send("POST", "/settings/tokens", PASSWORD, &[], may);
        assert_eq!((made.status, made.header("cache-control")), (201, Some("no-store")));
        format!("alice:{}", made.body.trim_end())
    }

    /// Returns the line of a token in the list of the settings.
    fn line(&self, login: &str) -> String {
        let list = self.is(200, "GET", "/settings/tokens", PASSWORD);
        let id = &login["alice:acme_".len()..][..10];
        list.lines().find(|line| line.starts_with(id)).unwrap().to_owned()
    }

    fn stop(self) {
        self.stop.send(()).unwrap();
        self.thread.join().unwrap();
    }
}

#[test]
fn each_line_at_its_head_does_what_it_says() {
    if !support::program::has("curl") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder, &[]);
    let source = include_str!("../examples/axum.rs");
    let block = source.split("//! ```").nth(1).unwrap();
    let lines: Vec<&str> = block.lines().skip(1).map(|line| &line["//! ".len()..]).collect();
    assert_eq!(lines.len(), 11);
    let script: Vec<String> = lines.iter().map(|line| format!("echo '=='\n{line}\n")).collect();
    let script = script.concat().replace("127.0.0.1:8080", &server.address);
    let run = Command::new("sh").args(["-euc", &script]).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let output = String::from_utf8(run.stdout).unwrap();
    let outputs: Vec<&str> = output.split("==\n").skip(1).collect();
    assert_eq!(outputs.len(), lines.len());
    let mut refused = 0;
    for (line, output) in lines.iter().zip(&outputs) {
        let status = line.split_once("# 4").map(|(_, rest)| format!("HTTP/1.1 4{}", &rest[..2]));
        assert_eq!(status.is_some(), line.starts_with("curl -i "), "{line}");
        assert!(status.is_none_or(|status| output.starts_with(&status)), "{line}: {output}");
        refused += usize::from(line.starts_with("curl -i "));
    }
    assert_eq!(refused, 4);
    assert_eq!(outputs[4], "Buy milk\n");
    assert_eq!(outputs[8].matches(" curl last from Some(127.0.0.1)\n").count(), 2);
    server.stop();
}

#[test]
fn each_method_of_the_notes_needs_its_own_scope() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder, &[]);
    let (reads, writes) = (server.token("read"), server.token("write"));
    server.is(201, "POST", "/api/notes", &writes);
    server.is(403, "POST", "/api/notes", &reads);
    assert_eq!(server.is(200, "GET", "/api/notes", &reads), "x\n");
    server.stop();
}

#[test]
fn the_settings_take_only_the_password_and_the_notes_only_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder, &[]);
    let token = server.token("write");
    let id = &token["alice:acme_".len()..][..10];
    for (method, path) in [
        ("GET", "/settings/tokens"),
        ("POST", "/settings/tokens"),
        ("DELETE", &*format!("/settings/tokens/{id}")),
    ] {
        assert_eq!(server.is(403, method, path, &token), "Sign in with your main password.\n");
        server.is(401, method, path, "alice:wrong");
        server.is(401, method, path, &format!("{token}x"));
    }
    for method in ["GET", "POST"] {
        server.is(401, method, "/api/notes", PASSWORD);
    }
    server.is(422, "POST", "/settings/tokens", PASSWORD);
    server.is(204, "DELETE", &format!("/settings/tokens/{id}"), PASSWORD);
    server.is(401, "GET", "/api/notes", &token);
    server.stop();
}

#[test]
fn a_last_use_has_the_address_that_the_proxy_names_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder, &["127.0.0.1"]);
    let (named, unnamed) = (server.token("read"), server.token("read"));
    let forwarded = "X-Forwarded-For: 6.6.6.6, 192.0.2.7";
    assert_eq!(server.send("GET", "/api/notes", &named, &[forwarded], "").status, 200);
    server.is(200, "GET", "/api/notes", &unnamed);
    assert!(server.line(&named).ends_with("last from Some(192.0.2.7)"));
    assert!(server.line(&unnamed).ends_with("last from None"));
    server.stop();
    let server = Server::start(&folder, &[]);
    let direct = server.token("read");
    assert_eq!(server.send("GET", "/api/notes", &direct, &[forwarded], "").status, 200);
    assert!(server.line(&direct).ends_with("last from Some(127.0.0.1)"));
    server.stop();
}

#[test]
fn a_stop_writes_the_last_uses_and_a_start_finds_the_tokens_again() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder, &[]);
    let token = server.token("write");
    server.is(201, "POST", "/api/notes", &token);
    server.stop();
    let store = SqliteStore::open(folder.path().join("notes.db")).unwrap();
    let ring = KeyRing::load_or_create(folder.path().join("notes.key")).unwrap();
    let tokens = TokenAuthority::new(store, ring, Policy::new("acme").unwrap());
    let all = tokens.block_on(tokens.all_of(&Owner::new("alice").unwrap())).unwrap();
    assert!(all.tokens[0].last_use().is_some());
    let server = Server::start(&folder, &[]);
    server.is(201, "POST", "/api/notes", &token);
    server.stop();
}
