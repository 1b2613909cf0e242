//! The one thread that writes. What waits for it meanwhile is committed together.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::{io, iter, slice};

use rusqlite::Connection;

use super::error::{Failure, is_busy};
use super::statements::Statements;
use super::watch::Watch;
use super::worker::{Promise, Worker, promise};
use crate::store::{StoreError, TableName};

const BEGIN: &str = "BEGIN IMMEDIATE";
const COMMIT: &str = "COMMIT";
const ROLLBACK: &str = "ROLLBACK";

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

/// Writes to a file, on a connection of this thread's own.
pub(super) fn write_file(
    connection: &Connection,
    table: &TableName,
    watch: &Watch,
    waiting: &Receiver<Box<dyn Job>>,
) {
    let mut statements = Statements::new(connection, table);
    while let Ok(first) = waiting.recv() {
        answer_all(commit_what_waits(&mut statements, watch, first, waiting));
    }
}

/// Writes to memory, on the one connection that reads, too.
pub(super) fn write_memory(
    connection: &Mutex<Connection>,
    table: &TableName,
    waiting: &Receiver<Box<dyn Job>>,
) {
    while let Ok(first) = waiting.recv() {
        let locked = connection.lock().unwrap_or_else(PoisonError::into_inner);
        let mut statements = Statements::new(&locked, table);
        let done = commit_what_waits(&mut statements, &Watch::of_nothing(), first, waiting);
        drop(statements);
        drop(locked);
        answer_all(done);
    }
}

/// A change whose caller waits, and how its transaction ended.
type Done = (Box<dyn Job>, End);

fn commit_what_waits(
    statements: &mut Statements<'_>,
    watch: &Watch,
    first: Box<dyn Job>,
    waiting: &Receiver<Box<dyn Job>>,
) -> Vec<Done> {
    let all = iter::once(first).chain(waiting.try_iter());
    let mut jobs: Vec<_> = all.take(MAX_TOGETHER).collect();
    let mut ends = commit_all(statements, watch, &mut jobs);
    if let Some(locked) = ends.last().filter(|end| end.is_locked()).cloned() {
        // The rest, and who came meanwhile, would wait for the same lock again, and behind many for very long.
        jobs.extend(waiting.try_iter());
        ends.resize(jobs.len(), locked);
    }
    iter::zip(jobs, ends).collect()
}

/// A waker of the host's that panics must not end the one thread that writes.
fn answer_all(done: Vec<Done>) {
    for (job, end) in done {
        let _the_caller_is_gone = catch_unwind(AssertUnwindSafe(|| job.answer(&end)));
    }
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

impl End {
    /// Whether somebody else's lock stood in the way for as long as we wait.
    fn is_locked(&self) -> bool {
        matches!(self, End::NotDone(error) if is_busy(error))
    }
}

/// Makes changes in one transaction; or each in its own, where one of them, too big for the disk for instance, spoils that. Says how
/// those ended, up to the first that came upon a lock.
fn commit_all(
    statements: &mut Statements<'_>,
    watch: &Watch,
    jobs: &mut [Box<dyn Job>],
) -> Vec<End> {
    let together = commit_together(statements, watch, jobs);
    if jobs.len() == 1 || !matches!(together, End::Spoilt(_)) {
        return vec![together; jobs.len()];
    }
    let mut ends = Vec::new();
    for job in jobs {
        ends.push(commit_together(statements, watch, slice::from_mut(job)));
        if ends.last().is_some_and(End::is_locked) {
            break;
        }
    }
    ends
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
    let Err(error) = statements.execute(COMMIT, []) else {
        // It may have been written into a file that nobody will open again.
        return watch.look().map_or_else(|error| End::Unknown(error.into()), |()| End::Committed);
    };
    // A lock refuses before anything is written. After a write or a sync that failed, a crash may yet bring the change back.
    match statements.execute(ROLLBACK, []) {
        Ok(_) if is_busy(&error) => End::NotDone(error.into()),
        _ => End::Unknown(error.into()),
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
mod tests;
