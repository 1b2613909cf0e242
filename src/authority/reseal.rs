//! Reseals rows under the ring's active key, and counts which keys are in use.

use std::collections::BTreeMap;

use super::{TokenAuthority, WALK_PAGE};
use crate::error::{Failed, ManageError, RetireError};
use crate::event::Event;
use crate::key::KeyId;
use crate::record::{Actor, SealCheck, TokenRecord};
use crate::row::ReadableRow;
use crate::seal::SealChange;
use crate::store::{Certainty, Filter, Page, Replace, Replaced, Row, StoreError, TokenStore};
use crate::text::Operator;
use crate::view::{ResealProgress, ResealReport};

impl<S: TokenStore> TokenAuthority<S> {
    /// Reseals under the active key every unrevoked row that another key of the ring seals.
    ///
    /// It goes page by page while tokens are in use, up to 500 rows to a commit, so it may be
    /// stopped and run again. Four kinds of rows are left, and counted in [`ResealReport::left`]:
    /// - Rows that another call changed at the same time. Run it again.
    /// - Rows whose key the ring lacks, or whose seal has an unknown version. Run it on a host that
    ///   knows them.
    /// - Rows of imported tokens whose digests need their key. The next use of the token moves
    ///   them; so before you take the key out of the ring, wait for it or revoke them.
    /// - Rows that are not as they were written. Revoke those in [`ResealReport::tampered`].
    ///
    /// # Errors
    /// [`Failed`] if the store fails. What was resealed stays so.
    #[doc(alias = "rekey")]
    pub async fn reseal(&self) -> Result<ResealReport, Failed> {
        self.run_reseal(None, || {}).await
    }

    /// Reseals like [`reseal`](Self::reseal), and reports its progress before the first row and
    /// after each.
    ///
    /// The rows are counted first, which reads them once more.
    ///
    /// # Errors
    /// [`Failed`] if the store fails. What was resealed stays so.
    pub async fn reseal_with_progress(
        &self,
        mut report: impl FnMut(ResealProgress) + Send,
    ) -> Result<ResealReport, Failed> {
        let rows = self.count_by_key(self.not_under_active_key()).await?;
        let mut progress =
            ResealProgress { done: 0, total: rows.iter().map(|(_, rows)| rows).sum() };
        report(progress);
        let after_each = || {
            progress.done += 1;
            report(progress);
        };
        self.run_reseal(None, after_each).await
    }

    /// Reseals like [`reseal`](Self::reseal), and also rows under a lost key, without checking
    /// them.
    ///
    /// The seals under the lost key can't be checked. **Whatever was written into those rows
    /// becomes valid.** Call it only if the key is gone for ever and nobody else could write to the
    /// database. [`reseal`](Self::reseal) reports beforehand how many rows are left under that key.
    ///
    /// # Errors
    /// - [`ManageError::KeyNotLost`] if the ring has the key.
    /// - [`ManageError::Failed`] if the store fails. [`Event::Resealed`] names the rows that were
    ///   trusted until then; the next run reports the rest.
    pub async fn danger_reseal_without_proof(
        &self,
        operator: &Operator,
        lost: KeyId,
    ) -> Result<ResealReport, ManageError> {
        let actor = Actor::from(operator);
        if self.engine.sealer.ring().ids().any(|id| id == lost) {
            return Err(ManageError::KeyNotLost(lost));
        }
        Ok(self.run_reseal(Some((lost, &actor)), || {}).await?)
    }

    /// Counts the unrevoked rows that each key seals. Damaged rows are left out.
    ///
    /// It reads all rows. Before you take a key out of the ring, ask
    /// [`may_retire`](Self::may_retire), which counts those damaged rows, too, whose key is known.
    ///
    /// # Errors
    /// [`Failed`] if the store fails.
    pub async fn keys_in_use(&self) -> Result<Vec<(KeyId, u64)>, Failed> {
        self.count_by_key(Filter { revoked: Some(false), ..Filter::every_token() }).await
    }

    /// Checks that a key may be taken out of the ring: that it seals no unrevoked row.
    ///
    /// It reads all rows under that key. A damaged one counts, too, if the store can still read its
    /// key: SQLite and PostgreSQL mostly can, a key-value store can't. **Ask only when every
    /// host has the ring with the new active key.** A host with the old ring still seals rows under
    /// the old key, and they would fail once it is gone.
    ///
    /// A revoked row doesn't count. If an imported token was used here and then revoked, its row
    /// can't be compared without the key: see the docs of the module `import`.
    ///
    /// # Errors
    /// - [`RetireError::Active`] if it is the active key.
    /// - [`RetireError::InUse`] with the number of rows that it seals.
    /// - [`RetireError::Failed`] if the store fails.
    pub async fn may_retire(&self, key_id: KeyId) -> Result<(), RetireError> {
        if key_id == self.engine.sealer.ring().active_id() {
            return Err(RetireError::Active);
        }
        let filter = Filter { revoked: Some(false), key_id: Some(key_id), ..Filter::every_token() };
        // The store matched each row by its key, also a damaged row whose key can be read there.
        let (mut rows, mut page) = (0, Some(Page::first(WALK_PAGE)));
        while let Some(found) = self.next_page(&filter, &mut page).await? {
            rows += found.len() as u64;
        }
        if rows > 0 { Err(RetireError::InUse { rows }) } else { Ok(()) }
    }

    /// Reseals all rows under other keys than the active one. Trusts those under a lost key, if one
    /// is given.
    async fn run_reseal(
        &self,
        trusted: Option<(KeyId, &Actor)>,
        mut after_each: impl FnMut() + Send,
    ) -> Result<ResealReport, Failed> {
        let mut run = ResealRun { tokens: self, trusted, report: ResealReport::default() };
        let not_under_active_key = self.not_under_active_key();
        let mut page = Some(Page::first(WALK_PAGE));
        // A resealed row no longer matches the filter. The walk goes on after the last id and not
        // by an offset, so it skips no row because of that.
        while let Some(rows) = self.next_page(&not_under_active_key, &mut page).await? {
            let count = rows.len();
            run.reseal_page(rows).await?;
            for _ in 0..count {
                after_each();
            }
        }
        // Counted anew, since other hosts may have sealed or revoked rows meanwhile.
        run.report.left = self.count_by_key(not_under_active_key).await?;
        Ok(run.report.clone())
    }

    /// Matches the unrevoked rows that another key than the active one seals.
    fn not_under_active_key(&self) -> Filter {
        Filter {
            revoked: Some(false),
            except_key_ids: vec![self.engine.sealer.ring().active_id()],
            ..Filter::every_token()
        }
    }

    /// Counts the matching rows of each key. The key of a damaged row can't be read.
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

/// One run of a reseal.
///
/// Emits its event when dropped, so that a run that failed or was given up also reports what it
/// did.
struct ResealRun<'a, S: TokenStore> {
    tokens: &'a TokenAuthority<S>,
    /// The lost key whose rows are trusted without a check, and who said so.
    trusted: Option<(KeyId, &'a Actor)>,
    report: ResealReport,
}

impl<S: TokenStore> ResealRun<'_, S> {
    /// Reseals a page of rows in one call to the store, so that they take one commit.
    async fn reseal_page(&mut self, rows: Vec<Row>) -> Result<(), Failed> {
        let live = self.tokens.live_at(self.tokens.now());
        let mut replaces = Vec::new();
        for row in rows {
            let new_form = self.new_form(row);
            replaces.extend(new_form.map(|row| Replace {
                row: row.into(),
                live,
                unique_label: false,
                revokes_derived: None,
            }));
        }
        if replaces.is_empty() {
            return Ok(());
        }
        let answers = match self.tokens.store.replace(&replaces).await {
            Err(error) if error.certainty() == Certainty::Unknown => {
                self.look_up(&replaces, error).await?
            }
            answered => answered?,
        };
        if answers.len() != replaces.len() || answers.contains(&Replaced::LabelTaken) {
            let broken = format!(
                "the store answered {answers:?} to {} replacements; \
                 run the conformance suite on it",
                replaces.len()
            );
            return Err(StoreError::unknown(broken).into());
        }
        for (replace, answer) in replaces.iter().zip(answers) {
            match answer {
                Replaced::Done => self.report.moved += 1,
                Replaced::Stale | Replaced::LabelTaken => {
                    self.report.trusted.retain(|id| *id != replace.row.id());
                }
            }
        }
        Ok(())
    }

    /// Reads the rows whose replacement may have happened, and compares seals.
    ///
    /// # Errors
    /// The store's lost answer, unless all of the rows have their new seals.
    async fn look_up(
        &self,
        replaces: &[Replace],
        lost: StoreError,
    ) -> Result<Vec<Replaced>, StoreError> {
        let seal = |row: &Row| row.record().and_then(TokenRecord::seal);
        for replace in replaces {
            let found = self.tokens.store.find(replace.row.id()).await.ok().flatten();
            if found.as_ref().and_then(seal) != seal(&replace.row) {
                return Err(lost);
            }
        }
        Ok(vec![Replaced::Done; replaces.len()])
    }

    /// Seals a row under the active key, if it is intact or trusted.
    fn new_form(&mut self, row: Row) -> Option<ReadableRow> {
        let id = row.id();
        let Some(row) = row.into_readable() else {
            self.report.tampered.push(id);
            return None;
        };
        let sealer = &self.tokens.engine.sealer;
        let record = row.record();
        let is_trusted = self.trusted.is_some_and(|(lost, _)| lost == record.key_id());
        // Only the text could make its digest under another key.
        if record.digest().key_id().is_some() {
            return None;
        }
        let new_form = match sealer.intact(&row) {
            Ok(intact) => sealer.reseal(intact, SealChange::default()),
            Err(SealCheck::KeyMissing) if is_trusted => sealer.danger_seal_without_proof(&row),
            // Left for a host that has the key or knows the version.
            Err(SealCheck::KeyMissing | SealCheck::UnknownVersion(_)) => return None,
            // A row without a seal comes here, too, even under a lost key. Its revocation was
            // cleared by hand, and a new seal would revive the token.
            Err(_) => {
                self.report.tampered.push(id);
                return None;
            }
        };
        // The highest revision was set by hand in the database, and no change can go beyond it.
        if record.revision() >= TokenRecord::MAX_REVISION {
            self.report.tampered.push(id);
            return None;
        }
        // Named before the call to the store, because its answer may be lost and this future
        // dropped.
        self.report.trusted.extend(is_trusted.then_some(id));
        Some(new_form)
    }
}

impl<S: TokenStore> Drop for ResealRun<'_, S> {
    fn drop(&mut self) {
        let ResealReport { moved: count, trusted, .. } = &self.report;
        if *count > 0 || !trusted.is_empty() {
            let trusted_by = self.trusted.map(|(_, actor)| actor);
            self.tokens.emit(&Event::Resealed { count: *count, trusted, trusted_by });
        }
    }
}
