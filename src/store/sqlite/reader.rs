//! Reading on the caller's own thread: a query takes three microseconds, a way to another thread and back more. What may walk through
//! a whole table has a thread of its own.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, TryLockError, Weak};
use std::task::{Context, Poll, Waker};

use rusqlite::Connection;

use super::binding::look_up;
use super::error::panicked;
use super::open::open_reader;
use super::sql::FIND;
use super::watch::Watch;
use super::worker::{Worker, promise};
use crate::store::{Row, TableName};
use crate::token::TokenId;

/// How many connections all threads share.
const SHARED: usize = 4;
/// After how many look-ups a thread is worth a connection of its own; a thread that serves one request only isn't.
const LOOKUPS_BEFORE_OWN: u32 = 8;
/// The most threads that get one. The others share.
const MAX_OWN: usize = 32;

/// The connections that read.
pub(super) struct Readers {
    /// Started by the first walk; `None` where the system has no more threads. Ends before the connections that it reads by.
    walker: OnceLock<Option<Worker<Walk>>>,
    shared: Arc<Shared>,
    /// The file; without one there is nothing that a thread could open for itself.
    file: Option<Arc<OwnReaders>>,
    watch: Watch,
    /// [`FIND`], over the store's table.
    find: Arc<str>,
}

/// The connections that all threads share.
struct Shared {
    connections: Box<[Arc<Mutex<Connection>>]>,
    next: AtomicUsize,
}

/// A long read, and how it is answered.
type Walk = Box<dyn FnOnce() + Send>;

/// What the threads with a connection of their own know of the store.
struct OwnReaders {
    path: Box<Path>,
    find: Arc<str>,
    watch: Watch,
    count: AtomicUsize,
}

impl Readers {
    /// Readers of a file.
    pub(super) fn open(path: &Path, table: &TableName, watch: Watch) -> rusqlite::Result<Readers> {
        let open = |_| open_reader(path).map(Mutex::new).map(Arc::new);
        let connections = (0..SHARED).map(open).collect::<Result<_, _>>()?;
        // Else some may have opened another file.
        watch.look()?;
        Ok(Readers::by(connections, Some(path), table, watch))
    }

    /// The one connection of a database in memory.
    pub(super) fn of_memory(connection: Arc<Mutex<Connection>>, table: &TableName) -> Readers {
        Readers::by(Box::new([connection]), None, table, Watch::of_nothing())
    }

    fn by(
        connections: Box<[Arc<Mutex<Connection>>]>,
        path: Option<&Path>,
        table: &TableName,
        watch: Watch,
    ) -> Readers {
        let find = Arc::<str>::from(table.in_sql(FIND));
        let file = path.map(|path| OwnReaders {
            path: path.into(),
            find: find.clone(),
            watch: watch.clone(),
            count: AtomicUsize::new(0),
        });
        let shared = Arc::new(Shared { connections, next: AtomicUsize::new(0) });
        Readers { walker: OnceLock::new(), shared, file: file.map(Arc::new), watch, find }
    }

    /// Looks a row up, by this thread's own statement where it has one.
    pub(super) fn find(&self, id: TokenId) -> rusqlite::Result<Option<Row>> {
        self.watch.glance()?;
        let own = self.file.as_ref().and_then(|file| find_by_own(file, id));
        let found = own.unwrap_or_else(|| {
            self.shared.read(|connection| look_up(&mut connection.prepare(&self.find)?, id))
        });
        found.map_err(|error| self.watch.explain(error))
    }

    /// Reads what is soon read.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        self.watch.glance()?;
        self.shared.read(read).map_err(|error| self.watch.explain(error))
    }

    /// Reads what may take long, one after the other, on a thread that is kept for that.
    pub(super) async fn walk<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> rusqlite::Result<T> {
        self.watch.glance()?;
        let (promise, answer) = promise();
        let shared = self.shared.clone();
        let walk: Walk = Box::new(move || promise.keep(shared.read(read)));
        let start = || Worker::start("app-tokens-list", walk_all).ok();
        match self.walker.get_or_init(start) {
            Some(walker) => _ = walker.send(walk),
            None => walk(),
        }
        let answer = answer.await.unwrap_or_else(|| Err(panicked("the list")));
        answer.map_err(|error| self.watch.explain(error))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it lives as long as the thread")]
fn walk_all(walks: Receiver<Walk>) {
    for walk in walks.iter() {
        // A waker of the host's that panics must not end the thread.
        let _the_caller_is_gone = catch_unwind(AssertUnwindSafe(walk));
    }
}

impl Drop for Readers {
    /// Closes this thread's own connection. Other threads close theirs when they end or open another store.
    fn drop(&mut self) {
        drop(self.file.take());
        let _the_thread_is_ending = OWN.try_with(forget_closed);
    }
}

impl Shared {
    /// Reads by a connection that nobody uses at the moment, if there is one.
    fn read<T>(&self, read: impl FnOnce(&Connection) -> T) -> T {
        for connection in &self.connections {
            match connection.try_lock() {
                Ok(free) => return read(&free),
                Err(TryLockError::Poisoned(free)) => return read(&free.into_inner()),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        let next = self.next.fetch_add(1, Ordering::Relaxed) % self.connections.len();
        read(&self.connections[next].lock().unwrap_or_else(PoisonError::into_inner))
    }
}

thread_local! {
    static OWN: RefCell<Vec<Own>> = const { RefCell::new(Vec::new()) };
}

/// What a thread has of a store that it reads.
struct Own {
    file: Weak<OwnReaders>,
    lookups: u32,
    statement: Option<OwnStatement>,
}

/// `None` where this thread has no statement of its own (yet).
fn find_by_own(file: &Arc<OwnReaders>, id: TokenId) -> Option<rusqlite::Result<Option<Row>>> {
    let find = |own: &RefCell<Vec<Own>>| {
        let mut all = own.try_borrow_mut().ok()?;
        let Some(own) = all.iter_mut().find(|own| own.file.as_ptr() == Arc::as_ptr(file)) else {
            drop(all);
            forget_closed(own);
            let first = Own { file: Arc::downgrade(file), lookups: 1, statement: None };
            own.try_borrow_mut().ok()?.push(first);
            return None;
        };
        // One that panics isn't asked again.
        if let Some(mut statement) = own.statement.take() {
            let found = statement.find(id);
            own.statement = Some(statement);
            return Some(found);
        }
        own.lookups = own.lookups.wrapping_add(1);
        if own.lookups % LOOKUPS_BEFORE_OWN == 0 {
            own.statement = OwnStatement::open(file);
        }
        None
    };
    OWN.try_with(find).ok().flatten()
}

fn forget_closed(own: &RefCell<Vec<Own>>) {
    if let Ok(mut all) = own.try_borrow_mut() {
        all.retain(|own| own.file.strong_count() > 0);
    }
}

/// A connection together with a statement prepared on it.
///
/// rusqlite's statement borrows its connection and stays on its thread. What can hold both, without `unsafe`, is the frame of an
/// async function: it answers a question whenever it is polled, and waits for the next.
struct OwnStatement {
    desk: Rc<Desk>,
    clerk: Pin<Box<dyn Future<Output = Gone>>>,
    _place: Place,
}

/// The clerk never leaves, unless the statement can't be prepared.
type Gone = rusqlite::Result<Infallible>;

#[derive(Default)]
struct Desk {
    question: Cell<Option<TokenId>>,
    answer: Cell<Option<rusqlite::Result<Option<Row>>>>,
}

impl OwnStatement {
    fn open(file: &Arc<OwnReaders>) -> Option<OwnStatement> {
        let _place = Place::take(file)?;
        let connection = open_reader(&file.path).ok()?;
        // Else it may be another file by now.
        file.watch.look().ok()?;
        let desk = Rc::<Desk>::default();
        let mut clerk: Pin<Box<dyn Future<Output = Gone>>> =
            Box::pin(attend(desk.clone(), connection, file.find.clone()));
        let ready = clerk.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending();
        ready.then_some(OwnStatement { desk, clerk, _place })
    }

    fn find(&mut self, id: TokenId) -> rusqlite::Result<Option<Row>> {
        self.desk.question.set(Some(id));
        match self.clerk.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => self.desk.answer.take().unwrap_or(Err(rusqlite::Error::InvalidQuery)),
            Poll::Ready(gone) => gone.map(|never| match never {}),
        }
    }
}

async fn attend(desk: Rc<Desk>, connection: Connection, find: Arc<str>) -> Gone {
    let mut statement = connection.prepare(&find)?;
    loop {
        let id = poll_fn(|_| desk.question.take().map_or(Poll::Pending, Poll::Ready)).await;
        desk.answer.set(Some(look_up(&mut statement, id)));
    }
}

/// One of the [`MAX_OWN`] places, given back when it is dropped.
struct Place(Weak<OwnReaders>);

impl Place {
    fn take(file: &Arc<OwnReaders>) -> Option<Place> {
        let more = |count| (count < MAX_OWN).then_some(count + 1);
        file.count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Place(Arc::downgrade(file)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(file) = self.0.upgrade() {
            file.count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::blocking::block_on;
    use crate::store::sqlite::open::open_writer;

    fn readers() -> Readers {
        let connection = Arc::new(Mutex::new(Connection::open_in_memory().unwrap()));
        Readers::of_memory(connection, &TableName::default())
    }

    fn thread_name(_: &Connection) -> rusqlite::Result<Option<String>> {
        Ok(thread::current().name().map(str::to_owned))
    }

    #[test]
    fn a_walk_runs_on_a_thread_of_the_stores() {
        let readers = readers();
        let own = thread::current().name().map(str::to_owned);
        assert_eq!(readers.read(thread_name).unwrap(), own);
        let walked = block_on(readers.walk(thread_name)).unwrap();
        assert_eq!(walked.as_deref(), Some("app-tokens-list"));
    }

    #[test]
    fn a_walk_that_panics_fails_alone() {
        let readers = readers();
        let error = block_on(readers.walk::<()>(|_| panic!("on purpose"))).unwrap_err();
        assert_eq!(error.to_string(), "the list has panicked");
        assert!(block_on(readers.walk(thread_name)).is_ok());
    }

    #[test]
    #[cfg(unix)]
    fn a_look_up_that_panics_fails_alone() {
        let directory = tempfile::tempdir().unwrap();
        let (path, table) = (directory.path().join("app.db"), TableName::default());
        let (_writer, watch) = open_writer(&path, &table).unwrap();
        let readers = Readers::open(&path, &table, watch).unwrap();
        let look_up = || readers.find(TokenId::MAX).unwrap();
        for _ in 0..LOOKUPS_BEFORE_OWN {
            assert!(look_up().is_none());
        }
        OWN.with_borrow_mut(|own| {
            let statement = own[0].statement.as_mut().unwrap();
            statement.clerk = Box::pin(async { panic!("on purpose") });
        });
        assert!(catch_unwind(AssertUnwindSafe(look_up)).is_err());
        for _ in 0..2 * LOOKUPS_BEFORE_OWN {
            assert!(look_up().is_none());
        }
        let has_own = OWN.with_borrow(|own| own[0].statement.is_some());
        assert!(has_own, "it got another one");
    }

    #[test]
    fn dropping_the_readers_waits_for_the_walk_that_runs() {
        let readers = readers();
        let (started, has_started) = std::sync::mpsc::channel();
        let (go_on, may_go_on) = std::sync::mpsc::channel();
        let mut walk = Box::pin(readers.walk(move |_| {
            started.send(()).unwrap();
            may_go_on.recv().map_err(|_| rusqlite::Error::InvalidQuery)
        }));
        let polled = walk.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending(), "the caller's thread is free meanwhile");
        has_started.recv().unwrap();
        go_on.send(()).unwrap();
        drop(walk);
        let shared = Arc::downgrade(&readers.shared);
        drop(readers);
        assert!(shared.upgrade().is_none(), "nothing has the file open any more");
    }
}
