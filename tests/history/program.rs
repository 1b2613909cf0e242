//! Draws what the threads of a history do, and records what happened.

use std::cell::Cell;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Mutex, RwLock};
use std::thread;
use std::time::Duration;

use app_tokens::clock::Clock;
use app_tokens::error::{
    AuthError, ChangeError, DenialReason, Failed, IssueError, LifeError, ManageError,
};
use app_tokens::event::Event as Heard;
use app_tokens::record::{Expires, Status};
use app_tokens::report::LeakOutcome;
use app_tokens::store::{CLOCK_TOLERANCE, Filter, Page, RuntimeFree};
use app_tokens::{
    Access, Caller, IssuedToken, KeyRing, NewToken, Owner, Policy, Reason, Reuse, Rotation,
    Timestamp, TokenAuthority, TokenId, TokenView,
};

use support::text::same_id_other_secret;

use super::common;
use super::common::operator;
use super::draw::Draw;

const BEGINNING: i64 = support::rows::NOW;
const HOUR: i64 = 3600;
pub(crate) const DAY: i64 = 24 * HOUR;
const OWNERS: [&str; 2] = ["alice", "bob"];
const LABELS: [&str; 4] = ["Phone", "Backup", "NAS", "Mail"];
const SCOPES: [Scopes; 4] = [&["r", "w", "x"], &["r", "w"], &["r"], &["w"]];
/// Some ends that the clock reaches, the default one, and later ones.
const ENDS: [i64; 6] = [5, 5, 200, 50 * DAY, 100 * DAY, 200 * DAY];

type Scopes = &'static [&'static str];

/// The policy, and what else all threads share. Times are seconds.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) limit: u32,
    pub(crate) unique_labels: bool,
    pub(crate) interval: i64,
    pub(crate) idle: Option<i64>,
    pub(crate) retention: i64,
    pub(crate) overlap: i64,
    pub(crate) reuse_ends_family: bool,
    pub(crate) authorities: usize,
}

/// Every call, in order of its beginning.
pub(crate) struct History {
    pub(crate) seed: u64,
    pub(crate) setting: Setting,
    pub(crate) events: Vec<Event>,
}

/// One call, or what one call did to one of several tokens.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) span: Span,
    pub(crate) thread: usize,
    /// The authority that was called.
    pub(crate) on: usize,
    pub(crate) deed: Deed,
    pub(crate) answer: Answer,
    /// How often the observer heard of a reuse during the call.
    pub(crate) reports: usize,
}

/// When a call began and ended: by one counter for all threads, and by the engine's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) before: i64,
    pub(crate) after: i64,
}

/// What was done to a token. In a program the token is a number; the id is known only when the call
/// is made.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Deed<Token = TokenId> {
    Issue {
        owner: &'static str,
        label: &'static str,
    },
    IssueUnder {
        token: Token,
        label: &'static str,
        scopes: Scopes,
    },
    Authenticate {
        token: Token,
    },
    Change {
        token: Token,
        change: Change,
    },
    Rotate {
        token: Token,
        turn: Turn,
    },
    /// Ends the overlap of the token's line.
    EndOverlap {
        token: Token,
    },
    Revoke {
        token: Token,
        reach: Reach,
    },
    /// The token leaked in a text with the two next ones. Its secret is right or wrong.
    Leak {
        token: Token,
        is_right: bool,
    },
    /// Only with `Reach::One` and `Reach::All`.
    Forget {
        token: Token,
        reach: Reach,
    },
    /// An act by the other owner.
    Intrude {
        token: Token,
        way: usize,
    },
    /// The list of one owner, or of all.
    List {
        owner: Option<&'static str>,
    },
    Flush,
    Purge,
    Reseal,
    Advance {
        seconds: i64,
    },
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    Rename(&'static str),
    Narrow(Scopes),
    Extend(i64),
}

/// What a rotation asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    pub(crate) scopes: Option<Scopes>,
    pub(crate) end: Option<i64>,
    pub(crate) overlap: Option<i64>,
}

/// How far an act goes from the token that it names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Reach {
    One,
    Family,
    /// All of its owner, except its own line.
    Others,
    /// All of its owner.
    All,
}

pub(crate) type Answer = Result<Shown, Refusal>;

#[derive(Clone, Debug)]
pub(crate) enum Shown {
    Nothing,
    /// What an authenticated token may do.
    Access(Access),
    Tokens(Vec<TokenView>),
    /// How many overlaps were ended.
    Overlaps(u64),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Refusal {
    /// The token is dead.
    Ended(DenialReason),
    Conflict,
    Rotated,
    /// A superseded token of the line lives.
    Overlapping,
    OverlapWithLess,
    ParentChanged,
    NotUnderThis,
    MoreAccess,
    Derived,
    /// The end that was asked for has come.
    NoLife,
    LimitReached,
    LabelTaken,
    /// An error that should never happen.
    Failed(String),
}

impl Event {
    /// Returns what was done, and the refusal if there was one.
    pub(crate) fn kind(&self) -> String {
        let what = match self.deed {
            Deed::Change { change, .. } => format!("{change:?}"),
            Deed::Revoke { reach, .. } => format!("Revoke{reach:?}"),
            Deed::Forget { reach, .. } => format!("Forget{reach:?}"),
            deed => format!("{deed:?}"),
        };
        let what = what.split([' ', '(']).next().unwrap_or_default();
        match &self.answer {
            Ok(Shown::Overlaps(1..)) => format!("{what} ended some"),
            Ok(_) => format!("{what} ok"),
            Err(refusal) if self.reports > 0 => format!("{what} {refusal:?}, reported"),
            Err(refusal) => format!("{what} {refusal:?}"),
        }
    }

    pub(crate) fn tokens(&self) -> &[TokenView] {
        match &self.answer {
            Ok(Shown::Tokens(tokens)) => tokens,
            _ => &[],
        }
    }
}

pub(crate) fn access(scopes: Scopes) -> Access {
    Access::scopes(scopes.iter().copied()).unwrap()
}

/// Returns the second at which a token ends.
pub(crate) fn end_of(token: &TokenView) -> i64 {
    token.expires().at().map_or(i64::MAX, Timestamp::as_unix)
}

/// Runs the programs of a seed, each on a thread of its own, with one authority for each store.
pub(crate) fn run<S: RuntimeFree + Clone>(seed: u64, stores: Vec<S>) -> History {
    let mut draw = Draw::of_seed(seed);
    let setting = draw.setting(stores.len());
    let programs = draw.programs(&setting);
    let world = World::new(&setting, stores);
    let _upkeeps: Vec<_> = world.authorities.iter().map(TokenAuthority::upkeep).collect();
    let mut first = Thread::of(&world, 0);
    for (owner, label) in [("alice", "Phone"), ("alice", "Backup"), ("bob", "Phone")] {
        first.act(Deed::Issue { owner, label });
    }
    if draw.once_in(2) {
        first.act(Deed::IssueUnder { token: 0, label: "Mail", scopes: SCOPES[0] });
    }
    let start = Barrier::new(programs.len());
    let mut events = first.events;
    thread::scope(|scope| {
        let run = |(number, program): (usize, &Vec<Deed<usize>>)| {
            let mut thread = Thread::of(&world, number + 1);
            start.wait();
            program.iter().for_each(|step| thread.act(*step));
            thread.events
        };
        let running: Vec<_> =
            programs.iter().enumerate().map(|program| scope.spawn(move || run(program))).collect();
        for thread in running {
            let ended = thread.join();
            events.extend(ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
    });
    // At the end, without races: lists all tokens, tries each, and lists the recorded uses.
    for on in 0..world.authorities.len() {
        let mut last = Thread::of(&world, on);
        last.act(Deed::List { owner: None });
        let held = world.held.lock().unwrap().len();
        (0..held).for_each(|token| last.act(Deed::Authenticate { token }));
        last.act(Deed::Flush);
        last.act(Deed::List { owner: None });
        last.act(Deed::Reseal);
        events.extend(last.events);
    }
    events.sort_by_key(|event| event.span.start);
    History { seed, setting, events }
}

struct World<S> {
    authorities: Vec<TokenAuthority<S>>,
    clock: Ticks,
    stamps: AtomicU64,
    held: Mutex<Vec<Held>>,
    /// Locked for writing while the clock moves by more than clocks may differ.
    long_moves: RwLock<()>,
}

/// A token as its holder has it.
#[derive(Clone)]
struct Held {
    id: TokenId,
    family: TokenId,
    owner: Owner,
    text: String,
}

/// A clock that only moves forwards, whichever thread moves it.
#[derive(Clone)]
struct Ticks(Arc<AtomicI64>);

impl Clock for Ticks {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix(self.0.load(SeqCst)).unwrap()
    }
}

thread_local! {
    /// How often the observer heard of a reuse. It is called on the thread that made the call.
    static REPORTS: Cell<usize> = const { Cell::new(0) };
}

impl<S: RuntimeFree + Clone> World<S> {
    fn new(setting: &Setting, stores: Vec<S>) -> World<S> {
        let clock = Ticks(Arc::new(AtomicI64::new(BEGINNING)));
        let rings = [common::two_keys, common::two_keys_turned];
        let over = |(store, ring): (S, &fn() -> KeyRing)| {
            TokenAuthority::builder(store, ring(), policy(setting))
                .clock(clock.clone())
                .observer(|heard: &Heard<'_>| {
                    let is_reuse = matches!(heard, Heard::Reused { .. });
                    REPORTS.set(REPORTS.get() + usize::from(is_reuse));
                })
                .build()
        };
        World {
            authorities: stores.into_iter().zip(rings.iter().cycle()).map(over).collect(),
            clock,
            stamps: AtomicU64::new(0),
            held: Mutex::default(),
            long_moves: RwLock::default(),
        }
    }

    fn stamp(&self) -> u64 {
        self.stamps.fetch_add(1, SeqCst)
    }

    fn held(&self, number: usize) -> Held {
        let held = self.held.lock().unwrap();
        held[number % held.len()].clone()
    }

    /// Adds a new token, so that every thread can use it.
    fn hold(&self, issued: &IssuedToken) -> Answer {
        let view = issued.view().clone();
        let (owner, text) = (view.owner().clone(), issued.expose_secret().to_owned());
        let held = Held { id: view.id(), family: view.family(), owner, text };
        self.held.lock().unwrap().push(held);
        Ok(Shown::Tokens(vec![view]))
    }
}

fn policy(setting: &Setting) -> Policy {
    let mut policy = common::policy()
        .with_max_per_owner(setting.limit)
        .and_then(|policy| policy.with_default_life(seconds(100 * DAY)))
        .and_then(|policy| policy.with_overlap(seconds(setting.overlap)))
        .unwrap()
        .with_usage_interval(seconds(setting.interval))
        .with_retention(seconds(setting.retention));
    if setting.unique_labels {
        policy = policy.with_unique_labels();
    }
    if setting.reuse_ends_family {
        policy = policy.with_reuse(Reuse::RevokeFamily);
    }
    match setting.idle {
        Some(idle) => policy.with_idle_timeout(seconds(idle)).unwrap(),
        None => policy,
    }
}

/// One thread, and its record.
struct Thread<'w, S> {
    world: &'w World<S>,
    tokens: TokenAuthority<S>,
    number: usize,
    on: usize,
    events: Vec<Event>,
}

impl<'w, S: RuntimeFree + Clone> Thread<'w, S> {
    fn of(world: &'w World<S>, number: usize) -> Thread<'w, S> {
        let on = number % world.authorities.len();
        let tokens = world.authorities[on].clone();
        Thread { world, tokens, number, on, events: Vec::new() }
    }

    fn act(&mut self, step: Deed<usize>) {
        let authority = self.tokens.clone();
        let tokens = &authority;
        let world = self.world;
        // The clock must not move far during a write of last uses: the store would take newer ones
        // for those of a broken clock.
        let (_writes, _moves) = match step {
            Deed::Flush | Deed::Purge | Deed::Rotate { .. } => {
                (Some(world.long_moves.read().unwrap()), None)
            }
            Deed::Advance { seconds } if seconds > CLOCK_TOLERANCE.as_secs().cast_signed() => {
                (None, Some(world.long_moves.write().unwrap()))
            }
            _ => (None, None),
        };
        match step {
            Deed::Issue { owner, label } => {
                let new = NewToken::new(owner, label, access(SCOPES[0]));
                self.note(Deed::Issue { owner, label }, || {
                    world.hold(&tokens.block_on(tokens.issue(new))?)
                });
            }
            Deed::IssueUnder { token, label, .. } => {
                let held = world.held(token);
                if let Some(caller) = self.authenticate(&held) {
                    // All that the token may do, as this process knows it.
                    let is_its = |scopes: &Scopes| access(scopes) == *caller.access();
                    let scopes = SCOPES.into_iter().find(is_its).unwrap();
                    let new = NewToken::new(&held.owner, label, access(scopes));
                    self.note(Deed::IssueUnder { token: held.id, label, scopes }, || {
                        world.hold(&tokens.block_on(tokens.issue_under(&caller, new))?)
                    });
                }
            }
            Deed::Authenticate { token } => {
                let _the_caller_does_nothing = self.authenticate(&world.held(token));
            }
            Deed::Change { token, change } => {
                let Held { id, owner, .. } = world.held(token);
                let by = &owner;
                self.note(Deed::Change { token: id, change }, || {
                    let changed = match change {
                        Change::Rename(label) => tokens.block_on(tokens.rename(by, id, label)),
                        Change::Narrow(scopes) => {
                            tokens.block_on(tokens.narrow(by, id, access(scopes)))
                        }
                        Change::Extend(end) => tokens.block_on(tokens.extend(by, id, until(end))),
                    };
                    Ok(Shown::Tokens(vec![changed?]))
                });
            }
            Deed::Rotate { token, turn } => {
                let Held { id, owner, .. } = world.held(token);
                self.note(Deed::Rotate { token: id, turn }, || {
                    world.hold(&tokens.block_on(tokens.rotate(&owner, id, turn.rotation()))?)
                });
            }
            Deed::EndOverlap { token } => {
                let Held { id, owner, .. } = world.held(token);
                self.note(Deed::EndOverlap { token: id }, || {
                    Ok(Shown::Overlaps(tokens.block_on(tokens.end_overlap(&owner, id))?))
                });
            }
            Deed::Revoke { token, reach } => {
                let Held { id, family, owner, .. } = world.held(token);
                let (by, why) = (&owner, Reason::REQUESTED);
                self.note(Deed::Revoke { token: id, reach }, || {
                    let all = Filter::of_owner(&owner);
                    done(match reach {
                        Reach::One => tokens.block_on(tokens.revoke(by, id, why)),
                        Reach::Family => tokens.block_on(tokens.revoke_matching(
                            by,
                            &Filter::of_family(&owner, family),
                            why,
                        )),
                        Reach::Others => {
                            let others = Filter { except_family: Some(family), ..all };
                            tokens.block_on(tokens.revoke_matching(&operator("ops"), &others, why))
                        }
                        Reach::All => tokens.block_on(tokens.revoke_matching(by, &all, why)),
                    })
                });
            }
            Deed::Leak { token, is_right } => self.leak(token, is_right),
            Deed::Forget { token, reach } => {
                let Held { id, owner, .. } = world.held(token);
                self.note(Deed::Forget { token: id, reach }, || {
                    done(match reach {
                        Reach::One => tokens.block_on(tokens.forget(&owner, id)),
                        _ => tokens.block_on(tokens.forget_owner(&owner, &operator("ops"))),
                    })
                });
            }
            Deed::Intrude { token, way } => {
                let Held { id, owner, .. } = world.held(token);
                let other = OWNERS.iter().find(|other| **other != owner.as_str()).unwrap();
                let other = common::owner(other);
                let by = &other;
                self.note(Deed::Intrude { token: id, way }, || match way {
                    0 => done(tokens.block_on(tokens.rename(by, id, "Mine"))),
                    1 => done(tokens.block_on(tokens.narrow(by, id, access(&[])))),
                    2 => done(tokens.block_on(tokens.extend(by, id, until(BEGINNING + HOUR)))),
                    3 => done(tokens.block_on(tokens.rotate(by, id, Rotation::new()))),
                    4 => done(tokens.block_on(tokens.revoke(by, id, Reason::REQUESTED))),
                    5 => done(tokens.block_on(tokens.forget(by, id))),
                    6 => done(tokens.block_on(tokens.find(by, id))),
                    7 => done(tokens.block_on(tokens.end_overlap(by, id))),
                    _ => match tokens.block_on(tokens.revoke_matching(
                        by,
                        &Filter::of_id(id),
                        Reason::REQUESTED,
                    ))? {
                        0 => Err(Refusal::Ended(DenialReason::Unknown)),
                        _ => Ok(Shown::Nothing),
                    },
                });
            }
            Deed::List { owner } => self.note(Deed::List { owner }, || {
                let filter = owner
                    .map_or(Filter::every_token(), |owner| Filter::of_owner(&common::owner(owner)));
                let page = tokens.block_on(tokens.list(&filter, Page::first(1000)))?;
                none_of(&page.damaged)?;
                Ok(Shown::Tokens(page.tokens))
            }),
            Deed::Flush => self.note(Deed::Flush, || done(tokens.block_on(tokens.flush_usage()))),
            Deed::Purge => self.note(Deed::Purge, || done(tokens.block_on(tokens.purge()))),
            Deed::Reseal => {
                self.note(Deed::Reseal, || none_of(&tokens.block_on(tokens.reseal())?.tampered));
            }
            Deed::Advance { seconds } => self.note(Deed::Advance { seconds }, || {
                world.clock.0.fetch_add(seconds, SeqCst);
                Ok(Shown::Nothing)
            }),
        }
    }

    fn authenticate(&mut self, held: &Held) -> Option<Caller> {
        let tokens = self.tokens.clone();
        let mut let_in = None;
        self.note(Deed::Authenticate { token: held.id }, || {
            let caller = common::any(tokens.block_on(tokens.authenticate(&held.text))?);
            assert_eq!((caller.id(), caller.owner()), (held.id, &held.owner));
            let access = caller.access().clone();
            let_in = Some(caller);
            Ok(Shown::Access(access))
        });
        let_in
    }

    /// Reports three tokens in one text; one or two secrets are wrong.
    fn leak(&mut self, token: usize, is_right: bool) {
        let held = self.world.held.lock().unwrap();
        let leaked = [0, 1, 2].map(|next| {
            let is_right = is_right == (next != 1);
            (held[(token + next) % held.len()].clone(), is_right)
        });
        drop(held);
        let texts = leaked.each_ref().map(|(held, is_right)| {
            if *is_right { held.text.clone() } else { same_id_other_secret(&held.text) }
        });
        let tokens = self.tokens.clone();
        let mut report = Ok(Vec::new());
        self.note(Deed::Leak { token: leaked[0].0.id, is_right }, || {
            let found =
                tokens.block_on(tokens.revoke_leaked(&texts.join("\n"), &operator("scanner")));
            report = found.map(|found| found.leaks).map_err(Refusal::from);
            Ok(Shown::Nothing)
        });
        let call = self.events.pop().unwrap();
        for (number, (held, is_right)) in leaked.iter().enumerate() {
            let answer = report.clone().and_then(|leaks| match leaks.get(number) {
                Some(leak) if leak.id == held.id && leaks.len() == 3 => became(leak.outcome),
                _ => Err(Refusal::Failed(format!("{leaks:?}"))),
            });
            let deed = Deed::Leak { token: held.id, is_right: *is_right };
            self.events.push(Event { deed, answer, ..call.clone() });
        }
    }

    /// Makes a call between two stamps, and records it.
    fn note(&mut self, deed: Deed, act: impl FnOnce() -> Answer) {
        let start = self.world.stamp();
        let before = self.world.clock.now().as_unix();
        let answer = act();
        let after = self.world.clock.now().as_unix();
        let span = Span { start, end: self.world.stamp(), before, after };
        let (thread, on, reports) = (self.number, self.on, REPORTS.take());
        self.events.push(Event { span, thread, on, deed, answer, reports });
    }
}

impl Turn {
    fn rotation(self) -> Rotation {
        let mut rotation = Rotation::new();
        if let Some(scopes) = self.scopes {
            rotation = rotation.narrowed_to(access(scopes));
        }
        if let Some(end) = self.end {
            rotation = rotation.expires(until(end));
        }
        if let Some(overlap) = self.overlap {
            rotation = rotation.overlap(seconds(overlap));
        }
        rotation
    }
}

fn until(end: i64) -> Expires {
    Expires::At(Timestamp::from_unix(end).unwrap())
}

fn seconds(seconds: i64) -> Duration {
    Duration::from_secs(seconds.cast_unsigned())
}

fn done<T, E: Into<Refusal>>(answer: Result<T, E>) -> Answer {
    answer.map(|_| Shown::Nothing).map_err(Into::into)
}

/// Fails if there are rows that should not be there.
fn none_of(ids: &[TokenId]) -> Answer {
    if ids.is_empty() {
        return Ok(Shown::Nothing);
    }
    Err(Refusal::Failed(format!("damaged or tampered: {ids:?}")))
}

fn became(outcome: LeakOutcome) -> Answer {
    match outcome {
        LeakOutcome::Revoked => Ok(Shown::Nothing),
        LeakOutcome::Ended(status) => Err(status.into()),
        LeakOutcome::NoToken => Err(Refusal::Ended(DenialReason::Unknown)),
    }
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Refusal {
        Refusal::Ended(match status {
            Status::Active => return Refusal::Failed("ended, and active".into()),
            Status::Idle => DenialReason::Idle,
            Status::Expired => DenialReason::Expired,
            Status::Superseded => DenialReason::Superseded,
            Status::Tampered => DenialReason::Tampered,
            Status::Revoked => DenialReason::Revoked,
        })
    }
}

impl From<Failed> for Refusal {
    fn from(error: Failed) -> Refusal {
        Refusal::Failed(error.to_string())
    }
}

impl From<AuthError> for Refusal {
    fn from(error: AuthError) -> Refusal {
        match error {
            AuthError::Denied(denied) => Refusal::Ended(denied.reason()),
            other => Refusal::Failed(other.to_string()),
        }
    }
}

impl From<ManageError> for Refusal {
    fn from(error: ManageError) -> Refusal {
        match error {
            ManageError::Unknown => Refusal::Ended(DenialReason::Unknown),
            other => Refusal::Failed(other.to_string()),
        }
    }
}

impl From<IssueError> for Refusal {
    fn from(error: IssueError) -> Refusal {
        match error {
            IssueError::NotUnderThis => Refusal::NotUnderThis,
            IssueError::ParentChanged => Refusal::ParentChanged,
            IssueError::MoreAccess => Refusal::MoreAccess,
            IssueError::LimitReached { .. } => Refusal::LimitReached,
            IssueError::LabelTaken => Refusal::LabelTaken,
            other => Refusal::Failed(other.to_string()),
        }
    }
}

impl From<ChangeError> for Refusal {
    fn from(error: ChangeError) -> Refusal {
        match error {
            ChangeError::Unknown => Refusal::Ended(DenialReason::Unknown),
            ChangeError::NotActive(status) => status.into(),
            ChangeError::MoreAccess | ChangeError::NarrowedApart => Refusal::MoreAccess,
            ChangeError::Life(LifeError::NoLife) => Refusal::NoLife,
            ChangeError::Derived => Refusal::Derived,
            ChangeError::LabelTaken => Refusal::LabelTaken,
            ChangeError::Rotated { .. } => Refusal::Rotated,
            ChangeError::Overlapping { .. } => Refusal::Overlapping,
            ChangeError::OverlapWithLess => Refusal::OverlapWithLess,
            ChangeError::Conflict => Refusal::Conflict,
            other => Refusal::Failed(other.to_string()),
        }
    }
}

impl Draw {
    fn setting(&mut self, authorities: usize) -> Setting {
        let idle = self.once_in(4).then_some(DAY);
        Setting {
            limit: self.of(&[3, 4, 5, 100]),
            unique_labels: self.once_in(2),
            interval: self.of(&[0, 60]),
            idle,
            // An idle row must not be deleted while a use of it waits to be written.
            retention: if idle.is_none() { self.of(&[0, 5, 90 * DAY]) } else { 90 * DAY },
            overlap: self.of(&[0, 0, 10]),
            reuse_ends_family: self.once_in(4),
            authorities,
        }
    }

    fn programs(&mut self, setting: &Setting) -> Vec<Vec<Deed<usize>>> {
        // Histories that revoke everything at once show little else.
        let gentle = self.once_in(2);
        let clock_moves = self.once_in(2);
        (0..3 + self.below(2))
            .map(|_| {
                let steps = 3 + self.below(6);
                (0..steps).map(|_| self.step(setting, gentle, clock_moves)).collect()
            })
            .collect()
    }

    fn step(&mut self, setting: &Setting, gentle: bool, clock_moves: bool) -> Deed<usize> {
        // Mostly one of the first tokens, so that threads meet.
        let token = if self.once_in(4) { self.below(20) } else { self.below(4) };
        match self.below(116) {
            0..6 => Deed::Issue { owner: self.of(&OWNERS), label: self.of(&LABELS) },
            6..14 => Deed::IssueUnder { token, label: self.of(&LABELS), scopes: SCOPES[0] },
            14..32 => Deed::Change { token, change: self.change() },
            32..48 => Deed::Rotate { token, turn: self.turn() },
            48..53 => Deed::Flush,
            53..57 => Deed::Reseal,
            57..63 => Deed::List { owner: self.of(&[None, Some("alice"), Some("bob")]) },
            63..66 => Deed::Purge,
            66..70 => Deed::Intrude { token, way: self.below(9) },
            70..75 if clock_moves => {
                // By no more than clocks may differ: beyond that the engine refuses the clock.
                let long = setting.idle.map_or(240, |idle| idle / 2);
                Deed::Advance { seconds: self.of(&[1, 10, long]) }
            }
            75..88 if !gentle => match self.below(13) {
                0..4 => Deed::Revoke { token, reach: Reach::One },
                4 => Deed::Revoke { token, reach: Reach::Family },
                5 => Deed::Revoke { token, reach: Reach::Others },
                6 => Deed::Revoke { token, reach: Reach::All },
                7..10 => Deed::Leak { token, is_right: self.once_in(2) },
                10..12 => Deed::Forget { token, reach: Reach::One },
                _ => Deed::Forget { token, reach: Reach::All },
            },
            88..94 => Deed::EndOverlap { token },
            _ => Deed::Authenticate { token },
        }
    }

    fn change(&mut self) -> Change {
        match self.below(3) {
            0 => Change::Rename(self.of(&LABELS)),
            1 => Change::Narrow(self.of(&SCOPES)),
            _ => Change::Extend(BEGINNING + self.of(&ENDS)),
        }
    }

    fn turn(&mut self) -> Turn {
        Turn {
            scopes: self.once_in(4).then(|| self.of(&SCOPES)),
            end: self.once_in(4).then(|| BEGINNING + self.of(&ENDS)),
            overlap: self.of(&[None, Some(0), Some(10), Some(240)]),
        }
    }
}
