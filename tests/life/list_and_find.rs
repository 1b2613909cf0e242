//! `list` and `find`: pages, and who may see what.

use app_tokens::error::ManageError;
use app_tokens::record::Actor;
use app_tokens::store::{Filter, Page};
use app_tokens::{Reason, TokenId};

use super::common::*;

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
    assert!(matches!(revoked, Err(ManageError::NotAllowed)));
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
        assert!(matches!(
            tokens.block_on(tokens.revoke_matching(by, &all, Reason::REQUESTED)),
            Err(ManageError::NotAllowed)
        ));
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
