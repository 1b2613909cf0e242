//! Copies many rows at once.

use app_tokens::store::{Filter, MemoryStore, Page, RowColumns, TokenStore as _};
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};

use super::{Database, pool_to};

/// Copies the rows of new tokens into a database that has none. A million take seconds, where as
/// many inserts take minutes.
pub async fn copy_new_tokens(from: &MemoryStore, to: &Database<'_>) {
    const COLUMNS: [(&str, Type); 11] = [
        ("id", Type::INT8),
        ("digest", Type::BYTEA),
        ("owner", Type::TEXT),
        ("label", Type::TEXT),
        ("scopes", Type::TEXT),
        ("created_at", Type::INT8),
        ("expires_at", Type::INT8),
        ("family", Type::INT8),
        ("key_id", Type::INT8),
        ("seal", Type::BYTEA),
        ("revision", Type::INT8),
    ];
    let client = pool_to(to.config()).get().await.unwrap();
    let columns = COLUMNS.map(|(name, _)| name).join(", ");
    let sink = client.copy_in(&format!("COPY app_tokens ({columns}) FROM STDIN BINARY")).await;
    let writer = BinaryCopyInWriter::new(sink.unwrap(), &COLUMNS.map(|(_, kind)| kind));
    let mut writer = std::pin::pin!(writer);
    // Few pages, as each is a walk through all rows in memory.
    let mut page = Page::first(1_000_000);
    loop {
        let rows = from.list(&Filter::every_token(), page).await.unwrap();
        for row in &rows {
            let row = RowColumns::of(row.record().unwrap());
            let values: [&(dyn ToSql + Sync); 11] = [
                &row.id,
                &row.digest,
                &row.owner,
                &row.label,
                &row.scopes,
                &row.created_at,
                &row.expires_at,
                &row.family,
                &row.key_id,
                &row.seal,
                &row.revision,
            ];
            writer.as_mut().write(&values).await.unwrap();
        }
        let Some(last) = rows.last() else { break };
        page = page.after(last.id());
    }
    writer.finish().await.unwrap();
    client
        .execute("INSERT INTO app_tokens_keys VALUES (1) ON CONFLICT DO NOTHING", &[])
        .await
        .unwrap();
    client.batch_execute("VACUUM ANALYZE app_tokens").await.unwrap();
}
