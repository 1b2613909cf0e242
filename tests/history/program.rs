//! What the threads of a history do and are answered, and how it is drawn.

use app_tokens::access::Selection;
use app_tokens::error::DenialReason;
use app_tokens::{Access, Attributes, Timestamp, TokenId, TokenView};

use super::draw::Draw;

pub(crate) const BEGINNING: i64 = support::rows::NOW;
pub(crate) const HOUR: i64 = 3600;
pub(crate) const DAY: i64 = 24 * HOUR;
pub(crate) const OWNERS: [&str; 2] = ["alice", "bob"];
const LABELS: [&str; 4] = ["Phone", "Backup", "NAS", "Mail"];
const SCOPES: [Names; 4] = [&["r", "w", "x"], &["r", "w"], &["r"], &["w"]];
const NETWORKS: [Option<Names>; 4] =
    [None, Some(&["10.0.0.0/8"]), Some(&["10.0.2.0/24"]), Some(&["10.0.2.0/24", "192.0.2.0/24"])];
/// An address in all of the networks.
pub(crate) const HOME: Place = Some("10.0.2.3");
pub(crate) const PLACES: [Place; 4] = [HOME, Some("10.9.9.9"), Some("192.0.2.1"), None];
/// Some ends that the clock reaches, the default one, and later ones.
const ENDS: [i64; 6] = [5, 5, 200, 50 * DAY, 100 * DAY, 200 * DAY];

type Names = &'static [&'static str];

/// The address of a client, if it is known.
pub(crate) type Place = Option<&'static str>;

/// What a token may do, and from which networks; `None` is from anywhere.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grant {
    scopes: Names,
    networks: Option<Names>,
}

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
        grant: Grant,
    },
    Authenticate {
        token: Token,
        from: Place,
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
    Narrow(Grant),
    Extend(i64),
}

/// What a rotation asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    pub(crate) grant: Option<Grant>,
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
    /// What an authenticated token may do, and what the host knows of it.
    LetIn(Access, Attributes),
    Tokens(Vec<TokenView>),
    /// How many overlaps were ended.
    Overlaps(u64),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Refusal {
    /// The token is dead.
    Ended(DenialReason),
    /// The client is outside the token's networks.
    Outside,
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

impl Grant {
    pub(crate) const WIDEST: Grant = Grant { scopes: SCOPES[0], networks: NETWORKS[0] };

    pub(crate) fn all() -> impl Iterator<Item = Grant> {
        let with = |scopes| NETWORKS.into_iter().map(move |networks| Grant { scopes, networks });
        SCOPES.into_iter().flat_map(with)
    }

    pub(crate) fn access(self) -> Access {
        let access = Access::scopes(self.scopes.iter().copied()).unwrap();
        match self.networks {
            Some(networks) => {
                access.from_networks(networks.iter().map(|text| text.parse().unwrap())).unwrap()
            }
            None => access,
        }
    }
}

/// Whether a token with this access may be used from a place. Told by a table, and not by the
/// engine's own rule.
pub(crate) fn covers(access: &Access, place: Place) -> bool {
    let Selection::Only(networks) = access.granted_networks() else {
        return true;
    };
    networks.iter().any(|network| match (network.to_string().as_str(), place) {
        ("10.0.0.0/8", Some(address)) => ["10.0.2.3", "10.9.9.9"].contains(&address),
        ("10.0.2.0/24", Some(address)) => address == "10.0.2.3",
        ("192.0.2.0/24", Some(address)) => address == "192.0.2.1",
        _ => false,
    })
}

/// Returns what the host notes of a token that it issues with this label.
pub(crate) fn attributes(label: &str) -> Attributes {
    Attributes::new().with("first_label", label).unwrap()
}

/// Returns the second at which a token ends.
pub(crate) fn end_of(token: &TokenView) -> i64 {
    token.expires().at().map_or(i64::MAX, Timestamp::as_unix)
}

impl Draw {
    pub(crate) fn setting(&mut self, authorities: usize) -> Setting {
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

    pub(crate) fn programs(&mut self, setting: &Setting) -> Vec<Vec<Deed<usize>>> {
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
            6..14 => Deed::IssueUnder { token, label: self.of(&LABELS), grant: Grant::WIDEST },
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
            _ => Deed::Authenticate { token, from: self.place() },
        }
    }

    fn change(&mut self) -> Change {
        match self.below(3) {
            0 => Change::Rename(self.of(&LABELS)),
            1 => Change::Narrow(self.grant()),
            _ => Change::Extend(BEGINNING + self.of(&ENDS)),
        }
    }

    fn grant(&mut self) -> Grant {
        let is_bound = self.once_in(3);
        let networks = if is_bound { self.of(&NETWORKS) } else { None };
        Grant { scopes: self.of(&SCOPES), networks }
    }

    fn place(&mut self) -> Place {
        if self.once_in(2) { HOME } else { self.of(&PLACES) }
    }

    fn turn(&mut self) -> Turn {
        Turn {
            grant: self.once_in(4).then(|| self.grant()),
            end: self.once_in(4).then(|| BEGINNING + self.of(&ENDS)),
            overlap: self.of(&[None, Some(0), Some(10), Some(240)]),
        }
    }
}
