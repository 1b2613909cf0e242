//! Tokens of another system that were imported after the copy was taken.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha2::Sha256;

use crate::site::Site;
use crate::steps::{Sources, Steps};

/// A token of the old system.
#[derive(Clone, Copy)]
struct Old {
    owner: &'static str,
    label: &'static str,
    /// Tells it from another one of the same label.
    serial: u8,
    /// Found by its owner, and not by its text.
    is_hashed: bool,
}

const fn plain(label: &'static str) -> Old {
    Old { owner: "alice", label, serial: 1, is_hashed: false }
}

const fn hashed(owner: &'static str, label: &'static str) -> Old {
    Old { owner, label, serial: 1, is_hashed: true }
}

impl Old {
    fn text(self) -> String {
        format!("text {} of {} for {}", self.serial, self.label, self.owner)
    }

    /// Returns its row, under this label.
    fn row(self, label: &str) -> String {
        let (column, kept) = match self.is_hashed {
            true => ("hash", pbkdf2(&self.text())),
            false => ("token", self.text()),
        };
        let row = json!({
            "owner": self.owner, "label": label, column: kept, "scopes": "*",
            "created": 1_700_000_000, "expires": null, "used": null, "revoked": 0
        });
        format!("{row}\n")
    }
}

/// Hashes a text with one iteration.
fn pbkdf2(text: &str) -> String {
    let salt = b"salt of the test";
    let mut mac = Hmac::<Sha256>::new_from_slice(text.as_bytes()).unwrap();
    mac.update(salt);
    mac.update(&1_u32.to_be_bytes());
    let [salt, hash] = [&salt[..], &mac.finalize().into_bytes()].map(|b| STANDARD_NO_PAD.encode(b));
    format!("$pbkdf2-sha256$i=1${salt}${hash}")
}

fn rows(tokens: &[Old]) -> String {
    tokens.iter().map(|old| old.row(old.label)).collect()
}

impl Site<'_> {
    fn import(&self, format: &str, rows: &str) -> String {
        self.admin_reading(&["import", format, "-"], rows).done()
    }

    fn lets_in(&self, old: &Old) -> bool {
        self.is_let_in(old.owner, &old.text())
    }
}

pub fn act_out(site: &Site<'_>) {
    let steps = Steps::of(site);
    let [first, early] = [hashed("alice", "first"), plain("early")];
    site.import("phc", &rows(&[first]));
    site.import("plain", &rows(&[early]));
    let place_of_first = site.id_of("alice", "first");
    steps.take_copy();

    // -- what happened after the copy was taken, and before the restore
    let [stolen, erased, used, unused] = ["stolen", "erased", "used", "unused"].map(plain);
    let of_alice = ["lost", "gone", "kept", "narrowed", "rotated"];
    let [lost, gone, kept, narrowed, rotated] = of_alice.map(|label| hashed("alice", label));
    let of_bob = hashed("bob", "lost");
    // Nothing in the log tells it from the other one of this label.
    let [twin, gone_too] = [Old { serial: 2, ..lost }, Old { serial: 2, ..gone }];
    let [renamed, beside] = ["renamed", "beside"].map(|label| hashed("carol", label));
    let id_of = |old: Old| site.id_of(old.owner, old.label);
    site.admin(&["forget", &place_of_first]).done();
    let of_phc = [first, lost, gone, kept, narrowed, rotated, of_bob, renamed, beside];
    let of_plain = [early, stolen, erased, used, unused];
    let said = site.import("phc", &rows(&of_phc));
    assert!(said.contains("it was forgotten here: row 1\n"), "{said}");
    site.import("plain", &rows(&of_plain));
    let place_of_lost = id_of(lost);
    assert_eq!(place_of_lost, place_of_first, "it was free again");
    for old in [lost, stolen, renamed] {
        site.admin(&["revoke", &id_of(old)]).done();
    }
    for old in [gone, erased] {
        site.admin(&["forget", &id_of(old)]).done();
    }
    site.admin(&["narrow", &id_of(narrowed), "--scope", "files:read"]).done();
    site.import("phc", &rows(&[twin, gone_too]));
    site.admin(&["forget", &id_of(gone_too)]).done();
    let (_, new_of_rotated) = site.rotate(&id_of(rotated), "0 days");
    // To present the last one would revoke its line. Here, only the runbook may do that.
    let ended = [first, lost, gone, gone_too, stolen, erased, renamed, rotated];
    assert!(ended[..7].iter().all(|old| !site.lets_in(old)));
    assert!(
        [kept, narrowed, twin, of_bob, beside, early, used].iter().all(|old| site.lets_in(old))
    );

    // -- the runbook
    let events = steps.restore(None);
    assert!(site.lets_in(&first) && site.lets_in(&early));
    assert!(!site.lets_in(&kept) && !site.is_good(&new_of_rotated));
    // The old system prints its rows in another order, and knows a token by another label now.
    let mut of_phc = [&of_phc[..], &[twin, gone_too]].concat();
    of_phc.reverse();
    let label = |old: &Old| if old.label == "renamed" { "new name" } else { old.label };
    let again: String = of_phc.iter().map(|old| old.row(label(old))).collect();
    let files = vec![("phc", again), ("plain", rows(&of_plain))];
    let sources = Sources { files, old_host: None };
    let said = steps.import_again(&sources);
    assert!(said[0].starts_with("imported 10\nalready there 1\n"), "{said:?}");
    assert!(said[1].starts_with("imported 4\nalready there 1\n"), "{said:?}");
    // So the next steps are needed, and an id of the log may mean another token.
    assert!(ended.iter().all(|old| site.lets_in(old)));
    assert_eq!(site.show(&place_of_lost)["label"], "first");
    steps.end_again(&events);
    assert!(ended.iter().all(|old| !site.lets_in(old)));
    steps.seal_anew(Some(&|| assert!(site.lets_in(&used) && site.lets_in(&early))));
    // It may be repeated: what was revoked or forgotten leaves a mark.
    for said in steps.import_again(&sources) {
        assert!(said.starts_with("imported 0\n"), "{said}");
    }
    let alive = steps.look();

    site.assert_rows_are_sound();
    for old in [kept, narrowed, used, early, of_bob] {
        assert!(site.lets_in(&old) && alive.contains(&id_of(old)), "{}: {alive}", old.label);
    }
    assert_eq!(site.show(&id_of(narrowed))["scopes"], json!(["files:read"]));
    // Its digest needed the old key, and nobody used it in time.
    assert!(!site.lets_in(&unused) && !alive.contains(&id_of(unused)), "{alive}");
    for old in ended {
        assert!(!site.lets_in(&old), "{}: {alive}", old.label);
    }
    assert!(!site.is_good(&new_of_rotated));
    // They had to go with the one of the same label, and with one that could not be found.
    assert!(!site.lets_in(&twin) && !site.lets_in(&beside));
}
