//! Real clients at a folder, without a host around it.

mod common;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::routing::any;
use common::Host;
use support::program::{has, run_well};
use tokio::net::TcpListener;

/// Serves a folder on a free port for as long as the test runs.
async fn serve(host: &Host) -> SocketAddr {
    let place = Arc::new(host.place());
    let answer = any(move |request: Request| async move { place.answer(request).await.unwrap() });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, Router::new().fallback(answer)).into_future());
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn litmus_passes_all_of_its_suites() {
    if !has("litmus") {
        return;
    }
    let host = Host::new();
    let address = serve(&host).await;
    let url = format!("http://{address}/dav/");
    let said = tokio::task::block_in_place(|| run_well(host.home.path(), "litmus", &[&url]));
    // Of `basic', `copymove', `props', `locks' and `http'.
    assert_eq!(said.matches(" passed, 0 failed.").count(), 5, "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cadaver_locks_changes_and_unlocks() {
    if !has("cadaver") {
        return;
    }
    let host = Host::new();
    host.file("note");
    let address = serve(&host).await;
    let script = host.home.path().join("script");
    std::fs::write(&script, "lock note\nput script note\nunlock note\nlock note\nquit\n").unwrap();
    let command = format!("cadaver http://{address}/dav/ < script");
    let said = tokio::task::block_in_place(|| run_well(host.home.path(), "sh", &["-c", &command]));
    assert!(!said.contains("failed"), "{said}");
    assert!(host.read("note").unwrap().starts_with("lock note"));
    assert_eq!(host.call("PUT", "/dav/note", &[], "").await.status, 423, "its last lock stays");
}
