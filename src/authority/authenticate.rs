//! Authenticating: parse, find, compare the digest, check the seal, decide the status.

use super::TokenAuthority;
use crate::digest::Digest;
use crate::error::{AuthError, DenialReason, Denied};
use crate::event::Event;
use crate::policy::Reuse;
use crate::present::{Authenticated, Presented};
use crate::record::{Actor, LastUse, Status};
use crate::row::ReadableRow;
use crate::store::{Filter, Row, TokenStore};
use crate::text::{Owner, Reason, clean_client};
use crate::timestamp::Timestamp;
use crate::token::{ParseError, TokenId};
use crate::usage_log::UseKind;
use crate::view::TokenView;

/// An active token whose secret was presented, before it is admitted or turned away.
pub(crate) struct Verified {
    row: ReadableRow,
    now: Timestamp,
}

impl Verified {
    pub(crate) fn owner(&self) -> &Owner {
        self.row.record().owner()
    }
}

impl<S: TokenStore> TokenAuthority<S> {
    /// Authenticates a presented text. Nothing is written to the store, except that the reuse of a
    /// superseded token may revoke its line ([`Reuse::RevokeFamily`]).
    ///
    /// # Errors
    /// - [`AuthError::NotOurs`] if the text has not the form of our tokens; it may be a password.
    /// - [`AuthError::Denied`] if it has our form and is not a good token.
    /// - [`AuthError::Failed`] if the engine can't tell.
    pub fn authenticate<'p>(
        &self,
        presented: impl Into<Presented<'p>>,
    ) -> impl Future<Output = Result<Authenticated, AuthError>> + Send {
        let presented = presented.into();
        async move {
            let verified = self.verify(&presented).await?;
            Ok(self.admit(verified, &presented))
        }
    }

    /// Authenticates a presented text that must be a token of this owner.
    ///
    /// For HTTP Basic, where a user name accompanies the token.
    ///
    /// # Errors
    /// As for [`TokenAuthority::authenticate`]; another owner's token is denied.
    pub fn authenticate_as<'p>(
        &self,
        owner: &Owner,
        presented: impl Into<Presented<'p>>,
    ) -> impl Future<Output = Result<Authenticated, AuthError>> + Send {
        let presented = presented.into();
        async move {
            let verified = self.verify(&presented).await?;
            if verified.owner() != owner {
                return Err(self.turn_away(&verified, &presented, DenialReason::OtherOwner).into());
            }
            Ok(self.admit(verified, &presented))
        }
    }

    /// Verifies a presented text, in this order: parse, find, digest, revoked, seal, status.
    ///
    /// The caller then looks at the owner and either admits the token or turns it away.
    pub(crate) async fn verify(&self, presented: &Presented<'_>) -> Result<Verified, AuthError> {
        self.refuse_without_flusher()?;
        let deny = |reason, id, view: Option<&TokenView>| {
            AuthError::Denied(self.deny(presented, reason, id, view))
        };
        let prefixes = self.engine.policy.accepted_prefixes();
        let (id, digest) = match Digest::of_presented(presented.text, prefixes) {
            Ok(read) => read,
            Err(ParseError::Checksum) => return Err(deny(DenialReason::Mistyped, None, None)),
            Err(error) => return Err(AuthError::NotOurs(error)),
        };
        let own_use = self.own_use(id);
        let found = self.store.find(id).await?;
        let nothing = if found.is_none() { DenialReason::Unknown } else { DenialReason::Tampered };
        let row = found.and_then(Row::into_readable);
        // Compared even if there is no row, so that the time taken does not tell which ids exist.
        let stored = row.as_ref().map_or(&Digest::OF_NO_TOKEN, |row| row.record().digest());
        let secret_is_right = digest == *stored;
        let Some(row) = row else {
            return Err(deny(nothing, Some(id), None));
        };
        if !secret_is_right {
            return Err(deny(DenialReason::WrongSecret, Some(id), None));
        }
        let now = self.now();
        let status = self.status(&row, now, own_use)?;
        if let Some(reason) = DenialReason::from_status(status) {
            let view = TokenView::new(row.record(), Some(status), None);
            if reason == DenialReason::Superseded {
                self.report_reuse(&view, now).await;
            }
            return Err(deny(reason, Some(id), Some(&view)));
        }
        Ok(Verified { row, now })
    }

    /// Admits a verified token, and notes its use.
    pub(crate) fn admit(&self, verified: Verified, presented: &Presented<'_>) -> Authenticated {
        self.note_use(&verified.row, presented, verified.now);
        Authenticated::new(verified.row)
    }

    /// Denies a verified token because of its owner. Counts as no use.
    pub(crate) fn turn_away(
        &self,
        verified: &Verified,
        presented: &Presented<'_>,
        reason: DenialReason,
    ) -> Denied {
        let view = TokenView::new(verified.row.record(), Some(Status::Active), None);
        self.deny(presented, reason, Some(view.id()), Some(&view))
    }

    /// Makes a denial, and emits its event.
    pub(crate) fn deny(
        &self,
        presented: &Presented<'_>,
        reason: DenialReason,
        id: Option<TokenId>,
        token: Option<&TokenView>,
    ) -> Denied {
        let Presented { address, client, .. } = *presented;
        self.emit(&Event::Denied { id, reason, token, address, client });
        Denied::new(reason, id)
    }

    /// Reports that a superseded token was presented with its right secret.
    ///
    /// Either two parties hold it, or a client missed the rotation.
    async fn report_reuse(&self, token: &TokenView, now: Timestamp) {
        if self.engine.policy.reuse() == Reuse::RevokeFamily {
            let family =
                Filter { revoked: Some(false), ..Filter::of_family(token.owner(), token.family()) };
            // ignored: this token is denied anyway, and its next reuse tries again.
            _ = self.revoke_by(Actor::Engine, &family, Reason::REUSED).await;
        }
        if self.engine.usage.note_reuse(token.id(), now, self.engine.policy.usage_interval()) {
            self.emit(&Event::Reused { token });
        }
    }

    fn note_use(&self, row: &ReadableRow, presented: &Presented<'_>, now: Timestamp) {
        let policy = &self.engine.policy;
        let recorded = presented.client.filter(|_| policy.records_origin());
        let this = || LastUse {
            at: now,
            address: presented.address.filter(|_| policy.records_origin()),
            client: recorded.map(|client| clean_client(client).into()),
        };
        let is_own = self.engine.sealer.has_marked(row);
        let kind = self.engine.usage.note(row, is_own, now, policy.usage_interval(), this);
        if self.engine.observer.is_none() {
            return;
        }
        match kind {
            UseKind::Again | UseKind::InNewInterval => {}
            UseKind::First => {
                let address = presented.address;
                self.emit(&Event::FirstUse { token: &self.view(row, now), address });
            }
            UseKind::NewAddress(address) => {
                self.emit(&Event::NewAddress { token: &self.view(row, now), address });
            }
        }
    }
}
