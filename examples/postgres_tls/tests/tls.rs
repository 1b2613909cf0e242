//! The pool against a real server, with TLS and without.

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use app_tokens::store::{Certainty, PostgresStore, TokenStore as _};
use app_tokens::{Access, KeyRing, NewToken, Policy, Requirement, TokenAuthority, TokenId};
use postgres_tls::pool;
use tempfile::TempDir;
use tokio::net::TcpSocket;

use support::postgres::{Database, RUNTIME, Server};

/// A certificate authority that was made for this test.
struct Authority {
    folder: TempDir,
}

impl Authority {
    fn make(name: &str) -> Authority {
        let authority = Authority { folder: tempfile::tempdir().unwrap() };
        authority.openssl(&format!(
            "req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -days 2 \
             -subj /CN={name} -keyout ca.key -out ca.pem"
        ));
        authority
    }

    fn certificates(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Puts a key and a certificate for `localhost`, and no other name, where a server looks for
    /// them.
    fn certify(&self, data: &Path) {
        fs::write(self.folder.path().join("names"), "subjectAltName=DNS:localhost").unwrap();
        self.openssl(
            "req -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -subj /CN=server \
             -keyout server.key -out server.csr",
        );
        self.openssl(
            "x509 -req -days 2 -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial \
             -extfile names -out server.crt",
        );
        let its = fs::metadata(data).unwrap();
        for file in ["server.key", "server.crt"] {
            fs::copy(self.folder.path().join(file), data.join(file)).unwrap();
            chown(data.join(file), Some(its.uid()), Some(its.gid())).unwrap();
        }
    }

    fn openssl(&self, arguments: &str) {
        let mut openssl = Command::new("openssl");
        openssl.args(arguments.split(' ')).current_dir(&self.folder).stdin(Stdio::null());
        let done = openssl.output().unwrap();
        assert!(done.status.success(), "{arguments}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

/// Whether openssl is installed, which makes the certificates. If not, it says so loudly, and fails
/// in CI.
fn has_openssl() -> bool {
    let has = Command::new("openssl").arg("version").stdout(Stdio::null()).status().is_ok();
    if !has {
        let loudly = "\nSKIPPED: every test with TLS, as openssl is not installed\n";
        std::io::stderr().write_all(loudly.as_bytes()).unwrap();
        assert!(std::env::var_os("CI").is_none(), "{loudly}");
    }
    has
}

/// Starts a server with a certificate from this authority.
async fn with_tls(authority: &Authority) -> Option<Server> {
    let server = Server::start()?;
    let admin = support::postgres::connect(&server.config("postgres")).await;
    let data = admin.query_one("SHOW data_directory", &[]).await.unwrap();
    authority.certify(Path::new(data.get::<_, &str>(0)));
    admin.batch_execute("ALTER SYSTEM SET ssl = on").await.unwrap();
    server.down();
    server.up();
    Some(server)
}

fn url(database: &Database<'_>, host: &str) -> String {
    format!("postgres://postgres@{host}:{}/{}", database.server.port(), database.name)
}

/// Checks that a call says why there is no connection, and that nothing was done.
async fn assert_refused(url: &str, authority: &Authority, why: &str) {
    let store = PostgresStore::new(pool(url, &authority.certificates()).unwrap());
    let error = store.find(TokenId::MAX).await.unwrap_err();
    assert_eq!(error.certainty(), Certainty::NotDone);
    assert!(error.to_string().contains(&format!("can't connect: {why}")), "{error}");
    let error = store.migrate().await.unwrap_err();
    assert!(error.to_string().contains(why), "{error}");
}

#[test]
fn a_server_that_proves_its_name_is_accepted_and_no_other() {
    RUNTIME.block_on(async {
        if !has_openssl() {
            return;
        }
        let authority = Authority::make("ours");
        let Some(server) = with_tls(&authority).await else { return };
        // TLS is used whatever the URL says.
        for mode in ["", "?sslmode=disable", "?sslmode=prefer"] {
            let database = server.database().await;
            let url = url(&database, "localhost") + mode;
            let pool = pool(&url, &authority.certificates()).unwrap();
            let store = PostgresStore::new(pool.clone());
            store.migrate().await.unwrap();
            let (ring, policy) = (KeyRing::ephemeral().unwrap(), Policy::new("acme").unwrap());
            let tokens = TokenAuthority::new(store, ring, policy);
            let issued =
                tokens.issue(NewToken::new("alice", "My phone", Access::full())).await.unwrap();
            let good = tokens.authenticate(issued.expose_secret()).await.unwrap();
            assert!(good.require(Requirement::ANY_VALID_TOKEN).is_ok());
            let way = "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
            let way = pool.get().await.unwrap().query_one(way, &[]).await.unwrap();
            assert_eq!(way.get::<_, Option<&str>>(0), Some("TLSv1.3"), "{url}");
        }

        let database = server.database().await;
        let handshake = "error performing TLS handshake: invalid peer certificate";
        // An authority with the name of ours is refused, too.
        for (name, why) in [("another", "UnknownIssuer"), ("ours", "BadSignature")] {
            let another = Authority::make(name);
            let unknown = format!("{handshake}: {why}");
            assert_refused(&url(&database, "localhost"), &another, &unknown).await;
        }
        let other_name = format!("{handshake}: certificate not valid for name \"127.0.0.1\"");
        assert_refused(&url(&database, "127.0.0.1"), &authority, &other_name).await;
    });
}

#[test]
fn a_server_without_tls_is_refused_whatever_the_url_says() {
    RUNTIME.block_on(async {
        if !has_openssl() {
            return;
        }
        let authority = Authority::make("ours");
        let Some(server) = Server::shared() else { return };
        let database = server.database().await;
        for mode in ["", "?sslmode=disable", "?sslmode=prefer", "?sslmode=require"] {
            let url = url(&database, "localhost") + mode;
            let why = "error performing TLS handshake: server does not support TLS";
            assert_refused(&url, &authority, why).await;
        }
    });
}

/// A machine that is off doesn't answer at all. A listener with a full queue drops new connections
/// just so.
#[test]
fn the_second_server_is_tried_if_the_first_is_switched_off() {
    RUNTIME.block_on(async {
        if !has_openssl() {
            return;
        }
        let authority = Authority::make("ours");
        let Some(server) = with_tls(&authority).await else { return };
        let off = TcpSocket::new_v4().unwrap();
        off.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let off = off.listen(1).unwrap();
        let off_at = off.local_addr().unwrap();
        let knock = || TcpStream::connect_timeout(&off_at, Duration::from_millis(100));
        let _in_the_queue: Vec<_> = std::iter::from_fn(|| knock().ok()).take(100).collect();
        assert!(knock().is_err(), "the queue is full");

        let database = server.database().await;
        let ports = format!("{},{}", off_at.port(), server.port());
        let name = &database.name;
        let url = format!("host=localhost,localhost port={ports} user=postgres dbname={name}");
        let pool = pool(&url, &authority.certificates()).unwrap();
        PostgresStore::new(pool).migrate().await.unwrap();
    });
}

#[test]
fn a_file_without_an_authority_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    let refused = || pool("postgres://localhost", &file).unwrap_err().to_string();
    assert!(refused().contains("No such file"), "{}", refused());
    fs::write(&file, "").unwrap();
    assert!(refused().contains("has no certificate"), "{}", refused());
    fs::write(&file, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    assert!(!refused().is_empty());
}
