-- +goose Up
CREATE TABLE returns (            -- what came back, as far as it was proven to be about a message of ours
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  message    BIGINT NOT NULL DEFAULT 0, -- zero: a letter from a person that names none
  campaign   BIGINT NOT NULL DEFAULT 0,
  class      TEXT NOT NULL CHECK (class IN ('hard', 'soft', 'sender', 'complaint', 'opt-out', 'other')),
  status     TEXT NOT NULL DEFAULT '',  -- RFC 3463
  code       BIGINT NOT NULL DEFAULT 0, -- of the SMTP reply
  diagnostic TEXT NOT NULL DEFAULT '',  -- what the server said, addresses removed
  way        TEXT NOT NULL,             -- how it came: smtp, mailbox, or the name of a provider
  at         BIGINT NOT NULL,           -- when it was taken
  spent      BOOLEAN NOT NULL DEFAULT FALSE, -- it has paused its campaign, and does not count towards the next pause
  key        TEXT NOT NULL UNIQUE       -- the same for the same report, however often and by whatever way it comes
);
CREATE INDEX returns_by_message ON returns (message);
CREATE INDEX returns_by_campaign ON returns (campaign, class, spent);
