//! Which rows a text is compared with, and what stands beside an import.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// A scheme of a host's own: a number, a colon, and the secret, which may be weak. It keeps the
/// secret, reversed.
struct Numbered;

impl Numbered {
    fn kept(secret: &str) -> ForeignSecret {
        let kept: String = secret.chars().rev().collect();
        ForeignSecret::hash(&Numbered, Lookup::exact(secret), kept).unwrap()
    }
}

impl Foreign for Numbered {
    fn name(&self) -> &str {
        "numbered"
    }
    fn lookups(&self, presented: &ForeignText<'_>) -> Vec<Lookup> {
        vec![Lookup::exact(self.secret_part(presented.expose_secret()))]
    }
    fn verify(&self, kept: &[u8], text: &str) -> Result<bool, InvalidKept> {
        Ok(kept.iter().rev().eq(self.secret_part(text).as_bytes()))
    }
    fn secret_part<'t>(&self, text: &'t str) -> &'t str {
        text.split_once(':').map_or(text, |(_, secret)| secret)
    }
}

fn enter_by<S: TokenStore>(
    bench: &Bench<S>,
    import: &Import,
    text: &str,
) -> Result<TokenId, AuthError> {
    let alice = owner("alice");
    let entered = bench.tokens.authenticate_with(import, Some(&alice), text, Origin::unknown());
    wait(entered).map(|good| any(good).id())
}

#[test]
fn a_weak_text_is_digested_without_what_is_written_before_its_secret() {
    let bench = bench();
    let import = Import::new().scheme(Numbered);
    let hashed = bench.imported(Numbered::kept("hunter2"));
    let clear = ForeignSecret::text(&Numbered, Lookup::exact("letmein"), "9:letmein").unwrap();
    let clear = bench.imported(clear);
    for (text, id) in [("7:hunter2", hashed), ("8:hunter2", hashed), ("7:letmein", clear)] {
        assert_eq!(enter_by(&bench, &import, text).unwrap(), id, "{text}");
        assert_eq!(bench.tokens.store().parts(id).digest.scheme(), 2);
    }
}

#[test]
fn a_damaged_row_of_an_owner_keeps_no_other_token_of_theirs_out() {
    let bench = bench();
    let damaged = bench.imported(OfOwner.secret("alice", "one"));
    let good = bench.imported(OfOwner.secret("alice", "two"));
    bench.tokens.store().damage(damaged);
    assert_eq!(bench.enter("alice", "two").unwrap().id(), good);
    bench.assert_not_ours("one");
}

#[test]
fn a_row_that_this_host_cannot_compare_keeps_no_other_token_of_its_owner_out() {
    let bench = bench();
    let unclear = bench.imported(OfOwner.secret("alice", "one"));
    let good = bench.imported(OfOwner.secret("alice", "two"));
    let newer = app_tokens::record::Digest::from_bytes(&[9, 9]).unwrap();
    bench.tokens.store().change(unclear, |parts| parts.digest = newer);
    assert_eq!(bench.enter("alice", "two").unwrap().id(), good);
    // It may be this row's text, so it is no password of the host's.
    let failed = bench.enter("alice", "one");
    assert!(matches!(failed, Err(AuthError::Failed(Failed::Unclear(_)))), "{failed:?}");
}

#[test]
fn the_time_does_not_tell_which_candidate_matched() {
    static VERIFIED: AtomicUsize = AtomicUsize::new(0);
    struct Counting;
    impl Foreign for Counting {
        fn name(&self) -> &str {
            OfOwner.name()
        }
        fn lookups(&self, presented: &ForeignText<'_>) -> Vec<Lookup> {
            OfOwner.lookups(presented)
        }
        fn verify(&self, kept: &[u8], text: &str) -> Result<bool, InvalidKept> {
            VERIFIED.fetch_add(1, Ordering::Relaxed);
            OfOwner.verify(kept, text)
        }
        fn is_slow(&self) -> bool {
            true
        }
    }
    let bench = bench();
    for text in ["one", "two", "three"] {
        bench.imported(OfOwner.secret("alice", text));
    }
    let import = Import::new().scheme(Counting);
    assert!(enter_by(&bench, &import, "one").is_ok());
    assert_eq!(VERIFIED.swap(0, Ordering::Relaxed), 3);
    assert!(enter_by(&bench, &import, "three").is_ok());
    assert_eq!(VERIFIED.load(Ordering::Relaxed), 2, "the first has a digest of ours by now");
}

#[test]
fn a_guess_counts_as_many_times_as_there_are_rows_that_wait() {
    let bench = bench();
    let import = all_schemes();
    for number in 0..20 {
        bench.imported(OfOwner.secret("alice", &format!("token number {number}")));
    }
    let guess = || match enter_by(&bench, &import, "a guess") {
        Err(AuthError::NotOurs(_)) => true,
        Err(AuthError::Failed(Failed::ImportBusy)) => false,
        other => panic!("{other:?}"),
    };
    assert_eq!((0..30).filter(|_| guess()).count(), 20);
    bench.clock.advance(secs(19));
    assert!(!guess());
    bench.clock.advance(secs(1));
    assert!(guess() && !guess());
}

#[test]
fn each_of_twenty_devices_of_one_user_gets_in_after_the_move() {
    let bench = bench();
    let import = all_schemes();
    let text = |number: usize| format!("token number {number}");
    let ids: Vec<_> =
        (0..20).map(|number| bench.imported(OfOwner.secret("alice", &text(number)))).collect();
    // A client with another password came before them.
    for _ in 0..19 {
        assert!(matches!(enter_by(&bench, &import, "a guess"), Err(AuthError::NotOurs(_))));
    }
    for (number, id) in ids.iter().enumerate() {
        assert_eq!(enter_by(&bench, &import, &text(number)).unwrap(), *id);
    }
    for (number, id) in ids.iter().enumerate() {
        assert_eq!(enter_by(&bench, &import, &text(number)).unwrap(), *id);
    }
}

#[test]
fn a_text_that_is_longer_than_any_token_is_not_hashed() {
    use sha2::Digest as _;
    let bench = bench();
    let scheme = Sha256::of_unknown_strength();
    let import = Import::new().scheme(scheme);
    let [longest, too_long] = [0, 1].map(|more| "a".repeat(ForeignText::MAX_BYTES + more));
    for text in [&longest, &too_long] {
        let secret = scheme.secret_bytes(&sha2::Sha256::digest(text)).unwrap();
        assert!(matches!(bench.import(token(secret)), Imported::Done(_)));
    }
    assert!(enter_by(&bench, &import, &longest).is_ok());
    let entered = enter_by(&bench, &import, &too_long);
    assert!(matches!(entered, Err(AuthError::NotOurs(_))), "{entered:?}");
}

#[test]
fn a_former_prefix_is_ours_and_the_letters_of_a_prefix_alone_are_not() {
    let policy = policy().with_realm("acme").unwrap().with_former_prefix("old").unwrap();
    let bench = bench_with_ring(Outside::new(), ring(), policy.with_open_import());
    let plain = |text| Plain::of_unknown_strength().secret(text).unwrap();
    for ours in ["acme_hunter2", "old_hunter2", " Old_hunter2"] {
        bench.imported(plain(ours));
        bench.assert_not_ours(ours);
    }
    for foreign in ["acmehunter2", "old", "older_hunter2", "hunter2 old_"] {
        let id = bench.imported(plain(foreign));
        assert_eq!(bench.enter("alice", foreign).unwrap().id(), id, "{foreign}");
    }
}

#[test]
fn a_token_is_not_idle_if_its_use_is_written_while_its_row_is_looked_for() {
    let policy = policy().with_idle_timeout(DAY).unwrap();
    let bench = bench_with_ring(Outside::new(), ring(), policy);
    let _upkeep = bench.tokens.upkeep();
    bench.imported(nextcloud_secret());
    bench.clock.advance(DAY - secs(1));
    bench.enter("alice", NEXTCLOUD.0).unwrap();
    bench.clock.advance(secs(1));
    let same = bench.tokens.clone();
    bench.tokens.store().after_the_next_read(move || ready(same.flush_usage()).unwrap());
    bench.enter("alice", NEXTCLOUD.0).unwrap();
}

#[test]
fn of_two_imports_at_once_each_token_has_a_place_and_none_has_two() {
    for (other, expected) in [("one", 1), ("two", 2)] {
        let bench = bench();
        let same = bench.tokens.clone();
        bench.tokens.store().before_the_next_write(move || {
            let token = token(OfOwner.secret("alice", other));
            let imported = ready(same.import(&operator("root"), &all_schemes(), token)).unwrap();
            assert!(matches!(imported, Imported::Done(_)));
        });
        let imported = bench.import(token(OfOwner.secret("alice", "one")));
        let is_there = matches!(imported, Imported::AlreadyThere(_));
        assert_eq!((is_there, bench.tokens.store().rows().len()), (expected == 1, expected));
        assert!(bench.enter("alice", "one").is_ok() && bench.enter("alice", other).is_ok());
    }
}

#[test]
fn no_more_tokens_share_a_look_up_than_the_host_says() {
    let bench = bench();
    let import = Import::new().scheme(OfOwner).max_candidates(2.try_into().unwrap());
    let imported = ["one", "two", "three"].map(|text| {
        let token = token(OfOwner.secret("alice", text));
        wait(bench.tokens.import(&operator("root"), &import, token)).unwrap()
    });
    assert_eq!(imported[2], Imported::TooManyCandidates);
    assert!(enter_by(&bench, &import, "two").is_ok());
}

#[test]
fn the_status_says_how_many_candidates_find_every_row_also_behind_a_gap_and_an_ended_one() {
    let bench = bench();
    let import = |most: u32| Import::new().scheme(OfOwner).max_candidates(most.try_into().unwrap());
    let reaching = || {
        let status = wait(bench.tokens.import_status()).unwrap();
        (1..5).find(|most| status.iter().all(|scheme| import(*most).reaches(scheme)))
    };
    assert_eq!(reaching(), Some(1));
    let ids = ["one", "two", "three"].map(|text| {
        let token = token(OfOwner.secret("alice", text));
        let imported = wait(bench.tokens.import(&operator("root"), &import(3), token)).unwrap();
        let Imported::Done(id) = imported else { panic!("{imported:?}") };
        id
    });
    assert_eq!(reaching(), Some(3));
    assert!(enter_by(&bench, &import(2), "three").is_err());
    wait(bench.tokens.forget(ops(), ids[1])).unwrap();
    wait(bench.tokens.revoke(ops(), ids[2], Reason::REQUESTED)).unwrap();
    assert_eq!(reaching(), Some(3));
    // Its tombstone is found without a number.
    wait(bench.tokens.forget(ops(), ids[2])).unwrap();
    assert_eq!(reaching(), Some(1));
}

#[test]
fn a_second_run_finds_a_token_at_any_place_that_it_looks_at() {
    let bench = bench();
    let import = |most: u32| Import::new().scheme(OfOwner).max_candidates(most.try_into().unwrap());
    let run = |most, text| {
        let token = token(OfOwner.secret("alice", text));
        wait(bench.tokens.import(&operator("root"), &import(most), token)).unwrap()
    };
    let texts = ["one", "two", "three"];
    let first = texts.map(|text| run(3, text));
    for (text, imported) in texts.iter().zip(first) {
        let Imported::Done(id) = imported else { panic!("{imported:?}") };
        for most in [3, 7] {
            assert_eq!(run(most, text), Imported::AlreadyThere(id), "{text}");
        }
    }
}

#[test]
fn nothing_is_imported_beside_rows_whose_key_is_missing() {
    let store = Outside::new();
    drop(bench_with_ring(store.clone(), ring(), policy()).issue("bob"));
    let turned = KeyRing::parse(&format!("{SEAL_2},{IMPORT}")).unwrap();
    let turned = bench_with_ring(store.clone(), turned, policy());
    let token = token(nextcloud_secret());
    let refused = ready(turned.tokens.import(&operator("root"), &all_schemes(), token));
    assert!(matches!(refused, Err(IssueError::Failed(Failed::OrphanRow(_)))), "{refused:?}");
    assert_eq!(store.rows().len(), 1);
}

#[test]
fn under_an_idle_time_out_nothing_is_imported_without_upkeep() {
    let policy = policy().with_idle_timeout(DAY).unwrap();
    let bench = bench_with_ring(Outside::new(), ring(), policy);
    let refused =
        ready(bench.tokens.import(&operator("root"), &all_schemes(), token(nextcloud_secret())));
    assert!(matches!(refused, Err(IssueError::Failed(Failed::NoUpkeep))), "{refused:?}");
    assert!(bench.tokens.store().rows().is_empty());
}
