//! No signing oracle: an operation that writes a seal first checks the seal of the row it read. It
//! never seals what an attacker wrote, and brings nothing revoked back.

mod common;

use app_tokens::error::{ChangeError, DenialReason, IssueError, ManageError};
use app_tokens::record::{Expires, KeyId, RecordParts, Seal, Status};
use app_tokens::store::{Filter, Page};
use app_tokens::{
    Access, Caller, IssuedToken, KeyRing, Label, NewToken, Reason, Rotation, TokenId,
};
use common::outside::{Outside, TAMPERINGS, bound, in_networks, new_token};
use common::*;

type Operation = (&'static str, fn(&Bench<Outside>, &Caller) -> Answer);

/// What became of an operation; this file needs no more detail.
#[derive(Debug, PartialEq)]
enum Answer {
    Done,
    Refused(Status),
    /// Refused because the row isn't there any more, or has changed.
    Gone,
    Other(String),
}

/// Every operation that writes a seal.
const OPERATIONS: &[Operation] = &[
    ("rename", |bench, caller| {
        changed(bench.tokens.block_on(bench.tokens.rename(&ops(), caller.id(), "x")))
    }),
    ("narrow", |bench, caller| {
        let none = bound(Access::scopes([""; 0]).unwrap());
        changed(bench.tokens.block_on(bench.tokens.narrow(&ops(), caller.id(), none)))
    }),
    ("narrow to one network", |bench, caller| {
        let one = in_networks(caller.access().clone(), &["10.0.0.0/8"]);
        changed(bench.tokens.block_on(bench.tokens.narrow(&ops(), caller.id(), one)))
    }),
    ("narrow to what it has", |bench, caller| {
        let same = caller.access().clone();
        changed(bench.tokens.block_on(bench.tokens.narrow(&ops(), caller.id(), same)))
    }),
    ("extend", |bench, caller| {
        changed(bench.tokens.block_on(bench.tokens.extend(&ops(), caller.id(), later())))
    }),
    ("rotate", |bench, caller| {
        let rotation = Rotation::new();
        changed(bench.tokens.block_on(bench.tokens.rotate(&ops(), caller.id(), rotation)))
    }),
    ("rotate with an overlap", |bench, caller| {
        let rotation = Rotation::new().overlap(secs(60));
        changed(bench.tokens.block_on(bench.tokens.rotate(&ops(), caller.id(), rotation)))
    }),
    ("issue under it", |bench, caller| {
        let new = NewToken::new(caller.owner(), "child", caller.access().clone());
        match bench.tokens.block_on(bench.tokens.issue_under(caller, new)) {
            Ok(_) => Answer::Done,
            Err(IssueError::ParentChanged) => Answer::Gone,
            Err(other) => Answer::Other(format!("{other:?}")),
        }
    }),
    ("reseal", |bench, caller| {
        let tokens = bench_with_ring(bench.tokens.store().clone(), two_keys_turned(), policy());
        let report = tokens.tokens.block_on(tokens.tokens.reseal()).unwrap();
        match (report.moved, &report.tampered[..]) {
            (1, []) => Answer::Done,
            (0, [id]) if *id == caller.id() => Answer::Refused(Status::Tampered),
            (0, []) => Answer::Gone,
            _ => Answer::Other(format!("{report:?}")),
        }
    }),
];

fn changed<T>(answer: Result<T, ChangeError>) -> Answer {
    match answer {
        Ok(_) => Answer::Done,
        Err(ChangeError::NotActive(status)) => Answer::Refused(status),
        Err(ChangeError::Unknown) => Answer::Gone,
        Err(other) => Answer::Other(format!("{other:?}")),
    }
}

/// Returns an end later than the one a token gets by default.
fn later() -> Expires {
    Expires::At(at(400 * 86_400))
}

/// Issues a token in a store outside the process, and authenticates with it.
fn token() -> (Outside, Bench<Outside>, IssuedToken, Caller) {
    let store = Outside::new();
    let bench = bench_with_ring(store.clone(), two_keys(), policy());
    let issued = bench.tokens.block_on(bench.tokens.issue(new_token())).unwrap();
    let caller = bench.enter_from_home(issued.expose_secret());
    bench.tokens.block_on(bench.tokens.flush_usage()).unwrap();
    (store, bench, issued, caller)
}

fn revoke(bench: &Bench<Outside>, id: TokenId) {
    assert_eq!(
        bench.tokens.block_on(bench.tokens.revoke(&ops(), id, Reason::REQUESTED)).unwrap(),
        1
    );
}

#[test]
fn each_operation_succeeds_on_an_untampered_row() {
    for (name, operation) in OPERATIONS {
        let (store, bench, _, caller) = token();
        let before = store.rows();
        assert_eq!(operation(&bench, &caller), Answer::Done, "{name}");
        assert_ne!(store.rows(), before, "{name} wrote nothing");
    }
}

#[test]
fn no_operation_seals_a_tampered_field() {
    for (name, operation) in OPERATIONS {
        for (what, tamper) in TAMPERINGS {
            let (store, bench, issued, caller) = token();
            store.change(issued.id(), *tamper);
            let tampered = store.rows();
            let answer = operation(&bench, &caller);
            let refused = [Answer::Refused(Status::Tampered), Answer::Gone];
            assert!(refused.contains(&answer), "{name}, {what}: {answer:?}");
            assert_eq!(store.rows(), tampered, "{name} wrote something after {what}");
            bench.assert_denied(issued.expose_secret(), DenialReason::Tampered);
            store.restore();
            bench.enter_from_home(issued.expose_secret());
        }
    }
}

#[test]
fn no_operation_seals_a_row_with_a_forged_owner() {
    let (store, bench, issued, _) = token();
    let root = owner("root");
    store.change(issued.id(), |parts| parts.owner = root.clone());
    let tampered = store.rows();
    let tokens = &bench.tokens;
    let by = &root;
    let answers = [
        changed(tokens.block_on(tokens.rename(by, issued.id(), "x"))),
        changed(tokens.block_on(tokens.narrow(by, issued.id(), Access::full()))),
        changed(tokens.block_on(tokens.extend(by, issued.id(), Expires::At(at(100))))),
        changed(tokens.block_on(tokens.rotate(by, issued.id(), Rotation::new()))),
    ];
    assert!(answers.iter().all(|answer| *answer == Answer::Refused(Status::Tampered)));
    assert_eq!(store.rows(), tampered);
}

#[test]
fn a_damaged_row_is_unknown_to_every_operation_and_stays_as_it_is() {
    for (name, operation) in OPERATIONS {
        let (store, bench, issued, caller) = token();
        let before = store.rows();
        store.damage(issued.id());
        let answer = operation(&bench, &caller);
        let refused = [Answer::Refused(Status::Tampered), Answer::Gone];
        assert!(refused.contains(&answer), "{name}: {answer:?}");
        assert_eq!(store.rows(), before, "{name}");
    }
}

type Unrevoking = (&'static str, Answer, fn(&mut RecordParts, &RecordParts));

/// How an attacker might try to bring a revoked row back. Restoring an earlier version of the whole
/// row is not among them: that works while its key is in the ring.
const UNREVOKINGS: &[Unrevoking] = &[
    ("nothing", Answer::Refused(Status::Revoked), |_, _| {}),
    ("the seal", Answer::Refused(Status::Revoked), |parts, before| {
        parts.seal = before.seal.clone();
    }),
    ("no revocation", Answer::Refused(Status::Tampered), |parts, _| parts.revocation = None),
    ("no revocation and a made-up seal", Answer::Refused(Status::Tampered), |parts, _| {
        parts.revocation = None;
        parts.seal = Seal::from_bytes(&[1; 33]);
    }),
    (
        "no revocation, the seal and a later end",
        Answer::Refused(Status::Tampered),
        |parts, before| {
            parts.revocation = None;
            parts.seal = before.seal.clone();
            parts.expires = Expires::Never;
        },
    ),
];

#[test]
fn no_operation_brings_a_revoked_token_back() {
    for (name, operation) in OPERATIONS {
        for (what, right, unrevoke) in UNREVOKINGS {
            let (store, bench, issued, caller) = token();
            let before = store.parts(issued.id());
            revoke(&bench, issued.id());
            store.change(issued.id(), |parts| unrevoke(parts, &before));
            let changed = store.rows();
            let answer = operation(&bench, &caller);
            assert!(answer == *right || answer == Answer::Gone, "{name}, {what}: {answer:?}");
            assert_eq!(store.rows(), changed, "{name} wrote something after {what}");
            assert!(
                bench.tokens.block_on(bench.tokens.authenticate(issued.expose_secret())).is_err()
            );
            store.restore();
            bench.assert_denied(issued.expose_secret(), DenialReason::Revoked);
        }
    }
}

#[test]
fn what_is_written_over_a_row_between_read_and_write_is_not_sealed() {
    for (name, operation) in OPERATIONS {
        for (what, tamper) in TAMPERINGS {
            let (store, bench, issued, caller) = token();
            let read = store.parts(issued.id());
            let (behind, id) = (store.clone(), issued.id());
            // An attacker who can write the rows need not raise the revision.
            store.before_the_next_write(move || behind.change(id, *tamper));
            operation(&bench, &caller);
            let tokens = &bench.tokens;
            let rows = tokens
                .block_on(tokens.list(&Filter::every_token(), Page::first(10)))
                .unwrap()
                .tokens;
            assert!(!rows.is_empty());
            for good in rows.iter().filter(|row| row.status() == Some(Status::Active)) {
                let wrong = format!("{name}, {what}: {good:?}");
                assert_eq!((good.owner(), good.issued_by()), (&read.owner, None), "{wrong}");
                assert!(read.access.includes(good.access()), "{wrong}");
                assert_eq!(good.attributes(), &read.attributes, "{wrong}");
                assert!(!good.expires().is_later_than(later()), "{wrong}");
                let its_own = good.family() == read.family && good.derived_from().is_none();
                assert!(its_own || good.derived_from() == Some(read.family), "{wrong}");
                assert!(["My phone", "x", "child"].contains(&good.label().as_str()), "{wrong}");
            }
        }
    }
}

#[test]
fn a_revocation_between_read_and_write_stands() {
    for (name, operation) in OPERATIONS {
        let (store, bench, issued, caller) = token();
        let (behind, id) = (bench.tokens.clone(), issued.id());
        store.before_the_next_write(move || {
            behind.block_on(behind.revoke(&ops(), id, Reason::LEAKED)).unwrap();
        });
        let answer = operation(&bench, &caller);
        assert_ne!(answer, Answer::Done, "{name}");
        let [row] = &store.rows()[..] else { panic!("{name}: a token came after the revocation") };
        assert_eq!(row.revocation.as_ref().unwrap().reason, Reason::LEAKED, "{name}");
        assert_eq!(row.seal, None, "{name}");
    }
}

// -- a second rotation reads two rows

#[test]
fn a_second_rotation_seals_no_tampered_row_of_old_token_or_successor() {
    for (what, tamper) in TAMPERINGS {
        for tampered_is_old in [true, false] {
            let (store, bench, old, _) = token();
            let tokens = &bench.tokens;
            let again = || {
                tokens.block_on(tokens.rotate(&ops(), old.id(), Rotation::new().overlap(secs(60))))
            };
            let successor = again().unwrap();
            let tampered = if tampered_is_old { old.id() } else { successor.id() };
            store.change(tampered, *tamper);
            let rows = store.rows();
            match again().unwrap_err() {
                ChangeError::NotActive(Status::Tampered) if tampered_is_old => {}
                ChangeError::Rotated { .. } if !tampered_is_old => {}
                other => panic!("{what}: {other:?}"),
            }
            assert_eq!(store.rows(), rows, "{what}");
            store.restore();
            assert!(again().is_ok(), "{what}");
        }
    }
}

#[test]
fn a_second_rotation_brings_no_revoked_successor_back() {
    for (what, _, unrevoke) in UNREVOKINGS {
        let (store, bench, old, _) = token();
        let tokens = &bench.tokens;
        let again =
            || tokens.block_on(tokens.rotate(&ops(), old.id(), Rotation::new().overlap(secs(60))));
        let successor = again().unwrap();
        let before = store.parts(successor.id());
        let only = Filter::of_id(successor.id());
        tokens.block_on(tokens.revoke_matching(ops(), &only, Reason::REQUESTED)).unwrap();
        store.change(successor.id(), |parts| unrevoke(parts, &before));
        let rows = store.rows();
        assert!(matches!(again(), Err(ChangeError::Rotated { .. })), "{what}");
        assert_eq!(store.rows(), rows, "{what}");
    }
}

#[test]
fn a_forged_successor_is_not_accepted() {
    let (store, bench, old, _) = token();
    let tokens = &bench.tokens;
    let again =
        || tokens.block_on(tokens.rotate(&ops(), old.id(), Rotation::new().overlap(secs(60))));
    let successor = again().unwrap();
    // A good row of another owner, under the successor's id.
    let foreign = store.parts(bench.issue("root").id());
    store.write(RecordParts { id: successor.id(), ..foreign });
    assert!(matches!(again(), Err(ChangeError::Rotated { .. })));
    bench.assert_denied(successor.expose_secret(), DenialReason::WrongSecret);
}

// -- the end of an overlap writes the superseded row

/// Rotates a token with an overlap. Returns its successor.
fn overlapping(bench: &Bench<Outside>, old: &IssuedToken) -> IssuedToken {
    let rotation = Rotation::new().overlap(secs(60));
    bench.tokens.block_on(bench.tokens.rotate(&ops(), old.id(), rotation)).unwrap()
}

fn end_overlap(bench: &Bench<Outside>, id: TokenId) -> u64 {
    bench.tokens.block_on(bench.tokens.end_overlap(ops(), id)).unwrap()
}

#[test]
fn an_end_of_an_overlap_seals_no_tampered_row() {
    for (what, tamper) in TAMPERINGS {
        let (store, bench, old, _) = token();
        let successor = overlapping(&bench, &old);
        store.change(old.id(), *tamper);
        let tampered = store.rows();
        for id in [old.id(), successor.id()] {
            assert_eq!(end_overlap(&bench, id), 0, "{what}");
            assert_eq!(store.rows(), tampered, "{what}");
        }
        bench.assert_denied(old.expose_secret(), DenialReason::Tampered);
        store.restore();
        assert_eq!(end_overlap(&bench, successor.id()), 1, "{what}");
        bench.assert_denied(old.expose_secret(), DenialReason::Superseded);
    }
}

#[test]
fn what_is_written_over_a_superseded_row_while_its_overlap_ends_is_not_sealed() {
    for (what, tamper) in TAMPERINGS {
        let (store, bench, old, _) = token();
        let successor = overlapping(&bench, &old);
        let read = store.parts(old.id());
        let (behind, id) = (store.clone(), old.id());
        store.before_the_next_write(move || behind.change(id, *tamper));
        end_overlap(&bench, successor.id());
        bench.enter_from_home(successor.expose_secret());
        let found = bench.tokens.block_on(bench.tokens.find(&ops(), id)).unwrap();
        assert_ne!(found.status(), Some(Status::Active), "{what}");
        if found.status() == Some(Status::Superseded) {
            let facts = |parts| RecordParts { seal: None, revision: 0, ..parts };
            let ended = RecordParts { expires: found.expires(), ..read };
            assert_eq!(facts(store.parts(id)), facts(ended), "{what}");
        }
    }
}

#[test]
fn a_revocation_while_an_overlap_ends_stands() {
    let (store, bench, old, _) = token();
    let successor = overlapping(&bench, &old);
    let (behind, id) = (bench.tokens.clone(), old.id());
    store.before_the_next_write(move || {
        behind.block_on(behind.revoke(&ops(), id, Reason::LEAKED)).unwrap();
    });
    assert_eq!(end_overlap(&bench, successor.id()), 0);
    for row in store.rows() {
        assert_eq!((row.revocation.unwrap().reason, row.seal), (Reason::LEAKED, None));
    }
}

// -- reseal

#[test]
fn a_reseal_without_proof_trusts_only_the_rows_under_the_lost_key() {
    let store = Outside::new();
    let before = bench_with_ring(store.clone(), two_keys(), policy());
    let (of_lost, other) = (before.issue("alice"), before.issue("bob"));
    let kept_ring = bench_with_ring(store.clone(), two_keys_turned(), policy());
    let of_kept = kept_ring.issue("carol");
    store.change(of_lost.id(), |parts| parts.label = Label::new("somebody's").unwrap());
    store.change(of_kept.id(), |parts| parts.label = Label::new("somebody's").unwrap());

    let after = bench_with_ring(store.clone(), third_key_and(OTHER_KEYS), policy());
    let tokens = &after.tokens;
    let lost = KeyId::new(1).unwrap();
    let report =
        tokens.block_on(tokens.danger_reseal_without_proof(&operator("ops"), lost)).unwrap();
    let mut trusted = [of_lost.id(), other.id()];
    trusted.sort_unstable();
    assert_eq!((report.moved, &report.trusted[..]), (2, &trusted[..]));
    assert_eq!(report.tampered, [of_kept.id()], "this key is there, so its rows are proven");
    after.assert_good(other.expose_secret());
    after.assert_denied(of_kept.expose_secret(), DenialReason::Tampered);
    // Its documentation warns: whatever was written into these rows is now good.
    after.assert_good(of_lost.expose_secret());
}

#[test]
fn a_reseal_without_proof_brings_no_revoked_token_back() {
    let (store, bench, issued, _) = token();
    revoke(&bench, issued.id());
    let after = bench_with_ring(store.clone(), third_key_and(OTHER_KEYS), policy());
    let lost = KeyId::new(1).unwrap();
    let reseal = || {
        after
            .tokens
            .block_on(after.tokens.danger_reseal_without_proof(&operator("ops"), lost))
            .unwrap()
    };
    assert_eq!(reseal().moved, 0);
    // A row without a seal was revoked or never sealed. No key is needed to see that.
    store.change(issued.id(), |parts| parts.revocation = None);
    let report = reseal();
    assert_eq!((report.moved, report.tampered), (0, vec![issued.id()]));
    after.assert_denied(issued.expose_secret(), DenialReason::Tampered);
}

#[test]
fn only_a_key_missing_from_the_ring_counts_as_lost() {
    let (store, bench, issued, _) = token();
    store.change(issued.id(), |parts| parts.expires = Expires::Never);
    for number in [1, 2] {
        let key_id = KeyId::new(number).unwrap();
        let refused = bench
            .tokens
            .block_on(bench.tokens.danger_reseal_without_proof(&operator("ops"), key_id));
        assert!(matches!(refused, Err(ManageError::KeyNotLost(id)) if id == key_id));
    }
    bench.assert_denied(issued.expose_secret(), DenialReason::Tampered);
}

fn third_key_and(keys: &str) -> KeyRing {
    let third = "3:QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaW1xdXl8=";
    KeyRing::parse(&format!("{third},{keys}")).unwrap()
}
