//! Rows whose digest and seal a second program made, to be put into a database and read from it.

use app_tokens::clock::ManualClock;
use app_tokens::record::Status;
use app_tokens::store::{Inserted, TokenStore};
use app_tokens::token::Token;
use app_tokens::{KeyRing, Policy, Timestamp, TokenAuthority};
use serde_json::Value;

use support::rows::{creation, parts_of};

/// A row, and what is in no database: its token, the ring and the realm.
pub struct Vector {
    /// What a dump of the row shows, as JSON. Bytes are in hexadecimal digits.
    pub columns: Value,
    outside: Value,
}

pub fn vectors() -> Vec<Vector> {
    let rows: Vec<Value> = serde_json::from_str(include_str!("../vectors/seals.json")).unwrap();
    rows.into_iter().map(Vector::new).collect()
}

impl Vector {
    fn new(mut columns: Value) -> Vector {
        let cells = columns.as_object_mut().unwrap();
        let names = ["ring", "prefix", "realm", "token"];
        let outside = names.map(|name| (name.to_owned(), cells.remove(name).unwrap()));
        cells.insert("revision".into(), 0.into());
        let unset = ["revoked_at", "revoked_reason", "revoked_by", "last_used_at"];
        for name in unset.into_iter().chain(["last_used_address", "last_used_client"]) {
            cells.insert(name.into(), Value::Null);
        }
        Vector { columns, outside: outside.into_iter().collect() }
    }

    fn token(&self) -> Token {
        Token::parse_any_prefix(self.outside["token"].as_str().unwrap()).unwrap()
    }

    /// Panics unless the engine takes the row for one that it sealed, and its secret is right.
    pub async fn assert_is_ours<S: TokenStore + Clone>(&self, store: &S) {
        let text = |name: &str| self.outside[name].as_str();
        let policy = Policy::new(text("prefix").unwrap()).unwrap();
        let policy = match text("realm") {
            Some(realm) => policy.with_realm(realm).unwrap(),
            None => policy,
        };
        let ring = KeyRing::parse(text("ring").unwrap()).unwrap();
        let created = Timestamp::from_unix(self.columns["created_at"].as_i64().unwrap()).unwrap();
        let builder = TokenAuthority::builder(store.clone(), ring, policy);
        let tokens = builder.clock(ManualClock::at(created)).build();
        let examined = tokens.examine(text("token").unwrap()).await.unwrap();
        assert_eq!(examined.status(), Status::Active, "{}", self.columns);
    }

    /// Writes the row of one store into another one.
    pub async fn copy(&self, from: &impl TokenStore, to: &impl TokenStore) {
        let row = from.find(self.token().id()).await.unwrap().unwrap();
        let insert = creation(parts_of(&row).unwrap());
        assert_eq!(to.insert(&insert).await.unwrap(), Inserted::Done);
    }
}
