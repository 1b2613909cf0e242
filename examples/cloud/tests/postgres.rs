//! Two `cloud` processes over one PostgreSQL database, from outside: they behave as one.
#![cfg(unix)]

mod common;

use std::thread;

use common::{Cloud, basic, bearer};
use serde_json::Value;
use support::postgres::{Database, RUNTIME, Server};
use tempfile::TempDir;

const ALICE: &str = "alice:her secret";

/// A database, and a folder with the key that both hosts have.
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
}

fn enters(cloud: &Cloud, token: &str) -> u16 {
    cloud.dav("PROPFIND", "/dav/", &bearer(token))
}

fn listed(cloud: &Cloud) -> Vec<Value> {
    cloud.tokens(ALICE)
}

fn is_waited_for_a_lock(shared: &Shared<'_>) -> bool {
    let waiting = "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() \
                   AND wait_event_type = 'Lock'";
    RUNTIME
        .block_on(async { shared.database.raw().await.query_one(waiting, &[]).await })
        .unwrap()
        .get(0)
}

#[test]
fn changes_by_one_host_hold_at_the_other_at_once() {
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
    // Each host knows only its own uses until they are written, and those may be a second apart.
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

/// A host writes its uses every minute, and when it stops.
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

/// Looking at the token that stays, and revoking the others, are two steps. The answer says what
/// happened in between.
#[test]
fn revoking_all_others_spares_the_kept_one_while_it_is_rotated() {
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
    assert_eq!(said["revoked"], 1);
    let is_active = |token: &&Value| token["status"] == "active";
    let listed = listed(&host);
    let active: Vec<_> = listed.iter().filter(is_active).map(|token| &token["id"]).collect();
    assert_eq!(active, [&said["kept"]]);
    assert_ne!(said["kept"], kept.as_str(), "its successor stays");

    let path = format!("/api/tokens/{}", said["kept"].as_str().unwrap());
    assert_eq!(host.api(ALICE, "DELETE", &path, "").status, 204);
    let (kept, token) = host.create(ALICE, r#"{"label": "kept"}"#);
    host.create(ALICE, r#"{"label": "another"}"#);
    let path = format!("/api/tokens?except={kept}");
    let said = host.api(ALICE, "DELETE", &path, "").json();
    assert_eq!(said, serde_json::json!({ "revoked": 1, "kept": kept }), "the one that was rotated");
    assert_eq!(enters(&host, &token), 207);
}

#[test]
fn a_host_without_its_database_answers_503_until_it_is_back() {
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
