-- +goose Up
-- Work that waits or is leased is open; until_us is 0 where it waits. So what can be leased is what is open with an until_us that has passed.
CREATE TABLE IF NOT EXISTS work (
    seq        BIGINT AUTO_INCREMENT PRIMARY KEY,
    id         VARCHAR(80) NOT NULL UNIQUE,
    asset      VARCHAR(80) NOT NULL,
    title      VARCHAR(80) NOT NULL,
    step       VARCHAR(255) NOT NULL,
    version    INT NOT NULL,
    state      VARCHAR(32) NOT NULL,
    open       BOOLEAN NOT NULL,
    attempt    INT NOT NULL,
    worker     VARCHAR(255) NOT NULL,
    until_us   BIGINT NOT NULL,
    by_call    BIGINT NOT NULL, -- names the call that leased or finished it last: chance
    progress   DOUBLE NOT NULL,
    reason     TEXT NOT NULL,
    input      LONGBLOB,
    output     LONGBLOB,
    created_us BIGINT NOT NULL,
    UNIQUE work_piece (asset, step, version),
    INDEX work_open (open, created_us, seq, until_us),
    INDEX work_title (title, seq)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
