//! Basic and Bearer decide alike.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use app_tokens::clock::ManualClock;
use app_tokens::event::Event;
use app_tokens::store::MemoryStore;
use app_tokens::web::Login;
use app_tokens::{Access, KeyRing, NewToken, Origin, Policy, Reason, Timestamp, TokenAuthority};
use proptest::prelude::*;

use super::accounts::Doorman;
use super::*;

/// Tokens of Alice's in every state, and a login.
struct EveryState {
    login: Login<MemoryStore, Doorman>,
    texts: Vec<String>,
    told: Arc<Mutex<Vec<String>>>,
}

fn every_state() -> EveryState {
    let told = Arc::new(Mutex::new(Vec::new()));
    let log = told.clone();
    let clock = ManualClock::at(Timestamp::from_unix(2_000_000_000).unwrap());
    let policy = Policy::new("acme").unwrap();
    let tokens = TokenAuthority::builder(MemoryStore::new(), KeyRing::ephemeral().unwrap(), policy)
        .clock(clock.clone())
        .observer(move |event: &Event<'_>| {
            if let Event::Denied { reason, .. } = event {
                log.lock().unwrap().push(format!("{reason:?}"));
            }
        })
        .build();
    let minute = Duration::from_secs(60);
    let of = |owner| NewToken::new(owner, "My phone", Access::full()).expires_in(minute * 2);
    let issued =
        [of("alice"), of("bob"), of("disabled"), of("alice"), of("alice").expires_in(minute)]
            .map(|new| tokens.block_on(tokens.issue(new)).unwrap());
    let by = &operator("test");
    tokens.block_on(tokens.revoke(by, issued[3].id(), Reason::REQUESTED)).unwrap();
    clock.advance(minute);
    let texts = issued.iter().map(|issued| issued.expose_secret().to_owned()).collect();
    EveryState { login: Login::new(tokens, Doorman), texts, told }
}

proptest! {
    /// Threat A: no way in is weaker than another.
    #[test]
    fn basic_and_bearer_give_the_same_decision(
        which in 0..5_usize, at in 0..50_usize, cut in 0..2_usize,
        insert in "[a-zA-Z0-9._~+/-]{0,2}",
        damaged: bool,
    ) {
        let EveryState { login, texts, told } = every_state();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut text = texts[which].clone();
        if damaged {
            text = format!("{}{insert}{}", &text[..at], &text[at + cut..]);
        }
        let decide = |header: String| {
            let headers = [("authorization", header.as_bytes())];
            let outcome = runtime.block_on(login.enter(headers, Origin::unknown()));
            let decision = match &outcome {
                Ok(token) => Ok(format!("{token:?}")),
                Err(refusal) => Err((login.answer(refusal), refusal.to_string())),
            };
            (decision, std::mem::take(&mut *told.lock().unwrap()))
        };
        let by_bearer = decide(bearer(&text));
        prop_assert_eq!(&decide(format!("token {text}")), &by_bearer);
        prop_assert_eq!(&decide(basic("", &text)), &by_bearer);
        let owner = ["alice", "bob", "disabled", "alice", "alice"][which];
        prop_assert_eq!(&decide(basic(owner, &text)), &by_bearer);
        let (by_other, _) = decide(basic("mallory", &text));
        prop_assert!(by_other.is_err());
        if !damaged {
            prop_assert_eq!(by_bearer.0.is_ok(), which < 2);
        }
    }
}
