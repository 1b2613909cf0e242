//! Answers of changes that are lost, and calls of several changes that fail half-way.

use std::pin::Pin;
use std::task::Poll;

use app_tokens::error::{ChangeError, DenialReason, ManageError, Missing};
use app_tokens::record::KeyId;
use app_tokens::store::Certainty;
use app_tokens::{Access, KeyRing, NewToken, Owner, Reason, Reuse, Rotation, TokenId};

use super::common::*;
use super::{
    Fault, Faulty, attributes, certainty, enter, failed, faulty, from_network, issue_bound,
    poll_once, rotate,
};

#[test]
fn a_change_with_a_lost_answer_is_made_or_reported_as_unknown() {
    let (store, bench) = faulty();
    let issued = bench.issue("alice");
    let tokens = &bench.tokens;
    let label = || bench.all_of("alice")[0].label().to_string();
    let rename = |label, lost: &[Fault]| {
        // The look-up of the token succeeds.
        store.script(&[&[Fault::None], lost].concat());
        let answer = tokens.block_on(tokens.rename(&ops(), issued.id(), label));
        store.script(&[]);
        match answer {
            Ok(view) => assert_eq!(view.label().as_str(), label),
            Err(ChangeError::Failed(failed)) => return Some(certainty(&failed)),
            Err(other) => panic!("{lost:?}: {other:?}"),
        }
        None
    };
    assert_eq!(rename("a", &[Fault::DoneUnknown]), None, "a look shows that it is done");
    assert_eq!(label(), "a");
    assert_eq!(rename("b", &[Fault::LostUnknown]), Some(Certainty::Unknown));
    assert_eq!(rename("b", &[Fault::NotDone]), Some(Certainty::NotDone));
    assert_eq!(label(), "a");
    assert_eq!(rename("c", &[Fault::DoneUnknown, Fault::NotDone]), Some(Certainty::Unknown));
    assert_eq!(label(), "c");
    assert_eq!(rename("c", &[]), None, "and can be asked again");
    bench.assert_good(issued.expose_secret());
}

#[test]
fn a_narrowing_to_networks_with_a_lost_answer_holds_or_is_not_said_to_hold() {
    for lost in [
        &[Fault::DoneUnknown][..],
        &[Fault::LostUnknown],
        &[Fault::Late],
        &[Fault::NotDone],
        &[Fault::DoneUnknown, Fault::NotDone],
        &[Fault::LostUnknown, Fault::NotDone],
    ] {
        let (store, bench) = faulty();
        let issued = issue_bound(&bench);
        let tokens = &bench.tokens;
        let less = from_network("10.0.2.0/24");
        let narrow = || tokens.block_on(tokens.narrow(&ops(), issued.id(), less.clone()));
        // The look-ups of the token and of its line succeed.
        store.script(&[&[Fault::None; 2], lost].concat());
        let answer = narrow();
        store.script(&[]);
        let is_narrowed = enter(&bench, &issued, [10, 9, 9, 9]).is_err();
        match answer {
            Ok(view) => assert!(is_narrowed && *view.access() == less, "{lost:?}"),
            Err(ChangeError::Failed(failed)) => {
                let not_done = lost == [Fault::NotDone];
                assert_eq!(certainty(&failed) == Certainty::NotDone, not_done, "{lost:?}");
                assert!(!not_done || !is_narrowed, "{lost:?}");
            }
            Err(other) => panic!("{lost:?}: {other:?}"),
        }
        assert_eq!(narrow().unwrap().access(), &less, "it can be asked for again");
        assert_eq!(enter(&bench, &issued, [10, 9, 9, 9]).unwrap_err().missing(), Missing::Network);
        let caller = enter(&bench, &issued, [10, 0, 2, 3]).unwrap();
        assert_eq!((caller.access(), caller.attributes()), (&less, &attributes()), "{lost:?}");
    }
}

#[test]
fn a_successor_is_not_replaced_if_pending_uses_can_not_be_written() {
    let (store, bench) = faulty();
    let old = bench.issue("alice");
    let new = rotate(&bench, &old, 100).unwrap();
    bench.assert_good(new.expose_secret());
    store.script(&[Fault::None, Fault::NotDone]);
    assert!(failed(rotate(&bench, &old, 100)));
    assert!(matches!(rotate(&bench, &old, 100), Err(ChangeError::Rotated { .. })));
    bench.assert_good(new.expose_secret());
}

#[test]
fn a_reuse_is_denied_and_reported_if_revoking_the_family_fails_and_revokes_it_the_next_time() {
    let store = Faulty::default();
    let bench = bench_over(store.clone(), policy().with_reuse(Reuse::RevokeFamily));
    let old = bench.issue("alice");
    let new = rotate(&bench, &old, 0).unwrap();
    bench.heard.texts();
    for fault in [Fault::NotDone, Fault::LostUnknown] {
        store.script(&[Fault::None, fault]);
        bench.assert_denied(old.expose_secret(), DenialReason::Superseded);
    }
    // Whether the second one was done is unknown.
    assert_eq!(bench.heard.kinds(), ["Reused", "Denied", "Revoked", "Denied"]);
    bench.assert_good(new.expose_secret());
    bench.assert_denied(old.expose_secret(), DenialReason::Superseded);
    bench.assert_denied(new.expose_secret(), DenialReason::Revoked);
}

#[test]
fn a_leak_report_that_failed_half_way_can_be_repeated() {
    let (store, bench) = faulty();
    let (one, other) = (bench.issue("alice"), bench.issue("alice"));
    let text = format!("{} {}", one.expose_secret(), other.expose_secret());
    store.script(&[Fault::None, Fault::None, Fault::None, Fault::NotDone]);
    assert!(bench.tokens.block_on(bench.tokens.revoke_leaked(&operator("x"), &text)).is_err());
    bench.assert_denied(one.expose_secret(), DenialReason::Revoked);
    bench.assert_good(other.expose_secret());
    assert_eq!(
        bench
            .tokens
            .block_on(bench.tokens.revoke_leaked(&operator("x"), &text))
            .unwrap()
            .leaks
            .len(),
        2
    );
    bench.assert_denied(other.expose_secret(), DenialReason::Revoked);
}

#[test]
fn a_reseal_that_failed_half_way_reports_what_it_moved_and_can_go_on() {
    for trusting in [false, true] {
        let store = Faulty::default();
        let no_limit = policy().with_no_limit_per_owner();
        let before = bench_with_ring(store.clone(), two_keys(), no_limit);
        let issued: Vec<_> = (0..502).map(|_| before.issue("alice")).collect();
        let ring = if trusting { KeyRing::parse(OTHER_KEYS).unwrap() } else { two_keys_turned() };
        let after = bench_with_ring(store.clone(), ring, policy());
        let tokens = &after.tokens;
        let reseal = || match trusting {
            true => tokens
                .block_on(
                    tokens.danger_reseal_without_proof(&operator("ops"), KeyId::new(1).unwrap()),
                )
                .ok(),
            false => tokens.block_on(tokens.reseal()).ok(),
        };
        // A page of 500 rows and their commit, and the next commit fails.
        store.script(&[Fault::None, Fault::None, Fault::None, Fault::NotDone]);
        assert!(reseal().is_none());
        let [heard] = &after.heard.texts()[..] else { panic!("nobody heard of what was moved") };
        assert!(heard.starts_with("Resealed { count: 500,"), "{heard}");
        let trusted = |heard: &str| {
            issued.iter().filter(|token| heard.contains(&token.id().to_string())).count()
        };
        // The rows at which it failed are named, too.
        assert_eq!(trusted(heard), 502 * usize::from(trusting), "whose seals were taken on trust");
        // The rest is done, but the answer is lost.
        store.script(&[Fault::None, Fault::DoneUnknown, Fault::NotDone]);
        assert!(reseal().is_none());
        let heard = after.heard.texts();
        let named = heard.iter().map(|text| trusted(text)).sum::<usize>();
        assert_eq!(named, 2 * usize::from(trusting));
        let report = reseal().unwrap();
        assert_eq!((report.moved, report.left), (0, vec![]));
        issued.iter().for_each(|token| after.assert_good(token.expose_secret()));
    }
}

#[test]
fn rows_trusted_by_a_dropped_call_are_named() {
    let store = Faulty::default();
    let before = bench_with_ring(store.clone(), two_keys(), policy());
    let issued = [before.issue("alice"), before.issue("alice")];
    let after = bench_with_ring(store.clone(), KeyRing::parse(OTHER_KEYS).unwrap(), policy());
    let lost = KeyId::new(1).unwrap();
    // The page of rows is read. Their replacement is never answered, and the caller drops the call.
    store.script(&[Fault::None, Fault::Stalls]);
    assert!(
        poll_once(after.tokens.danger_reseal_without_proof(&operator("ops"), lost)).is_pending()
    );
    // No later run could name them, if the store replaced them after all.
    let [heard] = &after.heard.texts()[..] else { panic!("no event of the dropped call") };
    assert!(heard.starts_with("Resealed { count: 0,"), "{heard}");
    for token in &issued {
        assert!(heard.contains(&token.id().to_string()), "{heard}");
    }
}

#[test]
fn a_revocation_with_a_lost_answer_can_be_repeated() {
    let (store, bench) = faulty();
    let issued = bench.issue("alice");
    store.script(&[Fault::None, Fault::DoneUnknown]);
    let alice: Owner = owner("alice");
    let revoke =
        || bench.tokens.block_on(bench.tokens.revoke(&alice, issued.id(), Reason::REQUESTED));
    assert!(matches!(revoke(), Err(ManageError::Failed(_))));
    assert_eq!(revoke().unwrap(), 0);
    bench.assert_denied(issued.expose_secret(), DenialReason::Revoked);
}

/// A caller who asks again learns only that nothing is left to do. So the events must tell it: a
/// restored backup is brought up to date from them.
#[test]
fn a_change_sends_its_event_even_if_its_answer_is_lost() {
    type Act = for<'b> fn(&'b Bench<Faulty>, TokenId) -> Pin<Box<dyn Future<Output = bool> + 'b>>;
    // The number is how often the store is called before the change.
    let acts: [(&str, usize, Act); 8] = [
        ("Issued", 0, |bench, _| {
            Box::pin(async {
                bench.tokens.issue(NewToken::new("bob", "x", Access::full())).await.is_ok()
            })
        }),
        ("Changed", 1, |bench, id| {
            Box::pin(async move { bench.tokens.rename(&ops(), id, "y").await.is_ok() })
        }),
        ("Changed", 2, |bench, id| {
            let less = Access::scopes(["files:read"]).unwrap();
            Box::pin(async move { bench.tokens.narrow(&ops(), id, less).await.is_ok() })
        }),
        ("Rotated", 1, |bench, id| {
            Box::pin(async move { bench.tokens.rotate(&ops(), id, Rotation::new()).await.is_ok() })
        }),
        ("Revoked", 1, |bench, id| {
            Box::pin(
                async move { bench.tokens.revoke(&ops(), id, Reason::REQUESTED).await.is_ok() },
            )
        }),
        ("Forgotten", 3, |bench, id| {
            Box::pin(async move { bench.tokens.forget(&ops(), id).await.is_ok() })
        }),
        ("Forgotten", 2, |bench, _| {
            Box::pin(async {
                bench.tokens.forget_owner(&operator("x"), &owner("alice")).await.is_ok()
            })
        }),
        ("Purged", 0, |bench, _| Box::pin(async { bench.tokens.purge().await.is_ok() })),
    ];
    for (kind, before, act) in acts {
        for fault in [Fault::DoneUnknown, Fault::Stalls, Fault::NotDone, Fault::None] {
            let (store, bench) = faulty();
            let id = bench.issue("alice").id();
            if kind == "Purged" {
                bench.tokens.block_on(bench.tokens.revoke(&ops(), id, Reason::REQUESTED)).unwrap();
                bench.clock.advance(secs(400 * 86_400));
            }
            bench.heard.texts();
            // If the answer was lost, no look-up and no second try helps.
            let mut script = vec![Fault::None; before];
            script.push(fault);
            script.extend([Fault::NotDone; 2].iter().filter(|_| fault == Fault::DoneUnknown));
            store.script(&script);
            let answer = poll_once(act(&bench, id));
            let heard = bench.heard.texts();
            let told = |certain: bool| {
                let words = format!("is_certain: {certain}");
                heard.iter().any(|text| text.starts_with(kind) && text.contains(&words))
            };
            let is_done = fault == Fault::None;
            assert_eq!(matches!(answer, Poll::Ready(true)), is_done, "{kind} {fault:?}");
            assert_eq!(told(true), is_done, "{kind} {fault:?}: {heard:?}");
            let may_be = matches!(fault, Fault::DoneUnknown | Fault::Stalls);
            assert_eq!(told(false), may_be, "{kind} {fault:?}: {heard:?}");
        }
    }
}

#[test]
fn an_end_of_an_overlap_with_a_lost_answer_is_told_and_can_be_asked_for_again() {
    for fault in [Fault::DoneUnknown, Fault::LostUnknown, Fault::Stalls, Fault::NotDone] {
        let (store, bench) = faulty();
        let old = bench.issue("alice");
        let new = rotate(&bench, &old, 100).unwrap();
        bench.heard.texts();
        // The named row is read, then its line. After the change, no look-up helps.
        store.script(&[Fault::None, Fault::None, fault, Fault::NotDone]);
        let end = || bench.tokens.end_overlap(ops(), new.id());
        assert!(!matches!(poll_once(end()), Poll::Ready(Ok(_))), "{fault:?}");
        let heard = bench.heard.texts().concat();
        let is_told = heard.contains("OverlapEnded") && heard.contains("is_certain: false");
        assert_eq!(is_told, fault != Fault::NotDone, "{fault:?}: {heard}");
        store.script(&[]);
        let left = u64::from(fault != Fault::DoneUnknown);
        assert_eq!(bench.tokens.block_on(end()).unwrap(), left, "{fault:?}");
        bench.assert_denied(old.expose_secret(), DenialReason::Superseded);
        bench.assert_good(new.expose_secret());
    }
}

#[test]
fn a_deletion_that_failed_half_way_sends_an_event_for_what_it_deleted() {
    let store = Faulty::default();
    let bench = bench_over(store.clone(), policy().with_no_limit_per_owner());
    for _ in 0..1001 {
        let new = NewToken::new("alice", "x", Access::full()).expires_in(secs(1));
        drop(ready(bench.tokens.issue(new)).unwrap());
    }
    bench.clock.advance(secs(400 * 86_400));
    bench.heard.texts();
    store.script(&[Fault::None, Fault::NotDone]);
    assert!(bench.tokens.block_on(bench.tokens.purge()).is_err());
    assert_eq!(bench.heard.texts(), ["Purged { count: 1000, is_certain: true }"]);
    store.script(&[Fault::None, Fault::None, Fault::LostUnknown]);
    assert!(
        bench.tokens.block_on(bench.tokens.forget_owner(&operator("x"), &owner("alice"))).is_err()
    );
    let heard = bench.heard.texts().concat();
    assert!(heard.contains("count: 0, is_certain: false"), "{heard}");
}

#[test]
fn a_reseal_with_a_lost_answer_looks_at_the_rows_and_goes_on() {
    let store = Faulty::default();
    let issued = bench_with_ring(store.clone(), two_keys(), policy()).issue("alice");
    let after = bench_with_ring(store.clone(), two_keys_turned(), policy());
    store.script(&[Fault::None, Fault::DoneUnknown]);
    let report = after.tokens.block_on(after.tokens.reseal()).unwrap();
    assert_eq!((report.moved, report.left), (1, vec![]));
    after.assert_good(issued.expose_secret());
}
