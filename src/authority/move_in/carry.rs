//! What a later file changes of a token that is here: a revocation or a use. For rotations, see
//! `supersede.rs`.

use super::line::was_replaced;
use super::outcome::{OtherRows, Outcome};
use super::row::at_most;
use crate::authority::TokenAuthority;
use crate::error::Failed;
use crate::record::{Actor, Revocation, TokenRecord};
use crate::store::{Filter, Row, TokenStore};
use crate::timestamp::Timestamp;
use crate::transfer::KeptAsIs;

impl<S: TokenStore> TokenAuthority<S> {
    /// Carries over to a row that is here what can't be undone: a revocation, a rotation, a use.
    ///
    /// `None` if the row changed meanwhile.
    pub(super) async fn carry_over(
        &self,
        record: &TokenRecord,
        row: Row,
        others: OtherRows<'_>,
        by: &Actor,
        now: Timestamp,
    ) -> Result<Option<Outcome>, Failed> {
        let is_revoked = row.is_revoked();
        let Some(row) = row.into_readable() else {
            let outcome =
                if is_revoked { Outcome::AlreadyThere } else { Outcome::Kept(KeptAsIs::Damaged) };
            return Ok(Some(outcome));
        };
        let here = row.record();
        // By the digest, too: an id is public, and nobody may revoke a token by it alone.
        if here.digest() != record.digest() || here.owner() != record.owner() {
            return Ok(Some(Outcome::Kept(KeptAsIs::OtherToken)));
        }
        if let Some(revocation) = here.revocation() {
            return self.stay_revoked(record, here, revocation, others, by, now).await.map(Some);
        }
        if let Some(revocation) = record.revocation() {
            if record.successor().is_some() || was_replaced(record) {
                if record.successor().or(here.successor()).is_none() {
                    return self.replace_as_there(record, Some(false), by, now).await;
                }
                return self.revoke_alone_as_there(record, &row, revocation, others, by, now).await;
            }
            let line = Filter::of_family(here.owner(), here.family());
            self.revoke_as_there(&line, revocation, by, now).await?;
            return Ok(Some(Outcome::RevokedNow));
        }
        if let Some(last_use) = record.last_use()
            && here.last_use().is_none_or(|known| known.at < last_use.at)
        {
            let last_use = self.use_for_here(last_use.clone(), now);
            self.store.touch(&[(record.id(), last_use)], now).await?;
        }
        match (record.successor(), here.successor()) {
            (Some(one), Some(other)) if one != other => {
                if !others.whole_file_was_read {
                    return Ok(Some(Outcome::Later));
                }
                if self.was_replaced_here(other).await? {
                    return self.supersede_as_there(record, &row, one, others, by, now).await;
                }
                if !self.was_replaced_here(one).await? {
                    return Ok(Some(Outcome::Kept(KeptAsIs::RotatedOnBoth)));
                }
            }
            (Some(one), other) => {
                let is_sooner = here.expires().is_later_than(record.expires());
                if other.is_none() || is_sooner {
                    return self.supersede_as_there(record, &row, one, others, by, now).await;
                }
            }
            (None, _) => {}
        }
        let may_do_more = match (record.successor(), here.successor()) {
            (_, None) => self.may_do_more(here, record),
            // Rotated here alone: its current token may still do what the source took away.
            (None, Some(successor)) => {
                let current = self.store.find(self.current_of(here, successor).await?).await?;
                let current = current.as_ref().and_then(Row::record);
                current.is_some_and(|current| self.may_do_more(current, record))
            }
            // The source ended its overlap. Here it has another one.
            (Some(_), Some(_)) => {
                here.expires().is_later_than(record.expires()) && !here.expires().has_come(now)
            }
        };
        let outcome =
            if may_do_more { Outcome::Kept(KeptAsIs::MayDoMore) } else { Outcome::AlreadyThere };
        Ok(Some(outcome))
    }

    /// Decides what to report of a row that is revoked here. It stays revoked.
    async fn stay_revoked(
        &self,
        record: &TokenRecord,
        here: &TokenRecord,
        revocation: &Revocation,
        others: OtherRows<'_>,
        by: &Actor,
        now: Timestamp,
    ) -> Result<Outcome, Failed> {
        let is_as_there =
            record.revocation().is_some_and(|there| at_most(there.clone(), now) == *revocation);
        if is_as_there {
            return Ok(Outcome::RevokedThere);
        }
        if record.revocation().is_none() && was_replaced(here) {
            return self.stay_replaced(record, others, by, now).await;
        }
        if record.revocation().is_none() && here.successor().is_none() {
            let line = (here.owner().clone(), here.family(), revocation.reason.clone());
            return Ok(Outcome::RevokedHere(line));
        }
        // It was revoked alone here, and what it was rotated to here may live.
        if let Some(successor) = record.successor()
            && !self.rotated_here_alone(record, here).await?.is_empty()
        {
            if !others.whole_file_was_read {
                return Ok(Outcome::Later);
            }
            if !self.was_replaced_here(successor).await? {
                return Ok(Outcome::Kept(KeptAsIs::RotatedOnBoth));
            }
        }
        Ok(Outcome::AlreadyThere)
    }

    /// Decides what to report of a token that a second rotation replaced here, and that is good
    /// there. It stays revoked.
    ///
    /// That is reported if the token was used there, or if nothing of its line lives here any more
    /// although nobody revoked the line.
    async fn stay_replaced(
        &self,
        record: &TokenRecord,
        others: OtherRows<'_>,
        by: &Actor,
        now: Timestamp,
    ) -> Result<Outcome, Failed> {
        if !record.is_unused() {
            return Ok(Outcome::Kept(KeptAsIs::RotatedOnBoth));
        }
        if !others.whole_file_was_read {
            return Ok(Outcome::Later);
        }
        let line = self.line_here(record, others.revoked_as_there, by, now).await?;
        if line.living.is_some() || line.revocation.is_some() {
            return Ok(Outcome::AlreadyThere);
        }
        Ok(Outcome::Kept(KeptAsIs::RotatedOnBoth))
    }

    /// Returns whether a token may do more than the file says, or ends later.
    fn may_do_more(&self, here: &TokenRecord, record: &TokenRecord) -> bool {
        !self.engine.policy.includes(record.access(), here.access())
            || here.expires().is_later_than(record.expires())
    }
}
