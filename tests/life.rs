//! A token's life, operation by operation, as properties.

mod common;

use std::net::IpAddr;

use app_tokens::error::{AuthError, DenialReason, Failed, IssueError, ManageError};
use app_tokens::rand_core::{TryCryptoRng, TryRng};
use app_tokens::record::{Actor, Expires, Status};
use app_tokens::store::{DynStore, Filter, MemoryStore, Page};
use app_tokens::{Access, KeyRing, NewToken, Origin, Reason, Requirement, TokenAuthority, TokenId};
use common::*;
use support::text::same_id_other_secret;

// -- issue

#[test]
fn an_issued_token_authenticates_as_its_owner_with_its_access() {
    let bench = bench(policy());
    let tokens = &bench.tokens;
    let issued = tokens
        .block_on(tokens.issue(NewToken::new(
            "alice",
            "My phone",
            Access::scopes(["files:read"]).unwrap(),
        )))
        .unwrap();
    let caller = tokens.block_on(tokens.authenticate(issued.expose_secret())).unwrap();
    let caller = caller.require(Requirement::one_of(&["files:read"])).unwrap();
    assert_eq!(caller.owner(), &owner("alice"));
    assert_eq!((caller.id(), caller.label().as_str()), (issued.id(), "My phone"));
    let forbidden = caller.require(Requirement::one_of(&["files:write"])).unwrap_err();
    assert_eq!(forbidden.wanted_scope(), Some("files:write"));
}

#[test]
fn a_token_lives_for_a_year_unless_another_end_is_asked_for() {
    let bench = bench(policy());
    assert_eq!(bench.issue("alice").view().expires(), Expires::At(at(365 * 86_400)));
}

#[test]
fn a_token_issued_by_an_operator_names_the_operator() {
    let bench = bench(policy());
    let new = NewToken::new("alice", "Set up for you", Access::full())
        .issued_by(&operator("support: Bob"));
    let issued = bench.tokens.block_on(bench.tokens.issue(new)).unwrap();
    assert_eq!(issued.view().issued_by().unwrap().as_str(), "support: Bob");
    let [heard] = &bench.heard.texts()[..] else { panic!("one event") };
    assert!(heard.contains("Operator(\"support: Bob\")"), "{heard}");
}

#[test]
fn the_limit_counts_live_tokens_of_this_owner_only() {
    let bench = bench(policy().with_max_per_owner(2).unwrap());
    let tokens = &bench.tokens;
    let short = tokens
        .block_on(tokens.issue(NewToken::new("alice", "a", Access::full()).expires_in(secs(10))))
        .unwrap();
    let revoked = bench.issue("alice");
    let issue = || tokens.block_on(tokens.issue(NewToken::new("alice", "c", Access::full())));
    assert!(matches!(issue(), Err(IssueError::LimitReached { limit: 2 })));
    assert!(tokens.block_on(tokens.issue(NewToken::new("bob", "c", Access::full()))).is_ok());

    tokens.block_on(tokens.revoke(&operator("ops"), revoked.id(), Reason::REQUESTED)).unwrap();
    assert!(issue().is_ok());
    assert!(matches!(issue(), Err(IssueError::LimitReached { limit: 2 })));
    bench.clock.set(at(9));
    assert!(issue().is_err(), "{} lives until its last second", short.id());
    bench.clock.set(at(10));
    assert!(issue().is_ok());
}

#[test]
fn unique_labels_hold_among_an_owners_live_tokens() {
    let bench = bench(policy().with_unique_labels());
    let tokens = &bench.tokens;
    let first = bench.issue("alice");
    let again =
        tokens.block_on(tokens.issue(NewToken::new("alice", "  My phone ", Access::full())));
    assert!(matches!(again, Err(IssueError::LabelTaken)), "white space around makes no new label");
    assert!(
        tokens.block_on(tokens.issue(NewToken::new("alice", "my phone", Access::full()))).is_ok()
    );
    assert!(
        tokens.block_on(tokens.issue(NewToken::new("bob", "My phone", Access::full()))).is_ok()
    );
    tokens.block_on(tokens.revoke(&owner("alice"), first.id(), Reason::REQUESTED)).unwrap();
    assert!(
        tokens.block_on(tokens.issue(NewToken::new("alice", "My phone", Access::full()))).is_ok()
    );
}

/// A random source that gives the same bytes at every draw, or fails.
struct Source {
    fails: bool,
    draws: u8,
    distinct_after: u8,
}

#[derive(Debug)]
struct NoEntropy;
impl std::fmt::Display for NoEntropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no entropy")
    }
}
impl std::error::Error for NoEntropy {}

impl TryRng for Source {
    type Error = NoEntropy;
    fn try_next_u32(&mut self) -> Result<u32, NoEntropy> {
        Err(NoEntropy)
    }
    fn try_next_u64(&mut self) -> Result<u64, NoEntropy> {
        Err(NoEntropy)
    }
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
        if self.fails {
            return Err(NoEntropy);
        }
        self.draws += 1;
        let shift = self.draws.saturating_sub(self.distinct_after);
        bytes.iter_mut().zip(0..).for_each(|(byte, place): (&mut u8, u8)| *byte = place + shift);
        Ok(())
    }
}
impl TryCryptoRng for Source {}

fn with_source(source: Source) -> TokenAuthority<MemoryStore> {
    TokenAuthority::builder(MemoryStore::new(), ring(), policy()).random(source).build()
}

#[test]
fn a_failing_random_source_issues_nothing() {
    let tokens = with_source(Source { fails: true, draws: 0, distinct_after: 0 });
    let error =
        tokens.block_on(tokens.issue(NewToken::new("alice", "x", Access::full()))).unwrap_err();
    assert!(matches!(error, IssueError::Failed(Failed::Random(_))));
    assert_eq!(error.to_string(), "the random source failed: no entropy; use another one");
}

#[test]
fn a_taken_id_is_drawn_again_and_a_source_that_repeats_itself_is_a_failure() {
    let tokens = with_source(Source { fails: false, draws: 0, distinct_after: 3 });
    let new = || NewToken::new("alice", "x", Access::full());
    let first = tokens.block_on(tokens.issue(new())).unwrap();
    let second = tokens.block_on(tokens.issue(new())).unwrap();
    assert_ne!(first.id(), second.id());
    assert!(tokens.block_on(tokens.authenticate(first.expose_secret())).is_ok());

    let tokens = with_source(Source { fails: false, draws: 0, distinct_after: 200 });
    let first = tokens.block_on(tokens.issue(new())).unwrap();
    let error = tokens.block_on(tokens.issue(new())).unwrap_err();
    assert!(matches!(error, IssueError::Failed(Failed::NoFreeId)));
    assert!(
        tokens.block_on(tokens.authenticate(first.expose_secret())).is_ok(),
        "the first is not overwritten"
    );
}

#[test]
fn clones_share_their_random_source() {
    let tokens = with_source(Source { fails: false, draws: 0, distinct_after: 0 });
    let clone = tokens.clone();
    let one = tokens.block_on(tokens.issue(NewToken::new("alice", "x", Access::full()))).unwrap();
    let other = clone.block_on(clone.issue(NewToken::new("alice", "x", Access::full()))).unwrap();
    assert_ne!(one.expose_secret(), other.expose_secret());
}

#[test]
fn nothing_is_issued_beside_rows_whose_key_is_missing() {
    let store = MemoryStore::new();
    let before = bench_over(store.clone(), policy());
    let lost = before.issue("alice");
    let anew = bench_with_ring(store.clone(), KeyRing::parse(OTHER_KEYS).unwrap(), policy());
    let error = anew
        .tokens
        .block_on(anew.tokens.issue(NewToken::new("bob", "x", Access::full())))
        .unwrap_err();
    let expected = format!(
        "token {} is sealed under key 1, which the key ring lacks; bring that key back, \
         or revoke the tokens under it",
        lost.id()
    );
    assert_eq!(error.to_string(), expected);
    let failed = anew.assert_failed(lost.expose_secret());
    assert_eq!(
        failed.to_string(),
        "a token is sealed under key 1, which the key ring lacks; \
         bring that key back, or revoke the tokens under it"
    );
    // A revoked row needs no key any more.
    anew.tokens.block_on(anew.tokens.revoke(ops(), lost.id(), Reason::REQUESTED)).unwrap();
    assert!(
        anew.tokens.block_on(anew.tokens.issue(NewToken::new("bob", "x", Access::full()))).is_ok()
    );
}

// -- authenticate

#[test]
fn a_token_ends_at_its_expiry_to_the_second_and_no_purge_is_needed() {
    let bench = bench(policy());
    let new = NewToken::new("alice", "x", Access::full()).expires_in(secs(100));
    let issued = bench.tokens.block_on(bench.tokens.issue(new)).unwrap();
    for (seconds, good) in [(0, true), (99, true), (100, false), (101, false), (1 << 32, false)] {
        bench.clock.set(at(seconds));
        if good {
            bench.assert_good(issued.expose_secret());
        } else {
            bench.assert_denied(issued.expose_secret(), DenialReason::Expired);
        }
    }
}

#[test]
fn a_clock_that_runs_far_backwards_is_a_failure_and_not_a_denial() {
    let bench = bench(policy());
    let issued = bench.issue("alice");
    bench.clock.set(at(-300));
    bench.assert_good(issued.expose_secret());
    bench.clock.set(at(-301));
    bench.assert_failed(issued.expose_secret());
    assert_eq!(bench.all_of("alice")[0].status(), None, "a list doesn't fail for it");
}

#[test]
fn a_text_without_our_form_is_not_ours_and_one_with_it_is_denied() {
    let bench = bench(policy());
    let not_ours = |text: &str| {
        matches!(bench.tokens.block_on(bench.tokens.authenticate(text)), Err(AuthError::NotOurs(_)))
    };
    for password in [
        "",
        " ",
        "hunter2",
        "acme_",
        "acme_hunter2",
        "other_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92",
    ] {
        assert!(not_ours(password), "{password:?}");
    }
    assert!(not_ours(&"x".repeat(1_000_000)));
    bench
        .assert_denied("acme_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92", DenialReason::Unknown);
    bench.assert_denied(
        "acme_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h93",
        DenialReason::Mistyped,
    );
    assert_eq!(bench.heard.kinds(), ["Denied", "Denied"]);
}

#[test]
fn every_denial_looks_the_same() {
    let bench = bench(policy());
    let tokens = &bench.tokens;
    let expired = tokens
        .block_on(tokens.issue(NewToken::new("alice", "x", Access::full()).expires_in(secs(1))))
        .unwrap();
    let revoked = bench.issue("alice");
    tokens.block_on(tokens.revoke(&operator("ops"), revoked.id(), Reason::REQUESTED)).unwrap();
    let good = bench.issue("alice");
    let wrong_secret = same_id_other_secret(good.expose_secret());
    bench.clock.advance(secs(5));
    let texts = [
        (expired.expose_secret(), DenialReason::Expired),
        (revoked.expose_secret(), DenialReason::Revoked),
        (&*wrong_secret, DenialReason::WrongSecret),
        ("acme_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92", DenialReason::Unknown),
        ("acme_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h93", DenialReason::Mistyped),
    ];
    for (text, reason) in texts {
        bench.assert_denied(text, reason);
        let error = tokens.block_on(tokens.authenticate(text)).unwrap_err();
        assert_eq!(error.to_string(), "the token is not valid");
    }
    let other_owner = tokens
        .block_on(tokens.authenticate_as(&owner("bob"), good.expose_secret(), Origin::unknown()))
        .unwrap_err();
    assert_eq!(other_owner.to_string(), "the token is not valid");
    assert!(
        tokens
            .block_on(tokens.authenticate_as(
                &owner("alice"),
                good.expose_secret(),
                Origin::unknown()
            ))
            .is_ok()
    );
}

#[test]
fn a_token_typed_by_hand_authenticates() {
    let bench = bench(policy());
    let issued = bench.issue("alice");
    let text = issued.expose_secret();
    let grouped: Vec<&str> =
        text.as_bytes()[5..].chunks(5).map(|g| std::str::from_utf8(g).unwrap()).collect();
    bench.assert_good(&format!(" ACME_{} ", grouped.join("-").to_uppercase()));
    bench.assert_good(&format!("acme_{}", grouped.join(" ").replace('0', "O").replace('1', "l")));
}

#[test]
fn a_former_prefix_is_accepted_and_not_issued() {
    let store = MemoryStore::new();
    let old = bench_over(store.clone(), policy().with_realm("files").unwrap());
    let issued = old.issue("alice");
    let renamed = app_tokens::Policy::new("newbrand").unwrap().with_realm("files").unwrap();
    let new = bench_over(store, renamed.with_former_prefix("acme").unwrap());
    new.assert_good(issued.expose_secret());
    assert!(new.issue("alice").expose_secret().starts_with("newbrand_"));
}

// -- list and find

#[test]
fn a_list_has_pages_in_order_and_every_token_once() {
    let bench = bench(policy());
    let mut issued: Vec<TokenId> = (0..25).map(|_| bench.issue("alice").id()).collect();
    drop(bench.issue("bob"));
    issued.sort_unstable();
    let (mut listed, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let filter = Filter::of_owner(&owner("alice"));
        let page = bench
            .tokens
            .block_on(bench.tokens.list(&filter, Page { after, ..Page::first(10) }))
            .unwrap();
        listed.extend(page.tokens.iter().map(app_tokens::TokenView::id));
        pages += 1;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((listed, pages), (issued, 3));
    // A page holds at least one row if one is left, so that an empty page is the end.
    let one =
        bench.tokens.block_on(bench.tokens.list(&Filter::every_token(), Page::first(0))).unwrap();
    assert!(one.tokens.len() == 1 && one.next.is_some());
}

#[test]
fn nobody_acts_as_the_engine() {
    let bench = bench(policy());
    let tokens = &bench.tokens;
    let token = bench.issue("alice");
    let engine: &Actor = &"engine".parse().unwrap();
    let revoked = tokens.block_on(tokens.revoke(engine, token.id(), Reason::REQUESTED));
    assert!(matches!(revoked, Err(ManageError::Unknown)));
    let every = Filter::every_token();
    let revoked = tokens.block_on(tokens.revoke_matching(engine, &every, Reason::REQUESTED));
    assert_eq!(revoked.unwrap(), 0);
    bench.assert_good(token.expose_secret());
}

#[test]
fn another_owners_token_is_unknown_to_find_revoke_and_forget() {
    let bench = bench(policy());
    let tokens = &bench.tokens;
    let hers = bench.issue("alice");
    let mallory = owner("mallory");
    let by = &mallory;
    {
        assert!(matches!(tokens.block_on(tokens.find(by, hers.id())), Err(ManageError::Unknown)));
        assert!(matches!(
            tokens.block_on(tokens.revoke(by, hers.id(), Reason::REQUESTED)),
            Err(ManageError::Unknown)
        ));
        assert!(matches!(tokens.block_on(tokens.forget(by, hers.id())), Err(ManageError::Unknown)));
        let all = Filter { owner: Some(owner("alice")), ..Filter::every_token() };
        assert_eq!(
            tokens.block_on(tokens.revoke_matching(by, &all, Reason::REQUESTED)).unwrap(),
            0
        );
        assert_eq!(
            tokens
                .block_on(tokens.revoke_matching(by, &Filter::every_token(), Reason::REQUESTED))
                .unwrap(),
            0
        );
    }
    bench.assert_good(hers.expose_secret());
    assert_eq!(
        tokens.block_on(tokens.find(&owner("alice"), hers.id())).unwrap().label().as_str(),
        "My phone"
    );
    assert_eq!(
        tokens.block_on(tokens.find(&operator("ops"), hers.id())).unwrap().owner(),
        &owner("alice")
    );
}

// -- revoke

#[test]
fn a_revoked_token_is_denied_at_once_and_the_first_instant_and_reason_stay() {
    let bench = bench(policy());
    let tokens = &bench.tokens;
    let issued = bench.issue("alice");
    let alice = owner("alice");
    bench.clock.set(at(10));
    assert_eq!(tokens.block_on(tokens.revoke(&alice, issued.id(), Reason::REQUESTED)).unwrap(), 1);
    bench.assert_denied(issued.expose_secret(), DenialReason::Revoked);
    bench.clock.set(at(20));
    assert_eq!(
        tokens.block_on(tokens.revoke(&operator("ops"), issued.id(), Reason::LEAKED)).unwrap(),
        0
    );
    let view = tokens.block_on(tokens.find(&alice, issued.id())).unwrap();
    let revocation = view.revocation().unwrap();
    assert_eq!((revocation.at, &revocation.reason), (at(10), &Reason::REQUESTED));
    assert_eq!(view.status(), Some(Status::Revoked));
    let unknown = TokenId::from_u64(1).unwrap();
    assert!(matches!(
        tokens.block_on(tokens.revoke(&alice, unknown, Reason::REQUESTED)),
        Err(ManageError::Unknown)
    ));
    assert_eq!(bench.heard.kinds(), ["Issued", "Revoked", "Denied"]);
}

#[test]
fn all_tokens_of_an_owner_end_in_one_act_and_one_event() {
    let bench = bench(policy());
    let tokens = &bench.tokens;
    let hers: Vec<_> = (0..5).map(|_| bench.issue("alice")).collect();
    let kept = bench.issue("alice");
    let his = bench.issue("bob");
    bench.heard.texts();
    let others = Filter { except_family: Some(kept.id()), ..Filter::of_owner(&owner("alice")) };
    let reason = Reason::new("password changed").unwrap();
    assert_eq!(
        tokens.block_on(tokens.revoke_matching(&owner("alice"), &others, reason)).unwrap(),
        5
    );
    hers.iter().for_each(|token| bench.assert_denied(token.expose_secret(), DenialReason::Revoked));
    bench.assert_good(kept.expose_secret());
    bench.assert_good(his.expose_secret());
    let heard = bench.heard.texts();
    assert_eq!(heard.iter().filter(|text| text.starts_with("Revoked")).count(), 1);
    assert!(
        heard[0].contains("count: 5, is_certain: true") && heard[0].contains("password changed"),
        "{}",
        heard[0]
    );
}

#[test]
fn tokens_unused_since_a_date_exclude_those_with_pending_uses() {
    let bench = bench(policy());
    let tokens = &bench.tokens;
    let (unused, used) = (bench.issue("alice"), bench.issue("alice"));
    bench.clock.set(at(1000));
    bench.assert_good(used.expose_secret()); // noted, not written
    let stale = Filter { last_used_before: Some(at(500)), ..Filter::every_token() };
    assert_eq!(
        tokens
            .block_on(tokens.revoke_matching(&operator("cron"), &stale, Reason::REQUESTED))
            .unwrap(),
        1
    );
    bench.assert_denied(unused.expose_secret(), DenialReason::Revoked);
    bench.assert_good(used.expose_secret());
}

// -- forget and purge

#[test]
fn a_forgotten_token_leaves_nothing_behind() {
    let bench = bench(policy());
    let tokens = &bench.tokens;
    let (one, other) = (bench.issue("alice"), bench.issue("alice"));
    assert_eq!(tokens.block_on(tokens.forget(&owner("alice"), one.id())).unwrap(), 1);
    bench.assert_denied(one.expose_secret(), DenialReason::Unknown);
    bench.assert_good(other.expose_secret());
    assert!(matches!(
        tokens.block_on(tokens.forget(&owner("alice"), one.id())),
        Err(ManageError::Unknown)
    ));
    assert_eq!(tokens.block_on(tokens.forget_owner(&owner("alice"), &operator("ops"))).unwrap(), 1);
    assert!(bench.all_of("alice").is_empty());
    assert_eq!(tokens.block_on(tokens.forget_owner(&owner("alice"), &operator("ops"))).unwrap(), 0);
    assert!(bench.heard.kinds().contains(&"Forgotten".to_owned()));
}

#[test]
fn an_owner_with_more_tokens_than_one_batch_is_forgotten_completely() {
    let bench = bench(policy().with_no_limit_per_owner());
    (0..2500).for_each(|_| drop(bench.issue("alice")));
    assert_eq!(
        bench
            .tokens
            .block_on(bench.tokens.forget_owner(&owner("alice"), &operator("ops")))
            .unwrap(),
        2500
    );
}

#[test]
fn a_purge_deletes_what_has_been_dead_for_longer_than_retention_and_nothing_else() {
    let bench = bench(policy().with_retention(secs(100)));
    let tokens = &bench.tokens;
    let living = bench.issue("alice");
    let expiring = tokens
        .block_on(tokens.issue(NewToken::new("alice", "x", Access::full()).expires_in(secs(50))))
        .unwrap();
    let revoked = bench.issue("alice");
    bench.clock.set(at(60));
    tokens.block_on(tokens.revoke(&operator("ops"), revoked.id(), Reason::REQUESTED)).unwrap();
    for (seconds, deleted) in [(149, 0), (150, 1), (159, 0), (160, 1), (100_000, 0)] {
        bench.clock.set(at(seconds));
        assert_eq!(tokens.block_on(tokens.purge()).unwrap(), deleted, "at {seconds}");
    }
    bench.assert_denied(expiring.expose_secret(), DenialReason::Unknown);
    bench.assert_denied(revoked.expose_secret(), DenialReason::Unknown);
    bench.assert_good(living.expose_secret());
}

#[test]
fn an_idle_token_is_purged_when_retention_has_passed_since_it_went_idle() {
    let bench = bench(policy().with_idle_timeout(DAY).unwrap().with_retention(DAY));
    let _upkeep = bench.tokens.upkeep();
    drop(bench.issue("alice"));
    bench.clock.set(at(2 * 86_400 - 1));
    assert_eq!(bench.tokens.block_on(bench.tokens.purge()).unwrap(), 0);
    bench.clock.set(at(2 * 86_400));
    assert_eq!(bench.tokens.block_on(bench.tokens.purge()).unwrap(), 1);
}

/// Otherwise no revocation of the parent, or of its family, would find what was issued under it.
#[test]
fn an_idle_token_is_kept_while_what_was_issued_under_it_lives() {
    let bench = bench(policy().with_idle_timeout(DAY).unwrap().with_retention(DAY));
    let _upkeep = bench.tokens.upkeep();
    let tokens = &bench.tokens;
    let parent = bench.issue("alice");
    let caller = any(tokens.block_on(tokens.authenticate(parent.expose_secret())).unwrap());
    let child = tokens
        .block_on(tokens.issue_under(&caller, NewToken::new("alice", "Script", Access::full())))
        .unwrap();
    for hour in 1..=60 {
        bench.clock.set(at(hour * 3600));
        bench.assert_good(child.expose_secret());
        assert_eq!(tokens.block_on(tokens.purge()).unwrap(), 0, "after {hour} hours");
    }
    bench.assert_denied(parent.expose_secret(), DenialReason::Idle);
    tokens.block_on(tokens.revoke(&operator("ops"), parent.id(), Reason::REQUESTED)).unwrap();
    bench.assert_denied(child.expose_secret(), DenialReason::Revoked);
    bench.clock.set(at((60 + 24) * 3600));
    assert_eq!(tokens.block_on(tokens.purge()).unwrap(), 2, "nothing holds it any more");
}

/// A revocation of all others ends the parent and spares the child that asked for it. A second one
/// must still find the child.
#[test]
fn a_revoked_token_is_kept_while_what_was_issued_under_it_was_spared() {
    let bench = bench(policy().with_retention(DAY));
    let (tokens, ops) = (&bench.tokens, &operator("ops"));
    let parent = bench.issue("alice");
    let caller = any(tokens.block_on(tokens.authenticate(parent.expose_secret())).unwrap());
    let child = tokens
        .block_on(tokens.issue_under(&caller, NewToken::new("alice", "Script", Access::full())))
        .unwrap();
    let others = Filter { except_family: Some(child.id()), ..Filter::of_owner(&owner("alice")) };
    assert_eq!(
        tokens.block_on(tokens.revoke_matching(ops, &others, Reason::REQUESTED)).unwrap(),
        1
    );
    bench.clock.set(at(10 * 86_400));
    assert_eq!(tokens.block_on(tokens.purge()).unwrap(), 0);
    bench.assert_good(child.expose_secret());
    let family = Filter::of_family(&owner("alice"), parent.id());
    assert_eq!(
        tokens.block_on(tokens.revoke_matching(ops, &family, Reason::REQUESTED)).unwrap(),
        1
    );
    bench.assert_denied(child.expose_secret(), DenialReason::Revoked);
}

// -- last use

#[test]
fn a_use_is_listed_before_it_is_written_and_written_when_flushed() {
    let bench = bench(policy());
    let issued = bench.issue("alice");
    let stored = || {
        let row =
            futures_ready(app_tokens::store::TokenStore::find(bench.tokens.store(), issued.id()));
        row.unwrap().unwrap().record().unwrap().last_use().map(|last_use| last_use.at)
    };
    bench.clock.set(at(5));
    bench.assert_good(issued.expose_secret());
    assert_eq!(bench.all_of("alice")[0].last_use().unwrap().at, at(5));
    assert_eq!(stored(), None, "nothing is written on the way of a login");
    bench.tokens.block_on(bench.tokens.flush_usage()).unwrap();
    assert_eq!(stored(), Some(at(5)));
}

fn futures_ready<T>(future: impl Future<Output = T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(done) => done,
        std::task::Poll::Pending => panic!("the memory store never waits"),
    }
}

#[test]
fn a_use_is_recorded_once_per_interval_even_by_clones_and_after_a_flush() {
    let bench = bench(policy());
    let issued = bench.issue("alice");
    let clone = bench.tokens.clone();
    let last = || bench.all_of("alice")[0].last_use().unwrap().at;
    for (seconds, expected) in [(0, 0), (59, 0), (60, 60), (61, 60), (119, 60), (120, 120)] {
        bench.clock.set(at(seconds));
        any(clone.block_on(clone.authenticate(issued.expose_secret())).unwrap());
        bench.assert_good(issued.expose_secret());
        assert_eq!(last(), at(expected));
        if seconds == 61 {
            bench.tokens.block_on(bench.tokens.flush_usage()).unwrap();
        }
    }
}

#[test]
fn a_denied_token_records_no_use() {
    let bench = bench(policy());
    let issued = bench.issue("alice");
    bench
        .tokens
        .block_on(bench.tokens.revoke(&operator("ops"), issued.id(), Reason::REQUESTED))
        .unwrap();
    bench.assert_denied(issued.expose_secret(), DenialReason::Revoked);
    assert_eq!(bench.all_of("alice")[0].last_use(), None);
}

#[test]
fn an_idle_time_out_is_refused_while_no_upkeep_is_attached() {
    let bench = bench(policy().with_idle_timeout(DAY).unwrap());
    let tokens = &bench.tokens;
    let refused =
        tokens.block_on(tokens.issue(NewToken::new("alice", "x", Access::full()))).unwrap_err();
    assert!(matches!(refused, IssueError::Failed(Failed::NoUpkeep)), "{refused}");
    let upkeep = bench.tokens.upkeep();
    let issued =
        tokens.block_on(tokens.issue(NewToken::new("alice", "x", Access::full()))).unwrap();
    bench.assert_good(issued.expose_secret());
    drop(upkeep);
    assert!(matches!(bench.assert_failed(issued.expose_secret()), Failed::NoUpkeep));
}

#[test]
fn an_idle_token_is_denied_and_a_used_one_is_not() {
    let bench = bench(policy().with_idle_timeout(DAY).unwrap());
    let _upkeep = bench.tokens.upkeep();
    let (used, unused) = (bench.issue("alice"), bench.issue("alice"));
    bench.clock.set(at(86_399));
    bench.assert_good(used.expose_secret());
    bench.clock.set(at(86_400));
    bench.assert_denied(unused.expose_secret(), DenialReason::Idle);
    bench.assert_good(used.expose_secret());
    bench.clock.set(at(2 * 86_400 - 1));
    bench.assert_denied(used.expose_secret(), DenialReason::Idle);
}

#[test]
fn addresses_and_clients_are_kept_only_if_the_policy_says_so() {
    let address: IpAddr = "192.0.2.7".parse().unwrap();
    for (policy, kept) in [(policy(), None), (policy().with_recorded_origin(), Some(address))] {
        let bench = bench(policy);
        let issued = bench.issue("alice");
        let origin = Origin::unknown().address(address).client("rclone\n/1");
        let text = issued.expose_secret();
        any(bench.tokens.block_on(bench.tokens.authenticate_from(text, origin)).unwrap());
        let view = &bench.all_of("alice")[0];
        let last_use = view.last_use().unwrap();
        assert_eq!(last_use.address, kept);
        assert_eq!(last_use.client.as_deref(), kept.map(|_| "rclone/1"));
    }
}

// -- events

#[test]
fn the_first_use_and_a_new_address_are_events() {
    let bench = bench(policy().with_recorded_origin());
    let issued = bench.issue("alice");
    let from = |address: &str| {
        let address: IpAddr = address.parse().unwrap();
        let text = issued.expose_secret();
        any(bench.tokens.block_on(bench.tokens.authenticate_from(text, address)).unwrap());
        bench.clock.advance(secs(60));
    };
    from("192.0.2.1");
    from("192.0.2.1");
    bench.tokens.block_on(bench.tokens.flush_usage()).unwrap();
    from("192.0.2.2");
    from("192.0.2.2");
    assert_eq!(bench.heard.kinds(), ["Issued", "FirstUse", "NewAddress"]);
}

#[test]
fn an_observer_that_panics_fails_no_call() {
    let tokens = TokenAuthority::builder(MemoryStore::new(), ring(), policy())
        .observer(|_: &app_tokens::event::Event<'_>| panic!("the log is full"))
        .build();
    let issued =
        tokens.block_on(tokens.issue(NewToken::new("alice", "x", Access::full()))).unwrap();
    assert!(tokens.block_on(tokens.authenticate(issued.expose_secret())).is_ok());
}

#[test]
fn no_event_error_or_debug_text_holds_a_secret() {
    let bench = bench(policy());
    let tokens = &bench.tokens;
    let issued =
        tokens.block_on(tokens.issue(NewToken::new("alice", "My phone", Access::full()))).unwrap();
    let text = issued.expose_secret().to_owned();
    let authenticated = tokens.block_on(tokens.authenticate(&text)).unwrap();
    let mut texts = vec![
        format!("{issued:?}"),
        format!("{authenticated:?}"),
        format!("{:?}", any(authenticated.clone())),
        format!("{:?} {:?}", bench.tokens, bench.tokens.store()),
        format!("{:?}", tokens.block_on(tokens.find(&operator("ops"), issued.id())).unwrap()),
        format!(
            "{:?}",
            tokens.block_on(tokens.list(&Filter::every_token(), Page::first(10))).unwrap()
        ),
        format!(
            "{:?}",
            futures_ready(app_tokens::store::TokenStore::find(bench.tokens.store(), issued.id()))
        ),
    ];
    tokens.block_on(tokens.revoke(&operator("ops"), issued.id(), Reason::LEAKED)).unwrap();
    for presented in
        [text.clone(), format!("{text}x"), text.to_uppercase(), format!("other{}", &text[4..])]
    {
        let error = tokens.block_on(tokens.authenticate(&presented)).unwrap_err();
        texts.push(format!("{error} {error:?}"));
    }
    texts.extend(bench.heard.texts());
    let secret = &text[15..];
    let stored =
        app_tokens::record::Digest::of(&app_tokens::token::Token::parse_any_prefix(&text).unwrap());
    let digest: String = stored.to_bytes()[1..5].iter().map(|byte| format!("{byte:02x}")).collect();
    for printed in texts {
        let printed = printed.to_lowercase();
        let leaks = secret
            .as_bytes()
            .windows(6)
            .any(|part| printed.contains(std::str::from_utf8(part).unwrap()));
        assert!(!leaks && !printed.contains(&digest), "{printed}");
    }
}

// -- which store

#[test]
fn a_store_may_be_chosen_at_run_time() {
    let tokens = TokenAuthority::new(DynStore::new(MemoryStore::new()), ring(), policy());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let issued = tokens.issue(NewToken::new("alice", "x", Access::full())).await.unwrap();
        any(tokens.authenticate(issued.expose_secret()).await.unwrap());
    });
}

#[test]
fn futures_are_send() {
    fn send<T: Send>(value: T) -> T {
        value
    }
    let bench = bench(policy());
    let alice = owner("alice");
    drop(send(bench.tokens.issue(NewToken::new("alice", "x", Access::full()))));
    drop(send(bench.tokens.authenticate("x")));
    drop(send(bench.tokens.authenticate_as(&alice, "x", Origin::unknown())));
    drop(send(bench.tokens.list(&Filter::every_token(), Page::first(1))));
    drop(send(bench.tokens.revoke(&alice, TokenId::MAX, Reason::REQUESTED)));
    drop(send(bench.tokens.purge()));
}
