use std::cell::Cell;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::task::{Context, Wake, Waker};

use tempfile::TempDir;

use super::*;
use crate::block_on::block_on;
use crate::store::Certainty;

static TABLE: LazyLock<TableName> = LazyLock::new(TableName::default);
const NUMBERS: &str = "CREATE TABLE numbers (n INTEGER)";
const ADD: &str = "INSERT INTO numbers VALUES (?1)";

/// A change in the table of numbers.
type Act = Box<dyn Fn(&mut Statements<'_>) -> rusqlite::Result<usize> + Send>;

fn act(act: impl Fn(&mut Statements<'_>) -> rusqlite::Result<usize> + Send + 'static) -> Act {
    Box::new(act)
}

fn add(number: i64) -> Act {
    act(move |statements| statements.execute(ADD, [number]))
}

fn add_and_fail(number: i64) -> Act {
    act(move |statements| {
        statements.execute(ADD, [number])?;
        Err(rusqlite::Error::InvalidQuery)
    })
}

/// Makes changes that are all waiting when the writer starts, and returns their replies.
fn write(
    connection: &Connection,
    watch: &Watch,
    changes: impl IntoIterator<Item = Act>,
) -> Vec<Result<usize, StoreError>> {
    let (jobs, waiting) = mpsc::channel::<Box<dyn Job>>();
    let send = |change| {
        let (sender, receiver) = reply_channel();
        jobs.send(Box::new(WriteJob { change, outcome: None, sender, name: name() })).unwrap();
        receiver
    };
    let receivers: Vec<_> = changes.into_iter().map(send).collect();
    drop(jobs);
    write_file(connection, &TABLE, watch, &waiting);
    receivers.into_iter().map(|receiver| block_on(receiver).unwrap()).collect()
}

fn certainties(
    connection: &Connection,
    changes: impl IntoIterator<Item = Act>,
) -> Vec<Result<usize, Certainty>> {
    let answers = write(connection, &Watch::none(), changes).into_iter();
    answers.map(|answer| answer.map_err(|error| error.certainty())).collect()
}

fn name() -> Arc<str> {
    "app.db".into()
}

fn numbers(connection: &Connection) -> String {
    let all = "SELECT coalesce(group_concat(n, ' '), '') FROM (SELECT n FROM numbers ORDER BY n)";
    connection.query_row(all, [], |row| row.get(0)).unwrap()
}

fn memory(schema: &str) -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(schema).unwrap();
    connection
}

thread_local! {
    /// How often SQLite asked whether to wait for a lock.
    static ASKED: Cell<u32> = const { Cell::new(0) };
}

fn wait_no_longer(_times: i32) -> bool {
    ASKED.set(ASKED.get() + 1);
    false
}

/// Makes two connections to a file. The first never waits for a lock.
fn contended() -> (TempDir, Connection, Connection) {
    let directory = tempfile::tempdir().unwrap();
    let connect = || Connection::open(directory.path().join("app.db")).unwrap();
    #[allow(unused_mut, reason = "rusqlite 0.41 asks for it")]
    let (mut connection, other) = (connect(), connect());
    connection.execute_batch(NUMBERS).unwrap();
    connection.busy_handler(Some(wait_no_longer)).unwrap();
    ASKED.set(0);
    (directory, connection, other)
}

#[test]
fn a_change_that_fails_takes_none_of_those_committed_with_it_along() {
    let connection = memory(NUMBERS);
    let answers = certainties(&connection, [add(0), add_and_fail(1), add(2)]);
    assert_eq!(answers, [Ok(1), Err(Certainty::NotDone), Ok(1)]);
    assert_eq!(numbers(&connection), "0 2");
}

#[test]
fn a_change_too_big_for_the_disk_takes_none_of_those_committed_with_it_along() {
    let connection = memory("CREATE TABLE numbers (n); PRAGMA max_page_count = 10");
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = |sql: &'static str| {
        let runs = runs.clone();
        act(move |statements| {
            runs.fetch_add(1, Ordering::SeqCst);
            statements.execute(sql, [])
        })
    };
    let small = || counted("INSERT INTO numbers VALUES (1)");
    let big = counted("INSERT INTO numbers VALUES (zeroblob(100000))");
    let answers = write(&connection, &Watch::none(), [small(), big, small()]);
    let answers = answers.into_iter().map(|answer| answer.map_err(|error| error.to_string()));
    let full = "the token store failed: app.db: database or disk is full \
        (free some space; nothing needs to be restarted)";
    assert!(answers.eq([Ok(1), Err(full.into()), Ok(1)]));
    assert_eq!(runs.load(Ordering::SeqCst), 5, "two together, which SQLite took back, and each");
    assert_eq!(numbers(&connection), "1 1", "and none is made twice");
    connection.pragma_update(None, "max_page_count", 1000).unwrap();
    assert_eq!(certainties(&connection, [add(2), add(3)]), [Ok(1); 2], "space was freed");
}

#[test]
fn a_change_that_panics_fails_alone() {
    let connection = memory(NUMBERS);
    let panics = || {
        act(|statements| {
            statements.execute(ADD, [2])?;
            panic!("on purpose")
        })
    };
    let answers = write(&connection, &Watch::none(), [add(1), panics(), add(3)]);
    let [Ok(1), Err(error), Ok(1)] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!(error.certainty(), Certainty::NotDone);
    assert!(error.to_string().contains("app.db: the change panicked"), "{error}");
    assert_eq!(certainties(&connection, [panics()]), [Err(Certainty::NotDone)]);
    assert_eq!(numbers(&connection), "1 3");
}

#[test]
fn a_commit_that_a_lock_refuses_is_not_done() {
    // Without a write-ahead log, a reader blocks a commit.
    let (_directory, connection, reader) = contended();
    reader.execute_batch("BEGIN; SELECT * FROM numbers").unwrap();
    let answers = certainties(&connection, [add(1), add(2)]);
    assert_eq!(answers, [Err(Certainty::NotDone); 2]);
    reader.execute_batch("COMMIT").unwrap();
    assert_eq!(numbers(&connection), "");
    assert_eq!(certainties(&connection, [add(3)]), [Ok(1)]);
    assert_eq!(numbers(&reader), "3");
}

#[test]
fn a_commit_that_fails_otherwise_is_unknown() {
    let connection = memory(
        "PRAGMA foreign_keys = ON; CREATE TABLE known (n INTEGER PRIMARY KEY);
         CREATE TABLE numbers (n INTEGER REFERENCES known DEFERRABLE INITIALLY DEFERRED)",
    );
    let answers = certainties(&connection, [add_and_fail(0), add(1)]);
    assert_eq!(answers, [Err(Certainty::NotDone), Err(Certainty::Unknown)]);
    connection.execute_batch("INSERT INTO known VALUES (0)").unwrap();
    assert_eq!(certainties(&connection, [add(0)]), [Ok(1)], "it goes on");
}

#[test]
#[cfg(unix)]
fn a_commit_into_a_file_that_was_moved_meanwhile_is_unknown_and_the_next_is_not_done() {
    let directory = tempfile::tempdir().unwrap();
    let (path, away) = (directory.path().join("app.db"), directory.path().join("away"));
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch("PRAGMA journal_mode = WAL").unwrap();
    connection.execute_batch(NUMBERS).unwrap();
    let ((), watch) = Watch::open(&path, || Ok(())).unwrap();
    let write_and_move = || {
        let (path, away) = (path.clone(), away.clone());
        let moving = act(move |_| {
            _ = std::fs::rename(&path, &away);
            Ok(0)
        });
        write(&connection, &watch, [moving]).remove(0).unwrap_err().certainty()
    };
    assert_eq!(write_and_move(), Certainty::Unknown);
    assert_eq!(write_and_move(), Certainty::NotDone);
}

#[test]
fn behind_a_lock_all_who_wait_hear_of_it_after_one_attempt() {
    let (_directory, connection, other) = contended();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let many = (0..5 * MAX_TOGETHER as i64).map(add);
    for answer in write(&connection, &Watch::none(), many) {
        let error = answer.unwrap_err();
        assert_eq!(error.certainty(), Certainty::NotDone);
        let text = "the token store failed: app.db: database is locked (another connection held";
        assert!(error.to_string().starts_with(text), "{error}");
    }
    assert_eq!(ASKED.get(), 1);
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(certainties(&connection, [add(1), add(2)]), [Ok(1); 2], "it goes on");
    assert_eq!(numbers(&other), "1 2");
}

#[test]
fn behind_a_lock_that_came_after_a_spoilt_transaction_there_is_one_attempt_for_all() {
    let (_directory, connection, other) = contended();
    let spoils = act(move |statements| {
        statements.execute(ROLLBACK, [])?;
        other.execute_batch("BEGIN IMMEDIATE")?;
        Err(rusqlite::Error::InvalidQuery)
    });
    let answers = certainties(&connection, (0..9).map(add).chain([spoils]));
    assert_eq!(answers, [Err(Certainty::NotDone); 10]);
    assert_eq!(ASKED.get(), 1);
    assert_eq!(certainties(&connection, [add(1)]), [Ok(1)], "it goes on");
}

#[test]
fn a_change_whose_answer_is_lost_is_unknown_and_one_that_was_never_taken_is_not_done() {
    let writer = WriterThread::start(name(), |jobs| drop(jobs.recv())).unwrap();
    let lost = block_on(writer.write(|_| Ok(()))).unwrap_err();
    assert_eq!(lost.certainty(), Certainty::Unknown);
    let refused = loop {
        // The receiver is dropped a moment after the job.
        let error = block_on(writer.write(|_| Ok(()))).unwrap_err();
        if error.certainty() == Certainty::NotDone {
            break error;
        }
    };
    assert!(refused.to_string().contains("writer thread has ended"));
}

#[test]
fn a_waker_that_panics_ends_nothing() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Panics>) {
            panic!("on purpose");
        }
    }
    let connection = Arc::new(Mutex::new(memory(NUMBERS)));
    let shared = connection.clone();
    let writer =
        WriterThread::start(name(), move |jobs| write_memory(&shared, &TABLE, &jobs)).unwrap();
    let mut futures = [add(1), add(2)].map(|change| Box::pin(writer.write(change)));
    let locked = connection.lock().unwrap();
    for future in &mut futures {
        let waker = Waker::from(Arc::new(Panics));
        assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    drop(locked);
    assert_eq!(block_on(writer.write(add(3))).unwrap(), 1);
    assert_eq!(futures.map(|future| block_on(future).unwrap()), [1, 1]);
}

#[test]
fn the_thread_does_what_it_took_and_ends_when_the_writer_is_dropped() {
    static ENDED: AtomicBool = AtomicBool::new(false);
    let connection = Arc::new(Mutex::new(memory(NUMBERS)));
    let shared = connection.clone();
    let writer = WriterThread::start(name(), move |jobs| {
        write_memory(&shared, &TABLE, &jobs);
        ENDED.store(true, Ordering::SeqCst);
    })
    .unwrap();
    let mut futures: Vec<_> = (0..9).map(|n| Box::pin(writer.write(add(n)))).collect();
    for future in &mut futures {
        _ = future.as_mut().poll(&mut Context::from_waker(Waker::noop())); // sends the change
    }
    drop(futures);
    drop(writer);
    assert!(ENDED.load(Ordering::SeqCst));
    assert_eq!(numbers(&connection.lock().unwrap()), "0 1 2 3 4 5 6 7 8");
}
