//! OpenCloud's document on App Tokens, acted out in its order. Each sentence stands above what
//! keeps it.

mod common;

use common::{Cloud, basic};

const ALICE: &str = "alice:her secret";

fn enters(cloud: &Cloud, name: &str, secret: &str) -> bool {
    cloud.dav("PROPFIND", "/dav/", &basic(&format!("{name}:{secret}"))) == 207
}

#[test]
fn the_document_step_by_step() {
    let data = tempfile::tempdir().unwrap();
    let cloud = Cloud::with_alice_and_bob(data.path());

    // "App Tokens allow you to connect external apps and services (such as WebDAV clients) without
    // using your main password." "You never need to expose your login password to third party
    // applications."
    assert!(!enters(&cloud, "alice", "her secret"));

    // "Go to the App Tokens section in your OpenCloud account settings. Click on “+ New” to create
    // a new token. Enter a name for the token (e.g., "WebDAV Client"). Select an expiration date
    // for added security. Click Confirm."
    let wish = r#"{"label": "WebDAV Client", "expires_in_days": 30}"#;
    let made = cloud.api(ALICE, "POST", "/api/tokens", wish);
    assert_eq!(made.status, 201);
    // "App tokens have a configurable expiry."
    let (created, expires) = (made.json()["created_at"].clone(), made.json()["expires_at"].clone());
    assert_ne!(created, expires);
    assert!(expires.is_string());
    let never = r#"{"label": "x", "expires_in_days": 0}"#;
    assert_eq!(cloud.api(ALICE, "POST", "/api/tokens", never).status, 400);

    // "Once the token is created, it will be shown only once. Copy it immediately and store it in a
    // secure place."
    let token = made.json()["token"].as_str().unwrap().to_owned();
    let id = made.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(made.header("cache-control"), Some("no-store"));
    let list = cloud.api(ALICE, "GET", "/api/tokens", "");
    assert!(list.body.contains("WebDAV Client") && !list.body.contains(&token), "{}", list.body);

    // "If you lose the token, you'll need to delete it and create a new one."
    let (second, other) = cloud.create(ALICE, r#"{"label": "WebDAV Client"}"#);
    assert_ne!((&second, &other), (&id, &token), "it can't be shown again, only made anew");

    // "You can now use the token in place of your password when connecting: WebDAV, External apps,
    // Third-party services."
    assert!(enters(&cloud, "alice", &token));
    let put = cloud.request("PUT", "/dav/a", &[&basic(&format!("alice:{token}"))], "text");
    assert_eq!(put.status, 201);

    // "The username is usually the same as the one you use for your regular login."
    assert!(!enters(&cloud, "bob", &token));
    assert!(!enters(&cloud, "Alice", &token));

    // "App Tokens allow third party applications to access all your data."
    for space in ["/dav/", "/calendars/", "/contacts/"] {
        let header = basic(&format!("alice:{token}"));
        assert_eq!(cloud.dav("PROPFIND", space, &header), 207, "{space}");
    }
    // "Make sure that you create individual App Tokens per application …"
    assert!(enters(&cloud, "alice", &other));

    // "If a token is no longer needed: Go back to the App Tokens section. Click the trash icon next
    // to the token to remove it." "This ensures unused tokens cannot be misused."
    assert_eq!(cloud.api(ALICE, "DELETE", &format!("/api/tokens/{id}"), "").status, 204);
    assert!(!enters(&cloud, "alice", &token));
    assert!(enters(&cloud, "alice", &other));
}
