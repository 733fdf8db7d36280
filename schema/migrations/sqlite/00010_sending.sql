-- +goose Up
ALTER TABLE campaigns ADD COLUMN rate REAL NOT NULL DEFAULT 0;          -- messages per second; zero: as fast as the relays take them
ALTER TABLE campaigns ADD COLUMN send_window TEXT NOT NULL DEFAULT '';    -- JSON as in the API: hours in which it is sent; empty: always

CREATE TABLE warmups (            -- how much of a new sender domain's daily allowance is used up
  domain TEXT NOT NULL,
  day    BIGINT NOT NULL,         -- days since 1970-01-01 UTC
  n      BIGINT NOT NULL DEFAULT 0,
  PRIMARY KEY (domain, day)
);
