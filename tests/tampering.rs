//! An attacker who can write the rows, but holds no key, can't make the engine accept anything that
//! it didn't once seal itself.

mod common;

use app_tokens::error::DenialReason;
use app_tokens::record::{Digest, Expires, KeyId, LastUse, RecordParts, Revocation, Status};
use app_tokens::store::{Filter, Page};
use app_tokens::token::Token;
use app_tokens::{IssuedToken, NewToken, Reason, Rotation, TokenId};
use common::outside::{Outside, TAMPERINGS, new_token};
use common::*;

#[test]
fn an_untampered_row_from_outside_the_process_authenticates() {
    let bench = bench_over(Outside::new(), policy());
    bench.assert_good(bench.issue("alice").expose_secret());
}

#[test]
fn each_changed_field_denies_the_token_as_tampered_and_shows_it_so_in_the_list() {
    let store = Outside::new();
    let bench = bench_with_ring(store.clone(), two_keys(), policy());
    let issued = bench.tokens.block_on(bench.tokens.issue(new_token())).unwrap();
    for (what, tamper) in TAMPERINGS {
        store.change(issued.id(), *tamper);
        let error =
            bench.tokens.block_on(bench.tokens.authenticate(issued.expose_secret())).unwrap_err();
        assert!(format!("{error:?}").contains("Tampered"), "{what}: {error:?}");
        let page = bench
            .tokens
            .block_on(bench.tokens.list(&Filter::every_token(), Page::first(10)))
            .unwrap();
        assert_eq!(page.tokens[0].status(), Some(Status::Tampered), "{what}");
        store.restore();
        bench.enter_from_home(issued.expose_secret());
    }
}

#[test]
fn what_ties_a_token_to_its_line_or_to_its_parent_can_not_be_cut() {
    type Cut<'t> = (&'static str, &'t IssuedToken, fn(&mut RecordParts));
    let store = Outside::new();
    let bench = bench_over(store.clone(), policy());
    let tokens = &bench.tokens;
    let old = tokens.block_on(tokens.issue(new_token())).unwrap();
    let caller = bench.enter_from_home(old.expose_secret());
    let child = NewToken::new("alice", "child", caller.access().clone());
    let child = tokens.block_on(tokens.issue_under(&caller, child)).unwrap();
    let rotation = Rotation::new().overlap(secs(60));
    let new = tokens.block_on(tokens.rotate(&ops(), old.id(), rotation)).unwrap();
    let cuts: [Cut<'_>; 7] = [
        ("an overlap that ends later", &old, |parts| parts.expires = Expires::At(at(3600))),
        ("an overlap that never ends", &old, |parts| parts.expires = Expires::Never),
        ("no successor", &old, |parts| parts.successor = None),
        ("another line", &old, |parts| parts.family = TokenId::from_u64(1).unwrap()),
        ("a line of its own", &new, |parts| parts.family = parts.id),
        ("no parent", &child, |parts| parts.derived_from = None),
        ("another parent", &child, |parts| parts.derived_from = Some(parts.id)),
    ];
    for (what, token, cut) in cuts {
        store.change(token.id(), cut);
        let error = tokens.block_on(tokens.authenticate(token.expose_secret())).unwrap_err();
        assert!(format!("{error:?}").contains("Tampered"), "{what}: {error:?}");
        store.restore();
        bench.enter_from_home(token.expose_secret());
    }
}

#[test]
fn a_row_with_the_digest_of_another_token_lets_nobody_in() {
    let store = Outside::new();
    let bench = bench_over(store.clone(), policy());
    let (hers, mallorys) = (bench.issue("alice"), bench.issue("mallory"));
    let digest = store.parts(mallorys.id()).digest;
    store.change(hers.id(), |parts| parts.digest = digest);
    bench.assert_denied(hers.expose_secret(), DenialReason::WrongSecret);
    bench.assert_good(mallorys.expose_secret());
}

#[test]
fn a_row_inserted_with_a_forged_digest_is_tampered() {
    let store = Outside::new();
    let bench = bench_over(store.clone(), policy());
    let model = store.parts(bench.issue("alice").id());
    let text = "acme_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92";
    let token = Token::parse_any_prefix(text).unwrap();
    store.write(RecordParts { id: token.id(), digest: Digest::of(&token), ..model });
    bench.assert_denied(text, DenialReason::Tampered);
}

#[test]
fn swapped_rows_are_tampered() {
    let store = Outside::new();
    let bench = bench_over(store.clone(), policy());
    let (hers, mallorys) = (bench.issue("alice"), bench.issue("mallory"));
    let (her_row, mallorys_row) = (store.parts(hers.id()), store.parts(mallorys.id()));
    // The row of another with the attacker's digest, under the attacker's id: enough to enter as
    // the other, if the engine accepted it.
    store.write(RecordParts { id: mallorys.id(), digest: mallorys_row.digest, ..her_row });
    bench.assert_denied(mallorys.expose_secret(), DenialReason::Tampered);
}

#[test]
fn a_row_copied_from_another_realm_is_tampered() {
    let (here, there) = (Outside::new(), Outside::new());
    let bench = bench_over(here.clone(), policy());
    let other = bench_over(there.clone(), policy().with_realm("other tenant").unwrap());
    let foreign = other.issue("root");
    here.write(there.parts(foreign.id()));
    bench.assert_denied(foreign.expose_secret(), DenialReason::Tampered);
}

#[test]
fn a_row_under_a_key_that_the_ring_lacks_is_a_failure_and_not_a_denial() {
    let store = Outside::new();
    let bench = bench_over(store.clone(), policy());
    let issued = bench.issue("alice");
    store.change(issued.id(), |parts| parts.key_id = KeyId::new(9).unwrap());
    let failed = bench.assert_failed(issued.expose_secret());
    assert_eq!(
        failed.to_string(),
        "a token is sealed under key 9, which the key ring lacks; \
         bring that key back, or revoke the tokens under it"
    );
    assert_eq!(bench.all_of("alice")[0].status(), None, "one such row doesn't fail a list");
}

#[test]
fn a_cleared_revocation_does_not_revive() {
    let store = Outside::new();
    let bench = bench_over(store.clone(), policy());
    let issued = bench.issue("alice");
    let tokens = &bench.tokens;
    tokens.block_on(tokens.revoke(&owner("alice"), issued.id(), Reason::REQUESTED)).unwrap();
    store.change(issued.id(), |parts| parts.revocation = None);
    bench.assert_denied(issued.expose_secret(), DenialReason::Tampered);
}

// What the seal doesn't promise, shown by tests.

#[test]
fn an_attacker_can_bring_back_an_earlier_sealed_version_even_of_a_revoked_token() {
    let store = Outside::new();
    let bench = bench_over(store.clone(), policy());
    let issued = bench.issue("alice");
    let earlier = store.parts(issued.id());
    let tokens = &bench.tokens;
    tokens.block_on(tokens.revoke(&owner("alice"), issued.id(), Reason::REQUESTED)).unwrap();
    bench.assert_denied(issued.expose_secret(), DenialReason::Revoked);
    store.write(earlier);
    bench.assert_good(issued.expose_secret());
}

#[test]
fn an_attacker_can_revoke_and_change_last_use_but_not_into_the_future() {
    let store = Outside::new();
    let bench = bench_over(store.clone(), policy().with_idle_timeout(DAY).unwrap());
    let _upkeep = bench.tokens.upkeep();
    let issued = bench.issue("alice");
    bench.clock.set(at(86_400));
    let used = |seconds| Some(LastUse { at: at(seconds), address: None, client: None });
    store.change(issued.id(), |parts| parts.last_use = used(1 << 30));
    bench.assert_denied(issued.expose_secret(), DenialReason::Idle);
    store.change(issued.id(), |parts| parts.last_use = used(86_400));
    bench.assert_good(issued.expose_secret());
    let revocation =
        Revocation { at: at(0), reason: Reason::REQUESTED, by: "engine".parse().unwrap() };
    store.change(issued.id(), |parts| parts.revocation = Some(revocation));
    bench.assert_denied(issued.expose_secret(), DenialReason::Revoked);
}

#[test]
fn a_damaged_row_is_denied_and_blocks_no_other() {
    let store = Outside::new();
    let bench = bench_over(store.clone(), policy());
    let (damaged, good) = (bench.issue("alice"), bench.issue("alice"));
    store.damage(damaged.id());
    bench.assert_denied(damaged.expose_secret(), DenialReason::Tampered);
    bench.assert_good(good.expose_secret());
    let page =
        bench.tokens.block_on(bench.tokens.list(&Filter::every_token(), Page::first(10))).unwrap();
    assert_eq!(page.damaged, [damaged.id()]);
    assert_eq!(page.tokens.len(), 1);
    let tokens = &bench.tokens;
    assert_eq!(
        tokens.block_on(tokens.revoke(&owner("alice"), damaged.id(), Reason::REQUESTED)).unwrap(),
        1
    );
}
