//! A foreign token as the user name of `Basic`, beside no password.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use app_tokens::web::{Accept, Accounts, AccountsError, CredentialsError, Entry};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;

/// What clients send beside a token as user name; the last one is the token once more.
const BESIDE: [&str; 4] = ["", "x-oauth-basic", "x-oauth-basic\r\n", NEXTCLOUD.0];

/// Knows every account but `ghost`, and records whose name it was asked for.
#[derive(Clone, Default)]
struct Everybody(Arc<Mutex<Vec<String>>>);

impl Accounts for Everybody {
    async fn owner_of(&self, name: &str) -> Result<Option<Owner>, AccountsError> {
        self.0.lock().unwrap().push(name.to_owned());
        Ok(Owner::new(name).ok())
    }
    async fn is_active(&self, owner: &Owner) -> Result<bool, AccountsError> {
        Ok(owner.as_str() != "ghost")
    }
}

impl Everybody {
    fn names(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

type Gate = Login<Outside, Everybody>;

/// Returns a login that lets tokens be user names, and one that does not.
fn logins(bench: &Bench<Outside>, import: &Import) -> (Gate, Gate, Everybody) {
    let accounts = Everybody::default();
    let login = Login::new(bench.tokens.clone(), accounts.clone()).with_import(import);
    (login.clone().accept(Accept::token_as_user_name), login, accounts)
}

/// Logs in by `Basic`. What is handed on is written as `USER:PASSWORD`.
fn basic(login: &Gate, user: &str, password: &str) -> Result<Caller, Result<String, Refusal>> {
    let header = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
    let headers = [("authorization", header.as_bytes())];
    match wait(login.try_enter(headers, Origin::unknown())).map_err(Err)? {
        Entry::Token(token) => Ok(any(token)),
        Entry::NotOurs(sent) => {
            let user = sent.user().unwrap_or_default();
            Err(Ok(format!("{user}:{}", sent.expose_secret())))
        }
        other => panic!("{other:?}"),
    }
}

/// Logs in as a protocol without headers does.
fn plain(login: &Gate, user: &str, password: &str) -> Result<Caller, Refusal> {
    wait(login.enter_with(Some(user), password, Origin::unknown())).map(any)
}

#[test]
fn a_foreign_token_enters_as_user_name_if_the_host_accepts_tokens_there() {
    let bench = bench();
    let id = bench.imported(nextcloud_secret());
    let (login, _, accounts) = logins(&bench, &all_schemes());
    bench.enter("alice", NEXTCLOUD.0).unwrap();
    bench.heard.kinds();
    for password in BESIDE {
        assert_eq!(basic(&login, NEXTCLOUD.0, password).unwrap().id(), id, "{password:?}");
        assert_eq!(plain(&login, NEXTCLOUD.0, password).unwrap().id(), id, "{password:?}");
    }
    assert_eq!(accounts.names(), [""; 0]);
    assert_eq!(bench.heard.kinds(), [""; 0]);
}

#[test]
fn a_foreign_token_as_user_name_is_refused_if_the_host_accepts_none_there() {
    let bench = bench();
    bench.imported(nextcloud_secret());
    let (_, login, accounts) = logins(&bench, &all_schemes());
    let refused = CredentialsError::TokenAsUserName;
    for password in BESIDE {
        let entered = basic(&login, NEXTCLOUD.0, password);
        let is_refused =
            matches!(&entered, Err(Err(Refusal::Credentials(error))) if *error == refused);
        assert!(is_refused, "{password:?}: {entered:?}");
        let entered = plain(&login, NEXTCLOUD.0, password);
        let is_refused = matches!(&entered, Err(Refusal::Credentials(error)) if *error == refused);
        assert!(is_refused, "{password:?}: {entered:?}");
    }
    assert_eq!(accounts.names(), [""; 0]);
    assert_eq!(bench.heard.kinds(), ["Imported", "TakenOver"], "and it is no use");
}

#[test]
fn an_ended_or_turned_away_foreign_token_as_user_name_is_denied_and_told_once() {
    let bench = bench();
    let id = bench.imported(nextcloud_secret());
    let weak = Plain::of_unknown_strength().secret("of-a-ghost").unwrap();
    let of_ghost = ForeignToken::new(weak, "ghost", "Old", Access::full());
    assert!(matches!(bench.import(of_ghost), Imported::Done(_)));
    wait(bench.tokens.revoke(ops(), id, Reason::REQUESTED)).unwrap();
    let (login, without, accounts) = logins(&bench, &all_schemes());
    bench.heard.kinds();
    let is_denied = |login, text, reason| {
        for password in ["", "x-oauth-basic"] {
            match basic(login, text, password) {
                Err(Err(Refusal::Denied(denied))) => assert_eq!(denied.reason(), reason),
                other => panic!("{password:?}: {other:?}"),
            }
            let told = bench.heard.texts();
            assert!(!told.iter().any(|event| event.contains(text)), "{told:?}");
            let denials = told.iter().filter(|event| event.starts_with("Denied")).count();
            assert_eq!(denials, 1, "{told:?}");
        }
    };
    is_denied(&login, NEXTCLOUD.0, DenialReason::Revoked);
    is_denied(&without, NEXTCLOUD.0, DenialReason::Revoked);
    is_denied(&login, "of-a-ghost", DenialReason::OwnerTurnedAway);
    assert_eq!(accounts.names(), [""; 0]);
}

#[test]
fn a_user_name_that_is_no_foreign_token_goes_on_as_without_an_import() {
    let bench = bench();
    bench.imported(nextcloud_secret());
    let import = Import::new().scheme(nextcloud()).scheme(Plain::of_unknown_strength());
    let (login, without, accounts) = logins(&bench, &import);
    for login in [login, without] {
        for user in ["alice", "ghost", "aliceXk2mP-9fTbq-ZsWcR-7yHnD"] {
            for password in ["x-oauth-basic", user, "main password"] {
                let entered = basic(&login, user, password);
                let handed_on = format!("{user}:{password}");
                assert!(matches!(&entered, Err(Ok(sent)) if *sent == handed_on), "{entered:?}");
                let entered = plain(&login, user, password);
                assert!(matches!(entered, Err(Refusal::NotOurs)), "{entered:?}");
            }
            let entered = basic(&login, user, "");
            assert!(matches!(entered, Err(Err(Refusal::NotOurs))), "{entered:?}");
            let entered = plain(&login, user, " ");
            assert!(matches!(entered, Err(Refusal::NoCredentials)), "{entered:?}");
        }
        // Beside a token of another user the name is still a name.
        let entered = basic(&login, "bob", NEXTCLOUD.0);
        assert!(matches!(entered, Err(Err(Refusal::Denied(_)))), "{entered:?}");
        assert_eq!(accounts.names(), ["bob"]);
    }
}

/// A slow scheme that counts its checks. It finds a text by its owner, or by its last letter.
#[derive(Clone)]
struct Counting {
    by_owner: bool,
    checks: Arc<AtomicUsize>,
}

impl Foreign for Counting {
    fn name(&self) -> &str {
        "counting"
    }
    fn lookups(&self, presented: &ForeignText<'_>) -> Vec<Lookup> {
        match (self.by_owner, presented.owner(), presented.expose_secret().chars().last()) {
            (true, Some(owner), _) => vec![Lookup::of_owner(owner)],
            (false, _, Some(last)) => vec![Lookup::shared(last.to_string())],
            _ => Vec::new(),
        }
    }
    fn verify(&self, kept: &[u8], text: &str) -> Result<bool, InvalidKept> {
        self.checks.fetch_add(1, Ordering::Relaxed);
        Ok(kept == text.as_bytes())
    }
    fn is_slow(&self) -> bool {
        true
    }
    fn needs_owner(&self) -> bool {
        self.by_owner
    }
}

#[test]
fn user_names_and_passwords_of_one_look_up_are_held_back_by_one_brake() {
    let bench = bench();
    let scheme = Counting { by_owner: false, checks: Arc::default() };
    let lookup = Lookup::shared("7");
    bench.imported(ForeignSecret::hash(&scheme, lookup, "the token 7").unwrap());
    let (login, ..) = logins(&bench, &Import::new().scheme(scheme.clone()));
    for guess in 0..200 {
        let entered = basic(&login, &format!("name {guess} 7"), "x-oauth-basic");
        assert!(matches!(entered, Err(Ok(_))), "{entered:?}");
        let entered = basic(&login, "alice", &format!("password {guess} 7"));
        assert!(matches!(entered, Err(Ok(_))), "{entered:?}");
    }
    let entered = basic(&login, "name 7", "");
    assert!(matches!(entered, Err(Err(Refusal::Failed(Failed::ImportBusy)))), "{entered:?}");
    assert_eq!(scheme.checks.load(Ordering::Relaxed), 400);
}

#[test]
fn a_user_name_alone_costs_no_slow_check_of_its_owners_tokens() {
    let bench = bench();
    let scheme = Counting { by_owner: true, checks: Arc::default() };
    let lookup = Lookup::of_owner(&owner("alice"));
    bench.imported(ForeignSecret::hash(&scheme, lookup, "a passphrase").unwrap());
    let (login, _, accounts) = logins(&bench, &Import::new().scheme(scheme.clone()));
    for blank in ["", " ", "\r\n"] {
        let entered = basic(&login, "alice", blank);
        assert!(matches!(entered, Err(Err(Refusal::NotOurs))), "{entered:?}");
        let entered = plain(&login, "alice", blank);
        assert!(matches!(entered, Err(Refusal::NoCredentials)), "{entered:?}");
    }
    assert_eq!((scheme.checks.load(Ordering::Relaxed), accounts.names().len()), (0, 0));
    basic(&login, "alice", "a passphrase").unwrap();
}
