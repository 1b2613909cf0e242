//! Tokens of another host that were taken in after the copy was taken.

use std::fs;

use crate::site::Site;
use crate::steps::{Sources, Steps};

impl Site<'_> {
    /// Takes in what the old host has now.
    fn move_from(&self, old_host: &Site<'_>) -> String {
        let key = old_host.admin(&["export", "once"]).done();
        fs::rename(old_host.path("once"), self.path("once")).unwrap();
        self.admin_reading(&["import", "app-tokens", "once"], &key).done()
    }
}

pub fn act_out(site: &Site<'_>) {
    let steps = Steps::of(site);
    let old_host = Site::in_sqlite();
    let [early, superseded] = ["early", "superseded"].map(|label| old_host.issue("alice", label));
    site.move_from(&old_host);
    steps.take_copy();

    // -- what happened after the copy was taken, and before the restore
    let late = ["kept", "revoked", "forgotten", "rotated"];
    let [kept, revoked, forgotten, rotated] = late.map(|label| old_host.issue("alice", label));
    let ended_there = old_host.issue("alice", "ended there");
    old_host.admin(&["revoke", &ended_there.0]).done();
    let successor = old_host.rotate(&superseded.0, "0 days");
    let said = site.move_from(&old_host);
    assert!(said.contains(&format!("{} was here already, and is superseded now", superseded.0)));
    site.admin(&["revoke", &revoked.0]).done();
    site.admin(&["forget", &forgotten.0]).done();
    let retired = site.change_key();
    let (_, new_of_rotated) = site.rotate(&rotated.0, "0 days");
    // To present a rotated one would revoke its line. Here, only the runbook may do that.
    let ended = [&revoked, &forgotten, &ended_there];
    assert!(ended.iter().all(|(_, text)| !site.is_good(text)));
    let live = [&early.1, &kept.1, &successor.1, &new_of_rotated];
    assert!(live.iter().all(|text| site.is_good(text)));

    // -- the runbook
    let events = steps.restore(Some(&retired));
    assert!(site.is_good(&superseded.1) && !site.is_good(&kept.1) && !site.is_good(&successor.1));
    let sources = Sources { old_host: Some(&old_host), ..Sources::default() };
    let said = steps.import_again(&sources);
    assert!(said[0].starts_with("took in 5 tokens and 1 revoked ones; 1 were here"), "{said:?}");
    // So the next steps are needed.
    assert!([&revoked, &forgotten, &rotated].iter().all(|(_, text)| site.is_good(text)));
    steps.end_again(&events);
    steps.seal_anew(None);
    let alive = steps.look();

    site.assert_rows_are_sound();
    assert!(!site.path("transfer.key").exists());
    for (id, text) in [&early, &kept, &successor] {
        assert!(site.is_good(text) && alive.contains(id.as_str()), "{alive}");
    }
    for (id, text) in [&revoked, &forgotten, &rotated, &ended_there] {
        assert!(!site.is_good(text) && !alive.contains(id.as_str()), "{id} in {alive}");
    }
    assert!(!site.is_good(&superseded.1) && !site.is_good(&new_of_rotated));
}
