//! Tests clause 20.

use super::rows::*;
use crate::record::{Expires, RecordParts};
use crate::store::{Filter, Replaced, TokenStore};

/// Checks clause 20: every key of an unrevoked row is named, whatever the row's state.
pub async fn keys_in_use_names_every_key_of_an_unrevoked_row<S: TokenStore>(store: &S) {
    let under = |number: u32, row: RecordParts| RecordParts { key_id: key(number), ..row };
    let rows = [
        under(1, row(1, "alice")),
        under(2, RecordParts { expires: Expires::At(at(-5)), ..row(2, "alice") }),
        under(3, RecordParts { successor: Some(id(1)), ..row(3, "alice") }),
        under(u32::MAX, derived(4, "bob", 9)),
        under(5, row(5, "bob")),
    ];
    put_all(store, &rows).await;
    put(store, &under(6, revoked_by(&row(6, "carol"), &revocation(1, "x")))).await;
    names(store, &[1, 2, 3, 5, u32::MAX]).await;

    let form = under(7, rows[0].clone());
    answers(13, "a replace", replace(store, &replace_of(&form)).await, Replaced::Done);
    let (new, _, mut rotate) = rotation(&rows[4], 7);
    rotate.row = loaded(&under(8, new));
    supersede(store, &rotate).await;
    names(store, &[2, 3, 5, 7, 8, u32::MAX]).await;
    revoke(store, &Filter::of_id(id(2)), &revocation(9, "x")).await;
    names(store, &[3, 5, 7, 8, u32::MAX]).await;
}

/// Fails the test if one of the keys is missing. A key too many is allowed.
async fn names<S: TokenStore>(store: &S, keys: &[u32]) {
    let named = answered(store.keys_in_use().await);
    let missing = keys.iter().find(|number| !named.contains(&key(**number)));
    hold(20, missing.is_none(), format_args!("the key {missing:?} is not among {named:?}"));
}
