//! Rows of an old system that was broken into, or that was read by the wrong query.

use std::time::Duration;

use app_tokens::error::{AuthError, Failed};
use app_tokens::import::{
    Argon2, Bcrypt, Blake3, Foreign, ForeignSecret, ForeignText, ForeignToken, Forgejo, Import,
    Imported, InvalidKept, Lookup, Pbkdf2,
};
use app_tokens::store::MemoryStore;
use app_tokens::{Access, Owner};
use support::postgres::RUNTIME;

use crate::life::{Host, operator};

/// The salt and the hash of a good row of Argon2.
const ARGON2: &str = "UDk0zEuIzbt0x3bwkf8Bgw$ihSfHWUJpTgDvNWiojrgcN4E0pJdUVmqCEdRZesx9tE";
const BCRYPT: &str = "yj0hlp6qR32G9exGEXktB.yW2rgt2maRBbPgi3EyxcDwKrD14x/WO";
const PBKDF2: &str = "AAECAwQFBgcICQoLDA0ODw$lOk6QjA/lnawOQ2UmhZPIVXOVQ7x1hmwXzfpX5u8uI4";

fn argon2() -> Vec<String> {
    let (salt, hash) = ARGON2.split_once('$').unwrap();
    let long = |bytes: usize| "AAAA".repeat(bytes / 3);
    let mut rows: Vec<String> = [
        // 4 GiB, one KiB above the bound, and numbers that overflow.
        "m=4194304,t=1,p=1",
        "m=131073,t=1,p=2",
        "m=4294967295,t=1,p=1",
        "m=4294967296,t=1,p=1",
        "m=18446744073709551616,t=1,p=1",
        "m=65536,t=11,p=2",
        "m=65536,t=4294967295,p=2",
        "m=65536,t=0,p=2",
        "m=65536,t=1,p=0",
        "m=131072,t=1,p=256",
        "m=131072,t=1,p=16777216",
        "m=0,t=1,p=1",
        "m=7,t=1,p=1",
        "m=15,t=1,p=2",
        "m=65536,t=1",
        "t=1,m=65536,p=2",
        "",
        "m=065536,t=1,p=2",
        "m=+65536,t=1,p=2",
        "m=65536,t=1,p=2,keyid=AA",
        "m=65536,t=1,p=2,data=AA",
        "m=65536,t=1,p=2,",
        "m=-65536,t=1,p=2",
        "m=65536;t=1;p=2",
    ]
    .map(|parameters| format!("$argon2id$v=19${parameters}${ARGON2}"))
    .into();
    let start = "$argon2id$v=19$m=65536,t=1,p=2";
    rows.extend([
        format!("$argon2id$m=65536,t=1,p=2${ARGON2}"),
        format!("$argon2id$v=16$m=65536,t=1,p=2${ARGON2}"),
        format!("$argon2id$v=019$m=65536,t=1,p=2${ARGON2}"),
        format!("$argon2$v=19$m=65536,t=1,p=2${ARGON2}"),
        format!("$ARGON2ID$v=19$m=65536,t=1,p=2${ARGON2}"),
        format!("argon2id$v=19$m=65536,t=1,p=2${ARGON2}"),
        format!(" {start}${ARGON2}"),
        format!("{start}${ARGON2}\n"),
        format!("{start}${ARGON2}="),
        format!("{start}${ARGON2}$"),
        format!("{start}${salt}"),
        format!("{start}${salt}$"),
        format!("{start}$${hash}"),
        format!("{start}$AAECAwQFBg${hash}"),
        format!("{start}${salt}$AAECAwQFBgcICQoLDA0O"),
        // Bits that no byte holds: the last characters could be others.
        format!("{start}$UDk0zEuIzbt0x3bwkf8Bgx${hash}"),
        format!("{start}${salt}${}F", &hash[..hash.len() - 1]),
        format!("{start}${salt}${}", hash.replace('9', "-")),
        format!("{start}${}${hash}", long(66)),
        format!("{start}${salt}${}", long(66)),
        format!("{start}${}${}", long(30_000), long(30_000)),
    ]);
    rows
}

fn bcrypt() -> Vec<String> {
    let mut rows: Vec<String> =
        ["$2a$15$", "$2a$31$", "$2a$32$", "$2a$99$", "$2a$03$", "$2a$00$", "$2a$+5$", "$2a$5$"]
            .into_iter()
            .chain(["$2x$11$", "$2$11$", "$2c$11$", "2a$11$", "$2A$11$", "$2a$11", "$2a$-1$", ""])
            .map(|start| format!("{start}{BCRYPT}"))
            .collect();
    rows.extend([
        "$2a$11$".to_owned(),
        format!("$2a$11${}", &BCRYPT[..52]),
        format!("$2a$11${BCRYPT}."),
        format!(" $2a$11${BCRYPT}"),
        format!("$2a$11${BCRYPT}\n"),
        format!("$2a$11${}", BCRYPT.replace('/', "+")),
        format!("$2a$11${}\u{e9}", &BCRYPT[..51]),
        // Bits that no byte holds, in the salt and in the hash.
        format!("$2a$11${}", BCRYPT.replacen("B.", "B/", 1)),
        format!("$2a$11${}P", &BCRYPT[..52]),
    ]);
    rows
}

fn pbkdf2() -> Vec<String> {
    let (salt, hash) = PBKDF2.split_once('$').unwrap();
    let mut rows: Vec<String> = [
        "i=0",
        "i=2000001",
        "i=4294967295",
        "i=4294967296",
        "i=01000",
        "i=+1000",
        "i=",
        "i",
        "",
        "1000 ",
        "0",
        "2000001",
        "4294967296",
        "01000",
        "i=1000,l=31",
        "i=1000,l=0",
        "l=32",
        "l=32,i=1000",
        "i=1000,l=32,",
        "i=1000,i=1000",
        "i=1000,l=4294967295",
        "i=1000,l=32,d=AA",
    ]
    .map(|parameters| format!("$pbkdf2-sha256${parameters}${PBKDF2}"))
    .into();
    rows.extend([
        format!("$pbkdf2$i=1000${PBKDF2}"),
        format!("$pbkdf2-sha1$i=1000${PBKDF2}"),
        format!("$pbkdf2-sha256$v=1$i=1000${PBKDF2}"),
        format!("$pbkdf2-sha256$i=1000$${hash}"),
        format!("$pbkdf2-sha256$i=1000${salt}$"),
        format!("$pbkdf2-sha256$i=1000$AAECAwQFBg${hash}"),
        format!("$pbkdf2-sha256$i=1000${salt}${}", "AAAA".repeat(30)),
        format!("$pbkdf2-sha256$i=1000$AAECAwQFBgcICQoLDA0ODx${hash}"),
        format!("$pbkdf2-sha256$i=1000${PBKDF2}="),
        // The alphabet of passlib in the other form, and the other way round.
        format!("$pbkdf2-sha256$i=1000$....................${hash}"),
        format!("$pbkdf2-sha256$1000$++++++++++++++++++++${hash}"),
    ]);
    rows
}

/// Refuses each row, when it is imported and again when a store hands it back.
#[track_caller]
fn assert_refused<F: Foreign>(
    scheme: &F,
    rows: &[String],
    secret: impl Fn(&str, &Owner) -> Result<ForeignSecret, InvalidKept>,
) {
    let alice = Owner::new("alice").unwrap();
    for row in rows {
        let refused = secret(row, &alice).expect_err(row).to_string();
        assert!(row.is_empty() || !refused.contains(row.as_str()), "{refused}");
        assert!(scheme.verify(row.as_bytes(), "bug").is_err(), "{row}");
    }
}

#[test]
fn parameters_out_of_bounds_and_malformed_hashes_are_refused_at_the_import_and_again() {
    let scheme = Argon2::by_owner();
    assert_refused(&scheme, &argon2(), |row, owner| scheme.secret(row, owner));
    let scheme = Bcrypt::by_owner();
    assert_refused(&scheme, &bcrypt(), |row, owner| scheme.secret(row, owner));
    let scheme = Pbkdf2::by_owner();
    assert_refused(&scheme, &pbkdf2(), |row, owner| scheme.secret(row, owner));
    let scheme = Blake3::of_unknown_strength();
    let hashes = ["", "ab", &"a".repeat(63), &"a".repeat(66), &"g".repeat(64)].map(str::to_owned);
    assert_refused(&scheme, &hashes, |row, _| scheme.secret(row));
}

#[test]
fn rows_at_the_bounds_are_accepted() {
    let alice = Owner::new("alice").unwrap();
    for parameters in ["m=131072,t=10,p=255", "m=8,t=1,p=1", "m=2040,t=1,p=255"] {
        let row = format!("$argon2id$v=19${parameters}${ARGON2}");
        Argon2::by_owner().secret(&row, &alice).expect(&row);
    }
    for cost in ["04", "14"] {
        Bcrypt::by_owner().secret(&format!("$2y${cost}${BCRYPT}"), &alice).expect(cost);
    }
    for parameters in ["1", "2000000", "i=1", "i=2000000", "i=2000000,l=32"] {
        let row = format!("$pbkdf2-sha512${parameters}${PBKDF2}");
        Pbkdf2::by_owner().secret(&row, &alice).expect(&row);
    }
}

#[test]
fn a_row_of_forgejo_needs_a_whole_hash_a_salt_and_eight_digits() {
    let (hash, salt, hint) = ("2b".repeat(50), "QuSiZr1byZ", "e4efbf36");
    let scheme = Forgejo::new();
    scheme.secret(&hash, salt, hint).unwrap();
    scheme.secret(&hash, &"s".repeat(64), hint).unwrap();
    for hash in ["", &hash[1..], &hash[2..], &hash.replace('2', "g"), &"2b".repeat(51)] {
        scheme.secret(hash, salt, hint).unwrap_err();
    }
    for salt in ["", &"s".repeat(65), &"s".repeat(470)] {
        scheme.secret(&hash, salt, hint).unwrap_err();
    }
    for hint in ["", "e4efbf3", "e4efbf366", "E4EFBF36", "e4efbf3g", "e4efbf\u{e9}"] {
        scheme.secret(&hash, salt, hint).unwrap_err();
    }
    for kept in [0, 49, 50, 115, 470] {
        scheme.verify(&vec![b'a'; kept], &"a".repeat(40)).unwrap_err();
    }
}

/// A scheme that only the importing program had, once.
struct Forgotten;

impl Foreign for Forgotten {
    fn name(&self) -> &str {
        "a-scheme-that-no-program-has-now"
    }
    fn lookups(&self, _: &ForeignText<'_>) -> Vec<Lookup> {
        Vec::new()
    }
    fn verify(&self, _: &[u8], _: &str) -> Result<bool, InvalidKept> {
        Ok(true)
    }
}

#[test]
fn a_hash_has_at_most_470_bytes_whatever_its_scheme_is_called() {
    let hash = |bytes| ForeignSecret::hash(&Forgotten, Lookup::exact("a"), vec![0; bytes]);
    assert_eq!(Forgotten.name().len(), 32);
    assert!(hash(470).is_ok() && hash(0).is_err() && hash(479).is_err());
}

#[test]
fn hostile_rows_of_an_owner_neither_let_in_nor_keep_a_good_one_out() {
    let host = Host::over(MemoryStore::new());
    let alice = Owner::new("alice").unwrap();
    let good = "$argon2id$v=19$m=256,t=1,p=4$AAECAwQFBgcICQoLDA0ODw$\
                4Qgrn+PyofFqeiG6H5IeMKUIwTR596W5dl42ok7NPgo";
    let text = "unwired gusty overlap crayon siesta trifle";
    let scheme = Argon2::by_owner();
    let import = Import::new().max_candidates(100.try_into().unwrap()).scheme(scheme);
    RUNTIME.block_on(async {
        let mut imported = 0;
        let hash = |bytes: &[u8]| ForeignSecret::hash(&scheme, Lookup::of_owner(&alice), bytes);
        let rows = argon2().into_iter().map(String::into_bytes).chain([vec![0xff; 470]]);
        // Past `secret`, as if the row had been good when it was imported.
        for secret in rows.filter_map(|row| hash(&row).ok()) {
            let token = ForeignToken::new(secret, &alice, "CI", Access::full());
            let outcome = host.tokens.import(&operator(), &import, token).await.unwrap();
            imported += usize::from(matches!(outcome, Imported::Done(_)));
        }
        assert!(imported > 40, "{imported}");
        let token = ForeignToken::new(hash(good.as_bytes()).unwrap(), &alice, "CI", Access::full());
        let outcome = host.tokens.import(&operator(), &import, token).await.unwrap();
        let Imported::Done(id) = outcome else { panic!("{outcome:?}") };

        // The brake counts each row that is tried, and lets 400 pass at once.
        for guess in 0..10 {
            let is_held_back = (guess + 1) * (imported + 1) > 400;
            match host.present_to(&import, Some(&alice), "bug").await {
                Err(AuthError::Failed(Failed::ImportBusy)) if is_held_back => {}
                Err(AuthError::NotOurs(_)) if !is_held_back => {}
                other => panic!("{guess}: {other:?}"),
            }
        }
        host.clock.advance(Duration::from_secs(3600));
        for _ in 0..2 {
            assert_eq!(host.present_to(&import, Some(&alice), text).await.unwrap(), id);
        }
    });
}

#[test]
fn a_row_of_a_scheme_that_no_program_has_is_found_by_none() {
    let host = Host::over(MemoryStore::new());
    let forgotten = Import::new().scheme(Forgotten);
    RUNTIME.block_on(async {
        for case in crate::cases::one_of_each_scheme() {
            let lookup = Lookup::exact(&case.text);
            let kept = &case.text.as_bytes()[..case.text.len().min(470)];
            let secret = ForeignSecret::hash(&Forgotten, lookup, kept).unwrap();
            let token = ForeignToken::new(secret, &case.owner, "CI", Access::full());
            let outcome = host.tokens.import(&operator(), &forgotten, token).await.unwrap();
            assert!(matches!(outcome, Imported::Done(_)), "{}", case.name);
            let refused = host.present(&case, &case.text).await;
            assert!(matches!(refused, Err(AuthError::NotOurs(_))), "{}", case.name);
        }
    });
}
