//! The store in use: a token, and a user who is created together with their first token, or not at
//! all.
//!
//! `DATABASE_URL=postgres://… cargo run -p sqlx-store -- acme.key`

use std::error::Error;

use app_tokens::store::{Filter, Page, TokenStore as _, postgres_sql};
use app_tokens::{
    Access, IssuedToken, KeyRing, NewToken, Owner, Policy, Requirement, TokenAuthority,
};
use sqlx::PgPool;
use sqlx_store::SqlxStore;

type Tokens = TokenAuthority<SqlxStore<'static>>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let key_file = std::env::args_os().nth(1).ok_or("which key file?")?;
    let pool = PgPool::connect(&std::env::var("DATABASE_URL")?).await?;
    migrate(&pool).await?;
    let store = SqlxStore::Pool(pool.clone());
    let tokens = Tokens::new(store, KeyRing::load_or_create(key_file)?, Policy::new("acme")?);

    let issued = tokens.issue(NewToken::new("alice", "My phone", Access::full())).await?;
    println!("shown once: {}", issued.expose_secret());
    let authenticated = tokens.authenticate(issued.expose_secret()).await?;
    let caller = authenticated.require(Requirement::ANY_VALID_TOKEN)?;
    println!("{} calls with \"{}\"", caller.owner(), caller.label());

    for attempt in ["first", "second"] {
        let outcome = match sign_up(&pool, &tokens, "bob").await {
            Ok(_issued) => "done".into(),
            Err(error) => format!("rolled back: {error}"),
        };
        println!("{attempt} sign-up of bob: {outcome}");
        let bobs = Filter::of_owner(&Owner::new("bob")?);
        println!("bob has {} token", tokens.store().list(&bobs, Page::first(9)).await?.len());
    }
    Ok(())
}

/// Creates a user and their first token in one transaction.
async fn sign_up(
    pool: &PgPool,
    tokens: &Tokens,
    name: &str,
) -> Result<IssuedToken, Box<dyn Error>> {
    let mut transaction = pool.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
    let within = tokens.in_transaction(SqlxStore::within(&mut transaction).await?);
    let issued = within.issue(NewToken::new(name, "First", Access::full())).await?;
    let events = within.into_events();
    let user = sqlx::query("INSERT INTO users (name) VALUES ($1)").bind(name);
    user.execute(&mut *transaction).await?;
    transaction.commit().await?;
    events.send();
    Ok(issued)
}

/// Does once what the host's migrations would do.
async fn migrate(pool: &PgPool) -> sqlx::Result<()> {
    let mut transaction = pool.begin().await?;
    let is_done = sqlx::query_scalar("SELECT to_regclass('users') IS NOT NULL");
    if !is_done.fetch_one(&mut *transaction).await? {
        sqlx::raw_sql("CREATE TABLE users (name text PRIMARY KEY)")
            .execute(&mut *transaction)
            .await?;
        sqlx::raw_sql(postgres_sql::SCHEMA).execute(&mut *transaction).await?;
    }
    transaction.commit().await
}
