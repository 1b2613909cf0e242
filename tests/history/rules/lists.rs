//! Whether each list is right, alone and beside the others.

use app_tokens::error::DenialReason::{Expired, Idle, Revoked, Superseded};
use app_tokens::record::{LastUse, Status};
use app_tokens::{TokenId, TokenView};

use super::super::program::{Change, DAY, Deed, Event, Reach, Span, end_of};
use super::*;

impl<'h> Check<'h> {
    pub(super) fn listed(&mut self, owner: Option<&str>, event: &Event) {
        let span = event.span;
        let lines = event.tokens();
        let is_meant =
            |token: &TokenView| owner.is_none_or(|owner| token.owner().as_str() == owner);
        for line in lines {
            let id = line.id();
            self.break_if(!is_meant(line), STRANGERS, || format!("{line:?} in {event:?}"));
            if !self.tokens.contains_key(&id) {
                self.break_if(true, LISTS_ARE_WHOLE, || format!("{id} is unknown"));
                continue;
            }
            match line.status() {
                Some(Status::Active) => self.good(id, event),
                Some(Status::Idle) => self.ended(id, Idle, event),
                Some(Status::Expired) => self.ended(id, Expired, event),
                Some(Status::Superseded) => self.ended(id, Superseded, event),
                Some(Status::Revoked) => self.ended(id, Revoked, event),
                Some(Status::Tampered) | None => {
                    self.break_if(true, GOOD_BEFORE_ITS_END, || format!("{line:?}"));
                }
            }
            self.is_current(line, event);
            let is_let_in = |last: &LastUse| {
                let at = last.at.as_unix();
                self.uses(id).any(|used| {
                    let Span { before, after, .. } = used.span;
                    used.span.maybe_before(span) && (before..=after).contains(&at)
                })
            };
            let is_real = line.last_use().is_none_or(is_let_in);
            self.break_if(!is_real, USES_ARE_REAL, || format!("{line:?} in {event:?}"));
            let successor_is_its = line.successor().is_none_or(|successor| {
                self.tokens.get(&successor).is_some_and(|successor| {
                    successor.origin == (Origin::Rotated { old: id })
                        && successor.born.maybe_before(span)
                })
            });
            let born_later = !self.tokens[&id].born.maybe_before(span);
            let forgotten = self.history.events.iter().any(|other| {
                matches!(other.deed, Deed::Forget { token, reach: Reach::One } if token == id)
                    && other.answer.is_ok()
                    && other.span.surely_before(span)
            });
            self.break_if(!successor_is_its || born_later || forgotten, LISTS_ARE_WHOLE, || {
                format!("{line:?} in {event:?}")
            });
        }
        let missing: Vec<TokenId> = self
            .tokens
            .values()
            .filter(|token| is_meant(token.made) && token.born.surely_before(span))
            .map(|token| token.made.id())
            .filter(|id| lines.iter().all(|line| line.id() != *id) && !self.maybe_gone(*id, span))
            .collect();
        self.break_if(!missing.is_empty(), LISTS_ARE_WHOLE, || {
            format!("{missing:?} are not in {event:?}")
        });
        self.one_instant(lines, event);
    }

    /// Checks that a list shows one instant.
    fn one_instant(&mut self, lines: &[TokenView], event: &Event) {
        let now = event.span.after;
        let living = |line: &&TokenView| line.revocation().is_none() && now < end_of(line);
        for derived in lines.iter().filter(living) {
            let Some(family) = derived.derived_from() else {
                continue;
            };
            let above = lines.iter().any(|line| {
                line.family() == family
                    && line.revocation().is_none()
                    && line.access().includes(derived.access())
                    && end_of(line) >= end_of(derived)
            });
            let above = above || self.is_spared(derived);
            self.break_if(!above, WITHIN_ANOTHER, || format!("{derived:?} in {event:?}"));
        }
        // A token that was unused for the time-out and a day doesn't count for the limit. A use of
        // it may wait even longer to be written, so only young tokens surely count.
        let is_in_use = |line: &TokenView| {
            let idle = self.history.setting.idle;
            idle.is_none_or(|idle| line.created_at().as_unix() > now - idle - DAY)
        };
        let counts =
            |line: &&TokenView| is_live(line, now) && is_in_use(line) && !self.came_back(line.id());
        let live: Vec<&TokenView> = lines.iter().filter(counts).collect();
        let (limit, unique_labels) =
            (self.history.setting.limit as usize, self.history.setting.unique_labels);
        for (place, line) in live.iter().enumerate() {
            let his = live[..=place].iter().filter(|other| other.owner() == line.owner());
            self.break_by(event, LIMIT, his.clone().count() > limit);
            for other in his.filter(|other| other.id() != line.id()) {
                let of_one_family = line.family() == other.family();
                let how = || format!("{} and {} in {event:?}", line.id(), other.id());
                self.break_if(of_one_family, ONE_WAY_IN, how);
                let alike = unique_labels && line.label() == other.label();
                self.break_if(alike && !of_one_family, LABELS, how);
            }
        }
    }

    /// Whether a token's end may have come, and another taken its place, before it was given a
    /// later end.
    fn came_back(&self, id: TokenId) -> bool {
        let Known { origin, born, .. } = self.tokens[&id];
        let ended = |id, span: Span| self.own_ends(id).before(span, |end| span.after >= *end).0;
        let extended = self.history.events.iter().any(|event| {
            matches!(event.deed, Deed::Change { token, change: Change::Extend(_) } if token == id)
                && event.answer.is_ok()
                && ended(id, event.span)
        });
        extended
            || matches!(origin, Origin::Rotated { old } if ended(old, born) || self.came_back(old))
    }

    /// Checks that a family that nobody ended has exactly one good token at the end.
    pub(super) fn families(&mut self) {
        let is_list = |event: &&Event| matches!(event.deed, Deed::List { .. });
        let Some(last) = self.history.events.iter().rfind(is_list) else {
            return;
        };
        let is_rotation = |end: &End, family| {
            self.history.events.iter().any(|event| match event.deed {
                Deed::Rotate { token, .. } | Deed::EndOverlap { token } => {
                    event.span.is(end.span) && self.family(token) == family
                }
                _ => false,
            })
        };
        let mut broken = Vec::new();
        for family in self.tokens.keys().filter(|id| self.family(**id) == **id) {
            let mut members = self.tokens.keys().filter(|member| self.family(**member) == *family);
            let unended = members.all(|id| {
                self.own_ends(*id).0.iter().all(|(_, end)| last.span.after < *end)
                    && self.ends[id].iter().all(|end| is_rotation(end, *family))
            });
            let its =
                |line: &&TokenView| line.family() == *family && is_live(line, last.span.after);
            let ways = last.tokens().iter().filter(its).count();
            if unended && ways != 1 {
                let how = format!("family {family} has {ways} ways in");
                broken.push(Broken { rule: ONE_WAY_IN, how });
            }
        }
        self.broken.append(&mut broken);
    }

    /// Checks that no token of a line is good once a revoke of any of them has returned. This asks
    /// for no order of the revoke and the rotations: none may leave a token behind.
    pub(super) fn shut_lines(&mut self) {
        let events = &self.history.events;
        let shut: Vec<(Span, TokenId)> = events
            .iter()
            .filter(|event| event.answer.is_ok())
            .filter_map(|event| match event.deed {
                Deed::Revoke { token, reach: Reach::One | Reach::Family }
                | Deed::Forget { token, reach: Reach::One } => {
                    Some((event.span, self.family(token)))
                }
                _ => None,
            })
            .collect();
        for event in events.iter().filter(|event| event.answer.is_ok()) {
            let is_active = |line: &&TokenView| line.status() == Some(Status::Active);
            let good: Vec<TokenId> = match event.deed {
                Deed::Authenticate { token, .. }
                | Deed::IssueUnder { token, .. }
                | Deed::Change { token, .. }
                | Deed::Rotate { token, .. } => vec![self.family(token)],
                Deed::List { .. } => {
                    event.tokens().iter().filter(is_active).map(TokenView::family).collect()
                }
                _ => continue,
            };
            let is_good =
                |(at, line): &(Span, TokenId)| at.surely_before(event.span) && good.contains(line);
            self.break_by(event, LINE_STAYS_SHUT, shut.iter().any(is_good));
        }
    }

    /// Checks each list against later ones, and each use against later lists.
    pub(super) fn lists(&mut self) {
        let history = self.history;
        let lists =
            || history.events.iter().filter(|event| matches!(event.deed, Deed::List { .. }));
        let setting = &history.setting;
        // The store doesn't believe a use that is hours ahead of the flush that writes it.
        let jumps = setting.idle.is_some();
        let own_notes = setting.authorities == 1 || setting.interval == 0;
        for (later, line) in
            lists().flat_map(|list| list.tokens().iter().map(move |line| (list, line)))
        {
            let used_at = |line: &TokenView| line.last_use().map(|last| last.at.as_unix());
            let earlier = lists().filter(|list| list.span.surely_before(later.span));
            for (list, before) in
                earlier.flat_map(|list| list.tokens().iter().map(move |line| (list, line)))
            {
                if before.id() != line.id() {
                    continue;
                }
                let how = || format!("{before:?}, {line:?}");
                let back = list.on == later.on && used_at(before) > used_at(line);
                self.break_if(back && !jumps, USES_GO_FORWARDS, how);
                let revived =
                    before.revocation().is_some() && before.revocation() != line.revocation();
                self.break_if(revived, LISTS_ARE_WHOLE, how);
            }
            let missed = own_notes
                && self.uses(line.id()).any(|event| {
                    let noted = used_at(line)
                        .is_some_and(|at| at + setting.interval.max(1) > event.span.before);
                    event.on == later.on && event.span.surely_before(later.span) && !noted
                });
            self.break_if(missed && !jumps, USES_GO_FORWARDS, || format!("{line:?} in {later:?}"));
        }
    }
}

/// Whether a token counts for the limit and for unique labels.
fn is_live(token: &TokenView, now: i64) -> bool {
    token.revocation().is_none() && token.successor().is_none() && now < end_of(token)
}
