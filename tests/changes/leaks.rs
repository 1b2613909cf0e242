//! Tokens in a text that leaked.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use app_tokens::error::{ChangeError, DenialReason};
use app_tokens::record::{Expires, Status};
use app_tokens::report::{Leak, LeakOutcome, LeakReport};
use app_tokens::store::{Filter, MemoryStore};
use app_tokens::{IssuedToken, KeyRing, Reason, TokenId};

use super::common::outside::Outside;
use super::common::*;
use support::text::same_id_other_secret;

fn outcomes(leaks: &[Leak]) -> Vec<(TokenId, LeakOutcome)> {
    leaks.iter().map(|leak| (leak.id, leak.outcome)).collect()
}

#[test]
fn leaked_tokens_are_revoked_with_their_derived_and_a_wrong_secret_revokes_nothing() {
    let bench = bench(policy());
    let tokens = &bench.tokens;
    let (live, guessed) = (bench.issue("alice"), bench.issue("bob"));
    let child = bench.issue_under(&live);
    let (revoked, rotated, expired) = (bench.issue("a"), bench.issue("b"), bench.issue_for(5));
    bench.revoke(&revoked);
    let successor = bench.rotate(&rotated, 0);
    bench.clock.set(at(5));
    let unknown = "acme_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92";
    let guess = same_id_other_secret(guessed.expose_secret());
    let (one, two, three) =
        (revoked.expose_secret(), rotated.expose_secret(), expired.expose_secret());
    let text = format!(
        "x={} y={guess} z={one}, {two}; {three} {unknown} and again {}",
        live.expose_secret(),
        live.expose_secret().to_uppercase(),
    );
    bench.heard.texts();
    let report = tokens.block_on(tokens.revoke_leaked(&operator("scanner"), &text)).unwrap();
    let right = [
        (live.id(), LeakOutcome::Revoked),
        (guessed.id(), LeakOutcome::NoToken),
        (revoked.id(), LeakOutcome::AlreadyRevoked),
        (rotated.id(), LeakOutcome::Revoked),
        (expired.id(), LeakOutcome::Revoked),
    ];
    assert_eq!(outcomes(&report.leaks)[..5], right);
    assert_eq!(report.leaks.len(), 6);
    assert_eq!(report.leaks[5].outcome, LeakOutcome::NoToken);
    assert_eq!(&text[report.leaks[0].position.clone()], live.expose_secret());
    for ended in [&live, &child] {
        bench.assert_denied(ended.expose_secret(), DenialReason::Revoked);
        let view = bench.see(ended);
        let revocation = view.revocation().unwrap();
        assert_eq!(revocation.reason, Reason::LEAKED);
        assert_eq!(revocation.by.to_string(), "operator scanner");
    }
    bench.assert_good(guessed.expose_secret());
    bench.assert_good(successor.expose_secret());
    let again = tokens.block_on(tokens.revoke_leaked(&operator("scanner"), &text)).unwrap();
    assert_eq!(again.leaks[0].outcome, LeakOutcome::AlreadyRevoked);
    assert_eq!(bench.heard.kinds().iter().filter(|kind| *kind == "Revoked").count(), 3);
    for secret in [live.expose_secret(), &guess] {
        assert!(!format!("{report:?}").contains(&secret[20..40]));
    }
}

#[test]
fn a_wrong_secret_in_front_of_the_right_one_spares_no_token() {
    let bench = bench(policy());
    let leaked = bench.issue("alice");
    let guess = same_id_other_secret(leaked.expose_secret());
    let text = format!("{guess} {}", leaked.expose_secret());
    let report = bench.tokens.block_on(bench.tokens.revoke_leaked(&operator("scanner"), &text));
    let right = [(leaked.id(), LeakOutcome::NoToken), (leaked.id(), LeakOutcome::Revoked)];
    assert_eq!(outcomes(&report.unwrap().leaks), right);
    bench.assert_denied(leaked.expose_secret(), DenialReason::Revoked);
}

#[test]
fn what_a_thief_issued_under_a_token_ends_with_its_leak_also_long_after_its_rotation() {
    let bench = bench(policy().with_max_overlap(secs(100)));
    let stolen = bench.issue("alice");
    let by_the_thief = bench.issue_under(&stolen);
    let current = bench.rotate(&stolen, 100);
    bench.clock.set(at(5000));
    bench.assert_good(by_the_thief.expose_secret());
    let scanner = operator("scanner");
    let found = bench.tokens.revoke_leaked(&scanner, stolen.expose_secret());
    assert_eq!(outcomes(&bench.tokens.block_on(found).unwrap().leaks).len(), 1);
    bench.assert_denied(by_the_thief.expose_secret(), DenialReason::Revoked);
    bench.assert_good(current.expose_secret());
}

/// A bulk revocation reaches nothing through a rotated token that has ended, and a second rotation
/// nothing through the token that it replaces.
#[test]
fn what_a_thief_issued_under_a_token_ends_with_its_leak_also_if_the_token_was_revoked_before() {
    let bench = bench(policy().with_max_overlap(secs(100)));
    let scanner = operator("scanner");
    let outcome = |leaked: &IssuedToken| {
        let found = bench.tokens.revoke_leaked(&scanner, leaked.expose_secret());
        outcomes(&bench.tokens.block_on(found).unwrap().leaks)
    };
    let stolen = bench.issue("alice");
    let by_the_thief = bench.issue_under(&stolen);
    let current = bench.rotate(&stolen, 100);
    bench.clock.set(at(5000));
    bench.assert_good(current.expose_secret());
    bench.assert_good(by_the_thief.expose_secret());
    let unused = Filter { last_used_before: Some(at(4000)), ..Filter::every_token() };
    let ended = bench.tokens.revoke_matching(&scanner, &unused, Reason::REQUESTED);
    assert_eq!(bench.tokens.block_on(ended).unwrap(), 1);
    bench.assert_good(by_the_thief.expose_secret());
    bench.clock.set(at(6000));
    let later = bench.issue_under(&current);
    let the_thiefs_next = bench.rotate(&by_the_thief, 0);
    assert_eq!(outcome(&stolen), [(stolen.id(), LeakOutcome::AlreadyRevoked)]);
    bench.assert_denied(by_the_thief.expose_secret(), DenialReason::Revoked);
    bench.assert_denied(the_thiefs_next.expose_secret(), DenialReason::Revoked);
    bench.assert_good(current.expose_secret());
    // Who repeats the report ends nothing that the stolen token can't have issued.
    bench.assert_good(later.expose_secret());
}

#[test]
fn what_a_thief_issued_ends_with_the_leak_also_if_its_line_or_age_can_not_be_read() {
    for column in ["family", "created_at"] {
        let file = super::file::File::new();
        let bench = bench_over(file.open(), policy().with_max_overlap(secs(100)));
        let scanner = operator("scanner");
        let stolen = bench.issue("alice");
        let by_the_thief = bench.issue_under(&stolen);
        let current = bench.rotate(&stolen, 100);
        bench.clock.set(at(5000));
        bench.assert_good(current.expose_secret());
        bench.assert_good(by_the_thief.expose_secret());
        let unused = Filter { last_used_before: Some(at(4000)), ..Filter::every_token() };
        let ended = bench.tokens.revoke_matching(&scanner, &unused, Reason::REQUESTED);
        assert_eq!(bench.tokens.block_on(ended).unwrap(), 1);
        let id = by_the_thief.id().as_u64() as i64;
        let read = format!("SELECT {column} FROM app_tokens WHERE id = ?1");
        let right: i64 = file.raw().query_row(&read, [id], |row| row.get(0)).unwrap();
        let write = format!("UPDATE app_tokens SET {column} = ?2 WHERE id = ?1");
        file.raw().execute(&write, [id, -1]).unwrap();
        let found = bench.tokens.revoke_leaked(&scanner, stolen.expose_secret());
        let leaks = bench.tokens.block_on(found).unwrap().leaks;
        assert_eq!(outcomes(&leaks), [(stolen.id(), LeakOutcome::AlreadyRevoked)]);
        // The row is repaired.
        file.raw().execute(&write, [id, right]).unwrap();
        bench.assert_denied(by_the_thief.expose_secret(), DenialReason::Revoked);
        bench.assert_good(current.expose_secret());
    }
}

#[test]
fn a_leak_is_no_use() {
    let bench = bench(policy());
    let token = bench.issue("alice");
    bench.heard.texts();
    let tokens = &bench.tokens;
    tokens.block_on(tokens.revoke_leaked(&operator("scanner"), token.expose_secret())).unwrap();
    tokens.block_on(tokens.flush_usage()).unwrap();
    assert_eq!(bench.see(&token).last_use(), None);
    assert_eq!(bench.heard.kinds(), ["Revoked"]);
}

#[test]
fn a_leaked_token_is_revoked_even_in_its_overlap_idle_or_without_its_key() {
    let bench = bench(policy());
    let old = bench.issue("alice");
    let new = bench.rotate(&old, 100);
    let leaked = |text: &str| {
        bench.tokens.block_on(bench.tokens.revoke_leaked(&operator("x"), text)).unwrap().leaks
    };
    assert_eq!(outcomes(&leaked(old.expose_secret())), [(old.id(), LeakOutcome::Revoked)]);
    bench.assert_denied(old.expose_secret(), DenialReason::Revoked);
    bench.assert_good(new.expose_secret());

    let store = MemoryStore::new();
    let here = bench_over(store.clone(), policy());
    let token = here.issue("alice");
    let elsewhere = bench_with_ring(store, KeyRing::parse(OTHER_KEYS).unwrap(), policy());
    let report = elsewhere
        .tokens
        .block_on(elsewhere.tokens.revoke_leaked(&operator("x"), token.expose_secret()))
        .unwrap();
    assert_eq!(outcomes(&report.leaks), [(token.id(), LeakOutcome::Revoked)]);
    here.assert_denied(token.expose_secret(), DenialReason::Revoked);
}

#[test]
fn a_token_leaked_in_a_basic_header_is_found_by_either_prefix() {
    use base64::Engine as _;
    let policy = policy().with_realm("acme").unwrap().with_former_prefix("oldname").unwrap();
    let bench = bench(policy);
    let token = bench.issue("alice");
    let former = token.expose_secret().replace("acme_", "oldname_");
    let userpass = format!("alice:{}", token.expose_secret());
    let encoded = base64::engine::general_purpose::STANDARD.encode(userpass);
    let text = format!("> Authorization: Basic {encoded}\n{former}");
    let report =
        bench.tokens.block_on(bench.tokens.revoke_leaked(&operator("scanner"), &text)).unwrap();
    assert_eq!(report.leaks[0].outcome, LeakOutcome::Revoked);
    // The six characters before it take eight digits of base64.
    assert_eq!(&text[report.leaks[0].position.clone()], encoded[8..].trim_end_matches('='));
    bench.assert_denied(token.expose_secret(), DenialReason::Revoked);
}

#[test]
fn a_leaked_text_need_not_be_utf_8() {
    let bench = bench(policy());
    let token = bench.issue("alice");
    let text = [b"caf\xe9 ", token.expose_secret().as_bytes(), b"\xff"].concat();
    let report =
        bench.tokens.block_on(bench.tokens.revoke_leaked(&operator("scanner"), &text)).unwrap();
    assert_eq!(outcomes(&report.leaks), [(token.id(), LeakOutcome::Revoked)]);
}

#[test]
fn leaked_tokens_beyond_one_calls_limit_are_revoked_by_calling_again_even_in_base64() {
    use base64::Engine as _;
    let bench = bench(policy().with_no_limit_per_owner());
    let issued: Vec<_> = (0..=LeakReport::MAX_LEAKS).map(|_| bench.issue("alice")).collect();
    let texts: Vec<_> = issued.iter().map(IssuedToken::expose_secret).collect();
    let text = base64::engine::general_purpose::STANDARD.encode(texts.join(":"));
    let first =
        bench.tokens.block_on(bench.tokens.revoke_leaked(&operator("scanner"), &text)).unwrap();
    assert_eq!(first.leaks.len(), LeakReport::MAX_LEAKS);
    let last = &issued[LeakReport::MAX_LEAKS];
    bench.assert_good(last.expose_secret());
    let rest = &text[first.rest.unwrap()..];
    let second =
        bench.tokens.block_on(bench.tokens.revoke_leaked(&operator("scanner"), rest)).unwrap();
    assert_eq!(outcomes(&second.leaks), [(last.id(), LeakOutcome::Revoked)]);
    assert_eq!(second.rest, None);
}

#[test]
fn other_tasks_run_while_a_long_text_is_searched() {
    let bench = bench(policy());
    let token = bench.issue("alice");
    let scanner = operator("scanner");
    let yields = |text: &str| {
        let mut call: Pin<Box<dyn Future<Output = _> + Send>> =
            Box::pin(bench.tokens.revoke_leaked(&scanner, text));
        let mut context = Context::from_waker(Waker::noop());
        let mut yields = 0;
        loop {
            match call.as_mut().poll(&mut context) {
                Poll::Ready(report) => return (yields, report.unwrap().leaks.len()),
                Poll::Pending => yields += 1,
            }
        }
    };
    assert_eq!(yields(token.expose_secret()), (0, 1));
    let (count, found) = yields(&("_".repeat(1 << 20) + token.expose_secret()));
    assert!(count >= 16 && found == 1, "{count}");
}

#[test]
fn a_leaked_token_that_has_just_expired_is_revoked() {
    let store = Outside::new();
    let behind = bench_over(store.clone(), policy());
    let token = behind.issue_for(100);
    let ahead = bench_over(store, policy());
    ahead.clock.set(at(100));
    ahead.assert_denied(token.expose_secret(), DenialReason::Expired);
    let scanner = operator("scanner");
    let leaked = ahead.tokens.revoke_leaked(&scanner, token.expose_secret());
    let leaks = ahead.tokens.block_on(leaked).unwrap().leaks;
    assert_eq!(outcomes(&leaks), [(token.id(), LeakOutcome::Revoked)]);
    behind.clock.set(at(89));
    behind.assert_denied(token.expose_secret(), DenialReason::Revoked);
    let later = behind.tokens.extend(ops(), token.id(), Expires::At(at(1000)));
    assert!(matches!(behind.tokens.block_on(later), Err(ChangeError::NotActive(Status::Revoked))));
}

#[test]
fn a_leaked_token_with_a_damaged_row_is_named() {
    let store = Outside::new();
    let bench = bench_over(store.clone(), policy());
    let (token, ended) = (bench.issue("alice"), bench.issue("alice"));
    bench.revoke(&ended);
    for id in [token.id(), ended.id()] {
        store.damage(id);
    }
    let text = format!("{} {}", token.expose_secret(), ended.expose_secret());
    let scanner = operator("scanner");
    let leaked = bench.tokens.revoke_leaked(&scanner, &text);
    let leaks = bench.tokens.block_on(leaked).unwrap().leaks;
    let right = [(token.id(), LeakOutcome::Damaged), (ended.id(), LeakOutcome::AlreadyRevoked)];
    assert_eq!(outcomes(&leaks), right);
    assert_eq!(store.parts(token.id()).revocation, None, "an id alone revokes nothing");
}
