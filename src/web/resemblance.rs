//! Whether a text that is no token was meant to be one, so that no log, directory or password check may see it.

use crate::token::{ParseError, Prefix, Token};

/// With so many letters and digits after a prefix more than the public id is given away. An account named
/// `acme_backup_operator` stays below it.
const TELLING: usize = 20;

/// Whether a text claims to be a token: an accepted prefix and `_`, wherever, then 20 letters or digits or more, whatever stands
/// between them; or the whole form of a token under another prefix.
pub(crate) fn claims_to_be_a_token(text: &str, accepted: &[Prefix]) -> bool {
    let tells_much = |body: &str| body.chars().filter(|c| c.is_alphanumeric()).nth(TELLING - 1);
    let after_a_prefix = text.match_indices('_').any(|(at, _)| {
        let head = &text.as_bytes()[..at];
        let is_prefix = |prefix: &Prefix| ends_with_ignoring_case(head, prefix.as_str());
        accepted.iter().any(is_prefix) && tells_much(&text[at..]).is_some()
    });
    after_a_prefix || matches!(Token::parse_any_prefix(text), Ok(_) | Err(ParseError::Checksum))
}

/// The same, more widely, for a user name: also what is about as long as a token, with or without its prefix, and looks as
/// random. No address, UUID or hexadecimal SHA-1 or SHA-256 does.
pub(crate) fn resembles_a_token(text: &str, accepted: &[Prefix]) -> bool {
    let compact = || text.chars().filter(|c| !matches!(c, ' ' | '-' | '_'));
    let strange = compact().filter(|c| !c.is_alphanumeric()).count();
    let has_a_digit = compact().any(|c| c.is_ascii_digit());
    let length_fits = (42..=63).contains(&compact().count());
    length_fits && has_a_digit && strange <= 1 || claims_to_be_a_token(text, accepted)
}

fn ends_with_ignoring_case(text: &[u8], end: &str) -> bool {
    let start = text.len().checked_sub(end.len());
    start.is_some_and(|start| text[start..].eq_ignore_ascii_case(end.as_bytes()))
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
                resembles(&mistyped);
                if at > 4 {
                    claims(&mistyped);
                }
            }
        }
    }

    #[test]
    fn every_cut_that_leaves_much_of_the_secret_claims_to_be_a_token() {
        for length in 5 + TELLING..=TOKEN.len() {
            claims(&TOKEN[..length]);
        }
        claims(&format!("{TOKEN}{TOKEN}"));
    }

    #[test]
    fn dressed_up_tokens_claim_to_be_tokens() {
        claims(&TOKEN.to_uppercase());
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
    fn a_long_password_is_not_taken_for_a_token() {
        let generated = "kJ8dPq2mXw7Rn4Lt9Vb3Hy6Zc1Gf5Ss0Aa8Dd2Ee7Kk4Mm9";
        assert!(!claims_to_be_a_token(generated, &acme()));
        assert!(!claims_to_be_a_token("correct_horse_battery_staple_and_some_more", &acme()));
    }
}
