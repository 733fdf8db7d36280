-- +goose Up
DROP INDEX events_by_campaign; -- served no query, and cost a fifth of writing an event
