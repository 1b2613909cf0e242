//! A token's life in twenty lines: `cargo run --example quickstart`

use app_tokens::access::ScopeName;
use app_tokens::store::{Filter, Page};
use app_tokens::{Access, NewToken, Owner, Reason, Requirement, TokenAuthority};

#[derive(Clone, Copy)]
struct ReadFiles;

impl ScopeName for ReadFiles {
    fn name(&self) -> &'static str {
        "files:read"
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let tokens = TokenAuthority::in_memory("acme")?;

    let issued =
        tokens.issue(NewToken::new("alice", "My phone", Access::scopes([ReadFiles])?)).await?;
    println!("shown once:     {}", issued.expose_secret());

    let caller = tokens.authenticate(issued.expose_secret()).await?.require(ReadFiles)?;
    println!("authenticates:  {}, with \"{}\"", caller.owner(), caller.label());
    let write = caller.require(Requirement::one_of(&["files:write"]));
    println!("may not write:  {}", write.unwrap_err());

    let alice = Owner::new("alice")?;
    for line in tokens.list(&Filter::of_owner(&alice), Page::first(10)).await?.tokens {
        println!("in the list:    {}  \"{}\"  until {}", line.id(), line.label(), line.expires());
    }

    tokens.revoke(&alice, issued.id(), Reason::REQUESTED).await?;
    let denied = tokens.authenticate(issued.expose_secret()).await.unwrap_err();
    println!("after revoke:   {denied}");
    Ok(())
}
