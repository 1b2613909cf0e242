//! Draws the policy and the acts of a sequence from a seed.

use std::convert::Infallible;

use app_tokens::rand_core::{TryCryptoRng, TryRng};
use app_tokens::record::Expires;
use app_tokens::store::Filter;
use app_tokens::{Owner, Reason, Timestamp, TokenId};

use super::acts::{Act, Change, Life, Means, Pairs, Rules, Turn, Who, Wish};
use super::answers::Line;
use super::draw::Draw;
use super::held::Held;
use super::reference::{Model, Row, TOLERANCE};
use super::texts;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
pub(crate) const BEGINNING: i64 = support::rows::NOW;

const OWNERS: [&str; 3] = ["alice", "bob", "Alice"];
const LABELS: [&str; 4] = ["Phone", "phone", "Backup", "NAS"];
const OPERATORS: [&str; 3] = ["eve", "eve", "nightly job"];
const ATTRIBUTES: [Pairs; 3] =
    [&[("device", "NAS")], &[("device", "NAS"), ("ticket", "OPS 1")], &[("client", "é")]];

impl Draw {
    pub(crate) fn rules(&mut self) -> Rules {
        let max_life = self.of(&[None, None, Some(30 * DAY)]);
        Rules {
            default_life: self.of(&[30 * DAY, HOUR]),
            max_life,
            never: max_life.is_none() && self.once_in(2),
            idle: self.of(&[None, None, Some(DAY), Some(3 * DAY)]),
            limit: self.of(&[None, Some(1), Some(2), Some(4)]),
            unique_labels: self.once_in(2),
            interval: self.of(&[0, 60, 60, HOUR]),
            retention: self.of(&[0, HOUR, 10 * DAY]),
            origins: self.once_in(2),
            overlap: self.of(&[0, 60, HOUR]),
            max_overlap: self.of(&[500 * DAY, 7 * DAY, 60]),
            reuse_ends_family: self.once_in(2),
        }
    }

    /// Draws the next act. `texts` holds the texts of all tokens that the sequence issued.
    pub(crate) fn act(&mut self, model: &Model, texts: &[(TokenId, String)]) -> Act {
        match self.below(166) {
            0..18 => Act::Issue(self.wish(model)),
            18..46 => self.authenticate(model, texts),
            46..54 => {
                let after = self.once_in(3).then(|| self.id(texts));
                Act::List {
                    filter: self.filter(model, texts),
                    after,
                    limit: self.of(&[0, 1, 2, 100, 100]),
                }
            }
            54..59 => Act::Find { who: self.who(), id: self.id(texts) },
            59..65 => Act::Revoke { who: self.who(), id: self.id(texts), reason: self.reason() },
            65..68 => {
                let filter = self.filter(model, texts);
                Act::RevokeMatching { who: self.who(), filter, reason: self.reason() }
            }
            68..70 => Act::Forget { who: self.who(), id: self.id(texts) },
            70..71 => {
                Act::ForgetOwner { owner: self.owner(), who: Who::Operator(self.of(&OPERATORS)) }
            }
            71..76 => Act::FlushUsage,
            76..80 => Act::Purge,
            80..93 if !model.entered.is_empty() => self.issue_under(model),
            80..100 => {
                let (who, id) = self.who_and_id(model, texts);
                Act::Change { who, id, change: self.change(model, id) }
            }
            100..114 => {
                let (who, id) = self.who_and_id(model, texts);
                Act::Rotate { who, id, turn: self.turn(model, id) }
            }
            114..116 => self.leak(texts),
            116..118 => Act::Reseal(self.of(&[1, 2])),
            118..119 => Act::KeysInUse,
            119..122 => Act::MayRetire(self.of(&[1, 2])),
            122..124 => Act::Expiring(self.of(&[0, 1, HOUR, 30 * DAY]), self.of(&[0, 1, 100, 100])),
            124..127 => {
                let (lost, only) = self.of(&[(1, 2), (2, 1), (1, 1)]);
                Act::Trust { lost, only, who: Who::Operator(self.of(&OPERATORS)) }
            }
            127..131 => {
                let (who, id) = self.who_and_id(model, texts);
                Act::EndOverlap { who, id }
            }
            131..136 => {
                let (text, means) = self.presented(model, texts);
                Act::Examine { text, means }
            }
            144..146 => Act::AllOf(self.owner()),
            136..144 if !model.entered.is_empty() => self.issue_under(model),
            _ => Act::SetClock(self.clock(model)),
        }
    }

    /// Draws an issue under a token, mostly within what the caller may ask for.
    fn issue_under(&mut self, model: &Model) -> Act {
        // Few callers are derived, as nothing is issued under those.
        let is_derived = |id: &TokenId| {
            model.rows.iter().any(|row| row.line.id == *id && row.line.derived_from.is_some())
        };
        let derived = model.entered.iter().copied().find(is_derived);
        let is_current = |id: &TokenId| {
            let its = |row: &Row| row.line.id == *id && row.line.revocation.is_none();
            model.rows.iter().any(|row| its(row) && row.line.successor.is_none())
        };
        let mut drawn = self.of(&model.entered);
        if !is_current(&drawn) {
            drawn = self.of(&model.entered);
        }
        let caller = derived.filter(|_| self.once_in(2)).unwrap_or(drawn);
        let mut wish = self.wish(model);
        let row = model.rows.iter().find(|row| row.line.id == caller);
        if let Some(row) = row.filter(|_| !self.once_in(6)) {
            let mut owners = OWNERS.into_iter();
            wish.owner = owners.find(|owner| *owner == row.line.owner.as_str()).unwrap();
            // Mostly all that the caller has, or nearly all.
            let beside = self.held_beside(&row.line.access);
            wish.access = self.of(&[row.line.access.clone(), beside]);
            wish.attributes = self.of(&[&[], &[], &[], &[], wish.attributes]);
            wish.life = self.of(&[Life::Default, Life::Default, wish.life]);
        }
        Act::IssueUnder(caller, wish)
    }

    /// Draws who acts on which token: mostly an owner on a live token of their own.
    fn who_and_id(&mut self, model: &Model, texts: &[(TokenId, String)]) -> (Who, TokenId) {
        let lives = |row: &&Row| row.line.revocation.is_none();
        let living: Vec<&Line> = model.rows.iter().filter(lives).map(|row| &row.line).collect();
        if living.is_empty() || self.once_in(4) {
            return (self.who(), self.id(texts));
        }
        let newest = living.len() - 1;
        // Few tokens are derived, and some refusals are for those alone.
        let derived = living.iter().position(|line| line.derived_from.is_some());
        let place = match derived {
            Some(derived) if self.once_in(3) => derived,
            _ if self.once_in(3) => newest,
            _ => self.below(living.len()),
        };
        let Line { id, owner, .. } = living[place];
        let who = if self.once_in(4) { self.who() } else { Who::Owner(owner.clone()) };
        (who, *id)
    }

    fn change(&mut self, model: &Model, id: TokenId) -> Change {
        match self.below(3) {
            0 => Change::Label(self.of(&LABELS).parse().unwrap()),
            1 => Change::Access(self.access(model, id)),
            _ => Change::End(self.end(model)),
        }
    }

    fn turn(&mut self, model: &Model, id: TokenId) -> Turn {
        Turn {
            access: self.once_in(4).then(|| self.access(model, id)),
            end: self.once_in(4).then(|| self.end(model)),
            overlap: self.of(&[None, None, Some(0), Some(60), Some(HOUR), Some(400 * DAY)]),
        }
    }

    /// Draws what is to remain of a token's access, or what it never had.
    fn access(&mut self, model: &Model, id: TokenId) -> Held {
        match model.rows.iter().find(|row| row.line.id == id) {
            Some(row) => self.held_beside(&row.line.access),
            None => self.held(),
        }
    }

    fn end(&mut self, model: &Model) -> Expires {
        let after = |seconds| Expires::At(Timestamp::from_unix(model.now + seconds).unwrap());
        match self.below(6) {
            0 => Expires::Never,
            1 => Expires::At(self.timestamp(model)),
            _ => after(self.of(&[60, HOUR, DAY, 20 * DAY, 30 * DAY, 30 * DAY + 1])),
        }
    }

    /// Draws a text with some tokens in it, right ones and wrong ones.
    fn leak(&mut self, texts: &[(TokenId, String)]) -> Act {
        let (mut leaked, mut found) = (String::from("see: "), Vec::new());
        for _ in 0..self.below(4) * usize::from(!texts.is_empty()) {
            let (id, text) = self.of(texts);
            let right = !self.once_in(4);
            let text = if right { text } else { texts::compose("acme", id, self.number()) };
            leaked += &match self.below(3) {
                0 => text.to_ascii_uppercase(),
                1 => texts::grouped(&text),
                _ => text,
            };
            leaked.push('\n');
            if !right || !found.contains(&(id, true)) {
                found.push((id, right));
            }
        }
        Act::RevokeLeaked(leaked, found, Who::Operator(self.of(&OPERATORS)))
    }

    fn wish(&mut self, model: &Model) -> Wish {
        let lives = [0, 1, 60, HOUR, DAY, 30 * DAY, 30 * DAY + 1, 400 * DAY, i64::MAX];
        let life = match self.below(6) {
            0..2 => Life::Default,
            2..4 => Life::For(self.of(&lives)),
            4 => Life::Until(self.instant(model)),
            _ => Life::Forever,
        };
        Wish {
            owner: self.of(&OWNERS),
            label: self.of(&LABELS),
            access: self.held(),
            attributes: if self.once_in(3) { self.of(&ATTRIBUTES) } else { &[] },
            life,
            operator: self.of(&[None, None, Some("eve")]),
        }
    }

    fn authenticate(&mut self, model: &Model, texts: &[(TokenId, String)]) -> Act {
        let (text, means) = self.presented(model, texts);
        Act::Authenticate {
            text,
            means,
            as_owner: self.once_in(2).then(|| self.owner()),
            address: self.address(),
            client: self.of(&[None, Some("rclone/1.70")]),
            need: self.need(),
        }
    }

    fn presented(&mut self, model: &Model, texts: &[(TokenId, String)]) -> (String, Means) {
        let unknown = || {
            (
                texts::compose("acme", TokenId::MAX, 5),
                Means::Token { id: TokenId::MAX, secret_is_right: false },
            )
        };
        if texts.is_empty() || self.once_in(20) {
            return self.of(&[
                unknown(),
                (String::new(), Means::NotOurs),
                ("correct horse battery staple".to_owned(), Means::NotOurs),
                ("acme_".to_owned(), Means::NotOurs),
                ("x".repeat(4000), Means::NotOurs),
            ]);
        }
        // The newest one more often, as it is still alive.
        let newest = self.once_in(3).then(|| texts.last().cloned()).flatten();
        let (id, text) = newest.unwrap_or_else(|| self.of(texts));
        let right = Means::Token { id, secret_is_right: true };
        let wrong = Means::Token { id, secret_is_right: false };
        if self.once_in(4) {
            return match self.below(7) {
                0 => (texts::compose("acme", id, self.number()), wrong),
                1 => (texts::with_prefix("former", &text), wrong),
                2 => (texts::with_prefix("other", &text), Means::NotOurs),
                3 => (texts::mistyped(&text, self.below(28)), Means::Mistyped),
                4 => (text[..text.len() - 1].to_owned(), Means::NotOurs),
                5 => (format!("{text}\u{a0}"), Means::NotOurs),
                _ => (format!("{text}_"), Means::NotOurs),
            };
        }
        // The contract leaves open what a use means if the clock is behind one that is written, so
        // none is presented then.
        let row = model.rows.iter().find(|row| row.line.id == id);
        let written = row.and_then(|row| row.line.last_use.as_ref()).map(|last| last.at.as_unix());
        if written.is_some_and(|at| at > model.now + TOLERANCE) {
            return unknown();
        }
        let by_hand = match self.below(6) {
            0 => text.to_ascii_uppercase(),
            1 => texts::grouped(&text),
            2 => texts::look_alikes(&text),
            3 => format!(" \t{text}\r\n"),
            _ => text,
        };
        (by_hand, right)
    }

    fn filter(&mut self, model: &Model, texts: &[(TokenId, String)]) -> Filter {
        let owner = self.once_in(2).then(|| self.owner());
        let family = (owner.is_some() && self.once_in(8)).then(|| self.id(texts));
        let key = |number| app_tokens::record::KeyId::new(number).unwrap();
        Filter {
            id: self.once_in(8).then(|| self.id(texts)),
            owner,
            family,
            except_family: self.once_in(6).then(|| self.id(texts)),
            key_id: self.once_in(10).then(|| key(self.of(&[1, 2]))),
            except_key_ids: self.of(&[vec![], vec![], vec![], vec![], vec![key(2)], vec![key(1)]]),
            expires_from: self.once_in(10).then(|| self.timestamp(model)),
            revoked: self.of(&[None, None, Some(true), Some(false)]),
            superseded: self.of(&[None, None, None, None, Some(false), Some(true)]),
            expires_before: self.once_in(5).then(|| self.timestamp(model)),
            created_before: self.once_in(5).then(|| self.timestamp(model)),
            last_used_before: self.once_in(4).then(|| self.timestamp(model)),
        }
    }

    /// Draws a move of the clock: forwards by steps that matter to policies, backwards now and
    /// then, or to the very instant at which something happens.
    fn clock(&mut self, model: &Model) -> i64 {
        let forwards = [1, 30, 59, 60, 61, 300, HOUR, HOUR, DAY - 1, DAY, DAY, 3 * DAY, 10 * DAY];
        let backwards = [1, 60, TOLERANCE - 1, TOLERANCE, TOLERANCE + 1, HOUR, 2 * DAY];
        match self.below(10) {
            0..5 => model.now + self.of(&forwards),
            5..7 => model.now - self.of(&backwards),
            _ => self.instant(model),
        }
    }

    /// Draws an instant that matters to a row, or a second beside it.
    fn instant(&mut self, model: &Model) -> i64 {
        if model.rows.is_empty() {
            return model.now;
        }
        let line = &model.rows[self.below(model.rows.len())].line;
        let created = line.created_at.as_unix();
        let last = line.last_use.as_ref().map_or(created, |last| last.at.as_unix());
        let revoked =
            line.revocation.as_ref().map_or(created, |revocation| revocation.at.as_unix());
        let expires = line.expires.at().map_or(created, Timestamp::as_unix);
        let idle = last + model.rules.idle.unwrap_or(0);
        let dead = self.of(&[revoked, expires, idle]) + model.rules.retention;
        let instant = self.of(&[
            created - TOLERANCE,
            last,
            last + model.rules.interval,
            expires,
            expires,
            idle,
            dead,
        ]);
        instant + self.of(&[-1, 0, 0, 1])
    }

    fn timestamp(&mut self, model: &Model) -> Timestamp {
        Timestamp::from_unix(self.instant(model)).unwrap()
    }

    /// Draws a token of the sequence, or rarely an id that no token has.
    fn id(&mut self, texts: &[(TokenId, String)]) -> TokenId {
        if texts.is_empty() || self.once_in(20) {
            return TokenId::MAX;
        }
        texts[self.below(texts.len())].0
    }

    fn who(&mut self) -> Who {
        if self.once_in(4) { Who::Operator(self.of(&OPERATORS)) } else { Who::Owner(self.owner()) }
    }

    fn owner(&mut self) -> Owner {
        Owner::new(self.of(&OWNERS)).unwrap()
    }

    fn reason(&mut self) -> Reason {
        self.of(&[Reason::REQUESTED, Reason::LEAKED, Reason::new("password changed").unwrap()])
    }
}

/// The engine draws from it, too.
impl TryRng for Draw {
    type Error = Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.number() as u32)
    }
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.number())
    }
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes
            .chunks_mut(8)
            .for_each(|chunk| chunk.copy_from_slice(&self.number().to_le_bytes()[..chunk.len()]));
        Ok(())
    }
}

impl TryCryptoRng for Draw {}
