//! Every outcome out: [`Refusal`] and its [`Answer`].

use super::credentials::CredentialsError;
use super::login::DirectoryError;
use crate::access::Scope;
use crate::error::{AuthError, Denied, Failed, Forbidden};

/// Why a request is not let through. One type for all, so that a host's code can use `?`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Nothing was sent. That is how most clients begin, and no failed attempt.
    #[error("no credentials were sent")]
    NoCredentials,
    /// What was sent can't be read.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The secret has not the form of our tokens, and no other way took it.
    #[error("not a token of this service")]
    NotOurs,
    /// It has, and is no good; or its owner is another than the user name says, or not let in.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The token is good, and its access is not enough.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// The engine can't do its work.
    #[error(transparent)]
    Failed(#[from] Failed),
    /// The host's directory, or its other way in, can't do its work.
    #[error("the directory failed: {0}")]
    Directory(DirectoryError),
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

/// A response without a framework: a host copies it into its own kind.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "an answer is for the client"]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Names, in lower case, and values, in visible ASCII. A name may come twice, and both lines count.
    pub headers: Vec<(&'static str, String)>,
    /// A line of plain text for whoever sits at the client: git shows it as `remote: …`.
    pub body: String,
}

/// What a client is told of a refusal. The same for every reason for which a token is denied, and nothing of what it sent.
///
/// `realm` is shown in the challenges; what no realm may hold (RFC 9110, 5.6.4: `"`, `\`; and all but printable ASCII) is left out.
///
/// ```
/// use app_tokens::web::{Refusal, answer};
/// let answer = answer(&Refusal::NoCredentials, "Acme Cloud");
/// assert_eq!(answer.status, 401);
/// assert_eq!(answer.headers[0], ("www-authenticate", String::from(r#"Basic realm="Acme Cloud", charset="UTF-8""#)));
/// assert_eq!(answer.headers[1], ("www-authenticate", String::from(r#"Bearer realm="Acme Cloud""#)));
/// ```
pub fn answer(refusal: &Refusal, realm: &str) -> Answer {
    match refusal {
        // RFC 6750, 3.1: no error code where nothing was sent, or by a method that is not supported.
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
        Refusal::Failed(_) | Refusal::Directory(_) => {
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

/// RFC 9110, 15.5.2: a 401 has a challenge. Each has a line of its own, Basic first, since some clients look at the first only.
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
    // A requirement's names are the host's own and unchecked; what is no scope name would break the header.
    if let Some(scope) = scope.and_then(|scope| Scope::new(scope).ok()) {
        challenge.push_str(&format!(", scope=\"{scope}\""));
    }
    challenge
}

fn quotable(realm: &str) -> String {
    realm.chars().filter(|c| (' '..='~').contains(c) && !matches!(c, '"' | '\\')).collect()
}
