//! What was answered is still there after a crash.
//!
//! A child process issues, rotates, revokes and reseals on several threads, and reports each answer
//! on a pipe. It is killed at a random moment, and the store must hold all that it reported. On
//! PostgreSQL, the server is also stopped in the middle.
//!
//! `ROUNDS=500 cargo test --test crash` runs more than the usual 20 rounds.

mod common;
#[path = "crash/worker.rs"]
mod worker;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::env;
use std::io::{self, BufRead, BufReader, Read};
use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use app_tokens::access::Selection;
use app_tokens::error::AuthError;
use app_tokens::record::{LastUse, Revocation, Status};
use app_tokens::store::{
    Filter, Insert, Inserted, Page, PostgresStore, Purge, Replace, Replaced, Row, RuntimeFree,
    SqliteStore, SqliteTransaction, StoreError, Supersede, Superseded, TokenStore,
};
use app_tokens::token::Token;
use app_tokens::{Origin, Requirement, Timestamp, TokenAuthority, TokenId};
use common::ready;
use rusqlite::Connection;
use support::chance::Chance;
use support::postgres::{Blocked, RUNTIME, Server, pool_to};
use worker::{AWAY, HOME, Mark, Voice, attributes, authority, forget, work};

const ROUNDS: u64 = 20;

// -- what must hold

/// What was reported last about each token.
#[derive(Default)]
struct Said {
    marks: BTreeMap<String, Mark>,
    complaints: Vec<String>,
}

impl Said {
    /// Reads a line. A line that was cut off when the process ended is ignored.
    fn hear(&mut self, line: &str) {
        let Some(line) = line.strip_suffix('\n') else {
            return;
        };
        match Mark::read(line) {
            Some((mark, text)) => _ = self.marks.insert(text.to_owned(), mark),
            None => self.complaints.extend(line.strip_prefix('!').map(str::to_owned)),
        }
    }

    /// Returns what is wrong in a store after a crash.
    fn faults<S: RuntimeFree + Clone>(&self, store: &S) -> Vec<String> {
        let tokens = authority(store);
        let (rows, mut faults) = sound_rows(&tokens);
        let lives = living(&rows);
        let family = |text: &str| {
            let id = Token::parse_any_prefix(text).unwrap().id();
            rows.get(&id).map(|row| row.family)
        };
        let overlapping: HashSet<_> = (self.marks.iter())
            .filter(|(_, mark)| **mark == Mark::Overlapping)
            .map(|(text, _)| family(text))
            .collect();
        for (text, mark) in &self.marks {
            let id = Token::parse_any_prefix(text).unwrap().id();
            let enter = |from: IpAddr| match tokens
                .block_on(tokens.authenticate_from(text, Origin::from(from)))
            {
                Ok(found) => Ok(found.require(Requirement::ANY_VALID_TOKEN).is_ok()),
                Err(AuthError::Denied(_)) => Ok(false),
                Err(error) => Err(format!("{id} was {mark:?} and can't be told: {error}")),
            };
            let (is_good, is_good_away) = match (enter(HOME), enter(AWAY)) {
                (Ok(at_home), Ok(away)) => (at_home, away),
                (Err(fault), _) | (_, Err(fault)) => {
                    faults.push(fault);
                    continue;
                }
            };
            let family = family(text);
            let ways_in = family.and_then(|family| lives.get(&family)).copied().unwrap_or(0);
            let most = if overlapping.contains(&family) { 2 } else { 1 };
            let holds = match mark {
                Mark::Good => is_good && ways_in == 1,
                Mark::AtHome => is_good && !is_good_away && ways_in == 1,
                Mark::Dead => !is_good && ways_in <= most,
                Mark::Rotating => ways_in == 1,
                Mark::Overlapping => (1..=most).contains(&ways_in),
                Mark::Ending => true,
            };
            if !holds {
                faults.push(format!(
                    "{id} was {mark:?}, is good: {is_good}, elsewhere: {is_good_away}, \
                     ways in: {ways_in}"
                ));
            }
        }
        faults
    }
}

struct Known {
    family: TokenId,
    is_active: bool,
}

/// Returns every row of the store by its id, and the rows that are half written.
fn sound_rows<S: RuntimeFree + Clone>(
    tokens: &TokenAuthority<S>,
) -> (HashMap<TokenId, Known>, Vec<String>) {
    let (mut rows, mut faults) = (HashMap::new(), Vec::new());
    let mut page = Page::first(500);
    loop {
        let listed = tokens.block_on(tokens.list(&Filter::every_token(), page)).unwrap();
        faults.extend(listed.damaged.iter().map(|id| format!("the row of {id} is damaged")));
        for token in &listed.tokens {
            let status = token.status();
            if !matches!(status, Some(Status::Active | Status::Revoked | Status::Superseded)) {
                faults.push(format!("{} is {status:?}", token.id()));
            }
            let is_bound = *token.access().granted_networks() != Selection::All;
            if *token.attributes() != attributes() || !is_bound {
                faults.push(format!("{} lost attributes or networks", token.id()));
            }
            let is_active = status == Some(Status::Active);
            rows.insert(token.id(), Known { family: token.family(), is_active });
        }
        page.after = listed.next;
        if listed.next.is_none() {
            return (rows, faults);
        }
    }
}

/// Returns how many tokens are active in each family.
fn living(rows: &HashMap<TokenId, Known>) -> HashMap<TokenId, usize> {
    let mut lives = HashMap::new();
    for row in rows.values().filter(|row| row.is_active) {
        *lives.entry(row.family).or_insert(0) += 1;
    }
    lives
}

// -- crashes

/// Causes crash after crash, each after a random number of reports, and checks the store after
/// each.
fn crashes<S: RuntimeFree + Clone>(rounds: u64, mut crash: impl FnMut(u64, usize) -> (Said, S)) {
    let (mut chance, mut marks) = (Chance(1), [0; Mark::ALL.len()]);
    for round in 0..rounds {
        let (said, store) = crash(round, 10 + chance.place(500));
        assert_eq!(said.faults(&store), Vec::<String>::new(), "round {round}");
        forget(&store, round);
        for mark in said.marks.values() {
            Mark::ALL
                .iter()
                .zip(&mut marks)
                .filter(|(known, _)| *known == mark)
                .for_each(|(_, n)| *n += 1);
        }
    }
    println!("{rounds} rounds; good, at home, dead, rotating, overlapping, ending: {marks:?}");
    assert!(marks.iter().all(|count| *count > 0), "every mark was seen: {marks:?}");
}

fn rounds() -> u64 {
    env::var("ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap())
}

/// Reads all reports; after a given number of them, it ends the process.
fn hear_out(out: impl Read, after: usize, mut end: impl FnMut()) -> Said {
    let (mut said, mut words) = (Said::default(), 0);
    let (mut out, mut line) = (BufReader::new(out), String::new());
    while out.read_line(&mut line).unwrap() > 0 {
        said.hear(&line);
        line.clear();
        words += 1;
        if words == after {
            end();
        }
    }
    assert!(words >= after, "it ended by itself: {:?}", said.complaints);
    said
}

const CHILD: &str = "APP_TOKENS_TEST_CHILD";

/// Runs a test again as a child process, and kills it after a given number of reports.
fn kill_child(test: &str, place: &str, round: u64, after: usize) -> Said {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, format!("{round} {place}"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = hear_out(child.stdout.take().unwrap(), after, || child.kill().unwrap());
    assert!(!child.wait().unwrap().success(), "it was not killed");
    assert_eq!(said.complaints, Vec::<String>::new(), "round {round}");
    said
}

/// In the child, returns where the store is, and the round.
fn as_child() -> Option<(String, u64)> {
    let told = env::var(CHILD).ok()?;
    let (round, place) = told.split_once(' ').unwrap();
    Some((place.into(), round.parse().unwrap()))
}

#[track_caller]
fn assert_sound(path: &Path) {
    let check = "SELECT group_concat(integrity_check) FROM pragma_integrity_check";
    let found: String =
        Connection::open(path).unwrap().query_row(check, [], |row| row.get(0)).unwrap();
    assert_eq!(found, "ok");
}

#[test]
fn what_a_killed_process_reported_is_stored_in_sqlite() {
    if let Some((path, round)) = as_child() {
        work(&SqliteStore::open(path).unwrap(), round, &Voice(Mutex::new(io::stdout())));
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    crashes(rounds(), |round, after| {
        let test = "what_a_killed_process_reported_is_stored_in_sqlite";
        let said = kill_child(test, path.to_str().unwrap(), round, after);
        // The first to open the file recovers what was committed, as the next child would.
        let store = SqliteStore::open(&path).unwrap();
        assert_sound(&path);
        (said, store)
    });
}

#[test]
fn what_a_killed_process_reported_is_stored_in_postgres() {
    if let Some((url, round)) = as_child() {
        let store = Blocked(PostgresStore::new(pool_to(url.parse().unwrap())));
        work(&store, round, &Voice(Mutex::new(io::stdout())));
        return;
    }
    let Some(server) = Server::shared() else { return };
    let database = RUNTIME.block_on(server.database());
    let store = Blocked(RUNTIME.block_on(database.store()));
    let url = format!("postgres://postgres@127.0.0.1:{}/{}", server.port(), database.name);
    crashes(rounds(), |round, after| {
        let said =
            kill_child("what_a_killed_process_reported_is_stored_in_postgres", &url, round, after);
        // The server finishes what it has received.
        RUNTIME.block_on(database.is_quiet());
        (said, store.clone())
    });
}

/// Uses a store until its server crashes after a given number of reports, and starts the server
/// again.
fn crash_server(server: &Server, store: &Blocked<PostgresStore>, round: u64, after: usize) -> Said {
    let (hear, say) = io::pipe().unwrap();
    let work = || work(store, round, &Voice(Mutex::new(say)));
    let said = thread::scope(|scope| {
        scope.spawn(work);
        hear_out(hear, after, || server.crash())
    });
    let of_the_store = |complaint: &String| complaint.contains("PostgreSQL: ");
    assert!(said.complaints.iter().all(of_the_store), "{:?}", said.complaints);
    server.up();
    said
}

#[test]
fn what_was_reported_before_a_server_crash_is_stored_in_postgres() {
    let Some(server) = Server::start_durable() else { return };
    let database = RUNTIME.block_on(server.database());
    let store = Blocked(RUNTIME.block_on(database.store()));
    crashes(rounds(), |round, after| (crash_server(&server, &store, round, after), store.clone()));
}

// -- that it finds a fault

/// A store that answers before it commits. Every call is right, and other calls see it, but only a
/// commit now and then makes it durable.
#[derive(Clone)]
struct CommitsNowAndThen(Arc<Mutex<(Connection, u32)>>);

impl CommitsNowAndThen {
    const CALLS: u32 = 16;

    fn open(path: &Path) -> CommitsNowAndThen {
        drop(SqliteStore::open(path).unwrap());
        CommitsNowAndThen(Arc::new(Mutex::new((Connection::open(path).unwrap(), 0))))
    }

    fn call<T>(
        &self,
        call: impl FnOnce(&SqliteTransaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let (connection, calls) = &mut *self.0.lock().unwrap();
        if *calls % Self::CALLS == 0 {
            let end = if connection.is_autocommit() { "" } else { "COMMIT;" };
            connection.execute_batch(&format!("{end} BEGIN IMMEDIATE")).unwrap();
        }
        *calls += 1;
        let inner = SqliteTransaction::begin(connection).unwrap();
        let answer = call(&inner)?;
        inner.commit()?;
        Ok(answer)
    }
}

impl RuntimeFree for CommitsNowAndThen {}

impl TokenStore for CommitsNowAndThen {
    async fn insert(&self, insert: &Insert) -> Result<Inserted, StoreError> {
        self.call(|store| ready(store.insert(insert)))
    }
    async fn find(&self, id: TokenId) -> Result<Option<Row>, StoreError> {
        self.call(|store| ready(store.find(id)))
    }
    async fn list(&self, filter: &Filter, page: Page) -> Result<Vec<Row>, StoreError> {
        self.call(|store| ready(store.list(filter, page)))
    }
    async fn supersede(&self, supersede: &Supersede) -> Result<Superseded, StoreError> {
        self.call(|store| ready(store.supersede(supersede)))
    }
    async fn replace(&self, replaces: &[Replace]) -> Result<Vec<Replaced>, StoreError> {
        self.call(|store| ready(store.replace(replaces)))
    }
    async fn revoke(&self, filter: &Filter, revocation: &Revocation) -> Result<u64, StoreError> {
        self.call(|store| ready(store.revoke(filter, revocation)))
    }
    async fn touch(&self, uses: &[(TokenId, LastUse)], now: Timestamp) -> Result<(), StoreError> {
        self.call(|store| ready(store.touch(uses, now)))
    }
    async fn purge(&self, purge: &Purge, limit: u32) -> Result<u64, StoreError> {
        self.call(|store| ready(store.purge(purge, limit)))
    }
}

#[test]
fn the_test_catches_a_store_that_answers_before_it_commits() {
    if let Some((path, round)) = as_child() {
        work(&CommitsNowAndThen::open(path.as_ref()), round, &Voice(Mutex::new(io::stdout())));
        return;
    }
    let mut chance = Chance(2);
    let mut faults = Vec::<String>::new();
    let at_home = "was AtHome, is good: true, elsewhere: true";
    let marks = ["was Good, is good: false", "was Dead, is good: true", at_home];
    for round in 0..10 * ROUNDS {
        let is_found = |mark: &&str| faults.iter().any(|fault| fault.contains(mark));
        if round >= ROUNDS && marks.iter().all(is_found) {
            break;
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.db");
        let test = "the_test_catches_a_store_that_answers_before_it_commits";
        let said = kill_child(test, path.to_str().unwrap(), round, 10 + chance.place(300));
        faults.extend(said.faults(&SqliteStore::open(&path).unwrap()));
    }
    assert!(faults.len() >= 10, "only these were found: {faults:?}");
    for mark in marks {
        assert!(faults.iter().any(|fault| fault.contains(mark)), "none {mark}: {faults:?}");
    }
}

/// The documentation of `PostgresStore` warns of this setting.
#[test]
fn the_test_catches_a_server_that_answers_before_its_log_is_written() {
    let Some(server) = Server::start_durable() else { return };
    let database = RUNTIME.block_on(server.database());
    let careful = Blocked(RUNTIME.block_on(database.store()));
    let mut config = database.config();
    config.options("-c synchronous_commit=off");
    let careless = Blocked(PostgresStore::new(pool_to(config)));
    let mut faults = Vec::new();
    for round in 0..5 {
        faults.extend(crash_server(&server, &careless, round, 300).faults(&careful));
    }
    let is_revived = |fault: &String| fault.contains("was Dead, is good: true");
    assert!(faults.iter().any(is_revived), "no revocation was lost: {faults:?}");
}
