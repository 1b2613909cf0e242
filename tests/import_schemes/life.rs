//! What must hold for each case on each store.

use std::sync::{Arc, Mutex};

use app_tokens::clock::ManualClock;
use app_tokens::error::{AuthError, DenialReason, IssueError};
use app_tokens::event::Event;
use app_tokens::import::{ForeignToken, Import, Imported};
use app_tokens::store::TokenStore;
use app_tokens::{
    Access, KeyRing, Operator, Origin, Owner, Policy, Reason, Requirement, Timestamp,
    TokenAuthority, TokenId,
};

use crate::cases::{Case, Expected};

const KEYS: &str = "1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// An authority with an import key, and what it reported.
pub struct Host<S> {
    pub tokens: TokenAuthority<S>,
    pub clock: ManualClock,
    pub events: Arc<Mutex<Vec<String>>>,
}

impl<S: TokenStore> Host<S> {
    pub fn over(store: S) -> Host<S> {
        let keys = format!("{KEYS},{}", KeyRing::new_import_text().unwrap());
        let policy = Policy::new("acme").unwrap().with_open_import();
        let events = Arc::new(Mutex::new(Vec::new()));
        let heard = events.clone();
        let clock = ManualClock::at(Timestamp::from_unix(1_800_000_000).unwrap());
        let tokens = TokenAuthority::builder(store, KeyRing::parse(&keys).unwrap(), policy)
            .clock(clock.clone())
            .observer(move |event: &Event<'_>| {
                let text = format!("{event:?}");
                let kind = text.split([' ', '{']).next().unwrap_or_default().to_owned();
                heard.lock().unwrap().push(kind);
            })
            .build();
        Host { tokens, clock, events }
    }

    /// Imports the row of a case.
    pub async fn import(&self, case: &Case) -> Result<Imported, IssueError> {
        let token = ForeignToken::new(case.secret().unwrap(), &case.owner, "CI", Access::full());
        self.tokens.import(&operator(), &case.import, token).await
    }

    /// Presents a text, with the case's owner as the user.
    pub async fn present(&self, case: &Case, text: &str) -> Result<TokenId, AuthError> {
        self.present_to(&case.import, Some(&case.owner), text).await
    }

    pub async fn present_to(
        &self,
        import: &Import,
        owner: Option<&Owner>,
        text: &str,
    ) -> Result<TokenId, AuthError> {
        let good = self.tokens.authenticate_with(import, owner, text, Origin::unknown()).await?;
        Ok(good.require(Requirement::ANY_VALID_TOKEN).unwrap().id())
    }

    /// Returns how often an event was reported.
    pub fn count(&self, kind: &str) -> usize {
        self.events.lock().unwrap().iter().filter(|heard| *heard == kind).count()
    }

    /// Returns the scheme of a row's digest: 3 if it still has what the old system kept.
    pub async fn digest_scheme(&self, id: TokenId) -> u8 {
        let row = self.tokens.store().find(id).await.unwrap().unwrap();
        row.record().unwrap().digest().scheme()
    }
}

pub fn operator() -> Operator {
    Operator::new("ops").unwrap()
}

/// A token is imported, let in, taken over once, and let in again; no other text ever is.
pub async fn runs_its_course<S: TokenStore>(store: S, case: &Case) {
    let name = &case.name;
    if case.expected == Expected::Refused {
        assert!(case.secret().is_err(), "{name} should be refused");
        return;
    }
    let host = Host::over(store);
    // What can't be imported matches nothing either, such as a JWT with another signature.
    if case.expected == Expected::NotOurs && case.secret().is_err() {
        assert_not_ours(&host, case, &case.text).await;
        return;
    }
    let id = match host.import(case).await {
        Ok(Imported::Done(id)) => id,
        other => panic!("{name} is not imported: {other:?}"),
    };
    assert_eq!(host.import(case).await.unwrap(), Imported::AlreadyThere(id), "{name}");
    if case.expected == Expected::NotOurs {
        // A text that is like this one may be the right one.
        assert_not_ours(&host, case, &case.text).await;
        return;
    }
    assert_no_other_text(&host, case).await;
    let took_over = usize::from(host.digest_scheme(id).await == 3);
    for use_number in 1..=3 {
        let presented = host.present(case, &case.text).await;
        assert_eq!(presented.expect(name), id, "{name} {use_number}");
        assert!(matches!(host.digest_scheme(id).await, 1 | 2), "{name} has its old hash");
        assert_eq!(host.count("TakenOver"), took_over, "{name} {use_number}");
    }
    assert_no_other_text(&host, case).await;
    assert_eq!(host.import(case).await.unwrap(), Imported::AlreadyThere(id), "{name}");
    assert_eq!(host.count("Imported"), 1, "{name}");
    end(&host, case, id).await;
}

/// A token that is revoked before its first use never gets in, whatever is run again.
pub async fn stays_revoked<S: TokenStore>(store: S, case: &Case) {
    let host = Host::over(store);
    let Ok(Imported::Done(id)) = host.import(case).await else { panic!("{}", case.name) };
    end(&host, case, id).await;
    assert_eq!(host.count("TakenOver"), 0, "{}", case.name);
}

/// Revokes the token, and runs the import again.
async fn end<S: TokenStore>(host: &Host<S>, case: &Case, id: TokenId) {
    assert_eq!(host.tokens.revoke(&operator(), id, Reason::REQUESTED).await.unwrap(), 1);
    for _ in 0..2 {
        let Err(AuthError::Denied(denied)) = host.present(case, &case.text).await else {
            panic!("{} is revoked", case.name)
        };
        assert_eq!(denied.reason(), DenialReason::Revoked, "{}", case.name);
        assert_eq!(host.import(case).await.unwrap(), Imported::AlreadyThere(id), "{}", case.name);
        host.tokens.purge().await.unwrap();
    }
}

async fn assert_no_other_text<S: TokenStore>(host: &Host<S>, case: &Case) {
    let texts = others(&case.text);
    // One slow check is as good as eight.
    for text in &texts[..if case.is_slow { 2 } else { texts.len() }] {
        assert_not_ours(host, case, text).await;
    }
}

async fn assert_not_ours<S: TokenStore>(host: &Host<S>, case: &Case, text: &str) {
    match host.present(case, text).await {
        Err(AuthError::NotOurs(_)) => {}
        other => panic!("{} of {}: {other:?}", text.len(), case.name),
    }
}

/// Returns texts that a careless comparison would take for this one.
fn others(text: &str) -> Vec<String> {
    let middle = text.chars().count() / 2;
    let swap = |character| if character == 'e' { 'f' } else { 'e' };
    let changed = |place| {
        let change =
            |(number, character)| if number == place { swap(character) } else { character };
        text.chars().enumerate().map(change).collect::<String>()
    };
    let mut others = vec![
        changed(middle),
        format!("{text} "),
        format!(" {text}"),
        changed(text.chars().count() - 1),
        text.trim().to_owned(),
        text.split_whitespace().collect(),
        text.chars().skip(1).collect(),
        format!("{text}\0"),
        format!("{text}{text}"),
        text.to_uppercase(),
        String::new(),
    ];
    // A Sanctum text without its first digit is the same one.
    others.retain(|other| other != text && !other.starts_with("2|"));
    others
}
