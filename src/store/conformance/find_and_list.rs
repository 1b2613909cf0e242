//! Tests clauses 11 and 12.

use super::population::{filters, matching, population};
use super::rows::*;

use crate::store::{Filter, Page, Row, TokenStore};
use crate::token::TokenId;

/// Checks clause 11: `find` returns the row with the id, or `None`.
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

/// Checks clause 12: pages come in order of id, begin after the cursor and keep their limit.
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
            answers(12, &format!("{page:?} of {ids:?}"), listed, right);
        }
    }
}

/// Checks clause 12: a list returns what [`Filter::matches`], for each fact alone and with others.
pub async fn list_gives_what_the_filter_matches<S: TokenStore>(store: &S) {
    let rows = population();
    put_all(store, &rows).await;
    for filter in filters() {
        let listed: Vec<TokenId> = list(store, &filter).await.iter().map(Row::id).collect();
        let right: Vec<TokenId> = matching(&rows, &filter).map(|row| row.id).collect();
        answers(12, &format!("the list by {filter:?}"), listed, right);
    }
}
