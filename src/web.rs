//! Accepts tokens over HTTP, and answers requests that are refused.
//!
//! Nothing here needs a web framework. [`Login`] reads a request's headers, asks the authority and
//! the host's [`Accounts`], and returns [`Authenticated`](crate::Authenticated) or a [`Refusal`].
//! [`Login::answer`] turns a refusal into an [`Answer`]: status, headers and body.
//!
//! With the feature `tower`, `TokenLayer` does all of this for axum, hyper and others. `require`
//! sets on each route what a token must be allowed to do. With the feature `axum`, handlers take a
//! [`Caller`](crate::Caller) as an argument.
//!
//! ```
//! use app_tokens::web::{Login, NamesAreOwners};
//! use app_tokens::{Access, NewToken, Origin, Requirement, TokenAuthority};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let tokens = TokenAuthority::in_memory("acme")?;
//! let issued = tokens.issue(NewToken::new("alice", "My phone", Access::full())).await?;
//! let login = Login::new(tokens, NamesAreOwners(|name| name == "alice"));
//!
//! let value = format!("Bearer {}", issued.expose_secret());
//! let headers = [("host", b"acme.example".as_slice()), ("authorization", value.as_bytes())];
//! let token = login.enter(headers, Origin::unknown()).await?;
//! assert_eq!(token.require(Requirement::ANY_VALID_TOKEN)?.owner().as_str(), "alice");
//!
//! let stolen = [("authorization", b"Bearer stolen".as_slice())];
//! let refusal = login.enter(stolen, Origin::unknown()).await.unwrap_err();
//! assert_eq!(login.answer(&refusal).status, 401);
//! # Ok(())
//! # }
//! ```
//!
//! | host | what to use |
//! |---|---|
//! | accepts tokens only | [`Login::enter`] |
//! | also has passwords of its own | [`Login::try_enter`]; see [`beside_passwords`] |
//! | has a protocol without headers (SASL PLAIN, LDAP bind) | [`Login::enter_with`] |
//! | uses tower or axum | `TokenLayer`, and `require` on each route |
//! | writes 401 answers of its own with tower | `ChallengeLayer` around them |
//!
//! # What is read
//!
//! One `Authorization` header of at most 8 KiB, in one of these forms. The case of the scheme does
//! not matter. The query string is never read: it ends up in logs and histories (OWASP ASVS 5.0,
//! 14.2.1).
//!
//! | header | what it holds |
//! |---|---|
//! | `Basic` (RFC 7617) | user name and token. The name must be the login name of the token's owner, or empty (`curl -u :TOKEN`). git sends no token from `https://:TOKEN@host/`, so give it a name |
//! | `Bearer` (RFC 6750) | the token |
//! | `token` | the token, as clients of GitHub send it |
//! | the token without a scheme | as cargo sends it; only with [`Accept::bare_token`] |
//! | `Basic` with the token as user name | only with [`Accept::token_as_user_name`] |
//! | a header of the host's own | the token, with or without a scheme; only with [`Login::with_token_header`] |
//!
//! `Basic` with an empty user name is treated like `Bearer`: the token alone says who logs in.
//!
//! White space and line ends around the token are ignored. A token that was read from a file often
//! ends with a line end.
//!
//! # Names that can't log in
//!
//! A user name is refused if it is, holds or resembles a token. It never reaches account look-ups,
//! events or errors. So an account can't log in by `Basic` if its name
//! - holds an accepted prefix, `_` and twenty letters or digits; or
//! - has 42 to 63 letters and digits, at least one of them a digit. Between them are only spaces,
//!   `-`, `_` and at most one other sign; or
//! - is longer, and holds a row that looks as random as a token; or
//! - holds the base64 or hexadecimal of such a text.
//!
//! # What is answered
//!
//! Each [`Answer`] has a word for programs in [`Answer::code`], and a text for people. If the host
//! calls a token something else, set it by [`Login::with_noun`]. If clients want JSON, see
//! `Answer::into_response`.
//!
//! To a request that is refused:
//!
//! | what was sent | status | code | reason |
//! |---|---|---|---|
//! | nothing, or a scheme that is not accepted | 401, challenges | `token_needed` | litmus, git, wget, Maven and browsers send nothing before they are asked |
//! | a token in a scheme that is not accepted | 401, challenges | `scheme_not_accepted` | the challenges name the right schemes |
//! | a token that is denied, for any reason; also if its owner is not active | 401, challenges | `token_not_valid` | git erases its stored token, browsers ask again |
//! | a person's mistake: a control character, a token in the user name, two tokens | 401, challenges | `token_not_valid` | browsers ask again; after 400 they would repeat the mistake until they are closed |
//! | a program's mistake: bad base64, bad Bearer, two headers, too long | 400 | `header_malformed` | RFC 6750, 3.1; another password would not help, and git keeps its stored token |
//! | a valid token without the scope | 403 with the scope | `scope_missing` | git and others keep the token |
//! | a valid token for other resources | 403 | `resource_missing` | git and others keep the token |
//! | a valid token from outside its networks | 403 | `outside_networks` | git and others keep the token |
//! | anything, while the store or the accounts fail | 503 | `unavailable` | git and others keep the token |
//! | anything, to an extractor or `require` on a route that is not set up | 500 | `not_set_up` | `TokenLayer` or `require` is missing |
//!
//! To an act on tokens that failed, from the error that the authority returned. It is never 401, so
//! that no client forgets its token:
//!
//! | error | status | codes |
//! |---|---|---|
//! | a text, life or end is not allowed | 422 | `invalid_text`, `invalid_time`, `no_life`, `life_too_long`, `end_needed`, `overlap_too_long`, `overlap_with_less` |
//! | the token would get more access, or this caller may not do it | 403 | `more_access`, `not_under_this`, `attributes_under_token`, `other_owner`, `derived` |
//! | the token does not exist, or has another owner | 404 | `not_found` |
//! | the state of the token or of other tokens forbids it | 409 | `limit_reached`, `label_taken`, `not_active`, `rotated`, `overlapping`, `damaged_row`, `narrowed_apart`, `conflict` |
//! | the state of a key forbids it (operators) | 409 | `key_not_lost`, `key_active`, `key_in_use` |
//! | the engine failed, and nothing was done | 503 | `unavailable` |
//! | it is unknown whether it was done | 503 | `outcome_unknown` |

mod accounts;
mod answer;
pub mod beside_passwords;
#[cfg(feature = "tower")]
mod challenge_layer;
mod client_address;
mod client_safe;
mod credentials;
#[cfg(feature = "axum")]
mod extract;
mod headers;
#[cfg(feature = "tower")]
mod layer;
mod login;
mod path;
mod refusal;
#[cfg(feature = "tower")]
mod require;
mod resemblance;

pub use accounts::{Accounts, AccountsError, NamesAreOwners};
pub use answer::{Answer, Challenges, answer};
#[cfg(feature = "tower")]
#[cfg_attr(docsrs, doc(cfg(feature = "tower")))]
pub use challenge_layer::{ChallengeLayer, ChallengeService};
pub use client_address::client_address;
pub use credentials::{Accept, Credentials, CredentialsError, credentials};
pub use headers::is_from_script;
#[cfg(feature = "tower")]
#[cfg_attr(docsrs, doc(cfg(feature = "tower")))]
pub use layer::{TokenLayer, TokenService};
pub use login::{Entry, Login};
pub use path::decoded_path;
pub use refusal::Refusal;
#[cfg(feature = "tower")]
#[cfg_attr(docsrs, doc(cfg(feature = "tower")))]
pub use require::{RequireLayer, RequireService, require};
