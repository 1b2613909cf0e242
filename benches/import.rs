//! Measures what tokens of other systems cost beside a token of ours: at their first use, when the
//! old hash is computed and replaced, and at every later one.
//!
//! `cargo bench --bench import [WORD…]` prints the lines that hold one of the words, or all. It
//! uses an SQLite file, and a PostgreSQL server of its own if that is installed.

mod harness;

use std::cell::Cell;
use std::hint::black_box;
use std::time::{Duration, Instant};

use app_tokens::import::{
    Argon2, Bcrypt, Blake3, Foreign, ForeignSecret, ForeignToken, Forgejo, Import, InvalidKept,
    Jwt, Pbkdf2, Plain, Sha256, Sha512, Uuid,
};
use app_tokens::store::{SqliteStore, TokenStore};
use app_tokens::{
    Access, Attributes, KeyRing, NewToken, Operator, Origin, Owner, Policy, Requirement,
    TokenAuthority,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Digest as _;
use tokio::runtime::{Builder, Runtime};

use harness::{Table, ToReach, median};
use support::postgres::Server;

/// How many tokens of a scheme are in use.
const COUNT: usize = 64;
/// How many first uses are timed.
const FIRST_USES: usize = 9;
const SIGNING_KEY: &str = "a signing key of thirty-two bytes";

/// What a holder presents, and what the old system kept.
struct Old {
    owner: Owner,
    text: String,
    secret: ForeignSecret,
}

/// A scheme, and how to make a token that the old system keeps by it. The second argument is false
/// if a slow hash may be a cheap one, as only the later uses are timed.
struct Scheme {
    name: &'static str,
    import: Import,
    old: Box<dyn Fn(usize, bool) -> Old>,
}

fn main() {
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let here = Builder::new_current_thread().enable_all().build().unwrap();
    let table = Table::new("tokens of other systems / a token of ours");
    measure(&table, &here, "SQLite", SqliteStore::open(folder.path().join("app.db")).unwrap());
    let Some(server) = Server::start_durable() else { return };
    // The connections live on the thread that waits for them.
    let database = here.block_on(server.database());
    measure(&table, &here, "PostgreSQL", here.block_on(database.store()));
}

fn measure<S: TokenStore>(table: &Table, here: &Runtime, store_name: &str, store: S) {
    let keys = format!("{},{}", KeyRing::new_text().unwrap(), KeyRing::new_import_text().unwrap());
    let policy = Policy::new("acme").unwrap().with_no_limit_per_owner().with_open_import();
    let tokens = TokenAuthority::new(store, KeyRing::parse(&keys).unwrap(), policy);
    let issue = |number| {
        let new = NewToken::new(format!("user-{number}"), "My phone", Access::full());
        here.block_on(tokens.issue(new)).unwrap().expose_secret().to_owned()
    };
    let ours: Vec<String> = (0..COUNT).map(issue).collect();
    let present_ours = |text: &String| {
        let caller = here.block_on(tokens.authenticate(text)).unwrap();
        caller.require(Requirement::ANY_VALID_TOKEN).unwrap().id()
    };
    // A row with the two more texts that an imported token's row has.
    let what = format!("{store_name}, a token of ours with an attribute, issued by an operator");
    if table.wants(&what) {
        let issue = |number| {
            let attributes = Attributes::new().with("ticket", "OPS-1234 00000000 0123456789ab");
            let new = NewToken::new(format!("old-{number}"), "CI", Access::full())
                .attributes(attributes.unwrap())
                .issued_by(&Operator::new("bench").unwrap());
            here.block_on(tokens.issue(new)).unwrap().expose_secret().to_owned()
        };
        let with_more: Vec<String> = (0..COUNT).map(issue).collect();
        let (with_more, plain) = (in_turn(&with_more, present_ours), in_turn(&ours, present_ours));
        table.compare(&what, ToReach::Told, with_more, plain);
    }
    for Scheme { name, import, old } in schemes() {
        let imported = |number, is_real| {
            let Old { owner, text, secret } = old(number, is_real);
            let token = ForeignToken::new(secret, &owner, "CI", Access::full());
            let operator = Operator::new("bench").unwrap();
            here.block_on(tokens.import(&operator, &import, token)).unwrap();
            (owner, text)
        };
        let present = |(owner, text): &(Owner, String)| {
            let presented = tokens.authenticate_with(&import, Some(owner), text, Origin::unknown());
            let caller = here.block_on(presented).unwrap();
            caller.require(Requirement::ANY_VALID_TOKEN).unwrap().id()
        };
        let what = format!("{store_name}, {name}: first use");
        if table.wants(&what) {
            let first = (0..FIRST_USES).map(|number| imported(COUNT + number, true));
            let first = median(first.map(|old| nanoseconds(|| present(&old))));
            let floor = median(ours.iter().map(|text| nanoseconds(|| present_ours(text))));
            table.line(&what, first, floor, first / floor, ToReach::Told);
        }
        let what = format!("{store_name}, {name}: later uses");
        if table.wants(&what) {
            let old: Vec<_> = (0..COUNT).map(|number| imported(number, false)).collect();
            for old in &old {
                present(old);
            }
            let goal = ToReach::AtMost(1.05);
            table.compare(&what, goal, in_turn(&old, present), in_turn(&ours, present_ours));
        }
    }
}

fn nanoseconds<T>(once: impl FnOnce() -> T) -> f64 {
    let start = Instant::now();
    black_box(once());
    start.elapsed().as_nanos() as f64
}

/// Makes a side that calls `once` with one of these after the other.
fn in_turn<T, R>(all: &[T], once: impl Fn(&T) -> R) -> impl FnMut(u32) -> Duration {
    let next = Cell::new(0);
    harness::timed(move || {
        next.set((next.get() + 1) % all.len());
        once(&all[next.get()])
    })
}

fn schemes() -> Vec<Scheme> {
    let salt = STANDARD_NO_PAD.encode([7; 16]);
    let argon2_salt = salt.clone();
    vec![
        scheme("SHA-256 of 112 bits", Sha256::with_at_least_112_bits(), |scheme, text, _, _| {
            scheme.secret_bytes(&sha2::Sha256::digest(text))
        }),
        scheme("SHA-256", Sha256::of_unknown_strength(), |scheme, text, _, _| {
            scheme.secret_bytes(&sha2::Sha256::digest(text))
        }),
        scheme("Nextcloud", Sha512::of_nextcloud("1f4h9s"), |scheme, text, _, _| {
            let hash = sha2::Sha512::digest([text, "1f4h9s"].concat());
            scheme.secret(&hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
        }),
        scheme("BLAKE3", Blake3::of_unknown_strength(), |scheme, text, _, _| {
            scheme.secret_bytes(blake3::hash(text.as_bytes()).as_bytes())
        }),
        scheme("plain", Plain::of_unknown_strength(), |scheme, text, _, _| scheme.secret(text)),
        scheme("Nuxeo", Uuid::v4(), |scheme, text, _, _| scheme.secret(text)),
        scheme(
            "PowerShell Universal",
            Jwt::of_powershell_universal(SIGNING_KEY).unwrap(),
            |scheme, text, _, _| scheme.secret(text),
        ),
        scheme("Forgejo", Forgejo::new(), |scheme, text, _, _| {
            let mut hash = [0; 50];
            pbkdf2::pbkdf2_hmac::<sha2::Sha256>(text.as_bytes(), b"QuSiZr1byZ", 10_000, &mut hash);
            let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
            scheme.secret(&hash, "QuSiZr1byZ", &text[32..])
        }),
        scheme(
            "OpenCloud, Argon2id of 64 MiB",
            Argon2::by_owner(),
            move |scheme, text, owner, is_real| {
                let memory = if is_real { 65_536 } else { 64 };
                let parameters = argon2::Params::new(memory, 1, 2, Some(32)).unwrap();
                let (algorithm, version) = (argon2::Algorithm::Argon2id, argon2::Version::V0x13);
                let argon2 = argon2::Argon2::new(algorithm, version, parameters);
                let mut hash = [0; 32];
                argon2.hash_password_into(text.as_bytes(), &[7; 16], &mut hash).unwrap();
                let hash = STANDARD_NO_PAD.encode(hash);
                let start = format!("$argon2id$v=19$m={memory},t=1,p=2");
                scheme.secret(&format!("{start}${argon2_salt}${hash}"), owner)
            },
        ),
        scheme(
            "OpenCloud, bcrypt of cost 11",
            Bcrypt::by_owner(),
            |scheme, text, owner, is_real| {
                let hash = bcrypt::hash(text, if is_real { 11 } else { 4 }).unwrap();
                scheme.secret(&hash, owner)
            },
        ),
        scheme(
            "PBKDF2 of 600,000 iterations",
            Pbkdf2::by_owner(),
            move |scheme, text, owner, is_real| {
                let iterations = if is_real { 600_000 } else { 1 };
                let mut hash = [0; 32];
                let password = text.as_bytes();
                pbkdf2::pbkdf2_hmac::<sha2::Sha256>(password, &[7; 16], iterations, &mut hash);
                let hash = STANDARD_NO_PAD.encode(hash);
                scheme.secret(&format!("$pbkdf2-sha256$i={iterations}${salt}${hash}"), owner)
            },
        ),
    ]
}

fn scheme<F: Foreign + Clone>(
    name: &'static str,
    scheme: F,
    secret: impl Fn(&F, &str, &Owner, bool) -> Result<ForeignSecret, InvalidKept> + 'static,
) -> Scheme {
    let import = Import::new().scheme(scheme.clone());
    let old = Box::new(move |number, is_real| {
        let owner = Owner::new(format!("old-{number}")).unwrap();
        let text = text(name, number);
        let secret = secret(&scheme, &text, &owner, is_real).unwrap();
        Old { owner, text, secret }
    });
    Scheme { name, import, old }
}

/// Makes a text such as the old system issued.
fn text(scheme: &str, number: usize) -> String {
    let bytes = sha2::Sha256::digest(format!("{scheme} {number}"));
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    match scheme {
        "Forgejo" => hex[..40].to_owned(),
        "Nuxeo" => {
            let parts = [&hex[..8], &hex[8..12], &hex[12..15], &hex[15..18], &hex[18..30]];
            format!("{}-{}-4{}-8{}-{}", parts[0], parts[1], parts[2], parts[3], parts[4])
        }
        "PowerShell Universal" => {
            // As long as the samples of its documentation.
            let claims = format!("{{\"hash\":\"{hex}\",\"name\":\"{:x<400}\"}}", "admin");
            let parts = [r#"{"alg":"HS256","typ":"JWT"}"#, &claims];
            let [header, claims] = parts.map(|part| URL_SAFE_NO_PAD.encode(part));
            let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SIGNING_KEY.as_bytes()).unwrap();
            mac.update(format!("{header}.{claims}").as_bytes());
            format!("{header}.{claims}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
        }
        _ => hex[..40].to_owned(),
    }
}
