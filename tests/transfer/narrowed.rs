//! Tokens that were narrowed or shortened on the source after they were rotated, on either host.

use app_tokens::record::Expires;
use app_tokens::transfer::KeptAsIs;
use app_tokens::{Access, IssuedToken, Requirement};

use super::line::rotate;
use super::*;

fn less() -> Access {
    Access::scopes(["files:read"]).unwrap()
}

fn narrow(host: &Bench<outside::Outside>, issued: &IssuedToken) {
    host.tokens.block_on(host.tokens.narrow(who(), issued.id(), less())).unwrap();
}

#[test]
fn a_token_that_was_narrowed_there_and_rotated_here_is_reported() {
    let (from, to) = (host(), host());
    let [narrowed, sooner, same] = [0; 3].map(|_| from.issue("alice"));
    take_in(&to, &out(&from));
    for issued in [&narrowed, &sooner, &same] {
        drop(rotate(&to, issued.id()));
    }
    narrow(&from, &narrowed);
    let end = Expires::At(at(10));
    from.tokens.block_on(from.tokens.extend(who(), sooner.id(), end)).unwrap();
    let mut kept = take_in(&to, &out(&from)).kept;
    kept.sort_unstable_by_key(|(id, _)| *id);
    let mut expected = [narrowed, sooner].map(|issued| (issued.id(), KeptAsIs::MayDoMore));
    expected.sort_unstable_by_key(|(id, _)| *id);
    assert_eq!(kept, expected);
}

#[test]
fn a_token_that_was_narrowed_and_then_rotated_there_does_no_more_here_in_its_overlap() {
    let (from, to) = (host(), host());
    let first = from.issue("alice");
    take_in(&to, &out(&from));
    narrow(&from, &first);
    let second = rotate(&from, first.id());
    let report = take_in(&to, &out(&from));
    assert_eq!((report.superseded_now, report.kept), (vec![first.id()], vec![]));
    for issued in [&first, &second] {
        let entered = to.tokens.block_on(to.tokens.authenticate(issued.expose_secret())).unwrap();
        assert!(entered.clone().require(Requirement::one_of(&["files:read"])).is_ok());
        assert!(entered.require(Requirement::one_of(&["files:write"])).is_err());
    }
}
