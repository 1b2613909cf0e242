//! What the client is answered: [`Answer`], with the [`Challenges`] of a 401.

use std::sync::Arc;

use super::credentials::CredentialsError;
use super::refusal::Refusal;
use crate::access::{Missing, Scope};

/// A response without a framework. A host copies it into its own type.
///
/// Every error that a client can cause or meet converts into one: those of a way in by
/// [`Login::answer`](super::Login::answer), those of an act on tokens by `From`. Errors of a server
/// that is being set up never reach a client, and have none. No answer holds an id, a key's
/// number, or what a store, driver or account look-up said. All of that is in the error's `Display`
/// and its sources: log the error before you convert it.
///
/// ```
/// use app_tokens::{IssueError, web::Answer};
/// let answer = Answer::from(&IssueError::LimitReached { limit: 100 });
/// assert_eq!((answer.status, answer.code), (409, "limit_reached"));
/// assert_eq!(answer.body, "There are 100 app tokens already. Revoke one first.\n");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "an answer is for the client"]
pub struct Answer {
    /// The HTTP status code.
    pub status: u16,
    /// The reason as one word for programs, such as `token_not_valid`.
    pub code: &'static str,
    /// Names in lower case, and values in printable ASCII. A name may occur twice; send both lines.
    pub headers: Vec<(&'static str, String)>,
    /// A line of plain text for the person at the client. git shows it as `remote: …`.
    pub body: String,
}

/// Which challenges an answer carries: by which schemes a client may send a token.
///
/// It changes what clients are asked for, not what is read: a `Bearer` token also enters if only
/// `Basic` is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Challenges {
    /// Shows both, each on a line of its own, Basic first. git, curl and browsers choose Basic.
    #[default]
    BasicAndBearer,
    /// Shows Basic only. Some WebDAV clients stumble over a second scheme.
    Basic,
    /// Shows Bearer only. No browser opens its dialog.
    Bearer,
    /// Shows none. RFC 9110, 15.5.2, wants one in every 401, and most clients send nothing before
    /// they are asked.
    None,
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
/// use app_tokens::web::{Challenges, Refusal, answer};
/// let answer = answer(&Refusal::NoCredentials, "Acme Cloud", Challenges::BasicAndBearer);
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
pub fn answer(refusal: &Refusal, realm: &str, challenges: Challenges) -> Answer {
    let (mut answer, challenge) = draft(refusal);
    let lines = challenge.map(|challenge| challenge.lines(realm, challenges)).unwrap_or_default();
    answer.headers.splice(..0, lines.into_iter().map(|line| ("www-authenticate", line)));
    answer
}

/// The answer without its challenges, and what they say if it may have some.
fn draft(refusal: &Refusal) -> (Answer, Option<Challenge>) {
    let (status, code, body, challenge) = match refusal {
        // RFC 6750, 3.1: no error code if nothing was sent, or by a method that is not supported.
        Refusal::NoCredentials | Refusal::Credentials(CredentialsError::UnsupportedScheme) => {
            let body = "An app token is needed here.\n";
            (401, "token_needed", body, Challenge::asks_again(None))
        }
        Refusal::Credentials(CredentialsError::TokenInOtherScheme) => {
            let body = "The app token was sent in a way that is not accepted here.\n";
            (401, "scheme_not_accepted", body, Challenge::asks_again(None))
        }
        Refusal::Credentials(error) if error.is_malformed() => {
            let body = "The Authorization header can't be read.\n";
            (400, "header_malformed", body, Challenge::explains("invalid_request"))
        }
        Refusal::Credentials(_) | Refusal::NotOurs | Refusal::Denied(_) => {
            let body = "The app token is not valid.\n";
            (401, "token_not_valid", body, Challenge::asks_again(Some("invalid_token")))
        }
        Refusal::Forbidden(forbidden) => {
            // The names of a requirement are unchecked texts of the host; other characters would
            // break the header.
            let scope = forbidden.wanted_scope().and_then(|scope| Scope::new(scope).ok());
            let challenge = Challenge { scope, ..Challenge::explains("insufficient_scope") };
            match forbidden.missing() {
                Missing::Scope => {
                    (403, "scope_missing", "The app token may not do this.\n", challenge)
                }
                Missing::Resource => (
                    403,
                    "resource_missing",
                    "The app token is not for this resource.\n",
                    challenge,
                ),
                // No other scope would help, and RFC 6750 has no word for it.
                Missing::Network => {
                    let body = "The app token may not be used from this address.\n";
                    return (Answer::new(403, "outside_networks", body), None);
                }
            }
        }
        Refusal::Failed(_) | Refusal::Accounts(_) => {
            let body = "App tokens can't be checked right now. Try again.\n";
            return (Answer::new(503, "unavailable", body).retry_later(), None);
        }
    };
    (Answer::new(status, code, body), Some(challenge))
}

impl Answer {
    pub(crate) fn new(status: u16, code: &'static str, body: impl Into<String>) -> Answer {
        let headers = vec![
            ("cache-control", String::from("no-store")),
            ("content-type", String::from("text/plain; charset=utf-8")),
        ];
        Answer { status, code, headers, body: body.into() }
    }

    /// Tells the client to try again in a few seconds.
    pub(crate) fn retry_later(mut self) -> Answer {
        self.headers.push(("retry-after", String::from("5")));
        self
    }
}

/// The realm and the schemes that a login shows in its challenges.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) realm: Arc<str>,
    pub(crate) challenges: Challenges,
}

impl Shown {
    pub(crate) fn answer(&self, refusal: &Refusal) -> Answer {
        answer(refusal, &self.realm, self.challenges)
    }
}

/// What the challenges of an answer say, whatever the realm and the schemes.
#[derive(Clone, Debug)]
pub(crate) struct Challenge {
    /// Whether other credentials would help. If not, only Bearer has words for what is wrong.
    asks_again: bool,
    /// RFC 6750, 3.1.
    error: Option<&'static str>,
    scope: Option<Scope>,
}

impl Challenge {
    /// Returns what the challenges say; `None` if the answer has none, whatever the login shows.
    #[cfg(feature = "axum")]
    pub(crate) fn of(refusal: &Refusal) -> Option<Challenge> {
        draft(refusal).1
    }

    fn asks_again(error: Option<&'static str>) -> Challenge {
        Challenge { asks_again: true, error, scope: None }
    }

    fn explains(error: &'static str) -> Challenge {
        Challenge { asks_again: false, error: Some(error), scope: None }
    }

    /// Writes the challenges. Each has its own line, Basic first: some clients read only the first.
    pub(crate) fn lines(&self, realm: &str, challenges: Challenges) -> Vec<String> {
        let (basic, bearer) = match challenges {
            Challenges::BasicAndBearer => (true, true),
            Challenges::Basic => (true, false),
            Challenges::Bearer => (false, true),
            Challenges::None => (false, false),
        };
        let basic = (basic && self.asks_again).then(|| {
            // RFC 7617, 2 and 2.1: the realm is required, the charset tells clients to send UTF-8.
            format!("Basic realm=\"{}\", charset=\"UTF-8\"", quotable(realm))
        });
        let bearer = bearer.then(|| self.bearer(realm));
        basic.into_iter().chain(bearer).collect()
    }

    /// RFC 6750, 3.
    fn bearer(&self, realm: &str) -> String {
        let mut challenge = format!("Bearer realm=\"{}\"", quotable(realm));
        if let Some(error) = self.error {
            challenge.push_str(&format!(", error=\"{error}\""));
        }
        if let Some(scope) = &self.scope {
            challenge.push_str(&format!(", scope=\"{scope}\""));
        }
        challenge
    }
}

fn quotable(realm: &str) -> String {
    realm.chars().filter(|c| (' '..='~').contains(c) && !matches!(c, '"' | '\\')).collect()
}

#[cfg(test)]
pub(crate) mod tests;
