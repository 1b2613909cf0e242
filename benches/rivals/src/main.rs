//! Measures what other crates take to check one of 100,000 tokens in memory, each beside
//! `authenticate` and `require` in turns. Then it measures what a host would write by hand over an
//! SQLite file.
//!
//! Words on the command line pick lines.
//!
//! Every rival looks tokens up in a `HashMap` of the standard library. The key is what the crate
//! names a token by, the value what it stores.

#[path = "../../harness/mod.rs"]
mod harness;
mod sqlite;

use std::collections::HashMap;

use app_tokens::Requirement;
use latchkey::token::TokenHash;
use prefixed_api_key::{PrefixedApiKey, PrefixedApiKeyController};
use sha2::{Digest as _, Sha256};

use harness::fixture::{SCOPE, Tokens};
use harness::{Table, ToReach, arriving, ready};

const COUNT: u64 = 100_000;

fn main() {
    let measured = [
        "app-tokens",
        "prefixed-api-key",
        "latchkey",
        "sha2",
        "rusqlite",
        "sqlx",
        "deadpool-sqlite",
        "tokio-rusqlite",
    ];
    println!("measured: {}", versions(&measured));
    sqlite::compare();
    in_memory();
}

fn in_memory() {
    let ours = Tokens::new(COUNT as usize, 10);
    let authenticate = |text: &str| {
        let authenticated = ready(ours.authority.authenticate(text)).unwrap();
        authenticated.require(Requirement::one_of(&[SCOPE])).unwrap().id().as_u64()
    };
    let table = Table::new("authenticate + require / a rival's check, among 100,000 tokens");

    let controller = PrefixedApiKeyController::configure()
        .prefix(String::from("acme"))
        .seam_defaults()
        .finalize()
        .unwrap();
    let mut texts = Vec::new();
    let mut stored = HashMap::new();
    for owner in 0..COUNT {
        let (key, hash) = controller.generate_key_and_hash();
        stored.insert(key.short_token().to_owned(), (hash, owner));
        texts.push(key.to_string());
    }
    table.compare(
        "ours / prefixed-api-key",
        ToReach::AtMost(0.6),
        arriving(&ours.texts, authenticate),
        arriving(&texts, |text| {
            let key = PrefixedApiKey::from_string(text).unwrap();
            let (hash, owner) = &stored[key.short_token()];
            assert!(controller.check_hash(&key, hash));
            *owner
        }),
    );

    let mut random = latchkey::os_rng().unwrap();
    let mut texts = Vec::new();
    let mut stored = HashMap::new();
    for owner in 0..COUNT {
        let issued = latchkey::token::issue(&mut random);
        stored.insert(issued.hash, owner);
        texts.push(String::from(issued.token.expose_secret()));
    }
    table.compare(
        "ours / latchkey, which has no id, key, expiry or scope",
        ToReach::AtMost(1.0),
        arriving(&ours.texts, authenticate),
        arriving(&texts, |text| stored[&TokenHash::of(text).unwrap()]),
    );

    let stored: HashMap<[u8; 32], u64> =
        (0..).zip(&ours.texts).map(|(owner, text)| (sha256(text), owner)).collect();
    table.compare(
        "ours / a plain SHA-256 that is looked up, with nothing else",
        ToReach::Told,
        arriving(&ours.texts, authenticate),
        arriving(&ours.texts, |text| stored[&sha256(text)]),
    );
}

/// Returns the versions in the lock file this was built with.
fn versions(names: &[&str]) -> String {
    let lock = include_str!("../Cargo.lock").split("[[package]]");
    let field = |package: &'static str, key: &str| {
        let line = package.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
        line.unwrap_or_default().trim_matches('"')
    };
    lock.filter(|package| names.contains(&field(package, "name")))
        .map(|package| format!("{} {}", field(package, "name"), field(package, "version")))
        .collect::<Vec<_>>()
        .join(", ")
}

fn sha256(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}
