//! What the client is answered: [`Refusal`] and its [`Answer`].

use super::accounts::AccountsError;
use super::credentials::CredentialsError;
use crate::access::Scope;
use crate::error::{AuthError, Denied, Failed, Forbidden};

/// Why a request is refused. One type for all reasons, so that a host's code can use `?`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// No credentials were sent. Most clients begin so; it is no failed attempt.
    #[error("no credentials were sent")]
    NoCredentials,
    /// The credentials can't be read.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The secret doesn't have the form of our tokens, and the host's other way did not accept it.
    #[error("not a token of this service")]
    NotOurs,
    /// The token is denied, belongs to another owner than the user name says, or its owner isn't
    /// active.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The token is valid, but its access is not enough.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// The engine can't check the token.
    #[error(transparent)]
    Failed(#[from] Failed),
    /// The host's accounts, or its other way in, can't be asked.
    #[error("the host's accounts can't be read: {0}")]
    Accounts(AccountsError),
}

impl From<AuthError> for Refusal {
    fn from(error: AuthError) -> Refusal {
        match error {
            AuthError::NotOurs(_) => Refusal::NotOurs,
            AuthError::Denied(denied) => Refusal::Denied(denied),
            AuthError::Failed(failed) => Refusal::Failed(failed),
        }
    }
}

/// A response without a framework. A host copies it into its own type.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "an answer is for the client"]
pub struct Answer {
    /// The HTTP status code.
    pub status: u16,
    /// Names in lower case, and values in printable ASCII. A name may occur twice; send both lines.
    pub headers: Vec<(&'static str, String)>,
    /// A line of plain text for the person at the client. git shows it as `remote: …`.
    pub body: String,
}

/// Turns a refusal into the answer for the client.
///
/// The answer is equal for every reason for which a token is denied, and repeats nothing of what
/// was sent.
///
/// `realm` is shown in the challenges. What a realm may not hold is left out: `"`, `\` (RFC 9110,
/// 5.6.4) and all but printable ASCII.
///
/// ```
/// use app_tokens::web::{Refusal, answer};
/// let answer = answer(&Refusal::NoCredentials, "Acme Cloud");
/// assert_eq!(answer.status, 401);
/// let challenges: Vec<&str> = answer.headers.iter()
///     .filter(|(name, _)| *name == "www-authenticate")
///     .map(|(_, value)| value.as_str())
///     .collect();
/// assert_eq!(challenges, [
///     r#"Basic realm="Acme Cloud", charset="UTF-8""#,
///     r#"Bearer realm="Acme Cloud""#,
/// ]);
/// ```
pub fn answer(refusal: &Refusal, realm: &str) -> Answer {
    match refusal {
        // RFC 6750, 3.1: no error code if nothing was sent, or by a method that is not supported.
        Refusal::NoCredentials | Refusal::Credentials(CredentialsError::UnsupportedScheme) => {
            unauthorized(realm, None, "An app token is needed here.\n")
        }
        Refusal::Credentials(error) if error.is_malformed() => {
            let challenge = bearer(realm, Some("invalid_request"), None);
            Answer::new(400, "The Authorization header can't be read.\n")
                .with("www-authenticate", challenge)
        }
        Refusal::Credentials(_) | Refusal::NotOurs | Refusal::Denied(_) => {
            unauthorized(realm, Some("invalid_token"), "The app token is not valid.\n")
        }
        Refusal::Forbidden(forbidden) => {
            let challenge = bearer(realm, Some("insufficient_scope"), forbidden.wanted_scope());
            Answer::new(403, "The app token may not do this.\n").with("www-authenticate", challenge)
        }
        Refusal::Failed(_) | Refusal::Accounts(_) => {
            Answer::new(503, "App tokens can't be checked right now. Try again.\n")
                .with("retry-after", String::from(RETRY_AFTER_SECONDS))
        }
    }
}

const RETRY_AFTER_SECONDS: &str = "5";

impl Answer {
    pub(crate) fn new(status: u16, body: &str) -> Answer {
        let headers = vec![
            ("cache-control", String::from("no-store")),
            ("content-type", String::from("text/plain; charset=utf-8")),
        ];
        Answer { status, headers, body: String::from(body) }
    }

    fn with(mut self, name: &'static str, value: String) -> Answer {
        self.headers.push((name, value));
        self
    }
}

/// RFC 9110, 15.5.2: a 401 has a challenge. Each has its own line, Basic first: some clients read
/// only the first.
fn unauthorized(realm: &str, error: Option<&str>, body: &str) -> Answer {
    // RFC 7617, 2 and 2.1: the realm is required, the charset tells clients to send UTF-8.
    let basic = format!("Basic realm=\"{}\", charset=\"UTF-8\"", quotable(realm));
    let mut answer = Answer::new(401, body);
    let challenges =
        [("www-authenticate", basic), ("www-authenticate", bearer(realm, error, None))];
    answer.headers.splice(..0, challenges);
    answer
}

/// RFC 6750, 3.
fn bearer(realm: &str, error: Option<&str>, scope: Option<&str>) -> String {
    let mut challenge = format!("Bearer realm=\"{}\"", quotable(realm));
    if let Some(error) = error {
        challenge.push_str(&format!(", error=\"{error}\""));
    }
    // The names of a requirement are unchecked texts of the host; other characters would break the
    // header.
    if let Some(scope) = scope.and_then(|scope| Scope::new(scope).ok()) {
        challenge.push_str(&format!(", scope=\"{scope}\""));
    }
    challenge
}

fn quotable(realm: &str) -> String {
    realm.chars().filter(|c| (' '..='~').contains(c) && !matches!(c, '"' | '\\')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::DenialReason;
    use crate::store::StoreError;

    fn denied(reason: DenialReason) -> Refusal {
        Refusal::Denied(Denied::new(reason, None))
    }

    fn forbidden(scope: Option<&str>) -> Refusal {
        Refusal::Forbidden(Forbidden::new(scope))
    }

    fn failed() -> Refusal {
        Refusal::Failed(StoreError::not_done("disk \"full\"\r\n").into())
    }

    const CREDENTIALS_ERRORS: [CredentialsError; 9] = [
        CredentialsError::SeveralHeaders,
        CredentialsError::TooLong,
        CredentialsError::UnsupportedScheme,
        CredentialsError::NotBase64,
        CredentialsError::NoColon,
        CredentialsError::NotBearer,
        CredentialsError::ControlCharacter,
        CredentialsError::TokenAsUserName,
        CredentialsError::TwoTokens,
    ];

    fn every_refusal() -> Vec<Refusal> {
        let mut all = vec![
            Refusal::NoCredentials,
            Refusal::NotOurs,
            denied(DenialReason::Revoked),
            forbidden(Some("files:read")),
            forbidden(None),
            failed(),
            Refusal::Accounts("no route to host".into()),
        ];
        all.extend(CREDENTIALS_ERRORS.map(Refusal::Credentials));
        all
    }

    fn challenges(refusal: &Refusal) -> Vec<String> {
        let headers = answer(refusal, "acme").headers;
        headers.into_iter().filter(|(n, _)| *n == "www-authenticate").map(|(_, v)| v).collect()
    }

    #[track_caller]
    fn has_status(refusal: &Refusal, status: u16) {
        assert_eq!(answer(refusal, "acme").status, status, "{refusal:?}");
    }

    #[test]
    fn only_a_token_that_is_no_good_or_none_is_401() {
        for refusal in [
            Refusal::NoCredentials,
            Refusal::NotOurs,
            denied(DenialReason::Unknown),
            denied(DenialReason::OwnerTurnedAway),
            CredentialsError::UnsupportedScheme.into(),
            CredentialsError::ControlCharacter.into(),
            CredentialsError::TokenAsUserName.into(),
            CredentialsError::TwoTokens.into(),
        ] {
            has_status(&refusal, 401);
            assert_eq!(challenges(&refusal)[0], r#"Basic realm="acme", charset="UTF-8""#);
            assert!(challenges(&refusal)[1].starts_with(r#"Bearer realm="acme""#));
        }
    }

    #[test]
    fn a_failure_is_503_and_has_no_challenge() {
        for refusal in [
            failed(),
            AuthError::Failed(Failed::NoFlusher).into(),
            Refusal::Accounts("no route to host".into()),
        ] {
            has_status(&refusal, 503);
            assert!(challenges(&refusal).is_empty());
            let headers = answer(&refusal, "acme").headers;
            assert!(headers.contains(&("retry-after", String::from("5"))));
        }
    }

    #[test]
    fn a_program_s_mistake_is_400_with_the_code_of_rfc_6750() {
        for error in CREDENTIALS_ERRORS.into_iter().filter(CredentialsError::is_malformed) {
            has_status(&error.into(), 400);
            let expected = r#"Bearer realm="acme", error="invalid_request""#;
            assert_eq!(challenges(&error.into()), [expected]);
        }
        let malformed = CREDENTIALS_ERRORS.iter().filter(|error| error.is_malformed()).count();
        assert_eq!(malformed, 5);
    }

    #[test]
    fn a_missing_scope_is_403_and_names_it() {
        has_status(&forbidden(None), 403);
        let expected = r#"Bearer realm="acme", error="insufficient_scope", scope="files:write""#;
        assert_eq!(challenges(&forbidden(Some("files:write"))), [expected]);
        let expected = r#"Bearer realm="acme", error="insufficient_scope""#;
        assert_eq!(challenges(&forbidden(None)), [expected]);
    }

    #[test]
    fn a_scope_that_is_none_does_not_break_out_of_the_header() {
        for bad in ["a\", error=\"x", "a\r\nSet-Cookie: x", "a b", "a\\", "é", ""] {
            let expected = r#"Bearer realm="acme", error="insufficient_scope""#;
            assert_eq!(challenges(&forbidden(Some(bad))), [expected], "{bad:?}");
        }
    }

    #[test]
    fn a_realm_does_not_break_out_of_the_header() {
        let answer = answer(&Refusal::NoCredentials, "Acm\"e\\ \r\nCloud é\u{7f}");
        assert_eq!(answer.headers[0].1, r#"Basic realm="Acme Cloud ", charset="UTF-8""#);
    }

    #[test]
    fn no_error_code_is_shown_where_nothing_was_sent() {
        for refusal in [Refusal::NoCredentials, CredentialsError::UnsupportedScheme.into()] {
            assert_eq!(challenges(&refusal)[1], r#"Bearer realm="acme""#);
        }
        let expected = r#"Bearer realm="acme", error="invalid_token""#;
        assert_eq!(challenges(&Refusal::NotOurs)[1], expected);
    }

    #[test]
    fn every_denial_looks_the_same_outside_whatever_its_reason() {
        let expected = answer(&denied(DenialReason::Unknown), "acme");
        for reason in [
            DenialReason::Mistyped,
            DenialReason::WrongSecret,
            DenialReason::Revoked,
            DenialReason::Tampered,
            DenialReason::Superseded,
            DenialReason::Expired,
            DenialReason::Idle,
            DenialReason::OtherOwner,
            DenialReason::OwnerTurnedAway,
        ] {
            assert_eq!(answer(&denied(reason), "acme"), expected, "{reason:?}");
        }
        assert_eq!(answer(&Refusal::NotOurs, "acme"), expected);
        assert_eq!(answer(&CredentialsError::TwoTokens.into(), "acme"), expected);
    }

    #[test]
    fn no_answer_is_kept_in_a_cache_or_holds_what_a_header_may_not() {
        for refusal in every_refusal() {
            let answer = answer(&refusal, "acme");
            assert!(answer.headers.contains(&("cache-control", String::from("no-store"))));
            let visible = |text: &str| text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
            assert!(answer.headers.iter().all(|(_, value)| visible(value)), "{answer:?}");
            let line = answer.body.strip_suffix('\n').unwrap();
            assert!(visible(line) && line.len() < 80, "{answer:?}");
            assert!(!answer.body.contains("disk") && !answer.body.contains("route"));
        }
    }
}
