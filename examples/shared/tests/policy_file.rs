//! The policy file that the examples share: what it reads, what it refuses, and with which words.

use std::time::Duration;

use app_tokens::access::ScopeName;
use app_tokens::record::Expires;
use app_tokens::{Policy, Reuse, Timestamp};
use shared::policy_file::PolicyFile;
use shared::policy_file::period::{End, Period, When};

const OF_CLOUD: &str = include_str!("../../cloud/policy.toml");
const DAY: Duration = Duration::from_secs(86_400);

#[derive(Clone, Copy)]
struct Files(&'static str, &'static [&'static str]);

impl ScopeName for Files {
    fn name(&self) -> &'static str {
        self.0
    }
    fn implied_by(&self) -> &'static [&'static str] {
        self.1
    }
}

const SCOPES: [Files; 2] = [Files("files:read", &["files:write"]), Files("files:write", &[])];

#[track_caller]
fn read(text: &str) -> Policy {
    PolicyFile::parse(text).unwrap_or_else(|error| panic!("{error}")).policy
}

#[track_caller]
fn refused(text: &str) -> String {
    match PolicyFile::parse(text) {
        Ok(_) => panic!("should be refused: {text}"),
        Err(error) => error,
    }
}

#[test]
fn missing_keys_have_the_librarys_defaults() {
    assert_eq!(read("prefix = 'acme'"), Policy::new("acme").unwrap());
    assert!(PolicyFile::parse("prefix = 'acme'").unwrap().scopes.is_empty());
}

#[test]
fn every_key_is_obeyed() {
    let read = read(
        r#"
        prefix = "acme"
        former_prefixes = ["old", "older"]
        realm = "acme eu"
        default_life = "30 days"
        max_life = "90 days"
        never_expiring = false
        idle_timeout = "2 weeks"
        overlap = "12h"
        max_overlap = "1 day"
        reuse = "revoke family"
        max_per_owner = 7
        unique_labels = true
        usage_interval = "5 minutes"
        retention = "1 year"
        record_origin = true
        [scopes]
        "files:read" = []
        "files:write" = ["files:read"]
        "#,
    );
    let built = Policy::new("acme").unwrap().with_realm("acme eu").unwrap();
    let built = built.with_former_prefix("old").unwrap().with_former_prefix("older").unwrap();
    let built = built.with_max_life(90 * DAY).unwrap().with_default_life(30 * DAY).unwrap();
    let built = built
        .with_idle_timeout(14 * DAY)
        .unwrap()
        .with_overlap(DAY / 2)
        .unwrap()
        .with_max_overlap(DAY);
    let built = built.with_reuse(Reuse::RevokeFamily).with_max_per_owner(7).unwrap();
    let built = built.with_unique_labels().with_usage_interval(Duration::from_secs(300));
    let built =
        built.with_retention(365 * DAY).with_recorded_origin().with_scopes(&SCOPES).unwrap();
    assert_eq!(read, built);
    let never = Policy::new("acme").unwrap().with_never_expiring().unwrap();
    assert_eq!(self::read("prefix = 'acme'\nnever_expiring = true"), never);
}

#[test]
fn the_clouds_policy_file_is_its_built_in_policy_and_shows_every_key() {
    let built = Policy::new("cloud").unwrap().with_realm("cloud").unwrap();
    let built = built.with_no_limit_per_owner();
    let file = PolicyFile::parse(OF_CLOUD).unwrap();
    // Its scopes are an enum of the cloud's own, which compares them at its start.
    let (top, scopes) = OF_CLOUD.split_once("\n[scopes]").unwrap();
    assert_eq!(read(top), built);
    let named: Vec<&str> = scopes.lines().filter_map(|line| line.split('"').nth(1)).collect();
    assert!(named.len() > 1 && named.iter().all(|name| file.scopes.contains(name)), "{named:?}");
    // The lines that are commented out are right, too.
    let all = OF_CLOUD.replace("# max_life", "max_life").replace("# idle_timeout", "idle_timeout");
    let all = read(&all);
    assert_eq!((all.max_life(), all.idle_timeout()), (Some(365 * DAY), Some(90 * DAY)));
    let unknown = refused("prefix = 'acme'\nx = 1");
    for key in unknown.split("expected one of").nth(1).unwrap().split(',') {
        let key = key.trim().trim_matches('`');
        assert!(OF_CLOUD.contains(&format!("{key} = ")) || key == "scopes", "{key} is not shown");
    }
}

#[test]
fn a_mistake_is_refused_with_its_line() {
    for (line, why) in [
        ("max_lief = '90 days'", "unknown field `max_lief`"),
        ("Prefix = 'acme'", "unknown field `Prefix`"),
        ("max_life = '90 dys'", "not a length of time"),
        ("max_life = 90", "expected a length of time"),
        ("max_life = ''", "not a length of time"),
        ("max_per_owner = 0x", ""),
        ("max_per_owner = -1", "a number from 1 up, or \"unlimited\""),
        ("max_per_owner = 4294967296", "a number from 1 up, or \"unlimited\""),
        ("max_per_owner = 'many'", "a number from 1 up, or \"unlimited\""),
        ("unique_labels = 'yes'", "expected a boolean"),
        ("reuse = 'revoke'", "unknown variant `revoke`, expected `report` or `revoke family`"),
        ("prefix = 'twice'", "duplicate key"),
        ("scopes = ['a']", "expected a map"),
        ("realm = 'x", ""),
    ] {
        let error = refused(&format!("prefix = 'acme'\n{line}\n"));
        assert!(error.contains("line 2") && error.contains(why), "{line}: {error}");
    }
    assert!(refused("").contains("missing field `prefix`"));
    assert!(refused("[scopes]\na = [1]\n").contains("line 2"));
}

#[test]
fn a_contradictory_policy_is_refused_with_the_librarys_error() {
    for (lines, why) in [
        ("max_life = '90 days'\ndefault_life = '91 days'", "longer than its maximum"),
        ("default_life = '91 days'\nmax_life = '90 days'", "longer than its maximum"),
        ("max_life = '90 days'\nnever_expiring = true", "can't allow tokens that never expire"),
        ("idle_timeout = '23h'", "make it a day or more"),
        ("max_per_owner = 0", "the limit per owner must not be zero"),
        ("default_life = '0s'", "the default life must not be zero"),
        ("realm = ''", "not a realm; use 1 to 128"),
        ("former_prefixes = ['Old']", "not a prefix; use 2 to 16 characters"),
        ("[scopes]\n'files:write' = ['files:raed']", "includes \"files:raed\""),
        ("[scopes]\n'files write' = []", "forbidden character"),
    ] {
        let error = refused(&format!("prefix = 'acme'\n{lines}\n"));
        assert!(error.contains(why), "{lines}: {error}");
    }
    assert!(refused("prefix = '_'").contains("not a prefix; use 2 to 16 characters"));
}

#[test]
fn an_error_about_an_unreadable_file_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |path: &std::path::Path| PolicyFile::read(path).err().unwrap();
    let path = folder.path().join("policy.toml");
    let missing = refused(&path);
    assert!(missing.contains("policy.toml") && missing.contains("No such file"), "{missing}");
    assert!(refused(folder.path()).contains("Is a directory"));
    std::fs::write(&path, [0xff; 10]).unwrap();
    assert!(refused(&path).contains("UTF-8"));
    std::fs::write(&path, "#".repeat(64 * 1024 + 1)).unwrap();
    assert!(refused(&path).ends_with("it is longer than 64 KiB; shorten it"));
    std::fs::write(&path, "prefix = 'acme'\nnonsense").unwrap();
    let broken = refused(&path);
    assert!(broken.contains("policy.toml: TOML parse error at line 2"), "{broken}");
}

#[test]
fn lengths_of_time_are_read_as_people_write_them() {
    let seconds = |text: &str| text.parse().ok().map(|Period(period)| period.as_secs());
    for (text, expected) in [
        ("0s", 0),
        ("1 second", 1),
        ("90 seconds", 90),
        ("15m", 900),
        ("15 min", 900),
        ("2 minutes", 120),
        ("12h", 43_200),
        (" 12  hours ", 43_200),
        ("1 day", 86_400),
        ("90d", 90 * 86_400),
        ("2w", 14 * 86_400),
        ("1 year", 365 * 86_400),
        ("1y", 365 * 86_400),
    ] {
        assert_eq!(seconds(text), Some(expected), "{text}");
    }
    let longest = format!("{} s", u64::MAX);
    assert_eq!(seconds(&longest), Some(u64::MAX));
    for bad in [
        "",
        " ",
        "12",
        "days",
        "-1 day",
        "+1 day",
        "1.5 days",
        "1 month",
        "3 months",
        "1 Day",
        "1M",
        "1 day 12h",
        "18446744073709551616 s",
        "18446744073709551615 days",
        "٣ days",
    ] {
        assert_eq!(seconds(bad), None, "{bad}");
    }
}

#[test]
fn points_in_time_are_instants_days_or_lengths_of_time() {
    let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
    let when = |text: &str| text.parse::<When>().unwrap();
    for (text, ahead, behind) in [
        ("2026-12-31", "2026-12-31T00:00:00Z", "2026-12-31T00:00:00Z"),
        ("2026-12-31T12:00:00+02:00", "2026-12-31T10:00:00Z", "2026-12-31T10:00:00Z"),
        ("1 day", "2026-03-02T12:00:00Z", "2026-02-28T12:00:00Z"),
    ] {
        assert_eq!(when(text).ahead_of(now).unwrap().to_string(), ahead, "{text}");
        assert_eq!(when(text).before(now).to_string(), behind, "{text}");
    }
    assert_eq!(when("9000 years").ahead_of(now), None);
    assert_eq!(when("9000 years").before(now), Timestamp::MIN);
    for bad in ["", "tomorrow", "2026-02-30", "2026", "31.12.2026"] {
        assert!(bad.parse::<When>().is_err(), "{bad}");
    }
    assert_eq!("never".parse::<End>().unwrap().seen_from(now), Some(Expires::Never));
    assert!("Never".parse::<End>().is_err());
}
