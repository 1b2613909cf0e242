use super::*;
use crate::record::RecordParts;
use crate::record::tests::{at, example};

fn grant(new: NewToken, policy: &Policy) -> Result<Expires, String> {
    new.grant(policy, at(0)).map(|granted| granted.expires).map_err(|error| error.to_string())
}

fn new() -> NewToken {
    NewToken::new("alice", "My phone", Access::full())
}

#[test]
fn a_life_is_default_asked_for_or_never() {
    let policy = Policy::new("acme").unwrap().with_never_expiring().unwrap();
    let day = Duration::from_secs(86_400);
    assert_eq!(grant(new(), &policy), Ok(Expires::At(at(365 * 86_400))));
    assert_eq!(grant(new().expires_in(day), &policy), Ok(Expires::At(at(86_400))));
    assert_eq!(grant(new().expires_at(at(1)), &policy), Ok(Expires::At(at(1))));
    assert_eq!(grant(new().never_expires(), &policy), Ok(Expires::Never));
}

#[test]
fn lives_outside_policy_and_calendar_are_refused() {
    let max = Duration::from_secs(100);
    let policy = Policy::new("acme").unwrap().with_max_life(max).unwrap();
    let ended = "the token would expire as soon as it is made; choose a later end";
    assert_eq!(grant(new().expires_in(Duration::ZERO), &policy), Err(ended.into()));
    assert_eq!(grant(new().expires_in(Duration::from_millis(999)), &policy), Err(ended.into()));
    assert_eq!(grant(new().expires_at(at(0)), &policy), Err(ended.into()));
    assert_eq!(grant(new().expires_at(at(-5)), &policy), Err(ended.into()));
    assert_eq!(grant(new().expires_in(max), &policy), Ok(Expires::At(at(100))));
    let too_long = "the token may live for at most 1 minute; choose an earlier end";
    assert_eq!(grant(new().expires_at(at(101)), &policy), Err(too_long.into()));
    let never = "the policy does not allow tokens that never expire; choose an end";
    assert_eq!(grant(new().never_expires(), &policy), Err(never.into()));
    let calendar = "the token would expire after the year 9999; choose an earlier end";
    assert_eq!(grant(new().expires_in(Duration::MAX), &policy), Err(calendar.into()));
}

#[test]
fn what_is_wrong_with_a_text_is_said() {
    let policy = Policy::new("acme").unwrap();
    let refused = |owner: &str, label| {
        grant(NewToken::new(owner, label, Access::full()), &policy).unwrap_err()
    };
    assert_eq!(refused("", "x"), "the owner is empty");
    assert_eq!(refused("alice", "\n"), "the label is empty");
}

#[test]
fn an_owner_is_a_text_a_number_or_an_owner() {
    let policy = Policy::new("acme").unwrap();
    let owner = |new: NewToken| new.grant(&policy, at(0)).unwrap().owner;
    assert_eq!(owner(NewToken::new("7", "x", Access::full())).as_str(), "7");
    assert_eq!(owner(NewToken::new(String::from("7"), "x", Access::full())).as_str(), "7");
    assert_eq!(owner(NewToken::new(7_u32, "x", Access::full())).as_str(), "7");
    assert_eq!(
        owner(NewToken::new(u64::MAX, "x", Access::full())).as_str(),
        "18446744073709551615"
    );
    assert_eq!(owner(NewToken::new(-7_i64, "x", Access::full())).as_str(), "-7");
    assert_eq!(owner(NewToken::new(Owner::from(7_i32), "x", Access::full())).as_str(), "7");
    assert_eq!(owner(NewToken::new(&Owner::from(7_i32), "x", Access::full())).as_str(), "7");
}

#[test]
fn a_rotation_keeps_the_end_or_takes_the_latest_that_is_allowed_today() {
    let policy = || Policy::new("acme").unwrap();
    let day = Duration::from_secs(86_400);
    let strict = policy().with_max_life(day).unwrap();
    let after = |policy: &Policy, end| allowed_today(end, policy, at(1000));
    let in_a_day = Expires::At(at(1000 + 86_400));
    assert_eq!(after(&strict, Expires::At(at(2000))), Expires::At(at(2000)));
    assert_eq!(after(&strict, Expires::At(at(10_000_000))), in_a_day);
    assert_eq!(after(&policy(), Expires::At(Timestamp::MAX)), Expires::At(Timestamp::MAX));
    assert_eq!(after(&strict, Expires::Never), in_a_day);
    let short = policy().with_default_life(day).unwrap();
    assert_eq!(after(&short, Expires::Never), in_a_day);
    let endless = policy().with_never_expiring().unwrap();
    assert_eq!(after(&endless, Expires::Never), Expires::Never);
}

#[test]
fn a_second_rotation_has_the_smaller_access_of_both_and_no_overlap_if_that_is_less() {
    let record = |scopes: &[&str]| {
        let access = Access::scopes(scopes.iter().copied()).unwrap();
        TokenRecord::from_parts(RecordParts { access, ..example() })
    };
    let policy = Policy::new("acme").unwrap().with_overlap(Duration::from_secs(100)).unwrap();
    let grant = |old: &TokenRecord, last: &TokenRecord, rotation: Rotation| {
        let granted = rotation.grant(old, last, &policy, at(0));
        granted.map(|(granted, old_ends)| (granted.access, old_ends))
    };
    let (both, one, other) = (record(&["r", "w"]), record(&["r"]), record(&["w"]));
    let ended = Expires::At(at(-300));
    for (old, last) in [(&both, &one), (&one, &both)] {
        let granted = grant(old, last, Rotation::new()).unwrap();
        assert_eq!(granted, (one.access().clone(), ended));
    }
    let same = grant(&one, &one, Rotation::new()).unwrap();
    assert_eq!(same, (one.access().clone(), Expires::At(at(100))));
    let apart = grant(&one, &other, Rotation::new());
    assert!(matches!(apart, Err(ChangeError::NarrowedApart)));
    let asked = Rotation::new().overlap(Duration::from_secs(1));
    let asked = grant(&both, &one, asked);
    assert!(matches!(asked, Err(ChangeError::OverlapWithLess)));
}
