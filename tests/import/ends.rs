//! Imported tokens that end: revoked, forgotten by a key ring, damaged, idle.

use super::*;

#[test]
fn a_revoked_token_needs_no_key_to_be_denied_and_holds_up_no_password() {
    let bench = bench();
    let plain = Plain::of_unknown_strength().secret("hunter2hunter2").unwrap();
    for (secret, text) in [(plain, "hunter2hunter2"), (OfOwner.secret("alice", WORDS), WORDS)] {
        let id = bench.imported(secret);
        bench.enter("alice", text).unwrap();
        assert_eq!(bench.tokens.store().parts(id).digest.scheme(), 2);
        ready(bench.tokens.revoke(ops(), id, Reason::REQUESTED)).unwrap();
    }
    let turned = KeyRing::parse(&format!("{SEAL_2},{IMPORT}")).unwrap();
    let turned = bench_with_ring(bench.tokens.store().clone(), turned, policy());
    turned.assert_refused("hunter2hunter2", DenialReason::Revoked);
    turned.assert_not_ours("main password");
}

#[test]
fn a_text_that_was_hashed_in_two_ways_stays_revoked_or_rotated() {
    use sha2::Digest as _;
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    for is_rotated in [false, true] {
        let bench = bench();
        let old = nextcloud().secret(&hex(&sha2::Sha512::digest(NEXTCLOUD.0))).unwrap();
        let old = bench.imported(old);
        let reason = if is_rotated {
            drop(ready(bench.tokens.rotate(ops(), old, Rotation::new())).unwrap());
            DenialReason::Superseded
        } else {
            ready(bench.tokens.revoke(ops(), old, Reason::REQUESTED)).unwrap();
            DenialReason::Revoked
        };
        // Nextcloud hashes it anew at its next use there, and a second run imports that.
        let new = bench.imported(nextcloud_secret());
        bench.assert_refused(NEXTCLOUD.0, reason);
        assert_eq!(bench.tokens.store().parts(new).digest.scheme(), 3);
    }
}

#[test]
fn uses_of_an_ended_token_are_held_back_like_guesses() {
    let bench = bench();
    let id = bench.imported(OfOwner.secret("alice", WORDS));
    ready(bench.tokens.revoke(ops(), id, Reason::LEAKED)).unwrap();
    let (import, alice) = (all_schemes(), owner("alice"));
    let enter =
        || wait(bench.tokens.authenticate_with(&import, Some(&alice), WORDS, Origin::unknown()));
    let is_busy = |entered| matches!(entered, Err(AuthError::Failed(Failed::ImportBusy)));
    assert_eq!((0..410).filter(|_| is_busy(enter())).count(), 10);
}

#[test]
fn a_damaged_row_keeps_its_token_out_and_is_named_by_a_second_run() {
    let bench = bench();
    let id = bench.imported(nextcloud_secret());
    bench.tokens.store().damage(id);
    bench.assert_refused(NEXTCLOUD.0, DenialReason::Tampered);
    assert_eq!(bench.import(token(nextcloud_secret())), Imported::DamagedRow(id));
    let shared = bench.imported(OfOwner.secret("alice", WORDS));
    bench.tokens.store().damage(shared);
    let again = bench.import(token(OfOwner.secret("alice", WORDS)));
    assert_eq!(again, Imported::DamagedRow(shared));
}

#[test]
fn under_an_idle_time_out_a_token_of_unknown_use_counts_as_used_at_the_import() {
    let policy = policy().with_idle_timeout(90 * DAY).unwrap();
    let bench = bench_with_ring(Outside::new(), ring(), policy);
    let _upkeep = bench.tokens.upkeep();
    let year_old = |secret| token(secret).created_at(at(-365 * 86_400));
    assert!(matches!(bench.import(year_old(nextcloud_secret())), Imported::Done(_)));
    assert!(bench.enter("alice", NEXTCLOUD.0).is_ok());
    let unused = year_old(OfOwner.secret("alice", WORDS)).last_used_at(at(-91 * 86_400));
    assert!(matches!(bench.import(unused), Imported::Done(_)));
    bench.assert_refused(WORDS, DenialReason::Idle);
}

#[test]
fn a_second_run_changes_nothing_whatever_became_of_the_token() {
    let bench = bench();
    let again = |id| {
        let before = bench.tokens.store().rows();
        assert_eq!(bench.import(token(nextcloud_secret())), Imported::AlreadyThere(id));
        assert_eq!(bench.tokens.store().rows(), before);
    };
    let id = bench.imported(nextcloud_secret());
    again(id);
    bench.enter("alice", NEXTCLOUD.0).unwrap();
    again(id);
    drop(ready(bench.tokens.rotate(ops(), id, Rotation::new())).unwrap());
    again(id);
    ready(bench.tokens.revoke(ops(), id, Reason::LEAKED)).unwrap();
    again(id);
    bench.clock.advance(1_000 * DAY);
    assert_eq!(ready(bench.tokens.purge()).unwrap(), 0);
    again(id);
}

#[test]
fn a_second_run_finds_a_token_behind_a_place_that_was_freed() {
    let bench = bench();
    let first = bench.imported(OfOwner.secret("alice", "one"));
    let behind = bench.imported(OfOwner.secret("alice", "two"));
    ready(bench.tokens.revoke(ops(), behind, Reason::LEAKED)).unwrap();
    ready(bench.tokens.forget(ops(), first)).unwrap();
    let again = bench.import(token(OfOwner.secret("alice", "two")));
    assert_eq!(again, Imported::AlreadyThere(behind));
    bench.assert_refused("two", DenialReason::Revoked);
}

#[test]
fn once_the_import_is_closed_dead_rows_are_purged() {
    let closed = bench_with_ring(Outside::new(), ring(), policy());
    let id = closed.imported(nextcloud_secret());
    ready(closed.tokens.revoke(ops(), id, Reason::REQUESTED)).unwrap();
    closed.clock.advance(91 * DAY);
    assert_eq!(ready(closed.tokens.purge()).unwrap(), 1);
}

#[test]
fn a_token_that_was_revoked_before_its_first_use_is_denied_and_never_handed_on() {
    let bench = bench();
    for (secret, text) in [
        (nextcloud_secret(), NEXTCLOUD.0),
        (OfOwner.secret("alice", WORDS), WORDS),
        (Plain::of_unknown_strength().secret("hunter2hunter2").unwrap(), "hunter2hunter2"),
    ] {
        let id = bench.imported(secret);
        ready(bench.tokens.revoke(ops(), id, Reason::REQUESTED)).unwrap();
        bench.assert_refused(text, DenialReason::Revoked);
        assert_ne!(bench.tokens.store().parts(id).revocation, None);
    }
}

#[test]
fn a_revocation_during_the_first_use_stays() {
    let bench = bench();
    let id = bench.imported(nextcloud_secret());
    let (tokens, before) = (bench.tokens.clone(), bench.tokens.store().parts(id));
    bench.tokens.store().before_the_next_write(move || {
        ready(tokens.revoke(ops(), id, Reason::REQUESTED)).unwrap();
    });
    assert!(bench.enter("alice", NEXTCLOUD.0).is_ok(), "it began before the revocation");
    let after = bench.tokens.store().parts(id);
    assert!(after.revocation.is_some() && after.digest == before.digest);
    bench.assert_refused(NEXTCLOUD.0, DenialReason::Revoked);
}

#[test]
fn a_text_that_was_imported_for_one_realm_is_not_ours_in_another() {
    let bench = bench();
    let here = bench.imported(nextcloud_secret());
    let other = policy().with_realm("brand").unwrap().with_open_import();
    let other = bench_with_ring(bench.tokens.store().clone(), ring(), other);
    other.assert_not_ours(NEXTCLOUD.0);
    // A table is of one realm, so it can't be imported there, too.
    let again = token(nextcloud_secret());
    let refused = wait(other.tokens.import(&operator("root"), &all_schemes(), again));
    assert!(matches!(refused, Err(IssueError::Failed(Failed::OtherImportKey(id))) if id == here));
    assert_eq!(bench.enter("alice", NEXTCLOUD.0).unwrap().id(), here);
}

/// A slow scheme whose hashes of one text differ, as a salt makes them differ.
struct Salted;

impl Salted {
    fn secret(salt: u8, text: &str) -> ForeignSecret {
        let kept = format!("{salt}{text}");
        ForeignSecret::hash(&Salted, Lookup::of_owner(&owner("alice")), kept).unwrap()
    }
}

impl Foreign for Salted {
    fn name(&self) -> &str {
        "salted"
    }
    fn lookups(&self, presented: &ForeignText<'_>) -> Vec<Lookup> {
        presented.owner().map(Lookup::of_owner).into_iter().collect()
    }
    fn verify(&self, kept: &[u8], text: &str) -> Result<bool, InvalidKept> {
        Ok(&kept[1..] == text.as_bytes())
    }
    fn is_slow(&self) -> bool {
        true
    }
    fn needs_owner(&self) -> bool {
        true
    }
}

#[test]
fn a_text_that_was_hashed_with_two_salts_stays_revoked_in_any_place() {
    let bench = bench();
    let import = Import::new().scheme(Salted);
    let place = |secret| match wait(bench.tokens.import(&ops(), &import, token(secret))).unwrap() {
        Imported::Done(id) => id,
        other => panic!("{other:?}"),
    };
    let first = place(Salted::secret(1, "another text"));
    let revoked = place(Salted::secret(1, WORDS));
    ready(bench.tokens.revoke(ops(), revoked, Reason::REQUESTED)).unwrap();
    ready(bench.tokens.forget(ops(), first)).unwrap();
    // The old system hashed it anew, and a second run takes the place that is free.
    assert_eq!(place(Salted::secret(2, WORDS)), first);
    let alice = owner("alice");
    let entered = bench.tokens.authenticate_with(&import, Some(&alice), WORDS, Origin::unknown());
    assert!(matches!(wait(entered), Err(AuthError::Denied(_))));
}

#[test]
fn a_second_run_that_takes_the_texts_for_random_finds_the_tokens_there() {
    let bench = bench();
    let hash = "8f147564d7d35a4541771d38f27452c3de158dec58ea9854739f1fc306b33ee2";
    let uuid = "4b0f2a8e-6c1d-4f57-9a3e-2d8b7c5e1f90";
    let sha256 = || Sha256::with_at_least_112_bits().secret(hash).unwrap();
    let plain = || Plain::with_at_least_112_bits().secret(uuid).unwrap();
    let cases: [(ForeignSecret, &dyn Fn() -> ForeignSecret); 2] = [
        (Sha256::of_unknown_strength().secret(hash).unwrap(), &sha256),
        (Plain::of_unknown_strength().secret(uuid).unwrap(), &plain),
    ];
    for (one, other) in cases {
        let id = bench.imported(one);
        assert_eq!(bench.import(token(other())), Imported::AlreadyThere(id));
        ready(bench.tokens.forget(ops(), id)).unwrap();
        assert_eq!(bench.import(token(other())), Imported::Forgotten);
    }
}
