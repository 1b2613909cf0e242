use super::*;
use CredentialsError::{
    ControlCharacter, NoColon, NotBase64, NotBearer, SeveralHeaders, TokenAsUserName,
    TokenInOtherScheme, TooLong, TwoTokens, UnsupportedScheme,
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

/// This holds even if the host accepts every way.
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
        always_refused(encoded(format!("alice{control}:secret")), ControlCharacter);
        always_refused(
            encoded(format!("alice:{}{control}{}", &TOKEN[..9], &TOKEN[9..])),
            ControlCharacter,
        );
        if !control.is_ascii_whitespace() {
            always_refused(encoded(format!("alice:{TOKEN}{control}")), ControlCharacter);
        }
    }
    always_refused(encoded(b"Zo\xeb:\x80"), ControlCharacter);
}

#[test]
fn white_space_around_a_secret_is_no_control_character_and_a_password_comes_out_as_sent() {
    for space in ["\n", "\r\n", "\t", " \r\n", "\n\n", "\x0c"] {
        for secret in [TOKEN, "hunter2", ""] {
            for sent in [format!("{secret}{space}"), format!("{space}{secret}{space}")] {
                gives(encoded(format!("alice:{sent}")), &strict(), Some("alice"), &sent);
                gives(encoded(format!(":{sent}")), &strict(), None, &sent);
            }
        }
        for beside in ["", "x-oauth-basic", TOKEN] {
            let (sent, beside) = (format!("{TOKEN}{space}"), format!("{beside}{space}"));
            gives(encoded(format!("{sent}:{beside}")), &lenient(), None, &sent);
            refused(encoded(format!("{sent}:{beside}")), &strict(), TokenAsUserName);
        }
    }
}

#[test]
fn a_bar_may_be_in_a_bearer_token_as_laravel_sanctum_s_have_one() {
    for scheme in ["Bearer", "token"] {
        let value = format!("{scheme} 17|qpJOIVKjLh9Yd0gMbTnE4sXwZ1aRkUc2fWv8tNyD");
        let read = credentials([value.as_bytes()], &lenient()).unwrap().unwrap();
        assert_eq!(read.user(), None);
        assert_eq!(read.expose_secret(), "17|qpJOIVKjLh9Yd0gMbTnE4sXwZ1aRkUc2fWv8tNyD");
    }
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
fn a_foreign_scheme_is_innocent_unless_a_token_stands_behind_it() {
    for innocent in [
        "NTLM TlRMTVNTUAABAAAAB4IIogAAAAAAAAAAAAAAAAAAAAAGAbEdAAAADw==",
        "Digest username=\"acme_bot\", response=\"6629fae49393a05397450978507c4ef1\"",
        "Digest response=\"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1\"",
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request",
        "ApiKey ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    ] {
        always_refused(innocent, UnsupportedScheme);
    }
    // Every mistyped token that is denied as a password is also found here.
    for at in 5..TOKEN.len() {
        for wrong in ["", "u", "!", "é", "_"] {
            let mistyped = format!("ApiKey {}{wrong}{}", &TOKEN[..at], &TOKEN[at + 1..]);
            always_refused(mistyped, TokenInOtherScheme);
        }
    }
}

#[test]
fn a_bare_token_is_taken_only_where_the_host_says_so_and_only_if_it_claims_to_be_one() {
    gives(TOKEN, &lenient(), None, TOKEN);
    gives(TOKEN.to_uppercase(), &lenient(), None, &TOKEN.to_uppercase());
    gives(MISTYPED, &lenient(), None, MISTYPED);
    refused(TOKEN, &strict(), TokenInOtherScheme);
    for other in ["password", "ghp_16C7e42F292c6912E7710c838347Ae178B4a", &TOKEN[5..], &TOKEN[..15]]
    {
        always_refused(other, UnsupportedScheme);
    }
    for other in [&format!("\"{TOKEN}\""), &format!("{TOKEN} {TOKEN}"), &format!("Acme {TOKEN}")] {
        always_refused(other, TokenInOtherScheme);
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
    for beside in ["x", "X-OAUTH-BASIC", "secret", "acme_bot"] {
        always_refused(encoded(format!("{TOKEN}:{beside}")), TokenAsUserName);
    }
}

#[test]
fn two_different_tokens_are_refused() {
    let other = "acme_zzzzzzzzzz41e85krhxfcabpg2244em9e3f3p37q4h92";
    for (user, secret) in [(TOKEN, other), (TOKEN, MISTYPED), (MISTYPED, TOKEN), (other, other)] {
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
fn a_header_that_ends_within_an_escape_is_read_like_any_other() {
    for cut in ["\\u{1b", "\\u{5f", "\\u{", "&#x99999999999;"] {
        let letters = "a1".repeat(30);
        always_refused(format!("X {letters}{cut}"), UnsupportedScheme);
        let user = format!("{}{cut}", &letters[..42]);
        always_refused(encoded(format!("{user}:a password")), TokenAsUserName);
    }
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
    fn whatever_is_sent_nothing_panics(
        value: Vec<u8>, scheme in prop::sample::select(&["", "X ", "Basic ", "Bearer "]),
        letters in "[a-z0-9]{0,60}",
        cut in prop::sample::select(&["", "\\u{1b", "\\u{5f", "&#99999999999;", "%1b", "\\x1"]),
    ) {
        let value = [scheme.as_bytes(), &value, letters.as_bytes(), cut.as_bytes()].concat();
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
        let read = read(&value, &lenient()).ok().flatten();
        let user = read.and_then(|read| read.user().map(String::from));
        let telling = user.map(|user| user.chars().filter(char::is_ascii_alphanumeric).count());
        // The prefix, with too few characters to show more than the public id.
        prop_assert!(telling.is_none_or(|count| count < 4 + 20), "{value}");
    }

    #[test]
    fn no_user_name_that_comes_out_holds_a_token(
        before in "[a-z.@]{0,80}", after in "[a-z.@]{0,80}",
        skip in prop::sample::select(&[0, 5][..]), encodings in 0..3,
        is_upper: bool, junk in "[^a-zA-Z0-9:\\p{C}]{0,2}", at in 6..TOKEN.len(),
    ) {
        let token = format!("{}{junk}{}", &TOKEN[skip..at], &TOKEN[at..]);
        let token = if is_upper { token.to_uppercase() } else { token };
        let inner = (0..encodings).fold(token, |text, _| BASE64.encode(text));
        let value = encoded(format!("{before}{inner}{after}:x"));
        prop_assert!(read(&value, &lenient()).is_err(), "{before} {inner} {after}");
    }

    #[test]
    fn basic_comes_out_as_it_went_in(user in "[^:\\p{C}]{1,20}", secret in "\\P{C}{0,40}") {
        let value = encoded(format!("{user}:{secret}"));
        let read = read(&value, &strict()).unwrap().unwrap();
        prop_assert_eq!((read.user(), read.expose_secret()), (Some(&*user), &*secret));
    }
}
