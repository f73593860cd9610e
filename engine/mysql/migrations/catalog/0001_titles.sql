-- +goose Up
-- What is asked for stands in columns; the whole title is the document.
CREATE TABLE IF NOT EXISTS titles (
    id       VARCHAR(80) PRIMARY KEY,
    parent   VARCHAR(80) NOT NULL,
    state    VARCHAR(32) NOT NULL,
    added_us BIGINT NOT NULL,
    document MEDIUMTEXT NOT NULL,
    INDEX titles_added (added_us, id),
    INDEX titles_state (state, added_us, id),
    INDEX titles_parent (parent, added_us, id)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
-- What a search looks into, folded by the program as it folds what is searched for. It lies apart from the titles: a search reads all of it.
CREATE TABLE IF NOT EXISTS words (
    title VARCHAR(80) PRIMARY KEY,
    words MEDIUMTEXT NOT NULL,
    FOREIGN KEY (title) REFERENCES titles (id) ON DELETE CASCADE
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
