//! The parts for a store with statements of its own: columns read by place, a filter's facts, the
//! rows an insert needs.

use std::convert::Infallible;

use app_tokens::record::{RecordParts, TokenRecord};
use app_tokens::store::{ColumnValue, Filter, FilterColumns, Row, RowColumns};
use app_tokens::{Timestamp, TokenId};
use support::chance::{Chance, id, parts, revocation};

fn read<'r>(cells: &[ColumnValue<'r>]) -> RowColumns<'r> {
    let read = RowColumns::read::<Infallible>(
        |at| match cells[at] {
            ColumnValue::Number(number) => Ok(number),
            _ => panic!("{at} is read as a number"),
        },
        |at| match cells[at] {
            ColumnValue::Text(text) => Ok(text),
            _ => panic!("{at} is read as a text"),
        },
        |at| match cells[at] {
            ColumnValue::Bytes(bytes) => Ok(bytes),
            _ => panic!("{at} is read as bytes"),
        },
    );
    read.unwrap()
}

#[test]
fn columns_read_by_place_equal_those_written() {
    let mut chance = Chance(1);
    for n in 0..200 {
        let record = TokenRecord::from_parts(chance.parts(id(n)));
        let written = RowColumns::of(&record);
        let read = read(&written.values());
        assert!(read == written, "{record:?}");
        assert_eq!(read.into_row().as_ref().and_then(Row::record), Some(&record));
    }
}

#[test]
fn a_row_without_an_id_is_none_and_one_without_an_owner_is_damaged() {
    let record = TokenRecord::from_parts(parts(1));
    let written = RowColumns::of(&record);
    let mut cells = written.values();
    cells[2] = ColumnValue::Text(None);
    let damaged = read(&cells).into_row().unwrap();
    assert!(damaged.record().is_none() && damaged.id() == id(1));
    cells[0] = ColumnValue::Number(None);
    assert!(read(&cells).into_row().is_none());
}

/// Damage must not bring a token back.
#[test]
fn a_row_whose_revocation_is_at_no_instant_stays_revoked() {
    let revoked = RecordParts { revocation: Some(revocation()), seal: None, ..parts(1) };
    let record = TokenRecord::from_parts(revoked);
    for at in [i64::MIN, -1, i64::MAX] {
        let columns = RowColumns { revoked_at: Some(at), ..RowColumns::of(&record) };
        let row = columns.into_row().unwrap();
        assert!(row.record().is_none() && row.is_revoked(), "{at}");
        assert_eq!(row.revoked_at(), None, "{at}");
    }
}

#[test]
fn a_drivers_error_about_a_column_is_returned() {
    let nothing = |at: usize| if at == 14 { Err("column 14") } else { Ok(None) };
    let answer = RowColumns::read(nothing, |_| Ok(None), |_| Ok(None));
    assert_eq!(answer.map(|columns| columns.id), Err("column 14"));
}

#[test]
fn each_fact_of_a_filter_has_its_column_and_is_null_if_unset() {
    let mut chance = Chance(2);
    for _ in 0..500 {
        let f = chance.filter();
        let facts = FilterColumns::of(&f);
        let id = |id: TokenId| i64::try_from(id.as_u64()).unwrap();
        let expected = FilterColumns {
            id: f.id.map(id),
            owner: f.owner.as_ref().map(AsRef::as_ref),
            family: f.family.map(id),
            except_family: f.except_family.map(id),
            key_id: f.key_id.map(|key| key.as_u32().into()),
            except_key_ids: f.except_key_ids.iter().map(|key| key.as_u32().into()).collect(),
            revoked: f.revoked,
            superseded: f.superseded,
            expires_before: f.expires_before.map(Timestamp::as_unix),
            expires_from: f.expires_from.map(Timestamp::as_unix),
            created_before: f.created_before.map(Timestamp::as_unix),
            last_used_before: f.last_used_before.map(Timestamp::as_unix),
        };
        assert_eq!(facts, expected);
    }
    let all = Filter::every_token();
    assert!(
        FilterColumns::of(&all).id.is_none() && FilterColumns::of(&all).except_key_ids.is_empty()
    );
    assert_eq!(i64::from(TokenId::MAX), (1 << 50) - 1);
}
