//! The administrators' page: who sees it, and whom it grants what.

mod common;

use common::{FORM, Place, Server, cookie};

/// Signs in by the page's form, and returns the cookie.
fn sign_in(server: &Server, name: &str) -> String {
    let form = format!("name={name}&password=test&to=/");
    let answer = server.request("POST", "/sign-in", &[FORM], &form);
    assert_eq!(answer.status, 303, "{}", answer.body);
    cookie(&answer)
}

fn once(page: &str) -> &str {
    value(page, "name=\"once\"")
}

/// Returns the value that follows this in a page.
fn value<'p>(page: &'p str, name: &str) -> &'p str {
    let rest = page.split_once(name).unwrap().1;
    rest.split_once("value=\"").unwrap().1.split('"').next().unwrap()
}

#[test]
fn the_form_begins_with_the_narrowest_role_and_about_a_year() {
    let place = Place::new();
    let server = place.start();
    let cookie = sign_in(&server, "jane");
    let page = &server.request("GET", "/admin/tokens", &[&cookie], "").body;
    let roles = page.split_once("id=\"g-role\"").unwrap().1;
    assert!(roles.split_once("<option>").unwrap().1.starts_with("Reader<"), "{roles}");
    let day = value(page, "name=\"date\"");
    let form = format!("once={}&identity=1&role=Reader&date={day}", once(page));
    server.request("POST", "/admin/tokens", &[&cookie, FORM], &form).is(200, "psu_");
    let program = server.sign_in("jane");
    let token = &server.request("GET", "/api/v1/apptoken", &[&program], "").json()[0];
    let at = |field: &str| token[field].as_str().unwrap().parse::<app_tokens::Timestamp>();
    let days = at("expiration").unwrap().since(at("created").unwrap()).as_secs() / 86_400;
    assert!((363..=365).contains(&days), "{days}");
}

#[test]
fn an_administrator_grants_by_the_identitys_role_and_a_token_is_made_once() {
    let place = Place::new();
    let server = place.start();
    let cookie = sign_in(&server, "admin");
    let page = server.request("GET", "/admin/tokens", &[&cookie], "");
    page.is(200, "App Tokens of all identities");
    let form = |once: &str, identity: u8, role: &str| {
        let form = format!("once={once}&identity={identity}&role={role}&date=2027-05-01");
        server.request("POST", "/admin/tokens", &[&cookie, FORM], &form)
    };
    let granted = form(once(&page.body), 2, "Operator");
    granted.is(200, "psu_");
    granted.is(200, "value=\"adam@ironmansoftware.onmicrosoft.com\"");
    form(once(&page.body), 2, "Operator").is(303, "");
    let page = server.request("GET", "/admin/tokens", &[&cookie], "");
    page.is(200, "adam@ironmansoftware.onmicrosoft.com");
    form(once(&page.body), 2, "Administrator").is(422, "doesn't have this role");
    let page = server.request("GET", "/admin/tokens", &[&cookie], "");
    form(once(&page.body), 5, "Reader").is(422, "Give it one first");
    let by_admin = server.sign_in("admin");
    let listed = server.request("GET", "/api/v1/apptoken", &[&by_admin], "").json();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(listed[0]["expiration"], "2027-05-01T23:59:59Z");
}

#[test]
fn the_page_for_all_exists_for_administrators_and_the_pages_own_form_makes_nothing() {
    let place = Place::new();
    let server = place.start();
    let reader = sign_in(&server, "reader");
    server.request("GET", "/admin/tokens", &[&reader], "").is(404, "no such page");
    server.request("GET", "/", &[&reader], "").is(200, "App Tokens");
    for (method, path) in [("GET", "/new"), ("POST", "/tokens")] {
        let answer = server.request(method, path, &[&reader, FORM], "label=x&access=Administrator");
        assert_eq!((answer.status, answer.header("location")), (303, Some("/grant")));
    }
    server.request("GET", "/grant", &[&reader], "").is(403, "An administrator grants");
    let admin = sign_in(&server, "jane");
    let answer = server.request("GET", "/grant", &[&admin], "");
    assert_eq!(answer.header("location"), Some("/admin/tokens#grant"));
}

#[test]
fn a_browsers_cookie_is_no_session_of_the_api_nor_the_other_way_round() {
    let place = Place::new();
    let server = place.start();
    let browser = sign_in(&server, "admin");
    assert_eq!(server.request("GET", "/api/v1/apptoken/grant", &[&browser], "").status, 401);
    assert_eq!(server.request("POST", "/api/v1/apptoken/grant", &[&browser], "").status, 401);
    let program = server.sign_in("admin");
    server.request("GET", "/admin/tokens", &[&program], "").is(200, "Main password");
}
