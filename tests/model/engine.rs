//! What the engine does for each act, and its answers in the model's words.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use app_tokens::clock::ManualClock;
use app_tokens::error::{
    AuthError, ChangeError, Failed, IssueError, LifeError, ManageError, Missing, RetireError,
};
use app_tokens::event::Event;
use app_tokens::record::KeyId;
use app_tokens::report::{OwnerTokens, ResealReport, TokenPage};
use app_tokens::store::{Page, RuntimeFree};
use app_tokens::{
    Authenticated, Caller, IssuedToken, NewToken, Origin, Policy, Requirement, Reuse, Rotation,
    Timestamp, TokenAuthority, TokenId,
};
use support::keys::{other_ring, ring, two_keys, two_keys_turned};
use support::rows::operator;

use super::acts::{Act, Change, Life, Rules, Wish, attributes_of, shown_pairs};
use super::answers::{Answer, Line, Shown, Told};
use super::draw::Draw;
use super::drawing::BEGINNING;
use super::held::{Held, Need};
use super::reference::ACTIVE;

/// The engine, with its answers in the model's words.
pub(crate) struct Engine<S> {
    pub(crate) tokens: TokenAuthority<S>,
    /// Over the same store, with the other key active.
    other: TokenAuthority<S>,
    /// Over the same store, with the other key lost.
    without_other: TokenAuthority<S>,
    /// Over the same store, with the active key lost.
    without_active: TokenAuthority<S>,
    callers: RefCell<BTreeMap<TokenId, Caller>>,
    clock: ManualClock,
    told: Arc<Mutex<Vec<Told>>>,
}

impl<S: RuntimeFree + Clone> Engine<S> {
    pub(crate) fn new(store: S, rules: &Rules, seed: u64) -> Engine<S> {
        let clock = ManualClock::at(time(BEGINNING));
        let told: Arc<Mutex<Vec<Told>>> = Arc::default();
        let over = |store, ring, seed| {
            let ears = Arc::clone(&told);
            TokenAuthority::builder(store, ring, policy(rules))
                .clock(clock.clone())
                .random(Draw::of_seed(seed))
                .observer(move |event: &Event<'_>| ears.lock().unwrap().push(Told::of(event)))
                .build()
        };
        Engine {
            other: over(store.clone(), two_keys_turned(), seed),
            without_other: over(store.clone(), ring(), seed),
            without_active: over(store.clone(), other_ring(), seed),
            tokens: over(store, two_keys(), seed),
            callers: RefCell::default(),
            clock,
            told,
        }
    }

    /// Returns what the observer heard of the last act.
    pub(crate) fn told(&self) -> Vec<Told> {
        std::mem::take(&mut self.told.lock().unwrap())
    }

    /// Does an act. Returns the answer, and the token if one was issued.
    pub(crate) fn act(&self, act: &Act) -> (Answer, Option<(TokenId, String)>) {
        let tokens = &self.tokens;
        let answer = match act {
            Act::Issue(wish) => match tokens.block_on(tokens.issue(new_token(wish))) {
                Ok(issued) => return shown(&issued),
                Err(error) => refused(&error),
            },
            Act::IssueUnder(caller, wish) => {
                let callers = self.callers.borrow();
                match tokens.block_on(tokens.issue_under(&callers[caller], new_token(wish))) {
                    Ok(issued) => return shown(&issued),
                    Err(error) => refused(&error),
                }
            }
            Act::Authenticate { text, as_owner, address, client, need, .. } => {
                let mut origin = Origin::unknown();
                if let Some(address) = address {
                    origin = origin.address(*address);
                }
                if let Some(client) = client {
                    origin = origin.client(client);
                }
                let authenticated = match as_owner {
                    Some(owner) => tokens.block_on(tokens.authenticate_as(owner, text, origin)),
                    None => tokens.block_on(tokens.authenticate_from(text, origin)),
                };
                match authenticated {
                    Ok(good) => self.required(good, *need),
                    Err(error) => denied(&error),
                }
            }
            Act::Examine { text, .. } => match tokens.block_on(tokens.examine(text)) {
                Ok(examined) => {
                    let revocation = examined.revocation().cloned();
                    let token = examined.token().map(|view| Box::new(Line::of(view)));
                    Answer::Examined(examined.id(), examined.status(), revocation, token)
                }
                Err(error) => denied(&error),
            },
            Act::List { filter, after, limit } => listed(
                tokens.block_on(tokens.list(filter, Page { after: *after, ..Page::first(*limit) })),
            ),
            Act::AllOf(owner) => match tokens.block_on(tokens.all_of(owner)) {
                Ok(OwnerTokens { tokens, damaged, is_cut: false, .. }) if damaged.is_empty() => {
                    Answer::All(tokens.iter().map(Line::of).collect())
                }
                _ => Answer::Failed,
            },
            Act::Expiring(within, limit) => {
                listed(tokens.block_on(tokens.expiring(duration(*within), Page::first(*limit))))
            }
            Act::Change { who, id, change } => {
                let changed = match change {
                    Change::Label(label) => tokens.block_on(tokens.rename(who.actor(), *id, label)),
                    Change::Access(access) => {
                        tokens.block_on(tokens.narrow(who.actor(), *id, access.access()))
                    }
                    Change::End(end) => tokens.block_on(tokens.extend(who.actor(), *id, *end)),
                };
                match changed {
                    Ok(view) => Answer::Found(Box::new(Line::of(&view))),
                    Err(error) => unchanged(&error),
                }
            }
            Act::Rotate { who, id, turn } => {
                let mut rotation = Rotation::new();
                if let Some(access) = &turn.access {
                    rotation = rotation.narrowed_to(access.access());
                }
                if let Some(end) = turn.end {
                    rotation = rotation.expires(end);
                }
                if let Some(overlap) = turn.overlap {
                    rotation = rotation.overlap(duration(overlap));
                }
                match tokens.block_on(tokens.rotate(who.actor(), *id, rotation)) {
                    Ok(issued) => return shown(&issued),
                    Err(error) => unchanged(&error),
                }
            }
            Act::RevokeLeaked(text, _, who) => {
                match tokens.block_on(tokens.revoke_leaked(&who.operator(), text)) {
                    Ok(report) => Answer::Leaks(
                        report.leaks.iter().map(|leak| (leak.id, leak.outcome)).collect(),
                    ),
                    Err(error) => not_managed(&error),
                }
            }
            Act::Find { who, id } => match tokens.block_on(tokens.find(who.actor(), *id)) {
                Ok(view) => Answer::Found(Box::new(Line::of(&view))),
                Err(error) => not_managed(&error),
            },
            Act::EndOverlap { who, id } => {
                match tokens.block_on(tokens.end_overlap(who.actor(), *id)) {
                    Ok(count) => Answer::OverlapsEnded(count),
                    Err(error) => unchanged(&error),
                }
            }
            Act::Revoke { who, id, reason } => {
                counted(tokens.block_on(tokens.revoke(who.actor(), *id, reason.clone())))
            }
            Act::RevokeMatching { who, filter, reason } => counted(
                tokens.block_on(tokens.revoke_matching(who.actor(), filter, reason.clone())),
            ),
            Act::Forget { who, id } => counted(tokens.block_on(tokens.forget(who.actor(), *id))),
            Act::ForgetOwner { owner, who } => {
                counted(tokens.block_on(tokens.forget_owner(&who.operator(), owner)))
            }
            Act::FlushUsage => {
                tokens.block_on(tokens.flush_usage()).map_or(Answer::Failed, |()| Answer::Done)
            }
            Act::Purge => tokens.block_on(tokens.purge()).map_or(Answer::Failed, Answer::Count),
            Act::Reseal(to) => {
                let by = if *to == ACTIVE { &self.tokens } else { &self.other };
                match by.block_on(by.reseal()) {
                    Ok(ResealReport { moved, trusted, tampered, left })
                        if trusted.is_empty() && tampered.is_empty() && left.is_empty() =>
                    {
                        Answer::Count(moved)
                    }
                    _ => Answer::Failed,
                }
            }
            Act::Trust { lost, only, who } => {
                let by = if *only == ACTIVE { &self.without_other } else { &self.without_active };
                let lost = KeyId::new(*lost).unwrap();
                match by.block_on(by.danger_reseal_without_proof(&who.operator(), lost)) {
                    Ok(ResealReport { moved, trusted, tampered, left })
                        if tampered.is_empty()
                            && left.is_empty()
                            && moved == trusted.len() as u64 =>
                    {
                        Answer::Trusted(trusted)
                    }
                    Err(ManageError::KeyNotLost(_)) => Answer::Refused("key not lost"),
                    Err(error) => not_managed(&error),
                    _ => Answer::Failed,
                }
            }
            Act::KeysInUse => {
                tokens.block_on(tokens.keys_in_use()).map_or(Answer::Failed, |keys| {
                    Answer::Keys(keys.iter().map(|(key, rows)| (key.as_u32(), *rows)).collect())
                })
            }
            Act::MayRetire(key) => {
                match tokens.block_on(tokens.may_retire(KeyId::new(*key).unwrap())) {
                    Ok(()) => Answer::Done,
                    Err(RetireError::Active) => Answer::Refused("active"),
                    Err(RetireError::InUse { .. }) => Answer::Refused("in use"),
                    Err(_) => Answer::Failed,
                }
            }
            Act::SetClock(now) => {
                self.clock.set(time(*now));
                Answer::Done
            }
        };
        (answer, None)
    }

    /// Requires what is needed, and any valid token, of which the caller stays.
    fn required(&self, good: Authenticated, need: Need) -> Answer {
        let missing = good.clone().require(need.requirement()).err().map(|error| error.missing());
        let caller = match good.require(Requirement::ANY_VALID_TOKEN) {
            Ok(caller) => caller,
            Err(_) if missing == Some(Missing::Network) => return Answer::Outside,
            Err(_) => return Answer::Failed,
        };
        let shown = Shown {
            id: caller.id(),
            owner: caller.owner().clone(),
            label: caller.label().clone(),
            access: Held::of(caller.access()),
            attributes: shown_pairs(caller.attributes()),
            expires: caller.expires(),
        };
        self.callers.borrow_mut().insert(caller.id(), caller);
        Answer::Authenticated(Box::new(shown), missing)
    }
}

fn denied(error: &AuthError) -> Answer {
    match error {
        AuthError::NotOurs(_) => Answer::NotOurs,
        AuthError::Denied(denied) => Answer::Denied { id: denied.id(), reason: denied.reason() },
        AuthError::Failed(_) => Answer::Failed,
    }
}

fn counted(count: Result<u64, ManageError>) -> Answer {
    count.map_or_else(|error| not_managed(&error), Answer::Count)
}

fn not_managed(error: &ManageError) -> Answer {
    match error {
        ManageError::Unknown => Answer::Unknown,
        ManageError::NotAllowed => Answer::Refused("not allowed"),
        _ => Answer::Failed,
    }
}

fn shown(issued: &IssuedToken) -> (Answer, Option<(TokenId, String)>) {
    let token = (issued.id(), issued.expose_secret().to_owned());
    (Answer::Issued(Box::new(Line::of(issued.view()))), Some(token))
}

fn listed(page: Result<TokenPage, Failed>) -> Answer {
    let lines = |page: TokenPage| Answer::Page {
        lines: page.tokens.iter().map(Line::of).collect(),
        next: page.next,
    };
    page.map_or(Answer::Failed, lines)
}

fn refused(error: &IssueError) -> Answer {
    Answer::Refused(match error {
        IssueError::Invalid(_) => "invalid",
        IssueError::Life(life) => refused_life(*life),
        IssueError::MoreAccess => "more access",
        IssueError::NotUnderThis => "not under this",
        IssueError::AttributesUnderToken => "attributes",
        IssueError::OtherOwner => "other owner",
        IssueError::ParentChanged => "parent changed",
        IssueError::LimitReached { .. } => "limit reached",
        IssueError::LabelTaken => "label taken",
        _ => return Answer::Failed,
    })
}

fn unchanged(error: &ChangeError) -> Answer {
    Answer::Refused(match error {
        ChangeError::Unknown => return Answer::Unknown,
        ChangeError::NotActive(status) => return Answer::NotActive(*status),
        ChangeError::MoreAccess => "more access",
        ChangeError::Life(life) => refused_life(*life),
        ChangeError::OverlapTooLong { .. } => "overlap too long",
        ChangeError::NarrowedApart => "narrowed apart",
        ChangeError::Derived => "derived",
        ChangeError::LabelTaken => "label taken",
        ChangeError::Rotated { current } => return Answer::RotatedTo(*current),
        ChangeError::OverlapWithLess => "overlap with less",
        ChangeError::Overlapping { .. } => "overlapping",
        ChangeError::Conflict => "conflict",
        _ => return Answer::Failed,
    })
}

fn refused_life(error: LifeError) -> &'static str {
    match error {
        LifeError::NoLife => "no life",
        LifeError::TooLong { .. } => "life too long",
        LifeError::PastCalendar => "past calendar",
        LifeError::NeverNotAllowed => "never is not allowed",
        _ => "another reason",
    }
}

fn new_token(wish: &Wish) -> NewToken {
    let mut new = NewToken::new(wish.owner, wish.label, wish.access.access())
        .attributes(attributes_of(wish.attributes));
    if let Some(name) = wish.operator {
        new = new.issued_by(&operator(name));
    }
    match wish.life {
        Life::Default => new,
        Life::For(seconds) => new.expires_in(duration(seconds)),
        Life::Until(end) => new.expires_at(time(end)),
        Life::Forever => new.never_expires(),
    }
}

fn policy(rules: &Rules) -> Policy {
    let mut policy = Policy::new("acme")
        .and_then(|policy| policy.with_realm("acme")?.with_former_prefix("former"))
        .and_then(|policy| policy.with_default_life(duration(rules.default_life)))
        .and_then(|policy| policy.with_overlap(duration(rules.overlap)))
        .unwrap()
        .with_max_overlap(duration(rules.max_overlap))
        .with_usage_interval(duration(rules.interval))
        .with_retention(duration(rules.retention));
    if let Some(max) = rules.max_life {
        policy = policy.with_max_life(duration(max)).unwrap();
    }
    if rules.never {
        policy = policy.with_never_expiring().unwrap();
    }
    if let Some(idle) = rules.idle {
        policy = policy.with_idle_timeout(duration(idle)).unwrap();
    }
    policy = match rules.limit {
        Some(limit) => policy.with_max_per_owner(limit).unwrap(),
        None => policy.with_no_limit_per_owner(),
    };
    if rules.unique_labels {
        policy = policy.with_unique_labels();
    }
    if rules.origins {
        policy = policy.with_recorded_origin();
    }
    if rules.reuse_ends_family {
        policy = policy.with_reuse(Reuse::RevokeFamily);
    }
    policy
}

fn duration(seconds: i64) -> Duration {
    Duration::from_secs(seconds.try_into().unwrap())
}

fn time(seconds: i64) -> Timestamp {
    Timestamp::from_unix(seconds).unwrap()
}
