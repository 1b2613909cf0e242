//! The observer of the feature `tracing`: each event with its name, its level and its fields.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use app_tokens::error::{DenialReason, Failed};
use app_tokens::event::{ChangeKind, Event, Observer as _, TracingObserver};
use app_tokens::record::Actor;
use app_tokens::record::KeyId;
use app_tokens::store::{Filter, MemoryStore, StoreError};
use app_tokens::{Access, KeyRing, NewToken, Operator, Owner, Policy, Reason, TokenAuthority};
use tracing_core::field::{Field, Visit};
use tracing_core::span::{Attributes, Id, Record};
use tracing_core::{Dispatch, Level, Metadata, Subscriber, dispatcher};

#[derive(Clone, Debug)]
struct Captured {
    name: &'static str,
    level: Level,
    fields: BTreeMap<&'static str, String>,
}

#[derive(Clone, Default)]
struct Capture(Arc<Mutex<Vec<Captured>>>);

impl Capture {
    /// Captures all events until the guard is dropped: a test has one thread.
    fn begin(&self) -> dispatcher::DefaultGuard {
        dispatcher::set_default(&Dispatch::new(self.clone()))
    }

    fn take(&self) -> Vec<Captured> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Subscriber for Capture {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "app_tokens"
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &tracing_core::Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        let (name, level) = (metadata.name(), *metadata.level());
        self.0.lock().unwrap().push(Captured { name, level, fields: fields.0 });
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.into());
    }
}

#[tokio::test]
async fn the_events_of_a_tokens_life_hold_no_secret() {
    let capture = Capture::default();
    let guard = capture.begin();
    let (ring, policy) = (KeyRing::ephemeral().unwrap(), Policy::new("acme").unwrap());
    let tokens =
        TokenAuthority::builder(MemoryStore::new(), ring, policy).observer(TracingObserver).build();
    let issued = tokens.issue(NewToken::new("alice", "My phone", Access::full())).await.unwrap();
    let secret = issued.expose_secret().to_string();
    _ = tokens.authenticate(&secret).await.unwrap();
    let alice = Owner::new("alice").unwrap();
    tokens.revoke(&alice, issued.view().id(), Reason::REQUESTED).await.unwrap();
    assert!(tokens.authenticate(&secret).await.is_err());
    drop(guard);
    let told = capture.take();
    let names: Vec<_> = told.iter().map(|told| (told.name, told.level)).collect();
    assert_eq!(
        names,
        [
            ("app_tokens.issued", Level::INFO),
            ("app_tokens.first_use", Level::INFO),
            ("app_tokens.revoked", Level::INFO),
            ("app_tokens.denied", Level::INFO),
        ]
    );
    let id = &secret["acme_".len()..][..10];
    let issued = &told[0].fields;
    for (field, value) in [
        ("message", "token issued"),
        ("id", id),
        ("owner", "alice"),
        ("label", "My phone"),
        ("by", "owner alice"),
        ("is_certain", "true"),
    ] {
        assert_eq!(issued.get(field).map(String::as_str), Some(value), "{field}");
    }
    let revoked = &told[2].fields;
    assert_eq!((&*revoked["family"], &*revoked["owner"], &*revoked["count"]), (id, "alice", "1"));
    assert!(!revoked.contains_key("id") && !revoked.contains_key("filter"), "{revoked:?}");
    let denied = &told[3].fields;
    assert_eq!((&*denied["reason"], &*denied["id"], &*denied["owner"]), ("revoked", id, "alice"));
    assert!(!denied.contains_key("address") && !denied.contains_key("client"));
    let text = format!("{told:?}");
    let hidden = &secret["acme_".len() + 10..];
    assert!(!text.contains(hidden) && !text.contains("digest") && !text.contains("seal"));
}

#[tokio::test]
async fn every_event_has_its_level() {
    let tokens = TokenAuthority::in_memory("acme").unwrap();
    let access = Access::scopes(["files:read", "files:write"]).unwrap();
    let access = access.on(["under:a \"b".parse().unwrap()]).unwrap();
    let issued = tokens.issue(NewToken::new("alice", "x", access)).await.unwrap();
    let token = issued.view();
    let by = &Actor::from(Operator::new("helpdesk").unwrap());
    let (id, filter, reason) = (token.id(), &Filter::every_token(), &Reason::LEAKED);
    let address = "192.0.2.7".parse().unwrap();
    let denied = |reason| Event::Denied {
        id: Some(id),
        reason,
        token: None,
        address: Some(address),
        client: Some("rclone"),
    };
    let changed = |is_certain| Event::Changed {
        token,
        change: ChangeKind::Narrowed,
        revoked_derived: true,
        by,
        is_certain,
    };
    let rotated = |is_certain| Event::Rotated {
        old: id,
        replaced: None,
        revoked_derived: false,
        token,
        by,
        is_certain,
    };
    let trusted = &[id][..];
    let capture = Capture::default();
    let error = &Failed::NoFreeId;
    for (event, name, level) in [
        (Event::Issued { token, by, is_certain: false }, "issued", Level::WARN),
        (Event::FirstUse { token, address: None }, "first_use", Level::INFO),
        (Event::NewAddress { token, address }, "new_address", Level::INFO),
        (Event::OutsideNetwork { token, address: None }, "outside_network", Level::WARN),
        (denied(DenialReason::Mistyped), "denied", Level::DEBUG),
        (denied(DenialReason::Unknown), "denied", Level::DEBUG),
        (denied(DenialReason::WrongSecret), "denied", Level::INFO),
        (denied(DenialReason::Tampered), "denied", Level::ERROR),
        (rotated(true), "rotated", Level::INFO),
        (rotated(false), "rotated", Level::WARN),
        (Event::Reused { token }, "reused", Level::WARN),
        (Event::Examined { token }, "examined", Level::INFO),
        (changed(true), "changed", Level::INFO),
        (changed(false), "changed", Level::WARN),
        (Event::Resealed { count: 1, trusted, trusted_by: Some(by) }, "resealed", Level::INFO),
        (Event::Revoked { filter, count: 1, is_certain: true, reason, by }, "revoked", Level::INFO),
        (
            Event::Revoked { filter, count: 1, is_certain: false, reason, by },
            "revoked",
            Level::WARN,
        ),
        (Event::Forgotten { filter, count: 1, is_certain: false, by }, "forgotten", Level::WARN),
        (Event::UsageNotWritten { error }, "usage_not_written", Level::ERROR),
        (Event::NotPurged { error }, "not_purged", Level::ERROR),
        (Event::Purged { count: 1, is_certain: false }, "purged", Level::DEBUG),
    ] {
        let guard = capture.begin();
        TracingObserver.observe(&event);
        drop(guard);
        let told = capture.take();
        let [told] = &told[..] else { panic!("{event:?} was told as {told:?}") };
        let expected = format!("app_tokens.{name}");
        assert_eq!((told.name, told.level), (expected.as_str(), level), "{event:?}");
        // Most logs leave the name out, so a field has the word.
        assert_eq!(told.fields["event"], event.name());
        if name == "denied" {
            let (address, client) = (&*told.fields["address"], &*told.fields["client"]);
            assert_eq!((address, client), ("192.0.2.7", "rclone"));
        }
        if name == "examined" {
            assert_eq!(told.fields["status"], "active");
        }
        if name == "resealed" {
            assert_eq!(told.fields["trusted"], format!("[\"{id}\"]"));
        }
        if name == "changed" {
            // All that a person needs to make the change again over a restored backup.
            let field = |name| told.fields.get(name).map(String::as_str);
            assert_eq!(field("change"), Some("narrowed"));
            assert_eq!(field("scopes"), Some(r#"["files:read", "files:write"]"#));
            assert_eq!(field("resources"), Some(r#"["under:a \"b"]"#));
            assert_eq!(field("networks"), None, "all");
            assert_eq!(field("expires"), Some(&*token.expires().to_string()));
        }
    }
}

#[test]
fn each_fact_of_a_filter_is_a_field_and_no_other_is_there() {
    let (alice, id) = (Owner::new("alice").unwrap(), "askgagkera".parse().unwrap());
    let (key, at) = (KeyId::new(2).unwrap(), "2026-03-01T12:00:00Z".parse().unwrap());
    let every = Filter::every_token;
    let instant = "2026-03-01T12:00:00Z";
    for (filter, field, value) in [
        (Filter::of_id(id), "id", "askgagkera"),
        (Filter::of_owner(&alice), "owner", "alice"),
        (Filter { family: Some(id), ..every() }, "family", "askgagkera"),
        (Filter { except_family: Some(id), ..every() }, "except_family", "askgagkera"),
        (Filter { key_id: Some(key), ..every() }, "key_id", "2"),
        (Filter { except_key_ids: vec![key], ..every() }, "except_key_ids", r#"["2"]"#),
        (Filter { revoked: Some(false), ..every() }, "filter_revoked", "false"),
        (Filter { superseded: Some(true), ..every() }, "filter_superseded", "true"),
        (Filter { expires_before: Some(at), ..every() }, "expires_before", instant),
        (Filter { expires_from: Some(at), ..every() }, "expires_from", instant),
        (Filter { created_before: Some(at), ..every() }, "created_before", instant),
        (Filter { last_used_before: Some(at), ..every() }, "last_used_before", instant),
    ] {
        let (filter, by) = (&filter, &Actor::from(alice.clone()));
        let capture = Capture::default();
        let guard = capture.begin();
        let (count, is_certain, reason) = (1, true, &Reason::REQUESTED);
        TracingObserver.observe(&Event::Revoked { filter, count, is_certain, reason, by });
        TracingObserver.observe(&Event::Forgotten { filter, count, is_certain, by });
        drop(guard);
        let told = capture.take();
        assert_eq!(told.len(), 2);
        for mut told in told {
            assert_eq!(told.fields.remove(field).as_deref(), Some(value), "{filter:?}");
            told.fields.remove("reason");
            let rest: Vec<_> = told.fields.into_keys().collect();
            assert_eq!(rest, ["by", "count", "event", "is_certain", "message"], "{filter:?}");
        }
    }
}

/// The lines of a log of text.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// Returns an event as `tracing-subscriber` writes it, from the event's message on.
    #[track_caller]
    fn of(event: &Event<'_>) -> String {
        let lines = Lines::default();
        let out = lines.clone();
        let writer = tracing_subscriber::fmt()
            .with_writer(move || out.clone())
            .with_max_level(Level::DEBUG)
            .with_ansi(false)
            .without_time()
            .finish();
        dispatcher::with_default(&Dispatch::new(writer), || TracingObserver.observe(event));
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let line = text.strip_suffix('\n').unwrap();
        assert!(!line.contains('\n'), "one line: {line}");
        line.split_once(" app_tokens: ").unwrap().1.to_owned()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns what stands outside of quotes.
fn outside_quotes(line: &str) -> String {
    let (mut rest, mut is_quoted, mut letters) = (String::new(), false, line.chars());
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if is_quoted => _ = letters.next(),
            '"' => is_quoted = !is_quoted,
            _ if is_quoted => {}
            _ => rest.push(letter),
        }
    }
    assert!(!is_quoted, "a quote is open: {line}");
    rest
}

#[tokio::test]
async fn no_text_that_a_person_chose_passes_for_a_fact_in_a_log_of_text() {
    let tokens = TokenAuthority::in_memory("acme").unwrap();
    let forged = r#"event="forged" count=9 owner=bob by=operator root"#;
    for hostile in [format!("x {forged}"), format!(r#"x" {forged} y=""#), format!("\\ {forged}")] {
        let owner = &Owner::new(&hostile).unwrap();
        let access = Access::full().on([format!("exact:{hostile}").parse().unwrap()]).unwrap();
        let issued = tokens.issue(NewToken::new(owner.clone(), &hostile, access)).await.unwrap();
        let (token, id) = (issued.view(), issued.view().id());
        let operator = Actor::from(Operator::new(&hostile).unwrap());
        let reason = &Reason::new(&hostile).unwrap();
        let error = &Failed::Store(StoreError::not_done(format!("{hostile}\n")));
        let client = Some(hostile.as_str());
        let address = "192.0.2.7".parse().unwrap();
        let (filter, trusted, is_certain) = (&Filter::of_owner(owner), &[id][..], true);
        let (old, replaced, revoked_derived) = (id, Some(id), true);
        for by in [&operator, &Actor::from(owner)] {
            for event in [
                Event::Issued { token, by, is_certain },
                Event::Imported { token, by, is_certain },
                Event::TakenOver { token, is_certain },
                Event::MovedOut { count: 1, owner: Some(owner), by, is_certain },
                Event::MovedIn { token, by, is_certain },
                Event::FirstUse { token, address: None },
                Event::NewAddress { token, address },
                Event::OutsideNetwork { token, address: None },
                Event::Denied {
                    id: Some(id),
                    reason: DenialReason::Expired,
                    token: Some(token),
                    address: None,
                    client,
                },
                Event::Rotated { old, replaced, revoked_derived, token, by, is_certain },
                Event::Reused { token },
                Event::Examined { token },
                Event::Changed {
                    token,
                    change: ChangeKind::Narrowed,
                    revoked_derived,
                    by,
                    is_certain,
                },
                Event::Resealed { count: 1, trusted, trusted_by: Some(by) },
                Event::Revoked { filter, count: 1, is_certain, reason, by },
                Event::Forgotten { filter, count: 1, is_certain, by },
                Event::UsageNotWritten { error },
                Event::NotPurged { error },
            ] {
                let line = Lines::of(&event);
                assert!(line.contains("forged"), "the text is there: {line}");
                assert!(line.contains(&format!(" event=\"{}\"", event.name())), "{line}");
                let facts = outside_quotes(&line);
                for forged in ["forged", "count=9", "bob", "root"] {
                    assert!(!facts.contains(forged), "{forged} in {line}");
                }
            }
        }
    }
}

#[test]
fn the_documented_line_is_what_a_log_of_text_has() {
    let owner = Owner::new("alice").unwrap();
    let filter = &Filter::of_family(&owner, "askgagkera".parse().unwrap());
    let (reason, by) = (&Reason::REQUESTED, &Actor::from(&owner));
    let line = Lines::of(&Event::Revoked { filter, count: 2, is_certain: true, reason, by });
    let docs = include_str!("../src/tracing_observer.rs");
    let (_, block) = docs.split_once("/// ```text\n").unwrap();
    let documented = block.split_once("/// ```\n").unwrap().0.replace("/// ", "");
    assert_eq!(documented.split_whitespace().collect::<Vec<_>>().join(" "), line);
}
