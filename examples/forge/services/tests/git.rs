//! Clients that keep git waiting, with a patience of milliseconds. Each test ends when git has
//! ended; with no limit it would never end.

use std::time::Duration;

use app_tokens::Owner;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request};
use forge_services::git::{Asked, Patience, serve};
use forge_services::repos::{Repo, Repos};
use support::program::has;
use tempfile::TempDir;
use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::oneshot;
use tokio_util::io::ReaderStream;

const SHORT: Duration = Duration::from_millis(30);
const LONG: Duration = Duration::from_secs(60 * 60);

async fn repo() -> Option<(Repo, TempDir)> {
    if !has("git") {
        return None;
    }
    let data = tempfile::tempdir().unwrap();
    let repos = Repos::open(data.path()).await.unwrap();
    let repo = repos.create(&Owner::new("alice").unwrap(), "site", false).await.unwrap();
    repo.begin("# Hello\n").await.unwrap();
    Some((repo, data))
}

/// A request whose body is what is written into the other end.
fn slow(service: &str) -> (Asked, Request<Body>, DuplexStream) {
    let asked = Asked::read(&Method::POST, service, None).unwrap();
    let (sender, body) = duplex(16);
    let body = Body::from_stream(ReaderStream::new(body));
    (asked, Request::post(format!("/{service}")).body(body).unwrap(), sender)
}

#[tokio::test]
async fn a_client_that_sends_nothing_gives_its_place_back() {
    let Some((repo, _data)) = repo().await else { return };
    for service in ["git-upload-pack", "git-receive-pack"] {
        let (asked, request, _sender) = slow(service);
        let (place, ended) = oneshot::channel::<()>();
        let patience = Patience { pause: SHORT, wish: LONG, whole: LONG };
        let _answer = serve(&repo.folder, asked, None, request, patience, place).await;
        assert!(ended.await.is_err(), "the place was dropped");
    }
}

#[tokio::test]
async fn a_client_that_sends_a_byte_now_and_then_gives_its_place_back() {
    let Some((repo, _data)) = repo().await else { return };
    for (service, patience) in [
        ("git-upload-pack", Patience { pause: LONG, wish: SHORT, whole: LONG }),
        ("git-receive-pack", Patience { pause: LONG, wish: LONG, whole: SHORT }),
    ] {
        let (asked, request, mut sender) = slow(service);
        let (place, ended) = oneshot::channel::<()>();
        let drips = tokio::spawn(async move {
            while sender.write_all(b"0").await.is_ok() {
                tokio::time::sleep(SHORT / 10).await;
            }
        });
        let _answer = serve(&repo.folder, asked, None, request, patience, place).await;
        assert!(ended.await.is_err(), "the place was dropped");
        drips.await.unwrap();
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_gives_its_place_back() {
    let Some((repo, _data)) = repo().await else { return };
    // More refs than fit into the pipes between git and the client.
    let main = std::fs::read_to_string(repo.folder.join("refs/heads/main")).unwrap();
    let refs: String = (0..20_000).map(|n| format!("{} refs/heads/n{n}\n", main.trim())).collect();
    std::fs::write(repo.folder.join("packed-refs"), refs).unwrap();
    let ask = || {
        let query = Some("service=git-upload-pack");
        let asked = Asked::read(&Method::GET, "info/refs", query).unwrap();
        (asked, Request::get("/info/refs").body(Body::empty()).unwrap())
    };
    let (place, ended) = oneshot::channel::<()>();
    let (asked, request) = ask();
    let patience = Patience { pause: SHORT, wish: LONG, whole: LONG };
    let _unread = serve(&repo.folder, asked, None, request, patience, place).await.unwrap();
    assert!(ended.await.is_err(), "the place was dropped");
    // One that reads gets all of it.
    let (asked, request) = ask();
    let answer = serve(&repo.folder, asked, None, request, Patience::default(), ()).await.unwrap();
    let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    assert!(body.ends_with(b"0000") && body.len() > 1_000_000, "{}", body.len());
}
