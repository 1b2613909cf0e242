use super::*;
use crate::error::{AuthError, DenialReason, Denied, Failed, Forbidden};
use crate::store::StoreError;

fn denied(reason: DenialReason) -> Refusal {
    Refusal::Denied(Denied::new(reason, None))
}

fn forbidden(scope: Option<&str>) -> Refusal {
    Refusal::Forbidden(Forbidden::new(Missing::Scope, scope))
}

fn failed() -> Refusal {
    Refusal::Failed(StoreError::not_done("disk \"full\"\r\n").into())
}

const CREDENTIALS_ERRORS: [CredentialsError; 10] = [
    CredentialsError::SeveralHeaders,
    CredentialsError::TooLong,
    CredentialsError::UnsupportedScheme,
    CredentialsError::TokenInOtherScheme,
    CredentialsError::NotBase64,
    CredentialsError::NoColon,
    CredentialsError::NotBearer,
    CredentialsError::ControlCharacter,
    CredentialsError::TokenAsUserName,
    CredentialsError::TwoTokens,
];

fn every_refusal() -> Vec<Refusal> {
    let mut all = vec![
        Refusal::NoCredentials,
        Refusal::NotOurs,
        denied(DenialReason::Revoked),
        forbidden(Some("files:read")),
        forbidden(None),
        Forbidden::new(Missing::Resource, Some("files:read")).into(),
        Forbidden::new(Missing::Network, None).into(),
        failed(),
        Refusal::Accounts("no route to host".into()),
    ];
    all.extend(CREDENTIALS_ERRORS.map(Refusal::Credentials));
    all
}

fn answer_of(refusal: &Refusal) -> Answer {
    answer(refusal, "acme", Challenges::BasicAndBearer)
}

fn challenges(refusal: &Refusal) -> Vec<String> {
    let headers = answer_of(refusal).headers;
    headers.into_iter().filter(|(n, _)| *n == "www-authenticate").map(|(_, v)| v).collect()
}

#[track_caller]
fn has_status(refusal: &Refusal, status: u16) {
    assert_eq!(answer_of(refusal).status, status, "{refusal:?}");
}

#[test]
fn only_a_token_that_is_no_good_or_none_is_401() {
    for refusal in [
        Refusal::NoCredentials,
        Refusal::NotOurs,
        denied(DenialReason::Unknown),
        denied(DenialReason::OwnerTurnedAway),
        CredentialsError::UnsupportedScheme.into(),
        CredentialsError::TokenInOtherScheme.into(),
        CredentialsError::ControlCharacter.into(),
        CredentialsError::TokenAsUserName.into(),
        CredentialsError::TwoTokens.into(),
    ] {
        has_status(&refusal, 401);
        assert_eq!(challenges(&refusal)[0], r#"Basic realm="acme", charset="UTF-8""#);
        assert!(challenges(&refusal)[1].starts_with(r#"Bearer realm="acme""#));
    }
}

#[test]
fn a_failure_is_503_and_has_no_challenge() {
    for refusal in [
        failed(),
        AuthError::Failed(Failed::NoUpkeep).into(),
        Refusal::Accounts("no route to host".into()),
    ] {
        has_status(&refusal, 503);
        assert!(challenges(&refusal).is_empty());
        let headers = answer_of(&refusal).headers;
        assert!(headers.contains(&("retry-after", String::from("5"))));
    }
}

#[test]
fn a_program_s_mistake_is_400_with_the_code_of_rfc_6750() {
    for error in CREDENTIALS_ERRORS.into_iter().filter(CredentialsError::is_malformed) {
        has_status(&error.into(), 400);
        let expected = r#"Bearer realm="acme", error="invalid_request""#;
        assert_eq!(challenges(&error.into()), [expected]);
    }
    let malformed = CREDENTIALS_ERRORS.iter().filter(|error| error.is_malformed()).count();
    assert_eq!(malformed, 5);
}

#[test]
fn a_missing_scope_is_403_and_names_it() {
    has_status(&forbidden(None), 403);
    let expected = r#"Bearer realm="acme", error="insufficient_scope", scope="files:write""#;
    assert_eq!(challenges(&forbidden(Some("files:write"))), [expected]);
    let expected = r#"Bearer realm="acme", error="insufficient_scope""#;
    assert_eq!(challenges(&forbidden(None)), [expected]);
}

#[test]
fn what_is_missing_is_told_apart_and_a_network_has_no_challenge() {
    let of = |missing| answer_of(&Forbidden::new(missing, Some("files:read")).into());
    let missing = [Missing::Scope, Missing::Resource, Missing::Network];
    assert!(missing.iter().all(|missing| of(*missing).status == 403));
    let codes = ["scope_missing", "resource_missing", "outside_networks"];
    assert_eq!(missing.map(|missing| of(missing).code), codes);
    assert!(challenges(&Forbidden::new(Missing::Network, None).into()).is_empty());
    assert_eq!(challenges(&Forbidden::new(Missing::Resource, None).into()).len(), 1);
}

#[test]
fn a_scope_that_is_none_does_not_break_out_of_the_header() {
    for bad in ["a\", error=\"x", "a\r\nSet-Cookie: x", "a b", "a\\", "é", ""] {
        let expected = r#"Bearer realm="acme", error="insufficient_scope""#;
        assert_eq!(challenges(&forbidden(Some(bad))), [expected], "{bad:?}");
    }
}

#[test]
fn a_realm_does_not_break_out_of_the_header() {
    let realm = "Acm\"e\\ \r\nCloud é\u{7f}";
    let answer = answer(&Refusal::NoCredentials, realm, Challenges::BasicAndBearer);
    assert_eq!(answer.headers[0].1, r#"Basic realm="Acme Cloud ", charset="UTF-8""#);
}

#[test]
fn no_error_code_is_shown_where_nothing_was_sent() {
    for refusal in [
        Refusal::NoCredentials,
        CredentialsError::UnsupportedScheme.into(),
        CredentialsError::TokenInOtherScheme.into(),
    ] {
        assert_eq!(challenges(&refusal)[1], r#"Bearer realm="acme""#);
    }
    let expected = r#"Bearer realm="acme", error="invalid_token""#;
    assert_eq!(challenges(&Refusal::NotOurs)[1], expected);
}

#[test]
fn every_denial_looks_the_same_outside_whatever_its_reason() {
    let expected = answer_of(&denied(DenialReason::Unknown));
    for reason in [
        DenialReason::Mistyped,
        DenialReason::WrongSecret,
        DenialReason::Revoked,
        DenialReason::Tampered,
        DenialReason::Superseded,
        DenialReason::Expired,
        DenialReason::Idle,
        DenialReason::OtherOwner,
        DenialReason::OwnerTurnedAway,
    ] {
        assert_eq!(answer_of(&denied(reason)), expected, "{reason:?}");
    }
    assert_eq!(answer_of(&Refusal::NotOurs), expected);
    assert_eq!(answer_of(&CredentialsError::TwoTokens.into()), expected);
}

#[test]
fn no_answer_is_kept_in_a_cache_or_holds_what_a_header_may_not() {
    for refusal in every_refusal() {
        let answer = answer_of(&refusal);
        assert!(answer.headers.contains(&("cache-control", String::from("no-store"))));
        let visible = |text: &str| text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        assert!(answer.headers.iter().all(|(_, value)| visible(value)), "{answer:?}");
        let line = answer.body.strip_suffix('\n').unwrap();
        assert!(visible(line) && line.len() < 80, "{answer:?}");
        assert!(!answer.body.contains("disk") && !answer.body.contains("route"));
    }
}

#[test]
fn a_host_that_shows_one_scheme_shows_no_other_in_any_answer() {
    let begins = |line: &String, scheme: &str| line.starts_with(&format!("{scheme} "));
    for refusal in every_refusal() {
        let of = |challenges| {
            let headers = answer(&refusal, "acme", challenges).headers;
            let challenges = headers.into_iter().filter(|(name, _)| *name == "www-authenticate");
            challenges.map(|(_, line)| line).collect::<Vec<_>>()
        };
        let both = of(Challenges::BasicAndBearer);
        let only = |scheme| -> Vec<String> {
            both.iter().filter(|line| begins(line, scheme)).cloned().collect()
        };
        assert_eq!(of(Challenges::Basic), only("Basic"));
        assert_eq!(of(Challenges::Bearer), only("Bearer"));
        assert!(of(Challenges::None).is_empty());
    }
}

#[test]
fn which_challenges_are_shown_changes_nothing_else() {
    for refusal in every_refusal() {
        let of = |challenges| {
            let mut answer = answer(&refusal, "acme", challenges);
            answer.headers.retain(|(name, _)| *name != "www-authenticate");
            answer
        };
        for challenges in [Challenges::Basic, Challenges::Bearer, Challenges::None] {
            assert_eq!(of(challenges), of(Challenges::BasicAndBearer), "{refusal:?}");
        }
    }
}

/// Checks that a table in the module's documentation has a row with the answer's status and code.
#[track_caller]
pub(crate) fn is_documented(answer: &Answer) {
    let (status, code) = (format!("| {}", answer.status), format!("`{}`", answer.code));
    let mut rows = include_str!("../../web.rs").lines().filter(|line| line.starts_with("//! |"));
    assert!(rows.any(|row| row.contains(&status) && row.contains(&code)), "{answer:?}");
}

#[test]
fn the_page_has_a_row_for_every_answer_to_a_way_in() {
    every_refusal().iter().for_each(|refusal| is_documented(&answer_of(refusal)));
}

/// Every answer stands in `tests/messages.txt`, behind an arrow.
#[test]
fn no_answer_has_an_article_before_the_noun_so_that_every_noun_fits() {
    let listed = include_str!("../../../tests/messages.txt").lines();
    let answers: Vec<&str> = listed.filter(|line| line.contains(" -> ")).collect();
    assert!(answers.len() > 40);
    for line in answers {
        assert!(!line.to_lowercase().contains("an app token"), "{line}");
        let said = Answer::text_with_noun(line, "API key");
        assert!(!said.to_lowercase().contains("app token"), "{said}");
    }
    let text = "App tokens end. The app token is one of 7 app tokens.";
    let said = "My app tokens end. The my app token is one of 7 my app tokens.";
    assert_eq!(Answer::text_with_noun(text, "my app token"), said);
    assert_eq!(Answer::text_with_noun(said, "my app token"), said, "it is there already");
    assert_eq!(Answer::text_with_noun(text, "app token"), text);
}
