//! Refuses what another site made a browser send.
//!
//! `SameSite=Strict` keeps the session's cookie from other sites, but not from other ports and
//! subdomains of this one. And no cookie rule holds back a password that a browser remembers. So
//! every POST is also checked by `Origin` and by Fetch Metadata.

use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderValue};

use crate::front::PublicUrl;

/// Returns whether another site made the browser send this.
///
/// - `Sec-Fetch-Site` must say that the same origin sent it, or the person themselves. Browsers
///   leave it out where there is no TLS.
/// - `Origin` must be ours: that of the public URL, or without one the host that was asked.
/// - A program that is no browser sends nothing of this. It has no cookie that it didn't choose.
pub fn is_from_another_site(headers: &HeaderMap, public: Option<&PublicUrl>) -> bool {
    let from = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    if !matches!(from, None | Some(b"same-origin" | b"none")) {
        return true;
    }
    let mut origins = headers.get_all(ORIGIN).iter();
    match (origins.next(), origins.next()) {
        (None, _) => false,
        (Some(origin), None) => !is_ours(origin, headers, public),
        (Some(_), Some(_)) => true,
    }
}

fn is_ours(origin: &HeaderValue, headers: &HeaderMap, public: Option<&PublicUrl>) -> bool {
    let Ok(origin) = origin.to_str() else {
        return false;
    };
    if let Some(public) = public {
        return origin.eq_ignore_ascii_case(public.origin());
    }
    // `null` has no host: a sandboxed page, or one from a file.
    let asked = headers.get(HOST).and_then(|host| host.to_str().ok());
    let sender = origin.split_once("://").map(|(_, host)| host);
    sender.is_some() && sender.map(str::to_ascii_lowercase) == asked.map(str::to_ascii_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_refused(lines: &[(&'static str, &'static str)], public: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let public = public.map(|url| url.parse::<PublicUrl>().unwrap());
        is_from_another_site(&headers, public.as_ref())
    }

    #[test]
    fn an_origin_must_be_the_host_that_was_asked() {
        let host = ("host", "cloud.example:8080");
        let sent = |origin| is_refused(&[host, ("origin", origin)], None);
        assert!(!sent("http://cloud.example:8080") && !sent("https://Cloud.Example:8080"));
        for foreign in [
            "null",
            "",
            "http://cloud.example",
            "http://cloud.example:8081",
            "http://evil.example",
            "http://evil.example/cloud.example:8080",
            "cloud.example:8080",
        ] {
            assert!(sent(foreign), "{foreign}");
        }
        let ours = ("origin", "http://cloud.example:8080");
        assert!(is_refused(&[host, ours, ("origin", "http://evil.example")], None), "two");
        assert!(is_refused(&[ours], None), "no host to compare it with");
    }

    #[test]
    fn a_public_url_decides_whatever_the_host_header_says() {
        let public = Some("https://cloud.example/");
        let sent = |origin| is_refused(&[("host", "evil.example"), ("origin", origin)], public);
        assert!(!sent("https://cloud.example"));
        assert!(sent("http://cloud.example") && sent("https://evil.example"));
    }

    #[test]
    fn fetch_metadata_refuses_even_a_right_origin_and_no_header_at_all_is_a_program() {
        let host = ("host", "cloud.example");
        for site in ["cross-site", "same-site", "", "nonsense"] {
            let ours = ("origin", "http://cloud.example");
            assert!(is_refused(&[host, ours, ("sec-fetch-site", site)], None), "{site}");
        }
        for site in ["same-origin", "none"] {
            assert!(!is_refused(&[host, ("sec-fetch-site", site)], None), "{site}");
        }
        assert!(!is_refused(&[host], None));
    }
}
