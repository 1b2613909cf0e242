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
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;
use tower_http::timeout::TimeoutBody;

use crate::audit;
use crate::import_choice::ImportChoice;
use crate::log;
use crate::options::{CommonOptions, or_exit};
use crate::policy_file::PolicyFile;
use crate::store_choice::StoreChoice;

/// How long a client may take for the head of a request.
const HEAD: Duration = Duration::from_secs(60);
/// How long a client may pause while it sends a body, and while it reads an answer.
const PAUSE: Duration = Duration::from_secs(2 * 60);
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
    if let Some(proxy) = &options.front.login_proxy {
        proxy.warn(&options.front.proxies);
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

/// Checks whether key ring, realm, rows and import fit each other, and says so in a line.
///
/// # Errors
/// A line for the operator if no token could be checked, or not all of them.
pub async fn check<S: TokenStore>(
    tokens: &TokenAuthority<S>,
    import: &ImportChoice,
) -> Result<(), String> {
    let report = tokens.check().await.map_err(|why| format!("the store can't be read: {why}"))?;
    let none_is_right = report.checked > 0 && report.tampered.len() as u64 == report.checked;
    let lacks_a_key = !report.under_missing_keys.is_empty() || !report.lost_imports.is_empty();
    if none_is_right || lacks_a_key {
        return Err(format!("the keys don't fit the tokens: {report}"));
    }
    import.check(tokens).await?;
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
                let connection = connection(stream, peer, app.clone());
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

/// Serves one connection. A client that doesn't send the head of a request within [`HEAD`] is cut
/// off, also between two requests. So is one that pauses for [`PAUSE`] while it sends a body, or
/// reads nothing of an answer for as long. One that goes on may take hours.
///
/// Of an answer, the system keeps up to four megabytes for a slow client, and asks for more when a
/// third of them is gone. So a client that reads less than some 12 kB/s seems to stand still.
fn connection(
    stream: impl AsyncRead + AsyncWrite + Send + 'static,
    peer: SocketAddr,
    app: Router,
) -> impl GracefulConnection<Error = hyper::Error> {
    let mut stream = Box::pin(TimeoutStream::new(stream));
    // No limit for reading: a client that waits for its answer sends nothing.
    stream.as_mut().set_write_timeout_pinned(Some(PAUSE));
    let app = TowerToHyperService::new(app);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        // Its time runs only while the host wants to read: who is slow then is the client.
        app.call(request.map(|body| TimeoutBody::new(PAUSE, body)))
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), service)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Bytes;
    use axum::routing::{get, put};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
    use tokio::time::sleep;

    const LONG: usize = 100_000;
    const WHOLE: &str = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

    /// A client, with a host at the other end. Its clock stands still unless all wait.
    fn client() -> DuplexStream {
        let (client, stream) = tokio::io::duplex(1024);
        let app = Router::new()
            .route("/", get(async || "x".repeat(LONG)))
            .route("/", put(async |body: Bytes| body.len().to_string()));
        tokio::spawn(connection(stream, ([192, 0, 2, 1], 80).into(), app));
        client
    }

    async fn rest(client: &mut DuplexStream) -> String {
        let mut answer = Vec::new();
        // ignored: what came before is what counts.
        _ = client.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_never_ends_its_head_or_asks_nothing_more_is_cut_off() {
        let again = WHOLE.replace("Connection: close\r\n", "");
        for sent in ["", "GET / HTTP/1.1\r\nHost: x\r\nSlow: ", &again] {
            let mut client = client();
            client.write_all(sent.as_bytes()).await.unwrap();
            let answer = rest(&mut client).await;
            assert_eq!(answer.ends_with("xxx"), sent == again, "{answer}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_may_take_hours_and_may_not_pause_for_long() {
        let head = "PUT / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 200\r\n\r\n";
        for (pause, is_taken) in [(PAUSE / 2, true), (PAUSE * 2, false)] {
            let mut client = client();
            client.write_all(head.as_bytes()).await.unwrap();
            for _ in 0..200 {
                sleep(pause).await;
                if client.write_all(b"x").await.is_err() {
                    break;
                }
            }
            let answer = rest(&mut client).await;
            assert_eq!(answer.ends_with("\r\n200"), is_taken, "{answer}");
            assert_eq!(answer.starts_with("HTTP/1.1 200"), is_taken, "{answer}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_may_take_hours_and_may_not_wait_for_long() {
        for (pause, is_whole) in [(PAUSE / 2, true), (PAUSE * 2, false)] {
            let mut client = client();
            client.write_all(WHOLE.as_bytes()).await.unwrap();
            let (mut answer, mut piece) = (Vec::new(), [0; 500]);
            loop {
                sleep(pause).await;
                match client.read(&mut piece).await {
                    Ok(length) if length > 0 => answer.extend_from_slice(&piece[..length]),
                    _ => break,
                }
            }
            assert_eq!(answer.len() > LONG, is_whole, "{}", answer.len());
        }
    }
}
