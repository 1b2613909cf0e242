//! What the threads of a history do, drawn from a seed, and what they write down of it.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::Duration;

use app_tokens::error::{ChangeError, DenialReason};
use app_tokens::record::Status;
use app_tokens::store::{Filter, Page, RuntimeFree};
use app_tokens::{
    Access, AuthError, By, Caller, Clock, IssueError, KeyRing, LeakOutcome, ManageError, NewToken,
    Owner, Policy, Reason, Requirement, Reuse, Rotation, Timestamp, TokenAuthority, TokenId,
    TokenView,
};

/// 2026-03-01T12:00:00Z.
const BEGINNING: i64 = 1_772_366_400;
const HOUR: i64 = 3600;
const KEYS: [&str; 2] = [
    "1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=,2:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=",
    "2:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=,1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
];
const LABELS: [&str; 4] = ["Phone", "Backup", "NAS", "Mail"];
const SCOPES: [&[&str]; 4] = [&["r", "w", "x"], &["r", "w"], &["r"], &["w"]];

/// The policy, and what else is the same for all threads. Times are seconds.
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

/// Everything that was done, in no order.
pub(crate) struct History {
    pub(crate) seed: u64,
    pub(crate) setting: Setting,
    pub(crate) events: Vec<Event>,
}

/// One call.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) span: Span,
    pub(crate) thread: usize,
    /// Which of the authorities was called.
    pub(crate) on: usize,
    pub(crate) deed: Deed,
}

/// When a call began and ended: by one counter for all threads, and by the engine's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) before: i64,
    pub(crate) after: i64,
}

#[derive(Clone, Debug)]
pub(crate) enum Deed {
    Issue { answer: Result<Line, Refusal>, label: &'static str },
    IssueUnder { parent: TokenId, answer: Result<Line, Refusal>, label: &'static str },
    Authenticate { id: TokenId, answer: Result<Access, Refusal> },
    Rename { id: TokenId, label: &'static str, answer: Result<Line, Refusal> },
    Narrow { id: TokenId, access: Access, answer: Result<Line, Refusal> },
    Rotate { id: TokenId, overlap: i64, answer: Result<Line, Refusal> },
    Revoke { which: Which, answer: Result<u64, Refusal> },
    Forget { which: Which, answer: Result<u64, Refusal> },
    List { answer: Result<Vec<Line>, Refusal> },
    Flush { answer: Result<(), Refusal> },
    Purge { answer: Result<(), Refusal> },
    Reseal { answer: Result<(), Refusal> },
    Advance,
}

impl Deed {
    /// What was done, and whether it was refused.
    pub(crate) fn kind(&self) -> String {
        let refusal = match self {
            Deed::Issue { answer, .. }
            | Deed::IssueUnder { answer, .. }
            | Deed::Rename { answer, .. }
            | Deed::Narrow { answer, .. }
            | Deed::Rotate { answer, .. } => answer.as_ref().err(),
            Deed::Authenticate { answer, .. } => answer.as_ref().err(),
            Deed::Revoke { answer, .. } | Deed::Forget { answer, .. } => answer.as_ref().err(),
            Deed::List { answer } => answer.as_ref().err(),
            Deed::Flush { answer } | Deed::Purge { answer } | Deed::Reseal { answer } => {
                answer.as_ref().err()
            }
            Deed::Advance => None,
        };
        let text = format!("{self:?}");
        let what = text.split(' ').next().unwrap_or_default();
        refusal.map_or(format!("{what} ok"), |refusal| format!("{what} {refusal:?}"))
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Which {
    One(TokenId),
    Family(TokenId),
    All,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Refusal {
    /// The token is no good any more.
    Ended(DenialReason),
    Conflict,
    Rotated,
    ParentChanged,
    NotUnderThis,
    MoreAccess,
    LimitReached,
    LabelTaken,
    /// Whatever should never happen.
    Failed(String),
}

/// A token as it was shown.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) id: TokenId,
    pub(crate) label: String,
    pub(crate) access: Access,
    pub(crate) expires: i64,
    pub(crate) family: TokenId,
    pub(crate) successor: Option<TokenId>,
    pub(crate) derived_from: Option<TokenId>,
    pub(crate) revocation: Option<String>,
    pub(crate) last_use: Option<i64>,
    pub(crate) status: Option<Status>,
}

impl Line {
    fn of(view: &TokenView) -> Line {
        Line {
            id: view.id(),
            label: view.label().as_str().to_owned(),
            access: view.access().clone(),
            expires: view.expires().at().map_or(i64::MAX, Timestamp::as_unix),
            family: view.family(),
            successor: view.successor(),
            derived_from: view.derived_from(),
            revocation: view.revocation().map(|revocation| format!("{revocation:?}")),
            last_use: view.last_use().map(|last| last.at.as_unix()),
            status: view.status(),
        }
    }

    /// Whether it counts for limit and unique labels.
    pub(crate) fn is_live(&self, now: i64) -> bool {
        self.revocation.is_none() && self.successor.is_none() && now < self.expires
    }
}

/// One step of a thread's program. A number stands for a token: which one is known when it is done.
#[derive(Clone, Copy, Debug)]
enum Step {
    Issue(&'static str),
    IssueUnder(usize, &'static str),
    Authenticate(usize),
    Rename(usize, &'static str),
    Narrow(usize, &'static [&'static str]),
    Rotate(usize, Option<i64>),
    RevokeOne(usize),
    RevokeFamily(usize),
    RevokeLeaked(usize),
    RevokeAll,
    ForgetOne(usize),
    ForgetAll,
    List,
    Flush,
    Purge,
    Reseal,
    Advance(i64),
}

/// Runs the programs of a seed, each on a thread of its own; one authority over each store.
pub(crate) fn run<S: RuntimeFree + Clone>(seed: u64, stores: Vec<S>) -> History {
    let mut draw = Draw(seed);
    let setting = draw.setting(stores.len());
    let programs = draw.programs(&setting);
    let world = World::new(&setting, stores);
    let _flushers: Vec<_> = world.authorities.iter().map(TokenAuthority::usage_flusher).collect();
    let mut first = Thread::of(&world, 0);
    (0..2 + draw.below(2)).for_each(|number| first.act(Step::Issue(LABELS[number])));
    if draw.once_in(2) {
        first.act(Step::IssueUnder(0, "Mail"));
    }
    let start = Barrier::new(programs.len());
    let mut events = first.events;
    thread::scope(|scope| {
        let run = |(number, program): (usize, &Vec<Step>)| {
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
    // In the end, without a race: what is in the list, who is let in, and what of it was noted.
    for on in 0..world.authorities.len() {
        let mut last = Thread::of(&world, on);
        last.act(Step::List);
        let held = world.held.lock().unwrap().len();
        (0..held).for_each(|number| last.act(Step::Authenticate(number)));
        last.act(Step::Flush);
        last.act(Step::List);
        last.act(Step::Reseal);
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
    alice: Owner,
}

/// A token as its holder has it.
#[derive(Clone)]
struct Held {
    id: TokenId,
    family: TokenId,
    text: String,
}

/// A clock that goes forwards only, whoever moves it.
#[derive(Clone)]
struct Ticks(Arc<AtomicI64>);

impl Clock for Ticks {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix(self.0.load(SeqCst)).unwrap()
    }
}

impl<S: RuntimeFree + Clone> World<S> {
    fn new(setting: &Setting, stores: Vec<S>) -> World<S> {
        let clock = Ticks(Arc::new(AtomicI64::new(BEGINNING)));
        let over = |(store, keys): (S, &&str)| {
            TokenAuthority::builder(store, KeyRing::parse(keys).unwrap(), policy(setting))
                .clock(clock.clone())
                .build()
        };
        World {
            authorities: stores.into_iter().zip(KEYS.iter().cycle()).map(over).collect(),
            clock,
            stamps: AtomicU64::new(0),
            held: Mutex::default(),
            alice: "alice".parse().unwrap(),
        }
    }

    fn stamp(&self) -> u64 {
        self.stamps.fetch_add(1, SeqCst)
    }

    fn held(&self, number: usize) -> Held {
        let held = self.held.lock().unwrap();
        held[number % held.len()].clone()
    }
}

fn policy(setting: &Setting) -> Policy {
    let mut policy = Policy::new("acme")
        .and_then(|policy| policy.with_max_per_owner(setting.limit))
        .and_then(|policy| policy.with_default_life(seconds(100 * 24 * HOUR)))
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

/// One thread, and what it wrote down.
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

    fn act(&mut self, step: Step) {
        let tokens = self.tokens.clone();
        let tokens = tokens.blocking();
        let world = self.world;
        let by = By::Owner(&world.alice);
        let new =
            |label| NewToken::new("alice", label).access(Access::scopes(["r", "w", "x"]).unwrap());
        match step {
            Step::Issue(label) => self.note(|thread| {
                let issued = tokens.issue(new(label)).map_err(|error| refused_issue(&error));
                Deed::Issue { label, answer: issued.map(|issued| thread.hold(&issued)) }
            }),
            Step::IssueUnder(number, label) => {
                let parent = world.held(number);
                let Some(caller) = self.authenticate(&parent) else {
                    return;
                };
                self.note(|thread| {
                    let issued = tokens.issue_under(&caller, NewToken::new("alice", label));
                    let issued = issued.map_err(|error| refused_issue(&error));
                    let answer = issued.map(|issued| thread.hold(&issued));
                    Deed::IssueUnder { parent: parent.id, label, answer }
                });
            }
            Step::Authenticate(number) => {
                let held = world.held(number);
                let _the_caller_does_nothing = self.authenticate(&held);
            }
            Step::Rename(number, label) => {
                let id = world.held(number).id;
                self.note(|_| {
                    let renamed = tokens.rename(by, id, label);
                    let answer = renamed.map(|view| Line::of(&view));
                    Deed::Rename { id, label, answer: answer.map_err(|e| refused_change(&e)) }
                });
            }
            Step::Narrow(number, scopes) => {
                let id = world.held(number).id;
                let access = Access::scopes(scopes.iter().copied()).unwrap();
                self.note(|_| {
                    let narrowed = tokens.narrow(by, id, access.clone());
                    let answer = narrowed.map(|view| Line::of(&view));
                    Deed::Narrow { id, access, answer: answer.map_err(|e| refused_change(&e)) }
                });
            }
            Step::Rotate(number, overlap) => {
                let id = world.held(number).id;
                let mut rotation = Rotation::new();
                if let Some(overlap) = overlap {
                    rotation = rotation.overlap(seconds(overlap));
                }
                let by_policy = tokens_overlap(&self.tokens);
                self.note(|thread| {
                    let rotated =
                        tokens.rotate(by, id, rotation).map_err(|error| refused_change(&error));
                    let answer = rotated.map(|issued| thread.hold(&issued));
                    Deed::Rotate { id, overlap: overlap.unwrap_or(by_policy), answer }
                });
            }
            Step::RevokeOne(number) => {
                let id = world.held(number).id;
                self.note(|_| {
                    let answer = counted(tokens.revoke(by, id, Reason::REQUESTED));
                    Deed::Revoke { which: Which::One(id), answer }
                });
            }
            Step::RevokeFamily(number) => {
                let family = world.held(number).family;
                let filter = Filter::of_family(&world.alice, family);
                self.note(|_| {
                    let answer = counted(tokens.revoke_matching(by, &filter, Reason::REQUESTED));
                    Deed::Revoke { which: Which::Family(family), answer }
                });
            }
            Step::RevokeLeaked(number) => {
                let Held { id, text, .. } = world.held(number);
                self.note(|_| {
                    let report = tokens.revoke_leaked(&format!("token={text};"), "scanner");
                    let outcome = report.map_err(|error| unmanaged(&error)).map(|report| {
                        let [leak] = &report.leaks[..] else {
                            return Err(Refusal::Failed(format!("{report:?}")));
                        };
                        match leak.outcome {
                            LeakOutcome::Revoked => Ok(1),
                            LeakOutcome::Ended(status) => Err(ended(status)),
                            LeakOutcome::NoToken => Err(Refusal::Ended(DenialReason::Unknown)),
                        }
                    });
                    Deed::Revoke { which: Which::One(id), answer: outcome.and_then(|it| it) }
                });
            }
            Step::RevokeAll => self.note(|_| {
                let filter = Filter::of_owner(&world.alice);
                let answer = counted(tokens.revoke_matching(by, &filter, Reason::REQUESTED));
                Deed::Revoke { which: Which::All, answer }
            }),
            Step::ForgetOne(number) => {
                let id = world.held(number).id;
                self.note(|_| {
                    let answer = counted(tokens.forget(by, id));
                    Deed::Forget { which: Which::One(id), answer }
                });
            }
            Step::ForgetAll => self.note(|_| {
                let answer = counted(tokens.forget_owner(&world.alice, "ops"));
                Deed::Forget { which: Which::All, answer }
            }),
            Step::List => self.note(|_| {
                let page = tokens.list(&Filter::of_owner(&world.alice), Page::first(1000));
                let answer =
                    page.map_err(|error| Refusal::Failed(error.to_string())).and_then(|page| {
                        match &page.damaged[..] {
                            [] => Ok(page.tokens.iter().map(Line::of).collect()),
                            damaged => Err(Refusal::Failed(format!("damaged rows: {damaged:?}"))),
                        }
                    });
                Deed::List { answer }
            }),
            Step::Flush => self.note(|_| Deed::Flush { answer: done(tokens.flush_usage()) }),
            Step::Purge => self.note(|_| Deed::Purge { answer: done(tokens.purge()) }),
            Step::Reseal => self.note(|_| {
                let answer = tokens.reseal().map_err(|error| Refusal::Failed(error.to_string()));
                let answer = answer.and_then(|report| match &report.tampered[..] {
                    [] => Ok(()),
                    tampered => Err(Refusal::Failed(format!("tampered rows: {tampered:?}"))),
                });
                Deed::Reseal { answer }
            }),
            Step::Advance(by) => self.note(|_| {
                world.clock.0.fetch_add(by, SeqCst);
                Deed::Advance
            }),
        }
    }

    fn authenticate(&mut self, held: &Held) -> Option<Caller> {
        let tokens = self.tokens.clone();
        let mut let_in = None;
        self.note(|_| {
            let answer = match tokens.blocking().authenticate(&held.text) {
                Ok(good) => {
                    let caller = good.require(Requirement::ANY_VALID_TOKEN).unwrap();
                    assert_eq!((caller.id(), caller.owner().as_str()), (held.id, "alice"));
                    let access = caller.access().clone();
                    let_in = Some(caller);
                    Ok(access)
                }
                Err(AuthError::Denied(denied)) => Err(Refusal::Ended(denied.reason())),
                Err(error) => Err(Refusal::Failed(error.to_string())),
            };
            Deed::Authenticate { id: held.id, answer }
        });
        let_in
    }

    /// Does it between two stamps.
    fn note(&mut self, act: impl FnOnce(&mut Self) -> Deed) {
        let start = self.world.stamp();
        let before = self.world.clock.now().as_unix();
        let deed = act(self);
        let after = self.world.clock.now().as_unix();
        let span = Span { start, end: self.world.stamp(), before, after };
        self.events.push(Event { span, thread: self.number, on: self.on, deed });
    }

    /// Puts a new token where every thread finds it.
    fn hold(&self, issued: &app_tokens::IssuedToken) -> Line {
        let line = Line::of(issued.view());
        let text = issued.expose_secret().to_owned();
        self.world.held.lock().unwrap().push(Held { id: line.id, family: line.family, text });
        line
    }
}

fn tokens_overlap<S: RuntimeFree>(tokens: &TokenAuthority<S>) -> i64 {
    tokens.policy().overlap().as_secs().cast_signed()
}

fn seconds(seconds: i64) -> Duration {
    Duration::from_secs(seconds.cast_unsigned())
}

fn done<T, E: ToString>(answer: Result<T, E>) -> Result<(), Refusal> {
    answer.map(|_| ()).map_err(|error| Refusal::Failed(error.to_string()))
}

fn counted(answer: Result<u64, ManageError>) -> Result<u64, Refusal> {
    answer.map_err(|error| unmanaged(&error))
}

fn unmanaged(error: &ManageError) -> Refusal {
    match error {
        ManageError::Unknown => Refusal::Ended(DenialReason::Unknown),
        other => Refusal::Failed(other.to_string()),
    }
}

fn ended(status: Status) -> Refusal {
    match status {
        Status::Active => Refusal::Failed("ended, and active".into()),
        Status::Idle => Refusal::Ended(DenialReason::Idle),
        Status::Expired => Refusal::Ended(DenialReason::Expired),
        Status::Superseded => Refusal::Ended(DenialReason::Superseded),
        Status::Tampered => Refusal::Ended(DenialReason::Tampered),
        Status::Revoked => Refusal::Ended(DenialReason::Revoked),
    }
}

fn refused_issue(error: &IssueError) -> Refusal {
    match error {
        IssueError::NotUnderThis => Refusal::NotUnderThis,
        IssueError::ParentChanged => Refusal::ParentChanged,
        IssueError::LimitReached { .. } => Refusal::LimitReached,
        IssueError::LabelTaken => Refusal::LabelTaken,
        other => Refusal::Failed(other.to_string()),
    }
}

fn refused_change(error: &ChangeError) -> Refusal {
    match error {
        ChangeError::Unknown => Refusal::Ended(DenialReason::Unknown),
        ChangeError::NotActive(status) => ended(*status),
        ChangeError::MoreAccess => Refusal::MoreAccess,
        ChangeError::LabelTaken => Refusal::LabelTaken,
        ChangeError::Rotated => Refusal::Rotated,
        ChangeError::Conflict => Refusal::Conflict,
        other => Refusal::Failed(other.to_string()),
    }
}

/// Draws the same from the same seed: SplitMix64.
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    pub(crate) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.number() % end as u64) as usize
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn setting(&mut self, authorities: usize) -> Setting {
        let idle = self.once_in(4).then_some(24 * HOUR);
        Setting {
            limit: self.of(&[3, 4, 5, 100]),
            unique_labels: self.once_in(2),
            interval: self.of(&[0, 60]),
            idle,
            // An idle row must not be deleted while a use of it is on its way.
            retention: if idle.is_none() {
                self.of(&[0, 5, 90 * 24 * HOUR])
            } else {
                90 * 24 * HOUR
            },
            overlap: self.of(&[0, 0, 10]),
            reuse_ends_family: self.once_in(4),
            authorities,
        }
    }

    fn programs(&mut self, setting: &Setting) -> Vec<Vec<Step>> {
        // Where all is revoked at once, little else is seen.
        let gentle = self.once_in(2);
        let clock_moves = self.once_in(2);
        (0..3 + self.below(2))
            .map(|_| {
                let steps = 3 + self.below(6);
                (0..steps).map(|_| self.step(setting, gentle, clock_moves)).collect()
            })
            .collect()
    }

    fn step(&mut self, setting: &Setting, gentle: bool, clock_moves: bool) -> Step {
        // Mostly one of the first tokens, so that the threads meet.
        let number = if self.once_in(4) { self.below(20) } else { self.below(3) };
        match self.below(100) {
            0..24 => Step::Authenticate(number),
            24..30 => Step::Issue(self.of(&LABELS)),
            30..38 => Step::IssueUnder(number, self.of(&LABELS)),
            38..44 => Step::Rename(number, self.of(&LABELS)),
            44..50 => Step::Narrow(number, self.of(&SCOPES)),
            50..66 => Step::Rotate(number, self.of(&[None, Some(0), Some(10), Some(240)])),
            66..71 => Step::Flush,
            71..75 => Step::Reseal,
            75..81 => Step::List,
            81..84 => Step::Purge,
            84..88 if clock_moves => {
                // Within what clocks may be apart; beyond it, the engine takes the clock for a broken one.
                let long = setting.idle.map_or(240, |idle| idle / 2);
                Step::Advance(self.of(&[1, 10, long]))
            }
            _ if gentle => Step::Authenticate(number),
            88..92 => Step::RevokeOne(number),
            92 => Step::RevokeFamily(number),
            93..95 => Step::RevokeLeaked(number),
            95 => Step::RevokeAll,
            96..98 => Step::ForgetOne(number),
            98 => Step::ForgetAll,
            _ => Step::Authenticate(number),
        }
    }
}
