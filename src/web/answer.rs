//! [`Answer`]: the response for the client, with the [`Challenges`] of a 401.

use std::sync::Arc;

#[cfg(feature = "tower")]
use http::{HeaderValue, Response, StatusCode};

use super::credentials::CredentialsError;
use super::headers::is_from_script;
use super::refusal::Refusal;
use crate::access::{Missing, Scope};

/// Holds a response for the client, without a framework. The host copies it into its own type.
///
/// Every error that a client can cause or meet converts into one. A refused login converts by
/// [`Login::answer`](super::Login::answer), the error of an act on tokens by `From`. Errors of a
/// server's set-up don't convert: they never reach a client.
///
/// It is safe to send. No answer holds an id, a key's number, or the text of a store, driver or
/// account look-up. All of that is in the error's `Display` and its sources: **log the error before
/// you convert it**.
///
/// ```
/// use app_tokens::error::IssueError;
/// use app_tokens::web::Answer;
/// let answer = Answer::from(&IssueError::LimitReached { limit: 100 });
/// assert_eq!((answer.status, answer.code), (409, "limit_reached"));
/// assert_eq!(answer.body, "The limit is 100 app tokens. Revoke one first.\n");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "an answer is for the client"]
pub struct Answer {
    /// The HTTP status code.
    pub status: u16,
    /// The reason as one word for programs, such as `token_not_valid`. The tables in
    /// [the module](super) have all of them.
    pub code: &'static str,
    /// The headers: names in lower case, values in printable ASCII. A name may occur twice; send
    /// both lines.
    pub headers: Vec<(&'static str, String)>,
    /// One line of plain text for the person at the client, with a line end. git shows it as
    /// `remote: …`.
    pub body: String,
}

/// Selects the challenges of a 401: the schemes by which clients are asked for a token.
///
/// It changes only what clients are asked for, not what is accepted. A `Bearer` token is still
/// accepted if only `Basic` is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Challenges {
    /// Shows both, each in a header line of its own, Basic first. git, curl and browsers choose
    /// Basic.
    #[default]
    BasicAndBearer,
    /// Shows Basic only. Some WebDAV clients fail if there is a second scheme.
    Basic,
    /// Shows Bearer only. No browser opens its dialog.
    Bearer,
    /// Shows none. This breaks RFC 9110, 15.5.2, which requires a challenge in every 401. Most
    /// clients send no token before they are asked for one.
    None,
}

/// Turns a refusal into the answer for the client.
///
/// The answer is the same for every reason for which a token is denied. It repeats nothing that was
/// sent.
///
/// `realm` is shown in the challenges. Characters that can't be in a realm are left out: `"` and
/// `\` (RFC 9110, 5.6.4), and everything except printable ASCII.
///
/// [`Login::answer`](super::Login::answer) calls it with the login's own realm and challenges.
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

/// Returns the answer without its challenges, and what the challenges say if it may have any.
fn draft(refusal: &Refusal) -> (Answer, Option<Challenge>) {
    let (status, code, body, challenge) = match refusal {
        // RFC 6750, 3.1: a challenge has no error code if nothing was sent, or if it was sent by a
        // method that is not supported.
        Refusal::NoCredentials | Refusal::Credentials(CredentialsError::UnsupportedScheme) => {
            let body = "No app token was sent. Send one by Basic or Bearer.\n";
            (401, "token_needed", body, Challenge::asks_again(None))
        }
        Refusal::Credentials(CredentialsError::TokenInOtherScheme) => {
            let body =
                "The app token was sent in a way that is not accepted. Use Basic or Bearer.\n";
            (401, "scheme_not_accepted", body, Challenge::asks_again(None))
        }
        Refusal::Credentials(error) if error.is_malformed() => {
            let body = "The credentials can't be read. Send your app token by Basic or Bearer.\n";
            (400, "header_malformed", body, Challenge::explains("invalid_request"))
        }
        Refusal::Credentials(_) | Refusal::NotOurs | Refusal::Denied(_) => {
            let body = "The app token is not valid. Check it, or create a new one.\n";
            (401, "token_not_valid", body, Challenge::asks_again(Some("invalid_token")))
        }
        Refusal::Forbidden(forbidden) => {
            // The names in a requirement are unchecked texts of the host. Any character that no
            // scope can hold might break the header, so such a name is left out.
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
                // No challenge: another scope would not help, and RFC 6750 has no error code for
                // it.
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

/// The media type of each answer's body.
pub(crate) const TEXT: &str = "text/plain; charset=utf-8";

impl Answer {
    /// Says another noun in the body than "app token", such as "access token".
    ///
    /// For an answer that no login made. For all others, [`Login::with_noun`] sets it once.
    ///
    /// ```
    /// use app_tokens::error::IssueError;
    /// use app_tokens::web::Answer;
    /// let answer = Answer::from(&IssueError::LimitReached { limit: 100 });
    /// let body = answer.with_noun("access token").body;
    /// assert_eq!(body, "The limit is 100 access tokens. Revoke one first.\n");
    /// ```
    ///
    /// [`Login::with_noun`]: super::Login::with_noun
    pub fn with_noun(self, noun: &str) -> Answer {
        Answer { body: Answer::text_with_noun(&self.body, noun), ..self }
    }

    /// Puts a noun into a text in the place of "app token".
    ///
    /// No text has an article before it, as that would have to fit the noun.
    pub(crate) fn text_with_noun(text: &str, noun: &str) -> String {
        let mut characters = noun.chars();
        let first = characters.next().map(|c| c.to_ascii_uppercase());
        let at_start: String = first.into_iter().chain(characters).collect();
        // The noun itself may hold "app token", and may be in the text already: a handler's answer
        // gets it, and so does its response on the way out. No text holds these two characters.
        let mut text = text.to_owned();
        if at_start.to_ascii_lowercase().contains("app token") {
            text = text.replace(&at_start, "\u{1}").replace(noun, "\0");
        }
        let text = text.replace("App token", "\u{1}").replace("app token", "\0");
        text.replace('\0', noun).replace('\u{1}', &at_start)
    }

    /// Makes an answer without challenges. No cache may store it.
    pub(crate) fn new(status: u16, code: &'static str, body: impl Into<String>) -> Answer {
        let headers =
            vec![("cache-control", String::from("no-store")), ("content-type", String::from(TEXT))];
        Answer { status, code, headers, body: body.into() }
    }

    /// Tells the client to try again in 5 seconds.
    pub(crate) fn retry_later(mut self) -> Answer {
        self.headers.push(("retry-after", String::from("5")));
        self
    }
}

#[cfg(feature = "tower")]
impl Answer {
    /// Makes a response of the `http` crate. The answer itself is in its extensions.
    ///
    /// An invalid status, which only the host itself can set, becomes 500. A header with an invalid
    /// value is left out.
    ///
    /// All refusals of [`TokenLayer`](super::TokenLayer), [`require`](super::require()) and the
    /// extractors are made by this. So a layer around them can send another body, with the word for
    /// programs. Keep the status, and the headers with the challenges. Remove `content-length`.
    ///
    /// ```
    /// # use app_tokens::{TokenAuthority, web::{Login, NamesAreOwners, TokenLayer}};
    /// use app_tokens::web::Answer;
    /// use axum::http::HeaderValue;
    /// use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
    /// use axum::{Router, body::Body, middleware, response::Response};
    ///
    /// async fn as_json(mut response: Response) -> Response {
    ///     let answer = response.extensions_mut().remove::<Answer>();
    ///     let headers = response.headers_mut();
    ///     // A layer in between may have compressed the text already.
    ///     let Some(answer) = answer.filter(|_| !headers.contains_key(CONTENT_ENCODING)) else {
    ///         return response;
    ///     };
    ///     headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    ///     headers.remove(CONTENT_LENGTH); // an inner service may have set it for the text
    ///     let message = answer.body.trim_end();
    ///     let body = serde_json::json!({ "error": answer.code, "message": message });
    ///     *response.body_mut() = Body::from(body.to_string());
    ///     response
    /// }
    ///
    /// # let tokens = TokenAuthority::in_memory("acme")?;
    /// # let layer = TokenLayer::new(Login::new(tokens, NamesAreOwners(|name| name == "alice")));
    /// # let routes: Router = Router::new();
    /// // A later layer is further out: it also sees what `TokenLayer` refuses.
    /// let app = routes.layer(layer).layer(middleware::map_response(as_json));
    /// # Ok::<(), app_tokens::error::SetupError>(())
    /// ```
    #[cfg_attr(docsrs, doc(cfg(feature = "tower")))]
    pub fn into_response<B: From<String>>(self) -> Response<B> {
        let mut response = Response::new(B::from(self.body.clone()));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        for (name, value) in &self.headers {
            if let Ok(value) = HeaderValue::try_from(value) {
                response.headers_mut().append(*name, value);
            }
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// What a login shows in its answers: realm, schemes and noun.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) realm: Arc<str>,
    pub(crate) challenges: Challenges,
    pub(crate) challenges_scripts: bool,
    /// `None` if it is "app token".
    pub(crate) noun: Option<Arc<str>>,
}

impl Shown {
    /// Turns a refusal into an answer that shows this.
    pub(crate) fn answer(&self, refusal: &Refusal) -> Answer {
        let answer = answer(refusal, &self.realm, self.challenges);
        match &self.noun {
            Some(noun) => answer.with_noun(noun),
            None => answer,
        }
    }

    /// Returns what is shown to the client that sent these headers.
    pub(crate) fn to<'h>(&self, headers: impl IntoIterator<Item = (&'h str, &'h [u8])>) -> Shown {
        let mut shown = self.clone();
        if self.is_silent_to(headers) {
            shown.challenges = Challenges::None;
        }
        shown
    }

    /// Returns whether the client that sent these headers gets no challenge, as it is a script.
    pub(crate) fn is_silent_to<'h>(
        &self,
        headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
    ) -> bool {
        !self.challenges_scripts && is_from_script(headers)
    }
}

/// What the challenges of an answer say, apart from the realm and the schemes.
#[derive(Clone, Debug)]
pub(crate) struct Challenge {
    /// Whether other credentials would help. If not, Basic is left out: it can't say what is wrong,
    /// and a browser would ask for a password.
    asks_again: bool,
    /// The error code for Bearer (RFC 6750, 3.1).
    error: Option<&'static str>,
    scope: Option<Scope>,
}

impl Challenge {
    /// Returns what the challenges say; `None` if the answer has none, whatever the login shows.
    #[cfg(feature = "axum")]
    pub(crate) fn of(refusal: &Refusal) -> Option<Challenge> {
        draft(refusal).1
    }

    /// Asks for credentials.
    pub(crate) fn asks_again(error: Option<&'static str>) -> Challenge {
        Challenge { asks_again: true, error, scope: None }
    }

    /// Says what is wrong, and asks for nothing.
    fn explains(error: &'static str) -> Challenge {
        Challenge { asks_again: false, error: Some(error), scope: None }
    }

    /// Returns the challenges, one for each header line. Basic is first, as some clients read only
    /// the first line.
    pub(crate) fn lines(&self, realm: &str, challenges: Challenges) -> Vec<String> {
        let (basic, bearer) = match challenges {
            Challenges::BasicAndBearer => (true, true),
            Challenges::Basic => (true, false),
            Challenges::Bearer => (false, true),
            Challenges::None => (false, false),
        };
        let basic = (basic && self.asks_again).then(|| {
            // RFC 7617, 2 and 2.1: the realm is required, and the charset asks clients for UTF-8.
            format!("Basic realm=\"{}\", charset=\"UTF-8\"", quotable(realm))
        });
        let bearer = bearer.then(|| self.bearer(realm));
        basic.into_iter().chain(bearer).collect()
    }

    /// Returns the challenge for Bearer (RFC 6750, 3).
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

/// Leaves out what can't be in a quoted realm.
fn quotable(realm: &str) -> String {
    realm.chars().filter(|c| (' '..='~').contains(c) && !matches!(c, '"' | '\\')).collect()
}

#[cfg(test)]
pub(crate) mod tests;
