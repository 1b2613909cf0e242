//! `Row::to_bytes` and `Row::from_bytes` are inverse, and damaged bytes never become a whole row.

use app_tokens::record::RecordParts;
use app_tokens::store::{Certainty, DamagedRow, Row, StoreError};

use support::chance::*;

const ROWS: u64 = 200;

fn rows() -> impl Iterator<Item = (Row, Vec<u8>)> {
    let mut chance = Chance(1);
    (0..ROWS).map(move |_| {
        let id = chance.id();
        let row = row(chance.parts(id));
        let bytes = row.to_bytes();
        (row, bytes)
    })
}

fn read(row: &Row, bytes: &[u8]) -> Row {
    Row::from_bytes(row.id(), bytes).unwrap()
}

/// Checks that the row is damaged or all its standing facts are right.
#[track_caller]
fn is_damaged_or_right(read: &Row, right: &Row, what: &str) {
    let facts = read.standing_facts();
    assert!(read.record().is_none() || facts == right.standing_facts(), "{what}: {read:?}");
}

#[test]
fn every_row_comes_back_as_it_was() {
    for (row, bytes) in rows() {
        assert_eq!(parts_of(&read(&row, &bytes)), parts_of(&row));
        assert_eq!(read(&row, &bytes).to_bytes(), bytes);
    }
}

#[test]
fn a_damaged_row_comes_back_with_its_standing_facts() {
    for (row, _) in rows() {
        let damaged = Row::damaged(row.standing_facts());
        let back = read(&row, &damaged.to_bytes());
        assert!(back.record().is_none());
        assert_eq!(back.standing_facts(), row.standing_facts());
    }
    let nothing = Row::damaged(DamagedRow::of_id(id(7)));
    assert_eq!(read(&nothing, &nothing.to_bytes()).standing_facts(), DamagedRow::of_id(id(7)));
    let revoked = DamagedRow { is_revoked: true, ..DamagedRow::of_id(id(7)) };
    let back = read(&nothing, &Row::damaged(revoked.clone()).to_bytes());
    assert_eq!(back.standing_facts(), revoked);
}

#[test]
fn a_row_cut_short_is_damaged_and_keeps_what_is_left_of_its_head() {
    for (row, bytes) in rows() {
        let head = Row::damaged(row.standing_facts()).to_bytes().len();
        for length in 0..bytes.len() {
            let cut = read(&row, &bytes[..length]);
            assert!(cut.record().is_none(), "cut after {length}: {cut:?}");
            if length >= head {
                assert_eq!(cut.standing_facts(), row.standing_facts(), "cut after {length}");
            }
        }
        let longer = read(&row, &[&bytes[..], &[0]].concat());
        assert!(longer.record().is_none(), "{longer:?}");
    }
}

#[test]
fn no_changed_byte_changes_a_standing_fact_of_a_whole_row() {
    for (row, bytes) in rows() {
        for at in 0..bytes.len() {
            for change in [0x01, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] ^= change;
                let back = read(&row, &changed);
                is_damaged_or_right(&back, &row, &format!("{change:x} at {at}"));
                // If either side has a revocation, the row has it.
                assert!(back.is_revoked() || !row.is_revoked(), "{change:x} at {at}");
            }
        }
    }
}

#[test]
fn a_row_under_another_id_is_damaged() {
    for (row, bytes) in rows() {
        let other = id(row.id().as_u64() ^ 1);
        assert!(Row::from_bytes(other, &bytes).unwrap().record().is_none());
    }
}

#[test]
fn a_row_is_revoked_if_head_or_body_says_so() {
    let unrevoked = parts(1);
    let revoked = RecordParts { revocation: Some(revocation()), seal: None, ..parts(1) };
    let head = |parts: &RecordParts| Row::damaged(row(parts.clone()).standing_facts()).to_bytes();
    let body = |parts: &RecordParts| {
        let whole = row(parts.clone()).to_bytes();
        whole[head(parts).len()..].to_vec()
    };
    let mixed = |of: &RecordParts, and: &RecordParts| [head(of), body(and)].concat();

    let by_head = read(&row(parts(1)), &mixed(&revoked, &unrevoked));
    assert!(by_head.record().is_none() && by_head.is_revoked());
    let by_body = read(&row(parts(1)), &mixed(&unrevoked, &revoked));
    assert!(by_body.is_revoked());
    let other = RecordParts { owner: owner("bob"), ..parts(1) };
    assert!(read(&row(parts(1)), &mixed(&other, &unrevoked)).record().is_none());
}

#[test]
fn a_newer_form_is_told_apart_from_damage_and_keeps_its_head() {
    let unrevoked = RecordParts { revocation: None, ..parts(1) };
    let (row, bytes) = (row(unrevoked.clone()), row(unrevoked.clone()).to_bytes());
    for version in 2..=255 {
        let newer = |rest: &[u8]| [&[version, !version], rest].concat();
        // A newer version may write any body.
        for body in [&bytes[2..], &Row::damaged(row.standing_facts()).to_bytes()[2..]] {
            let error = Row::from_bytes(row.id(), &newer(body)).unwrap_err();
            let text = error.to_string();
            assert!(text.contains(&format!("form {version}")), "{text}");
            assert_eq!(StoreError::from(error.clone()).certainty(), Certainty::NotDone);
            let by_head = error.into_row();
            assert!(by_head.record().is_none());
            assert_eq!(by_head.standing_facts(), row.standing_facts());
        }
        // Without the complement it is damage, and with a damaged head, too.
        for damaged in [
            [&[version], &bytes[1..]].concat(),
            [&[1, !version], &bytes[2..]].concat(),
            newer(&[]),
            newer(&bytes[2..20]),
        ] {
            assert!(read(&row, &damaged).record().is_none(), "{version}");
        }
    }
    for damaged in [&[][..], &[0], &[0, 0xff], &[1]] {
        assert_eq!(read(&row, damaged).standing_facts(), DamagedRow::of_id(row.id()));
    }
    // A revoked row of a newer form is denied like any other.
    let revoked = RecordParts { revocation: Some(revocation()), seal: None, ..unrevoked };
    let revoked = self::row(revoked);
    let newer = [&[2, !2], &revoked.to_bytes()[2..]].concat();
    assert_eq!(read(&revoked, &newer).standing_facts(), revoked.standing_facts());
}
