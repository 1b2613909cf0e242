//! Tables of another name.

use app_tokens::Label;
use app_tokens::record::RecordParts;
use app_tokens::store::{
    Filter, Purge, SqliteOptions, SqliteStore, SqliteStoreError, TableName, TokenStore,
};

use support::rows::*;

use super::file::File;

fn in_table(file: &File, table: &str) -> Result<SqliteStore, SqliteStoreError> {
    let options = SqliteOptions::new().with_table(table.parse().unwrap());
    SqliteStore::open_with(file.path(), &options)
}

#[test]
fn stores_in_other_tables_of_one_file_do_not_see_each_other() {
    let file = File::new();
    let longest = "x".repeat(48);
    let names = ["app_tokens", "tokens", "my_app_tokens", "_1", &longest];
    let stores = names.map(|name| in_table(&file, name).unwrap());
    for (number, store) in (0..).zip(&stores) {
        insert(store, parts(number));
        insert(
            store,
            RecordParts { label: Label::new(names[number as usize]).unwrap(), ..parts(9) },
        );
    }
    // By the shared connections, and by the one of this thread.
    for _ in 0..20 {
        for (number, store) in stores.iter().enumerate() {
            assert_eq!(found(store, id(9)).unwrap().label.as_str(), names[number]);
            for other in 0..names.len() {
                assert_eq!(found(store, id(other as u64)).is_some(), number == other);
            }
        }
    }
    assert_eq!(wait(stores[1].revoke(&Filter::every_token(), &revocation())).unwrap(), 2);
    let every_row = Purge::Matching(Filter::every_token());
    assert_eq!(wait(stores[2].purge(&every_row, 9)).unwrap(), 2);
    for (number, store) in stores.iter().enumerate() {
        let rows: Vec<_> = all(store).into_iter().flatten().collect();
        assert_eq!(rows.len(), if number == 2 { 0 } else { 2 });
        assert!(rows.iter().all(|row| row.revocation.is_some() == (number == 1)));
    }
    drop(stores);
    let reopened = in_table(&file, "tokens").unwrap();
    assert!(found(&reopened, id(9)).unwrap().revocation.is_some());
}

#[test]
fn each_table_has_a_version_of_its_own() {
    let file = File::new();
    drop((file.open(), in_table(&file, "tokens").unwrap()));
    file.raw().execute_batch("UPDATE tokens_schema SET version = 2").unwrap();
    let error = in_table(&file, "tokens").unwrap_err();
    assert!(matches!(error, SqliteStoreError::NewerSchema { found: 2, known: 1, .. }), "{error}");
    assert!(error.to_string().starts_with("the tables tokens in "), "{error}");
    file.open();
}

#[test]
fn a_store_in_a_table_of_another_name_leaves_a_foreign_table_app_tokens_alone() {
    let file = File::new();
    let theirs = "CREATE TABLE app_tokens (id INTEGER PRIMARY KEY, token TEXT); \
                  INSERT INTO app_tokens VALUES (1, 'x')";
    file.raw().execute_batch(theirs).unwrap();
    assert!(matches!(
        SqliteStore::open(file.path()).unwrap_err(),
        SqliteStoreError::ForeignTable { .. }
    ));
    let store = in_table(&file, "tokens").unwrap();
    insert(&store, parts(1));
    assert_eq!(wait(store.revoke(&Filter::every_token(), &revocation())).unwrap(), 1);
    assert_eq!(wait(store.purge(&Purge::Matching(Filter::every_token()), 9)).unwrap(), 1);
    let token = "SELECT token FROM app_tokens WHERE id = 1";
    assert_eq!(file.raw().query_row(token, [], |row| row.get::<_, String>(0)).unwrap(), "x");
}

#[test]
fn a_name_that_no_table_of_ours_can_have_is_refused_and_makes_nothing() {
    let file = File::new();
    let error = in_table(&file, "main.tokens").unwrap_err();
    assert!(matches!(error, SqliteStoreError::HasSchema(_)), "{error}");
    assert!(!file.path().exists());
    for quoted in ["\"tokens\"", "[tokens]", "`tokens`", "Tokens"] {
        assert!(quoted.parse::<TableName>().is_err());
    }
    file.raw().execute_batch("CREATE TABLE users (name TEXT)").unwrap();
    // A word of SQL, a name that SQLite reserves, and names of tables that exist.
    for (name, said) in [
        ("order", "order is reserved in SQLite"),
        ("sqlite_tokens", "sqlite_tokens is reserved in SQLite"),
        ("users", "or a table beside it, was not made by this library"),
    ] {
        let error = in_table(&file, name).unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
        assert!(error.to_string().len() < 200, "{error}");
    }
    let tables = "SELECT group_concat(name) FROM sqlite_master";
    let tables: String = file.raw().query_row(tables, [], |row| row.get(0)).unwrap();
    assert_eq!(tables, "users");
}
