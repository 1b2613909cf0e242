//! What a host refuses, before it writes anything.

use app_tokens::error::Failed;
use app_tokens::transfer::TransferError;
use app_tokens::{KeyRing, Policy};

use super::*;

#[track_caller]
fn refused(to: &Bench<outside::Outside>, sealed: &Sealed) -> TransferError {
    let error = try_in(to, sealed).unwrap_err();
    assert!(to.tokens.store().rows().is_empty(), "nothing was written");
    error
}

#[test]
fn a_changed_file_is_refused_before_anything_is_written() {
    let (from, to) = (host(), host());
    (0..40).for_each(|_| drop(from.issue("alice")));
    let sealed = out(&from);
    let lines: Vec<_> = sealed.bytes.split_inclusive(|byte| *byte == b'\n').collect();
    let with = |lines: &[&[u8]]| Sealed {
        bytes: lines.concat(),
        key: sealed.key.clone(),
        report: sealed.report.clone(),
    };
    let last = lines.len() - 1;
    // The last row, so that many good ones come before it.
    let mut swapped = lines.clone();
    swapped.swap(last - 2, last - 1);
    for changed in [
        with(&swapped),
        with(&[&lines[..last - 1], &lines[last..]].concat()),
        with(&[&lines[..last], &lines[last - 1..]].concat()),
        with(&lines[..last]),
        with(&[&lines[..], &[b"more\n"]].concat()),
    ] {
        refused(&to, &changed);
    }
    let error = refused(&to, &Sealed { key: TransferKey::draw().unwrap(), ..with(&lines) });
    assert!(matches!(error, TransferError::WrongKey));
    assert_eq!(take_in(&to, &sealed).tokens, 40);
}

#[test]
fn a_file_that_changes_after_it_was_opened_brings_in_no_changed_line() {
    let (from, to) = (host(), host());
    let (good, forged) = (from.issue("alice"), from.issue("alice"));
    let Sealed { bytes, key, .. } = out(&from);
    let path = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(path.path(), &bytes).unwrap();
    let reader = std::io::BufReader::with_capacity(16, std::fs::File::open(path.path()).unwrap());
    let mut file = TransferFile::open(reader, &key).unwrap();
    let mut changed = bytes.clone();
    let place = bytes.len() / 2; // in a row
    changed[place] ^= 1;
    std::fs::write(path.path(), changed).unwrap();
    let taken = to.tokens.block_on(to.tokens.move_in(who(), &mut file, |_| {}));
    assert!(matches!(taken, Err(TransferError::Changed { .. })), "{taken:?}");
    assert!(to.tokens.store().rows().len() < 2);
    drop((good, forged));
}

#[test]
fn a_host_with_another_prefix_takes_tokens_in_once_it_accepts_theirs() {
    let from = host_with(policy().with_realm("acme").unwrap().with_former_prefix("old").unwrap());
    let issued = from.issue("alice");
    let sealed = out(&from);
    let brand = || Policy::new("brand").unwrap().with_realm("brand").unwrap();
    for (to, missing) in [
        (host_with(brand()), "acme_"),
        (host_with(brand().with_former_prefix("acme").unwrap()), "old_"),
    ] {
        let error = refused(&to, &sealed).to_string();
        assert!(error.contains(missing) && error.contains("former prefixes"), "{error}");
    }
    let accepting = brand().with_former_prefix("acme").unwrap().with_former_prefix("old").unwrap();
    let to = host_with(accepting);
    take_in(&to, &sealed);
    to.assert_good(issued.expose_secret());
}

#[test]
fn a_file_is_refused_once_what_was_revoked_since_may_be_purged() {
    let to = host_with(policy().with_retention(3 * DAY));
    let from = host();
    drop(from.issue("alice"));
    let sealed = out(&from);
    to.clock.set(at(0).saturating_add(3 * DAY + secs(1)));
    assert!(matches!(refused(&to, &sealed), TransferError::TooOld { .. }));
    to.clock.set(at(0).saturating_add(3 * DAY));
    assert_eq!(take_in(&to, &sealed).tokens, 1);
}

#[test]
fn a_host_whose_ring_does_not_fit_its_rows_takes_nothing_in() {
    let from = host();
    drop(from.issue("alice"));
    let store = outside::Outside::new();
    drop(bench_with_ring(store.clone(), ring(), policy()).issue("bob"));
    let to = bench_with_ring(store.clone(), KeyRing::ephemeral().unwrap(), policy());
    let error = try_in(&to, &out(&from)).unwrap_err();
    assert!(matches!(error, TransferError::Failed(Failed::OrphanRow(_))), "{error:?}");
    assert_eq!(store.rows().len(), 1);
}

#[test]
fn an_open_import_lets_no_old_file_in() {
    let (from, store, ring) = (host(), outside::Outside::new(), KeyRing::ephemeral().unwrap());
    let issued = from.issue("alice");
    let sealed = out(&from);
    let closed = bench_with_ring(store.clone(), ring.clone(), policy().with_retention(DAY));
    take_in(&closed, &sealed);
    let revoked = closed.tokens.revoke(who(), issued.id(), app_tokens::Reason::REQUESTED);
    closed.tokens.block_on(revoked).unwrap();
    let later = at(0).saturating_add(2 * DAY);
    closed.clock.set(later);
    assert_eq!(closed.tokens.block_on(closed.tokens.purge()).unwrap(), 1);
    let open = bench_with_ring(store, ring, policy().with_retention(DAY).with_open_import());
    open.clock.set(later);
    assert!(matches!(refused(&open, &sealed), TransferError::TooOld { .. }));
}

#[test]
fn a_file_is_good_for_a_day_however_short_revoked_rows_are_kept() {
    let to = host_with(policy().with_retention(secs(60)));
    let from = host();
    drop(from.issue("alice"));
    let sealed = out(&from);
    to.clock.set(at(0).saturating_add(DAY + secs(1)));
    assert!(matches!(refused(&to, &sealed), TransferError::TooOld { .. }));
    to.clock.set(at(0).saturating_add(DAY));
    assert_eq!(take_in(&to, &sealed).tokens, 1);
}

#[test]
fn under_an_idle_time_out_nothing_is_taken_in_without_upkeep() {
    let from = host();
    drop(from.issue("alice"));
    let to = host_with(policy().with_idle_timeout(DAY).unwrap());
    let error = refused(&to, &out(&from));
    assert!(matches!(error, TransferError::Failed(Failed::NoUpkeep)), "{error:?}");
}
