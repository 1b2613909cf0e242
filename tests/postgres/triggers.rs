//! Objects that a host has on the tables: refused unless it names them, and reported if they keep a
//! change out.

use app_tokens::Timestamp;
use app_tokens::record::LastUse;
use app_tokens::store::{
    Certainty, Filter, LiveAt, PostgresStore, PostgresStoreError, Purge, Replace, StoreError,
    TokenStore,
};

use support::chance::*;
use support::postgres::{Database, RUNTIME, Server};

/// What is put on the table `app_tokens`, its name, and its name in the error.
const OBJECTS: &[(&str, &str, &str)] = &[
    (
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RETURN OLD; END $$;
        CREATE TRIGGER keeper BEFORE UPDATE ON app_tokens
            FOR EACH ROW EXECUTE FUNCTION keep()",
        "keeper",
        "the trigger keeper on app_tokens",
    ),
    (
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RETURN OLD; END $$;
        CREATE TRIGGER always BEFORE UPDATE ON app_tokens
            FOR EACH ROW EXECUTE FUNCTION keep();
        ALTER TABLE app_tokens ENABLE ALWAYS TRIGGER always",
        "always",
        "the trigger always on app_tokens",
    ),
    (
        "CREATE RULE ruled AS ON DELETE TO app_tokens DO INSTEAD NOTHING",
        "ruled",
        "the rule ruled on app_tokens",
    ),
    (
        "ALTER TABLE app_tokens ENABLE ROW LEVEL SECURITY;
        CREATE POLICY few ON app_tokens USING (id <> 7)",
        "few",
        "the policy few on app_tokens",
    ),
    (
        "ALTER TABLE app_tokens_owners ENABLE ROW LEVEL SECURITY",
        "",
        "the row-level security without a policy on app_tokens_owners",
    ),
    (
        "ALTER TABLE app_tokens_keys RENAME TO real;
        CREATE VIEW app_tokens_keys AS SELECT * FROM real",
        "app_tokens_keys",
        "the view app_tokens_keys on app_tokens_keys",
    ),
    (
        "CREATE TABLE archive () INHERITS (app_tokens)",
        "archive",
        "the inheriting table archive on app_tokens",
    ),
];

/// Returns the errors of each call of a store that has not looked at its tables yet.
async fn first_calls(database: &Database<'_>) -> Vec<StoreError> {
    let fresh = || PostgresStore::new(database.pool());
    let mut raw = database.pool().get().await.unwrap();
    let transaction = raw.transaction().await.unwrap();
    vec![
        fresh().find(id(1)).await.unwrap_err(),
        fresh().insert(&creation(parts(9))).await.unwrap_err(),
        fresh().revoke(&Filter::every_token(), &revocation()).await.unwrap_err(),
        fresh().keys_in_use().await.unwrap_err(),
        fresh().within(&transaction).await.unwrap_err(),
    ]
}

#[test]
fn objects_the_host_did_not_name_are_refused_at_first_use() {
    RUNTIME.block_on(async {
        for (object, name, called) in OBJECTS {
            let database = Server::needed().database().await;
            let (store, raw) = (database.store().await, database.raw().await);
            store.insert(&creation(parts(1))).await.unwrap();
            raw.batch_execute(object).await.unwrap();

            let error = PostgresStore::new(database.pool()).migrate().await.unwrap_err();
            assert!(matches!(error, PostgresStoreError::Unexpected(_)), "{error}");
            assert!(error.to_string().contains(called), "{error}");
            for error in first_calls(&database).await {
                assert_eq!(error.certainty(), Certainty::NotDone);
                assert!(error.to_string().contains(called), "{error}");
            }
            // A store that has looked already finds it when asked.
            let findings = store.diagnose().await.unwrap();
            assert!(findings.iter().any(|finding| finding.contains(called)), "{findings:?}");

            let named = PostgresStore::new(database.pool()).with_known_objects([*name]);
            named.migrate().await.unwrap();
            assert!(named.find(id(1)).await.unwrap().is_some());
        }
    });
}

#[test]
fn a_store_looks_at_other_tables_and_at_tables_that_were_missing() {
    RUNTIME.block_on(async {
        let database = Server::needed().database().await;
        let (store, raw) = (database.store().await, database.raw().await);
        store.insert(&creation(parts(1))).await.unwrap();
        let others = || PostgresStore::new(database.pool()).with_table("others".parse().unwrap());
        let early = others();
        assert!(early.find(id(1)).await.is_err(), "there is no such table yet");
        let later = store.with_table("others".parse().unwrap());
        others().migrate().await.unwrap();
        raw.batch_execute(&OBJECTS[0].0.replace("app_tokens", "others")).await.unwrap();
        for store in [early, later] {
            let error = store.insert(&creation(parts(2))).await.unwrap_err().to_string();
            assert!(error.contains("the trigger keeper on others"), "{error}");
        }
    });
}

#[test]
fn a_partitioned_table_is_refused() {
    RUNTIME.block_on(async {
        for table in ["app_tokens", "app_tokens_keys"] {
            let database = Server::needed().database().await;
            let (store, raw) = (database.store().await, database.raw().await);
            let key = if table == "app_tokens" { "id" } else { "key_id" };
            store.insert(&creation(parts(1))).await.unwrap();
            let partition = format!(
                "ALTER TABLE {table} RENAME TO plain;
                CREATE TABLE {table} (LIKE plain INCLUDING ALL) PARTITION BY HASH ({key});
                CREATE TABLE part PARTITION OF {table} FOR VALUES WITH (MODULUS 1, REMAINDER 0)"
            );
            raw.batch_execute(&partition).await.unwrap();

            let called = format!("the table {table} is partitioned");
            // There is no way to accept it, since no purge would delete a row of it.
            let named = PostgresStore::new(database.pool()).with_known_objects([table, "part"]);
            let error = named.migrate().await.unwrap_err();
            assert!(matches!(error, PostgresStoreError::Unexpected(_)), "{error}");
            assert!(error.to_string().contains(&called), "{error}");
            assert!(error.to_string().contains("a plain table"), "{error}");
            for error in first_calls(&database).await {
                assert_eq!(error.certainty(), Certainty::NotDone);
                assert!(error.to_string().contains(&called), "{error}");
            }
            let findings = store.diagnose().await.unwrap();
            assert!(findings.iter().any(|finding| finding.contains(&called)), "{findings:?}");
        }
    });
}

#[test]
fn objects_that_can_not_keep_a_change_out_are_accepted() {
    RUNTIME.block_on(async {
        let database = Server::needed().database().await;
        let (store, raw) = (database.store().await, database.raw().await);
        raw.batch_execute(
            "CREATE TABLE devices (token bigint REFERENCES app_tokens ON DELETE CASCADE);
            CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN RETURN NULL; END $$;
            CREATE TRIGGER off BEFORE INSERT ON app_tokens
                FOR EACH ROW EXECUTE FUNCTION nothing();
            ALTER TABLE app_tokens DISABLE TRIGGER off;
            CREATE INDEX theirs ON app_tokens (label);
            ALTER TABLE app_tokens ADD COLUMN theirs text DEFAULT 'x'",
        )
        .await
        .unwrap();
        let fresh = PostgresStore::new(database.pool());
        fresh.migrate().await.unwrap();
        fresh.insert(&creation(parts(1))).await.unwrap();
        assert!(store.find(id(1)).await.unwrap().is_some());
        let findings = store.diagnose().await.unwrap();
        // The server of the tests doesn't wait for the disk.
        assert!(findings.iter().all(|finding| finding.starts_with("fsync is off")), "{findings:?}");
    });
}

/// Triggers that the host named. Each keeps changes out in a way of its own.
const LIARS: &[&str] = &[
    // Writes the old row again, which counts as a change.
    "BEFORE UPDATE OR DELETE ON app_tokens FOR EACH ROW EXECUTE FUNCTION keep_old()",
    // Changes no row.
    "BEFORE INSERT OR UPDATE OR DELETE ON app_tokens FOR EACH ROW EXECUTE FUNCTION keep_out()",
    // Keeps out the revocation, the seal and the use.
    "BEFORE INSERT OR UPDATE ON app_tokens FOR EACH ROW EXECUTE FUNCTION revive()",
    // Puts the row back after the statement has answered.
    "AFTER UPDATE ON app_tokens FOR EACH ROW WHEN (pg_trigger_depth() < 1)
        EXECUTE FUNCTION put_back()",
];

const FUNCTIONS: &str = "
    CREATE FUNCTION keep_old() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        RETURN CASE WHEN TG_OP = 'UPDATE' THEN OLD END;
    END $$;
    CREATE FUNCTION keep_out() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
    CREATE FUNCTION revive() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        NEW.revoked_at = NULL; NEW.revoked_reason = NULL; NEW.revoked_by = NULL;
        NEW.last_used_at = NULL; NEW.last_used_client = NULL; NEW.last_used_address = NULL;
        NEW.seal = '\\x01'; RETURN NEW;
    END $$;
    CREATE FUNCTION put_back() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        UPDATE app_tokens SET revoked_at = NULL, revoked_reason = NULL, revoked_by = NULL,
            seal = OLD.seal
        WHERE id = NEW.id;
        RETURN NULL;
    END $$;";

#[test]
fn a_change_that_a_trigger_keeps_out_fails_and_never_loops() {
    RUNTIME.block_on(async {
        for liar in LIARS {
            let database = Server::needed().database().await;
            let (store, raw) = (database.store().await, database.raw().await);
            for number in [1, 2] {
                store.insert(&creation(parts(number))).await.unwrap();
            }
            raw.batch_execute(&format!("{FUNCTIONS} CREATE TRIGGER liar {liar}")).await.unwrap();
            let store = PostgresStore::new(database.pool()).with_known_objects(["liar"]);

            let mut errors = vec![
                store.revoke(&Filter::of_owner(&owner("alice")), &revocation()).await.unwrap_err(),
            ];
            // Only a call that looks again sees what is put back afterwards.
            if !liar.starts_with("AFTER") {
                let (row, live) = (row(parts(1)), LiveAt::now(at(0)));
                let replacement = Replace { row, live, unique_label: false, revokes_derived: None };
                errors.push(store.replace(&[replacement]).await.unwrap_err());
                errors.push(store.supersede(&superseding(1, 3)).await.unwrap_err());
                let last_use = LastUse { at: at(9), address: None, client: None };
                errors.push(store.touch(&[(id(1), last_use)], Timestamp::MAX).await.unwrap_err());
            }
            if liar.contains("INSERT") {
                errors.push(store.insert(&creation(parts(4))).await.unwrap_err());
            }
            if liar.contains("DELETE") {
                let all = Purge::Matching(Filter::every_token());
                errors.push(store.purge(&all, 9).await.unwrap_err());
            }
            for error in errors {
                assert_eq!(error.certainty(), Certainty::NotDone, "{liar}: {error}");
                assert!(error.to_string().contains("look for a trigger"), "{liar}: {error}");
            }
            for number in [1, 2] {
                let row = store.find(id(number)).await.unwrap().unwrap();
                let parts_now = row.record().unwrap().clone().into_parts();
                assert_eq!(parts_now, parts(number), "{liar}");
            }
        }
    });
}

/// The row would be as good as new if its revocation were cleared by hand.
#[test]
fn a_revocation_that_a_trigger_lets_in_without_wiping_the_seal_fails_and_changes_nothing() {
    RUNTIME.block_on(async {
        let database = Server::needed().database().await;
        let (store, raw) = (database.store().await, database.raw().await);
        store.insert(&creation(parts(1))).await.unwrap();
        raw.batch_execute(
            "CREATE FUNCTION keep_seal() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                NEW.seal = '\\x01'; RETURN NEW;
            END $$;
            CREATE TRIGGER liar BEFORE UPDATE ON app_tokens
                FOR EACH ROW EXECUTE FUNCTION keep_seal()",
        )
        .await
        .unwrap();
        let store = PostgresStore::new(database.pool()).with_known_objects(["liar"]);
        for filter in [Filter::of_owner(&owner("alice")), Filter::of_id(id(1))] {
            let error = store.revoke(&filter, &revocation()).await.unwrap_err();
            assert_eq!(error.certainty(), Certainty::NotDone, "{filter:?}: {error}");
            assert!(error.to_string().contains("look for a trigger"), "{filter:?}: {error}");
            let row = store.find(id(1)).await.unwrap();
            assert_eq!(row.as_ref().and_then(parts_of), Some(parts(1)), "{filter:?}");
        }
    });
}
