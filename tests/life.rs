//! A token's life, operation by operation, as properties.

mod common;
#[path = "life/authenticate.rs"]
mod authenticate;
#[path = "life/events.rs"]
mod events;
#[path = "life/forget_and_purge.rs"]
mod forget_and_purge;
#[path = "life/issue.rs"]
mod issue;
#[path = "life/last_use.rs"]
mod last_use;
#[path = "life/list_and_find.rs"]
mod list_and_find;
#[path = "life/revoke.rs"]
mod revoke;

use app_tokens::store::{DynStore, Filter, MemoryStore, Page};
use app_tokens::{Access, NewToken, Origin, Reason, TokenAuthority, TokenId};
use common::*;

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
