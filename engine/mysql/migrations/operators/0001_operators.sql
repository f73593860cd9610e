-- +goose Up
-- by_call names the call that made or last replaced the row: chance, by which a call whose answer was lost finds what it did.
CREATE TABLE IF NOT EXISTS operators (
    id            VARCHAR(80) PRIMARY KEY,
    name          VARCHAR(255) NOT NULL UNIQUE,
    role          VARCHAR(32) NOT NULL,
    sign_on       VARBINARY(2048) UNIQUE, -- NULL for who signs in with a password
    password_hash VARCHAR(512) NOT NULL DEFAULT '',
    created_us    BIGINT NOT NULL,
    by_call       BIGINT NOT NULL
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE IF NOT EXISTS tokens (
    id         VARCHAR(80) PRIMARY KEY,
    hash       VARCHAR(128) NOT NULL UNIQUE,
    kind       VARCHAR(32) NOT NULL,
    operator   VARCHAR(80), -- NULL invites the first administrator
    note       TEXT NOT NULL,
    created_us BIGINT NOT NULL,
    expires_us BIGINT NOT NULL,
    by_call    BIGINT NOT NULL,
    INDEX tokens_operator (operator, created_us, id),
    INDEX tokens_expires (expires_us),
    FOREIGN KEY (operator) REFERENCES operators (id) ON DELETE CASCADE
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
-- Lines are added and never changed. A line that ends an action names it in action; one that begins an action has NULL there.
CREATE TABLE IF NOT EXISTS audit (
    seq       BIGINT PRIMARY KEY,
    action    BIGINT UNIQUE,
    at_us     BIGINT NOT NULL,
    name      VARCHAR(255) NOT NULL, -- of the operator
    body      MEDIUMTEXT NOT NULL, -- JSON of all that the line says
    size      INT NOT NULL,
    hash      VARBINARY(32) NOT NULL, -- SHA-256 of the hash before it and the body
    by_call   BIGINT NOT NULL,
    INDEX audit_name (name, seq)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
-- What the first line that is kept goes on from. Who adds lines, takes some away or invites locks this row.
CREATE TABLE IF NOT EXISTS audit_begin (
    one  TINYINT PRIMARY KEY,
    seq  BIGINT NOT NULL,
    hash VARBINARY(32) NOT NULL
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
INSERT IGNORE INTO audit_begin VALUES (1, 0, '');
-- Calls that removed something: one whose answer was lost finds here that it did. Those of more than an hour ago go.
CREATE TABLE IF NOT EXISTS operator_removals (
    by_call BIGINT PRIMARY KEY,
    at_us   BIGINT NOT NULL,
    INDEX operator_removals_at (at_us)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
