//! A token's life from a plain `fn main`, on SQLite, across a restart: `cargo run --example
//! blocking`

use app_tokens::store::{Filter, Page, SqliteStore};
use app_tokens::{Access, KeyRing, NewToken, Owner, Policy, Requirement, TokenAuthority};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let open = || -> Result<_, Box<dyn std::error::Error>> {
        let store = SqliteStore::open(folder.path().join("app.db"))?;
        let ring = KeyRing::load_or_create(folder.path().join("app.key"))?;
        Ok(TokenAuthority::new(store, ring, Policy::new("acme")?))
    };

    let tokens = open()?;
    let issued =
        tokens.block_on(tokens.issue(NewToken::new("alice", "Nightly backup", Access::full())))?;
    println!("shown once:       {}", issued.expose_secret());
    drop(tokens);

    let tokens = open()?;
    let good = tokens.block_on(tokens.authenticate(issued.expose_secret()))?;
    let caller = good.require(Requirement::ANY_VALID_TOKEN)?;
    println!("after a restart:  {} calls with \"{}\"", caller.owner(), caller.label());

    tokens.block_on(tokens.flush_usage())?; // a host does this every minute
    let mine = Filter::of_owner(&Owner::new("alice")?);
    for line in tokens.block_on(tokens.list(&mine, Page::first(10)))?.tokens {
        let last_use = line.last_use().map_or("never".into(), |last_use| last_use.at.to_string());
        println!("in the list:      {}  \"{}\"  last used {last_use}", line.id(), line.label());
    }
    Ok(())
}
