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
    let front = front.clone();
    TokenLayer::new(login)
        .origin(move |request| {
            let peer = peer(&request.extensions);
            let origin = Origin::unknown().client(program(request));
            let address = front.visitor(&request.headers, peer).address;
            address.map_or(origin, |address| origin.address(address))
        })
        .on_refusal(|_, origin, refusal| note_refusal(origin.known_address(), refusal))
}

/// Writes a line into the audit log for what is no token at all, and tells the operator of a
/// failure.
///
/// A denied token has a line already, by the library's event. No credentials are no attempt, and a
/// failure of the store refuses nobody.
pub fn note_refusal(from: Option<IpAddr>, refusal: &Refusal) {
    match refusal {
        Refusal::NotOurs | Refusal::Credentials(_) => {
            audit::refused(from, None, &refusal.to_string());
        }
        Refusal::Failed(_) | Refusal::Accounts(_) => {
            log::say(format_args!("credentials can't be checked: {refusal}"));
        }
        _ => {}
    }
}

/// Returns the other end of the connection.
pub fn peer(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip())
}

fn program(request: &Parts) -> &str {
    request.headers.get("user-agent").and_then(|agent| agent.to_str().ok()).unwrap_or_default()
}
