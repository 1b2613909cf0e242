//! The observer of the feature `tracing`: each event with its name, its level and its fields.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use app_tokens::error::{DenialReason, Failed};
use app_tokens::event::{ChangeKind, Event, Observer as _, TracingObserver};
use app_tokens::record::Actor;
use app_tokens::record::KeyId;
use app_tokens::store::{Filter, MemoryStore};
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
        (Filter { revoked: Some(false), ..every() }, "revoked", "false"),
        (Filter { superseded: Some(true), ..every() }, "superseded", "true"),
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
