//! Tokens of another system: imported, let in, taken over.

mod common;
#[path = "import/another_key.rs"]
mod another_key;
#[path = "import/as_user_name.rs"]
mod as_user_name;
#[path = "import/ends.rs"]
mod ends;
#[path = "import/forgotten.rs"]
mod forgotten;
#[path = "import/rehashed.rs"]
mod rehashed;
#[path = "import/rows.rs"]
mod rows;

use app_tokens::error::{AuthError, DenialReason, Failed, IssueError, RetireError};
use app_tokens::import::{
    Foreign, ForeignSecret, ForeignText, ForeignToken, Import, ImportStatus, Imported, InvalidKept,
    Lookup, Plain, Sha256, Sha512,
};
use app_tokens::record::{Expires, KeyId, Status};
use app_tokens::store::TokenStore;
use app_tokens::web::{Login, NamesAreOwners, Refusal};
use app_tokens::{
    Access, Caller, KeyRing, Origin, Owner, Policy, Reason, Rotation, TokenAuthority, TokenId,
};
use common::outside::Outside;
use common::*;

const IMPORT: &str = "import:gICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIE=";
const SEAL_1: &str = "1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const SEAL_2: &str = "2:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";
/// An app password as Nextcloud makes them, and an instance's secret.
const NEXTCLOUD: (&str, &str) = ("Xk2mP-9fTbq-ZsWcR-7yHnD-LpQe4", "1f4h9s");
/// A passphrase as OpenCloud makes them.
const WORDS: &str = " correct horse battery staple ";

fn ring() -> KeyRing {
    KeyRing::parse(&format!("{SEAL_1},\n{IMPORT}\n")).unwrap()
}

fn bench() -> Bench<Outside> {
    bench_with_ring(Outside::new(), ring(), policy().with_open_import())
}

/// A slow scheme of a system that tries all tokens of the owner, as OpenCloud does. It keeps the
/// text, reversed.
struct OfOwner;

impl OfOwner {
    fn secret(&self, of: &str, text: &str) -> ForeignSecret {
        let kept: String = text.chars().rev().collect();
        ForeignSecret::hash(self, Lookup::of_owner(&owner(of)), kept).unwrap()
    }
}

impl Foreign for OfOwner {
    fn name(&self) -> &str {
        "of-owner"
    }
    fn lookups(&self, presented: &ForeignText<'_>) -> Vec<Lookup> {
        presented.owner().map(Lookup::of_owner).into_iter().collect()
    }
    fn verify(&self, kept: &[u8], text: &str) -> Result<bool, InvalidKept> {
        let kept = std::str::from_utf8(kept).map_err(|_| InvalidKept("text"))?;
        Ok(kept.chars().rev().eq(text.chars()))
    }
    fn is_slow(&self) -> bool {
        true
    }
    fn needs_owner(&self) -> bool {
        true
    }
}

fn nextcloud() -> Sha512 {
    Sha512::of_nextcloud(NEXTCLOUD.1)
}

fn all_schemes() -> Import {
    Import::new().scheme(nextcloud()).scheme(Plain::of_unknown_strength()).scheme(OfOwner)
}

/// Returns the secret of [`NEXTCLOUD`], as Nextcloud's table has it.
fn nextcloud_secret() -> ForeignSecret {
    hashed_with(NEXTCLOUD.1)
}

/// Returns the secret of [`NEXTCLOUD`], hashed with this secret of the instance.
fn hashed_with(secret: &str) -> ForeignSecret {
    use sha2::Digest as _;
    let hash = sha2::Sha512::digest(format!("{}{secret}", NEXTCLOUD.0));
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    nextcloud().secret(&hex).unwrap()
}

fn token(secret: ForeignSecret) -> ForeignToken {
    ForeignToken::new(secret, "alice", "Old phone", Access::full()).created_at(at(-1_000))
}

impl<S: TokenStore> Bench<S> {
    fn import(&self, token: ForeignToken) -> Imported {
        wait(self.tokens.import(&operator("root"), &all_schemes(), token)).unwrap()
    }

    #[track_caller]
    fn imported(&self, secret: ForeignSecret) -> TokenId {
        match self.import(token(secret)) {
            Imported::Done(id) => id,
            other => panic!("{other:?}"),
        }
    }

    fn enter(&self, of: &str, text: &str) -> Result<Caller, AuthError> {
        let (import, owner) = (all_schemes(), owner(of));
        let origin = Origin::unknown();
        wait(self.tokens.authenticate_with(&import, Some(&owner), text, origin)).map(any)
    }

    #[track_caller]
    fn assert_not_ours(&self, text: &str) {
        let entered = self.enter("alice", text);
        assert!(matches!(entered, Err(AuthError::NotOurs(_))), "{text:?}: {entered:?}");
    }

    #[track_caller]
    fn assert_refused(&self, text: &str, reason: DenialReason) {
        match self.enter("alice", text) {
            Err(AuthError::Denied(denied)) => assert_eq!(denied.reason(), reason),
            other => panic!("{other:?}"),
        }
    }
}

/// Waits also for a check on another thread.
fn wait<T>(future: impl Future<Output = T>) -> T {
    TokenAuthority::in_memory("acme").unwrap().block_on(future)
}

#[test]
fn a_foreign_text_is_let_in_and_its_row_gets_a_digest_of_ours() {
    let bench = bench();
    let id = bench.imported(nextcloud_secret());
    assert_eq!(bench.tokens.store().parts(id).digest.scheme(), 3);
    let caller = bench.enter("alice", NEXTCLOUD.0).unwrap();
    assert_eq!((caller.id(), caller.owner().as_str()), (id, "alice"));
    assert_eq!(bench.heard.kinds(), ["Imported", "TakenOver", "FirstUse"]);
    let taken_over = bench.tokens.store().parts(id);
    assert_eq!((taken_over.digest.scheme(), taken_over.revision), (1, 1));
    assert_eq!(bench.enter("alice", NEXTCLOUD.0).unwrap().id(), id);
    assert_eq!(bench.heard.kinds(), [""; 0]);
    bench.assert_not_ours(&NEXTCLOUD.0.to_lowercase());
}

#[test]
fn a_text_that_may_be_weak_gets_a_digest_under_a_key() {
    let bench = bench();
    let plain = Plain::of_unknown_strength();
    let id = bench.imported(plain.secret("hunter2hunter2").unwrap());
    assert_eq!(bench.tokens.store().parts(id).digest.scheme(), 2);
    let of_owner = bench.imported(OfOwner.secret("alice", WORDS));
    assert_eq!(bench.tokens.store().parts(of_owner).digest.scheme(), 3);
    assert_eq!(bench.enter("alice", "hunter2hunter2").unwrap().id(), id);
    for _ in 0..2 {
        assert_eq!(bench.enter("alice", WORDS).unwrap().id(), of_owner);
        assert_eq!(bench.tokens.store().parts(of_owner).digest.scheme(), 2);
    }
    let uuid = "4b0f2a8e-6c1d-4f57-9a3e-2d8b7c5e1f90";
    let random = Plain::with_at_least_112_bits().secret(uuid).unwrap();
    assert_eq!(bench.tokens.store().parts(bench.imported(random)).digest.scheme(), 1);
}

#[test]
fn nothing_of_a_text_is_trimmed() {
    let bench = bench();
    bench.imported(OfOwner.secret("alice", WORDS));
    bench.assert_not_ours(WORDS.trim());
    bench.assert_not_ours(&format!("{WORDS} "));
    assert!(bench.enter("alice", WORDS).is_ok());
    bench.assert_not_ours(WORDS.trim());
}

#[test]
fn a_text_with_our_prefix_is_never_tried_as_a_foreign_one() {
    let bench = bench();
    for text in ["acme_hunter2", " ACME_hunter2 hunter2", "acme_"] {
        bench.imported(Plain::of_unknown_strength().secret(text).unwrap());
        bench.assert_not_ours(text);
    }
    let of_ours = bench.issue("alice");
    let secret = Plain::of_unknown_strength().secret(of_ours.expose_secret()).unwrap();
    let imported = bench.imported(secret);
    assert_eq!(bench.enter("alice", of_ours.expose_secret()).unwrap().id(), of_ours.id());
    assert_ne!(imported, of_ours.id());
    let text = of_ours.expose_secret().replace(&of_ours.id().to_string(), &imported.to_string());
    assert!(matches!(bench.enter("alice", &text), Err(AuthError::Denied(_))));
}

#[test]
fn a_row_that_others_changed_is_denied_and_not_sealed_anew() {
    let bench = bench();
    let id = bench.imported(nextcloud_secret());
    let store = bench.tokens.store();
    store.change(id, |parts| parts.owner = owner("root"));
    bench.assert_refused(NEXTCLOUD.0, DenialReason::Tampered);
    assert_eq!(store.parts(id).digest.scheme(), 3);
    store.restore();
    // A hash of the attacker's own, in the place of the other.
    let other = bench.imported(OfOwner.secret("alice", "mine"));
    let digest = store.parts(other).digest;
    let row = bench.imported(OfOwner.secret("alice", WORDS));
    ready(bench.tokens.revoke(ops(), other, Reason::REQUESTED)).unwrap();
    store.change(row, |parts| parts.digest = digest);
    assert!(matches!(bench.enter("alice", "mine"), Err(AuthError::Denied(_))));
    store.damage_wholly(row);
    bench.assert_not_ours(WORDS);
    store.restore();
    assert!(bench.enter("alice", WORDS).is_ok());
}

#[test]
fn a_digest_under_a_key_keeps_that_key_until_the_next_use() {
    let bench = bench();
    let id = bench.imported(Plain::of_unknown_strength().secret("hunter2hunter2").unwrap());
    let store = bench.tokens.store().clone();
    let both = KeyRing::parse(&format!("{SEAL_2},{SEAL_1},{IMPORT}")).unwrap();
    let turned = bench_with_ring(store.clone(), both, policy());
    let old = KeyId::new(1).unwrap();

    ready(turned.tokens.rename(ops(), id, "Renamed")).unwrap();
    let report = ready(turned.tokens.reseal()).unwrap();
    assert_eq!((report.moved, report.left, report.tampered.len()), (0, vec![(old, 1)], 0));
    assert!(matches!(ready(turned.tokens.may_retire(old)), Err(RetireError::InUse { rows: 1 })));
    let without = KeyRing::parse(&format!("{SEAL_2},{IMPORT}")).unwrap();
    let too_early = bench_with_ring(store.clone(), without, policy());
    let failed = too_early.enter("alice", "hunter2hunter2");
    assert!(matches!(failed, Err(AuthError::Failed(Failed::Unclear(_)))), "{failed:?}");

    assert_eq!(turned.enter("alice", "hunter2hunter2").unwrap().label().as_str(), "Renamed");
    assert_eq!(store.parts(id).key_id, KeyId::new(2).unwrap());
    ready(turned.tokens.may_retire(old)).unwrap();
    assert!(too_early.enter("alice", "hunter2hunter2").is_ok());
}

#[test]
fn a_ring_without_an_import_key_fails_and_denies_nothing() {
    let bench = bench_with_ring(Outside::new(), KeyRing::parse(SEAL_1).unwrap(), policy());
    let failed = bench.enter("alice", "hunter2");
    assert!(matches!(failed, Err(AuthError::Failed(Failed::NoImportKey))), "{failed:?}");
    let imported =
        ready(bench.tokens.import(&operator("root"), &all_schemes(), token(nextcloud_secret())));
    assert!(matches!(imported, Err(IssueError::Failed(Failed::NoImportKey))), "{imported:?}");
    assert!(bench.enter("alice", bench.issue("alice").expose_secret()).is_ok());
}

/// Such a host has no import key, and every main password comes by here.
#[test]
fn an_import_without_schemes_needs_no_key_and_leaves_every_text_to_the_host() {
    let bench = bench_with_ring(Outside::new(), KeyRing::parse(SEAL_1).unwrap(), policy());
    let none = Import::default();
    let entered = wait(bench.tokens.authenticate_with(&none, None, "hunter2", Origin::unknown()));
    assert!(matches!(entered, Err(AuthError::NotOurs(_))), "{entered:?}");
    let login = Login::new(bench.tokens.clone(), NamesAreOwners(|_| true)).with_import(&none);
    for (name, secret) in [("alice", "hunter2"), ("hunter2", "x"), ("hunter2", "hunter2")] {
        let entered = wait(login.enter_with(Some(name), secret, Origin::unknown()));
        assert!(matches!(entered, Err(Refusal::NotOurs)), "{entered:?}");
    }
    let ours = bench.issue("alice");
    assert!(wait(login.enter_with(None, ours.expose_secret(), Origin::unknown())).is_ok());
}

#[test]
fn all_candidates_of_an_owner_are_found_also_behind_a_gap_and_no_more_are_imported() {
    let bench = bench();
    let text = |number: usize| format!("token number {number}");
    let ids: Vec<_> =
        (0..20).map(|number| bench.imported(OfOwner.secret("alice", &text(number)))).collect();
    let more = || token(OfOwner.secret("alice", "one more"));
    assert_eq!(bench.import(more()), Imported::TooManyCandidates);
    assert_eq!(bench.enter("alice", &text(19)).unwrap().id(), ids[19]);
    ready(bench.tokens.forget(ops(), ids[3])).unwrap();
    assert_eq!(bench.enter("alice", &text(18)).unwrap().id(), ids[18]);
    assert_eq!(bench.import(more()), Imported::Done(ids[3]));
    assert_eq!(bench.enter("alice", "one more").unwrap().id(), ids[3]);
    assert!(matches!(bench.enter("bob", &text(17)), Err(AuthError::NotOurs(_))));
}

#[test]
fn guesses_are_held_back_and_other_owners_and_tokens_in_use_are_not() {
    let bench = bench();
    bench.imported(OfOwner.secret("alice", "never used"));
    bench.imported(OfOwner.secret("alice", WORDS));
    let bob = ForeignToken::new(OfOwner.secret("bob", "of bob"), "bob", "Old", Access::full());
    assert!(matches!(bench.import(bob), Imported::Done(_)));
    bench.enter("alice", WORDS).unwrap();
    let import = all_schemes();
    let enter = |of: &str, text: &str| {
        let owner = owner(of);
        let entered =
            bench.tokens.authenticate_with(&import, Some(&owner), text, Origin::unknown());
        wait(entered).map(any)
    };
    let outcomes: Vec<_> = (0..410).map(|guess| enter("alice", &format!("{guess}"))).collect();
    let is_busy =
        |outcome: &Result<_, _>| matches!(outcome, Err(AuthError::Failed(Failed::ImportBusy)));
    assert_eq!(outcomes.iter().filter(|outcome| is_busy(outcome)).count(), 10);
    assert!(is_busy(&enter("alice", "never used")));
    assert!(enter("alice", WORDS).is_ok() && enter("bob", "of bob").is_ok());
    bench.clock.advance(secs(1));
    for _ in 0..9 {
        assert!(enter("alice", "never used").is_ok());
    }
}

#[test]
fn a_check_that_panics_is_a_failure_and_the_next_one_runs() {
    struct Panics;
    impl Foreign for Panics {
        fn name(&self) -> &str {
            "of-owner"
        }
        fn lookups(&self, _: &ForeignText<'_>) -> Vec<Lookup> {
            vec![Lookup::of_owner(&owner("alice"))]
        }
        fn verify(&self, _: &[u8], text: &str) -> Result<bool, InvalidKept> {
            if text == "panic" { panic!("on purpose") } else { Ok(true) }
        }
        fn is_slow(&self) -> bool {
            true
        }
    }
    let bench = bench();
    bench.imported(OfOwner.secret("alice", "any"));
    let import = Import::new().scheme(Panics).max_slow_checks(1.try_into().unwrap());
    let enter = |text| wait(bench.tokens.authenticate_with(&import, None, text, Origin::unknown()));
    assert!(matches!(enter("panic"), Err(AuthError::Failed(Failed::ImportBusy))));
    assert!(enter("good").is_ok());
}

#[test]
fn an_end_and_a_text_are_checked_as_at_an_issue() {
    let policy = policy().with_max_life(30 * DAY).unwrap();
    let bench = bench_with_ring(Outside::new(), ring(), policy);
    let id = bench.imported(nextcloud_secret());
    let view = ready(bench.tokens.find(ops(), id)).unwrap();
    assert_eq!(view.expires(), Expires::At(at(30 * 86_400)));
    assert_eq!((view.created_at(), view.issued_by()), (at(-1_000), Some(&operator("root"))));
    assert!(view.attributes().get("imported").unwrap().starts_with("nextcloud "));
    let empty = ForeignToken::new(nextcloud_secret(), "alice", "", Access::full());
    let refused = ready(bench.tokens.import(&operator("root"), &all_schemes(), empty));
    assert!(matches!(refused, Err(IssueError::Invalid(_))), "{refused:?}");
    let future = token(Plain::of_unknown_strength().secret("from tomorrow").unwrap());
    let Imported::Done(id) = bench.import(future.created_at(at(86_400)).last_used_at(at(86_400)))
    else {
        panic!()
    };
    let view = ready(bench.tokens.find(ops(), id)).unwrap();
    assert_eq!((view.created_at(), view.last_use().unwrap().at), (at(0), at(0)));
    assert_eq!(view.status(), Some(Status::Active));
}

#[test]
fn the_limit_per_owner_does_not_keep_a_token_out() {
    let policy: Policy = policy().with_max_per_owner(1).unwrap();
    let bench = bench_with_ring(Outside::new(), ring(), policy);
    drop(bench.issue("alice"));
    bench.imported(nextcloud_secret());
}

#[test]
fn the_status_tells_what_waits_for_its_first_use() {
    let bench = bench();
    let of = |scheme: &str, waiting, taken_over, ended| ImportStatus {
        scheme: scheme.into(),
        waiting,
        taken_over,
        ended,
        lost: 0,
        unclear: 0,
        candidates: if scheme == "of-owner" { 2 } else { 1 },
    };
    drop(bench.issue("alice"));
    let used = bench.imported(nextcloud_secret());
    let revoked = bench.imported(OfOwner.secret("alice", "one"));
    bench.imported(OfOwner.secret("alice", "two"));
    ready(bench.tokens.revoke(ops(), revoked, Reason::REQUESTED)).unwrap();
    let status = || ready(bench.tokens.import_status()).unwrap();
    assert_eq!(status(), [of("nextcloud", 1, 0, 0), of("of-owner", 1, 0, 1)]);
    bench.enter("alice", NEXTCLOUD.0).unwrap();
    bench.enter("alice", "two").unwrap();
    assert_eq!(status(), [of("nextcloud", 0, 1, 0), of("of-owner", 0, 1, 1)]);
    // The new text is ours, so it is none of the old system's.
    drop(ready(bench.tokens.rotate(ops(), used, Rotation::new())).unwrap());
    assert_eq!(status(), [of("nextcloud", 0, 0, 1), of("of-owner", 0, 1, 1)]);
}

#[test]
fn a_login_lets_foreign_tokens_in_by_the_rules_of_ours() {
    let bench = bench();
    bench.imported(OfOwner.secret("alice", WORDS));
    bench.imported(nextcloud_secret());
    let login = Login::new(bench.tokens.clone(), NamesAreOwners(|name| name != "ghost"));
    let without = login.clone();
    let login = login.with_import(&all_schemes());
    let enter = |name, text: &str| wait(login.enter_with(Some(name), text, Origin::unknown()));
    assert!(enter("alice", WORDS).is_ok());
    assert!(enter("alice", NEXTCLOUD.0).is_ok());
    assert!(matches!(enter("bob", NEXTCLOUD.0), Err(Refusal::Denied(_))));
    assert!(matches!(enter("ghost", WORDS), Err(Refusal::NotOurs)));
    assert!(matches!(enter("alice", "main password"), Err(Refusal::NotOurs)));
    assert!(wait(login.enter_with(None, NEXTCLOUD.0, Origin::unknown())).is_ok());
    let handed_on = wait(without.enter_with(Some("alice"), WORDS, Origin::unknown()));
    assert!(matches!(handed_on, Err(Refusal::NotOurs)));
}

#[test]
fn a_hash_of_another_form_is_refused() {
    let digits = "8f147564d7d35a4541771d38f27452c3de158dec58ea9854739f1fc306b33ee2";
    let sha256 = Sha256::of_unknown_strength();
    assert!(sha256.secret(digits).is_ok() && sha256.secret(&digits.to_uppercase()).is_ok());
    for wrong in ["", "8f", &digits[1..], &format!("{digits}00"), &digits.replace('8', "g"), "é"] {
        assert!(sha256.secret(wrong).is_err() && nextcloud().secret(wrong).is_err(), "{wrong}");
    }
    assert!(Plain::of_unknown_strength().secret("").is_err());
    assert!(Plain::of_unknown_strength().secret(&"a".repeat(8193)).is_err());
    let lookup = || Lookup::exact("x");
    assert!(ForeignSecret::hash(&OfOwner, lookup(), "").is_err());
    assert!(ForeignSecret::hash(&OfOwner, lookup(), "a".repeat(502)).is_ok());
    assert!(ForeignSecret::hash(&OfOwner, lookup(), "a".repeat(503)).is_err());
    let printed = format!("{:?} {:?}", token(nextcloud_secret()), nextcloud());
    assert!(!printed.contains(NEXTCLOUD.1) && !printed.contains("token7"), "{printed}");
}

#[test]
fn sanctums_number_before_the_bar_is_no_part_of_the_token() {
    let bench = bench();
    let import = Import::new().scheme(Sha256::of_sanctum());
    let hash = "cd0f78523bb3a0152f34dad4c96be307b8008aa267d49031fcf7da1f93418b49";
    let (bare, whole) =
        ("qpJOIVKjLh9Yd0gMbTnE4sXwZ1aRkUc2fWv8tNyD", "17|qpJOIVKjLh9Yd0gMbTnE4sXwZ1aRkUc2fWv8tNyD");
    let id = bench.imported(Sha256::of_sanctum().secret(hash).unwrap());
    let enter = |text| wait(bench.tokens.authenticate_with(&import, None, text, Origin::unknown()));
    for text in [whole, whole, bare, whole] {
        assert_eq!(any(enter(text).unwrap()).id(), id, "{text}");
    }
    for text in [
        "x|qpJOIVKjLh9Yd0gMbTnE4sXwZ1aRkUc2fWv8tNyD",
        "|qpJOIVKjLh9Yd0gMbTnE4sXwZ1aRkUc2fWv8tNyD",
        "17|",
    ] {
        assert!(matches!(enter(text), Err(AuthError::NotOurs(_))), "{text}");
    }
}

#[test]
fn an_owner_and_a_scheme_do_not_reach_another_systems_rows() {
    let bench = bench();
    let secret = Plain::of_unknown_strength().secret("hunter2hunter2").unwrap();
    bench.imported(secret);
    let import = Import::new().scheme(nextcloud()).scheme(OfOwner);
    let alice = Owner::new("alice").unwrap();
    let entered = wait(bench.tokens.authenticate_with(
        &import,
        Some(&alice),
        "hunter2hunter2",
        Origin::unknown(),
    ));
    assert!(matches!(entered, Err(AuthError::NotOurs(_))), "{entered:?}");
}
