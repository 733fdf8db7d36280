package api

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"beckon/schema"
)

// Role says what the bearer of a token has to do with the data.
type Role string

// The roles. What each may call is the table in routes.go.
const (
	Admin    Role = "admin"
	Marketer Role = "marketer"
	Analyst  Role = "analyst"
	Privacy  Role = "privacy"
)

// Roles are all roles.
var Roles = []Role{Admin, Marketer, Analyst, Privacy}

// Failures of Tokens that a caller may want to tell apart.
var (
	ErrRole         = errors.New("unknown role")
	ErrTokenName    = errors.New("token name not usable")
	ErrUnknownToken = errors.New("token unknown or revoked")
)

// TokenID names a token without giving it away.
type TokenID int64

func (i TokenID) String() string { return "tok_" + strconv.FormatInt(int64(i), 36) }

// MarshalText writes the identifier as tok_1z.
func (i TokenID) MarshalText() ([]byte, error) { return []byte(i.String()), nil }

// UnmarshalText reads what MarshalText wrote and nothing else.
func (i *TokenID) UnmarshalText(b []byte) error {
	digits, _ := strings.CutPrefix(string(b), "tok_")
	n, err := strconv.ParseInt(digits, 36, 64)
	if err != nil || n <= 0 || TokenID(n).String() != string(b) {
		return fmt.Errorf("api: %w: want tok_ and a number", ErrTokenName)
	}
	*i = TokenID(n)
	return nil
}

// Token is what is known of a token: everything but the token itself.
type Token struct {
	ID        TokenID     `db:"id" json:"id"`
	Name      string      `db:"name" json:"name"`
	Role      Role        `db:"role" json:"role"`
	CreatedAt schema.Time `db:"created_at" json:"created_at"`
	RevokedAt schema.Time `db:"revoked_at" json:"revoked_at"`
}

// tokenMemory is how long a token that was found good is not looked up again, and so how long a
// revocation on another node may take to bite here.
const tokenMemory = 500 * time.Millisecond

// Tokens keeps the API tokens, of which only SHA-256 hashes are stored. It is safe for concurrent use.
type Tokens struct {
	db  *schema.DB
	now func() time.Time

	mu      sync.Mutex
	good    map[[sha256.Size]byte]remembered
	revoked int // revocations made here, so that a look-up under way does not remember what one ended
}

type remembered struct {
	token Token
	until time.Time
}

// NewTokens returns the tokens kept in db.
func NewTokens(db *schema.DB, now func() time.Time) *Tokens {
	return &Tokens{db: db, now: now, good: map[[sha256.Size]byte]remembered{}}
}

// Create makes a token and returns its text, which cannot be had again.
func (t *Tokens) Create(ctx context.Context, name string, role Role) (string, error) {
	plain, _, err := t.create(ctx, name, role)
	return plain, err
}

func (t *Tokens) create(ctx context.Context, name string, role Role) (string, Token, error) {
	if !slices.Contains(Roles, role) {
		return "", Token{}, fmt.Errorf("api: %w: want admin, marketer, analyst or privacy", ErrRole)
	}
	if name == "" || len(name) > 100 || strings.TrimSpace(name) != name || strings.ContainsFunc(name, unicode.IsControl) {
		return "", Token{}, fmt.Errorf("api: %w: want 1 to 100 bytes without control characters or blanks around them", ErrTokenName)
	}
	secret := make([]byte, 32)
	rand.Read(secret)
	plain := "bk_" + base64.RawURLEncoding.EncodeToString(secret)
	hash := sha256.Sum256([]byte(plain))
	k := Token{Name: name, Role: role, CreatedAt: schema.At(t.now())}
	err := t.db.Tx(ctx, func(tx *schema.Tx) error {
		return tx.Get(ctx, &k.ID, `INSERT INTO api_tokens (name, role, hash, created_at) VALUES (?, ?, ?, ?) RETURNING id`,
			k.Name, k.Role, hash[:], k.CreatedAt)
	})
	if err != nil {
		return "", Token{}, fmt.Errorf("api: keep token: %w", err)
	}
	return plain, k, nil
}

// Lookup finds the token with this text; ErrUnknownToken when there is none or it was revoked. A
// revocation holds at once on the node that made it and within a second on the others.
func (t *Tokens) Lookup(ctx context.Context, plain string) (Token, error) {
	hash, now := sha256.Sum256([]byte(plain)), t.now()
	t.mu.Lock()
	r, ok := t.good[hash]
	revoked := t.revoked
	t.mu.Unlock()
	if ok && now.Before(r.until) {
		return r.token, nil
	}
	var k Token
	err := t.db.Get(ctx, &k, `SELECT id, name, role, created_at, revoked_at FROM api_tokens WHERE hash = ? AND revoked_at = 0`, hash[:])
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Token{}, fmt.Errorf("api: %w", ErrUnknownToken)
	case err != nil:
		return Token{}, fmt.Errorf("api: look up token: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.good) >= 1000 {
		clear(t.good)
	}
	if t.revoked == revoked {
		t.good[hash] = remembered{k, now.Add(tokenMemory)}
	}
	return k, nil
}

// Revoke ends a token for good; revoking it again changes nothing. ErrUnknownToken when there is none.
func (t *Tokens) Revoke(ctx context.Context, which TokenID) error {
	n, err := t.db.Exec(ctx, `UPDATE api_tokens SET revoked_at = CASE WHEN revoked_at = 0 THEN CAST(? AS BIGINT) ELSE revoked_at END WHERE id = ?`,
		schema.At(t.now()), which)
	if err != nil {
		return fmt.Errorf("api: revoke token: %w", err)
	}
	if n == 0 {
		return fmt.Errorf("api: %w", ErrUnknownToken)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.revoked++
	clear(t.good)
	return nil
}

// List returns up to limit tokens with identifiers above after, revoked ones among them.
func (t *Tokens) List(ctx context.Context, after TokenID, limit int) ([]Token, error) {
	list := []Token{}
	err := t.db.Select(ctx, &list, `SELECT id, name, role, created_at, revoked_at FROM api_tokens WHERE id > ? ORDER BY id LIMIT ?`, after, limit)
	if err != nil {
		return nil, fmt.Errorf("api: list tokens: %w", err)
	}
	return list, nil
}
