//! Authenticates texts that another system issued: finds the candidates, compares them, takes over.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::TokenAuthority;
use crate::authority::authenticate::Verified;
use crate::digest::Digest;
use crate::error::{AuthError, DenialReason, Denied, Failed};
use crate::event::{ChangeEvent, Event};
use crate::import::{Counted, Foreign, ForeignText, Import, Lookup, Places};
use crate::present::{Authenticated, Origin};
use crate::record::{StatusUnclear, TokenRecord};
use crate::row::ReadableRow;
use crate::seal::SealChange;
use crate::store::{Replace, Replaced, TokenStore};
use crate::text::Owner;
use crate::timestamp::Timestamp;
use crate::token::{ParseError, TokenId};

/// A row that a foreign text may belong to.
struct Candidate<'s> {
    scheme: &'s Arc<dyn Foreign>,
    row: ReadableRow,
    own_use: Option<Timestamp>,
}

impl Candidate<'_> {
    /// Returns whether it is a token that was revoked or rotated.
    fn has_ended(&self) -> bool {
        let record = self.row.record();
        record.revocation().is_some() || record.successor().is_some()
    }

    /// Returns whether its row has a digest of ours, as it has from its first use on.
    fn is_taken_over(&self) -> bool {
        self.row.record().digest().foreign().is_none()
    }

    /// Returns whether its text is decided by this row, whatever other rows it may have.
    fn is_final(&self) -> bool {
        self.has_ended() || self.is_taken_over()
    }
}

/// Returns which of two rows of one text decides.
///
/// The old system may have hashed one text twice, and two runs have imported both. An ended row
/// denies the text. Otherwise the row that is in use decides, since it has what was changed here.
fn deciding<'s>(one: Option<Candidate<'s>>, other: Option<Candidate<'s>>) -> Option<Candidate<'s>> {
    let rank = |candidate: &Candidate<'_>| (candidate.has_ended(), candidate.is_taken_over());
    match (one, other) {
        (Some(one), Some(other)) if rank(&other) > rank(&one) => Some(other),
        (one, other) => one.or(other),
    }
}

/// A search for one foreign text, over all schemes.
struct Search<'s> {
    import: &'s Import,
    places: Places<'s>,
    text: &'s str,
    origin: &'s Origin<'s>,
    /// The rows whose slow hashes have to be computed.
    slow: Vec<SlowRows<'s>>,
    /// Why a candidate can't be compared. Told only if no row matches: another may.
    unclear: Option<StatusUnclear>,
    /// Why a candidate that has ended can't be compared. Then no other row may let the text in.
    unclear_ended: Option<StatusUnclear>,
}

/// The rows of one look-up whose slow hashes have to be computed.
struct SlowRows<'s> {
    /// The look-up's first place. Its brake is named by it.
    first: TokenId,
    rows: Vec<(Candidate<'s>, Box<[u8]>)>,
}

impl SlowRows<'_> {
    fn counted(&self) -> Counted {
        Counted { first: self.first, rows: self.rows.len() }
    }
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
    /// **The ring needs an `import` key**, as [`KeyRing::new_import_text`] makes, unless the import
    /// has no schemes. Without the key, each text that is not ours fails, such as a password.
    /// Tokens of ours still enter, so it shows only at the first such text.
    ///
    /// # Errors
    /// [`AuthError`], as for [`TokenAuthority::authenticate`]. It also fails if too many slow
    /// checks run, or if the ring has no `import` key or lacks the key of a row's digest.
    ///
    /// [`KeyRing::new_import_text`]: crate::KeyRing::new_import_text
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
        // Before the key is needed: no scheme can find a row, and the text may be a password.
        if import.schemes().is_empty() {
            return not_ours;
        }
        self.refuse_without_upkeep()?;
        let places = self.places()?;
        let mut search = Search {
            import,
            places,
            text,
            origin,
            slow: Vec::new(),
            unclear: None,
            unclear_ended: None,
        };
        let mut matching = None;
        'schemes: for scheme in import.schemes() {
            for lookup in scheme.lookups(&presented) {
                matching = deciding(matching, self.find_match(&mut search, scheme, &lookup).await?);
                // From its second use on, a token costs what a token of ours does.
                if matching.as_ref().is_some_and(Candidate::is_final) {
                    break 'schemes;
                }
            }
        }
        let Search { slow, unclear, unclear_ended, .. } = search;
        let mut counted = Vec::new();
        // At a first use all schemes are asked. The old system may have hashed the text of an ended
        // token anew under another one, and a second run has imported that.
        if !matching.as_ref().is_some_and(Candidate::is_final) {
            counted = slow.iter().map(SlowRows::counted).collect();
            matching = deciding(matching, self.compare_slowly(import, slow, &counted, text).await?);
        }
        let Some(candidate) = matching else {
            return unclear.map_or(not_ours, |reason| Err(Failed::from(reason).into()));
        };
        // The text may be that of the ended row. An unclear row that has not ended could only let
        // it in, too.
        if let Some(reason) = unclear_ended.filter(|_| !candidate.is_final()) {
            return Err(Failed::from(reason).into());
        }
        let verified = self.decide(candidate, text, origin).await?;
        // Only guesses and ended tokens are held back: a user's devices may all come at once after
        // the move.
        import.slow().forgive(&counted);
        Ok(verified)
    }

    /// Finds the candidate of a look-up whose text was presented. Leaves those that take long in
    /// `search.slow`.
    ///
    /// # Errors
    /// - [`AuthError::Denied`] if the text led to a damaged row of its own.
    /// - [`AuthError::Failed`] if the store fails.
    async fn find_match<'s>(
        &self,
        search: &mut Search<'s>,
        scheme: &'s Arc<dyn Foreign>,
        lookup: &Lookup,
    ) -> Result<Option<Candidate<'s>>, AuthError> {
        let Search { import, places, text, origin, slow, unclear, unclear_ended } = search;
        let place = |candidate| places.id(scheme.name(), lookup, candidate);
        let (mut matching, mut rows) = (None, Vec::new());
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
            let candidate = Candidate { scheme, row, own_use };
            match self.compare(&**scheme, candidate.row.record(), text) {
                // The other candidates are not looked at.
                Compared::Match if candidate.is_final() => return Ok(Some(candidate)),
                Compared::Match => matching = deciding(matching, Some(candidate)),
                Compared::Slow(kept) => rows.push((candidate, kept)),
                // A revoked row needs no key to deny, and its key may be gone.
                Compared::Unclear(_) if is_revoked && !lookup.is_shared() => {
                    return Ok(Some(candidate));
                }
                // `may_retire` doesn't count a revoked row, so its key may be gone for good.
                Compared::Unclear(StatusUnclear::KeyMissing(_)) if is_revoked => {}
                Compared::Unclear(reason) if candidate.has_ended() => {
                    *unclear_ended = Some(reason);
                    // A revoked one holds up no text that belongs to no row, such as a password.
                    *unclear = unclear.or((!is_revoked).then_some(reason));
                }
                Compared::Unclear(reason) => *unclear = Some(reason),
                Compared::Other => {}
            }
        }
        if !rows.is_empty() {
            slow.push(SlowRows { first: place(0), rows });
        }
        Ok(matching)
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

    /// Compares a text with all of these candidates, on a thread of its own. Returns the one that
    /// decides.
    async fn compare_slowly<'s>(
        &self,
        import: &Import,
        slow: Vec<SlowRows<'s>>,
        counted: &[Counted],
        text: &str,
    ) -> Result<Option<Candidate<'s>>, Failed> {
        if slow.is_empty() {
            return Ok(None);
        }
        let (mut candidates, mut hashes) = (Vec::new(), Vec::new());
        for (candidate, kept) in slow.into_iter().flat_map(|slow| slow.rows) {
            hashes.push((candidate.scheme.clone(), kept));
            candidates.push(candidate);
        }
        let text = Zeroizing::new(text.to_owned());
        // Each is tried, whichever matches, so that the time does not tell which one it was.
        let compare = move || -> Vec<bool> {
            let verify =
                |scheme: &dyn Foreign, kept: &[u8]| scheme.verify(kept, &text).unwrap_or(false);
            hashes.iter().map(|(scheme, kept)| verify(&**scheme, kept)).collect()
        };
        let matches = import.slow().run(counted, self.now(), compare).await?;
        let matching = candidates.into_iter().zip(matches).filter(|(_, is_match)| *is_match);
        Ok(matching.map(|(candidate, _)| Some(candidate)).fold(None, deciding))
    }

    /// Decides on a row whose text was presented: its status, then its digest of ours.
    async fn decide(
        &self,
        candidate: Candidate<'_>,
        text: &str,
        origin: &Origin<'_>,
    ) -> Result<Verified, AuthError> {
        let Candidate { scheme, row, own_use } = candidate;
        // As in `verify`, and not shared: a call in between would move the row once more.
        let now = self.now();
        let status = self.status(&row, now, own_use)?;
        if let Some(reason) = DenialReason::from_status(status) {
            return Err(self.deny_status(&row, status, reason, now, origin).await.into());
        }
        self.take_over(&**scheme, &row, text, now).await;
        Ok(Verified::new(row, now))
    }

    /// Gives an active row a digest of ours by compare-and-swap, unless it has one under the active
    /// key.
    ///
    /// If it fails, or another call was faster, the next use of the token tries again.
    #[expect(clippy::expect_used, reason = "only a row whose seal is right is active")]
    async fn take_over(&self, scheme: &dyn Foreign, row: &ReadableRow, text: &str, now: Timestamp) {
        let (digest, active) = (row.record().digest(), self.active_key());
        let needs_another = digest.key_id().is_some_and(|id| id != active.id());
        if digest.foreign().is_none() && !needs_another {
            return;
        }
        let intact = self.intact(row).expect("the row of an active token is intact");
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
