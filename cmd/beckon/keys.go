package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"beckon/schema"
	"beckon/tracker/token"
)

// secrets are the keys of an installation. Every node needs the same.
type secrets struct {
	ring *token.Keyring
	hash []byte // of addresses and ledger chains
}

// loadSecrets takes the keys from the configuration, else from the data directory, where it makes
// them on first use, and holds them against the fingerprints of the installation.
func loadSecrets(ctx context.Context, c *Config, db *schema.DB) (*secrets, error) {
	signing, err := secret(c.Keys, filepath.Join(c.Data, "keys"), func() string { return token.Generate(1) })
	if err != nil {
		return nil, fmt.Errorf("BECKON_KEYS: %w", err)
	}
	ring, err := token.ParseKeys(signing)
	if err != nil {
		return nil, fmt.Errorf("BECKON_KEYS: %w", err)
	}
	text, err := secret(c.HashKey, filepath.Join(c.Data, "hash-key"), newHashKey)
	if err != nil {
		return nil, fmt.Errorf("BECKON_HASH_KEY: %w", err)
	}
	hash, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil || len(hash) < 32 {
		return nil, fmt.Errorf("BECKON_HASH_KEY: want at least 32 bytes in base64, as `head -c 32 /dev/urandom | base64` prints them")
	}
	if err := claim(ctx, db, "fingerprint of BECKON_HASH_KEY", fingerprint(hash),
		"BECKON_HASH_KEY differs from the key that this database was made with: addresses that said no would not be recognised. Copy the file hash-key from the data directory of another node, or its BECKON_HASH_KEY"); err != nil {
		return nil, err
	}
	for _, print := range ring.Fingerprints() {
		name, sum, _ := strings.Cut(print, ":")
		if err := claim(ctx, db, "fingerprint of signing key "+name, sum,
			"signing key "+name+" differs from the one that links in mail already sent were signed with. Copy the file keys from the data directory of another node, or its BECKON_KEYS; give a new key a new id"); err != nil {
			return nil, err
		}
	}
	return &secrets{ring, hash}, nil
}

// secret returns the configured value, or what the file holds, which is made on first use.
func secret(configured, path string, made func() string) (string, error) {
	if configured != "" {
		return configured, nil
	}
	b, err := os.ReadFile(path)
	if err == nil {
		return strings.TrimSpace(string(b)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	value := made()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	_, err = f.WriteString(value + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", err
	}
	return value, nil
}

func newHashKey() string {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return base64.StdEncoding.EncodeToString(key)
}

func fingerprint(key []byte) string {
	sum := sha256.Sum256(append([]byte("beckon fingerprint "), key...))
	return hex.EncodeToString(sum[:8])
}

// claim stores a value under a name, or fails with the remedy when another one is stored.
func claim(ctx context.Context, db *schema.DB, name, value, remedy string) error {
	if _, err := db.Exec(ctx, `INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING`, name, value); err != nil {
		return fmt.Errorf("store %s: %w", name, err)
	}
	var stored string
	if err := db.Get(ctx, &stored, `SELECT value FROM settings WHERE name = ?`, name); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	if stored != value {
		return errors.New(remedy)
	}
	return nil
}
