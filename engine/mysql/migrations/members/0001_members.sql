-- +goose Up
-- by_call names the call that made or last replaced the row: chance, by which a call whose answer was lost finds what it did.
CREATE TABLE IF NOT EXISTS accounts (
    id            VARCHAR(80) PRIMARY KEY,
    email         VARCHAR(320) NOT NULL UNIQUE,
    password_hash VARCHAR(512) NOT NULL,
    pin_hash      VARCHAR(512) NOT NULL DEFAULT '',
    created_us    BIGINT NOT NULL,
    by_call       BIGINT NOT NULL,
    INDEX accounts_latest (created_us, id)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
-- What a provider calls people is compared byte by byte: a text would be the same with a blank at its end.
CREATE TABLE IF NOT EXISTS identities (
    issuer  VARBINARY(1024) NOT NULL,
    subject VARBINARY(1024) NOT NULL,
    account VARCHAR(80) NOT NULL,
    PRIMARY KEY (issuer, subject),
    UNIQUE (account, issuer),
    FOREIGN KEY (account) REFERENCES accounts (id) ON DELETE CASCADE
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE IF NOT EXISTS sessions (
    id           VARCHAR(80) PRIMARY KEY,
    token_hash   VARCHAR(128) NOT NULL UNIQUE,
    account      VARCHAR(80) NOT NULL,
    profile      VARCHAR(80) NOT NULL,
    created_us   BIGINT NOT NULL,
    seen_us      BIGINT NOT NULL,
    expires_us   BIGINT NOT NULL,
    issued_us    BIGINT NOT NULL,
    old_hash     VARCHAR(128), -- NULL: there was no token before
    old_until_us BIGINT NOT NULL, -- 0: no end is set yet
    device       TEXT NOT NULL,
    address      TEXT NOT NULL,
    by_call      BIGINT NOT NULL,
    INDEX sessions_account (account, seen_us),
    INDEX sessions_expires (expires_us),
    INDEX sessions_old (old_hash),
    FOREIGN KEY (account) REFERENCES accounts (id) ON DELETE CASCADE
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE IF NOT EXISTS resets (
    account    VARCHAR(80) PRIMARY KEY,
    token_hash VARCHAR(128) NOT NULL UNIQUE,
    expires_us BIGINT NOT NULL,
    FOREIGN KEY (account) REFERENCES accounts (id) ON DELETE CASCADE
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE IF NOT EXISTS reset_requests (
    email    VARCHAR(320) PRIMARY KEY,
    asked_us BIGINT NOT NULL,
    next_us  BIGINT NOT NULL,
    tries    INT NOT NULL,
    INDEX reset_requests_due (next_us, email)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
-- Who counts the wishes before adding one locks this row.
CREATE TABLE IF NOT EXISTS reset_bound (
    one TINYINT PRIMARY KEY
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
INSERT IGNORE INTO reset_bound VALUES (1);
-- An account's profiles have a place each, of which there are as many as it may have.
CREATE TABLE IF NOT EXISTS profiles (
    id         VARCHAR(80) PRIMARY KEY,
    account    VARCHAR(80) NOT NULL,
    place      TINYINT NOT NULL,
    name       TEXT NOT NULL,
    children   BOOLEAN NOT NULL,
    created_us BIGINT NOT NULL,
    by_call    BIGINT NOT NULL,
    UNIQUE profiles_place (account, place)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE IF NOT EXISTS lists (
    profile  VARCHAR(80) NOT NULL,
    title    VARCHAR(80) NOT NULL,
    added_us BIGINT NOT NULL,
    PRIMARY KEY (profile, title),
    INDEX lists_latest (profile, added_us, title),
    FOREIGN KEY (profile) REFERENCES profiles (id) ON DELETE CASCADE
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
-- No index by time: a profile's positions are few and sorted when they are asked for; they are written all the time.
CREATE TABLE IF NOT EXISTS positions (
    profile     VARCHAR(80) NOT NULL,
    title       VARCHAR(80) NOT NULL,
    position_ms BIGINT NOT NULL,
    runtime_ms  BIGINT NOT NULL,
    session     VARCHAR(80) NOT NULL,
    seq         BIGINT NOT NULL,
    at_us       BIGINT NOT NULL,
    PRIMARY KEY (profile, title),
    FOREIGN KEY (profile) REFERENCES profiles (id) ON DELETE CASCADE
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
-- Calls that removed something: one whose answer was lost finds here that it did. Those of more than an hour ago go.
CREATE TABLE IF NOT EXISTS member_removals (
    by_call BIGINT PRIMARY KEY,
    at_us   BIGINT NOT NULL,
    INDEX member_removals_at (at_us)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
