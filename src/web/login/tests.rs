use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::accounts::AccountsError;
use super::*;
use crate::access::Access;
use crate::event::Event;
use crate::issue::{IssuedToken, NewToken};
use crate::key_ring::KeyRing;
use crate::store::MemoryStore;
use crate::text::{Operator, Owner, Reason};

mod handed_on;

type Log = Arc<Mutex<Vec<String>>>;

fn note(log: &Log, line: String) {
    log.lock().unwrap_or_else(PoisonError::into_inner).push(line);
}

/// Knows the login names Alice and Bob, with the account ids `u1` and `u2`. It records what it is
/// asked.
#[derive(Clone)]
struct TwoAccounts {
    asked: Log,
    disabled: &'static str,
    broken: bool,
}

impl Accounts for TwoAccounts {
    async fn owner_of(&self, name: &str) -> Result<Option<Owner>, AccountsError> {
        note(&self.asked, format!("owner of {name}"));
        match name {
            _ if self.broken => Err("no route to host".into()),
            "Alice" => Ok(Some(Owner::new("u1")?)),
            "Bob" => Ok(Some(Owner::new("u2")?)),
            _ => Ok(None),
        }
    }

    async fn is_active(&self, owner: &Owner) -> Result<bool, AccountsError> {
        note(&self.asked, format!("is active {owner}"));
        if self.broken {
            return Err("no route to host".into());
        }
        Ok(owner.as_str() != self.disabled)
    }
}

struct World {
    login: Login<MemoryStore, TwoAccounts>,
    token: IssuedToken,
    asked: Log,
    told: Log,
}

impl World {
    fn new() -> World {
        World::with("nobody", false)
    }

    /// Makes a login, and issues a token of Alice.
    fn with(disabled: &'static str, broken: bool) -> World {
        let (asked, told) = (Log::default(), Log::default());
        let log = told.clone();
        let policy = Policy::new("acme").unwrap();
        let tokens = TokenAuthority::builder(
            MemoryStore::new(),
            KeyRing::ephemeral().unwrap(),
            policy.with_recorded_origin(),
        )
        .observer(move |event: &Event<'_>| {
            if let Event::Denied { reason, address, client, .. } = event {
                note(&log, format!("{reason:?} {address:?} {client:?}"));
            }
        })
        .build();
        let token =
            tokens.block_on(tokens.issue(NewToken::new("u1", "My phone", Access::full()))).unwrap();
        let accounts = TwoAccounts { asked: asked.clone(), disabled, broken };
        World { login: Login::new(tokens, accounts), token, asked, told }
    }

    fn text(&self) -> &str {
        self.token.expose_secret()
    }

    async fn send(&self, header: &str) -> Result<Authenticated, Refusal> {
        self.login.enter([("Authorization", header.as_bytes())], Origin::unknown()).await
    }

    async fn basic(&self, user: &str, secret: &str) -> Result<Authenticated, Refusal> {
        let header = format!("Basic {}", STANDARD.encode(format!("{user}:{secret}")));
        self.send(&header).await
    }

    async fn bearer(&self, secret: &str) -> Result<Authenticated, Refusal> {
        self.send(&format!("Bearer {secret}")).await
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    fn told(&self) -> Vec<String> {
        std::mem::take(&mut *self.told.lock().unwrap())
    }

    /// Checks that the outcome is this denial, and that only this event was emitted.
    #[track_caller]
    fn denies(&self, outcome: &Result<Authenticated, Refusal>, reason: DenialReason) {
        let Err(Refusal::Denied(denied)) = outcome else { panic!("{outcome:?}") };
        assert_eq!(denied.reason(), reason);
        assert_eq!(self.told(), [format!("{reason:?} None None")]);
    }
}

#[track_caller]
fn is_alices(outcome: Result<Authenticated, Refusal>) {
    assert_eq!(outcome.unwrap().record().owner().as_str(), "u1");
}

#[tokio::test]
async fn a_good_token_enters_under_its_owners_name_and_under_none() {
    let world = World::new();
    is_alices(world.basic("Alice", world.text()).await);
    assert_eq!(world.asked(), ["owner of Alice", "is active u1"]);
    is_alices(world.bearer(world.text()).await);
    is_alices(world.basic("", world.text()).await);
    assert_eq!(world.asked(), ["is active u1", "is active u1"]);
    assert!(world.told().is_empty());
}

#[tokio::test]
async fn a_good_token_under_another_name_is_denied_whether_there_is_such_an_account_or_not() {
    let world = World::new();
    for name in ["Bob", "Mallory", "u1", "alice", "Alice ", " Alice", "Alicе", "*", "\u{feff}"] {
        let outcome = world.basic(name, world.text()).await;
        world.denies(&outcome, DenialReason::OtherOwner);
        assert_eq!(world.asked(), [format!("owner of {name}"), String::from("is active u1")]);
    }
}

#[tokio::test]
async fn a_disabled_owner_is_denied_on_every_way_in() {
    let world = World::with("u1", false);
    for user in ["Alice", ""] {
        world.denies(&world.basic(user, world.text()).await, DenialReason::OwnerTurnedAway);
    }
    for scheme in ["Bearer", "token"] {
        let outcome = world.send(&format!("{scheme} {}", world.text())).await;
        world.denies(&outcome, DenialReason::OwnerTurnedAway);
    }
    // Also with the name of another owner, so that nothing depends on the order of the questions.
    world.denies(&world.basic("Bob", world.text()).await, DenialReason::OwnerTurnedAway);
}

#[tokio::test]
async fn an_owner_who_is_turned_away_has_not_used_the_token() {
    let world = World::with("u1", false);
    world.bearer(world.text()).await.unwrap_err();
    world.basic("Bob", world.text()).await.unwrap_err();
    let view =
        world.login.tokens().find(&Operator::new("test").unwrap(), world.token.id()).await.unwrap();
    assert!(view.last_use().is_none());
}

#[tokio::test]
async fn the_accounts_are_not_asked_about_a_token_that_is_no_good() {
    let world = World::new();
    let other = World::new();
    world.denies(&world.basic("Alice", other.text()).await, DenialReason::Unknown);
    let by = &Operator::new("test").unwrap();
    world.login.tokens().revoke(by, world.token.id(), Reason::LEAKED).await.unwrap();
    world.denies(&world.basic("Alice", world.text()).await, DenialReason::Revoked);
    world.denies(&world.bearer(world.text()).await, DenialReason::Revoked);
    world.basic("Alice", "hunter2").await.unwrap_err();
    world.basic("Alice", "").await.unwrap_err();
    assert!(world.asked().is_empty());
}

#[tokio::test]
async fn accounts_that_fail_are_a_failure_and_no_denial() {
    let world = World::with("nobody", true);
    for outcome in [world.basic("Alice", world.text()).await, world.bearer(world.text()).await] {
        assert!(matches!(outcome, Err(Refusal::Accounts(_))), "{outcome:?}");
    }
    assert!(world.told().is_empty());
}

#[tokio::test]
async fn a_password_is_not_ours_and_not_told() {
    let world = World::new();
    for password in ["hunter2", "", "acme_", "acme_hunter2", "a b c", "пароль"] {
        let outcome = world.basic("Alice", password).await;
        assert!(matches!(outcome, Err(Refusal::NotOurs)), "{outcome:?}");
    }
    assert!(world.told().is_empty());
}

#[tokio::test]
async fn a_mistyped_token_is_denied_and_never_not_ours() {
    let world = World::new();
    let text = world.text();
    let id = &text[..15];
    for mistyped in [
        &text[..text.len() - 1],
        &text[..30],
        &format!("{text}a"),
        &format!("{text}!"),
        &format!("{text}{text}"),
        &format!("{id}u{}", &text[16..]),
        &format!("{id}é{}", &text[16..]),
        &format!("{id}--{}", &text[15..]),
        &format!("{id}_{}", &text[15..]),
        &format!("\"{text}\""),
        &format!("token {text}"),
        &format!("{text}{}", " ".repeat(200)),
    ] {
        let outcome = world.basic("Alice", mistyped).await;
        world.denies(&outcome, DenialReason::Mistyped);
    }
    assert!(world.asked().is_empty());
}

#[tokio::test]
async fn a_token_typed_by_hand_enters() {
    let world = World::new();
    let digits: Vec<char> = world.text()[5..].chars().collect();
    let groups: Vec<String> = digits.chunks(5).map(String::from_iter).collect();
    is_alices(world.basic("Alice", &format!(" ACME_{} ", groups.join(" "))).await);
    is_alices(world.bearer(&format!("acme_{}", groups.join("-"))).await);
}

#[tokio::test]
async fn a_token_that_was_read_from_a_file_with_its_line_end_enters() {
    let mut world = World::new();
    let text = world.text().to_owned();
    for end in ["\n", "\r\n", "\t", " \n"] {
        is_alices(world.basic("Alice", &format!("{text}{end}")).await);
        is_alices(world.basic("", &format!("{end}{text}{end}")).await);
    }
    assert!(world.told().is_empty());
    world.login = world.login.accept(Accept::token_as_user_name);
    is_alices(world.basic(&format!("{text}\n"), "\n").await);
}

#[tokio::test]
async fn no_token_in_the_user_name_reaches_the_accounts_or_an_event() {
    let World { login, token, asked, told } = World::new();
    let text = token.expose_secret().to_owned();
    let lenient = login.clone().accept(|accept| accept.token_as_user_name().bare_token());
    for login in [login, lenient] {
        let world =
            World { login, token: World::new().token, asked: asked.clone(), told: told.clone() };
        let body = &text[5..];
        let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        for name in [
            &*text,
            &text.to_uppercase(),
            &text[..40],
            body,
            &format!("{text}0"),
            &format!("acme-{body}@host"),
            &format!("acme-{body}@{}.example.com", "host".repeat(20)),
            &format!("{}{body}", "x".repeat(20)),
            &format!("{body}{}", "x".repeat(200)),
            &format!("firstname.lastname@example.com+{}", body.to_uppercase()),
            &STANDARD.encode(&text),
            &STANDARD.encode(body),
            &STANDARD.encode(format!("alice:{text}")),
            &STANDARD.encode(STANDARD.encode(&text)),
            &format!("alice+{}", STANDARD.encode(&text).trim_end_matches('=')),
            &hex,
            &text.replace('_', "%5F"),
        ] {
            for secret in [&*text, "x", world.text()] {
                let _ = world.basic(name, secret).await;
            }
        }
        let asked = world.asked();
        assert!(asked.iter().all(|line| line == "is active u1"), "{asked:?}");
        assert!(world.told().is_empty());
    }
}

#[tokio::test]
async fn a_token_as_user_name_and_a_bare_one_enter_only_where_the_host_says_so() {
    let mut world = World::new();
    let text = world.text().to_owned();
    assert!(world.basic(&text, "x-oauth-basic").await.is_err());
    assert!(world.send(&text).await.is_err());
    assert!(world.basic("__token__", &text).await.is_err());
    let accept = |accept: Accept| accept.token_as_user_name().bare_token().placeholder("__token__");
    world.login = world.login.accept(accept);
    is_alices(world.basic(&text, "x-oauth-basic").await);
    is_alices(world.send(&text).await);
    is_alices(world.basic("__token__", &text).await);
    world.told();
    let mistyped =
        format!("{}{}", &text[..text.len() - 1], if text.ends_with('0') { 1 } else { 0 });
    let outcome = world.basic(&mistyped, "").await;
    world.denies(&outcome, DenialReason::Mistyped);
    let outcome = world.send(&mistyped).await;
    world.denies(&outcome, DenialReason::Mistyped);
}

#[tokio::test]
async fn nothing_sent_is_no_attempt() {
    let world = World::new();
    let nothing = world.login.enter([], Origin::unknown()).await;
    assert!(matches!(nothing, Err(Refusal::NoCredentials)), "{nothing:?}");
    assert!(matches!(world.send("").await, Err(Refusal::NoCredentials)));
    assert!(world.told().is_empty() && world.asked().is_empty());
}

#[tokio::test]
async fn a_denial_tells_from_where() {
    let world = World::with("u1", false);
    let origin = Origin::unknown().address("192.0.2.7".parse().unwrap()).client("rclone");
    let header = format!("Bearer {}", world.text());
    let headers = [("authorization", header.as_bytes())];
    world.login.enter(headers, origin).await.unwrap_err();
    assert_eq!(world.told(), ["OwnerTurnedAway Some(192.0.2.7) Some(\"rclone\")"]);
}

#[test]
fn the_realm_shown_is_the_policys_or_another_and_never_an_illegal_one() {
    let login = World::new().login;
    let shown = |login: &Login<_, _>| login.answer(&Refusal::NoCredentials).headers[1].1.clone();
    assert_eq!(shown(&login), r#"Bearer realm="acme""#);
    for bad in ["", "a\"b", "a\r\nb", "é"] {
        assert_eq!(login.clone().with_realm(bad).err(), Some(PolicyError::Realm));
    }
    assert_eq!(shown(&login.with_realm("Acme Cloud").unwrap()), r#"Bearer realm="Acme Cloud""#);
}

#[test]
fn debug_shows_no_accounts() {
    let shown = format!("{:?}", World::new().login);
    assert!(shown.starts_with("Login") && !shown.contains("disabled"), "{shown}");
}

#[tokio::test]
async fn a_door_without_headers_decides_as_basic_does() {
    let world = World::new();
    let (text, other) = (world.text(), World::new());
    let short = &text[..text.len() - 1];
    for name in ["Alice", "Bob", "Mallory", "", "a\tb", text, "_"] {
        for secret in [
            text,
            short,
            other.text(),
            "hunter2",
            "a\0b",
            &format!("{text}\r\n"),
            &text.to_uppercase(),
        ] {
            let by_header = world.basic(name, secret).await;
            let (asked, told) = (world.asked(), world.told());
            let by_door = world.login.enter_with(Some(name), secret, Origin::unknown()).await;
            assert_eq!(format!("{by_door:?}"), format!("{by_header:?}"), "{name} {secret}");
            assert_eq!((world.asked(), world.told()), (asked, told));
        }
    }
    is_alices(world.login.enter_with(None, text, Origin::unknown()).await);
    // A name with a colon can't be sent by Basic.
    let outcome = world.login.enter_with(Some("a:b"), text, Origin::unknown()).await;
    assert!(matches!(outcome, Err(Refusal::Denied(_))));
    let outcome = world.login.enter_with(Some("Alice"), "", Origin::unknown()).await;
    assert!(matches!(outcome, Err(Refusal::NoCredentials)));
}

#[test]
fn scripts_get_no_challenge_only_where_the_host_says_so() {
    let script = [("sec-fetch-mode", b"cors".as_slice())];
    let page = [("sec-fetch-mode", b"navigate".as_slice())];
    let challenges = |login: &Login<_, _>, headers| {
        let answer = login.answer_to(&Refusal::NotOurs, headers);
        assert_eq!(answer.status, 401);
        answer.headers.iter().filter(|(name, _)| *name == "www-authenticate").count()
    };
    let login = World::new().login;
    assert_eq!((challenges(&login, script), challenges(&login, page)), (2, 2));
    let login = login.without_challenges_for_scripts();
    assert_eq!((challenges(&login, script), challenges(&login, page)), (0, 2));
    let login = login.challenges(Challenges::Basic);
    assert_eq!((challenges(&login, script), challenges(&login, page)), (0, 1));
}
