-- +goose Up
CREATE TABLE campaigns (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  name        TEXT NOT NULL,
  company     BIGINT NOT NULL REFERENCES companies (id),
  type        TEXT NOT NULL,      -- slug of a communication type
  subject     TEXT NOT NULL,
  sender      TEXT NOT NULL,      -- RFC 5322 mailbox
  reply_to    TEXT NOT NULL DEFAULT '',
  preheader   TEXT NOT NULL DEFAULT '',
  html        TEXT NOT NULL,
  body_text   TEXT NOT NULL DEFAULT '',
  audience    TEXT NOT NULL,      -- JSON as in the API
  tracking    TEXT NOT NULL CHECK (tracking IN ('consented', 'strict', 'off')),
  plain       BOOLEAN NOT NULL DEFAULT FALSE, -- anonymous messages get plain links: fewer than k of them
  status      TEXT NOT NULL CHECK (status IN ('draft', 'scheduled', 'sending', 'paused', 'cancelled', 'finished')),
  status_note TEXT NOT NULL DEFAULT '',       -- why it is paused, for a person to read
  built       BOOLEAN NOT NULL DEFAULT FALSE, -- the audience is complete in messages
  build_after BIGINT NOT NULL DEFAULT 0,      -- the audience is built up to this contact
  left_out    TEXT NOT NULL DEFAULT '{}',  -- JSON: who of the audience got no message, by reason, counted at launch
  restored_at BIGINT NOT NULL DEFAULT 0,   -- when an older database was put back: whoever is added from then on may have been mailed
  send_at     BIGINT NOT NULL DEFAULT 0,
  created_at  BIGINT NOT NULL,
  launched_at BIGINT NOT NULL DEFAULT 0,
  finished_at BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX campaigns_by_status ON campaigns (status);

CREATE TABLE links (              -- the tracked links of a launched campaign
  campaign BIGINT NOT NULL REFERENCES campaigns (id),
  position BIGINT NOT NULL,       -- 1, 2, 3 … in the order of the template
  label    TEXT NOT NULL,
  url      TEXT NOT NULL,         -- the author's bytes
  override TEXT NOT NULL DEFAULT '', -- a correction made after launch
  PRIMARY KEY (campaign, position)
);

CREATE TABLE messages (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  campaign   BIGINT NOT NULL REFERENCES campaigns (id),
  contact    BIGINT,              -- NULL once the contact is erased
  via        BIGINT NOT NULL DEFAULT 0, -- the source whose list it is sent to; zero: a segment
  mode       TEXT NOT NULL DEFAULT '' CHECK (mode IN ('', 'identified', 'anonymous')), -- empty until sent
  epoch      BIGINT NOT NULL DEFAULT 0, -- tracking epoch it was sent under; zero: none
  cited      TEXT NOT NULL DEFAULT '',  -- sources cited, as |1|2|
  status     TEXT NOT NULL CHECK (status IN ('queued', 'sending', 'sent', 'deferred', 'failed', 'skipped', 'unknown')),
  reason     TEXT NOT NULL DEFAULT '',
  attempts   BIGINT NOT NULL DEFAULT 0,
  next_at    BIGINT NOT NULL DEFAULT 0, -- not before; for deferred ones
  lease      TEXT NOT NULL DEFAULT '',
  lease_end  BIGINT NOT NULL DEFAULT 0,
  smtp_code  BIGINT NOT NULL DEFAULT 0,
  smtp_reply TEXT NOT NULL DEFAULT '',  -- addresses removed
  sent_at    BIGINT NOT NULL DEFAULT 0,
  opened_at  BIGINT NOT NULL DEFAULT 0, -- first open by a person or an unverifiable one
  UNIQUE (campaign, contact)
);
CREATE INDEX messages_by_status ON messages (campaign, status, next_at, id);
CREATE INDEX messages_by_contact ON messages (contact);
