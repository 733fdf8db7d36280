-- +goose Up
CREATE TABLE catalogue (          -- communication types, channels and topics that can be consented to
  kind    TEXT NOT NULL CHECK (kind IN ('type', 'channel', 'topic')),
  slug    TEXT NOT NULL,
  name    TEXT NOT NULL,
  bit     BIGINT NOT NULL,        -- 0 to 62: the entry's place in a mask; never reused
  special BOOLEAN NOT NULL DEFAULT FALSE, -- special category: explicit consent
  PRIMARY KEY (kind, slug),
  UNIQUE (kind, bit)
);

CREATE TABLE notices (
  version    TEXT PRIMARY KEY,
  language   TEXT NOT NULL,
  text       TEXT NOT NULL,
  hash       TEXT NOT NULL,       -- SHA-256 of the text, hex
  created_at BIGINT NOT NULL
);

CREATE TABLE consent_subjects (   -- the only way from the ledger to a contact; erasure deletes the row
  contact INTEGER PRIMARY KEY REFERENCES contacts (id),
  subject BIGINT NOT NULL UNIQUE,
  hash    BLOB NOT NULL,         -- keyed hash of the address, as in suppressions
  blocks  BIGINT NOT NULL DEFAULT 0, -- mask of consent.Block: why nothing at all may be done
  seq     BIGINT NOT NULL DEFAULT 0, -- of the subject's newest ledger row
  head    BLOB NOT NULL             -- mac of that row
);

CREATE INDEX consent_subjects_by_hash ON consent_subjects (hash);

CREATE TABLE consent_ledger (     -- append-only: triggers refuse UPDATE and DELETE
  subject      BIGINT NOT NULL,
  seq          BIGINT NOT NULL,   -- 1, 2, 3 … per subject
  action       TEXT NOT NULL CHECK (action IN ('request', 'grant', 'withdraw', 'object', 'restrict', 'lift')),
  company      TEXT NOT NULL,     -- slug; empty: every company
  channel      TEXT NOT NULL,     -- slug; empty: every channel
  types        TEXT NOT NULL,     -- slugs, sorted, joined by |; empty: every type
  topics       TEXT NOT NULL,
  tracking     TEXT NOT NULL CHECK (tracking IN ('', 'yes', 'no')),
  item         TEXT NOT NULL DEFAULT '', -- slug of the one thing that was asked for, such as a whitepaper; empty: no one-off request
  notice       TEXT NOT NULL,
  notice_hash  TEXT NOT NULL,
  how          TEXT NOT NULL,     -- how it reached us: form, page, import, …, or what stands behind a block, such as bounce
  captured_at  BIGINT NOT NULL,
  requested_at BIGINT NOT NULL,
  confirmed_at BIGINT NOT NULL,
  recorded_at  BIGINT NOT NULL,
  actor        TEXT NOT NULL,
  evidence     BLOB NOT NULL,    -- salted hash of the evidence
  outcome      TEXT NOT NULL,     -- applied, or why it was recorded only, wholly or partly
  mac          BLOB NOT NULL,    -- HMAC over the row and the subject's previous mac
  PRIMARY KEY (subject, seq)
) WITHOUT ROWID;
-- +goose StatementBegin
CREATE TRIGGER consent_ledger_no_update BEFORE UPDATE ON consent_ledger
BEGIN
  SELECT RAISE(ABORT, 'consent_ledger is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER consent_ledger_no_delete BEFORE DELETE ON consent_ledger
BEGIN
  SELECT RAISE(ABORT, 'consent_ledger is append-only');
END;
-- +goose StatementEnd

CREATE TABLE consent_evidence (   -- erasable
  subject BIGINT NOT NULL,
  seq     BIGINT NOT NULL,
  salt    BLOB NOT NULL,
  body    TEXT NOT NULL,
  PRIMARY KEY (subject, seq)
);

CREATE TABLE consent_state (      -- what the ledger amounts to now; derived, rebuilt from it at will
  contact    BIGINT NOT NULL REFERENCES consent_subjects (contact),
  company    BIGINT NOT NULL,            -- zero: every company without a row of its own (refusals only)
  channel    TEXT NOT NULL,              -- empty: every channel without a row of its own (refusals only)
  granted    BIGINT NOT NULL DEFAULT 0,  -- types with a confirmed opt-in
  refused    BIGINT NOT NULL DEFAULT 0,  -- types with a withdrawal or objection that stands
  explicit   BIGINT NOT NULL DEFAULT 0,  -- topics that a grant named: explicit consent for a special one
  refused_topics BIGINT NOT NULL DEFAULT 0, -- topics whose explicit consent was withdrawn
  live       BIGINT NOT NULL DEFAULT 0,  -- granted while nothing blocks the contact, else 0: what the gate reads
  granted_at BIGINT NOT NULL DEFAULT 0,  -- of the newest grant in force
  changed_at BIGINT NOT NULL,            -- captured_at of the newest entry applied
  notice     TEXT NOT NULL DEFAULT '',   -- under which the newest grant was given
  PRIMARY KEY (contact, company, channel)
) WITHOUT ROWID;
CREATE INDEX consent_state_live ON consent_state (company, channel, contact, live);

CREATE TABLE consent_tracking (
  contact    BIGINT NOT NULL REFERENCES consent_subjects (contact),
  company    BIGINT NOT NULL,            -- zero: every company without a row of its own (refusals only)
  epoch      BIGINT NOT NULL DEFAULT 0,  -- of the newest opening; grows by one with each
  open       BOOLEAN NOT NULL DEFAULT FALSE,
  refused    BOOLEAN NOT NULL DEFAULT FALSE,
  changed_at BIGINT NOT NULL,
  PRIMARY KEY (contact, company)
) WITHOUT ROWID;

CREATE TABLE consent_requests (   -- double opt-ins that wait for their confirmation
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  contact      BIGINT NOT NULL REFERENCES contacts (id),
  entry        TEXT NOT NULL,     -- JSON of the grant that a confirmation records
  requested_at BIGINT NOT NULL,
  expires_at   BIGINT NOT NULL,
  confirmed_at BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX consent_requests_by_contact ON consent_requests (contact);

CREATE TABLE suppressions (       -- addresses that must not be mailed, held or not
  hash   BLOB PRIMARY KEY,       -- keyed hash of the normalised address
  blocks BIGINT NOT NULL,         -- mask of consent.Block
  at     BIGINT NOT NULL
);

CREATE TABLE consent_items (      -- one-off requests that are not served yet; derived from the ledger
  contact    BIGINT NOT NULL REFERENCES consent_subjects (contact),
  company    BIGINT NOT NULL,
  channel    TEXT NOT NULL,
  item       TEXT NOT NULL,
  granted_at BIGINT NOT NULL,
  notice     TEXT NOT NULL,
  PRIMARY KEY (contact, company, channel, item)
) WITHOUT ROWID;
CREATE INDEX consent_items_by_item ON consent_items (item, company, channel, contact);

CREATE TABLE consent_noes (       -- noes of addresses that are not held (any more): they become the contact's when it is created
  hash  BLOB NOT NULL,          -- keyed hash of the normalised address
  entry TEXT NOT NULL,            -- JSON of the no
  at    BIGINT NOT NULL,          -- when it was said
  PRIMARY KEY (hash, at, entry)
) WITHOUT ROWID;
