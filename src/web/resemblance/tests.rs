use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

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
fn a_name_of_any_length_that_holds_a_body_resembles_a_token() {
    for length in [0, 1, 18, 19, 20, 63, 64, 500, 5000] {
        let much = "x".repeat(length);
        let words = "first last ".repeat(length / 11 + 1);
        for body in [&TOKEN[5..], &TOKEN[5..].to_uppercase(), &TOKEN[5..].replace('0', "o")] {
            resembles(&format!("{much}{body}"));
            resembles(&format!("{body}{much}"));
            resembles(&format!("{much}{body}{much}"));
            resembles(&format!("{words}{body}"));
            resembles(&format!("{much}-{}@{much}", body.replace("gk", "-gk")));
            resembles(&format!("acme-{body}@{much}"));
            resembles(&format!(
                "{much}{}",
                body.chars().map(|c| format!("{c}/")).collect::<String>()
            ));
        }
    }
}

#[test]
fn a_long_name_that_nearly_holds_a_body_resembles_a_token() {
    let (before, after) = ("x".repeat(30), "y".repeat(30));
    for at in 0..45 {
        for wrong in ["", "!", "u", "A", "_", "é", "  "] {
            let body = format!("{}{wrong}{}", &TOKEN[5..5 + at], &TOKEN[6 + at..]);
            resembles(&format!("{before}{body}{after}"));
            resembles(&format!("{before}.{body}@{after}"));
        }
    }
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_token_in_base64_or_hexadecimal_resembles_one() {
    let mistyped = TOKEN.replace("541", "51");
    for text in [TOKEN, &TOKEN[5..], &mistyped, &mistyped[5..], &TOKEN.to_uppercase()] {
        for before in ["", "a", "alice:", "Authorization: Basic "] {
            let text = format!("{before}{text}");
            let encoded = STANDARD.encode(&text);
            resembles(&encoded);
            resembles(encoded.trim_end_matches('='));
            resembles(&format!("alice+{encoded}"));
            resembles(&format!("{encoded}@host"));
            resembles(&STANDARD.encode(&encoded));
            resembles(&URL_SAFE_NO_PAD.encode(format!("\u{3ff}{text}\u{3ff}")));
            resembles(&hex(&text));
        }
    }
    resembles(&TOKEN.replace('_', "%5F"));
    resembles(&TOKEN.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>());
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
        "CN=Anna Maria Müller 2,OU=Research and Development 4,O=Example Ltd,C=DE",
        "system:node:ip-10-0-12-34.eu-west-1.compute.internal.example.com",
        "payments-api-7d9f8b6c5d-x2k9q.production.svc.cluster.local.example.com",
        "arn:aws:iam::123456789012:user/division_abc/subdivision_xyz/alice.example",
        "spiffe://example.com/ns/production/sa/continuous-delivery-controller-manager",
        "svc.9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d.continuous-delivery.production.example",
        "2001:db8:85a3::8a2e:370:7334.2001:db8:85a3::8a2e:370:7335.hosts.example.com",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855@keys.example.com",
        "laptop7.room12.floor3.building4.campus2.example1.com",
        "continuous-delivery-controller-manager2.production-cluster.example.com",
        "иванов.иван.иванович.отдел.разработки.и.сопровождения.2@пример.рф",
        "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce\
         47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
    ] {
        is_innocent(name);
    }
    is_innocent(&STANDARD.encode("alice:correct horse battery staple and some more words"));
    is_innocent(&hex("the quick brown fox jumps over the lazy dog again and again"));
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
