//! The way in for tokens, in front of a host's routes.

use std::net::{IpAddr, SocketAddr};

use app_tokens::Origin;
use app_tokens::store::TokenStore;
use app_tokens::web::{Accounts, Login, Refusal, TokenLayer};
use axum::extract::ConnectInfo;
use axum::http::Extensions;
use axum::http::request::Parts;

use crate::front::Front;
use crate::{audit, log};

/// Makes the layer that lets tokens in. It tells the library where each request comes from, and
/// the [audit log](audit) who was refused.
pub fn token_layer<S: TokenStore, A: Accounts>(
    login: Login<S, A>,
    front: &Front,
) -> TokenLayer<S, A> {
    let (origins, refusals) = (front.clone(), front.clone());
    TokenLayer::new(login)
        .origin(move |request| {
            let peer = peer(&request.extensions);
            let origin = Origin::unknown().client(program(request));
            let address = origins.visitor(&request.headers, peer).address;
            address.map_or(origin, |address| origin.address(address))
        })
        .on_refusal(move |request, refusal| match refusal {
            // A denied token has a line already, by the library's event.
            Refusal::NotOurs | Refusal::Credentials(_) => {
                let visitor = refusals.visitor(&request.headers, peer(&request.extensions));
                audit::refused(visitor.address, None, &refusal.to_string());
            }
            Refusal::Failed(_) | Refusal::Accounts(_) => {
                log::say(format_args!("a token can't be checked: {refusal}"));
            }
            _ => {}
        })
}

/// Returns the other end of the connection.
pub fn peer(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip())
}

fn program(request: &Parts) -> &str {
    request.headers.get("user-agent").and_then(|agent| agent.to_str().ok()).unwrap_or_default()
}
