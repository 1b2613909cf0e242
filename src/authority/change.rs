//! Changing: rename, narrow, extend and rotate a good token.

use super::{By, MAX_TRIES, TokenAuthority};
use crate::access::Access;
use crate::error::{ChangeError, Failed};
use crate::event::{self, ChangeEvent, Event};
use crate::issue::{self, IssuedToken, Rotation};
use crate::record::{Expires, Revocation, Status, TokenRecord};
use crate::seal::{self, WholeRow};
use crate::store::{Certainty, Insert, Inserted, Replace, Replaced, Row, Supersede, TokenStore};
use crate::text::{Label, Reason};
use crate::timestamp::Timestamp;
use crate::token::TokenId;
use crate::view::TokenView;

impl<S: TokenStore> TokenAuthority<S> {
    /// Calls a token by another label.
    ///
    /// # Errors
    /// [`ChangeError`] if the token is unknown or doesn't authenticate any more, or the label is no good or taken.
    pub async fn rename(
        &self,
        by: By<'_>,
        id: TokenId,
        label: impl AsRef<str> + Send,
    ) -> Result<TokenView, ChangeError> {
        let label = Label::new(label)?;
        let renamed = move |_: &TokenRecord, _| {
            Ok(seal::Change { label: Some(label.clone()), ..seal::Change::default() })
        };
        self.change(by, id, event::Change::Renamed, renamed).await
    }

    /// Takes access away from a token, and ends what was issued under its line, which may do more. It can only take away; to take
    /// nothing ends nothing.
    ///
    /// # Errors
    /// [`ChangeError`] if the token is unknown or doesn't authenticate any more, or it would do more than now.
    pub async fn narrow(
        &self,
        by: By<'_>,
        id: TokenId,
        access: Access,
    ) -> Result<TokenView, ChangeError> {
        let narrowed = move |record: &TokenRecord, _| {
            if !self.engine.policy.includes(record.access(), &access) {
                return Err(ChangeError::MoreAccess);
            }
            Ok(seal::Change { access: Some(access.clone()), ..seal::Change::default() })
        };
        self.change(by, id, event::Change::Narrowed, narrowed).await
    }

    /// Moves a token's end, so far as the policy's longest life allows, counted from when it was made. A sooner end also ends what was
    /// issued under it. Never let a token do this by itself.
    ///
    /// # Errors
    /// [`ChangeError`] if the token is unknown, doesn't authenticate any more or was rotated, or the policy doesn't allow the end.
    pub async fn extend(
        &self,
        by: By<'_>,
        id: TokenId,
        end: Expires,
    ) -> Result<TokenView, ChangeError> {
        let extended = move |record: &TokenRecord, now| {
            // Its end is the overlap's. A later one would leave two ways in.
            if record.successor().is_some() {
                return Err(ChangeError::Rotated);
            }
            if record.derived_from().is_some() && end.is_later_than(record.expires()) {
                return Err(ChangeError::Derived);
            }
            let end = issue::within(end, &self.engine.policy, record.created_at(), now)?;
            Ok(seal::Change { expires: Some(end), ..seal::Change::default() })
        };
        self.change(by, id, event::Change::Extended, extended).await
    }

    /// Replaces a token by a new one of the same owner and label, in one step of the store: no crash leaves neither or both. However
    /// many rotate it at once, one new token is good: without an overlap one call succeeds, with one each that succeeds takes the place
    /// of the one before.
    ///
    /// The old one lives on during the overlap, at most until the new one's end. Without an overlap its end is written as five minutes
    /// ago, so that it is over at once on hosts whose clocks are behind, too. As long as the new one is unused then, the old one may
    /// be rotated again, in case the answer was lost: that takes the unused one's place, with the smaller access of both, and its label.
    /// A use on another host counts once that host has written it. What was issued under the old one ends if there is no overlap, or if
    /// the new one has less access or a sooner end. Neither the limit nor a unique label stands in the way.
    ///
    /// # Errors
    /// [`ChangeError`] if the token is unknown, doesn't authenticate any more, was rotated already, or was changed at the same time; and
    /// if the new one would do more, end later or overlap longer than it may.
    pub async fn rotate(
        &self,
        by: By<'_>,
        id: TokenId,
        rotation: Rotation,
    ) -> Result<IssuedToken, ChangeError> {
        let actor = by.actor()?;
        self.refuse_without_flusher()?;
        let (old, replaced, now) = self.rotatable(by, id).await?;
        let last = self.intact(replaced.as_ref().unwrap_or(&old))?.record();
        let old = self.intact(&old)?;
        let (granted, old_ends) = rotation.grant(old.record(), last, &self.engine.policy, now)?;
        // They may do more than the line may from now on, or outlive it.
        let policy = &self.engine.policy;
        let is_less = [old.record(), last]
            .iter()
            .any(|than| issue::is_less(&granted.access, granted.expires, than, policy));
        let superseded = |successor| seal::Change {
            expires: Some(old_ends),
            successor: Some(successor),
            ..seal::Change::default()
        };
        let ended_derived = is_less || old_ends.has_come(now);
        let revocation = Revocation { at: now, reason: Reason::ROTATED, by: actor.clone() };
        let supersede = |successor| Supersede {
            row: self.engine.sealer.reseal(old, superseded(successor)).into(),
            replaces: replaced.clone().map(Row::from),
            ends_derived: ended_derived,
            revocation: revocation.clone(),
        };
        let unbound = |row: Row| Insert {
            supersede: Some(supersede(row.id())),
            row,
            now,
            limit: None,
            unique_label: false,
            under: None,
        };
        let tell = |token: &TokenView, is_certain| {
            let replaced = replaced.as_ref().map(|row| row.record().id());
            let by = &actor;
            self.tell(&Event::Rotated { old: id, replaced, ended_derived, token, by, is_certain });
        };
        let (answer, issued) = self.draw_and_insert(&granted, now, unbound, tell).await?;
        if answer == Inserted::Done { Ok(issued) } else { Err(ChangeError::Conflict) }
    }

    /// A token that can be rotated at the instant given with it, and its unused successor if it was rotated before.
    async fn rotatable(
        &self,
        by: By<'_>,
        id: TokenId,
    ) -> Result<(WholeRow, Option<WholeRow>, Timestamp), ChangeError> {
        let (old, own_use) = self.read(by, id).await?;
        let Some(successor) = old.record().successor() else {
            let now = self.now();
            self.refuse_ended(&old, own_use, now)?;
            return Ok((old, None, now));
        };
        // A use that this process has not written yet must reach the store before it can say that there was none.
        self.flush_usage().await?;
        let found = self.read(by, successor).await;
        let now = self.now();
        self.refuse_ended(&old, own_use, now)?;
        let unused = found.and_then(|(successor, own_use)| {
            self.refuse_ended(&successor, own_use, now)?;
            let record = successor.record();
            let is_unused = record.last_use().is_none() && record.successor().is_none();
            is_unused.then_some(successor).ok_or(ChangeError::Rotated)
        });
        match unused {
            Ok(successor) => Ok((old, Some(successor), now)),
            Err(ChangeError::Failed(failed)) => Err(ChangeError::Failed(failed)),
            Err(_) => Err(ChangeError::Rotated),
        }
    }

    /// Compare-and-swap of a good token's row: what was found intact, and the change.
    async fn change(
        &self,
        by: By<'_>,
        id: TokenId,
        kind: event::Change,
        decide: impl Fn(&TokenRecord, Timestamp) -> Result<seal::Change, ChangeError> + Send,
    ) -> Result<TokenView, ChangeError> {
        let actor = by.actor()?;
        for _ in 0..MAX_TRIES {
            let (old, own_use) = self.read(by, id).await?;
            let now = self.now();
            self.refuse_ended(&old, own_use, now)?;
            let intact = self.intact(&old)?;
            let new = self.engine.sealer.reseal(intact, decide(intact.record(), now)?);
            let (access, expires) = (new.record().access(), new.record().expires());
            let is_less = issue::is_less(access, expires, old.record(), &self.engine.policy);
            let replace = Replace {
                row: new.clone().into(),
                now,
                unique_label: kind == event::Change::Renamed
                    && self.engine.policy.has_unique_labels(),
                // They may do more than the token may now, or outlive it.
                ends_derived: is_less.then(|| Revocation {
                    at: now,
                    reason: Reason::NARROWED,
                    by: actor.clone(),
                }),
            };
            let view = self.view(&new, now);
            let mut change_event = ChangeEvent::new(|_, is_certain| {
                let (token, change, ended_derived, by) = (&view, kind, is_less, &actor);
                self.tell(&Event::Changed { token, change, ended_derived, by, is_certain });
            });
            let is_done = |answer: &Replaced| u64::from(*answer == Replaced::Done);
            let answer = change_event.await_store(self.replace(&replace), is_done).await?;
            drop(change_event);
            match answer {
                Replaced::Done => return Ok(view),
                Replaced::LabelTaken => return Err(ChangeError::LabelTaken),
                Replaced::Stale => {}
            }
        }
        Err(ChangeError::Conflict)
    }

    /// A token's row, and this process's own use of it, for somebody who may see it.
    async fn read(
        &self,
        by: By<'_>,
        id: TokenId,
    ) -> Result<(WholeRow, Option<Timestamp>), ChangeError> {
        let own_use = self.own_use(id);
        let row = self.store.find(id).await?.and_then(Row::into_whole);
        let row = row.filter(|row| by.may_see(row.record().owner())).ok_or(ChangeError::Unknown)?;
        Ok((row, own_use))
    }

    /// Nothing is changed of a token that doesn't authenticate any more.
    fn refuse_ended(
        &self,
        row: &WholeRow,
        own_use: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), ChangeError> {
        match self.status(row, now, own_use)? {
            Status::Active => Ok(()),
            ended => Err(ChangeError::NotActive(ended)),
        }
    }

    /// Replaces a row, and where the store can't say whether it did, looks.
    pub(super) async fn replace(&self, replace: &Replace) -> Result<Replaced, Failed> {
        let lost = match self.store.replace(replace).await {
            Err(error) if error.certainty() == Certainty::Unknown => error,
            answered => return Ok(answered?),
        };
        let found = self.store.find(replace.row.id()).await.ok().flatten();
        let seal = |row: &Row| row.record().and_then(|record| record.seal().copied());
        let is_done = found.as_ref().and_then(seal) == seal(&replace.row);
        if is_done { Ok(Replaced::Done) } else { Err(lost.into()) }
    }
}
