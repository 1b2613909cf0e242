//! Runs sequences of acts, drawn from seeds, on the engine and on a model that scans a list. Both
//! must give the same answers and the same events.
//!
//! A failure prints its seed, and the acts up to the first difference.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::thread;

use app_tokens::TokenId;
use app_tokens::store::{Filter, MemoryStore, RuntimeFree, SqliteStore};

#[path = "model/acts.rs"]
mod acts;
#[path = "model/answers.rs"]
mod answers;
#[path = "common/draw.rs"]
mod draw;
#[path = "model/drawing.rs"]
mod drawing;
#[path = "model/engine.rs"]
mod engine;
#[path = "model/held.rs"]
mod held;
#[path = "model/reference.rs"]
mod reference;
#[path = "model/texts.rs"]
mod texts;

use acts::Act;
use answers::{Answer, Told};
use draw::Draw;
use engine::Engine;
use reference::{ACTIVE, Model, Verdict};
use support::postgres::{Blocked, RUNTIME, Server};

#[test]
fn the_engine_on_memory_agrees_with_the_model() {
    let seen = run_sequences(8_000, MemoryStore::new);
    assert_nothing_is_left_out(&seen);
}

#[test]
fn the_engine_on_sqlite_agrees_with_the_model() {
    run_sequences(500, || SqliteStore::in_memory().unwrap());
}

#[test]
fn the_engine_on_postgres_agrees_with_the_model() {
    let Some(server) = Server::shared() else { return };
    let database = RUNTIME.block_on(server.database());
    run_sequences(60, || Blocked(RUNTIME.block_on(database.store_in_new_tables())));
}

/// The longest sequence, in acts.
const LONGEST: usize = 60;

/// How often each kind of answer and event was seen.
type Seen = BTreeMap<String, u64>;

/// Runs a number of sequences, each on a store of its own, on as many threads as there are cores.
/// `MODEL_SEED` in the environment runs one sequence alone.
fn run_sequences<S: RuntimeFree + Clone>(count: u64, empty_store: impl Fn() -> S + Sync) -> Seen {
    let seen = Mutex::new(Seen::new());
    let run = |seed| {
        let kinds = run_sequence(seed, empty_store());
        let mut seen = seen.lock().unwrap();
        kinds.into_iter().for_each(|kind| *seen.entry(kind).or_default() += 1);
    };
    if let Ok(seed) = std::env::var("MODEL_SEED") {
        run(seed.parse().expect("a seed is a number"));
        return seen.into_inner().unwrap();
    }
    let threads = thread::available_parallelism().map_or(2, usize::from) as u64;
    thread::scope(|scope| {
        let part = |first| (first..count).step_by(threads as usize).for_each(run);
        let parts: Vec<_> = (0..threads).map(|first| scope.spawn(move || part(first))).collect();
        for ended in parts.into_iter().map(thread::ScopedJoinHandle::join) {
            ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    });
    seen.into_inner().unwrap()
}

/// Sequences in which nothing succeeds would prove nothing.
#[track_caller]
fn assert_nothing_is_left_out(seen: &Seen) {
    if std::env::var("MODEL_SEED").is_ok() {
        return;
    }
    for kind in [
        "Issued",
        "Refused(no life)",
        "Refused(life too long)",
        "Refused(past calendar)",
        "Refused(never is not allowed)",
        "Refused(limit reached)",
        "Refused(label taken)",
        "Refused(more access)",
        "Refused(not allowed)",
        "Refused(attributes)",
        "Refused(not under this)",
        "Refused(other owner)",
        "Refused(parent changed)",
        "Refused(rotated)",
        "Refused(derived)",
        "Refused(overlap too long)",
        "Refused(overlap with less)",
        "Refused(overlapping)",
        "Refused(key not lost)",
        "Trusted",
        "Refused(active)",
        "Refused(in use)",
        "NotActive(Idle)",
        "NotActive(Expired)",
        "NotActive(Revoked)",
        "Leaks(None)",
        "Leaks(Some(NoToken))",
        "Leaks(Some(Revoked))",
        "Leaks(Some(AlreadyRevoked))",
        "Keys",
        "Denied(Superseded)",
        "Found(Some(Superseded))",
        "OverlapsEnded(0)",
        "OverlapsEnded(1)",
        "told Rotated",
        "told Reused",
        "Changed(Renamed)",
        "Changed(Narrowed)",
        "Changed(Extended)",
        "Changed(OverlapEnded)",
        "told Resealed",
        "Authenticated(lacks None)",
        "Authenticated(lacks None, with attributes)",
        "Authenticated(lacks Some(Scope))",
        "Authenticated(lacks Some(Resource))",
        "Outside",
        "told OutsideNetwork",
        "Examined(Active)",
        "Examined(Idle)",
        "Examined(Expired)",
        "Examined(Superseded)",
        "Examined(Revoked)",
        "told Examined",
        "NotOurs",
        "Denied(Mistyped)",
        "Denied(Unknown)",
        "Denied(WrongSecret)",
        "Denied(Revoked)",
        "Denied(Expired)",
        "Denied(Idle)",
        "Denied(OtherOwner)",
        "Failed",
        "Page",
        "All",
        "Found(Some(Active))",
        "Found(Some(Idle))",
        "Found(Some(Expired))",
        "Found(Some(Revoked))",
        "Found(None)",
        "Count",
        "Unknown",
        "told Issued",
        "told Denied",
        "told FirstUse",
        "told NewAddress",
        "told Revoked",
        "told Forgotten",
        "told Purged",
    ] {
        let times = seen.get(kind).copied().unwrap_or(0);
        assert!(times >= 40, "{kind} was seen in {times} sequences only: {seen:#?}");
    }
}

/// Runs one sequence. Returns the kinds of answers and events in it.
fn run_sequence<S: RuntimeFree + Clone>(seed: u64, store: S) -> BTreeSet<String> {
    let mut draw = Draw::of_seed(seed);
    let rules = draw.rules();
    let engine = Engine::new(store, &rules, draw.number());
    // A policy with an idle time-out needs upkeep, which writes the uses.
    let _upkeep = rules.idle.map(|_| engine.tokens.upkeep());
    let mut model = Model::new(rules);
    let mut texts: Vec<(TokenId, String)> = Vec::new();
    let mut done: Vec<Act> = Vec::new();
    let mut seen = BTreeSet::new();
    for _ in 0..1 + draw.below(LONGEST) {
        let act = draw.act(&model, &texts);
        done.push(act.clone());
        let (answer, issued) = engine.act(&act);
        let told = engine.told();
        let right = expected(&mut model, &act, issued.as_ref().map(|(id, _)| *id));
        texts.extend(issued);
        assert!(
            (&answer, &told) == (&right.0, &right.1),
            "MODEL_SEED={seed}, {:#?}\nafter {} acts: {done:#?}\nthe engine: {answer:#?}, \
             {told:#?}\nthe model: {right:#?}",
            model.rules,
            done.len(),
        );
        seen.insert(answer.kind());
        seen.extend(told.iter().map(Told::kind));
    }
    seen
}

/// Returns what the engine should answer, and which events it should send. `issued` is the id that
/// it drew, if it drew one.
fn expected(model: &mut Model, act: &Act, issued: Option<TokenId>) -> (Answer, Vec<Told>) {
    // If the engine refused, any id shows the difference.
    let new = issued.unwrap_or(TokenId::MAX);
    let answer = match act {
        Act::Issue(wish) => either(model.issue(wish, None, new)),
        Act::IssueUnder(caller, wish) => either(model.issue(wish, Some(*caller), new)),
        Act::Authenticate { means, as_owner, address, client, need, .. } => {
            model.authenticate(*means, as_owner.as_ref(), (*address, *client), *need)
        }
        Act::Examine { means, .. } => model.examine(*means),
        Act::List { filter, after, limit } => model.list(filter, *after, *limit),
        Act::Find { who, id } => match model.visible(who, *id) {
            Some(row) => Answer::Found(Box::new(model.line(row))),
            None => Answer::Unknown,
        },
        Act::AllOf(owner) => model.all_of(owner),
        Act::Expiring(within, limit) => model.expiring(*within, *limit),
        Act::Change { who, id, change } => either(model.change(who, *id, change)),
        Act::Rotate { who, id, turn } => either(model.rotate(who, *id, turn, new)),
        Act::EndOverlap { who, id } => model.end_overlap(who, *id),
        Act::Revoke { who, id, reason } => match model.visible(who, *id).map(line_of) {
            Some(line) => Answer::Count(model.revoke(&line, who.actor(), reason)),
            None => Answer::Unknown,
        },
        Act::RevokeMatching { who, filter, reason } => match who.limit(filter) {
            Some(filter) => {
                model.write_uses_if(filter.last_used_before.is_some());
                Answer::Count(model.revoke(&filter, who.actor(), reason))
            }
            None => Answer::Refused("not allowed"),
        },
        Act::RevokeLeaked(_, found, who) => model.revoke_leaked(found, who),
        Act::Forget { who, id } => match model.visible(who, *id).map(line_of) {
            Some(line) => Answer::Count(model.forget(&line, who)),
            None => Answer::Unknown,
        },
        Act::ForgetOwner { owner, who } => {
            Answer::Count(model.forget(&Filter::of_owner(owner), who))
        }
        Act::FlushUsage => {
            model.write_uses_if(true);
            Answer::Done
        }
        Act::Purge => Answer::Count(model.purge()),
        Act::Reseal(to) => model.reseal(*to),
        Act::Trust { lost, only, who } => either(model.trust(*lost, *only, who)),
        Act::KeysInUse => model.keys_in_use(),
        Act::MayRetire(key) => match model.keys_in_use() {
            _ if *key == ACTIVE => Answer::Refused("active"),
            Answer::Keys(keys) if keys.iter().any(|(used, _)| used == key) => {
                Answer::Refused("in use")
            }
            _ => Answer::Done,
        },
        Act::SetClock(now) => {
            model.now = *now;
            Answer::Done
        }
    };
    (answer, std::mem::take(&mut model.told))
}

fn line_of(row: &reference::Row) -> Filter {
    Filter::of_family(&row.line.owner, row.line.family)
}

fn either(verdict: Verdict) -> Answer {
    verdict.unwrap_or_else(|refusal| refusal)
}
