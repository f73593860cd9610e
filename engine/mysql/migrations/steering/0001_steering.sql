-- +goose Up
CREATE TABLE IF NOT EXISTS wanted (
    appliance VARCHAR(80) PRIMARY KEY,
    state     VARCHAR(32) NOT NULL
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE IF NOT EXISTS revocations (
    session  VARCHAR(80) PRIMARY KEY,
    until_us BIGINT NOT NULL
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
