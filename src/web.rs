//! How tokens arrive over HTTP.
//!
//! Nothing here needs a web framework. [`credentials()`] reads the `Authorization` header.
//! [`Login`] asks the authority and the host's [`Accounts`], and returns
//! [`Authenticated`](crate::Authenticated) or a [`Refusal`]. [`answer()`] turns a refusal into a
//! plain [`Answer`] of status, headers and body.
//!
//! With the feature `tower`, `TokenLayer` does all of this for axum, hyper and others. With `axum`
//! there is also an extractor.
//!
//! ```
//! use app_tokens::web::{Login, NamesAreOwners};
//! use app_tokens::{Access, NewToken, Origin, Requirement, TokenAuthority};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let tokens = TokenAuthority::in_memory("acme")?;
//! let issued = tokens.issue(NewToken::new("alice", "My phone", Access::full())).await?;
//! let login = Login::new(tokens, NamesAreOwners);
//!
//! let header = format!("Bearer {}", issued.expose_secret());
//! let token = login.authenticate([header.as_bytes()], Origin::unknown()).await?;
//! assert_eq!(token.require(Requirement::ANY_VALID_TOKEN)?.owner().as_str(), "alice");
//!
//! let stolen = b"Bearer stolen".as_slice();
//! let refusal = login.authenticate([stolen], Origin::unknown()).await.unwrap_err();
//! assert_eq!(login.answer(&refusal).status, 401);
//! # Ok(())
//! # }
//! ```
//!
//! # What is read
//!
//! One `Authorization` header with one of these; the case of the scheme does not matter. The query
//! string is never read, since it ends up in logs and histories (OWASP ASVS 5.0, 14.2.1).
//!
//! | header | what it holds |
//! |---|---|
//! | `Basic` (RFC 7617) | user name and token; the name must be that of the token's owner, unless it is empty (`https://:TOKEN@host/`) |
//! | `Bearer` (RFC 6750) | the token |
//! | `token` | the token, as GitHub has it |
//! | the token without a scheme | as cargo sends it; only by [`Accept::bare_token`] |
//! | `Basic` with the token as user name | only by [`Accept::token_as_user_name`] |
//!
//! Basic without a user name counts like Bearer, which has none.
//!
//! White space and line ends around the secret don't matter, as of one that was read from a file.
//!
//! A user name that is, holds or resembles a token is refused before it reaches account look-ups,
//! events or errors. So these accounts can't log in by Basic:
//! - with a name that has an accepted prefix, `_` and twenty letters or digits in it;
//! - with a name of 42 to 63 letters and digits in a row, one digit at least, with nothing but
//!   spaces, `-`, `_` and one other sign between them;
//! - with a longer name that looks as random as a token;
//! - with a name that holds the base64 or hexadecimal of such a text.
//!
//! # What is answered
//!
//! | what was sent | status | reason |
//! |---|---|---|
//! | nothing, or a scheme that isn't accepted | 401, both challenges | litmus, git, wget, Maven and browsers send nothing before they are asked |
//! | a token that is denied, for any reason, or whose owner isn't active | 401, both challenges | git erases its stored token, browsers ask again |
//! | a person's mistake: a control character, a token in the user name | 401, both challenges | browsers ask again; after 400 they would repeat the mistake until they are closed |
//! | a program's mistake: bad base64, bad Bearer, two headers, too long | 400 | RFC 6750, 3.1; another password would not help, and git keeps the stored one |
//! | a valid token without the scope | 403 with the scope | git and others keep the token |
//! | anything, while the store or the accounts fail | 503 | git and others keep the token |

mod accounts;
mod answer;
mod credentials;
#[cfg(feature = "axum")]
mod extract;
#[cfg(feature = "tower")]
mod layer;
mod login;
mod resemblance;

pub use accounts::{Accounts, AccountsError, NamesAreOwners};
pub use answer::{Answer, Refusal, answer};
pub use credentials::{Accept, Credentials, CredentialsError, credentials};
#[cfg(feature = "tower")]
#[cfg_attr(docsrs, doc(cfg(feature = "tower")))]
pub use layer::{TokenLayer, TokenService};
pub use login::Login;
