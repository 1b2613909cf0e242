//! What moves, and what stays behind.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use app_tokens::error::DenialReason;
use app_tokens::import::{ForeignToken, Import, Plain};
use app_tokens::record::{Actor, Expires, Status};
use app_tokens::store::{MemoryStore, SqliteStore};
use app_tokens::transfer::{LeftBehind, MoveInReport, TransferFile, TransferKey};
use app_tokens::{Attributes, Origin, Reason, Rotation, TokenId};

use super::common::outside::Outside;
use super::*;
use app_tokens::{Access, NewToken, Requirement};

#[track_caller]
fn view<S: TokenStore + RuntimeFree>(host: &Bench<S>, id: TokenId) -> app_tokens::TokenView {
    host.tokens.block_on(host.tokens.find(who(), id)).unwrap()
}

#[test]
fn a_token_is_there_what_it_was() {
    let (from, to) = (host(), host());
    let attributes = Attributes::new().with("device", "NAS").unwrap();
    let access = Access::scopes(["files:read"]).unwrap().on([exact("photos")]).unwrap();
    let new = NewToken::new("alice", "My phone", access)
        .attributes(attributes)
        .issued_by(&operator("root"))
        .expires_at(at(5000));
    let issued = from.tokens.block_on(from.tokens.issue(new)).unwrap();
    from.clock.set(at(100));
    from.assert_good(issued.expose_secret());
    to.clock.set(at(200));

    let sealed = out(&from);
    let report = take_in(&to, &sealed);
    assert_eq!(report, MoveInReport { tokens: 1, ..MoveInReport::default() });
    assert!(report.is_complete() && sealed.report.tokens == 1);
    let (old, new) = (view(&from, issued.id()), view(&to, issued.id()));
    assert_eq!(format!("{old:?}"), format!("{new:?}"), "every fact of it");
    assert_eq!(new.last_use().unwrap().at, at(100), "a use that only the process knew, too");
    let authenticated = to.tokens.block_on(to.tokens.authenticate(issued.expose_secret())).unwrap();
    let needed = Requirement::one_of(&["files:read"]).on("photos");
    assert_eq!(authenticated.require(needed).unwrap().owner().as_str(), "alice");
    to.clock.set(at(5000));
    to.assert_denied(issued.expose_secret(), DenialReason::Expired);
}

#[test]
fn the_seals_and_keys_of_the_source_stay_there() {
    let (from, to) = (host(), host());
    let issued = from.issue("alice");
    from.tokens.block_on(from.tokens.rename(who(), issued.id(), "Renamed")).unwrap();
    let sealed = out(&from);
    take_in(&to, &sealed);
    let (old, new) = (from.tokens.store().parts(issued.id()), to.tokens.store().parts(issued.id()));
    assert!(old.seal != new.seal && old.key_id != new.key_id);
    // The rows of one host in the store of the other are still no tokens there.
    to.tokens.store().write(old);
    to.assert_failed(issued.expose_secret());
    let text = String::from_utf8(sealed.bytes).unwrap();
    assert!(!text.contains(issued.expose_secret()), "only a digest of it");
    let row = text.lines().find_map(|line| line.strip_prefix("row ")).unwrap();
    let row = STANDARD_NO_PAD.decode(row.split(' ').nth(1).unwrap()).unwrap();
    let row = app_tokens::store::Row::from_bytes(issued.id(), &row).unwrap();
    let record = row.record().unwrap();
    assert_eq!((record.seal(), record.key_id().as_u32(), record.revision()), (None, 1, 0));
}

#[test]
fn a_revoked_token_is_revoked_there_too_and_its_unproven_facts_stay_behind() {
    let (from, to) = (host(), host());
    let attributes = Attributes::new().with("device", "NAS").unwrap();
    let new = NewToken::new("alice", "My phone", Access::full()).attributes(attributes);
    let issued = from.tokens.block_on(from.tokens.issue(new)).unwrap();
    let reason = Reason::new("lost").unwrap();
    from.tokens.block_on(from.tokens.revoke(who(), issued.id(), reason)).unwrap();
    from.tokens.store().change(issued.id(), |parts| parts.issued_by = Some(operator("forged")));

    let report = moved(&from, &to);
    assert_eq!(report, MoveInReport { revoked: 1, ..MoveInReport::default() });
    let there = to.tokens.store().parts(issued.id());
    let revocation = there.revocation.as_ref().unwrap();
    assert_eq!((revocation.at, revocation.reason.as_str()), (at(0), "lost"));
    assert_eq!(revocation.by, Actor::from(ops()));
    assert!(there.seal.is_none() && there.access.is_empty() && there.issued_by.is_none());
    assert_eq!(there.attributes, Attributes::new());
    to.assert_denied(issued.expose_secret(), DenialReason::Revoked);
    // Clearing the revocation by hand brings nothing back.
    to.tokens.store().change(issued.id(), |parts| parts.revocation = None);
    to.assert_denied(issued.expose_secret(), DenialReason::Tampered);
}

#[test]
fn a_line_of_rotations_stays_a_line_with_what_was_issued_under_it() {
    let (from, to) = (host(), host());
    let first = from.issue("alice");
    let caller =
        any(from.tokens.block_on(from.tokens.authenticate(first.expose_secret())).unwrap());
    let new = NewToken::new("alice", "Job", Access::scopes(["files:read"]).unwrap());
    let job = from.tokens.block_on(from.tokens.issue_under(&caller, new)).unwrap();
    let overlap = Rotation::new().overlap(secs(600));
    let second = from.tokens.block_on(from.tokens.rotate(who(), first.id(), overlap)).unwrap();
    drop(from.issue("bob"));
    assert_eq!(moved(&from, &to).tokens, 4);
    for text in [&first, &second, &job] {
        to.assert_good(text.expose_secret());
    }
    assert_eq!(view(&to, first.id()).successor(), Some(second.id()));
    to.clock.set(at(600));
    to.assert_denied(first.expose_secret(), DenialReason::Superseded);
    to.assert_good(second.expose_secret());
    let revoked = to.tokens.revoke(who(), second.id(), Reason::REQUESTED);
    assert_eq!(to.tokens.block_on(revoked).unwrap(), 3, "both of the line, and the job");
    to.assert_denied(job.expose_secret(), DenialReason::Revoked);
}

#[test]
fn one_owner_moves_with_all_rows_and_no_other_owners() {
    let (from, to) = (host(), host());
    let (alice, bob) = (from.issue("alice"), from.issue("bob"));
    let (key, mut bytes) = (TransferKey::draw().unwrap(), Vec::new());
    let only = owner("alice");
    let moved = from.tokens.move_out(who(), Some(&only), &key, &mut bytes, |_| {});
    assert_eq!(from.tokens.block_on(moved).unwrap().tokens, 1);
    let mut file = TransferFile::open(Cursor::new(bytes), &key).unwrap();
    to.tokens.block_on(to.tokens.move_in(who(), &mut file, |_| {})).unwrap();
    to.assert_good(alice.expose_secret());
    to.assert_denied(bob.expose_secret(), DenialReason::Unknown);
}

#[test]
fn a_row_that_the_source_cannot_prove_stays_behind_and_both_reports_say_so() {
    let (from, to) = (host(), host());
    let [good, tampered, damaged, other_key, newer_seal, newer_digest] =
        [0; 6].map(|_| from.issue("alice"));
    let store = from.tokens.store();
    store.change(tampered.id(), |parts| parts.owner = owner("mallory"));
    store.damage(damaged.id());
    let unknown = app_tokens::record::KeyId::new(77).unwrap();
    store.change(other_key.id(), |parts| parts.key_id = unknown);
    let seal = app_tokens::record::Seal::from_bytes(&[9, 9]).unwrap();
    store.change(newer_seal.id(), |parts| parts.seal = Some(seal));
    let digest = app_tokens::record::Digest::from_bytes(&[9, 9]).unwrap();
    store.change(newer_digest.id(), |parts| parts.digest = digest);

    let sealed = out(&from);
    let mut expected = vec![
        (tampered.id(), LeftBehind::Tampered),
        (damaged.id(), LeftBehind::Damaged),
        (other_key.id(), LeftBehind::KeyMissing),
        (newer_seal.id(), LeftBehind::Newer),
        (newer_digest.id(), LeftBehind::Newer),
    ];
    expected.sort_unstable_by_key(|(id, _)| *id);
    assert_eq!((sealed.report.tokens, &sealed.report.left), (1, &expected));
    let report = take_in(&to, &sealed);
    assert_eq!((report.tokens, &report.left, report.is_complete()), (1, &expected, false));
    to.assert_good(good.expose_secret());
    to.assert_denied(tampered.expose_secret(), DenialReason::Unknown);
}

#[test]
fn a_token_of_another_system_stays_behind_and_what_was_made_of_it_here_moves() {
    let keys = format!("{KEYS},{}", KeyRing::new_import_text().unwrap().as_str());
    let ring = KeyRing::parse(&keys).unwrap();
    let from = bench_with_ring(MemoryStore::new(), ring, policy().with_open_import());
    let to = host();
    let scheme = Plain::with_at_least_112_bits();
    let text = "a text of thirty characters ..";
    let secret = scheme.secret(text).unwrap();
    let import = Import::new().scheme(scheme);
    let token = ForeignToken::new(secret, "alice", "CI", Access::full());
    let imported = from.tokens.block_on(from.tokens.import(who(), &import, token)).unwrap();
    let app_tokens::import::Imported::Done(id) = imported else { panic!("{imported:?}") };
    let expected = vec![(id, LeftBehind::OfAnotherSystem)];
    assert_eq!(moved(&from, &to).left, expected, "before its first use");
    let used = from.tokens.authenticate_with(&import, None, text, Origin::unknown());
    drop(from.tokens.block_on(used).unwrap());
    assert_eq!(moved(&from, &to).left, expected, "and after");

    let used = from.tokens.authenticate_with(&import, None, text, Origin::unknown());
    let caller = any(from.tokens.block_on(used).unwrap());
    let job = NewToken::new("alice", "Job", Access::full());
    let job = from.tokens.block_on(from.tokens.issue_under(&caller, job)).unwrap();
    let rotation = Rotation::new().overlap(secs(600));
    let ours = from.tokens.block_on(from.tokens.rotate(who(), id, rotation)).unwrap();
    let report = moved(&from, &to);
    let ended = vec![(id, LeftBehind::EndedOfAnotherSystem)];
    assert_eq!((report.tokens, report.left), (2, ended.clone()), "nothing more to rotate");
    to.assert_good(ours.expose_secret());
    to.assert_good(job.expose_secret());
    from.tokens.block_on(from.tokens.revoke(who(), id, Reason::REQUESTED)).unwrap();
    assert_eq!(moved(&from, &to).left, ended, "an import there would bring it back");
}

#[test]
fn an_attribute_that_is_only_called_like_an_imports_keeps_no_token_behind() {
    let (from, to) = (host(), host());
    let issued = ["from the old wiki", "wiki of-sixteen-bytes", "0123456789abcdef"].map(|value| {
        let attributes = Attributes::new().with("imported", value).unwrap();
        let new = NewToken::new("alice", "Wiki", Access::full()).attributes(attributes);
        from.tokens.block_on(from.tokens.issue(new)).unwrap()
    });
    assert!(moved(&from, &to).is_complete());
    issued.iter().for_each(|issued| to.assert_good(issued.expose_secret()));
}

#[test]
fn addresses_move_only_to_a_host_that_records_them() {
    let from = host_with(policy().with_recorded_origin());
    let issued = from.issue("alice");
    let address: IpAddr = "192.0.2.7".parse().unwrap();
    let origin = Origin::unknown().address(address).client("curl");
    let used = from.tokens.authenticate_from(issued.expose_secret(), origin);
    any(from.tokens.block_on(used).unwrap());
    for (records, expected) in [(true, Some(address)), (false, None)] {
        let to = host_with(if records { policy().with_recorded_origin() } else { policy() });
        moved(&from, &to);
        let last_use = view(&to, issued.id()).last_use().unwrap().clone();
        assert_eq!((last_use.at, last_use.address), (at(0), expected));
        assert_eq!(last_use.client.is_some(), records);
    }
}

#[test]
fn a_source_whose_clock_is_ahead_leaves_no_instant_in_the_future() {
    let (from, to) = (host(), host());
    from.clock.set(at(90_000));
    let (good, revoked) = (from.issue("alice"), from.issue("alice"));
    from.assert_good(good.expose_secret());
    let revoke = from.tokens.revoke(who(), revoked.id(), Reason::REQUESTED);
    from.tokens.block_on(revoke).unwrap();
    moved(&from, &to);
    to.assert_good(good.expose_secret());
    let there = to.tokens.store().parts(good.id());
    assert_eq!((there.created_at, there.last_use.unwrap().at), (at(0), at(0)));
    let there = to.tokens.store().parts(revoked.id());
    assert_eq!(there.revocation.unwrap().at, at(0));
}

#[test]
fn limits_labels_and_ends_of_the_new_policy_are_for_new_tokens() {
    let from = host_with(policy().with_never_expiring().unwrap());
    let texts: Vec<_> = (0..3).map(|_| from.issue("alice")).collect();
    let never = NewToken::new("alice", "My phone", Access::full()).never_expires();
    let never = from.tokens.block_on(from.tokens.issue(never)).unwrap();
    let strict = policy().with_max_life(DAY).unwrap().with_max_per_owner(1).unwrap();
    let to = host_with(strict.with_unique_labels());
    assert_eq!(moved(&from, &to).tokens, 4);
    texts.iter().for_each(|text| to.assert_good(text.expose_secret()));
    to.assert_good(never.expose_secret());
    let kept = view(&to, never.id());
    assert_eq!(kept.expires(), Expires::Never);
    assert!(!to.tokens.policy().conflicts_with(&kept).is_empty(), "the preview names it");
}

#[test]
fn an_audit_log_hears_of_each_new_token_and_of_the_export() {
    let (from, to) = (host(), host());
    let issued = from.issue("alice");
    let revoked = from.issue("alice");
    from.tokens.block_on(from.tokens.revoke(who(), revoked.id(), Reason::REQUESTED)).unwrap();
    from.heard.texts();
    moved(&from, &to);
    assert_eq!(from.heard.kinds(), ["MovedOut"]);
    assert_eq!(to.heard.kinds(), ["MovedIn"], "a revoked one lets nobody in");
    to.assert_good(issued.expose_secret());
}

#[test]
fn an_export_that_a_full_disk_ends_is_told_as_uncertain_once_a_row_was_written() {
    let from = host();
    drop((from.issue("alice"), from.issue("alice")));
    let Sealed { bytes, .. } = out(&from);
    let lines: Vec<_> = bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::len).collect();
    from.heard.texts();
    for (lines, expected) in [(&lines[..0], vec![]), (&lines[..2], vec!["count: 1"])] {
        let (key, disk) = (TransferKey::draw().unwrap(), Full { room: lines.iter().sum() });
        let failed = from.tokens.block_on(from.tokens.move_out(who(), None, &key, disk, |_| {}));
        assert!(matches!(failed, Err(TransferError::Io(_))));
        let heard = from.heard.texts();
        assert_eq!(heard.len(), expected.len(), "{heard:?}");
        for (text, count) in heard.iter().zip(expected) {
            assert!(text.contains(count) && text.contains("is_certain: false"), "{text}");
        }
    }
}

/// A disk with room for some bytes.
struct Full {
    room: usize,
}

impl std::io::Write for Full {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let left = self.room.checked_sub(bytes.len());
        self.room = left.ok_or(std::io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn tokens_move_between_kinds_of_stores() {
    let folder = tempfile::tempdir().unwrap();
    let from = host();
    let (good, revoked) = (from.issue("alice"), from.issue("bob"));
    from.assert_good(good.expose_secret());
    from.tokens.block_on(from.tokens.revoke(who(), revoked.id(), Reason::REQUESTED)).unwrap();
    let on_disk = bench_over(SqliteStore::open(folder.path().join("a.db")).unwrap(), policy());
    let back = bench_over(Outside::new(), policy());
    for report in [moved(&from, &on_disk), moved(&on_disk, &back)] {
        assert_eq!((report.tokens, report.revoked, report.is_complete()), (1, 1, true));
    }
    on_disk.assert_good(good.expose_secret());
    back.assert_good(good.expose_secret());
    back.assert_denied(revoked.expose_secret(), DenialReason::Revoked);
    assert_eq!(view(&back, good.id()).last_use().unwrap().at, at(0));
    assert_eq!(view(&on_disk, revoked.id()).status(), Some(Status::Revoked));
}
