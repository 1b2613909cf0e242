//! Walks through the whole table, for lists and purges that no index serves.
//!
//! They go in steps of a few milliseconds, so that no other call waits long.

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
    /// Makes a list in steps. Each step sees the rows as they are then.
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
            // A step without a match is not the end of the list: only a full page or the end of the
            // table is. A short page would make the caller stop early.
            match (NonZeroU32::new(left), next.and_then(as_id)) {
                (Some(limit), Some(after)) => page = Page { after: Some(after), limit },
                _ => return Ok(rows),
            }
        }
    }

    /// Makes a purge in steps. A reader looks for rows, and the writer only deletes what was found.
    ///
    /// If the limit is reached, the next call continues from there. If each call began at the start
    /// of the table, a large clean-up would scan the same live rows again for each batch.
    pub(super) async fn walk_purge(&self, purge: &Purge, limit: u32) -> Result<u64, StoreError> {
        let purged_to = || self.0.purged_to.lock().unwrap_or_else(PoisonError::into_inner);
        let mut deleted = 0;
        let begun = purged_to().take().unwrap_or(Step::WHOLE.after);
        let (mut after, mut is_second_half) = (begun, false);
        // Goes once around the table: from `begun` to the end, then from the start to `begun`. It
        // does not repeat until nothing is found. A deleted row may have been all that needed
        // another one, which is then left for the next purge.
        loop {
            let step = self.purge_one_step(purge, after, limit - deleted as u32).await;
            let (step, count) = step.map_err(|error| error.after_part(deleted > 0))?;
            deleted += count;
            if deleted >= u64::from(limit) {
                // The next purge begins with the same step, which may hold more such rows.
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
            let done = self.forget_unused_keys().await;
            done.map_err(|error| error.after_part(deleted > 0))?;
        }
        Ok(deleted)
    }

    /// Purges one step of the walk. Returns the step, and how many rows were deleted.
    async fn purge_one_step(
        &self,
        purge: &Purge,
        after: i64,
        limit: u32,
    ) -> Result<(Step, u64), StoreError> {
        let (sought, table) = (purge.clone(), self.0.options.table.clone());
        // One row is enough to know that the writer is needed. Most steps have none, and then no
        // lock is taken and no sync is made.
        let look = self.0.readers.scan(move |connection| {
            let step = Step::next(connection, &table, after)?;
            let found = purgeable(connection, &table, &sought, step, 1)?;
            Ok((step, !found.is_empty()))
        });
        let (step, is_any) = look.await.map_err(|error| self.failure(error))?;
        if !is_any {
            return Ok((step, 0));
        }
        // The writer asks again, inside its transaction: a row may have been changed meanwhile, or
        // a token may have been issued under it.
        let purge = purge.clone();
        let delete =
            self.0.writer.write(move |statements| statements.purge_step(&purge, step, limit));
        Ok((step, delete.await?))
    }

    /// Removes keys that seal no unrevoked row from the set of keys in use.
    async fn forget_unused_keys(&self) -> Result<(), StoreError> {
        let table = &self.0.options.table;
        let known = self.0.readers.read(|connection| keys_in_use(connection, table));
        let mut unused: BTreeSet<KeyId> =
            known.map_err(|error| self.failure(error))?.into_iter().collect();
        // A single key is the active one. It would only be added again with the next token.
        if unused.len() < 2 {
            return Ok(());
        }
        let mut after = Step::WHOLE.after;
        // Ends early if every key was met. Usually that is in the first step, so a daily purge does
        // not read the whole table for it.
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
                    // issued under the key at a place that this walk had already passed. Without
                    // that look, the key of a live token would be missing in the set.
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

    /// The walk that found the key unused may have passed the row's place before it was inserted.
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
