//! App tokens in an axum application: notes by a token, settings by the main password.
//!
//! `mkdir notes && cargo run --example axum -- notes`, then in another POSIX shell, in order:
//!
//! ```sh
//! U=http://127.0.0.1:8080 P='alice:correct horse'
//! R=$(curl -s -u "$P" -d read $U/settings/tokens)
//! W=$(curl -s -u "$P" -d write $U/settings/tokens)
//! curl -u "alice:$W" -d 'Buy milk' $U/api/notes
//! curl --oauth2-bearer "$R" $U/api/notes
//! curl -i --oauth2-bearer "$R" -d 'Buy tea' $U/api/notes    # 403: it only reads
//! curl -i -u "alice:$R" $U/settings/tokens                  # 403: only by the password
//! curl -i -u "$P" $U/api/notes                              # 401: only by a token
//! curl -u "$P" $U/settings/tokens                           # the list, with each last address
//! curl -u "$P" -X DELETE $U/settings/tokens/$(echo "$R" | cut -c 6-15)
//! curl -i --oauth2-bearer "$R" $U/api/notes                 # 401: it was revoked
//! ```
//!
//! Behind proxies, name their addresses: `cargo run --example axum -- notes 10.0.0.1`. It needs the
//! features `axum`, `serde` (for an id in a path), `sqlite-bundled` and `tokio`.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::path::Path as Folder;
use std::sync::{Arc, Mutex, PoisonError};

use app_tokens::access::Network;
use app_tokens::store::SqliteStore;
use app_tokens::web::{AccountsError, Answer, Challenges, Credentials, Login};
use app_tokens::web::{NamesAreOwners, Refusal, TokenLayer, client_address, require};
use app_tokens::{Access, Caller, KeyRing, NewToken, Origin, Owner, Policy, Reason, Requirement};
use app_tokens::{TokenAuthority, TokenId, TokenView};
use axum::Router;
use axum::extract::{ConnectInfo, FromRequestParts, Path, State};
use axum::handler::Handler;
use axum::http::{HeaderValue, StatusCode, header::CACHE_CONTROL, request::Parts};
use axum::response::IntoResponse;
use axum::routing::{delete, get};
use tokio::net::TcpListener;
#[cfg(unix)]
use tokio::signal::unix;

type Tokens = TokenAuthority<SqliteStore>;
type Known = NamesAreOwners<fn(&str) -> bool>;
type Proxies = Arc<[Network]>;
type Notes = Arc<Mutex<Vec<(Owner, String)>>>;

/// Who sent the main password. A handler that takes one is never reached by a token.
#[derive(Clone)]
struct SignedIn(Owner);

impl<S: Send + Sync> FromRequestParts<S> for SignedIn {
    type Rejection = Answer;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<SignedIn, Answer> {
        let body = "Sign in with your main password.\n";
        parts.extensions.get().cloned().ok_or_else(|| answer(403, "password_needed", body))
    }
}

/// The host's own password check. A real one keeps slow hashes, and slows down guesses by `_from`.
async fn sign_in(
    sent: Credentials<'static>,
    _from: Option<IpAddr>,
) -> Result<Option<SignedIn>, AccountsError> {
    let is_right = sent.user() == Some("alice") && sent.expose_secret() == "correct horse";
    Ok(if is_right { Some(SignedIn(Owner::new("alice")?)) } else { None })
}

async fn list_tokens(State(tokens): State<Tokens>, user: SignedIn) -> Result<String, Answer> {
    let all = tokens.all_of(&user.0).await.map_err(logged)?.tokens;
    let from = |token: &TokenView| token.last_use().and_then(|last_use| last_use.address);
    let line = |token: &TokenView| {
        format!("{} {} last from {:?}\n", token.id(), token.label(), from(token))
    };
    Ok(all.iter().map(line).collect())
}

async fn make_token(
    State(tokens): State<Tokens>,
    user: SignedIn,
    may: String,
) -> Result<impl IntoResponse, Answer> {
    let scopes: &[&str] = match &*may {
        "read" => &["notes:read"],
        "write" => &["notes:read", "notes:write"],
        _ => return Err(answer(422, "unknown_access", "Say `read` or `write`.\n")),
    };
    let new = NewToken::new(user.0, "curl", Access::scopes(scopes)?);
    let issued = tokens.issue(new).await.map_err(logged)?;
    let shown_once = format!("{}\n", issued.expose_secret());
    Ok((StatusCode::CREATED, [(CACHE_CONTROL, "no-store")], shown_once))
}

async fn revoke(
    State(tokens): State<Tokens>,
    user: SignedIn,
    Path(id): Path<TokenId>,
) -> Result<StatusCode, Answer> {
    tokens.revoke(user.0, id, Reason::REQUESTED).await.map_err(logged)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn notes(State(notes): State<Notes>, caller: Caller) -> String {
    let notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
    let own = notes.iter().filter(|(owner, _)| owner == caller.owner());
    own.map(|(_, note)| format!("{note}\n")).collect()
}

async fn add(State(notes): State<Notes>, caller: Caller, note: String) -> StatusCode {
    let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
    notes.push((caller.owner().clone(), note));
    StatusCode::CREATED
}

fn answer(status: u16, code: &'static str, body: &str) -> Answer {
    let headers = vec![("content-type", String::from("text/plain; charset=utf-8"))];
    Answer { status, code, headers, body: body.into() }
}

/// The answer for the client leaves out what is for the log.
fn logged<E: Error>(error: E) -> Answer
where
    for<'e> Answer: From<&'e E>,
{
    eprintln!("failed: {error}");
    Answer::from(&error)
}

/// The layer around all routes: where a request comes from, and the log of refusals.
fn layer(login: Login<SqliteStore, Known>, proxies: Proxies) -> TokenLayer<SqliteStore, Known> {
    TokenLayer::new(login)
        .origin(move |request: &Parts| {
            let Some(ConnectInfo(peer)) = request.extensions.get::<ConnectInfo<SocketAddr>>()
            else {
                return Origin::unknown();
            };
            let forwarded = request.headers.get_all("x-forwarded-for").iter();
            let forwarded = forwarded.map(HeaderValue::as_bytes);
            let Some(client) = client_address(peer.ip(), forwarded, &proxies) else {
                eprintln!("the proxy {peer} names no client in X-Forwarded-For");
                return Origin::unknown();
            };
            client.into()
        })
        .on_refusal(|request, origin, refusal| {
            let why = match refusal {
                Refusal::NoCredentials => return, // most clients begin so
                Refusal::Denied(denied) => denied.reason().as_str().to_owned(),
                refusal => refusal.to_string(),
            };
            eprintln!("refused: {:?} {} {why}", origin.known_address(), request.uri.path());
        })
}

fn app(tokens: &Tokens, proxies: Proxies) -> Router {
    let accounts: Known = NamesAreOwners(|name| name == "alice");
    let login = Login::new(tokens.clone(), accounts);
    let by_password = layer(login.clone().challenges(Challenges::Basic), proxies.clone())
        .or_else(|sent, origin| sign_in(sent, origin.known_address()));
    let settings = Router::new()
        .route("/settings/tokens", get(list_tokens).post(make_token))
        .route("/settings/tokens/{id}", delete(revoke))
        .layer(by_password)
        .with_state(tokens.clone());
    let read = require(Requirement::one_of(&["notes:read"]));
    let write = require(Requirement::one_of(&["notes:write"]));
    let api = Router::new()
        .route("/api/notes", get(notes.layer(read)).post(add.layer(write)))
        .layer(layer(login, proxies))
        .with_state(Notes::default());
    settings.merge(api)
}

/// Serves until it is told to stop. Then it lets requests end, and writes the last uses.
pub(crate) async fn serve(
    listener: TcpListener,
    folder: &Folder,
    proxies: Proxies,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let store = SqliteStore::open(folder.join("notes.db"))?;
    let ring = KeyRing::load_or_create(folder.join("notes.key"))?;
    let tokens = TokenAuthority::new(store, ring, Policy::new("acme")?.with_recorded_origin());
    let upkeep = tokens.upkeep().spawn();
    // Without the connect info, no address is ever known.
    let service = app(&tokens, proxies).into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service).with_graceful_shutdown(stop).await?;
    upkeep.stop().await?;
    Ok(())
}

/// Waits for Ctrl-C, or for SIGTERM, which service managers send.
async fn stop_signal() {
    #[cfg(unix)]
    if let Ok(mut sent) = unix::signal(unix::SignalKind::terminate()) {
        tokio::select! { _ = sent.recv() => return, _ = tokio::signal::ctrl_c() => return }
    }
    _ = tokio::signal::ctrl_c().await; // ignored: it ends either way
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("usage: axum FOLDER [PROXY…]")?;
    let proxies = arguments.map(|proxy| proxy.parse()).collect::<Result<Proxies, _>>()?;
    let listener = TcpListener::bind("127.0.0.1:8080").await?;
    serve(listener, Folder::new(&folder), proxies, stop_signal()).await
}
