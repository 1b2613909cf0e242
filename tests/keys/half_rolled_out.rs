//! A key that not every host has yet. The host that lacks it answers 503 and never 401, so that no
//! client forgets its token.

use app_tokens::error::{AuthError, Failed, IssueError};
use app_tokens::import::{
    Foreign, ForeignSecret, ForeignText, ForeignToken, Import, Imported, InvalidKept, Lookup,
    Plain, Sha256,
};
use app_tokens::record::{KeyId, StatusUnclear};
use app_tokens::store::MemoryStore;
use app_tokens::web::{Login, NamesAreOwners};
use app_tokens::{
    Access, IssuedToken, KeyRing, NewToken, Origin, Reason, Rotation, TokenAuthority, TokenId,
};
use base64::Engine as _;
use support::text::same_id_other_secret;

use super::common::*;

const IMPORT: &str = "import:gICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIE=";

type Tokens = TokenAuthority<MemoryStore>;

/// Makes a host over a store. The ring's keys are in the order of `keys`, as `"2,1"`.
fn host(store: &MemoryStore, keys: &str) -> Tokens {
    let entry = |key: &str| match key {
        "1" => KEYS.to_owned(),
        "2" => OTHER_KEYS.to_owned(),
        "import" => IMPORT.to_owned(),
        other => panic!("no key {other}"),
    };
    let text: Vec<String> = keys.split(',').map(entry).collect();
    bench_with_ring(store.clone(), KeyRing::parse(&text.join(",")).unwrap(), policy()).tokens
}

/// Returns the status that a client gets, by each way in. All ways must agree.
fn status(tokens: &Tokens, import: &Import, text: &str) -> u16 {
    let login = Login::new(tokens.clone(), NamesAreOwners(|name| name == "alice"));
    let login = login.with_import(import);
    let basic = base64::prelude::BASE64_STANDARD.encode(format!("alice:{text}"));
    let [basic, bearer] = [format!("Basic {basic}"), format!("Bearer {text}")];
    let mut entered = vec![wait(login.enter_with(Some("alice"), text, Origin::unknown()))];
    entered.push(wait(login.enter([("authorization", basic.as_bytes())], Origin::unknown())));
    // A scheme that looks for tokens by their owner needs a name.
    if ![SLOW, OTHER].contains(&text) {
        entered.push(wait(login.enter([("authorization", bearer.as_bytes())], Origin::unknown())));
    }
    let statuses: Vec<u16> = entered
        .into_iter()
        .map(|entered| {
            let Err(refusal) = entered else { return 200 };
            let answer = login.answer(&refusal);
            let asks = answer.headers.iter().any(|(name, _)| *name == "www-authenticate");
            assert_eq!(
                asks,
                answer.status == 401,
                "a client asks for another password: {answer:?}"
            );
            answer.status
        })
        .collect();
    assert!(statuses.iter().all(|status| *status == statuses[0]), "{statuses:?}");
    statuses[0]
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    TokenAuthority::in_memory("acme").unwrap().block_on(future)
}

/// Checks that the host lacks the key of a token: 503 by a login, and a failure that names it.
#[track_caller]
fn assert_lacks(tokens: &Tokens, text: &str, key: u32) {
    let alice = owner("alice");
    let import = schemes();
    let mut checked = vec![
        wait(tokens.authenticate_with(&import, Some(&alice), text, Origin::unknown())).map(drop),
    ];
    if text.starts_with("acme_") {
        checked.push(wait(tokens.authenticate(text)).map(drop));
        checked.push(wait(tokens.examine(text)).map(drop));
    }
    let key = StatusUnclear::KeyMissing(KeyId::new(key).unwrap());
    for checked in checked {
        match checked {
            Err(AuthError::Failed(Failed::Unclear(why))) => assert_eq!(why, key),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(status(tokens, &import, text), 503);
}

#[track_caller]
fn assert_good(tokens: &Tokens, text: &str) {
    assert_eq!(status(tokens, &schemes(), text), 200);
}

fn issue(tokens: &Tokens, label: &str) -> IssuedToken {
    wait(tokens.issue(NewToken::new("alice", label, Access::full()))).unwrap()
}

#[test]
fn a_token_under_a_key_that_a_host_lacks_is_503_there_until_the_host_has_it() {
    let store = MemoryStore::new();
    let [forgotten, prepared] = ["1", "1,2"].map(|keys| host(&store, keys));
    let [before, moved, rotated, revoked, untouched] =
        ["before", "moved", "rotated", "revoked", "untouched"]
            .map(|label| issue(&forgotten, label));
    // One host was turned too early.
    let turned = host(&store, "2,1");
    let after = issue(&turned, "after");
    wait(turned.rename(&ops(), moved.id(), "Renamed")).unwrap();
    let successor = wait(turned.rotate(&ops(), rotated.id(), Rotation::new())).unwrap();
    wait(turned.rename(&ops(), revoked.id(), "Renamed")).unwrap();
    wait(turned.revoke(&ops(), revoked.id(), Reason::REQUESTED)).unwrap();

    for lost in [&after, &moved, &successor] {
        assert_lacks(&forgotten, lost.expose_secret(), 2);
        assert_good(&prepared, lost.expose_secret());
        assert_good(&turned, lost.expose_secret());
    }
    for kept in [&before, &untouched] {
        for host in [&forgotten, &prepared, &turned] {
            assert_good(host, kept.expose_secret());
        }
    }
    // Nothing needs a key to say these.
    for host in [&forgotten, &prepared, &turned] {
        assert_eq!(status(host, &schemes(), revoked.expose_secret()), 401);
        let other_secret = same_id_other_secret(after.expose_secret());
        assert_eq!(status(host, &schemes(), &other_secret), 401);
    }
    // It works on with what it can prove, and a new process of it issues nothing.
    let restarted = host(&store, "1");
    let refused = wait(restarted.issue(NewToken::new("alice", "x", Access::full())));
    assert!(matches!(refused, Err(IssueError::Failed(_))), "{refused:?}");
    assert_lacks(&restarted, after.expose_secret(), 2);
    // What the reseal moves is lost there as well, and nothing else.
    assert!(wait(turned.reseal()).unwrap().left.is_empty());
    assert_lacks(&forgotten, untouched.expose_secret(), 2);

    // The roll-out is completed.
    for keys in ["1,2", "2,1", "2"] {
        let whole = host(&store, keys);
        for token in [&before, &moved, &successor, &untouched, &after] {
            assert_good(&whole, token.expose_secret());
        }
    }
}

#[test]
fn a_key_taken_out_too_early_is_503_and_the_tokens_are_good_once_it_is_back() {
    let store = MemoryStore::new();
    let token = issue(&host(&store, "1"), "phone");
    let too_early = host(&store, "2");
    assert_lacks(&too_early, token.expose_secret(), 1);
    let report = wait(too_early.reseal()).unwrap();
    assert_eq!((report.moved, report.left.len(), report.tampered.len()), (0, 1, 0));
    assert_lacks(&too_early, token.expose_secret(), 1);
    assert_good(&host(&store, "2,1"), token.expose_secret());
}

// -- imported tokens

/// A slow scheme that keeps the text, and finds it by its owner.
struct Slow;

impl Foreign for Slow {
    fn name(&self) -> &str {
        "slow"
    }
    fn lookups(&self, presented: &ForeignText<'_>) -> Vec<Lookup> {
        presented.owner().map(Lookup::of_owner).into_iter().collect()
    }
    fn verify(&self, kept: &[u8], text: &str) -> Result<bool, InvalidKept> {
        Ok(kept == text.as_bytes())
    }
    fn is_slow(&self) -> bool {
        true
    }
    fn needs_owner(&self) -> bool {
        true
    }
}

fn schemes() -> Import {
    Import::new()
        .scheme(Sha256::with_at_least_112_bits())
        .scheme(Plain::of_unknown_strength())
        .scheme(Slow)
}

const STRONG: &str = "a-strong-text-of-an-old-system";
const PLAIN: &str = "hunter2hunter2";
const SLOW: &str = "slow passphrase";
/// A text that was not imported, such as the user's main password.
const OTHER: &str = "another text";

/// Imports one token of each scheme: digests of scheme 3, of scheme 2, and of scheme 3 again.
fn import(tokens: &Tokens) -> [TokenId; 3] {
    use sha2::Digest as _;
    let hash: String =
        sha2::Sha256::digest(STRONG).iter().map(|byte| format!("{byte:02x}")).collect();
    let slow = ForeignSecret::hash(&Slow, Lookup::of_owner(&owner("alice")), SLOW).unwrap();
    [
        Sha256::with_at_least_112_bits().secret(&hash).unwrap(),
        Plain::of_unknown_strength().secret(PLAIN).unwrap(),
        slow,
    ]
    .map(|secret| {
        let token = ForeignToken::new(secret, "alice", "Old", Access::full());
        match wait(tokens.import(&operator("root"), &schemes(), token)).unwrap() {
            Imported::Done(id) => id,
            other => panic!("{other:?}"),
        }
    })
}

const TEXTS: [&str; 3] = [STRONG, PLAIN, SLOW];

#[test]
fn imported_tokens_under_a_key_that_a_host_lacks_are_503_there_until_the_host_has_it() {
    let store = MemoryStore::new();
    let [forgotten, turned] = ["1,import", "2,1,import"].map(|keys| host(&store, keys));
    import(&turned);
    // Before their first use and after it, when their digests are of other schemes. Then the host
    // can't tell a text that was not imported from the slow one, whose digest needs the key.
    for of_others in [401, 503] {
        TEXTS.iter().for_each(|text| assert_lacks(&forgotten, text, 2));
        assert_eq!(status(&forgotten, &schemes(), OTHER), of_others);
        TEXTS.iter().for_each(|text| assert_good(&turned, text));
        assert_eq!(status(&turned, &schemes(), OTHER), 401);
    }
    let whole = host(&store, "1,2,import");
    TEXTS.iter().for_each(|text| assert_good(&whole, text));
}

#[test]
fn a_digest_of_the_old_key_is_503_where_that_key_went_too_early_and_good_after_its_next_use() {
    let store = MemoryStore::new();
    let [old, turned, too_early] =
        ["1,import", "2,1,import", "2,import"].map(|keys| host(&store, keys));
    import(&old);
    // The reseal moves the rows whose digests need no key.
    let report = wait(turned.reseal()).unwrap();
    assert_eq!((report.moved, &report.left[..]), (2, &[(KeyId::new(1).unwrap(), 1)][..]));
    assert_lacks(&too_early, PLAIN, 1);
    assert_good(&too_early, STRONG);
    assert_good(&too_early, SLOW);
    assert!(wait(turned.may_retire(KeyId::new(1).unwrap())).is_err());

    assert_good(&turned, PLAIN);
    wait(turned.may_retire(KeyId::new(1).unwrap())).unwrap();
    TEXTS.iter().for_each(|text| assert_good(&too_early, text));
    TEXTS.iter().for_each(|text| assert_good(&turned, text));
    assert_lacks(&old, PLAIN, 2);
}

#[test]
fn a_host_without_the_import_key_answers_503_to_foreign_texts_and_lets_ours_in() {
    let store = MemoryStore::new();
    let [with, without] = ["1,import", "1"].map(|keys| host(&store, keys));
    import(&with);
    let ours = issue(&with, "phone");
    for text in [STRONG, PLAIN, SLOW, OTHER] {
        assert_eq!(status(&without, &schemes(), text), 503);
    }
    assert_good(&without, ours.expose_secret());
    TEXTS.iter().for_each(|text| assert_good(&with, text));
}
