//! Draws rows, filters and changes by chance, the same in every run.

use app_tokens::record::{
    Actor, Expires, KeyId, LastUse, RecordParts, Revocation, Seal, TokenRecord,
};
use app_tokens::store::{Filter, LiveAt, Row, TokenStore};
use app_tokens::{Access, Attributes, Label, Operator, Owner, Reason, Timestamp, TokenId};

pub use crate::rows::*;

/// The one source of chance of all tests: SplitMix64, which draws the same from the same seed.
pub struct Chance(pub u64);

impl Chance {
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut number = self.0;
        number = (number ^ number >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        number = (number ^ number >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        number ^ number >> 31
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.number() % limit
    }

    /// Draws a place in a list of this length.
    pub fn place(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub fn maybe<T>(&mut self, n: u64, make: impl FnOnce(&mut Chance) -> T) -> Option<T> {
        self.one_in(n).then(|| make(self))
    }

    pub fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.place(all.len())].clone()
    }

    /// Draws one of few ids, so that rows have something in common. Both ends of the range are
    /// among them.
    pub fn id(&mut self) -> TokenId {
        let few = self.below(40);
        if few == 39 { TokenId::MAX } else { id(few) }
    }

    pub fn time(&mut self) -> Timestamp {
        match self.below(14) {
            0 => Timestamp::MIN,
            1 => Timestamp::MAX,
            seconds => at(seconds as i64),
        }
    }

    pub fn owner(&mut self) -> Owner {
        owner(self.of(&["alice", "Alice", " bob ", "zoë", "%", "a'b\"c"]))
    }

    pub fn key_id(&mut self) -> KeyId {
        KeyId::new(self.of(&[1, 2, u32::MAX])).unwrap()
    }

    pub fn access(&mut self) -> Access {
        let scopes: Option<&[&str]> =
            self.of(&[None, Some(&[]), Some(&["r"]), Some(&["r", "w;x"])]);
        let resources: Option<&[&str]> = self.of(&[
            None,
            Some(&[]),
            Some(&["exact:*"]),
            Some(&["exact:a b", "under:c\u{2028}d", "prefix:e,*"]),
        ]);
        let networks: Option<&[&str]> =
            self.of(&[None, Some(&[]), Some(&["10.0.0.0/8", "9.0.0.1", "2001:db8::/32"])]);
        let mut access =
            scopes.map_or(Access::full(), |scopes| Access::scopes(scopes.iter().copied()).unwrap());
        if let Some(resources) = resources {
            access = access.on(resources.iter().map(|text| text.parse().unwrap())).unwrap();
        }
        if let Some(networks) = networks {
            access =
                access.from_networks(networks.iter().map(|text| text.parse().unwrap())).unwrap();
        }
        access
    }

    pub fn attributes(&mut self) -> Attributes {
        let pairs: &[(&str, &str)] =
            self.of(&[&[][..], &[("a", "b c")], &[("a", "'"), ("b", "%")]]);
        pairs.iter().fold(Attributes::new(), |made, (key, value)| made.with(key, value).unwrap())
    }

    pub fn revocation(&mut self) -> Revocation {
        let operator = Actor::Operator(Operator::new("owner").unwrap());
        let own = Reason::new("lost, “stolen”").unwrap();
        Revocation {
            at: self.time(),
            reason: self.of(&[Reason::REQUESTED, own]),
            by: self.of(&[Actor::from(owner(" bob ")), "engine".parse().unwrap(), operator]),
        }
    }

    pub fn last_use(&mut self) -> LastUse {
        let addresses = ["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"];
        LastUse {
            at: self.time(),
            address: self.maybe(2, |c| c.of(&addresses).parse().unwrap()),
            client: self.maybe(2, |c| c.of(&["", "rclone/1.70", "a\u{e9}b c"]).into()),
        }
    }

    pub fn parts(&mut self, id: TokenId) -> RecordParts {
        let revocation = self.maybe(3, Chance::revocation);
        RecordParts {
            id,
            digest: digest(),
            owner: self.owner(),
            label: Label::new(self.of(&["phone", "Phone", "péage", "x"])).unwrap(),
            access: self.access(),
            attributes: self.attributes(),
            issued_by: self.maybe(3, |_| Operator::new("o'brien").unwrap()),
            created_at: self.time(),
            expires: if self.one_in(4) { Expires::Never } else { Expires::At(self.time()) },
            family: if self.one_in(2) { id } else { self.id() },
            successor: self.maybe(3, Chance::id),
            derived_from: self.maybe(3, Chance::id),
            seal: self.maybe(2, |c| {
                Seal::from_bytes(&[[1; 1].as_slice(), &[c.below(256) as u8; 32]].concat()).unwrap()
            }),
            revocation,
            last_use: self.maybe(2, Chance::last_use),
            revision: self.of(&[0, 1, TokenRecord::MAX_REVISION - 1, TokenRecord::MAX_REVISION]),
            key_id: self.key_id(),
        }
    }

    pub fn live(&mut self) -> LiveAt {
        LiveAt { now: self.time(), used_after: self.maybe(3, Chance::time) }
    }

    /// Draws a filter, in which each fact is asked for now and then.
    pub fn filter(&mut self) -> Filter {
        Filter {
            id: self.maybe(8, Chance::id),
            owner: self.maybe(3, Chance::owner),
            family: self.maybe(5, Chance::id),
            except_family: self.maybe(4, Chance::id),
            key_id: self.maybe(5, Chance::key_id),
            except_key_ids: (0..self.below(3)).map(|_| self.key_id()).collect(),
            expires_from: self.maybe(8, Chance::time),
            revoked: self.maybe(3, |c| c.one_in(2)),
            superseded: self.maybe(3, |c| c.one_in(2)),
            expires_before: self.maybe(5, Chance::time),
            created_before: self.maybe(5, Chance::time),
            last_used_before: self.maybe(5, Chance::time),
        }
    }

    /// Inserts the same rows into both stores.
    pub fn fill(&mut self, one: &impl TokenStore, other: &impl TokenStore, rows: u64) {
        for _ in 0..rows {
            let id = self.id();
            let creation = creation(self.parts(id));
            let answers =
                [wait(one.insert(&creation)).unwrap(), wait(other.insert(&creation)).unwrap()];
            assert_eq!(answers[0], answers[1]);
        }
    }
}

/// Draws a new form of a stored row, sometimes with a revision that is out of date. Last use and
/// revocation are left to the store.
pub fn new_form(chance: &mut Chance, store: &impl TokenStore) -> Option<Row> {
    let id = chance.id();
    let stored = found(store, id)?;
    let revision = if chance.one_in(6) { stored.revision ^ 1 } else { stored.revision };
    Some(row(RecordParts {
        revision,
        owner: stored.owner,
        family: stored.family,
        derived_from: stored.derived_from,
        created_at: stored.created_at,
        revocation: None,
        last_use: None,
        ..chance.parts(id)
    }))
}
