//! What the feature `serde` writes, and what it refuses to read back.

use std::time::Duration;

use app_tokens::access::{Resource, Scope, Selection};
use app_tokens::record::{Actor, Expires, KeyId, Status};
use app_tokens::report::{CheckReport, Examined, OwnerTokens, TokenPage};
use app_tokens::shapes::Period;
use app_tokens::store::{Filter, Page};
use app_tokens::{
    Access, Attributes, NewToken, Operator, Owner, Policy, Reason, Timestamp, TokenAuthority,
    TokenId, TokenView,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

const DAY: Duration = Duration::from_secs(86_400);

#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "`json!` is written where it is compared")]
fn is_written<T: Serialize + DeserializeOwned>(value: &T, shape: Value) {
    let written = serde_json::to_value(value).unwrap();
    assert_eq!(written, shape);
    let read: T = serde_json::from_value(written.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), written);
    // A reader can't lend its text, so nothing may be borrowed.
    let _: T = serde_json::from_reader(written.to_string().as_bytes()).unwrap();
}

#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "`json!` is written where it is compared")]
fn is_refused<T: DeserializeOwned>(shape: Value, why: &str) {
    let Err(error) = serde_json::from_value::<T>(shape.clone()) else {
        panic!("{shape} should be refused");
    };
    assert!(error.to_string().contains(why), "{shape}: {error}");
}

#[test]
fn ids_times_and_words_have_one_written_form() {
    is_written(&TokenId::MAX, json!("zzzzzzzzzz"));
    is_refused::<TokenId>(json!("zzzzzzzzz"), "ten characters");
    is_refused::<TokenId>(json!(7), "a token id");
    let at: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
    is_written(&at, json!("2026-03-01T12:00:00Z"));
    is_refused::<Timestamp>(json!(0), "RFC 3339");
    is_refused::<Timestamp>(json!("2026-03-01"), "RFC 3339, such as 2026-03-01T12:00:00Z");
    is_written(&Expires::At(at), json!("2026-03-01T12:00:00Z"));
    is_written(&Expires::Never, json!("never"));
    is_refused::<Expires>(json!(null), "never");
    is_refused::<Expires>(json!("Never"), "such as 2026-03-01T12:00:00Z, or `never`");
    is_written(&Status::Superseded, json!("superseded"));
    is_refused::<Status>(json!("Active"), "`active`");
    is_written(&KeyId::new(7).unwrap(), json!(7));
    is_refused::<KeyId>(json!(0), "at least 1");
    is_written(&Actor::from(&Owner::new("alice").unwrap()), json!("owner alice"));
    is_refused::<Actor>(json!("alice"), "not an actor");
    is_refused::<Owner>(json!("a\nb"), "forbidden character");
    is_refused::<Scope>(json!("a b"), "forbidden character");
}

#[test]
fn access_that_is_missing_is_an_error_and_not_everything() {
    is_written(&Access::full(), json!({"scopes": "all", "resources": "all", "networks": "all"}));
    let access = Access::scopes(["b", "a"]).unwrap().on([Resource::under("docs").unwrap()]);
    let access = access.unwrap().from_networks(["192.0.2.7".parse().unwrap()]).unwrap();
    let shape = json!({
        "scopes": ["a", "b"], "resources": ["under:docs"], "networks": ["192.0.2.7/32"],
    });
    is_written(&access, shape.clone());
    let nothing = Access::scopes([""; 0]).unwrap();
    is_written(&nothing, json!({"scopes": [], "resources": "all", "networks": "all"}));
    is_refused::<Access>(json!({}), "missing field `scopes`");
    is_refused::<Access>(json!(null), "");
    is_refused::<Access>(json!("all"), "");
    is_refused::<Access>(json!([]), "");
    for key in ["scopes", "resources", "networks"] {
        let mut without = shape.clone();
        without.as_object_mut().unwrap().remove(key);
        is_refused::<Access>(without.clone(), &format!("missing field `{key}`"));
        for wrong in [json!(null), json!("ALL"), json!(""), json!(true), json!({}), json!([1])] {
            without[key] = wrong;
            is_refused::<Access>(without.clone(), "");
        }
    }
    let mut newer = shape;
    newer["hours"] = json!("9-17");
    is_refused::<Access>(newer, "unknown field `hours`");
}

#[test]
fn a_list_that_is_too_long_is_refused_at_its_first_extra_item() {
    let names = |count| (0..count).map(|n| format!("s{n}")).collect::<Vec<_>>();
    let read: Selection<Scope> = serde_json::from_value(json!(names(256))).unwrap();
    assert!(matches!(read, Selection::Only(scopes) if scopes.len() == 256));
    is_refused::<Selection<Scope>>(json!(names(257)), "more than 256");
    // Endless input ends at the limit, too: the rest is never read.
    let endless = std::io::Read::chain(&b"["[..], std::io::Read::take(std::io::repeat(b'['), 9));
    assert!(serde_json::from_reader::<_, Selection<Scope>>(endless).is_err());
}

#[test]
fn attributes_are_read_as_a_map_and_checked() {
    let attributes = Attributes::new().with("device", "NAS").unwrap().with("a", "b").unwrap();
    is_written(&attributes, json!({"a": "b", "device": "NAS"}));
    is_written(&Attributes::new(), json!({}));
    is_refused::<Attributes>(json!({"a b": "c"}), "forbidden character");
    is_refused::<Attributes>(json!(null), "a map");
    let many: serde_json::Map<_, _> = (0..17).map(|n| (format!("k{n}"), json!("v"))).collect();
    is_refused::<Attributes>(Value::Object(many), "more than 16");
    let twice = serde_json::from_str::<Attributes>(r#"{"a":"b","a":"c"}"#);
    assert!(twice.unwrap_err().to_string().contains("a key twice"));
}

#[tokio::test]
async fn a_view_has_every_fact_and_no_digest() {
    let tokens = TokenAuthority::in_memory("acme").unwrap();
    let attributes = Attributes::new().with("device", "NAS").unwrap();
    let helpdesk = Operator::new("helpdesk").unwrap();
    let new = NewToken::new("alice", "My phone", Access::scopes(["files:read"]).unwrap())
        .attributes(attributes)
        .issued_by(&helpdesk);
    let issued = tokens.issue(new).await.unwrap();
    let id = issued.view().id();
    let created_at = issued.view().created_at().to_string();
    let shape = json!({
        "id": id.to_string(),
        "status": "active",
        "owner": "alice",
        "label": "My phone",
        "access": {"scopes": ["files:read"], "resources": "all", "networks": "all"},
        "attributes": {"device": "NAS"},
        "issued_by": "helpdesk",
        "created_at": created_at,
        "expires": issued.view().expires().to_string(),
        "family": id.to_string(),
        "successor": null,
        "derived_from": null,
        "revocation": null,
        "last_use": null,
    });
    is_written(issued.view(), shape.clone());
    for key in shape.as_object().unwrap().keys() {
        let mut without = shape.clone();
        without.as_object_mut().unwrap().remove(key);
        is_refused::<TokenView>(without, &format!("missing field `{key}`"));
    }
    is_refused::<TokenView>(json!({}), "missing field");
    let examined = tokens.examine(issued.expose_secret()).await.unwrap();
    let mut told = json!({"id": id.to_string(), "status": "active", "revocation": null});
    is_refused::<Examined>(told.clone(), "missing field `token`");
    told["token"] = shape;
    is_written(&examined, told);

    _ = tokens.authenticate(issued.expose_secret()).await.unwrap();
    tokens.revoke(&helpdesk, id, Reason::REQUESTED).await.unwrap();
    let page = tokens.list(&Filter::every_token(), Page::first(10)).await.unwrap();
    let written = serde_json::to_value(&page).unwrap();
    let (status, revocation) =
        (&written["tokens"][0]["status"], &written["tokens"][0]["revocation"]);
    assert_eq!(status, "revoked");
    assert_eq!(
        (&revocation["reason"], &revocation["by"]),
        (&json!("requested"), &json!("operator helpdesk"))
    );
    assert_eq!(written["tokens"][0]["last_use"]["address"], Value::Null);
    is_written(&page, written);
    is_refused::<TokenPage>(json!({"tokens": [], "damaged": []}), "missing field `next`");
    is_refused::<OwnerTokens>(json!({"tokens": []}), "missing field `damaged`");
}

#[test]
fn a_client_name_is_cleaned_when_it_is_read_back() {
    let shape =
        json!({"at": "2026-03-01T12:00:00Z", "address": "192.0.2.7", "client": "a\u{1b}[2Jb"});
    let read: app_tokens::record::LastUse = serde_json::from_value(shape).unwrap();
    assert_eq!(read.client.as_deref(), Some("a[2Jb"));
}

#[tokio::test]
async fn a_report_is_a_map() {
    let tokens = TokenAuthority::in_memory("acme").unwrap();
    let report: CheckReport = tokens.check().await.unwrap();
    is_written(
        &report,
        json!({
            "realm": "acme", "under_missing_keys": [], "tampered": [], "unknown_versions": [],
            "unknown_schemes": [], "damaged": [], "lost_imports": [], "findings": [], "checked": 0,
            "is_complete": true,
        }),
    );
}

#[test]
fn a_policy_is_checked_when_it_is_read() {
    let read = |shape| serde_json::from_value::<Policy>(shape).unwrap();
    assert_eq!(read(json!({"prefix": "acme"})), Policy::new("acme").unwrap());
    let built = Policy::new("brand").unwrap().with_realm("acme").unwrap();
    let built = built.with_former_prefix("acme").unwrap().with_max_life(90 * DAY).unwrap();
    let built = built.with_usage_interval(Duration::from_millis(1500)).with_no_limit_per_owner();
    let written = serde_json::to_value(&built).unwrap();
    assert_eq!(
        (&written["default_life"], &written["usage_interval"]),
        (&json!("90 days"), &json!("1500 ms"))
    );
    assert_eq!(read(written), built);
    for (lines, why) in [
        (json!({}), "missing field `prefix`"),
        (json!({"prefix": "_"}), "not a prefix"),
        (json!({"prefix": "acme", "max_lief": "1 day"}), "unknown field `max_lief`"),
        (json!({"prefix": "acme", "max_life": 90}), "a length of time"),
        (json!({"prefix": "acme", "max_life": "90"}), "not a length of time"),
        (json!({"prefix": "acme", "former_prefixes": ["old"]}), "needs a realm"),
        (json!({"prefix": "acme", "default_life": "2 days", "max_life": "1 day"}), "its maximum"),
        (json!({"prefix": "acme", "max_life": "1 day", "never_expiring": true}), "never expire"),
        (json!({"prefix": "acme", "max_per_owner": 0}), "must not be zero"),
        (json!({"prefix": "acme", "max_per_owner": "many"}), "or \"unlimited\""),
        (json!({"prefix": "acme", "scopes": {"a": ["b"]}}), "includes \"b\""),
        (json!({"prefix": "acme", "scopes": {"a b": []}}), "forbidden character"),
        (json!({"prefix": "acme", "scopes": {"a": [], "b": ["a"], "c": ["b"]}}), "must imply a"),
    ] {
        is_refused::<Policy>(lines, why);
    }
}

#[test]
fn a_period_prints_in_the_largest_unit_that_fits() {
    for (time, text) in [
        (Duration::ZERO, "0 seconds"),
        (Duration::from_millis(1), "1 ms"),
        (Duration::from_secs(1), "1 second"),
        (Duration::from_secs(90), "90 seconds"),
        (Duration::from_secs(120), "2 minutes"),
        (Duration::from_secs(3600), "1 hour"),
        (365 * DAY, "365 days"),
        (Duration::from_secs(u64::MAX), "18446744073709551615 seconds"),
    ] {
        assert_eq!(Period(time).to_string(), text);
        assert_eq!(text.parse(), Ok(Period(time)));
    }
    assert_eq!(Period(Duration::MAX).to_string(), "18446744073709551615 seconds");
    for text in ["", "1", "-1s", "+1s", "1.5h", "1 month", "s", "18446744073709551615 minutes"] {
        assert!(text.parse::<Period>().is_err(), "{text:?}");
    }
}
