//! The host's pool with TLS, for `PostgresStore`: with rustls, and so that nobody in between can
//! talk it out of that.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::Config;
use tokio_postgres::config::{SslMode, TargetSessionAttrs};
use tokio_postgres_rustls::MakeRustlsConnect;

/// A pool of connections to the primary server, each through TLS whatever the URL says, and only to
/// a server with a certificate for the host's name in the URL from one of the authorities in this
/// PEM file: libpq's `sslmode=verify-full`. Nothing is connected yet.
///
/// Where the URL names several hosts (`host=n1,n2`), the driver tries one after the other. Each has
/// two seconds to answer, so that one that is switched off doesn't take up the time in which the
/// promoted one would be found.
///
/// # Errors
/// For a URL that is none, and a file that can't be read or has no authority in it.
pub fn pool(url: &str, authorities: &Path) -> Result<Pool, Box<dyn Error>> {
    let mut config: Config = url.parse()?;
    config
        // Left at `prefer`, the driver goes on in the clear where the server, or somebody in
        // between, says that it has no TLS.
        .ssl_mode(SslMode::Require)
        .target_session_attrs(TargetSessionAttrs::ReadWrite)
        .tcp_user_timeout(PATIENCE)
        .connect_timeout(FOR_EACH_HOST)
        .options("-c lock_timeout=5s -c statement_timeout=10s");
    let fast = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let tls = MakeRustlsConnect::new(trusting(authorities)?);
    let hosts = config.get_hosts().len().max(config.get_hostaddrs().len());
    let for_all_hosts = FOR_EACH_HOST.saturating_mul(hosts.try_into()?);
    let pool = Pool::builder(Manager::from_config(config, tls, fast))
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(PATIENCE))
        // Then it logs in, through TLS.
        .create_timeout(Some(for_all_hosts.saturating_add(PATIENCE)));
    Ok(pool.build()?)
}

const PATIENCE: Duration = Duration::from_secs(5);
/// For a connection alone: to each address, where a name has several.
const FOR_EACH_HOST: Duration = Duration::from_secs(2);

/// These authorities and no other: a database's certificate is seldom from one that browsers know.
fn trusting(authorities: &Path) -> Result<ClientConfig, Box<dyn Error>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(authorities)? {
        roots.add(certificate?)?;
    }
    if roots.is_empty() {
        return Err(format!("{} has no certificate", authorities.display()).into());
    }
    // Named, as a program whose dependencies bring a second one must.
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
