//! A line of rotations is one thing: it is revoked, forgotten, narrowed and shortened as a whole.

mod common;

use app_tokens::error::{ChangeError, DenialReason, ManageError};
use app_tokens::record::{Actor, Expires, LiveAt, Status};
use app_tokens::store::{Filter, MemoryStore, Page, Purge, Row, TokenStore};
use app_tokens::{Access, IssuedToken, NewToken, Policy, Reason, Reuse, Rotation, TokenAuthority};
use common::outside::Outside;
use common::*;

fn with_overlap(seconds: u64) -> Rotation {
    Rotation::new().overlap(secs(seconds))
}

/// A token in its overlap of 1,000 seconds, its successor, and a token that was issued under their
/// line.
struct Line {
    bench: Bench<Outside>,
    old: IssuedToken,
    current: IssuedToken,
    derived: IssuedToken,
}

fn line() -> Line {
    line_under(policy())
}

fn line_under(policy: Policy) -> Line {
    let bench = bench_over(Outside::new(), policy);
    let tokens = &bench.tokens;
    let old = bench.issue("alice");
    let caller = any(ready(tokens.authenticate(old.expose_secret())).unwrap());
    let under = NewToken::new("alice", "Job", Access::full());
    let derived = ready(tokens.issue_under(&caller, under)).unwrap();
    let current = ready(tokens.rotate(ops(), old.id(), with_overlap(1000))).unwrap();
    bench.heard.texts();
    Line { bench, old, current, derived }
}

impl Line {
    fn tokens(&self) -> &TokenAuthority<Outside> {
        &self.bench.tokens
    }

    #[track_caller]
    fn assert_all(&self, reason: DenialReason) {
        for token in [&self.old, &self.current, &self.derived] {
            self.bench.assert_denied(token.expose_secret(), reason);
        }
    }

    #[track_caller]
    fn assert_only_the_overlap_ended(&self) {
        self.bench.assert_denied(self.old.expose_secret(), DenialReason::Superseded);
        self.bench.assert_good(self.current.expose_secret());
        self.bench.assert_good(self.derived.expose_secret());
    }
}

#[track_caller]
fn all_rows(store: &MemoryStore) -> Vec<Row> {
    ready(store.list(&Filter::every_token(), Page::first(10_000))).unwrap()
}

/// By hand, or by one who can write the database.
#[test]
fn what_was_issued_under_a_line_ends_with_it_even_if_its_current_row_was_deleted() {
    let Line { bench, old, current, derived } = line();
    let current = Purge::Matching(Filter::of_id(current.id()));
    assert_eq!(ready(bench.tokens.store().purge(&current, 1)).unwrap(), 1);
    bench.clock.set(at(2000));
    assert_eq!(ready(bench.tokens.revoke(&ops(), old.id(), Reason::REQUESTED)).unwrap(), 2);
    bench.assert_denied(derived.expose_secret(), DenialReason::Revoked);
}

#[test]
fn revoking_any_token_of_a_line_revokes_all_of_it_and_what_was_issued_under_it() {
    for pick in [|line: &Line| line.old.id(), |line: &Line| line.current.id()] {
        let line = line();
        let other = line.bench.issue("alice");
        let id = pick(&line);
        let revoke = |by| ready(line.tokens().revoke(by, id, Reason::REQUESTED));
        assert_eq!(revoke(owner("alice")).unwrap(), 3);
        line.assert_all(DenialReason::Revoked);
        line.bench.assert_good(other.expose_secret());
        line.bench.clock.advance(secs(10));
        assert_eq!(revoke(owner("alice")).unwrap(), 0, "the first revocation stays");
        let view = ready(line.tokens().find(ops(), line.old.id())).unwrap();
        assert_eq!(view.revocation().unwrap().at, at(0));
        assert!(matches!(revoke(owner("bob")), Err(ManageError::Unknown)));
    }
}

#[test]
fn revoking_a_token_that_was_issued_under_a_line_spares_the_line() {
    let line = line();
    let id = line.derived.id();
    assert_eq!(ready(line.tokens().revoke(ops(), id, Reason::REQUESTED)).unwrap(), 1);
    line.bench.assert_denied(line.derived.expose_secret(), DenialReason::Revoked);
    line.bench.assert_good(line.old.expose_secret());
    line.bench.assert_good(line.current.expose_secret());
}

#[test]
fn forgetting_any_token_of_a_line_forgets_all_of_it() {
    for pick in [|line: &Line| line.old.id(), |line: &Line| line.current.id()] {
        let line = line();
        assert_eq!(ready(line.tokens().forget(owner("alice"), pick(&line))).unwrap(), 2);
        line.bench.assert_denied(line.old.expose_secret(), DenialReason::Unknown);
        line.bench.assert_denied(line.current.expose_secret(), DenialReason::Unknown);
        line.bench.assert_denied(line.derived.expose_secret(), DenialReason::Revoked);
        let again = ready(line.tokens().forget(ops(), pick(&line)));
        assert!(matches!(again, Err(ManageError::Unknown)));
    }
}

#[test]
fn revoke_matching_revokes_exactly_what_matches_and_can_spare_a_line() {
    let line = line();
    let revoke =
        |filter: &Filter| ready(line.tokens().revoke_matching(ops(), filter, Reason::REQUESTED));
    let other = line.bench.issue("alice");
    let family = line.old.id();
    let spared = Filter { except_family: Some(family), ..Filter::of_owner(&owner("alice")) };
    assert_eq!(revoke(&spared).unwrap(), 1);
    line.bench.assert_denied(other.expose_secret(), DenialReason::Revoked);
    line.bench.assert_good(line.derived.expose_secret());
    assert_eq!(revoke(&Filter::of_id(line.current.id())).unwrap(), 2, "and what is under it");
    line.bench.assert_good(line.old.expose_secret());
    line.bench.assert_denied(line.derived.expose_secret(), DenialReason::Revoked);
}

#[test]
fn a_damaged_row_is_revoked_with_its_line_but_without_an_owner_only_by_operators() {
    let line = line();
    let id = line.current.id();
    let revoke = |by| ready(line.tokens().revoke(by, id, Reason::REQUESTED));
    line.tokens().store().damage(id);
    assert!(matches!(revoke(Actor::from(owner("bob"))), Err(ManageError::Unknown)));
    line.tokens().store().damage_wholly(id);
    for by in [Actor::from(owner("alice")), "engine".parse().unwrap()] {
        assert!(matches!(revoke(by), Err(ManageError::Unknown)));
    }
    line.tokens().store().restore();
    line.tokens().store().damage(id);
    assert_eq!(revoke(Actor::from(owner("alice"))).unwrap(), 3);
    line.tokens().store().restore();
    line.assert_all(DenialReason::Revoked);
    let line = self::line();
    let id = line.current.id();
    line.tokens().store().damage_wholly(id);
    let revoked = ready(line.tokens().revoke(ops(), id, Reason::REQUESTED)).unwrap();
    assert_eq!(revoked, 2, "itself, and what the store finds under it");
    line.tokens().store().restore();
    line.bench.assert_denied(line.current.expose_secret(), DenialReason::Revoked);
}

#[test]
fn end_overlap_ends_superseded_tokens_and_nothing_else() {
    for pick in [|line: &Line| line.old.id(), |line: &Line| line.current.id()] {
        let line = line();
        let end = |by| ready(line.tokens().end_overlap(by, pick(&line)));
        assert!(matches!(end(owner("bob")), Err(ChangeError::Unknown)));
        assert_eq!(end(owner("alice")).unwrap(), 1);
        let heard = line.bench.heard.texts();
        assert!(heard.len() == 1 && heard[0].contains("OverlapEnded"), "{heard:?}");
        line.assert_only_the_overlap_ended();
        let view = ready(line.tokens().find(ops(), line.old.id())).unwrap();
        assert_eq!(view.expires(), Expires::At(at(-300)), "also where a clock is behind");
        assert_eq!(view.status(), Some(Status::Superseded), "its seal is right");
        assert_eq!(end(owner("alice")).unwrap(), 0);
    }
}

#[test]
fn a_token_whose_overlap_was_ended_is_still_reported_as_reused() {
    let line = line_under(policy().with_reuse(Reuse::RevokeFamily));
    ready(line.tokens().end_overlap(ops(), line.current.id())).unwrap();
    line.bench.heard.texts();
    line.bench.assert_denied(line.old.expose_secret(), DenialReason::Superseded);
    assert!(line.bench.heard.kinds().contains(&"Reused".to_owned()));
    line.bench.assert_denied(line.current.expose_secret(), DenialReason::Revoked);
}

#[test]
fn taking_access_or_time_away_is_refused_during_an_overlap() {
    let read = || Access::scopes(["files:read"]).unwrap();
    let line = line();
    let tokens = line.tokens();
    let (narrow, shorten) = (
        || ready(tokens.narrow(ops(), line.current.id(), read())),
        |end| ready(tokens.extend(ops(), line.current.id(), Expires::At(end))),
    );
    let is_overlapping =
        |error| matches!(error, ChangeError::Overlapping { until } if until == at(1000));
    assert!(is_overlapping(narrow().unwrap_err()));
    assert!(is_overlapping(shorten(at(2000)).unwrap_err()));
    assert!(ready(tokens.rename(ops(), line.current.id(), "New")).is_ok());
    assert!(shorten(at(366 * 86_400)).is_ok(), "a later end takes nothing away");
    line.bench.clock.advance(secs(999));
    assert!(is_overlapping(narrow().unwrap_err()));
    line.bench.clock.advance(secs(300));
    assert!(is_overlapping(narrow().unwrap_err()), "a host that is behind accepts the old token");
    line.bench.clock.advance(secs(1));
    assert!(shorten(at(2000)).is_ok(), "the overlap is over on every host");
    assert!(narrow().is_ok());
}

#[test]
fn narrowing_after_the_overlap_was_ended_leaves_no_old_access() {
    let line = line();
    let id = line.current.id();
    ready(line.tokens().end_overlap(ops(), id)).unwrap();
    ready(line.tokens().narrow(ops(), id, Access::scopes(["files:read"]).unwrap())).unwrap();
    line.bench.assert_denied(line.old.expose_secret(), DenialReason::Superseded);
    line.bench.assert_denied(line.derived.expose_secret(), DenialReason::Revoked);
}

#[test]
fn changing_a_superseded_token_names_the_current_one() {
    let line = line();
    let tokens = line.tokens();
    let newest = ready(tokens.rotate(ops(), line.current.id(), with_overlap(10))).unwrap();
    for pause in [0, 5000] {
        line.bench.clock.advance(secs(pause));
        for id in [line.old.id(), line.current.id()] {
            let answers = [
                ready(tokens.rename(ops(), id, "New")).unwrap_err(),
                ready(tokens.narrow(ops(), id, Access::full())).unwrap_err(),
                ready(tokens.extend(ops(), id, Expires::At(at(9000)))).unwrap_err(),
            ];
            for answer in answers {
                let current = newest.id();
                assert!(
                    matches!(answer, ChangeError::Rotated { current: named } if named == current),
                    "{answer:?}"
                );
            }
        }
    }
    ready(tokens.revoke(ops(), line.old.id(), Reason::REQUESTED)).unwrap();
    let refused = ready(tokens.rename(ops(), line.old.id(), "New")).unwrap_err();
    assert!(matches!(refused, ChangeError::NotActive(Status::Revoked)), "{refused:?}");
}

#[test]
fn a_rotation_to_less_access_has_no_overlap() {
    let read = || Access::scopes(["files:read"]).unwrap();
    let bench = bench(policy().with_overlap(secs(500)).unwrap());
    let token = bench.issue("alice");
    let rotate = |id, rotation| ready(bench.tokens.rotate(ops(), id, rotation));
    let asked = rotate(token.id(), with_overlap(1).narrowed_to(read())).unwrap_err();
    assert!(matches!(asked, ChangeError::OverlapWithLess), "{asked:?}");
    let less = rotate(token.id(), Rotation::new().narrowed_to(read())).unwrap();
    bench.assert_denied(token.expose_secret(), DenialReason::Superseded);
    let same = rotate(less.id(), Rotation::new().narrowed_to(read())).unwrap();
    bench.assert_good(less.expose_secret());
    bench.assert_good(same.expose_secret());
    let none = rotate(same.id(), with_overlap(0).narrowed_to(Access::scopes([""; 0]).unwrap()));
    assert!(none.is_ok(), "an overlap of nothing is none");
}

#[test]
fn at_most_one_superseded_token_of_a_line_lives_through_1000_rotations() {
    let bench = bench(policy().with_max_per_owner(1).unwrap());
    let mut last = bench.issue("alice");
    let mut before = None;
    for _ in 0..1000 {
        bench.clock.advance(secs(1));
        let new = ready(bench.tokens.rotate(ops(), last.id(), with_overlap(86_400))).unwrap();
        before = Some(std::mem::replace(&mut last, new));
    }
    let rows = all_rows(bench.tokens.store());
    let now = at(1000);
    assert_eq!(rows.len(), 1001);
    let records: Vec<_> = rows.iter().filter_map(Row::record).collect();
    let is_open = |record: &&&app_tokens::record::TokenRecord| !record.expires().has_come(now);
    assert_eq!(records.iter().filter(is_open).count(), 2, "the current one and one before it");
    assert_eq!(records.iter().filter(|record| record.is_live(LiveAt::now(now))).count(), 1);
    bench.assert_good(last.expose_secret());
    bench.assert_good(before.unwrap().expose_secret());
}

#[test]
fn a_rotation_that_is_refused_ends_no_overlap() {
    let line = line();
    let refused = ready(line.tokens().rotate(ops(), line.current.id(), with_overlap(99 * 86_400)));
    assert!(matches!(refused, Err(ChangeError::OverlapTooLong { .. })));
    line.bench.assert_good(line.old.expose_secret());
}

#[test]
fn a_tampered_superseded_row_blocks_no_change() {
    let line = line();
    let store = line.tokens().store();
    store.change(line.old.id(), |parts| parts.expires = Expires::At(at(1_000_000)));
    let read = Access::scopes(["files:read"]).unwrap();
    assert!(ready(line.tokens().narrow(ops(), line.current.id(), read)).is_ok());
    assert_eq!(ready(line.tokens().end_overlap(ops(), line.current.id())).unwrap(), 0);
    line.bench.assert_denied(line.old.expose_secret(), DenialReason::Tampered);
}

#[test]
fn a_damaged_superseded_row_keeps_access_from_being_taken_away_silently() {
    let read = || Access::scopes(["files:read"]).unwrap();
    let line = line();
    let (tokens, store, current) = (line.tokens(), line.tokens().store(), line.current.id());
    store.damage(line.old.id());
    line.bench.assert_denied(line.old.expose_secret(), DenialReason::Tampered);
    let acts: [&dyn Fn() -> Option<ChangeError>; 5] = [
        &|| ready(tokens.narrow(ops(), current, read())).err(),
        &|| ready(tokens.extend(ops(), current, Expires::At(at(2000)))).err(),
        &|| ready(tokens.end_overlap(ops(), current)).err(),
        &|| ready(tokens.end_overlap(ops(), line.old.id())).err(),
        &|| ready(tokens.rotate(ops(), current, with_overlap(10))).err(),
    ];
    for (number, act) in acts.iter().enumerate() {
        match act() {
            Some(ChangeError::DamagedRow(id)) => assert_eq!(id, line.old.id()),
            other => panic!("act {number}: {other:?}"),
        }
    }
    assert!(ready(tokens.rename(ops(), current, "New")).is_ok(), "it takes nothing away");
    let later = Expires::At(at(366 * 86_400));
    assert!(ready(tokens.extend(ops(), current, later)).is_ok(), "it takes nothing away");

    // After a repair, the overlap is ended as usual.
    store.restore();
    line.bench.assert_good(line.old.expose_secret());
    assert_eq!(ready(tokens.end_overlap(ops(), current)).unwrap(), 1);
    assert!(ready(tokens.narrow(ops(), current, read())).is_ok());
}

#[test]
fn a_damaged_superseded_row_that_was_revoked_blocks_no_change() {
    let line = line();
    let (tokens, current) = (line.tokens(), line.current.id());
    tokens.store().damage(line.old.id());
    let alone = Filter::of_id(line.old.id());
    let revoked = ready(tokens.revoke_matching(owner("alice"), &alone, Reason::REQUESTED));
    assert_eq!(revoked.unwrap(), 2, "and what was issued under the line");
    assert_eq!(ready(tokens.end_overlap(ops(), current)).unwrap(), 0);
    let read = Access::scopes(["files:read"]).unwrap();
    assert!(ready(tokens.narrow(ops(), current, read)).is_ok());
    assert!(ready(tokens.rotate(ops(), current, with_overlap(10))).is_ok());
}

#[test]
fn a_damaged_row_keeps_no_other_overlap_from_being_ended() {
    let line = line();
    let (tokens, store) = (line.tokens(), line.tokens().store());
    store.damage(line.current.id());
    let refused = ready(tokens.end_overlap(ops(), line.old.id())).unwrap_err();
    assert!(matches!(refused, ChangeError::DamagedRow(id) if id == line.current.id()));
    line.bench.assert_denied(line.old.expose_secret(), DenialReason::Superseded);
}

#[test]
fn a_bulk_revocation_by_an_actor_who_may_not_act_is_an_error() {
    let line = line();
    let tokens = line.tokens();
    let (hers, all) = (Filter::of_owner(&owner("alice")), Filter::every_token());
    // Only a host that reads back a stored text has this actor.
    let engine: Actor = "engine".parse().unwrap();
    for (by, filter) in [(engine.clone(), &hers), (engine, &all), (owner("bob").into(), &hers)] {
        let refused = ready(tokens.revoke_matching(by, filter, Reason::REUSED));
        assert!(matches!(refused, Err(ManageError::NotAllowed)), "{refused:?}");
    }
    line.bench.assert_good(line.current.expose_secret());
    assert!(line.bench.heard.kinds().iter().all(|kind| kind != "Revoked"));
    let his = ready(tokens.revoke_matching(owner("bob"), &all, Reason::REQUESTED));
    assert_eq!(his.unwrap(), 0, "he has none");
    assert_eq!(ready(tokens.revoke_matching(ops(), &hers, Reason::REUSED)).unwrap(), 3);
}
