//! A login proxy in front, as Authelia or oauth2-proxy, which names the user in a header.
//!
//! `--sso-header Remote-User --sso-from 10.0.0.1`: the header is believed from that address only.
//! The proxy must remove the header from what clients send, as these two do. The host then has no
//! main password, and its page no form to sign in.
//!
//! Where the page would ask for the password again, it sends the browser to `/again`. **Configure
//! the proxy so that this path needs a fresh sign-in.** What arrives there counts as a sign-in of
//! that moment:
//! - oauth2-proxy: a second instance for this path, with `--prompt=login` and a cookie of its own
//!   that lasts a minute.
//! - Authelia: a rule of its own for this path, with a second factor. It asks once in a session of
//!   Authelia, so keep that short.
//!
//! Let the proxy pass the paths of clients, such as `/dav`, without a sign-in of its own: their app
//! passwords are checked here.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName};

/// Which header names the user, and who may send it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginProxy {
    /// The header, such as `Remote-User`.
    pub header: HeaderName,
    /// The proxy's address.
    pub from: IpAddr,
}

impl LoginProxy {
    /// Returns the login name that the proxy names. `None` if it names nobody, or more than one, or
    /// if the request is not from the proxy.
    pub fn user<'h>(&self, headers: &'h HeaderMap, peer: Option<IpAddr>) -> Option<&'h str> {
        if peer.map(|peer| peer.to_canonical()) != Some(self.from.to_canonical()) {
            return None;
        }
        let mut named = headers.get_all(&self.header).iter();
        match (named.next(), named.next()) {
            (Some(name), None) => name.to_str().ok().filter(|name| !name.is_empty()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn only_the_proxy_is_believed_and_only_one_name() {
        let proxy = LoginProxy {
            header: HeaderName::from_static("remote-user"),
            from: IpAddr::from([10, 0, 0, 1]),
        };
        let mut headers = HeaderMap::new();
        headers.append("remote-user", HeaderValue::from_static("alice"));
        let user = |headers: &HeaderMap, peer: &str| {
            proxy.user(headers, Some(peer.parse().unwrap())).map(str::to_owned)
        };
        assert_eq!(user(&headers, "10.0.0.1").as_deref(), Some("alice"));
        assert_eq!(user(&headers, "::ffff:10.0.0.1").as_deref(), Some("alice"));
        assert_eq!(user(&headers, "10.0.0.2"), None);
        assert_eq!(proxy.user(&headers, None), None);
        headers.append("remote-user", HeaderValue::from_static("bob"));
        assert_eq!(user(&headers, "10.0.0.1"), None, "a client's own header came through");
    }
}
