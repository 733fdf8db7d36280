package main

import (
	"crypto/rand"
	"encoding/base64"
	"strings"
	"testing"

	"beckon/schema/servertest"
)

func TestANodeWithOtherKeysRefusesToStart(t *testing.T) {
	db, ctx := servertest.SQLite(t), t.Context()
	first := &Config{Data: t.TempDir()}
	made, err := loadSecrets(ctx, first, db)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := loadSecrets(ctx, first, db); err != nil || string(again.hash) != string(made.hash) {
		t.Fatalf("a second start has other keys: %v", err)
	}
	if _, err := loadSecrets(ctx, &Config{Data: t.TempDir()}, db); err == nil || !strings.Contains(err.Error(), "Copy the file hash-key") {
		t.Errorf("another hash key: got %v", err)
	}
	hash := base64.StdEncoding.EncodeToString(made.hash)
	other := make([]byte, 32)
	_, _ = rand.Read(other)
	key := base64.StdEncoding.EncodeToString(other)
	if _, err := loadSecrets(ctx, &Config{Data: t.TempDir(), HashKey: hash, Keys: "1:" + key}, db); err == nil || !strings.Contains(err.Error(), "signing key 1 differs") || strings.Contains(err.Error(), key) {
		t.Errorf("another signing key: got %v", err)
	}
	if _, err := loadSecrets(ctx, &Config{Data: t.TempDir(), HashKey: hash, Keys: "2:" + key}, db); err != nil {
		t.Errorf("a new key under a new id: %v", err)
	}
	for _, bad := range []string{"x", "c2hvcnQ="} {
		if _, err := loadSecrets(ctx, &Config{Data: t.TempDir(), HashKey: bad}, db); err == nil || !strings.Contains(err.Error(), "32 bytes") {
			t.Errorf("hash key %q: got %v", bad, err)
		}
	}
}
