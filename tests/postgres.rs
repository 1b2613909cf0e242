//! What `PostgresStore` promises beyond the contract.

#[path = "conformance/postgres.rs"]
mod conformance;
#[path = "postgres/damage.rs"]
mod damage;
#[path = "postgres/dropped.rs"]
mod dropped;
#[path = "postgres/engine_within.rs"]
mod engine_within;
#[path = "postgres/errors.rs"]
mod errors;
#[path = "postgres/keys.rs"]
mod keys;
#[path = "postgres/lost.rs"]
mod lost;
#[path = "postgres/pgbouncer.rs"]
mod pgbouncer;
#[path = "postgres/plans.rs"]
mod plans;
#[path = "postgres/purge_races.rs"]
mod purge_races;
#[path = "postgres/races.rs"]
mod races;
#[path = "postgres/reference.rs"]
mod reference;
#[path = "postgres/standby.rs"]
mod standby;
#[path = "postgres/tables.rs"]
mod tables;
#[path = "postgres/triggers.rs"]
mod triggers;
#[path = "postgres/within.rs"]
mod within;
#[path = "common/vectors.rs"]
mod vectors;
#[path = "postgres/vectors.rs"]
mod vectors_in_a_database;

use app_tokens::store::PostgresStore;
use app_tokens::{Access, KeyRing, NewToken, Policy, Requirement, TokenAuthority};

use support::postgres::{RUNTIME, Server};

#[test]
fn a_token_lives_its_life_in_a_real_database() {
    RUNTIME.block_on(async {
        let database = Server::needed().database().await;
        let store: PostgresStore = database.store().await;
        let tokens =
            TokenAuthority::new(store, KeyRing::ephemeral().unwrap(), Policy::new("acme").unwrap());
        let issued =
            tokens.issue(NewToken::new("alice", "My phone", Access::full())).await.unwrap();
        let good = tokens.authenticate(issued.expose_secret()).await.unwrap();
        let caller = good.require(Requirement::ANY_VALID_TOKEN).unwrap();
        assert_eq!(caller.owner().as_str(), "alice");
    });
}
