//! For a host with passwords of its own: what to take care of when tokens come beside them.
//!
//! The example `hyper_passwords` is a small server that does all of this.
//!
//! # Let in by either
//!
//! [`Login::try_enter`](super::Login::try_enter) looks at the token first. Only
//! [`Entry::NotOurs`](super::Entry::NotOurs) is for your password check. Any error is final. So a
//! revoked or mistyped token never reaches the check, its log or its brake.
//!
//! ```
//! use app_tokens::web::{Accounts, Answer, Entry, Login, Refusal};
//! use app_tokens::{Authenticated, Origin, Owner, TokenStore};
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
//! With tower, `TokenLayer::or_else` asks your check, and `require(…).or_signed_in` lets its users
//! through a route.
//!
//! # What to refuse to tokens
//!
//! A token must not become more than it is. Let only the password, or a session that began with it,
//! reach:
//!
//! - the endpoint that makes tokens, and those that change them to more or to a later end; a token
//!   makes tokens only by [`issue_under`](crate::TokenAuthority::issue_under);
//! - every other credential that the host mints: sessions and cookies, signed and shared links, SSH
//!   and API keys, OAuth grants, CalDAV and mail passwords;
//! - the password, the second factor, the recovery address and the deletion of the account.
//!
//! Ask for the password again before a token is made (OWASP ASVS 5.0, 7.5.1). Do it by the type of
//! the user, as with `User` above, so that no route forgets it.
//!
//! # COPY and MOVE ask twice
//!
//! A token may be allowed one folder and not another. WebDAV's COPY reads one resource and writes
//! another; MOVE also deletes the first. Require both, by
//! [`Caller::require`](crate::Caller::require):
//!
//! ```
//! # use app_tokens::{Authenticated, Caller, Forbidden, Requirement};
//! # fn copy(token: Authenticated, source: &str, destination: &str) -> Result<Caller, Forbidden> {
//! let caller = token.require(Requirement::one_of(&["files:read"]).on(source))?;
//! caller.require(Requirement::one_of(&["files:write"]).on(destination))?;
//! # Ok(caller)
//! # }
//! ```
//!
//! The destination is in the `Destination` header, as a whole address. Refuse another host's.
//! Decode both names as your file code does, before they are compared; see
//! [`decoded_path`](super::decoded_path).
//!
//! # No Digest, no NTLM
//!
//! Both need the secret, or something as good as the secret, on the server. The store keeps a
//! digest of another kind. A client that is offered `Digest` beside `Basic` chooses `Digest`; its
//! token then fails, and nothing tells why. Offer `Basic` over TLS, and no scheme of these. For
//! clients that stumble over a second challenge, set
//! [`Challenges::Basic`](super::Challenges::Basic). `Negotiate` can stay for your own accounts: it
//! arrives as [`Entry::OtherScheme`](super::Entry::OtherScheme), unless a token stands behind it.
//!
//! # A brake for passwords only
//!
//! Passwords can be guessed, so slow guesses down, by account and by address. Count only what your
//! check refused. A token has 140 random bits and needs no brake. A client that repeats a revoked
//! token day and night must not lock its owner out of the account.
//!
//! Don't remember by its header that a request was let in. A revoked token must be denied at once.
//!
//! # Names that can't log in
//!
//! - A user name that is or resembles a token is refused before your check sees it.
//! - A password that begins with an accepted prefix, `_` and twenty letters or digits is denied as
//!   a mistyped token. Refuse such passwords when they are set.
//! - No account may have the name of a [`placeholder`](super::Accept::placeholder).
//!
//! # Uploads that are refused midway
//!
//! A server may refuse an upload by its headers, and close the connection while the client still
//! sends. Many clients then report "broken pipe", never read the answer, and seem to have a network
//! fault. Clients that send `Expect: 100-continue` wait for the server's word. The others do not:
//! `curl -H 'Expect:'`, `rclone rcat`, Python's `urllib` and `wget` are among them.
//!
//! - Decide before the body is read. Then clients that wait never send it.
//! - For a client that did not send `Expect`, read on for a while and drop what comes. Bound it by
//!   bytes and by time.
//! - Better, let a proxy do so: nginx with `lingering_close always;` and a `lingering_time` that
//!   fits, or a proxy that buffers requests.
