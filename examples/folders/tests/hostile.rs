//! Requests that no client sends by itself.

mod common;

use common::Host;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_moved_or_copied_onto_the_root_or_onto_what_holds_it() {
    let host = Host::new();
    for folder in ["a", "a/b"] {
        std::fs::create_dir(host.home.path().join("files").join(folder)).unwrap();
    }
    host.file("a/b/c");
    for method in ["COPY", "MOVE"] {
        for (from, to) in [
            ("/dav/a/b/c", "/dav/"),
            ("/dav/a/b/c", "/dav"),
            ("/dav/a/b/c", "//dav//"),
            ("/dav/a/b/c", "/dav/x/.."),
            ("/dav/a/b/c", "/d%61v/"),
            ("/dav/a/", "http://localhost/dav/"),
            ("/dav/a/b/c", "/dav/a"),
            ("/dav/a/b/c", "/dav/a/b/"),
            ("/dav/a/b", "/dav/a/b/"),
            ("/dav/", "/dav/"),
        ] {
            let headers = [("destination", to), ("host", "localhost")];
            let answer = host.call(method, from, &headers, "").await;
            assert_eq!(answer.status, 403, "{method} {from} {to}");
        }
    }
    // A folder can't be moved into itself, and doing so removes nothing there.
    let answer = host.call("MOVE", "/dav/a", &[("destination", "/dav/a/b")], "").await;
    assert_eq!(answer.status, 403);
    assert_eq!(host.read("a/b/c").unwrap(), "a/b/c");
    // What only begins like the space is outside of it.
    for outside in ["/davx", "/da", "/", "/other"] {
        let answer = host.call("COPY", "/dav/a/b/c", &[("destination", outside)], "").await;
        assert_eq!(answer.status, 502, "{outside}");
    }
    let answer = host.call("COPY", "/dav/a/b/c", &[("destination", "/dav/d")], "").await;
    assert_eq!(answer.status, 201);
    assert_eq!(host.read("d").unwrap(), "a/b/c");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_whose_numbers_are_too_large_is_not_calculated_with() {
    let host = Host::new();
    host.file("a");
    let max = u64::MAX;
    for range in [
        format!("bytes=0-{max}"),
        format!("bytes=1-{max}"),
        format!("bytes={max}-"),
        format!("bytes=-{max}"),
        format!("bytes=0-0,0-{max}"),
        format!("bytes=0-0, 1-+{max}"),
        "bytes=0-99999999999999999999999".into(),
    ] {
        let answer = host.call("GET", "/dav/a", &[("range", &range)], "").await;
        assert_eq!((answer.status, &*answer.body), (200, "a"), "{range}");
    }
    // The largest number that clients use for "to the end" is no trouble.
    let range = format!("bytes=0-{}", i64::MAX);
    let answer = host.call("GET", "/dav/a", &[("range", &range)], "").await;
    assert_eq!((answer.status, &*answer.body), (206, "a"));

    for range in [
        format!("bytes 0-{max}/*"),
        format!("bytes 1-{max}/{max}"),
        format!("bytes {max}-{max}/*"),
        format!("bytes {}-{}/*", i64::MAX, i64::MAX),
    ] {
        let answer = host.call("PUT", "/dav/a", &[("content-range", &range)], "x").await;
        assert_eq!(answer.status, 416, "{range}");
    }
    for range in [format!("bytes=0-{max}"), format!("bytes={max}-"), format!("bytes=-{max}")] {
        let headers = [
            ("x-update-range", &*range),
            ("content-type", "application/x-sabredav-partialupdate"),
            ("content-length", "1"),
        ];
        let answer = host.call("PATCH", "/dav/a", &headers, "x").await;
        assert_eq!(answer.status, 416, "{range}");
    }
    assert_eq!(host.read("a").unwrap(), "a");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_that_can_not_be_read_is_refused() {
    let host = Host::new();
    host.file("a");
    for (name, value) in [
        ("if", "<"),
        ("if", "<http://localhost/dav/a"),
        ("if", "(<urn:x"),
        ("if", "(["),
        ("if", "([\"a]"),
        ("if", "([\"])"),
        ("if", "(<urn:x>) ([\"a\""),
        ("if", "<http://localhost/with space> (<urn:x>)"),
        ("if-match", "\""),
        ("if-match", "\"a\", \""),
        ("if-match", "W/\""),
        ("if-none-match", "\"a,\",b\""),
        ("if-range", "\""),
        ("if-range", "W/\""),
    ] {
        for method in ["GET", "PUT", "LOCK", "DELETE"] {
            let answer = host.call(method, "/dav/a", &[(name, value)], "").await;
            assert_eq!(answer.status, 400, "{method} {name}: {value}");
        }
    }
    assert_eq!(host.read("a").unwrap(), "a");
    for (name, value, status) in [
        ("if-none-match", "\"a\", \"b\"", 200),
        ("if-match", "\"a\"", 412),
        ("if", "(Not <DAV:no-lock>)", 200),
        ("if", "(<urn:x> [\"a b\"])", 400),
    ] {
        let answer = host.call("GET", "/dav/a", &[(name, value)], "").await;
        assert_eq!(answer.status, status, "{name}: {value}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_byte_is_written_behind_the_end_of_a_file() {
    let host = Host::new();
    host.file("a");
    let length = host.read("a").unwrap().len();
    let partial = ("content-type", "application/x-sabredav-partialupdate");
    for (method, range, headers) in [
        ("PATCH", "x-update-range", [("x-update-range", "bytes=1099511627776-"), partial]),
        ("PUT", "content-range", [("content-range", "bytes 2-2/*"), ("x-other", "x")]),
    ] {
        let headers = [&headers[..], &[("content-length", "1")]].concat();
        let answer = host.call(method, "/dav/a", &headers, "x").await;
        assert_eq!(answer.status, 416, "{range}");
        assert_eq!(host.read("a").unwrap(), "a", "{range}");
    }
    let range = format!("bytes={length}-");
    let headers = [("x-update-range", &*range), partial, ("content-length", "1")];
    assert_eq!(host.call("PATCH", "/dav/a", &headers, "x").await.status, 204);
    assert_eq!(host.read("a").unwrap(), "ax", "at its end it goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_reads_no_more_than_the_memory_has_room_for() {
    let host = Host::new();
    let file = |name: &str| host.home.path().join("files").join(name);
    let event = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nEND:VCALENDAR\r\n";
    std::fs::write(file("event"), event).unwrap();
    let report = |names: &[&str]| {
        let hrefs: String =
            names.iter().map(|name| format!("<d:href>/dav/{name}</d:href>")).collect();
        format!(
            "<c:calendar-multiget xmlns:d=\"DAV:\" xmlns:c=\"urn:ietf:params:xml:ns:caldav\">\
             <d:prop><c:calendar-data/></d:prop>{hrefs}</c:calendar-multiget>"
        )
    };
    let answer = host.call("REPORT", "/dav/", &[], &report(&["event", "event"])).await;
    assert_eq!(answer.status, 207);
    assert_eq!(answer.body.matches("END:VCALENDAR").count(), 2, "{}", answer.body);

    // Longer than any memory. Room for it would end the process.
    std::fs::File::create(file("long")).unwrap().set_len(1 << 43).unwrap();
    assert_eq!(host.call("REPORT", "/dav/", &[], &report(&["event", "long"])).await.status, 507);
    // And a file that has room, named again and again.
    std::fs::write(file("again"), "x".repeat(1_000_000)).unwrap();
    let answer = host.call("REPORT", "/dav/", &[], &report(&["again"; 40])).await;
    assert_eq!(answer.status, 507);
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_are_never_so_deep_that_walking_through_them_ends_the_process() {
    let host = Host::new();
    let path = |root: &str, depth: usize| format!("/dav/{root}{}", "/x".repeat(depth));
    for depth in 0..2000 {
        let answer = host.call("MKCOL", &path("a", depth), &[], "").await;
        if answer.status != 201 {
            assert_eq!((answer.status, depth), (414, 100));
            break;
        }
    }
    assert_eq!(host.call("PUT", &path("a", 100), &[], "x").await.status, 414);
    // Neither a copy nor a move makes a tree deeper, nor removes what it would replace.
    std::fs::create_dir_all(host.home.path().join("files/b/c")).unwrap();
    host.file("b/c/kept");
    for method in ["MOVE", "COPY"] {
        let into = [("destination", "/dav/b/c")];
        assert_eq!(host.call(method, "/dav/a", &into, "").await.status, 414, "{method}");
        assert_eq!(host.read("b/c/kept").unwrap(), "b/c/kept", "{method}");
        let into = [("destination", "/dav/b")];
        let answer = host.call(method, "/dav/a/x", &into, "").await;
        assert_eq!(answer.status, 204, "{method}: there is room");
        let back = [("destination", "/dav/a/x")];
        assert!([201, 204].contains(&host.call(method, "/dav/b", &back, "").await.status));
        std::fs::create_dir_all(host.home.path().join("files/b/c")).unwrap();
        host.file("b/c/kept");
    }
    // Another program's folders may be deeper. A hundred of them are looked at.
    let deep = format!("files/deep{}", "/x".repeat(1500));
    std::fs::create_dir_all(host.home.path().join(&deep)).unwrap();
    let all = [("depth", "infinity"), ("x-litmus", "all")];
    assert_eq!(host.call("PROPFIND", "/dav/deep", &all, "").await.status, 207);
    assert_eq!(host.call("DELETE", "/dav/deep", &[], "").await.status, 207);
    assert!(host.home.path().join(&deep).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folders_links_lead_to_its_members_with_and_without_a_slash_behind_it() {
    let host = Host::new();
    std::fs::create_dir(host.home.path().join("files/a:b c")).unwrap();
    host.file("a:b c/d e");
    for (path, link) in [
        ("/dav/a:b%20c/", "href=\"d%20e\""),
        ("/dav/a:b%20c", "href=\"./a:b%20c/d%20e\""),
        ("/dav", "href=\"./dav/a%3Ab%20c/\""),
        ("/dav/", "href=\"a%3Ab%20c/\""),
    ] {
        let list = host.call("GET", path, &[], "").await.body;
        assert!(list.contains(link), "{path}: {list}");
    }
}
