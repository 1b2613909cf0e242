//! Arbitrary bytes as what an old system kept, and arbitrary texts as what is presented.

use app_tokens::Owner;
use app_tokens::import::{
    Argon2, Bcrypt, Blake3, Foreign, ForeignSecret, ForeignText, Forgejo, Jwt, Lookup, Pbkdf2,
    Plain, Sha256, Sha512, Uuid,
};
use proptest::prelude::*;

fn schemes() -> Vec<Box<dyn Foreign>> {
    vec![
        Box::new(Argon2::by_owner()),
        Box::new(Bcrypt::by_owner()),
        Box::new(Blake3::of_unknown_strength()),
        Box::new(Blake3::with_at_least_112_bits().keyed(&[7; 32])),
        Box::new(Forgejo::new()),
        Box::new(Jwt::danger_with_any_key("key")),
        Box::new(Pbkdf2::by_owner()),
        Box::new(Plain::of_unknown_strength()),
        Box::new(Sha256::of_unknown_strength()),
        Box::new(Sha256::of_sanctum()),
        Box::new(Sha512::of_nextcloud("secret")),
        Box::new(Uuid::v4()),
    ]
}

/// Draws numbers near the bounds, of which each valid hash is cheap.
fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("1".to_owned()),
        Just("8".to_owned()),
        Just("04".to_owned()),
        Just("4294967295".to_owned()),
        Just("18446744073709551616".to_owned()),
        "[0-9+-]{0,3}",
    ]
}

/// Draws texts that look like hashes of the PHC string format.
fn almost_a_hash() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        Just("argon2id$v=19"),
        Just("argon2i$v=16"),
        Just("pbkdf2-sha256"),
        Just("pbkdf2-sha512"),
        Just("2a"),
        Just("2y"),
        Just("2x"),
        Just(""),
    ];
    let base64 = "[A-Za-z0-9+/.=]{0,90}";
    (name, number(), number(), number(), base64, base64, 0..5_u8).prop_map(
        |(name, m, t, p, salt, hash, form)| match form {
            0 => format!("${name}$m={m},t={t},p={p}${salt}${hash}"),
            1 => format!("${name}$i={m},l={t}${salt}${hash}"),
            2 => format!("${name}${m}${salt}${hash}"),
            3 => format!("${name}${m}${salt}{hash}"),
            _ => format!("${name}$m={m},t={t},p={p}${salt}${hash}$"),
        },
    )
}

fn check(kept: &[u8], text: &str) {
    let owner = Owner::new("alice").unwrap();
    for scheme in schemes() {
        // Any bytes of this length are a hash of Forgejo's, and none is cheap.
        if scheme.name() == "forgejo"
            && (51..=114).contains(&kept.len())
            && !kept.len().is_multiple_of(16)
        {
            continue;
        }
        // Whatever the answer, there is one.
        let matches = scheme.verify(kept, text);
        assert_ne!(matches, Ok(true), "{} {kept:?} {text:?}", scheme.name());
        for owner in [None, Some(&owner)] {
            let lookups = scheme.lookups(&ForeignText::new(text, owner));
            assert!(lookups.len() <= 2, "{}", scheme.name());
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_a_scheme_panic_or_match_a_text(
        kept in proptest::collection::vec(any::<u8>(), 0..=470), text in "\\PC{0,100}"
    ) {
        check(&kept, &text);
    }

    #[test]
    fn nothing_that_looks_like_a_hash_makes_a_scheme_panic_or_match_a_text(
        kept in almost_a_hash(), text in "[a-f0-9.-]{0,45}"
    ) {
        check(kept.as_bytes(), &text);
    }

    #[test]
    fn no_text_makes_an_import_panic(text in "\\PC{0,200}", other in "[0-9a-f$=.|-]{0,150}") {
        let owner = Owner::new("alice").unwrap();
        for text in [&text, &other] {
            let secrets = [
                Argon2::by_owner().secret(text, &owner),
                Bcrypt::by_owner().secret(text, &owner),
                Blake3::of_unknown_strength().secret(text),
                Forgejo::new().secret(text, text, text),
                Jwt::danger_with_any_key("key").secret(text),
                Jwt::danger_with_any_key("key").secret_of_hash(text),
                Pbkdf2::by_owner().secret(text, &owner),
                Sha256::of_unknown_strength().secret(text),
                Sha512::of_nextcloud("").secret(text),
                Uuid::v4().secret(text),
                ForeignSecret::hash(&Uuid::v4(), Lookup::exact(text), text),
            ];
            drop(secrets);
            Plain::of_unknown_strength().secret(text).ok();
        }
    }
}
