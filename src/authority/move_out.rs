//! Moves tokens out: writes them into a transfer file.

use std::io;

use super::{TokenAuthority, WALK_PAGE};
use crate::access::Access;
use crate::attributes::Attributes;
use crate::event::Event;
use crate::key::KeyId;
use crate::record::{Actor, RecordParts, SealCheck, TokenRecord};
use crate::row::ReadableRow;
use crate::store::{Filter, Page, Row, TokenStore};
use crate::text::{Operator, Owner};
use crate::transfer::{
    LeftBehind, MoveOutReport, MoveProgress, Source, TransferError, TransferKey, Writer,
};

impl<S: TokenStore> TokenAuthority<S> {
    /// Writes the tokens of all owners, or of one, into a transfer file, sealed under a one-time
    /// key.
    ///
    /// Nothing changes here. See [`transfer`](crate::transfer) for the order of a move, and for
    /// what the file reveals. The rows are read page by page, and counted first for `progress`. The
    /// file is written between calls to the store, so don't hand in a writer that waits long.
    ///
    /// # Errors
    /// [`TransferError`] if the store fails, or if the file can't be written. What is written by
    /// then is no whole file, and no host takes it in: delete it.
    pub async fn move_out(
        &self,
        operator: &Operator,
        owner: Option<&Owner>,
        key: &TransferKey,
        file: impl io::Write + Send,
        mut progress: impl FnMut(MoveProgress) + Send,
    ) -> Result<MoveOutReport, TransferError> {
        // So that uses which only this process knows move along.
        self.flush_usage().await?;
        let filter = owner.map_or(Filter::every_token(), Filter::of_owner);
        let mut at = MoveProgress { done: 0, total: self.count(&filter).await? };
        progress(at);
        let source = Source {
            realm: self.engine.policy.realm().into(),
            prefixes: self.engine.policy.accepted_prefixes().to_vec(),
            written_at: self.now(),
        };
        let by = Actor::from(operator);
        let mut run = MoveOutRun { tokens: self, owner, by: &by, report: None };
        let mut writer = Writer::begin(file, key, &source)?;
        let mut report = MoveOutReport::default();
        let mut page = Some(Page::first(WALK_PAGE));
        while let Some(rows) = self.next_page(&filter, &mut page).await? {
            for row in rows {
                let id = row.id();
                match self.movable(row) {
                    Ok(record) => {
                        let is_revoked = record.revocation().is_some();
                        *(if is_revoked { &mut report.revoked } else { &mut report.tokens }) += 1;
                        writer.row(record)?;
                    }
                    Err(why) => {
                        report.left.push((id, why));
                        writer.left(id, why)?;
                    }
                }
                run.report = Some((report.tokens + report.revoked, false));
                at.done += 1;
                progress(at);
            }
        }
        writer.end()?;
        run.report = Some((report.tokens + report.revoked, true));
        Ok(report)
    }

    /// Counts the rows of a walk.
    async fn count(&self, filter: &Filter) -> Result<u64, TransferError> {
        let (mut count, mut page) = (0, Some(Page::first(WALK_PAGE)));
        while let Some(rows) = self.next_page(filter, &mut page).await? {
            count += rows.len() as u64;
        }
        Ok(count)
    }

    /// Returns what a transfer file says of a row, if it can move.
    fn movable(&self, row: Row) -> Result<TokenRecord, LeftBehind> {
        let row = row.into_readable().ok_or(LeftBehind::Damaged)?;
        let record = row.record();
        let digest = record.digest();
        if digest.is_newer() {
            return Err(LeftBehind::Newer);
        }
        if is_of_another_system(record) {
            let has_ended = record.revocation().is_some()
                || record.successor().is_some()
                || record.expires().has_come(self.now());
            return Err(match has_ended {
                true => LeftBehind::EndedOfAnotherSystem,
                false => LeftBehind::OfAnotherSystem,
            });
        }
        // Before the seal, which a revocation clears.
        if record.revocation().is_none() {
            self.refuse_unless_intact(&row)?;
        }
        Ok(as_written(record.clone()))
    }

    fn refuse_unless_intact(&self, row: &ReadableRow) -> Result<(), LeftBehind> {
        match self.engine.sealer.check(row) {
            SealCheck::Right => Ok(()),
            SealCheck::Wrong => Err(LeftBehind::Tampered),
            SealCheck::KeyMissing => Err(LeftBehind::KeyMissing),
            SealCheck::UnknownVersion(_) => Err(LeftBehind::Newer),
        }
    }
}

/// Returns whether the row's text was issued by another system, so that it is found only by ids
/// which this ring makes.
fn is_of_another_system(record: &TokenRecord) -> bool {
    record.digest().sha_256().is_none() || record.import_mark().is_some()
}

/// Returns a record as it is written into the file: without what belongs to this ring.
///
/// Nothing proves the facts of a revoked row. Those that would matter of a good token stay here:
/// then no mistake elsewhere can make them count.
fn as_written(record: TokenRecord) -> TokenRecord {
    const NO_KEY: KeyId = KeyId::new(1).unwrap();
    record.changed(|parts| {
        (parts.seal, parts.key_id, parts.revision) = (None, NO_KEY, 0);
        if parts.revocation.is_some() {
            let RecordParts { access, attributes, issued_by, .. } = parts;
            (*access, *attributes, *issued_by) = (Access::nothing(), Attributes::new(), None);
        }
    })
}

/// Emits the event of an export when dropped, so that one which failed midway is told, too.
struct MoveOutRun<'a, S: TokenStore> {
    tokens: &'a TokenAuthority<S>,
    owner: Option<&'a Owner>,
    by: &'a Actor,
    /// How many rows were written, and whether the file is whole; `None` before the first row.
    report: Option<(u64, bool)>,
}

impl<S: TokenStore> Drop for MoveOutRun<'_, S> {
    fn drop(&mut self) {
        if let Some((count, is_certain)) = self.report {
            let (owner, by) = (self.owner, self.by);
            self.tokens.emit(&Event::MovedOut { count, owner, by, is_certain });
        }
    }
}
