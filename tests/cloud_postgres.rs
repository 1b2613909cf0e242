//! Two `cloud` processes and the operator's tool over one PostgreSQL database, from outside: they behave as one.
#![cfg(unix)]

#[path = "common/cloud.rs"]
mod cloud;
#[path = "common/postgres.rs"]
mod server;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;

use cloud::{Cloud, basic, bearer, example};
use serde_json::Value;
use server::{Database, RUNTIME, Server};
use tempfile::TempDir;

const ALICE: &str = "alice:her secret";
const POLICY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/cloud/policy.toml");

/// A database, and the folder with the key that both hosts have.
struct Shared<'s> {
    database: Database<'s>,
    data: TempDir,
}

impl Shared<'_> {
    fn on(server: &Server) -> Shared<'_> {
        let data = tempfile::tempdir().unwrap();
        Shared { database: RUNTIME.block_on(server.database()), data }
    }

    fn store(&self) -> String {
        let Database { server, name } = &self.database;
        format!("postgres://postgres@127.0.0.1:{}/{name}", server.port())
    }

    fn cloud(&self, options: &[&str]) -> Cloud {
        let store = self.store();
        let both = ["--user", ALICE, "--store", &store];
        Cloud::start(self.data.path(), &[&both, options].concat())
    }

    fn admin(&self, input: &str, arguments: &[&str]) -> Output {
        admin(self.data.path(), &self.store(), input, arguments)
    }
}

fn admin(folder: &Path, store: &str, input: &str, arguments: &[&str]) -> Output {
    let mut tool = Command::new(example("admin"));
    let setting = ["--store", store, "--policy", POLICY, "--key-file", "tokens.key"];
    tool.args(setting).args(arguments).current_dir(folder).env("USER", "olga");
    tool.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut tool = tool.spawn().unwrap();
    tool.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    tool.wait_with_output().unwrap()
}

#[track_caller]
fn done(output: Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn enters(cloud: &Cloud, token: &str) -> u16 {
    cloud.dav("PROPFIND", "/dav/", &bearer(token))
}

fn listed(cloud: &Cloud) -> Vec<Value> {
    cloud.api(ALICE, "GET", "/api/tokens", "").json().as_array().unwrap().clone()
}

fn is_waited_for_a_lock(shared: &Shared<'_>) -> bool {
    let waiting = "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    RUNTIME
        .block_on(async { shared.database.raw().await.query_one(waiting, &[]).await })
        .unwrap()
        .get(0)
}

#[test]
fn what_one_host_does_holds_at_the_other_at_once() {
    let Some(server) = Server::shared() else { return };
    let shared = Shared::on(server);
    let (here, there) = (shared.cloud(&[]), shared.cloud(&[]));
    for (one, other) in [(&here, &there), (&there, &here)] {
        for _ in 0..5 {
            let (id, token) = one.create(ALICE, r#"{"label": "x"}"#);
            assert_eq!(enters(other, &token), 207);
            assert_eq!(other.dav("PROPFIND", "/dav/", &basic(&format!("alice:{token}"))), 207);
            assert_eq!(enters(one, &token), 207);
            assert_eq!(other.api(ALICE, "DELETE", &format!("/api/tokens/{id}"), "").status, 204);
            assert_eq!(enters(one, &token), 401);
            assert_eq!(enters(other, &token), 401);
        }
    }
    // Each knows of its own uses only until they are written, and they may be a second apart.
    let [here, there] = [here, there].map(|host| {
        let mut tokens = listed(&host);
        tokens.iter_mut().for_each(|token| drop(token["last_used_at"].take()));
        tokens
    });
    assert_eq!(here, there);
}

#[test]
fn a_limit_holds_across_hosts() {
    let Some(server) = Server::shared() else { return };
    let shared = Shared::on(server);
    let limit = ["--max-per-owner", "7"];
    let hosts = [shared.cloud(&limit), shared.cloud(&limit)];
    let statuses: Vec<u16> = thread::scope(|scope| {
        let create = |number: usize| {
            let wish = format!(r#"{{"label": "{number}"}}"#);
            hosts[number % 2].api(ALICE, "POST", "/api/tokens", &wish).status
        };
        let all: Vec<_> = (0..16).map(|number| scope.spawn(move || create(number))).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let count = |wanted: u16| statuses.iter().filter(|status| **status == wanted).count();
    assert_eq!((count(201), count(409)), (7, 9), "{statuses:?}");
    for host in &hosts {
        assert_eq!(listed(host).len(), 7);
        assert_eq!(host.api(ALICE, "POST", "/api/tokens", r#"{"label": "x"}"#).status, 409);
    }
}

/// A host writes its uses every minute, and when it ends.
#[test]
fn a_use_at_one_host_is_seen_at_the_other_once_it_is_written() {
    let Some(server) = Server::shared() else { return };
    let shared = Shared::on(server);
    let (here, there) = (shared.cloud(&[]), shared.cloud(&[]));
    let (_, token) = here.create(ALICE, r#"{"label": "x"}"#);
    assert_eq!(enters(&there, &token), 207);
    assert!(listed(&there)[0]["last_used_at"].is_string(), "its own it knows at once");
    there.terminate();
    assert!(listed(&here)[0]["last_used_at"].is_string());
}

/// The look at the one that stays, and the end of the others, are two acts: what came between them is said.
#[test]
fn whoever_ends_all_others_hears_if_the_new_form_of_the_one_that_stays_was_among_them() {
    let Some(server) = Server::shared() else { return };
    let shared = Shared::on(server);
    let host = shared.cloud(&[]);
    let (kept, _) = host.create(ALICE, r#"{"label": "kept"}"#);
    host.create(ALICE, r#"{"label": "other"}"#);
    let end_others = || {
        let path = format!("/api/tokens?except={kept}");
        host.api(ALICE, "DELETE", &path, "").json()
    };
    let raw = RUNTIME.block_on(shared.database.raw());
    let run = |sql| RUNTIME.block_on(raw.batch_execute(sql)).unwrap();
    run("BEGIN; SELECT FROM app_tokens WHERE label = 'other' FOR UPDATE");
    let said = thread::scope(|scope| {
        let ending = scope.spawn(end_others);
        while !is_waited_for_a_lock(&shared) {
            thread::yield_now();
        }
        let rotated = host.api(ALICE, "POST", &format!("/api/tokens/{kept}/rotate"), "{}");
        assert_eq!(rotated.status, 201);
        run("COMMIT");
        ending.join().unwrap()
    });
    assert_eq!(said, serde_json::json!({ "revoked": 2, "kept": null }));
    assert!(listed(&host).iter().all(|token| token["status"] != "active"));

    let (kept, token) = host.create(ALICE, r#"{"label": "kept"}"#);
    let path = format!("/api/tokens?except={kept}");
    let said = host.api(ALICE, "DELETE", &path, "").json();
    assert_eq!(said, serde_json::json!({ "revoked": 1, "kept": kept }), "the one that was rotated");
    assert_eq!(enters(&host, &token), 207);
}

#[test]
fn the_operators_tool_works_beside_both() {
    let Some(server) = Server::shared() else { return };
    let shared = Shared::on(server);
    let (here, there) = (shared.cloud(&[]), shared.cloud(&[]));
    let wish = ["issue", "--owner", "alice", "--label", "From the desk"];
    let token = done(shared.admin("", &wish)).trim_end().to_owned();
    assert_eq!((enters(&here, &token), enters(&there, &token)), (207, 207));
    assert!(done(shared.admin(&token, &["verify"])).starts_with("good\n"));
    let (id, other) = here.create(ALICE, r#"{"label": "x"}"#);
    let list = done(shared.admin("", &["list", "--owner", "alice", "--json"]));
    assert!(list.contains(&id) && list.contains("From the desk"), "{list}");
    done(shared.admin("", &["revoke", &id]));
    assert_eq!((enters(&here, &other), enters(&there, &other)), (401, 401));
    done(shared.admin(&format!("pushed {token} to git"), &["leaked"]));
    assert_eq!((enters(&here, &token), enters(&there, &token)), (401, 401));
}

#[test]
fn the_operators_tool_makes_no_tables_and_says_how_they_are_made() {
    let Some(server) = Server::shared() else { return };
    let shared = Shared::on(server);
    let raw = RUNTIME.block_on(shared.database.raw());
    drop(app_tokens::KeyRing::load_or_create(shared.data.path().join("tokens.key")).unwrap());
    let refused = shared.admin("", &["list"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let why = String::from_utf8(refused.stderr).unwrap();
    assert!(
        why.contains("no table app_tokens")
            && why.contains("`admin schema postgres --table app_tokens | psql")
    );
    let tables = "SELECT count(*) FROM pg_class WHERE relname LIKE 'app_tokens%'";
    let count = RUNTIME.block_on(raw.query_one(tables, &[])).unwrap();
    assert_eq!(count.get::<_, i64>(0), 0);

    let schema = done(shared.admin("", &["schema", "postgres"]));
    RUNTIME.block_on(raw.batch_execute(&schema)).unwrap();
    let wish = ["issue", "--owner", "alice", "--label", "x"];
    let token = done(shared.admin("", &wish));
    assert_eq!(enters(&shared.cloud(&[]), token.trim_end()), 207);
}

#[test]
fn the_operators_tool_works_in_the_tables_that_it_is_told() {
    let Some(server) = Server::shared() else { return };
    let shared = Shared::on(server);
    let raw = RUNTIME.block_on(shared.database.raw());
    drop(app_tokens::KeyRing::load_or_create(shared.data.path().join("tokens.key")).unwrap());
    let table = ["--table", "auth.passwords"];
    let admin = |act: &[&str]| shared.admin("", &[&table, act].concat());
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
fn without_its_database_a_host_answers_503_and_goes_on_when_it_is_back() {
    let Some(server) = Server::start() else { return };
    let shared = Shared::on(&server);
    let host = shared.cloud(&[]);
    let (id, token) = host.create(ALICE, r#"{"label": "x"}"#);
    for _ in 0..2 {
        server.down();
        assert_eq!(enters(&host, &token), 503, "clients keep their token");
        let revoke = || host.api(ALICE, "DELETE", &format!("/api/tokens/{id}"), "").status;
        assert_eq!(revoke(), 503);
        server.up();
        assert_eq!(enters(&host, &token), 207);
    }
    host.terminate();
}
