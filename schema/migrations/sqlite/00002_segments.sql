-- +goose Up
CREATE TABLE companies (
  id             INTEGER PRIMARY KEY AUTOINCREMENT,
  slug           TEXT NOT NULL UNIQUE,
  name           TEXT NOT NULL,
  from_domain    TEXT NOT NULL DEFAULT '',
  reply_to       TEXT NOT NULL DEFAULT '',
  privacy_email  TEXT NOT NULL DEFAULT '',
  phone          TEXT NOT NULL DEFAULT '',
  postal_address TEXT NOT NULL DEFAULT '',
  privacy_url    TEXT NOT NULL DEFAULT '',
  complaint_url  TEXT NOT NULL DEFAULT '',
  language       TEXT NOT NULL DEFAULT 'en',
  public_url     TEXT NOT NULL DEFAULT '',
  tracking       TEXT NOT NULL DEFAULT 'consented' CHECK (tracking IN ('consented', 'strict', 'off')),
  created_at     BIGINT NOT NULL
);

CREATE TABLE sources (            -- third-party providers of contacts
  id               INTEGER PRIMARY KEY AUTOINCREMENT,
  slug             TEXT NOT NULL UNIQUE,
  name             TEXT NOT NULL,
  privacy_url      TEXT NOT NULL DEFAULT '',
  transparency_url TEXT NOT NULL DEFAULT '',
  lawful_basis     TEXT NOT NULL DEFAULT '',
  permitted_uses   TEXT NOT NULL DEFAULT '',  -- channel slugs as |email|phone|
  licensed_until   BIGINT NOT NULL DEFAULT 0, -- zero: no end
  warranty         TEXT NOT NULL DEFAULT '',  -- subscriber kind the provider warrants for its rows: corporate, individual or none
  warranty_document TEXT NOT NULL DEFAULT '',
  warranty_date    BIGINT NOT NULL DEFAULT 0,
  recalled_at      BIGINT NOT NULL DEFAULT 0,
  created_at       BIGINT NOT NULL
);

CREATE TABLE contacts (
  id              INTEGER PRIMARY KEY AUTOINCREMENT,
  email           TEXT NOT NULL UNIQUE,       -- trimmed, NFC, lower case, A-label domain
  name            TEXT NOT NULL DEFAULT '',
  company         TEXT NOT NULL DEFAULT '',
  country         TEXT NOT NULL DEFAULT '',   -- ISO 3166-1 alpha-2 as stated by the person or source; never derived
  phone           TEXT NOT NULL DEFAULT '',
  job_title       TEXT NOT NULL DEFAULT '',
  subscriber_kind TEXT NOT NULL DEFAULT '' CHECK (subscriber_kind IN ('', 'corporate', 'individual')),
  topics          BIGINT NOT NULL DEFAULT 0,  -- interests, a mask over catalogue.bit; never a consent
  attributes      TEXT NOT NULL DEFAULT '{}',
  own_at          BIGINT NOT NULL DEFAULT 0,  -- when the person gave us the address; zero: never
  created_at      BIGINT NOT NULL,
  updated_at      BIGINT NOT NULL
);

CREATE TABLE imports (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  source      BIGINT NOT NULL DEFAULT 0,      -- zero: our own contacts
  as_no       TEXT NOT NULL DEFAULT '' CHECK (as_no IN ('', 'withdrawn', 'objected', 'bounced')),
  mapping     TEXT NOT NULL DEFAULT '{}',
  node        TEXT NOT NULL DEFAULT '',       -- which node holds the uploaded file
  status      TEXT NOT NULL CHECK (status IN ('queued', 'running', 'finished', 'failed')),
  problem     TEXT NOT NULL DEFAULT '',
  rows_read   BIGINT NOT NULL DEFAULT 0,      -- also where a resumed import goes on
  created     BIGINT NOT NULL DEFAULT 0,
  updated     BIGINT NOT NULL DEFAULT 0,
  skipped     BIGINT NOT NULL DEFAULT 0,
  rejected    BIGINT NOT NULL DEFAULT 0,
  mailable    BIGINT NOT NULL DEFAULT 0,
  reasons     TEXT NOT NULL DEFAULT '{}',     -- JSON: why the others cannot be mailed, by reason
  created_at  BIGINT NOT NULL,
  finished_at BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE import_rejects (     -- line and reason only: the row itself stays in the file of whoever sent it
  import BIGINT NOT NULL REFERENCES imports (id),
  line   BIGINT NOT NULL,
  field  TEXT NOT NULL,
  reason TEXT NOT NULL,
  PRIMARY KEY (import, line)
);

CREATE TABLE contact_sources (    -- one origin of a contact with a provider
  contact     BIGINT NOT NULL REFERENCES contacts (id) ON DELETE CASCADE,
  source      BIGINT NOT NULL REFERENCES sources (id),
  import      BIGINT NOT NULL DEFAULT 0,
  acquired_at BIGINT NOT NULL,
  licence_end BIGINT NOT NULL DEFAULT 0,      -- zero: as the source's
  recalled_at BIGINT NOT NULL DEFAULT 0,
  PRIMARY KEY (contact, source)
);
CREATE INDEX contact_sources_by_source ON contact_sources (source, contact);

CREATE TABLE segments (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  name       TEXT NOT NULL,
  company    BIGINT NOT NULL REFERENCES companies (id),
  channel    TEXT NOT NULL DEFAULT 'email',
  rule       TEXT NOT NULL,
  created_at BIGINT NOT NULL
);

CREATE TABLE segment_sizes (
  segment BIGINT NOT NULL REFERENCES segments (id),
  at      BIGINT NOT NULL,
  n       BIGINT NOT NULL,
  PRIMARY KEY (segment, at)
);
