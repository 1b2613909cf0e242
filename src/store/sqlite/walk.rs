//! Walks through the whole table: lists and purges that no index serves. They go in steps, so that
//! none holds others up for long.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::PoisonError;

use super::SqliteStore;
use super::query::{Step, Turn, keys_in_use, keys_of_rows, list_step, purgeable};
use super::statements::Statements;
use crate::key::KeyId;
use crate::store::columns::as_id;
use crate::store::{Filter, Page, Purge, Row, StoreError};

impl SqliteStore {
    /// `list`, in turns.
    pub(super) async fn walk_list(
        &self,
        filter: &Filter,
        mut page: Page,
    ) -> Result<Vec<Row>, StoreError> {
        let mut rows = Vec::new();
        loop {
            let (filter, table) = (filter.clone(), self.0.options.table.clone());
            let turn =
                self.0.readers.scan(move |connection| list_step(connection, &table, &filter, page));
            let Turn { rows: more, next } = turn.await.map_err(|error| self.failure(error))?;
            let left = page.limit.get().saturating_sub(more.len() as u32);
            rows.extend(more);
            match (NonZeroU32::new(left), next.and_then(as_id)) {
                (Some(limit), Some(after)) => page = Page { after: Some(after), limit },
                _ => return Ok(rows),
            }
        }
    }

    /// `purge`, in turns: a reader looks for rows, and only what it finds costs the writer time.
    ///
    /// The next call goes on where this one ended, and not at the start again.
    pub(super) async fn walk_purge(&self, purge: &Purge, limit: u32) -> Result<u64, StoreError> {
        let purged_to = || self.0.purged_to.lock().unwrap_or_else(PoisonError::into_inner);
        let mut deleted = 0;
        // What was deleted before a failure stays so.
        let in_part = |deleted: u64, error: StoreError| {
            if deleted == 0 { error } else { StoreError::unknown(error) }
        };
        let begun = purged_to().take().unwrap_or(Step::WHOLE.after);
        let (mut after, mut is_second_half) = (begun, false);
        loop {
            let step = self.purge_one_step(purge, after, limit - deleted as u32).await;
            let (step, count) = step.map_err(|error| in_part(deleted, error))?;
            deleted += count;
            if deleted >= u64::from(limit) {
                // The step may have more of them.
                *purged_to() = Some(after);
                return Ok(deleted);
            }
            match step.until {
                Some(until) => after = until,
                None if is_second_half || begun == Step::WHOLE.after => break,
                None => (after, is_second_half) = (Step::WHOLE.after, true),
            }
            if is_second_half && after >= begun {
                break;
            }
        }
        if matches!(purge, Purge::Dead(_)) {
            self.forget_unused_keys().await.map_err(|error| in_part(deleted, error))?;
        }
        Ok(deleted)
    }

    async fn purge_one_step(
        &self,
        purge: &Purge,
        after: i64,
        limit: u32,
    ) -> Result<(Step, u64), StoreError> {
        let (sought, table) = (purge.clone(), self.0.options.table.clone());
        let look = self.0.readers.scan(move |connection| {
            let step = Step::next(connection, &table, after)?;
            let found = purgeable(connection, &table, &sought, step, 1)?;
            Ok((step, !found.is_empty()))
        });
        let (step, is_any) = look.await.map_err(|error| self.failure(error))?;
        if !is_any {
            return Ok((step, 0));
        }
        // Asked again by the writer: a row may have been changed meanwhile.
        let purge = purge.clone();
        let delete =
            self.0.writer.write(move |statements| statements.purge_step(&purge, step, limit));
        Ok((step, delete.await?))
    }

    /// Takes keys out of the set of those in use that seal nothing any more.
    async fn forget_unused_keys(&self) -> Result<(), StoreError> {
        let table = &self.0.options.table;
        let known = self.0.readers.read(|connection| keys_in_use(connection, table));
        let mut unused: BTreeSet<KeyId> =
            known.map_err(|error| self.failure(error))?.into_iter().collect();
        // A single key is the active one, and would come back with the next token.
        if unused.len() < 2 {
            return Ok(());
        }
        let mut after = Step::WHOLE.after;
        while !unused.is_empty() {
            let table = table.clone();
            let look = self.0.readers.scan(move |connection| {
                let step = Step::next(connection, &table, after)?;
                Ok((step, keys_of_rows(connection, &table, step)?))
            });
            let (step, keys) = look.await.map_err(|error| self.failure(error))?;
            keys.iter().for_each(|key| _ = unused.remove(key));
            match step.until {
                Some(until) => after = until,
                None => {
                    // The writer looks once more, under the file's lock: a token may have been
                    // issued under the key behind this walk.
                    let unused: Vec<KeyId> = unused.into_iter().collect();
                    let forget =
                        move |statements: &mut Statements<'_>| statements.forget_keys(&unused);
                    return self.0.writer.write(forget).await;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::example;
    use crate::record::{LiveAt, TokenRecord};
    use crate::store::sqlite::open::open_memory;
    use crate::store::sqlite::options::SqliteOptions;
    use crate::store::{Insert, Inserted};
    use crate::timestamp::Timestamp;

    /// The walk that found it unused may have passed the place before the row was there.
    #[test]
    fn a_key_that_seals_a_row_by_now_is_not_forgotten() {
        let options = SqliteOptions::new();
        let connection = open_memory(&options).unwrap();
        let mut statements = Statements::new(&connection, &options.table);
        let record = TokenRecord::from_parts(example());
        let key = record.key_id();
        let live = LiveAt { now: Timestamp::MIN, used_after: None };
        let (row, limit, unique_label, under) = (Row::new(record), None, false, None);
        let insert = Insert { row, live, limit, unique_label, under };
        assert_eq!(statements.insert(&insert).unwrap(), Inserted::Done);
        statements.forget_keys(&[key]).unwrap();
        assert_eq!(keys_in_use(&connection, &options.table).unwrap(), [key]);
    }
}
