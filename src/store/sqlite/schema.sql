-- The tables of `SqliteStore`, version 1, for SQLite 3.37 or newer (STRICT).
--
-- They may share a file with the host's own tables. All names begin with `app_tokens`, and
-- `user_version` and `application_id` stay as they are.
--
-- Times are whole seconds since 1970-01-01T00:00:00Z.
--
-- An id is a number: the ten id characters of the token's text, read in Crockford's base 32, most
-- significant character first. `TokenId::from_u64` turns it into the text that lists and events
-- show, and `TokenId::as_u64` turns that back. For instance, askgagkera is 380001879440138.
--
-- In `scopes`, `resources` and `networks`, NULL means everything and the empty text means nothing.
-- Otherwise they hold one item a line. No item is empty or holds a line end.
--
-- A CHECK looks only at columns that are written together. So a row that was damaged elsewhere can
-- still be revoked.

CREATE TABLE app_tokens_schema (
    version INTEGER NOT NULL
) STRICT;

INSERT INTO app_tokens_schema (version) VALUES (1);

-- The keys under which unrevoked rows are sealed. A key too many is harmless. If a key is missing,
-- the host may remove it from its ring, and tokens can no longer be checked.
--
-- The transaction that seals a row adds its key. A purge removes keys that seal no unrevoked row.
CREATE TABLE app_tokens_keys (
    key_id INTEGER PRIMARY KEY
) STRICT;

CREATE TABLE app_tokens (
    id                INTEGER PRIMARY KEY CHECK (id BETWEEN 0 AND 1125899906842623), -- 2^50 - 1
    digest            BLOB    NOT NULL, -- the scheme's tag (01 to 03), then its bytes
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
    seal              BLOB,             -- its version (01), then 32 bytes; NULL once revoked
    CHECK ((revoked_at IS NULL) = (revoked_reason IS NULL)
        AND (revoked_at IS NULL) = (revoked_by IS NULL)),
    CHECK (last_used_at IS NOT NULL
        OR (last_used_address IS NULL AND last_used_client IS NULL))
) STRICT;

-- Each index costs one more random page write for a new token. So there are only four, and three of
-- them leave out most rows. SQLite ends every index entry with the rowid, which is the id, so equal
-- keys come out in order of id. All other lists walk through the table in bounded steps.

-- For the list, the limit and the unique labels of an owner.
CREATE INDEX app_tokens_of_owner ON app_tokens (owner);

-- For a line of rotations. Its first token is looked up by id instead, so most tokens are not in
-- this index.
CREATE INDEX app_tokens_of_family ON app_tokens (family) WHERE family <> id;

-- For what was issued under a line.
CREATE INDEX app_tokens_derived ON app_tokens (derived_from) WHERE derived_from IS NOT NULL;

-- For reminders: tokens that expire within a period.
CREATE INDEX app_tokens_by_expiry ON app_tokens (expires_at) WHERE expires_at IS NOT NULL;
