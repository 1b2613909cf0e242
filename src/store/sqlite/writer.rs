//! The one thread that writes. What waits for it meanwhile is committed together.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::pin::Pin;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::{self, JoinHandle};
use std::{fmt, io, iter};

use rusqlite::{Connection, ErrorCode, Params, Statement};

use crate::store::StoreError;

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
    jobs: Option<Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
    name: Arc<str>,
}

impl Writer {
    /// Starts the thread: [`write_file`] or [`write_memory`].
    pub(super) fn start(
        name: Arc<str>,
        write: impl FnOnce(Receiver<Box<dyn Job>>) + Send + 'static,
    ) -> io::Result<Writer> {
        let (jobs, waiting) = mpsc::channel();
        let thread =
            thread::Builder::new().name("app-tokens".into()).spawn(move || write(waiting))?;
        Ok(Writer { jobs: Some(jobs), thread: Some(thread), name })
    }

    /// Makes a change and waits until it is committed. The change is sent when the future is first polled, and made even if the
    /// future is dropped then.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Statements<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (promise, answer) = promise();
        let name = self.name.clone();
        let job = Change { change: Some(change), outcome: None, promise, name };
        let sent = self.jobs.as_ref().is_some_and(|jobs| jobs.send(Box::new(job)).is_ok());
        if !sent {
            return Err(StoreError::not_done(ThreadDied));
        }
        answer.await.unwrap_or_else(|| Err(StoreError::unknown(ThreadDied)))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.jobs.take());
        // A waker may drop the store's last clone on the writing thread itself.
        let thread = self.thread.take().filter(|t| t.thread().id() != thread::current().id());
        if let Some(thread) = thread {
            let _panicked = thread.join();
        }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Writer")
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the thread that writes to the database has died")]
struct ThreadDied;

/// What SQLite said, and of which file.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{name}: {source}")]
pub(super) struct Failure {
    name: Arc<str>,
    source: Arc<rusqlite::Error>,
}

impl Failure {
    pub(super) fn new(name: Arc<str>, source: impl Into<Arc<rusqlite::Error>>) -> Failure {
        Failure { name, source: source.into() }
    }
}

/// A connection and the statements that were prepared on it, kept for the next change.
pub(super) struct Statements<'c> {
    connection: &'c Connection,
    kept: HashMap<&'static str, Statement<'c>>,
}

impl<'c> Statements<'c> {
    fn new(connection: &'c Connection) -> Statements<'c> {
        Statements { connection, kept: HashMap::new() }
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
        self.connection.execute(sql, params)
    }

    fn kept(&mut self, sql: &'static str) -> rusqlite::Result<&mut Statement<'c>> {
        match self.kept.entry(sql) {
            Entry::Occupied(kept) => Ok(kept.into_mut()),
            Entry::Vacant(place) => Ok(place.insert(self.connection.prepare(sql)?)),
        }
    }
}

/// Writes to a file, on a connection of this thread's own.
pub(super) fn write_file(connection: &Connection, waiting: &Receiver<Box<dyn Job>>) {
    let mut statements = Statements::new(connection);
    while let Ok(first) = waiting.recv() {
        let mut jobs = all_that_wait(first, waiting);
        let end = commit_together(&mut statements, &mut jobs);
        jobs.into_iter().for_each(|job| job.answer(&end));
    }
}

/// Writes to memory, on the one connection that reads, too.
pub(super) fn write_memory(connection: &Mutex<Connection>, waiting: &Receiver<Box<dyn Job>>) {
    while let Ok(first) = waiting.recv() {
        let mut jobs = all_that_wait(first, waiting);
        let locked = connection.lock().unwrap_or_else(PoisonError::into_inner);
        let end = commit_together(&mut Statements::new(&locked), &mut jobs);
        drop(locked);
        jobs.into_iter().for_each(|job| job.answer(&end));
    }
}

fn all_that_wait(first: Box<dyn Job>, waiting: &Receiver<Box<dyn Job>>) -> Vec<Box<dyn Job>> {
    let others = iter::from_fn(|| waiting.try_recv().ok());
    iter::once(first).chain(others).take(MAX_TOGETHER).collect()
}

/// How a transaction ended.
pub(super) enum End {
    Committed,
    NotDone(Arc<rusqlite::Error>),
    Unknown(Arc<rusqlite::Error>),
}

fn commit_together(statements: &mut Statements<'_>, jobs: &mut [Box<dyn Job>]) -> End {
    if let Err(error) = statements.execute(BEGIN, []) {
        return End::NotDone(error.into());
    }
    for job in jobs {
        if let Err(error) = run_alone(statements, job.as_mut()) {
            // SQLite takes everything back by itself where it can't go on, for instance on a full disk.
            let _gone_already = statements.execute(ROLLBACK, []);
            return End::NotDone(error);
        }
    }
    let Err(error) = statements.execute(COMMIT, []) else {
        return End::Committed;
    };
    let rolled_back = statements.execute(ROLLBACK, []).is_ok();
    // A lock refuses before anything is written. After a write or a sync that failed, a crash may yet bring the change back.
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy) if rolled_back => End::NotDone(error.into()),
        _ => End::Unknown(error.into()),
    }
}

/// Makes one change, or none of it. An error is the whole transaction's.
fn run_alone(
    statements: &mut Statements<'_>,
    job: &mut dyn Job,
) -> Result<(), Arc<rusqlite::Error>> {
    statements.execute(BEGIN_ONE, [])?;
    if let Err(error) = job.run(statements) {
        statements.execute(UNDO_ONE, []).map_err(|_| error)?;
    }
    statements.execute(KEEP_ONE, [])?;
    Ok(())
}

/// A change whose caller waits.
pub(super) trait Job: Send {
    /// Makes the change within the open transaction.
    fn run(&mut self, statements: &mut Statements<'_>) -> Result<(), Arc<rusqlite::Error>>;

    /// Tells the caller what became of it, once the transaction has ended.
    fn answer(self: Box<Self>, end: &End);
}

struct Change<T, F> {
    change: Option<F>,
    outcome: Option<Result<T, Arc<rusqlite::Error>>>,
    promise: Promise<Result<T, StoreError>>,
    name: Arc<str>,
}

impl<T, F> Job for Change<T, F>
where
    T: Send,
    F: FnOnce(&mut Statements<'_>) -> rusqlite::Result<T> + Send,
{
    fn run(&mut self, statements: &mut Statements<'_>) -> Result<(), Arc<rusqlite::Error>> {
        let Some(change) = self.change.take() else {
            return Ok(());
        };
        let outcome = change(statements).map_err(Arc::new);
        let ran = outcome.as_ref().map(|_| ()).map_err(Arc::clone);
        self.outcome = Some(outcome);
        ran
    }

    fn answer(self: Box<Self>, end: &End) {
        let failure = |error: &Arc<rusqlite::Error>| Failure::new(self.name.clone(), error.clone());
        let answer = match (self.outcome, end) {
            (Some(Err(error)), _) => Err(StoreError::not_done(failure(&error))),
            (_, End::NotDone(error)) => Err(StoreError::not_done(failure(error))),
            (_, End::Unknown(error)) => Err(StoreError::unknown(failure(error))),
            (Some(Ok(done)), End::Committed) => Ok(done),
            (None, End::Committed) => Err(StoreError::not_done("the change was passed over")),
        };
        self.promise.keep(answer);
    }
}

/// One answer on its way from the writing thread to its caller.
fn promise<T>() -> (Promise<T>, Answer<T>) {
    let state = Arc::new(Mutex::new(State::Waiting(None)));
    (Promise(state.clone()), Answer(state))
}

enum State<T> {
    Waiting(Option<Waker>),
    /// `None` where the promise was broken.
    Answered(Option<T>),
}

/// The thread's end. Dropping it without an answer tells the caller so.
struct Promise<T>(Arc<Mutex<State<T>>>);

impl<T> Promise<T> {
    fn keep(self, answer: T) {
        self.settle(Some(answer));
    }

    fn settle(&self, answer: Option<T>) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let State::Waiting(waker) = &mut *state else {
            return;
        };
        let waker = waker.take();
        *state = State::Answered(answer);
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        self.settle(None);
    }
}

/// The caller's end.
struct Answer<T>(Arc<Mutex<State<T>>>);

impl<T> Future for Answer<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *state {
            State::Answered(answer) => Poll::Ready(answer.take()),
            State::Waiting(waker) => {
                *waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
