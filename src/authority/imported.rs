//! Looks at imported rows: how far an import has come, and whether the ring fits them.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use super::{TokenAuthority, WALK_PAGE};
use crate::error::Failed;
use crate::import::{ImportStatus, Places};
use crate::record::{Status, TokenRecord};
use crate::store::{Filter, Page, Row, TokenStore};

impl<S: TokenStore> TokenAuthority<S> {
    /// Returns how far an import has come. It reads all rows.
    ///
    /// Once nothing waits, or you have revoked what still does, the old system is no longer needed.
    ///
    /// # Errors
    /// [`Failed`] if the store fails.
    pub async fn import_status(&self) -> Result<Vec<ImportStatus>, Failed> {
        let key_mark = self.places().ok().map(|places| places.key_mark());
        let mut by_scheme: BTreeMap<Box<str>, ImportStatus> = BTreeMap::new();
        let every = Filter::every_token();
        let mut page = Some(Page::first(WALK_PAGE));
        while let Some(rows) = self.next_page(&every, &mut page).await? {
            for row in rows.into_iter().filter_map(Row::into_readable) {
                let record = row.record();
                let Some(mark) = record.import_mark() else { continue };
                let of_scheme = by_scheme.entry(mark.scheme.into());
                let status = of_scheme.or_insert_with_key(|scheme| ImportStatus {
                    scheme: scheme.clone(),
                    waiting: 0,
                    taken_over: 0,
                    ended: 0,
                    lost: 0,
                    unclear: 0,
                    candidates: 0,
                });
                let of_row = self.status(&row, self.now(), self.own_use(record.id()));
                // A tampered row must not make each look-up ask for more candidates.
                if !matches!(of_row, Ok(Status::Tampered)) {
                    status.candidates = status.candidates.max(mark.candidate.saturating_add(1));
                }
                let count = match of_row {
                    Ok(Status::Active) if Some(mark.key) != key_mark => &mut status.lost,
                    Ok(Status::Active) if record.digest().foreign().is_some() => {
                        &mut status.waiting
                    }
                    Ok(Status::Active) => &mut status.taken_over,
                    Ok(_) => &mut status.ended,
                    Err(_) => &mut status.unclear,
                };
                *count += 1;
            }
        }
        Ok(by_scheme.into_values().collect())
    }

    /// Returns what makes the ids of imported tokens.
    pub(super) fn places(&self) -> Result<Places<'_>, Failed> {
        let sealer = &self.engine.sealer;
        let key = sealer.ring().import_key().ok_or(Failed::NoImportKey)?;
        Ok(Places { key, realm: sealer.realm() })
    }

    /// Returns whether a live token was imported under another import key than the ring's.
    ///
    /// Not if the ring has none: then a foreign text fails, which nobody overlooks. An ended token
    /// is missed by nobody, and its row must not keep a host from starting.
    pub(super) fn is_lost_import(&self, record: &TokenRecord) -> bool {
        let is_of_other_key = record
            .import_mark()
            .is_some_and(|mark| self.places().is_ok_and(|places| places.key_mark() != mark.key));
        is_of_other_key && record.is_live(self.live_at(self.now()))
    }

    /// Refuses to import if tokens were imported under another key, or for another realm.
    ///
    /// Under this key their ids are others, so a run would find none of them. It would import each
    /// once more, also those that were revoked.
    pub(super) async fn refuse_other_import_key(&self, places: &Places<'_>) -> Result<(), Failed> {
        if self.engine.import_key_fits.load(Ordering::Relaxed) {
            return Ok(());
        }
        let every = Filter::every_token();
        let mut page = Some(Page::first(WALK_PAGE));
        while let Some(rows) = self.next_page(&every, &mut page).await? {
            let mut records = rows.iter().filter_map(Row::record);
            // The first is enough. If two runs under two keys began at once, both find the same
            // one, and only one run goes on.
            let first = records.find_map(|record| Some((record.import_mark()?.key, record.id())));
            let Some((key, id)) = first else { continue };
            if key != places.key_mark() {
                return Err(Failed::OtherImportKey(id));
            }
            // Not inside a transaction: what it sees may be rolled back. And not if there is no
            // such row yet: the first one may be of another key.
            if self.buffer.is_none() {
                self.engine.import_key_fits.store(true, Ordering::Relaxed);
            }
            break;
        }
        Ok(())
    }
}
