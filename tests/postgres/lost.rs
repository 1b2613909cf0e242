//! Lost connections: no change is half done, and an answer of "done" or "not done" is always true.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use app_tokens::record::{LastUse, RecordParts, TokenRecord};
use app_tokens::store::{
    Certainty, Filter, LiveAt, Page, PostgresStore, Purge, Replace, Replaced, StoreError,
    Supersede, Superseded, TokenStore,
};
use app_tokens::{
    Access, Attributes, NewToken, Policy, Reason, Requirement, Rotation, TokenAuthority,
};

use support::chance::*;
use support::keys::ring;
use support::postgres::{Database, RUNTIME, Server, pool_to};
use support::proxy::{Cut, Proxy};

/// A database, a store that is connected to it, and a store whose connection can be cut.
struct Ways {
    direct: PostgresStore,
    through: PostgresStore,
    proxy: Proxy,
    _database: Database<'static>,
}

async fn ways() -> Ways {
    let database = Server::needed().database().await;
    let direct = database.store().await;
    let proxy = Proxy::start(&database).await;
    let through = PostgresStore::new(pool_to(proxy.config(&database)));
    // Prepares the statement that each connection prepares first.
    through.find(id(0)).await.unwrap();
    Ways { direct, through, proxy, _database: database }
}

fn authority(store: PostgresStore) -> TokenAuthority<PostgresStore> {
    TokenAuthority::new(store, ring(), Policy::new("acme").unwrap())
}

#[test]
fn authenticate_is_one_round_trip() {
    RUNTIME.block_on(async {
        let ways = ways().await;
        let tokens = authority(ways.through.clone());
        let issued =
            tokens.issue(NewToken::new("alice", "My phone", Access::full())).await.unwrap();
        for _ in 0..3 {
            let before = ways.proxy.round_trips();
            good(&tokens, issued.expose_secret()).await;
            assert_eq!(ways.proxy.round_trips() - before, 1);
        }
        // An unknown token costs no more.
        assert_eq!(tokens.forget(&operator("x"), issued.id()).await.unwrap(), 1);
        let before = ways.proxy.round_trips();
        tokens.authenticate(issued.expose_secret()).await.unwrap_err();
        assert_eq!(ways.proxy.round_trips() - before, 1);
    });
}

#[test]
fn a_revocation_that_may_be_large_costs_no_extra_round_trip() {
    RUNTIME.block_on(async {
        let ways = ways().await;
        let mut costs = Vec::new();
        for (number, name) in [(1, "alice"), (2, "bob")] {
            let new = RecordParts { owner: owner(name), ..parts(number) };
            ways.direct.insert(&creation(new)).await.unwrap();
        }
        for filter in [Filter::of_id(id(1)), Filter::of_owner(&owner("bob"))] {
            let before = ways.proxy.round_trips();
            assert_eq!(ways.through.revoke(&filter, &revocation()).await.unwrap(), 1);
            costs.push(ways.proxy.round_trips() - before);
        }
        // BEGIN, a pass that revokes, a pass that finds nothing more, COMMIT.
        assert_eq!(costs, [4, 4]);
    });
}

/// The rows that calls are tried on. They and their owner are made from this number, so no other
/// call touches them.
pub(crate) struct Rows {
    old: RecordParts,
    child: RecordParts,
    new: RecordParts,
}

impl Rows {
    pub(crate) fn of(number: u64) -> Rows {
        let who = owner(&format!("owner {number}"));
        let access = Access::full().from_networks(["10.0.0.0/8".parse().unwrap()]).unwrap();
        let attributes = Attributes::new().with("device", "NAS").unwrap();
        let of = |place: u64| RecordParts {
            owner: who.clone(),
            access: access.clone(),
            attributes: attributes.clone(),
            ..parts(10 * number + place)
        };
        let old = of(1);
        let child = RecordParts {
            derived_from: Some(old.family),
            label: "Child".parse().unwrap(),
            ..of(2)
        };
        let new = RecordParts { family: old.family, ..of(3) };
        Rows { old, child, new }
    }

    fn filter(&self) -> Filter {
        Filter::of_owner(&self.old.owner)
    }

    fn form(&self) -> RecordParts {
        RecordParts { successor: Some(self.new.id), ..self.old.clone() }
    }

    fn rotation(&self) -> Supersede {
        Supersede {
            row: row(self.new.clone()),
            superseded: row(self.form()),
            replaces: None,
            revokes_derived: true,
            revocation: revocation(),
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Call {
    Supersede,
    Replace,
    Revoke,
    Touch,
    Purge,
}

impl Call {
    /// Makes the call. Returns whether it answered that it is done.
    pub(crate) async fn make(self, store: &PostgresStore, rows: &Rows) -> Result<bool, StoreError> {
        let client = Some("rclone".into());
        let last_use = LastUse { at: at(5), address: None, client };
        let replace = Replace {
            row: row(RecordParts { label: "x".parse().unwrap(), ..rows.old.clone() }),
            live: LiveAt::now(at(0)),
            unique_label: true,
            revokes_derived: Some(revocation()),
        };
        Ok(match self {
            Call::Supersede => store.supersede(&rows.rotation()).await? == Superseded::Done,
            Call::Replace => store.replace(&[replace]).await? == [Replaced::Done],
            Call::Revoke => store.revoke(&rows.filter(), &revocation()).await? == 2,
            Call::Touch => {
                let uses = [(rows.old.id, last_use.clone()), (rows.child.id, last_use)];
                store.touch(&uses, at(9)).await.map(|()| true)?
            }
            Call::Purge => store.purge(&Purge::Matching(rows.filter()), 9).await? == 2,
        })
    }
}

pub(crate) async fn rows_of(store: &PostgresStore, rows: &Rows) -> Vec<Option<RecordParts>> {
    let rows = store.list(&rows.filter(), Page::first(99)).await.unwrap();
    rows.iter().map(|row| row.record().cloned().map(TokenRecord::into_parts)).collect()
}

/// Returns the rows of this number before a call and after it.
pub(crate) async fn undone_and_done(
    store: &PostgresStore,
    call: Call,
    number: u64,
) -> [Vec<Option<RecordParts>>; 2] {
    let rows = Rows::of(number);
    store.insert(&creation(rows.old.clone())).await.unwrap();
    store.insert(&creation(rows.child.clone())).await.unwrap();
    let before = rows_of(store, &rows).await;
    assert!(call.make(store, &rows).await.unwrap());
    let after = rows_of(store, &rows).await;
    assert_ne!(before, after);
    store.purge(&Purge::Matching(rows.filter()), 9).await.unwrap();
    store.insert(&creation(rows.old.clone())).await.unwrap();
    store.insert(&creation(rows.child.clone())).await.unwrap();
    [before, after]
}

/// Cuts each call at each of its round trips, before and after the server received it.
#[test]
fn a_call_that_is_cut_anywhere_says_truly_whether_it_was_done() {
    RUNTIME.block_on(async {
        let ways = ways().await;
        let mut number = 0;
        for call in [Call::Supersede, Call::Replace, Call::Revoke, Call::Touch, Call::Purge] {
            let (mut unknown, mut cuts) = (Vec::new(), 0);
            'cuts: for after in 0.. {
                for heard in [false, true] {
                    number += 1;
                    let [undone, done] = undone_and_done(&ways.direct, call, number).await;
                    let rows = Rows::of(number);
                    ways.proxy.cut(Cut { after, heard });
                    let answer = call.make(&ways.through, &rows).await;
                    if !ways.proxy.was_cut() {
                        break 'cuts;
                    }
                    cuts += 1;
                    let what = format!("{call:?} cut after {after}, heard {heard}: {answer:?}");
                    let there = settled(&ways.direct, &rows, &done).await;
                    match answer {
                        Ok(answer) => assert!(answer && there == done, "{what}"),
                        Err(error) => {
                            assert_eq!(error.certainty(), Certainty::Unknown, "{what}");
                            assert_eq!(there, if heard { done } else { undone }, "{what}");
                            unknown.push((after, heard));
                        }
                    }
                }
            }
            // The last round trip is COMMIT. A call that is cut before it is tried again.
            let commit = cuts / 2 - 1;
            assert_eq!(unknown, [(commit, false), (commit, true)], "{call:?}");
            assert!(commit >= 2, "{call:?}");
        }
    });
}

/// Returns the rows once the server has noticed that its client is gone. It then rolls back a
/// transaction without COMMIT.
async fn settled(
    store: &PostgresStore,
    rows: &Rows,
    done: &[Option<RecordParts>],
) -> Vec<Option<RecordParts>> {
    let there = rows_of(store, rows).await;
    if there == done {
        return there;
    }
    // Waits for the locks of the transaction that was cut.
    store
        .replace(&[Replace {
            row: row(RecordParts { revision: 77, ..rows.old.clone() }),
            live: LiveAt::now(at(0)),
            unique_label: true,
            revokes_derived: None,
        }])
        .await
        .unwrap();
    rows_of(store, rows).await
}

#[test]
fn a_look_up_that_is_cut_anywhere_is_tried_again() {
    RUNTIME.block_on(async {
        let ways = ways().await;
        ways.direct.insert(&creation(parts(1))).await.unwrap();
        let mut cuts = 0;
        for heard in [false, true] {
            for after in 0..2 {
                ways.proxy.cut(Cut { after, heard });
                let found = ways.through.find(id(1)).await.unwrap().unwrap();
                assert_eq!(found.record().unwrap().owner(), &owner("alice"));
                cuts += u32::from(ways.proxy.was_cut());
            }
            ways.proxy.cut(Cut { after: 0, heard });
            let listed = ways.through.list(&Filter::every_token(), Page::first(9)).await.unwrap();
            assert_eq!(listed.len(), 1);
            assert!(ways.proxy.was_cut());
        }
        assert!(cuts >= 2);
    });
}

/// The engine over a connection that is cut. A token that is shown is stored, and is the only one.
/// A token that is said to be revoked is revoked.
#[test]
fn a_cut_connection_causes_no_false_revoked_no_missing_and_no_second_token() {
    RUNTIME.block_on(async {
        let ways = ways().await;
        let (here, there) = (authority(ways.through.clone()), authority(ways.direct.clone()));
        drop(here.issue(NewToken::new("somebody", "x", Access::full())).await.unwrap());
        let (mut number, mut cuts) = (0, 0);
        for after in 0..12 {
            for heard in [false, true] {
                number += 1;
                let name = format!("owner {number}");
                let alice = owner(&name);
                let by = &alice;
                let live = async || {
                    let all = there.list(&Filter::of_owner(&alice), Page::first(9)).await.unwrap();
                    all.tokens.iter().filter(|t| t.revocation().is_none()).count()
                };
                ways.proxy.cut(Cut { after, heard });
                let issued = here.issue(NewToken::new(&*name, "x", Access::full())).await.unwrap();
                cuts += u32::from(ways.proxy.was_cut());
                good(&there, issued.expose_secret()).await;
                assert_eq!(live().await, 1, "after {after}, heard {heard}");

                ways.proxy.cut(Cut { after, heard });
                let rotated = here.rotate(by, issued.id(), Rotation::new()).await;
                cuts += u32::from(ways.proxy.was_cut());
                let id = match &rotated {
                    Ok(rotated) => {
                        good(&there, rotated.expose_secret()).await;
                        there.authenticate(issued.expose_secret()).await.unwrap_err();
                        rotated.id()
                    }
                    // The rotation was done and its answer lost: the token is there, and nobody has
                    // it.
                    Err(_) => issued.id(),
                };

                ways.proxy.cut(Cut { after, heard });
                let revoked = here.revoke(by, id, Reason::REQUESTED).await;
                cuts += u32::from(ways.proxy.was_cut());
                if revoked.is_ok() {
                    let text =
                        rotated.as_ref().map_or(issued.expose_secret(), |t| t.expose_secret());
                    there.authenticate(text).await.unwrap_err();
                }
            }
        }
        assert!(cuts > 30, "{cuts}");
    });
}

async fn good(tokens: &TokenAuthority<PostgresStore>, text: &str) {
    tokens.authenticate(text).await.unwrap().require(Requirement::ANY_VALID_TOKEN).unwrap();
}

#[test]
fn connections_that_die_again_and_again_break_nothing() {
    RUNTIME.block_on(async {
        let database = Server::needed().database().await;
        let (store, raw) = (database.store().await, database.raw().await);
        let is_over = AtomicBool::new(false);
        let victims = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                       WHERE datname = current_database() AND pid <> pg_backend_pid()";
        let killer = async {
            let mut killed = 0;
            while !is_over.load(Ordering::SeqCst) {
                killed += raw.query(victims, &[]).await.unwrap().len();
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
            killed
        };
        let work = async {
            let mut known = Vec::new();
            for number in 1..250 {
                let id = id(number);
                let inserted = store.insert(&creation(parts(number))).await;
                let revoked = store.revoke(&Filter::of_id(id), &revocation()).await;
                known.push((
                    id,
                    inserted.map_err(|e| e.certainty()),
                    revoked.map_err(|e| e.certainty()),
                ));
            }
            is_over.store(true, Ordering::SeqCst);
            known
        };
        let (killed, known) = tokio::join!(killer, work);
        assert!(killed > 20, "{killed}");
        let calm = database.store().await;
        for (id, inserted, revoked) in known {
            let found = calm.find(id).await.unwrap();
            let is_revoked = found.as_ref().map(|row| row.record().unwrap().revocation().is_some());
            match (inserted, revoked) {
                (Ok(_), Ok(count)) => {
                    assert!(is_revoked == Some(true) && count == 1, "{id}: {is_revoked:?} {count}");
                }
                (Err(Certainty::NotDone), _) => assert_eq!(is_revoked, None, "{id}"),
                (_, Ok(1)) => assert_eq!(is_revoked, Some(true), "{id}"),
                (Ok(_), Err(Certainty::NotDone)) => assert_eq!(is_revoked, Some(false), "{id}"),
                _ => {}
            }
        }
    });
}

#[test]
fn a_server_restarted_between_calls_is_found_again() {
    RUNTIME.block_on(async {
        let server = Server::start().unwrap_or_else(|| std::process::exit(0));
        let database = server.database().await;
        let store = database.store().await;
        let tokens = authority(store.clone());
        let issued = tokens.issue(NewToken::new("alice", "x", Access::full())).await.unwrap();
        for _ in 0..3 {
            // Several connections lie idle in the pool.
            let looks = || tokens.authenticate(issued.expose_secret());
            let (a, b, c) = tokio::join!(looks(), looks(), looks());
            assert!(a.is_ok() && b.is_ok() && c.is_ok());
            server.down();
            let error = store.find(issued.id()).await.unwrap_err();
            assert_eq!(error.certainty(), Certainty::NotDone);
            assert!(error.to_string().contains("can't connect"), "{error}");
            let error = store.revoke(&Filter::of_id(issued.id()), &revocation()).await.unwrap_err();
            assert_eq!(error.certainty(), Certainty::NotDone);
            server.up();
            good(&tokens, issued.expose_secret()).await;
        }
        let revoked = tokens.revoke(&operator("x"), issued.id(), Reason::REQUESTED).await;
        assert_eq!(revoked.unwrap(), 1);
    });
}
