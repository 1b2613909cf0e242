//! A host's folder and its store, in SQLite or PostgreSQL.

use std::cell::Cell;
use std::env;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use app_tokens::error::AuthError;
use app_tokens::event::Event;
use app_tokens::import::{Import, Pbkdf2, Plain};
use app_tokens::store::DynStore;
use app_tokens::{
    Access, KeyRing, NewToken, Operator, Origin, Owner, Policy, Reason, Requirement, Reuse,
    TokenAuthority, TokenId,
};
use serde_json::{Value, json};
use shared::store_choice::StoreChoice;
use support::postgres::{RUNTIME, Server};
use tempfile::TempDir;

pub struct Site<'s> {
    folder: TempDir,
    store: String,
    server: Option<(&'s Server, String)>,
    has_log: Cell<bool>,
}

/// What a program that ended left.
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
}

impl<'s> Site<'s> {
    pub fn in_sqlite() -> Site<'s> {
        Site::over("sqlite:tokens.db".into(), None)
    }

    pub fn in_postgres(server: &'s Server, database: &str) -> Site<'s> {
        let store = format!("postgres://postgres@127.0.0.1:{}/{database}", server.port());
        Site::over(store, Some((server, database.to_owned())))
    }

    fn over(store: String, server: Option<(&'s Server, String)>) -> Site<'s> {
        let folder = tempfile::tempdir().unwrap();
        let site = Site { folder, store, server, has_log: Cell::new(false) };
        let scopes = "[scopes]\n'files:read' = []\n'files:write' = ['files:read']\n";
        let policy = "prefix = 'acme'\nopen_import = true\nnever_expiring = true\n";
        fs::write(site.path("policy.toml"), format!("{policy}{scopes}")).unwrap();
        site.write_program();
        let keys = [KeyRing::new_text().unwrap(), KeyRing::new_import_text().unwrap()];
        site.write_keys(&keys.join(","));
        // The host makes the tables.
        drop(site.tokens());
        site
    }

    pub fn is_sqlite(&self) -> bool {
        self.server.is_none()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn keys(&self) -> String {
        fs::read_to_string(self.path("keys")).unwrap().trim().to_owned()
    }

    pub fn write_keys(&self, ring: &str) {
        fs::write(self.path("keys"), format!("{ring}\n")).unwrap();
        fs::set_permissions(self.path("keys"), fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Changes the active key, and returns the entry of the old one, which is out of the ring.
    pub fn change_key(&self) -> String {
        let (new, old) = (KeyRing::new_text().unwrap(), self.keys());
        let (entry, rest) = old.split_once(',').unwrap();
        self.write_keys(&format!("{new},{old}"));
        self.admin(&["reseal"]).done();
        self.write_keys(&format!("{new},{rest}"));
        entry.to_owned()
    }

    // -- programs

    /// Writes the program that `admin` stands for in the document.
    fn write_program(&self) {
        let (program, store) = (env!("CARGO_BIN_EXE_admin"), &self.store);
        let setting = "--policy policy.toml --key-file keys --audit audit.log";
        let script = format!("#!/bin/sh\nexec '{program}' --store '{store}' {setting} \"$@\"\n");
        fs::write(self.path("admin"), script).unwrap();
        fs::set_permissions(self.path("admin"), fs::Permissions::from_mode(0o700)).unwrap();
    }

    /// Puts this site's database in the place of the document's.
    pub fn adapted(&self, command: &str) -> String {
        match &self.server {
            Some((_, database)) => {
                let command = command.replace("--dbname=app", &format!("--dbname={database}"));
                command
                    .strip_suffix(" app")
                    .map_or(command.clone(), |to| format!("{to} {database}"))
            }
            None => command.to_owned(),
        }
    }

    /// Runs a line of the shell.
    pub fn shell(&self, line: &str, input: &str) -> Ran {
        let mut shell = Command::new("sh");
        shell.args(["-c", line]);
        let mut path = format!("{}:{}", self.folder.path().display(), env::var("PATH").unwrap());
        if let Some((server, _)) = &self.server {
            path = format!("{}:{path}", server.programs().display());
            shell.env("PGHOST", "127.0.0.1").env("PGPORT", server.port().to_string());
            shell.env("PGUSER", "postgres");
        }
        shell.env("PATH", path);
        self.run_in_folder(shell, input)
    }

    /// Runs a line of the shell, which must succeed.
    #[track_caller]
    pub fn run(&self, line: &str, input: &str) -> String {
        self.shell(line, input).done()
    }

    pub fn admin(&self, arguments: &[&str]) -> Ran {
        self.admin_reading(arguments, "")
    }

    pub fn admin_reading(&self, arguments: &[&str], input: &str) -> Ran {
        let mut tool = Command::new(env!("CARGO_BIN_EXE_admin"));
        tool.args(["--store", &self.store, "--policy", "policy.toml", "--key-file", "keys"]);
        if self.has_log.get() {
            tool.args(["--audit", "audit.log"]);
        }
        tool.args(arguments);
        self.run_in_folder(tool, input)
    }

    fn run_in_folder(&self, mut command: Command, input: &str) -> Ran {
        command.current_dir(self.folder.path()).env("USER", "olga").env_remove("LOGNAME");
        command.env_remove("APP_TOKENS_KEYS").env_remove("APP_TOKENS_STORE");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        // It may end before it has read everything.
        let _hung_up = process.stdin.take().unwrap().write_all(input.as_bytes());
        let output = process.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    // -- the log

    /// From now on, tool and host write what they do.
    pub fn keeps_its_log(&self) {
        self.has_log.set(true);
    }

    /// Returns the lines of a file of the log's form.
    pub fn events(&self, file: &str) -> Vec<Value> {
        let log = fs::read_to_string(self.path(file)).unwrap();
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    // -- the host

    /// Starts a process of the host's, which writes to the same log.
    fn tokens(&self) -> TokenAuthority<DynStore> {
        let store = match self.store.strip_prefix("sqlite:") {
            Some(name) => format!("sqlite:{}", self.path(name).display()),
            None => self.store.clone(),
        };
        let store = RUNTIME.block_on(store.parse::<StoreChoice>().unwrap().open()).unwrap();
        let ring = KeyRing::load(self.path("keys")).unwrap();
        let policy = Policy::new("acme").unwrap().with_open_import();
        let policy = policy.with_reuse(Reuse::RevokeFamily);
        let log = self.has_log.get().then(|| self.path("audit.log"));
        // A subscriber of `tracing` is one for the whole process, which has two sites.
        let write = move |event: &Event<'_>| {
            let line = match event {
                Event::Revoked { filter, .. } => json!({
                    "event": event.name(),
                    "id": filter.id,
                    "owner": filter.owner,
                    "family": filter.family,
                    "except_family": filter.except_family,
                }),
                Event::Changed { token, change, .. } => json!({
                    "event": event.name(),
                    "id": token.id().to_string(),
                    "change": change.as_str(),
                }),
                _ => return,
            };
            let Some(log) = &log else { return };
            let mut log = OpenOptions::new().append(true).create(true).open(log).unwrap();
            writeln!(log, "{line}").unwrap();
        };
        TokenAuthority::builder(store, ring, policy).observer(write).build()
    }

    pub fn issue(&self, owner: &str, label: &str) -> (String, String) {
        let tokens = self.tokens();
        let new = NewToken::new(owner, label, Access::full());
        let issued = RUNTIME.block_on(tokens.issue(new)).unwrap();
        (issued.id().to_string(), issued.expose_secret().to_owned())
    }

    pub fn issue_under(&self, parent: &str, owner: &str) -> (String, String) {
        let tokens = self.tokens();
        let issued = RUNTIME.block_on(async {
            let good = tokens.authenticate(parent).await.unwrap();
            let caller = good.require(Requirement::ANY_VALID_TOKEN).unwrap();
            let new = NewToken::new(owner, "under", caller.access().clone());
            tokens.issue_under(&caller, new).await.unwrap()
        });
        (issued.id().to_string(), issued.expose_secret().to_owned())
    }

    /// Rotates a token by the tool, and returns the new one.
    pub fn rotate(&self, id: &str, overlap: &str) -> (String, String) {
        let text = self.admin(&["rotate", id, "--overlap", overlap]).done().trim().to_owned();
        let token = app_tokens::token::Token::parse_any_prefix(&text).unwrap();
        (token.id().to_string(), text)
    }

    pub fn end_overlap(&self, id: &str) {
        let (tokens, id) = (self.tokens(), id.parse::<TokenId>().unwrap());
        let who = Operator::new("host").unwrap();
        assert_eq!(RUNTIME.block_on(tokens.end_overlap(&who, id)).unwrap(), 1);
    }

    /// Revokes all tokens of their owner but this one, as that owner does.
    pub fn revoke_others(&self, owner: &str, kept: &str) {
        let (tokens, kept) = (self.tokens(), kept.parse::<TokenId>().unwrap());
        let revoked = tokens.revoke_others(Owner::new(owner).unwrap(), kept, Reason::REQUESTED);
        assert!(RUNTIME.block_on(revoked).unwrap() > 0);
    }

    pub fn is_good(&self, text: &str) -> bool {
        self.refusal(text).is_none()
    }

    /// Returns why a token is not let in.
    pub fn refusal(&self, text: &str) -> Option<String> {
        let tokens = self.tokens();
        RUNTIME.block_on(tokens.authenticate(text)).err().map(|error| format!("{error:?}"))
    }

    /// Presents a text of another system with a user name. `false` is a denial, and no failure.
    pub fn is_let_in(&self, owner: &str, text: &str) -> bool {
        let tokens = self.tokens();
        let import = Import::new().scheme(Plain::of_unknown_strength()).scheme(Pbkdf2::by_owner());
        let owner = Owner::new(owner).unwrap();
        let entered = tokens.authenticate_with(&import, Some(&owner), text, Origin::unknown());
        match RUNTIME.block_on(entered) {
            Ok(entered) => {
                let caller = entered.require(Requirement::ANY_VALID_TOKEN).unwrap();
                assert_eq!(*caller.owner(), owner);
                true
            }
            Err(AuthError::Denied(_) | AuthError::NotOurs(_)) => false,
            Err(failed) => panic!("{failed:?}"),
        }
    }

    /// Returns the only token of an owner with this label.
    #[track_caller]
    pub fn id_of(&self, owner: &str, label: &str) -> String {
        let listed = self.admin(&["list", "--owner", owner, "--json"]).done();
        let listed: Vec<Value> = serde_json::from_str(&listed).unwrap();
        let ids: Vec<_> = listed.iter().filter(|token| token["label"] == label).collect();
        assert_eq!(ids.len(), 1, "{label} of {owner}: {listed:?}");
        ids[0]["id"].as_str().unwrap().to_owned()
    }

    /// Checks that the rows fit ring and realm. The tests' server runs without fsync, which is a
    /// finding of `check`, too.
    #[track_caller]
    pub fn assert_rows_are_sound(&self) {
        let tokens = self.tokens();
        let report = RUNTIME.block_on(tokens.check()).unwrap();
        let wrong = [report.under_missing_keys.len(), report.tampered.len(), report.damaged.len()];
        assert_eq!(wrong, [0; 3], "{report}");
    }

    pub fn show(&self, id: &str) -> Value {
        serde_json::from_str(&self.admin(&["--json", "show", id]).done()).unwrap()
    }

    pub fn end_of(&self, id: &str) -> String {
        self.show(id)["expires_at"].as_str().unwrap().to_owned()
    }

    // -- an attacker who can write rows

    /// Returns the statement that makes a row as it is now.
    pub fn row(&self, id: &str) -> String {
        let id = id.parse::<TokenId>().unwrap().as_u64();
        let names = "owner, label, family, created_at, expires_at, key_id, revision";
        let hex = if self.is_sqlite() { ["hex(digest)", "hex(seal)"] } else { HEX };
        let quoted = "quote_literal(owner), quote_literal(label)";
        let texts = if self.is_sqlite() { "quote(owner), quote(label)" } else { quoted };
        let select = format!(
            "SELECT {texts}, family, created_at, expires_at, key_id, revision, {}, {} \
             FROM app_tokens WHERE id = {id}",
            hex[0], hex[1]
        );
        let found = self.sql(&select);
        let mut values: Vec<&str> = found.trim().split('|').collect();
        let (seal, digest) = (values.pop().unwrap(), values.pop().unwrap());
        let bytes = |hex: &str| match self.is_sqlite() {
            true => format!("x'{hex}'"),
            false => format!("'\\x{hex}'"),
        };
        format!(
            "DELETE FROM app_tokens WHERE id = {id}; \
             INSERT INTO app_tokens (id, {names}, digest, seal) VALUES ({id}, {}, {}, {});",
            values.join(", "),
            bytes(digest),
            bytes(seal)
        )
    }

    pub fn put_row_back(&self, statement: &str) {
        self.sql(statement);
    }

    fn sql(&self, statement: &str) -> String {
        match &self.server {
            None => self.run("sqlite3 -bail tokens.db", statement),
            Some((_, database)) => {
                self.run(&format!("psql -qAt -v ON_ERROR_STOP=1 {database}"), statement)
            }
        }
    }
}

const HEX: [&str; 2] = ["encode(digest, 'hex')", "encode(seal, 'hex')"];
