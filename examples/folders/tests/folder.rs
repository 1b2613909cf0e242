//! A folder by `dav-server`'s own interface. The cloud's tests use it over HTTP.

use std::fs;
use std::time::{Duration, SystemTime};

use dav_server::davpath::DavPath;
use dav_server::fs::{DavFile, DavFileSystem as _, DavProp, FsError, OpenOptions};
use folders::{Folder, Holds};
use tempfile::TempDir;

fn open() -> (TempDir, Folder) {
    let home = tempfile::tempdir().unwrap();
    let folder = Folder::open(home.path(), "files", "", Holds::Files).unwrap();
    (home, folder)
}

fn path(path: &str) -> DavPath {
    DavPath::new(path).unwrap()
}

async fn begin(folder: &Folder, at: &str, size: Option<u64>) -> Box<dyn DavFile> {
    let options =
        OpenOptions { write: true, create: true, truncate: true, size, ..OpenOptions::default() };
    folder.open(&path(at), options).await.unwrap()
}

async fn put(folder: &Folder, at: &str, text: &'static str) {
    let mut file = begin(folder, at, None).await;
    file.write_bytes(text.into()).await.unwrap();
    file.flush().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_seen_when_it_is_complete_and_not_before() {
    let (home, folder) = open();
    put(&folder, "/a", "old").await;
    let mut file = begin(&folder, "/a", None).await;
    file.write_bytes("new".into()).await.unwrap();
    assert_eq!(fs::read_to_string(home.path().join("files/a")).unwrap(), "old");
    file.flush().await.unwrap();
    assert_eq!(fs::read_to_string(home.path().join("files/a")).unwrap(), "new");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_dropped_or_too_short_leaves_nothing_behind() {
    let (home, folder) = open();
    put(&folder, "/a", "old").await;
    let mut dropped = begin(&folder, "/a", None).await;
    dropped.write_bytes("lost".into()).await.unwrap();
    drop(dropped);
    let mut short = begin(&folder, "/a", Some(5)).await;
    short.write_bytes("lost".into()).await.unwrap();
    assert!(short.flush().await.is_err());
    drop(short);
    assert_eq!(fs::read_to_string(home.path().join("files/a")).unwrap(), "old");
    assert_eq!(fs::read_dir(home.path().join("uploads")).unwrap().count(), 0);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "no token depends on this time")]
fn what_a_killed_program_left_of_uploads_is_removed_after_a_day() {
    let home = tempfile::tempdir().unwrap();
    let uploads = home.path().join("uploads");
    fs::create_dir(&uploads).unwrap();
    let (old, new) = (uploads.join("old"), uploads.join("new"));
    let two_days_ago = SystemTime::now() - Duration::from_secs(2 * 24 * 60 * 60);
    fs::File::create(&old).unwrap().set_modified(two_days_ago).unwrap();
    fs::write(&new, "").unwrap();
    Folder::open(home.path(), "files", "", Holds::Files).unwrap();
    assert_eq!((old.exists(), new.exists()), (false, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_not_utf_8_keeps_no_other_file_from_its_properties() {
    let (home, folder) = open();
    let note = |value: &str| {
        let (name, prefix, namespace) = ("note".into(), "n".into(), "urn:n".into());
        vec![(true, DavProp::new(name, prefix, namespace, value.into()))]
    };
    for at in ["/%ff", "/plain"] {
        put(&folder, at, "text").await;
        folder.patch_props(&path(at), note("kept")).await.unwrap();
    }
    let again = Folder::open(home.path(), "files", "", Holds::Files).unwrap();
    assert_eq!(again.get_props(&path("/plain"), true).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_outside_of_the_mount_is_there() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("secret"), "x").unwrap();
    let folder = Folder::open(home.path(), "events", "/calendars", Holds::Calendars).unwrap();
    assert!(folder.metadata(&path("/calendars/")).await.unwrap().is_dir());
    for outside in ["/", "/secret", "/events", "/calendarsx", "/uploads"] {
        assert_eq!(folder.metadata(&path(outside)).await.unwrap_err(), FsError::NotFound);
        assert_eq!(folder.create_dir(&path(outside)).await.unwrap_err(), FsError::NotFound);
    }
    // `dav-server` refuses paths that climb.
    assert!(DavPath::new("/calendars/../../secret").is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_root_can_not_be_removed() {
    let (home, folder) = open();
    assert_eq!(folder.remove_dir(&path("/")).await.unwrap_err(), FsError::Forbidden);
    assert!(home.path().join("files").is_dir());
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_stay_with_a_folders_files_when_it_moves_and_are_never_given_twice() {
    let (_home, folder) = open();
    folder.create_dir(&path("/from")).await.unwrap();
    put(&folder, "/from/a", "text").await;
    let id = |at: &str| folder.id_and_etag(at).unwrap().0;
    let (before, root) = (id("/from/a"), id("/"));
    folder.rename(&path("/from"), &path("/to")).await.unwrap();
    assert_eq!(id("/to/a"), before);
    folder.create_dir(&path("/from")).await.unwrap();
    put(&folder, "/from/a", "text").await;
    assert_ne!(id("/from/a"), before);
    assert_ne!(root, before);
}
