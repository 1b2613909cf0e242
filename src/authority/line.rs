//! Finds a token's line of rotations and its current token, and ends its overlap.

use super::{MAX_TRIES, TokenAuthority, WALK_PAGE};
use crate::error::{ChangeError, Failed};
use crate::event::{ChangeEvent, ChangeKind, Event};
use crate::issue;
use crate::record::{Actor, Expires, TokenRecord};
use crate::row::ReadableRow;
use crate::seal::SealChange;
use crate::store::{Filter, Page, Replace, Replaced, Row, TokenStore};
use crate::timestamp::Timestamp;
use crate::token::TokenId;

/// What may live of a line beside its current token.
pub(super) struct Overlap {
    /// The superseded tokens whose overlap runs.
    pub(super) living: Vec<ReadableRow>,
    /// A row that can't be read, so nobody knows whether its overlap runs.
    pub(super) damaged: Option<TokenId>,
}

impl<S: TokenStore> TokenAuthority<S> {
    /// Ends the overlap of a token's line: its superseded tokens are denied from now on. Returns
    /// how many it changed.
    ///
    /// Any token of the line may be named. The current token stays as it is, and so does what was
    /// issued under the line. Nothing is revoked, so a superseded token that is presented later is
    /// still reported as reused. If no overlap runs, nothing changes.
    ///
    /// # Errors
    /// - [`ChangeError::Unknown`] if there is no such token, or it is another owner's.
    /// - [`ChangeError::DamagedRow`] if a row of the line is damaged. The other overlaps are ended.
    /// - [`ChangeError::Conflict`] if other calls changed the line meanwhile.
    /// - [`ChangeError::Failed`] if the store fails: call it again.
    pub async fn end_overlap(&self, by: impl Into<Actor>, id: TokenId) -> Result<u64, ChangeError> {
        let by = by.into();
        let line = self.line_of(&by, id).await?.ok_or(ChangeError::Unknown)?;
        self.end_superseded(&by, &line, None).await
    }

    /// Finds a token's whole line; `None` if there is no such token that the actor may see.
    ///
    /// If the row is damaged and its family can't be read, the line is that row alone.
    pub(super) async fn line_of(&self, by: &Actor, id: TokenId) -> Result<Option<Filter>, Failed> {
        let Some(row) = self.store.find(id).await? else {
            return Ok(None);
        };
        let owner = row.owner().cloned();
        Ok(by.may_see(row.owner()).then(|| match row.family() {
            Some(family) => Filter { owner, family: Some(family), ..Filter::every_token() },
            None => Filter { owner, ..Filter::of_id(id) },
        }))
    }

    /// Finds the current token of a line. If the line no longer has one, `successor` stands for it.
    pub(super) async fn current_of(
        &self,
        old: &TokenRecord,
        successor: TokenId,
    ) -> Result<TokenId, Failed> {
        let line = Filter::of_family(old.owner(), old.family());
        let filter = Filter { revoked: Some(false), superseded: Some(false), ..line };
        let rows = self.store.list(&filter, Page::first(WALK_PAGE)).await?;
        // A line has one current row, unless the database was changed by hand.
        let newest = rows.iter().max_by_key(|row| (row.created_at(), row.id()));
        Ok(newest.map_or(successor, Row::id))
    }

    /// Reads the superseded tokens of a line whose end is after `ended_by`. Says if one of its rows
    /// is damaged.
    ///
    /// A tampered one is left out: it is denied anyway, and must not be sealed again.
    pub(super) async fn overlapping(
        &self,
        line: &Filter,
        ended_by: Timestamp,
    ) -> Result<Overlap, Failed> {
        // Not by `superseded` and `expires_from`: those can't be read in a damaged row, so it would
        // be left out, and a repair would bring its token back.
        let unrevoked = Filter { revoked: Some(false), ..line.clone() };
        let mut overlap = Overlap { living: Vec::new(), damaged: None };
        let mut page = Some(Page::first(WALK_PAGE));
        while let Some(rows) = self.next_page(&unrevoked, &mut page).await? {
            for row in rows {
                let id = row.id();
                let Some(row) = row.into_readable() else {
                    overlap.damaged = overlap.damaged.or(Some(id));
                    continue;
                };
                let record = row.record();
                let ends_later = record.expires().at().is_some_and(|end| end > ended_by);
                if record.successor().is_some() && ends_later && self.is_intact(&row)? {
                    overlap.living.push(row);
                }
            }
        }
        Ok(overlap)
    }

    /// Gives the superseded tokens of a line an end in the past. Returns how many it changed.
    ///
    /// `except` is left as it is.
    ///
    /// # Errors
    /// [`ChangeError::DamagedRow`] if a row of the line is damaged. The others are ended first.
    pub(super) async fn end_superseded(
        &self,
        by: &Actor,
        line: &Filter,
        except: Option<TokenId>,
    ) -> Result<u64, ChangeError> {
        let mut count = 0;
        // Reads the line again until one pass found nothing that was changed meanwhile. Otherwise a
        // token that another call superseded or changed during the pass would live on.
        for _ in 0..MAX_TRIES {
            // Also moves an end of the last five minutes: a host whose clock is behind still
            // accepts it.
            let end = issue::ended_everywhere(self.now());
            let overlap = self.overlapping(line, end).await?;
            let mut is_done = true;
            for row in overlap.living {
                if Some(row.record().id()) != except {
                    let replaced = self.end_at(by, &row, end).await?;
                    count += u64::from(replaced == Replaced::Done);
                    is_done &= replaced == Replaced::Done;
                }
            }
            if is_done {
                return match overlap.damaged {
                    Some(id) => Err(ChangeError::DamagedRow(id)),
                    None => Ok(count),
                };
            }
        }
        Err(ChangeError::Conflict)
    }

    /// Gives one superseded token this end. What was issued under its line stays.
    async fn end_at(
        &self,
        by: &Actor,
        row: &ReadableRow,
        end: Timestamp,
    ) -> Result<Replaced, Failed> {
        let ended = SealChange { expires: Some(Expires::At(end)), ..SealChange::default() };
        let new = self.engine.sealer.reseal(self.intact(row)?, ended);
        let now = self.now();
        let view = self.view(&new, now);
        let live = self.live_at(now);
        let replace = Replace { row: new.into(), live, unique_label: false, revokes_derived: None };
        let mut change_event = ChangeEvent::new(|_, is_certain| {
            let (token, change) = (&view, ChangeKind::OverlapEnded);
            self.emit(&Event::Changed { token, change, revoked_derived: false, by, is_certain });
        });
        let is_done = |answer: &Replaced| u64::from(*answer == Replaced::Done);
        change_event.await_store(self.replace(&replace), is_done).await
    }
}
