//! Changes the current token of a line: rename, narrow, extend, rotate.

use super::issue::New;
use super::{MAX_TRIES, TokenAuthority};
use crate::access::Access;
use crate::error::{ChangeError, Failed};
use crate::event::{self, ChangeEvent, Event};
use crate::issue::{self, IssuedToken, Rotation};
use crate::record::{Actor, Lifetime, Revocation, Status, TokenRecord};
use crate::row::ReadableRow;
use crate::seal::SealChange;
use crate::store::{Filter, Replace, Replaced, Row, Supersede, TokenStore};
use crate::text::{Label, Reason};
use crate::timestamp::Timestamp;
use crate::token::TokenId;
use crate::view::TokenView;

impl<S: TokenStore> TokenAuthority<S> {
    /// Gives a token another label.
    ///
    /// # Errors
    /// [`ChangeError`] if the token is unknown, not active or rotated, or if the label is not valid
    /// or taken.
    #[doc(alias("label", "update"))]
    pub async fn rename(
        &self,
        by: impl Into<Actor>,
        id: TokenId,
        label: impl AsRef<str> + Send,
    ) -> Result<TokenView, ChangeError> {
        let label = Label::new(label)?;
        let renamed = move |_: &TokenRecord, _| {
            Ok(SealChange { label: Some(label.clone()), ..SealChange::default() })
        };
        self.change(by.into(), id, event::ChangeKind::Renamed, renamed).await
    }

    /// Takes access away from a token, and revokes what was issued under its line.
    ///
    /// The given access is what remains. If that is all the token had, nothing is revoked.
    ///
    /// # Errors
    /// - [`ChangeError`] if the token is unknown, not active or rotated, or if it would do more
    ///   than now.
    /// - [`ChangeError::Overlapping`] while a superseded token of its line lives, which would keep
    ///   what is taken away. Call [`end_overlap`](Self::end_overlap) first.
    /// - [`ChangeError::DamagedRow`] while another row of its line is damaged.
    #[doc(alias("restrict", "downgrade"))]
    pub async fn narrow(
        &self,
        by: impl Into<Actor>,
        id: TokenId,
        access: Access,
    ) -> Result<TokenView, ChangeError> {
        let narrowed = move |record: &TokenRecord, _| {
            if !self.engine.policy.includes(record.access(), &access) {
                return Err(ChangeError::MoreAccess);
            }
            Ok(SealChange { access: Some(access.clone()), ..SealChange::default() })
        };
        self.change(by.into(), id, event::ChangeKind::Narrowed, narrowed).await
    }

    /// Moves the end of a token, to a later or an earlier instant, by a `Duration` from now, an
    /// instant, or never. An earlier end also revokes what was issued under its line.
    ///
    /// The policy's maximum life counts from when the token was created. Don't let a token do this
    /// for itself: ask a person.
    ///
    /// # Errors
    /// - [`ChangeError`] if the token is unknown, not active or rotated, or if the policy does not
    ///   allow the end.
    /// - [`ChangeError::Derived`] if the end is later and the token was issued under another.
    /// - [`ChangeError::Overlapping`] if the end is earlier and a superseded token of its line
    ///   lives. Call [`end_overlap`](Self::end_overlap) first.
    /// - [`ChangeError::DamagedRow`] if the end is earlier and another row of its line is damaged.
    #[doc(alias("renew", "prolong"))]
    pub async fn extend(
        &self,
        by: impl Into<Actor>,
        id: TokenId,
        life: impl Into<Lifetime>,
    ) -> Result<TokenView, ChangeError> {
        let life = life.into();
        let extended = move |record: &TokenRecord, now| {
            let created_at = record.created_at();
            let end = issue::extended(life, record, &self.engine.policy, created_at, now)?;
            Ok(SealChange { expires: Some(end), ..SealChange::default() })
        };
        self.change(by.into(), id, event::ChangeKind::Extended, extended).await
    }

    /// Replaces a token by a new one with the same owner and label.
    ///
    /// Atomic: after a crash the rotation was made in full or not at all. Under concurrent calls
    /// only one new token stays valid. Without an overlap, one call succeeds. With an overlap, each
    /// call that succeeds replaces the unused token of the one before.
    ///
    /// The old token lives on during the overlap, but not beyond its own end or the new token's.
    /// Without an overlap its end is set to five minutes ago, so that hosts whose clocks are behind
    /// also deny it at once. A new token with less access has no overlap.
    ///
    /// At most one superseded token of a line lives. If the overlap of an earlier rotation still
    /// runs, it is ended first. If the rotation then fails, that overlap stays ended.
    ///
    /// While the new token is unused and the overlap runs, the old one may be rotated again, in
    /// case the answer was lost. The unused token is then revoked. The newest takes its place, with
    /// its label and the smaller access of both. A use on another host counts once that host has
    /// written it.
    ///
    /// What was issued under the line is revoked if there is no overlap. It is also revoked if the
    /// new token has less access or an earlier end. The owner's limit and unique labels do not
    /// apply.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use app_tokens::{Access, NewToken, Owner, Rotation, TokenAuthority};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let tokens = TokenAuthority::in_memory("acme")?;
    /// let owner = Owner::new("alice")?;
    /// let old = tokens.issue(NewToken::new(&owner, "Backup", Access::full())).await?;
    /// let an_hour = Rotation::new().overlap(Duration::from_secs(3600));
    /// let new = tokens.rotate(&owner, old.id(), an_hour).await?;
    /// assert!(tokens.authenticate(old.expose_secret()).await.is_ok(), "for an hour");
    /// assert_eq!(new.view().family(), old.id());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// - [`ChangeError::Rotated`] if the token was rotated already, as by a second click. It names
    ///   the current token. With a running overlap, only if the new token can't be replaced.
    /// - [`ChangeError`] if the token is unknown, not active, or changed by another call.
    /// - Also if the new token would do more, or if its end or the overlap is not allowed.
    /// - [`ChangeError::DamagedRow`] if another row of its line is damaged.
    #[doc(alias("regenerate", "refresh", "renew", "replace"))]
    pub async fn rotate(
        &self,
        by: impl Into<Actor>,
        id: TokenId,
        rotation: Rotation,
    ) -> Result<IssuedToken, ChangeError> {
        let by = by.into();
        self.refuse_without_upkeep()?;
        let (old, replaced, now) = self.rotatable(&by, id).await?;
        let last = self.intact(replaced.as_ref().unwrap_or(&old))?.record();
        let old = self.intact(&old)?;
        let policy = &self.engine.policy;
        let (granted, old_ends) = rotation.grant(old.record(), last, policy, now)?;
        let is_less =
            issue::is_less(&granted.access, granted.expires, &[old.record(), last], policy);
        let revoked_derived = is_less || old_ends.has_come(now);
        let superseded = |successor| SealChange {
            expires: Some(old_ends),
            successor: Some(successor),
            ..SealChange::default()
        };
        let revocation = Revocation { at: now, reason: Reason::ROTATED, by: by.clone() };
        let supersede = |row: Row| {
            New::Supersede(Supersede {
                superseded: self.engine.sealer.reseal(old, superseded(row.id())).into(),
                row,
                replaces: replaced.clone().map(Row::from),
                revokes_derived: revoked_derived,
                revocation: revocation.clone(),
            })
        };
        let emit = |token: &TokenView, is_certain| {
            let replaced = replaced.as_ref().map(|row| row.record().id());
            let by = &by;
            self.emit(&Event::Rotated {
                old: id,
                replaced,
                revoked_derived,
                token,
                by,
                is_certain,
            });
        };
        // A step of its own, before the rotation: if the rotation then fails, the overlap is
        // shorter. The other order could leave two superseded tokens that live. The first token of
        // a line has none before it.
        if old.record().family() != id {
            let line = Filter::of_family(old.record().owner(), old.record().family());
            self.end_superseded(&by, &line, Some(id)).await?;
        }
        let inserted = self.draw_and_insert(&granted, now, supersede, emit).await?;
        // Only `Stale` can come back: a rotation names no limit and no unique label to refuse it
        // for.
        inserted.map_err(|_| ChangeError::Conflict)
    }

    /// Reads a token that can be rotated, and its unused successor if it was rotated before.
    ///
    /// Both are active at the instant in the answer.
    async fn rotatable(
        &self,
        by: &Actor,
        id: TokenId,
    ) -> Result<(ReadableRow, Option<ReadableRow>, Timestamp), ChangeError> {
        let (old, own_use) = self.read(by, id).await?;
        let Some(successor) = old.record().successor() else {
            let now = self.now();
            self.refuse_ended(&old, own_use, now)?;
            return Ok((old, None, now));
        };
        // The store decides whether the successor is unused, so it must know this process's uses
        // first.
        self.flush_usage().await?;
        let found = self.read(by, successor).await;
        let now = self.now();
        let unused = self.refuse_ended(&old, own_use, now).and(found);
        let unused = unused.and_then(|(successor, own_use)| {
            self.refuse_ended(&successor, own_use, now)?;
            Ok(successor.record().is_unused().then_some(successor))
        });
        match unused {
            Ok(Some(successor)) => Ok((old, Some(successor), now)),
            Err(ChangeError::Failed(failed)) => Err(ChangeError::Failed(failed)),
            // Whatever became of the overlap and of the successor, this token was rotated and can't
            // be rotated again. A second click on "rotate" ends here, and is to find the new one.
            Ok(None) | Err(_) => Err(self.superseded(&old, successor, own_use, now).await?),
        }
    }

    /// Changes the current token of a line by compare-and-swap, and tries again if another call was
    /// faster.
    ///
    /// `decide` is asked anew for each try, because the other call may have changed what it rests
    /// on.
    async fn change(
        &self,
        by: Actor,
        id: TokenId,
        kind: event::ChangeKind,
        decide: impl Fn(&TokenRecord, Timestamp) -> Result<SealChange, ChangeError> + Send,
    ) -> Result<TokenView, ChangeError> {
        let policy = &self.engine.policy;
        for _ in 0..MAX_TRIES {
            let (old, own_use) = self.read(&by, id).await?;
            let now = self.now();
            self.refuse_superseded(&old, own_use, now).await?;
            self.refuse_ended(&old, own_use, now)?;
            let intact = self.intact(&old)?;
            let new = self.engine.sealer.reseal(intact, decide(intact.record(), now)?);
            let (access, expires) = (new.record().access(), new.record().expires());
            let revoked_derived = issue::is_less(access, expires, &[old.record()], policy);
            // Looked up apart from the replacement below. A rotation in between would change the
            // row that is replaced, and the replacement would then be stale.
            if revoked_derived {
                self.refuse_overlapping(&old, now).await?;
            }
            let revocation = || Revocation { at: now, reason: Reason::NARROWED, by: by.clone() };
            let replace = Replace {
                row: new.clone().into(),
                live: self.live_at(now),
                unique_label: kind == event::ChangeKind::Renamed && policy.has_unique_labels(),
                revokes_derived: revoked_derived.then(revocation),
            };
            let view = self.view(&new, now);
            let mut change_event = ChangeEvent::new(|_, is_certain| {
                let (token, change, by) = (&view, kind, &by);
                self.emit(&Event::Changed { token, change, revoked_derived, by, is_certain });
            });
            let is_done = |answer: &Replaced| u64::from(*answer == Replaced::Done);
            let answer = change_event.await_store(self.replace(&replace), is_done).await?;
            // Emitted here, before the next try and before `view` is handed out.
            drop(change_event);
            match answer {
                Replaced::Done => return Ok(view),
                Replaced::LabelTaken => return Err(ChangeError::LabelTaken),
                Replaced::Stale => {}
            }
        }
        Err(ChangeError::Conflict)
    }

    /// Reads a token's row and this process's own use of it, if the actor may see the token.
    pub(super) async fn read(
        &self,
        by: &Actor,
        id: TokenId,
    ) -> Result<(ReadableRow, Option<Timestamp>), ChangeError> {
        let own_use = self.own_use(id);
        let row = self.store.find(id).await?.and_then(Row::into_readable);
        let row = row.filter(|row| by.may_see(Some(row.record().owner())));
        let row = row.ok_or(ChangeError::Unknown)?;
        Ok((row, own_use))
    }

    /// Refuses a superseded token, whether or not its overlap still runs.
    ///
    /// A later end for it, for instance, would leave two ways in.
    pub(super) async fn refuse_superseded(
        &self,
        row: &ReadableRow,
        own_use: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), ChangeError> {
        match row.record().successor() {
            Some(successor) => Err(self.superseded(row, successor, own_use, now).await?),
            None => Ok(()),
        }
    }

    /// Says why a superseded token can't be changed, and names the current token of its line.
    ///
    /// That is left out if the row is revoked or tampered with, as its successor is then unproven.
    async fn superseded(
        &self,
        row: &ReadableRow,
        successor: TokenId,
        own_use: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<ChangeError, Failed> {
        match self.status(row, now, own_use)? {
            ended @ (Status::Revoked | Status::Tampered) => Ok(ChangeError::NotActive(ended)),
            Status::Active | Status::Idle | Status::Expired | Status::Superseded => {
                let current = self.current_of(row.record(), successor).await?;
                Ok(ChangeError::Rotated { current })
            }
        }
    }

    /// Refuses a change that takes something away while a superseded token of the line lives, or
    /// may live once its damaged row is repaired.
    ///
    /// That token has the access and end from before, and its holder would keep them.
    async fn refuse_overlapping(
        &self,
        row: &ReadableRow,
        now: Timestamp,
    ) -> Result<(), ChangeError> {
        let line = Filter::of_family(row.record().owner(), row.record().family());
        // Also one whose end has just come: a host whose clock is behind still accepts it.
        let overlap = self.overlapping(&line, issue::ended_everywhere(now)).await?;
        // Before what lives: to end the overlap needs the damaged row to be repaired or revoked.
        if let Some(id) = overlap.damaged {
            return Err(ChangeError::DamagedRow(id));
        }
        // If the row itself is among them, it was rotated meanwhile. The replacement is then stale,
        // and the next try names the current token.
        let living = overlap.living.iter().map(ReadableRow::record);
        let others = living.filter(|other| other.id() != row.record().id());
        match others.filter_map(|other| other.expires().at()).max() {
            Some(until) => Err(ChangeError::Overlapping { until }),
            None => Ok(()),
        }
    }

    /// Refuses a token that is not active at `now`.
    pub(super) fn refuse_ended(
        &self,
        row: &ReadableRow,
        own_use: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), ChangeError> {
        match self.status(row, now, own_use)? {
            Status::Active => Ok(()),
            ended => Err(ChangeError::NotActive(ended)),
        }
    }
}
