-- +goose Up
ALTER TABLE accounts ADD COLUMN pin_hash TEXT NOT NULL DEFAULT '';
CREATE INDEX accounts_latest ON accounts (created_us DESC, id DESC);

ALTER TABLE sessions ADD COLUMN id TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN seen_us INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN issued_us INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN old_hash TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN old_until_us INTEGER NOT NULL DEFAULT 0; -- 0: no end is set yet
ALTER TABLE sessions ADD COLUMN device TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN address TEXT NOT NULL DEFAULT '';
UPDATE sessions SET id = 'sgn_' || lower(hex(randomblob(10))), seen_us = created_us, issued_us = created_us;
CREATE UNIQUE INDEX sessions_id ON sessions (id);
CREATE INDEX sessions_old ON sessions (old_hash) WHERE old_hash <> '';

CREATE TABLE lists (
    profile  TEXT NOT NULL REFERENCES profiles (id) ON DELETE CASCADE,
    title    TEXT NOT NULL,
    added_us INTEGER NOT NULL,
    PRIMARY KEY (profile, title)
) STRICT, WITHOUT ROWID;
CREATE INDEX lists_latest ON lists (profile, added_us DESC, title DESC);

CREATE TABLE resets (
    token_hash TEXT PRIMARY KEY,
    account    TEXT NOT NULL UNIQUE REFERENCES accounts (id) ON DELETE CASCADE,
    expires_us INTEGER NOT NULL
) STRICT;
CREATE TABLE reset_requests (
    email    TEXT PRIMARY KEY,
    asked_us INTEGER NOT NULL,
    next_us  INTEGER NOT NULL,
    tries    INTEGER NOT NULL
) STRICT;
CREATE INDEX reset_requests_due ON reset_requests (next_us);
