//! Events: when each is sent, its name, and its one line for a log.

mod common;

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use app_tokens::clock::ManualClock;
use app_tokens::event::Event;
use app_tokens::store::MemoryStore;
use app_tokens::{Access, KeyRing, NewToken, Origin, Policy, Reason, Rotation, TokenAuthority};
use common::*;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// What was observed: each event's name and its line.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<(&'static str, String)>>>);

impl Lines {
    fn take(&self) -> Vec<(&'static str, String)> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    fn names(&self) -> Vec<&'static str> {
        self.take().into_iter().map(|(name, _)| name).collect()
    }
}

fn observed(policy: Policy) -> (TokenAuthority<MemoryStore>, ManualClock, Lines) {
    let (clock, lines) = (ManualClock::at(at(0)), Lines::default());
    let written = lines.clone();
    let tokens = TokenAuthority::builder(MemoryStore::new(), KeyRing::parse(KEYS).unwrap(), policy)
        .clock(clock.clone())
        .observer(move |event: &Event<'_>| {
            written.0.lock().unwrap().push((event.name(), event.to_string()));
        })
        .build();
    (tokens, clock, lines)
}

#[test]
fn a_new_address_is_reported_once_even_within_the_interval() {
    let (tokens, clock, lines) = observed(policy().with_recorded_origin());
    let issued = ready(tokens.issue(NewToken::new("alice", "x", Access::full()))).unwrap();
    let enter = |from: &str| {
        let origin = Origin::from(address(from));
        drop(ready(tokens.authenticate_from(issued.expose_secret(), origin)).unwrap());
    };
    lines.take();
    enter("192.0.2.1");
    assert_eq!(lines.names(), ["first_use"]);
    enter("::ffff:192.0.2.1");
    assert_eq!(lines.names(), [""; 0], "the same address, mapped");
    clock.set(at(1));
    enter("198.51.100.9");
    assert_eq!(lines.names(), ["new_address"]);
    // A thief and the owner take turns, every minute.
    for minute in 0..5 {
        clock.set(at(60 * minute));
        enter("192.0.2.1");
        clock.set(at(60 * minute + 1));
        enter("198.51.100.9");
    }
    assert!(lines.names().len() <= 1, "at most the owner's own address is told once more");
    ready(tokens.flush_usage()).unwrap();
    clock.set(at(250));
    enter("203.0.113.7");
    assert_eq!(lines.names(), ["new_address"], "also where the last use is stored");
}

#[test]
fn without_recorded_origins_no_new_address_is_reported() {
    let (tokens, _, lines) = observed(policy());
    let issued = ready(tokens.issue(NewToken::new("alice", "x", Access::full()))).unwrap();
    lines.take();
    for from in ["192.0.2.1", "198.51.100.9"] {
        let origin = Origin::from(address(from));
        drop(ready(tokens.authenticate_from(issued.expose_secret(), origin)).unwrap());
    }
    assert_eq!(lines.names(), ["first_use"]);
}

#[test]
fn every_event_is_one_line_without_secrets() {
    let (tokens, clock, lines) = observed(policy().with_recorded_origin());
    let hostile = "x\u{1b}[2J\nok id=0 owner=\"root\" ".repeat(5000);
    let label = "a \"quoted\" owner=root";
    let issued = ready(tokens.issue(NewToken::new("alice", label, Access::full()))).unwrap();
    let text = issued.expose_secret().to_owned();
    let origin = Origin::from(address("192.0.2.1")).client(&hostile);
    drop(ready(tokens.authenticate_from(&text, origin)).unwrap());
    let rotation = Rotation::new().overlap(secs(100));
    let new = ready(tokens.rotate(ops(), issued.id(), rotation)).unwrap();
    ready(tokens.rename(owner("alice"), new.id(), "New")).unwrap();
    ready(tokens.end_overlap(ops(), new.id())).unwrap();
    drop(ready(tokens.authenticate_from(&text, origin)));
    drop(ready(tokens.examine(&text)));
    ready(tokens.revoke(ops(), new.id(), Reason::new("lost\u{a0}it").unwrap())).unwrap();
    drop(ready(tokens.authenticate_from(new.expose_secret(), origin)));
    ready(tokens.forget(ops(), new.id())).unwrap();
    clock.advance(100 * DAY);
    ready(tokens.purge()).unwrap();
    let all = lines.take();
    let names: Vec<_> = all.iter().map(|(name, _)| *name).collect();
    let expected = [
        "issued",
        "first_use",
        "rotated",
        "changed",
        "changed",
        "reused",
        "denied",
        "examined",
        "revoked",
        "denied",
        "revoked",
        "forgotten",
    ];
    // `forget` revokes first, which finds nothing left to revoke.
    assert_eq!(names.iter().filter(|name| **name != "revoked").count(), expected.len() - 2);
    for (name, line) in &all {
        assert!(line.starts_with(name) && line.chars().count() < 2000, "{line}");
        assert!(!line.contains(char::is_control), "{line:?}");
        for token in [&text, new.expose_secret()] {
            assert!(!line.contains(&token[15..]), "{line}");
        }
        assert!(!line.contains(" owner=root") || line.contains("\\\"quoted\\\" owner=root"));
    }
    let issued_line = &all[0].1;
    let id = issued.id();
    let expected = format!(
        "issued id={id} owner=\"alice\" label=\"a \\\"quoted\\\" owner=root\" by=\"owner alice\""
    );
    assert_eq!(*issued_line, expected);
    let denied: Vec<_> = all.iter().filter(|(name, _)| *name == "denied").collect();
    assert!(denied[0].1.starts_with(&format!("denied reason=superseded id={id}")));
    assert!(denied[1].1.contains(" unproven address=192.0.2.1 client=\"x"), "{}", denied[1].1);
}
