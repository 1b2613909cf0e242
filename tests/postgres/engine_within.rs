//! The engine within a transaction of the host's: an account and its tokens are made and deleted
//! together.

use std::sync::{Arc, Mutex};

use app_tokens::error::IssueError;
use app_tokens::event::Event;
use app_tokens::store::{Filter, PostgresStore};
use app_tokens::{Access, IssuedToken, KeyRing, NewToken, Policy, Reason, TokenAuthority, TokenId};
use deadpool_postgres::Client;

use support::chance::{ops, owner};
use support::postgres::{Database, RUNTIME, Server};

/// A host with users, at most two tokens for each, and a record of the engine's events.
struct Host {
    tokens: TokenAuthority<PostgresStore>,
    store: PostgresStore,
    client: Client,
    heard: Arc<Mutex<Vec<&'static str>>>,
    _database: Database<'static>,
}

impl Host {
    async fn new() -> Host {
        let database = Server::needed().database().await;
        let store = database.store().await;
        let client = database.pool().get().await.unwrap();
        client.batch_execute("CREATE TABLE users (name text PRIMARY KEY)").await.unwrap();
        let heard = Arc::<Mutex<Vec<_>>>::default();
        let ear = heard.clone();
        let policy = Policy::new("acme").unwrap().with_max_per_owner(2).unwrap();
        let tokens = TokenAuthority::builder(store.clone(), KeyRing::ephemeral().unwrap(), policy)
            .observer(move |event: &Event<'_>| match event {
                Event::Issued { .. } => ear.lock().unwrap().push("issued"),
                Event::Revoked { .. } => ear.lock().unwrap().push("revoked"),
                _ => {}
            })
            .build();
        Host { tokens, store, client, heard, _database: database }
    }

    async fn issue(&self) -> IssuedToken {
        let issued = self.tokens.issue(phone()).await.unwrap();
        self.heard();
        issued
    }

    async fn is_good(&self, token: &IssuedToken) -> bool {
        self.tokens.authenticate(token.expose_secret()).await.is_ok()
    }

    async fn users(&self) -> i64 {
        self.client.query_one("SELECT count(*) FROM users", &[]).await.unwrap().get(0)
    }

    async fn rows(&self) -> usize {
        let page = app_tokens::store::Page::first(99);
        self.tokens.list(&Filter::every_token(), page).await.unwrap().tokens.len()
    }

    fn heard(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.heard.lock().unwrap())
    }
}

fn phone() -> NewToken {
    NewToken::new("alice", "My phone", Access::full())
}

const ADD_USER: &str = "INSERT INTO users VALUES ('alice')";

#[test]
fn an_account_and_its_first_token_are_made_together_or_not_at_all() {
    RUNTIME.block_on(async {
        let mut host = Host::new().await;
        for commits in [false, true] {
            let transaction = host.client.transaction().await.unwrap();
            transaction.batch_execute(ADD_USER).await.unwrap();
            let within = host.store.within(&transaction).await.unwrap();
            let engine = host.tokens.in_transaction(&within);
            let issued = engine.issue(phone()).await.unwrap();
            assert!(host.tokens.authenticate(issued.expose_secret()).await.is_err(), "not yet");
            let events = engine.into_events();
            if commits {
                transaction.commit().await.unwrap();
                assert_eq!(host.heard(), [""; 0]);
                events.send();
            } else {
                transaction.rollback().await.unwrap();
                drop(events);
            }
            assert_eq!(host.heard(), if commits { &["issued"][..] } else { &[] });
            assert_eq!(host.is_good(&issued).await, commits);
            assert_eq!(
                (host.users().await, host.rows().await),
                (i64::from(commits), usize::from(commits))
            );
        }
    });
}

#[test]
fn an_account_and_its_tokens_are_deleted_together_or_not_at_all() {
    RUNTIME.block_on(async {
        let mut host = Host::new().await;
        host.client.batch_execute(ADD_USER).await.unwrap();
        let (one, other) = (host.issue().await, host.issue().await);
        for commits in [false, true] {
            let transaction = host.client.transaction().await.unwrap();
            transaction.batch_execute("DELETE FROM users").await.unwrap();
            let within = host.store.within(&transaction).await.unwrap();
            let engine = host.tokens.in_transaction(&within);
            assert_eq!(engine.revoke(&ops(), one.id(), Reason::REQUESTED).await.unwrap(), 1);
            let hers = Filter::of_owner(&owner("alice"));
            let ended = engine.revoke_matching(&ops(), &hers, Reason::REQUESTED).await.unwrap();
            assert_eq!(ended, 1, "the other one");
            let events = engine.into_events();
            assert!(host.tokens.authenticate(one.expose_secret()).await.is_ok(), "still");
            if commits {
                transaction.commit().await.unwrap();
                events.send();
            } else {
                transaction.rollback().await.unwrap();
                drop(events);
            }
            assert_eq!(host.heard(), if commits { &["revoked", "revoked"][..] } else { &[] });
            assert_eq!(host.users().await, i64::from(!commits));
            for token in [&one, &other] {
                assert_eq!(host.is_good(token).await, !commits);
            }
        }
    });
}

#[test]
fn a_rule_that_refuses_does_not_end_the_hosts_transaction() {
    RUNTIME.block_on(async {
        let mut host = Host::new().await;
        let (one, _other) = (host.issue().await, host.issue().await);
        let transaction = host.client.transaction().await.unwrap();
        let within = host.store.within(&transaction).await.unwrap();
        let engine = host.tokens.in_transaction(&within);
        let refused = engine.issue(phone()).await.unwrap_err();
        assert!(matches!(refused, IssueError::LimitReached { limit: 2 }), "{refused}");
        let by_bob = engine.revoke(&owner("bob"), one.id(), Reason::REQUESTED).await;
        assert!(by_bob.is_err());
        let nobody = TokenId::from_u64(7).unwrap();
        assert!(engine.revoke(&ops(), nobody, Reason::REQUESTED).await.is_err());
        // A token that it revokes itself makes room.
        assert_eq!(engine.revoke(&ops(), one.id(), Reason::REQUESTED).await.unwrap(), 1);
        let issued = engine.issue(phone()).await.unwrap();
        transaction.batch_execute(ADD_USER).await.unwrap();
        let events = engine.into_events();
        transaction.commit().await.unwrap();
        events.send();
        assert_eq!(host.heard(), ["revoked", "issued"]);
        assert!(host.is_good(&issued).await && !host.is_good(&one).await);
        assert_eq!(host.users().await, 1);
    });
}

#[test]
fn after_an_error_of_the_hosts_own_nothing_is_issued_and_the_call_fails() {
    RUNTIME.block_on(async {
        let mut host = Host::new().await;
        host.client.batch_execute(ADD_USER).await.unwrap();
        let transaction = host.client.transaction().await.unwrap();
        let within = host.store.within(&transaction).await.unwrap();
        let engine = host.tokens.in_transaction(&within);
        let first = engine.issue(phone()).await.unwrap();
        transaction.batch_execute(ADD_USER).await.unwrap_err();
        let error = engine.issue(phone()).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("PostgreSQL: current transaction is aborted"), "{text}");
        assert!(matches!(error, IssueError::Failed(_)), "{error:?}");
        drop(engine);
        // PostgreSQL takes this COMMIT for a ROLLBACK, and calls that no error.
        transaction.commit().await.unwrap();
        assert!(!host.is_good(&first).await);
        assert_eq!((host.rows().await, host.heard()), (0, vec![]));
    });
}
