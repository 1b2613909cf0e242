//! Who is signed in to the page. A session is a token, too: its authority keeps it in memory, and a
//! cookie carries it.

use std::time::Duration;

use app_tokens::error::IssueError;
use app_tokens::store::MemoryStore;
use app_tokens::{Access, KeyRing, NewToken, Owner, Policy, Reason, Requirement, TokenAuthority};
use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};

use crate::Error;

const LIFE: Duration = Duration::from_secs(8 * 60 * 60);

#[derive(Clone)]
pub struct Sessions(TokenAuthority<MemoryStore>);

impl Sessions {
    pub fn new() -> Result<Sessions, Error> {
        // No limit, so that signing in still works after a hundred times. A session that is over is
        // forgotten at once.
        let policy =
            Policy::new("session")?.with_no_limit_per_owner().with_retention(Duration::ZERO);
        Ok(Sessions(TokenAuthority::new(MemoryStore::new(), KeyRing::ephemeral()?, policy)))
    }

    /// Begins a session and returns its cookie. Over TLS, add `Secure` to it.
    pub async fn begin(&self, owner: &Owner) -> Result<String, IssueError> {
        self.0.purge().await?;
        let session =
            self.0.issue(NewToken::new(owner, "browser", Access::full()).expires_in(LIFE)).await?;
        Ok(format!("session={}; HttpOnly; SameSite=Strict; Path=/", session.expose_secret()))
    }

    pub async fn owner(&self, headers: &HeaderMap) -> Option<Owner> {
        let good = self.0.authenticate(session_of(headers)).await.ok()?;
        Some(good.require(Requirement::ANY_VALID_TOKEN).ok()?.owner().clone())
    }

    /// Ends the session. Returns the cookie that overwrites the browser's.
    pub async fn end(&self, headers: &HeaderMap) -> &'static str {
        if let Ok(good) = self.0.authenticate(session_of(headers)).await
            && let Ok(session) = good.require(Requirement::ANY_VALID_TOKEN)
        {
            let by = session.owner();
            let _it_ends_by_itself_otherwise =
                self.0.revoke(by, session.id(), Reason::REQUESTED).await;
        }
        "session=; Max-Age=0; HttpOnly; SameSite=Strict; Path=/"
    }
}

/// Whether another site made the browser send this.
///
/// `SameSite=Strict` keeps the cookie from other sites, but not from other ports and subdomains of
/// this one. And no cookie rule holds back a password that the browser remembers.
pub fn is_from_another_site(headers: &HeaderMap) -> bool {
    let from = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    !matches!(from, None | Some(b"same-origin" | b"none"))
}

fn session_of(headers: &HeaderMap) -> &str {
    // Other programs on this host may set cookies that hold anything.
    let lines = headers.get_all(COOKIE).into_iter().map(HeaderValue::as_bytes);
    let cookies = lines.flat_map(|line| line.split(|byte| *byte == b';')).map(<[u8]>::trim_ascii);
    let mut sessions = cookies.filter_map(|cookie| cookie.strip_prefix(b"session="));
    let session = sessions.find_map(|session| std::str::from_utf8(session).ok());
    session.unwrap_or_default()
}
