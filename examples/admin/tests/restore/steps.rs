//! The steps of the runbook, as an operator takes them.

use std::cell::RefCell;
use std::fs;

use serde_json::Value;

use crate::runbook::{Runbook, fill, joined};
use crate::site::{Ran, Site};

/// The event of an import from another system.
const IMPORTED: &str = "imported";

/// The event of a token that comes from another host.
const MOVED_IN: &str = "moved_in";

pub struct Steps<'a> {
    runbook: Runbook,
    site: &'a Site<'a>,
    /// Imported tokens that were forgotten again, by owner and label.
    forgotten: RefCell<Vec<(Value, Value)>>,
}

/// Where tokens came from since the copy.
#[derive(Default)]
pub struct Sources<'a> {
    /// Formats of other systems, with what their queries print now.
    pub files: Vec<(&'static str, String)>,
    pub old_host: Option<&'a Site<'a>>,
}

impl<'a> Steps<'a> {
    pub fn of(site: &'a Site<'a>) -> Steps<'a> {
        Steps { runbook: Runbook::read(), site, forgotten: RefCell::default() }
    }

    /// Takes a copy. From then on, everything is in the log.
    pub fn take_copy(&self) {
        let copy = self.runbook.copy_command(self.site.is_sqlite());
        self.site.run(&self.site.adapted(&copy), "");
        self.site.keeps_its_log();
    }

    /// Returns the commands of the step with this number.
    fn commands(&self, step: usize) -> &[String] {
        &self.runbook.steps[step - 1].commands
    }

    /// Runs a command with the values of its placeholders.
    fn run(&self, command: &str, values: &[(&str, &[&str])]) -> Ran {
        self.site.shell(&joined(&fill(command, values)), "")
    }

    /// 1\. Returns what `since.log` has. `retired` is the key that was retired since the copy.
    pub fn restore(&self, retired: Option<&str>) -> Vec<Value> {
        let of_the_other_store = if self.site.is_sqlite() { "pg_restore" } else { "tokens.db" };
        let mut said = String::new();
        for line in self.commands(1).iter().filter(|line| !line.contains(of_the_other_store)) {
            said = self.site.run(&self.site.adapted(line), "");
        }
        let is_missing = said.contains("missing from the key ring");
        assert!(said.starts_with("key ") && is_missing == retired.is_some(), "{said}");
        if let Some(retired) = retired {
            self.site.write_keys(&format!("{},{retired}", self.site.keys()));
        }
        self.site.events("since.log")
    }

    /// 2\. Returns what the imports printed.
    pub fn import_again(&self, sources: &Sources<'_>) -> Vec<String> {
        let [look, import, export, take_in] = self.commands(2) else { panic!() };
        let ran = self.run(look, &[]).out;
        let found: Vec<Value> =
            ran.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let has = |name: &str| found.iter().any(|event| event["event"] == name);
        assert_eq!(has(IMPORTED), !sources.files.is_empty(), "{ran}");
        assert_eq!(has(MOVED_IN), sources.old_host.is_some(), "{ran}");
        let is_asked_for = |event: &Value| event["event"] == IMPORTED || event["event"] == MOVED_IN;
        assert!(found.iter().all(is_asked_for), "{ran}");
        let mut said = Vec::new();
        for (format, rows) in &sources.files {
            fs::write(self.site.path("rows.jsonl"), rows).unwrap();
            said.push(self.run(import, &[("FORMAT", &[format])]).done());
        }
        if let Some(old_host) = sources.old_host {
            old_host.shell(&joined(&fill(export, &[])), "").done();
            for file in ["tokens.transfer", "transfer.key"] {
                fs::copy(old_host.path(file), self.site.path(file)).unwrap();
            }
            said.push(self.run(take_in, &[]).done());
        }
        said
    }

    /// 3 to 5. Takes the lines of `since.log` from top to bottom.
    pub fn end_again(&self, events: &[Value]) {
        for (at, event) in events.iter().enumerate() {
            let earlier = &events[..at];
            for line in self.lines_for(event, earlier) {
                let ran = self.site.shell(&joined(&line), "");
                let said = ["revoked ", "forgot ", "the token was already revoked"];
                let is_seen = match &*line[1] {
                    "revoke" | "forget" => said.iter().any(|said| ran.out.starts_with(said)),
                    _ => ran.err.contains("is narrowed") || ran.err.contains("ends at"),
                };
                // The copy may have no such token: it was issued later, or its line has ended.
                let is_gone = ran.code == Some(3) && !ran.err.is_empty();
                if ran.code == Some(4) && line[1] == "extend" {
                    assert!(ran.err.contains("would expire as soon as it is made"), "{ran:?}");
                    self.run(&self.commands(3)[1], &[("ID", &[&line[2]])]).done();
                    continue;
                }
                assert!(ran.code == Some(0) && is_seen || is_gone, "{line:?}: {ran:?}");
            }
            let id = event["family"].as_str();
            if let ("forgotten", Some(id)) = (event["event"].as_str().unwrap(), id) {
                self.forgotten.borrow_mut().extend(import_of(id, earlier).map(named));
            }
        }
    }

    fn lines_for(&self, event: &Value, earlier: &[Value]) -> Vec<Vec<String>> {
        let text = |name: &str| event[name].as_str().unwrap_or_default();
        let (revoke, rotate, narrow) = (&self.commands(3)[1..], self.commands(4), self.commands(5));
        let for_each = |id: &str, line: &dyn Fn(&str) -> Vec<String>| match self.ids(id, earlier) {
            Ok(ids) => ids.iter().map(|id| line(id)).collect(),
            Err(owner) => vec![fill(&revoke[1], &[("OWNER", &[&owner])])],
        };
        match text("event") {
            "revoked" | "forgotten" => {
                let of = if text("event") == "revoked" { 0 } else { 2 };
                let fact = |name: &str| event[name].as_str();
                let by_id = |id: &str| fill(&revoke[of], &[("ID", &[id])]);
                if let Some(kept) = fact("except_family") {
                    let owner = fact("owner").unwrap();
                    let others = self
                        .listed(owner)
                        .into_iter()
                        .filter(|token| token["family"] != kept && token["derived_from"] != kept);
                    return others.map(|token| by_id(token["id"].as_str().unwrap())).collect();
                }
                match fact("family").or(fact("id")) {
                    Some(id) => for_each(id, &by_id),
                    None => {
                        let owner = fact("owner").unwrap();
                        vec![fill(&revoke[of + 1], &[("OWNER", &[owner])])]
                    }
                }
            }
            "rotated" => for_each(text("old"), &|id| fill(&rotate[0], &[("ID", &[id])])),
            "changed" => match text("change") {
                "overlap_ended" => for_each(text("id"), &|id| fill(&rotate[0], &[("ID", &[id])])),
                "narrowed" => for_each(text("id"), &|id| fill_by_access(&narrow[0], id, event)),
                "extended" => for_each(text("id"), &|id| {
                    fill(&narrow[1], &[("ID", &[id]), ("END", &[text("expires")])])
                }),
                // The second step has done that again.
                "renamed" | "superseded" => Vec::new(),
                other => panic!("no step for a change {other}"),
            },
            IMPORTED | MOVED_IN => Vec::new(),
            other => panic!("no step for {other:?}"),
        }
    }

    /// Returns which tokens an id of the log means now, or the owner of one that can't be found.
    fn ids(&self, id: &str, earlier: &[Value]) -> Result<Vec<String>, String> {
        let Some(import) = import_of(id, earlier) else { return Ok(vec![id.to_owned()]) };
        let owner = import["owner"].as_str().unwrap();
        let tokens = self.listed(owner).into_iter();
        let tokens = tokens.filter(|token| {
            token["label"] == import["label"] && token["attributes"]["imported"].is_string()
        });
        let ids: Vec<_> = tokens.map(|token| token["id"].as_str().unwrap().to_owned()).collect();
        if ids.is_empty() && !self.forgotten.borrow().contains(&named(import)) {
            return Err(owner.to_owned());
        }
        Ok(ids)
    }

    fn listed(&self, owner: &str) -> Vec<Value> {
        let listed = self.run(&self.commands(3)[0], &[("OWNER", &[owner])]);
        serde_json::from_str(&listed.out).unwrap()
    }

    /// 6\. If imported tokens keep the old key, `next_uses` are made before the rest is revoked.
    pub fn seal_anew(&self, next_uses: Option<&dyn Fn()>) {
        let [new, reseal, may_retire, revoke] = self.commands(6) else { panic!() };
        let (site, new) = (self.site, self.run(new, &[]).done());
        let old = site.keys();
        site.write_keys(&format!("{},{old}", new.trim()));
        let resealed = self.run(reseal, &[]);
        for entry in old.split(',').filter(|entry| !entry.starts_with("import:")) {
            let key = [("KEY", &[entry.split(':').next().unwrap()][..])];
            let mut may = self.run(may_retire, &key);
            if let Some(next_uses) = next_uses {
                assert_eq!((resealed.code, may.code), (Some(1), Some(4)), "{resealed:?}, {may:?}");
                assert!(resealed.err.contains("imported ones may move at their next use"));
                next_uses();
                assert!(self.run(revoke, &key).done().starts_with("revoked "));
                may = self.run(may_retire, &key);
            } else {
                assert!(resealed.code == Some(0) && resealed.out.starts_with("moved "));
            }
            assert!(may.done().contains("may be taken out of the ring"));
            site.write_keys(&site.keys().replace(&format!(",{entry}"), ""));
        }
        let import = old.split(',').find(|entry| entry.starts_with("import:")).unwrap();
        assert_eq!(site.keys(), format!("{},{import}", new.trim()));
    }

    /// 7\. Returns the list.
    pub fn look(&self) -> String {
        let [list, clean] = self.commands(7) else { panic!() };
        let alive = self.run(list, &[]).done();
        self.run(clean, &[]).done();
        assert!(!self.site.path("since.log").exists() && !self.site.path("rows.jsonl").exists());
        alive
    }
}

/// Returns the event by which a token of the log got its id, if another system had issued it.
fn import_of<'e>(id: &str, earlier: &'e [Value]) -> Option<&'e Value> {
    earlier.iter().rev().find(|event| event["event"] == IMPORTED && event["id"] == id)
}

fn named(import: &Value) -> (Value, Value) {
    (import["owner"].clone(), import["label"].clone())
}

fn fill_by_access(command: &str, id: &str, event: &Value) -> Vec<String> {
    let list = |name: &str| -> Vec<String> {
        event[name].as_str().map_or(Vec::new(), |list| serde_json::from_str(list).unwrap())
    };
    let [scopes, resources, networks] = ["scopes", "resources", "networks"].map(list);
    let [scopes, resources, networks] =
        [&scopes, &resources, &networks].map(|list| list.iter().map(String::as_str).collect());
    let (scopes, resources, networks): (Vec<_>, Vec<_>, Vec<_>) = (scopes, resources, networks);
    let values =
        [("ID", &[id][..]), ("SCOPE", &scopes), ("RESOURCE", &resources), ("NETWORK", &networks)];
    fill(command, &values)
}
