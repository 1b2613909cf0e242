//! Who is signed in to the page. A session is a token, too: its authority keeps it in memory, and a
//! cookie carries it.
//!
//! So a session can be listed and ended like a token, its text is kept nowhere, and a restart signs
//! everybody out.

use std::sync::Arc;
use std::time::Duration;

use app_tokens::clock::{Clock as _, SystemClock};
use app_tokens::error::{ChangeError, Failed, IssueError, ManageError, SetupError};
use app_tokens::record::Status;
use app_tokens::store::MemoryStore;
use app_tokens::{
    Access, Attributes, KeyRing, NewToken, Owner, Policy, Reason, Requirement, Rotation, Timestamp,
    TokenAuthority, TokenId, TokenView,
};
use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};

use crate::front::Visitor;

/// How long a session lasts.
pub const LIFE: Duration = Duration::from_secs(8 * 60 * 60);
/// How long a sign-in is recent enough to make a token, unless the operator says otherwise.
pub const FRESH: Duration = Duration::from_secs(5 * 60);

/// How many sessions an account has at most whose person was only named. A client that keeps no
/// cookie begins another one with each request.
const MOST_NAMED: usize = 10;
/// How many it has at most that began by a sign-in.
const MOST: usize = 200;

/// Marks a session whose person the login proxy named. Rotations keep it.
const ONLY_NAMED: &str = "only-named";

/// A browser's session.
#[derive(Clone, Debug)]
pub struct Session {
    /// Its id. It is not the cookie's secret.
    pub id: TokenId,
    /// The account that signed in.
    pub owner: Owner,
    /// When the account last showed its password, or came from a fresh sign-in at the login proxy.
    /// `None` if it only was named by that proxy.
    pub signed_in_at: Option<Timestamp>,
}

/// The sessions of a host.
#[derive(Clone)]
pub struct Sessions {
    tokens: TokenAuthority<MemoryStore>,
    cookie: Arc<str>,
    is_secure: bool,
    fresh: Duration,
}

impl Sessions {
    /// Keeps the sessions of the host `product` at this port.
    ///
    /// Browsers share cookies among the ports of a machine. So the cookie's name has both.
    pub fn new(product: &str, port: u16, is_secure: bool) -> Result<Sessions, SetupError> {
        // No limit, so that signing in always works: the oldest session ends instead. A session
        // that is over is forgotten at once.
        let policy = Policy::new("session")?
            .with_no_limit_per_owner()
            .with_retention(Duration::ZERO)
            .with_recorded_origin();
        let name = product.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        // Browsers refuse a `__Host-` cookie from other subdomains, but take it over TLS only.
        let prefix = if is_secure { "__Host-" } else { "" };
        Ok(Sessions {
            tokens: TokenAuthority::new(MemoryStore::new(), KeyRing::ephemeral()?, policy),
            cookie: format!("{prefix}{name}-{port}").into(),
            is_secure,
            fresh: FRESH,
        })
    }

    /// Sets how long a sign-in is recent enough to make a token.
    #[must_use]
    pub fn fresh_for(self, fresh: Duration) -> Sessions {
        Sessions { fresh, ..self }
    }

    /// Returns whether the sign-in is recent enough to make a token.
    pub fn is_fresh(&self, session: &Session) -> bool {
        session.signed_in_at.is_some_and(|at| SystemClock.now().since(at) < self.fresh)
    }

    /// Begins a session of a person who has just signed in, and returns its cookie.
    ///
    /// # Errors
    /// [`IssueError`] if the system's random source fails.
    pub async fn begin(&self, owner: &Owner, visitor: &Visitor) -> Result<HeaderValue, IssueError> {
        self.begin_with(owner, visitor, Attributes::new(), MOST).await
    }

    /// Begins a session of a person whom the login proxy names. They may have signed in there long
    /// ago, so it never counts as fresh.
    ///
    /// # Errors
    /// [`IssueError`] if the system's random source fails.
    pub async fn begin_named(
        &self,
        owner: &Owner,
        visitor: &Visitor,
    ) -> Result<HeaderValue, IssueError> {
        let attributes = Attributes::new().with(ONLY_NAMED, "yes")?;
        self.begin_with(owner, visitor, attributes, MOST_NAMED).await
    }

    async fn begin_with(
        &self,
        owner: &Owner,
        visitor: &Visitor,
        attributes: Attributes,
        most: usize,
    ) -> Result<HeaderValue, IssueError> {
        // Those of the other kind stay: a header alone ends nobody's sign-in.
        let mut same = self.list(owner).await?;
        same.retain(|session| *session.attributes() == attributes);
        for oldest in same.iter().skip(most - 1) {
            // ignored: it may have ended meanwhile.
            _ = self.end(owner, oldest.id()).await;
        }
        self.tokens.purge().await?;
        let browser = browser(visitor.program.as_deref().unwrap_or_default());
        let new = NewToken::new(owner, browser, Access::full()).expires_in(LIFE);
        Ok(self.cookie(self.tokens.issue(new.attributes(attributes)).await?.expose_secret()))
    }

    /// Notes a fresh sign-in. The session gets another cookie; the old one is over.
    ///
    /// # Errors
    /// [`ChangeError`] if the session has ended meanwhile.
    pub async fn refresh(&self, session: &Session) -> Result<HeaderValue, ChangeError> {
        let next = self.tokens.rotate(&session.owner, session.id, Rotation::new()).await?;
        Ok(self.cookie(next.expose_secret()))
    }

    /// Finds the session of a request.
    pub async fn find(&self, headers: &HeaderMap, visitor: &Visitor) -> Option<Session> {
        let text = self.text_in(headers);
        let found = self.tokens.authenticate_from(text, visitor.origin()).await.ok()?;
        let session = found.require(Requirement::ANY_VALID_TOKEN).ok()?;
        let id = session.id();
        let view = self.tokens.find(session.owner(), id).await.ok()?;
        let is_only_named = view.attributes().get(ONLY_NAMED).is_some();
        let signed_in_at = (!is_only_named).then(|| view.created_at());
        Some(Session { id, owner: session.owner().clone(), signed_in_at })
    }

    /// Lists the sessions of an account, the newest first.
    ///
    /// # Errors
    /// [`Failed`] never happens in memory.
    pub async fn list(&self, owner: &Owner) -> Result<Vec<TokenView>, Failed> {
        let all = self.tokens.all_of(owner).await?.tokens;
        Ok(all.into_iter().filter(|session| session.status() == Some(Status::Active)).collect())
    }

    /// Ends one session of an account.
    ///
    /// # Errors
    /// [`ManageError::Unknown`] if the account has no such session.
    pub async fn end(&self, owner: &Owner, id: TokenId) -> Result<(), ManageError> {
        self.tokens.revoke(owner, id, Reason::REQUESTED).await.map(drop)
    }

    /// Ends all sessions of an account but this one. Returns how many.
    ///
    /// # Errors
    /// [`ChangeError::NotActive`] if this one has ended meanwhile.
    pub async fn end_others(&self, session: &Session) -> Result<u64, ChangeError> {
        self.tokens.revoke_others(&session.owner, session.id, Reason::REQUESTED).await
    }

    /// Returns the cookie that overwrites the browser's.
    pub fn no_cookie(&self) -> HeaderValue {
        self.cookie_with("", "; Max-Age=0")
    }

    fn cookie(&self, text: &str) -> HeaderValue {
        self.cookie_with(text, "")
    }

    fn cookie_with(&self, text: &str, more: &str) -> HeaderValue {
        let secure = if self.is_secure { "; Secure" } else { "" };
        let name = &self.cookie;
        let line = format!("{name}={text}{more}; HttpOnly; SameSite=Strict; Path=/{secure}");
        let mut cookie = HeaderValue::try_from(line).expect("names and tokens are ASCII");
        cookie.set_sensitive(true);
        cookie
    }

    /// Reads the session's text. Other programs on this machine may set cookies that hold anything.
    fn text_in<'h>(&self, headers: &'h HeaderMap) -> &'h str {
        let lines = headers.get_all(COOKIE).into_iter().map(HeaderValue::as_bytes);
        let cookies =
            lines.flat_map(|line| line.split(|byte| *byte == b';')).map(<[u8]>::trim_ascii);
        let mut ours = cookies
            .filter_map(|cookie| cookie.strip_prefix(self.cookie.as_bytes())?.strip_prefix(b"="));
        ours.find_map(|session| std::str::from_utf8(session).ok()).unwrap_or_default()
    }
}

/// Names a browser and its system, for people. A browser may call itself anything.
fn browser(program: &str) -> String {
    let first = |names: &[(&str, &'static str)]| {
        names.iter().find(|(part, _)| program.contains(part)).map(|(_, name)| *name)
    };
    // The order matters: most browsers also name those that came before them.
    let browser = first(&[
        ("Edg", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
    ]);
    let system = first(&[
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Android", "Android"),
        ("Windows", "Windows"),
        ("Mac OS X", "macOS"),
        ("CrOS", "ChromeOS"),
        ("Linux", "Linux"),
    ]);
    match (browser, system) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(browser), None) => browser.to_owned(),
        (None, Some(system)) => format!("A program on {system}"),
        (None, None) => "An unknown program".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use app_tokens::store::{Filter, Page};

    fn visitor() -> Visitor {
        let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0";
        Visitor { program: Some(firefox.into()), ..Visitor::default() }
    }

    fn sent(cookie: &HeaderValue) -> HeaderMap {
        let pair = cookie.to_str().unwrap().split(';').next().unwrap().to_owned();
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, format!("other=1; {pair}").parse().unwrap());
        headers
    }

    #[tokio::test]
    async fn a_session_is_found_listed_refreshed_and_ended() {
        let sessions = Sessions::new("Cloud", 8080, false).unwrap();
        let alice = Owner::new("alice").unwrap();
        let first = sent(&sessions.begin(&alice, &visitor()).await.unwrap());
        let other = sent(&sessions.begin(&alice, &visitor()).await.unwrap());
        let found = sessions.find(&first, &visitor()).await.unwrap();
        assert!(found.owner == alice && sessions.is_fresh(&found));
        assert_eq!(sessions.list(&alice).await.unwrap()[0].label().as_str(), "Firefox on Linux");

        let fresh = sent(&sessions.refresh(&found).await.unwrap());
        assert!(sessions.find(&first, &visitor()).await.is_none(), "the old cookie is over");
        let found = sessions.find(&fresh, &visitor()).await.unwrap();
        assert!(!sessions.clone().fresh_for(Duration::ZERO).is_fresh(&found));
        assert_eq!(sessions.list(&alice).await.unwrap().len(), 2);

        assert_eq!(sessions.end_others(&found).await.unwrap(), 1);
        assert!(sessions.find(&other, &visitor()).await.is_none());
        let bob = Owner::new("bob").unwrap();
        assert!(sessions.end(&bob, found.id).await.is_err(), "another account's");
        sessions.end(&alice, found.id).await.unwrap();
        assert!(sessions.find(&fresh, &visitor()).await.is_none());
    }

    #[tokio::test]
    async fn a_session_of_a_named_person_is_never_fresh_also_not_when_its_cookie_changes() {
        let sessions = Sessions::new("Cloud", 8080, false).unwrap();
        let alice = Owner::new("alice").unwrap();
        let cookie = sent(&sessions.begin_named(&alice, &visitor()).await.unwrap());
        let found = sessions.find(&cookie, &visitor()).await.unwrap();
        assert!(found.owner == alice && !sessions.is_fresh(&found));
        let cookie = sent(&sessions.refresh(&found).await.unwrap());
        let found = sessions.find(&cookie, &visitor()).await.unwrap();
        assert!(!sessions.is_fresh(&found));
    }

    #[tokio::test]
    async fn ten_thousand_requests_without_a_cookie_leave_few_sessions_and_end_no_sign_in() {
        let sessions = Sessions::new("Cloud", 8080, false).unwrap();
        let [alice, bob] = ["alice", "bob"].map(|name| Owner::new(name).unwrap());
        let signed_in = sent(&sessions.begin(&alice, &visitor()).await.unwrap());
        let of_bob = sent(&sessions.begin_named(&bob, &visitor()).await.unwrap());
        let mut last = HeaderMap::new();
        for _ in 0..10_000 {
            last = sent(&sessions.begin_named(&alice, &visitor()).await.unwrap());
        }
        let all = sessions.tokens.list(&Filter::every_token(), Page::first(100)).await.unwrap();
        assert_eq!(all.tokens.len(), MOST_NAMED + 2);
        for cookie in [signed_in, of_bob, last] {
            assert!(sessions.find(&cookie, &visitor()).await.is_some());
        }
        for _ in 0..2 * MOST {
            sessions.begin(&alice, &visitor()).await.unwrap();
        }
        assert_eq!(sessions.list(&alice).await.unwrap().len(), MOST_NAMED + MOST);
    }

    #[tokio::test]
    async fn a_cookie_is_for_one_host_one_port_and_over_tls_only_there() {
        let alice = Owner::new("alice").unwrap();
        let plain = Sessions::new("Cloud", 8080, false).unwrap();
        let cookie = plain.begin(&alice, &visitor()).await.unwrap();
        let text = cookie.to_str().unwrap();
        assert!(text.starts_with("cloud-8080=session_"), "{text}");
        assert!(text.ends_with("; HttpOnly; SameSite=Strict; Path=/"), "{text}");
        let tls = Sessions::new("My Forge", 443, true).unwrap();
        let text = tls.no_cookie().to_str().unwrap().to_owned();
        assert!(text.starts_with("__Host-my-forge-443=; Max-Age=0"), "{text}");
        assert!(text.ends_with("; Path=/; Secure"), "{text}");
        let elsewhere = Sessions::new("Cloud", 8081, false).unwrap();
        assert!(elsewhere.find(&sent(&cookie), &visitor()).await.is_none());
    }
}
