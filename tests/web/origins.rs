//! From where a request comes.

use std::net::IpAddr;

use app_tokens::web::{Origin, TokenLayer};
use app_tokens::{By, KeyRing, MemoryStore, Policy, TokenAuthority};

use super::*;

/// What the last use of a token was noted to come from.
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
    let view = tokens.find(By::Operator("test"), issued.id()).await.unwrap();
    let last_use = view.last_use().unwrap();
    (last_use.address, last_use.client.as_deref().map(String::from))
}

#[tokio::test]
async fn origins_are_noted_only_where_the_policy_says_so_and_an_address_only_from_the_host() {
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
