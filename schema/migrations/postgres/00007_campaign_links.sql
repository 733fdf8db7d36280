-- +goose Up
-- Campaigns of before have neither: their copies stay alike.
ALTER TABLE campaigns ADD COLUMN utm TEXT NOT NULL DEFAULT '{}';           -- JSON as in the API: parameters added to links
ALTER TABLE campaigns ADD COLUMN honeypot BOOLEAN NOT NULL DEFAULT FALSE;  -- mails have a link that only machines find
