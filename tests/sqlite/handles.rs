//! Several handles, threads and idle connections on one file.

use std::collections::BTreeMap;
use std::sync::Barrier;
use std::thread;

use app_tokens::record::{LastUse, RecordParts};
use app_tokens::store::{Filter, TokenStore};
use app_tokens::{Access, Label, TokenId};

use support::chance::*;

use super::file::File;

#[test]
fn every_field_of_every_kind_of_row_survives_a_reopen() {
    let (file, mut chance, mut given) = (File::new(), Chance(1), BTreeMap::new());
    let store = file.open();
    for number in 0..300 {
        let parts = chance.parts(id(number * 7));
        insert(&store, parts.clone());
        given.insert(parts.id, parts);
    }
    let longest = RecordParts {
        owner: owner(&"é".repeat(255)),
        label: Label::new("€".repeat(128)).unwrap(),
        access: Access::scopes((0..256).map(|n| format!("{n:0>128}"))).unwrap(),
        last_use: Some(LastUse { at: at(1), address: None, client: Some("é".repeat(200).into()) }),
        ..parts(TokenId::MAX.as_u64())
    };
    insert(&store, longest.clone());
    given.insert(longest.id, longest);
    drop(store);

    let store = file.open();
    for (id, parts) in &given {
        assert_eq!(found(&store, *id).as_ref(), Some(parts));
    }
    assert_eq!(
        all(&store).into_iter().flatten().collect::<Vec<_>>(),
        given.into_values().collect::<Vec<_>>()
    );
}

#[test]
fn a_revocation_by_one_handle_is_seen_by_another_at_once() {
    let file = File::new();
    let (here, there) = (file.open(), file.open());
    for number in 0..50 {
        insert(&here, parts(number));
        assert!(found(&there, id(number)).unwrap().revocation.is_none());
        assert_eq!(wait(here.revoke(&Filter::of_id(id(number)), &revocation())).unwrap(), 1);
        assert_eq!(found(&there, id(number)).unwrap().revocation, Some(revocation()));
    }
}

#[test]
fn eight_threads_open_one_new_file_at_once() {
    for _ in 0..10 {
        let file = File::new();
        thread::scope(|scope| {
            for number in 0..8 {
                let file = &file;
                scope.spawn(move || insert(&file.open(), parts(number)));
            }
        });
        assert_eq!(all(&file.open()).len(), 8);
    }
}

#[test]
fn dropping_the_last_clone_closes_the_file() {
    let file = File::new();
    let log = file.directory.path().join("app.db-wal");
    let store = file.open();
    let clone = store.clone();
    insert(&store, parts(1));
    (0..100).for_each(|_| assert!(found(&store, id(1)).is_some()));
    drop(store);
    assert!(found(&clone, id(1)).is_some() && log.exists());
    drop(clone);
    assert!(!log.exists(), "whoever closes the file last removes its write-ahead log");
}

#[test]
fn a_dropped_store_closes_its_files_even_on_idle_threads_that_read() {
    let file = File::new();
    let log = file.directory.path().join("app.db-wal");
    let store = file.open();
    insert(&store, parts(1));
    let (have_read, may_end) = (Barrier::new(17), Barrier::new(17));
    thread::scope(|scope| {
        for _ in 0..16 {
            let store = store.clone();
            let (have_read, may_end) = (&have_read, &may_end);
            scope.spawn(move || {
                (0..100).for_each(|_| assert!(found(&store, id(1)).is_some()));
                drop(store);
                have_read.wait();
                may_end.wait();
            });
        }
        have_read.wait();
        drop(store);
        let (log_is_gone, open) = (!log.exists(), open_files(&file));
        may_end.wait();
        assert!(log_is_gone, "whoever closes the file last removes its write-ahead log");
        assert_eq!(open, 0);
    });
}

/// Returns how many files of the directory this process has open, or 0 if the system doesn't tell.
fn open_files(file: &File) -> usize {
    let Ok(open) = std::fs::read_dir("/proc/self/fd") else { return 0 };
    let paths = open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    paths.filter(|path| path.starts_with(file.directory.path())).count()
}

#[test]
fn each_of_several_stores_on_one_thread_reads_its_own_file() {
    let files = [(); 3].map(|()| File::new());
    let stores = files.each_ref().map(File::open);
    for (number, store) in stores.iter().enumerate() {
        insert(store, parts(number as u64));
    }
    for _ in 0..30 {
        for (number, store) in stores.iter().enumerate() {
            for other in 0..3 {
                let there = found(store, id(other as u64)).is_some();
                assert_eq!(there, number == other);
            }
        }
    }
}

#[test]
fn a_read_waits_for_no_writer() {
    let file = File::new();
    let store = file.open();
    insert(&store, parts(1));
    let other_process = file.raw();
    other_process.execute_batch("BEGIN IMMEDIATE; UPDATE app_tokens SET label = 'x'").unwrap();
    for _ in 0..30 {
        assert_eq!(found(&store, id(1)).unwrap().label.as_str(), "My phone");
        assert_eq!(all(&store).len(), 1);
    }
    other_process.execute_batch("COMMIT").unwrap();
    assert_eq!(found(&store, id(1)).unwrap().label.as_str(), "x");
}

#[test]
fn the_hosts_own_tables_and_version_stay_as_they_are() {
    let file = File::new();
    let host = file.raw();
    host.execute_batch(
        "PRAGMA user_version = 41; PRAGMA application_id = 42;
         CREATE TABLE users (name TEXT); INSERT INTO users VALUES ('alice');",
    )
    .unwrap();
    let store = file.open();
    insert(&store, parts(1));
    drop(store);
    let number = |sql| host.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(number("PRAGMA user_version"), 41);
    assert_eq!(number("PRAGMA application_id"), 42);
    assert_eq!(number("SELECT count(*) FROM users"), 1);
    assert_eq!(number("SELECT count(*) FROM app_tokens"), 1);
}
