//! How tokens arrive over HTTP.
//!
//! Nothing here needs a web framework: [`credentials()`] reads the `Authorization` header, [`Login`] asks the authority and the
//! host's [`Accounts`], and what comes of it, [`Authenticated`](crate::Authenticated) or a [`Refusal`], becomes a plain
//! [`Answer`] of status, headers and body. With the feature `tower` there is `TokenLayer`, which does all of it for axum, hyper
//! and others; with `axum` an extractor.
//!
//! ```
//! use app_tokens::web::{Login, NamesAreOwners, Origin};
//! use app_tokens::{NewToken, Requirement, TokenAuthority};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let tokens = TokenAuthority::in_memory("acme")?;
//! let issued = tokens.issue(NewToken::new("alice", "My phone")).await?;
//! let login = Login::new(tokens, NamesAreOwners);
//!
//! let header = format!("Bearer {}", issued.expose_secret());
//! let token = login.authenticate([header.as_bytes()], Origin::default()).await?;
//! assert_eq!(token.require(Requirement::ANY_VALID_TOKEN)?.owner().as_str(), "alice");
//!
//! let refusal = login.authenticate([b"Bearer stolen".as_slice()], Origin::default()).await.unwrap_err();
//! assert_eq!(login.answer(&refusal).status, 401);
//! # Ok(())
//! # }
//! ```
//!
//! # What is read
//!
//! One `Authorization` header with one of these; schemes in upper or lower case. A query string is never read, as it ends up in
//! logs and histories (OWASP ASVS 5.0, 14.2.1).
//!
//! | | |
//! |---|---|
//! | `Basic` (RFC 7617) | user name and token; the name is compared with the token's owner, an empty one is none (`https://:TOKEN@host/`) |
//! | `Bearer` (RFC 6750) | the token |
//! | `token` | the same, a habit from GitHub |
//! | no scheme, the token alone | as cargo does it; only by [`Accept::bare_token`] |
//! | `Basic` with the token as user name | only by [`Accept::token_as_user_name`] |
//!
//! Basic without a user name is as good as Bearer, which has none. A user name that is a token or nearly one is refused, before any
//! account look-up, event or error could hold it; so an account whose name begins with an accepted prefix, `_` and twenty letters or
//! digits can't log in by Basic.
//!
//! # What is answered
//!
//! | | status | why so |
//! |---|---|---|
//! | nothing was sent, or a scheme that isn't ours | 401, both challenges | litmus, git, wget, Maven and browsers send nothing before they are asked |
//! | the token is no good, whatever the reason; or its owner is not let in | 401, both challenges | git erases its stored token, browsers ask again |
//! | a person's slip: a control character, a token in the user name | 401, both challenges | the same: after 400 a browser sends it again until it is closed |
//! | a program's mistake: bad base64, bad Bearer, two headers, too long | 400 | RFC 6750, 3.1; another password would not help, and git keeps the stored one |
//! | a good token without the scope | 403 with the scope | git and others keep the token |
//! | store or accounts failed | 503 | the same |

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
pub use login::{Login, Origin};
