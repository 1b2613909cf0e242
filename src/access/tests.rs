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

#[test]
fn write_implies_read_and_not_the_other_way_round() {
    let write = Access::scopes([Files::Write]).unwrap();
    let read = Access::scopes([Files::Read]).unwrap();
    assert!(write.allows(&Files::Read.into()) && write.allows(&Files::Write.into()));
    assert!(read.allows(&Files::Read.into()) && !read.allows(&Files::Write.into()));
}

#[test]
fn an_empty_set_allows_nothing_but_being_a_valid_token() {
    let nothing = Access::scopes::<&str>([]).unwrap();
    assert!(nothing.is_empty());
    assert!(!nothing.allows(&Files::Read.into()));
    assert!(nothing.allows(&Requirement::ANY_VALID_TOKEN));
    let nowhere = Access::full().on_resources::<&str>([]).unwrap();
    assert!(nowhere.is_empty());
    assert!(!nowhere.allows(&Requirement::from(Files::Read).on("x")));
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
    let bound = Access::full().on_resources(["a", "b/*"]).unwrap();
    assert!(!bound.allows(&Files::Read.into()));
    for (name, allowed) in [("a", true), ("b/", true), ("b/c", true), ("b", false), ("ab", false)] {
        assert_eq!(bound.allows(&Requirement::from(Files::Read).on(name)), allowed, "{name}");
    }
}

#[test]
fn a_resource_that_is_named_counts_also_where_any_valid_token_will_do() {
    let bound = Access::full().on_resources(["photos"]).unwrap();
    assert!(bound.allows(&Requirement::ANY_VALID_TOKEN.on("photos")));
    assert!(!bound.allows(&Requirement::ANY_VALID_TOKEN.on("secrets")));
    assert!(bound.allows(&Requirement::ANY_VALID_TOKEN));
}

#[test]
fn selections_from_outside_are_sorted_and_bounded() {
    let scope = |name: &str| Scope::new(name).unwrap();
    let unsorted = Selection::Only([scope("w"), scope("r"), scope("w")].into());
    let access = Access::from_selections(unsorted, Selection::All).unwrap();
    assert_eq!(access, Access::scopes(["r", "w"]).unwrap());
    let many = Selection::Only((0..257).map(|n| scope(&format!("s{n}"))).collect());
    assert!(Access::from_selections(many, Selection::All).is_err());
}

#[test]
fn a_wider_scope_includes_a_narrower_one_where_the_host_says_so() {
    let write = Access::scopes([Files::Write]).unwrap();
    let read = Access::scopes([Files::Read]).unwrap();
    let implications = [Files::Read, Files::Write].map(|f| (f.name(), f.implied_by()));
    assert!(write.includes_by(&read, &implications) && !read.includes_by(&write, &implications));
    assert!(!write.includes(&read));
}

#[test]
fn illegal_names_are_refused() {
    for bad in ["", "a b", "a\"b", "a\\b", "a\u{7f}", "ä", "a\nb"] {
        assert!(Scope::new(bad).is_err(), "{bad:?}");
    }
    assert!(Scope::new("x".repeat(129)).is_err());
    for bad in ["", "a*b", "**", "a\0"] {
        assert!(ResourcePattern::new(bad).is_err(), "{bad:?}");
    }
    assert!(ResourcePattern::new("x".repeat(255)).is_ok());
    assert!(ResourcePattern::new("x".repeat(255) + "*").is_err());
    assert!(ResourcePattern::new("*").unwrap().matches("anything"));
    let too_many = (0..257).map(|n| format!("s{n}"));
    assert!(Access::scopes(too_many).is_err());
}

/// Every pair of accesses from a small universe: inclusion holds just where each action that the
/// one allows is allowed by the other.
#[test]
fn inclusion_is_the_subset_of_what_is_allowed() {
    let scope_sets: [Option<&[&str]>; 4] = [None, Some(&[]), Some(&["r"]), Some(&["r", "w"])];
    let resource_sets: [Option<&[&str]>; 6] =
        [None, Some(&[]), Some(&["a"]), Some(&["a*"]), Some(&["a/*", "b"]), Some(&["*"])];
    let mut all = Vec::new();
    for scopes in scope_sets {
        for resources in resource_sets {
            let mut access =
                scopes.map_or(Access::full(), |s| Access::scopes(s.iter().copied()).unwrap());
            if let Some(patterns) = resources {
                access = access.on_resources(patterns).unwrap();
            }
            all.push(access);
        }
    }
    let names = ["a", "a/", "a/b", "ab", "b", "c", ""];
    for mine in &all {
        for theirs in &all {
            if !mine.includes(theirs) {
                continue;
            }
            for scope in [["r"], ["w"], ["x"]] {
                for name in names {
                    let requirement = Requirement::one_of(&scope).on(name);
                    assert!(mine.allows(&requirement) || !theirs.allows(&requirement));
                }
                let unbound = Requirement::one_of(&scope);
                assert!(mine.allows(&unbound) || !theirs.allows(&unbound), "{mine:?} {theirs:?}");
            }
        }
    }
    assert!(all.iter().all(|a| Access::full().includes(a) && a.includes(a)));
}
