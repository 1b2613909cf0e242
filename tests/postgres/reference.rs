//! SQL that means what the reference says.

use app_tokens::store::{Filter, PostgresStore, Purge, TokenStore};

use support::by_reference;
use support::chance::wait;
use support::postgres::{Blocked, RUNTIME, Server};

by_reference::tests!(emptied(), 150);

/// Returns the same store each time, emptied.
fn emptied() -> impl Fn() -> Blocked<PostgresStore> {
    let store = RUNTIME.block_on(async { Server::needed().database().await.store().await });
    let store = Blocked(store);
    move || {
        wait(store.purge(&Purge::Matching(Filter::every_token()), u32::MAX)).unwrap();
        store.clone()
    }
}
