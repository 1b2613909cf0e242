//! The host's accounts, which are asked about every good token.

use app_tokens::web::{Accounts, AccountsError, Login, TokenLayer};
use app_tokens::{Access, NewToken, Owner};

use super::*;

/// Accounts that let all owners in but one, and fail for another.
pub(crate) struct Doorman;

impl Accounts for Doorman {
    async fn owner_of(&self, name: &str) -> Result<Option<Owner>, AccountsError> {
        match name {
            "down" => Err("no route to host".into()),
            name => Ok(Owner::new(name).ok()),
        }
    }

    async fn is_active(&self, owner: &Owner) -> Result<bool, AccountsError> {
        match owner.as_str() {
            "offline" => Err("no route to host".into()),
            owner => Ok(owner != "disabled"),
        }
    }
}

#[tokio::test]
async fn a_disabled_owner_is_refused_like_a_revoked_token() {
    let tokens = tokens();
    let app = routes().layer(TokenLayer::new(Login::new(tokens.clone(), Doorman)));
    let issued = tokens.issue(NewToken::new("disabled", "My phone", Access::full())).await.unwrap();
    is_refused(&get_with(&app, "/", &basic("disabled", issued.expose_secret())).await);
    is_refused(&get_with(&app, "/", &bearer(issued.expose_secret())).await);
}

#[tokio::test]
async fn failing_accounts_are_503_and_clients_keep_the_token() {
    let tokens = tokens();
    let app = routes().layer(TokenLayer::new(Login::new(tokens.clone(), Doorman)));
    let alices = issue(&tokens);
    let offline = tokens.issue(NewToken::new("offline", "My phone", Access::full())).await.unwrap();
    for header in [
        basic("down", alices.expose_secret()),
        basic("offline", offline.expose_secret()),
        basic("alice", offline.expose_secret()),
        bearer(offline.expose_secret()),
    ] {
        let reply = get_with(&app, "/", &header).await;
        is(&reply, 503, "App tokens can't be checked right now. Try again.\n");
        assert!(reply.challenges().is_empty());
    }
}
