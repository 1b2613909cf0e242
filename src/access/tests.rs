use proptest::prelude::*;

use super::*;

#[derive(Clone, Copy)]
enum Files {
    Read,
    Write,
}

impl ScopeName for Files {
    fn name(&self) -> &'static str {
        match self {
            Files::Read => "files:read",
            Files::Write => "files:write",
        }
    }
    fn implied_by(&self) -> &'static [&'static str] {
        match self {
            Files::Read => &["files:write"],
            Files::Write => &[],
        }
    }
}

fn exact(name: &str) -> Resource {
    Resource::exact(name).unwrap()
}

fn networks(texts: &[&str]) -> Access {
    Access::full().from_networks(texts.iter().map(|text| text.parse().unwrap())).unwrap()
}

#[test]
fn write_implies_read_and_not_the_other_way_round() {
    let write = Access::scopes([Files::Write]).unwrap();
    let read = Access::scopes([Files::Read]).unwrap();
    assert!(write.allows(&Files::Read.into()) && write.allows(&Files::Write.into()));
    assert!(read.allows(&Files::Read.into()) && !read.allows(&Files::Write.into()));
}

#[test]
fn an_empty_set_allows_nothing_but_being_a_valid_token() {
    let nothing = Access::scopes([""; 0]).unwrap();
    assert!(nothing.is_empty());
    assert!(!nothing.allows(&Files::Read.into()));
    assert!(nothing.allows(&Requirement::ANY_VALID_TOKEN));
    let nowhere = Access::full().on([]).unwrap();
    assert!(nowhere.is_empty());
    assert!(!nowhere.allows(&Requirement::from(Files::Read).on("x")));
    let from_nowhere = networks(&[]);
    assert!(from_nowhere.is_empty());
    assert!(!from_nowhere.allows_from(Some("192.0.2.7".parse().unwrap())));
    assert!(!from_nowhere.allows_from(None));
}

#[test]
fn an_unknown_scope_denies_and_an_empty_requirement_denies() {
    let read = Access::scopes([Files::Read]).unwrap();
    assert!(!read.allows(&Requirement::one_of(&["calendar:read"])));
    assert!(!read.allows(&Requirement::one_of(&[])));
    assert!(!read.allows(&Requirement::one_of(&["files:rea", "FILES:READ", "files:read "])));
}

#[test]
fn a_token_bound_to_resources_is_denied_where_no_resource_is_named() {
    let bound = Access::full().on([exact("a"), Resource::under("b").unwrap()]).unwrap();
    assert!(!bound.allows(&Files::Read.into()));
    for (name, allowed) in
        [("a", true), ("b/", true), ("b/c", true), ("b", true), ("ab", false), ("a/b", false)]
    {
        assert_eq!(bound.allows(&Requirement::from(Files::Read).on(name)), allowed, "{name}");
    }
}

#[test]
fn a_resource_that_is_named_counts_also_where_any_valid_token_will_do() {
    let bound = Access::full().on([exact("photos")]).unwrap();
    assert!(bound.allows(&Requirement::ANY_VALID_TOKEN.on("photos")));
    assert!(!bound.allows(&Requirement::ANY_VALID_TOKEN.on("secrets")));
    assert!(bound.allows(&Requirement::ANY_VALID_TOKEN));
}

#[test]
fn a_token_bound_to_networks_is_outside_where_no_address_is_known() {
    let office = networks(&["10.0.0.0/8", "2001:db8::/32"]);
    let from = |text: &str| office.allows_from(Some(text.parse().unwrap()));
    assert!(from("10.1.2.3") && from("::ffff:10.1.2.3") && from("2001:db8::1"));
    assert!(!from("11.1.2.3") && !from("2001:db9::1") && !office.allows_from(None));
    assert!(Access::full().allows_from(None));
}

#[test]
fn a_missing_scope_is_told_before_a_missing_resource() {
    let access = Access::scopes([Files::Read]).unwrap().on([exact("a")]).unwrap();
    let missing = |requirement: Requirement<'_>| access.missing_for(&requirement);
    assert_eq!(missing(Requirement::from(Files::Read).on("a")), None);
    assert_eq!(missing(Requirement::from(Files::Read).on("b")), Some(Missing::Resource));
    assert_eq!(missing(Requirement::from(Files::Write).on("b")), Some(Missing::Scope));
}

#[test]
fn selections_from_outside_are_sorted_and_bounded() {
    let scope = |name: &str| Scope::new(name).unwrap();
    let network = |text: &str| text.parse::<Network>().unwrap();
    let access = Access::from_selections(
        Selection::Only([scope("w"), scope("r"), scope("w")].into()),
        Selection::Only([exact("b"), exact("a")].into()),
        Selection::Only([network("9.0.0.0/8"), network("10.0.0.0/8")].into()),
    );
    let made = Access::scopes(["r", "w"]).unwrap().on([exact("a"), exact("b")]).unwrap();
    let made = made.from_networks([network("10.0.0.0/8"), network("9.0.0.0/8")]).unwrap();
    assert_eq!(access.unwrap(), made);
    let many = Selection::Only((0..257).map(|n| scope(&format!("s{n}"))).collect());
    assert!(Access::from_selections(many, Selection::All, Selection::All).is_err());
    let many = Selection::Only((0..257).map(|n| exact(&format!("s{n}"))).collect());
    assert!(Access::from_selections(Selection::All, many, Selection::All).is_err());
    let many = Selection::Only(
        (0..257).map(|n| network(&format!("10.0.{n}.0").replace("256", "0"))).collect(),
    );
    assert!(Access::from_selections(Selection::All, Selection::All, many).is_err());
}

#[test]
fn more_than_can_be_listed_is_refused() {
    assert!(Access::scopes((0..257).map(|n| format!("s{n}"))).is_err());
    assert!(Access::full().on((0..257).map(|n| exact(&format!("s{n}")))).is_err());
    let network = |n: i32| format!("10.0.{}.{}", n / 256, n % 256).parse().unwrap();
    assert!(Access::full().from_networks((0..257).map(network)).is_err());
    assert!(Access::full().from_networks((0..256).map(network)).is_ok());
}

#[test]
fn a_wider_scope_includes_a_narrower_one_where_the_host_says_so() {
    let write = Access::scopes([Files::Write]).unwrap();
    let read = Access::scopes([Files::Read]).unwrap();
    let implications = [Files::Read, Files::Write]
        .map(|f| (f.name().into(), f.implied_by().iter().map(|name| (*name).into()).collect()));
    assert!(write.includes_by(&read, &implications) && !read.includes_by(&write, &implications));
    assert!(!write.includes(&read));
}

#[test]
fn all_networks_include_a_list_of_all_addresses_and_not_the_other_way_round() {
    let everywhere = networks(&["0.0.0.0/0", "::/0"]);
    assert!(Access::full().includes(&everywhere));
    assert!(!everywhere.includes(&Access::full()), "it denies an unknown address");
}

#[test]
fn illegal_scopes_are_refused() {
    for bad in ["", "a b", "a\"b", "a\\b", "a\u{7f}", "ä", "a\nb"] {
        assert!(Scope::new(bad).is_err(), "{bad:?}");
    }
    assert!(Scope::new("x".repeat(128)).is_ok() && Scope::new("x".repeat(129)).is_err());
}

/// Draws paths over a small alphabet, so that they are often prefixes of each other. Some have
/// strange segments.
fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(prop_oneof![Just("a"), Just("b"), Just("/"), Just("."), Just("..")], 0..6)
        .prop_map(|parts| parts.concat())
}

fn resource() -> impl Strategy<Value = Resource> {
    (0..3, path()).prop_filter_map("a resource", |(kind, path)| match kind {
        0 => Resource::exact(path).ok(),
        1 => Resource::under(path).ok(),
        _ => Resource::prefix(path).ok(),
    })
}

/// Draws networks around a few addresses, so that they often contain each other.
fn network() -> impl Strategy<Value = Network> {
    (address(), 0_u8..=128).prop_filter_map("a network", |(address, length)| {
        // Bits beyond the length are cleared first, since such a block is refused.
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let length = length % (bits + 1);
        let cut = |bits: u128, all: u32| {
            bits & u128::MAX.checked_shl(all - u32::from(length)).unwrap_or(0)
        };
        let first: IpAddr = match address {
            IpAddr::V4(v4) => {
                std::net::Ipv4Addr::from_bits(cut(v4.to_bits().into(), 32) as u32).into()
            }
            IpAddr::V6(v6) => std::net::Ipv6Addr::from_bits(cut(v6.to_bits(), 128)).into(),
        };
        Network::new(first, length).ok()
    })
}

fn address() -> impl Strategy<Value = IpAddr> {
    let some = [
        "0.0.0.0",
        "10.0.0.1",
        "10.0.0.2",
        "10.128.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:10.0.0.1",
        "::fffe:10.0.0.1",
        "::a00:1",
        "2001:db8::1",
        "2001:db8::2",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    ];
    prop::sample::select(some.to_vec()).prop_map(|text| text.parse().unwrap())
}

const SCOPES_USED: [&str; 3] = ["r", "w", "x"];

fn access() -> impl Strategy<Value = Access> {
    let scopes = prop::option::of(prop::sample::subsequence(SCOPES_USED.to_vec(), 0..=3));
    let resources = prop::option::of(prop::collection::vec(resource(), 0..3));
    let networks = prop::option::of(prop::collection::vec(network(), 0..3));
    (scopes, resources, networks).prop_map(|(scopes, resources, networks)| {
        let mut access = scopes.map_or(Access::full(), |s| Access::scopes(s).unwrap());
        if let Some(resources) = resources {
            access = access.on(resources).unwrap();
        }
        if let Some(networks) = networks {
            access = access.from_networks(networks).unwrap();
        }
        access
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn what_a_resource_includes_it_matches(
        mine in resource(), theirs in resource(), name in path()
    ) {
        if mine.includes(&theirs) && theirs.matches(&name) {
            prop_assert!(mine.matches(&name));
        }
        prop_assert!(mine.includes(&mine));
        let parsed: Resource = mine.to_string().parse().unwrap();
        prop_assert_eq!(parsed, mine);
    }

    #[test]
    fn what_a_network_includes_it_contains(
        mine in network(), theirs in network(), address in address(),
    ) {
        if mine.includes(&theirs) && theirs.contains(address) {
            prop_assert!(mine.contains(address));
        }
        prop_assert!(mine.includes(&mine) && mine.contains(mine.address()));
        prop_assert_eq!(mine.contains(address), mine.contains(address.to_canonical()));
        let parsed: Network = mine.to_string().parse().unwrap();
        prop_assert_eq!(parsed, mine);
    }

    /// Holds the subset rule against both decisions.
    #[test]
    fn what_an_access_includes_it_allows(
        mine in access(),
        theirs in access(),
        scope in prop::sample::select(SCOPES_USED.to_vec()),
        name in prop::option::of(path()),
        address in prop::option::of(address()),
    ) {
        if mine.includes(&theirs) {
            let sufficient = [scope];
            let mut requirements =
                vec![Requirement::one_of(&sufficient), Requirement::ANY_VALID_TOKEN];
            if let Some(name) = &name {
                requirements = requirements.into_iter().map(|r| r.on(name)).collect();
            }
            for requirement in requirements {
                prop_assert!(mine.allows(&requirement) || !theirs.allows(&requirement));
            }
            prop_assert!(mine.allows_from(address) || !theirs.allows_from(address));
        }
        prop_assert!(mine.includes(&mine) && Access::full().includes(&mine));
    }

    /// Holds the subset rule in the other direction, for lists of one item: whatever is a subset by
    /// both decisions for every name is included.
    #[test]
    fn a_longer_path_is_included_in_a_shorter_one(path in path(), below in path()) {
        if let (Ok(mine), Ok(theirs)) =
            (Resource::under(&path), Resource::under(format!("{path}/{below}")))
        {
            prop_assert!(mine.includes(&theirs));
        }
        if let (Ok(mine), Ok(theirs)) =
            (Resource::prefix(&path), Resource::prefix(format!("{path}{below}")))
        {
            prop_assert!(mine.includes(&theirs));
        }
    }
}
