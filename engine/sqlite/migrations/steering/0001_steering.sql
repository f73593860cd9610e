-- +goose Up
CREATE TABLE wanted (
    appliance TEXT PRIMARY KEY,
    state     TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE revocations (
    session  TEXT PRIMARY KEY,
    until_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
