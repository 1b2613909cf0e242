-- The tables of `PostgresStore`, version 1, for PostgreSQL 14 or newer and a database encoded in
-- UTF-8.
--
-- They may share a database with the host's own tables. All names begin with `app_tokens`.
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
--
-- COLLATE "C" compares byte for byte. It also keeps the indexes valid if a locale changes.

CREATE TABLE app_tokens (
    id                bigint  PRIMARY KEY CHECK (id BETWEEN 0 AND 1125899906842623), -- 2^50 - 1
    digest            bytea   NOT NULL, -- the scheme's tag (01 to 03), then its bytes
    owner             text    COLLATE "C" NOT NULL,
    label             text    COLLATE "C" NOT NULL,
    scopes            text,
    resources         text,
    networks          text,
    attributes        text,             -- one `key value` a line; NULL: none
    issued_by         text,             -- the operator; NULL: the owner
    created_at        bigint  NOT NULL,
    expires_at        bigint,           -- NULL: never
    family            bigint  NOT NULL, -- the id of the first token of its line
    successor         bigint,           -- the id of the token that superseded it
    derived_from      bigint,           -- the family of the token under which it was issued
    revoked_at        bigint,
    revoked_reason    text,
    revoked_by        text,             -- `owner NAME`, `operator NAME` or `engine`
    last_used_at      bigint,
    last_used_address text,
    last_used_client  text,
    revision          bigint  NOT NULL CHECK (revision >= 0),
    key_id            bigint  NOT NULL, -- the key of the ring under which the row is sealed
    seal              bytea,            -- its version (01), then 32 bytes; NULL once revoked
    CHECK ((revoked_at IS NULL) = (revoked_reason IS NULL)
        AND (revoked_at IS NULL) = (revoked_by IS NULL)),
    CHECK (last_used_at IS NOT NULL
        OR (last_used_address IS NULL AND last_used_client IS NULL))
) WITH (fillfactor = 80); -- leaves space on each page for HOT updates, see below

-- No index holds a column that a use, a revocation, a new seal or a new label changes. So these
-- rewrite the row within its page and touch no index (a HOT update). The price: no index finds dead
-- rows, and the daily purge walks through the table.

-- For the list, the limit and the unique labels of an owner. Every list is in order of id.
CREATE INDEX app_tokens_of_owner ON app_tokens (owner, id);

-- For a line of rotations, and for what was issued under it.
CREATE INDEX app_tokens_of_family ON app_tokens (family);
CREATE INDEX app_tokens_derived ON app_tokens (derived_from, owner)
    WHERE derived_from IS NOT NULL;

-- For reminders: tokens that expire within a period.
CREATE INDEX app_tokens_by_expiry ON app_tokens (expires_at) WHERE expires_at IS NOT NULL;

-- The set of keys under which unrevoked rows are sealed. A key too many is harmless. If a key is
-- missing, the host may remove it from its ring, and tokens can no longer be checked.
CREATE TABLE app_tokens_keys (
    key_id bigint PRIMARY KEY
);

-- The locks: a call locks the row of an owner before it counts their tokens or compares labels.
-- Rows of `app_tokens` can't serve for this: a new owner has none, and a concurrent insert's row
-- is not there yet.
CREATE TABLE app_tokens_owners (
    owner text COLLATE "C" PRIMARY KEY
) WITH (fillfactor = 80);

CREATE TABLE app_tokens_schema (
    version bigint NOT NULL
);

INSERT INTO app_tokens_schema (version) VALUES (1);
