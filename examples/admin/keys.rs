//! Keys: a new one, which are in use, and the move of all rows to the active one.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use app_tokens::record::{LastUse, Revocation};
use app_tokens::store::{
    DynStore, Filter, Insert, Inserted, Page, Purge, Replace, Replaced, Row, StoreError, TokenStore,
};
use app_tokens::{KeyId, KeyRing, ResealReport, Timestamp, TokenId};
use serde_json::json;
use zeroize::Zeroizing;

use crate::options::Setting;
use crate::print::say;
use crate::problem::Problem;
use crate::setting::{Needs, Opened};

/// The one command that writes a key: that is its purpose.
pub fn new(out: Option<&Path>) -> Result<(), Problem> {
    match out {
        Some(path) if path.try_exists()? => {
            Err(Problem::failed(format_args!("{} is there already", path.display())))
        }
        Some(path) => {
            let ring = KeyRing::load_or_create(path)?;
            say(format_args!("made {} with key {}", path.display(), ring.active_id()))
        }
        None => say(&*Zeroizing::new(KeyRing::new_text()?)),
    }
}

pub async fn in_use(setting: &Setting) -> Result<(), Problem> {
    let opened = setting.open(Needs::Store).await?;
    let mut rows: BTreeMap<KeyId, u64> = opened.tokens.keys_in_use().await?.into_iter().collect();
    for id in opened.ring.iter().flat_map(KeyRing::ids) {
        rows.entry(id).or_insert(0);
    }
    if setting.json {
        let keys = rows.iter().map(
            |(id, rows)| json!({ "key": id.as_u32(), "rows": rows, "role": opened.role(*id) }),
        );
        return say(keys.collect::<serde_json::Value>());
    }
    if rows.is_empty() {
        return say("no key seals anything");
    }
    rows.iter().try_for_each(|(id, rows)| {
        let role = opened.role(*id).map_or(String::new(), |role| format!(", {role}"));
        say(format_args!("key {id}: {rows} rows{role}"))
    })
}

impl Opened {
    /// Nothing without a ring.
    fn role(&self, id: KeyId) -> Option<&'static str> {
        let ring = self.ring.as_ref()?;
        Some(match ring.ids().find(|known| *known == id) {
            Some(_) if ring.active_id() == id => "active",
            Some(_) => "retired",
            None => "missing from the key ring",
        })
    }
}

pub async fn may_retire(setting: &Setting, key: KeyId) -> Result<(), Problem> {
    let opened = setting.open(Needs::Seals).await?;
    opened.tokens.may_retire(key).await?;
    say(format_args!(
        "key {key} seals nothing that is not revoked: it may be taken out of the ring"
    ))
}

pub async fn reseal(setting: &Setting) -> Result<(), Problem> {
    let moved = Arc::new(AtomicU64::new(0));
    let counting = |store| DynStore::new(Counting { store, moved: moved.clone() });
    let opened = setting.open_through(Needs::Seals, counting).await?;
    let report = watched(opened.tokens.reseal(), &moved).await?;
    let said = say_report(&report, setting.json);
    if report.left.is_empty() {
        return said;
    }
    let left: u64 = report.left.iter().map(|(_, rows)| rows).sum();
    Err(Problem::failed(format_args!(
        "{left} rows are not under the active key: run it again once that is looked into"
    )))
}

fn say_report(report: &ResealReport, json: bool) -> Result<(), Problem> {
    let tampered: Vec<String> = report.tampered.iter().map(ToString::to_string).collect();
    if json {
        let left: Vec<_> = report
            .left
            .iter()
            .map(|(id, rows)| json!({ "key": id.as_u32(), "rows": rows }))
            .collect();
        return say(json!({ "moved": report.moved, "tampered": tampered, "left": left }));
    }
    say(format_args!("moved {}", report.moved))?;
    for id in tampered {
        say(format_args!("tampered with, and left alone: {id}"))?;
    }
    report
        .left
        .iter()
        .try_for_each(|(id, rows)| say(format_args!("key {id} still seals {rows} rows")))
}

/// Waits, and tells a person at a terminal how far it is.
async fn watched<T>(work: impl Future<Output = T>, moved: &AtomicU64) -> T {
    let is_seen = io::stderr().is_terminal();
    let tell = |end: &str| {
        if is_seen {
            let _nobody_reads =
                write!(io::stderr(), "\r{} moved{end}", moved.load(Ordering::Relaxed));
        }
    };
    let mut work = std::pin::pin!(work);
    let mut every_second = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            done = &mut work => {
                tell("\n");
                return done;
            }
            _ = every_second.tick() => tell(""),
        }
    }
}

/// Counts the rows that are replaced.
struct Counting {
    store: DynStore,
    moved: Arc<AtomicU64>,
}

impl TokenStore for Counting {
    async fn insert(&self, insert: &Insert) -> Result<Inserted, StoreError> {
        self.store.insert(insert).await
    }
    async fn find(&self, id: TokenId) -> Result<Option<Row>, StoreError> {
        self.store.find(id).await
    }
    async fn list(&self, filter: &Filter, page: Page) -> Result<Vec<Row>, StoreError> {
        self.store.list(filter, page).await
    }
    async fn replace(&self, replace: &Replace) -> Result<Replaced, StoreError> {
        let replaced = self.store.replace(replace).await?;
        self.moved.fetch_add(u64::from(replaced == Replaced::Done), Ordering::Relaxed);
        Ok(replaced)
    }
    async fn revoke(&self, filter: &Filter, revocation: &Revocation) -> Result<u64, StoreError> {
        self.store.revoke(filter, revocation).await
    }
    async fn touch(&self, uses: &[(TokenId, LastUse)], now: Timestamp) -> Result<(), StoreError> {
        self.store.touch(uses, now).await
    }
    async fn purge(&self, purge: &Purge, limit: u32) -> Result<u64, StoreError> {
        self.store.purge(purge, limit).await
    }
}
