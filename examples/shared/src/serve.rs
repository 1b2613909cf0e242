//! The beginning and the end of a host: keys and rows that fit each other, and an orderly stop.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use app_tokens::store::{DynStore, Filter, Page, TokenStore};
use app_tokens::{KeyRing, TokenAuthority};
use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::Request;
use axum::middleware::from_fn;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulConnection, GracefulShutdown};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::audit;
use crate::log;
use crate::options::{CommonOptions, or_exit};
use crate::policy_file::PolicyFile;
use crate::store_choice::StoreChoice;

/// How long a client may take for the head of a request.
const HEAD: Duration = Duration::from_secs(60);
/// How long requests may still run when the host is told to stop.
pub const DRAIN: Duration = Duration::from_secs(30);

/// Runs a host from its options to its end, and returns its status: 0, 1 if it failed, 2 if the
/// options are wrong.
pub async fn host<T>(
    name: &str,
    options: Result<Option<T>, String>,
    usage: &str,
    run: impl AsyncFnOnce(T) -> Result<(), Box<dyn Error + Send + Sync>>,
) -> ExitCode {
    let options = match or_exit(options, usage) {
        Ok(options) => options,
        Err(status) => return status,
    };
    match run(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::say(format_args!("{name}: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Opens what the options name: the store, its keys and the policy. Makes what is missing.
///
/// `built_in` is the policy if the options name none.
///
/// # Errors
/// A line for the operator.
pub async fn open(
    options: &CommonOptions,
    built_in: &str,
) -> Result<(DynStore, KeyRing, PolicyFile), Box<dyn Error + Send + Sync>> {
    if options.front.login_proxy.as_ref().is_some_and(|proxy| proxy.time_header.is_none()) {
        log::say(
            "a fresh sign-in at /again is believed and not proved, as there is no \
             --sso-time-header; configure the proxy so that it asks there",
        );
    }
    let data = &options.data;
    make_folder(data)?;
    let under_data = || StoreChoice::Sqlite(data.join("tokens.db"));
    let store = options.store.clone().unwrap_or_else(under_data).open().await?;
    let ring = key_ring(&data.join("tokens.key"), &store).await?;
    let policy = match &options.policy {
        Some(path) => PolicyFile::read(path)?,
        None => PolicyFile::parse(built_in)?,
    };
    Ok((store, ring, policy))
}

/// Begins to listen. Returns also the URL that clients are told: never from the `Host` header,
/// which a client chooses.
///
/// # Errors
/// A line for the operator.
pub async fn listen(options: &CommonOptions) -> Result<(TcpListener, SocketAddr, String), String> {
    let failed = |why| format!("can't listen at {}: {why}", options.listen);
    let listener = TcpListener::bind(options.listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let url = match &options.front.public {
        Some(public) => public.origin().to_owned(),
        None => format!("http://{address}"),
    };
    Ok((listener, address, url))
}

/// Makes a folder, if it is missing.
///
/// # Errors
/// A line for the operator.
pub fn make_folder(folder: &Path) -> Result<(), String> {
    if folder.exists() && !folder.is_dir() {
        return Err(format!("{} is not a folder; choose another path", folder.display()));
    }
    std::fs::create_dir_all(folder)
        .map_err(|why| format!("the folder {} can't be made: {why}", folder.display()))
}

/// Reads the key file, or makes it for a store without tokens.
///
/// A new key under old rows would make every token fail, and nobody would know why. So a missing
/// file is made only if the store has no unrevoked rows.
///
/// # Errors
/// A line for the operator.
async fn key_ring(path: &Path, store: &impl TokenStore) -> Result<KeyRing, String> {
    if !path.exists() {
        let living = Filter { revoked: Some(false), ..Filter::every_token() };
        let rows = store.list(&living, Page::first(1)).await;
        if !rows.map_err(|why| format!("the store can't be read: {why}"))?.is_empty() {
            return Err(format!(
                "the key file {} is missing, and the store has tokens that only it can check; \
                 bring it back from the backup, or if it is lost: admin revoke --all",
                path.display()
            ));
        }
        log::say(format_args!("a new key file is made: {}; back it up", path.display()));
    }
    KeyRing::load_or_create(path).map_err(|why| why.to_string())
}

/// Checks whether key ring, realm and rows fit each other, and says so in a line.
///
/// # Errors
/// A line for the operator if no token could be checked, or not all of them.
pub async fn check<S: TokenStore>(tokens: &TokenAuthority<S>) -> Result<(), String> {
    let report = tokens.check().await.map_err(|why| format!("the store can't be read: {why}"))?;
    let none_is_right = report.checked > 0 && report.tampered.len() as u64 == report.checked;
    if none_is_right || !report.under_missing_keys.is_empty() {
        return Err(format!("the keys don't fit the tokens: {report}"));
    }
    // A single bad row is denied by itself. It must not keep the host from starting.
    let verdict = if report.is_sound() { "keys and tokens fit" } else { "look at the store" };
    log::say(format_args!("{verdict}: {report}"));
    Ok(())
}

/// Hears when the process is told to end: SIGTERM, or Ctrl-C.
pub struct StopSignal {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl StopSignal {
    /// Begins to listen. Before that, a signal ends the process at once, so do it early.
    ///
    /// # Errors
    /// The system's.
    pub fn listen() -> io::Result<StopSignal> {
        #[cfg(unix)]
        use tokio::signal::unix::{SignalKind, signal};
        Ok(StopSignal {
            #[cfg(unix)]
            terminate: signal(SignalKind::terminate())?,
            #[cfg(unix)]
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next signal.
    async fn next(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        #[cfg(not(unix))]
        {
            _ = tokio::signal::ctrl_c().await; // ignored: it ends either way
        }
    }
}

/// Serves a host until the signal, and then lets requests that run go on for [`DRAIN`]. Beside it,
/// last uses of tokens are written, and old rows are deleted. The audit log hears of both ends.
///
/// # Errors
/// The listener's, or the store's at the last write.
pub async fn with_upkeep(
    name: &str,
    tokens: &TokenAuthority<DynStore>,
    listener: TcpListener,
    app: Router,
    stop: StopSignal,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let upkeep = tokens.upkeep().spawn();
    audit::note(&format!("{name} started"));
    serve(listener, app, stop, DRAIN).await?;
    upkeep.stop().await?;
    audit::note(&format!("{name} stopped"));
    Ok(())
}

/// Serves until the signal. Then it takes no new connection, and lets requests that run, such as
/// downloads, go on for a limited time. A second signal ends it at once.
///
/// Not `axum::serve`, which waits for the head of a request without end.
///
/// # Errors
/// None so far.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    mut stop: StopSignal,
    drain: Duration,
) -> io::Result<()> {
    // Each host answers some requests before it has read their bodies.
    let app = app.layer(from_fn(crate::drain::drain));
    let (connections, mut running) = (GracefulShutdown::new(), JoinSet::new());
    loop {
        while running.try_join_next().is_some() {}
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.next() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let connection = connection(stream, peer, app.clone(), HEAD);
                running.spawn(connections.watch(connection));
            }
            Err(why) => {
                // Such as too many open files: wait until some are closed.
                log::say(format_args!("a connection can't be accepted: {why}"));
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
    drop(listener);
    log::say(format_args!("stopping; requests that run have {} seconds to end", drain.as_secs()));
    tokio::select! {
        ended = tokio::time::timeout(drain, connections.shutdown()) => {
            if ended.is_err() {
                log::say("requests that still ran were cut off");
            }
        }
        () = stop.next() => {}
    }
    // What they hold goes with them. A host may wait for the last of it.
    running.shutdown().await;
    Ok(())
}

/// Serves one connection. A client that doesn't send the head of a request within `head` is cut
/// off, also between two requests.
fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    app: Router,
    head: Duration,
) -> impl GracefulConnection<Error = hyper::Error> {
    let app = TowerToHyperService::new(app);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        app.call(request)
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .serve_connection(TokioIo::new(stream), service)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    async fn client(head: Duration) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        let from = |ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() };
        tokio::spawn(connection(stream, peer, Router::new().route("/", get(from)), head));
        client
    }

    #[tokio::test]
    async fn a_client_that_never_ends_its_head_or_asks_nothing_more_is_cut_off() {
        let whole = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        for sent in ["", "GET / HTTP/1.1\r\nHost: x\r\nSlow: ", whole] {
            let mut client = client(Duration::from_millis(50)).await;
            client.write_all(sent.as_bytes()).await.unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            let address = client.local_addr().unwrap().to_string();
            assert_eq!(answer.ends_with(&address), sent == whole, "{answer}");
        }
    }
}
