//! A login proxy in front, as Authelia or oauth2-proxy, which names the user in a header.
//!
//! `--sso-header Remote-User --sso-from 10.0.0.1`: the header is believed from that address only.
//! The host then has no main password, and its page no form to sign in.
//!
//! A session that begins by the header is never fresh: the sign-in at the proxy may be hours old.
//! Where the page would ask for the password again, it sends the browser to `/again`. **Configure
//! the proxy so that this path needs a fresh sign-in.** What arrives there becomes fresh.
//!
//! # What this proves
//! With `--sso-time-header NAME`, the proxy also says when the person signed in, in seconds since
//! 1970, as the claim `auth_time` of OpenID Connect has it. Then `/again` believes a sign-in of the
//! last two minutes only, and a path that was not configured makes nothing fresh.
//!
//! Without it, the host learns nothing but that the proxy let this path through. **If the proxy
//! doesn't ask there, a stolen cookie of the proxy is enough to make a token.** The host says so at
//! its start. It can't tell.
//!
//! # How to configure it
//! No test here runs one of these proxies, so try `/again` before you rely on it.
//! - mod_auth_openidc sends the time as `OIDC_CLAIM_auth_time`. For `/again`: a `Require
//!   claims_expr` that refuses an old `.auth_time`, with `OIDCUnAutzAction auth` and
//!   `OIDCPathAuthRequestParams prompt=login&max_age=0`.
//! - oauth2-proxy: a second instance for this path, with `--prompt=login` and a cookie of its own
//!   that lasts a minute. It sends no such time.
//! - Authelia: a rule of its own for this path, with a second factor. It asks once in a session of
//!   Authelia, so keep that short. It sends no such time.
//!
//! The proxy must remove both headers from what clients send.
//!
//! Let the proxy pass the paths of clients, such as `/dav`, without a sign-in of its own: their app
//! passwords are checked here. It must remove the headers there, too.
//!
//! A session is its person's only in requests in which the proxy names them.

use std::net::IpAddr;
use std::time::Duration;

use app_tokens::Timestamp;
use app_tokens::access::Network;
use axum::http::{HeaderMap, HeaderName};

use crate::log;

/// Which header names the user, and who may send it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginProxy {
    /// The header, such as `Remote-User`.
    pub header: HeaderName,
    /// The proxy's address.
    pub from: IpAddr,
    /// The header that says when the user signed in, if the proxy sends one.
    pub time_header: Option<HeaderName>,
}

/// How old a sign-in may be when its person comes back from it. Clocks differ.
const A_MOMENT: Duration = Duration::from_secs(2 * 60);

impl LoginProxy {
    /// Warns of what is believed and not proved, and of a proxy that hides who its clients are.
    pub(crate) fn warn(&self, proxies: &[Network]) {
        if self.time_header.is_none() {
            log::say(
                "a fresh sign-in at /again is believed and not proved, as there is no \
                 --sso-time-header; configure the proxy so that it asks there",
            );
        }
        if !proxies.iter().any(|known| known.contains(self.from)) {
            log::say(format_args!(
                "the log will name the login proxy's address instead of each client's, and whoever \
                 bans addresses by it bans the proxy; if it sets X-Forwarded-For, add --proxy {}",
                self.from
            ));
        }
    }

    /// Returns the login name that the proxy names. `None` if it names nobody, or more than one, or
    /// if the request is not from the proxy.
    pub fn user<'h>(&self, headers: &'h HeaderMap, peer: Option<IpAddr>) -> Option<&'h str> {
        if peer.map(|peer| peer.to_canonical()) != Some(self.from.to_canonical()) {
            return None;
        }
        let mut named = headers.get_all(&self.header).iter();
        let name = match (named.next(), named.next()) {
            // A name may have any letter. Proxies send UTF-8.
            (Some(name), None) => std::str::from_utf8(name.as_bytes()).ok(),
            _ => None,
        };
        name.filter(|name| !name.is_empty())
    }

    /// Returns whether the proxy has asked for a sign-in a moment ago, or can't say so. Call it for
    /// a request whose [user](LoginProxy::user) it names only.
    pub fn has_just_asked(&self, headers: &HeaderMap, now: Timestamp) -> bool {
        let Some(time_header) = &self.time_header else {
            // Its configuration is believed, as this module says.
            return true;
        };
        let mut times = headers.get_all(time_header).iter();
        let (Some(time), None) = (times.next(), times.next()) else {
            return false;
        };
        let time = time.to_str().ok().and_then(|time| time.parse().ok());
        let signed_in = time.and_then(|time| Timestamp::from_unix(time).ok());
        signed_in.is_some_and(|at| now.since(at) <= A_MOMENT && at.since(now) <= A_MOMENT)
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
            time_header: None,
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

    #[test]
    fn a_sign_in_is_believed_for_two_minutes_and_only_one_time() {
        let time_header = HeaderName::from_static("x-auth-time");
        let proxy = LoginProxy {
            header: HeaderName::from_static("remote-user"),
            from: IpAddr::from([10, 0, 0, 1]),
            time_header: Some(time_header.clone()),
        };
        let now = Timestamp::from_unix(1_800_000_000).unwrap();
        let asked = |sent: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for time in sent {
                headers.append(time_header.clone(), HeaderValue::from_static(time));
            }
            proxy.has_just_asked(&headers, now)
        };
        for good in ["1800000000", "1799999880", "1800000120"] {
            assert!(asked(&[good]), "{good}");
        }
        for bad in ["1799999879", "1800000121", "0", "", "-1", "now", "99999999999999999999"] {
            assert!(!asked(&[bad]), "{bad}");
        }
        assert!(!asked(&[]), "a path that was not configured");
        assert!(!asked(&["1800000000", "1800000000"]), "a client's own header came through");
        let silent = LoginProxy { time_header: None, ..proxy.clone() };
        assert!(silent.has_just_asked(&HeaderMap::new(), now), "its configuration is believed");
    }
}
