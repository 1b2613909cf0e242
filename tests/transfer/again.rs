//! A second run, with the same file or a later one. It never overwrites or revives.

use app_tokens::error::DenialReason;
use app_tokens::record::{Digest, Status};
use app_tokens::transfer::{KeptAsIs, MoveInReport};
use app_tokens::{Access, NewToken, Reason, Rotation, TokenId};

use super::*;

#[track_caller]
fn revoke(host: &Bench<outside::Outside>, id: TokenId) {
    host.tokens.block_on(host.tokens.revoke(who(), id, Reason::REQUESTED)).unwrap();
}

#[track_caller]
fn rotate(host: &Bench<outside::Outside>, id: TokenId) -> app_tokens::IssuedToken {
    let overlap = Rotation::new().overlap(secs(600));
    host.tokens.block_on(host.tokens.rotate(who(), id, overlap)).unwrap()
}

#[test]
fn the_same_file_again_changes_nothing() {
    let (from, to) = (host(), host());
    let (one, two) = (from.issue("alice"), from.issue("bob"));
    revoke(&from, two.id());
    from.assert_good(one.expose_secret());
    let sealed = out(&from);
    take_in(&to, &sealed);
    let (rows, _) = (to.tokens.store().rows(), to.heard.texts());
    let report = take_in(&to, &sealed);
    assert_eq!(report, MoveInReport { already_there: 2, ..MoveInReport::default() });
    assert!(to.tokens.store().rows() == rows);
    assert_eq!(to.heard.texts(), [""; 0], "nothing happened");
}

#[test]
fn a_token_that_was_revoked_here_stays_so_with_all_that_the_file_brings_of_its_line() {
    let (from, to) = (host(), host());
    let first = from.issue("alice");
    take_in(&to, &out(&from));
    revoke(&to, first.id());
    // On the source it lives on, is rotated, and issues another.
    let caller =
        any(from.tokens.block_on(from.tokens.authenticate(first.expose_secret())).unwrap());
    let new = NewToken::new("alice", "Job", Access::full());
    let job = from.tokens.block_on(from.tokens.issue_under(&caller, new)).unwrap();
    let second = rotate(&from, first.id());
    let unrelated = from.issue("alice");
    for _ in 0..2 {
        take_in(&to, &out(&from));
        for ended in [&first, &second, &job] {
            to.assert_denied(ended.expose_secret(), DenialReason::Revoked);
        }
        to.assert_good(unrelated.expose_secret());
    }
}

#[test]
fn a_later_revocation_in_the_file_revokes_the_token_here_and_its_line() {
    let (from, to) = (host(), host());
    let (first, other) = (from.issue("alice"), from.issue("alice"));
    take_in(&to, &out(&from));
    let second = rotate(&to, first.id());
    from.clock.set(at(50));
    revoke(&from, first.id());
    to.clock.set(at(90));
    to.heard.texts();
    let report = take_in(&to, &out(&from));
    assert_eq!((report.revoked_now, report.already_there), (vec![first.id()], 1));
    assert_eq!(to.heard.kinds(), ["Revoked"]);
    for ended in [&first, &second] {
        to.assert_denied(ended.expose_secret(), DenialReason::Revoked);
        let revocation = to.tokens.store().parts(ended.id()).revocation.unwrap();
        assert_eq!(revocation.at, at(50), "the source's instant");
    }
    to.assert_good(other.expose_secret());
}

#[test]
fn a_leaked_token_of_a_line_ends_alone_here_as_it_did_there() {
    let (from, to) = (host(), host());
    let first = from.issue("alice");
    let second = rotate(&from, first.id());
    take_in(&to, &out(&from));
    let leaked = from.tokens.revoke_leaked(who(), first.expose_secret());
    from.tokens.block_on(leaked).unwrap();
    assert_eq!(take_in(&to, &out(&from)).revoked_now, [first.id()]);
    to.assert_denied(first.expose_secret(), DenialReason::Revoked);
    to.assert_good(second.expose_secret());
}

#[test]
fn a_later_rotation_in_the_file_supersedes_the_token_here() {
    let (from, to) = (host(), host());
    let first = from.issue("alice");
    take_in(&to, &out(&from));
    let second = rotate(&from, first.id());
    to.heard.texts();
    let report = take_in(&to, &out(&from));
    assert_eq!((report.superseded_now, report.tokens), (vec![first.id()], 1));
    assert!(to.heard.kinds().contains(&"Changed".into()));
    to.assert_good(first.expose_secret());
    from.tokens.block_on(from.tokens.end_overlap(who(), first.id())).unwrap();
    assert_eq!(take_in(&to, &out(&from)).superseded_now, [first.id()], "the overlap ends, too");
    to.assert_denied(first.expose_secret(), DenialReason::Superseded);
    to.assert_good(second.expose_secret());
    assert_eq!(take_in(&to, &out(&from)).already_there, 2);
}

#[test]
fn a_token_that_was_rotated_on_both_hosts_is_reported() {
    let (from, to) = (host(), host());
    let first = from.issue("alice");
    take_in(&to, &out(&from));
    let (there, here) = (rotate(&from, first.id()), rotate(&to, first.id()));
    let report = take_in(&to, &out(&from));
    assert_eq!(report.kept, [(first.id(), KeptAsIs::RotatedOnBoth)]);
    to.assert_good(here.expose_secret());
    to.assert_good(there.expose_secret());
}

#[test]
fn later_uses_move_and_earlier_ones_do_not() {
    let (from, to) = (host(), host());
    let (one, two) = (from.issue("alice"), from.issue("alice"));
    take_in(&to, &out(&from));
    from.clock.set(at(100));
    to.clock.set(at(100));
    from.assert_good(one.expose_secret());
    from.assert_good(two.expose_secret());
    let sealed = out(&from);
    to.clock.set(at(300));
    to.assert_good(two.expose_secret());
    to.tokens.block_on(to.tokens.flush_usage()).unwrap();
    assert_eq!(take_in(&to, &sealed).already_there, 2);
    let used = |id| to.tokens.store().parts(id).last_use.unwrap().at;
    assert_eq!((used(one.id()), used(two.id())), (at(100), at(300)));
}

#[test]
fn what_this_host_changed_stays_and_what_may_do_more_here_is_reported() {
    let (from, to) = (host(), host());
    let tokens = [0; 4].map(|_| from.issue("alice"));
    let [narrowed_there, sooner_there, narrowed_here, renamed_here] = tokens.each_ref();
    take_in(&to, &out(&from));
    let less = || Access::scopes(["files:read"]).unwrap();
    let on = |host: &Bench<outside::Outside>, id| {
        host.tokens.block_on(host.tokens.narrow(who(), id, less())).unwrap()
    };
    on(&from, narrowed_there.id());
    on(&to, narrowed_here.id());
    let sooner = app_tokens::record::Expires::At(at(10));
    from.tokens.block_on(from.tokens.extend(who(), sooner_there.id(), sooner)).unwrap();
    to.tokens.block_on(to.tokens.rename(who(), renamed_here.id(), "Mine")).unwrap();
    let rows = to.tokens.store().rows();
    let report = take_in(&to, &out(&from));
    let mut kept = report.kept;
    kept.sort_unstable_by_key(|(id, _)| *id);
    let mut expected =
        [narrowed_there, sooner_there].map(|token| (token.id(), KeptAsIs::MayDoMore));
    expected.sort_unstable_by_key(|(id, _)| *id);
    assert_eq!((kept, report.already_there), (expected.to_vec(), 2));
    assert!(to.tokens.store().rows() == rows, "nothing was overwritten");
}

#[test]
fn an_id_that_another_token_has_here_is_refused_and_reported() {
    let (from, to) = (host(), host());
    let (one, two) = (from.issue("alice"), from.issue("alice"));
    let sealed = out(&from);
    take_in(&to, &sealed);
    let store = to.tokens.store();
    store.change(one.id(), |parts| {
        parts.digest = Digest::from_bytes(&[&[1][..], &[7; 32]].concat()).unwrap();
    });
    store.change(two.id(), |parts| parts.owner = owner("bob"));
    let rows = store.rows();
    let report = take_in(&to, &sealed);
    assert_eq!((report.kept.len(), report.already_there), (2, 0));
    assert!(report.kept.iter().all(|(_, why)| *why == KeptAsIs::OtherToken));
    // Nor can a file revoke a token by its id, which is public.
    revoke(&from, one.id());
    let report = take_in(&to, &out(&from));
    assert!(report.kept.contains(&(one.id(), KeptAsIs::OtherToken)) && store.rows() == rows);
}

#[test]
fn a_damaged_or_tampered_row_here_stays_as_it_is_and_is_reported() {
    let (from, to) = (host(), host());
    let (damaged, tampered) = (from.issue("alice"), from.issue("alice"));
    take_in(&to, &out(&from));
    to.tokens.store().damage(damaged.id());
    to.tokens.store().change(tampered.id(), |parts| parts.label = "Forged".parse().unwrap());
    drop(rotate(&from, tampered.id()));
    let mut kept = take_in(&to, &out(&from)).kept;
    kept.sort_unstable_by_key(|(id, _)| *id);
    let mut expected = vec![(damaged.id(), KeptAsIs::Damaged), (tampered.id(), KeptAsIs::Tampered)];
    expected.sort_unstable_by_key(|(id, _)| *id);
    assert_eq!(kept, expected);
    to.assert_denied(tampered.expose_secret(), DenialReason::Tampered);
}

#[test]
fn a_host_that_takes_in_its_own_file_stays_as_it_is() {
    let host = host();
    let (one, two) = (host.issue("alice"), host.issue("alice"));
    revoke(&host, two.id());
    let rows = host.tokens.store().rows();
    assert_eq!(moved(&host, &host).already_there, 2);
    assert!(host.tokens.store().rows() == rows);
    host.assert_good(one.expose_secret());
    let view = host.tokens.block_on(host.tokens.find(who(), one.id())).unwrap();
    assert_eq!(view.status(), Some(Status::Active));
}

#[test]
fn a_revocation_by_a_source_whose_clock_is_ahead_is_not_in_the_future_here() {
    let (from, to) = (host(), host());
    let issued = from.issue("alice");
    take_in(&to, &out(&from));
    from.clock.set(at(90_000));
    revoke(&from, issued.id());
    for expected in [vec![issued.id()], vec![]] {
        assert_eq!(take_in(&to, &out(&from)).revoked_now, expected);
        assert_eq!(to.tokens.store().parts(issued.id()).revocation.unwrap().at, at(0));
    }
}

#[test]
fn a_rotation_there_does_not_let_a_token_live_longer_than_this_host_wants() {
    let (from, to) = (host(), host());
    let first = from.issue("alice");
    take_in(&to, &out(&from));
    let sooner = app_tokens::record::Expires::At(at(10));
    to.tokens.block_on(to.tokens.extend(who(), first.id(), sooner)).unwrap();
    drop(rotate(&from, first.id()));
    assert_eq!(take_in(&to, &out(&from)).superseded_now, [first.id()]);
    assert_eq!(to.tokens.store().parts(first.id()).expires, sooner);
}

#[test]
fn a_token_that_is_renamed_while_it_is_superseded_here_keeps_both_changes() {
    // Ids are random, and so is the order of the rows in the file.
    for _ in 0..8 {
        let (from, to) = (host(), host());
        let first = from.issue("alice");
        take_in(&to, &out(&from));
        let second = rotate(&from, first.id());
        let sealed = out(&from);
        // The first write tries to insert the row. The next one, after a look at it, replaces it.
        let (tokens, store, id) = (to.tokens.clone(), to.tokens.store().clone(), first.id());
        to.tokens.store().before_the_next_write(move || {
            store.before_the_next_write(move || {
                tokens.block_on(tokens.rename(who(), id, "Mine")).unwrap();
            });
        });
        assert_eq!(take_in(&to, &sealed).superseded_now, [first.id()]);
        let there = to.tokens.store().parts(first.id());
        assert_eq!((there.successor, there.label.as_str()), (Some(second.id()), "Mine"));
    }
}
