//! The `Authorization` header in: [`credentials()`].

use std::fmt;
use std::ops::Range;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use super::resemblance::{claims_to_be_a_token, is_b64token_byte, resembles_a_token};
use crate::digest::Digest;
use crate::policy::Policy;
use crate::token::{Prefix, Token};

/// The longest header that is looked at, in bytes. RFC 9110 names no limit; servers commonly have this one.
const MAX_HEADER: usize = 8 * 1024;

/// Reads the credentials out of a request, from the values of all its `Authorization` headers. `None` if it has none, or an empty
/// one: that is how most clients begin, and no failed attempt.
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
/// [`CredentialsError`], which never repeats what was sent.
pub fn credentials<'h>(
    values: impl IntoIterator<Item = &'h [u8]>,
    accept: &Accept,
) -> Result<Option<Credentials<'h>>, CredentialsError> {
    let mut values = values.into_iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
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
    Err(CredentialsError::UnsupportedScheme)
}

/// What a client sent: a secret, which may be a token, and perhaps a user name. What was decoded is wiped when dropped.
///
/// The user name is never a token nor nearly one: what looks like that was refused.
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
    /// The user name that stood beside the secret. None for a Bearer token, and where it was empty or a placeholder.
    pub fn user(&self) -> Option<&str> {
        self.user.clone().and_then(|user| self.text().get(user))
    }

    /// The secret that was sent: a token, or a password of the host's. Never log, store or echo it.
    pub fn expose_secret(&self) -> &str {
        self.text().get(self.secret.clone()).unwrap_or_default()
    }

    /// The same, without the header it came from.
    pub fn into_owned(self) -> Credentials<'static> {
        let Credentials { text, user, secret } = self;
        let text = match text {
            Text::InHeader(text) => Text::Decoded(Zeroizing::new(String::from(text))),
            Text::Decoded(text) => Text::Decoded(text),
        };
        Credentials { text, user, secret }
    }

    fn of_token(token: &'h str) -> Credentials<'h> {
        Credentials { text: Text::InHeader(token), user: None, secret: 0..token.len() }
    }

    fn text(&self) -> &str {
        match &self.text {
            Text::InHeader(text) => text,
            Text::Decoded(text) => text,
        }
    }
}

/// Nothing of what was sent: also a user name may be somebody's password, in the wrong field.
impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

/// Which ways of sending a token a host takes, beside `Basic`, `Bearer` and `token`.
#[derive(Clone, Debug)]
pub struct Accept {
    prefixes: Vec<Prefix>,
    token_as_user_name: bool,
    bare_token: bool,
    placeholders: Vec<Box<str>>,
}

impl Accept {
    /// None beside them, for tokens with the policy's prefixes.
    pub fn new(policy: &Policy) -> Accept {
        Accept {
            prefixes: policy.accepted_prefixes().to_vec(),
            token_as_user_name: false,
            bare_token: false,
            placeholders: Vec::new(),
        }
    }

    /// Takes the token as the user name of `Basic`, with an empty password or `x-oauth-basic`, as in
    /// `https://TOKEN:x-oauth-basic@host/`: a habit from GitHub. Many servers and proxies log user names, so prefer another way.
    #[must_use]
    pub fn token_as_user_name(self) -> Accept {
        Accept { token_as_user_name: true, ..self }
    }

    /// Takes a token that stands in the header alone, without a scheme, as cargo sends it to registries.
    #[must_use]
    pub fn bare_token(self) -> Accept {
        Accept { bare_token: true, ..self }
    }

    /// Takes this user name of `Basic` for none: `__token__`, as pip and twine have it, or `x-access-token`. Make sure that no
    /// account has it.
    #[must_use]
    pub fn placeholder(mut self, user_name: impl Into<Box<str>>) -> Accept {
        self.placeholders.push(user_name.into());
        self
    }

    pub(crate) fn prefixes(&self) -> &[Prefix] {
        &self.prefixes
    }
}

/// Why no credentials could be read. It never repeats what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// More than one `Authorization` header: server and proxy might look at different ones.
    #[error("there is more than one Authorization header")]
    SeveralHeaders,
    /// A header of more than 8 KiB.
    #[error("the Authorization header is longer than 8 KiB")]
    TooLong,
    /// Neither `Basic` nor `Bearer` nor `token`.
    #[error("the Authorization header has a scheme that is not accepted here")]
    UnsupportedScheme,
    /// What follows `Basic` is not base64 with its padding (RFC 7617, 2; RFC 4648, 4). All known clients send it so.
    #[error("the Basic credentials are not base64")]
    NotBase64,
    /// What follows `Basic` has no colon between user name and password.
    #[error("the Basic credentials have no colon")]
    NoColon,
    /// Nothing follows `Bearer`, or what no Bearer token may hold (RFC 6750, 2.1).
    #[error("the Bearer credentials are not a token")]
    NotBearer,
    /// A control character in user name or password (RFC 7617, 2).
    #[error("the user name or the password has a control character")]
    ControlCharacter,
    /// The user name is a token or nearly one, and isn't taken as such here.
    #[error("the user name looks like a token")]
    TokenAsUserName,
    /// User name and password are two tokens that differ.
    #[error("there are two different tokens")]
    TwoTokens,
}

impl CredentialsError {
    /// Whether a program made the mistake, so that another password would not help: HTTP 400. The others are a person's, who is
    /// asked again: 401.
    pub fn is_malformed(&self) -> bool {
        match self {
            CredentialsError::SeveralHeaders
            | CredentialsError::TooLong
            | CredentialsError::NotBase64
            | CredentialsError::NoColon
            | CredentialsError::NotBearer => true,
            CredentialsError::UnsupportedScheme
            | CredentialsError::ControlCharacter
            | CredentialsError::TokenAsUserName
            | CredentialsError::TwoTokens => false,
        }
    }
}

/// Standard base64, padded, and only the canonical text of each value.
const BASE64: GeneralPurpose = GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new());

/// The password that stands beside a token as user name.
const NO_PASSWORD: [&str; 2] = ["", "x-oauth-basic"];

/// RFC 7617, 2: the first colon splits, so a password may hold others.
fn basic(encoded: &[u8], accept: &Accept) -> Result<Credentials<'static>, CredentialsError> {
    let text = decode(encoded)?;
    if text.chars().any(char::is_control) {
        return Err(CredentialsError::ControlCharacter);
    }
    let (user, secret) = text.split_once(':').ok_or(CredentialsError::NoColon)?;
    let (user_range, secret_range) = (0..user.len(), user.len() + 1..text.len());

    let (user_range, secret_range) = if resembles_a_token(user, &accept.prefixes) {
        refuse_two_tokens(user, secret, accept)?;
        (None, user_range)
    } else {
        let stands_for_none =
            user.is_empty() || accept.placeholders.iter().any(|placeholder| **placeholder == *user);
        (Some(user_range).filter(|_| !stands_for_none), secret_range)
    };
    Ok(Credentials { text: Text::Decoded(text), user: user_range, secret: secret_range })
}

/// A token as user name stands alone, or beside itself.
fn refuse_two_tokens(user: &str, secret: &str, accept: &Accept) -> Result<(), CredentialsError> {
    let digest = |text| Token::parse(text, &accept.prefixes).ok().map(|token| Digest::of(&token));
    let is_the_same = digest(user).is_some_and(|user| digest(secret) == Some(user));
    if !is_the_same && resembles_a_token(secret, &accept.prefixes) {
        return Err(CredentialsError::TwoTokens);
    }
    let stands_alone = is_the_same || NO_PASSWORD.contains(&secret);
    if accept.token_as_user_name && stands_alone && claims_to_be_a_token(user, &accept.prefixes) {
        return Ok(());
    }
    Err(CredentialsError::TokenAsUserName)
}

/// As UTF-8, which the challenge asks for, or else as Latin-1, which some clients send all the same.
fn decode(encoded: &[u8]) -> Result<Zeroizing<String>, CredentialsError> {
    let mut bytes = Zeroizing::new(vec![0; base64::decoded_len_estimate(encoded.len())]);
    let length =
        BASE64.decode_slice(encoded, &mut bytes).map_err(|_| CredentialsError::NotBase64)?;
    bytes.truncate(length);
    // Both ways the bytes stay where they are wiped.
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

fn bearer(token: &[u8]) -> Result<Credentials<'_>, CredentialsError> {
    b64token(token).map(Credentials::of_token).ok_or(CredentialsError::NotBearer)
}

fn bare<'h>(value: &'h [u8], accept: &Accept) -> Result<Credentials<'h>, CredentialsError> {
    let token = b64token(value).filter(|token| claims_to_be_a_token(token, &accept.prefixes));
    token.map(Credentials::of_token).ok_or(CredentialsError::UnsupportedScheme)
}

/// RFC 6750, 2.1: `b64token = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`
fn b64token(text: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(text).ok()?;
    let unpadded = text.trim_end_matches('=');
    (!unpadded.is_empty() && unpadded.bytes().all(is_b64token_byte)).then_some(text)
}

#[cfg(test)]
mod tests;
