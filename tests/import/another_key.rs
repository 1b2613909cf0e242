//! A ring with another import key than the one that the tokens were imported under.

use app_tokens::store::{Filter, MemoryStore, RuntimeFree, SqliteStore};

use super::*;

const OTHER_IMPORT: &str = "import:oKGio6SlpqeoqaqrrK2ur7CxsrO0tba3uLm6u7y9vr8=";

/// Two hosts over one store, of which the second has another import key.
fn hosts<S: TokenStore + Clone>(store: S) -> (Bench<S>, Bench<S>) {
    let other = KeyRing::parse(&format!("{SEAL_1},{OTHER_IMPORT}")).unwrap();
    let host = |ring| bench_with_ring(store.clone(), ring, policy().with_open_import());
    (host(ring()), host(other))
}

fn revoked_before_a_second_run<S: TokenStore + RuntimeFree>(right: &Bench<S>, other: &Bench<S>) {
    let id = right.imported(nextcloud_secret());
    wait(right.tokens.revoke(ops(), id, Reason::REQUESTED)).unwrap();
    let again = wait(other.tokens.import(&ops(), &all_schemes(), token(nextcloud_secret())));
    assert!(matches!(again, Err(IssueError::Failed(_))), "{again:?}");
    assert!(other.enter("alice", NEXTCLOUD.0).is_err());
}

#[test]
fn a_second_run_under_another_import_key_revives_no_revoked_token() {
    let (right, other) = hosts(MemoryStore::new());
    revoked_before_a_second_run(&right, &other);
    let (right, other) = hosts(SqliteStore::in_memory().unwrap());
    revoked_before_a_second_run(&right, &other);
}

#[test]
fn a_host_that_could_import_nothing_yet_notices_the_rows_of_another_import_key() {
    let (right, other) = hosts(MemoryStore::new());
    let nameless = ForeignToken::new(nextcloud_secret(), "alice", "", Access::full());
    let refused = wait(other.tokens.import(&ops(), &all_schemes(), nameless));
    assert!(matches!(refused, Err(IssueError::Invalid(_))), "{refused:?}");
    revoked_before_a_second_run(&right, &other);
}

#[test]
fn of_two_runs_at_once_under_two_import_keys_only_one_goes_on() {
    let (right, other) = hosts(Outside::new());
    let run = |host: &Bench<Outside>, text| {
        let token = token(OfOwner.secret("alice", text));
        wait(host.tokens.import(&ops(), &all_schemes(), token))
    };
    let same = right.tokens.clone();
    right.tokens.store().before_the_next_write(move || {
        let token = token(OfOwner.secret("alice", "one"));
        assert!(matches!(ready(same.import(&ops(), &all_schemes(), token)), Ok(Imported::Done(_))));
    });
    assert!(matches!(run(&other, "two"), Ok(Imported::Done(_))), "no row was there");
    let refused = [&right, &other].map(|host| run(host, "three").is_err());
    assert_ne!(refused[0], refused[1]);
}

#[test]
fn the_start_and_the_status_tell_of_tokens_that_no_text_finds_under_this_key() {
    let (right, other) = hosts(SqliteStore::in_memory().unwrap());
    let id = right.imported(nextcloud_secret());
    let used = right.imported(OfOwner.secret("alice", WORDS));
    right.enter("alice", WORDS).unwrap();
    let revoked = right.imported(OfOwner.secret("alice", "revoked"));
    wait(right.tokens.revoke(ops(), revoked, Reason::REQUESTED)).unwrap();
    assert!(wait(right.tokens.check()).unwrap().is_sound());
    let report = wait(other.tokens.check()).unwrap();
    let mut lost = report.lost_imports.clone();
    lost.sort();
    let mut live = [id, used];
    live.sort();
    assert_eq!((lost.as_slice(), report.is_sound()), (&live[..], false));
    let status = wait(other.tokens.import_status()).unwrap();
    let lost: Vec<_> =
        status.iter().map(|of| (of.lost, of.waiting + of.taken_over, of.ended)).collect();
    assert_eq!(lost, [(1, 0, 0), (1, 0, 1)]);
}

#[test]
fn a_rotated_token_of_another_import_key_is_one_of_ours() {
    let (right, other) = hosts(SqliteStore::in_memory().unwrap());
    let id = right.imported(nextcloud_secret());
    let ours = wait(right.tokens.rotate(ops(), id, Rotation::new())).unwrap();
    assert!(wait(other.tokens.check()).unwrap().is_sound(), "nobody misses what was superseded");
    wait(right.tokens.revoke_matching(ops(), &Filter::of_id(id), Reason::REQUESTED)).unwrap();
    assert!(wait(other.tokens.check()).unwrap().is_sound());
    other.assert_good(ours.expose_secret());
}

#[test]
fn a_row_that_this_ring_can_t_decide_does_not_hide_how_far_the_import_is() {
    let store = SqliteStore::in_memory().unwrap();
    let right = bench_with_ring(store.clone(), ring(), policy().with_open_import());
    right.imported(Plain::of_unknown_strength().secret("hunter2hunter2").unwrap());
    right.imported(nextcloud_secret());
    right.enter("alice", NEXTCLOUD.0).unwrap();
    let ring = KeyRing::parse(&format!("{SEAL_2},{SEAL_1},{IMPORT}")).unwrap();
    wait(bench_with_ring(store.clone(), ring, policy()).tokens.reseal()).unwrap();
    let ring = KeyRing::parse(&format!("{SEAL_2},{IMPORT}")).unwrap();
    let without = bench_with_ring(store, ring, policy());
    let status = wait(without.tokens.import_status()).unwrap();
    let counts: Vec<_> = status.iter().map(|of| (of.taken_over, of.unclear)).collect();
    assert_eq!(counts, [(1, 0), (0, 1)]);
}
