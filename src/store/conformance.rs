//! A test for each clause of [`TokenStore`]'s contract, for whoever writes a store.
//!
//! [`tests!`](tests) makes one `#[test]` of each function here. `make` is called anew for each test, and must give an empty store
//! that no other test sees:
//!
//! ```
//! # // Your own store stands where this one does.
//! mod in_memory {
//!     use app_tokens::{MemoryStore, store::conformance};
//!
//!     conformance::tests!(make = || async { MemoryStore::new() });
//! }
//! ```
//!
//! A store whose futures need a runtime names a runner, which runs a [`Task`] to its end. It is called from many threads at once,
//! so the runtime is one for all:
//!
//! ```
//! mod on_tokio {
//!     use std::sync::LazyLock;
//!     use app_tokens::store::conformance::{self, Task};
//!     # use app_tokens::MemoryStore;
//!     use tokio::runtime::Runtime;
//!
//!     static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
//!
//!     fn on_tokio(task: Task) {
//!         RUNTIME.block_on(task);
//!     }
//!
//!     async fn empty_store() -> MemoryStore {
//!         // Connect, and make a schema with a name of its own.
//!         # MemoryStore::new()
//!     }
//!
//!     conformance::tests!(make = empty_store, runner = on_tokio);
//! }
//! # fn main() {}
//! ```
//!
//! The suite can't write what a store can't read, so the clauses about damaged rows are tried where the host says how a row is
//! damaged: with `damage`, a function that is handed the store and an id, and writes junk into a column of that row which
//! no filter looks at, such as the digest. For the other columns a test of the store's own is needed.
//!
//! ```
//! mod with_damage {
//!     # use app_tokens::{MemoryStore as MyStore, TokenId, store::conformance};
//!     use std::sync::Arc;
//!
//!     async fn damage(store: Arc<MyStore>, id: TokenId) {
//!         // UPDATE app_token SET digest = 'junk' WHERE id = ?
//!         # let _ = (store, id);
//!     }
//!
//!     conformance::tests!(make = || async { MyStore::new() }, damage = damage);
//! }
//! # fn main() {}
//! ```
//!
//! # What it can't show
//!
//! That a change outlives a crash (clause 1), and that an error which says [`not_done`](super::StoreError::not_done) is right
//! (clause 3): from outside neither can be provoked. A race that is lost once in a million times may be missed, too.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a clause that is broken panics, as every test does"
)]

use std::sync::Arc;

use super::{Dead, Filter, Insert, Inserted, Page, Purge, Replace, Replaced, Row, TokenStore};
use crate::access::{Access, Grant, ResourcePattern, Scope};
use crate::blocking;
use crate::record::{Actor, Expires, LastUse, RecordParts, TokenRecord};
use crate::text::Operator;
use crate::timestamp::Timestamp;
use crate::token::TokenId;

mod race;
mod rows;

use race::{Call, at_once, given_up};
use rows::*;

/// What a runner runs.
pub type Task = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs a task to its end, on the thread that it is called on or elsewhere.
pub type Runner = fn(Task);

/// The runner for stores whose futures need no runtime.
pub fn block_on(task: Task) {
    blocking::block_on(task);
}

/// What each `#[test]` that [`tests!`](tests) makes does with its task.
#[doc(hidden)]
pub fn run(runner: Runner, task: Task) {
    race::run(runner, task);
}

/// How many calls a race has.
const CALLS: u64 = 8;
/// How many times a race is run, each time with another owner.
const ROUNDS: u64 = 12;

/// Makes a `#[test]` of each clause: `make = || async { a new, empty store }`, and where they are needed `runner = a function` and
/// `damage = a function`, in this order. The [module](self) shows how.
#[doc(inline)]
pub use crate::__conformance_tests as tests;

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_tests {
    (make = $make:expr $(,)?) => {
        $crate::store::conformance::tests!(
            make = $make,
            runner = $crate::store::conformance::block_on
        );
    };
    (make = $make:expr, damage = $damage:expr $(,)?) => {
        $crate::store::conformance::tests!(
            make = $make,
            runner = $crate::store::conformance::block_on,
            damage = $damage
        );
    };
    (make = $make:expr, runner = $runner:expr, damage = $damage:expr $(,)?) => {
        $crate::store::conformance::tests!(make = $make, runner = $runner);
        $crate::store::conformance::tests!(@each
            [make = $make, runner = $runner] (|store| (&store, $damage))
            a_damaged_row_is_shown_as_damaged_and_blocks_no_other
            a_damaged_row_is_revoked_like_any_other
        );
    };
    (make = $make:expr, runner = $runner:expr $(,)?) => {
        $crate::store::conformance::tests!(@each
            [make = $make, runner = $runner] (|store| (&*store))
            every_field_comes_back_as_it_was_given
            rows_of_every_state_come_back
            a_call_that_is_given_up_happens_wholly_or_not_at_all
            a_call_that_is_repeated_changes_nothing_more
            insert_creates_and_never_overwrites
            insert_under_a_token_needs_it_unrevoked_and_of_the_same_owner
            supersede_writes_both_rows_in_one_step
            supersede_of_a_changed_row_changes_nothing
            supersede_ends_the_unused_successor_that_it_replaces
            supersede_of_a_used_successor_changes_nothing
            supersede_ends_what_was_issued_under_the_family
            limit_counts_the_owners_live_rows_of_other_families
            unique_label_looks_at_the_owners_live_rows_of_other_families
            the_first_refusal_answers
            find_gives_the_row_with_this_id_or_none
            list_gives_pages_in_order_of_id
            list_gives_what_the_filter_matches
            replace_is_a_compare_and_swap
            replace_leaves_last_use_and_revocation
            replace_keeps_labels_unique
            revoke_ends_what_the_filter_matches_and_what_derives_from_it
            revoke_saturates_the_revision
            the_first_revocation_stays
            touch_goes_forwards_only
            touch_changes_nothing_else
            touch_takes_a_thousand_uses
            purge_deletes_what_it_selects
            purge_deletes_no_more_than_its_limit
        );
        $crate::store::conformance::tests!(@each
            [make = $make, runner = $runner] (|store| (&store, $runner))
            an_answer_is_seen_by_every_thread_at_once
            of_many_inserts_of_one_id_one_is_done
            of_many_supersedes_of_one_row_one_is_done
            a_successor_is_not_both_replaced_and_superseded
            a_limit_holds_against_many_inserts_at_once
            a_label_is_taken_once_by_many_inserts_at_once
            of_many_replaces_of_one_revision_one_is_done
            a_label_is_taken_once_by_many_replaces_at_once
            of_many_revokes_each_row_is_counted_once
            a_revocation_is_never_undone_by_what_runs_beside_it
            no_successor_escapes_a_revoke
            no_derived_token_escapes_a_revoke
            uses_noted_at_once_end_with_the_latest
            of_many_purges_each_row_is_counted_once
        );
    };
    (@each $how:tt $arguments:tt $($clause:ident)*) => {
        $($crate::store::conformance::tests!(@one $how $arguments $clause);)*
    };
    (@one
        [make = $make:expr, runner = $runner:expr]
        (|$store:ident| ($($argument:expr),*))
        $clause:ident
    ) => {
        #[test]
        fn $clause() {
            $crate::store::conformance::run($runner, ::std::boxed::Box::pin(async move {
                let make = $make;
                let $store = ::std::sync::Arc::new(make().await);
                $crate::store::conformance::$clause($($argument),*).await;
            }));
        }
    };
}

// -- every method

/// Clause 2, at the limits of each field.
pub async fn every_field_comes_back_as_it_was_given<S: TokenStore>(store: &S) {
    let full = RecordParts {
        id: TokenId::MAX,
        digest: digest(0xff),
        owner: owner(&"𝕆".repeat(255)),
        label: label(&"é".repeat(128)),
        access: Access::scopes(["files:write", "files:read"])
            .and_then(|access| access.on_resources(["photos", "docs/*", "*", "a, b", "ü'\"\\%_"]))
            .unwrap(),
        issued_by: Some(Operator::new("Eve, from support").unwrap()),
        created_at: Timestamp::MAX,
        expires: Expires::At(Timestamp::MAX),
        family: id(0),
        successor: Some(id(0)),
        derived_from: Some(TokenId::MAX),
        revocation: Some(revocation(1, "password changed")),
        last_use: Some(LastUse {
            at: Timestamp::MAX,
            address: Some("2001:db8::ffff:1".parse().unwrap()),
            client: Some("é".repeat(200).into()),
        }),
        revision: TokenRecord::MAX_REVISION,
        key_id: key(u32::MAX),
        seal: seal(0xff),
    };
    let bare = RecordParts {
        id: id(0),
        digest: digest(0),
        owner: owner(" O'Hara; \"x\" % _ \\ "),
        label: label("0"),
        access: Access::from_grants(Grant::only([]), Grant::only([])),
        created_at: Timestamp::MIN,
        expires: Expires::At(Timestamp::MIN),
        family: TokenId::MAX,
        seal: None,
        ..row(0, "x")
    };
    let never = RecordParts {
        expires: Expires::Never,
        access: Access::full(),
        last_use: Some(LastUse {
            at: Timestamp::MIN,
            address: Some("::ffff:192.0.2.1".parse().unwrap()),
            client: Some("".into()),
        }),
        ..row(1, "NULL")
    };
    let scopes_only = RecordParts {
        access: Access::from_grants(Grant::only([Scope::new("*").unwrap()]), Grant::All),
        last_use: Some(LastUse {
            at: at(5),
            address: Some("192.0.2.1".parse().unwrap()),
            client: None,
        }),
        ..row(2, "alice")
    };
    let everything = ResourcePattern::new("*").unwrap();
    let resources_only = RecordParts {
        access: Access::from_grants(Grant::All, Grant::only([everything])),
        ..row(3, "Alice")
    };
    let many = RecordParts {
        access: Access::scopes((0..Access::MAX_LISTED).map(|n| format!("{n:0128}")))
            .and_then(|access| {
                access.on_resources((0..Access::MAX_LISTED).map(|n| format!("𝕆{n:0253}")))
            })
            .unwrap(),
        ..row(4, "alice")
    };
    let rows = [full, bare, never, scopes_only, resources_only, many];
    put_all(store, &rows).await;
    has(2, store, &rows).await;
    // Owners are told apart byte for byte.
    let alices = list(store, &Filter::of_owner(&owner("alice"))).await;
    hold(2, alices.len() == 2, "`alice` and `Alice` are not two owners");
}

/// Clause 2, for rows that are revoked, superseded, expired and used.
pub async fn rows_of_every_state_come_back<S: TokenStore>(store: &S) {
    let mut rows = population();
    for (number, by) in
        [Actor::Owner, Actor::Engine, Actor::Operator(Operator::new("owner").unwrap())]
            .into_iter()
            .enumerate()
    {
        let revocation = super::Revocation { by, ..revocation(9, "x") };
        rows.push(ended(&row(200 + number as u64, "alice"), &revocation));
    }
    put_all(store, &rows).await;
    has(2, store, &rows).await;
}

/// Clause 1: a host drops the future of a call when its client has gone. Then the call is done or not, never by half, and the
/// store goes on.
pub async fn a_call_that_is_given_up_happens_wholly_or_not_at_all<S: TokenStore>(store: &S) {
    for polls in 0..12 {
        let who = format!("owner {polls}");
        let old = row(10 * polls, &who);
        let child = derived(10 * polls + 1, &who, 10 * polls);
        put_all(store, &[old.clone(), child.clone()]).await;

        let (new, form, mut insert) = rotation(&old, 10 * polls + 2);
        let supersede = insert.supersede.as_mut().unwrap();
        supersede.ends_derived = true;
        let child_ended = ended(&child, &supersede.revocation);
        given_up(polls as usize, store.insert(&insert)).await;
        let all_or_none =
            [vec![old.clone(), child.clone()], vec![written(&form), child_ended, new.clone()]];
        let rows = rows_of(store, &who).await;
        hold(
            1,
            all_or_none.contains(&rows),
            format_args!("a part of an insert is there: {rows:?}"),
        );

        let all = Filter::of_owner(&owner(&who));
        let the_end = revocation(9, "given up");
        given_up(polls as usize, store.revoke(&all, &the_end)).await;
        let living =
            rows_of(store, &who).await.iter().filter(|row| row.revocation.is_none()).count();
        hold(1, living != 1, "a part of a revoke is done");
        revoke(store, &all, &the_end).await;
        let living =
            rows_of(store, &who).await.iter().filter(|row| row.revocation.is_none()).count();
        hold(1, living == 0, "after a call that was given up, the next one is not done");
    }
}

/// Clause 3: an answer that was lost makes the engine ask again, so the second time must do no harm.
pub async fn a_call_that_is_repeated_changes_nothing_more<S: TokenStore>(store: &S) {
    let (old, other) = (row(1, "alice"), row(2, "alice"));
    put_all(store, &[old.clone(), other.clone()]).await;

    let (new, form, rotate) = rotation(&old, 3);
    answers(6, "a rotation", insert(store, &rotate).await, Inserted::Done);
    let old = written(&form);
    answers(4, "the same rotation again", insert(store, &rotate).await, Inserted::IdTaken);
    has(3, store, &[old.clone(), other.clone(), new.clone()]).await;

    let form = RecordParts { label: label("renamed"), ..other.clone() };
    answers(14, "a replace", replace(store, &replace_of(&form)).await, Replaced::Done);
    let again = replace(store, &replace_of(&form)).await;
    answers(14, "the same replace again", again, Replaced::Stale);
    let other = written(&form);
    has(3, store, &[old.clone(), other.clone(), new.clone()]).await;

    touch(store, &[(new.id, used(9))]).await;
    touch(store, &[(new.id, used(9))]).await;
    let new = RecordParts { last_use: Some(used(9)), ..new };
    has(3, store, &[old.clone(), other.clone(), new.clone()]).await;

    let filter = Filter::of_id(other.id);
    let first = revocation(20, "first");
    answers(17, "a revoke", revoke(store, &filter, &first).await, 1);
    let again = revoke(store, &filter, &revocation(30, "again")).await;
    answers(18, "the same revoke again", again, 0);
    has(3, store, &[old.clone(), ended(&other, &first), new.clone()]).await;

    let erase = Purge::Matching(filter);
    answers(21, "a purge", purge(store, &erase, 10).await, 1);
    answers(21, "the same purge again", purge(store, &erase, 10).await, 0);
    has(3, store, &[old, new]).await;
}

/// Clauses 1 and 11: what was answered is seen by every call that begins later, wherever it runs.
pub async fn an_answer_is_seen_by_every_thread_at_once<S: TokenStore + 'static>(
    store: &Arc<S>,
    runner: Runner,
) {
    let read = |row: TokenId| -> Call<Option<RecordParts>> {
        let store = Arc::clone(store);
        Box::pin(async move { parts_of(answered(store.find(row).await).as_ref()) })
    };
    for round in 0..ROUNDS {
        let row = row(round, "alice");
        let seen = at_once(runner, (0..CALLS).map(|_| read(row.id)).collect()).await;
        hold(11, seen.iter().all(Option::is_none), "a row is there before its insert");
        put(&**store, &row).await;
        let seen = at_once(runner, (0..CALLS).map(|_| read(row.id)).collect()).await;
        hold(
            1,
            seen.iter().flatten().count() == seen.len(),
            "an insert is not seen by a later find",
        );
        revoke(&**store, &Filter::of_id(row.id), &revocation(9, "x")).await;
        let seen = at_once(runner, (0..CALLS).map(|_| read(row.id)).collect()).await;
        let revoked = |row: &RecordParts| row.revocation.is_some();
        hold(11, seen.iter().flatten().all(revoked), "a find after a revoke gives the old row");
    }
}

// -- insert

/// Clause 4.
pub async fn insert_creates_and_never_overwrites<S: TokenStore>(store: &S) {
    let (first, revoked) = (row(1, "alice"), ended(&row(2, "alice"), &revocation(1, "x")));
    let rows = [first, revoked];
    put_all(store, &rows).await;
    for number in [1, 2] {
        let same = rows[number as usize - 1].clone();
        let others = [
            same,
            row(number, "bob"),
            RecordParts { label: label("other"), revision: 7, ..row(number, "alice") },
        ];
        for other in others {
            let answer = insert(store, &insert_of(&other)).await;
            answers(4, "an insert under an id that is taken", answer, Inserted::IdTaken);
            has(4, store, &rows).await;
        }
    }
    // Nor in a step that supersedes: then nothing of it is done.
    let (_, _, mut rotate) = rotation(&rows[0], 3);
    rotate.row = loaded(&row(2, "alice"));
    answers(
        4,
        "a rotation to an id that is taken",
        insert(store, &rotate).await,
        Inserted::IdTaken,
    );
    has(4, store, &rows).await;
}

/// Clause 4, on threads.
pub async fn of_many_inserts_of_one_id_one_is_done<S: TokenStore + 'static>(
    store: &Arc<S>,
    runner: Runner,
) {
    for round in 0..ROUNDS {
        let call = |number: u64| {
            let other =
                RecordParts { label: label(&format!("call {number}")), ..row(round, "alice") };
            insert_call(store, insert_of(&other))
        };
        let given = at_once(runner, (0..CALLS).map(call).collect()).await;
        let right = given.iter().all(|answer| matches!(answer, Inserted::Done | Inserted::IdTaken));
        hold(
            4,
            right && done(&given) == 1,
            format_args!("inserts of one id were answered {given:?}"),
        );
        let winner = given.iter().position(|answer| *answer == Inserted::Done).unwrap();
        let there = stored(&**store, id(round)).await;
        let wrong = "the row is not the one whose insert was answered Done";
        hold(4, there.label == label(&format!("call {winner}")), wrong);
    }
}

/// Clause 5.
pub async fn insert_under_a_token_needs_it_unrevoked_and_of_the_same_owner<S: TokenStore>(
    store: &S,
) {
    let parent = row(1, "alice");
    let bobs = row(2, "bob");
    let revoked = ended(&row(3, "alice"), &revocation(1, "x"));
    let mut rows = vec![parent, bobs, revoked];
    put_all(store, &rows).await;
    for (number, what) in
        [(9, "a token that isn't there"), (2, "another owner's"), (3, "a revoked one")]
    {
        let under = Insert { under: Some(id(number)), ..insert_of(&derived(4, "alice", 1)) };
        answers(
            5,
            &format!("an insert under {what}"),
            insert(store, &under).await,
            Inserted::Stale,
        );
        has(5, store, &rows).await;
    }
    let child = derived(4, "alice", 1);
    let under = Insert { under: Some(id(1)), ..insert_of(&child) };
    answers(5, "an insert under a live token", insert(store, &under).await, Inserted::Done);
    rows.push(child);
    has(5, store, &rows).await;
}

/// Clause 6.
pub async fn supersede_writes_both_rows_in_one_step<S: TokenStore>(store: &S) {
    let bystander = row(9, "alice");
    let old = RecordParts { last_use: Some(used(5)), revision: 3, ..row(1, "alice") };
    put_all(store, &[old.clone(), bystander.clone()]).await;

    // The engine's form may be older than a use that was written meanwhile.
    let (new, form, mut rotate) = rotation(&old, 2);
    let stale_use = RecordParts { last_use: Some(used(1)), ..form.clone() };
    rotate.supersede.as_mut().unwrap().row = loaded(&stale_use);
    answers(6, "a rotation", insert(store, &rotate).await, Inserted::Done);
    let mut rows = vec![written(&form), new.clone(), bystander.clone()];
    has(6, store, &rows).await;

    // The last use of a form is not written where there was none, either.
    let (newer, form, mut rotate) = rotation(&new, 3);
    let made_up = RecordParts { last_use: Some(used(400)), ..form.clone() };
    rotate.supersede.as_mut().unwrap().row = loaded(&made_up);
    answers(6, "the next rotation", insert(store, &rotate).await, Inserted::Done);
    rows[1] = written(&form);
    rows.push(newer);
    has(6, store, &rows).await;
}

/// Clause 6: where the row has changed since the engine read it.
pub async fn supersede_of_a_changed_row_changes_nothing<S: TokenStore>(store: &S) {
    let changed = RecordParts { revision: 3, ..row(1, "alice") };
    let revoked = ended(&row(2, "alice"), &revocation(1, "x"));
    let full = RecordParts { revision: TokenRecord::MAX_REVISION, ..row(3, "alice") };
    let rows = [changed.clone(), revoked.clone(), full.clone()];
    put_all(store, &rows).await;
    let refused = [
        ("a row that isn't there", row(8, "alice")),
        ("an older revision", RecordParts { revision: 2, ..changed.clone() }),
        ("a revision to come", RecordParts { revision: 4, ..changed }),
        ("a revoked row", revoked.clone()),
        ("a revoked row, as it was before", RecordParts { revocation: None, ..revoked }),
        ("a row at the greatest revision", full),
    ];
    for (what, old) in refused {
        let (_, _, mut rotate) = rotation(&old, 9);
        rotate.supersede.as_mut().unwrap().ends_derived = true;
        let answer = insert(store, &rotate).await;
        answers(6, &format!("a rotation of {what}"), answer, Inserted::Stale);
        has(6, store, &rows).await;
    }
}

/// Clause 6, on threads: of many rotations one succeeds, and there is one successor.
pub async fn of_many_supersedes_of_one_row_one_is_done<S: TokenStore + 'static>(
    store: &Arc<S>,
    runner: Runner,
) {
    for round in 0..ROUNDS {
        let who = format!("owner {round}");
        let old = row(100 * round, &who);
        put(&**store, &old).await;
        let call = |number: u64| insert_call(store, rotation(&old, 100 * round + 1 + number).2);
        let given = at_once(runner, (0..CALLS).map(call).collect()).await;
        let right = given.iter().all(|answer| matches!(answer, Inserted::Done | Inserted::Stale));
        hold(
            6,
            right && done(&given) == 1,
            format_args!("rotations of one row were answered {given:?}"),
        );
        let rows = rows_of(&**store, &who).await;
        let successor = rows.iter().find(|row| row.id == old.id).and_then(|row| row.successor);
        let wrong = format!("after many rotations at once these are there: {rows:?}");
        hold(6, rows.len() == 2 && successor == Some(rows[1].id) && rows[0].revision == 1, wrong);
    }
}

/// Clause 7.
pub async fn supersede_ends_the_unused_successor_that_it_replaces<S: TokenStore>(store: &S) {
    let (successor, form, _) = rotation(&row(1, "alice"), 2);
    let old = written(&form);
    put_all(store, &[old.clone(), successor.clone()]).await;
    let (new, form, mut again) = rotation(&old, 3);
    let supersede = again.supersede.as_mut().unwrap();
    supersede.replaces = Some(successor.id);
    let replaced = ended(&successor, &supersede.revocation);
    answers(7, "a rotation that replaces", insert(store, &again).await, Inserted::Done);
    has(7, store, &[written(&form), new, replaced]).await;
}

/// Clause 7: where the successor is gone, was used, has a successor or is revoked.
pub async fn supersede_of_a_used_successor_changes_nothing<S: TokenStore>(store: &S) {
    let old = RecordParts { successor: Some(id(2)), revision: 1, ..row(1, "alice") };
    let of_the_family = |number| RecordParts { family: id(1), ..row(number, "alice") };
    let rows = [
        old.clone(),
        RecordParts { last_use: Some(used(1)), ..of_the_family(2) },
        RecordParts { successor: Some(id(4)), ..of_the_family(3) },
        ended(&of_the_family(4), &revocation(1, "x")),
    ];
    put_all(store, &rows).await;
    for (number, what) in
        [(8, "is not there"), (2, "was used"), (3, "has a successor"), (4, "is revoked")]
    {
        let (_, _, mut again) = rotation(&old, 9);
        again.supersede.as_mut().unwrap().replaces = Some(id(number));
        let answer = insert(store, &again).await;
        answers(7, &format!("the replacement of a successor that {what}"), answer, Inserted::Stale);
        has(7, store, &rows).await;
    }
}

/// Clauses 6 and 7, on threads: while the old token's rotation replaces the successor, that is rotated itself.
pub async fn a_successor_is_not_both_replaced_and_superseded<S: TokenStore + 'static>(
    store: &Arc<S>,
    runner: Runner,
) {
    for round in 0..ROUNDS {
        let who = format!("owner {round}");
        let first = 100 * round;
        let (successor, form, _) = rotation(&row(first, &who), first + 1);
        let old = written(&form);
        put_all(&**store, &[old.clone(), successor.clone()]).await;
        let call = |number: u64| {
            let new = first + 2 + number;
            if number.is_multiple_of(2) {
                return insert_call(store, rotation(&successor, new).2);
            }
            let mut again = rotation(&old, new).2;
            again.supersede.as_mut().unwrap().replaces = Some(successor.id);
            insert_call(store, again)
        };
        let given = at_once(runner, (0..CALLS).map(call).collect()).await;
        hold(7, done(&given) == 1, format_args!("of many rotations not one was done: {given:?}"));
        let rows = rows_of(&**store, &who).await;
        let live = rows.iter().filter(|row| row.successor.is_none() && row.revocation.is_none());
        hold(
            7,
            live.count() == 1,
            format_args!("there is not one living end of the line: {rows:?}"),
        );
    }
}

/// Clause 8.
pub async fn supersede_ends_what_was_issued_under_the_family<S: TokenStore>(store: &S) {
    let old = RecordParts { family: id(50), ..row(1, "alice") };
    let children = [derived(2, "alice", 50), derived(3, "alice", 50)];
    let others = [
        ended(&derived(4, "alice", 50), &revocation(1, "first")),
        derived(5, "alice", 1),
        derived(6, "bob", 50),
        RecordParts { family: id(50), ..row(7, "alice") },
        row(50, "carol"),
    ];
    put(store, &old).await;
    put_all(store, &children).await;
    put_all(store, &others).await;

    let (new, form, with_overlap) = rotation(&old, 8);
    answers(6, "a rotation", insert(store, &with_overlap).await, Inserted::Done);
    let old = written(&form);
    let mut rows: Vec<RecordParts> = others.to_vec();
    rows.extend([old, new.clone()]);
    has(8, store, &[&rows[..], &children].concat()).await;

    let (newer, form, mut at_once) = rotation(&new, 9);
    let supersede = at_once.supersede.as_mut().unwrap();
    supersede.ends_derived = true;
    let ended_children = children.map(|child| ended(&child, &supersede.revocation));
    answers(6, "a rotation that ends derived", insert(store, &at_once).await, Inserted::Done);
    rows.pop();
    rows.extend([written(&form), newer]);
    has(8, store, &[&rows[..], &ended_children].concat()).await;
}

/// Clause 9.
pub async fn limit_counts_the_owners_live_rows_of_other_families<S: TokenStore>(store: &S) {
    let limited =
        |row: &RecordParts, limit| Insert { limit: Some(limit), now: at(100), ..insert_of(row) };
    put_all(store, &dead_at_100("alice")).await;
    put_all(store, &[row(20, "bob"), row(21, "Alice")]).await;
    let answer = insert(store, &limited(&row(1, "alice"), 0)).await;
    answers(9, "the first live row where none is allowed", answer, Inserted::LimitReached);
    let ends_next = RecordParts { expires: Expires::At(at(101)), ..row(1, "alice") };
    let answer = insert(store, &limited(&ends_next, 1)).await;
    answers(9, "the first live row beside dead ones", answer, Inserted::Done);
    for limit in [0, 1] {
        let answer = insert(store, &limited(&row(2, "alice"), limit)).await;
        answers(9, "an insert at or past the limit", answer, Inserted::LimitReached);
    }
    let same_family = RecordParts { family: id(1), ..row(2, "alice") };
    let answer = insert(store, &limited(&same_family, 1)).await;
    answers(9, "an insert beside its own family only", answer, Inserted::Done);
    let answer = insert(store, &limited(&row(3, "alice"), u32::MAX)).await;
    answers(9, "an insert under a limit that is far", answer, Inserted::Done);
    let answer = insert(store, &limited(&row(4, "alice"), 3)).await;
    answers(9, "a fourth live row where three are allowed", answer, Inserted::LimitReached);
    let there = rows_of(store, "alice").await.len();
    hold(9, there == dead_at_100("alice").len() + 3, "a row is there that was refused");
}

/// Clause 9, on threads.
pub async fn a_limit_holds_against_many_inserts_at_once<S: TokenStore + 'static>(
    store: &Arc<S>,
    runner: Runner,
) {
    for round in 0..ROUNDS {
        let who = format!("owner {round}");
        let call = |number: u64| {
            let plain = insert_of(&row(100 * round + number, &who));
            insert_call(store, Insert { limit: Some(3), ..plain })
        };
        let given = at_once(runner, (0..CALLS).map(call).collect()).await;
        let right =
            given.iter().all(|answer| matches!(answer, Inserted::Done | Inserted::LimitReached));
        let there = rows_of(&**store, &who).await.len();
        let wrong = format!("with a limit of 3, {there} rows are there after {given:?}");
        hold(9, right && done(&given) == 3 && there == 3, wrong);
    }
}

/// Clause 10.
pub async fn unique_label_looks_at_the_owners_live_rows_of_other_families<S: TokenStore>(
    store: &S,
) {
    let named =
        |number, who: &str, text: &str| RecordParts { label: label(text), ..row(number, who) };
    let unique = |row: &RecordParts| Insert { unique_label: true, now: at(100), ..insert_of(row) };
    let dead = dead_at_100("alice").map(|row| RecordParts { label: label("Phone"), ..row });
    put_all(store, &dead).await;
    put(store, &named(20, "bob", "Phone")).await;
    let answer = insert(store, &unique(&named(1, "alice", "Phone"))).await;
    answers(10, "a label that only dead rows and others have", answer, Inserted::Done);
    let answer = insert(store, &unique(&named(2, "alice", "Phone"))).await;
    answers(10, "a label that a live row has", answer, Inserted::LabelTaken);
    // Byte for byte: other case, a longer text, a wildcard of SQL, a letter that only looks the same.
    for (number, text) in [(3, "phone"), (4, "Phone 2"), (5, "Ph_ne"), (6, "P%"), (7, "Рhone")] {
        let answer = insert(store, &unique(&named(number, "alice", text))).await;
        answers(10, &format!("the other label {text:?}"), answer, Inserted::Done);
    }
    let same_family = RecordParts { family: id(1), ..named(8, "alice", "Phone") };
    let answer = insert(store, &unique(&same_family)).await;
    answers(10, "the label of its own family", answer, Inserted::Done);
    let answer = insert(store, &insert_of(&named(9, "alice", "Phone"))).await;
    answers(10, "a label that need not be unique", answer, Inserted::Done);
}

/// Clause 10, on threads.
pub async fn a_label_is_taken_once_by_many_inserts_at_once<S: TokenStore + 'static>(
    store: &Arc<S>,
    runner: Runner,
) {
    for round in 0..ROUNDS {
        let who = format!("owner {round}");
        let call = |number: u64| {
            let named = RecordParts { label: label("Phone"), ..row(100 * round + number, &who) };
            insert_call(store, Insert { unique_label: true, ..insert_of(&named) })
        };
        let given = at_once(runner, (0..CALLS).map(call).collect()).await;
        let right =
            given.iter().all(|answer| matches!(answer, Inserted::Done | Inserted::LabelTaken));
        let there = rows_of(&**store, &who).await.len();
        let wrong = format!("{there} rows have one label after {given:?}");
        hold(10, right && done(&given) == 1 && there == 1, wrong);
    }
}

/// Clauses 4 to 10: where several refuse, the first in this order answers.
pub async fn the_first_refusal_answers<S: TokenStore>(store: &S) {
    let there = row(1, "alice");
    let revoked = ended(&row(2, "alice"), &revocation(1, "x"));
    put_all(store, &[there.clone(), revoked.clone()]).await;
    let (_, _, rotate) = rotation(&revoked, 3);
    let refused = |row: &RecordParts| Insert {
        row: loaded(row),
        limit: Some(0),
        unique_label: true,
        ..insert_of(row)
    };
    let new = RecordParts { label: there.label.clone(), ..row(3, "alice") };
    let taken = Insert { under: Some(revoked.id), ..refused(&there) };
    answers(4, "an insert that all refuse", insert(store, &taken).await, Inserted::IdTaken);
    let under = Insert { under: Some(revoked.id), ..refused(&new) };
    answers(
        5,
        "an insert that `under` refuses first",
        insert(store, &under).await,
        Inserted::Stale,
    );
    let stale = Insert { supersede: rotate.supersede, ..refused(&new) };
    answers(
        6,
        "an insert that `supersede` refuses first",
        insert(store, &stale).await,
        Inserted::Stale,
    );
    let answer = insert(store, &refused(&new)).await;
    answers(9, "an insert that the limit refuses first", answer, Inserted::LimitReached);
    let answer = insert(store, &Insert { limit: Some(2), ..refused(&new) }).await;
    answers(10, "an insert that the label refuses", answer, Inserted::LabelTaken);
    has(4, store, &[there, revoked]).await;
}

// -- find and list

/// Clause 11.
pub async fn find_gives_the_row_with_this_id_or_none<S: TokenStore>(store: &S) {
    let rows = population();
    put_all(store, &rows).await;
    for right in &rows {
        is_row(11, "find", Some(&stored(store, right.id).await), right);
    }
    for number in [0, 77, TokenId::MAX.as_u64()] {
        let found = answered(store.find(id(number)).await);
        hold(11, found.is_none(), format_args!("find gives {found:?} for an id that isn't there"));
    }
}

/// Clause 12. `damage` writes junk into a row.
pub async fn a_damaged_row_is_shown_as_damaged_and_blocks_no_other<S, D>(
    store: &Arc<S>,
    damage: impl Fn(Arc<S>, TokenId) -> D,
) where
    S: TokenStore,
    D: Future<Output = ()>,
{
    let mut rows = vec![row(1, "alice"), row(2, "alice"), row(3, "alice")];
    put_all(&**store, &rows).await;
    damage(Arc::clone(store), id(2)).await;
    let found = store.find(id(2)).await;
    hold(12, found.is_ok(), format_args!("find gives {found:?} for a damaged row"));
    let found = answered(found);
    let damaged = |row: &Row| row.record().is_none() && row.id() == id(2);
    let wrong = format!("find gives {found:?} for a damaged row");
    hold(12, found.as_ref().is_some_and(damaged), wrong);

    let listed = store.list(&Filter::of_owner(&owner("alice")), Page::first(10)).await;
    let wrong = format!("list gives {listed:?} where the second row is damaged");
    hold(12, listed.is_ok(), &wrong);
    let listed = answered(listed);
    hold(12, listed.len() == 3 && damaged(&listed[1]), wrong);
    is_row(12, "list", parts_of(listed.first()).as_ref(), &rows[0]);
    is_row(12, "list", parts_of(listed.last()).as_ref(), &rows[2]);

    let new = row(4, "alice");
    put(&**store, &new).await;
    touch(&**store, &[(id(2), used(5)), (id(1), used(5))]).await;
    rows[0].last_use = Some(used(5));
    let form = RecordParts { label: label("renamed"), ..rows[2].clone() };
    answers(12, "a replace", replace(&**store, &replace_of(&form)).await, Replaced::Done);
    for right in [&rows[0], &written(&form), &new] {
        is_row(12, "find", Some(&stored(&**store, right.id).await), right);
    }
    let erase = Purge::Matching(Filter::of_owner(&owner("alice")));
    let erased = purge(&**store, &erase, 10).await;
    answers(12, "the erasure of an owner with a damaged row", erased, 4);
}

/// Clause 13: order, beginning and length.
pub async fn list_gives_pages_in_order_of_id<S: TokenStore>(store: &S) {
    let numbers = [5, 1, TokenId::MAX.as_u64(), 9, 0, 3, 1 << 40];
    for number in numbers {
        put(store, &row(number, "alice")).await;
    }
    put(store, &row(4, "bob")).await;
    let mut ids = numbers.map(id);
    ids.sort_unstable();
    let filter = Filter::of_owner(&owner("alice"));
    for limit in [0, 1, 2, 3, 7, 8, u32::MAX] {
        for after in [None].into_iter().chain(ids.map(Some)).chain([Some(id(4))]) {
            let page = Page { after, limit };
            let listed = answered(store.list(&filter, page).await);
            let listed: Vec<TokenId> = listed.iter().map(Row::id).collect();
            let later = ids.into_iter().filter(|id| after.is_none_or(|after| *id > after));
            let right: Vec<TokenId> = later.take(limit as usize).collect();
            answers(13, &format!("{page:?} of {ids:?}"), listed, right);
        }
    }
}

/// Clause 13: every fact of a filter, alone and with others, against [`Filter::matches`].
pub async fn list_gives_what_the_filter_matches<S: TokenStore>(store: &S) {
    let rows = population();
    put_all(store, &rows).await;
    for filter in filters() {
        let listed: Vec<TokenId> = list(store, &filter).await.iter().map(Row::id).collect();
        let right: Vec<TokenId> = matching(&rows, &filter).map(|row| row.id).collect();
        answers(13, &format!("the list by {filter:?}"), listed, right);
    }
}

// -- replace

/// Clause 14.
pub async fn replace_is_a_compare_and_swap<S: TokenStore>(store: &S) {
    let old = RecordParts { revision: 3, ..row(1, "alice") };
    let revoked = ended(&row(2, "alice"), &revocation(1, "x"));
    let full = RecordParts { revision: TokenRecord::MAX_REVISION, ..row(3, "alice") };
    let mut rows = [old.clone(), revoked.clone(), full.clone()];
    put_all(store, &rows).await;
    let refused = [
        ("a row that isn't there", row(8, "alice")),
        ("an older revision", RecordParts { revision: 2, ..old.clone() }),
        ("a revision to come", RecordParts { revision: 4, ..old.clone() }),
        ("a revoked row", revoked.clone()),
        ("a revoked row, as it was before", RecordParts { revocation: None, ..revoked }),
        ("a row at the greatest revision", full),
    ];
    for (what, form) in refused {
        let form = RecordParts { label: label("renamed"), ..form };
        let answer = replace(store, &replace_of(&form)).await;
        answers(14, &format!("a replace of {what}"), answer, Replaced::Stale);
        has(14, store, &rows).await;
    }
    let form = RecordParts {
        label: label("renamed"),
        access: Access::scopes(["files:read"]).unwrap(),
        expires: Expires::Never,
        key_id: key(2),
        seal: seal(77),
        ..old
    };
    answers(14, "a replace", replace(store, &replace_of(&form)).await, Replaced::Done);
    rows[0] = written(&form);
    has(14, store, &rows).await;
    let last = RecordParts { revision: TokenRecord::MAX_REVISION - 1, ..row(4, "alice") };
    put(store, &last).await;
    let answer = replace(store, &replace_of(&last)).await;
    answers(14, "a replace just below the greatest revision", answer, Replaced::Done);
    is_row(14, "find", Some(&stored(store, last.id).await), &written(&last));
}

/// Clause 15.
pub async fn replace_leaves_last_use_and_revocation<S: TokenStore>(store: &S) {
    let there = LastUse {
        at: at(50),
        address: Some("192.0.2.1".parse().unwrap()),
        client: Some("curl".into()),
    };
    let mut old = RecordParts { last_use: Some(there.clone()), ..row(1, "alice") };
    put(store, &old).await;
    for last_use in [None, Some(used(1)), Some(used(50)), Some(used(99))] {
        let form = RecordParts { last_use, ..old.clone() };
        answers(14, "a replace", replace(store, &replace_of(&form)).await, Replaced::Done);
        old = RecordParts { last_use: Some(there.clone()), ..written(&form) };
        has(15, store, std::slice::from_ref(&old)).await;
    }
    let unused = row(2, "alice");
    put(store, &unused).await;
    let form = RecordParts {
        last_use: Some(used(99)),
        revocation: Some(revocation(1, "slipped in")),
        ..unused.clone()
    };
    answers(14, "a replace", replace(store, &replace_of(&form)).await, Replaced::Done);
    has(15, store, &[old, written(&unused)]).await;
}

/// Clause 16.
pub async fn replace_keeps_labels_unique<S: TokenStore>(store: &S) {
    let phone = |row: RecordParts| RecordParts { label: label("Phone"), ..row };
    let dead = dead_at_100("alice").map(phone);
    put_all(store, &dead).await;
    let mut old = row(1, "alice");
    put_all(store, &[old.clone(), phone(row(20, "bob"))]).await;
    let unique =
        |form: &RecordParts| Replace { unique_label: true, now: at(100), ..replace_of(form) };

    let mut form = phone(old.clone());
    let answer = replace(store, &unique(&form)).await;
    answers(16, "a label that only dead rows and others have", answer, Replaced::Done);
    form.revision += 1;
    let answer = replace(store, &unique(&form)).await;
    answers(16, "the label that the row has itself", answer, Replaced::Done);
    old = written(&form);
    let other = row(2, "alice");
    put(store, &other).await;
    let answer = replace(store, &unique(&phone(other.clone()))).await;
    answers(16, "a label that a live row has", answer, Replaced::LabelTaken);
    is_row(16, "find", Some(&stored(store, other.id).await), &other);
    is_row(16, "find", Some(&stored(store, old.id).await), &old);
    let family = RecordParts { family: id(1), ..row(3, "alice") };
    put(store, &family).await;
    let answer = replace(store, &unique(&phone(family))).await;
    answers(16, "the label of its own family", answer, Replaced::Done);
    let answer = replace(store, &replace_of(&phone(other))).await;
    answers(16, "a label that need not be unique", answer, Replaced::Done);
}

/// Clause 14, on threads.
pub async fn of_many_replaces_of_one_revision_one_is_done<S: TokenStore + 'static>(
    store: &Arc<S>,
    runner: Runner,
) {
    for round in 0..ROUNDS {
        let old = row(round, "alice");
        put(&**store, &old).await;
        let form =
            |number: usize| RecordParts { label: label(&format!("call {number}")), ..old.clone() };
        let call = |number: u64| replace_call(store, replace_of(&form(number as usize)));
        let given = at_once(runner, (0..CALLS).map(call).collect()).await;
        let winners: Vec<usize> =
            (0..given.len()).filter(|n| given[*n] == Replaced::Done).collect();
        let wrong = format!("replaces of one revision were answered {given:?}");
        hold(14, winners.len() == 1, wrong);
        let there = stored(&**store, old.id).await;
        is_row(14, "find", Some(&there), &written(&form(winners[0])));
    }
}

/// Clause 16, on threads.
pub async fn a_label_is_taken_once_by_many_replaces_at_once<S: TokenStore + 'static>(
    store: &Arc<S>,
    runner: Runner,
) {
    for round in 0..ROUNDS {
        let who = format!("owner {round}");
        let rows: Vec<_> = (0..CALLS).map(|number| row(100 * round + number, &who)).collect();
        put_all(&**store, &rows).await;
        let call = |row: &RecordParts| {
            let form = RecordParts { label: label("Phone"), ..row.clone() };
            replace_call(store, Replace { unique_label: true, ..replace_of(&form) })
        };
        let given = at_once(runner, rows.iter().map(call).collect()).await;
        let there = rows_of(&**store, &who).await;
        let named = there.iter().filter(|row| row.label == label("Phone")).count();
        let done = given.iter().filter(|answer| **answer == Replaced::Done).count();
        let wrong = format!("{named} rows have one label after {given:?}");
        hold(16, done == 1 && named == 1, wrong);
    }
}

// -- revoke

/// Clause 17: every fact of a filter, against [`Filter::matches`]; what derives from a matching row's family; the count.
pub async fn revoke_ends_what_the_filter_matches_and_what_derives_from_it<S: TokenStore>(
    store: &S,
) {
    let rows = population();
    for filter in filters().into_iter().take(FACTS) {
        put_all(store, &rows).await;
        let the_end = revocation(99, "the end");
        let after: Vec<RecordParts> = rows
            .iter()
            .map(|row| {
                let derives = matching(&rows, &filter).any(|parent| {
                    parent.owner == row.owner && Some(parent.family) == row.derived_from
                });
                let meant = derives || filter.matches(&TokenRecord::from_parts(row.clone()));
                if meant && row.revocation.is_none() { ended(row, &the_end) } else { row.clone() }
            })
            .collect();
        let right = rows.iter().zip(&after).filter(|(before, after)| before != after).count();
        let count = revoke(store, &filter, &the_end).await;
        answers(17, &format!("the revoke by {filter:?}"), count, right as u64);
        has(17, store, &after).await;
        purge(store, &Purge::Matching(Filter::every_token()), 10_000).await;
    }
}

/// Clause 17, for rows at the greatest revision.
pub async fn revoke_saturates_the_revision<S: TokenStore>(store: &S) {
    let full = RecordParts { revision: TokenRecord::MAX_REVISION, ..row(1, "alice") };
    let below = RecordParts { revision: TokenRecord::MAX_REVISION - 1, ..row(2, "alice") };
    put_all(store, &[full.clone(), below.clone()]).await;
    let the_end = revocation(9, "x");
    let count = revoke(store, &Filter::of_owner(&owner("alice")), &the_end).await;
    answers(17, "the revoke of rows at the greatest revision", count, 2);
    has(17, store, &[ended(&full, &the_end), ended(&below, &the_end)]).await;
}

/// Clause 18.
pub async fn the_first_revocation_stays<S: TokenStore>(store: &S) {
    let (old, other) = (row(1, "alice"), row(2, "alice"));
    put_all(store, &[old.clone(), other.clone()]).await;
    let first = revocation(50, "first");
    answers(17, "a revoke", revoke(store, &Filter::of_id(old.id), &first).await, 1);
    // Not a later one, and not one that says it was earlier.
    for (seconds, count) in [(60, 1), (40, 0)] {
        let second = revocation(seconds, "second");
        let filter = Filter::of_owner(&owner("alice"));
        let answer = revoke(store, &filter, &second).await;
        answers(18, "a revoke of what is revoked already, and perhaps another", answer, count);
        has(18, store, &[ended(&old, &first), ended(&other, &revocation(60, "second"))]).await;
    }
}

/// Clause 18. `damage` writes junk into a row.
pub async fn a_damaged_row_is_revoked_like_any_other<S, D>(
    store: &Arc<S>,
    damage: impl Fn(Arc<S>, TokenId) -> D,
) where
    S: TokenStore,
    D: Future<Output = ()>,
{
    let (one, other) = (row(1, "alice"), row(3, "alice"));
    put_all(&**store, &[one.clone(), row(2, "alice"), other.clone(), derived(4, "alice", 2)]).await;
    damage(Arc::clone(store), id(2)).await;
    let the_end = revocation(9, "x");
    let mine = Filter { except_id: Some(id(4)), ..Filter::of_owner(&owner("alice")) };
    let count = revoke(&**store, &mine, &the_end).await;
    answers(18, "the revoke of three rows, one damaged, and one that derives from it", count, 4);
    answers(18, "the same revoke again", revoke(&**store, &mine, &the_end).await, 0);
    for right in [ended(&one, &the_end), ended(&other, &the_end)] {
        is_row(18, "find", Some(&stored(&**store, right.id).await), &right);
    }
    let living = Filter { revoked: Some(false), ..Filter::of_owner(&owner("alice")) };
    let living = list(&**store, &living).await;
    hold(18, living.is_empty(), format_args!("after the revoke of all, {living:?} live"));
}

/// Clause 17, on threads: the counts add up.
pub async fn of_many_revokes_each_row_is_counted_once<S: TokenStore + 'static>(
    store: &Arc<S>,
    runner: Runner,
) {
    for round in 0..ROUNDS {
        let who = format!("owner {round}");
        let rows: Vec<_> = (0..10).map(|number| row(100 * round + number, &who)).collect();
        put_all(&**store, &rows).await;
        let call = |number: u64| {
            let the_end = revocation(9, &format!("call {number}"));
            revoke_call(store, Filter::of_owner(&owner(&who)), the_end)
        };
        let counts = at_once(runner, (0..CALLS).map(call).collect()).await;
        let wrong = format!("revokes of the same 10 rows answered {counts:?}");
        hold(17, counts.iter().sum::<u64>() == 10, wrong);
        let there = rows_of(&**store, &who).await;
        let once = there.iter().all(|row| row.revocation.is_some() && row.revision == 1);
        hold(18, once, format_args!("a row was revoked twice: {there:?}"));
    }
}

/// Clauses 14, 15, 18 and 20, on threads: a revocation stands against replaces, rotations and uses that run beside it.
pub async fn a_revocation_is_never_undone_by_what_runs_beside_it<S: TokenStore + 'static>(
    store: &Arc<S>,
    runner: Runner,
) {
    for round in 0..ROUNDS {
        let who = format!("owner {round}");
        let first = 100 * round;
        let old = row(first, &who);
        put(&**store, &old).await;
        let the_end = revocation(9, "the end");
        let mut calls: Vec<Call<()>> = Vec::new();
        for number in 0..CALLS {
            let (store, old, the_end) = (Arc::clone(store), old.clone(), the_end.clone());
            calls.push(Box::pin(async move {
                for step in 0..4 {
                    match number % 4 {
                        0 => {
                            revoke(&*store, &Filter::of_id(old.id), &the_end).await;
                        }
                        1 => {
                            let form = RecordParts { revision: step, ..old.clone() };
                            replace(&*store, &replace_of(&form)).await;
                        }
                        2 => {
                            let form = RecordParts { revision: step, ..old.clone() };
                            let new = first + 1 + 4 * number + step;
                            insert(&*store, &rotation(&form, new).2).await;
                        }
                        _ => touch(&*store, &[(old.id, used(step as i64))]).await,
                    }
                }
            }));
        }
        at_once(runner, calls).await;
        let there = stored(&**store, old.id).await;
        let ended = there.revocation == Some(the_end) && there.seal.is_none();
        hold(18, ended, format_args!("a revocation was written over: {there:?}"));
        let latest = there.last_use.as_ref().map(|last_use| last_use.at);
        hold(20, latest == Some(at(3)), format_args!("a use was written over: {there:?}"));
    }
}

/// Clause 19, on threads: a line of rotations is revoked, by owner or by family, while it goes on.
pub async fn no_successor_escapes_a_revoke<S: TokenStore + 'static>(
    store: &Arc<S>,
    runner: Runner,
) {
    for round in 0..2 * ROUNDS {
        let who = format!("owner {round}");
        let first = row(1000 * round, &who);
        put(&**store, &first).await;
        let filter = match round % 2 {
            0 => Filter::of_owner(&first.owner),
            _ => Filter::of_family(&first.owner, first.family),
        };
        let (rotating, revoking) = (Arc::clone(store), Arc::clone(store));
        let line: Call<()> = Box::pin(async move {
            let mut newest = first;
            for step in 1..200 {
                let (new, _, rotate) = rotation(&newest, newest.id.as_u64() + 1);
                match insert(&*rotating, &rotate).await {
                    Inserted::Done => newest = new,
                    Inserted::Stale => return,
                    other => panic!("rotation {step} of a line was answered {other:?}"),
                }
            }
        });
        let the_end: Call<()> = Box::pin(async move {
            // The line should have begun.
            for _ in 0..round % 4 {
                list(&*revoking, &filter).await;
            }
            revoke(&*revoking, &filter, &revocation(9, "the end")).await;
            let living = list(&*revoking, &Filter { revoked: Some(false), ..filter }).await;
            hold(19, living.is_empty(), format_args!("a successor escaped a revoke: {living:?}"));
        });
        at_once(runner, vec![line, the_end]).await;
    }
}

/// Clauses 5 and 19, on threads: tokens are issued under a token while it, its family or its owner's tokens are revoked.
pub async fn no_derived_token_escapes_a_revoke<S: TokenStore + 'static>(
    store: &Arc<S>,
    runner: Runner,
) {
    for round in 0..2 * ROUNDS {
        let who = format!("owner {round}");
        let first = 1000 * round;
        let parent = RecordParts { family: id(first + 900), ..row(first, &who) };
        put(&**store, &parent).await;
        let filter = match round % 3 {
            0 => Filter::of_owner(&parent.owner),
            1 => Filter::of_family(&parent.owner, parent.family),
            _ => Filter::of_id(parent.id),
        };
        let issue = |thread: u64| -> Call<()> {
            let (store, who) = (Arc::clone(store), who.clone());
            Box::pin(async move {
                for step in 1..50 {
                    let child = derived(first + 100 * thread + step, &who, first + 900);
                    let under = Insert { under: Some(id(first)), ..insert_of(&child) };
                    if insert(&*store, &under).await != Inserted::Done {
                        return;
                    }
                }
            })
        };
        let revoking = Arc::clone(store);
        let all = Filter { revoked: Some(false), ..Filter::of_owner(&parent.owner) };
        let the_end: Call<()> = Box::pin(async move {
            for _ in 0..round % 4 {
                list(&*revoking, &filter).await;
            }
            revoke(&*revoking, &filter, &revocation(9, "the end")).await;
            let living = list(&*revoking, &all).await;
            hold(19, living.is_empty(), format_args!("a derived row escaped a revoke: {living:?}"));
        });
        at_once(runner, vec![issue(1), issue(2), issue(3), the_end]).await;
        let all = Filter { revoked: Some(false), ..Filter::of_owner(&owner(&who)) };
        let living = list(&**store, &all).await;
        hold(19, living.is_empty(), format_args!("a derived row came after a revoke: {living:?}"));
    }
}

// -- touch

/// Clause 20.
pub async fn touch_goes_forwards_only<S: TokenStore>(store: &S) {
    let from = |seconds, address: Option<&str>, client: Option<&str>| LastUse {
        at: at(seconds),
        address: address.map(|address| address.parse().unwrap()),
        client: client.map(Into::into),
    };
    let mut rows = [row(1, "alice"), row(2, "alice")];
    put_all(store, &rows).await;
    let steps = [
        (from(10, Some("192.0.2.1"), Some("curl")), true),
        (from(9, Some("192.0.2.2"), None), false),
        (from(10, Some("192.0.2.3"), Some("rclone")), false),
        (from(11, Some("2001:db8::1"), Some("rclone")), true),
        (from(12, None, None), true),
        (from(-5, None, Some("late")), false),
    ];
    for (last_use, is_later) in steps {
        touch(store, &[(id(9), last_use.clone()), (id(1), last_use.clone())]).await;
        if is_later {
            rows[0].last_use = Some(last_use);
        }
        has(20, store, &rows).await;
    }
    // One batch may name a row twice, in either order.
    touch(store, &[(id(2), used(30)), (id(2), used(31)), (id(1), used(31)), (id(1), used(30))])
        .await;
    rows.iter_mut().for_each(|row| row.last_use = Some(used(31)));
    has(20, store, &rows).await;
    touch(store, &[]).await;
    has(20, store, &rows).await;
}

/// Clause 20, for rows of every state.
pub async fn touch_changes_nothing_else<S: TokenStore>(store: &S) {
    let mut rows = population();
    put_all(store, &rows).await;
    let uses: Vec<_> = rows.iter().map(|row| (row.id, used(9_999))).collect();
    touch(store, &uses).await;
    rows.iter_mut().for_each(|row| row.last_use = Some(used(9_999)));
    has(20, store, &rows).await;
}

/// Clause 20, for a batch of the size that the engine writes.
pub async fn touch_takes_a_thousand_uses<S: TokenStore>(store: &S) {
    let mut rows: Vec<_> = (0..20).map(|number| row(50 * number, "alice")).collect();
    put_all(store, &rows).await;
    let uses: Vec<_> = (0..1000).map(|number| (id(number), used(number as i64))).collect();
    touch(store, &uses).await;
    for row in &mut rows {
        row.last_use = Some(used(row.id.as_u64() as i64));
    }
    has(20, store, &rows).await;
}

/// Clause 20, on threads.
pub async fn uses_noted_at_once_end_with_the_latest<S: TokenStore + 'static>(
    store: &Arc<S>,
    runner: Runner,
) {
    for round in 0..ROUNDS {
        let rows = [row(2 * round, "alice"), row(2 * round + 1, "alice")];
        put_all(&**store, &rows).await;
        let call = |number: u64| -> Call<()> {
            let (store, mut ids) = (Arc::clone(store), rows.clone().map(|row| row.id));
            // In another order on every second thread: rows that are locked one by one must not wait in a circle.
            if number.is_multiple_of(2) {
                ids.reverse();
            }
            Box::pin(async move {
                touch(&*store, &ids.map(|id| (id, used(number as i64)))).await;
            })
        };
        at_once(runner, (0..CALLS).rev().map(call).collect()).await;
        for row in rows {
            let right = RecordParts { last_use: Some(used(CALLS as i64 - 1)), ..row };
            is_row(20, "find", Some(&stored(&**store, right.id).await), &right);
        }
    }
}

// -- purge

/// Clause 21: against [`Purge::selects`].
pub async fn purge_deletes_what_it_selects<S: TokenStore>(store: &S) {
    let rows = population();
    let mut purges: Vec<Purge> = filters().into_iter().take(FACTS).map(Purge::Matching).collect();
    for ended_by in [-100, 0, 10, 19, 20, 49, 50, 999, 1000, 5000] {
        for (unused_since, now) in
            [(None, 100), (None, 5000), (Some(-10), 100), (Some(0), 60), (Some(30), 100)]
        {
            let unused_since = unused_since.map(at);
            purges.push(Purge::Dead(Dead { ended_by: at(ended_by), unused_since, now: at(now) }));
        }
    }
    put_all(store, &rows).await;
    for asked in purges {
        let selected = |row: &RecordParts| {
            let family_lives = || {
                let Purge::Dead(dead) = &asked else { return false };
                rows.iter().any(|other| {
                    (&other.owner, other.family) == (&row.owner, row.family)
                        && other.id != row.id
                        && other.revocation.is_none()
                        && !other.expires.has_come(dead.now)
                })
            };
            asked.selects(&TokenRecord::from_parts(row.clone()), family_lives)
        };
        let (gone, left): (Vec<RecordParts>, _) = rows.iter().cloned().partition(selected);
        let count = purge(store, &asked, 10_000).await;
        answers(21, &format!("{asked:?}"), count, gone.len() as u64);
        has(21, store, &left).await;
        put_all(store, &gone).await;
    }
}

/// Clause 21.
pub async fn purge_deletes_no_more_than_its_limit<S: TokenStore>(store: &S) {
    let rows: Vec<_> = (0..7).map(|number| row(number, "alice")).collect();
    put_all(store, &rows).await;
    put(store, &row(9, "bob")).await;
    let by_owner = Purge::Matching(Filter::of_owner(&owner("alice")));
    let dead = Purge::Dead(Dead { ended_by: at(0), unused_since: Some(at(0)), now: at(0) });
    for (asked, limit, deleted, left) in [
        (&by_owner, 0, 0, 8),
        (&dead, 0, 0, 8),
        (&dead, 1, 1, 7),
        (&by_owner, 0, 0, 7),
        (&dead, 2, 2, 5),
    ] {
        let count = purge(store, asked, limit).await;
        answers(21, &format!("{asked:?} with a limit of {limit}"), count, deleted);
        let there = list(store, &Filter::every_token()).await.len();
        hold(21, there == left, format_args!("a purge of {deleted} rows left {there}, not {left}"));
    }
    let before = rows_of(store, "alice").await.len() as u64;
    let bobs = rows_of(store, "bob").await.len();
    answers(21, "an owner's erasure", purge(store, &by_owner, u32::MAX).await, before);
    hold(21, rows_of(store, "bob").await.len() == bobs, "another owner's row was deleted");
    hold(21, rows_of(store, "alice").await.is_empty(), "a row is left after an erasure");
}

/// Clause 21, on threads: the counts add up.
pub async fn of_many_purges_each_row_is_counted_once<S: TokenStore + 'static>(
    store: &Arc<S>,
    runner: Runner,
) {
    for round in 0..ROUNDS {
        let who = format!("owner {round}");
        let rows: Vec<_> = (0..20).map(|number| row(100 * round + number, &who)).collect();
        put_all(&**store, &rows).await;
        let call = |_| -> Call<u64> {
            let (store, owner) = (Arc::clone(store), owner(&who));
            Box::pin(
                async move { purge(&*store, &Purge::Matching(Filter::of_owner(&owner)), 4).await },
            )
        };
        let counts = at_once(runner, (0..CALLS).map(call).collect()).await;
        let left = rows_of(&**store, &who).await.len() as u64;
        let wrong = format!("purges by 4 of 20 rows answered {counts:?}, and {left} are left");
        let added_up = counts.iter().sum::<u64>() + left == 20;
        hold(21, added_up && counts.iter().all(|count| *count <= 4), wrong);
    }
}

// -- what they are tried on

/// Rows of two owners whose names are alike, in every state, with instants on both sides of those of [`filters`].
fn population() -> Vec<RecordParts> {
    let mut rows = Vec::new();
    for (first, who) in [(1, "alice"), (31, "Alice")] {
        // 40 is the family of the first three rows and has itself no row, and the other owner has it, too.
        let line = |number| RecordParts { family: id(40), ..row(first + number, who) };
        let (_, form, _) = rotation(&line(0), first + 1);
        rows.extend([
            written(&form),
            RecordParts { last_use: Some(used(30)), ..line(1) },
            ended(&line(2), &revocation(20, "requested")),
            derived(first + 3, who, 40),
            ended(&derived(first + 4, who, 40), &revocation(10, "first")),
            RecordParts { expires: Expires::At(at(50)), ..row(first + 5, who) },
            RecordParts { expires: Expires::Never, created_at: at(-10), ..row(first + 6, who) },
            RecordParts {
                key_id: key(2),
                created_at: at(-20),
                last_use: Some(used(-10)),
                ..row(first + 7, who)
            },
            RecordParts { key_id: key(3), created_at: at(10), ..row(first + 8, who) },
            ended(
                &RecordParts { successor: Some(id(first + 2)), ..row(first + 9, who) },
                &revocation(50, "superseded, then revoked"),
            ),
            derived(first + 10, who, first + 9),
        ]);
    }
    rows
}

/// How many of [`filters`] have one or two facts by design; the others are drawn.
const FACTS: usize = 28;

/// Filters on both sides of what [`population`] holds: each fact alone, the pairs that matter most, then drawn ones.
fn filters() -> Vec<Filter> {
    let any = Filter::every_token;
    let alice = || Filter::of_owner(&owner("alice"));
    let mut filters = vec![
        any(),
        alice(),
        Filter::of_owner(&owner("nobody")),
        Filter::of_id(id(1)),
        Filter::of_id(id(3)),
        Filter::of_id(id(77)),
        Filter { id: Some(id(31)), ..alice() },
        Filter::of_family(&owner("alice"), id(40)),
        Filter::of_family(&owner("alice"), id(10)),
        Filter { except_id: Some(id(1)), ..any() },
        Filter { except_id: Some(id(2)), ..alice() },
        Filter { key_id: Some(key(2)), ..any() },
        Filter { except_key_ids: vec![key(1)], ..any() },
        Filter { except_key_ids: vec![key(3), key(1), key(9)], ..any() },
        Filter { revoked: Some(true), ..any() },
        Filter { revoked: Some(false), ..alice() },
        Filter { superseded: Some(true), ..any() },
        Filter { superseded: Some(false), ..alice() },
        Filter { expires_before: Some(at(50)), ..any() },
        Filter { expires_before: Some(at(51)), ..any() },
        Filter { expires_before: Some(Timestamp::MAX), ..any() },
        Filter { created_before: Some(at(-10)), ..any() },
        Filter { created_before: Some(at(-9)), ..any() },
        Filter { created_before: Some(at(0)), ..alice() },
        Filter { last_used_before: Some(at(-10)), ..any() },
        Filter { last_used_before: Some(at(-9)), ..any() },
        Filter { last_used_before: Some(at(30)), ..any() },
        Filter { last_used_before: Some(at(31)), ..any() },
    ];
    debug_assert_eq!(filters.len(), FACTS);
    let mut draw = Draw(1);
    for _ in 0..150 {
        let owner = draw.of(&[Some("alice"), Some("Alice"), None]).map(owner);
        filters.push(Filter {
            family: owner.as_ref().and(draw.of(&[Some(40), Some(1), None, None])).map(id),
            owner,
            id: draw.of(&[None, None, None, None, None, Some(2)]).map(id),
            except_id: draw.of(&[None, None, Some(2), Some(33)]).map(id),
            key_id: draw.of(&[None, None, None, None, Some(1), Some(2)]).map(key),
            except_key_ids: draw.of(&[vec![], vec![], vec![], vec![key(1)], vec![key(2), key(3)]]),
            revoked: draw.of(&[None, None, Some(true), Some(false)]),
            superseded: draw.of(&[None, None, Some(true), Some(false)]),
            expires_before: draw.of(&[None, None, Some(50), Some(51), Some(501)]).map(at),
            created_before: draw.of(&[None, None, None, Some(0), Some(1)]).map(at),
            last_used_before: draw.of(&[None, None, None, Some(1), Some(30), Some(31)]).map(at),
        });
    }
    filters
}

/// Four rows of one owner that are not live at 100 seconds, each for another reason.
fn dead_at_100(who: &str) -> [RecordParts; 4] {
    [
        ended(&row(61, who), &revocation(1, "x")),
        RecordParts { expires: Expires::At(at(100)), ..row(62, who) },
        RecordParts { expires: Expires::At(at(99)), ..row(63, who) },
        RecordParts { successor: Some(id(62)), ..row(64, who) },
    ]
}

fn matching<'r>(
    rows: &'r [RecordParts],
    filter: &'r Filter,
) -> impl Iterator<Item = &'r RecordParts> {
    let mut sorted: Vec<&RecordParts> = rows.iter().collect();
    sorted.sort_by_key(|row| row.id);
    sorted.into_iter().filter(|row| filter.matches(&TokenRecord::from_parts((*row).clone())))
}

async fn rows_of<S: TokenStore>(store: &S, who: &str) -> Vec<RecordParts> {
    let rows = list(store, &Filter::of_owner(&owner(who))).await;
    rows.iter().filter_map(|row| parts_of(Some(row))).collect()
}

fn insert_call<S: TokenStore + 'static>(store: &Arc<S>, asked: Insert) -> Call<Inserted> {
    let store = Arc::clone(store);
    Box::pin(async move { insert(&*store, &asked).await })
}

fn replace_call<S: TokenStore + 'static>(store: &Arc<S>, asked: Replace) -> Call<Replaced> {
    let store = Arc::clone(store);
    Box::pin(async move { replace(&*store, &asked).await })
}

fn revoke_call<S: TokenStore + 'static>(
    store: &Arc<S>,
    filter: Filter,
    revocation: super::Revocation,
) -> Call<u64> {
    let store = Arc::clone(store);
    Box::pin(async move { revoke(&*store, &filter, &revocation).await })
}

fn done(given: &[Inserted]) -> usize {
    given.iter().filter(|answer| **answer == Inserted::Done).count()
}

/// Draws the same choices each time: SplitMix64.
struct Draw(u64);

impl Draw {
    fn of<T: Clone, const N: usize>(&mut self, choices: &[T; N]) -> T {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        choices[((z ^ (z >> 31)) % N as u64) as usize].clone()
    }
}
