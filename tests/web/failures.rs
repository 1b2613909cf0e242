//! What clients see when the engine fails.

use app_tokens::store::SqliteStore;
use app_tokens::web::{Answer, Login, TokenLayer};
use app_tokens::{KeyRing, Policy, TokenAuthority};
use tempfile::TempDir;

use super::*;

/// Makes an authority, issues a token, and then drops the tables of its database.
async fn with_lost_tables() -> (TempDir, TokenAuthority<SqliteStore>, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret-name.db");
    let store = SqliteStore::open(&path).unwrap();
    let policy = Policy::new("acme").unwrap();
    let tokens = TokenAuthority::new(store, KeyRing::ephemeral().unwrap(), policy);
    let issued = tokens.issue(new_token("alice")).await.unwrap();
    let database = rusqlite::Connection::open(&path).unwrap();
    let names = "SELECT group_concat(name) FROM sqlite_schema WHERE type = 'table'";
    let names: String = database.query_row(names, [], |row| row.get(0)).unwrap();
    for name in names.split(',') {
        database.execute_batch(&format!("DROP TABLE \"{name}\"")).unwrap();
    }
    (folder, tokens, issued.expose_secret().to_owned())
}

#[tokio::test]
async fn a_store_that_fails_is_503_and_says_nothing_about_itself() {
    let (_folder, tokens, text) = with_lost_tables().await;
    let app = routes().layer(TokenLayer::new(Login::new(tokens, everybody())).optional());
    for header in [basic("alice", &text), bearer(&text)] {
        let reply = get_with(&app, "/", &header).await;
        is(&reply, 503, "App tokens can't be checked right now. Try again.\n");
        assert!(reply.challenges().is_empty() && reply.headers.contains_key("retry-after"));
    }
}

/// Fault 29.
#[tokio::test]
async fn a_store_failure_in_a_change_reveals_nothing_to_the_client() {
    let (_folder, tokens, _) = with_lost_tables().await;
    let error = tokens.issue(new_token("alice")).await.unwrap_err();
    assert!(error.to_string().contains("no such table"), "{error}");
    let answer = Answer::from(&error);
    assert_eq!((answer.status, answer.code), (503, "unavailable"));
    assert_eq!(answer.body, "App tokens can't be reached right now. Try again.\n");
}

/// Fault 29: after a lost key the error names another owner's token, and the key.
#[tokio::test]
async fn a_lost_key_reveals_no_other_owners_token_to_a_client() {
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let store = SqliteStore::open(folder.path().join("app.db")).unwrap();
        let policy = Policy::new("acme").unwrap();
        TokenAuthority::new(store, KeyRing::ephemeral().unwrap(), policy)
    };
    let bobs = open().issue(new_token("bob")).await.unwrap();
    let error = open().issue(new_token("alice")).await.unwrap_err();
    assert!(error.to_string().contains(&bobs.id().to_string()), "{error}");
    let answer = Answer::from(&error);
    assert!(!format!("{answer:?}").contains(&bobs.id().to_string()));
    assert!(!answer.body.contains(|c: char| c.is_ascii_digit()), "{}", answer.body);

    let app = routes().layer(TokenLayer::new(Login::new(open(), everybody())));
    let reply = get_with(&app, "/", &bearer(bobs.expose_secret())).await;
    is(&reply, 503, "App tokens can't be checked right now. Try again.\n");
}

#[tokio::test]
async fn an_answer_becomes_an_axum_response() {
    async fn act() -> Result<(), Answer> {
        Err(app_tokens::error::IssueError::LimitReached { limit: 7 })?
    }
    let app = Router::new().route("/", get(act));
    let reply = call(&app, request("GET", "/", None)).await;
    is(&reply, 409, "The limit is 7 app tokens. Revoke one first.\n");
    assert_eq!(reply.headers["cache-control"], "no-store");
}
