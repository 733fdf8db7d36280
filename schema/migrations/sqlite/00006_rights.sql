-- +goose Up
CREATE TABLE journal_heads (      -- how far each file of the refusals journal is in this database
  journal TEXT NOT NULL,          -- the file's identity, which its first line gives
  node    TEXT NOT NULL,          -- who writes the file
  seq     BIGINT NOT NULL,        -- number of the newest refusal applied; all before it are, too
  place   BIGINT NOT NULL,        -- where that refusal is in the file
  sum     TEXT NOT NULL,          -- its checksum; another one there: the file was replaced and is applied from its start
  PRIMARY KEY (journal, node)
) WITHOUT ROWID;

CREATE TABLE rights_requests (    -- what people ask of us about their data, however it comes
  id              INTEGER PRIMARY KEY AUTOINCREMENT,
  kind            TEXT NOT NULL CHECK (kind IN ('access', 'portability', 'rectification', 'erasure', 'restriction', 'objection', 'withdrawal', 'complaint')),
  channel         TEXT NOT NULL CHECK (channel IN ('email', 'phone', 'post', 'page', 'api')),
  company         BIGINT NOT NULL DEFAULT 0, -- zero: all of them
  contact         BIGINT NOT NULL DEFAULT 0, -- zero: somebody we do not hold, or do not hold any more
  detail          TEXT NOT NULL DEFAULT '',  -- in the person's words; emptied when the contact is erased
  reference       TEXT NOT NULL DEFAULT '',  -- of a ticket, letter or call
  received_at     BIGINT NOT NULL,
  due_at          BIGINT NOT NULL,           -- the end of the time that the law or our promise gives
  acknowledged_at BIGINT NOT NULL DEFAULT 0,
  extension       TEXT NOT NULL DEFAULT '',  -- why due_at was put off, as the person was told
  status          TEXT NOT NULL CHECK (status IN ('open', 'done', 'refused')),
  outcome         TEXT NOT NULL DEFAULT '',
  handled_by      TEXT NOT NULL DEFAULT '',
  closed_at       BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX rights_requests_by_due ON rights_requests (status, due_at);
CREATE INDEX rights_requests_by_contact ON rights_requests (contact);

CREATE TABLE rights_links (       -- single-use links mailed to an address, for what its holder alone may do
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  contact    BIGINT NOT NULL,
  purpose    TEXT NOT NULL CHECK (purpose IN ('download', 'erase')),
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  used_at    BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX rights_links_by_contact ON rights_links (contact);

CREATE TABLE subject_groups (     -- groups of data subjects that a contact belongs to, beside marketing
  contact BIGINT NOT NULL,
  grp     TEXT NOT NULL,          -- slug, such as candidate or customer
  basis   TEXT NOT NULL,          -- lawful basis, as in rights.Basis
  since   BIGINT NOT NULL,
  PRIMARY KEY (contact, grp)
) WITHOUT ROWID;

CREATE TABLE holds (              -- legal holds: nothing they cover is erased by retention
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  scope       TEXT NOT NULL CHECK (scope IN ('contact', 'source', 'company', 'all')),
  object      BIGINT NOT NULL DEFAULT 0,
  reference   TEXT NOT NULL,
  reason      TEXT NOT NULL,
  actor       TEXT NOT NULL,
  created_at  BIGINT NOT NULL,
  ends_at     BIGINT NOT NULL DEFAULT 0, -- zero: until it is released
  released_at BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE retention_rules (    -- what the operator changed of the rules that ship
  purpose    TEXT PRIMARY KEY,
  months     BIGINT NOT NULL,
  days       BIGINT NOT NULL,
  action     TEXT NOT NULL CHECK (action IN ('erase', 'de-identify')),
  actor      TEXT NOT NULL,
  updated_at BIGINT NOT NULL
);

CREATE TABLE retention_extensions ( -- written decisions to keep something longer
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  purpose    TEXT NOT NULL,
  contact    BIGINT NOT NULL DEFAULT 0, -- zero: everything of the purpose
  until      BIGINT NOT NULL,
  reference  TEXT NOT NULL,             -- of the document that says so
  actor      TEXT NOT NULL,
  created_at BIGINT NOT NULL
);
