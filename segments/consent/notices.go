package consent

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"beckon/schema"
)

// Notice is the exact wording that was shown when consent was asked. It never changes: another
// wording is another version.
type Notice struct {
	Version   string      `json:"version" db:"version"`
	Language  string      `json:"language" db:"language"`
	Text      string      `json:"text" db:"text"`
	Hash      string      `json:"hash" db:"hash"` // SHA-256 of the text, hex; Add computes it
	CreatedAt schema.Time `json:"created_at" db:"created_at"`
}

// Notices stores wordings.
type Notices struct {
	db  *schema.DB
	now func() time.Time
}

// NewNotices returns the store; a nil now is the real clock.
func NewNotices(db *schema.DB, now func() time.Time) *Notices {
	if now == nil {
		now = time.Now
	}
	return &Notices{db, now}
}

// Add stores a notice and returns it as stored. A version that has this very language and text
// already is returned as it is; with another it is ErrExists.
func (n *Notices) Add(ctx context.Context, v Notice) (Notice, error) {
	if v.Version == "" || len(v.Version) > 100 || v.Language == "" || v.Text == "" {
		return Notice{}, fmt.Errorf("consent: notice: %w: version (at most 100 bytes), language and text are required", ErrEntry)
	}
	sum := sha256.Sum256([]byte(v.Text))
	v.Hash, v.CreatedAt = hex.EncodeToString(sum[:]), schema.At(n.now())
	_, err := n.db.Exec(ctx, `INSERT INTO notices (version, language, text, hash, created_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT (version) DO NOTHING`,
		v.Version, v.Language, v.Text, v.Hash, v.CreatedAt)
	if err != nil {
		return Notice{}, fmt.Errorf("consent: add notice: %w", err)
	}
	have, err := n.Get(ctx, v.Version)
	if err == nil && (have.Text != v.Text || have.Language != v.Language) {
		return Notice{}, fmt.Errorf("consent: notice %q %w", v.Version, ErrExists)
	}
	return have, err
}

// Get returns a notice, or ErrUnknownNotice.
func (n *Notices) Get(ctx context.Context, version string) (Notice, error) {
	var v Notice
	err := n.db.Get(ctx, &v, `SELECT version, language, text, hash, created_at FROM notices WHERE version = ?`, version)
	if errors.Is(err, sql.ErrNoRows) {
		return Notice{}, fmt.Errorf("consent: %w %q", ErrUnknownNotice, version)
	}
	if err != nil {
		return Notice{}, fmt.Errorf("consent: read notice: %w", err)
	}
	return v, nil
}

// List returns every notice, the newest first.
func (n *Notices) List(ctx context.Context) ([]Notice, error) {
	list := []Notice{}
	err := n.db.Select(ctx, &list, `SELECT version, language, text, hash, created_at FROM notices ORDER BY created_at DESC, version`)
	if err != nil {
		return nil, fmt.Errorf("consent: read notices: %w", err)
	}
	return list, nil
}
