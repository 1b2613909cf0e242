//! The plans that PostgreSQL makes for our statements.

use app_tokens::store::{Filter, TokenStore, postgres_sql};
use app_tokens::{Timestamp, TokenId};
use tokio_postgres::Client;

use support::chance::*;
use support::postgres::{RUNTIME, Server};

/// In a table of 100,000 rows, no statement about some of them reads all.
#[test]
fn what_the_engine_asks_for_one_owner_or_token_is_found_by_an_index() {
    RUNTIME.block_on(async {
        let database = Server::needed().database().await;
        let (store, raw) = (database.store().await, database.raw().await);
        let fill = format!(
            "INSERT INTO app_tokens (id, digest, owner, label, created_at, expires_at, family, \
             derived_from, revision, key_id, seal, revoked_at, revoked_reason, revoked_by)
             SELECT n, '\\x01', 'owner ' || n / 20, 'label', {0}, {0} + n, n, \
                CASE WHEN n % 50 = 0 THEN n - 1 END, 0, 1 + (n < 100)::int, NULL,
                CASE WHEN n % 3 = 0 THEN {0} END, CASE WHEN n % 3 = 0 THEN 'x' END, \
                CASE WHEN n % 3 = 0 THEN 'owner' END
             FROM generate_series(0, 99999) AS n; ANALYZE app_tokens",
            at(0).as_unix()
        );
        raw.batch_execute(&fill).await.unwrap();
        let mine = Filter::of_owner(&owner("owner 7"));
        let revoked = store.revoke(&mine, &revocation()).await.unwrap();
        assert!(revoked > 10);
        let expiring = Filter {
            expires_from: Some(at(9)),
            expires_before: Some(at(50)),
            ..Filter::every_token()
        };
        for filter in
            [mine, Filter::of_id(id(77)), Filter::of_family(&owner("owner 7"), id(147)), expiring]
        {
            let values = literals(&filter);
            let page = ["-1", "100"].map(String::from);
            let revocation = ["7", "'x'", "'owner'"].map(String::from);
            for (sql, more) in [
                (postgres_sql::LIST, &page[..]),
                (postgres_sql::REVOKE, &revocation[..]),
                (postgres_sql::PURGE_MATCHING, &page[1..]),
            ] {
                assert_by_index(&raw, sql, &[&values[..], more].concat()).await;
            }
        }
        let standing =
            ["1", "'owner 7'", "1", "1", "'label'", "NULL::bigint", "9"].map(String::from);
        assert_by_index(&raw, postgres_sql::INSERT_CONFLICTS, &standing).await;
        assert_by_index(&raw, postgres_sql::FIND, &["1".into()]).await;
        assert_by_index(&raw, postgres_sql::LOCK_ROWS, &["'{1,2,3}'".into()]).await;
        let mut forms = vec!["'{1,2,3}'".to_owned(); 17];
        forms[1] = "'{a,b,c}'".into();
        forms[15] = "'{a,b,c}'".into();
        assert_by_index(&raw, postgres_sql::REPLACE, &forms).await;
        let derived = ["7", "'x'", "'owner'", "'owner 7'", "147", "-1"].map(String::from);
        assert_by_index(&raw, postgres_sql::REVOKE_DERIVED, &derived).await;
        // A part of the table at a time.
        let dead = ["9", "NULL::bigint", "9", "309", "100", "3", "5", "'{1,2}'"].map(String::from);
        assert_by_index(&raw, postgres_sql::LOCK_DEAD, &dead).await;
        let these = ["9", "NULL::bigint", "9", "309", "'{1,2,3}'"].map(String::from);
        assert_by_index(&raw, postgres_sql::PURGE_DEAD, &these).await;
        let uses = ["'{1,2,3}'", "'{1,2,3}'", "'{a,b,c}'", "'{a,b,c}'", "9"].map(String::from);
        assert_by_index(&raw, postgres_sql::TOUCH, &uses).await;
    });
}

/// Returns a filter's values as SQL literals.
fn literals(filter: &Filter) -> Vec<String> {
    let number = |number: Option<i64>| number.map_or("NULL".into(), |number| number.to_string());
    let instant = |at: Option<Timestamp>| number(at.map(Timestamp::as_unix));
    let is = |is: Option<bool>| is.map_or("NULL".into(), |is| is.to_string());
    let one = |id: Option<TokenId>| number(id.map(|id| id.as_u64().cast_signed()));
    vec![
        one(filter.id),
        filter.owner.as_ref().map_or("NULL".into(), |owner| format!("'{owner}'")),
        one(filter.family),
        one(filter.except_family),
        number(filter.key_id.map(|key| key.as_u32().into())),
        "'{}'".into(),
        is(filter.revoked),
        is(filter.superseded),
        instant(filter.expires_before),
        instant(filter.expires_from),
        instant(filter.created_before),
        instant(filter.last_used_before),
    ]
}

/// Checks that the plan for these values scans no whole table.
async fn assert_by_index(raw: &Client, sql: &str, values: &[String]) {
    let mut sql = format!("EXPLAIN {sql}");
    for (number, value) in values.iter().enumerate().rev() {
        sql = sql.replace(&format!("${}", number + 1), value);
    }
    let plan = raw.query(&sql, &[]).await.unwrap();
    let plan: Vec<String> = plan.iter().map(|line| line.get(0)).collect();
    let scans = plan.iter().any(|line| line.contains("Seq Scan on app_tokens"));
    assert!(!scans, "{sql}\n{}", plan.join("\n"));
}
