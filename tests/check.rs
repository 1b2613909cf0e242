//! The check at start, and what the engine asks the store before the first issue.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use app_tokens::error::{Failed, IssueError};
use app_tokens::record::{KeyId, LastUse, Revocation};
use app_tokens::report::CheckReport;
use app_tokens::store::{
    Filter, Insert, Inserted, MemoryStore, Page, Purge, Replace, Replaced, Row, StoreError,
    Supersede, Superseded, TokenStore,
};
use app_tokens::{Access, KeyRing, NewToken, Policy, Reason, Timestamp, TokenId};
use common::outside::Outside;
use common::*;

fn new() -> NewToken {
    NewToken::new("alice", "My phone", Access::full())
}

#[test]
fn nothing_is_found_if_ring_and_realm_are_right() {
    let bench = bench_over(Outside::new(), policy());
    assert!(ready(bench.tokens.check()).unwrap().is_sound(), "without any row");
    drop(bench.issue("alice"));
    let report = ready(bench.tokens.check()).unwrap();
    assert!(report.is_sound() && report.is_complete);
    assert_eq!(report.to_string(), "unrevoked rows that were checked: 1; all there are");
}

#[test]
fn a_ring_that_fits_no_row_is_found() {
    let store = Outside::new();
    drop(bench_over(store.clone(), policy()).issue("alice"));
    let report = ready(bench_with_ring(store, other_ring(), policy()).tokens.check()).unwrap();
    assert_eq!(report.under_missing_keys, [(KeyId::new(1).unwrap(), 1)]);
    assert!(!report.is_sound() && report.tampered.is_empty());
    assert!(report.to_string().starts_with("rows under key 1, which the key ring lacks: 1"));
}

#[test]
fn another_realm_is_found() {
    let store = Outside::new();
    let issued = bench_over(store.clone(), policy()).issue("alice");
    let brand = Policy::new("brand").unwrap().with_realm("brand").unwrap();
    let report = ready(bench_over(store, brand).tokens.check()).unwrap();
    assert_eq!(report.tampered, [issued.id()]);
    assert!(report.to_string().contains("for the realm \"brand\""), "{report}");
}

#[test]
fn damaged_and_tampered_rows_are_found_and_revoked_ones_are_not() {
    let store = Outside::new();
    let bench = bench_over(store.clone(), policy());
    let [damaged, tampered, revoked] = [(); 3].map(|()| bench.issue("alice").id());
    store.damage(damaged);
    store.change(tampered, |parts| parts.owner = owner("root"));
    ready(bench.tokens.revoke(ops(), revoked, Reason::REQUESTED)).unwrap();
    let report = ready(bench.tokens.check()).unwrap();
    assert_eq!((report.damaged.clone(), report.tampered.clone()), (vec![damaged], vec![tampered]));
    assert_eq!(report.checked, 2);
    assert!(report.to_string().contains("damaged rows: 1"), "{report}");
}

#[test]
fn a_check_is_bounded_and_says_so() {
    let policy = policy().with_no_limit_per_owner();
    let bench = bench(policy);
    for _ in 0..CheckReport::MAX_ROWS + 1 {
        drop(bench.issue("alice"));
    }
    let report = ready(bench.tokens.check()).unwrap();
    assert!(!report.is_complete && report.checked == CheckReport::MAX_ROWS);
    assert!(report.to_string().ends_with("there are more"));
}

/// A store that names the keys it is told to name, and counts how often it is listed.
#[derive(Clone, Default)]
struct Naming {
    kept: MemoryStore,
    keys: Vec<KeyId>,
    lists: Arc<AtomicUsize>,
}

impl TokenStore for Naming {
    async fn insert(&self, insert: &Insert) -> Result<Inserted, StoreError> {
        self.kept.insert(insert).await
    }
    async fn supersede(&self, supersede: &Supersede) -> Result<Superseded, StoreError> {
        self.kept.supersede(supersede).await
    }
    async fn find(&self, id: TokenId) -> Result<Option<Row>, StoreError> {
        self.kept.find(id).await
    }
    async fn list(&self, filter: &Filter, page: Page) -> Result<Vec<Row>, StoreError> {
        self.lists.fetch_add(1, Ordering::Relaxed);
        self.kept.list(filter, page).await
    }
    async fn replace(&self, replaces: &[Replace]) -> Result<Vec<Replaced>, StoreError> {
        self.kept.replace(replaces).await
    }
    async fn revoke(&self, filter: &Filter, revocation: &Revocation) -> Result<u64, StoreError> {
        self.kept.revoke(filter, revocation).await
    }
    async fn touch(&self, uses: &[(TokenId, LastUse)], now: Timestamp) -> Result<(), StoreError> {
        self.kept.touch(uses, now).await
    }
    async fn purge(&self, purge: &Purge, limit: u32) -> Result<u64, StoreError> {
        self.kept.purge(purge, limit).await
    }
    async fn keys_in_use(&self) -> Result<Vec<KeyId>, StoreError> {
        Ok(self.keys.clone())
    }
    async fn diagnose(&self) -> Result<Vec<String>, StoreError> {
        Ok(vec!["a trigger\n\u{1b}[31mcalled x".into()])
    }
}

#[test]
fn the_first_issue_walks_through_no_rows_unless_a_key_is_missing() {
    let store = Naming { keys: vec![KeyId::new(1).unwrap()], ..Naming::default() };
    let bench = bench_over(store.clone(), policy());
    drop(ready(bench.tokens.issue(new())).unwrap());
    drop(ready(bench.tokens.issue(new())).unwrap());
    assert_eq!(store.lists.load(Ordering::Relaxed), 0);
    let after = bench_with_ring(store.clone(), other_ring(), policy());
    let refused = ready(after.tokens.issue(new())).unwrap_err();
    assert!(matches!(refused, IssueError::Failed(Failed::OrphanRow(_))), "{refused:?}");
    after.clock.advance(400 * DAY);
    assert!(ready(after.tokens.issue(new())).is_ok(), "what is under the lost key has expired");
}

#[test]
fn a_store_may_name_a_key_that_seals_no_row() {
    let store = Naming { keys: vec![KeyId::new(9).unwrap()], ..Naming::default() };
    let bench = bench_over(store, policy());
    drop(ready(bench.tokens.issue(new())).unwrap());
    let report = ready(bench.tokens.check()).unwrap();
    assert_eq!(report.under_missing_keys, []);
}

#[test]
fn a_check_walks_once_for_all_missing_keys_and_counts_up_to_500_rows_of_each() {
    let key = |number| KeyId::new(number).unwrap();
    let store = Naming { keys: [1, 2, 7, 8, 9].map(key).into(), ..Naming::default() };
    let policy = policy().with_no_limit_per_owner();
    let both = format!("{OTHER_KEYS},{KEYS}");
    for (keys, count) in [(KEYS, 1600), (&both, 3)] {
        let ring = KeyRing::parse(keys).unwrap();
        let bench = bench_with_ring(store.kept.clone(), ring, policy.clone());
        (0..count).for_each(|_| drop(ready(bench.tokens.issue(new())).unwrap()));
    }
    let fifth = KeyRing::parse(&OTHER_KEYS.replacen('2', "5", 1)).unwrap();
    let fifth = bench_with_ring(store.clone(), fifth, policy);
    let report = ready(fifth.tokens.check()).unwrap();
    assert_eq!(report.under_missing_keys, [(key(1), 500), (key(2), 3)]);
    // Four pages for the seals. For the keys it is one more than a full one, or two if rows under
    // the second key stand in the first page.
    let lists = store.lists.load(Ordering::Relaxed);
    assert!(lists <= 4 + 3, "{lists}");
}

#[test]
fn the_stores_findings_are_one_line_each_in_the_report() {
    let bench = bench_over(Naming::default(), policy());
    let report = ready(bench.tokens.check()).unwrap();
    assert!(!report.is_sound());
    assert!(report.to_string().starts_with("the store: a trigger  [31mcalled x\n"), "{report}");
}
