//! What is left of imported tokens that were forgotten, so that no later run brings them back.

use super::{TokenAuthority, WALK_PAGE};
use crate::access::Access;
use crate::attributes::Attributes;
use crate::authority::issue::New;
use crate::digest::{Digest, Sha256Digest};
use crate::error::Failed;
use crate::key::KeyId;
use crate::record::{Actor, Expires, ImportMark, RecordParts, Revocation, TokenRecord};
use crate::store::{Filter, Insert, Page, Row, TokenStore};
use crate::text::{Label, Owner, Reason};
use crate::timestamp::Timestamp;

/// Whose the tombstones are, so that the erasure of an account does not delete them.
const OWNER: &str = "(forgotten)";

impl<S: TokenStore> TokenAuthority<S> {
    /// Leaves a tombstone of each matching token that another system issued.
    ///
    /// Also if the policy has no open import: the operator's tool may forget without the hosts'
    /// policy. A purge deletes it like any dead row.
    ///
    /// Call it before the rows are deleted: if that fails midway, nothing comes back. An import
    /// looks for the tombstone after it found the token's place free, and so sees one of the two.
    /// After its insert it looks once more: another run may have imported the token meanwhile.
    pub(super) async fn leave_tombstones(&self, filter: &Filter) -> Result<(), Failed> {
        let mut page = Some(Page::first(WALK_PAGE));
        while let Some(rows) = self.next_page(filter, &mut page).await? {
            for mark in rows.iter().filter_map(Row::record).filter_map(TokenRecord::import_mark) {
                let now = self.now();
                // Found by its fingerprint, so it needs no candidate.
                let mark = ImportMark { candidate: 0, ..mark };
                let row = tombstone(mark, self.engine.sealer.ring().active_id(), now);
                let live = self.live_at(now);
                let insert = Insert { row, live, limit: None, unique_label: false, under: None };
                // ignored: if the id is taken, it is there already
                _ = self.put(&New::Insert(insert)).await?;
            }
        }
        Ok(())
    }
}

/// Makes a revoked row that holds nothing of the token but its mark.
#[expect(clippy::expect_used, reason = "constants, and a mark that was read from an attribute")]
fn tombstone(mark: ImportMark<'_>, key_id: KeyId, now: Timestamp) -> Row {
    let id = mark.tombstone_id();
    let attributes = Attributes::new().with(ImportMark::ATTRIBUTE, mark.to_string());
    Row::new(TokenRecord::from_parts(RecordParts {
        id,
        digest: Digest::of_sha_256(Sha256Digest::OF_NO_TOKEN),
        owner: Owner::new(OWNER).expect("a constant"),
        label: Label::new("Forgotten").expect("a constant"),
        access: Access::nothing(),
        attributes: attributes.expect("a mark that was read"),
        issued_by: None,
        created_at: now,
        expires: Expires::At(now),
        family: id,
        successor: None,
        derived_from: None,
        // Not by whom: an owner's id would stay.
        revocation: Some(Revocation { at: now, reason: Reason::FORGOTTEN, by: Actor::Engine }),
        last_use: None,
        revision: 0,
        key_id,
        seal: None,
    }))
}
