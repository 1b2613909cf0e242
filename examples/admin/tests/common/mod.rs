//! A host's store, keys and policy in a folder, and the operator's tool over them.
#![allow(dead_code, reason = "each test file uses its own part of this")]

pub mod old;

use std::cell::RefCell;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use app_tokens::clock::{Clock, ManualClock, SystemClock};
use app_tokens::store::{Filter, Page, SqliteStore};
use app_tokens::token::Token;
use app_tokens::{
    Access, KeyRing, NewToken, Policy, Requirement, TokenAuthority, TokenId, TokenView,
};
use serde_json::Value;
use tempfile::TempDir;

/// The tool's binary, built with these tests.
const PROGRAM: &str = env!("CARGO_BIN_EXE_admin");

pub const POLICY: &str =
    "prefix = 'acme'\n[scopes]\n'files:read' = []\n'files:write' = ['files:read']\n";

pub const DAY: Duration = Duration::from_secs(86_400);

pub fn phone() -> NewToken {
    NewToken::new("alice", "My phone", Access::full())
}

pub fn phone_that(scopes: &[&str]) -> NewToken {
    NewToken::new("alice", "My phone", Access::scopes(scopes.iter().copied()).unwrap())
}

/// Returns a clock that stands this many days back.
pub fn days_ago(days: u32) -> ManualClock {
    ManualClock::at(SystemClock.now().saturating_sub(days * DAY))
}

#[track_caller]
pub fn ids(listed: &Value) -> Vec<&str> {
    let mut ids: Vec<_> =
        listed.as_array().unwrap().iter().map(|token| token["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids
}

#[track_caller]
pub fn sorted<const N: usize>(ids: [TokenId; N]) -> Vec<String> {
    let mut ids = ids.map(|id| id.to_string()).to_vec();
    ids.sort_unstable();
    ids
}

pub struct Host {
    pub folder: TempDir,
    /// Texts that no output may hold.
    secrets: RefCell<Vec<String>>,
}

impl Host {
    pub fn new() -> Host {
        Host::with_policy("")
    }

    /// Makes a host with more lines in its policy, before the scopes.
    pub fn with_policy(lines: &str) -> Host {
        let host = Host { folder: tempfile::tempdir().unwrap(), secrets: RefCell::default() };
        fs::write(host.path("policy.toml"), format!("{lines}\n{POLICY}")).unwrap();
        drop(SqliteStore::open(host.path("tokens.db")).unwrap());
        drop(KeyRing::load_or_create(host.path("keys")).unwrap());
        host
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns an authority of the host's, which runs while the tool runs beside it.
    pub fn tokens(&self) -> TokenAuthority<SqliteStore> {
        self.tokens_at(SystemClock)
    }

    pub fn tokens_at(&self, clock: impl Clock + 'static) -> TokenAuthority<SqliteStore> {
        let store = SqliteStore::open(self.path("tokens.db")).unwrap();
        let ring = KeyRing::load(self.path("keys")).unwrap();
        TokenAuthority::builder(store, ring, Policy::new("acme").unwrap()).clock(clock).build()
    }

    /// Issues a token as the host.
    #[track_caller]
    pub fn issue(&self, new: NewToken) -> (TokenId, String) {
        self.issue_by(&self.tokens(), new)
    }

    #[track_caller]
    pub fn issue_by(
        &self,
        tokens: &TokenAuthority<SqliteStore>,
        new: NewToken,
    ) -> (TokenId, String) {
        let issued = tokens.block_on(tokens.issue(new)).unwrap();
        self.keep_secret(issued.expose_secret());
        (issued.view().id(), issued.expose_secret().to_owned())
    }

    /// Issues a token under another.
    #[track_caller]
    pub fn issue_under(&self, parent: &str, label: &str) -> TokenId {
        self.issue_under_by(&self.tokens(), parent, label)
    }

    #[track_caller]
    pub fn issue_under_by(
        &self,
        tokens: &TokenAuthority<SqliteStore>,
        parent: &str,
        label: &str,
    ) -> TokenId {
        let good = tokens.block_on(tokens.authenticate(parent)).unwrap();
        let caller = good.require(Requirement::ANY_VALID_TOKEN).unwrap();
        let new = NewToken::new(caller.owner(), label, caller.access().clone());
        tokens.block_on(tokens.issue_under(&caller, new)).unwrap().view().id()
    }

    /// Uses a token, and writes that use at once.
    #[track_caller]
    pub fn use_now(&self, text: &str) {
        let tokens = self.tokens();
        drop(tokens.block_on(tokens.authenticate(text)).unwrap());
        tokens.block_on(tokens.flush_usage()).unwrap();
    }

    /// Adds copies of a row, each a line of its own, which differ only in their ids. They can be
    /// listed, but their seals are wrong.
    #[track_caller]
    pub fn copy_row(&self, id: TokenId, count: usize) {
        let database = rusqlite::Connection::open(self.path("tokens.db")).unwrap();
        let columns =
            "digest, owner, label, created_at, expires_at, key_id, seal, revision, last_used_at";
        let copies = format!(
            "WITH RECURSIVE copy (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM copy WHERE n < ?2)
            INSERT INTO app_tokens (id, family, {columns})
            SELECT n, n, {columns} FROM app_tokens, copy WHERE id = ?1"
        );
        let values = [id.as_u64() as i64, count as i64];
        assert_eq!(database.execute(&copies, values).unwrap(), count);
    }

    pub fn keep_secret(&self, text: &str) {
        self.secrets.borrow_mut().push(text.to_owned());
    }

    #[track_caller]
    pub fn view(&self, id: TokenId) -> TokenView {
        let page =
            self.tokens().block_on(self.tokens().list(&Filter::of_id(id), Page::first(1))).unwrap();
        page.tokens.into_iter().next().unwrap()
    }

    pub fn is_good(&self, text: &str) -> bool {
        self.tokens().block_on(self.tokens().authenticate(text)).is_ok()
    }

    /// Returns every row of the store, to see whether anything changed.
    pub fn rows(&self) -> Vec<String> {
        let page = Page::first(10_000);
        let listed =
            self.tokens().block_on(self.tokens().list(&Filter::every_token(), page)).unwrap();
        listed.tokens.iter().map(|token| format!("{token:?}")).collect()
    }

    /// Runs the tool with store, policy and keys.
    #[track_caller]
    pub fn admin(&self, arguments: &[&str]) -> Ran {
        self.admin_reading("", arguments)
    }

    /// Runs the tool with store, policy and keys, and a text on standard input.
    #[track_caller]
    pub fn admin_reading(&self, input: impl AsRef<[u8]>, arguments: &[&str]) -> Ran {
        let all = ["--store", &self.store(), "--policy", "policy.toml", "--key-file", "keys"];
        self.run(self.command(&[&all, arguments].concat()), input.as_ref())
    }

    /// Runs the tool with the store alone.
    #[track_caller]
    pub fn bare_admin(&self, arguments: &[&str]) -> Ran {
        self.run(self.command(&[&["--store", &self.store()], arguments].concat()), b"")
    }

    pub fn store(&self) -> String {
        format!("sqlite:{}", self.path("tokens.db").display())
    }

    /// Returns a command that runs the tool in the host's folder, as the operator olga.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).current_dir(self.folder.path()).env("USER", "olga");
        command.env_remove("LOGNAME").env_remove("APP_TOKENS_KEYS").env_remove("APP_TOKENS_STORE");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs the tool on a terminal of its own, and types a text there.
    #[track_caller]
    pub fn admin_at_terminal(&self, arguments: &str, typed: &str) -> Ran {
        let line = format!("{PROGRAM} {arguments}");
        let mut command = Command::new("script");
        command.args(["-qec", &line, "/dev/null"]).current_dir(self.folder.path());
        command.env("USER", "olga").env("SHELL", "/bin/sh");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        self.run(command, typed.as_bytes())
    }

    /// Runs a command to its end. It must not panic, nor print a secret that the host knows.
    #[track_caller]
    pub fn run(&self, mut command: Command, input: &[u8]) -> Ran {
        let mut process = command.spawn().unwrap();
        feed(&mut process, input);
        let output = process.wait_with_output().unwrap();
        let ran = Ran {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        };
        assert!(!ran.err.contains("panicked"), "{ran:?}");
        let keys = fs::read_to_string(self.path("keys")).unwrap();
        let keys = keys.trim().split(',').filter_map(|key| key.split_once(':'));
        for (_, key) in keys {
            assert!(!ran.out.contains(key) && !ran.err.contains(key), "{ran:?}");
        }
        for token in self.secrets.borrow().iter() {
            let secret = &token[token.len() - 35..];
            assert!(!ran.out.contains(secret) && !ran.err.contains(secret), "{ran:?}");
        }
        ran
    }

    /// Returns the token that the tool printed.
    #[track_caller]
    pub fn new_token(&self, ran: &Ran) -> (TokenId, String) {
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let text = ran.out.strip_suffix('\n').unwrap().to_owned();
        let token = Token::parse_any_prefix(&text).unwrap();
        assert_eq!(token.expose_secret(), text, "the token alone, as it is written");
        assert!(!ran.err.contains(&text[text.len() - 35..]), "{ran:?}");
        self.keep_secret(&text);
        (token.id(), text)
    }
}

fn feed(process: &mut Child, input: &[u8]) {
    // It may end before it has read everything.
    let _hung_up = process.stdin.take().unwrap().write_all(input);
}

#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ran {
    #[track_caller]
    pub fn done(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }

    /// Checks that it ended with this code, and said why on standard error.
    #[track_caller]
    pub fn exited(self, code: i32, why: &str) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(self.err.contains(why), "{why} is not in {self:?}");
    }

    #[track_caller]
    pub fn json(self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}
