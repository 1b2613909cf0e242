-- The tables of `SqliteStore`, version 1. They may share a file with the host's own tables: all
-- names begin with `app_tokens`, and `user_version` and `application_id` are left alone. SQLite
-- 3.37 or newer, for STRICT.
--
-- Times are whole seconds since 1970-01-01T00:00:00Z. An id is the ten characters of the token's
-- text read as a number (Crockford's base 32, the first character the greatest). `scopes`,
-- `resources` and `networks` are NULL for everything, else the items, one a line, and the empty
-- text for none. No item is empty or holds a line end.
--
-- A row that was damaged by hand must still be revocable: a CHECK fails only if its own columns are
-- written wrong.

CREATE TABLE app_tokens_schema (
    version INTEGER NOT NULL
) STRICT;

INSERT INTO app_tokens_schema (version) VALUES (1);

-- The keys under which rows were sealed: one too many is harmless, one too few is not. The
-- transaction that seals a row adds its key; a purge takes out what seals no unrevoked row.
CREATE TABLE app_tokens_keys (
    key_id INTEGER PRIMARY KEY
) STRICT;

CREATE TABLE app_tokens (
    id                INTEGER PRIMARY KEY CHECK (id BETWEEN 0 AND 1125899906842623), -- 2^50 - 1
    digest            BLOB    NOT NULL, -- the scheme's tag (01), then SHA-256
    owner             TEXT    NOT NULL,
    label             TEXT    NOT NULL,
    scopes            TEXT,
    resources         TEXT,
    networks          TEXT,
    attributes        TEXT,             -- one `key value` a line; NULL: none
    issued_by         TEXT,             -- the operator; NULL: the owner
    created_at        INTEGER NOT NULL,
    expires_at        INTEGER,          -- NULL: never
    family            INTEGER NOT NULL, -- the id of the first token of its line
    successor         INTEGER,          -- the id of the token that superseded it
    derived_from      INTEGER,          -- the family of the token under which it was issued
    revoked_at        INTEGER,
    revoked_reason    TEXT,
    revoked_by        TEXT,             -- `owner NAME`, `operator NAME` or `engine`
    last_used_at      INTEGER,
    last_used_address TEXT,
    last_used_client  TEXT,
    revision          INTEGER NOT NULL CHECK (revision >= 0),
    key_id            INTEGER NOT NULL, -- the key of the ring under which the row is sealed
    seal              BLOB,             -- its version (01), then 32 bytes; NULL once the row is revoked
    CHECK ((revoked_at IS NULL) = (revoked_reason IS NULL)
        AND (revoked_at IS NULL) = (revoked_by IS NULL)),
    CHECK (last_used_at IS NOT NULL
        OR (last_used_address IS NULL AND last_used_client IS NULL))
) STRICT;

-- Each index is a random page more to write for a new token, so there are few, and three of them
-- hold few rows. SQLite ends every index in the rowid, which is the id, so rows come out of it in
-- order of id. Every other list walks through the table in bounded steps.

-- An owner's list, limit and unique labels.
CREATE INDEX app_tokens_of_owner ON app_tokens (owner);

-- A line of rotations. Its first token is found by id, so that most tokens are not in this index.
CREATE INDEX app_tokens_of_family ON app_tokens (family) WHERE family <> id;

-- What was issued under a line.
CREATE INDEX app_tokens_derived ON app_tokens (derived_from) WHERE derived_from IS NOT NULL;

-- Reminders.
CREATE INDEX app_tokens_by_expiry ON app_tokens (expires_at) WHERE expires_at IS NOT NULL;
