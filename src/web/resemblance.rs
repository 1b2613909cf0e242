//! Whether a text that is no token was meant to be one. Then no log, account look-up or password
//! check may see it.

use crate::token::{ParseError, Prefix, Token};

/// From so many letters and digits after a prefix on, a text shows more than the public id. An
/// account named `acme_backup_operator` has fewer.
const TELLING: usize = 20;

/// Returns whether a secret claims to be a token.
///
/// It does if it has an accepted prefix at its start, or after a space, quote or the like, followed
/// by `_` and at least 20 letters or digits, with anything between them. It also does if it has the
/// whole form of a token with another prefix.
pub(crate) fn claims_to_be_a_token(text: &str, accepted: &[Prefix]) -> bool {
    // A long Bearer token of another service has no such boundaries, and may contain a short prefix
    // by chance.
    let at_a_boundary = |before: &[u8]| before.last().is_none_or(|c| !is_b64token_byte(*c));
    has_prefix_and_more(text, accepted, at_a_boundary)
        || matches!(Token::parse_any_prefix(text), Ok(_) | Err(ParseError::Checksum))
}

/// Returns whether a user name resembles a token. This is wider than [`claims_to_be_a_token`].
///
/// Here a prefix may stand anywhere. A text also resembles a token if it is about as long and looks
/// as random, with or without a prefix. No e-mail address, UUID or hexadecimal SHA-1 or SHA-256
/// does.
pub(crate) fn resembles_a_token(text: &str, accepted: &[Prefix]) -> bool {
    let strange = |c: char| !c.is_alphanumeric() && !matches!(c, ' ' | '-' | '_');
    let but_for_one_character = text.chars().filter(|c| strange(*c)).count() <= 1;
    (but_for_one_character && is_long_and_random(text))
        || text.split(strange).any(is_long_and_random)
        || has_prefix_and_more(text, accepted, |_| true)
        || claims_to_be_a_token(text, accepted)
}

/// Returns whether a text has 42 to 63 letters and digits, at least one digit among them.
///
/// A token has 45 after its prefix, and only one in twenty million has no digit.
fn is_long_and_random(text: &str) -> bool {
    let digits = || text.chars().filter(|c| c.is_alphanumeric());
    (42..=63).contains(&digits().count()) && digits().any(|c| c.is_ascii_digit())
}

/// RFC 6750, 2.1: the characters of a Bearer token, apart from its padding.
pub(crate) fn is_b64token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte)
}

fn has_prefix_and_more(text: &str, accepted: &[Prefix], fits: impl Fn(&[u8]) -> bool) -> bool {
    text.match_indices('_').any(|(at, _)| {
        let head = &text.as_bytes()[..at];
        let before = |prefix: &Prefix| strip_suffix_ignoring_case(head, prefix.as_str());
        let digits = text[at..].chars().filter(|c| c.is_alphanumeric());
        accepted.iter().filter_map(before).any(&fits) && digits.take(TELLING).count() == TELLING
    })
}

fn strip_suffix_ignoring_case<'t>(text: &'t [u8], suffix: &str) -> Option<&'t [u8]> {
    let (head, tail) = text.split_at_checked(text.len().checked_sub(suffix.len())?)?;
    tail.eq_ignore_ascii_case(suffix.as_bytes()).then_some(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "acme_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92";

    fn acme() -> Vec<Prefix> {
        vec![Prefix::new("acme").unwrap()]
    }

    #[track_caller]
    fn claims(text: &str) {
        assert!(claims_to_be_a_token(text, &acme()), "{text}");
        assert!(resembles_a_token(text, &acme()), "{text}");
    }

    #[track_caller]
    fn resembles(text: &str) {
        assert!(resembles_a_token(text, &acme()), "{text}");
    }

    #[track_caller]
    fn is_innocent(text: &str) {
        assert!(!resembles_a_token(text, &acme()), "{text}");
    }

    #[test]
    fn every_one_character_change_of_a_token_claims_to_be_one_or_resembles_one() {
        for at in 0..TOKEN.len() {
            for wrong in ["", "!", "u", "0", "A", "_", "é", "  "] {
                let mistyped = format!("{}{wrong}{}", &TOKEN[..at], &TOKEN[at + 1..]);
                if at > 4 {
                    claims(&mistyped);
                } else {
                    resembles(&mistyped);
                }
            }
        }
    }

    #[test]
    fn every_cut_that_leaves_much_of_the_secret_claims_to_be_a_token() {
        for length in 25..=TOKEN.len() {
            claims(&TOKEN[..length]);
        }
        is_innocent(&TOKEN[..24]);
        claims(&format!("{TOKEN}{TOKEN}"));
    }

    #[test]
    fn dressed_up_tokens_claim_to_be_tokens() {
        claims(&TOKEN.to_uppercase());
        claims(&TOKEN.to_uppercase()[..30]);
        claims(&format!("\"{TOKEN}\""));
        claims(&format!("DOMAIN\\{TOKEN}"));
        claims(&format!("token {TOKEN}@example.com"));
        claims(&TOKEN.replace('_', "_ "));
        let digits: Vec<char> = TOKEN[5..].chars().collect();
        let groups: Vec<String> = digits.chunks(5).map(String::from_iter).collect();
        claims(&format!("acme_{}", groups.join("-")));
        claims(&format!("acme_{}", groups.join(" . ")));
        claims("globex_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92");
    }

    #[test]
    fn a_token_without_its_prefix_resembles_one() {
        resembles(&TOKEN[5..]);
        resembles(&TOKEN[5..].to_uppercase());
        resembles(&TOKEN.replace('_', ""));
        resembles(&TOKEN.replace('_', "-"));
        resembles(&TOKEN.replace('_', "\u{ff3f}"));
        resembles(&TOKEN[8..]);
    }

    #[test]
    fn names_of_people_and_machines_are_innocent() {
        for name in [
            "",
            "_",
            "alice",
            "acme",
            "acme_",
            "acme_bot",
            "acme_backup_operator",
            "acme_monitoring_2024",
            "Zoë Müller",
            "alice@example.com",
            "firstname.lastname-with-more2@department.example-company.com",
            "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d",
            "da39a3ee5e6b4b0d3255bfef95601890afd80709",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "system:serviceaccount:production:continuous-delivery",
            "the quick brown fox jumps over the lazy dog again",
            "__token__",
        ] {
            is_innocent(name);
        }
    }

    #[test]
    fn a_password_or_a_token_of_others_does_not_claim_to_be_one_of_ours() {
        let generated = "kJ8dPq2mXw7Rn4Lt9Vb3Hy6Zc1Gf5Ss0Aa8Dd2Ee7Kk4Mm9";
        assert!(!claims_to_be_a_token(generated, &acme()));
        let of_others =
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJacme_kJ8dPq2mXw7Rn4Lt9Vb3Hy6Zc1Gf5Ss0Aa8Dd.2Ee7Kk4Mm9";
        assert!(!claims_to_be_a_token(of_others, &acme()));
        assert!(!claims_to_be_a_token("acme_rules-the-world", &acme()));
        assert!(!claims_to_be_a_token("correct_horse_battery_staple_and_some_more", &acme()));
    }
}
