//! The operator's tool beside the cloud: what it issues and revokes counts at once.

mod common;

use std::io::Write as _;
use std::process::{Child, Command, Stdio};

use common::{Cloud, basic, bearer};
use serde_json::Value;
use support::program::operators_tool;
use tempfile::TempDir;

const POLICY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/policy.toml");

/// The tool over the store and the keys of a cloud.
struct Admin {
    data: TempDir,
    store: String,
}

impl Admin {
    fn over_sqlite() -> Admin {
        let data = tempfile::tempdir().unwrap();
        let store = format!("sqlite:{}", data.path().join("tokens.db").display());
        Admin { data, store }
    }

    fn start(&self, input: &str, arguments: &[&str]) -> Child {
        let mut tool = Command::new(operators_tool());
        tool.args(["--store", &self.store, "--policy", POLICY, "--key-file", "tokens.key"]);
        tool.args(arguments).current_dir(self.data.path()).env("USER", "olga");
        tool.env_remove("LOGNAME").env_remove("APP_TOKENS_KEYS").env_remove("APP_TOKENS_STORE");
        tool.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut tool = tool.spawn().unwrap();
        tool.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        tool
    }

    /// Runs the tool, which must succeed. Returns its standard output.
    #[track_caller]
    fn run(&self, input: &str, arguments: &[&str]) -> String {
        done(self.start(input, arguments))
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.run("", arguments)).unwrap()
    }

    /// Runs a command that prints a token, and returns the token alone.
    #[track_caller]
    fn token(&self, arguments: &[&str]) -> String {
        self.run("", arguments).strip_suffix('\n').unwrap().to_owned()
    }
}

#[track_caller]
fn done(tool: Child) -> String {
    let output = tool.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Returns the id in a token's text.
#[track_caller]
fn id(text: &str) -> String {
    app_tokens::token::Token::parse_any_prefix(text).unwrap().id().to_string()
}

fn enters(cloud: &Cloud, token: &str) -> u16 {
    cloud.dav("PROPFIND", "/dav/", &bearer(token))
}

#[test]
fn issued_tokens_enter_and_revoked_ones_are_denied_at_once() {
    let admin = Admin::over_sqlite();
    let cloud = Cloud::with_alice_and_bob(admin.data.path());
    let wish = ["issue", "--owner", "alice", "--label", "From the desk", "--scope", "files:read"];
    let text = admin.token(&wish);
    for header in [bearer(&text), basic(&format!("alice:{text}"))] {
        assert_eq!(cloud.dav("PROPFIND", "/dav/", &header), 207);
        assert_eq!(cloud.dav("PUT", "/dav/x", &header), 403);
    }
    let listed = cloud.tokens("alice:her secret");
    assert_eq!(
        (&listed[0]["label"], &listed[0]["status"]),
        (&"From the desk".into(), &"active".into())
    );
    let (own, own_text) = cloud.create("bob:his secret", r#"{"label": "His"}"#);
    let shown = admin.json(&["show", &own, "--json"]);
    assert_eq!((&shown["status"], &shown["owner"]), (&"active".into(), &"bob".into()));
    assert!(admin.run(&own_text, &["verify"]).starts_with("valid\n"));

    let next_text = admin.token(&["rotate", &id(&text)]);
    assert_eq!(enters(&cloud, &text), 401);
    assert_eq!(enters(&cloud, &next_text), 207);
    admin.run("", &["revoke", &id(&next_text)]);
    assert_eq!(enters(&cloud, &next_text), 401);
    admin.run(&format!("pushed {own_text} to git"), &["leaked"]);
    assert_eq!(enters(&cloud, &own_text), 401);
    admin.run("", &["forget", "--owner", "alice", "--yes"]);
    assert_eq!(cloud.tokens("alice:her secret"), [Value::Null; 0]);
}

#[test]
fn many_tools_at_once_all_succeed() {
    let admin = Admin::over_sqlite();
    let cloud = Cloud::with_alice_and_bob(admin.data.path());
    let issue = ["issue", "--owner", "alice", "--label", "x"];
    let started: Vec<_> = (0..8).map(|_| admin.start("", &issue)).collect();
    for tool in started {
        assert_eq!(enters(&cloud, done(tool).trim()), 207);
    }
    assert_eq!(admin.json(&["list", "--json"]).as_array().unwrap().len(), 8);
}

#[cfg(unix)]
#[test]
fn the_tool_works_beside_two_clouds_over_postgres() {
    use support::postgres::{RUNTIME, Server};

    let Some(server) = Server::shared() else { return };
    let database = RUNTIME.block_on(server.database());
    let store = format!("postgres://postgres@127.0.0.1:{}/{}", server.port(), database.name);
    let admin = Admin { data: tempfile::tempdir().unwrap(), store };
    let start = || {
        let options = ["--user", "alice:her secret", "--store", &admin.store];
        Cloud::start(admin.data.path(), &options)
    };
    let (here, there) = (start(), start());
    let token = admin.token(&["issue", "--owner", "alice", "--label", "From the desk"]);
    assert_eq!((enters(&here, &token), enters(&there, &token)), (207, 207));
    assert!(admin.run(&token, &["verify"]).starts_with("valid\n"));
    let (id, other) = here.create("alice:her secret", r#"{"label": "x"}"#);
    let list = admin.run("", &["list", "--owner", "alice", "--json"]);
    assert!(list.contains(&id) && list.contains("From the desk"), "{list}");
    admin.run("", &["revoke", &id]);
    assert_eq!((enters(&here, &other), enters(&there, &other)), (401, 401));
    admin.run(&format!("pushed {token} to git"), &["leaked"]);
    assert_eq!((enters(&here, &token), enters(&there, &token)), (401, 401));
}
