-- +goose Up
CREATE TABLE events (             -- identified hits only
  id       INTEGER PRIMARY KEY AUTOINCREMENT,
  campaign BIGINT NOT NULL,
  message  BIGINT NOT NULL,
  contact  BIGINT NOT NULL,
  kind     TEXT NOT NULL CHECK (kind IN ('open', 'click')),
  link     BIGINT NOT NULL DEFAULT 0,  -- position; zero for an open
  at       BIGINT NOT NULL,
  verdict  TEXT NOT NULL CHECK (verdict IN ('person', 'machine', 'unverifiable')),
  reason   TEXT NOT NULL,
  region   TEXT NOT NULL DEFAULT '',   -- GB-ENG, GB or empty for unknown; never an address
  client   TEXT NOT NULL DEFAULT '',   -- client family
  os       TEXT NOT NULL DEFAULT '',
  device   TEXT NOT NULL DEFAULT '',
  node     TEXT NOT NULL,              -- whose count the event is part of
  seq      BIGINT NOT NULL             -- place in that node's spool
);
CREATE INDEX events_by_contact ON events (contact, kind, at);
CREATE INDEX events_by_campaign ON events (campaign, at);

CREATE TABLE message_links (      -- first click of each link by a person or an unverifiable one
  message  BIGINT NOT NULL,
  link     BIGINT NOT NULL,
  first_at BIGINT NOT NULL,
  PRIMARY KEY (message, link)
) WITHOUT ROWID;

CREATE TABLE contact_regions (    -- where a contact last clicked as a person; the stated country stays as it is
  contact INTEGER PRIMARY KEY,
  region  TEXT NOT NULL,
  at      BIGINT NOT NULL
);

CREATE TABLE counts (             -- the durable totals: they outlive the events
  campaign BIGINT NOT NULL,
  hour     BIGINT NOT NULL,
  kind     TEXT NOT NULL CHECK (kind IN ('open', 'click')),
  link     BIGINT NOT NULL,
  verdict  TEXT NOT NULL CHECK (verdict IN ('person', 'machine', 'unverifiable', 'anonymous', 'anonymous-machine', 'private')),
  region   TEXT NOT NULL,
  node     TEXT NOT NULL,
  n        BIGINT NOT NULL,
  PRIMARY KEY (campaign, hour, kind, link, verdict, region, node)
) WITHOUT ROWID;

CREATE TABLE count_heads (        -- the chain that Redis is checked against
  campaign BIGINT NOT NULL,
  node     TEXT NOT NULL,
  seq      BIGINT NOT NULL,
  PRIMARY KEY (campaign, node)
) WITHOUT ROWID;

CREATE TABLE spool_heads (        -- how far each node's spool is in the database
  node TEXT PRIMARY KEY,
  seq  BIGINT NOT NULL,
  at   BIGINT NOT NULL
);
