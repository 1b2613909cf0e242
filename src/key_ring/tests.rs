use super::*;

const ONE: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const TWO: &str = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

#[track_caller]
fn refused(text: &str) -> String {
    let error = KeyRing::parse(text).unwrap_err();
    let printed = format!("{error} {error:?}");
    assert!(!printed.contains("AAECAw") && !printed.contains("ICEiIy"), "{printed}");
    error.to_string()
}

#[test]
fn the_active_key_stands_first_and_every_key_is_found() {
    let ring = KeyRing::parse(&format!(" 2:{TWO} ,\n1:{ONE}\n")).unwrap();
    assert_eq!(ring.ids().map(KeyId::as_u32).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(ring.active_id().as_u32(), 2);
    assert!(KeyId::new(1).is_some_and(|id| ring.key(id).is_some()));
    assert!(KeyId::new(3).is_some_and(|id| ring.key(id).is_none()));
    assert_eq!(format!("{ring:?}"), "KeyRing[KeyId(2), KeyId(1)]");
    assert!(KeyRing::parse(&format!("1:{}", ONE.trim_end_matches('='))).is_ok());
}

#[test]
fn missing_malformed_short_weak_and_repeated_keys_are_refused() {
    let empty = "the key ring has no key, or an empty entry; write it as ID:KEY,ID:KEY";
    assert_eq!(refused(""), empty);
    assert_eq!(refused(" \n"), empty);
    assert_eq!(refused(&format!("1:{ONE},")), empty);
    for malformed in [
        ONE,
        "x:AA==",
        ":AA==",
        "-1:AA==",
        "+1:AA==",
        "0:AA==",
        "4294967296:AA==",
        "1",
        "1:?",
        "1:AA==BB",
    ] {
        assert!(
            refused(malformed).ends_with("is not ID:KEY; write a number from 1 and base64"),
            "{malformed}"
        );
    }
    assert_eq!(refused("1:"), "key 1 has 0 bytes; it needs at least 32");
    assert_eq!(
        refused("1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg=="),
        "key 1 has 31 bytes; it needs at least 32"
    );
    assert_eq!(
        refused(&format!("7:{}=", "A".repeat(43))),
        "key 7 repeats one byte; draw a random one"
    );
    let repeated = |id| {
        format!("key {id} of the ring repeats the id or the bytes of another; remove one of them")
    };
    assert_eq!(refused(&format!("1:{ONE},1:{TWO}")), repeated(1));
    assert_eq!(refused(&format!("1:{ONE},2:{ONE}")), repeated(2));
    assert_eq!(
        refused(&"1".repeat(MAX_TEXT + 1)),
        "the key ring is longer than 64 KiB; remove old keys"
    );
}

#[test]
fn a_file_is_made_once_and_for_its_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.key");
    let made = KeyRing::load_or_create(&path).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let loaded = KeyRing::load_or_create(&path).unwrap();
    assert_eq!(loaded.active_id(), made.active_id());
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn an_empty_or_broken_file_is_an_error_and_is_not_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.key");
    for content in ["", "1:c2hvcnQ="] {
        private(OpenOptions::new().write(true).create(true).truncate(true)).open(&path).unwrap();
        fs::write(&path, content).unwrap();
        assert!(KeyRing::load_or_create(&path).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
    let missing = KeyRing::load_or_create(folder.path().join("no/such/folder/app.key"));
    assert!(matches!(missing, Err(KeyRingError::File { .. })));
    assert!(KeyRing::load_or_create(folder.path()).is_err());
}

#[cfg(unix)]
#[test]
fn a_file_that_others_may_read_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.key");
    drop(KeyRing::load_or_create(&path).unwrap());
    for (mode, good) in [
        (0o600, true),
        (0o400, true),
        (0o640, false),
        (0o644, false),
        (0o660, false),
        (0o604, false),
    ] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(KeyRing::load(&path).is_ok(), good, "{mode:o}");
    }
    let error = KeyRing::load(&path).unwrap_err().to_string();
    assert!(error.ends_with("is open to other users (mode 604); set its mode to 600"), "{error}");
}

#[test]
fn keys_that_are_equal_for_hmac_are_refused() {
    let encode = |key: &[u8]| BASE64.encode(key);
    let key: Vec<u8> = (0..32).collect();
    let padded = [&key[..], &[0, 0]].concat();
    let long: Vec<u8> = (0..65).collect();
    let hashed = Sha256::digest(&long).to_vec();
    for (one, other) in [(&key, &padded), (&long, &hashed)] {
        let text = format!("1:{},2:{}", encode(one), encode(other));
        assert!(matches!(KeyRing::parse(&text), Err(KeyRingError::Repeated(_))));
    }
    let text = format!("1:{},2:{}", encode(&key), encode(&long));
    assert!(KeyRing::parse(&text).is_ok());
}

#[test]
fn a_ring_in_place_of_a_path_or_a_name_is_refused_and_not_echoed() {
    let rings = [format!("1:{ONE}"), format!("x, 7:{}", ONE.trim_end_matches('='))];
    for ring in &rings {
        for error in [
            KeyRing::load(ring).unwrap_err(),
            KeyRing::load_or_create(ring).unwrap_err(),
            KeyRing::from_env(ring).unwrap_err(),
            KeyRing::from_env(ONE).unwrap_err(),
        ] {
            assert!(matches!(error, KeyRingError::RingGiven(_)), "{error}");
            assert!(!format!("{error} {error:?}").contains("AAECAw"));
        }
    }
}

#[cfg(unix)]
#[test]
fn a_pipe_and_a_link_to_nowhere_are_refused() {
    use std::os::unix::fs::OpenOptionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let (pipe, link) = (folder.path().join("pipe"), folder.path().join("link"));
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let nowhere = folder.path().join("nowhere");
    std::os::unix::fs::symlink(&nowhere, &link).unwrap();
    let loads = std::thread::spawn({
        let pipe = pipe.clone();
        move || [KeyRing::load(&pipe), KeyRing::load_or_create(&pipe)]
    });
    // It can be opened only if a load waits for a writer, and ends that wait.
    let is_linux = cfg!(any(target_os = "linux", target_os = "android"));
    let without_waiting = if is_linux { 0o4000 } else { 4 };
    let mut writer = OpenOptions::new();
    writer.write(true).custom_flags(without_waiting);
    while !loads.is_finished() {
        assert!(writer.open(&pipe).is_err(), "a load waits for a writer");
        std::thread::yield_now();
    }
    let loaded = [loads.join().unwrap(), [KeyRing::load(&link), KeyRing::load_or_create(&link)]];
    let why = ["it is not a file", "it is a link to a file that does not exist"];
    for (loaded, why) in loaded.into_iter().zip(why) {
        for loaded in loaded {
            let Err(KeyRingError::File { error, .. }) = loaded else { panic!("{loaded:?}") };
            assert_eq!(error.to_string(), why);
        }
    }
    assert!(!nowhere.exists(), "nothing was made");
    drop(KeyRing::load_or_create(&nowhere).unwrap());
    assert!(KeyRing::load(&link).is_ok(), "a link to a file is followed");
}

#[test]
fn processes_that_start_at_once_agree_on_one_ring() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.key");
    let ids: Vec<KeyId> = std::thread::scope(|scope| {
        let starting: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| KeyRing::load_or_create(&path).unwrap().active_id()))
            .collect();
        starting.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(ids.windows(2).all(|pair| pair[0] == pair[1]), "{ids:?}");
}

#[test]
fn a_missing_variable_is_an_error() {
    let error = KeyRing::from_env("APP_TOKENS_NO_SUCH_VARIABLE").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the environment variable APP_TOKENS_NO_SUCH_VARIABLE is not set, or is not text; \
         put the key ring into it"
    );
}
