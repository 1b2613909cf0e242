//! What `SqliteStore` promises beyond the contract: files, damage, other processes, and SQL that
//! agrees with the reference.

use std::collections::BTreeMap;
use std::process::{Command, Output, Stdio};
use std::sync::Barrier;
use std::task::{Context, Waker};
use std::thread;

use app_tokens::record::{Expires, LastUse, RecordParts};
use app_tokens::store::{
    Filter, Insert, Inserted, MemoryStore, Page, Purge, PurgeCutoff, SqliteOptions, SqliteStore,
    SqliteStoreError, Superseded, TableName, TokenStore,
};
use app_tokens::{Access, KeyId, KeyRing, Label, NewToken, Policy, TokenAuthority, TokenId};

#[path = "common/by_reference.rs"]
mod by_reference;
#[path = "common/file.rs"]
mod file;

use file::File;
use support::chance::*;

// -- files

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

// -- tables of another name

fn in_table(file: &File, table: &str) -> Result<SqliteStore, SqliteStoreError> {
    let options = SqliteOptions::new().with_table(table.parse().unwrap());
    SqliteStore::open_with(file.path(), &options)
}

#[test]
fn stores_in_other_tables_of_one_file_do_not_see_each_other() {
    let file = File::new();
    let longest = "x".repeat(48);
    let names = ["app_tokens", "tokens", "my_app_tokens", "_1", &longest];
    let stores = names.map(|name| in_table(&file, name).unwrap());
    for (number, store) in (0..).zip(&stores) {
        insert(store, parts(number));
        insert(
            store,
            RecordParts { label: Label::new(names[number as usize]).unwrap(), ..parts(9) },
        );
    }
    // By the shared connections, and by the one of this thread.
    for _ in 0..20 {
        for (number, store) in stores.iter().enumerate() {
            assert_eq!(found(store, id(9)).unwrap().label.as_str(), names[number]);
            for other in 0..names.len() {
                assert_eq!(found(store, id(other as u64)).is_some(), number == other);
            }
        }
    }
    assert_eq!(wait(stores[1].revoke(&Filter::every_token(), &revocation())).unwrap(), 2);
    let every_row = Purge::Matching(Filter::every_token());
    assert_eq!(wait(stores[2].purge(&every_row, 9)).unwrap(), 2);
    for (number, store) in stores.iter().enumerate() {
        let rows: Vec<_> = all(store).into_iter().flatten().collect();
        assert_eq!(rows.len(), if number == 2 { 0 } else { 2 });
        assert!(rows.iter().all(|row| row.revocation.is_some() == (number == 1)));
    }
    drop(stores);
    let reopened = in_table(&file, "tokens").unwrap();
    assert!(found(&reopened, id(9)).unwrap().revocation.is_some());
}

#[test]
fn each_table_has_a_version_of_its_own() {
    let file = File::new();
    drop((file.open(), in_table(&file, "tokens").unwrap()));
    file.raw().execute_batch("UPDATE tokens_schema SET version = 2").unwrap();
    let error = in_table(&file, "tokens").unwrap_err();
    assert!(matches!(error, SqliteStoreError::NewerSchema { found: 2, known: 1, .. }), "{error}");
    assert!(error.to_string().starts_with("the tables tokens in "), "{error}");
    file.open();
}

#[test]
fn a_store_in_a_table_of_another_name_leaves_a_foreign_table_app_tokens_alone() {
    let file = File::new();
    let theirs = "CREATE TABLE app_tokens (id INTEGER PRIMARY KEY, token TEXT); \
                  INSERT INTO app_tokens VALUES (1, 'x')";
    file.raw().execute_batch(theirs).unwrap();
    assert!(matches!(
        SqliteStore::open(file.path()).unwrap_err(),
        SqliteStoreError::ForeignTable { .. }
    ));
    let store = in_table(&file, "tokens").unwrap();
    insert(&store, parts(1));
    assert_eq!(wait(store.revoke(&Filter::every_token(), &revocation())).unwrap(), 1);
    assert_eq!(wait(store.purge(&Purge::Matching(Filter::every_token()), 9)).unwrap(), 1);
    let token = "SELECT token FROM app_tokens WHERE id = 1";
    assert_eq!(file.raw().query_row(token, [], |row| row.get::<_, String>(0)).unwrap(), "x");
}

#[test]
fn a_name_that_no_table_of_ours_can_have_is_refused_and_makes_nothing() {
    let file = File::new();
    let error = in_table(&file, "main.tokens").unwrap_err();
    assert!(matches!(error, SqliteStoreError::HasSchema(_)), "{error}");
    assert!(!file.path().exists());
    for quoted in ["\"tokens\"", "[tokens]", "`tokens`", "Tokens"] {
        assert!(quoted.parse::<TableName>().is_err());
    }
    file.raw().execute_batch("CREATE TABLE users (name TEXT)").unwrap();
    // A word of SQL, a name that SQLite reserves, and names of tables that exist.
    for (name, said) in [
        ("order", "order can't be a table's name in SQLite"),
        ("sqlite_tokens", "sqlite_tokens can't be a table's name in SQLite"),
        ("users", "has a table users, or one beside it, that is not this library's"),
    ] {
        let error = in_table(&file, name).unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
        assert!(error.to_string().len() < 200, "{error}");
    }
    let tables = "SELECT group_concat(name) FROM sqlite_master";
    let tables: String = file.raw().query_row(tables, [], |row| row.get(0)).unwrap();
    assert_eq!(tables, "users");
}

// -- damaged rows

/// Values that can be written by hand into each column, and whether the row can still be read.
const DAMAGE: &[(&str, bool)] = &[
    ("digest = x''", false),
    ("digest = x'01'", false),
    ("digest = zeroblob(33)", false),
    ("digest = CAST(x'01' || zeroblob(32) AS BLOB)", true),
    ("digest = CAST(x'02' || zeroblob(32) AS BLOB)", false),
    ("owner = ''", false),
    ("owner = 'mallory'", true),
    ("owner = CAST(x'FFFE' AS TEXT)", false),
    ("owner = printf('%.*c', 256, 'x')", false),
    ("label = ' My phone'", false),
    ("label = 'a' || char(10) || 'b'", false),
    ("label = CAST(x'61006200' AS TEXT)", false),
    ("scopes = NULL", true),
    ("scopes = ''", true),
    ("scopes = 'w' || char(10) || 'r'", false),
    ("scopes = char(10)", false),
    ("scopes = 'r' || char(10)", false),
    ("scopes = 'r w'", false),
    ("resources = 'a*b'", false),
    ("resources = 'under:a/'", false),
    ("resources = 'under:b' || char(10) || 'exact:a'", false),
    ("resources = NULL", true),
    ("networks = ''", true),
    ("networks = '10.0.0.0/8'", true),
    ("networks = '10.0.0.1/8'", false),
    ("networks = '192.0.2.7'", false),
    ("networks = '::ffff:10.0.0.0/104'", false),
    ("networks = '9.0.0.0/8' || char(10) || '10.0.0.0/8'", false),
    ("attributes = 'a b'", true),
    ("attributes = ''", false),
    ("attributes = 'a'", false),
    ("attributes = 'a '", false),
    ("attributes = 'a  b'", false),
    ("attributes = 'b x' || char(10) || 'a x'", false),
    ("attributes = 'a x' || char(10) || 'a x'", false),
    ("issued_by = ''", false),
    ("issued_by = 'somebody'", true),
    ("created_at = -1", false),
    ("created_at = 253402300800", false),
    ("created_at = 9223372036854775807", false),
    ("expires_at = NULL", true),
    ("expires_at = 253402300799", true),
    ("expires_at = -9223372036854775808", false),
    ("family = -1", false),
    ("family = 1125899906842624", false),
    ("successor = -1", false),
    ("derived_from = 9223372036854775807", false),
    ("revision = -9223372036854775808", false),
    ("revoked_reason = 'leaked'", false),
    ("revoked_by = 'owner'", false),
    ("last_used_at = -1", false),
    ("last_used_at = NULL, last_used_client = 'x'", false),
    ("last_used_at = 9, last_used_address = 'localhost'", false),
    ("last_used_at = 9, last_used_client = CAST(x'FF' AS TEXT)", false),
    ("key_id = 0", false),
    ("key_id = -1", false),
    ("key_id = 4294967296", false),
    ("key_id = 4294967295", true),
    ("seal = NULL", true),
    ("seal = x''", false),
    ("seal = zeroblob(65)", false),
    ("seal = x'01'", false),
    ("seal = CAST(x'01' || zeroblob(31) AS BLOB)", false),
    ("seal = CAST(x'01' || zeroblob(33) AS BLOB)", false),
    ("seal = CAST(x'01' || zeroblob(32) AS BLOB)", true),
    ("seal = CAST(x'02' || zeroblob(32) AS BLOB)", true),
];

#[test]
fn a_row_damaged_in_any_column_does_not_authenticate_blocks_no_other_and_can_be_revoked() {
    let file = File::new();
    let (store, raw) = (file.open(), file.raw());
    raw.execute_batch("PRAGMA ignore_check_constraints = ON").unwrap();
    let tokens = TokenAuthority::new(
        store.clone(),
        KeyRing::ephemeral().unwrap(),
        Policy::new("acme").unwrap().with_no_limit_per_owner(),
    );
    let issue = || {
        let access = Access::scopes(["r", "w"])
            .unwrap()
            .on(["exact:a", "prefix:b"].map(|text| text.parse().unwrap()))
            .unwrap();
        let new = NewToken::new("alice", "My phone", access);
        tokens.block_on(tokens.issue(new)).unwrap()
    };
    let sound = issue();
    for (damage, readable) in DAMAGE {
        let token = issue();
        let id = token.id();
        let number = id.as_u64().cast_signed();
        assert!(tokens.block_on(tokens.authenticate(token.expose_secret())).is_ok());
        raw.execute(&format!("UPDATE app_tokens SET {damage} WHERE id = ?1"), [number]).unwrap();

        assert_eq!(found(&store, id).is_some(), *readable, "{damage}");
        assert!(tokens.block_on(tokens.authenticate(token.expose_secret())).is_err(), "{damage}");
        assert!(tokens.block_on(tokens.authenticate(sound.expose_secret())).is_ok(), "{damage}");
        let rows = all(&store);
        assert_eq!(rows.iter().flatten().count(), 1 + usize::from(*readable), "{damage}");
        assert_eq!(rows.len(), 2, "{damage}");

        assert_eq!(wait(store.revoke(&Filter::of_id(id), &revocation())).unwrap(), 1, "{damage}");
        let ended = "SELECT revoked_at, seal, revision FROM app_tokens WHERE id = ?1";
        let ended =
            raw.query_row(ended, [number], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
        let (revoked_at, seal, revision): (i64, Option<Vec<u8>>, i64) = ended.unwrap();
        assert_eq!((revoked_at, seal), (at(7).as_unix(), None), "{damage}");
        assert_eq!(revision, i64::from(!damage.starts_with("revision")), "{damage}");
        assert!(tokens.block_on(tokens.authenticate(token.expose_secret())).is_err(), "{damage}");
        wait(store.purge(&Purge::Matching(Filter::of_id(id)), 9)).unwrap();
    }
}

#[test]
fn a_damaged_row_is_revoked_and_purged_with_the_others() {
    let file = File::new();
    let (store, raw) = (file.open(), file.raw());
    raw.execute_batch("PRAGMA ignore_check_constraints = ON").unwrap();
    (0..40).for_each(|number| insert(&store, parts(number)));
    for (number, (damage, _)) in (0..).zip(DAMAGE.iter().filter(|(d, _)| !d.starts_with("owner"))) {
        raw.execute(&format!("UPDATE app_tokens SET {damage} WHERE id = ?1"), [number]).unwrap();
    }
    assert_eq!(all(&store).len(), 40);
    let of_alice = Filter::of_owner(&owner("alice"));
    let unrevoked = Filter { revoked: Some(false), ..of_alice.clone() };
    assert_eq!(wait(store.revoke(&of_alice, &revocation())).unwrap(), 40);
    assert_eq!(listed(&store, &unrevoked, Page::first(99)).len(), 0);
    assert_eq!(wait(store.purge(&Purge::Matching(of_alice), 99)).unwrap(), 40);
    assert_eq!(all(&store).len(), 0);
}

#[test]
fn a_row_with_an_invalid_id_hides_no_other_and_is_revoked() {
    let file = File::new();
    let (store, raw) = (file.open(), file.raw());
    raw.execute_batch("PRAGMA ignore_check_constraints = ON").unwrap();
    (1..=4).for_each(|number| insert(&store, parts(number)));
    raw.execute_batch(
        "UPDATE app_tokens SET id = -9 WHERE id = 1; \
         UPDATE app_tokens SET id = 1125899906842624 WHERE id = 2",
    )
    .unwrap();
    assert_eq!(listed(&store, &Filter::every_token(), Page::first(2)).len(), 2);
    assert_eq!(wait(store.revoke(&Filter::every_token(), &revocation())).unwrap(), 4);
}

// -- SQL and the reference

by_reference::tests!(|| SqliteStore::in_memory().unwrap(), 200);

/// Without an owner, a list is built in one way if an index gives few rows, and in another if it
/// gives many.
#[test]
fn a_list_among_many_rows_equals_the_list_by_the_reference() {
    let (memory, sqlite) = (MemoryStore::new(), SqliteStore::in_memory().unwrap());
    let mut chance = Chance(7);
    for number in 0..5000 {
        // The times are spread out, so that some filters match few rows.
        let expires = Expires::At(at(chance.below(5000) as i64));
        let parts = RecordParts { expires, ..chance.parts(id(number * 3)) };
        insert(&memory, parts.clone());
        insert(&sqlite, parts);
    }
    let any = Filter::every_token;
    let unrevoked = || Filter { revoked: Some(false), ..any() };
    for filter in [
        unrevoked(),
        Filter { key_id: Some(KeyId::new(1).unwrap()), ..unrevoked() },
        Filter { key_id: Some(KeyId::new(9).unwrap()), ..unrevoked() },
        Filter { except_key_ids: vec![KeyId::new(1).unwrap()], ..unrevoked() },
        Filter { except_key_ids: vec![chance.key_id(), KeyId::new(2).unwrap()], ..unrevoked() },
        Filter {
            except_key_ids: [1, 2, u32::MAX].map(|key| KeyId::new(key).unwrap()).to_vec(),
            ..unrevoked()
        },
        Filter {
            except_key_ids: (1..=1000).map(|key| KeyId::new(key).unwrap()).collect(),
            ..unrevoked()
        },
        Filter { expires_before: Some(at(100)), ..unrevoked() },
        Filter { expires_before: Some(at(4000)), superseded: Some(false), ..unrevoked() },
        Filter { expires_from: Some(at(10)), expires_before: Some(at(900)), ..any() },
        Filter { expires_from: Some(at(4999)), ..any() },
        Filter { last_used_before: Some(at(-1)), ..any() },
        Filter { last_used_before: Some(at(8)), ..unrevoked() },
    ] {
        let mut page = Page::first(700);
        loop {
            let rows = listed(&sqlite, &filter, page);
            assert_eq!(rows, listed(&memory, &filter, page), "{filter:?} {page:?}");
            page.after = rows.last().and_then(Option::as_ref).map(|row| row.id);
            if rows.is_empty() {
                break;
            }
        }
    }
}

/// To the engine, a batch that is not full means that nothing is left.
#[test]
fn a_row_that_is_dead_for_three_reasons_counts_once_in_a_batch() {
    let store = SqliteStore::in_memory().unwrap();
    insert(&store, RecordParts { revocation: Some(revocation()), ..parts(0) });
    (1..3).for_each(|expired| insert(&store, parts(expired)));
    (3..7).for_each(|idle| insert(&store, RecordParts { expires: Expires::Never, ..parts(idle) }));
    let dead = PurgeCutoff { ended_by: at(5000), unused_since: Some(at(5000)), now: at(5000) };
    let batches = [(); 3].map(|()| wait(store.purge(&Purge::Dead(dead), 4)).unwrap());
    assert_eq!(batches, [4, 3, 0]);
}

/// Each batch goes on where the last one ended. A row that dies behind that place must be found,
/// too.
#[test]
fn a_purge_in_batches_misses_nothing_wherever_it_begins() {
    let store = SqliteStore::in_memory().unwrap();
    for number in 0..9000 {
        let revocation = (number % 3 == 0).then(revocation);
        insert(&store, RecordParts { revocation, ..parts(number) });
    }
    let dead = Purge::Dead(PurgeCutoff { ended_by: at(100), unused_since: None, now: at(100) });
    let batch = || wait(store.purge(&dead, 700)).unwrap();
    assert_eq!([(); 3].map(|()| batch()), [700; 3]);
    for behind in [1, 2, 4] {
        assert_eq!(wait(store.revoke(&Filter::of_id(id(behind)), &revocation())).unwrap(), 1);
    }
    assert_eq!([batch(), batch(), batch()], [700, 203, 0]);
    assert_eq!(listed(&store, &Filter::every_token(), Page::first(9999)).len(), 5997);
}

// -- many at once

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
    let children = (0..4).map(|number| {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
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
