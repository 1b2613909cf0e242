//! Rows that a second program sealed, in a database.

use serde_json::Value;
use tokio_postgres::Client;

use support::postgres::{RUNTIME, Server};

use super::vectors::vectors;

/// Writes a row past the store. PostgreSQL reads and shows bytes as `\x` and digits.
async fn restore(client: &Client, dump: &Value) {
    let mut dump = dump.clone();
    for name in ["digest", "seal"] {
        dump[name] = format!("\\x{}", dump[name].as_str().unwrap()).into();
    }
    let insert = "INSERT INTO app_tokens
                  SELECT * FROM json_populate_record(NULL::app_tokens, $1::text::json)";
    assert_eq!(client.execute(insert, &[&dump.to_string()]).await.unwrap(), 1);
}

/// Reads the one row past the store.
async fn dump(client: &Client) -> Value {
    let select = "SELECT to_json(app_tokens)::text FROM app_tokens";
    let text: String = client.query_one(select, &[]).await.unwrap().get(0);
    let mut dump: Value = serde_json::from_str(&text).unwrap();
    for name in ["digest", "seal"] {
        dump[name] = dump[name].as_str().unwrap().trim_start_matches("\\x").into();
    }
    dump
}

#[test]
fn a_dump_of_a_database_shows_the_digests_and_seals_of_a_second_program() {
    RUNTIME.block_on(async {
        let server = Server::needed();
        let [restored, written] = [server.database().await, server.database().await];
        let [one, other] = [restored.store().await, written.store().await];
        let [here, there] = [restored.raw().await, written.raw().await];
        for vector in vectors() {
            restore(&here, &vector.columns).await;
            vector.assert_is_ours(&one).await;
            vector.copy(&one, &other).await;
            assert_eq!(dump(&there).await, vector.columns);
            for client in [&here, &there] {
                client.batch_execute("DELETE FROM app_tokens").await.unwrap();
            }
        }
    });
}
