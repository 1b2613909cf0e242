//! Tests each clause of [`TokenStore`](super::TokenStore)'s contract, for authors of stores.
//!
//! [`tests!`](tests) makes one `#[test]` of each function here. It calls `make` again for each
//! test. `make` must return an empty store that no other test uses:
//!
//! ```
//! # // Your own store takes the place of this one.
//! mod in_memory {
//!     use app_tokens::store::{MemoryStore, conformance};
//!
//!     conformance::tests!(make = || async { MemoryStore::new() });
//! }
//! ```
//!
//! If the store's futures need a runtime, name a `runner`: a function that runs a [`Task`] to its
//! end. It is called from many threads at once, so use one runtime for all of them:
//!
//! ```
//! mod on_tokio {
//!     use std::sync::LazyLock;
//!     use app_tokens::store::conformance::{self, Task};
//!     # use app_tokens::store::MemoryStore;
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
//! The suite can't damage a row. To test the clauses about damaged rows, name `damage`: a function
//! that takes the store and an id. It must overwrite everything in that row with junk, except the
//! facts that stand apart. These are the id, the owner, the family, `derived_from`, `created_at`,
//! and whether and when it was revoked. If the end and the last use have columns of their own,
//! write a past instant there: a store must not believe it. Without `damage`, those tests are shown
//! as ignored.
//!
//! ```
//! mod with_damage {
//!     # use app_tokens::TokenId;
//!     # use app_tokens::store::{MemoryStore as MyStore, conformance};
//!     use std::sync::Arc;
//!
//!     async fn damage(store: Arc<MyStore>, id: TokenId) {
//!         // UPDATE app_token SET digest = 'junk', label = '', expires_at = 7, … WHERE id = ?
//!         # let _ = (store, id);
//!     }
//!
//!     conformance::tests!(make = || async { MyStore::new() }, damage = damage);
//! }
//! # fn main() {}
//! ```
//!
//! A row may lose its owner, too. To test that, name `damage_owner` after `damage`. It must do what
//! `damage` does, and write an owner that can't be read. In SQL, write a different one into each
//! row, as in `owner = char(10) || id`, since a store may compare that column as it stands.
//!
//! Each function can also be called directly. The functions without a race take a `&store`. So they
//! can test a store within a transaction of the host, such as `SqliteTransaction`.
//!
//! If something must outlive the store, such as the directory of its file, keep both in a [`Kept`].
//!
//! A broken clause panics, with the number of the clause in the message.
//!
//! # What it can't show
//!
//! - Whether a change survives a crash (clause 1).
//! - Whether an error is right if it says [`not_done`](super::StoreError::not_done) (clause 3).
//!   Errors can't be provoked from outside.
//! - Whether an abandoned call leaves its pooled connection clean. Check that no transaction is
//!   still open.
//! - A race that is lost only once in a million times.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a broken clause panics, as every test does"
)]

mod any_call;
mod damaged;
mod find_and_list;
mod insert;
mod kept;
mod keys;
mod population;
mod purge;
mod race;
mod replace;
mod revoke;
mod rows;
mod runner;
mod supersede;
mod touch;

pub use any_call::*;
pub use damaged::*;
pub use find_and_list::*;
pub use insert::*;
pub use kept::Kept;
pub use keys::*;
pub use purge::*;
pub use replace::*;
pub use revoke::*;
#[doc(hidden)]
pub use runner::run;
pub use runner::{Runner, Task, block_on};
pub use supersede::*;
pub use touch::*;

/// Makes a `#[test]` of each clause.
///
/// Give `make = || async { a new, empty store }`, and if needed `runner = a function`,
/// `damage = a function` and `damage_owner = a function`, in this order. The [module](self) shows
/// how.
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
    (make = $make:expr, damage = $damage:expr, damage_owner = $damage_owner:expr $(,)?) => {
        $crate::store::conformance::tests!(
            make = $make,
            runner = $crate::store::conformance::block_on,
            damage = $damage,
            damage_owner = $damage_owner
        );
    };
    (
        make = $make:expr,
        runner = $runner:expr,
        damage = $damage:expr,
        damage_owner = $damage_owner:expr $(,)?
    ) => {
        $crate::store::conformance::tests!(@undamaged [make = $make, runner = $runner]);
        $crate::store::conformance::tests!(@damaged
            @each [make = $make, runner = $runner] (|store| (&store, $damage))
        );
        $crate::store::conformance::tests!(@ownerless
            @each [make = $make, runner = $runner] (|store| (&store, $damage_owner))
        );
    };
    (make = $make:expr, runner = $runner:expr, damage = $damage:expr $(,)?) => {
        $crate::store::conformance::tests!(@undamaged [make = $make, runner = $runner]);
        $crate::store::conformance::tests!(@damaged
            @each [make = $make, runner = $runner] (|store| (&store, $damage))
        );
        $crate::store::conformance::tests!(@ownerless
            @skipped "the suite was given no `damage_owner`"
        );
    };
    (make = $make:expr, runner = $runner:expr $(,)?) => {
        $crate::store::conformance::tests!(@undamaged [make = $make, runner = $runner]);
        $crate::store::conformance::tests!(@damaged @skipped "the suite was given no `damage`");
        $crate::store::conformance::tests!(@ownerless
            @skipped "the suite was given no `damage_owner`"
        );
    };
    (@damaged $($then:tt)*) => {
        $crate::store::conformance::tests!($($then)*
            a_damaged_row_keeps_the_facts_that_stand_apart
            a_damaged_row_blocks_no_other
            a_damaged_row_is_listed_by_the_facts_that_stand_apart
            a_damaged_row_is_never_current
            a_damaged_row_is_revoked_like_any_other
            a_damaged_row_is_revoked_by_a_rotation_like_any_other
            a_damaged_row_is_revoked_by_a_replace_like_any_other
            the_first_revocation_of_a_damaged_row_stays
            a_damaged_row_is_spared_with_its_family
            a_damaged_row_is_purged_like_any_other
            a_damaged_row_with_a_past_end_is_not_purged
        );
    };
    (@ownerless $($then:tt)*) => {
        $crate::store::conformance::tests!($($then)*
            damaged_rows_without_an_owner_are_not_related
        );
    };
    // A clause that was not tested must not look as if it held: it is shown as ignored.
    (@skipped $why:literal $($clause:ident)*) => {
        $(
            #[test]
            #[ignore = $why]
            fn $clause() {}
        )*
    };
    (@undamaged [make = $make:expr, runner = $runner:expr]) => {
        $crate::store::conformance::tests!(@each
            [make = $make, runner = $runner] (|store| (&*store))
            every_field_comes_back_as_it_was_given
            rows_of_every_state_come_back
            a_call_that_is_abandoned_happens_wholly_or_not_at_all
            a_call_that_is_repeated_changes_nothing_more
            insert_never_overwrites
            insert_under_a_token_needs_it_current_and_of_the_same_owner
            a_row_that_was_not_used_for_long_takes_no_place
            supersede_never_overwrites
            supersede_writes_both_rows_in_one_step
            supersede_of_a_changed_row_changes_nothing
            supersede_of_another_owners_row_changes_nothing
            supersede_revokes_the_unused_successor_that_it_replaces
            supersede_of_a_used_successor_changes_nothing
            supersede_revokes_what_was_issued_under_the_family
            limit_counts_the_owners_live_rows_of_other_families
            unique_label_looks_at_the_owners_live_rows_of_other_families
            the_first_refusal_answers
            find_gives_the_row_with_this_id_or_none
            list_gives_pages_in_order_of_id
            list_gives_what_the_filter_matches
            replace_is_a_compare_and_swap
            replace_answers_each_request_of_a_batch
            replace_takes_a_batch_of_many_owners
            replace_leaves_last_use_and_revocation
            replace_keeps_labels_unique
            replace_revokes_what_was_issued_under_the_family
            revoke_covers_what_the_filter_matches_and_what_derives_from_it
            revoke_spares_the_family_that_it_excepts
            what_was_issued_under_a_line_in_use_survives_a_revocation_of_what_was_unused
            revoke_decides_by_the_rows_as_they_stood_before
            revoke_saturates_the_revision
            the_first_revocation_stays
            touch_goes_forwards_only
            touch_overwrites_a_use_far_in_the_future
            touch_changes_nothing_else
            touch_takes_a_thousand_uses
            purge_deletes_what_it_selects
            purge_spares_a_family_from_which_a_living_row_derives
            purge_does_not_believe_a_use_far_in_the_future
            purge_deletes_no_more_than_its_limit
            keys_in_use_names_every_key_of_an_unrevoked_row
        );
        $crate::store::conformance::tests!(@each
            [make = $make, runner = $runner] (|store| (&store, $runner))
            an_answer_is_seen_by_every_thread_at_once
            of_many_inserts_of_one_id_one_is_done
            of_many_supersedes_of_one_row_one_is_done
            a_successor_is_not_both_replaced_and_superseded
            no_derived_token_escapes_a_rotation_that_revokes_them
            a_limit_holds_against_many_inserts_at_once
            a_label_is_taken_once_by_many_inserts_at_once
            of_many_replaces_of_one_revision_one_is_done
            of_many_batches_at_once_each_row_is_replaced_once
            a_label_is_taken_once_by_many_replaces_at_once
            a_label_is_taken_once_by_inserts_and_replaces_at_once
            of_many_revokes_each_row_is_counted_once
            a_revocation_is_never_undone_by_what_runs_beside_it
            no_successor_escapes_a_revoke
            no_derived_token_escapes_a_revoke
            of_many_touches_at_once_the_latest_use_stays
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
