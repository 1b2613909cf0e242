//! Rows that a second program sealed, in a file.

use rusqlite::Connection;
use serde_json::Value;

use support::rows::wait;

use super::file::File;
use super::vectors::vectors;

const COLUMNS: &str = "id, owner, label, scopes, resources, networks, attributes, issued_by, \
     created_at, expires_at, family, successor, derived_from, revoked_at, revoked_reason, \
     revoked_by, last_used_at, last_used_address, last_used_client, revision, key_id";

/// Writes a row past the store.
fn restore(file: &Connection, dump: &Value) {
    let cells: Vec<_> = COLUMNS.split(", ").map(|name| format!("?1 ->> '{name}'")).collect();
    let insert = format!(
        "INSERT INTO app_tokens ({COLUMNS}, digest, seal)
         VALUES ({}, unhex(?1 ->> 'digest'), unhex(?1 ->> 'seal'))",
        cells.join(", ")
    );
    assert_eq!(file.execute(&insert, [dump.to_string()]).unwrap(), 1);
}

/// Reads the one row past the store.
fn dump(file: &Connection) -> Value {
    let cells: Vec<_> = COLUMNS.split(", ").map(|name| format!("'{name}', {name}")).collect();
    let select = format!(
        "SELECT json_object({}, 'digest', lower(hex(digest)), 'seal', lower(hex(seal)))
         FROM app_tokens",
        cells.join(", ")
    );
    let text: String = file.query_row(&select, [], |row| row.get(0)).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn a_dump_of_a_file_shows_the_digests_and_seals_of_a_second_program() {
    for vector in vectors() {
        let [restored, written] = [File::new(), File::new()];
        let [one, other] = [restored.open(), written.open()];
        restore(&restored.raw(), &vector.columns);
        wait(async {
            vector.assert_is_ours(&one).await;
            vector.copy(&one, &other).await;
        });
        assert_eq!(dump(&written.raw()), vector.columns);
    }
}
