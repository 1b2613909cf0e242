//! Which texts a scheme looks up at all, and what else it asks for.

use app_tokens::error::{AuthError, DenialReason};
use app_tokens::import::{
    Argon2, Bcrypt, Foreign, ForeignText, ForeignToken, Forgejo, Import, InvalidSigningKey, Jwt,
    OnlyTexts, Pbkdf2, Sha256, Uuid,
};
use app_tokens::record::Expires;
use app_tokens::store::MemoryStore;
use app_tokens::{Access, Owner, Timestamp};
use serde_json::Value;
use sha2::Digest as _;
use support::postgres::RUNTIME;

use crate::life::{Host, operator};

const DOCUMENTED_KEY: &str = "PleaseUseYourOwnSigningKeyHere";
/// Signed by HS256 under the key `another signing key of thirty-two bytes`, by another program.
const SIGNED: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiAiUG93ZXJTaGVsbFVuaXZlcnNhbCIsICJoYXNoIjogImIyZThjODA5LTIxNDUtNDY4YS1iODUxLWI1NDI1YWQ4Mzk0NiJ9.l8cIM7_hV539m32q0DqUk9ABbF-Y1NkM7Lb4QN-QYCY";

fn looks_up(scheme: &impl Foreign, text: &str) -> bool {
    let owner = Owner::new("alice").unwrap();
    !scheme.lookups(&ForeignText::new(text, Some(&owner))).is_empty()
}

fn samples() -> Vec<String> {
    let file: Value = serde_json::from_str(include_str!("../vectors/interop.json")).unwrap();
    let rows = file["powershell_universal"]["rows"].as_array().unwrap().iter();
    rows.map(|row| row["token"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn forgejo_looks_up_forty_lower_case_hexadecimal_digits_only() {
    let text = "d2c6c1ba3890b309189a8e618c72a162e4efbf36";
    assert!(looks_up(&Forgejo::new(), text));
    let others = [
        "",
        &text[1..],
        &format!("{text}0"),
        &text.to_uppercase(),
        &format!(" {}", &text[1..]),
        &format!("{}g", &text[1..]),
        &format!("{}\u{e9}", &text[2..]),
        "x-oauth-basic",
        "password",
    ];
    for other in others {
        assert!(!looks_up(&Forgejo::new(), other), "{other}");
    }
}

#[test]
fn a_uuid_is_of_version_4_with_hyphens_and_compared_exactly() {
    let text = "4b0f2a8e-6c1d-4f57-9a3e-2d8b7c5e1f90";
    for good in [text, &text.to_uppercase(), &text.replace("-9a", "-ba"), &text.replace('9', "8")] {
        assert!(looks_up(&Uuid::v4(), good) && Uuid::v4().secret(good).is_ok(), "{good}");
    }
    let others = [
        "",
        &text[1..],
        &format!("{text}0"),
        &text.replace('-', ""),
        &format!("{{{text}}}"),
        &text.replace("-4f", "-1f"),
        &text.replace("-4f", "-7f"),
        &text.replace("-9a", "-ca"),
        &text.replace("-9a", "-7a"),
        &text.replace("4b0f", "4b0g"),
        &format!("urn:uuid:{text}"),
        "00000000-0000-0000-0000-000000000000",
        &text.replace('8', "\u{e9}"),
        &format!("{}\u{e9}", &text[..34]),
    ];
    for other in others {
        assert!(!looks_up(&Uuid::v4(), other) && Uuid::v4().secret(other).is_err(), "{other}");
    }
}

#[test]
fn bcrypt_never_takes_the_beginning_of_a_text_for_the_text() {
    let longest = "x".repeat(72);
    let hash = b"$2b$05$abcdefghijklmnopqrstuujf8SX2ahXLwp9w/B.Y5XdysS6yR576q";
    assert!(looks_up(&Bcrypt::by_owner(), &longest));
    assert_eq!(Bcrypt::by_owner().verify(hash, &longest), Ok(true));
    for other in ["x".repeat(73), format!("{longest}{longest}"), "pass\0word".to_owned()] {
        assert!(!looks_up(&Bcrypt::by_owner(), &other));
        assert_eq!(Bcrypt::by_owner().verify(hash, &other), Ok(false));
    }
}

#[test]
fn a_scheme_that_is_limited_to_some_texts_is_the_same_for_those() {
    let is_diceware = |text: &str| text.split(' ').count() == 6;
    assert_alike(&Argon2::by_owner());
    assert_alike(&Sha256::of_sanctum());
    assert_alike(&Sha256::of_unknown_strength());
    assert_alike(&Forgejo::new());
    let limited = OnlyTexts::of(Argon2::by_owner(), is_diceware);
    assert!(looks_up(&limited, "unwired gusty overlap crayon siesta trifle"));
    assert!(!looks_up(&limited, "unwired gusty overlap crayon siesta") && !looks_up(&limited, ""));
}

#[track_caller]
fn assert_alike(scheme: &(impl Foreign + Clone)) {
    let limited = OnlyTexts::of(scheme.clone(), |_| false);
    let facts = |scheme: &dyn Foreign| {
        let part = scheme.secret_part("42|token").to_owned();
        let kept = scheme.verify(&[0; 32], "text");
        let booleans = [scheme.is_slow(), scheme.guarantees_112_bits(), scheme.needs_owner()];
        (scheme.name().to_owned(), booleans, kept, part)
    };
    assert_eq!(facts(scheme), facts(&limited));
}

#[test]
fn what_is_found_by_its_owner_is_found_by_no_other_and_by_none() {
    let case = |wanted: &str| {
        let cases = crate::cases::one_of_each_scheme();
        cases.into_iter().find(|case| case.name.contains(wanted)).unwrap()
    };
    assert!(Argon2::by_owner().needs_owner() && Bcrypt::by_owner().needs_owner());
    assert!(Pbkdf2::by_owner().needs_owner() && !Forgejo::new().needs_owner());
    for case in [case("argon2id"), case("bcrypt"), case("pbkdf2")] {
        let host = Host::over(MemoryStore::new());
        let bob = Owner::new("bob").unwrap();
        RUNTIME.block_on(async {
            host.import(&case).await.unwrap();
            // Before the first use, and after it.
            for _ in 0..2 {
                for owner in [None, Some(&bob)] {
                    let refused = host.present_to(&case.import, owner, &case.text).await;
                    assert!(matches!(refused, Err(AuthError::NotOurs(_))), "{}", case.name);
                }
                host.present(&case, &case.text).await.unwrap();
            }
        });
    }
}

#[test]
fn the_documented_signing_key_is_refused_however_it_is_written() {
    let upper = DOCUMENTED_KEY.to_uppercase();
    let padded = ["\0", "\0\0", "\0\n", "\n\0"].map(|end| format!(" {DOCUMENTED_KEY}{end}"));
    let written = [DOCUMENTED_KEY, &upper, "", " \t", "\0", " \0\0"];
    // HMAC pads a key with zeros, so zeros at its end change no signature.
    assert!(samples().iter().all(|sample| {
        looks_up(&Jwt::danger_with_any_key(&format!("{DOCUMENTED_KEY}\0")), sample)
    }));
    for key in written.into_iter().chain(padded.iter().map(String::as_str)) {
        let refused = Jwt::of_powershell_universal(key).expect_err(key);
        assert_eq!(refused, InvalidSigningKey);
    }
    Jwt::of_powershell_universal("another signing key of thirty-two bytes").unwrap();
    assert!(!format!("{:?}", Jwt::danger_with_any_key("key")).contains("key"));
}

#[test]
fn a_signature_alone_and_a_row_alone_let_nobody_in() {
    let scheme = Jwt::of_powershell_universal("another signing key of thirty-two bytes").unwrap();
    let import = Import::new().scheme(scheme.clone());
    let host = Host::over(MemoryStore::new());
    let import_secret = async |secret| {
        let token = ForeignToken::new(secret, "admin", "CI", Access::full());
        host.tokens.import(&operator(), &import, token).await.unwrap();
    };
    RUNTIME.block_on(async {
        assert!(looks_up(&scheme, SIGNED));
        let refused = host.present_to(&import, None, SIGNED).await;
        assert!(matches!(refused, Err(AuthError::NotOurs(_))), "no row: {refused:?}");

        // A row for a text that was signed under another key.
        for sample in samples() {
            assert!(scheme.secret(&sample).is_err());
            import_secret(scheme.secret_of_hash(&sha_256(&sample)).unwrap()).await;
            let refused = host.present_to(&import, None, &sample).await;
            assert!(matches!(refused, Err(AuthError::NotOurs(_))), "no signature: {refused:?}");
        }
        import_secret(scheme.secret_of_hash(&sha_256(SIGNED)).unwrap()).await;
        host.present_to(&import, None, SIGNED).await.unwrap();
    });
}

#[test]
fn a_jwt_has_three_parts_and_the_signature_of_the_first_two() {
    let scheme = Jwt::danger_with_any_key(DOCUMENTED_KEY);
    for sample in samples() {
        assert!(looks_up(&scheme, &sample));
        let [header, claims, signature]: [&str; 3] =
            sample.split('.').collect::<Vec<_>>().try_into().unwrap();
        // {"alg":"none"}
        let none = "eyJhbGciOiJub25lIn0";
        let others = [
            format!("{header}.{claims}."),
            format!("{header}.{claims}"),
            format!("{none}.{claims}."),
            format!("{none}.{claims}.{signature}"),
            format!("{header}.{claims}.{signature}="),
            format!("{header}.{claims}.{signature}."),
            format!("{header}.{claims}.{signature}.{signature}"),
            format!(".{header}.{claims}.{signature}"),
            format!("{header}{claims}.{signature}"),
            format!("..{signature}"),
            format!("{header}.{claims}.{}", &signature[..42]),
            format!("{header}.{claims}.{}", signature.replace(['-', '_'], "+")),
            format!("{header}.{claims} .{signature}"),
            "..".to_owned(),
            ".".repeat(8192),
        ];
        for other in others.iter().filter(|other| **other != sample) {
            assert!(!looks_up(&scheme, other) && scheme.secret(other).is_err(), "{other}");
        }
    }
}

#[test]
fn the_end_that_an_import_sets_is_the_end_of_a_jwt() {
    let scheme = Jwt::danger_with_any_key(DOCUMENTED_KEY);
    let import = Import::new().scheme(scheme.clone());
    let host = Host::over(MemoryStore::new());
    RUNTIME.block_on(async {
        let [text, ..] = &samples()[..] else { panic!("no samples") };
        let exp = Expires::At(Timestamp::from_unix(1_624_728_265).unwrap());
        let token = ForeignToken::new(scheme.secret(text).unwrap(), "admin", "CI", Access::full());
        let token = token.created_at(Timestamp::from_unix(1_593_192_265).unwrap()).expires(exp);
        host.tokens.import(&operator(), &import, token).await.unwrap();
        match host.present_to(&import, None, text).await {
            Err(AuthError::Denied(denied)) => assert_eq!(denied.reason(), DenialReason::Expired),
            other => panic!("{other:?}"),
        }
    });
}

fn sha_256(text: &str) -> String {
    sha2::Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}
