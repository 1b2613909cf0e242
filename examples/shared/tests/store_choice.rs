//! How `cloud` and `admin` read the choice of a store. Choices that would show a secret to others
//! are refused.

use shared::store_choice::StoreChoice;

#[track_caller]
fn refused(argument: &str, why: &str) {
    let error = StoreChoice::told(Some(argument)).err().unwrap_or_default();
    assert!(error.contains(why), "{argument}: {error:?}");
    assert!(!error.contains("hunter2") && !error.contains("db.example"), "{argument}: {error}");
}

#[track_caller]
fn taken(argument: &str) {
    let choice = StoreChoice::told(Some(argument));
    assert_eq!(choice.map(|choice| choice.is_some()), Ok(true), "{argument}");
}

#[test]
fn a_password_is_seen_wherever_the_driver_would_read_one() {
    for url in [
        "postgres://app:hunter2@127.0.0.1/app",
        "postgres:postgres://app:hunter2@127.0.0.1/app",
        "postgresql://app:hunter2@db.example/app",
        "postgres://app:hunter2@@127.0.0.1/app",
        "postgres://app:hu%6Eter2%40@127.0.0.1/app?application_name=a@b",
        "postgres://app@127.0.0.1/app?password=hunter2",
        "postgres://127.0.0.1/app?user=app&password=hunter2",
        "postgres:host=127.0.0.1 user=app password=hunter2",
        "postgres:password = 'hunter2 ' host=127.0.0.1",
        "postgres:host=db.example password=hunter2",
    ] {
        refused(url, "other users can read a password in an argument");
    }
}

#[test]
fn a_text_that_only_looks_like_a_password_is_accepted() {
    for url in [
        "postgres://app@127.0.0.1/passwords",
        "postgres://app@127.0.0.1:5432/app?application_name=a:b@c",
        "postgres://app@127.0.0.1/app?options=-c%20search_path%3Dpassword",
        "postgres://app%40acme@[::1]:5432/app",
        "postgres:host=127.0.0.1 user=a:b@c dbname=password",
        "postgresql://app@127.0.0.1/app",
    ] {
        taken(url);
    }
}

#[test]
fn another_machine_is_refused_without_tls_unless_asked_for() {
    for url in [
        "postgres://app@db.example/app",
        "postgres://app@db.example/app?sslmode=prefer",
        "postgres://app@192.0.2.7/app",
        "postgres://app@[2001:db8::7]/app",
        "postgres://app@127.0.0.1,db.example/app",
        "postgres://app@localhost.db.example/app",
        "postgres:host=/run/postgresql,db.example user=app",
        "postgres:host=localhost hostaddr=192.0.2.7 user=app",
    ] {
        refused(url, "sslmode=disable");
    }
    for url in ["postgres://app@db.example/app", "postgres://app@127.0.0.1/app"] {
        refused(&format!("{url}?sslmode=require"), "has no TLS");
    }
    for url in [
        "postgres://app@db.example/app?sslmode=disable",
        "postgres:host=db.example user=app sslmode=disable",
        "postgres://app@localhost/app",
        "postgres://app@LocalHost:5433/app",
        "postgres://app@127.0.0.1/app",
        "postgres://app@127.9.9.9,[::1]/app",
        "postgres://app@[::ffff:127.0.0.1]/app",
        "postgres:host=db.example hostaddr=127.0.0.1 user=app",
        #[cfg(unix)]
        "postgres:host=/run/postgresql dbname=app",
        #[cfg(unix)]
        "postgres://app@%2Frun%2Fpostgresql/app",
    ] {
        taken(url);
    }
}

#[test]
fn a_text_that_names_no_store_is_refused_and_not_repeated() {
    for text in ["", "tokens.db", "sqlite:", "mysql://app:hunter2@db.example/app", "postgres:"] {
        refused(text, "not a store; write sqlite:PATH or postgres:URL");
    }
    for url in [
        "postgres:hunter2",
        "postgres://app:hunter2@db.example:port/app",
        "postgres:host=db.example hunter2",
        "postgres:dbname=app",
    ] {
        refused(url, "not a URL that PostgreSQL's driver knows");
    }
    taken("sqlite:tokens.db");
    taken("sqlite:C:\\tokens:1.db");
}
