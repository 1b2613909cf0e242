//! Clauses 11 to 13.

use std::sync::Arc;

use super::population::{filters, matching, population};
use super::rows::*;
use crate::record::RecordParts;
use crate::store::{Filter, Page, Purge, Replaced, Row, TokenStore};
use crate::token::TokenId;

/// Checks clause 11.
pub async fn find_gives_the_row_with_this_id_or_none<S: TokenStore>(store: &S) {
    let rows = population();
    put_all(store, &rows).await;
    for right in &rows {
        is_row(11, "find", Some(&stored(store, right.id).await), right);
    }
    for number in [0, 77, TokenId::MAX.as_u64()] {
        let found = answered(store.find(id(number)).await);
        hold(11, found.is_none(), format_args!("find gives {found:?} for an id that isn't there"));
    }
}

/// Checks clause 12. `damage` writes junk into a row.
pub async fn a_damaged_row_is_shown_as_damaged_and_blocks_no_other<S, D>(
    store: &Arc<S>,
    damage: impl Fn(Arc<S>, TokenId) -> D,
) where
    S: TokenStore,
    D: Future<Output = ()>,
{
    let mut rows = vec![row(1, "alice"), row(2, "alice"), row(3, "alice")];
    put_all(&**store, &rows).await;
    damage(Arc::clone(store), id(2)).await;
    let found = store.find(id(2)).await;
    hold(12, found.is_ok(), format_args!("find gives {found:?} for a damaged row"));
    let found = answered(found);
    let damaged = |row: &Row| row.record().is_none() && row.id() == id(2);
    let wrong = format!("find gives {found:?} for a damaged row");
    hold(12, found.as_ref().is_some_and(damaged), wrong);

    let listed = store.list(&Filter::of_owner(&owner("alice")), Page::first(10)).await;
    let wrong = format!("list gives {listed:?} where the second row is damaged");
    hold(12, listed.is_ok(), &wrong);
    let listed = answered(listed);
    hold(12, listed.len() == 3 && damaged(&listed[1]), wrong);
    is_row(12, "list", parts_of(listed.first()).as_ref(), &rows[0]);
    is_row(12, "list", parts_of(listed.last()).as_ref(), &rows[2]);

    let new = row(4, "alice");
    put(&**store, &new).await;
    touch(&**store, &[(id(2), used(5)), (id(1), used(5))]).await;
    rows[0].last_use = Some(used(5));
    let form = RecordParts { label: label("renamed"), ..rows[2].clone() };
    answers(12, "a replace", replace(&**store, &replace_of(&form)).await, Replaced::Done);
    for right in [&rows[0], &written(&form), &new] {
        is_row(12, "find", Some(&stored(&**store, right.id).await), right);
    }
    let purged = Purge::Matching(Filter::of_owner(&owner("alice")));
    let count = purge(&**store, &purged, 10).await;
    answers(12, "the purge of an owner with a damaged row", count, 4);
}

/// Checks clause 13: order, beginning and length.
pub async fn list_gives_pages_in_order_of_id<S: TokenStore>(store: &S) {
    let numbers = [5, 1, TokenId::MAX.as_u64(), 9, 0, 3, 1 << 40];
    for number in numbers {
        put(store, &row(number, "alice")).await;
    }
    put(store, &row(4, "bob")).await;
    let mut ids = numbers.map(id);
    ids.sort_unstable();
    let filter = Filter::of_owner(&owner("alice"));
    for limit in [1, 2, 3, 7, 8, u32::MAX] {
        for after in [None].into_iter().chain(ids.map(Some)).chain([Some(id(4))]) {
            let page = Page { after, ..Page::first(limit) };
            let listed = answered(store.list(&filter, page).await);
            let listed: Vec<TokenId> = listed.iter().map(Row::id).collect();
            let later = ids.into_iter().filter(|id| after.is_none_or(|after| *id > after));
            let right: Vec<TokenId> = later.take(limit as usize).collect();
            answers(13, &format!("{page:?} of {ids:?}"), listed, right);
        }
    }
}

/// Checks clause 13: every fact of a filter, alone and with others, against [`Filter::matches`].
pub async fn list_gives_what_the_filter_matches<S: TokenStore>(store: &S) {
    let rows = population();
    put_all(store, &rows).await;
    for filter in filters() {
        let listed: Vec<TokenId> = list(store, &filter).await.iter().map(Row::id).collect();
        let right: Vec<TokenId> = matching(&rows, &filter).map(|row| row.id).collect();
        answers(13, &format!("the list by {filter:?}"), listed, right);
    }
}
