use std::time::Duration;

use super::*;
use crate::token::Token;

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix(1_772_366_400 + seconds).unwrap()
}

pub(crate) fn example() -> RecordParts {
    let text = "acme_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92";
    let token = Token::parse_any_prefix(text).unwrap();
    RecordParts {
        id: token.id(),
        digest: Digest::of(&token),
        owner: Owner::new("alice").unwrap(),
        label: Label::new("My phone").unwrap(),
        access: Access::full(),
        attributes: Attributes::new(),
        issued_by: None,
        created_at: at(0),
        expires: Expires::At(at(1000)),
        family: token.id(),
        successor: None,
        derived_from: None,
        revocation: None,
        last_use: None,
        revision: 0,
        key_id: KeyId::new(1).unwrap(),
        seal: None,
    }
}

fn used_at(seconds: i64) -> Option<LastUse> {
    Some(LastUse { at: at(seconds), address: None, client: None })
}

const IDLE: Option<Duration> = Some(Duration::from_secs(100));

#[track_caller]
fn assert_status(parts: RecordParts, seconds: i64, expected: Status) {
    let status = TokenRecord::from_parts(parts).status(SealCheck::Right, at(seconds), None, IDLE);
    assert_eq!(status, Ok(expected));
}

#[test]
fn a_token_is_valid_before_its_expiry_and_not_at_it() {
    let parts = || RecordParts { last_use: used_at(950), ..example() };
    assert_status(parts(), 999, Status::Active);
    assert_status(parts(), 1000, Status::Expired);
    assert_status(parts(), 1001, Status::Expired);
}

#[test]
fn never_means_never_and_only_by_its_own_word() {
    let record = TokenRecord::from_parts(RecordParts { expires: Expires::Never, ..example() });
    assert_eq!(record.status(SealCheck::Right, Timestamp::MAX, None, None), Ok(Status::Active));
    let zero = RecordParts { expires: Expires::At(Timestamp::MIN), ..example() };
    assert_status(zero, 0, Status::Expired);
}

#[test]
fn the_order_is_revoked_tampered_superseded_expired_idle_active() {
    let revocation =
        Some(Revocation { at: at(1), reason: Reason::REQUESTED, by: Actor::from(example().owner) });
    let all = RecordParts { revocation, successor: Some(TokenId::MAX), ..example() };
    let status = |parts: &RecordParts, seal, seconds| {
        TokenRecord::from_parts(parts.clone()).status(seal, at(seconds), None, IDLE).unwrap()
    };
    assert_eq!(status(&all, SealCheck::Wrong, 2000), Status::Revoked);
    let unrevoked = RecordParts { revocation: None, ..all };
    assert_eq!(status(&unrevoked, SealCheck::Wrong, 2000), Status::Tampered);
    assert_eq!(status(&unrevoked, SealCheck::Right, 2000), Status::Superseded);
    assert_eq!(
        status(&unrevoked, SealCheck::Right, 999),
        Status::Idle,
        "in the overlap it lives on"
    );
    let unrotated = RecordParts { successor: None, ..unrevoked };
    assert_eq!(status(&unrotated, SealCheck::Right, 2000), Status::Expired);
    assert_eq!(status(&unrotated, SealCheck::Right, 100), Status::Idle);
    assert_eq!(status(&unrotated, SealCheck::Right, 99), Status::Active);
}

#[test]
fn idle_counts_from_the_later_of_stored_and_own_use() {
    assert_status(RecordParts { last_use: used_at(50), ..example() }, 149, Status::Active);
    assert_status(RecordParts { last_use: used_at(50), ..example() }, 150, Status::Idle);
    let record = TokenRecord::from_parts(RecordParts { last_use: used_at(50), ..example() });
    assert_eq!(record.status(SealCheck::Right, at(150), Some(at(51)), IDLE), Ok(Status::Active));
    assert_eq!(record.status(SealCheck::Right, at(150), Some(at(49)), IDLE), Ok(Status::Idle));
}

#[test]
fn a_stored_use_in_the_future_is_not_believed() {
    let ahead = |seconds: i64| RecordParts { last_use: used_at(150 + seconds), ..example() };
    assert_status(ahead(300), 150, Status::Active);
    assert_status(ahead(301), 150, Status::Idle);
    let before_creation = RecordParts { last_use: used_at(-500), ..example() };
    assert_status(before_creation, 99, Status::Active);
}

#[test]
fn a_clock_far_behind_is_a_failure_and_not_a_denial() {
    let record = TokenRecord::from_parts(example());
    assert_eq!(record.status(SealCheck::Right, at(-300), None, IDLE), Ok(Status::Active));
    let behind = StatusUnclear::ClockBehind { now: at(-301), created_at: at(0) };
    assert_eq!(record.status(SealCheck::Right, at(-301), None, IDLE), Err(behind));
    assert_eq!(record.status(SealCheck::Wrong, at(-301), None, IDLE), Ok(Status::Tampered));
}

#[test]
fn a_missing_key_is_a_failure_unless_the_token_is_revoked() {
    let status =
        |parts| TokenRecord::from_parts(parts).status(SealCheck::KeyMissing, at(2000), None, IDLE);
    let key_id = example().key_id;
    assert_eq!(status(example()), Err(StatusUnclear::KeyMissing(key_id)));
    let revocation =
        Some(Revocation { at: at(1), reason: Reason::REQUESTED, by: Actor::from(example().owner) });
    assert_eq!(status(RecordParts { revocation, ..example() }), Ok(Status::Revoked));
}

#[test]
fn an_idle_time_out_past_the_calendar_never_comes() {
    let record = TokenRecord::from_parts(RecordParts { expires: Expires::Never, ..example() });
    let status = record.status(SealCheck::Right, Timestamp::MAX, None, Some(Duration::MAX));
    assert_eq!(status, Ok(Status::Active));
}

#[test]
fn actors_print_and_parse_back() {
    let operator = Actor::Operator(Operator::new("owner").unwrap());
    let owner = Actor::Owner(Owner::new(" a b ").unwrap());
    for actor in [owner, Actor::Engine, operator] {
        assert_eq!(actor.to_string().parse(), Ok(actor));
    }
    for text in [
        "",
        "operator ",
        "operator a\nb",
        "operator  a",
        "owner",
        "owner ",
        "Owner a",
        "engine ",
        "nobody",
    ] {
        assert_eq!(text.parse::<Actor>(), Err(InvalidActor), "{text:?}");
    }
}

/// A store in memory holds one record for each token, so its size is bounded.
#[test]
fn a_record_takes_no_more_than_200_bytes() {
    assert!(size_of::<TokenRecord>() <= 200, "{}", size_of::<TokenRecord>());
    assert!(size_of::<Access>() <= 32);
}
