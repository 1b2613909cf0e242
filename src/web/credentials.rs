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
mod tests {
    use super::*;
    use CredentialsError::{
        ControlCharacter, NoColon, NotBase64, NotBearer, SeveralHeaders, TokenAsUserName, TooLong,
        TwoTokens, UnsupportedScheme,
    };
    use proptest::prelude::*;

    const TOKEN: &str = "acme_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92";
    const MISTYPED: &str = "acme_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h93";

    fn strict() -> Accept {
        Accept::new(&Policy::new("acme").unwrap())
    }

    fn lenient() -> Accept {
        strict().token_as_user_name().bare_token().placeholder("__token__")
    }

    fn encoded(text: impl AsRef<[u8]>) -> String {
        format!("Basic {}", BASE64.encode(text))
    }

    fn read<'h>(
        value: &'h (impl AsRef<[u8]> + ?Sized),
        accept: &Accept,
    ) -> Result<Option<Credentials<'h>>, CredentialsError> {
        credentials([value.as_ref()], accept)
    }

    #[track_caller]
    fn gives(value: impl AsRef<[u8]>, accept: &Accept, user: Option<&str>, secret: &str) {
        let read = read(&value, accept).unwrap().unwrap();
        assert_eq!((read.user(), read.expose_secret()), (user, secret));
        let owned = read.into_owned();
        assert_eq!((owned.user(), owned.expose_secret()), (user, secret));
    }

    #[track_caller]
    fn refused(value: impl AsRef<[u8]>, accept: &Accept, expected: CredentialsError) {
        let text = String::from_utf8_lossy(value.as_ref());
        assert_eq!(read(&value, accept).err(), Some(expected), "{text:?}");
    }

    /// Also where the host takes everything.
    #[track_caller]
    fn always_refused(value: impl AsRef<[u8]>, expected: CredentialsError) {
        refused(&value, &strict(), expected);
        refused(&value, &lenient(), expected);
    }

    #[test]
    fn basic_gives_user_name_and_secret() {
        gives(encoded(format!("alice:{TOKEN}")), &strict(), Some("alice"), TOKEN);
        gives(encoded("alice:a long password"), &strict(), Some("alice"), "a long password");
        gives(encoded("acme_bot:x"), &strict(), Some("acme_bot"), "x");
    }

    #[test]
    fn bearer_and_token_give_the_secret() {
        for scheme in ["Bearer", "bearer", "BEARER", "token", "Token"] {
            gives(format!("{scheme} {TOKEN}"), &strict(), None, TOKEN);
            gives(format!("  {scheme}   {TOKEN} \t"), &strict(), None, TOKEN);
        }
        gives("Bearer az.AZ-09_~+/==", &strict(), None, "az.AZ-09_~+/==");
    }

    #[test]
    fn the_scheme_may_be_in_any_case() {
        for scheme in ["Basic", "basic", "BASIC", "bAsIc"] {
            gives(format!("{scheme} YTpi"), &strict(), Some("a"), "b");
        }
    }

    #[test]
    fn nothing_or_an_empty_header_is_no_attempt() {
        assert!(credentials([], &strict()).unwrap().is_none());
        for empty in ["", " ", " \t "] {
            assert!(read(empty, &lenient()).unwrap().is_none());
        }
    }

    #[test]
    fn the_first_colon_splits() {
        gives(encoded("alice:pass:word:"), &strict(), Some("alice"), "pass:word:");
        gives(encoded("alice:"), &strict(), Some("alice"), "");
        gives(encoded(format!("alice::{TOKEN}")), &strict(), Some("alice"), &format!(":{TOKEN}"));
    }

    #[test]
    fn an_empty_user_name_is_none() {
        gives(encoded(format!(":{TOKEN}")), &strict(), None, TOKEN);
        gives(encoded(":"), &strict(), None, "");
    }

    #[test]
    fn utf_8_and_latin_1_name_the_same_user() {
        gives(encoded("Zoë:é"), &strict(), Some("Zoë"), "é");
        gives(encoded(b"Zo\xeb:\xe9"), &strict(), Some("Zoë"), "é");
        gives(encoded("日本:x"), &strict(), Some("日本"), "x");
    }

    #[test]
    fn what_is_not_strict_base64_is_refused() {
        for bad in [
            "YTo",      // padding missing
            "YTo==",    // too much of it
            "YTo=YTo=", // within
            "=",
            "====",
            "YTp",  // cut
            "YTp=", // bits that stand for nothing
            "YT pi",
            "YT\npi",
            "YTpi,YTpi",
            "YTpi YTpi",
            "Pz8_Og==", // the alphabet for URLs
            "alice:secret",
            "\"YTpi\"",
            "YTpi\0",
            "ＹＴｐｉ",
        ] {
            always_refused(format!("Basic {bad}"), NotBase64);
        }
        always_refused(b"Basic \xff\xfe", NotBase64);
    }

    #[test]
    fn basic_without_a_colon_is_refused() {
        always_refused("Basic", NoColon);
        always_refused("Basic ", NoColon);
        always_refused(encoded("alice"), NoColon);
        always_refused(encoded(TOKEN), NoColon);
    }

    #[test]
    fn every_control_character_is_refused_in_user_name_and_password() {
        for control in (0..=0x1f).chain(0x7f..=0x9f) {
            let control = char::from(control);
            always_refused(encoded(format!("ali{control}ce:secret")), ControlCharacter);
            always_refused(encoded(format!("alice:{TOKEN}{control}")), ControlCharacter);
        }
        always_refused(encoded(b"Zo\xeb:\x80"), ControlCharacter);
        always_refused(encoded("alice:secret\n"), ControlCharacter);
    }

    #[test]
    fn bearer_with_anything_but_a_bearer_token_is_refused() {
        for bad in [
            "",
            "=",
            "==",
            "a b",
            "a,b",
            "a=b",
            "\"a\"",
            "a:b",
            "${NPM_TOKEN}",
            "acme_askga gkera",
            "a\tb",
            "é",
            "a\0",
        ] {
            always_refused(format!("Bearer {bad}"), NotBearer);
            always_refused(format!("token {bad}"), NotBearer);
        }
        always_refused("Bearer", NotBearer);
        always_refused(b"Bearer \xff", NotBearer);
    }

    #[test]
    fn several_headers_are_refused_also_where_they_are_the_same_or_empty() {
        let bearer = format!("Bearer {TOKEN}");
        for values in [[&*bearer, &*bearer], [&*bearer, "Basic YTpi"], [&*bearer, ""], ["", ""]] {
            let values = values.map(str::as_bytes);
            assert_eq!(credentials(values, &lenient()).err(), Some(SeveralHeaders));
        }
    }

    #[test]
    fn a_header_over_8_kib_is_refused_and_one_of_8_kib_is_read() {
        let longest = format!("Bearer {}", "a".repeat(MAX_HEADER - 7));
        assert!(read(&longest, &strict()).is_ok());
        always_refused(format!("{longest}a"), TooLong);
        always_refused(" ".repeat(MAX_HEADER + 1), TooLong);
        always_refused(vec![0xff; 1_000_000], TooLong);
    }

    #[test]
    fn other_schemes_are_refused() {
        for other in [
            "Digest username=\"alice\"",
            "Negotiate YIIZ",
            "Basicx YTpi",
            "Basic\tYTpi",
            "Basic:YTpi",
            "Bearer\tx",
            "Bearer,x",
            "Tokens x",
            "x",
            ":",
            "é x",
            "AWS4-HMAC-SHA256 Credential=x",
        ] {
            always_refused(other, UnsupportedScheme);
        }
        always_refused(b"\xff \xff", UnsupportedScheme);
    }

    #[test]
    fn a_bare_token_is_taken_only_where_the_host_says_so_and_only_if_it_claims_to_be_one() {
        gives(TOKEN, &lenient(), None, TOKEN);
        gives(TOKEN.to_uppercase(), &lenient(), None, &TOKEN.to_uppercase());
        gives(MISTYPED, &lenient(), None, MISTYPED);
        refused(TOKEN, &strict(), UnsupportedScheme);
        for other in [
            "password",
            "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
            &TOKEN[5..],
            &TOKEN[..15],
            &format!("\"{TOKEN}\""),
            &format!("{TOKEN} {TOKEN}"),
            &format!("Acme {TOKEN}"),
        ] {
            always_refused(other, UnsupportedScheme);
        }
    }

    #[test]
    fn a_token_as_user_name_is_refused_unless_the_host_says_otherwise() {
        for beside in ["", "x-oauth-basic", "x", TOKEN] {
            let value = encoded(format!("{TOKEN}:{beside}"));
            refused(value, &strict(), TokenAsUserName);
        }
        for beside in ["", "x-oauth-basic", TOKEN, &TOKEN.to_uppercase()] {
            gives(encoded(format!("{TOKEN}:{beside}")), &lenient(), None, TOKEN);
        }
        gives(encoded(format!("{MISTYPED}:")), &lenient(), None, MISTYPED);
        always_refused(encoded(format!("{}:", &TOKEN[5..])), TokenAsUserName);
    }

    #[test]
    fn a_token_as_user_name_stands_beside_no_password() {
        for beside in ["x", " ", "X-OAUTH-BASIC", "secret", "acme_bot"] {
            always_refused(encoded(format!("{TOKEN}:{beside}")), TokenAsUserName);
        }
    }

    #[test]
    fn two_different_tokens_are_refused() {
        let other = "acme_zzzzzzzzzz41e85krhxfcabpg2244em9e3f3p37q4h92";
        for (user, secret) in [(TOKEN, other), (TOKEN, MISTYPED), (MISTYPED, TOKEN), (other, other)]
        {
            always_refused(encoded(format!("{user}:{secret}")), TwoTokens);
        }
        always_refused(encoded(format!("{TOKEN}:{TOKEN}{TOKEN}")), TwoTokens);
    }

    #[test]
    fn what_is_nearly_a_token_is_no_user_name() {
        for nearly in [
            &TOKEN[..30],
            &TOKEN[5..],
            &TOKEN.replace('_', ""),
            &TOKEN.replace('_', "-"),
            &format!("{TOKEN}!"),
            &format!("token {TOKEN}"),
            "globex_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92",
        ] {
            refused(encoded(format!("{nearly}:")), &strict(), TokenAsUserName);
            always_refused(encoded(format!("{nearly}:x")), TokenAsUserName);
            always_refused(encoded(format!("{nearly}:{TOKEN}")), TwoTokens);
        }
    }

    #[test]
    fn a_placeholder_is_no_user_name_and_must_be_exact() {
        let value = encoded(format!("__token__:{TOKEN}"));
        gives(&value, &lenient(), None, TOKEN);
        gives(&value, &strict(), Some("__token__"), TOKEN);
        gives(encoded("__TOKEN__:x"), &lenient(), Some("__TOKEN__"), "x");
        gives(encoded("__token__ :x"), &lenient(), Some("__token__ "), "x");
    }

    #[test]
    fn debug_shows_neither_secret_nor_user_name() {
        let header = format!("Bearer {TOKEN}");
        let bearer = read(&header, &strict()).unwrap().unwrap();
        let basic = encoded("alice:hunter2");
        let basic = read(&basic, &strict()).unwrap().unwrap();
        for shown in [format!("{bearer:?}"), format!("{basic:#?}")] {
            assert_eq!(shown, "Credentials { .. }");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_sent_nothing_panics(value: Vec<u8>) {
            let _ = read(&value, &lenient());
            let basic = encoded(&value);
            let _ = read(&basic, &lenient());
        }

        #[test]
        fn no_user_name_that_comes_out_resembles_a_token(
            at in 0..TOKEN.len(), cut in 0..4_usize, insert in "[ -~é]{0,4}", secret in "[a-z]{0,3}",
        ) {
            let end = (at + cut).min(TOKEN.len());
            let user = format!("{}{insert}{}", &TOKEN[..at], &TOKEN[end..]);
            let value = encoded(format!("{user}:{secret}"));
            let user = read(&value, &lenient()).ok().flatten().and_then(|read| read.user().map(String::from));
            let telling = user.map(|user| user.chars().filter(|c| c.is_alphanumeric()).count());
            // The prefix, and less than what tells too much.
            prop_assert!(telling.is_none_or(|count| count < 4 + 20), "{value}");
        }

        #[test]
        fn basic_comes_out_as_it_went_in(user in "[^:\\p{C}]{1,20}", secret in "\\P{C}{0,40}") {
            let value = encoded(format!("{user}:{secret}"));
            let read = read(&value, &strict()).unwrap().unwrap();
            prop_assert_eq!((read.user(), read.expose_secret()), (Some(&*user), &*secret));
        }
    }
}
