//! [`WriterThread`]: the one thread that writes. It commits changes in groups.
//!
//! A sync of the disk takes far longer than a change, and SQLite allows only one writer at a time.
//! So the changes that arrive during one sync share the next commit.
//!
//! The price is that one change could fail the others of its group. Two things prevent that. Each
//! change runs in a savepoint, so its own error undoes only itself. If an error ends the whole
//! transaction all the same, each change of the group is made again in a transaction of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::{io, iter, slice};

use rusqlite::Connection;

use super::error::{SqliteCallError, is_busy};
use super::statements::Statements;
use super::watch::Watch;
use super::worker::{ReplySender, Worker, reply_channel};
use crate::store::{StoreError, TableName};

const BEGIN: &str = "BEGIN IMMEDIATE";
const COMMIT: &str = "COMMIT";
const ROLLBACK: &str = "ROLLBACK";

/// The most changes in one transaction, so that the first of them does not wait too long.
const MAX_TOGETHER: usize = 256;

/// Takes changes from any thread, and makes them in order. Dropping it waits for those it took.
pub(super) struct WriterThread {
    thread: Worker<Box<dyn Job>>,
    name: Arc<str>,
}

impl WriterThread {
    /// Starts the thread, which runs [`write_file`] or [`write_memory`].
    pub(super) fn start(
        name: Arc<str>,
        write: impl FnOnce(Receiver<Box<dyn Job>>) + Send + 'static,
    ) -> io::Result<WriterThread> {
        Ok(WriterThread { thread: Worker::start("app-tokens", write)?, name })
    }

    /// Makes a change, and waits until it is committed.
    ///
    /// The change is sent when the future is first polled. From then on it is made even if the
    /// future is dropped. It is run again if another change of its group ended the transaction, so
    /// it is an `Fn`.
    ///
    /// # Errors
    /// - [`StoreError::not_done`] if the change failed, was rolled back or was not sent.
    /// - [`StoreError::unknown`] if the commit failed midway, or if the thread died.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        change: impl Fn(&mut Statements<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (sender, receiver) = reply_channel();
        let name = self.name.clone();
        if !self.thread.send(Box::new(WriteJob { change, outcome: None, sender, name })) {
            return Err(StoreError::not_done(ThreadDied));
        }
        receiver.await.unwrap_or_else(|| Err(StoreError::unknown(ThreadDied)))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the store's writer thread has ended; open the store again")]
struct ThreadDied;

/// Writes to a file until the sender is dropped, on a connection that only this thread uses.
pub(super) fn write_file(
    connection: &Connection,
    table: &TableName,
    watch: &Watch,
    waiting: &Receiver<Box<dyn Job>>,
) {
    // Made once, so that statements stay prepared from one group to the next.
    let mut statements = Statements::new(connection, table);
    while let Ok(first) = waiting.recv() {
        reply_to_all(commit_waiting(&mut statements, watch, first, waiting));
    }
}

/// Writes to a database in memory until the sender is dropped, on the connection that also reads.
pub(super) fn write_memory(
    connection: &Mutex<Connection>,
    table: &TableName,
    waiting: &Receiver<Box<dyn Job>>,
) {
    while let Ok(first) = waiting.recv() {
        let locked = connection.lock().unwrap_or_else(PoisonError::into_inner);
        let mut statements = Statements::new(&locked, table);
        let done = commit_waiting(&mut statements, &Watch::none(), first, waiting);
        // A reply wakes the host's code, which may read at once on this thread. The connection must
        // be unlocked before that, or it waits for itself.
        drop(statements);
        drop(locked);
        reply_to_all(done);
    }
}

/// A change with a caller that waits for it, and how its transaction ended.
type Done = (Box<dyn Job>, TransactionEnd);

/// Commits one change and those that wait behind it, and returns how each transaction ended.
fn commit_waiting(
    statements: &mut Statements<'_>,
    watch: &Watch,
    first: Box<dyn Job>,
    waiting: &Receiver<Box<dyn Job>>,
) -> Vec<Done> {
    // Takes what is there, and waits for no more: a lone change is committed at once.
    let all = iter::once(first).chain(waiting.try_iter());
    let mut jobs: Vec<_> = all.take(MAX_TOGETHER).collect();
    let mut ends = commit_all(statements, watch, &mut jobs);
    if let Some(locked) = ends.last().filter(|end| end.is_locked()).cloned() {
        // The remaining changes, and those that arrived meanwhile, would each wait for the same
        // lock: the tenth of them for 50 seconds. They all fail now instead.
        jobs.extend(waiting.try_iter());
        ends.resize(jobs.len(), locked);
    }
    iter::zip(jobs, ends).collect()
}

/// Tells each caller its outcome.
fn reply_to_all(done: Vec<Done>) {
    for (job, end) in done {
        // A reply runs a waker of the host. If that panics, it must not end the only thread that
        // writes.
        _ = catch_unwind(AssertUnwindSafe(|| job.reply(&end))); // ignored: the caller is gone
    }
}

/// How a transaction ended.
#[derive(Clone)]
pub(super) enum TransactionEnd {
    Committed,
    /// Rolled back, because one of its changes ended it.
    Spoiled(Arc<rusqlite::Error>),
    /// Not begun, or refused before anything was written.
    NotDone(Arc<rusqlite::Error>),
    /// Failed during the commit, or committed into a file that was replaced.
    Unknown(Arc<rusqlite::Error>),
}

impl TransactionEnd {
    /// Returns whether another connection held a lock for longer than this one waits.
    fn is_locked(&self) -> bool {
        matches!(self, TransactionEnd::NotDone(error) if is_busy(error))
    }
}

/// Commits changes in one transaction. If one of them ends it, commits each in its own.
///
/// Returns how each ended, up to the first that met a lock.
fn commit_all(
    statements: &mut Statements<'_>,
    watch: &Watch,
    jobs: &mut [Box<dyn Job>],
) -> Vec<TransactionEnd> {
    let together = commit_together(statements, watch, jobs);
    if jobs.len() == 1 || !matches!(together, TransactionEnd::Spoiled(_)) {
        return vec![together; jobs.len()];
    }
    // Tried in the same order one by one, since nothing tells which change ended the transaction.
    // For instance, one that is too large for the disk now fails alone.
    let mut ends = Vec::new();
    for job in jobs {
        ends.push(commit_together(statements, watch, slice::from_mut(job)));
        if ends.last().is_some_and(TransactionEnd::is_locked) {
            break;
        }
    }
    ends
}

/// Runs changes in one transaction, and commits it.
fn commit_together(
    statements: &mut Statements<'_>,
    watch: &Watch,
    jobs: &mut [Box<dyn Job>],
) -> TransactionEnd {
    if let Err(error) = watch.check().and_then(|()| statements.execute(BEGIN, [])) {
        return TransactionEnd::NotDone(error.into());
    }
    for job in jobs {
        if let Err(error) = job.run(statements) {
            _ = statements.execute(ROLLBACK, []); // ignored: SQLite has rolled it back already
            return TransactionEnd::Spoiled(error.into());
        }
    }
    let Err(error) = statements.execute(COMMIT, []) else {
        // The file may have been replaced between the first check and the commit. Then the change
        // was written into a file that no process opens again.
        return match watch.check() {
            Ok(()) => TransactionEnd::Committed,
            Err(error) => TransactionEnd::Unknown(error.into()),
        };
    };
    // A lock makes SQLite refuse before it writes anything. If a write or a sync failed, part of
    // the change is in the log, and a crash may still bring it back.
    match statements.execute(ROLLBACK, []) {
        Ok(_) if is_busy(&error) => TransactionEnd::NotDone(error.into()),
        _ => TransactionEnd::Unknown(error.into()),
    }
}

/// A change with a caller that waits for it.
pub(super) trait Job: Send {
    /// Makes the change within the open transaction, in full or not at all.
    ///
    /// # Errors
    /// An error that ended the whole transaction. The change's own error is kept for the reply.
    fn run(&mut self, statements: &mut Statements<'_>) -> rusqlite::Result<()>;

    /// Tells the caller the outcome, once the transaction has ended.
    fn reply(self: Box<Self>, end: &TransactionEnd);
}

/// A change, its outcome so far, and where to send the reply.
struct WriteJob<T, F> {
    change: F,
    outcome: Option<rusqlite::Result<T>>,
    sender: ReplySender<Result<T, StoreError>>,
    name: Arc<str>,
}

impl<T, F> Job for WriteJob<T, F>
where
    T: Send,
    F: Fn(&mut Statements<'_>) -> rusqlite::Result<T> + Send,
{
    fn run(&mut self, statements: &mut Statements<'_>) -> rusqlite::Result<()> {
        self.outcome = None;
        self.outcome = Some(statements.atomically(&self.change)?);
        Ok(())
    }

    #[expect(clippy::expect_used, reason = "every change has run before its COMMIT is sent")]
    fn reply(self: Box<Self>, end: &TransactionEnd) {
        let WriteJob { outcome, sender, name, .. } = *self;
        let failure = |error: Arc<rusqlite::Error>| SqliteCallError::new(name, error);
        let reply = match (outcome, end) {
            // The change's own savepoint was rolled back, so it is undone however the transaction
            // ended.
            (Some(Err(error)), _) => Err(StoreError::not_done(failure(error.into()))),
            (_, TransactionEnd::Spoiled(error) | TransactionEnd::NotDone(error)) => {
                Err(StoreError::not_done(failure(error.clone())))
            }
            (_, TransactionEnd::Unknown(error)) => Err(StoreError::unknown(failure(error.clone()))),
            (outcome, TransactionEnd::Committed) => {
                Ok(outcome.and_then(Result::ok).expect("a committed change has an outcome"))
            }
        };
        sender.send(reply);
    }
}

#[cfg(test)]
mod tests;
