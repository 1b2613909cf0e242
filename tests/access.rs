//! What a token may do, and from where; attributes and actors. All through the whole engine.

mod common;

use std::net::IpAddr;

use app_tokens::access::Resource;
use app_tokens::error::{AuthError, ChangeError, DenialReason, Failed, IssueError, Missing};
use app_tokens::record::{Actor, Expires, LastUse, Seal, Status, StatusUnclear, TokenRecord};
use app_tokens::report::LeakOutcome;
use app_tokens::store::{Filter, Page, RowColumns, RuntimeFree, SqliteStore};
use app_tokens::{
    Access, Attributes, IssuedToken, KeyRing, NewToken, Origin, Owner, Reason, Requirement,
    Rotation,
};
use common::any;
use common::outside::Outside;
use common::*;
use proptest::prelude::*;

const READ: Requirement<'static> = Requirement::one_of(&["files:read"]);

fn from(address: &str) -> Origin<'static> {
    Origin::unknown().address(address.parse().unwrap())
}

fn networks(texts: &[&str]) -> Access {
    Access::full().from_networks(texts.iter().map(|text| text.parse().unwrap())).unwrap()
}

impl<S: RuntimeFree> Bench<S> {
    #[track_caller]
    fn issue_with(&self, access: Access) -> IssuedToken {
        self.tokens.block_on(self.tokens.issue(NewToken::new("alice", "My phone", access))).unwrap()
    }

    /// Returns what a requirement misses if the token is presented from this address.
    #[track_caller]
    fn missing(
        &self,
        token: &IssuedToken,
        origin: Origin<'_>,
        requirement: Requirement<'_>,
    ) -> Option<Missing> {
        let text = token.expose_secret();
        let good = self.tokens.block_on(self.tokens.authenticate_from(text, origin)).unwrap();
        good.require(requirement).err().map(|forbidden| forbidden.missing())
    }
}

// -- networks

#[test]
fn a_token_bound_to_networks_is_forbidden_elsewhere_and_without_an_address() {
    let bench = bench(policy());
    let token = bench.issue_with(networks(&["10.0.0.0/8", "2001:db8::/32"]));
    for inside in ["10.0.0.1", "::ffff:10.0.0.1", "2001:db8::1"] {
        let missing = bench.missing(&token, from(inside), Requirement::ANY_VALID_TOKEN);
        assert_eq!(missing, None, "{inside}");
    }
    for outside in ["11.0.0.1", "::ffff:11.0.0.1", "2001:db9::1", "::10.0.0.1"] {
        let missing = bench.missing(&token, from(outside), Requirement::ANY_VALID_TOKEN);
        assert_eq!(missing, Some(Missing::Network), "{outside}");
    }
    for unknown in [Origin::unknown(), Origin::unknown().client("curl/8.0")] {
        let missing = bench.missing(&token, unknown, Requirement::ANY_VALID_TOKEN);
        assert_eq!(missing, Some(Missing::Network));
    }
    let tokens = &bench.tokens;
    let alice = owner("alice");
    for (origin, is_in) in [(from("10.0.0.1"), true), (from("11.0.0.1"), false)] {
        let good =
            tokens.block_on(tokens.authenticate_as(&alice, token.expose_secret(), origin)).unwrap();
        assert_eq!(good.require(READ).is_ok(), is_in);
    }
    let good = tokens.block_on(tokens.authenticate(token.expose_secret())).unwrap();
    assert_eq!(good.require(READ).unwrap_err().missing(), Missing::Network);
}

#[test]
fn a_missing_network_is_reported_before_a_scope_and_a_scope_before_a_resource() {
    let bench = bench(policy());
    let access = Access::scopes(["files:read"]).unwrap().on([exact("photos")]).unwrap();
    let access = access.from_networks(["10.0.0.0/8".parse().unwrap()]).unwrap();
    let token = bench.issue_with(access);
    let write = Requirement::one_of(&["files:write"]);
    let here = from("10.0.0.1");
    assert_eq!(bench.missing(&token, from("11.0.0.1"), write.on("x")), Some(Missing::Network));
    assert_eq!(bench.missing(&token, here, write.on("x")), Some(Missing::Scope));
    assert_eq!(bench.missing(&token, here, READ.on("x")), Some(Missing::Resource));
    assert_eq!(bench.missing(&token, here, READ), Some(Missing::Resource));
    assert_eq!(bench.missing(&token, here, READ.on("photos")), None);

    let refused = |origin, requirement| {
        let text = token.expose_secret();
        let good = bench.tokens.block_on(bench.tokens.authenticate_from(text, origin)).unwrap();
        let forbidden = good.require(requirement).unwrap_err();
        (forbidden.to_string(), forbidden.wanted_scope().map(str::to_owned))
    };
    let outside = "the token may not be used from this address".to_owned();
    assert_eq!(refused(Origin::unknown(), write), (outside, None));
    let scope = "the token lacks the scope files:write".to_owned();
    assert_eq!(refused(here, write), (scope, Some("files:write".to_owned())));
    let resource = "the token may not be used for this resource".to_owned();
    assert_eq!(refused(here, READ.on("x")), (resource, None));
}

#[test]
fn a_refusal_outside_its_networks_is_no_use_and_is_reported_once_per_interval() {
    let bench = bench(policy());
    let token = bench.issue_with(networks(&["10.0.0.0/8"]));
    let other = bench.issue_with(networks(&["10.0.0.0/8"]));
    bench.heard.texts();
    for address in ["192.0.2.1", "192.0.2.2"] {
        let missing = bench.missing(&token, from(address), READ);
        assert_eq!(missing, Some(Missing::Network));
    }
    assert!(bench.missing(&other, Origin::unknown(), READ).is_some());
    let told = bench.heard.texts();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("OutsideNetwork") && told[0].contains("192.0.2.1"), "{told:?}");
    assert!(told[1].starts_with("OutsideNetwork") && told[1].contains("None"), "{told:?}");
    assert!(bench.all_of("alice").iter().all(|token| token.last_use().is_none()));

    bench.clock.advance(secs(60));
    assert!(bench.missing(&token, from("192.0.2.1"), READ).is_some());
    assert_eq!(bench.missing(&token, from("10.0.0.1"), READ), None);
    assert_eq!(bench.heard.kinds(), ["OutsideNetwork", "FirstUse"]);
}

#[test]
fn a_use_outside_its_networks_does_not_keep_an_idle_token_alive() {
    let bench = bench(policy().with_idle_timeout(DAY).unwrap());
    let _upkeep = bench.tokens.upkeep();
    let token = bench.issue_with(networks(&["10.0.0.0/8"]));
    bench.clock.set(at(80_000));
    assert!(bench.missing(&token, from("192.0.2.1"), READ).is_some());
    bench.tokens.block_on(bench.tokens.flush_usage()).unwrap();
    bench.clock.set(at(86_400));
    bench.assert_denied(token.expose_secret(), DenialReason::Idle);
}

#[test]
fn a_refusal_for_a_missing_scope_counts_as_a_use() {
    let bench = bench(policy());
    let token = bench.issue_with(Access::scopes(["files:read"]).unwrap());
    let write = Requirement::one_of(&["files:write"]);
    assert_eq!(bench.missing(&token, Origin::unknown(), write), Some(Missing::Scope));
    assert_eq!(bench.all_of("alice")[0].last_use().unwrap().at, at(0));
}

#[test]
fn an_address_mapped_into_v6_is_the_v4_address_in_last_use_and_events() {
    let bench = bench(policy().with_recorded_origin());
    let token = bench.issue("alice");
    let v4: IpAddr = "192.0.2.7".parse().unwrap();
    for text in ["192.0.2.7", "::ffff:192.0.2.7"] {
        assert_eq!(bench.missing(&token, from(text), READ), None);
        assert_eq!(bench.all_of("alice")[0].last_use().unwrap().address, Some(v4));
        bench.clock.advance(secs(60));
    }
    assert_eq!(bench.heard.kinds(), ["Issued", "FirstUse"]);
    let mapped: IpAddr = "::ffff:192.0.2.7".parse().unwrap();
    let text = token.expose_secret();
    drop(
        bench
            .tokens
            .block_on(bench.tokens.authenticate_as(&owner("bob"), text, mapped))
            .unwrap_err(),
    );
    let told = bench.heard.texts();
    assert!(told[0].contains("address: Some(192.0.2.7)"), "{told:?}");
}

// -- attributes

fn attributes() -> Attributes {
    Attributes::new().with("device", "NAS").unwrap().with("ticket", "OPS 1").unwrap()
}

fn attributes_are_shown_and_taken_over(store: impl RuntimeFree) {
    let bench = bench_over(store, policy());
    let tokens = &bench.tokens;
    let new = NewToken::new("alice", "NAS", Access::full()).attributes(attributes());
    let issued = tokens.block_on(tokens.issue(new)).unwrap();
    assert_eq!(issued.view().attributes(), &attributes());
    let caller = any(tokens.block_on(tokens.authenticate(issued.expose_secret())).unwrap());
    assert_eq!(caller.attributes().get("ticket"), Some("OPS 1"));

    let under = NewToken::new("alice", "Job", Access::full());
    let derived = tokens.block_on(tokens.issue_under(&caller, under.clone())).unwrap();
    assert_eq!(derived.view().attributes(), &attributes());
    let own = under.attributes(Attributes::new().with("device", "Laptop").unwrap());
    let refused = tokens.block_on(tokens.issue_under(&caller, own));
    assert!(matches!(refused, Err(IssueError::AttributesUnderToken)), "{refused:?}");

    let rotation = Rotation::new().overlap(secs(100));
    let lost = tokens.block_on(tokens.rotate(&ops(), issued.id(), rotation.clone())).unwrap();
    let rotated = tokens.block_on(tokens.rotate(&ops(), issued.id(), rotation)).unwrap();
    for token in [&lost, &rotated] {
        assert_eq!(
            tokens.block_on(tokens.find(&ops(), token.id())).unwrap().attributes(),
            &attributes()
        );
    }
    bench.assert_good(rotated.expose_secret());
    assert_eq!(bench.issue("bob").view().attributes(), &Attributes::new());
}

#[test]
fn attributes_are_shown_and_taken_over_by_a_successor_and_by_derived_tokens() {
    attributes_are_shown_and_taken_over(app_tokens::store::MemoryStore::new());
    attributes_are_shown_and_taken_over(SqliteStore::in_memory().unwrap());
}

// -- actors and owners

#[test]
fn the_actor_is_reported_and_stored_by_name() {
    let bench = bench(policy());
    let tokens = &bench.tokens;
    let (first, second) = (bench.issue("alice"), bench.issue("alice"));
    tokens.block_on(tokens.revoke(&owner("alice"), first.id(), Reason::REQUESTED)).unwrap();
    tokens.block_on(tokens.revoke(operator("eve"), second.id(), Reason::REQUESTED)).unwrap();
    let by = |token: &IssuedToken| {
        tokens
            .block_on(tokens.find(&ops(), token.id()))
            .unwrap()
            .revocation()
            .unwrap()
            .by
            .to_string()
    };
    assert_eq!((by(&first), by(&second)), ("owner alice".into(), "operator eve".into()));
    let told = bench.heard.texts();
    assert!(told[0].contains(r#"by: Owner("alice")"#), "{told:?}");
    assert!(told[3].contains(r#"by: Operator("eve")"#), "{told:?}");
}

#[test]
fn an_owner_may_be_a_number() {
    let bench = bench(policy());
    let tokens = &bench.tokens;
    let issued =
        tokens.block_on(tokens.issue(NewToken::new(4_711_u64, "x", Access::full()))).unwrap();
    assert_eq!(
        any(tokens.block_on(tokens.authenticate(issued.expose_secret())).unwrap()).owner().as_str(),
        "4711"
    );
    let actor = Actor::from(Owner::from(4_711_i32));
    assert_eq!(
        tokens.block_on(tokens.find(&actor, issued.id())).unwrap().owner(),
        &Owner::from(4_711_u32)
    );
}

// -- rotation within today's policy

#[test]
fn a_rotation_without_options_gives_no_end_that_todays_policy_would_refuse() {
    let store = app_tokens::store::MemoryStore::new();
    let before = bench_over(store.clone(), policy().with_never_expiring().unwrap());
    let tokens = &before.tokens;
    let life = |days: u32| days * DAY;
    let new = || NewToken::new("alice", "x", Access::full());
    let endless = tokens.block_on(tokens.issue(new().never_expires())).unwrap();
    let long = tokens.block_on(tokens.issue(new().expires_in(life(3650)))).unwrap();
    let short = tokens.block_on(tokens.issue(new().expires_in(life(30)))).unwrap();

    let strict = policy().with_max_life(life(90)).unwrap().with_default_life(life(60)).unwrap();
    let after = bench_over(store, strict);
    let expires = |token: &IssuedToken| {
        let new = after
            .tokens
            .block_on(after.tokens.rotate(&ops(), token.id(), Rotation::new()))
            .unwrap();
        new.view().expires()
    };
    let in_days = |days: u32| Expires::At(at(0).saturating_add(life(days)));
    assert_eq!(expires(&endless), in_days(60), "the default life");
    assert_eq!(expires(&long), in_days(90), "the maximum");
    assert_eq!(expires(&short), in_days(30), "the old end is sooner");
}

// -- what a client calls itself

#[test]
fn a_clients_name_is_clean_in_events_and_lists_even_if_written_past_the_engine() {
    let store = Outside::new();
    let bench = bench_over(store.clone(), policy().with_recorded_origin());
    let token = bench.issue("alice");
    let strange = "\u{1b}[2Jcurl\r\n\u{202e}/8\u{2028}";
    let origin = Origin::unknown().client(strange);
    drop(any(bench
        .tokens
        .block_on(bench.tokens.authenticate_from(token.expose_secret(), origin))
        .unwrap()));
    let client = || bench.all_of("alice")[0].last_use().unwrap().client.clone().unwrap();
    assert_eq!(&*client(), "[2Jcurl/8");

    let raw = LastUse { at: at(50), address: None, client: Some("x\u{9b}31m\u{2066}y".into()) };
    store.change(token.id(), |parts| parts.last_use = Some(raw));
    assert_eq!(&*client(), "x31my");

    bench.heard.texts();
    let text = "acme_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92";
    let long = "\u{1b}é".repeat(50_000);
    let denied = bench
        .tokens
        .block_on(bench.tokens.authenticate_from(text, Origin::unknown().client(&long)));
    assert!(matches!(denied, Err(AuthError::Denied(_))));
    let told = bench.heard.texts();
    let clean = format!("client: Some(\"{}\")", "é".repeat(200));
    assert!(told[0].starts_with("Denied") && told[0].contains(&clean), "{told:?}");
}

// -- a seal of a newer build

#[test]
fn a_seal_of_an_unknown_version_is_a_failure_and_is_left_alone() {
    let store = Outside::new();
    let bench = bench_with_ring(store.clone(), two_keys_turned(), policy());
    let token = bench_with_ring(store.clone(), two_keys(), policy()).issue("alice");
    let mut bytes = store.parts(token.id()).seal.unwrap().to_bytes();
    bytes[0] = 2;
    store.change(token.id(), |parts| parts.seal = Seal::from_bytes(&bytes));
    let failed = bench.assert_failed(token.expose_secret());
    assert!(matches!(failed, Failed::Unclear(StatusUnclear::SealVersion(2))), "{failed:?}");
    let page =
        bench.tokens.block_on(bench.tokens.list(&Filter::every_token(), Page::first(9))).unwrap();
    assert_eq!(page.tokens[0].status(), None);

    let report = bench.tokens.block_on(bench.tokens.reseal()).unwrap();
    assert_eq!((report.moved, report.tampered.len(), report.left.len()), (0, 0, 1));
    assert_eq!(store.parts(token.id()).seal.unwrap().to_bytes(), bytes);
    bench.tokens.block_on(bench.tokens.revoke(&ops(), token.id(), Reason::REQUESTED)).unwrap();
    assert_eq!(bench.all_of("alice")[0].status(), Some(Status::Revoked));
}

#[test]
fn a_digest_of_an_unknown_scheme_is_a_failure_and_is_left_alone() {
    for scheme in [0, 4, 255] {
        let store = Outside::new();
        let bench = bench_with_ring(store.clone(), two_keys_turned(), policy());
        let tokens = &bench.tokens;
        let token = bench_with_ring(store.clone(), two_keys(), policy()).issue("alice");
        let mut bytes = store.parts(token.id()).digest.to_bytes();
        bytes[0] = scheme;
        // Through the columns, as a store in SQL reads it.
        store.change(token.id(), |parts| {
            let record = TokenRecord::from_parts(parts.clone());
            let columns = RowColumns { digest: Some((&*bytes).into()), ..RowColumns::of(&record) };
            *parts = columns.into_row().unwrap().record().unwrap().clone().into_parts();
        });
        let unclear = StatusUnclear::DigestScheme(scheme);
        let is_unclear = |failed: &Failed| matches!(failed, Failed::Unclear(of) if *of == unclear);
        bench.heard.texts();
        let failed = bench.assert_failed(token.expose_secret());
        assert!(is_unclear(&failed), "{failed:?}");
        let examined = tokens.block_on(tokens.examine(token.expose_secret()));
        assert!(matches!(examined, Err(AuthError::Failed(failed)) if is_unclear(&failed)));
        assert!(bench.heard.kinds().is_empty(), "a failure is no denial");
        assert_eq!(bench.all_of("alice")[0].status(), None);
        let renamed = tokens.block_on(tokens.rename(&ops(), token.id(), "New"));
        assert!(matches!(renamed, Err(ChangeError::Failed(failed)) if is_unclear(&failed)));

        let report = tokens.block_on(tokens.check()).unwrap();
        assert_eq!(report.unknown_schemes, [(token.id(), scheme)]);
        assert_eq!((report.damaged.len(), report.tampered.len()), (0, 0));
        assert!(!report.is_sound() && report.to_string().contains("; update it"), "{report}");
        let report = tokens.block_on(tokens.reseal()).unwrap();
        assert_eq!((report.moved, report.tampered.len(), report.left.len()), (0, 0, 1));
        let lost = bench_with_ring(store.clone(), KeyRing::parse(OTHER_KEYS).unwrap(), policy());
        let key_id = store.parts(token.id()).key_id;
        let trust =
            || lost.tokens.block_on(lost.tokens.danger_reseal_without_proof(&ops(), key_id));
        assert_eq!(trust().unwrap().moved, 0);
        assert_eq!(store.parts(token.id()).digest.to_bytes(), bytes);

        let leaked = || {
            let leaked = tokens.block_on(tokens.revoke_leaked(&ops(), token.expose_secret()));
            leaked.unwrap().leaks[0].outcome
        };
        assert_eq!(leaked(), LeakOutcome::UnknownScheme(scheme));
        tokens.block_on(tokens.revoke(&ops(), token.id(), Reason::REQUESTED)).unwrap();
        assert_eq!(bench.all_of("alice")[0].status(), Some(Status::Revoked));
        bench.assert_denied(token.expose_secret(), DenialReason::Revoked);
        assert_eq!(leaked(), LeakOutcome::AlreadyRevoked);
    }
}

// -- never more access

const SCOPES: [&str; 3] = ["r", "w", "admin"];
const RESOURCES: [&str; 6] =
    ["exact:a", "prefix:a", "under:a", "exact:a/b", "under:a/b", "prefix:b"];
const NAMES: [&str; 7] = ["a", "a/", "a/b", "a/../b", "ab", "b", "c"];
const NETWORKS: [&str; 6] =
    ["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.0.1/32", "::/0", "2001:db8::/32"];
const ADDRESSES: [&str; 6] =
    ["10.1.0.1", "10.1.0.2", "10.2.0.1", "192.0.2.1", "2001:db8::1", "::ffff:10.1.0.1"];

fn an_access() -> impl Strategy<Value = Access> {
    let scopes = prop::option::weighted(0.8, prop::sample::subsequence(&SCOPES[..], 0..=3));
    let resources = prop::option::weighted(0.7, prop::sample::subsequence(&RESOURCES[..], 0..=3));
    let networks = prop::option::weighted(0.7, prop::sample::subsequence(&NETWORKS[..], 0..=3));
    (scopes, resources, networks).prop_map(|(scopes, resources, networks)| {
        let mut access = scopes.map_or(Access::full(), |names| Access::scopes(names).unwrap());
        if let Some(resources) = resources {
            let resources = resources.iter().map(|text| text.parse::<Resource>().unwrap());
            access = access.on(resources).unwrap();
        }
        if let Some(networks) = networks {
            access =
                access.from_networks(networks.iter().map(|text| text.parse().unwrap())).unwrap();
        }
        access
    })
}

/// Returns every act of this small world: from which address, with which scope, on which resource.
fn acts() -> impl Iterator<Item = (Option<IpAddr>, Requirement<'static>)> {
    const EACH: [[&str; 1]; 4] = [["r"], ["w"], ["admin"], ["other"]];
    let requirements = || {
        EACH.iter()
            .map(|scope| Requirement::one_of(scope))
            .flat_map(|anywhere| NAMES.iter().map(move |name| anywhere.on(name)).chain([anywhere]))
    };
    let addresses = ADDRESSES.iter().map(|text| Some(text.parse().unwrap())).chain([None]);
    addresses.flat_map(move |address| requirements().map(move |requirement| (address, requirement)))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Judged by decisions and not by the law of subsets, so that a fault in that law shows, too.
    #[test]
    fn no_operation_lets_a_token_do_more_from_more_places(
        had in an_access(),
        asked in an_access(),
    ) {
        let bench = bench(policy());
        let tokens = &bench.tokens;
        let token = bench.issue_with(had.clone());
        // From an address that the caller is allowed.
        let addresses = ADDRESSES.iter().map(|text| text.parse::<IpAddr>().unwrap());
        let origin = addresses.map(Some).chain([None]).find(|address| had.allows_from(*address));
        let mut granted = Vec::new();
        if let Some(address) = origin {
            let origin = address.map_or(Origin::unknown(), Origin::from);
            let good = tokens.authenticate_from(token.expose_secret(), origin);
            let good = tokens.block_on(good).unwrap();
            let caller = good.require(Requirement::ANY_VALID_TOKEN).unwrap();
            let new = NewToken::new("alice", "y", asked.clone());
            let under = tokens.block_on(tokens.issue_under(&caller, new));
            granted.extend(under.map(|under| under.view().access().clone()));
        }
        let rotation = Rotation::new().narrowed_to(asked.clone());
        let other = bench.issue_with(had.clone());
        let rotated = tokens.block_on(tokens.rotate(&ops(), other.id(), rotation));
        granted.extend(rotated.map(|rotated| rotated.view().access().clone()));
        let narrowed = tokens.block_on(tokens.narrow(&ops(), token.id(), asked.clone()));
        granted.extend(narrowed.map(|narrowed| narrowed.access().clone()));
        for granted in &granted {
            prop_assert_eq!(granted, &asked);
            for (address, requirement) in acts() {
                let may = |access: &Access| {
                    access.allows_from(address) && access.allows(&requirement)
                };
                prop_assert!(!may(granted) || may(&had), "{requirement:?} from {address:?}");
            }
        }
        // They agree, and a refusal leaves the token as it was.
        let all = 2 + usize::from(origin.is_some());
        prop_assert!(granted.is_empty() || granted.len() == all, "{granted:?}");
        prop_assert!(granted.len() == all || asked != had);
        let found = tokens.block_on(tokens.find(&ops(), token.id())).unwrap();
        prop_assert_eq!(found.access(), if granted.is_empty() { &had } else { &asked });
    }
}
