//! What a token may do, told a second time: resources by the names that they mean, and networks by
//! their first and last addresses. It knows nothing of the engine's own rules for them.

use std::net::IpAddr;

use app_tokens::access::Selection;
use app_tokens::error::Missing;
use app_tokens::{Access, Requirement};

use super::draw::Draw;

/// What a token may do. Each list is in the form in which a token shows it; `None` is everything.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Held {
    pub(crate) scopes: List,
    pub(crate) resources: List,
    pub(crate) networks: List,
}

type List = Option<Vec<&'static str>>;

/// What an action needs: one of these scopes, or any valid token; on a resource, if it has one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Need {
    scopes: Option<&'static [&'static str]>,
    resource: Option<&'static str>,
}

impl Held {
    pub(crate) fn of(access: &Access) -> Held {
        Held {
            scopes: shown(access.granted_scopes(), |scope| drawn(scope.as_str())),
            resources: shown(access.granted_resources(), |resource| drawn(resource.as_str())),
            networks: shown(access.granted_networks(), |network| drawn(&network.to_string())),
        }
    }

    /// Makes the engine's form, of lists in the wrong order.
    pub(crate) fn access(&self) -> Access {
        let mut access = match &self.scopes {
            Some(scopes) => Access::scopes(scopes.iter().rev()).unwrap(),
            None => Access::full(),
        };
        if let Some(resources) = &self.resources {
            access = access.on(resources.iter().rev().map(|text| text.parse().unwrap())).unwrap();
        }
        if let Some(networks) = &self.networks {
            access = access
                .from_networks(networks.iter().rev().map(|text| text.parse().unwrap()))
                .unwrap();
        }
        access
    }

    /// Whether a client may not use it from here.
    pub(crate) fn is_outside(&self, address: Option<IpAddr>) -> bool {
        let covers = |network: &&str| address.is_some_and(|at| block(network).has(at));
        self.networks.as_ref().is_some_and(|networks| !networks.iter().any(covers))
    }

    /// Returns what of scope and resource it lacks for an action.
    pub(crate) fn lacks(&self, need: Need) -> Option<Missing> {
        let has_scope = match (&self.scopes, need.scopes) {
            (None, _) | (_, None) => true,
            (Some(mine), Some(names)) => names.iter().any(|name| mine.iter().any(|it| it == name)),
        };
        let has_resource = match (&self.resources, need.resource) {
            (None, _) => true,
            (Some(mine), Some(name)) => mine.iter().any(|resource| means(resource, name)),
            // Without a resource, only the question "who am I?" is left.
            (Some(_), None) => need.scopes.is_none(),
        };
        let missing = [(has_scope, Missing::Scope), (has_resource, Missing::Resource)];
        missing.into_iter().find(|(has, _)| !has).map(|(_, missing)| missing)
    }

    /// Whether it allows all that the other allows. Items of a list are compared one by one.
    pub(crate) fn includes(&self, other: &Held) -> bool {
        has_all(&self.scopes, &other.scopes, |mine, theirs| mine == theirs)
            && has_all(&self.resources, &other.resources, |mine, theirs| {
                NAMES.iter().all(|name| means(mine, name) || !means(theirs, name))
            })
            && has_all(&self.networks, &other.networks, |mine, theirs| {
                let (mine, theirs) = (block(mine), block(theirs));
                mine.is_v4 == theirs.is_v4 && mine.first <= theirs.first && theirs.last <= mine.last
            })
    }
}

fn shown<T>(selection: &Selection<T>, show: impl Fn(&T) -> &'static str) -> List {
    match selection {
        Selection::All => None,
        Selection::Only(items) => Some(items.iter().map(show).collect()),
    }
}

/// Returns the item that was drawn with this text.
fn drawn(text: &str) -> &'static str {
    let all = [&SCOPES[..], &RESOURCES, &NETWORKS].into_iter().flatten();
    all.copied().find(|item| *item == text).expect("an item that was drawn")
}

fn has_all(mine: &List, theirs: &List, has: impl Fn(&str, &str) -> bool) -> bool {
    match (mine, theirs) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(mine), Some(theirs)) => theirs.iter().all(|it| mine.iter().any(|my| has(my, it))),
    }
}

impl Need {
    pub(crate) fn requirement(&self) -> Requirement<'static> {
        let requirement = match self.scopes {
            Some(names) => Requirement::one_of(names),
            None => Requirement::ANY_VALID_TOKEN,
        };
        self.resource.map_or(requirement, |name| requirement.on(name))
    }
}

/// All names that are asked for, among them one for each difference between two of [`RESOURCES`].
const NAMES: [&str; 18] = [
    "team",
    "team*",
    "teams",
    "tea",
    "te",
    "team/",
    "team/a",
    "team/a/",
    "team/a/b",
    "team/b",
    "team/a*",
    "team/../x",
    "team/./a",
    "team//a",
    "team/..",
    "Team",
    "/team",
    "other",
];
const SCOPES: [&str; 2] = ["r", "w"];
const RESOURCES: [&str; 10] = [
    "exact:team",
    "exact:team*",
    "exact:team/a",
    "exact:team/../x",
    "exact:other",
    "under:team",
    "under:team/a",
    "prefix:te",
    "prefix:team",
    "prefix:team/",
];

/// Whether a stored resource means the resource with this name.
fn means(resource: &str, name: &str) -> bool {
    let (kind, text) = resource.split_once(':').unwrap();
    let below =
        || name.strip_prefix(text).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    match kind {
        "exact" => name == text,
        "under" => below() && is_plain(name),
        "prefix" => name.starts_with(text) && is_plain(name),
        _ => panic!("{kind} is no kind of resource"),
    }
}

/// Whether no file system reads the name as another one. A slash at either end is no segment.
fn is_plain(name: &str) -> bool {
    let mut segments: Vec<&str> = name.split('/').collect();
    if segments.first() == Some(&"") {
        segments.remove(0);
    }
    if segments.last() == Some(&"") {
        segments.pop();
    }
    !segments.iter().any(|segment| ["", ".", ".."].contains(segment))
}

/// A block of addresses, as numbers.
struct Block {
    is_v4: bool,
    first: u128,
    last: u128,
}

impl Block {
    fn has(&self, address: IpAddr) -> bool {
        let (is_v4, number) = number(address);
        is_v4 == self.is_v4 && (self.first..=self.last).contains(&number)
    }
}

fn block(stored: &str) -> Block {
    let (address, length) = stored.split_once('/').unwrap();
    let (is_v4, first) = number(address.parse().unwrap());
    let free = if is_v4 { 32 } else { 128 } - length.parse::<u32>().unwrap();
    let others = if free == 128 { u128::MAX } else { (1 << free) - 1 };
    Block { is_v4, first, last: first + others }
}

/// Returns an address as the engine takes it: one of version 4 in the form of version 6 is of
/// version 4.
pub(crate) fn taken(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

fn number(address: IpAddr) -> (bool, u128) {
    match taken(address) {
        IpAddr::V4(v4) => (true, u32::from(v4).into()),
        IpAddr::V6(v6) => (false, v6.into()),
    }
}

const NETWORKS: [&str; 7] = [
    "0.0.0.0/0",
    "10.0.0.0/8",
    "10.0.0.0/16",
    "10.0.2.3/32",
    "192.0.2.0/24",
    "2001:db8::/32",
    "::/0",
];
const ADDRESSES: [&str; 5] =
    ["10.0.2.3", "10.9.9.9", "192.0.2.1", "2001:db8::1", "::ffff:10.0.2.3"];

impl Draw {
    /// Draws an access that is mostly bound to no resources and no networks.
    pub(crate) fn held(&mut self) -> Held {
        let scopes: Option<&[&'static str]> =
            self.of(&[None, None, Some(&["r"]), Some(&["w"]), Some(&SCOPES), Some(&[])]);
        Held {
            scopes: scopes.map(<[_]>::to_vec),
            resources: if self.once_in(4) { self.list(&RESOURCES) } else { None },
            networks: if self.once_in(4) { self.list(&NETWORKS) } else { None },
        }
    }

    fn list(&mut self, items: &[&'static str]) -> List {
        let count = self.of(&[1, 1, 2, 3, 0]);
        let mut list: Vec<_> = (0..count).map(|_| self.of(items)).collect();
        list.sort();
        list.dedup();
        Some(list)
    }

    /// Draws an access beside another: the same, mostly less of it, or any.
    pub(crate) fn held_beside(&mut self, held: &Held) -> Held {
        let (mut beside, any) = (held.clone(), self.held());
        match self.below(8) {
            0 => return any,
            1 => beside.scopes = any.scopes,
            2 | 3 => beside.resources = self.list_beside(held.resources.as_ref(), &RESOURCES),
            4 | 5 => beside.networks = self.list_beside(held.networks.as_ref(), &NETWORKS),
            _ => {}
        }
        beside
    }

    /// Draws a list in which one item is missing, or gave its place to one that may lie within it.
    fn list_beside(&mut self, list: Option<&Vec<&'static str>>, items: &[&'static str]) -> List {
        let Some(list) = list.filter(|list| !list.is_empty()) else {
            return self.list(items);
        };
        let mut list = list.clone();
        let place = self.below(list.len());
        if self.once_in(3) {
            list.remove(place);
        } else {
            list[place] = self.of(items);
        }
        list.sort();
        list.dedup();
        Some(list)
    }

    pub(crate) fn need(&mut self) -> Need {
        Need {
            scopes: self.of(&[
                None,
                Some(&["r"]),
                Some(&["r"]),
                Some(&["w"]),
                Some(&["x"]),
                Some(&["x", "r"]),
                Some(&[]),
            ]),
            resource: if self.once_in(3) { Some(self.of(&NAMES)) } else { None },
        }
    }

    /// Draws the address of a client, or none.
    pub(crate) fn address(&mut self) -> Option<IpAddr> {
        let known = !self.once_in(4);
        known.then(|| self.of(&ADDRESSES).parse().unwrap())
    }
}
