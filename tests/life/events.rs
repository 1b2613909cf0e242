//! What an observer and a log see, and what they must not see.

use std::net::IpAddr;

use app_tokens::store::{Filter, MemoryStore, Page};
use app_tokens::{Access, NewToken, Reason, TokenAuthority};

use super::common::*;

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
            ready(app_tokens::store::TokenStore::find(bench.tokens.store(), issued.id()))
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
