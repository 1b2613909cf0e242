//! A connection per thread for look-ups, with the statement prepared on it.
//!
//! A look-up takes three microseconds this way. To prepare the statement for each one, or to send
//! the question to another thread, takes several times as long.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::poll_fn;
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use rusqlite::Connection;

use super::binding::find_row;
use super::open::open_reader;
use super::watch::Watch;
use crate::store::Row;
use crate::token::TokenId;

/// After so many look-ups a thread gets a connection. A thread that serves one request isn't worth
/// one.
const LOOKUPS_BEFORE_CONNECTION: u32 = 8;
/// At most so many threads get one, as each costs a few open files. The others share.
const MAX_THREAD_CONNECTIONS: usize = 32;

/// What a thread needs to open a connection to the store's file, and how many have one.
pub(super) struct ThreadReaders {
    path: Box<Path>,
    /// The look-up, over the store's table.
    find: Arc<str>,
    watch: Watch,
    connections: AtomicUsize,
}

impl ThreadReaders {
    pub(super) fn new(path: &Path, find: Arc<str>, watch: Watch) -> Arc<ThreadReaders> {
        let connections = AtomicUsize::new(0);
        Arc::new(ThreadReaders { path: path.into(), find, watch, connections })
    }

    /// Looks a row up on this thread's own connection. `None` if the thread has none, or none yet.
    pub(super) fn find(self: &Arc<Self>, id: TokenId) -> Option<rusqlite::Result<Option<Row>>> {
        // Not on a thread that is ending: its thread-locals are gone.
        THREAD_READERS.try_with(|readers| self.find_among(readers, id)).ok().flatten()
    }

    fn find_among(
        self: &Arc<Self>,
        readers: &RefCell<Vec<ThreadReader>>,
        id: TokenId,
    ) -> Option<rusqlite::Result<Option<Row>>> {
        let mut all = readers.try_borrow_mut().ok()?;
        let is_of_this_store = |reader: &&mut ThreadReader| reader.of.as_ptr() == Arc::as_ptr(self);
        let Some(reader) = all.iter_mut().find(is_of_this_store) else {
            all.retain(ThreadReader::is_open);
            all.push(ThreadReader { of: Arc::downgrade(self), lookups: 1, statement: None });
            return None;
        };
        // Taken out for the call: a statement that panics isn't used again.
        if let Some(mut statement) = reader.statement.take() {
            let found = statement.find(id);
            reader.statement = Some(statement);
            return Some(found);
        }
        reader.lookups = reader.lookups.wrapping_add(1);
        if reader.lookups % LOOKUPS_BEFORE_CONNECTION == 0 {
            reader.statement = ThreadStatement::open(self);
        }
        None
    }
}

/// Closes this thread's connections to stores that were dropped.
pub(super) fn close_unused() {
    // Not on a thread that is ending, which closes them itself.
    _ = THREAD_READERS.try_with(|readers| {
        if let Ok(mut all) = readers.try_borrow_mut() {
            all.retain(ThreadReader::is_open);
        }
    });
}

thread_local! {
    /// One for each store that this thread has read.
    static THREAD_READERS: RefCell<Vec<ThreadReader>> = const { RefCell::new(Vec::new()) };
}

/// What a thread has of one store.
struct ThreadReader {
    of: Weak<ThreadReaders>,
    lookups: u32,
    statement: Option<ThreadStatement>,
}

impl ThreadReader {
    fn is_open(&self) -> bool {
        self.of.strong_count() > 0
    }
}

/// A connection together with a statement that is prepared on it.
///
/// rusqlite's statement borrows its connection, so a struct can't hold both without `unsafe`. The
/// frame of an async function can. The function prepares the statement and then loops: it waits for
/// an id in the mailbox, looks it up and leaves the answer there. A caller puts in an id and
/// polls once. It never waits for anything else, so it needs no runtime and no waker.
struct ThreadStatement {
    mailbox: Rc<Mailbox>,
    query_loop: Pin<Box<dyn Future<Output = Exit>>>,
    _slot: ConnectionSlot,
}

/// The loop ends only if the statement can't be prepared.
type Exit = rusqlite::Result<Infallible>;

#[derive(Default)]
struct Mailbox {
    question: Cell<Option<TokenId>>,
    answer: Cell<Option<rusqlite::Result<Option<Row>>>>,
}

impl ThreadStatement {
    /// `None` if enough threads have a connection, or if it can't be opened: the shared ones report
    /// why.
    fn open(readers: &Arc<ThreadReaders>) -> Option<ThreadStatement> {
        let _slot = ConnectionSlot::take(readers)?;
        let connection = open_reader(&readers.path).ok()?;
        // The path may lead to another file by now.
        readers.watch.check().ok()?;
        let mailbox = Rc::<Mailbox>::default();
        let mut query_loop: Pin<Box<dyn Future<Output = Exit>>> =
            Box::pin(answer_queries(mailbox.clone(), connection, readers.find.clone()));
        // The first poll prepares the statement.
        let is_ready =
            query_loop.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending();
        is_ready.then_some(ThreadStatement { mailbox, query_loop, _slot })
    }

    #[expect(clippy::expect_used, reason = "the loop waits only when it has answered")]
    fn find(&mut self, id: TokenId) -> rusqlite::Result<Option<Row>> {
        self.mailbox.question.set(Some(id));
        match self.query_loop.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => self.mailbox.answer.take().expect("a question that was polled for"),
            Poll::Ready(exit) => exit.map(|never| match never {}),
        }
    }
}

async fn answer_queries(mailbox: Rc<Mailbox>, connection: Connection, find: Arc<str>) -> Exit {
    let mut statement = connection.prepare(&find)?;
    loop {
        let id = poll_fn(|_| mailbox.question.take().map_or(Poll::Pending, Poll::Ready)).await;
        mailbox.answer.set(Some(find_row(&mut statement, id)));
    }
}

/// One of the [`MAX_THREAD_CONNECTIONS`], given back when it is dropped.
struct ConnectionSlot(Weak<ThreadReaders>);

impl ConnectionSlot {
    fn take(readers: &Arc<ThreadReaders>) -> Option<ConnectionSlot> {
        let more = |count| (count < MAX_THREAD_CONNECTIONS).then_some(count + 1);
        readers.connections.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(ConnectionSlot(Arc::downgrade(readers)))
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        if let Some(readers) = self.0.upgrade() {
            readers.connections.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::store::TableName;
    use crate::store::sqlite::open::open_writer;
    use crate::store::sqlite::reader::Readers;

    #[test]
    fn a_look_up_that_panics_fails_alone() {
        let directory = tempfile::tempdir().unwrap();
        let (path, table) = (directory.path().join("app.db"), TableName::default());
        let (_writer, watch) = open_writer(&path, &table).unwrap();
        let readers = Readers::open(&path, &table, watch).unwrap();
        let look_up = || readers.find(TokenId::MAX).unwrap();
        for _ in 0..LOOKUPS_BEFORE_CONNECTION {
            assert!(look_up().is_none());
        }
        THREAD_READERS.with_borrow_mut(|readers| {
            let statement = readers[0].statement.as_mut().unwrap();
            statement.query_loop = Box::pin(async { panic!("on purpose") });
        });
        assert!(catch_unwind(AssertUnwindSafe(look_up)).is_err());
        for _ in 0..2 * LOOKUPS_BEFORE_CONNECTION {
            assert!(look_up().is_none());
        }
        let has_statement = THREAD_READERS.with_borrow(|readers| readers[0].statement.is_some());
        assert!(has_statement, "it got another one");
    }
}
