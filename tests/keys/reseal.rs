//! A reseal of many rows while hosts authenticate in processes of their own. It is killed several
//! times on the way.

use std::collections::HashMap;
use std::env;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use app_tokens::error::{AuthError, DenialReason, RetireError};
use app_tokens::record::{KeyId, RecordParts};
use app_tokens::report::ResealProgress;
use app_tokens::store::{Filter, MemoryStore, Page, PostgresStore, RuntimeFree, SqliteStore};
use app_tokens::token::Token;
use app_tokens::{Access, KeyRing, NewToken, Reason, Timestamp, TokenAuthority, TokenId};
use support::chance::Chance;
use support::postgres::{Blocked, RUNTIME, Server, copy_new_tokens, pool_to};

use super::common::{any, operator, other_ring, owner, policy, two_keys, two_keys_turned};

/// In a child process: `ROLE COUNT PLACE`, where the place of the store may hold spaces.
const CHILD: &str = "APP_TOKENS_TEST_CHILD";
/// In a child process: the file of all tokens, one a line. A `-` before it means that it is
/// revoked, a `+` that it is good.
const TEXTS: &str = "APP_TOKENS_TEST_TEXTS";
/// What a line of a child begins with. The test harness writes lines of its own.
const MARK: &str = "=> ";

fn key(number: u32) -> KeyId {
    KeyId::new(number).unwrap()
}

fn authority<S: RuntimeFree + Clone>(store: &S, ring: KeyRing) -> TokenAuthority<S> {
    TokenAuthority::new(store.clone(), ring, policy().with_no_limit_per_owner())
}

// -- the children

/// In a child process, does what its role says and returns true.
fn as_child<S: RuntimeFree + Clone>(open: impl FnOnce(&str) -> S) -> bool {
    let Ok(told) = env::var(CHILD) else { return false };
    let (role, place) = told.split_once(' ').unwrap();
    let store = open(place);
    match role {
        "reseal" => reseal(&store),
        "host" => host(&authority(&store, two_keys()), false),
        "turned" => host(&authority(&store, two_keys_turned()), true),
        other => panic!("no role {other}"),
    }
    true
}

fn say(line: &str) {
    let mut out = io::stdout().lock();
    // Written by one call, so that no line of another thread gets between.
    out.write_all(format!("\n{MARK}{line}\n").as_bytes()).and_then(|()| out.flush()).unwrap();
}

/// Reseals, and says how far it is.
///
/// The lines are long, so that the pipe is soon full and the reseal waits for its reader. So it can
/// be killed in the middle, however busy the machine is.
fn reseal<S: RuntimeFree + Clone>(store: &S) {
    let tokens = authority(store, two_keys_turned());
    let tell = |at: ResealProgress| {
        if at.done.is_multiple_of(at.total / 20_000 + 1) {
            say(&format!("{} {} {:100}", at.done, at.total, ""));
        }
    };
    let report = tokens.block_on(tokens.reseal_with_progress(tell)).unwrap();
    assert_eq!((&report.tampered[..], &report.trusted[..]), (&[][..], &[][..]));
    let left: u64 = report.left.iter().map(|(_, rows)| rows).sum();
    say(&format!("moved {} left {left}", report.moved));
}

/// Authenticates tokens by chance, on two threads, until nobody listens any more. A host whose ring
/// is turned already also renames some, which seals them under the new key.
fn host<S: RuntimeFree + Clone>(tokens: &TokenAuthority<S>, renames: bool) {
    let texts = fs::read_to_string(env::var(TEXTS).unwrap()).unwrap();
    let texts: Vec<&str> = texts.lines().collect();
    let (is_over, checks, busy) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            io::stdin().read_to_end(&mut Vec::new()).unwrap();
            is_over.store(true, Ordering::Relaxed);
        });
        for seed in 0..2 {
            let (texts, is_over, checks, busy) = (&texts, &is_over, &checks, &busy);
            scope.spawn(move || {
                let mut chance = Chance(seed);
                while !is_over.load(Ordering::Relaxed) {
                    let (mark, text) = texts[chance.place(texts.len())].split_at(1);
                    check(tokens, mark, text);
                    // These write, so they may find the store busy. That denies nobody.
                    if renames && mark == "+" && chance.one_in(50) {
                        let id = Token::parse_any_prefix(text).unwrap().id();
                        let renamed = tokens.block_on(tokens.rename(&operator("o"), id, "Renamed"));
                        busy.fetch_add(u64::from(renamed.is_err()), Ordering::Relaxed);
                    }
                    if chance.one_in(200) {
                        let flushed = tokens.block_on(tokens.flush_usage());
                        busy.fetch_add(u64::from(flushed.is_err()), Ordering::Relaxed);
                    }
                    if checks.fetch_add(1, Ordering::Relaxed) == 0 {
                        say("in use");
                    }
                }
            });
        }
    });
    tokens.block_on(tokens.flush_usage()).unwrap();
    say(&format!("{} checks, {} writes to do again", checks.into_inner(), busy.into_inner()));
}

#[track_caller]
fn check<S: RuntimeFree + Clone>(tokens: &TokenAuthority<S>, mark: &str, text: &str) {
    let id = Token::parse_any_prefix(text).unwrap().id();
    match (mark, tokens.block_on(tokens.authenticate(text))) {
        ("+", Ok(good)) => assert_eq!(any(good).id(), id),
        ("-", Err(AuthError::Denied(denied))) => assert_eq!(denied.reason(), DenialReason::Revoked),
        (_, other) => panic!("{mark}{id}: {other:?}"),
    }
}

/// A child process, and what it says.
struct Process {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Process {
    fn start(test: &str, role: &str, place: &str, texts: &Path) -> Process {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(CHILD, format!("{role} {place}"))
            .env(TEXTS, texts)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Process { child, out }
    }

    /// Returns the next line of the child's own. It panics if there is none.
    fn hear(&mut self) -> String {
        let mut line = String::new();
        while self.out.read_line(&mut line).unwrap() > 0 {
            if let Some(said) = line.strip_prefix(MARK) {
                return said.trim_end().to_owned();
            }
            line.clear();
        }
        panic!("it ended by itself: {:?}", self.child.wait());
    }

    fn end_well(mut self) {
        drop(self.child.stdin.take());
        io::copy(&mut self.out, &mut io::sink()).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

/// Reads a line of the reseal's: how many rows are done, and of how many.
fn progress(line: &str) -> Option<(u64, u64)> {
    let (done, total) = line.trim().split_once(' ')?;
    Some((done.parse().ok()?, total.parse().ok()?))
}

// -- what must hold

fn count() -> usize {
    env::var("TOKENS").map_or(20_000, |tokens| tokens.parse().unwrap())
}

/// Issues many tokens, and returns a line for each. One in a hundred is of an owner who is gone.
fn issue<S: RuntimeFree + Clone>(store: &S) -> Vec<String> {
    const THREADS: usize = 64;
    let tokens = authority(store, two_keys());
    let some = |first: usize| -> Vec<String> {
        let one = |number: usize| {
            let (mark, owner) =
                if number.is_multiple_of(100) { ('-', "gone") } else { ('+', "al") };
            let new = NewToken::new(owner, "Phone", Access::scopes(["files:read"]).unwrap());
            let issued = tokens.block_on(tokens.issue(new)).unwrap();
            format!("{mark}{}", issued.expose_secret())
        };
        (first..count()).step_by(THREADS).map(one).collect()
    };
    thread::scope(|scope| {
        let some = &some;
        let running: Vec<_> = (0..THREADS).map(|first| scope.spawn(move || some(first))).collect();
        running.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

/// What a reseal must leave as it is: a hash of everything but seal, key, revision, label and last
/// use. The last use may only become later.
type Known = HashMap<TokenId, (u64, Option<Timestamp>)>;

fn known<S: RuntimeFree + Clone>(store: &S) -> Known {
    let tokens = authority(store, two_keys());
    let (mut known, mut page) = (Known::new(), Page::first(1_000));
    loop {
        let rows = tokens.block_on(store.list(&Filter::every_token(), page)).unwrap();
        for row in &rows {
            let parts = row.record().unwrap().clone().into_parts();
            let used = parts.last_use.as_ref().map(|last| last.at);
            let mut hasher = DefaultHasher::new();
            hash(&parts, &mut hasher);
            known.insert(row.id(), (hasher.finish(), used));
        }
        let Some(last) = rows.last() else { return known };
        page = page.after(last.id());
    }
}

fn hash(parts: &RecordParts, hasher: &mut DefaultHasher) {
    parts.digest.to_bytes().hash(hasher);
    let RecordParts { access, attributes, issued_by, created_at, expires, .. } = parts;
    let RecordParts { owner, family, successor, derived_from, revocation, .. } = parts;
    format!("{access:?} {attributes:?} {issued_by:?} {created_at:?} {expires:?}").hash(hasher);
    format!("{owner:?} {family:?} {successor:?} {derived_from:?} {revocation:?}").hash(hasher);
}

fn left_under_the_old_key<S: RuntimeFree + Clone>(store: &S) -> u64 {
    let tokens = authority(store, two_keys_turned());
    match tokens.block_on(tokens.may_retire(key(1))) {
        Err(RetireError::InUse { rows }) => rows,
        Ok(()) => 0,
        other => panic!("{other:?}"),
    }
}

fn a_killed_reseal_beside_hosts_ends<S: RuntimeFree + Clone>(
    test: &str,
    place: &str,
    store: &S,
    texts: &[String],
) {
    let (count, revoked) = (count(), count().div_ceil(100));
    let (tokens, gone) = (authority(store, two_keys()), Filter::of_owner(&owner("gone")));
    let who = operator("o");
    let ended = tokens.block_on(tokens.revoke_matching(&who, &gone, Reason::REQUESTED)).unwrap();
    assert_eq!(ended, revoked as u64);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("texts");
    fs::write(&file, texts.join("\n")).unwrap();
    let before = known(store);
    assert_eq!(before.len(), count, "each has an id of its own");
    let start = |role| Process::start(test, role, place, &file);
    let mut hosts = ["host", "turned"].map(start);
    hosts.iter_mut().for_each(|host| assert_eq!(host.hear(), "in use"));

    let began = Instant::now();
    let mut left = (count - revoked) as u64;
    // What a host renamed since the count is under the new key, too.
    for part in [10, 3, 2] {
        let mut run = start("reseal");
        let (_, total) = progress(&run.hear()).unwrap();
        assert!(total <= left, "{total} of {left}: what was moved stays moved");
        while progress(&run.hear()).unwrap().0 < left / part {}
        run.child.kill().unwrap();
        assert!(!run.child.wait().unwrap().success(), "it was not killed");
        left = left_under_the_old_key(store);
        assert!(0 < left && left < total, "killed in the middle: {left} of {total}");
        println!("killed with {left} rows left");
    }
    let mut last = start("reseal");
    let said = loop {
        let line = last.hear();
        if progress(&line).is_none() {
            break line;
        }
    };
    assert!(said.ends_with(" left 0"), "{said}");
    last.end_well();
    println!("{count} rows, 3 kills, {:.1} s; the last run {said}", began.elapsed().as_secs_f64());
    for mut host in hosts {
        drop(host.child.stdin.take());
        println!("a host: {}", host.hear());
        host.end_well();
    }

    assert_eq!(left_under_the_old_key(store), 0);
    let without = authority(store, other_ring());
    let report = without.block_on(without.check()).unwrap();
    // Not `is_sound`: the tests' server runs without fsync, which is a finding.
    let wrong = [report.under_missing_keys.len(), report.tampered.len(), report.damaged.len()];
    assert_eq!(wrong, [0; 3], "{report}");
    let in_use = without.block_on(without.keys_in_use()).unwrap();
    assert_eq!(in_use, [(key(2), (count - revoked) as u64)]);
    for line in texts {
        let (mark, text) = line.split_at(1);
        check(&without, mark, text);
    }
    let after = known(store);
    assert_eq!(after.len(), count);
    for (id, (hash, used)) in &before {
        let (hash_now, used_now) = after[id];
        assert!(*hash == hash_now && *used <= used_now, "the row of {id} changed");
    }
    assert!(before.values().all(|(_, used)| used.is_none()));
    assert!(after.values().any(|(_, used)| used.is_some()), "some were used meanwhile");
}

#[test]
fn a_killed_reseal_beside_hosts_ends_and_denies_nobody_in_sqlite() {
    if as_child(|path| SqliteStore::open(path).unwrap()) {
        return;
    }
    let test = "reseal::a_killed_reseal_beside_hosts_ends_and_denies_nobody_in_sqlite";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let store = SqliteStore::open(&path).unwrap();
    a_killed_reseal_beside_hosts_ends(test, path.to_str().unwrap(), &store, &issue(&store));
}

#[test]
fn a_killed_reseal_beside_hosts_ends_and_denies_nobody_in_postgres() {
    let open = |url: &str| Blocked(PostgresStore::new(pool_to(url.parse().unwrap())));
    if as_child(open) {
        return;
    }
    let Some(server) = Server::shared() else { return };
    let database = RUNTIME.block_on(server.database());
    let store = Blocked(RUNTIME.block_on(database.store()));
    let url = format!("postgres://postgres@127.0.0.1:{}/{}", server.port(), database.name);
    let test = "reseal::a_killed_reseal_beside_hosts_ends_and_denies_nobody_in_postgres";
    let memory = MemoryStore::new();
    let texts = issue(&memory);
    RUNTIME.block_on(copy_new_tokens(&memory, &database));
    a_killed_reseal_beside_hosts_ends(test, &url, &store, &texts);
}
