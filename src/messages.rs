//! Lists what every public error says, and what a client is answered, in `tests/messages.txt`.
//!
//! A reviewer reads them there side by side. This is a module of the crate and not a file of
//! `tests`, because only the crate may match a `#[non_exhaustive]` enum without `_`.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use support::messages::{Also, assert_listed, in_file};

use crate::access::{Missing, Network, Resource};
use crate::error::*;
use crate::import::{InvalidKept, InvalidSigningKey};
use crate::key::KeyId;
use crate::record::{InvalidActor, InvalidExpires, InvalidStatus, Status, StatusUnclear};
use crate::shapes::NotAPeriod;
use crate::store::{InvalidTableName, PostgresStoreError, SqliteStoreError, StoreError, TableName};
use crate::timestamp::Timestamp;
use crate::token::{InvalidPrefix, InvalidTokenId, ParseError, Prefix, TokenId};
use crate::transfer::{KeptAsIs, LeftBehind, TransferError, TransferKey};
use crate::view::CheckReport;
use crate::web::{Answer, Challenges, CredentialsError, Refusal, answer};

/// Files of texts that no public type has: findings, advice, and what a source's text begins with.
const OTHERS: &str = "\
    authority/issue.rs authority/replace.rs authority/reseal.rs \
    import/argon2.rs import/bcrypt.rs import/blake3.rs import/foreign.rs import/forgejo.rs \
    import/jwt.rs import/pbkdf2.rs import/plain.rs import/sha256.rs import/sha512.rs \
    import/uuid.rs key_ring.rs policy/shape.rs random.rs shapes.rs store/postgres/binding.rs \
    store/postgres/catalogue.rs store/postgres/error.rs store/postgres/statements.rs \
    store/postgres/transaction.rs store/row_bytes.rs store/sqlite/diagnose.rs \
    store/sqlite/error.rs store/sqlite/reader.rs store/sqlite/statements.rs \
    store/sqlite/transaction.rs store/sqlite/watch.rs store/sqlite/writer.rs tracing_observer.rs \
    upkeep.rs web/extract.rs web/layer.rs";

/// Adds a line for each variant of an error, and one for its answer, if clients get one.
///
/// It does not compile if a variant is not named.
macro_rules! list {
    (
        $lines:ident, $type:ident, $answer:expr;
        $($variant:ident $({ $($field:tt)* })? $(( $($value:tt)* ))?),+ $(,)?
    ) => {
        // Never called: the compiler checks that no variant is missing.
        let _ = |error: &$type| match error { $($type::$variant { .. } => {})+ };
        $({
            let name = concat!(stringify!($type), "::", stringify!($variant));
            let error = $type::$variant $({ $($field)* })? $(( $($value)* ))?;
            $lines.push(format!("{name}: {error}"));
            let answer: Option<Answer> = $answer(&error);
            $lines.extend(answer.map(|answer| line_of(name, &answer)));
        })+
    };
}

fn line_of(name: &str, Answer { status, code, body, .. }: &Answer) -> String {
    format!("{name} -> {status} {code}: {}", body.trim_end())
}

/// Returns no answer: the error never reaches a client.
fn unanswered<E>(_: &E) -> Option<Answer> {
    None
}

/// Returns the answer to an act that failed.
fn acted<'e, E>(error: &'e E) -> Option<Answer>
where
    Answer: From<&'e E>,
{
    Some(Answer::from(error))
}

fn refused(refusal: &Refusal) -> Option<Answer> {
    Some(answer(refusal, "acme", Challenges::default()))
}

fn id() -> TokenId {
    "bsth14r9vj".parse().unwrap()
}

fn key() -> KeyId {
    KeyId::new(3).unwrap()
}

fn table() -> TableName {
    TableName::default()
}

fn path() -> PathBuf {
    PathBuf::from("app.db")
}

fn denied() -> Denied {
    Denied::new(DenialReason::Revoked, Some(id()))
}

fn forbidden() -> Forbidden {
    Forbidden::new(Missing::Scope, Some("files:read"))
}

fn invalid() -> InvalidText {
    InvalidText::new("label", TextProblem::Empty)
}

/// Stands for what a store, a driver or the system says.
fn said() -> Box<dyn std::error::Error + Send + Sync> {
    "what the source says".into()
}

fn failed() -> Failed {
    StoreError::not_done(said()).into()
}

/// Fails as a random source that repeats itself.
fn not_random() -> RandomSourceFailed {
    struct Repeating;
    impl rand_core::TryRng for Repeating {
        type Error = std::convert::Infallible;
        fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
            Ok(0)
        }
        fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
            Ok(0)
        }
        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
            bytes.fill(0);
            Ok(())
        }
    }
    impl rand_core::TryCryptoRng for Repeating {}
    crate::random::Secret::draw(&mut Repeating).unwrap_err()
}

fn errors_of_acts(lines: &mut Vec<String>) {
    let max = Duration::from_secs(90 * 86_400);
    list!(lines, AuthError, unanswered;
        NotOurs(ParseError::NoPrefix), Denied(denied()), Failed(failed()));
    list!(lines, ParseError, unanswered;
        Empty, TooLong, NoPrefix, UnknownPrefix, ForbiddenCharacter { position: 7 },
        MisplacedSeparator { position: 7 }, WrongLength, Checksum);
    list!(lines, IssueError, acted;
        Invalid(invalid()), Life(LifeError::NoLife), MoreAccess, NotUnderThis,
        AttributesUnderToken, OtherOwner, ParentChanged, LimitReached { limit: 100 }, LabelTaken,
        Failed(failed()));
    list!(lines, LifeError, acted; NoLife, TooLong { max }, PastCalendar, NeverNotAllowed);
    list!(lines, ChangeError, acted;
        Unknown, NotActive(Status::Expired), Invalid(invalid()), MoreAccess, NarrowedApart,
        Life(LifeError::NoLife), OverlapTooLong { max }, Derived, LabelTaken, OverlapWithLess,
        Overlapping { until: Timestamp::MAX }, DamagedRow(id()),
        Rotated { current: id() }, Conflict, Failed(failed()));
    list!(lines, ManageError, acted; Unknown, NotAllowed, KeyNotLost(key()), Failed(failed()));
    list!(lines, RetireError, acted; Active, InUse { rows: 7 }, Failed(failed()));
    let orphan = OrphanRow { id: id(), key_id: key() };
    list!(lines, Failed, acted;
        Store(StoreError::unknown(said())), Random(not_random()),
        Unclear(StatusUnclear::KeyMissing(key())), OrphanRow(orphan), NoUpkeep, NotIntact,
        NoFreeId, NoImportKey, OtherImportKey(id()), ImportBusy);
    list!(lines, StatusUnclear, unanswered;
        KeyMissing(key()), SealVersion(9), DigestScheme(9),
        ClockBehind { now: Timestamp::MIN, created_at: Timestamp::MAX });
    list!(lines, TextProblem, |problem: &TextProblem| {
            Some(Answer::from(InvalidText::new("label", problem.clone())))
        };
        Empty, Invisible, TooLong { max: 128 }, TooMany { max: 64 },
        ForbiddenCharacter { position: 7 }, Malformed { expected: "EXPECTED" }, StrangeSegment,
        BitsBeyondLength);
}

fn errors_of_moves(lines: &mut Vec<String>) {
    let prefix = Prefix::new("acme").unwrap();
    list!(lines, TransferError, unanswered;
        Io(io::Error::other("what the system says")), NotATransfer, NewerVersion { version: 2 },
        WrongKey, Changed { line: 7 }, Cut, GoesOn, NewerRow { line: 7 },
        PrefixNotAccepted { prefix }, TooOld { written_at: Timestamp::MIN }, Failed(failed()));
    list!(lines, LeftBehind, unanswered;
        Damaged, Tampered, KeyMissing, Newer, OfAnotherSystem, EndedOfAnotherSystem);
    list!(lines, KeptAsIs, unanswered;
        OtherToken, Damaged, Tampered, RotatedOnBoth, MayDoMore, Changing);
    lines.push(format!("InvalidTransferKey: {}", TransferKey::parse("").unwrap_err()));
}

fn errors_of_web(lines: &mut Vec<String>) {
    list!(lines, Refusal, refused;
        NoCredentials, Credentials(CredentialsError::NoColon), NotOurs, Denied(denied()),
        Forbidden(forbidden()), Failed(failed()), Accounts(said()));
    list!(lines, CredentialsError, |error: &CredentialsError| refused(&(*error).into());
        SeveralHeaders, TooLong, UnsupportedScheme, TokenInOtherScheme, NotBase64, NoColon,
        NotBearer, ControlCharacter, TokenAsUserName, TwoTokens);
    for forbidden in [
        Forbidden::new(Missing::Network, None),
        forbidden(),
        Forbidden::new(Missing::Scope, None),
        Forbidden::new(Missing::Resource, None),
    ] {
        let name = format!("Forbidden({:?})", forbidden.missing());
        lines.push(format!("{name}: {forbidden}"));
        lines.extend(refused(&forbidden.into()).map(|answer| line_of(&name, &answer)));
    }
}

fn errors_of_set_up(lines: &mut Vec<String>) {
    let prefix = |text| Prefix::new(text).unwrap();
    list!(lines, SetupError, unanswered; Policy(PolicyError::Realm), Random(not_random()));
    list!(lines, PolicyError, unanswered;
        Prefix(InvalidPrefix), RealmNotNamed { prefix: prefix("new"), former: prefix("old") },
        Realm, Zero("default life"), PastMaximum("default life"), NeverWithMaximum,
        ScopeLeftOut { scope: "read".into(), implying: "admin".into() }, IdleTooShort);
    let name = || "7".into();
    let (error, inner) = (io::Error::other("what the system says"), KeyRingError::Weak(name()));
    list!(lines, KeyRingError, unanswered;
        File { path: path(), error }, InFile { path: path(), error: Box::new(inner) },
        Exposed { path: path(), mode: 0o644 }, RingGiven("the path of a file"),
        NoVariable("KEYS".into()), TooLong, Empty, Malformed("3".into()),
        Short { key: name(), bytes: 9 }, Weak(name()), Repeated(name()), Random(not_random()));
    let (found, known) = (9, 1);
    list!(lines, SqliteStoreError, unanswered;
        CantOpen { path: path(), source: said() }, NoFile(path()), NotADatabase(path()),
        ReadOnly(path()), Replaced(path()), Locked(path()), Damaged(path()), DiskFull(path()),
        NoWriteAheadLog(path()), NewerSchema { path: path(), table: table(), found, known },
        ForeignTable { path: path(), table: table() },
        NotMigrated { path: path(), table: table() }, HasSchema(TableName::new("a.b").unwrap()),
        ReservedName(TableName::new("order").unwrap()),
        ForeignCode { path: path(), table: table(), kind: "trigger".into(), name: "t".into() },
        OldSqlite("3.36.0"), Failed { path: path(), source: said() });
    list!(lines, PostgresStoreError, unanswered;
        NoConnection(said()), NotUtf8("LATIN1".into()), NoSchema(TableName::new("a.b").unwrap()),
        NotAllowed(table()), NewerSchema { table: table(), found, known }, ForeignTable(table()),
        Unexpected("what is unexpected".into()), Failed(said()));
}

/// The errors that are structs, and a report that prints advice.
fn others(lines: &mut Vec<String>) {
    let mut add = |name: &str, text: &dyn Display| {
        lines.extend(text.to_string().lines().map(|line| format!("{name}: {line}")));
    };
    add("Denied", &denied());
    add("OrphanRow", &OrphanRow { id: id(), key_id: key() });
    add("RandomSourceFailed", &not_random());
    add("InvalidKept", &InvalidKept("64 hexadecimal digits"));
    add("StoreError", &StoreError::not_done(said()));
    add("StoreError", &StoreError::unknown(said()));
    add("InvalidText", &invalid());
    add("InvalidText", &"10.0.0".parse::<Network>().unwrap_err());
    add("InvalidText", &"photos".parse::<Resource>().unwrap_err());
    add("InvalidActor", &InvalidActor);
    add("InvalidDigest", &InvalidDigest);
    add("InvalidSigningKey", &InvalidSigningKey);
    add("InvalidPrefix", &InvalidPrefix);
    add("InvalidStatus", &InvalidStatus);
    add("InvalidTableName", &InvalidTableName);
    add("InvalidTokenId", &InvalidTokenId);
    add("NotAPeriod", &NotAPeriod);
    add("OutOfCalendar", &OutOfCalendar);
    add("InvalidExpires", &InvalidExpires(OutOfCalendar));
    add(
        "CheckReport",
        &CheckReport {
            realm: "acme".into(),
            checked: 2000,
            under_missing_keys: vec![(key(), 7)],
            tampered: vec![id()],
            unknown_versions: vec![(id(), 9)],
            unknown_schemes: vec![(id(), 9)],
            damaged: vec![id()],
            lost_imports: vec![id()],
            findings: vec!["what the store found".into()],
            is_complete: true,
        },
    );
}

/// Finds the names of the public types that derive `Error`.
fn public_errors(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            public_errors(&path, found);
            continue;
        }
        let code = fs::read_to_string(&path).unwrap();
        for derived in code.split("thiserror::Error)]").skip(1) {
            let declared = |line: &&str| line.contains("struct ") || line.contains("enum ");
            let words: Vec<&str> = derived.lines().find(declared).unwrap().split(' ').collect();
            if words[0] == "pub" {
                found.extend(words[2].split(['(', ';']).next().map(str::to_owned));
            }
        }
    }
}

#[test]
fn every_message_is_in_the_list_that_reviewers_read() {
    let mut lines = Vec::new();
    errors_of_acts(&mut lines);
    errors_of_moves(&mut lines);
    errors_of_web(&mut lines);
    errors_of_set_up(&mut lines);
    others(&mut lines);
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = crate_folder.join("src");
    let mut types = Vec::new();
    public_errors(&source, &mut types);
    for name in types {
        assert!(lines.iter().any(|line| line.starts_with(&name)), "{name} is not listed");
    }
    for file in OTHERS.split_whitespace() {
        // These two have small errors of their own, which are not public.
        let attributes = file.ends_with("writer.rs") || file.ends_with("sqlite/transaction.rs");
        lines.extend(in_file(&source, file, Also { attributes, docs: false }));
    }
    let list = crate_folder.join("tests/messages.txt");
    assert_listed(&list, lines, "cargo test --lib every_message");
}
