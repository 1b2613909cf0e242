//! What is known of files beside their bytes: properties that clients set, ids, and when something
//! below a folder last changed.
//!
//! So one process at a time serves a folder, and changes files in it. Another program's changes are
//! served, too, but a sync client that looks at the ETag of a folder far above doesn't notice them.
//!
//! Only properties are written to disk. After a restart every folder has a new stamp and every file
//! a new id. So a sync client looks through everything once, and finds nothing to do.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use dav_server::fs::{DavProp, FsError, FsResult};
use serde::{Deserialize, Serialize};

#[derive(Debug)]
pub(crate) struct Notes {
    file: PathBuf,
    notes: BTreeMap<PathBuf, Note>,
    /// The stamp of all that did not change since the start.
    first: u64,
    /// The last stamp or id that was given out.
    last: u64,
}

#[derive(Clone, Debug, Default)]
struct Note {
    id: Option<u64>,
    stamp: Option<u64>,
    properties: Vec<Property>,
}

/// A property, as its client wrote it.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Property {
    name: String,
    prefix: Option<String>,
    namespace: Option<String>,
    xml: Option<String>,
}

impl Property {
    /// Returns about how many bytes it takes.
    fn len(&self) -> usize {
        let parts = [Some(&self.name), self.prefix.as_ref(), self.namespace.as_ref()];
        parts.into_iter().chain([self.xml.as_ref()]).flatten().map(|part| part.len() + 20).sum()
    }

    fn is(&self, prop: &DavProp) -> bool {
        (&self.name, &self.namespace) == (&prop.name, &prop.namespace)
    }

    fn of(prop: &DavProp) -> Property {
        let xml = prop.xml.as_ref().map(|xml| String::from_utf8_lossy(xml).into_owned());
        let (name, prefix) = (prop.name.clone(), prop.prefix.clone());
        Property { name, prefix, namespace: prop.namespace.clone(), xml }
    }

    fn to_dav(&self) -> DavProp {
        let Property { name, prefix, namespace, xml } = self.clone();
        DavProp { name, prefix, namespace, xml: xml.map(String::into_bytes) }
    }
}

/// Returns about how many bytes these take.
fn bytes_of<'p>(properties: impl IntoIterator<Item = &'p Property>) -> usize {
    properties.into_iter().map(Property::len).sum()
}

/// The most bytes of all properties in a folder. They stay in memory, and each change writes all.
const MAX_BYTES: usize = 16 * 1024 * 1024;

type Saved = BTreeMap<PathBuf, Vec<Property>>;

impl Notes {
    pub(crate) fn open(file: PathBuf) -> io::Result<Notes> {
        let saved: Saved = match fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Saved::new(),
            Err(error) => return Err(error),
        };
        let note = |(at, properties)| (at, Note { properties, ..Note::default() });
        let notes = saved.into_iter().map(note).collect();
        #[expect(clippy::disallowed_methods, reason = "no token depends on this time")]
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let first = u64::try_from(now.as_micros()).unwrap_or(u64::MAX / 2);
        Ok(Notes { file, notes, first, last: first })
    }

    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn note(&mut self, at: &Path) -> &mut Note {
        self.notes.entry(at.to_owned()).or_default()
    }

    pub(crate) fn id(&mut self, at: &Path) -> u64 {
        if let Some(id) = self.notes.get(at).and_then(|note| note.id) {
            return id;
        }
        let id = self.next();
        *self.note(at).id.insert(id)
    }

    pub(crate) fn stamp(&self, at: &Path) -> u64 {
        self.notes.get(at).and_then(|note| note.stamp).unwrap_or(self.first)
    }

    /// Notes that something changed here, and so in each folder above.
    pub(crate) fn changed(&mut self, at: &Path) {
        let stamp = self.next();
        for folder in at.ancestors() {
            self.note(folder).stamp = Some(stamp);
        }
    }

    pub(crate) fn removed(&mut self, at: &Path) -> io::Result<()> {
        let had_properties = self.take(at).iter().any(|(_, note)| !note.properties.is_empty());
        self.changed(at.parent().unwrap_or(at));
        self.save_if(had_properties)
    }

    pub(crate) fn renamed(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let replaced = self.take(to);
        let moved = self.take(from);
        let has = |(_, note): &(PathBuf, Note)| !note.properties.is_empty();
        let have_properties = replaced.iter().chain(&moved).any(has);
        for (at, note) in moved {
            // The strip can't fail: `take` returns what is at or below `from`.
            let below = at.strip_prefix(from).unwrap_or(&at);
            let at = if below.as_os_str().is_empty() { to.to_owned() } else { to.join(below) };
            self.notes.insert(at, note);
        }
        self.changed(from.parent().unwrap_or(from));
        self.changed(to);
        self.save_if(have_properties)
    }

    /// The copy has no properties if there is no room for them: the file is there already.
    pub(crate) fn copied(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let properties = self.notes.get(from).map(|note| note.properties.clone());
        let properties = properties.filter(|properties| self.have_room(to, properties));
        self.note(to).properties = properties.unwrap_or_default();
        self.changed(to);
        self.save_if(!self.notes[to].properties.is_empty())
    }

    pub(crate) fn patch(&mut self, at: &Path, patch: &[(bool, DavProp)]) -> FsResult<()> {
        let mut properties = self.notes.get(at).map_or(Vec::new(), |note| note.properties.clone());
        let before = bytes_of(&properties);
        for (is_set, prop) in patch {
            properties.retain(|property| !property.is(prop));
            if *is_set {
                properties.push(Property::of(prop));
            }
        }
        // What takes less room than before always works.
        if bytes_of(&properties) > before && !self.have_room(at, &properties) {
            return Err(FsError::InsufficientStorage);
        }
        self.note(at).properties = properties;
        self.changed(at);
        Ok(self.save_if(true)?)
    }

    /// Returns whether these may be the properties of a path.
    fn have_room(&self, at: &Path, properties: &[Property]) -> bool {
        let others = self.notes.iter().filter(|(other, _)| *other != at);
        let all = others.flat_map(|(_, note)| &note.properties).chain(properties);
        bytes_of(all) <= MAX_BYTES
    }

    pub(crate) fn properties(&self, at: &Path) -> Vec<DavProp> {
        let note = self.notes.get(at);
        note.map_or(Vec::new(), |note| note.properties.iter().map(Property::to_dav).collect())
    }

    pub(crate) fn property(&self, at: &Path, prop: &DavProp) -> Option<DavProp> {
        let properties = &self.notes.get(at)?.properties;
        properties.iter().find(|property| property.is(prop)).map(Property::to_dav)
    }

    /// Takes out what is noted of a path and of all below it.
    fn take(&mut self, at: &Path) -> Vec<(PathBuf, Note)> {
        // Paths are ordered by their components, so these stand side by side.
        let range = self.notes.range(at.to_owned()..);
        let found: Vec<PathBuf> =
            range.map(|(path, _)| path.clone()).take_while(|path| path.starts_with(at)).collect();
        found.into_iter().filter_map(|path| self.notes.remove_entry(&path)).collect()
    }

    fn save_if(&self, is_changed: bool) -> io::Result<()> {
        if !is_changed {
            return Ok(());
        }
        // JSON can't name a path that is not UTF-8: its properties last until the next start.
        let is_saved =
            |(at, note): &(&PathBuf, &Note)| !note.properties.is_empty() && at.to_str().is_some();
        let with_properties = self.notes.iter().filter(is_saved);
        let saved: BTreeMap<&PathBuf, &Vec<Property>> =
            with_properties.map(|(at, note)| (at, &note.properties)).collect();
        let folder = self.file.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(&serde_json::to_vec(&saved)?)?;
        file.persist(&self.file)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, length: usize) -> [(bool, DavProp); 1] {
        let prop = DavProp::new(name.into(), "x".into(), "urn:x".into(), "x".repeat(length));
        [(true, prop)]
    }

    #[test]
    fn properties_take_no_more_room_than_there_is_for_all_of_a_folder() {
        let home = tempfile::tempdir().unwrap();
        let mut notes = Notes::open(home.path().join("properties.json")).unwrap();
        let (a, b) = (Path::new("a"), Path::new("b"));
        notes.patch(a, &set("x", MAX_BYTES / 2)).unwrap();
        notes.patch(a, &set("x", MAX_BYTES / 2)).unwrap();
        notes.copied(a, b).unwrap();
        assert_eq!((notes.properties(a).len(), notes.properties(b).len()), (1, 0));
        let refused = notes.patch(b, &set("y", MAX_BYTES / 2));
        assert!(matches!(refused, Err(FsError::InsufficientStorage)));
        assert!(notes.properties(b).is_empty());
        notes.patch(b, &set("y", 100)).unwrap();
        notes.patch(b, &set("z", 100)).unwrap();
        // Fewer than before, but with more bytes.
        let [[(_, y)], [(_, z)], [large]] = [set("y", 0), set("z", 0), set("w", MAX_BYTES / 2)];
        let refused = notes.patch(b, &[(false, y), (false, z), large]);
        assert!(matches!(refused, Err(FsError::InsufficientStorage)));
        assert_eq!(notes.properties(b).len(), 2);
        let [(_, prop)] = set("x", 0);
        notes.patch(a, &[(false, prop)]).unwrap();
        notes.patch(b, &set("y", MAX_BYTES / 2)).unwrap();
    }
}
