-- +goose Up
-- What a search looks into, folded by the program as it folds what is searched for. It lies apart from the titles: a search reads all of it.
CREATE TABLE words (
    title TEXT PRIMARY KEY REFERENCES titles (id) ON DELETE CASCADE,
    words TEXT NOT NULL
) STRICT;
