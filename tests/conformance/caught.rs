//! Each wrong store is caught, and the suite names the clause that it breaks.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use app_tokens::store::conformance::{self, Task};

use super::wrong_store::{How, WAYS, WrongStore};

/// Runs one clause on a store that breaks it. The suite must name the clause.
#[track_caller]
fn assert_caught(clause: u8, how: How, make_task: impl FnOnce(Arc<WrongStore>) -> Task) {
    let task = make_task(Arc::new(WrongStore::new(how)));
    let panic = catch_unwind(AssertUnwindSafe(|| conformance::block_on(task)));
    let panic = panic.expect_err(&format!("the suite passes a store that {how:?}"));
    let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
    let expected = format!("clause {clause} of TokenStore is broken");
    assert!(text.starts_with(&expected), "of a store that {how:?} the suite says: {text}");
}

macro_rules! caught {
    ($list:ident: $($how:ident: $clause:literal $test:ident;)*) => {
        const $list: &[How] = &[$(How::$how),*];
        $(caught!(@one $how, $clause, $test, |store| conformance::$test(&*store));)*
    };
    (race $list:ident: $($how:ident: $clause:literal $test:ident;)*) => {
        const $list: &[How] = &[$(How::$how),*];
        $(caught!(@one $how, $clause, $test, |store| {
            conformance::$test(&store, conformance::block_on)
        });)*
    };
    (damage $list:ident: $($how:ident: $clause:literal $test:ident;)*) => {
        const $list: &[How] = &[$(How::$how),*];
        $(caught!(@one $how, $clause, $test, |store| {
            conformance::$test(&store, |store: Arc<WrongStore>, id| async move { store.damage(id) })
        });)*
    };
    (ownerless $list:ident: $($how:ident: $clause:literal $test:ident;)*) => {
        const $list: &[How] = &[$(How::$how),*];
        $(caught!(@one $how, $clause, $test, |store| {
            let damage = |store: Arc<WrongStore>, id| async move { store.damage_owner(id) };
            conformance::$test(&store, damage)
        });)*
    };
    (@one $how:ident, $clause:literal, $test:ident, |$store:ident| $call:expr) => {
        #[test]
        #[expect(non_snake_case, reason = "named after the wrong store")]
        fn $how() {
            assert_caught($clause, How::$how, |$store| Box::pin(async move { $call.await }));
        }
    };
}

#[test]
fn every_wrong_store_is_tested() {
    let tried: BTreeSet<How> = [ALONE, RACED, DAMAGED, OWNERLESS].concat().into_iter().collect();
    assert_eq!(tried, WAYS.iter().copied().collect());
}

caught! { ALONE:
    TurnsExpiresZeroIntoNever: 2 every_field_comes_back_as_it_was_given;
    LosesTheClient: 2 every_field_comes_back_as_it_was_given;
    FoldsTheCaseOfOwners: 2 every_field_comes_back_as_it_was_given;
    OverwritesOnInsert: 4 insert_never_overwrites;
    CallsASecondInsertDone: 4 insert_never_overwrites;
    InsertsUnderARevokedToken: 5 insert_under_a_token_needs_it_current_and_of_the_same_owner;
    InsertsUnderAnothersToken: 5 insert_under_a_token_needs_it_current_and_of_the_same_owner;
    CountsTheExpiredAtTheInstant: 6 limit_counts_the_owners_live_rows_of_other_families;
    CountsTheOwnFamily: 6 limit_counts_the_owners_live_rows_of_other_families;
    CountsTheIdle: 6 a_row_that_was_not_used_for_long_takes_no_place;
    BelievesAUseInTheFuture: 6 a_row_that_was_not_used_for_long_takes_no_place;
    FoldsTheCaseOfLabels: 7 unique_label_looks_at_the_owners_live_rows_of_other_families;
    AnswersTheLimitBeforeTheStale: 5 the_first_refusal_answers;
    SupersedesInTwoSteps: 1 a_call_that_is_abandoned_happens_wholly_or_not_at_all;
    OverwritesOnSupersede: 4 supersede_never_overwrites;
    SupersedesAnyRevision: 8 supersede_of_a_changed_row_changes_nothing;
    SupersedesWithTheFormsLastUse: 8 supersede_writes_both_rows_in_one_step;
    SupersedesWithoutTheNewForm: 8 supersede_writes_both_rows_in_one_step;
    ReplacesAUsedSuccessor: 9 supersede_of_a_used_successor_changes_nothing;
    ReplacesAChangedSuccessor: 9 supersede_of_a_used_successor_changes_nothing;
    ReplacesAnyonesSuccessor: 9 supersede_of_another_owners_row_changes_nothing;
    ForgetsToRevokeTheReplaced: 9 supersede_revokes_the_unused_successor_that_it_replaces;
    ForgetsToRevokeTheDerived: 10 supersede_revokes_what_was_issued_under_the_family;
    RevokesTheDerivedOfOthers: 10 supersede_revokes_what_was_issued_under_the_family;
    FindsNoDeadRows: 11 find_gives_the_row_with_this_id_or_none;
    ListsWithoutOrder: 12 list_gives_pages_in_order_of_id;
    ListsTheCursorAgain: 12 list_gives_pages_in_order_of_id;
    ListsWithoutOneFact: 12 list_gives_what_the_filter_matches;
    ListsWithAnyEnd: 12 list_gives_what_the_filter_matches;
    ListsTheExceptedFamily: 12 list_gives_what_the_filter_matches;
    ListsWhatDerivesFromTheExcepted: 12 list_gives_what_the_filter_matches;
    ReplacesAnyRevision: 13 replace_is_a_compare_and_swap;
    RevivesOnReplace: 13 replace_is_a_compare_and_swap;
    ReplacesNothingIfOneIsStale: 13 replace_answers_each_request_of_a_batch;
    DecidesABatchByTheFirstRows: 13 replace_answers_each_request_of_a_batch;
    AnswersABatchInAnotherOrder: 13 replace_answers_each_request_of_a_batch;
    AnswersABatchOnce: 13 replace_answers_each_request_of_a_batch;
    ReplacesTheLastUse: 14 replace_leaves_last_use_and_revocation;
    ReplacesALabelThatIsTaken: 15 replace_keeps_labels_unique;
    ForgetsTheDerivedOnReplace: 15 replace_revokes_what_was_issued_under_the_family;
    RevokesWithoutTheDerived: 16 revoke_covers_what_the_filter_matches_and_what_derives_from_it;
    RevokesWithAnyEnd: 16 revoke_covers_what_the_filter_matches_and_what_derives_from_it;
    RevokesTheDerivedOfRevokedRowsNot:
        16 revoke_covers_what_the_filter_matches_and_what_derives_from_it;
    RevokesWhatDerivesFromTheDerived: 16 revoke_decides_by_the_rows_as_they_stood_before;
    RevokesThroughAnEndedRow:
        16 what_was_issued_under_a_line_in_use_survives_a_revocation_of_what_was_unused;
    RevokesThroughNoSupersededRow:
        16 what_was_issued_under_a_line_in_use_survives_a_revocation_of_what_was_unused;
    RevokesTheDerivedOfTheRevokedNoLonger: 16 revoke_decides_by_the_rows_as_they_stood_before;
    RevokesTheExceptedFamily: 16 revoke_spares_the_family_that_it_excepts;
    RevokesWhatDerivesFromTheExcepted: 16 revoke_spares_the_family_that_it_excepts;
    KeepsTheSealOfTheRevoked: 16 revoke_covers_what_the_filter_matches_and_what_derives_from_it;
    LetsTheRevisionOverflow: 16 revoke_saturates_the_revision;
    RevokesAgain: 16 the_first_revocation_stays;
    TouchesBackwards: 18 touch_goes_forwards_only;
    TouchesNothingIfOneIsMissing: 18 touch_goes_forwards_only;
    TouchesAndBumpsTheRevision: 18 touch_changes_nothing_else;
    KeepsAUseInTheFuture: 18 touch_overwrites_a_use_far_in_the_future;
    PurgesPastTheLimit: 19 purge_deletes_no_more_than_its_limit;
    PurgesAFamilyThatLives: 19 purge_deletes_what_it_selects;
    PurgesWhatALivingRowDerivesFrom: 19 purge_spares_a_family_from_which_a_living_row_derives;
    PurgesAnInstantEarly: 19 purge_deletes_what_it_selects;
    PurgesByAUseInTheFuture: 19 purge_does_not_believe_a_use_far_in_the_future;
    NamesOneKeyTooFew: 20 keys_in_use_names_every_key_of_an_unrevoked_row;
    NamesTheKeysOfLiveRows: 20 keys_in_use_names_every_key_of_an_unrevoked_row;
    NamesTheKeysOfTheStart: 20 keys_in_use_names_every_key_of_an_unrevoked_row;
}

caught! { race RACED:
    FindsAnOldCopy: 11 an_answer_is_seen_by_every_thread_at_once;
    CountsThenInserts: 6 a_limit_holds_against_many_inserts_at_once;
    LooksAtLabelsThenInserts: 7 a_label_is_taken_once_by_many_inserts_at_once;
    InsertsAndReplacesWithTwoLocks: 15 a_label_is_taken_once_by_inserts_and_replaces_at_once;
    LooksAtTheParentThenInserts: 10 no_derived_token_escapes_a_rotation_that_revokes_them;
    ReplacesThenLooks: 13 of_many_replaces_of_one_revision_one_is_done;
    RevokesWhatItSawFirst: 17 no_successor_escapes_a_revoke;
    TouchesByAnOldCopy: 18 of_many_touches_at_once_the_latest_use_stays;
}

caught! { damage DAMAGED:
    FailsOnADamagedRow: 21 a_damaged_row_keeps_the_facts_that_stand_apart;
    HidesADamagedRow: 21 a_damaged_row_blocks_no_other;
    LosesTheOwnerOfTheDamaged: 21 a_damaged_row_keeps_the_facts_that_stand_apart;
    LosesTheFamilyOfTheDamaged: 21 a_damaged_row_keeps_the_facts_that_stand_apart;
    LosesWhatTheDamagedDerivesFrom: 21 a_damaged_row_keeps_the_facts_that_stand_apart;
    LosesWhenTheDamagedWasMade: 21 a_damaged_row_keeps_the_facts_that_stand_apart;
    LosesThatTheDamagedWasRevoked: 21 a_damaged_row_keeps_the_facts_that_stand_apart;
    CallsTheDamagedCurrent: 21 a_damaged_row_is_never_current;
    ListsTheDamagedByAnyKey: 22 a_damaged_row_is_listed_by_the_facts_that_stand_apart;
    SparesTheDamagedByItsKey: 22 a_damaged_row_is_listed_by_the_facts_that_stand_apart;
    PassesOverADamagedRow: 22 a_damaged_row_is_revoked_like_any_other;
    RotatesPastADamagedRow: 10 a_damaged_row_is_revoked_by_a_rotation_like_any_other;
    NarrowsPastADamagedRow: 15 a_damaged_row_is_revoked_by_a_replace_like_any_other;
    RevokesTheDamagedAgain: 22 the_first_revocation_of_a_damaged_row_stays;
    RevokesTheDamagedOfTheExcepted: 22 a_damaged_row_is_spared_with_its_family;
    KeepsTheDamagedOnPurge: 22 a_damaged_row_is_purged_like_any_other;
    PurgesTheDamagedAtOnce: 22 a_damaged_row_is_purged_like_any_other;
    PurgesTheDamagedByWhenItWasMade: 22 a_damaged_row_is_purged_like_any_other;
    PurgesTheDamagedAsUnused: 22 a_damaged_row_with_a_past_end_is_not_purged;
}

caught! { ownerless OWNERLESS:
    RevokesTheOwnerlessTogether: 22 damaged_rows_without_an_owner_are_not_related;
    PurgesTheOwnerlessTogether: 22 damaged_rows_without_an_owner_are_not_related;
}
