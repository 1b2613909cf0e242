//! Threads and processes that change one file at once.

use std::process::{Command, Output, Stdio};
use std::task::{Context, Waker};
use std::thread;

use app_tokens::record::RecordParts;
use app_tokens::store::{Filter, Insert, Inserted, Page, SqliteStore, Superseded, TokenStore};

use support::rows::*;

use super::file::File;

const LIMIT: u32 = 20;

/// Inserts enough rows to reach the limit, and revokes some of them. Returns how many of its rows
/// live.
fn hammer(store: &SqliteStore, first_id: u64) -> u64 {
    let mut live = 0;
    for number in first_id..first_id + 40 {
        let limited = Insert { limit: Some(LIMIT), ..creation(parts(number)) };
        match wait(store.insert(&limited)).unwrap() {
            Inserted::Done if number % 2 == 0 => {
                let ended = wait(store.revoke(&Filter::of_id(id(number)), &revocation())).unwrap();
                assert_eq!(ended, 1);
                assert!(found(store, id(number)).unwrap().revocation.is_some());
            }
            Inserted::Done => live += 1,
            other => assert_eq!(other, Inserted::LimitReached),
        }
    }
    live
}

fn live_rows(store: &SqliteStore) -> u64 {
    let live = Filter { revoked: Some(false), ..Filter::of_owner(&owner("alice")) };
    listed(store, &live, Page::first(999)).len() as u64
}

#[test]
fn eight_threads_and_two_handles_keep_the_limit() {
    let file = File::new();
    let stores = [file.open(), file.open()];
    let live: u64 = thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|n| {
                let store = &stores[n % 2];
                scope.spawn(move || hammer(store, n as u64 * 1000))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!((live, live_rows(&stores[0])), (u64::from(LIMIT), u64::from(LIMIT)));
}

const CHILD: &str = "APP_TOKENS_TEST_CHILD";

/// In a child process, returns its number, and a store on the file.
fn as_child() -> Option<(u64, SqliteStore)> {
    let child = std::env::var(CHILD).ok()?;
    let (number, path) = child.split_once(' ').unwrap();
    Some((number.parse().unwrap(), SqliteStore::open(path).unwrap()))
}

/// Runs a test again in four processes at once, each of which does its part on a file. Returns
/// their output.
fn in_four_processes(test: &str, file: &File) -> String {
    let (_binary, module) = module_path!().split_once("::").unwrap();
    let test = format!("{module}::{test}");
    let children = (0..4).map(|number| {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &test, "--nocapture"])
            .env(CHILD, format!("{number} {}", file.path().display()))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    });
    let children: Vec<_> = children.collect();
    let outputs = children.into_iter().map(|child| child.wait_with_output().unwrap());
    let said = |output: Output| {
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    outputs.map(said).collect()
}

#[test]
fn four_processes_keep_the_limit() {
    if let Some((number, store)) = as_child() {
        hammer(&store, 1000 * number);
        return;
    }
    let file = File::new();
    in_four_processes("four_processes_keep_the_limit", &file);
    assert_eq!(live_rows(&file.open()), u64::from(LIMIT));
}

/// How many tokens four processes rotate at once.
const ROTATED: u64 = 100;

#[test]
fn one_of_the_rotations_by_four_processes_succeeds() {
    if let Some((number, store)) = as_child() {
        for old in 0..ROTATED {
            let successor = 1000 * (number + 1) + old;
            match wait(store.supersede(&superseding(old, successor))).unwrap() {
                Superseded::Done => println!("done {old}"),
                answer => assert_eq!(answer, Superseded::Stale),
            }
        }
        return;
    }
    let file = File::new();
    let store = file.open();
    (0..ROTATED).for_each(|old| insert(&store, parts(old)));
    let said = in_four_processes("one_of_the_rotations_by_four_processes_succeeds", &file);
    let mut done: Vec<&str> = said.lines().filter(|line| line.starts_with("done ")).collect();
    done.sort_unstable();
    assert_eq!(done.len() as u64, ROTATED);
    done.dedup();
    assert_eq!(done.len() as u64, ROTATED, "each once");
    for old in 0..ROTATED {
        let old = found(&store, id(old)).unwrap();
        let family = Filter::of_family(&old.owner, old.family);
        let live = listed(&store, &Filter { superseded: Some(false), ..family }, Page::first(9));
        assert_eq!(live.len(), 1, "one way in");
        assert_eq!(live[0].as_ref().map(|row| row.id), old.successor);
    }
}

/// Two processes rotate and issue under tokens that a third one revokes. A fourth one lists all the
/// while.
#[test]
fn nothing_escapes_a_revocation_by_another_process() {
    const LINES: u64 = 200;
    let of_line = |line| Filter::of_family(&owner("alice"), id(line));
    if let Some((number, store)) = as_child() {
        // One is made before the revocation, whichever process is the fastest.
        while number == 2 && found(&store, id(1000)).is_none() {
            thread::yield_now();
        }
        for line in 0..LINES {
            match number {
                0 => _ = wait(store.supersede(&superseding(line, 1000 + line))).unwrap(),
                1 => {
                    let child = RecordParts { derived_from: Some(id(line)), ..parts(2000 + line) };
                    let under = Some(row(parts(line)));
                    wait(store.insert(&Insert { under, ..creation(child) })).map(drop).unwrap();
                }
                2 => _ = wait(store.revoke(&of_line(line), &revocation())).unwrap(),
                _ => {
                    // Every list has each row that existed all the time, once.
                    let all = listed(&store, &Filter::every_token(), Page::first(9999));
                    let ids = all.iter().flatten().map(|row| row.id.as_u64());
                    assert!(ids.filter(|id| *id < LINES).eq(0..LINES));
                }
            }
        }
        return;
    }
    let file = File::new();
    let store = file.open();
    (0..LINES).for_each(|line| insert(&store, parts(line)));
    in_four_processes("nothing_escapes_a_revocation_by_another_process", &file);
    let rows: Vec<_> = all(&store).into_iter().flatten().collect();
    let left: Vec<_> = rows.iter().filter(|row| row.revocation.is_none()).collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(rows.len() as u64 > LINES, "some came before the revocation");
}

#[test]
fn a_change_dropped_after_its_first_poll_is_still_done() {
    let file = File::new();
    let store = file.open();
    let creation = creation(parts(1));
    let mut future = Box::pin(store.insert(&creation));
    let _sent = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    drop(future);
    drop(store);
    assert!(found(&file.open(), id(1)).is_some());
}
