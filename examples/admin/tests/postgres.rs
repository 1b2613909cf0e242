//! The operator's tool over PostgreSQL, from outside: it makes no tables, and works in the ones it
//! is given.
#![cfg(unix)]

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use app_tokens::store::{PostgresStore, SqliteStore};
use app_tokens::{KeyRing, Policy, Requirement, TokenAuthority};
use support::postgres::{Database, RUNTIME, Server};
use tempfile::TempDir;

/// A database without tables, and a folder with the host's policy and keys.
struct Host<'s> {
    database: Database<'s>,
    folder: TempDir,
}

impl Host<'_> {
    fn on(server: &Server) -> Host<'_> {
        let folder = tempfile::tempdir().unwrap();
        drop(KeyRing::load_or_create(folder.path().join("keys")).unwrap());
        std::fs::write(folder.path().join("policy.toml"), "prefix = 'acme'\n").unwrap();
        Host { database: RUNTIME.block_on(server.database()), folder }
    }

    fn admin(&self, arguments: &[&str]) -> Output {
        let Database { server, name } = &self.database;
        let store = format!("postgres://postgres@127.0.0.1:{}/{name}", server.port());
        self.admin_over(&store, "", arguments)
    }

    fn admin_over(&self, store: &str, input: &str, arguments: &[&str]) -> Output {
        let mut tool = Command::new(env!("CARGO_BIN_EXE_admin"));
        tool.args(["--store", store, "--policy", "policy.toml", "--key-file", "keys"]);
        tool.args(arguments).current_dir(self.folder.path()).env("USER", "olga");
        tool.env_remove("LOGNAME").env_remove("APP_TOKENS_KEYS").env_remove("APP_TOKENS_STORE");
        tool.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut tool = tool.spawn().unwrap();
        _ = tool.stdin.take().unwrap().write_all(input.as_bytes()); // ignored: few commands read it
        tool.wait_with_output().unwrap()
    }
}

#[track_caller]
fn done(output: Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_tool_makes_no_tables_and_says_how_they_are_made() {
    let Some(server) = Server::shared() else { return };
    let host = Host::on(server);
    let raw = RUNTIME.block_on(host.database.raw());
    let refused = host.admin(&["list"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let why = String::from_utf8(refused.stderr).unwrap();
    assert!(
        why.contains("no table app_tokens")
            && why.contains("`admin schema postgres --table app_tokens | psql")
    );
    let tables = "SELECT count(*) FROM pg_class WHERE relname LIKE 'app_tokens%'";
    let count = RUNTIME.block_on(raw.query_one(tables, &[])).unwrap();
    assert_eq!(count.get::<_, i64>(0), 0);

    let schema = done(host.admin(&["schema", "postgres"]));
    RUNTIME.block_on(raw.batch_execute(&schema)).unwrap();
    let token = done(host.admin(&["issue", "--owner", "alice", "--label", "x"]));
    let ring = KeyRing::load(host.folder.path().join("keys")).unwrap();
    let store = PostgresStore::new(host.database.pool());
    let tokens = TokenAuthority::new(store, ring, Policy::new("acme").unwrap());
    let good = RUNTIME.block_on(tokens.authenticate(token.trim_end())).unwrap();
    assert!(good.require(Requirement::ANY_VALID_TOKEN).is_ok());
}

#[test]
fn the_tool_works_in_the_tables_it_is_given() {
    let Some(server) = Server::shared() else { return };
    let host = Host::on(server);
    let raw = RUNTIME.block_on(host.database.raw());
    let table = ["--table", "auth.passwords"];
    let admin = |act: &[&str]| host.admin(&[&table, act].concat());
    let refused = String::from_utf8(admin(&["list"]).stderr).unwrap();
    assert!(refused.contains("no table auth.passwords"), "{refused}");
    RUNTIME.block_on(raw.batch_execute("CREATE SCHEMA auth")).unwrap();
    RUNTIME.block_on(raw.batch_execute(&done(admin(&["schema", "postgres"])))).unwrap();
    done(admin(&["issue", "--owner", "alice", "--label", "x"]));
    assert!(done(admin(&["list"])).contains("alice"));
    let rows = RUNTIME.block_on(raw.query_one("SELECT count(*) FROM auth.passwords", &[])).unwrap();
    assert_eq!(rows.get::<_, i64>(0), 1);
    assert!(RUNTIME.block_on(raw.query_one("SELECT FROM app_tokens", &[])).is_err());
}

#[test]
fn the_tokens_of_a_host_move_from_sqlite_to_postgresql_and_it_keeps_its_keys() {
    let Some(server) = Server::shared() else { return };
    let host = Host::on(server);
    let raw = RUNTIME.block_on(host.database.raw());
    RUNTIME.block_on(raw.batch_execute(&done(host.admin(&["schema", "postgres"])))).unwrap();
    drop(SqliteStore::open(host.folder.path().join("tokens.db")).unwrap());
    let on_sqlite = |arguments: &[&str]| done(host.admin_over("sqlite:tokens.db", "", arguments));
    let issue = || on_sqlite(&["issue", "--owner", "alice", "--label", "x"]);
    let (good, revoked) = (issue(), issue());
    let id = app_tokens::token::Token::parse_any_prefix(revoked.trim_end()).unwrap().id();
    on_sqlite(&["revoke", &id.to_string()]);
    let key = on_sqlite(&["export", "tokens.transfer"]);

    let store = format!("postgres://postgres@127.0.0.1:{}/{}", server.port(), host.database.name);
    let on_postgres = |input: &str, arguments: &[&str]| host.admin_over(&store, input, arguments);
    let import = ["import", "app-tokens", "tokens.transfer"];
    let said = done(on_postgres(&key, &import));
    assert_eq!(said, "took in 1 tokens and 1 revoked ones; 0 were here already\n");
    let said = done(on_postgres(&key, &import));
    assert_eq!(said, "took in 0 tokens and 0 revoked ones; 2 were here already\n");
    assert_eq!(on_postgres(&good, &["verify"]).status.code(), Some(0));
    assert_eq!(on_postgres(&revoked, &["verify"]).status.code(), Some(5));
}
