use super::*;
use crate::access::ScopeName;

fn policy() -> Policy {
    Policy::new("acme").unwrap()
}

struct Named(&'static str, &'static [&'static str]);

const READ: Named = Named("read", &["write"]);
const WRITE: Named = Named("write", &["admin"]);
const ADMIN: Named = Named("admin", &[]);

impl ScopeName for Named {
    fn name(&self) -> &'static str {
        self.0
    }
    fn implied_by(&self) -> &'static [&'static str] {
        self.1
    }
}

#[test]
fn the_defaults_are_those_of_the_table() {
    let policy = policy();
    assert_eq!(policy.default_life(), 365 * DAY);
    assert_eq!((policy.max_life(), policy.idle_timeout()), (None, None));
    assert!(
        !policy.allows_never_expiring() && !policy.has_unique_labels() && !policy.records_origin()
    );
    assert_eq!((policy.overlap(), policy.max_overlap()), (Duration::ZERO, 7 * DAY));
    assert_eq!((policy.reuse(), policy.max_per_owner()), (Reuse::Report, Some(100)));
    assert_eq!((policy.usage_interval().as_secs(), policy.retention()), (60, 90 * DAY));
    assert_eq!(policy.realm(), "acme");
}

#[test]
fn what_contradicts_itself_is_refused() {
    let second = Duration::from_secs(1);
    assert_eq!(policy().with_default_life(second / 2), Err(PolicyError::Zero("default life")));
    assert_eq!(policy().with_max_life(Duration::ZERO), Err(PolicyError::Zero("maximum life")));
    let strict = policy().with_max_life(DAY).unwrap();
    assert_eq!(
        strict.clone().with_default_life(DAY + second),
        Err(PolicyError::PastMaximum("default life"))
    );
    assert_eq!(policy().with_overlap(8 * DAY), Err(PolicyError::PastMaximum("overlap")));
    let short = policy().with_overlap(7 * DAY).unwrap().with_max_overlap(DAY);
    assert_eq!((short.overlap(), short.max_overlap()), (DAY, DAY));
    assert_eq!(strict.clone().with_never_expiring(), Err(PolicyError::NeverWithMaximum));
    assert_eq!(strict.default_life(), DAY);
    let never = policy().with_never_expiring().unwrap().with_max_life(DAY).unwrap();
    assert!(!never.allows_never_expiring());
    assert_eq!(policy().with_idle_timeout(DAY - second), Err(PolicyError::IdleTooShort));
    assert!(policy().with_idle_timeout(DAY).is_ok());
    assert!(policy().with_max_per_owner(0).is_err());
    let left_out = PolicyError::ScopeLeftOut { scope: "read".into(), implying: "admin".into() };
    assert_eq!(policy().with_scopes(&[READ, WRITE, ADMIN]), Err(left_out));
    let read = Named("read", &["write", "admin"]);
    assert!(policy().with_scopes(&[read, WRITE, ADMIN]).is_ok());
    let same = [Named("one", &["other"]), Named("other", &["one"])];
    assert!(policy().with_scopes(&same).is_ok(), "two names for one thing");
    for realm in ["", " ", "a\"b", "a\\b", "a\nb", "ä", &"x".repeat(129)] {
        assert_eq!(policy().with_realm(realm), Err(PolicyError::Realm), "{realm:?}");
    }
}

#[test]
fn a_former_prefix_needs_a_named_realm() {
    let brand = || Policy::new("brand").unwrap();
    let error = brand().with_former_prefix("acme").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the policy needs a realm before it accepts a former prefix; \
         call `with_realm(\"acme\")` if rows were sealed under the prefix acme \
         without a named realm, or `with_realm(\"brand\")` if they were sealed under brand"
    );
    for realm in ["acme", "brand", "tenant 7"] {
        let policy = brand().with_realm(realm).unwrap().with_former_prefix("acme").unwrap();
        assert_eq!(policy.realm(), realm);
        let names: Vec<&str> = policy.accepted_prefixes().iter().map(Prefix::as_str).collect();
        assert_eq!(names, ["brand", "acme"]);
    }
    assert!(matches!(brand().with_former_prefix("A"), Err(PolicyError::Prefix(_))));
}

#[test]
fn policies_with_the_same_scopes_and_prefixes_are_equal_in_any_order() {
    let read = Named("read", &["write", "admin"]);
    let other_order = Named("read", &["admin", "write", "admin", "read"]);
    let policy = policy().with_scopes(&[read, WRITE, ADMIN]).unwrap();
    let same = Policy::new("acme").unwrap().with_scopes(&[ADMIN, other_order, WRITE]).unwrap();
    assert_eq!(policy, same);
    assert_eq!(policy.scopes().collect::<Vec<_>>(), ["admin", "read", "write"]);
    // Named twice, it is implied by what either says.
    let (one, two) = (Named("read", &["write"]), Named("read", &["admin"]));
    assert_eq!(Ok(policy), same.with_scopes(&[one, WRITE, two, ADMIN]));

    let brand = || Policy::new("brand").unwrap().with_realm("acme").unwrap();
    let after = |one: &str, two: &str| {
        brand().with_former_prefix(one).unwrap().with_former_prefix(two).unwrap()
    };
    assert_eq!(after("acme", "old"), after("old", "acme"));
    assert_eq!(after("zebra", "acme").prefix().as_str(), "brand");
}

#[cfg(feature = "serde")]
#[test]
fn the_table_names_every_key_that_is_read_and_no_other() {
    let refused = serde_json::from_str::<Policy>(r#"{ "": 0 }"#).unwrap_err().to_string();
    let (_, read) = refused.split_once("expected one of ").unwrap();
    // Each name stands between two accents.
    let read: Vec<_> = read.split('`').skip(1).step_by(2).collect();
    let rows = include_str!("keys.md").lines().filter_map(|line| line.strip_prefix("| `"));
    let table: Vec<_> = rows.map(|row| row.split_once('`').unwrap().0).collect();
    assert_eq!(table, read);
}
