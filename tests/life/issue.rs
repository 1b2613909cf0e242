//! `issue`: what the new token is, and what is refused.

use app_tokens::error::{Failed, IssueError};
use app_tokens::rand_core::{TryCryptoRng, TryRng};
use app_tokens::record::Expires;
use app_tokens::store::MemoryStore;
use app_tokens::{Access, KeyRing, NewToken, Reason, Requirement, TokenAuthority};

use super::common::*;

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
