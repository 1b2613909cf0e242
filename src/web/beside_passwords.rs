//! Guides a host that has passwords of its own, and adds tokens beside them.
//!
//! The example `hyper_passwords` is a small server that does all of this.
//!
//! # Accept tokens and passwords
//!
//! [`Login::try_enter`](super::Login::try_enter) looks for a token first. Hand only
//! [`Entry::NotOurs`](super::Entry::NotOurs) to your password check. **Any error is final.** So a
//! revoked or mistyped token never reaches the password check, its log or its rate limit.
//!
//! ```
//! use app_tokens::store::TokenStore;
//! use app_tokens::web::{Accounts, Answer, Entry, Login, Refusal};
//! use app_tokens::{Authenticated, Origin, Owner};
//! # async fn check_password(_: Option<&str>, _: &str) -> Result<Option<Owner>, std::io::Error> {
//! #     Ok(None)
//! # }
//!
//! enum User {
//!     Password(Owner),
//!     Token(Authenticated),
//! }
//!
//! async fn user<S: TokenStore, A: Accounts>(
//!     login: &Login<S, A>,
//!     headers: &[(&str, &[u8])],
//! ) -> Result<User, Answer> {
//!     let entered = match login.try_enter(headers.iter().copied(), Origin::unknown()).await {
//!         Ok(Entry::Token(token)) => return Ok(User::Token(token)),
//!         Ok(Entry::NotOurs(sent)) => check_password(sent.user(), sent.expose_secret()).await
//!             .map_err(|error| Refusal::Accounts(error.into()))
//!             .and_then(|owner| owner.map(User::Password).ok_or(Refusal::NotOurs)),
//!         Ok(_) => Err(Refusal::NoCredentials),
//!         Err(refusal) => Err(refusal),
//!     };
//!     entered.map_err(|refusal| login.answer_to(&refusal, headers.iter().copied()))
//! }
//! ```
//!
//! With tower, `TokenLayer::or_else` calls your check with the request's origin. What it returns
//! for a password is an extension of the request, such as `SignedIn`.
//!
//! - On a route for both, `require(…).or_signed_in::<SignedIn>()` also lets in those users.
//! - On a route for the password only, each handler takes `SignedIn` as an argument. A token brings
//!   none, so it gets the answer of the extractor, which you write. The example `axum` does this:
//!
//! ```
//! use app_tokens::{Owner, web::Answer};
//! use axum::extract::FromRequestParts;
//! use axum::http::request::Parts;
//!
//! #[derive(Clone)]
//! struct SignedIn(Owner);
//!
//! impl<S: Send + Sync> FromRequestParts<S> for SignedIn {
//!     type Rejection = Answer;
//!
//!     async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<SignedIn, Answer> {
//!         parts.extensions.get().cloned().ok_or_else(|| Answer {
//!             status: 403,
//!             code: "password_needed",
//!             headers: Vec::new(),
//!             body: String::from("Sign in with your main password.\n"),
//!         })
//!     }
//! }
//! ```
//!
//! # What to refuse to tokens
//!
//! A stolen token must not be turned into something greater. Allow these only with the password, or
//! in a session that began with it:
//!
//! - issuing tokens, and giving them more access or a later end. A token issues others only by
//!   [`issue_under`](crate::TokenAuthority::issue_under).
//! - issuing any other credential: sessions and cookies, signed and shared links, SSH and API keys,
//!   OAuth grants, CalDAV and mail passwords.
//! - changing the password, the second factor or the recovery address, and deleting the account.
//!
//! Ask for the password again before a token is issued (OWASP ASVS 5.0, 7.5.1). Let the type of the
//! user decide, as with `User` above, so that no route can forget it.
//!
//! # Check COPY and MOVE twice
//!
//! A token may be limited to one folder. WebDAV's COPY reads one resource and writes another; MOVE
//! also deletes the first. Require access to both, the second by
//! [`Caller::require`](crate::Caller::require):
//!
//! ```
//! # use app_tokens::error::Forbidden;
//! # use app_tokens::{Authenticated, Caller, Requirement};
//! # fn copy(token: Authenticated, source: &str, destination: &str) -> Result<Caller, Forbidden> {
//! let caller = token.require(Requirement::one_of(&["files:read"]).on(source))?;
//! caller.require(Requirement::one_of(&["files:write"]).on(destination))?;
//! # Ok(caller)
//! # }
//! ```
//!
//! The destination is in the `Destination` header, as a full URL (RFC 4918, 10.3). Refuse the URL
//! of another host. Decode both names as your file code does, before they are compared: see
//! [`decoded_path`](super::decoded_path).
//!
//! # Don't offer Digest or NTLM
//!
//! Both need the secret on the server, or something equivalent to it. The store keeps only a digest
//! of another kind, so a token can't be checked by them.
//!
//! If a client is offered `Digest` beside `Basic`, it chooses `Digest`. Its token then fails, and
//! nothing tells why. So offer `Basic` over TLS, and remove both schemes. For clients that fail if
//! there is a second challenge, set [`Challenges::Basic`](super::Challenges::Basic).
//!
//! `Negotiate` may stay for your own accounts. It arrives as
//! [`Entry::OtherScheme`](super::Entry::OtherScheme), unless a token follows it.
//!
//! # Limit guesses of passwords, not tokens
//!
//! Passwords can be guessed, so limit failed attempts by account and by address. Count only what
//! your password check refused. A token has 140 random bits and needs no limit. A client that
//! repeats a revoked token day and night must not lock its owner out of the account.
//!
//! Don't cache which headers were let in: a revoked token must be denied at once.
//!
//! # Names and passwords that can't log in
//!
//! - A user name that is or resembles a token is refused before your check sees it.
//! - A password that begins with an accepted prefix, `_` and twenty letters or digits is denied as
//!   a mistyped token. Refuse such a password when it is set.
//! - No account may have the name of a [`placeholder`](super::Accept::placeholder).
//!
//! # Refused uploads
//!
//! A server may refuse an upload by its headers, and close the connection while the client still
//! sends. Many clients then report "broken pipe" and never read the answer, so it looks like a
//! network fault.
//!
//! Clients that send `Expect: 100-continue` wait for the server (RFC 9110, 10.1.1). Others don't:
//! for instance `curl -H 'Expect:'`, `rclone rcat`, Python's `urllib` and `wget`.
//!
//! - Decide before the body is read. Then clients that wait never send it.
//! - If a client did not send `Expect`, keep reading for a while and discard the body. Limit this
//!   by bytes and by time.
//! - Better: let a proxy do it. Use nginx with `lingering_close always;` and a suitable
//!   `lingering_time`, or a proxy that buffers requests.
