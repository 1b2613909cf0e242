//! Replaces one row, and settles an answer that was lost.

use super::TokenAuthority;
use crate::error::Failed;
use crate::record::TokenRecord;
use crate::store::{Certainty, Replace, Replaced, Row, StoreError, TokenStore};

impl<S: TokenStore> TokenAuthority<S> {
    /// Replaces a row. If the store can't say whether it did, reads the row and compares seals.
    ///
    /// It is not sent again: if it did happen, the second attempt would be stale and report a
    /// failure.
    pub(super) async fn replace(&self, replace: &Replace) -> Result<Replaced, Failed> {
        let lost = match self.store.replace(std::slice::from_ref(replace)).await {
            Err(error) if error.certainty() == Certainty::Unknown => error,
            Err(error) => return Err(error.into()),
            Ok(answers) => match answers[..] {
                [answer] if answer != Replaced::LabelTaken || replace.unique_label => {
                    return Ok(answer);
                }
                _ => {
                    let broken = format!(
                        "the store answered {answers:?} to one replacement; \
                         run the conformance suite on it"
                    );
                    return Err(StoreError::unknown(broken).into());
                }
            },
        };
        let found = self.store.find(replace.row.id()).await.ok().flatten();
        let seal = |row: &Row| row.record().and_then(TokenRecord::seal);
        // Equal seals mean equal facts, so it does not matter which call wrote them. Revision and
        // last use are left out: other calls may have moved them since.
        let is_done = found.as_ref().and_then(seal) == seal(&replace.row);
        if is_done { Ok(Replaced::Done) } else { Err(lost.into()) }
    }
}
