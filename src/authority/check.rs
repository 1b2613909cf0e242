//! Checks at start whether the ring fits the rows, and the rows fit the realm.

use std::collections::BTreeMap;

use super::{TokenAuthority, WALK_PAGE};
use crate::error::Failed;
use crate::key::KeyId;
use crate::record::{Newer, SealCheck, TokenRecord};
use crate::store::{Filter, Page, Row, TokenStore};
use crate::view::CheckReport;

impl<S: TokenStore> TokenAuthority<S> {
    /// Checks whether key ring, realm and rows fit each other, and what the store finds odd about
    /// its tables. For the start of a process.
    ///
    /// It checks the seals of at most [`CheckReport::MAX_ROWS`] unrevoked rows, the first by their
    /// random ids. For each key that the ring lacks it counts up to 500 rows. So a report without
    /// findings is no proof. Whether a key may be taken out of the ring is decided by
    /// [`may_retire`](Self::may_retire), which looks at all rows.
    ///
    /// The time that it takes grows with the table. SQLite and PostgreSQL scan it once, for keys
    /// that are missing in the set of keys in use. A store that does not override
    /// [`TokenStore::keys_in_use`] lists all unrevoked rows. If keys are missing in the ring, one
    /// more walk counts the rows under all of them.
    ///
    /// Print the report to the log. A host may refuse to serve unless
    /// [`is_sound`](CheckReport::is_sound).
    ///
    /// ```
    /// # use app_tokens::TokenAuthority;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let tokens = TokenAuthority::in_memory("acme")?;
    /// let report = tokens.block_on(tokens.check())?;
    /// assert!(report.is_sound(), "{report}");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Failed`] if the store fails.
    pub async fn check(&self) -> Result<CheckReport, Failed> {
        let mut report = CheckReport {
            realm: self.engine.policy.realm().into(),
            under_missing_keys: self.count_under_missing_keys().await?,
            findings: self.store.diagnose().await?,
            ..CheckReport::default()
        };
        let mut page = Some(Page::first(WALK_PAGE));
        while report.checked < CheckReport::MAX_ROWS {
            let Some(rows) = self.next_page(&unrevoked(), &mut page).await? else {
                break;
            };
            rows.into_iter().for_each(|row| self.check_row(row, &mut report));
        }
        report.is_complete = page.is_none();
        Ok(report)
    }

    /// Counts unrevoked rows under keys that the ring lacks, in one walk for all of these keys.
    async fn count_under_missing_keys(&self) -> Result<Vec<(KeyId, u64)>, Failed> {
        let mut counts = BTreeMap::new();
        let mut under_others = self.under_missing_keys();
        // A store may name a key that no row has any more, so the rows under it are looked for.
        let mut page = self.lacks_a_key().await?.then(|| Page::first(WALK_PAGE));
        while let Some(rows) = self.next_page(&under_others, &mut page).await? {
            for key_id in rows.iter().filter_map(Row::record).map(TokenRecord::key_id) {
                let count = counts.entry(key_id).or_insert(0);
                *count += 1;
                // Enough: from here on the walk passes over its rows.
                if *count == u64::from(WALK_PAGE) {
                    under_others.except_key_ids.push(key_id);
                }
            }
        }
        let most = |count: u64| count.min(WALK_PAGE.into());
        Ok(counts.into_iter().map(|(key_id, count)| (key_id, most(count))).collect())
    }

    /// Checks one row, and adds what is wrong with it to the report.
    fn check_row(&self, row: Row, report: &mut CheckReport) {
        report.checked += 1;
        let id = row.id();
        let Some(row) = row.into_readable() else {
            report.damaged.push(id);
            return;
        };
        match self.engine.sealer.check(&row) {
            // The rows under missing keys are counted apart.
            SealCheck::KeyMissing => {}
            SealCheck::Right if self.is_lost_import(row.record()) => {
                report.lost_imports.push(id);
            }
            SealCheck::Right => {}
            SealCheck::Wrong => report.tampered.push(id),
            SealCheck::UnknownVersion(Newer::Seal(version)) => {
                report.unknown_versions.push((id, version));
            }
            SealCheck::UnknownVersion(Newer::Digest(scheme)) => {
                report.unknown_schemes.push((id, scheme));
            }
        }
    }
}

#[cfg(not(feature = "import"))]
impl<S: TokenStore> TokenAuthority<S> {
    /// Returns `false`: this build lets in no text of another system.
    fn is_lost_import(&self, _: &TokenRecord) -> bool {
        false
    }
}

/// Matches every row without a revocation. A revoked one has no seal to check.
fn unrevoked() -> Filter {
    Filter { revoked: Some(false), ..Filter::every_token() }
}
