//! ResealRun rows under the ring's active key, and which keys are in use.

use std::collections::BTreeMap;

use super::{By, TokenAuthority, WALK_PAGE};
use crate::error::{Failed, ManageError, RetireError};
use crate::event::Event;
use crate::record::{Actor, SealCheck, TokenRecord};
use crate::seal::{self, KeyId};
use crate::store::{Filter, Page, Replace, Replaced, Row, TokenStore};
use crate::view::{ResealProgress, ResealReport};

impl<S: TokenStore> TokenAuthority<S> {
    /// Seals anew, under the ring's active key, every row that another key of the ring seals. Row by row, so it may be stopped and
    /// run again, while tokens are in use; a row that is changed at the same time is left for the next run.
    ///
    /// # Errors
    /// [`Failed`] if the store is; what is moved is moved.
    pub async fn reseal(&self) -> Result<ResealReport, Failed> {
        self.run_reseal(None, || {}).await
    }

    /// The same, and tells how far it is: before the first row, and after each. It counts the rows first, on a walk of its own.
    ///
    /// # Errors
    /// As there.
    pub async fn reseal_with_progress(
        &self,
        mut tell: impl FnMut(ResealProgress) + Send,
    ) -> Result<ResealReport, Failed> {
        let rows = self.count_by_key(self.not_under_active_key()).await?;
        let mut progress =
            ResealProgress { done: 0, total: rows.iter().map(|(_, rows)| rows).sum() };
        tell(progress);
        let looked_at_one = || {
            progress.done += 1;
            tell(progress);
        };
        self.run_reseal(None, looked_at_one).await
    }

    /// The same for rows under a key that is lost: their seals can't be checked, so **whatever somebody wrote into them becomes
    /// good**. For once, after [`reseal`](Self::reseal) has said how many rows are left under that key, where the key file is gone for
    /// ever and nobody else could write the database.
    ///
    /// # Errors
    /// [`ManageError::Failed`] if the store is; [`Event::Resealed`] names the rows that were trusted before that, and the next run the
    /// rest; [`ManageError::KeyNotLost`] if the ring has the key.
    pub async fn danger_reseal_without_proof(
        &self,
        lost: KeyId,
        operator: &str,
    ) -> Result<ResealReport, ManageError> {
        let actor = By::Operator(operator).actor()?;
        if self.engine.sealer.ring().ids().any(|id| id == lost) {
            return Err(ManageError::KeyNotLost(lost));
        }
        Ok(self.run_reseal(Some((lost, &actor)), || {}).await?)
    }

    /// How many unrevoked rows each key seals. A key that isn't here may be taken out of the ring.
    ///
    /// # Errors
    /// [`Failed`] if the store is.
    pub async fn keys_in_use(&self) -> Result<Vec<(KeyId, u64)>, Failed> {
        self.count_by_key(Filter { revoked: Some(false), ..Filter::every_token() }).await
    }

    /// Whether a key may be taken out of the ring: refused while it seals a row that isn't revoked.
    ///
    /// # Errors
    /// [`RetireError`] with how many there are.
    pub async fn may_retire(&self, key_id: KeyId) -> Result<(), RetireError> {
        if key_id == self.engine.sealer.ring().active_id() {
            return Err(RetireError::Active);
        }
        let filter = Filter { revoked: Some(false), key_id: Some(key_id), ..Filter::every_token() };
        match self.count_by_key(filter).await?.first() {
            Some((_, rows)) => Err(RetireError::InUse { rows: *rows }),
            None => Ok(()),
        }
    }

    async fn run_reseal(
        &self,
        lost: Option<(KeyId, &Actor)>,
        looked_at_one: impl FnMut() + Send,
    ) -> Result<ResealReport, Failed> {
        let trusted_by = lost.map(|(_, actor)| actor);
        let mut run = ResealRun { tokens: self, report: ResealReport::default(), trusted_by };
        let lost = lost.map(|(lost, _)| lost);
        self.reseal_each(lost, &mut run.report, looked_at_one).await?;
        Ok(run.report.clone())
    }

    async fn reseal_each(
        &self,
        lost: Option<KeyId>,
        report: &mut ResealReport,
        mut looked_at_one: impl FnMut() + Send,
    ) -> Result<(), Failed> {
        let not_under_active_key = self.not_under_active_key();
        let mut page = Some(Page::first(WALK_PAGE));
        while let Some(rows) = self.next_page(&not_under_active_key, &mut page).await? {
            for row in &rows {
                self.reseal_row(row, lost, report).await?;
                looked_at_one();
            }
        }
        report.left = self.count_by_key(not_under_active_key).await?;
        Ok(())
    }

    /// The rows that a reseal moves, so far as it can.
    fn not_under_active_key(&self) -> Filter {
        Filter {
            revoked: Some(false),
            except_key_ids: vec![self.engine.sealer.ring().active_id()],
            ..Filter::every_token()
        }
    }

    async fn reseal_row(
        &self,
        row: &Row,
        lost: Option<KeyId>,
        report: &mut ResealReport,
    ) -> Result<(), Failed> {
        let Some(whole) = row.whole() else {
            report.tampered.push(row.id());
            return Ok(());
        };
        let is_trusted = lost == Some(whole.record().key_id());
        let new = match self.engine.sealer.intact(whole) {
            Ok(intact) => self.engine.sealer.reseal(intact, seal::Change::default()),
            Err(SealCheck::KeyMissing) if is_trusted => {
                self.engine.sealer.danger_seal_without_proof(whole)
            }
            Err(SealCheck::KeyMissing) => return Ok(()),
            // Also one without any seal: its revocation was cleared, and no lost key is needed to see that.
            Err(_) => {
                report.tampered.push(row.id());
                return Ok(());
            }
        };
        // Its revision was changed by hand: nothing can replace it.
        if whole.record().revision() >= TokenRecord::MAX_REVISION {
            report.tampered.push(row.id());
            return Ok(());
        }
        let now = self.now();
        let replace = Replace { row: new.into(), now, unique_label: false, ends_derived: None };
        // Named before: the store may not say whether it took it, or the caller give up.
        report.trusted.extend(is_trusted.then_some(row.id()));
        let replaced = self.replace(&replace).await;
        if is_trusted && matches!(replaced, Ok(Replaced::Stale)) {
            report.trusted.pop();
        }
        report.moved += u64::from(replaced? == Replaced::Done);
        Ok(())
    }

    async fn count_by_key(&self, filter: Filter) -> Result<Vec<(KeyId, u64)>, Failed> {
        let mut counts = BTreeMap::new();
        let mut page = Some(Page::first(WALK_PAGE));
        while let Some(rows) = self.next_page(&filter, &mut page).await? {
            for record in rows.iter().filter_map(Row::record) {
                *counts.entry(record.key_id()).or_insert(0) += 1;
            }
        }
        Ok(counts.into_iter().collect())
    }
}

/// Tells what was moved, however the walk ends: what is moved is moved.
struct ResealRun<'a, S: TokenStore> {
    tokens: &'a TokenAuthority<S>,
    report: ResealReport,
    trusted_by: Option<&'a Actor>,
}

impl<S: TokenStore> Drop for ResealRun<'_, S> {
    fn drop(&mut self) {
        let (trusted_by, ResealReport { moved: count, trusted, .. }) =
            (self.trusted_by, &self.report);
        if *count > 0 || !trusted.is_empty() {
            self.tokens.tell(&Event::Resealed { count: *count, trusted, trusted_by });
        }
    }
}
