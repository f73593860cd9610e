-- +goose Up
-- What is asked for stands in columns; the whole title is the document.
CREATE TABLE titles (
    id       TEXT PRIMARY KEY,
    parent   TEXT NOT NULL,
    state    TEXT NOT NULL,
    added_us INTEGER NOT NULL,
    document TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX titles_added ON titles (added_us DESC, id DESC);
CREATE INDEX titles_state ON titles (state, added_us DESC, id DESC);
CREATE INDEX titles_parent ON titles (parent, added_us DESC, id DESC);
