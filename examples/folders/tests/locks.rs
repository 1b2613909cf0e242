//! Locks (RFC 4918, 6 and 7), by requests.

mod common;

use common::{Host, lock_info};

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_keeps_others_out_until_its_token_is_sent_or_it_is_removed() {
    let host = Host::new();
    host.file("a");
    let (status, token) = host.lock("/dav/a", &[], "exclusive").await;
    assert_eq!(status, 200);
    for method in ["PUT", "DELETE", "PROPPATCH"] {
        let body = if method == "PROPPATCH" { SET } else { "" };
        assert_eq!(host.call(method, "/dav/a", &[], body).await.status, 423, "{method}");
    }
    for (method, from, to) in [("MOVE", "/dav/a", "/dav/b"), ("COPY", "/dav/b", "/dav/a")] {
        host.file("b");
        let answer = host.call(method, from, &[("destination", to)], "").await;
        assert_eq!(answer.status, 423, "{method}");
    }
    let sent = format!("({token})");
    assert_eq!(host.call("PUT", "/dav/a", &[("if", &sent)], "new").await.status, 204);
    assert_eq!(host.call("GET", "/dav/a", &[], "").await.body, "new", "anyone reads");
    for (wrong, status) in [("<urn:uuid:other>", 409), ("urn", 409)] {
        let answer = host.call("UNLOCK", "/dav/a", &[("lock-token", wrong)], "").await;
        assert_eq!(answer.status, status, "{wrong}");
    }
    assert_eq!(host.call("UNLOCK", "/dav/b", &[("lock-token", &token)], "").await.status, 409);
    assert_eq!(host.call("UNLOCK", "/dav/a", &[("lock-token", &token)], "").await.status, 204);
    assert_eq!(host.call("PUT", "/dav/a", &[], "free").await.status, 204);
    // The client learns that its lock is gone, instead of overwriting what came meanwhile.
    assert_eq!(host.call("PUT", "/dav/a", &[("if", &sent)], "late").await.status, 412);
}

const SET: &str = "<propertyupdate xmlns=\"DAV:\"><set><prop><x xmlns=\"urn:x\">1</x></prop></set>\
                   </propertyupdate>";

#[tokio::test(flavor = "multi_thread")]
async fn locks_that_meet_conflict_unless_all_are_shared() {
    let host = Host::new();
    for folder in ["a", "a/b", "c"] {
        std::fs::create_dir(host.home.path().join("files").join(folder)).unwrap();
    }
    let (deep, flat) = ([("depth", "infinity")], [("depth", "0")]);
    for (first, depth, second, status) in [
        ("/dav/a", &deep, "/dav/a/b", 423),
        ("/dav/a/b", &flat, "/dav/a", 423),
        ("/dav/a", &flat, "/dav/a/b", 200),
        ("/dav/a/", &deep, "/dav/a", 423),
        ("/dav/", &deep, "/dav/c", 423),
        ("/dav/c", &deep, "/dav/a", 200),
    ] {
        let (made, token) = host.lock(first, &depth[..], "exclusive").await;
        assert_eq!(made, 200, "{first}");
        let (found, other) = host.lock(second, &deep, "exclusive").await;
        assert_eq!(found, status, "{first} {second}");
        assert_eq!(host.lock(first, &deep, "shared").await.0, 423);
        for (path, token) in [(first, &token), (second, &other)] {
            host.call("UNLOCK", path, &[("lock-token", token)], "").await;
        }
    }
    // Shared ones meet. Each of their tokens is enough, and none is not.
    let (one, first) = host.lock("/dav/a", &deep, "shared").await;
    let (two, second) = host.lock("/dav/a/b", &deep, "shared").await;
    assert_eq!((one, two), (200, 200));
    assert_eq!(host.lock("/dav/a/b", &deep, "exclusive").await.0, 423);
    assert_eq!(host.call("PUT", "/dav/a/b/x", &[], "").await.status, 423);
    for (token, status) in [(first, 201), (second, 204)] {
        let sent = format!("({token})");
        assert_eq!(host.call("PUT", "/dav/a/b/x", &[("if", &sent)], "").await.status, status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_folder_keeps_its_members() {
    let host = Host::new();
    std::fs::create_dir(host.home.path().join("files/a")).unwrap();
    host.file("a/old");
    let (status, token) = host.lock("/dav/a", &[("depth", "0")], "exclusive").await;
    assert_eq!(status, 200);
    for method in ["PUT", "MKCOL", "LOCK"] {
        let body = if method == "LOCK" { lock_info("exclusive", "") } else { String::new() };
        assert_eq!(host.call(method, "/dav/a/new", &[], &body).await.status, 423, "{method}");
    }
    assert_eq!(host.call("DELETE", "/dav/a/old", &[], "").await.status, 423);
    assert_eq!(host.call("PUT", "/dav/a/old", &[], "changed").await.status, 204, "no member more");
    let sent = format!("<http://localhost/dav/a> ({token})");
    assert_eq!(host.call("DELETE", "/dav/a/old", &[("if", &sent)], "").await.status, 204);
    // What is below a folder is locked with it, and so the folder can't be removed.
    let (_, below) = host.lock("/dav/b", &[], "exclusive").await;
    assert_eq!(host.call("DELETE", "/dav/", &[("if", &sent)], "").await.status, 423);
    // Its locks go with what is removed.
    let sent = format!("({below})");
    assert_eq!(host.call("DELETE", "/dav/b", &[("if", &sent)], "").await.status, 204);
    assert_eq!(host.call("PUT", "/dav/b", &[], "").await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_ends_after_an_hour_at_most_and_earlier_if_asked() {
    let host = Host::new();
    host.file("a");
    for (asked, given) in [
        ("Second-60", "Second-60"),
        ("Infinite", "Second-3600"),
        ("Infinite, Second-4100000000", "Second-3600"),
        ("Extend, Second-30", "Second-30"),
        ("Second-99999999999999999999", "Second-3600"),
        ("soon", "Second-3600"),
        ("Second-0", "Second-0"),
    ] {
        let headers = [("timeout", asked)];
        let answer = host.call("LOCK", "/dav/a", &headers, &lock_info("exclusive", "")).await;
        assert_eq!(answer.status, 200, "{asked}");
        assert!(answer.body.contains(&format!("timeout>{given}<")), "{asked}: {}", answer.body);
        let token = answer.headers["lock-token"].to_str().unwrap();
        host.call("UNLOCK", "/dav/a", &[("lock-token", token)], "").await;
    }
    // One that is over is not there any more.
    let (_, token) = host.lock("/dav/a", &[("timeout", "Second-0")], "exclusive").await;
    let sent = format!("({token})");
    assert_eq!(host.call("LOCK", "/dav/a", &[("if", &sent)], "").await.status, 412);
    assert_eq!(host.call("PUT", "/dav/a", &[("if", &sent)], "late").await.status, 412);
    assert_eq!(host.call("PUT", "/dav/a", &[], "free").await.status, 204);
    // One that is refreshed has a new end.
    let (_, token) = host.lock("/dav/a", &[("timeout", "Second-60")], "exclusive").await;
    let headers = [("if", &*format!("({token})")), ("timeout", "Second-900")];
    let answer = host.call("LOCK", "/dav/a", &headers, "").await;
    assert_eq!(answer.status, 200);
    assert!(answer.body.contains("timeout>Second-900<"), "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_has_a_limited_number_of_locks_and_each_a_limited_owner() {
    let host = Host::new();
    let mut tokens = Vec::new();
    for n in 0..100 {
        let (status, token) = host.lock(&format!("/dav/{n}"), &[], "exclusive").await;
        assert_eq!(status, 201);
        tokens.push(token);
    }
    assert_eq!(host.lock("/dav/more", &[], "exclusive").await.0, 507);
    assert_eq!(host.read("more"), None);
    let sent = format!("({})", tokens[7]);
    let refreshed = host.call("LOCK", "/dav/7", &[("if", &sent)], "").await;
    assert_eq!(refreshed.status, 200, "refreshing needs no room");
    assert_eq!(host.call("UNLOCK", "/dav/7", &[("lock-token", &tokens[7])], "").await.status, 204);
    assert_eq!(host.lock("/dav/more", &[("timeout", "Second-0")], "exclusive").await.0, 201);
    assert_eq!(host.lock("/dav/more", &[], "exclusive").await.0, 200, "the other one is over");

    let large = lock_info("exclusive", &"<a/>".repeat(1_500));
    assert_eq!(host.call("LOCK", "/dav/large", &[], &large).await.status, 413);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locks_owner_is_shown_as_it_was_written() {
    let host = Host::new();
    host.file("a");
    let body = "<lockinfo xmlns=\"DAV:\"><lockscope><exclusive/></lockscope><locktype><write/>\
                </locktype><owner><href>mailto:a&amp;b@example</href> \
                <x:name xmlns:x=\"urn:x\" x:is=\"1\">Älice &lt;3</x:name></owner></lockinfo>";
    assert_eq!(host.call("LOCK", "/dav/a", &[], body).await.status, 200);
    let asked = "<propfind xmlns=\"DAV:\"><prop><lockdiscovery/></prop></propfind>";
    let answer = host.call("PROPFIND", "/dav/a", &[("depth", "0")], asked).await;
    for part in ["mailto:a&amp;b@example", "xmlns:x=\"urn:x\"", "is=\"1\"", "Älice &lt;3</x:name>"]
    {
        assert!(answer.body.contains(part), "{part}: {}", answer.body);
    }
}
