//! git over smart HTTP, by git's own CGI program, `git http-backend`.
//!
//! Everything is decided before the program starts, and before a push's body is read. The program
//! gets no text of the client's but the body and the protocol version: its path is made from the
//! repository that was found.

use std::io::{self, ErrorKind};
use std::process::Stdio;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use axum::routing::{get, post};
use http_body_util::BodyExt as _;
use shared::log;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{ChildStdin, ChildStdout};
use tokio_util::io::ReaderStream;

use crate::Forge;
use crate::enter::Visitor;
use crate::problem::Problem;
use crate::repos::{Refused, Repo, bare_git};

pub fn routes() -> Router<Forge> {
    Router::new()
        .route("/{owner}/{repo}/info/refs", get(refs))
        .route("/{owner}/{repo}/git-upload-pack", post(fetch))
        .route("/{owner}/{repo}/git-receive-pack", post(push))
}

/// What a client wants to do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Service {
    UploadPack,
    ReceivePack,
}

impl Service {
    fn name(self) -> &'static str {
        match self {
            Service::UploadPack => "git-upload-pack",
            Service::ReceivePack => "git-receive-pack",
        }
    }
}

type Names = Path<(String, String)>;

/// The first request of every client.
async fn refs(
    State(forge): State<Forge>,
    Path(names): Names,
    RawQuery(query): RawQuery,
    visitor: Result<Visitor, Problem>,
    request: Request<Body>,
) -> Response<Body> {
    let service = match query.as_deref() {
        Some("service=git-upload-pack") => Service::UploadPack,
        Some("service=git-receive-pack") => Service::ReceivePack,
        _ => {
            let message = "only git's smart protocol is spoken here; use git 1.6.6 or later";
            return Problem::new(StatusCode::FORBIDDEN, message).into_text();
        }
    };
    serve(&forge, &names, service, "info/refs", visitor, request).await
}

async fn fetch(
    State(forge): State<Forge>,
    Path(names): Names,
    visitor: Result<Visitor, Problem>,
    request: Request<Body>,
) -> Response<Body> {
    let service = Service::UploadPack;
    serve(&forge, &names, service, service.name(), visitor, request).await
}

async fn push(
    State(forge): State<Forge>,
    Path(names): Names,
    visitor: Result<Visitor, Problem>,
    request: Request<Body>,
) -> Response<Body> {
    let service = Service::ReceivePack;
    serve(&forge, &names, service, service.name(), visitor, request).await
}

async fn serve(
    forge: &Forge,
    names: &(String, String),
    service: Service,
    end_of_path: &str,
    visitor: Result<Visitor, Problem>,
    request: Request<Body>,
) -> Response<Body> {
    let served = async {
        let visitor = visitor?;
        let repo = allowed(forge, names, service, &visitor).await?;
        let user = visitor.caller.map(|caller| caller.owner().to_string());
        run(forge, &repo, service, end_of_path, user.as_deref(), request).await
    };
    served.await.unwrap_or_else(Problem::into_text)
}

/// Finds the repository, if the client may do this with it.
///
/// 401 asks for a token, also where there is no such repository: a client without one learns
/// nothing. With a token it is 404 for what the token doesn't see and 403 for what it may not do.
/// git then keeps its credential, which it would erase after 401.
async fn allowed(
    forge: &Forge,
    (owner, name): &(String, String),
    service: Service,
    visitor: &Visitor,
) -> Result<Repo, Problem> {
    let hidden = || match visitor.caller {
        Some(_) => Problem::not_found("repository, or the access token is not for it"),
        None => forge.sign_in_needed(),
    };
    let name = name.strip_suffix(".git").unwrap_or(name);
    let repo = forge.repo(owner, name).await?.ok_or_else(hidden)?;
    let writes = service == Service::ReceivePack;
    match repo.allow(visitor.caller.as_ref(), writes) {
        Ok(()) => Ok(repo),
        Err(Refused::Hidden) => Err(hidden()),
        Err(refused) => Err(forge.refused_here(refused)),
    }
}

/// Runs git's program: request and answer stream through it.
async fn run(
    forge: &Forge,
    repo: &Repo,
    service: Service,
    end_of_path: &str,
    user: Option<&str>,
    request: Request<Body>,
) -> Result<Response<Body>, Problem> {
    // Each is a process of some megabytes, so there is a limit.
    let place = forge.git_at_once.clone().try_acquire_owned();
    let place = place.map_err(|_| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too many clients at once; try again")
            .with("retry-after", "5")
    })?;
    let failed = |error: io::Error| Problem::failed("git http-backend", &error);
    let (parts, body) = request.into_parts();
    let query = if end_of_path == "info/refs" {
        format!("service={}", service.name())
    } else {
        String::new()
    };
    let mut command = bare_git();
    command
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", &repo.folder)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", format!("/{end_of_path}"))
        .env("REQUEST_METHOD", parts.method.as_str())
        .env("QUERY_STRING", query)
        // Set for pushes also without a user: `allow` has decided.
        .envs([("GIT_CONFIG_COUNT", "1"), ("GIT_CONFIG_KEY_0", "http.receivepack")])
        .env("GIT_CONFIG_VALUE_0", (service == Service::ReceivePack).to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    for (variable, header) in [
        ("CONTENT_TYPE", "content-type"),
        ("HTTP_CONTENT_ENCODING", "content-encoding"),
        ("GIT_PROTOCOL", "git-protocol"),
    ] {
        if let Some(value) = parts.headers.get(header).and_then(|value| value.to_str().ok()) {
            command.env(variable, value);
        }
    }
    command.envs(user.map(|user| ("REMOTE_USER", user)));
    let mut child = command.spawn().map_err(failed)?;
    let (stdin, stdout) = match (child.stdin.take(), child.stdout.take()) {
        (Some(stdin), Some(stdout)) => (stdin, stdout),
        _ => return Err(failed(ErrorKind::BrokenPipe.into())),
    };
    // Beside the answer: git answers while it still reads.
    tokio::spawn(async move {
        // ignored: a push that breaks off ends git's input, and git then changes nothing.
        _ = pump(body, stdin).await;
        if let Ok(status) = child.wait().await
            && !status.success()
        {
            log::say(format_args!("git http-backend ended with {status}"));
        }
        drop(place);
    });
    let mut stdout = BufReader::new(stdout);
    let head = read_head(&mut stdout).await.map_err(failed)?;
    let mut response = Response::new(Body::from_stream(ReaderStream::new(stdout)));
    (*response.status_mut(), *response.headers_mut()) = head;
    Ok(response)
}

/// Copies the request's body into git's input, and ends it.
async fn pump(mut body: Body, mut stdin: ChildStdin) -> io::Result<()> {
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(io::Error::other)?.into_data() {
            stdin.write_all(&data).await?;
        }
    }
    stdin.shutdown().await
}

/// The longest line of a CGI answer's head, and the most lines.
const MAX_HEAD: usize = 8 * 1024;

/// Reads the head of a CGI answer (RFC 3875, 6.3): header lines, and perhaps a status among them.
async fn read_head(stdout: &mut BufReader<ChildStdout>) -> io::Result<(StatusCode, HeaderMap)> {
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
