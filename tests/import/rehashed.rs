//! Texts that the old system hashed twice, so that two rows belong to them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use app_tokens::record::{Digest, RecordParts};
use app_tokens::store::{Filter, Purge};
use support::rows::creation;

use super::*;

/// A scheme of a system that finds tokens by their owner, and keeps a salt and the text.
#[derive(Clone)]
struct Kind {
    name: &'static str,
    is_slow: bool,
    /// How often it compared.
    compared: Arc<AtomicUsize>,
}

impl Kind {
    fn slow(name: &'static str) -> Kind {
        Kind { name, is_slow: true, compared: Arc::default() }
    }

    fn fast(name: &'static str) -> Kind {
        Kind { is_slow: false, ..Kind::slow(name) }
    }

    fn secret(&self, text: &str) -> ForeignSecret {
        let kept = format!("salt {text}");
        ForeignSecret::hash(self, Lookup::of_owner(&owner("alice")), kept).unwrap()
    }
}

impl Foreign for Kind {
    fn name(&self) -> &str {
        self.name
    }
    fn lookups(&self, presented: &ForeignText<'_>) -> Vec<Lookup> {
        presented.owner().map(Lookup::of_owner).into_iter().collect()
    }
    fn verify(&self, kept: &[u8], text: &str) -> Result<bool, InvalidKept> {
        self.compared.fetch_add(1, Ordering::Relaxed);
        Ok(&kept[5..] == text.as_bytes())
    }
    fn is_slow(&self) -> bool {
        self.is_slow
    }
    fn needs_owner(&self) -> bool {
        true
    }
}

/// A host that tries some kinds of hashes, in this order.
struct Host {
    bench: Bench<Outside>,
    import: Import,
}

impl Host {
    fn of(kinds: &[&Kind]) -> Host {
        let add = |import: Import, kind: &&Kind| import.scheme((*kind).clone());
        Host { bench: bench(), import: kinds.iter().fold(Import::new(), add) }
    }

    #[track_caller]
    fn imported(&self, kind: &Kind, text: &str) -> TokenId {
        self.bench.imported(kind.secret(text))
    }

    fn enter(&self, text: &str) -> Result<TokenId, AuthError> {
        let (alice, origin) = (owner("alice"), Origin::unknown());
        let tokens = &self.bench.tokens;
        let entered = tokens.authenticate_with(&self.import, Some(&alice), text, origin);
        wait(entered).map(|good| any(good).id())
    }

    fn digest_scheme(&self, id: TokenId) -> u8 {
        self.bench.tokens.store().parts(id).digest.scheme()
    }

    /// Imports a token, ends it, and imports its text anew as another kind.
    #[track_caller]
    fn assert_stays_ended(&self, old: &Kind, new: &Kind, is_used: bool, is_rotated: bool) {
        let what = format!("{} to {}, used {is_used}, rotated {is_rotated}", old.name, new.name);
        let (tokens, id) = (&self.bench.tokens, self.imported(old, WORDS));
        if is_used {
            assert_eq!(self.enter(WORDS).unwrap(), id, "{what}");
        }
        let reason = if is_rotated {
            drop(ready(tokens.rotate(ops(), id, Rotation::new())).unwrap());
            DenialReason::Superseded
        } else {
            ready(tokens.revoke(ops(), id, Reason::REQUESTED)).unwrap();
            DenialReason::Revoked
        };
        let again = self.imported(new, WORDS);
        for _ in 0..2 {
            match self.enter(WORDS) {
                Err(AuthError::Denied(denied)) => assert_eq!(denied.reason(), reason, "{what}"),
                other => panic!("{what}: {other:?}"),
            }
        }
        assert_eq!(self.digest_scheme(again), 3, "{what}");
    }
}

#[test]
fn a_text_that_was_hashed_anew_by_another_scheme_stays_revoked_or_rotated() {
    let (slow, slow_too, fast) = (Kind::slow("slow"), Kind::slow("slow-too"), Kind::fast("fast"));
    for (old, new) in [(&slow, &slow_too), (&slow, &fast), (&fast, &slow)] {
        for (one, other) in [(old, new), (new, old)] {
            for is_used in [false, true] {
                for is_rotated in [false, true] {
                    let host = Host::of(&[one, other]);
                    host.assert_stays_ended(old, new, is_used, is_rotated);
                }
            }
        }
    }
}

#[test]
fn of_two_fast_hashes_of_one_owner_the_ended_one_decides() {
    let (fast, bench) = (Kind::fast("fast"), bench());
    let host = Host { bench, import: Import::new().scheme(fast.clone()) };
    let salted = ForeignSecret::hash(&fast, Lookup::of_owner(&owner("alice")), "SALT of one");
    host.imported(&fast, "of one");
    let revoked = host.bench.imported(salted.unwrap());
    ready(host.bench.tokens.revoke(ops(), revoked, Reason::REQUESTED)).unwrap();
    assert!(matches!(host.enter("of one"), Err(AuthError::Denied(_))));
}

#[test]
fn of_two_rows_of_one_text_the_one_in_use_decides() {
    for waiting in [Kind::slow("waiting"), Kind::fast("waiting")] {
        let in_use = Kind::slow("in-use");
        for kinds in [[&waiting, &in_use], [&in_use, &waiting]] {
            let host = Host::of(&kinds);
            let id = host.imported(&in_use, WORDS);
            assert_eq!(host.enter(WORDS).unwrap(), id);
            // It may have been narrowed since. The old system hashed its text anew.
            let again = host.imported(&waiting, WORDS);
            for _ in 0..2 {
                assert_eq!(host.enter(WORDS).unwrap(), id);
            }
            assert_eq!(host.digest_scheme(again), 3);
        }
    }
}

#[test]
fn a_token_in_use_computes_no_hash_of_another_and_is_never_held_back() {
    let (waiting, in_use) = (Kind::slow("waiting"), Kind::slow("in-use"));
    let host = Host::of(&[&waiting, &in_use]);
    host.imported(&waiting, "never used");
    let id = host.imported(&in_use, WORDS);
    host.enter(WORDS).unwrap();
    waiting.compared.store(0, Ordering::Relaxed);
    for _ in 0..500 {
        assert_eq!(host.enter(WORDS).unwrap(), id);
    }
    assert_eq!(waiting.compared.load(Ordering::Relaxed), 0);
}

/// From its second use on, a text of Nextcloud costs one look-up, not one for each way in which it
/// may be hashed.
#[test]
fn a_token_in_use_is_found_by_its_first_hash_and_the_other_is_not_looked_up() {
    let (bench, text) = (bench(), NEXTCLOUD.0);
    let in_use = bench.imported(nextcloud_secret());
    let waiting = bench.imported(hashed_with(""));
    assert_eq!(bench.enter("alice", text).unwrap().id(), in_use);
    // A look-up of this row would deny the text.
    bench.tokens.store().damage(waiting);
    assert_eq!(bench.enter("alice", text).unwrap().id(), in_use);
}

/// `may_retire` does not count it, so its key may be gone.
#[test]
fn a_first_use_needs_no_key_that_only_a_revoked_row_needs() {
    let (old, new) = (Kind::slow("old"), Kind::slow("new"));
    let host = Host::of(&[&new, &old]);
    let revoked = host.imported(&old, WORDS);
    host.enter(WORDS).unwrap();
    ready(host.bench.tokens.revoke(ops(), revoked, Reason::REQUESTED)).unwrap();
    let store = host.bench.tokens.store().clone();
    let ring = KeyRing::parse(&format!("{SEAL_2},{IMPORT}")).unwrap();
    let without =
        Host { bench: bench_with_ring(store, ring, policy()), import: host.import.clone() };
    let id = without.imported(&new, "of another");
    assert_eq!(without.enter("of another").unwrap(), id);
    let password = without.enter("main password");
    assert!(matches!(password, Err(AuthError::NotOurs(_))), "{password:?}");
}

/// It may be the text of the revoked row, hashed anew. This program can't tell.
#[test]
fn a_first_use_fails_beside_a_revoked_row_of_a_newer_program_and_a_password_does_not() {
    let (old, new) = (Kind::slow("old"), Kind::slow("new"));
    let host = Host::of(&[&new, &old]);
    let revoked = host.imported(&old, WORDS);
    let waiting = host.imported(&new, "of another");
    host.enter(WORDS).unwrap();
    ready(host.bench.tokens.revoke(ops(), revoked, Reason::REQUESTED)).unwrap();
    let store = host.bench.tokens.store();
    let parts = store.parts(revoked);
    assert_eq!(ready(store.purge(&Purge::Matching(Filter::of_id(revoked)), 1)).unwrap(), 1);
    let digest = Digest::from_bytes(&[4; 40]).unwrap();
    ready(store.insert(&creation(RecordParts { digest, ..parts.clone() }))).unwrap();
    let failed = host.enter("of another");
    assert!(matches!(failed, Err(AuthError::Failed(Failed::Unclear(_)))), "{failed:?}");
    let password = host.enter("main password");
    assert!(matches!(password, Err(AuthError::NotOurs(_))), "{password:?}");
    ready(store.purge(&Purge::Matching(Filter::of_id(revoked)), 1)).unwrap();
    ready(store.insert(&creation(parts))).unwrap();
    assert_eq!(host.enter("of another").unwrap(), waiting);
}
