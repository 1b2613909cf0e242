use super::checksum::Checksum;
use super::*;

fn acme() -> Prefix {
    Prefix::new("acme").unwrap()
}

const EXAMPLE: &str = "acme_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92";

#[test]
fn the_checksum_is_the_one_of_zlib() {
    let checksum = |text: &[u8]| text.iter().fold(Checksum::START, |sum, byte| sum.extend(*byte));
    assert_eq!(checksum(b"123456789").value(), 0xCBF4_3926);
    assert_eq!(checksum(b"").value(), 0);
    let (head, body) = EXAMPLE.as_bytes().split_at(5);
    let random = &body[..RANDOM_DIGITS];
    let whole = checksum(&[head, random].concat());
    assert_eq!(acme().checksum().with_all_random(random.iter().map(|c| digit_of(*c))), whole);
}

#[test]
fn composed_text_parses_to_the_same_parts() {
    let mut source = crate::random::tests::Counting(1);
    for prefix in ["a1", "acme", "my_app_token", "abcdefgh_1234567"] {
        let prefix = Prefix::new(prefix).unwrap();
        let secret = Secret::draw(&mut source).unwrap();
        let token = Token::compose(prefix, &secret);
        let parsed = Token::parse(token.expose_secret(), &[acme(), prefix]).unwrap();
        assert_eq!(parsed.expose_secret(), token.expose_secret());
        assert_eq!((parsed.id(), parsed.prefix()), (token.id(), prefix));
    }
}

#[test]
fn every_one_character_change_truncation_and_extension_is_refused() {
    for place in 0..EXAMPLE.len() {
        for byte in 0..=127_u8 {
            let mut changed = EXAMPLE.as_bytes().to_vec();
            let reads_as = |c| matches!(Character::of(byte), Character::Canonical(of) if of == c);
            let canonical_is_same = byte.eq_ignore_ascii_case(&changed[place])
                || (place > 4 && reads_as(changed[place]));
            let blank_at_end = place == EXAMPLE.len() - 1 && byte.is_ascii_whitespace();
            changed[place] = byte;
            let changed = String::from_utf8(changed).unwrap();
            let parsed = Token::parse(&changed, &[acme()]);
            assert_eq!(parsed.is_ok(), canonical_is_same && !blank_at_end, "{changed:?}");
            assert_short_way_agrees(&changed);
        }
    }
    for end in 0..EXAMPLE.len() {
        assert!(Token::parse(&EXAMPLE[..end], &[acme()]).is_err());
        assert!(Token::parse(&EXAMPLE[end + 1..], &[acme()]).is_err());
    }
    for more in ["0", "_", "=", "\0", "\u{a0}", "-"] {
        assert!(Token::parse(&format!("{EXAMPLE}{more}"), &[acme()]).is_err(), "{more:?}");
        assert!(Token::parse(&format!("{more}{EXAMPLE}"), &[acme()]).is_err(), "{more:?}");
    }
}

/// Asserts that the short way for canonical texts says the same as the long way for all texts.
#[track_caller]
fn assert_short_way_agrees(text: &str) {
    let parsed = Token::parse(text, &[acme()]);
    match id_in_canonical(text, &[acme()]) {
        Ok(Some(id)) => {
            let token = parsed.unwrap();
            assert_eq!((token.id(), token.expose_secret()), (id, text));
        }
        Ok(None) => assert_ne!(parsed.ok().as_ref().map(Token::expose_secret), Some(text)),
        Err(error) => assert_eq!(parsed.unwrap_err(), error),
    }
}

#[test]
fn a_canonical_text_is_read_where_it_lies() {
    assert_eq!(id_in_canonical(EXAMPLE, &[acme()]), Ok(Some("askgagkera".parse().unwrap())));
    let mistyped = EXAMPLE.replace('5', "6");
    assert_eq!(id_in_canonical(&mistyped, &[acme()]), Err(ParseError::Checksum));
    for other in [EXAMPLE.to_uppercase(), format!(" {EXAMPLE}"), EXAMPLE.replace("acme", "acm")] {
        assert_eq!(id_in_canonical(&other, &[acme()]), Ok(None), "{other:?}");
    }
}

#[test]
fn separators_are_single_and_between_characters_of_the_body() {
    let parse = |text: &str| Token::parse(text, &[acme()]).map(|token| token.id());
    assert!(parse("acme_askga-gkera 541e85krhxfcabpg2244em9e3f3p37q4h92").is_ok());
    for (text, position) in [
        ("acme_-askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92", 0),
        ("acme_askga--gkera541e85krhxfcabpg2244em9e3f3p37q4h92", 6),
        ("acme_askga- gkera541e85krhxfcabpg2244em9e3f3p37q4h92", 6),
        ("acme_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92-", 45),
    ] {
        assert_eq!(parse(text), Err(ParseError::MisplacedSeparator { position }), "{text}");
    }
    assert_eq!(
        parse("ac-me_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92"),
        Err(ParseError::UnknownPrefix)
    );
}

#[test]
fn length_is_checked_before_anything_else() {
    let padded = format!("{EXAMPLE}{}", " ".repeat(128 - EXAMPLE.len()));
    assert!(Token::parse(&padded, &[acme()]).is_ok());
    assert_eq!(Token::parse(&format!("{padded} "), &[acme()]).unwrap_err(), ParseError::TooLong);
}

#[test]
fn a_prefix_that_the_host_did_not_name_is_refused() {
    let other = Prefix::new("other").unwrap();
    assert_eq!(Token::parse(EXAMPLE, &[other]).unwrap_err(), ParseError::UnknownPrefix);
    assert_eq!(Token::parse(EXAMPLE, &[]).unwrap_err(), ParseError::UnknownPrefix);
    assert!(Token::parse_any_prefix(EXAMPLE).is_ok());
    assert!(Token::parse_any_prefix(&EXAMPLE.to_uppercase()).is_ok());
}

#[test]
fn prefixes_follow_their_pattern() {
    for good in ["ab", "a1", "a_b", "my_app_token", "abcdefgh_1234567"] {
        assert_eq!(Prefix::new(good).unwrap().as_str(), good);
    }
    for bad in ["", "a", "1a", "_a", "a_", "a__b", "Ab", "a-b", "ä1", "abcdefgh_12345678", "a b"] {
        assert_eq!(Prefix::new(bad), Err(InvalidPrefix), "{bad:?}");
    }
}

#[test]
fn ids_print_in_ten_characters_and_parse_back() {
    for number in [0, 1, 31, 32, TokenId::MAX.as_u64()] {
        let id = TokenId::from_u64(number).unwrap();
        assert_eq!(id.to_string().len(), 10);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().to_uppercase().parse(), Ok(id));
    }
    assert_eq!(TokenId::MAX.to_string(), "zzzzzzzzzz");
    assert!(TokenId::from_u64(1 << 50).is_err());
    for bad in ["", "000000000", "00000000000", "000000000u", "00000-0000", "äaaaaaaaa"] {
        assert!(bad.parse::<TokenId>().is_err(), "{bad:?}");
    }
}

#[test]
fn debug_shows_prefix_and_id_and_nothing_of_the_secret() {
    let token = Token::parse(EXAMPLE, &[acme()]).unwrap();
    assert_eq!(format!("{token:?}"), "Token(acme_askgagkera…)");
}
