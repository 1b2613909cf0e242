//! The list of tokens that expire soon.

use app_tokens::store::Page;
use app_tokens::{Access, NewToken, TokenId, TokenView};

use super::common::*;

#[test]
fn what_expires_within_a_period_is_listed_and_what_has_ended_is_not() {
    let bench = bench(policy().with_never_expiring().unwrap());
    let tokens = &bench.tokens;
    let [gone, first, last, late] = [10, 100, 1000, 1001].map(|seconds| bench.issue_for(seconds));
    let revoked = bench.issue_for(100);
    bench.revoke(&revoked);
    let never = tokens
        .block_on(tokens.issue(NewToken::new("alice", "x", Access::full()).never_expires()))
        .unwrap();
    let old = bench.issue_for(100);
    let successor = bench.rotate(&old, 50);
    bench.clock.set(at(10));
    let page = tokens.block_on(tokens.expiring(secs(990), Page::first(100))).unwrap();
    let mut right = [first.id(), last.id(), successor.id()];
    right.sort_unstable();
    let listed: Vec<TokenId> = page.tokens.iter().map(TokenView::id).collect();
    assert_eq!(listed, right, "not {:?}", [gone.id(), late.id(), never.id(), old.id()]);
    assert!(page.next.is_none());
}

#[test]
fn pages_of_expiring_tokens_lead_to_the_end_even_if_one_is_empty() {
    let bench = bench(policy());
    let tokens = &bench.tokens;
    let mut living = Vec::new();
    for number in 0..30 {
        let token = bench.issue_for(if number % 2 == 0 { 5 } else { 100 });
        living.extend((number % 2 == 1).then_some(token.id()));
    }
    living.sort_unstable();
    bench.clock.set(at(5));
    let (mut page, mut listed) = (Page::first(3), Vec::new());
    loop {
        let found = tokens.block_on(tokens.expiring(secs(1000), page)).unwrap();
        listed.extend(found.tokens.iter().map(TokenView::id));
        page.after = found.next;
        if found.next.is_none() {
            break;
        }
    }
    assert_eq!(listed, living);
    assert!(
        tokens
            .block_on(tokens.expiring(std::time::Duration::MAX, Page::first(100)))
            .unwrap()
            .next
            .is_none()
    );
}
