//! [`Readers`]: reading on the caller's own thread, which is quicker than any way to another one.
//! What may walk through a whole table has a thread of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, TryLockError};

use rusqlite::Connection;

use super::binding::find_row;
use super::error::panicked;
use super::open::open_reader;
use super::sql::FIND;
use super::thread_reader::{self, ThreadReaders};
use super::watch::Watch;
use super::worker::{Worker, reply_channel};
use crate::store::{Row, TableName};
use crate::token::TokenId;

/// How many connections all threads share.
const SHARED_CONNECTIONS: usize = 4;

/// The connections that read.
pub(super) struct Readers {
    /// Started by the first scan; `None` if the system has no more threads. Declared, and so
    /// dropped, before the connections that it reads by.
    scanner: OnceLock<Option<Worker<Scan>>>,
    shared: Arc<SharedReaders>,
    /// `None` for a database in memory, to which a thread can't open a connection of its own.
    of_threads: Option<Arc<ThreadReaders>>,
    watch: Watch,
    /// [`FIND`], over the store's table.
    find: Arc<str>,
}

/// A long read, which sends its own reply.
type Scan = Box<dyn FnOnce() + Send>;

impl Readers {
    /// Opens the connections to a file.
    pub(super) fn open(path: &Path, table: &TableName, watch: Watch) -> rusqlite::Result<Readers> {
        let open = |_| open_reader(path).map(Mutex::new).map(Arc::new);
        let connections = (0..SHARED_CONNECTIONS).map(open).collect::<Result<_, _>>()?;
        // If the file was replaced meanwhile, some have opened another one.
        watch.check()?;
        Ok(Readers::new(connections, Some(path), table, watch))
    }

    /// Reads by the one connection to a database in memory.
    pub(super) fn in_memory(connection: Arc<Mutex<Connection>>, table: &TableName) -> Readers {
        Readers::new(Box::new([connection]), None, table, Watch::none())
    }

    fn new(
        connections: Box<[Arc<Mutex<Connection>>]>,
        path: Option<&Path>,
        table: &TableName,
        watch: Watch,
    ) -> Readers {
        let find = Arc::<str>::from(table.in_sql(FIND));
        let of_threads = path.map(|path| ThreadReaders::new(path, find.clone(), watch.clone()));
        let shared = Arc::new(SharedReaders { connections, next: AtomicUsize::new(0) });
        Readers { scanner: OnceLock::new(), shared, of_threads, watch, find }
    }

    /// Looks a row up, by this thread's own statement if it has one.
    pub(super) fn find(&self, id: TokenId) -> rusqlite::Result<Option<Row>> {
        self.watch.check_cached()?;
        let found = self.of_threads.as_ref().and_then(|of_threads| of_threads.find(id));
        let found = found.unwrap_or_else(|| {
            self.shared.read(|connection| find_row(&mut connection.prepare(&self.find)?, id))
        });
        found.map_err(|error| self.watch.explain(error))
    }

    /// Runs a short read on this thread.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        self.watch.check_cached()?;
        self.shared.read(read).map_err(|error| self.watch.explain(error))
    }

    /// Runs a read that may take long on a thread that is kept for that, one after the other.
    pub(super) async fn scan<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> rusqlite::Result<T> {
        self.watch.check_cached()?;
        let (sender, receiver) = reply_channel();
        let shared = self.shared.clone();
        let scan: Scan = Box::new(move || sender.send(shared.read(read)));
        let start = || Worker::start("app-tokens-list", run_scans).ok();
        match self.scanner.get_or_init(start) {
            // If the thread has died, the scan is dropped with its sender, and the receiver hears
            // of it.
            Some(scanner) => _ = scanner.send(scan),
            None => scan(),
        }
        let reply = receiver.await.unwrap_or_else(|| Err(panicked("the list")));
        reply.map_err(|error| self.watch.explain(error))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it lives as long as the thread")]
fn run_scans(scans: Receiver<Scan>) {
    for scan in scans.iter() {
        // A panic, in the scan or in a waker of the host's, must not end the thread.
        _ = catch_unwind(AssertUnwindSafe(scan)); // ignored: the caller hears of it, or is gone
    }
}

impl Drop for Readers {
    /// Closes this thread's own connection. Other threads close theirs when they end or read
    /// another store.
    fn drop(&mut self) {
        drop(self.of_threads.take());
        thread_reader::close_unused();
    }
}

/// The connections that all threads share.
struct SharedReaders {
    connections: Box<[Arc<Mutex<Connection>>]>,
    /// The one to wait for if all are in use.
    next: AtomicUsize,
}

impl SharedReaders {
    /// Reads by a connection that is free at the moment, or else waits for one.
    fn read<T>(&self, read: impl FnOnce(&Connection) -> T) -> T {
        for connection in &self.connections {
            match connection.try_lock() {
                Ok(free) => return read(&free),
                // A read that panicked has left nothing behind on its connection.
                Err(TryLockError::Poisoned(free)) => return read(&free.into_inner()),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        let next = self.next.fetch_add(1, Ordering::Relaxed) % self.connections.len();
        read(&self.connections[next].lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};
    use std::thread;

    use super::*;
    use crate::block_on::block_on;

    fn readers() -> Readers {
        let connection = Arc::new(Mutex::new(Connection::open_in_memory().unwrap()));
        Readers::in_memory(connection, &TableName::default())
    }

    fn thread_name(_: &Connection) -> rusqlite::Result<Option<String>> {
        Ok(thread::current().name().map(str::to_owned))
    }

    #[test]
    fn a_scan_runs_on_a_thread_of_the_stores() {
        let readers = readers();
        let own = thread::current().name().map(str::to_owned);
        assert_eq!(readers.read(thread_name).unwrap(), own);
        let scanned = block_on(readers.scan(thread_name)).unwrap();
        assert_eq!(scanned.as_deref(), Some("app-tokens-list"));
    }

    #[test]
    fn a_scan_that_panics_fails_alone() {
        let readers = readers();
        let error = block_on(readers.scan::<()>(|_| panic!("on purpose"))).unwrap_err();
        assert_eq!(error.to_string(), "the list has panicked");
        assert!(block_on(readers.scan(thread_name)).is_ok());
    }

    #[test]
    fn dropping_the_readers_waits_for_the_scan_that_runs() {
        let readers = readers();
        let (started, has_started) = std::sync::mpsc::channel();
        let (go_on, may_go_on) = std::sync::mpsc::channel();
        let mut scan = Box::pin(readers.scan(move |_| {
            started.send(()).unwrap();
            may_go_on.recv().map_err(|_| rusqlite::Error::InvalidQuery)
        }));
        let polled = scan.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending(), "the caller's thread is free meanwhile");
        has_started.recv().unwrap();
        go_on.send(()).unwrap();
        drop(scan);
        let shared = Arc::downgrade(&readers.shared);
        drop(readers);
        assert!(shared.upgrade().is_none(), "nothing has the file open any more");
    }
}
