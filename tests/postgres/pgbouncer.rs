//! Through PgBouncer in session mode, with whatever version is installed.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use app_tokens::store::{Certainty, Filter, Page, PostgresStore, TokenStore as _};
use app_tokens::{
    Access, KeyRing, NewToken, Policy, Reason, Requirement, Rotation, TokenAuthority,
};
use deadpool_postgres::Pool;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_postgres::Config;

use crate::races::until_waiting;
use support::chance::*;
use support::postgres::{Database, RUNTIME, Server, pool_to};

/// A PgBouncer that ends with the test, even if that is killed.
struct Bouncer {
    port: u16,
    /// Stops it when this process closes the pipe, which a killed process does, too.
    watchdog: Child,
    _folder: TempDir,
}

impl Bouncer {
    /// Starts it. If it is not installed, returns `None` and says so loudly; in CI it panics.
    async fn start(database: &Database<'_>, more: &str) -> Option<Bouncer> {
        // Debian keeps it out of every `PATH` but root's.
        let there = "PATH=$PATH:/usr/sbin; command -v pgbouncer >/dev/null";
        if !Command::new("sh").args(["-c", there]).status().unwrap().success() {
            let loudly = "\nSKIPPED: every test with PgBouncer, \
                          as it is not installed (apt-get install pgbouncer)\n";
            std::io::stderr().write_all(loudly.as_bytes()).unwrap();
            assert!(std::env::var_os("CI").is_none(), "{loudly}");
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let bouncer = Bouncer::at(port, database, more);
        let listening = async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), listening).await.expect("PgBouncer starts");
        Some(bouncer)
    }

    fn at(port: u16, database: &Database<'_>, more: &str) -> Bouncer {
        let folder = tempfile::tempdir().unwrap();
        let settings = format!(
            "[databases]
            * = host=127.0.0.1 port={} user=postgres
            [pgbouncer]
            listen_addr = 127.0.0.1
            listen_port = {port}
            unix_socket_dir =
            auth_type = any
            pool_mode = session
            {more}",
            database.server.port()
        );
        let settings: Vec<_> = settings.lines().map(str::trim).collect();
        let file = folder.path().join("ini");
        fs::write(&file, settings.join("\n")).unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let script = "PATH=$PATH:/usr/sbin; pgbouncer -q \"$0\" & it=$!; \
                      cat >/dev/null; kill $it; wait $it";
        let mut watchdog = Command::new("sh");
        watchdog.args(["-c", script]).arg(file);
        watchdog.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // In a group of its own, so that Ctrl-C doesn't end it first.
        watchdog.process_group(0);
        database.server.lend_its_user(&mut watchdog);
        Bouncer { port, watchdog: watchdog.spawn().unwrap(), _folder: folder }
    }

    fn config(&self, database: &Database<'_>) -> Config {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.port).user("postgres").dbname(&database.name);
        config
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        let _stopped = self.watchdog.wait();
    }
}

#[test]
fn a_token_lives_its_life_behind_a_pooler() {
    RUNTIME.block_on(async {
        let database = Server::needed().database().await;
        let Some(bouncer) = Bouncer::start(&database, "").await else { return };
        let store = PostgresStore::new(pool_to(bouncer.config(&database)));
        store.migrate().await.unwrap();
        let (ring, policy) = (KeyRing::ephemeral().unwrap(), Policy::new("acme").unwrap());
        let tokens = TokenAuthority::new(store.clone(), ring, policy);
        let alice = owner("alice");
        let issued =
            tokens.issue(NewToken::new("alice", "My phone", Access::full())).await.unwrap();
        for _ in 0..3 {
            let good = tokens.authenticate(issued.expose_secret()).await.unwrap();
            assert!(good.require(Requirement::ANY_VALID_TOKEN).is_ok());
        }
        tokens.flush_usage().await.unwrap();
        let by = &alice;
        let rotated = tokens.rotate(by, issued.id(), Rotation::new()).await.unwrap();
        tokens.authenticate(issued.expose_secret()).await.unwrap_err();
        let (mine, left) = (Filter::of_owner(&alice), Reason::REQUESTED);
        assert_eq!(tokens.revoke_matching(by, &mine, left).await.unwrap(), 2);
        tokens.authenticate(rotated.expose_secret()).await.unwrap_err();
        assert_eq!(tokens.forget_owner(&operator("admin"), &alice).await.unwrap(), 2);
    });
}

/// PgBouncer closes the server's connection when the client's is closed.
#[test]
fn a_change_dropped_behind_a_pooler_is_not_done_and_blocks_no_other() {
    RUNTIME.block_on(async {
        let database = Server::needed().database().await;
        let Some(bouncer) = Bouncer::start(&database, "default_pool_size = 2").await else {
            return;
        };
        let store = PostgresStore::new(pool_to(bouncer.config(&database)));
        store.migrate().await.unwrap();
        store.insert(&creation(parts(1))).await.unwrap();
        let (locking, raw) = (database.raw().await, database.raw().await);
        locking.batch_execute("BEGIN; SELECT FROM app_tokens FOR UPDATE").await.unwrap();
        let (filter, revocation) = (Filter::of_id(id(1)), revocation());
        tokio::select! {
            answer = store.revoke(&filter, &revocation) => panic!("{answer:?}"),
            () = until_waiting(&raw, 1) => {}
        }
        assert_eq!(store.list(&filter, Page::first(9)).await.unwrap().len(), 1);
        locking.batch_execute("COMMIT").await.unwrap();
        database.is_quiet().await;
        let found = store.find(id(1)).await.unwrap().unwrap();
        assert_eq!(found.record().unwrap().revocation(), None);
    });
}

/// The store's own example has such options. Behind PgBouncer they belong in its settings, or in
/// the role's.
#[test]
fn options_in_the_connection_are_refused_clearly_or_without_effect_behind_a_pooler() {
    RUNTIME.block_on(async {
        let database = Server::needed().database().await;
        drop(database.store().await);
        let strict = Bouncer::start(&database, "").await;
        let lenient = Bouncer::start(&database, "ignore_startup_parameters = options").await;
        let (Some(strict), Some(lenient)) = (strict, lenient) else { return };
        let pool = |bouncer: &Bouncer| -> Pool {
            let mut config = bouncer.config(&database);
            config.options("-c lock_timeout=5s");
            pool_to(config)
        };
        let error = PostgresStore::new(pool(&strict)).find(id(1)).await.unwrap_err();
        assert_eq!(error.certainty(), Certainty::NotDone);
        assert!(error.to_string().contains("unsupported startup parameter"), "{error}");
        let pool = pool(&lenient);
        assert!(PostgresStore::new(pool.clone()).find(id(1)).await.unwrap().is_none());
        let client = pool.get().await.unwrap();
        let lock_timeout = client.query_one("SHOW lock_timeout", &[]).await.unwrap();
        assert_eq!(lock_timeout.get::<_, &str>(0), "0");
    });
}
