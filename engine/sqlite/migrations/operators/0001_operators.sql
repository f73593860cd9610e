-- +goose Up
CREATE TABLE operators (
    id            TEXT PRIMARY KEY,
    name          TEXT NOT NULL UNIQUE,
    role          TEXT NOT NULL,
    sign_on       TEXT UNIQUE, -- NULL for who signs in with a password
    password_hash TEXT NOT NULL DEFAULT '',
    created_us    INTEGER NOT NULL
) STRICT;
CREATE TABLE tokens (
    id         TEXT PRIMARY KEY,
    hash       TEXT NOT NULL UNIQUE,
    kind       TEXT NOT NULL,
    operator   TEXT REFERENCES operators (id) ON DELETE CASCADE, -- NULL invites the first administrator
    note       TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    expires_us INTEGER NOT NULL
) STRICT;
CREATE INDEX tokens_operator ON tokens (operator, created_us, id);
CREATE INDEX tokens_expires ON tokens (expires_us);
-- Lines are added and never changed. A line that ends an action names it in action; one that begins an action has NULL there.
CREATE TABLE audit (
    seq    INTEGER PRIMARY KEY,
    action INTEGER UNIQUE,
    at_us  INTEGER NOT NULL,
    name   TEXT NOT NULL, -- of the operator
    body   TEXT NOT NULL, -- JSON of all that the line says
    size   INTEGER NOT NULL,
    hash   BLOB NOT NULL -- SHA-256 of the hash before it and the body
) STRICT;
CREATE INDEX audit_name ON audit (name, seq) WHERE action IS NULL;
-- What the first line that is kept goes on from.
CREATE TABLE audit_begin (
    one  INTEGER PRIMARY KEY CHECK (one = 1),
    seq  INTEGER NOT NULL,
    hash BLOB NOT NULL
) STRICT;
INSERT INTO audit_begin VALUES (1, 0, x'');
