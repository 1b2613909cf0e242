//! Measures `authenticate` over a PostgreSQL server on the same machine beside the same prepared
//! select, and what a durable change costs. The server waits for the disk (`fsync`).
//!
//! `cargo bench --bench postgres [WORD…]` prints the lines that hold one of the words, or all. It
//! starts a server of its own. If PostgreSQL is not installed, it says so and ends.

mod harness;

use std::time::Instant;

use app_tokens::record::LastUse;
use app_tokens::store::{
    Filter, LiveAt, Page, PostgresStore, Replace, Replaced, TokenStore, postgres_sql,
};
use app_tokens::{
    Access, KeyRing, NewToken, Owner, Policy, Requirement, Timestamp, TokenAuthority, TokenId,
};
use deadpool_postgres::Pool;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio_postgres::Row;

use harness::{Table, ToReach, arriving, timed};
use support::postgres::{RUNTIME, Server, connect, pool_to};

const COUNT: usize = 10_000;

fn main() {
    let Some(server) = Server::start_durable() else { return };
    let database = RUNTIME.block_on(server.database());
    // The connections live on the thread that waits for them, so no hand-over between threads is
    // measured.
    let here = Builder::new_current_thread().enable_all().build().unwrap();
    let (pool, alone) = (database.pool(), here.block_on(connect(&database.config())));
    let mut hurried = database.config();
    hurried.options("-c synchronous_commit=off");
    let texts = here.block_on(issue(&authority(pool_to(hurried))));
    here.block_on(alone.batch_execute("VACUUM ANALYZE")).unwrap();
    let tokens = authority(pool.clone());
    let table = Table::new("a PostgreSQL server on the same machine");

    let authenticate = |text: &str| {
        let authenticated = here.block_on(tokens.authenticate(text)).unwrap();
        authenticated.require(Requirement::ANY_VALID_TOKEN).unwrap().id().as_u64()
    };
    let select = here.block_on(alone.prepare(postgres_sql::FIND)).unwrap();
    table.compare(
        "authenticate + require / the same prepared select on one connection",
        ToReach::AtMost(1.2),
        arriving(&texts, authenticate),
        arriving(&texts, |text| {
            id_of(&here.block_on(alone.query_one(&select, &[&number(text)])).unwrap())
        }),
    );
    table.compare(
        "authenticate + require / the same prepared select through the pool",
        ToReach::AtMost(1.05),
        arriving(&texts, authenticate),
        arriving(&texts, |text| {
            here.block_on(async {
                let client = pool.get().await.unwrap();
                let select = client.prepare_cached(postgres_sql::FIND).await.unwrap();
                id_of(&client.query_one(&select, &[&number(text)]).await.unwrap())
            })
        }),
    );
    lists_and_replaces(&table, &here, &tokens);
    issues(&table, &here, &tokens);
    last_uses(&table, &here, &tokens, &texts);
}

/// Measures the list of an owner beside a look-up of one row, and rewriting rows as a reseal does.
fn lists_and_replaces(table: &Table, here: &Runtime, tokens: &TokenAuthority<PostgresStore>) {
    let what = "list of an owner's 157 / find of one row";
    let mine = Filter::of_owner(&Owner::new("user-7").unwrap());
    let page = |limit| Page::first(limit);
    let rows = here.block_on(tokens.store().list(&mine, page(1000))).unwrap();
    if table.wants(what) {
        table.compare(
            what,
            ToReach::Told,
            timed(|| here.block_on(tokens.store().list(&mine, page(1000))).unwrap().len()),
            timed(|| here.block_on(tokens.store().find(rows[0].id())).unwrap().is_some()),
        );
    }
    let what = "a row replaced in batches of 1,000 / one commit a row";
    if !table.wants(what) {
        return;
    }
    let every = Filter::every_token();
    let write = |count: u32, batch: usize| {
        let rows = here.block_on(tokens.store().list(&every, page(count))).unwrap();
        let replaces: Vec<_> = rows.into_iter().map(replacing).collect();
        let start = Instant::now();
        for batch in replaces.chunks(batch) {
            let answers = here.block_on(tokens.store().replace(batch)).unwrap();
            assert!(answers.iter().all(|answer| *answer == Replaced::Done));
        }
        start.elapsed().as_nanos() as f64 / f64::from(count)
    };
    let (many, one) = (write(5000, 1000), write(300, 1));
    table.line(what, many, one, many / one, ToReach::AtMost(0.15));
}

fn replacing(row: app_tokens::store::Row) -> Replace {
    let live = LiveAt::now(Timestamp::MIN);
    Replace { row, live, unique_label: false, revokes_derived: None }
}

/// Measures durable issues one by one and at once: the server commits those that wait together.
fn issues(table: &Table, here: &Runtime, tokens: &TokenAuthority<PostgresStore>) {
    let what = "durable issue, 64 tasks at once / one, each";
    if !table.wants(what) {
        return;
    }
    let issues = |tasks: usize, each: usize| {
        let start = Instant::now();
        here.block_on(async {
            let mut running = JoinSet::new();
            for task in 0..tasks {
                let tokens = tokens.clone();
                running.spawn(async move {
                    for _ in 0..each {
                        let new =
                            NewToken::new(format!("owner-{task}"), "My phone", Access::full());
                        drop(tokens.issue(new).await.unwrap());
                    }
                });
            }
            running.join_all().await;
        });
        start.elapsed().as_nanos() as f64 / (tasks * each) as f64
    };
    let (many, one) = (issues(64, 20), issues(1, 200));
    table.line(what, many, one, many / one, ToReach::Told);
}

/// Measures writes of last uses. Each waits for a disk, so it is done a few times only.
fn last_uses(
    table: &Table,
    here: &Runtime,
    tokens: &TokenAuthority<PostgresStore>,
    texts: &[String],
) {
    let what = "last use written in batches of 1,000 / one by one, each";
    if !table.wants(what) {
        return;
    }
    let mut at = 2_000_000_000;
    let mut write = |rows: usize, batch: usize| {
        at += 1;
        let at = Timestamp::from_unix(at).unwrap();
        let last_use = LastUse { at, address: None, client: None };
        let id = |text: &String| TokenId::from_u64(number(text).cast_unsigned()).unwrap();
        let uses: Vec<_> = texts[..rows].iter().map(|text| (id(text), last_use.clone())).collect();
        let start = Instant::now();
        for batch in uses.chunks(batch) {
            here.block_on(tokens.store().touch(batch, Timestamp::MAX)).unwrap();
        }
        start.elapsed().as_nanos() as f64 / rows as f64
    };
    let (many, one) = (write(COUNT, 1000), write(500, 1));
    table.line(what, many, one, many / one, ToReach::AtMost(0.02));
}

fn authority(pool: Pool) -> TokenAuthority<PostgresStore> {
    let ring = KeyRing::parse("1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap();
    let policy = Policy::new("acme").unwrap().with_no_limit_per_owner();
    TokenAuthority::new(PostgresStore::new(pool), ring, policy)
}

async fn issue(tokens: &TokenAuthority<PostgresStore>) -> Vec<String> {
    tokens.store().migrate().await.unwrap();
    let mut texts = Vec::with_capacity(COUNT);
    for number in 0..COUNT {
        let owner = format!("user-{}", number % 64);
        let new = NewToken::new(owner, "My phone", Access::scopes(["files:read"]).unwrap());
        texts.push(tokens.issue(new).await.unwrap().expose_secret().to_owned());
    }
    texts
}

fn number(text: &str) -> i64 {
    let id: TokenId = text["acme_".len()..][..10].parse().unwrap();
    id.as_u64().cast_signed()
}

fn id_of(row: &Row) -> u64 {
    row.get::<_, i64>(0).cast_unsigned()
}
