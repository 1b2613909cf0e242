//! Faults of a `SqliteStore`'s file. Each is a clear error, nothing is lost, and the store goes on
//! when the cause is gone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use app_tokens::error::{AuthError, IssueError};
use app_tokens::record::RecordParts;
use app_tokens::store::{
    Certainty, Filter, Page, SqliteStore, SqliteStoreError, StoreError, TokenStore,
};
use app_tokens::{Access, NewToken, Policy, TokenAuthority};
use rusqlite::Connection;

#[path = "common/file.rs"]
mod file;

use file::File;
use support::keys::ring;
use support::rows::*;

// -- files that can't be used

#[track_caller]
fn refusal(path: impl AsRef<Path>) -> SqliteStoreError {
    SqliteStore::open(path).unwrap_err()
}

#[test]
fn a_newer_schema_is_refused_and_left_alone() {
    let file = File::new();
    drop(file.open());
    file.raw().execute_batch("UPDATE app_tokens_schema SET version = 2").unwrap();
    let error = refusal(file.path());
    assert!(matches!(error, SqliteStoreError::NewerSchema { found: 2, known: 1, .. }), "{error}");
    assert!(
        error.to_string().contains("app.db have version 2, and this program knows only version 1")
    );
    file.raw().execute_batch("UPDATE app_tokens_schema SET version = 1").unwrap();
    file.open();
}

#[test]
fn a_foreign_table_is_refused_and_left_alone() {
    for theirs in [
        "CREATE TABLE app_tokens (id INTEGER PRIMARY KEY, token TEXT)",
        "CREATE TABLE App_Tokens (id INTEGER PRIMARY KEY, token TEXT)",
        "CREATE TABLE app_tokens_schema (version INTEGER)",
        "CREATE TABLE app_tokens (id INTEGER); CREATE TABLE app_tokens_schema (version INTEGER); \
         INSERT INTO app_tokens_schema VALUES (1)",
        "CREATE TABLE app_tokens (id INTEGER); CREATE TABLE app_tokens_schema (name TEXT)",
        "CREATE TABLE app_tokens (id INTEGER); CREATE TABLE app_tokens_schema (version INTEGER)",
    ] {
        let file = File::new();
        file.raw().execute_batch(theirs).unwrap();
        let tables = "SELECT group_concat(sql) FROM sqlite_master";
        let before: String = file.raw().query_row(tables, [], |row| row.get(0)).unwrap();
        let error = refusal(file.path());
        assert!(matches!(error, SqliteStoreError::ForeignTable { .. }), "{theirs}: {error}");
        let after: String = file.raw().query_row(tables, [], |row| row.get(0)).unwrap();
        assert_eq!(before, after);
    }
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let file = File::new();
    let text = "nothing but text ".repeat(100);
    fs::write(file.path(), &text).unwrap();
    let error = refusal(file.path());
    assert!(matches!(error, SqliteStoreError::NotADatabase(_)), "{error}");
    assert_eq!(fs::read_to_string(file.path()).unwrap(), text);
}

#[test]
fn a_path_that_leads_to_no_file_is_refused_with_advice() {
    let directory = tempfile::tempdir().unwrap();
    let error = refusal(directory.path().join("missing/app.db"));
    assert!(matches!(error, SqliteStoreError::CantOpen { .. }), "{error}");
    assert!(error.to_string().contains("missing/app.db"), "{error}");
    let error = refusal(directory.path());
    assert!(matches!(error, SqliteStoreError::CantOpen { .. }), "{error}");
    for no_file in ["", ":memory:"] {
        let error = refusal(no_file);
        assert!(error.to_string().contains("SqliteStore::in_memory()"), "{error}");
    }
}

#[test]
fn a_path_is_a_path_and_not_a_uri() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file:app.db?mode=memory");
    insert(&SqliteStore::open(&path).unwrap(), parts(1));
    assert_eq!(all(&SqliteStore::open(&path).unwrap()).len(), 1);
}

#[test]
#[cfg(unix)]
fn a_new_file_has_mode_0600_even_behind_a_link() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let directory = tempfile::tempdir().unwrap();
    let [new, target, link] = ["new.db", "target.db", "link.db"].map(|n| directory.path().join(n));
    symlink("target.db", &link).unwrap();
    insert(&SqliteStore::open(&new).unwrap(), parts(1));
    let through_link = SqliteStore::open(&link).unwrap();
    insert(&through_link, parts(1));
    for file in ["new.db", "target.db", "target.db-wal", "target.db-shm"] {
        let file = directory.path().join(file);
        // SQLite deletes the log with the last connection.
        if let Ok(metadata) = fs::metadata(&file) {
            assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{}", file.display());
        }
    }
    assert!(new.exists() && target.exists());
}

/// Returns a command that runs a test of this file again in a process of its own, which does the
/// given `part`.
fn as_child(program: &Path, test: &str, part: &str) -> Command {
    let mut child = Command::new(program);
    child.args(["--exact", test, "--nocapture"]).env(PART, part);
    child
}

const PART: &str = "APP_TOKENS_TEST_PART";

fn part() -> Option<String> {
    std::env::var(PART).ok()
}

/// Says loudly that a test is skipped; in CI, where everything should be installed, it fails.
fn skip(why: &str) {
    eprintln!("SKIPPED: {why}");
    assert!(std::env::var_os("CI").is_none(), "{why}");
}

#[test]
#[cfg(unix)]
fn a_file_or_directory_without_write_access_is_refused_until_it_has_it() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    use std::os::unix::process::CommandExt as _;
    const NOBODY: u32 = 65534;
    let mode =
        |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    if let Some(path) = part() {
        let path = PathBuf::from(path);
        insert(&SqliteStore::open(&path).unwrap(), parts(1));
        mode(&path, 0o400);
        let error = refusal(&path);
        assert!(matches!(error, SqliteStoreError::ReadOnly(_)), "{error}");
        assert!(error.to_string().contains("app.db is read-only"), "{error}");
        mode(&path, 0o600);
        mode(path.parent().unwrap(), 0o500);
        let error = refusal(&path);
        let is_said =
            matches!(error, SqliteStoreError::CantOpen { .. } | SqliteStoreError::ReadOnly(_));
        assert!(is_said && error.to_string().contains("directory"), "{error}");
        mode(path.parent().unwrap(), 0o700);
        assert_eq!(all(&SqliteStore::open(&path).unwrap()).len(), 1);
        println!("seen by somebody who may not write everything");
        return;
    }
    let file = File::new();
    let program = file.directory.path().join("test");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    mode(file.directory.path(), 0o755);
    let place = file.directory.path().join("of-nobody");
    fs::create_dir(&place).unwrap();
    let path = place.join("app.db");
    let name = "a_file_or_directory_without_write_access_is_refused_until_it_has_it";
    let mut child = as_child(&program, name, path.to_str().unwrap());
    // Root may write everything, so the child runs as another user.
    if fs::metadata(&place).unwrap().uid() == 0 {
        std::os::unix::fs::chown(&place, Some(NOBODY), Some(NOBODY)).unwrap();
        child.uid(NOBODY).gid(NOBODY).current_dir("/");
    }
    let output = child.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("seen by somebody"), "{output:?}");
}

// -- what goes wrong while the store is open

fn authority(store: &SqliteStore) -> TokenAuthority<SqliteStore> {
    TokenAuthority::new(
        store.clone(),
        ring(),
        Policy::new("acme").unwrap().with_no_limit_per_owner(),
    )
}

fn new_token() -> NewToken {
    NewToken::new("alice", "My phone", Access::full())
}

#[track_caller]
fn failed_insert(store: &SqliteStore, number: u64) -> StoreError {
    wait(store.insert(&creation(parts(number)))).unwrap_err()
}

#[track_caller]
fn assert_sound(path: &Path) {
    let check = "PRAGMA integrity_check";
    let found: String =
        Connection::open(path).unwrap().query_row(check, [], |row| row.get(0)).unwrap();
    assert_eq!(found, "ok");
}

/// The kernel refuses to let a file grow, which SQLite notices when a commit writes the log. A full
/// disk looks the same.
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_makes_a_change_unknown_and_the_store_goes_on_once_there_is_space() {
    if let Some(path) = part() {
        let path = PathBuf::from(path);
        let store = SqliteStore::open(&path).unwrap();
        let tokens = authority(&store);
        let issued: Vec<_> =
            (0..20).map(|_| tokens.block_on(tokens.issue(new_token())).unwrap()).collect();
        let log = fs::metadata(path.with_extension("db-wal")).unwrap().len();
        limit_file_size(&format!("{}:", log + 20_000));
        let (mut good, mut error) = (issued, None);
        while error.is_none() {
            match tokens.block_on(tokens.issue(new_token())) {
                Ok(token) => good.push(token),
                Err(failed) => error = Some(failed),
            }
        }
        let error = error.unwrap();
        assert!(matches!(error, IssueError::Failed(_)), "{error}");
        assert!(error.to_string().contains("can't say whether the change was made"), "{error}");
        assert!(error.to_string().contains("app.db"), "{error}");
        // A revocation needs less space than an issue. Now there is none at all.
        limit_file_size("4096:");
        let failed = wait(store.revoke(&Filter::of_id(good[0].id()), &revocation())).unwrap_err();
        assert_eq!(failed.certainty(), Certainty::Unknown);
        for token in &good {
            assert!(
                tokens.block_on(tokens.authenticate(token.expose_secret())).is_ok(),
                "logins go on"
            );
        }
        limit_file_size("unlimited:");
        good.push(tokens.block_on(tokens.issue(new_token())).unwrap());
        assert_eq!(all(&store).len(), good.len(), "what failed is not there");
        assert_eq!(wait(store.revoke(&Filter::of_id(good[0].id()), &revocation())).unwrap(), 1);
        drop((store, tokens));
        assert_sound(&path);
        println!("{} tokens before it was full", good.len());
        return;
    }
    if Command::new("prlimit").arg("--version").output().is_err() {
        return skip("there is no program prlimit");
    }
    let file = File::new();
    let name = "a_full_disk_makes_a_change_unknown_and_the_store_goes_on_once_there_is_space";
    // Otherwise the kernel's signal would end the process.
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$0\" --exact \"$1\" --nocapture"])
        .arg(std::env::current_exe().unwrap())
        .arg(name)
        .env(PART, file.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("before it was full"), "{output:?}");
}

#[cfg(target_os = "linux")]
fn limit_file_size(limit: &str) {
    let this = std::process::id().to_string();
    let limited =
        Command::new("prlimit").args(["--pid", &this]).arg(format!("--fsize={limit}")).status();
    assert!(limited.unwrap().success());
}

#[test]
fn a_lock_held_for_long_makes_changes_not_done_but_blocks_no_read_or_open() {
    let file = File::new();
    let store = file.open();
    insert(&store, parts(1));
    let other = file.raw();
    other.execute_batch("BEGIN IMMEDIATE; UPDATE app_tokens SET label = 'x'").unwrap();
    let second = file.open();
    thread::scope(|scope| {
        scope.spawn(|| {
            let error = failed_insert(&store, 2);
            assert_eq!(error.certainty(), Certainty::NotDone);
            assert!(error.to_string().contains("app.db: database is locked"), "{error}");
        });
        scope.spawn(|| assert_eq!(failed_insert(&second, 3).certainty(), Certainty::NotDone));
        scope.spawn(|| assert_eq!(found(&second, id(1)).unwrap().label.as_str(), "My phone"));
    });
    other.execute_batch("ROLLBACK").unwrap();
    insert(&store, parts(2));
    insert(&second, parts(3));
    assert_eq!(all(&store).len(), 3);
}

#[test]
fn a_new_file_that_is_locked_is_refused_with_that_reason() {
    let file = File::new();
    let other = file.raw();
    other
        .execute_batch("PRAGMA journal_mode = WAL; BEGIN IMMEDIATE; CREATE TABLE users (name TEXT)")
        .unwrap();
    let error = refusal(file.path());
    assert!(matches!(error, SqliteStoreError::Locked(_)), "{error}");
    other.execute_batch("COMMIT").unwrap();
    insert(&file.open(), parts(1));
}

const MOVED: &str = "the file was deleted, moved or replaced while it was open (put the file \
                     back, or open the store again)";

#[track_caller]
fn assert_moved(store: &SqliteStore) {
    let error = failed_insert(store, 2);
    assert_eq!(error.certainty(), Certainty::NotDone);
    assert!(error.to_string().ends_with(MOVED), "{error}");
    // Nobody may be let in by a file that is gone: revocations go into the one that is there.
    for _ in 0..20 {
        assert!(wait(store.find(id(1))).unwrap_err().to_string().ends_with(MOVED));
    }
    let everything = wait(store.list(&Filter::every_token(), Page::first(9)));
    assert!(everything.unwrap_err().to_string().ends_with(MOVED));
    let of_alice = wait(store.list(&Filter::of_owner(&owner("alice")), Page::first(9)));
    assert!(of_alice.unwrap_err().to_string().ends_with(MOVED));
}

#[test]
#[cfg(unix)]
fn a_file_moved_while_open_is_not_written_until_it_is_back() {
    let file = File::new();
    let store = file.open();
    insert(&store, parts(1));
    (0..20).for_each(|_| assert!(found(&store, id(1)).is_some()));
    for beside in ["app.db", "app.db-wal", "app.db-shm"] {
        let (here, away) = (file.directory.path().join(beside), file.directory.path().join("away"));
        fs::rename(&here, &away).unwrap();
        assert_moved(&store);
        fs::rename(&away, &here).unwrap();
        wait(store.touch(&[], at(0))).unwrap();
        assert!(found(&store, id(1)).is_some());
    }
    insert(&store, parts(3));
    assert_eq!(all(&store).len(), 2, "what was refused is not there");
    drop(store);
    assert_sound(&file.path());
}

#[test]
#[cfg(unix)]
fn a_file_that_was_replaced_while_open_is_not_read_or_written() {
    let (file, restored) = (File::new(), File::new());
    let store = file.open();
    insert(&store, parts(1));
    insert(
        &restored.open(),
        RecordParts { revocation: Some(revocation()), seal: None, ..parts(1) },
    );
    fs::rename(restored.path(), file.path()).unwrap();
    assert_moved(&store);
    drop(store);
    for log in ["app.db-wal", "app.db-shm"] {
        let _none_is_left = fs::remove_file(file.directory.path().join(log));
    }
    let store = file.open();
    assert!(found(&store, id(1)).unwrap().revocation.is_some());
    insert(&store, parts(2));
}

#[test]
#[cfg(unix)]
fn a_connection_that_is_opened_after_the_file_was_replaced_reads_nothing_from_the_other() {
    let (file, other) = (File::new(), File::new());
    // Closed in between, so that the row is in the file and not in the log.
    insert(&file.open(), parts(1));
    drop(other.open());
    let store = file.open();
    assert!(found(&store, id(1)).is_some());
    fs::rename(other.path(), file.path()).unwrap();
    // Within the second in which look-ups still trust the last check. Each new thread prefers
    // another connection, and most of them are not open yet.
    thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| match wait(store.find(id(1))) {
                Ok(row) => assert!(row.is_some(), "the row of the file that was opened"),
                Err(error) => assert!(error.to_string().ends_with(MOVED), "{error}"),
            });
        }
    });
}

#[test]
#[cfg(unix)]
fn a_deleted_file_is_noticed_by_callers_that_only_read() {
    let file = File::new();
    let store = file.open();
    insert(&store, parts(1));
    fs::remove_file(file.path()).unwrap();
    // It takes up to a second.
    let error = loop {
        if let Err(error) = wait(store.find(id(1))) {
            break error;
        }
    };
    assert!(error.to_string().ends_with(MOVED), "{error}");
}

#[test]
fn a_copied_file_without_its_log_is_an_older_but_sound_state() {
    let (file, copy) = (File::new(), File::new());
    insert(&file.open(), parts(1));
    let store = file.open();
    insert(&store, parts(2));
    fs::copy(file.path(), copy.path()).unwrap();
    let copied = copy.open();
    assert_eq!(all(&copied).len(), 1, "so copies are made by SQLite, as the docs say");
    insert(&copied, parts(3));
    drop(copied);
    assert_sound(&copy.path());
}

// -- damage

/// Makes a file with many tokens, closes it, and returns the texts that authenticate.
fn file_of_tokens(file: &File) -> Vec<String> {
    let tokens = authority(&file.open());
    (0..300)
        .map(|_| tokens.block_on(tokens.issue(new_token())).unwrap().expose_secret().to_owned())
        .collect()
}

#[test]
fn no_damaged_page_makes_a_token_unknown_or_a_revocation_pass_it_over() {
    const PAGE: usize = 4096;
    let file = File::new();
    let texts = file_of_tokens(&file);
    let sound = fs::read(file.path()).unwrap();
    let (mut failures, mut refusals) = (0, 0);
    for page in 0..sound.len() / PAGE {
        for byte in [0xEE, 0] {
            let mut bytes = sound.clone();
            bytes[page * PAGE..][..PAGE].fill(byte);
            fs::write(file.path(), bytes).unwrap();
            let store = match SqliteStore::open(file.path()) {
                Ok(store) => store,
                Err(error) => {
                    assert!(error.to_string().contains("app.db"), "{error}");
                    refusals += 1;
                    continue;
                }
            };
            let tokens = authority(&store);
            for text in texts.iter().step_by(7) {
                match tokens.block_on(tokens.authenticate(text)) {
                    Ok(_) => {}
                    Err(AuthError::Failed(error)) => {
                        failures += 1;
                        let error = error.to_string();
                        assert!(
                            error.contains("app.db: database disk image is malformed"),
                            "{error}"
                        );
                        assert!(error.contains("the file is damaged; keep a copy"), "{error}");
                    }
                    Err(error) => panic!("page {page}: {error}"),
                }
            }
            let first: app_tokens::TokenId = texts[0]["acme_".len()..][..10].parse().unwrap();
            let count = wait(store.revoke(&Filter::of_id(first), &revocation()));
            assert!(count.is_err() || count.unwrap() == 1, "page {page}");
        }
    }
    assert!(failures > 100 && refusals > 0, "{failures} failures, {refusals} refusals");
}

#[test]
fn a_file_that_was_cut_short_is_refused_as_damaged() {
    let file = File::new();
    file_of_tokens(&file);
    let whole = fs::metadata(file.path()).unwrap().len();
    for eighths in (1..8).rev() {
        let shorter = fs::OpenOptions::new().write(true).open(file.path()).unwrap();
        shorter.set_len(whole / 8 * eighths).unwrap();
        let error = refusal(file.path());
        assert!(matches!(error, SqliteStoreError::Damaged(_)), "{error}");
        assert!(error.to_string().contains("app.db is damaged; keep a copy of it"), "{error}");
    }
}
