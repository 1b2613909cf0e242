//! Other objects in the file of a `SqliteStore`: triggers, views, indexes, and the keys in use.

use app_tokens::record::{KeyId, LastUse, RecordParts};
use app_tokens::store::{
    Filter, Page, Purge, PurgeCutoff, SqliteOptions, SqliteStore, SqliteStoreError,
    SqliteTransaction, TokenStore,
};
use app_tokens::{Access, KeyRing, NewToken, Policy, TokenAuthority, TokenId};

#[path = "common/file.rs"]
mod file;

use file::File;
use support::rows::*;

// -- what the schema says

#[test]
fn the_number_of_an_id_in_the_comments_of_both_schemas_is_right() {
    let (number, text) = (380_001_879_440_138, "askgagkera");
    assert_eq!(TokenId::from_u64(number).unwrap().to_string(), text);
    for schema in [
        include_str!("../src/store/sqlite/schema.sql"),
        include_str!("../src/store/postgres/schema.sql"),
    ] {
        assert!(schema.contains(&format!("{text} is {number}.")), "{schema}");
    }
}

// -- code that is stored in the file

/// A trigger that undoes each revocation, planted by an attacker who could write the file once.
const UNDO: &str = "
    CREATE TRIGGER undo AFTER UPDATE OF revoked_at ON app_tokens
    WHEN old.revoked_at IS NULL AND new.revoked_at IS NOT NULL
    BEGIN
        UPDATE app_tokens
        SET revoked_at = NULL, revoked_reason = NULL, revoked_by = NULL,
            seal = old.seal, revision = old.revision
        WHERE id = old.id;
    END";

#[test]
fn a_trigger_that_undoes_revocations_brings_no_token_back() {
    let file = File::new();
    let store = file.open();
    let (ring, policy) = (KeyRing::ephemeral().unwrap(), Policy::new("acme").unwrap());
    let tokens = TokenAuthority::new(store.clone(), ring, policy);
    let new = NewToken::new("alice", "My phone", Access::full());
    let token = tokens.block_on(tokens.issue(new)).unwrap();

    file.raw().execute_batch(UNDO).unwrap();
    assert_eq!(wait(store.revoke(&Filter::of_id(token.id()), &revocation())).unwrap(), 1);
    assert!(tokens.block_on(tokens.authenticate(token.expose_secret())).is_err());
    assert!(found(&store, token.id()).unwrap().revocation.is_some());
    let findings = wait(store.diagnose()).unwrap();
    assert_eq!(findings, ["there is the trigger \"undo\", which the host did not name"]);
    drop((tokens, store));

    let error = SqliteStore::open(file.path()).unwrap_err();
    assert!(matches!(error, SqliteStoreError::ForeignCode { .. }), "{error}");
    assert!(error.to_string().contains("has the trigger \"undo\""), "{error}");
    file.raw().execute_batch("DROP TRIGGER undo").unwrap();
    assert!(found(&file.open(), token.id()).unwrap().revocation.is_some());
}

#[test]
fn a_trigger_on_any_table_is_refused_in_any_letter_case() {
    for table in ["app_tokens", "APP_TOKENS", "App_Tokens_Keys", "app_tokens_schema"] {
        let file = File::new();
        drop(file.open());
        let trigger = format!("CREATE TRIGGER Tr AFTER DELETE ON {table} BEGIN SELECT 1; END");
        file.raw().execute_batch(&trigger).unwrap();
        let error = SqliteStore::open(file.path()).unwrap_err();
        assert!(matches!(error, SqliteStoreError::ForeignCode { .. }), "{error}");
        let mut host = file.raw();
        let error = SqliteTransaction::begin(&mut host).unwrap_err();
        assert!(matches!(error, SqliteStoreError::ForeignCode { .. }), "{error}");
        assert!(host.is_autocommit());
    }
}

#[test]
fn a_view_or_a_virtual_table_in_the_place_of_a_table_is_refused() {
    for (name, make) in [
        ("view", "CREATE VIEW App_Tokens AS SELECT * FROM kept"),
        ("virtual table", "CREATE VIRTUAL TABLE app_tokens USING fts5 (id, digest, owner)"),
    ] {
        let file = File::new();
        drop(file.open());
        let raw = file.raw();
        raw.execute_batch("ALTER TABLE app_tokens RENAME TO kept").unwrap();
        if raw.execute_batch(make).is_err() {
            eprintln!("skipped: this SQLite has no {name}");
            continue;
        }
        let error = SqliteStore::open(file.path()).unwrap_err();
        let is_right = matches!(
            error,
            SqliteStoreError::ForeignCode { .. } | SqliteStoreError::ForeignTable { .. }
        );
        assert!(is_right, "{name}: {error}");
    }
}

#[test]
fn a_view_that_takes_the_place_of_the_table_later_is_not_read() {
    let file = File::new();
    let store = file.open();
    insert(&store, parts(1));
    assert_eq!(wait(store.revoke(&Filter::of_id(id(1)), &revocation())).unwrap(), 1);
    assert!(found(&store, id(1)).unwrap().revocation.is_some());
    let columns = "id, digest, owner, label, scopes, resources, networks, attributes, issued_by,
        created_at, expires_at, family, successor, derived_from, NULL AS revoked_at,
        NULL AS revoked_reason, NULL AS revoked_by, last_used_at, last_used_address,
        last_used_client, revision, key_id, seal";
    file.raw()
        .execute_batch(&format!(
            "ALTER TABLE app_tokens RENAME TO kept;
             CREATE VIEW app_tokens AS SELECT {columns} FROM kept"
        ))
        .unwrap();
    // On every connection of the store: those that read, the one that scans, the one that writes.
    for _ in 0..20 {
        assert!(wait(store.find(id(1))).is_err());
    }
    assert!(wait(store.list(&Filter::of_owner(&owner("alice")), Page::first(9))).is_err());
    assert!(wait(store.list(&Filter::every_token(), Page::first(9))).is_err());
    assert!(
        wait(store.touch(&[(id(1), LastUse { at: at(1), address: None, client: None })], at(1)))
            .is_err()
    );
}

#[test]
fn a_trigger_that_the_host_named_runs_and_one_on_another_table_is_ignored() {
    let file = File::new();
    drop(file.open());
    file.raw()
        .execute_batch(
            "CREATE TABLE notes (id INTEGER);
             CREATE TRIGGER Note_It AFTER INSERT ON app_tokens
                BEGIN INSERT INTO notes VALUES (new.id); END;
             CREATE TRIGGER other AFTER INSERT ON notes BEGIN SELECT 1; END;",
        )
        .unwrap();
    assert!(SqliteStore::open(file.path()).is_err());
    let options = SqliteOptions::new().with_known_trigger("note_it");
    let store = SqliteStore::open_with(file.path(), &options).unwrap();
    insert(&store, parts(7));
    let noted: i64 = file.raw().query_row("SELECT id FROM notes", [], |row| row.get(0)).unwrap();
    assert_eq!(noted, 7);
    assert!(wait(store.diagnose()).unwrap().is_empty());
    let mut host = file.raw();
    SqliteTransaction::begin_with(&mut host, &options).unwrap();
}

#[test]
fn altered_tables_are_diagnosed() {
    let file = File::new();
    let store = file.open();
    assert!(wait(store.diagnose()).unwrap().is_empty());
    file.raw()
        .execute_batch(
            "DROP INDEX app_tokens_of_owner;
             CREATE INDEX mine ON app_tokens (label);
             ALTER TABLE app_tokens ADD COLUMN note TEXT;",
        )
        .unwrap();
    let findings = wait(store.diagnose()).unwrap();
    let right = [
        "app_tokens was altered; compare it with `SqliteStore::MIGRATIONS`",
        "app_tokens_of_owner is missing; make it as `SqliteStore::MIGRATIONS` does",
        "mine was not made by this library",
    ];
    assert_eq!(findings, right);
}

// -- the keys in use

fn sealed_under(number: u64, key: u32) -> RecordParts {
    RecordParts { key_id: KeyId::new(key).unwrap(), ..parts(number) }
}

fn keys(store: &SqliteStore) -> Vec<u32> {
    wait(store.keys_in_use()).unwrap().into_iter().map(KeyId::as_u32).collect()
}

fn purge_none(store: &SqliteStore) {
    let dead = PurgeCutoff { ended_by: at(-9), unused_since: None, now: at(0) };
    assert_eq!(wait(store.purge(&Purge::Dead(dead), 9)).unwrap(), 0);
}

#[test]
fn a_key_is_in_use_from_the_first_row_to_the_purge_after_the_last() {
    let file = File::new();
    let store = file.open();
    (0..6).for_each(|number| insert(&store, sealed_under(number, 1 + number as u32 % 3)));
    assert_eq!(keys(&store), [1, 2, 3]);
    let under = |key| Filter { key_id: KeyId::new(key), ..Filter::every_token() };
    assert_eq!(wait(store.revoke(&under(2), &revocation())).unwrap(), 2);
    assert_eq!(keys(&store), [1, 2, 3], "one too many is harmless");
    purge_none(&store);
    assert_eq!(keys(&store), [1, 3]);
    purge_none(&store);
    assert_eq!(keys(&store), [1, 3]);
    drop(store);
    assert_eq!(keys(&file.open()), [1, 3]);
}

/// Another process deletes a key between two rows that this one seals under it.
#[test]
fn a_key_deleted_by_another_process_comes_back_with_the_next_row() {
    let file = File::new();
    let (here, there) = (file.open(), file.open());
    (1..4).for_each(|key| insert(&here, sealed_under(u64::from(key), key)));
    let under_two = Filter { key_id: KeyId::new(2), ..Filter::every_token() };
    wait(here.revoke(&under_two, &revocation())).unwrap();
    purge_none(&there);
    assert_eq!(keys(&here), [1, 3]);
    insert(&here, sealed_under(9, 2));
    assert_eq!(keys(&there), [1, 2, 3]);
}

#[test]
fn a_number_among_the_keys_that_is_no_key_is_named_and_not_left_out() {
    let file = File::new();
    let store = file.open();
    file.raw().execute_batch("INSERT INTO app_tokens_keys VALUES (-7)").unwrap();
    let error = wait(store.keys_in_use()).unwrap_err();
    assert!(error.to_string().contains("holds -7, which is not a key id; remove it"), "{error}");
}

#[test]
fn a_key_that_was_taken_out_by_hand_while_it_seals_rows_is_found() {
    let file = File::new();
    let store = file.open();
    (1..4).for_each(|key| insert(&store, sealed_under(u64::from(key), key)));
    let under_three = Filter { key_id: KeyId::new(3), ..Filter::every_token() };
    wait(store.revoke(&under_three, &revocation())).unwrap();
    assert_eq!(wait(store.diagnose()).unwrap(), Vec::<String>::new());
    file.raw().execute_batch("DELETE FROM app_tokens_keys").unwrap();
    let findings = wait(store.diagnose()).unwrap();
    assert_eq!(
        findings,
        [
            "app_tokens_keys lacks the key 1, which seals rows; insert it",
            "app_tokens_keys lacks the key 2, which seals rows; insert it"
        ]
    );
}
