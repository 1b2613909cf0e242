//! The locks of WebDAV (RFC 4918, 6 and 7), in memory.
//!
//! `dav-server`'s own `MemLs` never ends a lock. It keeps as many as clients ask for, with all that
//! they write about an owner. Here a lock ends after an hour at most, and their number and size
//! are limited.

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::HeaderMap;
use dav_server::davpath::DavPath;
use dav_server::ls::{DavLock, DavLockSystem, LsFuture};
use tokio::time::Instant;
use uuid::Uuid;
use xmltree::{Element, Namespace};

use crate::Folder;

/// The most locks in a folder, which is one user's.
const MAX_IN_FOLDER: usize = 100;
/// The most locks in all folders.
const MAX_IN_ALL: usize = 10_000;
/// The longest request for a lock, in bytes. So what it says about the owner is short, too.
pub(crate) const MAX_REQUEST: usize = 4 * 1024;
/// How long a lock lives that is not refreshed.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// The locks of every folder in this process, so that there is one limit for all.
static ALL: Mutex<BTreeMap<u64, Vec<Held>>> = Mutex::new(BTreeMap::new());
/// The number of the next folder.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// The locks of a folder, as one request sees them.
#[derive(Clone, Debug)]
pub(crate) struct Locks {
    number: u64,
    folder: Folder,
    /// How long the request wants a lock to live.
    asked: Duration,
}

#[derive(Debug)]
struct Held {
    /// Without its owner.
    lock: DavLock,
    /// What the client wrote about the owner, as XML. Parsed, it would take a hundred times the
    /// room.
    owner: Option<Vec<u8>>,
    ends: Instant,
}

impl Locks {
    pub(crate) fn new(folder: Folder) -> Locks {
        Locks { number: NEXT.fetch_add(1, Ordering::Relaxed), folder, asked: LONGEST }
    }

    /// Returns the locks for a request. `dav-server` allows ten minutes at most, so the header is
    /// read here.
    pub(crate) fn asked_by(&self, headers: &HeaderMap) -> Box<Locks> {
        let header = headers.get("timeout").and_then(|value| value.to_str().ok());
        let asked = header.and_then(|times| times.split(',').find_map(|time| life(time.trim())));
        Box::new(Locks { asked: asked.unwrap_or(LONGEST), ..self.clone() })
    }

    /// Returns whether the folder may have one more lock.
    pub(crate) fn have_room(&self) -> bool {
        self.room_in(&mut all())
    }

    fn room_in(&self, all: &mut BTreeMap<u64, Vec<Held>>) -> bool {
        let is_full = |all: &BTreeMap<u64, Vec<Held>>| {
            all.values().map(Vec::len).sum::<usize>() >= MAX_IN_ALL
                || all.get(&self.number).is_some_and(|held| held.len() >= MAX_IN_FOLDER)
        };
        // A folder that nobody looks at may hold some that have ended.
        if is_full(all) {
            all.retain(|_, held| !without_ended(held).is_empty());
        }
        !is_full(all)
    }

    /// Works with the folder's locks that have not ended.
    fn with<T>(&self, work: impl FnOnce(&mut Vec<Held>) -> T) -> T {
        let mut all = all();
        let held = without_ended(all.entry(self.number).or_default());
        let done = work(held);
        if held.is_empty() {
            all.remove(&self.number);
        }
        done
    }

    /// Returns whether a change at this path changes which members its folder has.
    fn changes_members(&self, path: &DavPath, removes: bool) -> bool {
        removes || self.folder.real(path).is_ok_and(|real| !real.exists())
    }
}

fn all() -> MutexGuard<'static, BTreeMap<u64, Vec<Held>>> {
    ALL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Drops the locks that have ended.
fn without_ended(held: &mut Vec<Held>) -> &mut Vec<Held> {
    let now = Instant::now();
    held.retain(|held| held.ends > now);
    held
}

impl Held {
    fn is(&self, path: &DavPath, token: &str) -> bool {
        self.lock.token == token && covers(&self.lock, path)
    }

    fn shown(&self) -> DavLock {
        // Nothing else was ever written here than what `written` wrote.
        let owner = self.owner.as_deref().and_then(|owner| Element::parse(owner).ok());
        let left = self.ends.saturating_duration_since(Instant::now());
        // Rounded up: just made, it has the time that was asked for.
        let left = Duration::from_secs(left.as_secs() + u64::from(left.subsec_nanos() > 0));
        DavLock { owner: owner.map(Box::new), timeout: Some(left), ..self.lock.clone() }
    }
}

fn new_lock(path: &DavPath, principal: Option<&str>, shared: bool, deep: bool) -> DavLock {
    DavLock {
        token: Uuid::new_v4().urn().to_string(),
        path: Box::new(path.clone()),
        principal: principal.map(str::to_owned),
        owner: None,
        timeout_at: None,
        timeout: None,
        shared,
        deep,
    }
}

/// Reads one of the times in a `Timeout` header (RFC 4918, 10.7).
fn life(time: &str) -> Option<Duration> {
    if time.eq_ignore_ascii_case("infinite") {
        return Some(LONGEST);
    }
    let seconds = time.strip_prefix("Second-")?;
    let is_number = !seconds.is_empty() && seconds.bytes().all(|byte| byte.is_ascii_digit());
    // A number that is too large to read is longer than the longest.
    is_number.then(|| seconds.parse().map_or(LONGEST, Duration::from_secs).min(LONGEST))
}

/// Writes what a client said about the owner.
fn written(owner: &Element) -> Option<Vec<u8>> {
    let mut owner = owner.clone();
    // `dav-server` has given it this prefix, which the client may not have declared.
    owner.namespaces.get_or_insert_with(Namespace::empty).put("D", "DAV:");
    let mut xml = Vec::new();
    owner.write(&mut xml).ok()?;
    Some(xml)
}

/// Returns whether a path is another or below it.
fn is_within(path: &DavPath, other: &DavPath) -> bool {
    path.as_rel_ospath().starts_with(other.as_rel_ospath())
}

/// Returns whether a path is locked by this lock.
fn covers(lock: &DavLock, path: &DavPath) -> bool {
    is_within(path, &lock.path) && (lock.deep || *path == *lock.path)
}

/// Returns whether a lock is on the folder that a path is directly in.
fn is_on_parent(lock: &DavLock, path: &DavPath) -> bool {
    path.as_rel_ospath().parent() == Some(lock.path.as_rel_ospath())
}

impl DavLockSystem for Locks {
    fn lock(
        &self,
        path: &DavPath,
        principal: Option<&str>,
        owner: Option<&Element>,
        _: Option<Duration>,
        shared: bool,
        deep: bool,
    ) -> LsFuture<'_, Result<DavLock, DavLock>> {
        let lock = new_lock(path, principal, shared, deep);
        // A lock on nothing makes a file. Its folder's lock may be the client's own, but the token
        // is not told here; so refuse it.
        let makes_member = self.changes_members(path, false);
        let meets = |other: &DavLock| {
            covers(other, path)
                || (deep && is_within(&other.path, path))
                || (makes_member && is_on_parent(other, path))
        };
        let lock = Held { lock, owner: owner.and_then(written), ends: Instant::now() + self.asked };
        let mut all = all();
        let has_room = self.room_in(&mut all);
        let held = without_ended(all.entry(self.number).or_default());
        let mut others = held.iter().filter(|held| meets(&held.lock));
        let conflict = others.find(|held| !(shared && held.lock.shared)).map(Held::shown);
        let shown = lock.shown();
        let made = match conflict {
            Some(conflict) => Err(conflict),
            // Anyone who asks `have_room` before can say the reason. Here it looks like a
            // conflict.
            None if !has_room => Err(shown),
            None => {
                held.push(lock);
                Ok(shown)
            }
        };
        Box::pin(ready(made))
    }

    fn unlock(&self, path: &DavPath, token: &str) -> LsFuture<'_, Result<(), ()>> {
        let removed = self.with(|held| {
            let place = held.iter().position(|held| held.is(path, token));
            place.map(|place| drop(held.swap_remove(place)))
        });
        Box::pin(ready(removed.ok_or(())))
    }

    fn refresh(
        &self,
        path: &DavPath,
        token: &str,
        _: Option<Duration>,
    ) -> LsFuture<'_, Result<DavLock, ()>> {
        let refreshed = self.with(|held| {
            let held = held.iter_mut().find(|held| held.is(path, token))?;
            held.ends = Instant::now() + self.asked;
            Some(held.shown())
        });
        Box::pin(ready(refreshed.ok_or(())))
    }

    fn check(
        &self,
        path: &DavPath,
        principal: Option<&str>,
        ignore_principal: bool,
        deep: bool,
        submitted_tokens: &[String],
    ) -> LsFuture<'_, Result<(), DavLock>> {
        // Only the `If` header is checked this way: is this the token of a lock here? Where there
        // is no lock, the answer is no (RFC 4918, 10.4.4).
        if ignore_principal {
            let found = self.with(|held| {
                held.iter().any(|held| submitted_tokens.iter().any(|token| held.is(path, token)))
            });
            let none = new_lock(path, None, false, false);
            return Box::pin(ready(if found { Ok(()) } else { Err(none) }));
        }
        let changes_members = self.changes_members(path, deep);
        let is_own = |lock: &DavLock| {
            submitted_tokens.contains(&lock.token) && lock.principal.as_deref() == principal
        };
        let concerns = |lock: &DavLock, at: &DavPath| {
            covers(lock, at) || (changes_members && at == path && is_on_parent(lock, at))
        };
        let conflict = self.with(|held| {
            let in_the_way = held.iter().find(|found| {
                let lock = &found.lock;
                let at = match concerns(lock, path) {
                    true => path,
                    false if deep && is_within(&lock.path, path) => &lock.path,
                    false => return false,
                };
                // Of shared locks, the token of one is enough.
                let is_shared_with =
                    |own: &&Held| lock.shared && is_own(&own.lock) && concerns(&own.lock, at);
                !is_own(lock) && !held.iter().any(|own| is_shared_with(&own))
            });
            in_the_way.map(Held::shown)
        });
        Box::pin(ready(conflict.map_or(Ok(()), Err)))
    }

    fn discover(&self, path: &DavPath) -> LsFuture<'_, Vec<DavLock>> {
        let found = self.with(|held| {
            held.iter().filter(|held| covers(&held.lock, path)).map(Held::shown).collect()
        });
        Box::pin(ready(found))
    }

    fn delete(&self, path: &DavPath) -> LsFuture<'_, Result<(), ()>> {
        self.with(|held| held.retain(|held| !is_within(&held.lock.path, path)));
        Box::pin(ready(Ok(())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Holds;

    fn path(number: usize) -> DavPath {
        DavPath::new(&format!("/{number}")).unwrap()
    }

    async fn make(locks: &Locks, number: usize) -> bool {
        let made = locks.lock(&path(number), Some("alice"), None, None, false, true).await;
        made.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn locks_end_by_the_clock_and_make_room_for_others() {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::open(home.path(), "files", "", Holds::Files).unwrap();
        let folders: Vec<Locks> =
            (0..=MAX_IN_ALL / MAX_IN_FOLDER).map(|_| Locks::new(folder.clone())).collect();
        let (last, full) = folders.split_last().unwrap();
        for locks in full {
            for number in 0..MAX_IN_FOLDER {
                assert!(make(locks, number).await);
            }
            assert!(!locks.have_room());
        }
        assert!(!last.have_room() && !make(last, 0).await, "there is one limit for all");

        tokio::time::advance(LONGEST / 2).await;
        let kept = folders[0].discover(&path(0)).await.remove(0);
        assert_eq!(kept.timeout, Some(LONGEST / 2), "it shows what is left");
        folders[0].refresh(&path(0), &kept.token, None).await.unwrap();
        tokio::time::advance(LONGEST / 2).await;
        assert_eq!(folders[0].discover(&path(0)).await.len(), 1);
        assert!(folders[0].discover(&path(1)).await.is_empty());
        assert!(folders[0].check(&path(0), Some("alice"), false, true, &[]).await.is_err());
        assert!(folders[0].check(&path(1), Some("alice"), false, true, &[]).await.is_ok());
        assert!(make(last, 0).await);
        let another = [kept.token.clone()];
        assert!(folders[0].check(&path(0), Some("bob"), false, true, &another).await.is_err());
        assert!(folders[0].check(&path(0), Some("alice"), false, true, &another).await.is_ok());

        tokio::time::advance(LONGEST).await;
        assert!(folders[0].refresh(&path(0), &kept.token, None).await.is_err(), "it is over");
    }

    #[test]
    fn an_owner_takes_no_more_room_than_its_request() {
        let names: String = (0..100).map(|n| format!(" xmlns:n{n}=\"urn:{n}\"")).collect();
        let body = format!("<a xmlns:D=\"DAV:\"{names}>{}</a>", "<n1:x/>".repeat(200));
        assert!(body.len() < MAX_REQUEST);
        let written = written(&Element::parse(body.as_bytes()).unwrap()).unwrap();
        assert!(written.len() < 2 * MAX_REQUEST, "{}", written.len());
        assert_eq!(Element::parse(&*written).unwrap().children.len(), 200);
    }
}
