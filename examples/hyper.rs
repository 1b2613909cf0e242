//! App tokens in front of plain hyper. A host on actix, poem or its own server writes the same.
//!
//! `cargo run --example hyper`, then copy a line that it prints.

use std::convert::Infallible;
use std::error::Error;
use std::net::IpAddr;

use app_tokens::store::MemoryStore;
use app_tokens::web::{Answer, Login, NamesAreOwners, Refusal};
use app_tokens::{Access, NewToken, Origin, Requirement, TokenAuthority};
use hyper::body::Incoming;
use hyper::header::{HeaderValue, USER_AGENT};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

type Known = fn(&str) -> bool;

/// Answers those who have a token: one function from headers to a text or a refusal.
async fn greet(
    login: &Login<MemoryStore, NamesAreOwners<Known>>,
    headers: &HeaderMap,
    peer: IpAddr,
) -> Result<String, Refusal> {
    let client = headers.get(USER_AGENT).and_then(|client| client.to_str().ok()).unwrap_or("");
    let origin = Origin::unknown().address(peer).client(client);
    let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let token = login.enter(headers, origin).await?;
    let caller = token.require(Requirement::one_of(&["greetings:read"]))?;
    Ok(format!("Hello, {}, from {}.\n", caller.owner(), caller.label()))
}

/// Turns an answer, which is plain data, into a response: status, headers, body.
fn response(answer: Answer) -> Response<String> {
    let mut response = Response::new(answer.body);
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or_default();
    for (name, value) in answer.headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let tokens = TokenAuthority::in_memory("acme")?;
    let greetings = Access::scopes(["greetings:read"])?;
    let good = tokens.issue(NewToken::new("alice", "My phone", greetings)).await?;
    let weather = Access::scopes(["weather:read"])?;
    let weak = tokens.issue(NewToken::new("alice", "My watch", weather)).await?;
    let accounts: Known = |name| ["alice", "bob"].contains(&name);
    let login = Login::new(tokens, NamesAreOwners(accounts));

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/", listener.local_addr()?);
    println!("{url} asks for an app token. Try:\n");
    println!("curl -u alice:{} {url}", good.expose_secret());
    println!("curl --oauth2-bearer {} {url}", good.expose_secret());
    println!("curl -i -u alice:{} {url}    # 403: another scope", weak.expose_secret());
    println!("curl -i -u bob:{} {url}    # 401: another's token", good.expose_secret());

    loop {
        let (stream, peer) = listener.accept().await?;
        let login = login.clone();
        tokio::spawn(async move {
            let login = &login;
            let serve = service_fn(|request: Request<Incoming>| async move {
                Ok::<_, Infallible>(match greet(login, request.headers(), peer.ip()).await {
                    Ok(greeting) => Response::new(greeting),
                    Err(refusal) => response(login.answer(&refusal)),
                })
            });
            http1::Builder::new().serve_connection(TokioIo::new(stream), serve).await
        });
    }
}
