//! The token text, against vectors that an independent program made.

use app_tokens::record::Digest;
use app_tokens::token::{Prefix, Token};
use serde_json::Value;

fn vectors(kind: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("vectors/tokens.json")).unwrap();
    all[kind].as_array().unwrap().clone()
}

/// Returns every prefix of the vectors, as a host would accept them.
fn prefixes() -> Vec<Prefix> {
    let valid = vectors("valid");
    valid.iter().map(|v| Prefix::new(v["prefix"].as_str().unwrap()).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn every_valid_text_has_the_parts_and_the_digest_of_its_vector() {
    let prefixes = prefixes();
    for vector in vectors("valid") {
        let text = vector["text"].as_str().unwrap();
        for presented in [text, vector["grouped"].as_str().unwrap()] {
            let token = Token::parse(presented, &prefixes).unwrap();
            assert_eq!(token.expose_secret(), text);
            assert_eq!(token.prefix().as_str(), vector["prefix"]);
            assert_eq!(token.id().as_u64(), vector["id"].as_u64().unwrap());
            assert_eq!(token.id().to_string(), vector["id_text"].as_str().unwrap());
            assert_eq!(hex(&Digest::of(&token).to_bytes()[1..]), vector["digest_sha256"]);
            assert!(text.contains(vector["secret_text"].as_str().unwrap()));
        }
    }
    assert_eq!(vectors("valid").len(), 24);
}

#[test]
fn every_variant_is_the_canonical_text_of_its_vector() {
    let prefixes = prefixes();
    for vector in vectors("variants") {
        let token = Token::parse(vector["presented"].as_str().unwrap(), &prefixes);
        let token = token.unwrap_or_else(|error| panic!("{}: {error}", vector["why"]));
        assert_eq!(token.expose_secret(), vector["canonical"]);
    }
    assert_eq!(vectors("variants").len(), 60);
}

#[test]
fn every_invalid_text_is_refused_with_a_reason_that_does_not_repeat_it() {
    let prefixes = prefixes();
    for vector in vectors("invalid") {
        let presented = vector["presented"].as_str().unwrap();
        for parsed in [Token::parse(presented, &prefixes), Token::parse_any_prefix(presented)] {
            let Err(error) = parsed else { panic!("accepted: {}", vector["why"]) };
            assert!(error.to_string().starts_with("the token"), "{error}");
            for text in [error.to_string(), format!("{error:?}")] {
                let echoes = presented.as_bytes().windows(6).any(|part| {
                    part.iter().any(u8::is_ascii_digit)
                        && text.contains(&*String::from_utf8_lossy(part))
                });
                assert!(!echoes, "{text}");
            }
        }
    }
    assert_eq!(vectors("invalid").len(), 180);
}
