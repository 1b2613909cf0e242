//! Rows that were damaged by hand.

use app_tokens::record::RecordParts;
use app_tokens::store::{Filter, Page, Purge, TokenStore};
use app_tokens::{Access, KeyRing, NewToken, Policy, TokenAuthority};

use support::damage::{self, Dialect};
use support::rows::*;

use super::file::File;

/// Texts that only SQLite can hold, each in a row that can't be read then: no UTF-8, or a NUL.
const ONLY_IN_SQLITE: [&str; 3] = [
    "owner = CAST(x'FFFE' AS TEXT)",
    "label = CAST(x'61006200' AS TEXT)",
    "last_used_at = 9, last_used_client = CAST(x'FF' AS TEXT)",
];

/// Returns each damage of a row, and whether the row can still be read.
fn damages() -> impl Iterator<Item = (String, bool)> {
    let only_here = ONLY_IN_SQLITE.map(|damage| (damage.to_owned(), false));
    damage::damages(Dialect::Sqlite).into_iter().chain(only_here)
}

#[test]
fn a_row_damaged_in_any_column_does_not_authenticate_blocks_no_other_and_can_be_revoked() {
    let file = File::new();
    let (store, raw) = (file.open(), file.raw());
    raw.execute_batch("PRAGMA ignore_check_constraints = ON").unwrap();
    let tokens = TokenAuthority::new(
        store.clone(),
        KeyRing::ephemeral().unwrap(),
        Policy::new("acme").unwrap().with_no_limit_per_owner(),
    );
    let issue = || {
        let access = Access::scopes(["r", "w"])
            .unwrap()
            .on(["exact:a", "prefix:b"].map(|text| text.parse().unwrap()))
            .unwrap();
        let new = NewToken::new("alice", "My phone", access);
        tokens.block_on(tokens.issue(new)).unwrap()
    };
    let sound = issue();
    for (damage, readable) in damages() {
        let token = issue();
        let id = token.id();
        let number = id.as_u64().cast_signed();
        assert!(tokens.block_on(tokens.authenticate(token.expose_secret())).is_ok());
        raw.execute(&format!("UPDATE app_tokens SET {damage} WHERE id = ?1"), [number]).unwrap();

        assert_eq!(found(&store, id).is_some(), readable, "{damage}");
        assert!(tokens.block_on(tokens.authenticate(token.expose_secret())).is_err(), "{damage}");
        assert!(tokens.block_on(tokens.authenticate(sound.expose_secret())).is_ok(), "{damage}");
        let rows = all(&store);
        assert_eq!(rows.iter().flatten().count(), 1 + usize::from(readable), "{damage}");
        assert_eq!(rows.len(), 2, "{damage}");

        assert_eq!(wait(store.revoke(&Filter::of_id(id), &revocation())).unwrap(), 1, "{damage}");
        let ended = "SELECT revoked_at, seal, revision FROM app_tokens WHERE id = ?1";
        let ended =
            raw.query_row(ended, [number], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
        let (revoked_at, seal, revision): (i64, Option<Vec<u8>>, i64) = ended.unwrap();
        assert_eq!((revoked_at, seal), (at(7).as_unix(), None), "{damage}");
        assert_eq!(revision, i64::from(!damage.starts_with("revision")), "{damage}");
        assert!(tokens.block_on(tokens.authenticate(token.expose_secret())).is_err(), "{damage}");
        wait(store.purge(&Purge::Matching(Filter::of_id(id)), 9)).unwrap();
    }
}

#[test]
fn a_damaged_row_is_revoked_and_purged_with_the_others() {
    let file = File::new();
    let (store, raw) = (file.open(), file.raw());
    raw.execute_batch("PRAGMA ignore_check_constraints = ON").unwrap();
    (0..40).for_each(|number| insert(&store, parts(number)));
    for (number, (damage, _)) in (0..).zip(damages().filter(|(d, _)| !d.starts_with("owner"))) {
        raw.execute(&format!("UPDATE app_tokens SET {damage} WHERE id = ?1"), [number]).unwrap();
    }
    assert_eq!(all(&store).len(), 40);
    let of_alice = Filter::of_owner(&owner("alice"));
    let unrevoked = Filter { revoked: Some(false), ..of_alice.clone() };
    assert_eq!(wait(store.revoke(&of_alice, &revocation())).unwrap(), 40);
    assert_eq!(listed(&store, &unrevoked, Page::first(99)).len(), 0);
    assert_eq!(wait(store.purge(&Purge::Matching(of_alice), 99)).unwrap(), 40);
    assert_eq!(all(&store).len(), 0);
}

#[test]
fn a_row_with_an_invalid_id_hides_no_other_and_is_revoked() {
    let file = File::new();
    let (store, raw) = (file.open(), file.raw());
    raw.execute_batch("PRAGMA ignore_check_constraints = ON").unwrap();
    (1..=4).for_each(|number| insert(&store, parts(number)));
    raw.execute_batch(
        "UPDATE app_tokens SET id = -9 WHERE id = 1; \
         UPDATE app_tokens SET id = 1125899906842624 WHERE id = 2",
    )
    .unwrap();
    assert_eq!(listed(&store, &Filter::every_token(), Page::first(2)).len(), 2);
    assert_eq!(wait(store.revoke(&Filter::every_token(), &revocation())).unwrap(), 4);
}

/// An end that can't be read is not over, so its row spares what it is reached through.
#[test]
fn a_child_with_a_damaged_end_keeps_its_dead_parent() {
    let file = File::new();
    let store = file.open();
    insert(&store, parts(1));
    insert(&store, RecordParts { derived_from: Some(id(1)), ..parts(2) });
    for end in ["-5", "253402300800"] {
        let damage = format!("UPDATE app_tokens SET expires_at = {end} WHERE id = 2");
        file.raw().execute_batch(&damage).unwrap();
        assert_eq!(wait(store.purge(&expired(), 9)).unwrap(), 0, "{end}");
    }
}
