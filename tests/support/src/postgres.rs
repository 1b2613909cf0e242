//! A real PostgreSQL server for the tests of one binary, on loopback and on a unix socket in a
//! folder of its own.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, OnceLock};
use std::time::Duration;

use app_tokens::record::{KeyId, LastUse, Revocation};
use app_tokens::store::{
    Filter, Insert, Inserted, Page, PostgresStore, Purge, Replace, Replaced, Row, RuntimeFree,
    StoreError, Supersede, Superseded, TokenStore,
};
use app_tokens::{Timestamp, TokenId};
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime as PoolRuntime};
use tokio::runtime::Runtime;
use tokio_postgres::{Client, Config, NoTls};

use crate::program::user_ids;

mod copy;

pub use copy::copy_new_tokens;

/// The runtime of all connections of a test binary.
pub static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// A server that ends with this process, even if that is killed.
pub struct Server {
    directory: PathBuf,
    port: u16,
    user: Option<(u32, u32)>,
    programs: PathBuf,
    settings: &'static str,
    /// Stops the server and removes its folder when this process closes the pipe, which a killed
    /// process does, too.
    watchdog: Child,
}

impl Server {
    /// Returns the one server of this test binary. If PostgreSQL is not installed, it returns
    /// `None` and says so loudly; in CI it panics.
    pub fn shared() -> Option<&'static Server> {
        static SERVER: OnceLock<Option<Server>> = OnceLock::new();
        SERVER.get_or_init(Server::start).as_ref()
    }

    /// Returns the one server of this test binary, in which every test needs it. If PostgreSQL is
    /// not installed, the process ends with success.
    pub fn needed() -> &'static Server {
        Server::shared().unwrap_or_else(|| std::process::exit(0))
    }

    /// Starts a server for one test, which may stop and start it.
    pub fn start() -> Option<Server> {
        Server::with_settings("-c fsync=off")
    }

    /// Starts a server that waits for the disk, so that a test may crash it.
    pub fn start_durable() -> Option<Server> {
        Server::with_settings("-c fsync=on")
    }

    fn with_settings(settings: &'static str) -> Option<Server> {
        let mut server = Server::without_data(settings)?;
        let data = server.data();
        let data = data.to_str().unwrap();
        let settings =
            ["--encoding=UTF8", "--no-locale", "--no-sync", "-U", "postgres", "-A", "trust"];
        server.run("initdb", &[&["-D", data], &settings[..]].concat());
        server.find_port();
        Some(server)
    }

    /// Prepares everything that a server needs, except its data.
    fn without_data(settings: &'static str) -> Option<Server> {
        let Some(programs) = programs() else {
            // Written directly, as the test's output is captured.
            let loudly = "\nSKIPPED: every test with PostgreSQL, \
                          as initdb is not installed (apt-get install postgresql)\n";
            std::io::stderr().write_all(loudly.as_bytes()).unwrap();
            assert!(std::env::var_os("CI").is_none(), "{loudly}");
            return None;
        };
        let directory = tempfile::Builder::new().prefix("app-tokens-pg").tempdir().unwrap().keep();
        let is_root = fs::metadata(&directory).unwrap().uid() == 0;
        // PostgreSQL refuses to run as root.
        let user = is_root.then(|| user_ids("postgres"));
        if let Some((uid, gid)) = user {
            chown(&directory, Some(uid), Some(gid)).unwrap();
        }
        let script = r#"cat >/dev/null; "$0" -D "$1/data" -m immediate -w stop; rm -rf "$1""#;
        let mut watchdog = Command::new("sh");
        watchdog.args(["-c", script]).arg(programs.join("pg_ctl")).arg(&directory);
        watchdog.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // In a group of its own, so that Ctrl-C doesn't end it before the server.
        watchdog.process_group(0);
        as_user(&mut watchdog, user);
        let watchdog = watchdog.spawn().unwrap();
        Some(Server { directory, port: 0, user, programs, settings, watchdog })
    }

    fn find_port(&mut self) {
        // Another process may take the port before the server does.
        for _ in 0..5 {
            self.port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            if self.try_up() {
                return;
            }
        }
        panic!("{}", fs::read_to_string(self.directory.join("log")).unwrap_or_default());
    }

    pub fn up(&self) {
        assert!(self.try_up());
    }

    fn try_up(&self) -> bool {
        let options = format!(
            "-p {} -k {} -c listen_addresses=127.0.0.1 {} -c max_connections=300 \
             -c shared_buffers=32MB -c log_line_prefix=%d:",
            self.port,
            self.directory.display(),
            self.settings
        );
        let log = self.directory.join("log");
        let data = self.data();
        let [data, log] = [&data, &log].map(|path| path.to_str().unwrap());
        self.try_run("pg_ctl", &["-D", data, "-w", "-l", log, "-o", &options, "start"])
    }

    /// Starts a hot standby of this server.
    pub fn standby(&self) -> Server {
        let mut standby = Server::without_data(self.settings).unwrap();
        let (from, data) = (self.port.to_string(), standby.data());
        let from = ["-h", "127.0.0.1", "-p", &from, "-U", "postgres", "-R", "-c", "fast"];
        standby.run("pg_basebackup", &[&["-D", data.to_str().unwrap()], &from[..]].concat());
        standby.find_port();
        standby
    }

    /// Stops the server, and with it every connection.
    pub fn down(&self) {
        self.stop("fast");
    }

    /// Stops it as a crash does: at the next start it recovers from its log.
    pub fn crash(&self) {
        self.stop("immediate");
    }

    fn stop(&self, mode: &str) {
        self.run("pg_ctl", &["-D", self.data().to_str().unwrap(), "-w", "-m", mode, "stop"]);
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        assert!(self.try_run(program, arguments), "{program} failed");
    }

    fn try_run(&self, program: &str, arguments: &[&str]) -> bool {
        let mut command = Command::new(self.programs.join(program));
        command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).current_dir("/");
        as_user(&mut command, self.user);
        command.status().unwrap().success()
    }

    /// Makes a program run as the server's user, as PostgreSQL's programs refuse to run as root.
    pub fn lend_its_user(&self, command: &mut Command) {
        as_user(command, self.user);
    }

    /// Returns the folder of PostgreSQL's programs, such as `pg_dump`.
    pub fn programs(&self) -> &Path {
        &self.programs
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Says how to connect to a database, as the superuser.
    pub fn config(&self, database: &str) -> Config {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.port).user("postgres").dbname(database);
        config
    }

    /// Makes a new, empty database.
    pub async fn database(&self) -> Database<'_> {
        static DATABASES: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        let admin = connect(&self.config("postgres")).await;
        admin.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        Database { server: self, name }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        let _stopped = self.watchdog.wait();
    }
}

/// One database of a server. It is deleted with the server.
pub struct Database<'s> {
    pub server: &'s Server,
    pub name: String,
}

impl Database<'_> {
    pub fn config(&self) -> Config {
        self.server.config(&self.name)
    }

    /// Makes the pool that the store's documentation recommends.
    pub fn pool(&self) -> Pool {
        pool_to(self.config())
    }

    /// Makes a store, and its tables.
    pub async fn store(&self) -> PostgresStore {
        let store = PostgresStore::new(self.pool());
        store.migrate().await.unwrap();
        store
    }

    /// Makes a store in tables that no other store has.
    pub async fn store_in_new_tables(&self) -> PostgresStore {
        static TABLES: AtomicU32 = AtomicU32::new(0);
        let table = format!("table_{}", TABLES.fetch_add(1, Ordering::Relaxed));
        let store = PostgresStore::new(self.pool()).with_table(table.parse().unwrap());
        store.migrate().await.unwrap();
        store
    }

    /// Returns what the server's log says about this database, from the first line with this text.
    /// Empty if there is none.
    pub fn log_from(&self, text: &str) -> String {
        let log = fs::read_to_string(self.server.directory.join("log")).unwrap();
        let prefix = format!("{}:", self.name);
        let is_meant = |line: &&str| line.starts_with(&prefix) && line.contains(text);
        log.lines().skip_while(|line| !is_meant(line)).take(40).collect::<Vec<_>>().join("\n")
    }

    /// Waits until no transaction is open, including those of clients that are gone.
    pub async fn is_quiet(&self) {
        let raw = self.raw().await;
        let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                    AND pid <> pg_backend_pid() AND xact_start IS NOT NULL";
        while raw.query_one(open, &[]).await.unwrap().get::<_, i64>(0) > 0 {
            tokio::task::yield_now().await;
        }
    }

    /// Connects past the store, as an attacker who can write the database would.
    pub async fn raw(&self) -> Client {
        connect(&self.config()).await
    }
}

pub fn pool_to(config: Config) -> Pool {
    let recycling_method = RecyclingMethod::Fast;
    let manager = Manager::from_config(config, NoTls, ManagerConfig { recycling_method });
    let patience = Some(Duration::from_secs(20));
    Pool::builder(manager)
        .max_size(16)
        .runtime(PoolRuntime::Tokio1)
        .wait_timeout(patience)
        .create_timeout(patience)
        .recycle_timeout(patience)
        .build()
        .unwrap()
}

pub async fn connect(config: &Config) -> Client {
    let (client, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// A store for code that has no runtime: each call runs on [`RUNTIME`], and the caller waits for
/// it.
#[derive(Clone)]
pub struct Blocked<S>(pub S);

impl<S: TokenStore> RuntimeFree for Blocked<S> {}

impl<S: TokenStore> TokenStore for Blocked<S> {
    async fn insert(&self, insert: &Insert) -> Result<Inserted, StoreError> {
        RUNTIME.block_on(self.0.insert(insert))
    }
    async fn find(&self, id: TokenId) -> Result<Option<Row>, StoreError> {
        RUNTIME.block_on(self.0.find(id))
    }
    async fn list(&self, filter: &Filter, page: Page) -> Result<Vec<Row>, StoreError> {
        RUNTIME.block_on(self.0.list(filter, page))
    }
    async fn supersede(&self, supersede: &Supersede) -> Result<Superseded, StoreError> {
        RUNTIME.block_on(self.0.supersede(supersede))
    }
    async fn replace(&self, replaces: &[Replace]) -> Result<Vec<Replaced>, StoreError> {
        RUNTIME.block_on(self.0.replace(replaces))
    }
    async fn revoke(&self, filter: &Filter, revocation: &Revocation) -> Result<u64, StoreError> {
        RUNTIME.block_on(self.0.revoke(filter, revocation))
    }
    async fn touch(&self, uses: &[(TokenId, LastUse)], now: Timestamp) -> Result<(), StoreError> {
        RUNTIME.block_on(self.0.touch(uses, now))
    }
    async fn purge(&self, purge: &Purge, limit: u32) -> Result<u64, StoreError> {
        RUNTIME.block_on(self.0.purge(purge, limit))
    }
    // Passed on, too. By default the keys in use are found by a walk through all rows.
    async fn keys_in_use(&self) -> Result<Vec<KeyId>, StoreError> {
        RUNTIME.block_on(self.0.keys_in_use())
    }
    async fn diagnose(&self) -> Result<Vec<String>, StoreError> {
        RUNTIME.block_on(self.0.diagnose())
    }
}

/// Finds the folder with `initdb`, which Debian keeps out of `PATH`.
fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let debian = versions.map(|version| version.path().join("bin"));
    debian.chain(std::env::split_paths(&path)).find(|folder| folder.join("initdb").exists())
}

fn as_user(command: &mut Command, user: Option<(u32, u32)>) {
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
    command.current_dir(Path::new("/"));
}
