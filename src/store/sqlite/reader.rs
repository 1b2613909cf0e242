//! [`Readers`]: short reads on the caller's own thread, and long ones on a thread of the store.
//!
//! Handing a look-up to another thread would cost more than the look-up itself.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, TryLockError};
use std::{iter, thread};

use rusqlite::Connection;

use super::binding::find_row;
use super::error::panicked;
use super::open::{Settings, open_reader};
use super::sql::FIND;
use super::watch::Watch;
use super::worker::{Worker, reply_channel};
use crate::store::{Row, TableName};
use crate::token::TokenId;

/// The most connections that read. Each of them keeps a few files open.
const MAX_CONNECTIONS: usize = 32;
/// How much of the file all connections together keep in memory, at most. SQLite allows 2 MB for
/// each, so as much for [`MAX_CONNECTIONS`]. Fewer connections may keep more each: a page that has
/// to be read again makes a look-up take half as long again.
const PAGE_CACHES_KIB: usize = 64 * 1024;

/// The connections that read.
pub(super) struct Readers {
    /// The thread for scans, started by the first of them; `None` inside if the system has no
    /// thread left. Declared before the connections that it uses, so that it is dropped first.
    scanner: OnceLock<Option<Worker<Scan>>>,
    connections: Arc<Connections>,
    watch: Watch,
    /// [`FIND`] with the name of the store's table, made once and not at each look-up.
    find: Box<str>,
}

/// A long read, which sends its reply itself.
type Scan = Box<dyn FnOnce() + Send>;

impl Readers {
    /// Opens the first connection to a file. Each other one is opened when a thread needs it.
    pub(super) fn open(
        path: &Path,
        table: &TableName,
        settings: Settings,
        watch: Watch,
    ) -> rusqlite::Result<Readers> {
        let cores = thread::available_parallelism().map_or(2, usize::from);
        let count = (2 * cores).min(MAX_CONNECTIONS);
        let first = open_reader(path, settings, PAGE_CACHES_KIB / count)?;
        // If the file was replaced meanwhile, this connection is to another file than the writer's.
        watch.check()?;
        let more = (1..count).map(|_| Slot::new());
        let slots = iter::once(Slot::from(Arc::new(Mutex::new(first)))).chain(more).collect();
        let file = Some((path.into(), settings));
        let connections = Connections { slots, file, watch: watch.clone() };
        Ok(Readers::new(connections, table, watch))
    }

    /// Reads through the one connection to a database in memory, which the writer shares.
    pub(super) fn in_memory(connection: Arc<Mutex<Connection>>, table: &TableName) -> Readers {
        let slots = Box::new([Slot::from(connection)]);
        let connections = Connections { slots, file: None, watch: Watch::none() };
        Readers::new(connections, table, Watch::none())
    }

    fn new(connections: Connections, table: &TableName, watch: Watch) -> Readers {
        let (scanner, connections) = (OnceLock::new(), Arc::new(connections));
        Readers { scanner, connections, watch, find: table.in_sql(FIND).into() }
    }

    /// Looks up a row.
    pub(super) fn find(&self, id: TokenId) -> rusqlite::Result<Option<Row>> {
        self.read(|connection| find_row(&mut *connection.prepare_cached(&self.find)?, id))
    }

    /// Runs a short read on the caller's thread.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        self.watch.check_cached()?;
        self.connections.read(read).map_err(|error| self.watch.explain(error))
    }

    /// Runs a read that may take long on the thread for scans, one after the other.
    pub(super) async fn scan<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> rusqlite::Result<T> {
        self.watch.check_cached()?;
        let (sender, receiver) = reply_channel();
        let connections = self.connections.clone();
        let scan: Scan = Box::new(move || sender.send(connections.read(read)));
        let start = || Worker::start("app-tokens-list", run_scans).ok();
        match self.scanner.get_or_init(start) {
            // If the thread has died, the scan is dropped together with its sender, and the
            // receiver gets `None`.
            Some(scanner) => _ = scanner.send(scan),
            None => scan(),
        }
        let reply = receiver.await.unwrap_or_else(|| Err(panicked("the list")));
        reply.map_err(|error| self.watch.explain(error))
    }
}

/// Runs scans until the sender is dropped.
#[expect(clippy::needless_pass_by_value, reason = "it lives as long as the thread")]
fn run_scans(scans: Receiver<Scan>) {
    for scan in scans.iter() {
        // A panic in the scan, or in a waker of the host, must not end the thread: all later scans
        // would fail.
        _ = catch_unwind(AssertUnwindSafe(scan)); // ignored: the caller gets an error, or is gone
    }
}

/// The connections, which all threads share.
///
/// They belong to the store and not to threads. In a thread-local, a connection would stay open
/// after the store was dropped, for as long as the thread lives.
struct Connections {
    slots: Box<[Slot]>,
    /// What to open for an empty slot; `None` for a database in memory, which has one full slot.
    file: Option<(Box<Path>, Settings)>,
    watch: Watch,
}

/// A place for a connection. It is opened when a thread that prefers this place first reads.
type Slot = OnceLock<Arc<Mutex<Connection>>>;

impl Connections {
    /// Reads through the connection that this thread prefers, or else through any that is free. If
    /// none is free, it waits for the preferred one.
    fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let preferred = thread_number() % self.slots.len();
        let connection = self.open(preferred)?;
        let (before, from) = self.slots.split_at(preferred);
        let free = from.iter().chain(before).filter_map(Slot::get).find_map(|connection| {
            match connection.try_lock() {
                Ok(free) => Some(free),
                // A read changes nothing, so a panic in one leaves its connection usable.
                Err(TryLockError::Poisoned(free)) => Some(free.into_inner()),
                Err(TryLockError::WouldBlock) => None,
            }
        });
        let wait = || connection.lock().unwrap_or_else(PoisonError::into_inner);
        read(&free.unwrap_or_else(wait))
    }

    /// Returns the connection at a place, and opens it if the place is empty.
    fn open(&self, place: usize) -> rusqlite::Result<&Mutex<Connection>> {
        let slot = &self.slots[place];
        let Some((path, settings)) = self.file.as_ref().filter(|_| slot.get().is_none()) else {
            return Ok(full(slot));
        };
        let opened = open_reader(path, *settings, PAGE_CACHES_KIB / self.slots.len())?;
        // The path may lead to another file by now. Then the watch fails, and this connection is
        // dropped before anything is read from it.
        self.watch.check()?;
        // If another thread filled the place meanwhile, that connection is used, and this one is
        // closed.
        Ok(slot.get_or_init(|| Arc::new(Mutex::new(opened))))
    }
}

/// Returns the connection of a place that is full.
#[expect(clippy::expect_used, reason = "only the slots of a file are made empty")]
fn full(slot: &Slot) -> &Mutex<Connection> {
    slot.get().expect("a connection")
}

/// Returns a number for this thread, so that different threads prefer different connections.
fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: Cell<Option<usize>> = const { Cell::new(None) };
    }
    // On a thread that is ending, its thread-locals may be gone. Any number will do there.
    let number = NUMBER.try_with(|number| {
        number.get().unwrap_or_else(|| {
            let new = NEXT.fetch_add(1, Ordering::Relaxed);
            number.set(Some(new));
            new
        })
    });
    number.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

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
        assert_eq!(error.to_string(), "the list panicked; see the panic's own message");
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
        let connections = Arc::downgrade(&readers.connections);
        drop(readers);
        assert!(connections.upgrade().is_none(), "nothing has the file open any more");
    }
}
