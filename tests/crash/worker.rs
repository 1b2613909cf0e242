//! What a process does before it crashes, and what it reports.

use std::fmt::Display;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use app_tokens::error::{ChangeError, IssueError};
use app_tokens::store::RuntimeFree;
use app_tokens::{
    Access, Attributes, IssuedToken, NewToken, Origin, Owner, Reason, Requirement, Rotation,
    TokenAuthority,
};
use support::chance::Chance;

use super::common::{operator, policy, two_keys, two_keys_turned};

/// An address from which every token may be used, and one from which a narrowed token may not.
pub(crate) const HOME: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
pub(crate) const AWAY: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 8));

/// How many threads act, each for an owner of its own.
const WORKERS: usize = 4;

/// What is known about a token. On the pipe it is one character, followed by the token's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// It must authenticate.
    Good = b'+' as isize,
    /// It must authenticate, but from [`HOME`] only.
    AtHome = b'@' as isize,
    /// It must be denied.
    Dead = b'-' as isize,
    /// It is being rotated: exactly one of it and its successor is good.
    Rotating = b'~' as isize,
    /// It is in an overlap that begins or ends: its line has one way in, or two.
    Overlapping = b'=' as isize,
    /// It is being revoked: it may be good or dead.
    Ending = b'?' as isize,
}

impl Mark {
    pub(crate) const ALL: [Mark; 6] =
        [Mark::Good, Mark::AtHome, Mark::Dead, Mark::Rotating, Mark::Overlapping, Mark::Ending];

    pub(crate) fn read(line: &str) -> Option<(Mark, &str)> {
        let (mark, text) = line.split_at_checked(1)?;
        let mark =
            Mark::ALL.into_iter().find(|known| char::from(*known as u8).to_string() == mark)?;
        Some((mark, text))
    }
}

/// Where threads report what they do: a whole line at once, or nothing.
pub(crate) struct Voice<W>(pub(crate) Mutex<W>);

impl<W: Write> Voice<W> {
    fn say(&self, mark: Mark, text: &str) {
        self.write(&format!("{}{text}\n", char::from(mark as u8)));
    }

    /// Reports an error. Nothing should fail before the end.
    fn complain(&self, error: &dyn Display) {
        self.write(&format!("!{error}\n"));
    }

    fn write(&self, line: &str) {
        let mut out = self.0.lock().unwrap();
        let _nobody_listens_any_more = out.write_all(line.as_bytes()).and_then(|()| out.flush());
    }
}

/// Works on several threads until a store fails or this process is killed. `round` draws the owners
/// and what they do.
pub(crate) fn work<S: RuntimeFree + Clone>(
    store: &S,
    round: u64,
    voice: &Voice<impl Write + Send>,
) {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for worker in 0..WORKERS {
            let (tokens, is_over) = (authority(store), &is_over);
            let owner = owner(round, worker);
            let chance = Chance(round * 1000 + worker as u64);
            scope.spawn(move || {
                let mut worker = Worker { tokens, owner, chance, voice, good: Vec::new() };
                while !is_over.load(Ordering::Relaxed) {
                    if let Err(error) = worker.act() {
                        voice.complain(&error);
                        is_over.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
        scope.spawn(|| {
            let (one, other) = (authority(store), authority_turned(store));
            while !is_over.load(Ordering::Relaxed) {
                let sealed =
                    one.block_on(one.reseal()).and_then(|_| other.block_on(other.reseal()));
                let Ok(report) = sealed.map_err(|error| voice.complain(&error)) else { return };
                report
                    .tampered
                    .iter()
                    .for_each(|id| voice.complain(&format!("{id} is tampered with")));
            }
        });
    });
}

pub(crate) fn authority<S: RuntimeFree + Clone>(store: &S) -> TokenAuthority<S> {
    TokenAuthority::new(store.clone(), two_keys(), policy())
}

/// Makes an authority with the other key active.
fn authority_turned<S: RuntimeFree + Clone>(store: &S) -> TokenAuthority<S> {
    TokenAuthority::new(store.clone(), two_keys_turned(), policy())
}

/// Returns the attributes that every token has.
pub(crate) fn attributes() -> Attributes {
    Attributes::new().with("device", "phone").unwrap()
}

fn from_network(network: &str) -> Access {
    Access::full().from_networks([network.parse().unwrap()]).unwrap()
}

fn owner(round: u64, worker: usize) -> Owner {
    Owner::new(format!("{round}-{worker}")).unwrap()
}

/// Deletes what a round made, so that the next round has as much to do.
pub(crate) fn forget<S: RuntimeFree + Clone>(store: &S, round: u64) {
    for worker in 0..WORKERS {
        let tokens = authority(store);
        tokens.block_on(tokens.forget_owner(&operator("test"), &owner(round, worker))).unwrap();
    }
}

struct Worker<'w, S, W> {
    tokens: TokenAuthority<S>,
    owner: Owner,
    chance: Chance,
    voice: &'w Voice<W>,
    good: Vec<Held>,
}

/// A token, and what was issued under it.
struct Held {
    token: IssuedToken,
    under: Vec<IssuedToken>,
    /// [`Mark::Good`] or [`Mark::AtHome`].
    mark: Mark,
}

impl Held {
    fn texts(&self) -> impl Iterator<Item = &str> {
        [&self.token].into_iter().chain(&self.under).map(IssuedToken::expose_secret)
    }

    fn texts_under(&self) -> impl Iterator<Item = &str> {
        self.under.iter().map(IssuedToken::expose_secret)
    }
}

type Acted = Result<(), Box<dyn std::error::Error>>;

impl<S: RuntimeFree + Clone, W: Write> Worker<'_, S, W> {
    fn act(&mut self) -> Acted {
        let place = self.chance.place(6);
        if place >= self.good.len() {
            return self.issue();
        }
        match self.chance.below(9) {
            0 | 1 => self.issue_under(place),
            2 => self.revoke(place),
            3 | 4 => self.rotate_with_an_overlap(place),
            5 | 6 => self.narrow(place),
            _ => self.rotate(place),
        }
    }

    fn issue(&mut self) -> Acted {
        let access = from_network("192.0.2.0/24");
        let new = NewToken::new(self.owner.as_str(), "phone", access).attributes(attributes());
        let token = self.tokens.block_on(self.tokens.issue(new))?;
        self.voice.say(Mark::Good, token.expose_secret());
        self.good.push(Held { token, under: Vec::new(), mark: Mark::Good });
        Ok(())
    }

    fn issue_under(&mut self, place: usize) -> Acted {
        let parent = &mut self.good[place];
        let origin = Origin::from(HOME);
        let text = parent.token.expose_secret();
        let caller = self.tokens.block_on(self.tokens.authenticate_from(text, origin))?;
        let caller = caller.require(Requirement::ANY_VALID_TOKEN)?;
        let new = NewToken::new(self.owner.as_str(), "under", caller.access().clone());
        match self.tokens.block_on(self.tokens.issue_under(&caller, new)) {
            Ok(token) => {
                self.voice.say(parent.mark, token.expose_secret());
                parent.under.push(token);
                Ok(())
            }
            // It was resealed meanwhile.
            Err(IssueError::ParentChanged) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn revoke(&mut self, place: usize) -> Acted {
        let held = self.good.swap_remove(place);
        held.texts().for_each(|text| self.voice.say(Mark::Ending, text));
        let by = &self.owner;
        self.tokens.block_on(self.tokens.revoke(by, held.token.id(), Reason::REQUESTED))?;
        held.texts().for_each(|text| self.voice.say(Mark::Dead, text));
        Ok(())
    }

    /// Rotates without an overlap, which revokes what was issued under the old token.
    fn rotate(&mut self, place: usize) -> Acted {
        let held = &mut self.good[place];
        self.voice.say(Mark::Rotating, held.token.expose_secret());
        held.texts_under().for_each(|text| self.voice.say(Mark::Ending, text));
        let by = &self.owner;
        match self.tokens.block_on(self.tokens.rotate(by, held.token.id(), Rotation::new())) {
            Ok(token) => {
                held.texts().for_each(|text| self.voice.say(Mark::Dead, text));
                self.voice.say(held.mark, token.expose_secret());
                *held = Held { token, under: Vec::new(), mark: held.mark };
                Ok(())
            }
            // It was resealed meanwhile: nothing has changed.
            Err(ChangeError::Conflict) => {
                held.texts().for_each(|text| self.voice.say(held.mark, text));
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Rotates with an overlap and ends that. What was issued under the old token stays.
    fn rotate_with_an_overlap(&mut self, place: usize) -> Acted {
        let held = &mut self.good[place];
        self.voice.say(Mark::Overlapping, held.token.expose_secret());
        let rotation = Rotation::new().overlap(Duration::from_secs(3600));
        let by = &self.owner;
        match self.tokens.block_on(self.tokens.rotate(by, held.token.id(), rotation)) {
            Ok(token) => {
                self.voice.say(Mark::Overlapping, token.expose_secret());
                let old = std::mem::replace(&mut held.token, token);
                // The other thread reseals the old row meanwhile, and may do so again and again.
                while let Err(error) =
                    self.tokens.block_on(self.tokens.end_overlap(by, held.token.id()))
                {
                    let ChangeError::Conflict = error else { return Err(error.into()) };
                }
                self.voice.say(Mark::Dead, old.expose_secret());
            }
            // It was resealed meanwhile: nothing has changed.
            Err(ChangeError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
        self.voice.say(held.mark, held.token.expose_secret());
        Ok(())
    }

    /// Narrows a token to [`HOME`], which revokes what was issued under it. One that was narrowed
    /// before is revoked, so that there are others to narrow.
    fn narrow(&mut self, place: usize) -> Acted {
        if self.good[place].mark == Mark::AtHome {
            return self.revoke(place);
        }
        let held = &mut self.good[place];
        held.texts_under().for_each(|text| self.voice.say(Mark::Ending, text));
        let home = from_network(&format!("{HOME}/32"));
        let (tokens, by) = (&self.tokens, &self.owner);
        match tokens.block_on(tokens.narrow(by, held.token.id(), home)) {
            Ok(_) => {
                held.texts_under().for_each(|text| self.voice.say(Mark::Dead, text));
                held.under.clear();
                held.mark = Mark::AtHome;
                self.voice.say(held.mark, held.token.expose_secret());
                Ok(())
            }
            // It was resealed meanwhile: nothing has changed.
            Err(ChangeError::Conflict) => {
                held.texts_under().for_each(|text| self.voice.say(held.mark, text));
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}
