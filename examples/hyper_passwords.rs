//! App tokens beside a host's own passwords, on plain hyper. The page
//! `app_tokens::web::beside_passwords` explains each step.
//!
//! `cargo run --example hyper_passwords`, then copy the lines that it prints, in order.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::error::Error;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use app_tokens::store::MemoryStore;
use app_tokens::web::{Answer, Challenges, Entry, Login, NamesAreOwners, Refusal, decoded_path};
use app_tokens::{Access, Authenticated, NewToken, Origin, Owner, Requirement, TokenAuthority};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::header::{EXPECT, HeaderMap, HeaderValue, USER_AGENT};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::time::{Duration, timeout};

const READ: Requirement<'_> = Requirement::one_of(&["files:read", "files:write"]);
const WRITE: Requirement<'_> = Requirement::one_of(&["files:write"]);

/// The largest upload, in bytes; and how much of a refused one is read and dropped.
const MAX_BODY: usize = 1024 * 1024;

type Known = fn(&str) -> bool;

struct Host {
    login: Login<MemoryStore, NamesAreOwners<Known>>,
    files: Mutex<BTreeMap<String, Vec<u8>>>,
}

/// Who sent a request. A token may do less than the user may do by password.
enum User {
    Password(Owner),
    Token(Authenticated),
}

impl Host {
    async fn user(&self, parts: &Parts, peer: IpAddr) -> Result<User, Refusal> {
        let client = parts.headers.get(USER_AGENT).and_then(|client| client.to_str().ok());
        let origin = Origin::unknown().address(peer).client(client.unwrap_or(""));
        match self.login.try_enter(pairs(&parts.headers), origin).await? {
            Entry::Token(token) => Ok(User::Token(token)),
            Entry::NotOurs(sent) => {
                let owner = sign_in(sent.user(), sent.expose_secret());
                owner.map(User::Password).ok_or(Refusal::NotOurs)
            }
            Entry::OtherScheme | Entry::Nothing => Err(Refusal::NoCredentials),
        }
    }

    async fn serve(&self, parts: &Parts, body: Incoming, peer: IpAddr) -> Result<Reply, Answer> {
        let refuse = |refusal| self.login.answer_to(&refusal, pairs(&parts.headers));
        // Before the body is read, so that a client that waits for `100 Continue` never sends it.
        let user = match self.user(parts, peer).await {
            Ok(user) => user,
            Err(refusal) => {
                drain(parts, body).await;
                return Err(refuse(refusal));
            }
        };
        let Some(path) = decoded_path(parts.uri.path()) else {
            return Ok((StatusCode::BAD_REQUEST, String::from("The path can't be read.\n")));
        };
        match (parts.method.as_str(), &*path) {
            ("POST", "/tokens") => self.issue(user).await,
            ("GET", path) => {
                user.may(&[READ.on(path)]).map_err(refuse)?;
                let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
                match files.get(path) {
                    Some(file) => Ok((StatusCode::OK, String::from_utf8_lossy(file).into_owned())),
                    None => Ok((StatusCode::NOT_FOUND, String::from("There is no such file.\n"))),
                }
            }
            ("PUT", path) => {
                if let Err(refusal) = user.may(&[WRITE.on(path)]) {
                    drain(parts, body).await;
                    return Err(refuse(refusal));
                }
                let Ok(file) = Limited::new(body, MAX_BODY).collect().await else {
                    let body = String::from("The file is too large, or was cut off.\n");
                    return Ok((StatusCode::PAYLOAD_TOO_LARGE, body));
                };
                let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
                files.insert(path.to_owned(), file.to_bytes().into());
                Ok((StatusCode::CREATED, String::new()))
            }
            // Reads one file and writes another: a token may be allowed only one of the two.
            ("COPY", path) => {
                let to = parts.headers.get("destination").and_then(|to| to.to_str().ok());
                let Some(to) = to.and_then(decoded_path) else {
                    return Ok((StatusCode::BAD_REQUEST, String::from("Where to?\n")));
                };
                user.may(&[READ.on(path), WRITE.on(&to)]).map_err(refuse)?;
                let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
                match files.get(path).cloned() {
                    Some(file) => files.insert(to, file),
                    None => {
                        let body = String::from("There is no such file.\n");
                        return Ok((StatusCode::NOT_FOUND, body));
                    }
                };
                Ok((StatusCode::CREATED, String::new()))
            }
            _ => Ok((StatusCode::METHOD_NOT_ALLOWED, String::new())),
        }
    }

    /// Makes a token. A token may not make another, or the thief of one would keep a second.
    async fn issue(&self, user: User) -> Result<Reply, Answer> {
        let User::Password(owner) = user else {
            let body = String::from("Sign in with your password to make an app token.\n");
            return Ok((StatusCode::FORBIDDEN, body));
        };
        let access = Access::scopes(["files:read"])?;
        let new = NewToken::new(&owner, "curl", access);
        let issued = self.login.tokens().issue(new).await.map_err(|error| {
            eprintln!("no token: {error}");
            Answer::from(&error)
        })?;
        Ok((StatusCode::CREATED, format!("{}\n", issued.expose_secret())))
    }
}

impl User {
    /// Whether the user may do all of this. The password may do everything.
    fn may(self, all: &[Requirement<'_>]) -> Result<(), Refusal> {
        let User::Token(token) = self else {
            return Ok(());
        };
        let caller = token.require(Requirement::ANY_VALID_TOKEN)?;
        for requirement in all {
            caller.require(*requirement)?;
        }
        Ok(())
    }
}

/// The host's own password check. A real one keeps slow hashes and slows guesses down.
fn sign_in(name: Option<&str>, password: &str) -> Option<Owner> {
    let is_right = name == Some("alice") && password == "correct horse";
    is_right.then(|| Owner::new("alice").ok()).flatten()
}

/// Reads on for a while after a refusal. Many clients send the whole body before they read the
/// answer, and report a broken pipe if the connection closes first.
async fn drain(parts: &Parts, body: Incoming) {
    // Such a client waits for the answer. Reading would ask it for the body.
    if parts.headers.contains_key(EXPECT) {
        return;
    }
    // ignored: the client left, or sends more than we care to read.
    _ = timeout(Duration::from_secs(10), Limited::new(body, MAX_BODY).collect()).await;
}

fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&str, &[u8])> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()))
}

type Reply = (StatusCode, String);

fn response(reply: Result<Reply, Answer>) -> Response<String> {
    let (status, headers, body) = match reply {
        Ok((status, body)) => (status, Vec::new(), body),
        Err(answer) => {
            let status = StatusCode::from_u16(answer.status).unwrap_or_default();
            (status, answer.headers, answer.body)
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

/// Serves for ever.
pub(crate) async fn serve(
    listener: TcpListener,
) -> Result<Infallible, Box<dyn Error + Send + Sync>> {
    let accounts: Known = |name| name == "alice";
    let login = Login::new(TokenAuthority::in_memory("acme")?, NamesAreOwners(accounts))
        .challenges(Challenges::Basic)
        .without_challenges_for_scripts();
    let host = Arc::new(Host { login, files: Mutex::default() });
    loop {
        let (stream, peer) = listener.accept().await?;
        let host = host.clone();
        tokio::spawn(async move {
            let host = &*host;
            let serve = service_fn(|request: Request<Incoming>| async move {
                let (parts, body) = request.into_parts();
                let reply = host.serve(&parts, body, peer.ip()).await;
                Ok::<_, Infallible>(response(reply))
            });
            http1::Builder::new().serve_connection(TokioIo::new(stream), serve).await
        });
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    println!("{url} takes Alice's password or an app token of hers. Try, in a POSIX shell:\n");
    println!("P='alice:correct horse'");
    println!("T=alice:$(curl -s -u \"$P\" -X POST {url}/tokens)");
    println!("curl -u \"$P\" -T /etc/hostname {url}/a");
    println!("curl -u \"$T\" {url}/a");
    println!("curl -i -u \"$T\" -T /etc/hostname {url}/a            # 403: the token only reads");
    println!("curl -i -u \"$T\" -X COPY -H 'Destination: /b' {url}/a  # 403: the copy is written");
    println!("curl -i -u \"$T\" -X POST {url}/tokens                # 403: no token by a token");
    println!("curl -i -u \"${{T}}x\" {url}/a                          # 401: mistyped");
    println!("curl -i -H 'Sec-Fetch-Mode: cors' {url}/a            # 401 without a challenge");
    match serve(listener).await? {}
}
