//! Reads the headers that may carry a token, and those that tell whether a script sent the request.

use super::credentials::{Accept, Credentials, CredentialsError};
use super::credentials::{credentials, holds_another_token, own_header};
use crate::text::{InvalidText, TextProblem};

/// The header for credentials by RFC 9110, 11.6.2.
pub(crate) const AUTHORIZATION: &str = "authorization";

/// The longest name of the host's own header, in characters.
const MAX_NAME: usize = 64;

/// Returns whether a script in a browser sent the request, by the request's own headers.
///
/// `true` if `Sec-Fetch-Mode` is `cors`, `no-cors`, `same-origin` or `websocket`, or if
/// `X-Requested-With` is `XMLHttpRequest`. An in-app browser sends the app's name as
/// `X-Requested-With`; that does not count.
///
/// It serves to leave out the `Basic` challenge, which would open the browser's password dialog.
/// **Never decide by it what is allowed:** any client can send these headers.
///
/// ```
/// use app_tokens::web::is_from_script;
/// assert!(is_from_script([("sec-fetch-mode", b"cors".as_slice())]));
/// assert!(!is_from_script([("sec-fetch-mode", b"navigate".as_slice())]));
/// ```
pub fn is_from_script<'h>(headers: impl IntoIterator<Item = (&'h str, &'h [u8])>) -> bool {
    headers.into_iter().any(|(name, value)| {
        let value = value.trim_ascii();
        let is_one_of =
            |words: &[&str]| words.iter().any(|word| value.eq_ignore_ascii_case(word.as_bytes()));
        if name.eq_ignore_ascii_case("sec-fetch-mode") {
            is_one_of(&["cors", "no-cors", "same-origin", "websocket"])
        } else {
            name.eq_ignore_ascii_case("x-requested-with") && is_one_of(&["xmlhttprequest"])
        }
    })
}

/// Reads the credentials of a request: from `own`, the host's header for tokens, or otherwise from
/// `Authorization`.
///
/// `Authorization` is read even if the other header decides. A second token in it may not pass
/// unnoticed to whatever is behind this server.
pub(crate) fn read<'h>(
    headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
    own: Option<&str>,
    accept: &Accept,
) -> Result<Option<Credentials<'h>>, CredentialsError> {
    let (mut standard, mut in_own) = (None, None);
    for (name, value) in headers {
        let place = if name.eq_ignore_ascii_case(AUTHORIZATION) {
            &mut standard
        } else if own.is_some_and(|own| name.eq_ignore_ascii_case(own)) {
            &mut in_own
        } else {
            continue;
        };
        // Sent twice is refused, even if both are equal or one is empty: a proxy might read the
        // other one.
        if place.replace(value).is_some() {
            return Err(CredentialsError::SeveralHeaders);
        }
    }
    let token = match in_own {
        Some(value) => own_header(value, accept)?,
        None => None,
    };
    match (token, standard) {
        (Some(token), Some(value)) if holds_another_token(value, &token, accept) => {
            Err(CredentialsError::TwoTokens)
        }
        (None, standard) => credentials(standard, accept),
        (token, _) => Ok(token),
    }
}

/// Checks the name of a header (RFC 9110, 5.1 and 5.6.2): 1 to 64 characters.
pub(crate) fn check_name(name: &str) -> Result<(), InvalidText> {
    let refuse = |problem| Err(InvalidText::new("header name", problem));
    if name.is_empty() {
        return refuse(TextProblem::Empty);
    }
    if name.len() > MAX_NAME {
        return refuse(TextProblem::TooLong { max: MAX_NAME });
    }
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    match name.chars().position(|c| !is_allowed(c)) {
        Some(position) => refuse(TextProblem::ForbiddenCharacter { position }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD as BASE64;
    use proptest::prelude::*;

    const TOKEN: &str = "acme_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92";
    const OTHER: &str = "acme_zzzzzzzzzz41e85krhxfcabpg2244em9e3f3p37q4h92";
    const OWN: &str = "X-Acme-Token";

    fn read_with(
        own: Option<&str>,
        headers: &[(&str, &str)],
    ) -> Result<Option<(Option<String>, String)>, CredentialsError> {
        let headers = headers.iter().map(|(name, value)| (*name, value.as_bytes()));
        let read = read(headers, own, &Accept::new(&Policy::new("acme").unwrap()))?;
        Ok(read.map(|read| (read.user().map(String::from), read.expose_secret().into())))
    }

    #[track_caller]
    fn gives(headers: &[(&str, &str)], secret: &str) {
        assert_eq!(read_with(Some(OWN), headers), Ok(Some((None, secret.into()))), "{headers:?}");
    }

    #[track_caller]
    fn refused(headers: &[(&str, &str)], error: CredentialsError) {
        assert_eq!(read_with(Some(OWN), headers), Err(error), "{headers:?}");
    }

    fn bearer(token: &str) -> String {
        format!("Bearer {token}")
    }

    #[test]
    fn only_authorization_is_read_unless_the_host_names_another_header() {
        let bearer = bearer(TOKEN);
        for name in ["authorization", "Authorization", "AUTHORIZATION"] {
            let read = read_with(None, &[("host", "x"), (name, &bearer), (OWN, OTHER)]);
            assert_eq!(read, Ok(Some((None, TOKEN.into()))));
        }
        let others = [("Proxy-Authorization", &*bearer), ("Cookie", TOKEN), (OWN, TOKEN)];
        assert_eq!(read_with(None, &others), Ok(None));
    }

    #[test]
    fn a_token_in_the_hosts_own_header_comes_bare_or_with_a_scheme() {
        for value in [TOKEN, &bearer(TOKEN), &format!("token {TOKEN}"), &format!(" {TOKEN} ")] {
            gives(&[("x-acme-token", value)], TOKEN);
        }
        gives(&[(OWN, "an older key of the host: 1/2")], "an older key of the host: 1/2");
    }

    #[test]
    fn the_hosts_own_header_comes_first_and_authorization_is_still_looked_at() {
        gives(&[("authorization", &bearer(TOKEN))], TOKEN);
        gives(&[("authorization", &bearer(TOKEN)), (OWN, "")], TOKEN);
        for of_a_proxy in ["Basic cHJveHk6cGFzc3dvcmQ=", "Negotiate YIIZ", "Basic !!", ""] {
            gives(&[("authorization", of_a_proxy), (OWN, TOKEN)], TOKEN);
        }
        gives(
            &[("authorization", &bearer(TOKEN)), (OWN, &TOKEN.to_uppercase())],
            &TOKEN.to_uppercase(),
        );
    }

    #[test]
    fn a_second_token_in_authorization_is_refused_in_every_form() {
        let mistyped = format!("{}3", &TOKEN[..TOKEN.len() - 1]);
        for second in
            [bearer(OTHER), bearer(&mistyped), format!("ApiKey {OTHER}"), String::from(OTHER)]
        {
            refused(&[("authorization", &second), (OWN, TOKEN)], CredentialsError::TwoTokens);
            let other_key = [(OWN, "an older key"), ("authorization", &*second)];
            refused(&other_key, CredentialsError::TwoTokens);
        }
    }

    #[test]
    fn a_second_token_in_a_malformed_header_is_refused() {
        for malformed in [
            format!("Bearer {OTHER} x"),
            format!("Bearer {OTHER}\t"),
            format!("Basic {}", BASE64.encode(format!("alice:{OTHER}")).trim_end_matches('=')),
            format!("Basic {}", BASE64.encode(OTHER)),
            format!("Basic {}", BASE64.encode(format!("al\0ice:{OTHER}"))),
            format!("Basic {OTHER}"),
            format!("Bearer {}{OTHER}", " ".repeat(8 * 1024)),
        ] {
            refused(&[("authorization", &malformed), (OWN, TOKEN)], CredentialsError::TwoTokens);
        }
        gives(&[("authorization", "Basic bm8gY29sb24="), (OWN, TOKEN)], TOKEN);
        gives(&[("authorization", "Bearer two words"), (OWN, TOKEN)], TOKEN);
    }

    #[test]
    fn either_header_sent_twice_is_refused() {
        for name in ["authorization", OWN] {
            refused(&[(name, TOKEN), (name, TOKEN)], CredentialsError::SeveralHeaders);
            refused(&[(name, ""), (name, "")], CredentialsError::SeveralHeaders);
        }
    }

    #[test]
    fn a_script_is_known_by_what_it_says_and_a_page_is_none() {
        let script = |name: &str, value: &str| is_from_script([(name, value.as_bytes())]);
        for mode in ["cors", "no-cors", "same-origin", "websocket", "CORS", " cors "] {
            assert!(script("Sec-Fetch-Mode", mode), "{mode}");
        }
        for mode in ["navigate", "", "x", "cors, navigate"] {
            assert!(!script("sec-fetch-mode", mode), "{mode}");
        }
        assert!(script("X-Requested-With", "XMLHttpRequest"));
        assert!(!script("X-Requested-With", "com.example.app"));
        assert!(!script("X-Mode", "cors") && !is_from_script([]));
    }

    #[test]
    fn a_name_that_no_header_has_is_refused() {
        for good in ["x-acme-token", "PRIVATE-TOKEN", "a", &"x".repeat(64)] {
            assert_eq!(check_name(good), Ok(()));
        }
        for bad in ["", "x token", "x:", "é", "x\r\n", &"x".repeat(65)] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        /// Fault 31: beside a token in the host's own header, `Authorization` changes nothing or
        /// makes the request refused.
        #[test]
        fn no_authorization_header_replaces_a_token_in_the_hosts_own(other in "\\PC{0,80}") {
            let read = read_with(Some(OWN), &[("authorization", &other), (OWN, TOKEN)]);
            let is_same = matches!(&read, Ok(Some((None, secret))) if secret == TOKEN);
            prop_assert!(is_same || read == Err(CredentialsError::TwoTokens));
        }
    }
}
