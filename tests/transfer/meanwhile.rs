//! A thief who acts during a run that ends the leaked token, and runs that stop at any call.

use std::sync::{Arc, Mutex};

use app_tokens::error::AuthError;
use app_tokens::transfer::KeptAsIs;
use app_tokens::{Access, IssuedToken, NewToken, Rotation, TokenAuthority};

use super::acting::{Acting, Then};
use super::line::{issue_under, leak, rotate};
use super::*;

/// What the source did before the token leaked, and what the thief did on the other host.
#[derive(Clone, Copy, Debug)]
struct Case {
    /// The token was issued under another.
    is_derived: bool,
    /// The thief had rotated it twice here.
    rotated_here: bool,
    /// It was rotated at the source before the first run, so its overlap goes on here.
    rotated_first: bool,
    /// The thief uses a process whose clock is behind, for which the overlap goes on.
    is_behind: bool,
    /// It did not leak. It was the unused token of its line, and the source replaced it.
    is_replaced: bool,
    /// What it was rotated to, or replaced by, has issued a token at the source.
    has_job: bool,
}

const CASES: [Case; 11] = {
    let plain = Case {
        is_derived: false,
        rotated_here: false,
        rotated_first: false,
        is_behind: false,
        is_replaced: false,
        has_job: false,
    };
    [
        plain,
        Case { has_job: true, ..plain },
        Case { rotated_here: true, ..plain },
        Case { rotated_here: true, has_job: true, ..plain },
        Case { rotated_first: true, ..plain },
        Case { rotated_first: true, has_job: true, ..plain },
        Case { rotated_first: true, is_behind: true, ..plain },
        Case { is_derived: true, rotated_here: true, ..plain },
        Case { is_replaced: true, ..plain },
        Case { is_replaced: true, has_job: true, ..plain },
        Case { is_replaced: true, rotated_here: true, has_job: true, ..plain },
    ]
};

/// The texts that a thief has, the newest last.
#[derive(Clone)]
struct Thief {
    tokens: TokenAuthority<Acting>,
    texts: Arc<Mutex<Vec<IssuedToken>>>,
    leaked: (app_tokens::TokenId, String),
}

impl Thief {
    /// Rotates a token, if one still can be.
    fn rotate(&self) {
        let overlap = || Rotation::new().overlap(secs(600));
        let rotate =
            |id| self.tokens.block_on(self.tokens.rotate(&owner("alice"), id, overlap())).ok();
        let ids: Vec<_> = self.texts.lock().unwrap().iter().map(IssuedToken::id).collect();
        let new = ids.into_iter().rev().chain([self.leaked.0]).find_map(rotate);
        self.texts.lock().unwrap().extend(new);
    }

    /// Issues a token under another, if that still can be done.
    fn issue(&self) {
        let mut texts: Vec<_> =
            self.texts.lock().unwrap().iter().map(|one| one.expose_secret().to_owned()).collect();
        texts.push(self.leaked.1.clone());
        let issue = |text: String| {
            let entered = self.tokens.block_on(self.tokens.authenticate(&text)).ok()?;
            let new = NewToken::new("alice", "Late", Access::full());
            self.tokens.block_on(self.tokens.issue_under(&any(entered), new)).ok()
        };
        let new = texts.into_iter().find_map(issue);
        self.texts.lock().unwrap().extend(new);
    }
}

struct Leaked {
    case: Case,
    to: Bench<Acting>,
    sealed: Sealed,
    first: IssuedToken,
    good: Vec<IssuedToken>,
    thief: Thief,
}

fn leaked(case: Case) -> Leaked {
    let from = host();
    let (store, ring) = (Acting::default(), KeyRing::ephemeral().unwrap());
    let to = bench_with_ring(store.clone(), ring.clone(), policy());
    let of_thief = bench_with_ring(store, ring, policy());
    let parent = from.issue("alice");
    let first = match case {
        Case { is_derived: true, .. } => issue_under(&from, &parent),
        Case { is_replaced: true, .. } => rotate(&from, parent.id()),
        _ => from.issue("alice"),
    };
    let rotated = case.rotated_first.then(|| rotate(&from, first.id()));
    take_in(&to, &out(&from));
    let thief = Thief {
        tokens: of_thief.tokens,
        texts: Arc::default(),
        leaked: (first.id(), first.expose_secret().to_owned()),
    };
    if case.rotated_here {
        thief.rotate();
        thief.rotate();
        assert_eq!(thief.texts.lock().unwrap().len(), 2);
    }
    if case.is_behind {
        to.clock.advance(secs(700));
        of_thief.clock.advance(secs(500));
    }
    let second = if case.is_replaced {
        let at_once = Rotation::new().overlap(secs(0));
        from.tokens.block_on(from.tokens.rotate(who(), parent.id(), at_once)).unwrap()
    } else {
        let second = rotated.unwrap_or_else(|| rotate(&from, first.id()));
        leak(&from, &first);
        second
    };
    let job = case.has_job.then(|| issue_under(&from, &second));
    let parent = Some(parent).filter(|_| !case.is_replaced);
    let good = [second].into_iter().chain(parent).chain(job).collect();
    let sealed = out(&from);
    to.tokens.store().reset();
    Leaked { case, to, sealed, first, good, thief }
}

impl Leaked {
    /// Checks that nothing of the thief's is good any more, and that what is good at the source is
    /// good here, or was reported.
    fn assert_ended(&self, when: impl std::fmt::Debug) {
        let Leaked { case, to, first, good, thief, .. } = self;
        let enters = |token: &IssuedToken| match to
            .tokens
            .block_on(to.tokens.authenticate(token.expose_secret()))
        {
            Ok(_) => true,
            Err(AuthError::Denied(_)) => false,
            Err(other) => panic!("{other:?}"),
        };
        let of_thief = thief.texts.lock().unwrap();
        for ended in of_thief.iter().chain([first]) {
            assert!(!enters(ended), "{case:?} {when:?}: {ended:?} is good");
        }
        let again = take_in(to, &self.sealed);
        for good in good {
            let is_reported = again.kept.contains(&(good.id(), KeptAsIs::RotatedOnBoth));
            assert!(enters(good) || is_reported, "{case:?} {when:?}: {good:?} {again:?}");
        }
        for ended in of_thief.iter().chain([first]) {
            assert!(!enters(ended), "{case:?} {when:?}: {ended:?} is good again");
        }
    }
}

/// Calls `act` with a new leak for each case and each call that a run makes, until it says that the
/// run made no call of that number.
fn for_each_call(act: impl Fn(&Leaked, usize) -> bool) {
    for case in CASES {
        let calls = (0..).take_while(|call| act(&leaked(case), *call)).count();
        assert!(calls > 5, "{case:?}: {calls}");
    }
}

#[test]
fn what_a_thief_makes_before_any_call_of_a_run_ends_with_the_leaked_token() {
    type Act = fn(&Thief);
    let acts: [(Act, usize, Act); 5] = [
        (Thief::issue, 0, Thief::rotate),
        (Thief::rotate, 1, Thief::issue),
        (Thief::rotate, 2, Thief::issue),
        (Thief::rotate, 3, Thief::rotate),
        (Thief::rotate, 4, Thief::issue),
    ];
    for (first, calls_between, second) in acts {
        for_each_call(|leaked, call| {
            let store = leaked.to.tokens.store();
            for (call, act) in [(call, first), (call + calls_between, second)] {
                let thief = leaked.thief.clone();
                store.before(call, move || {
                    act(&thief);
                    Then::GoOn
                });
            }
            take_in(&leaked.to, &leaked.sealed);
            let came = store.reset();
            leaked.assert_ended((call, calls_between));
            came
        });
    }
}

#[test]
fn a_run_that_stops_at_any_call_ends_all_that_a_thief_made_when_it_is_made_again() {
    for then in [Then::Fail, Then::FailAfter] {
        for_each_call(|leaked, call| {
            let store = leaked.to.tokens.store();
            store.before(call, move || then);
            _ = try_in(&leaked.to, &leaked.sealed);
            let came = store.reset();
            take_in(&leaked.to, &leaked.sealed);
            leaked.assert_ended((call, then));
            came
        });
    }
}

#[test]
fn a_run_that_stops_after_a_thief_acted_ends_all_that_they_made_when_it_is_made_again() {
    for calls_between in 1..8 {
        for_each_call(|leaked, call| {
            let (store, thief) = (leaked.to.tokens.store(), leaked.thief.clone());
            store.before(call, move || {
                thief.rotate();
                thief.issue();
                Then::GoOn
            });
            store.before(call + calls_between, || Then::Fail);
            _ = try_in(&leaked.to, &leaked.sealed);
            let came = store.reset();
            take_in(&leaked.to, &leaked.sealed);
            leaked.assert_ended((call, calls_between));
            came
        });
    }
}
