-- +goose Up
CREATE TABLE work (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL UNIQUE,
    asset      TEXT NOT NULL,
    title      TEXT NOT NULL,
    step       TEXT NOT NULL,
    version    INTEGER NOT NULL,
    state      TEXT NOT NULL,
    attempt    INTEGER NOT NULL,
    worker     TEXT NOT NULL,
    until_us   INTEGER NOT NULL,
    progress   REAL NOT NULL,
    reason     TEXT NOT NULL,
    input      BLOB,
    output     BLOB,
    created_us INTEGER NOT NULL,
    UNIQUE (asset, step, version)
) STRICT;
CREATE INDEX work_state ON work (state, created_us, seq);
CREATE INDEX work_title ON work (title, seq);
