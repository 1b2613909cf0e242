-- The tables of `PostgresStore`, version 1, for PostgreSQL 14 or newer and a database encoded in
-- UTF-8. They may share a database with the host's own tables: all names begin with `app_tokens`.
--
-- Times are whole seconds since 1970-01-01T00:00:00Z. An id is the ten characters of the token's
-- text read as a number (Crockford's base 32, the first character the greatest). `scopes`,
-- `resources` and `networks` are NULL for everything, else the items, one a line, and the empty
-- text for none. No item is empty or holds a line end.
--
-- A row that was damaged by hand must still be revocable: a CHECK fails only if its own columns are
-- written wrong.
--
-- COLLATE "C" compares byte for byte, and keeps indexes independent of the version of a locale.

CREATE TABLE app_tokens (
    id                bigint  PRIMARY KEY CHECK (id BETWEEN 0 AND 1125899906842623), -- 2^50 - 1
    digest            bytea   NOT NULL, -- the scheme's tag (01), then SHA-256
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
    seal              bytea,            -- its version (01), then 32 bytes; NULL once the row is revoked
    CHECK ((revoked_at IS NULL) = (revoked_reason IS NULL)
        AND (revoked_at IS NULL) = (revoked_by IS NULL)),
    CHECK (last_used_at IS NOT NULL
        OR (last_used_address IS NULL AND last_used_client IS NULL))
) WITH (fillfactor = 80); -- room on the page for the next use of a token, which no index holds

-- No index holds what a use, a revocation, a new seal or a new label changes, so that these rewrite
-- the row on its page and no index (a HOT update). The daily clean-up walks through the table.

-- An owner's list, limit and unique labels. Every list is in order of id.
CREATE INDEX app_tokens_of_owner ON app_tokens (owner, id);

-- A line of rotations, and what was issued under it.
CREATE INDEX app_tokens_of_family ON app_tokens (family);
CREATE INDEX app_tokens_derived ON app_tokens (derived_from, owner)
    WHERE derived_from IS NOT NULL;

-- Reminders: what expires.
CREATE INDEX app_tokens_by_expiry ON app_tokens (expires_at) WHERE expires_at IS NOT NULL;

-- The keys under which rows are sealed: a set. It may hold a key too many, never one too few.
CREATE TABLE app_tokens_keys (
    key_id bigint PRIMARY KEY
);

-- The locks: one row for each owner whose tokens are counted or told apart by label. A call that
-- does so locks it.
CREATE TABLE app_tokens_owners (
    owner text COLLATE "C" PRIMARY KEY
) WITH (fillfactor = 80);

CREATE TABLE app_tokens_schema (
    version bigint NOT NULL
);

INSERT INTO app_tokens_schema (version) VALUES (1);
