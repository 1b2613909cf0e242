//! git over smart HTTP, by git's own CGI program, `git http-backend`.
//!
//! The host finds the repository and decides before the program starts, and before a push's body is
//! read. The program gets no text of the client's but the body and three headers. Its path is one
//! of three.

mod places;
mod routes;

use std::io::{self, ErrorKind};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use shared::log;
use tokio::io::{
    AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, duplex,
};
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::io::ReaderStream;

pub use places::{Client, Full, Place, Places};
pub use routes::{place, routes};

/// What a request asks of git.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Whether it begins or does a push. Otherwise it is a clone or a fetch.
    pub is_push: bool,
    /// Whether it is the first request of a client, which asks for the refs.
    is_first: bool,
}

impl Asked {
    /// Reads what is asked by the path behind the repository's and the query. `None` if it is not
    /// git's smart protocol.
    pub fn read(method: &Method, path: &str, query: Option<&str>) -> Option<Asked> {
        let (is_push, is_first) = match (method, path, query) {
            (&Method::GET, "info/refs", Some("service=git-upload-pack")) => (false, true),
            (&Method::GET, "info/refs", Some("service=git-receive-pack")) => (true, true),
            (&Method::POST, "git-upload-pack", _) => (false, false),
            (&Method::POST, "git-receive-pack", _) => (true, false),
            _ => return None,
        };
        Some(Asked { is_push, is_first })
    }
}

/// The headers of the client that reach the program, each with its variable (RFC 3875, 4.1).
const HEADERS: [(&str, &str); 3] = [
    ("CONTENT_TYPE", "content-type"),
    ("HTTP_CONTENT_ENCODING", "content-encoding"),
    ("GIT_PROTOCOL", "git-protocol"),
];

/// How long a client may keep git waiting. A process that waits is one that others can't have.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How long it may pause, while it sends or while it reads.
    pub pause: Duration,
    /// How long it may take to say what it wants to fetch: that is short.
    pub wish: Duration,
    /// How long all of it may take.
    pub whole: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience {
            pause: Duration::from_secs(60),
            wish: Duration::from_secs(60),
            whole: Duration::from_secs(60 * 60),
        }
    }
}

/// Runs git's program for a request: body and answer stream through it.
///
/// `user` is who pushes, for git's log. `place` is held until the program has ended.
///
/// # Errors
/// An error of the system, or of git before it answers.
pub async fn serve(
    repository: &Path,
    asked: Asked,
    user: Option<&str>,
    request: Request<Body>,
    patience: Patience,
    place: impl Send + 'static,
) -> io::Result<Response<Body>> {
    let service = if asked.is_push { "git-receive-pack" } else { "git-upload-pack" };
    let (path, query) = match asked.is_first {
        true => ("/info/refs".to_owned(), format!("service={service}")),
        false => (format!("/{service}"), String::new()),
    };
    let (parts, body) = request.into_parts();
    let mut command = bare_git();
    command
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", repository)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", path)
        .env("REQUEST_METHOD", parts.method.as_str())
        .env("QUERY_STRING", query)
        .envs([("GIT_CONFIG_COUNT", "1"), ("GIT_CONFIG_KEY_0", "http.receivepack")])
        .env("GIT_CONFIG_VALUE_0", asked.is_push.to_string())
        .envs(user.map(|user| ("REMOTE_USER", user)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    for (variable, header) in HEADERS {
        if let Some(value) = parts.headers.get(header).and_then(|value| value.to_str().ok()) {
            command.env(variable, value);
        }
    }
    let mut child = command.spawn()?;
    let stdin = child.stdin.take().ok_or(ErrorKind::BrokenPipe)?;
    let stdout = child.stdout.take().ok_or(ErrorKind::BrokenPipe)?;
    let (head, read) = oneshot::channel();
    let (to_client, answer) = duplex(PIECE);
    // Beside the answer: git answers while it still reads, and a client may read nothing.
    tokio::spawn(async move {
        let send = async {
            match asked.is_push {
                true => send(body, stdin, patience.pause).await,
                false => timeout(patience.wish, send(body, stdin, patience.pause)).await?,
            }
        };
        let receive = receive(BufReader::new(stdout), head, to_client, patience.pause);
        // ignored: whatever fails, both pipes are closed. git then ends, and a push that broke off
        // changes nothing.
        _ = timeout(patience.whole, async { tokio::try_join!(send, receive) }).await;
        if let Ok(status) = child.wait().await
            && !status.success()
        {
            log::say(format_args!("git http-backend ended with {status}"));
        }
        drop(place);
    });
    let head = read.await.map_err(|_| ErrorKind::TimedOut)??;
    let mut response = Response::new(Body::from_stream(ReaderStream::new(answer)));
    (*response.status_mut(), *response.headers_mut()) = head;
    Ok(response)
}

/// How many bytes of an answer wait for the client.
const PIECE: usize = 16 * 1024;

/// Copies the request's body into git's input, and ends it.
async fn send(mut body: Body, stdin: ChildStdin, pause: Duration) -> io::Result<()> {
    let mut stdin = Some(stdin);
    while let Some(frame) = timeout(pause, body.frame()).await? {
        let Ok(data) = frame.map_err(io::Error::other)?.into_data() else { continue };
        // If git reads no more, the client still sends all, and then reads why.
        if let Some(open) = &mut stdin
            && open.write_all(&data).await.is_err()
        {
            stdin = None;
        }
    }
    Ok(())
}

/// Reads git's answer, and copies it to the client.
async fn receive(
    mut stdout: BufReader<ChildStdout>,
    head: oneshot::Sender<io::Result<Head>>,
    mut to_client: DuplexStream,
    pause: Duration,
) -> io::Result<()> {
    // ignored: if the client has gone, writing fails below.
    _ = head.send(read_head(&mut stdout).await);
    let mut piece = vec![0; PIECE];
    loop {
        let length = stdout.read(&mut piece).await?;
        if length == 0 {
            return Ok(());
        }
        let written = to_client.write_all(piece.get(..length).unwrap_or_default());
        timeout(pause, written).await??;
    }
}

/// Status and headers of an answer.
type Head = (StatusCode, HeaderMap);

/// The longest line of a CGI answer's head, and the most lines.
const MAX_HEAD: usize = 8 * 1024;

/// Reads the head of a CGI answer (RFC 3875, 6.3): header lines, and perhaps a status among them.
async fn read_head(stdout: &mut BufReader<ChildStdout>) -> io::Result<Head> {
    let (mut status, mut headers, mut read) = (StatusCode::OK, HeaderMap::new(), 0);
    loop {
        let mut line = String::new();
        read += stdout.read_line(&mut line).await?;
        let malformed = || io::Error::other("its answer's head can't be read");
        if !line.ends_with('\n') || read > MAX_HEAD {
            return Err(malformed());
        }
        let line = line.trim_end();
        if line.is_empty() {
            return Ok((status, headers));
        }
        let (name, value) = line.split_once(':').ok_or_else(malformed)?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("status") {
            let code = value.get(..3).and_then(|code| code.parse().ok());
            status = code.ok_or_else(malformed)?;
        } else {
            let name: HeaderName = name.parse().map_err(|_| malformed())?;
            headers.append(name, HeaderValue::try_from(value).map_err(|_| malformed())?);
        }
    }
}

/// Runs git without any configuration of the machine, and returns what it writes.
///
/// # Errors
/// An error of the system, or what git says.
pub async fn run(
    folder: Option<&Path>,
    arguments: &[&str],
    last: Option<&Path>,
) -> io::Result<String> {
    let mut command = bare_git();
    if let Some(folder) = folder {
        command.arg("--git-dir").arg(folder);
    }
    let done = command.args(arguments).args(last).output().await?;
    if !done.status.success() {
        return Err(io::Error::other(format!(
            "git {}: {}",
            arguments.first().unwrap_or(&""),
            String::from_utf8_lossy(&done.stderr).trim()
        )));
    }
    Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned())
}

/// Returns git with an empty environment: nothing of the operator's reaches it.
pub fn bare_git() -> Command {
    let mut command = Command::new("git");
    command.env_clear().kill_on_drop(true);
    command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    command
}
