-- +goose Up
CREATE TABLE settings (           -- facts about the installation, such as key fingerprints
  name  TEXT PRIMARY KEY,
  value TEXT NOT NULL
);

CREATE TABLE api_tokens (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  name       TEXT NOT NULL,
  role       TEXT NOT NULL CHECK (role IN ('admin', 'marketer', 'analyst', 'privacy')),
  hash       BLOB NOT NULL UNIQUE,    -- SHA-256 of the token; the token itself is never kept
  created_at BIGINT NOT NULL,
  revoked_at BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE audit_log (          -- append-only: triggers refuse UPDATE, and DELETE within a year
  id     INTEGER PRIMARY KEY AUTOINCREMENT,
  at     BIGINT NOT NULL,
  actor  TEXT NOT NULL,           -- token or operator name
  action TEXT NOT NULL,           -- such as contact.read, segment.export, campaign.launch
  object TEXT NOT NULL DEFAULT '', -- the identifier acted on, never an address
  ground TEXT NOT NULL DEFAULT '', -- why, where a ground is asked for
  detail TEXT NOT NULL DEFAULT ''
);
CREATE INDEX audit_log_by_object ON audit_log (object, id);
-- +goose StatementBegin
CREATE TRIGGER audit_log_no_update BEFORE UPDATE ON audit_log
BEGIN
  SELECT RAISE(ABORT, 'audit_log is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_log_no_delete BEFORE DELETE ON audit_log WHEN OLD.at > (unixepoch() - 365 * 86400) * 1000000
BEGIN
  SELECT RAISE(ABORT, 'audit_log is append-only for a year');
END;
-- +goose StatementEnd
