//! The settings page of all hosts: sign in, list, create, see once, change, replace, revoke.
//!
//! Server-rendered and complete without JavaScript. A host brings its [`Wording`], its
//! [question about access](access) and the lines for its clients. It can put pages of its own
//! behind the same sign-in with [`Page::guard`], in the same look with [`Page::answer`].
//!
//! - `list`, `lines`: the tokens, one row a line of rotations, and the browser sessions.
//! - `create`, `end`, `shown`, `qr`: a new token, and the one page that shows it.
//! - `change`, `replace`, `revoke`, `browsers`: what can be done with one.
//! - `admin`: the tokens of all identities.
//! - `sign_in`: the main password, also asked for again.
//! - `layout`, `form`, `once`, `times`: what all of these need.

pub mod access;
pub mod admin;
mod browsers;
mod change;
mod create;
mod end;
pub mod form;
pub mod layout;
mod lines;
mod list;
mod notice;
mod once;
mod pages;
mod problem;
mod qr;
mod replace;
mod revoke;
mod shown;
mod sign_in;
pub mod times;
pub mod wording;

use std::net::SocketAddr;
use std::sync::Arc;

use app_tokens::error::{Failed, SetupError};
use app_tokens::store::DynStore;
use app_tokens::{TokenAuthority, TokenId, TokenView};
use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, FromRequestParts, Path, Request, State};
use axum::http::header::SET_COOKIE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};

use crate::accounts::{Account, Accounts};
use crate::front::{Front, Visitor};
use crate::log;
use crate::session::{Session, Sessions};
use access::AccessForm;
use admin::AdminView;
use once::Onces;
use wording::{Recipe, Wording};

/// What a host brings.
pub struct Setup {
    /// Its words and acts.
    pub wording: Wording,
    /// Its question about access.
    pub access: Arc<dyn AccessForm>,
    /// The address that clients connect to, such as `https://cloud.example/dav/`.
    pub server: String,
    /// The lines for its clients.
    pub recipes: Vec<Recipe>,
    /// The view of all tokens, if the host has administrators.
    pub admin: Option<AdminView>,
}

/// The settings page. Clones share everything.
#[derive(Clone)]
pub struct Page(Arc<Inner>);

struct Inner {
    tokens: TokenAuthority<DynStore>,
    accounts: Accounts,
    sessions: Sessions,
    front: Front,
    onces: Onces,
    setup: Setup,
}

/// A person who is signed in, in handlers behind [`Page::guard`]. Without one, the request is
/// answered with the page to sign in, which leads back.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// Their account, as it is now.
    pub account: Account,
    /// Their session.
    pub session: Session,
    /// Who sent the request.
    pub visitor: Visitor,
}

/// What the guard found out about a request.
#[derive(Clone)]
struct Gate {
    page: Page,
    who: Option<SignedIn>,
    visitor: Visitor,
    path: String,
}

impl Page {
    /// Makes the page.
    ///
    /// # Errors
    /// [`SetupError`] if the system has no randomness.
    pub fn new(
        tokens: TokenAuthority<DynStore>,
        accounts: Accounts,
        sessions: Sessions,
        front: Front,
        setup: Setup,
    ) -> Result<Page, SetupError> {
        let onces = Onces::new()?;
        Ok(Page(Arc::new(Inner { tokens, accounts, sessions, front, onces, setup })))
    }

    /// Returns the routes of the page, guarded.
    pub fn routes(&self) -> Router {
        // Enter in the address bar on a path that only takes forms leads to the list.
        let home = || get(async || Redirect::to("/"));
        let routes = Router::new()
            .route("/", get(list::show))
            .route("/sign-in", post(sign_in::sign_in).merge(home()))
            .route("/sign-out", post(sign_in::sign_out).merge(home()))
            .route("/again", get(sign_in::from_proxy).post(sign_in::again))
            .route("/new", get(create::show))
            .route("/tokens", post(create::create).merge(home()))
            .route("/tokens/revoke", post(revoke::selected).merge(home()))
            .route("/tokens/erase", get(revoke::ask_erase).post(revoke::erase))
            .route("/tokens/{id}", get(change::show))
            .route("/tokens/{id}/rename", post(change::rename).merge(home()))
            .route("/tokens/{id}/narrow", post(change::narrow).merge(home()))
            .route("/tokens/{id}/replace", get(replace::show).post(replace::replace))
            .route("/tokens/{id}/end-old", get(replace::ask_end).post(replace::end_old))
            .route("/tokens/{id}/revoke", get(revoke::ask).post(revoke::revoke))
            .route("/tokens/{id}/others", get(revoke::ask_others).post(revoke::others))
            .route("/admin/tokens", get(admin::show).post(admin::grant))
            .route("/admin/tokens/{id}", get(admin::ask).post(admin::revoke))
            .route("/sessions/others", get(browsers::ask_others).post(browsers::end_others))
            .route("/sessions/{id}", get(browsers::ask).post(browsers::end))
            .layer(DefaultBodyLimit::max(64 * 1024))
            .with_state(self.clone());
        self.guard(routes)
            .route("/style.css", get(layout::style))
            .route("/copy.js", get(layout::script))
            .fallback({
                let page = self.clone();
                async move || {
                    page.problem(
                        StatusCode::NOT_FOUND,
                        "There is no such page",
                        "Go on here.",
                        None,
                    )
                }
            })
    }

    /// Puts a host's own pages behind the same checks. Their handlers take [`SignedIn`].
    ///
    /// A POST that another site caused is refused before.
    pub fn guard(&self, routes: Router) -> Router {
        routes.layer(middleware::from_fn_with_state(self.clone(), guard))
    }

    /// Returns whether the sign-in is recent enough to make a token.
    pub fn is_fresh(&self, who: &SignedIn) -> bool {
        self.0.sessions.is_fresh(&who.session)
    }

    /// Makes a one-use text for a form.
    ///
    /// # Errors
    /// A page that says so, if the system's random source fails.
    pub async fn once(&self, who: &SignedIn) -> Result<String, Response> {
        let made = self.0.onces.make(&who.account.owner).await;
        made.map_err(|error| {
            log::say(format_args!("no form could be made: {error}"));
            self.unavailable(Some(who))
        })
    }

    /// Takes the one-use text of a form. `false` if it was taken before.
    pub async fn take_once(&self, who: &SignedIn, text: &str) -> bool {
        self.0.onces.take(&who.account.owner, text).await
    }

    /// Returns what the host brought.
    pub fn setup(&self) -> &Setup {
        &self.0.setup
    }

    fn front(&self) -> &Front {
        &self.0.front
    }

    fn tokens(&self) -> &TokenAuthority<DynStore> {
        &self.0.tokens
    }

    /// Finds a token of the person, or answers that there is none.
    async fn find(&self, who: &SignedIn, id: TokenId) -> Result<TokenView, Response> {
        let found = self.tokens().find(&who.account.owner, id).await;
        found.map_err(|error| self.refused(&error.into(), who))
    }

    /// Logs what failed. The person learns only that nothing is lost.
    fn failed(&self, failed: &Failed, who: &SignedIn) -> Response {
        log::say(format_args!("app tokens failed: {failed}"));
        self.unavailable(Some(who))
    }

    fn unavailable(&self, who: Option<&SignedIn>) -> Response {
        let many = layout::capital(self.setup().wording.many);
        let heading = format!("{many} can't be reached right now");
        let what_to_do = "Nothing is lost, and what is signed in stays signed in. Try again in a \
                          minute.";
        self.problem(StatusCode::SERVICE_UNAVAILABLE, &heading, what_to_do, who)
    }

    /// Finds out who sent a request. The cookie is for a session that began by it.
    async fn who(
        &self,
        headers: &HeaderMap,
        visitor: &Visitor,
    ) -> (Option<SignedIn>, Option<HeaderValue>) {
        let Inner { accounts, sessions, front, .. } = &*self.0;
        let found = sessions.find(headers, visitor).await;
        // A disabled or deleted account is signed out at once.
        let account =
            |session: &Session| accounts.by_owner(&session.owner).filter(Account::is_active);
        let signed_in = found.and_then(|session| {
            let account = account(&session)?;
            Some(SignedIn { account, session, visitor: visitor.clone() })
        });
        let Some(login_proxy) = &front.login_proxy else {
            return (signed_in, None);
        };
        let named = login_proxy.user(headers, visitor.peer);
        let account = named.and_then(|name| accounts.by_name(name)).filter(Account::is_active);
        match (account, signed_in) {
            (None, _) => (None, None),
            (Some(account), Some(who)) if who.account.owner == account.owner => (Some(who), None),
            (Some(account), _) => {
                let Ok(cookie) = sessions.begin_named(&account.owner, visitor).await else {
                    return (None, None);
                };
                let mut sent = HeaderMap::new();
                if let Some(pair) = cookie.to_str().ok().and_then(|line| line.split(';').next())
                    && let Ok(pair) = HeaderValue::try_from(pair)
                {
                    sent.insert(axum::http::header::COOKIE, pair);
                }
                let session = sessions.find(&sent, visitor).await;
                let who =
                    session.map(|session| SignedIn { account, session, visitor: visitor.clone() });
                (who, Some(cookie))
            }
        }
    }
}

async fn guard(State(page): State<Page>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let peer = peer.map(|ConnectInfo(peer)| peer.ip());
    let visitor = page.front().visitor(request.headers(), peer);
    let is_safe = matches!(*request.method(), Method::GET | Method::HEAD);
    if !is_safe && page.front().is_from_another_site(request.headers()) {
        let what_to_do = "Nothing was changed. Go on from this site's own pages.";
        let heading = "Another site sent this form";
        return page.problem(StatusCode::FORBIDDEN, heading, what_to_do, None);
    }
    let (who, cookie) = page.who(request.headers(), &visitor).await;
    let path = match request.uri().path_and_query() {
        Some(path) if is_safe => path.to_string(),
        _ => "/".into(),
    };
    request.extensions_mut().insert(Gate { page, who, visitor, path });
    let mut response = next.run(request).await;
    if let Some(cookie) = cookie
        && !response.headers().contains_key(SET_COOKIE)
    {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

impl Gate {
    /// Answers a form that can't be read. Nothing falls back to a default.
    fn unreadable(gate: Option<&Gate>) -> Response {
        let Some(gate) = gate else {
            return StatusCode::BAD_REQUEST.into_response();
        };
        let what_to_do = "Nothing was changed. Go back and send the form again.";
        let heading = "This form can't be read";
        gate.page.problem(StatusCode::BAD_REQUEST, heading, what_to_do, gate.who.as_ref())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for SignedIn {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<SignedIn, Response> {
        let Some(gate) = parts.extensions.get::<Gate>() else {
            log::say("a route takes SignedIn, but is not behind Page::guard");
            return Err(StatusCode::INTERNAL_SERVER_ERROR.into_response());
        };
        match &gate.who {
            Some(who) => Ok(who.clone()),
            None if matches!(parts.method, Method::GET | Method::HEAD) => {
                Err(gate.page.sign_in_page(StatusCode::OK, &gate.path, "", None))
            }
            None => Err(Redirect::to("/").into_response()),
        }
    }
}

/// The id in the path. A text that is no id names nothing.
struct Named(TokenId);

impl FromRequestParts<Page> for Named {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, page: &Page) -> Result<Named, Response> {
        let id = Path::<String>::from_request_parts(parts, page).await;
        let id = id.ok().and_then(|Path(id)| id.parse().ok());
        let who = parts.extensions.get::<Gate>().and_then(|gate| gate.who.as_ref());
        id.map(Named).ok_or_else(|| page.no_such_token(who))
    }
}
