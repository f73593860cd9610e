-- +goose Up
CREATE TABLE accounts (
    id            TEXT PRIMARY KEY,
    email         TEXT NOT NULL UNIQUE,
    password_hash TEXT NOT NULL,
    created_us    INTEGER NOT NULL
) STRICT;
CREATE TABLE sessions (
    token_hash TEXT PRIMARY KEY,
    account    TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    profile    TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    expires_us INTEGER NOT NULL
) STRICT;
CREATE INDEX sessions_account ON sessions (account);
CREATE INDEX sessions_expires ON sessions (expires_us);
CREATE TABLE profiles (
    id         TEXT PRIMARY KEY,
    account    TEXT NOT NULL,
    name       TEXT NOT NULL,
    children   INTEGER NOT NULL,
    created_us INTEGER NOT NULL
) STRICT;
CREATE INDEX profiles_account ON profiles (account, created_us, id);
CREATE TABLE positions (
    profile     TEXT NOT NULL,
    title       TEXT NOT NULL,
    position_ms INTEGER NOT NULL,
    runtime_ms  INTEGER NOT NULL,
    session     TEXT NOT NULL,
    seq         INTEGER NOT NULL,
    at_us       INTEGER NOT NULL,
    PRIMARY KEY (profile, title)
) STRICT, WITHOUT ROWID;
CREATE INDEX positions_latest ON positions (profile, at_us DESC, title);
