//! Runs the programs of a history on threads, and records each call between two stamps.

use std::cell::Cell;
use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Mutex, RwLock};
use std::thread;
use std::time::Duration;

use app_tokens::clock::Clock;
use app_tokens::error::DenialReason;
use app_tokens::event::Event as Heard;
use app_tokens::record::Expires;
use app_tokens::report::LeakOutcome;
use app_tokens::store::{CLOCK_TOLERANCE, Filter, Page, RuntimeFree};
use app_tokens::{
    Caller, IssuedToken, KeyRing, NewToken, Origin, Owner, Policy, Reason, Requirement, Reuse,
    Rotation, Timestamp, TokenAuthority, TokenId,
};
use support::text::same_id_other_secret;

use super::common::{self, operator};
use super::draw::Draw;
use super::program::{
    Answer, BEGINNING, Change, DAY, Deed, Event, Grant, HOME, HOUR, History, OWNERS, PLACES, Place,
    Reach, Refusal, Setting, Shown, Span, Turn, attributes,
};

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
        first.act(Deed::IssueUnder { token: 0, label: "Mail", grant: Grant::WIDEST });
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
        for token in 0..held {
            let away = PLACES[1 + token % 3];
            [HOME, away].into_iter().for_each(|from| last.act(Deed::Authenticate { token, from }));
        }
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
                let new = NewToken::new(owner, label, Grant::WIDEST.access())
                    .attributes(attributes(label));
                self.note(Deed::Issue { owner, label }, || {
                    world.hold(&tokens.block_on(tokens.issue(new))?)
                });
            }
            Deed::IssueUnder { token, label, .. } => {
                let held = world.held(token);
                if let Some(caller) = self.authenticate(&held, HOME) {
                    // All that the token may do, as this process knows it.
                    let is_its = |grant: &Grant| grant.access() == *caller.access();
                    let grant = Grant::all().find(is_its).unwrap();
                    let new = NewToken::new(&held.owner, label, grant.access());
                    self.note(Deed::IssueUnder { token: held.id, label, grant }, || {
                        world.hold(&tokens.block_on(tokens.issue_under(&caller, new))?)
                    });
                }
            }
            Deed::Authenticate { token, from } => {
                let _the_caller_does_nothing = self.authenticate(&world.held(token), from);
            }
            Deed::Change { token, change } => {
                let Held { id, owner, .. } = world.held(token);
                let by = &owner;
                self.note(Deed::Change { token: id, change }, || {
                    let changed = match change {
                        Change::Rename(label) => tokens.block_on(tokens.rename(by, id, label)),
                        Change::Narrow(grant) => {
                            tokens.block_on(tokens.narrow(by, id, grant.access()))
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
                        _ => tokens.block_on(tokens.forget_owner(&operator("ops"), &owner)),
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
                    1 => done(tokens.block_on(tokens.narrow(by, id, Grant::WIDEST.access()))),
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

    fn authenticate(&mut self, held: &Held, from: Place) -> Option<Caller> {
        let tokens = self.tokens.clone();
        let mut let_in = None;
        let address: Option<IpAddr> = from.map(|address| address.parse().unwrap());
        let origin = address.map_or(Origin::unknown(), Origin::from);
        self.note(Deed::Authenticate { token: held.id, from }, || {
            let authenticated = tokens.block_on(tokens.authenticate_from(&held.text, origin))?;
            let caller = authenticated.require(Requirement::ANY_VALID_TOKEN)?;
            assert_eq!((caller.id(), caller.owner()), (held.id, &held.owner));
            let shown = Shown::LetIn(caller.access().clone(), caller.attributes().clone());
            let_in = Some(caller);
            Ok(shown)
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
                tokens.block_on(tokens.revoke_leaked(&operator("scanner"), &texts.join("\n")));
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
        if let Some(grant) = self.grant {
            rotation = rotation.narrowed_to(grant.access());
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
        LeakOutcome::AlreadyRevoked => Err(Refusal::Ended(DenialReason::Revoked)),
        LeakOutcome::Damaged | LeakOutcome::UnknownScheme(_) => {
            Err(Refusal::Failed(format!("{outcome:?}")))
        }
        LeakOutcome::NoToken => Err(Refusal::Ended(DenialReason::Unknown)),
    }
}
