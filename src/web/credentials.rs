//! [`credentials()`]: reads the `Authorization` header.

use std::fmt;
use std::ops::Range;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use super::resemblance::{claims_to_be_a_token, is_b64token_byte, resembles_a_token};
use crate::digest::Digest;
use crate::disguise::Layers;
use crate::policy::Policy;
use crate::token::{Prefix, Token};

/// The longest header that is read, in bytes. RFC 9110 has no limit; many servers use this one.
const MAX_HEADER: usize = 8 * 1024;

/// Reads the credentials of a request from the values of all its `Authorization` headers.
///
/// It only reads: no token is verified. [`Login`](super::Login) does the rest.
///
/// Returns `None` if there is no such header, or an empty one. Most clients begin so: it is not a
/// failed attempt.
///
/// ```
/// use app_tokens::{Policy, web};
/// let accept = web::Accept::new(&Policy::new("acme")?);
/// let values = [b"Basic YWxpY2U6YWNtZV8uLi4=".as_slice()];
/// let credentials = web::credentials(values, &accept)?.unwrap();
/// assert_eq!((credentials.user(), credentials.expose_secret()), (Some("alice"), "acme_..."));
/// assert!(web::credentials([], &accept)?.is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`CredentialsError`] if the credentials can't be read, or if the header is longer than 8 KiB. It
/// never repeats what was sent.
pub fn credentials<'h>(
    values: impl IntoIterator<Item = &'h [u8]>,
    accept: &Accept,
) -> Result<Option<Credentials<'h>>, CredentialsError> {
    let mut values = values.into_iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    // Two headers are refused, even if they are equal: a proxy and this server might each read
    // another one of them.
    if values.next().is_some() {
        return Err(CredentialsError::SeveralHeaders);
    }
    if value.len() > MAX_HEADER {
        return Err(CredentialsError::TooLong);
    }
    let value = value.trim_ascii();
    if value.is_empty() {
        return Ok(None);
    }
    let end = value.iter().position(|byte| *byte == b' ').unwrap_or(value.len());
    let (scheme, rest) = value.split_at(end);
    let rest = rest.trim_ascii_start();
    if scheme.eq_ignore_ascii_case(b"basic") {
        return basic(rest, accept).map(Some);
    }
    if scheme.eq_ignore_ascii_case(b"bearer") || scheme.eq_ignore_ascii_case(b"token") {
        return bearer(rest).map(Some);
    }
    if accept.bare_token && rest.is_empty() {
        return bare(value, accept).map(Some);
    }
    Err(foreign(value, accept))
}

/// Reads a user name, if any, and a secret, from a protocol without headers.
pub(crate) fn named(
    name: Option<&str>,
    secret: &str,
    accept: &Accept,
) -> Result<Credentials<'static>, CredentialsError> {
    let name = name.unwrap_or_default();
    // As large as the text. A string that grows leaves a copy of the secret behind, unwiped.
    let mut text = Zeroizing::new(String::with_capacity(name.len() + 1 + secret.len()));
    text.push_str(name);
    text.push(':');
    text.push_str(secret);
    if text.len() > MAX_HEADER {
        return Err(CredentialsError::TooLong);
    }
    user_and_secret(text, name.len(), accept)
}

/// Reads the host's own header for tokens: a scheme and the secret, or the secret alone.
pub(crate) fn own_header<'h>(
    value: &'h [u8],
    accept: &Accept,
) -> Result<Option<Credentials<'h>>, CredentialsError> {
    match credentials([value], accept) {
        Err(CredentialsError::UnsupportedScheme | CredentialsError::TokenInOtherScheme) => {
            let text = std::str::from_utf8(value.trim_ascii());
            let text = text.map_err(|_| CredentialsError::NotBearer)?;
            if text.chars().any(char::is_control) {
                return Err(CredentialsError::ControlCharacter);
            }
            Ok(Some(Credentials::of_token(text)))
        }
        read => read,
    }
}

/// Returns whether `Authorization` holds another token than the host's own header, mistyped or not.
///
/// Other credentials in it are allowed: a proxy in front may need them.
pub(crate) fn holds_another_token(
    authorization: &[u8],
    token: &Credentials<'_>,
    accept: &Accept,
) -> bool {
    match credentials([authorization], accept) {
        Ok(Some(second)) => {
            let (one, two) = (token.expose_secret(), second.expose_secret());
            claims_to_be_a_token(two, &accept.prefixes) && !is_the_same_token(one, two, accept)
        }
        Ok(None) | Err(CredentialsError::UnsupportedScheme) => false,
        Err(
            CredentialsError::TokenInOtherScheme
            | CredentialsError::TokenAsUserName
            | CredentialsError::TwoTokens
            | CredentialsError::TooLong,
        ) => true,
        // What can't be read here may be read by a proxy.
        Err(_) => is_or_hides_a_token(authorization, &accept.prefixes),
    }
}

/// Holds what a client sent: a secret, which may be a token, and possibly a user name.
///
/// Decoded text is wiped from memory when this is dropped. The user name is never a token of ours
/// and never resembles one: such a name was refused. It may be a token of another system, so log no
/// name while tokens are imported.
pub struct Credentials<'h> {
    text: Text<'h>,
    user: Option<Range<usize>>,
    secret: Range<usize>,
}

enum Text<'h> {
    InHeader(&'h str),
    Decoded(Zeroizing<String>),
}

impl<'h> Credentials<'h> {
    /// Returns the user name beside the secret.
    ///
    /// `None` for a Bearer token, or if the name was empty or a placeholder.
    pub fn user(&self) -> Option<&str> {
        self.user.as_ref().map(|user| self.part(user))
    }

    /// Returns the secret exactly as it was sent: a token, or a password of the host.
    ///
    /// **Never log, store or echo it.**
    ///
    /// White space and line ends around a token don't matter. Around a password, the host decides
    /// whether they belong to it.
    pub fn expose_secret(&self) -> &str {
        self.part(&self.secret)
    }

    /// Copies the credentials, so that they no longer borrow from the header. The copy is wiped
    /// when it is dropped.
    pub fn into_owned(self) -> Credentials<'static> {
        let Credentials { text, user, secret } = self;
        let text = match text {
            Text::InHeader(text) => Text::Decoded(Zeroizing::new(String::from(text))),
            Text::Decoded(text) => Text::Decoded(text),
        };
        Credentials { text, user, secret }
    }

    /// Takes a header's text as a secret without a user name.
    fn of_token(token: &'h str) -> Credentials<'h> {
        Credentials { text: Text::InHeader(token), user: None, secret: 0..token.len() }
    }

    /// Returns a part of the text.
    fn part(&self, range: &Range<usize>) -> &str {
        let text: &str = match &self.text {
            Text::InHeader(text) => text,
            Text::Decoded(text) => text,
        };
        #[expect(clippy::expect_used, reason = "the ranges were found in this text")]
        text.get(range.clone()).expect("a range of this text")
    }
}

/// Shows nothing that was sent. Even a user name may be a password in the wrong field.
impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

/// Lists the ways of sending a token that a host accepts besides `Basic`, `Bearer` and `token`.
///
/// [`Login::accept`](super::Login::accept) has an example.
#[derive(Clone, Debug)]
pub struct Accept {
    prefixes: Vec<Prefix>,
    pub(super) token_as_user_name: bool,
    bare_token: bool,
    placeholders: Vec<Box<str>>,
}

impl Accept {
    /// Accepts `Basic`, `Bearer` and `token` only, for tokens with the policy's prefixes.
    pub fn new(policy: &Policy) -> Accept {
        Accept {
            prefixes: policy.accepted_prefixes().to_vec(),
            token_as_user_name: false,
            bare_token: false,
            placeholders: Vec::new(),
        }
    }

    /// Accepts the token as the user name of `Basic`, with an empty password or `x-oauth-basic`.
    ///
    /// Clients of GitHub and Forgejo do so: `https://TOKEN:x-oauth-basic@host/`. **Prefer another
    /// way:** many servers and proxies log user names. An imported token that resembles ours is
    /// refused there all the same.
    #[must_use]
    pub fn token_as_user_name(self) -> Accept {
        Accept { token_as_user_name: true, ..self }
    }

    /// Accepts a token in the header without a scheme, as cargo sends it to registries.
    #[must_use]
    pub fn bare_token(self) -> Accept {
        Accept { bare_token: true, ..self }
    }

    /// Treats this user name of `Basic` like an empty one: then the token alone says who logs in.
    ///
    /// pip and twine send `__token__`, others send `x-access-token`. Call it once for each name.
    /// Make sure that no account has such a name.
    #[must_use]
    pub fn placeholder(mut self, user_name: impl Into<Box<str>>) -> Accept {
        self.placeholders.push(user_name.into());
        self
    }

    pub(crate) fn prefixes(&self) -> &[Prefix] {
        &self.prefixes
    }
}

/// Says why no credentials could be read. It never repeats what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// `Authorization`, or the host's own header for tokens, was sent twice. A server and a proxy
    /// might each read another one.
    #[error("a header with credentials was sent twice; send it once")]
    SeveralHeaders,
    /// The header is longer than 8 KiB.
    #[error("the header with the credentials is longer than 8 KiB; send a shorter one")]
    TooLong,
    /// The scheme is not accepted, and no token follows it.
    #[error("the Authorization header has a scheme that is not accepted here; use Basic or Bearer")]
    UnsupportedScheme,
    /// The scheme is not accepted, and a token follows it, mistyped or not. No other check of the
    /// host may see it.
    #[error("a token was sent in a scheme that is not accepted here; send it by Basic or Bearer")]
    TokenInOtherScheme,
    /// What follows `Basic` is not base64 with padding (RFC 7617, 2; RFC 4648, 4). All known
    /// clients send padding.
    #[error("the Basic credentials are not base64")]
    NotBase64,
    /// What follows `Basic` has no colon between user name and password.
    #[error("the Basic credentials have no colon between user name and password")]
    NoColon,
    /// What follows `Bearer` is empty, or has a character that is not allowed there (RFC 6750,
    /// 2.1).
    #[error("the Bearer credentials are empty, or have a character that is not allowed there")]
    NotBearer,
    /// The user name or the password has a control character (RFC 7617, 2). White space and line
    /// ends around the password don't count.
    #[error("the user name or the password has a control character")]
    ControlCharacter,
    /// The user name is a token or resembles one, and tokens are not accepted there.
    #[error("the user name looks like a token; send the token as the password")]
    TokenAsUserName,
    /// The user name and the password, or two headers, hold two different tokens.
    #[error("two different tokens were sent; send one")]
    TwoTokens,
}

impl CredentialsError {
    /// Returns whether a program made the mistake, and not a person.
    ///
    /// If so, the answer is 400, since another password would not help. Otherwise it is 401, and
    /// the client asks the person again.
    pub fn is_malformed(&self) -> bool {
        match self {
            CredentialsError::SeveralHeaders
            | CredentialsError::TooLong
            | CredentialsError::NotBase64
            | CredentialsError::NoColon
            | CredentialsError::NotBearer => true,
            CredentialsError::UnsupportedScheme
            | CredentialsError::TokenInOtherScheme
            | CredentialsError::ControlCharacter
            | CredentialsError::TokenAsUserName
            | CredentialsError::TwoTokens => false,
        }
    }
}

/// Standard base64 with padding (RFC 4648, 4). If several texts decode to one value, only the
/// canonical one is accepted.
const BASE64: GeneralPurpose = GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new());

/// The passwords that clients send beside a token as user name.
pub(super) const NO_PASSWORD: [&str; 2] = ["", "x-oauth-basic"];

/// Reads Basic. The first colon separates (RFC 7617, 2), so a password may contain others.
fn basic(encoded: &[u8], accept: &Accept) -> Result<Credentials<'static>, CredentialsError> {
    let text = decode(encoded)?;
    let colon = text.find(':').ok_or(CredentialsError::NoColon)?;
    user_and_secret(text, colon, accept)
}

/// Separates user name and secret at the ASCII character at `separator`.
fn user_and_secret(
    text: Zeroizing<String>,
    separator: usize,
    accept: &Accept,
) -> Result<Credentials<'static>, CredentialsError> {
    let (user, secret) = (&text[..separator], &text[separator + 1..]);
    let user_is_token = resembles_a_token(user, &accept.prefixes);
    // A secret that was read from a file often ends with a line end. It is ignored here, and when a
    // token is parsed. A password is still handed to the host as it was sent.
    let shown = if user_is_token { user.trim_ascii() } else { user };
    if shown.chars().chain(secret.trim_ascii().chars()).any(char::is_control) {
        return Err(CredentialsError::ControlCharacter);
    }
    let (user_range, secret_range) = (0..separator, separator + 1..text.len());

    let (user_range, secret_range) = if user_is_token {
        refuse_two_tokens(user, secret, accept)?;
        (None, user_range)
    } else {
        let stands_for_none =
            user.is_empty() || accept.placeholders.iter().any(|placeholder| **placeholder == *user);
        (Some(user_range).filter(|_| !stands_for_none), secret_range)
    };
    Ok(Credentials { text: Text::Decoded(text), user: user_range, secret: secret_range })
}

/// Refuses a token as user name, unless it is accepted there.
///
/// It may then be alone, or have the same token as password.
fn refuse_two_tokens(user: &str, secret: &str, accept: &Accept) -> Result<(), CredentialsError> {
    let is_the_same = is_the_same_token(user, secret, accept);
    if !is_the_same && resembles_a_token(secret, &accept.prefixes) {
        return Err(CredentialsError::TwoTokens);
    }
    let stands_alone = is_the_same || NO_PASSWORD.contains(&secret.trim_ascii());
    if accept.token_as_user_name && stands_alone && claims_to_be_a_token(user, &accept.prefixes) {
        return Ok(());
    }
    Err(CredentialsError::TokenAsUserName)
}

/// Returns whether two texts are the same token, however they are written.
fn is_the_same_token(one: &str, two: &str, accept: &Accept) -> bool {
    // Compares digests, since secrets have no equality of their own.
    let digest = |text| Token::parse(text, &accept.prefixes).ok().map(|token| Digest::of(&token));
    digest(one).is_some_and(|one| digest(two) == Some(one))
}

/// Decodes base64, and its bytes as UTF-8, for which the challenge asks. If they are not UTF-8,
/// decodes them as Latin-1, which some clients send all the same.
fn decode(encoded: &[u8]) -> Result<Zeroizing<String>, CredentialsError> {
    let mut bytes = Zeroizing::new(vec![0; base64::decoded_len_estimate(encoded.len())]);
    let length =
        BASE64.decode_slice(encoded, &mut bytes).map_err(|_| CredentialsError::NotBase64)?;
    bytes.truncate(length);
    // In both cases the bytes stay in a buffer that is wiped. `String::from_utf8` moves it and does
    // not copy. Latin-1 needs at most twice the bytes, so `text` does not grow, either.
    match String::from_utf8(std::mem::take(&mut *bytes)) {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(error) => {
            let bytes = Zeroizing::new(error.into_bytes());
            let mut text = Zeroizing::new(String::with_capacity(2 * bytes.len()));
            text.extend(bytes.iter().copied().map(char::from));
            Ok(text)
        }
    }
}

/// Reads what follows `Bearer` or `token`. Also with a bar, which Laravel Sanctum's tokens have.
fn bearer(token: &[u8]) -> Result<Credentials<'_>, CredentialsError> {
    let token = token68(token, |byte| is_b64token_byte(byte) || byte == b'|');
    token.map(Credentials::of_token).ok_or(CredentialsError::NotBearer)
}

/// Reads a header that is the token alone.
fn bare<'h>(value: &'h [u8], accept: &Accept) -> Result<Credentials<'h>, CredentialsError> {
    let token = token68(value, is_b64token_byte)
        .filter(|token| claims_to_be_a_token(token, &accept.prefixes));
    token.map(Credentials::of_token).ok_or_else(|| foreign(value, accept))
}

/// Returns the error for a scheme that is not accepted.
fn foreign(value: &[u8], accept: &Accept) -> CredentialsError {
    if is_or_hides_a_token(value, &accept.prefixes) {
        CredentialsError::TokenInOtherScheme
    } else {
        CredentialsError::UnsupportedScheme
    }
}

/// Returns whether any part of a text, as it is or decoded, claims to be a token.
fn is_or_hides_a_token(text: &[u8], prefixes: &[Prefix]) -> bool {
    let claims = |part: &[u8]| {
        std::str::from_utf8(part).is_ok_and(|part| claims_to_be_a_token(part, prefixes))
    };
    let mut any_claims = false;
    Layers::new(text.len()).visit(text, &mut |layer, _| {
        // Each part alone. Together, the parameters of a Digest header could look like one token.
        any_claims = any_claims
            || layer.split(|byte| b",;:=\"".contains(byte)).any(|part| {
                // What was decoded may have junk around it.
                claims(part) || part.split(|byte| !byte.is_ascii()).any(claims)
            });
    });
    any_claims
}

/// Reads a text that has the form of a Bearer token, of these bytes. RFC 6750, 2.1:
/// `b64token = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`
fn token68(text: &[u8], is_allowed: fn(u8) -> bool) -> Option<&str> {
    let text = std::str::from_utf8(text).ok()?;
    let unpadded = text.trim_end_matches('=');
    (!unpadded.is_empty() && unpadded.bytes().all(is_allowed)).then_some(text)
}

#[cfg(test)]
mod tests;
