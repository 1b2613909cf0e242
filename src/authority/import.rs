//! Imports tokens of another system.

use super::{MAX_TRIES, TokenAuthority};
use crate::attributes::Attributes;
use crate::authority::issue::{New, unasked};
use crate::error::{Failed, IssueError};
use crate::event::{ChangeEvent, Event};
use crate::import::{ForeignToken, Import, Imported};
use crate::issue::allowed_today;
use crate::key::SealingKey;
use crate::record::{Actor, ImportMark, LastUse, RecordParts, Status, TokenRecord};
use crate::store::{Filter, Insert, Inserted, TokenStore};
use crate::text::{InvalidText, Operator};
use crate::timestamp::Timestamp;
use crate::token::TokenId;
use crate::view::TokenView;

impl<S: TokenStore> TokenAuthority<S> {
    /// Imports a live token of another system.
    ///
    /// It changes nothing if the token is there already, live or ended: so an import may be stopped
    /// and run again. The policy's limits of tokens per owner and of labels don't apply. An end
    /// that today's policy would not allow becomes the latest one that it allows.
    ///
    /// A token whose text the old system hashed anew is another one here. See [what holds
    /// then](crate::import#if-the-old-system-hashes-a-text-anew).
    ///
    /// # Errors
    /// - [`IssueError::Invalid`] if the owner or the label is not valid, or if the attributes leave
    ///   no room for one more.
    /// - [`IssueError::Failed`] if the store fails, or if the ring has no `import` key. Also if
    ///   tokens were imported under another one before: their ids are unknown under this one, so
    ///   those that were revoked would come back.
    pub async fn import(
        &self,
        operator: &Operator,
        import: &Import,
        token: ForeignToken,
    ) -> Result<Imported, IssueError> {
        self.refuse_without_upkeep()?;
        self.refuse_with_missing_keys().await?;
        let scheme = token.secret.scheme();
        let lookup = token.secret.lookup();
        let places = self.places()?;
        self.refuse_other_import_key(&places).await?;
        let candidates = 0..import.candidates(lookup);
        let ids: Vec<_> =
            candidates.map(|number| (number, places.id(scheme, lookup, number))).collect();
        let mark = places.mark(scheme, &token.secret.distinct());
        let now = self.now();
        let parts = self.imported_parts(&token, operator, mark, now)?;
        for _ in 0..MAX_TRIES {
            let (candidate, place) = match self.find_place(&ids, mark).await? {
                Ok(place) => place,
                Err(outcome) => return Ok(outcome),
            };
            // After the place was found free: `forget` leaves a tombstone before it deletes a row.
            if let Some(outcome) = self.find_tombstone(mark).await? {
                return Ok(outcome);
            }
            let row = self.engine.sealer.seal_new(RecordParts {
                id: place,
                family: place,
                attributes: marked(&token, ImportMark { candidate, ..mark })?,
                ..parts.clone()
            });
            let view = TokenView::new(row.record(), Some(Status::Active), None);
            let insert = New::Insert(Insert {
                row: row.into(),
                live: self.live_at(now),
                limit: None,
                unique_label: false,
                under: None,
            });
            let by = Actor::from(operator);
            let mut change_event = ChangeEvent::new(|_, is_certain| {
                self.emit(&Event::Imported { token: &view, by: &by, is_certain });
            });
            let is_done = |answer: &Inserted| u64::from(*answer == Inserted::Done);
            let inserted = change_event.await_store(self.put(&insert), is_done).await?;
            // Emitted here, before what follows.
            drop(change_event);
            match inserted {
                Inserted::Done => {
                    // Another run may have imported it after the look above, and an owner may have
                    // forgotten that row before this insert.
                    let Some(outcome) = self.find_tombstone(mark).await? else {
                        return Ok(Imported::Done(place));
                    };
                    self.forget_by(by, Filter::of_id(place)).await?;
                    return Ok(outcome);
                }
                // Another run took the place, perhaps for this very token.
                Inserted::IdTaken => {}
                refusal => return Err(Failed::from(unasked(refusal)).into()),
            }
        }
        Err(Failed::NoFreeId.into())
    }

    /// Finds the first free place for a token, and its number, unless the token is there already.
    async fn find_place(
        &self,
        ids: &[(u32, TokenId)],
        mark: ImportMark<'_>,
    ) -> Result<Result<(u32, TokenId), Imported>, Failed> {
        let mut free = None;
        // All are looked at, also behind a free one: `forget` may have freed that.
        for (number, id) in ids.iter().copied() {
            match self.store.find(id).await? {
                None => free = free.or(Some((number, id))),
                Some(row) => match row.record() {
                    Some(record) if is_of(record, mark) => {
                        return Ok(Err(Imported::AlreadyThere(id)));
                    }
                    Some(_) => {}
                    // It may be this very token, revoked.
                    None => return Ok(Err(Imported::DamagedRow(id))),
                },
            }
        }
        Ok(free.ok_or(Imported::TooManyCandidates))
    }

    /// Finds what `forget` left of a token; `None` if it was not forgotten.
    async fn find_tombstone(&self, mark: ImportMark<'_>) -> Result<Option<Imported>, Failed> {
        let Some(row) = self.store.find(mark.tombstone_id()).await? else { return Ok(None) };
        Ok(match row.record() {
            Some(left) if is_of(left, mark) => Some(Imported::Forgotten),
            Some(_) => None,
            None => Some(Imported::DamagedRow(row.id())),
        })
    }

    /// Checks what is to be imported, and returns its record but for the place.
    fn imported_parts(
        &self,
        token: &ForeignToken,
        operator: &Operator,
        mark: ImportMark<'_>,
        now: Timestamp,
    ) -> Result<RecordParts, IssueError> {
        let created_at = token.created_at.map_or(now, |at| at.min(now));
        Ok(RecordParts {
            id: TokenId::MAX,
            digest: token.secret.digest(self.active_key()),
            owner: token.owner.clone()?,
            label: token.label.clone()?,
            access: token.access.clone(),
            attributes: marked(token, mark)?,
            issued_by: Some(operator.clone()),
            created_at,
            expires: allowed_today(token.expires, &self.engine.policy, now),
            family: TokenId::MAX,
            successor: None,
            derived_from: None,
            revocation: None,
            last_use: self.last_use_of(token, now),
            revision: 0,
            key_id: self.active_key().id(),
            seal: None,
        })
    }

    /// Returns the last use in the old system.
    ///
    /// Under an idle time-out a token whose last use is not known counts as used now. Otherwise it
    /// would be idle at its arrival.
    fn last_use_of(&self, token: &ForeignToken, now: Timestamp) -> Option<LastUse> {
        let at_arrival = LastUse { at: now, address: None, client: None };
        let needs_one = self.engine.policy.idle_timeout().is_some();
        token.last_use(now).or(needs_one.then_some(at_arrival))
    }

    pub(super) fn active_key(&self) -> &SealingKey {
        self.engine.sealer.ring().active()
    }
}

/// Returns the attributes of a token with what the import writes.
fn marked(token: &ForeignToken, mark: ImportMark<'_>) -> Result<Attributes, InvalidText> {
    token.attributes.clone().with(ImportMark::ATTRIBUTE, mark.to_string())
}

/// Returns whether a row was imported from the token with this mark.
fn is_of(record: &TokenRecord, mark: ImportMark<'_>) -> bool {
    record.import_mark().is_some_and(|there| there.is_of_same_token(mark))
}
