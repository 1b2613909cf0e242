//! Rows that were damaged by hand.

use app_tokens::store::{Filter, Page, Purge, TokenStore};
use app_tokens::{Access, KeyRing, NewToken, Policy, TokenAuthority};

use support::chance::*;
use support::damage::{Dialect, damages};
use support::postgres::{RUNTIME, Server};

/// Columns that must not be NULL. No setting of SQLite lifts that, but in PostgreSQL the constraint
/// can be dropped.
const NEEDED: [&str; 7] =
    ["digest", "owner", "label", "created_at", "family", "revision", "key_id"];

/// Drops the checks that would refuse the damage.
const WITHOUT_CHECKS: &str = "
    DO $$ DECLARE name text; BEGIN
        FOR name IN SELECT conname FROM pg_constraint \
                WHERE conrelid = 'app_tokens'::regclass AND contype = 'c' LOOP
            EXECUTE format('ALTER TABLE app_tokens DROP CONSTRAINT %I', name);
        END LOOP;
        FOR name IN SELECT attname FROM pg_attribute \
                WHERE attrelid = 'app_tokens'::regclass AND attnotnull AND attnum > 0 \
                AND attname <> 'id' LOOP
            EXECUTE format('ALTER TABLE app_tokens ALTER %I DROP NOT NULL', name);
        END LOOP;
    END $$";

#[test]
fn a_row_damaged_in_any_column_does_not_authenticate_blocks_no_other_and_can_be_revoked() {
    RUNTIME.block_on(async {
        let database = Server::needed().database().await;
        let (store, raw) = (database.store().await, database.raw().await);
        raw.batch_execute(WITHOUT_CHECKS).await.unwrap();
        let policy = Policy::new("acme").unwrap().with_no_limit_per_owner();
        let tokens = TokenAuthority::new(store.clone(), KeyRing::ephemeral().unwrap(), policy);
        let issue = async || {
            let access = Access::scopes(["r", "w"])
                .unwrap()
                .on(["exact:a", "prefix:b"].map(|text| text.parse().unwrap()))
                .unwrap();
            tokens.issue(NewToken::new("alice", "My phone", access)).await.unwrap()
        };
        let sound = issue().await;
        let nulls = NEEDED.map(|column| (format!("{column} = NULL"), false));
        for (damage, readable) in damages(Dialect::Postgres).into_iter().chain(nulls) {
            let token = issue().await;
            let number = token.id().as_u64().cast_signed();
            assert!(tokens.authenticate(token.expose_secret()).await.is_ok());
            let write = format!("UPDATE app_tokens SET {damage} WHERE id = $1");
            raw.execute(&write, &[&number]).await.unwrap();

            let found = store.find(token.id()).await.unwrap().unwrap();
            assert_eq!(found.record().is_some(), readable, "{damage}");
            assert!(tokens.authenticate(token.expose_secret()).await.is_err(), "{damage}");
            assert!(tokens.authenticate(sound.expose_secret()).await.is_ok(), "{damage}");
            let rows = store.list(&Filter::every_token(), Page::first(9)).await.unwrap();
            assert_eq!(rows.len(), 2, "{damage}");

            let count = store.revoke(&Filter::of_id(token.id()), &revocation()).await.unwrap();
            assert_eq!(count, 1, "{damage}");
            let ended = "SELECT revoked_at, seal, revision FROM app_tokens WHERE id = $1";
            let ended = raw.query_one(ended, &[&number]).await.unwrap();
            assert_eq!(ended.get::<_, i64>(0), at(7).as_unix(), "{damage}");
            assert_eq!(ended.get::<_, Option<Vec<u8>>>(1), None, "{damage}");
            let revision = i64::from(!damage.starts_with("revision"));
            assert_eq!(ended.get::<_, i64>(2), revision, "{damage}");
            assert!(tokens.authenticate(token.expose_secret()).await.is_err(), "{damage}");
            store.purge(&Purge::Matching(Filter::of_id(token.id())), 9).await.unwrap();
        }
    });
}

#[test]
fn a_row_with_an_invalid_id_hides_no_other_and_is_revoked() {
    RUNTIME.block_on(async {
        let database = Server::needed().database().await;
        let (store, raw) = (database.store().await, database.raw().await);
        raw.batch_execute(WITHOUT_CHECKS).await.unwrap();
        for number in 1..=4 {
            store.insert(&creation(parts(number))).await.unwrap();
        }
        let change = "UPDATE app_tokens SET id = -9 WHERE id = 1; \
                      UPDATE app_tokens SET id = 1125899906842624 WHERE id = 2";
        raw.batch_execute(change).await.unwrap();
        let rows = store.list(&Filter::every_token(), Page::first(2)).await.unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!(store.revoke(&Filter::every_token(), &revocation()).await.unwrap(), 4);
    });
}
