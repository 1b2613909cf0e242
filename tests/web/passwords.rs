//! The host's own passwords beside tokens.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use app_tokens::web::{AccountsError, Credentials, TokenLayer};
use app_tokens::{Origin, Reason};

use super::*;

/// Makes an app with another way in. That way accepts Alice's password `hunter2`, fails for `fail`,
/// and records what it is asked.
fn app_with_passwords(tokens: &Tokens) -> (Router, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    let layer = TokenLayer::new(login(tokens)).or_else(move |login: Credentials<'static>, _| {
        log.lock().unwrap().push(format!("{:?} {}", login.user(), login.expose_secret()));
        async move {
            match (login.user(), login.expose_secret()) {
                (_, "fail") => Err(AccountsError::from("no route to host")),
                (Some("alice"), "hunter2") => Ok(Some(SignedIn("alice"))),
                _ => Ok(None),
            }
        }
    });
    (routes().layer(layer), asked)
}

#[tokio::test]
async fn a_password_enters_by_the_hosts_other_way_and_is_no_token() {
    let tokens = tokens();
    let (app, _) = app_with_passwords(&tokens);
    let header = basic("alice", "hunter2");
    let reply = get_with(&app, "/in", &header).await;
    is(&reply, 200, "signed in: Some(\"alice\"), token: false, header: false");
    is(
        &get_with(&app, "/", &header).await,
        401,
        "No app token was sent. Send one by Basic or Bearer.\n",
    );
    is_refused(&get_with(&app, "/in", &basic("alice", "hunter3")).await);
    is_refused(&get_with(&app, "/in", &basic("bob", "hunter2")).await);
}

#[tokio::test]
async fn the_other_way_that_fails_is_503() {
    let (app, _) = app_with_passwords(&tokens());
    let reply = get_with(&app, "/in", &basic("alice", "fail")).await;
    is(&reply, 503, "App tokens can't be checked right now. Try again.\n");
    assert!(reply.challenges().is_empty() && reply.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn a_token_that_is_denied_or_mistyped_never_falls_through_to_the_other_way() {
    let tokens = tokens();
    let (app, asked) = app_with_passwords(&tokens);
    let issued = issue(&tokens);
    let text = issued.expose_secret();
    is(&get_with(&app, "/", &basic("alice", text)).await, 200, "alice reads");
    is_refused(&get_with(&app, "/", &basic("bob", text)).await);
    for at in 5..text.len() {
        for wrong in ["", "0", "1", "u", "!", "__"] {
            let mistyped = format!("{}{wrong}{}", &text[..at], &text[at + 1..]);
            if mistyped != text {
                is_refused(&get_with(&app, "/", &basic("alice", &mistyped)).await);
            }
        }
    }
    tokens.revoke(&operator("test"), issued.id(), Reason::REQUESTED).await.unwrap();
    is_refused(&get_with(&app, "/", &basic("alice", text)).await);
    assert!(asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn bad_credentials_never_fall_through_to_the_other_way() {
    let (app, asked) = app_with_passwords(&tokens());
    for header in ["", "Basic !!", "Bearer a b", "Digest x", &basic("alice", "a\nb")] {
        assert!(matches!(get_with(&app, "/", header).await.status, 400 | 401));
    }
    assert_eq!(call(&app, request("GET", "/", None)).await.status, 401);
    assert!(asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_other_way_and_the_report_of_a_refusal_get_the_origin_as_the_host_reads_it() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (asked, refused) = (heard.clone(), heard.clone());
    let note = |what: &str, origin: Origin<'_>| {
        format!("{what} {:?} {:?}", origin.known_address(), origin.known_client())
    };
    let layer = TokenLayer::new(login(&tokens()))
        .origin(|request| {
            let client = request.headers["user-agent"].to_str().unwrap();
            Origin::from(IpAddr::from([192, 0, 2, 7])).client(client)
        })
        .or_else(move |_: Credentials<'static>, origin: Origin<'_>| {
            asked.lock().unwrap().push(note("asked", origin));
            async { Ok(None::<SignedIn>) }
        })
        .on_refusal(move |_, origin, refusal| {
            refused.lock().unwrap().push(note(&refusal.to_string(), origin));
        });
    let mut request = request("GET", "/", Some(&basic("alice", "hunter2")));
    request.headers_mut().insert("user-agent", "rclone\t1.60".parse().unwrap());
    is_refused(&call(&routes().layer(layer), request).await);
    let from = "Some(192.0.2.7) Some(\"rclone1.60\")";
    let said = [format!("asked {from}"), format!("not a token of this service {from}")];
    assert_eq!(*heard.lock().unwrap(), said);
}
