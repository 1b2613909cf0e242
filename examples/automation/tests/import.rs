//! An app token of PowerShell Universal, taken over: `--import powershell-universal:FILE`.

mod common;

use std::fs;

use app_tokens::import::{ForeignToken, Import, Imported, Jwt};
use app_tokens::store::SqliteStore;
use app_tokens::{Access, KeyRing, Operator, TokenAuthority};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::Place;
use hmac::{Hmac, KeyInit as _, Mac as _};

const KEY: &str = "0sBQFSdlLs6vjKj8TZ0WQ8CwTjGm1hYx";

fn signed(claims: &str) -> String {
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
    let text = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
    let mac = Hmac::<sha2::Sha256>::new_from_slice(KEY.as_bytes()).unwrap();
    let mac = mac.chain_update(&text).finalize().into_bytes();
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(mac))
}

/// Imports a token of the identity 2, as `admin import` does.
fn import(place: &Place, text: &str) {
    let keys = place.path("data/tokens.key");
    let ring = fs::read_to_string(&keys).unwrap();
    let ring = format!("{},{}\n", ring.trim(), KeyRing::new_import_text().unwrap());
    fs::write(&keys, &ring).unwrap();
    let store = SqliteStore::open(place.path("data/tokens.db")).unwrap();
    let policy = fs::read_to_string(place.path("policy.toml")).unwrap();
    let policy = shared::policy_file::PolicyFile::parse(&policy).unwrap().policy;
    let tokens = TokenAuthority::new(store, KeyRing::parse(&ring).unwrap(), policy);
    let jwt = Jwt::of_powershell_universal(KEY).unwrap();
    let access = Access::scopes(["Operator"]).unwrap();
    let token = ForeignToken::new(jwt.secret(text).unwrap(), "2", "CI", access);
    let operator = Operator::new("olga").unwrap();
    let imported = tokens.block_on(tokens.import(&operator, &Import::new(), token)).unwrap();
    assert!(matches!(imported, Imported::Done(_)), "{imported:?}");
}

#[test]
fn an_imported_token_works_as_before_until_it_is_revoked() {
    let place = Place::with_policy("open_import = true\n");
    place.start().end();
    let token = signed(r#"{"name":"adam","hash":"b2e8c809-2145-468a-b851-b5425ad83946"}"#);
    import(&place, &token);
    fs::write(place.path("signing.key"), format!("{KEY}\n")).unwrap();

    let server = place.start();
    assert_eq!(server.status("GET", "/api/v1/variable", &token), 401, "it is not switched on");
    server.end();
    let option = format!("powershell-universal:{}", place.path("signing.key").display());
    let server = place.start_with(&["--import", &option]);
    assert_eq!(server.status("PUT", "/api/v1/variable/x", &token), 204);
    assert_eq!(server.status("GET", "/api/v1/identity", &token), 403, "an operator only");
    let other = signed(r#"{"name":"adam","hash":"00000000-0000-4000-8000-000000000000"}"#);
    assert_eq!(server.status("GET", "/api/v1/variable", &other), 401, "a signature alone");

    let admin = server.sign_in("admin");
    let listed = server.request("GET", "/api/v1/apptoken", &[&admin], "").json();
    let id = listed[0]["id"].as_str().unwrap();
    let revoked = server.request("DELETE", &format!("/api/v1/apptoken/{id}"), &[&admin], "");
    assert_eq!(revoked.status / 100, 2, "{}", revoked.body);
    assert_eq!(server.status("GET", "/api/v1/variable", &token), 401);
    server.end();

    fs::write(place.path("signing.key"), "PleaseUseYourOwnSigningKeyHere\n").unwrap();
    assert!(place.refused(&["--import", &option]).contains("anybody can sign tokens with it"));
}

#[test]
fn a_host_with_another_import_key_does_not_start() {
    let place = Place::with_policy("open_import = true\n");
    place.start().end();
    import(&place, &signed(r#"{"name":"adam","hash":"b2e8c809-2145-468a-b851-b5425ad83946"}"#));
    place.start().end();
    let keys = place.path("data/tokens.key");
    let ring = fs::read_to_string(&keys).unwrap();
    let (seals, _) = ring.split_once(",import:").unwrap();
    fs::write(&keys, format!("{seals},{}\n", KeyRing::new_import_text().unwrap())).unwrap();
    let said = place.refused(&[]);
    assert!(said.contains("imported under another import key: 1"), "{said}");
}
