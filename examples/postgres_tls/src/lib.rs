//! A host's pool with TLS by rustls, for `PostgresStore`. An attacker in between can't turn TLS
//! off.

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

/// Makes a pool of connections to the primary server. Nothing is connected yet.
///
/// Every connection uses TLS, whatever the URL says. The server's certificate must be for the
/// host's name in the URL, and from an authority in this PEM file. libpq calls this
/// `sslmode=verify-full`.
///
/// If the URL names several hosts (`host=n1,n2`), the driver tries them in order. Each has two
/// seconds to answer, so that a host that is switched off leaves time to find the promoted one.
///
/// # Errors
/// For a URL that is none, and a file that can't be read or has no authority in it.
pub fn pool(url: &str, authorities: &Path) -> Result<Pool, Box<dyn Error>> {
    let mut config: Config = url.parse()?;
    config
        // With `prefer`, the driver would go on without TLS if the server, or an attacker in
        // between, says that it has none.
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
        // After connecting it still has to log in, through TLS.
        .create_timeout(Some(for_all_hosts.saturating_add(PATIENCE)));
    Ok(pool.build()?)
}

const PATIENCE: Duration = Duration::from_secs(5);
/// How long connecting to one address may take. A name may have several addresses.
const FOR_EACH_HOST: Duration = Duration::from_secs(2);

/// Trusts these authorities only: a database's certificate is rarely from one that browsers know.
fn trusting(authorities: &Path) -> Result<ClientConfig, Box<dyn Error>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(authorities)? {
        roots.add(certificate?)?;
    }
    if roots.is_empty() {
        return Err(format!("{} has no certificate", authorities.display()).into());
    }
    // The provider is named, because rustls has no default if dependencies bring in a second one.
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
