//! Tokens of other systems.

use std::sync::Arc;

use app_tokens::import::*;
use app_tokens::{Origin, Owner};

use super::*;

const TEXT: &str = "Qv7mK2xR9pTz4LwY8nBdGs3HfJc6Aq5VuEeXo1Zk";
const OF_FORGEJO: &str = "6afd74c04fc74478713d03f0519cbcaa734f7037";
const UUID: &str = "5d0c2f1e-7b3a-4e96-8a41-c3f9e0b7d215";
const JWT: &str = "eyJhbGciOiJIUzI1NiJ9.eyJuYW1lIjoiYWRhbSIsImhhc2giOiI1ZjBjN2E1Mi0zZDFlLTRiOGEtOWM2Ni0wZTdkMmI5MWY0YTMifQ.FVpxSfbOqC2RCYvPEH-LUQwQTR8_z4_zTxUq9PARAjk";

type Kept = Box<dyn Fn() -> ForeignSecret>;

/// Returns each scheme with one token: its text, and what the old system kept.
fn all() -> Vec<(&'static str, Import, &'static str, Kept)> {
    let alice = Arc::new(Owner::new("alice").unwrap());
    let import = Import::new;
    let sha256 = "e9902b5c405dbee150a9d440fbbd4e322c80d749ba6ba8275a42327f51bcca3b";
    let (weak, random) = (Sha256::of_unknown_strength(), Sha256::with_at_least_112_bits());
    let (clear, random_clear) = (Plain::of_unknown_strength(), Plain::with_at_least_112_bits());
    let nextcloud = Sha512::of_nextcloud("1f4h9s");
    let blake3 = Blake3::of_unknown_strength();
    let keyed = blake3.clone().keyed(b"kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk");
    let jwt = Jwt::of_powershell_universal("0sBQFSdlLs6vjKj8TZ0WQ8CwTjGm1hYx").unwrap();
    let (of_argon2, of_bcrypt, of_pbkdf2) = (alice.clone(), alice.clone(), alice);
    vec![
        ("sha256", import().scheme(weak), TEXT, Box::new(move || weak.secret(sha256).unwrap())),
        ("random", import().scheme(random), TEXT, Box::new(move || random.secret(sha256).unwrap())),
        ("plain", import().scheme(clear), TEXT, Box::new(move || clear.secret(TEXT).unwrap())),
        (
            "random plain",
            import().scheme(random_clear),
            TEXT,
            Box::new(move || random_clear.secret(TEXT).unwrap()),
        ),
        (
            "nextcloud",
            import().scheme(nextcloud.clone()),
            TEXT,
            Box::new(move || {
                nextcloud.secret("d851eb79b8839605a4e40be2e993db43f63621ba21b0d8f83bb81a4eb16bdbb945a2577659be9897c4bdb2417a5070016a63a50e40ceccf987f74007e8fc7a3c").unwrap()
            }),
        ),
        (
            "blake3",
            import().scheme(blake3.clone()),
            TEXT,
            Box::new(move || {
                let hash = "08c0f8b02b4ab1d447b6f0ad289c6b48ea32ad96daab193ac84b435b150dae3d";
                blake3.secret(hash).unwrap()
            }),
        ),
        (
            "blake3-keyed",
            import().scheme(keyed.clone()),
            TEXT,
            Box::new(move || {
                let hash = "25051992a01581b3c1c4042a6d99a888efd672cccde7149bed4acd1f348767c5";
                keyed.secret(hash).unwrap()
            }),
        ),
        ("uuid", import().scheme(Uuid::v4()), UUID, Box::new(|| Uuid::v4().secret(UUID).unwrap())),
        ("jwt", import().scheme(jwt.clone()), JWT, Box::new(move || jwt.secret(JWT).unwrap())),
        (
            "forgejo",
            import().scheme(Forgejo::new()),
            OF_FORGEJO,
            Box::new(|| {
                let hash = "bdb66cfb59fe3ff4decc11ffe64736900361d7c95af9a799746fbda35fc66345ec30fd24975b1a2776a8ebb456bfd0fc35c3";
                Forgejo::new().secret(hash, "QuSiZr1byZ", "734f7037").unwrap()
            }),
        ),
        (
            "argon2",
            import().scheme(Argon2::by_owner()),
            TEXT,
            Box::new(move || {
                let hash = "$argon2id$v=19$m=64,t=1,p=1$AAECAwQFBgcICQoLDA0ODw$N9LmzPlFulbhGxJYfkQyxXaAgj7Z4reqWyy7scjbiw4";
                Argon2::by_owner().secret(hash, &of_argon2).unwrap()
            }),
        ),
        (
            "bcrypt",
            import().scheme(Bcrypt::by_owner()),
            TEXT,
            Box::new(move || {
                let hash = "$2b$04$rzjbQeudjbtxXVchNyuqaeRKPaORwNeCZwtRVjPjSlpyrQBEKWJo.";
                Bcrypt::by_owner().secret(hash, &of_bcrypt).unwrap()
            }),
        ),
        (
            "pbkdf2",
            import().scheme(Pbkdf2::by_owner()),
            TEXT,
            Box::new(move || {
                let hash = "$pbkdf2-sha256$i=100,l=32$AAECAwQFBgcICQoLDA0ODw$eZib359nUoCero5dqiEQ7EGZu4QsXRb81AvW9l6AV00";
                Pbkdf2::by_owner().secret(hash, &of_pbkdf2).unwrap()
            }),
        ),
    ]
}

#[test]
fn a_token_of_another_system_leaves_no_copy_in_memory() {
    let _alone = alone();
    let owner = Owner::new("alice").unwrap();
    let operator = Operator::new("root").unwrap();
    let mut left = Vec::new();
    for (name, import, text, kept) in all() {
        let keys =
            format!("{},{}", KeyRing::new_text().unwrap(), KeyRing::new_import_text().unwrap());
        let policy = Policy::new("acme").unwrap().with_open_import();
        let tokens =
            TokenAuthority::new(MemoryStore::new(), KeyRing::parse(&keys).unwrap(), policy);
        // Not the start, which is soon overwritten. The end is what the buffer of a hash still has.
        let bytes = text.as_bytes();
        let patterns = [turn(&bytes[20..36]), turn(&bytes[bytes.len() - 16..])];
        let mut look = |after: &str| {
            let copies: usize = patterns.iter().map(|pattern| copies_of(pattern)).sum();
            if copies > 0 {
                left.push(format!("{name}, after {after}: {copies}"));
            }
        };
        let token = ForeignToken::new(kept(), &owner, "Old", Access::full());
        tokens.block_on(tokens.import(&operator, &import, token)).unwrap();
        look("the import");
        for _ in 0..2 {
            let entered = tokens.authenticate_with(&import, Some(&owner), text, Origin::unknown());
            assert!(tokens.block_on(entered).is_ok(), "{name}");
            look("a use");
        }
        let wrong = joined(&[b"x", bytes]);
        let wrong = std::str::from_utf8(&wrong).unwrap();
        let entered = tokens.authenticate_with(&import, Some(&owner), wrong, Origin::unknown());
        assert!(tokens.block_on(entered).is_err(), "{name}");
    }
    assert_eq!(left, [""; 0]);
}
