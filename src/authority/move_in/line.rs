//! Which lines of rotations were revoked here.

use std::collections::HashSet;

use crate::authority::{TokenAuthority, WALK_PAGE};
use crate::error::Failed;
use crate::record::{Actor, Revocation, TokenRecord};
use crate::store::{Filter, Page, Row, TokenStore};
use crate::text::Reason;
use crate::timestamp::Timestamp;
use crate::token::TokenId;

/// What is here of the line of a new token, or of the line that it was issued under.
#[derive(Default)]
pub(super) struct LineHere {
    /// A revocation that reaches the new token.
    pub(super) revocation: Option<Revocation>,
    /// A token that lives, which any revocation of the line would change.
    pub(super) living: Option<Row>,
}

impl<S: TokenStore> TokenAuthority<S> {
    /// Finds out whether the line of a new token was revoked here.
    ///
    /// A line counts as revoked if its current token is, or if all its tokens are. What the source
    /// revoked itself does not count: it left the new token good. Nor does an unused token that a
    /// second rotation replaced.
    pub(super) async fn line_here(
        &self,
        record: &TokenRecord,
        revoked_there: &HashSet<TokenId>,
        by: &Actor,
        now: Timestamp,
    ) -> Result<LineHere, Failed> {
        let mut found = LineHere::default();
        if record.revocation().is_some() || !is_of_a_line(record) {
            return Ok(found);
        }
        let own = Some(record.family()).filter(|family| *family != record.id());
        let parent = record.derived_from().filter(|family| Some(*family) != own);
        for family in own.into_iter().chain(parent) {
            let line = Filter::of_family(record.owner(), family);
            let (mut of_current, mut of_any, mut lives) = (None, None, false);
            let mut page = Some(Page::first(WALK_PAGE));
            while let Some(rows) = self.next_page(&line, &mut page).await? {
                let others = rows.iter().filter(|row| row.id() != record.id());
                for row in others.filter(|row| !revoked_there.contains(&row.id())) {
                    if !row.is_revoked() {
                        lives = true;
                        // No insert can name a row of the highest revision.
                        let can_be_named = |here: &&TokenRecord| here.is_current_for(here);
                        let living = row.record().filter(can_be_named).map(|_| row.clone());
                        // Of its own line if possible: a revocation of the other reaches it, too.
                        found.living = found.living.or(living);
                    } else if let Some(here) = row.record() {
                        let known = || here.revocation().filter(|_| !was_replaced(here)).cloned();
                        if here.successor().is_none() {
                            of_current = of_current.or_else(known);
                        }
                        of_any = of_any.or_else(known);
                    } else {
                        let (at, reason) = (row.revoked_at().unwrap_or(now), Reason::REQUESTED);
                        of_any = of_any.or(Some(Revocation { at, reason, by: by.clone() }));
                    }
                }
            }
            found.revocation = of_current.or(of_any.filter(|_| !lives));
            if found.revocation.is_some() {
                return Ok(found);
            }
        }
        Ok(found)
    }

    /// Returns whether a row here is of an unused token that a second rotation replaced.
    pub(super) async fn was_replaced_here(&self, id: TokenId) -> Result<bool, Failed> {
        let row = self.store.find(id).await?;
        Ok(row.as_ref().and_then(Row::record).is_some_and(was_replaced))
    }
}

/// Returns whether a token was rotated from another, or issued under one.
pub(super) fn is_of_a_line(record: &TokenRecord) -> bool {
    record.family() != record.id() || record.derived_from().is_some()
}

/// Returns whether a record is of a rotated line's current token that was revoked. The line was
/// then revoked with it.
pub(super) fn was_current(record: &TokenRecord) -> bool {
    record.revocation().is_some()
        && record.successor().is_none()
        && record.family() != record.id()
        && !was_replaced(record)
}

/// Returns whether a record is of a token whose revocation means it alone. A second rotation
/// replaced it unused, or a move ended it because only one host had rotated to it.
///
/// A rotation also revokes what was issued under its line, with the same reason. So a token that
/// was issued under another never counts as replaced: its whole line may be meant.
pub(super) fn was_replaced(record: &TokenRecord) -> bool {
    record.revocation().is_some_and(|revocation| revocation.reason == Reason::ROTATED)
        && record.family() != record.id()
        && record.derived_from().is_none()
}
