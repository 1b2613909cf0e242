//! Nextcloud's document on app passwords, acted out in its order. Each step's sentence stands above
//! what keeps it.

mod common;

use common::browser::{Browser, id_of, shown};
use common::{Answer, Cloud, basic};

const ALICE: &str = "alice:her secret";

/// Returns whether a device syncs files, calendars and contacts with this password.
fn syncs(cloud: &Cloud, password: &str) -> bool {
    let header = basic(&format!("alice:{password}"));
    let statuses = ["/remote.php/dav/files/alice/", "/calendars/", "/contacts/"]
        .map(|path| cloud.dav("PROPFIND", path, &header));
    assert!(statuses == [207; 3] || statuses == [401; 3], "{statuses:?}");
    statuses == [207; 3]
}

#[test]
fn the_document_step_by_step() {
    let data = tempfile::tempdir().unwrap();
    let cloud = Cloud::start(data.path(), &["--user", ALICE, "--wording", "nextcloud"]);

    // "An App Password is a password that grants a third-party app or device permission to access
    // your Cloud server account. App passwords are used in place of your W3C TAG account password
    // when you set up things like file, calendar, and contacts synchronization on your devices."
    let tablets = Browser::signed_in(&cloud, ALICE).create("My tablet", "everything");
    assert!(syncs(&cloud, &tablets));

    // "App passwords are the only way to grant third-party apps access to your Cloud server
    // account; the Cloud server will deny connections from apps attempting to use your W3C TAG
    // account password."
    assert!(!syncs(&cloud, "her secret"));

    // "You create and manage your own app passwords on the Cloud server using a web browser."
    // An app password makes and manages none.
    let with_token = cloud.api(&format!("alice:{tablets}"), "GET", "/api/tokens", "");
    assert_eq!(with_token.status, 401);

    // "1. Go to the W3C TAG Cloud server home page."
    let home = cloud.request("GET", "/", &[], "");
    assert_eq!(home.status, 200);
    // "2. If you're not already signed in, you'll be redirected to the Single Sign-On (SSO) page:
    // Enter your W3C TAG account credentials and click Log in."
    assert!(home.body.contains("password"), "{}", home.body);
    let browser = Browser::new(&cloud);
    assert_eq!(browser.sign_in("alice:wrong").status, 401);
    assert_eq!(browser.sign_in(ALICE).status, 303);

    // "3. In the web browser, click on your profile picture …, and choose Settings … 4. … click on
    // Security. 5. Scroll down to the section entitled Devices & sessions. This section displays a
    // list of currently and recently connected devices …"
    let settings = browser.get("/").body;
    assert!(settings.contains("Devices &amp; sessions"), "{settings}");
    assert!(settings.contains("My tablet") && settings.contains("Firefox on Linux"), "{settings}");

    // "6. To create an app password for your phone, click the App name field and enter a name like
    // My iPhone. The name can be anything; it's just a label …"
    // "7. Click the Create new app password button. Your W3C TAG account username and the
    // newly-generated app password will appear."
    let page = create(&browser, "My iPhone");
    assert!(page.body.contains("alice"), "{}", page.body);
    let phones = shown(&page);

    // "8. Copy the app password and store it somewhere safe …, along with your W3C TAG account
    // username. You'll need this username and password to configure any apps on your phone …"
    assert!(syncs(&cloud, &phones));
    assert!(!browser.get("/").body.contains(&phones), "it is shown once");

    // "9. Click the Done button. Now you can repeat the process to generate app passwords for other
    // devices, such as your laptop, tablet, and desktop computer."
    let laptops = shown(&create(&browser, "My laptop"));
    assert!(syncs(&cloud, &laptops));
    assert_ne!(laptops, phones);

    // "10. Finally, if any of your devices is ever lost or stolen, you can come back to this page
    // and revoke the app password for that device. No apps using the revoked password will be able
    // to access your Cloud server account."
    let revoke = format!("/tokens/{}/revoke", id_of(&phones));
    assert!(browser.get(&revoke).body.contains("My iPhone"), "it asks before");
    assert_eq!(browser.post(&revoke, &[]).status, 303);
    assert!(!syncs(&cloud, &phones));
    // "If you've created individual app passwords for each device, revoking one won't affect the
    // others."
    assert!(syncs(&cloud, &tablets) && syncs(&cloud, &laptops));
}

/// Sends the form that stands below the list.
fn create(browser: &Browser<'_>, label: &str) -> Answer {
    let once = browser.once("/");
    browser.post("/tokens", &[("label", label), ("access", "everything"), ("once", &once)])
}
