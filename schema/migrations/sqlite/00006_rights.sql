-- +goose Up
CREATE TABLE journal_heads (      -- how far each file of the refusals journal is in this database
  journal TEXT NOT NULL,          -- the file's identity, which its first line gives
  node    TEXT NOT NULL,          -- who writes the file
  seq     BIGINT NOT NULL,        -- number of the newest refusal applied; all before it are, too
  place   BIGINT NOT NULL,        -- where that refusal is in the file
  sum     TEXT NOT NULL,          -- its checksum; another one there: the file was replaced and is applied from its start
  PRIMARY KEY (journal, node)
) WITHOUT ROWID;
