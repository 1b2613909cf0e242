//! Authenticating: parse, find, compare, check the seal, decide the status.

use super::TokenAuthority;
use crate::digest::Digest;
use crate::error::{AuthError, DenialReason, Denied};
use crate::event::Event;
use crate::policy::Reuse;
use crate::present::{Authenticated, Presented};
use crate::record::{Actor, LastUse, Status};
use crate::seal::WholeRow;
use crate::store::{Filter, Row, TokenStore};
use crate::text::{Owner, Reason};
use crate::timestamp::Timestamp;
use crate::token::{ParseError, TokenId};
use crate::usage_log::UseKind;
use crate::view::TokenView;

impl<S: TokenStore> TokenAuthority<S> {
    /// Whether a presented text is a good token. Nothing is written.
    ///
    /// # Errors
    /// [`AuthError::NotOurs`] for a text without our form, which may be a password; [`AuthError::Denied`] for a token that is no
    /// good; [`AuthError::Failed`] where it can't be told.
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

    /// The same, and the token must be this owner's: for HTTP Basic, where a user name stands beside it.
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

    /// The way of every presented text: parse, find, compare, revoked?, seal, the rest of the status. Whoever asks for it admits the
    /// token or turns it away, after a look at its owner.
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
        // Before the row: a flush in between moves a use from here to there, and it must be seen in one of the two.
        let own_use = self.own_use(id);
        let found = self.store.find(id).await?;
        let nothing = if found.is_none() { DenialReason::Unknown } else { DenialReason::Tampered };
        let row = found.and_then(Row::into_whole);
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
                self.reused(&view, now).await;
            }
            return Err(deny(reason, Some(id), Some(&view)));
        }
        Ok(Verified { row, now })
    }

    /// Lets a good token in, and notes its use.
    pub(crate) fn admit(&self, verified: Verified, presented: &Presented<'_>) -> Authenticated {
        self.note_use(&verified.row, presented, verified.now);
        Authenticated::new(verified.row)
    }

    /// Denies a good token for its owner's sake.
    pub(crate) fn turn_away(
        &self,
        verified: &Verified,
        presented: &Presented<'_>,
        reason: DenialReason,
    ) -> Denied {
        let view = TokenView::new(verified.row.record(), Some(Status::Active), None);
        self.deny(presented, reason, Some(view.id()), Some(&view))
    }

    /// Every denial is told.
    pub(crate) fn deny(
        &self,
        presented: &Presented<'_>,
        reason: DenialReason,
        id: Option<TokenId>,
        token: Option<&TokenView>,
    ) -> Denied {
        let Presented { address, client, .. } = *presented;
        self.tell(&Event::Denied { id, reason, token, address, client });
        Denied::new(reason, id)
    }

    /// A superseded token was presented with its right secret: two hold it, or a client missed the rotation. It is denied whatever
    /// comes of this; a revocation that failed is tried again when it is presented the next time.
    async fn reused(&self, token: &TokenView, now: Timestamp) {
        if self.engine.policy.reuse() == Reuse::RevokeFamily {
            let family =
                Filter { revoked: Some(false), ..Filter::of_family(token.owner(), token.family()) };
            let _failed_or_done_it_is_denied =
                self.end(Actor::Engine, &family, Reason::REUSED).await;
        }
        if self.engine.usage.note_reuse(token.id(), now, self.engine.policy.usage_interval()) {
            self.tell(&Event::Reused { token });
        }
    }

    fn note_use(&self, row: &WholeRow, presented: &Presented<'_>, now: Timestamp) {
        let policy = &self.engine.policy;
        let this = || LastUse {
            at: now,
            address: presented.address.filter(|_| policy.records_origin()),
            client: presented.client.filter(|_| policy.records_origin()).map(clean_client),
        };
        let is_own = self.engine.sealer.has_marked(row);
        let noted = self.engine.usage.note(row, is_own, now, policy.usage_interval(), this);
        if self.engine.observer.is_none() {
            return;
        }
        match noted {
            UseKind::Again | UseKind::InNewInterval => {}
            UseKind::First => {
                let address = presented.address;
                self.tell(&Event::FirstUse { token: &self.view(row, now), address });
            }
            UseKind::NewAddress(address) => {
                self.tell(&Event::NewAddress { token: &self.view(row, now), address });
            }
        }
    }
}

/// A token that is good, and not let in yet.
pub(crate) struct Verified {
    row: WholeRow,
    now: Timestamp,
}

impl Verified {
    pub(crate) fn owner(&self) -> &Owner {
        self.row.record().owner()
    }
}

/// A program's name for itself, cut to 200 characters and without control characters: it comes from outside and is shown in lists.
fn clean_client(client: &str) -> Box<str> {
    client.chars().filter(|c| !c.is_control()).take(200).collect::<String>().into()
}
