//! The one thread that writes. What waits for it meanwhile is committed together.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::{io, iter, slice};

use rusqlite::{Connection, ErrorCode, Params, Statement};

use super::failure::Failure;
use super::watch::{self, Watch};
use super::worker::{Promise, Worker, promise};
use crate::store::{StoreError, TableName};

const BEGIN: &str = "BEGIN IMMEDIATE";
const COMMIT: &str = "COMMIT";
const ROLLBACK: &str = "ROLLBACK";
const BEGIN_ONE: &str = "SAVEPOINT app_tokens";
const KEEP_ONE: &str = "RELEASE app_tokens";
const UNDO_ONE: &str = "ROLLBACK TO app_tokens";

/// The most changes that one transaction takes, so that the first of them doesn't wait for ever.
const MAX_TOGETHER: usize = 256;

/// Takes changes from any thread and makes them one after the other. Dropping it waits until what it took is done.
pub(super) struct Writer {
    thread: Worker<Box<dyn Job>>,
    name: Arc<str>,
}

impl Writer {
    /// Starts the thread: [`write_file`] or [`write_memory`].
    pub(super) fn start(
        name: Arc<str>,
        write: impl FnOnce(Receiver<Box<dyn Job>>) + Send + 'static,
    ) -> io::Result<Writer> {
        Ok(Writer { thread: Worker::start("app-tokens", write)?, name })
    }

    /// Makes a change and waits until it is committed. The change is sent when the future is first polled, and made even if the
    /// future is dropped then. It is made twice where the first time was taken back.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        change: impl Fn(&mut Statements<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (promise, answer) = promise();
        let name = self.name.clone();
        if !self.thread.send(Box::new(Change { change, outcome: None, promise, name })) {
            return Err(StoreError::not_done(ThreadDied));
        }
        answer.await.unwrap_or_else(|| Err(StoreError::unknown(ThreadDied)))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the thread that writes to the database has died")]
struct ThreadDied;

/// A connection and the statements that were prepared on it, over one table, kept for the next change.
pub(super) struct Statements<'c> {
    connection: &'c Connection,
    table: &'c TableName,
    kept: HashMap<&'static str, Statement<'c>>,
}

impl<'c> Statements<'c> {
    pub(super) fn new(connection: &'c Connection, table: &'c TableName) -> Statements<'c> {
        Statements { connection, table, kept: HashMap::new() }
    }

    /// Runs a kept statement; says how many rows it changed.
    pub(super) fn execute(
        &mut self,
        sql: &'static str,
        params: impl Params,
    ) -> rusqlite::Result<usize> {
        self.kept(sql)?.execute(params)
    }

    /// Whether a kept query has a row.
    pub(super) fn exists(
        &mut self,
        sql: &'static str,
        params: impl Params,
    ) -> rusqlite::Result<bool> {
        self.kept(sql)?.exists(params)
    }

    /// The number that a kept query answers.
    pub(super) fn count(
        &mut self,
        sql: &'static str,
        params: impl Params,
    ) -> rusqlite::Result<i64> {
        self.kept(sql)?.query_row(params, |row| row.get(0))
    }

    /// Runs a statement that was put together for this once.
    pub(super) fn execute_once(&self, sql: &str, params: impl Params) -> rusqlite::Result<usize> {
        self.connection.execute(&self.table.in_sql(sql), params)
    }

    /// Makes a change within the open transaction, or none of it.
    ///
    /// # Errors
    /// The change's own, in the inner result; in the outer one what spoils the whole transaction.
    pub(super) fn wholly<T>(
        &mut self,
        change: impl FnOnce(&mut Statements<'c>) -> rusqlite::Result<T>,
    ) -> Result<rusqlite::Result<T>, rusqlite::Error> {
        self.execute(BEGIN_ONE, [])?;
        let outcome = match change(self) {
            // SQLite takes everything back by itself where it can't go on, for instance on a full disk.
            Err(error) if self.execute(UNDO_ONE, []).is_err() => return Err(error),
            outcome => outcome,
        };
        self.execute(KEEP_ONE, [])?;
        Ok(outcome)
    }

    fn kept(&mut self, sql: &'static str) -> rusqlite::Result<&mut Statement<'c>> {
        match self.kept.entry(sql) {
            Entry::Occupied(kept) => Ok(kept.into_mut()),
            Entry::Vacant(place) => {
                Ok(place.insert(self.connection.prepare(&self.table.in_sql(sql))?))
            }
        }
    }
}

/// Writes to a file, on a connection of this thread's own.
pub(super) fn write_file(
    connection: &Connection,
    table: &TableName,
    watch: &Watch,
    waiting: &Receiver<Box<dyn Job>>,
) {
    let mut statements = Statements::new(connection, table);
    loop {
        match waiting.recv_timeout(watch::INTERVAL) {
            Ok(first) => {
                let mut jobs = all_that_wait(first, waiting);
                let ends = commit_all(&mut statements, watch, &mut jobs);
                answer_all(jobs, ends);
            }
            // Those who read ask the watch what it saw.
            Err(RecvTimeoutError::Timeout) => _ = watch.look(),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Writes to memory, on the one connection that reads, too.
pub(super) fn write_memory(
    connection: &Mutex<Connection>,
    table: &TableName,
    waiting: &Receiver<Box<dyn Job>>,
) {
    while let Ok(first) = waiting.recv() {
        let mut jobs = all_that_wait(first, waiting);
        let locked = connection.lock().unwrap_or_else(PoisonError::into_inner);
        let ends =
            commit_all(&mut Statements::new(&locked, table), &Watch::of_nothing(), &mut jobs);
        drop(locked);
        answer_all(jobs, ends);
    }
}

/// A waker of the host's that panics must not end the one thread that writes.
fn answer_all(jobs: Vec<Box<dyn Job>>, ends: Vec<End>) {
    for (job, end) in iter::zip(jobs, ends) {
        let _the_caller_is_gone = catch_unwind(AssertUnwindSafe(|| job.answer(&end)));
    }
}

fn all_that_wait(first: Box<dyn Job>, waiting: &Receiver<Box<dyn Job>>) -> Vec<Box<dyn Job>> {
    let others = iter::from_fn(|| waiting.try_recv().ok());
    iter::once(first).chain(others).take(MAX_TOGETHER).collect()
}

/// How a transaction ended.
#[derive(Clone)]
pub(super) enum End {
    Committed,
    /// One of its changes took the others along.
    Spoilt(Arc<rusqlite::Error>),
    NotDone(Arc<rusqlite::Error>),
    Unknown(Arc<rusqlite::Error>),
}

/// Makes changes in one transaction; or each in its own, where one of them, too big for the disk for instance, spoils that.
fn commit_all(
    statements: &mut Statements<'_>,
    watch: &Watch,
    jobs: &mut [Box<dyn Job>],
) -> Vec<End> {
    match commit_together(statements, watch, jobs) {
        End::Spoilt(_) if jobs.len() > 1 => jobs
            .iter_mut()
            .map(|job| commit_together(statements, watch, slice::from_mut(job)))
            .collect(),
        end => vec![end; jobs.len()],
    }
}

fn commit_together(
    statements: &mut Statements<'_>,
    watch: &Watch,
    jobs: &mut [Box<dyn Job>],
) -> End {
    if let Err(error) = watch.look().and_then(|()| statements.execute(BEGIN, [])) {
        return End::NotDone(error.into());
    }
    for job in jobs {
        if let Err(error) = job.run(statements) {
            let _gone_already = statements.execute(ROLLBACK, []);
            return End::Spoilt(error.into());
        }
    }
    match statements.execute(COMMIT, []) {
        // It may have been written into a file that nobody will open again.
        Ok(_) => watch.look().map_or_else(|error| End::Unknown(error.into()), |()| End::Committed),
        Err(error) => {
            let rolled_back = statements.execute(ROLLBACK, []).is_ok();
            // A lock refuses before anything is written. After a write or a sync that failed, a crash may yet bring the change back.
            match error.sqlite_error_code() {
                Some(ErrorCode::DatabaseBusy) if rolled_back => End::NotDone(error.into()),
                _ => End::Unknown(error.into()),
            }
        }
    }
}

/// A change whose caller waits.
pub(super) trait Job: Send {
    /// Makes the change within the open transaction, or none of it. An error is the whole transaction's.
    fn run(&mut self, statements: &mut Statements<'_>) -> rusqlite::Result<()>;

    /// Tells the caller what became of it, once the transaction has ended.
    fn answer(self: Box<Self>, end: &End);
}

struct Change<T, F> {
    change: F,
    outcome: Option<rusqlite::Result<T>>,
    promise: Promise<Result<T, StoreError>>,
    name: Arc<str>,
}

impl<T, F> Job for Change<T, F>
where
    T: Send,
    F: Fn(&mut Statements<'_>) -> rusqlite::Result<T> + Send,
{
    fn run(&mut self, statements: &mut Statements<'_>) -> rusqlite::Result<()> {
        self.outcome = None;
        self.outcome = Some(statements.wholly(&self.change)?);
        Ok(())
    }

    fn answer(self: Box<Self>, end: &End) {
        let Change { outcome, promise, name, .. } = *self;
        let failure = |error: Arc<rusqlite::Error>| Failure::new(name, error);
        let answer = match (outcome, end) {
            (Some(Err(error)), _) => Err(StoreError::not_done(failure(error.into()))),
            (_, End::Spoilt(error) | End::NotDone(error)) => {
                Err(StoreError::not_done(failure(error.clone())))
            }
            (_, End::Unknown(error)) => Err(StoreError::unknown(failure(error.clone()))),
            (Some(Ok(done)), End::Committed) => Ok(done),
            (None, End::Committed) => Err(StoreError::not_done("the change was passed over")),
        };
        promise.keep(answer);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::{Context, Poll, Wake, Waker};
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::store::Certainty;
    use crate::store::sqlite::worker::Answer;

    static TABLE: LazyLock<TableName> = LazyLock::new(TableName::default);

    struct Unpark(thread::Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Unpark>) {
            self.0.unpark();
        }
    }

    fn wait<T>(future: impl Future<Output = T>) -> T {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut future = std::pin::pin!(future);
        loop {
            match future.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(output) => return output,
                Poll::Pending => thread::park(),
            }
        }
    }

    fn name() -> Arc<str> {
        "app.db".into()
    }

    /// A job that adds a number, and its answer.
    fn addition(number: i64, fails: bool) -> (Box<dyn Job>, Answer<Result<usize, StoreError>>) {
        let change = move |statements: &mut Statements<'_>| {
            let added = statements.execute("INSERT INTO numbers VALUES (?1)", [number])?;
            if fails { Err(rusqlite::Error::InvalidQuery) } else { Ok(added) }
        };
        let (promise, answer) = promise();
        (Box::new(Change { change, outcome: None, promise, name: name() }), answer)
    }

    /// What becomes of additions that are committed together; `true` marks those that fail.
    fn add_all(connection: &Connection, fail: &[bool]) -> Vec<Result<(), Certainty>> {
        let (mut jobs, answers): (Vec<_>, Vec<_>) =
            fail.iter().enumerate().map(|(n, fails)| addition(n as i64, *fails)).unzip();
        let mut statements = Statements::new(connection, &TABLE);
        let ends = commit_all(&mut statements, &Watch::of_nothing(), &mut jobs);
        answer_all(jobs, ends);
        let answers = answers.into_iter().map(|answer| wait(answer).unwrap());
        answers.map(|answer| answer.map(|_| ()).map_err(|error| error.certainty())).collect()
    }

    fn numbers(connection: &Connection) -> String {
        let all =
            "SELECT coalesce(group_concat(n, ' '), '') FROM (SELECT n FROM numbers ORDER BY n)";
        connection.query_row(all, [], |row| row.get(0)).unwrap()
    }

    fn memory(schema: &str) -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(schema).unwrap();
        connection
    }

    #[test]
    fn a_change_that_fails_takes_none_of_those_committed_with_it_along() {
        let connection = memory("CREATE TABLE numbers (n INTEGER)");
        let answers = add_all(&connection, &[false, true, false]);
        assert_eq!(answers, [Ok(()), Err(Certainty::NotDone), Ok(())]);
        assert_eq!(numbers(&connection), "0 2");
    }

    #[test]
    fn a_change_too_big_for_the_disk_takes_none_of_those_committed_with_it_along() {
        let connection = memory("CREATE TABLE numbers (n); PRAGMA max_page_count = 10");
        let add = |sql: &'static str| {
            let change = move |statements: &mut Statements<'_>| statements.execute(sql, []);
            let (promise, answer) = promise();
            let job: Box<dyn Job> =
                Box::new(Change { change, outcome: None, promise, name: name() });
            (job, answer)
        };
        let (small, big) =
            ("INSERT INTO numbers VALUES (1)", "INSERT INTO numbers VALUES (zeroblob(100000))");
        let (mut jobs, answers): (Vec<_>, Vec<_>) =
            [small, big, small].map(add).into_iter().unzip();
        let mut statements = Statements::new(&connection, &TABLE);
        let together = commit_together(&mut statements, &Watch::of_nothing(), &mut jobs);
        assert!(matches!(together, End::Spoilt(_)), "SQLite takes everything back");
        let ends = commit_all(&mut statements, &Watch::of_nothing(), &mut jobs);
        answer_all(jobs, ends);
        let answers = answers.into_iter().map(|answer| wait(answer).unwrap());
        let answers: Vec<_> = answers.map(|answer| answer.map_err(|e| e.to_string())).collect();
        let full = "the token store failed: app.db: database or disk is full (free some space: nothing needs to be restarted)";
        assert_eq!(answers, [Ok(1), Err(full.into()), Ok(1)]);
        assert_eq!(numbers(&connection), "1 1", "and none is made twice");
        connection.pragma_update(None, "max_page_count", 1000).unwrap();
        assert_eq!(add_all(&connection, &[false, false]), [Ok(()); 2], "space was freed");
    }

    #[test]
    fn a_commit_that_a_lock_refuses_is_not_done() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.db");
        let connection = Connection::open(&path).unwrap();
        // Without a write-ahead log a reader stands in a commit's way.
        connection.execute_batch("CREATE TABLE numbers (n INTEGER)").unwrap();
        connection.busy_timeout(Duration::ZERO).unwrap();
        let reader = Connection::open(&path).unwrap();
        reader.execute_batch("BEGIN; SELECT * FROM numbers").unwrap();
        assert_eq!(add_all(&connection, &[false, false]), [Err(Certainty::NotDone); 2]);
        reader.execute_batch("COMMIT").unwrap();
        assert_eq!(numbers(&connection), "");
        assert_eq!(add_all(&connection, &[false]), [Ok(())]);
        assert_eq!(numbers(&reader), "0");
    }

    #[test]
    fn a_commit_that_fails_otherwise_is_unknown() {
        let connection = memory(
            "PRAGMA foreign_keys = ON; CREATE TABLE known (n INTEGER PRIMARY KEY);
             CREATE TABLE numbers (n INTEGER REFERENCES known DEFERRABLE INITIALLY DEFERRED)",
        );
        let answers = add_all(&connection, &[true, false]);
        assert_eq!(answers, [Err(Certainty::NotDone), Err(Certainty::Unknown)]);
        connection.execute_batch("INSERT INTO known VALUES (0)").unwrap();
        assert_eq!(add_all(&connection, &[false]), [Ok(())], "it goes on");
    }

    #[test]
    #[cfg(unix)]
    fn a_commit_into_a_file_that_was_moved_meanwhile_is_unknown_and_the_next_is_not_done() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.db");
        let connection = Connection::open(&path).unwrap();
        let schema = "PRAGMA journal_mode = WAL; CREATE TABLE numbers (n INTEGER)";
        connection.execute_batch(schema).unwrap();
        let watch = Watch::of(&path).unwrap();
        let mut certainties = Vec::new();
        for _ in 0..2 {
            let (here, away) = (path.clone(), directory.path().join("away"));
            let change = move |_: &mut Statements<'_>| {
                _ = std::fs::rename(&here, &away);
                Ok(())
            };
            let (promise, answer) = promise();
            let change = Change { change, outcome: None, promise, name: name() };
            let mut jobs: Vec<Box<dyn Job>> = vec![Box::new(change)];
            let ends = commit_all(&mut Statements::new(&connection, &TABLE), &watch, &mut jobs);
            answer_all(jobs, ends);
            certainties.push(wait(answer).unwrap().unwrap_err().certainty());
        }
        assert_eq!(certainties, [Certainty::Unknown, Certainty::NotDone]);
    }

    #[test]
    fn the_lock_of_another_process_is_not_done_and_names_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.db");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch("CREATE TABLE numbers (n INTEGER)").unwrap();
        connection.busy_timeout(Duration::ZERO).unwrap();
        let other = Connection::open(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let (job, answer) = addition(1, false);
        let mut jobs = vec![job];
        let mut statements = Statements::new(&connection, &TABLE);
        let ends = commit_all(&mut statements, &Watch::of_nothing(), &mut jobs);
        answer_all(jobs, ends);
        let error = wait(answer).unwrap().unwrap_err();
        assert_eq!(error.certainty(), Certainty::NotDone);
        let text = "the token store failed: app.db: database is locked (somebody else has";
        assert!(error.to_string().starts_with(text), "{error}");
    }

    #[test]
    fn a_change_whose_answer_is_lost_is_unknown_and_one_that_was_never_taken_is_not_done() {
        let writer = Writer::start(name(), |jobs| drop(jobs.recv())).unwrap();
        let lost = wait(writer.write(|_| Ok(()))).unwrap_err();
        assert_eq!(lost.certainty(), Certainty::Unknown);
        let refused = loop {
            // The receiver goes a moment after the job.
            let error = wait(writer.write(|_| Ok(()))).unwrap_err();
            if error.certainty() == Certainty::NotDone {
                break error;
            }
        };
        assert!(refused.to_string().contains("has died"));
    }

    #[test]
    fn the_thread_does_what_it_took_and_ends_when_the_writer_is_dropped() {
        static ENDED: AtomicBool = AtomicBool::new(false);
        let connection = Arc::new(Mutex::new(memory("CREATE TABLE numbers (n INTEGER)")));
        let shared = connection.clone();
        let writer = Writer::start(name(), move |jobs| {
            write_memory(&shared, &TABLE, &jobs);
            ENDED.store(true, Ordering::SeqCst);
        })
        .unwrap();
        let mut futures: Vec<_> = (0..9)
            .map(|n| {
                Box::pin(writer.write(move |s| s.execute("INSERT INTO numbers VALUES (?1)", [n])))
            })
            .collect();
        for future in &mut futures {
            let _sent = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        }
        drop(futures);
        drop(writer);
        assert!(ENDED.load(Ordering::SeqCst));
        assert_eq!(numbers(&connection.lock().unwrap()), "0 1 2 3 4 5 6 7 8");
    }
}
