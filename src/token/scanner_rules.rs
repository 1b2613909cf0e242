//! Rules by which secret scanners find tokens: [`ScannerRules`].

use super::{CHECKSUM_DIGITS, Prefix};
use crate::random::RANDOM_DIGITS;

/// What may stand before a token: anything but a letter, a digit or `_`, or an escape that ends in
/// one. The escapes are those of URLs, JSON, C and terminals: `%3A`, `\n`, `\u003a`, `\x3a`, `[0m`.
///
/// Without the escapes, the token in `https://alice%3Aacme_…` would be part of a longer word.
const BEFORE: &str =
    concat!("^|[^0-9a-z_]|%[0-9a-f]{2}|", r"\\(?:[bfnrtv]|u[0-9a-f]{4}|x[0-9a-f]{2})|\[[0-9;]*m");
/// A character of the body, also as it is typed: `o` for `0`, `i` and `l` for `1`. Never `u`.
const IN_BODY: &str = "[0-9a-tv-z]";
/// The first character of the checksum, whose 32 bits have 35 to lie in.
const IN_CHECKSUM_FIRST: &str = "[0-3oil]";

/// Rules by which secret scanners find tokens with these prefixes.
///
/// Give them to your own scanners, and to those that look through public code. The policy's
/// [`accepted_prefixes`](crate::Policy::accepted_prefixes) are the prefixes to take, since tokens
/// with a former one are valid, too.
///
/// ```
/// use app_tokens::token::ScannerRules;
/// let policy = app_tokens::Policy::new("acme")?;
/// let rules = ScannerRules::new(policy.accepted_prefixes());
/// std::fs::write(std::env::temp_dir().join("gitleaks.toml"), rules.gitleaks())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # What the rules find
///
/// A token in one piece, in either letter case and with look-alikes such as `o` for `0`. A token
/// within a longer word is not found: another service may have the prefix `my_acme`. No rule needs
/// entropy, as the form is narrow enough.
///
/// The rules don't find a token that is encoded, wrapped, or typed in groups. Pass a text that may
/// have such tokens to [`revoke_leaked`](crate::TokenAuthority::revoke_leaked).
///
/// # The checksum
///
/// The last seven characters are a checksum over all that stands before them, prefix and `_`
/// included. It is the CRC-32 of zlib, over the token in lower case and with look-alikes replaced.
/// It is written in Crockford's base 32, most significant digit first.
///
/// A scanner's rule can't compute it. So one text of the right form may be no token. Anyone
/// who receives a scanner's report can: call [`Token::parse`](super::Token::parse), which needs no
/// store. `revoke_leaked` parses, too, and revokes what is a token.
#[derive(Clone, Copy, Debug)]
pub struct ScannerRules<'p> {
    prefixes: &'p [Prefix],
}

impl<'p> ScannerRules<'p> {
    /// Makes rules for tokens with these prefixes.
    pub fn new(prefixes: &'p [Prefix]) -> ScannerRules<'p> {
        ScannerRules { prefixes }
    }

    /// Returns one regular expression a line, one for each prefix. The token is its first group.
    ///
    /// RE2, Go, Rust, PCRE, Python and Java read it. It needs no flags and no look-around.
    pub fn regex(&self) -> String {
        self.prefixes.iter().map(|prefix| regex(*prefix) + "\n").collect()
    }

    /// Returns a rule of gitleaks for each prefix, as tables for the end of a `.gitleaks.toml`.
    ///
    /// A file with only these rules turns off those that gitleaks has itself. Begin it with
    /// `[extend]` and `useDefault = true` to keep them.
    pub fn gitleaks(&self) -> String {
        let rule = |prefix: &Prefix| {
            // An id has hyphens in gitleaks' own rules. Keywords are compared in lower case.
            let id = prefix.as_str().replace('_', "-");
            let regex = regex(*prefix);
            format!(
                "[[rules]]\n\
                 id = \"{id}-app-token\"\n\
                 description = \"An app token of {prefix}: it signs in as its owner\"\n\
                 regex = '''{regex}'''\n\
                 secretGroup = 1\n\
                 keywords = [\"{prefix}_\"]\n"
            )
        };
        self.prefixes.iter().map(rule).collect::<Vec<_>>().join("\n")
    }

    /// Returns the configuration of `@secretlint/secretlint-rule-pattern`, as a whole
    /// `.secretlintrc.json`.
    pub fn secretlint(&self) -> String {
        let pattern = |prefix: &Prefix| {
            // Secretlint reports the whole match and knows no groups, so what stands before the
            // token is looked at and not matched. It masks the name in the token first: a name that
            // were the prefix alone would leave the rest of the token unmasked.
            let pattern = format!("/(?<={BEFORE}){}/i", token(*prefix)).replace('\\', r"\\");
            format!(
                "          {{\n            \"name\": \"app token of {prefix}\",\n            \
                 \"patterns\": [\"{pattern}\"]\n          }}"
            )
        };
        let patterns = self.prefixes.iter().map(pattern).collect::<Vec<_>>().join(",\n");
        format!(
            r#"{{
  "rules": [
    {{
      "id": "@secretlint/secretlint-rule-pattern",
      "options": {{
        "patterns": [
{patterns}
        ]
      }}
    }}
  ]
}}
"#
        )
    }
}

/// Returns the expression for RE2, which has no look-around. The token is its first group.
fn regex(prefix: Prefix) -> String {
    format!("(?i)(?:{BEFORE})({})", token(prefix))
}

/// Returns the expression for the token itself, in any letter case.
fn token(prefix: Prefix) -> String {
    let rest = CHECKSUM_DIGITS - 1;
    // The boundary takes no character. So a token is found that is one character behind another.
    format!(r"{prefix}_{IN_BODY}{{{RANDOM_DIGITS}}}{IN_CHECKSUM_FIRST}{IN_BODY}{{{rest}}}\b")
}

#[cfg(test)]
mod tests {
    use super::super::Token;
    use super::*;

    #[test]
    fn a_class_has_exactly_the_characters_that_a_body_may_have() {
        for byte in 0..=127_u8 {
            let is_in_class = byte.is_ascii_alphanumeric() && !byte.eq_ignore_ascii_case(&b'u');
            assert_eq!(is_in_class, Token::is_in_body(byte), "{byte}");
            let is_small = matches!(Token::canonical_character(byte), b'0'..=b'3');
            let is_first = (b'0'..=b'3').contains(&byte) || b"oilOIL".contains(&byte);
            assert_eq!(is_small, is_first, "{byte}");
        }
    }

    #[test]
    fn rules_are_these_texts() {
        let prefixes = ["acme", "my_app2"].map(|text| Prefix::new(text).unwrap());
        let rules = ScannerRules::new(&prefixes);
        let before = concat!(
            "(?:^|[^0-9a-z_]|%[0-9a-f]{2}|",
            r"\\(?:[bfnrtv]|u[0-9a-f]{4}|x[0-9a-f]{2})|\[[0-9;]*m)"
        );
        let body = r"[0-9a-tv-z]{38}[0-3oil][0-9a-tv-z]{6}\b";
        let [first, second] =
            ["acme", "my_app2"].map(|prefix| format!("(?i){before}({prefix}_{body})"));
        assert_eq!(rules.regex(), format!("{first}\n{second}\n"));
        let gitleaks = rules.gitleaks();
        assert!(gitleaks.contains(&format!("\nregex = '''{second}'''\n")), "{gitleaks}");
        assert!(gitleaks.contains("\nid = \"my-app2-app-token\"\n"), "{gitleaks}");
        assert!(gitleaks.contains("\nkeywords = [\"my_app2_\"]\n"), "{gitleaks}");
        let secretlint: serde_json::Value = serde_json::from_str(&rules.secretlint()).unwrap();
        let patterns = &secretlint["rules"][0]["options"]["patterns"];
        assert_eq!(patterns[1]["name"], "app token of my_app2");
        let look_behind = before.replace("(?:^", "(?<=^");
        assert_eq!(patterns[0]["patterns"][0], format!("/{look_behind}acme_{body}/i"));
    }

    #[test]
    fn no_prefix_makes_no_rule() {
        let rules = ScannerRules::new(&[]);
        assert_eq!((rules.regex(), rules.gitleaks()), (String::new(), String::new()));
        let secretlint: serde_json::Value = serde_json::from_str(&rules.secretlint()).unwrap();
        assert_eq!(secretlint["rules"][0]["options"]["patterns"], serde_json::json!([]));
    }
}
