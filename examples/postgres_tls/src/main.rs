//! Issues and checks a token in a database that is reached by TLS:
//! `cargo run -p postgres-tls -- postgres://app@db.example/app ca.pem app.key`

use std::error::Error;
use std::path::Path;

use app_tokens::store::PostgresStore;
use app_tokens::{Access, KeyRing, NewToken, Policy, TokenAuthority};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, authorities, key] = arguments.as_slice() else {
        return Err("usage: postgres-tls URL AUTHORITIES.pem KEY".into());
    };
    let store = PostgresStore::new(postgres_tls::pool(url, Path::new(authorities))?);
    store.migrate().await?;
    let tokens = TokenAuthority::new(store, KeyRing::load_or_create(key)?, Policy::new("acme")?);
    let issued = tokens.issue(NewToken::new("alice", "My phone", Access::full())).await?;
    println!("shown once: {}", issued.expose_secret());
    Ok(())
}
