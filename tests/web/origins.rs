//! The address and the client that a request comes from.

use std::net::IpAddr;

use app_tokens::store::MemoryStore;
use app_tokens::web::{TokenLayer, client_address};
use app_tokens::{Access, KeyRing, NewToken, Origin, Policy, TokenAuthority};

use axum::http::HeaderValue;

use super::*;

/// Returns the origin that a token's last use recorded.
async fn origin_noted(
    policy: Policy,
    layer: impl FnOnce(TokenLayer<MemoryStore, Everybody>) -> TokenLayer<MemoryStore, Everybody>,
) -> (Option<IpAddr>, Option<String>) {
    let ring = KeyRing::ephemeral().unwrap();
    let tokens = TokenAuthority::new(MemoryStore::new(), ring, policy);
    let issued = issue(&tokens);
    let app = routes().layer(layer(TokenLayer::new(login(&tokens))));
    let mut request = request("GET", "/", Some(&bearer(issued.expose_secret())));
    request.headers_mut().insert("user-agent", "rclone/1.60".parse().unwrap());
    request.headers_mut().insert("x-forwarded-for", "192.0.2.1".parse().unwrap());
    request.extensions_mut().insert(IpAddr::from([192, 0, 2, 7]));
    assert_eq!(call(&app, request).await.status, 200);
    let view = tokens.find(&operator("test"), issued.id()).await.unwrap();
    let last_use = view.last_use().unwrap();
    (last_use.address, last_use.client.as_deref().map(String::from))
}

#[tokio::test]
async fn origins_are_recorded_only_if_the_policy_says_so_and_an_address_only_from_the_host() {
    let policy = || Policy::new("acme").unwrap();
    let from_extension = |layer: TokenLayer<_, _>| {
        layer.origin(|request| {
            let address = request.extensions.get::<IpAddr>().copied();
            Origin::unknown().address(address.unwrap()).client("known")
        })
    };
    assert_eq!(origin_noted(policy(), |layer| layer).await, (None, None));
    assert_eq!(origin_noted(policy(), from_extension).await, (None, None));
    let recorded = policy().with_recorded_origin();
    let user_agent = Some(String::from("rclone/1.60"));
    assert_eq!(origin_noted(recorded.clone(), |layer| layer).await, (None, user_agent));
    let known = (Some(IpAddr::from([192, 0, 2, 7])), Some(String::from("known")));
    assert_eq!(origin_noted(recorded, from_extension).await, known);
}

#[tokio::test]
async fn an_origin_that_names_only_an_address_keeps_the_client() {
    let only_address = |layer: TokenLayer<_, _>| {
        layer.origin(|request| Origin::from(*request.extensions.get::<IpAddr>().unwrap()))
    };
    let recorded = Policy::new("acme").unwrap().with_recorded_origin();
    let expected = (Some(IpAddr::from([192, 0, 2, 7])), Some(String::from("rclone/1.60")));
    assert_eq!(origin_noted(recorded, only_address).await, expected);
}

/// Makes an app behind a proxy at 10.0.0.1, as the docs of `TokenLayer::origin` show.
fn behind_a_proxy(tokens: &Tokens) -> Router {
    let layer = TokenLayer::new(login(tokens)).origin(|request| {
        let peer = *request.extensions.get::<IpAddr>().unwrap();
        let lines = request.headers.get_all("x-forwarded-for").iter();
        let lines: Vec<&[u8]> = lines.map(HeaderValue::as_bytes).collect();
        let proxies = ["10.0.0.1".parse().unwrap()];
        client_address(peer, lines, &proxies).map_or(Origin::unknown(), Origin::from)
    });
    routes().layer(layer)
}

/// Threat K: a token for the network 10.0.0.0/8, which also holds the proxy.
#[tokio::test]
async fn a_token_bound_to_a_network_is_forbidden_outside_it_whatever_the_client_forges() {
    let tokens = tokens();
    let app = behind_a_proxy(&tokens);
    let access = Access::full().from_networks(["10.0.0.0/8".parse().unwrap()]).unwrap();
    let issued = tokens.issue(NewToken::new("alice", "Printer", access)).await.unwrap();
    let status = async |peer: &str, forwarded: &[&str]| {
        let mut request = request("GET", "/", Some(&bearer(issued.expose_secret())));
        request.extensions_mut().insert(peer.parse::<IpAddr>().unwrap());
        for line in forwarded {
            request.headers_mut().append("x-forwarded-for", line.parse().unwrap());
        }
        call(&app, request).await
    };
    for (peer, forwarded) in [
        ("10.2.3.4", &[][..]),
        ("10.0.0.1", &["10.2.3.4"]),
        ("::ffff:10.0.0.1", &["6.6.6.6", "10.2.3.4:5000"]),
    ] {
        assert_eq!(status(peer, forwarded).await.status, 200, "{peer} {forwarded:?}");
    }
    for (peer, forwarded) in [
        ("192.0.2.7", &[][..]),
        ("192.0.2.7", &["10.2.3.4"]),
        ("10.0.0.1", &["10.2.3.4, 192.0.2.7"]),
        ("10.0.0.1", &["10.2.3.4", "192.0.2.7"]),
        // The client made the proxy omit the header, or its entry is no address.
        ("10.0.0.1", &[]),
        ("10.0.0.1", &["10.2.3.4, unknown"]),
    ] {
        let reply = status(peer, forwarded).await;
        is(&reply, 403, "The app token may not be used from this address.\n");
        assert!(reply.challenges().is_empty());
    }
}
