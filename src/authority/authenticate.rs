//! Authenticates: parses the text, finds the row, compares the digest, checks the seal, decides the
//! status.

use super::TokenAuthority;
use crate::error::{AuthError, DenialReason, Denied, Failed};
use crate::event::Event;
use crate::policy::Reuse;
use crate::present::{Authenticated, Origin, Presented, Unmatched};
use crate::record::{Actor, Status, StatusUnclear};
use crate::row::ReadableRow;
use crate::store::{Filter, Row, TokenStore};
use crate::text::{Owner, Reason};
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
    /// Returns the token's owner.
    pub(crate) fn owner(&self) -> &Owner {
        self.row.record().owner()
    }

    /// Makes it of a row whose status was found active at `now`.
    #[cfg(feature = "import")]
    pub(super) fn new(row: ReadableRow, now: Timestamp) -> Verified {
        Verified { row, now }
    }
}

impl<S: TokenStore> TokenAuthority<S> {
    /// Authenticates a presented text of unknown origin.
    ///
    /// A token that is bound to networks is then forbidden: see
    /// [`authenticate_from`](Self::authenticate_from). It has no other side effect than these:
    /// - A last use is noted in memory, once per usage interval. [`Upkeep`](crate::upkeep::Upkeep)
    ///   writes it.
    /// - Events are emitted.
    /// - The reuse of a superseded token may revoke its line ([`Reuse::RevokeFamily`]).
    ///
    /// ```
    /// # use app_tokens::{Access, NewToken, TokenAuthority};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let tokens = TokenAuthority::in_memory("acme")?;
    /// # let access = Access::scopes(["files:read"])?;
    /// # let issued = tokens.issue(NewToken::new("alice", "My phone", access)).await?;
    /// # let text = issued.expose_secret();
    /// let caller = tokens.authenticate(text).await?.require("files:read")?;
    /// assert_eq!(caller.owner().as_str(), "alice");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// - [`AuthError::NotOurs`] if the text does not have the form of our tokens. It may be a
    ///   password.
    /// - [`AuthError::Denied`] if it has our form but is not a valid token.
    /// - [`AuthError::Failed`] if the engine can't tell.
    #[doc(alias("verify", "validate", "check"))]
    pub async fn authenticate(&self, text: &str) -> Result<Authenticated, AuthError> {
        let verified = self.verify(text, &Origin::unknown()).await?;
        Ok(self.admit(verified, &Origin::unknown()))
    }

    /// Authenticates a presented text, and takes the client's address and program.
    ///
    /// Networks are checked by the address. Both are recorded with the last use if the policy says
    /// so.
    ///
    /// ```
    /// # use app_tokens::{Access, NewToken, Origin, Requirement, TokenAuthority};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let tokens = TokenAuthority::in_memory("acme")?;
    /// let office = Access::full().from_networks(["10.0.0.0/8".parse()?])?;
    /// let issued = tokens.issue(NewToken::new("alice", "Printer", office)).await?;
    /// let origin = Origin::unknown().address("10.1.2.3".parse()?).client("printer/1.0");
    /// let authenticated = tokens.authenticate_from(issued.expose_secret(), origin).await?;
    /// assert!(authenticated.require(Requirement::ANY_VALID_TOKEN).is_ok());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`AuthError`], as for [`TokenAuthority::authenticate`].
    pub fn authenticate_from<'p>(
        &self,
        text: &'p str,
        origin: impl Into<Origin<'p>>,
    ) -> impl Future<Output = Result<Authenticated, AuthError>> + Send {
        let origin = origin.into();
        async move {
            let verified = self.verify(text, &origin).await?;
            Ok(self.admit(verified, &origin))
        }
    }

    /// Authenticates a presented text that must be a token of this owner.
    ///
    /// For HTTP Basic, where a user name accompanies the token.
    ///
    /// # Errors
    /// [`AuthError`], as for [`TokenAuthority::authenticate`]. Another owner's token is denied.
    pub fn authenticate_as<'p>(
        &self,
        owner: &Owner,
        text: &'p str,
        origin: impl Into<Origin<'p>>,
    ) -> impl Future<Output = Result<Authenticated, AuthError>> + Send {
        let origin = origin.into();
        async move {
            let verified = self.verify(text, &origin).await?;
            if verified.owner() != owner {
                return Err(self.turn_away(&verified, &origin, DenialReason::OtherOwner).into());
            }
            Ok(self.admit(verified, &origin))
        }
    }

    /// Verifies a presented text, in this order: parse, find, digest, revoked, seal, status.
    ///
    /// The caller then looks at the owner, and either admits the token or turns it away.
    pub(crate) async fn verify(
        &self,
        text: &str,
        origin: &Origin<'_>,
    ) -> Result<Verified, AuthError> {
        self.refuse_without_upkeep()?;
        // Not by `map_err`: a `Result` of another type would be copied, on every login.
        let presented = match self.read_presented(text) {
            Ok(presented) => presented,
            Err(error) => return Err(self.refuse_unread(error, origin)),
        };
        // Before the row: a flush in between moves a use from the log to the store.
        let own_use = self.own_use(presented.id());
        let found = self.store.find(presented.id()).await?;
        let row = self.match_secret(found, &presented, origin)?;
        // Read after the row, so that the row can't seem to be made in the future.
        let now = self.now();
        let status = self.status(&row, now, own_use)?;
        match DenialReason::from_status(status) {
            None => Ok(Verified { row, now }),
            Some(reason) => Err(self.deny_status(&row, status, reason, now, origin).await.into()),
        }
    }

    /// Denies a row whose secret was presented because of its status, and reports a reuse.
    ///
    /// Apart, so that the future of a good token stays small.
    pub(super) async fn deny_status(
        &self,
        row: &ReadableRow,
        status: Status,
        reason: DenialReason,
        now: Timestamp,
        origin: &Origin<'_>,
    ) -> Denied {
        let view = TokenView::new(row.record(), Some(status), None);
        if reason == DenialReason::Superseded {
            self.report_reuse(&view, now).await;
        }
        self.deny(origin, reason, Some(view.id()), Some(&view))
    }

    /// Reads a presented text.
    ///
    /// # Errors
    /// [`ParseError`] if it is not a token. [`refuse_unread`](Self::refuse_unread) makes it an
    /// answer.
    pub(super) fn read_presented(&self, text: &str) -> Result<Presented, ParseError> {
        Presented::read(text, self.engine.policy.accepted_prefixes())
    }

    /// Returns the error for a text that can't be read. A mistyped one is denied.
    pub(super) fn refuse_unread(&self, error: ParseError, origin: &Origin<'_>) -> AuthError {
        match error {
            ParseError::Checksum => self.deny(origin, DenialReason::Mistyped, None, None).into(),
            error => AuthError::NotOurs(error),
        }
    }

    /// Takes the row that was found, or denies the token if its secret is not the row's.
    ///
    /// # Errors
    /// [`AuthError::Failed`] if this build can't compare the secret.
    pub(super) fn match_secret(
        &self,
        found: Option<Row>,
        presented: &Presented,
        origin: &Origin<'_>,
    ) -> Result<ReadableRow, AuthError> {
        presented.matched(found).map_err(|unmatched| {
            let reason = match unmatched {
                Unmatched::NoRow => DenialReason::Unknown,
                Unmatched::DamagedRow { .. } => DenialReason::Tampered,
                Unmatched::OtherSecret => DenialReason::WrongSecret,
                // Denied whether or not the secret is right: a revocation holds on every host.
                Unmatched::UnknownScheme { is_revoked: true, .. } => DenialReason::Revoked,
                Unmatched::UnknownScheme { scheme, is_revoked: false } => {
                    return Failed::from(StatusUnclear::DigestScheme(scheme)).into();
                }
            };
            self.deny(origin, reason, Some(presented.id()), None).into()
        })
    }

    /// Admits a verified token, and notes its use.
    ///
    /// From outside the token's networks it notes none: a thief elsewhere must not keep an idle
    /// token alive.
    pub(crate) fn admit(&self, verified: Verified, origin: &Origin<'_>) -> Authenticated {
        let Verified { row, now } = verified;
        let access = row.record().access();
        // Most tokens are not bound: then the address, which is slow to copy, is not looked at.
        let is_bound = access.is_bound_to_networks();
        let is_outside = is_bound && !access.allows_from(origin.known_address());
        if is_outside {
            self.report_outside(&row, origin, now);
        } else {
            self.note_use(&row, origin, now);
        }
        Authenticated::new(row, is_outside)
    }

    /// Denies a verified token because of its owner. Does not count as a use.
    pub(crate) fn turn_away(
        &self,
        verified: &Verified,
        origin: &Origin<'_>,
        reason: DenialReason,
    ) -> Denied {
        let view = TokenView::new(verified.row.record(), Some(Status::Active), None);
        self.deny(origin, reason, Some(view.id()), Some(&view))
    }

    /// Makes a denial, and emits its event.
    pub(crate) fn deny(
        &self,
        origin: &Origin<'_>,
        reason: DenialReason,
        id: Option<TokenId>,
        token: Option<&TokenView>,
    ) -> Denied {
        let (address, client) = (origin.known_address(), origin.known_client());
        self.emit(&Event::Denied { id, reason, token, address, client: client.as_deref() });
        Denied::new(reason, id)
    }

    /// Reports that a superseded token was presented with its right secret.
    ///
    /// Either two parties hold it, or its client missed the rotation. If the policy says so, the
    /// line is revoked at every such use, and not once per interval: the first try may have failed.
    async fn report_reuse(&self, token: &TokenView, now: Timestamp) {
        // Before the event, so that its observer finds the line revoked.
        if self.engine.policy.reuse() == Reuse::RevokeFamily {
            let family =
                Filter { revoked: Some(false), ..Filter::of_family(token.owner(), token.family()) };
            // ignored: this token is denied anyway, and its next reuse tries again.
            _ = self.revoke_by(Actor::Engine, &family, Reason::REUSED).await;
        }
        let interval = self.engine.policy.usage_interval();
        if self.engine.usage.reuses().note(token.id(), now, interval) {
            self.emit(&Event::Reused { token });
        }
    }

    /// Reports that a token was presented from outside its networks, once per usage interval.
    fn report_outside(&self, row: &ReadableRow, origin: &Origin<'_>, now: Timestamp) {
        let interval = self.engine.policy.usage_interval();
        let is_first = self.engine.usage.uses_from_outside().note(row.record().id(), now, interval);
        if is_first && self.engine.observer.is_some() {
            let address = origin.known_address();
            self.emit(&Event::OutsideNetwork { token: &self.view(row, now), address });
        }
    }

    /// Notes a use, and emits an event if it is the first, or from a new address.
    fn note_use(&self, row: &ReadableRow, origin: &Origin<'_>, now: Timestamp) {
        let policy = &self.engine.policy;
        let recorded = policy.records_origin().then_some(origin);
        let is_own = self.engine.sealer.has_marked(row);
        let kind = self.engine.usage.note(row, is_own, now, policy.usage_interval(), recorded);
        // Without an observer no view is made, since most calls come here.
        if self.engine.observer.is_none() {
            return;
        }
        match kind {
            UseKind::Again | UseKind::InNewInterval => {}
            UseKind::First => {
                let address = origin.known_address();
                self.emit(&Event::FirstUse { token: &self.view(row, now), address });
            }
            UseKind::NewAddress(address) => {
                self.emit(&Event::NewAddress { token: &self.view(row, now), address });
            }
        }
    }
}
