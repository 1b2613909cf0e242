//! Rows and filters for the tests of clauses about filters.

use super::rows::*;
use crate::record::{Expires, RecordParts};
use crate::store::Filter;
use crate::timestamp::Timestamp;

/// Makes rows of two owners with similar names, in every state. Their instants are on both sides of
/// those in [`filters`].
pub(super) fn population() -> Vec<RecordParts> {
    let mut rows = Vec::new();
    for (first, who) in [(1, "alice"), (31, "Alice")] {
        // No row has the id 40, and both owners have rows of the family 40.
        let line = |number| RecordParts { family: id(40), ..row(first + number, who) };
        let (_, form, _) = rotation(&line(0), first + 1);
        rows.extend([
            written(&form),
            RecordParts { last_use: Some(used(30)), ..line(1) },
            revoked_by(&line(2), &revocation(20, "requested")),
            derived(first + 3, who, 40),
            revoked_by(&derived(first + 4, who, 40), &revocation(10, "first")),
            RecordParts { expires: Expires::At(at(50)), ..row(first + 5, who) },
            RecordParts { expires: Expires::Never, created_at: at(-10), ..row(first + 6, who) },
            RecordParts {
                key_id: key(2),
                created_at: at(-20),
                last_use: Some(used(-10)),
                ..row(first + 7, who)
            },
            RecordParts { key_id: key(3), created_at: at(10), ..row(first + 8, who) },
            revoked_by(
                &RecordParts { successor: Some(id(first + 2)), ..row(first + 9, who) },
                &revocation(50, "superseded, then revoked"),
            ),
            derived(first + 10, who, first + 9),
            RecordParts { successor: Some(id(first + 12)), ..row(first + 11, who) },
            RecordParts {
                family: id(first + 11),
                last_use: Some(used(40)),
                ..row(first + 12, who)
            },
        ]);
    }
    rows
}

/// How many of [`filters`] have one or two chosen facts. The others are drawn at random.
pub(super) const FACTS: usize = 31;

/// Makes filters that match some rows of [`population`] and not others.
///
/// First each fact alone, then the pairs that matter most, then random ones.
pub(super) fn filters() -> Vec<Filter> {
    let any = Filter::every_token;
    let alice = || Filter::of_owner(&owner("alice"));
    let mut filters = vec![
        any(),
        alice(),
        Filter::of_owner(&owner("nobody")),
        Filter::of_id(id(1)),
        Filter::of_id(id(3)),
        Filter::of_id(id(77)),
        Filter { id: Some(id(31)), ..alice() },
        Filter::of_family(&owner("alice"), id(40)),
        Filter::of_family(&owner("alice"), id(10)),
        Filter { except_family: Some(id(40)), ..any() },
        Filter { except_family: Some(id(10)), ..alice() },
        Filter { key_id: Some(key(2)), ..any() },
        Filter { except_key_ids: vec![key(1)], ..any() },
        Filter { except_key_ids: vec![key(3), key(1), key(9)], ..any() },
        Filter { revoked: Some(true), ..any() },
        Filter { revoked: Some(false), ..alice() },
        Filter { superseded: Some(true), ..any() },
        Filter { superseded: Some(false), ..alice() },
        Filter { expires_before: Some(at(50)), ..any() },
        Filter { expires_before: Some(at(51)), ..any() },
        Filter { expires_before: Some(Timestamp::MAX), ..any() },
        Filter { expires_from: Some(at(50)), ..any() },
        Filter { expires_from: Some(at(51)), ..any() },
        Filter { expires_from: Some(Timestamp::MIN), ..any() },
        Filter { created_before: Some(at(-10)), ..any() },
        Filter { created_before: Some(at(-9)), ..any() },
        Filter { created_before: Some(at(0)), ..alice() },
        Filter { last_used_before: Some(at(-10)), ..any() },
        Filter { last_used_before: Some(at(-9)), ..any() },
        Filter { last_used_before: Some(at(30)), ..any() },
        Filter { last_used_before: Some(at(31)), ..any() },
    ];
    debug_assert_eq!(filters.len(), FACTS);
    let mut draw = Draw(1);
    for _ in 0..150 {
        let owner = draw.of(&[Some("alice"), Some("Alice"), None]).map(owner);
        filters.push(Filter {
            family: owner.as_ref().and(draw.of(&[Some(40), Some(1), None, None])).map(id),
            owner,
            id: draw.of(&[None, None, None, None, None, Some(2)]).map(id),
            except_family: draw.of(&[None, None, Some(40), Some(10)]).map(id),
            key_id: draw.of(&[None, None, None, None, Some(1), Some(2)]).map(key),
            except_key_ids: draw.of(&[vec![], vec![], vec![], vec![key(1)], vec![key(2), key(3)]]),
            revoked: draw.of(&[None, None, Some(true), Some(false)]),
            superseded: draw.of(&[None, None, Some(true), Some(false)]),
            expires_before: draw.of(&[None, None, Some(50), Some(51), Some(501)]).map(at),
            expires_from: draw.of(&[None, None, None, Some(50), Some(51), Some(501)]).map(at),
            created_before: draw.of(&[None, None, None, Some(0), Some(1)]).map(at),
            last_used_before: draw.of(&[None, None, None, Some(1), Some(30), Some(31)]).map(at),
        });
    }
    filters
}

/// Makes four rows of one owner that are not live at 100 seconds, each for another reason.
pub(super) fn dead_at_100(who: &str) -> [RecordParts; 4] {
    [
        revoked_by(&row(61, who), &revocation(1, "x")),
        RecordParts { expires: Expires::At(at(100)), ..row(62, who) },
        RecordParts { expires: Expires::At(at(99)), ..row(63, who) },
        RecordParts { successor: Some(id(62)), ..row(64, who) },
    ]
}

pub(super) fn matching<'r>(
    rows: &'r [RecordParts],
    filter: &'r Filter,
) -> impl Iterator<Item = &'r RecordParts> {
    let mut sorted: Vec<&RecordParts> = rows.iter().collect();
    sorted.sort_by_key(|row| row.id);
    sorted.into_iter().filter(|row| filter.matches(&loaded(row)))
}

/// Draws pseudo-random choices, the same in each run (`SplitMix64`).
struct Draw(u64);

impl Draw {
    fn of<T: Clone, const N: usize>(&mut self, choices: &[T; N]) -> T {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        choices[((z ^ (z >> 31)) % N as u64) as usize].clone()
    }
}
