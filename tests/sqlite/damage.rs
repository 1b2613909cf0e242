//! Rows that were damaged by hand.

use app_tokens::record::RecordParts;
use app_tokens::store::{Filter, Page, Purge, TokenStore};
use app_tokens::{Access, KeyRing, NewToken, Policy, TokenAuthority};

use support::rows::*;

use super::file::File;

/// Values that can be written by hand into each column, and whether the row can still be read.
const DAMAGE: &[(&str, bool)] = &[
    ("digest = x''", false),
    ("digest = x'01'", false),
    ("digest = zeroblob(33)", false),
    ("digest = CAST(x'01' || zeroblob(32) AS BLOB)", true),
    ("digest = CAST(x'02' || zeroblob(32) AS BLOB)", false),
    ("owner = ''", false),
    ("owner = 'mallory'", true),
    ("owner = CAST(x'FFFE' AS TEXT)", false),
    ("owner = printf('%.*c', 256, 'x')", false),
    ("label = ' My phone'", false),
    ("label = 'a' || char(10) || 'b'", false),
    ("label = CAST(x'61006200' AS TEXT)", false),
    ("scopes = NULL", true),
    ("scopes = ''", true),
    ("scopes = 'w' || char(10) || 'r'", false),
    ("scopes = char(10)", false),
    ("scopes = 'r' || char(10)", false),
    ("scopes = 'r w'", false),
    ("resources = 'a*b'", false),
    ("resources = 'under:a/'", false),
    ("resources = 'under:b' || char(10) || 'exact:a'", false),
    ("resources = NULL", true),
    ("networks = ''", true),
    ("networks = '10.0.0.0/8'", true),
    ("networks = '10.0.0.1/8'", false),
    ("networks = '192.0.2.7'", false),
    ("networks = '::ffff:10.0.0.0/104'", false),
    ("networks = '9.0.0.0/8' || char(10) || '10.0.0.0/8'", false),
    ("attributes = 'a b'", true),
    ("attributes = ''", false),
    ("attributes = 'a'", false),
    ("attributes = 'a '", false),
    ("attributes = 'a  b'", false),
    ("attributes = 'b x' || char(10) || 'a x'", false),
    ("attributes = 'a x' || char(10) || 'a x'", false),
    ("issued_by = ''", false),
    ("issued_by = 'somebody'", true),
    ("created_at = -1", false),
    ("created_at = 253402300800", false),
    ("created_at = 9223372036854775807", false),
    ("expires_at = NULL", true),
    ("expires_at = 253402300799", true),
    ("expires_at = -9223372036854775808", false),
    ("family = -1", false),
    ("family = 1125899906842624", false),
    ("successor = -1", false),
    ("derived_from = 9223372036854775807", false),
    ("revision = -9223372036854775808", false),
    ("revoked_reason = 'leaked'", false),
    ("revoked_by = 'owner'", false),
    ("last_used_at = -1", false),
    ("last_used_at = NULL, last_used_client = 'x'", false),
    ("last_used_at = 9, last_used_address = 'localhost'", false),
    ("last_used_at = 9, last_used_client = CAST(x'FF' AS TEXT)", false),
    ("key_id = 0", false),
    ("key_id = -1", false),
    ("key_id = 4294967296", false),
    ("key_id = 4294967295", true),
    ("seal = NULL", true),
    ("seal = x''", false),
    ("seal = zeroblob(65)", false),
    ("seal = x'01'", false),
    ("seal = CAST(x'01' || zeroblob(31) AS BLOB)", false),
    ("seal = CAST(x'01' || zeroblob(33) AS BLOB)", false),
    ("seal = CAST(x'01' || zeroblob(32) AS BLOB)", true),
    ("seal = CAST(x'02' || zeroblob(32) AS BLOB)", true),
];

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
    for (damage, readable) in DAMAGE {
        let token = issue();
        let id = token.id();
        let number = id.as_u64().cast_signed();
        assert!(tokens.block_on(tokens.authenticate(token.expose_secret())).is_ok());
        raw.execute(&format!("UPDATE app_tokens SET {damage} WHERE id = ?1"), [number]).unwrap();

        assert_eq!(found(&store, id).is_some(), *readable, "{damage}");
        assert!(tokens.block_on(tokens.authenticate(token.expose_secret())).is_err(), "{damage}");
        assert!(tokens.block_on(tokens.authenticate(sound.expose_secret())).is_ok(), "{damage}");
        let rows = all(&store);
        assert_eq!(rows.iter().flatten().count(), 1 + usize::from(*readable), "{damage}");
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
    for (number, (damage, _)) in (0..).zip(DAMAGE.iter().filter(|(d, _)| !d.starts_with("owner"))) {
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
