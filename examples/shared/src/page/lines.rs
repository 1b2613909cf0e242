//! The rows of the list: one for each line of rotations.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use app_tokens::error::Failed;
use app_tokens::record::{LastUse, Status};
use app_tokens::store::{DynStore, Filter, Page};
use app_tokens::{Owner, TokenAuthority, TokenId, TokenView};

/// A line of rotations, as its owner sees it.
pub struct Line {
    /// The token that counts: the current one, or the last one of a line that has ended.
    pub token: TokenView,
    /// The replaced token that still works.
    pub old: Option<TokenView>,
    /// The last use of any of them.
    pub last_use: Option<LastUse>,
    /// Whether that was a use of a replaced one.
    pub used_old: bool,
}

impl Line {
    /// Returns whether the token works, or may work.
    pub fn is_in_use(&self) -> bool {
        matches!(self.token.status(), Some(Status::Active | Status::Tampered) | None)
    }

    /// Returns whether it can't be told if the token works.
    pub fn is_unclear(&self) -> bool {
        matches!(self.token.status(), Some(Status::Tampered) | None)
    }
}

/// The tokens of an owner.
#[derive(Default)]
pub struct Lines {
    /// Those in use, the newest first, what can't be checked last.
    pub in_use: Vec<Line>,
    /// Those that have ended, the newest first.
    pub ended: Vec<Line>,
    /// Rows that can't be read. They let nobody in.
    pub damaged: Vec<TokenId>,
    /// Whether there are more.
    pub is_cut: bool,
}

/// How many rows are read in one call, so that others are not held up.
const PAGE: u32 = 500;
/// An owner with more rows than this doesn't see all of them.
const MOST: usize = 10_000;

impl Lines {
    /// Reads the tokens of an owner. Those that were not revoked come first, so that a great number
    /// of revoked ones can't push them out.
    pub async fn read(tokens: &TokenAuthority<DynStore>, owner: &Owner) -> Result<Lines, Failed> {
        Lines::matching(tokens, &Filter::of_owner(owner)).await
    }

    /// Reads the tokens of all owners, in the same order.
    pub async fn of_all(tokens: &TokenAuthority<DynStore>) -> Result<Lines, Failed> {
        Lines::matching(tokens, &Filter::every_token()).await
    }

    async fn matching(tokens: &TokenAuthority<DynStore>, filter: &Filter) -> Result<Lines, Failed> {
        let (mut rows, mut lines) = (Vec::new(), Lines::default());
        'reading: for revoked in [false, true] {
            let filter = Filter { revoked: Some(revoked), ..filter.clone() };
            let mut page = Some(Page::first(PAGE));
            while let Some(this) = page {
                if rows.len() + lines.damaged.len() >= MOST {
                    lines.is_cut = true;
                    break 'reading;
                }
                let listed = tokens.list(&filter, this).await?;
                rows.extend(listed.tokens);
                lines.damaged.extend(listed.damaged);
                page = listed.next.map(|id| this.after(id));
            }
        }
        for line in group(rows) {
            if line.is_in_use() { &mut lines.in_use } else { &mut lines.ended }.push(line);
        }
        Ok(lines)
    }
}

/// Makes a line of each family, in the order of the list.
fn group(rows: Vec<TokenView>) -> Vec<Line> {
    let mut families: BTreeMap<TokenId, Vec<TokenView>> = BTreeMap::new();
    for row in rows {
        families.entry(row.family()).or_default().push(row);
    }
    let mut lines: Vec<Line> = families.into_values().filter_map(line).collect();
    lines
        .sort_by_key(|line| (line.is_unclear(), Reverse(line.token.created_at()), line.token.id()));
    lines
}

fn line(mut members: Vec<TokenView>) -> Option<Line> {
    // A replaced row stands for its line only once the row that replaced it is gone. A row that was
    // replaced before its first use is revoked, and stands behind the one that took its place.
    let rank = |row: &TokenView| {
        let is_current = row.successor().is_none();
        (is_current && row.revocation().is_none(), is_current, row.created_at(), row.id())
    };
    let place = (0..members.len()).max_by_key(|place| rank(&members[*place]))?;
    let token = members.swap_remove(place);
    let last_of_old =
        members.iter().filter_map(TokenView::last_use).max_by_key(|last_use| last_use.at).cloned();
    let used_old = last_of_old.as_ref().map(|last| last.at) > token.last_use().map(|last| last.at);
    let last_use = if used_old { last_of_old } else { token.last_use().cloned() };
    let is_in_overlap =
        |row: &TokenView| row.successor().is_some() && row.status() == Some(Status::Active);
    let old = members.into_iter().find(is_in_overlap);
    Some(Line { token, old, last_use, used_old })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use app_tokens::clock::{Clock as _, ManualClock, SystemClock};
    use app_tokens::store::MemoryStore;
    use app_tokens::{Access, KeyRing, NewToken, Policy, Reason, Rotation};

    #[tokio::test]
    async fn a_line_of_rotations_is_one_row_with_the_use_of_both() {
        let clock = ManualClock::at(SystemClock.now());
        let store = DynStore::new(MemoryStore::new());
        let policy = Policy::new("acme").unwrap();
        let tokens = TokenAuthority::builder(store, KeyRing::ephemeral().unwrap(), policy)
            .clock(clock.clone())
            .build();
        let alice = Owner::new("alice").unwrap();
        let new = |label: &str| NewToken::new(&alice, label, Access::full());
        let old = tokens.issue(new("phone")).await.unwrap();
        let gone = tokens.issue(new("gone")).await.unwrap();
        tokens.revoke(&alice, gone.id(), Reason::REQUESTED).await.unwrap();
        clock.advance(Duration::from_secs(10));
        let overlap = Rotation::new().overlap(Duration::from_secs(3600));
        let next = tokens.rotate(&alice, old.id(), overlap).await.unwrap();
        clock.advance(Duration::from_secs(10));
        let _used = tokens.authenticate(old.expose_secret()).await.unwrap();

        let lines = Lines::read(&tokens, &alice).await.unwrap();
        let [phone] = &lines.in_use[..] else { panic!("{}", lines.in_use.len()) };
        assert_eq!(phone.token.id(), next.id());
        assert_eq!(phone.old.as_ref().map(TokenView::id), Some(old.id()));
        assert!(phone.used_old && phone.last_use.is_some());
        let [ended] = &lines.ended[..] else { panic!("{}", lines.ended.len()) };
        assert_eq!(ended.token.id(), gone.id());

        clock.advance(Duration::from_secs(4000));
        let lines = Lines::read(&tokens, &alice).await.unwrap();
        assert_eq!((lines.in_use.len(), lines.ended.len()), (1, 1), "the old one has no row");
        assert!(lines.in_use[0].old.is_none());
    }
}
