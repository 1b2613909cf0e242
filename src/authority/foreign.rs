//! Authenticates texts that another system issued: finds the candidates, compares them, takes over.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::TokenAuthority;
use crate::authority::authenticate::Verified;
use crate::digest::Digest;
use crate::error::{AuthError, DenialReason, Denied, Failed};
use crate::event::{ChangeEvent, Event};
use crate::import::{Foreign, ForeignText, Import, Lookup, Places};
use crate::present::{Authenticated, Origin};
use crate::record::{StatusUnclear, TokenRecord};
use crate::row::ReadableRow;
use crate::seal::SealChange;
use crate::store::{Replace, Replaced, TokenStore};
use crate::text::Owner;
use crate::timestamp::Timestamp;
use crate::token::{ParseError, TokenId};

/// A row that a foreign text may belong to.
struct Candidate {
    row: ReadableRow,
    own_use: Option<Timestamp>,
}

/// Returns whether a candidate is a token that was revoked or rotated.
fn has_ended(candidate: &Candidate) -> bool {
    let record = candidate.row.record();
    record.revocation().is_some() || record.successor().is_some()
}

/// A search for one foreign text, over all schemes.
struct Search<'s> {
    import: &'s Import,
    places: Places<'s>,
    text: &'s str,
    origin: &'s Origin<'s>,
    /// Why a candidate can't be compared. Told only if no row matches: another may.
    unclear: Option<StatusUnclear>,
}

/// The candidate whose text was presented.
struct Match {
    candidate: Candidate,
    /// What was held back by the brake, if the text was compared slowly.
    braked: Option<TokenId>,
}

/// What a candidate's digest says of a text.
enum Compared {
    Match,
    Other,
    /// Its scheme has to compute a slow hash of what is kept.
    Slow(Box<[u8]>),
    /// This host can't tell.
    Unclear(StatusUnclear),
}

impl<S: TokenStore> TokenAuthority<S> {
    /// Authenticates a presented text that may be a token of ours or one of another system.
    ///
    /// `owner` is whom the user name means, if one was sent. A scheme that finds tokens by their
    /// owner needs it. It is no limit: compare the caller's owner with it, or use a
    /// [`Login`](crate::web::Login), which does.
    ///
    /// # Errors
    /// [`AuthError`], as for [`TokenAuthority::authenticate`]. It also fails if too many slow
    /// checks run, or if the ring has no `import` key or lacks the key of a row's digest.
    pub async fn authenticate_with(
        &self,
        import: &Import,
        owner: Option<&Owner>,
        text: &str,
        origin: Origin<'_>,
    ) -> Result<Authenticated, AuthError> {
        let verified = match self.verify(text, &origin).await {
            Err(AuthError::NotOurs(error)) => {
                let presented = ForeignText::new(text, owner);
                self.verify_foreign(import, presented, &origin, error).await?
            }
            verified => verified?,
        };
        Ok(self.admit(verified, &origin))
    }

    /// Verifies a text that is not ours by the schemes of other systems. `error` says why it is not
    /// ours.
    pub(crate) async fn verify_foreign(
        &self,
        import: &Import,
        presented: ForeignText<'_>,
        origin: &Origin<'_>,
        error: ParseError,
    ) -> Result<Verified, AuthError> {
        let text = presented.expose_secret();
        let not_ours = Err(AuthError::NotOurs(error));
        let is_too_long = text.is_empty() || text.len() > ForeignText::MAX_BYTES;
        if is_too_long || self.has_our_prefix(text) {
            return not_ours;
        }
        self.refuse_without_upkeep()?;
        let places = self.places()?;
        let mut search = Search { import, places, text, origin, unclear: None };
        for scheme in import.schemes() {
            let mut matching = None;
            for lookup in scheme.lookups(&presented) {
                let found = self.find_match(&mut search, scheme, &lookup).await?;
                // The old system may have hashed one text in two ways, and two runs have imported
                // both. Then a row that has ended decides, whichever comes first.
                matching = match (matching, found) {
                    (Some(_), Some(other)) if has_ended(&other.candidate) => Some(other),
                    (one, other) => one.or(other),
                };
            }
            if let Some(Match { candidate, braked }) = matching {
                let verified = self.decide(&**scheme, candidate, text, origin).await?;
                // Only guesses and ended tokens are held back: a user's devices may all come at
                // once after the move.
                if let Some(place) = braked {
                    import.slow().forgive(place);
                }
                return Ok(verified);
            }
        }
        match search.unclear {
            Some(unclear) => Err(Failed::from(unclear).into()),
            None => not_ours,
        }
    }

    /// Finds the candidate of a look-up whose text was presented.
    ///
    /// # Errors
    /// - [`AuthError::Denied`] if the text led to a damaged row of its own.
    /// - [`AuthError::Failed`] if the store fails, or if too many slow checks run.
    async fn find_match(
        &self,
        search: &mut Search<'_>,
        scheme: &Arc<dyn Foreign>,
        lookup: &Lookup,
    ) -> Result<Option<Match>, AuthError> {
        let Search { import, places, text, origin, unclear } = search;
        let place = |candidate| places.id(scheme.name(), lookup, candidate);
        let (mut revoked, mut slow) = (None, Vec::new());
        for id in (0..import.candidates(lookup)).map(place) {
            // Before the row: a flush in between moves a use from the log to the store.
            let own_use = self.own_use(id);
            let Some(row) = self.store.find(id).await? else { continue };
            let is_revoked = row.is_revoked();
            let Some(row) = row.into_readable() else {
                // What only one token has led here, so it is this token.
                if !lookup.is_shared() {
                    return Err(self.deny_damaged(id, is_revoked, origin).into());
                }
                continue;
            };
            let candidate = Candidate { row, own_use };
            match self.compare(&**scheme, candidate.row.record(), text) {
                // The other candidates are not looked at: from its second use on, a token costs
                // what a token of ours does.
                Compared::Match => return Ok(Some(Match { candidate, braked: None })),
                Compared::Slow(kept) => slow.push((candidate, kept)),
                // A revoked row needs no key to deny, and its key may be gone.
                Compared::Unclear(_) if is_revoked && !lookup.is_shared() => {
                    revoked = Some(Match { candidate, braked: None });
                }
                Compared::Unclear(_) if is_revoked => {}
                Compared::Unclear(reason) => *unclear = Some(reason),
                Compared::Other => {}
            }
        }
        if revoked.is_some() || slow.is_empty() {
            return Ok(revoked);
        }
        // Each look-up has one brake, named by its first place.
        let first = place(0);
        let slowly = self.compare_slowly(import, scheme, first, slow, text).await?;
        Ok(slowly.map(|candidate| Match { candidate, braked: Some(first) }))
    }

    /// Returns whether a text begins as ours do. Such a text is never a foreign one.
    fn has_our_prefix(&self, text: &str) -> bool {
        let text = text.trim_start().as_bytes();
        self.engine.policy.accepted_prefixes().iter().any(|prefix| {
            let prefix = prefix.as_str().as_bytes();
            let begins =
                text.get(..prefix.len()).is_some_and(|own| own.eq_ignore_ascii_case(prefix));
            begins && text.get(prefix.len()) == Some(&b'_')
        })
    }

    /// Denies a text whose row can't be read.
    fn deny_damaged(&self, id: TokenId, is_revoked: bool, origin: &Origin<'_>) -> Denied {
        let reason = if is_revoked { DenialReason::Revoked } else { DenialReason::Tampered };
        self.deny(origin, reason, Some(id), None)
    }

    /// Compares a text with a candidate's digest.
    fn compare(&self, scheme: &dyn Foreign, record: &TokenRecord, text: &str) -> Compared {
        let digest = record.digest();
        if digest.is_newer() {
            return Compared::Unclear(StatusUnclear::DigestScheme(digest.scheme()));
        }
        let is_match = match (digest.foreign(), digest.key_id()) {
            (Some((name, _)), _) if name != scheme.name() => false,
            (Some((_, kept)), _) if scheme.is_slow() => return Compared::Slow(kept.into()),
            // What its scheme does not know is no match.
            (Some((_, kept)), _) => scheme.verify(kept, text).unwrap_or(false),
            (None, Some(id)) => match self.engine.sealer.ring().key(id) {
                Some(key) => digest.is_of_same_text(&Digest::keyed(key, scheme.secret_part(text))),
                None => return Compared::Unclear(StatusUnclear::KeyMissing(id)),
            },
            (None, None) => digest.is_of_same_text(&Digest::of_foreign(scheme.secret_part(text))),
        };
        if is_match { Compared::Match } else { Compared::Other }
    }

    /// Compares a text with all of these candidates, on a thread of its own.
    ///
    /// Returns one that matches; if there are several, one that has ended. The old system may have
    /// hashed one text twice, and two runs have imported both.
    async fn compare_slowly(
        &self,
        import: &Import,
        scheme: &Arc<dyn Foreign>,
        place: TokenId,
        candidates: Vec<(Candidate, Box<[u8]>)>,
        text: &str,
    ) -> Result<Option<Candidate>, Failed> {
        let (mut candidates, kept): (Vec<_>, Vec<_>) = candidates.into_iter().unzip();
        let ended: Vec<_> = candidates.iter().map(has_ended).collect();
        let (scheme, text) = (scheme.clone(), Zeroizing::new(text.to_owned()));
        // Each is tried, whichever matches, so that the time does not tell which one it was.
        let compare = move || {
            let matches: Vec<_> =
                kept.iter().map(|kept| scheme.verify(kept, &text).unwrap_or(false)).collect();
            let matching = || (0..matches.len()).filter(|index| matches[*index]);
            matching().find(|index| ended[*index]).or(matching().next())
        };
        let found = import.slow().run(place, self.now(), compare).await?;
        Ok(found.map(|index| candidates.swap_remove(index)))
    }

    /// Decides on a row whose text was presented: its status, then its digest of ours.
    async fn decide(
        &self,
        scheme: &dyn Foreign,
        candidate: Candidate,
        text: &str,
        origin: &Origin<'_>,
    ) -> Result<Verified, AuthError> {
        let Candidate { row, own_use } = candidate;
        // As in `verify`, and not shared: a call in between would move the row once more.
        let now = self.now();
        let status = self.status(&row, now, own_use)?;
        if let Some(reason) = DenialReason::from_status(status) {
            return Err(self.deny_status(&row, status, reason, now, origin).await.into());
        }
        self.take_over(scheme, &row, text, now).await;
        Ok(Verified::new(row, now))
    }

    /// Gives an active row a digest of ours by compare-and-swap, unless it has one under the active
    /// key.
    ///
    /// If it fails, or another call was faster, the next use of the token tries again.
    async fn take_over(&self, scheme: &dyn Foreign, row: &ReadableRow, text: &str, now: Timestamp) {
        let (digest, active) = (row.record().digest(), self.active_key());
        let needs_another = digest.key_id().is_some_and(|id| id != active.id());
        if digest.foreign().is_none() && !needs_another {
            return;
        }
        let Ok(intact) = self.intact(row) else { return };
        let digest = if scheme.guarantees_112_bits() {
            Digest::of_foreign(scheme.secret_part(text))
        } else {
            Digest::keyed(active, scheme.secret_part(text))
        };
        let change = SealChange { digest: Some(digest), ..SealChange::default() };
        let new_form = self.engine.sealer.reseal(intact, change);
        let view = self.view(&new_form, now);
        let replace = Replace {
            row: new_form.into(),
            live: self.live_at(now),
            unique_label: false,
            revokes_derived: None,
        };
        let mut change_event = ChangeEvent::new(|_, is_certain| {
            self.emit(&Event::TakenOver { token: &view, is_certain });
        });
        let is_done = |answer: &Replaced| u64::from(*answer == Replaced::Done);
        // ignored: the text is right, whatever became of the row's new form.
        _ = change_event.await_store(self.replace(&replace), is_done).await;
    }
}
