//! What stands in front of the host: its public URL, its proxies, a login proxy.

use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use app_tokens::Origin;
use app_tokens::access::Network;
use app_tokens::web::client_address;
use axum::http::{HeaderMap, HeaderValue};

use crate::proxy::LoginProxy;
use crate::site;

/// What stands in front of the host.
#[derive(Clone, Debug, Default)]
pub struct Front {
    /// Where people reach it. `None` if they reach it where it listens.
    pub public: Option<PublicUrl>,
    /// The proxies whose `X-Forwarded-For` is believed.
    pub proxies: Vec<Network>,
    /// The login proxy, if it names the users.
    pub login_proxy: Option<LoginProxy>,
}

/// Who sent a request, as well as the host can know.
#[derive(Clone, Debug, Default)]
pub struct Visitor {
    /// The other end of the connection, which may be a proxy.
    pub peer: Option<IpAddr>,
    /// The client's address. `None` if a proxy doesn't say it.
    pub address: Option<IpAddr>,
    /// What the client's program calls itself.
    pub program: Option<String>,
}

impl Visitor {
    /// Returns what the library records of a use, and checks a token's networks by.
    pub fn origin(&self) -> Origin<'_> {
        let program = self.program.as_deref().unwrap_or_default();
        let origin = Origin::unknown().client(program);
        match self.address {
            Some(address) => origin.address(address),
            None => origin,
        }
    }
}

impl Front {
    /// Returns whether browsers reach the host over TLS, so that cookies can be `Secure`.
    pub fn is_secure(&self) -> bool {
        self.public.as_ref().is_some_and(|public| public.origin().starts_with("https:"))
    }

    /// Reads who sent a request.
    pub fn visitor(&self, headers: &HeaderMap, peer: Option<IpAddr>) -> Visitor {
        let forwarded = headers.get_all("x-forwarded-for");
        // Collected, as the lines are read from the end.
        let forwarded: Vec<&[u8]> = forwarded.iter().map(HeaderValue::as_bytes).collect();
        let program = headers.get("user-agent").and_then(|agent| agent.to_str().ok());
        Visitor {
            peer,
            address: peer.and_then(|peer| client_address(peer, forwarded, &self.proxies)),
            program: program.map(str::to_owned),
        }
    }

    /// Returns whether another site made the browser send this: see [`site`].
    pub fn is_from_another_site(&self, headers: &HeaderMap) -> bool {
        site::is_from_another_site(headers, self.public.as_ref())
    }
}

/// Returns what one customer of a provider has: an IPv4 address, or an IPv6 network of 64 bits.
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
        v4 => v4,
    }
}

/// The public URL of a host: `https://cloud.example`, with a port if it has one, without a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl(String);

impl PublicUrl {
    /// Returns the URL without a slash at its end, which is also the origin of its pages.
    pub fn origin(&self) -> &str {
        &self.0
    }
}

impl FromStr for PublicUrl {
    type Err = String;
    fn from_str(text: &str) -> Result<PublicUrl, String> {
        let url = text.trim_end_matches('/').to_ascii_lowercase();
        // A browser leaves the usual port out of `Origin`.
        let (scheme, host, usual_port) = match url.split_once("://") {
            Some(("https", host)) => ("https", host, ":443"),
            Some(("http", host)) => ("http", host, ":80"),
            _ => return Err("write https://HOST or https://HOST:PORT".into()),
        };
        let is_host = |c: char| c.is_ascii_alphanumeric() || "-.:[]".contains(c);
        if host.is_empty() || !host.chars().all(is_host) {
            return Err("write https://HOST or https://HOST:PORT, without a path".into());
        }
        let host = host.strip_suffix(usual_port).unwrap_or(host);
        Ok(PublicUrl(format!("{scheme}://{host}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_is_an_origin_as_browsers_write_it() {
        let origin = |url: &str| url.parse::<PublicUrl>().map(|url| url.origin().to_owned());
        assert_eq!(origin("https://Cloud.Example:443/").unwrap(), "https://cloud.example");
        assert_eq!(origin("http://[::1]:8080").unwrap(), "http://[::1]:8080");
        for bad in ["", "cloud.example", "ftp://x", "https://", "https://x/path", "https://u@x"] {
            assert!(origin(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_address_is_taken_from_a_proxy_that_is_named_and_from_nobody_else() {
        let front = Front { proxies: vec!["10.0.0.1".parse().unwrap()], ..Front::default() };
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", HeaderValue::from_static("192.0.2.7"));
        let address = |peer: [u8; 4]| front.visitor(&headers, Some(peer.into())).address;
        assert_eq!(address([10, 0, 0, 1]), Some([192, 0, 2, 7].into()));
        assert_eq!(address([10, 0, 0, 2]), Some([10, 0, 0, 2].into()));
        assert_eq!(front.visitor(&headers, None).address, None);
    }
}
